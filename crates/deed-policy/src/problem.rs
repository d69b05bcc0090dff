//! What is wrong with a policy folder, and where.

use std::fmt;

use miette::Diagnostic;
use serde::Serialize;

/// Something in a policy folder that must be mended before it can be used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Problem {
    /// The file, by its name in the folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// The `@id` of the policy, where it is in one that has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Why a policy set cannot be used: every problem of its folder, in the order of files and lines.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            if let Some(help) = &problem.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// A file that problems may be in.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Place<'_> {
    /// A problem at a byte of the file.
    pub(crate) fn problem(self, at: usize, policy: Option<&str>, message: impl Into<String>) -> Problem {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            policy: policy.map(str::to_owned),
            message: message.into(),
            help: None,
        }
    }

    /// What Cedar found; at `fallback` where it does not say.
    pub(crate) fn found(self, error: &dyn Diagnostic, fallback: usize, policy: Option<&str>) -> Problem {
        let label = error.labels().and_then(|mut labels| labels.next());
        let at = label.as_ref().map_or(fallback, miette::LabeledSpan::offset);
        // Cedar names the policy in its sentences; here it has a member of its own.
        let own = policy.map(|policy| format!("for policy `{policy}`, ")).unwrap_or_default();
        let ours = |said: String| if own.is_empty() { said } else { said.replacen(&own, "", 1) };
        let message = ours(error.to_string());
        let label = label.as_ref().and_then(|label| label.label()).filter(|label| !message.contains(label));
        let help = error.help().map(|help| help.to_string()).or_else(|| label.map(str::to_owned)).map(ours);
        Problem { help, ..self.problem(at, policy, message) }
    }
}

impl Problem {
    /// The same, with what to do.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Problem { help: Some(help.into()), ..self }
    }
}
