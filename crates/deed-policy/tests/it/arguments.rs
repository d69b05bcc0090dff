//! Arguments are any JSON; policies see those they mention, exactly or not at all.

use deed_policy::{Decided, PolicySet, Request, Target};
use deed_record::Ruling;
use proptest::prelude::*;

use crate::support::{ALL, raw, request, set, with_arguments, with_schema};

/// Permits when this holds.
fn when(condition: &str) -> PolicySet {
    set(&format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};"))
}

#[track_caller]
fn decided(condition: &str, arguments: &str, effect: Ruling) {
    let decided = with_arguments(&when(condition), arguments);
    assert_eq!(decided.errors, [] as [&str; 0], "{condition} {arguments}");
    assert_eq!(decided.effect, effect, "{condition} {arguments}");
}

#[track_caller]
fn refused(set: &PolicySet, arguments: &str, error: &str) {
    let decided = with_arguments(set, arguments);
    assert_eq!(decided.effect, Ruling::Deny, "{arguments}");
    assert_eq!(decided.errors, [error], "{arguments}");
    assert_eq!(decided.reason, format!("denied because {error}"));
}

#[test]
fn types_follow_from_use() {
    use Ruling::{Allow, Deny};
    for (condition, arguments, effect) in [
        ("context.arguments has a && context.arguments.a > 100", "{\"a\":101}", Allow),
        ("context.arguments has a && context.arguments.a > 100", "{\"a\":100}", Deny),
        ("context.arguments has a && context.arguments.a > 100", "{}", Deny),
        ("context.arguments has a && context.arguments.a > 100", "{\"a\":null}", Deny),
        ("context.arguments has a && context.arguments.a + 1 == 0", "{\"a\":-1}", Allow),
        ("context.arguments has a && context.arguments.a == \"é\\n\"", "{\"a\":\"\\u00e9\\n\"}", Allow),
        ("context.arguments has a && context.arguments.a like \"/etc/*\"", "{\"a\":\"/etc/passwd\"}", Allow),
        ("context.arguments has a && context.arguments.a", "{\"a\":true}", Allow),
        ("context.arguments has a && !context.arguments.a", "{\"a\":false}", Allow),
        ("context.arguments has a && context.arguments.a == false", "{\"a\":false}", Allow),
        ("context.arguments has a && context.arguments.a.contains(\"x\")", "{\"a\":[\"y\",\"x\"]}", Allow),
        ("context.arguments has a && context.arguments.a.containsAny([1, 2])", "{\"a\":[3,2]}", Allow),
        ("context.arguments has a && [\"x\", \"y\"].contains(context.arguments.a)", "{\"a\":\"y\"}", Allow),
        ("context.arguments has a && [\"x\", \"y\"].containsAll(context.arguments.a)", "{\"a\":[]}", Allow),
        (
            "context.arguments has a && context.arguments.a.containsAny(resource.restricted_fields)",
            "{\"a\":[\"f\"]}",
            Deny,
        ),
        (
            "context.arguments has a && context.arguments.a.lessThan(decimal(\"12.5\"))",
            "{\"a\":12.4999}",
            Allow,
        ),
        ("context.arguments has a && context.arguments.a == decimal(\"12.5\")", "{\"a\":12.50}", Allow),
        ("context.arguments has a && context.arguments.a.greaterThan(decimal(\"-1.0\"))", "{\"a\":5}", Allow),
        (
            "context.arguments has a && context.arguments.a < datetime(\"2026-01-01\")",
            "{\"a\":\"2025-12-31\"}",
            Allow,
        ),
        (
            "context.arguments has a && context.arguments.a > context.time",
            "{\"a\":\"2026-11-20T12:00:00+01:00\"}",
            Allow,
        ),
        (
            "context.arguments has a && context.arguments.a.isInRange(ip(\"10.0.0.0/8\"))",
            "{\"a\":\"10.1.2.3\"}",
            Allow,
        ),
        ("context.arguments has a.b.c && context.arguments.a.b.c == 1", "{\"a\":{\"b\":{\"c\":1}}}", Allow),
        (
            "context.arguments has a && context.arguments.a has b && context.arguments.a.b == 1",
            "{\"a\":{\"b\":1}}",
            Allow,
        ),
        ("context.arguments has a.b && context.arguments.a.b == 1", "{\"a\":null}", Deny),
        ("context has arguments.a && context.arguments.a == 1", "{\"a\":1}", Allow),
        (
            "context.arguments has \"odd name\" && context.arguments[\"odd name\"] == 1",
            "{\"odd name\":1}",
            Allow,
        ),
        // Only whether it is there: any value is.
        ("context.arguments has a", "{\"a\":[{\"x\":1.5}]}", Allow),
        ("context.arguments has a", "{\"a\":null}", Deny),
        // Known from elsewhere.
        ("context.arguments has a && context.arguments.a == context.tenant", "{\"a\":\"default\"}", Allow),
        (
            "context.arguments has a && context.arguments.a == principal.name",
            "{\"a\":\"release-bot\"}",
            Allow,
        ),
        (
            "context.arguments has a && context.arguments has b && context.arguments.a == context.arguments.b && \
             context.arguments.b == \"x\"",
            "{\"a\":\"x\",\"b\":\"x\"}",
            Allow,
        ),
        ("context.arguments has a && (if context.arguments.a then true else false)", "{\"a\":true}", Allow),
        (
            "context.arguments has a && context.arguments.a == (if context.chain_depth > 0 then 1 else 2)",
            "{\"a\":2}",
            Allow,
        ),
    ] {
        decided(condition, arguments, effect);
    }
}

