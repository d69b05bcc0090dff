//! The journal: where an append becomes durable.
//!
//! A few files of one fixed size, zero-filled when made and used again once everything in them is in
//! packs (a sync of such a file is several times faster than of a growing one). One [`Journal::commit`]
//! writes one frame and syncs it. A frame belongs to a *generation*: each use of a file has a new one,
//! and every checksum covers it, so that valid frames of an earlier use are never taken for new ones.
//!
//! A journal that is opened again goes on in its newest file, behind the last whole frame. At most one
//! frame of the same generation can stand there: one that was cut short, for nothing is written behind a
//! frame that was not synced. Zeros are made durable in its place before another frame is written. The
//! first files of a store are small, each four times the one before, up to the full size.
//!
//! After a failed write or sync the state of the disk is unknown: the journal refuses everything from
//! then on ([`JournalError::Broken`]). It is never retried as if it had not happened (D2): a second sync
//! would succeed although the system has dropped what it could not write.

mod disk;
pub(crate) mod frame;
mod recover;

#[cfg(test)]
pub(crate) mod crashes;
#[cfg(test)]
pub(crate) mod sim;

use std::{io, path::Path, sync::Arc};

pub(crate) use disk::{Disk, DiskFile, Folder};
pub(crate) use frame::{Entry, Frame, FrameBuilder};
use recover::FoundFile;
pub use recover::JournalDamage;
pub(crate) use recover::Torn;

/// Where frames begin; the header has the first block for itself.
pub(crate) const HEADER: u64 = 4096;
const MAGIC: &[u8; 8] = b"deedjrn1";
pub(crate) const FOLDER: &str = "journal";
/// The first file of a store has this size, if full ones are larger.
const FIRST_BYTES: u64 = 4 << 20;
/// How much of a new file is made durable at a time, in bytes.
const PIECE: u64 = 1 << 20;

/// Appends frames, one at a time, from one thread.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    /// The file that frames go to now; none before the first commit of all, and when all is in packs.
    current: Option<Current>,
    /// Files whose leaves are not all in packs yet, oldest first.
    full: Vec<Slot>,
    /// Files ready to be used again.
    spare: Vec<Slot>,
    generation: u64,
    next_slot: u32,
    broken: Option<String>,
}

struct Current {
    slot: Slot,
    /// Of this use of the file.
    generation: u64,
    /// Where in it the next frame goes.
    at: u64,
    /// What a frame cut short left there ends here; below `at` if there is nothing.
    torn_to: u64,
    /// The last frame that was found in it, until it is known to be durable.
    unsure: Option<(u64, Vec<u8>)>,
}

impl Current {
    /// Makes durable that nothing stands where the next frame goes.
    fn clear(&mut self) -> io::Result<()> {
        if let Some(length) = self.torn_to.checked_sub(self.at).filter(|length| *length > 0) {
            fill(&*self.slot.file, self.at, length)?;
            self.torn_to = 0;
        }
        Ok(())
    }
}

struct Slot {
    file: Box<dyn DiskFile>,
    name: String,
    bytes: u64,
    /// One past the last leaf in it.
    end: u64,
}

impl Slot {
    fn of(spare: Spare) -> Self {
        Slot { file: spare.file, name: spare.name, bytes: spare.bytes, end: 0 }
    }
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

/// The journal's folder in the store `dir`, made if it is not there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn folder(dir: &Path) -> Result<Folder, JournalDamage> {
    let path = dir.join(FOLDER);
    crate::store::make_folder(&path).map_err(JournalDamage::io(FOLDER))?;
    Ok(Folder(path))
}

