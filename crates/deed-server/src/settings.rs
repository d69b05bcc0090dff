//! `deed.toml`: read strictly, with errors that name the line.

mod approvals;
mod findings;
mod mcp;
mod spool;
mod ssf;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use deed_ledger::SpoolOptions;
use deed_seal::hash::Hash;
use serde::Deserialize;
use toml::Spanned;

pub use approvals::{Approvals, SecretFrom};
pub use findings::{FindingFormat, FindingsWebhook};
pub use mcp::{Behind, McpServer};
pub use ssf::{Delivery, SsfTransmitter};
pub use tokens::TokenSettings;
pub(crate) use tokens::{AgentTable, Configured, KeySource};
use tokens::{DomainTable, IssuerTable, TokensTable};

/// The settings file of a data directory.
pub const FILE: &str = "deed.toml";

/// What `deed.toml` says. Without the file, the default.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Where the server listens.
    pub listen: Listen,
    /// What a request may cost.
    pub limits: Limits,
    /// Who may do what from elsewhere.
    pub tokens: Vec<Token>,
    /// The MCP servers behind this gateway, by name.
    pub mcp: BTreeMap<String, McpServer>,
    /// The token service, where there is one.
    pub token_service: Option<TokenSettings>,
    /// How people elsewhere are told what waits for them, and answer.
    pub approvals: Option<Approvals>,
    /// Where findings are sent as they arise.
    pub findings: Option<FindingsWebhook>,
    /// Where the tier `low` waits while nothing can be recorded; without it, nothing goes on then.
    pub spool: Option<SpoolOptions>,
    /// Who sends security events, by name.
    pub ssf: BTreeMap<String, SsfTransmitter>,
}

/// `[listen]`: where the server listens, where the command line does not say so.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listen {
    /// The API.
    pub http: Option<Listener>,
    /// OTLP over gRPC.
    pub otlp_grpc: Option<Listener>,
    /// OTLP over HTTP.
    pub otlp_http: Option<Listener>,
    /// Whether the log (`/checkpoint`, `/tile/…`) needs no token. Its entries are sealed records:
    /// nobody's name and no payload, but who keyed as what did which operation, and when.
    pub public_log: bool,
}

/// Where something listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Nowhere: `off`.
    Off,
    /// On this address.
    At(SocketAddr),
}

impl Listener {
    /// The address that was chosen, where one was, else `default`.
    pub fn or(chosen: Option<Self>, default: Option<SocketAddr>) -> Option<SocketAddr> {
        match chosen {
            None => default,
            Some(Listener::Off) => None,
            Some(Listener::At(address)) => Some(address),
        }
    }
}

/// `[limits]`: what a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, as sent and decompressed, in bytes.
    pub body_bytes: usize,
    /// How long an append waits for the disk.
    pub append: Duration,
    /// How long a question may take.
    pub read: Duration,
    /// Of a core's time so many hundredths at most are taken, each, to keep identities and findings up with the log while
    /// nobody asks; 0: only when somebody does.
    pub follow_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 << 20,
            append: Duration::from_secs(10),
            read: Duration::from_secs(30),
            follow_percent: 50,
        }
    }
}

/// `[[token]]`: somebody who may come from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What is sealed as `submitter` in the records it sends.
    pub name: String,
    /// SHA-256 of the token. Enough for a random text, and the file then holds no secret.
    pub hash: [u8; 32],
    /// The only tenant whose records it writes and reads; `None` is every tenant.
    pub tenant: Option<String>,
    /// What it may do.
    pub rights: BTreeSet<Right>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Append records.
    Write,
    /// Ask anything, and read the log.
    Read,
    /// Export traces and logs.
    Otlp,
    /// Use the MCP servers behind the gateway.
    Mcp,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("failed to read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("`{path}`, line {line}: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        message: String,
    },
}

impl Settings {
    /// Where people find this server, as `https://deed.example`, where that is said.
    pub(crate) fn home(&self) -> Option<String> {
        let public = self.approvals.as_ref().and_then(|approvals| approvals.public_url.as_ref());
        let issuer = self.token_service.as_ref().map(|tokens| tokens.issuer.clone());
        public.map(|url| url.to_string().trim_end_matches('/').to_owned()).or(issuer)
    }

