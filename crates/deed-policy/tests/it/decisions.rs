//! What is decided, and what it says.

use std::{thread, time::Duration};

use deed_policy::{
    ApprovalFacts, Approver, Capture, CredentialFacts, Decided, ENGINE, PolicySet, Request, Target, Tier, Who,
};
use deed_record::{PrincipalType, Ruling};

use crate::support::{ALL, request, set, with_schema};

const ANN: Who<'static> = Who {
    kind: PrincipalType::Human,
    id: "ann",
    owner: None,
    sponsor: None,
    vendor: None,
    environments: Vec::new(),
};

#[track_caller]
fn is(decided: &Decided, effect: Ruling, policies: &[&str], reason: &str) {
    assert_eq!((decided.effect, decided.policies.as_slice()), (effect, &*owned(policies)), "{decided:?}");
    assert_eq!(decided.reason, reason);
    assert_eq!(decided.errors, [] as [&str; 0]);
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Whether the policy `x`, which permits when this holds, lets the request through.
fn holds(condition: &str, request: &Request<'_>) -> bool {
    let set = set(&format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};"));
    let decided = set.decide(request);
    assert_eq!(decided.errors, [] as [&str; 0], "{condition}");
    decided.effect == Ruling::Allow
}

#[test]
fn the_starter_set_allows_everything() {
    let starter = PolicySet::starter();
    assert!(starter.is_starter() && starter.clone().is_starter());
    is(
        &starter.decide(&request()),
        Ruling::Allow,
        &["starter"],
        "the built-in starter policy allows everything",
    );
    let odd = Request { action: "any/thing", resource: Target::resource("x:/y"), ..request() };
    assert_eq!(starter.decide(&odd).effect, Ruling::Allow);
    // The same text, published, is somebody's decision.
    let published = PolicySet::of_files(starter.files().clone()).unwrap();
    assert!(!published.is_starter());
    assert_eq!(published.digest(), starter.digest());
    assert_eq!(ENGINE, format!("cedar-policy/{}", cedar_policy::get_sdk_version()));
}

#[test]
fn nothing_is_allowed_by_default() {
    let set = set("@id(\"humans\") permit (principal is Deed::Human, action, resource);");
    is(&set.decide(&request()), Ruling::Deny, &[], "no policy allows it");
    let human = Request { principal: ANN, ..request() };
    is(&set.decide(&human), Ruling::Allow, &["humans"], "policy `humans` allows it");
}

#[test]
fn a_forbid_wins_and_is_named() {
    let set = set(&format!(
        "{ALL}@id(\"no-deletes\") forbid (principal, action == Deed::Action::\"tools/call\", \
         resource == Deed::Tool::\"files/delete\");\n\
         @id(\"No_2.b\") forbid (principal == Deed::Agent::\"release-bot\", action, resource) \
         when {{ resource.classification == \"restricted\" }};"
    ));
    is(&set.decide(&request()), Ruling::Allow, &["all"], "policy `all` allows it");
    let delete = Request { resource: Target::tool("files", "delete"), ..request() };
    is(&set.decide(&delete), Ruling::Deny, &["no-deletes"], "policy `no-deletes` forbids it");
    let restricted = Target::Tool {
        server: "files",
        name: "delete",
        version: None,
        classification: "restricted",
        restricted_fields: Vec::new(),
    };
    let both = Request { resource: restricted, ..request() };
    let reason = "policies `No_2.b`, `no-deletes` forbid it";
    is(&set.decide(&both), Ruling::Deny, &["No_2.b", "no-deletes"], reason);
}

#[test]
fn an_error_denies_and_is_recorded() {
    // Cedar would allow it, for it leaves out what it cannot evaluate.
    let set = set(&format!(
        "{ALL}@id(\"limit\") forbid (principal, action, resource) when {{ \
         context.arguments has amount && context.arguments.amount * 1000 > 5 }};"
    ));
    let mut request = request();
    request.context.arguments = Some(crate::support::raw("{\"amount\":9223372036854775807}"));
    let decided = set.decide(&request);
    assert_eq!(decided.effect, Ruling::Deny);
    assert_eq!(decided.policies, [] as [&str; 0]);
    let error = "policy `limit` could not be evaluated: a number becomes too large for 64 bits";
    assert_eq!(decided.errors, [error]);
    assert_eq!(decided.reason, format!("denied because {error}"));
    assert!(!decided.reason.contains("9223372036854775807"));
}

#[test]
fn an_error_in_a_permit_or_a_step_up_denies_too() {
    let broken = "when { context.chain_depth + 9223372036854775807 > 0 }";
    let mut request = request();
    request.context.chain_depth = 1;
    request.context.approval = Some(ApprovalFacts { by: ANN, time: request.context.time });
    for policy in ["permit", "@effect(\"step_up\") forbid"] {
        let set = set(&format!("{ALL}@id(\"broken\") {policy} (principal, action, resource) {broken};"));
        let decided = set.decide(&request);
        assert_eq!((decided.effect, decided.errors.len()), (Ruling::Deny, 1), "{policy}");
    }
}

#[test]
fn a_step_up_asks_for_a_human() {
    let text = format!(
        "{ALL}@id(\"prod\") @effect(\"step_up\") @approver(\"release-managers\") forbid (principal, action, resource) \
         when {{ context has environment && context.environment == \"prod\" }};\n\
         @id(\"deep\") @effect(\"step_up\") @approver(\"self\") forbid (principal, action, resource) \
         when {{ context.chain_depth > 2 }};\n\
         @id(\"other\") @effect(\"step_up\") forbid (principal, action, resource) when {{ context.chain_depth > 4 }};\n\
         @id(\"never\") forbid (principal, action, resource) when {{ context.tenant == \"closed\" }};"
    );
    let set = set(&text);
    let mut asked = request();
    is(&set.decide(&asked), Ruling::Allow, &["all"], "policy `all` allows it");
    asked.context.environment = Some("prod");
    let decided = set.decide(&asked);
    is(&decided, Ruling::StepUp, &["prod"], "policy `prod` asks for approval by `release-managers`");
    assert_eq!(decided.approvers, [Approver::Group("release-managers".to_owned())]);
    asked.context.chain_depth = 5;
    let decided = set.decide(&asked);
    let reason = "policies `deep`, `other`, `prod` ask for approval by `release-managers` and whoever asked and \
                  somebody else";
    is(&decided, Ruling::StepUp, &["deep", "other", "prod"], reason);
    assert_eq!(decided.approvers.len(), 3);
    // Somebody approved exactly this.
    asked.context.approval = Some(ApprovalFacts { by: ANN, time: asked.context.time });
    is(&set.decide(&asked), Ruling::Allow, &["all"], "policy `all` allows it, and it was approved");
    // What nobody lifts stays.
    asked.context.tenant = "closed";
    is(&set.decide(&asked), Ruling::Deny, &["never"], "policy `never` forbids it");
    asked.context.approval = None;
    let decided = set.decide(&asked);
    is(&decided, Ruling::Deny, &["deep", "never", "other", "prod"], "policy `never` forbids it");
    assert_eq!(decided.approvers, []);
}

#[test]
fn nobody_is_asked_for_what_no_policy_allows() {
    let set = set("@id(\"humans\") permit (principal is Deed::Human, action, resource);\n\
         @id(\"ask\") @effect(\"step_up\") forbid (principal, action, resource);");
    is(&set.decide(&request()), Ruling::Deny, &["ask"], "no policy allows it");
    let human = Request { principal: ANN, ..request() };
    is(&set.decide(&human), Ruling::StepUp, &["ask"], "policy `ask` asks for approval by somebody else");
}

#[test]
fn obligations_are_joined() {
    let set = set(
        "@id(\"a\") @mask(\"result.phone, result.name\") @capture(\"summary\") permit (principal, action, resource);\n\
         @id(\"b\") @mask(\"result.name,result.rows.*.tax_id\") @capture(\"full\") \
         permit (principal is Deed::Agent, action, resource);\n\
         @id(\"c\") @mask(\"result\") permit (principal is Deed::Human, action, resource);",
    );
    let decided = set.decide(&request());
    assert_eq!(decided.policies, ["a", "b"]);
    assert_eq!(decided.obligations.mask, ["result.name", "result.phone", "result.rows.*.tax_id"]);
    assert_eq!(decided.obligations.capture, Some(Capture::Full));
    let texts = ["mask:result.name", "mask:result.phone", "mask:result.rows.*.tax_id", "capture:full"];
    assert_eq!(decided.obligations.to_texts(), texts);
    let human = set.decide(&Request { principal: ANN, ..request() });
    assert_eq!(human.obligations.mask, ["result", "result.name", "result.phone"]);
    assert_eq!(human.obligations.capture, Some(Capture::Summary));
}

#[test]
fn the_tier_is_low_only_where_every_permit_says_so() {
    let low = "@id(\"look\") @tier(\"low\") permit (principal, action, resource);\n";
    let decided = set(low).decide(&request());
    assert_eq!(
        (decided.obligations.tier, decided.obligations.to_texts()),
        (Some(Tier::Low), vec!["tier:low".into()])
    );
    let other = "@id(\"other\") permit (principal is Deed::Agent, action, resource);\n";
    let both = set(&format!("{low}{other}"));
    assert_eq!(both.decide(&request()).obligations.tier, None);
    let human = Request { principal: ANN, ..request() };
    assert_eq!(both.decide(&human).obligations.tier, Some(Tier::Low), "the other permit has no part in it");
    let ask = "@id(\"ask\") @effect(\"step_up\") forbid (principal, action, resource);";
    let waits = set(&format!("{low}{ask}")).decide(&request());
    assert_eq!((waits.effect, waits.obligations.tier), (Ruling::StepUp, None));
    let denied = set(&format!("{low}@id(\"no\") forbid (principal, action, resource);")).decide(&request());
    assert_eq!((denied.effect, denied.obligations.tier), (Ruling::Deny, None));
    assert_eq!(PolicySet::starter().decide(&request()).obligations.tier, None);
}

#[test]
fn everything_of_a_request_can_be_asked_for() {
    let mut request = request();
    let who = Who {
        owner: Some("human:ann"),
        sponsor: Some("human:bob"),
        vendor: Some("Initech"),
        environments: vec!["prod", "test"],
        ..Who::new(PrincipalType::Agent, "release-bot")
    };
    request.principal = who.clone();
    request.resource = Target::Tool {
        server: "files",
        name: "write",
        version: Some("1.4.0"),
        classification: "internal",
        restricted_fields: vec!["tax_id"],
    };
    request.context.initiator = Some(ANN);
    request.context.chain_depth = 2;
    request.context.classification = "restricted";
    request.context.environment = Some("prod");
    request.context.tenant = "acme";
    request.context.task = Some("t-1");
    request.context.credential = Some(CredentialFacts {
        scopes: vec!["a", "b"],
        expires: "2026-11-20T11:00:00Z".parse().ok(),
        age_seconds: Some(60),
        delegated: true,
    });
    request.context.approval = Some(ApprovalFacts { by: ANN, time: request.context.time });
    for condition in [
        "principal == Deed::Agent::\"release-bot\"",
        "principal is Deed::Agent",
        "principal.type == \"agent\" && principal.name == \"release-bot\"",
        "principal has owner && principal.owner == \"human:ann\"",
        "principal has sponsor && principal.sponsor like \"human:*\"",
        "principal has vendor && principal.vendor == \"Initech\"",
        "principal.environments.containsAll([\"test\", \"prod\"])",
        "action == Deed::Action::\"tools/call\"",
        "resource == Deed::Tool::\"files/write\"",
        "resource is Deed::Tool && resource.server == \"files\" && resource.name == \"write\"",
        "resource is Deed::Tool && resource has version && resource.version == \"1.4.0\"",
        "resource.classification == \"internal\" && resource.restricted_fields.contains(\"tax_id\")",
        "context has initiator && context.initiator.type == \"human\" && context.initiator.name == \"ann\"",
        "context.chain_depth == 2",
        "context.classification == \"restricted\"",
        "context has environment && context.environment == \"prod\"",
        "context has environment && principal.environments.contains(context.environment)",
        "context.tenant == \"acme\"",
        "context has task && context.task == \"t-1\"",
        "context.time > datetime(\"2026-11-20T10:15:30.122Z\") && context.time < datetime(\"2026-11-20T10:15:30.124Z\")",
        "context.clock.weekday == \"friday\" && context.clock.date == \"2026-11-20\"",
        "context.clock.year == 2026 && context.clock.month == 11 && context.clock.day == 20",
        "context.clock.hour == 10 && context.clock.minute == 15 && context.clock.minute_of_day == 615",
        "context has credential && context.credential.scopes.contains(\"a\") && context.credential.delegated",
        "context has credential.expires && context.credential.expires.durationSince(context.time) < duration(\"1h\")",
        "context has credential.age_seconds && context.credential.age_seconds <= 60",
        "context has approval && context.approval.by.name == \"ann\" && context.approval.time == context.time",
    ] {
        assert!(holds(condition, &request), "{condition}");
        assert!(!holds(&format!("!({condition})"), &request), "{condition}");
    }
    let bare = crate::support::request();
    for absent in ["initiator", "environment", "task", "credential", "approval"] {
        assert!(!holds(&format!("context has {absent}"), &bare), "{absent}");
    }
    assert!(holds("context.classification == \"unclassified\" && !(principal has vendor)", &bare));
    let table = Target::Resource {
        uri: "vendor-db:/contracts/7",
        kind: Some("table"),
        classification: "restricted",
        restricted_fields: Vec::new(),
    };
    let read = Request { action: "resources/read", resource: table, ..bare };
    for condition in [
        "resource == Deed::Resource::\"vendor-db:/contracts/7\"",
        "resource is Deed::Resource && resource.uri like \"vendor-db:/contracts/*\"",
        "resource is Deed::Resource && resource has type && resource.type == \"table\"",
    ] {
        assert!(holds(condition, &read), "{condition}");
    }
}

#[test]
fn every_type_of_principal_is_told_apart() {
    for (kind, name) in [
        (PrincipalType::Human, "Human"),
        (PrincipalType::Agent, "Agent"),
        (PrincipalType::Workload, "Workload"),
        (PrincipalType::ServiceAccount, "ServiceAccount"),
        (PrincipalType::ThirdParty, "ThirdParty"),
        (PrincipalType::Unknown, "Unknown"),
    ] {
        let request = Request { principal: Who::new(kind, "x"), ..request() };
        assert!(holds(
            &format!("principal == Deed::{name}::\"x\" && principal.type == \"{kind}\""),
            &request
        ));
    }
}

#[test]
fn actions_nobody_declared_meet_unscoped_policies_only() {
    let text = "@id(\"call\") permit (principal, action == Deed::Action::\"tools/call\", resource);\n\
                @id(\"depth\") forbid (principal, action, resource) when { context.chain_depth > 3 };";
    let odd = Request { action: "payments/refund", resource: Target::resource("payment:/7"), ..request() };
    is(&set(text).decide(&odd), Ruling::Deny, &[], "no policy allows it");
    is(&set(&format!("{ALL}{text}")).decide(&odd), Ruling::Allow, &["all"], "policy `all` allows it");
    let mut deep = odd.clone();
    deep.context.chain_depth = 4;
    is(&set(&format!("{ALL}{text}")).decide(&deep), Ruling::Deny, &["depth"], "policy `depth` forbids it");
}

#[test]
fn actions_that_an_author_declares_can_be_grouped() {
    let schema = "namespace Deed {
        action \"money\";
        action \"refund\" in [\"money\"]
          appliesTo { principal: [Agent], resource: [Resource], context: Context };
        action \"look\" appliesTo { principal: [Agent], resource: [Resource], context: Context };
    }";
    let text = format!(
        "{ALL}@id(\"money\") forbid (principal, action in Deed::Action::\"money\", resource);\n\
         @id(\"money-2\") forbid (principal, action, resource) when {{ action in Deed::Action::\"money\" }};"
    );
    let set = with_schema(&text, schema).unwrap();
    let asked = |action| Request { action, resource: Target::resource("payment:/7"), ..request() };
    let reason = "policies `money`, `money-2` forbid it";
    is(&set.decide(&asked("refund")), Ruling::Deny, &["money", "money-2"], reason);
    is(&set.decide(&asked("look")), Ruling::Allow, &["all"], "policy `all` allows it");
}

#[test]
fn ids_are_matched_as_they_are() {
    // Nothing in a name is ever read as syntax or as a pattern.
    let name = "we\"ird\\*\u{7}/ä";
    let request = Request { principal: Who::new(PrincipalType::Human, name), ..request() };
    assert!(holds("principal == Deed::Human::\"we\\\"ird\\\\*\\u{7}/ä\"", &request));
    assert!(!holds("principal == Deed::Human::\"we\"", &request));
}

#[test]
fn threads_decide_alike() {
    let set = set(&format!("{ALL}@id(\"no\") forbid (principal, action, resource == Deed::Tool::\"a/b\");"));
    let threads = (0..40).map(|at| {
        let set = set.clone();
        thread::spawn(move || {
            let resource = if at % 2 == 0 { Target::tool("a", "b") } else { Target::tool("a", "c") };
            thread::sleep(Duration::from_micros(at * 10));
            (at % 2 == 0, set.decide(&Request { resource, ..request() }).effect)
        })
    });
    for (forbidden, effect) in threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()) {
        assert_eq!(effect, if forbidden { Ruling::Deny } else { Ruling::Allow });
    }
}
