//! Whatever a program takes for a secret is found, whatever it looks like and whatever stands around it.

use proptest::prelude::*;

use super::{
    super::{excise::Marks, json::Walk, text},
    *,
};

/// Passwords that look like names of secrets, like options and like other words.
const PASSWORDS: &[&str] = &[
    "my-secret-pw",
    "RootPassword1",
    "password",
    "password123",
    "secret",
    "client_secret",
    "X-Api-Key",
    "apiKey77",
    "token",
    "MyToken9",
    "Pw1",
    "pass",
    "pin",
    "Bearer",
    "set",
    "login",
    "q",
    "p",
    "h=1",
    "token=abc",
    "a:b",
    "P@ssw0rd!",
    "kind:Secret",
    "Sommer2026",
];

/// What may stand behind it where more words may.
const FOLLOWING: &[&str] =
    &["", " shop", " shop dump.sql", " --force x", " -e 'select 1'", " a=b", " hunter22"];

/// The command lines in which `takes` takes `password`, with `behind` after it, and where the password stands in each.
fn lines(program: &Program, name: &str, takes: &Takes, password: &str, behind: &str) -> Vec<(String, usize)> {
    let arguments: Vec<(String, bool)> = match takes {
        Next(flag) => vec![(format!("-x1 {flag} "), true)],
        First(flag) => vec![(format!("{flag} "), true), ((*flag).to_owned(), true)],
        Pasted(flag) if flag.ends_with(':') => vec![(format!("-x1 {flag}"), true)],
        Pasted(flag) => vec![(format!("-x1 {flag}"), true), (format!("{flag}="), true)],
        Pair("", sign) => vec![(format!("ann{sign}"), true)],
        Pair(flag, sign) => {
            vec![(format!("-x1 {flag} ann{sign}"), true), (format!("{flag}=ann{sign}"), true)]
        }
        Nth(nth) => vec![("one ".repeat(nth - 1), false)],
        Last(letter) => vec![(format!("-n{letter} one "), false)],
        Named(nth) => vec![(format!("{}client_secret ", "one ".repeat(*nth)), true)],
        Behind(sign) => vec![(format!("{sign}{sign}host{sign}share "), true)],
        Piped(_) => Vec::new(),
    };
    let called: String =
        std::iter::once(name).chain(program.words.iter().copied()).flat_map(|word| [word, " "]).collect();
    let mut lines: Vec<(String, usize)> = arguments
        .into_iter()
        .map(|(before, more)| {
            let start = format!("{called}{before}");
            let at = start.len();
            (format!("{start}{password}{}", if more { behind } else { "" }), at)
        })
        .collect();
    if let Piped(flag) = takes {
        lines.push((format!("echo {password} | {called}{flag}{behind}"), "echo ".len()));
        lines.push((format!("echo {password} | base64 -d | {called}{flag}"), "echo ".len()));
        let start = format!("{called}{flag} <<< ");
        lines.push((format!("{start}{password}"), start.len()));
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_a_program_takes_is_found(
        password in prop::sample::select(PASSWORDS.to_vec()),
        behind in prop::sample::select(FOLLOWING.to_vec()),
        quote in prop::sample::select(vec!["", "'", "\""]),
        (before, after) in prop::sample::select(vec![
            ("", ""),
            ("docker exec db ", ""),
            ("cd /x && sudo ", " && ls -l"),
            ("bash -c \"", "\""),
            ("ssh h '", "'"),
            ("ssm:", ""),
            ("RUN set -e; ", "; done"),
            ("kubectl exec db -- /usr/bin/", ""),
        ]),
    ) {
        // A quote within the same quotes ends them.
        let quote = if before.contains(quote) { "" } else { quote };
        let word = format!("{quote}{password}{quote}");
        for program in PROGRAMS {
            for (name, takes) in program.names.iter().flat_map(|name| program.takes.iter().map(move |takes| (name, takes))) {
                // What is behind it there is a database.
                if matches!(takes, Pair(_, '/')) && password.contains('@') && quote.is_empty() {
                    continue;
                }
                for (line, at) in lines(program, name, takes, &word, behind) {
                    let line_in_all = format!("{before}{line}{after}");
                    let start = before.len() + at + quote.len();
                    let taken = start..start + password.len();
                    let found = text::find(&line_in_all);
                    let is_found = found.iter().any(|found| found.range.start <= taken.start && taken.end <= found.range.end);
                    prop_assert!(is_found, "{:?} of {}: {:?}", password, line_in_all, found);
                }
            }
        }
    }

    #[test]
    fn what_a_program_takes_in_a_list_is_found(
        password in prop::sample::select(PASSWORDS.to_vec()),
        behind in prop::sample::select(FOLLOWING.to_vec()),
        (before, between, after) in prop::sample::select(vec![
            ("[\"", "\",\"", "\"]"),
            ("[\"docker\",\"exec\",\"db\",\"", "\",\"", "\"]"),
            ("{\"argv\":[{\"stringValue\":\"", "\"},{\"stringValue\":\"", "\"}]}"),
            ("\"/exec?command=", "&command=", "&container=db\""),
        ]),
    ) {
        // What is written otherwise in the list.
        let percent = if between.starts_with('&') { "%25" } else { "%" };
        let listed = |words: &str| {
            words.replace('\\', "\\\\").replace('%', percent).replace(' ', between)
        };
        for program in PROGRAMS {
            for (name, takes) in program.names.iter().flat_map(|name| program.takes.iter().map(move |takes| (name, takes))) {
                if matches!(takes, Piped(_)) || matches!(takes, Pair(_, '/')) && password.contains('@') {
                    continue;
                }
                for (line, at) in lines(program, name, takes, password, behind) {
                    let json = format!("{before}{}{after}", listed(&line));
                    let start = before.len() + listed(&line[..at]).len();
                    let taken = start..start + password.len();
                    let edits = Walk::whole(&json, &Marks, &mut Vec::new()).expect("it is JSON");
                    let is_found = edits.iter().any(|edit| edit.range.start <= taken.start && taken.end <= edit.range.end);
                    prop_assert!(is_found, "{:?} of {}: {:?}", password, json, edits);
                }
            }
        }
    }
}
