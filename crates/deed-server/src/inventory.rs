//! The inventory over the API: read, checked, changed. `inventory.toml` stays the one truth, written as a whole or not
//! at all; each change is recorded, durably, before it is made.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use deed_identity::{FILE, Inventory, InventoryError};
use deed_ledger::{AppendError, Ledger, Receipt, Sender, now};
use serde_json::{Map, Value, json};

use crate::force::TENANT;

/// What records of changes are about.
const RESOURCE: &str = "deed:inventory";
/// The tables of an inventory.
const TABLES: [&str; 3] = ["principal", "resource", "source"];

/// Held by whoever changes an inventory.
static CHANGING: Mutex<()> = Mutex::new(());

/// Why the inventory was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// What was sent is no inventory.
    #[error(transparent)]
    Wrong(#[from] InventoryError),
    /// What is there is not what whoever changes it had read.
    #[error("the inventory is {0} by now: read it again, and make the change to that")]
    Changed(String),
    /// It could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] AppendError),
    /// The file could not be read or written.
    #[error("failed to write `{FILE}`, which is as it was: {0}")]
    Io(#[from] io::Error),
}

/// What is in force now.
#[derive(serde::Serialize)]
pub(crate) struct Changed {
    digest: String,
    principals: usize,
    resources: usize,
    sources: usize,
    /// Its record; `null` where it was so already.
    receipt: Option<Receipt>,
}

impl Changed {
    /// Digest of what is in force.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

/// The text of the inventory in `dir`; empty where there is none.
pub(crate) fn text(dir: &Path) -> io::Result<String> {
    match fs::read_to_string(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Records that `by` makes `text` the inventory in `dir`, and does so; `matches` says whether what is there, by its
/// digest, is what they had read.
///
/// # Errors
/// See [`ChangeError`]; the file is as it was.
pub(crate) fn put(
    ledger: &Ledger,
    dir: &Path,
    new: &str,
    by: &str,
    matches: impl FnOnce(&str) -> bool,
) -> Result<(Inventory, Changed), ChangeError> {
    let inventory = Inventory::parse(new)?;
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let old = text(dir)?;
    let before = Inventory::digest_of(&old);
    if !matches(&before) {
        return Err(ChangeError::Changed(before));
    }
    let receipt = if old == new {
        None
    } else {
        let receipt = record(ledger, "inventory put", by, inventory.digest(), &before, Some(new))?;
        if let Err(error) = write(dir, new) {
            record(ledger, "inventory put failed", by, &before, inventory.digest(), None)?;
            return Err(error.into());
        }
        Some(receipt)
    };
    let changed = Changed {
        digest: inventory.digest().to_owned(),
        principals: inventory.principals().len(),
        resources: inventory.resources().len(),
        sources: inventory.sources().count(),
        receipt,
    };
    Ok((inventory, changed))
}

fn record(
    ledger: &Ledger,
    operation: &str,
    by: &str,
    digest: &str,
    before: &str,
    text: Option<&str>,
) -> Result<Receipt, AppendError> {
    let record = json!({
        "kind": "policy",
        "time": now(),
        "basis": "enforced",
        "operation": operation,
        "initiator": { "type": "human", "key": by },
        "resource": { "uri": RESOURCE, "type": "inventory" },
        "artifact": { "name": FILE, "digest": digest },
        "disclose": { "detail": { "before": before }, "files": { FILE: text } },
    });
    let sender = Sender { tenant: Some(TENANT.into()), name: "deed:inventory".into(), ours: true };
    let receipts = ledger.begin(record.to_string().as_bytes(), &sender)?.wait()?;
    receipts.into_iter().next().ok_or_else(|| AppendError::Unavailable("no receipt".into()))?
}

/// Puts another file in the place of the one that is there, durably.
fn write(dir: &Path, text: &str) -> io::Result<()> {
    let beside = dir.join(format!(".{FILE}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// An inventory as JSON: the tables and members of the file.
///
/// # Errors
/// It is no TOML.
pub(crate) fn to_json(text: &str) -> Result<Map<String, Value>, InventoryError> {
    Inventory::parse(text)?;
    let table: toml::Table = text.parse().unwrap_or_default();
    let Value::Object(mut all) = as_json(toml::Value::Table(table)) else { return Ok(Map::new()) };
    for name in TABLES {
        all.entry(name).or_insert_with(|| json!([]));
    }
    Ok(all)
}

fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(yes) => Value::Bool(yes),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(all) => all.into_iter().map(as_json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, as_json(value))).collect())
        }
    }
}

/// The text of an inventory that was sent as JSON, one member a line. What is no inventory gives no inventory: the
/// reader says on which line, and shows it.
pub(crate) fn from_json(sent: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (name, tables) in sorted(sent).filter(|(name, _)| *name != "digest") {
        let all = tables.as_array().filter(|all| all.iter().all(Value::is_object));
        let Some(all) = all.filter(|_| TABLES.contains(&&**name)) else {
            out.push_str(&format!("{} = {}\n", quoted(name), inline(name, tables)));
            continue;
        };
        for table in all.iter().filter_map(Value::as_object) {
            out.push_str(&format!("[[{}]]\n", quoted(name)));
            for (name, value) in sorted(table).filter(|(_, value)| !value.is_null()) {
                out.push_str(&format!("{} = {}\n", quoted(name), inline(name, value)));
            }
            out.push('\n');
        }
    }
    out
}

/// The members in one order, so that the same inventory gives the same text.
fn sorted(members: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    members.iter().collect::<std::collections::BTreeMap<_, _>>().into_iter()
}

fn quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { text_of(name) }
}

fn inline(name: &str, value: &Value) -> String {
    match value {
        // The only time there is in an inventory; TOML has times of their own.
        Value::String(text) if name == "until" && text.parse::<deed_record::Timestamp>().is_ok() => {
            text.clone()
        }
        Value::String(text) => text_of(text),
        Value::Array(all) => {
            format!("[{}]", all.iter().map(|value| inline("", value)).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let said = sorted(table).filter(|(_, value)| !value.is_null());
            let all = said.map(|(name, value)| format!("{} = {}", quoted(name), inline(name, value)));
            format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
        }
        // No inventory has one: the reader refuses it.
        Value::Null => "''".to_owned(),
        other => other.to_string(),
    }
}

/// A basic string; JSON's escapes are TOML's.
fn text_of(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
