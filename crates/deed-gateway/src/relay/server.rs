//! What the server sends: answers at once, but for what policy keeps from the client.

use std::{io, time::Instant};

use deed_record::Status;
use serde_json::value::RawValue;
use tokio::{io::AsyncBufRead, sync::mpsc};

use super::{LONGEST, Pending, Relay, lock, take};
use crate::{
    ending,
    intent::Listing,
    lines::{self, Line},
    listing,
    mask::{self, Masked},
    message::{self, Id, Message},
    method,
    recorder::{Road, Unavailable, Verdict},
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
                        self.answered(str::from_utf8(&line).unwrap_or_default(), &id, pending, outcome).await
                    }
                    // Nobody asked, or nobody waits any more.
                    None => continue,
                },
                Ok(Message::Response { id: None, .. } | Message::Notification { .. }) => text_of(&line),
                Ok(Message::Request { id, method, params }) => {
                    match self.server_asks(&id, &method, params).await {
                        Ok(()) => text_of(&line),
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

    /// What the client hears in place of an answer that is too long; `None` where nothing tells whose it is.
    async fn too_long(&self, bytes: u64, edges: &[Vec<u8>; 2]) -> Option<String> {
        let id = edges.iter().find_map(|edge| answered_id(edge))?;
        let pending = take(&self.pending, &id)?;
        self.end(&pending, Status::Failure, Some("too_long".into()), None).await;
        let why = format!("the server answered with {bytes} bytes; a message has at most {LONGEST}");
        Some(message::error(Some(&id), refusal::UPSTREAM, &why, None))
    }

    /// What the client hears of an answer; all of it, unless policy says otherwise.
    async fn answered(
        &self,
        text: &str,
        id: &Id,
        pending: Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> String {
        let heard = match outcome {
            Ok(result) if pending.intent.method == method::TOOL_LIST => {
                self.listed(text, id, &pending, result).await
            }
            Ok(result) if !pending.mask.is_empty() => return self.masked(text, id, pending, result).await,
            _ => text.to_owned(),
        };
        self.conclude(pending, outcome).await;
        heard
    }

    /// An answer to `tools/list`: what is new in it is pinned or held, and nobody sees what they may not use.
    async fn listed(&self, text: &str, id: &Id, pending: &Pending, result: &RawValue) -> String {
        let tools = listing::tools(result);
        for tool in &tools {
            self.door.learn_definition(tool.name.clone(), tool.digest.clone());
        }
        let listing =
            Listing { server: self.door.server().to_owned(), place: pending.intent.place.clone(), tools };
        match self.recorder.catalog(&listing).await {
            Ok(shown) if shown.hidden.is_empty() && !shown.personal => text.to_owned(),
            Ok(shown) => listing::without_hidden(text, result, &shown),
            Err(why) => refusal::unavailable(id, Some(&pending.intent), method::TOOL_LIST, &why, None),
        }
    }

    /// A result without what policy keeps from the caller (T5).
    async fn masked(&self, text: &str, id: &Id, pending: Pending, result: &RawValue) -> String {
        let (heard, status, code, kept) = match mask::mask(result.get(), &pending.mask) {
            Masked::Untouched => {
                self.conclude(pending, Ok(result)).await;
                return text.to_owned();
            }
            Masked::Without(result, fields) => {
                let (status, code) = ending::of_text(&result);
                (message::result(id, &result), status, code.or(Some(format!("masked_{fields}"))), result)
            }
            Masked::Withheld => {
                let said = refusal::withheld(id, &pending.intent);
                (said, Status::Denied, Some("withheld".to_owned()), "null".to_owned())
            }
        };
        // The record holds what the caller got: what was blocked is nowhere.
        let kept =
            RawValue::from_string(kept).ok().map(|kept| ending::kept(&kept, pending.whole).into_owned());
        self.end(&pending, status, code, kept).await;
        heard
    }

    /// What the server asks of the client is recorded before the client hears it.
    async fn server_asks(&self, id: &Id, method: &str, params: Option<&RawValue>) -> Result<(), Unavailable> {
        let intent = if method::is_server_request(method) {
            self.door.server_intent(method, params)?
        } else {
            self.door.refusal(method, "unknown_method", "nobody here knows this request of the server")?
        };
        match self.recorder.intend(&intent).await? {
            Verdict::Go(_) => {
                let pending = Pending { intent, whole: true, mask: Vec::new(), since: Instant::now() };
                lock(&self.asked).insert(id.clone(), pending);
                Ok(())
            }
            Verdict::Stop(answer) => Err(Unavailable::new(answer.reason)),
        }
    }
}

/// A line that was read as a message, and so is UTF-8.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// The id in a piece of a message, where servers write it: before the result or behind it.
fn answered_id(piece: &[u8]) -> Option<Id> {
    let at = memchr::memmem::rfind(piece, b"\"id\":")? + 5;
    let mut values = serde_json::Deserializer::from_slice(&piece[at..]).into_iter::<Id>();
    values.next()?.ok()
}
