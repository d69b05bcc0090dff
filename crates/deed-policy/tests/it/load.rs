//! Everything that can be wrong with a policy folder is found when it is loaded, with its place.

use std::{collections::BTreeMap, fs};

use deed_policy::{PolicySet, schema};

use crate::support::{ALL, set, try_set, with_schema};

/// The first problem as `line:column [policy] message (help)`.
fn problem(text: &str) -> String {
    let error = match try_set(text) {
        Ok(_) => panic!("it loads: {text}"),
        Err(error) => error,
    };
    let first = &error.problems[0];
    assert_eq!(first.file, "a.cedar");
    let policy = first.policy.as_deref().unwrap_or("-");
    let help = first.help.as_deref().unwrap_or("-");
    format!("{}:{} [{policy}] {} ({help})", first.line, first.column, first.message)
}

#[track_caller]
fn refused(text: &str, starts: &str, says: &str) {
    let found = problem(text);
    assert!(
        found.starts_with(starts) && found.contains(says),
        "{text}\nexpected {starts} … {says}\nfound    {found}"
    );
}

#[test]
fn problems_have_a_place() {
    refused("@id(\"a\")\npermit (principal, action resource);", "2:27 [-]", "unexpected token");
    refused("\n  permit (principal, action, resource);", "2:3 [-]", "no `@id`");
    refused("@id(\"a b\") permit (principal, action, resource);", "1:1 [-]", "found `a b`");
    refused(&format!("{ALL}\n{ALL}"), "3:1 [all]", "the id `all` is taken by the policy at a.cedar:1:1");
    refused("@id(\"t\") permit (principal == ?principal, action, resource);", "1:1 [t]", "templates");
    refused(
        "@id(\"x\")\npermit (principal is Deed::Robot, action, resource);",
        "2:22 [x]",
        "unrecognized entity type `Deed::Robot`",
    );
    refused(
        "@id(\"x\") permit (principal, action == Deed::Action::\"tools/cal\", resource);",
        "1:39 [x]",
        "unrecognized action `Deed::Action::\"tools/cal\"` (did you mean",
    );
    refused(
        "@id(\"x\") permit (principal, action, resource)\nwhen { context.colour == \"red\" };",
        "2:8 [x]",
        "attribute `colour`",
    );
    refused(
        "@id(\"x\") permit (principal, action, resource)\nwhen { principal.vendor == \"Initech\" };",
        "2:8 [x]",
        "`vendor`",
    );
    refused(
        "@id(\"x\") permit (principal, action, resource)\nwhen { context.arguments.amount > 100 };",
        "2:8 [x]",
        "try testing for the attribute's presence with `context.arguments has amount && ..`",
    );
    refused(
        "@id(\"x\") permit (principal, action, resource)\nwhen { context.tenant == 5 };",
        "2:8 [x]",
        "String",
    );
    refused("@id(\"x\") permit (principal, action, resource) when { false };", "1:1 [x]", "impossible");
    refused(
        "@id(\"x\") permit (principal, action == Deed::Action::\"run\", resource is Deed::Tool);",
        "1:",
        "",
    );
    // Cedar says it once for each action; one place is one problem.
    let twice = "@id(\"x\") permit (principal, action, resource) when { principal.vendor == \"a\" };";
    assert_eq!(try_set(twice).unwrap_err().problems.len(), 1);
    // All at once, sorted.
    let error = try_set(
        "permit (principal, action, resource);\n@id(\"b\") @x permit (principal, action, resource);\n",
    )
    .unwrap_err();
    assert_eq!(error.problems.len(), 2);
    assert_eq!(error.problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [1, 2]);
    assert!(error.problems[0].to_string().starts_with("a.cedar:1:1: the policy has no `@id`"));
    assert!(error.to_string().contains("\na.cedar:2:10: `@x` is not an annotation of Deed"), "{error}");
}

#[test]
fn columns_count_characters() {
    let text = "@id(\"x\") permit (principal, action, resource) when { context.tenant == \"ÄÖÜ日本\" }; permit (principal, action, resource);";
    refused(text, "1:83 [-]", "no `@id`");
}

#[test]
fn annotations_are_checked() {
    let permit =
        |annotation: &str| format!("@id(\"x\")\n{annotation}\npermit (principal, action, resource);");
    let forbid =
        |annotation: &str| format!("@id(\"x\")\n{annotation}\nforbid (principal, action, resource);");
    for (text, says) in [
        (permit("@effect(\"step_up\")"), "`@effect` belongs on a `forbid`"),
        (permit("@approver(\"finance\")"), "`@approver` belongs on a `forbid`"),
        (forbid("@mask(\"result.a\")"), "`@mask` belongs on a `permit`"),
        (forbid("@capture(\"full\")"), "`@capture` belongs on a `permit`"),
        (forbid("@effect(\"stepup\")"), "expected `@effect(\"step_up\")`, found `stepup`"),
        (forbid("@approver(\"finance\")"), "`@approver` without `@effect"),
        (forbid("@approver(\"a b\") @effect(\"step_up\")"), "one group, found `a b`"),
        (permit("@mask(\"arguments.a\")"), "expected a path such as"),
        (permit("@mask(\"result..a\")"), "found `result..a`"),
        (permit("@mask(\"\")"), "found ``"),
        (permit("@capture(\"some\")"), "expected `full` or `summary`, found `some`"),
        (permit("@tier(\"medium\")"), "expected `@tier(\"low\")`, found `medium`"),
        (permit("@tier"), "expected `@tier(\"low\")`, found ``"),
        (forbid("@tier(\"low\")"), "`@tier` belongs on a `permit`"),
        (permit("@tier(\"low\") @mask(\"result.a\")"), "`@tier(\"low\")` beside `@mask`"),
        (permit("@note(\"hello\")"), "`@note` is not an annotation of Deed"),
        (permit("@effect"), "belongs on a `forbid`"),
    ] {
        refused(&text, "2:1 [x]", says);
    }
    set(&permit("@mask(\"result.a, result.b.*\") @capture(\"summary\")"));
    set(&permit("@tier(\"low\") @capture(\"summary\")"));
    set(&format!("{ALL}{}", forbid("@effect(\"step_up\") @approver(\"self\")")));
}

