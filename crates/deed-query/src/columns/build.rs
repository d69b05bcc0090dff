//! Builders of one Arrow array each, fed one row at a time.
//!
//! Text is built as string views: short values stand inside the view, repeated ones are kept once. A
//! column that no row fills costs one shared array. Leaves in memory thus stay about as small as they
//! are sealed. Files hold plain strings all the same.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use arrow::{
    array::{
        Array, ArrayRef, Int64Builder, ListArray, StringBuilder, StringViewBuilder, StructArray,
        TimestampMicrosecondBuilder, new_null_array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, TimeUnit},
};
use deed_record::{Account, Credential, Effect, Hop, Pseudonym, RecordId, SpanId, Text, Timestamp, TraceId};

/// The values of one column in the making.
pub(super) trait Values: Default {
    /// What a row that has a value brings.
    type Item<'a>;
    /// The Arrow type of the array.
    fn data_type() -> DataType;
    /// Adds rows without a value.
    fn nulls(&mut self, rows: usize);
    /// Adds a row.
    fn value(&mut self, item: Self::Item<'_>);
    /// The rows so far; the builder is done with.
    fn array(self) -> ArrayRef;
}

/// One column in the making: nothing is built before the first value.
pub(super) struct Column<V> {
    rows: usize,
    values: Option<V>,
}

impl<V> Default for Column<V> {
    fn default() -> Self {
        Column { rows: 0, values: None }
    }
}

impl<V: Values> Column<V> {
    /// Adds one row.
    #[inline]
    pub(super) fn push(&mut self, item: Option<V::Item<'_>>) {
        match (&mut self.values, item) {
            (None, None) => {}
            (Some(values), None) => values.nulls(1),
            (Some(values), Some(item)) => values.value(item),
            (empty, Some(item)) => {
                let values = empty.insert(V::default());
                values.nulls(self.rows);
                values.value(item);
            }
        }
        self.rows += 1;
    }

    /// The rows so far; empties the builder.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let Column { rows, values } = std::mem::take(self);
        values.map_or_else(|| nulls(V::data_type(), rows), V::array)
    }
}

/// An array of `rows` nulls, shared by all that have the same type.
fn nulls(data_type: DataType, rows: usize) -> ArrayRef {
    static SHARED: LazyLock<Mutex<HashMap<DataType, ArrayRef>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let array = shared.entry(data_type.clone()).or_insert_with(|| new_null_array(&data_type, super::CHUNK));
    if array.len() < rows { new_null_array(&data_type, rows) } else { array.slice(0, rows) }
}

/// The name that the Parquet specification gives the items of a list.
const ELEMENT: &str = "element";

/// Integers.
#[derive(Default)]
pub(super) struct Int(Int64Builder);

impl Values for Int {
    type Item<'a> = i64;
    fn data_type() -> DataType {
        DataType::Int64
    }
    fn nulls(&mut self, rows: usize) {
        self.0.append_nulls(rows);
    }
    fn value(&mut self, item: i64) {
        self.0.append_value(item);
    }
    fn array(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Times: microseconds, UTC, as sealed.
pub(super) struct Time(TimestampMicrosecondBuilder);

impl Default for Time {
    fn default() -> Self {
        Time(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
    }
}

impl Values for Time {
    type Item<'a> = Timestamp;
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }
    fn nulls(&mut self, rows: usize) {
        self.0.append_nulls(rows);
    }
    fn value(&mut self, item: Timestamp) {
        self.0.append_value(item.0);
    }
    fn array(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// How a value is written as text.
pub(super) trait Written {
    /// Calls `with` with the text.
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T;
}

impl Written for &str {
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        with(self)
    }
}

impl Written for RecordId {
    /// The hyphenated form of a UUID, lower case (RFC 9562, section 4).
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        let digits = hex::<32>(&self.0);
        let mut text = [b'-'; 36];
        for (to, from) in [(0..8, 0..8), (9..13, 8..12), (14..18, 12..16), (19..23, 16..20), (24..36, 20..32)]
        {
            text[to].copy_from_slice(&digits[from]);
        }
        with(ascii(&text))
    }
}

impl Written for TraceId {
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        with(ascii(&hex::<32>(&self.0)))
    }
}

impl Written for SpanId {
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        with(ascii(&hex::<16>(&self.0)))
    }
}

impl Written for Account {
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        with(ascii(&keyed(Account::PREFIX, &self.0)))
    }
}

impl Written for Pseudonym {
    fn written<T>(self, with: impl FnOnce(&str) -> T) -> T {
        with(ascii(&keyed(Pseudonym::PREFIX, &self.0)))
    }
}

/// `acct:` or `psdn:` and 32 hex digits.
fn keyed(prefix: &str, bytes: &[u8; 16]) -> [u8; 37] {
    let mut text = [0; 37];
    text[..5].copy_from_slice(prefix.as_bytes());
    text[5..].copy_from_slice(&hex::<32>(bytes));
    text
}

