//! The headers of Streamable HTTP: what they say of the body, and which go onward.

use base64::{Engine, engine::general_purpose::STANDARD};
use deed_record::Text;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    message::text_of,
    method::{self, PROMPT_GET, RESOURCE_READ, TOOL_CALL},
};

pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) const TRACE: HeaderName = HeaderName::from_static("traceparent");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// JSON-RPC error code: headers and body disagree (MCP 2026-07-28, Streamable HTTP, Server Validation).
pub(crate) const MISMATCH: i64 = -32020;

/// Whether a request says its version itself, as those of 2026-07-28 and later do.
pub(crate) fn is_modern(params: Option<&RawValue>) -> bool {
    version(params).is_some()
}

/// Whether the headers say so, whatever the body says.
pub(super) fn claims_modern(headers: &HeaderMap) -> bool {
    // Versions are dates, and compare as text.
    headers.get(VERSION).is_some_and(|version| version.as_bytes() >= &b"2026-07-28"[..])
}

fn version(params: Option<&RawValue>) -> Option<Text<'_>> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Meta<'a>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
        version: Text<'a>,
    }
    let params: Params<'_> = serde_json::from_str(params?.get()).ok()?;
    Some(params.meta.version)
}

/// The tool or prompt that parameters name.
pub(super) fn named(params: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }
    let named: Named<'_> = serde_json::from_str(params?.get()).ok()?;
    Some(named.name.to_string())
}

/// Whether the headers say the same as the body: others on the way may have gone by them.
///
/// INVARIANT D13: what could be read in two ways is refused.
///
/// # Errors
/// What does not agree, in words; no value is repeated (D9).
pub(super) fn check(headers: &HeaderMap, method: &str, params: Option<&RawValue>) -> Result<(), String> {
    let version = version(params);
    let expected = [
        (VERSION, version.as_deref(), version.is_some(), "`_meta` says"),
        (METHOD, Some(method), version.is_some(), "the method is"),
    ];
    for (name, value, required, what) in expected {
        let Some(value) = value else { continue };
        compare(headers, &name, value, required, what)?;
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Named<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        uri: Option<&'a RawValue>,
        #[serde(borrow)]
        task_id: Option<&'a RawValue>,
    }
    let named: Named<'_> =
        params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
    let (value, required) = match method {
        TOOL_CALL | PROMPT_GET => (named.name, version.is_some()),
        RESOURCE_READ => (named.uri, version.is_some()),
        // Where it is there, others may have gone by it as well.
        _ if method::names_task(method) => (named.task_id, false),
        _ => (None, false),
    };
    match text_of(value) {
        Some(value) => compare(headers, &NAME, &value, required, "the parameters name"),
        None => Ok(()),
    }
}

fn compare(
    headers: &HeaderMap,
    name: &HeaderName,
    value: &str,
    required: bool,
    what: &str,
) -> Result<(), String> {
    let mut found = headers.get_all(name).iter();
    let shown = title(name);
    match (found.next(), found.next()) {
        (None, _) if required => Err(format!("Header mismatch: the header `{shown}` is missing")),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(format!("Header mismatch: the header `{shown}` is there twice")),
        (Some(header), None) => match decoded(header) {
            Some(header) if header == value => Ok(()),
            Some(_) => Err(format!("Header mismatch: `{shown}` is not what {what}")),
            None => Err(format!("Header mismatch: `{shown}` is no text, or no base64 of any")),
        },
    }
}

fn title(name: &HeaderName) -> &'static str {
    match name.as_str() {
        "mcp-method" => "Mcp-Method",
        "mcp-name" => "Mcp-Name",
        _ => "MCP-Protocol-Version",
    }
}

/// The text of a header, which may be written as `=?base64?…?=` (MCP 2026-07-28, Value Encoding).
pub(super) fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

/// What of a client's headers the server hears: what belongs to MCP. Never what authenticates the client to
/// Deed, and nothing that says where the client is.
pub(super) fn onward(headers: &HeaderMap, session: Option<&HeaderValue>) -> HeaderMap {
    let mut onward = HeaderMap::new();
    for (name, value) in headers {
        let belongs = name.as_str().starts_with("mcp-") && *name != SESSION;
        if belongs || *name == header::ACCEPT || *name == LAST_EVENT || *name == header::CONTENT_TYPE {
            onward.append(name.clone(), value.clone());
        }
    }
    if let Some(session) = session {
        onward.insert(SESSION, session.clone());
    }
    onward
}

/// Adds where a request stands, for servers that look for it in the headers (W3C Trace Context).
pub(super) fn trace(headers: &mut HeaderMap, trace: deed_record::TraceId, span: deed_record::SpanId) {
    if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{span}-01")) {
        headers.insert(TRACE, value);
    }
}

/// What of a server's headers the client hears.
pub(super) fn homeward(headers: &HeaderMap) -> HeaderMap {
    let mut homeward = HeaderMap::new();
    for (name, value) in headers {
        let belongs = name.as_str().starts_with("mcp-");
        let known = [&header::CONTENT_TYPE, &header::CACHE_CONTROL, &header::ALLOW, &header::RETRY_AFTER];
        if belongs || known.contains(&name) || *name == BUFFERING {
            homeward.append(name.clone(), value.clone());
        }
    }
    homeward
}

/// Asks those on the way not to hold events back.
pub(super) fn unbuffered(headers: &mut HeaderMap) {
    headers.entry(BUFFERING).or_insert(HeaderValue::from_static("no"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
}

/// The media type of a message, in lower case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
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
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
            })
            .collect()
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let modern =
            raw(r#"{"name":"größe","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#);
        let all = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
        ];
        assert_eq!(check(&headers(&all), TOOL_CALL, Some(&modern)), Ok(()));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert!(check(&headers(&some), TOOL_CALL, Some(&modern)).is_err());
        }
        for (name, wrong) in [
            (0, "2025-11-25"),
            (1, "tools/list"),
            (2, "groesse"),
            (2, "=?base64?!?="),
            (2, "gr\u{f6}\u{df}e"),
        ] {
            let mut some = all;
            some[name].1 = wrong;
            assert!(check(&headers(&some), TOOL_CALL, Some(&modern)).is_err(), "{wrong}");
        }
        let legacy = raw(r#"{"name":"a"}"#);
        assert_eq!(
            check(&headers(&[("mcp-protocol-version", "2025-11-25")]), TOOL_CALL, Some(&legacy)),
            Ok(())
        );
        assert!(check(&headers(&[("mcp-method", "tools/list")]), TOOL_CALL, Some(&legacy)).is_err());
        assert!(check(&headers(&[("mcp-name", "b")]), TOOL_CALL, Some(&legacy)).is_err());
    }

    #[test]
    fn what_authenticates_the_client_goes_no_further() {
        let from_client = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("dpop", "x"),
            ("host", "a"),
            ("origin", "http://a"),
            ("x-forwarded-for", "1.2.3.4"),
            ("mcp-session-id", "s"),
            ("mcp-param-region", "eu"),
            ("accept", "application/json"),
        ]);
        let onward = onward(&from_client, None);
        let mut names: Vec<_> = onward.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "mcp-param-region"]);
    }
}
