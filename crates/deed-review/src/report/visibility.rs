//! What share of identities and actions is fully attributable, and what is missing for the rest (G4).

use std::collections::BTreeMap;

use deed_record::PrincipalType;
use serde::{Deserialize, Serialize};

use super::{
    Covered, count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    share,
};
use crate::{
    judge::Judged,
    words::{Attribution, Authority, Scope},
};

/// Combinations of what is missing that are shown.
const MOST_SHOWN: usize = 20;

/// What has to be known of an action for it to be fully attributable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Who asked, and whether that is a person or a machine.
    Requester,
    /// Who acted, and what that is.
    Actor,
    /// Everybody between them, as one event tells of it.
    Path,
    /// The credential that it was done with.
    Credential,
    /// By what right: approved or not, but not *unverified*.
    Authority,
    /// Whether it stayed within what was held and granted: in or out, but not *unverified*.
    Scope,
}

impl Link {
    /// Every link, in the order of an explanation.
    pub const ALL: &[Link] =
        &[Link::Requester, Link::Actor, Link::Path, Link::Credential, Link::Authority, Link::Scope];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Link::Requester => "requester",
            Link::Actor => "actor",
            Link::Path => "path",
            Link::Credential => "credential",
            Link::Authority => "authority",
            Link::Scope => "scope",
        }
    }

    /// What is not known where it is missing.
    const fn lacks(self) -> &'static str {
        match self {
            Link::Requester => "who asked",
            Link::Actor => "who acted",
            Link::Path => "who stood between, or which of several accounts of it is right",
            Link::Credential => "with which credential",
            Link::Authority => "by what right (unverified)",
            Link::Scope => "whether within scope (unverified)",
        }
    }
}

/// Which links of one action are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Attributed {
    /// Who asked, with a type.
    pub requester: bool,
    /// Who acted, with a type.
    pub actor: bool,
    /// The credential.
    pub credential: bool,
}

/// Counts judged actions.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    systems: BTreeMap<String, System>,
    combinations: BTreeMap<Vec<Link>, u64>,
}

#[derive(Clone, Debug, Default)]
struct System {
    judged: u64,
    full: u64,
    missing: BTreeMap<Link, u64>,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visibility {
    /// `visibility`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// Actions there are.
    pub actions: u64,
    /// Actions that were judged, each as `deed explain` judges it: all, or a sample.
    pub judged: u64,
    /// Of those, how many are fully attributable.
    pub attributable: u64,
    /// Of those, how many lack each link. An action may lack several.
    pub missing: BTreeMap<Link, u64>,
    /// Judged actions by exactly what they lack; together with the attributable ones these are all.
    pub combinations: Vec<Combination>,
    /// The same by system.
    pub systems: Vec<SystemVisibility>,
    /// Identities there are.
    pub identities: u64,
    /// Of those, how many are fully attributable: what it is, who answers for it, and that nobody else acts as it.
    pub identities_attributable: u64,
    /// The same by type; the parts are all.
    pub by_type: Vec<IdentityVisibility>,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// Actions that lack exactly these links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combination {
    /// What they lack; empty for the attributable ones.
    pub missing: Vec<Link>,
    /// How many.
    pub actions: u64,
}

/// Actions that one system tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemVisibility {
    /// The system whose log tells; `deed` where Deed itself does; else who sent the record.
    pub system: String,
    /// Actions there are.
    pub actions: u64,
    /// Those that were judged.
    pub judged: u64,
    /// Of those, how many are fully attributable.
    pub attributable: u64,
    /// Of those, how many lack each link.
    pub missing: BTreeMap<Link, u64>,
}

/// What has to be known of an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityGap {
    /// No record says what it is, or records contradict each other.
    Type,
    /// The inventory names nobody who answers for it, and it is no person.
    Owner,
    /// Several accounts act with one credential of its: who of them it was is not known.
    Shared,
    /// Evidence would join it with somebody whom it cannot be.
    Conflict,
}

impl IdentityGap {
    /// Every gap.
    pub const ALL: &[IdentityGap] =
        &[IdentityGap::Type, IdentityGap::Owner, IdentityGap::Shared, IdentityGap::Conflict];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            IdentityGap::Type => "type",
            IdentityGap::Owner => "owner",
            IdentityGap::Shared => "shared",
            IdentityGap::Conflict => "conflict",
        }
    }
}

/// Identities of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityVisibility {
    /// The type.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// How many there are.
    pub identities: u64,
    /// Of those, how many are fully attributable.
    pub attributable: u64,
    /// Of those, how many have each gap.
    pub missing: BTreeMap<IdentityGap, u64>,
}

impl Judged {
    /// What is not known of the action.
    pub fn lacks(&self) -> Vec<Link> {
        let verdict = &self.verdict;
        let path = verdict.attribution.value == Attribution::Complete
            || !(self.attributed.requester && self.attributed.actor);
        let known = [
            self.attributed.requester,
            self.attributed.actor,
            path,
            self.attributed.credential,
            verdict.authority.value != Authority::Unverified,
            verdict.scope.value != Scope::Unverified,
        ];
        Link::ALL.iter().zip(known).filter(|(_, known)| !known).map(|(link, _)| *link).collect()
    }
}

