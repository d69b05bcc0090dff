//! Which actions a record may be a finding about, or may change.

use deed_identity::{CredentialKey, CredentialView, Role, State};
use deed_record::{
    Basis, Change, Credential, Kind, RecordId, Ruling, Skeleton, SpanId, Status, Terms, Timestamp, TraceId,
};

use super::{Bounds, Digest, Known, Look, Review};
use crate::{
    claim::is_of_token_service,
    gather::{CALL, may_be_seen, says},
    judge::span_of,
    rules::CHANGED,
    scope::matches,
    verb::changes,
};

/// How far up credentials that were derived from one another are looked at.
const MOST_PARENTS: usize = 8;
/// Of so many credentials that were derived from one, some was used.
const MOST_FOLLOWED: usize = 64;

/// What a record's credential is called, each name digested once.
#[derive(Default)]
struct Shown {
    own: Vec<CredentialKey>,
    parent: Option<CredentialKey>,
    upstream: Option<CredentialKey>,
}

impl Shown {
    fn of(rec: &Skeleton<'_>) -> Self {
        let Some(used) = &rec.credential else { return Shown::default() };
        let key = |name: &str| CredentialKey::of(&rec.tenant, name);
        Shown {
            own: used.names().map(key).collect(),
            parent: used.parent.as_deref().map(key),
            upstream: used.upstream.as_deref().map(key),
        }
    }

    fn with_parent(&self) -> impl Iterator<Item = CredentialKey> {
        self.own.iter().chain(&self.parent).copied()
    }
}

impl Review {
    /// Sees a record. `state` is of the records up to this one, and may be of more.
    pub fn see(&mut self, rec: &Skeleton<'_>, state: &State, known: &impl Known) {
        let shown = Shown::of(rec);
        self.crossed |= self.taken > 0;
        self.remember(rec);
        self.authority(rec, state);
        self.refer(rec, &shown);
        if let Some(action) = rec.action.filter(|action| self.may_change(rec, *action)) {
            // Until the action itself comes, what belongs to it stands alone.
            self.looks.extend([Look::Action(action), Look::Action(rec.id)]);
        }
        let corrected = [rec.supersedes, rec.conflicts_with].into_iter().flatten();
        self.looks.extend(corrected.map(Look::Action));
        if rec.kind == Kind::Intent && rec.basis == Basis::Enforced {
            self.matches(rec);
        }
        self.may_cause(rec, known);
        // Where a span stands in its trace tells what can be of it, and who asked for what is below it.
        let is_span = rec.span_id.is_some() && rec.kind.is_action() && rec.kind != Kind::Outcome;
        let placed = rec.trace_id.filter(|_| is_span || rec.parent_span_id.is_some());
        let above = |trace: &TraceId| {
            let span = rec.span_id.map(|span| span_key(&rec.tenant, *trace, span));
            is_span && span.is_some_and(|span| self.passed.contains(&span))
        };
        let awaited = |trace: &TraceId| self.unmatched.contains(&trace_key(*trace)) || above(trace);
        self.looks.extend(placed.filter(awaited).map(Look::Trace));
        if may_be_seen(rec) && self.is_beside(rec, &shown) {
            self.looks.insert(Look::Beside(rec.id));
        }
        self.entitles(rec, state, known);
        if releases(rec) {
            self.acted(rec, known);
        }
        self.stops(rec, state, known);
        self.is_seen_before(rec, state);
        let eludes = self.eludes(rec, known);
        let unapproved = self.is_unapproved(rec);
        let was_awaited = self.awaited.remove(&rec.id);
        let begins = rec.kind.is_action() && rec.kind != Kind::Outcome;
        if was_awaited || begins && (self.is_suspect(rec, &shown, state, known) || eludes || unapproved) {
            self.looks.insert(Look::Action(rec.id));
            // A call may come that it tells of.
            if may_be_seen(rec) {
                let names = shown.with_parent().map(CredentialKey::to_bytes);
                self.unmatched.extend(names.chain(rec.trace_id.map(trace_key)));
            }
        }
    }

