//! Fields of what a server says that must not reach the caller (T5).
//!
//! A path is member names between dots, from the result, wherever in it they follow one another: in structured content and in
//! text that is JSON alike. `result.tax_id` is any member of that name. `*` is every member or item; items of lists are passed
//! through. Case makes no difference.

mod coded;
mod escapes;
mod path;
mod skeleton;
mod texts;
mod values;

use serde_json::Value;
use tokio::task::spawn_blocking;

use coded::Coded;
use path::Path;
use texts::{Piece, structure};
use values::Values;

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
/// JSON within texts and base64 is cut so many of them deep; deeper it is not looked into, and withheld.
const DEEPEST: usize = 8;

/// Other codings are looked into for so many times the bytes of a result, and at least [`LEAST_READ`].
const READINGS: usize = 8;
const LEAST_READ: usize = 1 << 16;

/// From this length on, in bytes, a result is masked on a thread of its own: this one serves others too.
const LONG: usize = 64 << 10;

/// As [`mask`], for whoever must not keep others waiting.
pub(crate) async fn mask_aside(json: &str, paths: &[String]) -> Masked {
    if json.len() < LONG {
        return mask(json, paths);
    }
    let (json, paths) = (json.to_owned(), paths.to_vec());
    // What nobody could look at goes nowhere.
    spawn_blocking(move || mask(&json, &paths)).await.unwrap_or(Masked::Withheld)
}

/// Takes the fields that `paths` name out of `json`, in structured content and in the text that repeats it.
///
/// A text that is itself JSON is cut in the same way, and so is one in base64 or a `data:` URI. Another one that names a field or
/// still holds a value that was taken out, in whatever formatting, be it in base64, in escapes or over several texts, makes the
/// whole unfit to be passed on, and so do bytes that are no text: nobody can tell what a picture shows.
pub(crate) fn mask(json: &str, paths: &[String]) -> Masked {
    let Some(Cut { value, paths, taken, values }) = Cut::read(json, paths) else { return Masked::Withheld };
    let most = json.len().saturating_mul(READINGS).max(LEAST_READ);
    match taken {
        _ if is_unfit(&value, &paths, &values, most) => Masked::Withheld,
        0 => Masked::Untouched,
        many => Masked::Without(value.to_string(), many),
    }
}

/// Whether `text` names a field of `paths`, or holds a value that they lead to in `json`.
pub(crate) fn is_told(text: &str, json: &str, paths: &[String]) -> bool {
    Cut::read(json, paths).is_none_or(|cut| is_unfit(&Value::from(text), &cut.paths, &cut.values, LEAST_READ))
}

/// What is left of a result, and what was taken out of it.
struct Cut {
    value: Value,
    paths: Vec<Path>,
    /// How many values were taken out.
    taken: usize,
    values: Values,
}

impl Cut {
    /// `None` where that cannot be told.
    fn read(json: &str, paths: &[String]) -> Option<Self> {
        let mut value = serde_json::from_str::<Value>(json).ok()?;
        let paths = paths.iter().map(|path| Path::read(path)).collect::<Option<Vec<Path>>>()?;
        let mut taken = Vec::new();
        cut_all(&mut value, &paths, &mut taken, DEEPEST);
        Some(Cut { value, paths, taken: taken.len(), values: Values::read(&taken)? })
    }
}

fn is_unfit(value: &Value, paths: &[Path], values: &Values, most: usize) -> bool {
    let names_one = |lower: &str| paths.iter().any(|path| holds_word(lower, path.last()));
    texts::any(value, DEEPEST, most, &mut |piece| match piece {
        Piece::Text(BLOCKED) => false,
        Piece::Text(text) => {
            let lower = text.to_lowercase();
            names_one(&lower) || values.are_in(text, &lower)
        }
        Piece::Joined(text) => names_one(&text.to_lowercase()) || values.are_formatted_in(text),
        Piece::Name(name) => !values.is_empty() && values.are_in(name, &name.to_lowercase()),
        Piece::Number(number) => values.are_shown_by(number),
        // In whatever way it came to light, nothing in it that a path leads to may be left.
        Piece::Json(inner) => {
            let mut left = Vec::new();
            paths.iter().for_each(|path| path.cut(inner, &mut left));
            !left.is_empty()
        }
        Piece::Opaque => true,
    })
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
            None => holds_word(&text.to_lowercase(), &name.to_lowercase()),
        },
        _ => false,
    }
}

fn cut_all(value: &mut Value, paths: &[Path], taken: &mut Vec<Value>, depth: usize) {
    for path in paths {
        path.cut(value, taken);
    }
    texts::each(value, &mut |text| cut_text(text, paths, taken, depth));
}

/// Cuts a text that is JSON, or that in base64, however often.
fn cut_text(text: &mut String, paths: &[Path], taken: &mut Vec<Value>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let before = taken.len();
    if let Some(mut inner) = structure(text) {
        cut_all(&mut inner, paths, taken, depth);
        if taken.len() > before {
            *text = inner.to_string();
        }
    } else if let Some(mut coded) = Coded::read(text) {
        cut_text(&mut coded.text, paths, taken, depth);
        if taken.len() > before {
            *text = coded.written();
        }
    }
}

