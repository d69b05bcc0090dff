//! Secrets in a plain text: command lines, environments, headers, logs, code.

use super::{
    encoded, form, hint, kubernetes,
    name::{Class, class},
    program,
    shape::{self, Found, in_order, is_word, run},
    sql,
    value::{fingerprint_length, is_guessable, is_secret, without_fingerprints},
    vendor,
};

/// Where in `text` secrets stand, in order, not overlapping.
pub(super) fn find(text: &str) -> Vec<Found> {
    if hint::may_hold_secret(text) { search(text) } else { Vec::new() }
}

/// As [`find`], without asking first whether there is any.
pub(super) fn search(text: &str) -> Vec<Found> {
    const MOST_ENCODED: usize = 3;
    within(text, MOST_ENCODED)
}

/// As [`search`], where no more than so many encodings are taken off.
pub(super) fn within(text: &str, encodings: usize) -> Vec<Found> {
    let found = plain(text);
    if encodings == 0 { found } else { encoded::add(text, found, encodings) }
}

fn plain(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut apart = kubernetes::values(text);
    apart.extend(program::values(text));
    apart.extend(form::values(text));
    apart.extend(vendor::spoken_of(text));
    apart.sort_by_key(|value| value.range.start);
    let mut apart = apart.into_iter().peekable();
    let mut at = 0;
    while at < text.len() {
        if !text.is_char_boundary(at) {
            at += 1;
            continue;
        }
        // Another reading went on behind where they begin: what a program takes may look like the name of a secret.
        while let Some(passed) = apart.next_if(|value| value.range.start < at) {
            found.push(passed);
        }
        let secret = apart
            .next_if(|value| value.range.start == at)
            .or_else(|| shape::at(text, at))
            .or_else(|| assigned(text, at))
            .or_else(|| sql::at(text, at));
        match secret {
            Some(secret) => {
                at = secret.range.end;
                found.push(secret);
            }
            None => at += 1,
        }
    }
    found.extend(apart);
    in_order(found)
}

/// So much of a value decides whether it is a secret: a text full of names must not cost its square.
const EXAMINED: usize = 512;

/// The secret of `NAME=value`, `"name": 'value'`, `--name value`, `<name>value</name>` and what else
/// gives a name its value, where a name of a secret begins at byte `at`.
fn assigned(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    if !(bytes[at].is_ascii_alphabetic() || bytes[at] == b'_') || !starts_name(bytes, at) {
        return None;
    }
    let name = &text[at..at + run(&text[at..], is_word)];
    let class = match class(name) {
        Some(class) => class,
        // A shared access signature of Azure.
        None if text[at..].starts_with("sig=") && at > 0 && matches!(bytes[at - 1], b'?' | b'&') => {
            Class::Token
        }
        None => return None,
    };
    let Assignment { start, end, colon } = assignment(text, at, name, class)?;
    let rest = &text[start..];
    let examined = end.find(&rest[..rest.floor_char_boundary(EXAMINED)]);
    let (start, value) = match class {
        Class::Header => without_scheme(start, examined),
        _ => (start, examined),
    };
    // The token behind `Bearer` is found on its own, and keeps its scheme.
    if fingerprint_length(value) > 0
        || shape::is_scheme(examined)
        || !is_secret(&without_fingerprints(value), class)
    {
        return None;
    }
    let quoted = matches!(
        end,
        End::Quote(_) | End::Literal(_) | End::Sql(_) | End::Escaped(_) | End::Tag | End::Block(_)
    );
    let believed = quoted
        || match class {
            Class::Short | Class::Code if colon => false,
            Class::Password if colon && is_prose(value, &text[start + value.len()..]) => false,
            // A sentence about a mnemonic is none.
            Class::Phrase if colon => value.split(' ').count() >= 11 && value.bytes().all(is_phrase),
            Class::Header => true,
            _ => !is_code(value, name),
        };
    believed.then(|| {
        let stop = text.len() - rest.len() + end.find(rest).len();
        Found::at(start..stop, is_guessable(&text[start..stop], class))
    })
}

/// Letters of a phrase, and what is between its words.
fn is_phrase(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_lowercase() || !byte.is_ascii()
}

