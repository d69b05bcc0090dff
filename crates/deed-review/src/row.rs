//! One action in a list.

use deed_record::{Kind, RecordId, Ruling, Status, Timestamp, TraceId};
use serde::{Deserialize, Serialize};

use crate::{
    Evidence, ExplainError, Found,
    case::{Rec, Shelf},
    names::Names,
    outcome::standing,
};

/// One action as `deed find` lists it. People are named by key, by account where the name was erased.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActionRow {
    /// The action.
    pub id: RecordId,
    /// `intent`, `observation`, `task` or `step`.
    pub kind: Kind,
    /// When it happened, as the source says.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Its task.
    pub task: Option<String>,
    /// Who asked, as the record itself says.
    pub initiator: Option<String>,
    /// Who acted, as the record itself says.
    pub executor: Option<String>,
    /// `server/name`, or the name alone.
    pub tool: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// What was acted upon.
    pub resource: Option<String>,
    /// What a policy decided.
    pub effect: Option<Ruling>,
    /// How it ended.
    pub status: Option<Status>,
    /// The code that it ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The row of an action, from the action's own record and, where that does not tell, from its outcome.
///
/// # Errors
/// The evidence cannot be read.
pub fn action_row<E: Evidence>(evidence: &E, found: &Found) -> Result<ActionRow, ExplainError<E::Error>> {
    /// Records of one action that are looked at for its outcome.
    const MOST_ENDINGS: usize = 16;
    let shelf = Shelf::new(MOST_ENDINGS + 1);
    let mut records: Vec<Rec<'_>> = Vec::new();
    let mut todo = vec![found.clone()];
    while let Some(found) = todo.pop() {
        let Some(found) = shelf.keep(found) else {
            break;
        };
        let rec = Rec::read(found)?;
        let own = records.is_empty();
        let told = rec.is.outcome.as_ref().is_some_and(|outcome| outcome.status != Status::Unknown);
        if own && !told && matches!(rec.is.kind, Kind::Intent | Kind::Observation) {
            todo = evidence.by_ref(rec.is.id, MOST_ENDINGS).map_err(ExplainError::Evidence)?;
        }
        let belongs =
            |action: &Rec<'_>| rec.is.action == Some(action.is.id) && rec.is.tenant == action.is.tenant;
        if own || records.first().is_some_and(belongs) {
            records.push(rec);
        }
    }
    let action = &records[0];
    let names = Names::of(evidence, [action])?;
    let said: Vec<_> = records.iter().filter_map(|rec| Some((rec, rec.is.outcome.as_ref()?))).collect();
    let (is, ended) = (&action.is, standing(&said));
    Ok(ActionRow {
        id: is.id,
        kind: is.kind,
        time: is.time,
        tenant: is.tenant.to_string(),
        trace_id: is.trace_id,
        task: is.task.as_ref().map(|text| text.to_string()),
        initiator: is.initiator.as_ref().and_then(|party| names.key(party)),
        executor: is.executor.as_ref().and_then(|party| names.key(party)),
        tool: is.tool.as_ref().map(|tool| match &tool.server {
            Some(server) => format!("{server}/{}", tool.name),
            None => tool.name.to_string(),
        }),
        operation: is.operation.as_ref().map(|text| text.to_string()),
        resource: is.resource.as_ref().map(|resource| resource.uri.to_string()),
        effect: is.decision.as_ref().map(|decision| decision.effect),
        status: ended.map(|(_, outcome)| outcome.status),
        code: ended.and_then(|(_, outcome)| outcome.code.as_ref()).map(|text| text.to_string()),
    })
}
