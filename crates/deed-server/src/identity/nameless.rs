//! Credentials without a name of their own, such as passwords and second factors: each is that of an account. No state
//! keeps them, for nothing that is done names them; they are read from the records that tell of the account.

use std::{collections::BTreeMap, ops::ControlFlow};

use deed_identity::Standing;
use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Basis, Change, Credential, Kind, RecordId, Skeleton, Timestamp};

use super::principal::{ChangeRow, CredentialRow};
use crate::evidence::LedgerEvidence;

/// Records that tell of one account and are read, the newest first.
const MOST_READ: usize = 4096;

/// What is known of those of one type.
#[derive(Default)]
struct Nameless {
    issuer: Option<String>,
    issued: Option<Timestamp>,
    changes: BTreeMap<Change, ChangeRow>,
    last: Option<(Timestamp, RecordId, Change)>,
}

/// Those that `account` was issued, one row for each type; and whether more records tell of it than are read.
pub(super) fn of(
    evidence: &LedgerEvidence<'_>,
    account: Account,
) -> Result<(Vec<CredentialRow>, bool), LedgerError> {
    let mut all: BTreeMap<String, Nameless> = BTreeMap::new();
    let mut read = 0;
    evidence.ledger().lookup_each(&Key::Party(account), None, &mut |_, record| {
        read += 1;
        for (credential, change) in given_to(record, account) {
            let kind = credential.kind.as_deref().filter(|_| credential.names().next().is_none());
            if let (Some(kind), Some(change)) = (kind, change) {
                let issuer = credential.issuer.as_deref();
                all.entry(kind.to_owned()).or_default().take(
                    issuer,
                    change,
                    record.basis,
                    (record.time, record.id),
                );
            }
        }
        if read < MOST_READ { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    // What only ended is not known to have been there.
    let issued = all.into_iter().filter(|(_, nameless)| nameless.issued.is_some());
    Ok((issued.map(|(kind, nameless)| nameless.row(kind)).collect(), read == MOST_READ))
}

/// What a record says of credentials of `account`.
pub(super) fn given_to<'r, 'a>(
    record: &'r Skeleton<'a>,
    account: Account,
) -> impl Iterator<Item = (&'r Credential<'a>, Option<Change>)> {
    let effects = record.effects.iter().flatten().filter(|effect| effect.kind == Kind::Credential);
    effects.filter_map(move |effect| {
        let terms = effect.terms.as_ref()?;
        let theirs = terms.subject.as_ref()?.account == Some(account);
        Some((effect.credential.as_ref().filter(|_| theirs)?, terms.change))
    })
}

impl Nameless {
    fn take(&mut self, issuer: Option<&str>, change: Change, basis: Basis, said: (Timestamp, RecordId)) {
        let (time, record) = said;
        if self.issuer.is_none() {
            self.issuer = issuer.map(str::to_owned);
        }
        if matches!(change, Change::Issued | Change::Rotated) {
            self.issued = self.issued.max(Some(time));
        }
        let new = || ChangeRow {
            change: change.as_str().to_owned(),
            time,
            last: Some(time),
            count: 0,
            basis: basis.as_str().to_owned(),
            record,
        };
        let row = self.changes.entry(change).or_insert_with(new);
        row.count += 1;
        row.last = row.last.max(Some(time));
        if (time, record) < (row.time, row.record) {
            (row.time, row.record) = said;
            basis.as_str().clone_into(&mut row.basis);
        }
        self.last = self.last.max(Some((time, record, change)));
    }

    fn row(self, kind: String) -> CredentialRow {
        // What was set again is another one, and stands.
        let standing = match self.last {
            Some((.., Change::Revoked)) => Standing::Revoked,
            Some((.., Change::Expired)) => Standing::Expired,
            _ => Standing::Active,
        };
        let mut changes: Vec<ChangeRow> = self.changes.into_values().collect();
        changes.sort_by_key(|row| (row.last, row.time, row.record));
        CredentialRow {
            credential: None,
            names: Vec::new(),
            kind: Some(kind),
            issuer: self.issuer,
            role: "given".to_owned(),
            state: standing.as_str().to_owned(),
            suspended: false,
            issued: self.issued,
            expires: None,
            first_used: None,
            last_used: None,
            last_record: None,
            uses: 0,
            changes,
            shared: false,
        }
    }
}
