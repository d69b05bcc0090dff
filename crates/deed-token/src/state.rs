//! Which tokens hold: folded from what was issued, revoked, suspended and resumed.
//!
//! The same events give the same state in whatever order they come, so that nodes that follow each
//! other's logs agree. Nothing is kept longer than it can matter: a token until it and all that was made
//! from it have expired.

use std::collections::{BTreeSet, HashMap};

use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{terms::Relation, text::Fingerprint, unix};

/// How long what has expired is still known, in seconds: events of other nodes come late.
const GRACE: i64 = 120;

/// More tokens than can be made from each other; events that are no honest ones could form a circle.
const MOST_STEPS: usize = 100_000;

/// A token was issued. Everything here may be recorded; none of it is a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// `jti`.
    pub jti: String,
    /// `jti` of the token of this service it was made from.
    pub parent: Option<String>,
    /// How.
    pub relation: Relation,
    /// Whose.
    pub tenant: String,
    /// For whom.
    pub subject: String,
    /// Who acts, the current actor first.
    pub actors: Vec<String>,
    /// What was shown for it: the subject's token, and the actor's credential.
    pub credentials: Vec<Fingerprint>,
    /// `jti` of the subject's token, where that is somebody else's and has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// `iat`, in seconds.
    pub issued: i64,
    /// `exp`, in seconds.
    pub expires: i64,
    /// No renewal lives longer, in seconds.
    pub not_after: i64,
}

/// What is suspended or resumed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// [`crate::Principal::key`], as subject or as any actor of a chain.
    Principal(String),
    /// A credential, with everything that was made from it.
    Credential(Fingerprint),
}

/// Something that happened to tokens. Times in seconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A token was made from something else, or for another actor.
    Issued(Issued),
    /// A token was made for the same actor as the one before.
    Renewed(Issued),
    /// A token is not believed any more, nor is anything that was made from it.
    Revoked {
        /// `jti`.
        jti: String,
        /// Until when anything made from it could live: its `deed.not_after`.
        not_after: i64,
    },
    /// Nothing of it is believed until it is resumed.
    Suspended {
        /// What.
        target: Target,
        /// When.
        at: i64,
    },
    /// It is believed again.
    Resumed {
        /// What.
        target: Target,
        /// When; a suspension later than that, or at the same time, holds.
        at: i64,
    },
}

/// Why a token does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Inactive {
    /// It, or one it was made from, is not known (any more): nothing is believed that was not recorded.
    #[error("the token, or one that it was made from, is not known here")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It, or one it was made from, was revoked.
    #[error("the token, or one that it was made from, was revoked")]
    Revoked,
    /// Somebody or something in its chain is suspended.
    #[error("somebody in the chain of the token, or a credential it was made from, is suspended")]
    Suspended,
}

/// Which tokens hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    nodes: HashMap<String, Node>,
    /// Children of tokens that are not known (yet).
    orphans: HashMap<String, usize>,
    ends: BTreeSet<(i64, String)>,
    /// With the time until which it matters.
    revoked: HashMap<String, i64>,
    switches: HashMap<Target, Switch>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    issued: Issued,
    children: usize,
}

/// The latest that was said of a target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Switch {
    at: i64,
    /// At the same time, a suspension wins.
    suspended: bool,
}

impl State {
    /// Nothing issued.
    pub fn new() -> Self {
        State::default()
    }

