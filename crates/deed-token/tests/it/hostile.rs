//! Forged, expired, ambiguous and misdirected tokens.

use deed_record::PrincipalType;
use deed_token::{
    ErrorCode, ExchangeError, LARGEST_TOKEN, OidcIssuer, Request, TokenType, VerifyError,
    exchange::ExchangeError as E,
    trust::{TenantOf, TrustError},
};
use serde_json::{Value, json};

use crate::support::{
    Ask, IDP, NOW, OTHER_IDP, SERVICE, TICKETS, World, assertion, at, b64, client, fresh, key, merged, set,
    signed,
};

/// What is said to a subject token of Ann's issuer.
fn subject(world: &World, token: &str) -> Result<String, VerifyError> {
    world.trust.subject(token, TokenType::Jwt, &world.issuer, at(NOW)).map(|subject| subject.key().to_owned())
}

fn payload(more: Value) -> String {
    merged(json!({ "iss": IDP, "sub": "ann", "aud": "deed", "exp": NOW + 60 }), more).to_string()
}

#[test]
fn algorithms_are_those_of_the_key() {
    let world = World::new();
    let good = r#"{"alg":"EdDSA"}"#;
    assert!(subject(&world, &signed(1, good, &payload(json!({})))).is_ok());
    assert!(subject(&world, &signed(1, r#"{"alg":"Ed25519"}"#, &payload(json!({})))).is_ok());
    for (header, why) in [
        (r#"{"alg":"none"}"#, VerifyError::Algorithm),
        (r#"{"alg":"None"}"#, VerifyError::Algorithm),
        (r#"{"alg":"HS256"}"#, VerifyError::Algorithm),
        (r#"{"alg":"ES256K"}"#, VerifyError::Algorithm),
        (r#"{"alg":7}"#, VerifyError::Algorithm),
        ("{}", VerifyError::Algorithm),
        // The key is an Ed25519 one, whatever the token says.
        (r#"{"alg":"ES256"}"#, VerifyError::Signature),
        (r#"{"alg":"RS256"}"#, VerifyError::Signature),
        (r#"{"alg":"EdDSA","crit":["exp"]}"#, VerifyError::Header("crit")),
        (r#"{"alg":"EdDSA","crit":[]}"#, VerifyError::Header("crit")),
        (r#"{"alg":"EdDSA","b64":false}"#, VerifyError::Header("b64")),
        (r#"{"alg":"EdDSA","zip":"DEF"}"#, VerifyError::Header("zip")),
        (r#"{"alg":"EdDSA","kid":7}"#, VerifyError::Header("kid")),
        (r#"{"alg":"EdDSA","kid":"another"}"#, VerifyError::Signature),
        (r#"{"alg":"EdDSA","typ":7}"#, VerifyError::Header("typ")),
    ] {
        assert_eq!(subject(&world, &signed(1, header, &payload(json!({})))), Err(why), "{header}");
    }
    // The public key as a shared secret (RFC 8725, section 2.1).
    let hmac = {
        let text = format!("{}.{}", b64(br#"{"alg":"HS256"}"#), b64(payload(json!({})).as_bytes()));
        let public = world.idp.public().to_jwk()["x"].as_str().unwrap().to_owned();
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
        format!("{text}.{}", b64(aws_lc_rs::hmac::sign(&secret, text.as_bytes()).as_ref()))
    };
    assert_eq!(subject(&world, &hmac), Err(VerifyError::Algorithm));
}

#[test]
fn kinds_of_tokens_are_not_mixed_up() {
    let world = World::new();
    for typ in
        ["dpop+jwt", "logout+jwt", "secevent+jwt", "wit+jwt", "txntoken+jwt", "oauth-id-jag+jwt", "JOSE"]
    {
        let token = signed(1, &json!({ "alg": "EdDSA", "typ": typ }).to_string(), &payload(json!({})));
        assert!(matches!(subject(&world, &token), Err(VerifyError::Type { .. })), "{typ}");
    }
    let access = signed(1, r#"{"alg":"EdDSA","typ":"application/AT+jwt"}"#, &payload(json!({})));
    assert!(subject(&world, &access).is_ok());
    let as_id = world.trust.subject(&access, TokenType::IdToken, &world.issuer, at(NOW));
    assert!(matches!(as_id, Err(VerifyError::Type { .. })));
    let event = signed(1, r#"{"alg":"EdDSA"}"#, &payload(json!({ "events": {} })));
    assert!(matches!(subject(&world, &event), Err(VerifyError::Type { .. })));
}

#[test]
fn ambiguous_and_oversized_tokens_are_refused() {
    let world = World::new();
    let header = r#"{"alg":"EdDSA"}"#;
    let twice = format!(r#"{{"iss":"{IDP}","sub":"eve","sub":"ann","aud":"deed","exp":{}}}"#, NOW + 60);
    assert!(matches!(
        subject(&world, &signed(1, header, &twice)),
        Err(VerifyError::Json { part: "payload", .. })
    ));
    let twice = signed(1, r#"{"alg":"EdDSA","alg":"none"}"#, &payload(json!({})));
    assert!(matches!(subject(&world, &twice), Err(VerifyError::Json { part: "header", .. })));
    let nested = signed(
        1,
        header,
        &payload(json!({ "act": 0 })).replace("\"act\":0", r#""act":{"sub":"a","sub":"b"}"#),
    );
    assert!(matches!(subject(&world, &nested), Err(VerifyError::Json { .. })));
    let large = signed(1, header, &payload(json!({ "x": "x".repeat(LARGEST_TOKEN) })));
    assert_eq!(subject(&world, &large), Err(VerifyError::TooLarge));

    let good = signed(1, header, &payload(json!({})));
    let (rest, signature) = good.rsplit_once('.').unwrap();
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        rest.to_owned(),
        format!("{rest}."),
        format!("{good}."),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("x.{good}"),
        format!("{rest}.{}", signature.to_uppercase()),
    ] {
        assert!(subject(&world, &bad).is_err(), "{bad}");
    }
    // Any bit of it counts.
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let bad = String::from_utf8(bytes).unwrap();
        assert!(bad == good || subject(&world, &bad).is_err(), "{at}");
    }
}

#[test]
fn claims_are_required_and_read_strictly() {
    let world = World::new();
    for (more, why) in [
        (json!({ "iss": null }), VerifyError::Missing("iss")),
        (json!({ "iss": "https://idp.example/realms/acme/" }), VerifyError::Issuer),
        (json!({ "sub": null }), VerifyError::Missing("sub")),
        (json!({ "sub": "" }), VerifyError::Claim("sub")),
        (json!({ "sub": 7 }), VerifyError::Claim("sub")),
        (json!({ "sub": "a".repeat(256) }), VerifyError::Claim("sub")),
        (json!({ "sub": "a\nb" }), VerifyError::Claim("sub")),
        (json!({ "aud": null }), VerifyError::Missing("aud")),
        (json!({ "aud": [] }), VerifyError::Claim("aud")),
        (json!({ "aud": "other" }), VerifyError::Audience),
        (json!({ "aud": ["deed", 7] }), VerifyError::Claim("aud")),
        (json!({ "exp": null }), VerifyError::Missing("exp")),
        (json!({ "exp": "soon" }), VerifyError::Claim("exp")),
        (json!({ "exp": -1 }), VerifyError::Claim("exp")),
        (json!({ "exp": 1e300 }), VerifyError::Claim("exp")),
        (json!({ "exp": NOW }), VerifyError::Expired),
        (json!({ "exp": NOW as f64 + 0.9 }), VerifyError::Expired),
        (json!({ "exp": NOW + 100_000 }), VerifyError::TooLong(86_400)),
        (json!({ "nbf": NOW + 1 }), VerifyError::NotYetValid),
        (json!({ "nbf": NOW as f64 + 0.1 }), VerifyError::NotYetValid),
        (json!({ "nbf": "x" }), VerifyError::Claim("nbf")),
        (json!({ "iat": NOW + 1 }), VerifyError::NotYetValid),
        (json!({ "scope": "a\"b" }), VerifyError::Claim("scope")),
        (json!({ "scope": "a", "scp": ["b"] }), VerifyError::Claim("scp")),
        (json!({ "azp": "a", "client_id": "b" }), VerifyError::Claim("azp")),
        (json!({ "may_act": "agent:planner" }), VerifyError::Claim("may_act")),
        (json!({ "may_act": { "sub": "a", "only_on": "monday" } }), VerifyError::Claim("may_act")),
        (json!({ "cnf": { "x5t#S256": "x" } }), VerifyError::Confirmation),
        (json!({ "cnf": { "jkt": "short" } }), VerifyError::Confirmation),
        (json!({ "act": { "sub": 7 } }), VerifyError::Claim("act")),
    ] {
        let token = signed(1, r#"{"alg":"EdDSA"}"#, &payload(more.clone()));
        assert_eq!(subject(&world, &token), Err(why), "{more}");
    }
    let fine = signed(
        1,
        r#"{"alg":"EdDSA"}"#,
        &payload(json!({ "scp": ["a"], "nbf": NOW, "exp": NOW as f64 + 1.5 })),
    );
    assert_eq!(subject(&world, &fine).as_deref(), Ok("oidc:idp.example/realms/acme/ann"));
}

#[test]
fn leeway_is_for_beginnings_alone() {
    let mut world = World::new();
    let mut issuer =
        OidcIssuer::new("https://late.example", "deed", TenantOf::Fixed("acme".into()), set(&key(3)));
    issuer.leeway = 30;
    world.trust.add_issuer(issuer.clone()).unwrap();
    let read = |more| {
        subject(
            &world,
            &signed(
                3,
                r#"{"alg":"EdDSA"}"#,
                &payload(merged(more, json!({ "iss": "https://late.example" }))),
            ),
        )
    };
    assert!(read(json!({ "nbf": NOW + 30, "iat": NOW + 30 })).is_ok());
    assert_eq!(read(json!({ "nbf": NOW + 31 })), Err(VerifyError::NotYetValid));
    assert_eq!(read(json!({ "exp": NOW })), Err(VerifyError::Expired));
    issuer.leeway = 61;
    issuer.url = "https://later.example".into();
    assert!(matches!(world.trust.add_issuer(issuer), Err(TrustError::Times(_))));
}

#[test]
fn what_is_trusted_is_checked_when_configured() {
    let mut world = World::new();
    let issuer = |url: &str| OidcIssuer::new(url, "deed", TenantOf::Fixed("acme".into()), set(&key(3)));
    for url in [
        "http://idp.example",
        "idp.example",
        "https://",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://a b",
    ] {
        assert_eq!(world.trust.add_issuer(issuer(url)), Err(TrustError::IssuerUrl(url.into())));
    }
    assert!(world.trust.add_issuer(issuer("http://127.0.0.1:8080/x")).is_ok());
    assert_eq!(world.trust.add_issuer(issuer(SERVICE)), Err(TrustError::Itself(SERVICE.into())));
    assert_eq!(world.trust.add_issuer(issuer(IDP)), Err(TrustError::Twice(IDP.into())));
    let mut bad = issuer("https://a.example");
    bad.tenant = TenantOf::Fixed("../globex".into());
    assert!(matches!(world.trust.add_issuer(bad), Err(TrustError::Tenant(_))));
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
    for (more, why) in [
        (json!({ "aud": [SERVICE, "https://other.example"] }), VerifyError::Audience),
        (json!({ "aud": "https://other.example" }), VerifyError::Audience),
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
fn forms_are_read_in_one_way_only() {
    let good = format!("{}&subject_token=x&subject_token_type={}", client("y"), TokenType::Jwt.uri());
    assert!(Request::parse(&good).is_ok());
    assert!(!format!("{:?}", Request::parse(&good)).contains("\"x\""));
    for (form, why) in [
        (format!("{good}&subject_token=z"), E::Twice),
        (format!("{good}&scope=a&scope=b"), E::Twice),
        (format!("{good}&resource=a:b&resource=a:b"), E::TargetSyntax),
        (format!("{good}&scope=%22"), E::ScopeSyntax),
        (format!("{good}&actor_token=z"), E::Parameter("actor_token_type")),
        (format!("{good}&actor_token_type={}", TokenType::Jwt.uri()), E::Parameter("actor_token_type")),
        (format!("{good}&requested_token_type=x"), E::Parameter("requested_token_type")),
        (format!("{good}&deed_hops=256"), E::Parameter("deed_hops")),
        (format!("{good}&deed_hops=%2B1"), E::Parameter("deed_hops")),
        (format!("{good}&x=%ff"), E::Form),
        (good.replace("token-exchange", "refresh"), E::GrantType),
        (good.replace("jwt-bearer", "other"), E::Parameter("client_assertion_type")),
        (good.replace("subject_token=x", "subject_token="), E::Parameter("subject_token")),
        ("x".repeat(70_000), E::TooLarge),
        (String::new(), E::Parameter("grant_type")),
    ] {
        assert_eq!(Request::parse(&form), Err(why), "{form:.300}");
    }
    // Unknown and empty ones do not count.
    assert!(Request::parse(&format!("{good}&new=1&scope=&resource=")).is_ok());
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
