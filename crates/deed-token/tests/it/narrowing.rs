//! INVARIANT D7: no sequence of exchanges gives a token that is wider than its parent, or than what the
//! person's own token and the policy allowed. Held against rules written anew here, on the claims.

use std::collections::BTreeSet;

use deed_token::{OidcIssuer, SigningKey, Terms, trust::TenantOf};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Ask, FILES, NOW, TICKETS, World, key, set};

const SCOPES: [&str; 5] = ["tickets:read", "tickets:write", "files:read", "files:write", "admin"];
const TARGETS: [&str; 5] = [TICKETS, FILES, "agent:coder", "agent:reviewer", "https://globex.example/mcp"];
const ACTORS: [&str; 5] = ["planner", "coder", "reviewer", "runner", "spy"];

/// One request, as drawn: bits choose from the lists above.
#[derive(Clone, Debug)]
struct Step {
    parent: prop::sample::Index,
    agent: usize,
    scopes: Option<u8>,
    targets: u8,
    details: Option<u8>,
    may_act: Option<usize>,
    hops: Option<u8>,
    life: Option<i64>,
    wait: i64,
    proof: Option<u8>,
    revoke: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let asked = (
        prop::option::of(any::<u8>()),
        prop_oneof![3 => Just(0u8), 2 => 0..4u8, 1 => any::<u8>()],
        prop::option::weighted(0.3, any::<u8>()),
        prop::option::weighted(0.7, 0..5usize),
        prop::option::weighted(0.2, 0..6u8),
        prop::option::weighted(0.2, 1..1000i64),
    );
    let around = (
        any::<prop::sample::Index>(),
        prop_oneof![4 => 0..4usize, 1 => 0..5usize],
        0..90i64,
        prop::option::weighted(0.3, 50..52u8),
        prop::bool::weighted(0.05),
    );
    (asked, around).prop_map(
        |((scopes, targets, details, may_act, hops, life), (parent, agent, wait, proof, revoke))| Step {
            parent,
            agent,
            scopes,
            targets,
            details,
            may_act,
            hops,
            life,
            wait,
            proof,
            revoke,
        },
    )
}

fn chosen(bits: u8, from: &[&str]) -> Vec<String> {
    (0..from.len()).filter(|at| bits >> at & 1 == 1).map(|at| from[at].to_owned()).collect()
}

fn details(bits: u8) -> Value {
    let actions = chosen(bits & 7, &["read", "send", "wipe"]);
    let mut detail = json!({ "type": "pay", "actions": actions });
    if bits >> 3 & 1 == 1 {
        detail["limit"] = json!(bits >> 4 & 1);
    }
    json!([detail])
}

impl Step {
    fn form(&self) -> String {
        let mut form = String::from("x=");
        if let Some(bits) = self.scopes {
            form += &format!("&scope={}", chosen(bits, &SCOPES).join("+"));
        }
        for target in chosen(self.targets, &TARGETS) {
            form +=
                &format!("&{}={target}", if target.starts_with("http") { "resource" } else { "audience" });
        }
        if let Some(bits) = self.details {
            form += &format!("&authorization_details={}", details(bits));
        }
        if let Some(agent) = self.may_act {
            form += &format!("&deed_may_act=agent:{}", ACTORS[agent]);
        }
        if let Some(hops) = self.hops {
            form += &format!("&deed_hops={hops}");
        }
        if let Some(life) = self.life {
            form += &format!("&deed_expires_in={life}");
        }
        form
    }
}

fn words(terms: &Terms) -> BTreeSet<&str> {
    terms.scope.words().collect()
}

/// What each detail allows, spelled out as single permissions.
fn permissions(details: &Value) -> BTreeSet<String> {
    let list = details.as_array().unwrap().iter();
    list.flat_map(|detail| {
        let rest = detail.get("limit").map_or("none".to_owned(), Value::to_string);
        let actions = detail["actions"].as_array().unwrap().iter();
        actions.map(move |action| format!("{action} {rest}")).collect::<Vec<_>>()
    })
    .collect()
}

