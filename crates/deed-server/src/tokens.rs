//! The token service (P3): delegated credentials issued, attenuated, renewed and revoked, and what the MCP
//! door asks about those that are shown to it.
//!
//! What a request gets is decided in `deed-token`, which knows neither network nor files nor clock; this
//! module gives it those. `docs/tokens.md` says what clients see.

mod resource;

pub(crate) use resource::{Challenge, Presented};

/// The token service of one store.
pub(crate) struct Tokens {
    /// `https://deed.example`: `iss` of every token, and where this server is reached.
    url: String,
}
