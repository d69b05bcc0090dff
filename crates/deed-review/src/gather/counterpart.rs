//! One call as two systems tell of it: Deed, which let it through, and the system behind, whose log has it as well.
//!
//! What ties them is a pure function of both records and of what was said about the credential; it is the same from
//! either side, and in any order of arrival (D6). What the call's own span is the parent of is a part of that call, however
//! many there are. By anything weaker they are one action only where each is the other's only fit: of two that fit equally
//! well neither is chosen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_record::{Basis, Credential, Kind, RecordId, Skeleton, Status, Timestamp};

use super::{
    MOST_ALIKE, MOST_NAMING, SKEW,
    beside::{AT_WORK, is_call, waited},
    mapping_version, parent_of,
};
use crate::{
    Evidence, ExplainError, Found,
    case::{Counterpart, Rec, Standing, Tie, corrects, voice_of},
    claim::is_of_token_service,
};

/// Most records of a trace that are looked at.
pub(super) const MOST_IN_TRACE: usize = 1024;

/// Most records that are told of where several fit.
const MOST_TOLD: usize = 8;

/// Records of how an intent ended that are looked at for its time.
const MOST_ENDINGS: usize = 16;

/// What tells of the same call as a record, and how that is known.
#[derive(Default)]
pub(crate) struct Counterparts {
    /// The records that are one action with it: the same call, or a part of it.
    pub(crate) joined: Vec<(Standing, Found)>,
    /// All that may tell of the same call, the joined ones among them.
    pub(crate) told: Vec<Counterpart>,
}

/// A record that fits, and how.
struct Fit {
    tie: Tie,
    id: RecordId,
    found: Found,
}

/// Records that fit; `cut` where there may be more.
#[derive(Default)]
struct Fits {
    all: Vec<Fit>,
    /// The trace was not read to its end.
    trace_cut: bool,
    /// Uses of the credential were not read to their end.
    use_cut: bool,
    /// Another call of the trace has the same span.
    span_shared: bool,
}

impl Fits {
    /// The best of them, unless there may be others as good.
    fn best(&self) -> (Option<Tie>, Vec<&Fit>) {
        let best = self.all.iter().map(|fit| fit.tie).max();
        let cut = self.trace_cut || self.use_cut && best != Some(Tie::Span);
        let best = best.filter(|_| !cut);
        (best, self.all.iter().filter(|fit| Some(fit.tie) == best).collect())
    }
}

/// Looks for counterparts.
pub(crate) struct Search<'e, E> {
    evidence: &'e E,
    /// Every name by which a credential may have been shown, by one of its names.
    known_as: HashMap<String, BTreeSet<String>>,
    /// When calls had ended.
    ended: HashMap<RecordId, Option<Timestamp>>,
}

impl<'e, E: Evidence> Search<'e, E> {
    pub(crate) fn new(evidence: &'e E) -> Self {
        Search { evidence, known_as: HashMap::new(), ended: HashMap::new() }
    }

    /// What other systems logged of the call that `intent` let through.
    pub(crate) fn sightings(
        &mut self,
        intent: &Skeleton<'_>,
    ) -> Result<Counterparts, ExplainError<E::Error>> {
        let fits = self.fitting_sightings(intent)?;
        let mut by_voice: BTreeMap<String, Vec<Fit>> = BTreeMap::new();
        let Fits { all, trace_cut, use_cut, span_shared } = fits;
        for fit in all {
            let voice = voice_of(&read(&fit.found)?).to_owned();
            by_voice.entry(voice).or_default().push(fit);
        }
        let mut counterparts = Counterparts::default();
        for all in by_voice.into_values() {
            let fits = Fits { all, trace_cut, use_cut, span_shared };
            let (Some(tie), best) = fits.best() else { continue };
            let standing = standing(tie, best.len());
            if matches!(standing, Standing::Ambiguous(_)) {
                for fit in best.into_iter().take(MOST_TOLD) {
                    counterparts.tell(fit, standing)?;
                }
                continue;
            }
            for fit in best {
                // Nothing fits better than the one span that is the parent.
                let calls = match tie {
                    Tie::Span if !span_shared => vec![intent.id],
                    _ => self.fitting_calls(&read(&fit.found)?)?.best_ids().1,
                };
                let is_of_it = calls == [intent.id];
                let standing = if is_of_it { standing } else { Standing::Ambiguous(calls.len().max(2)) };
                counterparts.tell(fit, standing)?;
            }
        }
        counterparts.told.sort_by_key(|told| (told.time, told.record));
        Ok(counterparts)
    }

