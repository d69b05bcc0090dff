//! What a file says of a column besides its rows: statistics, page index, filter.

use arrow::array::{Array, ArrayRef};
use deed_ledger::PACK_LEAVES;
use parquet::{
    basic::BoundaryOrder,
    bloom_filter::Sbbf,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        page_index::{column_index::ColumnIndexMetaData, offset_index::PageLocation},
        statistics::Statistics,
    },
};

use super::extent::{Extent, Value, Values};
use crate::files::{self, StoredFile};

/// One Parquet column of a row group, as its file describes it.
pub(super) struct Described<'c> {
    chunk: &'c ColumnChunkMetaData,
    index: Option<&'c ColumnIndexMetaData>,
    pages: &'c [PageLocation],
    /// The page that the next row is on, and what its rows so far give.
    page: usize,
    on_page: Extent,
    all: Extent,
    filter: Option<Filter>,
    wrong: bool,
}

/// The filter in the file, and one of the same size with the values of the rows.
struct Filter {
    found: Sbbf,
    made: Sbbf,
}

impl<'c> Described<'c> {
    /// Column `leaf` of row group `at`.
    ///
    /// # Errors
    /// What is said cannot be read, or pages do not follow one another.
    pub(super) fn open(
        file: &StoredFile,
        metadata: &'c ParquetMetaData,
        at: usize,
        leaf: usize,
    ) -> Result<Self> {
        let chunk = metadata.row_group(at).column(leaf);
        let index = metadata.column_index().and_then(|index| index.get(at)?.get(leaf));
        let pages = metadata.offset_index().and_then(|index| index.get(at)?.get(leaf));
        let pages = pages.map_or(&[][..], |index| index.page_locations());
        if !follow_one_another(chunk, pages) {
            return Err(ParquetError::General("its page index does not fit its pages".into()));
        }
        let index = index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE));
        if index.is_some_and(|index| index.num_pages() != pages.len() as u64) {
            return Err(ParquetError::General("its page index is of other pages".into()));
        }
        let filter = Sbbf::read_from_column_chunk(chunk, file)?.map(Filter::like).transpose()?;
        let filtered = files::FILTERED.contains(&chunk.column_path().string().as_str());
        let wrong = filter.is_some() != filtered;
        let (on_page, all) = (Extent::default(), Extent::default());
        Ok(Described { chunk, index, pages, page: 0, on_page, all, filter, wrong })
    }

    /// Takes rows from row `first` of the group on, of the column of the table that it is part `leaf` of.
    pub(super) fn rows(&mut self, column: &ArrayRef, leaf: usize, first: u64) {
        let mut from = 0;
        while from < column.len() {
            let page_ends = match self.pages.get(self.page + 1) {
                Some(next) => next.first_row_index.unsigned_abs(),
                None => PACK_LEAVES,
            };
            let rows = (column.len() - from).min((page_ends - first) as usize - from);
            let values = Values::of(&column.slice(from, rows), leaf);
            self.on_page.add(rows, &values);
            if let Some(filter) = &mut self.filter {
                filter.add(&values);
            }
            from += rows;
            if first + from as u64 == page_ends {
                self.end_page();
            }
        }
    }

    /// Whether all that was said is so. Every row was taken.
    pub(super) fn holds(self) -> bool {
        !self.wrong
            && self.all.levels == self.chunk.num_values().unsigned_abs()
            && self.chunk.statistics().is_some_and(|said| are_those_of(said, &self.all))
            && self.index.is_none_or(is_ordered)
            && self.filter.is_none_or(|filter| bits(&filter.found) == bits(&filter.made))
    }

    fn end_page(&mut self) {
        let (page, rows) = (self.page, std::mem::take(&mut self.on_page));
        self.wrong |= self.index.is_some_and(|index| !describes(index, page, &rows));
        self.all.merge(rows);
        self.page += 1;
    }
}

impl Filter {
    fn like(found: Sbbf) -> Result<Self> {
        if found.num_blocks() == 0 {
            return Err(ParquetError::General("its filter is empty".into()));
        }
        let made = Sbbf::new(&vec![0; found.num_blocks() * 32]);
        Ok(Filter { found, made })
    }

    fn add(&mut self, values: &Values) {
        values.each_text(&mut |text| self.made.insert(text));
    }
}

