//! Tokens that work only for whoever holds a key (RFC 9449).

use std::sync::Mutex;

use deed_token::{
    ErrorCode, ExchangeError, Expected, Proof, ReplaySet, SigningKey, VerifyError,
    dpop::{ProofError, check_binding},
};
use serde_json::{Value, json};

use crate::support::{Ask, ENDPOINT, NOW, TICKETS, World, at, dpop, key, signed};

const EXPECTED: Expected<'_> =
    Expected { method: "POST", uri: ENDPOINT, token: None, nonce: None, window: 60 };

fn verify(proof: &str, expected: Expected<'_>) -> Result<Proof, ProofError> {
    Proof::verify(proof, expected, at(NOW), &Mutex::new(ReplaySet::new(10)))
}

#[test]
fn proofs_are_for_one_request() {
    let by = |more: Value| verify(&dpop(&key(40), NOW, more), EXPECTED);
    assert_eq!(by(json!({})).unwrap().thumbprint(), key(40).public().thumbprint());
    assert!(by(json!({ "htu": "HTTPS://DEED.example:443/oauth/token?x=y" })).is_ok());
    assert!(by(json!({ "iat": NOW - 60 })).is_ok() && by(json!({ "iat": NOW + 60 })).is_ok());
    for (more, why) in [
        (json!({ "htm": "GET" }), ProofError::Request("htm")),
        (json!({ "htm": "post" }), ProofError::Request("htm")),
        (json!({ "htu": "https://deed.example/oauth/revoke" }), ProofError::Request("htu")),
        (json!({ "htu": "https://evil.example/oauth/token" }), ProofError::Request("htu")),
        (json!({ "htu": "/oauth/token" }), ProofError::Token(VerifyError::Claim("htu"))),
        (json!({ "iat": NOW - 61 }), ProofError::Time(60)),
        (json!({ "iat": NOW + 61 }), ProofError::Time(60)),
        (json!({ "iat": null }), ProofError::Token(VerifyError::Missing("iat"))),
        (json!({ "jti": null }), ProofError::Token(VerifyError::Missing("jti"))),
        (json!({ "exp": NOW }), ProofError::Token(VerifyError::Expired)),
        (json!({ "nbf": NOW + 61 }), ProofError::Token(VerifyError::NotYetValid)),
    ] {
        assert_eq!(by(more.clone()), Err(why), "{more}");
    }
    let with_token = Expected { token: Some("abc"), ..EXPECTED };
    assert_eq!(verify(&dpop(&key(40), NOW, json!({})), with_token), Err(ProofError::TokenHash));
    let ath = json!({ "ath": "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" });
    assert!(verify(&dpop(&key(40), NOW, ath), with_token).is_ok());
    let with_nonce = Expected { nonce: Some("n-1"), ..EXPECTED };
    assert_eq!(verify(&dpop(&key(40), NOW, json!({})), with_nonce), Err(ProofError::Nonce));
    assert!(verify(&dpop(&key(40), NOW, json!({ "nonce": "n-1" })), with_nonce).is_ok());
}

#[test]
fn proofs_carry_a_public_key_that_made_them() {
    let claims = json!({ "htm": "POST", "htu": ENDPOINT, "iat": NOW, "jti": "1" }).to_string();
    let jwk = |seed: u8| key(seed).public().to_jwk();
    let header = |jwk: Value, typ: &str, alg: &str| json!({ "typ": typ, "alg": alg, "jwk": jwk }).to_string();
    let good = header(jwk(41), "dpop+jwt", "EdDSA");
    assert!(verify(&signed(41, &good, &claims), EXPECTED).is_ok());
    let mut private = jwk(41);
    private["d"] = json!("AAAA");
    for bad in [
        header(jwk(41), "JWT", "EdDSA"),
        header(jwk(41), "dpop+jwt", "HS256"),
        header(jwk(41), "dpop+jwt", "none"),
        header(jwk(41), "dpop+jwt", "ES256"),
        header(jwk(42), "dpop+jwt", "EdDSA"),
        header(private, "dpop+jwt", "EdDSA"),
        header(json!({ "kty": "oct", "k": "AAAA" }), "dpop+jwt", "EdDSA"),
        header(json!("x"), "dpop+jwt", "EdDSA"),
        json!({ "typ": "dpop+jwt", "alg": "EdDSA" }).to_string(),
    ] {
        assert!(verify(&signed(41, &bad, &claims), EXPECTED).is_err(), "{bad}");
    }
}

