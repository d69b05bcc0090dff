//! Logs of systems that Deed does not know, by a file that says where each member of a record comes from.
//!
//! A mapping file is TOML: the system's name, the form of its files, and for each member a column or a path,
//! a constant, or a small table of values. What more an event says can be made to depend on equal, prefixed
//! or listed values of its fields. There is no other language in it. `docs/collectors.md` describes it, with
//! two worked examples.

mod file;
mod member;
mod node;
mod record;
mod rows;
mod test;
mod time;
mod value;

use std::{fmt, io::Read};

use crate::{Mapped, Rejected, input};
use member::Said;
use rows::Form;
use test::Test;
use value::Origin;

/// How records are made of the events of one system.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// `source.system` of its records.
    system: String,
    /// `NAME/VERSION`: `source.collector` of its records.
    collector: String,
    form: Form,
    record: Vec<Said>,
    when: Vec<When>,
}

/// What is said of the events for which all tests hold.
#[derive(Clone, Debug)]
struct When {
    tests: Vec<Test>,
    /// These stand in the place of what the record says otherwise.
    record: Vec<Said>,
    /// What each such event changed in authority.
    effects: Vec<Vec<Said>>,
}

/// What is wrong with a mapping file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappingError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for MappingError {}

impl Mapping {
    /// Reads a mapping file, strictly: what it does not know is an error.
    ///
    /// # Errors
    /// Names the line.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        file::read(text)
    }

    /// The system whose events it maps: `source.system` of its records.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The records of a file, compressed or not, one result for each event. Memory is bounded by one event;
    /// of JSON whose events stand in a list that the mapping names, by one document of at most
    /// [`LARGEST_EXPORT`](crate::LARGEST_EXPORT) bytes.
    pub fn records<'a>(
        &'a self,
        reader: impl Read + 'a,
    ) -> Box<dyn Iterator<Item = Result<Mapped, Rejected>> + 'a> {
        let events = rows::events(&self.form, self.names_of_event(), input::open(reader));
        Box::new(events.map(|event| {
            let event = event?;
            let line = event.line;
            record::record(self, &event)
                .map(|record| Mapped { record, line })
                .map_err(|error| event.refused(error))
        }))
    }

    /// Where an event has its id, which it must have.
    fn names_of_event(&self) -> &[String] {
        let id = self.record.iter().find(|said| said.member == "event_id");
        match id.map(|said| &said.from) {
            Some(Origin::Field(field)) => &field.names,
            _ => &[],
        }
    }
}
