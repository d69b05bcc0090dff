//! The gateway between real streams, over a real ledger.

mod approvals;
mod outage;
mod relay;
mod spool;
mod support;
mod tools;
