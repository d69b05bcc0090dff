//! The columns of `records`: one row a leaf, as sealed.
//!
//! Each column is declared once, with its meaning, its type and where it is in the sealed record;
//! schema, documentation and conversion come from that. What SQL has no use for and no compressor can
//! shrink (commitments, content digests) is left to the leaf, which `leaf_index` names.

mod build;

use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use deed_record::{RecordError, Skeleton};

use build::{
    Effects, Hops, Id, Ids, Int, Masked, Shared, Span, Texts, Time, Trace, Unique, Values, Who,
    credential_name, some,
};

/// Rows are built and kept in chunks that begin at multiples of this many leaves.
pub const CHUNK: usize = 4096;

/// Version of the table. Parquet of another version is derived again.
pub const SCHEMA_VERSION: u32 = 2;

/// A leaf that is no record, and so cannot be a row. Never skipped in silence.
#[derive(Debug, thiserror::Error)]
#[error("leaf {index} does not read as a sealed record: {source}")]
pub struct BadLeaf {
    /// Its index.
    pub index: u64,
    /// Why.
    pub source: RecordError,
}

/// A column of `records`, for documentation.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Whether rows may leave it out.
    pub nullable: bool,
    /// Its type.
    pub data_type: DataType,
}

macro_rules! columns {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty $(as $required:ident)?, |$row:ident| $value:expr;)*) => {
        /// The columns of `records` in their order.
        pub static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| vec![$(Column {
            name: stringify!($name),
            meaning: concat!($($doc),+).trim_ascii(),
            nullable: !columns!(@required $($required)?),
            data_type: <$kind>::data_type(),
        }),*]);

        #[derive(Default)]
        struct Builders { $($name: build::Column<$kind>),* }

        impl Builders {
            #[expect(clippy::redundant_closure_call, reason = "a `?` in a column ends that column, not the row")]
            fn push(&mut self, row: Row<'_, '_>) {
                $({ let $row = row; self.$name.push((|| $value)()); })*
            }

            fn finish(&mut self) -> Vec<ArrayRef> {
                vec![$(self.$name.finish()),*]
            }
        }
    };
    (@required required) => { true };
    (@required) => { false };
}

/// A leaf and what it says.
#[derive(Clone, Copy)]
struct Row<'s, 'a> {
    index: u64,
    says: &'s Skeleton<'a>,
}

impl<'a> Deref for Row<'_, 'a> {
    type Target = Skeleton<'a>;
    fn deref(&self) -> &Skeleton<'a> {
        self.says
    }
}

