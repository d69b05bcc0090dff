//! The pseudonym key of a tenant, and what is derived from it again and again.

use std::{
    borrow::Borrow,
    hash::Hash,
    iter,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
};

use aws_lc_rs::hmac;
use deed_record::{Account, Alias, Pseudonyms};
use deed_seal::hash::hashes;
use zeroize::Zeroizing;

use super::{CACHED, DATABASE, DataKeyId, KeyError, NO_RETENTION};
use crate::{Table, append::AppendError, key_epochs::Epoch, sealer::Name, tenants::KeyCheck};

/// Retention classes whose data keys are known at hand.
const MOST_CLASSES: usize = 256;

/// A tenant's pseudonym key, and its name.
pub(crate) struct TenantKey {
    pub(crate) name: String,
    key: hmac::Key,
    /// The key as HMAC mixes it in, inside and outside (RFC 2104, section 2).
    pads: Zeroizing<[[u8; 64]; 2]>,
    epochs: Option<Arc<[Epoch]>>,
    /// Derived once for each of those who keep coming.
    accounts: Remembered<Box<str>, Account>,
    data_keys: RwLock<Table<Box<str>, KeysByPerson>>,
    /// What accounts are called, sealed. Whoever destroys a data key forgets these too.
    names: RwLock<Table<Account, NameAndBlob>>,
    /// Whether it is in the list of tenants, durably.
    pub(super) is_listed: AtomicBool,
}

type KeysByPerson = Remembered<Vec<u8>, DataKeyId>;
type NameAndBlob = (Name, Arc<[u8]>);

/// Values by key, all forgotten when there are too many.
struct Remembered<K, V>(RwLock<Table<K, V>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Remembered(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Copy> Remembered<K, V> {
    fn get_or<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return *value;
        }
        let value = make();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CACHED {
            all.clear();
        }
        all.insert(K::from(key), value);
        value
    }
}

