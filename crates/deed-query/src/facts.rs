//! What a Parquet file's entry in the manifest says of its rows, so that queries may pass the file over.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{max, min},
    datatypes::TimestampMicrosecondType,
};
use deed_record::Timestamp;

use crate::manifest::File;

/// Bounds and counts over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Least and greatest `time`.
    pub(crate) time: [Timestamp; 2],
    /// Least and greatest `recorded`.
    pub(crate) recorded: [Timestamp; 2],
    /// Rows that say how another record's action ended.
    pub(crate) outcomes: u64,
    /// Rows that correct another record.
    pub(crate) corrections: u64,
}

impl Facts {
    /// Those of a batch of `records` that is not empty.
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let present = |name: &str| {
            batch.column_by_name(name).map_or(0, |column| (column.len() - column.null_count()) as u64)
        };
        let bounds = |name: &str| {
            let column = batch.column_by_name(name);
            let times = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            [times.and_then(min), times.and_then(max)].map(|time| Timestamp(time.unwrap_or_default()))
        };
        Facts {
            time: bounds("time"),
            recorded: bounds("recorded"),
            outcomes: present("action"),
            corrections: present("supersedes"),
        }
    }

    /// What `file` is listed with.
    pub(crate) fn listed(file: &File) -> Self {
        Facts {
            time: file.time,
            recorded: file.recorded,
            outcomes: file.outcomes,
            corrections: file.corrections,
        }
    }

    /// Those of all rows of both.
    pub(crate) fn and(self, other: Facts) -> Self {
        let both = |[a, b]: [Timestamp; 2], [c, d]: [Timestamp; 2]| [a.min(c), b.max(d)];
        Facts {
            time: both(self.time, other.time),
            recorded: both(self.recorded, other.recorded),
            outcomes: self.outcomes + other.outcomes,
            corrections: self.corrections + other.corrections,
        }
    }
}
