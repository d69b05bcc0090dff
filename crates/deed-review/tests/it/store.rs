//! Evidence in memory, written as the JSON of sealed records with names in clear.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
};

use deed_identity::{Coverage, Declarations, Inventory, Principal, Resource, State, UNCLASSIFIED};
use deed_record::{
    Account, Kind, PrincipalType, RecordId, Right, Sealed, Skeleton, Timestamp, TraceId, Tried,
};
use deed_review::{
    Checkpoint, Controlled, Declared, Directory, Evidence, ExplainError, Explanation, Found, IdentityFinding,
    Name, Thresholds, Trace, explain, identity_findings,
    review::{Affected, Known, Look},
    trace,
};
use serde_json::{Map, Value, json};

/// Records in the order in which they arrived.
#[derive(Default, Clone)]
pub(crate) struct Store {
    leaves: Vec<Found>,
    ids: HashMap<RecordId, usize>,
    refs: HashMap<RecordId, Vec<usize>>,
    redone: HashMap<RecordId, Vec<usize>>,
    declared: HashMap<Account, Declared>,
    credentials: HashMap<(String, String), Vec<usize>>,
    traces: HashMap<TraceId, Vec<usize>>,
    names: HashMap<Account, Name>,
    disclosable: HashMap<RecordId, Vec<String>>,
    complete: Vec<(Coverage, String)>,
    principals: Vec<Principal>,
    inventory: Option<Inventory>,
    accounts: HashMap<Account, usize>,
    /// Records that were handed out, by whatever look-up.
    pub(crate) handed_out: Cell<usize>,
}

/// The id that tests call `n`.
pub(crate) fn id(n: u64) -> RecordId {
    format!("01930000-0000-7000-8000-{n:012x}").parse().expect("valid")
}

/// A time of the day on which most stories play; of stories that take longer, a date and a time: `2026-03-01 09:00`.
pub(crate) fn at(clock: &str) -> String {
    match clock.split_once(' ') {
        Some((day, clock)) => format!("{day}T{clock}:00Z"),
        None => format!("2026-11-01T{clock}:00Z"),
    }
}

/// The account that stands for `key`.
pub(crate) fn account(key: &str) -> Account {
    let mut half = [0; 16];
    half.copy_from_slice(&digest(key.as_bytes())[..16]);
    Account(half)
}

impl Store {
    /// These records, in this order of arrival.
    pub(crate) fn of(records: &[Value]) -> Self {
        let mut store = Store::default();
        records.iter().for_each(|record| store.add(record));
        store
    }

