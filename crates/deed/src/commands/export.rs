//! `deed export`: with `--tiles` the log as a folder of files that anyone can serve and verify; with `--format` what
//! stands in it, in another format.

mod ocsf;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use deed_seal::{checkpoint::Checkpoint, tile::TilePath};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

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

/// Writes every tile of the newest checkpoint, then the checkpoint: whoever reads meanwhile finds the
/// tree of the checkpoint that is there whole.
async fn write_log(access: &Access, dir: &Path) -> Result<Written, Failure> {
    let note = access.call(&Request::get("/checkpoint")).await?.good()?;
    let (head, _) = Checkpoint::open_unverified(&note).map_err(|error| Failure::new(error.to_string()))?;
    continues(dir, &head)?;
    let progress = Progress::bar(TilePath::all(head.size).count() as u64, "files");
    let written: Vec<bool> = stream::iter(TilePath::all(head.size))
        .map(|tile| {
            let progress = &progress;
            async move {
                let path = dir.join(tile.to_string());
                // A tile never changes: one that is there is the one that would be written.
                let there = path.exists();
                if !there {
                    let bytes = access.call(&Request::get(format!("/{tile}"))).await?.good()?;
                    write(&path, &bytes).map_err(|error| {
                        Failure::new(format!("cannot write `{}`: {error}", path.display()))
                    })?;
                }
                progress.step(1);
                Ok::<bool, Failure>(!there)
            }
        })
        .buffer_unordered(UNDER_WAY)
        .try_collect()
        .await?;
    write(&dir.join("checkpoint"), &note)
        .map_err(|error| Failure::new(format!("cannot write the checkpoint: {error}")))?;
    let files = written.iter().filter(|written| **written).count() as u64;
    Ok(Written { head, files: files + 1, kept: written.len() as u64 - files })
}

/// Whether the log may be written into `dir`: it is new, empty, or holds an earlier state of the same log.
fn continues(dir: &Path, head: &Checkpoint) -> Result<(), Failure> {
    let unusable = |error: io::Error| Failure::new(error.to_string());
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(error)),
    };
    let there = match fs::read(dir.join("checkpoint")) {
        Ok(note) => {
            Checkpoint::open_unverified(&note)
                .map_err(|error| Failure::new(format!("its checkpoint is none: {error}")))?
                .0
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        // What an interrupted export leaves.
        Err(_) if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "tile")) => return Ok(()),
        Err(_) => {
            return Err(
                Failure::new("the folder holds something else").detail("choose a new or empty folder")
            );
        }
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
    Ok(())
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
