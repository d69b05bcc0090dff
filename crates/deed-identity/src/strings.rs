//! Words that many entries share, each kept once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A word of a [`Strings`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Sym(pub(crate) u32);

/// Words by number. Number 0 is the empty word, which stands for none.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    words: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32, RandomState>,
}

/// Longer words are cut: names of systems and environments are short, and a sender chooses them.
const LONGEST: usize = 200;

impl Default for Strings {
    fn default() -> Self {
        Strings { words: vec!["".into()], numbers: HashMap::from_iter([("".into(), 0)]) }
    }
}

impl Strings {
    /// As much of `word` as is kept.
    pub(crate) fn cut(word: &str) -> &str {
        if word.len() <= LONGEST {
            return word;
        }
        let cut = word.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST);
        cut.map_or(word, |at| &word[..at])
    }

    /// The number of `word`.
    pub(crate) fn sym(&mut self, word: &str) -> Sym {
        let word = Strings::cut(word);
        if let Some(number) = self.numbers.get(word) {
            return Sym(*number);
        }
        let number = self.words.len() as u32;
        self.words.push(word.into());
        self.numbers.insert(word.into(), number);
        Sym(number)
    }

    /// The word of a number.
    pub(crate) fn word(&self, sym: Sym) -> &str {
        self.words.get(sym.0 as usize).map_or("", |word| word)
    }

    /// The lesser of two words; none is greater than any.
    pub(crate) fn least(&self, one: Sym, other: Sym) -> Sym {
        match (one.0, other.0) {
            (0, _) => other,
            (_, 0) => one,
            _ if self.word(other) < self.word(one) => other,
            _ => one,
        }
    }

    /// Every word, by number.
    pub(crate) fn words(&self) -> &[Box<str>] {
        &self.words
    }
}
