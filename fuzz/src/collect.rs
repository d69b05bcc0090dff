//! Other systems' logs and OTLP.

use std::io::{BufReader, Read as _};

use deed_collect::{Mapped, Mapping, Rejected, Source, input, otlp, records, source};
use deed_record::parse_one;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};

use crate::secret::{holds_any, is_clean_once_sealed, long_words};

/// So much of what a compressed input expands to is looked at.
const EXPANDED: u64 = 1 << 18;

/// A file of CloudTrail events in any shape, compressed or not.
pub fn cloudtrail(data: &[u8]) {
    let _guess = source::guess(data, "x");
    let mut plain = Vec::new();
    let mut reader = input::open(data).take(EXPANDED);
    // What came before compressed data broke off is read all the same.
    let _broken = reader.read_to_end(&mut plain).is_err();
    let events: Vec<_> = input::json_events(&plain[..]).collect();
    let sum: usize = events.iter().flatten().map(|(_, text)| text.len()).sum();
    assert!(sum <= plain.len(), "events are cut out of the input");
    assert!(events.len() <= plain.len() + 1, "what is said of the input is bounded by it");
    for (_, text) in events.iter().flatten() {
        assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
    }
    let in_pieces: Vec<_> = input::json_events(BufReader::with_capacity(7, &plain[..])).collect();
    assert!(events == in_pieces, "however the input is cut into pieces, the same comes out");
    each_is_a_record(&plain, records(Source::CloudTrail, &plain[..]));
}

/// A file of Kubernetes audit events, plain or as a cloud wraps them.
pub fn kubernetes(data: &[u8]) {
    audit_log(Source::Kubernetes, data);
}

/// A file of Vault's audit entries.
pub fn vault_audit(data: &[u8]) {
    audit_log(Source::Vault, data);
}

/// A file of events of GitHub's audit log.
pub fn github(data: &[u8]) {
    audit_log(Source::GitHub, data);
}

/// A file of JSON events: what comes out are records, and the same ones when it is read again.
fn audit_log(source: Source, data: &[u8]) {
    let _guess = source::guess(data, "x");
    let all = || records(source, data).collect::<Vec<_>>();
    let found = all();
    assert!(found == all(), "the same bytes give the same records");
    // INVARIANT D12: an event is known by its name.
    for mapped in found.iter().flatten() {
        let record = parse_one(&mapped.record, false).expect("a record");
        assert!(record.source.and_then(|source| source.event_id).is_some(), "{}", mapped.record);
    }
    each_is_a_record(data, found.into_iter());
}

/// A file of Okta's System Log.
pub fn okta(data: &[u8]) {
    each_is_a_record(data, records(Source::Okta, data));
}

/// A file of Microsoft Entra ID.
pub fn entra(data: &[u8]) {
    each_is_a_record(data, records(Source::Entra, data));
}

/// A file of Teleport's audit log.
pub fn teleport(data: &[u8]) {
    each_is_a_record(data, records(Source::Teleport, data));
}

/// A file of security event tokens, as claims or as they are sent.
pub fn ssf(data: &[u8]) {
    audit_log(Source::Ssf, data);
}

/// A mapping file, a zero byte, and a file that it maps.
pub fn mapping(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (file, events) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(file) else { return };
    match Mapping::parse(text) {
        Ok(mapping) => {
            for mapped in mapping.records(events).flatten() {
                parse_one(&mapped.record, false).unwrap_or_else(|error| panic!("{error}: {}", mapped.record));
                is_clean_once_sealed(&mapped.record);
            }
        }
        Err(error) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
        }
    }
}

/// A request, or a file, of OTLP/JSON.
pub fn otlp_json(data: &[u8]) {
    each_is_a_record(data, records(Source::Otlp, data));
    if let Ok(request) = otlp::decode_json::<ExportTraceServiceRequest>(data) {
        items(data, count_spans(&request.message), request.records());
    }
    if let Ok(request) = otlp::decode_json::<ExportLogsServiceRequest>(data) {
        items(data, count_logs(&request.message), request.records());
    }
}

/// A request of OTLP in protobuf, which is also read in JSON where it can be written so.
pub fn otlp_protobuf(data: &[u8]) {
    each_is_a_record(data, records(Source::Otlp, data));
    if let Ok(request) = otlp::decode_protobuf::<ExportTraceServiceRequest>(data) {
        items(data, count_spans(&request.message), request.records());
        let json = serde_json::to_vec(&request.message).expect("a request serialises");
        if let Ok(other) = otlp::decode_json::<ExportTraceServiceRequest>(&json)
            && other == request
        {
            assert_eq!(other.records(), request.records(), "both forms give the same records");
        }
    }
    if let Ok(request) = otlp::decode_protobuf::<ExportLogsServiceRequest>(data) {
        items(data, count_logs(&request.message), request.records());
    }
}

fn count_spans(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn count_logs(request: &ExportLogsServiceRequest) -> usize {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    scopes.map(|scope| scope.log_records.len()).sum()
}

fn items(data: &[u8], count: usize, items: Vec<Result<String, String>>) {
    assert_eq!(items.len(), count, "one answer for each item");
    let lined = items.into_iter().map(|item| match item {
        Ok(record) => Ok(Mapped { record, line: 0 }),
        Err(error) => Err(Rejected { line: 0, error }),
    });
    each_is_a_record(data, lined);
}

/// What a collector makes is a record that the ledger takes, and what it refuses it does not quote.
fn each_is_a_record(data: &[u8], found: impl Iterator<Item = Result<Mapped, Rejected>>) {
    let words = long_words(data);
    let mut line = 0;
    for result in found {
        match result {
            Ok(mapped) => {
                assert!(mapped.line >= line, "lines rise");
                line = mapped.line;
                let record = &mapped.record;
                parse_one(record, false).unwrap_or_else(|error| panic!("{error}: {record}"));
                // An escape takes six bytes for one; a span stands in its record up to three times, a role once for each
                // of up to 24 subjects.
                assert!(record.len() <= 32 * data.len() + 4096, "{} from {}", record.len(), data.len());
                is_clean_once_sealed(record);
            }
            // INVARIANT D9
            Err(rejected) => {
                assert!(rejected.error.len() < 1000 && !holds_any(&rejected.error, &words), "{rejected:?}");
            }
        }
    }
}
