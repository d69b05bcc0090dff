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

use crate::json::{push_comma, push_display, push_hex, push_name, push_string};

/// Attributes nest no deeper than this: each level takes four of the 128 that a record may have.
const DEEPEST: usize = 24;

/// What every document of one resource and scope begins and ends with.
pub(super) struct Frame {
    begin: String,
}

/// How the parts of one signal are called.
pub(super) struct Names {
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
        let mut out = String::with_capacity(512);
        out.push('{');
        push_name(&mut out, names.resources);
        out.push_str("[{");
        if let Some(resource) = resource {
            push_name(&mut out, "resource");
            out.push('{');
            push_attributes(&mut out, &resource.attributes)?;
            push_count(&mut out, "droppedAttributesCount", resource.dropped_attributes_count);
            out.push('}');
        }
        push_text(&mut out, "schemaUrl", resource_schema);
        push_name(&mut out, names.scopes);
        out.push_str("[{");
        if let Some(scope) = scope {
            push_name(&mut out, "scope");
            out.push('{');
            push_text(&mut out, "name", &scope.name);
            push_text(&mut out, "version", &scope.version);
            push_attributes(&mut out, &scope.attributes)?;
            push_count(&mut out, "droppedAttributesCount", scope.dropped_attributes_count);
            out.push('}');
        }
        push_text(&mut out, "schemaUrl", scope_schema);
        push_name(&mut out, names.items);
        out.push('[');
        Ok(Frame { begin: out })
    }

    /// Appends the document of one span.
    ///
    /// # Errors
    /// Attributes nest too deep.
    pub(super) fn push_span(&self, out: &mut String, span: &Span) -> Result<(), String> {
        out.push_str(&self.begin);
        out.push('{');
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
            push_name(out, "status");
            out.push('{');
            push_text(out, "message", &status.message);
            push_count(out, "code", status.code);
            out.push('}');
        }
        out.push_str("}]}]}]}");
        Ok(())
    }

    /// Appends the document of one log record.
    ///
    /// # Errors
    /// Attributes or body nest too deep.
    pub(super) fn push_log(&self, out: &mut String, log: &LogRecord) -> Result<(), String> {
        out.push_str(&self.begin);
        out.push('{');
        push_time(out, "timeUnixNano", log.time_unix_nano);
        push_time(out, "observedTimeUnixNano", log.observed_time_unix_nano);
        push_count(out, "severityNumber", log.severity_number);
        push_text(out, "severityText", &log.severity_text);
        if let Some(body) = &log.body {
            push_name(out, "body");
            push_any(out, body.value.as_ref(), 0)?;
        }
        push_attributes(out, &log.attributes)?;
        push_count(out, "droppedAttributesCount", log.dropped_attributes_count);
        push_count(out, "flags", log.flags);
        push_id(out, "traceId", &log.trace_id);
        push_id(out, "spanId", &log.span_id);
        push_text(out, "eventName", &log.event_name);
        out.push_str("}]}]}]}");
        Ok(())
    }
}

fn push_text(out: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        push_name(out, name);
        push_string(out, text);
    }
}

fn push_id(out: &mut String, name: &str, id: &[u8]) {
    if !id.is_empty() {
        push_name(out, name);
        out.push('"');
        push_hex(out, id);
        out.push('"');
    }
}

fn push_count<N: std::fmt::Display + Default + PartialEq>(out: &mut String, name: &str, number: N) {
    if number != N::default() {
        push_name(out, name);
        push_display(out, number);
    }
}

/// 64-bit integers are strings in OTLP/JSON.
fn push_time(out: &mut String, name: &str, nanos: u64) {
    if nanos != 0 {
        push_name(out, name);
        push_display(out, format_args!("\"{nanos}\""));
    }
}

fn push_list<T>(
    out: &mut String,
    name: &str,
    items: &[T],
    push: impl Fn(&mut String, &T) -> Result<(), String>,
) -> Result<(), String> {
    if items.is_empty() {
        return Ok(());
    }
    push_name(out, name);
    out.push('[');
    for item in items {
        push_comma(out);
        out.push('{');
        push(out, item)?;
        out.push('}');
    }
    out.push(']');
    Ok(())
}

fn push_attributes(out: &mut String, attributes: &[KeyValue]) -> Result<(), String> {
    push_list(out, "attributes", attributes, |out, attribute| push_key_value(out, attribute, 0))
}

fn push_key_value(out: &mut String, attribute: &KeyValue, depth: usize) -> Result<(), String> {
    push_name(out, "key");
    push_string(out, &attribute.key);
    if let Some(value) = &attribute.value {
        push_name(out, "value");
        push_any(out, value.value.as_ref(), depth)?;
    }
    Ok(())
}

fn push_any(out: &mut String, value: Option<&Value>, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("field `attributes`: nested deeper than {DEEPEST}"));
    }
    out.push('{');
    match value {
        None => {}
        Some(Value::StringValue(text)) => {
            push_name(out, "stringValue");
            push_string(out, text);
        }
        Some(Value::BoolValue(flag)) => {
            push_name(out, "boolValue");
            push_display(out, flag);
        }
        Some(Value::IntValue(number)) => {
            push_name(out, "intValue");
            push_display(out, format_args!("\"{number}\""));
        }
        Some(Value::DoubleValue(number)) => {
            push_name(out, "doubleValue");
            push_double(out, *number);
        }
        Some(Value::ArrayValue(list)) => {
            push_name(out, "arrayValue");
            out.push_str("{\"values\":[");
            for item in &list.values {
                push_comma(out);
                push_any(out, item.value.as_ref(), depth + 1)?;
            }
            out.push_str("]}");
        }
        Some(Value::KvlistValue(list)) => {
            push_name(out, "kvlistValue");
            out.push_str("{\"values\":[");
            for item in &list.values {
                push_comma(out);
                out.push('{');
                push_key_value(out, item, depth + 1)?;
                out.push('}');
            }
            out.push_str("]}");
        }
        Some(Value::BytesValue(bytes)) => {
            push_name(out, "bytesValue");
            push_string(out, &base64(bytes));
        }
        // Only in profiles, which are not read here.
        Some(Value::StringValueStrindex(index)) => {
            push_name(out, "stringValueStrindex");
            push_display(out, index);
        }
    }
    out.push('}');
    Ok(())
}

/// As JSON writes it, and as OTLP/JSON writes what JSON has no number for.
pub(super) fn push_double(out: &mut String, number: f64) {
    match serde_json::Number::from_f64(number) {
        Some(finite) => push_display(out, finite),
        None if number.is_nan() => out.push_str("\"NaN\""),
        None => out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
