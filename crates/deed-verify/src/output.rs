//! The answer, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use deed_seal::verify::{ProblemKind, Report};

use crate::arguments::Arguments;

/// Lines of one kind that people are shown; `--json` has them all.
const SHOWN: usize = 20;

/// The answer as JSON, with a final newline.
pub(crate) fn json(report: &Report) -> String {
    format!("{:#}\n", report.to_json())
}

/// The answer in words.
pub(crate) fn text(report: &Report, arguments: &Arguments) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let text = write(&mut text, report, arguments).map_or_else(|error| error.to_string(), |()| text);
    // Names of files may hold what a terminal would act upon.
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

fn write(text: &mut String, report: &Report, arguments: &Arguments) -> std::fmt::Result {
    let verdict = match report.verified() {
        Some(true) if report.is_self_consistent_only() => "SELF-CONSISTENT ONLY",
        Some(true) => "VERIFIED",
        Some(false) => "VIOLATED",
        None => "UNVERIFIED",
    };
    let folder = shell_word(&arguments.folder);
    writeln!(text, "{verdict}  {folder}")?;
    let problems = report.problems.iter().map(|problem| {
        let missing = if problem.kind == ProblemKind::Unverified { "unverified: " } else { "" };
        (problem.place.as_str(), format!("{missing}{}", problem.what))
    });
    lines(text, "", problems)?;

    if let Some(head) = &report.checkpoint {
        writeln!(text, "\n  log        {}, {}", head.origin, count(head.size, "leaf", "leaves"))?;
        writeln!(text, "  root       {}", head.root)?;
    }
    let leaves = count(report.leaves, "leaf", "leaves");
    let files = count(report.files, "file", "files");
    let checkpoints = count(report.checkpoints, "checkpoint", "checkpoints");
    let of = |kind| report.problems.iter().filter(|problem| problem.kind == kind).count();
    let (violated, unverified) = (of(ProblemKind::Violated), of(ProblemKind::Unverified));
    writeln!(text, "  checked    {leaves}, {files}, {checkpoints}")?;
    writeln!(text, "  found      {violated} violated, {unverified} unverified")?;
    if report.is_self_consistent_only() {
        writeln!(
            text,
            "  signed by  nobody that is known here: self-consistent only, no key kept elsewhere vouches for it"
        )?;
    } else {
        writeln!(text, "  signed by  {}", report.signed_by.join(", "))?;
    }
    lines(
        text,
        "  unchecked  ",
        report.unchecked.iter().map(|file| (file.place.as_str(), file.why.clone())),
    )?;

    let next = match report.verified() {
        Some(true) if report.is_self_consistent_only() => {
            format!("get the log's key from someone else: deed-verify {folder} --vkey FILE")
        }
        Some(true) => return Ok(()),
        Some(false) => format!(
            "keep this copy untouched, compare with a backup: deed-verify BACKUP --since {folder}/checkpoint"
        ),
        None => "fetch what is missing again, from another copy if need be".to_owned(),
    };
    writeln!(text, "  what now   {next}")
}

/// A path as a word of a POSIX shell.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A line for each of `items`, up to a number that people read.
fn lines<'a>(
    text: &mut String,
    label: &str,
    items: impl ExactSizeIterator<Item = (&'a str, String)>,
) -> std::fmt::Result {
    let count = items.len();
    for (number, (place, what)) in items.take(SHOWN).enumerate() {
        let label = if number == 0 { label.to_owned() } else { " ".repeat(label.len()) };
        let indent = if label.is_empty() { "  " } else { "" };
        writeln!(text, "{indent}{label}{place}: {what}")?;
    }
    if count > SHOWN {
        let indent = " ".repeat(label.len().max(2));
        writeln!(text, "{indent}and {} more, all of them with --json", count - SHOWN)?;
    }
    Ok(())
}
