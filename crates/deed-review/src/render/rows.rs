//! Actions in a list, by day.

use super::{
    Style,
    page::{Page, Paint},
    phrases::spoken,
    text::{clean, width},
};
use crate::ActionRow;
use deed_record::{Account, Status};

/// A table of actions in the order given, each with the id that other commands take. What was done stands
/// at the end and is never cut.
pub fn rows(rows: &[ActionRow], style: Style) -> String {
    const TIME: usize = 10;
    const STATUS: usize = 13;
    const ID: usize = 38;
    const INDENT: usize = 2;
    const MOST_WHO: usize = 40;
    let mut page = Page::new(style);
    let widest = rows.iter().map(|row| width(&clean(&who(row)))).max().unwrap_or(0);
    let who_columns = (widest + 2).min(MOST_WHO);
    let mut day = String::new();
    for row in rows {
        let time = row.time.to_string();
        if time[..10] != day {
            day = time[..10].to_owned();
            page.entry(0, &[], (&day, Paint::Faint));
        }
        let status = row.status.map_or("-".to_owned(), |status| spoken(status.as_str()));
        let paint = match row.status {
            Some(Status::Success) => Paint::Good,
            Some(Status::Unknown) | None => Paint::Doubtful,
            Some(_) => Paint::Bad,
        };
        page.entry(
            INDENT,
            &[
                (&time[11..19], TIME, Paint::Plain),
                (&status, STATUS, paint),
                (&row.id.to_string(), ID, Paint::Faint),
                (&who(row), who_columns, Paint::Plain),
            ],
            (&what(row), Paint::Strong),
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
