//! One module for each command.

pub(crate) mod append;
pub(crate) mod approvals;
pub(crate) mod blast;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod findings;
pub(crate) mod import;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod mcp;
pub(crate) mod patterns;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod rebuild;
pub(crate) mod records;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod sql;
pub(crate) mod suspend;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod verify;
