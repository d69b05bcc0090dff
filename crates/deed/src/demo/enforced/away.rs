//! The store, out of reach for a moment.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A folder that was moved aside; it is put back when this is dropped.
pub(super) struct Away {
    from: PathBuf,
    to: PathBuf,
}

impl Away {
    /// Moves `dir` aside: everything in it stays as it is, and nothing finds it there.
    ///
    /// # Errors
    /// It cannot be moved, such as a place where something is mounted.
    pub(super) fn take(dir: &Path) -> io::Result<Self> {
        let name = dir.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut aside = name.to_owned();
        aside.push(format!("-away-{}", std::process::id()));
        let away = Away { from: dir.to_owned(), to: dir.with_file_name(aside) };
        fs::rename(&away.from, &away.to)?;
        Ok(away)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Err(error) = fs::rename(&self.to, &self.from) {
            crate::output::note(&format!("the store is in `{}` now: {error}", self.to.display()));
        }
    }
}
