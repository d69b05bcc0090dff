//! What went past Deed.

use std::collections::{BTreeMap, HashMap, HashSet};

use deed_identity::Declarations;
use deed_ledger::LedgerError;
use deed_record::Basis;

use super::{
    Bypass, Counts, Tally,
    gather::{Gathered, Hit},
    tell::Teller,
};
use crate::identity::DeclaredIn;

/// How long after the intent the other system may have logged what came of it, in microseconds.
const MATCHES_WITHIN: i64 = 3_600_000_000;
/// Clocks of two systems differ by so much, in microseconds.
const CLOCKS: i64 = 300_000_000;

/// The rule that finds what went past Deed.
const BYPASS: &str = "bypass";

const UNGOVERNED: &str = "who acted is not in the inventory";
const NOT_AT_DEED: &str = "the inventory does not have who acted as governed, and nothing tells that the credential is for use through Deed";
const GOVERNED: &str = "who acted is to act through Deed alone, and Deed decided on nothing that fits";
const MAY_BE_OF_A_CALL: &str = "who acted is to act through Deed alone, and it may be of a call that Deed decided on (`deed explain` says which)";
const FOR_DEED: &str = "the inventory has who acted, Deed issued the credential or was shown it, and it decided on nothing that fits";
const ONLY_TOLD: &str = "only the sender of the record tells of it";

/// Whether Deed decided on an action.
enum Passed {
    Decided,
    Bypassed(&'static str),
    Unverified(&'static str),
}

impl<'t> Teller<'t> {
    /// Actions that should have come through Deed, and on which Deed did not decide, each with the reason.
    pub(super) fn past(&self, declared: &DeclaredIn, counts: &mut Counts) -> Vec<(&'t Hit, &'static str)> {
        let found = self.found;
        // When Deed decided on something that was done with each credential.
        let mut intents: HashMap<usize, Vec<i64>> = HashMap::new();
        let decided = found.hits.iter().filter(|hit| hit.basis == Basis::Enforced);
        let traces: HashSet<_> = decided.clone().filter_map(|hit| hit.trace).collect();
        for hit in decided {
            if let Some(at) = hit.credential {
                intents.entry(at).or_default().push(hit.time.0);
            }
        }
        let (mut past, mut why): (Vec<_>, BTreeMap<&str, u64>) = (Vec::new(), BTreeMap::new());
        for hit in &found.hits {
            let passed = if hit.basis == Basis::Enforced {
                Passed::Decided
            } else if hit.basis == Basis::Reported {
                Passed::Unverified(ONLY_TOLD)
            } else if hit.trace.is_some_and(|trace| traces.contains(&trace)) || found.answers(&intents, hit) {
                Passed::Decided
            } else {
                let known = hit
                    .executor
                    .and_then(|account| declared.of(account))
                    .and_then(|at| declared.principal(at));
                let at_deed = hit.credential.is_some_and(|at| found.at_deed.contains(&at));
                match known {
                    None => Passed::Unverified(UNGOVERNED),
                    Some(known) if known.governed && self.is_bypass(hit) => Passed::Bypassed(GOVERNED),
                    Some(known) if known.governed => Passed::Unverified(MAY_BE_OF_A_CALL),
                    Some(_) if at_deed => Passed::Bypassed(FOR_DEED),
                    Some(_) => Passed::Unverified(NOT_AT_DEED),
                }
            };
            match passed {
                Passed::Decided => counts.decided += 1,
                Passed::Unverified(reason) => {
                    counts.unverified += 1;
                    *why.entry(reason).or_default() += 1;
                }
                Passed::Bypassed(why) => {
                    counts.bypassed += 1;
                    past.push((hit, why));
                }
            }
        }
        let mut why: Vec<Tally> =
            why.into_iter().map(|(name, count)| Tally { name: name.to_owned(), count, last: None }).collect();
        why.sort_by(|a, b| (b.count, &a.name).cmp(&(a.count, &b.name)));
        counts.unverified_why = why;
        past
    }

    /// Whether rules found that it went past Deed.
    fn is_bypass(&self, hit: &Hit) -> bool {
        self.review.rules.get(&hit.id).is_some_and(|rules| rules.iter().any(|rule| rule == BYPASS))
    }

    /// One of them as it is told.
    pub(super) fn bypass(&mut self, hit: &Hit, why: &str) -> Result<Bypass, LedgerError> {
        let row = self.row(hit)?;
        Ok(Bypass {
            id: row.id,
            time: row.time,
            initiator: row.initiator,
            initiator_edge: row.initiator_edge,
            executor: row.executor,
            operation: row.operation,
            resource: row.resource,
            system: row.system,
            why: why.to_owned(),
        })
    }
}

impl Gathered {
    /// Whether Deed decided on something with this credential, or with what it came from, about then.
    fn answers(&self, intents: &HashMap<usize, Vec<i64>>, hit: &Hit) -> bool {
        // Hits are in the order of time, and so are these.
        let near = |times: &Vec<i64>| {
            let first = times.partition_point(|time| *time < hit.time.0 - MATCHES_WITHIN);
            times.get(first).is_some_and(|time| *time <= hit.time.0 + CLOCKS)
        };
        let mut at = hit.credential;
        // What a credential came from was found before it.
        for _ in 0..self.credentials.len() {
            let Some(credential) = at else { return false };
            if intents.get(&credential).is_some_and(near) {
                return true;
            }
            at = self.credentials.get(credential).and_then(|known| known.parent);
        }
        false
    }
}
