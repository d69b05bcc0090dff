//! Record ids.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use uuid::Uuid;

/// The id of a record: a UUID (RFC 9562), written in lower case.
///
/// Version 7 where Deed makes it; version 8 where it is derived from tenant, source and the source's
/// own event id, so that the same event always gets the same id (D12).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 16]);

impl RecordId {
    /// A version 7 id from a time and 74 random bits (the rest of `random` is ignored).
    pub fn v7(unix_millis: u64, random: [u8; 10]) -> Self {
        RecordId(*uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid().as_bytes())
    }

    /// The version that its bytes say it is of; anything where its sender made it otherwise.
    pub fn version(self) -> u8 {
        self.0[6] >> 4
    }

    /// A version 8 id from a digest (its first 16 bytes, less the version bits).
    pub fn v8(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        RecordId(*uuid::Builder::from_custom_bytes(bytes).into_uuid().as_bytes())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Uuid::encode_buffer();
        f.write_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let uuid = Uuid::try_parse(text).ok();
        // Of the forms that RFC 9562 knows the hyphenated only; letters may be of either case.
        match uuid.filter(|_| text.len() == 36) {
            Some(uuid) => Ok(RecordId(*uuid.as_bytes())),
            None => Err(format!("expected a UUID with hyphens, {}", crate::error::found(text))),
        }
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = Uuid::encode_buffer();
        serializer.serialize_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut buffer))
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::Text::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
