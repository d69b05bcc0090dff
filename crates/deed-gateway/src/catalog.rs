//! The tools that were seen, and what each was when it was approved (P4).
//!
//! The first sight of a tool pins its definition. Another definition is held: the tool is not called until
//! somebody approves the difference. All of that is in the log, as records of kind `tool`; here is what they
//! come to.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use deed_ledger::{Key, Ledger, LedgerError};
use deed_policy::folded;
use deed_record::{Change, Kind, RecordId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::point::is_ours;

/// A tool's record, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    pub(crate) record: RecordId,
    pub(crate) digest: String,
}

/// What is known of a tool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pin {
    /// What it was when it was approved, or first seen.
    pub(crate) approved: Option<Version>,
    /// What it has become since, and waits to be approved.
    pub(crate) held: Option<Version>,
    /// The record that says that it was listed as it was approved since then.
    pub(crate) back: Option<RecordId>,
}

impl Pin {
    /// Whether anybody has ever listed it.
    pub(crate) fn is_seen(&self) -> bool {
        self.approved.is_some() || self.held.is_some()
    }

    /// What holds a tool of this definition back; `None` where it may be called.
    pub(crate) fn holds(&self, definition: Option<&str>) -> Option<&Version> {
        let held = self.held.as_ref()?;
        // A door that has not seen a definition knows what was listed last.
        let is_approved = match definition {
            Some(_) => self.approved.as_ref().map(|version| &*version.digest) == definition,
            None => self.back.is_some(),
        };
        (!is_approved).then_some(held)
    }

    /// What is new about a tool of this definition.
    pub(crate) fn news(&self, digest: &str) -> Option<News> {
        let is = |version: &Option<Version>| version.as_ref().is_some_and(|version| version.digest == digest);
        match &self.approved {
            None => Some(News::First),
            Some(_) if is(&self.approved) => {
                (self.held.is_some() && self.back.is_none()).then_some(News::Back)
            }
            Some(_) if is(&self.held) && self.back.is_none() => None,
            Some(_) => Some(News::Changed),
        }
    }
}

/// What is new about a tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Nobody has seen it before.
    First,
    /// It is not what was approved.
    Changed,
    /// It was not, and is again.
    Back,
}

/// Tenant, server and name.
type Place = (String, String, String);

/// The pins of a store, read from its log as they are needed.
#[derive(Default)]
pub(crate) struct Catalog {
    pins: Mutex<HashMap<Place, Pin>>,
    /// The names of tools that were seen, by what they are to those to whom letter case is nothing.
    seen: Mutex<HashMap<Place, String>>,
}

/// How many of a tool's records are read at a time.
const READ: usize = 16;

impl Catalog {
    /// What is known of a tool. Reads the log the first time: not for threads that must not wait.
    pub(crate) fn pin(
        &self,
        ledger: &Ledger,
        tenant: &str,
        server: &str,
        name: &str,
    ) -> Result<Pin, LedgerError> {
        let place = (tenant.to_owned(), server.to_owned(), name.to_owned());
        if let Some(pin) = self.lock().get(&place) {
            return Ok(pin.clone());
        }
        let pin = read(ledger, tenant, server, name)?;
        if pin.is_seen() {
            self.see(tenant, server, name);
        }
        Ok(self.lock().entry(place).or_insert(pin).clone())
    }

