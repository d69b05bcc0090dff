//! Public keys as JSON Web Keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_seal::note::{KeyType, VerifierKey};
use serde_json::{Value, json};

/// The key of a C2SP vkey as a JWK; `None` for a sort that JOSE has no name for.
pub(crate) fn jwk(vkey: &str) -> Option<Value> {
    let key: VerifierKey = vkey.parse().ok()?;
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let id: String = key.key_id().iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{}+{id}", key.name());
    match key.kind() {
        // RFC 8037.
        KeyType::Ed25519 => Some(
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": public }),
        ),
        // The key type of ML-DSA in JOSE.
        KeyType::MlDsa44 => {
            Some(json!({ "kty": "AKP", "alg": "ML-DSA-44", "use": "sig", "kid": id, "pub": public }))
        }
        _ => None,
    }
}
