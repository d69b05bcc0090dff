//! Which records a filter wants.

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Kind, RecordId, Skeleton, Status, with_and_without_path};
use deed_review::{Evidence, ExplainError};

use super::Filter;
use crate::{
    engine::AskError,
    evidence::{LedgerEvidence, parse},
};

/// A filter whose names are looked up.
pub(crate) struct Wanted<'s> {
    evidence: &'s LedgerEvidence<'s>,
    filter: &'s Filter,
    accounts: Accounts,
    needle: Option<String>,
}

impl<'s> Wanted<'s> {
    /// `None` where nothing can be wanted: it names somebody whom no record names.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(evidence: &'s LedgerEvidence<'s>, filter: &'s Filter) -> Result<Option<Self>, AskError> {
        let accounts = Accounts {
            initiator: accounts(evidence, filter, filter.initiator.as_deref())?,
            executor: accounts(evidence, filter, filter.executor.as_deref())?,
            principal: accounts(evidence, filter, filter.principal.as_deref())?,
        };
        let needle = filter.text.as_deref().map(str::to_lowercase);
        Ok((!accounts.is_impossible(filter)).then_some(Wanted { evidence, filter, accounts, needle }))
    }

    /// The keys that between them lead to every wanted action, the most telling filter first.
    pub(crate) fn keys(&self) -> Vec<Key<'s>> {
        let filter = self.filter;
        let tenant = filter.tenant().unwrap_or("default");
        if let Some(trace) = filter.trace {
            vec![Key::Trace(trace)]
        } else if let Some(name) = &filter.credential {
            vec![Key::Credential { tenant, name }]
        } else if let Some(uri) = &filter.resource {
            vec![Key::Resource { tenant, uri }]
        } else if let Some(accounts) = &self.accounts.initiator {
            accounts.iter().copied().map(Key::Initiator).collect()
        } else if let Some(accounts) = &self.accounts.executor {
            accounts.iter().copied().map(Key::Executor).collect()
        } else if let Some(accounts) = &self.accounts.principal {
            let keys =
                |account: &Account| [Key::Initiator(*account), Key::Executor(*account), Key::Party(*account)];
            accounts.iter().flat_map(keys).collect()
        } else {
            Vec::new()
        }
    }

    /// Whether what the record itself says is what is wanted.
    pub(crate) fn has(&self, record: &Skeleton<'_>) -> bool {
        let filter = self.filter;
        let (initiator, executor) = (record.initiator.as_ref(), record.executor.as_ref());
        let is_one_of = |accounts: &Vec<Account>, party: Option<&deed_record::Party<'_>>| {
            party.and_then(|party| party.account).is_some_and(|account| accounts.contains(&account))
        };
        filter.trace.is_none_or(|trace| record.trace_id == Some(trace))
            && filter.tenant().is_none_or(|tenant| *record.tenant == *tenant)
            && self.accounts.initiator.as_ref().is_none_or(|accounts| is_one_of(accounts, initiator))
            && self.accounts.executor.as_ref().is_none_or(|accounts| is_one_of(accounts, executor))
            && self.accounts.principal.as_ref().is_none_or(|accounts| {
                record.parties().any(|party| party.account.is_some_and(|account| accounts.contains(&account)))
            })
            && filter.since.is_none_or(|since| record.time >= since)
            && filter.until.is_none_or(|until| record.time < until)
            && filter.effect.is_none_or(|effect| {
                record.decision.as_ref().is_some_and(|decision| decision.effect == effect)
            })
            && filter.status.is_none_or(|status| may_have_ended(record, status))
            && filter
                .tool
                .as_deref()
                .is_none_or(|tool| record.tool.as_ref().is_some_and(|called| is_tool(called, tool)))
            && filter
                .resource
                .as_deref()
                .is_none_or(|uri| record.resource.as_ref().is_some_and(|about| *about.uri == *uri))
            && filter.credential.as_deref().is_none_or(|name| uses(record, name))
            && self.needle.as_deref().is_none_or(|needle| holds(record, needle))
    }

    /// Whether it is an action of its own: no part of another one, and not corrected since.
    pub(crate) fn is_action(&self, record: &Skeleton<'_>) -> Result<bool, LedgerError> {
        // Tasks and steps too: the view `actions` has what was done, and this whatever somebody may look for.
        if !record.kind.is_action() || record.kind == Kind::Outcome {
            return Ok(false);
        }
        if let Some(action) = record.action
            && action != record.id
            && self.evidence.by_id(action)?.is_some()
        {
            return Ok(false);
        }
        // Only what another system logged is ever read again by a newer mapping.
        Ok(record.source.is_none() || !self.is_corrected(record.id, &record.tenant)?)
    }

    fn is_corrected(&self, id: RecordId, tenant: &str) -> Result<bool, LedgerError> {
        const MOST_NAMING: usize = 16;
        for found in self.evidence.by_ref(id, MOST_NAMING)? {
            let naming = parse(&found.sealed)?;
            if naming.supersedes == Some(id) && *naming.tenant == *tenant {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Every account of whoever goes by `key`: a name as it was sent, or one that the inventory has for them.
fn accounts(
    evidence: &LedgerEvidence<'_>,
    filter: &Filter,
    key: Option<&str>,
) -> Result<Option<Vec<Account>>, AskError> {
    let Some(key) = key else { return Ok(None) };
    let tenant = filter.tenant().unwrap_or("default");
    let mut all = None;
    for key in with_and_without_path(key) {
        let account = evidence.ledger().account(tenant, &key).map_err(ExplainError::Evidence)?;
        let Some(account) = account else { continue };
        let accounts = evidence.every_account(tenant, account).map_err(ExplainError::Evidence)?;
        all.get_or_insert_with(Vec::new).extend(accounts);
    }
    Ok(all)
}

/// The people of a filter, by all their accounts as sealed.
struct Accounts {
    initiator: Option<Vec<Account>>,
    executor: Option<Vec<Account>>,
    principal: Option<Vec<Account>>,
}

impl Accounts {
    fn is_impossible(&self, filter: &Filter) -> bool {
        filter.initiator.is_some() && self.initiator.is_none()
            || filter.executor.is_some() && self.executor.is_none()
            || filter.principal.is_some() && self.principal.is_none()
    }
}

fn is_tool(called: &deed_record::Tool<'_>, wanted: &str) -> bool {
    if *called.name == *wanted {
        return true;
    }
    // Either part may hold a slash itself.
    let server = called.server.as_deref().unwrap_or_default();
    wanted.strip_prefix(server).and_then(|rest| rest.strip_prefix('/')) == Some(&*called.name)
}

/// Whether it ended like that, as far as the record alone tells.
fn may_have_ended(record: &Skeleton<'_>, wanted: Status) -> bool {
    let said = record.outcome.as_ref().map_or(Status::Unknown, |outcome| outcome.status);
    said == wanted || said == Status::Unknown
}

/// Whether it was done with that credential, by whoever had a part in it.
fn uses(record: &Skeleton<'_>, name: &str) -> bool {
    let own = record
        .credential
        .iter()
        .flat_map(|credential| credential.names().chain(credential.upstream.as_deref()));
    let hops = record.chain.iter().flatten().filter_map(|hop| hop.credential.as_deref());
    own.chain(hops).any(|known_as| known_as == name)
}

fn holds(record: &Skeleton<'_>, needle: &str) -> bool {
    let tool = record.tool.as_ref();
    [
        record.operation.as_deref(),
        record.permission.as_deref(),
        tool.map(|tool| &*tool.name),
        tool.and_then(|tool| tool.server.as_deref()),
        record.resource.as_ref().map(|resource| &*resource.uri),
        record.session.as_deref(),
        record.task.as_deref(),
        record.environment.as_deref(),
        record.source.as_ref().map(|source| &*source.system),
        record.outcome.as_ref().and_then(|outcome| outcome.code.as_deref()),
    ]
    .into_iter()
    .flatten()
    .any(|text| text.to_lowercase().contains(needle))
}
