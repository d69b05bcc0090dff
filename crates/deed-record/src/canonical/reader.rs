//! Reading, member by member in the one order they have.

use std::{collections::BTreeMap, str::FromStr};

use super::plain_length;
use crate::{
    Account, Answer, Basis, Change, Commitments, Digests, Kind, PrincipalType, Pseudonym, RecordId, Ruling,
    Skeleton, SpanId, Status, StepType, Text, Timestamp, TraceId, Utf16Ordered,
};

/// Reads a sealed record; `None` where anything is not as this reader expects it, be it wrong or only unusual.
pub(crate) fn read(text: &str) -> Option<Skeleton<'_>> {
    let mut rest = Rest { text, at: 0 };
    let skeleton = Skeleton::read(&mut rest)?;
    (rest.at == text.len()).then_some(skeleton)
}

/// What has one canonical form.
pub(super) trait Canonical<'a>: Sized {
    /// Reads one that stands at the beginning of `rest`.
    fn read(rest: &mut Rest<'a>) -> Option<Self>;
}

/// What is not read yet.
pub(super) struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    /// Passes over `literal`, if it is next.
    #[inline(always)]
    pub(super) fn take(&mut self, literal: &str) -> bool {
        let is_next = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        self.at += if is_next { literal.len() } else { 0 };
        is_next
    }

    /// The value of the next member of an object, if it is the one that `literal` begins: `,"name":`. The
    /// first has no comma before it.
    #[inline(always)]
    pub(super) fn member<T: Canonical<'a>>(&mut self, first: &mut bool, literal: &str) -> Option<Option<T>> {
        // Two texts of known length each, not one of unknown length: those are compared without a call.
        let is_next = if *first { self.take(&literal[1..]) } else { self.take(literal) };
        if !is_next {
            return Some(None);
        }
        *first = false;
        T::read(self).map(Some)
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        if !self.take("\"") {
            return None;
        }
        let to = self.at + plain_length(&self.text.as_bytes()[self.at..]);
        let string = self.text.get(self.at..to)?;
        self.at = to;
        self.take("\"").then_some(string)
    }

    fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.string()?.parse().ok()
    }

    /// An integer from 0 to 2^53: sealed ones stay within that, for every reader reads them alike.
    fn integer(&mut self) -> Option<i64> {
        const DIGITS: usize = 16;
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let ends = matches!(rest.get(digits), Some(b',' | b'}'));
        if !(1..=DIGITS).contains(&digits) || (digits > 1 && rest[0] == b'0') || !ends {
            return None;
        }
        self.at += digits;
        let number = rest[..digits].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        (number <= 1 << 53).then_some(number)
    }
}

impl<'a> Canonical<'a> for Text<'a> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.string().map(Text::from)
    }
}

impl<'a> Canonical<'a> for i64 {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.integer()
    }
}

impl<'a> Canonical<'a> for u8 {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.integer()?.try_into().ok()
    }
}

macro_rules! parsed {
    ($($name:ident),* $(,)?) => {$(
        impl<'a> Canonical<'a> for $name {
            #[inline]
            fn read(rest: &mut Rest<'a>) -> Option<Self> {
                rest.parsed()
            }
        }
    )*};
}

parsed! {
    RecordId, TraceId, SpanId, Account, Pseudonym, Timestamp, Kind, Basis, PrincipalType, StepType, Status, Ruling,
    Answer, Change,
}

impl<'a, T: Canonical<'a>> Canonical<'a> for Vec<T> {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        let mut items = Vec::new();
        if !rest.take("[") {
            return None;
        }
        loop {
            items.push(T::read(rest)?);
            if rest.take("]") {
                return Some(items);
            }
            if !rest.take(",") {
                return None;
            }
        }
    }
}

impl<'a> Canonical<'a> for Commitments<'a> {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        let mut members = BTreeMap::new();
        if !rest.take("{") {
            return None;
        }
        loop {
            let name = Utf16Ordered(Text::from(rest.string()?));
            let digests = if rest.take(":{\"_sd\":") {
                let digests = Digests::Members(Vec::read(rest)?);
                rest.take("}").then_some(digests)?
            } else {
                rest.take(":").then_some(())?;
                Digests::Whole(Vec::read(rest)?)
            };
            if members.insert(name, digests).is_some() {
                return None;
            }
            if rest.take("}") {
                return Some(Commitments(members));
            }
            if !rest.take(",") {
                return None;
            }
        }
    }
}
