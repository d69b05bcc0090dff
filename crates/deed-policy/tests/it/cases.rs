//! Cases beside the policies, for `deed policy test`.

use std::{fs, path::Path};

use deed_policy::{Case, PolicySet, cases};
use deed_record::Ruling;

use crate::support::{ALL, set};

fn policies() -> PolicySet {
    set("@id(\"all\") @mask(\"result.phone\") permit (principal, action, resource);\n\
         @id(\"no-deletes\") forbid (principal, action, resource == Deed::Tool::\"files/delete\");\n\
         @id(\"prod\") @effect(\"step_up\") forbid (principal, action, resource) \
         when { context has environment && context.environment == \"prod\" };\n\
         @id(\"limit\") forbid (principal, action, resource) \
         when { context.arguments has n && context.arguments.n > 5 };\n\
         @id(\"vendor\") forbid (principal, action, resource) \
         when { principal has vendor && context.classification == \"restricted\" };")
}

fn run(case: &str) -> (bool, Ruling, String) {
    let result =
        Case::read("cases/a.json", case).unwrap_or_else(|error| panic!("{error}"))[0].run(&policies());
    (result.passed, result.effect, result.reason)
}

fn case(request: &str, expect: &str) -> String {
    format!("{{\"request\":{{\"principal\":\"agent:bot\",\"action\":\"tools/call\",{request}}},{expect}}}")
}

#[test]
fn a_case_passes_or_says_why_not() {
    let delete = "\"resource\":{\"tool\":\"files/delete\"}";
    let write = "\"resource\":{\"tool\":\"files/write\"}";
    let number = |n: &str| format!("{write},\"context\":{{\"arguments\":{{\"n\":{n}}}}}");
    for (text, passed, says) in [
        (case(delete, "\"expect\":\"deny\""), true, "policy `no-deletes` forbids it"),
        (case(delete, "\"expect\":\"deny\",\"policies\":[\"no-deletes\"]"), true, ""),
        (case(delete, "\"expect\":\"allow\""), false, "expected allow, decided deny: policy `no-deletes` forbids it"),
        (case(delete, "\"expect\":\"deny\",\"policies\":[\"x\"]"), false, "expected policies [x], found [no-deletes]"),
        (case(write, "\"expect\":\"allow\",\"mask\":[\"result.phone\"]"), true, ""),
        (case(write, "\"expect\":\"allow\",\"mask\":[]"), false, "expected mask [], found [result.phone]"),
        (case(&format!("{write},\"context\":{{\"environment\":\"prod\"}}"), "\"expect\":\"step_up\""), true, ""),
        (case(&number("6"), "\"expect\":\"deny\""), true, ""),
        // A deny that comes of an error is not the one that was meant.
        (case(&number("\"6\""), "\"expect\":\"deny\""), false, "expected no error, there is one"),
        (case(&number("\"6\""), "\"expect\":\"deny\",\"errors\":true"), true, ""),
        (case(&number("6"), "\"expect\":\"deny\",\"errors\":true"), false, "expected an error, there is none"),
        (
            "{\"request\":{\"principal\":{\"id\":\"third_party:p\",\"vendor\":\"Initech\"},\"action\":\"resources/read\",\
             \"resource\":{\"uri\":\"db:/x\",\"type\":\"table\",\"classification\":\"restricted\"}},\"expect\":\"deny\"}"
                .to_owned(),
            true,
            "policy `vendor` forbids it",
        ),
    ] {
        let (found, _, reason) = run(&text);
        assert_eq!(found, passed, "{text}: {reason}");
        assert!(reason.contains(says), "{text}: {reason}");
    }
}

