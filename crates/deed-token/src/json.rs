//! JSON that can be read in one way only: no member twice, nothing behind the end, not too deep.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// How deep arrays and objects may stand in each other. No claim in use needs half of it.
const DEEPEST: usize = 24;

/// Reads one object.
///
/// INVARIANT D13: an object with a member twice is refused at any depth, for two parsers could take
/// different ones (RFC 7519, section 4, leaves the choice open).
pub(crate) fn object(bytes: &[u8]) -> Result<Object, JsonError> {
    match value(bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError("expected an object".into())),
    }
}

/// Reads one value; see [`object`].
pub(crate) fn value(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: DEEPEST }.deserialize(&mut deserializer).map_err(JsonError::of)?;
    deserializer.end().map_err(JsonError::of)?;
    Ok(value)
}

/// Whether [`value`] would read it again, were it written.
pub(crate) fn is_shallow(value: &Value) -> bool {
    fn within(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(values) => left > 0 && values.iter().all(|value| within(value, left - 1)),
            Value::Object(object) => left > 0 && object.values().all(|value| within(value, left - 1)),
            _ => true,
        }
    }
    within(value, DEEPEST)
}

/// What is wrong with a JSON text, without quoting it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct JsonError(String);

impl JsonError {
    // INVARIANT D9: serde_json quotes what it finds only in errors about data, and `Strict` makes
    // none that do; places are line and column.
    #[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
    fn of(error: serde_json::Error) -> Self {
        JsonError(error.to_string())
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Strict { left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Object::new();
        while let Some(Name(name)) = map.next_key()? {
            if object.insert(name, map.next_value_seed(inner)?).is_some() {
                return Err(A::Error::custom("a member stands twice in an object"));
            }
        }
        Ok(Value::Object(object))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1}{}"#,
            r#"{"a":1} x"#,
            "[1]",
            "{",
            "",
            r#"{"a":1e999}"#,
            "\u{feff}{}",
        ] {
            assert!(object(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(object(&[b'{', 0xff, b'}']).is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(object(deep.as_bytes()).is_err());
        assert!(!is_shallow(&serde_json::from_str(&deep).unwrap_or_default()));
        let less = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST - 1), "]".repeat(DEEPEST - 1));
        assert_eq!(object(less.as_bytes()).map(|object| is_shallow(&Value::Object(object))), Ok(true));
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,"x",null,true,{"b":{}}],"c":18446744073709551615}"#;
        assert_eq!(value(text.as_bytes()).ok(), serde_json::from_str(text).ok());
    }

    #[test]
    fn errors_do_not_quote() {
        let error = object(br#"{"token":"hunter2","token":"hunter3"}"#).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{error}");
    }
}
