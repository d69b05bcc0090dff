//! Secrets in the input, and taking them out (D9).
//!
//! A secret is known by the name of the member it stands under (`password`, `sessionToken`, …) or by
//! its own shape (`Bearer …`, a JWT, a private key, a vendor's token prefix). In its place goes its
//! fingerprint: SHA-256 for tokens, which are too long to guess and may be joined with other systems'
//! logs; a hash keyed by the tenant for values known only by name, which a person may have chosen.
//!
//! Values are looked for in keys and strings at any depth, in strings that hold JSON themselves, and
//! behind JSON escapes. What is neither named nor shaped like a secret is not found.

mod excise;
mod shape;

pub use excise::{excise, Excised, Fingerprints};
