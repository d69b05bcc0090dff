//! What holds: revocation, suspension, forgetting, in whatever order things are heard of.

use deed_token::{
    ExchangeError, State, introspection,
    state::{Event, Inactive, Issued, Target},
    terms::Relation,
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Ask, NOW, TICKETS, World, at};

#[test]
fn a_revocation_takes_its_children_with_it_at_once() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let renewed = world.ask(Ask::new(planner.text(), "planner", "")).unwrap();
    let coder = world.ask(Ask::new(planner.text(), "coder", "deed_may_act=agent:runner")).unwrap();
    let runner = world.ask(Ask::new(coder.text(), "runner", "")).unwrap();
    let other = world.planner("");

    world.state.apply(&coder.own.terms().revocation());
    let active = |world: &World, token: &crate::support::Token| world.state.is_active(token.jti(), at(NOW));
    assert!(active(&world, &planner) && active(&world, &renewed));
    assert!(!active(&world, &coder) && !active(&world, &runner));
    let refused = world.ask(Ask::new(runner.text(), "runner", "")).unwrap_err();
    assert_eq!(refused, ExchangeError::Inactive(Inactive::Revoked));
    assert_eq!(
        introspection(&world.issuer, runner.text(), &world.state, at(NOW)),
        json!({ "active": false })
    );

    // What was renewed from it goes too.
    world.state.apply(&planner.own.terms().revocation());
    assert!(!active(&world, &planner) && !active(&world, &renewed) && active(&world, &other));
}

#[test]
fn whoever_had_it_may_revoke_it() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder = world.ask(Ask::new(planner.text(), "coder", "")).unwrap();
    let actor = |name: &str| {
        let assertion = crate::support::assertion(name, NOW, json!({}));
        world.trust.actor(&assertion, at(NOW), &world.used).unwrap()
    };
    assert!(coder.own.terms().may_be_revoked_by(&actor("coder")));
    assert!(coder.own.terms().may_be_revoked_by(&actor("planner")));
    assert!(!planner.own.terms().may_be_revoked_by(&actor("coder")));
    assert!(!coder.own.terms().may_be_revoked_by(&actor("spy")));
}

#[test]
fn suspending_anybody_in_the_chain_stops_it_until_resumed() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder = world.ask(Ask::new(planner.text(), "coder", "")).unwrap();
    let credentials = world.state.issued(planner.jti()).unwrap().credentials.clone();
    let targets = [
        (Target::Principal("oidc:idp.example/realms/acme/ann".into()), false),
        (Target::Principal("agent:planner".into()), false),
        (Target::Principal("agent:coder".into()), true),
        // The token that Ann gave, and the key that the planner used.
        (Target::Credential(credentials[0]), false),
        (Target::Credential(credentials[1]), false),
        (Target::Credential(deed_token::Fingerprint::of(planner.text())), true),
    ];
    for (time, (target, spares_planner)) in targets.into_iter().enumerate() {
        let at_time = NOW + i64::try_from(time).unwrap();
        world.state.apply(&Event::Suspended { target: target.clone(), at: at_time });
        assert_eq!(world.state.check(coder.jti(), at(NOW)), Err(Inactive::Suspended), "{target:?}");
        assert_eq!(world.state.is_active(planner.jti(), at(NOW)), spares_planner, "{target:?}");
        // An older resumption that is heard of later does not lift it.
        world.state.apply(&Event::Resumed { target: target.clone(), at: at_time - 1 });
        assert!(!world.state.is_active(coder.jti(), at(NOW)));
        world.state.apply(&Event::Resumed { target, at: at_time + 1 });
        assert!(world.state.is_active(coder.jti(), at(NOW)));
    }
    // Nothing new while suspended.
    let ann = world.ann(json!({}));
    let target = Target::Principal("agent:runner".into());
    world.state.apply(&Event::Suspended { target, at: NOW });
    let refused = world.ask(Ask::new(&ann, "runner", &format!("resource={TICKETS}"))).unwrap_err();
    assert_eq!(refused, ExchangeError::Suspended("agent:runner".into()));
}

#[test]
fn what_was_not_recorded_does_not_hold() {
    let mut world = World::new();
    let planner = world.planner("");
    world.state = State::new();
    assert_eq!(world.state.check(planner.jti(), at(NOW)), Err(Inactive::Unknown));
    let refused = world.ask(Ask::new(planner.text(), "planner", "")).unwrap_err();
    assert_eq!(refused, ExchangeError::Inactive(Inactive::Unknown));
}

