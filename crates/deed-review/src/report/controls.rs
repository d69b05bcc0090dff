//! Which controls the evidence shows to work or to fail, and what a change did to that (G6).

use std::collections::BTreeMap;

use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CONTROLS, Control, Covered, Measure, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second, share,
};
use crate::{every_rule, is_standing};

/// What was counted in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What shows controls at work.
    pub measures: BTreeMap<Measure, u64>,
    /// Findings by rule.
    pub findings: BTreeMap<String, u64>,
    /// Findings that are suppressed, by rule.
    pub suppressed: BTreeMap<String, u64>,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// `controls`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// The change before and after which it was counted; `null` where none was named.
    pub change: Option<Timestamp>,
    /// Actions there were, to hold figures against.
    pub actions: Period,
    /// The controls, by framework.
    pub controls: Vec<ControlRow>,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// A figure, in all and around a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// In all.
    pub total: u64,
    /// Before the change; `null` where none was named.
    pub before: Option<u64>,
    /// From the change on.
    pub after: Option<u64>,
}

/// One control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRow {
    /// The framework.
    pub framework: String,
    /// The control's id there.
    pub id: String,
    /// What it asks for.
    pub title: String,
    /// Ids by which guides call it besides.
    pub also: Vec<String>,
    /// What the evidence comes to.
    pub status: ControlStatus,
    /// What shows that it works.
    pub works: Vec<Shown>,
    /// What shows that it fails.
    pub fails: Vec<RuleCount>,
    /// Findings in all.
    pub findings: Period,
    /// Findings that are suppressed now, and counted nowhere else.
    #[serde(default)]
    pub suppressed: Period,
}

/// What the evidence on a control comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlStatus {
    /// It is at work, and no finding shows that it fails.
    Operating,
    /// Findings show that it fails.
    Failing,
    /// Nothing on record shows either.
    Unverified,
}

/// Evidence that a control is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What was counted.
    pub measure: Measure,
    /// The same in words.
    pub counts: String,
    /// How many.
    pub number: Period,
}

/// Findings of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// The rule.
    pub rule: String,
    /// How many.
    pub number: Period,
}

/// The report: figures in all, and those before and after a change where one was named.
pub fn controls(
    covered: Covered,
    all: &Figures,
    around: Option<(Timestamp, &Figures, &Figures)>,
    left_out: Vec<String>,
) -> Controls {
    let period = |of: &dyn Fn(&Figures) -> u64| Period {
        total: of(all),
        before: around.map(|(_, before, _)| of(before)),
        after: around.map(|(_, _, after)| of(after)),
    };
    let measured = |measure: Measure| {
        let number = period(&|figures| figures.measures.get(&measure).copied().unwrap_or_default());
        if measure.is_state() { Period { before: None, after: None, ..number } } else { number }
    };
    let found = |rule: &str| period(&|figures| figures.findings.get(rule).copied().unwrap_or_default());
    let row = |control: &Control| {
        let works: Vec<Shown> = control
            .shown_by
            .iter()
            .map(|measure| Shown {
                measure: *measure,
                counts: measure.counts().to_owned(),
                number: measured(*measure),
            })
            .collect();
        let fails: Vec<RuleCount> = rules_of(control)
            .map(|rule| RuleCount { rule: rule.to_owned(), number: found(rule) })
            .filter(|count| count.number.total > 0)
            .collect();
        let findings = fails
            .iter()
            .fold(Period { total: 0, before: around.map(|_| 0), after: around.map(|_| 0) }, |sum, count| {
                sum.and(count.number)
            });
        let suppressed =
            period(&|figures| rules_of(control).filter_map(|rule| figures.suppressed.get(rule)).sum());
        let status = match (findings.total, works.iter().any(|shown| shown.number.total > 0)) {
            (0, true) => ControlStatus::Operating,
            (0, false) => ControlStatus::Unverified,
            _ => ControlStatus::Failing,
        };
        ControlRow {
            framework: control.framework.to_owned(),
            id: control.id.to_owned(),
            title: control.title.to_owned(),
            also: control.also.iter().map(|id| (*id).to_owned()).collect(),
            status,
            works,
            fails,
            findings,
            suppressed,
        }
    };
    Controls {
        report: "controls".to_owned(),
        covered,
        change: around.map(|(change, _, _)| change),
        actions: measured(Measure::Actions),
        controls: CONTROLS.iter().map(row).collect(),
        left_out,
    }
}