#[test]
fn everything_can_be_set() {
    let text = "{\"name\":\"whole\",\"request\":{\"principal\":{\"id\":\"agent:bot\",\"owner\":\"o\",\"sponsor\":\"s\",\
        \"vendor\":\"v\",\"environments\":[\"prod\"]},\"action\":\"x\",\"resource\":{\"tool\":\"a/b/c\",\"version\":\"1\",\
        \"restricted_fields\":[\"f\"]},\"context\":{\"initiator\":\"human:ann\",\"chain_depth\":1,\
        \"arguments\":{},\"classification\":\"internal\",\"environment\":\"test\",\"tenant\":\"t\",\
        \"time\":\"2026-11-20T10:00:00Z\",\"task\":\"k\",\"credential\":{\"scopes\":[\"s\"],\
        \"expires\":\"2026-11-20T10:00:00Z\",\"age_seconds\":1,\"delegated\":true},\
        \"approval\":{\"by\":\"human:bob\",\"time\":\"2026-11-20T10:00:00Z\"}}},\"expect\":\"allow\"}";
    let cases = Case::read("a.json", text).unwrap();
    let condition = "principal.environments == [\"prod\"] && resource is Deed::Tool && resource.name == \"b/c\" \
        && resource.restricted_fields == [\"f\"] && resource.classification == \"internal\" \
        && context.classification == \"internal\" && context has initiator && context.initiator.name == \"ann\" \
        && context.clock.hour == 10 && context has approval && context.approval.by.name == \"bob\" \
        && context has credential.age_seconds && context.credential.age_seconds == 1 && context.tenant == \"t\"";
    let result = cases[0]
        .run(&set(&format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};")));
    assert!(result.passed, "{result:?}");
    assert_eq!(result.name, "whole");
    // Without a time, it is always the same one.
    let text = case("\"resource\":{\"uri\":\"x:y\"}", "\"expect\":\"allow\"");
    let thursday = "context.clock.weekday == \"thursday\" && context.clock.hour == 12";
    let policies = set(&format!("@id(\"x\") permit (principal, action, resource) when {{ {thursday} }};"));
    assert!(Case::read("a.json", &text).unwrap()[0].run(&policies).passed);
}

#[test]
fn what_is_no_case_is_refused_with_its_place() {
    for (text, place, says) in [
        ("{\n \"requests\": {} }", "cases/a.json:2:", "unknown field `requests`"),
        ("{\"request\":\n{\"principle\": 1}}", "cases/a.json:2:", "unknown field `principle`"),
        ("{", "cases/a.json:1:1", "EOF"),
        (&case("\"resource\":{\"tool\":\"x\"}", "\"expect\":\"deny\""), "cases/a.json:1:", "server/name"),
        (&case("\"resource\":{}", "\"expect\":\"deny\""), "cases/a.json:1:", "expected `tool`"),
        (
            &case("\"resource\":{\"uri\":\"x\",\"tool\":\"a/b\"}", "\"expect\":\"deny\""),
            "cases/a.json:1:",
            "expected `tool`",
        ),
        (&case("\"resource\":{\"uri\":\"x\"}", "\"expect\":\"perhaps\""), "cases/a.json:1:", "perhaps"),
        (
            &case("\"resource\":{\"uri\":\"x\"}", "\"expect\":\"deny\",\"expect\":\"deny\""),
            "cases/a.json:1:",
            "duplicate",
        ),
        (
            &case("\"resource\":{\"uri\":\"x\"}", "\"expect\":\"deny\"").replace("agent:bot", "robot:x"),
            "cases/a.json:1:",
            "robot",
        ),
        (
            &case("\"resource\":{\"uri\":\"x\"}", "\"expect\":\"deny\"").replace("agent:bot", "bot"),
            "cases/a.json:1:",
            "agent:release-bot",
        ),
    ] {
        let problem = Case::read("cases/a.json", text).unwrap_err();
        assert!(
            problem.to_string().starts_with(place) && problem.message.contains(says),
            "{text}: {problem}"
        );
    }
}

#[test]
fn cases_are_read_from_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(cases(dir.path()).unwrap().len(), 0);
    fs::write(dir.path().join("a.cedar"), ALL).unwrap();
    let folder = dir.path().join("cases");
    fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(Path::new(&folder).join(name), text).unwrap();
    let one = case("\"resource\":{\"uri\":\"x\"}", "\"expect\":\"allow\"");
    write("b.json", &one);
    write("a.json", &format!("[{one},{one}]"));
    write("README", "no case");
    let found = cases(dir.path()).unwrap();
    let names: Vec<&str> = found.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["cases/a.json#1", "cases/a.json#2", "cases/b.json"]);
    let policies = PolicySet::load(dir.path()).unwrap();
    assert!(found.iter().all(|case| case.run(&policies).passed));
    write("c.json", "{}");
    write("d.json", "[]x");
    let error = cases(dir.path()).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}
