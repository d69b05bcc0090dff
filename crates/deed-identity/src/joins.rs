//! Which accounts are one principal, how that is known, and what speaks against it.
//!
//! Joins are derived each time from what is kept: a join disappears with its evidence, or when the inventory says
//! otherwise. A join that would make one of a person and a machine, of two principals that the inventory tells
//! apart, or of an organisation of ours and another's, is refused and said, never made in silence.

use std::collections::{BTreeMap, BTreeSet};

use deed_record::{Account, PrincipalType, RecordId};

use crate::state::{AccountEntry, CredentialFacts, CredentialKey, HolderFacts, Rank, Role, State};

/// Accounts of one principal that are followed.
pub const MOST_ACCOUNTS: usize = 256;

/// What the inventory declares, by account.
pub trait Declarations {
    /// The declared principal that has `account` among its names.
    fn of(&self, account: Account) -> Option<usize>;
    /// Every account of a declared principal.
    fn accounts(&self, principal: usize) -> Vec<Account>;
    /// What a declared principal is.
    fn kind(&self, principal: usize) -> PrincipalType;
    /// Accounts that a declared principal is not, although evidence may say so.
    fn not_same(&self, principal: usize) -> Vec<Account>;
}

/// Nothing is declared.
impl Declarations for () {
    fn of(&self, _: Account) -> Option<usize> {
        None
    }
    fn accounts(&self, _: usize) -> Vec<Account> {
        Vec::new()
    }
    fn kind(&self, _: usize) -> PrincipalType {
        PrincipalType::Unknown
    }
    fn not_same(&self, _: usize) -> Vec<Account> {
        Vec::new()
    }
}

/// How a join is known, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Basis {
    /// Records name the account itself; nothing is joined.
    Recorded,
    /// The inventory says so.
    Declared,
    /// Deed issued or verified the credential that both are known by.
    Proven,
    /// Other systems' logs show it: the same credential.
    Learned,
}

impl Basis {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Basis::Recorded => "recorded",
            Basis::Declared => "declared",
            Basis::Proven => "proven",
            Basis::Learned => "learned",
        }
    }
}

/// One account of a principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The account.
    pub account: Account,
    /// How it is known to be one with the others.
    pub basis: Basis,
    /// The credential that shows it, where one does.
    pub credential: Option<CredentialKey>,
    /// The records that show it.
    pub evidence: Vec<RecordId>,
}

/// Two accounts that evidence would join, and why they are not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Refused {
    /// One of them.
    pub one: Account,
    /// The other.
    pub other: Account,
    /// Why they are not joined.
    pub why: Why,
    /// The credential that would show it, where one does.
    pub credential: Option<CredentialKey>,
    /// The records that would show it.
    pub evidence: Vec<RecordId>,
}

/// Why a join is not made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// One principal would be of several types, such as a person and a machine.
    Types,
    /// Of one it is not known what it is, and the other, which is a person, an agent or a third party, acted for it or
    /// had it act.
    Parties,
    /// One system has two of them use credentials of their own: it tells them apart.
    Apart,
    /// The inventory has them as two.
    Declared,
    /// The inventory says that they are not the same.
    NotSame,
    /// Several accounts use the credential: it tells nobody apart.
    Shared,
    /// Only the sender of a record says so.
    Told,
}

impl Why {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Types => "one of them is a person or a third party, and the other is not",
            Why::Parties => "records name them as two, of whom one acted for the other",
            Why::Apart => "a log tells accounts apart that all of these joins would make one",
            Why::Declared => "the inventory has them as two principals",
            Why::NotSame => "the inventory says that they are not the same",
            Why::Shared => "several accounts of one system use the credential",
            Why::Told => "only the sender of a record says so",
        }
    }

    /// Whether somebody should look: evidence contradicts itself or the inventory.
    pub const fn is_conflict(self) -> bool {
        matches!(self, Why::Types | Why::Parties | Why::Apart | Why::Declared)
    }
}

/// One principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Its accounts, the one it is called by first, the others in order.
    pub members: Vec<Member>,
    /// Where the inventory has it.
    pub declared: Option<usize>,
    /// What it is.
    pub kind: PrincipalType,
    /// Joins of its accounts that were not made.
    pub refused: Vec<Refused>,
    /// There are more accounts than are followed.
    pub cut: bool,
}

/// An edge that evidence gives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    basis: Basis,
    one: Account,
    other: Account,
    credential: CredentialKey,
    evidence: Vec<RecordId>,
}

