//! Options of what proves, and of what carries records elsewhere.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use deed_record::{RecordId, Timestamp, TraceId};

use crate::values;

/// Options of `deed verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A store, a folder of tiles, or the URL of a server [default: the data directory]
    #[arg(value_name = "DIR|URL")]
    pub(crate) target: Option<String>,
    /// Public keys that you got elsewhere: a vkey a line, or one vkey itself
    #[arg(long, value_name = "FILE")]
    pub(crate) vkey: Vec<String>,
    /// A checkpoint that you kept: the log must continue it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Vec<PathBuf>,
}

/// Options of `deed export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Ids of records whose actions are wanted
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) ids: Vec<RecordId>,
    /// Write events of this format: `ocsf`
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        required_unless_present = "tiles"
    )]
    pub(crate) format: Option<ExportFormat>,
    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Part of this trace
    #[arg(long, value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) trace: Option<TraceId>,
    /// They had a part in it, whichever
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// At or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Findings alone
    #[arg(long)]
    pub(crate) findings: bool,
    /// With findings that are suppressed
    #[arg(long, requires = "format")]
    pub(crate) suppressed: bool,
    /// With what people and machines are called
    #[arg(long)]
    pub(crate) names: bool,
    /// Go on with what is recorded from now on
    #[arg(long, conflicts_with = "ids")]
    pub(crate) follow: bool,
    /// Write the log into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ids", "format", "output", "trace", "principal", "since",
        "until", "tenant", "findings", "names", "follow"])]
    pub(crate) tiles: Option<PathBuf>,
}

/// What `deed export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// Options of `deed completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}
