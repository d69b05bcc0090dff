//! A serde writer of canonical JSON (RFC 8785), for structs whose fields are declared in the order of their
//! names.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible, SerializeMap, SerializeSeq, SerializeStruct},
};

use super::plain_length;

/// Appends `value` to `out`.
///
/// # Errors
/// It holds what no record is made of, such as numbers with a fraction, bytes, tuples, enums with content.
pub(crate) fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> fmt::Result {
    value.serialize(Writer(out))
}

struct Writer<'o>(&'o mut Vec<u8>);

impl Writer<'_> {
    /// RFC 8785, section 3.2.2.2: only what must be escaped is.
    #[inline]
    fn string(self, text: &str) {
        let mut rest = text.as_bytes();
        self.0.push(b'"');
        loop {
            let (plain, special) = rest.split_at(plain_length(rest));
            self.0.extend_from_slice(plain);
            let Some((special, behind)) = special.split_first() else { break };
            match special {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', *special]),
                0x08 => self.0.extend_from_slice(b"\\b"),
                0x09 => self.0.extend_from_slice(b"\\t"),
                0x0a => self.0.extend_from_slice(b"\\n"),
                0x0c => self.0.extend_from_slice(b"\\f"),
                0x0d => self.0.extend_from_slice(b"\\r"),
                control => {
                    let mut escape = *b"\\u00..";
                    crate::hex::encode(&[*control], &mut escape[4..]);
                    self.0.extend_from_slice(&escape);
                }
            }
            rest = behind;
        }
        self.0.push(b'"');
    }

    fn number(self, number: impl itoa::Integer) {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// What is written one after another, and what ends it.
struct Entries<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
    close: u8,
}

impl<'o> Entries<'o> {
    fn new(out: &'o mut Vec<u8>, open: u8, close: u8) -> Self {
        out.push(open);
        Entries { out, first: true, close }
    }

    #[inline]
    fn next(&mut self) -> Writer<'_> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        Writer(self.out)
    }

    fn close(self) -> fmt::Result {
        self.out.push(self.close);
        Ok(())
    }
}

impl SerializeSeq for Entries<'_> {
    type Ok = ();
    type Error = fmt::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        value.serialize(self.next())
    }

    fn end(self) -> fmt::Result {
        self.close()
    }
}

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = fmt::Error;

    /// Names of members are texts.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> fmt::Result {
        key.serialize(self.next())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        self.out.push(b':');
        value.serialize(Writer(self.out))
    }

    fn end(self) -> fmt::Result {
        self.close()
    }
}

impl SerializeStruct for Entries<'_> {
    type Ok = ();
    type Error = fmt::Error;

    /// Names of fields need no escapes.
    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> fmt::Result {
        let Writer(out) = self.next();
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        value.serialize(Writer(out))
    }

    fn end(self) -> fmt::Result {
        self.close()
    }
}

/// What no record is made of.
fn unknown<T>() -> Result<T, fmt::Error> {
    Err(fmt::Error::custom("no record is made of it"))
}

macro_rules! unknown {
    ($($method:ident: $value:ty),* $(,)?) => {$(
        fn $method(self, _: $value) -> fmt::Result {
            unknown()
        }
    )*};
}

impl<'o> Serializer for Writer<'o> {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Entries<'o>;
    type SerializeMap = Entries<'o>;
    type SerializeStruct = Entries<'o>;
    type SerializeTuple = Impossible<(), fmt::Error>;
    type SerializeTupleStruct = Impossible<(), fmt::Error>;
    type SerializeTupleVariant = Impossible<(), fmt::Error>;
    type SerializeStructVariant = Impossible<(), fmt::Error>;

    #[inline]
    fn serialize_str(self, text: &str) -> fmt::Result {
        self.string(text);
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> fmt::Result {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> fmt::Result {
        self.number(value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> fmt::Result {
        self.number(value);
        Ok(())
    }

    fn serialize_none(self) -> fmt::Result {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> fmt::Result {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Entries<'o>, fmt::Error> {
        Ok(Entries::new(self.0, b'[', b']'))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'o>, fmt::Error> {
        Ok(Entries::new(self.0, b'{', b'}'))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries<'o>, fmt::Error> {
        Ok(Entries::new(self.0, b'{', b'}'))
    }

    unknown! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_bytes: &[u8],
    }

    fn serialize_unit_struct(self, _: &'static str) -> fmt::Result {
        unknown()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> fmt::Result {
        unknown()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> fmt::Result {
        unknown()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, fmt::Error> {
        unknown()
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, fmt::Error> {
        unknown()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, fmt::Error> {
        unknown()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, fmt::Error> {
        unknown()
    }
}
