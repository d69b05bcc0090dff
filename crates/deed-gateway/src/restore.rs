//! Step-ups that waited, or were approved and not used, when the process before this one ended: read from the log.
//!
//! INVARIANT D8: what the log does not say wholly is absent, and so denied: a step-up whose disclosure or people were erased,
//! one beyond its time, one that was answered with no, an approval that any record used. What a used one decided is told
//! again to whoever waited for it from elsewhere, and only where nothing says that they went on.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use deed_ledger::{BlobError, Key, Ledger, LedgerError, Opened};
use deed_policy::Approver;
use deed_record::{Answer, Kind, Party, RecordId, Ruling, Skeleton, Timestamp, Tool};
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    approvals::{ANSWERABLE, Approval, Asker, StepUp, USABLE, binding, in_words, is_off, later, of_words},
    intent::{Intent, NO_SERVER, Place, Who},
    point::{decided_before, is_ours, of_run},
    run::{RUN, Run},
    sweep::SWEEPER,
};

/// Leaves that are looked at together.
const CHUNK: u64 = 1 << 14;
/// No more leaves than these are looked at, from the end of the log.
const MOST_LEAVES: u64 = 2_000_000;
/// No more step-ups than these are restored, the newest.
const MOST: usize = 1000;

/// What an intent's record keeps for this, under `step_up`.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What an approval is bound to: a digest under the key of the tenant.
    binding: String,
    /// Who may answer.
    approvers: Vec<String>,
}

/// What the record of an intent keeps under `step_up`; in a list of one, so that it is committed to whole.
pub(crate) fn kept(binding: &str, approvers: &[Approver]) -> String {
    let kept = Kept { binding: binding.to_owned(), approvers: approvers.iter().map(in_words).collect() };
    // A text and a list of texts are always JSON.
    serde_json::to_string(&[kept]).unwrap_or_default()
}

/// What the records below leaf `size` come to at `now`.
#[derive(Default)]
struct Found {
    /// Leaves of intents that asked a human.
    asked: Vec<(u64, RecordId)>,
    /// The first answer to each: its leaf, its record and what it said.
    answers: HashMap<RecordId, (u64, RecordId, Answer)>,
    /// Approvals that were used: by which action, and the leaf that says so.
    used: HashMap<RecordId, (RecordId, u64)>,
    /// Intents that ended for good.
    over: HashSet<RecordId>,
    /// Intents that were called off: what nobody had approved by then, nobody can approve any more.
    off: HashSet<RecordId>,
}

/// The step-ups that may still be answered or used at `now`, of the log's first `size` leaves.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn find(ledger: &Ledger, size: u64, now: Timestamp) -> Result<Vec<StepUp>, LedgerError> {
    let snapshot = ledger.snapshot();
    let micros = (ANSWERABLE + USABLE).as_micros();
    let oldest = now.0.saturating_sub(i64::try_from(micros).unwrap_or(i64::MAX));
    let size = size.min(snapshot.size());
    let (mut end, mut found) = (size, Found::default());
    // From the end, so that whatever undid something is seen with it.
    while end > 0 && size - end < MOST_LEAVES {
        let start = end.saturating_sub(CHUNK);
        let mut is_recent = false;
        snapshot.scan(start..end, &mut |leaf, bytes| {
            if leaf == start {
                is_recent = Skeleton::parse(bytes).is_ok_and(|first| first.recorded.0 >= oldest);
            }
            if let Some(record) = of_interest(bytes) {
                found.look(leaf, &record);
            }
            ControlFlow::Continue(())
        })?;
        if !is_recent {
            break;
        }
        end = start;
    }
    let mut step_ups = Vec::new();
    found.asked.sort_unstable_by(|a, b| b.cmp(a));
    for asked in &found.asked {
        if step_ups.len() == MOST {
            break;
        }
        let restored = found.restored(ledger, *asked)?;
        step_ups.extend(
            restored.filter(|step_up| step_up.ends() > now && later(step_up.time, ANSWERABLE + USABLE) > now),
        );
    }
    Ok(step_ups)
}

