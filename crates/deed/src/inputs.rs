//! Files to be imported: found in folders, told apart from what is no log, read with their head at hand.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use deed_collect::{
    input,
    source::{self, HEAD},
};

/// One thing that was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// To be read.
    File(PathBuf),
    /// To be passed over, and why.
    Skipped(PathBuf, &'static str),
    /// A folder or file that cannot be looked at.
    Failed(PathBuf, io::Error),
}

/// Calls `each` for everything below `paths`, folders in the order of their names, until it returns `false`.
///
/// Links to folders are followed only where they are given, so that no circle is walked for ever.
pub(crate) fn walk(paths: &[PathBuf], each: &mut dyn FnMut(Found) -> bool) -> bool {
    paths.iter().all(|path| {
        if is_stdin(path) {
            return each(Found::File(path.clone()));
        }
        match fs::metadata(path) {
            Ok(is) if is.is_dir() => folder(path, each),
            // A pipe that is given by name is meant to be read.
            Ok(_) => file(path.clone(), each),
            Err(error) => each(Found::Failed(path.clone(), error)),
        }
    })
}

/// Whether `path` means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What messages call `path`.
pub(crate) fn name_of(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Opens `path` and reads enough of it to tell what it is: its (decompressed) head, and the whole.
///
/// # Errors
/// It cannot be opened or read.
pub(crate) fn open(path: &Path) -> io::Result<(Vec<u8>, Box<dyn Read>)> {
    let raw: Box<dyn Read> = if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut plain = input::open(raw);
    let mut head = Vec::new();
    let read = plain.by_ref().take(HEAD as u64).read_to_end(&mut head);
    match read {
        Ok(_) => Ok((head.clone(), Box::new(Cursor::new(head).chain(plain)))),
        Err(error) if head.is_empty() => Err(error),
        // What came before the damage is read all the same.
        Err(error) => Ok((head.clone(), Box::new(Cursor::new(head).chain(input::failing(error))))),
    }
}

fn folder(path: &Path, each: &mut dyn FnMut(Found) -> bool) -> bool {
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return each(Found::Failed(path.to_owned(), error)),
    };
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    entries.into_iter().all(|entry| {
        let path = entry.path();
        let is = match entry.file_type() {
            Ok(is) => is,
            Err(error) => return each(Found::Failed(path, error)),
        };
        if is.is_dir() {
            return folder(&path, each);
        }
        let linked = if is.is_symlink() { fs::metadata(&path) } else { entry.metadata() };
        match linked {
            Ok(target) if target.is_file() => file(path, each),
            Ok(target) if target.is_dir() => each(Found::Skipped(path, "a link to a folder")),
            Ok(_) => each(Found::Skipped(path, "not a regular file")),
            Err(error) => each(Found::Failed(path, error)),
        }
    })
}

fn file(path: PathBuf, each: &mut dyn FnMut(Found) -> bool) -> bool {
    match source::no_log(&path.to_string_lossy()) {
        Some(why) => each(Found::Skipped(path, why)),
        None => each(Found::File(path)),
    }
}
