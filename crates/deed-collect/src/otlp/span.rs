//! Spans.

use std::{borrow::Cow, collections::HashMap};

use deed_record::{
    Basis, Kind, Outcome, PersonalSent, Resource, SpanId, Status, StepType, Submission, Timestamp, Tool,
    TraceId, WHOLE,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::KeyValue,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};

use super::{
    Room,
    agent::{self, Part},
    attributes::{Seen, Slot, text_of},
    convention::{self, Deed},
    event::{Frame, SPANS},
    payload, who,
};
use crate::json::{self, Json};

pub(super) fn records(request: &ExportTraceServiceRequest, mut room: Room) -> Vec<Result<String, String>> {
    let scopes = || {
        request
            .resource_spans
            .iter()
            .flat_map(|resource| resource.scope_spans.iter().map(move |scope| (resource, scope)))
    };
    let spans = || scopes().flat_map(|(_, scope)| &scope.spans);
    let around = Around { calls: tool_calls(spans()), told: agent::Spans::of(spans()) };
    let mut records = Vec::with_capacity(scopes().map(|(_, scope)| scope.spans.len()).sum());
    let mut disclose = Json::default();
    for (resource, scope) in scopes() {
        let schema_url = if scope.schema_url.is_empty() { &resource.schema_url } else { &scope.schema_url };
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let frame = Frame::new(
            &SPANS,
            (resource.resource.as_ref(), &resource.schema_url),
            (scope.scope.as_ref(), &scope.schema_url),
        );
        for span in &scope.spans {
            let record = match &frame {
                Ok(frame) => room.take(frame.len(), || {
                    record(span, attributes, schema_url, frame, &around, &mut disclose)
                }),
                Err(error) => Err(error.clone()),
            };
            records.push(record.map_err(|error| format!("span {}, {error}", records.len())));
        }
    }
    records
}

/// What the other spans of a request say that bears on one.
struct Around<'a> {
    calls: Calls<'a>,
    told: agent::Spans<'a>,
}

/// The tool calls of a request by trace and span id, with the tool's name where the span gives it.
type Calls<'a> = HashMap<(&'a [u8], &'a [u8]), Option<&'a str>>;

/// The tool calls among `spans`, where spans of MCP may be legs of them.
fn tool_calls<'a>(spans: impl Iterator<Item = &'a Span> + Clone) -> Calls<'a> {
    let is_call = |span: &&Span| {
        [
            ("mcp.method.name", "tools/call"),
            ("gen_ai.operation.name", "execute_tool"),
            ("openinference.span.kind", "TOOL"),
            ("traceloop.span.kind", "tool"),
        ]
        .iter()
        .any(|(name, value)| text_of(&span.attributes, name) == Some(value))
    };
    let has_mcp =
        spans.clone().any(|span| text_of(&span.attributes, "mcp.method.name") == Some("tools/call"));
    if !has_mcp {
        return Calls::new();
    }
    spans.filter(is_call).map(|span| ((&span.trace_id[..], &span.span_id[..]), called(span))).collect()
}

/// The tool that a span says it calls.
fn called(span: &Span) -> Option<&str> {
    text_of(&span.attributes, "gen_ai.tool.name")
        .or_else(|| text_of(&span.attributes, "tool.name"))
        // `tools/call echo`, `MCP send tools/call echo`.
        .or_else(|| span.name.split_once("tools/call ").map(|(_, target)| target))
        // `execute_tool search`.
        .or_else(|| span.name.strip_prefix("execute_tool "))
        .filter(|name| !name.is_empty())
        .map(|name| convention::over_mcp(name).map_or(name, |(_, tool)| tool))
}

/// Whether `span` is how the call around it reaches the tool: its parent calls the same one.
fn is_leg(span: &Span, calls: &Calls<'_>) -> bool {
    match calls.get(&(&span.trace_id[..], &span.parent_span_id[..])) {
        Some(Some(outer)) => called(span).is_none_or(|name| name == *outer),
        Some(None) => true,
        None => false,
    }
}