#[test]
fn what_has_no_such_shape_is_denied() {
    let long = "a whole number of 64 bits";
    let decimal = "a number with up to four decimal places";
    for (condition, arguments, what) in [
        ("context.arguments.a > 1", "{\"a\":\"5\"}", long),
        ("context.arguments.a > 1", "{\"a\":5.0}", long),
        ("context.arguments.a > 1", "{\"a\":5e3}", long),
        ("context.arguments.a > 1", "{\"a\":9223372036854775808}", long),
        ("context.arguments.a > 1", "{\"a\":1e400}", long),
        ("context.arguments.a > 1", "{\"a\":{}}", long),
        ("context.arguments.a > 1", "{\"a\":true}", long),
        ("context.arguments.a like \"x*\"", "{\"a\":5}", "a text"),
        ("context.arguments.a like \"x*\"", "{\"a\":[\"x\"]}", "a text"),
        ("context.arguments.a like \"x*\"", "{\"a\":\"\\ud800\"}", "a text"),
        ("context.arguments.a", "{\"a\":\"true\"}", "`true` or `false`"),
        ("context.arguments.a.contains(\"x\")", "{\"a\":\"x\"}", "a list"),
        ("context.arguments.a.contains(\"x\")", "{\"a\":[\"x\",1]}", "a list"),
        ("context.arguments.a.contains(\"x\")", "{\"a\":[\"x\",null]}", "a list"),
        ("context.arguments.a.lessThan(decimal(\"1.0\"))", "{\"a\":0.00001}", decimal),
        ("context.arguments.a.lessThan(decimal(\"1.0\"))", "{\"a\":922337203685477.5808}", decimal),
        ("context.arguments.a.lessThan(decimal(\"1.0\"))", "{\"a\":1e2}", decimal),
        ("context.arguments.a.lessThan(decimal(\"1.0\"))", "{\"a\":\"1.0\"}", decimal),
        ("context.arguments.a < datetime(\"2026-01-01\")", "{\"a\":\"tomorrow\"}", "a time"),
        ("context.arguments.a < datetime(\"2026-01-01\")", "{\"a\":\"2026-02-30\"}", "a time"),
        ("context.arguments.a.isIpv4()", "{\"a\":\"10.0.0.256\"}", "an IP address or range"),
        ("context.arguments.a.isIpv4()", "{\"a\":\"10.0.0.0/33\"}", "an IP address or range"),
        ("context.arguments.a has b", "{\"a\":5}", "an object"),
    ] {
        let set = when(&format!("context.arguments has a && {condition}"));
        refused(&set, arguments, &format!("`arguments.a` is not {what}, as a policy takes it"));
    }
}

