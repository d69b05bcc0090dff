//! Every answer of the API is held to `openapi.json`: a small validator for the part of JSON Schema
//! that the document uses, and no more.

use std::sync::LazyLock;

use deed_record::{RecordId, Timestamp};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap());

/// Holds an answer to what the document says of `method path`. What is no endpoint is not looked at.
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    // Behind the gateway it is the servers that answer.
    if path.starts_with("/mcp/") {
        return;
    }
    let Some(operation) = operation(method, path) else { return };
    let said = &operation["responses"];
    let response = match said.get(status.as_str()).or(said.get("default")) {
        Some(response) => resolve(response),
        None => panic!(
            "{method} {path} answered {status}, which is not documented: {}",
            String::from_utf8_lossy(body)
        ),
    };
    if response.get("content").is_none() {
        assert!(body.is_empty(), "{method} {path} answered {status} with a body, which is not documented");
        return;
    }
    let found = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
    let Some(content) = response["content"].get(found) else {
        panic!("{method} {path} answered {status} as `{found}`, which is not documented");
    };
    if found.ends_with("json") && found != "application/x-ndjson" {
        let value: Value = serde_json::from_slice(body).unwrap();
        if let Err(why) = validate(&content["schema"], &value) {
            panic!("{method} {path} {status}: {why} in {value}");
        }
    }
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let found = paths
        .iter()
        .filter(|(template, _)| is_of(template, path))
        .min_by_key(|(template, _)| template.contains('{'))?;
    found.1.get(method.as_str().to_lowercase())
}

fn is_of(template: &str, path: &str) -> bool {
    if let Some(prefix) = template.strip_suffix("{path}") {
        return path.starts_with(prefix);
    }
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t == p || t.starts_with('{'))
}

fn resolve(schema: &'static Value) -> &'static Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => DOCUMENT.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

fn validate(schema: &'static Value, value: &Value) -> Result<(), String> {
    match schema.get("$ref").and_then(Value::as_str) {
        Some("#/components/schemas/Id") => return text(value)?.parse::<RecordId>().map(|_| ()),
        Some("#/components/schemas/Time") => {
            let text = text(value)?;
            return text
                .parse::<Timestamp>()
                .and_then(|time| (time.to_string() == text).then_some(()).ok_or("not as sealed".into()));
        }
        Some("#/components/schemas/Hash") => {
            return text(value)?.parse::<deed_seal::hash::Hash>().map(|_| ()).map_err(|e| e.to_string());
        }
        _ => {}
    }
    let schema = resolve(schema).as_object().unwrap();
    for (keyword, says) in schema {
        match keyword.as_str() {
            "description" | "format" | "default" | "pattern" => {}
            "type" => {
                let types: Vec<&str> = says.as_array().map_or_else(
                    || vec![says.as_str().unwrap()],
                    |types| types.iter().map(|t| t.as_str().unwrap()).collect(),
                );
                if !types.contains(&type_of(value)) {
                    return Err(format!("expected {types:?}, found {value}"));
                }
            }
            "enum" => {
                if !says.as_array().unwrap().contains(value) {
                    return Err(format!("expected one of {says}, found {value}"));
                }
            }
            "required" => {
                for name in says.as_array().unwrap() {
                    if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                        return Err(format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in says.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        validate(schema, member).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.get(name).is_some()) {
                        continue;
                    }
                    match says {
                        Value::Bool(false) => return Err(format!("`{name}` is not documented")),
                        says => validate(says, member).map_err(|why| format!("{name}: {why}"))?,
                    }
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    validate(says, item)?;
                }
            }
            "oneOf" => {
                let results: Vec<_> =
                    says.as_array().unwrap().iter().map(|schema| validate(schema, value)).collect();
                if results.iter().filter(|result| result.is_ok()).count() != 1 {
                    return Err(format!("not one of: {results:?}"));
                }
            }
            other => panic!("the validator does not know `{other}`"),
        }
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("expected a string, found {value}"))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let receipt = &DOCUMENT["components"]["schemas"]["Receipt"];
    let good = serde_json::json!({ "id": "0193a7b0-0000-7000-8000-000000000000", "log": "l", "index": 7 });
    assert_eq!(validate(receipt, &good), Ok(()));
    for (name, wrong) in
        [("id", serde_json::json!("x")), ("index", serde_json::json!("7")), ("more", serde_json::json!(1))]
    {
        let mut bad = good.clone();
        bad[name] = wrong;
        assert!(validate(receipt, &bad).is_err(), "{name}");
    }
}

/// Path, method and operation of every endpoint.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Before a handler knows what a request asks, it may be refused.
#[test]
fn the_document_says_how_any_request_is_refused() {
    for (path, method, operation) in operations() {
        let said = &operation["responses"];
        // MCP and OTLP have words of their own.
        if path.starts_with("/mcp/") || said.get("default").is_some() {
            continue;
        }
        let mut statuses = vec!["400", "403", "421"];
        if operation.get("requestBody").is_some() {
            statuses.extend(["408", "413", "503"]);
        }
        for status in statuses {
            assert!(said.get(status).is_some(), "{method} {path}: {status} is not documented");
        }
    }
}

/// Programs are made from the document: it says what every object is that is answered, or that it is anything.
#[test]
fn the_document_says_what_is_answered() {
    for (path, method, operation) in operations() {
        for response in operation["responses"].as_object().unwrap().values() {
            for (media_type, content) in resolve(response)["content"].as_object().into_iter().flatten() {
                says_what_it_is(&content["schema"], &format!("{method} {path} {media_type}"));
            }
        }
    }
}

fn says_what_it_is(schema: &'static Value, place: &str) {
    let schema = resolve(schema);
    let is_object = schema.get("type").is_some_and(|kind| kind.to_string().contains("\"object\""));
    let says = schema.get("properties").or(schema.get("additionalProperties")).is_some();
    assert!(!is_object || says, "{place}: an object of which nothing is said");
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        says_what_it_is(member, &format!("{place}, {name}"));
    }
    let inner = ["items", "additionalProperties"].into_iter().filter_map(|keyword| schema.get(keyword));
    let either = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    inner.chain(either).filter(|schema| schema.is_object()).for_each(|schema| says_what_it_is(schema, place));
}
