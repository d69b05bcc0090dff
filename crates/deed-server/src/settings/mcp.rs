//! `[mcp.NAME]`: the MCP servers behind this gateway.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use deed_gateway::{Who, stdio::Command};
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
/// Processes of one server at a time, unless said.
const PROCESSES: u32 = 32;
/// How long a process is kept that nobody uses, unless said.
const IDLE: Duration = Duration::from_secs(1800);

/// An MCP server, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// How it is reached.
    pub behind: Behind,
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

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// At a URL, over Streamable HTTP.
    Url {
        /// Where it is.
        url: Uri,
        /// Headers that it hears with each request: the file that holds the value of each.
        headers: BTreeMap<String, PathBuf>,
        /// What it is shown for each caller: a token of Deed's own.
        token: Option<Upstream>,
    },
    /// Deed starts it, and speaks to it over its standard input and output.
    Program {
        /// What is started.
        command: Command,
        /// Processes at a time.
        processes: u32,
        /// How long one is kept that nobody uses.
        idle: Duration,
        /// Where the settings name it: the line, from 1.
        line: usize,
    },
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpTable {
    url: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    folder: Option<Spanned<PathBuf>>,
    env: Option<Spanned<BTreeMap<Spanned<String>, Spanned<toml::Value>>>>,
    env_files: Option<Spanned<BTreeMap<Spanned<String>, PathBuf>>>,
    processes: Option<Spanned<i64>>,
    idle_seconds: Option<Spanned<i64>>,
    bearer_file: Option<Spanned<PathBuf>>,
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
    line_of: &dyn Fn(usize) -> usize,
) -> Result<BTreeMap<String, McpServer>, Wrong> {
    let mut servers = BTreeMap::new();
    for (name, table) in tables {
        if !deed_record::is_label(name.get_ref()) {
            let expected = "the name of an MCP server: expected 1 to 64 letters, digits, `-`, `_` or `.`";
            return Err((name.span().start, expected.into()));
        }
        let at = name.span().start;
        servers.insert(name.into_inner(), table.check(at, issuer, line_of)?);
    }
    Ok(servers)
}

impl McpTable {
    fn check(
        mut self,
        at: usize,
        issuer: Option<&str>,
        line_of: &dyn Fn(usize) -> usize,
    ) -> Result<McpServer, Wrong> {
        let behind = match (self.url.take(), self.command.take()) {
            (Some(url), None) => self.at_url(&url, issuer)?,
            (None, Some(command)) => self.program(&command, line_of)?,
            (Some(_), Some(command)) => {
                let why = "a server is either at a `url` or started by a `command`, not both";
                return Err((command.span().start, why.into()));
            }
            (None, None) => {
                let expected = "expected a `url`, or a `command` such as `[\"npx\", \"-y\", \"PACKAGE\"]`";
                return Err((at, expected.into()));
            }
        };
        let seconds = |value, range, default: Duration| {
            Ok::<_, Wrong>(within(value, range)?.map_or(default, Duration::from_secs))
        };
        Ok(McpServer {
            behind,
            executor: self.executor.as_ref().map(who).transpose()?,
            initiator: self.initiator.as_ref().map(who).transpose()?,
            silence: seconds(self.silence_seconds, 1..=86_400, SILENCE)?,
            wait: seconds(self.wait_seconds, 0..=3600, WAIT)?,
            require_token: self.require_token,
        })
    }

    fn at_url(&mut self, url: &Spanned<String>, issuer: Option<&str>) -> Result<Behind, Wrong> {
        let of_programs = [
            self.folder.as_ref().map(Spanned::span),
            self.env.as_ref().map(Spanned::span),
            self.env_files.as_ref().map(Spanned::span),
            self.processes.as_ref().map(Spanned::span),
            self.idle_seconds.as_ref().map(Spanned::span),
        ];
        if let Some(span) = of_programs.into_iter().flatten().next() {
            return Err((span.start, "this is for a server that is started by a `command`".into()));
        }
        let mut headers = BTreeMap::new();
        if let Some(file) = self.bearer_file.take() {
            headers.insert("authorization".to_owned(), file.into_inner());
        }
        for (name, file) in std::mem::take(&mut self.header_files) {
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
        let token = match &self.token {
            Some(token) if headers.contains_key("authorization") => {
                let why = "the server is shown either `token` or what stands in a file, not both";
                return Err((token.span().start, why.into()));
            }
            Some(token) => Some(token.get_ref().check(token.span().start, url, issuer)?),
            None => None,
        };
        Ok(Behind::Url { url: parsed(url)?, headers, token })
    }

    fn program(
        &mut self,
        command: &Spanned<Vec<String>>,
        line_of: &dyn Fn(usize) -> usize,
    ) -> Result<Behind, Wrong> {
        let of_urls = [
            self.bearer_file.as_ref().map(Spanned::span),
            self.header_files.keys().next().map(Spanned::span),
            self.token.as_ref().map(Spanned::span),
        ];
        if let Some(span) = of_urls.into_iter().flatten().next() {
            return Err((
                span.start,
                "a server that is started hears no headers: give it what it needs in `env_files`".into(),
            ));
        }
        let at = command.span().start;
        let Some((program, arguments)) =
            command.get_ref().split_first().filter(|(program, _)| !program.is_empty())
        else {
            return Err((
                at,
                "expected a program and its arguments, such as `[\"npx\", \"-y\", \"PACKAGE\"]`".into(),
            ));
        };
        // No value is shown: it may be a secret (D9).
        if command.get_ref().iter().any(|word| word.contains('\0')) {
            return Err((at, "a program and its arguments hold no byte of zero".into()));
        }
        if let Some(folder) = &self.folder
            && !folder.get_ref().is_absolute()
        {
            return Err((folder.span().start, "expected a whole path, from `/` on".into()));
        }
        let mut env = BTreeMap::new();
        for (name, value) in self.env.take().map(Spanned::into_inner).unwrap_or_default() {
            variable(&name)?;
            match value.get_ref() {
                toml::Value::String(text) if !text.contains('\0') => {
                    env.insert(name.into_inner(), text.clone())
                }
                _ => return Err((value.span().start, "the value of a variable: expected a text".into())),
            };
        }
        let mut env_files = BTreeMap::new();
        for (name, file) in self.env_files.take().map(Spanned::into_inner).unwrap_or_default() {
            variable(&name)?;
            if env.contains_key(name.get_ref()) {
                return Err((name.span().start, "the variable stands in `env` too".into()));
            }
            env_files.insert(name.into_inner(), file);
        }
        let processes = within(self.processes.take(), 1..=1024)?;
        let idle = within(self.idle_seconds.take(), 1..=86_400)?;
        Ok(Behind::Program {
            command: Command {
                program: program.clone(),
                arguments: arguments.to_vec(),
                folder: self.folder.take().map(Spanned::into_inner),
                env,
                env_files,
            },
            processes: processes.and_then(|most| u32::try_from(most).ok()).unwrap_or(PROCESSES),
            idle: idle.map_or(IDLE, Duration::from_secs),
            line: line_of(at),
        })
    }
}

fn variable(name: &Spanned<String>) -> Result<(), Wrong> {
    let text = name.get_ref();
    match text.is_empty() || text.contains(['=', '\0']) {
        true => Err((name.span().start, "expected the name of a variable".into())),
        false => Ok(()),
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

fn parsed(text: &Spanned<String>) -> Result<Uri, Wrong> {
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
