//! From a record as it was sent to the bytes that are sealed.
//!
//! All the work of a record that needs no order is done here, on the sender's own thread: secrets are
//! taken out, names become accounts, payloads become commitments. Only `recorded` is left open, for
//! the sequencer to stamp.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::Range,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_record::{
    Account, Alias, Basis, ChainHop, Commitments, Digests, Disclosable, Effect, EffectSent, Hop, Party,
    Personal, PersonalSent, Principal, PrincipalType, Pseudonyms, RECORDED_PLACEHOLDER, RecordError,
    RecordId, SecretSeen, Skeleton, Submission, Terms, TermsSent, Text, Utf16Ordered, V, WHOLE, parse_one,
    secret, split_records,
};
use deed_seal::sd;
use serde::Serialize;

use crate::{
    append::{AppendError, Sender},
    blob::{self, BlobBuilder},
    key::each_key,
    keys::{DataKeyId, Keys, TenantKey, random_from_pool},
};

/// The longest leaf (C2SP tlog-tiles: a u16 length).
pub(crate) const LONGEST_LEAF: usize = 65_535;
/// Fingerprints kept in a record; a longer list says nothing more.
const MOST_SECRETS: usize = 64;
/// What `retention` is where it is not said.
const NO_RETENTION: &str = "default";
/// Retention class of names.
const NAME_CLASS: &str = "name";

/// Records sealed but for their time, in one arena.
#[derive(Default)]
pub(crate) struct Batch {
    leaves: Vec<u8>,
    blobs: Vec<u8>,
    hashes: Vec<u64>,
    pub(crate) items: Vec<Item>,
    pub(crate) names: Vec<SealedName>,
}

/// One record of a batch.
pub(crate) struct Item {
    leaf: Range<usize>,
    /// Where in the leaf the time goes.
    stamp: usize,
    blob: Range<usize>,
    hashes: Range<usize>,
    pub(crate) id: RecordId,
    /// Set where the sender or the source named the record, so that it may have come before.
    pub(crate) named: Option<Named>,
}

/// What tells a record that came before from another of the same name.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    /// Keyed digest of what was sent, as sealed in `content`.
    pub(crate) content: [u8; 32],
    /// Whether the source named it: other content is then kept beside, not refused.
    pub(crate) imported: bool,
}

/// What an account is called, sealed.
pub(crate) struct SealedName {
    pub(crate) account: Account,
    pub(crate) blob: Arc<[u8]>,
}

impl Batch {
    pub(crate) fn leaf(&self, item: &Item) -> &[u8] {
        &self.leaves[item.leaf.clone()]
    }

    pub(crate) fn blob(&self, item: &Item) -> &[u8] {
        &self.blobs[item.blob.clone()]
    }

    pub(crate) fn hashes(&self, item: &Item) -> &[u64] {
        &self.hashes[item.hashes.clone()]
    }

    /// Writes the time it was recorded into the leaf at `at` of the batch.
    pub(crate) fn stamp(&mut self, at: usize, recorded: &[u8; 27]) {
        let item = &self.items[at];
        let from = item.leaf.start + item.stamp;
        self.leaves[from..from + recorded.len()].copy_from_slice(recorded);
    }

    /// Bytes it will take in the journal, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.leaves.len() + self.blobs.len() + self.items.len() * 8
    }
}

/// Turns what `sender` sent into sealed records.
pub(crate) struct Sealer<'k> {
    pub(crate) keys: &'k Keys,
    pub(crate) sender: &'k Sender,
}

impl<'k> Sealer<'k> {
    /// Seals every record of `body`, or says which cannot be taken.
    pub(crate) fn seal_all(&self, body: &[u8]) -> Result<Batch, AppendError> {
        let prepared = self.prepare(body)?.into_iter().collect::<Result<Vec<_>, _>>()?;
        let drafts = prepared
            .iter()
            .enumerate()
            .map(|(index, prepared)| self.read(prepared).map_err(|e| e.at(index)))
            .collect::<Result<Vec<_>, _>>()?;
        self.keys.ensure(&drafts.iter().flat_map(Draft::data_keys).collect::<Vec<_>>())?;
        let mut batch = Batch::default();
        let mut payloads = BlobBuilder::default();
        for (index, draft) in drafts.into_iter().enumerate() {
            self.seal(draft, None, &mut batch, &mut payloads).map_err(|e| e.at(index))?;
        }
        Ok(batch)
    }