/// A name begins here: at a word's start, or behind the dashes of a flag.
fn starts_name(bytes: &[u8], at: usize) -> bool {
    let dashes = bytes[..at].iter().rev().take_while(|b| **b == b'-').count();
    let before = at - dashes;
    before == 0 || !is_word(bytes[before - 1])
}

/// A name with something that gives it a value.
struct Assignment {
    /// Where the value starts.
    start: usize,
    end: End,
    /// Whether it may be prose: `name: value`.
    colon: bool,
}

fn assignment(text: &str, at: usize, name: &str, class: Class) -> Option<Assignment> {
    let bytes = text.as_bytes();
    let skip = |from: usize, members: &[u8]| from + run(&text[from..], |b| members.contains(&b));
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let closed = skip(at + name.len(), b"\"'\\]");
    let mark = match skip(closed, b" ") {
        // A command goes on in the next line.
        mark if mark > closed && text[mark..].starts_with("\\\n") => skip(mark + 2, b" \t"),
        mark => mark,
    };
    let statement = mark > closed && class == Class::Password && before != Some(b'-');
    if let Some((start, end)) = sql::literal(text, mark).filter(|_| statement && sql::is_account(text, at)) {
        return Some(Assignment { start, end, colon: false });
    }
    let behind = match bytes.get(mark)? {
        b'>' if matches!(before, Some(b'<' | b':')) => {
            return Some(Assignment { start: mark + 1, end: End::Tag, colon: false });
        }
        b'=' => skip(mark, b"=>"),
        // Behind a colon it is a part of a longer name: `arn:aws:secretsmanager:…:secret:prod/db`. Before two slashes it
        // is a scheme.
        b':' if before != Some(b':') && !text[mark..].starts_with("://") => skip(mark, b":="),
        // `- name: DB_PASSWORD` and on the next line `value: …`.
        b'\n' => {
            let value = skip(mark, b" \n");
            text[value..].starts_with("value:").then_some(value + 6)?
        }
        next if before == Some(b'-') && mark > closed && !matches!(next, b'-' | b'|') => {
            // `pulumi config set --secret dbPassword x`: a name, and the value is behind it.
            let word = &text[mark..mark + run(&text[mark..], is_word)];
            let names =
                self::class(word).is_some() && matches!(command(text, mark, word), Some(Command::Word));
            (!names).then_some(mark)?
        }
        next if mark > closed && !matches!(next, b'-' | b'\n') => match command(text, at, name)? {
            Command::Rest if class == Class::Password && !matches!(next, b'"' | b'\'') => {
                return Some(Assignment { start: mark, end: End::Line, colon: false });
            }
            Command::Rest | Command::Word => mark,
            Command::Entry => {
                let value = End::Bare.find(&text[mark..]);
                let made = |b: u8| !b.is_ascii_alphabetic();
                (value.bytes().any(made) || is_netrc(text, at)).then_some(mark)?
            }
        },
        _ => return None,
    };
    let colon = bytes[mark] == b':';
    let opening = undecorated(text, skip(behind, b" "), colon);
    if let Some((start, indent)) = block(&text[opening..]).filter(|_| colon) {
        return Some(Assignment { start: opening + start, end: End::Block(indent), colon: false });
    }
    let start = skip(opening, b"\"'`\\");
    let opened = &bytes[opening..start];
    let end = match opened.last() {
        Some(b'\\') | None if matches!(class, Class::Header | Class::Phrase) => End::Line,
        Some(b'\\') | None => End::Bare,
        Some(quote) if opened.contains(&b'\\') => End::Quote(*quote),
        Some(quote) => End::Literal(*quote),
    };
    Some(Assignment { start, end, colon })
}

/// Where the value itself begins, behind what says how it is written: `N'…'`, `$'…'`, `f"…"`, `!!str …`, `&anchor …`.
fn undecorated(text: &str, at: usize, colon: bool) -> usize {
    let bytes = text.as_bytes();
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'!' | b'&'), Some(next)) if colon && !next.is_ascii_whitespace() => {
            let word = run(&text[at..], |b| !b.is_ascii_whitespace());
            at + word + run(&text[at + word..], |b| b == b' ')
        }
        (Some(prefix), Some(b'\'' | b'"'))
            if prefix.is_ascii_alphabetic() || matches!(prefix, b'$' | b'@') =>
        {
            at + 1
        }
        _ => at,
    }
}

