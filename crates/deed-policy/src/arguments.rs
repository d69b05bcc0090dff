//! The arguments of a request, mapped to what policies take them for.
//!
//! Only what a policy mentions is looked at, and it is taken exactly or not at all: no rounding, no text for a
//! number, no choice between two members of one name, and no other letter case of it: many a server takes `Amount` for
//! `amount`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    net::IpAddr,
};

use cedar_policy::RestrictedExpression as Value;
use deed_record::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::types::{Fields, Ty};

/// What came of the arguments.
#[derive(Default)]
pub(crate) struct Mapped {
    /// For Cedar.
    pub(crate) members: Vec<(String, Value)>,
    /// The same as compact JSON with sorted members, to be mapped again.
    pub(crate) text: String,
    /// What could not be mapped. Names arguments as policies do, never a value of theirs.
    pub(crate) errors: Vec<String>,
}

/// Maps the mentioned arguments.
pub(crate) fn map(arguments: Option<&RawValue>, wanted: &Fields) -> Mapped {
    let mut mapping = Mapping { path: String::from("arguments"), text: String::new(), errors: Vec::new() };
    let members = match arguments {
        Some(arguments) if !wanted.is_empty() && arguments.get() != "null" => {
            mapping.record(arguments, wanted)
        }
        _ => {
            mapping.text.push_str("{}");
            Vec::new()
        }
    };
    Mapped { members, text: mapping.text, errors: mapping.errors }
}

struct Mapping {
    /// Where we are.
    path: String,
    text: String,
    errors: Vec<String>,
}

impl Mapping {
    fn record(&mut self, json: &RawValue, wanted: &Fields) -> Vec<(String, Value)> {
        let members = match read(json.get(), Members(wanted)) {
            Ok(members) => members,
            Err(_) => {
                self.refuse(&Ty::Record(Fields::new()));
                self.text.push_str("{}");
                return Vec::new();
            }
        };
        let mut mapped = Vec::with_capacity(members.len());
        self.text.push('{');
        for (name, found) in members {
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(name);
            match found {
                Found::Twice => {
                    // INVARIANT D13: two readers could choose differently.
                    self.errors.push(format!("`{}` is there twice", self.path));
                }
                Found::Alike => {
                    // INVARIANT D13: a server that does not regard case reads what no policy has seen.
                    self.errors.push(format!(
                        "`{}` is there in another letter case than a policy has it",
                        self.path
                    ));
                }
                Found::Once(json) if json.get() == "null" => {}
                Found::Once(json) => {
                    let comma = if self.text.ends_with('{') { "" } else { "," };
                    let before = self.text.len();
                    self.text.push_str(comma);
                    push_text(&mut self.text, name);
                    self.text.push(':');
                    match self.value(json, &wanted[name]) {
                        Some(value) => mapped.push((name.to_owned(), value)),
                        None => self.text.truncate(before),
                    }
                }
            }
            self.path.truncate(length);
        }
        self.text.push('}');
        mapped
    }

    /// A value of the type; `None` and an error if it has none.
    fn value(&mut self, json: &RawValue, ty: &Ty) -> Option<Value> {
        if let Ty::Record(wanted) = ty {
            // Cedar refuses a name that stands twice, which none does here.
            return Value::new_record(self.record(json, wanted)).ok();
        }
        let value = match ty {
            Ty::Set(element) => self.set(json, element),
            ty => self.scalar(json.get(), ty),
        };
        if value.is_none() {
            self.refuse(ty);
        }
        value
    }

