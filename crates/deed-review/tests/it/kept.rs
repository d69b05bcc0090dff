//! Findings that are kept up with a growing log are those that explaining every action gives (D5, D6).

use std::collections::BTreeMap;

use deed_identity::State;
use deed_record::{Kind, RecordId};
use deed_review::{explanation::Finding, judge, review::Review};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    corpus::{orders, scenarios},
    order::busy,
    store::{Store, id, record},
    story::etl,
};

/// What a follower of the log finds, which judges after every `batch` records.
fn kept(records: &[&Value], inventory: &str, batch: usize) -> (Store, BTreeMap<RecordId, Vec<Finding>>) {
    let mut store = Store::default();
    if !inventory.is_empty() {
        store.inventory(inventory);
    }
    let (mut state, mut review) = (State::default(), Review::default());
    for batch in records.chunks(batch) {
        for record in batch {
            store.add(record);
            let newest = store.newest_leaf().clone();
            let skeleton = newest.sealed.skeleton().expect("readable");
            state.fold(&skeleton);
            review.see(&skeleton, &state, &store);
        }
        review.settle(&store).expect("readable");
    }
    assert!(!review.is_unsettled());
    let read = Review::read(&review.dump().expect("JSON")).expect("a review");
    assert_eq!(read, review);
    let found = review.flagged().map(|(id, flagged)| (id, flagged.findings.clone())).collect();
    (store, found)
}

/// What explaining every action finds.
fn explained(store: &Store) -> BTreeMap<RecordId, Vec<Finding>> {
    let judged = store.all().filter_map(|id| judge(store, id).expect("readable"));
    judged
        .filter(|judged| !judged.findings.is_empty())
        .map(|judged| (judged.action, judged.findings))
        .collect()
}

#[test]
fn every_story_of_the_corpus_is_kept_up_with() {
    // What is found about identities is kept nowhere.
    for scenario in scenarios().into_iter().filter(|scenario| !scenario.is_of_identity()) {
        let (records, inventory) = scenario.told();
        for missing in std::iter::once(None).chain((0..records.len()).map(Some)) {
            let told: Vec<&Value> = records
                .iter()
                .enumerate()
                .filter(|(at, _)| Some(*at) != missing)
                .map(|(_, told)| told)
                .collect();
            for order in orders(told.len()) {
                let arrived: Vec<&Value> = order.iter().map(|at| told[*at]).collect();
                let (store, found) = kept(&arrived, inventory, 1);
                let expected = explained(&store);
                assert_eq!(
                    found, expected,
                    "{}: {}, {order:?} without {missing:?}",
                    scenario.rule, scenario.about
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Parts of a story with everything in it, in any order and cut into any batches.
    #[test]
    fn a_busy_story_is_kept_up_with(
        order in Just((0..busy().len()).collect::<Vec<_>>()).prop_shuffle(),
        kept_up_to in 1usize..40,
        batch in 1usize..8,
    ) {
        let records = busy();
        let arrived: Vec<&Value> = order.iter().take(kept_up_to).map(|at| &records[*at]).collect();
        let (store, found) = kept(&arrived, "", batch);
        prop_assert_eq!(found, explained(&store));
    }

    /// The same where all of it is in the log, and known of identities, before it is reviewed.
    #[test]
    fn a_busy_story_is_caught_up_with(
        order in Just((0..busy().len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let records = busy();
        let arrived: Vec<&Value> = order.iter().map(|at| &records[*at]).collect();
        let (store, review) = behind(&arrived, usize::MAX);
        let found: BTreeMap<_, _> =
            review.flagged().map(|(id, flagged)| (id, flagged.findings.clone())).collect();
        prop_assert_eq!(found, explained(&store));
    }
}

/// What a follower finds in the first `most` records that comes when all of them are in the log.
fn behind(records: &[&Value], most: usize) -> (Store, Review) {
    let (mut store, mut state, mut review) = (Store::default(), State::default(), Review::default());
    let mut leaves = Vec::new();
    for record in records {
        store.add(record);
        leaves.push(store.newest_leaf().clone());
    }
    let leaves: Vec<_> = leaves.iter().map(|leaf| leaf.sealed.skeleton().expect("readable")).collect();
    leaves.iter().for_each(|leaf| state.fold(leaf));
    leaves.iter().take(most).for_each(|leaf| review.see(leaf, &state, &store));
    if most >= leaves.len() {
        review.settle(&store).expect("readable");
    }
    (store, review)
}

#[test]
fn a_right_that_comes_before_its_uses_has_none_of_them_judged() {
    let right = |change: &str| json!({ "change": change, "subject": etl() });
    let mut records = vec![
        record(1, Kind::Grant, "09:00", "iam:1", json!({ "terms": right("issued") })),
        record(
            2,
            Kind::Credential,
            "09:01",
            "vault:prod",
            json!({ "grant": id(1), "credential": { "id": "key-1" }, "terms": right("issued") }),
        ),
    ];
    let used = json!({ "executor": etl(), "credential": { "id": "key-1" }, "permission": "db:read" });
    records.extend((3..6).map(|n| record(n, Kind::Observation, "10:00", "db:1", used.clone())));
    let told: Vec<&Value> = records.iter().collect();
    assert!(!behind(&told, 2).1.is_unsettled());
    // Where the uses came first, they are looked at again.
    let told: Vec<&Value> = records.iter().rev().collect();
    assert!(behind(&told, 4).1.is_unsettled());
}
