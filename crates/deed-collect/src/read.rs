//! A whole file of one source.

use std::io::{BufRead, Read};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{Mapped, Rejected, Source, cloudtrail, input, otlp, source};

/// An export larger than this, in bytes, is rejected: what the specification recommends that
/// receivers take.
pub const LARGEST_EXPORT: usize = 64 * 1024 * 1024;

/// The records of a file that `source` wrote, compressed or not, one result for each event.
///
/// Memory is bounded by one event (of OTLP, by one export of at most [`LARGEST_EXPORT`] bytes).
/// CloudTrail and Deed's own records are read in any of the shapes of [`input`]. OTLP is read as one
/// request in protobuf, or as requests in JSON: one, several in a row, or one a line as the file
/// exporter of the OpenTelemetry Collector writes them.
pub fn records<'a>(
    source: Source,
    reader: impl Read + 'a,
) -> Box<dyn Iterator<Item = Result<Mapped, Rejected>> + 'a> {
    let mut reader = input::open(reader);
    match source {
        Source::CloudTrail => Box::new(input::json_events(reader).map(|event| {
            let (line, text) = event?;
            cloudtrail::map(&text)
                .map(|record| Mapped { record, line })
                .map_err(|error| Rejected { line, error })
        })),
        Source::Deed => Box::new(
            input::json_events(reader).map(|event| event.map(|(line, record)| Mapped { record, line })),
        ),
        Source::Otlp => match reader.fill_buf() {
            Ok(head) if source::is_otlp_protobuf(head) => Box::new(protobuf(reader).into_iter()),
            // An error of the reader comes again from where it is read.
            _ => Box::new(input::json_events_up_to(reader, LARGEST_EXPORT).flat_map(
                |document| match document {
                    Ok((line, text)) => json(line, &text),
                    Err(rejected) => vec![Err(rejected)],
                },
            )),
        },
    }
}

fn protobuf(reader: impl BufRead) -> Vec<Result<Mapped, Rejected>> {
    let refuse = |error: String| vec![Err(Rejected { line: 0, error })];
    let mut body = Vec::new();
    if let Err(error) = reader.take(LARGEST_EXPORT as u64 + 1).read_to_end(&mut body) {
        return refuse(format!("cannot be read on: {error}"));
    }
    if body.len() > LARGEST_EXPORT {
        return refuse(format!("the export is larger than {LARGEST_EXPORT} bytes"));
    }
    // Both signals begin alike; what is one signal's record is no record of the other.
    match otlp::decode_protobuf::<ExportTraceServiceRequest>(&body) {
        Ok(request) => lined(0, otlp::spans(&request)),
        Err(error) => match otlp::decode_protobuf::<ExportLogsServiceRequest>(&body) {
            Ok(request) => lined(0, otlp::logs(&request)),
            Err(_) => refuse(error),
        },
    }
}

/// The lists that a request of OTLP/JSON may hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signals {
    resource_spans: Option<IgnoredAny>,
    resource_logs: Option<IgnoredAny>,
    resource_metrics: Option<IgnoredAny>,
}

fn json(line: u64, text: &str) -> Vec<Result<Mapped, Rejected>> {
    let refuse = |error: String| vec![Err(Rejected { line, error })];
    let signals = match serde_json::from_str::<Signals>(text) {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("not JSON: {}", crate::json::error_text(&error))),
    };
    let mut records = Vec::new();
    if signals.resource_spans.is_some() {
        match otlp::decode_json::<ExportTraceServiceRequest>(text.as_bytes()) {
            Ok(request) => records.extend(lined(line, otlp::spans(&request))),
            Err(error) => records.extend(refuse(error)),
        }
    }
    if signals.resource_logs.is_some() {
        match otlp::decode_json::<ExportLogsServiceRequest>(text.as_bytes()) {
            Ok(request) => records.extend(lined(line, otlp::logs(&request))),
            Err(error) => records.extend(refuse(error)),
        }
    }
    if signals.resource_metrics.is_some() {
        records
            .extend(refuse("field `resourceMetrics`: metrics are no events and are not recorded".to_owned()));
    }
    if signals.resource_spans.is_none()
        && signals.resource_logs.is_none()
        && signals.resource_metrics.is_none()
    {
        return refuse("field `resourceSpans`: missing, and `resourceLogs` too".to_owned());
    }
    records
}

fn lined(line: u64, records: Vec<Result<String, String>>) -> Vec<Result<Mapped, Rejected>> {
    let place = |record: Result<String, String>| {
        record.map(|record| Mapped { record, line }).map_err(|error| Rejected { line, error })
    };
    records.into_iter().map(place).collect()
}
