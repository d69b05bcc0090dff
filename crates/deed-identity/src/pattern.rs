//! What a `match` of the inventory covers.

use std::cmp::Ordering;

/// A URI in which each `*` stands for any characters, none and `/` among them. There is no way to write a
/// literal `*`: URIs spell it `%2A`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        Pattern(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers all of `uri`.
    pub(crate) fn covers(&self, uri: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else { return self.0 == uri };
        let Some(mut uri) = uri.strip_prefix(prefix) else { return false };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        // `split` gives at least one piece: what stands behind the last `*` must end the text.
        let last = pieces.pop().unwrap_or_default();
        for piece in pieces {
            // The leftmost place leaves the most for what follows.
            match uri.find(piece) {
                Some(at) => uri = &uri[at + piece.len()..],
                None => return false,
            }
        }
        uri.ends_with(last)
    }

    /// Which of two says more: a URI before a pattern, then the one with more before its first `*`, then the
    /// one with more literal characters at all. `Greater` is the more particular one.
    pub(crate) fn compare(&self, other: &Pattern) -> Ordering {
        let key = |pattern: &Pattern| {
            let prefix = pattern.0.find('*');
            let stars = pattern.0.bytes().filter(|byte| *byte == b'*').count();
            (prefix.is_none(), prefix.unwrap_or(pattern.0.len()), pattern.0.len() - stars)
        };
        key(self).cmp(&key(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_it_says() {
        for (pattern, uri, covered) in [
            ("a:/b", "a:/b", true),
            ("a:/b", "a:/b/c", false),
            ("a:/*", "a:/b/c", true),
            ("a:/*", "a:/", true),
            ("a:/*", "b:/", false),
            ("*", "", true),
            ("a:/*/c", "a:/b/c", true),
            ("a:/*/c", "a:/c", false),
            ("a:/*/c", "a:/b/c/d", false),
            ("a*bc*bc", "abcbc", true),
            ("a*bc*bc", "abc", false),
            ("*.csv", "s3://x/y.csv", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Pattern::new(pattern.into()).covers(uri), covered, "{pattern} {uri}");
        }
    }
}
