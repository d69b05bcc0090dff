//! Secrets taken out of JSON.

use deed_record::secret::{Fingerprints, excise};

use crate::record::structure;

/// Any text, of which the secrets are taken out.
pub fn secret(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(once) = excise(text, &Marks) else { return };
    let is_json = |text: &str| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    if !is_json(text) {
        return;
    }
    assert!(is_json(&once.text), "{}", once.text);
    let outline = |text: &str| -> Vec<u8> {
        structure(text.as_bytes()).filter(|byte| b"{}[],:".contains(byte)).collect()
    };
    assert_eq!(outline(text), outline(&once.text), "only strings and numbers are replaced: {}", once.text);
    assert!(!holds_token(&once.text), "{}", once.text);
    match excise(&once.text, &Marks) {
        Ok(again) => assert_eq!(again.text, once.text, "taking out secrets again changes nothing"),
        Err(error) => panic!("{error}: {}", once.text),
    }
    // A path is sealed for ever; a name in it is a plain word or `*`.
    for (path, fingerprint) in &once.seen {
        assert!(!holds_token(path) && path.len() <= 64 * 130, "{path}");
        assert!(fingerprint.starts_with("sha256:") || fingerprint.starts_with("hmac-sha256:"));
    }
}

/// A record that a collector made, once it is sealed, holds none of the shapes that are cheap to see.
pub(crate) fn is_clean_once_sealed(record: &str) {
    let sealed = excise(record, &Marks).unwrap_or_else(|error| panic!("{error}: {record}"));
    assert!(!holds_token(&sealed.text), "{}", sealed.text);
}

/// Whether a token of the simplest shape (GitHub's) stands in `text` as a word of its own.
fn holds_token(text: &str) -> bool {
    const PREFIX: &str = "ghp_";
    text.match_indices(PREFIX).any(|(at, _)| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let begins = !text[..at].bytes().next_back().is_some_and(word);
        let body = text[at + PREFIX.len()..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        begins && body >= 36
    })
}

/// Words so long and so mixed that they may be secrets.
pub(crate) fn long_words(data: &[u8]) -> Vec<&str> {
    data.split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| {
            let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
            word.len() >= 24 && digits >= 4 && word.len() - digits >= 4
        })
        .filter_map(|word| std::str::from_utf8(word).ok())
        .collect()
}

/// Whether one of `words` stands in `text`.
pub(crate) fn holds_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// Fingerprints of the right form that tell nothing.
struct Marks;

impl Fingerprints for Marks {
    fn of_token(&self, _: &[u8]) -> String {
        format!("sha256:{}", "0".repeat(64))
    }

    fn of_password(&self, _: &[u8]) -> String {
        format!("hmac-sha256:{}", "0".repeat(64))
    }
}