    /// Seals what can be taken of `body`, and says of each of the rest why not.
    pub(crate) fn seal_each(
        &self,
        body: &[u8],
    ) -> Result<(Batch, Vec<Result<(), AppendError>>), AppendError> {
        let prepared = self.prepare(body)?;
        let drafts: Vec<_> = prepared
            .iter()
            .map(|prepared| {
                prepared.as_ref().map_err(AppendError::clone).and_then(|prepared| self.read(prepared))
            })
            .collect();
        self.keys.ensure(&drafts.iter().flatten().flat_map(Draft::data_keys).collect::<Vec<_>>())?;
        let mut batch = Batch::default();
        let mut payloads = BlobBuilder::default();
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

    /// Seals the record at `index` of `body` as a further observation of an event whose first one,
    /// `first`, had other original bytes.
    pub(crate) fn seal_conflicting(
        &self,
        body: &[u8],
        index: usize,
        first: RecordId,
    ) -> Result<Batch, AppendError> {
        let text =
            *split_records(body)?.get(index).ok_or_else(|| RecordError::new("", "the record is gone"))?;
        let prepared = self.prepare_one(text)?;
        let draft = self.read(&prepared)?;
        self.keys.ensure(&draft.data_keys())?;
        let mut batch = Batch::default();
        self.seal(draft, Some(first), &mut batch, &mut BlobBuilder::default())?;
        Ok(batch)
    }

    /// Cuts `body` into records and takes their secrets out.
    fn prepare<'t>(&self, body: &'t [u8]) -> Result<Vec<Result<Prepared<'t>, AppendError>>, AppendError> {
        let texts = split_records(body)?;
        Ok(texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| self.prepare_one(text).map_err(|e| e.at(index)))
            .collect())
    }

    fn prepare_one<'t>(&self, text: &'t str) -> Result<Prepared<'t>, AppendError> {
        let tenant = self.tenant_of(text)?;
        // INVARIANT D9: nothing but this text goes further, and a keyed digest of the original.
        let clean = secret::excise(text, &*tenant)?;
        Ok(Prepared { original: text, clean: clean.text, seen: clean.seen, tenant })
    }

    fn read<'p>(&self, prepared: &'p Prepared<'_>) -> Result<Draft<'p>, AppendError> {
        let Prepared { original, clean, seen, tenant } = prepared;
        let mut submission = parse_one(clean, self.sender.ours)?;
        if let Some(named) = &submission.tenant
            && **named != *tenant.name
        {
            // The cheap look for the tenant was misled; the parser is right.
            return Err(AppendError::Tenant {
                index: 0,
                bound: tenant.name.clone(),
                asked: named.to_string(),
            });
        }
        let named = self.named(original, &submission, tenant)?;
        let person = [&submission.initiator, &submission.executor]
            .into_iter()
            .flatten()
            .find(|p| p.kind == PrincipalType::Human && p.key.is_some())
            .and_then(|p| p.key.as_deref())
            .map(|key| tenant.account_of(key));
        submission.retention = submission.retention.take().filter(|class| &**class != NO_RETENTION);
        let class = submission.retention.as_deref().unwrap_or(NO_RETENTION);
        let data_key = tenant.data_key_id(person.as_ref().map_or(&[], |a| &a.0), class);
        Ok(Draft { submission, tenant: tenant.clone(), named, data_key, seen })
    }

    /// Whose record it is: the sender's tenant, else the one the record names, else `default`.
    fn tenant_of(&self, text: &str) -> Result<Arc<TenantKey>, AppendError> {
        #[derive(serde::Deserialize)]
        struct Only<'a> {
            #[serde(borrow, default)]
            tenant: Option<Text<'a>>,
        }
        let asked = if memchr::memmem::find(text.as_bytes(), b"\"tenant\"").is_some() {
            // Anything wrong with the record is said by the strict reading that follows.
            serde_json::from_str::<Only<'_>>(text).ok().and_then(|only| only.tenant)
        } else {
            None
        };
        let tenant = match (&self.sender.tenant, asked) {
            (Some(bound), Some(asked)) if **bound != *asked => {
                return Err(AppendError::Tenant { index: 0, bound: bound.clone(), asked: asked.to_string() });
            }
            (Some(bound), _) => bound.clone(),
            (None, Some(asked)) => asked.to_string(),
            (None, None) => "default".to_owned(),
        };
        if !deed_record::is_label(&tenant) {
            return Err(
                RecordError::new("tenant", "expected 1 to 64 letters, digits, `-`, `_` or `.`").into()
            );
        }
        Ok(self.keys.tenant(&tenant)?)
    }

    /// The digest by which the same record is known again, where it has a name.
    fn named(
        &self,
        text: &str,
        submission: &Submission<'_>,
        tenant: &TenantKey,
    ) -> Result<Option<Named>, AppendError> {
        if let Some(Disclosable::Whole(event)) = submission.disclose.get(WHOLE)
            && submission.id.is_none()
            && submission.source.as_ref().is_some_and(|source| source.event_id.is_some())
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
            let content = match serde_json::from_str::<Original<'_>>(text) {
                Ok(original) => tenant.keyed(&[b"event", original.disclose.event.get().as_bytes()]),
                Err(_) => tenant.keyed(&[b"event", event.as_bytes()]),
            };
            return Ok(Some(Named { content, imported: true }));
        }
        let from_source = submission.source.as_ref().is_some_and(|source| source.event_id.is_some());
        if submission.id.is_none() && !from_source {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        submission
            .serialize(&mut serde_json::Serializer::new(&mut bytes))
            .map_err(|e| RecordError::new("", e.to_string()))?;
        Ok(Some(Named { content: tenant.keyed(&[b"record", &bytes]), imported: submission.id.is_none() }))
    }

    fn seal(
        &self,
        draft: Draft<'_>,
        conflicts_with: Option<RecordId>,
        batch: &mut Batch,
        payloads: &mut BlobBuilder,
    ) -> Result<(), AppendError> {
        let Draft { submission, tenant, named, data_key, seen } = draft;
        let id = match (submission.id, &submission.source) {
            (Some(id), _) => id,
            (None, Some(source)) if source.event_id.is_some() => {
                let event_id = source.event_id.as_deref().unwrap_or_default();
                let content = conflicts_with.and(named).map(|named| named.content);
                derived_id(&tenant.name, &source.system, event_id, content.as_ref())
            }
            _ => fresh_id()?,
        };
        let mut people = People { tenant: &tenant, named: Vec::new() };
        let personal = submission.personal.as_ref().map(|sent| personal(sent, &tenant));

        payloads.clear();
        let disclose = self.commit(&submission, payloads)?;
        let initiator = submission.initiator.map(|p| people.party(p));
        let executor = submission.executor.map(|p| people.party(p));
        let chain = submission.chain.map(|chain| chain.into_iter().map(|hop| people.hop(hop)).collect());
        let terms = submission.terms.map(|terms| people.terms(terms));
        let effects =
            submission.effects.map(|effects| effects.into_iter().map(|e| people.effect(e)).collect());
        let resource = submission.resource.map(|mut resource| {
            if let Some(uri) = people.without_people(&resource.uri) {
                resource.uri = uri.into();
            }
            resource
        });
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
            action: submission.action,
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
        // Quotes inside strings are escaped: the first match is the member itself.
        let stamp =
            memchr::memmem::find(&batch.leaves[leaf.clone()], b"\"recorded\":\"").map_or(0, |at| at + 12);
        let hashes_from = batch.hashes.len();
        each_key(&skeleton, &mut |key| batch.hashes.push(key.hash()));
        let blob_from = batch.blobs.len();
        if !payloads.is_empty() {
            payloads.seal(self.keys, &data_key, &id.0, &mut batch.blobs)?;
        }
        for (account, person, name) in people.named {
            if batch.names.iter().any(|known| known.account == account) {
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
        }
        batch.items.push(Item {
            leaf,
            stamp,
            blob: blob_from..batch.blobs.len(),
            hashes: hashes_from..batch.hashes.len(),
            id,
            named,
        });
        Ok(())
    }

    /// Commits to the payloads (RFC 9901): fresh salts, digests in random order.
    fn commit(
        &self,
        submission: &Submission<'_>,
        payloads: &mut BlobBuilder,
    ) -> Result<Commitments<'static>, AppendError> {
        let mut tree: BTreeMap<Utf16Ordered<'static>, Digests<'static>> = BTreeMap::new();
        let mut whole: Vec<[u8; 43]> = Vec::new();
        let mut one = |group: Option<&str>, name: &str, value: &str| -> Result<[u8; 43], AppendError> {
            let mut salt = [0; 22];
            URL_SAFE_NO_PAD
                .encode_slice(random_from_pool::<16>()?, &mut salt)
                .map_err(|e| RecordError::new("", e.to_string()))?;
            let salt = std::str::from_utf8(&salt).unwrap_or_default();
            let json = sd::disclosure_json(salt, name, value.as_bytes());
            payloads.add(group, &json);
            Ok(sd::digest_text(&sd::digest_of_json(&json)))
        };
        for (group, value) in &submission.disclose.0 {
            match value {
                Disclosable::Whole(value) => whole.push(one(None, group, value)?),
                Disclosable::Members(members) => {
                    let digests = members
                        .iter()
                        .map(|(name, value)| one(Some(group), name, value))
                        .collect::<Result<Vec<_>, _>>()?;
                    tree.insert(
                        Utf16Ordered(Text::from(group.to_string())),
                        Digests::Members(shuffled(digests)),
                    );
                }
            }
        }
        let json_text = |text: &str| serde_json::Value::from(text).to_string();
        for (prefix, principal) in submission.principals() {
            // What people call somebody is personal: it is disclosed, never sealed.
            if let Some(name) = &principal.name {
                whole.push(one(None, &format!("{prefix}.name"), &json_text(name))?);
            }
        }
        if let Some(personal) = &submission.personal {
            for (name, value) in
                [("personal.address", &personal.address), ("personal.device", &personal.device)]
            {
                if let Some(value) = value {
                    whole.push(one(None, name, &json_text(value))?);
                }
            }
        }
        if !whole.is_empty() {
            tree.insert(Utf16Ordered(Text::from("_sd")), Digests::Whole(shuffled(whole)));
        }
        Ok(Commitments(tree))
    }
}

