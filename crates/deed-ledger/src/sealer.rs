//! From a record as it was sent to the bytes that are sealed.
//!
//! All the work of a record that needs no order is done here, on the sender's own thread: secrets are
//! taken out, names become accounts, payloads become commitments. Only `recorded` is left open, for
//! the sequencer to stamp.

mod batch;
mod payloads;
mod people;

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

use deed_record::{
    Basis, Disclosable, Effect, PrincipalType, RECORDED_PLACEHOLDER, RecordError, RecordId, SecretSeen,
    Skeleton, Submission, Text, Timestamp, V, WHOLE, Written, parse_one, secret, split_records,
};

use memchr::memmem::Finder;

pub(crate) use batch::{Batch, Item};
pub use people::Name;

use crate::{
    append::{AppendError, Sender},
    blob,
    key::{each_key, event_of},
    keys::{DataKeyId, Keys, NO_RETENTION, TenantKey, random_from_pool},
};
use batch::{Named, SealedName};
use payloads::{Committed, Disclosed, Payloads};
use people::{People, name_key, personal};

/// The longest leaf (C2SP tlog-tiles: a u16 length).
pub(crate) const LONGEST_LEAF: usize = 65_535;
/// So many records at most are recorded together or not at all: they are one write to the journal.
const MOST_TOGETHER: usize = 65_536;
/// Fingerprints kept in a record; a longer list says nothing more.
const MOST_SECRETS: usize = 64;
/// Turns what `sender` sent into sealed records.
pub(crate) struct Sealer<'k> {
    pub(crate) keys: &'k Keys,
    pub(crate) sender: &'k Sender,
    /// Set where the records go into a spool first: when that was.
    pub(crate) spooled: Option<Timestamp>,
}

/// One record as it was sent.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'t> {
    text: &'t str,
    /// What the text says, where this process wrote it and need not read it.
    record: Option<&'t Submission<'t>>,
}

impl<'t> From<&'t str> for Sent<'t> {
    fn from(text: &'t str) -> Self {
        Sent { text, record: None }
    }
}

impl<'t> From<&'t Written<'t>> for Sent<'t> {
    fn from(written: &'t Written<'t>) -> Self {
        Sent { text: written.text(), record: written.record() }
    }
}

/// Whether the disk may be waited for while sealing: a new data key is durable before it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Yes,
    No,
}

