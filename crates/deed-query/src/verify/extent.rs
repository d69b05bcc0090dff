//! Counts and bounds of the values of a Parquet column, as statistics have them.

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray},
    compute::{max, max_string, max_string_view, min, min_string, min_string_view},
    datatypes::{ArrowPrimitiveType, DataType, Int64Type, TimestampMicrosecondType},
};

/// Encoders cut bounds to so many bytes.
const CUT: usize = 64;

/// What some rows give.
#[derive(Default)]
pub(super) struct Extent {
    pub(super) rows: u64,
    /// Values and the nulls between them: a list of three has three, an empty one has one.
    pub(super) levels: u64,
    values: u64,
    /// The least and the greatest.
    pub(super) bounds: Option<(Value, Value)>,
}

impl Extent {
    pub(super) fn nulls(&self) -> u64 {
        self.levels - self.values
    }

    pub(super) fn add(&mut self, rows: usize, values: &Values) {
        self.merge(Extent {
            rows: rows as u64,
            levels: values.levels as u64,
            values: (values.array.len() - values.array.null_count()) as u64,
            bounds: values.bounds(),
        });
    }

    pub(super) fn merge(&mut self, other: Extent) {
        self.rows += other.rows;
        self.levels += other.levels;
        self.values += other.values;
        self.bounds = match (self.bounds.take(), other.bounds) {
            (Some((least, greatest)), Some((first, last))) => {
                let least = if first < least { first } else { least };
                Some((least, if last > greatest { last } else { greatest }))
            }
            (mine, others) => mine.or(others),
        };
    }
}

/// A value in the order of statistics: integers by size, texts by their bytes.
#[derive(Clone, PartialEq, PartialOrd, Debug)]
pub(super) enum Value {
    Number(i64),
    Text(Vec<u8>),
}

impl From<&i64> for Value {
    fn from(number: &i64) -> Self {
        Value::Number(*number)
    }
}

impl From<&[u8]> for Value {
    fn from(text: &[u8]) -> Self {
        Value::Text(text.to_vec())
    }
}

impl Value {
    /// Whether statistics may say that `least` is this: a text may be cut off, unless that is `exact`.
    pub(super) fn is_least(&self, least: &Value, exact: bool) -> bool {
        match (self, least) {
            (Value::Text(said), Value::Text(least)) if !exact && said != least => {
                // At the end of a character.
                let cut = CUT - 3..=CUT;
                least.len() > CUT && cut.contains(&said.len()) && least.starts_with(said)
            }
            _ => self == least,
        }
    }

    /// As [`is_least`](Value::is_least); of a text that is cut off the last character is one further.
    pub(super) fn is_greatest(&self, greatest: &Value, exact: bool) -> bool {
        match (self, greatest) {
            (Value::Text(said), Value::Text(greatest)) if !exact && said != greatest => {
                let text = std::str::from_utf8(said).unwrap_or_default();
                let kept = text.char_indices().next_back().map(|(at, _)| &said[..at]);
                greatest.len() > CUT
                    && said.len() <= CUT
                    && said > greatest
                    && kept.is_some_and(|kept| greatest.starts_with(kept))
            }
            _ => self == greatest,
        }
    }
}

/// The values of a Parquet column in some rows.
pub(super) struct Values {
    array: ArrayRef,
    levels: usize,
}

impl Values {
    /// Those of part `leaf` of a column of the table.
    pub(super) fn of(column: &ArrayRef, leaf: usize) -> Self {
        let mut parts = Vec::new();
        take_apart(column, column.len(), &mut parts);
        parts.swap_remove(leaf)
    }

    /// Calls `each` with every text.
    pub(super) fn each_text(&self, each: &mut dyn FnMut(&str)) {
        match self.array.data_type() {
            DataType::Utf8View => self.array.as_string_view().iter().flatten().for_each(each),
            DataType::Utf8 => self.array.as_string::<i32>().iter().flatten().for_each(each),
            _ => {}
        }
    }

    fn bounds(&self) -> Option<(Value, Value)> {
        fn numbers<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Option<(Value, Value)> {
            let numbers = array.as_primitive::<T>();
            Some((Value::Number(min(numbers)?), Value::Number(max(numbers)?)))
        }
        let texts = |least: &str, greatest: &str| (Value::from(least.as_bytes()), greatest.as_bytes().into());
        match self.array.data_type() {
            DataType::Int64 => numbers::<Int64Type>(&self.array),
            DataType::Timestamp(..) => numbers::<TimestampMicrosecondType>(&self.array),
            DataType::Utf8View => {
                let array = self.array.as_string_view();
                Some(texts(min_string_view(array)?, max_string_view(array)?))
            }
            DataType::Utf8 => {
                let array = self.array.as_string::<i32>();
                Some(texts(min_string(array)?, max_string(array)?))
            }
            other => unreachable!("no column of `records` has values of type {other}"),
        }
    }
}

/// The Parquet columns of which a column of the table consists, in their order.
fn take_apart(array: &ArrayRef, levels: usize, parts: &mut Vec<Values>) {
    match array.data_type() {
        DataType::List(_) => {
            let lists: &ListArray = array.as_list();
            let ends = lists.value_offsets();
            let (first, last) = (ends[0] as usize, ends[lists.len()] as usize);
            let filled = ends.windows(2).filter(|pair| pair[0] < pair[1]).count();
            let items = lists.values().slice(first, last - first);
            take_apart(&items, levels - filled + items.len(), parts);
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|member| take_apart(member, levels, parts));
        }
        _ => parts.push(Values { array: array.clone(), levels }),
    }
}
