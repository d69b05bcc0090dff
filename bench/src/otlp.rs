//! Spans over OTLP/HTTP in protobuf, four clients.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

use crate::{Outcome, figure, grouped, heading, http::Client, records::mixed, server};

const SPANS: u64 = 400_000;
const EACH: u64 = 200;

pub(crate) fn run(dir: &Path) -> Outcome {
    heading(&format!(
        "OTLP/HTTP protobuf: {} spans of tool calls, 4 clients, {EACH} a request",
        grouped(SPANS as f64)
    ));
    let running = server::start(&dir.join("otlp"))?;
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| -> Outcome {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    let mut client = Client::connect(running.otlp)?;
                    loop {
                        let from = next.fetch_add(EACH, Ordering::Relaxed);
                        if from >= SPANS {
                            return Ok(());
                        }
                        let (status, answer) = client.post(
                            "/v1/traces",
                            "application/x-protobuf",
                            &request(from).encode_to_vec(),
                        )?;
                        if status != 200 || !answer.is_empty() {
                            return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client died")?)
    })?;
    figure(
        "spans, durable",
        format!("{}/s", grouped(SPANS as f64 / started.elapsed().as_secs_f64())),
        "at least 40,000/s",
    );
    running.stop()
}

fn request(from: u64) -> ExportTraceServiceRequest {
    let spans = (from..from + EACH).map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "billing-agent")],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn span(n: u64) -> Span {
    let trace = [mixed(n / 5).to_be_bytes(), mixed(!(n / 5)).to_be_bytes()].concat();
    Span {
        trace_id: trace,
        span_id: mixed(n ^ 7).to_be_bytes().to_vec(),
        name: "execute_tool get_invoice".into(),
        kind: 1,
        start_time_unix_nano: 1_795_219_965_000_000_000 + n * 1_000,
        end_time_unix_nano: 1_795_219_965_004_000_000 + n * 1_000,
        attributes: vec![
            text("gen_ai.operation.name", "execute_tool"),
            text("gen_ai.tool.name", "get_invoice"),
            text("gen_ai.tool.call.arguments", &format!("{{\"invoice_id\":\"INV-{n}\"}}")),
            text("gen_ai.tool.call.result", "{\"total\":1}"),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) }),
        ..KeyValue::default()
    }
}
