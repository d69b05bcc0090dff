//! SQL over the ledger: Parquet derived from packs, the tables, DataFusion.

mod chunks;
mod columns;
mod files;
mod manifest;
mod object;

pub use chunks::{Leaves, RowsError};
pub use columns::{BadLeaf, COLUMNS, CHUNK, Column, RowBuilder, SCHEMA_VERSION, schema};
pub use manifest::{File, Manifest, ManifestError, Retired};
