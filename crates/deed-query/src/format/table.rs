//! A table for people.

use std::{fmt::Write as _, io};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};

use super::{Format, FormatError, as_json, text_of, value_error};

/// Rows that are looked at before widths are settled.
const LOOKED_AT: usize = 200;

/// Between two columns.
const GAP: &str = "  ";

/// Rows in columns, or, where those do not fit, each row in lines of its own. Nothing is cut off: an id
/// that is shown can be copied.
pub(super) struct Table<W> {
    to: W,
    names: Vec<String>,
    numbers: Vec<bool>,
    width: Option<usize>,
    /// Rows before the layout is settled.
    first: Vec<Vec<Option<String>>>,
    layout: Option<Layout>,
    rows: usize,
}

enum Layout {
    /// Widths of the columns.
    Columns(Vec<usize>),
    /// Width of the names.
    Lines(usize),
}

impl<W: io::Write> Table<W> {
    pub(super) fn new(schema: &SchemaRef, to: W, width: Option<usize>) -> Self {
        let names = schema.fields().iter().map(|field| shown(field.name())).collect();
        let numbers = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        Table { to, names, numbers, width, first: Vec::new(), layout: None, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        for row in cells(batch).map_err(|error| value_error(Format::Table, error))? {
            if self.layout.is_none() {
                self.first.push(row);
                if self.first.len() == LOOKED_AT {
                    self.settle()?;
                }
            } else {
                self.row(&row)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, FormatError> {
        if self.layout.is_none() {
            self.settle()?;
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        writeln!(self.to, "({} {rows})", self.rows)?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Chooses a layout for the rows seen so far, and writes them.
    fn settle(&mut self) -> Result<(), FormatError> {
        let first = std::mem::take(&mut self.first);
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.chars().count()).collect();
        for row in &first {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.as_ref().map_or(0, |cell| cell.chars().count()));
            }
        }
        let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        if self.width.is_some_and(|width| total > width) {
            self.layout =
                Some(Layout::Lines(self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0)));
        } else {
            let header: Vec<_> = self.names.iter().cloned().map(Some).collect();
            let rule: Vec<_> = widths.iter().map(|width| Some("-".repeat(*width))).collect();
            self.columns(&header, &widths)?;
            self.columns(&rule, &widths)?;
            self.layout = Some(Layout::Columns(widths));
        }
        first.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &[Option<String>]) -> Result<(), FormatError> {
        self.rows += 1;
        match self.layout.take() {
            Some(Layout::Columns(widths)) => {
                self.columns(row, &widths)?;
                self.layout = Some(Layout::Columns(widths));
            }
            Some(Layout::Lines(width)) => {
                writeln!(self.to, "-- {}", self.rows)?;
                for (name, cell) in self.names.iter().zip(row) {
                    if let Some(cell) = cell {
                        writeln!(self.to, "{name:width$}{GAP}{cell}")?;
                    }
                }
                self.layout = Some(Layout::Lines(width));
            }
            None => {}
        }
        Ok(())
    }

    fn columns(&mut self, row: &[Option<String>], widths: &[usize]) -> Result<(), FormatError> {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = cell.as_deref().unwrap_or_default();
            let gap = if at == 0 { "" } else { GAP };
            let padding = width.saturating_sub(cell.chars().count());
            // Writing to a `String` cannot fail.
            let _infallible = if self.numbers[at] {
                write!(line, "{gap}{:padding$}{cell}", "")
            } else {
                write!(line, "{gap}{cell}{:padding$}", "")
            };
        }
        writeln!(self.to, "{}", line.trim_end())?;
        Ok(())
    }
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, ArrowError> {
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for column in batch.columns() {
        let nested;
        let column = if column.data_type().is_nested() {
            nested = as_json(column)?;
            &nested
        } else {
            column
        };
        let text = text_of(column)?;
        for (at, row) in rows.iter_mut().enumerate() {
            let null = column.is_null(at) || *column.data_type() == DataType::Null;
            row.push(if null { None } else { Some(shown(&text.value(at).try_to_string()?)) });
        }
    }
    Ok(rows)
}

/// Text that does nothing to a terminal: control characters, and those that turn the direction of
/// writing, are spelled out.
fn shown(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if harmful(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