/// Rules whose findings show that `control` fails: those that name it, and those that the catalogue adds.
fn rules_of(control: &Control) -> impl Iterator<Item = &'static str> + use<'_> {
    let names_it =
        |rule: &&crate::Rule| rule.controls.contains(&control.id) || control.broken_by.contains(&rule.name);
    every_rule().filter(names_it).map(|rule| rule.name)
}

impl Period {
    fn and(self, other: Period) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        Period {
            total: self.total + other.total,
            before: sum(self.before, other.before),
            after: sum(self.after, other.after),
        }
    }

    /// For people: in all, or before and after.
    fn words(self) -> String {
        match (self.before, self.after) {
            (Some(before), Some(after)) => format!("{} → {}", grouped(before), grouped(after)),
            _ => grouped(self.total),
        }
    }
}

impl ControlStatus {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            ControlStatus::Operating => "operating",
            ControlStatus::Failing => "failing",
            ControlStatus::Unverified => "unverified",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            ControlStatus::Operating => Tone::Good,
            ControlStatus::Failing => Tone::Bad,
            ControlStatus::Unverified => Tone::Doubtful,
        }
    }
}

impl Controls {
    /// As people see it.
    pub fn page(&self) -> Page {
        let of = |status: ControlStatus| {
            self.controls.iter().filter(|control| control.status == status).count() as u64
        };
        let all = self.controls.len() as u64;
        let (failing, unverified) = (of(ControlStatus::Failing), of(ControlStatus::Unverified));
        let figures = vec![
            Figure::new(
                grouped(of(ControlStatus::Operating)),
                format!("of {all} controls are at work, and no finding shows that they fail"),
                Tone::Good,
            ),
            Figure::new(
                grouped(failing),
                "have findings that show them to fail",
                if failing == 0 { Tone::Good } else { Tone::Bad },
            ),
            Figure::new(
                grouped(unverified),
                "are unverified: nothing on record shows either",
                if unverified == 0 { Tone::Good } else { Tone::Doubtful },
            ),
        ];
        let mut sections = Vec::new();
        sections.extend(self.change.map(|change| self.around(change)));
        sections.push(self.overview());
        sections.extend(frameworks().map(|framework| self.framework(framework)));
        let mut unknown = self.left_out.clone();
        unknown.push(
            "whether a control is designed well, or does all that its framework asks for: figures say what was seen of it"
                .to_owned(),
        );
        unknown.push(
            "controls that records of actions say nothing about, such as GV.RM-03 (enterprise risk), DE.CM-01 (formerly \
             DE.CM-1, networks), NHI2 (secret leakage), NHI6 (deployment configuration), ASI05, ASI06, MAESTRO L1 \
             and L2: not in this report"
                .to_owned(),
        );
        Page {
            title: "Controls".to_owned(),
            question: match self.change {
                Some(change) => format!(
                    "Which controls does the evidence show to work or to fail, before and after the change at {}?",
                    second(change)
                ),
                None => "Which controls does the evidence show to work or to fail?".to_owned(),
            },
            covered: self.covered.clone(),
            figures,
            sections,
            unknown,
        }
    }

