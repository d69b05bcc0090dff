//! `deed verify`: a store, a folder of tiles, or a server's log.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use deed_ledger::verify::{Rows, VerifyError, VerifyOptions, verify_store};
use deed_seal::{
    note::VerifierKey,
    tile::TilePath,
    verify::{Against, Kept, Problem, ProblemKind, Tiles, Unchecked},
};
use deed_verify::Folder;
use serde_json::Value;

use crate::{
    access::{self, Place},
    cli::{Global, Verify},
    client::{Client, Endpoint},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    kept,
    output::{Output, clean, count, ended, grouped, shell_word},
    progress::Progress,
    tiles::Remote,
};

/// Lines of one kind that people are shown; `--json` has them all.
const SHOWN: usize = 20;

pub(crate) async fn run(global: &Global, verify: Verify, output: Output) -> Outcome {
    let against = Elsewhere { keys: kept::keys(&verify.vkey)?, since: kept::checkpoints(&verify.since)? };
    let answer = match Target::of(global, verify.target.as_deref())? {
        Target::Server(url, endpoint) => {
            let client = Arc::new(Client::new(endpoint.clone(), access::token(&endpoint)?));
            let remote = Remote::open(client).await.map_err(|unread| {
                Failure::new("failed to read the log")
                    .code(unread.code)
                    .detail(format!("{url}: {}", unread.why))
            })?;
            aside(move || Answer::of_log(What::Server, url, &remote, &against, &[], &[])).await?
        }
        Target::Store(dir) => aside(move || of_store(&dir, against)).await??,
        Target::Tiles(dir) => aside(move || of_folder(&dir, against)).await??,
    };
    answer.print(output)?;
    ended(match answer.verified {
        Some(true) => None,
        Some(false) => Some(Code::Violated),
        None => Some(Code::Unverified),
    })
}

/// Hashing and reading take their time: on a thread where nobody waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::new(error.to_string()))
}

/// What was kept elsewhere.
struct Elsewhere {
    keys: Vec<VerifierKey>,
    since: Vec<Kept>,
}

/// What is to be verified.
enum Target {
    Server(String, Endpoint),
    Store(PathBuf),
    Tiles(PathBuf),
}

impl Target {
    fn of(global: &Global, given: Option<&str>) -> Result<Self, Failure> {
        let dir = match given {
            Some(url) if url.contains("://") => {
                return Ok(Target::Server(url.to_owned(), Endpoint::of_url(url)?));
            }
            Some(dir) => PathBuf::from(dir),
            None => match access::place(global)? {
                Place::Server(url, endpoint) => return Ok(Target::Server(url, endpoint)),
                Place::Store(dir) => dir,
            },
        };
        if !dir.is_dir() {
            let failure =
                Failure::new(format!("failed to verify `{}`: there is no such folder", dir.display()))
                    .code(Code::NotFound);
            return Err(if given.is_none() { failure.detail(Hint::of(global).begin()) } else { failure });
        }
        let is_tiles = dir.join("checkpoint").exists() || dir.join("tile").is_dir();
        Ok(if is_tiles && !access::is_store(&dir) { Target::Tiles(dir) } else { Target::Store(dir) })
    }
}

fn of_store(dir: &Path, against: Elsewhere) -> Result<Answer, Failure> {
    let progress = Counted::new();
    let count = |leaves| progress.add(leaves);
    let options =
        VerifyOptions { keys: against.keys, since: against.since, rows: rows(), progress: Some(&count) };
    let place = dir.display().to_string();
    let report = verify_store(dir, &options).map_err(|error| {
        let code = if matches!(error, VerifyError::NoStore(_)) { Code::Unverified } else { Code::Failed };
        Failure::new(format!("failed to verify `{place}`")).code(code).detail(error.to_string())
    })?;
    let checked = &report.checked;
    Ok(Answer {
        verified: report.verified(),
        json: report.to_json(),
        self_consistent_only: !report.kept_elsewhere,
        log: report
            .origin
            .clone()
            .zip(report.size)
            .map(|(origin, size)| (origin, size, report.root.clone().unwrap_or_default())),
        checked: vec![
            format!("{} (a sealed record each)", count_of(checked.leaves, "leaf", "leaves")),
            count_of(checked.packs, "pack", "packs"),
            count_of(checked.disclosures, "field of payloads", "fields of payloads"),
            count_of(checked.checkpoints, "checkpoint", "checkpoints"),
            count_of(checked.rows, "row of SQL", "rows of SQL"),
        ],
        signed_by: report.signed_by.clone(),
        problems: report.problems,
        unchecked: report.unchecked,
        closed: (report.locked > 0).then_some((report.locked, report.without_keys)),
        what: What::Store,
        place,
    })
}

