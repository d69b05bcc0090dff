//! Disclosures of one record, sealed under a data key.
//!
//! ```text
//! data key id 16 | nonce 12 | AES-256-GCM-SIV( for each disclosure: group length u8 (255: whole),
//!                                              group, JSON length u32, JSON [salt,name,value] ) | tag 16
//! ```
//! The associated data is the record's id: a blob moved to another record does not open. A record
//! without disclosures has an empty blob. The JSON is the exact text whose base64url form RFC 9901
//! digests; base64url without padding has one spelling, so that keeping the JSON keeps the disclosure.

use std::ops::Range;

use aws_lc_rs::aead::{Aad, Nonce};

use crate::keys::{DataKeyId, KeyError, Keys, random_from_pool};

const NONCE: usize = 12;
const TAG: usize = 16;
const WHOLE: u8 = 255;

/// One disclosure, open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The member of `disclose` it stands under; `None` for one that was committed to whole.
    pub group: Option<String>,
    /// Its own name.
    pub name: String,
    /// `[salt,name,value]`, byte for byte.
    pub json: Vec<u8>,
}

/// Why a blob does not open.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The key was destroyed, or never was here.
    #[error("its data key is not here: erased, or kept elsewhere")]
    NoKey,
    /// Not what was sealed.
    #[error("the disclosures do not open: changed, or moved from another record")]
    Tampered,
    /// A key could not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Appends a disclosure to those of its record; where in `plain` the JSON stands that `write` appends.
/// Groups are at most 254 bytes long (longer ones are cut: the commitment is in the skeleton, this is only
/// where the name is shown from).
pub(crate) fn push(
    plain: &mut Vec<u8>,
    group: Option<&str>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Range<usize> {
    match group {
        None => plain.push(WHOLE),
        Some(group) => {
            let mut end = group.len().min(254);
            while !group.is_char_boundary(end) {
                end -= 1;
            }
            plain.push(end as u8);
            plain.extend_from_slice(&group.as_bytes()[..end]);
        }
    }
    let start = plain.len() + 4;
    plain.extend_from_slice(&[0; 4]);
    write(plain);
    let length = (plain.len() - start) as u32;
    plain[start - 4..start].copy_from_slice(&length.to_le_bytes());
    start..plain.len()
}

/// Seals `plain` (which is overwritten) and appends it to `out`.
pub(crate) fn seal(
    keys: &Keys,
    id: &DataKeyId,
    bound_to: &[u8],
    plain: &mut [u8],
    out: &mut Vec<u8>,
) -> Result<(), KeyError> {
    let key = keys
        .data_key(id)?
        .ok_or_else(|| KeyError::Database("a data key that was just made is not there".into()))?;
    let nonce = random_from_pool::<NONCE>()?;
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), plain)
        .map_err(|_| KeyError::Database("sealing failed".into()))?;
    out.extend_from_slice(id);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens what [`seal`] made.
pub(crate) fn open(keys: &Keys, bound_to: &[u8], blob: &[u8]) -> Result<Vec<u8>, BlobError> {
    let mut plain = Vec::new();
    open_onto(keys, bound_to, blob, &mut plain)?;
    Ok(plain)
}

/// As [`open`], onto the end of `plain`; where in it.
pub(crate) fn open_onto(
    keys: &Keys,
    bound_to: &[u8],
    blob: &[u8],
    plain: &mut Vec<u8>,
) -> Result<Range<usize>, BlobError> {
    if blob.len() < 16 + NONCE + TAG {
        return Err(BlobError::Tampered);
    }
    let (id, rest) = blob.split_at(16);
    let (nonce, sealed) = rest.split_at(NONCE);
    let mut key_id = [0; 16];
    key_id.copy_from_slice(id);
    let key = keys.data_key(&key_id)?.ok_or(BlobError::NoKey)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| BlobError::Tampered)?;
    let start = plain.len();
    plain.extend_from_slice(sealed);
    let opened =
        key.open_in_place(nonce, Aad::from(bound_to), &mut plain[start..]).map(|opened| opened.len());
    plain.truncate(start + opened.as_ref().map_or(0, |length| *length));
    opened.map(|length| start..start + length).map_err(|_| BlobError::Tampered)
}

/// The disclosures of an opened blob.
pub(crate) fn disclosures(plain: &[u8]) -> Result<Vec<Opened>, BlobError> {
    let mut found = Vec::new();
    let mut sound = true;
    let whole = each(plain, &mut |group, json| {
        let name = deed_seal::sd::Disclosure::from_json(json)
            .ok()
            .and_then(|disclosure| disclosure.name().map(str::to_owned));
        match name {
            Some(name) => found.push(Opened { group: group.map(str::to_owned), name, json: json.to_vec() }),
            None => sound = false,
        }
    });
    whole.filter(|()| sound).map(|()| found).ok_or(BlobError::Tampered)
}

/// Calls `each_one` with the JSON of every disclosure; `None` if the bytes make no sense.
pub(crate) fn each_json<'p>(plain: &'p [u8], each_one: &mut dyn FnMut(&'p [u8])) -> Option<()> {
    each(plain, &mut |_, json| each_one(json))
}

fn each<'p>(mut rest: &'p [u8], each_one: &mut dyn FnMut(Option<&'p str>, &'p [u8])) -> Option<()> {
    while let Some((&mark, after)) = rest.split_first() {
        let (group, after) = if mark == WHOLE {
            (None, after)
        } else {
            let (group, after) = after.split_at_checked(usize::from(mark))?;
            (Some(std::str::from_utf8(group).ok()?), after)
        };
        let (length, after) = after.split_at_checked(4)?;
        let (json, after) = after.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
        each_one(group, json);
        rest = after;
    }
    Some(())
}
