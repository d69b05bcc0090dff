//! Names in clear ([`Alias`]) and what is sealed in their place ([`Account`], [`Pseudonym`]).

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{Text, hex};

/// What one system calls somebody: `system:native-id`, split at the first colon.
///
/// `aws:arn:aws:iam::111122223333:role/release` is `arn:aws:iam::…` in system `aws`;
/// `spiffe://acme/release` is in system `spiffe`. A name without a colon is in system `deed`.
/// System names hold no colon, so that the pair is never ambiguous.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Alias<'a> {
    /// The system that gives the name its meaning.
    pub system: &'a str,
    /// The name within it.
    pub native: &'a str,
}

impl<'a> Alias<'a> {
    /// Splits `key`; never fails, for every non-empty text names somebody in some system.
    pub fn parse(key: &'a str) -> Self {
        match key.split_once(':') {
            Some((system, native)) if !system.is_empty() && !native.is_empty() => Alias { system, native },
            _ => Alias { system: "deed", native: key },
        }
    }
}

/// What the subject of an OpenID provider is called: `oidc:`, the issuer without `https://`, `/`, and the subject with
/// every byte but letters, digits, `-`, `.`, `_`, `~`, `@`, `:` and `|` as `%XX`. A subject has no `/` left in it, so that
/// no two issuers can make the same key.
pub fn oidc_key(issuer: &str, subject: &str) -> String {
    let mut key = format!("oidc:{}/", issuer.strip_prefix("https://").unwrap_or(issuer));
    for byte in subject.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => key.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'@' | b':' | b'|' => key.push(char::from(byte)),
            _ => write!(key, "%{byte:02X}").unwrap_or_default(),
        }
    }
    key
}

/// `aws:arn:aws:iam::111122223333:role/release` of `aws:arn:aws:iam::111122223333:role/ci/release`, and likewise of users
/// and groups, and of their ARNs; `None` of a key that has no path. IAM lets a name be used once in an
/// account, whatever its path, and names somebody by either; records have the key without it.
pub fn without_path(key: &str) -> Option<String> {
    let (system, arn) = key.split_once("arn:").filter(|(system, _)| matches!(*system, "" | "aws:"))?;
    let mut parts = arn.splitn(5, ':');
    let (partition, service, _, account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (sort, named) = parts.next()?.split_once('/')?;
    let (_, name) = named.rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
    let named_so = service == "iam" && matches!(sort, "role" | "user" | "group");
    named_so.then(|| format!("{system}arn:{partition}:iam::{account}:{sort}/{name}"))
}

/// `key`, and what it is [without its path](without_path), where it has one: records have either.
pub fn with_and_without_path(key: &str) -> impl Iterator<Item = Cow<'_, str>> {
    std::iter::once(Cow::Borrowed(key)).chain(without_path(key).map(Cow::Owned))
}

macro_rules! keyed_hash {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &str = $prefix;
            const LEN: usize = $prefix.len() + 32;

            fn text(&self) -> [u8; Self::LEN] {
                let mut out = [0; Self::LEN];
                let (prefix, digits) = out.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                hex::encode(&self.0, digits);
                out
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || format!(concat!("expected `", $prefix, "` and 32 hex digits, {}"), crate::error::found(text));
                let digits = text.strip_prefix($prefix).ok_or_else(wrong)?;
                hex::decode(digits.as_bytes()).map($name).ok_or_else(wrong)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

keyed_hash! {
    /// Somebody's name in a sealed record: a keyed hash of system and native id under the tenant's
    /// pseudonym key. The same name gives the same account on every node and in any order; without
    /// the key it tells nothing. It is also a commitment: whoever holds the key can check a name.
    Account, "acct:"
}

keyed_hash! {
    /// A personal value that verdicts compare but nobody needs to read (a device, an address):
    /// a keyed hash of what it is and its value under the tenant's pseudonym key.
    Pseudonym, "psdn:"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_part_of_a_key() {
        let ops = |what: &str| format!("aws:arn:aws:iam::111122223333:{what}");
        assert_eq!(without_path(&ops("role/ci/prod/release")), Some(ops("role/release")));
        assert_eq!(without_path(&ops("user/ci/ann")), Some(ops("user/ann")));
        let arn = without_path("arn:aws-cn:iam::111122223333:role/ci/release");
        assert_eq!(arn.as_deref(), Some("arn:aws-cn:iam::111122223333:role/release"));
        let aws = "aws:arn:aws:sts::111122223333:assumed-role/release/ci-7";
        for same in
            [&ops("role/release"), &ops("policy/ci/p"), &ops("root"), &ops("role/ci/"), "okta:a/b/c", aws]
        {
            assert_eq!(without_path(same), None, "{same}");
        }
    }

    #[test]
    fn no_two_subjects_share_a_key() {
        assert_eq!(oidc_key("https://idp.example", "ann"), "oidc:idp.example/ann");
        assert_eq!(
            oidc_key("https://idp.example/realms/a", "x/y z%"),
            "oidc:idp.example/realms/a/x%2Fy%20z%25"
        );
        assert_ne!(oidc_key("https://idp.example", "a/b"), oidc_key("https://idp.example/a", "b"));
        assert_ne!(oidc_key("https://idp.example/", "b"), oidc_key("https://idp.example", "b"));
        assert_eq!(oidc_key("https://idp.example", "auth0|5f"), "oidc:idp.example/auth0|5f");
    }
}
