//! Confused deputies: between tenants, between agents, and with chains that somebody made up.

use deed_record::PrincipalType;
use deed_token::{
    ErrorCode, ExchangeError, OidcIssuer, Request, TokenType, VerifyError, exchange::ExchangeError as E,
    trust::TenantOf,
};
use serde_json::{Value, json};

use crate::support::{
    Ask, IDP, NOW, OTHER_IDP, SERVICE, TICKETS, World, assertion, at, client, fresh, key, merged, set,
    subject,
};

#[test]
fn tenants_are_kept_apart() {
    let mut world = World::new();
    let form = format!("resource={TICKETS}");
    let ann = world.ann(json!({}));
    let refused = world.ask(Ask::new(&ann, "spy", &form)).unwrap_err();
    assert_eq!((refused.clone(), refused.code()), (E::Tenant, ErrorCode::UnauthorizedClient));
    // Nor a token of ours, though it names the spy.
    let planner = world.planner("&deed_may_act=agent:spy");
    assert_eq!(world.ask(Ask::new(planner.text(), "spy", "")).unwrap_err(), E::Tenant);
    // Nor one of the other realm, on the same host, signed by this one's key.
    let claims = json!({ "iss": OTHER_IDP, "sub": "ann", "aud": "deed", "exp": NOW + 60 });
    let crossed = world.idp.sign("JWT", &[], &claims).unwrap();
    assert_eq!(subject(&world, &crossed), Err(VerifyError::Signature));
    assert!(subject(&world, &world.other_idp.sign("JWT", &[], &claims).unwrap()).is_ok());
    // An issuer of many tenants names one that can be one.
    let mut shared =
        OidcIssuer::new("https://shared.example", "deed", TenantOf::Claim("tid".into()), set(&key(3)));
    shared.honours_scope = false;
    world.trust.add_issuer(shared).unwrap();
    for (tid, tenant) in
        [(json!("globex"), Some("globex")), (json!("../x"), None), (json!(7), None), (Value::Null, None)]
    {
        let claims = merged(
            json!({ "iss": "https://shared.example", "sub": "ann", "aud": "deed", "exp": NOW + 60 }),
            json!({ "tid": tid }),
        );
        let token = key(3).sign("JWT", &[], &claims).unwrap();
        let read = world.trust.subject(&token, TokenType::IdToken, &world.issuer, at(NOW));
        assert_eq!(read.as_ref().ok().map(|subject| subject.tenant()), tenant);
    }
}

#[test]
fn agents_cannot_use_each_others_tokens() {
    let mut world = World::new();
    let form = format!("resource={TICKETS}");
    // The subject token names who may act.
    let mut issuer =
        OidcIssuer::new("https://names.example", "deed", TenantOf::Fixed("acme".into()), set(&key(3)));
    issuer.binds_client = true;
    world.trust.add_issuer(issuer).unwrap();
    let mut known = deed_token::Agent::new("known", "acme", set(&key(30)));
    known.names.insert("https://names.example".into(), "client-1".into());
    known.names.insert(IDP.into(), "planner-at-idp".into());
    world.trust.add_agent(known).unwrap();
    let by_known = |world: &mut World, subject: &str| {
        let claims = json!({ "iss": "agent:known", "sub": "agent:known", "aud": SERVICE, "exp": NOW + 60, "jti": fresh() });
        let kind = TokenType::Jwt.uri();
        let form = format!(
            "{}&subject_token={subject}&subject_token_type={kind}&{form}",
            client(&key(30).sign("JWT", &[], &claims).unwrap())
        );
        world.answer(&Request::parse(&form).unwrap(), None, NOW).map(|(grant, _)| grant.terms().hops)
    };
    for (may_act, planner, known) in [
        (json!({ "sub": "agent:planner" }), true, false),
        (json!({ "sub": "agent:coder" }), false, false),
        (json!({ "sub": "planner-at-idp" }), false, true),
        (json!({ "iss": IDP, "sub": "planner-at-idp" }), false, true),
        (json!({ "iss": IDP, "sub": "agent:planner" }), false, false),
        (json!({ "iss": OTHER_IDP, "sub": "planner-at-idp" }), false, false),
    ] {
        let ann = world.ann(json!({ "may_act": may_act }));
        let asked = world.ask(Ask::new(&ann, "planner", &form)).map(|token| token.own.terms().hops);
        // Nobody else may act, so that it is handed on to nobody.
        assert_eq!(asked, if planner { Ok(0) } else { Err(ExchangeError::MayAct) }, "{may_act}");
        assert_eq!(
            by_known(&mut world, &ann),
            if known { Ok(0) } else { Err(ExchangeError::MayAct) },
            "{may_act}"
        );
    }
    // A token for one client is not exchanged by another.
    for (azp, fits) in [(json!("client-1"), true), (json!("client-2"), false), (Value::Null, false)] {
        let claims = merged(
            json!({ "iss": "https://names.example", "sub": "ann", "aud": "deed", "exp": NOW + 60,
                                    "scope": "tickets:read" }),
            json!({ "azp": azp }),
        );
        let ann = key(3).sign("JWT", &[], &claims).unwrap();
        assert_eq!(by_known(&mut world, &ann).is_ok(), fits);
        assert_eq!(world.ask(Ask::new(&ann, "planner", &form)).unwrap_err(), ExchangeError::Client);
    }
}

