//! The command line: every command, flag and help page. `docs/cli.md` says the same at length, and a
//! test holds the two against each other.

mod ask;
mod enforce;
mod findings;
mod intake;
mod policy;
mod proof;
mod token;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};

pub(crate) use self::{
    ask::{Blast, Explain, Find, Patterns, Principal, Report, Sql, Trace},
    enforce::{Mcp, Reply, Run, Suspend},
    findings::{Findings, FindingsCommand, ListFindings, Suppress, Suppressed, Tune, Unsuppress},
    intake::{Append, Demo, Import, Serve},
    policy::{
        Inventory, InventoryCommand, InventoryFile, Policy, PolicyCommand, PolicyFolder, PutInventory, Replay,
    },
    proof::{Completions, Export, Verify},
    token::{Client, Exchange, RevokeToken, Token, TokenCommand},
};

/// Sealed records of what agents and other non-human identities did
#[derive(Debug, Parser)]
#[command(
    name = "deed",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    help_template = PAGE,
    before_help = "Deed keeps one record of every action of an AI agent, service account or workload: who asked, \
        who acted, by what right, what was decided, what happened. Records are sealed into a log that only grows, \
        so that anyone can check that none was altered, removed or back-dated.",
    after_help = "\
Exit codes:
  0  done; verified
  1  failed: the message says what and what to do
  2  wrong usage
  3  not found
  4  violated: evidence was checked and is wrong
  5  unverified: evidence could not be checked, something is missing
  6  denied: policy or an approver says no
  7  recorder unavailable, or nobody answers: nothing was let through

Begin with `deed demo`, then try your own logs: `deed import auto PATH`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every page of help: what it is, what is good to know, how it is written, examples.
const PAGE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Data directory [default: $DEED_DATA, else $XDG_DATA_HOME/deed]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A running server instead, https://HOST or http://HOST:PORT, with the token in $DEED_TOKEN [default: $DEED_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Answer in JSON: one document, or one a line where a list can be long
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a whole story on a fresh store, with real parts
    #[command(
        help_template = PAGE,
        before_help = "A real agent's traces come in over OTLP and a real CloudTrail file is imported; then a service \
            account asks for database access, gets a scoped role and uses it, and one thing does not add up. Then \
            agents with tokens call an MCP server through Deed: what they may not see or do is refused, what needs \
            a human waits for one, and while nothing can be recorded nothing is done. The answer to \"who did this, \
            and were they allowed to\" is asked of the store and printed, the store is verified, and a byte is \
            flipped in a copy to see that it is caught.",
        after_help = "\
Examples:
  deed demo                          # in a folder of its own beside your data directory
  deed demo --data /tmp/deed-demo    # in a folder that you choose, which must be empty or new
  deed demo --serve                  # keep serving it afterwards"
    )]
    Demo(Demo),

    /// Run the server
    #[command(
        help_template = PAGE,
        before_help = "Serves the HTTP API, the log's tiles and checkpoint, health and metrics on one address, and receives \
            OTLP over gRPC and HTTP on two more. An address is HOST:PORT; `off` closes that door. What listens \
            elsewhere than on this machine asks everyone for a token.",
        after_help = "\
Examples:
  deed serve
  deed serve --listen 0.0.0.0:7400 --otlp-grpc off --data /var/lib/deed
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 python my_agent.py"
    )]
    Serve(Serve),

    /// Read other systems' logs
    #[command(
        help_template = PAGE,
        before_help = "Reads files, folders with everything below them, gzip and standard input (`-`). What was imported \
            before is found again and adds nothing, so that importing a folder twice is harmless. An event that \
            cannot be read is named with its file and line and keeps no other out. Names that are no logs \
            (digests, licences, pictures) are passed over and named.",
        after_help = "\
Examples:
  deed import auto ~/logs                              # guess what each file is
  deed import cloudtrail s3-sync/AWSLogs
  zcat trail.json.gz | deed import cloudtrail -
  deed import otlp traces.pb
  deed import cloudtrail logs --json | jq .rejected    # what was not taken, and why
  deed import --mapping pam.toml sessions.csv          # a system that Deed does not know

Exit code 0 unless nothing at all was accepted."
    )]
    Import(Import),

    /// Append records in Deed's own JSON
    #[command(
        help_template = PAGE,
        before_help = "Reads a JSON array or one record a line; `-` is standard input. All of a file is looked through \
            before any of it is sent: one bad record, and nothing is recorded. A record without an `id` gets one \
            here. Where it ends before everything is known to be recorded, it says with which `--retry` the file is \
            sent again, which records nothing twice.",
        after_help = "\
Examples:
  deed append records.json
  echo '{ \"kind\": \"task\", \"time\": \"2026-11-20T10:00:00Z\",
    \"executor\": { \"type\": \"agent\", \"key\": \"agent:triage\" } }' |
    deed append -

