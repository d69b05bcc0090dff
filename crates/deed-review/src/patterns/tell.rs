//! Tasks put together to patterns, and those of them that are unlike the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_record::{Account, RecordId, Ruling, Status, Timestamp, TraceId};
use serde::{Deserialize, Serialize};

use super::{Action, Digest, Ending, Patterns};

/// Steps of a pattern that are listed.
const MOST_STEPS: usize = 16;
/// Odd ones of a pattern that are listed.
const MOST_ODD: usize = 10;
/// Examples of a pattern.
const EXAMPLES: usize = 3;
/// Of fewer tasks nothing is usual.
const LEAST: u64 = 20;
/// What one in so many does, or fewer, is rare.
const RARE: u64 = 20;
/// A pattern of a principal is rare where one in so many of its tasks, or fewer, is of it.
const RARE_PATTERN: u64 = 100;
/// So many times the median, or a part of it as small, is another size.
const SIZE: usize = 4;

/// What was done, as patterns.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PatternList {
    /// The most frequent first.
    pub patterns: Vec<Pattern>,
    /// Patterns that there are.
    pub total: u64,
    /// Tasks of all of them.
    pub tasks: u64,
    /// Actions of all of them.
    pub actions: u64,
    /// One task in so many was looked at; 1 where all were.
    pub one_in: u64,
    /// Records that were read, the newest.
    pub read: u64,
    /// Records that there are.
    pub records: u64,
}

/// Tasks that are alike.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pattern {
    /// Who does what to what, in a line.
    pub pattern: String,
    /// Whose tenant.
    pub tenant: String,
    /// Whoever acts in it.
    pub principals: Vec<String>,
    /// What is done: the tool or operation, the sort of resource, and what was decided.
    pub steps: Vec<String>,
    /// Tasks.
    pub count: u64,
    /// Actions of them.
    pub actions: u64,
    /// When the first began.
    pub first: Timestamp,
    /// When the last action of it was.
    pub last: Timestamp,
    /// How tasks ended, by the worst of their actions.
    pub outcomes: BTreeMap<String, u64>,
    /// Actions per task: the middle one of all.
    pub median_actions: u64,
    /// Actions of tasks that are as most are.
    pub examples: Vec<RecordId>,
    /// Whether whoever acts in it nearly always does something else.
    pub rare: bool,
    /// Tasks of it that are unlike the rest, oldest first.
    pub odd: Vec<Odd>,
    /// How many those are.
    pub odd_total: u64,
}

/// A task that is unlike the others of its pattern.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Odd {
    /// Its first action, or the one that is odd.
    pub action_id: RecordId,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// When it began.
    pub time: Timestamp,
    /// What is odd about it.
    pub why: Vec<Why>,
}

/// What is odd about a task.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A rule found it worth a look.
    Finding(String),
    /// Few end like this.
    Outcome(Status),
    /// It has so many actions, and most have far more or far fewer.
    Size(u64),
}

/// One task, put together.
struct Member {
    trace: Option<TraceId>,
    first: Timestamp,
    last: Timestamp,
    action: RecordId,
    size: usize,
    outcome: Option<Status>,
    findings: BTreeMap<String, RecordId>,
}

/// What tasks of one pattern have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Key {
    tenant: String,
    principals: BTreeSet<Who>,
    steps: BTreeSet<String>,
}

/// Whoever acts: names of one principal of the inventory are one.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Who {
    Declared(String),
    Account(Account),
    Nobody,
}

/// Who is meant by an account.
pub trait Naming {
    /// What asking fails with.
    type Error;

    /// The inventory's key of who has it.
    ///
    /// # Errors
    /// The inventory cannot be read.
    fn declared(&mut self, tenant: &str, account: Account) -> Result<Option<String>, Self::Error>;

    /// What an account that the inventory does not have is called; `record` names it. Asked only of patterns that are
    /// told, for the answer may have to be read from the log.
    ///
    /// # Errors
    /// The log cannot be read.
    fn called(&mut self, tenant: &str, account: Account, record: RecordId) -> Result<String, Self::Error>;
}

