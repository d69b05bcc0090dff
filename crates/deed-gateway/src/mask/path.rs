//! Where in a result a field stands.

use serde_json::Value;

use super::BLOCKED;

/// Names that follow one another, in lower case; the last of them that is none of `*` is what the field is called.
pub(super) struct Path(Vec<String>);

impl Path {
    /// Reads `result.owner.phone`; `None` where that is the whole result.
    pub(super) fn read(path: &str) -> Option<Self> {
        let mut names: Vec<String> = path.split('.').map(str::to_lowercase).collect();
        for of_all in ["result", "structuredcontent"] {
            if names.first().is_some_and(|first| first == of_all) {
                names.remove(0);
            }
        }
        names.iter().any(|name| name != "*").then_some(Path(names))
    }

    /// What people would call the field in a text.
    pub(super) fn last(&self) -> &str {
        self.0.iter().rev().find(|name| *name != "*").map_or("", |name| name)
    }

    /// Takes out whatever it leads to, from wherever it begins.
    pub(super) fn cut(&self, value: &mut Value, taken: &mut Vec<Value>) {
        cut(value, &self.0, taken);
        match value {
            Value::Object(members) => members.values_mut().for_each(|value| self.cut(value, taken)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.cut(item, taken)),
            _ => {}
        }
    }
}

fn cut(value: &mut Value, path: &[String], taken: &mut Vec<Value>) {
    let Some((name, rest)) = path.split_first() else { return take(value, taken) };
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                if name == "*" || name.parse() == Ok(at) {
                    cut(item, rest, taken);
                }
                cut(item, path, taken);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                if name == "*" || is_called(member, name) {
                    cut(value, rest, taken);
                }
            }
        }
        _ => {}
    }
}

fn is_called(member: &str, name: &str) -> bool {
    member.eq_ignore_ascii_case(name) || !member.is_ascii() && member.to_lowercase() == name
}

fn take(value: &mut Value, taken: &mut Vec<Value>) {
    if value.as_str() != Some(BLOCKED) {
        taken.push(std::mem::replace(value, Value::from(BLOCKED)));
    }
}