impl Tally {
    /// Counts an action that `system` tells of.
    pub fn add(&mut self, system: &str, judged: &Judged) {
        let lacks = judged.lacks();
        let of = self.systems.entry(system.to_owned()).or_default();
        of.judged += 1;
        of.full += u64::from(lacks.is_empty());
        lacks.iter().for_each(|link| *of.missing.entry(*link).or_default() += 1);
        *self.combinations.entry(lacks).or_default() += 1;
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: Tally) {
        for (system, theirs) in other.systems {
            let of = self.systems.entry(system).or_default();
            of.judged += theirs.judged;
            of.full += theirs.full;
            theirs
                .missing
                .into_iter()
                .for_each(|(link, number)| *of.missing.entry(link).or_default() += number);
        }
        other.combinations.into_iter().for_each(|(lacks, number)| {
            *self.combinations.entry(lacks).or_default() += number;
        });
    }

    /// The report. `totals` are all actions by system, `by_type` all identities.
    pub fn report(
        self,
        covered: Covered,
        totals: BTreeMap<String, u64>,
        by_type: Vec<IdentityVisibility>,
        left_out: Vec<String>,
    ) -> Visibility {
        let mut missing: BTreeMap<Link, u64> = BTreeMap::new();
        for (link, number) in self.systems.values().flat_map(|system| &system.missing) {
            *missing.entry(*link).or_default() += number;
        }
        let mut combinations: Vec<Combination> = self
            .combinations
            .into_iter()
            .map(|(missing, actions)| Combination { missing, actions })
            .collect();
        combinations.sort_by(|a, b| (b.actions, &a.missing).cmp(&(a.actions, &b.missing)));
        let (mut judged, mut attributable) = (0, 0);
        let mut counted = self.systems;
        let mut systems: Vec<SystemVisibility> = totals
            .into_iter()
            .map(|(system, actions)| {
                let of = counted.remove(&system).unwrap_or_default();
                judged += of.judged;
                attributable += of.full;
                let (judged, attributable) = (of.judged, of.full);
                SystemVisibility { system, actions, judged, attributable, missing: of.missing }
            })
            .collect();
        systems.sort_by(|a, b| (b.actions, &a.system).cmp(&(a.actions, &b.system)));
        Visibility {
            report: "visibility".to_owned(),
            covered,
            actions: systems.iter().map(|system| system.actions).sum(),
            judged,
            attributable,
            missing,
            combinations,
            systems,
            identities: by_type.iter().map(|of| of.identities).sum(),
            identities_attributable: by_type.iter().map(|of| of.attributable).sum(),
            by_type,
            left_out,
        }
    }
}

impl Visibility {
    /// How far the share of a sample may be off, in tenths of a percent, at 95 %; `None` where every action was judged.
    pub fn margin(&self) -> Option<u64> {
        if self.judged >= self.actions || self.judged == 0 {
            return None;
        }
        let (part, whole) = (self.attributable as f64, self.judged as f64);
        let p = part / whole;
        // Wilson's half-width: it says something at 0 and at 1, too.
        let z = 1.96_f64;
        let half = z * (p * (1.0 - p) / whole + z * z / (4.0 * whole * whole)).sqrt() / (1.0 + z * z / whole);
        Some((half * 1000.0).ceil() as u64)
    }

    /// As people see it.
    pub fn page(&self) -> Page {
        let tone = |part: u64, whole: u64| match () {
            () if whole == 0 => Tone::Plain,
            () if part == whole => Tone::Good,
            () if part * 2 >= whole => Tone::Doubtful,
            () => Tone::Bad,
        };
        let sampled = self.margin().map(|margin| format!(", ± {}.{} points", margin / 10, margin % 10));
        let mut figures = vec![
            Figure::new(
                share(self.attributable, self.judged),
                format!(
                    "of actions are fully attributable: {} of {}{}",
                    grouped(self.attributable),
                    grouped(self.judged),
                    sampled.clone().unwrap_or_default()
                ),
                tone(self.attributable, self.judged),
            ),
            Figure::new(
                share(self.identities_attributable, self.identities),
                format!(
                    "of identities are fully attributable: {} of {}",
                    grouped(self.identities_attributable),
                    grouped(self.identities)
                ),
                tone(self.identities_attributable, self.identities),
            ),
        ];
        for link in [Link::Requester, Link::Authority] {
            let known = self.judged - self.missing.get(&link).copied().unwrap_or_default();
            figures.push(Figure::new(
                share(known, self.judged),
                if link == Link::Requester {
                    "tell who asked, and what that is"
                } else {
                    "tell by what right it was done"
                },
                tone(known, self.judged),
            ));
        }
        let mut unknown = self.left_out.clone();
        if sampled.is_some() {
            unknown.push(format!(
                "{} of {} actions were judged, chosen by a digest of their ids; shares are of those, counts of actions \
                 by system are of all",
                grouped(self.judged),
                grouped(self.actions)
            ));
        }
        unknown
            .push("systems whose logs are not here: nothing says how many actions they would add".to_owned());
        Page {
            title: "Visibility".to_owned(),
            question: "What share of identities and of actions is fully attributable, and what is missing for the rest?"
                .to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![self.links(), self.by_system(), self.rest(), self.who()],
            unknown,
        }
    }

