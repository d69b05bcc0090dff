//! Authorization details (RFC 9396), and when one list of them allows no more than another.
//!
//! What the members of a detail mean is the business of its `type`, which is not known here. So only
//! what is narrower under any meaning counts as narrower. A detail is **within** another when
//!
//! - both have exactly the same members (a member that only one has could add or lift a restriction);
//! - `locations`, `actions`, `datatypes` and `privileges`, the sets of RFC 9396 section 2.2, are
//!   subsets, and not empty unless both are (an empty array could stand for "any");
//! - every other member, `type` and `identifier` included, is equal.
//!
//! A list is within another when each of its details is within at least one of the other's, for the
//! details of a list add up (section 3). An empty list is only within an empty one: beside a scope,
//! no details at all could be read as no restriction.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    json::{self, Object},
    text::is_name,
};

/// At most this many details.
const MOST: usize = 32;
/// The members that are sets (RFC 9396, section 2.2).
const SETS: [&str; 4] = ["locations", "actions", "datatypes", "privileges"];
/// Numbers beyond are not the same in every parser (RFC 8259, section 6).
const EXACT: i64 = 1 << 53;

/// Why `authorization_details` cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DetailsError {
    /// Not an array of at most 32 objects.
    #[error("expected a JSON array of at most 32 objects, no member twice")]
    NotAList,
    /// A detail without a `type`.
    #[error("a detail has no `type`, or it is no short text")]
    Type,
    /// One of the sets is none, or `identifier` is no text.
    #[error("`{0}` of a detail is of the wrong type (RFC 9396, section 2.2)")]
    Member(&'static str),
    /// A number that not every parser reads alike.
    #[error("a detail holds a number that is no whole number from -2^53 to 2^53; send it as text")]
    Number,
}

/// The details of a token, an array of objects.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Details(Vec<Value>);

impl Details {
    /// Reads the text of a request parameter.
    ///
    /// # Errors
    /// It is no array of details.
    pub fn parse(text: &str) -> Result<Self, DetailsError> {
        let value = json::value(text.as_bytes()).map_err(|_| DetailsError::NotAList)?;
        Details::from_value(value)
    }

    /// Reads a claim. The value must come from a parser that refuses a member twice.
    ///
    /// # Errors
    /// It is no array of details.
    pub(crate) fn from_value(value: Value) -> Result<Self, DetailsError> {
        let Value::Array(list) = value else { return Err(DetailsError::NotAList) };
        if list.len() > MOST {
            return Err(DetailsError::NotAList);
        }
        for detail in &list {
            check(detail.as_object().ok_or(DetailsError::NotAList)?)?;
        }
        Ok(Details(list))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The details, as they were read.
    pub fn as_slice(&self) -> &[Value] {
        &self.0
    }

    /// Whether they allow no more than `other`, as the module says.
    ///
    /// INVARIANT D7: what is not provably narrower is not within.
    pub fn is_within(&self, other: &Details) -> bool {
        if self.is_empty() {
            return other.is_empty();
        }
        let within = |detail: &Value| other.0.iter().any(|theirs| is_within(detail, theirs));
        self.0.iter().all(within)
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Details::from_value(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn check(detail: &Object) -> Result<(), DetailsError> {
    let typ = detail.get("type").and_then(Value::as_str);
    typ.filter(|typ| is_name(typ)).ok_or(DetailsError::Type)?;
    for name in SETS {
        let is_set = |set: &Value| set.as_array().is_some_and(|set| set.iter().all(Value::is_string));
        if detail.get(name).is_some_and(|set| !is_set(set)) {
            return Err(DetailsError::Member(name));
        }
    }
    if detail.get("identifier").is_some_and(|identifier| !identifier.is_string()) {
        return Err(DetailsError::Member("identifier"));
    }
    detail.values().all(is_exact).then_some(()).ok_or(DetailsError::Number)
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| (-EXACT..=EXACT).contains(&number)),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        _ => true,
    }
}

fn is_within(detail: &Value, other: &Value) -> bool {
    let (Some(detail), Some(other)) = (detail.as_object(), other.as_object()) else { return false };
    let member = |(name, value): (&String, &Value)| match other.get(name) {
        None => false,
        Some(theirs) if SETS.contains(&name.as_str()) => is_subset(value, theirs),
        Some(theirs) => value == theirs,
    };
    detail.len() == other.len() && detail.iter().all(member)
}

fn is_subset(set: &Value, other: &Value) -> bool {
    let (Some(set), Some(other)) = (set.as_array(), other.as_array()) else { return false };
    set.is_empty() == other.is_empty() && set.iter().all(|word| other.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(narrow: &str, wide: &str) -> bool {
        Details::parse(narrow).unwrap().is_within(&Details::parse(wide).unwrap())
    }

    #[test]
    fn only_what_is_narrower_under_any_meaning_is_within() {
        let wide = r#"[{"type":"pay","actions":["read","send"],"locations":["https://a"],"limit":5},{"type":"see"}]"#;
        for good in [
            wide,
            r#"[{"type":"see"}]"#,
            r#"[{"limit":5,"type":"pay","actions":["send"],"locations":["https://a"]}]"#,
            r#"[{"type":"see"},{"type":"see"}]"#,
        ] {
            assert!(within(good, wide), "{good}");
        }
        for bad in [
            "[]",
            r#"[{"type":"other"}]"#,
            r#"[{"type":"see","actions":["read"]}]"#,
            r#"[{"type":"pay","actions":["read","wipe"],"locations":["https://a"],"limit":5}]"#,
            r#"[{"type":"pay","actions":[],"locations":["https://a"],"limit":5}]"#,
            r#"[{"type":"pay","locations":["https://a"],"limit":5}]"#,
            r#"[{"type":"pay","actions":["read"],"locations":["https://a"]}]"#,
            r#"[{"type":"pay","actions":["read"],"locations":["https://a"],"limit":4}]"#,
            r#"[{"type":"pay","actions":["read"],"locations":["https://a"],"limit":5,"identifier":"x"}]"#,
            r#"[{"type":"see"},{"type":"other"}]"#,
        ] {
            assert!(!within(bad, wide), "{bad}");
        }
        assert!(within("[]", "[]"));
        assert!(!within(r#"[{"type":"see"}]"#, "[]"));
    }

    #[test]
    fn malformed_lists_are_refused() {
        for (bad, why) in [
            ("{}", DetailsError::NotAList),
            ("[1]", DetailsError::NotAList),
            (r#"[{"type":"a","type":"b"}]"#, DetailsError::NotAList),
            ("[{}]", DetailsError::Type),
            (r#"[{"type":1}]"#, DetailsError::Type),
            (r#"[{"type":"a","actions":"read"}]"#, DetailsError::Member("actions")),
            (r#"[{"type":"a","privileges":[1]}]"#, DetailsError::Member("privileges")),
            (r#"[{"type":"a","identifier":1}]"#, DetailsError::Member("identifier")),
            (r#"[{"type":"a","limit":1.5}]"#, DetailsError::Number),
            (r#"[{"type":"a","limit":{"x":[9007199254740993]}}]"#, DetailsError::Number),
        ] {
            assert_eq!(Details::parse(bad).unwrap_err(), why, "{bad}");
        }
        let many = format!("[{}]", [r#"{"type":"a"}"#; MOST + 1].join(","));
        assert_eq!(Details::parse(&many), Err(DetailsError::NotAList));
    }
}
