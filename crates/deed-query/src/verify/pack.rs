//! The rows of one pack, chunk by chunk.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use arrow::array::{Array, ArrayRef, RecordBatch};
use deed_ledger::{PACK_LEAVES, verify::PackRows};
use deed_record::Skeleton;
use deed_seal::verify::ProblemKind;
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector},
    errors::Result,
};

use super::{Check, Open, described::Described};
use crate::{
    columns::{CHUNK, COLUMNS, RowBuilder},
    facts::Facts,
    files::{self, Held},
};

/// Compares the rows of a pack, in every file that has them, with its leaves.
pub(super) struct PackCheck<'c> {
    check: &'c Check<'c>,
    number: u64,
    groups: Vec<Group<'c>>,
    made: RowBuilder,
    facts: Option<Facts>,
    /// The leaf that comes next.
    next: u64,
}

impl<'c> PackCheck<'c> {
    pub(super) fn new(check: &'c Check<'c>, number: u64, files: impl Iterator<Item = &'c Open>) -> Self {
        let groups = files.filter_map(|file| Group::open(check, file, number)).collect();
        let next = number * PACK_LEAVES;
        PackCheck { check, number, groups, made: RowBuilder::default(), facts: None, next }
    }

    /// Without one of its leaves the rest of a pack has nothing to be compared with.
    fn stop_at(&mut self, leaf: u64) {
        for group in self.groups.drain(..) {
            let why = format!("leaf {leaf} cannot be read");
            self.check.nothing_to_compare_with(group.file, self.number, &why);
        }
    }
}

impl PackRows for PackCheck<'_> {
    fn leaf(&mut self, index: u64, says: &Skeleton<'_>) {
        if self.groups.is_empty() {
            return;
        }
        if index != self.next {
            return self.stop_at(self.next);
        }
        self.next += 1;
        self.made.push_record(index, says);
        if self.made.len() == CHUNK {
            let made = self.made.finish();
            let facts = Facts::of(&made);
            self.facts = Some(self.facts.map_or(facts, |before| before.and(facts)));
            let first = self.next - CHUNK as u64;
            self.groups.iter_mut().for_each(|group| group.compare(self.check, &made, first));
        }
    }

    fn end(mut self: Box<Self>) {
        if self.next < (self.number + 1) * PACK_LEAVES {
            self.stop_at(self.next);
        } else if let Some(facts) = self.facts {
            self.check.saw(self.number, facts);
        }
        for group in self.groups.drain(..) {
            self.check.rows.fetch_add(PACK_LEAVES, Ordering::Relaxed);
            group.end(self.check, self.number);
        }
    }
}

/// The rows of a pack in one file.
struct Group<'c> {
    file: &'c Open,
    /// By its place in the table; a column goes when something is wrong with it.
    columns: BTreeMap<usize, Column<'c>>,
}

impl<'c> Group<'c> {
    fn open(check: &Check<'_>, file: &'c Open, pack: u64) -> Option<Self> {
        let metadata = file.metadata.metadata();
        let at = (pack - file.first_pack) as usize;
        let wrong = |what: String| check.report(ProblemKind::Violated, &file.path, what);
        let held = match Held::row_group(&file.file, metadata.row_group(at)) {
            Ok(held) => held,
            Err(error) => {
                wrong(format!("{}: cannot be compared: {error}", Open::leaves(pack, pack)));
                return None;
            }
        };
        let open = |column: usize| match Column::open(file, &held, at, column) {
            Ok(opened) => Some((column, opened)),
            Err(error) => {
                let (leaves, name) = (Open::leaves(pack, pack), COLUMNS[column].name);
                wrong(format!("{leaves}, column `{name}`: cannot be compared: {error}"));
                None
            }
        };
        Some(Group { file, columns: (0..COLUMNS.len()).filter_map(open).collect() })
    }

    /// Compares the rows from leaf `first` on with those that were `made` of the leaves.
    fn compare(&mut self, check: &Check<'_>, made: &RecordBatch, first: u64) {
        self.columns.retain(|column, opened| {
            let Err((leaf, what)) = opened.compare(made.column(*column), first) else { return true };
            let name = COLUMNS[*column].name;
            let what = format!("leaf {leaf}, column `{name}`: {what}");
            check.report(ProblemKind::Violated, &self.file.path, what);
            false
        });
    }

    fn end(self, check: &Check<'_>, pack: u64) {
        for (column, opened) in self.columns {
            if !opened.described.into_iter().all(Described::holds) {
                let (leaves, name) = (Open::leaves(pack, pack), COLUMNS[column].name);
                let what =
                    format!("{leaves}, column `{name}`: its statistics or filters are not those of its rows");
                check.report(ProblemKind::Violated, &self.file.path, what);
            }
        }
    }
}

/// A column of the table.
struct Column<'c> {
    /// For even and odd chunks. So each page is passed over by one of them, as queries do that trust the
    /// page index.
    readers: [ParquetRecordBatchReader; 2],
    /// A nested column has several in the file.
    described: Vec<Described<'c>>,
}

impl<'c> Column<'c> {
    fn open(file: &'c Open, held: &Held, at: usize, column: usize) -> Result<Self> {
        let metadata = file.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let described = (0..schema.num_columns())
            .filter(|leaf| schema.get_column_root_idx(*leaf) == column)
            .map(|leaf| Described::open(&file.file, metadata, at, leaf))
            .collect::<Result<Vec<_>>>()?;
        let reader = |odd: usize| {
            let chunks = 0..PACK_LEAVES as usize / CHUNK;
            let select = chunks.map(|chunk| RowSelector { row_count: CHUNK, skip: chunk % 2 != odd });
            let select = RowSelection::from(select.collect::<Vec<_>>());
            files::read_column(held.clone(), &file.metadata, at, column, select)
        };
        Ok(Column { readers: [reader(0)?, reader(1)?], described })
    }

    /// Compares the rows from leaf `first` on with those that were `made`: the first leaf whose row is
    /// another, and what is the matter.
    fn compare(&mut self, made: &ArrayRef, first: u64) -> std::result::Result<(), (u64, String)> {
        let found = match self.readers[(first / CHUNK as u64 % 2) as usize].next() {
            Some(Ok(batch)) => batch.column(0).clone(),
            Some(Err(error)) => {
                let last = first + CHUNK as u64 - 1;
                let what = format!("cannot be decoded from here on, up to leaf {last} at least ({error})");
                return Err((first, what));
            }
            None => return Err((first, "has fewer rows than the pack has leaves".into())),
        };
        if found.len() != made.len() {
            return Err((first, "its rows are cut in another way".into()));
        }
        if found.as_ref() != made.as_ref() {
            let differs = |row: &usize| found.slice(*row, 1) != made.slice(*row, 1);
            let row = (0..made.len()).find(differs).unwrap_or_default();
            return Err((first + row as u64, "is not what the sealed record says".into()));
        }
        let row = first % PACK_LEAVES;
        self.described.iter_mut().enumerate().for_each(|(leaf, described)| described.rows(&found, leaf, row));
        Ok(())
    }
}
