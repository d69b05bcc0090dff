//! What is exchanged for what, and what the result says.

use deed_record::PrincipalType;
use deed_token::{
    Agent, Bundle, Details, ErrorCode, ExchangeError, KeySet, Request, TokenType, TrustDomain, VerifyError,
    introspection, terms::Relation, trust::Ceiling,
};
use serde_json::json;

use crate::support::{
    Ask, FILES, GLOBEX_ONLY, NOW, TICKETS, World, assertion, at, client, fresh, key, scope, set,
};

#[test]
fn a_person_and_an_agent_become_one_token() {
    let mut world = World::new();
    let token = world.planner("&deed_task=release-4711");
    let claims = introspection(&world.issuer, token.text(), &world.state, at(NOW));
    assert_eq!(
        claims,
        json!({
            "active": true, "token_type": "Bearer",
            "iss": "https://deed.example",
            "sub": "oidc:idp.example/realms/acme/ann",
            "act": { "sub": "agent:planner", "deed_type": "agent" },
            "client_id": "agent:planner",
            "aud": [FILES, TICKETS],
            "scope": "tickets:read tickets:write",
            "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": token.jti(),
            "deed": {
                "tenant": "acme", "relation": "root", "depth": 1, "hops": 3, "not_after": NOW + 3600,
                "initiator_type": "human", "executor_type": "agent", "task": "release-4711",
            },
        })
    );
    let response = token.grant.response(&token.text);
    assert_eq!(response["issued_token_type"], TokenType::AccessToken.uri());
    assert_eq!((&response["token_type"], &response["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(response["access_token"], token.text());
    // D9: neither the grant nor what is verified shows the token.
    assert!(!format!("{token:?}").contains(token.text()));
}

#[test]
fn agents_hand_on_and_the_chain_grows() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder =
        world.ask(Ask::new(planner.text(), "coder", "scope=tickets:read&deed_may_act=agent:runner")).unwrap();
    let runner = world.ask(Ask::new(coder.text(), "runner", &format!("resource={FILES}"))).unwrap();
    let terms = runner.own.terms();
    assert_eq!(
        terms.act(),
        Some(json!({
            "sub": "agent:runner", "deed_type": "agent",
            "act": { "sub": "agent:coder", "deed_type": "agent",
                     "act": { "sub": "agent:planner", "deed_type": "agent" } },
        }))
    );
    assert_eq!(terms.subject, "oidc:idp.example/realms/acme/ann");
    assert_eq!((terms.relation, terms.parent.as_deref()), (Relation::HandOff, Some(coder.jti())));
    assert_eq!((terms.scope.clone(), terms.hops), (scope("tickets:read"), 1));
    assert_eq!(world.state.made_from(planner.jti()), [coder.jti(), runner.jti()]);
    // Nobody else may have it.
    let other = world.ask(Ask::new(planner.text(), "reviewer", "")).unwrap_err();
    assert_eq!((other.clone(), other.code()), (ExchangeError::MayAct, ErrorCode::UnauthorizedClient));
    // And the last has nobody to hand it to.
    assert_eq!(world.ask(Ask::new(runner.text(), "coder", "")).unwrap_err(), ExchangeError::NotHanded);
}

#[test]
fn a_token_for_an_agent_may_be_exchanged_by_it() {
    let mut world = World::new();
    let ann = world.ann(json!({}));
    let form = format!("resource={TICKETS}&audience=agent:reviewer");
    let planner = world.ask(Ask::new(&ann, "planner", &form)).unwrap();
    let reviewer = world.ask(Ask::new(planner.text(), "reviewer", &format!("resource={TICKETS}"))).unwrap();
    assert_eq!(reviewer.own.terms().actor(), "agent:reviewer");
}

#[test]
fn depth_is_bounded() {
    let mut world = World::new();
    world.policy.deepest = 2;
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder = world.ask(Ask::new(planner.text(), "coder", "")).unwrap();
    assert_eq!(coder.own.terms().hops, 0);
    let further = world.ask(Ask::new(coder.text(), "coder", "deed_may_act=agent:runner")).unwrap_err();
    assert_eq!(further, ExchangeError::Depth(2));
    // A client can say that it shall go no further.
    let last = World::new().planner("&deed_hops=0");
    assert_eq!(last.own.terms().hops, 0);
}

#[test]
fn renewals_go_on_until_the_subject_token_ends() {
    let mut world = World::new();
    let mut token = world.planner("");
    for step in 1..=12 {
        let now = NOW + step * 299;
        token = world.ask(Ask::new(token.text(), "planner", "").at(now)).unwrap();
        assert_eq!(token.own.terms().expires, (now + 300).min(NOW + 3600));
        assert_eq!(token.own.terms().chain.len(), 1);
        assert_eq!(token.own.terms().relation, Relation::Renewal);
    }
    let late = world.ask(Ask::new(token.text(), "planner", "").at(NOW + 3600)).unwrap_err();
    assert_eq!(late, ExchangeError::Subject(VerifyError::Expired));
}

#[test]
fn a_hand_off_ends_with_its_parent_and_is_not_renewed_beyond() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder");
    let coder = world.ask(Ask::new(planner.text(), "coder", "").at(NOW + 200)).unwrap();
    assert_eq!((coder.own.terms().expires, coder.own.terms().not_after), (NOW + 300, NOW + 300));
    let again = world.ask(Ask::new(coder.text(), "coder", "").at(NOW + 299)).unwrap();
    assert_eq!(again.own.terms().expires, NOW + 300);
}

#[test]
fn a_workload_acts_for_itself() {
    let mut world = World::new();
    let svid_key = es256();
    let mut domain = TrustDomain {
        name: "acme.example".into(),
        bundle: bundle(&svid_key),
        tenant: "acme".into(),
        ceiling: Ceiling { scope: Some(scope("tickets:read")), ..Ceiling::default() },
    };
    world.trust.add_domain(domain.clone()).unwrap();
    let svid = |more| {
        let claims =
            json!({ "sub": "spiffe://acme.example/ci", "aud": ["https://deed.example"], "exp": NOW + 120 });
        let kid = json!(svid_key.public().thumbprint().to_string());
        svid_key.sign("JWT", &[("kid", kid)], &crate::support::merged(claims, more)).unwrap()
    };
    let form = |svid: &str| {
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={svid}\
             &subject_token_type=urn:ietf:params:oauth:token-type:jwt&resource={TICKETS}"
        )
    };
    let request = Request::parse(&form(&svid(json!({})))).unwrap();
    let (grant, _) = world.answer(&request, None, NOW).unwrap();
    let terms = grant.terms();
    assert_eq!(
        (terms.subject.as_str(), terms.subject_kind),
        ("spiffe://acme.example/ci", PrincipalType::Workload)
    );
    assert_eq!((terms.chain.len(), terms.expires, &terms.scope), (0, NOW + 120, &scope("tickets:read")));

    // As an actor, and known as an agent.
    let mut agent = Agent::new("ci", "acme", KeySet::default());
    agent.spiffe.insert("spiffe://acme.example/ci".into());
    world.trust.add_agent(agent).unwrap();
    let actor = world.trust.actor(&svid(json!({})), at(NOW), &world.used).unwrap();
    assert_eq!(
        (actor.principal().key.as_str(), actor.spiffe()),
        ("agent:ci", Some("spiffe://acme.example/ci"))
    );

    let audience = VerifyError::Audience { expected: "the issuer URL of this server, or its token endpoint" };
    for (more, why) in [
        (json!({ "sub": "spiffe://other.example/ci" }), VerifyError::Issuer),
        (json!({ "sub": "spiffe://acme.example/" }), VerifyError::SpiffeId),
        (json!({ "aud": "https://other.example" }), audience),
        (json!({ "aud": null }), VerifyError::Missing("aud")),
        (json!({ "exp": NOW }), VerifyError::Expired),
        (json!({ "exp": null }), VerifyError::Missing("exp")),
    ] {
        assert_eq!(world.trust.actor(&svid(more), at(NOW), &world.used).unwrap_err(), why);
    }
    let more_header =
        svid_key.sign("JWT", &[("jku", json!("x"))], &json!({ "sub": "spiffe://acme.example/ci" }));
    let refused = world.trust.actor(&more_header.unwrap(), at(NOW), &world.used).unwrap_err();
    assert!(matches!(refused, VerifyError::Header(_)));
    // SPIFFE knows no EdDSA.
    domain.name = "ed.example".into();
    domain.bundle = bundle(&key(5));
    world.trust.add_domain(domain).unwrap();
    let claims = json!({ "sub": "spiffe://ed.example/ci", "aud": "https://deed.example", "exp": NOW + 120 });
    let refused = world.trust.actor(&key(5).sign("JWT", &[], &claims).unwrap(), at(NOW), &world.used);
    assert_eq!(refused.unwrap_err(), VerifyError::Algorithm);
    // An empty bundle revokes.
    world.trust.set_bundle("acme.example", Bundle::parse(r#"{"keys":[]}"#).unwrap()).unwrap();
    let refused = world.trust.actor(&svid(json!({})), at(NOW), &world.used).unwrap_err();
    assert_eq!(refused, VerifyError::Signature);
}

#[test]
fn targets_scopes_and_details_are_refused_rather_than_cut() {
    let mut world = World::new();
    let planner = world.planner("");
    let ann = world.ann(json!({}));
    for (subject, form, code) in [
        (planner.text(), "scope=files:read", ErrorCode::InvalidScope),
        (planner.text(), "scope=tickets:read+admin", ErrorCode::InvalidScope),
        (planner.text(), "resource=https://tickets.example/", ErrorCode::InvalidTarget),
        (planner.text(), "audience=agent:coder", ErrorCode::InvalidTarget),
        (planner.text(), "authorization_details=[{\"type\":\"x\"}]", ErrorCode::InvalidAuthorizationDetails),
        (planner.text(), "authorization_details=x", ErrorCode::InvalidAuthorizationDetails),
        (&ann, "scope=tickets:read", ErrorCode::InvalidTarget),
        (&ann, &format!("resource={GLOBEX_ONLY}"), ErrorCode::InvalidTarget),
        (&ann, &format!("resource={TICKETS}&scope=admin"), ErrorCode::InvalidScope),
        (&ann, "resource=tickets", ErrorCode::InvalidTarget),
        (&ann, &format!("resource={TICKETS}%23x"), ErrorCode::InvalidTarget),
        (&ann, &format!("resource={TICKETS}&deed_expires_in=0"), ErrorCode::InvalidRequest),
        (&ann, &format!("resource={TICKETS}&deed_expires_in=-1"), ErrorCode::InvalidRequest),
    ] {
        let error = world.ask(Ask::new(subject, "planner", form)).unwrap_err();
        assert_eq!(error.code(), code, "{form}: {error}");
        let body = error.body();
        assert_eq!(body["error"], code.as_str());
        assert!(!body.to_string().contains(subject));
    }
}

#[test]
fn ceilings_hold() {
    let mut world = World::new();
    let mut agent = Agent::new("narrow", "acme", set(&key(77)));
    agent.ceiling = Ceiling {
        scope: Some(scope("tickets:read admin")),
        audience: Some([TICKETS.to_owned()].into()),
        details: Some(Details::parse(r#"[{"type":"pay","actions":["read"]}]"#).unwrap()),
    };
    world.trust.add_agent(agent).unwrap();
    let details = json!([{ "type": "pay", "actions": ["read", "send"] }]);
    let ann = world.ann(json!({ "authorization_details": details }));
    let mut ask = |form: &str| {
        let claims = json!({ "iss": "agent:narrow", "sub": "agent:narrow", "aud": "https://deed.example/oauth/token",
                             "exp": NOW + 60, "jti": fresh() });
        let assertion = key(77).sign("JWT", &[], &claims).unwrap();
        let kind = TokenType::Jwt.uri();
        let form = format!("{}&subject_token={ann}&subject_token_type={kind}&{form}", client(&assertion));
        world.answer(&Request::parse(&form).unwrap(), None, NOW).map(|(grant, _)| grant.terms().clone())
    };
    // The token's details are more than the agent may have; they are not cut in silence.
    assert_eq!(ask(&format!("resource={TICKETS}")), Err(ExchangeError::Details));
    let details = "authorization_details=[{\"type\":\"pay\",\"actions\":[\"read\"]}]";
    let terms = ask(&format!("resource={TICKETS}&{details}")).unwrap();
    assert_eq!((terms.scope, terms.details.len()), (scope("tickets:read"), 1));
    assert_eq!(ask(&format!("resource={FILES}&{details}")), Err(ExchangeError::Target(FILES.into())));
    assert_eq!(
        ask(&format!("resource={TICKETS}&{details}&scope=tickets:write")),
        Err(ExchangeError::Scope("tickets:write".into()))
    );
}

#[test]
fn actor_tokens_and_assertions_name_one_client() {
    let world = World::new();
    let ann = world.ann(json!({}));
    let subject =
        format!("subject_token={ann}&subject_token_type={}&resource={TICKETS}", TokenType::Jwt.uri());
    let actor = |token: &str| format!("actor_token={token}&actor_token_type={}", TokenType::Jwt.uri());
    let both = |asserted: &str, acting: &str, more: &str| {
        let form = format!(
            "{}&{subject}&{}{more}",
            client(&assertion(asserted, NOW, json!({}))),
            actor(&assertion(acting, NOW, json!({})))
        );
        World::new()
            .answer(&Request::parse(&form).unwrap(), None, NOW)
            .map(|(grant, _)| grant.terms().chain.len())
    };
    assert_eq!(both("planner", "planner", ""), Ok(1));
    assert_eq!(both("planner", "planner", "&client_id=agent:planner"), Ok(1));
    assert_eq!(both("planner", "planner", "&client_id=agent:coder"), Err(ExchangeError::OtherActor));
    assert_eq!(both("planner", "coder", ""), Err(ExchangeError::OtherActor));
}

fn es256() -> deed_token::SigningKey {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
    };
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    deed_token::SigningKey::es256(pkcs8.as_ref()).unwrap()
}

fn bundle(key: &deed_token::SigningKey) -> Bundle {
    let mut jwk = key.public().to_jwk();
    jwk["use"] = json!("jwt-svid");
    Bundle::parse(&json!({ "keys": [jwk] }).to_string()).unwrap()
}

#[test]
fn what_could_not_be_read_again_is_not_issued() {
    let mut world = World::new();
    let large = json!({ "sub": "x", "note": "y".repeat(8000) });
    let ann = world.ann(json!({ "act": large }));
    assert!(world.ask(Ask::new(&ann, "planner", &format!("resource={TICKETS}"))).is_ok());
    let larger = json!({ "sub": "x", "note": "y".repeat(11_500) });
    let ann = world.ann(json!({ "act": larger }));
    let refused = world.ask(Ask::new(&ann, "planner", &format!("resource={TICKETS}"))).unwrap_err();
    assert_eq!(refused, ExchangeError::ResultTooLarge);
    // Deep enough to be read here, too deep one level further down.
    let deep = (0..22).fold(json!({ "sub": "x" }), |inner, _| json!({ "sub": "x", "note": inner }));
    let ann = world.ann(json!({ "act": deep }));
    let refused = world.ask(Ask::new(&ann, "planner", &format!("resource={TICKETS}"))).unwrap_err();
    assert_eq!(refused, ExchangeError::ResultTooLarge);
}
