//! Verification of a whole static log (C2SP tlog-tiles): every leaf is hashed from its entry, every tile
//! recomputed from the level below, the root compared with the checkpoint.
//!
//! Nothing passes that could not be checked: what is wrong and what is missing are reported apart, each
//! with the file and the leaf.

mod chunk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::merkle::Frontier;
use crate::note::{Note, NoteError, VerifierKey};
use crate::tile::{self, TilePath};

use chunk::{CHUNK, Chunk, Reader, Tail, verify_upper_levels};

/// After so many problems the rest is not looked at: a checkpoint may claim any size.
const MAX_PROBLEMS: usize = 10_000;

/// Where the files of a log are. `None` means that there is no such file.
pub trait Tiles: Sync {
    /// Why a file that may be there could not be read.
    type Error: fmt::Display;

    /// The bytes of a tile or entry bundle. Of one that is longer than [`TilePath::max_len`] one byte more is
    /// enough: it is wrong, and may not fit into memory.
    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The signed checkpoint; of one that is longer than [`MAX_NOTE`](crate::note::MAX_NOTE) one byte more is
    /// enough.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// What a log is held against. The default holds it against itself only.
#[derive(Default)]
pub struct Against<'a> {
    /// Keys that were obtained elsewhere. With none of them the answer is about
    /// [self-consistency](Report::is_self_consistent_only) only.
    pub keys: &'a [VerifierKey],
    /// Checkpoints that the log must continue.
    pub since: &'a [Kept],
    /// Files that are there beside those that the checkpoint's size asks for, such as the partial tiles of
    /// earlier sizes; they are compared with the tiles that replaced them.
    pub also: &'a [TilePath],
    /// Threads to hash with, the caller's included; by default as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Called now and then with the number of leaves that were looked at since the last call.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Gives whoever looks at the entries of a chunk, by its number: 65,536 leaves under one level-1 tile.
    /// A log is read once, whatever else is checked of it; a chunk that is not full is not shown.
    pub look: Option<&'a (dyn Fn(u64) -> Option<Box<dyn Look + 'a>> + Sync)>,
}

/// Looks at the entries of one chunk while they are at hand, on the thread that hashes them.
pub trait Look {
    /// The entries of a bundle, of which `first` is the first leaf. Bundles come in order; one that cannot be
    /// read does not come.
    fn bundle(&mut self, first: u64, entries: &[&[u8]]);

    /// There are no more.
    fn end(self: Box<Self>);
}

/// A checkpoint that was kept from an earlier time.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Where it was kept, for the report.
    pub name: String,
    /// The signed note.
    pub note: Vec<u8>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The log's head, if there is one to be read.
    pub checkpoint: Option<Checkpoint>,
    /// The names of the keys, of those given, that signed it.
    pub signed_by: Vec<String>,
    /// Leaves that were hashed from their entries.
    pub leaves: u64,
    /// Tiles and entry bundles that were read.
    pub files: u64,
    /// Checkpoints that were compared with the tree: the log's own and those kept.
    pub checkpoints: u64,
    /// Everything that is wrong or missing.
    pub problems: Vec<Problem>,
    /// What is there but was not covered, and why; no problem in itself.
    pub unchecked: Vec<Unchecked>,
    /// Time that all threads together spent on leaves and the tiles over them, whoever [looks](Look) included.
    pub busy: Duration,
}

impl Report {
    /// `Some(true)` if everything was checked and right, `Some(false)` if anything is wrong, `None` if
    /// nothing is wrong but something could not be checked.
    pub fn verified(&self) -> Option<bool> {
        if self.problems.iter().any(|problem| problem.kind == ProblemKind::Violated) {
            Some(false)
        } else if self.problems.is_empty() && self.checkpoint.is_some() {
            Some(true)
        } else {
            None
        }
    }

    /// Whether no key vouches for the checkpoint: whoever made the files may have made all of them.
    pub fn is_self_consistent_only(&self) -> bool {
        self.signed_by.is_empty()
    }

