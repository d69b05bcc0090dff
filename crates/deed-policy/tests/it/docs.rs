//! What `docs/policy.md` and `docs/run.md` show is loaded, and its cases are run.

use std::collections::BTreeMap;

use deed_policy::{Case, PolicySet, schema};

fn docs() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md");
    std::fs::read_to_string(path).expect("docs/policy.md")
}

/// The blocks of a language, joined.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    section
        .split(&open)
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_policy_is_loaded_and_every_case_passes() {
    let docs = docs();
    let (mut policies, mut cases) = (0, 0);
    for section in docs.split("\n### ").skip(1) {
        let title = section.lines().next().unwrap();
        let mut files = BTreeMap::from([("a.cedar".to_owned(), blocks(section, "cedar").concat())]);
        files.extend(
            blocks(section, "cedarschema").into_iter().map(|text| ("schema.cedarschema".to_owned(), text)),
        );
        let set = PolicySet::of_files(files).unwrap_or_else(|error| panic!("{title}: {error}"));
        policies += set.policies().len();
        for text in blocks(section, "json") {
            for case in Case::read(title, &text).unwrap_or_else(|error| panic!("{error}")) {
                let result = case.run(&set);
                assert!(result.passed, "{result:?}");
                cases += 1;
            }
        }
    }
    assert_eq!((policies, cases), (15, 12));
    assert_eq!(docs.matches("```cedar\n").count(), 8, "a policy stands outside the examples");
}

#[test]
fn commands_are_decided_on_as_their_page_says() {
    let page = include_str!("../../../../docs/run.md");
    let files = BTreeMap::from([("a.cedar".to_owned(), blocks(page, "cedar").concat())]);
    let set = PolicySet::of_files(files).unwrap_or_else(|error| panic!("{error}"));
    assert!(set.looks_at("signed-releases-of-main", &["artifact", "signature"]));
    assert!(!set.looks_at("production-needs-a-human", &["artifact", "signature"]));
    assert!(!set.looks_at("no such policy", &["artifact"]));
    let cases: Vec<Case> =
        blocks(page, "json").iter().flat_map(|text| Case::read("run.md", text).expect("cases")).collect();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let result = case.run(&set);
        assert!(result.passed, "{result:?}");
    }
}

#[test]
fn every_name_of_the_schema_is_explained() {
    let docs = docs();
    for line in schema().lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(": ").filter(|(name, _)| !name.starts_with("//")) {
            let name = name.trim_end_matches('?').trim_matches('"');
            let shown = docs.contains(&format!("`{name}`")) || docs.contains(&format!(".{name}`"));
            assert!(
                shown || ["principal", "resource", "context"].contains(&name),
                "`{name}` is not in docs/policy.md"
            );
        }
    }
    for name in ["Human", "Agent", "Workload", "ServiceAccount", "ThirdParty", "Unknown", "Tool", "Resource"]
    {
        assert!(docs.contains(&format!("`Deed::{name}")), "{name}");
    }
}
