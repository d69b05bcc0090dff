//! Keys that were fetched: good for a while, and fetched again when one is missing.

use std::{
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deed_token::KeySet;

/// Keys younger than this are good.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Keys older than this are believed no more, even where no others are to be had.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How often keys are asked for at most: a token can name any.
const BETWEEN: Duration = Duration::from_secs(10);

/// When keys were fetched, and which.
#[derive(Default)]
pub(crate) struct Kept {
    held: Mutex<Held>,
    /// Held while they are being fetched: whoever has no need of others does not wait for that.
    fetching: tokio::sync::Mutex<()>,
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

impl Kept {
    /// `keys` were read just now.
    pub(crate) fn note(&self, keys: &KeySet) {
        let mut held = self.held();
        held.kids = keys.keys().iter().filter_map(|key| key.kid().map(str::to_owned)).collect();
        held.at = Some(Instant::now());
    }

    /// Has good keys at hand, and `kid` among them if it is to be had. `read` reads them and notes them; `whose` they
    /// are stands in messages.
    ///
    /// # Errors
    /// They cannot be had now, and why.
    pub(crate) async fn refresh(
        &self,
        kid: Option<&str>,
        whose: &impl Display,
        read: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        if self.held().has(kid) {
            return Ok(());
        }
        // One at a time: those who come meanwhile wait for the same answer, no longer than it may take.
        let turn = self.fetching.lock().await;
        let (has, tried) = {
            let held = self.held();
            (held.has(kid), held.tried.clone())
        };
        let why = match tried {
            _ if has => None,
            Some((at, problem)) if at.elapsed() < BETWEEN => problem,
            _ => {
                let problem = read.await.err();
                self.held().tried = Some((Instant::now(), problem.clone()));
                problem
            }
        };
        drop(turn);
        let Some(why) = why else { return Ok(()) };
        if self.held().at.is_some_and(|at| at.elapsed() < STALE) {
            tracing::warn!(%whose, why, "keys are as they were");
            return Ok(());
        }
        Err(format!("{whose} cannot be had: {why}"))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
