//! Everything that needs more than one module, or input from outside.

mod cloudtrail;
mod exports;
mod identity;
mod input;
mod logs;
mod otlp;
mod samples;
mod secrets;
mod total;

use std::path::PathBuf;

use deed_record::{Submission, parse_one};

/// The record in `text`, which must be one that the ledger takes.
fn parse(text: &str) -> Submission<'_> {
    parse_one(text, false).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The folder with more samples than the repository holds, where it is given.
fn samples() -> Option<PathBuf> {
    let folder = std::env::var_os("DEED_DATA_SAMPLES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DEED_DATA_SAMPLES names no folder");
    }
    folder
}

const CLOUDTRAIL: &str = include_str!("../fixtures/cloudtrail.json");
const AGENTS_JSON: &str = include_str!("../fixtures/agents.json");
const AGENTS_PB: &[u8] = include_bytes!("../fixtures/agents.pb");