    fn links(&self) -> Section {
        let bar = |link: &Link| {
            let missing = self.missing.get(link).copied().unwrap_or_default();
            let known = self.judged - missing;
            Bar {
                label: link.as_str().to_owned(),
                parts: vec![known, missing],
                value: format!("{} known", share(known, self.judged)),
            }
        };
        Section {
            title: "What is known of actions".to_owned(),
            note: "Of the actions that were judged, how many have each link. Who asked and who acted are known where it \
                   is known, too, whether that is a person or a machine; whether a record says it or it follows from others, as of \
                   whoever asked for the right. An action is fully attributable where all are known; authority and scope are known where they are judged either way, and not unverified."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![("known".into(), Tone::Good), ("missing".into(), Tone::Bad)],
                bars: Link::ALL.iter().map(bar).collect(),
                whole: true,
            }),
            table: None,
        }
    }

    fn by_system(&self) -> Section {
        let mut columns = vec![
            Column::words("system"),
            Column::figures("actions"),
            Column::figures("judged"),
            Column::figures("full"),
        ];
        columns.extend(Link::ALL.iter().map(|link| Column::figures(link.as_str())));
        let row =
            |system: &SystemVisibility| {
                let mut cells = vec![
                    Cell::plain(&system.system),
                    Cell::figure(system.actions, Tone::Plain),
                    Cell::figure(system.judged, Tone::Plain),
                    Cell::plain(share(system.attributable, system.judged)),
                ];
                cells.extend(Link::ALL.iter().map(|link| {
                    Cell::figure(system.missing.get(link).copied().unwrap_or_default(), Tone::Bad)
                }));
                Row { cells, notes: Vec::new() }
            };
        Section {
            title: "By system".to_owned(),
            note: "The system whose log tells of the action; `deed` where Deed itself was in the path, else who sent the \
                   record. `full` is the share of the judged that is fully attributable; the last columns count those that \
                   lack each link, an action that lacks several under each."
                .to_owned(),
            chart: None,
            table: Some(Table::of(columns, self.systems.iter().map(row).collect(), usize::MAX)),
        }
    }

    fn rest(&self) -> Section {
        let columns = vec![Column::figures("actions"), Column::figures("share"), Column::words("not known")];
        let row = |combination: &Combination| {
            let lacks: Vec<&str> = combination.missing.iter().map(|link| link.lacks()).collect();
            let (words, tone) = match lacks.is_empty() {
                true => ("nothing: fully attributable".to_owned(), Tone::Good),
                false => (lacks.join("; "), Tone::Plain),
            };
            let cells = vec![
                Cell::figure(combination.actions, Tone::Plain),
                Cell::plain(share(combination.actions, self.judged)),
                Cell::toned(words, tone),
            ];
            Row { cells, notes: Vec::new() }
        };
        Section {
            title: "What is missing together".to_owned(),
            note: "Every judged action stands in exactly one line.".to_owned(),
            chart: None,
            table: Some(Table::of(columns, self.combinations.iter().map(row).collect(), MOST_SHOWN)),
        }
    }

    fn who(&self) -> Section {
        let columns = vec![
            Column::words("type"),
            Column::figures("identities"),
            Column::figures("attributable"),
            Column::figures("no type"),
            Column::figures("no owner"),
            Column::figures("shared"),
            Column::figures("conflict"),
        ];
        let row = |of: &IdentityVisibility| {
            let mut cells = vec![
                Cell::plain(of.kind.as_str().replace('_', " ")),
                Cell::figure(of.identities, Tone::Plain),
                Cell::plain(share(of.attributable, of.identities)),
            ];
            cells.extend(
                IdentityGap::ALL
                    .iter()
                    .map(|gap| Cell::figure(of.missing.get(gap).copied().unwrap_or_default(), Tone::Bad)),
            );
            Row { cells, notes: Vec::new() }
        };
        let bar = |of: &IdentityVisibility| Bar {
            label: of.kind.as_str().replace('_', " "),
            parts: vec![of.attributable, of.identities - of.attributable],
            value: count(of.identities, "identity").replace("identitys", "identities"),
        };
        Section {
            title: "Identities".to_owned(),
            note: "An identity is fully attributable where it is known what it is, where the inventory says who answers \
                   for it (a person answers for themselves), where no credential of its is used by several accounts, \
                   and where no evidence contradicts its joins. One may lack several."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![("attributable".into(), Tone::Good), ("not".into(), Tone::Bad)],
                bars: self.by_type.iter().map(bar).collect(),
                whole: false,
            }),
            table: Some(Table::of(columns, self.by_type.iter().map(row).collect(), usize::MAX)),
        }
    }
}
