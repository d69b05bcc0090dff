//! Scopes: sets of words (RFC 6749, section 3.3).

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// At most this many words.
const MOST: usize = 128;
/// Each at most this long, in bytes.
const LONGEST: usize = 256;

/// A scope: a set of words, compared byte by byte. The empty scope allows nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Reads words separated by spaces; `None` where a character is not allowed, or they are too many.
    pub fn parse(text: &str) -> Option<Self> {
        Scope::of(text.split(' ').filter(|word| !word.is_empty()))
    }

    /// Of single words; `None` as in [`Scope::parse`].
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let words = words.into_iter().map(|word| is_word(word).then(|| word.to_owned()));
        let words: BTreeSet<String> = words.collect::<Option<_>>()?;
        (words.len() <= MOST).then_some(Scope(words))
    }

    /// As a claim: a text, or an array of words as some issuers send.
    pub(crate) fn from_claim(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Scope::parse(text),
            Value::Array(words) => Scope::of(words.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?),
            _ => None,
        }
    }

    /// Whether every word of it is in `other`.
    pub fn is_within(&self, other: &Scope) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether it has that word.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// The words in both.
    pub fn and(&self, other: &Scope) -> Scope {
        Scope(self.0.intersection(&other.0).cloned().collect())
    }

    /// Whether it allows nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, sorted.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_word(word: &str) -> bool {
    (1..=LONGEST).contains(&word.len()) && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words().enumerate().try_for_each(|(at, word)| {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{word}")
        })
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Scope::parse(&text).ok_or_else(|| serde::de::Error::custom("expected a scope (RFC 6749)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_refuses_what_is_none() {
        let scope = Scope::parse("b:write a:read  a:read").unwrap();
        assert_eq!(scope.to_string(), "a:read b:write");
        assert_eq!(Scope::from_claim(&serde_json::json!(["b:write", "a:read"])), Some(scope));
        for bad in ["a\"b", "a\\b", "a\tb", "é", "a\nb", &"x".repeat(LONGEST + 1)] {
            assert_eq!(Scope::parse(bad), None, "{bad}");
        }
        assert_eq!(Scope::from_claim(&serde_json::json!(["a b"])), None);
        assert_eq!(Scope::from_claim(&serde_json::json!([1])), None);
    }
}