/// Where the first line of a block of YAML begins whose indicator (`|`, `>-`) `text` begins with, and how far it is indented.
fn block(text: &str) -> Option<(usize, usize)> {
    let indicator = run(text, |b| matches!(b, b'|' | b'>' | b'+' | b'-') || b.is_ascii_digit());
    let line = indicator + run(&text[indicator..], |b| matches!(b, b' ' | b'\r'));
    let starts = text.starts_with(['|', '>']) && text[line..].starts_with('\n');
    let begin = line + run(&text[line..], |b| matches!(b, b'\n' | b'\r' | b' '));
    let indent = text[..begin].bytes().rev().take_while(|b| *b == b' ').count();
    (starts && indent > 0).then_some((begin, indent))
}

/// So much of what stands before a name says whether a value follows it. [`hint`] looks as far.
pub(super) const BEFORE: usize = 96;

/// What stands before byte `at`, as far as it matters.
pub(super) fn before(text: &str, at: usize) -> &str {
    &text[text.ceil_char_boundary(at.saturating_sub(BEFORE))..at]
}

/// What stands before a name that has its value behind nothing but a space.
enum Command {
    /// `ENV DB_PASSWORD the rest of the line` of a Dockerfile.
    Rest,
    /// `aws configure set aws_secret_access_key x`, `setx TOKEN x`.
    Word,
    /// `login ann password x` of a `.netrc`.
    Entry,
}

fn command(text: &str, at: usize, name: &str) -> Option<Command> {
    // What the name is the end of belongs to it: `//registry.npmjs.org/:_authToken`.
    let before = before(text, at).trim_end_matches(|c: char| !c.is_ascii_whitespace());
    let mut words = before.split_ascii_whitespace().rev();
    let nearest = words.next()?;
    if nearest == "ENV" {
        return Some(Command::Rest);
    }
    if name == "password" && matches!(words.clone().next(), Some("login" | "account")) {
        return Some(Command::Entry);
    }
    let mut words = std::iter::once(nearest).chain(words).skip_while(|word| word.starts_with('-'));
    let sets = match words.next()? {
        "set" => matches!(words.next(), Some("configure" | "config")),
        word => matches!(word, "setx" | "config:set" | "SETX"),
    };
    sets.then_some(Command::Word)
}

/// Whether the `password` at byte `at` is the one of a `.netrc`.
fn is_netrc(text: &str, at: usize) -> bool {
    before(text, at).split_ascii_whitespace().any(|word| matches!(word, "machine" | "default"))
}

/// What ends a value.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// A quote that is escaped itself, in a text within a text.
    Quote(u8),
    /// A quote that nothing escapes, in a later line too.
    Literal(u8),
    /// A line that is indented less than by so many spaces.
    Block(usize),
    /// A quote that is no two: `'it''s'`.
    Sql(u8),
    /// As [`Sql`](End::Sql), and behind no backslash: `'it\'s'`.
    Escaped(u8),
    Line,
    Tag,
    Bare,
}

impl End {
    /// The value that `rest` begins with.
    pub(super) fn find(self, rest: &str) -> &str {
        let until = |ends: &[u8]| &rest[..run(rest, |b| !ends.contains(&b))];
        match self {
            End::Quote(quote) => until(&[quote, b'\n']).trim_end_matches('\\'),
            End::Literal(quote) => literal(rest, quote),
            End::Block(indent) => indented(rest, indent),
            End::Sql(quote) | End::Escaped(quote) => {
                let escapes = matches!(self, End::Escaped(_));
                let bytes = rest.as_bytes();
                let mut end = 0;
                while let Some(byte) = bytes.get(end) {
                    match byte {
                        b if *b == quote && bytes.get(end + 1) == Some(&quote) => end += 2,
                        b'\\' if escapes => end += 2,
                        b if *b == quote || *b == b'\n' => break,
                        _ => end += 1,
                    }
                }
                rest[..end.min(rest.len())].trim_end_matches('\\')
            }
            End::Line => until(b"\"'\n\r").trim_end_matches(['\\', ' ']),
            End::Tag => until(b"<"),
            End::Bare => {
                let value = until(b" \t\n\r&;\"'`<>");
                let more = pasted(&rest[value.len()..]);
                if more > 0 && !value.is_empty() {
                    return &rest[..value.len() + more];
                }
                // `user=ann,password=hunter2,host=db`: the next name ends it.
                let next = value.match_indices(',').map(|(at, _)| at).find(|comma| {
                    let name = run(&value[comma + 1..], is_word);
                    name > 0 && matches!(value.as_bytes().get(comma + 1 + name), Some(b'=' | b':'))
                });
                // Nor does what closes a call or a list around it belong to it.
                value[..next.unwrap_or(value.len())].trim_end_matches([',', ')', '}', ']', '\\'])
            }
        }
    }
}

