//! Who acts from outside, for what they were engaged, and what they were seen to do (I8).

use serde::{Deserialize, Serialize};

use deed_record::Timestamp;

use super::{
    Covered, Identity,
    agents::line,
    count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second, share,
};

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThirdParty {
    /// `third-party`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// Whose actions are whose: partners' and one's own; together all.
    pub activity: PartyShare,
    /// Everybody from outside, by vendor.
    pub parties: Vec<Engagement>,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// All actions, divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyShare {
    /// Done by somebody from outside.
    pub third_party: u64,
    /// Done by one's own.
    pub own: u64,
    /// Nobody knows who did it.
    pub unknown: u64,
}

/// Somebody from outside, and what they did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    /// The organisation; `null` where nobody says.
    pub vendor: Option<String>,
    /// Who.
    pub identity: Identity,
    /// What they were engaged for, as the inventory says; `null` where it does not.
    pub contract: Option<ContractTerms>,
    /// Rights that they were given.
    pub rights: Vec<Right>,
    /// How many those are.
    pub rights_total: u64,
    /// Calls that were observed.
    pub calls: u64,
    /// Of those, done by another identity: in sessions that they opened, or because they asked.
    #[serde(default)]
    pub through: u64,
    /// Of those, within the contract.
    pub within: u64,
    /// Outside of it, or after its end.
    pub outside: u64,
    /// No contract tells.
    pub unverified: u64,
    /// The first.
    pub first: Option<Timestamp>,
    /// The last.
    pub last: Option<Timestamp>,
    /// What they called, the most called first.
    pub operations: Vec<Call>,
}

/// The contract, as declared. An empty list bounds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractTerms {
    /// Permissions it may use.
    pub scopes: Vec<String>,
    /// Resources it may act upon.
    pub resources: Vec<String>,
    /// The first moment at which it is over.
    pub until: Option<Timestamp>,
}

/// A right that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    /// The role, the scopes and the resource, in one line.
    pub what: String,
    /// `active`, `expired`, `revoked` or `unknown`.
    pub state: String,
    /// When it ends; `null` where it stands.
    pub expires: Option<Timestamp>,
    /// Who gave it.
    pub by: Option<String>,
    /// Whether an answer to its request is on record.
    pub approved: bool,
}

/// Calls of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// `server/name` of a tool, else the operation.
    pub what: String,
    /// How often.
    pub calls: u64,
    /// How often outside the contract.
    pub outside: u64,
}

impl ThirdParty {
    /// The report on `parties`.
    pub fn new(
        covered: Covered,
        activity: PartyShare,
        mut parties: Vec<Engagement>,
        left_out: Vec<String>,
    ) -> Self {
        parties.sort_by(|a, b| {
            (b.outside, b.calls, &a.vendor, &a.identity).cmp(&(a.outside, a.calls, &b.vendor, &b.identity))
        });
        ThirdParty { report: "third-party".to_owned(), covered, activity, parties, left_out }
    }

    /// As people see it.
    pub fn page(&self) -> Page {
        let sum = |of: fn(&Engagement) -> u64| self.parties.iter().map(of).sum::<u64>();
        let PartyShare { third_party, own, unknown: nobody } = self.activity;
        let all = third_party + own + nobody;
        let (outside, unverified) = (sum(|party| party.outside), sum(|party| party.unverified));
        let tone = |number: u64, tone| if number == 0 { Tone::Good } else { tone };
        let uncontracted = self.parties.iter().filter(|party| party.contract.is_none()).count() as u64;
        let figures = vec![
            Figure::new(
                grouped(self.parties.len() as u64),
                "identities act from outside, or may",
                Tone::Plain,
            ),
            Figure::new(
                share(third_party, all),
                format!("of actions are theirs: {} of {}", grouped(third_party), grouped(all)),
                Tone::Plain,
            ),
            Figure::new(
                grouped(outside),
                "calls outside a contract, or after its end",
                tone(outside, Tone::Bad),
            ),
            Figure::new(
                grouped(unverified),
                "calls that no contract in the inventory covers: unverified",
                tone(unverified, Tone::Doubtful),
            ),
        ];
        let mut unknown = self.left_out.clone();
        if uncontracted > 0 {
            unknown.push(format!(
                "what {uncontracted} of them were engaged for: the inventory has no `contract` of theirs, so that none of \
                 their calls can be held against one"
            ));
        }
        if nobody > 0 {
            unknown.push(format!("whose {} are: no record of them says who acted", count(nobody, "action")));
        }
        unknown.push(
            "partners that neither the inventory nor a record marks as such are counted as one's own"
                .to_owned(),
        );
        let chart = Chart {
            legend: vec![
                ("one's own".into(), Tone::Good),
                ("from outside".into(), Tone::Doubtful),
                ("nobody known".into(), Tone::Plain),
            ],
            bars: vec![Bar {
                label: "actions".into(),
                parts: vec![own, third_party, nobody],
                value: count(all, "action"),
            }],
            whole: true,
        };
        Page {
            title: "Third parties".to_owned(),
            question: "Who acts from outside, what were they approved and engaged for, and did they keep to it?".to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![
                Section {
                    title: "Whose activity it is".to_owned(),
                    note: "From outside is whoever the inventory has as a third party or with a vendor, and whoever a record \
                           marks so."
                        .to_owned(),
                    chart: Some(chart),
                    table: None,
                },
                self.contracts(),
                self.list(),
            ],
            unknown,
        }
    }

