//! A static log in a folder, and an account of every file in it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use deed_seal::checkpoint::Checkpoint;
use deed_seal::note::MAX_NOTE;
use deed_seal::tile::TilePath;
use deed_seal::verify::{Kept, Tiles, Unchecked};

/// The files of a log, told apart by what they can be. Links are not followed: what they lead to is no part of
/// the folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    others: Vec<TilePath>,
    kept: Vec<Kept>,
    foreign: Vec<Unchecked>,
}

impl Folder {
    /// Looks at all names in the folder `root`, and reads its checkpoints; tiles are read later.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn open(root: &Path) -> io::Result<Self> {
        let mut folder =
            Self { root: root.to_owned(), others: Vec::new(), kept: Vec::new(), foreign: Vec::new() };
        let head =
            folder.checkpoint().ok().flatten().and_then(|note| Checkpoint::open_unverified(&note).ok());
        folder.walk(fs::read_dir(root)?, "", head.map_or(0, |(checkpoint, _)| checkpoint.size));
        folder.others.sort_unstable();
        folder.kept.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        folder.foreign.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(folder)
    }

    /// Tiles and bundles that the checkpoint's size does not ask for.
    pub fn others(&self) -> &[TilePath] {
        &self.others
    }

    /// `checkpoint.*` beside the checkpoint: earlier ones.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Files that are no part of a static log, or of which that cannot be told.
    pub fn foreign(&self) -> &[Unchecked] {
        &self.foreign
    }

    fn walk(&mut self, entries: fs::ReadDir, prefix: &str, size: u64) {
        for entry in entries {
            let listed = entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)));
            let (name, kind) = match listed {
                Ok(listed) => listed,
                Err(error) => {
                    self.leave(prefix.to_owned(), format!("cannot be listed: {error}"));
                    continue;
                }
            };
            let path = format!("{prefix}{}", name.display());
            if !kind.is_dir() {
                self.file(path, size);
                continue;
            }
            match fs::read_dir(self.root.join(prefix).join(&name)) {
                Ok(entries) => self.walk(entries, &format!("{path}/"), size),
                Err(error) => self.leave(path, format!("cannot be listed: {error}")),
            }
        }
    }

    fn file(&mut self, path: String, size: u64) {
        if path == "checkpoint" {
            return; // the verification starts with it
        }
        match path.parse() {
            Ok(tile @ TilePath::Hashes { level, index, .. }) => {
                self.tile(tile, TilePath::hashes(level, index, size));
            }
            Ok(tile @ TilePath::Entries { index, .. }) => self.tile(tile, TilePath::entries(index, size)),
            Err(_) if path.starts_with("checkpoint.") => self.keep(path),
            Err(_) => self.leave(path, "not part of a static log".to_owned()),
        }
    }

    fn tile(&mut self, tile: TilePath, current: Option<TilePath>) {
        if current != Some(tile) {
            self.others.push(tile);
        }
    }

    fn keep(&mut self, name: String) {
        match self.read(&name, MAX_NOTE) {
            Ok(Some(note)) => self.kept.push(Kept { name, note }),
            Ok(None) => self.leave(name, "is not there any more".to_owned()),
            Err(error) => self.leave(name, format!("cannot be read: {error}")),
        }
    }

    fn leave(&mut self, place: String, why: String) {
        self.foreign.push(Unchecked { place, why });
    }

    /// The file `name` of the folder; of one that is longer than `most` one byte more.
    fn read(&self, name: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        match self.open_plain(name) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(most as u64 + 1).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens what is a file of its own, in folders of their own: opening a pipe may take for ever.
    fn open_plain(&self, name: &str) -> io::Result<File> {
        let mut path = self.root.clone();
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let kind = fs::symlink_metadata(&path)?.file_type();
            let is_plain = if parts.peek().is_some() { kind.is_dir() } else { kind.is_file() };
            if !is_plain {
                let is = if kind.is_symlink() { "a symbolic link" } else { "no plain file" };
                return Err(io::Error::other(format!("`{part}` is {is}")));
            }
        }
        File::open(path)
    }
}

impl Tiles for Folder {
    type Error = io::Error;

    fn get(&self, path: &TilePath) -> io::Result<Option<Vec<u8>>> {
        self.read(&path.to_string(), path.max_len())
    }

    fn checkpoint(&self) -> io::Result<Option<Vec<u8>>> {
        self.read("checkpoint", MAX_NOTE)
    }
}
