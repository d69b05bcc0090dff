//! Delegated credentials: whose token is it, who acts with it, and what is the most it may be exchanged for.
//!
//! | module | speaks |
//! |---|---|
//! | [`jwk`], [`jwks`] | public keys and sets of them: RFC 7517, RFC 7638, RFC 8037, SPIFFE bundles |
//! | [`trust`], [`verify`] | whose tokens are believed: OIDC, JWT-SVID, RFC 7523, Deed's own |
//! | [`request`], [`exchange`](mod@exchange) | token exchange: RFC 8693, RFC 8707, RFC 9396 |
//! | [`issue`], [`terms`] | Deed's own tokens: RFC 9068, key rotation |
//! | [`dpop`], [`replay`] | proof of possession: RFC 9449 |
//! | [`state`], [`introspect`] | what holds: revocation, suspension, RFC 7662, RFC 7009 |
//! | [`record`] | what is sealed about all of it |
//! | [`metadata`], [`form`] | RFC 8414, RFC 9728; how requests are written |
//! | [`set`] | security event tokens: RFC 8417, Shared Signals |
//! | [`upstream`](mod@upstream) | tokens for the systems behind Deed |
//! | [`txn`] | transaction tokens, a draft, where the policy turns them on |
//!
//! Everything here is pure: no I/O, no clock, no async. Times, keys and fresh ids come in as arguments;
//! the only randomness is that of an ECDSA signature. Nothing is in force that [`State`] was not told:
//! whoever issues a token seals the [`state::Event`] first.
//!
//! INVARIANT D7: no sequence of exchanges gives a token that is wider than its parent in scope, audience,
//! details, time or hops. INVARIANT D9: no error and no `Debug` shows a token, only its [`Fingerprint`].
//!
//! ```
//! use std::sync::Mutex;
//! use deed_record::Timestamp;
//! use deed_token::{
//!     Agent, Evidence, Issuer, KeySet, Policy, ReplaySet, Request, SigningKey, State, Trust,
//!     authenticate, exchange, policy::Reach, scope::Scope,
//! };
//!
//! let now = Timestamp(1_790_000_000_000_000);
//! let (service, endpoint) = ("https://deed.example", "https://deed.example/oauth/token");
//! let issuer = Issuer::new(service, SigningKey::ed25519(&[1; 32])?);
//!
//! // An agent with a registered key that may be given `tickets:read`.
//! let key = SigningKey::ed25519(&[2; 32])?;
//! let mut bot = Agent::new("bot", "acme", KeySet::of(vec![key.public().clone()]));
//! bot.ceiling.scope = Scope::parse("tickets:read");
//! let mut trust = Trust::new(service, endpoint);
//! trust.add_agent(bot)?;
//! let mut policy = Policy::default();
//! policy.targets.insert("https://tickets.example".into(), Reach::All);
//!
//! // It acts for itself.
//! let assertion = key.sign("JWT", &[], &serde_json::json!({
//!     "iss": "agent:bot", "sub": "agent:bot", "aud": service, "exp": 1_790_000_060, "jti": "1",
//! }))?;
//! let request = Request::parse(&format!(
//!     "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={assertion}\
//!      &subject_token_type=urn:ietf:params:oauth:token-type:jwt&resource=https://tickets.example"
//! ))?;
//! let used = Mutex::new(ReplaySet::new(1000));
//! let (subject, actor) = authenticate(&request, &trust, &issuer, now, &used)?;
//! let evidence = Evidence { subject: &subject, actor: &actor, proof: None };
//! let mut state = State::new();
//! let grant = exchange(&request, evidence, &policy, &state, now, "a random id")?;
//! state.apply(&grant.event());
//! let token = issuer.sign(&grant)?;
//! let own = issuer.verify_for(token.expose(), "https://tickets.example", now)?;
//! assert_eq!(own.terms().actor(), "agent:bot");
//! assert!(state.is_active(&own.terms().jti, now));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
pub mod details;
pub mod dpop;
mod error;
mod error_code;
pub mod exchange;
pub mod form;
pub mod introspect;
pub mod issue;
mod json;
pub mod jwk;
pub mod jwks;
mod jwt;
pub mod metadata;
pub mod policy;
pub mod principal;
pub mod record;
pub mod replay;
pub mod request;
pub mod scope;
pub mod set;
pub mod state;
pub mod terms;
mod text;
pub mod trust;
pub mod txn;
pub mod upstream;
pub mod verify;

pub use claims::{MOST_LEEWAY, MayAct};
pub use details::Details;
pub use dpop::{Expected, Proof};
pub use error::VerifyError;
pub use error_code::ErrorCode;
pub use exchange::{Evidence, ExchangeError, Grant, Unproven, authenticate, exchange};
pub use introspect::introspection;
pub use issue::{Issuer, OwnToken, SigningKey};
pub use jwk::{Algorithm, PublicKey, Thumbprint};
pub use jwks::{Bundle, KeySet};
pub use jwt::LARGEST_TOKEN;
pub use policy::Policy;
pub use principal::Principal;
pub use replay::{Once, ReplaySet};
pub use request::Request;
pub use scope::Scope;
pub use state::State;
pub use terms::Terms;
pub use text::{Fingerprint, Secret};
pub use trust::{Agent, OidcIssuer, Trust, TrustDomain};
pub use txn::transaction;
pub use upstream::{Comer, Upstream, upstream};
pub use verify::{Actor, Subject, TokenType, Workload};

/// Whole seconds since the epoch, as JWTs count them (RFC 7519, NumericDate). What expires at a whole
/// second has done so in the microsecond of that second.
pub(crate) fn unix(time: deed_record::Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}
