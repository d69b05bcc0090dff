//! A static log (C2SP tlog-tiles), in a folder or behind HTTP.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use deed_seal::{
    checkpoint::Checkpoint,
    tile::TilePath,
    verify::{Kept, Tiles, Unchecked},
};
use http::StatusCode;
use tokio::runtime::Handle;

use crate::client::{Client, Request};

/// Files of a log in a folder.
pub(crate) struct Folder {
    root: PathBuf,
    /// Tiles and bundles that the checkpoint's size does not ask for.
    pub(crate) others: Vec<TilePath>,
    /// Checkpoints beside the checkpoint: earlier ones.
    pub(crate) kept: Vec<Kept>,
    /// Files that are no part of a static log, or cannot be read.
    pub(crate) foreign: Vec<Unchecked>,
}

impl Folder {
    /// Looks at the names of all files in `root`; their contents are read later.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let mut folder =
            Folder { root: root.to_owned(), others: Vec::new(), kept: Vec::new(), foreign: Vec::new() };
        let head =
            fs::read(root.join("checkpoint")).ok().and_then(|note| Checkpoint::open_unverified(&note).ok());
        folder.walk(root, "", head.map_or(0, |(checkpoint, _)| checkpoint.size))?;
        folder.others.sort_unstable();
        folder.foreign.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        Ok(folder)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, size: u64) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if !entry.file_type()?.is_dir() {
                self.file(path, size);
            } else if let Err(error) = self.walk(&entry.path(), &format!("{path}/"), size) {
                self.foreign.push(Unchecked { place: path, why: format!("cannot be listed: {error}") });
            }
        }
        Ok(())
    }

    fn file(&mut self, path: String, size: u64) {
        let current = match path.parse() {
            Ok(TilePath::Hashes { level, index, .. }) => TilePath::hashes(level, index, size),
            Ok(TilePath::Entries { index, .. }) => TilePath::entries(index, size),
            Err(_) => return self.no_tile(path),
        };
        if let Ok(tile) = path.parse::<TilePath>()
            && current != Some(tile)
        {
            self.others.push(tile);
        }
    }

    fn no_tile(&mut self, path: String) {
        // The verification starts with the checkpoint itself.
        if path == "checkpoint" {
            return;
        }
        let why = match fs::read(self.root.join(&path)) {
            Ok(note) if path.starts_with("checkpoint.") => return self.kept.push(Kept { name: path, note }),
            Ok(_) => "not part of a static log".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        self.foreign.push(Unchecked { place: path, why });
    }
}

impl Tiles for Folder {
    type Error = io::Error;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, io::Error> {
        read(&self.root.join(path.to_string()))
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, io::Error> {
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

/// Files of a log behind HTTP. The checkpoint is the one that was there at first, however the log grows.
pub(crate) struct Remote {
    client: Arc<Client>,
    runtime: Handle,
    checkpoint: Option<Vec<u8>>,
}

impl Remote {
    /// Fetches the checkpoint.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) async fn open(client: Arc<Client>) -> Result<Self, Unread> {
        let checkpoint = fetch(&client, "/checkpoint").await?;
        Ok(Remote { client, runtime: Handle::current(), checkpoint })
    }

    /// Fetches a tile or bundle.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) async fn fetch(&self, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        fetch(&self.client, &format!("/{path}")).await.map_err(|unread| unread.why)
    }
}

/// To be called from threads that are not the runtime's.
impl Tiles for Remote {
    type Error = String;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        self.runtime.block_on(self.fetch(path))
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.checkpoint.clone())
    }
}

/// What could not be fetched.
pub(crate) struct Unread {
    pub(crate) why: String,
    /// Whether somebody answered.
    pub(crate) answered: bool,
}

async fn fetch(client: &Client, path: &str) -> Result<Option<Vec<u8>>, Unread> {
    const TRIES: usize = 3;
    let request = Request::get(path);
    let mut last = Unread { why: String::new(), answered: false };
    for _ in 0..TRIES {
        match client.send(&request).await {
            Ok(response) if response.status == StatusCode::NOT_FOUND => return Ok(None),
            Ok(response) if response.status.is_success() => return Ok(Some(response.body.to_vec())),
            Ok(response) if response.status.is_client_error() => {
                let why = crate::client::refusal(response.status, &response.body).to_string();
                return Err(Unread { why, answered: true });
            }
            Ok(response) => {
                last = Unread { why: format!("the server answered {}", response.status), answered: true };
            }
            Err(error) => last = Unread { why: error.to_string(), answered: false },
        }
    }
    Err(last)
}