#[test]
fn hostile_arguments_are_denied_where_a_policy_looks() {
    let set = when("context.arguments has a.b && context.arguments.a.b > 1");
    refused(&set, "{\"a\":{\"b\":2},\"a\":{\"b\":0}}", "`arguments.a` is there twice");
    refused(&set, "{\"a\":{\"b\":2,\"\\u0062\":0}}", "`arguments.a.b` is there twice");
    refused(&set, "{\"a\":{\"b\":2},\"a\":null}", "`arguments.a` is there twice");
    refused(&set, "[1,2]", "`arguments` is not an object, as a policy takes it");
    refused(&set, "\"a\"", "`arguments` is not an object, as a policy takes it");
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    refused(
        &set,
        &format!("{{\"a\":{{\"b\":{deep}}}}}"),
        "`arguments.a.b` is not a whole number of 64 bits, as a policy takes it",
    );
    // Where none looks, it is not Deed's to judge.
    for arguments in [
        format!("{{\"a\":{{\"b\":2,\"c\":1,\"c\":2}},\"x\":1,\"x\":2,\"deep\":{deep}}}"),
        "{\"a\":{\"b\":2},\"big\":1e999,\"half\":\"\\ud800\"}".to_owned(),
    ] {
        assert_eq!(with_arguments(&set, &arguments).effect, Ruling::Allow, "{arguments:.80}");
    }
    assert_eq!(with_arguments(&set, "null").effect, Ruling::Deny);
    assert_eq!(with_arguments(&set, "null").errors, [] as [&str; 0]);
}

#[test]
fn another_letter_case_is_denied_where_a_policy_looks() {
    let set = set(&format!(
        "{ALL}@id(\"x\") forbid (principal, action, resource) when {{ \
         (context.arguments has amount && context.arguments.amount > 100) || \
         (context.arguments has to.kind && context.arguments.to.kind == \"gift\") || \
         context.arguments has \"Straße\" }};"
    ));
    let amount = "`arguments.amount` is there in another letter case than a policy has it";
    for arguments in [
        "{\"Amount\":500}",
        "{\"AMOUNT\":5}",
        "{\"amount\":5,\"Amount\":500}",
        "{\"Amount\":500,\"amount\":5}",
        "{\"amount\":5,\"Amount\":500,\"amount\":5}",
        "{\"\\u0041mount\":500}",
        "{\"Amount\":null}",
    ] {
        refused(&set, arguments, amount);
    }
    let kind = "`arguments.to.kind` is there in another letter case than a policy has it";
    // The Kelvin sign is a K.
    for arguments in ["{\"to\":{\"Kind\":1}}", "{\"to\":{\"\u{212a}ind\":\"gift\"}}"] {
        refused(&set, arguments, kind);
    }
    let street = "`arguments.Straße` is there in another letter case than a policy has it";
    refused(&set, "{\"STRASSE\":1}", street);
    refused(
        &set,
        "{\"TO\":{\"kind\":\"gift\"}}",
        "`arguments.to` is there in another letter case than a policy has it",
    );
    // Where none looks, it is data.
    for arguments in ["{\"to\":{\"Amount\":500,\"amount\":1}}", "{\"Kind\":1,\"amounts\":2}"] {
        assert_eq!(with_arguments(&set, arguments).effect, Ruling::Allow, "{arguments}");
    }
    // A policy that has both sees both.
    let both = when("context.arguments has a && context.arguments.a == 1 || context.arguments has A");
    assert_eq!(with_arguments(&both, "{\"A\":1}").effect, Ruling::Allow);
    let decided = with_arguments(&set, "{\"Amount\":500}");
    assert_eq!(set.replay(&decided.seen).unwrap(), decided);
}

#[test]
fn only_policies_that_may_apply_look() {
    // One tool's `path` is a text, another's a number, and a third has none.
    let set = set(&format!(
        "{ALL}@id(\"text\") forbid (principal, action, resource == Deed::Tool::\"files/write\") \
         when {{ context.arguments has path && context.arguments.path like \"/etc/*\" }};\n\
         @id(\"number\") forbid (principal, action, resource == Deed::Tool::\"maps/route\") \
         when {{ context.arguments has path && context.arguments.path > 7 }};"
    ));
    let decide = |server, name, json| {
        let mut request = request();
        request.resource = deed_policy::Target::tool(server, name);
        request.context.arguments = Some(raw(json));
        set.decide(&request)
    };
    assert_eq!(decide("files", "write", "{\"path\":\"/etc/x\"}").policies, ["text"]);
    assert_eq!(decide("files", "write", "{\"path\":\"/tmp/x\"}").effect, Ruling::Allow);
    assert_eq!(decide("maps", "route", "{\"path\":8}").policies, ["number"]);
    assert_eq!(decide("maps", "route", "{\"path\":\"x\"}").errors.len(), 1);
    assert_eq!(decide("other", "tool", "{\"path\":[],\"path\":1}").effect, Ruling::Allow);
}

#[test]
fn policies_that_disagree_about_an_argument_deny_where_it_is_sent() {
    let set = set(&format!(
        "{ALL}@id(\"a\") forbid (principal, action, resource) when {{ context.arguments has p && context.arguments.p > 7 }};\n\
         @id(\"b\") forbid (principal is Deed::Agent, action, resource) \
         when {{ context.arguments has p && context.arguments.p like \"x\" }};"
    ));
    assert_eq!(with_arguments(&set, "{\"q\":1}").effect, Ruling::Allow);
    refused(&set, "{\"p\":1}", "policies that apply together take `arguments.p` for different things");
}

