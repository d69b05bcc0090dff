//! Why a record was refused.

/// A record that cannot be taken, and where in it the trouble is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index}, {}{message}", field_text(field))]
pub struct RecordError {
    /// Position of the record in what was sent, from 0.
    pub index: usize,
    /// The member, as a dotted path (`executor.type`); empty where the whole record is meant.
    pub field: String,
    /// What was expected and what was found, without the value of anything that may be secret.
    pub message: String,
}

fn field_text(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("field `{field}`: ") }
}

impl RecordError {
    /// An error at `field` of record 0; see [`RecordError::at`].
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        RecordError { index: 0, field: field.into(), message: message.into() }
    }

    /// The same error for the record at `index`.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.index = index;
        self
    }
}
