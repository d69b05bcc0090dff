//! A real server on real sockets.

mod actions;
mod auth;
mod errors;
mod grpc;
mod health;
mod log;
mod openapi;
mod otlp;
mod records;
mod stop;
mod support;