pub(super) fn tell<N: Naming>(
    seen: Patterns,
    limit: usize,
    naming: &mut N,
    flagged: &BTreeMap<RecordId, Vec<String>>,
) -> Result<PatternList, N::Error> {
    let (one_in, read) = (1 << seen.level, seen.read);
    let Grouped { patterns, named_by } = group(seen, naming, flagged)?;
    let mut by_principal: BTreeMap<(String, BTreeSet<Who>), u64> = BTreeMap::new();
    let (mut tasks, mut actions) = (0, 0);
    for (key, members) in &patterns {
        let count = members.len() as u64;
        tasks += count;
        actions += members.iter().map(|member| member.size as u64).sum::<u64>();
        *by_principal.entry((key.tenant.clone(), key.principals.clone())).or_default() += count;
    }
    let total = patterns.len() as u64;
    let of_principal =
        |key: &Key| by_principal.get(&(key.tenant.clone(), key.principals.clone())).copied().unwrap_or(0);
    let mut chosen: Vec<(u64, Key, Vec<Member>)> =
        patterns.into_iter().map(|(key, members)| (of_principal(&key), key, members)).collect();
    // What is odd is not lost among what is frequent: of whoever does most, what they hardly ever do has half of the room.
    chosen.sort_by_key(|(all, _, members)| {
        let count = members.len() as u64;
        (!is_rare(count, *all), std::cmp::Reverse(*all), count)
    });
    let rare =
        chosen.iter().take(limit / 2).take_while(|(all, _, members)| is_rare(members.len() as u64, *all));
    let rare = rare.count();
    chosen[rare..].sort_by_key(|(_, _, members)| std::cmp::Reverse(members.len()));
    chosen.truncate(limit);
    let mut told = Vec::new();
    for (all, key, members) in chosen {
        let Key { tenant, principals, steps } = key;
        let mut names = BTreeSet::new();
        for who in &principals {
            names.insert(match who {
                Who::Declared(key) => key.clone(),
                Who::Account(account) => match named_by.get(account) {
                    Some(record) => naming.called(&tenant, *account, *record)?,
                    None => account.to_string(),
                },
                Who::Nobody => "nobody known".to_owned(),
            });
        }
        let common = Common { tenant, principals: names, steps };
        told.push((all, pattern(common, members, all)));
    }
    told.sort_by(|(all, a), (of, b)| {
        let order = |of: u64, it: &Pattern| std::cmp::Reverse((it.count, if it.rare { of } else { 0 }));
        (order(*all, a), &a.tenant, &a.pattern).cmp(&(order(*of, b), &b.tenant, &b.pattern))
    });
    let told = told.into_iter().map(|(_, pattern)| pattern).collect();
    Ok(PatternList { patterns: told, total, tasks, actions, one_in, read, records: read })
}

/// Tasks by what they have in common.
struct Grouped {
    patterns: BTreeMap<Key, Vec<Member>>,
    /// A record that names each account.
    named_by: HashMap<Account, RecordId>,
}

fn group<N: Naming>(
    seen: Patterns,
    naming: &mut N,
    flagged: &BTreeMap<RecordId, Vec<String>>,
) -> Result<Grouped, N::Error> {
    let Patterns { tasks, actions, endings, superseded, steps, .. } = seen;
    let mut by_task: HashMap<Digest, Vec<(RecordId, Action)>> = HashMap::new();
    for (id, action) in actions {
        if !superseded.contains(&id) && tasks.get(&action.task).is_some_and(|task| task.wanted) {
            by_task.entry(action.task).or_default().push((id, action));
        }
    }
    let mut known: HashMap<(String, u32), Who> = HashMap::new();
    let mut grouped = Grouped { patterns: BTreeMap::new(), named_by: HashMap::new() };
    for (digest, mut all) in by_task {
        let Some(task) = tasks.get(&digest) else { continue };
        all.sort_by_key(|(id, action)| (action.time, *id));
        let mut key =
            Key { tenant: task.tenant.clone(), principals: BTreeSet::new(), steps: BTreeSet::new() };
        let several: BTreeSet<(u32, Option<Ruling>)> =
            all.iter().map(|(_, action)| (action.step, action.effect)).collect();
        for (number, effect) in several {
            let Some(step) = steps.all.get(number as usize) else { continue };
            let at = (task.tenant.clone(), number);
            let who = match (known.get(&at), step.shape.actor.account) {
                (Some(who), _) => who.clone(),
                (None, None) => Who::Nobody,
                (None, Some(account)) => {
                    grouped.named_by.entry(account).or_insert(step.record);
                    let declared = naming.declared(&task.tenant, account)?;
                    let who = declared.map_or(Who::Account(account), Who::Declared);
                    known.insert(at, who.clone());
                    who
                }
            };
            key.principals.insert(who);
            let to = step.shape.to.as_ref().map(|to| format!(" {to}")).unwrap_or_default();
            let decided = effect.map(|effect| format!(" ({effect})")).unwrap_or_default();
            key.steps.insert(format!("{}{to}{decided}", step.shape.does));
        }
        if let Some(member) = member(task.trace, &all, &endings, flagged) {
            grouped.patterns.entry(key).or_default().push(member);
        }
    }
    Ok(grouped)
}

