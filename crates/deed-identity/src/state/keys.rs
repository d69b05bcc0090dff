//! What entries are filed under.

use deed_record::{Account, Effect, RecordId, Resource, Skeleton, Terms, Timestamp};
use sha2::{Digest, Sha256};

use crate::bounded::Uniform;

/// A record, in the order of event time: the same order whatever came first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Mark(pub(crate) Timestamp, pub(crate) RecordId);

impl Mark {
    pub(crate) fn of(record: &Skeleton<'_>) -> Self {
        Mark(record.time, record.id)
    }
}

/// One name of a credential of a tenant, as a digest: 128 bits of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CredentialKey(pub(crate) [u8; 16]);

impl CredentialKey {
    /// Of the credential that `tenant` knows as `name`: fingerprint, the issuer's id or jti.
    pub fn of(tenant: &str, name: &str) -> Self {
        CredentialKey(digest(&[b"credential", tenant.as_bytes(), name.as_bytes()]))
    }

    /// The key of these bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        CredentialKey(bytes)
    }

    /// Its bits.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// A grant: the record that gave it, or what it gives to whom where an event of another system is all there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantKey(pub(crate) [u8; 16]);

impl GrantKey {
    /// Its bits.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Of the grant that record `id` gave.
    pub fn of_record(id: RecordId) -> Self {
        GrantKey(id.0)
    }

    /// Of a thing in a log of `system` that gives whoever it lists a right: a role binding, say.
    pub(crate) fn of_thing(tenant: &str, system: &str, uri: &str) -> Self {
        GrantKey(digest(&[b"thing", tenant.as_bytes(), system.as_bytes(), uri.as_bytes()]))
    }

    /// Of what was taken back from `subject` by what it was: on a request, if one is named, the role, the resource and the
    /// scopes, each empty where nothing is said of it.
    pub(crate) fn of_taken(
        subject: Account,
        request: &[u8],
        role: &str,
        resource: &str,
        scopes: &[&str],
    ) -> Self {
        let mut parts = vec![b"taken", &subject.0[..], request, role.as_bytes(), resource.as_bytes()];
        parts.extend(scopes.iter().map(|scope| scope.as_bytes()));
        GrantKey(digest(&parts))
    }

    /// Of the grant that `effect` is about: to the same subject, for the same role, scopes and resource.
    pub fn of_effect(tenant: &str, effect: &Effect<'_>) -> Self {
        GrantKey::of_terms(tenant, effect.terms.as_ref(), effect.resource.as_ref())
    }

    /// Of the grant that `terms` and `resource` are about, as [`GrantKey::of_effect`] has it.
    pub(crate) fn of_terms(tenant: &str, terms: Option<&Terms<'_>>, resource: Option<&Resource<'_>>) -> Self {
        let none = Terms::default();
        let terms = terms.unwrap_or(&none);
        let subject =
            terms.subject.as_ref().and_then(|party| party.account).map_or([0; 16], |account| account.0);
        let mut scopes: Vec<&str> = terms.scopes.iter().map(|scope| &**scope).collect();
        scopes.sort_unstable();
        let mut parts: Vec<&[u8]> = vec![b"grant", tenant.as_bytes(), &subject];
        parts.push(terms.role.as_deref().unwrap_or_default().as_bytes());
        parts.push(resource.map_or("", |resource| &*resource.uri).as_bytes());
        parts.extend(scopes.iter().map(|scope| scope.as_bytes()));
        GrantKey(digest(&parts))
    }
}

/// A system of a tenant, as a digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SourceKey(pub(crate) [u8; 16]);

impl SourceKey {
    pub(crate) fn of(tenant: &str, system: &str) -> Self {
        SourceKey(digest(&[b"source", tenant.as_bytes(), system.as_bytes()]))
    }
}

/// What somebody tried in one stretch of time, the time first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TriedKey(pub(crate) i64, pub(crate) [u8; 16]);

/// How long a stretch of time is, in microseconds: ten minutes of the clock.
pub(crate) const STRETCH: i64 = 10 * 60 * 1_000_000;

impl TriedKey {
    pub(crate) fn of(account: Account, what: &str, resource: &str, time: Timestamp) -> Self {
        let digest = digest(&[b"tried", &account.0, what.as_bytes(), resource.as_bytes()]);
        TriedKey(time.0.div_euclid(STRETCH), digest)
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    half
}

fn first_bits(bytes: &[u8; 16]) -> u64 {
    u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

impl Uniform for Account {
    fn bits(&self) -> u64 {
        first_bits(&self.0)
    }
}

impl Uniform for CredentialKey {
    fn bits(&self) -> u64 {
        first_bits(&self.0)
    }
}

impl Uniform for SourceKey {
    fn bits(&self) -> u64 {
        first_bits(&self.0)
    }
}

impl Uniform for GrantKey {
    fn bits(&self) -> u64 {
        // The first bits of a record's id are a time.
        first_bits(&digest(&[&self.0]))
    }
}

impl Uniform for (Account, Account) {
    fn bits(&self) -> u64 {
        first_bits(&self.0.0) ^ first_bits(&self.1.0).rotate_left(17)
    }
}
