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
    let request =
        otlp::decode_json::<ExportTraceServiceRequest>(request.to_string().as_bytes()).expect("read");
    let text = request.records().remove(0).expect("maps");
    assert_eq!(parse(&text).outcome.map(|o| o.status), Some(Status::Failure));
    let empty = otlp::decode_json::<ExportTraceServiceRequest>(b"{}").expect("an empty request");
    assert!(empty.records().is_empty());

    for bad in [
        &b"{"[..],
        b"[]",
        b"{\"resourceSpans\":{}}",
        b"{\"resourceSpans\":[7]}",
        b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":\"hunter2\"}]}]}",
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
        &otlp::decode_json::<ExportLogsServiceRequest>(log.to_string().as_bytes()).expect("logs").message,
    );
    assert_eq!(records(Source::Otlp, &request[..]).filter(Result::is_ok).count(), 1);
    request.truncate(request.len() - 1);
    let broken: Vec<_> = records(Source::Otlp, &request[..]).collect();
    assert!(matches!(&broken[..], [Err(rejected)] if rejected.error.contains("protobuf")), "{broken:?}");
}

#[test]
fn an_item_of_the_wrong_form_costs_itself_only() {
    let good = json!({"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "x", "startTimeUnixNano": "1795219965993099798"});
    let bad = |member: &str, value: serde_json::Value| {
        let mut span = good.clone();
        span[member] = value;
        span
    };
    let spans = json!([
        good,
        bad("traceId", json!("zz")),
        bad("spanId", json!("hunter2")),
        bad("startTimeUnixNano", json!("x")),
        bad("name", json!(5)),
        bad("attributes", json!([{"key": 7}])),
        bad("events", json!([{"timeUnixNano": "x"}])),
        "span",
        good,
    ]);
    let other = json!({"resource": {"attributes": 7}, "scopeSpans": [{"spans": [good, good]}]});
    let request = json!({"resourceSpans": [
        {"scopeSpans": [{"spans": spans}, {"scope": 7, "spans": [good]}]}, other, {"scopeSpans": [{"spans": [good]}]},
    ]});
    let expected = [
        (1, "span 1, field `traceId`: expected 32 hex digits"),
        (2, "span 2, field `spanId`: expected 16 hex digits"),
        (3, "span 3, field `startTimeUnixNano`: expected nanoseconds since 1970, in digits"),
        (4, "span 4, field `name`: expected a string"),
        (5, "span 5, field `attributes[0].key`: expected a string"),
        (6, "span 6, field `events[0].timeUnixNano`: expected nanoseconds since 1970, in digits"),
        (7, "span 7, expected an object"),
        (9, "span 9, field `scope`: expected an object"),
        (10, "span 10, field `resource.attributes`: expected a list"),
        (11, "span 11, field `resource.attributes`: expected a list"),
    ];
    let decoded =
        otlp::decode_json::<ExportTraceServiceRequest>(request.to_string().as_bytes()).expect("read");
    let records = decoded.records();
    assert_eq!(records.len(), 13);
    let errors: Vec<_> =
        records.iter().enumerate().filter_map(|(n, r)| r.as_ref().err().map(|e| (n, e.as_str()))).collect();
    assert_eq!(errors, expected);
    // From a file too.
    let file: Vec<_> = records_of(request.to_string().as_bytes());
    assert_eq!(file, records);

    let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": "5", "severityNumber": "loud"}, {"timeUnixNano": "5"}, {"timeUnixNano": {}},
    ]}]}]});
    let found = records_of(logs.to_string().as_bytes());
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false], "{found:?}");
    assert!(
        found[0].as_ref().is_err_and(|error| error.contains("log record 0, field `severityNumber`")),
        "{found:?}"
    );
}

fn records_of(file: &[u8]) -> Vec<Result<String, String>> {
    records(Source::Otlp, file)
        .map(|found| found.map(|mapped| mapped.record).map_err(|rejected| rejected.error))
        .collect()
}

#[test]
fn what_the_file_exporter_writes_in_protobuf_is_read() {
    let framed = |body: &[u8]| [&u32::try_from(body.len()).expect("small").to_be_bytes()[..], body].concat();
    let one = records_of(AGENTS_PB);
    let file = [framed(AGENTS_PB), framed(AGENTS_PB)].concat();
    assert_eq!(records_of(&file), [one.clone(), one.clone()].concat());
    for (end, error) in [
        (file.len() - 1, "export 2, the file ends in it"),
        (framed(AGENTS_PB).len() + 3, "export 2, the file ends in its length"),
    ] {
        assert_eq!(records_of(&file[..end]), [&one[..], &[Err(error.to_owned())]].concat());
    }
    let broken = [framed(AGENTS_PB), framed(b"what is this?"), framed(AGENTS_PB)].concat();
    let found = records_of(&broken);
    assert_eq!(found.len(), 2 * one.len() + 1);
    assert!(found[one.len()].as_ref().is_err_and(|error| error.starts_with("export 2, not an OTLP export")));
}

#[test]
fn metrics_are_called_metrics() {
    // A counter `http.requests`, as an SDK exports it: name, unit, sum with one point.
    let message = |number: u8, body: &[u8]| {
        [&[number << 3 | 2, u8::try_from(body.len()).expect("short")], body].concat()
    };
    let point = [&[0x19][..], &5_u64.to_le_bytes(), &[0x31], &1_u64.to_le_bytes()].concat();
    let sum = [message(1, &point), vec![0x10, 2, 0x18, 1]].concat();
    let metric = [message(1, b"http.requests"), message(3, b"1"), message(7, &sum)].concat();
    let scope = [message(1, &message(1, b"meter")), message(2, &metric)].concat();
    let body = message(1, &[message(1, b""), message(2, &scope)].concat());
    let told = ["metrics are no events and are not recorded"];
    let errors =
        |body: &[u8]| records_of(body).into_iter().map(|r| r.expect_err("no record")).collect::<Vec<_>>();
    assert_eq!(errors(&body), told);
    let gauge = [message(1, b"0123456789abcdef"), message(5, &message(1, &point))].concat();
    let body = message(1, &message(2, &message(2, &gauge)));
    assert_eq!(errors(&body), told);
}
