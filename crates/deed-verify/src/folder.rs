//! A static log in a folder, and an account of every file in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use deed_seal::checkpoint::Checkpoint;
use deed_seal::tile::TilePath;
use deed_seal::verify::{Kept, Tiles, Unchecked};

/// The files of a log, told apart by what they can be.
pub(crate) struct Folder {
    root: PathBuf,
    /// Tiles and bundles that the checkpoint's size does not ask for.
    others: Vec<TilePath>,
    /// `checkpoint.*` beside the checkpoint: earlier ones.
    kept: Vec<PathBuf>,
    foreign: Vec<Unchecked>,
}

impl Folder {
    /// Looks at all names in the folder `root`, whose contents are read later.
    pub(crate) fn open(root: &Path) -> Result<Self, String> {
        let mut folder =
            Self { root: root.to_owned(), others: Vec::new(), kept: Vec::new(), foreign: Vec::new() };
        let size = fs::read(root.join("checkpoint"))
            .ok()
            .and_then(|note| Checkpoint::open_unverified(&note).ok())
            .map_or(0, |(checkpoint, _)| checkpoint.size);
        let entries =
            fs::read_dir(root).map_err(|error| format!("cannot open `{}`: {error}", root.display()))?;
        folder.walk(entries, "", size);
        folder.others.sort_unstable();
        folder.kept.sort_unstable();
        folder.foreign.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(folder)
    }

    /// Tiles and bundles beside those of the current tree.
    pub(crate) fn others(&self) -> &[TilePath] {
        &self.others
    }

    /// Earlier checkpoints that lie in the folder.
    pub(crate) fn kept(&self) -> Result<Vec<Kept>, String> {
        let read = |path: &PathBuf| {
            let name = path.display().to_string();
            let note =
                fs::read(self.root.join(path)).map_err(|error| format!("cannot read `{name}`: {error}"))?;
            Ok(Kept { name, note })
        };
        self.kept.iter().map(read).collect()
    }

    /// Files that are no part of a static log.
    pub(crate) fn foreign(self) -> Vec<Unchecked> {
        self.foreign
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
            Err(_) if path.starts_with("checkpoint.") => self.kept.push(path.into()),
            Err(_) => self.leave(path, "not part of a static log".to_owned()),
        }
    }

    fn tile(&mut self, tile: TilePath, current: Option<TilePath>) {
        if current != Some(tile) {
            self.others.push(tile);
        }
    }

    fn leave(&mut self, place: String, why: String) {
        self.foreign.push(Unchecked { place, why });
    }
}

impl Tiles for Folder {
    type Error = io::Error;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Self::Error> {
        read(&self.root.join(path.to_string()))
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Self::Error> {
        read(&self.root.join("checkpoint"))
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
