//! `deed run`: a command that starts once it is decided on and recorded, and whose end is recorded too (P9).

mod artifact;
mod child;
mod identity;

use std::{env, fs, time::Duration};

use deed_gateway::{
    Answer, Conclusion, Intent, Place, RecordedIntent, Recorder, Run, Unavailable, Verdict, fresh_span,
    traceparent,
};
use deed_ledger::{fresh_id, now};
use deed_record::{RecordId, Ruling, SpanId, Status, TraceId};
use serde::Deserialize;
use serde_json::{Value, json, value::to_raw_value};
use tokio::task::spawn_blocking;

use self::{
    artifact::Artifact,
    child::{Ended, Signals},
    identity::Identity,
};
use super::mcp::{Store, reached};
use crate::{
    access::Access,
    cli::{self, Global},
    client::Request,
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::note,
    values,
};

/// How often the end is told while nothing can be recorded, and how long between.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(global: &Global, run: cli::Run) -> Outcome {
    if global.server.is_some() {
        return Err(Failure::usage("`deed run` works with the store of this machine")
            .detail("what is enforced here is recorded here: --data DIR instead of --server"));
    }
    let mut signals = Signals::listen()?;
    let access = Access::at_store(global)?;
    let done = decide_and_run(&access, &run, &Hint::of(global), &mut signals).await;
    match access.finish(done).await? {
        0 => Ok(()),
        code => Err(Failure::of_command(code)),
    }
}

/// The exit code of the command, or why it was not let run.
async fn decide_and_run(
    access: &Access,
    run: &cli::Run,
    hint: &Hint,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let origin = origin(access).await?;
    let undone = match run.compensates {
        Some(id) => Some(Undone::find(access, id).await?),
        None => None,
    };
    let artifact = read_artifact(run).await?;
    let identity = Identity::find(access, run, &origin).await.map_err(not_started)?;
    let intent = intent(run, &identity, artifact.as_ref(), undone.as_ref()).map_err(unavailable)?;
    let recorder = Recorder::there(Store(access.clone()));
    let recorded = match recorder.intend(&intent).await.map_err(unavailable)? {
        Verdict::Go(recorded) => recorded,
        Verdict::Stop(answer) => {
            let patience = Duration::from_secs(run.wait.into());
            wait(&recorder, answer, patience, hint, signals).await?
        }
    };
    note(&format!("deed: {} may run, recorded as {}", run.action, recorded.id()));
    let ended = start(run, &recorded, &intent, artifact, signals).await;
    conclude(&recorder, &intent, &ended).await;
    ended.exit
}

/// The name of the store's log. Asked first, so that a store that cannot be used is said at once.
async fn origin(access: &Access) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Keys {
        origin: String,
    }
    let unusable = |failure: Failure| failure.code(Code::Unavailable).detail("the command was not started");
    let answer = reached(access, &Request::get("/v1/keys")).await.map_err(unusable)?;
    answer.json::<Keys>().map(|keys| keys.origin).map_err(unusable)
}

/// The action that is undone.
struct Undone {
    id: RecordId,
    trace: Option<TraceId>,
}

impl Undone {
    /// The action of which `id` is a record.
    async fn find(access: &Access, id: RecordId) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Explained {
            action: Action,
        }
        #[derive(Deserialize)]
        struct Action {
            id: RecordId,
            trace_id: Option<TraceId>,
        }
        let answer = access.call(&Request::get(format!("/v1/actions/{id}/explain"))).await;
        let explained = answer.and_then(|answer| answer.json::<Explained>());
        let explained = explained.map_err(|failure| failure.doing("find what is to be undone"))?;
        Ok(Undone { id: explained.action.id, trace: explained.action.trace_id })
    }
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

/// What the decision point is asked.
fn intent(
    run: &cli::Run,
    identity: &Identity,
    artifact: Option<&Artifact>,
    undone: Option<&Undone>,
) -> Result<Intent, Unavailable> {
    let released = artifact.map(|artifact| artifact.released.clone());
    let mut arguments = json!({ "action": run.action, "command": run.command });
    let further = [
        ("artifact", released.as_ref().and_then(|released| serde_json::to_value(released).ok())),
        ("ci", identity.claims().map(|claims| Value::from(claims.clone()))),
        ("compensates", undone.map(|undone| Value::from(undone.id.to_string()))),
    ];
    for (name, value) in further {
        if let Some(value) = value {
            arguments[name] = value;
        }
    }
    let arguments = to_raw_value(&arguments).map_err(|error| Unavailable::new(error.to_string()))?;
    let what = Run {
        operation: run.action.clone(),
        artifact: released,
        proven: matches!(identity, Identity::Proven(_)),
        compensates: undone.map(|undone| undone.id),
    };
    let initiator = run.initiator.clone().or_else(|| identity.initiator());
    let (trace_id, parent_span_id) = trace(run, undone)?;
    let place = Place {
        trace_id,
        span_id: fresh_span()?,
        parent_span_id,
        session: None,
        initiator: Some(initiator.unwrap_or_else(values::system_who)),
        chain: Vec::new(),
        executor: run.executor.clone().or_else(|| identity.executor()).unwrap_or_else(values::system_who),
    };
    let mut intent = Intent::of_run(what, &run.resource, arguments, place)?;
    intent.credential = identity.credential();
    if let Identity::Refused(refused) = identity {
        intent.refused = Some(refused.clone());
    }
    Ok(intent)
}