impl TenantKey {
    pub(super) fn new(name: &str, key: &[u8], epochs: Option<Arc<[Epoch]>>) -> Result<Self, KeyError> {
        let malformed =
            || KeyError::Malformed { file: DATABASE.to_owned(), expected: "a 32-byte pseudonym key" };
        let bytes: &[u8; 32] = key.try_into().map_err(|_| malformed())?;
        let mut pads = Zeroizing::new([[0x36; 64], [0x5c; 64]]);
        for pad in pads.iter_mut() {
            pad.iter_mut().zip(bytes).for_each(|(pad, byte)| *pad ^= byte);
        }
        Ok(TenantKey {
            name: name.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, bytes),
            pads,
            epochs,
            accounts: Remembered::default(),
            data_keys: RwLock::default(),
            names: RwLock::default(),
            is_listed: AtomicBool::new(false),
        })
    }

    /// What tells this key from another.
    pub(super) fn check(&self) -> KeyCheck {
        let keyed = self.keyed(&[b"check"]);
        let mut check = KeyCheck::default();
        check.copy_from_slice(&keyed[..16]);
        check
    }

    /// The data key for what concerns `person` (empty: nobody in particular) in retention class `class`.
    pub(crate) fn data_key_id(&self, person: &[u8], class: &str) -> DataKeyId {
        let newest = self.epochs.as_deref().and_then(<[Epoch]>::last);
        let derive = || self.data_key_id_in(newest, person, class);
        let classes = self.data_keys.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = classes.get(class) {
            return known.get_or(person, derive);
        }
        drop(classes);
        let mut classes = self.data_keys.write().unwrap_or_else(PoisonError::into_inner);
        if classes.len() >= MOST_CLASSES {
            classes.clear();
        }
        classes.entry(class.into()).or_default().get_or(person, derive)
    }

    /// The data key for the disclosures of a record that concerns `person`.
    pub(crate) fn data_key_of(&self, person: Option<&Account>, retention: Option<&str>) -> DataKeyId {
        self.data_key_id(person.map_or(&[], |account| &account.0), retention.unwrap_or(NO_RETENTION))
    }

    /// Whether `id` is, or was in an epoch before, what [`data_key_of`](Self::data_key_of) gives; `None` where the epochs are
    /// not known.
    pub(crate) fn has_been_data_key_of(
        &self,
        id: &[u8],
        person: Option<&Account>,
        retention: Option<&str>,
    ) -> Option<bool> {
        if *id == self.data_key_of(person, retention) {
            return Some(true);
        }
        let (person, class): (&[u8], _) =
            (person.map_or(&[], |account| &account.0), retention.unwrap_or(NO_RETENTION));
        let mut epochs = iter::once(None).chain(self.epochs.as_deref()?.iter().map(Some));
        Some(epochs.any(|epoch| *id == self.data_key_id_in(epoch, person, class)))
    }

    /// As [`keyed`](Pseudonyms::keyed) of each of `messages`, faster for many of them at a time.
    pub(crate) fn keyed_all(&self, messages: &[[&[u8]; 2]]) -> Vec<[u8; 32]> {
        let [inside, outside] = &*self.pads;
        let inner: Vec<Vec<u8>> = messages
            .iter()
            .map(|parts| {
                let mut message = Vec::with_capacity(80 + parts.iter().map(|part| part.len()).sum::<usize>());
                message.extend_from_slice(inside);
                each_piece(parts, &mut |piece| message.extend_from_slice(piece));
                message
            })
            .collect();
        let outer: Vec<[u8; 96]> = hashes(&inner)
            .iter()
            .map(|hash| {
                let mut message = [0; 96];
                message[..64].copy_from_slice(outside);
                message[64..].copy_from_slice(&hash.0);
                message
            })
            .collect();
        hashes(&outer).into_iter().map(|hash| hash.0).collect()
    }

    /// The account of whoever is called `key`.
    pub(crate) fn account_of(&self, key: &str) -> Account {
        self.accounts.get_or(key, || self.account(Alias::parse(key)))
    }

    /// `name` of `account` as it was sealed before, or as `seal` does it.
    pub(crate) fn sealed_name(
        &self,
        account: Account,
        name: &Name,
        seal: impl FnOnce() -> Result<Vec<u8>, AppendError>,
    ) -> Result<Arc<[u8]>, AppendError> {
        if let Some((known, blob)) = self.names.read().unwrap_or_else(PoisonError::into_inner).get(&account)
            && known == name
        {
            return Ok(blob.clone());
        }
        let blob: Arc<[u8]> = seal()?.into();
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= CACHED {
            names.clear();
        }
        names.insert(account, (name.clone(), blob.clone()));
        Ok(blob)
    }

    fn data_key_id_in(&self, epoch: Option<&Epoch>, person: &[u8], class: &str) -> DataKeyId {
        let class = class.as_bytes();
        let digest = match epoch {
            None => self.keyed(&[b"data-key", person, class]),
            Some(epoch) => self.keyed(&[b"data-key", person, class, epoch]),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        id
    }
}

/// What is keyed of `parts`: each after its length, so that no two lists of parts are the same bytes.
fn each_piece(parts: &[&[u8]], each: &mut dyn FnMut(&[u8])) {
    for part in parts {
        each(&(part.len() as u64).to_be_bytes());
        each(part);
    }
}

impl Pseudonyms for TenantKey {
    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        each_piece(parts, &mut |piece| context.update(piece));
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

impl deed_record::secret::Fingerprints for TenantKey {
    fn of_token(&self, secret: &[u8]) -> String {
        format!("sha256:{}", deed_seal::hash::Hash::of(secret))
    }

    fn of_password(&self, secret: &[u8]) -> String {
        format!("hmac-sha256:{}", deed_seal::hash::Hash(self.keyed(&[b"secret", secret])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_keyed_as_one_is() {
        let tenant = TenantKey::new("acme", &[7; 32], None).expect("a key");
        let texts: Vec<Vec<u8>> = (0..70_usize).map(|n| vec![n as u8; n * 13]).collect();
        let messages: Vec<[&[u8]; 2]> = texts.iter().map(|text| [b"event".as_slice(), text]).collect();
        let one_by_one: Vec<_> = messages.iter().map(|message| tenant.keyed(message)).collect();
        assert_eq!(tenant.keyed_all(&messages), one_by_one);
    }
}
