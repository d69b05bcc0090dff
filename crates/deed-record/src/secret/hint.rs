//! One pass over a text that decides, for nearly every record, that there is nothing to look for.

use std::sync::LazyLock;

use aho_corasick::{
    Anchored,
    automaton::{Automaton, StateID},
    dfa::DFA,
};

use super::{
    name::{ENDINGS, class},
    program,
    shape::{is_base64, is_word},
    vendor::{self, COMPOSED, PREFIXES},
};

/// Whether `text`, plain or JSON, may hold a secret; false is certain.
pub(super) fn may_hold_secret(text: &str) -> bool {
    let Some(Hints { dfa, start, longest }) = &*HINTS else {
        // Without the automaton every record takes the slow road: right, only slower.
        return true;
    };
    // A step of the automaton waits for the one before. Two halves at once wait half as long; the first
    // runs on into the second by the length of a hint.
    let bytes = text.as_bytes();
    let middle = bytes.len() / 2;
    let next = |state, byte: &u8| dfa.next_state(Anchored::No, state, *byte);
    let hit = |state, at| dfa.is_match(state) && is_hint(dfa, state, text, at + 1);
    let (mut first, mut second) = (*start, *start);
    for (at, (a, b)) in bytes[..middle].iter().zip(&bytes[middle..]).enumerate() {
        (first, second) = (next(first, a), next(second, b));
        let special = dfa.is_special(first) || dfa.is_special(second);
        if special && (hit(first, at) || hit(second, middle + at)) {
            return true;
        }
    }
    let on = |state: &mut StateID, from: usize, to: usize| {
        bytes[from..to].iter().zip(from..).any(|(byte, at)| {
            *state = next(*state, byte);
            hit(*state, at)
        })
    };
    on(&mut first, middle, bytes.len().min(middle + longest)) || on(&mut second, 2 * middle, bytes.len())
}

#[cold]
fn is_hint(dfa: &DFA, state: StateID, text: &str, end: usize) -> bool {
    let (bytes, rest) = (text.as_bytes(), &text.as_bytes()[end..]);
    (0..dfa.match_len(state)).any(|at| match WORDS[dfa.match_pattern(state, at).as_usize()] {
        Word::Ending(which) => {
            let named = || {
                if is_whole_name(bytes, end, ENDINGS[which]) { ALONE[which] } else { ends_name(text, end) }
            };
            is_kind(bytes, end, ENDINGS[which]) || named()
        }
        Word::Prefix(prefix) => starts_word(bytes, end - prefix.len()) && runs_on(rest, 16),
        Word::Part(parts) => vendor::goes_on(rest, parts),
        Word::Program(sign, names) => {
            let start = end - sign.len();
            let before = &bytes[start.saturating_sub(FURTHEST)..start];
            is_word_of_command(bytes, start, end)
                && (names.is_empty() || names.iter().any(|name| calls(before, name)))
        }
        Word::Sign(_, goes_on) => goes_on(rest),
    })
}

/// Whether the name of a member is `ending` and nothing else, as most that end so are: `"key":`, `"value":`.
fn is_whole_name(bytes: &[u8], end: usize, ending: &str) -> bool {
    let start = end - ending.len();
    let quote = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b'"');
    quote(Some(end))
        && quote(start.checked_sub(1))
        && start.checked_sub(2).is_none_or(|at| bytes[at] != b'\\')
        && &bytes[start..end] == ending.as_bytes()
}

/// For each of [`ENDINGS`], whether it names a secret by itself.
static ALONE: LazyLock<[bool; ENDINGS.len()]> = LazyLock::new(|| ENDINGS.map(|name| class(name).is_some()));

