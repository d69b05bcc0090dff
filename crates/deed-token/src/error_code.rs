//! Errors as OAuth clients see them.

use serde::Serialize;
use serde_json::{Value, json};

/// `error` of a refused request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// RFC 6749, section 5.2; also any subject or actor token that is not accepted (RFC 8693, section
    /// 2.2.2).
    InvalidRequest,
    /// RFC 6749, section 5.2: the client did not authenticate itself.
    InvalidClient,
    /// RFC 6749, section 5.2: this client may not do that.
    UnauthorizedClient,
    /// RFC 6749, section 5.2.
    UnsupportedGrantType,
    /// RFC 6749, section 5.2.
    InvalidScope,
    /// RFC 8707, section 2.
    InvalidTarget,
    /// RFC 9396, section 5.
    InvalidAuthorizationDetails,
    /// RFC 9449, section 5.
    InvalidDpopProof,
    /// RFC 9449, section 8.
    UseDpopNonce,
    /// Not known to OAuth's token endpoint; HTTP 503: nothing is wrong with the request.
    TemporarilyUnavailable,
}

impl ErrorCode {
    /// The text of `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::InvalidClient => "invalid_client",
            ErrorCode::UnauthorizedClient => "unauthorized_client",
            ErrorCode::UnsupportedGrantType => "unsupported_grant_type",
            ErrorCode::InvalidScope => "invalid_scope",
            ErrorCode::InvalidTarget => "invalid_target",
            ErrorCode::InvalidAuthorizationDetails => "invalid_authorization_details",
            ErrorCode::InvalidDpopProof => "invalid_dpop_proof",
            ErrorCode::UseDpopNonce => "use_dpop_nonce",
            ErrorCode::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status it comes with.
    pub const fn status(self) -> u16 {
        match self {
            ErrorCode::InvalidClient => 401,
            ErrorCode::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }

    /// The body of the answer (RFC 6749, section 5.2). `error_description` may hold only some characters
    /// of ASCII; others become `?`.
    pub fn body(self, description: &str) -> Value {
        let allowed = |c: char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
        let description: String = description.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
        json!({ "error": self.as_str(), "error_description": description })
    }
}
