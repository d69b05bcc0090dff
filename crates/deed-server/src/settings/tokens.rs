//! `[tokens]`, `[[issuer]]`, `[[agent]]`, `[[trust_domain]]`: the token service, and whom it believes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use deed_record::PrincipalType;
use deed_token::{
    Agent, Bundle, Details, KeySet, OidcIssuer, Policy, Scope, Trust, TrustDomain,
    policy::{Reach, Transactions},
    trust::{Ceiling, TenantOf},
};
use serde::Deserialize;
use toml::Spanned;

use super::{Wrong, within};
use crate::force::TENANT;

/// The token service of a server, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `iss` of every token, and where this server is reached: without a path, without a slash at its end.
    pub issuer: String,
    /// What is given at most.
    pub policy: Policy,
    /// How long one key signs.
    pub rotation: Duration,
    pub(crate) issuers: Vec<Configured<IssuerTable>>,
    pub(crate) agents: Vec<Configured<AgentTable>>,
    pub(crate) domains: Vec<Configured<DomainTable>>,
}

/// A table of the file, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configured<T> {
    pub(crate) line: usize,
    pub(crate) table: T,
}

/// Where public keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A file, its path as written: relative to the data directory.
    File(PathBuf),
    /// A URL.
    Url(String),
    /// `/.well-known/openid-configuration` of the issuer says where.
    Discovery,
    /// They stand in the settings: a JWKS.
    Here(String),
    /// There are none.
    None,
}

/// What the tables say, before it is looked at.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokensTable {
    issuer: Option<Spanned<String>>,
    targets: BTreeSet<String>,
    target: Vec<TargetTable>,
    longest_seconds: Option<Spanned<i64>>,
    longest_grant_seconds: Option<Spanned<i64>>,
    deepest: Option<Spanned<i64>>,
    require_proof: bool,
    rotate_days: Option<Spanned<i64>>,
    transaction_domain: Option<Spanned<String>>,
    transaction_seconds: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetTable {
    uri: String,
    tenants: BTreeSet<String>,
}

/// `[[issuer]]`: an OpenID provider whose tokens are believed.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerTable {
    pub(crate) url: String,
    #[serde(default)]
    audiences: BTreeSet<String>,
    jwks_uri: Option<Spanned<String>>,
    jwks_file: Option<PathBuf>,
    tenant: Option<String>,
    tenant_claim: Option<Spanned<String>>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    clients: Option<BTreeSet<String>>,
    #[serde(default)]
    bind_client: bool,
    #[serde(default)]
    trust_act: bool,
    #[serde(default = "yes")]
    honour_scope: bool,
    leeway_seconds: Option<i64>,
    longest_seconds: Option<i64>,
    scopes: Option<Spanned<Vec<String>>>,
    resources: Option<BTreeSet<String>>,
    details: Option<Spanned<String>>,
}

/// `[[agent]]`: an agent, or another program, that is known by name.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentTable {
    id: String,
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    tenant: Option<String>,
    key_file: Option<Spanned<PathBuf>>,
    jwk: Option<BTreeMap<String, String>>,
    #[serde(default)]
    spiffe: BTreeSet<String>,
    #[serde(default)]
    pub(crate) names: BTreeMap<String, String>,
    scopes: Option<Spanned<Vec<String>>>,
    resources: Option<BTreeSet<String>>,
    details: Option<Spanned<String>>,
}

/// `[[trust_domain]]`: a SPIFFE trust domain whose workloads are believed.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainTable {
    pub(crate) name: String,
    tenant: Option<String>,
    bundle_file: Option<PathBuf>,
    bundle_url: Option<Spanned<String>>,
    scopes: Option<Spanned<Vec<String>>>,
    resources: Option<BTreeSet<String>>,
    details: Option<Spanned<String>>,
}

const fn yes() -> bool {
    true
}

