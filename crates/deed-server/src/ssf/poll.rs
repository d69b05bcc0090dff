//! Asking a transmitter for events (RFC 8936): acknowledged with the next question, after they are durable.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use deed_collect::ssf::Signal;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Refused, Transmitter};
use crate::fetch::{Sender, innermost};

/// How long a transmitter may think about an answer: it waits until there is something to say.
const ANSWERING: Duration = Duration::from_secs(120);
/// Events that are asked for at a time.
const MOST: u32 = 50;
/// The largest answer that is read, in bytes.
const LARGEST: usize = 4 << 20;
/// How long to leave a transmitter that is away: the first time, and at most.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
/// How long to leave one that answers at once although it has nothing to say.
const IDLE: Duration = Duration::from_secs(5);

/// What is asked (RFC 8936, section 2.2).
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Asked {
    max_events: u32,
    return_immediately: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ack: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set_errs: BTreeMap<String, SetErr>,
}

#[derive(Serialize)]
struct SetErr {
    err: &'static str,
    description: String,
}

/// What is answered (section 2.3).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    sets: BTreeMap<String, Value>,
}

/// Asks `to` again and again.
pub(super) async fn run(transmitter: &Arc<Transmitter>, to: &Uri, sender: &Sender) {
    let mut asked = Asked { max_events: MOST, ..Asked::default() };
    let mut away = AWAY.0;
    loop {
        let begun = Instant::now();
        match ask(transmitter, to, sender, &asked).await {
            Ok(answer) => {
                transmitter.change(|state| state.trouble = None);
                // What it heard now needs no saying again.
                let had_news = !asked.ack.is_empty() || !asked.set_errs.is_empty();
                asked = Asked { max_events: MOST, ..Asked::default() };
                let waits = take(transmitter, answer, &mut asked).await;
                let has_news = !asked.ack.is_empty() || had_news;
                if waits {
                    sleep(away).await;
                    away = (away * 2).min(AWAY.1);
                    continue;
                }
                away = AWAY.0;
                if !has_news && begun.elapsed() < IDLE {
                    let errs = !asked.set_errs.is_empty();
                    sleep(if errs { AWAY.0 } else { IDLE }).await;
                }
            }
            Err(why) => {
                transmitter.change(|state| {
                    state.failed += 1;
                    state.trouble = Some(why);
                });
                sleep(away).await;
                away = (away * 2).min(AWAY.1);
            }
        }
    }
}

/// Takes the events of an answer, in the order in which they happened, and notes what to say of them next; whether some
/// have to come again.
async fn take(transmitter: &Arc<Transmitter>, answer: Answer, next: &mut Asked) -> bool {
    let (mut signals, mut waits) = (Vec::new(), false);
    let mut refuse = |jti: String, refused: Refused, next: &mut Asked| match refused {
        Refused::Wrong(err, description) => {
            next.set_errs.insert(jti, SetErr { err, description });
        }
        Refused::Later(_) => waits = true,
    };
    for (jti, set) in answer.sets {
        // What is no text is no SET either, and refused as such.
        let token = set.as_str().unwrap_or_default().as_bytes().to_vec();
        let named_so = |signal: Signal| match signal.source.1 == jti {
            true => Ok(signal),
            false => Err(Refused::request("`jti` is not what the event was sent under")),
        };
        match transmitter.noted(transmitter.verified(token).await.and_then(named_so)) {
            Ok(signal) => signals.push((signal.time, jti, signal)),
            Err(refused) => refuse(jti, refused, next),
        }
    }
    signals.sort_by_key(|(time, _, _)| *time);
    for (_, jti, signal) in signals {
        match transmitter.noted(transmitter.record(signal).await) {
            Ok(()) => next.ack.push(jti),
            Err(refused) => refuse(jti, refused, next),
        }
    }
    waits
}

async fn ask(transmitter: &Transmitter, to: &Uri, sender: &Sender, asked: &Asked) -> Result<Answer, String> {
    let body = serde_json::to_vec(asked).map_err(|error| error.to_string())?;
    let token = transmitter.shown.first().ok_or("there is no token to show")?;
    let request = Request::post(to)
        .header(header::AUTHORIZATION, token)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("deed/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let exchanged = timeout(ANSWERING, async {
        let answer = sender.request(request).await.map_err(|error| innermost(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?.to_bytes();
        // Nothing of the answer is quoted: it holds tokens (D9).
        serde_json::from_slice(&body).map_err(|error| {
            format!("its answer is not that of RFC 8936, at line {} column {}", error.line(), error.column())
        })
    });
    let exchanged = exchanged.await;
    exchanged.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWERING.as_secs())))
}