impl State {
    /// The principal that `account` is of. It need not be known: the inventory may have it.
    pub fn principal(&self, account: Account, declared: &dyn Declarations) -> Joined {
        let mut around = Around {
            state: self,
            declared,
            accounts: vec![account],
            edges: BTreeSet::new(),
            refused: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        let cut = around.gather();
        around.join(account, cut)
    }
}

/// Everything that may bear on one principal.
struct Around<'s> {
    state: &'s State,
    declared: &'s dyn Declarations,
    accounts: Vec<Account>,
    edges: BTreeSet<Edge>,
    refused: BTreeSet<Refused>,
    /// Who used a credential by which somebody is joined, in whose log.
    used: BTreeSet<(String, Account)>,
}

impl Around<'_> {
    /// Follows every edge from the first account; whether there is more than is followed.
    fn gather(&mut self) -> bool {
        let mut known: BTreeSet<Account> = self.accounts.iter().copied().collect();
        let mut at = 0;
        while let Some(account) = self.accounts.get(at).copied() {
            at += 1;
            let mut near = self
                .declared
                .of(account)
                .map_or_else(Vec::new, |principal| self.declared.accounts(principal));
            for key in self.state.credentials_of(account) {
                if self.state.is_of_one(key) {
                    continue;
                }
                let Some(facts) = self.state.credential(key) else { continue };
                let (edges, refused) = edges_of(&facts);
                self.refused.extend(
                    refused.into_iter().filter(|refused| refused.one == account || refused.other == account),
                );
                if !edges.is_empty() {
                    let used = facts.holders.iter().filter(|holder| holder.role == Role::Used);
                    let logged = used.filter(|holder| holder.rank == Rank::Logged);
                    self.used.extend(logged.map(|holder| (holder.system.clone(), holder.account)));
                }
                near.extend(edges.iter().flat_map(|edge| [edge.one, edge.other]));
                self.edges.extend(edges);
            }
            for account in near {
                if known.len() < MOST_ACCOUNTS && known.insert(account) {
                    self.accounts.push(account);
                }
            }
        }
        known.len() == MOST_ACCOUNTS
    }

    fn join(mut self, account: Account, cut: bool) -> Joined {
        let mut groups: BTreeMap<Account, usize> =
            self.accounts.iter().enumerate().map(|(at, account)| (*account, at)).collect();
        self.declare(&mut groups);
        for basis in [Basis::Proven, Basis::Learned] {
            self.tier(basis, &mut groups);
        }
        let own = groups.get(&account).copied().unwrap_or_default();
        let mut members: Vec<Account> =
            groups.iter().filter(|(_, group)| **group == own).map(|(account, _)| *account).collect();
        members.sort_unstable();
        let declared = members.iter().find_map(|member| self.declares(*member));
        // Called by what the inventory knows it by, else by the least account: whatever was asked for.
        let head = members
            .iter()
            .copied()
            .find(|member| self.declares(*member).is_some() && self.state.entry(*member).is_some());
        let head = head.or_else(|| {
            members.iter().copied().find(|member| declared.is_none() || self.declares(*member).is_some())
        });
        let kinds: BTreeSet<PrincipalType> = members
            .iter()
            .filter_map(|member| self.state.entry(*member))
            .map(AccountEntry::only_kind)
            .collect();
        let kind = declared.map_or_else(|| most_telling(&kinds), |principal| self.declared.kind(principal));
        let inside: BTreeSet<Account> = members.iter().copied().collect();
        let mut members: Vec<Member> =
            members.into_iter().map(|member| self.member(member, head, &inside)).collect();
        members.sort_by_key(|member| (Some(member.account) != head, member.account));
        self.refused.retain(|refused| inside.contains(&refused.one) != inside.contains(&refused.other));
        Joined { members, declared, kind, refused: self.refused.into_iter().collect(), cut }
    }

    fn member(&self, account: Account, head: Option<Account>, inside: &BTreeSet<Account>) -> Member {
        if Some(account) == head && self.declares(account).is_none() {
            return Member { account, basis: Basis::Recorded, credential: None, evidence: Vec::new() };
        }
        if self.declares(account).is_some() {
            return Member { account, basis: Basis::Declared, credential: None, evidence: Vec::new() };
        }
        let within = |edge: &&Edge| {
            (edge.one == account && inside.contains(&edge.other))
                || (edge.other == account && inside.contains(&edge.one))
        };
        match self.edges.iter().find(within) {
            Some(edge) => Member {
                account,
                basis: edge.basis,
                credential: Some(edge.credential),
                evidence: edge.evidence.clone(),
            },
            None => Member { account, basis: Basis::Recorded, credential: None, evidence: Vec::new() },
        }
    }

    /// The declared principal of an account that may be what it is declared as.
    fn declares(&self, account: Account) -> Option<usize> {
        let principal = self.declared.of(account)?;
        let kind = self.state.entry(account).map_or(PrincipalType::Unknown, AccountEntry::only_kind);
        may_be(self.declared.kind(principal), kind).then_some(principal)
    }

    fn declare(&mut self, groups: &mut BTreeMap<Account, usize>) {
        for account in self.accounts.clone() {
            let Some(principal) = self.declared.of(account) else { continue };
            let first =
                self.declared.accounts(principal).into_iter().find(|other| self.declares(*other).is_some());
            match first {
                Some(first) if self.declares(account).is_some() => unite(groups, account, first),
                _ => {
                    let other = first.unwrap_or(account);
                    self.refused.insert(Refused {
                        one: account,
                        other,
                        why: Why::Types,
                        credential: None,
                        evidence: self.seen_as(account),
                    });
                }
            }
        }
    }

    /// The record by which an account has its type.
    fn seen_as(&self, account: Account) -> Vec<RecordId> {
        self.state.entry(account).map(|entry| entry.first.id()).into_iter().collect()
    }

    /// Makes the joins of one basis, unless what comes of it contradicts itself: then none of those.
    fn tier(&mut self, basis: Basis, groups: &mut BTreeMap<Account, usize>) {
        let edges: Vec<Edge> = self.edges.iter().filter(|edge| edge.basis == basis).cloned().collect();
        let mut joined = groups.clone();
        edges.iter().for_each(|edge| unite(&mut joined, edge.one, edge.other));
        let mut parts: BTreeMap<usize, Vec<Account>> = BTreeMap::new();
        for (account, group) in &joined {
            parts.entry(*group).or_default().push(*account);
        }
        for accounts in parts.into_values() {
            let within: Vec<&Edge> = edges.iter().filter(|edge| accounts.contains(&edge.one)).collect();
            if within.is_empty() {
                continue;
            }
            let apart = (basis == Basis::Learned && self.are_apart(&accounts)).then_some(Why::Apart);
            let against = self.against(&accounts).or(apart);
            for edge in within {
                match against {
                    None => unite(groups, edge.one, edge.other),
                    Some(why) => {
                        self.refused.insert(Refused {
                            one: edge.one,
                            other: edge.other,
                            why,
                            credential: Some(edge.credential),
                            evidence: edge.evidence.clone(),
                        });
                    }
                }
            }
        }
    }

    /// Why these accounts cannot be one.
    fn against(&self, accounts: &[Account]) -> Option<Why> {
        let declared: BTreeSet<usize> =
            accounts.iter().filter_map(|account| self.declares(*account)).collect();
        let apart: Vec<Account> =
            declared.iter().flat_map(|principal| self.declared.not_same(*principal)).collect();
        if accounts.iter().any(|account| apart.contains(account)) {
            return Some(Why::NotSame);
        }
        if declared.len() > 1 {
            return Some(Why::Declared);
        }
        // Of what is declared, its own word counts; of the rest, everything that records say.
        let others = accounts.iter().filter(|account| self.declares(**account).is_none());
        let entries = others.filter_map(|account| self.state.entry(*account));
        let kinds = entries.flat_map(|entry| {
            let several = entry.contradicting();
            if several.is_empty() { vec![entry.only_kind()] } else { several }
        });
        let kinds: Vec<PrincipalType> = kinds.collect();
        let is_one = match declared.first().map(|principal| self.declared.kind(*principal)) {
            Some(PrincipalType::ThirdParty) => {
                kinds.iter().all(|kind| may_be(PrincipalType::ThirdParty, *kind))
            }
            declared => are_one(kinds.into_iter().chain(declared)),
        };
        if !is_one {
            return Some(Why::Types);
        }
        self.are_parties(accounts).then_some(Why::Parties)
    }

    /// Whether one system's log has two of these use credentials: people who act through one role are not each other.
    fn are_apart(&self, accounts: &[Account]) -> bool {
        let undeclared = |account: &Account| accounts.contains(account) && self.declares(*account).is_none();
        let mut systems = BTreeSet::new();
        self.used.iter().filter(|(_, account)| undeclared(account)).any(|(system, _)| !systems.insert(system))
    }

    /// Whether a log names two of these as whoever asked and whoever acted, where the type of one alone tells that
    /// they are two. Accounts of machines are not told apart so: one may be another's within a system, as the user
    /// of a cluster is the role that it comes as.
    fn are_parties(&self, accounts: &[Account]) -> bool {
        use PrincipalType::{Agent, Human, ThirdParty, Unknown};
        let kind = |account: Account| match self.declares(account) {
            Some(principal) => self.declared.kind(principal),
            None => self.state.entry(account).map_or(Unknown, AccountEntry::only_kind),
        };
        let links = accounts.iter().flat_map(|account| self.state.links_of(*account));
        let mut logged = links.filter(|link| link.rank > Rank::Told);
        logged.any(|link| {
            let inside = accounts.contains(&link.from) && accounts.contains(&link.to);
            inside
                && matches!(
                    (kind(link.from), kind(link.to)),
                    (Human, Unknown) | (Unknown, Agent | ThirdParty)
                )
        })
    }
}

