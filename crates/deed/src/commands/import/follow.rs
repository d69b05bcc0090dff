//! `deed import --follow`: files that grow, are given other names, or are cut short.
//!
//! Pieces of whole lines are sent, and only then is the position kept: killed at any time, it goes on behind
//! what was acknowledged, or before it, which adds nothing.

use std::{
    collections::BTreeMap,
    fs, io, mem,
    path::{Path, PathBuf},
    time::Duration,
};

use deed_collect::source;

use super::{
    RejectedEvent, Spot,
    position::{FileId, Positions},
    reading::{Batch, Reads},
    summary::Summary,
    tail::{Piece, Tail},
};
use crate::{
    access::Access,
    cli::Import,
    commands::records::send_each,
    exit::{Failure, Outcome},
    inputs::{self, Found},
    progress::Progress,
    stop::Stop,
};

/// How often files are looked at that have no new lines.
const PAUSE: Duration = Duration::from_millis(400);

/// Follows everything below `import.paths` until `stop` is asked for.
pub(super) async fn follow(
    access: &Access,
    import: &Import,
    reads: Reads,
    positions: Positions,
    summary: &mut Summary,
    stop: &Stop,
) -> Outcome {
    // Positions outlast this process, which may be started elsewhere the next time.
    let paths = import.paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let mut followed = Followed { reads, paths: paths.collect(), positions, tails: BTreeMap::new() };
    let progress = Progress::spinner();
    while !stop.is_asked() {
        let (back, read) = off_thread(followed, Followed::read).await?;
        followed = back;
        let idle = read.is_empty();
        for (id, piece) in read {
            if let Some(source) = piece.began {
                summary.file(Some(source.to_string()));
            }
            send(access, import, followed.name_of(id), &piece, summary).await?;
            followed = off_thread(followed, move |followed| followed.done(id, &piece)).await?.0;
            progress.tell(|| summary.line());
            if stop.is_asked() {
                return Ok(());
            }
        }
        if idle {
            tokio::select! {
                () = stop.asked() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
    Ok(())
}

/// Sends everything of `piece`; what is not taken is told.
async fn send(
    access: &Access,
    import: &Import,
    file: std::sync::Arc<str>,
    piece: &Piece,
    summary: &mut Summary,
) -> Outcome {
    let mut batch = Batch::default();
    for event in &piece.events {
        match event {
            Ok(mapped) => {
                let place = Spot { file: file.clone(), line: mapped.line };
                if batch.add(place, mapped.record.clone()) {
                    send_batch(access, import, mem::take(&mut batch), summary).await?;
                }
            }
            Err(rejected) => {
                let place = Spot { file: file.clone(), line: rejected.line };
                summary.rejected(RejectedEvent { place, error: rejected.error.clone() })?;
            }
        }
    }
    send_batch(access, import, batch, summary).await
}

async fn send_batch(access: &Access, import: &Import, batch: Batch, summary: &mut Summary) -> Outcome {
    if batch.records.is_empty() {
        return Ok(());
    }
    let sent = send_each(access, &batch.texts(), import.again).await?;
    summary.sent(&batch, sent)
}

/// Everything that is followed.
struct Followed {
    reads: Reads,
    paths: Vec<PathBuf>,
    positions: Positions,
    tails: BTreeMap<FileId, Tail>,
}

impl Followed {
    /// The next piece of each file that has one.
    fn read(&mut self) -> Result<Vec<(FileId, Piece)>, Failure> {
        let names = self.look()?;
        let mut read = Vec::new();
        let mut over = Vec::new();
        for (id, tail) in &mut self.tails {
            // Under its name stands another file by now.
            let renamed = !names.iter().any(|(named, path)| named == id && path == tail.path());
            let last = renamed && tail.is_quiet();
            match tail.read(&self.reads, last).map_err(|error| failed(&tail.name, &error))? {
                Some(piece) => read.push((*id, piece)),
                None if last => over.push(*id),
                None => {}
            }
        }
        for id in over {
            self.tails.remove(&id);
        }
        Ok(read)
    }

    /// Finds the files that are to be followed, and those that were and are called otherwise now.
    fn look(&mut self) -> Result<Vec<(FileId, PathBuf)>, Failure> {
        let mut found = Vec::new();
        inputs::walk(&self.paths, &mut |what| {
            if let Found::File(path) = what {
                found.push(path);
            }
            // What is not there yet, or cannot be looked at for the moment, is looked for again.
            true
        });
        let mut names = Vec::new();
        for path in found {
            if let Some(id) = identity(&path) {
                names.push((id, path));
            }
        }
        let rotated = self.paths.iter().flat_map(|path| self.rotated(path)).collect::<Vec<_>>();
        for (id, path) in names.iter().chain(&rotated) {
            let is_followed = self.tails.contains_key(id);
            if is_followed || path.extension().is_some_and(|ending| ending == "gz") {
                continue;
            }
            match Tail::open(path, *id, &self.positions) {
                Ok(Some(tail)) => drop(self.tails.insert(*id, tail)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path.display(), &error)),
            }
        }
        Ok(names)
    }

    /// Files beside `path` that were followed under that name before this process began.
    fn rotated(&self, path: &Path) -> Vec<(FileId, PathBuf)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let name = name.to_string_lossy();
        entries
            .flatten()
            .filter(|entry| {
                let beside = entry.file_name();
                let beside = beside.to_string_lossy();
                beside.starts_with(&*name) && beside != name && source::no_log(&beside).is_none()
            })
            .filter_map(|entry| Some((identity(&entry.path())?, entry.path())))
            .filter(|(id, _)| !self.tails.contains_key(id) && self.positions.was_called(*id, path))
            .collect()
    }

    fn name_of(&self, id: FileId) -> std::sync::Arc<str> {
        self.tails.get(&id).map_or_else(|| "a file".into(), |tail| tail.name.clone())
    }

    fn done(&mut self, id: FileId, piece: &Piece) -> Outcome {
        let Some(tail) = self.tails.get_mut(&id) else { return Ok(()) };
        tail.done(piece, &self.positions).map_err(|error| {
            Failure::new("failed to keep how far a file was followed").detail(error.to_string())
        })
    }
}

/// Which file `path` names; `None` where there is none, or it is no file.
fn identity(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(FileId::of(&metadata))
}

fn failed(name: &dyn std::fmt::Display, error: &io::Error) -> Failure {
    Failure::new(format!("failed to follow `{name}`")).detail(error.to_string())
}

/// Does `work`, which waits for the disk, where nothing else waits with it.
async fn off_thread<T: Send + 'static>(
    mut followed: Followed,
    work: impl FnOnce(&mut Followed) -> Result<T, Failure> + Send + 'static,
) -> Result<(Followed, T), Failure> {
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&mut followed)?;
        Ok((followed, result))
    });
    done.await.map_err(|error| Failure::new(error.to_string()))?
}
