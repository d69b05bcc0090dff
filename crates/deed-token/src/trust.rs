//! Who is believed, and how far: issuers of people's tokens, SPIFFE trust domains, registered agents.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use deed_record::{PrincipalType, is_label};

use crate::{
    claims::MOST_LEEWAY,
    details::Details,
    jwk::Algorithm,
    jwks::{Bundle, KeySet},
    principal::{is_trust_domain, trust_domain},
    scope::Scope,
    text::is_name,
};

/// The most that may be passed on. `None` is no limit of this ceiling; other limits hold all the same.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ceiling {
    /// Scopes.
    pub scope: Option<Scope>,
    /// Audiences and resources, compared byte by byte.
    pub audience: Option<BTreeSet<String>>,
    /// Authorization details.
    pub details: Option<Details>,
}

/// Where the tenant of an issuer's tokens stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantOf {
    /// All are this tenant's.
    Fixed(String),
    /// The value of this claim is the tenant's name.
    Claim(String),
}

/// An OIDC issuer whose tokens are accepted as subjects.
#[derive(Clone, Debug)]
pub struct OidcIssuer {
    /// `iss`, compared byte by byte; `https`, or `http` on a loopback address.
    pub url: String,
    /// At least one of them must be in `aud`: the client ids or resource names that stand for Deed.
    pub audiences: BTreeSet<String>,
    /// Its keys.
    pub keys: KeySet,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Whose its subjects are.
    pub tenant: TenantOf,
    /// Claims that a token must have, with these values: where everybody can have tokens of an issuer, whose are meant.
    pub demands: BTreeMap<String, String>,
    /// Accepted `azp` or `client_id`; `None` is any.
    pub clients: Option<BTreeSet<String>>,
    /// Whether a token for a client can be exchanged only by the agent that is known to the issuer under
    /// that name ([`Agent::names`]).
    pub binds_client: bool,
    /// Whether the issuer says truly who acts: its `act` becomes part of the chain. Otherwise it is
    /// carried as claimed.
    pub trusts_act: bool,
    /// Whether the `scope` of its tokens limits what is issued. Where its scopes are about something
    /// else (`openid profile`), [`Ceiling::scope`] alone does.
    pub honours_scope: bool,
    /// Seconds by which its clock may be ahead, at most 60; `exp` has none.
    pub leeway: i64,
    /// Longest life of its tokens from now on that is accepted, in seconds.
    pub longest: i64,
    /// What its subjects may pass on at most.
    pub ceiling: Ceiling,
}

impl OidcIssuer {
    /// An issuer with the strictest of everything that has a default: no scope unless its tokens have it.
    pub fn new(url: &str, audience: &str, tenant: TenantOf, keys: KeySet) -> Self {
        OidcIssuer {
            url: url.to_owned(),
            audiences: BTreeSet::from([audience.to_owned()]),
            keys,
            algorithms: Algorithm::ALL.to_vec(),
            tenant,
            demands: BTreeMap::new(),
            clients: None,
            binds_client: false,
            trusts_act: false,
            honours_scope: true,
            leeway: 0,
            longest: 86_400,
            ceiling: Ceiling::default(),
        }
    }
}

/// A SPIFFE trust domain whose JWT-SVIDs are accepted as actors.
#[derive(Clone, Debug)]
pub struct TrustDomain {
    /// Its name, such as `acme.example`.
    pub name: String,
    /// Its keys.
    pub bundle: Bundle,
    /// Whose its workloads are.
    pub tenant: String,
    /// What its workloads may be given at most.
    pub ceiling: Ceiling,
}

/// An agent, or another program, that is known by name.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name; its key is TYPE `:` ID.
    pub id: String,
    /// What it is: anything but a human.
    pub kind: PrincipalType,
    /// Whose.
    pub tenant: String,
    /// Public keys it signs client assertions with (RFC 7523). May be empty.
    pub keys: KeySet,
    /// SPIFFE IDs that are this agent.
    pub spiffe: BTreeSet<String>,
    /// Its client ids or subjects at issuers, by the issuer's URL.
    pub names: BTreeMap<String, String>,
    /// What it may be given at most.
    pub ceiling: Ceiling,
}

