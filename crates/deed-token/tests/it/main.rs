//! What the token service relies on: who is believed, that nothing widens, that revocations hold.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod any_bytes;
mod bindings;
mod deputies;
mod documents;
mod exchanges;
mod hostile;
mod keys;
mod narrowing;
mod records;
mod second_opinion;
mod states;
mod support;
mod transactions;
mod upstreams;
mod vectors;
