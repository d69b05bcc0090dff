//! Options of `deed token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Options of `deed token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) does: TokenCommand,
}

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Get a token for an agent; the answer is that of RFC 8693
    Exchange(Box<Exchange>),
    /// Revoke a token, and all that was made from it
    Revoke(RevokeToken),
}

/// Who asks.
#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The agent that asks, by its key such as `agent:coder`
    #[arg(long, value_name = "AGENT", requires = "key")]
    pub(crate) agent: Option<String>,
    /// Its private key: PKCS #8 in PEM, Ed25519 or P-256
    #[arg(long, value_name = "FILE", requires = "agent")]
    pub(crate) key: Option<PathBuf>,
    /// The JWT-SVID of the workload that asks, instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "agent")]
    pub(crate) svid: Option<PathBuf>,
}

/// Options of `deed token exchange`.
#[derive(Debug, Args)]
pub(crate) struct Exchange {
    /// File with the token of whoever it is for; `-` is standard input. Without it, the agent acts for itself
    #[arg(long, value_name = "FILE")]
    pub(crate) subject_token: Option<PathBuf>,
    /// That is an ID token, no access token
    #[arg(long, requires = "subject_token")]
    pub(crate) id_token: bool,
    #[command(flatten)]
    pub(crate) client: Client,
    /// Where the token may be shown: a URL, or an agent's key; may be repeated
    #[arg(long, value_name = "URI")]
    pub(crate) resource: Vec<String>,
    /// What it allows, words separated by spaces [default: all that may be]
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// What it allows besides: authorization details (RFC 9396), a JSON array
    #[arg(long, value_name = "JSON")]
    pub(crate) details: Option<String>,
    /// The agent that it may be handed to
    #[arg(long, value_name = "AGENT")]
    pub(crate) may_act: Option<String>,
    /// How often it may be handed on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) hops: Option<u8>,
    /// Seconds to live
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expires_in: Option<u32>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) task: Option<String>,
    /// Private key to bind the token to (DPoP), as for --key
    #[arg(long, value_name = "FILE")]
    pub(crate) dpop_key: Option<PathBuf>,
    /// A transaction token
    #[arg(long)]
    pub(crate) transaction: bool,
}

/// Options of `deed token revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeToken {
    /// File with the token; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) token: PathBuf,
    #[command(flatten)]
    pub(crate) client: Client,
}
