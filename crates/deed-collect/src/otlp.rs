//! OpenTelemetry traces and logs (OTLP 1.x), as agents and their tools export them.
//!
//! Understood are the GenAI conventions of both generations (up to 1.36 and from 1.37, told apart by
//! `schema_url` and, where that is absent, by the attributes that are there), the MCP conventions,
//! OpenInference, OpenLLMetry (`traceloop.*`) and the log events of coding agents. A span or log record
//! that follows none of them is recorded as a plain step. The tables stand in `docs/collectors.md`.

mod agent;
mod attributes;
mod convention;
mod event;
mod log;
mod metrics;
mod payload;
mod relaxed;
mod span;
mod who;
mod wire;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde::de::DeserializeOwned;

use crate::{json, parse};
pub(crate) use metrics::is_metrics;
pub(crate) use payload::push_text_members;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "otlp/5";

/// A request, with what could not be read of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Request<R> {
    /// What could be read. An empty item stands for each that could not.
    pub message: R,
    /// Numbers of the items that could not be read, rising, and why.
    refused: Vec<(usize, String)>,
}

impl<R> From<R> for Request<R> {
    fn from(message: R) -> Self {
        Request { message, refused: Vec::new() }
    }
}

impl<R: Export> Request<R> {
    /// Items that could not be read.
    pub(crate) fn unread(&self) -> usize {
        self.refused.len()
    }

    /// One result for each item, in order: its record, or why it has none.
    pub fn records(&self) -> Vec<Result<String, String>> {
        let mut records = self.message.records();
        for (number, why) in &self.refused {
            if let Some(record) = records.get_mut(*number) {
                *record = Err(format!("{} {number}, {why}", R::ITEM));
            }
        }
        records
    }
}

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
    use opentelemetry_proto::tonic::{
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use serde::de::DeserializeOwned;

    use super::event::{LOGS, Names, SPANS};

    /// What the parts of a request are made of.
    pub trait Sealed {
        const NAMES: &Names;
        type Resource: DeserializeOwned;
        type Scope: DeserializeOwned;
        type Item: DeserializeOwned;
    }

    impl Sealed for super::ExportTraceServiceRequest {
        const NAMES: &Names = &SPANS;
        type Resource = ResourceSpans;
        type Scope = ScopeSpans;
        type Item = Span;
    }

    impl Sealed for super::ExportLogsServiceRequest {
        const NAMES: &Names = &LOGS;
        type Resource = ResourceLogs;
        type Scope = ScopeLogs;
        type Item = LogRecord;
    }
}

/// The records of one request hold no more than this together, in bytes. Each holds the resource it came
/// from, so that a large one with many items would otherwise become more than any memory holds.
pub const LARGEST_RECORDS: usize = 512 * 1024 * 1024;

/// What is left of [`LARGEST_RECORDS`].
struct Room(usize);

impl Room {
    /// The record that `make` gives, which holds `frame` bytes that others hold too.
    fn take(
        &mut self,
        frame: usize,
        make: impl FnOnce() -> Result<String, String>,
    ) -> Result<String, String> {
        if self.0 == 0 {
            return Err(format!(
                "the records before it, each with its resource, hold more than {LARGEST_RECORDS} bytes; send fewer at a time"
            ));
        }
        let record = make();
        self.0 = self.0.saturating_sub(record.as_ref().map_or(frame, String::len));
        record
    }
}

/// One result for each span of `request`, in order: its record, or why it has none.
///
/// A span is refused whose ids have the wrong length or are all zero, which has no start or ends before
/// it, whose attributes nest deeper than a record may, or for whose record there is no room left
/// ([`LARGEST_RECORDS`]). The error names the span and the field; the
/// number of errors is the `rejected_spans` of a partial success.
pub fn spans(request: &ExportTraceServiceRequest) -> Vec<Result<String, String>> {
    span::records(request, Room(LARGEST_RECORDS))
}

/// One result for each log record of `request`, in order: its record, or why it has none.
///
/// A log record is refused that has no time, whose ids have the wrong length, whose attributes nest
/// deeper than a record may, or for whose record there is no room left ([`LARGEST_RECORDS`]).
pub fn logs(request: &ExportLogsServiceRequest) -> Vec<Result<String, String>> {
    log::records(request, Room(LARGEST_RECORDS))
}

/// Reads a request in protobuf (`application/x-protobuf`).
///
/// An item with something of the wrong form, or that nests too deep to be read, costs itself only, one whose
/// resource or scope has costs all that it holds.
///
/// # Errors
/// Not a request of this sort. The error names no content.
pub fn decode_protobuf<R: Export>(body: &[u8]) -> Result<Request<R>, String> {
    R::decode(body).map(Request::from).or_else(|error| {
        // Reading again with care costs several times as much, and only where it is needed.
        wire::read(body).ok_or_else(|| {
            let why = error.to_string();
            // What its reader says of an end that comes too early.
            let cut = if why.ends_with("buffer underflow") { "; it may have been cut off" } else { "" };
            format!("not an OTLP export of {}s in protobuf: {why}{cut}", R::ITEM)
        })
    })
}

/// Reads a request in OTLP/JSON (`application/json`).
///
/// Besides the exact form, what well-known exporters write is read: empty lists left out, enum values
/// by name, `null` for what is absent, `NaN` as a string, and half a surrogate pair, for which U+FFFD
/// stands. An item with something of the wrong form, or that nests too deep to be read, costs itself
/// only, one whose resource or scope has costs all that it holds.
///
/// # Errors
/// Not JSON, or not a request of this sort. The error names the place but no content (D9).
pub fn decode_json<R: Export>(body: &[u8]) -> Result<Request<R>, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // A list would be read as the fields in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(format!("not an OTLP export of {}s in JSON: expected an object", R::ITEM));
    }
    serde_json::from_slice::<R>(body).map(Request::from).or_else(|error| {
        // Reading again with care costs several times as much, and only where it is needed.
        let mended = parse::mended(body);
        let repaired = if error.is_eof() { None } else { relaxed::repair(mended.as_deref().unwrap_or(body)) };
        repaired.and_then(relaxed::read).ok_or_else(|| {
            format!("not an OTLP export of {}s in JSON: {}", R::ITEM, json::error_text(&error))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_resource_is_not_multiplied_without_end() {
        let span_list = r#"{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","startTimeUnixNano":"1"},"#.repeat(50);
        let log_list = r#"{"timeUnixNano":"1"},"#.repeat(50);
        let resource =
            format!(r#"{{"attributes":[{{"key":"a","value":{{"stringValue":"{}"}}}}]}}"#, "a".repeat(10_000));
        let body = format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{}]}}]}}],"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#,
            span_list.trim_end_matches(','),
            log_list.trim_end_matches(','),
        );
        let traces = decode_json::<ExportTraceServiceRequest>(body.as_bytes()).expect("reads");
        let logs = decode_json::<ExportLogsServiceRequest>(body.as_bytes()).expect("reads");
        let (traces, logs) = (traces.message, logs.message);
        for found in [span::records(&traces, Room(100_000)), log::records(&logs, Room(100_000))] {
            let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
            assert_eq!((good.len(), bad.len()), (10, 40), "the last of them may go beyond");
            assert!(bad.iter().flat_map(|bad| bad.as_ref().err()).all(|error| error.contains("send fewer")));
        }
        assert!(spans(&traces).iter().all(Result::is_ok));
    }
}
