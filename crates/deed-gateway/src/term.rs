//! How long a credential holds that was shown at a door.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

/// Why a credential holds no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TermEnd {
    /// Its time is over. What it was shown for may still end.
    Expired,
    /// It was revoked, or what it was made from.
    Revoked,
}

impl TermEnd {
    /// In a word, for records.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            TermEnd::Expired => "expired",
            TermEnd::Revoked => "revoked",
        }
    }

    /// What became of the credential, in a sentence.
    pub(crate) const fn told(self) -> &'static str {
        match self {
            TermEnd::Expired => "the credential that it was asked with expired",
            TermEnd::Revoked => "the credential that it was asked with was revoked",
        }
    }

    pub(crate) fn is_code(code: &str) -> bool {
        [TermEnd::Expired, TermEnd::Revoked].iter().any(|end| end.code() == code)
    }
}

/// Tells when a credential holds no longer; without one, never.
#[derive(Clone, Default)]
pub struct Term(Option<Arc<Ends>>);

type Ends = dyn Fn() -> BoxFuture<'static, TermEnd> + Send + Sync;

impl Term {
    /// A term that is over once what `ends` makes is.
    pub fn new(ends: impl Fn() -> BoxFuture<'static, TermEnd> + Send + Sync + 'static) -> Self {
        Term(Some(Arc::new(ends)))
    }

    /// Waits until it is over.
    pub(crate) async fn lapsed(&self) -> TermEnd {
        match &self.0 {
            Some(ends) => ends().await,
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Term(..)" } else { "Term(unlimited)" })
    }
}
