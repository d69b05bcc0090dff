//! Webhooks (Standard Webhooks 1.0.0): what waits for an approval is told, and answers come signed; findings are sent.

mod findings;
mod post;
mod tell;

use std::{path::Path, sync::Mutex};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use deed_record::Timestamp;
use deed_token::{Once, ReplaySet, VerifyError};
use http::{HeaderMap, HeaderName};

use crate::{
    problem::{Kind, Problem},
    settings::SecretFrom,
};

pub(crate) use findings::{Delivery, DeliveryState, deliver};
pub(crate) use tell::tell;

pub(crate) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far the clock of a sender may be off, in seconds.
const TOLERANCE: i64 = 5 * 60;
/// Messages that are remembered at a time; more are refused, and none is forgotten for another.
const REMEMBERED: usize = 10_000;
/// The longest id of a message.
const LONGEST_ID: usize = 256;

/// The secrets that are shared with whoever tells people and hears their answers.
pub(crate) struct Webhook {
    /// The first one signs; all of them verify, so that a secret can be replaced.
    keys: Vec<hmac::Key>,
    used: Mutex<ReplaySet>,
}

impl Webhook {
    /// Reads the secrets: one a line, `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// They cannot be read, or one is none.
    pub(crate) fn open(secret: &SecretFrom, dir: &Path) -> Result<Self, String> {
        let (text, from) = secret.read(dir)?;
        let keys: Option<Vec<hmac::Key>> = text.split_ascii_whitespace().map(key).collect();
        match keys.filter(|keys| !keys.is_empty()) {
            Some(keys) => Ok(Webhook { keys, used: Mutex::new(ReplaySet::new(REMEMBERED)) }),
            None => Err(format!(
                "the secret in `{from}`: expected `whsec_` and 24 to 64 bytes in base64; make one with `echo whsec_$(openssl rand -base64 32)`"
            )),
        }
    }

    /// The value of [`SIGNATURE`] for a message.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.keys[0], &signed(id, timestamp, body));
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// The id of a message that one of the secrets signed, just now, and that was not used before.
    ///
    /// # Errors
    /// It is no such message; nothing says what its signature should be.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<String, Problem> {
        let refused = |why: &str| Problem::new(Kind::Unauthenticated, why.to_owned());
        let one = |name: &HeaderName| {
            // INVARIANT D13: of two, two readers could take another one.
            let mut all = headers.get_all(name).iter();
            let first = all.next().and_then(|value| value.to_str().ok());
            first
                .filter(|_| all.next().is_none())
                .ok_or_else(|| refused(&format!("the header `{name}` is missing, or there twice")))
        };
        let (id, timestamp, signatures) = (one(&ID)?, one(&TIMESTAMP)?, one(&SIGNATURE)?);
        if id.is_empty() || id.len() > LONGEST_ID {
            return Err(refused("`webhook-id` is empty or too long"));
        }
        let seconds =
            timestamp.parse::<i64>().map_err(|_| refused("`webhook-timestamp` is no number of seconds"))?;
        let message = signed(id, seconds, body);
        let tags = signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        // `hmac::verify` takes the same time for every wrong tag.
        let is_ours = |tag: &Vec<u8>| self.keys.iter().any(|key| hmac::verify(key, &message, tag).is_ok());
        if !tags.take(8).any(|tag| is_ours(&tag)) {
            return Err(refused("`webhook-signature` is not made with a secret of this server"));
        }
        let now = now.0.div_euclid(1_000_000);
        if now.abs_diff(seconds) > TOLERANCE.unsigned_abs() {
            return Err(refused("`webhook-timestamp` is more than five minutes off; compare the clocks"));
        }
        match self.used.once("webhook", id, seconds + TOLERANCE, now) {
            Ok(()) => Ok(id.to_owned()),
            Err(VerifyError::Full) => {
                Err(Problem::new(Kind::Busy, "too many messages came in the last minutes"))
            }
            Err(_) => {
                Err(refused("the message was used before; send another one, with a `webhook-id` of its own"))
            }
        }
    }
}

/// What is signed: id, time and body, joined by dots.
fn signed(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

fn key(text: &str) -> Option<hmac::Key> {
    let secret = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&secret.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secrets: &[&str]) -> Webhook {
        let keys = secrets.iter().map(|secret| key(secret).unwrap()).collect();
        Webhook { keys, used: Mutex::new(ReplaySet::new(2)) }
    }

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let pairs = [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)];
        pairs.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect()
    }

    /// The example of the specification's libraries.
    #[test]
    fn signs_as_others_do() {
        let webhook = webhook(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        let signature =
            webhook.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn believes_what_is_signed_now_and_once() {
        let (old, new) =
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let (ours, theirs) = (webhook(&[new, old]), webhook(&[old]));
        let now = Timestamp(1_790_000_000_000_000);
        let (seconds, body) = (1_790_000_000, b"{}");
        let sent = |id: &str, at: i64| headers(id, &at.to_string(), &theirs.sign(id, at, body));
        assert_eq!(ours.verify(&sent("a", seconds), body, now).ok().as_deref(), Some("a"));
        let mut several = sent("b", seconds);
        let both = format!("v1,AAAA v1a,x {}", several[SIGNATURE].to_str().unwrap());
        several.insert(SIGNATURE, both.parse().unwrap());
        assert!(ours.verify(&several, body, now).is_ok());
        let mut twice = sent("c", seconds);
        twice.append(ID, "d".parse().unwrap());
        for (bad, body) in [
            (sent("a", seconds), &body[..]),
            (sent("c", seconds - 301), body),
            (sent("c", seconds + 301), body),
            (sent("c", seconds), b"{ }"),
            (headers("d", &seconds.to_string(), sent("c", seconds)[SIGNATURE].to_str().unwrap()), body),
            (headers("c", "soon", "v1,AAAA"), body),
            (headers("c", &seconds.to_string(), "v1,AAAA"), body),
            (headers("c", &seconds.to_string(), ""), body),
            (headers("", &seconds.to_string(), &theirs.sign("", seconds, body)), body),
            (twice, body),
            (HeaderMap::new(), body),
        ] {
            let problem = ours.verify(&bad, body, now).unwrap_err();
            assert_eq!(problem.kind(), Kind::Unauthenticated, "{bad:?}");
        }
        // What was refused has used up nothing; what is full refuses, and forgets none.
        assert_eq!(ours.verify(&sent("c", seconds), body, now).unwrap_err().kind(), Kind::Busy);
        let later = Timestamp(now.0 + 600_000_000);
        assert!(ours.verify(&sent("c", seconds + 600), body, later).is_ok());
    }

    #[test]
    fn secrets_are_random_bytes() {
        for bad in ["", "whsec_", "hunter2", "whsec_aHVudGVyMg==", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(key(bad).is_none(), "{bad}");
        }
    }
}
