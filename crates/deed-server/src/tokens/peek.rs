//! What a JWT says of itself, before any of it is believed: only to choose whose keys are needed, and to
//! refuse what may have been used before.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_record::Timestamp;
use deed_token::LARGEST_TOKEN;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The parts of a JWT that tell where it comes from. What is of another type is as if it were not there:
/// whoever verifies the token refuses it.
#[derive(Default)]
pub(super) struct Peeked {
    pub(super) kid: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) sub: Option<String>,
    iat: Option<f64>,
    exp: Option<f64>,
}

impl Peeked {
    /// Looks into `token`; everything is missing where it is no JWT.
    pub(super) fn of(token: &str) -> Self {
        Peeked::read(token).unwrap_or_default()
    }

    fn read(token: &str) -> Option<Self> {
        if token.len() > LARGEST_TOKEN {
            return None;
        }
        let mut parts = token.split('.');
        let header: Value = json(parts.next()?)?;
        let claims: Value = json(parts.next()?)?;
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| claims.get(name).and_then(Value::as_f64);
        Some(Peeked {
            kid: text(&header, "kid"),
            iss: text(&claims, "iss"),
            sub: text(&claims, "sub"),
            iat: number("iat"),
            exp: number("exp"),
        })
    }

    /// Whether it may have been made until `time`, when everything was forgotten that had been used by then.
    /// `longest` is the longest life of what says no `iat`, in seconds.
    pub(super) fn may_be_of(&self, time: Timestamp, longest: f64) -> bool {
        let made = self.iat.or(self.exp.map(|exp| exp - longest));
        made.is_none_or(|made| made * 1e6 <= time.0 as f64)
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
