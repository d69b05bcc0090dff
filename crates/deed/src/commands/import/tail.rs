//! One file that grows: its whole lines, a piece at a time.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use deed_collect::{Mapped, Rejected, Source, input::LARGEST_EVENT, records, source};

use super::{
    position::{FileId, Position, Positions},
    reading::{Reads, named},
};

/// So much is read at a time, unless a line is longer.
const PIECE: usize = 256 * 1024;

/// A file that was given another name is read for so long after it last grew: whoever writes it may not have
/// noticed yet.
const LINGER: Duration = Duration::from_secs(30);

/// A file that is followed.
pub(super) struct Tail {
    file: File,
    /// What messages call it.
    pub(super) name: Arc<str>,
    pub(super) position: Position,
    /// Which system wrote it; found out from its first lines.
    source: Option<Source>,
    /// Inside a line that is too long, of which nothing is kept.
    too_long: bool,
    /// How large it was when its last line was not finished.
    waiting_at: Option<u64>,
    grew: Instant,
}

/// What a piece of a file holds.
pub(super) struct Piece {
    pub(super) events: Vec<Result<Mapped, Rejected>>,
    /// Where it ends, and its lines.
    end: u64,
    lines: u64,
    /// Which system wrote it, where that was just found out.
    pub(super) began: Option<Source>,
}

impl Tail {
    /// Opens `path`, to go on where it was left.
    pub(super) fn open(path: &Path, id: FileId, positions: &Positions) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        // Between being listed and being opened the name may have passed to another file.
        if FileId::of(&file.metadata()?) != id {
            return Ok(None);
        }
        let position = positions.of(id, &file)?.unwrap_or_else(|| Position::start(id, path));
        let name = path.display().to_string().into();
        let (too_long, waiting_at, grew) = (false, None, Instant::now());
        Ok(Some(Tail { file, name, position, source: None, too_long, waiting_at, grew }))
    }

    /// What it was called first.
    pub(super) fn path(&self) -> &PathBuf {
        &self.position.path
    }

    /// Whether nobody seems to write it any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.grew.elapsed() > LINGER
    }

    /// The next whole lines; `None` where there are none yet. With `last`, nothing more will come: what is left
    /// counts as a line.
    pub(super) fn read(&mut self, reads: &Reads, last: bool) -> io::Result<Option<Piece>> {
        let size = self.file.metadata()?.len();
        if size < self.position.offset || size > self.position.offset && !self.position.is_of(&self.file)? {
            // It was cut short, and begins anew.
            self.position = Position::start(self.position.file, &self.position.path);
            (self.too_long, self.waiting_at) = (false, None);
        }
        if size == self.position.offset || self.waiting_at == Some(size) && !last {
            return Ok(None);
        }
        self.grew = Instant::now();
        let left = usize::try_from(size - self.position.offset).unwrap_or(usize::MAX);
        let mut length = PIECE.min(left);
        loop {
            let bytes = self.bytes(length)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            match whole {
                Some(whole) if self.too_long => return Ok(Some(self.rest_of_long_line(&bytes[..whole]))),
                Some(whole) => return Ok(Some(self.piece(&bytes[..whole], reads))),
                None if self.too_long => return Ok(Some(self.more_of_long_line(bytes.len()))),
                None if length > LARGEST_EVENT => return Ok(Some(self.long_line(bytes.len()))),
                None if length < left => length = (length * 4).min(left).min(LARGEST_EVENT + 1),
                None if last => return Ok(Some(self.piece(&bytes, reads))),
                None => {
                    self.waiting_at = Some(size);
                    return Ok(None);
                }
            }
        }
    }

    /// Everything of `piece` was acknowledged, and will not be read again.
    pub(super) fn done(&mut self, piece: &Piece, positions: &Positions) -> io::Result<()> {
        self.position.advance(&self.file, piece.end, piece.lines)?;
        positions.keep(&self.position)
    }

    fn bytes(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], self.position.offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn piece(&mut self, bytes: &[u8], reads: &Reads) -> Piece {
        let mut began = None;
        if self.source.is_none() {
            self.source = match reads {
                Reads::As(source) => Some(*source),
                Reads::Auto => source::guess(bytes, &self.name),
                // The command line takes no mapping file here.
                Reads::By(_) => None,
            };
            began = self.source;
        }
        let before = self.position.lines;
        let events = match self.source {
            Some(source) => records(source, bytes).map(|event| below(source, event, before)).collect(),
            None if bytes.trim_ascii().is_empty() => Vec::new(),
            None => {
                let error =
                    "nothing tells which system wrote it; name the source instead of `auto`".to_owned();
                vec![Err(Rejected { line: before + 1, error })]
            }
        };
        Piece { events, began, ..self.passing(bytes) }
    }

    /// Passes over `bytes`.
    fn passing(&mut self, bytes: &[u8]) -> Piece {
        self.waiting_at = None;
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let end = self.position.offset + bytes.len() as u64;
        Piece { events: Vec::new(), end, lines, began: None }
    }

    /// The beginning of a line that is longer than any event may be.
    fn long_line(&mut self, length: usize) -> Piece {
        self.too_long = true;
        let error = format!("the line is longer than {LARGEST_EVENT} bytes");
        let events = vec![Err(Rejected { line: self.position.lines + 1, error })];
        Piece { events, ..self.more_of_long_line(length) }
    }

    fn more_of_long_line(&mut self, length: usize) -> Piece {
        Piece { events: Vec::new(), end: self.position.offset + length as u64, lines: 0, began: None }
    }

    /// Up to where the line ends; what follows is read next.
    fn rest_of_long_line(&mut self, bytes: &[u8]) -> Piece {
        self.too_long = false;
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        self.passing(&bytes[..end])
    }
}

/// `event` of a piece that begins after line `before`.
fn below(source: Source, event: Result<Mapped, Rejected>, before: u64) -> Result<Mapped, Rejected> {
    event
        .map(|mapped| Mapped { line: mapped.line + before, record: named(source, mapped.record) })
        .map_err(|rejected| Rejected { line: rejected.line + before, ..rejected })
}
