//! `deed export`: with `--tiles` the log as a folder of files that anyone can serve and verify; with `--format` what
//! stands in it, in another format.

mod ocsf;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use deed_seal::{
    checkpoint::Checkpoint,
    merkle::{consistency_proof, verify_consistency},
    note::MAX_NOTE,
    tile::{TilePath, TileTree, TileTreeError},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::{runtime::Handle, task::spawn_blocking};

use crate::{
    access::{Access, Need},
    cli::{Export, Global},
    client::Request,
    exit::{Failure, Outcome},
    hint::Hint,
    output::{Output, clean, grouped, shell_word},
    progress::Progress,
    stop::Stop,
};

/// Tiles that are fetched at a time.
const UNDER_WAY: usize = 8;

pub(crate) async fn run(global: &Global, export: Export, output: Output, stop: &Stop) -> Outcome {
    let Some(tiles) = &export.tiles else { return ocsf::run(global, &export, output, stop).await };
    let access = Access::open(global, Need::Existing)?;
    let written = access
        .finish(write_log(&access, tiles).await)
        .await
        .map_err(|failure| failure.doing(format!("export the log to `{}`", tiles.display())))?;
    let dir = tiles.display().to_string();
    if output.json {
        return output.document(&json!({
            "dir": dir, "origin": written.head.origin, "size": written.head.size, "root": written.head.root.to_string(),
            "files": written.files, "kept": written.kept,
        }));
    }
    output.print(&format!(
        "{} leaves in `{}`: {} files written, {} there before\n  next  {}\n",
        grouped(written.head.size),
        clean(&dir),
        grouped(written.files),
        grouped(written.kept),
        Hint::of(global).anywhere(&format!("verify {}", shell_word(&dir))),
    ))
}

struct Written {
    head: Checkpoint,
    files: u64,
    /// Files that were there already.
    kept: u64,
}

/// The newest checkpoint that was written out whole.
const SHOWN: &str = "checkpoint";
/// The checkpoint whose tiles are being written: what an export leaves that was cut short.
const UNDER_WAY_TO: &str = "checkpoint.next";
/// That file, cut short itself.
const PART: &str = "checkpoint.part";

/// Writes every tile of the newest checkpoint, then the checkpoint: whoever reads meanwhile finds the
/// tree of the checkpoint that is there whole.
async fn write_log(access: &Access, dir: &Path) -> Result<Written, Failure> {
    let note = access.call(&Request::get("/checkpoint").at_most(MAX_NOTE)).await?.good()?;
    let (head, _) = Checkpoint::open_unverified(&note).map_err(|error| Failure::new(error.to_string()))?;
    let earlier = earlier(dir, &head)?;
    for earlier in &earlier {
        continues(access, earlier, &head).await?;
    }
    // Nothing is written before it is known whose the folder is: no tile of another history of the log comes into it (D3).
    let next = dir.join(UNDER_WAY_TO);
    write(&next, &note).map_err(|error| unwritten(&next, &error))?;
    // A tile never changes: one that belongs to a tree that is there is the one that would be written.
    let is_of_earlier = |tile: &TilePath| {
        earlier.iter().any(|Checkpoint { size, .. }| match *tile {
            TilePath::Hashes { level, index, .. } => TilePath::hashes(level, index, *size) == Some(*tile),
            TilePath::Entries { index, .. } => TilePath::entries(index, *size) == Some(*tile),
        })
    };
    let progress = Progress::bar(TilePath::all(head.size).count() as u64, "files");
    let written: Vec<bool> = stream::iter(TilePath::all(head.size))
        .map(|tile| {
            let (progress, is_of_earlier) = (&progress, &is_of_earlier);
            async move {
                let path = dir.join(tile.to_string());
                let there = path.exists();
                if there && !is_of_earlier(&tile) {
                    return Err(Failure::new(format!(
                        "cannot write `{}`: another is there, which no checkpoint vouches for",
                        path.display()
                    ))
                    .detail("choose a new or empty folder"));
                }
                if !there {
                    write(&path, &fetch(access, &tile).await?).map_err(|error| unwritten(&path, &error))?;
                }
                progress.step(1);
                Ok(!there)
            }
        })
        .buffer_unordered(UNDER_WAY)
        .try_collect()
        .await?;
    let shown = dir.join(SHOWN);
    fs::rename(&next, &shown).map_err(|error| unwritten(&shown, &error))?;
    let files = written.iter().filter(|written| **written).count() as u64;
    Ok(Written { head, files: files + 1, kept: written.len() as u64 - files })
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write `{}`: {error}", path.display()))
}

async fn fetch(access: &Access, tile: &TilePath) -> Result<Bytes, Failure> {
    access.call(&Request::get(format!("/{tile}")).at_most(tile.max_len())).await?.good()
}

/// Whether the log of `head` continues the one of `earlier`: what was once shown of a log is not replaced by another (D3).
async fn continues(access: &Access, earlier: &Checkpoint, head: &Checkpoint) -> Result<(), Failure> {
    let (access, runtime, old, new) = (access.clone(), Handle::current(), earlier.size, head.size);
    let proof = spawn_blocking(move || {
        let tile =
            |level, index, width| runtime.block_on(fetch(&access, &TilePath::Hashes { level, index, width }));
        consistency_proof(old, new, TileTree::new(new, tile))
    });
    let proof =
        proof.await.map_err(|error| Failure::new(error.to_string()))?.map_err(|error| match error {
            TileTreeError::Source(failure) => failure,
            error => Failure::new(error.to_string()),
        })?;
    verify_consistency(old, new, &proof, &earlier.root, &head.root).map_err(|_| {
        Failure::new(format!("the folder holds {old} leaves that this log does not continue")).detail(
            "it is another history of the same log: keep both, and compare with `deed verify --since`",
        )
    })
}

/// The earlier states of the same log that `dir` holds: the one that was written out, and the one that was cut short.
/// Nothing else may be written into.
fn earlier(dir: &Path, head: &Checkpoint) -> Result<Vec<Checkpoint>, Failure> {
    let unusable = |error: io::Error| Failure::new(error.to_string());
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(error)),
    };
    let mut earlier = Vec::new();
    for name in [SHOWN, UNDER_WAY_TO] {
        let there = match fs::read(dir.join(name)) {
            Ok(note) => {
                Checkpoint::open_unverified(&note)
                    .map_err(|error| Failure::new(format!("its `{name}` is none: {error}")))?
                    .0
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(error)),
        };
        if there.origin != head.origin {
            return Err(Failure::new(format!("the folder holds another log, `{}`", there.origin))
                .detail("choose a new or empty folder"));
        }
        if there.size > head.size {
            return Err(Failure::new(format!(
                "the folder holds {} leaves, more than the {} of the log",
                there.size, head.size
            ))
            .detail("the log was rolled back, or this is an old copy: compare with `deed verify --since`"));
        }
        earlier.push(there);
    }
    if earlier.is_empty() && !entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == PART)) {
        return Err(Failure::new("the folder holds something else").detail("choose a new or empty folder"));
    }
    Ok(earlier)
}

/// Writes a file whole, or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}
