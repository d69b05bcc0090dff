//! Why a token is not believed.

use crate::details::DetailsError;

/// Why a JWT was refused. No variant carries any of its text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Larger than [`crate::LARGEST_TOKEN`].
    #[error("the token is larger than 16 KiB")]
    TooLarge,
    /// Not three parts of base64url (RFC 7515, section 3.1).
    #[error("the token is no JWT in compact form")]
    NotCompact,
    /// Header or payload is no strict JSON object.
    #[error("the {part} of the token is no strict JSON object: {what}")]
    Json {
        /// `header` or `payload`.
        part: &'static str,
        /// What is wrong, without quoting it.
        what: String,
    },
    /// `alg` is `none`, a shared-secret one, unknown, or not allowed here.
    #[error("`alg` of the token is not accepted here; use an asymmetric signature such as ES256 or EdDSA")]
    Algorithm,
    /// A header parameter that is not allowed.
    #[error("header parameter `{0}` of the token is wrong, or not accepted here")]
    Header(&'static str),
    /// `typ` is that of another kind of token.
    #[error("`typ` of the token is that of another kind; expected {expected}")]
    Type {
        /// What fits here.
        expected: &'static str,
    },
    /// No key of the issuer made the signature.
    #[error("no key of the issuer made the signature of the token")]
    Signature,
    /// Nobody who is trusted issued it.
    #[error("the issuer of the token is not trusted here; see the configured issuers, domains and agents")]
    Issuer,
    /// A claim that must be there is not.
    #[error("claim `{0}` is missing")]
    Missing(&'static str),
    /// A claim is malformed, or contradicts another.
    #[error("claim `{0}` is malformed, or contradicts another")]
    Claim(&'static str),
    /// `authorization_details` cannot be read.
    #[error("claim `authorization_details`: {0}")]
    Details(#[from] DetailsError),
    /// `aud` does not name whom it is shown to.
    #[error("`aud` of the token names somebody else; expected {expected}")]
    Audience {
        /// Whom it must name here.
        expected: &'static str,
    },
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet; compare the clocks of issuer and server")]
    NotYetValid,
    /// `exp` or `iat` lies so far off that the token would live too long.
    #[error("the token lives longer than is accepted; issue it for at most {0} s")]
    TooLong(i64),
    /// It was shown before.
    #[error("the token was used before; make a new one for each request")]
    Replayed,
    /// Too many one-time tokens are remembered; none is forgotten for another.
    #[error("too many one-time tokens are remembered; try again in some seconds")]
    Full,
    /// The issuer may vouch for no tenant, or the token names none.
    #[error("the token names no tenant in claim `{0}`")]
    Tenant(String),
    /// The token has not a claim that its issuer's tokens must have, or another value of it.
    #[error("the claim `{0}` is not what is demanded of tokens of this issuer")]
    Demanded(String),
    /// A token for a client that is not the one showing it.
    #[error("`azp` or `client_id` names a client that is not accepted for this issuer")]
    Client,
    /// Bound in a way that cannot be checked here (RFC 7800).
    #[error("`cnf` binds the token in a way that cannot be checked here; only `jkt` can")]
    Confirmation,
    /// A SPIFFE ID that is none.
    #[error("`sub` is no SPIFFE ID of a workload")]
    SpiffeId,
}
