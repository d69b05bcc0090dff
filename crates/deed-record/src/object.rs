//! Reading structs from JSON objects, and from nothing else.
//!
//! serde's derived readers also take a struct from an array, member by member in the order of the
//! source. A record has one spelling: `["human", …]` is no principal.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
    forward_to_deserialize_any,
};

/// A deserializer that reads structs as maps.
pub(crate) struct ObjectOnly<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Makes structs with `#[serde(remote = "Self")]` readable from objects only.
macro_rules! objects {
    ($($name:ident $(<$life:lifetime>)?),* $(,)?) => {$(
        impl<'de $(: $life, $life)?> serde::Deserialize<'de> for $name $(<$life>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The derived reader is an inherent function, which comes before this one.
                $name::deserialize(crate::object::ObjectOnly(deserializer))
            }
        }

        impl $(<$life>)? serde::Serialize for $name $(<$life>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $name::serialize(self, serializer)
            }
        }
    )*};
}
pub(crate) use objects;

/// A list; `null` is the same as leaving it out, as it is for every other member.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An integer that every JSON reader reads alike: sealed ones stay within ±2^53.
pub(crate) fn small_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Small;
    impl Visitor<'_> for Small {
        type Value = i64;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an integer within ±2^53")
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            const LIMIT: i64 = 1 << 53;
            if (-LIMIT..=LIMIT).contains(&value) {
                Ok(value)
            } else {
                Err(E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
            self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
        }
        // `41.0` is an integer to JSON Schema, and what some writers make of one.
        fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
            if value.fract() == 0.0 && value.abs() <= (1_i64 << 53) as f64 {
                self.visit_i64(value as i64)
            } else {
                Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
            }
        }
    }
    struct SmallOrNull;
    impl<'de> Visitor<'de> for SmallOrNull {
        type Value = Option<i64>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Small.expecting(f)
        }
        fn visit_none<E: Error>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Option<i64>, D::Error> {
            inner.deserialize_i64(Small).map(Some)
        }
    }
    deserializer.deserialize_option(SmallOrNull)
}
