//! The ways in which a mapping file can say that times are written.

use deed_record::Timestamp;
use jiff::{civil::DateTime, fmt::strtime, tz::Offset};

use crate::cloudtrail::time;

/// How times are written.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum TimeForm {
    /// RFC 3339; without a zone it is UTC, and a space may stand for the `T`.
    #[default]
    Usual,
    /// Seconds since 1970, with or without a fraction.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// As `strptime` reads it, at this many seconds before UTC where it names no zone itself.
    Pattern { pattern: String, east: i32 },
}

impl TimeForm {
    /// Reads `text`, or says what was expected.
    pub(super) fn read(&self, text: &str) -> Result<Timestamp, String> {
        let time = match self {
            TimeForm::Usual => {
                time::inside_event(text).ok_or("expected an RFC 3339 time; `format` tells another form")
            }
            TimeForm::Unix => unix(text).ok_or("expected seconds since 1970"),
            TimeForm::UnixMillis => text
                .parse::<i64>()
                .ok()
                .and_then(|millis| millis.checked_mul(1000))
                .map(Timestamp)
                .ok_or("expected milliseconds since 1970"),
            TimeForm::Pattern { pattern, east } => {
                return pattern_time(pattern, *east, text)
                    .filter(|time| time.is_of_event())
                    .ok_or_else(|| format!("expected a time from 1970 to 2199 of the form `{pattern}`"));
            }
        }?;
        if time.is_of_event() { Ok(time) } else { Err("expected a time from 1970 to 2199".to_owned()) }
    }
}

/// Seconds and what of the fraction are whole microseconds.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 12 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros).map(Timestamp)
}

fn pattern_time(pattern: &str, east: i32, text: &str) -> Option<Timestamp> {
    let parts = strtime::parse(pattern, text).ok()?;
    let stamp = match parts.offset() {
        Some(_) => parts.to_timestamp().ok()?,
        None => {
            let civil: DateTime = parts.to_datetime().ok()?;
            Offset::from_seconds(east).ok()?.to_timestamp(civil).ok()?
        }
    };
    Timestamp::from_unix_nanos(stamp.as_nanosecond())
}

/// Seconds east of UTC of `+02:00`, `-0530` or `Z`.
pub(super) fn zone(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits = rest.replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let pattern = |pattern: &str, east| TimeForm::Pattern { pattern: pattern.to_owned(), east };
        for (form, text, expected) in [
            (TimeForm::Usual, "2026-11-20 10:00:00", Some("2026-11-20T10:00:00.000000Z")),
            (TimeForm::Unix, "1795168800", Some("2026-11-20T10:00:00.000000Z")),
            (TimeForm::Unix, "1795168800.25", Some("2026-11-20T10:00:00.250000Z")),
            (TimeForm::UnixMillis, "1795168800001", Some("2026-11-20T10:00:00.001000Z")),
            (pattern("%d.%m.%Y %H:%M:%S", 3600), "20.11.2026 11:00:00", Some("2026-11-20T10:00:00.000000Z")),
            (
                pattern("%m/%d/%Y %I:%M %p %z", 0),
                "11/20/2026 11:00 AM +0100",
                Some("2026-11-20T10:00:00.000000Z"),
            ),
            (pattern("%d.%m.%Y", 0), "20.11.2026", Some("2026-11-20T00:00:00.000000Z")),
            (pattern("%d.%m.%Y", 0), "11/20/2026", None),
            (TimeForm::Unix, "-1", None),
            (TimeForm::Unix, "99999999999999999999", None),
            (TimeForm::UnixMillis, "9223372036854775807", None),
            (TimeForm::Usual, "20.11.2026", None),
        ] {
            assert_eq!(
                form.read(text).ok().map(|time| time.to_string()).as_deref(),
                expected,
                "{form:?} {text}"
            );
        }
    }

    #[test]
    fn zones_are_distances() {
        assert_eq!((zone("+02:00"), zone("-0530"), zone("Z")), (Some(7200), Some(-19_800), Some(0)));
        for odd in ["", "2", "+2", "+24:00", "Europe/Berlin", "+é:00"] {
            assert_eq!(zone(odd), None, "{odd}");
        }
    }
}
