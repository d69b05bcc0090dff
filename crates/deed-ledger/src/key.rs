//! What records are looked up by, and how a look-up becomes 48 bits of an index.

use std::hash::Hasher;

use deed_record::{
    Account, Basis, Credential, Kind, RecordId, Right, Skeleton, Terms, Timestamp, TraceId, Tried,
};
use siphasher::sip::SipHasher13;

use crate::sealer::derived_id;

/// Something to look records up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The record of that id.
    Id(RecordId),
    /// Records of a trace.
    Trace(TraceId),
    /// Records whose initiator it is.
    Initiator(Account),
    /// Records whose executor it is.
    Executor(Account),
    /// Records that name it anywhere else: a hop, a subject, an approver.
    Party(Account),
    /// Records that use, change or saw a credential, by fingerprint, id or jti.
    Credential {
        /// Whose.
        tenant: &'a str,
        /// Fingerprint, id or jti.
        name: &'a str,
    },
    /// Records that say something about a credential, rather than using it: few, where uses are many.
    CredentialChange {
        /// Whose.
        tenant: &'a str,
        /// Fingerprint, id or jti.
        name: &'a str,
    },
    /// Calls that Deed decided on, by what was shown to it or behind it: of all uses few, where others log them too.
    CredentialCall {
        /// Whose.
        tenant: &'a str,
        /// Fingerprint, id or jti.
        name: &'a str,
    },
    /// Calls that Deed decided on, by who made them and when.
    Calling {
        /// Who.
        account: Account,
        /// The hour; see [`hour`].
        hour: i64,
    },
    /// Records about a resource.
    Resource {
        /// Whose.
        tenant: &'a str,
        /// Its URI, as sealed.
        uri: &'a str,
    },
    /// Records that belong to another record or change what it says: its outcome, its approvals, grants made
    /// on request, corrections.
    Ref(RecordId),
    /// Actions that name another record only as the right they rely on: a grant may have millions.
    Reliance(RecordId),
    /// Records of a session.
    Session {
        /// Whose.
        tenant: &'a str,
        /// Its name.
        session: &'a str,
    },
    /// Records of a day which say what became of what somebody tried with a resource: denials are few, where records
    /// about it may be many.
    Tried {
        /// What became of it.
        tried: Tried,
        /// Who tried.
        account: Account,
        /// The resource, or the tool that was called ([`Skeleton::acted_upon`]).
        uri: &'a str,
        /// The day; see [`day`]. Denials are found by the day after, too.
        day: i64,
    },
    /// Records that give somebody a right, change it or take it away.
    Entitled(Account),
    /// Calls of a tool of which others than Deed tell.
    Called {
        /// Whose.
        tenant: &'a str,
        /// The server that offers it.
        server: &'a str,
        /// Its name there.
        name: &'a str,
    },
    /// Records of that day or the day before that give or change a right ([`Skeleton::gives`]).
    Given {
        /// Whose log it is.
        tenant: &'a str,
        /// Whose right.
        right: Right<'a>,
        /// The later of the two days; see [`day`].
        day: i64,
    },
    /// Records that give a right on a resource, and do not say to whom ([`Skeleton::opens`]).
    Opened {
        /// Whose it is.
        tenant: &'a str,
        /// The resource.
        uri: &'a str,
    },
}

/// An hour, in microseconds.
const HOUR: i64 = 60 * 60 * 1_000_000;

/// The day of a time, in UTC, counted from 1970-01-01.
pub fn day(time: Timestamp) -> i64 {
    time.0.div_euclid(24 * HOUR)
}

/// The hour of a time, in UTC, counted from 1970-01-01.
pub fn hour(time: Timestamp) -> i64 {
    time.0.div_euclid(HOUR)
}

/// Index hashes keep 48 bits: with 100 million keys one look-up in a million meets a stranger,
/// who is then found out by reading the leaf.
pub(crate) const HASH_BITS: u32 = 48;