impl<'k> Sealer<'k> {
    /// Seals every one of `records`, or says which cannot be taken; `None` where that needs data keys to
    /// be made and `wait` forbids it.
    pub(crate) fn seal_all<'t>(
        &self,
        records: &'t [impl Copy + Into<Sent<'t>>],
        wait: Wait,
    ) -> Result<Option<Batch>, AppendError> {
        if records.len() > MOST_TOGETHER {
            let what = format!(
                "more than {MOST_TOGETHER} records that are to be recorded together; send them in parts"
            );
            return Err(RecordError::new("", what).at(MOST_TOGETHER).into());
        }
        let sent = || records.iter().map(|record| (*record).into());
        let prepared = self.prepare(sent()).into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut drafts = prepared
            .iter()
            .enumerate()
            .map(|(index, prepared)| self.read(prepared).map_err(|e| e.at(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let needed = data_keys(drafts.iter());
        match wait {
            Wait::Yes => self.keys.ensure(&needed)?,
            Wait::No if !self.keys.missing(&needed)?.is_empty() => return Ok(None),
            Wait::No => {}
        }
        let mut payloads = complete(drafts.iter_mut())?;
        let mut batch = Batch::with_capacity(sent().map(|sent| sent.text.len()).sum());
        for (index, draft) in drafts.into_iter().enumerate() {
            self.seal(draft, None, &mut batch, &mut payloads).map_err(|e| e.at(index))?;
        }
        Ok(Some(batch))
    }

    /// Seals the records of `body` and leaves the store as it is.
    pub(crate) fn seal_aside(&self, body: &[u8]) -> Result<Batch, AppendError> {
        let records = split_records(body)?;
        let tenant = self.sender.tenant.as_deref().unwrap_or_default();
        let lacks = |what: &str| {
            AppendError::Unavailable(format!(
                "{what} has no key yet, and the store must keep a new one first"
            ))
        };
        if self.keys.known_tenant(tenant)?.is_none() {
            return Err(lacks("the tenant"));
        }
        self.seal_all(&records, Wait::No)?.ok_or_else(|| lacks("somebody who has a part in it"))
    }

    /// Seals what can be taken of `records`, and says of each of the rest why not.
    pub(crate) fn seal_each(
        &self,
        records: &[String],
    ) -> Result<(Batch, Vec<Result<(), AppendError>>), AppendError> {
        let prepared = self.prepare(records.iter().map(|record| record.as_str().into()));
        let mut drafts: Vec<_> = prepared
            .iter()
            .map(|prepared| {
                prepared.as_ref().map_err(AppendError::clone).and_then(|prepared| self.read(prepared))
            })
            .collect();
        self.keys.ensure(&data_keys(drafts.iter().flatten()))?;
        let mut payloads = complete(drafts.iter_mut().flatten())?;
        let mut batch = Batch::with_capacity(records.iter().map(String::len).sum());
        let results = drafts
            .into_iter()
            .enumerate()
            .map(|(index, draft)| {
                draft
                    .and_then(|draft| self.seal(draft, None, &mut batch, &mut payloads))
                    .map_err(|e| e.at(index))
            })
            .collect();
        Ok((batch, results))
    }

    /// Seals `record` as a further observation of an event whose first one, `first`, had other original
    /// bytes.
    pub(crate) fn seal_conflicting(&self, record: &str, first: RecordId) -> Result<Batch, AppendError> {
        let prepared = self.prepare_one(record.into())?;
        let mut draft = self.read(&prepared)?;
        self.keys.ensure(&data_keys(std::iter::once(&draft)))?;
        let mut payloads = complete(std::iter::once(&mut draft))?;
        let mut batch = Batch::default();
        self.seal(draft, Some(first), &mut batch, &mut payloads)?;
        Ok(batch)
    }

    /// Takes the secrets out of each of `records`.
    fn prepare<'t>(
        &self,
        records: impl IntoIterator<Item = Sent<'t>>,
    ) -> Vec<Result<Prepared<'t>, AppendError>> {
        records
            .into_iter()
            .enumerate()
            .map(|(index, sent)| self.prepare_one(sent).map_err(|e| e.at(index)))
            .collect()
    }

    fn prepare_one<'t>(&self, sent: Sent<'t>) -> Result<Prepared<'t>, AppendError> {
        let tenant = self.tenant_of(sent.text)?;
        // INVARIANT D9: nothing but this text goes further, and a keyed digest of the original.
        let clean = secret::excise(sent.text, &*tenant)?;
        let record = sent.record.filter(|_| matches!(clean.text, Cow::Borrowed(_)));
        Ok(Prepared { original: sent.text, clean: clean.text, record, seen: clean.seen, tenant })
    }

    fn read<'p>(&self, prepared: &'p Prepared<'_>) -> Result<Draft<'p>, AppendError> {
        let Prepared { clean, record, seen, tenant, .. } = prepared;
        let mut submission = Box::new(match record {
            Some(record) => {
                record.check(self.sender.ours)?;
                debug_assert_eq!(
                    parse_one(clean, self.sender.ours).as_ref(),
                    Ok(*record),
                    "as it was written"
                );
                (*record).clone()
            }
            None => parse_one(clean, self.sender.ours)?,
        });
        if let Some(named) = &submission.tenant
            && **named != *tenant.name
        {
            return Err(AppendError::Tenant {
                index: 0,
                bound: tenant.name.clone(),
                asked: named.to_string(),
            });
        }
        let name = name_of(prepared, &submission)?;
        let person = [&submission.initiator, &submission.executor]
            .into_iter()
            .flatten()
            .find(|p| p.kind == PrincipalType::Human && p.key.is_some())
            .and_then(|p| p.key.as_deref())
            .map(|key| tenant.account_of(key));
        submission.retention = submission.retention.take().filter(|class| &**class != NO_RETENTION);
        let data_key = tenant.data_key_of(person.as_ref(), submission.retention.as_deref());
        Ok(Draft {
            submission,
            tenant: tenant.clone(),
            name,
            named: None,
            data_key,
            seen,
            disclosed: Disclosed::default(),
        })
    }

    /// Whose record it is: the sender's tenant, else the one the record names, else `default`. (That a record names the
    /// sender's, if any, is found when it is read.)
    fn tenant_of(&self, text: &str) -> Result<Arc<TenantKey>, AppendError> {
        #[derive(serde::Deserialize)]
        struct Only<'a> {
            #[serde(borrow, default)]
            tenant: Option<Text<'a>>,
        }
        static MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"tenant\""));
        let asked = match &self.sender.tenant {
            // Anything wrong with the record is said by the strict reading that follows.
            None if MEMBER.find(text.as_bytes()).is_some() => {
                serde_json::from_str::<Only<'_>>(text).ok().and_then(|only| only.tenant)
            }
            _ => None,
        };
        let tenant = self.sender.tenant.as_deref().or(asked.as_deref()).unwrap_or("default");
        if !deed_record::is_label(tenant) {
            return Err(
                RecordError::new("tenant", "expected 1 to 64 letters, digits, `-`, `_` or `.`").into()
            );
        }
        Ok(self.keys.tenant(tenant)?)
    }

    fn seal(
        &self,
        draft: Draft<'_>,
        conflicts_with: Option<RecordId>,
        batch: &mut Batch,
        payloads: &mut Committed,
    ) -> Result<(), AppendError> {
        let Draft { submission, tenant, named, data_key, seen, disclosed, .. } = draft;
        let id = match (submission.id, &submission.source) {
            (Some(id), _) => id,
            (None, Some(source)) if source.event_id.is_some() => {
                let event_id = source.event_id.as_deref().unwrap_or_default();
                let content = conflicts_with.and(named).map(|named| named.content);
                derived_id(&tenant.name, &source.system, event_id, content.as_ref())
            }
            _ => fresh_id()?,
        };
        // Later conflicting copies of that event name the first one themselves: it is the action.
        let of_event = || {
            let (event, source) = (submission.action_event.as_deref()?, submission.source.as_ref()?);
            Some(derived_id(&tenant.name, &source.system, event, None))
        };
        let (action, conflicts_with) = if submission.is_told_again() {
            (conflicts_with, None)
        } else {
            (submission.action.or_else(of_event), conflicts_with)
        };
        let mut people = People { tenant: &tenant, named: Vec::new() };
        let personal = submission.personal.as_ref().map(|sent| personal(sent, &tenant));

        let disclose = payloads.commitments(&disclosed);
        let initiator = submission.initiator.map(|p| people.party(p));
        let executor = submission.executor.map(|p| people.party(p));
        let chain = submission.chain.map(|chain| chain.into_iter().map(|hop| people.hop(hop)).collect());
        let terms = submission.terms.map(|terms| people.terms(terms));
        let mut effects: Option<Vec<Effect<'_>>> =
            submission.effects.map(|effects| effects.into_iter().map(|e| people.effect(e)).collect());
        let mut resource = submission.resource;
        // Only now everybody whom the record names is known.
        let of_effects = effects.iter_mut().flatten().filter_map(|effect| effect.resource.as_mut());
        for resource in resource.iter_mut().chain(of_effects) {
            if let Some(uri) = people.without_people(&resource.uri) {
                resource.uri = uri.into();
            }
        }
        let secrets = (!seen.is_empty()).then(|| {
            seen.iter()
                .take(MOST_SECRETS)
                .map(|(field, fingerprint)| SecretSeen {
                    field: field.as_str().into(),
                    fingerprint: fingerprint.as_str().into(),
                })
                .collect()
        });
        let content_text = named.map(|named| deed_seal::hash::Hash(named.content).to_string());
        let skeleton = Skeleton {
            action,
            approvals: submission.approvals,
            artifact: submission.artifact,
            basis: submission.basis.unwrap_or(Basis::Reported),
            chain,
            conflicts_with,
            content: content_text.map(Text::from),
            credential: submission.credential,
            decision: submission.decision,
            disclose,
            effects,
            environment: submission.environment,
            exception: submission.exception,
            executor,
            grant: submission.grant,
            id,
            initiator,
            kind: submission.kind,
            operation: submission.operation,
            outcome: submission.outcome,
            parent_span_id: submission.parent_span_id,
            permission: submission.permission,
            personal,
            recorded: RECORDED_PLACEHOLDER,
            request: submission.request,
            resource,
            retention: submission.retention,
            secrets,
            session: submission.session,
            source: submission.source,
            span_id: submission.span_id,
            spooled: self.spooled,
            step_type: submission.step_type,
            submitter: Text::from(self.sender.name.as_str()),
            supersedes: submission.supersedes,
            task: submission.task,
            tenant: Text::from(tenant.name.as_str()),
            terms,
            time: submission.time,
            tool: submission.tool,
            trace_id: submission.trace_id,
            v: V,
        };

        let leaf_from = batch.leaves.len();
        skeleton.write_canonical(&mut batch.leaves);
        let leaf = leaf_from..batch.leaves.len();
        if leaf.len() > LONGEST_LEAF {
            let length = leaf.len();
            batch.leaves.truncate(leaf_from);
            return Err(RecordError::new("", format!(
                "its sealed form has {length} bytes, the most is {LONGEST_LEAF}; put what is large under `disclose`"
            )).into());
        }
        let stamp = stamp_of(&batch.leaves[leaf.clone()]).unwrap_or(0);
        let hashes_from = batch.hashes.len();
        each_key(&skeleton, &mut |key| batch.hashes.push(key.hash()));
        let blob_from = batch.blobs.len();
        let plain = payloads.plain_mut(&disclosed);
        if !plain.is_empty() {
            blob::seal(self.keys, &data_key, &id.0, plain, &mut batch.blobs)?;
        }
        for (account, person, name) in people.named {
            if batch.named.contains(&account) {
                continue;
            }
            let blob = tenant.sealed_name(account, &name, || {
                let key = name_key(&tenant, &account, person);
                let mut plain = serde_json::to_vec(&name).map_err(|e| RecordError::new("", e.to_string()))?;
                let mut sealed = Vec::new();
                blob::seal(self.keys, &key, &account.0, &mut plain, &mut sealed)?;
                Ok(sealed)
            })?;
            batch.names.push(SealedName { account, blob });
            batch.named.insert(account);
        }
        batch.items.push(Item {
            leaf,
            stamp,
            blob: blob_from..batch.blobs.len(),
            hashes: hashes_from..batch.hashes.len(),
            id,
            event: event_of(&skeleton),
            named,
        });
        Ok(())
    }
}