#[test]
fn types_that_use_does_not_show() {
    let when = |body: &str| format!("@id(\"x\")\npermit (principal, action, resource) when {{ {body} }};");
    for (body, says) in [
        (
            "context.arguments has a && context.arguments has b && context.arguments.a == context.arguments.b",
            "the type of `context.arguments.a` does not follow from its use",
        ),
        (
            "context.arguments has a && context.arguments.a > 1 && context.arguments.a like \"x*\"",
            "`context.arguments.a` is used as a whole number of 64 bits and as a text",
        ),
        (
            "context.arguments has a && context.arguments.a > 1 && context.arguments.a has b",
            "is used as a whole number of 64 bits and as an object",
        ),
        ("[context.arguments].isEmpty()", "`context.arguments` as a whole"),
    ] {
        refused(&when(body), "1:1 [x]", says);
    }
    assert!(problem(&when("[context.arguments].isEmpty()")).contains("declare it in `schema.cedarschema`"));
}

#[test]
fn the_schema_of_an_author_adds_actions_and_arguments() {
    let policy = "@id(\"x\") permit (principal, action == Deed::Action::\"refund\", resource)\n\
                  when { context.arguments has a && context.arguments.a.contains(\"x\") && context has environment };";
    let action =
        "action \"refund\" appliesTo { principal: [Agent], resource: [Resource], context: Context };";
    with_schema(policy, &format!("namespace Deed {{ {action} }}")).unwrap();
    with_schema(policy, &format!("namespace Deed {{ type Arguments = {{ a?: Set<String> }}; {action} }}"))
        .unwrap();
    for (schema, line, says) in [
        (
            "namespace Deed {\n action \"refund\" appliesTo { principal: [Agent], resource: [Resource] }; }",
            2,
            "context: Context",
        ),
        ("namespace Deed {\n type Arguments = { a: String }; }", 2, "write `a?`"),
        ("namespace Deed {\n type Arguments = { a?: Agent }; }", 2, "`Agent` is no type of an argument"),
        ("namespace Deed {\n entity Human; }", 2, "Human"),
        ("namespace Deed {\n type }", 2, "unexpected token"),
    ] {
        let error = with_schema(policy, schema).unwrap_err();
        let first = &error.problems[0];
        assert_eq!(first.file, "schema.cedarschema");
        assert!(first.message.contains(says), "{schema}: {error}");
        assert_eq!(first.line, line, "{schema}: {error}");
    }
    // What is declared wins over use.
    let schema = format!("namespace Deed {{ type Arguments = {{ a?: Long }}; {action} }}");
    let error = with_schema(policy, &schema).unwrap_err();
    assert!(error.problems[0].message.contains("Long"), "{error}");
}

#[test]
fn the_built_in_schema_is_one() {
    let (_, warnings) = cedar_policy::Schema::from_cedarschema_str(schema()).unwrap();
    assert_eq!(warnings.count(), 0);
    assert!(schema().contains("type Arguments = {};"));
}

#[test]
fn a_folder_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let error = PolicySet::load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("no policy"), "{error}");
    assert!(PolicySet::load(&path("none")).unwrap_err().to_string().contains("failed to read the folder"));
    fs::write(path("b.cedar"), ALL).unwrap();
    fs::write(
        path("a.cedar"),
        "@id(\"a\") forbid (principal, action, resource) when { context.chain_depth > 3 };",
    )
    .unwrap();
    fs::write(path("README.md"), "not read").unwrap();
    fs::create_dir(path("cases")).unwrap();
    let set = PolicySet::load(dir.path()).unwrap();
    assert_eq!(set.files().keys().collect::<Vec<_>>(), ["a.cedar", "b.cedar"]);
    assert_eq!(set.policies(), ["a", "all"]);
    assert!(!set.is_starter());
    assert_eq!(PolicySet::of_files(set.files().clone()).unwrap().digest(), set.digest());
    fs::write(path("c.cedar"), [0xff]).unwrap();
    fs::write(path("d.cedar"), vec![b' '; (1 << 20) + 1]).unwrap();
    let error = PolicySet::load(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("c.cedar:1:1: byte 0 is not UTF-8") && error.contains("d.cedar:1:1: it has 1048577"),
        "{error}"
    );
    let files = BTreeMap::from([("x.txt".to_owned(), String::new())]);
    assert!(
        PolicySet::of_files(files).unwrap_err().to_string().contains("x.txt:1:1: not a file of a policy set")
    );
}

#[test]
fn the_digest_is_of_names_and_texts() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        PolicySet::of_files(files).unwrap().digest().to_owned()
    };
    let one = of(&[("a.cedar", ALL)]);
    assert_eq!(one, of(&[("a.cedar", ALL)]));
    assert!(one.starts_with("sha256:") && one.len() == 71);
    assert_ne!(one, of(&[("b.cedar", ALL)]));
    assert_ne!(one, of(&[("a.cedar", &format!("{ALL}\n"))]));
    assert_ne!(one, of(&[("a.cedar", ALL), ("b.cedar", "")]));
    assert_ne!(one, of(&[("a.cedar", ALL), ("schema.cedarschema", "")]));
    assert_ne!(one, PolicySet::starter().digest());
}