fn check_narrower(child: &Terms, parent: &Terms) -> Result<(), TestCaseError> {
    prop_assert!(words(child).is_subset(&words(parent)));
    prop_assert!(child.audience.is_subset(&parent.audience));
    prop_assert!(permissions(&json!(child.details)).is_subset(&permissions(&json!(parent.details))));
    prop_assert_eq!(child.details.is_empty(), parent.details.is_empty());
    prop_assert_eq!((&child.subject, &child.tenant), (&parent.subject, &parent.tenant));
    prop_assert!(child.not_after <= parent.not_after && child.expires <= child.not_after);
    prop_assert!(child.bound_to.is_some() || parent.bound_to.is_none());
    let handed = child.actor() != parent.actor();
    if handed {
        prop_assert!(child.expires <= parent.expires && child.not_after <= parent.expires);
        prop_assert!(child.hops < parent.hops);
        prop_assert_eq!(&child.chain[1..], &parent.chain[..]);
        let named =
            parent.may_act.as_deref() == Some(child.actor()) || parent.audience.contains(child.actor());
        prop_assert!(named);
    } else {
        prop_assert!(child.hops <= parent.hops);
        prop_assert_eq!(&child.chain, &parent.chain);
        prop_assert!(parent.bound_to.is_none() || child.bound_to == parent.bound_to);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_exchanges_widens(
        root_scopes in 1..32u8,
        root_details in prop::option::of(1..32u8),
        root_life in 60..2000i64,
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut world = World::new();
        let idp = SigningKey::ed25519(&[61; 32]).unwrap();
        let issuer = OidcIssuer::new("https://p.example", "deed", TenantOf::Fixed("acme".into()), set(&idp));
        world.trust.add_issuer(issuer).unwrap();
        let mut claims = json!({ "iss": "https://p.example", "sub": "ann", "aud": "deed", "exp": NOW + root_life,
                                 "scope": chosen(root_scopes, &SCOPES).join(" ") });
        if let Some(bits) = root_details {
            claims["authorization_details"] = details(bits);
        }
        let ann = idp.sign("JWT", &[], &claims).unwrap();
        let allowed: BTreeSet<String> = chosen(root_scopes, &SCOPES).into_iter().collect();
        let mut tokens: Vec<(String, Terms)> = Vec::new();
        let mut revoked: BTreeSet<String> = BTreeSet::new();
        let mut now = NOW;
        for step in steps {
            now += step.wait;
            let proof = step.proof.map(key);
            let at = step.parent.index(tokens.len() + 1);
            let parent = at.checked_sub(1).map(|at| tokens[at].clone());
            let subject = parent.as_ref().map_or(&ann, |(text, _)| text);
            let form = step.form();
            let ask = Ask { subject, agent: ACTORS[step.agent], form: &form, proof: proof.as_ref(), now };
            let Ok(token) = world.ask(ask) else { continue };
            let terms = token.own.terms().clone();
            // Whoever authenticated acts, and only within the tenant.
            let actor = format!("agent:{}", ACTORS[step.agent]);
            prop_assert_eq!(terms.actor(), actor.as_str());
            prop_assert!(ACTORS[step.agent] != "spy");
            prop_assert!(terms.chain.len() <= 4);
            // Against what the person and the policy allowed, however long the way.
            prop_assert!(words(&terms).iter().all(|word| allowed.contains(*word)));
            prop_assert!(terms.audience.iter().all(|target| TARGETS[..4].contains(&target.as_str())));
            prop_assert!(terms.expires <= NOW + root_life && terms.expires <= now + 300);
            prop_assert!(terms.issued == now && terms.expires > now);
            match root_details {
                Some(bits) => prop_assert!(permissions(&json!(terms.details)).is_subset(&permissions(&details(bits)))),
                None => prop_assert!(terms.details.is_empty()),
            }
            // Against the parent.
            if let Some((_, parent)) = &parent {
                check_narrower(&terms, parent)?;
                prop_assert!(terms.is_within(parent));
                prop_assert!(!revoked.contains(&parent.jti));
                prop_assert!(parent.expires > now);
            }
            if step.revoke {
                world.state.apply(&terms.revocation());
                revoked.insert(terms.jti.clone());
            }
            tokens.push((token.text().to_owned(), terms));
        }
    }
}

#[test]
fn the_sequences_of_the_property_do_something() {
    // Guards the property above against refusing everything: the widest requests of each kind are granted.
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder =
        world.ask(Ask::new(planner.text(), "coder", "deed_may_act=agent:reviewer").at(NOW + 10)).unwrap();
    let reviewer =
        world.ask(Ask::new(coder.text(), "reviewer", "deed_may_act=agent:runner").at(NOW + 20)).unwrap();
    let runner = world.ask(Ask::new(reviewer.text(), "runner", "").at(NOW + 30)).unwrap();
    assert_eq!((runner.own.terms().chain.len(), runner.own.terms().hops), (4, 0));
}