/// Whether `name` stands in `text` as a word, both in lower case.
fn holds_word(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, found)| {
        !text[..at].chars().next_back().is_some_and(is_word)
            && !text[at + found.len()..].chars().next().is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE},
    };
    use serde_json::json;

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
        let vendors =
            r#"{"vendors":[{"bank":{"iban":"DE0012"},"city":"keep"},{"iban":"DE0013"}],"iban":"also kept"}"#;
        let result = serde_json::json!({
            "content": [{"type": "text", "text": vendors}],
            "structuredContent": serde_json::from_str::<Value>(vendors).expect("JSON"),
        });
        for path in
            ["result.vendors.*.iban", "result.structuredContent.vendors.*.iban", "result.Vendors.*.IBAN"]
        {
            let Masked::Without(text, 4) = masked(&result.to_string(), &[path]) else { panic!("{path}") };
            assert!(text.contains("keep") && text.contains("also kept") && !text.contains("DE001"), "{text}");
        }
        let rows = r#"{"structuredContent":{"owner":{"phone":"+41 79 000"},"rows":[["DE0012","b"],["DE0013","d"]]}}"#;
        let Masked::Without(text, 1) = masked(rows, &["result.owner.phone"]) else { panic!() };
        assert!(!text.contains("+41"), "{text}");
        let Masked::Without(text, 2) = masked(rows, &["result.rows.*.0"]) else { panic!() };
        assert!(!text.contains("DE00") && text.contains("\"d\""), "{text}");
    }

    #[test]
    fn json_is_cut_wherever_it_stands() {
        let inner = r#"{"pin":"98765432"}"#;
        let within = serde_json::json!({"data": inner}).to_string();
        let blob = BASE64_STANDARD.encode(inner);
        for result in [
            serde_json::json!({"content": [{"type": "text", "text": within}]}),
            serde_json::json!({"content": [{"type": "resource", "resource": {"uri": "crm:1", "blob": blob}}]}),
            serde_json::json!({"content": [{"type": "text", "text": r#"{"PIN":"98765432"}"#}]}),
        ] {
            let Masked::Without(text, 1) = masked(&result.to_string(), &["result.pin"]) else {
                panic!("{result}")
            };
            assert!(!text.contains("98765432") && !text.contains(&blob), "{text}");
        }
    }

    #[test]
    fn json_in_base64_is_cut_wherever_it_stands() {
        let inner =
            json!({"customer": {"name": "Ann Meyer", "phone": "5550199837", "notes": "x".repeat(300)}});
        let coded = BASE64_STANDARD.encode(inner.to_string());
        let broken: Vec<&str> =
            coded.as_bytes().chunks(60).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let within = json!({"encoding": "base64", "content": broken.join("\n")}).to_string();
        for result in [
            json!({"content": [{"type": "text", "text": coded}]}),
            json!({"structuredContent": {"file": coded.trim_end_matches('=')}}),
            json!({"content": [{"type": "text", "text": format!("data:application/json;base64,{coded}")}]}),
            json!({"content": [{"type": "text", "text": within}]}),
            json!({"contents": [{"uri": "x", "blob": BASE64_STANDARD.encode(&within)}]}),
        ] {
            let Masked::Without(text, 1) = masked(&result.to_string(), &["result.phone"]) else {
                panic!("{result}")
            };
            let mut seen = Vec::new();
            let cut: Value = serde_json::from_str(&text).expect("JSON");
            texts::any(&cut, DEEPEST, 1 << 20, &mut |piece| {
                if let Piece::Text(text) = piece {
                    seen.push(text.to_owned());
                }
                false
            });
            assert!(seen.iter().any(|text| text == "Ann Meyer"), "{text}");
            assert!(!seen.iter().any(|text| text.contains("5550199837")), "{text}");
        }
    }

    #[test]
    fn base64_within_base64_is_cut() {
        let customer = json!({"name": "Ann Meyer", "phone": "5550199837", "notes": "x".repeat(4000)});
        let mut coded = customer.to_string();
        for depth in 1..=3 {
            coded = BASE64_STANDARD.encode(&coded);
            let url_safe = BASE64_URL_SAFE.encode(&coded);
            let within = json!({"doc": coded}).to_string();
            for text in [&coded, &url_safe, &within, &BASE64_STANDARD.encode(&within)] {
                let result = json!({"content": [{"type": "text", "text": text}]});
                let Masked::Without(cut, 1) = masked(&result.to_string(), &["result.phone"]) else {
                    panic!("{depth}: {text}")
                };
                let mut seen = Vec::new();
                texts::any(&serde_json::from_str(&cut).expect("JSON"), DEEPEST, 1 << 20, &mut |piece| {
                    if let Piece::Text(text) = piece {
                        seen.push(text.to_owned());
                    }
                    false
                });
                assert!(seen.iter().any(|text| text == "Ann Meyer"), "{seen:?}");
                assert!(!seen.iter().any(|text| text.contains("5550199837")), "{seen:?}");
            }
            // What is a part of a text cannot be cut out of it.
            let result = json!({"content": [{"type": "text", "text": format!("the file: {coded}")}]});
            assert_eq!(masked(&result.to_string(), &["result.phone"]), Masked::Withheld, "{depth}");
        }
        for blob in [
            r#"{"a":1}"#.to_owned(),
            (0..DEEPEST).fold(r#"{"a":1}"#.to_owned(), |text, _| BASE64_STANDARD.encode(text)),
        ] {
            let blob = BASE64_STANDARD_NO_PAD.encode(blob);
            let result = json!({"contents": [{"uri": "crm:1", "blob": blob}]});
            assert_eq!(masked(&result.to_string(), &["result.a"]), Masked::Withheld, "{blob}");
        }
    }

    #[test]
    fn what_names_a_field_in_another_coding_is_withheld() {
        let coded = BASE64_STANDARD.encode(r#"{"phone":"5550199837","city":"Berlin"}"#);
        let png = BASE64_STANDARD.encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08");
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        let email = |text: &str| json!({"text": text, "structuredContent": {"email": "jürgen@example.com"}});
        for result in [
            text(&format!("the file: {coded}")),
            text(&format!("at /files/{coded} it is")),
            text(r#"Result: {"t\u00e9l\u00e9phone":"5550199837"}"#),
            text("data:application/json,%7B%22phone%22%3A%225550199837%22%7D"),
            text(&format!("![screenshot](data:image/png;base64,{png})")),
            text("data:image/svg+xml;base64,PHN2Zz48cGF0aCBkPSJNMCAwTDEwIDEwIi8+PC9zdmc+"),
            json!({"structuredContent": {"screenshot": png}}),
            json!({"content": [{"type": "image", "data": "PHN2Zz48L3N2Zz4=", "mimeType": "image/svg+xml"}]}),
            email("https://crm/u?id=j%C3%BCrgen%40example.com"),
            email(r#"log: {"who":"j\u00fcrgen@example.com"}"#),
        ] {
            let paths = ["result.phone", "result.téléphone", "result.email"];
            assert_eq!(masked(&result.to_string(), &paths), Masked::Withheld, "{result}");
        }
        for harmless in [
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "next page: CAESFkNnb0lBUkFBR2dBPTo6MTIzNDU2Nzg5MA",
            "src/components/customers/list/CustomerListItemWithAddress.tsx",
            "100% of C:\\new\\table",
        ] {
            assert_eq!(
                masked(&text(harmless).to_string(), &["result.phone"]),
                Masked::Untouched,
                "{harmless}"
            );
        }
    }

    #[test]
    fn looking_into_codings_is_bounded() {
        let mut nested = "x".repeat(200_000);
        for _ in 0..=DEEPEST {
            nested = BASE64_STANDARD.encode(&nested);
        }
        let result = json!({"text": nested, "more": "%25".repeat(200_000)});
        assert_eq!(masked(&result.to_string(), &["result.phone"]), Masked::Withheld, "too deep");
        let (mut read, wide) = (0, json!({"text": "%2541".repeat(100)}));
        let is_beyond = texts::any(&wide, DEEPEST, 200, &mut |piece| {
            read += 1;
            matches!(piece, Piece::Opaque)
        });
        assert!(is_beyond && read < 5, "too much");
    }

    #[test]
    fn what_cannot_be_cut_is_withheld() {
        for result in [
            r#"{"content":[{"type":"text","text":"Tax_ID: DE-99"}]}"#,
            r#"{"content":[{"type":"text","text":"their number is DE-99"}],"structuredContent":{"tax_id":"DE-99"}}"#,
            r#"{"content":[{"type":"text","text":"see account 4711"}],"structuredContent":{"tax_id":4711}}"#,
            r#"{"content":[{"type":"text","text":"{\"note\":\"tax_id: DE-99\"}"}]}"#,
            r#"{"content":[{"type":"text","text":"de-99"}],"structuredContent":{"tax_id":"DE-99"}}"#,
            r#"{"structuredContent":{"tax_id":"DE-99","DE-99":1}}"#,
            r#"{"content":[{"type":"image","mimeType":"image/png","data":"iVBORw0KGgo="}]}"#,
            r#"{"contents":[{"uri":"crm:1","blob":"/9j/4AAQ"}]}"#,
            "no JSON",
        ] {
            assert_eq!(masked(result, &["result.tax_id"]), Masked::Withheld, "{result}");
        }
        for everything in ["result", "result.*", "result.structuredContent.*"] {
            assert_eq!(masked(r#"{"structuredContent":{}}"#, &[everything]), Masked::Withheld);
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
        let text = r#"{"contents":[{"uri":"file:///a","blob":"cGxhaW4="}]}"#;
        assert_eq!(masked(text, &["result.tax_id"]), Masked::Untouched);
    }
}