/// Where in `leaf` the time goes.
fn stamp_of(leaf: &[u8]) -> Option<usize> {
    static MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"recorded\":\""));
    // Quotes inside strings are escaped: the first match is the member itself.
    MEMBER.find(leaf).map(|at| at + 12)
}

/// What the same record is to be known again by, where it has a name.
fn name_of<'p>(
    prepared: &'p Prepared<'_>,
    submission: &Submission<'p>,
) -> Result<Option<Naming<'p>>, AppendError> {
    let Prepared { original: text, clean, record, .. } = prepared;
    let from_source = submission.source.as_ref().is_some_and(|source| source.event_id.is_some());
    // An event is known again by what names it in its source, also where its sender names the record besides.
    let imported = from_source
        && submission.id.is_none_or(|id| {
            submission.basis == Some(Basis::Imported) && submission.supersedes.is_none() && id.version() != 8
        });
    let write = |submission: &Submission<'_>| {
        serde_json::to_string(submission).map_err(|e| RecordError::new("", e.to_string()))
    };
    if let Some(Disclosable::Whole(event)) = submission.disclose.get(WHOLE)
        && imported
    {
        // The original bytes decide, not what a collector makes of them (D12); and the bytes that
        // came, not what is left without secrets, lest a better search for secrets looks like a
        // change of the event.
        #[derive(serde::Deserialize)]
        struct Original<'a> {
            #[serde(borrow)]
            disclose: OriginalEvent<'a>,
        }
        #[derive(serde::Deserialize)]
        struct OriginalEvent<'a> {
            #[serde(borrow)]
            event: &'a serde_json::value::RawValue,
        }
        let was_clean = matches!(clean, Cow::Borrowed(_));
        let original = if was_clean { None } else { serde_json::from_str::<Original<'_>>(text).ok() };
        let text = match original {
            Some(original) => original.disclose.event.get().into(),
            None => event.clone(),
        };
        // Earlier versions held a record that its sender named against all that was sent.
        let as_sent =
            submission.id.map(|_| write(without_defaults(submission).as_ref().unwrap_or(submission)));
        return Ok(Some(Naming { what: "event", text, as_sent: as_sent.transpose()?, imported }));
    }
    if submission.id.is_none() && !from_source {
        return Ok(None);
    }
    let (text, as_sent) = match without_defaults(submission) {
        plain if imported && submission.id.is_some() => {
            let mut plain = plain.unwrap_or_else(|| submission.clone());
            let as_sent = write(&plain)?;
            plain.id = None;
            (write(&plain)?.into(), Some(as_sent))
        }
        Some(plain) => (write(&plain)?.into(), Some(write(submission)?)),
        None if record.is_some() => (Cow::Borrowed(*text), None),
        None => (write(submission)?.into(), None),
    };
    Ok(Some(Naming { what: "record", text, as_sent, imported }))
}

