//! What was denied, and what tools had become: held against what is done afterwards, whichever of both comes first.

use deed_identity::{CredentialKey, GrantKey, State};
use deed_record::{Account, Change, Effect, Kind, RecordId, Skeleton, Timestamp, Tried};

use super::{Digest, Flagged, Known, Look, Review};
use crate::{
    gather::{WITHIN, above, is_definition},
    rules::ACTION_WITHOUT_GRANT,
};

impl Review {
    /// Whether it was denied to the same principal within two days; what a denial, or what takes it back, changes for
    /// actions that came before it.
    pub(super) fn eludes(&mut self, rec: &Skeleton<'_>, known: &impl Known) -> bool {
        let denied = rec.action.filter(|_| answers(rec)).into_iter().chain(rec.supersedes);
        self.looks.extend(denied.map(Look::Denied));
        let tried = rec.tried();
        let is_let = matches!(tried, Some((Tried::Allowed, ..)));
        // What was given on a thing may be the right to what was done there, or to anything in it.
        let opened: Vec<&str> = rec.opens().collect();
        let without =
            |flagged: &Flagged| flagged.findings.iter().any(|f| f.rule == ACTION_WITHOUT_GRANT.name);
        let on = |flagged: &Flagged| {
            let acted_upon = flagged.resource.as_deref();
            acted_upon.is_some_and(|uri| above(uri).any(|uri| opened.contains(&&*uri)))
        };
        if !opened.is_empty() {
            let flagged = self.flagged.iter().filter(|(_, flagged)| flagged.time >= rec.time);
            let flagged = flagged.filter(|(_, flagged)| on(flagged) && without(flagged));
            self.looks.extend(flagged.map(|(id, _)| Look::Action(*id)));
        }
        if is_let || rec.gives().next().is_some() {
            let until = Timestamp(rec.time.0.saturating_add(WITHIN));
            let later = self.eluding.range((rec.time, RecordId([0; 16]))..=(until, RecordId([u8::MAX; 16])));
            self.looks.extend(later.map(|(_, id)| Look::Action(*id)));
        }
        let Some((tried, account, uri)) = tried else { return false };
        let uri = &*uri;
        let place = place_key(&rec.tenant, uri);
        let slot = slot_of(place);
        let by_whom = || {
            let whose = whose(rec, account, known);
            let day = rec.time.0.div_euclid(WITHIN);
            [day, day + 1].map(|day| place_key(&format!("{whose}\0{day}"), uri))
        };
        match tried {
            Tried::Denied => {
                self.denied.insert(place);
                self.denied.extend(by_whom());
                if self.done.get(&slot).is_some_and(|last| *last > rec.time) {
                    self.looks.insert(Look::Denied(rec.id));
                }
                false
            }
            Tried::Allowed => false,
            Tried::Done => {
                let last = self.done.entry(slot).or_insert(rec.time);
                *last = (*last).max(rec.time);
                self.denied.contains(&place) && self.denied.contains(&by_whom()[0])
            }
        }
    }

