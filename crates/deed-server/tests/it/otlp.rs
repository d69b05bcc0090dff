//! OTLP over HTTP.

use deed_server::settings::Settings;
use http::header;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use serde_json::json;

use crate::support::{Running, call, get, gzip, post, small, with};

/// One span, as an exporter writes it in JSON.
pub(crate) const SPAN: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"manual"},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"execute_tool create","kind":1,"startTimeUnixNano":"1795220024281238070","endTimeUnixNano":"1795220024730603768","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"execute_tool"}},{"key":"gen_ai.tool.name","value":{"stringValue":"create"}}],"status":{}}]}]}]}"#;

/// As many spans as asked for, of one trace.
pub(crate) fn spans(count: u64) -> ExportTraceServiceRequest {
    let span = |n: u64| Span {
        trace_id: vec![7; 16],
        span_id: (n + 1).to_be_bytes().to_vec(),
        name: "execute_tool create".into(),
        start_time_unix_nano: 1_795_220_024_281_238_070,
        end_time_unix_nano: 1_795_220_024_730_603_768,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }],
    }
}

/// One log record.
pub(crate) fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1_795_220_024_281_238_070,
        body: Some(AnyValue { value: Some(any_value::Value::StringValue("hello".into())) }),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() }],
    }
}

/// An attribute with lists in lists.
pub(crate) fn deep(levels: usize) -> KeyValue {
    let text = AnyValue { value: Some(any_value::Value::StringValue("x".into())) };
    let value = (0..levels).fold(text, |inner, _| AnyValue {
        value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![inner] })),
    });
    KeyValue { key: "a".into(), value: Some(value), ..KeyValue::default() }
}

const PROTOBUF: &str = "application/x-protobuf";

/// What is answered to an export in protobuf.
pub(crate) async fn export<A: Message + Default>(running: &Running, path: &str, request: &impl Message) -> A {
    let answer = call(running.otlp(), post(path, PROTOBUF, request.encode_to_vec())).await;
    assert_eq!(answer.status, 200);
    A::decode(answer.body).unwrap()
}