/// The trace that is named, that of the pipeline, that of what is undone, or one of its own.
fn trace(run: &cli::Run, undone: Option<&Undone>) -> Result<(TraceId, Option<SpanId>), Unavailable> {
    if let Some(named) = run.trace {
        return Ok(named);
    }
    // A malformed one is passed over (W3C Trace Context, section 3.2.2.5).
    if let Some((trace, span)) = env::var("TRACEPARENT").ok().and_then(|text| traceparent(text.trim())) {
        return Ok((trace, Some(span)));
    }
    match undone.and_then(|undone| undone.trace) {
        Some(trace) => Ok((trace, None)),
        None => Ok((TraceId(fresh_id()?.0), None)),
    }
}

/// Waits for a human where one is asked for; else it is denied.
async fn wait(
    recorder: &Recorder<Store>,
    answer: Answer,
    patience: Duration,
    hint: &Hint,
    signals: &mut Signals,
) -> Result<RecordedIntent, Failure> {
    if answer.effect != Ruling::StepUp {
        return Err(denied(&answer, hint));
    }
    let approve = hint.deed(&format!("approve {} --as human:NAME", answer.id));
    note(&format!("deed: waits up to {} s for a human: {}", patience.as_secs(), answer.reason));
    note(&format!("  approve  {approve}"));
    note(&format!("  refuse   {}", hint.deed(&format!("refuse {} --as human:NAME", answer.id))));
    let verdict = tokio::select! {
        verdict = recorder.wait(&answer, patience) => verdict.map_err(unavailable)?,
        got = signals.end() => {
            return Err(Failure::new(format!("{} while it waited: the command was not started", got.name())));
        }
    };
    match verdict {
        Verdict::Go(recorded) => Ok(recorded),
        Verdict::Stop(answer) if answer.effect == Ruling::StepUp => {
            Err(Failure::new(format!("nobody approved it within {} s", patience.as_secs()))
                .code(Code::Denied)
                .detail("the command was not started"))
        }
        Verdict::Stop(answer) => Err(denied(&answer, hint)),
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
    Failure::new(error.to_string()).code(Code::Unavailable).detail("the command was not started")
}

/// Starts the command, unless it must not be any more.
async fn start(
    run: &cli::Run,
    recorded: &RecordedIntent,
    intent: &Intent,
    artifact: Option<Artifact>,
    signals: &mut Signals,
) -> Ended {
    let not_started = |status: Status, code: &str, exit: Result<u8, Failure>| Ended {
        status,
        code: code.to_owned(),
        took: None,
        exit,
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
    child::run(recorded, intent, &run.command, signals).await
}

/// Has the end recorded; it is tried for a while, for the command has run (INVARIANT D11).
async fn conclude(recorder: &Recorder<Store>, intent: &Intent, ended: &Ended) {
    let conclusion = Conclusion {
        action: intent.id,
        server: intent.server.clone(),
        method: intent.run.as_ref().map_or(&intent.method, |run| &run.operation).clone(),
        name: intent.name.clone(),
        uri: intent.uri.clone(),
        place: intent.place.clone(),
        time: now(),
        status: ended.status,
        code: Some(ended.code.clone()),
        duration_ms: ended.took.and_then(|took| i64::try_from(took.as_millis()).ok()),
        result: None,
        // What was not started has undone nothing.
        compensates: intent.run.as_ref().and_then(|run| run.compensates).filter(|_| ended.took.is_some()),
        fields: Vec::new(),
    };
    let mut why = None;
    for _ in 0..TRIES {
        match recorder.conclude(&conclusion).await {
            Ok(()) => return,
            Err(error) => why = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    if let Some(why) = why {
        note(&format!("deed: how it ended could not be recorded and will be unknown: {why}"));
    }
}