    /// The call that another system saw, as `seen` tells.
    pub(crate) fn call(&mut self, seen: &Skeleton<'_>) -> Result<Counterparts, ExplainError<E::Error>> {
        let fits = self.fitting_calls(seen)?;
        let (Some(tie), best) = fits.best() else { return Ok(Counterparts::default()) };
        let mut counterparts = Counterparts::default();
        let [fit] = &best[..] else {
            for fit in best.iter().take(MOST_TOLD) {
                counterparts.tell(fit, Standing::Ambiguous(best.len()))?;
            }
            return Ok(counterparts);
        };
        let of_it = self.fitting_sightings(&read(&fit.found)?)?;
        let mut theirs = Fits { all: Vec::new(), ..of_it };
        for other in of_it.all {
            if voice_of(&read(&other.found)?) == voice_of(seen) {
                theirs.all.push(other);
            }
        }
        let (_, others) = theirs.best_ids();
        let standing = match &others[..] {
            [] => return Ok(counterparts),
            // Another reading of its event stands.
            others if !others.contains(&seen.id) => Standing::Ambiguous(others.len().max(2)),
            others => standing(tie, others.len()),
        };
        counterparts.tell(fit, standing)?;
        Ok(counterparts)
    }

    /// Every action whose counterparts may be others because of `rec`. Where more calls fit than [`MOST_TOLD`], it is
    /// joined with none, and hardly parts others: each record of a token that is used all the time leads to itself.
    pub(crate) fn neighbours(
        &mut self,
        rec: &Skeleton<'_>,
    ) -> Result<BTreeSet<RecordId>, ExplainError<E::Error>> {
        let mut ids = BTreeSet::from([rec.id]);
        let calls = self.fitting_calls(rec)?;
        let calls: Vec<Found> = calls.best().1.into_iter().map(|fit| fit.found.clone()).collect();
        if calls.len() > MOST_TOLD {
            return Ok(ids);
        }
        for found in &calls {
            let call = read(found)?;
            ids.insert(call.id);
            ids.extend(self.fitting_sightings(&call)?.all.iter().map(|fit| fit.id));
        }
        Ok(ids)
    }

    /// Intents that fit what `seen` tells of.
    fn fitting_calls(&mut self, seen: &Skeleton<'_>) -> Result<Fits, ExplainError<E::Error>> {
        let mut fits = Fits::default();
        if !may_be_seen(seen) {
            return Ok(fits);
        }
        let mut found: BTreeMap<RecordId, Found> = BTreeMap::new();
        fits.trace_cut = self.in_trace(seen, &mut found)?;
        for name in self.shown(seen)? {
            let calls = self.evidence.by_call(&seen.tenant, &name, MOST_NAMING);
            fits.use_cut |= keep(seen, calls, MOST_NAMING, &mut found)?;
        }
        for (id, found) in found {
            let call = read(&found)?;
            let tie = if is_call(&call) { self.tie(&call, seen)? } else { None };
            fits.all.extend(tie.map(|tie| Fit { tie, id, found: found.clone() }));
        }
        Ok(fits)
    }

