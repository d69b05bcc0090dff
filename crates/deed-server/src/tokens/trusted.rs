//! Whom the service believes, with keys as they are now: of issuers and trust domains they are fetched, kept
//! for a while, and fetched again when one is missing.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use deed_gateway::Who;
use deed_token::{Bundle, KeySet, Trust};

use super::{TokensError, peek::Peeked, pem};
use crate::{
    fetch::{Fetcher, Kept},
    settings::{Configured, KeySource, TokenSettings},
};

/// Everybody who is believed.
pub(super) struct Trusted {
    trust: RwLock<Arc<Trust>>,
    sources: HashMap<Name, Source>,
    /// Agents by what an issuer calls them.
    clients: HashMap<(String, String), Who>,
    fetcher: Fetcher,
    dir: PathBuf,
}

/// Whose keys.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Name {
    Issuer(String),
    Domain(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Issuer(url) => write!(f, "the keys of issuer `{url}`"),
            Name::Domain(domain) => write!(f, "the bundle of trust domain `{domain}`"),
        }
    }
}

struct Source {
    from: KeySource,
    kept: Kept,
}

impl Source {
    fn new(from: KeySource) -> Self {
        Source { from, kept: Kept::default() }
    }
}

impl Trusted {
    /// Whom the settings name. Keys in files are read at once; those elsewhere when they are needed first.
    pub(super) fn open(dir: &Path, settings: &TokenSettings) -> Result<Self, TokensError> {
        let endpoint = format!("{}/oauth/token", settings.issuer);
        let mut trust = Trust::new(&settings.issuer, &endpoint);
        let (mut sources, mut clients) = (HashMap::new(), HashMap::new());
        for configured in &settings.agents {
            let agent = of_line(configured, |table| {
                let keys = match table.keys().map_err(|(_, why)| why)? {
                    KeySource::File(file) => pem::keys(&text(&dir.join(&file))?)
                        .map_err(|why| format!("`{}`: {why}", file.display()))?,
                    KeySource::Here(jwks) => KeySet::parse(&jwks).map_err(|error| error.to_string())?,
                    _ => KeySet::default(),
                };
                table.agent(keys).map_err(|(_, why)| why)
            })?;
            for (issuer, name) in &configured.table.names {
                let who = Who { kind: agent.kind, key: Some(agent.key()), name: None, instance: None };
                clients.insert((issuer.clone(), name.clone()), who);
            }
            of_line(configured, |_| trust.add_agent(agent).map_err(|error| error.to_string()))?;
        }
        for configured in &settings.issuers {
            of_line(configured, |table| {
                let from = table.keys().map_err(|(_, why)| why)?;
                let source = Source::new(from);
                let keys = match &source.from {
                    KeySource::File(file) => issuer_keys(&text(&dir.join(file))?, &source)
                        .map_err(|why| format!("`{}`: {why}", file.display()))?,
                    _ => KeySet::default(),
                };
                trust
                    .add_issuer(table.issuer(keys).map_err(|(_, why)| why)?)
                    .map_err(|error| error.to_string())?;
                sources.insert(Name::Issuer(table.url.clone()), source);
                Ok(())
            })?;
        }
        for configured in &settings.domains {
            of_line(configured, |table| {
                let from = table.bundle().map_err(|(_, why)| why)?;
                let source = Source::new(from);
                let bundle = match &source.from {
                    KeySource::File(file) => bundle(&text(&dir.join(file))?, &source)
                        .map_err(|why| format!("`{}`: {why}", file.display()))?,
                    _ => Bundle::default(),
                };
                trust
                    .add_domain(table.domain(bundle).map_err(|(_, why)| why)?)
                    .map_err(|error| error.to_string())?;
                sources.insert(Name::Domain(table.name.clone()), source);
                Ok(())
            })?;
        }
        Ok(Trusted {
            trust: RwLock::new(Arc::new(trust)),
            sources,
            clients,
            fetcher: Fetcher::new(),
            dir: dir.to_owned(),
        })
    }

    /// Everybody, with the keys that are known now.
    pub(super) fn now(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The agent that `issuer` calls `client`.
    pub(super) fn client(&self, issuer: &str, client: &str) -> Option<&Who> {
        self.clients.get(&(issuer.to_owned(), client.to_owned()))
    }

    /// Issuers whose tokens are believed, sorted.
    pub(super) fn issuers(&self) -> Vec<String> {
        let issuer = |name: &Name| match name {
            Name::Issuer(url) => Some(url.clone()),
            Name::Domain(_) => None,
        };
        let mut issuers: Vec<String> = self.sources.keys().filter_map(issuer).collect();
        issuers.sort_unstable();
        issuers
    }

    /// Has the keys at hand that `token` asks for, if it is of somebody who is believed.
    ///
    /// # Errors
    /// They cannot be had now, and why.
    pub(super) async fn prepare(&self, token: &str) -> Result<(), String> {
        let peeked = Peeked::of(token);
        let domain = peeked.sub.as_deref().and_then(deed_token::principal::trust_domain);
        let domain = domain.map(|domain| Name::Domain(domain.to_owned()));
        let issuer = peeked.iss.map(Name::Issuer);
        for name in [issuer, domain].into_iter().flatten() {
            if let Some(source) = self.sources.get(&name) {
                source.kept.refresh(peeked.kid.as_deref(), &name, self.read(&name, source)).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, name: &Name, source: &Source) -> Result<(), String> {
        let document = match (&source.from, name) {
            (KeySource::File(file), _) => {
                let path = self.dir.join(file);
                let read = tokio::task::spawn_blocking(move || text(&path)).await;
                read.map_err(|error| error.to_string())??
            }
            (KeySource::Url(url), _) => self.fetcher.get(url).await?,
            (KeySource::Discovery, Name::Issuer(issuer)) => {
                self.fetcher.get(&self.discover(issuer).await?).await?
            }
            (KeySource::Discovery | KeySource::Here(_) | KeySource::None, _) => return Ok(()),
        };
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        let trust = Arc::make_mut(&mut trust);
        let changed = match name {
            Name::Issuer(url) => trust.set_keys(url, issuer_keys(&document, source)?),
            Name::Domain(domain) => trust.set_bundle(domain, bundle(&document, source)?),
        };
        changed.map_err(|error| error.to_string())
    }

    /// Where the keys of an issuer are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        self.fetcher.discover(&url, issuer).await
    }
}

fn issuer_keys(document: &str, source: &Source) -> Result<KeySet, String> {
    let keys = KeySet::parse(document).map_err(|error| error.to_string())?;
    source.kept.note(&keys);
    Ok(keys)
}

fn bundle(document: &str, source: &Source) -> Result<Bundle, String> {
    let bundle = Bundle::parse(document).map_err(|error| error.to_string())?;
    source.kept.note(&bundle.jwt);
    Ok(bundle)
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("failed to read `{}`: {error}", path.display()))
}

fn of_line<T, R>(
    configured: &Configured<T>,
    read: impl FnOnce(&T) -> Result<R, String>,
) -> Result<R, TokensError> {
    let line = configured.line;
    read(&configured.table).map_err(|message| TokensError::Settings { line, message })
}
