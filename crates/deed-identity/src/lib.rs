//! Who is who, as far as somebody has said so: the inventory.
//!
//! `inventory.toml` lists principals with all the names that systems have for them, resources with how
//! sensitive they are, and sources with what their silence proves. What nobody listed is `unclassified`.
//!
//! An [`Inventory`] is read strictly, with errors that name the line, and is immutable. Nothing here reads a
//! clock or touches the log.

mod file;
mod inventory;
mod pattern;

pub use inventory::{Coverage, FILE, Inventory, InventoryError, Principal, Resource, Source, UNCLASSIFIED};