`deed schema` prints what a record may hold. Files that do not fit into memory: deed import deed FILE"
    )]
    Append(Append),

    /// List actions
    #[command(
        help_template = PAGE,
        before_help = "Newest first. Filters are joined by `and`; people, credentials and resources are named as their \
            systems name them.",
        after_help = "\
Examples:
  deed find --since 24h
  deed find --executor aws:arn:aws:iam::111122223333:role/release --status failure
  deed find --credential ASIAXXXXXXXXXXXXXXXX --json | jq -r .id
  deed find --tool tickets/create --since 2026-11-01 --until 2026-12-01"
    )]
    Find(Find),

    /// Explain one action: who asked, who acted, by what right, what happened
    #[command(
        help_template = PAGE,
        before_help = "Takes the id of any record of the action. Each link of the chain says how it is known: proven, \
            corroborated, asserted, inferred or missing.",
        after_help = "\
Examples:
  deed explain 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4
  deed explain -v 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4    # with the records behind each line
  deed explain 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4 --json | jq .verdict"
    )]
    Explain(Explain),

    /// Show every step of a trace, as a tree
    #[command(
        help_template = PAGE,
        before_help = "Steps stand below the one they are part of, in the order of time; what the trace lacks (an action \
            without an outcome, a step around it that was never recorded) is listed below.",
        after_help = "\
Examples:
  deed trace 4bf92f3577b34da6a3ce929d0e0e4736"
    )]
    Trace(Trace),

    /// Show who somebody is: accounts, credentials, grants, actions
    #[command(
        help_template = PAGE,
        before_help = "Takes a key or alias of the inventory, a name as any system has it, or an account as sealed. Accounts \
            that are the same principal are put together, each with how that is known: declared by the inventory, \
            proven by a credential that Deed issued or verified, or learned from other systems' logs. What cannot \
            be resolved is listed.",
        after_help = "\
Examples:
  deed principal agent:release-bot
  deed principal aws:arn:aws:iam::111122223333:role/release
  deed principal release-bot --json | jq '.credentials[] | select(.state == \"active\")'"
    )]
    Principal(Principal),

    /// Show everything that one credential led to
    #[command(
        help_template = PAGE,
        before_help = "Follows what was done with the credential, the credentials that were issued with it and those derived from \
            them, and the principals that were made with it, across systems. Counts come first, then what to revoke \
            now, what was touched most, what was changed in authority, and every action in the order of time.",
        after_help = "\
Examples:
  deed blast AKIAXXXXXXXXXXXXXXXX
  deed blast sha256:3f2a91c4e0d75b68… --limit 200
  deed blast 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4 --json | jq '.revoke[].name'    # the credential of a record"
    )]
    Blast(Blast),

    /// List what deserves a look
    #[command(
        help_template = PAGE,
        before_help = "Each finding says by which rule, about which action or identity, why, and which controls it bears on. \
            Findings follow from the records, the inventory and the time, whatever the order of records: history \
            that is imported late changes them.",
        after_help = "\
Examples:
  deed findings --severity high --since 24h
  deed findings --principal agent:release-bot --rule used-after-revocation
  deed findings --rules    # every rule, what it means and what to do
  deed findings suppress long-lived-static-key --principal agent:ci --until 30d --reason \"Rotated by 1 December\"
  deed findings --json --limit 10000 | jq -r .rule | sort | uniq -c"
    )]
    Findings(Findings),

    /// Make a report: visibility, third parties, agents, controls
    #[command(
        help_template = PAGE,
        before_help = "Answers a question about everything that is on record, for whoever has to judge or to prove it. \
            A report says what it was made from and what it does not know; its parts add up. HTML is one file that needs \
            nothing from elsewhere, to be kept, printed or handed on.",
        after_help = "\
Examples:
  deed report visibility
  deed report agents --since 30d --format html -o agents.html
  deed report controls --change 2026-11-01T10:00:00Z    # before and after a change
  deed report third-party --json | jq '.parties[] | select(.outside > 0)'"
    )]
    Report(Report),
    /// List what is done over and over, and what is unlike it
    #[command(
        help_template = PAGE,
        before_help = "Tasks of the same principals that do the same things to the same sorts of resources are one pattern: how often, \
            when first and last, how they ended, and the odd ones.",
        after_help = "\
Examples:
  deed patterns --since 7d
  deed patterns --principal agent:release-bot
  deed patterns --json --limit 1000 | jq 'select(.rare or .odd_total > 0)'"
    )]
    Patterns(Patterns),

    /// Ask in SQL, read-only
    #[command(
        help_template = PAGE,
        before_help = "Tables: `records`, one row for each sealed record; `actions`, with intent and outcome joined; \
            `credentials`, `grants`, `approvals`, `delegations`. Identities in them are accounts as sealed.",
        after_help = "\
Examples:
  deed sql 'SELECT operation, count(*) FROM actions GROUP BY 1 ORDER BY 2 DESC LIMIT 10'
  deed sql --format csv 'SELECT time, operation, outcome_status FROM actions' > actions.csv
  deed sql --format parquet 'SELECT * FROM records' > records.parquet
  deed sql - < query.sql"
    )]
    Sql(Sql),

    /// Wrap an MCP server, so that every call is decided on and recorded first
    #[command(
        help_template = PAGE,
        before_help = "Stands between an MCP client and a server that speaks over standard input and output. Each request \
            is decided on by the policy in force and durably recorded before the server hears of it; what cannot be \
            recorded is not done, and the client is told why. To use it, put it before the server's command in the \
            client's configuration.",
        after_help = "\
Examples:
  deed mcp --server files -- npx -y @modelcontextprotocol/server-filesystem /srv/files
  deed mcp --server files --as agent:release-bot --for human:ann -- ./server

