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
        let (generation, first) = header_of(&*file, size, &name, packed)?;
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
fn header_of(file: &dyn DiskFile, size: u64, name: &str, packed: u64) -> Result<(u64, u64), JournalDamage> {
    let io = || JournalDamage::io(name);
    let start = file.read_range(0, HEADER as usize + FRAME_HEADER).map_err(io())?;
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
    let needed = |window: &mut Window<'_>, at: u64| {
        let Some((_, size)) = frame::begun(window.get(at, FRAME_HEADER)?) else { return Ok(false) };
        Ok(frame::read_any(window.get(at, size)?).is_some_and(|frame| frame.end() > packed))
    };
    if Window::new(file, size).find(HEADER, needed).map_err(io())?.is_some() {
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
    let io = || JournalDamage::io(&file.name);
    let damaged =
        |at: u64, what: &str| JournalDamage::Frame { file: file.name.clone(), at, what: what.to_owned() };
    let mut window = Window::new(&*file.file, file.size);
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = HEADER.min(window.size);
    let mut last = at;
    let ending = loop {
        let (_, size) = frame::begun(window.get(at, FRAME_HEADER).map_err(io())?).unwrap_or_default();
        match frame::read(window.get(at, size).map_err(io())?, file.generation) {
            Read::Frame(frame, size) => {
                if let Some(before) = frames.last()
                    && before.end() != frame.first
                {
                    return Err(damaged(at, "a frame does not follow the one before it"));
                }
                frames.push(frame);
                last = at;
                at += size as u64;
            }
            ending => break ending,
        }
    };
    let is_of_use = |window: &mut Window<'_>, at: u64| {
        Ok(frame::begun(window.get(at, FRAME_HEADER)?).is_some_and(|(of, _)| of == file.generation))
    };
    if let Some(later) = window.find(at + 8, is_of_use).map_err(io())? {
        return Err(damaged(at, &format!("bytes between here and {later} are not what was written")));
    }
    // In an older file it is what an earlier crash left: the next file then goes on exactly where this one
    // ends, or the leaves are missed there.
    let begun = matches!(ending, Read::Torn(_));
    let something = window.get(at, FRAME_HEADER).map_err(io())?.iter().any(|byte| *byte != 0);
    if newest && (begun || something) {
        *torn = Some(Torn { file: file.name.clone(), at, begun });
    }
    if let Read::Torn(size) = ending {
        file.torn_to = at.saturating_add(size as u64).min(window.size);
    }
    if newest && !frames.is_empty() {
        file.last = Some((last, window.get(last, (at - last) as usize).map_err(io())?.to_vec()));
    }
    file.end = frames.last().map_or(0, Frame::end);
    file.at = at;
    Ok(frames)
}

/// A file that is looked at piece by piece: damage may make it longer than memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    /// Where `bytes` are in it.
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Bytes of a piece; frames begin at multiples of 8.
    const PIECE: usize = 4 << 20;

    fn new(file: &'a dyn DiskFile, size: u64) -> Self {
        Window { file, size, start: 0, bytes: Vec::new() }
    }

    /// The `length` bytes from `at` on, or as many as there are.
    fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let end = at.saturating_add(length as u64).min(self.size);
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let rest = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
            self.bytes = self.file.read_range(at, rest.min(length.max(Self::PIECE)))?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    /// The first place from `from` on, a multiple of 8, where something stands that begins like a frame and `is` one.
    fn find(
        &mut self,
        from: u64,
        mut is: impl FnMut(&mut Self, u64) -> io::Result<bool>,
    ) -> io::Result<Option<u64>> {
        let mut at = from;
        while at < self.size {
            let piece = self.get(at, Self::PIECE)?;
            let begins = memchr::memmem::find_iter(piece, b"DFRM").filter(|begin| begin % 8 == 0);
            for begin in begins.map(|begin| at + begin as u64).collect::<Vec<_>>() {
                if is(self, begin)? {
                    return Ok(Some(begin));
                }
            }
            at += Self::PIECE as u64;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::journal::{FrameBuilder, header};

    /// A journal of one file, of zeros but for what is in `parts`, that remembers the longest read.
    #[derive(Clone)]
    struct Sparse {
        size: u64,
        parts: Vec<(u64, Vec<u8>)>,
        longest: Arc<AtomicUsize>,
    }

    impl Disk for Sparse {
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(vec!["0000.journal".to_owned()])
        }

        fn open(&self, _name: &str, _write: bool) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(self.clone()))
        }

        fn create(&self, _name: &str) -> io::Result<Box<dyn DiskFile>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn remove(&self, _name: &str) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    impl DiskFile for Sparse {
        fn size(&self) -> io::Result<u64> {
            Ok(self.size)
        }

        fn allocate(&self, _bytes: u64) -> io::Result<()> {
            Ok(())
        }

        fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
            self.longest.fetch_max(bytes.len(), Ordering::Relaxed);
            bytes.fill(0);
            for (from, part) in &self.parts {
                for (offset, byte) in part.iter().enumerate() {
                    if let Some(place) = (from + offset as u64).checked_sub(at)
                        && let Some(place) = bytes.get_mut(place as usize)
                    {
                        *place = *byte;
                    }
                }
            }
            Ok(bytes.len())
        }

        fn write_at(&self, _bytes: &[u8], _at: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn has_name(&self) -> io::Result<bool> {
            Ok(true)
        }
    }

    fn frame(first: u64) -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        frame.start(first);
        frame.leaf(b"leaf", b"blob");
        frame.finish(7).to_vec()
    }

    #[test]
    fn a_file_of_any_length_is_read_piece_by_piece() {
        let (first, second) = (frame(0), frame(1));
        let next = HEADER + first.len() as u64;
        let parts = vec![(0, header(7, 0).to_vec()), (HEADER, first), (next, second.clone())];
        let mut disk = Sparse { size: 64 << 20, parts, longest: Arc::default() };
        let found = read(&disk, 0, false).expect("good");
        assert_eq!((found.frames.len(), found.files[0].at), (2, next + second.len() as u64));
        assert!(disk.longest.load(Ordering::Relaxed) <= Window::PIECE);

        // What stands behind the last frame is looked at to the end, across the edges of pieces.
        for far in [(Window::PIECE as u64) * 5 - 16, (64 << 20) - 72] {
            disk.parts.push((far, frame(2)));
            let damage = read(&disk, 0, false).err().map(|damage| damage.to_string()).unwrap_or_default();
            assert!(damage.contains(&format!("and {far} are not what was written")), "{damage}");
            disk.parts.pop();
        }

        // A header that asks for more than there is asks for no memory.
        disk.parts.pop();
        let mut long = second;
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = crc32c::crc32c(&long[..36]);
        long[36..40].copy_from_slice(&crc.to_le_bytes());
        disk.parts.push((next, long));
        disk.size = 1 << 20;
        let found = read(&disk, 0, false).expect("cut short");
        assert!(found.torn.is_some_and(|torn| torn.at == next && torn.begun));
    }
}
