//! Secrets in the input, and taking them out (D9).
//!
//! A secret is known by the name it stands under (`password`, `sessionToken`, `--api-key`, …) or by
//! its own shape (`Bearer …`, a JWT, a private key, a vendor's token prefix). In its place goes its
//! fingerprint. The bare SHA-256 is for tokens that a machine made, which nobody can find by trying
//! and which may be joined with other systems' logs; everything else, a password above all, gets a
//! hash keyed by the tenant.
//!
//! Looked through are the strings and names of JSON at any depth, strings that hold JSON themselves,
//! `name`/`value` pairs, command lines and what known programs take in them, headers, URLs, forms, SQL,
//! Kubernetes manifests, and text behind escapes of JSON and of URLs. What is neither named nor shaped like a secret is not found.
//!
//! What is taken out cannot be had back, so a rule that catches too much destroys evidence: access
//! key ids, paging tokens, fingerprints and references to secrets stay.

mod decoded;
mod encoded;
mod excise;
mod form;
mod hidden;
mod hint;
mod json;
mod kept;
mod kubernetes;
mod name;
mod program;
mod shape;
mod sql;
mod text;
mod value;
mod vendor;

pub use excise::{Excised, Fingerprints, excise};
pub use hidden::hidden;
