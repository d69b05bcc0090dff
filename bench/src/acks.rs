//! How long one append waits to be durable, beside what the disk takes for a bare sync.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Outcome, figure, heading, http::Client, records, server};

const CLIENTS: u64 = 64;
const EACH: u64 = 400;

pub(crate) fn run(dir: &Path) -> Outcome {
    heading("Acknowledgement: 64 clients, one record a request, each waiting for its receipt");
    let sync = bare_sync(dir)?;
    let running = server::start(&dir.join("acks"))?;
    let next = AtomicU64::new(0);
    let times = Mutex::new(Vec::new());
    let provable = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| -> Outcome {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    let mut client = Client::connect(running.address)?;
                    let mut own = Vec::new();
                    for _ in 0..EACH {
                        let body = records::body(next.fetch_add(1, Ordering::Relaxed), 1);
                        let started = Instant::now();
                        let (status, answer) =
                            client.post("/v1/records", "application/x-ndjson", body.as_bytes())?;
                        if status != 200 {
                            return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
                        }
                        own.push(started.elapsed());
                    }
                    times.lock().map_err(|e| e.to_string())?.extend(own);
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a client died")??;
        }
        let acknowledged = Instant::now();
        let mut client = Client::connect(running.address)?;
        loop {
            let (_, note) = client.get("/checkpoint")?;
            let size: u64 =
                String::from_utf8_lossy(&note).lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
            if size >= CLIENTS * EACH {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        *provable.lock().map_err(|e| e.to_string())? = acknowledged.elapsed();
        Ok(())
    })?;
    running.stop()?;
    let mut times = times.into_inner().map_err(|e| e.to_string())?;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    figure("acknowledgement p50", format!("{:.2?}", at(0.5)), format!("bare group sync p50 {:.2?}", sync.0));
    let ratio = at(0.99).as_secs_f64() / sync.1.as_secs_f64();
    figure(
        "acknowledgement p99",
        format!("{:.2?}", at(0.99)),
        format!("bare group sync p99 {:.2?}, ratio {ratio:.2}", sync.1),
    );
    figure(
        "in a signed checkpoint after the last one",
        format!("{:.2?}", provable.into_inner().map_err(|e| e.to_string())?),
        "at most 1 s",
    );
    Ok(())
}

/// p50 and p99 of writing what 64 such records take and syncing it, in a zero-filled file.
fn bare_sync(dir: &Path) -> Result<(Duration, Duration), Box<dyn std::error::Error + Send + Sync>> {
    let path = dir.join("bare-sync");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(&vec![0; 64 << 20])?;
    file.sync_all()?;
    let block = vec![7; 64 * 1_200];
    let mut times = Vec::new();
    for at in 0..800 {
        let started = Instant::now();
        file.write_all_at(&block, at * block.len() as u64 % (60 << 20))?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}