    /// The answer of `deed verify --json`, of a log that has only tiles.
    pub fn to_json(&self) -> Value {
        let head = self.checkpoint.as_ref();
        let problems = self.problems.iter().map(|Problem { kind, place, what }| {
            let kind = match kind {
                ProblemKind::Violated => "violated",
                ProblemKind::Unverified => "unverified",
            };
            json!({ "where": place, "what": what, "kind": kind })
        });
        let unchecked =
            self.unchecked.iter().map(|Unchecked { place, why }| json!({ "where": place, "why": why }));
        json!({
            "verified": self.verified(),
            "self_consistent_only": self.is_self_consistent_only(),
            "signed_by": self.signed_by,
            "origin": head.map(|head| &head.origin),
            "size": head.map(|head| head.size),
            "root": head.map(|head| head.root.to_string()),
            "checked": {
                "leaves": self.leaves,
                "files": self.files,
                "checkpoints": self.checkpoints,
                "packs": 0,
                "disclosures": 0,
                "rows": 0,
            },
            "unchecked": unchecked.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
        })
    }
}

/// Something wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Wrong, or missing.
    pub kind: ProblemKind,
    /// The file.
    pub place: String,
    /// What is the matter with it, naming the leaf.
    pub what: String,
}

/// Whether evidence is wrong or absent: the two are never mixed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It was checked and is wrong.
    Violated,
    /// It could not be checked: it is missing or cannot be read.
    Unverified,
}

/// Something that is there and was not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    /// The file or key.
    pub place: String,
    /// Why it was not.
    pub why: String,
}

/// Verifies the log that `tiles` holds.
pub fn verify<T: Tiles>(tiles: &T, against: &Against<'_>) -> Report {
    let mut report = Report::default();
    let Some(checkpoint) = read_checkpoint(tiles, against.keys, &mut report) else { return report };
    let kept = read_kept(against, &checkpoint, &mut report);
    let sizes = kept.iter().map(|(_, kept)| kept.size).chain([checkpoint.size]).collect();
    let mut tree = recompute(tiles, checkpoint.size, &sizes, against, &mut report);
    tree.settle_tail(&checkpoint, &mut report);

    match tree.root_at(checkpoint.size) {
        Some(root) if root == checkpoint.root => {}
        Some(root) => {
            let what =
                format!("the log's files lead to root {root}, the checkpoint says {}", checkpoint.root);
            report.violated("checkpoint", what);
        }
        None => report.unverified("checkpoint", "its root cannot be recomputed, hashes are missing"),
    }
    report.checkpoints += 1;
    for (name, kept) in kept {
        match tree.root_at(kept.size) {
            Some(root) if root == kept.root => {}
            Some(root) => {
                let size = kept.size;
                let what =
                    format!("the log does not continue it: its first {size} leaves now have root {root}");
                report.violated(name, what);
            }
            None => report.unverified(name, "its root cannot be recomputed, hashes are missing"),
        }
        report.checkpoints += 1;
    }
    compare_others(tiles, checkpoint.size, against.also, &mut report);
    report.checkpoint = Some(checkpoint);
    report
}

/// The log's own checkpoint, and who signed it.
fn read_checkpoint<T: Tiles>(tiles: &T, keys: &[VerifierKey], report: &mut Report) -> Option<Checkpoint> {
    const PLACE: &str = "checkpoint";
    let bytes = match tiles.checkpoint() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            report.unverified(PLACE, "is missing: without it nothing says what the log should hold");
            return None;
        }
        Err(error) => {
            report.unverified(PLACE, format!("cannot be read: {error}"));
            return None;
        }
    };
    let (checkpoint, note) = match Checkpoint::open_unverified(&bytes) {
        Ok(opened) => opened,
        Err(error) => {
            report.violated(PLACE, error.to_string());
            return None;
        }
    };
    let signed_by = check_signatures(PLACE, &note, keys, report);
    for key in keys.iter().filter(|key| !signed_by.contains(key)) {
        let why = "this key did not sign the checkpoint".to_owned();
        report.unchecked.push(Unchecked { place: key.name().to_owned(), why });
    }
    report.signed_by = signed_by.into_iter().map(|key| key.name().to_owned()).collect();
    Some(checkpoint)
}

