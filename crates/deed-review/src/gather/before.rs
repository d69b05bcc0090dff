//! Since when the secret itself is known that the action was done with.

use deed_record::{Change, Kind, RecordId};

use super::{Family, Reader};
use crate::{Evidence, ExplainError, claim::Claim};

/// Most records of one secret that are read. Of so many nothing is concluded, whichever would be among them.
const MOST_SEEN: usize = 1024;

/// The earliest record that names the fingerprint which the action of `family` was done with. An id may outlast the
/// secret that it names, a fingerprint never does: where the credential was rotated, only this tells the old from the new.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<Option<RecordId>, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).cloned() else { return Ok(None) };
    let Some(fingerprint) = head.credential.as_ref().and_then(|used| used.fingerprint.as_deref()) else {
        return Ok(None);
    };
    let is_rotation = |claim: Claim<'_>| claim.change() == Some(Change::Rotated);
    if !reader.records.iter().flat_map(|rec| rec.claims(Kind::Credential)).any(is_rotation) {
        return Ok(None);
    }
    let found =
        reader.evidence.by_use(&head.tenant, fingerprint, MOST_SEEN).map_err(ExplainError::Evidence)?;
    if found.len() >= MOST_SEEN {
        return Ok(None);
    }
    let seen = found.into_iter().filter_map(|found| {
        let rec = found.sealed.skeleton().ok().filter(|rec| rec.tenant == head.tenant)?;
        Some(((rec.time, rec.id), found))
    });
    let Some(((_, id), found)) = seen.min_by_key(|(place, _)| *place) else { return Ok(None) };
    Ok(reader.keep(found)?.map(|_| id))
}
