//! Where one JSON value ends.

/// Objects and arrays nest no deeper than this in a record.
pub(super) const DEEPEST: usize = 128;

/// Follows the brackets and strings of one value, byte by byte, in constant memory.
///
/// It sees only as much as it takes to find the end and to notice that an earlier end is missing; the
/// parser that reads the value afterwards sees the rest.
#[derive(Debug, Default)]
pub(super) struct Scan {
    depth: usize,
    /// One bit for each of the outermost [`DEEPEST`] levels: set where it is an object.
    objects: u128,
    in_string: bool,
    escaped: bool,
    /// The last byte that was neither white space nor inside a string; 0 before the first.
    last: u8,
    /// Whether it nests deeper than [`DEEPEST`]; it is followed to its end all the same.
    pub(super) too_deep: bool,
}

/// What came of feeding bytes to a [`Scan`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All were taken and the value goes on.
    All,
    /// The value ends after this many bytes.
    End(usize),
    /// A member of the outermost object is a list, which begins after this many bytes.
    List(usize),
    /// What stands after this many bytes cannot stand there.
    Broken(usize, &'static str),
}

impl Scan {
    /// Inside an object of which everything up to the end of a member was read.
    pub(super) fn after_member() -> Self {
        Scan { depth: 1, objects: 1, last: b']', ..Scan::default() }
    }

    /// Takes bytes of the value, which begins with `{`, `[` or `"`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Fed {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        self.last = b'"';
                        if self.depth == 0 {
                            return Fed::End(at);
                        }
                    }
                    b'\n' => return Fed::Broken(at - 1, "a string runs over the end of its line"),
                    _ => {}
                }
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'"' => {
                    self.in_string = true;
                    continue;
                }
                b'{' | b'[' => {
                    if !self.may_open() {
                        return Fed::Broken(at - 1, "a value begins before the one around it goes on");
                    }
                    self.open(byte == b'{');
                    self.last = byte;
                    if byte == b'[' && self.depth == 2 && self.objects & 1 == 1 {
                        return Fed::List(at);
                    }
                    continue;
                }
                b'}' | b']' => {
                    if !self.may_close(byte == b'}') {
                        return Fed::Broken(at - 1, "brackets do not match");
                    }
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Fed::End(at);
                    }
                }
                _ => {}
            }
            self.last = byte;
        }
        Fed::All
    }

    fn in_object(&self) -> Option<bool> {
        match self.depth {
            0 => None,
            depth if depth <= DEEPEST => Some(self.objects >> (depth - 1) & 1 == 1),
            // Too deep to remember; the value is refused anyway.
            _ => None,
        }
    }

    fn may_open(&self) -> bool {
        match self.in_object() {
            Some(true) => self.last == b':',
            Some(false) => matches!(self.last, b'[' | b','),
            None => true,
        }
    }

    fn may_close(&self, object: bool) -> bool {
        self.depth > 0 && self.in_object().is_none_or(|inside| inside == object)
    }

    fn open(&mut self, object: bool) {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.too_deep = true;
            return;
        }
        let bit = 1 << (self.depth - 1);
        if object { self.objects |= bit } else { self.objects &= !bit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Fed {
        let mut scan = Scan::default();
        let mut from = 0;
        loop {
            match scan.feed(&text.as_bytes()[from..]) {
                Fed::List(n) => from += n,
                Fed::End(n) => return Fed::End(from + n),
                Fed::Broken(n, why) => return Fed::Broken(from + n, why),
                Fed::All => return Fed::All,
            }
        }
    }

    #[test]
    fn finds_the_end() {
        for text in [
            "{}",
            "[]",
            r#"{"a":[{"b":"}\"]"},[1,{}]],"c":{}}"#,
            "\"a\\\"b\"",
            "[\n[],{} ]",
            "{\"a\":\n{\"b\":1}}",
        ] {
            assert_eq!(whole(text), Fed::End(text.len()), "{text}");
            assert_eq!(whole(&format!("{text}, x")), Fed::End(text.len()), "{text}");
            for end in 0..text.len() {
                assert_eq!(whole(&text[..end]), Fed::All, "{text} cut at {end}");
            }
        }
    }

    #[test]
    fn notices_a_missing_end() {
        for (text, at) in [
            ("{\"a\":1,\n{\"b\":2}", 8),
            ("{\"a\":\"x\"\n{", 9),
            ("{\"a\":\"x\n", 7),
            ("{\"a\":[1\n{", 8),
            ("{]", 1),
            ("[}", 1),
        ] {
            assert!(matches!(whole(text), Fed::Broken(found, _) if found == at), "{text} {:?}", whole(text));
        }
    }

    #[test]
    fn follows_what_is_too_deep_to_its_end() {
        let text = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        let mut scan = Scan::default();
        assert_eq!(scan.feed(text.as_bytes()), Fed::End(text.len()));
        assert!(scan.too_deep);
    }
}