/// `submission` without what would be so if it were not stated, where any is: the same is meant.
fn without_defaults<'p>(submission: &Submission<'p>) -> Option<Submission<'p>> {
    let is_default = |said: &Option<Text<'_>>| said.as_deref() == Some("default");
    let basis = submission.basis.filter(|basis| *basis != Basis::Reported);
    let tenant = submission.tenant.clone().filter(|_| !is_default(&submission.tenant));
    let retention = submission.retention.clone().filter(|_| !is_default(&submission.retention));
    let states_any =
        basis != submission.basis || tenant != submission.tenant || retention != submission.retention;
    states_any.then(|| Submission { basis, tenant, retention, ..submission.clone() })
}

/// What is computed side by side once all records of a batch were read: the digests by which they are known
/// again, and their disclosures, written where they stand and committed to.
fn complete<'d, 't: 'd>(drafts: impl Iterator<Item = &'d mut Draft<'t>>) -> Result<Committed, AppendError> {
    let mut drafts: Vec<_> = drafts.collect();
    name_all(&mut drafts);
    let mut payloads = Payloads::default();
    for draft in drafts {
        draft.disclosed = payloads.add(&draft.submission)?;
    }
    Ok(payloads.commit())
}

/// Computes the digests by which those of `drafts` that have a name are known again.
fn name_all(drafts: &mut [&mut Draft<'_>]) {
    let mut drafts: Vec<_> = drafts.iter_mut().filter(|draft| draft.name.is_some()).collect();
    for drafts in drafts.chunk_by_mut(|a, b| Arc::ptr_eq(&a.tenant, &b.tenant)) {
        let names: Vec<Naming<'_>> = drafts.iter_mut().filter_map(|draft| draft.name.take()).collect();
        let messages: Vec<_> =
            names.iter().map(|name| [name.what.as_bytes(), name.text.as_bytes()]).collect();
        let Some(tenant) = drafts.first().map(|draft| draft.tenant.clone()) else { continue };
        for ((draft, name), content) in drafts.iter_mut().zip(&names).zip(tenant.keyed_all(&messages)) {
            let of = |text: &String| tenant.keyed_all(&[[b"record", text.as_bytes()]]).first().copied();
            let as_sent = name.as_sent.as_ref().and_then(of);
            draft.named = Some(Named { content, as_sent, imported: name.imported });
        }
    }
}

/// A record's text without its secrets.
struct Prepared<'t> {
    original: &'t str,
    clean: Cow<'t, str>,
    /// What that says, where this process wrote it so.
    record: Option<&'t Submission<'t>>,
    seen: Vec<(String, String)>,
    tenant: Arc<TenantKey>,
}

