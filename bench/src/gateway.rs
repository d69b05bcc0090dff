//! One `tools/call` over Streamable HTTP: what each gateway adds to it, and what it can carry.
//!
//! All are called by the same clients in the same run, in turns, round after round; of the rounds the median
//! counts. Only Deed records: it forwards a call once its record is synced to disk, and records how it ended.

mod decision;
mod disk;
mod load;
mod memory;
mod places;
mod policies;
mod report;
mod target;
mod upstream;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

pub(crate) use upstream::{forward, serve};

use self::{
    load::{Sample, measure},
    places::{Cache, Running, at_deed, contextforge_tool, ourselves},
    report::{Calls, Measured, Report},
    target::{Era, Target},
};
use crate::{Outcome, server::Server};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Connections at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 512])]
    connections: Vec<usize>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that one is called in a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Calls over which memory is watched; 0 for none
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// The version of MCP that is spoken
    #[arg(long, value_enum, default_value = "2026-07-28")]
    era: Era,
    /// Only before the Node server
    #[arg(long, conflicts_with = "ours")]
    node: bool,
    /// Leave out what comes from PyPI and npm
    #[arg(long)]
    ours: bool,
    /// Folder in which what comes from PyPI and npm is installed, once
    #[arg(long, default_value = "target/bench-cache")]
    cache: PathBuf,
    /// The Python that installs it: 3.11 to 3.13, with venv
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// One JSON document instead of tables
    #[arg(long)]
    json: bool,
}

/// Names in tables.
const DIRECT: &str = "direct";
const FORWARDER: &str = "one more hop, nothing recorded";
const POLICY: &str = "… and 100 policies asked";
const DEED: &str = "Deed";
const DEED_100: &str = "Deed, 100 policies";
const FASTMCP: &str = "FastMCP proxy";
const CONTEXTFORGE: &str = "ContextForge";

/// Runs it all, with stores in `dir`.
pub(crate) fn run(dir: &Path, arguments: &Arguments) -> Outcome {
    let era = arguments.era;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    report.syncs.push(disk::measure(dir)?);
    report.decision = Some(decision::measure(&dir.join("decision"))?);

    let cache = if arguments.ours { None } else { Some(Cache::new(&arguments.cache, &arguments.python)?) };
    if !arguments.node {
        report.calls = runtime.block_on(fast(dir, arguments, era, cache.as_ref(), &mut report))?;
    }
    match cache.as_ref().map(Cache::node).transpose() {
        Ok(None) => {}
        Ok(Some(node)) => {
            let deed = places::deed(&dir.join("deed-node"), node.address, false)?;
            let targets = [Target::new(DIRECT, node.address, "/mcp", era), at_deed(DEED, &deed, era)];
            report.node_calls = runtime.block_on(in_turns(arguments, &targets, &mut report))?;
            deed.stop()?;
        }
        Err(why) => report.missing("the Node server", &*why),
    }
    report.syncs.push(disk::measure(dir)?);
    if arguments.calls > 0 && !arguments.node {
        let tools = ourselves(&["upstream"])?;
        let deed = places::deed(&dir.join("deed-long"), tools.address, false)?;
        let target = at_deed(DEED, &deed, era);
        report.memory = runtime.block_on(memory::watch(&deed, &target, arguments.calls))?;
        deed.stop()?;
    }
    if arguments.json { report.print_json() } else { report.print() }
}

/// All of them before the fast server.
async fn fast(
    dir: &Path,
    arguments: &Arguments,
    era: Era,
    cache: Option<&Cache>,
    report: &mut Report,
) -> Result<Calls, Failure> {
    let tools = ourselves(&["upstream"])?;
    let url = format!("http://{}/mcp", tools.address);
    let forwarder = ourselves(&["forward", &url])?;
    let deciding = ourselves(&["forward", "--decide", &url])?;
    let starter = places::deed(&dir.join("deed"), tools.address, false)?;
    let hundred = places::deed(&dir.join("deed-100"), tools.address, true)?;
    let mut targets = vec![
        Target::new(DIRECT, tools.address, "/mcp", era),
        Target::new(FORWARDER, forwarder.address, "/mcp", era),
        Target::new(POLICY, deciding.address, "/mcp", era),
        at_deed(DEED, &starter, era),
        at_deed(DEED_100, &hundred, era),
    ];
    // They run as long as they are called.
    let mut others: Vec<Running> = Vec::new();
    if let Some(cache) = cache {
        let started = cache.fastmcp(tools.address);
        report.add_other(FASTMCP, started, &mut others, |at| {
            targets.push(Target::new(FASTMCP, at, "/mcp", era))
        });
        let started = cache.contextforge(&dir.join("contextforge"), tools.address);
        report.add_other(CONTEXTFORGE, started, &mut others, |at: SocketAddr| {
            // It does not speak 2026-07-28 in every version that can be had.
            targets.push(contextforge_tool(Target::new(CONTEXTFORGE, at, "/mcp", Era::Legacy)));
        });
    }
    let calls = in_turns(arguments, &targets, report).await?;
    for deed in [starter, hundred] {
        Server::stop(deed)?;
    }
    Ok(calls)
}

/// Calls each of `targets` in each round, with as many connections as are asked for.
async fn in_turns(arguments: &Arguments, targets: &[Target], report: &mut Report) -> Result<Calls, Failure> {
    let window = Duration::from_secs_f64(arguments.seconds);
    let mut calls = Calls::new();
    for &connections in &arguments.connections {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); targets.len()];
        for round in 1..=arguments.rounds {
            eprintln!("{connections} at a time: round {round} of {}", arguments.rounds);
            for (target, samples) in targets.iter().zip(&mut samples) {
                match measure(target, connections, window).await {
                    Ok(sample) => samples.push(sample),
                    Err(why) => report.note(target.name, connections, &why.to_string()),
                }
            }
        }
        for (target, samples) in targets.iter().zip(&samples) {
            for why in samples.iter().filter_map(|sample| sample.first_failure.as_deref()) {
                report.note(target.name, connections, why);
            }
            if let Some(measured) = Measured::of(samples) {
                calls.push((target.name, connections, measured));
            }
        }
    }
    Ok(calls)
}
