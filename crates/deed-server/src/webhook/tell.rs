//! Telling people elsewhere that something waits for them: behind the decision, never in its way.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use deed_gateway::Waiting;
use deed_ledger::now;
use http::{Request, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{ID, SIGNATURE, TIMESTAMP, Webhook};

/// Messages that wait to be sent; the next one is not told, and said so in the log.
const WAITING: usize = 256;
/// Messages that are being sent at a time.
const UNDER_WAY: usize = 8;
/// How long an answer may take.
const ANSWERING: Duration = Duration::from_secs(10);
/// How long before each try.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

type Sending = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Where messages go, and what they say besides.
struct Line {
    webhook: Arc<Webhook>,
    to: Uri,
    /// Where this server is reached.
    here: Option<Uri>,
    client: Sending,
}

/// Sends a message for each step-up that comes over the channel, until nobody is left to send one over it.
///
/// # Errors
/// The system's roots of trust cannot be read.
pub(crate) fn tell(
    webhook: Arc<Webhook>,
    to: Uri,
    here: Option<Uri>,
) -> Result<mpsc::Sender<Waiting>, io::Error> {
    let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let line = Arc::new(Line { webhook, to, here, client });
    let (sender, mut waiting) = mpsc::channel::<Waiting>(WAITING);
    tokio::spawn(async move {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                next = waiting.recv(), if under_way.len() < UNDER_WAY => match next {
                    Some(waits) => {
                        let line = line.clone();
                        under_way.spawn(async move { line.send(&waits).await });
                    }
                    None => break,
                },
                Some(_) = under_way.join_next() => {}
            }
        }
    });
    Ok(sender)
}

impl Line {
    /// Sends one message, a few times if need be: under the same id, so that its receiver can tell.
    async fn send(&self, waits: &Waiting) {
        let (id, body) = (format!("msg_{}", waits.id), Bytes::from(self.message(waits)));
        let mut why = String::new();
        for pause in PAUSES {
            sleep(pause).await;
            match timeout(ANSWERING, self.post(&id, body.clone())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => why = error,
                Err(_) => why = format!("no answer within {} s", ANSWERING.as_secs()),
            }
        }
        tracing::warn!(action = %waits.id, %why, "nobody was told that it waits for an approval");
    }

    async fn post(&self, id: &str, body: Bytes) -> Result<(), String> {
        let timestamp = now().0.div_euclid(1_000_000);
        let request = Request::post(&self.to)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("deed/", env!("CARGO_PKG_VERSION")))
            .header(ID, id)
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, self.webhook.sign(id, timestamp, &body))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }

    /// What is said.
    ///
    /// INVARIANT D10: no arguments, for nobody records who reads them there.
    fn message(&self, waits: &Waiting) -> String {
        let here = self.here.as_ref().map(|here| here.to_string());
        let answer =
            here.map(|here| format!("{}/v1/approvals/{}/webhook", here.trim_end_matches('/'), waits.id));
        let data = json!({
            "id": waits.id, "time": waits.time, "expires": waits.expires,
            "initiator": waits.initiator, "executor": waits.executor,
            "server": waits.server, "method": waits.method, "target": waits.target,
            "policies": waits.policies, "approvers": waits.approvers,
            "answer": answer,
        });
        json!({ "type": "approval.requested", "timestamp": waits.time, "data": data }).to_string()
    }
}
