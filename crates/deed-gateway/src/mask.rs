//! Fields of a result that must not reach the caller (T5).
//!
//! A path is member names between dots, from the result: `result.structuredContent.vendor.tax_id`, or shorter
//! `result.tax_id`, which is any member of that name wherever it stands. `*` is every member or item; items of
//! lists are passed through.

use serde_json::Value;

/// What becomes of a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Masked {
    /// Nothing in it is to be masked.
    Untouched,
    /// The text of the result without the fields, and how many values were taken out.
    Without(String, usize),
    /// It may repeat what must not be seen, in a form that cannot be cut; it goes nowhere.
    Withheld,
}

/// What stands in place of a value.
const BLOCKED: &str = "[masked by policy]";
/// Values shorter than this stand in any text by chance.
const TELLING: usize = 3;

/// Takes the fields that `paths` name out of `result`, in structured content and in the text that repeats it.
///
/// A text block that is itself JSON is cut in the same way; another one that still holds a value that was taken
/// out makes the whole result unfit to be passed on.
pub(crate) fn mask(result: &str, paths: &[String]) -> Masked {
    let Ok(mut value) = serde_json::from_str::<Value>(result) else { return Masked::Withheld };
    let paths: Vec<Vec<&str>> = paths.iter().map(|path| names(path)).collect();
    let mut taken = Vec::new();
    cut_all(&mut value, &paths, &mut taken);
    each_text(&mut value, &mut |text| {
        let Some(mut inner) = structure(text) else { return };
        let before = taken.len();
        cut_all(&mut inner, &paths, &mut taken);
        if taken.len() > before {
            *text = inner.to_string();
        }
    });
    if taken.is_empty() {
        // A text that is no JSON may hold the field all the same: under its name.
        return if speaks_of(&value, &paths) { Masked::Withheld } else { Masked::Untouched };
    }
    let told: Vec<String> = taken.iter().flat_map(tellings).collect();
    let mut repeats = speaks_of(&value, &paths);
    each_text(&mut value, &mut |text| repeats |= told.iter().any(|value| text.contains(value.as_str())));
    if repeats { Masked::Withheld } else { Masked::Without(value.to_string(), taken.len()) }
}

/// Which of `fields` still stand in `result`: as a member, or by name in a text.
pub(crate) fn standing(result: &str, fields: &[String]) -> Vec<String> {
    if fields.is_empty() {
        return Vec::new();
    }
    let Ok(value) = serde_json::from_str::<Value>(result) else { return Vec::new() };
    fields.iter().filter(|field| holds(&value, field)).cloned().collect()
}

fn holds(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(member, value)| member == name && value.as_str() != Some(BLOCKED) || holds(value, name)),
        Value::Array(items) => items.iter().any(|item| holds(item, name)),
        Value::String(text) => match structure(text) {
            Some(inner) => holds(&inner, name),
            None => holds_word(text, name),
        },
        _ => false,
    }
}

/// The names of a path, without the `result` it begins with.
fn names(path: &str) -> Vec<&str> {
    let names: Vec<&str> = path.split('.').collect();
    match names.split_first() {
        Some((&"result", rest)) if !rest.is_empty() => rest.to_vec(),
        _ => names,
    }
}

fn cut_all(value: &mut Value, paths: &[Vec<&str>], taken: &mut Vec<Value>) {
    for path in paths {
        match path[..] {
            [name] => cut_anywhere(value, name, taken),
            _ => cut(value, path, taken),
        }
    }
}

/// Takes out every member called `name`, wherever it stands.
fn cut_anywhere(value: &mut Value, name: &str, taken: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                match member == name {
                    true => take(value, taken),
                    false => cut_anywhere(value, name, taken),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut_anywhere(item, name, taken)),
        _ => {}
    }
}

fn cut(value: &mut Value, path: &[&str], taken: &mut Vec<Value>) {
    let Some((name, rest)) = path.split_first() else { return take(value, taken) };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| cut(item, path, taken)),
        Value::Object(members) => {
            for (member, value) in members {
                if *name == "*" || member == name {
                    cut(value, rest, taken);
                }
            }
        }
        _ => {}
    }
}

fn take(value: &mut Value, taken: &mut Vec<Value>) {
    if value.as_str() != Some(BLOCKED) {
        taken.push(std::mem::replace(value, Value::from(BLOCKED)));
    }
}