/// Whether pages lie side by side, to the end of the column, and their rows do. A reader that follows a page
/// index trusts that.
fn follow_one_another(chunk: &ColumnChunkMetaData, pages: &[PageLocation]) -> bool {
    let (Some(bytes), Some(first), Some(last)) = (files::bytes_of(chunk), pages.first(), pages.last()) else {
        return false;
    };
    let end = |page: &PageLocation| page.offset.checked_add(page.compressed_page_size.into());
    let next = |pair: &[PageLocation]| {
        end(&pair[0]) == Some(pair[1].offset) && pair[0].first_row_index < pair[1].first_row_index
    };
    (first.offset, first.first_row_index) == (chunk.data_page_offset(), 0)
        && pages.iter().all(|page| page.compressed_page_size > 0)
        && pages.windows(2).all(next)
        && end(last) == i64::try_from(bytes.end).ok()
        && last.first_row_index < PACK_LEAVES as i64
}

/// Whether statistics are those of `rows`.
fn are_those_of(said: &Statistics, rows: &Extent) -> bool {
    let (least, greatest) = match said {
        Statistics::Int64(said) => (said.min_opt().map(Value::from), said.max_opt().map(Value::from)),
        Statistics::ByteArray(said) => {
            (said.min_bytes_opt().map(Value::from), said.max_bytes_opt().map(Value::from))
        }
        _ => return false,
    };
    let bounds = match (&rows.bounds, least, greatest) {
        (None, None, None) => true,
        (Some((first, last)), Some(least), Some(greatest)) => {
            least.is_least(first, said.min_is_exact()) && greatest.is_greatest(last, said.max_is_exact())
        }
        _ => false,
    };
    bounds && said.null_count_opt() == Some(rows.nulls()) && said.distinct_count_opt().is_none()
}

/// Whether what a page index says of `page` is so of its `rows`.
fn describes(index: &ColumnIndexMetaData, page: usize, rows: &Extent) -> bool {
    // As the encoder counts: where rows are lists, so many nulls can also stand beside values.
    let empty = rows.nulls() == rows.rows;
    let counted = index.null_count(page).is_none_or(|nulls| nulls.unsigned_abs() == rows.nulls());
    if !counted || index.is_null_page(page) != empty {
        return false;
    }
    let (least, greatest) = match index {
        _ if empty => return true,
        ColumnIndexMetaData::INT64(index) => {
            (index.min_value(page).map(Value::from), index.max_value(page).map(Value::from))
        }
        ColumnIndexMetaData::BYTE_ARRAY(index) => {
            (index.min_value(page).map(Value::from), index.max_value(page).map(Value::from))
        }
        _ => return false,
    };
    match (&rows.bounds, least, greatest) {
        (Some((first, last)), Some(least), Some(greatest)) => {
            least.is_least(first, false) && greatest.is_greatest(last, false)
        }
        _ => false,
    }
}

/// Whether the bounds of pages are in the order that a page index says.
fn is_ordered(index: &ColumnIndexMetaData) -> bool {
    fn are_ordered<T: PartialOrd>(bounds: impl Iterator<Item = Option<T>>, order: BoundaryOrder) -> bool {
        let bounds = bounds.flatten();
        match order {
            BoundaryOrder::UNORDERED => true,
            BoundaryOrder::ASCENDING => bounds.is_sorted(),
            BoundaryOrder::DESCENDING => bounds.is_sorted_by(|a, b| a >= b),
        }
    }
    let order = index.get_boundary_order().unwrap_or(BoundaryOrder::UNORDERED);
    match index {
        ColumnIndexMetaData::INT64(index) => {
            are_ordered(index.min_values_iter(), order) && are_ordered(index.max_values_iter(), order)
        }
        ColumnIndexMetaData::BYTE_ARRAY(index) => {
            are_ordered(index.min_values_iter(), order) && are_ordered(index.max_values_iter(), order)
        }
        _ => false,
    }
}

fn bits(filter: &Sbbf) -> Vec<u8> {
    let mut bits = Vec::with_capacity(filter.num_blocks() * 32);
    match filter.write_bitset(&mut bits) {
        Ok(()) => bits,
        Err(error) => unreachable!("a vector can be written to: {error}"),
    }
}