    /// One record; see [`record`] for what is filled in.
    pub(crate) fn add(&mut self, sent: &Value) {
        let mut value = sent.clone();
        let disclosable = value.as_object_mut().expect("an object").remove("disclosable");
        self.seal_names(&mut value);
        let text = value.to_string();
        let skeleton = Skeleton::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let mut leaf = Vec::new();
        skeleton.write_canonical(&mut leaf);
        let at = self.leaves.len();
        self.ids.insert(skeleton.id, at);
        let of_outcome = skeleton.outcome.iter().flat_map(|outcome| [outcome.compensates, outcome.retry_of]);
        for id in of_outcome.flatten().collect::<BTreeSet<_>>() {
            self.redone.entry(id).or_default().push(at);
        }
        let refs: BTreeSet<RecordId> = [
            skeleton.action,
            skeleton.request,
            skeleton.grant,
            skeleton.exception,
            skeleton.supersedes,
            skeleton.conflicts_with,
        ]
        .into_iter()
        .flatten()
        .chain(skeleton.approvals.iter().flatten().copied())
        .chain(skeleton.chain.iter().flatten().filter_map(|hop| hop.delegation))
        .collect();
        refs.into_iter().for_each(|id| self.refs.entry(id).or_default().push(at));
        let effects = skeleton.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref());
        let names: BTreeSet<String> = skeleton
            .credential
            .iter()
            .chain(effects)
            .flat_map(|credential| {
                credential.names().chain(credential.parent.as_deref()).chain(credential.upstream.as_deref())
            })
            .map(str::to_owned)
            .collect();
        for name in names {
            self.credentials.entry((skeleton.tenant.to_string(), name)).or_default().push(at);
        }
        if let Some(trace) = skeleton.trace_id {
            self.traces.entry(trace).or_default().push(at);
        }
        if let Some(Value::Array(fields)) = disclosable {
            let fields = fields.iter().filter_map(Value::as_str).map(str::to_owned);
            self.disclosable.insert(skeleton.id, fields.collect());
        }
        let leaf_hash = digest(&leaf);
        let sealed = Sealed { index: at as u64, leaf: leaf.into() };
        self.leaves.push(Found { sealed, log: Arc::from("deed.example/log"), leaf_hash });
    }

    /// Puts accounts in the place of keys, and remembers the names.
    fn seal_names(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.contains_key("type")
                    && let Some(Value::String(key)) = map.remove("key")
                {
                    let name = map.remove("name").and_then(|name| name.as_str().map(str::to_owned));
                    let known =
                        self.names.entry(account(&key)).or_insert(Name { key: key.clone(), name: None });
                    known.name = known.name.take().or(name);
                    map.insert("account".to_owned(), json!(account(&key).to_string()));
                }
                map.values_mut().for_each(|value| self.seal_names(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| self.seal_names(value)),
            _ => {}
        }
    }

    /// The inventory knows `name` by these keys, the first of which is its own there.
    pub(crate) fn declare(&mut self, name: &str, keys: &[&str]) {
        let aliases = keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", ");
        let own = keys[0];
        self.inventory(&format!(
            "[[principal]]\nkey = {own:?}\ntype = \"human\"\nname = {name:?}\nowner = \"human:olga\"\naliases = [{aliases}]"
        ));
    }

    /// What an inventory says.
    pub(crate) fn inventory(&mut self, text: &str) {
        let inventory = Inventory::parse(text).unwrap_or_else(|error| panic!("{error}"));
        for principal in inventory.principals() {
            let declared = Declared {
                key: principal.key.clone(),
                kind: principal.kind,
                name: principal.name.clone(),
                owner: principal.owner.clone(),
                sponsor: principal.sponsor.clone(),
                vendor: principal.vendor.clone(),
                environments: principal.environments.clone(),
                governed: principal.governed,
                contract: principal.contract.clone(),
                clearance: principal.clearance.clone(),
            };
            for name in std::iter::once(&principal.key).chain(&principal.aliases) {
                self.declared.insert(account(name), declared.clone());
                self.accounts.insert(account(name), self.principals.len());
            }
            self.principals.push(principal.clone());
        }
        for source in inventory.sources() {
            self.complete.extend(source.complete_for.iter().map(|of| (*of, source.system.clone())));
        }
        self.inventory = Some(inventory);
    }

    /// What is found about identities at a moment.
    pub(crate) fn identity_findings(&self, now: &str) -> Vec<IdentityFinding> {
        let mut state = State::default();
        for leaf in &self.leaves {
            state.fold(&leaf.sealed.skeleton().expect("readable"));
        }
        let now = at(now).parse().expect("a time");
        identity_findings(&state, self, "acme", now, &Thresholds::default())
    }

    /// Every name is gone, as after an erasure.
    pub(crate) fn erase_names(&mut self) {
        self.names.clear();
    }

    /// The newest record, as it is sealed.
    pub(crate) fn newest_leaf(&self) -> &Found {
        self.leaves.last().expect("a record")
    }

    /// Every record's id.
    pub(crate) fn all(&self) -> impl Iterator<Item = RecordId> {
        self.ids.keys().copied()
    }

    /// The explanation of the action that record `n` belongs to.
    pub(crate) fn explain(&self, n: u64) -> Explanation {
        self.try_explain(n).expect("readable").expect("a record")
    }

    pub(crate) fn try_explain(&self, n: u64) -> Result<Option<Explanation>, ExplainError<Infallible>> {
        let time = Some(at("12:00").parse().expect("valid"));
        explain(self, id(n), &Checkpoint { size: self.leaves.len() as u64, time })
    }

    pub(crate) fn trace(&self, tenant: Option<&str>) -> Trace {
        trace(self, TRACE.parse().expect("valid"), tenant).expect("readable").expect("a trace")
    }

    pub(crate) fn found(&self, n: u64) -> Found {
        self.leaves[self.ids[&id(n)]].clone()
    }

    /// Records of the day of `time` and the day before that are `wanted`.
    fn of_days(&self, time: Timestamp, limit: usize, wanted: impl Fn(&Skeleton<'_>) -> bool) -> Vec<Found> {
        let day = |time: Timestamp| time.0.div_euclid(24 * 60 * 60 * 1_000_000);
        let days = [day(time) - 1, day(time)];
        let found = self.leaves.iter().rev().filter(|found| {
            let rec = found.sealed.skeleton().expect("readable");
            days.contains(&day(rec.time)) && wanted(&rec)
        });
        found.take(limit).cloned().collect()
    }

    fn newest(&self, places: Option<&Vec<usize>>, limit: usize) -> Vec<Found> {
        let found: Vec<Found> =
            places.into_iter().flatten().rev().take(limit).map(|at| self.leaves[*at].clone()).collect();
        self.handed_out.set(self.handed_out.get() + found.len());
        found
    }
}

