//! Precision and recall of every rule over the labelled corpus (`tests/corpus`).
//!
//! `cargo run -p deed-review --example corpus`
#![expect(clippy::print_stdout, reason = "it prints a table")]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/corpus.rs"]
mod corpus;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/store.rs"]
mod store;

use std::collections::BTreeMap;

/// What became of the tellings of all stories about one rule.
#[derive(Default, Clone, Copy)]
struct Counts {
    stories: u32,
    found: u32,
    missed: u32,
    false_alarms: u32,
    silent: u32,
    unsteady: u32,
}

fn main() {
    let mut rules: BTreeMap<String, Counts> = BTreeMap::new();
    for scenario in corpus::scenarios() {
        let counts = rules.entry(scenario.rule.clone()).or_default();
        counts.stories += 1;
        for telling in scenario.tell() {
            counts.unsteady += u32::from(!telling.steady);
            match (telling.must_speak, telling.speaks) {
                (true, true) => counts.found += 1,
                (true, false) => counts.missed += 1,
                (false, true) => counts.false_alarms += 1,
                (false, false) => counts.silent += 1,
            }
        }
    }
    println!(
        "{:<32}{:>8}{:>8}{:>8}{:>8}{:>8}{:>11}{:>8}",
        "rule", "stories", "found", "missed", "false", "silent", "precision", "recall"
    );
    let mut all = Counts::default();
    for (rule, counts) in &rules {
        line(rule, counts);
        all.stories += counts.stories;
        all.found += counts.found;
        all.missed += counts.missed;
        all.false_alarms += counts.false_alarms;
        all.silent += counts.silent;
        all.unsteady += counts.unsteady;
    }
    line("all", &all);
    println!("\nEach story is told in up to 24 orders of arrival, whole and without each of its records.");
    println!("Tellings whose answer depends on the order: {}", all.unsteady);
}

fn line(name: &str, counts: &Counts) {
    let share = |of: u32, rest: u32| match of + rest {
        0 => "-".to_owned(),
        all => format!("{:.3}", f64::from(of) / f64::from(all)),
    };
    println!(
        "{name:<32}{:>8}{:>8}{:>8}{:>8}{:>8}{:>11}{:>8}",
        counts.stories,
        counts.found,
        counts.missed,
        counts.false_alarms,
        counts.silent,
        share(counts.found, counts.false_alarms),
        share(counts.found, counts.missed),
    );
}
