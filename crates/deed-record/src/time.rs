//! Times as records carry them: RFC 3339 in UTC with microseconds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

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
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
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

    /// Any RFC 3339 date-time. The error completes "expected …, found …".
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected an RFC 3339 time such as 2026-11-20T10:00:00Z, found `{}`", clip(text));
        let instant: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
        // jiff also reads forms that RFC 3339 does not have (a space, no seconds, time zone names).
        let shape = text.as_bytes();
        if shape.len() < 20 || !matches!(shape[10], b'T' | b't') || shape.contains(&b'[') || shape[16] != b':' {
            return Err(wrong());
        }
        Timestamp::from_unix_nanos(instant.as_nanosecond()).ok_or_else(wrong)
    }
}

pub(crate) fn clip(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
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
        let time: Timestamp = "2026-11-20T12:00:00.123456789+02:00".parse().expect("valid");
        assert_eq!(time.to_string(), "2026-11-20T10:00:00.123456Z");
        for bad in ["yesterday", "2026-11-20", "2026-11-20 10:00:00Z", "2026-13-01T00:00:00Z", "", "2026-11-20T10:00Z"] {
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
    }
}
