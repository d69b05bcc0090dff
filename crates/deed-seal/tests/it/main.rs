//! What `deed-seal` promises: against public vectors, other implementations, a naive tree, and any bytes.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod disclosures;
mod logs;
mod merkle;
mod notes;
mod parsers;
mod proofs;
mod second_opinion;
mod support;
mod tiles;
mod verifying;
