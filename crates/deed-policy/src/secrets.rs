//! What a record of a policy set would not keep.

use std::collections::BTreeMap;

use deed_record::secret::{self, Fingerprints};
use serde_json::json;

/// The byte of `text`, the policy file `file`, where what looks like a secret begins: the first such.
pub(crate) fn first(file: &str, text: &str) -> Option<usize> {
    let recorded = json!({ file: text }).to_string();
    let kept = secret::excise(&recorded, &Blank).ok()?;
    let kept: BTreeMap<&str, String> = serde_json::from_str(&kept.text).ok()?;
    let kept = kept.get(file)?;
    let same = text.bytes().zip(kept.bytes()).take_while(|(sent, kept)| sent == kept).count();
    (kept != text).then_some(same)
}

/// Fingerprints that nobody keeps.
struct Blank;

impl Fingerprints for Blank {
    fn of_token(&self, _: &[u8]) -> String {
        "\u{fffd}".into()
    }
    fn of_password(&self, _: &[u8]) -> String {
        "\u{fffd}".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_policy_is_found_where_it_stands() {
        let text = "permit (principal, action, resource)\n  when { context.arguments.key == \"ghp_16C7e42F292c6912E7710c838347Ae178B4a\" };\n";
        let at = first("a.cedar", text).expect("a secret");
        assert!(text[at..].starts_with("ghp_"), "{}", &text[at..]);
        assert_eq!(
            first("a.cedar", &text.replace("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "release")),
            None
        );
        // As it stands in a log already.
        let recorded = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(
            first("a.cedar", &text.replace("ghp_16C7e42F292c6912E7710c838347Ae178B4a", &recorded)),
            None
        );
    }
}
