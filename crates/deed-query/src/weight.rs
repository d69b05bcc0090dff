//! How much values weigh: the bytes they would take if none shared anything with another.

use arrow::{
    array::{Array, AsArray, OffsetSizeTrait, RecordBatch},
    datatypes::DataType,
};

/// Bytes of each row.
pub(crate) fn of_rows(batch: &RecordBatch) -> Vec<u64> {
    let mut weights = vec![0; batch.num_rows()];
    for column in batch.columns() {
        add(column, &mut weights);
    }
    weights
}

/// Bytes of each value.
pub(crate) fn of_values(array: &dyn Array) -> Vec<u64> {
    let mut weights = vec![0; array.len()];
    add(array, &mut weights);
    weights
}

/// Bytes of all values.
pub(crate) fn of_all(array: &dyn Array) -> u64 {
    of_values(array).iter().sum()
}

/// How many rows each value becomes when lists in it are taken apart.
pub(crate) fn items(array: &dyn Array) -> Vec<u64> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            in_lists(list.value_offsets(), list.values(), items)
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            in_lists(list.value_offsets(), list.values(), items)
        }
        _ => vec![1; array.len()],
    }
}

/// Whether every value of the type is a few bytes.
pub(crate) fn is_little(data_type: &DataType) -> bool {
    data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null)
}

fn add(array: &dyn Array, weights: &mut [u64]) {
    match array.data_type() {
        DataType::Utf8 => each(weights, |row| length(array.as_string::<i32>().value_offsets(), row)),
        DataType::LargeUtf8 => each(weights, |row| length(array.as_string::<i64>().value_offsets(), row)),
        DataType::Binary => each(weights, |row| length(array.as_binary::<i32>().value_offsets(), row)),
        // The lower half of a view is the length.
        DataType::Utf8View => each(weights, |row| u64::from(array.as_string_view().views()[row] as u32)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add_items(list.value_offsets(), list.values(), weights);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            add_items(list.value_offsets(), list.values(), weights);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            add_items(map.value_offsets(), map.entries(), weights);
        }
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|column| add(column, weights)),
        little if is_little(little) => each(weights, |_| little.primitive_width().unwrap_or(1) as u64),
        // Whatever else there is: as if each were as large as all.
        _ => each(weights, |_| array.get_array_memory_size() as u64),
    }
}

fn each(weights: &mut [u64], bytes: impl Fn(usize) -> u64) {
    for (row, weight) in weights.iter_mut().enumerate() {
        // Something of each value is kept, even if it is empty.
        *weight += bytes(row) + 1;
    }
}

fn add_items<O: OffsetSizeTrait>(offsets: &[O], items: &dyn Array, weights: &mut [u64]) {
    let lists = in_lists(offsets, items, of_values);
    each(weights, |row| lists[row] + 8);
}

/// What `measure` says of the items, added up for each list.
fn in_lists<O: OffsetSizeTrait>(
    offsets: &[O],
    items: &dyn Array,
    measure: impl Fn(&dyn Array) -> Vec<u64>,
) -> Vec<u64> {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Vec::new() };
    let first = first.as_usize();
    let items = measure(&*items.slice(first, last.as_usize() - first));
    let list = |ends: &[O]| items[ends[0].as_usize() - first..ends[1].as_usize() - first].iter().sum();
    offsets.windows(2).map(list).collect()
}

fn length<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> u64 {
    (offsets[row + 1] - offsets[row]).as_usize() as u64
}