    /// A call of somebody governed, or how one ended: what they did about that time and was found to have gone past the
    /// gateway may be of it, and what may be of it may prove to be of none.
    fn may_cause(&mut self, rec: &Skeleton<'_>, known: &impl Known) {
        let ours = matches!(rec.kind, Kind::Intent | Kind::Outcome) && rec.basis == Basis::Enforced;
        if let Some(action) = rec.action.filter(|_| ours) {
            self.looks.extend(self.waiting.remove(&action).into_iter().flatten().map(Look::Action));
        }
        if !ours || self.past.is_empty() {
            return;
        }
        let calling = rec.executor.as_ref().and_then(|party| party.account);
        let theirs = calling.map(|account| known.every_account(&rec.tenant, account));
        let around = Timestamp(rec.time.0 - CALL)..=Timestamp(rec.time.0 + CALL);
        let (first, last) = (RecordId([0; 16]), RecordId([u8::MAX; 16]));
        let near = self.past.range((*around.start(), first)..=(*around.end(), last)).map(|(_, id)| *id);
        let by_them = |id: &RecordId| {
            let acting = self.flagged.get(id).and_then(|flagged| flagged.executor);
            theirs.as_ref().is_none_or(|theirs| acting.is_some_and(|acting| theirs.contains(&acting)))
        };
        self.looks.extend(near.filter(by_them).map(Look::Action));
    }

    /// Whether what another system tells may be of a call that is a finding, or that was done with a token of Deed's.
    fn is_beside(&self, rec: &Skeleton<'_>, shown: &Shown) -> bool {
        let span = rec.trace_id.zip(rec.parent_span_id);
        span.is_some_and(|(trace, span)| self.open.contains(&span_key(&rec.tenant, trace, span)))
            || shown.with_parent().any(|key| {
                let bounds = self.bounds.get(&key);
                bounds.is_some_and(|bounds| bounds.at_door) || self.open.contains(&key.to_bytes())
            })
    }

    /// Whether what `rec` says of an action may change the findings about it. How an action ends is none by itself,
    /// unless nobody knows, or it was not to be.
    fn may_change(&self, rec: &Skeleton<'_>, action: RecordId) -> bool {
        let telling = rec.outcome.as_ref().is_some_and(|outcome| {
            outcome.status == Status::Unknown
                || outcome.code.as_deref() == Some(CHANGED)
                || !outcome.fields.is_empty()
        });
        // Of Deed's own, the intent has said so before.
        let names_asker = rec.initiator.is_some() && rec.basis != Basis::Enforced;
        rec.kind != Kind::Outcome
            || telling
            || names_asker
            || self.held.contains(&action)
            || self.flagged.contains_key(&action)
    }

    /// An intent that may be the one behind what another system logged.
    fn matches(&mut self, rec: &Skeleton<'_>) {
        let shown = rec.credential.as_ref();
        let names = shown.iter().flat_map(|shown| shown.names().chain(shown.upstream.as_deref()));
        for name in names.filter(|name| self.unmatched.contains(&name_key(rec, name))) {
            self.looks.insert(Look::Credential { tenant: rec.tenant.to_string(), name: name.to_owned() });
        }
        if let Some(trace) = rec.trace_id.filter(|trace| self.unmatched.contains(&trace_key(*trace))) {
            self.looks.insert(Look::Trace(trace));
        }
    }

    /// An earlier sight of a secret whose id was rotated: what was done with it since was done with the old one.
    fn is_seen_before(&mut self, rec: &Skeleton<'_>, state: &State) {
        let Some(name) = rec.credential.as_ref().and_then(|used| used.fingerprint.as_deref()) else { return };
        let rotated = state
            .views_of(CredentialKey::of(&rec.tenant, name))
            .any(|view| view.last(Change::Rotated).is_some_and(|rotated| rec.time < rotated));
        if rotated {
            self.looks.insert(Look::Credential { tenant: rec.tenant.to_string(), name: name.to_owned() });
        }
    }

    /// What later records are held against.
    fn remember(&mut self, rec: &Skeleton<'_>) {
        if rec.decision.as_ref().is_some_and(|decision| decision.effect != Ruling::Allow) {
            self.hold(rec);
        }
        if let Some(trace) = rec.trace_id.filter(|_| says(rec)) {
            self.tasks.insert(trace_key(trace));
            self.looks.insert(Look::Trace(trace));
        }
        let at_door = is_of_token_service(rec);
        for (credential, terms) in told(rec) {
            let scoped = !credential.scopes.is_empty() || terms.is_some_and(|terms| !terms.scopes.is_empty());
            let ends =
                [credential.expires, terms.and_then(|terms| terms.expires)].into_iter().flatten().min();
            for name in credential.names() {
                let bounds = self.bounds.entry(CredentialKey::of(&rec.tenant, name)).or_default();
                bounds.scopes |= scoped && !at_door;
                bounds.scopes_at_door |= scoped && at_door;
                bounds.at_door |= at_door;
                bounds.environment |= rec.environment.is_some();
                bounds.ends = bounds.ends.into_iter().chain(ends).min();
            }
        }
    }

