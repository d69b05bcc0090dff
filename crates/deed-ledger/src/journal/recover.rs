//! Reading a journal after a stop of any kind.

use std::io;

use super::{
    Disk, DiskFile, FOLDER, HEADER, MAGIC,
    frame::{self, FRAME_HEADER, Frame, Read},
};

/// A journal that a crash alone cannot have left. Nothing is repaired: the place is named.
#[derive(Debug, thiserror::Error)]
pub enum JournalDamage {
    /// Bytes before the end are not what was written.
    #[error("journal `{file}` is damaged at byte {at}: {what}; keep this copy and compare with a backup")]
    Frame {
        /// The file.
        file: String,
        /// Where in it.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// Leaves are missing between frames.
    #[error(
        "journal `{file}` goes on at leaf {found}, but leaf {expected} is missing; keep this copy and compare with a backup"
    )]
    Hole {
        /// The file that goes on too late.
        file: String,
        /// The leaf that should come.
        expected: u64,
        /// The leaf that comes.
        found: u64,
    },
    /// The file system failed.
    #[error("failed to read the journal `{file}`: {source}")]
    Io {
        /// The file or folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl JournalDamage {
    /// The file that it is found in.
    pub(crate) fn file(&self) -> &str {
        match self {
            JournalDamage::Frame { file, .. }
            | JournalDamage::Hole { file, .. }
            | JournalDamage::Io { file, .. } => file,
        }
    }

    pub(crate) fn io(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| JournalDamage::Io { file, source }
    }
}

pub(super) struct Found {
    pub(super) files: Vec<FoundFile>,
    pub(super) frames: Vec<Frame>,
    pub(super) torn: Option<Torn>,
}

/// Where the newest file stops making sense.
#[derive(Clone, Debug)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) at: u64,
    /// A frame was begun here in this use of the file; else there is just something, which may be old.
    pub(crate) begun: bool,
}

pub(super) struct FoundFile {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) name: String,
    pub(super) slot: u32,
    pub(super) size: u64,
    /// 0 if it was made but not used yet.
    pub(super) generation: u64,
    /// The first leaf this use of it was begun for.
    first: u64,
    /// All that this use of it holds is in packs.
    pub(super) is_spent: bool,
    pub(super) end: u64,
    /// Where its last whole frame ends.
    pub(super) at: u64,
    /// A frame cut short begins there, and takes the bytes to here.
    pub(super) torn_to: u64,
    /// The last frame of the newest file: where, and the bytes of it.
    pub(super) last: Option<(u64, Vec<u8>)>,
}

/// Reads every file of the journal: frames with leaves from `packed` on, in order.
pub(super) fn read(disk: &dyn Disk, packed: u64, write: bool) -> Result<Found, JournalDamage> {
    let mut files = list(disk, packed, write)?;
    files.sort_by_key(|file| (file.generation, file.slot));
    let mut found = Found { files: Vec::new(), frames: Vec::new(), torn: None };
    let newest = files.iter().rposition(|file| file.generation > 0);
    // Where the file after goes on, each leaf of this one is durable: one that went on within the packs
    // has no file before it that is needed.
    let needed = files.iter().rposition(|file| file.generation > 0 && file.first <= packed).unwrap_or(0);
    let used = files.get(needed.saturating_sub(1)..).unwrap_or_default();
    if let Some((file, copy)) = used
        .iter()
        .zip(used.iter().skip(1))
        .find(|(file, next)| file.generation > 0 && file.generation == next.generation)
    {
        let what = format!("it is a copy of `{}`, or that one of it: move one out of the journal", file.name);
        return Err(JournalDamage::Frame { file: copy.name.clone(), at: 0, what });
    }
    let mut next = packed;
    for (at, mut file) in files.into_iter().enumerate() {
        file.is_spent = file.generation > 0 && at < needed;
        if file.generation > 0 && at >= needed {
            // A file is begun only when every leaf before is durable.
            if file.first > next {
                return Err(JournalDamage::Hole { file: file.name, expected: next, found: file.first });
            }
            for frame in frames_of(&mut file, Some(at) == newest, &mut found.torn)? {
                if frame.end() <= packed {
                    continue;
                }
                if frame.first > next {
                    return Err(JournalDamage::Hole { file: file.name, expected: next, found: frame.first });
                }
                if frame.first < next && next > packed {
                    return Err(JournalDamage::Frame {
                        file: file.name,
                        at: HEADER,
                        what: format!("leaf {} was in the file before already", frame.first),
                    });
                }
                next = frame.end();
                found.frames.push(frame);
            }
        }
        found.files.push(file);
    }
    Ok(found)
}

