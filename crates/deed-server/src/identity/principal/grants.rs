//! The grants of a principal, each with what was asked, and who approved.

use std::collections::BTreeSet;

use deed_identity::{GrantFacts, GrantKey, Joined, Standing};
use deed_ledger::{Key, LedgerError};
use deed_record::{Kind, RecordId, Skeleton, Terms};
use deed_review::report::{InUse, Usage};

use super::{MOST_LISTED, Writer, changes, rows::GrantRow};
use crate::{
    evidence::parse,
    identity::names::{Names, record},
};

/// Approvals that are looked for of one request.
const MOST_APPROVALS: usize = 16;

impl Writer<'_> {
    pub(super) fn grants(&self, joined: &Joined) -> Result<(Vec<GrantRow>, u64), LedgerError> {
        let mut all: Vec<GrantFacts> =
            self.inside.iter().flat_map(|account| self.state.grants_of(*account)).collect();
        let last = |facts: &GrantFacts| facts.changes.iter().map(|change| change.last).max();
        all.sort_by_key(|facts| (std::cmp::Reverse(last(facts)), facts.key));
        let total = all.len() as u64;
        all.truncate(MOST_LISTED);
        let accounts = self.inside.iter().filter_map(|account| self.state.account(*account));
        let usage = Usage::of(joined.kind, accounts, None, None);
        let rows = all.iter().filter_map(|facts| self.grant(facts, &usage).transpose());
        Ok((rows.collect::<Result<_, _>>()?, total))
    }

    fn grant(&self, facts: &GrantFacts, usage: &Usage) -> Result<Option<GrantRow>, LedgerError> {
        let given = facts.changes.iter().min_by_key(|change| (change.first, change.record));
        let Some(first) = given.map(|change| change.record) else { return Ok(None) };
        let Some(sealed) = record(self.evidence, first)? else { return Ok(None) };
        let skeleton = parse(&sealed)?;
        let effect = skeleton.effects.iter().flatten().find(|effect| {
            effect.kind == Kind::Grant && GrantKey::of_effect(self.tenant, effect) == facts.key
        });
        let terms = effect.map_or(skeleton.terms.as_ref(), |effect| effect.terms.as_ref());
        let resource = effect.map_or(skeleton.resource.as_ref(), |effect| effect.resource.as_ref());
        let by = terms.and_then(|terms| terms.by.as_ref()).or(skeleton.executor.as_ref());
        let mut names = Names::new(self.evidence);
        let by = match by.and_then(|party| party.account) {
            Some(account) => {
                Some(names.at(account, sealed.index)?.map_or(account.to_string(), |name| name.key))
            }
            None => None,
        };
        let in_use = usage.in_use(facts);
        let (mut role, mut scopes) = gives(terms);
        if role.is_none() && scopes.is_empty() && resource.is_none() {
            (role, scopes) = self.asked_for(&skeleton)?;
        }
        Ok(Some(GrantRow {
            record: first,
            role,
            scopes,
            resource: resource.map(|resource| resource.uri.to_string()),
            state: Standing::at(self.now, &facts.changes, facts.expires).as_str().to_owned(),
            by,
            expires: facts.expires,
            request: skeleton.request,
            approvals: self.approvals(&skeleton)?,
            uses: facts.uses,
            last_used: facts.last_used.map(|(time, _)| time),
            in_use: if let InUse::Last(last) = in_use { Some(last) } else { None },
            use_unknown: in_use == InUse::Unknown,
            changes: changes(&facts.changes),
        }))
    }

    /// What its request asked for: some logs say only of the request what was given on it.
    fn asked_for(&self, grant: &Skeleton<'_>) -> Result<(Option<String>, Vec<String>), LedgerError> {
        let ledger = self.evidence.ledger();
        let Some(request) = grant.request else { return Ok((None, Vec::new())) };
        for key in [Key::Id(request), Key::Ref(request)] {
            for index in ledger.lookup(&key, MOST_APPROVALS, None)? {
                let sealed = ledger.leaf(index)?;
                let skeleton = parse(&sealed)?;
                let own = (skeleton.kind, skeleton.terms.as_ref());
                let effects =
                    skeleton.effects.iter().flatten().map(|effect| (effect.kind, effect.terms.as_ref()));
                let mut asked =
                    std::iter::once(own).chain(effects).filter(|(kind, _)| *kind == Kind::Request);
                if let Some((_, terms)) = asked.next().filter(|_| *skeleton.tenant == *grant.tenant) {
                    return Ok(gives(terms));
                }
            }
        }
        Ok((None, Vec::new()))
    }

    /// Answers that the grant names, or that its request got.
    fn approvals(&self, grant: &Skeleton<'_>) -> Result<Vec<RecordId>, LedgerError> {
        let mut ids: BTreeSet<RecordId> = grant.approvals.iter().flatten().copied().collect();
        let ledger = self.evidence.ledger();
        if let Some(request) = grant.request {
            for index in ledger.lookup(&Key::Ref(request), MOST_APPROVALS, None)? {
                let sealed = ledger.leaf(index)?;
                let skeleton = parse(&sealed)?;
                if skeleton.kind == Kind::Approval && *skeleton.tenant == *grant.tenant {
                    ids.insert(skeleton.id);
                }
            }
        }
        Ok(ids.into_iter().collect())
    }
}

/// The role and the scopes that `terms` name.
fn gives(terms: Option<&Terms<'_>>) -> (Option<String>, Vec<String>) {
    let role = terms.and_then(|terms| terms.role.as_ref()).map(|role| role.to_string());
    let scopes = terms.iter().flat_map(|terms| &terms.scopes).map(|scope| scope.to_string());
    (role, scopes.collect())
}