    fn set(&mut self, json: &RawValue, element: &Ty) -> Option<Value> {
        let elements: Vec<&RawValue> = read(json.get(), Elements).ok()?;
        self.text.push('[');
        let mut values = Vec::with_capacity(elements.len());
        for (at, json) in elements.into_iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            values.push(self.scalar(json.get(), element)?);
        }
        self.text.push(']');
        Some(Value::new_set(values))
    }

    fn scalar(&mut self, json: &str, ty: &Ty) -> Option<Value> {
        match ty {
            Ty::Bool => {
                let value = json.parse().ok()?;
                self.text.push_str(json);
                Some(Value::new_bool(value))
            }
            Ty::Long => {
                let value: i64 = json.parse().ok()?;
                self.text.push_str(&value.to_string());
                Some(Value::new_long(value))
            }
            Ty::Decimal => {
                let decimal = decimal(json)?;
                self.text.push_str(json);
                Some(Value::new_decimal(decimal))
            }
            Ty::String => {
                let value: String = serde_json::from_str(json).ok()?;
                push_text(&mut self.text, &value);
                Some(Value::new_string(value))
            }
            Ty::Datetime => {
                let value: String = serde_json::from_str(json).ok()?;
                let date = value.len() == 10;
                let time = if date { format!("{value}T00:00:00Z") } else { value.clone() };
                let time: Timestamp = time.parse().ok()?;
                push_text(&mut self.text, &value);
                Some(datetime(time))
            }
            Ty::Ip => {
                let value: String = serde_json::from_str(json).ok().filter(|text: &String| is_ip(text))?;
                push_text(&mut self.text, &value);
                Some(Value::new_ip(value))
            }
            Ty::Presence => {
                self.text.push_str("true");
                Some(Value::new_bool(true))
            }
            Ty::Set(_) | Ty::Record(_) | Ty::Conflict => None,
        }
    }

    fn refuse(&mut self, ty: &Ty) {
        // INVARIANT D9: the path is the policy's; the value is nobody's business here.
        self.errors.push(match ty {
            Ty::Conflict => format!("policies that apply together take `{}` for different things", self.path),
            ty => format!("`{}` is not {ty}, as a policy takes it", self.path),
        });
    }
}

/// A time as Cedar knows it, to the millisecond.
pub(crate) fn datetime(time: Timestamp) -> Value {
    let text = time.to_text();
    let text = std::str::from_utf8(&text[..23]).unwrap_or_default();
    Value::new_datetime(format!("{text}Z"))
}

/// A JSON number as Cedar writes decimals, if it is one exactly: up to four places, 64 bits over ten thousand.
fn decimal(json: &str) -> Option<String> {
    let (negative, digits) = match json.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", json),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 4 {
        return None;
    }
    // Cedar keeps ten-thousandths in 64 bits.
    format!("{negative}{whole}{fraction:0<4}").parse::<i64>().ok()?;
    Some(format!("{negative}{whole}.{fraction:0<1}"))
}

/// An address, or a range of them in CIDR notation.
fn is_ip(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bits = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        // Cedar does not read what mixes both.
        Ok(IpAddr::V6(_)) if !address.contains('.') => 128,
        _ => return false,
    };
    prefix.is_none_or(|prefix| {
        let plain = prefix == "0" || !prefix.starts_with(['0', '+']);
        plain && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= bits)
    })
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn read<'j, V: Visitor<'j>>(json: &'j str, visitor: V) -> Result<V::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = deserializer.deserialize_any(visitor)?;
    deserializer.end()?;
    Ok(value)
}

/// A member that is wanted.
enum Found<'j> {
    Once(&'j RawValue),
    Twice,
    /// Its name in another letter case is, whether or not it is there itself.
    Alike,
}

/// Reads the wanted members of an object.
struct Members<'w>(&'w Fields);

impl<'j, 'w> Visitor<'j> for Members<'w> {
    type Value = BTreeMap<&'w str, Found<'j>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(Key(name)) = map.next_key()? {
            match self.0.get_key_value(&*name) {
                Some((name, _)) => {
                    let found = Found::Once(map.next_value()?);
                    match members.entry(name.as_str()) {
                        Entry::Vacant(entry) => {
                            entry.insert(found);
                        }
                        Entry::Occupied(mut entry) if matches!(entry.get(), Found::Once(_)) => {
                            entry.insert(Found::Twice);
                        }
                        Entry::Occupied(_) => {}
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    if let Some(wanted) = self.0.keys().find(|wanted| is_alike(wanted, &name)) {
                        members.insert(wanted, Found::Alike);
                    }
                }
            }
        }
        Ok(members)
    }
}

/// Whether two names are one to those to whom case is nothing.
fn is_alike(one: &str, other: &str) -> bool {
    match one.is_ascii() && other.is_ascii() {
        true => one.eq_ignore_ascii_case(other),
        false => folded(one) == folded(other),
    }
}

/// A name as those read it to whom case is nothing, Go's `encoding/json` among them.
pub fn folded(name: &str) -> String {
    match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        // By way of upper case, as the long s and the Kelvin sign are letters too.
        false => name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect(),
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'j>(#[serde(borrow)] Cow<'j, str>);

/// Reads the elements of an array.
struct Elements;

impl<'j> Visitor<'j> for Elements {
    type Value = Vec<&'j RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() == MOST_ELEMENTS {
                return Err(A::Error::custom("too many elements"));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

/// More than any policy compares; Cedar's sets are slow.
const MOST_ELEMENTS: usize = 10_000;