impl TokensTable {
    /// What all four tables say.
    pub(super) fn check(
        table: Option<Spanned<Self>>,
        issuers: Vec<Spanned<IssuerTable>>,
        agents: Vec<Spanned<AgentTable>>,
        domains: Vec<Spanned<DomainTable>>,
        line_of: &dyn Fn(usize) -> usize,
    ) -> Result<Option<TokenSettings>, Wrong> {
        let Some(table) = table else {
            let first = [
                issuers.first().map(|table| table.span().start),
                agents.first().map(|table| table.span().start),
                domains.first().map(|table| table.span().start),
            ];
            return match first.into_iter().flatten().min() {
                Some(at) => Err((at, "it is of no use without `[tokens]` and its `issuer`".to_owned())),
                None => Ok(None),
            };
        };
        let at = table.span().start;
        let table = table.into_inner();
        let issuer = table.issuer(at)?;
        let endpoint = format!("{issuer}/oauth/token");
        let mut trust = Trust::new(&issuer, &endpoint);
        let issuers = each(issuers, line_of, |table| {
            table.keys()?;
            let issuer = table.issuer(KeySet::default())?;
            trust.add_issuer(issuer).map_err(|error| (0, error.to_string()))
        })?;
        let agents = each(agents, line_of, |table| {
            table.keys()?;
            trust.add_agent(table.agent(KeySet::default())?).map_err(|error| (0, error.to_string()))
        })?;
        let domains = each(domains, line_of, |table| {
            table.bundle()?;
            trust.add_domain(table.domain(Bundle::default())?).map_err(|error| (0, error.to_string()))
        })?;
        let rotation = within(table.rotate_days.clone(), 1..=3650)?.unwrap_or(30);
        let rotation = Duration::from_secs(rotation * 86_400);
        let policy = table.policy()?;
        Ok(Some(TokenSettings { issuer, policy, rotation, issuers, agents, domains }))
    }

    fn issuer(&self, at: usize) -> Result<String, Wrong> {
        let expected = "expected the URL at which clients reach this server, such as `https://deed.example`: \
                        without a path, and `http` on a loopback address only";
        let Some(url) = &self.issuer else {
            return Err((at, format!("`issuer` is missing; {expected}")));
        };
        let has_no_path = url.get_ref().split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
        match has_no_path && is_url(url.get_ref()) {
            true => Ok(url.get_ref().clone()),
            false => Err((url.span().start, expected.to_owned())),
        }
    }

    fn policy(&self) -> Result<Policy, Wrong> {
        let default = Policy::default();
        let seconds = |value: &Option<Spanned<i64>>, most, default| {
            let value = within(value.clone(), 1..=most)?;
            Ok::<i64, Wrong>(value.and_then(|value| i64::try_from(value).ok()).unwrap_or(default))
        };
        let mut targets: BTreeMap<String, Reach> =
            self.targets.iter().map(|target| (target.clone(), Reach::All)).collect();
        for TargetTable { uri, tenants } in &self.target {
            targets.insert(uri.clone(), Reach::Tenants(tenants.clone()));
        }
        let longest = seconds(&self.transaction_seconds, 300, 60)?;
        let transactions = self
            .transaction_domain
            .as_ref()
            .map(|domain| Transactions { trust_domain: domain.get_ref().clone(), longest });
        if let (None, Some(seconds)) = (&transactions, &self.transaction_seconds) {
            return Err((
                seconds.span().start,
                "transaction tokens are turned on by `transaction_domain`".into(),
            ));
        }
        Ok(Policy {
            targets,
            longest: seconds(&self.longest_seconds, 3600, default.longest)?,
            longest_grant: seconds(&self.longest_grant_seconds, 86_400, default.longest_grant)?,
            deepest: within(self.deepest.clone(), 1..=16)?
                .and_then(|deepest| u8::try_from(deepest).ok())
                .unwrap_or(default.deepest),
            requires_proof: self.require_proof,
            transactions,
        })
    }
}

/// Checks each table; a fault without a place of its own is the table's.
fn each<T>(
    tables: Vec<Spanned<T>>,
    line_of: &dyn Fn(usize) -> usize,
    mut check: impl FnMut(&T) -> Result<(), Wrong>,
) -> Result<Vec<Configured<T>>, Wrong> {
    let mut checked = Vec::with_capacity(tables.len());
    for table in tables {
        let at = table.span().start;
        let table = table.into_inner();
        check(&table).map_err(|(inner, message)| (inner.max(at), message))?;
        checked.push(Configured { line: line_of(at), table });
    }
    Ok(checked)
}

impl IssuerTable {
    /// Where its keys come from.
    pub(crate) fn keys(&self) -> Result<KeySource, Wrong> {
        match (&self.jwks_uri, &self.jwks_file) {
            (Some(url), Some(_)) => Err((url.span().start, both("jwks_uri", "jwks_file"))),
            (Some(url), None) => checked_url(url),
            (None, Some(file)) => Ok(KeySource::File(file.clone())),
            (None, None) => Ok(KeySource::Discovery),
        }
    }

