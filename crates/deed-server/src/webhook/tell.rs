//! Telling people elsewhere that something waits for them: behind the decision, never in its way.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use deed_gateway::Waiting;
use http::Uri;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{
    Webhook,
    post::{Post, Unsent},
};

/// Messages that wait to be sent; the next one is not told, and said so in the log.
const WAITING: usize = 256;
/// Messages that are being sent at a time.
const UNDER_WAY: usize = 8;
/// How long before each try.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Where messages go, and what they say besides.
struct Line {
    post: Post,
    /// Where this server is reached.
    here: Option<Uri>,
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
    let line = Arc::new(Line { post: Post::new(webhook, to)?, here });
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
            match self.post.send(&id, body.clone()).await {
                Ok(()) => return,
                Err(Unsent::Away(said) | Unsent::Refused(said)) => why = said,
            }
        }
        tracing::warn!(action = %waits.id, %why, "nobody was told that it waits for an approval");
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