    /// What a change did: findings by rule, and against how many actions.
    fn around(&self, change: Timestamp) -> Section {
        let mut rules: BTreeMap<&str, Period> = BTreeMap::new();
        for count in self.controls.iter().flat_map(|control| &control.fails) {
            rules.insert(&count.rule, count.number);
        }
        let (before, after) =
            (self.actions.before.unwrap_or_default(), self.actions.after.unwrap_or_default());
        let row = |(rule, number): (&&str, &Period)| {
            let (was, is) = (number.before.unwrap_or_default(), number.after.unwrap_or_default());
            // Shares, compared without rounding.
            let (then, now) = (u128::from(was) * u128::from(after), u128::from(is) * u128::from(before));
            let standing = is_standing(rule);
            let (word, tone) = match () {
                () if standing && is < was => ("fewer", Tone::Good),
                () if standing && is > was => ("more", Tone::Bad),
                () if standing => ("as many", Tone::Plain),
                () if before == 0 || after == 0 => ("cannot be compared", Tone::Doubtful),
                () if now < then => ("less often", Tone::Good),
                () if now > then => ("more often", Tone::Bad),
                () => ("as before", Tone::Plain),
            };
            let of = |number, actions| {
                if standing { Cell::plain("stand") } else { Cell::plain(share(number, actions)) }
            };
            let cells = vec![
                Cell::plain(*rule),
                Cell::figure(was, Tone::Plain),
                of(was, before),
                Cell::figure(is, Tone::Plain),
                of(is, after),
                Cell::toned(word, tone),
            ];
            Row { cells, notes: Vec::new() }
        };
        let columns = vec![
            Column::words("rule"),
            Column::figures("before"),
            Column::figures("of actions"),
            Column::figures("after"),
            Column::figures("of actions"),
            Column::words("now"),
        ];
        Section {
            title: format!("Before and after {}", second(change)),
            note: format!(
                "Findings by the time of the action they are about: {} actions before, {} from then on. What \
                 stands is counted at the change, and at the end. A difference is no proof that the change made it.",
                grouped(before),
                grouped(after)
            ),
            chart: Some(Chart {
                legend: vec![("before".into(), Tone::Plain), ("after".into(), Tone::Bad)],
                bars: rules
                    .iter()
                    .map(|(rule, number)| Bar {
                        label: (*rule).to_owned(),
                        parts: vec![number.before.unwrap_or_default(), number.after.unwrap_or_default()],
                        value: number.words(),
                    })
                    .collect(),
                whole: false,
            }),
            table: Some(Table::of(columns, rules.iter().map(row).collect(), usize::MAX)),
        }
    }

    fn overview(&self) -> Section {
        let bar = |framework: &'static str| {
            let of = |status: ControlStatus| {
                let theirs = self.controls.iter().filter(|control| control.framework == framework);
                theirs.filter(|control| control.status == status).count() as u64
            };
            let parts =
                vec![of(ControlStatus::Operating), of(ControlStatus::Unverified), of(ControlStatus::Failing)];
            let value = format!("{} of {} operating", parts[0], parts.iter().sum::<u64>());
            Bar { label: framework.to_owned(), parts, value }
        };
        Section {
            title: "By framework".to_owned(),
            note: "Operating: something that the control does was seen, and no finding shows that it fails. Failing: a \
                   finding does. Unverified: neither, which is not a pass."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![
                    ("operating".into(), Tone::Good),
                    ("unverified".into(), Tone::Doubtful),
                    ("failing".into(), Tone::Bad),
                ],
                bars: frameworks().map(bar).collect(),
                whole: true,
            }),
            table: None,
        }
    }

    fn framework(&self, framework: &str) -> Section {
        let columns = vec![
            Column::words("control"),
            Column::words("asks for"),
            Column::words("status"),
            Column::figures("findings"),
        ];
        let row = |control: &ControlRow| {
            let id = match control.also.is_empty() {
                true => control.id.clone(),
                false => format!("{} ({})", control.id, control.also.join(", ")),
            };
            let cells = vec![
                Cell::plain(id),
                Cell::plain(&control.title),
                Cell::toned(control.status.as_str(), control.status.tone()),
                Cell::toned(
                    control.findings.words(),
                    if control.findings.total == 0 { Tone::Plain } else { Tone::Bad },
                ),
            ];
            let works =
                control.works.iter().map(|shown| format!("{} {}", shown.number.words(), shown.counts));
            let mut notes = vec![format!("works: {}", works.collect::<Vec<_>>().join("; "))];
            if !control.fails.is_empty() {
                let fails =
                    control.fails.iter().map(|count| format!("{} ({})", count.rule, count.number.words()));
                notes.push(format!("fails: {}", fails.collect::<Vec<_>>().join("; ")));
            }
            if control.suppressed.total > 0 {
                notes.push(format!("suppressed, and not counted: {}", control.suppressed.words()));
            }
            Row { cells, notes }
        };
        let rows = self.controls.iter().filter(|control| control.framework == framework).map(row).collect();
        Section {
            title: framework.to_owned(),
            note: String::new(),
            chart: None,
            table: Some(Table::of(columns, rows, usize::MAX)),
        }
    }
}

/// Every framework, in order.
fn frameworks() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    CONTROLS.iter().map(|control| control.framework).filter(move |framework| {
        let new = *framework != last;
        last = framework;
        new
    })
}