    /// Takes in what happened. Again is as once.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Issued(issued) | Event::Renewed(issued) => self.issue(issued),
            Event::Revoked { jti, not_after } => {
                let until = self.revoked.entry(jti.clone()).or_insert(*not_after);
                *until = (*until).max(*not_after);
            }
            Event::Suspended { target, at } => self.switch(target, Switch { at: *at, suspended: true }),
            Event::Resumed { target, at } => self.switch(target, Switch { at: *at, suspended: false }),
        }
    }

    fn issue(&mut self, issued: &Issued) {
        if self.nodes.contains_key(&issued.jti) {
            return;
        }
        if let Some(parent) = &issued.parent {
            match self.nodes.get_mut(parent) {
                Some(parent) => parent.children += 1,
                None => *self.orphans.entry(parent.clone()).or_default() += 1,
            }
        }
        let children = self.orphans.remove(&issued.jti).unwrap_or_default();
        self.ends.insert((issued.expires, issued.jti.clone()));
        self.nodes.insert(issued.jti.clone(), Node { issued: issued.clone(), children });
    }

    fn switch(&mut self, target: &Target, switch: Switch) {
        let latest = self.switches.entry(target.clone()).or_insert(switch);
        *latest = switch.max(*latest);
    }

    /// Drops what cannot matter any more. Of all states from the same events, those that were told to
    /// forget last at the same time are equal.
    pub fn forget(&mut self, now: Timestamp) {
        let over = unix(now).saturating_sub(GRACE);
        while let Some((expires, _)) = self.ends.first()
            && *expires <= over
        {
            let Some((_, jti)) = self.ends.pop_first() else { break };
            self.drop_if_over(jti, over);
        }
        self.revoked.retain(|_, until| *until > over);
    }

    /// Drops a token and, where it was the last child, those it was made from.
    fn drop_if_over(&mut self, jti: String, over: i64) {
        let mut next = Some(jti);
        while let Some(jti) = next.take() {
            let is_over = |node: &Node| node.children == 0 && node.issued.expires <= over;
            if !self.nodes.get(&jti).is_some_and(is_over) {
                return;
            }
            let Some(node) = self.nodes.remove(&jti) else { return };
            let Some(parent) = node.issued.parent else { return };
            if let Some(above) = self.nodes.get_mut(&parent) {
                above.children -= 1;
                next = Some(parent);
            } else if let Some(count) = self.orphans.get_mut(&parent) {
                *count -= 1;
                if *count == 0 {
                    self.orphans.remove(&parent);
                }
            }
        }
    }

    /// Whether a token holds; see [`State::check`].
    pub fn is_active(&self, jti: &str, now: Timestamp) -> bool {
        self.check(jti, now).is_ok()
    }

    /// Whether a token holds: it is known and has not expired, and neither it nor any token it was made
    /// from was revoked or has anybody or anything suspended in it. Costs a look-up for each of those.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, jti: &str, now: Timestamp) -> Result<(), Inactive> {
        let mut node = self.nodes.get(jti).ok_or(Inactive::Unknown)?;
        if node.issued.expires <= unix(now) {
            return Err(Inactive::Expired);
        }
        for _ in 0..MOST_STEPS {
            if self.revoked.contains_key(&node.issued.jti) {
                return Err(Inactive::Revoked);
            }
            if self.has_suspended(&node.issued) {
                return Err(Inactive::Suspended);
            }
            let Some(parent) = &node.issued.parent else { return Ok(()) };
            node = self.nodes.get(parent).ok_or(match self.revoked.contains_key(parent) {
                true => Inactive::Revoked,
                false => Inactive::Unknown,
            })?;
        }
        Err(Inactive::Unknown)
    }

    fn has_suspended(&self, issued: &Issued) -> bool {
        if self.switches.is_empty() {
            return false;
        }
        std::iter::once(&issued.subject).chain(&issued.actors).any(|key| self.is_principal_suspended(key))
            || issued.credentials.iter().any(|credential| self.is_credential_suspended(*credential))
    }

    /// Whether a principal is suspended.
    pub fn is_principal_suspended(&self, key: &str) -> bool {
        self.is_suspended(&Target::Principal(key.to_owned()))
    }

    /// Whether a credential is suspended.
    pub fn is_credential_suspended(&self, credential: Fingerprint) -> bool {
        self.is_suspended(&Target::Credential(credential))
    }

    fn is_suspended(&self, target: &Target) -> bool {
        self.switches.get(target).is_some_and(|switch| switch.suspended)
    }

    /// What is known of a token.
    pub fn issued(&self, jti: &str) -> Option<&Issued> {
        self.nodes.get(jti).map(|node| &node.issued)
    }

    /// All tokens that were made from `jti`, directly or not, sorted: what a revocation takes with it.
    /// Looks at every token.
    pub fn made_from(&self, jti: &str) -> Vec<&str> {
        let below = self.nodes.values().filter(|node| self.is_made_from(&node.issued, jti));
        let mut below: Vec<&str> = below.map(|node| node.issued.jti.as_str()).collect();
        below.sort_unstable();
        below
    }

    fn is_made_from<'a>(&'a self, mut issued: &'a Issued, jti: &str) -> bool {
        for _ in 0..MOST_STEPS {
            match &issued.parent {
                Some(parent) if parent == jti => return true,
                Some(parent) => match self.nodes.get(parent) {
                    Some(above) => issued = &above.issued,
                    None => return false,
                },
                None => return false,
            }
        }
        false
    }

    /// How many tokens are known.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
