//! `[mcp.NAME]`: the MCP servers behind this gateway.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use deed_gateway::Who;
use deed_token::{Scope, Upstream};
use http::{HeaderName, Uri};
use serde::Deserialize;
use toml::Spanned;

use super::{Wrong, within};

/// How long a server may be silent before its answer is given up, unless said.
const SILENCE: Duration = Duration::from_secs(300);
/// Life of a token for a server, in seconds, unless said; and the longest.
const LIFE: i64 = 300;
const LONGEST_LIFE: u64 = 3600;
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
    /// What it is shown for each caller: a token of Deed's own.
    pub token: Option<Upstream>,
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
    token: Option<Spanned<UpstreamTable>>,
}

/// `token` of an MCP server, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamTable {
    audience: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    seconds: Option<Spanned<i64>>,
}

/// Headers that are the protocol's, and nobody's to set.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "content-type", "connection", "transfer-encoding", "accept"];

/// What the tables say; `issuer` is that of the token service, where there is one.
pub(super) fn check(
    tables: BTreeMap<Spanned<String>, McpTable>,
    issuer: Option<&str>,
) -> Result<BTreeMap<String, McpServer>, Wrong> {
    let mut servers = BTreeMap::new();
    for (name, table) in tables {
        if !deed_record::is_label(name.get_ref()) {
            let expected = "the name of an MCP server: expected 1 to 64 letters, digits, `-`, `_` or `.`";
            return Err((name.span().start, expected.into()));
        }
        servers.insert(name.into_inner(), table.check(issuer)?);
    }
    Ok(servers)
}

impl McpTable {
    fn check(self, issuer: Option<&str>) -> Result<McpServer, Wrong> {
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
        let token = match self.token {
            Some(token) if headers.contains_key("authorization") => {
                let why = "the server is shown either `token` or what stands in a file, not both";
                return Err((token.span().start, why.into()));
            }
            Some(token) => Some(token.get_ref().check(token.span().start, &self.url, issuer)?),
            None => None,
        };
        Ok(McpServer {
            token,
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

impl UpstreamTable {
    fn check(&self, at: usize, url: &Spanned<String>, issuer: Option<&str>) -> Result<Upstream, Wrong> {
        let Some(issuer) = issuer else {
            return Err((
                at,
                "tokens are issued by the token service: add `[tokens]` with its `issuer`".into(),
            ));
        };
        let audience = self.audience.as_ref().unwrap_or(url);
        let text = audience.get_ref();
        let is_name = (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        // INVARIANT D7: what the server is shown must not open a door of Deed.
        let is_own = text.strip_prefix(issuer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !is_name || is_own {
            let expected = "expected what the server calls itself in `aud`, such as its URL; nothing of this server's own";
            return Err((audience.span().start, expected.into()));
        }
        let scope = match &self.scope {
            Some(scope) => match Scope::parse(scope.get_ref()).filter(|scope| !scope.is_empty()) {
                Some(read) => Some(read),
                None => {
                    return Err((
                        scope.span().start,
                        "expected scopes (RFC 6749), separated by spaces".into(),
                    ));
                }
            },
            None => None,
        };
        let longest = within(self.seconds.clone(), 1..=LONGEST_LIFE)?;
        let longest = longest.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(LIFE);
        Ok(Upstream { audience: text.clone(), scope, longest })
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
