//! Sessions that somebody opened and in which another identity acts: what is done in them is done through whoever opened them.

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::{CredentialFacts, CredentialKey, HolderFacts, Rank, Role, State};
use deed_ledger::{Key, Ledger, LedgerError};
use deed_record::{Account, Credential, RecordId};

use super::{patience, rows::MOST_LISTED};
use crate::{app::App, evidence::parse, problem::Problem};

/// Sessions by name, and who opened each, or the first of those that it came of.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) by: BTreeMap<String, Account>,
    /// There are more than a query may list.
    more: bool,
}

/// Sessions that one of `accounts` opened, and those that came of them, as logs tell.
///
/// # Errors
/// Identities are not folded in time, or the store cannot be read.
pub(super) async fn by(app: &App, accounts: &[Account]) -> Result<Opened, Problem> {
    let (patience, accounts) = (patience(app), accounts.to_vec());
    app.ask(move |engine| {
        let followed = engine.followed(patience)?;
        let mut opened = Opened::default();
        for account in accounts {
            opened.follow(engine.ledger(), &followed.state, account)?;
        }
        Ok(opened)
    })
    .await
}

impl Opened {
    /// Who opened the session that goes by one of `names`.
    pub(super) fn opener<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Option<Account> {
        names.into_iter().find_map(|name| self.by.get(name).copied())
    }

    /// What there was no room for, in words.
    pub(super) fn left_out(&self) -> Option<String> {
        self.more.then(|| {
            format!("more than {MOST_LISTED} sessions were opened from outside: what was done in the rest counts as one's own")
        })
    }

    fn follow(&mut self, ledger: &Ledger, state: &State, account: Account) -> Result<(), LedgerError> {
        let mut seen: BTreeSet<CredentialKey> = BTreeSet::new();
        let asked = |facts: &CredentialFacts| {
            facts.holders.iter().any(|held| is_asker(held) && held.account == account)
        };
        let of = state.credentials_of(account).into_iter().filter_map(|key| state.credential(key));
        let mut todo: Vec<CredentialFacts> = of.filter(asked).collect();
        while let Some(session) = todo.pop() {
            // Whoever made a key that stands did not do what is done with it.
            if session.is_static() != Some(false) || !seen.insert(session.key) {
                continue;
            }
            let told = session.holders.iter().filter(|held| is_asker(held)).map(|held| held.record);
            for record in told.collect::<BTreeSet<RecordId>>() {
                for name in names(ledger, record, &session)? {
                    self.more |= self.by.len() >= MOST_LISTED;
                    if self.by.len() < MOST_LISTED {
                        self.by.entry(name).or_insert(account);
                    }
                }
            }
            let children = session.names.iter().flat_map(|name| state.children(*name));
            todo.extend(children.filter_map(|key| state.credential(key)));
        }
        Ok(())
    }
}

/// Whether a log says that they had it issued.
fn is_asker(held: &HolderFacts) -> bool {
    held.role == Role::Asked && held.rank > Rank::Told
}

/// What the credential is called in clear, as the record `id` has it.
fn names(ledger: &Ledger, id: RecordId, credential: &CredentialFacts) -> Result<Vec<String>, LedgerError> {
    let Some(index) = ledger.lookup(&Key::Id(id), 1, None)?.first().copied() else { return Ok(Vec::new()) };
    let sealed = ledger.leaf(index)?;
    let record = parse(&sealed)?;
    let effects = record.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref());
    let told = record.credential.iter().chain(effects).flat_map(Credential::names);
    let own = |name: &&str| credential.names.contains(&CredentialKey::of(&credential.tenant, name));
    Ok(told.filter(own).map(str::to_owned).collect())
}