    /// How it ends decides, whoever tells.
    fn hold(&mut self, rec: &Skeleton<'_>) {
        self.held.insert(rec.id);
        let open = span_of(rec).map(|(trace, span)| span_key(&rec.tenant, trace, span));
        self.open.extend(open);
    }

    /// What a record that changes authority changes for actions that came before it. Those that come after it are
    /// screened by what it says.
    fn authority(&mut self, rec: &Skeleton<'_>, state: &State) {
        for (credential, _) in told(rec) {
            for name in credential.names() {
                if self.was_used(CredentialKey::of(&rec.tenant, name), state) {
                    let look = Look::Credential { tenant: rec.tenant.to_string(), name: name.to_owned() };
                    self.looks.insert(look);
                }
            }
        }
        let rights = [Kind::Grant, Kind::Request, Kind::Approval];
        let effects = rec.effects.iter().flatten().any(|effect| rights.contains(&effect.kind));
        if rights.contains(&rec.kind) || rec.kind == Kind::Exception || effects {
            // Nothing rests on a right of which nobody has spoken.
            let own = Some(rec.id).filter(|id| rec.kind.is_action() || self.referred.contains(&short(&id.0)));
            let named = [own, rec.request, rec.grant, rec.exception];
            let approvals = rec.approvals.iter().flatten().copied();
            self.looks.extend(named.into_iter().flatten().chain(approvals).map(Look::Relying));
        }
    }

    /// Whether the credential, or one that was derived from it, was used in what was seen.
    fn was_used(&self, key: CredentialKey, state: &State) -> bool {
        let (mut keys, mut at) = (vec![key], 0);
        while let Some(key) = keys.get(at).copied() {
            at += 1;
            if self.used.contains(&short(&key.to_bytes())) {
                return true;
            }
            // `state` may know of more than was seen: then it is looked at in vain.
            let further = state.names_of(key).into_iter().chain(state.children(key));
            let further: Vec<_> = further.filter(|key| !keys.contains(key)).collect();
            keys.extend(further);
            if keys.len() > MOST_FOLLOWED {
                return true;
            }
        }
        false
    }

    /// Remembers which credentials were used, and which rights were named.
    fn refer(&mut self, rec: &Skeleton<'_>, shown: &Shown) {
        let named = [rec.request, rec.grant, rec.exception, rec.supersedes, rec.conflicts_with];
        let outcome = rec.outcome.iter().flat_map(|outcome| [outcome.compensates, outcome.retry_of]);
        let handed = rec.chain.iter().flatten().map(|hop| hop.delegation);
        let named = named.into_iter().chain(outcome).chain(handed).flatten();
        self.referred.extend(named.chain(rec.approvals.iter().flatten().copied()).map(|id| short(&id.0)));
        if !rec.kind.is_action() && rec.action.is_none() {
            return;
        }
        let key = |name: &str| short(&CredentialKey::of(&rec.tenant, name).to_bytes());
        self.used.extend(shown.own.iter().chain(&shown.upstream).map(|key| short(&key.to_bytes())));
        for (credential, _) in told(rec) {
            self.used.extend(credential.names().chain(credential.upstream.as_deref()).map(key));
        }
        let hops = rec.chain.iter().flatten().filter_map(|hop| hop.credential.as_deref());
        self.used.extend(hops.map(key));
    }

    /// Whether a rule may speak about this action.
    fn is_suspect(&mut self, rec: &Skeleton<'_>, shown: &Shown, state: &State, known: &impl Known) -> bool {
        // What Deed let through was held to its token's scopes and time, and handed on by narrowing (D7).
        let at_door = rec.kind == Kind::Intent && rec.basis == Basis::Enforced;
        let relies = rec.approvals.is_some() || rec.request.is_some() || rec.grant.is_some() && !at_door;
        let handed_on = rec.chain.as_ref().is_some_and(|hops| !hops.is_empty());
        let for_nobody = rec.initiator.as_ref().and_then(|party| party.account).is_none();
        // Both note what is to be looked at later, so that neither may go unasked.
        let watched = self.is_somebody_watched(rec, shown, known);
        let watched = self.is_place_watched(rec, known) || watched;
        watched
            || relies
            || self.is_stopped(rec)
            || handed_on && (for_nobody || !at_door)
            || self.held.contains(&rec.id)
            || rec.trace_id.is_some_and(|trace| self.tasks.contains(&trace_key(trace)))
            || is_beyond_clearance(rec, known)
            || is_engaged(rec, known)
            || rec
                .credential
                .as_ref()
                .is_some_and(|used| self.is_credential_suspect(rec, used, shown, state, known))
    }

