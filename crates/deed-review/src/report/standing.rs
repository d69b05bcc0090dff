//! Privilege that does not end, by identity: for how long, and when it was last used (G2).

use deed_record::{RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Covered, Identity, count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second, share,
};

/// Identities that are shown to people.
const MOST_SHOWN: usize = 200;
/// Rights of one identity that are shown to people.
const MOST_RIGHTS: usize = 8;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// By how many days ages are told apart.
const AGES: [(i64, &str); 4] =
    [(30, "under 30 days"), (90, "30 to 90 days"), (365, "90 days to a year"), (i64::MAX, "over a year")];

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingPrivilege {
    /// `standing`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// Identities with a right that does not end, those with most first.
    pub identities: Vec<Standing>,
    /// How many there are.
    pub total: u64,
    /// Grants in force, by whether they end: the parts are all.
    pub grants: Ends,
    /// Credentials in force, likewise.
    pub credentials: Ends,
    /// Standing rights by age.
    pub ages: Vec<Age>,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// What is in force, by whether it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// With an end.
    pub time_bound: u64,
    /// Without one.
    pub standing: u64,
}

/// Standing rights of an age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// The age.
    pub age: String,
    /// Used in the time that is covered.
    pub used: u64,
    /// Not seen in use in that time.
    pub unused: u64,
    /// Grants of which nothing tells whether they are used.
    #[serde(default)]
    pub unknown: u64,
}

/// One identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who, and who answers for it.
    pub identity: Identity,
    /// Its rights that do not end, the oldest first.
    pub rights: Vec<StandingRight>,
    /// How many those are.
    pub rights_total: u64,
}

/// One right that does not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingRight {
    /// `grant` or `credential`.
    pub kind: String,
    /// The role, scopes and resource of a grant; the name of a credential.
    pub what: String,
    /// Since when; `null` where no record tells.
    pub since: Option<Timestamp>,
    /// The record that tells.
    pub record: Option<RecordId>,
    /// Whole days up to when the report was made, or its `until`.
    pub days: Option<i64>,
    /// Actions that were done with it; of a grant, those that name it.
    pub uses: u64,
    /// When it was last seen in use: of a grant, also by what its holder used of its scopes.
    pub last_used: Option<Timestamp>,
    /// Nothing tells whether it is used: what its holder did is not named as its scopes are.
    #[serde(default)]
    pub use_unknown: bool,
    /// Who gave it.
    pub by: Option<String>,
}

impl StandingRight {
    /// Whole days from `since` to `to`.
    pub fn days(since: Option<Timestamp>, to: Timestamp) -> Option<i64> {
        since.map(|since| (to.0 - since.0).max(0) / DAY)
    }
}

impl Age {
    /// Nothing of any age yet.
    pub fn none() -> Vec<Age> {
        let ages = AGES.iter().map(|(_, age)| *age).chain(["not known"]);
        ages.map(|age| Age { age: age.to_owned(), used: 0, unused: 0, unknown: 0 }).collect()
    }

    /// Counts a right of so many days; `used` is `None` where nothing tells.
    pub fn add(ages: &mut [Age], days: Option<i64>, used: Option<bool>) {
        let at = days.map_or(AGES.len(), |days| {
            AGES.iter().position(|(most, _)| days < *most).unwrap_or(AGES.len() - 1)
        });
        if let Some(age) = ages.get_mut(at) {
            *match used {
                Some(true) => &mut age.used,
                Some(false) => &mut age.unused,
                None => &mut age.unknown,
            } += 1;
        }
    }

    fn total(&self) -> u64 {
        self.used + self.unused + self.unknown
    }
}

impl Ends {
    fn total(self) -> u64 {
        self.time_bound + self.standing
    }
}

