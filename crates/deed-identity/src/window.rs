//! When something may be changed.

use deed_record::Timestamp;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A stretch of time in which a resource may be changed, in UTC: every week, `Sat 22:00-02:00`, `Mon-Fri 08:00-16:00`; or
/// once, `2026-11-01T10:00:00Z/2026-11-01T12:00:00Z` (an interval of ISO 8601). Its end is the first moment after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeWindow {
    text: String,
    when: When,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum When {
    /// On these days, Monday first: from when on the day, and for how long, in microseconds; up to a day.
    Weekly { days: [bool; 7], from: i64, long: i64 },
    /// From the first to the second.
    Once(Timestamp, Timestamp),
}

impl ChangeWindow {
    /// Reads one.
    ///
    /// # Errors
    /// It is none; says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let when = match text.split_once('/') {
            Some((from, to)) => once(from, to),
            None => weekly(text),
        };
        Ok(ChangeWindow { text: text.to_owned(), when: when? })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `time` is within it.
    pub fn covers(&self, time: Timestamp) -> bool {
        match self.when {
            When::Once(from, to) => (from..to).contains(&time),
            When::Weekly { days, from, long } => {
                let today = time.0.div_euclid(DAY);
                // It may have begun yesterday.
                [today, today - 1].into_iter().any(|day| {
                    let began = day * DAY + from;
                    days[weekday(day)] && (began..began + long).contains(&time.0)
                })
            }
        }
    }
}

/// The day of the week, 0 for Monday, of a day since 1970-01-01, which was a Thursday.
fn weekday(day: i64) -> usize {
    usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default()
}

fn once(from: &str, to: &str) -> Result<When, String> {
    let time = |text: &str| text.parse::<Timestamp>();
    let (from, to) = (time(from)?, time(to)?);
    if from >= to {
        return Err("expected an end behind the beginning".to_owned());
    }
    Ok(When::Once(from, to))
}

fn weekly(text: &str) -> Result<When, String> {
    let expected = || {
        "expected days and hours in UTC such as `Sat 22:00-02:00` or `Mon-Fri 08:00-16:00`, or \
         `2026-11-01T10:00:00Z/2026-11-01T12:00:00Z`"
            .to_owned()
    };
    let (days, hours) = text.split_once(' ').ok_or_else(expected)?;
    let day = |name: &str| WEEKDAYS.iter().position(|known| *known == name).ok_or_else(expected);
    let (first, last) = match days.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(days)?, day(days)?),
    };
    let mut on = [false; 7];
    // Friday to Monday passes Sunday.
    (0..=(last + 7 - first) % 7).for_each(|after| on[(first + after) % 7] = true);
    let (from, to) = hours.split_once('-').ok_or_else(expected)?;
    let from = minute_of_day(from).filter(|from| *from < 24 * 60).ok_or_else(expected)?;
    let to = minute_of_day(to).ok_or_else(expected)?;
    if from == to {
        return Err("expected an end other than the beginning; a whole day is `00:00-24:00`".to_owned());
    }
    // An hour before that of the beginning is on the next day.
    let long = if to > from { to - from } else { to + 24 * 60 - from };
    Ok(When::Weekly { days: on, from: from * MINUTE, long: long * MINUTE })
}

/// `HH:MM`, up to `24:00`.
fn minute_of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60 || hour == 24 && minute == 0).then_some(hour * 60 + minute)
}