impl Agent {
    /// An agent with keys of its own and no ceiling.
    pub fn new(id: &str, tenant: &str, keys: KeySet) -> Self {
        Agent {
            id: id.to_owned(),
            kind: PrincipalType::Agent,
            tenant: tenant.to_owned(),
            keys,
            spiffe: BTreeSet::new(),
            names: BTreeMap::new(),
            ceiling: Ceiling::default(),
        }
    }

    /// What it is known by: [`crate::Principal::key`].
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind, self.id)
    }
}

/// Why somebody cannot be trusted as configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrustError {
    /// The URL of an issuer.
    #[error("issuer `{0}`: expected an https URL without query and fragment (http on loopback)")]
    IssuerUrl(String),
    /// Deed's own tokens are told from others' by their issuer.
    #[error("issuer `{0}` is this service itself")]
    Itself(String),
    /// Nothing would be accepted, or anything.
    #[error("issuer `{0}`: name at least one audience that stands for Deed, and none empty")]
    Audience(String),
    /// A bound is out of range.
    #[error("issuer `{0}`: expected a leeway of 0 to 60 s and a longest life of at least 1 s")]
    Times(String),
    /// The name of a tenant.
    #[error("tenant of `{0}`: expected 1 to 64 letters, digits, `-`, `_` or `.`, the first no `.`")]
    Tenant(String),
    /// The name of a trust domain.
    #[error("trust domain `{0}`: expected lower-case letters, digits, `-`, `_` or `.`")]
    Domain(String),
    /// The name or type of an agent.
    #[error("agent `{0}`: expected a name of 1 to 64 letters, digits, `-`, `_` or `.`, and no human")]
    Agent(String),
    /// A SPIFFE ID of an agent.
    #[error("agent `{agent}`: `{id}` is no SPIFFE ID of a workload")]
    SpiffeId {
        /// The agent.
        agent: String,
        /// What was given.
        id: String,
    },
    /// Two things of one name.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Keys for somebody who is not there.
    #[error("`{0}` is not configured")]
    Unknown(String),
}

/// Everybody who is believed.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(crate) service: String,
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) issuers: HashMap<String, Arc<OidcIssuer>>,
    pub(crate) domains: HashMap<String, Arc<TrustDomain>>,
    pub(crate) agents: HashMap<String, Arc<Agent>>,
    pub(crate) by_spiffe: HashMap<String, Arc<Agent>>,
}

impl Trust {
    /// Nobody yet. `service` is the issuer URL of this token service, `token_endpoint` where it is asked:
    /// what actors' tokens must be meant for, either of the two.
    pub fn new(service: &str, token_endpoint: &str) -> Self {
        Trust {
            service: service.to_owned(),
            audiences: BTreeSet::from([service.to_owned(), token_endpoint.to_owned()]),
            issuers: HashMap::new(),
            domains: HashMap::new(),
            agents: HashMap::new(),
            by_spiffe: HashMap::new(),
        }
    }

    /// Believes an issuer.
    ///
    /// # Errors
    /// It is malformed, there already, or this service itself.
    pub fn add_issuer(&mut self, issuer: OidcIssuer) -> Result<(), TrustError> {
        let url = issuer.url.clone();
        if url == self.service {
            return Err(TrustError::Itself(url));
        }
        if !is_issuer_url(&url) {
            return Err(TrustError::IssuerUrl(url));
        }
        if issuer.audiences.is_empty() || !issuer.audiences.iter().all(|aud| is_name(aud)) {
            return Err(TrustError::Audience(url));
        }
        if !(0..=MOST_LEEWAY).contains(&issuer.leeway) || issuer.longest < 1 {
            return Err(TrustError::Times(url));
        }
        match &issuer.tenant {
            TenantOf::Fixed(tenant) if !is_label(tenant) => return Err(TrustError::Tenant(url)),
            _ => {}
        }
        insert(&mut self.issuers, url, issuer)
    }