    fn is_somebody_watched(&mut self, rec: &Skeleton<'_>, shown: &Shown, known: &impl Known) -> bool {
        let imported = rec.basis == Basis::Imported;
        let system = rec.source.as_ref().map(|source| &*source.system);
        if imported && system.is_some_and(|system| known.logs_every_grant(system)) {
            self.acted(rec, known);
            return true;
        }
        let account = rec.executor.as_ref().and_then(|party| party.account);
        let Some(declared) = account.and_then(|account| known.declared(&rec.tenant, account)) else {
            return false;
        };
        let governed = imported && declared.governed;
        if governed {
            let names = shown.own.iter().map(|key| key.to_bytes());
            self.unmatched.extend(names.chain(rec.trace_id.map(trace_key)));
        }
        let elsewhere = |here: &str| {
            !declared.environments.is_empty() && !declared.environments.iter().any(|theirs| theirs == here)
        };
        governed || declared.contract.is_some() || rec.environment.as_deref().is_some_and(elsewhere)
    }

    /// Whether the inventory says who may approve what is done there, when it may be changed, or that what was given out is
    /// restricted.
    fn is_place_watched(&mut self, rec: &Skeleton<'_>, known: &impl Known) -> bool {
        let Some(place) = rec.acted_upon().and_then(|uri| known.controlled(&uri)) else { return false };
        let bounded = !place.approvers.is_empty() && (rec.grant.is_some() || rec.credential.is_some());
        let open = || place.change_windows.iter().any(|window| window.covers(rec.time));
        // What an intent announces may be done at another time.
        let closed = !place.change_windows.is_empty() && (rec.kind == Kind::Intent || !open());
        let closed = closed && changes(rec) == Some(true);
        if closed {
            self.hold(rec);
        }
        let given = rec.outcome.iter().flat_map(|outcome| &outcome.fields);
        bounded
            || closed
            || given.into_iter().any(|given| place.restricted_fields.iter().any(|field| **field == **given))
    }

    fn is_credential_suspect(
        &self,
        rec: &Skeleton<'_>,
        used: &Credential<'_>,
        shown: &Shown,
        state: &State,
        known: &impl Known,
    ) -> bool {
        let beyond = |permission: &str| !used.scopes.iter().any(|scope| matches(scope, permission));
        used.expires.is_some_and(|end| rec.time >= end)
            || !used.scopes.is_empty() && rec.permission.as_deref().is_some_and(beyond)
            || shown.own.iter().any(|key| self.is_doubtful(rec, *key, state, known))
    }

    /// Whether what is known of a credential may count against this use of it.
    fn is_doubtful(&self, rec: &Skeleton<'_>, key: CredentialKey, state: &State, known: &impl Known) -> bool {
        // Whoever is engaged for something, and opened a session, is held to that in whatever came of it.
        let engaged =
            |account| known.declared(&rec.tenant, account).is_some_and(|who| who.contract.is_some());
        let opened = |told: &[CredentialView<'_>]| {
            told.iter().flat_map(|view| view.holders()).any(|(account, _)| engaged(account))
        };
        let bounds = |key: &CredentialKey| self.bounds.get(key).copied().unwrap_or_default();
        let scoped = |bounds: Bounds| bounds.scopes || bounds.scopes_at_door && rec.basis != Basis::Enforced;
        let ended = |key: &CredentialKey, known: &[CredentialView<'_>]| {
            let ends = [Change::Revoked, Change::Expired, Change::Rotated];
            let mut changes = known.iter().flat_map(|view| view.changes());
            bounds(key).ends.is_some_and(|end| rec.time >= end)
                || changes.any(|(change, first)| ends.contains(&change) && first <= rec.time)
        };
        let own = bounds(&key);
        if scoped(own) && rec.permission.is_some() || own.environment && rec.environment.is_some() {
            return true;
        }
        let told: Vec<CredentialView<'_>> = state.views_of(key).collect();
        let acting = rec.executor.as_ref().and_then(|party| party.account);
        let theirs = |(account, role)| role == Role::Given && Some(account) != acting;
        let late = |(change, first)| change == Change::Issued && first > rec.time;
        if told
            .iter()
            .any(|view| view.more_holders() || view.holders().any(theirs) || view.changes().any(late))
            || ended(&key, &told)
            || opened(&told)
        {
            return true;
        }
        let mut above = parents(&told);
        for _ in 0..MOST_PARENTS {
            let [parent] = above[..] else { return !above.is_empty() };
            // Whether it narrowed is seen by holding both against each other.
            if scoped(bounds(&parent)) {
                return true;
            }
            let told: Vec<CredentialView<'_>> = state.views_of(parent).collect();
            if ended(&parent, &told) || opened(&told) {
                return true;
            }
            above = parents(&told);
        }
        !above.is_empty()
    }
}

