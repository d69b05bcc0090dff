//! The payload of a submission: what is committed to and kept apart.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use crate::Text;

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

/// Everything under `disclose`, in the order it was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disclose<'a>(pub Vec<(Text<'a>, Disclosable<'a>)>);

impl<'a> Disclose<'a> {
    /// Whether there is nothing to disclose.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Disclosable<'a>> {
        self.0.iter().find(|(member, _)| &**member == name).map(|(_, value)| value)
    }
}

/// More digests than this do not fit a leaf of 65,535 bytes, each taking 46.
const MOST_MEMBERS: usize = 1424;

/// Holds a member's name against RFC 9901, section 5 (reserved names) and those before it.
fn check_name<'s, E: Error>(
    name: &str,
    mut seen: impl ExactSizeIterator<Item = &'s str>,
) -> Result<(), E> {
    if seen.len() == MOST_MEMBERS {
        return Err(E::custom(format!(
            "an object has more than {MOST_MEMBERS} members; send it inside an array to commit to it whole"
        )));
    }
    if name == "_sd" || name == "..." {
        return Err(E::custom(format!("the name `{name}` is reserved by RFC 9901")));
    }
    // INVARIANT D13: two members of one name are read differently by different parsers.
    if seen.any(|other| other == name) {
        return Err(E::custom(format!("the member `{}` stands twice", crate::time::clip(name))));
    }
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Disclose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = Disclose<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of payloads")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Text<'de>, Disclosable<'de>)> = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    check_name(&name, members.iter().map(|(other, _)| &**other))?;
                    let raw: &'de RawValue = map.next_value()?;
                    let value = if &*name == WHOLE || !raw.get().starts_with('{') {
                        Disclosable::Whole(Cow::Borrowed(raw.get()))
                    } else {
                        let Members(inner) = serde_json::from_str(raw.get()).map_err(|e| {
                            A::Error::custom(format!("`{}`: {e}", crate::time::clip(&name)))
                        })?;
                        // An empty object has no member to commit to: it is committed to whole.
                        if inner.is_empty() { Disclosable::Whole(Cow::Borrowed(raw.get())) } else { Disclosable::Members(inner) }
                    };
                    members.push((name, value));
                }
                Ok(Disclose(members))
            }
        }
        deserializer.deserialize_map(Outer)
    }
}

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
                    check_name(&name, members.iter().map(|(other, _)| &**other))?;
                    let raw: &'de RawValue = map.next_value()?;
                    members.push((name, Cow::Borrowed(raw.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Inner)
    }
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
