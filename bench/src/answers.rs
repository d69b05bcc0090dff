//! The questions of a reviewer, asked of a long history: everyone holds a right and a credential, and one
//! credential leaks.

mod history;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Outcome, figure, grouped, heading, http::Client, records::mixed, server};
use history::History;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Records a request.
const BATCH: u64 = 500;
const CLIENTS: u64 = 4;
/// Times a question about one action is asked.
const ASKED: u64 = 1_000;
/// How long a question is asked again while the server says that it is not that far yet.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Records `actions` of `principals`, then asks.
pub(crate) fn run(dir: &Path, actions: u64, principals: u64) -> Outcome {
    let history = History { actions, principals };
    heading(&format!(
        "Answers: {} actions of {} principals, each with a grant and a credential",
        grouped(actions as f64),
        grouped(principals as f64)
    ));
    let alone = alone(&dir.join("answers-alone"), &history)?;
    figure("recorded while nothing follows", format!("{}/s", grouped(alone)), "");
    let store = dir.join("answers");
    let (running, started, rate) = recorded(&store, &history, "")?;
    figure(
        "recorded while identities and findings follow",
        format!("{}/s", grouped(rate)),
        format!("{:.0} % less; at most 25 %", 100.0 * (1.0 - rate / alone)),
    );

    let mut client = Client::connect(running.address)?;
    let (behind, findings) = ask(&mut client, "/v1/findings?limit=1")?;
    figure(
        "findings of everything, first answer",
        format!("{behind:.2?}"),
        format!("{} bytes; what had not been reviewed yet is in it", findings.len()),
    );
    let all = history.records() as f64 / started.elapsed().as_secs_f64();
    figure("recorded and reviewed", format!("{}/s", grouped(all)), "until that answer");
    explain(&mut client, &history)?;
    let (took, answer) = ask(&mut client, &format!("/v1/blast/{}?limit=10000", history::LEAKED))?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let found = answer["actions"].as_array().map_or(0, Vec::len);
    figure(&format!("blast of a key with {found} actions"), format!("{took:.2?}"), "at most 1 s");
    let (took, answer) = ask(&mut client, &format!("/v1/principals/{}", history::key(principals / 2)))?;
    figure("principal", format!("{took:.2?}"), format!("{} bytes", answer.len()));
    for (report, goal) in [("recertification", "at most 20 s"), ("standing", "")] {
        let (took, answer) = ask(&mut client, &format!("/v1/reports/{report}"))?;
        figure(&format!("report {report}"), format!("{took:.2?}"), format!("{} bytes; {goal}", answer.len()));
    }
    let (took, answer) = ask(&mut client, "/v1/patterns")?;
    figure("patterns", format!("{took:.2?}"), format!("{} bytes", answer.len()));
    figure(
        "peak resident memory",
        format!("{:.0} MiB", running.peak_memory().unwrap_or(0) as f64 / f64::from(1 << 20)),
        "",
    );
    running.stop()?;
    rebuild(&store, history.records())
}

/// Records the same where identities and findings wait to be asked for; records a second.
fn alone(store: &Path, history: &History) -> Result<f64, Failure> {
    let (running, _, rate) = recorded(store, history, "[limits]\nfollow_percent = 0\n")?;
    running.stop()?;
    fs::remove_dir_all(store)?;
    Ok(rate)
}

/// A server with these settings that has recorded all of it in a fresh store; since when, and records a second.
fn recorded(
    store: &Path,
    history: &History,
    settings: &str,
) -> Result<(server::Server, Instant, f64), Failure> {
    fs::create_dir_all(store)?;
    fs::write(store.join("inventory.toml"), history.inventory())?;
    fs::write(store.join("deed.toml"), settings)?;
    let running = server::start(store)?;
    let started = Instant::now();
    load(&running, history)?;
    let rate = history.records() as f64 / started.elapsed().as_secs_f64();
    Ok((running, started, rate))
}

fn load(running: &server::Server, history: &History) -> Outcome {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| -> Outcome {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    let mut client = Client::connect(running.address)?;
                    let mut body = String::new();
                    loop {
                        let from = next.fetch_add(BATCH, Ordering::Relaxed);
                        if from >= history.records() {
                            return Ok(());
                        }
                        body.clear();
                        for n in from..history.records().min(from + BATCH) {
                            history.write(n, &mut body)?;
                        }
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
    })
}

/// `explain` of actions from anywhere in the history.
fn explain(client: &mut Client, history: &History) -> Outcome {
    let mut times = Vec::new();
    for n in 0..ASKED {
        let id = history.action_id(mixed(n) % history.actions);
        times.push(ask(client, &format!("/v1/actions/{id}/explain"))?.0);
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    figure("explain p50", format!("{:.2?}", at(50)), "at most 15 ms");
    figure("explain p99", format!("{:.2?}", at(99)), "");
    Ok(())
}

/// Gets `path`, again while the server has not come that far; how long that took, and the answer.
fn ask(client: &mut Client, path: &str) -> Result<(Duration, Vec<u8>), Failure> {
    let started = Instant::now();
    loop {
        match client.get(path)? {
            (200, answer) => return Ok((started.elapsed(), answer)),
            (503, _) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            (status, answer) => {
                return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&answer)).into());
            }
        }
    }
}

/// `deed rebuild` on the store that nobody holds, as a person runs it.
fn rebuild(store: &Path, records: u64) -> Outcome {
    let started = Instant::now();
    let ran = Command::new(server::program()?).args(["rebuild", "--json", "--data"]).arg(store).output()?;
    let seconds = started.elapsed().as_secs_f64();
    let answer: Value = serde_json::from_slice(&ran.stdout)
        .map_err(|_| format!("deed rebuild: {}", String::from_utf8_lossy(&ran.stderr)))?;
    let parts: Vec<&str> =
        answer["rebuilt"].as_array().into_iter().flatten().filter_map(|part| part["name"].as_str()).collect();
    figure(
        "deed rebuild",
        format!("{}/s", grouped(records as f64 / seconds)),
        format!("at least 150,000/s; {}; same: {}", parts.join(", "), answer["same"]),
    );
    Ok(())
}
