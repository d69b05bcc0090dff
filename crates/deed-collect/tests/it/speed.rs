//! How fast spans are mapped. Not run unless asked for:
//! `cargo test --release -p deed-collect -- --ignored --nocapture speed`.

use std::{fs, time::Instant};

use deed_collect::{Source, otlp, records};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::{AGENTS_PB, CLOUDTRAIL, samples};

/// Seconds that this thread ran on a processor, where the system says so: other work on the machine then
/// does not count.
fn processor_seconds(start: Instant) -> f64 {
    let ran = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = ran.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    nanos.map_or_else(|| start.elapsed().as_secs_f64(), |nanos| nanos as f64 / 1e9)
}

/// How many results `map` gives in a second, at its best: whatever shares the processor only slows it.
fn rate(mut map: impl FnMut() -> usize) -> f64 {
    const WINDOWS: usize = 100;
    let clock = Instant::now();
    let mut window = || {
        let (start, mut done) = (processor_seconds(clock), 0);
        while processor_seconds(clock) - start < 0.02 {
            done += map();
        }
        done as f64 / (processor_seconds(clock) - start)
    };
    (0..WINDOWS).map(|_| window()).fold(0.0, f64::max)
}

fn measure(name: &str, body: &[u8]) {
    let decode =
        || otlp::decode_protobuf::<ExportTraceServiceRequest>(std::hint::black_box(body)).expect("a request");
    let request = decode();
    let records = otlp::spans(&request);
    let bytes: usize = records.iter().flatten().map(String::len).sum();
    let mapped = rate(|| std::hint::black_box(otlp::spans(&request)).len());
    let with_decoding = rate(|| std::hint::black_box(otlp::spans(&decode())).len());
    eprintln!(
        "{name}: {} bytes a record, {mapped:.0} spans/s mapped, {with_decoding:.0} with protobuf read",
        bytes / records.len()
    );
}

/// CloudTrail events, cut out of a file and mapped.
fn measure_cloudtrail() {
    let events = || records(Source::CloudTrail, CLOUDTRAIL.as_bytes()).filter(Result::is_ok).count();
    let bytes = CLOUDTRAIL.len() / events();
    eprintln!("cloudtrail: {bytes} bytes an event, {:.0} events/s read and mapped", rate(events));
}

#[test]
#[ignore = "takes seconds and measures only in release"]
fn speed() {
    measure_cloudtrail();
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
