//! What it means that a grant was used: one notion for every report and answer.
//!
//! A grant is seen in use where an action names it, or where its holder used one of its scopes since it was given. That it
//! was not used can be told by names alone, and only where what was used is named as its scopes are.

use std::collections::BTreeMap;

use deed_identity::{AccountFacts, GrantFacts, UsedAs, UsedFacts};
use deed_record::{PrincipalType, Timestamp};
use serde::{Deserialize, Serialize};

use crate::scope::matches;

/// What an identity used, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// What it used in the time that is covered.
    pub used: Vec<UsedFacts>,
    /// It used more than is kept.
    pub more: bool,
    /// It did nothing at all in the time that is covered.
    pub idle: bool,
    /// It is not known to be somebody who acts, as a group or everybody is not: that it did nothing says nothing of who is
    /// behind it.
    pub stands_for_others: bool,
    /// When that time begins, where it does.
    pub since: Option<Timestamp>,
}

/// One scope of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeUse {
    /// The scope.
    pub scope: String,
    /// What was used of it.
    pub used: Vec<Used>,
}

/// Something that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The permission; else the tool, else the operation.
    pub what: String,
    /// Actions, in all.
    pub actions: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// Whether a grant is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// It was, at this time last.
    Last(Timestamp),
    /// It was not seen to be.
    Unseen,
    /// Nothing can be said: what its holder did is not named as its scopes are, or who is behind its holder is not known.
    Unknown,
}

impl From<&UsedFacts> for Used {
    fn from(used: &UsedFacts) -> Self {
        Used { what: used.what.clone(), actions: used.count, last: used.last }
    }
}

impl Usage {
    /// What somebody of that type used under all of `accounts`, from `since` on and before `until`.
    pub fn of(
        kind: PrincipalType,
        accounts: impl Iterator<Item = AccountFacts>,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Self {
        let meets = |first: Timestamp, last: Timestamp| {
            since.is_none_or(|since| last >= since) && until.is_none_or(|until| first < until)
        };
        let mut usage = Usage {
            idle: true,
            stands_for_others: kind == PrincipalType::Unknown,
            since,
            ..Usage::default()
        };
        let mut used: BTreeMap<(String, UsedAs), UsedFacts> = BTreeMap::new();
        for facts in accounts {
            usage.more |= facts.more_used;
            usage.stands_for_others &= !facts.is_known_to_act();
            usage.idle &= !facts.last_acted.is_some_and(|(last, _)| meets(facts.first_seen, last));
            for fact in facts.used.into_iter().filter(|fact| meets(fact.first, fact.last)) {
                match used.get_mut(&(fact.what.clone(), fact.named_as)) {
                    Some(known) => {
                        known.count += fact.count;
                        known.first = known.first.min(fact.first);
                        known.last = known.last.max(fact.last);
                    }
                    None => drop(used.insert((fact.what.clone(), fact.named_as), fact)),
                }
            }
        }
        usage.used = used.into_values().collect();
        usage
    }

    /// The scopes of a grant, each with what was used of it since it was given.
    pub(super) fn scopes(&self, facts: &GrantFacts) -> Vec<ScopeUse> {
        let since = facts.given().map(|(given, _)| given);
        let timely = |used: &&UsedFacts| since.is_none_or(|since| used.last >= since);
        let of = |scope: &String| ScopeUse {
            scope: scope.clone(),
            used: self
                .used
                .iter()
                .filter(timely)
                .filter(|used| matches(scope, &used.what))
                .map(Used::from)
                .collect(),
        };
        facts.scopes.iter().map(of).collect()
    }

    /// Whether an action named the grant in the time that is covered.
    pub(super) fn names(&self, facts: &GrantFacts) -> bool {
        let timely = |(last, _)| self.since.is_none_or(|since| last >= since);
        facts.uses > 0 && facts.last_used.is_none_or(timely)
    }

    /// Whether it shows that what is not used of these scopes was not: all that was used is known as a permission, and
    /// some of it is named as each of them is.
    pub(super) fn compares(&self, scopes: &[ScopeUse]) -> bool {
        let alike = |scope: &ScopeUse| self.used.iter().any(|used| is_named_alike(&scope.scope, &used.what));
        let unused = || scopes.iter().filter(|scope| scope.used.is_empty());
        !self.more
            && self.used.iter().all(|used| used.named_as == UsedAs::Permission)
            && (self.used.is_empty() || unused().all(alike))
    }

    /// Whether a grant is used.
    pub fn in_use(&self, facts: &GrantFacts) -> InUse {
        let scopes = self.scopes(facts);
        let last = scopes.iter().flat_map(|scope| scope.used.iter().map(|used| used.last));
        let named = facts.last_used.filter(|_| self.names(facts)).map(|(time, _)| time);
        match last.chain(named).max() {
            Some(last) => InUse::Last(last),
            None if self.stands_for_others => InUse::Unknown,
            None if self.idle || !scopes.is_empty() && self.compares(&scopes) => InUse::Unseen,
            None => InUse::Unknown,
        }
    }
}

/// The scopes of a grant, for whether it may cover something: of a role without scopes, and where there are more than are
/// kept, that is everything.
pub fn may_give(facts: &GrantFacts) -> impl Iterator<Item = &str> {
    let open = facts.scopes.is_empty() || facts.more_scopes;
    facts.scopes.iter().map(String::as_str).chain(open.then_some("*"))
}

/// Whether a grant of `scope` may cover `used`: also where that is named otherwise.
pub(super) fn may_cover(scope: &str, used: &str) -> bool {
    matches(scope, used) || !is_named_alike(scope, used)
}

/// Whether `used` is named as `scope` is, by the marks between their words. The name of a policy or a role, such as an ARN,
/// is none of what it permits.
pub(super) fn is_named_alike(scope: &str, used: &str) -> bool {
    let marks = |text: &str| [':', '.', '/'].map(|mark| text.contains(mark));
    match scope.strip_suffix('*') {
        Some(beginning) => marks(beginning).iter().zip(marks(used)).all(|(scope, used)| !scope || used),
        None => marks(scope) == marks(used),
    }
}