#[test]
fn proofs_are_used_once_and_memory_is_bounded() {
    let used = Mutex::new(ReplaySet::new(2));
    let verify = |proof: &str, now| Proof::verify(proof, EXPECTED, at(now), &used);
    let first = dpop(&key(40), NOW, json!({}));
    assert!(verify(&first, NOW).is_ok());
    assert_eq!(verify(&first, NOW + 1), Err(ProofError::Token(VerifyError::Replayed)));
    // Remembered as long as it would be accepted.
    assert_eq!(verify(&first, NOW + 60), Err(ProofError::Token(VerifyError::Replayed)));
    assert_eq!(verify(&first, NOW + 61), Err(ProofError::Time(60)));
    // The same id of another key is another proof.
    assert!(verify(&dpop(&key(40), NOW, json!({ "jti": "1" })), NOW).is_ok());
    let full = verify(&dpop(&key(41), NOW, json!({ "jti": "1" })), NOW).unwrap_err();
    assert_eq!(full, ProofError::Token(VerifyError::Full));
    assert_eq!(ExchangeError::Proof(full).code(), ErrorCode::TemporarilyUnavailable);
    // What is refused otherwise takes no room.
    assert!(verify(&dpop(&key(41), NOW + 61, json!({ "htm": "GET" })), NOW + 61).is_err());
    assert!(verify(&dpop(&key(41), NOW + 61, json!({})), NOW + 61).is_ok());
}

#[test]
fn a_binding_is_never_lost() {
    let mut world = World::new();
    let (mine, theirs) = (key(40), key(41));
    let ann = world.ann(json!({}));
    let form = format!("resource={TICKETS}&deed_may_act=agent:coder");
    let bound = world.ask(Ask::new(&ann, "planner", &form).with_proof(&mine)).unwrap();
    assert_eq!(bound.own.terms().bound_to, Some(mine.public().thumbprint()));
    assert_eq!(bound.grant.response(&bound.text)["token_type"], "DPoP");

    let mut ask = |agent: &str, proof: Option<&SigningKey>| {
        let ask = Ask { proof, ..Ask::new(bound.text(), agent, "") };
        world.ask(ask).map(|token| token.own.terms().bound_to)
    };
    assert_eq!(ask("planner", None), Err(ExchangeError::Proof(ProofError::Absent)));
    assert_eq!(ask("planner", Some(&theirs)), Err(ExchangeError::Proof(ProofError::OtherKey)));
    assert_eq!(ask("planner", Some(&mine)), Ok(Some(mine.public().thumbprint())));
    assert_eq!(ask("coder", None), Err(ExchangeError::NoProof));
    assert_eq!(ask("coder", Some(&theirs)), Ok(Some(theirs.public().thumbprint())));

    assert_eq!(check_binding(None, None), Ok(()));
    assert_eq!(check_binding(bound.own.terms().bound_to, None), Err(ProofError::Absent));
}

#[test]
fn bound_subject_tokens_need_their_key_or_a_name() {
    let mut world = World::new();
    let anns = key(42);
    let cnf = json!({ "jkt": anns.public().thumbprint().to_string() });
    let form = format!("resource={TICKETS}");
    let ann = world.ann(json!({ "cnf": cnf }));
    let refused = world.ask(Ask::new(&ann, "planner", &form)).unwrap_err();
    assert_eq!(refused, ExchangeError::Proof(ProofError::Absent));
    assert!(world.ask(Ask::new(&ann, "planner", &form).with_proof(&anns)).is_ok());
    let named = world.ann(json!({ "cnf": cnf, "may_act": { "sub": "agent:planner" } }));
    assert!(world.ask(Ask::new(&named, "planner", &form)).is_ok());
    // Where all tokens are bound.
    world.policy.requires_proof = true;
    let plain = world.ann(json!({}));
    let refused = world.ask(Ask::new(&plain, "planner", &form)).unwrap_err();
    assert_eq!((refused.clone(), refused.code()), (ExchangeError::NoProof, ErrorCode::InvalidDpopProof));
}
