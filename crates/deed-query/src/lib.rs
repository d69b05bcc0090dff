//! SQL over the ledger: Parquet derived from packs, the tables, DataFusion.

mod actions;
mod aliases;
mod allowance;
mod catalog;
mod chunks;
mod columns;
mod digest;
mod edges;
mod error;
mod facts;
mod files;
mod follow;
mod format;
mod functions;
mod guarded;
mod layers;
mod limits;
mod manifest;
mod object;
mod operated;
mod outcomes;
mod records;
mod sql;
mod step;
mod tables;
mod verify;
mod views;
mod weight;

pub use columns::{BadLeaf, CHUNK, COLUMNS, Column, RowBuilder, SCHEMA_VERSION, schema};
pub use error::QueryError;
pub use format::{Format, FormatError, Formatter};
pub use manifest::{File, Manifest, ManifestError, Retired};
pub use sql::{Rows, SqlOptions};
pub use tables::{Lag, Options, Rebuilt, Tables};
pub use verify::VerifyRows;
