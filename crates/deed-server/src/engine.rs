//! A store and everything that answers from it: what the server serves and the command line uses.

mod gateway;
mod rebuild;
mod reports;
mod spool;
mod streams;
mod tuning;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deed_gateway::{DecisionPoint, InForce, Sweep, stdio::Program};
use deed_identity::Inventory;
use deed_ledger::{Check, Health, Ledger, LedgerError, OpenError, Receipt, Spool, SpoolError};
use deed_policy::PolicySet;
use deed_record::{Account, RecordId, TraceId, with_and_without_path};
use deed_review::{
    Checkpoint, ExplainError, Explanation, LedTo, Trace, patterns::PatternList, review::Flagged,
};
use serde_json::{Value, json};

pub use rebuild::{RebuildError, Rebuilt};

use crate::{
    evidence::LedgerEvidence,
    find::{self, Filter, Page},
    findings::{self, Everything, FindingList, FindingQuery, Findings, ReviewError},
    force::{self, ForceError, PublishError, Replayed},
    identity::{
        Asked, Blast, BlastQuery, Followed, Identities, IdentityError, PrincipalAnswer, blast, principal,
    },
    inventory::{self, ChangeError, Changed},
    joins::Joins,
    patterns::{self, PatternQuery},
    settings::{Settings, SettingsError},
    tokens::{Tokens, TokensError},
    tuning::Tunings,
};

/// The disk is called full before it is: below this, in bytes, readiness fails.
const LEAST_FREE: u64 = 64 << 20;

/// Nobody waits longer for a decision to be recorded before an action is refused.
const MOST_PATIENT: Duration = Duration::from_secs(3);

/// How long a store is held before what was left open is ended: doors that are alive say so meanwhile.
const SETTLING: Duration = Duration::from_secs(2);
/// How often the inventory's file is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// How often processes are looked for in which something is under way, and how many looks later what is under way for too
/// long is ended.
const LOOKS_FOR_DOORS: Duration = Duration::from_secs(10);
const LOOKS_BETWEEN_SWEEPS: u32 = 60;

/// What tells one state of a file from another: its number, size, and time to the nanosecond.
type Stamp = (u64, u64, i64, i64);

