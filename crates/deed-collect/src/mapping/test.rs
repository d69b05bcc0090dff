//! Whether an event is one of which more is said.

use super::rows;
use crate::loose::Loose;

/// What must be true of one field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Test {
    pub(super) field: String,
    pub(super) holds: Holds,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    OneOf(Vec<String>),
    Prefix(String),
    Present(bool),
}

impl Test {
    /// Whether it holds; of a list, whether it holds of one of its items.
    pub(super) fn holds(&self, row: Loose<'_>) -> bool {
        let found = rows::all(row, &self.field);
        match &self.holds {
            Holds::OneOf(values) => found.iter().any(|text| values.iter().any(|value| value == text)),
            Holds::Prefix(prefix) => found.iter().any(|text| text.starts_with(prefix.as_str())),
            Holds::Present(present) => found.is_empty() != *present,
        }
    }
}
