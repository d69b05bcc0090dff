//! SQL over the ledger: Parquet derived from packs, the tables, DataFusion.

mod actions;
mod aliases;
mod catalog;
mod chunks;
mod columns;
mod error;
mod files;
mod follow;
mod functions;
mod manifest;
mod object;
mod outcomes;
mod records;
mod sql;
mod tables;
mod views;

pub use chunks::{Leaves, RowsError};
pub use columns::{BadLeaf, CHUNK, COLUMNS, Column, RowBuilder, SCHEMA_VERSION, schema};
pub use error::QueryError;
pub use manifest::{File, Manifest, ManifestError, Retired};
pub use sql::{Rows, SqlOptions};
pub use tables::{Lag, Options, Tables};
