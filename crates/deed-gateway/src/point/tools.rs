//! What servers offer, and which of it may be called.

use deed_ledger::{LedgerError, now};
use deed_policy::folded;
use deed_record::RecordId;
use serde_json::{json, value::RawValue};
use tokio::{task::spawn_blocking, time::timeout};

use super::{DecisionPoint, InForce, door};
use crate::{
    catalog::{self, HeldTool, News, Pin, Version},
    intent::{Intent, Listed, Listing, Refused, Shown},
    method::TOOL_CALL,
    recorder::Unavailable,
    request, write,
};

impl DecisionPoint {
    /// Notes what a server offers, and says what of it `listing`'s caller may see.
    ///
    /// # Errors
    /// What is new about a tool could not be recorded in time.
    pub async fn catalog(&self, listing: &Listing, tenant: &str) -> Result<Shown, Unavailable> {
        let mut news = Vec::new();
        for tool in &listing.tools {
            let pin = self.pin(tenant, &listing.server, &tool.name).await?;
            let is_other = |other: &Listed| other.name == tool.name && other.digest != tool.digest;
            // What is listed as two is neither.
            let is_two = || listing.tools.iter().any(is_other);
            if let Some(new) = pin.news(&tool.digest).filter(|new| *new != News::Back || !is_two()) {
                news.push((tool, new, self.news_id(listing, tool, &pin, tenant)?));
            }
        }
        if !news.is_empty() {
            let records: Vec<_> =
                news.iter().map(|(tool, new, id)| write::tool(listing, tool, *new, *id, now())).collect();
            self.append_once(&records, door(&listing.server), tenant).await?;
            for (tool, new, record) in news {
                let version = Version { record, digest: tool.digest.clone() };
                self.catalog.note(tenant, &listing.server, &tool.name, new, version);
            }
        }
        let mut shown = self.shown(listing, tenant);
        // Reading a definition that nobody approved may do harm enough.
        for tool in &listing.tools {
            let pin = self.pin(tenant, &listing.server, &tool.name).await?;
            if pin.holds(Some(&tool.digest)).is_some() && !shown.hidden.contains(&tool.name) {
                shown.hidden.push(tool.name.clone());
            }
        }
        Ok(shown)
    }

    /// The id of the record that `tool` is new, after what `pin` knows of it: listed again before that is known, it is the same.
    fn news_id(
        &self,
        listing: &Listing,
        tool: &Listed,
        pin: &Pin,
        tenant: &str,
    ) -> Result<RecordId, Unavailable> {
        let before = [&pin.approved, &pin.held].map(|version| version.as_ref().map(|version| version.record));
        let what = json!([listing.server, tool.name, tool.digest, before, pin.back]);
        self.once(tenant, "tool", &what.to_string())
    }

    /// What policy lets the caller use, as far as that is known without arguments.
    fn shown(&self, listing: &Listing, tenant: &str) -> Shown {
        let InForce { policy, inventory } = self.in_force();
        if policy.is_starter() {
            return Shown::default();
        }
        let hidden = listing
            .tools
            .iter()
            .filter(|tool| request::hides(&policy, &inventory, listing, &tool.name, tenant, now()));
        Shown { hidden: hidden.map(|tool| tool.name.clone()).collect(), personal: true }
    }

    pub(super) async fn pin(&self, tenant: &str, server: &str, name: &str) -> Result<Pin, Unavailable> {
        if let Some(pin) = self.catalog.known(tenant, server, name) {
            return Ok(pin);
        }
        let (catalog, ledger) = (self.catalog.clone(), self.ledger.clone());
        let (tenant, server, name) = (tenant.to_owned(), server.to_owned(), name.to_owned());
        let read =
            timeout(self.deadline, spawn_blocking(move || catalog.pin(&ledger, &tenant, &server, &name)));
        let late = |_| Unavailable::new("the log does not say in time which tools are approved");
        read.await
            .map_err(late)?
            .map_err(|e| Unavailable::new(e.to_string()))?
            .map_err(|e| Unavailable::new(e.to_string()))
    }

    /// What a tool was when it was approved; `None` where nobody has seen it.
    ///
    /// # Errors
    /// The log cannot be read in time.
    pub(crate) async fn definition(
        &self,
        tenant: &str,
        server: &str,
        name: &str,
    ) -> Result<Option<Box<RawValue>>, Unavailable> {
        let Some(approved) = self.pin(tenant, server, name).await?.approved else { return Ok(None) };
        let ledger = self.ledger.clone();
        let read = spawn_blocking(move || catalog::definition(&ledger, approved.record)).await;
        let broken = |error: &dyn std::fmt::Display| Unavailable::new(error.to_string());
        read.map_err(|error| broken(&error))?.map_err(|error| broken(&error))
    }

    /// `intent` as one that is refused, where the definition of its tool waits to be approved, or its name is another's in
    /// another letter case.
    pub(super) async fn held(&self, intent: &Intent, tenant: &str) -> Result<Option<Intent>, Unavailable> {
        let Some(name) =
            intent.name.as_deref().filter(|_| intent.method == TOOL_CALL && intent.refused.is_none())
        else {
            return Ok(None);
        };
        let pin = self.pin(tenant, &intent.server, name).await?;
        if let Some(known) = self.alike(intent, name, &pin, tenant).await? {
            let why = format!(
                "Nobody has listed a tool of this name. `{known}` is known, which differs from it in letter case alone: what is said of that tool must not be got round."
            );
            return Ok(Some(Intent {
                refused: Some(Refused { code: "unknown_tool".into(), why }),
                ..intent.clone()
            }));
        }
        let Some(held) = pin.holds(intent.definition.as_deref()) else { return Ok(None) };
        let why = format!(
            "The definition of the tool changed since it was approved; somebody must look at the difference first: deed approve {}",
            held.record
        );
        Ok(Some(Intent { refused: Some(Refused { code: "tool_changed".into(), why }), ..intent.clone() }))
    }

    /// A tool that was listed, or that a policy or the inventory names, where tool `name`, which nobody has listed, differs from
    /// it in letter case alone: there are servers to which both are one.
    async fn alike(
        &self,
        intent: &Intent,
        name: &str,
        pin: &Pin,
        tenant: &str,
    ) -> Result<Option<String>, Unavailable> {
        let server = &intent.server;
        if pin.is_seen() {
            return Ok(None);
        }
        let InForce { policy, inventory } = self.in_force();
        let named = request::tools_alike(&policy, &inventory, server, name);
        if named.contains(name) {
            return Ok(None);
        }
        let lower = folded(name);
        if lower != name {
            // Most tools are called so: of one that was not listed since this process began, it is read now.
            self.pin(tenant, server, &lower).await?;
        }
        Ok(self.catalog.alike(tenant, server, name).or_else(|| named.into_iter().next()))
    }

    /// Tools that wait for somebody to look at what they have become, as far as any were seen.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn held_tools(&self) -> Result<Vec<HeldTool>, LedgerError> {
        self.catalog.held(&self.ledger)
    }
}
