//! OpenTelemetry traces and logs (OTLP 1.x), as agents and their tools export them.
//!
//! Understood are the GenAI conventions of both generations (up to 1.36 and from 1.37, told apart by
//! `schema_url` and, where that is absent, by the attributes that are there), the MCP conventions,
//! OpenInference, OpenLLMetry (`traceloop.*`) and the log events of coding agents. A span or log record
//! that follows none of them is recorded as a plain step. The tables stand in `docs/collectors.md`.

mod attributes;
mod convention;
mod event;
mod log;
mod payload;
mod relaxed;
mod span;
mod who;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde::de::DeserializeOwned;

use crate::json;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "otlp/1";

/// An export request of one of the signals that are recorded.
pub trait Export: prost::Message + DeserializeOwned + Default + sealed::Sealed {
    /// What its items are called: `span`, `log record`.
    const ITEM: &str;

    /// One result for each item, in order: its record, or why it has none.
    fn records(&self) -> Vec<Result<String, String>>;
}

impl Export for ExportTraceServiceRequest {
    const ITEM: &str = "span";

    fn records(&self) -> Vec<Result<String, String>> {
        spans(self)
    }
}

impl Export for ExportLogsServiceRequest {
    const ITEM: &str = "log record";

    fn records(&self) -> Vec<Result<String, String>> {
        logs(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ExportTraceServiceRequest {}
    impl Sealed for super::ExportLogsServiceRequest {}
}

/// One result for each span of `request`, in order: its record, or why it has none.
///
/// A span is refused whose ids have the wrong length or are all zero, which has no start or ends before
/// it, or whose attributes nest deeper than a record may. The error names the span and the field; the
/// number of errors is the `rejected_spans` of a partial success.
pub fn spans(request: &ExportTraceServiceRequest) -> Vec<Result<String, String>> {
    span::records(request)
}

/// One result for each log record of `request`, in order: its record, or why it has none.
///
/// A log record is refused that has no time, whose ids have the wrong length, or whose attributes nest
/// deeper than a record may.
pub fn logs(request: &ExportLogsServiceRequest) -> Vec<Result<String, String>> {
    log::records(request)
}

/// Reads a request in protobuf (`application/x-protobuf`).
///
/// # Errors
/// Not a request of this sort. The error names no content.
pub fn decode_protobuf<R: Export>(body: &[u8]) -> Result<R, String> {
    R::decode(body).map_err(|error| format!("not an OTLP export of {}s in protobuf: {error}", R::ITEM))
}

/// Reads a request in OTLP/JSON (`application/json`).
///
/// Besides the exact form, what well-known exporters write is read: empty lists left out, enum values
/// by name, `null` for what is absent, `NaN` as a string.
///
/// # Errors
/// Not JSON, or not a request of this sort. The error names the place but no content (D9).
pub fn decode_json<R: Export>(body: &[u8]) -> Result<R, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // A list would be read as the fields in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(format!("not an OTLP export of {}s in JSON: expected an object", R::ITEM));
    }
    serde_json::from_slice(body).or_else(|error| {
        // Reading again with care costs several times as much, and only where it is needed.
        let repaired = if error.is_data() { relaxed::repair(body) } else { None };
        repaired.and_then(|value| serde_json::from_value(value).ok()).ok_or_else(|| {
            format!("not an OTLP export of {}s in JSON: {}", R::ITEM, json::error_text(&error))
        })
    })
}