fn hex<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; N];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// Hex digits and hyphens are ASCII.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident of $item:ty: $data_type:ident from $new:expr => $builder:ty;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name($builder);

        impl Default for $name {
            fn default() -> Self {
                $name($new)
            }
        }

        impl Values for $name {
            type Item<'a> = $item;
            fn data_type() -> DataType {
                DataType::$data_type
            }
            fn nulls(&mut self, rows: usize) {
                (0..rows).for_each(|_| self.0.append_null());
            }
            fn value(&mut self, item: Self::Item<'_>) {
                item.written(|text| self.0.append_value(text));
            }
            fn array(mut self) -> ArrayRef {
                Arc::new(self.0.finish())
            }
        }
    )*};
}

text! {
    /// Text that many rows share: each value is kept once.
    Shared of &'a str: Utf8View from StringViewBuilder::new().with_deduplicate_strings() => StringViewBuilder;
    /// Text that rarely comes twice.
    Unique of &'a str: Utf8View from StringViewBuilder::new() => StringViewBuilder;
    /// Ids of records.
    Id of RecordId: Utf8View from StringViewBuilder::new() => StringViewBuilder;
    /// W3C trace ids.
    Trace of TraceId: Utf8View from StringViewBuilder::new() => StringViewBuilder;
    /// W3C span ids.
    Span of SpanId: Utf8View from StringViewBuilder::new() => StringViewBuilder;
    /// Accounts.
    Who of Account: Utf8View from StringViewBuilder::new().with_deduplicate_strings() => StringViewBuilder;
    /// Pseudonyms.
    Masked of Pseudonym: Utf8View from StringViewBuilder::new().with_deduplicate_strings() => StringViewBuilder;
    // Inside lists. Views are for the outer columns; engines read nested strings as they are.
    /// Text inside a list.
    Member of &'a str: Utf8 from StringBuilder::new() => StringBuilder;
    /// An account inside a list.
    MemberWho of Account: Utf8 from StringBuilder::new() => StringBuilder;
    /// A record id inside a list.
    MemberId of RecordId: Utf8 from StringBuilder::new() => StringBuilder;
}

/// Where the items of each row end. A row without items is null.
struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Ends(vec![0])
    }
}

impl Ends {
    fn push(&mut self, items: usize) {
        // A leaf has at most 64 KiB, and at most 65,536 of them make one array: far below 2^31 items.
        let so_far = self.0.last().copied().unwrap_or_default();
        self.0.push(so_far.saturating_add(i32::try_from(items).unwrap_or(i32::MAX)));
    }

    fn nulls(&mut self, rows: usize) {
        let so_far = self.0.last().copied().unwrap_or_default();
        self.0.extend(std::iter::repeat_n(so_far, rows));
    }

    fn array(self, item: Field, values: ArrayRef) -> ArrayRef {
        let nulls = self.0.windows(2).map(|pair| pair[0] != pair[1]).collect();
        Arc::new(ListArray::new(Arc::new(item), OffsetBuffer::new(self.0.into()), values, Some(nulls)))
    }
}

fn list_of(item: DataType) -> (Field, DataType) {
    let field = Field::new(ELEMENT, item, false);
    (field.clone(), DataType::List(Arc::new(field)))
}

/// Lists of text.
#[derive(Default)]
pub(super) struct Texts {
    ends: Ends,
    items: Member,
}