/// Digests are as good as random: their own order tells nothing about that of the members.
fn shuffled(mut digests: Vec<[u8; 43]>) -> Vec<Text<'static>> {
    digests.sort_unstable();
    digests.iter().map(|digest| Text::from(String::from_utf8_lossy(digest).into_owned())).collect()
}

/// A record's text without its secrets.
struct Prepared<'t> {
    original: &'t str,
    clean: Cow<'t, str>,
    seen: Vec<(String, String)>,
    tenant: Arc<TenantKey>,
}

/// A record that was read, before it is sealed.
struct Draft<'t> {
    submission: Submission<'t>,
    tenant: Arc<TenantKey>,
    named: Option<Named>,
    data_key: DataKeyId,
    seen: &'t [(String, String)],
}

impl Draft<'_> {
    /// The data keys that sealing it needs.
    fn data_keys(&self) -> Vec<DataKeyId> {
        let mut keys = vec![self.data_key];
        for (_, principal) in self.submission.principals() {
            if let Some(key) = &principal.key {
                keys.push(name_key(
                    &self.tenant,
                    &self.tenant.account_of(key),
                    principal.kind == PrincipalType::Human,
                ));
            }
        }
        keys
    }
}

fn name_key(tenant: &TenantKey, account: &Account, person: bool) -> DataKeyId {
    tenant.data_key_id(if person { &account.0 } else { &[] }, NAME_CLASS)
}

