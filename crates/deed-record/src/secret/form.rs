//! Forms: what a tag of HTML or XML gives a name, and the parts of `multipart/form-data` (RFC 7578).

use super::{
    name::{Class, class},
    shape::{Found, is_word, run},
    value::secret,
};

/// So much of a tag, and of the head of a part, says what it holds.
const EXAMINED: usize = 1024;

/// The secrets of forms in `text`, in order.
pub(super) fn values(text: &str) -> Vec<Found> {
    let tags = text.match_indices('<').filter_map(|(at, _)| tagged(text, at));
    let parts = text.match_indices("form-data").filter_map(|(at, mark)| part(text, at + mark.len()));
    let mut found: Vec<Found> = tags.chain(parts).collect();
    found.sort_by_key(|found| found.range.start);
    found
}

/// The secret of the tag at byte `at`: `<input name="password" value="…">`, `<entry key="password">…</entry>`,
/// `<wsse:Password Type="…">…`, `<name>password</name><value>…`.
fn tagged(text: &str, at: usize) -> Option<Found> {
    let tag = Tag::read(text, at)?;
    let called = class(local(tag.name));
    let named = tag.with(&["name", "key", "property"]).find_map(|attribute| class(attribute.value));
    let masked = || tag.with(&["type"]).any(|kind| kind.value.eq_ignore_ascii_case("password"));
    let field = || {
        let known = tag.with(&["id"]).find_map(|attribute| class(attribute.value));
        known.or_else(|| masked().then_some(Class::Password))
    };
    if let Some(class) = named.or(called).or_else(field)
        && let Some(value) = tag.with(&["value", "content"]).next()
    {
        return secret(value.at, value.value, class);
    }
    if tag.closed {
        return None;
    }
    let (start, content) = content(text, tag.end);
    // What people read beside a field is none.
    let is_label = || {
        content.contains(char::is_whitespace)
            || tag.attributes.iter().any(|attribute| attribute.value.eq_ignore_ascii_case(content))
    };
    match (called, named) {
        (Some(class), _) => secret(start, content, class),
        (None, Some(_)) if is_label() => None,
        (None, Some(class)) => secret(start, content, class),
        (None, None) if matches!(&*local(tag.name).to_ascii_lowercase(), "name" | "key") => {
            value_behind(text, start + content.len(), class(content)?)
        }
        (None, None) => None,
    }
}

/// The secret of `<value>…` behind a tag that says its name and closes at `at`.
fn value_behind(text: &str, at: usize, class: Class) -> Option<Found> {
    let closing = text[at..].strip_prefix("</")?.find('>')?;
    let next = at + 2 + closing + 1;
    let next = next + run(&text[next..], |b| b.is_ascii_whitespace());
    let tag =
        Tag::read(text, next).filter(|tag| !tag.closed && local(tag.name).eq_ignore_ascii_case("value"))?;
    let (start, content) = content(text, tag.end);
    secret(start, content, class)
}

/// A name without its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// What stands in a tag that ends at `at`, to the next one, and where; CDATA and a `<value>` around it are none of it.
fn content(text: &str, at: usize) -> (usize, &str) {
    const CDATA: &str = "<![CDATA[";
    let start = at + run(&text[at..], |b| b.is_ascii_whitespace());
    let rest = &text[start..];
    if let Some(data) = rest.strip_prefix(CDATA) {
        return (start + CDATA.len(), &data[..data.find("]]>").unwrap_or(0)]);
    }
    if let Some(value) = rest.strip_prefix("<value>") {
        return (start + 7, &value[..run(value, |b| b != b'<')]);
    }
    (start, rest[..run(rest, |b| b != b'<')].trim_ascii_end())
}

/// A tag that opens.
struct Tag<'t> {
    name: &'t str,
    attributes: Vec<Attribute<'t>>,
    /// Nothing is in it: `<a/>`.
    closed: bool,
    /// Where it ends.
    end: usize,
}

struct Attribute<'t> {
    name: &'t str,
    value: &'t str,
    /// Where its value begins.
    at: usize,
}

impl<'t> Tag<'t> {
    /// Its attributes of these names.
    fn with(&self, names: &[&str]) -> impl Iterator<Item = &Attribute<'t>> {
        self.attributes
            .iter()
            .filter(move |attribute| names.iter().any(|name| attribute.name.eq_ignore_ascii_case(name)))
    }

    /// The one whose `<` is at byte `at`.
    fn read(text: &'t str, at: usize) -> Option<Self> {
        let text = &text[..text.floor_char_boundary((at + EXAMINED).min(text.len()))];
        let is_name = |b: u8| is_word(b) || matches!(b, b':' | b'.');
        let starts = text.get(at..)?.strip_prefix('<')?;
        let name = &starts[..run(starts, is_name)];
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let mut tag = Tag { name, attributes: Vec::new(), closed: false, end: at + 1 + name.len() };
        loop {
            let from = tag.end;
            tag.end += run(&text[tag.end..], |b| b.is_ascii_whitespace());
            match text.as_bytes().get(tag.end)? {
                b'>' => {
                    tag.end += 1;
                    return Some(tag);
                }
                b'/' => {
                    tag.closed = true;
                    tag.end += 1;
                    continue;
                }
                _ if from == tag.end => return None,
                _ => {}
            }
            let rest = &text[tag.end..];
            let name = &rest[..run(rest, is_name)];
            tag.closed = false;
            tag.end += name.len();
            let equals = run(&text[tag.end..], |b| b == b' ');
            match text[tag.end + equals..].strip_prefix('=') {
                Some(_) => {
                    let at = tag.end + equals + 1;
                    let at = at + run(&text[at..], |b| b == b' ');
                    let (at, value, end) = value(text, at)?;
                    tag.attributes.push(Attribute { name, value, at });
                    tag.end = end;
                }
                // An attribute without a value.
                None if !name.is_empty() => {}
                None => return None,
            }
        }
    }
}

/// The value of an attribute that begins at `at`: where it starts without its quotes, itself, and where it ends with them.
fn value(text: &str, at: usize) -> Option<(usize, &str, usize)> {
    let rest = &text[at..];
    let quote = run(rest, |b| b == b'\\');
    if !matches!(rest.as_bytes().get(quote), Some(b'"' | b'\'')) {
        let value = &rest[..run(rest, |b| !b.is_ascii_whitespace() && !b"<>\"'".contains(&b))];
        return Some((at, value, at + value.len()));
    }
    let quote = &rest[..=quote];
    let inner = &rest[quote.len()..];
    let value = &inner[..inner.find(quote)?];
    let start = at + quote.len();
    Some((start, value, start + value.len() + quote.len()))
}

/// The value of a part of `multipart/form-data`, where `at` is behind that word of its head.
fn part(text: &str, at: usize) -> Option<Found> {
    let text_of_head = &text[at..text.floor_char_boundary((at + EXAMINED).min(text.len()))];
    let line = &text_of_head[..run(text_of_head, |b| b != b'\n')];
    let (_, name) = line.split_once("name=")?;
    let name = name.trim_start_matches(['\\', '"']);
    let class = class(&name[..run(name, |b| !matches!(b, b'"' | b'\\' | b';' | b'\r'))])?;
    let ends = ["\r\n\r\n", "\n\n"].map(|blank| text_of_head.find(blank).map(|head| head + blank.len()));
    let start = at + ends.into_iter().flatten().min()?;
    let rest = &text[start..];
    let value = rest[..rest.find("\n--").unwrap_or(rest.len())].trim_end_matches('\r');
    secret(start, value, class)
}
