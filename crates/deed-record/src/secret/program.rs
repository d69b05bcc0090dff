//! Secrets that programs take in their command lines where nothing but the program says so: `mysql -pX`,
//! `net user ann X`, `echo X | docker login --password-stdin`.
//!
//! A flag that names what it takes (`--password`) needs no entry here.

mod words;

use std::ops::Range;

use super::{
    name::{Class, class},
    shape::Found,
    value::{fingerprint_length, is_guessable, is_secret},
};
use words::{Command, commands};

/// Where a program takes a secret.
enum Takes {
    /// The next word: `-p X`.
    Next(&'static str),
    /// What is pasted to it, or joined by `=`: `-pX`, `-p=X`, `pass:X`.
    Pasted(&'static str),
    /// Behind a sign in the next word or in what is pasted: `-u user:X`. Without a flag, in the first word that is none.
    Pair(&'static str, char),
    /// As [`Next`] and [`Pasted`], at once behind the program: what follows is another one's command line.
    First(&'static str),
    /// The so-manieth word that is no flag, from 1, where it is the last one.
    Nth(usize),
    /// The last word, where one of the short flags has this letter: `-nbB user X`.
    Last(char),
    /// The word behind one that names a secret, after so many that are no flags: `secret_access_key X`.
    Named(usize),
    /// The word behind the first that begins so: `\\host\share X`.
    Behind(char),
    /// What is piped into it, where this flag is given: `echo X | …`, `… <<< X`.
    Piped(&'static str),
}

use Takes::{Behind, First, Last, Named, Next, Nth, Pair, Pasted, Piped};

/// Programs that take secrets in the same way.
struct Program {
    /// How they are called.
    names: &'static [&'static str],
    /// What has to follow, before all that are no flags: `login`.
    words: &'static [&'static str],
    takes: &'static [Takes],
}

const fn row(
    names: &'static [&'static str],
    words: &'static [&'static str],
    takes: &'static [Takes],
) -> Program {
    Program { names, words, takes }
}

const PROGRAMS: &[Program] = &[
    // `-p X` of MySQL asks for a password, and X is the database.
    row(MYSQL, &[], &[Pasted("-p")]),
    row(&["mysqladmin", "mariadb-admin"], &["password"], &[Nth(1)]),
    row(
        &["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport", "cqlsh"],
        &[],
        &[Next("-p")],
    ),
    row(&["redis-cli", "valkey-cli", "keydb-cli"], &[], &[Next("-a")]),
    row(&["sqlcmd", "bcp", "tsql", "osql"], &[], &[Next("-P"), Pasted("-P")]),
    row(&["sqlplus", "expdp", "impdp"], &[], &[Pair("", '/')]),
    row(&["sshpass"], &[], &[First("-p")]),
    row(REGISTRIES, &["login"], LOGIN),
    row(&["helm"], &["registry", "login"], LOGIN),
    row(&["crane"], &["auth", "login"], LOGIN),
    row(&["az", "oc", "cf", "ibmcloud"], &["login"], &[Next("-p"), Pasted("-p")]),
    row(&["az"], &["acr", "login"], LOGIN),
    row(&["cf"], &["auth"], &[Nth(2)]),
    row(&["gh"], &["auth", "login"], &[Piped("--with-token")]),
    row(&["kubectl", "oc"], &["create", "secret"], &[Pair("--from-literal", '=')]),
    row(LDAP, &[], &[Next("-w"), Pasted("-w")]),
    row(&["openssl"], &[], &[Pasted("pass:"), Next("-k"), Next("-K"), Next("-hmac")]),
    row(&["openssl"], &["passwd"], &[Last('1'), Last('5'), Last('6')]),
    row(&["htpasswd"], &[], &[Last('b')]),
    row(&["curl"], &[], &[Pair("-u", ':'), Pair("--user", ':'), Pair("-U", ':'), Pair("--proxy-user", ':')]),
    row(&["lftp"], &[], &[Pair("-u", ',')]),
    row(&["smbclient", "rpcclient", "smbmap"], &[], &[Pair("-U", '%')]),
    row(&["xfreerdp", "wlfreerdp", "cmdkey"], &[], &[Pasted("/p:"), Pasted("/pass:")]),
    row(&["net", "net1"], &["user"], &[Nth(2)]),
    row(&["net", "net1"], &["use"], &[Behind('\\')]),
    row(&["psexec", "evil-winrm", "twine"], &[], &[Next("-p")]),
    row(&["schtasks"], &[], &[Next("/rp"), Next("/RP")]),
    row(&["convertto-securestring"], &[], &[Nth(1), Piped("")]),
    row(&["useradd", "usermod"], &[], &[Next("-p")]),
    row(&["chpasswd"], &[], &[Piped("")]),
    row(&["sudo"], &[], &[Piped("-S")]),
    row(&["zip", "unzip", "ipmitool", "mosquitto_pub", "mosquitto_sub"], &[], &[Next("-P"), Pasted("-P")]),
    row(&["7z", "7za", "7zz"], &[], &[Pasted("-p")]),
    row(&["snmpget", "snmpset", "snmpwalk"], &[], &[Next("-A"), Next("-X")]),
    row(&["rabbitmqctl"], &["add_user"], &[Nth(2)]),
    row(&["rabbitmqctl"], &["change_password"], &[Nth(2)]),
    row(&["rclone"], &["obscure"], &[Nth(1)]),
    row(&["rclone"], &["config", "create"], &[Named(2)]),
    row(&["rclone"], &["config", "update"], &[Named(1)]),
    row(&["rclone"], &["config", "password"], &[Named(1)]),
    row(&["ngrok"], &[], &[Next("authtoken"), Next("add-authtoken")]),
    row(&["nmcli"], &[], &[Next("password")]),
];

const MYSQL: &[&str] = &[
    "mysql",
    "mysqladmin",
    "mysqlbinlog",
    "mysqlcheck",
    "mysqldump",
    "mysqlimport",
    "mysqlpump",
    "mysqlshow",
    "mysqlslap",
    "mariadb",
    "mariadb-admin",
    "mariadb-binlog",
    "mariadb-check",
    "mariadb-dump",
    "mariadb-import",
];

const REGISTRIES: &[&str] = &["docker", "podman", "nerdctl", "buildah", "skopeo", "oras"];

const LDAP: &[&str] = &[
    "ldapadd",
    "ldapcompare",
    "ldapdelete",
    "ldapmodify",
    "ldapmodrdn",
    "ldappasswd",
    "ldapsearch",
    "ldapwhoami",
];

const LOGIN: &[Takes] = &[Next("-p"), Pasted("-p"), Piped("--password-stdin")];

/// So many words behind a program are its arguments.
const MOST: usize = 256;

/// What stands in every command line with a secret that is known by its program; where that is a word behind the program,
/// how the program is called.
pub(super) fn signs() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    PROGRAMS.iter().flat_map(|program| {
        // Names of two letters are in too many words to be looked for.
        let short = program.names.iter().any(|name| name.len() < 3);
        let behind = program.words.last().filter(|_| short);
        let alone = program.names.iter().filter(move |_| behind.is_none());
        behind.map(|word| (*word, program.names)).into_iter().chain(alone.map(|name| (*name, [].as_slice())))
    })
}

