//! Spellings: base64url, fingerprints, secrets that are never shown.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_record::secret;
use zeroize::Zeroizing;

/// base64url without padding (RFC 7515, section 2).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`base64url`]; anything with padding, other characters or stray bits is `None`.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// What a credential is known by instead of its secret: SHA-256, printed as `sha256:` and 64
/// lower-case hex digits.
///
/// INVARIANT D9: of a token, only this may be recorded, logged or shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a token, as it is sent.
    pub fn of(token: &str) -> Self {
        Fingerprint(sha256(token.as_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "expected `sha256:` and 64 lower-case hex digits";
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or(WRONG)?;
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(WRONG),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Fingerprint(bytes))
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A token. It is wiped from memory when dropped, and prints as its fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a token.
    pub fn new(token: String) -> Self {
        Secret(Zeroizing::new(token))
    }

    /// The token itself, for the parser or the wire and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fingerprint::of(&self.0).fmt(f)
    }
}

/// What a client sent as a name, fit for an error: secrets as their fingerprints, and not too long.
///
/// INVARIANT D9: a token that was sent in the wrong parameter is not shown either.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    struct Hidden;
    impl secret::Fingerprints for Hidden {
        fn of_token(&self, secret: &[u8]) -> String {
            Fingerprint(sha256(secret)).to_string()
        }
        // Without a key its hash could be tried out.
        fn of_password(&self, _: &[u8]) -> String {
            "[hidden]".to_owned()
        }
    }
    let json = serde_json::Value::from(text).to_string();
    let clean = secret::excise(&json, &Hidden).ok();
    let clean = clean.and_then(|clean| serde_json::from_str::<String>(&clean.text).ok());
    clean.map_or_else(|| "[hidden]".to_owned(), |clean| clean.chars().take(LONGEST).collect())
}

/// Whether `text` is short and has neither spaces nor control characters: fit for a name in a claim.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Subjects, ids, audiences and the like are at most this long, in bytes.
pub(crate) const LONGEST_NAME: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_read_as_they_print() {
        let fingerprint = Fingerprint::of("abc");
        let text = fingerprint.to_string();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(text.parse(), Ok(fingerprint));
        for bad in ["", "sha256:", &text[1..], &text[..70], &text.to_uppercase()] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", Secret::new("abc".into())), text);
    }

    #[test]
    fn errors_show_names_and_no_tokens() {
        assert_eq!(shown("tickets:write"), "tickets:write");
        assert_eq!(shown("https://a.example/mcp"), "https://a.example/mcp");
        let jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm4ifQ.AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";
        for hidden in [jwt.to_owned(), format!("https://a.example/?access_token={jwt}")] {
            assert!(!shown(&hidden).contains("AAAABBBB"), "{}", shown(&hidden));
        }
        assert_eq!(shown(&"x".repeat(900)).len(), 200);
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(from_base64url("_-8").as_deref(), Some(&[0xff, 0xef][..]));
        for bad in ["_-8=", "/+8", "_-9", "_", "_- 8", "_-8\n"] {
            assert_eq!(from_base64url(bad), None, "{bad}");
        }
    }
}
