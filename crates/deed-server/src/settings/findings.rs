//! `[findings]`: where findings are sent as they arise.

use std::path::PathBuf;

use deed_review::Severity;
use http::Uri;
use serde::Deserialize;
use toml::Spanned;

use super::{
    SecretFrom, Wrong,
    approvals::{secret, url},
};

/// Findings by webhook (Standard Webhooks).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingsWebhook {
    /// Where they are sent.
    pub url: Uri,
    /// What messages are signed with.
    pub secret: SecretFrom,
    /// What a message holds.
    pub format: FindingFormat,
    /// Less grave ones are not sent.
    pub min_severity: Severity,
    /// Whether those of what was recorded before the first start are sent too.
    pub backfill: bool,
    /// Whether people and machines are called by name.
    pub names: bool,
}

/// What a message about a finding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingFormat {
    /// What `GET /v1/findings` has of it.
    #[default]
    Deed,
    /// An OCSF Detection Finding.
    Ocsf,
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindingsTable {
    webhook: Spanned<String>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    #[serde(default)]
    format: FindingFormat,
    min_severity: Option<Severity>,
    #[serde(default)]
    backfill: bool,
    #[serde(default)]
    names: bool,
}

pub(super) fn check(table: Option<Spanned<FindingsTable>>) -> Result<Option<FindingsWebhook>, Wrong> {
    let Some(table) = table else { return Ok(None) };
    let at = table.span().start;
    let FindingsTable { webhook, secret_file, secret_env, format, min_severity, backfill, names } =
        table.into_inner();
    let secret = secret("secret", secret_file, secret_env, at)?;
    let min_severity = min_severity.unwrap_or(Severity::Low);
    let webhook = url(Some(webhook))?;
    Ok(webhook.map(|url| FindingsWebhook { url, secret, format, min_severity, backfill, names }))
}