/// The record, if it may be about a step-up.
fn of_interest(bytes: &[u8]) -> Option<Skeleton<'_>> {
    const SIGNS: [&[u8]; 7] = [
        b"\"effect\":\"step_up\"",
        b"\"kind\":\"approval\"",
        b"\"approvals\":[",
        b"\"code\":\"suspended\"",
        b"\"code\":\"revoked\"",
        b"\"code\":\"expired\"",
        b"\"status\":\"cancelled\"",
    ];
    let has = |sign: &[u8]| memchr::memmem::find(bytes, sign).is_some();
    let is_ours_likely = has(b"\"submitter\":\"deed:");
    if !is_ours_likely || !SIGNS.iter().any(|sign| has(sign)) {
        return None;
    }
    Skeleton::parse(bytes).ok().filter(is_ours)
}

impl Found {
    /// What is left of the step-up `id` in leaf `leaf`.
    fn restored(&self, ledger: &Ledger, (leaf, id): (u64, RecordId)) -> Result<Option<StepUp>, LedgerError> {
        let answer = self.answers.get(&id);
        if let Some((said, record, Answer::Approved)) = answer
            && let Some((action, used)) = self.used.get(record)
        {
            let spent = if has_end(ledger, *action)? { None } else { step_up(ledger, leaf)? };
            return spent
                .map(|step_up| self::spent_on(ledger, (leaf, step_up), *said, (*action, *used)))
                .transpose();
        }
        let approval = match answer {
            _ if self.over.contains(&id) => return Ok(None),
            None if self.off.contains(&id) => return Ok(None),
            None => None,
            Some((leaf, _, Answer::Approved)) => match approval(ledger, *leaf)? {
                Some(approval) => Some(approval),
                None => return Ok(None),
            },
            Some(_) => return Ok(None),
        };
        let Some(step_up) = step_up(ledger, leaf)? else { return Ok(None) };
        let asker = asker(ledger, &step_up)?;
        Ok(Some(step_up.restored(approval, asker)))
    }

    fn look(&mut self, leaf: u64, record: &Skeleton<'_>) {
        // Whatever names an approval has used it, however that ended.
        let by = (record.action.unwrap_or(record.id), leaf);
        self.used.extend(record.approvals.iter().flatten().map(|approval| (*approval, by)));
        let asked = || record.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::StepUp);
        match (record.kind, record.action) {
            (Kind::Intent, _) if asked() => self.asked.push((leaf, record.id)),
            (Kind::Approval, Some(action)) => {
                let Some(answer) = record.terms.as_ref().and_then(|terms| terms.answer) else { return };
                let first = self.answers.entry(action).or_insert((leaf, record.id, answer));
                if leaf < first.0 {
                    *first = (leaf, record.id, answer);
                }
            }
            (Kind::Outcome, Some(action)) => {
                let is_off =
                    record.outcome.as_ref().is_some_and(|end| is_off(end.status, end.code.as_deref()));
                // Else somebody was suspended when it was to be used.
                let ended = if is_off { &mut self.off } else { &mut self.over };
                ended.insert(action);
            }
            _ => {}
        }
    }
}

/// The step-up that leaf `leaf` is; `None` where not all of it is known any more.
fn step_up(ledger: &Ledger, leaf: u64) -> Result<Option<StepUp>, LedgerError> {
    let sealed = ledger.leaf(leaf)?;
    let record = sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
    let disclosures = match ledger.disclosures(leaf) {
        Err(LedgerError::Blob(BlobError::NoKey)) => return Ok(None),
        opened => opened?,
    };
    let kept = disclosures.iter().find(|opened| opened.group.is_none() && opened.name == "step_up");
    let Some((_, _, [kept])) =
        kept.and_then(|opened| serde_json::from_slice::<(String, String, [Kept; 1])>(&opened.json).ok())
    else {
        return Ok(None);
    };
    let approvers: Option<Vec<Approver>> = kept.approvers.iter().map(|words| of_words(words)).collect();
    let place = People::of(ledger, leaf)?.place(&record);
    let (Some(approvers), Some(place)) = (approvers, place) else { return Ok(None) };
    let reported_by = record.submitter.strip_prefix("deed:authzen/");
    // An application says with each tool whose it is.
    let server = match (&record.tool, reported_by) {
        (Some(Tool { server: Some(server), .. }), Some(_)) => &**server,
        (_, Some(_)) => NO_SERVER,
        (_, None) => record.submitter.strip_prefix("deed:mcp/").unwrap_or_default(),
    };
    let operation = record.operation.as_deref().unwrap_or_default();
    let run = of_run(&record.submitter).map(|by| Run {
        operation: operation.to_owned(),
        artifact: None,
        proven: false,
        compensates: None,
        by: by.map(str::to_owned),
    });
    let method = if run.is_some() { RUN } else { operation };
    let intent = Intent {
        name: record.tool.as_ref().map(|tool| tool.name.to_string()),
        uri: record
            .resource
            .as_ref()
            .filter(|_| record.tool.is_none())
            .map(|resource| resource.uri.to_string()),
        arguments: arguments(&disclosures),
        reported_by: reported_by.map(str::to_owned),
        credential: record.credential.as_ref().and_then(|credential| to_raw_value(credential).ok()),
        run,
        ..Intent::bare(record.id, server, method, place)
    };
    let policies = record.decision.iter().flat_map(|decision| &decision.policies);
    let policies = policies.map(ToString::to_string).collect();
    Ok(Some(StepUp::new(&intent, &record.tenant, approvers, policies, kept.binding, record.time)))
}