/// What may hint at a secret, and of what sort it is.
#[derive(Clone, Copy)]
enum Word {
    /// Of a name, by its number.
    Ending(usize),
    /// Of a vendor's token.
    Prefix(&'static str),
    /// In a token of several parts.
    Part(&'static [vendor::Part]),
    /// A program that takes secrets in its command line, or a word that says so of the programs of these names.
    Program(&'static str, &'static [&'static str]),
    /// Anything else, and whether what follows it can be a secret.
    Sign(&'static str, fn(&[u8]) -> bool),
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Word::Ending(which) => ENDINGS[which],
            Word::Part(parts) => vendor::sign(parts),
            Word::Prefix(text) | Word::Program(text, _) | Word::Sign(text, _) => text,
        }
    }
}

static WORDS: LazyLock<Vec<Word>> = LazyLock::new(|| {
    let endings = (0..ENDINGS.len()).map(Word::Ending);
    let tokens = PREFIXES.into_iter().map(Word::Prefix).chain(COMPOSED.iter().map(|parts| Word::Part(parts)));
    let programs = program::signs().map(|(sign, names)| Word::Program(sign, names));
    endings
        .chain(tokens)
        .chain(programs)
        .chain(SIGNS.iter().map(|(sign, goes_on)| Word::Sign(sign, *goes_on)))
        .collect()
});

/// Finds each of [`WORDS`], by its number.
struct Hints {
    dfa: DFA,
    start: StateID,
    longest: usize,
}

static HINTS: LazyLock<Option<Hints>> = LazyLock::new(|| {
    let words = WORDS.iter().map(|word| word.text());
    let dfa = DFA::builder().ascii_case_insensitive(true).build(words).ok()?;
    Some(Hints { start: dfa.start_state(Anchored::No).ok()?, longest: dfa.max_pattern_len(), dfa })
});

/// What a secret may begin with, and whether what follows can be one.
type Sign = (&'static str, fn(&[u8]) -> bool);

/// All but the vendors' prefixes.
const SIGNS: &[Sign] = &[
    ("bearer ", |rest| runs_on(rest.trim_ascii_start(), 8)),
    ("basic ", |rest| runs_on(rest.trim_ascii_start(), 6)),
    ("bearer\t", |rest| runs_on(rest.trim_ascii_start(), 8)),
    ("basic\t", |rest| runs_on(rest.trim_ascii_start(), 6)),
    ("bearer\\t", |_| true),
    ("basic\\t", |_| true),
    ("bearer\\u0009", |_| true),
    ("basic\\u0009", |_| true),
    ("bearer%09", |_| true),
    ("basic%09", |_| true),
    ("bearer+", |rest| runs_on(rest, 8)),
    ("basic+", |rest| runs_on(rest, 6)),
    ("bearer%20", |rest| runs_on(rest, 8)),
    ("basic%20", |rest| runs_on(rest, 6)),
    ("eyj", |rest| runs_on(rest, 7)),
    ("private key", |_| true),
    ("private+key", |_| true),
    ("private%20key", |_| true),
    ("://", has_userinfo),
    (":\\/\\/", has_userinfo),
    ("?sig=", |_| true),
    ("&sig=", |_| true),
    ("\\u0026sig=", |_| true),
    ("%3a//", has_userinfo),
    ("%2f%2f", has_encoded_userinfo),
    (":aa", |rest| runs_on(rest, 33)),
    ("%3aaa", |rest| runs_on(rest, 33)),
    ("sig%3d", |_| true),
    ("q~", |rest| runs_on(rest, 31)),
    ("q%7e", |rest| runs_on(rest, 31)),
    ("identified", goes_on_as_sql),
    ("jdbc:oracle:", |_| true),
    ("jdbc%3aoracle", |_| true),
    ("jdbc%253aoracle", |_| true),
    ("tf_token_", |_| true),
    ("op_session_", |_| true),
    ("discord", |_| true),
    ("bot ", |rest| runs_on(rest, 20)),
    ("bot+", |rest| runs_on(rest, 20)),
    ("bot%20", |rest| runs_on(rest, 20)),
    ("dev.azure.com", |_| true),
    ("visualstudio.com", |_| true),
    ("devops", |_| true),
    ("secrets", ends_string),
    ("secretlist", ends_string),
    ("/secrets/", |_| true),
    ("mount_type", ends_string),
    ("\\u00", hides_letter),
    ("%", hides_letter_of_url),
    // Vendors' prefixes that have a slash, as some writers escape it, and addresses.
    ("hooks.slack.com", |_| true),
    ("discord.com", |_| true),
    ("1\\/\\/0", |_| true),
    ("1%2f%2f0", |_| true),
];

/// A word begins at `at`; a letter before it may belong to an escape (`\n`, `\u0027`, `%3D`).
fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| bytes[at]);
    before(1).is_none_or(|b| !is_word(b))
        || before(2) == Some(b'\\')
        || before(6) == Some(b'\\')
        || before(3) == Some(b'%')
}

/// Whether a word of a command line stands from `start` to `end`.
fn is_word_of_command(bytes: &[u8], start: usize, end: usize) -> bool {
    starts_word(bytes, start) && !bytes[..start].ends_with(b".") && ends_word_of_command(&bytes[end..])
}

/// Whether the program `name` is among what stands in `bytes`.
fn calls(bytes: &[u8], name: &str) -> bool {
    let is_name = |at: usize| {
        let end = at + name.len();
        bytes[at..end].eq_ignore_ascii_case(name.as_bytes()) && is_word_of_command(bytes, at, end)
    };
    (0..bytes.len().saturating_sub(name.len())).any(is_name)
}

/// The word of a command line may end here; the name of a member (`"login":`) is none.
fn ends_word_of_command(rest: &[u8]) -> bool {
    let is_exe = rest.get(..4).is_some_and(|dot| dot.eq_ignore_ascii_case(b".exe"));
    let rest = if is_exe { &rest[4..] } else { rest };
    match rest.first() {
        Some(b'"') => rest.get(1) != Some(&b':'),
        Some(b'\\') => !rest.starts_with(b"\\\":"),
        Some(b) => b.is_ascii_whitespace() || b"'`,()]&|;<>%+".contains(b),
        None => false,
    }
}

/// At least `least` characters of a token; what is escaped may be any.
fn runs_on(rest: &[u8], least: usize) -> bool {
    let length = rest.iter().take(least).take_while(|b| is_base64(**b)).count();
    length == least || matches!(rest.get(length), Some(b'\\' | b'%'))
}

/// Where a string ends, or one inside a string.
fn ends_string(rest: &[u8]) -> bool {
    matches!(rest.first(), Some(b'"' | b'\\'))
}

/// `user:password@` before the path.
fn has_userinfo(rest: &[u8]) -> bool {
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'\n')).next();
    authority.is_some_and(|authority| {
        let has = |sign: &[u8]| authority.windows(sign.len()).any(|part| part.eq_ignore_ascii_case(sign));
        (authority.contains(&b'@') && authority.contains(&b':'))
            || (has(b"%40") && (authority.contains(&b':') || has(b"%3a")))
    })
}

