//! Prints how fast Deed is beside what it is compared with, in one run on one machine.
//!
//! Every figure comes with the one it is to be held against, measured in the same run: the machine's own
//! ceiling, the bare sync of the same disk, hash chains in PostgreSQL and SQLite. `cargo run --release -p
//! bench -- all` runs everything but the gateway, which has a run of its own: `-- gateway`; each part can be
//! run alone and with fewer records. With `--no-default-features` there is no `all`, `ingest` and `baselines`,
//! and the query engine need not be built.

#![cfg_attr(not(feature = "sql"), expect(dead_code, reason = "what `ingest` and `baselines` need besides"))]

mod acks;
mod answers;
#[cfg(feature = "sql")]
mod baselines;
#[cfg(feature = "sql")]
mod ceiling;
mod explain;
mod gateway;
mod http;
#[cfg(feature = "sql")]
mod ingest;
mod otlp;
mod records;
mod server;
mod sizes;
mod tokens;
mod verify;

use std::{error::Error, path::PathBuf};

use ::http::Uri;
use clap::{Parser, Subcommand};

/// What every part returns.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    /// Folder for the stores that are made; on the disk that is to be measured
    #[arg(long, global = true, default_value = "bench-data")]
    dir: PathBuf,
    /// Records to ingest
    #[arg(long, global = true, default_value_t = 1_000_000)]
    records: u64,
    /// Keep the stores
    #[arg(long, global = true)]
    keep: bool,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Ingest, baselines, acks, otlp and tokens, one after another
    #[cfg(feature = "sql")]
    All,
    /// Ingest over HTTP, the ceiling, sizes, explain and verify on the store that results
    #[cfg(feature = "sql")]
    Ingest,
    /// The same records into PostgreSQL and SQLite hash chains
    #[cfg(feature = "sql")]
    Baselines,
    /// Acknowledgement latency of 64 concurrent single appends beside the bare sync
    Acks,
    /// Spans over OTLP/HTTP
    Otlp,
    /// Token exchange
    Tokens,
    /// Explain, blast and rebuild on a long history of many principals
    Answers {
        /// Identities, each with a grant and a credential
        #[arg(long, default_value_t = 100_000)]
        principals: u64,
    },
    /// Tool calls through the gateway, beside direct ones and other gateways
    Gateway(gateway::Arguments),
    /// A tool server, as `gateway` starts it
    #[command(hide = true)]
    Upstream,
    /// A forwarder to URL, as `gateway` starts it
    #[command(hide = true)]
    Forward {
        url: Uri,
        /// Ask policies about each call
        #[arg(long)]
        decide: bool,
    },
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    let dir = &arguments.dir;
    match &arguments.part {
        Part::Upstream => return gateway::serve(),
        Part::Forward { url, decide } => return gateway::forward(url, *decide),
        _ => {}
    }
    std::fs::create_dir_all(dir)?;
    let run = match &arguments.part {
        #[cfg(feature = "sql")]
        Part::All => ingest::run(dir, arguments.records)
            .and_then(|rate| baselines::run(dir, arguments.records.min(1_000_000), Some(rate)))
            .and_then(|()| acks::run(dir))
            .and_then(|()| otlp::run(dir))
            .and_then(|()| tokens::run(dir)),
        #[cfg(feature = "sql")]
        Part::Ingest => ingest::run(dir, arguments.records).map(drop),
        #[cfg(feature = "sql")]
        Part::Baselines => baselines::run(dir, arguments.records, None),
        Part::Acks => acks::run(dir),
        Part::Otlp => otlp::run(dir),
        Part::Tokens => tokens::run(dir),
        Part::Answers { principals } => answers::run(dir, arguments.records, *principals),
        Part::Gateway(what) => gateway::run(dir, what),
        Part::Upstream | Part::Forward { .. } => Ok(()),
    };
    if !arguments.keep {
        std::fs::remove_dir_all(dir)?;
    }
    run
}

/// Prints one figure on its own line: name, value, and what it is held against.
#[expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
fn figure(name: &str, value: impl std::fmt::Display, beside: impl std::fmt::Display) {
    println!("{name:<44} {value:>16}   {beside}");
}

/// Prints a heading.
#[expect(clippy::print_stdout, reason = "printing figures is what this program is for")]
fn heading(text: &str) {
    println!("\n{text}");
}

/// `12,345,678`.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