/// Turns people in clear into accounts, and remembers what they are called.
struct People<'t> {
    tenant: &'t TenantKey,
    named: Vec<(Account, bool, Name)>,
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
    fn party<'a>(&mut self, sent: Principal<'a>) -> Party<'a> {
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

    fn hop<'a>(&mut self, sent: ChainHop<'a>) -> Hop<'a> {
        Hop {
            credential: sent.credential,
            delegation: sent.delegation,
            principal: self.party(sent.principal),
            scope: sent.scope,
        }
    }

    fn terms<'a>(&mut self, sent: TermsSent<'a>) -> Terms<'a> {
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

    fn effect<'a>(&mut self, sent: EffectSent<'a>) -> Effect<'a> {
        Effect {
            credential: sent.credential,
            kind: sent.kind,
            resource: sent.resource,
            terms: sent.terms.map(|terms| self.terms(terms)),
        }
    }

    /// `uri` with every person this record names replaced by their account; `None` where it names none.
    fn without_people(&self, uri: &str) -> Option<String> {
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

fn personal(sent: &PersonalSent<'_>, tenant: &TenantKey) -> Personal {
    Personal {
        address: sent.address.as_deref().map(|value| tenant.pseudonym("address", value)),
        device: sent.device.as_deref().map(|value| tenant.pseudonym("device", value)),
    }
}

/// INVARIANT D12: the same event of the same source gets the same id, whatever a collector makes of it.
fn derived_id(tenant: &str, system: &str, event_id: &str, content: Option<&[u8; 32]>) -> RecordId {
    let mut input = Vec::new();
    for part in
        [tenant.as_bytes(), system.as_bytes(), event_id.as_bytes(), content.map_or(&[], |c| c.as_slice())]
    {
        input.extend_from_slice(&(part.len() as u64).to_be_bytes());
        input.extend_from_slice(part);
    }
    RecordId::v8(&deed_seal::hash::Hash::of(&input).0)
}

fn fresh_id() -> Result<RecordId, AppendError> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    Ok(RecordId::v7(millis, random_from_pool::<10>()?))
}
