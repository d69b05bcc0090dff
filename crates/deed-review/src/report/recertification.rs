//! What each identity was given, against what it used of it: what to keep, narrow or remove (G2, T7).

use std::collections::BTreeSet;

use deed_identity::{GrantFacts, UsedAs};
use deed_record::{RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Covered, Identity,
    agents::line,
    count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second, share,
    usage::{ScopeUse, Usage, Used, may_cover},
};

/// Identities that are shown to people.
const MOST_SHOWN: usize = 200;
/// Grants of one identity that are shown to people.
const MOST_GRANTS: usize = 8;

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recertification {
    /// `recertification`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// Identities with a grant in force: those of which something may be taken first.
    pub identities: Vec<Certified>,
    /// How many there are.
    pub total: u64,
    /// Identities without one: there is nothing of theirs to certify.
    pub without_grants: u64,
    /// Grants in force, by what is suggested: the parts are all.
    pub grants: SuggestionCounts,
    /// Systems whose silence proves that something was not used.
    pub complete: Vec<String>,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// Grants by what is suggested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuggestionCounts {
    /// Used as given.
    pub keep: u64,
    /// Used in part.
    pub narrow: u64,
    /// Not used.
    pub remove: u64,
    /// Nothing on record tells.
    pub unverified: u64,
}

/// One identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// Who, and who answers for it.
    pub identity: Identity,
    /// The last action that it did or asked for.
    pub last_acted: Option<Timestamp>,
    /// Its grants in force.
    pub grants: Vec<GrantUse>,
    /// The same by what is suggested.
    pub counts: SuggestionCounts,
    /// Permissions that it used and no grant on record covers, of its own or of a group that it may be in.
    pub ungranted: Vec<Used>,
}

/// What to do with a grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// It is used as it was given.
    Keep,
    /// Part of it is used.
    Narrow,
    /// It is not used.
    Remove,
    /// What is on record does not tell: nothing is suggested.
    Unverified,
}

/// One grant in force, and what was used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    /// The record that gave it.
    pub record: Option<RecordId>,
    /// The role.
    pub role: Option<String>,
    /// What it is bound to.
    pub resource: Option<String>,
    /// When it was given.
    pub given: Option<Timestamp>,
    /// When it ends; `null` where it stands.
    pub expires: Option<Timestamp>,
    /// Who gave it.
    pub by: Option<String>,
    /// Whether the record that gave it names a request or an approval.
    pub approved: bool,
    /// Its scopes, each with what was used of it.
    pub scopes: Vec<ScopeUse>,
    /// Actions that name it.
    pub uses: u64,
    /// The last of them.
    pub last_used: Option<Timestamp>,
    /// The record of that.
    pub last_record: Option<RecordId>,
    /// What is suggested.
    pub suggestion: Suggestion,
    /// The scopes to narrow it to.
    pub narrow_to: Vec<String>,
    /// Why.
    pub reason: String,
}

impl Suggestion {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Suggestion::Keep => "keep",
            Suggestion::Narrow => "narrow",
            Suggestion::Remove => "remove",
            Suggestion::Unverified => "unverified",
        }
    }
}

