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

    /// `uri` with every person this record names replaced by their account, in whatever letter case and however
    /// escaped they stand in it; `None` where it names none.
    pub(super) fn without_people(&self, uri: &str) -> Option<String> {
        let mut people: Vec<(Vec<char>, &Account)> = self
            .named
            .iter()
            .filter(|(_, person, _)| *person)
            .map(|(account, _, name)| (Alias::parse(&name.key).native, account))
            .filter(|(native, _)| native.len() >= SHORTEST_NAME)
            .map(|(native, account)| {
                (unescaped(native).iter().map(|letter| letter.folded).collect(), account)
            })
            .collect();
        if people.is_empty() {
            return None;
        }
        // Of a name and its beginning the whole name is meant.
        people.sort_by_key(|(native, _)| std::cmp::Reverse(native.len()));
        let letters = unescaped(uri);
        let is_at = |native: &[char], at: usize| {
            letters
                .get(at..at + native.len())
                .is_some_and(|found| found.iter().zip(native).all(|(letter, char)| letter.folded == *char))
        };
        let (mut out, mut kept, mut at) = (String::new(), 0, 0);
        while at < letters.len() {
            let Some((native, account)) = people.iter().find(|(native, _)| is_at(native, at)) else {
                at += 1;
                continue;
            };
            let after = at + native.len();
            out.push_str(&uri[kept..letters[at].from]);
            out.push_str(&account.to_string());
            (kept, at) = (letters[after - 1].to, after);
        }
        (kept > 0).then(|| out + &uri[kept..])
    }
}

/// Shorter names, in bytes, stand in too many words.
const SHORTEST_NAME: usize = 3;

/// A letter of a text, and which of its bytes spell it.
struct Letter {
    /// In lower case.
    folded: char,
    from: usize,
    to: usize,
}

/// The letters that `text` spells, escapes of URLs undone, also such as were escaped again. Bytes that are not UTF-8
/// are those of Latin-1.
fn unescaped(text: &str) -> Vec<Letter> {
    let (mut bytes, mut ends) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut at = 0;
    while at < text.len() {
        let (byte, length) = byte_at(&text.as_bytes()[at..]);
        at += length;
        bytes.push(byte);
        ends.push(at);
    }
    let mut letters = Vec::with_capacity(bytes.len());
    let mut push = |char: char, from: usize, to: usize| {
        let (from, to) = (from.checked_sub(1).map_or(0, |before| ends[before]), ends[to - 1]);
        // Letter by letter, so that each has bytes of its own: what else a few become in lower case is left out.
        letters.push(Letter { folded: char.to_lowercase().next().unwrap_or(char), from, to });
    };
    let mut from = 0;
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            push(char, from, from + char.len_utf8());
            from += char.len_utf8();
        }
        for byte in chunk.invalid() {
            push(char::from(*byte), from, from + 1);
            from += 1;
        }
    }
    letters
}

/// The byte that `text` begins with, and how many bytes of it spell it: `%40` is one, and so is `%2540`.
fn byte_at(text: &[u8]) -> (u8, usize) {
    let digit = |at: usize| text.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let (mut byte, mut length) = (text[0], 1);
    while byte == b'%'
        && let (Some(high), Some(low)) = (digit(length), digit(length + 1))
    {
        (byte, length) = ((high * 16 + low) as u8, length + 2);
    }
    (byte, length)
}

/// Personal values as pseudonyms.
pub(super) fn personal(sent: &PersonalSent<'_>, tenant: &TenantKey) -> Personal {
    Personal {
        address: sent.address.as_deref().map(|value| tenant.pseudonym("address", value)),
        device: sent.device.as_deref().map(|value| tenant.pseudonym("device", value)),
    }
}
