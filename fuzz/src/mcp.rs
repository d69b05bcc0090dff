//! Messages of MCP: what passes the gateway, with what is put in and cut out.

use deed_gateway::{Id, Message, fuzzing};
use serde_json::Value;

/// A message; if it is a request, with a trace put in; if it is a list of tools, with tools cut out.
pub fn mcp(data: &[u8]) {
    match Message::read(data) {
        Err(malformed) => assert!(malformed.code < 0 && malformed.why.len() < 500),
        Ok(message) => {
            // Whoever else reads it finds the same one object.
            let value: Value = serde_json::from_slice(data).expect("JSON");
            assert_eq!(value["jsonrpc"], "2.0");
            let text = std::str::from_utf8(data).expect("UTF-8");
            match message {
                Message::Request { id, method, .. } => request(text, &value, &id, &method),
                Message::Response { outcome: Ok(_), .. } => list(text),
                _ => {}
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        masked(text);
    }
}

/// A trace changes nothing else.
fn request(text: &str, value: &Value, id: &Id, method: &str) {
    let traced = fuzzing::with_trace(text).expect("a request");
    let Ok(Message::Request { id: same_id, method: same_method, .. }) = Message::read(traced.as_bytes())
    else {
        panic!("what was put in made it two messages, or none: {traced}");
    };
    assert!(same_id == *id && same_method == method);
    let mut without: Value = serde_json::from_str(&traced).expect("JSON");
    let meta = value["params"].get("_meta");
    // What stood there in its place, a `traceparent` that is none or no `_meta` at all, is put back.
    match meta {
        Some(Value::Null) => without["params"]["_meta"] = Value::Null,
        Some(meta) => match (without["params"]["_meta"].as_object_mut(), meta.get("traceparent")) {
            (Some(members), Some(stood)) => drop(members.insert("traceparent".to_owned(), stood.clone())),
            (Some(members), None) => drop(members.remove("traceparent")),
            (None, _) => {}
        },
        None => drop(without["params"].as_object_mut().and_then(|params| params.remove("_meta"))),
    }
    if let Some(message) = without.as_object_mut().filter(|_| value.get("params").is_none()) {
        message.remove("params");
    }
    assert_eq!(without, *value);
}

/// What is hidden is gone, and the rest is still a list.
fn list(text: &str) {
    let names = fuzzing::tools(text);
    let Some(hidden) = names.first().cloned() else { return };
    let cut = fuzzing::without_tools(text, vec![hidden.clone()]);
    assert!(Message::read(cut.as_bytes()).is_ok(), "{cut}");
    let left = fuzzing::tools(&cut);
    assert!(
        !left.contains(&hidden)
            && left == names.into_iter().filter(|name| *name != hidden).collect::<Vec<_>>()
    );
}

/// No member of that name keeps its value.
fn masked(text: &str) {
    let Some(masked) = fuzzing::without_field(text, "tax_id") else { return };
    fn look(value: &Value) {
        match value {
            Value::Object(members) => {
                assert!(members.get("tax_id").is_none_or(|value| value == "[masked by policy]"));
                members.values().for_each(look);
            }
            Value::Array(items) => items.iter().for_each(look),
            Value::String(text) => {
                if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                    look(&inner);
                }
            }
            _ => {}
        }
    }
    look(&serde_json::from_str(&masked).expect("JSON"));
}