impl SuggestionCounts {
    /// Counts one more.
    pub fn add(&mut self, suggestion: Suggestion) {
        match suggestion {
            Suggestion::Keep => self.keep += 1,
            Suggestion::Narrow => self.narrow += 1,
            Suggestion::Remove => self.remove += 1,
            Suggestion::Unverified => self.unverified += 1,
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: SuggestionCounts) {
        self.keep += other.keep;
        self.narrow += other.narrow;
        self.remove += other.remove;
        self.unverified += other.unverified;
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.keep + self.narrow + self.remove + self.unverified
    }
}

/// What to do with a grant, and why. `proves` says that the log of the system that gave it holds whatever is done
/// there: that it is silent then means that it was not used.
///
/// Only what is named as a permission is comparable with a scope as a no; a tool or an operation that matches is a yes.
pub fn grant_use(facts: &GrantFacts, usage: &Usage, proves: bool, by: Option<String>) -> GrantUse {
    let scopes = usage.scopes(facts);
    let (suggestion, reason) = suggest(facts, &scopes, usage, proves);
    let narrow_to = if suggestion == Suggestion::Narrow { narrowed(&scopes) } else { Vec::new() };
    GrantUse {
        record: facts.given().map(|(_, record)| record),
        role: facts.role.clone(),
        resource: facts.resource.clone(),
        given: facts.given().map(|(time, _)| time),
        expires: facts.expires,
        by,
        approved: facts.names_approval || facts.names_request,
        scopes,
        uses: facts.uses,
        last_used: facts.last_used.map(|(time, _)| time),
        last_record: facts.last_used.map(|(_, record)| record),
        suggestion,
        narrow_to,
        reason,
    }
}

fn suggest(facts: &GrantFacts, scopes: &[ScopeUse], usage: &Usage, proves: bool) -> (Suggestion, String) {
    use Suggestion::{Keep, Narrow, Remove, Unverified};
    let say = |suggestion, why: &str| (suggestion, why.to_owned());
    let silence =
        "no source is declared complete for actions where it was given, so that silence proves nothing";
    let comparable = usage.compares(scopes);
    let unused = scopes.iter().filter(|scope| scope.used.is_empty()).count();
    let named = usage.names(facts);
    if usage.stands_for_others && !named {
        return say(
            Unverified,
            "its holder is not known to act by itself, as a group does not: who is behind it, and what they used, is not known",
        );
    }
    if scopes.is_empty() {
        return match (named, usage.idle, proves) {
            (true, _, _) => (Keep, format!("named by {}", count(facts.uses, "action"))),
            (false, true, true) => {
                say(Remove, "its holder did nothing, and whatever is done there is in the log")
            }
            (false, true, false) => {
                (Unverified, format!("its holder was not seen to do anything; {silence}"))
            }
            (false, false, _) => say(
                Unverified,
                "it names no scopes, and no action names it: what rests on it is not recorded",
            ),
        };
    }
    if unused == 0 && !facts.more_scopes {
        let narrower = narrowed(scopes) != facts.scopes;
        return match narrower && proves && comparable {
            true => say(
                Narrow,
                "all of what was used is covered by less, and whatever is done there is in the log",
            ),
            false => say(Keep, "every scope was used"),
        };
    }
    if unused == scopes.len() && named && comparable && !usage.used.is_empty() {
        let actions = count(facts.uses, "action");
        return (Unverified, format!("named by {actions}, and nothing that its holder used is within it"));
    }
    if unused == scopes.len() && named {
        return (
            Keep,
            format!("named by {}; which scope they used is not recorded", count(facts.uses, "action")),
        );
    }
    let part = match unused == scopes.len() {
        true => "no scope of it was used".to_owned(),
        false => {
            format!("{} of {} scopes were not used", grouped(unused as u64), grouped(scopes.len() as u64))
        }
    };
    if facts.more_scopes {
        return say(Unverified, "it has more scopes than are kept: which of them were used is not known");
    }
    if !comparable && !usage.used.is_empty() {
        let why = if usage.more {
            "its holder used more than is kept"
        } else {
            "what its holder did is not named as its scopes are"
        };
        return (Unverified, format!("{part} as far as records tell, but {why}"));
    }
    match (proves, unused == scopes.len()) {
        (false, _) => (Unverified, format!("{part} as far as records tell; {silence}")),
        (true, true) => (Remove, format!("{part}, and whatever is done there is in the log")),
        (true, false) => (Narrow, format!("{part}, and whatever is done there is in the log")),
    }
}

/// The least that covers what was used: of a scope that covers many, the permissions themselves.
fn narrowed(scopes: &[ScopeUse]) -> Vec<String> {
    let mut to: Vec<String> = scopes
        .iter()
        .flat_map(|scope| match scope.scope.ends_with('*') {
            true => scope.used.iter().map(|used| used.what.clone()).collect(),
            false if scope.used.is_empty() => Vec::new(),
            false => vec![scope.scope.clone()],
        })
        .collect();
    to.sort_unstable();
    to.dedup();
    to
}

impl Certified {
    /// An identity, its grants in force and what it used. `given` are the scopes of those grants and of all that groups
    /// and the like hold, of which it may be a member ([`may_give`](super::may_give)).
    pub fn new(
        identity: Identity,
        last_acted: Option<Timestamp>,
        mut grants: Vec<GrantUse>,
        usage: &Usage,
        given: &[&BTreeSet<String>],
    ) -> Self {
        let mut counts = SuggestionCounts::default();
        grants.iter().for_each(|grant| counts.add(grant.suggestion));
        grants.sort_by(|a, b| {
            (rank(a.suggestion), a.given, a.record).cmp(&(rank(b.suggestion), b.given, b.record))
        });
        let covers = |what: &str| given.iter().copied().flatten().any(|scope| may_cover(scope, what));
        let ungranted = usage
            .used
            .iter()
            .filter(|used| used.named_as == UsedAs::Permission && !covers(&used.what))
            .map(Used::from)
            .collect();
        Certified { identity, last_acted, grants, counts, ungranted }
    }
}

/// What may be taken away comes first.
const fn rank(suggestion: Suggestion) -> u8 {
    match suggestion {
        Suggestion::Remove => 0,
        Suggestion::Narrow => 1,
        Suggestion::Unverified => 2,
        Suggestion::Keep => 3,
    }
}

impl Recertification {
    /// As people see it.
    pub fn page(&self) -> Page {
        let all = self.grants.total();
        let SuggestionCounts { keep, narrow, remove, unverified } = self.grants;
        let unowned = self.identities.iter().filter(|of| of.identity.owner.is_none()).count() as u64;
        let bad = |number: u64, tone| if number == 0 { Tone::Good } else { tone };
        let figures = vec![
            Figure::new(
                grouped(all),
                format!(
                    "grants in force, of {}",
                    count(self.total, "identity").replace("identitys", "identities")
                ),
                Tone::Plain,
            ),
            Figure::new(
                grouped(remove),
                "to remove: not used, and the sources prove it",
                bad(remove, Tone::Bad),
            ),
            Figure::new(grouped(narrow), "to narrow: used in part", bad(narrow, Tone::Doubtful)),
            Figure::new(grouped(keep), "to keep: used as given", Tone::Good),
            Figure::new(
                grouped(unverified),
                "unverified: nothing on record tells",
                bad(unverified, Tone::Doubtful),
            ),
        ];
        let mut unknown = self.left_out.clone();
        if unverified > 0 {
            unknown.push(format!(
                "whether {} of grants are used: {}",
                share(unverified, all),
                match self.complete.is_empty() {
                    true => "no source is declared complete for `actions` in the inventory, so that silence proves nothing".to_owned(),
                    false => format!("only {} are declared complete for `actions`, or what was used is not named as scopes are, or who is behind a holder is not known", self.complete.join(", ")),
                }
            ));
        }
        if unowned > 0 {
            unknown.push(format!(
                "who answers for {unowned} of the identities that are listed: the inventory does not say"
            ));
        }
        if self.without_grants > 0 {
            unknown.push(format!(
                "by what right {} identities act or may act: no record gives them a grant that is in force",
                grouped(self.without_grants)
            ));
        }
        if self.total > self.identities.len() as u64 {
            unknown.push(format!(
                "{} more identities are counted above and not listed; --limit lists more",
                grouped(self.total - self.identities.len() as u64)
            ));
        }
        Page {
            title: "Access recertification".to_owned(),
            question: "What is each identity granted, what of it did it use, and what should it keep?"
                .to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![self.overview(), self.list()],
            unknown,
        }
    }

