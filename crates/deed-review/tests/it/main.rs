//! Explanations and traces over evidence held in memory.

mod approvals;
mod attribution;
mod bounds;
mod corpus;
mod counterparts;
mod credentials;
mod docs;
mod identities;
mod json;
mod judged;
mod kept;
mod led_to;
mod ocsf;
mod order;
mod outcomes;
mod patterns;
mod reports;
mod scope;
mod store;
mod story;
mod text;
mod tokens;
mod traces;
mod tuning;
