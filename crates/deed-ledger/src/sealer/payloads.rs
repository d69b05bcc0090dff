//! Payloads become salted disclosures (RFC 9901), and commitments to them.
//!
//! The disclosures of a whole batch are written one after another first, so that their digests are
//! computed side by side.

use std::{collections::BTreeMap, ops::Range};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_record::{Commitments, Digests, Disclosable, RecordError, Submission, Text, Utf16Ordered};
use deed_seal::sd;

use crate::{append::AppendError, blob, keys::random_from_pool};

/// The disclosures of a batch in the making.
#[derive(Default)]
pub(super) struct Payloads {
    /// As they are sealed ([`blob`]), those of one record together.
    plain: Vec<u8>,
    /// Where in `plain` the JSON of each stands.
    json: Vec<Range<usize>>,
}

/// The disclosures of one record: where they stand in [`Payloads`].
#[derive(Default)]
pub(super) struct Disclosed {
    pub(super) plain: Range<usize>,
    /// Numbers of its disclosures, with the member of `disclose` they stand under.
    groups: Vec<(Option<String>, Range<usize>)>,
}

impl Payloads {
    /// Writes the disclosures of `submission`, each with a fresh salt.
    pub(super) fn add(&mut self, submission: &Submission<'_>) -> Result<Disclosed, AppendError> {
        let start = self.plain.len();
        let mut groups = Vec::new();
        let mut group = |of: Option<&str>, from: usize, payloads: &Self| {
            if payloads.json.len() > from {
                groups.push((of.map(str::to_owned), from..payloads.json.len()));
            }
        };
        for (name, value) in &submission.disclose.0 {
            if let Disclosable::Members(members) = value {
                let from = self.json.len();
                for (member, value) in members {
                    self.push(Some(name), member, value)?;
                }
                group(Some(name), from, self);
            }
        }
        let from = self.json.len();
        for (name, value) in &submission.disclose.0 {
            if let Disclosable::Whole(value) = value {
                self.push(None, name, value)?;
            }
        }
        let json_text = |text: &str| serde_json::Value::from(text).to_string();
        // What people call somebody is personal: it is disclosed, never sealed.
        let mut names = Vec::new();
        submission.each_principal(&mut |at, principal| {
            names.extend(principal.name.as_ref().map(|name| (format!("{at}.name"), name)));
        });
        for (at, name) in names {
            self.push(None, &at, &json_text(name))?;
        }
        if let Some(personal) = &submission.personal {
            for (name, value) in
                [("personal.address", &personal.address), ("personal.device", &personal.device)]
            {
                if let Some(value) = value {
                    self.push(None, name, &json_text(value))?;
                }
            }
        }
        group(None, from, self);
        Ok(Disclosed { plain: start..self.plain.len(), groups })
    }

    fn push(&mut self, group: Option<&str>, name: &str, value: &str) -> Result<(), AppendError> {
        let mut salt = [0; 22];
        URL_SAFE_NO_PAD
            .encode_slice(random_from_pool::<16>()?, &mut salt)
            .map_err(|e| RecordError::new("", e.to_string()))?;
        let salt = std::str::from_utf8(&salt).unwrap_or_default();
        self.json.push(blob::push(&mut self.plain, group, |plain| {
            sd::write_disclosure_json(plain, salt, name, value.as_bytes());
        }));
        Ok(())
    }

    /// Computes the digests of all of them.
    pub(super) fn commit(self) -> Committed {
        let json: Vec<&[u8]> = self.json.iter().map(|at| &self.plain[at.clone()]).collect();
        Committed { digests: sd::digests_of_json(&json), plain: self.plain }
    }
}

/// [`Payloads`] with their digests.
pub(super) struct Committed {
    plain: Vec<u8>,
    digests: Vec<[u8; 32]>,
}

impl Committed {
    /// What is sealed in the record itself: the digests, in random order.
    pub(super) fn commitments(&self, disclosed: &Disclosed) -> Commitments<'static> {
        let mut tree: BTreeMap<Utf16Ordered<'static>, Digests<'static>> = BTreeMap::new();
        for (group, at) in &disclosed.groups {
            let digests = shuffled(&self.digests[at.clone()]);
            match group {
                Some(name) => tree.insert(Utf16Ordered(Text::from(name.clone())), Digests::Members(digests)),
                None => tree.insert(Utf16Ordered(Text::from("_sd")), Digests::Whole(digests)),
            };
        }
        Commitments(tree)
    }

    /// The disclosures of one record, to be sealed where they stand.
    pub(super) fn plain_mut(&mut self, disclosed: &Disclosed) -> &mut [u8] {
        &mut self.plain[disclosed.plain.clone()]
    }
}

/// Digests are as good as random: their own order tells nothing about that of the members.
fn shuffled(digests: &[[u8; 32]]) -> Vec<Text<'static>> {
    let mut texts: Vec<_> = digests.iter().map(sd::digest_text).collect();
    texts.sort_unstable();
    let text = |text: &[u8; 43]| std::str::from_utf8(text).unwrap_or_default().to_owned();
    texts.iter().map(|digits| Text::from(text(digits))).collect()
}
