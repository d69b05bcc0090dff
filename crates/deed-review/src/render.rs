//! Answers as text for people.
//!
//! Lines are at most [`WIDTH`] columns wide, except where one word is longer, and in lists, whose lines are
//! one for each thing. Colour only repeats what
//! words say. Whatever comes from a record is written with its control characters escaped, so that no
//! record can move the cursor of the one who reads it.

mod explain;
mod page;
mod phrases;
mod rows;
mod text;
mod trace;

pub use explain::explain;
pub use rows::rows;
pub use trace::trace;

/// Columns that a screen is taken to have.
pub const WIDTH: usize = 100;

/// How to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to add the records behind each line.
    pub verbose: bool,
}
