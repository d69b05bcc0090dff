//! Credentials and accounts behind which several stand: who they are, and where that is not known (I12).

use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Covered,
    agents::line,
    count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second, share,
};

/// Rows of each sort that are shown to people.
const MOST_SHOWN: usize = 200;

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// `shared`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// Credentials that several use, those with most behind them first.
    pub credentials: Vec<SharedBy>,
    /// How many there are.
    pub credentials_total: u64,
    /// Credentials that were used at all.
    pub credentials_used: u64,
    /// Accounts through which several act.
    pub accounts: Vec<SharedBy>,
    /// How many there are.
    pub accounts_total: u64,
    /// Accounts of machines that acted at all.
    pub accounts_active: u64,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// A credential or an account, and who stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedBy {
    /// What it is called.
    pub what: String,
    /// The type of the credential, or of the account.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose record it is.
    pub tenant: String,
    /// Whom evidence shows behind it.
    pub principals: Vec<String>,
    /// How many of those there are at least.
    pub principals_total: u64,
    /// Distinct instances that acted by it.
    pub instances: Several,
    /// Distinct devices.
    pub devices: Several,
    /// Distinct tasks.
    pub tasks: Several,
    /// Actions that were done by it.
    pub actions: u64,
    /// Of those, the ones of which it is known who stands behind: at most so many.
    pub attributed: u64,
    /// The last of them.
    pub last: Option<Timestamp>,
    /// What is not known of it, and why; empty where everybody behind it is known.
    pub incomplete: Vec<String>,
}

/// How many distinct ones were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Several {
    /// At least so many.
    pub seen: u64,
    /// There are more than are kept.
    pub more: bool,
    /// Two of them were at work in turns.
    pub overlap: bool,
}

impl Several {
    /// Whether there are several.
    pub const fn is_several(self) -> bool {
        self.seen > 1
    }

    fn words(self) -> String {
        match (self.seen, self.more) {
            (0, _) => "-".to_owned(),
            (seen, true) => format!("{}+", grouped(seen)),
            (seen, false) => grouped(seen),
        }
    }
}

impl SharedBy {
    /// How much stands behind it: what sorts rows.
    pub fn weight(&self) -> (u64, u64, u64, u64, u64) {
        let Several { seen: devices, .. } = self.devices;
        (self.principals_total, devices, self.instances.seen, self.tasks.seen, self.actions)
    }
}

impl Shared {
    /// As people see it.
    pub fn page(&self) -> Page {
        let bad = |number: u64, tone| if number == 0 { Tone::Good } else { tone };
        let all = || self.credentials.iter().chain(&self.accounts);
        let unclear = all().filter(|row| !row.incomplete.is_empty()).count() as u64;
        let figures = vec![
            Figure::new(
                grouped(self.credentials_total),
                format!(
                    "credentials have several behind them: {} of those in use",
                    share(self.credentials_total, self.credentials_used)
                ),
                bad(self.credentials_total, Tone::Bad),
            ),
            Figure::new(
                grouped(self.accounts_total),
                format!(
                    "accounts of machines have several behind them: {} of those that acted",
                    share(self.accounts_total, self.accounts_active)
                ),
                bad(self.accounts_total, Tone::Bad),
            ),
            Figure::new(
                grouped(unclear),
                "of those listed cannot be told apart fully: attribution is incomplete",
                bad(unclear, Tone::Doubtful),
            ),
        ];
        let mut unknown = self.left_out.clone();
        unknown.push(
            "sharing that leaves no trace: one account, one credential and no record of devices, instances or tasks looks \
             like one user; what addresses tell is a finding, `shared-account`"
                .to_owned(),
        );
        let missing = self.credentials_total + self.accounts_total - all().count() as u64;
        if missing > 0 {
            unknown.push(format!(
                "{} more are counted above and not listed; --limit lists more",
                grouped(missing)
            ));
        }
        Page {
            title: "Shared credentials and accounts".to_owned(),
            question: "Behind which credentials and accounts do several stand, who are they, and where is that not known?"
                .to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![
                section(
                    "Credentials",
                    "Used by accounts of several principals, or by several instances, devices or tasks. One principal under \
                     several joined names counts once.",
                    &self.credentials,
                ),
                section(
                    "Accounts",
                    "Accounts of machines through which several principals act, or that act by several devices or instances. \
                     Whom evidence shows behind one: who asked, as its actions say, and who had its credentials issued.",
                    &self.accounts,
                ),
            ],
            unknown,
        }
    }
}

fn section(title: &str, note: &str, rows: &[SharedBy]) -> Section {
    let columns = vec![
        Column::words(if title == "Accounts" { "account" } else { "credential" }),
        Column::words("type"),
        Column::figures("principals"),
        Column::figures("instances"),
        Column::figures("devices"),
        Column::figures("tasks"),
        Column::figures("actions"),
        Column::words("last"),
    ];
    let bar = |row: &SharedBy| Bar {
        label: row.what.clone(),
        parts: vec![row.attributed.min(row.actions), row.actions.saturating_sub(row.attributed)],
        value: count(row.actions, "action"),
    };
    let chart = Chart {
        legend: vec![("known who stands behind".into(), Tone::Good), ("not known".into(), Tone::Bad)],
        bars: rows.iter().filter(|row| row.actions > 0).take(10).map(bar).collect(),
        whole: false,
    };
    Section {
        title: title.to_owned(),
        note: note.to_owned(),
        chart: (!chart.bars.is_empty()).then_some(chart),
        table: Some(Table::of(columns, rows.iter().map(row).collect(), MOST_SHOWN)),
    }
}

fn row(of: &SharedBy) -> Row {
    let several = |several: Several| {
        Cell::toned(several.words(), if several.is_several() { Tone::Doubtful } else { Tone::Plain })
    };
    let cells = vec![
        Cell::plain(&of.what),
        Cell::plain(of.kind.replace('_', " ")),
        Cell::figure(of.principals_total, if of.principals_total > 1 { Tone::Bad } else { Tone::Plain }),
        several(of.instances),
        several(of.devices),
        several(of.tasks),
        Cell::figure(of.actions, Tone::Plain),
        of.last.map_or_else(|| Cell::plain("-"), |time| Cell::plain(second(time))),
    ];
    let mut notes = Vec::new();
    line("behind it", of.principals.clone(), &mut notes);
    let turns = [("instances", of.instances), ("devices", of.devices), ("tasks", of.tasks)];
    let turns: Vec<&str> =
        turns.iter().filter(|(_, several)| several.overlap).map(|(what, _)| *what).collect();
    if !turns.is_empty() {
        notes.push(format!("several {} at work in turns", turns.join(" and ")));
    }
    if !of.incomplete.is_empty() {
        notes.push(format!("not known: {}", of.incomplete.join("; ")));
    }
    Row { cells, notes }
}
