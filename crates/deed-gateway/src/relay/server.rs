//! What the server sends: answers at once, but for what policy keeps from the client.

use std::{borrow::Cow, io, pin::pin};

use deed_record::Status;
use serde_json::value::RawValue;
use tokio::{io::AsyncBufRead, sync::mpsc};

use super::{Forward, LONGEST, Relay, lock, take};
use crate::{
    guard::{Pending, Permit},
    lines::{Line, Lines},
    message::{self, Id, Message},
    recorder::Road,
    refusal,
};

impl<R: Road> Relay<R> {
    pub(super) async fn read_server(
        &self,
        stream: impl AsyncBufRead + Unpin,
        to_client: mpsc::Sender<String>,
        to_server: mpsc::WeakSender<Forward>,
    ) -> io::Result<()> {
        let mut lines = Lines::new(stream, LONGEST);
        let mut ends = pin!(self.ends());
        loop {
            // No message is left half dealt with: how it ended is on its way into the log before the next is looked at.
            let line = tokio::select! {
                biased;
                () = &mut ends => return Ok(()),
                line = lines.next() => line?,
            };
            let Some(line) = line else { return Ok(()) };
            let line = match line {
                Line::Whole(line) => line,
                Line::TooLong { bytes, edges } => {
                    tracing::warn!(bytes, "a message of the server is too long and was dropped");
                    if let Some(refusal) = self.too_long(&edges).await
                        && !self.tell(&to_client, refusal).await
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
                    match self.unread(&line).await {
                        Some(failed) => failed,
                        None => continue,
                    }
                }
                Ok(Message::Response { id: Some(id), outcome }) => match take(&self.pending, &id) {
                    Some(pending) => {
                        self.guard
                            .answered(str::from_utf8(&line).unwrap_or_default(), &id, pending, outcome)
                            .await
                    }
                    // Nobody asked, or nobody waits any more.
                    None => {
                        lock(&self.called_off).remove(&id);
                        continue;
                    }
                },
                Ok(Message::Response { id: None, outcome }) => {
                    match self.beside(&line, None, Some(outcome.unwrap_or_else(|error| error))) {
                        Some(text) => text,
                        None => continue,
                    }
                }
                Ok(Message::Notification { method, params }) => {
                    self.guard.noticed(&method, params).await;
                    match self.beside(&line, Some(&method), params) {
                        Some(text) => text,
                        None => continue,
                    }
                }
                Ok(Message::Request { id, method, params }) => {
                    match self.server_asks(&line, &id, &method, params).await {
                        Ok(text) => text,
                        Err(refusal) => {
                            if let Some(to_server) = to_server.upgrade() {
                                // It may read nothing any more, and then it waits for no answer.
                                drop(to_server.send(Forward { text: refusal, by: Permit::Answer }).await);
                            }
                            continue;
                        }
                    }
                }
            };
            if !self.tell(&to_client, text).await {
                return Ok(());
            }
        }
    }

    /// Whether the client can be told; not one that reads nothing, once the connection ends.
    pub(super) async fn tell(&self, to_client: &mpsc::Sender<String>, text: String) -> bool {
        tokio::select! {
            biased;
            sent = to_client.send(text) => sent.is_ok(),
            () = self.ends() => false,
        }
    }

    /// What the client hears of a line that answers nothing, and in which the server says `said`, as a notification of `method`
    /// where it is one.
    fn beside(&self, line: &[u8], method: Option<&str>, said: Option<&RawValue>) -> Option<String> {
        // Whatever was read as a message is UTF-8.
        let text = str::from_utf8(line).unwrap_or_default();
        let masked = Pending::masked(lock(&self.pending).values());
        self.guard.beside(text, method, said, masked).map(Cow::into_owned)
    }

    /// What the client hears of a request of the server.
    ///
    /// # Errors
    /// It is not passed on: what the server hears, for it waits for an answer.
    async fn server_asks(
        &self,
        line: &[u8],
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<String, String> {
        if lock(&self.asked).contains_key(id) {
            let why = "a request of this id has no answer yet";
            return Err(self
                .guard
                .refuse(Some(id), method, "duplicate_id", refusal::INVALID_REQUEST, why)
                .await);
        }
        let text = self.beside(line, None, params).ok_or_else(|| refusal::kept_back(id))?;
        match self.guard.server_asks(method, message::params_of(&text), None).await {
            Ok(pending) => {
                lock(&self.asked).insert(id.clone(), pending);
                Ok(text)
            }
            Err(why) => Err(refusal::server_asked(id, method, &why)),
        }
    }

    /// What the client hears in place of an answer that cannot be read; `None` where the line is none.
    async fn unread(&self, line: &[u8]) -> Option<String> {
        let id = unread_answer(line)?;
        let pending = take(&self.pending, &id)?;
        // INVARIANT D11: it answered, and nobody knows what.
        self.guard.end(&pending, Status::Unknown, Some(refusal::MALFORMED.into()), None).await;
        Some(message::error(Some(&id), refusal::UPSTREAM, &refusal::unread(refusal::MALFORMED), None))
    }

    /// What the client hears in place of an answer that is too long; `None` where nothing tells whose it is.
    async fn too_long(&self, edges: &[Vec<u8>; 2]) -> Option<String> {
        let id = edges.iter().find_map(|edge| answered_id(edge))?;
        let pending = take(&self.pending, &id)?;
        self.guard.end(&pending, Status::Unknown, Some(refusal::TOO_LONG.into()), None).await;
        Some(message::error(Some(&id), refusal::UPSTREAM, &refusal::unread(refusal::TOO_LONG), None))
    }
}

/// Whose answer a line is that is no message, as far as that can be told.
pub(crate) fn unread_answer(line: &[u8]) -> Option<Id> {
    let holds = |member: &[u8]| memchr::memmem::find(line, member).is_some();
    // There are servers that begin what they write with a byte-order mark.
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let is_answer =
        line.trim_ascii_start().starts_with(b"{") && (holds(b"\"result\"") || holds(b"\"error\""));
    if is_answer { answered_id(line) } else { None }
}

/// The id in a piece of a message, where servers write it: before the result or behind it.
pub(crate) fn answered_id(piece: &[u8]) -> Option<Id> {
    let at = memchr::memmem::rfind(piece, b"\"id\":")? + 5;
    let mut values = serde_json::Deserializer::from_slice(&piece[at..]).into_iter::<Id>();
    values.next()?.ok()
}
