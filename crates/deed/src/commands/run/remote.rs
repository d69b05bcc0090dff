//! A command that a server elsewhere decides on and records.

use std::time::{Duration, Instant};

use deed_gateway::{Asked, Line, Patience, RunAsked, RunEnded, Unavailable, Verdict};
use deed_record::{SpanId, TraceId};
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio::time::{sleep, timeout};

use super::{
    NotTold,
    artifact::Artifact,
    child::Ended,
    identity::{shows_token, token},
    not_started, trace, unavailable,
};
use crate::{
    access, cli,
    client::{CallError, Client, Endpoint, Request, Response},
    exit::{Code, Failure},
    values,
};

/// For the decision: longer than the server takes for it, so that it records nothing that was given up here.
const DECIDING: Patience = Patience { each: Duration::from_secs(10), again: Duration::from_secs(5) };
/// For each question whether a human has answered: a server may be away for a while.
const WAITING: Patience = Patience { each: Duration::from_secs(12), again: Duration::from_secs(30) };
/// For the outcome, which is told again and again.
const CONCLUDING: Patience = Patience { each: Duration::from_secs(5), again: Duration::ZERO };
const PAUSE: Duration = Duration::from_millis(250);

/// The way to a server, and what it was asked.
pub(super) struct Remote {
    way: deed_gateway::Remote<Server>,
    /// Whether it is known by a token, and so names nobody unless it is told to.
    has_token: bool,
    asked: Option<Asked>,
}

impl Remote {
    /// The server at `endpoint`, with the token of the CI system that `run` asks for, else that of `$DEED_TOKEN`.
    ///
    /// # Errors
    /// There should be a token and is none, or it must not be shown there.
    pub(super) async fn new(url: &str, endpoint: Endpoint, run: &cli::Run) -> Result<Self, Failure> {
        if run.issuer.is_some() {
            return Err(Failure::usage("`--issuer` is for the store of this machine").detail(
                "a server believes the issuers of its own `deed.toml`, `[[issuer]]`: leave the flag out",
            ));
        }
        let shown = match shows_token(run)? {
            true => Some(of_job(run, &endpoint).await?),
            false => access::token(&endpoint)?,
        };
        let has_token = shown.is_some();
        let server = Server { client: Client::new(endpoint, shown), url: url.to_owned() };
        Ok(Remote { way: deed_gateway::Remote::new(server), has_token, asked: None })
    }

    /// Has it decided on and recorded.
    ///
    /// # Errors
    /// It is not known to be.
    pub(super) async fn ask(
        &mut self,
        run: &cli::Run,
        artifact: Option<&Artifact>,
    ) -> Result<Verdict, Failure> {
        let claimed = |who: &Option<deed_gateway::Who>| {
            let who = who.clone().or_else(|| (!self.has_token).then(values::system_who));
            who.and_then(|who| who.key)
        };
        let named = trace(run);
        let asks = RunAsked {
            nonce: nonce().map_err(unavailable)?,
            action: run.action.clone(),
            resource: run.resource.clone(),
            command: run.command.clone(),
            artifact: artifact.map(|artifact| artifact.released.clone()),
            compensates: run.compensates,
            trace_id: named.map(|(trace, _)| trace),
            parent_span_id: named.and_then(|(_, span)| span),
            executor: claimed(&run.executor),
            initiator: claimed(&run.initiator),
        };
        let (verdict, asked) = self.way.ask(&asks, DECIDING).await.map_err(not_started)?;
        self.asked = Some(asked);
        Ok(verdict)
    }

    /// Waits for a human.
    ///
    /// # Errors
    /// It is not known what was answered.
    pub(super) async fn wait(&mut self, patience: Duration) -> Result<Verdict, Failure> {
        let nobody = || unavailable(Unavailable::new("nobody was asked"));
        let asked = self.asked.as_mut().ok_or_else(nobody)?;
        self.way.wait(asked, patience, WAITING).await.map_err(not_started)
    }