impl Journal {
    /// Opens the journal on `disk` and reads what is not in packs yet: leaves from `packed` on. Nothing is
    /// written: the first thing to do with what was found good is [`Journal::settle`].
    ///
    /// # Errors
    /// Damage that a crash cannot explain, or a folder that cannot be read or written.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        file_bytes: u64,
        packed: u64,
    ) -> Result<Recovered, JournalDamage> {
        let found = recover::read(&*disk, packed, true)?;
        let mut journal = Journal {
            disk,
            file_bytes,
            current: None,
            full: Vec::new(),
            spare: Vec::new(),
            generation: found.files.iter().map(|file| file.generation).max().unwrap_or(0),
            next_slot: found.files.iter().map(|file| file.slot.saturating_add(1)).max().unwrap_or(0),
            broken: None,
        };
        for file in found.files {
            let FoundFile { generation, at, torn_to, last: unsure, size: bytes, .. } = file;
            // A file of another size was made under another setting, or cut short.
            let usual = bytes == file_bytes || file.end == 0 && bytes == journal.bytes_of(file.slot);
            let slot = Slot { file: file.file, name: file.name, bytes, end: file.end };
            // Where there is no frame, the header may not be durable: such a file is begun anew.
            if generation == journal.generation && slot.end > packed {
                journal.current = Some(Current { slot, generation, at, torn_to, unsure });
            } else if slot.end > packed || !usual {
                // `release` removes it once nothing needs it, and not before what was signed has been
                // found whole.
                journal.full.push(slot);
            } else {
                journal.spare.push(slot);
            }
        }
        journal.full.sort_by_key(|slot| slot.end);
        Ok(Recovered { journal, frames: found.frames, torn: found.torn })
    }

    /// Whether there is no file of it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.current.is_none() && self.full.is_empty() && self.spare.is_empty()
    }

    /// Makes durable what was read. A process that was killed between a write and its sync, or after a sync
    /// that failed, left its last frame where we see it and a power cut loses it; from now on it counts.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn settle(&mut self) -> Result<(), JournalDamage> {
        self.disk.sync().map_err(JournalDamage::io(FOLDER))?;
        let Some(current) = &mut self.current else { return Ok(()) };
        if let Some((at, bytes)) = current.unsure.take() {
            // Written again, for after a failed sync the system takes what it dropped for written. Every
            // frame before was synced, or the next one had not been begun.
            let Slot { file, name, .. } = &current.slot;
            file.write_all_at(&bytes, at).and_then(|()| file.sync()).map_err(JournalDamage::io(name))?;
        }
        Ok(())
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
        let current = match &mut self.current {
            Some(current) if current.at.saturating_add(length) <= current.slot.bytes => current,
            _ => self.advance(frame.first(), length)?,
        };
        debug_assert!(current.unsure.is_none(), "what was found is made durable first");
        let cleared = current.clear();
        let Slot { file, name, end, .. } = &mut current.slot;
        // INVARIANT D2: acknowledged only after this returned.
        let bytes = frame.finish(current.generation);
        let written = cleared.and_then(|()| file.write_all_at(bytes, current.at)).and_then(|()| file.sync());
        let problem = match written.and_then(|()| file.has_name()) {
            Ok(true) => {
                current.at += length;
                *end = frame.end();
                return Ok(());
            }
            // A synced file that nobody can find again is no record (the folder was deleted under us).
            Ok(false) => format!("`{FOLDER}/{name}` was deleted"),
            Err(error) => format!("failed to sync `{FOLDER}/{name}`: {error}"),
        };
        Err(self.breaks(problem))
    }

    /// Whether a spare file should be made ready, so that no commit has to wait for one. Not before it is
    /// likely to be used: a process that appends little has no use for it.
    pub(crate) fn wants_spare(&self) -> bool {
        let half_full = |current: &Current| current.at > current.slot.bytes / 2;
        self.spare.is_empty() && self.broken.is_none() && self.current.as_ref().is_some_and(half_full)
    }

    /// What makes a spare file. Each has a name of its own: one may be at work while a commit that
    /// could not wait makes another.
    pub(crate) fn spare_maker(&mut self) -> SpareMaker {
        let slot = self.next_slot;
        self.next_slot += 1;
        SpareMaker { disk: self.disk.clone(), name: format!("{slot:04}.journal"), bytes: self.bytes_of(slot) }
    }

    /// The size of the file numbered `slot`.
    fn bytes_of(&self, slot: u32) -> u64 {
        self.file_bytes.min(FIRST_BYTES << (2 * slot.min(16)))
    }

    /// Takes a file that [`SpareMaker::make`] made.
    pub(crate) fn add_spare(&mut self, spare: Spare) {
        self.spare.push(Slot::of(spare));
    }

    /// Frees files all of whose leaves are below `packed`.
    pub(crate) fn release(&mut self, packed: u64) {
        let (free, full): (Vec<Slot>, _) =
            std::mem::take(&mut self.full).into_iter().partition(|slot| slot.end <= packed);
        self.full = full;
        for slot in free {
            // Two are enough for the steady state; a backlog that made more gives its space back.
            if slot.bytes == self.file_bytes && self.spare.len() < 2 {
                self.spare.push(slot);
            } else if let Err(error) = self.disk.remove(&slot.name) {
                tracing::warn!(file = slot.name, %error, "a journal file that is not needed stays behind");
            }
        }
    }

    /// Goes on in a fresh file. Nothing of the old one changes, so that a failure here loses nothing.
    fn advance(&mut self, first: u64, length: u64) -> Result<&mut Current, JournalError> {
        let needed = HEADER + length;
        let spare = self.spare.pop_if(|spare| needed <= spare.bytes);
        let slot = match spare {
            Some(slot) => slot,
            None => {
                // A frame larger than a file gets one for itself.
                let mut maker = self.spare_maker();
                maker.bytes = needed.max(maker.bytes);
                Slot::of(maker.make().map_err(JournalError::NoRoom)?)
            }
        };
        let written =
            slot.file.write_all_at(&header(self.generation + 1, first), 0).and_then(|()| slot.file.sync());
        if let Err(error) = written {
            return Err(self.breaks(format!("failed to sync `{FOLDER}/{}`: {error}", slot.name)));
        }
        self.generation += 1;
        self.full.extend(self.current.take().map(|old| old.slot));
        let generation = self.generation;
        Ok(self.current.insert(Current { slot, generation, at: HEADER, torn_to: 0, unsure: None }))
    }

    fn breaks(&mut self, why: String) -> JournalError {
        self.broken = Some(why.clone());
        JournalError::Broken(why)
    }
}