    /// What a right that is given, changed or taken away changes for what its holder did since then.
    pub(super) fn entitles(&mut self, rec: &Skeleton<'_>, state: &State, known: &impl Known) {
        let late = |account| {
            self.done.get(&slot_of(holder_key(rec, account, known))).is_some_and(|last| *last >= rec.time)
        };
        let tells =
            rec.kind == Kind::Grant || rec.effects.iter().flatten().any(|effect| effect.kind == Kind::Grant);
        let named = rec.grant.filter(|_| tells).map(|id| state.grant(GrantKey::of_record(id)));
        // Whose it is that is named may not be known here.
        let of_named = named.is_some_and(|grant| grant.and_then(|grant| grant.subject).is_none_or(late));
        // A thing was removed, or made another's, by which somebody had it.
        let removed = |effect: &Effect<'_>| {
            let taken = effect.terms.as_ref().filter(|terms| terms.subject.is_none());
            let taken =
                taken.is_some_and(|terms| matches!(terms.change, Some(Change::Revoked | Change::Altered)));
            effect.kind == Kind::Grant && taken && effect.resource.is_some()
        };
        let removed = !self.done.is_empty() && rec.effects.iter().flatten().any(removed);
        if of_named || removed || rec.entitles().any(late) {
            self.looks.insert(Look::Right(rec.id));
        }
    }

    /// What a suspension or a removal, or the end of one, changes for what was done since then; remembers whom it stops.
    pub(super) fn stops(&mut self, rec: &Skeleton<'_>, state: &State, known: &impl Known) {
        // Of whom nothing is kept may have done anything.
        let acted_since = |account: &Account| {
            let facts = state.account(*account);
            facts.is_none_or(|facts| facts.last_acted.is_some_and(|(last, _)| last > rec.time))
        };
        let ours = rec.stops().into_iter().flat_map(|(account, stops)| {
            known.every_account(&rec.tenant, account).into_iter().map(move |account| (account, stops, true))
        });
        // What another system takes is of its own account, and what it gives back matters where something was taken.
        let theirs = rec
            .withdrawals()
            .map(|withdrawal| (withdrawal.account, withdrawal.is_taken(), withdrawal.is_taken()));
        for (account, stops, matters) in ours.chain(theirs) {
            if (matters || self.stopped.contains_key(&account)) && acted_since(&account) {
                self.looks.insert(Look::Right(rec.id));
            }
            if stops {
                let since = self.stopped.entry(account).or_insert(rec.time);
                *since = (*since).min(rec.time);
            }
        }
    }

    /// Whether whoever acted, or asked, was suspended or removed before: whether that still held is judged.
    pub(super) fn is_stopped(&self, rec: &Skeleton<'_>) -> bool {
        let parties = [&rec.executor, &rec.initiator].into_iter().filter(|_| !self.stopped.is_empty());
        let mut accounts = parties.filter_map(|party| party.as_ref()?.account);
        accounts.any(|account| self.stopped.get(&account).is_some_and(|since| *since < rec.time))
    }

    /// Remembers when somebody acted where every right is in the log.
    pub(super) fn acted(&mut self, rec: &Skeleton<'_>, known: &impl Known) {
        let Some(account) = rec.executor.as_ref().and_then(|party| party.account) else { return };
        let last = self.done.entry(slot_of(holder_key(rec, account, known))).or_insert(rec.time);
        *last = (*last).max(rec.time);
    }

    /// Whether it is a call of a tool whose definition waits to be approved; what a definition changes for calls that came
    /// before it.
    pub(super) fn is_unapproved(&mut self, rec: &Skeleton<'_>) -> bool {
        let defined = is_definition(rec);
        let tool = rec.tool.as_ref().filter(|_| defined.is_some());
        let defines = tool.and_then(|tool| Some((tool.server.as_deref()?, &*tool.name)));
        let Some((server, name)) = rec.called().or(defines) else { return false };
        let tool = place_key(&format!("{}\0{server}", rec.tenant), name);
        let slot = slot_of(tool);
        if let Some(waits) = defined {
            self.tools.entry(tool).or_default().insert((rec.time, rec.id), waits);
            if self.done.get(&slot).is_some_and(|last| *last >= rec.time) {
                self.looks.insert(Look::Tool(rec.id));
            }
            return false;
        }
        let last = self.done.entry(slot).or_insert(rec.time);
        *last = (*last).max(rec.time);
        let before = (Timestamp(i64::MIN), RecordId([0; 16]))..=(rec.time, RecordId([u8::MAX; 16]));
        self.tools.get(&tool).and_then(|seen| seen.range(before).next_back()).is_some_and(|(_, waits)| *waits)
    }
}

/// Whether it answers something.
fn answers(rec: &Skeleton<'_>) -> bool {
    rec.kind == Kind::Approval || rec.effects.iter().flatten().any(|effect| effect.kind == Kind::Approval)
}

fn slot_of(key: Digest) -> u16 {
    u16::from_be_bytes([key[0], key[1]])
}

/// Whoever the inventory knows by `account`, else that account.
fn whose(rec: &Skeleton<'_>, account: Account, known: &impl Known) -> String {
    let declared = known.declared(&rec.tenant, account);
    let who = declared.map_or_else(|| account.to_string(), |declared| declared.key);
    // A tenant has no such name.
    format!("{}\0{who}", rec.tenant)
}

fn holder_key(rec: &Skeleton<'_>, account: Account, known: &impl Known) -> Digest {
    place_key(&whose(rec, account, known), "")
}

/// Something that `tenant` knows by that name, other than a credential.
fn place_key(tenant: &str, name: &str) -> Digest {
    CredentialKey::of(&format!("{tenant}\0"), name).to_bytes()
}
