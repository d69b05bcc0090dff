//! Options of what brings records in: the demo, the server, imports, single records.

use std::path::PathBuf;

use clap::Args;
use deed_record::RecordId;
use deed_server::settings::Listener;

use crate::values::{self, SourceChoice};

/// Options of `deed demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave nothing running; this is what happens unless `--serve` is given
    #[arg(long, conflicts_with = "serve")]
    pub(crate) once: bool,
    /// Keep serving the store afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,
    /// Be the MCP server of the story: how the demo starts it
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) vendors: bool,
    /// Release a version of that server: what the demo has run
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) release: Option<String>,
}

/// Options of `deed serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the HTTP API listens [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) listen: Option<Listener>,
    /// Where OTLP over gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) otlp_grpc: Option<Listener>,
    /// Where OTLP over HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) otlp_http: Option<Listener>,
}

/// Options of `deed import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Which system wrote the logs; with --mapping the file says it, and this is the first PATH
    #[arg(value_name = "SOURCE", value_parser = values::SourceName)]
    pub(crate) source: SourceChoice,
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "mapping")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read the logs of a system that Deed does not know, as this file says (docs/collectors.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// Correct what an older mapping made of the same events: a new record supersedes the earlier one
    #[arg(long)]
    pub(crate) again: bool,
    /// Go on with what is written to the files from now on, until Ctrl-C; one event a line
    #[arg(long, conflicts_with = "mapping")]
    pub(crate) follow: bool,
}

/// Options of `deed append`.
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// File with a JSON array of records, or one record a line; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Go on with an append that failed, under the ids it gave: nothing is recorded twice
    #[arg(long, value_name = "ID", value_parser = values::record_id)]
    pub(crate) retry: Option<RecordId>,
}
