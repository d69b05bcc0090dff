//! `[spool]`: where what is of the tier `low` waits while nothing can be recorded.

use std::{
    path::{Component, PathBuf},
    time::Duration,
};

use deed_ledger::SpoolOptions;
use serde::Deserialize;
use toml::Spanned;

use super::{Wrong, within};

/// What waits, in bytes: at least a few records, at most what is read at once when it goes into the log.
const BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
const DEFAULT_BYTES: u64 = 64 << 20;
/// How long, in seconds: an outage that is longer is no exception any more.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;
const DEFAULT_SECONDS: u64 = 300;

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpoolTable {
    folder: Spanned<PathBuf>,
    max_bytes: Option<Spanned<i64>>,
    max_seconds: Option<Spanned<i64>>,
}

pub(super) fn check(table: Option<SpoolTable>) -> Result<Option<SpoolOptions>, Wrong> {
    let Some(SpoolTable { folder, max_bytes, max_seconds }) = table else { return Ok(None) };
    let is_plain = folder.get_ref().components().all(|part| part != Component::ParentDir);
    if !folder.get_ref().is_absolute() || !is_plain {
        let found = folder.get_ref().display();
        return Err((
            folder.span().start,
            format!("expected a whole path such as `/var/lib/deed-spool`, found `{found}`"),
        ));
    }
    Ok(Some(SpoolOptions {
        folder: folder.into_inner(),
        max_bytes: within(max_bytes, BYTES)?.unwrap_or(DEFAULT_BYTES),
        max_age: Duration::from_secs(within(max_seconds, SECONDS)?.unwrap_or(DEFAULT_SECONDS)),
    }))
}
