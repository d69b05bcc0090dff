//! `[approvals]`: how people elsewhere are told what waits for them, and how they answer.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use http::Uri;
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use super::Wrong;

/// Approvals by webhook (Standard Webhooks).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// Where it is told what waits; `None` where only answers are taken.
    pub webhook: Option<Uri>,
    /// What messages are signed with, in both directions.
    pub secret: SecretFrom,
    /// Where this server is reached from elsewhere, so that messages can say where to answer.
    pub public_url: Option<Uri>,
}

/// Where a secret is kept. The settings hold none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// A file, relative to the data directory.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

impl SecretFrom {
    /// The text, and where it is from.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn read(&self, dir: &Path) -> Result<(Zeroizing<String>, String), String> {
        match self {
            SecretFrom::File(path) => {
                let path = dir.join(path);
                let failed = |error| format!("failed to read the secret in `{}`: {error}", path.display());
                let text = fs::read_to_string(&path).map_err(failed)?;
                Ok((Zeroizing::new(text), path.display().to_string()))
            }
            SecretFrom::Env(name) => {
                let text = env::var(name).map_err(|_| format!("the variable `{name}` is not set"))?;
                Ok((Zeroizing::new(text), format!("${name}")))
            }
        }
    }
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalsTable {
    webhook: Option<Spanned<String>>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    public_url: Option<Spanned<String>>,
}

pub(super) fn check(table: Option<Spanned<ApprovalsTable>>) -> Result<Option<Approvals>, Wrong> {
    let Some(table) = table else { return Ok(None) };
    let at = table.span().start;
    let ApprovalsTable { webhook, secret_file, secret_env, public_url } = table.into_inner();
    let secret = secret("secret", secret_file, secret_env, at)?;
    Ok(Some(Approvals { webhook: url(webhook)?, secret, public_url: url(public_url)? }))
}

/// Where the secret `name` of the table `at` is.
pub(super) fn secret(
    name: &str,
    file: Option<PathBuf>,
    env: Option<String>,
    at: usize,
) -> Result<SecretFrom, Wrong> {
    match (file, env) {
        (Some(file), None) => Ok(SecretFrom::File(file)),
        (None, Some(variable)) => Ok(SecretFrom::Env(variable)),
        _ => Err((at, format!("expected one of `{name}_file` and `{name}_env`"))),
    }
}

/// A URL whose road is not open: https, or http to this machine.
pub(super) fn url(text: Option<Spanned<String>>) -> Result<Option<Uri>, Wrong> {
    let Some(text) = text else { return Ok(None) };
    // The value is not shown: it may hold a token in its path (D9).
    let wrong = |why: &str| (text.span().start, why.to_owned());
    let url: Uri = text.get_ref().parse().map_err(|_| wrong("expected a URL"))?;
    let host = url.host().ok_or_else(|| wrong("expected a URL with a host"))?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("a URL must not hold a user or a password"));
    }
    match url.scheme_str() {
        Some("https") => Ok(Some(url)),
        Some("http") if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => Ok(Some(url)),
        _ => Err(wrong("expected an https URL; http only to this machine")),
    }
}
