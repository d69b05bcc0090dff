//! Reading a journal after a stop of any kind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    HEADER, MAGIC,
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
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = path.display().to_string();
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
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) slot: u32,
    pub(super) size: u64,
    pub(super) generation: u64,
    pub(super) end: u64,
}

pub(super) fn read(folder: &Path, packed: u64, write: bool) -> Result<Found, JournalDamage> {
    let mut files = list(folder, write)?;
    files.sort_by_key(|file| file.generation);
    let mut found = Found { files: Vec::new(), frames: Vec::new(), torn: None };
    let last = files.iter().rposition(|file| file.generation > 0);
    let mut next = packed;
    for (at, mut file) in files.into_iter().enumerate() {
        if file.generation > 0 {
            let frames = frames_of(&mut file, Some(at) == last, &mut found.torn)?;
            file.end = frames.last().map_or(0, Frame::end);
            for frame in frames {
                if frame.end() <= packed {
                    continue;
                }
                if frame.first > next {
                    return Err(JournalDamage::Hole {
                        file: name(&file.path),
                        expected: next,
                        found: frame.first,
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

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(folder: &Path, write: bool) -> Result<Vec<FoundFile>, JournalDamage> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(JournalDamage::io(folder))? {
        let path = entry.map_err(JournalDamage::io(folder))?.path();
        let slot = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_suffix(".journal"))
            .and_then(|n| n.parse().ok());
        let Some(slot) = slot else { continue };
        let file =
            OpenOptions::new().read(true).write(write).open(&path).map_err(JournalDamage::io(&path))?;
        let size = file.metadata().map_err(JournalDamage::io(&path))?.len();
        let generation = generation_of(&file, &path, size)?;
        files.push(FoundFile { file, path, slot, size, generation, end: 0 });
    }
    Ok(files)
}

/// 0 for a file that was made but not used yet.
fn generation_of(file: &File, path: &Path, size: u64) -> Result<u64, JournalDamage> {
    let mut header = [0; 28];
    if size < 28 {
        return Ok(0);
    }
    std::os::unix::fs::FileExt::read_exact_at(file, &mut header, 0).map_err(JournalDamage::io(path))?;
    if header == [0; 28] {
        return Ok(0);
    }
    let crc = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    if &header[..8] != MAGIC || crc != crc32c::crc32c(&header[..24]) {
        return Err(JournalDamage::Frame {
            file: name(path),
            at: 0,
            what: "the file's header does not match its checksum".into(),
        });
    }
    let mut generation = [0; 8];
    generation.copy_from_slice(&header[8..16]);
    Ok(u64::from_le_bytes(generation))
}

/// All frames of one file. It may end in a frame cut short by a crash; anything else that is not a frame,
/// with frames of the same generation behind it, is damage.
fn frames_of(
    file: &mut FoundFile,
    newest: bool,
    torn: &mut Option<Torn>,
) -> Result<Vec<Frame>, JournalDamage> {
    let mut bytes = Vec::new();
    file.file.read_to_end(&mut bytes).map_err(JournalDamage::io(&file.path))?;
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = (HEADER as usize).min(bytes.len());
    loop {
        let damaged = |at: usize, what: &str| JournalDamage::Frame {
            file: name(&file.path),
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
                at += size;
            }
            ending => {
                if let Some(later) = later_frame(&bytes, at + 8, file.generation) {
                    return Err(damaged(
                        at,
                        &format!("bytes between here and {later} are not what was written"),
                    ));
                }
                // In an older file it is what an earlier crash left: the next file then goes on exactly
                // where this one ends, or the leaves are missed there.
                let begun = matches!(ending, Read::Torn);
                let something = bytes[at..].iter().take(FRAME_HEADER).any(|byte| *byte != 0);
                if newest && (begun || something) {
                    *torn = Some(Torn { file: name(&file.path), at: at as u64, begun });
                }
                return Ok(frames);
            }
        }
    }
}

/// Where, from `from` on, another frame of this generation begins.
fn later_frame(bytes: &[u8], from: usize, generation: u64) -> Option<usize> {
    memchr::memmem::find_iter(bytes.get(from..)?, b"DFRM")
        .map(|at| from + at)
        .filter(|at| at % 8 == 0 && bytes.len() - at >= FRAME_HEADER)
        .find(|at| !matches!(frame::read(&bytes[*at..], generation), Read::Nothing))
}
