//! Every file of a store is accounted for.

use std::{fs, io, path::Path};

use deed_seal::verify::Unchecked;

use super::{Leaves, StoreReport};
use crate::{
    data_keys, index, key_epochs, pack,
    signing::{CHECKPOINT, KEPT},
    tenants, vault,
};

/// A name in a store.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Present {
    /// Relative to the store.
    pub(super) path: String,
    /// Whether it stands for a file of its own, and leads nowhere else.
    is_file: bool,
}

/// Every file below `dir`, and whatever else has a name there but is no folder.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Present>> {
    fn walk(folder: &Path, name: &str, found: &mut Vec<Present>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let path = if name.is_empty() { file } else { format!("{name}/{file}") };
            let kind = entry.file_type()?;
            match kind.is_dir() {
                true => walk(&entry.path(), &path, found)?,
                false => found.push(Present { path, is_file: kind.is_file() }),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(dir, "", &mut found)?;
    found.sort();
    Ok(found)
}

/// Names what was not covered, with the reason; what has no business in a store is a problem.
pub(super) fn account_for(
    present: &[Present],
    leaves: &Leaves,
    covered: &[String],
    rows_checked: bool,
    settings: &str,
    report: &mut StoreReport,
) {
    for Present { path, is_file } in present {
        let role = match *is_file || !holds_evidence(path) {
            true => role(path, leaves, covered, rows_checked),
            false => Role::Stranger(
                "it is no file but leads to one, or is something else: Deed makes no such thing here",
            ),
        };
        match role {
            Role::Covered => {}
            Role::Stranger(_) if is_named(settings, path) => report.unchecked.push(Unchecked {
                place: path.clone(),
                why: "a file that the settings name; it is no evidence".to_owned(),
            }),
            Role::Unchecked(why) => {
                report.unchecked.push(Unchecked { place: path.clone(), why: why.to_owned() })
            }
            Role::Stranger(why) => report.violated(path, why.to_owned()),
        }
    }
}

/// Whether it is in a folder of which every file is evidence, or derived from it.
fn holds_evidence(path: &str) -> bool {
    const FOLDERS: &[&str] =
        &["log", "journal", pack::FOLDER, vault::FOLDER, index::FOLDER, "parquet", "identity", "findings"];
    path.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
}

/// Whether `settings`, as TOML, say `path` somewhere, as `secret_file = "webhook.secret"` does.
fn is_named(settings: &str, path: &str) -> bool {
    ['"', '\''].iter().any(|quote| settings.contains(&format!("{quote}{path}{quote}")))
}

const UNPACKED: &str = "its pack is not written yet; the journal has what is in it";

enum Role {
    /// Checked above, or found damaged there.
    Covered,
    Unchecked(&'static str),
    Stranger(&'static str),
}

fn role(path: &str, leaves: &Leaves, covered: &[String], rows_checked: bool) -> Role {
    let (folder, name) = path.split_once('/').unwrap_or(("", path));
    match folder {
        "" => match name {
            "deed.toml" => Role::Unchecked("settings; they are no evidence"),
            "inventory.toml" => Role::Unchecked("what people declared; it is no evidence"),
            "lock" | "deed.sock" => Role::Unchecked("tells who holds the store; it holds no records"),
            _ => Role::Stranger("no part of Deed makes such a file; move it out of the store"),
        },
        "keys" => match name {
            "origin" | "ed25519.seed" | "ml-dsa-44.seed" => {
                Role::Unchecked("a secret key; only its use can be checked")
            }
            "tokens" => Role::Unchecked("secret keys of the token service; they sign no evidence"),
            "keys.redb" => Role::Unchecked(
                "secret keys; only their use can be checked, and the checksums of pages that hold any",
            ),
            _ if name.ends_with(".part") => {
                Role::Unchecked("a key whose making was cut short; made again at the next start")
            }
            _ => Role::Stranger("no part of Deed makes such a file; move it out of the store"),
        },
        "trust" => Role::Unchecked("public keys that the settings name; they are no evidence"),
        "follow" => Role::Unchecked("how far files are followed; it is no evidence"),
        "policies" => Role::Unchecked("policies in writing; those that were in force are sealed in the log"),
        "journal" if leaves.is_spent(name) => Role::Unchecked(
            "all that stands in it is in packs; it is used again, or removed, when there is need",
        ),
        "journal" if leaves.is_blank(name) => Role::Unchecked(
            "it does not begin as a journal file in use does, so that no frame of it can be told: one made ahead of need, or \
             damaged; no leaf of the log stands in it alone",
        ),
        "journal" if name.ends_with(".journal") => Role::Unchecked(
            "its frames are checked; what stands behind the last one waits to be written over and says nothing",
        ),
        "log" if path == CHECKPOINT => Role::Covered,
        "log" if path == tenants::PATH => Role::Unchecked(
            "tells the keys of tenants from others'; held against `keys/` where those are there",
        ),
        "log" if path == data_keys::PATH => {
            Role::Unchecked("tells keys of an earlier time; held against `keys/` where those are there")
        }
        "log" if path == key_epochs::PATH => Role::Unchecked(
            "names data keys that were made after others were lost; disclosures are held against it",
        ),
        "log"
            if path
                .strip_prefix(KEPT)
                .is_some_and(|size| size.len() == 20 && size.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Role::Covered
        }
        pack::FOLDER if pack::number_of(path).is_some() => Role::Covered,
        vault::FOLDER => match vault::number_of(path) {
            Some(number) if leaves.packs().contains_key(&number) => Role::Covered,
            Some(number) if leaves.are_due(number) => Role::Unchecked(UNPACKED),
            Some(_) => Role::Stranger("the log has no leaves of such a pack; move it out of the store"),
            None => Role::Stranger("no part of Deed makes such a file; move it out of the store"),
        },
        index::FOLDER => match index::packs_of(path) {
            Some(packs) if packs.end <= leaves.packs().len() as u64 => Role::Covered,
            Some(packs) if leaves.are_due(packs.end.saturating_sub(1)) => Role::Unchecked(UNPACKED),
            Some(_) => Role::Stranger("the log has no leaves of such packs; move it out of the store"),
            None => Role::Stranger("no part of Deed makes such a file; move it out of the store"),
        },
        _ if covered.iter().any(|other| other == path) => Role::Covered,
        "parquet" if !rows_checked => {
            Role::Unchecked("rows were not checked: this program was built without SQL")
        }
        "identity" if path == "identity/state" => Role::Unchecked(
            "what was folded of identities; derived, and held against the log by `deed rebuild`",
        ),
        "findings" if path == "findings/state" => {
            Role::Unchecked("what deserves a look; derived, and held against the log by `deed rebuild`")
        }
        "tmp" => Role::Unchecked("room for what lasts no longer than a process; emptied at the next start"),
        _ if path.ends_with(".part") => Role::Unchecked("an unfinished write; swept at the next start"),
        _ => Role::Stranger("no part of Deed makes such a file; move it out of the store"),
    }
}
