//! A static log (C2SP tlog-tiles) behind HTTP.

use std::sync::Arc;

use deed_seal::{note::MAX_NOTE, tile::TilePath, verify::Tiles};
use http::StatusCode;
use tokio::runtime::Handle;

use crate::{
    client::{CallError, Client, Request},
    exit::Code,
};

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
        let checkpoint = fetch(&client, "/checkpoint", MAX_NOTE).await?;
        Ok(Remote { client, runtime: Handle::current(), checkpoint })
    }

    /// Fetches a tile or bundle.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) async fn fetch(&self, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        fetch(&self.client, &format!("/{path}"), path.max_len()).await.map_err(|unread| unread.why)
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
    /// What that amounts to.
    pub(crate) code: Code,
}

/// The file `path`; of one that is longer than `most` one byte more.
async fn fetch(client: &Client, path: &str, most: usize) -> Result<Option<Vec<u8>>, Unread> {
    const TRIES: usize = 3;
    let request = Request::get(path).at_most(most);
    let mut last = Unread { why: String::new(), code: Code::Unavailable };
    for _ in 0..TRIES {
        match client.send(&request).await {
            Ok(response) if response.status == StatusCode::NOT_FOUND => return Ok(None),
            Ok(response) if response.status.is_success() => return Ok(Some(response.body.to_vec())),
            Ok(response) if response.status.is_client_error() => {
                let why = crate::client::refusal(response.status, &response.body).to_string();
                return Err(Unread { why, code: Code::Failed });
            }
            Ok(response) => {
                last = Unread { why: format!("the server answered {}", response.status), code: Code::Failed };
            }
            Err(error @ CallError::Coded(_)) => {
                return Err(Unread { why: error.to_string(), code: Code::Unverified });
            }
            Err(error) => last = Unread { why: error.to_string(), code: Code::Unavailable },
        }
    }
    Err(last)
}
