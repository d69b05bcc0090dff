//! A page of rows in columns.

use super::{
    NARROWEST, Style, WIDTH,
    text::{clean, fit, width, wrap},
};
use crate::words::Edge;

/// How wide the columns of a row are.
const LABEL: usize = 10;
const VALUE: usize = 19;
const KIND: usize = 16;
const EDGE: usize = 13;
const INDENT: usize = 2;
/// Running text beside columns has at least so much room; where it has not, it stands below them.
const ROOM: usize = 30;

/// Text as it is written. Everything handed to it is escaped on the way in.
pub(crate) struct Page {
    out: String,
    colour: bool,
    width: usize,
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
    /// A page of running text.
    pub(crate) fn new(style: Style<'_>) -> Self {
        Page::wide(Style { width: style.width.min(WIDTH), ..style })
    }

    /// A page of lists, as wide as the screen.
    pub(crate) fn wide(style: Style<'_>) -> Self {
        Page { out: String::new(), colour: style.colour, width: style.width.max(NARROWEST) }
    }

    /// Columns there are.
    pub(crate) fn width(&self) -> usize {
        self.width
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
        let most = self.width.min(WIDTH);
        let room = most.saturating_sub(width(&left) + width(&right));
        let lines = wrap(&left, most);
        if room >= 3 && lines.len() == 1 {
            self.put(&left, Paint::Strong);
            self.spaces(room);
            self.put(&right, Paint::Plain);
            self.out.push('\n');
            return;
        }
        for line in lines {
            self.put(&line, Paint::Strong);
            self.out.push('\n');
        }
        let right = if width(&right) <= most { vec![right.into_owned()] } else { wrap(&right, most) };
        for line in right {
            self.spaces(most.saturating_sub(width(&line)));
            self.put(&line, Paint::Plain);
            self.out.push('\n');
        }
    }

    /// A sentence that begins with a word that stands out.
    pub(crate) fn sentence(&mut self, word: &str, paint: Paint, rest: &str) {
        let word = clean(word);
        for (at, line) in wrap(&format!("{word}: {}", clean(rest)), self.width).iter().enumerate() {
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
        // What a long label takes, its value lacks: the columns behind stand where they stand.
        let over = (width(label) + 1).saturating_sub(LABEL);
        let shown = if edge == Edge::Missing { Paint::Faint } else { Paint::Strong };
        if self.width < INDENT + LABEL + VALUE + KIND + EDGE {
            self.cell(value, self.width - INDENT - LABEL - EDGE - over, shown);
            self.cell(edge.as_str(), EDGE, Paint::of_edge(edge));
            let note =
                if kind == "-" || kind.is_empty() { note.to_owned() } else { format!("{kind}; {note}") };
            self.after(&note, self.width, Paint::Plain);
            return;
        }
        self.cell(value, VALUE - over, shown);
        self.cell(kind, KIND, Paint::Plain);
        self.cell(edge.as_str(), EDGE, Paint::of_edge(edge));
        self.after(note, INDENT + LABEL + VALUE + KIND + EDGE, Paint::Plain);
    }

    /// One judgement.
    pub(crate) fn judged(&mut self, label: &str, what: &str, value: &str, paint: Paint, reasons: &[String]) {
        self.label(label);
        let at = INDENT + LABEL + VALUE + KIND;
        let (what_columns, value_columns) = if self.width < at { (13, 12) } else { (VALUE, KIND) };
        self.cell(what, what_columns, Paint::Plain);
        self.cell(value, value_columns, paint);
        let below = self.beside(at);
        for (line, reason) in reasons.iter().enumerate() {
            if line > 0 {
                self.spaces(below);
                self.rest(reason, below, Paint::Plain);
            } else {
                self.after(reason, at, Paint::Plain);
            }
        }
        if reasons.is_empty() {
            self.end_line();
        }
    }

    /// One finding.
    pub(crate) fn finding(&mut self, label: &str, rule: &str, severity: &str, paint: Paint, text: &str) {
        const RULE: usize = 25;
        const SEVERITY: usize = 8;
        // The rule's name is what suppressing it takes: never cut.
        let columns = RULE.max(width(&clean(rule)) + 1);
        let at = INDENT + LABEL + columns + SEVERITY;
        if self.width < at {
            self.free(label, rule);
            return self.free("", &format!("{severity}: {text}"));
        }
        self.label(label);
        self.cell(rule, columns, Paint::Strong);
        self.cell(severity, SEVERITY, paint);
        self.after(text, at, Paint::Plain);
    }

    /// A label and free text behind it.
    pub(crate) fn free(&mut self, label: &str, text: &str) {
        let at = self.text_at();
        if at == INDENT + LABEL {
            self.label(label);
        } else {
            if !label.is_empty() {
                self.label(label);
                self.end_line();
            }
            self.spaces(at);
        }
        self.rest(text, at, Paint::Plain);
    }

    /// Words behind a label that are never broken, several to a line.
    pub(crate) fn words(&mut self, label: &str, words: &[String]) {
        const APART: usize = 4;
        self.label(label);
        let mut at = INDENT + LABEL;
        for (place, word) in words.iter().map(|word| clean(word)).enumerate() {
            if place > 0 && at + APART + width(&word) > self.width {
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
        let at = self.text_at();
        self.spaces(at);
        self.rest(text, at, Paint::Faint);
    }

    /// Cells, each cut to its columns.
    pub(crate) fn line(&mut self, indent: usize, cells: &[(&str, usize, Paint)]) {
        self.spaces(indent);
        for (text, width, paint) in cells {
            self.cell(text, *width, *paint);
        }
        self.end_line();
    }

    /// What a row is about: never cut.
    fn label(&mut self, label: &str) {
        self.spaces(INDENT);
        self.cell(label, LABEL.max(width(label) + 1), Paint::Faint);
    }

    /// Text in a column of `columns`, the last of which stays free.
    fn cell(&mut self, text: &str, columns: usize, paint: Paint) {
        if columns == 0 {
            return;
        }
        let text = clean(text);
        let text = fit(&text, columns.saturating_sub(1));
        self.put(&text, paint);
        self.spaces(columns.saturating_sub(width(&text)));
    }

    /// Where running text begins behind columns that end at `at`, or below them.
    fn beside(&self, at: usize) -> usize {
        if self.width < at + ROOM { self.text_at() } else { at }
    }

    /// Where running text begins: behind the labels, if an id in brackets is not broken there.
    fn text_at(&self) -> usize {
        const LONGEST_ID: usize = 38;
        if self.width < INDENT + LABEL + LONGEST_ID { INDENT } else { INDENT + LABEL }
    }

    /// Text behind columns that end at `at`, or below them where there is no room.
    fn after(&mut self, text: &str, at: usize, paint: Paint) {
        let below = self.beside(at);
        if below != at {
            self.end_line();
            if text.is_empty() {
                return;
            }
            self.spaces(below);
        }
        self.rest(text, below, paint);
    }

    /// Text to the end of the line and on below itself.
    fn rest(&mut self, text: &str, at: usize, paint: Paint) {
        for (line, text) in wrap(&clean(text), self.width.min(WIDTH).saturating_sub(at)).iter().enumerate() {
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
        if self.colour && paint != Paint::Plain && !text.is_empty() {
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
