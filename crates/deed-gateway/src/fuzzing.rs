//! Doors to what cuts messages open, for the fuzz targets in `fuzz/` and for nobody else: no part of what this
//! crate promises.

use deed_record::{SpanId, TraceId};

use crate::{
    intent::Shown,
    listing,
    mask::{self, Masked},
    message::Message,
    trace,
};

/// `text`, a request, with a trace put in; `None` where it is no request.
pub fn with_trace(text: &str) -> Option<String> {
    match Message::read(text.as_bytes()) {
        Ok(Message::Request { params, .. }) => {
            Some(trace::with_trace(text, params, TraceId([7; 16]), SpanId([7; 8])))
        }
        _ => None,
    }
}

/// The names of the tools in `text`, an answer to `tools/list`.
pub fn tools(text: &str) -> Vec<String> {
    match Message::read(text.as_bytes()) {
        Ok(Message::Response { outcome: Ok(result), .. }) => {
            listing::tools(result).into_iter().map(|tool| tool.name).collect()
        }
        _ => Vec::new(),
    }
}

/// `text`, an answer to `tools/list`, without the tools of those names.
pub fn without_tools(text: &str, hidden: Vec<String>) -> String {
    match Message::read(text.as_bytes()) {
        Ok(Message::Response { outcome: Ok(result), .. }) => {
            listing::without_hidden(text, result, &Shown { hidden, personal: true })
        }
        _ => text.to_owned(),
    }
}

/// `result` without the fields called `name`; `None` where it is withheld.
pub fn without_field(result: &str, name: &str) -> Option<String> {
    match mask::mask(result, &[name.to_owned()]) {
        Masked::Untouched => Some(result.to_owned()),
        Masked::Without(text, _) => Some(text),
        Masked::Withheld => None,
    }
}
