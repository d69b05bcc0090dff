//! Explanations and traces over evidence held in memory.

mod approvals;
mod attribution;
mod bounds;
mod credentials;
mod docs;
mod json;
mod order;
mod outcomes;
mod scope;
mod store;
mod story;
mod text;
mod tokens;
mod traces;
