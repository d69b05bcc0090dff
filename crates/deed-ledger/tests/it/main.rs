//! The ledger as its callers meet it, on a real folder.

mod append;
mod damage;
mod faults;
mod lost;
mod recovery;
mod spool;
mod support;
mod verify;
