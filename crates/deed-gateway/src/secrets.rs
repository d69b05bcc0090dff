//! The secrets that servers are started with, and how they are kept out of records and of Deed's log (INVARIANT D9).

use std::{
    borrow::Cow,
    sync::{PoisonError, RwLock},
};

use deed_record::secret::{self, Fingerprints};
use deed_seal::hash::Hash;
use serde_json::{json, value::RawValue};

use crate::{ending, message};

/// What is shorter than this, in bytes, would be found where it does not stand.
const SHORTEST: usize = 6;
/// What is a secret wherever a name says so, and nowhere else.
const PROBE: &str = "k9Xv2LqT7mB4";

/// Values of variables that nobody is to read anywhere.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The longest first: one may hold another.
    all: RwLock<Vec<Known>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: String,
    value: String,
    /// As it stands in a JSON string.
    in_json: String,
}

impl Secrets {
    /// Notes the variable `name`, if its value is a secret: because it `is_said`, or because it looks like one.
    pub(crate) fn note(&self, name: &str, value: &str, is_said: bool) {
        if value.len() < SHORTEST || !(is_said || looks_secret(name, value)) {
            return;
        }
        let in_json = message::quoted(value).trim_matches('"').to_owned();
        let known = Known { name: name.to_owned(), value: value.to_owned(), in_json };
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&known) {
            all.push(known);
            all.sort_by_key(|known| std::cmp::Reverse(known.value.len()));
        }
    }

    /// `text` with the name of each secret in its place.
    pub(crate) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut hidden = Cow::Borrowed(text);
        for known in self.all.read().unwrap_or_else(PoisonError::into_inner).iter() {
            for value in [&known.value, &known.in_json] {
                if hidden.contains(value.as_str()) {
                    hidden = Cow::Owned(hidden.replace(value.as_str(), &format!("[env {}]", known.name)));
                }
            }
        }
        hidden
    }

    /// As [`Secrets::hide`], for JSON: what is none afterwards is kept as length and digest.
    pub(crate) fn hide_in(&self, payload: Box<RawValue>) -> Box<RawValue> {
        match self.hide(payload.get()) {
            Cow::Borrowed(_) => payload,
            Cow::Owned(hidden) => {
                RawValue::from_string(hidden).unwrap_or_else(|_| ending::kept(&payload, false).into_owned())
            }
        }
    }

    /// A line that a server wrote for people, as Deed's log may have it: no secret it was started with, and nothing that
    /// looks like one.
    pub(crate) fn line(&self, line: &str) -> String {
        let hidden = message::quoted(&self.hide(line));
        let clean = secret::excise(&hidden, &Hidden).map(|clean| clean.text.into_owned());
        clean.ok().and_then(|clean| serde_json::from_str(&clean).ok()).unwrap_or_default()
    }
}

/// Whether a variable of that name holds secrets, or this value looks like one.
fn looks_secret(name: &str, value: &str) -> bool {
    [value, PROBE].into_iter().any(|value| {
        let variable = json!({ name: value }).to_string();
        secret::excise(&variable, &Hidden).is_ok_and(|found| !found.seen.is_empty())
    })
}

/// Puts something in the place of a secret that people may see.
pub(crate) struct Hidden;

impl Fingerprints for Hidden {
    fn of_token(&self, secret: &[u8]) -> String {
        format!("sha256:{}", Hash::of(secret))
    }
    // Without a key its hash could be tried out.
    fn of_password(&self, _: &[u8]) -> String {
        "[hidden]".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_was_started_with_is_hidden() {
        let secrets = Secrets::default();
        secrets.note("API_KEY", "s3cr3t\"value-0123456789", false);
        secrets.note("MODE", "production", false);
        secrets.note("PIN", "4711", true);
        secrets.note("SAID", "plain words", true);
        assert_eq!(secrets.hide("production 4711 plain words"), "production 4711 [env SAID]");
        let payload = RawValue::from_string(r#"{"text":"API_KEY=s3cr3t\"value-0123456789;"}"#.into());
        let hidden = secrets.hide_in(payload.expect("JSON"));
        assert_eq!(hidden.get(), r#"{"text":"API_KEY=[env API_KEY];"}"#);
        assert!(!secrets.line("with s3cr3t\"value-0123456789 at hand").contains("s3cr3t"));
    }

    #[test]
    fn what_is_no_json_without_its_secret_is_kept_as_a_digest() {
        let secrets = Secrets::default();
        secrets.note("NUMBER", "12345678", true);
        let payload = RawValue::from_string(r#"{"n":12345678}"#.into()).expect("JSON");
        let hidden = secrets.hide_in(payload);
        assert!(hidden.get().contains("sha256") && !hidden.get().contains("12345678"), "{hidden}");
    }
}
