//! Cases: requests with the decisions that are expected of a policy set.

mod sent;

use std::{fs, io, path::Path};

use deed_record::Ruling;
use serde::Serialize;

use self::sent::Sent;
use crate::{
    problem::{LoadError, Place, Problem},
    set::PolicySet,
};

/// The folder of the cases in a policy folder.
const FOLDER: &str = "cases";

/// A request, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called; the file, where it does not say.
    pub name: String,
    /// The file it is from.
    pub file: String,
    sent: Sent,
}

/// What came of a case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// The file it is from.
    pub file: String,
    /// Whether everything is as expected.
    pub passed: bool,
    /// The decision that was expected.
    pub expected: Ruling,
    /// The decision.
    pub effect: Ruling,
    /// The policies that determined it.
    pub policies: Vec<String>,
    /// What is not as expected, or why it was decided so.
    pub reason: String,
}

/// Reads the cases of a policy folder, from `cases/*.json`. Each file holds one case or an array of them.
///
/// # Errors
/// What cannot be read as a case, with the file and the place.
pub fn cases(dir: &Path) -> Result<Vec<Case>, LoadError> {
    let folder = dir.join(FOLDER);
    let failed = |name: &str, error: io::Error| {
        let place = Place { file: name, text: "" };
        LoadError { problems: vec![place.problem(0, None, format!("failed to read it: {error}"))] }
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(FOLDER, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| failed(FOLDER, error))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        let file = format!("{FOLDER}/{name}");
        let text = fs::read_to_string(folder.join(&name)).map_err(|error| failed(&file, error))?;
        match Case::read(&file, &text) {
            Ok(found) => cases.extend(found),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(LoadError { problems }) }
}

impl Case {
    /// Reads the text of a file: one case, or an array of them.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(file: &str, text: &str) -> Result<Vec<Case>, Problem> {
        let many = text.trim_start().starts_with('[');
        let sent = match many {
            true => serde_json::from_str(text),
            false => serde_json::from_str(text).map(|sent| vec![sent]),
        };
        let sent: Vec<Sent> = sent.map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
            let place = Place { file, text };
            Problem {
                line: error.line().max(1),
                column: error.column().max(1),
                ..place.problem(0, None, message)
            }
        })?;
        let name = |at: usize| if many { format!("{file}#{}", at + 1) } else { file.to_owned() };
        let case = |(at, sent): (usize, Sent)| {
            let name = sent.name.clone().unwrap_or_else(|| name(at));
            Case { name, file: file.to_owned(), sent }
        };
        Ok(sent.into_iter().enumerate().map(case).collect())
    }

    /// Asks the policy set.
    pub fn run(&self, policies: &PolicySet) -> CaseResult {
        let decided = policies.decide(&self.sent.request.as_asked());
        let wrong = self.sent.wrong(&decided);
        CaseResult {
            name: self.name.clone(),
            file: self.file.clone(),
            passed: wrong.is_none(),
            expected: self.sent.expect,
            effect: decided.effect,
            policies: decided.policies,
            reason: wrong.unwrap_or(decided.reason),
        }
    }
}
