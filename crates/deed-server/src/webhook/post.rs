//! Sending one signed message.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use deed_ledger::now;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::time::timeout;

use super::{ID, SIGNATURE, TIMESTAMP, Webhook};
use crate::fetch;

/// How long an answer may take.
const ANSWERING: Duration = Duration::from_secs(10);

/// Where messages go, and what they are signed with.
pub(super) struct Post {
    webhook: Arc<Webhook>,
    to: Uri,
    client: fetch::Sender,
}

/// Why a message was not taken.
pub(super) enum Unsent {
    /// Nobody takes messages now.
    Away(String),
    /// This one is not wanted.
    Refused(String),
}

impl Post {
    /// # Errors
    /// The system's roots of trust cannot be read.
    pub(super) fn new(webhook: Arc<Webhook>, to: Uri) -> io::Result<Self> {
        Ok(Post { webhook, to, client: fetch::sender()? })
    }

    /// Sends `body` once, as the message `id`.
    ///
    /// # Errors
    /// It was not taken, or nobody knows.
    pub(super) async fn send(&self, id: &str, body: Bytes) -> Result<(), Unsent> {
        let slow = |_| Unsent::Away(format!("no answer within {} s", ANSWERING.as_secs()));
        timeout(ANSWERING, self.post(id, body)).await.map_err(slow)?
    }

    async fn post(&self, id: &str, body: Bytes) -> Result<(), Unsent> {
        let timestamp = now().0.div_euclid(1_000_000);
        let request = Request::post(&self.to)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("deed/", env!("CARGO_PKG_VERSION")))
            .header(ID, id)
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, self.webhook.sign(id, timestamp, &body))
            .body(Full::new(body))
            .map_err(|error| Unsent::Refused(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| Unsent::Away(error.to_string()))?;
        let said = |status: StatusCode| format!("it answered {status}");
        match answer.status() {
            status if status.is_success() => Ok(()),
            // The receiver is there; it is this message that it does not take.
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY) => Err(Unsent::Refused(said(status))),
            status => Err(Unsent::Away(said(status))),
        }
    }
}
