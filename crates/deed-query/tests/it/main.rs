//! SQL over a real ledger in a folder of its own.

mod actions;
mod derived;
mod described;
mod docs;
mod exact;
mod safety;
mod support;
