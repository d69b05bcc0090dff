//! Telling metrics from what is recorded.

use prost::encoding::decode_varint;

/// Whether `body` is an export of metrics in protobuf: its first item is one.
///
/// A metric holds its data in a message (`gauge` is field 5, `sum` 7, `histogram` 9, `exponential_histogram`
/// 10, `summary` 11) and nothing of eight fixed bytes; spans and log records have such times, and must.
pub(crate) fn is_metrics(body: &[u8]) -> bool {
    const MESSAGE: u8 = 2;
    const FIXED_64: u8 = 1;
    let inside =
        |body, number| fields(body).find(|f| (f.number, f.wire) == (number, MESSAGE)).map(|f| f.bytes);
    let item = inside(body, 1).and_then(|resource| inside(resource, 2)).and_then(|scope| inside(scope, 2));
    item.is_some_and(|item| {
        let is_data = |field: Field<'_>| field.wire == MESSAGE && matches!(field.number, 5 | 7 | 9 | 10 | 11);
        fields(item).all(|field| field.wire != FIXED_64) && fields(item).any(is_data)
    })
}

/// A field of a message.
struct Field<'b> {
    number: u64,
    wire: u8,
    bytes: &'b [u8],
}

/// The fields of a message, up to what is none.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let key = decode_varint(&mut message).ok()?;
        let wire = (key & 7) as u8;
        let length = match wire {
            0 => {
                decode_varint(&mut message).ok()?;
                0
            }
            1 => 8,
            2 => usize::try_from(decode_varint(&mut message).ok()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (bytes, rest) = message.split_at_checked(length)?;
        message = rest;
        Some(Field { number: key >> 3, wire, bytes })
    })
}
