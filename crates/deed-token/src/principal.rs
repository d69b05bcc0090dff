//! Who is meant by a token: one key for each principal, whoever vouches for it (I2).
//!
//! | vouched for by | key |
//! |---|---|
//! | an OIDC issuer | `oidc:` ISSUER `/` SUB, the issuer without `https://`, in the subject every byte but letters, digits, `-`, `.`, `_`, `~`, `@`, `:` and `|` as `%XX` |
//! | a SPIFFE trust domain | the SPIFFE ID |
//! | a registered key | TYPE `:` ID, such as `agent:release-bot` |
//!
//! A subject has no `/` left in it, so that the last one ends the issuer and no two issuers, be they on
//! one host, can make the same key.

use deed_record::PrincipalType;
pub use deed_record::oidc_key;
use serde::{Deserialize, Serialize};

/// Somebody, within a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Principal {
    /// What it is known by, as the module says.
    pub key: String,
    /// What it is.
    pub kind: PrincipalType,
    /// Whose.
    pub tenant: String,
}

/// One actor of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// [`Principal::key`], or what a trusted issuer's `act` makes of it.
    pub key: String,
    /// What it is.
    pub kind: PrincipalType,
}

/// The trust domain of a SPIFFE ID of a workload (SPIFFE-ID, section 2); `None` if it is none.
pub fn trust_domain(id: &str) -> Option<&str> {
    if id.len() > 2048 {
        return None;
    }
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let segment = |segment: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(fits)
    };
    (is_trust_domain(domain) && path.split('/').all(segment)).then_some(domain)
}

/// Whether `name` can name a trust domain.
pub fn is_trust_domain(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=255).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_spiffe_ids() {
        assert_eq!(trust_domain("spiffe://acme.example/ns/ci/sa/Bot_1"), Some("acme.example"));
        for bad in [
            "spiffe://acme.example",
            "spiffe://acme.example/",
            "spiffe://acme.example/a//b",
            "spiffe://acme.example/a/../b",
            "spiffe://Acme.example/a",
            "spiffe://acme.example:1/a",
            "spiffe://u@acme.example/a",
            "spiffe://acme.example/a?b",
            "spiffe://acme.example/a%2fb",
            "spiffe:///a",
            "SPIFFE://acme.example/a",
            "https://acme.example/a",
        ] {
            assert_eq!(trust_domain(bad), None, "{bad}");
        }
    }
}