/// `user%3Apassword%40`, perhaps.
fn has_encoded_userinfo(rest: &[u8]) -> bool {
    rest[..rest.len().min(1024)].windows(3).any(|part| part == b"%40" || part[0] == b'@')
}

/// Whether what follows in an address is not what it stands for.
fn is_encoded(rest: &[u8]) -> bool {
    matches!(rest.first(), Some(b'%' | b'+'))
}

/// Whether the ending before `end` is a kind, as that of a Secret of Kubernetes is: `kind: Secret`, `"kind": Secret`.
fn is_kind(bytes: &[u8], end: usize, ending: &str) -> bool {
    if ending != "secret" || bytes.get(end).is_some_and(|b| is_word(*b)) {
        return false;
    }
    let name = match without_quotes(&bytes[..end - ending.len()]) {
        [name @ .., b':'] | [name @ .., b'%', b'3', b'a' | b'A'] => without_quotes(name),
        _ => return false,
    };
    name.last_chunk().is_some_and(|name: &[u8; 4]| name.eq_ignore_ascii_case(b"kind"))
}

/// `bytes` without the quotes and spaces that it ends with, escaped or not.
fn without_quotes(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [rest @ .., b' ' | b'"' | b'\'' | b'\\' | b'+'] => rest,
            [rest @ .., b'%', b'2' | b'5', _] | [rest @ .., b'\\', b'u', b'0', b'0', _, _] => rest,
            _ => return bytes,
        }
    }
}

/// `identified by`, `IDENTIFIED WITH mysql_native_password BY`.
fn goes_on_as_sql(rest: &[u8]) -> bool {
    let word = rest.trim_ascii_start();
    ["by", "with", "as"]
        .iter()
        .any(|known| word.len() >= known.len() && word[..known.len()].eq_ignore_ascii_case(known.as_bytes()))
        || word.first() == Some(&b'\\')
        || is_encoded(word)
}

