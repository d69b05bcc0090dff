//! Canonical JSON (RFC 8785) of sealed records, read and written fast.
//!
//! Every leaf is written once and read many times: for rows, for look-ups, for checks. In canonical JSON members
//! have one order and one spelling, so that a reader need not ask what comes next, only whether it is there. What
//! is not as expected is left to `serde_json`, which has the last word.

mod members;
mod reader;
mod writer;

pub(crate) use reader::read;
pub(crate) use writer::write;

/// Length of the beginning of `bytes` that stands in a JSON string as it is: up to a quote, a backslash or a
/// control character (RFC 8259, section 7).
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // Eight at a time: in each byte that is special the top bit is set, and below the first of those in
        // no other.
        let word = u64::from_le_bytes(*word);
        let below = |limit: u64, word: u64| word.wrapping_sub(ONES * limit) & !word;
        let special = below(0x20, word) | below(1, word ^ (ONES * 0x22)) | below(1, word ^ (ONES * 0x5c));
        let special = special & (ONES * 0x80);
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::{plain_length, read};
    use crate::Skeleton;

    /// Sealed records with every member, by file name.
    fn golden() -> Vec<(String, String)> {
        let folder =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")).expect("the folder");
        let files = folder.map(|entry| entry.expect("an entry").path());
        files
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("a file")))
            .collect()
    }

    #[test]
    fn every_member_is_read_without_help() {
        for (name, leaf) in golden() {
            let Some(record) = read(&leaf) else {
                // Escapes are left to `serde_json`.
                assert!(leaf.contains('\\'), "{name}");
                continue;
            };
            assert_eq!(Some(record), serde_json::from_str(&leaf).ok(), "{name}");
        }
    }

    /// A sealed record with pieces replaced by what JSON is made of.
    fn changed() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u00e9",
            "\u{1}",
            "é",
            "null",
            "true",
            "0",
            "00",
            "-0",
            "-1",
            "1.0",
            "1e3",
            "999999999999999",
            "9007199254740993",
            "\"v\":1",
            ",\"kind\":\"step\"",
            "{}",
            "[]",
            "\"\"",
            "{\"type\":\"agent\"}",
            "[\"a\"]",
            ",}",
            ",]",
            "\"_sd\"",
            "{\"_sd\":[\"a\"]}",
        ]);
        let change = (any::<prop::sample::Index>(), 0..6_usize, pieces);
        let records: Vec<String> = golden().into_iter().map(|(_, leaf)| leaf).collect();
        (prop::sample::select(records), prop::collection::vec(change, 0..3)).prop_map(|(record, changes)| {
            changes.into_iter().fold(record, |mut text, (at, length, piece)| {
                let edges: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                let at = at.index(edges.len());
                text.replace_range(edges[at]..edges[(at + length).min(edges.len() - 1)], piece);
                text
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_read_without_help_is_what_serde_json_reads(text in changed()) {
            if let Some(record) = read(&text) {
                let theirs = serde_json::from_str::<Skeleton<'_>>(&text);
                prop_assert!(theirs.as_ref().is_ok_and(|theirs| *theirs == record), "{}: {:?}", text, theirs.err());
            }
        }

        #[test]
        fn plain_ends_where_a_character_is_special(
            text in prop::collection::vec(prop_oneof![any::<u8>(), 0x1f..0x24_u8, Just(b'\\'), 0x7f..0x82_u8], 0..40),
        ) {
            let special = text.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
            prop_assert_eq!(plain_length(&text), special.unwrap_or(text.len()));
        }
    }
}
