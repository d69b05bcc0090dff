//! The ways in which CloudTrail writes a time.

use deed_record::Timestamp;

/// When an event happened: RFC 3339, or a form of it that leaves no doubt (no zone, which in
/// CloudTrail means UTC; a space for the `T`, as CloudTrail Lake and Athena print it).
pub(crate) fn of_event(text: &str) -> Result<Timestamp, String> {
    let exact = text.parse::<Timestamp>();
    if exact.is_ok() {
        return exact;
    }
    plain(text).map_or(exact, Ok)
}

/// A time inside an event: as [`of_event`], or the forms of older services:
/// `20131102T010628Z`, `Nov 30, 2024, 8:43:17 PM`, `Aug 1, 2024 1:33:28 PM`.
pub(crate) fn inside_event(text: &str) -> Option<Timestamp> {
    of_event(text).ok().or_else(|| basic(text)).or_else(|| spoken(text))
}

/// `2024-08-01T13:29:57`, `2024-08-01 13:29:57.000`.
fn plain(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', ' '])?;
    let time = time.strip_suffix(" UTC").unwrap_or(time);
    if !time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')) {
        return None;
    }
    format!("{date}T{time}Z").parse().ok()
}

/// `20131102T010628Z` (ISO 8601, basic format).
fn basic(text: &str) -> Option<Timestamp> {
    let digits =
        |range: std::ops::Range<usize>| text.get(range).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// `Nov 30, 2024, 8:43:17 PM`: how Java prints a time for Americans, in UTC. Newer versions put a
/// narrow no-break space before the `PM`.
fn spoken(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let (month, day, year, time, half) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| month == *name)? + 1;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() <= 4);
    let mut parts = time.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&hour) {
        return None;
    }
    let hour = match half {
        "AM" => hour % 12,
        "PM" => hour % 12 + 12,
        _ => return None,
    };
    let (day, year) = (number(day)?, number(year)?);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("2024-11-30T20:43:17Z", "2024-11-30T20:43:17.000000Z"),
            ("2024-11-30T20:43:17", "2024-11-30T20:43:17.000000Z"),
            ("2024-11-30 20:43:17.250", "2024-11-30T20:43:17.250000Z"),
            ("2024-11-30 20:43:17 UTC", "2024-11-30T20:43:17.000000Z"),
            ("20241130T204317Z", "2024-11-30T20:43:17.000000Z"),
            ("Nov 30, 2024, 8:43:17 PM", "2024-11-30T20:43:17.000000Z"),
            ("Nov 30, 2024, 8:43:17\u{202f}PM", "2024-11-30T20:43:17.000000Z"),
            ("Aug 1, 2024 12:33:28 AM", "2024-08-01T00:33:28.000000Z"),
            ("Aug 1, 2024 12:33:28 PM", "2024-08-01T12:33:28.000000Z"),
        ] {
            assert_eq!(inside_event(text).map(|t| t.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_leaves_doubt_is_not() {
        for text in
            ["yesterday", "2024-11-30", "11/30/2024 20:43:17", "1722518397", "2024-11-30T20:43:17 PST", ""]
        {
            assert!(of_event(text).is_err(), "{text}");
        }
        for text in [
            "Nov 30, 2024, 13:43:17 PM",
            "Foo 30, 2024, 8:43:17 PM",
            "Nov 31, 2024, 8:43:17 PM",
            "Nov 30, 2024",
        ] {
            assert_eq!(inside_event(text), None, "{text}");
        }
    }
}