/// Calls `each` with every text that a result is made of, however deep.
fn each_text(value: &mut Value, each: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, each)),
        Value::Object(members) => members.values_mut().for_each(|value| each_text(value, each)),
        _ => {}
    }
}

/// What a text is that is JSON with members or items; `None` of prose.
fn structure(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(|inner| inner.is_object() || inner.is_array())
}

/// How a value that was taken out would show in a text.
fn tellings(value: &Value) -> Vec<String> {
    let shown = match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(tellings).collect(),
        Value::Object(members) => members.values().flat_map(tellings).collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    };
    shown.into_iter().filter(|text| text.chars().count() >= TELLING && text != BLOCKED).collect()
}

/// Whether a text in prose names a field that must not be seen: `tax_id: …`.
fn speaks_of(value: &Value, paths: &[Vec<&str>]) -> bool {
    match value {
        Value::String(text) => {
            structure(text).is_none()
                && paths
                    .iter()
                    .filter_map(|path| path.last())
                    .any(|name| *name != "*" && holds_word(text, name))
        }
        Value::Array(items) => items.iter().any(|item| speaks_of(item, paths)),
        Value::Object(members) => members.values().any(|value| speaks_of(value, paths)),
        _ => false,
    }
}

/// Whether `name` stands in `text` as a word, in either case.
fn holds_word(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&name).any(|(at, found)| {
        !text[..at].chars().next_back().is_some_and(is_word)
            && !text[at + found.len()..].chars().next().is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(result: &str, paths: &[&str]) -> Masked {
        mask(result, &paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_go_in_structure_and_in_the_text_that_repeats_it() {
        let result = r#"{"content":[{"type":"text","text":"{\"name\":\"Initech\",\"tax_id\":\"DE-99\"}"}],"structuredContent":{"name":"Initech","tax_id":"DE-99"}}"#;
        let Masked::Without(text, 2) = masked(result, &["result.tax_id"]) else { panic!("not cut") };
        assert!(!text.contains("DE-99") && text.contains("Initech") && text.contains(BLOCKED), "{text}");
    }

    #[test]
    fn paths_reach_into_lists_and_below_stars() {
        let result = r#"{"structuredContent":{"vendors":[{"bank":{"iban":"DE0012"},"iban":"keep"},{"bank":{"iban":"DE0013"}}]}}"#;
        let Masked::Without(text, 2) = masked(result, &["result.structuredContent.vendors.*.iban"]) else {
            panic!()
        };
        assert!(text.contains("keep") && !text.contains("DE001"), "{text}");
    }

    #[test]
    fn what_cannot_be_cut_is_withheld() {
        for result in [
            r#"{"content":[{"type":"text","text":"Tax_ID: DE-99"}]}"#,
            r#"{"content":[{"type":"text","text":"their number is DE-99"}],"structuredContent":{"tax_id":"DE-99"}}"#,
            r#"{"content":[{"type":"text","text":"see account 4711"}],"structuredContent":{"tax_id":4711}}"#,
            "no JSON",
        ] {
            assert_eq!(masked(result, &["result.tax_id"]), Masked::Withheld, "{result}");
        }
    }

    #[test]
    fn restricted_fields_that_are_passed_on_are_told_by_name() {
        let fields = ["tax_id".to_owned(), "iban".to_owned()];
        let standing = |result: &str| super::standing(result, &fields);
        let open = r#"{"content":[{"type":"text","text":"{\"tax_id\":\"DE-99\"}"}],"structuredContent":{"vendors":[{"iban":"DE0012"}]}}"#;
        assert_eq!(standing(open), fields);
        assert_eq!(standing(r#"{"content":[{"type":"text","text":"Tax_ID: DE-99"}]}"#), ["tax_id"]);
        assert!(standing(r#"{"structuredContent":{"name":"Initech","tax":1}}"#).is_empty());
        let Masked::Without(cut, 2) = masked(open, &["result.tax_id", "result.iban"]) else {
            panic!("not cut")
        };
        assert!(standing(&cut).is_empty(), "{cut}");
    }

    #[test]
    fn what_has_no_such_field_is_left_alone() {
        let result = r#"{"content":[{"type":"text","text":"{\"name\":\"Initech\"}"}]}"#;
        assert_eq!(masked(result, &["result.tax_id"]), Masked::Untouched);
    }
}
