//! What the token service gives at most, whoever asks.

use std::collections::{BTreeMap, BTreeSet};

/// Bounds of everything that is issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Where tokens may be shown: resources (RFC 8707) and other audiences, agents' keys among them, each
    /// with the tenants it is for.
    pub targets: BTreeMap<String, Reach>,
    /// Longest life of one token, in seconds.
    pub longest: i64,
    /// Longest time for which a token can be renewed, in seconds from the first.
    pub longest_grant: i64,
    /// Most actors in a chain.
    pub deepest: u8,
    /// Whether every token must be bound to a key (RFC 9449).
    pub requires_proof: bool,
    /// Transaction tokens, a draft: off unless there are settings.
    pub transactions: Option<Transactions>,
}

/// Whose a target is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Every tenant's.
    All,
    /// Only theirs.
    Tenants(BTreeSet<String>),
}

/// Settings of transaction tokens (draft-ietf-oauth-transaction-tokens-10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transactions {
    /// `aud`: the trust domain within which they are passed on.
    pub trust_domain: String,
    /// Their life, in seconds.
    pub longest: i64,
}

impl Default for Policy {
    /// Five minutes, renewable for half a day, four actors, and nowhere to show it.
    fn default() -> Self {
        Policy {
            targets: BTreeMap::new(),
            longest: 300,
            longest_grant: 43_200,
            deepest: 4,
            requires_proof: false,
            transactions: None,
        }
    }
}

impl Policy {
    /// Whether a tenant's tokens may be for `target`.
    pub fn reaches(&self, tenant: &str, target: &str) -> bool {
        match self.targets.get(target) {
            Some(Reach::All) => true,
            Some(Reach::Tenants(tenants)) => tenants.contains(tenant),
            None => false,
        }
    }
}
