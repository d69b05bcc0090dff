//! Keys: what is read, what is left out, and rotation without an interruption.

use deed_token::{
    Bundle, Issuer, KeySet, PublicKey, SigningKey, VerifyError, issue::IssueError, jwk::KeyError,
};
use serde_json::{Value, json};

use crate::support::{Ask, NOW, TICKETS, World, at, b64, key};

fn ed(more: Value) -> Value {
    crate::support::merged(key(1).public().to_jwk(), more)
}

#[test]
fn keys_that_are_none_are_refused() {
    let refused = |jwk: Value| PublicKey::parse(&jwk.to_string()).unwrap_err();
    assert_eq!(refused(ed(json!({ "d": "AAAA" }))), KeyError::Private("d"));
    assert_eq!(refused(json!({ "kty": "oct", "k": "AAAA" })), KeyError::Private("k"));
    assert_eq!(refused(json!({ "kty": "oct" })), KeyError::Unsupported);
    assert_eq!(refused(ed(json!({ "crv": "Ed448" }))), KeyError::Unsupported);
    assert_eq!(refused(ed(json!({ "x": "AAAA" }))), KeyError::Member("x"));
    assert_eq!(refused(ed(json!({ "alg": "HS256" }))), KeyError::NotForVerifying);
    assert_eq!(refused(ed(json!({ "alg": "ES256" }))), KeyError::NotForVerifying);
    assert_eq!(refused(ed(json!({ "key_ops": ["encrypt"] }))), KeyError::NotForVerifying);
    // Not on the curve.
    let point = json!({ "kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[1; 32]) });
    assert_eq!(refused(point), KeyError::Invalid);
    // 1024 bits.
    let small = json!({ "kty": "RSA", "n": b64(&[0xff; 128]), "e": "AQAB" });
    assert_eq!(refused(small), KeyError::Invalid);
    assert_eq!(PublicKey::parse(r#"{"kty":"OKP","kty":"EC"}"#).unwrap_err(), KeyError::NotAnObject);
}

#[test]
fn sets_leave_out_what_is_not_for_verifying() {
    let keys = json!({ "keys": [
        ed(json!({})), ed(json!({ "use": "enc" })), { "kty": "oct", "k": "AAAA" }, { "kty": "new" }, 7,
    ] });
    let set = KeySet::parse(&keys.to_string()).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!(set.left_out().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for bad in ["{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "x"] {
        assert!(KeySet::parse(bad).is_err(), "{bad}");
    }
    let many = json!({ "keys": vec![Value::Null; 65] });
    assert!(KeySet::parse(&many.to_string()).is_err());
}

#[test]
fn bundles_keep_keys_for_jwt_svids() {
    let keys = json!({
        "spiffe_sequence": 7, "spiffe_refresh_hint": 300,
        "keys": [ed(json!({ "use": "jwt-svid" })), ed(json!({ "use": "x509-svid" })), ed(json!({})),
                 ed(json!({ "use": "jwt-svid", "kid": null }))],
    });
    let bundle = Bundle::parse(&keys.to_string()).unwrap();
    assert_eq!((bundle.jwt.keys().len(), bundle.sequence, bundle.refresh_hint), (1, Some(7), Some(300)));
    // Revoked all: valid, and empty.
    assert!(Bundle::parse(r#"{"keys":[]}"#).unwrap().jwt.keys().is_empty());
    assert!(Bundle::parse(r#"{"keys":[],"spiffe_sequence":"7"}"#).is_err());
}

#[test]
fn rotation_interrupts_nobody() {
    let mut world = World::new();
    let before = world.planner("");
    let (old, new) = (key(9).public().thumbprint().to_string(), key(10).public().thumbprint().to_string());

    // Published at once, signs in a minute, the old one verifies for five more.
    world.issuer.rotate(key(10), at(NOW + 60), 300).unwrap();
    let kids = |issuer: &Issuer, now| {
        let keys = issuer.jwks(at(now))["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kids(&world.issuer, NOW), [old.clone(), new.clone()]);
    assert_eq!(kids(&world.issuer, NOW + 359), [old, new.clone()]);
    assert_eq!(kids(&world.issuer, NOW + 360), std::slice::from_ref(&new));

    let ann = world.ann(json!({}));
    let form = format!("resource={TICKETS}");
    let still = world.ask(Ask::new(&ann, "planner", &form).at(NOW + 59)).unwrap();
    let after = world.ask(Ask::new(&ann, "planner", &form).at(NOW + 60)).unwrap();
    for token in [&before, &still, &after] {
        assert!(world.issuer.verify(token.text(), at(NOW + 60)).is_ok());
    }
    // It would have lived a second longer than its key.
    assert!(world.issuer.verify(still.text(), at(NOW + 358)).is_ok());
    world.issuer.forget(at(NOW + 361));
    assert_eq!(world.issuer.verify(still.text(), at(NOW + 100)), Err(VerifyError::Signature));

    // A key that leaked is gone at once; without another nothing is signed.
    assert!(world.issuer.withdraw(&new, at(NOW + 100)));
    assert_eq!(world.issuer.verify(after.text(), at(NOW + 100)), Err(VerifyError::Signature));
    assert_eq!(world.issuer.sign(&after.grant), Err(IssueError::Sign));
}

#[test]
fn withdrawing_a_key_to_come_leaves_the_current_one() {
    let mut issuer = World::new().issuer;
    issuer.rotate(key(10), at(NOW + 60), 300).unwrap();
    assert_eq!(issuer.rotate(key(10), at(NOW + 90), 300), Err(IssueError::Known));
    assert_eq!(issuer.rotate(key(12), at(NOW), 300), Err(IssueError::Earlier));
    assert!(issuer.withdraw(&key(10).public().thumbprint().to_string(), at(NOW)));
    assert!(!issuer.withdraw("nobody", at(NOW)));
    assert_eq!(issuer.jwks(at(NOW + 10_000))["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn es256_signs_too() {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
    };
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let mut world = World::new();
    world.issuer = Issuer::new(crate::support::SERVICE, SigningKey::es256(pkcs8.as_ref()).unwrap());
    let token = world.planner("");
    assert_eq!(world.issuer.verify_for(token.text(), TICKETS, at(NOW)).unwrap(), token.own);
    assert!(SigningKey::es256(b"no key").is_err() && SigningKey::ed25519(&[0; 31]).is_err());
    assert!(!format!("{:?}", key(7)).contains(&b64(&[7; 32])));
}
