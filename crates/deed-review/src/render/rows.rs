//! Actions in a list, by day.

use super::{
    Style, WIDTH,
    page::{Page, Paint},
    phrases::spoken,
    text::{clean, width},
};
use crate::ActionRow;
use deed_record::{Account, Status};

/// A table of actions in the order given; the id that other commands take stands at the end of each line.
pub fn rows(rows: &[ActionRow], style: Style) -> String {
    const TIME: usize = 10;
    const STATUS: usize = 13;
    const ID: usize = 36;
    const INDENT: usize = 2;
    let mut page = Page::new(style);
    // Who and what share the columns that are left, who taking no more than it needs.
    let shared = WIDTH - INDENT - TIME - STATUS - ID;
    let widest = rows.iter().map(|row| width(&clean(&who(row)))).max().unwrap_or(0);
    let who_columns = (widest + 2).min(shared / 2);
    let mut day = String::new();
    for row in rows {
        let time = row.time.to_string();
        if time[..10] != day {
            day = time[..10].to_owned();
            page.line(0, &[(&day, WIDTH, Paint::Faint)]);
        }
        let status = row.status.map_or("-".to_owned(), |status| spoken(status.as_str()));
        let paint = match row.status {
            Some(Status::Success) => Paint::Good,
            Some(Status::Unknown) | None => Paint::Doubtful,
            Some(_) => Paint::Bad,
        };
        page.line(
            INDENT,
            &[
                (&time[11..19], TIME, Paint::Plain),
                (&status, STATUS, paint),
                (&who(row), who_columns, Paint::Plain),
                (&what(row), shared - who_columns, Paint::Strong),
                // One more column: a cell leaves its last one free.
                (&row.id.to_string(), ID + 1, Paint::Faint),
            ],
        );
    }
    page.finish()
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

fn what(row: &ActionRow) -> String {
    let what =
        row.tool.as_deref().or(row.operation.as_deref()).or(row.task.as_deref()).unwrap_or(row.kind.as_str());
    match &row.resource {
        Some(resource) => format!("{what} {resource}"),
        None => what.to_owned(),
    }
}