fn unite(groups: &mut BTreeMap<Account, usize>, one: Account, other: Account) {
    let (Some(one), Some(other)) = (groups.get(&one).copied(), groups.get(&other).copied()) else { return };
    if one != other {
        groups.values_mut().filter(|group| **group == other).for_each(|group| *group = one);
    }
}

/// Whether one principal can be all of these: people, third parties and our own machines stay apart (I3).
fn are_one(kinds: impl IntoIterator<Item = PrincipalType>) -> bool {
    let class = |kind| match kind {
        PrincipalType::Unknown => None,
        PrincipalType::Human => Some(0),
        PrincipalType::ThirdParty => Some(1),
        PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ServiceAccount => Some(2),
    };
    let classes: BTreeSet<i32> = kinds.into_iter().filter_map(class).collect();
    classes.len() <= 1
}

/// Whether what is `declared` so may be what records call `seen`: whose a machine is, a log cannot know.
fn may_be(declared: PrincipalType, seen: PrincipalType) -> bool {
    use PrincipalType::{Human, ThirdParty};
    let of_others = declared == ThirdParty || seen == ThirdParty;
    let person = declared == Human || seen == Human;
    of_others && !person || are_one([declared, seen])
}

/// What a principal is whose accounts are of these types: an agent's key may look like any service account's.
fn most_telling(kinds: &BTreeSet<PrincipalType>) -> PrincipalType {
    use PrincipalType::{Agent, Human, ServiceAccount, ThirdParty, Unknown, Workload};
    [Human, ThirdParty, Agent, Workload, ServiceAccount]
        .into_iter()
        .find(|kind| kinds.contains(kind))
        .unwrap_or(Unknown)
}

