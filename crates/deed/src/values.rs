//! Values of the command line, read where they are given: what is wrong with one is wrong usage.

use std::{
    borrow::Cow,
    ffi::OsStr,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use deed_collect::Source;
use deed_gateway::{Run, Who};
use deed_record::{PrincipalType, RecordId, SpanId, Timestamp, TraceId};
use deed_server::settings::Listener;

use crate::exit::{Failure, Outcome};

/// Which system wrote the logs, as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SourceChoice {
    /// To be guessed for each file.
    Auto,
    /// This one.
    Named(Source),
    /// No source: with a mapping file, which names the system itself, the first path.
    Path(PathBuf),
}

impl SourceChoice {
    /// The name that was given.
    pub(crate) fn as_str(&self) -> Cow<'_, str> {
        match self {
            SourceChoice::Auto => Cow::Borrowed("auto"),
            SourceChoice::Named(source) => Cow::Borrowed(source.as_str()),
            SourceChoice::Path(path) => path.to_string_lossy(),
        }
    }
}

/// Reads a [`SourceChoice`].
#[derive(Clone)]
pub(crate) struct SourceName;

impl SourceName {
    /// Every name that is one.
    pub(crate) fn all() -> impl Iterator<Item = &'static str> {
        Source::ALL.iter().map(|source| source.as_str()).chain(["auto"])
    }
}

impl TypedValueParser for SourceName {
    type Value = SourceChoice;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<SourceChoice, clap::Error> {
        Ok(match value.to_str() {
            Some("auto") => SourceChoice::Auto,
            Some(name) => name.parse().map_or_else(|_| SourceChoice::Path(value.into()), SourceChoice::Named),
            None => SourceChoice::Path(value.into()),
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(SourceName::all().map(PossibleValue::new)))
    }
}

/// Reads a word of a closed vocabulary.
pub(crate) fn word<T: Copy + 'static>(
    all: &'static [T],
    as_str: fn(T) -> &'static str,
) -> PossibleValuesParser {
    PossibleValuesParser::new(all.iter().map(move |value| PossibleValue::new(as_str(*value))))
}

/// Reads the name of a tool server.
pub(crate) fn server_name(text: &str) -> Result<String, String> {
    match deed_record::is_label(text) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 letters, digits, `-`, `_` or `.`".into()),
    }
}

/// Reads `TYPE:NAME`.
pub(crate) fn who(text: &str) -> Result<Who, String> {
    text.parse()
}

/// Who runs this program, as the system says: a claim, for everything on this machine could say it.
pub(crate) fn system_who() -> Who {
    let name =
        ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let key = match &name {
        Some(name) => format!("os:{name}"),
        None => format!("os:uid-{}", rustix::process::getuid().as_raw()),
    };
    Who { kind: PrincipalType::Human, key: Some(key), name, instance: None }
}

/// As [`system_who`]: the key.
pub(crate) fn system_user() -> String {
    system_who().key.unwrap_or_default()
}

/// Reads what is called something: an empty text, as a variable that is not set gives one, names nobody and nothing.
pub(crate) fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a record id.
pub(crate) fn record_id(text: &str) -> Result<RecordId, String> {
    text.trim().parse()
}

/// Reads a W3C trace id in either case.
pub(crate) fn trace_id(text: &str) -> Result<TraceId, String> {
    text.trim().to_ascii_lowercase().parse()
}

/// Reads what a command does: a name for records and policies.
pub(crate) fn operation(text: &str) -> Result<String, String> {
    Run::check_operation(text)?;
    Ok(text.to_owned())
}

/// Reads the URI of what is acted upon.
pub(crate) fn resource(text: &str) -> Result<String, String> {
    Run::check_resource(text)?;
    Ok(text.to_owned())
}

/// Reads a W3C trace id, or a `traceparent` with the span in which something happens.
pub(crate) fn trace(text: &str) -> Result<(TraceId, Option<SpanId>), String> {
    match deed_gateway::traceparent(text.trim()) {
        Some((trace, span)) => Ok((trace, Some(span))),
        None => trace_id(text).map(|trace| (trace, None)),
    }
}

/// Reads `off` or `HOST:PORT`.
pub(crate) fn listener(text: &str) -> Result<Listener, String> {
    if text == "off" {
        return Ok(Listener::Off);
    }
    let found = text.parse().ok().or_else(|| text.to_socket_addrs().ok()?.find(SocketAddr::is_ipv4));
    found.map(Listener::At).ok_or_else(|| "expected HOST:PORT such as 127.0.0.1:7400, or `off`".to_owned())
}

/// Reads a time, a date (its beginning in UTC) or how long ago.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = ago(text) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| "this machine's clock is before 1970".to_owned())?;
        return Ok(Timestamp((now.as_micros() as i64).saturating_sub(ago).max(0)));
    }
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map_err(|_| {
        "expected an RFC 3339 time such as 2026-11-20T10:00:00Z, a date, or how long ago: 90m, 24h, 7d"
            .to_owned()
    })
}

/// Refuses a time that is over before it begins: that nothing happened in it says nothing.
pub(crate) fn span(since: Option<Timestamp>, until: Option<Timestamp>) -> Outcome {
    match (since, until) {
        (Some(since), Some(until)) if since >= until => Err(Failure::usage(format!(
            "nothing is from {since} on and before {until}: --since names the earlier time, --until the later"
        ))),
        _ => Ok(()),
    }
}

/// Reads a time to come, a date (its beginning in UTC) or how long from now.
pub(crate) fn coming(text: &str) -> Result<Timestamp, String> {
    if let Some(from_now) = ago(text) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| "this machine's clock is before 1970".to_owned())?;
        return Ok(Timestamp((now.as_micros() as i64).saturating_add(from_now)));
    }
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map_err(|_| {
        "expected an RFC 3339 time such as 2026-11-20T10:00:00Z, a date, or how long from now: 12h, 30d, 8w"
            .to_owned()
    })
}

/// Microseconds of `90m`, `24h`, `7d`, `2w`.
fn ago(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    Some(i64::from(number) * seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("2026-11-20"), moment("2026-11-20T00:00:00Z"));
        assert!(moment("24h").is_ok_and(|then| then < moment("1h").unwrap_or_default()));
        for bad in ["yesterday", "h", "-1h", "2026-11-31", "24", ""] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_that_is_over_before_it_begins_is_wrong_usage() {
        let (early, late) = (Some(Timestamp(1)), Some(Timestamp(2)));
        assert!(span(early, late).is_ok() && span(late, None).is_ok() && span(None, early).is_ok());
        for (since, until) in [(late, early), (late, late)] {
            assert!(span(since, until).is_err_and(|failure| failure.is(crate::exit::Code::Usage)));
        }
    }

    #[test]
    fn listeners_are_addresses_or_off() {
        assert_eq!(listener("off"), Ok(Listener::Off));
        assert_eq!(listener("127.0.0.1:0"), Ok(Listener::At(SocketAddr::from(([127, 0, 0, 1], 0)))));
        assert!(listener("7400").is_err());
    }
}