/// A record that was read, before it is sealed.
struct Draft<'t> {
    /// Boxed: it is large, and drafts are moved.
    submission: Box<Submission<'t>>,
    tenant: Arc<TenantKey>,
    /// Taken once all records of a batch were read; then `named` is there, and `disclosed`.
    name: Option<Naming<'t>>,
    named: Option<Named>,
    data_key: DataKeyId,
    seen: &'t [(String, String)],
    disclosed: Disclosed,
}

/// What decides whether a record of the same name is the same.
struct Naming<'t> {
    what: &'static str,
    text: Cow<'t, str>,
    /// All that was sent, where earlier versions held it against that.
    as_sent: Option<String>,
    /// Whether the source named it.
    imported: bool,
}

impl Draft<'_> {
    /// Adds the data keys that sealing it needs to `keys`.
    fn data_keys(&self, keys: &mut Vec<DataKeyId>) {
        keys.push(self.data_key);
        self.submission.each_principal(&mut |_, principal| {
            if let Some(key) = &principal.key {
                let person = principal.kind == PrincipalType::Human;
                keys.push(name_key(&self.tenant, &self.tenant.account_of(key), person));
            }
        });
    }
}

/// The data keys that sealing `drafts` needs, each once.
fn data_keys<'d, 't: 'd>(drafts: impl Iterator<Item = &'d Draft<'t>>) -> Vec<DataKeyId> {
    let mut keys = Vec::new();
    drafts.for_each(|draft| draft.data_keys(&mut keys));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// INVARIANT D12: the same event of the same source gets the same id, whatever a collector makes of it.
pub(crate) fn derived_id(tenant: &str, system: &str, event_id: &str, content: Option<&[u8; 32]>) -> RecordId {
    let mut input = Vec::new();
    for part in
        [tenant.as_bytes(), system.as_bytes(), event_id.as_bytes(), content.map_or(&[], |c| c.as_slice())]
    {
        input.extend_from_slice(&(part.len() as u64).to_be_bytes());
        input.extend_from_slice(part);
    }
    RecordId::v8(&deed_seal::hash::Hash::of(&input).0)
}

/// A new UUIDv7.
///
/// # Errors
/// The system gives no random bytes.
pub fn fresh_id() -> Result<RecordId, AppendError> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    Ok(RecordId::v7(millis, random_from_pool::<10>()?))
}