    fn contracts(&self) -> Section {
        let bar = |party: &Engagement| Bar {
            label: party.vendor.clone().unwrap_or_else(|| party.identity.key.clone()),
            parts: vec![party.within, party.unverified, party.outside],
            value: count(party.calls, "call"),
        };
        Section {
            title: "Calls against contracts".to_owned(),
            note: "Every call stands in exactly one part. Outside is what the rule `outside-contract` finds; a call is within \
                   where there is a contract and that rule finds nothing."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![
                    ("within".into(), Tone::Good),
                    ("no contract known".into(), Tone::Doubtful),
                    ("outside".into(), Tone::Bad),
                ],
                bars: self.parties.iter().filter(|party| party.calls > 0).take(20).map(bar).collect(),
                whole: false,
            }),
            table: None,
        }
    }

    fn list(&self) -> Section {
        let columns = vec![
            Column::words("vendor"),
            Column::words("identity"),
            Column::words("contract"),
            Column::words("rights"),
            Column::figures("calls"),
            Column::figures("within"),
            Column::figures("outside"),
            Column::figures("unverified"),
        ];
        Section {
            title: "Vendor, approved scope, contract, calls".to_owned(),
            note: String::new(),
            chart: None,
            table: Some(Table::of(columns, self.parties.iter().map(row).collect(), 500)),
        }
    }
}

fn row(party: &Engagement) -> Row {
    let contract = match &party.contract {
        None => Cell::toned("not known", Tone::Doubtful),
        Some(terms) => match terms.until {
            Some(end) => Cell::plain(format!("to {}", second(end))),
            None => Cell::toned("without an end", Tone::Doubtful),
        },
    };
    let cells = vec![
        party.vendor.as_ref().map_or_else(|| Cell::toned("not known", Tone::Doubtful), Cell::plain),
        Cell::plain(&party.identity.key),
        contract,
        Cell::plain(match party.rights_total {
            0 => "none on record".to_owned(),
            rights => count(rights, "grant"),
        }),
        Cell::figure(party.calls, Tone::Plain),
        Cell::figure(party.within, Tone::Good),
        Cell::figure(party.outside, Tone::Bad),
        Cell::figure(party.unverified, Tone::Doubtful),
    ];
    let mut notes = Vec::new();
    if let Some(terms) = &party.contract {
        let scopes = if terms.scopes.is_empty() { vec!["anything".to_owned()] } else { terms.scopes.clone() };
        line("may use", scopes, &mut notes);
        let resources =
            if terms.resources.is_empty() { vec!["anything".to_owned()] } else { terms.resources.clone() };
        line("may act upon", resources, &mut notes);
    }
    if party.through > 0 {
        notes.push(format!(
            "{} by another identity, in a session that they opened or because they asked",
            count(party.through, "call")
        ));
    }
    let right = |right: &Right| {
        let by = right.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let until = right.expires.map(|end| format!(" to {}", second(end))).unwrap_or_default();
        let approved = if right.approved { "" } else { ", no approval on record" };
        format!("{} ({}{by}{until}{approved})", right.what, right.state)
    };
    line("given", party.rights.iter().map(right).collect(), &mut notes);
    let call = |call: &Call| match call.outside {
        0 => format!("{} ({})", call.what, grouped(call.calls)),
        outside => format!("{} ({}, {} outside)", call.what, grouped(call.calls), grouped(outside)),
    };
    line("called", party.operations.iter().map(call).collect(), &mut notes);
    if let (Some(first), Some(last)) = (party.first, party.last) {
        notes.push(format!("active {} to {}", second(first), second(last)));
    }
    Row { cells, notes }
}
