//! Judging what was screened and may deserve a look.

use std::thread;

use deed_ledger::{LedgerError, Readers};
use deed_review::{
    ExplainError,
    review::{Done, Look, work},
};

use super::{Kept, ReviewError, lock};
use crate::evidence::LedgerEvidence;

/// Looks that are taken together where somebody waits.
const TOGETHER: usize = 32;

impl Kept {
    /// Judges what is to be judged, a few at a time, so that nobody who asks waits for all of it.
    pub(super) fn settle(&self, readers: Readers) -> Result<(), ReviewError> {
        let evidence = LedgerEvidence::new(&self.ledger, &self.origin, &self.joins, &self.tunings, None);
        let judge = |looks: &[Look]| looks.iter().map(|look| work(&evidence, look)).collect::<Vec<_>>();
        while !self.desk.is_stopping() {
            let looks = {
                let mut reviewed = self.write();
                let most = if readers == Readers::Two { TOGETHER } else { 1 };
                std::iter::from_fn(|| reviewed.review.take()).take(most).collect::<Vec<Look>>()
            };
            let (ours, theirs) = looks.split_at(looks.len().div_ceil(2));
            // What is judged is independent of what is judged beside it (INVARIANT D6).
            let (mut done, beside) = match theirs {
                [] => (judge(ours), Vec::new()),
                _ => thread::scope(|scope| {
                    let judging = thread::Builder::new().name("judging".into());
                    let beside = judging.spawn_scoped(scope, || judge(theirs));
                    let done = judge(ours);
                    // Without another thread all is judged in this one.
                    let beside = beside.ok().and_then(|beside| beside.join().ok());
                    (done, beside.unwrap_or_else(|| judge(theirs)))
                }),
            };
            done.extend(beside);
            if done.is_empty() {
                return Ok(());
            }
            self.put(looks, done)?;
        }
        Ok(())
    }

    /// Takes what came of `looks`; where one came to nothing it is to be looked at again.
    fn put(
        &self,
        looks: Vec<Look>,
        done: Vec<Result<Done, ExplainError<LedgerError>>>,
    ) -> Result<(), ReviewError> {
        let mut failed = None;
        for (look, done) in looks.into_iter().zip(done) {
            match done {
                Ok(done) => {
                    let found = match &done {
                        Done::Judged(_, Some(judged)) if !judged.findings.is_empty() => Some(judged.action),
                        _ => None,
                    };
                    self.write().review.put(done);
                    // Behind what is found, so that whoever hears of it finds it.
                    found.into_iter().for_each(|id| lock(&self.fresh).note(id));
                }
                Err(error) => {
                    self.write().review.again(look);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