fn record<'a>(
    span: &'a Span,
    resource: &'a [KeyValue],
    schema_url: &str,
    frame: &Frame,
    Around { calls, told }: &Around<'a>,
    disclose: &mut Json,
) -> Result<String, String> {
    let trace_id = TraceId(id(&span.trace_id, "traceId")?);
    let span_id = SpanId(id(&span.span_id, "spanId")?);
    // Some exporters write zeros for a root.
    let is_root = span.parent_span_id.iter().all(|byte| *byte == 0);
    let parent_span_id = if is_root { None } else { Some(SpanId(id(&span.parent_span_id, "parentSpanId")?)) };
    let (time, duration_ms) = times(span)?;

    let mut seen = Seen::new();
    seen.take(&span.attributes);
    for event in &span.events {
        if is_content(&event.name) || event.name == "exception" {
            seen.take(&event.attributes);
        }
    }
    seen.take(resource);
    let (deed, operation) = convention::of_span(&seen, &span.name, is_root);
    let side = Side::of(span, &seen, deed, is_root);
    let is_leg = side == Side::Client && deed == Deed::Tool && is_leg(span, calls);
    // A call is one action however many layers report it.
    let kind = match deed.kind() {
        Kind::Observation if is_leg || side == Side::Serving => Kind::Step,
        kind => kind,
    };
    let service = who::service(&seen);
    let part = Part::of(&span.name);
    let at = |span_id: SpanId| format!("{}/{}", json::hex(&trace_id.0), json::hex(&span_id.0));
    let call = match part {
        Some(Part::Call) => agent::event_id(&seen),
        Some(Part::Wait) => told.event_id_above(span, &seen),
        Some(Part::Run) => agent::event_id(&seen)
            .or_else(|| told.event_id_above(span, &seen))
            .or_else(|| parent_span_id.map(at)),
        None => None,
    };
    let own_call = call.clone().filter(|_| part == Some(Part::Call));
    let submission = Submission {
        action_event: call.map(json::text),
        basis: Some(Basis::Reported),
        decision: convention::decision(&seen, deed).or_else(|| told.decision(span)),
        environment: seen.text(Slot::Environment).map(json::text),
        executor: Some(match side {
            Side::Asked => who::nobody(),
            Side::Serving => who::executor(&seen, &service, false),
            _ => who::executor(&seen, &service, deed.is_of_agent()),
        }),
        initiator: who::initiator(&seen, &service),
        operation: Some(json::text(operation)),
        outcome: match part {
            Some(Part::Call) if !is_failed(span, &seen) => Some(told.outcome(span, duration_ms)),
            // Its end is that of the wait.
            Some(Part::Wait) => None,
            _ => Some(outcome(span, &seen, duration_ms)),
        },
        parent_span_id,
        personal: personal(span, &seen),
        resource: resource_of(span, &seen, deed, schema_url),
        session: seen.text(Slot::Session).map(json::text),
        source: Some(who::source(&service, own_call.unwrap_or_else(|| at(span_id)))),
        span_id: Some(span_id),
        step_type: deed.step_type().or_else(|| step_type(&seen)),
        task: seen.text(Slot::Task).map(json::text),
        tool: tool(span, &seen, deed, side).filter(|_| part != Some(Part::Run)),
        trace_id: Some(trace_id),
        ..Submission::new(kind, time)
    };
    disclose.clear();
    payload::push_attributes(disclose, &seen, deed, &span.attributes);
    push_messages(disclose, span);
    if let Some(status) = &span.status
        && !status.message.is_empty()
    {
        disclose.name("error");
        disclose.string(&status.message);
    }
    disclose.name(WHOLE);
    frame.push_span(disclose, span)?;
    json::record(&submission, disclose)
}

/// On which side of a call of MCP a span was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    /// It is no span of MCP.
    None,
    /// The caller's.
    Client,
    /// The server's, of a call whose caller reports it in the same trace.
    Serving,
    /// The server's, and nothing says who called: the server's word is all there is.
    Asked,
}

