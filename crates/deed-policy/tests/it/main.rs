//! Policies as their authors write them, and what is decided by them.

mod arguments;
mod cases;
mod decisions;
mod deep;
mod docs;
mod load;
mod replay;
mod support;
