//! Ingest over HTTP: batches of 500 from four clients, each waiting for its receipts, on the same cores.

use std::{
    error::Error,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    Outcome, ceiling, explain, figure, grouped, heading, http::Client, records, server, sizes, verify,
};

/// Records a request.
pub(crate) const BATCH: u64 = 500;
const CLIENTS: u64 = 4;

/// Ingests `count` records, then asks the store that results; records a second.
pub(crate) fn run(dir: &Path, count: u64) -> Result<f64, Box<dyn Error + Send + Sync>> {
    heading(&format!(
        "Ingest: {} records of {} bytes, POST /v1/records, {CLIENTS} clients, {BATCH} a request",
        grouped(count as f64),
        records::body(0, 1000).len() / 1000
    ));
    let top = ceiling::run(&dir.join("ceiling"), count.min(1_000_000))?;
    std::fs::remove_dir_all(dir.join("ceiling"))?;
    let store = dir.join("ingest");
    let running = server::start(&store)?;
    let seconds = load(&running, 0, count, None)?;
    let rate = count as f64 / seconds;
    figure(
        "durable, sealed, sequenced",
        format!("{}/s", grouped(rate)),
        format!("library calls without a server {}/s, ratio {:.2}", grouped(top), rate / top),
    );
    figure("packs that Parquet is behind at the end", behind(&running)?, "queries read the rest from memory");
    let (waited, answered) = queryable_after(&running, count)?;
    figure(
        "queryable after the acknowledgement",
        format!("{waited:.2?}"),
        format!("at most 0.1 s; that first query took {answered:.2?}"),
    );
    explain::run(&running, count)?;
    figure(
        "peak resident memory",
        format!("{:.0} MiB", running.peak_memory().unwrap_or(0) as f64 / f64::from(1 << 20)),
        "at most 1,024 MiB",
    );
    running.stop()?;
    sizes::run(&store, count)?;
    verify::run(&store)?;

    let running = server::start(&store)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        let loader = scope.spawn(|| load(&running, count, 300_000, Some(&stop)));
        std::thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        drop(loader.join());
        Ok(())
    })?;
    running.kill()?;
    let again = server::start(&store)?;
    figure("ready after kill -9 in the middle of it", format!("{:.2?}", again.ready_after), "at most 3 s");
    again.stop()?;
    Ok(rate)
}

/// Sends records `from..from + count`; the seconds it took.
fn load(
    running: &server::Server,
    from: u64,
    count: u64,
    stop: Option<&AtomicBool>,
) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| -> Outcome {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    let mut client = Client::connect(running.address)?;
                    loop {
                        let at = next.fetch_add(BATCH, Ordering::Relaxed);
                        if at >= count || stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                            return Ok(());
                        }
                        let body = records::body(from + at, BATCH.min(count - at));
                        let (status, answer) =
                            client.post("/v1/records", "application/x-ndjson", body.as_bytes())?;
                        if status != 200 {
                            return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client died")?)
    })?;
    Ok(started.elapsed().as_secs_f64())
}

/// Finished packs that are not in Parquet yet.
fn behind(running: &server::Server) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let (_, answer) = Client::connect(running.address)?.get("/v1/health")?;
    let health: serde_json::Value = serde_json::from_slice(&answer)?;
    let checks = health["checks"].as_array().into_iter().flatten();
    let tables = checks.filter(|check| check["name"] == "tables").find_map(|check| check["detail"].as_str());
    // `3 of 4 packs in Parquet`
    let numbers: Vec<u64> =
        tables.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [done, all] => Ok(all - done),
        _ => Err(format!("no health of the tables: {health}").into()),
    }
}

/// From one more record's acknowledgement until the query begins that counts it, and how long that took.
fn queryable_after(
    running: &server::Server,
    count: u64,
) -> Result<(Duration, Duration), Box<dyn Error + Send + Sync>> {
    let mut client = Client::connect(running.address)?;
    let query = br#"{"query":"SELECT count(*) AS n FROM records WHERE session = 'the-one'"}"#;
    // The first query of a process also plans what later ones have planned.
    client.post("/v1/sql", "application/json", query)?;
    let body =
        records::body(count, 1).replacen("\"environment\"", "\"session\":\"the-one\",\"environment\"", 1);
    client.post("/v1/records", "application/x-ndjson", body.as_bytes())?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let asked = Instant::now();
        let (status, answer) = client.post("/v1/sql", "application/json", query)?;
        if status != 200 {
            return Err(format!("SQL answered {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        if String::from_utf8_lossy(&answer).contains(":1}") {
            // The record was there when the query began.
            return Ok((asked.duration_since(started), asked.elapsed()));
        }
    }
    Err("the record did not become queryable".into())
}
