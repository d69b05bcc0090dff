//! A page of rows in columns.

use super::{
    Style, WIDTH,
    text::{clean, fit, width, wrap},
};
use crate::words::Edge;

/// Where each column of a row begins, and how wide it is.
const LABEL: usize = 10;
const VALUE: usize = 19;
const KIND: usize = 16;
const EDGE: usize = 13;
const INDENT: usize = 2;

/// Text as it is written. Everything handed to it is escaped on the way in.
pub(crate) struct Page {
    out: String,
    style: Style,
}

/// What a piece of text is, for those who see colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Faint => "2",
            Paint::Strong => "1",
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "31",
        }
    }

    /// How an edge looks.
    const fn of_edge(edge: Edge) -> Self {
        match edge {
            Edge::Missing => Paint::Bad,
            Edge::Inferred => Paint::Doubtful,
            Edge::Asserted => Paint::Plain,
            Edge::Corroborated | Edge::Proven => Paint::Good,
        }
    }
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Page { out: String::new(), style }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Left and right ends of one line, or of two where one is too short.
    pub(crate) fn headline(&mut self, left: &str, right: &str) {
        let (left, right) = (clean(left), clean(right));
        let room = WIDTH.saturating_sub(width(&left) + width(&right));
        let lines = wrap(&left, WIDTH);
        if room >= 3 && lines.len() == 1 {
            self.put(&left, Paint::Strong);
            self.spaces(room);
        } else {
            for line in lines {
                self.put(&line, Paint::Strong);
                self.out.push('\n');
            }
            self.spaces(WIDTH.saturating_sub(width(&right)));
        }
        self.put(&right, Paint::Plain);
        self.out.push('\n');
    }

    /// A sentence that begins with a word that stands out.
    pub(crate) fn sentence(&mut self, word: &str, paint: Paint, rest: &str) {
        let word = clean(word);
        for (at, line) in wrap(&format!("{word}: {}", clean(rest)), WIDTH).iter().enumerate() {
            match line.strip_prefix(&*word).filter(|_| at == 0) {
                Some(tail) => {
                    self.put(&word, paint);
                    self.put(tail, Paint::Plain);
                }
                None => self.put(line, Paint::Plain),
            }
            self.out.push('\n');
        }
    }

    /// One link of a chain.
    pub(crate) fn link(&mut self, label: &str, value: &str, kind: &str, edge: Edge, note: &str) {
        self.label(label);
        self.cell(value, VALUE, if edge == Edge::Missing { Paint::Faint } else { Paint::Strong });
        self.cell(kind, KIND, Paint::Plain);
        self.cell(edge.as_str(), EDGE, Paint::of_edge(edge));
        self.rest(note, INDENT + LABEL + VALUE + KIND + EDGE, Paint::Plain);
    }

    /// One judgement.
    pub(crate) fn judged(&mut self, label: &str, what: &str, value: &str, paint: Paint, reasons: &[String]) {
        self.label(label);
        self.cell(what, VALUE, Paint::Plain);
        self.cell(value, KIND, paint);
        let at = INDENT + LABEL + VALUE + KIND;
        for (line, reason) in reasons.iter().enumerate() {
            if line > 0 {
                self.spaces(at);
            }
            self.rest(reason, at, Paint::Plain);
        }
        if reasons.is_empty() {
            self.rest("", at, Paint::Plain);
        }
    }

    /// One finding.
    pub(crate) fn finding(&mut self, label: &str, rule: &str, severity: &str, paint: Paint, text: &str) {
        const RULE: usize = 25;
        const SEVERITY: usize = 8;
        self.label(label);
        self.cell(rule, RULE, Paint::Strong);
        self.cell(severity, SEVERITY, paint);
        self.rest(text, INDENT + LABEL + RULE + SEVERITY, Paint::Plain);
    }

    /// A label and free text behind it.
    pub(crate) fn free(&mut self, label: &str, text: &str) {
        self.label(label);
        self.rest(text, INDENT + LABEL, Paint::Plain);
    }

    /// Words behind a label that are never broken, several to a line.
    pub(crate) fn words(&mut self, label: &str, words: &[String]) {
        const APART: usize = 4;
        self.label(label);
        let mut at = INDENT + LABEL;
        for (place, word) in words.iter().map(|word| clean(word)).enumerate() {
            if place > 0 && at + APART + width(&word) > WIDTH {
                self.end_line();
                self.spaces(INDENT + LABEL);
                at = INDENT + LABEL;
            } else if place > 0 {
                self.spaces(APART);
                at += APART;
            }
            self.put(&word, Paint::Plain);
            at += width(&word);
        }
        self.end_line();
    }

    /// What stands behind the row above.
    pub(crate) fn behind(&mut self, text: &str) {
        self.spaces(INDENT + LABEL);
        self.rest(text, INDENT + LABEL, Paint::Faint);
    }

    /// A line as it stands, cut to the width.
    pub(crate) fn line(&mut self, indent: usize, cells: &[(&str, usize, Paint)]) {
        self.entry(indent, cells, ("", Paint::Plain));
    }

    /// Cells cut to their columns, and text behind them that is as long as it is.
    pub(crate) fn entry(&mut self, indent: usize, cells: &[(&str, usize, Paint)], last: (&str, Paint)) {
        self.spaces(indent);
        for (text, width, paint) in cells {
            self.cell(text, *width, *paint);
        }
        self.put(&clean(last.0), last.1);
        self.end_line();
    }

    fn label(&mut self, label: &str) {
        self.spaces(INDENT);
        self.cell(label, LABEL, Paint::Faint);
    }

    /// Text in a column of `columns`, the last of which stays free.
    fn cell(&mut self, text: &str, columns: usize, paint: Paint) {
        let text = clean(text);
        let text = fit(&text, columns.saturating_sub(1));
        self.put(&text, paint);
        self.spaces(columns.saturating_sub(width(&text)));
    }

    /// Text to the end of the line and on below itself.
    fn rest(&mut self, text: &str, at: usize, paint: Paint) {
        for (line, text) in wrap(&clean(text), WIDTH.saturating_sub(at)).iter().enumerate() {
            if line > 0 {
                self.spaces(at);
            }
            self.put(text, paint);
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    fn put(&mut self, text: &str, paint: Paint) {
        if self.style.colour && paint != Paint::Plain && !text.is_empty() {
            self.out.push_str("\u{1b}[");
            self.out.push_str(paint.code());
            self.out.push('m');
            self.out.push_str(text);
            self.out.push_str("\u{1b}[0m");
        } else {
            self.out.push_str(text);
        }
    }
}
