//! How many refusals of those who are nobody are recorded: nobody fills the disk by being refused.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Refusals that are recorded at once, and in each second.
const MOST: f64 = 200.0;
const A_SECOND: f64 = 20.0;

/// See the module.
pub(crate) struct Strangers(Mutex<(f64, Instant)>);

impl Default for Strangers {
    fn default() -> Self {
        Strangers(Mutex::new((MOST, Instant::now())))
    }
}

impl Strangers {
    /// Whether one more refusal of somebody unknown is to be recorded.
    pub(crate) fn admit(&self) -> bool {
        let mut strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *strangers;
        let left = (left + at.elapsed().as_secs_f64() * A_SECOND).min(MOST);
        let admits = left >= 1.0;
        *strangers = (if admits { left - 1.0 } else { left }, Instant::now());
        admits
    }
}
