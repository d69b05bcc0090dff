//! `[mcp.NAME]`: the MCP servers behind this gateway.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use deed_gateway::Who;
use http::{HeaderName, Uri};
use serde::Deserialize;
use toml::Spanned;

use super::{Wrong, within};

/// How long a server may be silent before its answer is given up, unless said.
const SILENCE: Duration = Duration::from_secs(300);
/// How long a call waits for a human, unless said.
const WAIT: Duration = Duration::from_secs(45);

/// An MCP server, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Where it is.
    pub url: Uri,
    /// Headers that it hears with each request: the file that holds the value of each.
    pub headers: BTreeMap<String, PathBuf>,
    /// Who acts, where no token says so.
    pub executor: Option<Who>,
    /// For whom, where no token says so.
    pub initiator: Option<Who>,
    /// How long it may be silent.
    pub silence: Duration,
    /// How long a call waits for a human.
    pub wait: Duration,
    /// Whether nobody comes without a token; `None` asks for one where there is a token service.
    pub require_token: Option<bool>,
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpTable {
    url: Spanned<String>,
    #[serde(default)]
    bearer_file: Option<PathBuf>,
    #[serde(default)]
    header_files: BTreeMap<Spanned<String>, PathBuf>,
    #[serde(default, rename = "as")]
    executor: Option<Spanned<String>>,
    #[serde(default, rename = "for")]
    initiator: Option<Spanned<String>>,
    silence_seconds: Option<Spanned<i64>>,
    wait_seconds: Option<Spanned<i64>>,
    require_token: Option<bool>,
}

/// Headers that are the protocol's, and nobody's to set.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "content-type", "connection", "transfer-encoding", "accept"];

pub(super) fn check(
    tables: BTreeMap<Spanned<String>, McpTable>,
) -> Result<BTreeMap<String, McpServer>, Wrong> {
    let mut servers = BTreeMap::new();
    for (name, table) in tables {
        if !deed_record::is_label(name.get_ref()) {
            let expected = "the name of an MCP server: expected 1 to 64 letters, digits, `-`, `_` or `.`";
            return Err((name.span().start, expected.into()));
        }
        servers.insert(name.into_inner(), table.check()?);
    }
    Ok(servers)
}

impl McpTable {
    fn check(self) -> Result<McpServer, Wrong> {
        let mut headers = BTreeMap::new();
        if let Some(file) = self.bearer_file {
            headers.insert("authorization".to_owned(), file);
        }
        for (name, file) in self.header_files {
            let at = name.span().start;
            let name = name.into_inner().to_ascii_lowercase();
            let own = OWN_HEADERS.contains(&&*name) || name.starts_with("mcp-");
            if own || HeaderName::try_from(&*name).is_err() {
                return Err((at, "expected the name of a header that is not the protocol's own".into()));
            }
            if headers.insert(name, file).is_some() {
                return Err((at, "the header is there twice".into()));
            }
        }
        let seconds = |value, range, default: Duration| {
            Ok::<_, Wrong>(within(value, range)?.map_or(default, Duration::from_secs))
        };
        Ok(McpServer {
            url: url(&self.url)?,
            headers,
            executor: self.executor.as_ref().map(who).transpose()?,
            initiator: self.initiator.as_ref().map(who).transpose()?,
            silence: seconds(self.silence_seconds, 1..=86_400, SILENCE)?,
            wait: seconds(self.wait_seconds, 0..=3600, WAIT)?,
            require_token: self.require_token,
        })
    }
}

fn url(text: &Spanned<String>) -> Result<Uri, Wrong> {
    // The value is not shown: it may hold a password (D9).
    let expected = || {
        let expected =
            "expected an `http` or `https` URL without a user, such as `http://127.0.0.1:3000/mcp`";
        (text.span().start, expected.to_owned())
    };
    let url: Uri = text.get_ref().parse().map_err(|_| expected())?;
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some() && !has_user => Ok(url),
        _ => Err(expected()),
    }
}

fn who(text: &Spanned<String>) -> Result<Who, Wrong> {
    text.get_ref().parse().map_err(|why| (text.span().start, why))
}