/// Those of the kept checkpoints that the log can be compared with.
fn read_kept<'a>(
    against: &Against<'a>,
    head: &Checkpoint,
    report: &mut Report,
) -> Vec<(&'a str, Checkpoint)> {
    let mut kept = Vec::new();
    for Kept { name, note } in against.since {
        let (checkpoint, note) = match Checkpoint::open_unverified(note) {
            Ok(opened) => opened,
            Err(error) => {
                report.violated(name, error.to_string());
                continue;
            }
        };
        check_signatures(name, &note, against.keys, report);
        if checkpoint.origin != head.origin {
            let what = format!("is of the log `{}`, this one is `{}`", checkpoint.origin, head.origin);
            report.violated(name, what);
        } else if checkpoint.size > head.size {
            let what = format!("has {} leaves, the log has only {} now", checkpoint.size, head.size);
            report.violated(name, what);
        } else {
            kept.push((name.as_str(), checkpoint));
        }
    }
    kept
}

/// The keys that signed `note`. What no key could check is named.
fn check_signatures<'k>(
    place: &str,
    note: &Note,
    keys: &'k [VerifierKey],
    report: &mut Report,
) -> Vec<&'k VerifierKey> {
    if keys.is_empty() {
        let names: BTreeSet<_> = note.signatures.iter().map(|signature| signature.name.as_str()).collect();
        let names: Vec<_> = names.into_iter().collect();
        let why = format!(
            "its signatures were not checked, for no key was given: nothing vouches that `{}` signed it",
            names.join("`, `")
        );
        report.unchecked.push(Unchecked { place: place.to_owned(), why });
        return Vec::new();
    }
    for signature in note.signatures.iter().filter(|signature| !keys.iter().any(|key| key.made(signature))) {
        let (name, id) = (&signature.name, u32::from_be_bytes(signature.key_id));
        let why =
            format!("a signature of `{name}` (key id {id:08x}) was not checked: that key was not given");
        report.unchecked.push(Unchecked { place: place.to_owned(), why });
    }
    match note.verify(keys) {
        Ok(signed_by) => return signed_by,
        Err(NoteError::NoKnownKey) => {
            let names: Vec<_> = note.signatures.iter().map(|signature| signature.name.as_str()).collect();
            report.unverified(place, format!("none of the given keys signed it, only {}", names.join(", ")));
        }
        Err(error) => report.violated(place, error.to_string()),
    }
    Vec::new()
}

