//! Every page of help, as it was reviewed: `tests/expected/*.txt`. `DEED_BLESS=1` writes them anew.

use std::{fs, path::Path};

use crate::support::{deed, finish};

/// Every command, as the overview lists them.
pub(crate) fn commands() -> Vec<String> {
    listed(&page(&["--help"]))
}

/// The commands that a page of help lists.
pub(crate) fn listed(page: &str) -> Vec<String> {
    let list =
        page.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    list.lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

pub(crate) fn page(arguments: &[&str]) -> String {
    finish(deed().args(arguments).output().unwrap()).good().out
}

#[test]
fn every_page_is_as_it_was_reviewed() {
    let mut pages = vec![("deed".to_owned(), page(&["--help"]))];
    assert_eq!(pages[0].1, page(&["-h"]), "there is one page, however it is asked for");
    for command in commands() {
        let text = page(&[&command, "--help"]);
        for inner in listed(&text) {
            pages.push((format!("deed-{command}-{inner}"), page(&[&command, &inner, "--help"])));
        }
        pages.push((format!("deed-{command}"), text));
    }
    assert!(pages.len() > 12);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected");
    for (name, text) in &pages {
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{name} is too wide:\n{text}");
        let path = folder.join(format!("{name}.txt"));
        if std::env::var_os("DEED_BLESS").is_some() {
            fs::write(&path, text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            *text,
            expected,
            "`deed {name}` differs from {}; review it, then DEED_BLESS=1",
            path.display()
        );
    }
    let known: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(known.len(), pages.len(), "a page of a command that is no more: {known:?}");
}
