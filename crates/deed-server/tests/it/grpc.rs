//! OTLP over gRPC, through tonic's own client.

use bytes::Bytes;
use deed_server::settings::Settings;
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceResponse, logs_service_client::LogsServiceClient},
    trace::v1::{ExportTraceServiceResponse, trace_service_client::TraceServiceClient},
};
use tokio::net::TcpStream;
use tonic::{Code, Request, codec::CompressionEncoding, transport::Channel};

use crate::{
    otlp::{deep, export, logs, spans},
    support::{Running, small},
};

async fn channel(running: &Running) -> Channel {
    let address = running.server.addresses().otlp_grpc.unwrap();
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Sends `frame` to a collector's service as it is.
async fn post(running: &Running, service: &str, frame: &[u8]) -> http::Response<Incoming> {
    let stream = TcpStream::connect(running.server.addresses().otlp_grpc.unwrap()).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::post(format!("http://localhost/opentelemetry.proto.collector.{service}/Export"))
            .header("content-type", "application/grpc")
            .body(Full::new(Bytes::copy_from_slice(frame)))
            .unwrap();
    sender.send_request(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_and_logs_are_taken_once() {
    let running = Running::start().await;
    let channel = channel(&running).await;
    let mut traces = TraceServiceClient::new(channel.clone());
    let mut packed = TraceServiceClient::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
    for _ in 0..2 {
        assert_eq!(traces.export(spans(5)).await.unwrap().into_inner().partial_success, None);
        assert_eq!(packed.export(spans(5)).await.unwrap().into_inner().partial_success, None);
        assert_eq!(running.size(), 5);
    }
    let mut client = LogsServiceClient::new(channel);
    assert_eq!(client.export(logs()).await.unwrap().into_inner().partial_success, None);
    assert_eq!(running.size(), 6);
    assert_eq!(traces.export(spans(0)).await.unwrap().into_inner().partial_success, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_record_is_counted() {
    let running = Running::start().await;
    let mut request = spans(3);
    request.resource_spans[0].scope_spans[0].spans[0].span_id = vec![1; 3];
    let answer = TraceServiceClient::new(channel(&running).await).export(request).await.unwrap();
    let partial = answer.into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, running.size()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nests_too_deep_to_be_read_is_counted() {
    let running = Running::start().await;
    let channel = channel(&running).await;
    let (mut traces, mut records) = (spans(3), logs());
    traces.resource_spans[0].scope_spans[0].spans[1].attributes = vec![deep(60)];
    let list = &mut records.resource_logs[0].scope_logs[0].log_records;
    list.push(list[0].clone());
    list[0].attributes = vec![deep(60)];

    let answer = TraceServiceClient::new(channel.clone()).export(traces.clone()).await.unwrap().into_inner();
    let spans = answer.partial_success.unwrap();
    assert_eq!((spans.rejected_spans, running.size()), (1, 2));
    assert!(
        spans.error_message.starts_with("1 of 3 spans were refused: span 1, it nests deeper"),
        "{spans:?}"
    );
    let answer = LogsServiceClient::new(channel).export(records.clone()).await.unwrap().into_inner();
    let logs = answer.partial_success.unwrap();
    assert_eq!((logs.rejected_log_records, running.size()), (1, 3));
    assert!(logs.error_message.contains("log record 0, it nests deeper"), "{logs:?}");

    // The same over HTTP; what was taken is known.
    let answer: ExportTraceServiceResponse = export(&running, "/v1/traces", &traces).await;
    assert_eq!(answer.partial_success, Some(spans));
    let answer: ExportLogsServiceResponse = export(&running, "/v1/logs", &records).await;
    assert_eq!(answer.partial_success, Some(logs));
    assert_eq!(running.size(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_final_and_unavailable_is_not() {
    let running = Running::with(small()).await;
    let channel = channel(&running).await;
    let large = || spans(60_000);
    let plain = TraceServiceClient::new(channel.clone()).export(large()).await.unwrap_err();
    assert_eq!(plain.code(), Code::ResourceExhausted, "{plain}");
    assert!(plain.details().is_empty(), "with RetryInfo it would be tried again");
    let mut packed = TraceServiceClient::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
    let bomb = packed.export(large()).await.unwrap_err();
    assert_eq!(bomb.code(), Code::ResourceExhausted, "{bomb}");
    assert!(bomb.details().is_empty());

    // The server may be writing into it: a second time it cannot.
    while std::fs::remove_dir_all(running.dir.path()).is_err() {}
    let error = TraceServiceClient::new(channel).export(spans(1)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.details().is_empty(), "RetryInfo says when");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_services_are_not_implemented() {
    let running = Running::start().await;
    let answer = post(&running, "metrics.v1.MetricsService", &[0; 5]).await;
    assert_eq!(answer.headers()["grpc-status"], (Code::Unimplemented as i32).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_the_sender_s_fault() {
    let running = Running::start().await;
    // Whole frames of which the messages are no protobuf, and one that is said to be compressed and is not.
    for frame in [&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff][..], &[0, 0, 0, 0, 2, 0x0a, 0x7f]] {
        let answer = post(&running, "trace.v1.TraceService", frame).await;
        assert_eq!(answer.headers()["grpc-status"], (Code::InvalidArgument as i32).to_string(), "{answer:?}");
    }
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for() {
    use std::collections::BTreeSet;

    use deed_seal::hash::Hash;
    use deed_server::{
        ServeOptions,
        settings::{Right, Token},
    };

    use crate::support::{open, options};

    const OTLP: &str = "otlp-0123456789abcdef0123456789abcdef";
    const READ: &str = "read-0123456789abcdef0123456789abcdef";
    let token = |name: &str, secret: &str, right| Token {
        name: name.into(),
        hash: Hash::of(secret.as_bytes()).0,
        tenant: Some("acme".into()),
        rights: BTreeSet::from([right]),
    };
    let settings = Settings {
        tokens: vec![token("otlp", OTLP, Right::Otlp), token("read", READ, Right::Read)],
        ..Settings::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let options = ServeOptions { otlp_http: Some("0.0.0.0:0".parse().unwrap()), ..options() };
    let running = Running { server: open(dir.path(), settings, options).await, dir };
    let mut client = TraceServiceClient::new(channel(&running).await);
    let export = |token: &str| {
        let mut request = Request::new(spans(1));
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    };
    assert_eq!(client.export(export("")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(client.export(export(READ)).await.unwrap_err().code(), Code::PermissionDenied);
    client.export(export(OTLP)).await.unwrap();
    let leaf = running.server.engine().ledger().leaf(0).unwrap();
    let record = leaf.skeleton().unwrap();
    assert_eq!((&*record.tenant, &*record.submitter), ("acme", "otlp"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_refused_in_grpc() {
    let running = Running::start().await;
    let address = running.server.addresses().otlp_grpc.unwrap();
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.origin("http://evil.example".parse().unwrap()).connect().await.unwrap();
    let error = TraceServiceClient::new(channel).export(spans(1)).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    assert_eq!(running.size(), 0);
}
