//! Events whose shape nobody vouches for: every look into one is an `Option`.

use std::{borrow::Cow, collections::BTreeMap};

use deed_record::Timestamp;
use serde_json::{Value, value::RawValue};

use crate::{cloudtrail::time, json};

/// A JSON object, read without trusting its shape. Names are found in any case where they are not found
/// exactly: some stores lower the names of an event's first level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose<'v>(pub(crate) &'v Value);

impl<'v> Loose<'v> {
    /// What stands at `path`.
    pub(crate) fn get(self, path: &[&str]) -> Option<&'v Value> {
        path.iter().try_fold(self.0, |value, name| {
            value.get(name).or_else(|| {
                let members = value.as_object()?.iter();
                members.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v)
            })
        })
    }

    /// The object at `path`, or nothing of which anything is known.
    pub(crate) fn at(self, path: &[&str]) -> Loose<'v> {
        Loose(self.get(path).unwrap_or(&Value::Null))
    }

    /// The string at `path`, where it is one and not empty.
    pub(crate) fn text(self, path: &[&str]) -> Option<&'v str> {
        self.get(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// The first of the members `names` that is a string and not empty.
    pub(crate) fn any(self, names: &[&str]) -> Option<&'v str> {
        names.iter().find_map(|name| self.text(&[name]))
    }

    /// The string, number or boolean at `path` as text.
    pub(crate) fn plain(self, path: &[&str]) -> Option<Cow<'v, str>> {
        match self.get(path)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            _ => None,
        }
    }

    /// The boolean at `path`, also where it is written as text.
    pub(crate) fn flag(self, path: &[&str]) -> Option<bool> {
        match &*self.plain(path)? {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => None,
        }
    }

    /// The whole number at `path`, also where it is written as text.
    pub(crate) fn number(self, path: &[&str]) -> Option<i64> {
        self.plain(path)?.parse().ok()
    }

    /// The items of the list at `path`.
    pub(crate) fn list(self, path: &[&str]) -> impl Iterator<Item = Loose<'v>> + Clone + use<'v> {
        let items = self.get(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().map(Loose)
    }

    /// The strings of the list at `path`.
    pub(crate) fn texts(self, path: &[&str]) -> impl Iterator<Item = &'v str> + use<'v> {
        self.list(path).filter_map(|item| item.0.as_str()).filter(|text| !text.is_empty())
    }

    /// A time at `path`, where it is one. Year 1 is how programs in Go write that there is none.
    pub(crate) fn time(self, path: &[&str]) -> Option<Timestamp> {
        time::inside_event(self.text(path)?).filter(|time| time.is_of_event())
    }

    /// The event's own id, which it must have: the first of `names` that is there.
    pub(crate) fn id(self, names: &[&str]) -> Result<Cow<'v, str>, String> {
        let found = names.iter().find_map(|name| self.get(&[name]).map(|_| *name));
        let Some(name) = found else { return Err(format!("field `{}`: missing", names[0])) };
        self.plain(&[name]).ok_or_else(|| match self.get(&[name]) {
            Some(Value::String(_)) => format!("field `{name}`: empty"),
            other => format!("field `{name}`: expected a string, found {}", kind_of(other)),
        })
    }

    /// When the event happened, which it must say: the first of `names` that is there.
    pub(crate) fn happened(self, names: &[&str]) -> Result<Timestamp, String> {
        let found = names.iter().find_map(|name| self.get(&[name]).map(|value| (*name, value)));
        let Some((name, value)) = found else { return Err(format!("field `{}`: missing", names[0])) };
        let Value::String(text) = value else {
            return Err(format!("field `{name}`: expected an RFC 3339 time, found {}", kind_of(Some(value))));
        };
        let time = time::of_event(text).map_err(|error| format!("field `{name}`: {error}"))?;
        if time.is_of_event() {
            Ok(time)
        } else {
            Err(format!("field `{name}`: expected a time from 1970 to 2199, found `{time}`"))
        }
    }
}

fn kind_of(value: Option<&Value>) -> &'static str {
    value.map_or("nothing", json::kind_of)
}

/// The event in `text`: what stands under the first of `around` that is an object, where `text` is what
/// another tool put around it and has no member `id` of its own; else `text`.
pub(crate) fn unwrapped<'t>(text: &'t str, id: &str, around: &[&str]) -> &'t str {
    let text = text.trim();
    // Few events come wrapped, and looking inside the others would be reading them twice.
    if !around.iter().any(|name| text.contains(&format!("\"{name}\""))) {
        return text;
    }
    let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'t, str>, &'t RawValue>>(text) else {
        return text;
    };
    if members.contains_key(id) {
        return text;
    }
    let inner = around.iter().filter_map(|name| members.get(*name)).map(|inner| inner.get().trim());
    inner.into_iter().find(|inner| inner.starts_with('{')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_in_any_case() {
        let value = json!({"eventtype": "a", "Actor": {"ID": 7}, "gone": "0001-01-01T00:00:00Z"});
        let event = Loose(&value);
        assert_eq!(event.text(&["eventType"]), Some("a"));
        assert_eq!(event.plain(&["actor", "id"]).as_deref(), Some("7"));
        assert_eq!(event.time(&["gone"]), None);
        assert_eq!(event.id(&["uuid"]), Err("field `uuid`: missing".to_owned()));
    }

    #[test]
    fn what_is_around_an_event_is_taken_off() {
        assert_eq!(unwrapped(r#" {"detail": {"uuid":"1"}} "#, "uuid", &["detail"]), r#"{"uuid":"1"}"#);
        for text in [r#"{"uuid":"1","detail":{"uuid":"2"}}"#, r#"{"detail":"text"}"#, r#"{"detail":"#, "[]"] {
            assert_eq!(unwrapped(text, "uuid", &["detail"]), text);
        }
    }
}
