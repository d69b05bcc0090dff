//! Whatever is sent, an answer comes back: no parser panics, and what it takes it takes again.

use deed_token::{
    Bundle, Details, Fingerprint, KeySet, PublicKey, Request, Thumbprint, TokenType, scope::Scope,
};
use proptest::prelude::*;

use crate::support::{NOW, World, at, b64, signed, subject};

/// Something between noise and JSON.
fn jsonish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("{".to_owned()),
        Just("}".into()),
        Just("[".into()),
        Just("]".into()),
        Just(",".into()),
        Just(":".into()),
        "\"(keys|kty|crv|x|y|n|e|use|kid|alg|typ|iss|sub|aud|exp|type|actions|OKP|EC|RSA|Ed25519|EdDSA|P-256)\"",
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?",
        Just("null".into()),
        Just("true".into()),
        ".{0,3}",
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// Forms of known names and any values.
fn formish() -> impl Strategy<Value = String> {
    let name = "(grant_type|subject_token|subject_token_type|actor_token|client_assertion|resource|audience|scope|\
                authorization_details|deed_hops|deed_expires_in|request_details)";
    let value = prop_oneof!["[ -~]{0,20}", "(%[0-9a-fA-F]{2}){0,6}", ".{0,6}", jsonish()];
    prop::collection::vec((name, value), 0..10)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| format!("{name}={value}&")).collect())
}

proptest! {
    #[test]
    fn documents(text in prop_oneof![jsonish(), ".{0,60}"]) {
        if let Ok(key) = PublicKey::parse(&text) {
            let again = PublicKey::parse(&key.to_jwk().to_string()).unwrap();
            prop_assert_eq!(again.thumbprint(), key.thumbprint());
        }
        prop_assert!(KeySet::parse(&text).is_ok_and(|set| set.keys().len() <= 64) || KeySet::parse(&text).is_err());
        prop_assert_eq!(Bundle::parse(&text).is_ok(), Bundle::parse(&text).is_ok());
        if let Ok(details) = Details::parse(&text) {
            prop_assert!(details.is_within(&details));
        }
        if let Some(scope) = Scope::parse(&text) {
            prop_assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        if let Some(thumbprint) = Thumbprint::parse(&text) {
            prop_assert_eq!(thumbprint.to_string(), text.clone());
        }
        prop_assert!(text.parse::<Fingerprint>().is_err() || text.len() == 71);
    }

    #[test]
    fn forms(text in prop_oneof![formish(), ".{0,80}"]) {
        if let Err(error) = Request::parse(&text) {
            prop_assert!(error.body()["error_description"].is_string());
        }
    }

    #[test]
    fn tokens(header in jsonish(), payload in jsonish(), noise in ".{0,40}", token in "[A-Za-z0-9_.-]{0,80}") {
        let world = World::new();
        for token in [
            noise.clone(),
            token,
            format!("{}.{}.{noise}", b64(header.as_bytes()), b64(payload.as_bytes())),
            signed(1, r#"{"alg":"EdDSA"}"#, &payload),
            signed(1, &header, &payload),
        ] {
            prop_assert!(subject(&world, &token).is_err());
            prop_assert!(world.trust.actor(&token, at(NOW), &world.used).is_err());
            prop_assert!(world.issuer.verify(&token, at(NOW)).is_err());
            prop_assert!(world.trust.subject(&token, TokenType::IdToken, &world.issuer, at(NOW)).is_err());
        }
    }
}
