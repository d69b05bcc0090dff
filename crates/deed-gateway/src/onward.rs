//! What a server behind is shown of a caller, beside what the settings say.

use std::{fmt, sync::Arc};

use http::HeaderValue;

use crate::intent::Refused;

/// What goes onward with what a caller asks for.
#[derive(Clone, Debug, Default)]
pub enum Onward {
    /// Nothing of the caller's.
    #[default]
    Nothing,
    /// A token that was issued for it.
    Token(UpstreamToken),
    /// It takes a token and there is none: nothing goes there.
    Withheld(Refused),
}

/// A token for a server behind, issued for one caller. It is no secret of the caller's, who never sees it.
#[derive(Clone)]
pub struct UpstreamToken {
    id: String,
    authorization: HeaderValue,
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Onward {
    /// What records call the token.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Onward::Token(token) => Some(&token.id),
            Onward::Nothing | Onward::Withheld(_) => None,
        }
    }

    /// Why nothing goes onward, if nothing does.
    pub(crate) fn withheld(&self) -> Option<&Refused> {
        match self {
            Onward::Withheld(why) => Some(why),
            Onward::Nothing | Onward::Token(_) => None,
        }
    }

    /// The header that goes onward; `None` is none.
    ///
    /// # Errors
    /// There is no token, or it holds no more since the caller came: nothing goes onward.
    pub(crate) fn authorization(&self) -> Result<Option<&HeaderValue>, Lapsed> {
        match self {
            Onward::Nothing => Ok(None),
            Onward::Token(token) if (token.holds)() => Ok(Some(&token.authorization)),
            Onward::Token(_) | Onward::Withheld(_) => Err(Lapsed),
        }
    }
}

/// The token for the server behind does not hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lapsed;

impl UpstreamToken {
    /// The token that records call `id`, with the value of its header and a way to ask whether it still holds.
    pub fn new(
        id: String,
        mut authorization: HeaderValue,
        holds: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        authorization.set_sensitive(true);
        UpstreamToken { id, authorization, holds: Arc::new(holds) }
    }
}

impl fmt::Debug for UpstreamToken {
    /// INVARIANT D9: its id alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamToken").field("id", &self.id).finish_non_exhaustive()
    }
}
