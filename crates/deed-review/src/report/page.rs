//! What a report shows, before anybody says how it looks.

use super::Covered;

/// A report as people see it. Text in it may come from records: whoever writes it makes it harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What it is called.
    pub title: String,
    /// The question it answers.
    pub question: String,
    /// What it was made from.
    pub covered: Covered,
    /// What it comes to.
    pub figures: Vec<Figure>,
    /// The particulars.
    pub sections: Vec<Section>,
    /// What it does not know, and why.
    pub unknown: Vec<String>,
}

/// One headline figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The figure.
    pub value: String,
    /// What it counts.
    pub label: String,
    /// How it is to be taken.
    pub tone: Tone,
}

/// How something is to be taken. Colour only repeats what words say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Neither good nor bad.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not known, or worth a look.
    Doubtful,
    /// Wrong.
    Bad,
}

/// One part of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// What its figures count.
    pub note: String,
    /// A picture of it.
    pub chart: Option<Chart>,
    /// The figures.
    pub table: Option<Table>,
}

/// Bars, one below the other, each made of the same parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    /// What the parts of each bar are.
    pub legend: Vec<(String, Tone)>,
    /// The bars.
    pub bars: Vec<Bar>,
    /// Whether each bar is a whole of its own; else the longest is what others are held against.
    pub whole: bool,
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long each of its parts is.
    pub parts: Vec<u64>,
    /// What stands at its end.
    pub value: String,
}

/// Rows in columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that are not shown.
    pub more: u64,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Whether it holds figures, which stand to the right.
    pub figures: bool,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// A cell for each column.
    pub cells: Vec<Cell>,
    /// What is said below it.
    pub notes: Vec<String>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How that is to be taken.
    pub tone: Tone,
}

impl Figure {
    /// A figure, what it counts, and how it is to be taken.
    pub fn new(value: impl Into<String>, label: impl Into<String>, tone: Tone) -> Self {
        Figure { value: value.into(), label: label.into(), tone }
    }
}

impl Column {
    /// A column of words.
    pub fn words(title: &str) -> Self {
        Column { title: title.to_owned(), figures: false }
    }

    /// A column of figures.
    pub fn figures(title: &str) -> Self {
        Column { title: title.to_owned(), figures: true }
    }
}

impl Cell {
    /// A cell that is neither good nor bad.
    pub fn plain(text: impl Into<String>) -> Self {
        Cell { text: text.into(), tone: Tone::Plain }
    }

    /// A cell of that tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Cell { text: text.into(), tone }
    }

    /// A figure; `tone` where it is not nought.
    pub fn figure(number: u64, tone: Tone) -> Self {
        Cell { text: super::grouped(number), tone: if number == 0 { Tone::Plain } else { tone } }
    }
}

impl Table {
    /// The first `most` of `rows`, and how many are left out.
    pub fn of(columns: Vec<Column>, mut rows: Vec<Row>, most: usize) -> Self {
        let more = rows.len().saturating_sub(most) as u64;
        rows.truncate(most);
        Table { columns, rows, more }
    }
}
