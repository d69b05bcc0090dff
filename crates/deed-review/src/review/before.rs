//! What was denied, and what tools had become: held against what is done afterwards, whichever of both comes first.

use deed_identity::{CredentialKey, GrantKey, State};
use deed_record::{Account, Basis, Change, Effect, Kind, RecordId, Ruling, Skeleton, Timestamp, Tried};

use super::{Digest, Known, Look, Review};
use crate::gather::{SKEW, WITHIN, gave_itself, gives_to, is_definition, may_be_eluded, may_elude};

impl Review {
    /// Whether it was denied to the same principal within two days; what a denial, or what takes it back, changes for
    /// actions that came before it.
    pub(super) fn eludes(&mut self, rec: &Skeleton<'_>, known: &impl Known) -> bool {
        let denied = rec.action.filter(|_| answers(rec)).into_iter().chain(rec.supersedes);
        self.looks.extend(denied.map(Look::Denied));
        let tried = rec.tried();
        let is_let = matches!(tried, Some((Tried::Allowed, ..)));
        for uri in rec.opens() {
            self.opens(uri, rec.time);
        }
        if is_let || rec.gives().next().is_some() {
            let until = Timestamp(rec.time.0.saturating_add(WITHIN));
            let later = self.eluding.range((rec.time, RecordId([0; 16]))..=(until, RecordId([u8::MAX; 16])));
            self.looks.extend(later.map(|(_, id)| Look::Action(*id)));
        }
        let eludes = self.eludes_a_call(rec, known);
        let Some((tried, account, uri)) = tried else { return eludes };
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
                eludes
            }
            Tried::Allowed => eludes,
            Tried::Done => {
                let last = self.done.entry(slot).or_insert(rec.time);
                *last = (*last).max(rec.time);
                eludes || self.denied.contains(&place) && self.denied.contains(&by_whom()[0])
            }
        }
    }

    /// Whether a call that says not what it was of was denied to the same principal minutes before; what such a denial changes
    /// for what was done minutes after it.
    fn eludes_a_call(&mut self, rec: &Skeleton<'_>, known: &impl Known) -> bool {
        let Some(account) = rec.executor.as_ref().and_then(|party| party.account) else { return false };
        let denied = rec.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::Deny);
        let may_be = denied || rec.kind == Kind::Observation && rec.basis == Basis::Imported;
        // Only the inventory knows that they act under another name.
        if !may_be || known.declared(&rec.tenant, account).is_none() {
            return false;
        }
        let whose = whose(rec, account, known);
        let shortly = rec.time.0.div_euclid(SKEW);
        let near = |at: i64| place_key(&format!("{whose}\0{at}"), "\0call");
        let slot = slot_of(place_key(&whose, "\0call"));
        if may_be_eluded(rec) {
            self.denied.extend([shortly, shortly + 1].map(near));
            if self.done.get(&slot).is_some_and(|last| *last >= rec.time) {
                self.looks.insert(Look::Denied(rec.id));
            }
        } else if may_elude(rec) {
            let last = self.done.entry(slot).or_insert(rec.time);
            *last = (*last).max(rec.time);
            return self.denied.contains(&near(shortly));
        }
        false
    }

    /// What was given on a thing at `since` may be the right to what was done there, or to anything in it.
    fn opens(&mut self, uri: &str, since: Timestamp) {
        // `0` follows `/`: whatever is in it stands between.
        let inside = self.ungranted.range(format!("{uri}/")..format!("{uri}0")).map(|(_, there)| there);
        let there = self.ungranted.get(uri).into_iter().chain(inside).flatten();
        let later = there.filter(|id| self.flagged.get(id).is_some_and(|flagged| flagged.time >= since));
        self.looks.extend(later.map(|id| Look::Action(*id)));
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
        // What somebody gave themselves takes back no denial, and may be the way on which they did it after one.
        let of_its_own = |account| {
            let theirs = known.every_account(&rec.tenant, account);
            let gave = gave_itself(rec, &theirs) && gives_to(rec, &theirs);
            gave && theirs.iter().any(|account| may_have_acted(state, *account, rec.time))
        };
        let own = |account| tells && rec.basis != Basis::Reported && of_its_own(account);
        if of_named || removed || rec.entitles().any(|account| late(account) || own(account)) {
            self.looks.insert(Look::Right(rec.id));
        }
    }

    /// What a suspension or a removal, or the end of one, changes for what was done since then; remembers whom it stops.
    pub(super) fn stops(&mut self, rec: &Skeleton<'_>, state: &State, known: &impl Known) {
        let acted_since = |account: &Account| may_have_acted(state, *account, rec.time);
        let ours = rec.stops().into_iter().flat_map(|(account, stops)| {
            known.every_account(&rec.tenant, account).into_iter().map(move |account| (account, stops, true))
        });
        // On whom a lock was is found by its name.
        if rec.lifts().is_some() && !self.stopped.is_empty() {
            self.looks.insert(Look::Right(rec.id));
        }
        // What another system takes is of its own account, and what it gives back matters where something was taken.
        let theirs = rec
            .withdrawals()
            .map(|withdrawal| (withdrawal.account, withdrawal.is_taken(), withdrawal.is_taken()));
        let released = |account| {
            let last = self.done.get(&slot_of(holder_key(rec, account, known)));
            rec.stops().is_some() && last.is_some_and(|last| *last > rec.time)
        };
        for (account, stops, matters) in ours.chain(theirs) {
            if (matters || self.stopped.contains_key(&account))
                && (acted_since(&account) || released(account))
            {
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

    /// Remembers when somebody acted where every right is in the log, or was let go on with what had waited for a human.
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

/// Whether `account` acted after `time`; of whom nothing is kept may have done anything.
fn may_have_acted(state: &State, account: Account, time: Timestamp) -> bool {
    let facts = state.account(account);
    facts.is_none_or(|facts| facts.last_acted.is_some_and(|(last, _)| last > time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        review::Flagged,
        rules::{ACTION_WITHOUT_GRANT, DENIED_THEN_DONE},
        words::Severity,
    };

    #[test]
    fn what_is_opened_leads_to_what_was_done_there_and_in_it() {
        let names =
            ["s3:a", "s3:a/", "s3:a/b", "s3:a/b/c", "s3:a0", "s3:a-b", "s3:ab/c", "s3:", "s3", "t:a/b"];
        let flagged = |name: &str, time: i64, rule: &crate::rules::Rule| Flagged {
            time: Timestamp(time),
            tenant: "default".to_owned(),
            initiator: None,
            executor: None,
            credentials: Vec::new(),
            resource: Some(name.to_owned()),
            findings: vec![rule.finding(Severity::High, String::new())],
        };
        let mut review = Review::default();
        for (n, name) in (0..).zip(names) {
            review.flag(RecordId([n; 16]), flagged(name, 5, &ACTION_WITHOUT_GRANT));
            review.flag(RecordId([n + 100; 16]), flagged(name, 5, &DENIED_THEN_DONE));
            review.flag(RecordId([n + 200; 16]), flagged(name, 4, &ACTION_WITHOUT_GRANT));
        }
        let mut led = |uri: &str| {
            review.opens(uri, Timestamp(5));
            let mut found = Vec::new();
            while let Some(Look::Action(id)) = review.looks.pop_first() {
                found.push(names[usize::from(id.0[0])]);
            }
            found
        };
        for uri in names {
            let inside = |name: &&str| **name == *uri || name.starts_with(&format!("{uri}/"));
            assert_eq!(led(uri), names.into_iter().filter(|name| inside(name)).collect::<Vec<_>>(), "{uri}");
        }
        // A role is named with its path or without it.
        let role = |path: &str| format!("aws:arn:aws:iam::111122223333:role/{path}deployer");
        review.flag(RecordId([50; 16]), flagged(&role("apps/"), 5, &ACTION_WITHOUT_GRANT));
        for uri in [role("apps/"), role("")] {
            review.opens(&uri, Timestamp(5));
            assert_eq!(review.looks.pop_first(), Some(Look::Action(RecordId([50; 16]))), "{uri}");
        }
        // What is no finding any more leads nowhere.
        review.flag(RecordId([2; 16]), flagged("s3:a/b", 5, &DENIED_THEN_DONE));
        (0..=u8::MAX).filter(|n| *n != 2).for_each(|n| review.unflag(RecordId([n; 16])));
        assert!(review.ungranted.is_empty());
    }
}