    /// Believes a trust domain.
    ///
    /// # Errors
    /// It is malformed, or there already (SPIFFE bundle maps have no domain twice).
    pub fn add_domain(&mut self, domain: TrustDomain) -> Result<(), TrustError> {
        let name = domain.name.clone();
        if !is_trust_domain(&name) {
            return Err(TrustError::Domain(name));
        }
        if !is_label(&domain.tenant) {
            return Err(TrustError::Tenant(name));
        }
        insert(&mut self.domains, name, domain)
    }

    /// Believes an agent.
    ///
    /// # Errors
    /// It is malformed, or it or one of its SPIFFE IDs is there already.
    pub fn add_agent(&mut self, agent: Agent) -> Result<(), TrustError> {
        let key = agent.key();
        let kinds = [PrincipalType::Human, PrincipalType::Unknown];
        if !is_label(&agent.id) || kinds.contains(&agent.kind) {
            return Err(TrustError::Agent(agent.id));
        }
        if !is_label(&agent.tenant) {
            return Err(TrustError::Tenant(key));
        }
        if let Some(id) = agent.spiffe.iter().find(|id| trust_domain(id).is_none()) {
            return Err(TrustError::SpiffeId { agent: key, id: id.clone() });
        }
        if let Some(id) = agent.spiffe.iter().find(|id| self.by_spiffe.contains_key(*id)) {
            return Err(TrustError::Twice(id.clone()));
        }
        let spiffe = agent.spiffe.clone();
        insert(&mut self.agents, key.clone(), agent)?;
        let agent = &self.agents[&key];
        self.by_spiffe.extend(spiffe.into_iter().map(|id| (id, agent.clone())));
        Ok(())
    }

    /// The same trust in one issuer alone, for tokens that were issued for `resource` instead of for Deed:
    /// what a resource asks (RFC 9068, section 4). `None` if the issuer is not believed.
    pub fn at_resource(&self, issuer: &str, resource: &str) -> Option<Self> {
        let known = OidcIssuer::clone(self.issuers.get(issuer)?);
        let audiences = BTreeSet::from([resource.to_owned()]);
        let issuer = Arc::new(OidcIssuer { audiences: audiences.clone(), ..known });
        let issuers = HashMap::from([(issuer.url.clone(), issuer)]);
        let (domains, agents, by_spiffe) = (HashMap::new(), HashMap::new(), HashMap::new());
        Some(Trust { service: self.service.clone(), audiences, issuers, domains, agents, by_spiffe })
    }

    /// The keys of an issuer have changed.
    ///
    /// # Errors
    /// It is not configured.
    pub fn set_keys(&mut self, issuer: &str, keys: KeySet) -> Result<(), TrustError> {
        let known = self.issuers.get_mut(issuer).ok_or_else(|| TrustError::Unknown(issuer.to_owned()))?;
        Arc::make_mut(known).keys = keys;
        Ok(())
    }

    /// The bundle of a trust domain has changed. An empty one revokes all.
    ///
    /// # Errors
    /// It is not configured.
    pub fn set_bundle(&mut self, domain: &str, bundle: Bundle) -> Result<(), TrustError> {
        let known = self.domains.get_mut(domain).ok_or_else(|| TrustError::Unknown(domain.to_owned()))?;
        Arc::make_mut(known).bundle = bundle;
        Ok(())
    }
}

fn insert<T>(map: &mut HashMap<String, Arc<T>>, name: String, value: T) -> Result<(), TrustError> {
    if map.contains_key(&name) {
        return Err(TrustError::Twice(name));
    }
    map.insert(name, Arc::new(value));
    Ok(())
}

/// OpenID Connect Core, section 2, `iss`.
fn is_issuer_url(url: &str) -> bool {
    let host = |rest: &str| rest.split(['/', ':']).next().unwrap_or_default().to_owned();
    let is_loopback =
        |rest: &str| matches!(host(rest).as_str(), "localhost" | "127.0.0.1") || rest.starts_with("[::1]");
    let fits = is_name(url) && url.len() <= 512 && !url.contains(['?', '#', '@', '\\']);
    let https = url.strip_prefix("https://").is_some_and(|rest| !host(rest).is_empty());
    fits && (https || url.strip_prefix("http://").is_some_and(is_loopback))
}
