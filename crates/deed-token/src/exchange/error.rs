//! Why an exchange was refused.

use serde_json::Value;

use crate::{
    details::DetailsError, dpop::ProofError, error::VerifyError, error_code::ErrorCode, state::Inactive,
};

/// Why an exchange was refused. Names parameters, scopes and audiences; never a token (INVARIANT D9: what
/// looks like one is shown as its fingerprint).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The body is too large.
    #[error("the request is larger than 64 KiB")]
    TooLarge,
    /// The body is no form.
    #[error("the request is no form in UTF-8 (application/x-www-form-urlencoded)")]
    Form,
    /// A parameter is missing or malformed.
    #[error("parameter `{0}` is missing or malformed")]
    Parameter(&'static str),
    /// A parameter is no such number.
    #[error("parameter `{name}`: expected {expected}")]
    Number {
        /// Which.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A parameter that may be there once.
    #[error("a parameter other than `resource` and `audience` is there twice, or one of those is repeated")]
    Twice,
    /// `scope` is no list of words.
    #[error("`scope` is no list of at most 128 words separated by spaces")]
    ScopeSyntax,
    /// `resource` is no absolute URI without fragment, `audience` no name, or they are too many.
    #[error("`resource` must be an absolute URI without fragment, `audience` a name; each once, at most 32")]
    TargetSyntax,
    /// Another `grant_type`.
    #[error("`grant_type` must be urn:ietf:params:oauth:grant-type:token-exchange")]
    GrantType,
    /// The subject's token is not believed.
    #[error("`subject_token`: {0}")]
    Subject(VerifyError),
    /// Nobody authenticated itself.
    #[error("send `client_assertion` or `actor_token`: a JWT-SVID, or a JWT signed by the agent's own key")]
    NoActor,
    /// The actor's token is not believed.
    #[error("`actor_token` or `client_assertion`: {0}")]
    Actor(VerifyError),
    /// Two different actors, or a `client_id` that is none of theirs.
    #[error("`actor_token`, `client_assertion` and `client_id` do not name the same client")]
    OtherActor,
    /// The proof of possession.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// Every token here is bound.
    #[error("tokens are bound to keys here; send a DPoP proof")]
    NoProof,
    /// The token was revoked, or the like.
    #[error("`subject_token`: {0}")]
    Inactive(#[from] Inactive),
    /// Subject or actor is suspended.
    #[error("`{0}` is suspended")]
    Suspended(String),
    /// Subject and actor belong to different tenants.
    #[error("the subject and the agent belong to different tenants")]
    Tenant,
    /// The subject's token was issued to another client.
    #[error("the subject token was issued to another client than this agent")]
    Client,
    /// `may_act` names somebody else.
    #[error("`may_act` of the subject token names another actor")]
    MayAct,
    /// The agent was not handed the token.
    #[error("the token was not meant for this agent: neither `may_act` nor `aud` names it")]
    NotHanded,
    /// No hop is left.
    #[error("the token may be handed on no further: {0} actors are in its chain")]
    Depth(usize),
    /// A scope that the parent does not have.
    #[error("scope `{0}` is more than may be passed on")]
    Scope(String),
    /// Neither scope nor details.
    #[error("nothing would be granted: neither a scope nor authorization details may be passed on")]
    Nothing,
    /// An audience that the parent does not have, or nobody may have.
    #[error("`{0}` is not among the resources that this token may be for")]
    Target(String),
    /// No audience.
    #[error("name at least one `resource` or `audience`")]
    NoTarget,
    /// The details cannot be read.
    #[error("`authorization_details`: {0}")]
    DetailsSyntax(#[from] DetailsError),
    /// The details are not provably narrower.
    #[error("`authorization_details` are not provably within those that may be passed on")]
    Details,
    /// Another task.
    #[error("`deed_task` is another than that of the subject token")]
    Task,
    /// Transaction tokens are off, or asked for in a way that makes none.
    #[error("transaction tokens are not issued here, or not for this subject token")]
    Transaction,
    /// What was asked for, or is carried along, makes no token that could be read again.
    #[error(
        "the token would be larger than 16 KiB or nested too deep; ask for fewer scopes, resources or details"
    )]
    ResultTooLarge,
    /// INVARIANT D7 would not hold. A bug, kept from doing harm.
    #[error("the result would be wider than its parent; nothing was issued, please report this")]
    Wider,
}

impl ExchangeError {
    pub(crate) const LIFETIME: Self =
        ExchangeError::Number { name: "deed_expires_in", expected: "a whole number of seconds, 1 or more" };
    pub(crate) const HOPS: Self =
        ExchangeError::Number { name: "deed_hops", expected: "a whole number from 0 to 255" };

    /// `error`.
    pub fn code(&self) -> ErrorCode {
        use ExchangeError as E;
        match self {
            E::Subject(VerifyError::Full) | E::Actor(VerifyError::Full) => ErrorCode::TemporarilyUnavailable,
            E::Proof(ProofError::Token(VerifyError::Full)) => ErrorCode::TemporarilyUnavailable,
            E::GrantType => ErrorCode::UnsupportedGrantType,
            E::NoActor | E::Actor(_) | E::OtherActor => ErrorCode::InvalidClient,
            E::Proof(ProofError::Nonce) => ErrorCode::UseDpopNonce,
            E::Proof(_) | E::NoProof => ErrorCode::InvalidDpopProof,
            E::Tenant | E::Client | E::MayAct | E::NotHanded | E::Depth(_) | E::Suspended(_) => {
                ErrorCode::UnauthorizedClient
            }
            E::ScopeSyntax | E::Scope(_) | E::Nothing => ErrorCode::InvalidScope,
            E::TargetSyntax | E::Target(_) | E::NoTarget => ErrorCode::InvalidTarget,
            E::DetailsSyntax(_) | E::Details => ErrorCode::InvalidAuthorizationDetails,
            E::TooLarge
            | E::Form
            | E::Parameter(_)
            | E::Number { .. }
            | E::Twice
            | E::Subject(_)
            | E::Inactive(_)
            | E::Task
            | E::Transaction
            | E::ResultTooLarge
            | E::Wider => ErrorCode::InvalidRequest,
        }
    }

    /// The body of the answer; its status is [`ErrorCode::status`].
    pub fn body(&self) -> Value {
        self.code().body(&self.to_string())
    }
}
