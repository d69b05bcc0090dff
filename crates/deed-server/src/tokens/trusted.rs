//! Whom the service believes, with keys as they are now: of issuers and trust domains they are fetched, kept
//! for a while, and fetched again when one is missing.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use deed_gateway::Who;
use deed_token::{Bundle, KeySet, Trust};
use serde::Deserialize;

use super::{TokensError, fetch::Fetcher, peek::Peeked, pem};
use crate::settings::{Configured, KeySource, TokenSettings};

/// Keys younger than this are good.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Keys older than this are believed no more, even where no others are to be had.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How often keys are asked for at most: a token can name any.
const BETWEEN: Duration = Duration::from_secs(10);

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

struct Source {
    from: KeySource,
    held: Mutex<Held>,
    /// Held while they are being fetched: whoever has no need of others does not wait for that.
    fetching: tokio::sync::Mutex<()>,
}

impl Source {
    fn new(from: KeySource) -> Self {
        Source { from, held: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Held {
    /// When they were read.
    at: Option<Instant>,
    /// When they were asked for last, and why they did not come.
    tried: Option<(Instant, Option<String>)>,
    kids: Vec<String>,
}

impl Held {
    /// Whether they are good, and the key `kid` is among them.
    fn has(&self, kid: Option<&str>) -> bool {
        let is_known = kid.is_none_or(|kid| self.kids.iter().any(|known| known == kid));
        is_known && self.at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// What of the discovery document is of use (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
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
                self.refresh(&name, source, peeked.kid.as_deref()).await?;
            }
        }
        Ok(())
    }

    async fn refresh(&self, name: &Name, source: &Source, kid: Option<&str>) -> Result<(), String> {
        if source.held().has(kid) {
            return Ok(());
        }
        // One at a time: those who come meanwhile wait for the same answer, no longer than it may take.
        let turn = source.fetching.lock().await;
        let (has, tried) = {
            let held = source.held();
            (held.has(kid), held.tried.clone())
        };
        let why = match tried {
            _ if has => None,
            Some((at, problem)) if at.elapsed() < BETWEEN => problem,
            _ => {
                let problem = self.read(name, source).await.err();
                source.held().tried = Some((Instant::now(), problem.clone()));
                problem
            }
        };
        drop(turn);
        let Some(why) = why else { return Ok(()) };
        if source.held().at.is_some_and(|at| at.elapsed() < STALE) {
            tracing::warn!(?name, why, "keys are as they were");
            return Ok(());
        }
        Err(match name {
            Name::Issuer(url) => format!("the keys of issuer `{url}` cannot be had: {why}"),
            Name::Domain(domain) => format!("the bundle of trust domain `{domain}` cannot be had: {why}"),
        })
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
        let document = self.fetcher.get(&url).await.map_err(|why| format!("`{url}`: {why}"))?;
        let found: Discovered = serde_json::from_str(&document)
            .map_err(|error| format!("`{url}` is no discovery document: {error}"))?;
        // Section 4.3: else one issuer could have another's keys.
        if found.issuer != issuer {
            return Err(format!("`{url}` is the document of another issuer"));
        }
        // Nobody is led away from TLS.
        let same = found.jwks_uri.starts_with("https://") || issuer.starts_with("http://");
        same.then_some(found.jwks_uri).ok_or_else(|| format!("`jwks_uri` in `{url}` is no https URL"))
    }
}

fn issuer_keys(document: &str, source: &Source) -> Result<KeySet, String> {
    let keys = KeySet::parse(document).map_err(|error| error.to_string())?;
    note(&keys, source);
    Ok(keys)
}

fn bundle(document: &str, source: &Source) -> Result<Bundle, String> {
    let bundle = Bundle::parse(document).map_err(|error| error.to_string())?;
    note(&bundle.jwt, source);
    Ok(bundle)
}

fn note(keys: &KeySet, source: &Source) {
    let mut held = source.held();
    held.kids = keys.keys().iter().filter_map(|key| key.kid().map(str::to_owned)).collect();
    held.at = Some(Instant::now());
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
