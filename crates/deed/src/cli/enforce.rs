//! Options of what stands in the path of an action.

use std::path::PathBuf;

use clap::Args;
use deed_gateway::Who;
use deed_record::{RecordId, SpanId, TraceId};

use crate::values;

/// Options of `deed mcp`.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// What the server is called in policies and records
    #[arg(id = "server", long, value_name = "NAME", value_parser = values::server_name)]
    pub(crate) server: String,
    /// Who acts, as TYPE:NAME such as agent:release-bot [default: what the client calls itself]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) executor: Option<Who>,
    /// For whom, as TYPE:NAME such as human:ann [default: the system's user]
    #[arg(long = "for", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) initiator: Option<Who>,
    /// How long a call waits for a human where policy asks for one, in seconds; clients give up by themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) wait: u32,
    /// The server's command
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// Options of `deed run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// What it does, such as deploy: `context.arguments.action` in policies, the operation in records
    #[arg(long, value_name = "NAME", value_parser = values::operation)]
    pub(crate) action: String,
    /// What it does it to, a URI such as deploy:prod/web
    #[arg(long, value_name = "URI", value_parser = values::resource)]
    pub(crate) resource: String,
    /// What it releases; it must not change until the command starts
    #[arg(long, value_name = "FILE")]
    pub(crate) artifact: Option<PathBuf>,
    /// Signature of the artifact, as `cosign sign-blob --key` or `openssl dgst -sha256 -sign` writes it
    #[arg(long, value_name = "FILE", requires = "artifact", requires = "signer")]
    pub(crate) signature: Option<PathBuf>,
    /// Public key that must have made it, in PEM: EC on P-256, or Ed25519
    #[arg(long, value_name = "PUBKEY.pem", requires = "signature")]
    pub(crate) signer: Option<PathBuf>,
    /// It undoes this action, as far as it succeeds
    #[arg(long, value_name = "ID", value_parser = values::record_id)]
    pub(crate) compensates: Option<RecordId>,
    /// Who runs it, as TYPE:NAME such as workload:ci [default: whoever the token is of, else the system's user]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who, conflicts_with_all = ["issuer", "audience", "id_token", "id_token_env"])]
    pub(crate) executor: Option<Who>,
    /// For whom, as TYPE:NAME such as human:ann [default: whom the token names, else the system's user]
    #[arg(long = "for", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) initiator: Option<Who>,
    /// How long to wait for a human where policy asks for one, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) wait: u32,
    /// Trace it is part of: a trace id or a traceparent [default: $TRACEPARENT]
    #[arg(long, value_name = "TRACE", value_parser = values::trace)]
    pub(crate) trace: Option<(TraceId, Option<SpanId>)>,
    /// Write the action's id there once it may run
    #[arg(long, value_name = "FILE")]
    pub(crate) id_file: Option<PathBuf>,
    /// Believe this issuer instead of those in deed.toml, such as https://token.actions.githubusercontent.com; not with
    /// --server
    #[arg(long, value_name = "URL", requires = "issuer_jwks")]
    pub(crate) issuer: Option<String>,
    /// Its public keys, a JWKS
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(crate) issuer_jwks: Option<PathBuf>,
    /// Whom the token is meant for; with it a token must be shown [default: the name of the store's log]
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<String>,
    /// Take the OIDC token from this file
    #[arg(long, value_name = "FILE", conflicts_with = "id_token_env")]
    pub(crate) id_token: Option<PathBuf>,
    /// Take the OIDC token from this variable [default: GitHub's token, else $DEED_ID_TOKEN]
    #[arg(long, value_name = "NAME")]
    pub(crate) id_token_env: Option<String>,
    /// The command
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// Options of `deed approve` and `deed refuse`.
#[derive(Debug, Args)]
pub(crate) struct Reply {
    /// Id of the action that waits
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
    /// Why; kept as a disclosure
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) reason: Option<String>,
    /// Who says so, as TYPE:NAME [default: the system's user]
    #[arg(long = "as", value_name = "human:NAME", value_parser = values::who)]
    pub(crate) by: Option<Who>,
}

/// Options of `deed suspend` and `deed resume`.
#[derive(Debug, Args)]
pub(crate) struct Suspend {
    /// A principal's key or alias; with --credential a credential's fingerprint, id or jti
    #[arg(value_name = "KEY-ALIAS-OR-CREDENTIAL", value_parser = values::text)]
    pub(crate) what: String,
    /// It is a credential
    #[arg(long)]
    pub(crate) credential: bool,
    /// Why; kept as a disclosure
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) reason: Option<String>,
    /// Who says so, as TYPE:NAME [default: the system's user]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) by: Option<Who>,
}
