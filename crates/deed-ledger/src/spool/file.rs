//! One file of the spool as bytes.
//!
//! ```text
//! header, 64 bytes, little-endian:
//!   0  "deedspl1"        8  number of the file    16  SHA-256 of the log's name
//!  48  CRC-32C of bytes 0..48                     52  zeros
//! frames as in the journal: their generation is the number of the file, their first index that of the record in it
//! ```
//!
//! A frame is written and synced before the next is begun, so that only the last one can be cut short.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use deed_record::{Skeleton, Timestamp};
use deed_seal::hash::Hash;

use crate::journal::{
    Frame,
    frame::{self, FRAME_HEADER, Read},
};

const MAGIC: &[u8; 8] = b"deedspl1";
pub(crate) const HEADER: usize = 64;
const FILE: &str = "spool";
/// What files become that cannot be read or appended as a whole.
const ASIDE: &str = "damaged";

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.{FILE}"))
}

pub(super) fn path_aside(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.{ASIDE}"))
}

/// The files in `folder`, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    named(folder, FILE)
}

/// The files in `folder` that were set aside.
pub(super) fn set_aside(folder: &Path) -> Vec<PathBuf> {
    named(folder, ASIDE).unwrap_or_default().into_iter().map(|(_, path)| path).collect()
}

/// The largest number of a file in `folder`.
pub(super) fn last_number(folder: &Path) -> io::Result<u64> {
    let (files, aside) = (named(folder, FILE)?, named(folder, ASIDE)?);
    Ok(files.iter().chain(&aside).map(|(number, _)| *number).max().unwrap_or(0))
}

fn named(folder: &Path, extension: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|found| found == extension)) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// By what a file knows its log.
pub(super) fn origin(log: &str) -> [u8; 32] {
    Hash::of(log.as_bytes()).0
}

pub(crate) fn header(log: &str, number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..48].copy_from_slice(&origin(log));
    let crc = crc32c::crc32c(&header[..48]);
    header[48..52].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What stands in a file.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Whose it is; `None` where the header does not say.
    pub(crate) origin: Option<[u8; 32]>,
    /// Whole frames, each with the byte where it begins.
    pub(crate) frames: Vec<(u64, Frame)>,
    /// Where a frame that was cut short begins: it was never acknowledged.
    pub(crate) torn: Option<u64>,
    /// Bytes that no crash explains, and what is wrong there.
    pub(crate) damaged: Vec<(u64, String)>,
}

impl Scanned {
    /// When the first record was put there.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.frames
            .iter()
            .flat_map(|(_, frame)| &frame.entries)
            .find_map(|entry| Skeleton::parse(&entry.leaf).ok()?.spooled)
    }
}

/// Reads file `number`. What is damaged is passed over, and named; what stands behind it is read all the same.
pub(crate) fn scan(bytes: &[u8], number: u64) -> Scanned {
    let mut found = Scanned::default();
    let Some(header) = bytes.get(..HEADER) else {
        found.torn = Some(0);
        return found;
    };
    let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if is_blank(bytes) {
        found.torn = Some(0);
        return found;
    }
    let crc = crc32c::crc32c(&header[..48]).to_le_bytes();
    if &header[..8] == MAGIC && header[8..16] == number.to_le_bytes() && header[48..52] == crc {
        found.origin = header[16..48].try_into().ok();
    } else {
        found.damaged.push((0, "the header is not what was written".into()));
    }
    let (mut at, mut records) = (HEADER, 0);
    while at < bytes.len() {
        match frame::read(&bytes[at..], number) {
            Read::Frame(frame, size) => {
                if frame.first != records {
                    let what = format!("expected record {records} of the file, found record {}", frame.first);
                    found.damaged.push((at as u64, what));
                }
                records = frame.end();
                found.frames.push((at as u64, frame));
                at += size;
            }
            // A write that was cut short left less than it announced.
            Read::Torn(size) if at.saturating_add(size) > bytes.len() => {
                match next_frame(bytes, at, number) {
                    Some(next) => at = found.passes_over(at, next),
                    None => {
                        found.torn = Some(at as u64);
                        break;
                    }
                }
            }
            Read::Nothing if bytes.len() - at < FRAME_HEADER || is_blank(&bytes[at..]) => {
                found.torn = Some(at as u64);
                break;
            }
            Read::Torn(_) | Read::Nothing => {
                let next = next_frame(bytes, at, number).unwrap_or(bytes.len());
                at = found.passes_over(at, next);
            }
        }
    }
    found
}

impl Scanned {
    fn passes_over(&mut self, from: usize, to: usize) -> usize {
        self.damaged.push((from as u64, format!("{} bytes are not what was written", to - from)));
        to
    }
}

/// Where the next whole frame behind `at` begins; frames begin at multiples of 8.
fn next_frame(bytes: &[u8], at: usize, number: u64) -> Option<usize> {
    (at + 8..bytes.len()).step_by(8).find(|at| matches!(frame::read(&bytes[*at..], number), Read::Frame(..)))
}
