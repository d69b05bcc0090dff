//! The documentation names every rule, every class and every edge.

use deed_review::{Attribution, Authority, Class, Edge, GapKind, Scope, Thresholds, every_rule};

#[test]
fn every_word_is_explained() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
    let docs = std::fs::read_to_string(path).expect("docs/explain.md");
    let words = Edge::ALL.iter().map(|word| word.as_str());
    let words = words.chain(Attribution::ALL.iter().map(|word| word.as_str()));
    let words = words.chain(Authority::ALL.iter().map(|word| word.as_str()));
    let words = words.chain(Scope::ALL.iter().map(|word| word.as_str()));
    let words = words.chain(Class::ALL.iter().map(|word| word.as_str()));
    let words = words.chain(GapKind::ALL.iter().map(|word| word.as_str()));
    for word in words {
        assert!(docs.contains(&format!("`{word}`")), "`{word}` is not in docs/explain.md");
    }
}

#[test]
fn every_rule_is_in_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
    let docs = std::fs::read_to_string(path).expect("docs/findings.md");
    for rule in every_rule() {
        let line = docs.lines().find(|line| line.starts_with(&format!("| `{}` |", rule.name)));
        let line = line.unwrap_or_else(|| panic!("`{}` is not in docs/findings.md", rule.name));
        for word in rule.controls.iter().chain([&rule.means, &rule.remedy]) {
            assert!(line.contains(word), "{word} is not in: {line}");
        }
    }
    let long = Thresholds::default();
    for said in [
        format!("{} days", long.standing_days),
        format!("{} days", long.static_key_days),
        format!("{} hours", long.token_hours),
        format!("{} days", long.dormant_days),
        format!("{} times", long.storm_tries),
    ] {
        assert!(docs.contains(&said), "docs/findings.md does not say {said}");
    }
    let listed = docs.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(listed, every_rule().count(), "docs/findings.md lists rules that are not there");
}

#[test]
fn the_example_is_real() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
    let docs = std::fs::read_to_string(path).expect("docs/explain.md");
    for name in ["explain-authorised", "explain-token"] {
        let path = format!("{}/tests/expected/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let example = std::fs::read_to_string(path).expect("expected");
        assert!(docs.contains(&format!("```text\n{example}```")), "{name} is not what is printed");
    }
}
