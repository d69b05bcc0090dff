//! What counts as long, and as often.

use std::{fmt, ops::RangeInclusive};

/// What counts as long, and as often. The defaults are those of `docs/findings.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Days that a privilege without an end may stand.
    pub standing_days: u32,
    /// Days that a static key may be in use before it is made anew.
    pub static_key_days: u32,
    /// Hours that a token may live.
    pub token_hours: u32,
    /// Days without an act after which an identity is dormant.
    pub dormant_days: u32,
    /// Tries in vain within ten minutes that make a storm.
    pub storm_tries: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            standing_days: 30,
            static_key_days: 90,
            token_hours: 24,
            dormant_days: 90,
            storm_tries: 10,
        }
    }
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Threshold {
    /// [`Thresholds::standing_days`].
    StandingDays,
    /// [`Thresholds::static_key_days`].
    StaticKeyDays,
    /// [`Thresholds::token_hours`].
    TokenHours,
    /// [`Thresholds::dormant_days`].
    DormantDays,
    /// [`Thresholds::storm_tries`].
    StormTries,
}

impl Threshold {
    /// All of them.
    pub const ALL: &[Threshold] = &[
        Threshold::StandingDays,
        Threshold::StaticKeyDays,
        Threshold::TokenHours,
        Threshold::DormantDays,
        Threshold::StormTries,
    ];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Threshold::StandingDays => "standing-days",
            Threshold::StaticKeyDays => "static-key-days",
            Threshold::TokenHours => "token-hours",
            Threshold::DormantDays => "dormant-days",
            Threshold::StormTries => "storm-tries",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|threshold| threshold.as_str() == name)
    }

    /// What it may be set to: ten years at most, and what would make everything a finding is refused.
    pub fn range(self) -> RangeInclusive<u32> {
        match self {
            Threshold::TokenHours => 1..=87_600,
            Threshold::StormTries => 2..=1_000_000,
            _ => 1..=3650,
        }
    }

    /// What it is in `thresholds`.
    pub fn of(self, thresholds: &Thresholds) -> u32 {
        match self {
            Threshold::StandingDays => thresholds.standing_days,
            Threshold::StaticKeyDays => thresholds.static_key_days,
            Threshold::TokenHours => thresholds.token_hours,
            Threshold::DormantDays => thresholds.dormant_days,
            Threshold::StormTries => thresholds.storm_tries,
        }
    }

    /// Makes it `value` in `thresholds`.
    pub fn set(self, thresholds: &mut Thresholds, value: u32) {
        *match self {
            Threshold::StandingDays => &mut thresholds.standing_days,
            Threshold::StaticKeyDays => &mut thresholds.static_key_days,
            Threshold::TokenHours => &mut thresholds.token_hours,
            Threshold::DormantDays => &mut thresholds.dormant_days,
            Threshold::StormTries => &mut thresholds.storm_tries,
        } = value;
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