    fn overview(&self) -> Section {
        let SuggestionCounts { keep, narrow, remove, unverified } = self.grants;
        Section {
            title: "What is suggested".to_owned(),
            note: "Each grant in force stands in exactly one part. Removing or narrowing is suggested only where the system \
                   that gave it is declared complete for actions; a suggestion is for its owner to decide on."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![
                    ("keep".into(), Tone::Good),
                    ("narrow".into(), Tone::Doubtful),
                    ("remove".into(), Tone::Bad),
                    ("unverified".into(), Tone::Plain),
                ],
                bars: vec![Bar {
                    label: "grants in force".into(),
                    parts: vec![keep, narrow, remove, unverified],
                    value: count(self.grants.total(), "grant"),
                }],
                whole: true,
            }),
            table: None,
        }
    }

    fn list(&self) -> Section {
        let columns = vec![
            Column::words("identity"),
            Column::words("owner"),
            Column::words("last acted"),
            Column::figures("grants"),
            Column::figures("remove"),
            Column::figures("narrow"),
            Column::figures("unverified"),
            Column::figures("keep"),
        ];
        Section {
            title: "Each identity".to_owned(),
            note: "Under each: what was granted by whom, what was used of it, and the reason for what is suggested."
                .to_owned(),
            chart: None,
            table: Some(Table::of(columns, self.identities.iter().map(row).collect(), MOST_SHOWN)),
        }
    }
}

