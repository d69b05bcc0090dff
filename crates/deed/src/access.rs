//! Where the store is, and how its server is reached: one that runs, or one that this process becomes.

use std::{
    env,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use deed_server::{Addresses, ServeOptions, settings::Settings};
use http::header::HeaderValue;
use hyper::body::Incoming;
use tokio::{sync::Mutex, time::sleep};

use crate::{
    cli::Global,
    client::{CallError, Client, Endpoint, Presence, Request, Response, hung},
    exit::{Code, Failure},
    hint::Hint,
    holder::{Holder, TakeError},
    output,
};

/// How long a store that changes hands is waited for, and a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
/// When it is looked whether whoever holds the store is there, for how long, and how often in a row in vain before it is given
/// up: long enough for a machine that is very busy.
const BEFORE_A_LOOK: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(1500);
const LOOKS: u32 = 5;
const LOOKS_IF_URGENT: u32 = 2;

/// Where records are kept.
pub(crate) enum Place {
    /// A server: the URL as given, and what it means.
    Server(String, Endpoint),
    /// A data directory.
    Store(PathBuf),
}

/// Whether a command may make the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// It must be there.
    Existing,
    /// It is made where it is missing.
    Make,
}

/// Which server or store the command line means: its own words before the environment's.
///
/// # Errors
/// A URL cannot be used, or no home directory tells where the data directory is.
pub(crate) fn place(global: &Global) -> Result<Place, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = &global.data {
        return Ok(Place::Store(dir.clone()));
    }
    let url =
        global.server.clone().or_else(|| set("DEED_SERVER").map(|url| url.to_string_lossy().into_owned()));
    if let Some(url) = url {
        let endpoint = Endpoint::of_url(&url)?;
        return Ok(Place::Server(url, endpoint));
    }
    store_dir(global).map(Place::Store)
}

/// The data directory of this machine that the command line means: its own words, the environment's, or the
/// default.
///
/// # Errors
/// No home directory tells where the default is.
pub(crate) fn store_dir(global: &Global) -> Result<PathBuf, Failure> {
    let set = env::var_os("DEED_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    match global.data.clone().or(set) {
        Some(dir) => Ok(dir),
        None => Ok(data_home()?.join("deed")),
    }
}

/// `$XDG_DATA_HOME`, else `~/.local/share` (XDG Base Directory Specification).
///
/// # Errors
/// There is no home directory.
pub(crate) fn data_home() -> Result<PathBuf, Failure> {
    // A relative one is to be ignored, says the specification.
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share"))).ok_or_else(|| {
        Failure::new("failed to find the data directory: neither $XDG_DATA_HOME nor $HOME is set")
            .detail("say where it is: --data DIR")
    })
}

