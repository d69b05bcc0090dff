//! What one step of a task looks like, leaving out what differs from one time to the next.

use std::collections::HashMap;

use deed_record::{RecordId, Skeleton};

use super::Actor;

/// Longest text of a shape, in characters.
const LONGEST: usize = 120;

/// Steps that were seen, each numbered once.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) all: Vec<Step>,
    numbers: HashMap<Shape, u32>,
}

/// One step, and a record that names who took it.
pub(super) struct Step {
    pub(super) shape: Shape,
    pub(super) record: RecordId,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) actor: Actor,
    /// The tool, else the operation.
    pub(super) does: String,
    /// The resource's type, else how its URI begins.
    pub(super) to: Option<String>,
}

impl Steps {
    pub(super) fn number(&mut self, rec: &Skeleton<'_>) -> u32 {
        let shape = Shape::of(rec);
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(shape).or_insert_with_key(|shape| {
            self.all.push(Step { shape: shape.clone(), record: rec.id });
            next
        })
    }
}

impl Shape {
    fn of(rec: &Skeleton<'_>) -> Self {
        let does = match (&rec.tool, &rec.operation) {
            (Some(tool), _) => match &tool.server {
                Some(server) => format!("{server}/{}", tool.name),
                None => tool.name.to_string(),
            },
            (None, Some(operation)) => operation.to_string(),
            (None, None) => rec.kind.to_string(),
        };
        let to = rec.resource.as_ref().map(|resource| match &resource.kind {
            Some(kind) => kind.to_string(),
            None => beginning(&resource.uri),
        });
        Shape {
            actor: Actor {
                account: rec.executor.as_ref().and_then(|party| party.account),
                kind: rec.executor.as_ref().map_or(deed_record::PrincipalType::Unknown, |party| party.kind),
            },
            does: same(&does),
            to: to.map(|to| same(&to)),
        }
    }
}

/// How a URI begins: up to the first `/` behind its authority.
fn beginning(uri: &str) -> String {
    let authority = uri.find("://").map_or(0, |at| at + 3);
    match uri[authority..].find('/').map(|at| at + authority) {
        Some(at) if at + 1 < uri.len() => format!("{}/…", &uri[..at]),
        _ => uri.to_owned(),
    }
}

/// A text without its numbers; a digit behind a letter is part of a name, such as `s3`.
fn same(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    let mut last = ' ';
    for c in text.chars().take(LONGEST) {
        if !c.is_ascii_digit() || last.is_ascii_alphabetic() {
            out.push(c);
            last = if c.is_ascii_digit() { last } else { c };
        } else if last != '#' {
            out.push('#');
            last = '#';
        }
    }
    out
}