/// One task, of its actions in the order of time.
fn member(
    trace: Option<TraceId>,
    all: &[(RecordId, Action)],
    endings: &HashMap<RecordId, Ending>,
    flagged: &BTreeMap<RecordId, Vec<String>>,
) -> Option<Member> {
    let ((action, begun), (_, ended)) = (all.first()?, all.last()?);
    let mut outcome: Option<Status> = None;
    let mut findings = BTreeMap::new();
    for (id, action) in all {
        let ended = endings.get(id).copied().flatten().max(action.own);
        let status = ended.map(|(.., status)| status);
        outcome = outcome.into_iter().chain(status).max_by_key(|status| badness(*status));
        for rule in flagged.get(id).into_iter().flatten() {
            findings.entry(rule.clone()).or_insert(*id);
        }
    }
    Some(Member {
        trace,
        first: begun.time,
        last: ended.time,
        action: *action,
        size: all.len(),
        outcome,
        findings,
    })
}

/// What tasks of a pattern have in common, in words.
struct Common {
    tenant: String,
    principals: BTreeSet<String>,
    steps: BTreeSet<String>,
}

fn pattern(key: Common, mut members: Vec<Member>, of_principal: u64) -> Pattern {
    members.sort_by_key(|member| (member.first, member.action));
    let count = members.len() as u64;
    let mut outcomes: BTreeMap<Option<Status>, u64> = BTreeMap::new();
    members.iter().for_each(|member| *outcomes.entry(member.outcome).or_default() += 1);
    let usual = outcomes.iter().max_by_key(|(status, n)| (**n, std::cmp::Reverse(**status)));
    let usual = usual.and_then(|(status, _)| *status);
    let mut sizes: Vec<usize> = members.iter().map(|member| member.size).collect();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    let odd = |member: &Member| {
        let mut why: Vec<Why> = member.findings.keys().cloned().map(Why::Finding).collect();
        let few = outcomes.get(&member.outcome).is_some_and(|n| n * RARE <= count);
        why.extend(member.outcome.filter(|_| few && count >= LEAST).map(Why::Outcome));
        let unlike = member.size >= median.saturating_mul(SIZE) || member.size * SIZE <= median;
        why.extend(
            (unlike && count >= LEAST && member.size != median).then_some(Why::Size(member.size as u64)),
        );
        why
    };
    let odd: Vec<Odd> = members
        .iter()
        .filter_map(|member| {
            let why = odd(member);
            let action_id = member.findings.values().next().copied().unwrap_or(member.action);
            (!why.is_empty()).then_some(Odd { action_id, trace_id: member.trace, time: member.first, why })
        })
        .collect();
    let as_most = members.iter().filter(|member| member.outcome == usual && member.findings.is_empty());
    let examples: Vec<RecordId> = as_most.take(EXAMPLES).map(|member| member.action).collect();
    let steps: Vec<String> = key.steps.iter().take(MOST_STEPS).cloned().collect();
    let more = key.steps.len() - steps.len();
    let mut line =
        format!("{}: {}", key.principals.iter().cloned().collect::<Vec<_>>().join(", "), steps.join("; "));
    if more > 0 {
        line.push_str(&format!("; and {more} more"));
    }
    let word = |status: Option<Status>| status.map_or("unsaid".to_owned(), |status| status.to_string());
    Pattern {
        pattern: line,
        tenant: key.tenant,
        principals: key.principals.into_iter().collect(),
        steps,
        count,
        actions: members.iter().map(|member| member.size as u64).sum(),
        first: members.iter().map(|member| member.first).min().unwrap_or_default(),
        last: members.iter().map(|member| member.last).max().unwrap_or_default(),
        outcomes: outcomes.into_iter().map(|(status, n)| (word(status), n)).collect(),
        median_actions: median as u64,
        examples,
        rare: is_rare(count, of_principal),
        odd_total: odd.len() as u64,
        odd: odd.into_iter().take(MOST_ODD).collect(),
    }
}

/// Whether whoever does it in so many tasks, of so many in all, nearly always does something else.
fn is_rare(count: u64, of_principal: u64) -> bool {
    of_principal >= RARE_PATTERN && count * RARE_PATTERN <= of_principal
}

/// How bad an end is: the worst of a task's actions is the task's.
fn badness(status: Status) -> u8 {
    match status {
        Status::Success => 0,
        Status::RolledBack => 1,
        Status::Cancelled => 2,
        Status::Unknown => 3,
        Status::TimedOut => 4,
        Status::Failure => 5,
        Status::Denied => 6,
    }
}
