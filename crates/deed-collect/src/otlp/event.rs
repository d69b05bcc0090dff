//! A span or log record as OTLP/JSON: what is kept of it under `disclose.event`.
//!
//! Each is a whole document of its own (`{"resourceSpans":[…]}`), with the resource and the scope it
//! came with, so that any OpenTelemetry tool reads it and `deed import otlp` gives the same record.
//! Fields with their default are left out. The same span gives the same bytes, whether it came as
//! protobuf or as JSON.

use base64::Engine as _;
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::Span,
};

use crate::json::Json;

/// Attributes nest no deeper than this: each level takes four of the 128 that a record may have.
const DEEPEST: usize = 24;

/// What every document of one resource and scope begins and ends with.
pub(super) struct Frame {
    begin: Json,
}

/// How the parts of one signal are called.
#[derive(Debug)]
pub struct Names {
    pub(super) resources: &'static str,
    pub(super) scopes: &'static str,
    pub(super) items: &'static str,
}

pub(super) const SPANS: Names = Names { resources: "resourceSpans", scopes: "scopeSpans", items: "spans" };
pub(super) const LOGS: Names = Names { resources: "resourceLogs", scopes: "scopeLogs", items: "logRecords" };

impl Frame {
    /// # Errors
    /// Attributes of the resource or scope nest too deep.
    pub(super) fn new(
        names: &Names,
        (resource, resource_schema): (Option<&Resource>, &str),
        (scope, scope_schema): (Option<&InstrumentationScope>, &str),
    ) -> Result<Self, String> {
        let mut out = Json::with_capacity(512);
        out.raw("{");
        out.name(names.resources);
        out.raw("[{");
        if let Some(resource) = resource {
            out.name("resource");
            out.raw("{");
            push_attributes(&mut out, &resource.attributes)?;
            push_count(&mut out, "droppedAttributesCount", resource.dropped_attributes_count);
            push_list(&mut out, "entityRefs", &resource.entity_refs, |out, entity| {
                push_text(out, "schemaUrl", &entity.schema_url);
                push_text(out, "type", &entity.r#type);
                push_texts(out, "idKeys", &entity.id_keys);
                push_texts(out, "descriptionKeys", &entity.description_keys);
                Ok(())
            })?;
            out.raw("}");
        }
        push_text(&mut out, "schemaUrl", resource_schema);
        out.name(names.scopes);
        out.raw("[{");
        if let Some(scope) = scope {
            out.name("scope");
            out.raw("{");
            push_text(&mut out, "name", &scope.name);
            push_text(&mut out, "version", &scope.version);
            push_attributes(&mut out, &scope.attributes)?;
            push_count(&mut out, "droppedAttributesCount", scope.dropped_attributes_count);
            out.raw("}");
        }
        push_text(&mut out, "schemaUrl", scope_schema);
        out.name(names.items);
        out.raw("[");
        Ok(Frame { begin: out })
    }

    /// What it adds to every document, in bytes.
    pub(super) fn len(&self) -> usize {
        self.begin.as_bytes().len()
    }

    /// Appends the document of one span.
    ///
    /// # Errors
    /// Attributes nest too deep.
    pub(super) fn push_span(&self, out: &mut Json, span: &Span) -> Result<(), String> {
        out.append(&self.begin);
        out.raw("{");
        push_id(out, "traceId", &span.trace_id);
        push_id(out, "spanId", &span.span_id);
        push_text(out, "traceState", &span.trace_state);
        push_id(out, "parentSpanId", &span.parent_span_id);
        push_count(out, "flags", span.flags);
        push_text(out, "name", &span.name);
        push_count(out, "kind", span.kind);
        push_time(out, "startTimeUnixNano", span.start_time_unix_nano);
        push_time(out, "endTimeUnixNano", span.end_time_unix_nano);
        push_attributes(out, &span.attributes)?;
        push_count(out, "droppedAttributesCount", span.dropped_attributes_count);
        push_list(out, "events", &span.events, |out, event| {
            push_time(out, "timeUnixNano", event.time_unix_nano);
            push_text(out, "name", &event.name);
            push_attributes(out, &event.attributes)?;
            push_count(out, "droppedAttributesCount", event.dropped_attributes_count);
            Ok(())
        })?;
        push_count(out, "droppedEventsCount", span.dropped_events_count);
        push_list(out, "links", &span.links, |out, link| {
            push_id(out, "traceId", &link.trace_id);
            push_id(out, "spanId", &link.span_id);
            push_text(out, "traceState", &link.trace_state);
            push_attributes(out, &link.attributes)?;
            push_count(out, "droppedAttributesCount", link.dropped_attributes_count);
            push_count(out, "flags", link.flags);
            Ok(())
        })?;
        push_count(out, "droppedLinksCount", span.dropped_links_count);
        if let Some(status) = &span.status {
            out.name("status");
            out.raw("{");
            push_text(out, "message", &status.message);
            push_count(out, "code", status.code);
            out.raw("}");
        }
        out.raw("}]}]}]}");
        Ok(())
    }

    /// Appends the document of one log record.
    ///
    /// # Errors
    /// Attributes or body nest too deep.
    pub(super) fn push_log(&self, out: &mut Json, log: &LogRecord) -> Result<(), String> {
        out.append(&self.begin);
        out.raw("{");
        push_time(out, "timeUnixNano", log.time_unix_nano);
        push_time(out, "observedTimeUnixNano", log.observed_time_unix_nano);
        push_count(out, "severityNumber", log.severity_number);
        push_text(out, "severityText", &log.severity_text);
        if let Some(body) = &log.body {
            out.name("body");
            push_any(out, body.value.as_ref(), 0)?;
        }
        push_attributes(out, &log.attributes)?;
        push_count(out, "droppedAttributesCount", log.dropped_attributes_count);
        push_count(out, "flags", log.flags);
        push_id(out, "traceId", &log.trace_id);
        push_id(out, "spanId", &log.span_id);
        push_text(out, "eventName", &log.event_name);
        out.raw("}]}]}]}");
        Ok(())
    }
}

fn push_text(out: &mut Json, name: &'static str, text: &str) {
    if !text.is_empty() {
        out.name(name);
        out.string(text);
    }
}

fn push_texts(out: &mut Json, name: &'static str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    out.name(name);
    out.raw("[");
    for text in texts {
        out.comma();
        out.string(text);
    }
    out.raw("]");
}

fn push_id(out: &mut Json, name: &'static str, id: &[u8]) {
    if !id.is_empty() {
        out.name(name);
        out.raw("\"");
        out.hex(id);
        out.raw("\"");
    }
}

fn push_count<N: std::fmt::Display + Default + PartialEq>(out: &mut Json, name: &'static str, number: N) {
    if number != N::default() {
        out.name(name);
        out.display(number);
    }
}

/// 64-bit integers are strings in OTLP/JSON.
fn push_time(out: &mut Json, name: &'static str, nanos: u64) {
    if nanos != 0 {
        out.name(name);
        out.display(format_args!("\"{nanos}\""));
    }
}

fn push_list<T>(
    out: &mut Json,
    name: &'static str,
    items: &[T],
    push: impl Fn(&mut Json, &T) -> Result<(), String>,
) -> Result<(), String> {
    if items.is_empty() {
        return Ok(());
    }
    out.name(name);
    out.raw("[");
    for item in items {
        out.comma();
        out.raw("{");
        push(out, item)?;
        out.raw("}");
    }
    out.raw("]");
    Ok(())
}

fn push_attributes(out: &mut Json, attributes: &[KeyValue]) -> Result<(), String> {
    if attributes.is_empty() {
        return Ok(());
    }
    out.name("attributes");
    push_key_values(out, attributes, 0)
}

fn push_key_values(out: &mut Json, attributes: &[KeyValue], depth: usize) -> Result<(), String> {
    out.raw("[");
    for attribute in attributes {
        out.comma();
        out.raw("{\"key\":");
        out.string(&attribute.key);
        if let Some(value) = &attribute.value {
            out.raw(",\"value\":");
            push_any(out, value.value.as_ref(), depth)?;
        }
        out.raw("}");
    }
    out.raw("]");
    Ok(())
}

fn push_any(out: &mut Json, value: Option<&Value>, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("field `attributes`: nested deeper than {DEEPEST}"));
    }
    match value {
        None => out.raw("{"),
        Some(Value::StringValue(text)) => {
            out.raw("{\"stringValue\":");
            out.string(text);
        }
        Some(Value::BoolValue(flag)) => {
            out.raw(if *flag { "{\"boolValue\":true" } else { "{\"boolValue\":false" });
        }
        Some(Value::IntValue(number)) => out.display(format_args!("{{\"intValue\":\"{number}\"")),
        Some(Value::DoubleValue(number)) => {
            out.raw("{\"doubleValue\":");
            push_double(out, *number);
        }
        Some(Value::ArrayValue(list)) => {
            out.raw("{\"arrayValue\":{\"values\":[");
            for item in &list.values {
                out.comma();
                push_any(out, item.value.as_ref(), depth + 1)?;
            }
            out.raw("]}");
        }
        Some(Value::KvlistValue(list)) => {
            out.raw("{\"kvlistValue\":{\"values\":");
            push_key_values(out, &list.values, depth + 1)?;
            out.raw("}");
        }
        Some(Value::BytesValue(bytes)) => {
            out.raw("{\"bytesValue\":");
            out.string(&base64(bytes));
        }
        // Only in profiles, which are not read here.
        Some(Value::StringValueStrindex(index)) => {
            out.display(format_args!("{{\"stringValueStrindex\":{index}"))
        }
    }
    out.raw("}");
    Ok(())
}

/// As JSON writes it, and as OTLP/JSON writes what JSON has no number for.
pub(super) fn push_double(out: &mut Json, number: f64) {
    match serde_json::Number::from_f64(number) {
        Some(finite) => out.display(finite),
        None if number.is_nan() => out.raw("\"NaN\""),
        None => out.raw(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