impl Side {
    fn of(span: &Span, seen: &Seen<'_>, deed: Deed, is_root: bool) -> Side {
        if !seen.has(Slot::McpMethod) {
            return Side::None;
        }
        match (span.kind == SpanKind::Server as i32, is_root) {
            (false, _) => Side::Client,
            (true, true) if deed.kind() == Kind::Observation => Side::Asked,
            (true, _) => Side::Serving,
        }
    }
}

/// An id of exactly `N` bytes that are not all zero (W3C Trace Context).
pub(super) fn id<const N: usize>(bytes: &[u8], field: &str) -> Result<[u8; N], String> {
    match <[u8; N]>::try_from(bytes) {
        Ok(id) if id != [0; N] => Ok(id),
        Ok(_) => Err(format!("field `{field}`: expected {N} bytes that are not all zero")),
        Err(_) => Err(format!("field `{field}`: expected {N} bytes, found {}", bytes.len())),
    }
}

/// When it began, and how long it took in milliseconds, where it ended.
fn times(span: &Span) -> Result<(Timestamp, Option<i64>), String> {
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    if start == 0 {
        return Err("field `startTimeUnixNano`: missing".to_owned());
    }
    if end != 0 && end < start {
        return Err("field `endTimeUnixNano`: before the start".to_owned());
    }
    let time = Timestamp::from_unix_nanos(i128::from(start))
        .filter(|time| time.is_of_event())
        .ok_or("field `startTimeUnixNano`: expected a time before 2200, in nanoseconds since 1970")?;
    let duration = (end != 0).then(|| i64::try_from((end - start) / 1_000_000).unwrap_or(i64::MAX));
    Ok((time, duration))
}

/// Span events in which the first generation of the GenAI conventions put what went in and came out.
fn is_content(event: &str) -> bool {
    matches!(
        event,
        "gen_ai.content.prompt" | "gen_ai.content.completion" | "gen_ai.client.inference.operation.details"
    )
}

/// Span events that are one message each (`gen_ai.user.message`, `gen_ai.choice`), as one list.
fn push_messages(disclose: &mut Json, span: &Span) {
    let is_message =
        |name: &str| name == "gen_ai.choice" || (name.starts_with("gen_ai.") && name.ends_with(".message"));
    if !span.events.iter().any(|event| is_message(&event.name)) {
        return;
    }
    disclose.name("messages");
    disclose.raw("[");
    for event in span.events.iter().filter(|event| is_message(&event.name)) {
        disclose.comma();
        disclose.raw("{");
        disclose.key(&event.name);
        payload::push_object(disclose, &event.attributes);
        disclose.raw("}");
    }
    disclose.raw("]");
}

/// How it ended. A span without a status ended without an error, as far as its maker knows; one that
/// has not ended is unknown (D11).
pub(super) fn outcome<'a>(span: &Span, seen: &Seen<'a>, duration_ms: Option<i64>) -> Outcome<'a> {
    let code = seen.text(Slot::ErrorCode);
    let failed = is_failed(span, seen);
    let status = if failed {
        code.as_deref().map_or(Status::Failure, status_of_error)
    } else if span.end_time_unix_nano != 0 {
        Status::Success
    } else {
        Status::Unknown
    };
    Outcome {
        code: code.filter(|code| failed && is_error(code)).map(json::text),
        duration_ms,
        ..Outcome::of(status)
    }
}

fn is_failed(span: &Span, seen: &Seen<'_>) -> bool {
    match span.status.as_ref().map_or(StatusCode::Unset, |status| status.code()) {
        StatusCode::Error => true,
        StatusCode::Ok => false,
        StatusCode::Unset => {
            seen.text(Slot::ErrorCode).is_some_and(|code| is_error(&code))
                || seen.text(Slot::Success).as_deref() == Some("false")
        }
    }
}

/// Whether what stands where an error may stand is one: a status code of success is not.
pub(super) fn is_error(code: &str) -> bool {
    match code.parse::<i32>() {
        Ok(number) => !(0..400).contains(&number),
        Err(_) => !code.eq_ignore_ascii_case("ok"),
    }
}

