//! What was denied, and what tools had become: held against what is done afterwards, whichever of both comes first.

use deed_identity::CredentialKey;
use deed_record::{Kind, RecordId, Skeleton, Timestamp, Tried};

use super::{Digest, Known, Look, Review};
use crate::gather::{WITHIN, is_definition};

impl Review {
    /// Whether it was denied to the same principal within two days; what a denial, or what takes it back, changes for
    /// actions that came before it.
    pub(super) fn eludes(&mut self, rec: &Skeleton<'_>, known: &impl Known) -> bool {
        let denied = rec.action.filter(|_| answers(rec)).into_iter().chain(rec.supersedes);
        self.looks.extend(denied.map(Look::Denied));
        let tried = rec.tried();
        let is_let = tried.is_some_and(|(tried, ..)| tried == Tried::Allowed);
        if is_let || rec.gives().next().is_some() {
            let until = Timestamp(rec.time.0.saturating_add(WITHIN));
            let later = self.eluding.range((rec.time, RecordId([0; 16]))..=(until, RecordId([u8::MAX; 16])));
            self.looks.extend(later.map(|(_, id)| Look::Action(*id)));
        }
        let Some((tried, account, uri)) = tried else { return false };
        let place = place_key(&rec.tenant, uri);
        let slot = u16::from_be_bytes([place[0], place[1]]);
        let by_whom = || {
            let declared = known.declared(&rec.tenant, account);
            let who = declared.map_or_else(|| account.to_string(), |declared| declared.key);
            // A tenant has no such name.
            let whose = format!("{}\0{who}", rec.tenant);
            let day = rec.time.0.div_euclid(WITHIN);
            [day, day + 1].map(|day| place_key(&format!("{whose}\0{day}"), uri))
        };
        match tried {
            Tried::Denied => {
                self.denied.insert(place);
                self.denied.extend(by_whom());
                if self.done.get(&slot).is_some_and(|last| *last > rec.time) {
                    self.looks.insert(Look::Denied(rec.id));
                }
                false
            }
            Tried::Allowed => false,
            Tried::Done => {
                let last = self.done.entry(slot).or_insert(rec.time);
                *last = (*last).max(rec.time);
                self.denied.contains(&place) && self.denied.contains(&by_whom()[0])
            }
        }
    }

    /// Whether it is a call of a tool whose definition waits to be approved; what a definition changes for calls that came
    /// before it.
    pub(super) fn is_unapproved(&mut self, rec: &Skeleton<'_>) -> bool {
        let defined = is_definition(rec);
        let tool = rec.tool.as_ref().filter(|_| defined.is_some());
        let defines = tool.and_then(|tool| Some((tool.server.as_deref()?, &*tool.name)));
        let Some((server, name)) = rec.called().or(defines) else { return false };
        let tool = place_key(&format!("{}\0{server}", rec.tenant), name);
        let slot = u16::from_be_bytes([tool[0], tool[1]]);
        if let Some(waits) = defined {
            self.tools.entry(tool).or_default().insert((rec.time, rec.id), waits);
            if self.done.get(&slot).is_some_and(|last| *last >= rec.time) {
                self.looks.insert(Look::Tool(rec.id));
            }
            return false;
        }
        let last = self.done.entry(slot).or_insert(rec.time);
        *last = (*last).max(rec.time);
        let before = (Timestamp(i64::MIN), RecordId([0; 16]))..=(rec.time, RecordId([u8::MAX; 16]));
        self.tools.get(&tool).and_then(|seen| seen.range(before).next_back()).is_some_and(|(_, waits)| *waits)
    }
}

/// Whether it answers something.
fn answers(rec: &Skeleton<'_>) -> bool {
    rec.kind == Kind::Approval || rec.effects.iter().flatten().any(|effect| effect.kind == Kind::Approval)
}

/// Something that `tenant` knows by that name, other than a credential.
fn place_key(tenant: &str, name: &str) -> Digest {
    CredentialKey::of(&format!("{tenant}\0"), name).to_bytes()
}
