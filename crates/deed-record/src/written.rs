//! Records that this process writes itself.

use crate::Submission;

/// A record with its text. Whoever seals it needs not read what was written a moment ago.
#[derive(Debug)]
pub struct Written<'a> {
    text: String,
    record: Option<Box<Submission<'a>>>,
}

impl<'a> Written<'a> {
    /// Writes `record` in JSON, on one line.
    pub fn new(mut record: Submission<'a>) -> Self {
        // A record of strings and numbers is always JSON; what is none is refused by whoever reads the text.
        let text = serde_json::to_string(&record).unwrap_or_default();
        let is_as_read = record.disclose.cut();
        Written { text, record: is_as_read.then(|| Box::new(record)) }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What [`parse_one`](crate::parse_one) would make of the text, [`Submission::check`] aside; `None` where only reading it tells.
    pub fn record(&self) -> Option<&Submission<'a>> {
        self.record.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Written;
    use crate::{Disclosable, Kind, Submission, Text, Timestamp, parse_one};

    fn disclosing<'a>(name: &'a str, value: impl Into<Cow<'a, str>>) -> Submission<'a> {
        let mut record = Submission::new(Kind::Request, Timestamp(1_700_000_000_000_000));
        record.disclose.0.push((Text::from(name), Disclosable::Whole(value.into())));
        record
    }

    #[test]
    fn what_was_written_is_what_would_be_read() {
        for value in
            ["{\"b\":1,\"a\":[1.0, {\"x\":\"\\u0041\"}]}", "{}", "[{\"a\":1}]", "\"text\"", "null", "1e3"]
        {
            for name in ["arguments", "event"] {
                let written = Written::new(disclosing(name, value));
                let read = parse_one(written.text(), false).expect(value);
                assert_eq!(written.record(), Some(&read), "{value}");
                assert_eq!(Written::new(read).text(), written.text());
            }
        }
    }

    #[test]
    fn what_would_be_refused_is_left_to_its_reader() {
        let many: Vec<String> = (0..2000).map(|at| format!("\"m{at}\":0")).collect();
        let deep = "[".repeat(200) + &"]".repeat(200);
        for value in ["{\"a\":1,\"a\":2}", "{\"_sd\":1}", &format!("{{{}}}", many.join(",")), &deep] {
            let written = Written::new(disclosing("arguments", value));
            assert!(parse_one(written.text(), false).is_err() && written.record().is_none(), "{value}");
        }
        // Owned texts cannot be cut.
        assert!(Written::new(disclosing("arguments", String::from("{\"a\":1}"))).record().is_none());
        assert!(Written::new(disclosing("arguments", String::from("[1]"))).record().is_some());
    }
}
