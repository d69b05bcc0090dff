//! What the tool that was called had become by then.

use deed_record::{Basis, Change, Kind, RecordId, Skeleton};

use super::{Family, MOST_NAMING, Reader};
use crate::{Evidence, ExplainError};

/// The definition of the tool that the action of `family` called, if it had changed and nobody had approved it.
///
/// Of what Deed lets through the decision point sees to that: only what others tell of is looked at.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<Option<RecordId>, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).cloned() else {
        return Ok(None);
    };
    let Some((server, name)) = head.called() else { return Ok(None) };
    let uri = format!("mcp-tool:{server}/{name}");
    let found =
        reader.evidence.by_resource(&head.tenant, &uri, MOST_NAMING).map_err(ExplainError::Evidence)?;
    if found.len() >= MOST_NAMING {
        return Ok(None);
    }
    let mut seen: Vec<_> = found
        .into_iter()
        .filter_map(|found| {
            let rec = found.sealed.skeleton().ok()?;
            let one = rec.tenant == head.tenant && rec.time <= head.time;
            let is_of =
                |tool: &deed_record::Tool<'_>| tool.server.as_deref() == Some(server) && *tool.name == *name;
            let tool = rec.tool.as_ref().filter(|tool| one && is_of(tool))?;
            let digest = tool.digest.as_ref().map(ToString::to_string);
            let (time, id, waits) = (rec.time, rec.id, is_definition(&rec));
            Some((time, id, waits, digest, found))
        })
        .collect();
    seen.sort_by_key(|(time, id, ..)| (*time, *id));
    let (mut approved, mut held) = (None, None);
    for (_, id, waits, digest, found) in seen {
        match waits {
            Some(true) => held = Some((id, found)),
            Some(false) => (approved, held) = (digest, None),
            None => {}
        }
    }
    let Some((id, found)) = held else { return Ok(None) };
    // Whoever still has the definition that was approved calls that.
    let own = head.tool.as_ref().and_then(|tool| tool.digest.as_deref());
    if own.is_some() && own == approved.as_deref() {
        return Ok(None);
    }
    Ok(reader.keep(found)?.map(|_| id))
}

/// Whether Deed tells in `rec` of a tool's definition that waits to be approved, rather than of one that is pinned;
/// `None` where it tells of neither.
pub(crate) fn is_definition(rec: &Skeleton<'_>) -> Option<bool> {
    let ours = rec.kind == Kind::Tool && rec.basis == Basis::Enforced;
    rec.tool.as_ref()?.server.as_ref().filter(|_| ours)?;
    Some(rec.terms.as_ref().and_then(|terms| terms.change) == Some(Change::Altered))
}
