//! Options of `deed policy` and `deed inventory`: what is decided by.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use deed_record::RecordId;

use crate::values;

/// Options of `deed policy`.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) does: PolicyCommand,
}

/// What is done with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Validate a folder of policies
    Check(PolicyFolder),
    /// Run the cases of a folder of policies
    Test(PolicyFolder),
    /// Put a folder of policies into force
    Publish(PolicyFolder),
    /// Derive a recorded decision again
    Replay(Replay),
}

/// Options of `deed policy replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Id of the record that holds the decision
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
}

/// A folder of policies.
#[derive(Debug, Args)]
pub(crate) struct PolicyFolder {
    /// Folder with `*.cedar`
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `deed inventory`.
#[derive(Debug, Args)]
pub(crate) struct Inventory {
    #[command(subcommand)]
    pub(crate) does: InventoryCommand,
}

/// What is done with an inventory.
#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Validate a file
    Check(InventoryFile),
    /// Print what is in force
    Show,
    /// Put a file into force
    Put(PutInventory),
}

/// The file of an inventory.
#[derive(Debug, Args)]
pub(crate) struct InventoryFile {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `deed inventory put`.
#[derive(Debug, Args)]
pub(crate) struct PutInventory {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only over the inventory of this digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) over: Option<String>,
}