/// Whether `word` calls a program that may take a secret.
pub(super) fn is_named(word: &str) -> bool {
    PROGRAMS.iter().any(|program| program.is_called(word))
}

/// The secrets of the commands in `text`, in order.
pub(super) fn values(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for Command { words, piped } in commands(text) {
        let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
        let arguments = secrets(&texts).into_iter().map(|(at, range)| words[at].value(range));
        let input = piped.filter(|_| takes_input(&texts)).map(|word| word.value(0..word.text.len()));
        for (at, value) in arguments.chain(input) {
            found.extend(judged(at, value));
        }
    }
    found.sort_by_key(|found| found.range.start);
    found
}

/// `value`, which begins at byte `at` of a text, where it is a secret and does not stand for one.
fn judged(at: usize, value: &str) -> Option<Found> {
    // A variable of a shell.
    let stands_for = value.starts_with(['$', '`']);
    (!stands_for && judge(value))
        .then(|| Found::at(at..at + value.len(), is_guessable(value, Class::Password)))
}

/// Whether `value`, which a program takes for a secret, is one; JSON is what other programs take (`kubectl patch -p`).
pub(super) fn judge(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with(['{', '['])
        && fingerprint_length(value) == 0
        && is_secret(value, Class::Password)
}

/// Where what programs take for secrets stands in `words`, the words of a command line: which word, and what of it.
pub(super) fn secrets(words: &[&str]) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    for (program, at) in called(words) {
        let behind = &words[at..words.len().min(at + MOST)];
        for takes in program.takes {
            found.extend(takes.find(behind).into_iter().map(|(nth, part)| (at + nth, part)));
        }
    }
    found.sort_by_key(|(at, part)| (*at, part.start));
    found.dedup_by_key(|(at, _)| *at);
    found
}

