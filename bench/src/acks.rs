//! How long one append waits to be durable, beside what as many threads wait that do nothing but share the
//! syncs of the same disk.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use crate::{Outcome, figure, heading, http::Client, records, server};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: u64 = 64;
const EACH: u64 = 400;

pub(crate) fn run(dir: &Path) -> Outcome {
    heading("Acknowledgement: 64 clients, one record a request, each waiting for its receipt");
    let idle = bare_sync(dir)?;
    let group = bare_group_sync(dir)?;
    let running = server::start(&dir.join("acks"))?;
    let idle_answer = shares(durations(running.address, |client| {
        let started = Instant::now();
        client.get("/healthz")?;
        Ok(started.elapsed())
    })?);
    let next = AtomicU64::new(0);
    let append = |client: &mut Client| {
        let body = records::body(next.fetch_add(1, Ordering::Relaxed), 1);
        let started = Instant::now();
        let (status, answer) = client.post("/v1/records", "application/x-ndjson", body.as_bytes())?;
        if status != 200 {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(started.elapsed())
    };
    // Somebody who is seen for the first time is given a key, which is durable before it is used.
    let first_seen = shares(durations(running.address, append)?);
    let times = shares(durations(running.address, append)?);
    let acknowledged = Instant::now();
    let mut client = Client::connect(running.address)?;
    loop {
        let (_, note) = client.get("/checkpoint")?;
        let size: u64 =
            String::from_utf8_lossy(&note).lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
        if size >= 2 * CLIENTS * EACH {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let provable = acknowledged.elapsed();
    running.stop()?;
    figure("one thread, write and sync, p50", format!("{:.2?}", idle.0), format!("p99 {:.2?}", idle.1));
    figure(
        "64 threads, bare group sync, p50",
        format!("{:.2?}", group.0),
        format!("p99 {:.2?}: no server, no records", group.1),
    );
    figure(
        "64 clients, an answer to nothing, p50",
        format!("{:.2?}", idle_answer.0),
        format!("p99 {:.2?}: the same server, nothing to record", idle_answer.1),
    );
    let ratio = |ours: Duration, bare: Duration| ours.as_secs_f64() / bare.as_secs_f64();
    for (name, ours, bare) in [
        ("acknowledgement p50", times.0, group.0),
        ("acknowledgement p99", times.1, group.1),
        ("p50 in a new store, whose people are new", first_seen.0, group.0),
        ("p99 in a new store, whose people are new", first_seen.1, group.1),
    ] {
        figure(name, format!("{ours:.2?}"), format!("{:.2} times the bare group sync", ratio(ours, bare)));
    }
    figure("in a signed checkpoint after the last one", format!("{provable:.2?}"), "at most 1 s");
    Ok(())
}

/// What `CLIENTS` clients at once wait, each asking `EACH` times; `ask` says how long it took.
fn durations(
    address: SocketAddr,
    ask: impl Fn(&mut Client) -> Result<Duration, Failure> + Sync,
) -> Result<Vec<Duration>, Failure> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<Duration>, Failure> {
                    let mut client = Client::connect(address)?;
                    (0..EACH).map(|_| ask(&mut client)).collect()
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a client died")??);
        }
        Ok(all)
    })
}

/// What 64 such records take in the journal.
const GROUP: usize = CLIENTS as usize * 1_200;
const FILE: usize = 64 << 20;

/// A zero-filled file, as a journal is.
fn scratch(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    file.write_all(&vec![0; FILE])?;
    file.sync_all()?;
    Ok(file)
}

/// p50 and p99 of one thread that writes what 64 records take, and syncs it.
fn bare_sync(dir: &Path) -> Result<(Duration, Duration), Failure> {
    let path = dir.join("bare-sync");
    let file = scratch(&path)?;
    let block = vec![7; GROUP];
    let mut times = Vec::new();
    for at in 0..800 {
        let started = Instant::now();
        file.write_all_at(&block, (at * GROUP % (FILE - GROUP)) as u64)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(shares(times))
}

/// p50 and p99 of 64 threads that each hand over what one record takes, again and again, to one that writes and
/// syncs all there is at a time.
fn bare_group_sync(dir: &Path) -> Result<(Duration, Duration), Failure> {
    let path = dir.join("bare-group-sync");
    let file = scratch(&path)?;
    let (hand_over, handed_over) = mpsc::sync_channel::<(Vec<u8>, mpsc::SyncSender<()>)>(CLIENTS as usize);
    let mut times = Vec::new();
    std::thread::scope(|scope| -> Outcome {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let hand_over = hand_over.clone();
                scope.spawn(move || -> Result<Vec<Duration>, String> {
                    let (done, wait) = mpsc::sync_channel(1);
                    (0..EACH)
                        .map(|_| {
                            let started = Instant::now();
                            let record = vec![7; GROUP / CLIENTS as usize];
                            hand_over.send((record, done.clone())).map_err(|e| e.to_string())?;
                            wait.recv().map_err(|e| e.to_string())?;
                            Ok(started.elapsed())
                        })
                        .collect()
                })
            })
            .collect();
        drop(hand_over);
        let mut at = 0;
        while let Ok(first) = handed_over.recv() {
            let group: Vec<_> = std::iter::once(first).chain(handed_over.try_iter()).collect();
            let bytes: Vec<u8> = group.iter().flat_map(|(record, _)| record).copied().collect();
            at = if at + bytes.len() > FILE { 0 } else { at };
            file.write_all_at(&bytes, at as u64)?;
            file.sync_data()?;
            at += bytes.len();
            for (_, done) in group {
                done.send(())?;
            }
        }
        for worker in workers {
            times.extend(worker.join().map_err(|_| "a thread died")??);
        }
        Ok(())
    })?;
    std::fs::remove_file(&path)?;
    Ok(shares(times))
}

/// p50 and p99.
fn shares(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
