//! How the program ends: one list of exit codes, and one place that maps errors to them.

use std::{fmt, process::ExitCode};

use http::StatusCode;

/// What the exit code says. Documented in `docs/cli.md`; never reused for anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// It failed; the message says what and what to do.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Evidence was checked and is wrong.
    Violated = 4,
    /// Evidence could not be checked: something is missing.
    Unverified = 5,
    /// Policy or an approver says no.
    Denied = 6,
    /// Nothing can be recorded.
    Unavailable = 7,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// Completes "error: "; empty where everything was said already.
    message: String,
    /// Lines below it: where, and what to do.
    details: Vec<String>,
    /// Whether what was asked for never reached whoever was to do it.
    unsent: bool,
}

/// What every command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure whose message begins with "failed to …".
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { code: Code::Failed as u8, message: message.into(), details: Vec::new(), unsent: false }
    }

    /// Ends with `code` and says nothing: the command has said it all.
    pub(crate) fn silent(code: Code) -> Self {
        Failure::of_command(code as u8)
    }

    /// Ends as a command ended that was let through, and says nothing: it has spoken for itself.
    pub(crate) fn of_command(code: u8) -> Self {
        Failure { code, message: String::new(), details: Vec::new(), unsent: false }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(message).code(Code::Usage)
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = code as u8;
        self
    }

    /// The same, once it was said.
    pub(crate) fn said(self) -> Self {
        Failure::of_command(self.code)
    }

    /// Whether it exits with that code.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code as u8
    }

    /// The same of what never reached whoever was to do it, and so was not done.
    #[must_use]
    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// Whether what was asked for was not done: it never reached whoever was to do it. Otherwise that may be open.
    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// The same with one more line: where, why, or what to do.
    #[must_use]
    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// The same with what to do where there is no such thing.
    #[must_use]
    pub(crate) fn where_unknown(self, what_to_do: impl FnOnce() -> String) -> Self {
        if self.is(Code::NotFound) { self.detail(what_to_do()) } else { self }
    }

    /// The same with what was being done in front: `message` completes "failed to … ".
    #[must_use]
    pub(crate) fn doing(mut self, message: impl fmt::Display) -> Self {
        let cause = std::mem::replace(&mut self.message, format!("failed to {message}"));
        if !cause.is_empty() {
            self.details.insert(0, cause);
        }
        self
    }

    /// What a server's refusal amounts to.
    pub(crate) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Failure::new(message).code(match status {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::Failed,
        })
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Whether there is nothing left to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::output::clean(&self.message))?;
        for detail in &self.details {
            for line in detail.lines() {
                write!(f, "\n  {}", crate::output::clean(line))?;
            }
        }
        Ok(())
    }
}