    /// A tool that was seen and differs from `name` in letter case alone, as far as the log was read for it.
    pub(crate) fn alike(&self, tenant: &str, server: &str, name: &str) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(tenant.to_owned(), server.to_owned(), folded(name))).filter(|seen| *seen != name).cloned()
    }

    fn see(&self, tenant: &str, server: &str, name: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((tenant.to_owned(), server.to_owned(), folded(name)), name.to_owned());
    }

    /// The pin, if the log was read for it already.
    pub(crate) fn known(&self, tenant: &str, server: &str, name: &str) -> Option<Pin> {
        self.lock().get(&(tenant.to_owned(), server.to_owned(), name.to_owned())).cloned()
    }

    /// Notes what a record has said of a tool.
    pub(crate) fn note(&self, tenant: &str, server: &str, name: &str, news: News, version: Version) {
        self.see(tenant, server, name);
        let mut pins = self.lock();
        let pin = pins.entry((tenant.to_owned(), server.to_owned(), name.to_owned())).or_default();
        match news {
            News::First => *pin = Pin { approved: Some(version), ..Pin::default() },
            News::Changed => (pin.held, pin.back) = (Some(version), None),
            News::Back => pin.back = Some(version.record),
        }
    }

    /// The tool that record `id` says has become something else, if that still waits.
    pub(crate) fn held_by(&self, ledger: &Ledger, id: RecordId) -> Result<Option<HeldTool>, LedgerError> {
        let Some(leaf) = ledger.lookup(&Key::Id(id), 1, None)?.first().copied() else { return Ok(None) };
        let sealed = ledger.leaf(leaf)?;
        let record =
            sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
        let (Kind::Tool, Some(tool)) = (record.kind, &record.tool) else { return Ok(None) };
        let (tenant, server) = (record.tenant.to_string(), tool.server.as_deref().unwrap_or_default());
        let pin = self.pin(ledger, &tenant, server, &tool.name)?;
        match pin.held.as_ref().is_some_and(|held| held.record == id) {
            true => held_tool(ledger, &tenant, server, &tool.name, &pin),
            false => Ok(None),
        }
    }

    /// Every tool that waits.
    pub(crate) fn held(&self, ledger: &Ledger) -> Result<Vec<HeldTool>, LedgerError> {
        let pins: Vec<_> = self.lock().iter().map(|(place, pin)| (place.clone(), pin.clone())).collect();
        let held = pins.iter().filter(|(_, pin)| pin.held.is_some());
        let found = held.map(|((tenant, server, name), pin)| held_tool(ledger, tenant, server, name, pin));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Pin>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tool that is not what was approved, and waits for somebody to look at the difference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldTool {
    /// The record to be approved.
    pub id: RecordId,
    /// Whose.
    pub tenant: String,
    /// The server that offers it.
    pub server: String,
    /// Its name.
    pub name: String,
    /// Digest of what it has become.
    pub digest: String,
    /// What it was when it was approved; `None` where that was erased.
    #[serde(default)]
    pub was: Option<Box<RawValue>>,
    /// What it has become.
    #[serde(default)]
    pub is: Option<Box<RawValue>>,
}

fn held_tool(
    ledger: &Ledger,
    tenant: &str,
    server: &str,
    name: &str,
    pin: &Pin,
) -> Result<Option<HeldTool>, LedgerError> {
    let Some(held) = &pin.held else { return Ok(None) };
    let was = pin.approved.as_ref().map(|version| definition(ledger, version.record)).transpose()?.flatten();
    Ok(Some(HeldTool {
        id: held.record,
        tenant: tenant.to_owned(),
        server: server.to_owned(),
        name: name.to_owned(),
        digest: held.digest.clone(),
        was,
        is: definition(ledger, held.record)?,
    }))
}

/// The resource that a tool's records are about.
pub(crate) fn resource(server: &str, name: &str) -> String {
    format!("mcp-tool:{server}/{name}")
}

fn read(ledger: &Ledger, tenant: &str, server: &str, name: &str) -> Result<Pin, LedgerError> {
    let uri = resource(server, name);
    let (mut pin, mut before) = (Pin::default(), None);
    // Newest first, until it was approved: what was held after that is held.
    loop {
        let leaves = ledger.lookup(&Key::Resource { tenant, uri: &uri }, READ, before)?;
        for leaf in &leaves {
            if read_one(ledger, *leaf, &mut pin)? {
                return Ok(pin);
            }
        }
        match leaves.last() {
            Some(last) if leaves.len() == READ => before = Some(*last),
            _ => return Ok(pin),
        }
    }
}

/// Takes what record `leaf` says of a tool into what newer ones said; whether older ones say nothing more.
fn read_one(ledger: &Ledger, leaf: u64, pin: &mut Pin) -> Result<bool, LedgerError> {
    let sealed = ledger.leaf(leaf)?;
    let record = sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
    let digest = record.tool.as_ref().and_then(|tool| tool.digest.as_ref()).map(ToString::to_string);
    let (Kind::Tool, Some(digest), true) = (record.kind, digest, is_ours(&record)) else { return Ok(false) };
    let version = Version { record: record.id, digest };
    match record.terms.and_then(|terms| terms.change) {
        Some(Change::Altered) => {
            pin.held.get_or_insert(version);
        }
        Some(Change::Renewed) if pin.held.is_none() => {
            pin.back.get_or_insert(version.record);
        }
        Some(Change::Renewed) => {}
        _ => pin.approved = Some(version),
    }
    Ok(pin.approved.is_some())
}

/// The definition that a tool's record holds, as its server wrote it; `None` where it was erased.
pub(crate) fn definition(ledger: &Ledger, record: RecordId) -> Result<Option<Box<RawValue>>, LedgerError> {
    let Some(leaf) = ledger.lookup(&Key::Id(record), 1, None)?.first().copied() else { return Ok(None) };
    for opened in ledger.disclosures(leaf)? {
        // In a list of one, so that it is committed to whole.
        if opened.name == "definition"
            && let Ok((_, _, [value])) =
                serde_json::from_slice::<(String, String, [Box<RawValue>; 1])>(&opened.json)
        {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
