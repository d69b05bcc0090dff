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

/// `found …`: what somebody wrote where something else belongs.
///
/// INVARIANT D9: a value is shown only while it can hardly be a secret. A word is shown, and what
/// looks like a date; a digit among letters makes it a text of so many characters.
pub(crate) fn found(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ');
    let date = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | '+' | ' ' | 'T' | 'Z' | '/');
    match text.chars().count() {
        0 => "found an empty text".to_owned(),
        1..=30 if text.chars().all(word) || text.chars().all(date) => format!("found `{text}`"),
        count => format!("found a text of {count} characters"),
    }
}

/// A member's name as errors show it: what is no plain name is cut short or left out (D9).
pub(crate) fn shown_name(name: &str) -> String {
    if is_plain_name(name) { format!("`{name}`") } else { format!("of {} characters", name.chars().count()) }
}

/// Whether a member's name can hardly be a secret.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (1..=40).contains(&name.len()) && digits < 4 && name.chars().all(plain)
}
