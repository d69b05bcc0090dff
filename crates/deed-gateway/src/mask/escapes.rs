//! Escapes in texts: those of JSON and of programs, `%XX`, and the markup of HTML.

use memchr::{memchr, memchr2};

/// A name between `&` and `;` is not longer, in bytes.
const LONGEST_NAME: usize = 10;
/// A tag is not longer, in bytes.
const LONGEST_TAG: usize = 1024;

/// `text` without escapes of one kind, where it has any; what it has of another kind is for the next reading.
pub(super) fn read(text: &str) -> Option<String> {
    match text.contains('\\') {
        true => Some(without_backslashes(text)),
        false => without_percents(text).or_else(|| without_markup(text)),
    }
}

fn without_percents(text: &str) -> Option<String> {
    memchr(b'%', text.as_bytes())?;
    let bytes = text.as_bytes();
    let is_coded =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut coded) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' && is_coded(at) {
            let two = text.get(at + 1..at + 3).and_then(|two| u8::from_str_radix(two, 16).ok());
            out.extend(two);
            (at, coded) = (at + 3, true);
        } else {
            out.push(byte);
            at += 1;
        }
    }
    coded.then(|| String::from_utf8_lossy(&out).into_owned())
}

fn without_backslashes(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(rest[..at].encode_utf16());
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { break };
        let digits = match c {
            'u' => rest.get(1..5),
            'x' => rest.get(1..3),
            _ => None,
        };
        let coded = digits.and_then(|hex| Some((u16::from_str_radix(hex, 16).ok()?, 1 + hex.len())));
        let (unit, length) = coded.unwrap_or_else(|| match c {
            'n' | 'r' | 't' | 'b' | 'f' => (u16::from(b' '), 1),
            c => (c.encode_utf16(&mut [0; 2])[0], c.len_utf8()),
        });
        out.push(unit);
        rest = &rest[length..];
    }
    out.extend(rest.encode_utf16());
    String::from_utf16_lossy(&out)
}

/// `text` without tags, and with the characters that its entities stand for.
fn without_markup(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut rest, mut is_marked) = (text, false);
    while let Some(at) = memchr2(b'&', b'<', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (shown, length) = entity(rest).or_else(|| tag(rest)).unwrap_or((None, 0));
        is_marked |= length > 0;
        match length {
            0 => out.push_str(&rest[..1]),
            _ => out.extend(shown),
        }
        rest = &rest[length.max(1)..];
    }
    is_marked.then(|| out + rest)
}

/// The character for which the entity stands that `text` begins with, and how long it is.
fn entity(text: &str) -> Option<(Option<char>, usize)> {
    let end = text.bytes().take(LONGEST_NAME).position(|byte| byte == b';')?;
    let name = text.strip_prefix('&')?.get(..end - 1)?;
    let c = match name.strip_prefix('#') {
        Some(code) => {
            let code = match code.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => code.parse(),
            };
            char::from_u32(code.ok()?)?
        }
        None => named(name)?,
    };
    Some((Some(c), end + 1))
}

/// What a name stands for: a letter as it is without its accent, and a blank for all that is none.
fn named(name: &str) -> Option<char> {
    const ACCENTS: [&str; 8] = ["uml", "acute", "grave", "circ", "tilde", "ring", "cedil", "caron"];
    let letter = name.chars().next().filter(char::is_ascii_alphabetic)?;
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "szlig" => 'ß',
        "oslash" => 'ø',
        "Oslash" => 'Ø',
        "aelig" => 'æ',
        "AElig" => 'Æ',
        "oelig" => 'œ',
        "OElig" => 'Œ',
        _ if ACCENTS.contains(&&name[1..]) => letter,
        _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => ' ',
        _ => return None,
    })
}

/// The tag that `text` begins with: a break, as far as anybody can see.
fn tag(text: &str) -> Option<(Option<char>, usize)> {
    let inner = text.strip_prefix('<')?;
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')).then_some(())?;
    let end = inner.bytes().take(LONGEST_TAG).position(|byte| matches!(byte, b'<' | b'>'))?;
    inner[end..].starts_with('>').then_some((Some(' '), end + 2))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn escapes_are_read() {
        for (text, shown) in [
            ("O&#39;Brien &amp; S&#xf6;hne", "O'Brien & Söhne"),
            ("M&uuml;ller&nbsp;&szlig;", "Muller ß"),
            ("<p>Bahnhofstrasse 1<br/>8001</p>", " Bahnhofstrasse 1 8001 "),
            ("j%C3%BCrgen%40example.com", "jürgen@example.com"),
            (r"j\u00fcrgen\_b", "jürgen_b"),
            (r"\x35\x355 \xy", "555 xy"),
            ("%26amp;", "&amp;"),
        ] {
            assert_eq!(read(text).as_deref(), Some(shown), "{text}");
        }
        for plain in ["AT&T a < b & c > d", "&#xffffffff;", "100 %", "a <"] {
            assert_eq!(read(plain), None, "{plain}");
        }
    }
}
