//! Holding a store: the engine in this process, and its server, which this process uses too.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use deed_ledger::OpenError;
use deed_server::{
    Addresses, Engine, EngineError, EngineOptions, ServeOptions, Server, serve, settings::Settings,
};

use crate::{
    exit::{Code, Failure},
    hint::Hint,
    output::shell_word,
};

/// A store that this process holds and serves.
pub(crate) struct Holder {
    server: Server,
}

/// Why a store was not taken.
pub(crate) enum TakeError {
    /// Another process holds it: what that one says of itself.
    Held(String),
    /// It cannot be used.
    Failed(Failure),
}

impl TakeError {
    /// For whom it is no use to wait.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            TakeError::Held(by) => Failure::new(format!("the store is held by another process ({by})"))
                .detail("it serves the store too: every command with the same --data goes through it"),
            TakeError::Failed(failure) => failure,
        }
    }
}

impl Holder {
    /// Opens the store in `dir` and serves it, for others on the Unix socket only.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub(crate) async fn take(dir: &Path) -> Result<Self, TakeError> {
        Holder::take_with(dir, deed_ledger::Options::default(), |_| ServeOptions::socket_only()).await
    }

    /// Opens the store in `dir` and serves it where `options` says, given the settings of the store.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub(crate) async fn take_with(
        dir: &Path,
        ledger: deed_ledger::Options,
        options: impl FnOnce(&Settings) -> ServeOptions,
    ) -> Result<Self, TakeError> {
        let failed = |why: String| {
            let dir_word = shell_word(&dir.display().to_string());
            let verify = Hint::of_store(dir).anywhere(&format!("verify {dir_word}"));
            let look = format!("what is wrong with it: {verify}");
            TakeError::Failed(
                Failure::new(format!("failed to open the store in `{}`", dir.display()))
                    .detail(why)
                    .detail(look),
            )
        };
        let folder = dir.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            Engine::open(&folder, EngineOptions { ledger, ..EngineOptions::default() })
        });
        let engine = match opened.await {
            Ok(Ok(engine)) => engine,
            Ok(Err(EngineError::Ledger(OpenError::Held(by)))) => return Err(TakeError::Held(by)),
            Ok(Err(EngineError::Settings(error))) => {
                return Err(TakeError::Failed(
                    Failure::new("the settings cannot be used").detail(error.to_string()),
                ));
            }
            Ok(Err(EngineError::Ledger(OpenError::Folder { source, .. }))) if is_read_only(&source) => {
                return Err(TakeError::Failed(read_only(dir, &source)));
            }
            Ok(Err(EngineError::Ledger(error))) => {
                let code = code_of(&error);
                return Err(match failed(error.to_string()) {
                    TakeError::Failed(failure) => TakeError::Failed(failure.code(code)),
                    held => held,
                });
            }
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(died) => return Err(failed(died.to_string())),
        };
        let options = options(engine.settings());
        match serve(engine.clone(), options).await {
            Ok(server) => Ok(Holder { server }),
            Err(error) => {
                // Nothing was served: the store is let go of as it was found.
                drop(tokio::task::spawn_blocking(move || engine.close()).await);
                Err(TakeError::Failed(Failure::new(error.to_string())))
            }
        }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        self.server.addresses()
    }

    /// Answers what is under way, signs a last checkpoint and lets go of the store.
    ///
    /// # Errors
    /// The last checkpoint could not be signed.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.server.shutdown().await.map_err(|error| Failure::new(error.to_string()))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// What to do with a store that may only be read.
fn read_only(dir: &Path, error: &io::Error) -> Failure {
    let dir_word = shell_word(&dir.display().to_string());
    let hint = Hint::of_store(dir);
    let verify = hint.anywhere(&format!("verify {dir_word}"));
    let copy = format!("cp -a {dir_word} COPY && {}", hint.anywhere("--data COPY find"));
    Failure::new(format!("failed to open the store in `{}`", dir.display()))
        .detail(format!("it cannot be written here: {error}"))
        .detail("opening a store takes its lock, ends what a crash left and derives what is missing")
        .detail(format!("what reads only: {verify}"))
        .detail(format!("to ask anything else, ask a copy, and record nothing into it: {copy}"))
}

/// What is wrong with a store that was refused.
fn code_of(error: &OpenError) -> Code {
    if error.is_violation() {
        Code::Violated
    } else if error.is_missing() {
        Code::Unverified
    } else {
        Code::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_may_only_be_read_says_what_to_do() {
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let error = io::Error::from(kind);
            assert!(is_read_only(&error));
            let text = read_only(Path::new("a copy"), &error).to_string();
            for part in ["cannot be written", "verify 'a copy'", "cp -a 'a copy' COPY"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}
