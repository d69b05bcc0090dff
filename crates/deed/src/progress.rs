//! Progress, on standard error, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that says how far something has got, taken away when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A line with no end in sight.
    pub(crate) fn spinner() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress(bar)
    }

    /// A line that goes from 0 to `end`.
    pub(crate) fn bar(end: u64, what: &'static str) -> Self {
        let bar = ProgressBar::new(end);
        // The template is right by the look of it; a wrong one only shows the default.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} {msg}, {eta} to go")
        {
            bar.set_style(style);
        }
        bar.set_message(what);
        Progress(bar)
    }

    /// Replaces the line, if anybody sees it.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_message(line());
        }
    }

    /// Goes on by `steps`.
    pub(crate) fn step(&self, steps: u64) {
        self.0.inc(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
