//! Telling metrics from what is recorded.

use super::wire::{Field, Fields, LIST, RESOURCES};

/// Whether `body` is an export of metrics in protobuf: its first item is one.
///
/// A metric holds its data in a message (`gauge` is field 5, `sum` 7, `histogram` 9, `exponential_histogram`
/// 10, `summary` 11) and nothing of eight fixed bytes; spans and log records have such times, and must.
pub(crate) fn is_metrics(body: &[u8]) -> bool {
    let inside = |body, number| Fields(body).find(|field| field.is_message(number)).map(|field| field.bytes);
    let item = inside(body, RESOURCES)
        .and_then(|resource| inside(resource, LIST))
        .and_then(|scope| inside(scope, LIST));
    item.is_some_and(|item| {
        let is_data = |field: Field<'_>| [5, 7, 9, 10, 11].iter().any(|number| field.is_message(*number));
        Fields(item).all(|field| !field.is_fixed_64()) && Fields(item).any(is_data)
    })
}