/// Whether somebody told how `action` ended.
fn has_end(ledger: &Ledger, action: RecordId) -> Result<bool, LedgerError> {
    let mut ended = false;
    ledger.lookup_each(&Key::Ref(action), None, &mut |_, record| {
        ended |=
            record.kind == Kind::Outcome && record.action == Some(action) && *record.submitter != *SWEEPER;
        if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(ended)
}

/// The step-up in leaf `leaf` whose approval, in leaf `approved`, was used by `action`, as leaf `used` says, of which nobody
/// told how it ended.
fn spent_on(
    ledger: &Ledger,
    (leaf, step_up): (u64, StepUp),
    approved: u64,
    (action, used): (RecordId, u64),
) -> Result<StepUp, LedgerError> {
    let sealed = ledger.leaf(used)?;
    let record = sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {used}: {error}")))?;
    let decided = decided_before(&record, action, ledger.origin(), leaf);
    // A command of another machine has a ticket, for this action alone: it may have heard nothing, and asks again.
    let is_told_again =
        step_up.intent.run.is_some() && step_up.intent.id == action && decided.effect == Ruling::Allow;
    match approval(ledger, approved)?.filter(|_| is_told_again) {
        Some(approval) => Ok(step_up.told_again(approval, decided)),
        None => Ok(step_up.spent_on(action)),
    }
}

/// Whether whoever waits for it asks again, and all of it is known: a command of another machine, which has a ticket for that,
/// with the very arguments that an approval is bound to. What was kept of them is without their secrets.
fn asker(ledger: &Ledger, step_up: &StepUp) -> Result<Asker, LedgerError> {
    let StepUp { intent, tenant, .. } = step_up;
    if intent.run.is_none() {
        return Ok(Asker::IsPast);
    }
    if has_end(ledger, intent.id)? {
        return Ok(Asker::GaveUp);
    }
    let binding = binding(ledger, intent, None, tenant)?;
    match binding.is_some_and(|binding| step_up.is_bound_to(&binding)) {
        true => Ok(Asker::GoesOn),
        false => Ok(Asker::IsPast),
    }
}

/// The approval that leaf `leaf` is; `None` where it is not known any more whose.
fn approval(ledger: &Ledger, leaf: u64) -> Result<Option<Approval>, LedgerError> {
    let sealed = ledger.leaf(leaf)?;
    let record = sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
    let people = People::of(ledger, leaf)?;
    let by = record.terms.as_ref().and_then(|terms| terms.by.as_ref()).and_then(|party| people.who(party));
    Ok(by.map(|by| Approval { record: record.id, by, time: record.time }))
}

/// What the people of a record are called.
pub(crate) struct People(Vec<(deed_record::Account, deed_ledger::Name)>);

impl People {
    pub(crate) fn of(ledger: &Ledger, leaf: u64) -> Result<Self, LedgerError> {
        ledger.names(leaf).map(People)
    }

    /// Where `record` stands, and who it is of; `None` where not all of that is known any more.
    pub(crate) fn place(&self, record: &Skeleton<'_>) -> Option<Place> {
        let who = |party: &Option<Party<'_>>| party.as_ref().map(|party| self.who(party));
        Some(Place {
            trace_id: record.trace_id?,
            span_id: record.span_id?,
            parent_span_id: record.parent_span_id,
            session: record.session.as_deref().map(str::to_owned),
            initiator: who(&record.initiator).map_or(Some(None), |who| who.map(Some))?,
            executor: who(&record.executor).unwrap_or_else(|| Some(Who::unknown()))?,
            chain: Vec::new(),
        })
    }

    /// Somebody, by the name they came with; `None` where that was erased.
    fn who(&self, party: &Party<'_>) -> Option<Who> {
        let Some(account) = party.account else { return Some(Who { kind: party.kind, ..Who::unknown() }) };
        let (_, name) = self.0.iter().find(|(known, _)| *known == account)?;
        Some(Who { kind: party.kind, key: Some(name.key.clone()), name: name.name.clone(), instance: None })
    }
}

/// The arguments, as they were disclosed: members put together again, or whole.
fn arguments(disclosures: &[Opened]) -> Option<Box<RawValue>> {
    let mut members = Vec::new();
    for opened in disclosures {
        let Ok((_, name, value)) = serde_json::from_slice::<(Value, String, Box<RawValue>)>(&opened.json)
        else {
            continue;
        };
        match &opened.group {
            Some(group) if group == "arguments" => members.push(format!("{}:{value}", Value::from(name))),
            None if name == "arguments" => return Some(value),
            _ => {}
        }
    }
    if members.is_empty() { None } else { RawValue::from_string(format!("{{{}}}", members.join(","))).ok() }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use deed_ledger::{Options, now};
    use deed_policy::PolicySet;
    use deed_record::{PrincipalType, SpanId, Status, TraceId};

    use super::*;
    use crate::{
        approvals::{Reply, ReplyError},
        intent::Conclusion,
        point::{DecisionPoint, InForce},
    };

    const ASK_FIRST: &str = r#"@id("rest") permit (principal, action, resource);
        @id("ask-first") @effect("step_up")
        forbid (principal, action == Deed::Action::"tools/call", resource == Deed::Tool::"files/wipe");"#;

    fn asks(n: u8, tool: &str) -> Intent {
        let place = Place::of_nobody(TraceId([7; 16]), SpanId([n; 8]));
        let executor = "agent:release-bot".parse().expect("TYPE:NAME");
        let bare = Intent::bare(RecordId([n; 16]), "files", "tools/call", Place { executor, ..place });
        let arguments = RawValue::from_string(r#"{"path":"/a"}"#.into()).expect("JSON");
        Intent { name: Some(tool.into()), arguments: Some(arguments), ..bare }
    }

    fn ended(n: u8, status: Status) -> Conclusion {
        Conclusion {
            id: None,
            action: RecordId([n; 16]),
            tenant: None,
            server: "files".into(),
            method: "tools/call".into(),
            name: None,
            uri: None,
            place: asks(n, "wipe").place,
            time: now(),
            status,
            code: None,
            duration_ms: None,
            result: None,
            compensates: None,
            fields: Vec::new(),
            task: None,
        }
    }

    #[tokio::test]
    async fn nothing_is_good_beyond_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(folder.path(), Options::default()).expect("a store");
        let set = [("a.cedar".to_owned(), ASK_FIRST.to_owned())].into();
        let policy = PolicySet::of_files(set).expect("good policies");
        let point = DecisionPoint::new(ledger.clone(), InForce::of(|| policy), Duration::from_secs(5));
        let point = Arc::new(point);
        // The first record of a tenant makes its key.
        point.intend(&asks(1, "read"), "default").await.expect("recorded");
        for n in [2, 3] {
            point.intend(&asks(n, "wipe"), "default").await.expect("recorded");
        }
        let by = Who { kind: PrincipalType::Human, key: Some("human:bob".into()), ..Who::unknown() };
        let yes = Reply { id: None, approved: true, by, reason: None };
        point.reply(RecordId([2; 16]), &yes).await.expect("approved");
        let restored = |minutes: i64, size: u64| {
            let at = Timestamp(now().0 + minutes * 60_000_000);
            let found = find(&ledger, size, at).expect("the log can be read");
            found.iter().map(|step_up| step_up.intent.id.0[0]).collect::<Vec<u8>>()
        };
        // What was called off is not offered again, unless somebody had approved it before.
        let arguments = RawValue::from_string(r#"{"path":"/b"}"#.into()).expect("JSON");
        let other = Intent { arguments: Some(arguments), ..asks(5, "wipe") };
        point.intend(&other, "default").await.expect("recorded");
        for n in [2, 5] {
            let conclusion = Conclusion { code: Some("client".into()), ..ended(n, Status::Cancelled) };
            point.conclude(&[conclusion], "default").await.expect("recorded");
        }
        let size = ledger.size();
        assert_eq!(restored(0, size), [3, 2]);
        assert_eq!(restored(16, size), [3], "an approval is good for 15 minutes");
        assert!(restored(61, size).is_empty(), "and a step-up for an hour");
        assert!(restored(0, 1).is_empty(), "what came later is known already");
        let [waits, _] = &find(&ledger, size, now()).expect("the log can be read")[..] else { panic!() };
        let shown = waits.shown();
        assert_eq!((&*shown.target, &*shown.approvers[0]), ("files/wipe", "anybody"));
        assert_eq!(shown.arguments.expect("arguments").get(), r#"{"path":"/a"}"#);
        assert_eq!(shown.executor.key.as_deref(), Some("agent:release-bot"));
        // What an application asks about is of the server that it names.
        let reported =
            Intent { server: "plain".into(), reported_by: Some("shop".into()), ..asks(8, "refund") };
        let policy = ASK_FIRST.replace("files/wipe", "plain/refund");
        let policy = PolicySet::of_files([("a.cedar".to_owned(), policy)].into()).expect("good policies");
        let before = point.in_force();
        point.change(|force| *force = InForce::of(|| policy));
        point.intend(&reported, "default").await.expect("recorded");
        point.change(|force| *force = before);
        let found = find(&ledger, ledger.size(), now()).expect("the log can be read");
        let shown: Vec<_> =
            found.iter().map(|step_up| (step_up.intent.server.clone(), step_up.shown().target)).collect();
        assert!(shown.contains(&("plain".into(), "plain/refund".into())), "{shown:?}");
        // What ended with its credential is not offered again.
        let arguments = RawValue::from_string(r#"{"path":"/c"}"#.into()).expect("JSON");
        let lapses = Intent { arguments: Some(arguments), ..asks(9, "wipe") };
        point.intend(&lapses, "default").await.expect("recorded");
        assert!(restored(0, ledger.size()).contains(&9));
        let revoked = Conclusion { code: Some("revoked".into()), ..ended(9, Status::Denied) };
        point.conclude(&[revoked], "default").await.expect("recorded");
        assert!(!restored(0, ledger.size()).contains(&9));
        assert!(matches!(point.reply(RecordId([9; 16]), &yes).await, Err(ReplyError::Unknown(_))));
        // The same call takes the approval with it.
        let answer = point.intend(&asks(4, "wipe"), "default").await.expect("recorded");
        assert_eq!(answer.effect, Ruling::Allow);
        // INVARIANT D8: made again after this process has ended, it is asked about anew, and says what became of the approval.
        let again = async |n: u8| {
            let policy = PolicySet::of_files([("a.cedar".to_owned(), ASK_FIRST.to_owned())].into());
            let in_force = InForce::of(move || policy.clone().expect("good policies"));
            let after = Arc::new(DecisionPoint::new(ledger.clone(), in_force, Duration::from_secs(5)));
            let answer = after.intend(&asks(n, "wipe"), "default").await.expect("recorded");
            (answer.effect, answer.reason)
        };
        let (effect, why) = again(6).await;
        assert_eq!(effect, Ruling::StepUp);
        assert!(why.contains(&format!("used up by action `{}`", RecordId([4; 16]))), "{why}");
        point.conclude(&[ended(4, Status::Success)], "default").await.expect("recorded");
        let (effect, why) = again(7).await;
        assert_eq!((effect, why.contains("used up")), (Ruling::StepUp, false), "{why}");
    }
}
