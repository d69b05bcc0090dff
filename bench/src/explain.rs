//! `explain` through the API, on records from anywhere in the history.

use std::time::Instant;

use serde_json::Value;

use crate::{Outcome, figure, http::Client, records, server::Server};

const ASKED: u64 = 2_000;

pub(crate) fn run(running: &Server, count: u64) -> Outcome {
    let mut client = Client::connect(running.address)?;
    let mut times = Vec::new();
    for n in 0..ASKED {
        let trace = records::trace(records::mixed(n) % count);
        let (_, answer) = client.get(&format!("/v1/traces/{trace}"))?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let id =
            answer.pointer("/steps/0/id").and_then(Value::as_str).ok_or("a trace without steps")?.to_owned();
        let started = Instant::now();
        let (status, answer) = client.get(&format!("/v1/actions/{id}/explain"))?;
        times.push(started.elapsed());
        if status != 200 {
            return Err(format!("explain answered {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    figure("explain p50", format!("{:.2?}", at(50)), "at most 10 ms");
    figure("explain p99", format!("{:.2?}", at(99)), "at most 50 ms");
    Ok(())
}