/// The token of `$DEED_TOKEN`, for the server at `endpoint`. That others can read it on its way is said.
///
/// # Errors
/// It holds what no header can.
pub(crate) fn token(endpoint: &Endpoint) -> Result<Option<HeaderValue>, Failure> {
    let Some(token) = env::var_os("DEED_TOKEN").filter(|token| !token.is_empty()) else { return Ok(None) };
    if endpoint.is_open_road() {
        output::note("deed: $DEED_TOKEN is sent without TLS, and can be read on its way; use https://");
    }
    let value =
        token.to_str().and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.trim())).ok());
    let mut value = value.ok_or_else(|| Failure::usage("$DEED_TOKEN holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether `dir` is a store, as far as its names tell.
pub(crate) fn is_store(dir: &Path) -> bool {
    ["keys", "log", "journal", "packs"].iter().any(|name| dir.join(name).is_dir())
}

/// What tells one folder from another.
fn folder(dir: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(dir).ok().map(|folder| (folder.dev(), folder.ino()))
}

/// The way to one server. Clones share it.
#[derive(Clone)]
pub(crate) struct Access(Arc<Inner>);

struct Inner {
    client: Client,
    /// The data directory, where this process may become its holder.
    store: Option<PathBuf>,
    /// What messages call it.
    name: String,
    held: Mutex<Option<Holder>>,
    /// Whether there was no store there, so that one is made.
    is_new: bool,
    /// Device and number of the data directory that answered first.
    folder: OnceLock<(u64, u64)>,
}

impl Access {
    /// The way that the command line means. Nothing is opened before the first call.
    ///
    /// # Errors
    /// There is no store and the command may not make one.
    pub(crate) fn open(global: &Global, need: Need) -> Result<Self, Failure> {
        let inner = match place(global)? {
            Place::Server(url, endpoint) => Inner {
                client: Client::new(endpoint.clone(), token(&endpoint)?),
                store: None,
                name: url,
                held: Mutex::default(),
                is_new: false,
                folder: OnceLock::new(),
            },
            Place::Store(dir) => {
                if need == Need::Existing && !is_store(&dir) {
                    return Err(Failure::new(format!("there is no store in `{}`", dir.display()))
                        .code(Code::NotFound)
                        .detail(Hint::of(global).begin()));
                }
                Inner {
                    client: Client::new(Endpoint::of_store(&dir), None),
                    is_new: !is_store(&dir),
                    name: dir.display().to_string(),
                    store: Some(dir),
                    held: Mutex::default(),
                    folder: OnceLock::new(),
                }
            }
        };
        Ok(Access(Arc::new(inner)))
    }

    /// The way to the store of this machine that the command line means; it may be made. A server elsewhere is
    /// none: what is enforced here is recorded here.
    ///
    /// # Errors
    /// No home directory tells where the data directory is.
    pub(crate) fn at_store(global: &Global) -> Result<Self, Failure> {
        Access::open(&Global { data: Some(store_dir(global)?), server: None, ..global.clone() }, Need::Make)
    }

    /// Says so where this process has made the store: one that was there before, with its policies and suspensions, is not.
    pub(crate) fn note_new(&self) {
        if let Some(dir) = self.0.store.as_deref().filter(|_| self.0.is_new) {
            output::note(&format!(
                "deed: a new store was made in `{}`: no policy and no suspension is in force there. Was there one before, it is gone from this place",
                dir.display()
            ));
        }
    }

    /// Opens and serves the store in `dir` at once, and is the way to it.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be used.
    pub(crate) async fn hold(
        dir: &Path,
        ledger: deed_ledger::Options,
        options: impl FnOnce(&Settings) -> ServeOptions,
    ) -> Result<(Self, Addresses), Failure> {
        let holder = Holder::take_with(dir, ledger, options).await.map_err(TakeError::into_failure)?;
        let addresses = holder.addresses().clone();
        let inner = Inner {
            client: Client::new(Endpoint::of_store(dir), None),
            name: dir.display().to_string(),
            store: Some(dir.to_owned()),
            held: Mutex::new(Some(holder)),
            is_new: false,
            folder: OnceLock::new(),
        };
        Ok((Access(Arc::new(inner)), addresses))
    }

    /// Sends `request` until there is an answer: over the socket of whoever holds the store, becoming the
    /// holder where nobody does.
    ///
    /// # Errors
    /// No answer in time, or the store cannot be opened. A refusal is an answer. [`Failure::is_unsent`] where the request never
    /// arrived anywhere.
    pub(crate) async fn call(&self, request: &Request) -> Result<Response, Failure> {
        let mut patience = Patience::new(self.patience());
        let mut may_have_arrived = false;
        loop {
            match self.watched(request, self.0.client.send(request)).await {
                Ok(response) if response.is_busy() && !patience.is_over() => patience.wait().await,
                Ok(response) => {
                    self.note_place();
                    return Ok(response);
                }
                Err(error) => {
                    may_have_arrived |= !matches!(error, CallError::Unreachable(_) | CallError::Untrusted(_));
                    let recovered = self.recover(&mut patience, error).await;
                    recovered.map_err(|failure| if may_have_arrived { failure } else { failure.unsent() })?;
                }
            }
        }
    }

    /// As [`Access::call`], for an answer that is read as it comes.
    ///
    /// # Errors
    /// As [`Access::call`].
    pub(crate) async fn stream(&self, request: &Request) -> Result<http::Response<Incoming>, Failure> {
        let mut patience = Patience::new(self.patience());
        loop {
            match self.watched(request, self.0.client.stream(request)).await {
                Ok(response) => {
                    self.note_place();
                    return Ok(response);
                }
                Err(error) => self.recover(&mut patience, error).await?,
            }
        }
    }

    /// Whether somebody else holds the store and listens.
    pub(crate) async fn is_held(&self) -> bool {
        self.0.store.is_some() && self.0.client.is_listened_to().await
    }

    /// What becomes of `asked`, which asks for `request`. An answer may take its time; but where whoever holds the store does not
    /// even say that they are there, it is given up.
    async fn watched<T>(
        &self,
        request: &Request,
        asked: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let is_own = || self.0.held.try_lock().is_ok_and(|held| held.is_some());
        if self.0.store.is_none() || is_own() {
            return asked.await;
        }
        let most = if request.is_urgent { LOOKS_IF_URGENT } else { LOOKS };
        let (mut asked, mut silent) = (pin!(asked), 0);
        loop {
            let look = async {
                sleep(BEFORE_A_LOOK).await;
                self.0.client.presence(LOOK).await
            };
            let seen = tokio::select! {
                biased;
                answer = &mut asked => return answer,
                seen = look => seen,
            };
            let Presence::Silent(process) = seen else {
                silent = 0;
                continue;
            };
            silent += 1;
            if silent >= most {
                return Err(CallError::Hung(process));
            }
            if silent == 1 {
                output::note(&format!("deed: {}", hung(process)));
            }
        }
    }

    /// Whether the store is the one that answered first. Where somebody took it away, what was forbidden and who was
    /// suspended went with it: a new one in its place would let everything through (D1).
    fn is_in_place(&self) -> Result<(), Failure> {
        let Some((dir, first)) = self.0.store.as_ref().zip(self.0.folder.get()) else { return Ok(()) };
        if folder(dir) == Some(*first) {
            return Ok(());
        }
        Err(Failure::new(format!("`{}` is not the folder that was opened any more", dir.display()))
            .code(Code::Unavailable)
            .detail("nothing is begun anew in its place; put it back, or start again"))
    }

    fn note_place(&self) {
        if let Some(first) =
            self.0.store.as_deref().filter(|_| self.0.folder.get().is_none()).and_then(folder)
        {
            self.0.folder.get_or_init(|| first);
        }
    }

    /// Lets go of the store, if this process holds it: requests under way are answered first.
    ///
    /// # Errors
    /// The last checkpoint could not be signed.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.0.client.forget();
        match self.0.held.lock().await.take() {
            Some(holder) => holder.close().await,
            None => Ok(()),
        }
    }

    /// As [`Access::close`], after the work is done or has failed. What was recorded is durable however that
    /// ends, so that a failure to close takes nothing back.
    ///
    /// # Errors
    /// That of the work.
    pub(crate) async fn finish<T>(&self, worked: Result<T, Failure>) -> Result<T, Failure> {
        let closed = self.close().await;
        if let (Ok(_), Err(failure)) = (&worked, closed) {
            output::report(&failure.detail(
                "everything that was acknowledged is in the journal, and is signed when the store is opened next",
            ));
        }
        worked
    }

    fn patience(&self) -> Duration {
        if self.0.store.is_some() { PATIENCE } else { SERVER_PATIENCE }
    }

    /// Makes it worth while to try again, or gives up.
    async fn recover(&self, patience: &mut Patience, error: CallError) -> Result<(), Failure> {
        let is_broken = matches!(error, CallError::Broken(_));
        let is_hung = matches!(error, CallError::Hung(_));
        let given_up = |why: String| {
            let failure = Failure::new(format!("failed to reach `{}`", self.0.name))
                .code(Code::Unavailable)
                .detail(why);
            match &self.0.store {
                Some(_) if is_hung => failure
                    .detail("end that process: its records are safe")
                    .detail("should it go on instead, what was asked may be done still"),
                Some(_) => failure.detail("if its holder hangs, end that process; its records are safe"),
                None if is_broken => {
                    failure.detail("is `deed serve` running there, and is the URL right: http, https, port?")
                }
                None => failure.detail("is `deed serve` running there?"),
            }
        };
        if let CallError::Untrusted(untrusted) = &error {
            let failure = Failure::new(format!("failed to reach `{}`", self.0.name)).code(Code::Unavailable);
            return Err(untrusted.details().into_iter().fold(failure, Failure::detail));
        }
        if matches!(error, CallError::Slow | CallError::Coded(_) | CallError::Hung(_)) || patience.is_over() {
            return Err(given_up(error.to_string()));
        }
        let Some(dir) = &self.0.store else {
            patience.wait().await;
            return Ok(());
        };
        let mut held = self.0.held.lock().await;
        // It is this process that holds it: whatever broke, the server is still there.
        if held.is_none() {
            self.is_in_place()?;
            match Holder::take(dir).await {
                Ok(holder) => {
                    *held = Some(holder);
                    return Ok(());
                }
                // Somebody else was faster, and answers soon; or is about to let go.
                Err(TakeError::Held(_)) => {}
                Err(TakeError::Failed(failure)) => return Err(failure),
            }
        }
        drop(held);
        patience.wait().await;
        Ok(())
    }
}

/// Waits a little longer each time, and not for ever.
struct Patience {
    until: Instant,
    next: Duration,
}

impl Patience {
    fn new(whole: Duration) -> Self {
        Patience { until: Instant::now() + whole, next: Duration::from_millis(5) }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_millis(250));
    }
}
