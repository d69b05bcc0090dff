//! Credentials without a name of their own: passwords and second factors. Each is that of whom it was issued to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    ops::ControlFlow,
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Change, Credential, RecordId, Skeleton, Timestamp};

use super::{Gatherer, Known, Made};
use crate::identity::nameless::given_to;

pub(super) const PASSWORD: &str = "password";

/// Types of credentials whose rotation gives whoever asks for it the new secret.
const SET_ANEW: &[&str] = &[PASSWORD, "service_specific"];

/// A credential without a name of its own that was issued to somebody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nameless {
    account: Account,
    kind: String,
    since: Timestamp,
}

/// The first record by which a credential without a name was issued, and with which credentials it was.
pub(super) struct Issue {
    said: (Timestamp, RecordId),
    leaf: u64,
    issuer: Option<String>,
    pub(super) with: BTreeSet<usize>,
}

impl Gatherer<'_> {
    /// A credential without a name of its own is that of whom it was issued to.
    pub(super) fn issued_nameless(
        &mut self,
        at: usize,
        leaf: u64,
        record: &Skeleton<'_>,
        credential: &Credential<'_>,
        account: Account,
    ) {
        let Some(kind) = credential.kind.as_deref() else { return };
        let nameless = Nameless { account, kind: kind.to_owned(), since: record.time };
        let said = (record.time, record.id);
        let issuer = credential.issuer.as_deref().map(str::to_owned);
        let issue =
            self.nameless.entry(nameless).or_insert(Issue { said, leaf, issuer, with: BTreeSet::new() });
        issue.with.insert(at);
        if said < issue.said {
            (issue.said, issue.leaf) = (said, leaf);
        }
        if kind == PASSWORD {
            self.comes(at, Some(account), record.time, true);
        }
    }

    /// Takes credentials without a name of their own among the others; which of them is the password that whoever was made
    /// acted with.
    pub(super) fn take_nameless(&mut self) -> Result<HashMap<usize, usize>, LedgerError> {
        let mut passwords = HashMap::new();
        for (nameless, issue) in mem::take(&mut self.nameless) {
            let Nameless { account, kind, since } = nameless;
            let at = self.found.credentials.len();
            let ended = self.ended(account, &kind, since)?;
            for with in &issue.with {
                self.paths.came(at, *with, issue.said);
            }
            let set = Made { account, since, by_password: true };
            let made = self.found.made.iter().position(|made| kind == PASSWORD && *made == set);
            if let Some(made) = made {
                passwords.insert(made, at);
                for session in self.paths.acted_with(made) {
                    self.paths.came(session, at, issue.said);
                }
            }
            self.found.credentials.push(Known {
                kind: Some(kind),
                issuer: issue.issuer,
                issued: Some(issue.said),
                begun: Some(since),
                ended,
                subjects: BTreeMap::from([(account, issue.leaf)]),
                ..Known::default()
            });
        }
        Ok(passwords)
    }

    /// What became since then of a credential of `kind` that `account` was issued at `since` and that has no name: a
    /// password ends when it is set again, any other when those of its kind are taken away.
    fn ended(
        &self,
        account: Account,
        kind: &str,
        since: Timestamp,
    ) -> Result<BTreeSet<(Timestamp, Change)>, LedgerError> {
        let mut ended = BTreeSet::new();
        self.evidence.ledger().lookup_each(&Key::Party(account), None, &mut |_, record| {
            for (credential, change) in given_to(record, account).filter(|_| record.time > since) {
                let is_of_kind = credential.kind.as_deref() == Some(kind);
                match change {
                    _ if !is_of_kind || credential.names().next().is_some() => {}
                    Some(Change::Revoked) => {
                        ended.insert((record.time, Change::Revoked));
                    }
                    Some(Change::Issued | Change::Rotated) if kind == PASSWORD => {
                        ended.insert((record.time, Change::Rotated));
                    }
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(ended)
    }
}

/// Whether the credential is one that whoever had it changed knows since then.
pub(super) fn is_set_anew(credential: &Credential<'_>, change: Option<Change>) -> bool {
    change == Some(Change::Rotated) && credential.kind.as_deref().is_some_and(|kind| SET_ANEW.contains(&kind))
}

/// Whether it is the password of an account, which has no name of its own.
pub(super) fn is_password(credential: &Credential<'_>) -> bool {
    credential.kind.as_deref() == Some(PASSWORD) && credential.names().next().is_none()
}
