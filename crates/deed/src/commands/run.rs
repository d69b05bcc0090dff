//! `deed run`: a command that starts once it is decided on and recorded, and whose end is recorded too (P9).

mod artifact;
mod child;
mod identity;
mod local;
mod remote;

use std::{
    env, fs,
    time::{Duration, Instant},
};

use deed_gateway::{Answer, BY_CLIENT, NOT_IN_TIME, RecordedIntent, Unavailable, Verdict, traceparent};
use deed_ledger::now;
use deed_record::{Ruling, SpanId, Status, TraceId};
use tokio::{task::spawn_blocking, time::timeout};

use self::{
    artifact::Artifact,
    child::{Ended, Signals},
    local::Local,
    remote::Remote,
};
use crate::{
    access::{self, Place},
    cli::{self, Global},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::note,
};

/// How often the end is told while nothing can be recorded, how long between, and for how long a server is told.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);
const HALF_A_MINUTE: Duration = Duration::from_secs(30);
/// How long it is tried to tell that a command was not started.
const A_MOMENT: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, run: cli::Run) -> Outcome {
    let mut signals = Signals::listen()?;
    let hint = Hint::of(global);
    let mut way = match access::place(global)? {
        Place::Server(url, endpoint) => {
            let remote = Remote::new(&url, endpoint, &run).await?;
            Way::There(Box::new(remote))
        }
        Place::Store(_) => Way::Here(Box::new(Local::new(global)?)),
    };
    let done = decide_and_run(&mut way, &run, &hint, &mut signals).await;
    match way.finish(done).await? {
        0 => Ok(()),
        code => Err(Failure::of_command(code)),
    }
}

/// Where it is decided on and recorded.
enum Way {
    /// The store of this machine.
    Here(Box<Local>),
    /// A server elsewhere.
    There(Box<Remote>),
}

impl Way {
    async fn ask(&mut self, run: &cli::Run, artifact: Option<&Artifact>) -> Result<Verdict, Failure> {
        match self {
            Way::Here(local) => local.ask(run, artifact).await,
            Way::There(remote) => remote.ask(run, artifact).await,
        }
    }

    async fn wait(&mut self, answer: &Answer, patience: Duration) -> Result<Verdict, Failure> {
        match self {
            Way::Here(local) => local.wait(answer, patience).await,
            Way::There(remote) => remote.wait(patience).await,
        }
    }

    /// The trace, and the span of the command in it.
    fn span(&self) -> Option<(TraceId, SpanId)> {
        match self {
            Way::Here(local) => local.span(),
            Way::There(remote) => remote.span(),
        }
    }

    /// Tells how it ended, once.
    async fn conclude(&self, ended: &Ended) -> Result<(), NotTold> {
        match self {
            Way::Here(local) => local.conclude(ended).await,
            Way::There(remote) => remote.conclude(ended).await,
        }
    }

    /// Whether it is told no more, although nobody has refused to hear it.
    fn gives_up(&self, tries: u32, since: Instant) -> bool {
        match self {
            Way::Here(_) => tries >= TRIES,
            // One that hangs takes its time, and the job that waits costs money.
            Way::There(_) => tries >= TRIES || since.elapsed() >= HALF_A_MINUTE,
        }
    }

    /// How a human answers.
    fn how_to_answer(&self, hint: &Hint, answer: &str, id: impl std::fmt::Display) -> String {
        let command = format!("{answer} {id} --as human:NAME");
        match self {
            Way::Here(_) => hint.deed(&command),
            // No token of a server gives that right.
            Way::There(_) => format!("deed {command}   (on the server's machine, or by its webhook)"),
        }
    }

    async fn finish(self, done: Result<u8, Failure>) -> Result<u8, Failure> {
        match self {
            Way::Here(local) => local.finish(done).await,
            Way::There(_) => done,
        }
    }
}

/// Why an end is not recorded, as far as is known.
enum NotTold {
    /// Not now.
    Yet(String),
    /// Never.
    Ever(String),
}

/// The exit code of the command, or why it was not let run.
async fn decide_and_run(
    way: &mut Way,
    run: &cli::Run,
    hint: &Hint,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    if let Way::Here(local) = way {
        local.prepare(run).await?;
    }
    let artifact = read_artifact(run).await?;
    let recorded = match way.ask(run, artifact.as_ref()).await? {
        Verdict::Go(recorded) => recorded,
        Verdict::Stop(answer) => {
            let patience = Duration::from_secs(run.wait.into());
            wait(way, answer, patience, hint, signals).await?
        }
    };
    note(&format!("deed: {} may run, recorded as {}", run.action, recorded.id()));
    let ended = start(way, run, &recorded, artifact, signals).await;
    conclude(way, &ended).await;
    ended.exit
}

async fn read_artifact(run: &cli::Run) -> Result<Option<Artifact>, Failure> {
    let Some(path) = run.artifact.clone() else { return Ok(None) };
    let signed = run.signature.clone().zip(run.signer.clone());
    let read = spawn_blocking(move || {
        let signed = signed.as_ref().map(|(signature, key)| (signature.as_path(), key.as_path()));
        Artifact::read(&path, signed)
    });
    read.await.map_err(|error| Failure::new(error.to_string()))?.map(Some)
}