    /// The issuer, with those keys.
    pub(crate) fn issuer(&self, keys: KeySet) -> Result<OidcIssuer, Wrong> {
        let tenant = match (&self.tenant, &self.tenant_claim) {
            (Some(_), Some(claim)) => return Err((claim.span().start, both("tenant", "tenant_claim"))),
            (None, Some(claim)) => TenantOf::Claim(claim.get_ref().clone()),
            (tenant, None) => TenantOf::Fixed(tenant.clone().unwrap_or_else(|| TENANT.to_owned())),
        };
        let issuer = OidcIssuer::new(&self.url, "", tenant, keys);
        Ok(OidcIssuer {
            audiences: self.audiences.clone(),
            demands: self.claims.clone(),
            clients: self.clients.clone(),
            binds_client: self.bind_client,
            trusts_act: self.trust_act,
            honours_scope: self.honour_scope,
            leeway: self.leeway_seconds.unwrap_or(issuer.leeway),
            longest: self.longest_seconds.unwrap_or(issuer.longest),
            ceiling: ceiling(&self.scopes, &self.resources, &self.details)?,
            ..issuer
        })
    }
}

impl AgentTable {
    /// Where its keys come from.
    pub(crate) fn keys(&self) -> Result<KeySource, Wrong> {
        match (&self.key_file, &self.jwk) {
            (Some(file), Some(_)) => Err((file.span().start, both("key_file", "jwk"))),
            (Some(file), None) => Ok(KeySource::File(file.get_ref().clone())),
            (None, Some(jwk)) => {
                let jwks = serde_json::json!({ "keys": [jwk] }).to_string();
                let keys = KeySet::parse(&jwks).map_err(|error| (0, error.to_string()))?;
                match keys.left_out() {
                    [(_, error), ..] => Err((0, format!("`jwk`: {error}"))),
                    [] => Ok(KeySource::Here(jwks)),
                }
            }
            (None, None) => Ok(KeySource::None),
        }
    }

    /// The agent, with those keys.
    pub(crate) fn agent(&self, keys: KeySet) -> Result<Agent, Wrong> {
        let kind = match &self.kind {
            Some(kind) => kind.get_ref().parse::<PrincipalType>().map_err(|_| {
                let expected = "expected what it is, such as `agent`, `workload` or `service_account`";
                (kind.span().start, expected.to_owned())
            })?,
            None => PrincipalType::Agent,
        };
        let agent = Agent::new(&self.id, self.tenant.as_deref().unwrap_or(TENANT), keys);
        Ok(Agent {
            kind,
            spiffe: self.spiffe.clone(),
            names: self.names.clone(),
            ceiling: ceiling(&self.scopes, &self.resources, &self.details)?,
            ..agent
        })
    }
}

impl DomainTable {
    /// Where its bundle comes from.
    pub(crate) fn bundle(&self) -> Result<KeySource, Wrong> {
        match (&self.bundle_url, &self.bundle_file) {
            (Some(url), Some(_)) => Err((url.span().start, both("bundle_url", "bundle_file"))),
            (Some(url), None) => checked_url(url),
            (None, Some(file)) => Ok(KeySource::File(file.clone())),
            (None, None) => Err((0, "expected `bundle_file` or `bundle_url`".to_owned())),
        }
    }

    /// The trust domain, with that bundle.
    pub(crate) fn domain(&self, bundle: Bundle) -> Result<TrustDomain, Wrong> {
        Ok(TrustDomain {
            name: self.name.clone(),
            bundle,
            tenant: self.tenant.clone().unwrap_or_else(|| TENANT.to_owned()),
            ceiling: ceiling(&self.scopes, &self.resources, &self.details)?,
        })
    }
}

fn ceiling(
    scopes: &Option<Spanned<Vec<String>>>,
    resources: &Option<BTreeSet<String>>,
    details: &Option<Spanned<String>>,
) -> Result<Ceiling, Wrong> {
    let scope = scopes.as_ref().map(|scopes| {
        let scope = Scope::of(scopes.get_ref().iter().map(String::as_str));
        scope.ok_or_else(|| {
            (scopes.span().start, "expected at most 128 scopes, without spaces or quotes in one".into())
        })
    });
    let details = details.as_ref().map(|details| {
        Details::parse(details.get_ref()).map_err(|error| (details.span().start, error.to_string()))
    });
    Ok(Ceiling { scope: scope.transpose()?, audience: resources.clone(), details: details.transpose()? })
}

pub(super) fn both(one: &str, other: &str) -> String {
    format!("expected `{one}` or `{other}`, not both")
}