/// `google.rpc.Status`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_kind_and_a_second_export_adds_nothing() {
    let running = Running::start().await;
    let protobuf = spans(3).encode_to_vec();
    for (round, address) in [running.otlp(), running.http(), running.otlp()].into_iter().enumerate() {
        let answer = call(address, post("/v1/traces", PROTOBUF, protobuf.clone())).await;
        assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (200, PROTOBUF), "{round}");
        assert_eq!(
            ExportTraceServiceResponse::decode(answer.body).unwrap(),
            ExportTraceServiceResponse::default()
        );
        assert_eq!(running.size(), 3);
    }
    for _ in 0..2 {
        let packed =
            with(post("/v1/traces", "application/json", gzip(SPAN.as_bytes())), "content-encoding", "gzip");
        let answer = call(running.otlp(), packed).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        assert_eq!(running.size(), 4);
    }
    for _ in 0..2 {
        let answer = call(running.otlp(), post("/v1/logs", PROTOBUF, logs().encode_to_vec())).await;
        assert_eq!(
            ExportLogsServiceResponse::decode(answer.body).unwrap(),
            ExportLogsServiceResponse::default()
        );
        assert_eq!(running.size(), 5);
    }
    let trace = running.get("/v1/traces/5b8efff798038103d269b633813fc60c").await.json();
    assert_eq!(trace["steps"][0]["tool"]["name"], "create");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_export_is_fine() {
    let running = Running::start().await;
    for path in ["/v1/traces", "/v1/logs"] {
        assert_eq!(call(running.otlp(), post(path, PROTOBUF, "")).await.status, 200);
        assert_eq!(call(running.otlp(), post(path, "application/json", "{}")).await.text(), "{}");
    }
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_record_is_counted() {
    let running = Running::start().await;
    let mut request = spans(3);
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = vec![0; 16];
    let answer: ExportTraceServiceResponse = export(&running, "/v1/traces", &request).await;
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.starts_with("1 of 3 spans were refused: "), "{}", partial.error_message);
    assert_eq!(running.size(), 2);

    let json = SPAN.replace("EEE19B7EC3C1B174", "00");
    let answer = call(running.otlp(), post("/v1/traces", "application/json", json)).await.json();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert!(running.get("/metrics").await.text().contains("\ndeed_otlp_items_rejected_total 2\n"));

    // What protobuf could not even hold costs no other span either.
    let mut two: serde_json::Value = serde_json::from_str(SPAN).unwrap();
    let spans = two["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
    let mut bad = spans[0].clone();
    bad["traceId"] = json!("zz");
    spans.insert(0, bad);
    let answer = call(running.otlp(), post("/v1/traces", "application/json", two.to_string())).await.json();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1", "{answer}");
    let told = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(told.contains("span 0, field `traceId`: expected 32 hex digits"), "{told}");
    assert_eq!(running.size(), 3);

    // A text that its exporter cut within a character costs none at all.
    let cut = SPAN.replace("\"create\"", "\"cut \\ud83d\"").replace("EEE19B7EC3C1B174", "EEE19B7EC3C1B175");
    assert!(cut.contains("ud83d"));
    let answer = call(running.otlp(), post("/v1/traces", "application/json", cut)).await;
    assert_eq!((answer.status, &*answer.text()), (200, "{}"));
    assert_eq!(running.size(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_a_status_in_kind() {
    let running = Running::with(small()).await;
    let large = spans(60_000).encode_to_vec();
    assert!(large.len() > 2 << 20);
    for (request, status, code) in [
        (post("/v1/traces", PROTOBUF, "hello"), 400, 3),
        (post("/v1/logs", PROTOBUF, "hello"), 400, 3),
        (with(post("/v1/traces", PROTOBUF, "hello"), "content-encoding", "gzip"), 400, 3),
        (post("/v1/traces", PROTOBUF, large.clone()), 413, 8),
        (with(post("/v1/traces", PROTOBUF, gzip(&large)), "content-encoding", "gzip"), 413, 8),
        (with(post("/v1/traces", PROTOBUF, "x"), "content-encoding", "zstd"), 415, 3),
        (post("/v1/metrics", PROTOBUF, ""), 404, 12),
        (with(get("/v1/traces"), "content-type", PROTOBUF), 405, 12),
        (with(get("/v1/profiles"), "content-type", PROTOBUF), 404, 12),
    ] {
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = call(running.otlp(), request).await;
        assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (status, PROTOBUF), "{shown}");
        let said = Status::decode(answer.body).unwrap();
        assert_eq!(said.code, code, "{shown}: {}", said.message);
        assert!(!said.message.is_empty());
    }
    let answer = call(running.otlp(), post("/v1/traces", "application/json", "{\"resourceSpans\":7}")).await;
    assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (400, "application/json"));
    let said = answer.json();
    assert_eq!(
        (&said["code"], &said["details"][0]["@type"]),
        (&json!(3), &json!("type.googleapis.com/google.rpc.BadRequest"))
    );
    for content_type in ["text/plain", "application/protobuf"] {
        let answer = call(running.otlp(), post("/v1/traces", content_type, SPAN)).await;
        assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (415, "application/json"));
    }
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_exports_are_taken_once() {
    let Some(samples) = std::env::var_os("DEED_DATA_SAMPLES") else {
        println!("skipped: DEED_DATA_SAMPLES is not set");
        return;
    };
    let running = Running::with(Settings::default()).await;
    let mut taken = 0;
    for folder in std::fs::read_dir(std::path::Path::new(&samples).join("otlp")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let content_type = match path.extension().and_then(|extension| extension.to_str()) {
                Some("pb") => PROTOBUF,
                Some("json") => "application/json",
                _ => continue,
            };
            let body = std::fs::read(&path).unwrap();
            let answer = call(running.otlp(), post("/v1/traces", content_type, body.clone())).await;
            assert_eq!(answer.status, 200, "{path:?}: {}", answer.text());
            let after = running.size();
            let packed = with(post("/v1/traces", content_type, gzip(&body)), "content-encoding", "gzip");
            assert_eq!(call(running.otlp(), packed).await.status, 200);
            assert_eq!(running.size(), after, "{path:?} was taken twice");
            taken += 1;
        }
    }
    assert!(taken >= 8, "{taken} samples");
    assert!(running.size() > 20);
    let page = running.get("/v1/actions?limit=1000").await.json();
    assert!(!page["actions"].as_array().unwrap().is_empty());
    for row in page["actions"].as_array().unwrap() {
        assert_eq!(
            running.get(&format!("/v1/actions/{}/explain", row["id"].as_str().unwrap())).await.status,
            200
        );
    }
}
