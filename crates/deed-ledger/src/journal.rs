//! The journal: where an append becomes durable.
//!
//! A few files of one fixed size, zero-filled when made and used again once everything in them is in
//! packs (a sync of such a file is several times faster than of a growing one). One [`Journal::commit`]
//! writes one frame and syncs it. A frame belongs to a *generation*: each use of a file has a new one,
//! and every checksum covers it, so that valid frames of an earlier use are never taken for new ones.
//!
//! After a failed write or sync the state of the disk is unknown: the journal refuses everything from
//! then on ([`JournalError::Broken`]). It is never retried as if it had not happened (D2).

mod frame;
mod recover;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

pub(crate) use frame::{Entry, Frame, FrameBuilder};
pub use recover::JournalDamage;
pub(crate) use recover::Torn;

/// Where frames begin; the header has the first block for itself.
pub(crate) const HEADER: u64 = 4096;
const MAGIC: &[u8; 8] = b"deedjrn1";
const FOLDER: &str = "journal";

/// Appends frames, one at a time, from one thread.
pub(crate) struct Journal {
    folder: PathBuf,
    file_bytes: u64,
    /// The file that frames go to now.
    current: Slot,
    /// Where in it the next frame goes.
    at: u64,
    /// Files whose leaves are not all in packs yet, oldest first.
    full: Vec<Slot>,
    /// Files ready to be used again.
    spare: Vec<Slot>,
    generation: u64,
    next_slot: u32,
    broken: Option<String>,
}

struct Slot {
    file: File,
    path: PathBuf,
    /// One past the last leaf in it.
    end: u64,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Nothing was written; the same commit may succeed later (no space for another file).
    #[error("failed to make room in the journal: {0}")]
    NoRoom(io::Error),
    /// What is on the disk is unknown: nothing more is taken until the store is opened anew.
    #[error("the journal is broken: {0}")]
    Broken(String),
}

/// What a journal held when it was opened.
pub(crate) struct Recovered {
    pub(crate) journal: Journal,
    /// Frames with leaves at or above the asked-for index, in order, without gaps.
    pub(crate) frames: Vec<Frame>,
    /// A frame that a crash cut short: never acknowledged, and dropped.
    pub(crate) torn: Option<Torn>,
}

impl Journal {
    /// Opens the journal of the store in `dir` and reads what is not in packs yet: leaves from `packed` on.
    ///
    /// # Errors
    /// Damage that a crash cannot explain, or a folder that cannot be read or written.
    pub(crate) fn open(dir: &Path, file_bytes: u64, packed: u64) -> Result<Recovered, JournalDamage> {
        let folder = dir.join(FOLDER);
        crate::store::make_folder(&folder).map_err(JournalDamage::io(&folder))?;
        let found = recover::read(&folder, packed, true)?;
        let generation = found.files.iter().map(|file| file.generation).max().unwrap_or(0);
        let next_slot = found.files.iter().map(|file| file.slot + 1).max().unwrap_or(0);
        let mut journal = Journal {
            current: Slot {
                file: File::open(&folder).map_err(JournalDamage::io(&folder))?,
                path: folder.clone(),
                end: 0,
            },
            folder,
            file_bytes,
            at: u64::MAX, // nothing fits: the first commit takes a fresh file
            full: Vec::new(),
            spare: Vec::new(),
            generation,
            next_slot,
            broken: None,
        };
        for file in found.files {
            let slot = Slot { file: file.file, path: file.path, end: file.end };
            // A file of another size was made under another setting, or cut short: `release` removes it
            // once nothing needs it, and not before what was signed has been found whole.
            if slot.end > packed || file.size != file_bytes {
                journal.full.push(slot)
            } else {
                journal.spare.push(slot)
            }
        }
        journal.full.sort_by_key(|slot| slot.end);
        Ok(Recovered { journal, frames: found.frames, torn: found.torn })
    }

