//! The types that arguments can have.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use serde_json::{Value, json};

/// The members of a record, by name.
pub(crate) type Fields = BTreeMap<String, Ty>;

/// What a policy takes an argument for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ty {
    Bool,
    Long,
    String,
    Decimal,
    Datetime,
    Ip,
    Set(Box<Ty>),
    Record(Fields),
    /// Only asked whether it is there: `true` stands for any value.
    Presence,
    /// Policies that apply together take it for different things.
    Conflict,
}

impl Ty {
    /// What satisfies both.
    pub(crate) fn join(self, other: Ty) -> Ty {
        match (self, other) {
            (Ty::Presence, ty) | (ty, Ty::Presence) => ty,
            (Ty::Record(mut fields), Ty::Record(more)) => {
                join_fields(&mut fields, more);
                Ty::Record(fields)
            }
            (one, other) if one == other => one,
            _ => Ty::Conflict,
        }
    }

    /// The type in the JSON form of Cedar's schemas.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Ty::Bool | Ty::Presence | Ty::Conflict => {
                json!({"type": "EntityOrCommon", "name": "__cedar::Bool"})
            }
            Ty::Long => json!({"type": "EntityOrCommon", "name": "__cedar::Long"}),
            Ty::String => json!({"type": "EntityOrCommon", "name": "__cedar::String"}),
            Ty::Decimal => json!({"type": "EntityOrCommon", "name": "__cedar::decimal"}),
            Ty::Datetime => json!({"type": "EntityOrCommon", "name": "__cedar::datetime"}),
            Ty::Ip => json!({"type": "EntityOrCommon", "name": "__cedar::ipaddr"}),
            Ty::Set(element) => json!({"type": "Set", "element": element.to_json()}),
            Ty::Record(fields) => json!({"type": "Record", "attributes": fields_to_json(fields)}),
        }
    }

    /// Reads the JSON form; or says what no argument can be.
    pub(crate) fn from_json(json: &Value) -> Result<Ty, String> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let name = match text("type") {
            Some("Set") => {
                let element = Ty::from_json(json.get("element").unwrap_or(&Value::Null))?;
                return match element {
                    Ty::Set(_) | Ty::Record(_) => {
                        Err("sets of sets and of records are no arguments".to_owned())
                    }
                    element => Ok(Ty::Set(Box::new(element))),
                };
            }
            Some("Record") => return Ok(Ty::Record(fields_from_json(json)?)),
            Some("EntityOrCommon" | "Extension" | "Entity") => text("name"),
            other => other,
        };
        let name = name.unwrap_or_default();
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Ok(Ty::Bool),
            "Long" => Ok(Ty::Long),
            "String" => Ok(Ty::String),
            "decimal" => Ok(Ty::Decimal),
            "datetime" => Ok(Ty::Datetime),
            "ipaddr" => Ok(Ty::Ip),
            _ => Err(format!("`{name}` is no type of an argument")),
        }
    }
}

/// Adds to the fields of a record those of another.
pub(crate) fn join_fields(fields: &mut Fields, more: Fields) {
    for (name, ty) in more {
        match fields.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(ty);
            }
            Entry::Occupied(mut entry) => {
                let one = std::mem::replace(entry.get_mut(), Ty::Conflict);
                *entry.get_mut() = one.join(ty);
            }
        }
    }
}

/// The attributes of a record in the JSON form of Cedar's schemas. Each may be missing, for arguments may.
pub(crate) fn fields_to_json(fields: &Fields) -> Value {
    let attribute = |(name, ty): (&String, &Ty)| {
        let mut json = ty.to_json();
        json["required"] = Value::Bool(false);
        (name.clone(), json)
    };
    Value::Object(fields.iter().map(attribute).collect())
}

/// Reads the attributes of a record.
pub(crate) fn fields_from_json(json: &Value) -> Result<Fields, String> {
    let mut fields = Fields::new();
    let Some(Value::Object(attributes)) = json.get("attributes") else { return Ok(fields) };
    for (name, attribute) in attributes {
        if attribute.get("required") != Some(&Value::Bool(false)) {
            return Err(format!("any argument may be missing: write `{name}?`"));
        }
        fields.insert(name.clone(), Ty::from_json(attribute).map_err(|what| format!("`{name}`: {what}"))?);
    }
    Ok(fields)
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ty::Bool => "`true` or `false`",
            Ty::Long => "a whole number of 64 bits",
            Ty::String => "a text",
            Ty::Decimal => "a number with up to four decimal places",
            Ty::Datetime => "a time",
            Ty::Ip => "an IP address or range",
            Ty::Set(_) => "a list",
            Ty::Record(_) => "an object",
            Ty::Presence => "anything",
            Ty::Conflict => "several things",
        })
    }
}