/// A letter, digit, or sign of a name may hide in an escape: `\u0070assword`. Quotes, `<`, `>` and `&`
/// are commonly escaped, and part of no hint.
fn hides_letter(rest: &[u8]) -> bool {
    let digit = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16));
    match (digit(0), digit(1)) {
        (Some(high), Some(low)) => {
            let code = high * 16 + low;
            (0x20..0x7f).contains(&code) && !matches!(code, 0x22 | 0x26 | 0x27 | 0x3c | 0x3e)
        }
        _ => false,
    }
}

/// As [`hides_letter`], in an address: a sign of a name that nobody has to encode, or an encoding of an encoding.
fn hides_letter_of_url(rest: &[u8]) -> bool {
    let digit = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16));
    let (Some(high), Some(low)) = (digit(0), digit(1)) else { return false };
    u8::try_from(high * 16 + low).is_ok_and(|byte| is_word(byte) || byte == b'%')
}

/// What [`text`](super::text) looks at before a name, each of its bytes behind an escape.
const FURTHEST: usize = 6 * super::text::BEFORE;

/// Whether what stands before a name may say that a value follows it.
fn may_be_command(before: &[u8]) -> bool {
    let has = |word: &[u8]| before.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"env") || has(b"set") || has(b"login") || has(b"account")
}

/// Whether the name that starts at `at` may be that of a tag with attributes, or a bare one of them:
/// `<wsse:Password Type="…">`, `<input type=password value=…>`.
fn opens_tag(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[..at];
    before.ends_with(b"<")
        || before.ends_with(b"=")
        || before.ends_with(b":")
        || (before.ends_with(b"\\") && bytes[at..].starts_with(b"u003"))
}

/// A literal of SQL begins here, and says how it is written: `E'…'`, `N'…'`.
fn opens_literal(rest: &[u8]) -> bool {
    matches!(rest, [b'E' | b'e' | b'N' | b'n', b'\'' | b'"' | b'\\' | b'%', ..])
}

