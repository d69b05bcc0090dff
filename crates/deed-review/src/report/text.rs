//! A page as text for a screen.

use super::{
    grouped,
    page::{Chart, Figure, Page, Table, Tone},
};
use crate::render::{
    Style, WIDTH,
    text::{clean, fit, width, wrap},
};

/// Columns of a bar.
const BAR: usize = 30;
/// Columns that a label of a bar takes at most.
const LABEL: usize = 32;
/// Fewer columns than these a column of words is not cut to, unless the table is wider than the screen even so.
const NARROWEST: usize = 13;
/// Nor to fewer than these at all.
const LEAST: usize = 5;
/// Between two columns.
const APART: usize = 2;

/// The page as text, its control characters escaped, its lines within `style.width` where words allow.
pub fn text(page: &Page, style: Style<'_>) -> String {
    let mut sheet = Sheet { out: String::new(), colour: style.colour, width: style.width.clamp(40, 160) };
    sheet.line(0, &page.title, Paint::Strong);
    sheet.line(0, &page.question, Paint::Plain);
    sheet.blank();
    for (label, value) in page.covered.lines() {
        sheet.labelled(label, &value);
    }
    if !page.figures.is_empty() {
        sheet.blank();
    }
    sheet.figures(&page.figures);
    for section in &page.sections {
        sheet.blank();
        sheet.line(0, &section.title, Paint::Strong);
        if !section.note.is_empty() {
            sheet.line(2, &section.note, Paint::Faint);
        }
        let chart = section.chart.as_ref().filter(|chart| !chart.bars.is_empty());
        if let Some(chart) = chart {
            sheet.chart(chart);
        }
        if let Some(table) = &section.table {
            if chart.is_some() {
                sheet.blank();
            }
            sheet.table(table);
        }
    }
    if !page.unknown.is_empty() {
        sheet.blank();
        sheet.line(0, "What is not known", Paint::Strong);
        page.unknown.iter().for_each(|what| sheet.line(2, what, Paint::Plain));
    }
    sheet.out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
}

impl From<Tone> for Paint {
    fn from(tone: Tone) -> Self {
        match tone {
            Tone::Plain => Paint::Plain,
            Tone::Good => Paint::Good,
            Tone::Doubtful => Paint::Doubtful,
            Tone::Bad => Paint::Bad,
        }
    }
}

struct Sheet {
    out: String,
    colour: bool,
    width: usize,
}

