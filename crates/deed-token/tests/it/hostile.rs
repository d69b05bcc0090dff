//! Forged, expired, ambiguous and misdirected tokens.

use deed_token::{
    LARGEST_TOKEN, OidcIssuer, Request, TokenType, VerifyError,
    exchange::ExchangeError as E,
    trust::{TenantOf, TrustError},
};
use serde_json::{Value, json};

use crate::support::{
    Ask, IDP, NOW, SERVICE, TICKETS, World, at, b64, client, key, merged, set, signed, subject,
};

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
        (
            json!({ "aud": "other" }),
            VerifyError::Audience {
                expected: "one of the `audiences` that this server has for its issuer (`[[issuer]]`)",
            },
        ),
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
        (
            format!("{good}&deed_hops=256"),
            E::Number { name: "deed_hops", expected: "a whole number from 0 to 255" },
        ),
        (
            format!("{good}&deed_hops=%2B1"),
            E::Number { name: "deed_hops", expected: "a whole number from 0 to 255" },
        ),
        (
            format!("{good}&deed_expires_in=5m"),
            E::Number { name: "deed_expires_in", expected: "a whole number of seconds, 1 or more" },
        ),
        (format!("{good}&x=%ff"), E::Form),
        (good.replace("token-exchange", "refresh"), E::GrantType),
        (good.replace("jwt-bearer", "other"), E::Parameter("client_assertion_type")),
        (good.replace("subject_token=x", "subject_token="), E::Parameter("subject_token")),
        ("x".repeat(70_000), E::TooLarge),
        (String::new(), E::Parameter("grant_type")),
    ] {
        assert_eq!(Request::parse(&form), Err(why), "{form:.300}");
    }
    // What OAuth lets a description hold: nothing of it is lost.
    let details = format!("{good}&authorization_details=%5B%7B%22type%22%3A%22t%22%2C%22n%22%3A1.5%7D%5D");
    let said = Request::parse(&details).unwrap_err().body()["error_description"].to_string();
    assert!(said.contains("from -2^53 to 2^53") && !said.contains('?'), "{said}");
    // Unknown and empty ones do not count.
    assert!(Request::parse(&format!("{good}&new=1&scope=&resource=")).is_ok());
}

#[test]
fn tokens_in_the_wrong_parameter_are_not_shown() {
    let mut world = World::new();
    let ann = world.ann(json!({}));
    for form in
        [format!("resource={TICKETS}&scope={ann}"), format!("audience={ann}"), format!("resource=x:{ann}")]
    {
        let error = world.ask(Ask::new(&ann, "planner", &form)).unwrap_err();
        let signature = ann.rsplit('.').next().unwrap();
        assert!(!format!("{error} {error:?} {}", error.body()).contains(signature), "{error}");
    }
}
