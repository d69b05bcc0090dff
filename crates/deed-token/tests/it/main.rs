//! What the token service relies on: who is believed, that nothing widens, that revocations hold.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bindings;
mod deputies;
mod exchanges;
mod hostile;
mod keys;
mod narrowing;
mod second_opinion;
mod states;
mod support;
mod transactions;
mod vectors;