/// The trace that is named, or that of the pipeline.
fn trace(run: &cli::Run) -> Option<(TraceId, Option<SpanId>)> {
    // A malformed one is passed over (W3C Trace Context, section 3.2.2.5).
    let around = || env::var("TRACEPARENT").ok().and_then(|text| traceparent(text.trim()));
    run.trace.or_else(|| around().map(|(trace, span)| (trace, Some(span))))
}

/// Waits for a human where one is asked for; else it is denied.
async fn wait(
    way: &mut Way,
    answer: Answer,
    patience: Duration,
    hint: &Hint,
    signals: &mut Signals,
) -> Result<RecordedIntent, Failure> {
    if answer.effect != Ruling::StepUp {
        return Err(denied(&answer, hint));
    }
    note(&format!("deed: waits up to {} s for a human: {}", patience.as_secs(), answer.reason));
    note(&format!("  approve  {}", way.how_to_answer(hint, "approve", answer.id)));
    note(&format!("  refuse   {}", way.how_to_answer(hint, "refuse", answer.id)));
    let heard = tokio::select! {
        verdict = way.wait(&answer, patience) => Ok(verdict?),
        got = signals.end() => Err(got),
    };
    match heard {
        Ok(Verdict::Go(recorded)) => Ok(recorded),
        Ok(Verdict::Stop(answer)) if answer.effect == Ruling::StepUp => {
            let why = format!("nobody approved it within {} s", patience.as_secs());
            give_up(way, Status::Denied, NOT_IN_TIME).await;
            Err(not_started(Failure::new(why).code(Code::Denied)))
        }
        Ok(Verdict::Stop(answer)) => Err(denied(&answer, hint)),
        Err(got) => {
            give_up(way, Status::Cancelled, BY_CLIENT).await;
            Err(Failure::new(format!("{} while it waited: the command was not started", got.name())))
        }
    }
}

/// Tells that nobody waits for it any more. Whoever waited is not kept waiting by that.
async fn give_up(way: &Way, status: Status, code: &str) {
    let exit = Ok(Code::Denied as u8);
    let ended = Ended { status, code: code.to_owned(), took: None, time: now(), exit };
    if timeout(A_MOMENT, conclude(way, &ended)).await.is_err() {
        note("deed: that it was not started could not be recorded");
    }
}

fn denied(answer: &Answer, hint: &Hint) -> Failure {
    Failure::new(format!("denied: {}", answer.reason))
        .code(Code::Denied)
        .detail("the command was not started")
        .detail(hint.deed(&format!("explain {}", answer.id)))
}

fn not_started(failure: Failure) -> Failure {
    failure.detail("the command was not started")
}

fn unavailable(error: Unavailable) -> Failure {
    not_started(Failure::from(error))
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Failure::new(error.to_string()).code(Code::Unavailable)
    }
}

/// Starts the command, unless it must not be any more.
async fn start(
    way: &Way,
    run: &cli::Run,
    recorded: &RecordedIntent,
    artifact: Option<Artifact>,
    signals: &mut Signals,
) -> Ended {
    let not_started = |status: Status, code: &str, exit: Result<u8, Failure>| Ended {
        status,
        code: code.to_owned(),
        took: None,
        time: now(),
        exit,
    };
    let Some(span) = way.span() else {
        // INVARIANT: what was let through was asked about.
        let failure = Failure::new("nobody was asked").code(Code::Unavailable);
        return not_started(Status::Failure, "not_started", Err(failure));
    };
    if let Some(path) = &run.id_file
        && let Err(error) = fs::write(path, format!("{}\n", recorded.id()))
    {
        let failure = Failure::new(format!("failed to write `{}`", path.display())).detail(error.to_string());
        return not_started(Status::Failure, "not_started", Err(failure));
    }
    if let Some(artifact) = artifact {
        let is_same = spawn_blocking(move || artifact.is_same()).await.unwrap_or(false);
        if !is_same {
            let failure = Failure::new("the artifact changed after it was decided on")
                .detail("the command was not started");
            return not_started(Status::Failure, "artifact_changed", Err(failure));
        }
    }
    if let Some(got) = signals.came().await {
        return not_started(Status::Cancelled, got.name(), Ok(got.exit_code()));
    }
    child::run(recorded, span, &run.command, signals).await
}

/// Has the end recorded; it is tried for a while, for the command has run (INVARIANT D11).
async fn conclude(way: &Way, ended: &Ended) {
    let (since, mut tries) = (Instant::now(), 0);
    let why = loop {
        tries += 1;
        match way.conclude(ended).await {
            Ok(()) => return,
            Err(NotTold::Ever(why)) => break why,
            Err(NotTold::Yet(why)) if way.gives_up(tries, since) => break why,
            Err(NotTold::Yet(_)) => tokio::time::sleep(PAUSE).await,
        }
    };
    note(&format!("deed: how it ended could not be recorded and will be unknown: {why}"));
}
