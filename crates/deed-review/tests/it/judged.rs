//! Every story of the corpus is judged as it is labelled, in whatever order its records arrive (D6).

use std::collections::{BTreeMap, BTreeSet};

use deed_review::every_rule;

use crate::corpus::{Label, scenarios};

#[test]
fn every_story_is_judged_as_it_is_labelled() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        for telling in scenario.tell() {
            if !telling.steady || telling.speaks != telling.must_speak {
                let how = if telling.steady { "misjudged" } else { "depends on the order" };
                wrong.push(format!(
                    "{}: {} (without {:?}): {how}",
                    scenario.rule, scenario.about, telling.missing
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_stories_of_each_kind() {
    let mut labels: BTreeMap<String, BTreeSet<Label>> = BTreeMap::new();
    for scenario in scenarios() {
        labels.entry(scenario.rule).or_default().insert(scenario.label);
    }
    for rule in every_rule() {
        assert_eq!(labels.remove(rule.name).map(|labels| labels.len()), Some(3), "{}", rule.name);
    }
    assert!(labels.is_empty(), "stories about rules that are not there: {labels:?}");
}
