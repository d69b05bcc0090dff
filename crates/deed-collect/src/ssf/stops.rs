//! What an event asks of doors that enforce.

use deed_record::{Change, Credential, EffectSent, Kind};

use super::{Event, subject::Subject};

/// Somebody or something to be stopped, or to be let go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The key of an account, or a name of a credential.
    pub what: String,
    /// Whether it is a credential.
    pub is_credential: bool,
    /// Whether it is stopped.
    pub stops: bool,
}

/// Accounts that were taken away or given back, credentials that were revoked by name, and whoever has one that others
/// have too. All sessions of somebody are no such thing: nothing tells them from those that are opened next.
pub(super) fn stops(event: Event<'_>, subject: &Subject, effects: &[EffectSent<'_>]) -> Vec<Stop> {
    let change = |effect: &EffectSent<'_>| effect.terms.as_ref().and_then(|terms| terms.change);
    let of_accounts = effects.iter().find(|effect| effect.kind == Kind::Principal).and_then(change);
    let stops = match of_accounts {
        _ if event.is_a("risc", "credential-compromise") => Some(true),
        Some(Change::Revoked) => Some(true),
        Some(Change::Renewed) => Some(false),
        _ => None,
    };
    let keys = subject.accounts.iter().filter_map(|who| who.key.as_deref());
    let keys = keys.chain(subject.in_tokens.iter().map(String::as_str));
    let accounts = stops.into_iter().flat_map(|stops| {
        keys.clone().map(move |key| Stop { what: key.to_owned(), is_credential: false, stops })
    });
    let revoked = effects.iter().filter(|effect| change(effect) == Some(Change::Revoked));
    let names = revoked.filter_map(|effect| effect.credential.as_ref()).flat_map(Credential::names);
    let credentials = names.map(|name| Stop { what: name.to_owned(), is_credential: true, stops: true });
    accounts.chain(credentials).collect()
}