#[test]
fn what_an_author_declares_wins() {
    let text = "@id(\"x\") permit (principal, action, resource) when { context.arguments has amount };";
    let schema = "namespace Deed { type Arguments = { amount?: decimal, to?: { city?: String, codes?: Set<Long> } }; }";
    let set = with_schema(text, schema).unwrap();
    assert_eq!(with_arguments(&set, "{\"amount\":1.25}").effect, Ruling::Allow);
    refused(
        &set,
        "{\"amount\":\"1.25\"}",
        "`arguments.amount` is not a number with up to four decimal places, as a policy takes it",
    );
    let text = "@id(\"x\") permit (principal, action, resource) when \
                { context.arguments has to && context.arguments.to == {\"city\": \"Bern\"} };";
    let nested = with_schema(text, schema).unwrap_err();
    assert!(nested.to_string().contains("(both operands to a `==` expression must have"), "{nested}");
    let text = "@id(\"x\") permit (principal, action, resource) when \
                { context.arguments has to.codes && context.arguments.to.codes.contains(5) };";
    let set = with_schema(text, schema).unwrap();
    assert_eq!(with_arguments(&set, "{\"to\":{\"city\":7,\"codes\":[5]}}").effect, Ruling::Allow);
}

#[test]
fn no_value_is_in_an_error() {
    let secret = "hunter2-hunter2";
    let set = when("context.arguments has a && context.arguments.a > 1");
    for arguments in [
        format!("{{\"a\":\"{secret}\"}}"),
        format!("{{\"a\":{{\"{secret}\":1}}}}"),
        format!("{{\"a\":1,\"a\":\"{secret}\"}}"),
        format!("\"{secret}\""),
    ] {
        let Decided { errors, reason, seen, .. } = with_arguments(&set, &arguments);
        assert!(!errors.is_empty());
        assert!(!format!("{errors:?}{reason}{seen}").contains(secret), "{arguments}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u128>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?",
        "\"([a-c]|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00){0,4}\"",
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[abc]", inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    })
}

proptest! {
    /// Whatever is sent, the decision is made, says why, and is made again from what it saw.
    #[test]
    fn any_arguments_are_decided_on(arguments in json()) {
        thread_local! {
            static SET: PolicySet = when(
                "(context.arguments has a && context.arguments.a > 1) || \
                 (context.arguments has b.c && context.arguments.b.c.contains(\"x\")) || \
                 (context.arguments has c && context.arguments.c.lessThan(decimal(\"7.25\")))",
            );
        }
        SET.with(|set| {
            let decided = with_arguments(set, &arguments);
            prop_assert_eq!(decided.errors.is_empty() || decided.effect == Ruling::Deny, true);
            prop_assert_eq!(&set.replay(&decided.seen).unwrap(), &decided);
            Ok(())
        })?;
    }
}

#[test]
fn what_some_arguments_may_allow_is_decided_by_what_looks_at_none() {
    let permit = |tool: &str, when: &str| {
        format!(
            "@id(\"{tool}\") permit (principal, action, resource == Deed::Tool::\"files/{tool}\") {when};\n"
        )
    };
    let policies = set(&[
        permit("write", ""),
        permit("pay", "when { context.arguments has amount && context.arguments.amount < 5 }"),
        permit("other", "when { context.tenant == \"other\" }"),
        "// context.arguments\n".to_owned(),
        "@id(\"big\") forbid (principal, action, resource) when { context.arguments has big };\n".to_owned(),
        "@id(\"unnamed\") forbid (principal, action, resource) unless { context.arguments has name };\n"
            .to_owned(),
        "@id(\"ask\") @effect(\"step_up\") forbid (principal, action, resource == Deed::Tool::\"files/write\");\n"
            .to_owned(),
        permit("wipe", "when { context.arguments has path }"),
        "@id(\"no-wipe\") forbid (principal, action, resource == Deed::Tool::\"files/wipe\");".to_owned(),
    ]
    .concat());
    let may_allow =
        |tool: &str| policies.may_allow(&Request { resource: Target::tool("files", tool), ..request() });
    let shown = ["write", "pay", "other", "wipe", "nobody-names"].map(may_allow);
    assert_eq!(shown, [true, true, false, false, false]);
}