In a client's configuration:
  \"command\": \"deed\", \"args\": [\"mcp\", \"--server\", \"files\", \"--\", \"npx\", \"-y\", \"…\"]

Ends as the server ends."
    )]
    Mcp(Mcp),

    /// Run a command once it is decided on and recorded, and record how it ended
    #[command(
        help_template = PAGE,
        before_help = "For deployments and other jobs. Who runs it, the command line, what it releases and whether that is \
            signed are decided on by the policy in force and durably recorded; only then the command starts, with \
            the standard streams of this one. Where policy asks for a human, it waits. Signals are passed on, and \
            how it ended is recorded. With --server all that is the server's, and nothing is kept on this machine.",
        after_help = "\
Examples:
  deed run --action deploy --resource deploy:prod/web -- ./deploy.sh
  deed run --action deploy --resource deploy:prod/web --artifact web.tar \\
    --signature web.tar.sig --signer release.pem -- kubectl apply -f web.yaml
  deed run --action rollback --resource deploy:prod/web --compensates ID -- ./rollback.sh
  deed run --server https://deed.example --audience deed-prod \\
    --action deploy --resource deploy:prod/web -- ./deploy.sh

Exit code: the command's own once it was let run, 128 and the signal's number if that ended it. Not
started: 6 denied or refused, 7 recorder unavailable. The command finds the action's id in
$DEED_ACTION_ID, and its trace in $TRACEPARENT."
    )]
    Run(Run),

    /// List what waits for a human's approval
    #[command(
        help_template = PAGE,
        before_help = "A policy with `@effect(\"step_up\")` lets an action wait for a human. Each is listed with who asked, who \
            would act, and the arguments that an approval is bound to.",
        after_help = "\
Examples:
  deed approvals
  deed approvals --json | jq '.approvals[].id'"
    )]
    Approvals,

    /// Approve an action that waits
    #[command(
        help_template = PAGE,
        before_help = "The approval is for this one action with these very arguments, once, and in time. Whoever asked for it or \
            would execute it cannot give it, unless the policy says so. It is recorded before it counts.",
        after_help = "\
Examples:
  deed approve 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4 --reason 'change CHG-12' --as human:bob