impl Values for Texts {
    type Item<'a> = &'a [Text<'a>];
    fn data_type() -> DataType {
        list_of(DataType::Utf8).1
    }
    fn nulls(&mut self, rows: usize) {
        self.ends.nulls(rows);
    }
    fn value(&mut self, items: &[Text<'_>]) {
        self.ends.push(items.len());
        items.iter().for_each(|item| self.items.value(item));
    }
    fn array(self) -> ArrayRef {
        self.ends.array(list_of(DataType::Utf8).0, self.items.array())
    }
}

/// Lists of record ids.
#[derive(Default)]
pub(super) struct Ids {
    ends: Ends,
    items: MemberId,
}

impl Values for Ids {
    type Item<'a> = &'a [RecordId];
    fn data_type() -> DataType {
        Texts::data_type()
    }
    fn nulls(&mut self, rows: usize) {
        self.ends.nulls(rows);
    }
    fn value(&mut self, items: &[RecordId]) {
        self.ends.push(items.len());
        items.iter().for_each(|item| self.items.value(*item));
    }
    fn array(self) -> ArrayRef {
        self.ends.array(list_of(DataType::Utf8).0, self.items.array())
    }
}

/// Lists of structures, the members of each declared once.
macro_rules! structures {
    ($(#[$doc:meta])* $name:ident of $item:ident { $($member:literal $at:ident: $kind:ty = |$number:pat_param, $each:ident| $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name { ends: Ends, $($at: Column<$kind>),* }

        impl $name {
            fn fields() -> Fields {
                vec![$(Field::new($member, <$kind>::data_type(), true)),*].into()
            }
        }

        impl Values for $name {
            type Item<'a> = &'a [$item<'a>];
            fn data_type() -> DataType {
                list_of(DataType::Struct(Self::fields())).1
            }
            fn nulls(&mut self, rows: usize) {
                self.ends.nulls(rows);
            }
            #[expect(clippy::redundant_closure_call, reason = "a `?` in a column ends that column, not the row")]
            fn value(&mut self, items: &[$item<'_>]) {
                self.ends.push(items.len());
                for (number, item) in (1..).zip(items) {
                    $({ let ($number, $each) = (number, item); self.$at.push((|| $value)()); })*
                }
            }
            fn array(mut self) -> ArrayRef {
                let members = StructArray::new(Self::fields(), vec![$(self.$at.finish()),*], None);
                self.ends.array(list_of(DataType::Struct(Self::fields())).0, Arc::new(members))
            }
        }
    };
}

structures! {
    /// The hops between initiator and executor.
    Hops of Hop {
        "hop" hop: Int = |number, _hop| Some(number);
        "principal" principal: MemberWho = |_, hop| hop.principal.account;
        "type" kind: Member = |_, hop| Some(hop.principal.kind.as_str());
        "instance" instance: Member = |_, hop| hop.principal.instance.as_deref();
        "vendor" vendor: Member = |_, hop| hop.principal.vendor.as_deref();
        "credential" credential: Member = |_, hop| hop.credential.as_deref();
        "delegation" delegation: MemberId = |_, hop| hop.delegation;
        "scopes" scopes: Texts = |_, hop| some(&hop.scope);
    }
}

structures! {
    /// What an event changed in authority.
    Effects of Effect {
        "effect" effect: Int = |number, _effect| Some(number);
        "kind" kind: Member = |_, effect| Some(effect.kind.as_str());
        "change" change: Member = |_, effect| Some(effect.terms.as_ref()?.change?.as_str());
        "answer" answer: Member = |_, effect| Some(effect.terms.as_ref()?.answer?.as_str());
        "credential" credential: Member = |_, effect| credential_name(effect.credential.as_ref()?);
        "credential_id" credential_id: Member = |_, effect| effect.credential.as_ref()?.id.as_deref();
        "credential_type" credential_type: Member = |_, effect| effect.credential.as_ref()?.kind.as_deref();
        "credential_issuer" credential_issuer: Member = |_, effect| effect.credential.as_ref()?.issuer.as_deref();
        "credential_issued" credential_issued: Time = |_, effect| effect.credential.as_ref()?.issued;
        "credential_expires" credential_expires: Time = |_, effect| effect.credential.as_ref()?.expires;
        "credential_parent" credential_parent: Member = |_, effect| effect.credential.as_ref()?.parent.as_deref();
        "credential_scopes" credential_scopes: Texts = |_, effect| some(&effect.credential.as_ref()?.scopes);
        "resource_uri" resource_uri: Member = |_, effect| Some(&*effect.resource.as_ref()?.uri);
        "resource_type" resource_type: Member = |_, effect| effect.resource.as_ref()?.kind.as_deref();
        "classification" classification: Member = |_, effect| effect.resource.as_ref()?.classification.as_deref();
        "by" by: MemberWho = |_, effect| effect.terms.as_ref()?.by.as_ref()?.account;
        "by_type" by_type: Member = |_, effect| Some(effect.terms.as_ref()?.by.as_ref()?.kind.as_str());
        "subject" subject: MemberWho = |_, effect| effect.terms.as_ref()?.subject.as_ref()?.account;
        "subject_type" subject_type: Member = |_, effect| Some(effect.terms.as_ref()?.subject.as_ref()?.kind.as_str());
        "subject_vendor" subject_vendor: Member = |_, effect| effect.terms.as_ref()?.subject.as_ref()?.vendor.as_deref();
        "role" role: Member = |_, effect| effect.terms.as_ref()?.role.as_deref();
        "scopes" scopes: Texts = |_, effect| some(&effect.terms.as_ref()?.scopes);
        "not_before" not_before: Time = |_, effect| effect.terms.as_ref()?.not_before;
        "expires" expires: Time = |_, effect| effect.terms.as_ref()?.expires;
    }
}

/// A list that has items.
pub(super) fn some<T>(items: &[T]) -> Option<&[T]> {
    (!items.is_empty()).then_some(items)
}

/// The name a credential goes by in SQL: its fingerprint, else its issuer's id, else its jti.
pub(super) fn credential_name<'c>(credential: &'c Credential<'_>) -> Option<&'c str> {
    credential.names().next()
}
