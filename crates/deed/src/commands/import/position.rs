//! How far a file was followed, kept in the data directory so that following goes on where it stopped.
//!
//! A position is written only after everything before it was acknowledged. It may be behind, never ahead: what
//! is read again is recorded once (INVARIANT D12).

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use deed_seal::hash::Hash;
use serde::{Deserialize, Serialize};

/// So much of the beginning of a file tells whether it is still the same one.
const HEAD: usize = 1024;

/// A file, whatever it is called at the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How far one file was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) file: FileId,
    /// What it was called when it was first followed.
    pub(super) path: PathBuf,
    /// Bytes that were read, and lines.
    pub(super) offset: u64,
    pub(super) lines: u64,
    /// Digest of as many of its first bytes as were read, [`HEAD`] at most: the number of a file that is gone is
    /// given to another one, and a file that is cut short may have grown again since.
    head: Option<(usize, String)>,
}

impl Position {
    /// The beginning of a file.
    pub(super) fn start(file: FileId, path: &Path) -> Self {
        Position { file, path: path.to_owned(), offset: 0, lines: 0, head: None }
    }

    /// Goes on to `offset` of `file`, after `lines` more lines.
    pub(super) fn advance(&mut self, file: &File, offset: u64, lines: u64) -> io::Result<()> {
        self.offset = offset;
        self.lines += lines;
        let length = HEAD.min(usize::try_from(offset).unwrap_or(HEAD));
        if self.head.as_ref().is_none_or(|(known, _)| *known < length) {
            self.head = Some((length, head(file, length)?));
        }
        Ok(())
    }

    /// Whether `file` still begins with what was read of it.
    pub(super) fn is_of(&self, file: &File) -> io::Result<bool> {
        match &self.head {
            Some((length, known)) => match head(file, *length) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                found => Ok(found? == *known),
            },
            None => Ok(true),
        }
    }
}

fn head(file: &File, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Hash::of(&bytes).to_string())
}

/// The positions of everything that is followed into one log as one source.
#[derive(Debug)]
pub(super) struct Positions {
    folder: PathBuf,
}

impl Positions {
    /// In `store`, for what is sent to `target` as `source`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn open(store: &Path, target: &str, source: &str) -> io::Result<Self> {
        let name = Hash::of(format!("deed follow\n{target}\n{source}").as_bytes()).to_string();
        let folder = store.join("follow").join(&name[..16]);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let positions = Positions { folder };
        positions.forget_what_is_gone()?;
        Ok(positions)
    }

    /// Where `file` was left; `None` where it is new, or another one by now.
    pub(super) fn of(&self, id: FileId, file: &File) -> io::Result<Option<Position>> {
        let Some(position) = read(&self.place(id))? else { return Ok(None) };
        Ok((position.file == id && position.is_of(file)?).then_some(position))
    }

    /// Whether `file` was followed under `path` before, and has been given another name since.
    pub(super) fn was_called(&self, id: FileId, path: &Path) -> bool {
        matches!(read(&self.place(id)), Ok(Some(position)) if position.path == path)
    }

    /// Keeps `position` in place of the earlier one.
    pub(super) fn keep(&self, position: &Position) -> io::Result<()> {
        let place = self.place(position.file);
        let part = place.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&serde_json::to_vec(position)?)?;
        fs::rename(part, place)
    }

    fn place(&self, id: FileId) -> PathBuf {
        self.folder.join(format!("{:x}-{:x}.json", id.device, id.inode))
    }

    /// Lets go of positions of files that are no longer in the folder where they were followed.
    fn forget_what_is_gone(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let place = entry?.path();
            let gone = match read(&place) {
                Ok(Some(position)) => !is_beside(&position.path, position.file),
                // A write that was cut short, or a form that is no longer known.
                _ => true,
            };
            if gone {
                fs::remove_file(place)?;
            }
        }
        Ok(())
    }
}

fn read(place: &Path) -> io::Result<Option<Position>> {
    match fs::read(place) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `id` is a file in the folder of `path`.
fn is_beside(path: &Path, id: FileId) -> bool {
    let entries = path.parent().map(fs::read_dir);
    let Some(Ok(entries)) = entries else { return false };
    entries.flatten().any(|entry| entry.metadata().is_ok_and(|found| FileId::of(&found) == id))
}
