//! Actions in a list, by day.

use super::{
    Style,
    page::{Page, Paint},
    phrases::{INPUT_REQUIRED, done_to, spoken},
    text::{clean, fit, name, width},
};
use crate::ActionRow;
use deed_record::{Account, Status};

const INDENT: usize = 2;
const TIME: usize = 10;
const ID: usize = 38;
/// What was done has at least so many columns behind the others; else it stands on a line of its own.
const LEAST_WHAT: usize = 20;

/// Actions in the order given, each with the id that other commands take, whole. What was done, by whom
/// and to what is shortened to fit.
pub fn rows(rows: &[ActionRow], style: Style<'_>) -> String {
    let mut page = Page::wide(style);
    let statuses = rows.iter().map(|row| status(row).0.len()).max().unwrap_or(0) + 2;
    let widest = rows.iter().map(|row| width(&clean(&who(row)))).max().unwrap_or(0) + 2;
    let left = page.width().saturating_sub(INDENT + TIME + statuses + ID);
    // Who did it takes two fifths of what is left, and more only where it costs nothing.
    let longest = rows.iter().map(|row| width(&what(row, usize::MAX))).max().unwrap_or(0);
    let who_columns = widest.min((left * 2 / 5).max(left.saturating_sub(longest)));
    let is_one_line = left >= who_columns + LEAST_WHAT;
    let id_fits = INDENT + TIME + statuses + ID - 2 <= page.width();
    let mut day = String::new();
    for row in rows {
        let time = row.time.to_string();
        if time[..10] != day {
            day = time[..10].to_owned();
            page.line(0, &[(&day, 11, Paint::Faint)]);
        }
        let (status, paint) = status(row);
        let id = row.id.to_string();
        let mut cells = vec![(&time[11..19], TIME, Paint::Plain), (&*status, statuses, paint)];
        if is_one_line {
            cells.push((&id, ID, Paint::Faint));
            let who = who(row);
            let room = left - who_columns;
            let what = what(row, room);
            cells.push((&who, who_columns, Paint::Plain));
            cells.push((&what, room + 1, Paint::Strong));
            page.line(INDENT, &cells);
            continue;
        }
        if id_fits {
            cells.push((&id, ID, Paint::Faint));
            page.line(INDENT, &cells);
        } else {
            page.line(INDENT, &cells);
            page.line(INDENT * 2, &[(&id, ID, Paint::Faint)]);
        }
        let room = page.width() - INDENT * 2;
        let who = clean(&who(row)).into_owned();
        let who = fit(&who, room / 3);
        let behind = width(&who) + 2;
        let what = what(row, room - behind);
        page.line(INDENT * 2, &[(&who, behind, Paint::Plain), (&what, room - behind + 1, Paint::Strong)]);
    }
    page.finish()
}

/// How it ended, as a word.
fn status(row: &ActionRow) -> (String, Paint) {
    match row.status {
        Some(Status::Success) if row.code.as_deref() == Some(INPUT_REQUIRED) => {
            ("asked".to_owned(), Paint::Doubtful)
        }
        Some(status @ Status::Success) => (spoken(status.as_str()), Paint::Good),
        Some(status @ Status::Unknown) => (spoken(status.as_str()), Paint::Doubtful),
        Some(status) => (spoken(status.as_str()), Paint::Bad),
        None => ("-".to_owned(), Paint::Doubtful),
    }
}

fn who(row: &ActionRow) -> String {
    let acted = row.executor.as_deref().unwrap_or("unknown");
    match row.initiator.as_deref().filter(|asked| *asked != acted) {
        Some(asked) => format!("{} > {}", short(asked), short(acted)),
        None => short(acted).to_owned(),
    }
}

/// The end of a key, which tells most: `release` of `aws:arn:aws:iam::111122223333:role/release`.
fn short(key: &str) -> &str {
    match key.strip_prefix(Account::PREFIX) {
        Some(digits) => digits.get(..8).unwrap_or(digits),
        None => key.rsplit([':', '/']).find(|part| !part.is_empty()).unwrap_or(key),
    }
}

/// What was done and to what, clean, in at most `room` columns.
fn what(row: &ActionRow, room: usize) -> String {
    let what =
        row.tool.as_deref().or(row.operation.as_deref()).or(row.task.as_deref()).unwrap_or(row.kind.as_str());
    match &row.resource {
        Some(resource) => done_to(&name(what), &name(resource), room),
        None => name(what).into_owned(),
    }
}