/// What `rest` begins with, to the `quote` that closes it; to the end of the line, where none closes it soon.
fn literal(rest: &str, quote: u8) -> &str {
    let bytes = rest.as_bytes();
    let (mut end, mut line) = (0, None);
    while let Some(byte) = bytes.get(end) {
        match byte {
            b if *b == quote && line.is_none() => return &rest[..end],
            b if *b == quote => {
                // A quote in a text that begins there, rather than one that ends here.
                let behind = bytes.get(end + 1);
                let closes = behind.is_none_or(|b| b.is_ascii_whitespace() || b";,)}]&|\\".contains(b));
                return &rest[..line.filter(|_| !closes).unwrap_or(end)];
            }
            b'\n' if end == 0 => return "",
            b'\n' => {
                line.get_or_insert(end);
                end += 1;
            }
            b'\\' => end += 2,
            _ => end += 1,
        }
        if line.is_some() && end > EXAMINED {
            break;
        }
    }
    let end = line.unwrap_or(end.min(rest.len()));
    rest[..rest.floor_char_boundary(end)].trim_end_matches('\\')
}

/// The lines that `rest` begins with, behind the `indent` of the first, that are indented like it.
fn indented(rest: &str, indent: usize) -> &str {
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if end > 0 && run(line, |b| b == b' ') < indent && !line.trim_ascii().is_empty() {
            break;
        }
        end += line.len();
    }
    rest[..end].trim_ascii_end()
}

/// How much of `rest`, which follows a word of a command, belongs to it: `'b'c` of `a'b'c`.
fn pasted(rest: &str) -> usize {
    let Some(quote) = rest.bytes().next().filter(|b| matches!(b, b'"' | b'\'')) else { return 0 };
    let inner = run(&rest[1..], |b| b.is_ascii_alphanumeric() || b"_-!@#$%^*~?./".contains(&b));
    let closed = 1 + inner;
    if rest.as_bytes().get(closed) != Some(&quote)
        || !rest[1..closed].bytes().any(|b| b.is_ascii_alphanumeric())
    {
        return 0;
    }
    let word = run(&rest[closed + 1..], |b| b.is_ascii_alphanumeric() || b"_-!@#$%^*~?./".contains(&b));
    let end = closed + 1 + word;
    end + pasted(&rest[end..])
}

/// The credentials of a header behind the name of their scheme, and where they start.
pub(super) fn without_scheme(start: usize, value: &str) -> (usize, &str) {
    let scheme = run(value, |b| b.is_ascii_alphabetic());
    let spaces = run(&value[scheme..], |b| matches!(b, b' ' | b'\t'));
    let skipped = if scheme > 0 && spaces > 0 { scheme + spaces } else { 0 };
    (start + skipped, &value[skipped..])
}

/// `password: must be at least eight letters`, `password: string`.
fn is_prose(value: &str, after: &str) -> bool {
    const TYPES: &[&str] = &["str", "string", "text", "optional", "required", "bytes", "any"];
    let word = value.trim_end_matches(['.', '?', '!', ',', '…']);
    let goes_on =
        after.strip_prefix([' ', ',']).is_some_and(|rest| rest.trim_start().starts_with(char::is_alphabetic));
    word.chars().all(char::is_alphabetic) && (goes_on || TYPES.contains(&&*word.to_ascii_lowercase()))
}

/// A name or a call of a program that fetches the secret: `os.environ`, `get_password()`, `password`.
fn is_code(value: &str, name: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.bytes().all(is_word)
    };
    let dotted = value.contains('.')
        && value.split('.').all(is_name)
        && value.bytes().filter(u8::is_ascii_digit).count() < 3;
    value.contains(['(', '[']) || dotted || value.eq_ignore_ascii_case(name)
}
