//! A text by its letters and digits alone, in which every formatting of a value looks the same.

use std::ops::Range;

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

use crate::names::shows_nothing;

/// Letters and digits of a text: without case, accents and width, and without all that stands between them.
#[derive(Default)]
pub(super) struct Skeleton {
    /// Letters and digits.
    pub(super) text: String,
    /// For each byte of them, whether a word begins there: after something else, or where digits follow letters or letters digits.
    begins: Vec<bool>,
}

impl Skeleton {
    pub(super) fn of(text: &str) -> Self {
        let mut skeleton =
            Skeleton { text: String::with_capacity(text.len()), begins: Vec::with_capacity(text.len()) };
        let mut before = None;
        for c in text.chars() {
            if c.is_ascii() {
                skeleton.push(c.to_ascii_lowercase(), &mut before);
            } else {
                decompose_compatible(c, |c| {
                    // By way of upper case, for letters that have another there: `ß` is `ss`.
                    c.to_uppercase().flat_map(char::to_lowercase).for_each(|c| skeleton.push(c, &mut before));
                });
            }
        }
        skeleton
    }

    fn push(&mut self, c: char, before: &mut Option<Kind>) {
        if is_passed_over(c) {
            return;
        }
        let kind = Kind::of(c);
        if kind.is_some() {
            self.begins.push(kind != *before);
            self.text.push(c);
            self.begins.resize(self.text.len(), false);
        }
        *before = kind;
    }

    /// Whether what stands there is whole words.
    pub(super) fn is_words(&self, at: &Range<usize>) -> bool {
        self.begins[at.start] && self.begins.get(at.end).is_none_or(|begins| *begins)
    }

    /// Whether what stands there is in groups as those of a number: after the first, of two digits or more.
    pub(super) fn is_grouped(&self, at: &Range<usize>) -> bool {
        let begins = &self.begins[at.start + 1..at.end];
        begins.last() != Some(&true) && !begins.windows(2).any(|two| two == [true, true])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
}

impl Kind {
    fn of(c: char) -> Option<Self> {
        match c {
            c if c.is_numeric() => Some(Kind::Digit),
            c if c.is_alphabetic() => Some(Kind::Letter),
            _ => None,
        }
    }
}

/// Whether it changes nothing of the word in which it stands: accents, and what shows nothing.
fn is_passed_over(c: char) -> bool {
    !c.is_ascii() && (canonical_combining_class(c) != 0 || shows_nothing(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_formatting_looks_the_same() {
        for (one, other) in [
            ("4111111111111111", "4111-1111\u{2011}1111\u{a0}1111"),
            ("O'Brien", "O\u{2019}BRIEN"),
            ("Zoë Straße", "ZOE\u{308} STRASSE"),
            ("Ｆｕｌｌ　１２３", "full 123"),
            ("ﬁne\u{ad}print", "fine\u{200b}pr\u{3164}i\u{202d}nt"),
            ("서울", "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"),
        ] {
            assert_eq!(Skeleton::of(one).text, Skeleton::of(other).text, "{one}");
        }
    }

    #[test]
    fn words_and_groups_are_known() {
        let skeleton = Skeleton::of("CHF120,000 for 12 3,4 56");
        assert_eq!(skeleton.text, "chf120000for123456");
        assert!(skeleton.is_words(&(3..9)) && skeleton.is_grouped(&(3..9)));
        assert!(!skeleton.is_words(&(4..9)) && !skeleton.is_words(&(3..8)));
        assert!(skeleton.is_words(&(12..18)) && !skeleton.is_grouped(&(12..18)));
    }
}