/// Whether the hash of a key is that of an id: the lowest bit tells.
pub(crate) fn is_id(hash: u64) -> bool {
    hash & 1 == 1
}

impl Key<'_> {
    /// The key's place in an index: the same in every store of this version.
    pub(crate) fn hash(&self) -> u64 {
        let dated = |account: &Account, at: i64| [&account.0[..], &at.to_be_bytes()].concat();
        let parts;
        let (sort, tenant, name): (u8, &str, &[u8]) = match self {
            Key::Id(id) => (0, "", &id.0),
            Key::Trace(id) => (1, "", &id.0),
            Key::Initiator(account) => (2, "", &account.0),
            Key::Executor(account) => (3, "", &account.0),
            Key::Party(account) => (4, "", &account.0),
            Key::Credential { tenant, name } => (5, tenant, name.as_bytes()),
            Key::Resource { tenant, uri } => (6, tenant, uri.as_bytes()),
            Key::Ref(id) => (7, "", &id.0),
            Key::Session { tenant, session } => (8, tenant, session.as_bytes()),
            Key::CredentialChange { tenant, name } => (9, tenant, name.as_bytes()),
            Key::Reliance(id) => (10, "", &id.0),
            Key::CredentialCall { tenant, name } => (17, tenant, name.as_bytes()),
            Key::Entitled(account) => (18, "", &account.0),
            Key::Tried { tried, account, uri, day } => {
                parts = dated(account, *day);
                let sort = match tried {
                    Tried::Denied => 11,
                    Tried::Allowed => 12,
                    Tried::Done => 13,
                };
                (sort, uri, &parts)
            }
            Key::Called { tenant, server, name } => {
                parts = [&(server.len() as u64).to_be_bytes(), server.as_bytes(), name.as_bytes()].concat();
                (16, tenant, &parts)
            }
            Key::Given { tenant, right, day } => {
                let (sort, name) = match right {
                    Right::To(account) => (14, &account.0[..]),
                    Right::On(uri) => (15, uri.as_bytes()),
                    Right::In(system) => (19, system.as_bytes()),
                };
                parts = [&day.to_be_bytes(), name].concat();
                (sort, tenant, &parts)
            }
            Key::Opened { tenant, uri } => (20, tenant, uri.as_bytes()),
            Key::Calling { account, hour } => {
                parts = dated(account, *hour);
                (21, "", &parts)
            }
        };
        let mut hasher =
            SipHasher13::new_with_keys(0x6465_6564_2d69_6e64, 0x6578_2f31_0000_0000 | u64::from(sort));
        hasher.write_u64(tenant.len() as u64);
        hasher.write(tenant.as_bytes());
        hasher.write(name);
        let hash = hasher.finish() >> (64 - HASH_BITS);
        if matches!(self, Key::Id(_)) { hash | 1 } else { hash & !1 }
    }

    /// Whether `record` is one that this key finds.
    pub(crate) fn matches(&self, record: &Skeleton<'_>) -> bool {
        let mut found = false;
        each_key(record, &mut |key| found |= key == *self);
        found
    }
}