columns! {
    /// Index of the leaf in the log; the row's proof starts here.
    leaf_index: Int as required, |row| i64::try_from(row.index).ok();
    /// Id of the record.
    id: Id as required, |row| Some(row.id);
    /// What the record is about: `intent`, `outcome`, `observation`, …
    kind: Shared as required, |row| Some(row.kind.as_str());
    /// When it happened, as the source says.
    time: Time as required, |row| Some(row.time);
    /// When Deed took it; never decreases along the log.
    recorded: Time as required, |row| Some(row.recorded);
    /// Whose record it is.
    tenant: Shared as required, |row| Some(&*row.tenant);
    /// `prod`, `test`, …
    environment: Shared, |row| row.environment.as_deref();
    /// W3C trace id.
    trace_id: Trace, |row| row.trace_id;
    /// W3C span id of this step.
    span_id: Span, |row| row.span_id;
    /// W3C span id of the step that this one is part of.
    parent_span_id: Span, |row| row.parent_span_id;
    /// The session it belongs to.
    session: Shared, |row| row.session.as_deref();
    /// The task it is part of, by the sender's name for it.
    task: Shared, |row| row.task.as_deref();
    /// Id of the action that an outcome, an approval or a later observation belongs to.
    action: Id, |row| row.action;
    /// How it is known: `enforced`, `reported` or `imported`.
    basis: Shared as required, |row| Some(row.basis.as_str());
    /// The system that an imported event comes from.
    source_system: Shared, |row| Some(&*row.source.as_ref()?.system);
    /// That system's own id of the event.
    source_event_id: Unique, |row| row.source.as_ref()?.event_id.as_deref();
    /// The collector and the version of its mapping.
    source_collector: Shared, |row| row.source.as_ref()?.collector.as_deref();
    /// Who sent it: the authenticated sender.
    submitter: Shared as required, |row| Some(&*row.submitter);
    /// Account of who asked.
    initiator: Who, |row| row.initiator.as_ref()?.account;
    /// What the initiator is: `human`, `agent`, `workload`, `service_account`, `third_party`, `unknown`.
    initiator_type: Shared, |row| Some(row.initiator.as_ref()?.kind.as_str());
    /// Which of its many.
    initiator_instance: Shared, |row| row.initiator.as_ref()?.instance.as_deref();
    /// The organisation that runs the initiator, where it is not ours.
    initiator_vendor: Shared, |row| row.initiator.as_ref()?.vendor.as_deref();
    /// Account of who acted.
    executor: Who, |row| row.executor.as_ref()?.account;
    /// What the executor is.
    executor_type: Shared, |row| Some(row.executor.as_ref()?.kind.as_str());
    /// Which of its many: a run, a pod, a process.
    executor_instance: Shared, |row| row.executor.as_ref()?.instance.as_deref();
    /// The organisation that runs the executor, where it is not ours.
    vendor: Shared, |row| row.executor.as_ref()?.vendor.as_deref();
    /// How many hops stand between initiator and executor.
    chain_depth: Int as required, |row| i64::try_from(row.chain.as_ref().map_or(0, Vec::len)).ok();
    /// The hops, in order.
    chain: Hops, |row| some(row.chain.as_deref()?);
    /// The credential that was used, or that the record is about: its fingerprint, else its issuer's id, else its jti.
    credential: Shared, |row| credential_name(row.credential.as_ref()?);
    /// `bearer`, `access_key`, `temporary_key`, …
    credential_type: Shared, |row| row.credential.as_ref()?.kind.as_deref();
    /// The issuing system's own identifier.
    credential_id: Shared, |row| row.credential.as_ref()?.id.as_deref();
    /// JWT id (RFC 7519).
    credential_jti: Shared, |row| row.credential.as_ref()?.jti.as_deref();
    /// Who issued it.
    credential_issuer: Shared, |row| row.credential.as_ref()?.issuer.as_deref();
    /// When it was issued.
    credential_issued: Time, |row| row.credential.as_ref()?.issued;
    /// When it stops being valid.
    credential_expires: Time, |row| row.credential.as_ref()?.expires;
    /// Fingerprint, id or jti of the credential it was derived from.
    credential_parent: Shared, |row| row.credential.as_ref()?.parent.as_deref();
    /// Id or jti of the credential that was shown in its place to the system behind.
    credential_upstream: Shared, |row| row.credential.as_ref()?.upstream.as_deref();
    /// Scopes it holds.
    credential_scopes: Texts, |row| some(&row.credential.as_ref()?.scopes);
    /// The permission that was used.
    permission: Shared, |row| row.permission.as_deref();
    /// Id of the request it answers or relies on.
    request: Id, |row| row.request;
    /// Ids of the approvals it relies on.
    approvals: Ids, |row| some(row.approvals.as_deref()?);
    /// Id of the grant it relies on.
    grant_id: Id, |row| row.grant;
    /// Id of the exception it relies on.
    exception: Id, |row| row.exception;
    /// What sort of step it is: `reasoning`, `data_read`, `policy_check`, `tool`, `retry`, `rollback`, `security_event`.
    step_type: Shared, |row| row.step_type.map(|step| step.as_str());
    /// The server that offers the tool.
    tool_server: Shared, |row| row.tool.as_ref()?.server.as_deref();
    /// The tool's name on its server.
    tool_name: Shared, |row| Some(&*row.tool.as_ref()?.name);
    /// The tool's version.
    tool_version: Shared, |row| row.tool.as_ref()?.version.as_deref();
    /// Digest of the tool's definition.
    tool_digest: Shared, |row| row.tool.as_ref()?.digest.as_deref();
    /// The operation: `tools/call`, `s3:DeleteBucket`, …
    operation: Shared, |row| row.operation.as_deref();
    /// What was acted upon.
    resource_uri: Shared, |row| Some(&*row.resource.as_ref()?.uri);
    /// `table`, `ticket`, `bucket`, …
    resource_type: Shared, |row| row.resource.as_ref()?.kind.as_deref();
    /// `public`, `internal`, `restricted`, …
    classification: Shared, |row| row.resource.as_ref()?.classification.as_deref();
    /// What was released.
    artifact_name: Shared, |row| Some(&*row.artifact.as_ref()?.name);
    /// Its digest.
    artifact_digest: Shared, |row| row.artifact.as_ref()?.digest.as_deref();
    /// Whose signature on it was verified.
    artifact_signer: Shared, |row| row.artifact.as_ref()?.signer.as_deref();
    /// What a policy decided: `allow`, `deny` or `step_up`.
    decision_effect: Shared, |row| Some(row.decision.as_ref()?.effect.as_str());
    /// Digest of the policy set that decided.
    policy_set: Shared, |row| row.decision.as_ref()?.policy_set.as_deref();
    /// Ids of the policies that determined it.
    policies: Texts, |row| some(&row.decision.as_ref()?.policies);
    /// What must be done besides.
    obligations: Texts, |row| some(&row.decision.as_ref()?.obligations);
    /// Errors of the evaluation.
    decision_errors: Texts, |row| some(&row.decision.as_ref()?.errors);
    /// Version of the engine that decided.
    decision_engine: Shared, |row| row.decision.as_ref()?.engine.as_deref();
    /// How it ended: `success`, `failure`, `denied`, `cancelled`, `timed_out`, `rolled_back`, `unknown`.
    outcome_status: Shared, |row| Some(row.outcome.as_ref()?.status.as_str());
    /// The system's own code: a status, an error name.
    outcome_code: Shared, |row| row.outcome.as_ref()?.code.as_deref();
    /// How long it took, in milliseconds.
    duration_ms: Int, |row| row.outcome.as_ref()?.duration_ms;
    /// The leaf that says how it ended; here, this one, where it does.
    outcome_leaf_index: Int, |row| row.outcome.is_some().then(|| i64::try_from(row.index).ok())?;
    /// Id of the action that this one tried again.
    retry_of: Id, |row| row.outcome.as_ref()?.retry_of;
    /// Id of the action that this one undid.
    compensates: Id, |row| row.outcome.as_ref()?.compensates;
    /// What the event changed in authority.
    effects: Effects, |row| some(row.effects.as_deref()?);
    /// Terms of a record about authority: what happened to it (`requested`, `issued`, `revoked`, …).
    terms_change: Shared, |row| row.terms.as_ref()?.change.map(|change| change.as_str());
    /// Terms: how a request was answered, `approved` or `refused`.
    terms_answer: Shared, |row| row.terms.as_ref()?.answer.map(|answer| answer.as_str());
    /// Terms: account of who gave, answered or changed it.
    terms_by: Who, |row| row.terms.as_ref()?.by.as_ref()?.account;
    /// Terms: what that one is.
    terms_by_type: Shared, |row| Some(row.terms.as_ref()?.by.as_ref()?.kind.as_str());
    /// Terms: account of whom it is about.
    terms_subject: Who, |row| row.terms.as_ref()?.subject.as_ref()?.account;
    /// Terms: what that one is.
    terms_subject_type: Shared, |row| Some(row.terms.as_ref()?.subject.as_ref()?.kind.as_str());
    /// Terms: the organisation that runs it, where it is not ours.
    terms_subject_vendor: Shared, |row| row.terms.as_ref()?.subject.as_ref()?.vendor.as_deref();
    /// Terms: the role it is about.
    terms_role: Shared, |row| row.terms.as_ref()?.role.as_deref();
    /// Terms: the scopes it is about.
    terms_scopes: Texts, |row| some(&row.terms.as_ref()?.scopes);
    /// Terms: when it begins.
    terms_not_before: Time, |row| row.terms.as_ref()?.not_before;
    /// Terms: when it ends; null means that it stands.
    terms_expires: Time, |row| row.terms.as_ref()?.expires;
    /// Id of the observation that this one corrects.
    supersedes: Id, |row| row.supersedes;
    /// Id of the first record of the same event, whose original bytes were others.
    conflicts_with: Id, |row| row.conflicts_with;
    /// Pseudonym of the network address it came from.
    address: Masked, |row| row.personal.as_ref()?.address;
    /// Pseudonym of the device it came from.
    device: Masked, |row| row.personal.as_ref()?.device;
    /// Retention class of the payloads, where it is not `default`.
    retention: Shared, |row| row.retention.as_deref();
    /// How many payloads were committed to.
    disclosures: Int as required, |row| i64::try_from(row.disclose.0.values().map(|digests| digests.all().len()).sum::<usize>()).ok();
    /// How many secrets stood in the input and were taken out.
    secrets: Int as required, |row| i64::try_from(row.secrets.as_ref().map_or(0, Vec::len)).ok();
}

/// The schema of `records`.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |column: &Column| Field::new(column.name, column.data_type.clone(), column.nullable);
        Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// Turns sealed leaves into rows.
#[derive(Default)]
pub struct RowBuilder {
    builders: Builders,
    rows: usize,
}

impl RowBuilder {
    /// Adds the row of one leaf.
    ///
    /// # Errors
    /// The leaf is no record; nothing was added.
    pub fn push(&mut self, index: u64, leaf: &[u8]) -> Result<(), BadLeaf> {
        let says = Skeleton::parse(leaf).map_err(|source| BadLeaf { index, source })?;
        self.push_record(index, &says);
        Ok(())
    }

    /// Adds the row of a leaf that was read already.
    pub(crate) fn push_record(&mut self, index: u64, says: &Skeleton<'_>) {
        self.builders.push(Row { index, says });
        self.rows += 1;
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows so far; empties the builder.
    pub fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        match RecordBatch::try_new(schema(), self.builders.finish()) {
            Ok(batch) => batch,
            // Types and order come from the one declaration above, required values from required members.
            Err(error) => unreachable!("columns as declared: {error}"),
        }
    }
}
