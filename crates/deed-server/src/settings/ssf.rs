//! `[ssf.NAME]`: a transmitter of security events (Shared Signals), and how they come.

use std::{collections::BTreeMap, path::PathBuf};

use http::Uri;
use serde::Deserialize;
use toml::Spanned;

use super::{
    SecretFrom, Wrong,
    approvals::{secret, url},
    tokens::{KeySource, both, checked_url, is_url},
};

/// A transmitter that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsfTransmitter {
    /// `iss` of what it sends.
    pub issuer: String,
    /// What its `aud` calls us.
    pub audience: String,
    /// What its own accounts are known in, as the collector of its log has it: `okta`.
    pub system: Option<String>,
    /// Whose records its events become.
    pub tenant: Option<String>,
    /// How events come.
    pub delivery: Delivery,
    /// Whether what it stops is stopped at every door of Deed's.
    pub enforce: bool,
    /// What is shown: by it where it pushes, to it where it is polled.
    pub token: SecretFrom,
    pub(crate) keys: KeySource,
}

/// How events come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It sends them (RFC 8935).
    Push,
    /// They are asked for there (RFC 8936).
    Poll(Uri),
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SsfTable {
    issuer: Spanned<String>,
    audience: Spanned<String>,
    system: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
    jwks_uri: Option<Spanned<String>>,
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    enforce: bool,
    #[serde(default)]
    push: bool,
    poll: Option<Spanned<String>>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

pub(super) fn check(
    tables: BTreeMap<Spanned<String>, SsfTable>,
) -> Result<BTreeMap<String, SsfTransmitter>, Wrong> {
    let one = |(name, table): (Spanned<String>, SsfTable)| {
        let at = name.span().start;
        let name = name.into_inner();
        if !deed_record::is_label(&name) {
            return Err((at, "the name of a transmitter: expected 1 to 64 letters, digits or `-_.`".into()));
        }
        Ok((name, table.check(at)?))
    };
    tables.into_iter().map(one).collect()
}

impl SsfTable {
    fn check(self, at: usize) -> Result<SsfTransmitter, Wrong> {
        if !is_url(self.issuer.get_ref()) {
            let expected = "expected the transmitter's https URL (http on a loopback address)";
            return Err((self.issuer.span().start, expected.to_owned()));
        }
        if self.audience.get_ref().is_empty() {
            return Err((self.audience.span().start, "expected what `aud` calls this receiver".to_owned()));
        }
        if let Some(system) = &self.system
            && (system.get_ref().is_empty() || system.get_ref().chars().any(char::is_whitespace))
        {
            return Err((system.span().start, "expected the name of a system, such as `okta`".to_owned()));
        }
        if let Some(tenant) = &self.tenant
            && !deed_record::is_label(tenant.get_ref())
        {
            let expected = "a tenant: expected 1 to 64 letters, digits, `-`, `_` or `.`";
            return Err((tenant.span().start, expected.to_owned()));
        }
        let keys = match (&self.jwks_uri, self.jwks_file) {
            (Some(url), Some(_)) => return Err((url.span().start, both("jwks_uri", "jwks_file"))),
            (Some(url), None) => checked_url(url)?,
            (None, Some(file)) => KeySource::File(file),
            (None, None) => KeySource::Discovery,
        };
        let delivery = match (self.push, url(self.poll)?) {
            (true, None) => Delivery::Push,
            (false, Some(url)) => Delivery::Poll(url),
            _ => return Err((at, "expected one of `push = true` and `poll = \"https://…\"`".to_owned())),
        };
        Ok(SsfTransmitter {
            issuer: self.issuer.into_inner(),
            audience: self.audience.into_inner(),
            system: self.system.map(Spanned::into_inner),
            tenant: self.tenant.map(Spanned::into_inner),
            delivery,
            enforce: self.enforce,
            token: secret("token", self.token_file, self.token_env, at)?,
            keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const OKTA: &str =
        "[ssf.okta]\nissuer = \"https://acme.okta.com\"\naudience = \"https://deed.example\"\n";

    #[test]
    fn events_are_pushed_or_polled() {
        let text = format!("{OKTA}push = true\ntoken_env = \"T\"\nsystem = \"okta\"\n");
        let settings = Settings::parse(&text).unwrap();
        assert_eq!(settings.ssf["okta"].delivery, Delivery::Push);
        assert_eq!(settings.ssf["okta"].keys, KeySource::Discovery);
        let text =
            format!("{OKTA}poll = \"https://acme.okta.com/poll\"\ntoken_file = \"t\"\njwks_file = \"k\"\n");
        let settings = Settings::parse(&text).unwrap();
        assert!(matches!(settings.ssf["okta"].delivery, Delivery::Poll(_)));
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, says) in [
            (OKTA.to_owned(), 1, "push = true"),
            (format!("{OKTA}push = true\n"), 1, "token_file"),
            (format!("{OKTA}push = true\npoll = \"https://a.example\"\ntoken_env = \"T\"\n"), 1, "one of"),
            (format!("{OKTA}poll = \"http://a.example/hunter2\"\ntoken_env = \"T\"\n"), 4, "https"),
            (format!("{OKTA}jwks_uri = \"http://a.example\"\npush = true\ntoken_env = \"T\"\n"), 4, "https"),
            (format!("{OKTA}system = \"\"\npush = true\ntoken_env = \"T\"\n"), 4, "okta"),
            (format!("{OKTA}tenant = \"a b\"\npush = true\ntoken_env = \"T\"\n"), 4, "tenant"),
            (format!("{OKTA}token = \"hunter2\"\n"), 4, "token"),
            (OKTA.replace("[ssf.okta]", "[ssf.\"a b\"]"), 1, "name of a transmitter"),
            (OKTA.replace("https://acme", "http://acme"), 2, "https URL"),
        ] {
            let (found, message) = Settings::parse(&text).unwrap_err();
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(says) && !message.contains("hunter2"), "{message}");
        }
    }
}
