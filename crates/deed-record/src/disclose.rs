//! The payload of a submission: what is committed to and kept apart.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use crate::{Text, error::shown_name, read::reason};

/// The member of `disclose` that is always committed to whole: the original event of another system.
pub const WHOLE: &str = "event";

/// What stands under one member of `disclose`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Disclosable<'a> {
    /// An object: one disclosure for each first-level member, its value the exact bytes sent.
    Members(Vec<(Text<'a>, Cow<'a, str>)>),
    /// Anything else, and [`WHOLE`]: one disclosure, its value the exact bytes sent.
    Whole(Cow<'a, str>),
}

impl Disclosable<'_> {
    /// How many commitments are made to it.
    fn digests(&self) -> usize {
        match self {
            Disclosable::Whole(_) => 1,
            Disclosable::Members(members) => members.len(),
        }
    }
}

/// Everything under `disclose`, in the order it was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disclose<'a>(pub Vec<(Text<'a>, Disclosable<'a>)>);

impl<'a> Disclose<'a> {
    /// Whether there is nothing to disclose.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes of what was put together here what would be read: objects are cut into their members. Whether that could be done.
    pub(crate) fn cut(&mut self) -> bool {
        let mut digests = 0;
        for (name, value) in &mut self.0 {
            match value {
                Disclosable::Whole(Cow::Borrowed(raw)) => match cut(name, raw) {
                    Ok(cut) => *value = cut,
                    Err(_) => return false,
                },
                Disclosable::Whole(Cow::Owned(raw))
                    if raw.starts_with('{') || nests_deeper(raw, DEEPEST - 2) =>
                {
                    return false;
                }
                _ => {}
            }
            digests += value.digests();
        }
        digests <= MOST_MEMBERS && check_names::<_, serde_json::Error>(&self.0).is_ok()
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Disclosable<'a>> {
        self.0.iter().find(|(member, _)| &**member == name).map(|(_, value)| value)
    }
}

/// More digests than this do not fit a leaf of 65,535 bytes, each taking 46.
const MOST_MEMBERS: usize = 1424;

/// Objects and arrays nest no deeper than this in a record, itself counted.
pub(crate) const DEEPEST: usize = 128;

impl<'de: 'a, 'a> Deserialize<'de> for Disclose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = Disclose<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Disclose::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Text<'de>, Disclosable<'de>)> = Vec::new();
                let mut digests = 0;
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    let value = map.next_value_seed(Payload(&name))?;
                    digests += value.digests();
                    if digests > MOST_MEMBERS {
                        return Err(A::Error::custom(format!(
                            "more than {MOST_MEMBERS} members in all; send them inside an array to commit to them whole"
                        )));
                    }
                    members.push((name, value));
                }
                check_names(&members)?;
                Ok(Disclose(members))
            }
        }
        deserializer.deserialize_any(Outer)
    }
}

/// What stands under this name. (A seed, so that an error has the name in its path.)
struct Payload<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Payload<'_> {
    type Value = Disclosable<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Disclosable<'de>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        cut(self.0, raw).map_err(D::Error::custom)
    }
}

/// What the JSON text `raw` is under the name `name`, or what is wrong with it.
fn cut<'a>(name: &str, raw: &'a str) -> Result<Disclosable<'a>, String> {
    // The record and `disclose` are around it.
    if nests_deeper(raw, DEEPEST - 2) {
        return Err(format!("nested deeper than {DEEPEST}"));
    }
    if name == WHOLE || !raw.starts_with('{') {
        return Ok(Disclosable::Whole(Cow::Borrowed(raw)));
    }
    let Members(members) = serde_json::from_str(raw).map_err(|e| reason(&e))?;
    // An empty object has no member to commit to: it is committed to whole.
    Ok(if members.is_empty() {
        Disclosable::Whole(Cow::Borrowed(raw))
    } else {
        Disclosable::Members(members)
    })
}

/// The first-level members of an object, each as it was sent.
struct Members<'a>(Vec<(Text<'a>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner;
        impl<'de> Visitor<'de> for Inner {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Text<'de>, Cow<'de, str>)> = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    let raw: &'de RawValue = map.next_value()?;
                    members.push((name, Cow::Borrowed(raw.get())));
                }
                check_names(&members)?;
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Inner)
    }
}

/// Holds names against RFC 9901, section 4.2.1 (reserved names), and each other.
fn check_names<T, E: Error>(members: &[(Text<'_>, T)]) -> Result<(), E> {
    const FEW: usize = 16;
    if let Some((name, _)) = members.iter().find(|(name, _)| matches!(&**name, "_sd" | "...")) {
        return Err(E::custom(format!("the name `{name}` is reserved by RFC 9901")));
    }
    // INVARIANT D13: two members of one name are read differently by different parsers.
    let twice = if members.len() <= FEW {
        members
            .iter()
            .enumerate()
            .find(|(at, (name, _))| members[..*at].iter().any(|(other, _)| other == name))
            .map(|(_, (name, _))| &**name)
    } else {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    };
    match twice {
        Some(name) => Err(E::custom(format!("the member {} stands twice", shown_name(name)))),
        None => Ok(()),
    }
}

/// Whether objects and arrays nest deeper than `most` in the JSON text `raw`.
fn nests_deeper(raw: &str, most: usize) -> bool {
    let opens = |byte: &u8| matches!(byte, b'{' | b'[');
    if raw.bytes().filter(|byte| opens(byte)).count() <= most {
        return false;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in raw.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > most
}

impl Serialize for Disclose<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn raw<E: serde::ser::Error>(text: &str) -> Result<&RawValue, E> {
            serde_json::from_str(text).map_err(E::custom)
        }
        struct Group<'g, 'a>(&'g [(Text<'a>, Cow<'a, str>)]);
        impl Serialize for Group<'_, '_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (name, value) in self.0 {
                    map.serialize_entry(name, raw(value)?)?;
                }
                map.end()
            }
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            match value {
                Disclosable::Whole(value) => map.serialize_entry(name, raw(value)?)?,
                Disclosable::Members(members) => map.serialize_entry(name, &Group(members))?,
            }
        }
        map.end()
    }
}
