//! The command line: every command, flag and help page. `docs/cli.md` says the same at length, and a
//! test holds the two against each other.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use deed_gateway::Who;
use deed_record::{RecordId, Ruling, SpanId, Status, Timestamp, TraceId};
use deed_review::{Severity, Threshold};
use deed_server::settings::Listener;

use crate::values::{self, SourceChoice};

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
  7  recorder unavailable: nothing was recorded, or nobody answers

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
            here, so that sending it again after a broken connection does not record it twice.",
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

/// Options of `deed demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave nothing running; this is what happens unless `--serve` is given
    #[arg(long, conflicts_with = "serve")]
    pub(crate) once: bool,
    /// Keep serving the store afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,
    /// Be the MCP server of the story: how the demo starts it
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) vendors: bool,
    /// Release a version of that server: what the demo has run
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) release: Option<String>,
}

/// Options of `deed serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the HTTP API listens [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) listen: Option<Listener>,
    /// Where OTLP over gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) otlp_grpc: Option<Listener>,
    /// Where OTLP over HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR", value_parser = values::listener)]
    pub(crate) otlp_http: Option<Listener>,
}

/// Options of `deed import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Which system wrote the logs; with --mapping the file says it, and this is the first PATH
    #[arg(value_name = "SOURCE", value_parser = values::SourceName)]
    pub(crate) source: SourceChoice,
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH", required_unless_present = "mapping")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read the logs of a system that Deed does not know, as this file says (docs/collectors.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// Correct what an older mapping made of the same events: a new record supersedes the earlier one
    #[arg(long)]
    pub(crate) again: bool,
    /// Go on with what is written to the files from now on, until Ctrl-C; one event a line
    #[arg(long, conflicts_with = "mapping")]
    pub(crate) follow: bool,
}

