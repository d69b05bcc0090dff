//! What records say about authority, and what stands of it at a moment.

use deed_record::{Account, Basis, Change, Credential, Kind, Resource, Skeleton, Terms, Text, Timestamp};

use crate::case::Rec;

/// Where Vault takes back a token, and leaves what was made with it.
const ALONE: &str = "auth/token/revoke-orphan";

/// The sender of the token service's own records.
const TOKEN_SERVICE: &str = "deed:token";

/// One statement about a request, approval, grant or credential: a record of that kind, or an effect
/// sealed in an observation.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'c> {
    pub(crate) rec: &'c Rec<'c>,
    pub(crate) terms: Option<&'c Terms<'c>>,
    pub(crate) credential: Option<&'c Credential<'c>>,
    pub(crate) resource: Option<&'c Resource<'c>>,
}

impl<'c> Rec<'c> {
    /// What this record says about authority of that kind.
    pub(crate) fn claims(&'c self, kind: Kind) -> impl Iterator<Item = Claim<'c>> {
        let own = (self.is.kind == kind).then_some(Claim {
            rec: self,
            terms: self.is.terms.as_ref(),
            credential: self.is.credential.as_ref(),
            resource: self.is.resource.as_ref(),
        });
        let effects = self.is.effects.iter().flatten().filter(move |effect| effect.kind == kind);
        own.into_iter().chain(effects.map(move |effect| Claim {
            rec: self,
            terms: effect.terms.as_ref(),
            credential: effect.credential.as_ref(),
            resource: effect.resource.as_ref(),
        }))
    }
}

impl Rec<'_> {
    /// Whether Deed's own token service says so. Basis and sender are Deed's to give, and no sender's to claim.
    pub(crate) fn is_of_token_service(&self) -> bool {
        is_of_token_service(&self.is)
    }
}

/// Whether Deed's own token service says so.
pub(crate) fn is_of_token_service(rec: &Skeleton<'_>) -> bool {
    rec.basis == Basis::Enforced && *rec.submitter == *TOKEN_SERVICE
}

impl<'c> Claim<'c> {
    /// Whether it says that a credential was made. What the token service calls a renewal is a token of its own,
    /// derived from the one that it renews.
    pub(crate) fn issues(&self) -> bool {
        match self.change() {
            Some(Change::Issued) => true,
            Some(Change::Renewed) => self.rec.is_of_token_service(),
            _ => false,
        }
    }

    /// Whether it says that Deed itself issued the token, and so gave the right that it stands for.
    pub(crate) fn is_token_of_ours(&self) -> bool {
        self.rec.is.kind == Kind::Credential && self.issues() && self.rec.is_of_token_service()
    }

    /// How an end of a right is called: a suspension can be lifted again.
    pub(crate) fn taken_away(&self) -> &'static str {
        if self.rec.is.operation.as_deref() == Some("suspend") { "suspended" } else { "revoked" }
    }

    /// Whether it ends a credential and nothing that was derived from it.
    pub(crate) fn is_of_it_alone(&self) -> bool {
        self.rec.is.resource.as_ref().is_some_and(|resource| resource.uri.ends_with(ALONE))
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.rec.is.time
    }

    pub(crate) fn change(&self) -> Option<Change> {
        self.terms.and_then(|terms| terms.change)
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.credential
            .and_then(|credential| credential.expires)
            .or(self.terms.and_then(|terms| terms.expires))
    }

    pub(crate) fn scopes(&self) -> &'c [Text<'c>] {
        let of_credential = self.credential.map_or(&[][..], |credential| &credential.scopes);
        if of_credential.is_empty() {
            self.terms.map_or(&[][..], |terms| &terms.scopes)
        } else {
            of_credential
        }
    }

    /// Whether it describes what is valid from its time on, rather than an end of it.
    fn describes(&self) -> bool {
        matches!(self.change(), None | Some(Change::Issued | Change::Renewed | Change::Altered))
    }

    /// Whether it makes valid again what had ended.
    fn begins(&self) -> bool {
        matches!(self.change(), Some(Change::Issued | Change::Renewed))
    }
}

/// What stands of a credential or a grant at a moment, by event time alone (D6).
///
/// A party's own word counts only where nobody else says anything, except that bad news always counts:
/// whoever says `revoked` is believed, and only a word at least as firm takes it back.
#[derive(Default)]
pub(crate) struct Standing<'c> {
    /// The revocation that was in force.
    pub(crate) revoked: Option<Claim<'c>>,
    /// When it was said to have ended by itself.
    pub(crate) ended: Option<Claim<'c>>,
    /// When it ends, as last said.
    pub(crate) expires: Option<Timestamp>,
    /// The scopes it held, as last said; empty where nobody said.
    pub(crate) scopes: &'c [Text<'c>],
    /// Who said which scopes it held.
    pub(crate) scopes_by: Option<&'c Rec<'c>>,
    /// When it was last replaced by another.
    pub(crate) rotated: Option<Claim<'c>>,
}

impl<'c> Standing<'c> {
    /// What stands at `moment`; `claims` are about one thing, in the order of event time.
    pub(crate) fn at(moment: Timestamp, claims: &[Claim<'c>]) -> Self {
        let before = |claim: &&Claim<'c>| claim.time() <= moment;
        let mended = |end: &Claim<'c>| {
            claims.iter().filter(before).any(|claim| {
                claim.begins() && claim.time() > end.time() && (claim.rec.firm() || !end.rec.firm())
            })
        };
        let ended_by = |change: Change| {
            let of_that = claims.iter().filter(|claim| claim.change() == Some(change));
            of_that.filter(|end| end.time() < moment && !mended(end)).copied().next()
        };
        let last = |says: &dyn Fn(&Claim<'c>) -> bool| {
            let saying = || claims.iter().filter(before).filter(|claim| claim.describes() && says(claim));
            saying().rfind(|claim| claim.rec.firm()).or_else(|| saying().next_back()).copied()
        };
        let scopes = last(&|claim| !claim.scopes().is_empty());
        Standing {
            revoked: ended_by(Change::Revoked),
            ended: ended_by(Change::Expired),
            expires: last(&|claim| claim.expires().is_some()).and_then(|claim| {
                // Two words of the same time: the earlier end.
                let same =
                    claims.iter().filter(|c| c.time() == claim.time() && c.rec.firm() == claim.rec.firm());
                same.filter(|c| c.describes()).filter_map(Claim::expires).min()
            }),
            scopes: scopes.map_or(&[], |claim| claim.scopes()),
            scopes_by: scopes.map(|claim| claim.rec),
            rotated: ended_by(Change::Rotated),
        }
    }

    /// Whether it had ended by `moment`. An end is the first moment at which it is no longer valid
    /// (RFC 7519, section 4.1.4).
    pub(crate) fn is_over(&self, moment: Timestamp) -> bool {
        self.ended.is_some() || self.expires.is_some_and(|expires| moment >= expires)
    }
}

/// To whom a claim gives something.
pub(crate) fn subject(claim: &Claim<'_>) -> Option<Account> {
    let terms = claim.terms?;
    terms.subject.as_ref()?.account
}
