//! Log records.

use std::borrow::Cow;

use deed_record::{
    Basis, Decision, Outcome, PersonalSent, Resource, Ruling, SpanId, Status, Submission, Timestamp, Tool,
    TraceId, WHOLE,
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
};
use sha2::{Digest, Sha256};

use super::{
    Room, agent,
    attributes::{Seen, Slot},
    convention::{self, Deed},
    event::{Frame, LOGS},
    payload, span, who,
};
use crate::json::{self, Json};

pub(super) fn records(request: &ExportLogsServiceRequest, mut room: Room) -> Vec<Result<String, String>> {
    let mut records = Vec::new();
    let told = agent::Logs::of(request);
    for resource in &request.resource_logs {
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        for scope in &resource.scope_logs {
            let schema_url =
                if scope.schema_url.is_empty() { &resource.schema_url } else { &scope.schema_url };
            let frame = Frame::new(
                &LOGS,
                (resource.resource.as_ref(), &resource.schema_url),
                (scope.scope.as_ref(), &scope.schema_url),
            );
            for log in &scope.log_records {
                let record = match &frame {
                    Ok(frame) => room.take(frame.len(), || record(log, attributes, schema_url, frame, &told)),
                    Err(error) => Err(error.clone()),
                };
                records.push(record.map_err(|error| format!("log record {}, {error}", records.len())));
            }
        }
    }
    records
}

fn record<'a>(
    log: &'a LogRecord,
    resource: &'a [KeyValue],
    schema_url: &str,
    frame: &Frame,
    told: &agent::Logs<'a>,
) -> Result<String, String> {
    let optional = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
    let trace_id = optional(&log.trace_id).then(|| span::id(&log.trace_id, "traceId")).transpose()?;
    let span_id = optional(&log.span_id).then(|| span::id(&log.span_id, "spanId")).transpose()?;

    let mut seen = Seen::new();
    seen.take(&log.attributes);
    seen.take(resource);
    let time = time(log, &seen)?;
    let name = name(log, &seen);
    let deed = convention::of_log(&name);
    let service = who::service(&seen);

    let mut event = Json::with_capacity(1024);
    frame.push_log(&mut event, log)?;
    let call = agent::event_id(&seen).filter(|_| matches!(deed, Deed::Tool | Deed::Check));
    // A log record has no id of its own unless its maker gave it one: the same bytes are the same record.
    let event_id = match (&call, seen.text(Slot::LogId)) {
        (Some(call), _) if deed == Deed::Tool => call.clone(),
        (_, Some(id)) => format!("log/{id}"),
        (_, None) => format!("log/{}", json::hex(&Sha256::digest(event.as_bytes())[..16])),
    };
    let of_call = || told.decision(&service, call.as_deref()?);
    let decision = convention::decision(&seen, deed).or_else(of_call);
    let submission = Submission {
        basis: Some(Basis::Reported),
        environment: seen.text(Slot::Environment).map(json::text),
        executor: Some(who::executor(&seen, &service, deed.is_of_agent())),
        initiator: who::initiator(&seen, &service),
        outcome: outcome(&seen, deed, decision.as_ref()),
        decision,
        // The span in which it was written is what it is part of; it is no span itself.
        parent_span_id: span_id.map(SpanId),
        personal: personal(&seen),
        resource: model(&seen, deed, schema_url),
        session: seen.text(Slot::Session).map(json::text),
        source: Some(who::source(&service, event_id)),
        step_type: deed.step_type().or_else(|| span::step_type(&seen)),
        task: seen.text(Slot::Task).map(json::text),
        tool: tool(&seen, deed, &log.attributes),
        trace_id: trace_id.map(TraceId),
        action_event: call.map(json::text),
        operation: Some(json::text(name)),
        ..Submission::new(deed.kind(), time)
    };
    let mut disclose = Json::with_capacity(event.as_bytes().len() + 256);
    payload::push_attributes(&mut disclose, &seen, deed, &log.attributes);
    if let (Deed::Tool | Deed::Model, Some(Value::StringValue(error))) = (deed, seen.value(Slot::Error)) {
        disclose.name("error");
        disclose.string(error);
    }
    payload::push_whole(&mut disclose, "body", log.body.as_ref().and_then(|body| body.value.as_ref()));
    disclose.name(WHOLE);
    disclose.append(&event);
    json::record(&submission, &disclose)
}

