//! The wire format of protobuf, where its reader does not say enough: an item that cannot be read costs itself only.
//!
//! All signals are built alike: a request is a list of resources, each with a list of scopes, each with a list of items.

use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

use super::{Export, Request};

/// The resources of a request.
pub(super) const RESOURCES: u32 = 1;
/// The scopes of a resource, and the items of a scope.
pub(super) const LIST: u32 = 2;

/// Why an item cannot be read that nests deeper than the reader of protobuf goes.
const TOO_DEEP: &str = "it nests deeper than the 100 levels that an export may have in protobuf";

/// The request in `body` without the items that cannot be read; `None` where it is none.
pub(super) fn read<R: Export>(body: &[u8]) -> Option<Request<R>> {
    let Mended { body, refused, items } = Mended::of::<R>(body)?;
    // Nothing that can be read, and nothing that only nests too deep: what was sent is something else.
    if refused.len() == items && refused.iter().all(|(_, why)| why != TOO_DEEP) {
        return None;
    }
    let message = R::decode(&*body).ok()?;
    Some(Request { message, refused })
}

/// A request in which an empty item stands for each that cannot be read.
struct Mended {
    body: Vec<u8>,
    /// Their numbers, rising, and why.
    refused: Vec<(usize, String)>,
    /// All there are.
    items: usize,
}

impl Mended {
    /// Each item is read once by itself, so that this takes a few times as long as reading the request.
    fn of<R: Export>(body: &[u8]) -> Option<Self> {
        let (mut refused, mut items) = (Vec::new(), 0);
        let (mut request, resources) = parts(body, RESOURCES)?;
        for resource in resources {
            let (mut resource, scopes) = parts(resource, LIST)?;
            let of_resource = fault::<R>(&resource, &[RESOURCES]);
            if of_resource.is_some() {
                resource.clear();
            }
            for scope in scopes {
                let (mut scope, list) = parts(scope, LIST)?;
                let of_scope = of_resource.clone().or_else(|| fault::<R>(&scope, &[LIST, RESOURCES]));
                if of_scope.is_some() {
                    scope.clear();
                }
                for item in list {
                    let fault = of_scope.clone().or_else(|| fault::<R>(item, &[LIST, LIST, RESOURCES]));
                    push(&mut scope, LIST, if fault.is_none() { item } else { &[] });
                    refused.extend(fault.map(|why| (items, why)));
                    items += 1;
                }
                push(&mut resource, LIST, &scope);
            }
            push(&mut request, RESOURCES, &resource);
        }
        Some(Mended { body: request, refused, items })
    }
}

/// Why `message` cannot be read where it stands: in the fields `around` it, the innermost first.
fn fault<R: Export>(message: &[u8], around: &[u32]) -> Option<String> {
    let whole = around.iter().fold(message.to_vec(), |message, number| {
        let mut outer = Vec::with_capacity(message.len() + 8);
        push(&mut outer, *number, &message);
        outer
    });
    let why = R::decode(&*whole).err()?.to_string();
    Some(if why.ends_with("recursion limit reached") {
        TOO_DEEP.to_owned()
    } else {
        format!("not of the expected form: {}", why.rsplit(": ").next().unwrap_or_default())
    })
}

/// `message` without its messages in field `number`, and those; `None` where it is none.
fn parts(message: &[u8], number: u32) -> Option<(Vec<u8>, Vec<&[u8]>)> {
    let (mut rest, mut list) = (Vec::new(), Vec::new());
    let mut fields = Fields(message);
    for field in fields.by_ref() {
        if field.is_message(number) {
            list.push(field.bytes);
        } else {
            rest.extend_from_slice(field.whole);
        }
    }
    fields.0.is_empty().then_some((rest, list))
}

/// Appends `message` as field `number`.
fn push(out: &mut Vec<u8>, number: u32, message: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// A field of a message.
pub(super) struct Field<'b> {
    number: u64,
    wire: u8,
    pub(super) bytes: &'b [u8],
    /// With what stands before the bytes.
    whole: &'b [u8],
}

impl Field<'_> {
    /// Whether it is a message, or other bytes behind their length, in field `number`.
    pub(super) fn is_message(&self, number: u32) -> bool {
        (self.number, self.wire) == (u64::from(number), WireType::LengthDelimited as u8)
    }

    /// Whether it is a number of eight bytes.
    pub(super) fn is_fixed_64(&self) -> bool {
        self.wire == WireType::SixtyFourBit as u8
    }
}

/// The fields of a message, up to what is none: that is left.
pub(super) struct Fields<'b>(pub(super) &'b [u8]);

impl<'b> Iterator for Fields<'b> {
    type Item = Field<'b>;

    fn next(&mut self) -> Option<Field<'b>> {
        let mut rest = self.0;
        let key = decode_varint(&mut rest).ok()?;
        let wire = (key & 7) as u8;
        let length = match wire {
            0 => {
                decode_varint(&mut rest).ok()?;
                0
            }
            1 => 8,
            2 => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (bytes, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Field { number: key >> 3, wire, bytes, whole })
    }
}