/// Options of `deed append`.
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// File with a JSON array of records, or one record a line; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `deed find`.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Part of this trace
    #[arg(long, value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) trace: Option<TraceId>,
    /// Asked for by them
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) initiator: Option<String>,
    /// Done by them
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) executor: Option<String>,
    /// They had a part in it, whichever
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// Done with this credential: its fingerprint or its issuer's own id
    #[arg(long, value_name = "NAME", value_parser = values::text)]
    pub(crate) credential: Option<String>,
    /// By calling this tool
    #[arg(long, value_name = "SERVER/NAME", value_parser = values::text)]
    pub(crate) tool: Option<String>,
    /// Done to this resource
    #[arg(long, value_name = "URI", value_parser = values::text)]
    pub(crate) resource: Option<String>,
    /// Decided like this
    #[arg(long, value_name = "EFFECT", value_parser = values::word(Ruling::ALL, Ruling::as_str))]
    pub(crate) effect: Option<String>,
    /// Ended like this
    #[arg(long, value_name = "STATUS", value_parser = values::word(Status::ALL, Status::as_str))]
    pub(crate) status: Option<String>,
    /// At or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// With this text in what was done, to what, in which session, task or environment
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) text: Option<String>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Options of `deed explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Id of any record of the action
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
    /// Show what came of the record instead: answers, grants, credentials, actions
    #[arg(long)]
    pub(crate) led_to: bool,
    /// Show the records behind each line
    #[arg(short, long, conflicts_with = "led_to")]
    pub(crate) verbose: bool,
}

/// Options of `deed trace`.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// W3C trace id: 32 hex digits
    #[arg(value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) id: TraceId,
    /// Show the record behind each step
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of `deed principal`.
#[derive(Debug, Args)]
pub(crate) struct Principal {
    /// Key, alias or account
    #[arg(value_name = "KEY-OR-ALIAS", value_parser = values::text)]
    pub(crate) key: String,
    /// With the reasons of suspensions; that they are read is recorded
    #[arg(long)]
    pub(crate) reasons: bool,
    /// Of this tenant [default: default]
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Show the records behind each line
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of `deed blast`.
#[derive(Debug, Args)]
pub(crate) struct Blast {
    /// Fingerprint, the source's own id such as an access key id, jti, or id of a record
    #[arg(value_name = "CREDENTIAL", value_parser = values::text)]
    pub(crate) credential: String,
    /// Of this tenant [default: default]
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// List at most so many actions of each sort [default: 20; with --json 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// What of findings.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Findings {
    #[command(subcommand)]
    pub(crate) does: Option<FindingsCommand>,
    #[command(flatten)]
    pub(crate) list: ListFindings,
}

/// What is done about rules.
#[derive(Debug, Subcommand)]
pub(crate) enum FindingsCommand {
    /// Leave findings out for a time
    #[command(
        help_template = PAGE,
        before_help = "Suppresses the findings of a rule for which all else holds that is said. Who did so, why and until when \
            is a sealed record. The findings leave lists, streams and counts until then; what is on record, and every \
            verdict, stays as it is.",
        after_help = "\
Examples:
  deed findings suppress long-lived-static-key --principal agent:ci --until 30d --reason \"Rotated by 1 December\"
  deed findings suppress bypass --resource 's3:staging-*' --until 2027-01-31 --reason \"Migration, CHG-88\" --as human:ann
  deed findings suppress self-approval --action 0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4 --until 7d --reason \"Drill\""
    )]
    Suppress(Suppress),
    /// End a suppression before its time
    Unsuppress(Unsuppress),
    /// List suppressions: by whom, until when, and how much each hides
    Suppressed(Suppressed),
    /// Show or set what counts as long, and as often
    #[command(
        help_template = PAGE,
        before_help = "Without options, what is in force and by which record. Setting is recorded, with who did so and why; \
            what is not named stays as it is.",
        after_help = "\
Examples:
  deed findings tune
  deed findings tune --static-key-days 180 --storm-tries 25 --reason \"As agreed with the auditors\"
  deed findings tune --reset static-key-days --reason \"Keys are rotated by the vault now\""
    )]
    Tune(Tune),
}

/// Options of `deed findings suppress`.
#[derive(Debug, Args)]
pub(crate) struct Suppress {
    /// The rule; `deed findings --rules` lists them
    #[arg(value_name = "RULE", value_parser = values::text)]
    pub(crate) rule: String,
    /// About them: a key or alias
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// About a credential: its fingerprint, or the issuer's id or jti
    #[arg(long, value_name = "CREDENTIAL", value_parser = values::text)]
    pub(crate) credential: Option<String>,
    /// About what was done to it; a URI that ends in `*` covers whatever begins as it does
    #[arg(long, value_name = "URI", value_parser = values::text)]
    pub(crate) resource: Option<String>,
    /// About this action; of a finding about an identity, the record that it shows
    #[arg(long, value_name = "ID", value_parser = values::record_id)]
    pub(crate) action: Option<RecordId>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) reason: String,
    /// Until when, a year at most: RFC 3339, a date, or `12h`, `30d`, `8w` from now
    #[arg(long, value_name = "TIME|DURATION", value_parser = values::coming)]
    pub(crate) until: Timestamp,
    /// Who grants it, as human:NAME [default: the system's user]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) by: Option<Who>,
    /// Of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}

/// Options of `deed findings unsuppress`.
#[derive(Debug, Args)]
pub(crate) struct Unsuppress {
    /// The suppression; `deed findings suppressed` lists them
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) reason: Option<String>,
    /// Who ends it, as human:NAME [default: the system's user]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) by: Option<Who>,
    /// Of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}

/// Options of `deed findings suppressed`.
#[derive(Debug, Args)]
pub(crate) struct Suppressed {
    /// With those that are over
    #[arg(long)]
    pub(crate) all: bool,
    /// With the reasons; that they are read is recorded
    #[arg(long)]
    pub(crate) reasons: bool,
    /// Of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}

/// Options of `deed findings tune`.
#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// Days that a privilege without an end may stand
    #[arg(long, value_name = "N", requires = "reason")]
    pub(crate) standing_days: Option<u32>,
    /// Days that a static key may be in use before it is made anew
    #[arg(long, value_name = "N", requires = "reason")]
    pub(crate) static_key_days: Option<u32>,
    /// Hours that a token may live
    #[arg(long, value_name = "N", requires = "reason")]
    pub(crate) token_hours: Option<u32>,
    /// Days without an act after which an identity is dormant
    #[arg(long, value_name = "N", requires = "reason")]
    pub(crate) dormant_days: Option<u32>,
    /// Tries in vain within ten minutes that make a storm
    #[arg(long, value_name = "N", requires = "reason")]
    pub(crate) storm_tries: Option<u32>,
    /// As it is by default
    #[arg(long, value_name = "NAME", requires = "reason", value_parser = values::word(Threshold::ALL, Threshold::as_str))]
    pub(crate) reset: Vec<String>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) reason: Option<String>,
    /// Who sets them, as human:NAME [default: the system's user]
    #[arg(long = "as", value_name = "TYPE:NAME", value_parser = values::who)]
    pub(crate) by: Option<Who>,
    /// Of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}

/// Options of `deed findings`.
#[derive(Debug, Args)]
pub(crate) struct ListFindings {
    /// By this rule
    #[arg(long, value_name = "RULE", value_parser = clap::builder::PossibleValuesParser::new(deed_review::every_rule().map(|rule| rule.name)))]
    pub(crate) rule: Option<String>,
    /// At least as grave
    #[arg(long, value_name = "SEVERITY", value_parser = values::word(Severity::ALL, Severity::as_str))]
    pub(crate) severity: Option<String>,
    /// About actions at or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// About actions before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// About them, or actions that they asked for or did
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Those that are suppressed, too
    #[arg(long)]
    pub(crate) suppressed: bool,
    /// Show every rule instead, what it means and what to do
    #[arg(long)]
    pub(crate) rules: bool,
}

/// How a report is written.
const REPORT_FORMATS: [&str; 3] = ["text", "json", "html"];

/// Options of `deed report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Which report
    #[arg(value_name = "NAME", value_parser = values::word(deed_review::report::ReportName::ALL, deed_review::report::ReportName::as_str))]
    pub(crate) name: String,
    /// How to write it
    #[arg(long, value_name = "FORMAT", value_parser = REPORT_FORMATS, default_value = "text", conflicts_with = "json")]
    pub(crate) format: String,
    /// Of what happened at or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Of what happened before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of this tenant; of all, unless one is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Compare controls before and after this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) change: Option<Timestamp>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) limit: u32,
    /// Write it to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Options of `deed patterns`.
