//! Times as records carry them: RFC 3339 in UTC with microseconds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::error::found;

/// Microseconds since 1970-01-01T00:00:00Z.
///
/// Text form: `2026-11-20T10:00:00.123456Z`, always 27 bytes, so that texts sort as times do.
/// Finer input is truncated to microseconds; any UTC offset is accepted and converted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

/// Years 0001 to 9999: what RFC 3339 can write in four digits.
const MIN: i64 = -62_135_596_800_000_000;
const MAX: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// From whole nanoseconds since the epoch, truncating; `None` outside the years 1 to 9999.
    pub fn from_unix_nanos(nanos: i128) -> Option<Self> {
        let micros = i64::try_from(nanos.div_euclid(1000)).ok()?;
        (MIN..=MAX).contains(&micros).then_some(Timestamp(micros))
    }

    /// Whether something that is recorded may have happened then: in the years 1970 to 2199.
    ///
    /// Anything else is a clock that was never set, or a date that stands for none. It would also stand in
    /// the way of all other records: what counts nanoseconds in 64 bits ends in 2262.
    pub const fn is_of_event(self) -> bool {
        const YEAR_2200: i64 = 7_258_118_400_000_000;
        0 <= self.0 && self.0 < YEAR_2200
    }

    /// The text form, without allocation.
    pub fn to_text(self) -> [u8; 27] {
        let mut out = *b"0000-00-00T00:00:00.000000Z";
        let micros = self.0.rem_euclid(1_000_000);
        let seconds = self.0.div_euclid(1_000_000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        put(&mut out[0..4], year);
        put(&mut out[5..7], month);
        put(&mut out[8..10], day);
        put(&mut out[11..13], of_day / 3600);
        put(&mut out[14..16], of_day / 60 % 60);
        put(&mut out[17..19], of_day % 60);
        put(&mut out[20..26], micros);
        out
    }
}

fn put(digits: &mut [u8], mut value: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since the epoch to a date of the proleptic Gregorian calendar, in 400-year eras that start
/// on 1 March (so that the leap day is an era's last).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = String;

    /// An RFC 3339 date-time (section 5.6), with as many digits of the second as there may be.
    ///
    /// A leap second is the second before it. The error completes "expected …, found …".
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.as_bytes())
            .ok_or_else(|| format!("expected an RFC 3339 time such as 2026-11-20T10:00:00Z, {}", found(text)))
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let mark = |at: usize, marks: &[u8]| marks.contains(&date_time[at]);
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) =
        (number(&date_time[..4])?, number(&date_time[5..7])?, number(&date_time[8..10])?);
    let (hour, minute, second) =
        (number(&date_time[11..13])?, number(&date_time[14..16])?, number(&date_time[17..])?);
    let (micros, zone) = fraction(rest)?;
    let offset = offset_minutes(zone)?;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that its month does not have becomes one of the next month.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let minutes = days * 1440 + hour * 60 + minute - offset;
    let micros = (minutes * 60 + second.min(59)) * 1_000_000 + micros;
    (MIN..=MAX).contains(&micros).then_some(Timestamp(micros))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Microseconds of `.123456789…`, truncated, and what follows; none is none.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let micros =
        (0..6).fold(0, |value, at| value * 10 + if at < count { i64::from(digits[at] - b'0') } else { 0 });
    Some((micros, &digits[count..]))
}

/// Minutes that `Z`, `+02:00` or `-05:30` lies before UTC.
fn offset_minutes(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let offset = hours * 60 + minutes;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let from_march = if month <= 2 { year - 1 } else { year };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = crate::Text::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_offsets_and_truncates() {
        for (text, expected) in [
            ("2026-11-20T12:00:00.123456789+02:00", "2026-11-20T10:00:00.123456Z"),
            ("2026-11-20t10:00:00z", "2026-11-20T10:00:00.000000Z"),
            ("2026-11-20T10:00:00.1Z", "2026-11-20T10:00:00.100000Z"),
            ("2026-11-20T10:00:00.12345678901234567890Z", "2026-11-20T10:00:00.123456Z"),
            ("2026-11-20T00:30:00-05:30", "2026-11-20T06:00:00.000000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z"),
            ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00.000000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|t| t.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn events_happen_within_the_lives_of_computers() {
        for (text, expected) in [
            ("0001-01-01T00:00:00Z", false),
            ("1969-12-31T23:59:59.999999Z", false),
            ("1970-01-01T00:00:00Z", true),
            ("2199-12-31T23:59:59.999999Z", true),
            ("2200-01-01T00:00:00Z", false),
            ("9999-12-31T23:59:59Z", false),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(Timestamp::is_of_event), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_rfc_3339_does_not_know() {
        for bad in [
            "yesterday",
            "",
            "2026-11-20",
            "2026-11-20 10:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20T10:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T10:00:61Z",
            "2026-11-20T10:00:00",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00:00,5Z",
            "2026-11-20T10:00:00+02",
            "2026-11-20T10:00:00+0200",
            "2026-11-20T10:00:00+24:00",
            "2026-11-20T10:00:00Z[UTC]",
            "2026-11-20T10:00:00ZZ",
            "+002026-11-20T10:00:00Z",
            "0000-12-31T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-00:01",
            "2026-11-20T1é:00:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(micros in MIN..=MAX) {
            let text = Timestamp(micros).to_string();
            prop_assert_eq!(jiff::Timestamp::from_microsecond(micros).map(|t| format!("{t:.6}")).ok(), Some(text.clone()));
            prop_assert_eq!(text.parse(), Ok(Timestamp(micros)));
        }

        #[test]
        fn agrees_with_jiff(
            date in "[0-9]{3}[1-9]-(0[0-9]|1[0-3])-[0-3][0-9]",
            time in "[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])",
        ) {
            let text = format!("{date}T{time}");
            let theirs = text.parse::<jiff::Timestamp>().ok().and_then(|t| Timestamp::from_unix_nanos(t.as_nanosecond()));
            prop_assert_eq!(text.parse().ok(), theirs, "{}", text);
        }
    }
}
