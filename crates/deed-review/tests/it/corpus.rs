//! The labelled corpus: stories about one action, told in many orders and with each piece missing.

use std::collections::BTreeSet;

use deed_record::Kind;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::store::{Store, at, id, record};

/// The action that every story is about.
const ACTION: u64 = 9;

/// Different orders in which a story is told: more than any story here has, or this many of them.
const ORDERS: usize = 24;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// A story; see `tests/corpus/README.md`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) rule: String,
    pub(crate) label: Label,
    pub(crate) about: String,
    #[serde(default)]
    inventory: String,
    /// Of a rule about identities: the moment at which it is asked.
    #[serde(default)]
    now: Option<String>,
    #[serde(default)]
    needs: Vec<u64>,
    #[serde(default)]
    turns: Vec<u64>,
    records: Vec<Map<String, Value>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Label {
    Positive,
    Negative,
    Unverified,
}

/// One telling of a story, and whether the rule spoke as it must.
pub(crate) struct Telling {
    pub(crate) missing: Option<u64>,
    pub(crate) must_speak: bool,
    pub(crate) speaks: bool,
    /// Whether every order of arrival gave the same answer.
    pub(crate) steady: bool,
}

/// Every story, in the order of the files.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.scenario
    };
    files.into_iter().flat_map(read).collect()
}

impl Scenario {
    /// The story whole, then without each of its records but the action.
    pub(crate) fn tell(&self) -> Vec<Telling> {
        let all: Vec<(u64, Value)> = self.records.iter().map(expand).collect();
        let pieces = all.iter().map(|(n, _)| *n).filter(|n| *n != ACTION).map(Some);
        std::iter::once(None)
            .chain(pieces)
            .map(|missing| {
                let kept: Vec<&Value> =
                    all.iter().filter(|(n, _)| Some(*n) != missing).map(|(_, record)| record).collect();
                let must_speak = match (self.label, missing) {
                    (Label::Positive, Some(piece)) => !self.needs.contains(&piece),
                    (Label::Positive, None) => true,
                    (_, Some(piece)) => self.turns.contains(&piece),
                    (_, None) => false,
                };
                let spoke: BTreeSet<bool> =
                    orders(kept.len()).map(|order| self.speaks(&kept, &order)).collect();
                Telling { missing, must_speak, speaks: spoke.contains(&true), steady: spoke.len() == 1 }
            })
            .collect()
    }

    /// Whether the story is about an identity, rather than about one action.
    pub(crate) fn is_of_identity(&self) -> bool {
        self.now.is_some()
    }

    /// The records of the story, in full, and what the inventory says.
    pub(crate) fn told(&self) -> (Vec<Value>, &str) {
        (self.records.iter().map(|short| expand(short).1).collect(), &self.inventory)
    }

    fn speaks(&self, records: &[&Value], order: &[usize]) -> bool {
        let arrived: Vec<Value> = order.iter().map(|at| records[*at].clone()).collect();
        let mut store = Store::of(&arrived);
        if !self.inventory.is_empty() {
            store.inventory(&self.inventory);
        }
        match &self.now {
            Some(now) => store.identity_findings(now).iter().any(|found| found.finding.rule == self.rule),
            None => store.explain(ACTION).findings.iter().any(|finding| finding.rule == self.rule),
        }
    }
}

/// Orders of `n` things: all of them, up to [`ORDERS`].
pub(crate) fn orders(n: usize) -> impl Iterator<Item = Vec<usize>> {
    let count = (1..=n).product::<usize>().min(ORDERS);
    (0..count).map(move |mut number| {
        let mut left: Vec<usize> = (0..n).collect();
        let mut order = Vec::with_capacity(n);
        while !left.is_empty() {
            order.push(left.remove(number % left.len()));
            number /= left.len() + 1;
        }
        order
    })
}

/// The record that a short form stands for, with its number.
fn expand(short: &Map<String, Value>) -> (u64, Value) {
    let mut more = short.clone();
    let mut take = |name: &str| more.remove(name).unwrap_or_else(|| panic!("a record without `{name}`"));
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    let n = take("n").as_u64().expect("a number");
    let (kind, clock, by) = (text(take("kind")), text(take("at")), text(take("by")));
    let kind = *Kind::ALL.iter().find(|known| known.as_str() == kind).expect("a kind");
    (n, record(n, kind, &clock, &by, expand_members(more)))
}

fn expand_members(members: Map<String, Value>) -> Value {
    let members = members.into_iter().map(|(name, value)| {
        let value = match (&*name, value) {
            ("initiator" | "executor" | "subject" | "by" | "principal", Value::String(somebody)) => {
                let (kind, key) = somebody.split_once(' ').expect("`type key`");
                json!({ "key": key, "type": kind })
            }
            ("expires" | "issued" | "not_before", Value::String(clock)) => json!(at(&clock)),
            (
                "action" | "request" | "grant" | "exception" | "supersedes" | "delegation",
                Value::Number(n),
            ) => {
                json!(id(n.as_u64().expect("a number")))
            }
            ("approvals", Value::Array(ids)) => {
                ids.iter().map(|n| json!(id(n.as_u64().expect("a number")))).collect()
            }
            (_, Value::Object(inner)) => expand_members(inner),
            (_, Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::Object(inner) => expand_members(inner),
                    other => other,
                })
                .collect(),
            (_, value) => value,
        };
        (name, value)
    });
    Value::Object(members.collect())
}
