//! What systems behind Deed are shown: never more than the caller has, and good for nothing else.

use deed_record::PrincipalType;
use deed_token::{
    Comer, Details, ExchangeError, Fingerprint, Grant, Upstream,
    principal::Hop,
    state::{Event, Inactive},
    terms::Relation,
    upstream,
};

use crate::support::{Ask, NOW, World, at, fresh, scope};

const BEHIND: &str = "https://behind.example";

fn setting(most: Option<&str>) -> Upstream {
    Upstream { audience: BEHIND.into(), scope: most.map(scope), longest: 120 }
}

fn shown(world: &World, comer: &Comer, setting: &Upstream, now: i64) -> Result<Grant, ExchangeError> {
    upstream(comer, setting, &world.policy, &world.state, at(now), &fresh())
}

#[test]
fn it_is_for_that_system_alone_and_allows_what_both_do() {
    let mut world = World::new();
    let planner = world.planner("&deed_task=t-1");
    let grant = shown(&world, &Comer::own(&planner.own), &setting(Some("tickets:read x:y")), NOW).unwrap();
    let (terms, parent) = (grant.terms(), planner.own.terms());
    assert_eq!(terms.audience, [BEHIND.to_owned()].into());
    assert_eq!(terms.scope, scope("tickets:read"));
    assert_eq!(
        (&terms.subject, &terms.chain, &terms.tenant),
        (&parent.subject, &parent.chain, &parent.tenant)
    );
    assert_eq!((terms.relation, terms.parent.as_deref()), (Relation::Upstream, Some(planner.jti())));
    assert_eq!((terms.expires, terms.not_after, terms.hops), (NOW + 120, NOW + 120, 0));
    assert_eq!((terms.task.as_deref(), terms.bound_to), (Some("t-1"), None));
    assert!(terms.is_within(parent));
    let open = shown(&world, &Comer::own(&planner.own), &setting(None), NOW).unwrap();
    assert_eq!(open.terms().scope, parent.scope);
    let nothing = shown(&world, &Comer::own(&planner.own), &setting(Some("x:y")), NOW);
    assert_eq!(nothing, Err(ExchangeError::Nothing));
}

#[test]
fn it_ends_with_its_parent_and_with_the_policy() {
    let mut world = World::new();
    let planner = world.planner("");
    let ends = planner.own.terms().expires;
    let late = shown(&world, &Comer::own(&planner.own), &setting(None), ends - 10).unwrap();
    assert_eq!(late.terms().expires, ends);
    let over = shown(&world, &Comer::own(&planner.own), &setting(None), ends);
    assert_eq!(over, Err(Inactive::Expired.into()));
    world.policy.longest = 30;
    let short = shown(&world, &Comer::own(&planner.own), &setting(None), NOW).unwrap();
    assert_eq!(short.terms().expires, NOW + 30);
}

#[test]
fn it_falls_with_its_parent_and_is_exchanged_for_nothing() {
    let mut world = World::new();
    let planner = world.planner("");
    let grant = shown(&world, &Comer::own(&planner.own), &setting(None), NOW).unwrap();
    let token = world.issuer.sign(&grant).unwrap();
    world.state.apply(&grant.event());
    let jti = &grant.terms().jti;
    assert!(world.state.is_active(jti, at(NOW)));
    for agent in ["planner", "coder"] {
        let refused = world.ask(Ask::new(token.expose(), agent, ""));
        assert_eq!(refused.err(), Some(ExchangeError::NotHanded), "{agent}");
    }
    world.state.apply(&Event::Revoked { jti: planner.jti().into(), not_after: NOW + 999 });
    assert_eq!(world.state.check(jti, at(NOW)), Err(Inactive::Revoked));
    let again = shown(&world, &Comer::own(&planner.own), &setting(None), NOW);
    assert_eq!(again, Err(Inactive::Revoked.into()));
}

#[test]
fn without_a_token_of_deed_the_settings_say_what_it_allows() {
    let world = World::new();
    let hop = |key: &str, kind| Hop { key: key.into(), kind };
    let ann = || hop("human:ann", PrincipalType::Human);
    let bot = || vec![hop("agent:bot", PrincipalType::Agent)];
    let comer = Comer::other(ann(), bot(), "acme");
    assert_eq!(shown(&world, &comer, &setting(None), NOW), Err(ExchangeError::Nothing));
    let grant = shown(&world, &comer, &setting(Some("a b")), NOW).unwrap();
    assert_eq!((grant.terms().scope.clone(), grant.terms().parent.clone()), (scope("a b"), None));
    assert_eq!((grant.terms().subject.as_str(), grant.terms().actor()), ("human:ann", "agent:bot"));

    let token = Fingerprint::of("somebody else's");
    let comer = comer.showing(token, scope("b c"), Details::default(), NOW + 5);
    let grant = shown(&world, &comer, &setting(Some("a b")), NOW).unwrap();
    assert_eq!((grant.terms().scope.clone(), grant.terms().expires), (scope("b"), NOW + 5));
    assert_eq!(grant.credentials(), [token]);
    // One that comes with another token, or of another tenant, is another one.
    let other =
        Comer::other(ann(), bot(), "acme").showing(Fingerprint::of("x"), scope("b"), Details::default(), 9);
    assert_ne!(comer.key(), other.key());
    assert_ne!(Comer::other(ann(), bot(), "acme").key(), Comer::other(ann(), bot(), "globex").key());
    assert_ne!(Comer::other(ann(), bot(), "acme").key(), Comer::other(ann(), Vec::new(), "acme").key());
}
