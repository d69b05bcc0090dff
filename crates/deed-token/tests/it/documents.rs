//! What clients read to find their way.

use deed_token::metadata::{AuthorizationServer, ProtectedResource};
use serde_json::{json, to_value};

use crate::support::{SERVICE, TICKETS};

#[test]
fn the_authorization_server_document() {
    let document = to_value(AuthorizationServer::new(SERVICE)).unwrap();
    assert_eq!(
        document,
        json!({
            "issuer": "https://deed.example",
            "token_endpoint": "https://deed.example/oauth/token",
            "revocation_endpoint": "https://deed.example/oauth/revoke",
            "introspection_endpoint": "https://deed.example/oauth/introspect",
            "jwks_uri": "https://deed.example/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported":
                ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
            "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
            "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "ES384", "PS256", "RS256"],
            "authorization_response_iss_parameter_supported": false,
        })
    );
    let sign_in = AuthorizationServer::new(SERVICE).with_sign_in("https://deed.example/oauth/authorize");
    let document = to_value(sign_in).unwrap();
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
}

#[test]
fn the_protected_resource_document_and_its_challenge() {
    let document = to_value(ProtectedResource::new(TICKETS, SERVICE)).unwrap();
    assert_eq!(
        (&document["resource"], &document["authorization_servers"]),
        (&json!(TICKETS), &json!([SERVICE]))
    );
    let challenge = ProtectedResource::challenge("https://a/b", Some("insufficient_scope"), Some("x y"));
    assert_eq!(
        challenge,
        r#"Bearer resource_metadata="https://a/b", error="insufficient_scope", scope="x y""#
    );
    // Nobody writes further headers with a scope.
    let quiet = ProtectedResource::challenge("https://a/b", None, Some("x\"\r\nSet-Cookie: y"));
    assert!(!quiet.contains(['\r', '\n']) && quiet.matches('"').count() == 4);
    assert_eq!(
        ProtectedResource::proof_challenge("https://a/b", Some("invalid_dpop_proof")),
        r#"DPoP resource_metadata="https://a/b", error="invalid_dpop_proof", algs="ES256 EdDSA ES384 PS256 RS256""#
    );
}

#[test]
fn documents_lie_where_the_rfcs_say() {
    let resource = |url| ProtectedResource::path(url);
    let known = "/.well-known/oauth-protected-resource";
    assert_eq!(resource("https://a.example/mcp/files"), Some(format!("{known}/mcp/files")));
    assert_eq!(resource("https://a.example"), Some(known.to_owned()));
    assert_eq!(resource("https://a.example/"), Some(known.to_owned()));
    assert_eq!(resource("urn:a"), None);
    let server = AuthorizationServer::path("http://127.0.0.1:7400");
    assert_eq!(server.as_deref(), Some("/.well-known/oauth-authorization-server"));
}
