//! What OAuth clients read to find their way: RFC 8414, RFC 9728 (with RFC 8707 and RFC 9449).

use serde::Serialize;

use crate::{
    dpop,
    jwk::Algorithm,
    request::{JWT_BEARER_ASSERTION, TOKEN_EXCHANGE},
};

/// `/.well-known/oauth-authorization-server` (RFC 8414, section 2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuthorizationServer {
    /// Equal to `iss` of every token.
    pub issuer: String,
    /// Where a person signs in; there is none unless the server has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where tokens are exchanged.
    pub token_endpoint: String,
    /// RFC 7009.
    pub revocation_endpoint: String,
    /// RFC 7662.
    pub introspection_endpoint: String,
    /// RFC 7517.
    pub jwks_uri: String,
    /// Required by RFC 8414; empty without an authorization endpoint.
    pub response_types_supported: Vec<&'static str>,
    /// Grants.
    pub grant_types_supported: Vec<&'static str>,
    /// How clients authenticate themselves.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// With which signatures.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// As at the token endpoint.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// As at the token endpoint.
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Scopes that may be asked for, if they are to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Types of RFC 9396, if they are to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_details_types_supported: Vec<String>,
    /// RFC 9449, section 5.1.
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 9207: whether answers of the authorization endpoint name the issuer.
    pub authorization_response_iss_parameter_supported: bool,
    /// RFC 7636; only with an authorization endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<&'static str>,
}

impl AuthorizationServer {
    /// The token service at `base`, an issuer URL without a slash at its end.
    pub fn new(base: &str) -> Self {
        let at = |path: &str| format!("{base}{path}");
        let methods = vec!["private_key_jwt"];
        AuthorizationServer {
            issuer: base.to_owned(),
            authorization_endpoint: None,
            token_endpoint: at("/oauth/token"),
            revocation_endpoint: at("/oauth/revoke"),
            introspection_endpoint: at("/oauth/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            response_types_supported: Vec::new(),
            grant_types_supported: vec![TOKEN_EXCHANGE],
            token_endpoint_auth_methods_supported: methods.clone(),
            token_endpoint_auth_signing_alg_values_supported: names(&Algorithm::ALL),
            revocation_endpoint_auth_methods_supported: methods.clone(),
            introspection_endpoint_auth_methods_supported: methods,
            scopes_supported: Vec::new(),
            authorization_details_types_supported: Vec::new(),
            dpop_signing_alg_values_supported: names(&dpop::ACCEPTED),
            authorization_response_iss_parameter_supported: false,
            code_challenge_methods_supported: Vec::new(),
        }
    }

    /// With an authorization endpoint for the code flow, PKCE (`S256`) and RFC 9207.
    pub fn with_sign_in(mut self, authorization_endpoint: &str) -> Self {
        self.authorization_endpoint = Some(authorization_endpoint.to_owned());
        self.response_types_supported = vec!["code"];
        self.grant_types_supported.push("authorization_code");
        self.authorization_response_iss_parameter_supported = true;
        self.code_challenge_methods_supported = vec!["S256"];
        self
    }

    /// Where the document of an issuer lies: its path comes after the well-known one (RFC 8414, section
    /// 3). `None` if the issuer is no `http` URL.
    pub fn path(issuer: &str) -> Option<String> {
        well_known("oauth-authorization-server", issuer)
    }

    /// How clients show assertions, for documentation beside `private_key_jwt`.
    pub const ASSERTION_TYPE: &str = JWT_BEARER_ASSERTION;
}

/// `/.well-known/oauth-protected-resource/…` (RFC 9728, section 2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProtectedResource {
    /// The resource, as it stands in `aud` (RFC 8707).
    pub resource: String,
    /// Issuers whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Scopes that are of use there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Only the header: never the query.
    pub bearer_methods_supported: Vec<&'static str>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// RFC 9449.
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// Whether tokens must be bound.
    pub dpop_bound_access_tokens_required: bool,
}

impl ProtectedResource {
    /// A resource that takes tokens of `issuer`.
    pub fn new(resource: &str, issuer: &str) -> Self {
        ProtectedResource {
            resource: resource.to_owned(),
            authorization_servers: vec![issuer.to_owned()],
            scopes_supported: Vec::new(),
            bearer_methods_supported: vec!["header"],
            resource_name: None,
            dpop_signing_alg_values_supported: names(&dpop::ACCEPTED),
            dpop_bound_access_tokens_required: false,
        }
    }

    /// Where the document of a resource lies (RFC 9728, section 3.1). `None` if it is no `http` URL.
    pub fn path(resource: &str) -> Option<String> {
        well_known("oauth-protected-resource", resource)
    }

    /// The value of `WWW-Authenticate` for a request without a token that holds (RFC 6750, section 3; RFC
    /// 9728, section 5.1), with the URL of this document, and the scope if it was too little.
    pub fn challenge(document: &str, error: Option<&str>, scope: Option<&str>) -> String {
        challenge("Bearer", document, [("error", error), ("scope", scope)])
    }

    /// As [`ProtectedResource::challenge`], for a request whose proof of possession is missing or wrong (RFC 9449, section 7.1),
    /// with the algorithms that proofs may have.
    pub fn proof_challenge(document: &str, error: Option<&str>) -> String {
        let algorithms = names(&dpop::ACCEPTED).join(" ");
        challenge("DPoP", document, [("error", error), ("algs", Some(&algorithms))])
    }
}

fn challenge(scheme: &str, document: &str, more: [(&str, Option<&str>); 2]) -> String {
    let mut challenge = format!("{scheme} resource_metadata=\"{}\"", quoted(document));
    for (name, value) in more {
        if let Some(value) = value {
            challenge.push_str(&format!(", {name}=\"{}\"", quoted(value)));
        }
    }
    challenge
}

/// Nothing that could end a quoted string or a header.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~')).collect()
}

fn names(algorithms: &[Algorithm]) -> Vec<&'static str> {
    algorithms.iter().map(|algorithm| algorithm.name()).collect()
}

fn well_known(name: &str, url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let path = rest.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Some(format!("/.well-known/{name}{slash}{path}"))
}