/// The trace that every story belongs to.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

impl Evidence for Store {
    type Error = Infallible;

    fn by_id(&self, id: RecordId) -> Result<Option<Found>, Infallible> {
        Ok(self.newest(self.ids.get(&id).map(|at| vec![*at]).as_ref(), 1).pop())
    }

    fn by_ref(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, Infallible> {
        Ok(self.newest(self.refs.get(&id), limit))
    }

    fn by_redoing(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, Infallible> {
        Ok(self.newest(self.redone.get(&id), limit))
    }

    fn declared(&self, _: &str, account: Account) -> Result<Option<Declared>, Infallible> {
        Ok(self.declared.get(&account).cloned())
    }

    fn controlled(&self, _: &str, uri: &str) -> Result<Option<Controlled>, Infallible> {
        Ok(Known::controlled(self, uri).map(|resource| Controlled {
            matches: resource.matches().to_owned(),
            approvers: (!resource.approvers.is_empty())
                .then(|| resource.approvers.iter().flat_map(|name| self.accounts_of(name)).collect()),
            change_windows: resource.change_windows,
            restricted_fields: resource.restricted_fields,
            classification: Some(resource.classification).filter(|said| said != UNCLASSIFIED),
        }))
    }

    fn by_resource(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, Infallible> {
        let about = |found: &&Found| {
            let rec = found.sealed.skeleton().expect("readable");
            *rec.tenant == *tenant && rec.resource.as_ref().is_some_and(|resource| *resource.uri == *uri)
        };
        Ok(self.leaves.iter().rev().filter(about).take(limit).cloned().collect())
    }

    fn every_account(&self, _: &str, account: Account) -> Result<Vec<Account>, Infallible> {
        Ok(self.of(account).map_or_else(|| vec![account], |at| Declarations::accounts(self, at)))
    }

    fn tried(
        &self,
        tried: Tried,
        account: Account,
        uri: &str,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, Infallible> {
        Ok(self.of_days(time, limit, |rec| rec.tried() == Some((tried, account, uri.into()))))
    }

    fn given(
        &self,
        tenant: &str,
        right: Right<'_>,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, Infallible> {
        let gives = |rec: &Skeleton<'_>| rec.gives().any(|given| given == right);
        Ok(self.of_days(time, limit, |rec| *rec.tenant == *tenant && gives(rec)))
    }

    fn opened(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, Infallible> {
        let opens = |found: &&Found| {
            let rec = found.sealed.skeleton().expect("readable");
            *rec.tenant == *tenant && rec.opens().any(|on| on == uri)
        };
        Ok(self.leaves.iter().rev().filter(opens).take(limit).cloned().collect())
    }

    fn by_credential(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Infallible> {
        Ok(self.newest(self.credentials.get(&(tenant.to_owned(), name.to_owned())), limit))
    }

    fn by_use(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Infallible> {
        Ok(self.newest(self.credentials.get(&(tenant.to_owned(), name.to_owned())), limit))
    }

    fn by_call(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Infallible> {
        let mut found = self.by_use(tenant, name, usize::MAX)?;
        found.retain(|found| found.sealed.skeleton().expect("readable").shown().any(|shown| shown == name));
        found.truncate(limit);
        Ok(found)
    }

    fn calls(&self, account: Account, time: Timestamp, limit: usize) -> Result<Vec<Found>, Infallible> {
        let hour = |time: Timestamp| time.0.div_euclid(60 * 60 * 1_000_000);
        let called = |found: &&Found| {
            let rec = found.sealed.skeleton().expect("readable");
            rec.calling() == Some(account) && hour(rec.time) == hour(time)
        };
        Ok(self.leaves.iter().rev().filter(called).take(limit).cloned().collect())
    }

    fn complete_for(&self, coverage: Coverage) -> Result<Vec<String>, Infallible> {
        Ok(self.complete.iter().filter(|(of, _)| *of == coverage).map(|(_, system)| system.clone()).collect())
    }

    fn by_executor(&self, account: Account, limit: usize) -> Result<Vec<Found>, Infallible> {
        let acted = |found: &&Found| {
            let rec = found.sealed.skeleton().expect("readable");
            rec.executor.as_ref().and_then(|party| party.account) == Some(account)
        };
        Ok(self.leaves.iter().rev().filter(acted).take(limit).cloned().collect())
    }

    fn by_entitled(&self, account: Account, limit: usize) -> Result<Vec<Found>, Infallible> {
        let told = |found: &&Found| {
            found.sealed.skeleton().expect("readable").entitles().any(|whose| whose == account)
        };
        Ok(self.leaves.iter().rev().filter(told).take(limit).cloned().collect())
    }

    fn by_trace(&self, trace: TraceId, limit: usize) -> Result<Vec<Found>, Infallible> {
        Ok(self.newest(self.traces.get(&trace), limit))
    }

    fn names(&self, found: &Found) -> Result<Vec<(Account, Name)>, Infallible> {
        let skeleton = found.sealed.skeleton().expect("readable");
        let accounts = skeleton.parties().filter_map(|party| party.account);
        Ok(accounts.filter_map(|account| Some((account, self.names.get(&account)?.clone()))).collect())
    }

    fn disclosable(&self, found: &Found) -> Result<Vec<String>, Infallible> {
        let skeleton = found.sealed.skeleton().expect("readable");
        Ok(self.disclosable.get(&skeleton.id).cloned().unwrap_or_default())
    }
}

impl Affected for Store {
    fn every(&self, look: &Look, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Infallible> {
        let some = |at: Option<&Vec<usize>>| at.cloned().unwrap_or_default();
        let found = match look {
            Look::Action(id) | Look::Beside(id) | Look::Denied(id) | Look::Tool(id) | Look::Right(id) => {
                self.ids.get(id).copied().into_iter().collect()
            }
            Look::Credential { tenant, name } => some(self.credentials.get(&(tenant.clone(), name.clone()))),
            Look::Relying(id) => {
                some(self.refs.get(id)).into_iter().chain(self.ids.get(id).copied()).collect()
            }
            Look::Trace(trace) => some(self.traces.get(trace)),
        };
        found.into_iter().for_each(|at| visit(&self.leaves[at].sealed.skeleton().expect("readable")));
        Ok(())
    }

    fn called(
        &self,
        tenant: &str,
        server: &str,
        name: &str,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), Infallible> {
        for found in &self.leaves {
            let rec = found.sealed.skeleton().expect("readable");
            if *rec.tenant == *tenant && rec.called() == Some((server, name)) {
                visit(&rec);
            }
        }
        Ok(())
    }

    fn acted(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Infallible> {
        for found in self.by_executor(account, usize::MAX)? {
            visit(&found.sealed.skeleton().expect("readable"));
        }
        Ok(())
    }

    fn asked(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Infallible> {
        for found in &self.leaves {
            let rec = found.sealed.skeleton().expect("readable");
            if rec.initiator.as_ref().and_then(|party| party.account) == Some(account) {
                visit(&rec);
            }
        }
        Ok(())
    }

    fn done(
        &self,
        account: Account,
        uri: &str,
        time: Timestamp,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), Infallible> {
        let is_one = |rec: &Skeleton<'_>| rec.tried() == Some((Tried::Done, account, uri.into()));
        let later = Timestamp(time.0 + 24 * 60 * 60 * 1_000_000);
        let both = [time, later].map(|time| self.of_days(time, usize::MAX, is_one));
        // Of this day alone: what is of the days around both of its ends.
        for found in &both[0] {
            if both[1].iter().any(|other| other.sealed.index == found.sealed.index) {
                visit(&found.sealed.skeleton().expect("readable"));
            }
        }
        Ok(())
    }
}

impl Known for Store {
    fn declared(&self, _: &str, account: Account) -> Option<Declared> {
        self.declared.get(&account).cloned()
    }

    fn controlled(&self, uri: &str) -> Option<Resource> {
        let inventory = self.inventory.as_ref()?;
        inventory.controlled(uri).cloned()
    }

    fn every_account(&self, tenant: &str, account: Account) -> Vec<Account> {
        let Ok(accounts) = Evidence::every_account(self, tenant, account);
        accounts
    }

    fn logs_every_grant(&self, system: &str) -> bool {
        self.complete.iter().any(|(of, complete)| *of == Coverage::Grants && complete == system)
    }
}

impl Store {
    /// Every account of whoever the inventory knows by `name`; the account of that name where it knows nobody.
    fn accounts_of(&self, name: &str) -> Vec<Account> {
        let own = account(name);
        self.accounts.get(&own).map_or_else(|| vec![own], |at| self.accounts(*at))
    }
}

impl Declarations for Store {
    fn of(&self, account: Account) -> Option<usize> {
        self.accounts.get(&account).copied()
    }

    fn accounts(&self, principal: usize) -> Vec<Account> {
        let all = self.accounts.iter().filter(|(_, at)| **at == principal);
        all.map(|(account, _)| *account).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn kind(&self, principal: usize) -> PrincipalType {
        self.principals[principal].kind
    }

    fn not_same(&self, principal: usize) -> Vec<Account> {
        self.principals[principal].not_same.iter().map(|name| account(name)).collect()
    }
}

impl Directory for Store {
    fn principal(&self, at: usize) -> Option<&Principal> {
        self.principals.get(at)
    }

    fn account(&self, name: &str) -> Option<Account> {
        Some(account(name))
    }

    fn names_owners(&self) -> bool {
        self.principals.iter().any(|principal| principal.owner.is_some())
    }

    fn is_complete_for(&self, system: &str, coverage: Coverage) -> bool {
        self.complete.iter().any(|(of, complete)| *of == coverage && complete == system)
    }
}

/// Record `n` of `kind` at `clock`, said by `by`: a source of imported records where it holds a colon,
/// `deed` for what Deed enforced, else whoever reports it. `more` adds and replaces members.
pub(crate) fn record(n: u64, kind: Kind, clock: &str, by: &str, more: Value) -> Value {
    let mut record = json!({
        "v": 1, "id": id(n).to_string(), "kind": kind.as_str(), "tenant": "acme",
        "time": at(clock), "recorded": at("23:00"),
    });
    let map = record.as_object_mut().expect("an object");
    match by {
        "deed" => add(map, json!({ "basis": "enforced", "submitter": "deed" })),
        by if by.contains(':') => add(
            map,
            json!({ "basis": "imported", "submitter": "importer",
                    "source": { "system": by, "event_id": format!("e{n}"), "collector": "test/1" } }),
        ),
        by => add(map, json!({ "basis": "reported", "submitter": by })),
    }
    if kind.is_action() {
        add(map, json!({ "executor": { "type": "unknown" } }));
    }
    add(map, more);
    record
}

/// The same record with members added and replaced; `null` takes one away.
pub(crate) fn with(record: &Value, more: Value) -> Value {
    let mut record = record.clone();
    add(record.as_object_mut().expect("an object"), more);
    record
}

fn add(map: &mut Map<String, Value>, more: Value) {
    let Value::Object(more) = more else { panic!("an object") };
    for (name, value) in more {
        if value.is_null() {
            map.remove(&name);
        } else {
            map.insert(name, value);
        }
    }
}

/// Enough of a digest for tests (FNV-1a, four times with different beginnings).
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (lane, chunk) in out.chunks_exact_mut(8).enumerate() {
        let seed = 0xcbf2_9ce4_8422_2325 ^ (lane as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash =
            bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        chunk.copy_from_slice(&hash.to_be_bytes());
    }
    out
}