/// What checks the rows that SQL reads.
#[cfg(feature = "sql")]
pub(crate) fn rows() -> Option<&'static dyn Rows> {
    Some(&deed_query::VerifyRows)
}

/// A build without SQL reads no rows and checks none.
#[cfg(not(feature = "sql"))]
pub(crate) fn rows() -> Option<&'static dyn Rows> {
    None
}

fn of_folder(dir: &Path, mut against: Elsewhere) -> Result<Answer, Failure> {
    let place = dir.display().to_string();
    let folder = Folder::open(dir)
        .map_err(|error| Failure::new(format!("failed to read `{place}`")).detail(error.to_string()))?;
    against.since.extend_from_slice(folder.kept());
    Ok(Answer::of_log(What::Tiles, place, &folder, &against, folder.others(), folder.foreign()))
}

/// What is told about it.
struct Answer {
    verified: Option<bool>,
    place: String,
    json: Value,
    self_consistent_only: bool,
    /// Origin, size, root.
    log: Option<(String, u64, String)>,
    checked: Vec<String>,
    signed_by: Vec<String>,
    problems: Vec<Problem>,
    unchecked: Vec<Unchecked>,
    /// The number of records whose payloads nobody could check, and whether that is because there are no keys at all.
    closed: Option<(u64, bool)>,
    what: What,
}

/// What was verified.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Store,
    Tiles,
    Server,
}

impl Answer {
    fn of_log<T: Tiles>(
        what: What,
        place: String,
        tiles: &T,
        against: &Elsewhere,
        also: &[TilePath],
        foreign: &[Unchecked],
    ) -> Self {
        let progress = Counted::new();
        let count = |leaves| progress.add(leaves);
        let against = Against {
            keys: &against.keys,
            since: &against.since,
            also,
            progress: Some(&count),
            ..Against::default()
        };
        let mut report = deed_seal::verify::verify(tiles, &against);
        report.unchecked.extend_from_slice(foreign);
        Answer {
            verified: report.verified(),
            json: report.to_json(),
            self_consistent_only: report.is_self_consistent_only(),
            log: report
                .checkpoint
                .as_ref()
                .map(|head| (head.origin.clone(), head.size, head.root.to_string())),
            checked: vec![
                count_of(report.leaves, "leaf", "leaves"),
                count_of(report.files, "file", "files"),
                count_of(report.checkpoints, "checkpoint", "checkpoints"),
            ],
            signed_by: report.signed_by,
            problems: report.problems,
            unchecked: report.unchecked,
            closed: None,
            what,
            place,
        }
    }

    fn print(&self, output: Output) -> Outcome {
        if output.json { output.document(&self.json) } else { output.print(&self.text(output)) }
    }