/// What one credential shows: to whom it was given, and who used it, are one, as long as nobody shares it.
fn edges_of(facts: &CredentialFacts) -> (Vec<Edge>, Vec<Refused>) {
    let holders: Vec<&HolderFacts> =
        facts.holders.iter().filter(|holder| holder.role != Role::Asked).collect();
    let firm: Vec<&HolderFacts> =
        holders.iter().copied().filter(|holder| holder.rank != Rank::Told).collect();
    let accounts: BTreeSet<Account> = holders.iter().map(|holder| holder.account).collect();
    // One place in one system is one point of view; from each, a credential is one account's.
    let mut views: BTreeMap<(Role, &str), BTreeSet<Account>> = BTreeMap::new();
    for holder in &holders {
        views.entry((holder.role, &holder.system)).or_default().insert(holder.account);
    }
    let shared = facts.more_holders || views.values().any(|accounts| accounts.len() > 1);
    let best = |account: Account| {
        firm.iter()
            .filter(move |holder| holder.account == account)
            .max_by_key(|holder| (holder.rank, std::cmp::Reverse(holder.record)))
    };
    let (mut edges, mut refused) = (Vec::new(), Vec::new());
    let mut all = accounts.iter().copied();
    // Each with the first that a log or Deed itself names.
    let Some(one) = all.clone().find(|account| best(*account).is_some()).or_else(|| all.next()) else {
        return (edges, refused);
    };
    for other in accounts.iter().copied().filter(|other| *other != one) {
        let evidence = |account: Account| {
            holders
                .iter()
                .filter(move |holder| holder.account == account)
                .max_by_key(|holder| (holder.rank, std::cmp::Reverse(holder.record)))
                .map(|holder| holder.record)
        };
        let mut evidence: Vec<RecordId> = [evidence(one), evidence(other)].into_iter().flatten().collect();
        evidence.sort_unstable();
        evidence.dedup();
        let (one, other) = (one.min(other), one.max(other));
        match (best(one), best(other)) {
            _ if shared => {
                refused.push(Refused { one, other, why: Why::Shared, credential: Some(facts.key), evidence })
            }
            (Some(first), Some(second)) => {
                let proven = first.rank == Rank::Enforced && second.rank == Rank::Enforced;
                let basis = if proven { Basis::Proven } else { Basis::Learned };
                edges.push(Edge { basis, one, other, credential: facts.key, evidence });
            }
            _ => refused.push(Refused { one, other, why: Why::Told, credential: Some(facts.key), evidence }),
        }
    }
    (edges, refused)
}