/// Whether one of the programs in `words` reads a secret.
fn takes_input(words: &[&str]) -> bool {
    called(words).any(|(program, at)| {
        let reads =
            |takes: &Takes| matches!(takes, Piped(flag) if flag.is_empty() || words[at..].contains(flag));
        program.takes.iter().any(reads)
    })
}

/// The programs that `words` call, and where their arguments begin.
fn called<'w>(words: &'w [&'w str]) -> impl Iterator<Item = (&'static Program, usize)> {
    words.iter().enumerate().filter(|(at, _)| !is_value(words, *at)).flat_map(|(at, word)| {
        let behind = &words[at + 1..words.len().min(at + 1 + MOST)];
        let rows = PROGRAMS.iter().filter(|program| program.is_called(word));
        rows.filter_map(move |program| Some((program, at + 1 + program.follows(behind)?)))
    })
}

/// Whether the word at `at` is what a flag takes: `docker run --name mysql`, `psql -h mysql`, `docker run -v db:/var/lib/mysql`.
fn is_value(words: &[&str], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |before| words[before]);
    before == "-h"
        || (before == "-v" && words[at].contains(':'))
        || (before.len() > 2 && before.starts_with("--") && !before.contains('='))
}

/// The name of the program that `word` calls, without its path and without what it is run by: `/usr/bin/mysql`, `ssm:mysql`.
fn name(word: &str) -> &str {
    word.rsplit(['/', '\\', ':']).next().unwrap_or(word)
}

impl Program {
    fn is_called(&self, word: &str) -> bool {
        let name = name(word);
        let without_exe = || {
            let (name, exe) = name.split_at_checked(name.len().checked_sub(4)?)?;
            exe.eq_ignore_ascii_case(".exe").then_some(name)
        };
        self.names.iter().any(|known| {
            name.eq_ignore_ascii_case(known)
                || without_exe().is_some_and(|name| name.eq_ignore_ascii_case(known))
        })
    }

    /// How many words of those behind its name say that it is this row's. They stand near to it: [`hint`](super::hint) looks
    /// no further.
    fn follows(&self, behind: &[&str]) -> Option<usize> {
        const NEAR: usize = 64;
        let mut length = 0;
        let mut wanted = self.words.iter();
        let Some(mut next) = wanted.next() else { return Some(0) };
        let mut flag = false;
        for (at, word) in behind.iter().enumerate() {
            if word.eq_ignore_ascii_case(next) {
                let Some(more) = wanted.next() else { return Some(at + 1) };
                next = more;
            } else if !flag && !word.starts_with('-') {
                return None;
            }
            length += word.len() + 4;
            if length > NEAR {
                return None;
            }
            // A flag may have its value behind it.
            flag = word.starts_with('-');
        }
        None
    }
}