Exit code 6 if it is not yours to approve."
    )]
    Approve(Reply),

    /// Refuse an action that waits
    #[command(
        help_template = PAGE,
        after_help = "\
Examples:
  deed refuse 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4 --reason 'not during the freeze'"
    )]
    Refuse(Reply),

    /// Stop a principal or a credential wherever Deed enforces
    #[command(
        help_template = PAGE,
        before_help = "Takes effect with the next call, at every door on this store; what was let through already goes on. A \
            principal of the inventory is stopped under all its names, a credential with what was derived from it.",
        after_help = "\
Examples:
  deed suspend agent:release-bot --reason 'incident 77'
  deed suspend --credential AKIAXXXXXXXXXXXXXXXX --reason 'leaked'"
    )]
    Suspend(Suspend),

    /// End a suspension
    #[command(
        help_template = PAGE,
        after_help = "\
Examples:
  deed resume agent:release-bot --reason 'cleared'"
    )]
    Resume(Suspend),

    /// Exchange and revoke delegated credentials
    #[command(
        help_template = PAGE,
        before_help = "An agent shows who it is and for whom it acts, and gets a short-lived token that says both \
            (RFC 8693) and can only narrow when it is handed on. What may be asked for is in `deed.toml`; each token \
            that is issued, renewed, refused or revoked is a record.",
        after_help = "\
Examples:
  deed token exchange --subject-token ann.jwt --agent agent:coder --key coder.pem \\
    --resource https://deed.example/mcp/tickets --scope tickets:read
  deed token exchange --subject-token handed.jwt --agent agent:reviewer --key reviewer.pem
  deed token revoke handed.jwt"
    )]
    Token(Token),

    /// Check, test and publish policies
    #[command(
        help_template = PAGE,
        before_help = "Policies are written in Cedar, in a folder: `*.cedar`, with `schema.cedarschema` and `cases/*.json` \
            beside them. Publishing a folder puts it into force at once, everywhere Deed enforces on this store, and \
            is itself a record. With nothing published everything is allowed and recorded.",
        after_help = "\
Examples:
  deed policy check policies
  deed policy test policies
  deed policy publish policies
  deed policy replay 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4"
    )]
    Policy(Policy),

    /// Check, show and put into force who and what is declared
    #[command(
        help_template = PAGE,
        before_help = "The inventory is `inventory.toml` in the data directory: principals with all their names, resources, sources. \
            Each change is recorded before it is made.",
        after_help = "\
Examples:
  deed inventory check inventory.toml
  deed inventory show > inventory.toml
  deed inventory put inventory.toml"
    )]
    Inventory(Inventory),

    /// Verify a store, a folder of tiles or a server's log
    #[command(
        help_template = PAGE,
        before_help = "Of a store everything: each record hashed from its exact bytes, the tree above it, signatures, every \
            checkpoint that was ever kept, disclosures against their digests, derived rows against the sealed \
            bytes, and every file accounted for. Of tiles (C2SP tlog-tiles) the log itself. Without a key or \
            checkpoint that was kept elsewhere the answer is about self-consistency only.",
        after_help = "\
Examples:
  deed verify
  deed verify --since checkpoint-of-last-month --vkey deed.vkey
  deed verify backup/deed
  deed verify public/log
  deed verify http://127.0.0.1:7400

Exit code 0 verified, 4 violated: something is wrong, 5 unverified: something is missing."
    )]
    Verify(Verify),

    /// Throw away what is derived and derive it again
    #[command(
        help_template = PAGE,
        before_help = "The look-up index and the rows that SQL reads are derived from the sealed records. This derives \
            them again, compares them with what was there, and says whether that was the same. Nothing that is \
            sealed is touched, and questions are answered meanwhile.",
        after_help = "\
Examples:
  deed rebuild
  deed rebuild --json | jq .same"
    )]
    Rebuild,

    /// Print the public keys of the log
    #[command(
        help_template = PAGE,
        before_help = "Keep them elsewhere: `deed verify --vkey FILE` then notices a log that somebody made anew.",
        after_help = "\
Examples:
  deed keys > deed.vkey
  deed keys --json | jq .jwks"
    )]
    Keys,

    /// Print the JSON Schema of a record
    #[command(
        help_template = PAGE,
        after_help = "\
Examples:
  deed schema > record.schema.json"
    )]
    Schema,

    /// Look at the health of the store, its keys, the clock and the disk
    #[command(
        help_template = PAGE,
        after_help = "\
Examples:
  deed doctor
  deed doctor --server http://127.0.0.1:7400

Exit code 0 if all is well, 1 if something needs attention."
    )]
    Doctor,

    /// Write actions and findings out for a SIEM, or the log for others to verify
    #[command(
        help_template = PAGE,
        before_help = "With --format ocsf writes OCSF 1.8 events, one a line, oldest first: each action, each change of \
            authority and each finding, of the actions named or of a selection. People and machines are accounts \
            as sealed, unless --names is given. OCSF is the only format so far.\n\n\
            With --tiles writes a static log (C2SP tlog-tiles): `checkpoint` and `tile/`. It can be served by any web server \
            and verified by any tlog client, or by `deed verify` and `deed-verify`. Writing into the same folder \
            again brings it up to date; the checkpoint is replaced last, so that the folder is whole at any \
            moment. Payloads are not part of it.",
        after_help = "\
Examples:
  deed export --format ocsf --since 24h -o events.ndjson
  deed export --format ocsf --findings --follow
  deed export --tiles public/log
  deed verify public/log"
    )]
    Export(Export),

    /// Print completions for a shell
    #[command(
        help_template = PAGE,
        after_help = "\
Examples:
  deed completions bash > ~/.local/share/bash-completion/completions/deed"
    )]
    Completions(Completions),
}

impl Cli {
    /// Reads the command line, or says what is wrong with it.
    pub(crate) fn read() -> Self {
        let cli = Cli::parse();
        // `deed mcp` calls something else its server.
        let is_both = cli.global.data.is_some() && cli.global.server.is_some();
        if is_both && !matches!(cli.command, Command::Mcp(_)) {
            let why = "the argument '--data <DIR>' cannot be used with '--server <URL>'";
            Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
        }
        cli
    }
}