/// When it happened, else when it was seen, else what an attribute says.
fn time(log: &LogRecord, seen: &Seen<'_>) -> Result<Timestamp, String> {
    let nanos = if log.time_unix_nano == 0 { log.observed_time_unix_nano } else { log.time_unix_nano };
    if nanos != 0 {
        return Timestamp::from_unix_nanos(i128::from(nanos)).filter(|time| time.is_of_event()).ok_or(
            "field `timeUnixNano`: expected a time before 2200, in nanoseconds since 1970".to_owned(),
        );
    }
    seen.text(Slot::Time)
        .and_then(|text| text.parse().ok())
        .filter(|time: &Timestamp| time.is_of_event())
        .ok_or("field `timeUnixNano`: missing, and `observedTimeUnixNano` too".to_owned())
}

/// The event's name: the field for it, the attribute that was there before it, or the body of a coding
/// agent's event.
fn name<'a>(log: &'a LogRecord, seen: &Seen<'a>) -> Cow<'a, str> {
    if !log.event_name.is_empty() {
        return Cow::Borrowed(&log.event_name);
    }
    if let Some(name) = seen.text(Slot::EventName) {
        return name;
    }
    match log.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(body))
            if ["claude_code.", "codex.", "gemini_cli."].iter().any(|agent| body.starts_with(agent))
                && body.len() <= 64 =>
        {
            Cow::Borrowed(body)
        }
        _ => Cow::Borrowed("log"),
    }
}

/// How it ended, for what has an end.
fn outcome<'a>(seen: &Seen<'a>, deed: Deed, decision: Option<&Decision<'_>>) -> Option<Outcome<'a>> {
    let duration_ms = seen.number(Slot::DurationMs).filter(|ms| (0..1 << 53).contains(ms));
    if deed == Deed::Plain {
        return None;
    }
    let code = seen.text(Slot::ErrorCode).filter(|code| span::is_error(code));
    let refused = deed == Deed::Tool && decision.is_some_and(|decision| decision.effect == Ruling::Deny);
    let status = match (seen.text(Slot::Success).as_deref(), &code) {
        (Some("true"), _) => Status::Success,
        _ if refused => Status::Denied,
        (_, Some(code)) => span::status_of_error(code),
        (Some("false"), None) => Status::Failure,
        _ => return None,
    };
    Some(Outcome {
        code: code.filter(|_| status != Status::Success).map(json::text),
        duration_ms,
        ..Outcome::of(status)
    })
}

fn tool<'a>(seen: &Seen<'a>, deed: Deed, attributes: &[KeyValue]) -> Option<Tool<'a>> {
    if !matches!(deed, Deed::Tool | Deed::Check) {
        return None;
    }
    let (name, server) = convention::tool(seen, seen.text(Slot::ToolName)?, attributes);
    Some(Tool { digest: None, name: json::text(name), server: server.map(json::text), version: None })
}

fn model<'a>(seen: &Seen<'a>, deed: Deed, schema_url: &str) -> Option<Resource<'a>> {
    if deed != Deed::Model {
        return None;
    }
    let model = seen.text(Slot::Model)?;
    let uri = match convention::provider(seen, schema_url) {
        Some(provider) => format!("model:{provider}/{model}"),
        None => format!("model:{model}"),
    };
    Some(Resource { classification: None, kind: Some("model".into()), uri: json::text(uri) })
}

fn personal<'a>(seen: &Seen<'a>) -> Option<PersonalSent<'a>> {
    let address = seen.text(Slot::ClientAddress)?;
    Some(PersonalSent { address: Some(json::text(address)), device: None })
}
