//! Ids for records that have none, given before they are sent: whatever is sent twice is recorded once.

use std::{
    borrow::Cow,
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use deed_record::RecordId;
use deed_seal::hash::Hash;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::exit::Failure;

/// A new UUIDv7.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn fresh() -> Result<RecordId, Failure> {
    let mut random = [0; 10];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Failure::new("the system gives no random bytes"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(RecordId::v7(now.as_millis() as u64, random))
}

/// The ids that one sending of a file gives. The same text under the same `sending` gets the same ones, in whatever order its
/// records stand, so that it can be sent again; records of equal text are as many as there are.
pub(crate) struct Sending<'a> {
    sending: RecordId,
    /// How often each text came before.
    equal: HashMap<&'a str, u64>,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(sending: RecordId) -> Self {
        Sending { sending, equal: HashMap::new() }
    }

    /// The id of the next record: a UUIDv7 of the time of the sending.
    pub(crate) fn id(&mut self, record: &'a str) -> RecordId {
        let before = self.equal.entry(record).or_default();
        let named =
            [&b"deed append\n"[..], &self.sending.0[..], &before.to_be_bytes(), record.as_bytes()].concat();
        *before += 1;
        let (mut millis, mut digest) = ([0; 8], [0; 10]);
        millis[2..].copy_from_slice(&self.sending.0[..6]);
        digest.copy_from_slice(&Hash::of(&named).0[..10]);
        RecordId::v7(u64::from_be_bytes(millis), digest)
    }
}

/// The id of a record that is imported: the same text gets the same one, so that importing a file again
/// adds nothing (INVARIANT D12).
pub(crate) fn of_text(record: &str) -> RecordId {
    RecordId::v8(&Hash::of(&[b"deed import\n", record.as_bytes()].concat()).0)
}

/// `record` with an id: its own, or one from `make` where it has none and no source would give it one.
///
/// What is no object is left as it is, for whoever reads it to say what is wrong with it.
///
/// # Errors
/// Those of `make`.
pub(crate) fn with_id(
    record: &str,
    make: impl FnOnce() -> Result<RecordId, Failure>,
) -> Result<Cow<'_, str>, Failure> {
    let Ok(ids) = serde_json::from_str::<Ids<'_>>(record) else { return Ok(Cow::Borrowed(record)) };
    let said = |value: Option<&RawValue>| value.is_some_and(|value| value.get() != "null");
    if said(ids.id) || ids.source.is_some_and(|source| said(source.event_id)) {
        return Ok(Cow::Borrowed(record));
    }
    let (before, between, after) = match ids.id {
        // `"id": null` says that there is none, and a member may stand only once.
        Some(null) => {
            let at = null.get().as_ptr() as usize - record.as_ptr() as usize;
            (&record[..at], String::new(), &record[at + null.get().len()..])
        }
        None => {
            let at = record.find('{').map_or(0, |brace| brace + 1);
            let comma = if record[at..].trim_start().starts_with('}') { "" } else { "," };
            return Ok(Cow::Owned(format!(
                "{}\"id\":\"{}\"{comma}{}",
                &record[..at],
                make()?,
                &record[at..]
            )));
        }
    };
    Ok(Cow::Owned(format!("{before}{between}\"{}\"{after}", make()?)))
}

#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<SourceIds<'a>>,
}

#[derive(Deserialize)]
struct SourceIds<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    event_id: Option<&'a RawValue>,
}

/// The value as it stands, where an `Option` alone would take `null` for no member at all.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(record: &str) -> String {
        with_id(record, || Ok(RecordId([7; 16]))).map(Cow::into_owned).unwrap_or_default()
    }

    #[test]
    fn records_without_an_id_get_one() {
        let id = RecordId([7; 16]);
        assert_eq!(given(r#"{"kind":"task"}"#), format!(r#"{{"id":"{id}","kind":"task"}}"#));
        assert_eq!(given(" {\n}"), format!(" {{\"id\":\"{id}\"\n}}"));
        assert_eq!(given(r#"{"a":1,"id": null}"#), format!(r#"{{"a":1,"id": "{id}"}}"#));
        assert_eq!(
            given(r#"{"source":{"system":"x","event_id":null}}"#),
            format!(r#"{{"id":"{id}","source":{{"system":"x","event_id":null}}}}"#)
        );
    }

    #[test]
    fn others_stay_as_they_are() {
        for record in
            [r#"{"id":"x"}"#, r#"{"source":{"event_id":"e-1"},"a":[]}"#, "[1]", "{broken", r#"{"source":7}"#]
        {
            assert_eq!(given(record), record);
        }
    }

    #[test]
    fn a_sending_knows_its_records_again_and_equal_ones_stay_as_many() {
        let ids = |sending: RecordId, records: &[&'static str]| -> Vec<RecordId> {
            let mut sending = Sending::new(sending);
            records.iter().map(|record| sending.id(record)).collect()
        };
        let (one, other) = (RecordId::v7(1_700_000_000_000, [1; 10]), RecordId::v7(1, [1; 10]));
        let first = ids(one, &["{}", "{ }", "{}"]);
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(first.iter().all(|id| id.version() == 7 && id.0[..6] == one.0[..6]));
        assert_eq!(ids(one, &["{\"new\":1}", "{}", "{}", "{ }"])[1..], [first[0], first[2], first[1]]);
        assert!(ids(other, &["{}", "{ }", "{}"]).iter().all(|id| !first.contains(id)));
    }

    #[test]
    fn fresh_ids_differ_and_imported_ones_do_not() {
        assert_ne!(fresh().ok(), fresh().ok());
        assert_eq!(of_text("{}"), of_text("{}"));
        assert_ne!(of_text("{}"), of_text("{ }"));
    }
}
