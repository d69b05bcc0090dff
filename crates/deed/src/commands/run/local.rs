//! A command that the store of this machine decides on and records.

use std::time::Duration;

use deed_gateway::{Answer, Conclusion, Intent, Place, Recorder, Run, Unavailable, Verdict, fresh_span};
use deed_ledger::fresh_id;
use deed_record::{RecordId, SpanId, TraceId};
use serde::Deserialize;

use super::{NotTold, artifact::Artifact, child::Ended, identity::Identity, not_started, trace, unavailable};
use crate::{
    access::Access,
    cli::{self, Global},
    client::Request,
    commands::mcp::{Store, reached},
    exit::{Code, Failure},
    values,
};

/// The way to the store, and what it was asked.
pub(super) struct Local {
    access: Access,
    recorder: Recorder<Store>,
    origin: String,
    undone: Option<Undone>,
    intent: Option<Intent>,
    /// The id of the record of its end, however often that is told.
    outcome: Option<RecordId>,
}

impl Local {
    /// The store that the command line means; it may be made.
    ///
    /// # Errors
    /// No home directory tells where it is.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let access = Access::at_store(global)?;
        let recorder = Recorder::there(Store(access.clone()));
        Ok(Local { access, recorder, origin: String::new(), undone: None, intent: None, outcome: None })
    }

    /// Asks for what is needed first, so that a store that cannot be used is said at once.
    ///
    /// # Errors
    /// It cannot be used, or holds no action that could be undone.
    pub(super) async fn prepare(&mut self, run: &cli::Run) -> Result<(), Failure> {
        self.origin = origin(&self.access).await?;
        self.access.note_new();
        if let Some(id) = run.compensates {
            self.undone = Some(Undone::find(&self.access, id).await?);
        }
        Ok(())
    }

    /// Has it decided on and recorded.
    ///
    /// # Errors
    /// It could not be, or nobody knows who runs it.
    pub(super) async fn ask(
        &mut self,
        run: &cli::Run,
        artifact: Option<&Artifact>,
    ) -> Result<Verdict, Failure> {
        let identity = Identity::find(&self.access, run, &self.origin).await.map_err(not_started)?;
        let intent = intent(run, &identity, artifact, self.undone.as_ref()).map_err(unavailable)?;
        let verdict = self.recorder.intend(&intent).await.map_err(unavailable);
        self.intent = Some(intent);
        self.outcome = fresh_id().ok();
        verdict
    }

    /// Waits for a human.
    ///
    /// # Errors
    /// What follows from the answer could not be recorded.
    pub(super) async fn wait(&self, answer: &Answer, patience: Duration) -> Result<Verdict, Failure> {
        self.recorder.wait(answer, patience).await.map_err(unavailable)
    }

    /// The trace, and the command's own span.
    pub(super) fn span(&self) -> Option<(TraceId, SpanId)> {
        self.intent.as_ref().map(|intent| (intent.place.trace_id, intent.place.span_id))
    }

    /// Records how it ended.
    ///
    /// # Errors
    /// It could not be recorded.
    pub(super) async fn conclude(&self, ended: &Ended) -> Result<(), NotTold> {
        let nobody = || NotTold::Ever("nobody was asked".to_owned());
        let intent = self.intent.as_ref().ok_or_else(nobody)?;
        let run = intent.run.as_ref();
        let conclusion = Conclusion {
            id: self.outcome,
            action: intent.id,
            tenant: intent.tenant.clone(),
            server: intent.server.clone(),
            method: run.map_or(&intent.method, |run| &run.operation).clone(),
            name: intent.name.clone(),
            uri: intent.uri.clone(),
            place: intent.place.clone(),
            time: ended.time,
            status: ended.status,
            code: Some(ended.code.clone()),
            duration_ms: ended.milliseconds(),
            result: None,
            // What was not started has undone nothing.
            compensates: run.and_then(|run| run.compensates).filter(|_| ended.took.is_some()),
            fields: Vec::new(),
            task: None,
        };
        self.recorder.conclude(&conclusion).await.map_err(|error| NotTold::Yet(error.to_string()))
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// That of what was done.
    pub(super) async fn finish(self, done: Result<u8, Failure>) -> Result<u8, Failure> {
        self.access.finish(done).await
    }
}

/// The name of the store's log.
async fn origin(access: &Access) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Keys {
        origin: String,
    }
    let unusable = |failure: Failure| not_started(failure.code(Code::Unavailable));
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

/// What the decision point is asked.
fn intent(
    run: &cli::Run,
    identity: &Identity,
    artifact: Option<&Artifact>,
    undone: Option<&Undone>,
) -> Result<Intent, Unavailable> {
    let what = Run {
        operation: run.action.clone(),
        artifact: artifact.map(|artifact| artifact.released.clone()),
        proven: matches!(identity, Identity::Proven(_)),
        compensates: undone.map(|undone| undone.id),
        by: None,
    };
    let arguments = what.arguments(&run.command, identity.claims())?;
    let initiator = run.initiator.clone().or_else(|| identity.initiator());
    let (trace_id, parent_span_id) = match (trace(run), undone.and_then(|undone| undone.trace)) {
        (Some(named), _) => named,
        (None, Some(of_undone)) => (of_undone, None),
        (None, None) => (TraceId(fresh_id()?.0), None),
    };
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
    intent.tenant = identity.tenant().map(str::to_owned);
    if let Identity::Refused(refused) = identity {
        intent.refused = Some(refused.clone());
    }
    Ok(intent)
}
