//! What the action was done with, and what became of it.

use std::collections::BTreeSet;

use deed_record::{Basis, Credential, Kind, Timestamp};

use crate::{
    case::{Case, Rec},
    claim::{Claim, Standing},
    words::Edge,
};

/// The credential that was used, the one it was derived from, and so on up.
pub(crate) struct Lineage<'c> {
    /// The record that says which was used, and what it says of it.
    pub(crate) used: Option<(&'c Rec<'c>, &'c Credential<'c>)>,
    /// The one that was used first.
    pub(crate) levels: Vec<Level<'c>>,
    pub(crate) edge: Edge,
    pub(crate) how: String,
    /// Records that name it.
    pub(crate) records: Vec<&'c Rec<'c>>,
}

/// One credential of a lineage.
pub(crate) struct Level<'c> {
    /// Everything it goes by.
    pub(crate) names: &'c BTreeSet<String>,
    /// What is said about it, in the order of event time.
    pub(crate) claims: Vec<Claim<'c>>,
    /// What stood of it when the action happened.
    pub(crate) standing: Standing<'c>,
}

impl<'c> Lineage<'c> {
    /// The lineage of what the action of `case` was done with.
    pub(crate) fn of(case: &'c Case<'c>) -> Self {
        let naming: Vec<(&Rec<'c>, &Credential<'c>)> = case
            .of_action()
            .filter_map(|rec| rec.is.credential.as_ref().map(|credential| (rec, credential)))
            .collect();
        let used = naming
            .iter()
            .find(|(_, credential)| credential.names().next().is_some())
            .or(naming.first())
            .copied();
        let levels = case.credentials.iter().enumerate().map(|(at, names)| {
            let issuer = used.filter(|_| at == 0).and_then(|(_, credential)| credential.issuer.as_deref());
            Level::of(case, names, issuer)
        });
        let levels: Vec<Level<'c>> = levels.collect();
        let Some((rec, credential)) = used else {
            let how = "no record names a credential".to_owned();
            return Lineage { used, levels, edge: Edge::Missing, how, records: Vec::new() };
        };
        if credential.names().next().is_none() {
            let how = match credential.upstream {
                Some(_) => "nobody showed one",
                None => "the record describes a credential but does not say which",
            };
            let how = how.to_owned();
            return Lineage { used, levels, edge: Edge::Missing, how, records: vec![rec] };
        }
        let agreeing =
            naming.iter().filter(|(_, other)| shares_a_name(other, credential)).map(|(rec, _)| *rec);
        let records: Vec<&Rec<'c>> = agreeing.collect();
        let ours = levels.first().is_some_and(|level| {
            level.issued_before(case.time()).any(|claim| claim.rec.is.basis == Basis::Enforced)
        });
        let (edge, said_by) = agreed(&records);
        let edge = if ours { Edge::Proven } else { edge };
        Lineage { used, levels, edge, how: said_by, records }
    }

    /// The credential itself, without those it was derived from.
    pub(crate) fn own(&self) -> Option<&Level<'c>> {
        self.levels.first()
    }

    /// Those of the credentials above that its life depends on, as a record says: an access key that somebody made, the call
    /// shown with another one, stands by itself.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &Level<'c>> {
        let used = self.used.and_then(|(_, credential)| credential.parent.as_deref());
        let derived = move |(at, pair): &(usize, &[Level<'c>])| {
            let issued = pair[0].claims.iter().filter(|claim| claim.issues());
            let said = issued.filter_map(|claim| claim.credential?.parent.as_deref());
            let mut said = said.chain(used.filter(|_| *at == 0));
            said.any(|parent| pair[1].names.contains(parent))
        };
        self.levels.windows(2).enumerate().take_while(derived).map(|(_, pair)| &pair[1])
    }

    /// Whether Deed's token service issued it.
    pub(crate) fn is_of_ours(&self) -> bool {
        self.own().is_some_and(|level| level.claims.iter().any(Claim::is_token_of_ours))
    }

    /// When it ends, as known at the time of the action: what its issuer says, else what its user says.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let said = self.used.and_then(|(_, credential)| credential.expires);
        self.own().and_then(|level| level.standing.expires).or(said)
    }

    /// Whether it had ended when the action happened.
    pub(crate) fn is_over(&self, moment: Timestamp) -> bool {
        self.own().is_some_and(|level| level.standing.is_over(moment))
            || self.expires().is_some_and(|end| moment >= end)
    }

    /// The scopes it held, and the record that says so: its issuer, else its user. Where the issuer's own log tells of the
    /// use and of what it held by then, that is its last word.
    pub(crate) fn scopes(&self) -> Option<(&'c Rec<'c>, &'c [deed_record::Text<'c>])> {
        let issuer =
            self.own().and_then(|level| level.standing.scopes_by.map(|rec| (rec, level.standing.scopes)));
        let user = self.used.filter(|(_, credential)| !credential.scopes.is_empty());
        let user = user.map(|(rec, credential)| (rec, &credential.scopes[..]));
        let anew = user.zip(issuer).is_some_and(|((rec, _), (by, _))| {
            rec.is.basis == Basis::Imported && by.is.basis == Basis::Imported && rec.voice() == by.voice()
        });
        if anew { user } else { issuer.or(user) }
    }
}

impl<'c> Level<'c> {
    fn of(case: &'c Case<'c>, names: &'c BTreeSet<String>, issuer: Option<&str>) -> Self {
        let claims = case.records.iter().flat_map(|rec| rec.claims(Kind::Credential)).filter(|claim| {
            claim.credential.is_some_and(|credential| {
                // The same name from another issuer is another credential.
                let other =
                    issuer.zip(credential.issuer.as_deref()).is_some_and(|(ours, theirs)| ours != theirs);
                !other && credential.names().any(|name| names.contains(name))
            })
        });
        let claims: Vec<Claim<'c>> = claims.collect();
        let standing = Standing::at(case.time(), &claims);
        Level { names, claims, standing }
    }

    /// Records that say it was issued by `moment`.
    pub(crate) fn issued_before(&self, moment: Timestamp) -> impl Iterator<Item = &Claim<'c>> {
        self.claims.iter().filter(move |claim| claim.issues() && claim.time() <= moment)
    }
}

/// How well something is known that these records agree on, and whose word it is.
pub(crate) fn agreed(records: &[&Rec<'_>]) -> (Edge, String) {
    let mut voices: Vec<(&str, String)> = Vec::new();
    for rec in records {
        if !voices.iter().any(|(voice, _)| *voice == rec.voice()) {
            voices.push((rec.voice(), rec.said_by()));
        }
    }
    let edge = match voices.len() {
        0 => Edge::Missing,
        1 => Edge::Asserted,
        _ => Edge::Corroborated,
    };
    let words: Vec<String> = voices.into_iter().map(|(_, words)| words).collect();
    (edge, words.join(" and "))
}

fn shares_a_name(one: &Credential<'_>, other: &Credential<'_>) -> bool {
    one.names().any(|name| other.names().any(|theirs| theirs == name))
}
