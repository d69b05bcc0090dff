//! The index leaves out only what could not have applied.

use std::collections::{BTreeMap, HashMap};

use deed_record::{PrincipalType, Timestamp};
use proptest::prelude::*;

use crate::{
    decide,
    decided::Decided,
    engine::Engine,
    read,
    request::{Facts, Request, Target, Who},
    set::Known,
};

use super::*;

impl Index {
    /// All policies in one place: every decision evaluates each.
    fn whole(policies: Vec<Policy>, known: &HashMap<String, Known>) -> Index {
        let mut index = Index::default();
        for policy in policies {
            let about = &known[policy.id().as_ref() as &str];
            let buckets = index.any_action.0.entry(Slot::Any).or_default();
            if buckets.is_empty() {
                buckets.push(Bucket::new(Slot::Any));
            }
            buckets[0].add(&policy, about).unwrap();
        }
        index
    }
}

const ACTIONS: &str = "namespace Deed {
  action \"money\", \"all\";
  action \"refund\" in [\"money\"] appliesTo { principal: [Agent, Human], resource: [Resource], context: Context };
  action \"pay\" in [\"money\", \"all\"] appliesTo { principal: [Agent, Human], resource: [Resource], context: Context };
}";

fn policy() -> impl Strategy<Value = String> {
    let one = |names: &'static [&'static str]| prop::sample::select(names);
    let principal = one(&[
        "principal",
        "principal is Deed::Agent",
        "principal == Deed::Agent::\"a\"",
        "principal in Deed::Human::\"a\"",
        "principal is Deed::Agent in Deed::Agent::\"b\"",
    ]);
    let action = one(&[
        "action",
        "action == Deed::Action::\"tools/call\"",
        "action == Deed::Action::\"pay\"",
        "action in Deed::Action::\"money\"",
        "action in [Deed::Action::\"all\", Deed::Action::\"resources/read\"]",
        "action in [Deed::Action::\"refund\", Deed::Action::\"money\", Deed::Action::\"tools/call\"]",
    ]);
    let resource = one(&[
        "resource",
        "resource is Deed::Tool",
        "resource is Deed::Resource",
        "resource == Deed::Tool::\"a/b\"",
        "resource == Deed::Resource::\"a/b\"",
        "resource in Deed::Resource::\"x:/y\"",
        "resource is Deed::Resource in Deed::Resource::\"x:/y\"",
    ]);
    let when = one(&[
        "",
        "when { context.chain_depth > 1 }",
        "when { context.chain_depth * 9223372036854775807 > 1 }",
        "when { context has environment && context.environment == \"prod\" }",
        "when { context.arguments has n && context.arguments.n == 1 }",
        "unless { principal has vendor }",
        "when { action in Deed::Action::\"money\" }",
        "when { resource.classification == \"restricted\" }",
    ]);
    let kind =
        one(&["permit", "permit", "forbid", "@effect(\"step_up\") forbid", "@mask(\"result.x\") permit"]);
    (kind, principal, action, resource, when).prop_map(|(kind, principal, action, resource, when)| {
        format!("{kind} ({principal}, {action}, {resource}) {when};")
    })
}

fn request() -> impl Strategy<Value = Request<'static>> {
    use PrincipalType::{Agent, Human, Unknown};
    let who = (
        prop::sample::select(vec![Agent, Human, Unknown]),
        prop::sample::select(vec!["a", "b"]),
        any::<bool>(),
    );
    let action = prop::sample::select(vec![
        "tools/call",
        "resources/read",
        "refund",
        "pay",
        "money",
        "all",
        "nobody's",
        "",
    ]);
    let resource = prop::sample::select(vec![
        Target::tool("a", "b"),
        Target::tool("a", "c"),
        Target::resource("a/b"),
        Target::resource("x:/y"),
    ]);
    let facts =
        (0u32..4, prop::option::of(prop::sample::select(vec!["prod", "test"])), any::<bool>(), any::<bool>());
    (who, action, resource, facts).prop_map(
        |((kind, id, vendor), action, resource, (depth, environment, n, approved))| {
            let who = Who { vendor: vendor.then_some("v"), ..Who::new(kind, id) };
            let mut context = Facts::at(Timestamp(0));
            context.chain_depth = depth;
            context.environment = environment;
            context.arguments = n.then(|| serde_json::from_str("{\"n\":1}").unwrap());
            context.approval = approved.then(|| crate::ApprovalFacts { by: who.clone(), time: context.time });
            Request { principal: who, action, resource, context }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Decisions, reasons, obligations, errors: all is the same with and without the index.
    #[test]
    fn the_index_changes_nothing(policies in prop::collection::vec(policy(), 1..12), requests in prop::collection::vec(request(), 24)) {
        let mut policies: Vec<(String, String)> =
            policies.iter().enumerate().map(|(at, policy)| (format!("p{at}"), policy.clone())).collect();
        let (text, authored, names) = loop {
            let text: String = policies.iter().map(|(id, policy)| format!("@id(\"{id}\") {policy}\n")).collect();
            let files = [("a.cedar".to_owned(), text.clone()), ("schema.cedarschema".to_owned(), ACTIONS.to_owned())];
            match read::policies(&BTreeMap::from(files)) {
                Ok((authored, names)) => break (text, authored, names),
                // Those that can never apply are refused: do without them.
                Err(problems) => {
                    let refused = |id: &String| problems.iter().any(|problem| problem.policy.as_ref() == Some(id));
                    policies.retain(|(id, _)| !refused(id));
                    if policies.is_empty() {
                        return Ok(());
                    }
                }
            }
        };
        let known: HashMap<String, Known> = authored
            .into_iter()
            .map(|one| {
                let id = (one.policy.id().as_ref() as &str).to_owned();
                (id, Known { meaning: one.meaning, arguments: one.arguments, mentions: one.mentions })
            })
            .collect();
        let copy = || read::again(&text).unwrap();
        let indexed = Engine::new(copy(), &known, &names.actions).unwrap();
        let whole = Engine::of(Index::whole(copy(), &known), &names.actions).unwrap();
        for request in &requests {
            let decide = |engine: &Engine| -> Decided {
                let mut decided = decide::conclude(engine.ask(request, Vec::new()), request, &known, "", false);
                // Fewer policies may mention fewer arguments.
                decided.seen.clear();
                decided
            };
            prop_assert_eq!(decide(&indexed), decide(&whole), "{}", text);
        }
    }
}
