//! Exports as they come: files of several, JSON that is not quite to the letter, and there and back.

use deed_collect::{Source, otlp, records};
use deed_record::Status;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde_json::json;

use crate::{
    AGENTS_JSON, AGENTS_PB,
    otlp::{TRACE, payload},
    parse,
};

#[test]
fn the_event_of_a_record_gives_the_record_again() {
    for mapped in records(Source::Otlp, AGENTS_PB) {
        let text = mapped.expect("maps").record;
        let record = parse(&text);
        let event = payload(&record, "event").expect("an event").to_owned();
        let again: Vec<_> = records(Source::Otlp, event.as_bytes()).collect();
        let again = again.into_iter().map(|r| r.expect("maps").record).collect::<Vec<_>>();
        assert_eq!((again.len(), &again[0]), (1, &text));
    }
}

#[test]
fn json_that_exporters_write_is_read() {
    let request = json!({"resourceSpans": [{"resource": null, "scopeSpans": [{"spans": [{
        "traceId": TRACE.to_uppercase(), "spanId": "00F067AA0BA902B7", "name": "x", "kind": "SPAN_KIND_CLIENT", "startTimeUnixNano": 1795219965993099798_u64,
        "endTimeUnixNano": "1795219966026311324", "status": {"code": "STATUS_CODE_ERROR"}, "unheardOf": [1],
        "attributes": [{"key": "a", "value": {"arrayValue": {}}}, {"key": "b", "value": {"doubleValue": "NaN"}}, {"key": "c", "value": null}],
    }]}]}]});
    let request: ExportTraceServiceRequest = otlp::decode_json(request.to_string().as_bytes()).expect("read");
    let text = otlp::spans(&request).remove(0).expect("maps");
    assert_eq!(parse(&text).outcome.map(|o| o.status), Some(Status::Failure));
    let empty: ExportTraceServiceRequest = otlp::decode_json(b"{}").expect("an empty request");
    assert!(otlp::spans(&empty).is_empty());

    for bad in [
        &b"{"[..],
        b"[]",
        b"{\"resourceSpans\":{}}",
        b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"hunter2\"}]}]}]}",
    ] {
        let error = otlp::decode_json::<ExportTraceServiceRequest>(bad).expect_err("no request");
        assert!(
            error.starts_with("not an OTLP export of spans in JSON: ") && !error.contains("hunter2"),
            "{error}"
        );
    }
    let error = otlp::decode_protobuf::<ExportTraceServiceRequest>(b"\x0a\xff").expect_err("cut off");
    assert!(error.starts_with("not an OTLP export of spans in protobuf: "), "{error}");
}

#[test]
fn files_of_several_exports_are_read() {
    let spans = AGENTS_JSON.replace('\n', " ");
    let log = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "5", "body": {"stringValue": "x"}}]}]}]});
    let file = format!("{spans}\n{log}\n{{\"resourceMetrics\":[]}}\n{{\"a\":1}}\n{spans}\n");
    let found: Vec<_> = records(Source::Otlp, file.as_bytes()).collect();
    let good: Vec<_> = found.iter().flatten().map(|mapped| mapped.line).collect();
    assert_eq!(good, [1, 1, 1, 1, 1, 2, 5, 5, 5, 5, 5]);
    let bad: Vec<_> = found.iter().filter_map(|r| r.as_ref().err()).map(|r| r.line).collect();
    assert_eq!(bad, [3, 4]);
    let mut request = prost::Message::encode_to_vec(
        &otlp::decode_json::<ExportLogsServiceRequest>(log.to_string().as_bytes()).expect("logs"),
    );
    assert_eq!(records(Source::Otlp, &request[..]).filter(Result::is_ok).count(), 1);
    request.truncate(request.len() - 1);
    let broken: Vec<_> = records(Source::Otlp, &request[..]).collect();
    assert!(matches!(&broken[..], [Err(rejected)] if rejected.error.contains("protobuf")), "{broken:?}");
}
