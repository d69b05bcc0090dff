//! Calls of coding agents: one call is told by several spans and log records, which need not come together.
//!
//! What names the call in each of them is the id that the model gave it. Where the decision or the end of a call comes in
//! the same export, the call's own record says so too.

use std::{borrow::Cow, collections::HashMap};

use deed_record::{Decision, Outcome, Ruling, Status};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, logs::v1::LogRecord, trace::v1::Span,
};

use super::{
    attributes::{Seen, Slot, text_of},
    convention::{self, Deed},
    span, who,
};

/// What of a call a span tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The call from beginning to end; how it ended it does not say.
    Call,
    /// The wait for somebody's permission.
    Wait,
    /// What the tool did.
    Run,
}

impl Part {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "claude_code.tool" => Some(Part::Call),
            "claude_code.tool.blocked_on_user" => Some(Part::Wait),
            "claude_code.tool.execution" => Some(Part::Run),
            _ => None,
        }
    }
}

/// The event that a call is: `call/SESSION/ID`; `None` where nothing names the call.
pub(super) fn event_id(seen: &Seen<'_>) -> Option<String> {
    named(seen, &seen.text(Slot::CallId)?)
}

fn named(seen: &Seen<'_>, id: &str) -> Option<String> {
    Some(match seen.text(Slot::Session) {
        Some(session) => format!("call/{session}/{id}"),
        None => format!("call/{id}"),
    })
}

/// Something of each call, by its trace and its span.
type ByCall<'a, T> = HashMap<(&'a [u8], &'a [u8]), T>;

/// What the spans of an export tell of calls.
#[derive(Default)]
pub(super) struct Spans<'a> {
    ids: ByCall<'a, &'a str>,
    /// With the time of the question: the last answer stands.
    answers: ByCall<'a, (u64, Decision<'a>)>,
    ends: ByCall<'a, Outcome<'a>>,
}

impl<'a> Spans<'a> {
    pub(super) fn of(spans: impl Iterator<Item = &'a Span>) -> Self {
        let mut this = Spans::default();
        for span in spans {
            let (own, above) =
                ((&span.trace_id[..], &span.span_id[..]), (&span.trace_id[..], &span.parent_span_id[..]));
            let seen = |attributes| {
                let mut seen = Seen::new();
                seen.take(attributes);
                seen
            };
            match Part::of(&span.name) {
                Some(Part::Call) => {
                    let ids = ["gen_ai.tool.call.id", "tool_use_id"];
                    let id = ids.into_iter().find_map(|name| text_of(&span.attributes, name));
                    this.ids.extend(id.filter(|id| !id.is_empty()).map(|id| (own, id)));
                }
                Some(Part::Wait) => {
                    let time = span.start_time_unix_nano;
                    if let Some(answer) = convention::decision(&seen(&span.attributes), Deed::Check)
                        && this.answers.get(&above).is_none_or(|(known, _)| *known <= time)
                    {
                        this.answers.insert(above, (time, answer));
                    }
                }
                Some(Part::Run) => {
                    this.ends.insert(above, span::outcome(span, &seen(&span.attributes), None));
                }
                None => {}
            }
        }
        this
    }

    /// The event of the call that the span above `part` is.
    pub(super) fn event_id_above(&self, part: &Span, seen: &Seen<'_>) -> Option<String> {
        named(seen, self.ids.get(&(&part.trace_id[..], &part.parent_span_id[..]))?)
    }

    /// What was decided of the call that `span` is.
    pub(super) fn decision(&self, span: &Span) -> Option<Decision<'a>> {
        self.answers.get(&(&span.trace_id[..], &span.span_id[..])).map(|(_, answer)| answer.clone())
    }

    /// How the call that `span` is ended: as what the tool did, else as it was refused.
    pub(super) fn outcome(&self, span: &Span, duration_ms: Option<i64>) -> Outcome<'a> {
        let refused = || self.decision(span).is_some_and(|decision| decision.effect == Ruling::Deny);
        let end = match self.ends.get(&(&span.trace_id[..], &span.span_id[..])) {
            Some(end) => end.clone(),
            None if refused() => Outcome::of(Status::Denied),
            None => Outcome::of(Status::Unknown),
        };
        Outcome { duration_ms, ..end }
    }
}

/// What the log records of an export tell was decided of calls, by the service and the event that each is. The last answer
/// stands.
#[derive(Default)]
pub(super) struct Logs<'a>(HashMap<(Cow<'a, str>, String), Decision<'a>>);

impl<'a> Logs<'a> {
    pub(super) fn of(request: &'a ExportLogsServiceRequest) -> Self {
        let mut this = Logs::default();
        for resource in &request.resource_logs {
            let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            let logs = resource.scope_logs.iter().flat_map(|scope| &scope.log_records);
            for log in logs.filter(|log| is_answer(log)) {
                let mut seen = Seen::new();
                seen.take(&log.attributes);
                seen.take(attributes);
                let call = event_id(&seen).map(|event| (who::service(&seen), event));
                this.0.extend(call.zip(convention::decision(&seen, Deed::Check)));
            }
        }
        this
    }

    /// What was decided of the call that is the event `event_id` of `service`.
    pub(super) fn decision(&self, service: &Cow<'a, str>, event_id: &str) -> Option<Decision<'a>> {
        self.0.get(&(service.clone(), event_id.to_owned())).cloned()
    }
}

fn is_answer(log: &LogRecord) -> bool {
    let named = if log.event_name.is_empty() {
        text_of(&log.attributes, "event.name")
    } else {
        Some(&*log.event_name)
    };
    named.is_some_and(|name| convention::of_log(name) == Deed::Check)
}