/// Everything `record` is looked up by; a key may come twice.
pub(crate) fn each_key(record: &Skeleton<'_>, each: &mut dyn FnMut(Key<'_>)) {
    let tenant: &str = &record.tenant;
    each(Key::Id(record.id));
    if let Some(event) = event_of(record) {
        each(Key::Id(event));
    }
    if let Some(trace) = record.trace_id {
        each(Key::Trace(trace));
    }
    if let Some(session) = &record.session {
        each(Key::Session { tenant, session });
    }
    if let Some(account) = record.initiator.as_ref().and_then(|party| party.account) {
        each(Key::Initiator(account));
    }
    if let Some(account) = record.executor.as_ref().and_then(|party| party.account) {
        each(Key::Executor(account));
    }
    if let Some(credential) = &record.credential {
        credential_keys(tenant, credential, each);
        if record.kind == Kind::Credential {
            credential.names().for_each(|name| each(Key::CredentialChange { tenant, name }));
        }
    }
    record.shown().for_each(|name| each(Key::CredentialCall { tenant, name }));
    if let Some(account) = record.calling() {
        each(Key::Calling { account, hour: hour(record.time) });
    }
    if let Some(resource) = &record.resource {
        each(Key::Resource { tenant, uri: &resource.uri });
    }
    let today = day(record.time);
    if let Some((tried, account, uri)) = record.tried() {
        each(Key::Tried { tried, account, uri: &uri, day: today });
        if tried == Tried::Denied {
            each(Key::Tried { tried, account, uri: &uri, day: today + 1 });
        }
    }
    if let Some((server, name)) = record.called() {
        each(Key::Called { tenant, server, name });
    }
    record.entitles().for_each(|account| each(Key::Entitled(account)));
    for right in record.gives() {
        [today, today + 1].into_iter().for_each(|day| each(Key::Given { tenant, right, day }));
    }
    record.opens().for_each(|uri| each(Key::Opened { tenant, uri }));
    for hop in record.chain.iter().flatten() {
        hop.principal.account.into_iter().for_each(|account| each(Key::Party(account)));
        hop.credential.iter().for_each(|name| each(Key::Credential { tenant, name }));
        hop.delegation.into_iter().for_each(|id| each(Key::Ref(id)));
    }
    if let Some(terms) = &record.terms {
        terms_keys(terms, each);
    }
    for effect in record.effects.iter().flatten() {
        if let Some(credential) = &effect.credential {
            credential_keys(tenant, credential, each);
            if effect.kind == Kind::Credential {
                credential.names().for_each(|name| each(Key::CredentialChange { tenant, name }));
            }
        }
        if let Some(resource) = &effect.resource {
            each(Key::Resource { tenant, uri: &resource.uri });
        }
        if let Some(terms) = &effect.terms {
            terms_keys(terms, each);
        }
    }
    for seen in record.secrets.iter().flatten() {
        each(Key::Credential { tenant, name: &seen.fingerprint });
    }
    let belongs_to = [record.action, record.supersedes, record.conflicts_with];
    belongs_to.into_iter().flatten().for_each(|id| each(Key::Ref(id)));
    // What an action names besides it relies on, unless it changes somebody's rights itself.
    let merely_acts = record.kind.is_action() && record.effects.iter().flatten().next().is_none();
    let outcome = record.outcome.iter().flat_map(|outcome| [outcome.compensates, outcome.retry_of]);
    [record.request, record.grant, record.exception]
        .into_iter()
        .chain(outcome)
        .flatten()
        .chain(record.approvals.iter().flatten().copied())
        .for_each(|id| each(if merely_acts { Key::Reliance(id) } else { Key::Ref(id) }));
}

/// The id that the event which `record` imports would have been given, where its sender gave it another: both lead to
/// it, so that the event comes once. Ids of version 8 are those that are given to events.
pub(crate) fn event_of(record: &Skeleton<'_>) -> Option<RecordId> {
    let is_first = record.supersedes.or(record.conflicts_with).is_none();
    if record.basis != Basis::Imported || record.id.version() == 8 || !is_first {
        return None;
    }
    let source = record.source.as_ref()?;
    Some(derived_id(&record.tenant, &source.system, source.event_id.as_deref()?, None))
}

fn credential_keys(tenant: &str, credential: &Credential<'_>, each: &mut dyn FnMut(Key<'_>)) {
    credential.names().for_each(|name| each(Key::Credential { tenant, name }));
    for name in [&credential.parent, &credential.upstream].into_iter().flatten() {
        each(Key::Credential { tenant, name });
    }
}

fn terms_keys(terms: &Terms<'_>, each: &mut dyn FnMut(Key<'_>)) {
    [&terms.by, &terms.subject]
        .into_iter()
        .filter_map(|party| party.as_ref().and_then(|party| party.account))
        .for_each(|account| each(Key::Party(account)));
}
