//! The Unix socket in the data directory.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use super::ServeError;

/// Its name in the data directory.
pub(crate) const NAME: &str = "deed.sock";

/// Removes the socket when the server stops, if it is still this one's.
pub(crate) struct Guard {
    path: PathBuf,
    file: (u64, u64),
}

impl Guard {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket stays behind; the next server replaces it");
        }
    }
}

/// Makes the socket of the store in `dir`, whose lock this process holds: one that is there is stale.
pub(crate) fn bind(dir: &Path) -> Result<(UnixListener, Guard), ServeError> {
    let path = dir.join(NAME);
    let failed = |source| ServeError::Socket { path: path.clone(), source };
    match fs::symlink_metadata(&path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else has that name; move it away",
            )));
        }
        _ => {}
    }
    // In a folder that nobody else can enter, so that there is no moment in which others could connect.
    // Its name is short: the names of sockets are bounded.
    let private = dir.join("tmp/s");
    remove_folder(&private).map_err(failed)?;
    fs::create_dir_all(&private).map_err(failed)?;
    let made = fs::set_permissions(&private, fs::Permissions::from_mode(0o700))
        .and_then(|()| make(&private.join("s"), &path));
    remove_folder(&private).map_err(failed)?;
    made.map_err(failed)
}

fn make(new: &Path, path: &Path) -> io::Result<(UnixListener, Guard)> {
    let listener = UnixListener::bind(new)?;
    fs::set_permissions(new, fs::Permissions::from_mode(0o600))?;
    let file = fs::symlink_metadata(new)?;
    fs::rename(new, path)?;
    Ok((listener, Guard { path: path.to_owned(), file: (file.dev(), file.ino()) }))
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
