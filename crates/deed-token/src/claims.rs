//! The claims of a JWT that was verified, each read once and strictly (RFC 7519, section 4.1).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    details::Details,
    error::VerifyError,
    json::Object,
    jwk::Thumbprint,
    scope::Scope,
    text::{LONGEST_NAME, is_name},
};

/// How late or early issuers' clocks may be, at most, in seconds.
pub const MOST_LEEWAY: i64 = 60;

/// At most this many audiences.
const MOST_AUDIENCES: usize = 32;

/// `may_act` (RFC 8693, section 4.4): who may act for the subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MayAct {
    /// `iss`: in whose names.
    pub iss: Option<String>,
    /// `sub`: who.
    pub sub: String,
}

/// Claims that are of use here, as they were sent.
#[derive(Clone, Debug)]
pub(crate) struct Claims(pub(crate) Object);

impl Claims {
    /// A text that must be there.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, VerifyError> {
        self.optional_text(name)?.ok_or(VerifyError::Missing(name))
    }

    /// A text that may be there: short, not empty, without control characters.
    pub(crate) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, VerifyError> {
        let fits =
            |text: &&str| (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().filter(fits).map(Some).ok_or(VerifyError::Claim(name)),
        }
    }

    /// A time in seconds since the epoch that may be there. A fraction makes `exp` earlier, all others
    /// later.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<i64>, VerifyError> {
        // Until the year 9999, as in RFC 3339.
        const LATEST: f64 = 253_402_300_799.0;
        let seconds = |value: &Value| {
            let seconds = value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds))?;
            let whole = if name == "exp" { seconds.floor() } else { seconds.ceil() };
            Some(whole as i64)
        };
        self.0.get(name).map(|value| seconds(value).ok_or(VerifyError::Claim(name))).transpose()
    }

    /// `exp`, which must be there and in the future, `nbf` and `iat`, which must not be where they are.
    ///
    /// `leeway`, in seconds, is for `nbf` and `iat` alone: what has expired has expired.
    pub(crate) fn check_times(&self, now: i64, leeway: i64) -> Result<i64, VerifyError> {
        let exp = self.time("exp")?.ok_or(VerifyError::Missing("exp"))?;
        if exp <= now {
            return Err(VerifyError::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|time| time > now + leeway.clamp(0, MOST_LEEWAY)) {
                return Err(VerifyError::NotYetValid);
            }
        }
        Ok(exp)
    }

    /// `aud`, one or several.
    pub(crate) fn audience(&self) -> Result<BTreeSet<String>, VerifyError> {
        let one = |value: &Value| value.as_str().filter(|aud| is_name(aud)).map(str::to_owned);
        let audiences = match self.0.get("aud") {
            None => return Err(VerifyError::Missing("aud")),
            Some(Value::Array(list)) if list.len() <= MOST_AUDIENCES => {
                list.iter().map(one).collect::<Option<BTreeSet<_>>>()
            }
            Some(value) => one(value).map(|aud| BTreeSet::from([aud])),
        };
        audiences.filter(|audiences| !audiences.is_empty()).ok_or(VerifyError::Claim("aud"))
    }

    /// `scope`, or `scp` as some issuers call it. Both, if they differ, are a contradiction.
    pub(crate) fn scope(&self) -> Result<Option<Scope>, VerifyError> {
        let read = |name: &'static str| {
            let value = self.0.get(name);
            value.map(|value| Scope::from_claim(value).ok_or(VerifyError::Claim(name))).transpose()
        };
        match (read("scope")?, read("scp")?) {
            (Some(scope), Some(scp)) if scope != scp => Err(VerifyError::Claim("scp")),
            (scope, scp) => Ok(scope.or(scp)),
        }
    }

    /// `authorization_details`.
    pub(crate) fn details(&self) -> Result<Option<Details>, VerifyError> {
        Ok(self.0.get("authorization_details").cloned().map(Details::from_value).transpose()?)
    }

    /// `cnf.jkt` (RFC 9449, section 6.1).
    pub(crate) fn confirmation(&self) -> Result<Option<Thumbprint>, VerifyError> {
        let Some(cnf) = self.0.get("cnf") else { return Ok(None) };
        let cnf = cnf.as_object().filter(|cnf| cnf.len() == 1).ok_or(VerifyError::Confirmation)?;
        let jkt = cnf.get("jkt").and_then(Value::as_str).and_then(Thumbprint::parse);
        jkt.map(Some).ok_or(VerifyError::Confirmation)
    }

    /// `may_act`. One with members besides `iss` and `sub` cannot be honoured, and so is refused.
    pub(crate) fn may_act(&self) -> Result<Option<MayAct>, VerifyError> {
        let Some(value) = self.0.get("may_act") else { return Ok(None) };
        let read = || {
            let object = value.as_object()?;
            let text = |name: &str| match object.get(name) {
                None => Some(None),
                Some(value) => value.as_str().filter(|text| is_name(text)).map(|text| Some(text.to_owned())),
            };
            let (iss, sub) = (text("iss")?, text("sub")??);
            (object.len() == 1 + usize::from(iss.is_some())).then_some(MayAct { iss, sub })
        };
        read().map(Some).ok_or(VerifyError::Claim("may_act"))
    }
}