    /// What other systems logged that fits the call which `intent` let through: one record of each event.
    fn fitting_sightings(&mut self, intent: &Skeleton<'_>) -> Result<Fits, ExplainError<E::Error>> {
        let mut fits = Fits::default();
        let mut found: BTreeMap<RecordId, Found> = BTreeMap::new();
        fits.trace_cut = self.in_trace(intent, &mut found)?;
        for other in found.values() {
            let other = read(other)?;
            fits.span_shared |= other.id != intent.id && is_call(&other) && other.span_id == intent.span_id;
        }
        let upstream = intent.credential.as_ref().and_then(|shown| shown.upstream.as_deref());
        let mut names: BTreeSet<String> = match (upstream, &intent.credential) {
            (Some(upstream), _) => self.aliases(&intent.tenant, upstream)?.0,
            (None, Some(shown)) => shown.names().map(str::to_owned).collect(),
            (None, None) => BTreeSet::new(),
        };
        let mut todo: Vec<String> = names.iter().cloned().collect();
        while let Some(name) = todo.pop() {
            let mut uses: BTreeMap<RecordId, Found> = BTreeMap::new();
            let named = self.evidence.by_use(&intent.tenant, &name, MOST_NAMING);
            fits.use_cut |= keep(intent, named, MOST_NAMING, &mut uses)?;
            // What was made with the token was shown in its place.
            for derived in uses.values().filter(|_| upstream.is_some()) {
                let derived = read(derived)?;
                let calling = derived.credential.iter().flat_map(Credential::names).any(|own| own == name);
                let made = derived.effects.iter().flatten().filter(|effect| effect.kind == Kind::Credential);
                for made in made.filter_map(|effect| effect.credential.as_ref()) {
                    let fresh = made.names().filter(|_| calling || made.parent.as_deref() == Some(&name));
                    let fresh = fresh.filter(|name| names.len() < MOST_ALIKE && !names.contains(*name));
                    let fresh: Vec<String> = fresh.map(str::to_owned).collect();
                    names.extend(fresh.iter().cloned());
                    todo.extend(fresh);
                }
            }
            found.extend(uses);
        }
        let mut seen: Vec<(Tie, Found)> = Vec::new();
        for found in found.into_values() {
            let rec = read(&found)?;
            if may_be_seen(&rec)
                && let Some(tie) = self.tie(intent, &rec)?
            {
                seen.push((tie, found.clone()));
            }
        }
        fits.all = one_of_each_event(seen)?;
        Ok(fits)
    }

    fn in_trace(
        &self,
        rec: &Skeleton<'_>,
        into: &mut BTreeMap<RecordId, Found>,
    ) -> Result<bool, ExplainError<E::Error>> {
        let placed = if is_call(rec) { rec.span_id } else { rec.parent_span_id };
        let Some(trace) = rec.trace_id.filter(|_| placed.is_some()) else { return Ok(false) };
        keep(rec, self.evidence.by_trace(trace, MOST_IN_TRACE), MOST_IN_TRACE, into)
    }

    /// What ties the call that `intent` let through to what `seen` tells of.
    fn tie(
        &mut self,
        intent: &Skeleton<'_>,
        seen: &Skeleton<'_>,
    ) -> Result<Option<Tie>, ExplainError<E::Error>> {
        let (since, waited) = (seen.time.0 - intent.time.0, waited(intent));
        let named = |rec: &Skeleton<'_>| rec.tool.as_ref().map(|tool| tool.name.to_string());
        let other_tool = named(intent).zip(named(seen)).is_some_and(|(ours, theirs)| ours != theirs);
        if intent.tenant != seen.tenant || !(-SKEW..=AT_WORK + waited).contains(&since) || other_tool {
            return Ok(None);
        }
        if intent.trace_id.is_some() && intent.trace_id == seen.trace_id && seen.parent_span_id.is_some() {
            // Elsewhere in the same trace it is another call.
            return Ok((seen.parent_span_id == intent.span_id).then_some(Tie::Span));
        }
        let Some(shown) = &intent.credential else { return Ok(None) };
        let token = match shown.upstream.as_deref() {
            Some(upstream) => self.shown(seen)?.contains(upstream),
            None => false,
        };
        let own = |name: &str| seen.credential.iter().any(|used| used.names().any(|used| used == name));
        let alike = shown.upstream.is_none() && shown.names().any(own) && is_alike(intent, seen);
        if !token && !alike {
            return Ok(None);
        }
        let ended = self.ended(intent)?;
        let at_work = if token { AT_WORK } else { SKEW };
        let until = ended.map_or(intent.time.0 + waited + at_work, |ended| ended.0 + SKEW);
        Ok((seen.time.0 <= until).then_some(match (token, is_named(intent, seen)) {
            (true, true) => Tie::TokenAndName,
            (true, false) => Tie::Token,
            (false, _) => Tie::Alike,
        }))
    }

    /// When the call that `intent` let through had ended, as far as Deed was told.
    fn ended(&mut self, intent: &Skeleton<'_>) -> Result<Option<Timestamp>, ExplainError<E::Error>> {
        if let Some(ended) = self.ended.get(&intent.id) {
            return Ok(*ended);
        }
        let ended = ends(self.evidence, intent)?.into_iter().map(|(time, _)| time).max();
        self.ended.insert(intent.id, ended);
        Ok(ended)
    }

