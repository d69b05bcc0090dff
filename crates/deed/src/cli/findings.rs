//! Options of `deed findings`.

use clap::{Args, Subcommand};
use deed_gateway::Who;
use deed_record::{RecordId, Timestamp};
use deed_review::{Severity, Threshold};

use super::PAGE;
use crate::values;

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