    /// Reads `deed.toml` in `dir`; the default where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what is not known or not allowed.
    pub fn load(dir: &Path) -> Result<Self, SettingsError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                Settings::parse(&text).map_err(|(line, message)| SettingsError::Wrong { path, line, message })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(source) => Err(SettingsError::Io { path, source }),
        }
    }

    /// Reads the text of a settings file.
    ///
    /// # Errors
    /// The line, from 1, and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let file: File = toml::from_str(text).map_err(|error| {
            // Names of types are those of this program, not of the one who writes settings.
            let message = error.message().replace("expected i64", "expected a whole number");
            (error.span().map_or(1, |span| line_of(span.start)), message)
        })?;
        file.check(&line_of).map_err(|(at, message)| (line_of(at), message))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: ListenTable,
    limits: LimitsTable,
    token: Vec<Spanned<TokenTable>>,
    mcp: BTreeMap<Spanned<String>, mcp::McpTable>,
    tokens: Option<Spanned<TokensTable>>,
    issuer: Vec<Spanned<IssuerTable>>,
    agent: Vec<Spanned<AgentTable>>,
    trust_domain: Vec<Spanned<DomainTable>>,
    approvals: Option<Spanned<approvals::ApprovalsTable>>,
    findings: Option<Spanned<findings::FindingsTable>>,
    spool: Option<spool::SpoolTable>,
    ssf: BTreeMap<Spanned<String>, ssf::SsfTable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ListenTable {
    http: Option<Spanned<String>>,
    otlp_grpc: Option<Spanned<String>>,
    otlp_http: Option<Spanned<String>>,
    public_log: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    body_mib: Option<Spanned<i64>>,
    append_seconds: Option<Spanned<i64>>,
    read_seconds: Option<Spanned<i64>>,
    follow_percent: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    name: Spanned<String>,
    hash: Spanned<String>,
    tenant: Option<Spanned<String>>,
    rights: Spanned<BTreeSet<Right>>,
}

/// Where in the file, in bytes, and what is wrong there.
type Wrong = (usize, String);

impl File {
    fn check(self, line_of: &dyn Fn(usize) -> usize) -> Result<Settings, Wrong> {
        let ListenTable { http, otlp_grpc, otlp_http, public_log } = self.listen;
        let listen = Listen {
            http: listener(http)?,
            otlp_grpc: listener(otlp_grpc)?,
            otlp_http: listener(otlp_http)?,
            public_log,
        };
        let default = Limits::default();
        let LimitsTable { body_mib, append_seconds, read_seconds, follow_percent } = self.limits;
        let limits = Limits {
            body_bytes: within(body_mib, 1..=1024)?.map_or(default.body_bytes, |mib| (mib as usize) << 20),
            append: seconds(append_seconds, default.append)?,
            read: seconds(read_seconds, default.read)?,
            follow_percent: within(follow_percent, 0..=100)?
                .map_or(default.follow_percent, |percent| percent as u8),
        };
        let mut tokens: Vec<Token> = Vec::new();
        for token in self.token {
            let at = token.span().start;
            let token = token.into_inner().check()?;
            if tokens.iter().any(|other| other.name == token.name || other.hash == token.hash) {
                return Err((
                    at,
                    format!("there is another token `{}`, or one of the same hash", token.name),
                ));
            }
            tokens.push(token);
        }
        let token_service =
            TokensTable::check(self.tokens, self.issuer, self.agent, self.trust_domain, line_of)?;
        Ok(Settings {
            listen,
            limits,
            tokens,
            mcp: mcp::check(self.mcp, token_service.as_ref().map(|tokens| &*tokens.issuer), line_of)?,
            token_service,
            approvals: approvals::check(self.approvals)?,
            findings: findings::check(self.findings)?,
            spool: spool::check(self.spool)?,
            ssf: ssf::check(self.ssf)?,
        })
    }
}

impl TokenTable {
    fn check(self) -> Result<Token, Wrong> {
        let name = self.name.get_ref();
        // What Deed itself is called, and whoever comes without a token.
        let reserved = ["local", "deed"].iter().any(|own| name.split(':').next() == Some(own));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@' | '/');
        if reserved || name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            let expected = "expected 1 to 128 letters, digits or `-_.:@/`, and neither `local` nor `deed`";
            return Err((self.name.span().start, format!("the name of a token: {expected}")));
        }
        // The value is not shown: somebody may have put the token itself there (D9).
        let hash = self.hash.get_ref().strip_prefix("sha256:").and_then(|hex| hex.parse::<Hash>().ok());
        let hash = hash.ok_or_else(|| {
            (self.hash.span().start, "expected `sha256:` and 64 lower-case hex digits".to_owned())
        })?;
        if let Some(tenant) = &self.tenant
            && !deed_record::is_label(tenant.get_ref())
        {
            return Err((
                tenant.span().start,
                "a tenant: expected 1 to 64 letters, digits, `-`, `_` or `.`".to_owned(),
            ));
        }
        if self.rights.get_ref().is_empty() {
            return Err((
                self.rights.span().start,
                "expected one or more of `write`, `read`, `otlp`, `mcp`".to_owned(),
            ));
        }
        Ok(Token {
            name: self.name.into_inner(),
            hash: hash.0,
            tenant: self.tenant.map(Spanned::into_inner),
            rights: self.rights.into_inner(),
        })
    }
}

