//! The resource side: who stands behind a request to an MCP server, and how a client is sent to sign in.

use axum::response::{IntoResponse, Response};
use deed_gateway::Who;
use deed_record::{RecordId, Timestamp};
use deed_token::{Details, ErrorCode, Scope, metadata::ProtectedResource};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{json, value::RawValue};

use super::Tokens;
use crate::problem::RETRY_AFTER;

/// Who stands behind a request: what a token says that was issued for this resource, holds now, and came
/// with the proof that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    /// On whose behalf; `None` where the executor acts for itself.
    pub(crate) initiator: Option<Who>,
    /// Who acts.
    pub(crate) executor: Who,
    /// The actors between them, the first of them first.
    pub(crate) chain: Vec<Who>,
    /// The token, as records have it (`deed_record::Credential`): never the token itself (INVARIANT D9).
    pub(crate) credential: Box<RawValue>,
    /// Whose.
    pub(crate) tenant: String,
    /// What it allows; nothing where the issuer says nothing of scopes.
    pub(crate) scope: Scope,
    /// What it allows beside its scope (RFC 9396).
    pub(crate) details: Details,
    /// What it is for, as the client said when it was issued.
    pub(crate) task: Option<String>,
    /// The record of its issue, where Deed issued it.
    pub(crate) grant: Option<RecordId>,
    /// Every name of it and of all that it was made from: ids, fingerprints. Whatever is suspended of them
    /// stops it.
    pub(crate) lineage: Vec<String>,
    /// When it expires.
    pub(crate) expires: Timestamp,
}

/// Why a request is not let through, and what its client can do about it (RFC 6750, section 3; RFC 9449,
/// section 7.1; RFC 9728, section 5.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    status: StatusCode,
    error: Option<&'static str>,
    why: String,
    /// The scope that would be enough.
    scope: Option<String>,
    /// URL of the metadata of the resource.
    document: String,
    /// Whether a proof is needed, or was wrong.
    proof: bool,
}

impl Challenge {
    /// No token was shown.
    pub(crate) fn absent(resource: &str) -> Self {
        let why = "send `Authorization: Bearer` (or `DPoP`) and an access token for this resource";
        Challenge { error: None, ..Challenge::new(resource, StatusCode::UNAUTHORIZED, "", why) }
    }

    /// The token does not hold here: malformed, for another resource, expired, revoked, suspended.
    pub(crate) fn invalid(resource: &str, why: impl Into<String>) -> Self {
        Challenge::new(resource, StatusCode::UNAUTHORIZED, "invalid_token", why)
    }

    /// The proof of possession is missing or wrong.
    pub(crate) fn proof(resource: &str, why: impl Into<String>) -> Self {
        let error = ErrorCode::InvalidDpopProof.as_str();
        Challenge { proof: true, ..Challenge::new(resource, StatusCode::UNAUTHORIZED, error, why) }
    }

    /// The request itself cannot be understood: two tokens, say.
    pub(crate) fn malformed(resource: &str, why: impl Into<String>) -> Self {
        Challenge::new(resource, StatusCode::BAD_REQUEST, "invalid_request", why)
    }

    /// The token holds, but what is asked takes more than it allows: `scope`.
    pub(crate) fn scope(resource: &str, scope: &str) -> Self {
        let why = format!("it takes the scope `{scope}`");
        let challenge = Challenge::new(resource, StatusCode::FORBIDDEN, "insufficient_scope", why);
        Challenge { scope: Some(scope.to_owned()), ..challenge }
    }

    /// It cannot be known now whether the token holds.
    pub(crate) fn unavailable(resource: &str, why: impl Into<String>) -> Self {
        let error = ErrorCode::TemporarilyUnavailable.as_str();
        Challenge::new(resource, StatusCode::SERVICE_UNAVAILABLE, error, why)
    }

    fn new(resource: &str, status: StatusCode, error: &'static str, why: impl Into<String>) -> Self {
        let document = metadata_url(resource).unwrap_or_default();
        Challenge { status, error: Some(error), why: why.into(), scope: None, document, proof: false }
    }

    /// The HTTP status: 401, 403 for too little scope, 400, 503.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The OAuth error code; `None` where no token was shown.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.error
    }

    /// What is wrong, without a value of the token (INVARIANT D9).
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// What goes with the status: `WWW-Authenticate`, or when to come again.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
            return headers;
        }
        // `Bearer` first: there are clients that look at the first one alone.
        let schemes = ["Bearer", "DPoP"].into_iter().take(if self.proof { 2 } else { 1 });
        for scheme in schemes {
            let text =
                ProtectedResource::challenge(scheme, &self.document, self.error, self.scope.as_deref());
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
        }
        headers
    }
}

impl IntoResponse for Challenge {
    fn into_response(self) -> Response {
        let mut headers = self.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let error = self.error.unwrap_or("invalid_token");
        let body = json!({ "error": error, "error_description": self.why }).to_string();
        (self.status, headers, body).into_response()
    }
}

/// Where the metadata of `resource` is (RFC 9728, section 3.1); `None` if it is no `http` URL.
fn metadata_url(resource: &str) -> Option<String> {
    let path = ProtectedResource::path(resource)?;
    let start = resource.find("://")? + 3;
    let end = resource[start..].find('/').map_or(resource.len(), |slash| start + slash);
    Some(format!("{}{path}", &resource[..end]))
}

impl Tokens {
    /// The resource that the MCP server `server` is (RFC 8707): `aud` of tokens for it.
    pub(crate) fn resource_of(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.url)
    }

    /// Verifies the token of a request to `resource`: one of Deed's own, or an access token of a trusted
    /// OIDC issuer. `url` is that of the request as the client sees it, for the proof of possession.
    ///
    /// INVARIANT D7: a token for another audience is refused, and none is passed on.
    ///
    /// # Errors
    /// How the client is answered.
    pub(crate) async fn verify(
        &self,
        headers: &HeaderMap,
        _method: &Method,
        _url: &str,
        resource: &str,
    ) -> Result<Presented, Challenge> {
        if !headers.contains_key(header::AUTHORIZATION) {
            return Err(Challenge::absent(resource));
        }
        Err(Challenge::unavailable(resource, "the token service is not set up"))
    }
}
