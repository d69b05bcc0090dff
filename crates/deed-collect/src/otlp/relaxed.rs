//! OTLP/JSON that strict readers refuse and exporters write.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Export, Request, sealed::Sealed};

/// The request with what is known to be written differently put right; `None` where it is no JSON.
pub(super) fn repair(body: &[u8]) -> Option<Value> {
    let mut value = match serde_json::from_slice(body) {
        Ok(value) => value,
        // No JSON, or too deep for its reader.
        Err(_) => serde_json::from_slice(&cut_deep(body)?).ok()?,
    };
    walk(&mut value);
    Some(value)
}

/// Levels that the reader of JSON takes.
const DEEPEST: usize = 127;
/// Stands where something was cut out that nests deeper.
const CUT: &str = "deed: nests too deep";

/// `body` with [`CUT`] in the place of everything that nests deeper than [`DEEPEST`]; `None` where nothing does.
fn cut_deep(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let (mut depth, mut in_string, mut is_escaped, mut is_cut) = (0_usize, false, false, false);
    for &byte in body {
        let was_deep = depth > DEEPEST;
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
        } else {
            match byte {
                b'"' => in_string = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        match (was_deep, depth > DEEPEST) {
            (false, false) => out.push(byte),
            (false, true) => {
                is_cut = true;
                out.extend_from_slice(format!("\"{CUT}\"").as_bytes());
            }
            (true, _) => {}
        }
    }
    is_cut.then_some(out)
}

/// Whether something was cut out of `value`.
fn is_cut(value: &Value) -> bool {
    match value {
        Value::String(text) => text == CUT,
        Value::Array(items) => items.iter().any(is_cut),
        Value::Object(members) => members.values().any(is_cut),
        _ => false,
    }
}

/// The request in `value`, without the items that cannot be read; `None` where that is none.
pub(super) fn read<R: Export>(mut value: Value) -> Option<Request<R>> {
    if !is_cut(&value)
        && let Ok(message) = R::deserialize(&value)
    {
        return Some(Request::from(message));
    }
    let refused = take_out::<R>(&mut value);
    let message = R::deserialize(&value).ok()?;
    Some(Request { message, refused })
}

/// Empties each item that cannot be read, so that the others keep their numbers; these, and why.
fn take_out<R: Sealed>(request: &mut Value) -> Vec<(usize, String)> {
    let names = R::NAMES;
    let mut refused = Vec::new();
    let mut number = 0;
    for resource in list(request, names.resources) {
        let of_resource = fault_around::<R::Resource>(resource, names.scopes);
        for scope in list(resource, names.scopes) {
            let of_scope = fault_around::<R::Scope>(scope, names.items);
            let around = of_resource.as_ref().or(of_scope.as_ref());
            for item in list(scope, names.items) {
                if let Some(why) = around.cloned().or_else(|| fault::<R::Item>(item)) {
                    refused.push((number, why));
                    *item = Value::Object(serde_json::Map::new());
                }
                number += 1;
            }
        }
    }
    refused
}

/// The items of the list under `name`.
fn list<'v>(value: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> + use<'v> {
    value.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Why what stands around the list under `name` cannot be read; it is then taken away.
fn fault_around<T: DeserializeOwned>(value: &mut Value, name: &str) -> Option<String> {
    let list = value.as_object_mut()?.remove(name);
    let fault = fault::<T>(value);
    let members = value.as_object_mut()?;
    if fault.is_some() {
        members.clear();
    }
    if let Some(list) = list {
        members.insert(name.to_owned(), list);
    }
    fault
}

/// Why `value` is no `T`: the field and what belongs there, and nothing of what stands there (D9).
fn fault<T: DeserializeOwned>(value: &Value) -> Option<String> {
    if is_cut(value) {
        return Some(format!("it nests deeper than the {DEEPEST} levels that an export may have in JSON"));
    }
    let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
    let path = error.path().to_string();
    let message = error.inner().to_string();
    let field = path.rsplit('.').next().unwrap_or_default();
    let expected = match field {
        "traceId" => "32 hex digits",
        "spanId" | "parentSpanId" => "16 hex digits",
        _ if field.ends_with("UnixNano") => "nanoseconds since 1970, in digits",
        _ if message.starts_with("invalid type: ") => {
            match message.rsplit_once(", expected ").map(|(_, expected)| expected) {
                Some("a sequence") => "a list",
                Some(expected) if !expected.starts_with("struct ") => expected,
                _ => "an object",
            }
        }
        _ => "another form",
    };
    Some(if path == "." {
        format!("expected {expected}")
    } else {
        format!("field `{path}`: expected {expected}")
    })
}

/// Names of enum values (protobuf's own JSON mapping) and their numbers (OTLP's).
const ENUMS: &[(&str, i64)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
];

fn walk(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Object(members) => {
            // Absent is written as `null` by some; every field has a default.
            members.retain(|_, member| !member.is_null());
            for (name, member) in members.iter_mut() {
                match name.as_str() {
                    // Empty lists are left out by protobuf's JSON mapping.
                    "arrayValue" | "kvlistValue" => {
                        if let Value::Object(list) = member {
                            list.entry("values").or_insert_with(|| Value::Array(Vec::new()));
                        }
                    }
                    "kind" | "code" | "severityNumber" => {
                        if let Some(number) = member.as_str().and_then(number_of) {
                            *member = number.into();
                        }
                    }
                    _ => {}
                }
                walk(member);
            }
            // JSON has no such number; the reader of `doubleValue` takes no string.
            if let Some(Value::String(_)) = members.get("doubleValue")
                && let Some(number) = members.remove("doubleValue")
            {
                members.insert("stringValue".to_owned(), number);
            }
        }
        _ => {}
    }
}

fn number_of(name: &str) -> Option<i64> {
    if let Some(severity) = name.strip_prefix("SEVERITY_NUMBER_") {
        let (level, step) = match severity.find(|c: char| c.is_ascii_digit()) {
            Some(at) => (&severity[..at], severity[at..].parse::<i64>().ok()?),
            None => (severity, 1),
        };
        let base =
            ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].iter().position(|known| *known == level)?;
        return Some(i64::try_from(base).ok()? * 4 + step);
    }
    ENUMS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