    /// The trace, and the command's own span.
    pub(super) fn span(&self) -> Option<(TraceId, SpanId)> {
        self.asked.as_ref().map(|asked| (asked.trace_id, asked.span_id))
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// It is not known to be recorded.
    pub(super) async fn conclude(&self, ended: &Ended) -> Result<(), NotTold> {
        let nobody = || NotTold::Ever("nobody was asked".to_owned());
        let asked = self.asked.as_ref().ok_or_else(nobody)?;
        let told = RunEnded {
            time: ended.time,
            status: ended.status,
            code: ended.code.clone(),
            duration_ms: ended.milliseconds(),
        };
        self.way.conclude(asked, &told, CONCLUDING).await.map_err(|failure| {
            // A refusal will not become an answer.
            match failure.is(Code::Unavailable) {
                true => NotTold::Yet(failure.to_string()),
                false => NotTold::Ever(failure.to_string()),
            }
        })
    }
}

/// 32 hex digits of chance.
fn nonce() -> Result<String, Unavailable> {
    let (one, other) = (deed_gateway::fresh_span()?, deed_gateway::fresh_span()?);
    Ok(format!("{one}{other}"))
}

/// What a job shows: the token of its CI system.
async fn of_job(run: &cli::Run, endpoint: &Endpoint) -> Result<HeaderValue, Failure> {
    if endpoint.is_open_road() {
        return Err(Failure::usage(
            "the job's token is not sent without TLS: whoever reads it on its way could use it",
        )
        .detail("use https://"));
    }
    let denied = |why: String| not_started(Failure::new(format!("denied: {why}")).code(Code::Denied));
    let token = token(run, run.audience.as_deref()).await.map_err(denied)?;
    let bearer = bearer(token.trim());
    bearer.ok_or_else(|| denied("the token holds characters that no token has".to_owned()))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A server, over HTTP.
struct Server {
    client: Client,
    url: String,
}

impl Line for Server {
    type Error = Failure;

    async fn post(
        &self,
        path: &str,
        ticket: Option<&str>,
        body: Vec<u8>,
        patience: Patience,
    ) -> Result<Vec<u8>, Failure> {
        let request = Request::post(path, "application/json", body);
        let request = match ticket.map(bearer) {
            None => request,
            Some(Some(ticket)) => request.header(AUTHORIZATION, ticket),
            Some(None) => return Err(Unavailable::new("the server's ticket is none").into()),
        };
        let since = Instant::now();
        loop {
            let tried = timeout(patience.each, self.client.send(&request)).await;
            let is_over = since.elapsed() >= patience.again;
            let why = match tried {
                Ok(Ok(answer)) if answer.is_busy() && !is_over => "it is busy".to_owned(),
                Ok(Ok(answer)) => return self.heard(answer),
                Ok(Err(CallError::Untrusted(untrusted))) => {
                    let failure = self.silent();
                    return Err(untrusted.details().into_iter().fold(failure, Failure::detail));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", patience.each.as_secs()),
            };
            // What was kept may be a connection that nobody holds any more.
            self.client.forget();
            if is_over {
                return Err(self.silent().detail(why));
            }
            sleep(PAUSE).await;
        }
    }
}

impl Server {
    /// There is no answer.
    fn silent(&self) -> Failure {
        Failure::new(format!("failed to reach `{}`", self.url)).code(Code::Unavailable)
    }

    /// What an answer amounts to. Whatever is none of a Deed server's lets nothing start, and says nothing of who may.
    fn heard(&self, answer: Response) -> Result<Vec<u8>, Failure> {
        if answer.status == StatusCode::OK {
            return Ok(answer.body.into());
        }
        let said = answer.said();
        let failure = |code: Code| Failure::new(said.clone()).code(code);
        Err(match answer.problem().as_deref() {
            Some("unauthenticated") => Failure::new(format!("denied: {said}")).code(Code::Denied).detail(
                "show the token of the CI system (--audience, $DEED_ID_TOKEN), or one of this server in $DEED_TOKEN",
            ),
            Some("forbidden" | "wrong-tenant") => Failure::new(format!("denied: {said}")).code(Code::Denied),
            Some("bad-request" | "not-json" | "too-large") => failure(Code::Usage),
            Some("not-found") => failure(Code::NotFound),
            Some("conflict") => failure(Code::Failed),
            Some("recorder-unavailable") => Unavailable::new(said.clone()).into(),
            Some(_) => failure(Code::Unavailable),
            None => failure(Code::Unavailable).detail(format!("is `{}` a Deed server?", self.url)),
        })
    }
}
