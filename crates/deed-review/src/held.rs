//! Rights that somebody held when they acted, whether or not a record names them.

use std::iter::once;

use deed_record::{Change, Kind, Skeleton, Timestamp};

use crate::{
    authority::changes,
    claim::{Claim, Standing, subject},
    scope::{Bearing, bearing},
};

/// A right that was in force.
pub(crate) struct Held<'c> {
    pub(crate) claim: Claim<'c>,
    pub(crate) standing: Standing<'c>,
}

impl<'c> Held<'c> {
    /// The right that `grant` gave, as `claims` let it stand at `moment`; `None` where it was not in force.
    pub(crate) fn at(
        moment: Timestamp,
        grant: Claim<'c>,
        claims: impl Iterator<Item = Claim<'c>>,
    ) -> Option<Self> {
        let gives = matches!(grant.change(), None | Some(Change::Issued | Change::Renewed | Change::Altered));
        let begins = grant.terms.and_then(|terms| terms.not_before).unwrap_or(grant.time());
        if !gives || begins.max(grant.time()) > moment {
            return None;
        }
        let mut replaced = false;
        let others = claims.filter(|other| {
            replaced |= other.time() <= moment && leaves_out(other, &grant);
            changes(other, &grant) || takes_back(other, &grant)
        });
        let mut about: Vec<Claim<'c>> = once(grant).chain(others).collect();
        if replaced {
            return None;
        }
        about.sort_by_key(|claim| (claim.time(), claim.rec.is.id));
        let standing = Standing::at(moment, &about);
        (standing.revoked.is_none() && !standing.is_over(moment)).then_some(Held { claim: grant, standing })
    }

    /// How it bears on what `rec` tells of.
    pub(crate) fn bears(&self, rec: &Skeleton<'_>) -> Bearing {
        let bound = self.claim.resource.map(|resource| &*resource.uri);
        bearing(self.standing.scopes, bound, rec)
    }
}

/// What `grant` was given by, where that is a thing of its own that can be removed: a role binding, say.
pub(crate) fn given_by<'c>(grant: &Claim<'c>) -> Option<&'c str> {
    let thing = &*grant.rec.is.resource.as_ref()?.uri;
    grant.resource.filter(|bound| *bound.uri != *thing).map(|_| thing)
}

/// Whether `later` tells anew who has what `grant` was given by, and whoever had it is not among them.
fn leaves_out(later: &Claim<'_>, grant: &Claim<'_>) -> bool {
    let thing = later.resource.map(|resource| &*resource.uri);
    let anew = later.change() == Some(Change::Altered) && subject(later).is_none();
    if !anew || thing.is_none() || thing != given_by(grant) || later.time() <= grant.time() {
        return false;
    }
    let role =
        |claim: &Claim<'_>| claim.terms.and_then(|terms| terms.role.as_ref().map(|role| role.to_string()));
    let listed = || later.rec.claims(Kind::Grant).filter(|claim| subject(claim).is_some());
    let is_listed = |claim: Claim<'_>| subject(&claim) == subject(grant) && role(&claim) == role(grant);
    later.rec.voice() == grant.rec.voice() && listed().next().is_some() && !listed().any(is_listed)
}

/// Whether `later` takes back what `grant` gave, by what it was: logs of other systems know no ids of grants.
pub(crate) fn takes_back(later: &Claim<'_>, grant: &Claim<'_>) -> bool {
    let ends = matches!(later.change(), Some(Change::Revoked | Change::Expired));
    let (Some(theirs), Some(given)) = (later.terms, grant.terms) else { return false };
    let uri = |claim: &Claim<'_>| claim.resource.map(|resource| resource.uri.to_string());
    let removed = || {
        let thing = later.resource.map(|resource| &*resource.uri);
        subject(later).is_none() && thing.is_some() && thing == given_by(grant)
    };
    let ends = ends && later.rec.is.grant.is_none() && later.time() > grant.time();
    if ends && later.rec.voice() == grant.rec.voice() && removed() {
        return true;
    }
    // What was given on one request is not taken back on another.
    let request = later.rec.is.request.zip(grant.rec.is.request);
    ends && request.is_none_or(|(theirs, given)| theirs == given)
        && subject(later).is_some()
        && subject(later) == subject(grant)
        && (theirs.role.is_none() || theirs.role == given.role)
        && (theirs.scopes.is_empty() || theirs.scopes == given.scopes)
        && (uri(later).is_none() || uri(later) == uri(grant))
}