#[test]
fn it_forgets_what_has_expired_and_no_more() {
    let mut state = State::new();
    state.apply(&Event::Issued(issued(0, None, 100)));
    state.apply(&Event::Renewed(issued(1, Some(0), 400)));
    state.apply(&Event::Revoked { jti: "nobody".into(), not_after: 50 });
    state.forget(at(300));
    // The first has expired, and still carries the second.
    assert_eq!((state.len(), state.is_active("1", at(300))), (2, true));
    state.apply(&Event::Revoked { jti: "0".into(), not_after: 400 });
    assert_eq!(state.check("1", at(300)), Err(Inactive::Revoked));
    state.forget(at(519));
    assert_eq!(state.len(), 2);
    state.forget(at(520));
    assert_eq!(state, State::new());
}

#[test]
fn a_circle_ends() {
    let mut state = State::new();
    state.apply(&Event::Issued(issued(0, Some(1), 100)));
    state.apply(&Event::Issued(issued(1, Some(0), 100)));
    assert_eq!(state.check("0", at(0)), Err(Inactive::Unknown));
    assert_eq!(state.made_from("7"), Vec::<&str>::new());
}

fn issued(jti: usize, parent: Option<usize>, expires: i64) -> Issued {
    Issued {
        jti: jti.to_string(),
        parent: parent.map(|parent| parent.to_string()),
        relation: if parent.is_some() { Relation::Renewal } else { Relation::Root },
        tenant: "acme".into(),
        subject: format!("human:{}", jti % 2),
        actors: vec![format!("agent:{}", jti % 3)],
        credentials: vec![deed_token::Fingerprint([u8::try_from(jti % 5).unwrap(); 32])],
        shown: None,
        issued: 0,
        expires,
        not_after: expires,
    }
}

/// Tokens made from each other, each no longer than its parent, and what happens to them.
fn history() -> impl Strategy<Value = Vec<Event>> {
    let tokens = prop::collection::vec((any::<prop::sample::Index>(), 1..100i64), 1..12);
    let others = prop::collection::vec((0..4u8, 0..14usize, 0..5i64), 0..8);
    (tokens, others).prop_map(|(tokens, others)| {
        let mut events = Vec::new();
        let mut ends = Vec::new();
        for (jti, (parent, life)) in tokens.into_iter().enumerate() {
            let parent = (jti > 0).then(|| parent.index(jti + 1)).filter(|parent| *parent < jti);
            let end = parent.map_or(400, |parent: usize| ends[parent]) - life / 10;
            ends.push(end);
            events.push(Event::Issued(issued(jti, parent, end)));
        }
        events.extend(others.into_iter().map(|(what, whom, time)| match what {
            0 => Event::Revoked { jti: whom.to_string(), not_after: 400 },
            1 => Event::Suspended { target: Target::Principal(format!("agent:{}", whom % 3)), at: time },
            2 => Event::Resumed { target: Target::Principal(format!("agent:{}", whom % 3)), at: time },
            _ => Event::Suspended {
                target: Target::Credential(deed_token::Fingerprint([u8::try_from(whom % 5).unwrap(); 32])),
                at: time,
            },
        }));
        events
    })
}

proptest! {
    #[test]
    fn order_does_not_matter(
        (events, shuffled) in history().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        again in any::<bool>(),
        forget in 0..600i64,
    ) {
        let fold = |events: &[Event]| {
            let mut state = State::new();
            events.iter().for_each(|event| state.apply(event));
            state
        };
        let (mut one, mut other) = (fold(&events), fold(&shuffled));
        if again {
            shuffled.iter().for_each(|event| other.apply(event));
        }
        prop_assert_eq!(&one, &other);
        // What was said survives being written down.
        for event in &events {
            let text = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event);
        }
        // Forgetting changes no answer later than that.
        let before = one.clone();
        one.forget(at(forget));
        other.forget(at(forget));
        prop_assert_eq!(&one, &other);
        for jti in 0..12usize {
            let jti = jti.to_string();
            prop_assert_eq!(one.is_active(&jti, at(forget)), before.is_active(&jti, at(forget)));
        }
        one.forget(at(1000));
        prop_assert!(one.is_empty());
    }

    #[test]
    fn a_token_holds_if_all_it_was_made_from_does(events in history(), now in 0..400i64) {
        let mut state = State::new();
        events.iter().for_each(|event| state.apply(event));
        let revoked: Vec<_> = events.iter().filter_map(|event| match event {
            Event::Revoked { jti, .. } => Some(jti.clone()),
            _ => None,
        }).collect();
        let all: Vec<&Issued> = events.iter().filter_map(|event| match event {
            Event::Issued(issued) => Some(issued),
            _ => None,
        }).collect();
        for token in &all {
            let mut next = Some(*token);
            let mut holds = token.expires > now;
            while let Some(token) = next {
                let suspended = token.actors.iter().any(|actor| state.is_principal_suspended(actor))
                    || token.credentials.iter().any(|credential| state.is_credential_suspended(*credential));
                holds &= !revoked.contains(&token.jti) && !suspended;
                next = token.parent.as_ref().map(|parent| all[parent.parse::<usize>().unwrap()]);
            }
            prop_assert_eq!(state.is_active(&token.jti, at(now)), holds);
        }
    }
}