#[derive(Debug, Args)]
pub(crate) struct Patterns {
    /// Actions at or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Actions before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of tasks in which they acted or asked
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// How rows are printed.
pub(crate) const FORMATS: [&str; 4] = ["table", "json", "csv", "parquet"];

/// Options of `deed sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The query; `-` reads it from standard input
    #[arg(value_name = "QUERY", value_parser = values::text)]
    pub(crate) query: String,
    /// How to print the rows
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS, default_value = "table", conflicts_with = "json")]
    pub(crate) format: String,
    /// Only rows of this tenant
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
}

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

/// Options of `deed policy`.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) does: PolicyCommand,
}

/// What is done with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Validate a folder of policies
    Check(PolicyFolder),
    /// Run the cases of a folder of policies
    Test(PolicyFolder),
    /// Put a folder of policies into force
    Publish(PolicyFolder),
    /// Derive a recorded decision again
    Replay(Replay),
}

/// Options of `deed policy replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Id of the record that holds the decision
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) id: RecordId,
}

/// A folder of policies.
#[derive(Debug, Args)]
pub(crate) struct PolicyFolder {
    /// Folder with `*.cedar`
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `deed inventory`.
#[derive(Debug, Args)]
pub(crate) struct Inventory {
    #[command(subcommand)]
    pub(crate) does: InventoryCommand,
}

/// What is done with an inventory.
#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Validate a file
    Check(InventoryFile),
    /// Print what is in force
    Show,
    /// Put a file into force
    Put(PutInventory),
}

/// The file of an inventory.
#[derive(Debug, Args)]
pub(crate) struct InventoryFile {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `deed inventory put`.
#[derive(Debug, Args)]
pub(crate) struct PutInventory {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only over the inventory of this digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) over: Option<String>,
}

/// Options of `deed verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A store, a folder of tiles, or the URL of a server [default: the data directory]
    #[arg(value_name = "DIR|URL")]
    pub(crate) target: Option<String>,
    /// Public keys that you got elsewhere: a vkey a line, or one vkey itself
    #[arg(long, value_name = "FILE")]
    pub(crate) vkey: Vec<String>,
    /// A checkpoint that you kept: the log must continue it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Vec<PathBuf>,
}

/// Options of `deed export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Ids of records whose actions are wanted
    #[arg(value_name = "ID", value_parser = values::record_id)]
    pub(crate) ids: Vec<RecordId>,
    /// Write events of this format: `ocsf`
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        required_unless_present = "tiles"
    )]
    pub(crate) format: Option<ExportFormat>,
    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Part of this trace
    #[arg(long, value_name = "TRACE_ID", value_parser = values::trace_id)]
    pub(crate) trace: Option<TraceId>,
    /// They had a part in it, whichever
    #[arg(long, value_name = "KEY", value_parser = values::text)]
    pub(crate) principal: Option<String>,
    /// At or after this time: RFC 3339, a date, or `90m`, `24h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub(crate) until: Option<Timestamp>,
    /// Of this tenant; names are those of `default` unless another is named
    #[arg(long, value_name = "TENANT", value_parser = values::text)]
    pub(crate) tenant: Option<String>,
    /// Findings alone
    #[arg(long)]
    pub(crate) findings: bool,
    /// With findings that are suppressed
    #[arg(long, requires = "format")]
    pub(crate) suppressed: bool,
    /// With what people and machines are called
    #[arg(long)]
    pub(crate) names: bool,
    /// Go on with what is recorded from now on
    #[arg(long, conflicts_with = "ids")]
    pub(crate) follow: bool,
    /// Write the log into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ids", "format", "output", "trace", "principal", "since",
        "until", "tenant", "findings", "names", "follow"])]
    pub(crate) tiles: Option<PathBuf>,
}

/// What `deed export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// Options of `deed completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}