/// Recomputes the tree of `size` leaves on all threads, so that its root at each of `sizes` is known.
fn recompute<T: Tiles>(
    tiles: &T,
    size: u64,
    sizes: &BTreeSet<u64>,
    against: &Against<'_>,
    report: &mut Report,
) -> Tree {
    let count = size.div_ceil(CHUNK);
    let (next, problems) = (AtomicU64::new(0), AtomicUsize::new(0));
    let work = || {
        let mut done = Vec::new();
        while problems.load(Ordering::Relaxed) < MAX_PROBLEMS {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let started = Instant::now();
            let look = against.look.filter(|_| number < size / CHUNK).and_then(|look| look(number));
            let mut chunk = Chunk::verify(tiles, number, size, sizes, look);
            chunk.report.busy = started.elapsed();
            problems.fetch_add(chunk.report.problems.len(), Ordering::Relaxed);
            if let Some(progress) = against.progress {
                progress(CHUNK.min(size - number * CHUNK));
            }
            done.push((number, chunk));
        }
        done
    };
    let threads =
        against.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut chunks = thread::scope(|scope| {
        // Where a thread cannot be had, the others do its share.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..count.min(threads as u64)).filter_map(spawn).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    chunks.sort_unstable_by_key(|(number, _)| *number);
    let mut tree = Tree::default();
    let complete = chunks.len() as u64 == count;
    for (_, mut chunk) in chunks {
        report.append(&mut chunk.report);
        tree.roots.extend(chunk.root);
        tree.marks.append(&mut chunk.marks);
        tree.tail = chunk.tail;
    }
    if complete {
        tree.roots = verify_upper_levels(tiles, tree.roots, report);
        tree
    } else {
        report.unverified("tile", format!("after {MAX_PROBLEMS} problems the rest was not looked at"));
        Tree::default()
    }
}

/// Compares the files that are there beside those of the tree with those that replaced them.
fn compare_others<T: Tiles>(tiles: &T, size: u64, others: &[TilePath], report: &mut Report) {
    for path in others {
        let place = path.to_string();
        let current = match *path {
            TilePath::Hashes { level, index, .. } => TilePath::hashes(level, index, size),
            TilePath::Entries { index, .. } => TilePath::entries(index, size),
        };
        let Some(current) = current.filter(|current| path.width() <= current.width()) else {
            let why = format!("belongs to leaves beyond the {size} of the checkpoint");
            report.unchecked.push(Unchecked { place, why });
            continue;
        };
        let mut reader = Reader { tiles, report };
        let (Some(old), Some(new)) = (reader.read(path), reader.read(&current)) else { continue };
        let whole = match path {
            TilePath::Hashes { .. } => tile::tile_hashes(&old).map_or(0, |hashes| hashes.len()),
            TilePath::Entries { .. } => tile::bundle_entries(&old).map_or(0, |entries| entries.len()),
        };
        if whole != usize::from(path.width()) || !new.starts_with(&old) {
            report.violated(place, format!("differs from `{current}`, which replaced it"));
        }
    }
}

/// The recomputed tree, as far as it could be.
#[derive(Default)]
struct Tree {
    /// Of each full chunk from the left.
    roots: Vec<Option<Hash>>,
    /// The part after the full chunks, of each size that is asked for.
    marks: BTreeMap<u64, Option<Frontier>>,
    tail: Option<Tail>,
}

impl Tree {
    /// The root of the first `size` leaves; `None` if hashes are missing.
    fn root_at(&self, size: u64) -> Option<Hash> {
        let mut tree = Frontier::new();
        for root in self.roots.get(..usize::try_from(size / CHUNK).ok()?)? {
            tree.push_full_tile((*root)?, CHUNK);
        }
        if !size.is_multiple_of(CHUNK) {
            let part = self.marks.get(&size)?.as_ref()?;
            part.peaks().for_each(|(leaves, root)| tree.push_full_tile(root, leaves));
        }
        Some(tree.root())
    }

    /// Where the entries of the last, partial bundle and its tile disagree, no tile above says which is
    /// right, but the checkpoint does.
    fn settle_tail(&mut self, checkpoint: &Checkpoint, report: &mut Report) {
        let Some(tail) = self.tail.take() else { return };
        let Tail { entries, tile, leaves, .. } = &tail;
        if self.root_at(checkpoint.size) == Some(checkpoint.root) {
            let what = format!("{leaves}: not the hash of the entry, with which the checkpoint agrees");
            report.violated(tile.to_string(), what);
            return;
        }
        let mut with_tile = tail.marks_from_tile();
        std::mem::swap(&mut self.marks, &mut with_tile);
        if self.root_at(checkpoint.size) == Some(checkpoint.root) {
            self.marks.extend(with_tile.into_iter().filter(|(size, _)| *size <= tail.start));
            let what = format!(
                "{leaves}: the entry does not have the hash in `{tile}`, with which the checkpoint agrees"
            );
            report.violated(entries.to_string(), what);
        } else {
            self.marks = with_tile;
            report.violated(
                entries.to_string(),
                format!("{leaves}: the entry does not have the hash in `{tile}`"),
            );
        }
    }
}

impl Report {
    fn violated(&mut self, place: impl Into<String>, what: impl Into<String>) {
        let (place, what) = (place.into(), what.into());
        self.problems.push(Problem { kind: ProblemKind::Violated, place, what });
    }

    fn unverified(&mut self, place: impl Into<String>, what: impl Into<String>) {
        let (place, what) = (place.into(), what.into());
        self.problems.push(Problem { kind: ProblemKind::Unverified, place, what });
    }

    fn append(&mut self, part: &mut Self) {
        self.leaves += part.leaves;
        self.files += part.files;
        self.busy += part.busy;
        self.problems.append(&mut part.problems);
    }
}