impl StandingPrivilege {
    /// As people see it.
    pub fn page(&self) -> Page {
        let (grants, credentials) = (self.grants, self.credentials);
        let unused: u64 = self.ages.iter().map(|age| age.unused).sum();
        let bad = |number: u64, tone| if number == 0 { Tone::Good } else { tone };
        let figures = vec![
            Figure::new(
                grouped(self.total),
                "identities hold a right that does not end",
                bad(self.total, Tone::Doubtful),
            ),
            Figure::new(
                share(grants.standing, grants.total()),
                format!(
                    "of grants in force have no end: {} of {}",
                    grouped(grants.standing),
                    grouped(grants.total())
                ),
                bad(grants.standing, Tone::Bad),
            ),
            Figure::new(
                share(credentials.standing, credentials.total()),
                format!(
                    "of credentials in force have no end: {} of {}",
                    grouped(credentials.standing),
                    grouped(credentials.total())
                ),
                bad(credentials.standing, Tone::Bad),
            ),
            Figure::new(grouped(unused), "of those rights were not seen in use", bad(unused, Tone::Doubtful)),
        ];
        let mut unknown = self.left_out.clone();
        let ageless = self.ages.last().map_or(0, Age::total);
        if ageless > 0 {
            unknown.push(format!(
                "since when {} stand: no record tells when they were given or made",
                count(ageless, "right")
            ));
        }
        unknown.push(
            "whether a right that was not seen in use was used where no log tells; `deed report recertification` says where \
             silence proves it"
                .to_owned(),
        );
        unknown.push(
            "whether a credential ends where only its issuer knows: one that no record gives an end is counted as standing if \
             it is of a type that does not end by itself (such as an access key), and else not at all"
                .to_owned(),
        );
        if self.total > self.identities.len() as u64 {
            unknown.push(format!(
                "{} more identities are counted above and not listed; --limit lists more",
                grouped(self.total - self.identities.len() as u64)
            ));
        }
        Page {
            title: "Standing privilege".to_owned(),
            question: "Which rights do not end, whose are they, since when, and when were they last used?"
                .to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![self.ages(), self.list()],
            unknown,
        }
    }

    fn ages(&self) -> Section {
        let bar = |age: &Age| Bar {
            label: age.age.clone(),
            parts: vec![age.used, age.unused, age.unknown],
            value: count(age.total(), "right"),
        };
        Section {
            title: "How long they stand".to_owned(),
            note: "Grants and credentials in force that have no end, by age. Every one stands in exactly one part."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![
                    ("used".into(), Tone::Doubtful),
                    ("not seen in use".into(), Tone::Bad),
                    ("not known".into(), Tone::Plain),
                ],
                bars: self.ages.iter().map(bar).collect(),
                whole: false,
            }),
            table: None,
        }
    }

    fn list(&self) -> Section {
        let columns = vec![
            Column::words("identity"),
            Column::words("type"),
            Column::words("owner"),
            Column::figures("rights"),
            Column::figures("oldest, days"),
            Column::words("last used"),
        ];
        Section {
            title: "Each identity".to_owned(),
            note: String::new(),
            chart: None,
            table: Some(Table::of(columns, self.identities.iter().map(row).collect(), MOST_SHOWN)),
        }
    }
}

fn row(of: &Standing) -> Row {
    let oldest = of.rights.iter().filter_map(|right| right.days).max();
    let last = of.rights.iter().filter_map(|right| right.last_used).max();
    let unseen =
        if of.rights.iter().all(|right| right.use_unknown) { "not known" } else { "not seen in use" };
    let cells = vec![
        Cell::plain(&of.identity.key),
        Cell::plain(of.identity.kind.as_str().replace('_', " ")),
        of.identity.owner.as_ref().map_or_else(|| Cell::toned("not known", Tone::Doubtful), Cell::plain),
        Cell::figure(of.rights_total, Tone::Bad),
        oldest.map_or_else(
            || Cell::toned("not known", Tone::Doubtful),
            |days| Cell::plain(grouped(days.unsigned_abs())),
        ),
        last.map_or_else(|| Cell::toned(unseen, Tone::Doubtful), |time| Cell::plain(second(time))),
    ];
    let mut notes: Vec<String> = of.rights.iter().take(MOST_RIGHTS).map(told).collect();
    if of.rights_total > MOST_RIGHTS as u64 {
        notes.push(format!("and {} more", grouped(of.rights_total - MOST_RIGHTS as u64)));
    }
    Row { cells, notes }
}

fn told(right: &StandingRight) -> String {
    let by = right.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let since = match (right.since, right.days) {
        (Some(since), Some(days)) => {
            format!("since {}{by} ({} days)", second(since), grouped(days.unsigned_abs()))
        }
        _ => format!("since when is not known{by}"),
    };
    let used = match right.last_used {
        Some(last) if right.uses == 0 => format!("in use, last {}; no action names it", second(last)),
        Some(last) => format!("{}, last {}", count(right.uses, "use"), second(last)),
        None if right.use_unknown => {
            "whether it is used is not known: what its holder did is not named as it is".to_owned()
        }
        None => "not seen in use".to_owned(),
    };
    format!("{} {}: {since}; {used}", right.kind, right.what)
}