/// Whether a secret's name ends at `end`, with a value behind it.
fn ends_name(text: &str, end: usize) -> bool {
    const LONGEST: usize = 64;
    let bytes = text.as_bytes();
    let behind =
        end + bytes[end..].iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'_' | b'-')).count();
    let starts = |part_of_name: fn(u8) -> bool| {
        end - bytes[..end].iter().rev().take(LONGEST).take_while(|b| part_of_name(**b)).count()
    };
    // In JSON a name may have dots and spaces, in a text it has none.
    let (long, short) = (starts(|b| is_word(b) || matches!(b, b'.' | b' ')), starts(is_word));
    let assigned = match bytes.get(behind) {
        Some(b'"' | b'\'' | b'\\' | b'=' | b':' | b']' | b'>' | b'\n' | b'%' | b'+') => true,
        // `command=--password&command=…`
        Some(b'&') => bytes[short] == b'-',
        // `<name>password</name><value>…`
        Some(b'<') => bytes.get(behind + 1) == Some(&b'/'),
        // `name = value`, `name \n value: …`, `--name value`, `ENV NAME value`
        Some(b' ') => {
            let next = behind + bytes[behind..].iter().take_while(|b| **b == b' ').count();
            matches!(bytes.get(next), Some(b'=' | b':' | b'\n' | b'\\' | b'\'' | b'"'))
                || opens_literal(&bytes[next..])
                || bytes[short..end].contains(&b'-')
                || opens_tag(bytes, short)
                || may_be_command(&bytes[short.saturating_sub(FURTHEST)..short])
        }
        _ => false,
    };
    // It may stand behind an escape: `\npassword=…`, `\u0027password`, `%3Dpassword`.
    let escape = |from: usize| match (from.checked_sub(1).map(|before| bytes[before]), bytes.get(from)) {
        (Some(b'\\'), Some(b'u')) => (from + 5).min(end),
        (Some(b'\\'), Some(_)) => from + 1,
        (Some(b'%'), Some(_)) => (from + 2).min(end),
        _ => from,
    };
    let starts = [long, short, escape(long), escape(short)];
    let names_secret = |from: usize| text.get(from..end).is_some_and(|name| class(name).is_some());
    assigned
        && (0..starts.len()).any(|nth| !starts[..nth].contains(&starts[nth]) && names_secret(starts[nth]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{excise::Marks, json::Walk, text},
        *,
    };

    /// Texts made of what secrets and their names are made of, some of it escaped.
    fn texts() -> impl Strategy<Value = String> {
        let pieces = WORDS.iter().map(|word| word.text()).chain([
            "access",
            "api",
            "Api",
            "client",
            "next",
            "saml",
            "connection",
            "hunter2",
            "abcdefgh12345678",
            "YWRtaW46aHVudGVyMg==",
            "eyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJIUzI1NiJ9.",
            "user:hunter2@host",
            "-----BEGIN ",
            "user%3Ahunter2%40host",
            "https%3A%2F%2F",
            "123456789:AAhunter2-hunter2_hunter2hunter2hun",
            "abc8Q~hunter2hunter2.hunter2hunter2hunter2",
            "ENV ",
            "aws configure set ",
            "login ann ",
            "machine x ",
            "ALTER USER ann WITH ",
            "PASSWORD E'hunter2'",
            "jdbc:oracle:thin:ann/hunter2@db",
            "ssm:mysql -psecret x",
            "net use \\\\h\\s hunter2",
            " IDENTIFIED BY '",
            "kind: Secret\nstringData:\n  a: b\n",
            "{\"kind\": Secret, data: {a: b}}",
            "\n",
            "\t",
            "\n  value: ",
            "pass",
            "Word",
            "bearer",
            "basic",
            "11111111-2222-3333-4444-555555555555",
            "one_time_",
            "1234",
            "--",
            "%2D%2Dpassword",
            "bearer%20abcdefgh12345678",
            "?command=",
            "&command=",
            "mysql -phunter2",
            "docker login -p hunter2",
            "\",\"-p\",\"hunter2",
            "echo hunter2 |",
            "<input name=",
            "value='hunter2'",
            "<name>",
            "</name><value>hunter2<",
            "form-data; name=\"password\"\n\nhunter2",
            "SET PASSWORD FOR ann = ",
            "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs",
            "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst",
            "00D5g000004BhZq!AQ8AQLfTAbcdefghijklmnopqrstuvwxyz234567abcdefgh",
        ]);
        let pieces: Vec<&'static str> = pieces.collect();
        let glue = prop::sample::select(vec![
            "", "", "", "_", "-", " ", ".", "=", ":", ": ", " = ", "\"", "'", "\":\"", "</", "<", ">", "?",
            "&", "/", "\\", "é", "%3D", "%3A", "%20", "+", "%22", "%26",
        ]);
        let piece = prop::sample::select(pieces);
        prop::collection::vec((piece, glue), 0..7)
            .prop_map(|parts| parts.into_iter().flat_map(|(a, b)| [a, b]).collect())
    }

    /// `text` as a JSON string in which the characters at `escapes` are escaped by number.
    fn json_string(text: &str, escapes: &[bool]) -> String {
        let mut json = String::from("\"");
        for (at, c) in text.chars().enumerate() {
            if escapes.get(at).copied().unwrap_or_default() && c.is_ascii() {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                let quoted = serde_json::Value::from(c.to_string()).to_string();
                json.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
        json + "\""
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn nothing_is_found_without_a_hint_in_a_text(text in texts()) {
            prop_assert!(text::search(&text).is_empty() || may_hold_secret(&text), "{}", text);
        }

        #[test]
        fn nothing_is_found_without_a_hint_in_json(
            name in texts(), value in texts(),
            in_name in prop::collection::vec(prop::bool::weighted(0.1), 40),
            in_value in prop::collection::vec(prop::bool::weighted(0.1), 40),
            form in 0..4,
        ) {
            let (name, value) = (json_string(&name, &in_name), json_string(&value, &in_value));
            let json = match form {
                0 => format!("{{{name}:{value}}}"),
                1 => format!("[{name},{value}]"),
                2 => format!("{{\"value\":{value},\"key\":{name}}}"),
                _ => format!("{{{name}:{}}}", serde_json::Value::from(format!("[{value}]"))),
            };
            let found = Walk::whole(&json, &Marks, &mut Vec::new()).expect("it is JSON");
            prop_assert!(found.is_empty() || may_hold_secret(&json), "{}", json);
        }
    }
}
