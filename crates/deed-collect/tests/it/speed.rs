//! How fast spans are mapped. Not run unless asked for:
//! `cargo test --release -p deed-collect -- --ignored --nocapture speed`.

use std::{fs, time::Instant};

use deed_collect::otlp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::{AGENTS_PB, samples};

fn measure(name: &str, body: &[u8]) {
    let request: ExportTraceServiceRequest = otlp::decode_protobuf(body).expect("a request");
    let spans = otlp::spans(&request).len();
    let bytes: usize = otlp::spans(&request).iter().flatten().map(String::len).sum();
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed().as_secs() < 3 {
        done += std::hint::black_box(otlp::spans(&request)).len();
    }
    let mapped = done as f64 / start.elapsed().as_secs_f64();
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed().as_secs() < 3 {
        let request: ExportTraceServiceRequest = otlp::decode_protobuf(body).expect("a request");
        done += std::hint::black_box(otlp::spans(&request)).len();
    }
    let with_decoding = done as f64 / start.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {spans} spans, {} bytes a record: {mapped:.0} spans/s mapped, {with_decoding:.0} with protobuf read",
        bytes / spans
    );
}

#[test]
#[ignore = "takes seconds and measures only in release"]
fn speed() {
    measure("agents", AGENTS_PB);
    let Some(folder) = samples() else { return };
    for name in [
        "openai-agents-otel/001-traces-http",
        "openai-agents-openinference/001-traces-http",
        "pydantic-ai/002-traces-grpc",
        "pydantic-ai/004-traces-http",
    ] {
        measure(name, &fs::read(folder.join("otlp").join(name).with_extension("pb")).expect("a file"));
    }
}