/// What stands in a journal that somebody else may hold.
#[derive(Default)]
pub(crate) struct ReadOnly {
    pub(crate) frames: Vec<Frame>,
    /// Where they end.
    pub(crate) torn: Option<Torn>,
    /// Files that were used, and of which nothing is needed.
    pub(crate) spent: Vec<String>,
    /// Files without a header that makes sense: no frame of theirs can be told.
    pub(crate) blank: Vec<String>,
}

/// The frames with leaves at or above `packed` of the journal in `dir`, touching nothing.
pub(crate) fn read_only(dir: &Path, packed: u64) -> Result<ReadOnly, JournalDamage> {
    let path = dir.join(FOLDER);
    if !path.is_dir() {
        return Ok(ReadOnly::default());
    }
    let found = recover::read(&Folder(path), packed, false)?;
    let (spent, mut rest): (Vec<_>, Vec<_>) = found.files.into_iter().partition(|file| file.is_spent);
    rest.retain(|file| file.generation == 0);
    let names = |files: Vec<recover::FoundFile>| files.into_iter().map(|file| file.name).collect();
    Ok(ReadOnly { frames: found.frames, torn: found.torn, spent: names(spent), blank: names(rest) })
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
    disk: Arc<dyn Disk>,
    name: String,
    bytes: u64,
}

/// A zero-filled, synced file.
pub(crate) struct Spare {
    file: Box<dyn DiskFile>,
    name: String,
    bytes: u64,
}

impl SpareMaker {
    /// Writes every block: space only reserved would cost a metadata update at each sync.
    pub(crate) fn make(self) -> io::Result<Spare> {
        let file = self.disk.create(&self.name)?;
        let make = || -> io::Result<()> {
            // Where there is no room, this says so before the last of it is taken.
            file.allocate(self.bytes)?;
            fill(&*file, 0, self.bytes)?;
            self.disk.sync()
        };
        match make() {
            Ok(()) => Ok(Spare { file, name: self.name, bytes: self.bytes }),
            Err(error) => {
                // Half a file on a full disk only keeps it full.
                if let Err(left) = self.disk.remove(&self.name) {
                    tracing::warn!(file = self.name, error = %left, "an unfinished journal file stays behind");
                }
                Err(error)
            }
        }
    }
}

/// Makes durable that there are `length` zeros from `at` on. Piece by piece, for commits wait for the same disk: behind
/// all of it at once they would wait long.
fn fill(file: &dyn DiskFile, at: u64, length: u64) -> io::Result<()> {
    let zeros = vec![0; length.min(PIECE) as usize];
    let mut written = 0;
    while written < length {
        let now = zeros.len().min((length - written) as usize);
        file.write_all_at(&zeros[..now], at + written)?;
        file.sync()?;
        written += now as u64;
    }
    Ok(())
}
