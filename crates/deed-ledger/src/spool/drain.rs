//! What waited goes into the log, in order, once.

use std::{
    fs::{self, File},
    io,
    sync::{PoisonError, atomic::Ordering},
};

use deed_record::Skeleton;

use super::{
    Spool, Waiting,
    file::{self, scan},
};
use crate::{AppendError, Sender, append::Placed, journal::Frame, sealer::Batch};

/// So many bytes are appended together.
const TOGETHER: usize = 4 << 20;

/// What is said of a file once all of it is in the log: records with ids of their own, and who sends them.
pub type Told = Vec<(Vec<u8>, Sender)>;

impl Spool {
    /// Appends everything that waits to the log, and empties the spool; how many records it held. Once those of a file
    /// are in the log, what `tell` makes of them is appended too: the same each time, for a crash may be in between.
    ///
    /// A file with anything in it that cannot be read or appended is set aside, and named in Deed's log; the rest of
    /// it is in the log all the same.
    ///
    /// # Errors
    /// The log takes nothing, or the folder cannot be used; what was not appended still waits.
    pub fn drain(&self, tell: &dyn Fn(&[Skeleton<'_>]) -> Told) -> Result<u64, AppendError> {
        let _alone = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sealed = 0;
        loop {
            let mut state = self.lock();
            // Whatever comes now begins another file.
            state.open = None;
            let Some(first) = state.waiting.first().cloned() else {
                // Nothing is left of which it is not known whether it was written.
                state.broken = None;
                break;
            };
            drop(state);
            sealed += self.drain_file(&first, tell)?;
            self.lock().waiting.retain(|file| file.number != first.number);
        }
        if sealed > 0 {
            self.sealed.fetch_add(sealed, Ordering::Relaxed);
            let folder = self.options.folder.display();
            tracing::warn!(records = sealed, %folder, "the recorder works again: what was in the spool is in the log");
        }
        Ok(sealed)
    }

    fn drain_file(
        &self,
        waiting: &Waiting,
        tell: &dyn Fn(&[Skeleton<'_>]) -> Told,
    ) -> Result<u64, AppendError> {
        let path = file::path(&self.options.folder, waiting.number);
        let failed = |error: io::Error| self.refuses(&format!("`{}`: {error}", path.display()));
        let bytes = match fs::read(&path) {
            // Removed before a crash that came before its name was durably gone, or by somebody: it is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && waiting.records == 0 => return Ok(0),
            read => read.map_err(failed)?,
        };
        let found = scan(&bytes, waiting.number);
        if let Some(at) = found.torn {
            tracing::warn!(file = %path.display(), at, "a write to the spool was cut short; it was never acknowledged");
        }
        let mut problems = found.damaged;
        let frames = found.frames;
        let mut appended = Vec::new();
        let mut from = 0;
        while from < frames.len() {
            from = self.append_some(&frames, from, &mut appended, &mut problems)?;
        }
        let records: Vec<Skeleton<'_>> =
            appended.iter().filter_map(|leaf: &&[u8]| Skeleton::parse(leaf).ok()).collect();
        for (body, sender) in tell(&records) {
            match self.ledger.append(&body, &sender) {
                // It was said in other words before; said it is.
                Ok(_) | Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let done = match problems.is_empty() {
            true => fs::remove_file(&path),
            false => fs::rename(&path, file::path_aside(&self.options.folder, waiting.number)),
        };
        done.and_then(|()| File::open(&self.options.folder)?.sync_all()).map_err(failed)?;
        for (at, what) in &problems {
            tracing::error!(file = %path.display(), at, what, "not all of the spool could be read and appended; the file is set aside");
        }
        Ok(records.len() as u64)
    }

    /// Appends some of `frames`, from number `from` on; where the next ones begin.
    fn append_some<'f>(
        &self,
        frames: &'f [(u64, Frame)],
        from: usize,
        appended: &mut Vec<&'f [u8]>,
        problems: &mut Vec<(u64, String)>,
    ) -> Result<usize, AppendError> {
        let (mut batch, mut leaves, mut to) = (Batch::default(), Vec::new(), from);
        while let Some((at, frame)) = frames.get(to)
            && (to == from || batch.weight() < TOGETHER)
        {
            match batch.add_sealed(frame) {
                Ok(()) => leaves.extend(frame.entries.iter().map(|entry| (*at, entry.leaf.as_slice()))),
                Err(error) => problems.push((*at, error.to_string())),
            }
            to += 1;
        }
        if leaves.is_empty() {
            return Ok(to);
        }
        let placed = self.ledger.append_sealed(batch)?;
        for ((at, leaf), placed) in leaves.into_iter().zip(placed) {
            match placed {
                Placed::New(_) | Placed::Duplicate(..) => appended.push(leaf),
                Placed::Conflict(index, _) => {
                    problems.push((at, format!("leaf {index} is another record of the same id")));
                }
            }
        }
        Ok(to)
    }
}
