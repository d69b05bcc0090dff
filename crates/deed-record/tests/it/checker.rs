//! As much of JSON Schema 2020-12 as the schema of records uses. A keyword that is not known here fails
//! the test, so that the schema cannot say what nothing checks.

use deed_record::Timestamp;
use serde_json::{Map, Value};

/// Whether `value` is valid under `schema`, a part of `root`; else where and why not.
pub(crate) fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    Checker { root }.check(schema, value, "$")
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{at}: nothing may stand here")),
            schema => schema.as_object().expect("a schema is an object"),
        };
        schema.iter().try_for_each(|(keyword, argument)| self.keyword(schema, keyword, argument, value, at))
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        argument: &Value,
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let is_valid = |schema: &Value| self.check(schema, value, at).is_ok();
        let list = || argument.as_array().expect("a list");
        let number = || argument.as_i64().expect("a number");
        let holds = match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "then" => true,
            "$ref" => return self.check(self.definition(argument), value, at),
            "type" => match argument {
                Value::Array(types) => types.iter().any(|t| is_of_type(t, value)),
                one => is_of_type(one, value),
            },
            "enum" => list().contains(value),
            "const" => argument == value,
            "not" => !is_valid(argument),
            "allOf" => return list().iter().try_for_each(|schema| self.check(schema, value, at)),
            "anyOf" => list().iter().any(is_valid),
            "if" if is_valid(argument) => return self.check(&schema["then"], value, at),
            "if" => true,
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as i64 >= number()),
            "minimum" => value.as_f64().is_none_or(|value| value >= number() as f64),
            "maximum" => match value.as_u64() {
                Some(value) => value <= number() as u64,
                None => value.as_f64().is_none_or(|value| value <= number() as f64),
            },
            "pattern" => {
                let pattern = regex::Regex::new(argument.as_str().expect("a text")).expect("a pattern");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "format" => value.as_str().is_none_or(|text| is_of_format(argument, text)),
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                return items.try_for_each(|(i, item)| self.check(argument, item, &format!("{at}[{i}]")));
            }
            "maxProperties" => value.as_object().is_none_or(|object| object.len() as i64 <= number()),
            "required" => {
                let missing = |object: &Map<String, Value>| {
                    list().iter().any(|name| !object.contains_key(name.as_str().expect("a name")))
                };
                !value.as_object().is_some_and(missing)
            }
            "propertyNames" => {
                let mut names = value.as_object().into_iter().flat_map(Map::keys);
                return names.try_for_each(|name| self.check(argument, &Value::from(&**name), at));
            }
            "properties" => {
                let mut known = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(name, value)| argument.get(name).map(|schema| (name, schema, value)));
                return known.try_for_each(|(name, schema, value)| {
                    self.check(schema, value, &format!("{at}.{name}"))
                });
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                let mut others = value.as_object().into_iter().flatten();
                return others.try_for_each(|(name, value)| match known.and_then(|known| known.get(name)) {
                    Some(_) => Ok(()),
                    None => self.check(argument, value, &format!("{at}.{name}")),
                });
            }
            unknown => panic!("the schema uses `{unknown}`, which this checker does not know"),
        };
        if holds { Ok(()) } else { Err(format!("{at}: `{keyword}` asks for {argument}, found {value}")) }
    }

    /// What `$ref` points to.
    pub(crate) fn definition(&self, reference: &Value) -> &Value {
        let name = reference.as_str().and_then(|text| text.strip_prefix("#/$defs/")).expect("a definition");
        &self.root["$defs"][name]
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|value| value.fract() == 0.0)
        }
        "null" => value.is_null(),
        other => panic!("type `{other}`"),
    }
}

fn is_of_format(name: &Value, text: &str) -> bool {
    match name.as_str().expect("a format") {
        "uuid" => text.parse::<deed_record::RecordId>().is_ok(),
        "date-time" => text.parse::<Timestamp>().is_ok(),
        other => panic!("format `{other}`"),
    }
}
