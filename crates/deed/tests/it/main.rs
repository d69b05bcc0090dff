//! The real program, spawned.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod append;
mod crash;
mod demo;
mod docs;
mod examples;
mod export;
mod find;
mod findings;
mod findings_webhook;
mod follow;
mod help;
mod identity;
mod import;
mod lost;
mod mcp;
mod places;
mod processes;
mod reports;
mod run;
mod run_identity;
mod run_remote;
mod serve;
mod sql;
mod ssf;
mod support;
mod tls;
mod token;
mod tuning;
mod verify;
