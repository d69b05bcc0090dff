//! Workloads of continuous integration: the token by which a job says what it is (OpenID Connect Core).

use deed_record::{Credential, PrincipalType, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{TokenType, outside::outside};
use crate::{
    claims::Claims, error::VerifyError, jwt::Unverified, principal::Principal, text::Fingerprint,
    trust::Trust, unix,
};

/// A workload that showed a token of a trusted issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// Who it is.
    pub principal: Principal,
    /// Hash of the token.
    pub fingerprint: Fingerprint,
    /// `iss`.
    pub issuer: String,
    /// `jti`, where there is one.
    pub jti: Option<String>,
    /// `iat`, where there is one.
    pub issued: Option<Timestamp>,
    /// `exp`.
    pub expires: Timestamp,
    /// What else the issuer says of it: every claim that RFC 7519 does not register.
    pub claims: Map<String, Value>,
}

impl Workload {
    /// Which of its many runs or jobs it is, where its issuer says so.
    pub fn instance(&self) -> Option<String> {
        self.first(&["run_id", "job_id", "pipeline_id"])
    }

    /// On whose behalf it runs, where the CI system says so: what they are, their key, and their login.
    pub fn asked_by(&self) -> Option<(PrincipalType, String, String)> {
        let (system, login) = match (self.named("repository"), self.named("project_path")) {
            (true, false) => ("github", self.first(&["actor"])?),
            (false, true) => ("gitlab", self.first(&["user_login"])?),
            _ => return None,
        };
        let kind = match login.ends_with("[bot]") {
            true => PrincipalType::ServiceAccount,
            false => PrincipalType::Human,
        };
        Some((kind, format!("{system}:{login}"), login))
    }

    /// What was shown, as records have it (INVARIANT D9: its fingerprint).
    pub fn credential(&self) -> Credential<'_> {
        Credential {
            expires: Some(self.expires),
            fingerprint: Some(Text::from(self.fingerprint.to_string())),
            issued: self.issued,
            issuer: Some(Text::from(&*self.issuer)),
            jti: self.jti.as_deref().map(Text::from),
            kind: Some(Text::from("id_token")),
            ..Credential::default()
        }
    }

    fn named(&self, claim: &str) -> bool {
        self.claims.contains_key(claim)
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| match self.claims.get(*name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }
}

/// The claims that have a place of their own (RFC 7519, section 4.1).
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

impl Trust {
    /// Verifies the ID token of a workload: one of a trusted issuer's, meant for Deed.
    ///
    /// # Errors
    /// It is not one that is believed, now, here.
    pub fn workload(&self, token: &str, now: Timestamp) -> Result<Workload, VerifyError> {
        let unverified = Unverified::parse(token)?;
        let fingerprint = Fingerprint::of(token);
        let iss = unverified.claims.get("iss").and_then(Value::as_str);
        let issuer = self.issuers.get(iss.ok_or(VerifyError::Missing("iss"))?).ok_or(VerifyError::Issuer)?;
        let claims = Claims(unverified.claims.clone());
        // INVARIANT: nothing of `claims` is used before this has verified them.
        let said = outside(unverified, issuer, TokenType::IdToken, fingerprint, unix(now))?;
        let seconds = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
        let other = claims.0.iter().filter(|(name, _)| !REGISTERED.contains(&name.as_str()));
        Ok(Workload {
            // I3: no issuer of jobs' tokens issues any for people.
            principal: Principal { kind: PrincipalType::Workload, ..said.principal },
            fingerprint,
            issuer: issuer.url.clone(),
            jti: said.jti,
            issued: claims.time("iat")?.map(seconds),
            expires: seconds(said.expires),
            claims: other.map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }
}
