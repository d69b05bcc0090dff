//! Another library reads what is signed here, and signs what is read here.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, KeyPair, RsaEncoding, RsaKeyPair},
};
use deed_token::{Algorithm, KeySet, OidcIssuer, TokenType, VerifyError, trust::TenantOf};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::support::{NOW, TICKETS, World, at, b64};

#[test]
fn it_verifies_our_tokens() {
    let mut world = World::new();
    let token = world.planner("");
    let jwks: JwkSet = serde_json::from_value(world.issuer.jwks(at(NOW))).unwrap();
    let kid = jsonwebtoken::decode_header(token.text()).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[TICKETS]);
    validation.set_issuer(&["https://deed.example"]);
    // Our clock is not its own.
    validation.validate_exp = false;
    let read = jsonwebtoken::decode::<Value>(token.text(), &key, &validation).unwrap();
    assert_eq!(
        (read.claims["scope"].as_str(), read.header.typ.as_deref()),
        (Some("tickets:read tickets:write"), Some("at+jwt"))
    );
}

#[test]
fn we_verify_its_tokens() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    };
    for (signing, width, crv, algorithm) in [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, 32, "P-256", jsonwebtoken::Algorithm::ES256),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, 48, "P-384", jsonwebtoken::Algorithm::ES384),
    ] {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(width);
        let jwk = json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y), "kid": "k" });
        let header = Header { kid: Some("k".into()), ..Header::new(algorithm) };
        let token =
            jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_ec_der(pkcs8.as_ref())).unwrap();
        assert_eq!(read(&jwk, &token), Ok("oidc:two.example/ann".to_owned()));
        assert_eq!(read(&jwk, &flipped(&token)), Err(VerifyError::Signature));
    }
}

#[test]
fn rsa_signatures_of_every_kind() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // DER of an RSAPublicKey with 2048 bits: a sequence of two integers.
    let der = pair.public_key().as_ref();
    assert_eq!((der.len(), &der[..9]), (270, &[0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0][..]));
    let (n, e) = (b64(&der[9..265]), b64(&der[267..]));
    let jwk = json!({ "kty": "RSA", "n": n, "e": e });
    let ways: [(&'static dyn RsaEncoding, Algorithm, jsonwebtoken::Algorithm); 6] = [
        (&signature::RSA_PKCS1_SHA256, Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        (&signature::RSA_PKCS1_SHA384, Algorithm::Rs384, jsonwebtoken::Algorithm::RS384),
        (&signature::RSA_PKCS1_SHA512, Algorithm::Rs512, jsonwebtoken::Algorithm::RS512),
        (&signature::RSA_PSS_SHA256, Algorithm::Ps256, jsonwebtoken::Algorithm::PS256),
        (&signature::RSA_PSS_SHA384, Algorithm::Ps384, jsonwebtoken::Algorithm::PS384),
        (&signature::RSA_PSS_SHA512, Algorithm::Ps512, jsonwebtoken::Algorithm::PS512),
    ];
    for (encoding, algorithm, theirs) in ways {
        let sign = |alg: &str| {
            let header = json!({ "alg": alg, "typ": "JWT" });
            let text =
                format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims().to_string().as_bytes()));
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
            format!("{text}.{}", b64(&signature))
        };
        let token = sign(algorithm.name());
        assert_eq!(read(&jwk, &token), Ok("oidc:two.example/ann".to_owned()));
        assert_eq!(read(&jwk, &flipped(&token)), Err(VerifyError::Signature));
        // The other library agrees, for the token and for the changed one.
        let key = DecodingKey::from_rsa_components(&n, &e).unwrap();
        let mut validation = Validation::new(theirs);
        validation.set_audience(&["deed"]);
        validation.validate_exp = false;
        assert!(jsonwebtoken::decode::<Value>(&token, &key, &validation).is_ok());
        assert!(jsonwebtoken::decode::<Value>(&flipped(&token), &key, &validation).is_err());
        // A key that is for one of them is for no other.
        let mut only = jwk.clone();
        only["alg"] = json!(algorithm.name());
        assert!(read(&only, &token).is_ok());
        only["alg"] = json!(if algorithm == Algorithm::Rs256 { "PS256" } else { "RS256" });
        assert_eq!(read(&only, &token), Err(VerifyError::Signature));
        assert!(read(&jwk, &sign(if algorithm == Algorithm::Rs256 { "PS256" } else { "RS256" })).is_err());
    }
}

fn claims() -> Value {
    json!({ "iss": "https://two.example", "sub": "ann", "aud": "deed", "exp": NOW + 60 })
}

fn read(jwk: &Value, token: &str) -> Result<String, VerifyError> {
    let mut world = World::new();
    let keys = KeySet::parse(&json!({ "keys": [jwk] }).to_string()).unwrap();
    let issuer = OidcIssuer::new("https://two.example", "deed", TenantOf::Fixed("acme".into()), keys);
    world.trust.add_issuer(issuer).unwrap();
    let subject = world.trust.subject(token, TokenType::IdToken, &world.issuer, at(NOW))?;
    Ok(subject.key().to_owned())
}

/// With another claim, and the old signature.
fn flipped(token: &str) -> String {
    let mut parts = token.split('.');
    let header = parts.next().unwrap();
    let mut changed = claims();
    changed["sub"] = json!("eve");
    let signature = parts.nth(1).unwrap();
    format!("{header}.{}.{signature}", b64(changed.to_string().as_bytes()))
}
