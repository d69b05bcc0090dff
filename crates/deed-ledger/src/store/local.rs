//! A folder as a store.
//!
//! A safe write is: a temporary file beside the target, its bytes, `fsync`, then `link` (create, fails
//! if the name is taken) or `rename` (replace), then `fsync` of the folder. What a crash leaves of an
//! unfinished write ends in `.part` and is swept at the next [`LocalStore::open`].

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::OFlags;

use super::{Object, Store, StoreError};

/// What unfinished writes end in.
pub(crate) const PART: &str = ".part";

/// Files that stay open because parts of them are read again and again.
const MOST_OPEN: usize = 128;
/// More than this is not asked for before the file is known to have it.
const MODEST: usize = 1 << 20;

/// A folder of the local file system.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    parts: AtomicU64,
    opened: Mutex<Opened>,
}

/// Open files by name.
#[derive(Debug, Default)]
struct Opened {
    files: HashMap<String, Arc<File>>,
    /// How often a name came to mean another file, or none.
    changes: u64,
}

impl LocalStore {
    /// The store in `root`, which must exist. Sweeps what unfinished writes left in `folders`, and makes
    /// durable what is seen in them: a process that was killed may not have come to that.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn open(root: &Path, folders: &[&str]) -> io::Result<Self> {
        for folder in folders {
            let folder = root.join(folder);
            match fs::read_dir(&folder) {
                Ok(entries) => {
                    for entry in entries {
                        let entry = entry?;
                        if entry.file_name().to_string_lossy().ends_with(PART) {
                            fs::remove_file(entry.path())?;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            File::open(folder)?.sync_all()?;
        }
        File::open(root)?.sync_all()?;
        Ok(LocalStore::read_only(root))
    }

    /// The store in `root`, for reading: nothing is swept or made.
    pub fn read_only(root: &Path) -> Self {
        LocalStore { root: root.to_owned(), parts: AtomicU64::new(0), opened: Mutex::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &str) -> Result<Arc<File>, StoreError> {
        let opened = self.opened();
        if let Some(file) = opened.files.get(path) {
            return Ok(file.clone());
        }
        let changes = opened.changes;
        drop(opened);
        let file = open_plain(OpenOptions::new().read(true), &self.at(path));
        let file = Arc::new(file.map_err(|source| failed("open", path, source))?);
        let mut opened = self.opened();
        if opened.files.len() >= MOST_OPEN {
            opened.files.clear();
        }
        // What was opened may have been replaced since.
        if opened.changes == changes {
            opened.files.insert(path.to_owned(), file.clone());
        }
        Ok(file)
    }

    fn changed(&self, path: &str) {
        let mut opened = self.opened();
        opened.files.remove(path);
        opened.changes += 1;
    }

    /// Writes `parts` to a temporary file beside `path` and syncs it.
    fn write_part(&self, path: &str, parts: &[&[u8]]) -> Result<PathBuf, StoreError> {
        let target = self.at(path);
        if let Some(folder) = target.parent()
            && !folder.is_dir()
        {
            make_below(&self.root, folder).map_err(StoreError::io("make the folder of", path))?;
        }
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let mut name = target.clone().into_os_string();
        name.push(format!(".{}-{number}{PART}", std::process::id()));
        let temporary = PathBuf::from(name);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temporary)?;
            for part in parts {
                file.write_all(part)?;
            }
            file.sync_all()
        };
        write().map_err(|source| {
            // The space is what matters when the disk is full; the name is swept at the next start.
            if let Err(error) = fs::remove_file(&temporary) {
                tracing::warn!(path, %error, "an unfinished file stays behind");
            }
            StoreError::Io { doing: "write", path: path.to_owned(), source }
        })?;
        Ok(temporary)
    }

    fn sync_folder(&self, path: &str) -> Result<(), StoreError> {
        let target = self.at(path);
        let folder = target.parent().unwrap_or(&self.root);
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::io("sync the folder of", path))
    }
}

/// Mode of every file of a store: whoever may read evidence is let in by the server, not by the folder.
pub(crate) const PRIVATE: u32 = 0o600;

/// Opens a plain file; whatever else has its name is refused at once, where opening a pipe would wait for ever.
pub(crate) fn open_plain(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.clone().custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok(file)
}

/// Makes `folder` and those above it, durably, for their owner alone.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    make_below(Path::new("/"), folder)
}

/// Makes `folder` and those between it and `root`, durably, for their owner alone. `root` itself is not made: a
/// store that was deleted or moved away does not begin anew under its old name.
fn make_below(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder == root {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the store's folder is gone"));
    }
    if let Some(above) = folder.parent() {
        make_below(root, above)?;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(above)?.sync_all()?,
        }
    }
    Ok(())
}

impl Store for LocalStore {
    fn create(&self, path: &str, parts: &[&[u8]]) -> Result<(), StoreError> {
        let temporary = self.write_part(path, parts)?;
        let linked = fs::hard_link(&temporary, self.at(path));
        fs::remove_file(&temporary).map_err(StoreError::io("finish", path))?;
        match linked {
            Ok(()) => self.sync_folder(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StoreError::Exists(path.to_owned()))
            }
            Err(source) => Err(StoreError::Io { doing: "write", path: path.to_owned(), source }),
        }
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.write_part(path, &[bytes])?;
        fs::rename(&temporary, self.at(path)).map_err(StoreError::io("write", path))?;
        self.changed(path);
        self.sync_folder(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        open_plain(OpenOptions::new().read(true), &self.at(path))
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|source| failed("read", path, source))?;
        Ok(bytes)
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let file = self.file(path)?;
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let short = || -> Result<(), StoreError> {
            let size = file.metadata().map_err(StoreError::io("read", path))?.len();
            if range.end > size {
                return Err(StoreError::Short { path: path.to_owned(), size, wanted: range.end });
            }
            Ok(())
        };
        // A damaged offset must not make us ask for more memory than the object has.
        if wanted > MODEST {
            short()?;
        }
        let mut bytes = vec![0; wanted];
        match file.read_exact_at(&mut bytes, range.start) {
            Ok(()) => Ok(bytes),
            Err(error) => {
                short()?;
                Err(StoreError::io("read", path)(error))
            }
        }
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        fs::metadata(self.at(path)).map(|meta| meta.len()).map_err(|source| failed("read", path, source))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        // Only the folder part of the prefix is walked.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        walk(&self.at(folder), folder, &mut found).map_err(StoreError::io("list", prefix))?;
        found.retain(|object| object.path.starts_with(prefix));
        found.sort();
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let removed = fs::remove_file(self.at(path));
        self.changed(path);
        match removed {
            Ok(()) => self.sync_folder(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StoreError::Io { doing: "delete", path: path.to_owned(), source }),
        }
    }
}

fn failed(doing: &'static str, path: &str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::NotFound => StoreError::Missing(path.to_owned()),
        _ => StoreError::Io { doing, path: path.to_owned(), source },
    }
}

fn walk(folder: &Path, name: &str, found: &mut Vec<Object>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let path = if name.is_empty() { file_name } else { format!("{name}/{file_name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &path, found)?;
        } else if kind.is_file() && !path.ends_with(PART) {
            // A file may be compacted away between being seen and being measured.
            match entry.metadata() {
                Ok(meta) => found.push(Object { path, size: meta.len() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
