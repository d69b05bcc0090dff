//! A real server on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod actions;
mod auth;
mod decisions;
mod errors;
mod grpc;
mod health;
mod identity;
mod inventory;
mod log;
mod mcp;
mod openapi;
mod otlp;
mod principals;
mod records;
mod runs;
#[cfg(feature = "sql")]
mod sql;
mod ssf;
mod stop;
mod support;
mod tokens;
mod tuning;
mod webhook;
