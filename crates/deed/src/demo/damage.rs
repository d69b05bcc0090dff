//! A copy of the store with one bit of one record flipped, to see that it is caught.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// A damaged copy, deleted when it is dropped.
pub(super) struct Damaged {
    /// Where it lies.
    pub(super) dir: PathBuf,
    /// The file that was changed, relative to it.
    pub(super) file: String,
    /// Which of its bytes, from 0.
    pub(super) byte: usize,
}

impl Damaged {
    /// Copies `store` to `dir` and flips one bit in the middle of `sealed`, the exact bytes of a record.
    ///
    /// # Errors
    /// It cannot be copied, or the bytes are nowhere to be found.
    pub(super) fn copy(store: &Path, dir: PathBuf, sealed: &[u8]) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new("failed to copy the store").detail(error.to_string());
        let mut damaged = Damaged { dir, file: String::new(), byte: 0 };
        let mut files = Vec::new();
        copy_folder(store, &damaged.dir, "", &mut files).map_err(failed)?;
        for file in files {
            let path = damaged.dir.join(&file);
            let mut bytes = fs::read(&path).map_err(failed)?;
            if let Some(at) = find(&bytes, sealed) {
                let middle = at + sealed.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&path, &bytes).map_err(failed)?;
                (damaged.file, damaged.byte) = (file, middle);
                return Ok(damaged);
            }
        }
        Err(Failure::new("failed to find a sealed record among the files of the store"))
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        // What is left of it lies in a folder for such things.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Copies the files of a store; what says who holds it belongs to no copy.
fn copy_folder(from: &Path, to: &Path, name: &str, files: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let file = entry.file_name();
        let path = format!("{name}{}", file.to_string_lossy());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(&file), &format!("{path}/"), files)?;
        } else if !matches!(path.as_str(), "lock" | "deed.sock") {
            fs::copy(entry.path(), to.join(&file))?;
            files.push(path);
        }
    }
    Ok(())
}

/// Whether `needle` stands anywhere in the files below `dir`, and in which.
///
/// # Errors
/// A file cannot be read.
pub(super) fn holding(dir: &Path, needle: &[u8]) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is = entry.file_type()?;
        let found = match () {
            () if is.is_dir() => holding(&entry.path(), needle)?,
            () if is.is_file() => find(&fs::read(entry.path())?, needle).map(|_| entry.path()),
            () => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