pub(super) fn checked_url(url: &Spanned<String>) -> Result<KeySource, Wrong> {
    match is_url(url.get_ref()) {
        true => Ok(KeySource::Url(url.get_ref().clone())),
        false => Err((url.span().start, "expected an https URL (http on a loopback address)".to_owned())),
    }
}

/// Whether keys may be fetched from there, and tokens be issued from there: what an issuer may be called.
pub(super) fn is_url(url: &str) -> bool {
    let issuer = OidcIssuer::new(url, "a", TenantOf::Fixed(TENANT.to_owned()), KeySet::default());
    Trust::new("", "").add_issuer(issuer).is_ok()
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    const TOKENS: &str = "[tokens]\nissuer = \"https://deed.example\"\n";

    #[test]
    fn reads_whom_it_believes() {
        let text = format!(
            "{TOKENS}targets = [\"https://tickets.example/mcp\"]\nlongest_seconds = 60\n\
             [[tokens.target]]\nuri = \"https://pay.example\"\ntenants = [\"acme\"]\n\
             [[issuer]]\nurl = \"https://idp.example\"\naudiences = [\"deed\"]\ntenant = \"acme\"\nscopes = [\"a\", \"b\"]\n\
             [[agent]]\nid = \"bot\"\ntenant = \"acme\"\n\
             jwk = {{ kty = \"OKP\", crv = \"Ed25519\", x = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\" }}\n\
             names = {{ \"https://idp.example\" = \"bot-client\" }}\n\
             [[trust_domain]]\nname = \"acme.example\"\nbundle_file = \"acme.json\"\n"
        );
        let settings = Settings::parse(&text).unwrap().token_service.unwrap();
        assert_eq!(settings.policy.longest, 60);
        assert!(settings.policy.reaches("other", "https://tickets.example/mcp"));
        assert!(settings.policy.reaches("acme", "https://pay.example"));
        assert!(!settings.policy.reaches("other", "https://pay.example"));
        assert_eq!(settings.issuers[0].line, 8);
        assert_eq!((settings.agents.len(), settings.domains.len()), (1, 1));
        assert_eq!(Settings::parse("").unwrap().token_service, None);
    }

    #[test]
    fn errors_name_the_line() {
        let issuer = "[[issuer]]\nurl = \"https://idp.example\"\naudiences = [\"deed\"]\n";
        for (text, line, says) in [
            ("\n[[agent]]\nid = \"a\"\n", 2, "[tokens]"),
            ("[tokens]\n", 1, "`issuer` is missing"),
            ("[tokens]\nissuer = \"http://deed.example\"\n", 2, "https://deed.example"),
            ("[tokens]\nissuer = \"https://deed.example/\"\n", 2, "without a path"),
            (&format!("{TOKENS}longest_seconds = 0\n"), 3, "expected 1 to 3600"),
            (&format!("{TOKENS}transaction_seconds = 5\n"), 3, "transaction_domain"),
            (&format!("{TOKENS}life = 5\n"), 3, "life"),
            (&format!("{TOKENS}{issuer}{issuer}"), 6, "twice"),
            (&format!("{TOKENS}[[issuer]]\nurl = \"https://idp.example\"\n"), 3, "at least one audience"),
            (&format!("{TOKENS}{issuer}tenant = \"a b\"\n"), 3, "tenant"),
            (&format!("{TOKENS}{issuer}scopes = [\"a b\"]\n"), 6, "without spaces"),
            (&format!("{TOKENS}{issuer}details = \"{{\"\n"), 6, "JSON array"),
            (&format!("{TOKENS}{issuer}jwks_uri = \"http://idp.example/keys\"\n"), 6, "https URL"),
            (
                &format!("{TOKENS}{issuer}jwks_file = \"a\"\njwks_uri = \"https://idp.example/keys\"\n"),
                7,
                "not both",
            ),
            (&format!("{TOKENS}[[agent]]\nid = \"a\"\ntype = \"human\"\n"), 3, "no human"),
            (&format!("{TOKENS}[[agent]]\nid = \"a\"\ntype = \"robot\"\n"), 5, "expected what it is"),
            (
                &format!("{TOKENS}[[agent]]\nid = \"a\"\njwk = {{ kty = \"oct\", k = \"c2VjcmV0\" }}\n"),
                3,
                "jwk",
            ),
            (&format!("{TOKENS}[[trust_domain]]\nname = \"acme.example\"\n"), 3, "bundle_file"),
        ] {
            let (found, message) = Settings::parse(text).unwrap_err();
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(says), "{text}: {message}");
            assert!(!message.contains("c2VjcmV0"), "{message}");
        }
    }
}