impl Takes {
    /// Which of `words` are taken for secrets, and what of them.
    fn find(&self, words: &[&str]) -> Vec<(usize, Range<usize>)> {
        let whole = |at: usize| words.get(at).map(|word| (at, 0..word.len()));
        // Behind them a command goes on with files.
        let end = words.iter().position(|word| is_redirection(word)).unwrap_or(words.len());
        let operands = || (0..end).filter(|at| !words[*at].starts_with(['-', '/']));
        let next = |flag: &str, at: usize| {
            let value = words.get(at + 1).filter(|value| !value.starts_with('-'))?;
            (words[at] == flag).then(|| (at + 1, 0..value.len()))
        };
        let part = |flag: &str, at: usize| pasted(words[at], flag).map(|start| (at, start..words[at].len()));
        match self {
            Next(flag) => (0..words.len()).find_map(|at| next(flag, at)).into_iter().collect(),
            Pasted(flag) => {
                let all = (0..words.len()).filter_map(|at| part(flag, at));
                // Of a flag the first one counts: what follows may be another program's.
                all.take(if flag.starts_with('-') { 1 } else { MOST }).collect()
            }
            First(_) if words.is_empty() => Vec::new(),
            First(flag) => next(flag, 0).or_else(|| part(flag, 0)).into_iter().collect(),
            Pair("", sign) => operands().take(1).filter_map(|at| second(at, words[at], 0, *sign)).collect(),
            Pair(flag, sign) => {
                let part = |(at, word): (usize, &&str)| {
                    if word == flag {
                        second(at + 1, words.get(at + 1)?, 0, *sign)
                    } else {
                        second(at, word, pasted(word, flag)?, *sign)
                    }
                };
                words.iter().enumerate().filter_map(part).collect()
            }
            Nth(nth) => operands()
                .next_back()
                .filter(|_| operands().count() == *nth)
                .and_then(whole)
                .into_iter()
                .collect(),
            Last(letter) => {
                let has =
                    |word: &&str| word.starts_with('-') && !word.starts_with("--") && word.contains(*letter);
                let last = operands().next_back().filter(|_| words[..end].iter().any(has));
                last.and_then(whole).into_iter().collect()
            }
            Named(nth) => {
                let names = operands().skip(*nth).filter(|at| class(words[*at]).is_some());
                names.filter(|at| at + 1 < end).filter_map(|at| whole(at + 1)).collect()
            }
            Behind(sign) => {
                let mut behind = operands().skip_while(|at| !words[*at].starts_with(*sign)).skip(1);
                behind.next().and_then(whole).into_iter().collect()
            }
            Piped(_) => Vec::new(),
        }
    }
}

/// Where what is pasted to `flag` begins in `word`.
fn pasted(word: &str, flag: &str) -> Option<usize> {
    let rest = word.strip_prefix(flag).filter(|rest| !rest.is_empty())?;
    match rest.strip_prefix('=') {
        Some(rest) => (!rest.is_empty()).then_some(flag.len() + 1),
        None => (!flag.starts_with("--")).then_some(flag.len()),
    }
}

/// What stands behind `sign` in `word` from byte `start` on: `user:X`, `user/X@database`.
fn second(at: usize, word: &str, start: usize, sign: char) -> Option<(usize, Range<usize>)> {
    let first = word[start..].find(sign).filter(|length| *length > 0 || sign == ':')?;
    if sign == '/' && word[start..start + first].contains('@') {
        return None;
    }
    let from = start + first + sign.len_utf8();
    let rest = &word[from..];
    // An `@` within quotes is the password's.
    let quoted = words::quoted(rest).map_or(0, |(_, length)| length);
    let database = rest[quoted..].rfind('@').filter(|_| sign == '/');
    let to = database.map_or(word.len(), |database| from + quoted + database);
    Some((at, from..to))
}

fn is_redirection(word: &str) -> bool {
    word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
}

#[cfg(test)]
mod tests;