/// What an error's name or code says beyond that it failed.
pub(super) fn status_of_error(code: &str) -> Status {
    let plain: String =
        code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let ends = |words: &[&str]| words.iter().any(|word| plain.ends_with(word));
    if matches!(plain.as_str(), "401" | "403")
        || ends(&[
            "permissiondenied",
            "permissionerror",
            "accessdenied",
            "forbidden",
            "unauthorized",
            "unauthenticated",
        ])
    {
        Status::Denied
    } else if matches!(plain.as_str(), "408" | "504")
        || ends(&["timeout", "timeouterror", "deadlineexceeded", "timeoutexception"])
    {
        Status::TimedOut
    } else if plain == "499" || ends(&["cancelled", "canceled", "cancellederror", "aborterror"]) {
        Status::Cancelled
    } else {
        Status::Failure
    }
}

/// The tool that was called.
fn tool<'a>(span: &'a Span, seen: &Seen<'a>, deed: Deed, side: Side) -> Option<Tool<'a>> {
    let named = seen.text(Slot::ToolName);
    if deed != Deed::Tool && named.is_none() {
        return None;
    }
    let name = named
        .or_else(|| seen.text(Slot::EntityName))
        .or_else(|| called(span).map(Cow::Borrowed))
        .unwrap_or(Cow::Borrowed(if span.name.is_empty() { "unknown" } else { &span.name }));
    let (name, server) = convention::tool(seen, name, &span.attributes);
    let server = server.or_else(|| match side {
        Side::Client => address(seen),
        Side::Serving | Side::Asked => seen.text(Slot::ServiceName),
        Side::None => None,
    });
    Some(Tool { digest: None, name: json::text(name), server: server.map(json::text), version: None })
}

/// What it acted upon.
fn resource_of<'a>(span: &Span, seen: &Seen<'a>, deed: Deed, schema_url: &str) -> Option<Resource<'a>> {
    let (uri, kind) = match deed {
        Deed::Model => {
            let model = seen.text(Slot::Model)?;
            let uri = match convention::provider(seen, schema_url) {
                Some(provider) => format!("model:{provider}/{model}"),
                None => format!("model:{model}"),
            };
            (Cow::Owned(uri), "model")
        }
        Deed::Read => {
            if let Some(uri) = seen.text(Slot::McpResource) {
                (uri, "mcp_resource")
            } else if let Some(prompt) = seen.text(Slot::PromptName) {
                (Cow::Owned(format!("prompt:{prompt}")), "prompt")
            } else {
                (seen.text(Slot::DataSource)?, "data_source")
            }
        }
        Deed::Plain if span.kind == SpanKind::Client as i32 => (address(seen)?, "service"),
        _ => (seen.text(Slot::McpResource)?, "mcp_resource"),
    };
    Some(Resource { classification: None, kind: Some(kind.into()), uri: json::text(uri) })
}

/// `host:port` of the other side.
fn address<'a>(seen: &Seen<'a>) -> Option<Cow<'a, str>> {
    let host = seen.text(Slot::ServerAddress)?;
    Some(match seen.text(Slot::ServerPort) {
        Some(port) => Cow::Owned(format!("{host}:{port}")),
        None => host,
    })
}

/// What sort of step something is that no convention of agents covers.
pub(super) fn step_type(seen: &Seen<'_>) -> Option<StepType> {
    if seen.has(Slot::SecurityRule) {
        Some(StepType::SecurityEvent)
    } else if seen.number(Slot::Resend).is_some_and(|count| count > 0) {
        Some(StepType::Retry)
    } else {
        None
    }
}

/// Who came in from where; the addresses of a client span are the other side's, and no person's.
fn personal<'a>(span: &Span, seen: &Seen<'a>) -> Option<PersonalSent<'a>> {
    if span.kind != SpanKind::Server as i32 {
        return None;
    }
    let address = seen.text(Slot::ClientAddress)?;
    Some(PersonalSent { address: Some(json::text(address)), device: None })
}