    /// Every name of what was shown in `seen`, and of what that was made from.
    fn shown(&mut self, seen: &Skeleton<'_>) -> Result<BTreeSet<String>, ExplainError<E::Error>> {
        let mut shown = BTreeSet::new();
        let own = seen.credential.iter();
        let own: BTreeSet<&str> =
            own.flat_map(|used| used.names().chain(used.parent.as_deref())).take(MOST_ALIKE).collect();
        for name in own {
            if !self.known_as.contains_key(name) {
                let (mut names, parents) = self.aliases(&seen.tenant, name)?;
                for parent in parents {
                    names.extend(self.aliases(&seen.tenant, &parent)?.0);
                }
                self.known_as.insert(name.to_owned(), names);
            }
            shown.extend(self.known_as.get(name).into_iter().flatten().cloned());
        }
        Ok(shown)
    }

    /// Every name of the credential called `name`, and what it was derived from. Of a token that Deed issued nothing
    /// above it: what stands there was shown to Deed, and to nobody behind it.
    #[expect(clippy::type_complexity, reason = "two sets of names")]
    fn aliases(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), ExplainError<E::Error>> {
        let mut names = BTreeSet::from([name.to_owned()]);
        let mut parents = BTreeSet::new();
        let found = self.evidence.by_credential(tenant, name, MOST_NAMING).map_err(ExplainError::Evidence)?;
        for found in &found {
            let rec = Rec::read(found)?;
            let of_it = |credential: &Credential<'_>| credential.names().any(|known| known == name);
            for claim in rec.claims(Kind::Credential).filter(|claim| claim.credential.is_some_and(of_it)) {
                names.extend(claim.credential.into_iter().flat_map(Credential::names).map(str::to_owned));
                if claim.issues() && !is_of_token_service(&rec.is) {
                    parents.extend(parent_of(&claim, &names).into_iter().flatten());
                }
            }
        }
        Ok((names, parents))
    }
}

impl Fits {
    fn best_ids(&self) -> (Option<Tie>, Vec<RecordId>) {
        let (tie, best) = self.best();
        (tie, best.into_iter().map(|fit| fit.id).collect())
    }
}

impl Counterparts {
    fn tell<E>(&mut self, fit: &Fit, standing: Standing) -> Result<(), ExplainError<E>> {
        let rec = Rec::read(&fit.found)?;
        let tool = rec.is.tool.as_ref().map(|tool| tool.name.to_string());
        self.told.push(Counterpart {
            record: fit.id,
            kind: rec.is.kind,
            time: rec.is.time,
            system: rec.said_by(),
            operation: tool.or_else(|| rec.is.operation.as_deref().map(str::to_owned)),
            resource: rec.is.resource.as_ref().map(|resource| resource.uri.to_string()),
            status: rec.is.outcome.as_ref().map(|outcome| outcome.status),
            tie: fit.tie,
            standing,
        });
        if standing.is_joined() {
            self.joined.push((standing, fit.found.clone()));
        }
        Ok(())
    }
}

/// When the call that `intent` let through ended, and how, as Deed itself recorded.
pub(super) fn ends<E: Evidence>(
    evidence: &E,
    intent: &Skeleton<'_>,
) -> Result<Vec<(Timestamp, Status)>, ExplainError<E::Error>> {
    let mut ends = Vec::new();
    for found in evidence.by_ref(intent.id, MOST_ENDINGS).map_err(ExplainError::Evidence)? {
        let rec = read(&found)?;
        let ours = rec.action == Some(intent.id) && rec.tenant == intent.tenant;
        let status = rec.outcome.as_ref().map(|outcome| outcome.status);
        let real = status.filter(|status| *status != Status::Unknown);
        if ours && rec.kind == Kind::Outcome && rec.basis == Basis::Enforced {
            ends.extend(real.map(|status| (rec.time, status)));
        }
    }
    Ok(ends)
}

/// What so many records of one system come to that fit a call equally well. Nothing but the call itself stands above what
/// names its span as the parent; a token is shown again and again.
fn standing(tie: Tie, fitting: usize) -> Standing {
    match (tie, fitting) {
        (Tie::Alike, ..=1) => Standing::Likely,
        (_, ..=1) => Standing::Joined,
        (Tie::Span, _) => Standing::Part,
        (_, several) => Standing::Ambiguous(several),
    }
}

