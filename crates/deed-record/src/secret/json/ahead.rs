//! Looking ahead: what other members of an object say of one, for they come in any order.

use std::{borrow::Cow, ops::Range};

use super::{Place, Walk, argument, is_one_of};
use crate::secret::{
    decoded::Decoded,
    kept::Keeps,
    name::{Class, class},
    program,
};

/// Names of members that name what another member of the object holds.
const LABELS: &[&str] = &[
    "name",
    "key",
    "parametername",
    "parameterkey",
    "header",
    "headername",
    "field",
    "variable",
    "attribute",
];

/// Names of members that say what is run with the arguments in another.
const COMMANDS: &[&str] = &["command", "cmd", "program", "executable"];

impl<'j> Walk<'j, '_> {
    /// What the name in the object that starts at `start` says of the value beside it.
    pub(super) fn label(&self, start: usize) -> Option<Class> {
        class(&self.member(start, LABELS)?)
    }

    /// What the object that starts at `start` says of secrets in it.
    pub(super) fn keeps(&self, start: usize) -> Keeps {
        let is = |name: &str, values: &[&str]| {
            self.member(start, &[name]).is_some_and(|value| values.contains(&value.as_str()))
        };
        let object = || {
            let at = self.seek(start, &["objectRef"], b'{')?;
            self.member(at + 1, &["resource"])
        };
        if is("kind", &["Secret"]) {
            Keeps::Secret
        } else if is("mount_type", &["kv", "generic", "cubbyhole"]) {
            Keeps::Vault
        } else if is("kind", &["SecretList"])
            || object().as_deref() == Some("secrets")
            || self
                .member(start, &["resourceName"])
                .is_some_and(|name| name.split('/').any(|p| p == "secrets"))
        {
            Keeps::Around
        } else {
            Keeps::Nothing
        }
    }

    /// Whether an object comes next that has a member `name` which is one too.
    pub(super) fn has_member(&self, name: &str) -> bool {
        let mut seen = Vec::new();
        let mut ahead = self.ahead(self.at, &mut seen);
        ahead.spaces();
        ahead.eat(b':');
        ahead.spaces();
        ahead.eat(b'{') && self.seek(ahead.at, &[name], b'{').is_some()
    }

    /// The words of the command that the object says which starts at `start`: a string, or a list of them.
    pub(super) fn command(&self, start: usize) -> Vec<String> {
        if let Some(text) = self.member(start, COMMANDS) {
            return text.split_ascii_whitespace().map(str::to_owned).collect();
        }
        let list = self.seek(start, COMMANDS, b'[');
        list.map_or(Vec::new(), |at| self.items(at + 1).into_iter().map(Cow::into_owned).collect())
    }

    /// Where programs take secrets in the items from the one that starts at `from` on, the `index`th of a command line that
    /// begins with the words `before`.
    pub(super) fn taken(&self, before: &[String], from: usize, index: usize) -> Vec<(usize, Range<usize>)> {
        let items = self.items(from);
        let words: Vec<&str> =
            before.iter().map(String::as_str).chain(items.iter().map(|item| &**item)).collect();
        let found = program::secrets(&words).into_iter();
        found.filter_map(|(at, part)| Some((index + at.checked_sub(before.len())?, part))).collect()
    }

    /// The items of a list from the one on that starts at `from`; what is no text is empty.
    fn items(&self, from: usize) -> Vec<Cow<'j, str>> {
        let mut seen = Vec::new();
        let mut ahead = self.ahead(from, &mut seen);
        let mut words = Vec::new();
        loop {
            ahead.spaces();
            let start = ahead.at;
            if ahead.skip().is_none() {
                break;
            }
            let item = argument(self.json[start..ahead.at].trim_end());
            words.push(item.map(|item| Decoded::new(item).text).unwrap_or_default());
            if !ahead.eat(b',') {
                break;
            }
        }
        words
    }

    /// Whether a string, an object, or a list of those comes next.
    pub(super) fn holds_text(&self) -> bool {
        let mut next = self.json[self.at..].bytes().filter(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
        match next.next() {
            Some(b'[') => matches!(next.next(), Some(b'"' | b'{')),
            first => matches!(first, Some(b'"' | b'{')),
        }
    }

    /// The string under the first member called one of `names`, of the object whose inside starts at
    /// `start`.
    pub(super) fn member(&self, start: usize, names: &[&str]) -> Option<String> {
        let mut seen = Vec::new();
        let mut ahead = self.ahead(self.seek(start, names, b'"')?, &mut seen);
        let (from, to) = ahead.string(&Place::ROOT).ok()?;
        Some(Decoded::new(&self.json[from..to]).text.into_owned())
    }

    /// Where the first value stands that begins with `first` and is called one of `names`, of the object whose
    /// inside starts at `start`. Looks ahead, for members come in any order.
    fn seek(&self, start: usize, names: &[&str], first: u8) -> Option<usize> {
        let mut seen = Vec::new();
        let mut ahead = self.ahead(start, &mut seen);
        loop {
            ahead.spaces();
            let (from, to) = ahead.string(&Place::ROOT).ok()?;
            let name = Decoded::new(&self.json[from..to]);
            ahead.spaces();
            if !ahead.eat(b':') {
                return None;
            }
            ahead.spaces();
            if is_one_of(&name.text, names) && ahead.peek() == Some(first) {
                return Some(ahead.at);
            }
            ahead.skip()?;
            ahead.spaces();
            if !ahead.eat(b',') {
                return None;
            }
        }
    }

    /// Another reading of the same text, which finds nothing.
    fn ahead<'s>(&'s self, at: usize, seen: &'s mut Vec<(String, String)>) -> Walk<'j, 's> {
        Walk { json: self.json, at, edits: Vec::new(), seen, fingerprints: self.fingerprints }
    }

    /// Passes over a value, whatever is in it.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string(&Place::ROOT).ok()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
        }
    }
}
