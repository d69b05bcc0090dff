//! What one query may take: until when it runs, and how much its expressions may make.
//!
//! The memory pool watches operators, not expressions: within one batch of rows they could fill the machine.
//! So they have room of their own, which those of a query share, whether all of them make something at a time
//! or not: then none needs to know of the others.

use std::{any::Any, time::Instant};

use datafusion::{
    common::{
        Result,
        config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions},
        exec_err, not_impl_err,
    },
    execution::SessionState,
};

/// What an expression says that went on past the end of its query.
pub(crate) const TIME_UP: &str = "the time is up";

/// Rows of a batch.
pub(crate) const BATCH: usize = 8192;

/// Bytes that all expressions of a query may make out of one batch of rows.
const ROOM: u64 = 128 << 20;

/// Bytes of a value that stands for every row of a batch; also of all that stand in a query.
pub(crate) const CONSTANT: u64 = ROOM / BATCH as u64;

/// What expressions of one query may take. It comes with the session's options, which reach every function,
/// also those that the planner evaluates.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    deadline: Option<Instant>,
    share: u64,
}

impl Allowance {
    /// Gives the session of a query until `deadline`, and room that `sharing` expressions divide.
    pub(crate) fn give(state: &mut SessionState, deadline: Instant, sharing: usize) {
        let share = ROOM / sharing.max(1) as u64;
        let allowance = Allowance { deadline: Some(deadline), share };
        state.config_mut().options_mut().extensions.insert(allowance);
    }

    /// What was given with `options`.
    pub(crate) fn of(options: &ConfigOptions) -> Self {
        let given = options.extensions.get::<Allowance>().cloned();
        given.unwrap_or(Allowance { deadline: None, share: ROOM })
    }

    /// Bytes that one expression may make out of one batch.
    pub(crate) fn share(&self) -> u64 {
        self.share
    }

    /// Ends what nobody waits for any more.
    pub(crate) fn check_time(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => exec_err!("{TIME_UP}"),
            _ => Ok(()),
        }
    }
}

impl ConfigExtension for Allowance {
    const PREFIX: &'static str = "deed";
}

impl ExtensionOptions for Allowance {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, _: &str, _: &str) -> Result<()> {
        not_impl_err!("settings are not for queries")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
