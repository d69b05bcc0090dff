//! What checking a store found.

use std::time::Duration;

use deed_seal::{
    tile::TilePath,
    verify::{Problem, ProblemKind, Report, Unchecked},
};
use serde_json::{Value, json};

use super::{Leaves, problem};
use crate::{PACK_LEAVES, pack};

/// How much was looked at.
#[derive(Debug, Default, Clone, Copy)]
pub struct Checked {
    /// Leaves hashed from their bytes.
    pub leaves: u64,
    /// Packs.
    pub packs: u64,
    /// Disclosures whose digest was found in the sealed record.
    pub disclosures: u64,
    /// Checkpoints compared with the tree.
    pub checkpoints: u64,
    /// Rows compared with the sealed bytes.
    pub rows: u64,
    /// Index runs recomputed.
    pub runs: u64,
}

/// The result of [`verify_store`](super::verify_store).
#[derive(Debug, Default)]
pub struct StoreReport {
    /// The log's name.
    pub origin: Option<String>,
    /// Leaves under the checkpoint.
    pub size: Option<u64>,
    /// Root of the tree, lower-case hex.
    pub root: Option<String>,
    /// The keys whose signatures hold.
    pub signed_by: Vec<String>,
    /// Whether a key or a checkpoint kept elsewhere took part; without one the answer is about
    /// self-consistency only.
    pub kept_elsewhere: bool,
    /// How much was looked at.
    pub checked: Checked,
    /// Whether there are no keys, so that no payload could be checked.
    pub without_keys: bool,
    /// Records whose payloads have no data key here.
    pub locked: u64,
    /// Files that were not covered, and why.
    pub unchecked: Vec<Unchecked>,
    /// Everything wrong or missing.
    pub problems: Vec<Problem>,
    /// Time the log took: reading and unpacking leaves, hashing them, checkpoints. This and the next two
    /// share one pass; each is the time it took on all threads, divided by their number.
    pub merkle: Duration,
    /// Time disclosures and index took, reading records included.
    pub disclosures: Duration,
    /// Time the rows took.
    pub rows: Duration,
    /// All of it, from beginning to end.
    pub total: Duration,
}

impl StoreReport {
    /// `Some(true)` if everything was checked and right, `Some(false)` if anything is wrong, `None` if
    /// nothing is wrong but something is missing.
    pub fn verified(&self) -> Option<bool> {
        if self.problems.iter().any(|problem| problem.kind == ProblemKind::Violated) {
            Some(false)
        } else if self.problems.is_empty() && self.size.is_some() {
            Some(true)
        } else {
            None
        }
    }

    pub(crate) fn violated(&mut self, place: &str, what: String) {
        self.problems.push(problem(ProblemKind::Violated, place, what));
    }

    pub(crate) fn unverified(&mut self, place: &str, what: String) {
        self.problems.push(problem(ProblemKind::Unverified, place, what));
    }

    /// Takes over what was found about the log, naming packs where tiles were meant.
    pub(super) fn take_log(&mut self, log: Report, leaves: &Leaves) {
        self.checked.leaves = log.leaves;
        self.checked.packs = leaves.packs().len() as u64;
        self.checked.checkpoints = log.checkpoints;
        self.signed_by = log.signed_by;
        self.origin = log.checkpoint.as_ref().map(|head| head.origin.clone());
        self.size = log.checkpoint.as_ref().map(|head| head.size);
        self.root = log.checkpoint.as_ref().map(|head| head.root.to_string());
        // Of a pack that is missing each tile is missing, too.
        let is_said = |place: &str| {
            let pack = place.split_once(" (").map(|(path, _)| path);
            pack.is_some_and(|pack| self.problems.iter().any(|problem| problem.place == pack))
        };
        let found: Vec<Problem> = log
            .problems
            .into_iter()
            .map(|found| Problem { place: store_place(&found.place, leaves.packed()), ..found })
            .filter(|found| found.kind == ProblemKind::Violated || !is_said(&found.place))
            .collect();
        self.problems.extend(found);
        self.problems.extend(leaves.take_damaged());
        self.unchecked.extend(log.unchecked);
        if let Some(signed) = self.size.filter(|signed| *signed < leaves.size()) {
            let last = leaves.size() - 1;
            let why = format!(
                "leaves {signed} to {last} are not under a checkpoint yet: nothing signed speaks for them"
            );
            self.unchecked.push(Unchecked { place: "journal".to_owned(), why });
        }
    }

    /// The answer of `deed verify --json`.
    pub fn to_json(&self) -> Value {
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
            "self_consistent_only": !self.kept_elsewhere,
            "signed_by": self.signed_by,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "checked": {
                "leaves": self.checked.leaves,
                "packs": self.checked.packs,
                "disclosures": self.checked.disclosures,
                "checkpoints": self.checked.checkpoints,
                "rows": self.checked.rows,
                "runs": self.checked.runs,
            },
            "payloads_unchecked": self.locked,
            "unchecked": unchecked.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
            "seconds": {
                "merkle": self.merkle.as_secs_f64(),
                "disclosures": self.disclosures.as_secs_f64(),
                "rows": self.rows.as_secs_f64(),
                "total": self.total.as_secs_f64(),
            },
        })
    }
}

/// `tile/0/273` lies in a pack, or in the journal: the file to look at, and the tile.
fn store_place(place: &str, packed: u64) -> String {
    let leaf = match place.parse() {
        Ok(TilePath::Entries { index, .. }) => index * 256,
        Ok(TilePath::Hashes { level: 0, index, .. }) => index * 256,
        Ok(TilePath::Hashes { level: 1, index, .. }) => index * PACK_LEAVES,
        _ if place == "checkpoint" => return crate::signing::CHECKPOINT.to_owned(),
        _ => return place.to_owned(),
    };
    if leaf < packed {
        format!("{} ({place})", pack::path_of(leaf / PACK_LEAVES))
    } else {
        format!("journal ({place})")
    }
}
