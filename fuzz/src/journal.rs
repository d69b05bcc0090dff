//! Journal files.

use std::{cell::OnceCell, fs};

use deed_ledger::fuzzing::{self, Frame};
use tempfile::TempDir;

use crate::files::{put, u32_at};

const HEADER: usize = 4096;
const FRAME_HEADER: usize = 40;

/// What follows the header block of a journal file. Of the first byte, 1: the checksums of frames are put
/// right; 2: it is cut in two files of two generations. The second byte says how many leaves are in packs.
pub fn journal(data: &[u8]) {
    let [mode, packed, frames @ ..] = data else { return };
    let (mode, packed) = (*mode, u64::from(*packed));
    let cut =
        if mode & 2 == 0 { frames.len() } else { (frames.len() / 2).next_multiple_of(8).min(frames.len()) };
    let (older, newer) = frames.split_at(cut);
    let older = file(older, 1, mode, packed);
    let newer = if mode & 2 == 0 { Vec::new() } else { file(newer, 2, mode, packed) };
    let found = read(&older, &newer, packed);
    let Ok(found) = found else { return };

    let mut next = packed;
    for frame in &found {
        assert!(frame.first <= next, "no leaf is missing between frames");
        let sizes = frame.leaves.iter().map(|(leaf, blob)| leaf.len() + blob.len() + 8);
        let sum: usize = sizes.chain(frame.names.iter().map(|(_, name)| name.len() + 20)).sum();
        assert!(sum <= frames.len() + 16, "what is read stands in the file");
        next = frame.first + frame.leaves.len() as u64;
        assert!(next > packed);
    }
    // Written again, frame by frame, the same is read.
    let mut again = header(3, packed);
    found.iter().for_each(|frame| again.extend(fuzzing::encode_frame(frame, 3)));
    let follows = found.windows(2).all(|pair| pair[0].first + pair[0].leaves.len() as u64 == pair[1].first);
    if follows {
        assert_eq!(read(&again, &[], packed).expect("what is written can be read"), found);
    }
}

fn read(older: &[u8], newer: &[u8], packed: u64) -> Result<Vec<Frame>, deed_ledger::JournalDamage> {
    thread_local! {
        static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|folder| {
        let dir = folder.get_or_init(|| tempfile::tempdir().expect("a folder")).path();
        let journal = dir.join("journal");
        fs::create_dir_all(&journal).expect("a folder");
        fs::write(journal.join("0000.journal"), older).expect("a file");
        fs::write(journal.join("0001.journal"), newer).expect("a file");
        fuzzing::frames(dir, packed)
    })
}

fn file(frames: &[u8], generation: u64, mode: u8, packed: u64) -> Vec<u8> {
    // The second file goes on where its first frame does: files before one that begins in packs are not read.
    let first = match frames.get(8..16).map(|bytes| bytes.try_into().map(u64::from_le_bytes)) {
        Some(Ok(first)) if generation > 1 => first,
        _ => packed,
    };
    let mut bytes = header(generation, first);
    bytes.extend_from_slice(frames);
    if mode & 1 != 0 {
        repair(&mut bytes, HEADER, generation);
    }
    bytes
}

fn header(generation: u64, first: u64) -> Vec<u8> {
    let mut block = vec![0; HEADER];
    put(&mut block, 0, b"deedjrn1");
    put(&mut block, 8, &generation.to_le_bytes());
    put(&mut block, 16, &first.to_le_bytes());
    let crc = crc32c::crc32c(&block[..24]);
    put(&mut block, 24, &crc.to_le_bytes());
    block
}

/// Makes every frame from byte `at` on one of `generation` whose checksums hold.
pub(crate) fn repair(bytes: &mut [u8], mut at: usize, generation: u64) {
    while bytes.get(at..at + FRAME_HEADER).is_some_and(|header| header.starts_with(b"DFRM")) {
        put(bytes, at + 24, &generation.to_le_bytes());
        let length = u32_at(bytes, at + 4) as usize;
        let Some(payload) = bytes.get(at + FRAME_HEADER..at + FRAME_HEADER + length) else { return };
        let crc = crc32c::crc32c(payload);
        put(bytes, at + 32, &crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[at..at + 36]);
        put(bytes, at + 36, &crc.to_le_bytes());
        at += (FRAME_HEADER + length).next_multiple_of(8);
    }
}
