//! Options of what asks the store: one action, who somebody is, what came of a key, rows, reports.

use std::path::PathBuf;

use clap::Args;
use deed_record::{RecordId, Ruling, Status, Timestamp, TraceId};

use crate::values;

/// Options of `deed find`.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Part of this trace
    #[arg(long, value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) trace: Option<TraceId>,
    /// Asked for by them
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) initiator: Option<String>,
    /// Done by them
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) executor: Option<String>,
    /// They had a part in it, whichever
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// Done with this credential: its fingerprint or its issuer's own id
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub(crate) credential: Option<String>,
    /// By calling this tool
    #[arg(long, value_name = "SERVER/NAME", value_parser = values::text)]
    pub(crate) tool: Option<String>,
    /// Done to this resource
    #[arg(long, value_name = "URI", value_parser = values::text)]
    pub(crate) resource: Option<String>,
    /// Decided like this
    #[arg(long, value_name = "EFFECT", value_parser = values::word(Ruling::ALL, Ruling::as_str))]
    pub(crate) effect: Option<String>,
    /// Ended like this
    #[arg(long, value_name = "STATUS", value_parser = values::word(Status::ALL, Status::as_str))]
    pub(crate) status: Option<String>,
    /// At or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// With this text in what was done, to what, in which session, task or environment
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) text: Option<String>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Options of `deed explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Id of any record of the action
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
    /// Show what came of the record instead: answers, grants, credentials, actions
    #[arg(long)]
    pub(crate) led_to: bool,
    /// Show the records behind each line
    #[arg(short, long, conflicts_with = "led_to")]
    pub(crate) verbose: bool,
}

/// Options of `deed trace`.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// W3C trace id: 32 hex digits
    #[arg(value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) id: TraceId,
    /// Show the record behind each step
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of `deed principal`.
#[derive(Debug, Args)]
pub(crate) struct Principal {
    /// Key, alias or account
    #[arg(value_name = "KEY-OR-ALIAS", value_parser = values::text)]
    pub(crate) key: String,
    /// With the reasons of suspensions; that they are read is recorded
    #[arg(long)]
    pub(crate) reasons: bool,
    /// Of this tenant [default: default]
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Show the records behind each line
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of `deed blast`.
#[derive(Debug, Args)]
pub(crate) struct Blast {
    /// Fingerprint, the source's own id such as an access key id, jti, or id of a record
    #[arg(value_name = "CREDENTIAL", value_parser = values::text)]
    pub(crate) credential: String,
    /// Of this tenant [default: default]
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// List at most so many actions of each sort [default: 20; with --json 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// How a report is written.
const REPORT_FORMATS: [&str; 3] = ["text", "json", "html"];

/// Options of `deed report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Which report
    #[arg(value_name = "NAME", value_parser = values::word(deed_review::report::ReportName::ALL, deed_review::report::ReportName::as_str))]
    pub(crate) name: String,
    /// How to write it
    #[arg(long, value_name = "FORMAT", value_parser = REPORT_FORMATS, default_value = "text", conflicts_with = "json")]
    pub(crate) format: String,
    /// Of what happened at or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Of what happened before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of this tenant; of all, unless one is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Compare controls before and after this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) change: Option<Timestamp>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) limit: u32,
    /// Write it to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Options of `deed patterns`.
#[derive(Debug, Args)]
pub(crate) struct Patterns {
    /// Actions at or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Actions before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of tasks in which they acted or asked
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// How rows are printed.
const FORMATS: [&str; 4] = ["table", "json", "csv", "parquet"];

/// Options of `deed sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The query; `-` reads it from standard input
    #[arg(value_name = "QUERY", value_parser = values::text)]
    pub(crate) query: String,
    /// How to print the rows
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS, default_value = "table", conflicts_with = "json")]
    pub(crate) format: String,
    /// Only rows of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}