    /// Makes `frame` durable. When this returns `Ok`, it survives anything but the loss of the disk.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub(crate) fn commit(&mut self, frame: &mut FrameBuilder) -> Result<(), JournalError> {
        if let Some(why) = &self.broken {
            return Err(JournalError::Broken(why.clone()));
        }
        let length = frame.len() as u64;
        if self.at.saturating_add(length) > self.file_bytes {
            self.advance(frame.first(), length)?;
        }
        let bytes = frame.finish(self.generation);
        // INVARIANT D2: acknowledged only after this returned.
        let written =
            self.current.file.write_all_at(bytes, self.at).and_then(|()| self.current.file.sync_data());
        if let Err(error) = written {
            return Err(self.breaks(format!("failed to sync `{}`: {error}", self.current.path.display())));
        }
        // A synced file that nobody can find again is no record (the folder was deleted under us).
        match self.current.file.metadata() {
            Ok(meta) if meta.nlink() > 0 => {}
            Ok(_) => return Err(self.breaks(format!("`{}` was deleted", self.current.path.display()))),
            Err(error) => {
                return Err(
                    self.breaks(format!("failed to check `{}`: {error}", self.current.path.display()))
                );
            }
        }
        self.at += length;
        self.current.end = frame.end();
        Ok(())
    }

    /// Whether a spare file should be made ready, so that no commit has to wait for one.
    pub(crate) fn wants_spare(&self) -> Option<SpareMaker> {
        (self.spare.is_empty() && self.broken.is_none()).then(|| SpareMaker {
            path: self.folder.join(format!("{:04}.journal", self.next_slot)),
            bytes: self.file_bytes,
        })
    }

    /// Takes a file that [`SpareMaker::make`] made.
    pub(crate) fn add_spare(&mut self, spare: Spare) {
        self.next_slot += 1;
        self.spare.push(Slot { file: spare.file, path: spare.path, end: 0 });
    }

    /// Frees files all of whose leaves are below `packed`.
    pub(crate) fn release(&mut self, packed: u64) {
        let (free, full): (Vec<Slot>, _) =
            std::mem::take(&mut self.full).into_iter().partition(|slot| slot.end <= packed);
        self.full = full;
        for slot in free {
            let right_size = slot.file.metadata().is_ok_and(|meta| meta.len() == self.file_bytes);
            // Two are enough for the steady state; a backlog that made more gives its space back.
            if right_size && self.spare.len() < 2 {
                self.spare.push(slot);
            } else if let Err(error) = fs::remove_file(&slot.path) {
                tracing::warn!(path = %slot.path.display(), %error, "a journal file that is not needed stays behind");
            }
        }
    }

    /// Goes on in a fresh file. Nothing of the old one changes, so that a failure here loses nothing.
    fn advance(&mut self, first: u64, length: u64) -> Result<(), JournalError> {
        if HEADER + length > self.file_bytes {
            return Err(JournalError::NoRoom(io::Error::other("one commit is larger than a journal file")));
        }
        let slot = match self.spare.pop() {
            Some(slot) => slot,
            None => {
                let maker = SpareMaker {
                    path: self.folder.join(format!("{:04}.journal", self.next_slot)),
                    bytes: self.file_bytes,
                };
                let spare = maker.make().map_err(JournalError::NoRoom)?;
                self.next_slot += 1;
                Slot { file: spare.file, path: spare.path, end: 0 }
            }
        };
        let header = header(self.generation + 1, first);
        if let Err(error) = slot.file.write_all_at(&header, 0).and_then(|()| slot.file.sync_data()) {
            return Err(self.breaks(format!("failed to sync `{}`: {error}", slot.path.display())));
        }
        self.generation += 1;
        let old = std::mem::replace(&mut self.current, slot);
        if self.at != u64::MAX {
            self.full.push(old);
        }
        self.at = HEADER;
        Ok(())
    }

    fn breaks(&mut self, why: String) -> JournalError {
        self.broken = Some(why.clone());
        JournalError::Broken(why)
    }
}

/// The frames with leaves at or above `packed` of the journal in `dir`, and where they end, touching nothing.
pub(crate) fn read_only(dir: &Path, packed: u64) -> Result<(Vec<Frame>, Option<Torn>), JournalDamage> {
    let folder = dir.join(FOLDER);
    if !folder.is_dir() {
        return Ok((Vec::new(), None));
    }
    let found = recover::read(&folder, packed, false)?;
    Ok((found.frames, found.torn))
}

fn header(generation: u64, first: u64) -> [u8; 28] {
    let mut header = [0; 28];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&generation.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Makes a zero-filled file, away from the thread that commits.
pub(crate) struct SpareMaker {
    path: PathBuf,
    bytes: u64,
}

/// A zero-filled, synced file.
pub(crate) struct Spare {
    file: File,
    path: PathBuf,
}

impl SpareMaker {
    /// Writes every block: space only reserved would cost a metadata update at each sync.
    pub(crate) fn make(self) -> io::Result<Spare> {
        let make = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
            let zeros = vec![0; 1 << 20];
            let mut left = self.bytes;
            while left > 0 {
                let now = left.min(zeros.len() as u64);
                file.write_all(&zeros[..now as usize])?;
                left -= now;
            }
            file.sync_all()?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(Spare { file, path: self.path }),
            Err(error) => {
                // Half a file on a full disk only keeps it full.
                if let Err(left) = fs::remove_file(&self.path) {
                    tracing::warn!(path = %self.path.display(), error = %left, "an unfinished journal file stays behind");
                }
                Err(error)
            }
        }
    }
}
