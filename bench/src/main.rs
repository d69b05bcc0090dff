//! Prints how fast Deed is beside what it is compared with, in one run on one machine.
//!
//! Every figure comes with the one it is to be held against, measured in the same run: the machine's own
//! ceiling, the bare sync of the same disk, hash chains in PostgreSQL and SQLite. `cargo run --release -p
//! bench -- all` runs everything; each part can be run alone and with fewer records.

mod acks;
mod baselines;
mod ceiling;
mod explain;
mod http;
mod ingest;
mod otlp;
mod records;
mod server;
mod sizes;
mod verify;

use std::{error::Error, path::PathBuf};

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
    /// Everything below, one after another
    All,
    /// Ingest over HTTP, the ceiling, sizes, explain and verify on the store that results
    Ingest,
    /// The same records into PostgreSQL and SQLite hash chains
    Baselines,
    /// Acknowledgement latency of 64 concurrent single appends beside the bare sync
    Acks,
    /// Spans over OTLP/HTTP
    Otlp,
}

fn main() -> Outcome {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.dir)?;
    let run = match arguments.part {
        Part::All => ingest::run(&arguments.dir, arguments.records)
            .and_then(|rate| baselines::run(&arguments.dir, arguments.records.min(1_000_000), Some(rate)))
            .and_then(|()| acks::run(&arguments.dir))
            .and_then(|()| otlp::run(&arguments.dir)),
        Part::Ingest => ingest::run(&arguments.dir, arguments.records).map(drop),
        Part::Baselines => baselines::run(&arguments.dir, arguments.records, None),
        Part::Acks => acks::run(&arguments.dir),
        Part::Otlp => otlp::run(&arguments.dir),
    };
    if !arguments.keep {
        std::fs::remove_dir_all(&arguments.dir)?;
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
