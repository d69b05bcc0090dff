//! `docs/cli.md` and the program say the same: every command and flag of one is in the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::help::{commands, listed, page};

/// Long flags among the words of `text`.
fn flags(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '`' | ',' | '|' | '[' | ']' | '(' | ')'));
    words
        .filter(|word| {
            word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .map(|word| word.trim_end_matches(['.', ';', ':']).to_owned())
        .collect()
}

/// The flags that a page of help offers.
fn offered(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines.flat_map(|line| flags(line.split("  ").next().unwrap_or(line))).collect()
}

/// The sections of the manual by command.
fn documented() -> BTreeMap<String, String> {
    let manual = include_str!("../../../../docs/cli.md");
    let sections = manual.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap());
    sections
        .map(|(title, text)| {
            (
                title
                    .trim_matches('`')
                    .trim_start_matches("deed ")
                    .split([' ', '`'])
                    .next()
                    .unwrap()
                    .to_owned(),
                format!("{title}\n{text}"),
            )
        })
        .collect()
}

#[test]
fn every_command_and_flag_is_documented_and_the_reverse() {
    let mut manual = documented();
    let everywhere = flags(&manual.remove("Everywhere").unwrap());
    manual.remove("Exit");
    let known: BTreeSet<String> = commands().into_iter().collect();
    assert_eq!(manual.keys().cloned().collect::<BTreeSet<_>>(), known);
    assert_eq!(offered(&page(&["--help"])), everywhere);
    for command in known {
        let help = page(&[&command, "--help"]);
        let inner = listed(&help).into_iter().map(|inner| page(&[&command, &inner, "--help"]));
        let offered: BTreeSet<String> = inner
            .chain([help.clone()])
            .flat_map(|help| offered(&help))
            .filter(|flag| !everywhere.contains(flag))
            .collect();
        let table = manual[&command]
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').nth(1).unwrap_or_default());
        let documented: BTreeSet<String> = table.flat_map(flags).collect();
        assert_eq!(documented, offered, "flags of `deed {command}`: documented, offered");
        // Flags that the text only mentions exist too.
        let mentioned: BTreeSet<String> = flags(&manual[&command]);
        let strange: Vec<_> =
            mentioned.iter().filter(|flag| !offered.contains(*flag) && !everywhere.contains(*flag)).collect();
        assert!(strange.is_empty(), "`deed {command}` has no {strange:?}");
    }
}
