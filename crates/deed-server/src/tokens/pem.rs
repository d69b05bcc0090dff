//! Public keys of agents in files: JWK, JWKS, or PEM (SubjectPublicKeyInfo of Ed25519 and P-256).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use deed_token::KeySet;
use serde_json::{Value, json};

/// RFC 8410, section 4: everything before the 32 bytes of an Ed25519 key.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// RFC 5480, section 2: everything before the two coordinates of a P-256 key.
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The public keys in `text`.
///
/// # Errors
/// There is none, or one that cannot be used.
pub(super) fn keys(text: &str) -> Result<KeySet, String> {
    let jwks = match text.contains("-----BEGIN") {
        true => json!({ "keys": [pem(text)?] }).to_string(),
        false => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) if object.contains_key("keys") => text.to_owned(),
            Ok(jwk @ Value::Object(_)) => json!({ "keys": [jwk] }).to_string(),
            _ => return Err("expected a JWK, a JWKS, or a public key in PEM".to_owned()),
        },
    };
    let keys = KeySet::parse(&jwks).map_err(|error| error.to_string())?;
    match keys.left_out() {
        [(_, error), ..] => Err(error.to_string()),
        [] => Ok(keys),
    }
}

fn pem(text: &str) -> Result<Value, String> {
    if text.contains("PRIVATE KEY") {
        return Err(
            "it holds a private key; give the public one alone, and keep that one where it is used".into()
        );
    }
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN PUBLIC KEY"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let der = STANDARD.decode(body).map_err(|_| "the PEM is damaged".to_owned())?;
    if let Some(x) = der.strip_prefix(&ED25519).filter(|x| x.len() == 32) {
        return Ok(json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x) }));
    }
    if let Some(point) = der.strip_prefix(&P256).filter(|point| point.len() == 64) {
        let (x, y) = point.split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        return Ok(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }));
    }
    Err("expected an Ed25519 or P-256 key in PEM; give any other as JWK".to_owned())
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn reads_public_keys_and_refuses_private_ones() {
        // RFC 8410, section 10.1.
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let p256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\niTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==\n-----END PUBLIC KEY-----\n";
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        for good in [ed25519, p256, jwk, &format!("{{\"keys\":[{jwk}]}}")] {
            assert_eq!(keys(good).expect(good).keys().len(), 1);
        }
        let private = jwk.replace("\"x\"", "\"d\":\"c2VjcmV0\",\"x\"");
        for bad in
            [&ed25519.replace("PUBLIC", "PRIVATE"), &private, "", "[]", &ed25519.replace("MCow", "MCox")]
        {
            let error = keys(bad).expect_err(bad);
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
