//! A decision point on another machine, asked for the commands of this one.
//!
//! Nothing that is asked here says who asks: that is what is shown with it says, a token of a CI system or one of the
//! server's own. The decision comes with a ticket, which is good for the wait and the outcome of this one action.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use deed_record::{RecordId, Ruling, SpanId, Status, Timestamp, TraceId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{RecordedIntent, Unavailable, Verdict, whole_seconds};
use crate::{approvals::NOT_IN_TIME, ending::BY_CLIENT, intent::Answer, run::Released};

/// Where commands of other machines are decided on.
pub const RUNS: &str = "/v1/runs";

/// How long one question waits for a human at the server.
const ONE_WAIT: Duration = Duration::from_secs(5);

/// A command of another machine asks to run: what is asked at [`RUNS`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunAsked {
    /// Anything that nobody can guess: the same question with the same nonce is decided on once.
    pub nonce: String,
    /// What it does, such as `deploy`.
    pub action: String,
    /// What it does it to, a URI.
    pub resource: String,
    /// The command line.
    pub command: Vec<String>,
    /// What it releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Released>,
    /// The action that it undoes, by the id of any of its records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensates: Option<RecordId>,
    /// The trace that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The span in that trace which it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    /// Who runs it, as `TYPE:NAME`: a claim. Nobody who shows a token of a CI system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// For whom, as `TYPE:NAME`: a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
}

/// What is answered at [`RUNS`] and, of a step-up, to each wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunTold {
    /// The nonce of the question.
    pub nonce: String,
    /// The decision, and where it is recorded.
    pub answer: Answer,
    /// The trace that it is part of.
    pub trace_id: TraceId,
    /// Its own span.
    pub span_id: SpanId,
    /// What the next question about this action is asked with: the wait where a human is asked for, the outcome where it may
    /// run. None where it is denied. It is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Whether the next wait is to tell the command again. The server was started again, and kept no secret of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_command: bool,
}

/// How long a human is waited for in one question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunWait {
    /// In seconds.
    pub seconds: u64,
    /// The command line, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// How a command of another machine ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnded {
    /// When, by that machine's clock.
    pub time: Timestamp,
    /// How.
    pub status: Status,
    /// The exit code, the signal's name, or in a word why it was not started.
    pub code: String,
    /// How long it took, in milliseconds; `None` where it was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

impl RunEnded {
    /// Whether it says that it was never let run: nobody approved it while it was waited for, or it was called off before.
    pub fn is_given_up(&self) -> bool {
        self.status == Status::Denied && self.code == NOT_IN_TIME
            || self.status == Status::Cancelled && self.code == BY_CLIENT
    }
}

/// How long somebody waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one answer may take, from before there is a connection.
    pub each: Duration,
    /// How long it is tried again where there was none.
    pub again: Duration,
}

/// How a server is reached.
pub trait Line: Send + Sync {
    /// Why there is no answer.
    type Error: From<Unavailable> + Send;

    /// Sends `body` to `path` with the token `bearer`, or with what this machine shows of itself, and gives the answer's
    /// body. It may be sent more than once.
    ///
    /// # Errors
    /// There was no answer, or it was a refusal.
    fn post(
        &self,
        path: &str,
        bearer: Option<&str>,
        body: Vec<u8>,
        patience: Patience,
    ) -> impl Future<Output = Result<Vec<u8>, Self::Error>> + Send;
}

/// An action that a server decided on.
pub struct Asked {
    id: RecordId,
    nonce: String,
    /// The trace that it is part of.
    pub trace_id: TraceId,
    /// Its own span.
    pub span_id: SpanId,
    /// INVARIANT D9: never shown.
    ticket: Option<String>,
    /// The command line.
    command: Vec<String>,
}

/// A way to the decision point of a server.
pub struct Remote<L>(L);

impl<L: Line> Remote<L> {
    /// By `line`.
    pub fn new(line: L) -> Self {
        Remote(line)
    }

    /// Has a command decided on and recorded.
    ///
    /// # Errors
    /// It could not be, or nobody knows; nothing may be done.
    pub async fn ask(&self, asks: &RunAsked, patience: Patience) -> Result<(Verdict, Asked), L::Error> {
        let told: RunTold = self.post(RUNS, None, asks, patience).await?;
        if told.nonce != asks.nonce {
            return Err(Unavailable::new("the answer is about another command").into());
        }
        let RunTold { nonce, answer, trace_id, span_id, ticket, .. } = told;
        let asked = Asked { id: answer.id, nonce, trace_id, span_id, ticket, command: asks.command.clone() };
        Ok((asked.verdict(answer)?, asked))
    }

    /// Waits for a human, but no longer than `patience`; `each` is how one question is asked.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub async fn wait(
        &self,
        asked: &mut Asked,
        patience: Duration,
        each: Patience,
    ) -> Result<Verdict, L::Error> {
        let until = Instant::now() + patience;
        let path = format!("{RUNS}/{}/wait", asked.id);
        let mut command = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = RunWait { seconds: whole_seconds(left, ONE_WAIT).await, command };
            let told: RunTold = self.post(&path, asked.ticket.as_deref(), &wait, each).await?;
            if told.answer.id != asked.id || told.nonce != asked.nonce {
                return Err(Unavailable::new("the answer is about another command").into());
            }
            let goes_on = told.answer.effect == Ruling::StepUp;
            command = if told.wants_command { asked.command.clone() } else { Vec::new() };
            if !goes_on {
                asked.ticket = told.ticket;
            }
            if !goes_on || Instant::now() >= until {
                return Ok(asked.verdict(told.answer)?);
            }
        }
    }

    /// Records how it ended.
    ///
    /// # Errors
    /// It is not known to be recorded.
    pub async fn conclude(
        &self,
        asked: &Asked,
        ended: &RunEnded,
        patience: Patience,
    ) -> Result<(), L::Error> {
        let path = format!("{RUNS}/{}/outcome", asked.id);
        let told: Recorded = self.post(&path, asked.ticket.as_deref(), ended, patience).await?;
        match told.action_id == asked.id {
            true => Ok(()),
            false => Err(Unavailable::new("the answer is about another command").into()),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        ticket: Option<&str>,
        question: &impl Serialize,
        patience: Patience,
    ) -> Result<T, L::Error> {
        let body = serde_json::to_vec(question).map_err(|error| Unavailable::new(error.to_string()))?;
        let answer = self.0.post(path, ticket, body, patience).await?;
        // INVARIANT D9: what cannot be read may hold a ticket, and is not shown.
        let read = serde_json::from_slice(&answer);
        Ok(read
            .map_err(|_| Unavailable::new("the server's answer is none of a Deed server of this version"))?)
    }
}

/// What is answered to an outcome.
#[derive(Deserialize)]
struct Recorded {
    action_id: RecordId,
}

impl Asked {
    /// What follows from `answer`. INVARIANT D1: a server answers `allow` once it is recorded. Without a ticket its end
    /// could not be, and it does not begin.
    fn verdict(&self, answer: Answer) -> Result<Verdict, Unavailable> {
        match answer.effect {
            Ruling::Allow if self.ticket.is_none() => {
                Err(Unavailable::new("the decision came without a ticket"))
            }
            Ruling::Allow => Ok(Verdict::Go(RecordedIntent { answer: Box::new(answer) })),
            Ruling::Deny | Ruling::StepUp => Ok(Verdict::Stop(answer)),
        }
    }
}
