//! Answers as text for people.
//!
//! Lines fit the columns of [`Style::width`], except where an id or a command, which are never cut, is
//! longer: what can be shortened is, in its middle. Colour only repeats what words say. Whatever comes from
//! a record is written with its control characters escaped, so that no record can move the cursor of the
//! one who reads it.

mod explain;
mod led_to;
mod page;
mod phrases;
mod rights;
mod rows;
pub(crate) mod text;
mod trace;

pub use explain::explain;
pub use led_to::led_to;
pub use rows::rows;
pub use trace::trace;

/// Columns that a screen is taken to have, and the most that running text takes.
pub const WIDTH: usize = 100;
/// Fewer columns than this are not written for.
const NARROWEST: usize = 40;

/// What a command that is suggested needs beside a name: names mean something only within a tenant.
pub fn in_tenant(tenant: &str) -> String {
    match tenant {
        "default" => String::new(),
        tenant => format!(" --tenant {tenant}"),
    }
}

/// How to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style<'a> {
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to add the records behind each line.
    pub verbose: bool,
    /// Columns of the screen.
    pub width: usize,
    /// What this program is called in a command that is suggested. Nothing is suggested where it is empty.
    pub program: &'a str,
    /// What leads such a command to this very store, as ` --data DIR`, or nothing.
    pub place: &'a str,
}

impl Style<'_> {
    /// A command that is suggested.
    fn suggest(&self, arguments: &str) -> String {
        format!("{} {arguments}{}", self.program, self.place)
    }
}

impl Default for Style<'_> {
    fn default() -> Self {
        Style { colour: false, verbose: false, width: WIDTH, program: "deed", place: "" }
    }
}
