//! Where the value of a member comes from.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    member::{Sort, one_of},
    rows,
    time::TimeForm,
};
use crate::{authority::request_id, json, loose::Loose, shared::fingerprint};
use serde_json::Value;

/// Where a value comes from.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Origin {
    /// It is always this.
    Constant(Vec<String>),
    Field(Field),
}

/// A value of the event.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Field {
    /// Columns or paths; the first that is there and not empty counts.
    pub(super) names: Vec<String>,
    /// Put before it.
    pub(super) prefix: String,
    /// What stands in its place, by what it is; empty where it stands as it is.
    pub(super) values: BTreeMap<String, String>,
    /// For a value that `values` does not list.
    pub(super) otherwise: Option<String>,
    /// For an event that has no value.
    pub(super) default: Option<String>,
    /// What parts the items of a list.
    pub(super) split: Option<String>,
    pub(super) time: TimeForm,
    /// The system that knows a request; the mapping's own where it is not named.
    pub(super) system: Option<String>,
}

impl Origin {
    /// The value that `row` gives to a member of this sort; `None` where it gives none.
    ///
    /// # Errors
    /// The value does not fit. Names the field and never the value (D9).
    pub(super) fn value(&self, sort: Sort, row: Loose<'_>, system: &str) -> Result<Option<Value>, String> {
        let (found, field) = match self {
            Origin::Constant(all) => (all.iter().map(|value| Cow::Borrowed(value.as_str())).collect(), None),
            Origin::Field(field) => (field.texts(row)?, Some(field)),
        };
        if found.is_empty() {
            return Ok(None);
        }
        if matches!(sort, Sort::List) {
            return Ok(Some(found.into_iter().map(|item| json::text(item).to_string()).collect()));
        }
        let wrong = |expected: &str| match field {
            Some(field) => format!("{}: {expected}", field.called()),
            None => expected.to_owned(),
        };
        let [text] = &found[..] else { return Err(wrong("expected one value, found several")) };
        let value = match sort {
            Sort::Word(words) if !words().contains(&&**text) => {
                return Err(wrong(&format!("{}; `values` can map it", one_of(&words()))));
            }
            Sort::Text | Sort::Word(_) | Sort::List => Value::from(json::text(&**text).to_string()),
            Sort::Fingerprint => return Ok(fingerprint(text).map(|digest| Value::from(digest.to_string()))),
            Sort::Time => {
                let form = field.map_or(&TimeForm::Usual, |field| &field.time);
                let time = form.read(text).map_err(|expected| wrong(&expected))?;
                Value::from(time.to_string())
            }
            Sort::Whole => match text.parse::<i64>() {
                Ok(number @ 0..=9_007_199_254_740_991) => Value::from(number),
                _ => return Err(wrong("expected a whole number of 0 or more")),
            },
            Sort::Request => {
                let system = field.and_then(|field| field.system.as_deref()).unwrap_or(system);
                Value::from(request_id(system, text).to_string())
            }
        };
        Ok(Some(value))
    }
}

impl Field {
    fn texts<'v>(&'v self, row: Loose<'v>) -> Result<Vec<Cow<'v, str>>, String> {
        let found = self.names.iter().map(|name| rows::all(row, name)).find(|found| !found.is_empty());
        let Some(found) = found else {
            return Ok(self.default.iter().map(|text| Cow::Borrowed(text.as_str())).collect());
        };
        let parts: Vec<Cow<'v, str>> = match &self.split {
            Some(split) => found
                .iter()
                .flat_map(|text| text.split(&**split))
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Cow::Owned(part.to_owned()))
                .collect(),
            None => found,
        };
        parts.into_iter().map(|text| self.mapped(text)).collect()
    }

    fn mapped<'v>(&'v self, text: Cow<'v, str>) -> Result<Cow<'v, str>, String> {
        let text = if self.values.is_empty() {
            text
        } else {
            match self.values.get(&*text).or(self.otherwise.as_ref()) {
                Some(mapped) => Cow::Borrowed(mapped.as_str()),
                None => {
                    let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
                    return Err(format!("{}: {}", self.called(), one_of(&known)));
                }
            }
        };
        Ok(if self.prefix.is_empty() { text } else { Cow::Owned(format!("{}{text}", self.prefix)) })
    }

    /// "field `Result`".
    pub(super) fn called(&self) -> String {
        format!("field `{}`", self.names.join("` or `"))
    }
}