fn listener(text: Option<Spanned<String>>) -> Result<Option<Listener>, Wrong> {
    let Some(text) = text else { return Ok(None) };
    if text.get_ref() == "off" {
        return Ok(Some(Listener::Off));
    }
    match text.get_ref().parse() {
        Ok(address) => Ok(Some(Listener::At(address))),
        Err(_) => {
            let found = text.get_ref().escape_debug();
            Err((
                text.span().start,
                format!("expected `off`, or an address and a port such as `127.0.0.1:7400`, found `{found}`"),
            ))
        }
    }
}

fn seconds(value: Option<Spanned<i64>>, default: Duration) -> Result<Duration, Wrong> {
    Ok(within(value, 1..=3600)?.map_or(default, Duration::from_secs))
}

/// A whole number of `range`, which has no negative ones.
fn within(value: Option<Spanned<i64>>, range: RangeInclusive<u64>) -> Result<Option<u64>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let found = *value.get_ref();
    match u64::try_from(found).ok().filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            Err((value.span().start, format!("expected {} to {}, found {found}", range.start(), range.end())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn reads_everything() {
        let text = format!(
            "[listen]\nhttp = \"0.0.0.0:7400\"\notlp_http = \"off\"\npublic_log = true\n[limits]\nbody_mib = 8\nappend_seconds = 3\n\
             [[token]]\nname = \"ci\"\nhash = \"{HASH}\"\ntenant = \"acme\"\nrights = [\"write\", \"otlp\"]\n"
        );
        let settings = Settings::parse(&text).unwrap();
        let http = settings.listen.http;
        assert_eq!(http, "0.0.0.0:7400".parse().ok().map(Listener::At));
        assert_eq!((settings.listen.otlp_grpc, settings.listen.otlp_http), (None, Some(Listener::Off)));
        assert!(settings.listen.public_log);
        assert_eq!(
            settings.limits,
            Limits { body_bytes: 8 << 20, append: Duration::from_secs(3), ..Limits::default() }
        );
        assert_eq!(settings.tokens[0].tenant.as_deref(), Some("acme"));
        assert_eq!(settings.tokens[0].rights, BTreeSet::from([Right::Write, Right::Otlp]));
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    const MCP: &str = "[mcp.tickets]\nurl = \"https://tickets.example/mcp\"\n";
    const TOKENS: &str = "[tokens]\nissuer = \"https://deed.example\"\n";

    #[test]
    fn what_a_server_is_shown_is_for_its_url_unless_said() {
        let settings = Settings::parse(&format!("{MCP}token = {{}}\n{TOKENS}")).unwrap();
        let Behind::Url { token, .. } = &settings.mcp["tickets"].behind else { panic!("it is at a URL") };
        let token = token.clone().unwrap();
        assert_eq!(
            (&*token.audience, token.scope, token.longest),
            ("https://tickets.example/mcp", None, 300)
        );
    }

    #[test]
    fn a_server_may_be_a_command() {
        let text = "\n[mcp.files]\ncommand = [\"npx\", \"-y\", \"x\"]\nfolder = \"/srv\"\nenv = { A = \"hunter2\" }\n\
                    env_files = { B = \"/run/b\" }\nprocesses = 2\nidle_seconds = 60\n";
        let settings = Settings::parse(text).unwrap();
        let Behind::Program { command, processes: 2, line: 3, .. } = &settings.mcp["files"].behind else {
            panic!("{settings:?}");
        };
        assert_eq!((&*command.program, command.arguments.len(), &*command.env["A"]), ("npx", 2, "hunter2"));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn errors_name_the_line() {
        let token = |name: &str, hash: &str, rights: &str| {
            format!("\n[[token]]\nname = \"{name}\"\nhash = \"{hash}\"\nrights = {rights}\n")
        };
        let twice = format!("{}{}", token("a", HASH, "[\"read\"]"), token("a", HASH, "[\"read\"]"));
        for (text, line, says) in [
            ("[listen]\nhttp = \"localhost\"\n", 2, "an address and a port"),
            ("\n\n[lisen]\n", 3, "lisen"),
            ("[listen]\nport = 7\n", 2, "port"),
            ("[limits]\nbody_mib = 0\n", 2, "expected 1 to 1024"),
            ("[limits]\nfollow_percent = 101\n", 2, "expected 0 to 100, found 101"),
            ("[limits]\nbody_mib = -1\n", 2, "expected 1 to 1024, found -1"),
            ("[limits]\nread_seconds = 1.5\n", 2, "expected a whole number"),
            ("\n[approvals]\nwebhook = \"https://h.example\"\n", 2, "secret_file"),
            ("[approvals]\nsecret_env = \"S\"\nsecret_file = \"f\"\n", 1, "one of"),
            ("[approvals]\nsecret_env = \"S\"\nwebhook = \"http://h.example/hunter2\"\n", 3, "https"),
            (
                "[approvals]\nsecret_env = \"S\"\nwebhook = \"https://ann:hunter2@h.example/\"\n",
                3,
                "password",
            ),
            ("[approvals]\nsecret_env = \"S\"\nsecret = \"hunter2\"\n", 3, "secret"),
            ("\n[findings]\nwebhook = \"https://h.example\"\n", 2, "secret_file"),
            ("[findings]\nsecret_env = \"S\"\nwebhook = \"http://h.example/hunter2\"\n", 3, "https"),
            (
                "[findings]\nsecret_env = \"S\"\nwebhook = \"https://h.example\"\nformat = \"csv\"\n",
                4,
                "ocsf",
            ),
            ("\n[spool]\nmax_bytes = 65536\n", 2, "folder"),
            ("[spool]\nfolder = \"spool\"\n", 2, "expected a whole path"),
            ("[spool]\nfolder = \"/s\"\nmax_bytes = 100\n", 3, "expected 65536 to 1073741824, found 100"),
            ("[spool]\nfolder = \"/s\"\nmax_bytes = -1\n", 3, "found -1"),
            ("[spool]\nfolder = \"/s\"\nmax_seconds = 0\n", 3, "expected 1 to 86400, found 0"),
            ("[spool]\nfolder = \"/s\"\nmax_age = 1\n", 3, "max_age"),
            ("\n[mcp.files]\nas = \"agent:a\"\n", 2, "expected a `url`, or a `command`"),
            (&format!("{MCP}command = [\"npx\"]\n"), 3, "not both"),
            (&format!("{MCP}folder = \"/srv\"\n"), 3, "started by a `command`"),
            ("[mcp.a]\ncommand = []\n", 2, "expected a program"),
            ("[mcp.a]\ncommand = [\"a\"]\nenv = { PIN = 4711 }\n", 3, "expected a text"),
            ("[mcp.a]\ncommand = [\"a\"]\nenv = { \"A=B\" = \"hunter2\" }\n", 3, "name of a variable"),
            ("[mcp.a]\ncommand = [\"a\"]\nbearer_file = \"b\"\n", 3, "env_files"),
            ("[mcp.a]\ncommand = [\"a\"]\nfolder = \"b\"\n", 3, "whole path"),
            ("[mcp.a]\ncommand = [\"a\"]\nprocesses = 0\n", 3, "expected 1 to 1024"),
            ("[listen\n", 1, ""),
            (&format!("{MCP}token = {{ scope = \"a\" }}\n"), 3, "[tokens]"),
            (&format!("{MCP}bearer_file = \"f\"\ntoken = {{ scope = \"a\" }}\n{TOKENS}"), 4, "not both"),
            (
                &format!("{MCP}token = {{ audience = \"https://deed.example/mcp/x\" }}\n{TOKENS}"),
                3,
                "in `aud`",
            ),
            (&format!("{MCP}token = {{ scope = \"a\\\"b\" }}\n{TOKENS}"), 3, "RFC 6749"),
            (&format!("{MCP}token = {{ seconds = 4000 }}\n{TOKENS}"), 3, "expected 1 to 3600"),
            (&format!("{MCP}token = {{ resource = \"x\" }}\n{TOKENS}"), 3, "resource"),
            (&token("local:uid-0", HASH, "[\"read\"]"), 3, "local"),
            (&token("a", "hunter2hunter2", "[\"read\"]"), 4, "sha256:"),
            (&token("a", HASH, "[]"), 5, "one or more"),
            (&token("a", HASH, "[\"admin\"]"), 5, "admin"),
            (&twice, 7, "another token"),
        ] {
            let (found, message) = Settings::parse(text).unwrap_err();
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(says), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
