//! OTLP/JSON that strict readers refuse and exporters write.

use serde_json::Value;

/// The request with what is known to be written differently put right; `None` where it is no JSON.
pub(super) fn repair(body: &[u8]) -> Option<Value> {
    let mut value = serde_json::from_slice(body).ok()?;
    walk(&mut value);
    Some(value)
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
