//! People in clear become accounts; what they are called is sealed apart.

use deed_record::{
    Account, Alias, ChainHop, Effect, EffectSent, Hop, Party, Personal, PersonalSent, Principal,
    PrincipalType, Pseudonyms, Terms, TermsSent,
};

use crate::keys::{DataKeyId, TenantKey};

/// Retention class of names.
const NAME_CLASS: &str = "name";

/// The data key under which the name of `account` is sealed.
pub(super) fn name_key(tenant: &TenantKey, account: &Account, person: bool) -> DataKeyId {
    tenant.data_key_id(if person { &account.0 } else { &[] }, NAME_CLASS)
}

/// Turns people in clear into accounts, and remembers what they are called.
pub(super) struct People<'t> {
    pub(super) tenant: &'t TenantKey,
    /// Account, whether it is a person's, and what it is called.
    pub(super) named: Vec<(Account, bool, Name)>,
}

/// What an account is called.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Name {
    /// The key as it was sent: `system:native-id`.
    pub key: String,
    /// What people call it, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was said to be.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
}

impl People<'_> {
    pub(super) fn party<'a>(&mut self, sent: Principal<'a>) -> Party<'a> {
        let account = sent.key.as_deref().map(|key| {
            let account = self.tenant.account_of(key);
            if !self.named.iter().any(|(known, ..)| *known == account) {
                self.named.push((
                    account,
                    sent.kind == PrincipalType::Human,
                    Name {
                        key: key.to_owned(),
                        name: sent.name.as_deref().map(str::to_owned),
                        kind: sent.kind,
                    },
                ));
            }
            account
        });
        Party { account, instance: sent.instance, kind: sent.kind, vendor: sent.vendor }
    }

    pub(super) fn hop<'a>(&mut self, sent: ChainHop<'a>) -> Hop<'a> {
        Hop {
            credential: sent.credential,
            delegation: sent.delegation,
            principal: self.party(sent.principal),
            scope: sent.scope,
        }
    }

    pub(super) fn terms<'a>(&mut self, sent: TermsSent<'a>) -> Terms<'a> {
        Terms {
            answer: sent.answer,
            by: sent.by.map(|p| self.party(p)),
            change: sent.change,
            expires: sent.expires,
            not_before: sent.not_before,
            role: sent.role,
            scopes: sent.scopes,
            subject: sent.subject.map(|p| self.party(p)),
        }
    }

    pub(super) fn effect<'a>(&mut self, sent: EffectSent<'a>) -> Effect<'a> {
        Effect {
            credential: sent.credential,
            kind: sent.kind,
            resource: sent.resource,
            terms: sent.terms.map(|terms| self.terms(terms)),
        }
    }

    /// `uri` with every person this record names replaced by their account; `None` where it names none.
    pub(super) fn without_people(&self, uri: &str) -> Option<String> {
        let mut out: Option<String> = None;
        for (account, person, name) in &self.named {
            let native = Alias::parse(&name.key).native;
            if !person || native.len() < 3 {
                continue;
            }
            let text = out.as_deref().unwrap_or(uri);
            if text.contains(native) {
                out = Some(text.replace(native, &account.to_string()));
            }
        }
        out
    }
}

/// Personal values as pseudonyms.
pub(super) fn personal(sent: &PersonalSent<'_>, tenant: &TenantKey) -> Personal {
    Personal {
        address: sent.address.as_deref().map(|value| tenant.pseudonym("address", value)),
        device: sent.device.as_deref().map(|value| tenant.pseudonym("device", value)),
    }
}
