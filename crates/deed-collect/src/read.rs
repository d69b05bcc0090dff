//! A whole file of one source.

use std::io::{BufRead, Read};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    Mapped, Rejected, Source, cloudtrail, entra, github,
    input::{self, JsonEvents, json_events as events, json_events_up_to},
    kubernetes, okta, otlp, parse, source, ssf, teleport, vault,
};

/// An export larger than this, in bytes, is rejected: what the specification recommends that
/// receivers take.
pub const LARGEST_EXPORT: usize = 64 * 1024 * 1024;

/// The records of a file that `source` wrote, compressed or not, one result for each event.
///
/// Memory is bounded by one event (of OTLP, by one export of at most [`LARGEST_EXPORT`] bytes).
/// Everything but OTLP is read in any of the shapes of [`input`]. OTLP is read as one
/// request in protobuf, or as requests in JSON: one, several in a row, or one a line; and as the file
/// exporter of the OpenTelemetry Collector writes either.
pub fn records<'a>(
    source: Source,
    reader: impl Read + 'a,
) -> Box<dyn Iterator<Item = Result<Mapped, Rejected>> + 'a> {
    let mut reader = input::open(reader);
    match source {
        Source::CloudTrail => each(events(reader).listed_under(cloudtrail::LISTS), cloudtrail::map),
        // An event may have a list of any name.
        Source::GitHub => each(events(reader).listed_under(&[]), github::map),
        Source::Kubernetes => Box::new(events(reader).flat_map(|event| match event {
            Ok((line, text)) => lined(line, kubernetes::map(&text)),
            Err(rejected) => vec![Err(rejected)],
        })),
        Source::Vault => each(events(reader), vault::map),
        Source::Okta => each(events(reader), okta::map),
        Source::Entra => each(events(reader), entra::map),
        Source::Teleport => each(events(reader), teleport::map),
        Source::Ssf => match reader.fill_buf() {
            Ok(head) if ssf::is_token(head) => ssf::tokens(reader),
            // An error of the reader comes again from where it is read.
            _ => each(events(reader), ssf::map),
        },
        Source::Deed => {
            Box::new(events(reader).map(|event| event.map(|(line, record)| Mapped { record, line })))
        }
        Source::Otlp => match reader.fill_buf() {
            Ok(head) if source::is_otlp_protobuf(head) => Box::new(protobuf(reader).into_iter()),
            Ok(head) if source::is_otlp_framed(head) => {
                Box::new(Framed { reader, number: 0, over: false }.flatten())
            }
            // An error of the reader comes again from where it is read.
            _ => {
                let exports = json_events_up_to(reader, LARGEST_EXPORT).of_any_depth();
                Box::new(exports.flat_map(|document| match document {
                    Ok((line, text)) => json(line, &text),
                    Err(rejected) => vec![Err(rejected)],
                }))
            }
        },
    }
}

/// The records that `map` gives, one for each event in JSON.
fn each<'a>(
    events: JsonEvents<impl BufRead + 'a>,
    map: fn(&str) -> Result<String, String>,
) -> Box<dyn Iterator<Item = Result<Mapped, Rejected>> + 'a> {
    Box::new(events.map(move |event| {
        let (line, text) = event?;
        map(&text).map(|record| Mapped { record, line }).map_err(|error| Rejected { line, error })
    }))
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
    lined(0, export(&body))
}

/// The records of one request in protobuf.
fn export(body: &[u8]) -> Vec<Result<String, String>> {
    // The signals begin alike; what is one signal's record is no record of the other.
    let records = match otlp::decode_protobuf::<ExportTraceServiceRequest>(body) {
        Ok(spans) if spans.unread() == 0 => spans.records(),
        spans => match (otlp::decode_protobuf::<ExportLogsServiceRequest>(body), spans) {
            (Ok(logs), Ok(spans)) if spans.unread() <= logs.unread() => spans.records(),
            (Ok(logs), _) => logs.records(),
            (Err(_), Ok(spans)) => spans.records(),
            (Err(_), Err(error)) => vec![Err(error)],
        },
    };
    let none = !records.is_empty() && records.iter().all(Result::is_err);
    if none && otlp::is_metrics(body) { vec![Err(METRICS.to_owned())] } else { records }
}

const METRICS: &str = "metrics are no events and are not recorded";

/// What the file exporter of the OpenTelemetry Collector writes in protobuf: each request behind its length
/// in four bytes, the highest first.
struct Framed<R> {
    reader: R,
    /// Of the last request that was begun, from 1.
    number: u64,
    over: bool,
}

impl<R: BufRead> Framed<R> {
    /// The next request; `None` at the end.
    fn request(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut length = Vec::new();
        let unreadable = |error: std::io::Error| format!("cannot be read on: {error}");
        self.reader.by_ref().take(4).read_to_end(&mut length).map_err(unreadable)?;
        let Ok(bytes) = <[u8; 4]>::try_from(&*length) else {
            return if length.is_empty() { Ok(None) } else { Err("the file ends in its length".to_owned()) };
        };
        let length = u64::from(u32::from_be_bytes(bytes));
        if length > LARGEST_EXPORT as u64 {
            return Err(format!("it is larger than {LARGEST_EXPORT} bytes, or what is before it is damaged"));
        }
        let mut body = Vec::new();
        self.reader.by_ref().take(length).read_to_end(&mut body).map_err(unreadable)?;
        if (body.len() as u64) < length { Err("the file ends in it".to_owned()) } else { Ok(Some(body)) }
    }
}

impl<R: BufRead> Iterator for Framed<R> {
    type Item = Vec<Result<Mapped, Rejected>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        self.number += 1;
        let records = match self.request() {
            Ok(Some(body)) => export(&body),
            Ok(None) => return None,
            Err(error) => {
                self.over = true;
                vec![Err(error)]
            }
        };
        let number = self.number;
        Some(lined(
            0,
            records.into_iter().map(|r| r.map_err(|error| format!("export {number}, {error}"))).collect(),
        ))
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
    let signals = match parse::value::<Signals>(text) {
        Ok(signals) => signals,
        Err(error) => return refuse(error),
    };
    let mut records = Vec::new();
    if signals.resource_spans.is_some() {
        match otlp::decode_json::<ExportTraceServiceRequest>(text.as_bytes()) {
            Ok(request) => records.extend(lined(line, request.records())),
            Err(error) => records.extend(refuse(error)),
        }
    }
    if signals.resource_logs.is_some() {
        match otlp::decode_json::<ExportLogsServiceRequest>(text.as_bytes()) {
            Ok(request) => records.extend(lined(line, request.records())),
            Err(error) => records.extend(refuse(error)),
        }
    }
    if signals.resource_metrics.is_some() {
        records.extend(refuse(format!("field `resourceMetrics`: {METRICS}")));
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
