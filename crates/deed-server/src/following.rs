//! Following the log off the path of whoever appends: when to work, and who waits for it.

use std::{
    fmt::Display,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deed_ledger::PACK_LEAVES;

/// A process that is done sooner follows nothing.
const SETTLING: Duration = Duration::from_secs(5);
/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(500);
/// Leaves behind the log from which on a follower takes all of its share.
const FAR: u64 = PACK_LEAVES;
/// Hundredths of the time that one takes at most before that.
const NEAR_SHARE: u32 = 20;
/// How long to leave it after it failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Where those who wait for a follower say so, and hear of it.
pub(crate) struct Desk {
    /// Hundredths of the time that a follower may work while nobody waits.
    share: u32,
    asked: Mutex<Asked>,
    bell: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct Asked {
    /// As far as somebody waits for.
    wanted: Option<u64>,
    stop: bool,
    trouble: Option<String>,
}

/// Why somebody waited in vain.
pub(crate) enum Late {
    /// It takes longer than they wait; how far it is.
    Behind(u64),
    /// The log cannot be followed.
    Failed(String),
}

impl Desk {
    /// Of a follower that may work so many hundredths of the time while nobody waits.
    pub(crate) fn new(percent: u8) -> Self {
        Desk {
            share: percent.min(100).into(),
            asked: Mutex::default(),
            bell: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// What `look` finds once the follower has gone `wanted` leaves far, hurrying it; until then `look` says how far
    /// it is.
    pub(crate) fn until<T>(
        &self,
        wanted: u64,
        patience: Duration,
        look: impl Fn() -> Result<T, u64>,
    ) -> Result<T, Late> {
        let end = Instant::now() + patience;
        let mut asked = self.lock();
        loop {
            let at = match look() {
                Ok(found) => return Ok(found),
                Err(at) => at,
            };
            if let Some(trouble) = &asked.trouble {
                return Err(Late::Failed(trouble.clone()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || asked.stop {
                return Err(Late::Behind(at));
            }
            asked.wanted = asked.wanted.max(Some(wanted));
            self.bell.notify_all();
            asked = self.done.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Follows until told to stop. `turn` goes on, all the way where somebody waits, and says whether there is more; `left` says
    /// how much, in leaves; `reached` whether it is as far as that. While nobody waits this works a fifth of the time at
    /// most, and its whole share where it fell far behind: recording goes first, and what is followed keeps up.
    pub(crate) fn follow<E: Display>(
        &self,
        what: &str,
        turn: impl Fn(bool) -> Result<bool, E>,
        left: impl Fn() -> u64,
        reached: impl Fn(u64) -> bool,
    ) {
        let opened = Instant::now();
        let mut pause = PAUSE;
        while let Some(hurried) = self.next(pause) {
            if !hurried && (self.share == 0 || opened.elapsed() < SETTLING) {
                continue;
            }
            let begun = Instant::now();
            let turned = turn(hurried);
            let mut asked = self.lock();
            asked.trouble = turned.as_ref().err().map(ToString::to_string);
            pause = match turned {
                // What waits for something else to go on finds no work at once.
                Ok(true) => {
                    let share = if left() < FAR { self.share.min(NEAR_SHARE) } else { self.share }.max(1);
                    (begun.elapsed() * (100 - share) / share).max(PAUSE / 100)
                }
                Ok(false) => PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "{what} failed");
                    AFTER_FAILURE
                }
            };
            if asked.trouble.is_some() || asked.wanted.is_some_and(&reached) {
                asked.wanted = None;
            }
            drop(asked);
            self.done.notify_all();
        }
    }

    /// Waits for `pause` or until somebody asks; whether somebody does, or `None` to stop.
    fn next(&self, pause: Duration) -> Option<bool> {
        let waited =
            self.bell.wait_timeout_while(self.lock(), pause, |asked| !asked.stop && asked.wanted.is_none());
        let asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        (!asked.stop).then_some(asked.wanted.is_some())
    }

    /// Why the log could not be followed the last time.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stop
    }

    /// Stops following; whoever waits hears of it.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.bell.notify_all();
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
