//! Arguments that headers repeat for those on the way (MCP 2026-07-28, Custom Headers from Tool Parameters).

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, value::RawValue};

use super::headers;

/// How deep the properties of a schema are looked through.
const DEEPEST: usize = 32;

/// An argument of a tool that a header repeats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mirrored {
    header: HeaderName,
    /// The properties that lead to it.
    path: Vec<String>,
}

/// What headers repeat of the arguments of the tool that `definition` defines. Nothing where it breaks the rules for that:
/// clients do not call such a tool.
pub(crate) fn mirrored(definition: &RawValue) -> Vec<Mirrored> {
    let definition: Value = serde_json::from_str(definition.get()).unwrap_or_default();
    let mut found = Vec::new();
    let is_valid = definition["inputSchema"]["properties"]
        .as_object()
        .is_none_or(|properties| look(properties, &mut Vec::new(), &mut found).is_some());
    let mut names: Vec<&str> = found.iter().map(|one| one.header.as_str()).collect();
    names.sort_unstable();
    let is_unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    if is_valid && is_unique { found } else { Vec::new() }
}

fn look(properties: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Option<()> {
    if path.len() >= DEEPEST {
        return None;
    }
    for (name, schema) in properties {
        path.push(name.clone());
        if let Some(mark) = schema.get("x-mcp-header") {
            let mark = mark.as_str().filter(|mark| !mark.is_empty())?;
            let is_primitive = matches!(schema["type"].as_str(), Some("string" | "integer" | "boolean"));
            let header = HeaderName::try_from(format!("mcp-param-{mark}")).ok().filter(|_| is_primitive)?;
            found.push(Mirrored { header, path: path.clone() });
        }
        if let Some(properties) = schema["properties"].as_object() {
            look(properties, path, found)?;
        }
        path.pop();
    }
    Some(())
}

/// Whether the headers say of the arguments in `params` what those say.
///
/// INVARIANT D13: what could be read in two ways is refused.
///
/// # Errors
/// What does not agree, in words; no value is repeated (D9).
pub(super) fn check(
    headers: &HeaderMap,
    mirrored: &[Mirrored],
    params: Option<&RawValue>,
) -> Result<(), String> {
    if mirrored.is_empty() {
        return Ok(());
    }
    let params: Value = params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
    for Mirrored { header, path } in mirrored {
        let value = path.iter().fold(&params["arguments"], |value, name| &value[name.as_str()]);
        let mut found = headers.get_all(header).iter();
        let wrong = |what: &str| Err(format!("Header mismatch: the header `{header}` {what}"));
        match (found.next(), found.next(), value) {
            (None, _, Value::Null) => {}
            (None, _, _) => return wrong("is missing"),
            (Some(_), Some(_), _) => return wrong("is there twice"),
            (Some(text), None, value) => match headers::decoded(text) {
                Some(text) if is_said(value, &text) => {}
                Some(_) => return wrong("is not what the arguments say"),
                None => return wrong("is no text, or no base64 of any"),
            },
        }
    }
    Ok(())
}

/// Whether `text` is `value`; integers are compared as numbers.
fn is_said(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Bool(value) => text == if *value { "true" } else { "false" },
        Value::Number(number) => {
            let both = || Some((number.as_f64()?, text.parse::<f64>().ok()?));
            number.to_string() == text || both().is_some_and(|(a, b)| a == b)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    const TOOL: &str = r#"{"name":"t","inputSchema":{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},"plain":{"type":"string"},
        "at":{"type":"object","properties":{"shard":{"type":"integer","x-mcp-header":"Shard"}}},
        "dry":{"type":"boolean","x-mcp-header":"Dry"}}}}"#;

    #[test]
    fn headers_must_say_what_the_arguments_say() {
        let mirrored = mirrored(&raw(TOOL));
        assert_eq!(mirrored.len(), 3);
        let params = raw(r#"{"arguments":{"region":"größe","at":{"shard":42},"dry":null}}"#);
        let all = [("mcp-param-region", "=?base64?Z3LDtsOfZQ==?="), ("mcp-param-shard", "42")];
        assert_eq!(check(&headers(&all), &mirrored, Some(&params)), Ok(()));
        let as_decimal = [all[0], ("mcp-param-shard", "42.0"), ("mcp-param-unknown", "x")];
        assert_eq!(check(&headers(&as_decimal), &mirrored, Some(&params)), Ok(()));
        for wrong in [
            vec![all[0]],
            vec![all[1]],
            vec![all[0], ("mcp-param-shard", "43")],
            vec![all[0], all[1], ("mcp-param-shard", "42")],
            vec![("mcp-param-region", "groesse"), all[1]],
            vec![("mcp-param-region", "=?base64?!?="), all[1]],
            vec![all[0], all[1], ("mcp-param-dry", "false")],
        ] {
            assert!(check(&headers(&wrong), &mirrored, Some(&params)).is_err(), "{wrong:?}");
        }
        assert_eq!(check(&headers(&[]), &mirrored, Some(&raw("{}"))), Ok(()));
        assert!(check(&headers(&all), &mirrored, None).is_err());
    }

    #[test]
    fn a_definition_that_breaks_the_rules_marks_nothing() {
        for properties in [
            r#"{"a":{"type":"number","x-mcp-header":"A"}}"#,
            r#"{"a":{"type":"string","x-mcp-header":""}}"#,
            r#"{"a":{"type":"string","x-mcp-header":"A B"}}"#,
            r#"{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}"#,
        ] {
            let tool = format!(r#"{{"name":"t","inputSchema":{{"properties":{properties}}}}}"#);
            assert_eq!(mirrored(&raw(&tool)), [], "{tool}");
        }
    }
}