#[test]
fn assertions_are_for_this_service_once_and_short() {
    let world = World::new();
    let actor = |token: &str| {
        world.trust.actor(token, at(NOW), &world.used).map(|actor| actor.principal().key.clone())
    };
    let good = assertion("planner", NOW, json!({}));
    assert_eq!(actor(&good).as_deref(), Ok("agent:planner"));
    assert_eq!(actor(&good), Err(VerifyError::Replayed));
    let audience = VerifyError::Audience {
        expected: "the issuer URL of this server or its token endpoint, and nothing besides",
    };
    for (more, why) in [
        (json!({ "aud": [SERVICE, "https://other.example"] }), audience.clone()),
        (json!({ "aud": "https://other.example" }), audience),
        (json!({ "iss": "agent:coder" }), VerifyError::Issuer),
        (json!({ "sub": "agent:nobody" }), VerifyError::Issuer),
        (json!({ "sub": "agent:coder", "iss": "agent:coder" }), VerifyError::Signature),
        (json!({ "jti": null }), VerifyError::Missing("jti")),
        (json!({ "exp": NOW + 301 }), VerifyError::TooLong(300)),
        (json!({ "exp": NOW }), VerifyError::Expired),
        (json!({ "nbf": NOW + 60 }), VerifyError::NotYetValid),
    ] {
        assert_eq!(actor(&assertion("planner", NOW, more.clone())), Err(why), "{more}");
    }
    // A token of Deed, or of a person, authenticates nobody.
    assert_eq!(actor(&world.ann(json!({}))), Err(VerifyError::Issuer));
    let own = World::new().planner("");
    assert_eq!(actor(own.text()), Err(VerifyError::Issuer));
}

#[test]
fn nobody_is_authenticated_by_a_persons_token() {
    let mut world = World::new();
    let ann = world.ann(json!({}));
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={ann}\
         &subject_token_type={}&resource={TICKETS}",
        TokenType::Jwt.uri()
    );
    let refused = world.answer(&Request::parse(&form).unwrap(), None, NOW).unwrap_err();
    assert_eq!((refused.clone(), refused.code()), (E::NoActor, ErrorCode::InvalidClient));
    assert_eq!(refused.code().status(), 401);
}

#[test]
fn chains_are_not_forged() {
    let mut world = World::new();
    let form = format!("resource={TICKETS}");
    // Ann's issuer says somebody acts; it is not trusted with that.
    let act = json!({ "sub": "agent:planner", "iss": SERVICE, "act": { "sub": "root" } });
    let ann = world.ann(json!({ "act": act }));
    let token = world.ask(Ask::new(&ann, "coder", &form)).unwrap();
    assert_eq!(token.own.terms().chain.len(), 1);
    assert_eq!(token.own.terms().actor(), "agent:coder");
    assert_eq!(token.own.terms().claimed_act, Some(act.clone()));

    // An issuer that is trusted with it still cannot name anybody but its own.
    let mut issuer =
        OidcIssuer::new("https://chains.example", "deed", TenantOf::Fixed("acme".into()), set(&key(3)));
    issuer.trusts_act = true;
    world.trust.add_issuer(issuer).unwrap();
    let claims = json!({ "iss": "https://chains.example", "sub": "ann", "aud": "deed", "exp": NOW + 60,
                         "scope": "tickets:read", "act": act });
    let ann = key(3).sign("JWT", &[], &claims).unwrap();
    let token = world.ask(Ask::new(&ann, "coder", &form)).unwrap();
    let keys: Vec<_> = token.own.terms().chain.iter().map(|hop| hop.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "agent:coder",
            "oidc:chains.example/https:%2F%2Fdeed.example%20agent:planner",
            "oidc:chains.example/root"
        ]
    );
    assert!(token.own.terms().chain[1..].iter().all(|hop| hop.kind == PrincipalType::Unknown));

    // Another key signs what looks like a token of Deed.
    let claims = json!({ "iss": SERVICE, "sub": "oidc:x/ann", "aud": TICKETS, "exp": NOW + 60, "jti": "x", "client_id": "c",
                         "scope": "admin", "iat": NOW, "deed": {} });
    let kid = json!(key(9).public().thumbprint().to_string());
    let forged = key(3).sign("at+jwt", &[("kid", kid)], &claims).unwrap();
    let refused = world.ask(Ask::new(&forged, "coder", &form)).unwrap_err();
    assert_eq!(refused, E::Subject(VerifyError::Signature));
    assert_eq!(refused.code(), ErrorCode::InvalidRequest);
}

#[test]
fn a_token_that_says_who_may_act_is_for_nobody_else() {
    let mut world = World::new();
    let form = format!("resource={TICKETS}&audience=agent%3Acoder&deed_may_act=agent:runner");
    let ann = world.ann(json!({}));
    let Ok(planner) = world.ask(Ask::new(&ann, "planner", &form)) else { panic!("not issued") };
    let mut handed = |agent: &str| world.ask(Ask::new(planner.text(), agent, &format!("resource={TICKETS}")));
    assert_eq!(handed("coder").unwrap_err(), E::MayAct, "though `aud` names it");
    assert!(handed("runner").is_ok());
    assert!(handed("planner").is_ok(), "whoever has it renews it");
}