/// Whether Deed decided again on what had waited for a human: what is let go on is done then.
fn releases(rec: &Skeleton<'_>) -> bool {
    let allowed = rec.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::Allow);
    allowed && rec.basis == Basis::Enforced && rec.kind == Kind::Step && rec.action.is_some()
}

/// Whether somebody asked for it, or handed it on, who is engaged for something.
fn is_engaged(rec: &Skeleton<'_>, known: &impl Known) -> bool {
    let between = rec.chain.iter().flatten().map(|hop| &hop.principal);
    let accounts = rec.initiator.iter().chain(between).filter_map(|party| party.account);
    let mut declared = accounts.filter_map(|account| known.declared(&rec.tenant, account));
    declared.any(|who| who.contract.is_some())
}

/// Whether it is classified beyond what a party to it is cleared for.
fn is_beyond_clearance(rec: &Skeleton<'_>, known: &impl Known) -> bool {
    let place = rec.acted_upon().and_then(|uri| known.controlled(&uri));
    let sealed = || rec.resource.as_ref().and_then(|resource| resource.classification.as_deref());
    let Some(classified) = place.as_ref().map(|place| &*place.classification).or_else(sealed) else {
        return false;
    };
    let parties = [&rec.initiator, &rec.executor].into_iter().flatten().filter_map(|party| party.account);
    let mut parties = parties.filter_map(|account| known.declared(&rec.tenant, account));
    parties.any(|who| !who.clearance.is_empty() && !who.clearance.iter().any(|cleared| cleared == classified))
}

/// What a credential is said to come from: one, unless its names disagree.
fn parents(known: &[CredentialView<'_>]) -> Vec<CredentialKey> {
    let mut parents: Vec<CredentialKey> =
        known.iter().filter_map(|view| view.parent()).map(|(_, parent)| parent).collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

/// Credentials that the record says something about, rather than using them, and on which terms.
fn told<'r, 'a>(rec: &'r Skeleton<'a>) -> impl Iterator<Item = (&'r Credential<'a>, Option<&'r Terms<'a>>)> {
    let own = rec.credential.as_ref().filter(|_| rec.kind == Kind::Credential);
    let effects = rec.effects.iter().flatten().filter(|effect| effect.kind == Kind::Credential);
    let effects = effects.filter_map(|effect| Some((effect.credential.as_ref()?, effect.terms.as_ref())));
    own.map(|own| (own, rec.terms.as_ref())).into_iter().chain(effects)
}

fn name_key(rec: &Skeleton<'_>, name: &str) -> Digest {
    CredentialKey::of(&rec.tenant, name).to_bytes()
}

pub(super) fn span_key(tenant: &str, trace: TraceId, span: SpanId) -> Digest {
    // A tenant has no such name.
    CredentialKey::of(&format!("{tenant}\0{trace}"), &span.to_string()).to_bytes()
}

/// Enough of an id or a digest to know it again. Who has the same is judged in vain.
fn short(bytes: &Digest) -> u64 {
    let (head, tail) = bytes.split_first_chunk::<8>().map_or(([0; 8], &[][..]), |(head, tail)| (*head, tail));
    let tail = tail.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(head) ^ u64::from_be_bytes(tail).rotate_left(32)
}

fn trace_key(trace: TraceId) -> Digest {
    trace.0
}