fn list(disk: &dyn Disk, packed: u64, write: bool) -> Result<Vec<FoundFile>, JournalDamage> {
    let mut files = Vec::new();
    for name in disk.list().map_err(JournalDamage::io(FOLDER))? {
        let Some(slot) = name.strip_suffix(".journal").and_then(|n| n.parse::<u32>().ok()) else { continue };
        let file = disk.open(&name, write).map_err(JournalDamage::io(&name))?;
        let size = file.size().map_err(JournalDamage::io(&name))?;
        let (generation, first) = header_of(&*file, &name, packed)?;
        files.push(FoundFile {
            file,
            name,
            slot,
            size,
            generation,
            first,
            is_spent: false,
            end: 0,
            at: HEADER,
            torn_to: 0,
            last: None,
        });
    }
    Ok(files)
}

/// Generation and first leaf of a file; 0 for one that was made but not used yet.
fn header_of(file: &dyn DiskFile, name: &str, packed: u64) -> Result<(u64, u64), JournalDamage> {
    let io = || JournalDamage::io(name);
    let start = file.read_first(HEADER + FRAME_HEADER as u64).map_err(io())?;
    let Some(header) = start.get(..28) else { return Ok((0, 0)) };
    let u64_at = |at: usize| (0..8).fold(0, |all, byte| all | u64::from(header[at + byte]) << (8 * byte));
    let crc = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    if &header[..8] == MAGIC && crc == crc32c::crc32c(&header[..24]) {
        return Ok((u64_at(8), u64_at(16)));
    }
    if start.iter().all(|byte| *byte == 0) {
        return Ok((0, 0));
    }
    // A crash may cut the header short when a file is taken into use: then all that it held is in packs.
    let bytes = file.read_first(u64::MAX).map_err(io())?;
    let needed = |at: usize| frame::read_any(&bytes[at..]).is_some_and(|frame| frame.end() > packed);
    if frames_in(&bytes, HEADER as usize).any(needed) {
        return Err(JournalDamage::Frame {
            file: name.to_owned(),
            at: 0,
            what: "the file's header does not match its checksum".into(),
        });
    }
    Ok((0, 0))
}

/// All frames of one file. It may end in a frame cut short by a crash; anything else that is not a frame,
/// with frames of the same generation behind it, is damage.
fn frames_of(
    file: &mut FoundFile,
    newest: bool,
    torn: &mut Option<Torn>,
) -> Result<Vec<Frame>, JournalDamage> {
    let bytes = file.file.read_first(u64::MAX).map_err(JournalDamage::io(&file.name))?;
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = (HEADER as usize).min(bytes.len());
    let mut last = at;
    loop {
        let damaged = |at: usize, what: &str| JournalDamage::Frame {
            file: file.name.clone(),
            at: at as u64,
            what: what.to_owned(),
        };
        match frame::read(&bytes[at..], file.generation) {
            Read::Frame(frame, size) => {
                if let Some(before) = frames.last()
                    && before.end() != frame.first
                {
                    return Err(damaged(at, "a frame does not follow the one before it"));
                }
                frames.push(frame);
                last = at;
                at += size;
            }
            ending => {
                let later = frames_in(&bytes, at + 8)
                    .find(|at| !matches!(frame::read(&bytes[*at..], file.generation), Read::Nothing));
                if let Some(later) = later {
                    return Err(damaged(
                        at,
                        &format!("bytes between here and {later} are not what was written"),
                    ));
                }
                // In an older file it is what an earlier crash left: the next file then goes on exactly
                // where this one ends, or the leaves are missed there.
                let begun = matches!(ending, Read::Torn(_));
                let something = bytes[at..].iter().take(FRAME_HEADER).any(|byte| *byte != 0);
                if newest && (begun || something) {
                    *torn = Some(Torn { file: file.name.clone(), at: at as u64, begun });
                }
                file.end = frames.last().map_or(0, Frame::end);
                file.at = at as u64;
                if let Read::Torn(size) = ending {
                    file.torn_to = at.saturating_add(size).min(bytes.len()) as u64;
                }
                if newest && !frames.is_empty() {
                    file.last = Some((last as u64, bytes[last..at].to_vec()));
                }
                return Ok(frames);
            }
        }
    }
}

/// Where, from `from` on, something stands that begins like a frame.
fn frames_in(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(bytes.get(from..).unwrap_or_default(), b"DFRM")
        .map(move |at| from + at)
        .filter(|at| at % 8 == 0 && bytes.len() - at >= FRAME_HEADER)
}
