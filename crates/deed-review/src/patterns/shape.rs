//! What one step of a task looks like, leaving out what differs from one time to the next.

use std::collections::HashMap;

use deed_record::{RecordId, Skeleton};

use super::Actor;

/// Longest text of a shape, in characters.
const LONGEST: usize = 120;
/// Longest text that is looked at for one, in characters.
const LONGEST_READ: usize = 1000;
/// Characters of a UUID.
const UUID: usize = 36;

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
            (None, Some(operation)) => unversioned(operation, rec.permission.as_deref()).to_owned(),
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

/// An operation without the version of its API, where its permission, which has none, tells that it ends in one:
/// `lambda:UpdateFunctionCode20150331v2` is `lambda:UpdateFunctionCode`.
fn unversioned<'t>(operation: &'t str, permission: Option<&'t str>) -> &'t str {
    let version = permission.and_then(|permission| operation.strip_prefix(permission));
    let is_version = |rest: &str| {
        rest.starts_with(|first: char| first.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | 'v'))
    };
    permission.filter(|_| version.is_some_and(is_version)).unwrap_or(operation)
}

/// How a URI begins: up to the first `/` behind its authority.
fn beginning(uri: &str) -> String {
    let authority = uri.find("://").map_or(0, |at| at + 3);
    match uri[authority..].find('/').map(|at| at + authority) {
        Some(at) if at + 1 < uri.len() => format!("{}/…", &uri[..at]),
        _ => uri.to_owned(),
    }
}

/// A text without what differs from one time to the next: numbers and random ids in it are `#`.
fn same(text: &str) -> String {
    let mut out = String::new();
    let mut rest = match text.char_indices().nth(LONGEST_READ) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    while !rest.is_empty() {
        let length = match rest.get(..UUID).is_some_and(is_uuid) {
            true => UUID,
            false => rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at(length);
        match length == UUID && is_uuid(word) || is_random(word, out.ends_with("#-")) {
            // Several in a row, such as a date or what a pod's name ends in, are one.
            true if out.ends_with("#-") => out.truncate(out.len() - 1),
            true => out.push('#'),
            false => out.push_str(word),
        }
        let mark = behind.chars().next();
        out.extend(mark);
        rest = &behind[mark.map_or(0, char::len_utf8)..];
    }
    out.chars().take(LONGEST).collect()
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a word is a number or was drawn: hexadecimal digits with a number among them, letters and digits in turns, or what
/// Kubernetes appends, which has neither vowels nor 0, 1 and 3, `behind` another such word also without a number. A number
/// glued to letters, as in `s3` or `sha256`, is part of a name.
fn is_random(word: &str, behind: bool) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let pairs = word.as_bytes().windows(2);
    let turns = pairs.filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    let appended = word.len() == 5 && word.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    if digits == 0 {
        return appended && behind;
    }
    digits == word.len()
        || appended
        || word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        || word.len() >= 8 && turns >= 3
}

#[cfg(test)]
mod tests {
    use super::{same, unversioned};

    #[test]
    fn what_was_drawn_is_a_mark_and_a_name_is_kept() {
        for (text, shape) in [
            ("job-12a00c", "job-#"),
            ("job-a00c12", "job-#"),
            ("bucket-5e1f7b43", "bucket-#"),
            ("web-7d9f8b6c5-x2k4q", "web-#"),
            ("0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4", "#"),
            ("runner-17/task 5", "runner-#/task #"),
            ("arn:aws:s3:::logs-2026-11-20.gz", "arn:aws:s3:::logs-#.gz"),
            ("s3:GetObject", "s3:GetObject"),
            ("ec2/sha256/v1/us-east-1", "ec2/sha256/v1/us-east-#"),
            ("feedface-decade", "feedface-decade"),
        ] {
            assert_eq!(same(text), shape, "{text}");
        }
    }

    #[test]
    fn the_version_of_an_api_is_no_part_of_what_is_called() {
        for (operation, permission, expected) in [
            (
                "lambda:UpdateFunctionCode20150331v2",
                Some("lambda:UpdateFunctionCode"),
                "lambda:UpdateFunctionCode",
            ),
            (
                "cloudfront:CreateDistribution2020_05_31",
                Some("cloudfront:CreateDistribution"),
                "cloudfront:CreateDistribution",
            ),
            ("lambda:UpdateFunctionCode20150331v2", None, "lambda:UpdateFunctionCode20150331v2"),
            ("s3:GetObjectVersion", Some("s3:GetObject"), "s3:GetObjectVersion"),
            ("s3:HeadObject", Some("s3:GetObject"), "s3:HeadObject"),
        ] {
            assert_eq!(unversioned(operation, permission), expected);
        }
    }
}