    fn text(&self, output: Output) -> String {
        let verdict = match self.verified {
            Some(true) if self.self_consistent_only => output.doubtful("SELF-CONSISTENT ONLY"),
            Some(true) => output.good("VERIFIED"),
            Some(false) => output.bad("VIOLATED"),
            None => output.doubtful("UNVERIFIED"),
        };
        // What is sealed of them proves itself, and that is less than all of the store.
        let closed = self.closed.map(|(records, without_keys)| {
            let records = count_of(records, "record", "records");
            if without_keys {
                format!("   the log alone: without `keys/` the payloads of {records} were not checked")
            } else {
                format!(
                    "   but for the payloads of {records}, erased or without their key: they were not checked"
                )
            }
        });
        let mut text = format!("{verdict}  {}{}\n", clean(&self.place), closed.unwrap_or_default());
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| problem.kind == ProblemKind::Unverified);
        lines(&mut text, "", &problems.into_iter().map(Self::problem).collect::<Vec<_>>());
        if let Some((origin, size, root)) = &self.log {
            row(&mut text, "log", &format!("{origin}, {}", count_of(*size, "leaf", "leaves")));
            row(&mut text, "root", root);
        }
        let of = |kind| self.problems.iter().filter(|problem| problem.kind == kind).count() as u64;
        let (violated, unverified) = (of(ProblemKind::Violated), of(ProblemKind::Unverified));
        row(&mut text, "checked", &self.checked.join(", "));
        row(
            &mut text,
            "found",
            &format!("{} violated, {} unverified", grouped(violated), grouped(unverified)),
        );
        // A log signs with keys of several sorts under its one name.
        let signed_by: BTreeSet<&str> = self.signed_by.iter().map(String::as_str).collect();
        let signed_by: Vec<&str> = signed_by.into_iter().collect();
        row(
            &mut text,
            "signed by",
            &if signed_by.is_empty() {
                "nobody that is known here: no signature was checked".to_owned()
            } else {
                signed_by.join(", ")
            },
        );
        lines(&mut text, "unchecked", &self.unchecked());
        if let Some(next) = self.next() {
            row(&mut text, "what now", &next);
        }
        text
    }

    /// A line for each reason, with some of the places that it holds for.
    fn unchecked(&self) -> Vec<String> {
        const NAMED: usize = 4;
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Unchecked { place, why } in &self.unchecked {
            places.entry(why).or_default().push(place);
        }
        let line = |(why, places): (&str, Vec<&str>)| {
            let more = places
                .len()
                .checked_sub(NAMED)
                .filter(|more| *more > 0)
                .map(|more| format!(" and {more} more"))
                .unwrap_or_default();
            format!("{}{more}: {why}", places.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "))
        };
        places.into_iter().map(line).collect()
    }

    fn problem(problem: &Problem) -> String {
        let missing = if problem.kind == ProblemKind::Unverified { "unverified: " } else { "" };
        format!("{}: {missing}{}", problem.place, problem.what)
    }

    fn next(&self) -> Option<String> {
        let place = shell_word(&self.place);
        let hint = match self.what {
            What::Server => Hint::of_server(&self.place),
            What::Store | What::Tiles => Hint::of_store(Path::new(&self.place)),
        };
        let head = match self.what {
            What::Store => "log/checkpoint",
            What::Tiles | What::Server => "checkpoint",
        };
        let head = shell_word(&format!("{}/{head}", self.place.trim_end_matches('/')));
        Some(match self.verified {
            Some(true) if self.self_consistent_only => {
                let keys = match self.what {
                    What::Tiles => "the public keys, from whoever runs the log".to_owned(),
                    What::Store | What::Server => format!("what this prints: {}", hint.deed("keys")),
                };
                format!(
                    "nothing kept elsewhere was asked: whoever could write here could have written all of it.\n\
                     Keep in another place {keys}\n\
                     and {head}, then hold the log against them:\n\
                     {}",
                    hint.anywhere(&format!("verify {place} --vkey FILE --since CHECKPOINT"))
                )
            }
            Some(true) => return None,
            Some(false) if self.what == What::Server => {
                "keep the checkpoint that it shows, and ask who runs it".to_owned()
            }
            Some(false) => format!(
                "keep this copy untouched, compare with a backup:\n{}",
                hint.anywhere(&format!("verify --since {head} BACKUP"))
            ),
            None => format!(
                "fetch what is missing from another copy, then: {}",
                hint.anywhere(&format!("verify {place}"))
            ),
        })
    }
}

fn row(text: &mut String, label: &str, value: &str) {
    let mut label = label;
    for line in value.lines() {
        text.push_str(&format!("  {label:<11}{}\n", clean(line)));
        label = "";
    }
}

/// A line for each of `items`, up to a number that people read.
fn lines(text: &mut String, label: &str, items: &[String]) {
    for (at, item) in items.iter().take(SHOWN).enumerate() {
        match label {
            "" => text.push_str(&format!("  {}\n", clean(item))),
            label => row(text, if at == 0 { label } else { "" }, item),
        }
    }
    if items.len() > SHOWN {
        row(text, "", &format!("and {} more, all of them with --json", items.len() - SHOWN));
    }
}

fn count_of(number: u64, one: &str, many: &str) -> String {
    if many == format!("{one}s") {
        count(number, one)
    } else {
        format!("{} {}", grouped(number), if number == 1 { one } else { many })
    }
}

/// Progress in leaves.
struct Counted {
    done: std::sync::atomic::AtomicU64,
    progress: Progress,
}

impl Counted {
    fn new() -> Self {
        Counted { done: std::sync::atomic::AtomicU64::new(0), progress: Progress::spinner() }
    }

    fn add(&self, leaves: u64) {
        let done = self.done.fetch_add(leaves, std::sync::atomic::Ordering::Relaxed) + leaves;
        self.progress.tell(|| format!("{} verified", count_of(done, "leaf", "leaves")));
    }
}