impl Sheet {
    fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Running text, indented.
    fn line(&mut self, indent: usize, text: &str, paint: Paint) {
        for line in wrap(&clean(text), self.width.min(WIDTH) - indent) {
            self.spaces(indent);
            self.put(&line, paint);
            self.end();
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        const AT: usize = 11;
        for (at, line) in wrap(&clean(text), self.width.min(WIDTH).saturating_sub(AT)).iter().enumerate() {
            self.spaces(2);
            self.put(&format!("{:<9}", if at == 0 { label } else { "" }), Paint::Faint);
            self.put(line, Paint::Plain);
            self.end();
        }
    }

    fn figures(&mut self, figures: &[Figure]) {
        let values = figures.iter().map(|figure| width(&figure.value)).max().unwrap_or_default();
        for figure in figures {
            let at = 2 + values + APART;
            for (place, line) in wrap(&clean(&figure.label), self.width.min(WIDTH).saturating_sub(at).max(20))
                .iter()
                .enumerate()
            {
                let value = if place == 0 { clean(&figure.value) } else { "".into() };
                self.spaces(2 + values - width(&value));
                self.put(&value, figure.tone.into());
                self.spaces(APART);
                self.put(line, Paint::Plain);
                self.end();
            }
        }
    }

    fn chart(&mut self, chart: &Chart) {
        const MARKS: [&str; 4] = ["█", "▒", "░", "·"];
        let label = chart.bars.iter().map(|bar| width(&clean(&bar.label))).max().unwrap_or(0).min(LABEL);
        let longest = chart.bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max().unwrap_or(0);
        for bar in &chart.bars {
            let total: u64 = bar.parts.iter().sum();
            let whole = if chart.whole { total } else { longest };
            let name = clean(&bar.label);
            let name = fit(&name, label);
            self.spaces(2);
            self.put(&name, Paint::Plain);
            self.spaces(label - width(&name) + APART);
            let mut taken = 0;
            for (at, columns) in columns(&bar.parts, whole).into_iter().enumerate() {
                let tone = chart.legend.get(at).map_or(Tone::Plain, |(_, tone)| *tone);
                self.put(&MARKS[at.min(MARKS.len() - 1)].repeat(columns), tone.into());
                taken += columns;
            }
            self.spaces(BAR.saturating_sub(taken) + APART);
            self.put(&clean(&bar.value), Paint::Plain);
            self.end();
        }
        if chart.legend.len() > 1 {
            let legend = chart.legend.iter().enumerate();
            let words = legend.map(|(at, (name, _))| format!("{} {name}", MARKS[at.min(MARKS.len() - 1)]));
            self.line(label + 2 + APART, &words.collect::<Vec<_>>().join("   "), Paint::Faint);
        }
    }

    fn table(&mut self, table: &Table) {
        if table.rows.is_empty() {
            self.line(2, "none", Paint::Faint);
            return;
        }
        let widths = self.widths(table);
        self.spaces(2);
        for (column, columns) in table.columns.iter().zip(&widths) {
            self.cell(&column.title, *columns, column.figures, Paint::Faint);
        }
        self.end();
        for row in &table.rows {
            self.spaces(2);
            for ((column, columns), cell) in table.columns.iter().zip(&widths).zip(&row.cells) {
                self.cell(&cell.text, *columns, column.figures, cell.tone.into());
            }
            self.end();
            row.notes.iter().for_each(|note| self.line(6, note, Paint::Faint));
        }
        if table.more > 0 {
            self.line(
                2,
                &format!("and {} more; --json has all that were asked for", grouped(table.more)),
                Paint::Faint,
            );
        }
    }

    /// How wide each column is: as its words, the widest cut until all fit. Figures and times stand whole.
    fn widths(&self, table: &Table) -> Vec<usize> {
        let cells = |at: usize| table.rows.iter().filter_map(move |row| row.cells.get(at));
        let natural = |(at, column): (usize, &super::page::Column)| {
            let widest = cells(at).map(|cell| width(&clean(&cell.text))).max().unwrap_or(0);
            widest.max(width(&column.title))
        };
        let mut widths: Vec<usize> = table.columns.iter().enumerate().map(natural).collect();
        let stands = |at: usize| cells(at).any(|cell| is_time(&cell.text)) || table.columns[at].figures;
        let room = self.width.saturating_sub(2 + APART * widths.len().saturating_sub(1));
        for least in [NARROWEST, LEAST] {
            while widths.iter().sum::<usize>() > room {
                let words = (0..widths.len()).filter(|at| !stands(*at) && widths[*at] > least);
                // Of several as wide the first.
                let Some(widest) = words.max_by_key(|at| (widths[*at], std::cmp::Reverse(*at))) else {
                    break;
                };
                widths[widest] -= 1;
            }
        }
        widths
    }

    fn cell(&mut self, text: &str, columns: usize, right: bool, paint: Paint) {
        let text = clean(text);
        let text = fit(&text, columns);
        let room = columns.saturating_sub(width(&text));
        if right {
            self.spaces(room);
        }
        self.put(&text, paint);
        self.spaces(APART + if right { 0 } else { room });
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    fn end(&mut self) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
    }

    fn put(&mut self, text: &str, paint: Paint) {
        let code = match paint {
            Paint::Plain => "",
            Paint::Faint => "2",
            Paint::Strong => "1",
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "31",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            self.out.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
        } else {
            self.out.push_str(text);
        }
    }
}

/// Whether a cell is a time, as `second` writes it: cut in its middle it would be another one.
fn is_time(text: &str) -> bool {
    text.len() == "2026-11-20 10:00:00Z".len()
        && text.ends_with('Z')
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b' ',
            13 | 16 => byte == b':',
            19 => true,
            _ => byte.is_ascii_digit(),
        })
}

/// How many columns each part of a bar takes; what is there at all takes one.
fn columns(parts: &[u64], whole: u64) -> Vec<usize> {
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let mut columns: Vec<usize> = parts
        .iter()
        .map(|part| {
            let exact = (u128::from(*part) * BAR as u128 / u128::from(whole)) as usize;
            if *part > 0 { exact.max(1) } else { 0 }
        })
        .collect();
    // A full bar is full, and no bar is longer.
    let full = parts.iter().sum::<u64>() >= whole;
    while full && columns.iter().sum::<usize>() != BAR {
        let short = columns.iter().sum::<usize>() < BAR;
        let Some(longest) = columns.iter_mut().max() else { break };
        if short { *longest += 1 } else { *longest -= 1 }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn a_full_bar_is_full_and_what_is_there_is_seen() {
        assert_eq!(columns(&[1, 1, 1_000_000], 1_000_002), [1, 1, 28]);
        assert_eq!(columns(&[0, 5], 10), [0, 15]);
        assert_eq!(columns(&[0, 0], 0), [0, 0]);
        assert_eq!(columns(&[7], 7), [30]);
    }
}
