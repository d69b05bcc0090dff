//! What the server sends: answers at once, but for what policy keeps from the client.

use std::{borrow::Cow, io};

use deed_record::Status;
use serde_json::value::RawValue;
use tokio::{io::AsyncBufRead, sync::mpsc};

use super::{LONGEST, Relay, lock, take};
use crate::{
    lines::{self, Line},
    message::{self, Id, Message},
    recorder::Road,
    refusal,
};

impl<R: Road> Relay<R> {
    pub(super) async fn read_server(
        &self,
        mut stream: impl AsyncBufRead + Unpin,
        to_client: mpsc::Sender<String>,
    ) -> io::Result<()> {
        while let Some(line) = lines::next(&mut stream, LONGEST).await? {
            let line = match line {
                Line::Whole(line) => line,
                Line::TooLong { bytes, edges } => {
                    tracing::warn!(bytes, "a message of the server is too long and was dropped");
                    if let Some(refusal) = self.too_long(bytes, &edges).await
                        && to_client.send(refusal).await.is_err()
                    {
                        return Ok(());
                    }
                    continue;
                }
            };
            let text = match Message::read(&line) {
                Err(malformed) => {
                    tracing::warn!(
                        why = malformed.why,
                        "what the server wrote is no message and was dropped"
                    );
                    continue;
                }
                Ok(Message::Response { id: Some(id), outcome }) => match take(&self.pending, &id) {
                    Some(pending) => {
                        self.guard
                            .answered(str::from_utf8(&line).unwrap_or_default(), &id, pending, outcome)
                            .await
                    }
                    // Nobody asked, or nobody waits any more.
                    None => continue,
                },
                Ok(Message::Response { id: None, outcome }) => {
                    match self.beside(&line, Some(outcome.unwrap_or_else(|error| error))) {
                        Some(text) => text,
                        None => continue,
                    }
                }
                Ok(Message::Notification { params, .. }) => match self.beside(&line, params) {
                    Some(text) => text,
                    None => continue,
                },
                Ok(Message::Request { id, method, params }) => {
                    let Some(text) = self.beside(&line, params) else { continue };
                    match self.guard.server_asks(&method, message::params_of(&text)).await {
                        Ok(pending) => {
                            lock(&self.asked).insert(id, pending);
                            text
                        }
                        Err(why) => {
                            tracing::warn!(%why, method = &*method, "a request of the server was not passed on");
                            continue;
                        }
                    }
                }
            };
            if to_client.send(text).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the client hears of a line that answers nothing, and in which the server says `said`.
    fn beside(&self, line: &[u8], said: Option<&RawValue>) -> Option<String> {
        // Whatever was read as a message is UTF-8.
        let text = str::from_utf8(line).unwrap_or_default();
        self.guard.beside(text, said, lock(&self.pending).values()).map(Cow::into_owned)
    }

    /// What the client hears in place of an answer that is too long; `None` where nothing tells whose it is.
    async fn too_long(&self, bytes: u64, edges: &[Vec<u8>; 2]) -> Option<String> {
        let id = edges.iter().find_map(|edge| answered_id(edge))?;
        let pending = take(&self.pending, &id)?;
        self.guard.end(&pending, Status::Failure, Some("too_long".into()), None).await;
        let why = format!("the server answered with {bytes} bytes; a message has at most {LONGEST}");
        Some(message::error(Some(&id), refusal::UPSTREAM, &why, None))
    }
}

/// The id in a piece of a message, where servers write it: before the result or behind it.
pub(crate) fn answered_id(piece: &[u8]) -> Option<Id> {
    let at = memchr::memmem::rfind(piece, b"\"id\":")? + 5;
    let mut values = serde_json::Deserializer::from_slice(&piece[at..]).into_iter::<Id>();
    values.next()?.ok()
}