fn row(of: &Certified) -> Row {
    let cells = vec![
        Cell::plain(&of.identity.key),
        of.identity.owner.as_ref().map_or_else(|| Cell::toned("not known", Tone::Doubtful), Cell::plain),
        of.last_acted
            .map_or_else(|| Cell::toned("never seen", Tone::Doubtful), |time| Cell::plain(second(time))),
        Cell::figure(of.counts.total(), Tone::Plain),
        Cell::figure(of.counts.remove, Tone::Bad),
        Cell::figure(of.counts.narrow, Tone::Doubtful),
        Cell::figure(of.counts.unverified, Tone::Doubtful),
        Cell::figure(of.counts.keep, Tone::Good),
    ];
    let mut notes: Vec<String> = of.grants.iter().take(MOST_GRANTS).map(told).collect();
    if of.grants.len() > MOST_GRANTS {
        notes.push(format!("and {} more grants", of.grants.len() - MOST_GRANTS));
    }
    let ungranted = of.ungranted.iter().map(|used| format!("{} ({})", used.what, grouped(used.actions)));
    line("used, and no grant on record covers it", ungranted.collect(), &mut notes);
    Row { cells, notes }
}

/// One grant in a line.
fn told(grant: &GrantUse) -> String {
    let mut words: Vec<String> = grant.role.iter().cloned().collect();
    words.extend(grant.scopes.iter().take(6).map(|scope| scope.scope.clone()));
    if grant.scopes.len() > 6 {
        words.push(format!("and {} more scopes", grant.scopes.len() - 6));
    }
    words.extend(grant.resource.iter().map(|resource| format!("on {resource}")));
    let by = grant.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let given = grant.given.map(|time| format!(", given {}{by}", second(time))).unwrap_or_default();
    let ends = grant.expires.map_or(", without an end".to_owned(), |end| format!(", to {}", second(end)));
    let approved = if grant.approved { "" } else { ", no request or approval on record" };
    let last = grant
        .scopes
        .iter()
        .flat_map(|scope| scope.used.iter().map(|used| used.last))
        .chain(grant.last_used)
        .max();
    let last = last.map_or(String::new(), |last| format!("; last used {}", second(last)));
    let to = match grant.narrow_to.is_empty() {
        true => String::new(),
        false => format!(" to {}", grant.narrow_to.join(", ")),
    };
    format!(
        "{}{to}: {}{given}{ends}{approved}{last}; {}",
        grant.suggestion.as_str(),
        if words.is_empty() { "a right that is not named".to_owned() } else { words.join(" ") },
        grant.reason
    )
}