/// Whether another system may tell in `rec` of a call that came through Deed.
pub(crate) fn may_be_seen(rec: &Skeleton<'_>) -> bool {
    let kind = matches!(rec.kind, Kind::Observation | Kind::Step);
    // Whoever gets a credential prepares a call.
    let gets = |effect: &deed_record::Effect<'_>| effect.kind == Kind::Credential;
    kind && rec.basis != Basis::Enforced
        && rec.action.is_none()
        && !rec.effects.iter().flatten().any(gets)
        && (rec.parent_span_id.is_some() || rec.credential.is_some())
}

/// Whether both name the same tool, operation or resource.
fn is_named(intent: &Skeleton<'_>, seen: &Skeleton<'_>) -> bool {
    let tool = intent.tool.as_ref().map(|tool| &*tool.name);
    let theirs = [seen.tool.as_ref().map(|tool| &*tool.name), seen.operation.as_deref()];
    let operation = intent.operation.as_deref().filter(|_| tool.is_none());
    [tool, operation].into_iter().flatten().any(|ours| theirs.contains(&Some(ours)))
        || same_resource(intent, seen)
}

/// Whether both are the same operation on the same resource.
fn is_alike(intent: &Skeleton<'_>, seen: &Skeleton<'_>) -> bool {
    let tool = intent.tool.as_ref().map(|tool| &*tool.name);
    let ours = tool.or(intent.operation.as_deref());
    let theirs = [seen.tool.as_ref().map(|tool| &*tool.name), seen.operation.as_deref()];
    ours.is_some() && theirs.contains(&ours) && same_resource(intent, seen)
}

fn same_resource(intent: &Skeleton<'_>, seen: &Skeleton<'_>) -> bool {
    let uri = |rec: &Skeleton<'_>| rec.resource.as_ref().map(|resource| resource.uri.to_string());
    uri(intent).is_some() && uri(intent) == uri(seen)
}

/// Of several readings of one event the one that stands; of an event that came with other bytes the first id.
fn one_of_each_event<E>(seen: Vec<(Tie, Found)>) -> Result<Vec<Fit>, ExplainError<E>> {
    let mut records: Vec<(Tie, Rec<'_>)> = Vec::new();
    for (tie, found) in &seen {
        records.push((*tie, Rec::read(found)?));
    }
    let corrected: BTreeSet<RecordId> = records
        .iter()
        .filter_map(|(_, later)| {
            let earlier = later.is.supersedes?;
            records.iter().find(|(_, rec)| rec.is.id == earlier && corrects(&later.is, &rec.is))
        })
        .map(|(_, rec)| rec.is.id)
        .collect();
    let mut events: BTreeMap<(String, String), Vec<&(Tie, Rec<'_>)>> = BTreeMap::new();
    for record in records.iter().filter(|(_, rec)| !corrected.contains(&rec.is.id)) {
        let source = record.1.is.source.as_ref().filter(|_| record.1.is.basis == Basis::Imported);
        let event = source.and_then(|source| Some((&source.system, source.event_id.as_ref()?)));
        let key = event.map(|(system, event)| (system.to_string(), event.to_string()));
        events
            .entry(key.unwrap_or_else(|| (String::new(), record.1.is.id.to_string())))
            .or_default()
            .push(record);
    }
    let stands = |records: Vec<&(Tie, Rec<'_>)>| {
        let key =
            |record: &&(Tie, Rec<'_>)| (mapping_version(&record.1.is), std::cmp::Reverse(record.1.is.id));
        let (tie, rec) = records.into_iter().max_by_key(key)?;
        Some(Fit { tie: *tie, id: rec.is.id, found: rec.found.clone() })
    };
    Ok(events.into_values().filter_map(stands).collect())
}

/// Keeps the records that were found and are of the same tenant as `rec`; whether there may be more than the `most` that
/// were looked for.
fn keep<E>(
    rec: &Skeleton<'_>,
    found: Result<Vec<Found>, E>,
    most: usize,
    into: &mut BTreeMap<RecordId, Found>,
) -> Result<bool, ExplainError<E>> {
    let found = found.map_err(ExplainError::Evidence)?;
    let cut = found.len() >= most;
    for found in found {
        let other = read(&found)?;
        let id = (other.tenant == rec.tenant).then_some(other.id);
        if let Some(id) = id {
            into.insert(id, found);
        }
    }
    Ok(cut)
}

fn read<E>(found: &Found) -> Result<Skeleton<'_>, ExplainError<E>> {
    Rec::read(found).map(|rec| rec.is)
}