fn stamp(dir: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(dir.join(deed_identity::FILE)).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// How the ledger is run.
    pub ledger: deed_ledger::Options,
    /// Settings to use; `None` reads `deed.toml` in the data directory.
    pub settings: Option<Settings>,
    /// How the tables are run.
    #[cfg(feature = "sql")]
    pub tables: deed_query::Options,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// `deed.toml` is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It is not known what is in force.
    #[error(transparent)]
    Force(#[from] ForceError),
    /// The ledger is not to be had.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The token service cannot be started.
    #[error("the token service: {0}")]
    Tokens(#[from] TokensError),
    /// The tables cannot be opened.
    #[cfg(feature = "sql")]
    #[error(transparent)]
    Tables(#[from] deed_query::QueryError),
    /// The data directory cannot be looked at.
    #[error("failed to look at the data directory: {0}")]
    Folder(#[from] io::Error),
}

/// Why there is no explanation.
pub type AskError = ExplainError<LedgerError>;

/// A store this process holds. Clones share it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    origin: Arc<str>,
    settings: Settings,
    decisions: Arc<DecisionPoint>,
    joins: Arc<Joins>,
    identities: Arc<Identities>,
    tunings: Arc<Tunings>,
    findings: Findings,
    tokens: Option<Arc<Tokens>>,
    programs: BTreeMap<String, Arc<Program>>,
    #[cfg(feature = "sql")]
    tables: deed_query::Tables,
    /// Held while a policy set is recorded and put into force.
    publishing: Mutex<()>,
    /// Why the inventory in force is not the one that is there.
    unread: Mutex<Option<String>>,
}

impl Engine {
    /// Opens the store in `dir`, making it if there is none, and holds it.
    ///
    /// # Errors
    /// See [`EngineError`]; `OpenError::Held` where another process holds the store.
    pub fn open(dir: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let settings = match options.settings {
            Some(settings) => settings,
            None => Settings::load(dir)?,
        };
        let ledger = Ledger::open(dir, options.ledger)?;
        let deadline = settings.limits.append.min(MOST_PATIENT);
        // Looked at before it is read, so that no edit falls between.
        let inventory = stamp(dir);
        let spool = settings.spool.clone().map(|spool| Spool::open(ledger.clone(), spool)).transpose()?;
        let decisions = DecisionPoint::new(ledger.clone(), force::load(&ledger, dir)?, deadline);
        let decisions = Arc::new(decisions.with_spool(spool));
        // Before what was left open is looked for.
        if let Err(error) = decisions.drain() {
            tracing::warn!(%error, "what is in the spool waits on");
        }
        let tokens = settings.token_service.as_ref();
        let tokens = tokens.map(|tokens| Tokens::open(ledger.clone(), dir, tokens, deadline)).transpose()?;
        let percent = settings.limits.follow_percent;
        let identities = Arc::new(Identities::open(ledger.clone(), percent)?);
        let joins = Arc::new(Joins::new(decisions.clone()));
        let tunings = Arc::new(Tunings::default());
        let findings =
            Findings::open(ledger.clone(), joins.clone(), identities.clone(), tunings.clone(), percent)?;
        let inner = Inner {
            origin: ledger.origin().into(),
            #[cfg(feature = "sql")]
            tables: deed_query::Tables::open(ledger.clone(), options.tables)?,
            ledger,
            programs: gateway::programs(&settings),
            settings,
            joins,
            identities,
            tunings,
            findings,
            decisions,
            tokens: tokens.map(Arc::new),
            publishing: Mutex::default(),
            unread: Mutex::default(),
        };
        let engine = Engine { inner: Arc::new(inner) };
        engine.end_what_is_open()?;
        engine.follow_inventory(inventory)?;
        engine.empty_spool()?;
        Ok(engine)
    }

    /// What a process before this one let through and never ended is ended, by a thread of its own: a command
    /// that is done at once has no need of it.
    fn end_what_is_open(&self) -> Result<(), io::Error> {
        let size = self.ledger().snapshot().size();
        let waiting = Arc::downgrade(&self.inner);
        let sweep = move || {
            std::thread::sleep(SETTLING);
            let mut which = Sweep::Below(size);
            while let Some(inner) = waiting.upgrade() {
                match inner.decisions.end_what_is_open(which) {
                    Ok(0) => {}
                    Ok(ended) => {
                        tracing::info!(ended, "actions that nobody had ended are recorded as unknown")
                    }
                    Err(error) => tracing::warn!(%error, "actions that nobody had ended stay open"),
                }
                drop(inner);
                which = Sweep::Late;
                for _ in 0..LOOKS_BETWEEN_SWEEPS {
                    std::thread::sleep(LOOKS_FOR_DOORS);
                    let Some(inner) = waiting.upgrade() else { return };
                    match inner.decisions.end_what_was_left() {
                        Ok(0) => {}
                        Ok(ended) => {
                            tracing::info!(ended, "actions of doors that are gone are recorded as unknown")
                        }
                        Err(error) => tracing::warn!(%error, "actions of doors that are gone stay open"),
                    }
                }
            }
        };
        std::thread::Builder::new().name("sweeper".into()).spawn(sweep).map(drop)
    }

    /// Takes the inventory anew whenever its file changes, as long as the store is held. One that is wrong changes
    /// nothing, and is named.
    fn follow_inventory(&self, mut last: Option<Stamp>) -> Result<(), io::Error> {
        let waiting = Arc::downgrade(&self.inner);
        let follow = move || {
            loop {
                std::thread::sleep(BETWEEN_LOOKS);
                let Some(inner) = waiting.upgrade() else { return };
                let dir = inner.ledger.dir();
                // What was declared last goes on while the folder is away.
                if !inner.ledger.is_in_place() {
                    continue;
                }
                let now = stamp(dir);
                if last == now {
                    continue;
                }
                last = now;
                match Inventory::load(dir) {
                    Ok(inventory) => {
                        inner.decisions.change(|force| force.inventory = Arc::new(inventory));
                        inner.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
                        tracing::info!("the inventory was read again");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the inventory is as it was");
                        *inner.unread.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(error.to_string());
                    }
                }
            }
        };
        std::thread::Builder::new().name("inventory".into()).spawn(follow).map(drop)
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// What deserves a look, kept up with the log.
    pub(crate) fn reviewed(&self) -> &Findings {
        &self.inner.findings
    }

    /// The tables, for SQL.
    #[cfg(feature = "sql")]
    pub fn tables(&self) -> &deed_query::Tables {
        &self.inner.tables
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Where actions are decided on.
    pub fn decisions(&self) -> &DecisionPoint {
        &self.inner.decisions
    }

    /// Every tenant that anything was recorded for; as far as records are folded, where that takes longer than `patience`.
    pub(crate) fn tenants(&self, patience: Duration) -> Vec<String> {
        match self.inner.identities.now(patience) {
            Ok(followed) => followed.state.tenants(),
            Err(_) => self.inner.identities.as_it_is().state.tenants(),
        }
    }

    /// As [`Engine::decisions`], for doors that outlast a borrow.
    pub(crate) fn decision_point(&self) -> Arc<DecisionPoint> {
        self.inner.decisions.clone()
    }

    /// The token service, where the settings turn it on.
    pub(crate) fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.inner.tokens.as_ref()
    }

    /// Records the policy set of `files` (name and text), published by `by`, and puts it into force: the set, its record, and the
    /// digest of the set that it replaces. Of two at the same moment the second waits for the first, so that what is in force
    /// is what was recorded last.
    ///
    /// # Errors
    /// See [`PublishError`]; what was in force still is.
    pub fn publish(
        &self,
        files: BTreeMap<String, String>,
        by: &str,
    ) -> Result<(PolicySet, Receipt, String), PublishError> {
        let publishing = self.inner.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.decisions().in_force().policy.digest().to_owned();
        let (set, receipt) = force::publish(self.ledger(), files, by)?;
        let published = set.clone();
        self.decisions().change(|force| force.policy = InForce::of(|| published).policy);
        drop(publishing);
        Ok((set, receipt, replaced))
    }

    /// Derives the decision of record `id` again; `None` where no such record holds one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn replay(&self, id: RecordId, tenant: Option<&str>) -> Result<Option<Replayed>, ForceError> {
        force::replay(self.ledger(), id, tenant)
    }

    /// What may be seen by a caller bound to `tenant`; everything where it is bound to none.
    pub fn evidence<'e>(&'e self, tenant: Option<&'e str>) -> LedgerEvidence<'e> {
        let Inner { ledger, origin, joins, tunings, .. } = &*self.inner;
        LedgerEvidence::new(ledger, origin, joins, tunings, tenant)
    }

    /// Explains the action that record `id` belongs to; `None` where there is no such record.
    ///
    /// # Errors
    /// The store cannot be read, or the record belongs to no action.
    pub fn explain(&self, id: RecordId, tenant: Option<&str>) -> Result<Option<Explanation>, AskError> {
        deed_review::explain(&self.evidence(tenant), id, &self.checkpoint())
    }

    /// The newest signed checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.ledger().checkpoint().map_or_else(Checkpoint::default, |signed| Checkpoint {
            size: signed.size,
            time: Some(signed.time),
        })
    }

    /// What came of record `id`: a request, an approval, a grant or a credential; `None` where there is no such record.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn led_to(&self, id: RecordId, tenant: Option<&str>) -> Result<Option<LedTo>, AskError> {
        deed_review::led_to(&self.evidence(tenant), id)
    }

    /// Every step of a trace; `None` where no record carries it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trace(&self, trace: TraceId, tenant: Option<&str>) -> Result<Option<Trace>, AskError> {
        deed_review::trace(&self.evidence(tenant), trace, tenant)
    }

    /// Lists actions, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, filter: &Filter, tenant: Option<&str>) -> Result<Page, AskError> {
        find::find(&self.evidence(tenant), filter)
    }

    /// Who goes by `key` in `tenant`: a key or alias of the inventory, a name as systems have it, or an account as
    /// sealed; `None` where nobody does.
    ///
    /// # Errors
    /// The store cannot be read, or what was recorded is not folded within `patience`.
    pub fn principal(
        &self,
        tenant: &str,
        key: &str,
        patience: Duration,
    ) -> Result<Option<PrincipalAnswer>, IdentityError> {
        let declared = self.inner.joins.declared_in(self.ledger(), tenant)?;
        let followed = self.inner.identities.now(patience)?;
        for key in with_and_without_path(key) {
            let Some(account) = self.ledger().account(tenant, &key)? else { return Ok(None) };
            let found = principal(&self.evidence(Some(tenant)), &followed, &declared, tenant, account)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Everything that one credential of `tenant` led to: by fingerprint, issuer's id, jti or the id of a record;
    /// `None` where no record names it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn blast(
        &self,
        tenant: &str,
        credential: &str,
        query: &BlastQuery,
    ) -> Result<Option<Blast>, LedgerError> {
        let declared = self.inner.joins.declared_in(self.ledger(), tenant)?;
        let asked = Asked { tenant, credential, query };
        blast(&self.evidence(Some(tenant)), &self.inner.identities, &declared, &self.inner.findings, asked)
    }

    /// What deserves a look, as `query` wants it.
    ///
    /// # Errors
    /// The store cannot be read, or what was recorded is not reviewed within `patience`.
    pub(crate) fn findings(
        &self,
        query: &FindingQuery,
        patience: Duration,
    ) -> Result<FindingList, ReviewError> {
        let tenant = query.tenant.as_deref().unwrap_or("default");
        let declared = |tenant: &str| self.inner.joins.declared_in(self.ledger(), tenant);
        let reviewed = self.inner.findings.now(patience)?;
        let followed = self.inner.identities.now(patience)?;
        let principal = match &query.principal {
            None => None,
            Some(key) => Some(self.joined_as(tenant, key, &followed)?),
        };
        let about = self.inner.findings.about_identities(&followed)?;
        let evidence = self.evidence(query.tenant.as_deref());
        let (state, hiding) = (&followed.state, self.inner.findings.hiding(Some(&followed)));
        let everything = Everything { reviewed: &reviewed, identities: &about };
        Ok(findings::list(&evidence, everything, state, &hiding, query, principal.as_ref(), &declared)?)
    }

    /// Every action with findings, once everything is reviewed.
    ///
    /// # Errors
    /// It is not reviewed within `patience`.
    pub(crate) fn flagged(&self, patience: Duration) -> Result<Vec<(RecordId, Flagged)>, ReviewError> {
        let reviewed = self.inner.findings.now(patience)?;
        Ok(reviewed.review.flagged().map(|(id, flagged)| (id, flagged.clone())).collect())
    }

    /// The actions of which something was found since this was asked last; all that have findings at first.
    pub(crate) fn newly_flagged(&self) -> Vec<(RecordId, Flagged)> {
        self.inner.findings.news()
    }

    /// What is done over and over, as `query` wants it, and what is unlike it.
    ///
    /// # Errors
    /// The store cannot be read, or what was recorded is not reviewed within `patience`.
    pub(crate) fn patterns(
        &self,
        query: &PatternQuery,
        patience: Duration,
    ) -> Result<PatternList, ReviewError> {
        let tenant = query.tenant.as_deref().unwrap_or("default");
        let accounts = match &query.principal {
            None => None,
            Some(key) => Some(self.accounts_of(tenant, key)?),
        };
        // Reviewing goes on meanwhile.
        let reviewed = self.inner.findings.now(patience)?;
        let flagged = patterns::flagged(&reviewed, &self.inner.findings.hiding(None))?;
        drop(reviewed);
        let end = Instant::now() + patience;
        Ok(patterns::patterns(&self.evidence(query.tenant.as_deref()), &flagged, query, accounts, end)?)
    }

    /// Every account that findings about whoever goes by `key` in `tenant` name, as far as identities are folded.
    pub(crate) fn known_as(&self, tenant: &str, key: &str) -> Result<HashSet<Account>, LedgerError> {
        self.joined_as(tenant, key, &self.inner.identities.as_it_is())
    }

    fn joined_as(
        &self,
        tenant: &str,
        key: &str,
        followed: &Followed,
    ) -> Result<HashSet<Account>, LedgerError> {
        let mut accounts = self.accounts_of(tenant, key)?;
        if let Some(account) = self.ledger().account(tenant, key)? {
            // A finding about an identity is about whatever accounts are joined to it.
            let declared = self.inner.joins.declared_in(self.ledger(), tenant)?;
            let joined = followed.state.principal(account, &declared);
            accounts.extend(joined.members.first().map(|member| member.account));
        }
        Ok(accounts)
    }

    /// Every account of whoever goes by `key` in `tenant`, by the inventory.
    fn accounts_of(&self, tenant: &str, key: &str) -> Result<HashSet<Account>, LedgerError> {
        Ok(match self.ledger().account(tenant, key)? {
            Some(account) => {
                let declared = self.inner.joins.declared_in(self.ledger(), tenant)?;
                declared.accounts_of(account).into_iter().collect()
            }
            // A tenant that never recorded anything has nobody.
            None => HashSet::new(),
        })
    }

    /// Records that `by` makes `text` the inventory, and puts it into force; `matches` says whether what is there, by its
    /// digest, is what they had read.
    ///
    /// # Errors
    /// See [`ChangeError`]; what was in force still is.
    pub(crate) fn put_inventory(
        &self,
        text: &str,
        by: &str,
        matches: impl FnOnce(&str) -> bool,
    ) -> Result<Changed, ChangeError> {
        let ledger = self.ledger();
        let (inventory, changed) = inventory::put(ledger, ledger.dir(), text, by, matches)?;
        self.decisions().change(|force| force.inventory = Arc::new(inventory));
        Ok(changed)
    }

    /// The public keys: `origin` and `vkeys` (C2SP signed-note) of the log, and `jwks` (RFC 7517) of the log and of
    /// the tokens that are issued.
    pub fn keys(&self) -> Value {
        let vkeys = self.ledger().verifier_keys();
        let mut keys: Vec<Value> = vkeys.iter().filter_map(|vkey| crate::keys::jwk(vkey)).collect();
        if let Some(Value::Array(tokens)) = self.tokens().map(|tokens| tokens.jwks()["keys"].take()) {
            keys.extend(tokens);
        }
        json!({ "origin": self.ledger().origin(), "vkeys": vkeys, "jwks": { "keys": keys } })
    }

    /// Whether the store works, and if not, why.
    pub fn health(&self) -> Health {
        let Health { mut checks, .. } = self.ledger().health();
        #[cfg(feature = "sql")]
        checks.push(self.inner.tables.health());
        checks.push(self.inner.identities.health());
        checks.push(self.inner.findings.health());
        checks.push(self.policy_check());
        checks.extend(self.gateway_check());
        checks.push(self.disk_check());
        checks.extend(self.spool_check());
        Health { ok: checks.iter().all(|check| check.ok), checks }
    }

    /// Whether what people declared is in force. Records are taken all the same.
    pub(crate) fn inventory_check(&self) -> Check {
        let unread = self.inner.unread.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(why) = unread {
            let detail = format!(
                "what was declared before goes on, and the store cannot be opened again: {why}; deed inventory check"
            );
            return Check { name: "inventory", ok: false, detail };
        }
        let InForce { inventory, .. } = self.decisions().in_force();
        let (principals, sources) = (inventory.principals().len(), inventory.sources().count());
        Check {
            name: "inventory",
            ok: true,
            detail: format!("{principals} principals, {sources} sources declared"),
        }
    }

    fn policy_check(&self) -> Check {
        let InForce { policy, .. } = self.decisions().in_force();
        if let Some(why) = policy.problem() {
            return Check { name: "policy", ok: false, detail: format!("everything is denied: {why}") };
        }
        let detail = match policy.is_starter() {
            true => "the starter set is in force: everything allowed, everything recorded; deed policy publish DIR"
                .to_owned(),
            false => format!("{} policies in force, set {}", policy.policies().len(), policy.digest()),
        };
        Check { name: "policy", ok: true, detail }
    }

    fn disk_check(&self) -> Check {
        let (ok, detail) = match rustix::fs::statvfs(self.ledger().dir()) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                (free >= LEAST_FREE, format!("{} MiB free", free >> 20))
            }
            Err(error) => (false, error.to_string()),
        };
        Check { name: "disk", ok, detail }
    }

    /// Takes no more records, answers those under way, signs a last checkpoint and lets go of the store.
    ///
    /// # Errors
    /// The last checkpoint could not be signed; everything acknowledged is safe in the journal.
    pub fn close(&self) -> Result<(), LedgerError> {
        // They write to the ledger's store.
        self.inner.findings.close();
        self.inner.identities.close();
        #[cfg(feature = "sql")]
        self.inner.tables.clone().close();
        self.ledger().clone().close()
    }
}
