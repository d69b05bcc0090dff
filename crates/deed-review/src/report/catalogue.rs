//! The controls that Deed has evidence for, by framework (G6): what shows that one works, what that it fails.
//!
//! Ids are as the frameworks have them; what a control asks for is told in our words. SP 800-207 and MAESTRO have no
//! control ids: tenets are cited by number, layers by theirs.

use serde::{Deserialize, Serialize};

/// A control of a framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The framework.
    pub framework: &'static str,
    /// The control's id there.
    pub id: &'static str,
    /// What it asks for.
    pub title: &'static str,
    /// Ids by which guides call it besides.
    pub also: &'static [&'static str],
    /// What shows that it works.
    pub shown_by: &'static [Measure],
    /// Rules whose findings show that it fails, besides those that name its id.
    pub broken_by: &'static [&'static str],
}

/// Something that can be counted on the records, and shows that a control is at work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Actions on record.
    Actions,
    /// Actions that say who asked.
    Requested,
    /// Actions that say who acted.
    Executed,
    /// Actions that say with which credential.
    Credentialed,
    /// Actions with a credential that has an end.
    ShortLived,
    /// Actions that say how they ended.
    Ended,
    /// Actions in a trace or session.
    Traced,
    /// Actions that policy decided on before they happened.
    Decided,
    /// Actions that policy denied, and that did not happen.
    Stopped,
    /// Actions for which a human was asked.
    SteppedUp,
    /// Actions of others, told by the systems that they happened in.
    Observed,
    /// Actions done on somebody's behalf, with every hop.
    Delegated,
    /// Actions by somebody from outside.
    Outside,
    /// Actions that name their tool's digest.
    Pinned,
    /// Answers of approvers.
    Approvals,
    /// Rights that were asked for.
    Requests,
    /// Rights that were given.
    Grants,
    /// Of those, rights that end.
    TimeBound,
    /// Credentials that were issued.
    Issued,
    /// Credentials that were renewed or rotated.
    Rotated,
    /// Credentials that were revoked, or expired.
    Withdrawn,
    /// Policy sets that were put into force.
    Published,
    /// Tools that were approved.
    Tools,
    /// Tasks that were given.
    Tasks,
    /// Reviews, and exceptions granted.
    Reviews,
    /// Payloads that were read: on record before they were shown.
    Reads,
    /// Gaps in recording that Deed itself recorded.
    Gaps,
    /// Systems whose logs were taken.
    Sources,
    /// Records under the newest signed checkpoint.
    Signed,
}

impl Measure {
    /// Every measure.
    pub const ALL: &[Measure] = &[
        Measure::Actions,
        Measure::Requested,
        Measure::Executed,
        Measure::Credentialed,
        Measure::ShortLived,
        Measure::Ended,
        Measure::Traced,
        Measure::Decided,
        Measure::Stopped,
        Measure::SteppedUp,
        Measure::Observed,
        Measure::Delegated,
        Measure::Outside,
        Measure::Pinned,
        Measure::Approvals,
        Measure::Requests,
        Measure::Grants,
        Measure::TimeBound,
        Measure::Issued,
        Measure::Rotated,
        Measure::Withdrawn,
        Measure::Published,
        Measure::Tools,
        Measure::Tasks,
        Measure::Reviews,
        Measure::Reads,
        Measure::Gaps,
        Measure::Sources,
        Measure::Signed,
    ];

    /// What it counts.
    pub const fn counts(self) -> &'static str {
        match self {
            Measure::Actions => "actions on record",
            Measure::Requested => "actions whose own record says who asked",
            Measure::Executed => "actions whose own record says who acted, by whatever name",
            Measure::Credentialed => "actions that say with which credential",
            Measure::ShortLived => "actions with a credential that has an end",
            Measure::Ended => "actions that say how they ended",
            Measure::Traced => "actions in a trace or session",
            Measure::Decided => "actions that policy decided on before they happened",
            Measure::Stopped => "actions that policy denied and that did not happen",
            Measure::SteppedUp => "actions for which a human was asked",
            Measure::Observed => "actions told by the systems that they happened in",
            Measure::Delegated => "actions on somebody's behalf with the hops between",
            Measure::Outside => "actions by somebody from outside, as the inventory or their records say",
            Measure::Pinned => "calls that name their tool's digest",
            Measure::Approvals => "answers of approvers",
            Measure::Requests => "rights asked for",
            Measure::Grants => "rights given",
            Measure::TimeBound => "rights given that end",
            Measure::Issued => "credentials issued",
            Measure::Rotated => "credentials renewed or rotated",
            Measure::Withdrawn => "credentials revoked or expired",
            Measure::Published => "policy sets put into force",
            Measure::Tools => "tools approved or changed",
            Measure::Tasks => "tasks given",
            Measure::Reviews => "reviews and exceptions",
            Measure::Reads => "payload reads recorded before they were shown",
            Measure::Gaps => "gaps in recording that were themselves recorded",
            Measure::Sources => "systems whose logs were taken",
            Measure::Signed => "records under the newest signed checkpoint",
        }
    }

    /// Whether it is a state of now, that no change divides.
    pub const fn is_state(self) -> bool {
        matches!(self, Measure::Signed)
    }
}

const CSF: &str = "NIST CSF 2.0";
const ZERO_TRUST: &str = "NIST SP 800-207";
const SP53: &str = "NIST SP 800-53 r5";
const RMF: &str = "NIST AI RMF 1.0";
const NHI: &str = "OWASP NHI Top 10 2025";
const ASI: &str = "OWASP Agentic Top 10 2026";
const MAESTRO: &str = "CSA MAESTRO";
const AI_ACT: &str = "EU AI Act";

const fn control(
    framework: &'static str,
    id: &'static str,
    title: &'static str,
    shown_by: &'static [Measure],
    broken_by: &'static [&'static str],
) -> Control {
    Control { framework, id, title, also: &[], shown_by, broken_by }
}

const fn also(control: Control, also: &'static [&'static str]) -> Control {
    Control { also, ..control }
}

use Measure::{
    Actions, Approvals, Credentialed, Decided, Delegated, Ended, Executed, Gaps, Grants, Issued, Observed,
    Outside, Pinned, Published, Reads, Requested, Requests, Reviews, Rotated, ShortLived, Signed, Sources,
    SteppedUp, Stopped, Tasks, TimeBound, Tools, Traced, Withdrawn,
};

/// Every control that Deed has evidence for, in the order of the frameworks.
#[rustfmt::skip]
pub const CONTROLS: &[Control] = &[
    also(control(CSF, "PR.AA-01", "identities and credentials are managed", &[Issued, Rotated, Withdrawn], &[]), &["PR.AC-1"]),
    also(control(CSF, "PR.AA-03", "users, services and hardware are authenticated", &[Credentialed, Requested], &[]), &["PR.AC-7"]),
    control(CSF, "PR.AA-04", "identity assertions are protected, conveyed and verified", &[Delegated, ShortLived], &["delegation-widened", "delegation-lost-requester"]),
    also(control(CSF, "PR.AA-05", "permissions follow a policy, are enforced and reviewed, with least privilege and separation of duties", &[Decided, Stopped, SteppedUp, Approvals], &[]), &["PR.AC-4"]),
    control(CSF, "PR.DS-01", "data at rest keeps its integrity", &[Signed], &[]),
    also(control(CSF, "PR.PS-04", "log records are generated and available for monitoring", &[Actions, Sources], &["intent-without-outcome"]), &["PR.PT-1"]),
    control(CSF, "PR.IR-01", "environments are protected from unauthorised logical access", &[Decided, Stopped], &[]),
    control(CSF, "ID.RA-09", "authenticity and integrity of software are assessed before use", &[Pinned, Tools], &[]),
    control(CSF, "GV.RR-02", "roles, responsibilities and authorities are established and enforced", &[Approvals, Requested], &[]),
    control(CSF, "GV.SC-07", "risks of suppliers are monitored over the relationship", &[Outside], &[]),
    control(CSF, "DE.CM-03", "personnel activity and technology usage are monitored", &[Executed, Observed], &["human-with-machine-credential"]),
    control(CSF, "DE.CM-06", "activity of external service providers is monitored", &[Outside], &["outside-contract"]),
    control(CSF, "DE.CM-09", "computing, runtime environments and their data are monitored", &[Actions, Traced], &[]),
    control(CSF, "DE.AE-03", "information is correlated from multiple sources", &[Sources, Observed], &[]),
    control(CSF, "RS.AN-03", "what took place in an incident can be established", &[Traced, Ended], &["intent-without-outcome"]),
    control(CSF, "RS.AN-06", "actions in an investigation are recorded, with integrity and provenance", &[Reads, Signed], &[]),

    control(ZERO_TRUST, "SP 800-207 tenet 3", "access is granted per session", &[ShortLived, TimeBound], &["used-after-expiry"]),
    control(ZERO_TRUST, "SP 800-207 tenet 4", "access is determined by dynamic policy", &[Decided, Published], &["done-although-denied"]),
    control(ZERO_TRUST, "SP 800-207 tenet 6", "authentication and authorisation are strictly enforced before access", &[Decided, Stopped, SteppedUp], &["done-although-denied"]),
    control(ZERO_TRUST, "SP 800-207 tenet 7", "as much as possible is collected and used to improve", &[Actions, Sources], &["intent-without-outcome"]),

    control(SP53, "AC-2", "account management", &[Requests, Grants, Approvals], &[]),
    control(SP53, "AC-2(1)", "automated system account management", &[Issued, Withdrawn], &[]),
    control(SP53, "AC-2(3)", "disable accounts", &[Withdrawn], &[]),
    control(SP53, "AC-2(9)", "restrictions on use of shared and group accounts", &[Requested], &[]),
    control(SP53, "AC-3", "access enforcement", &[Decided, Stopped], &[]),
    control(SP53, "AC-4", "information flow enforcement", &[Decided, Stopped], &[]),
    control(SP53, "AC-5", "separation of duties", &[Approvals], &[]),
    control(SP53, "AC-6", "least privilege", &[Stopped, TimeBound], &[]),
    control(SP53, "AC-6(7)", "review of user privileges", &[Reviews], &[]),
    control(SP53, "AC-6(9)", "log use of privileged functions", &[Credentialed], &[]),
    control(SP53, "AC-12", "session termination", &[ShortLived, Withdrawn], &[]),
    control(SP53, "AC-20", "use of external systems", &[Outside], &[]),
    control(SP53, "CM-3", "configuration change control", &[Published, Tools], &[]),
    control(SP53, "AU-2", "event logging", &[Actions, Sources], &[]),
    control(SP53, "AU-3", "content of audit records: what, when, where, source, outcome, who", &[Requested, Executed, Ended], &[]),
    control(SP53, "AU-5", "response to failures of audit logging", &[Gaps], &[]),
    control(SP53, "AU-6", "audit record review, analysis and reporting", &[Reviews, Sources], &[]),
    control(SP53, "AU-8", "time stamps", &[Actions], &["used-before-issue"]),
    control(SP53, "AU-9(3)", "cryptographic protection of audit information", &[Signed], &[]),
    control(SP53, "AU-10", "non-repudiation", &[Requested, Signed], &["delegation-lost-requester"]),
    control(SP53, "AU-12", "audit record generation", &[Actions, Ended], &[]),
    control(SP53, "IA-2", "identification and authentication of organisational users", &[Requested], &[]),
    control(SP53, "IA-2(5)", "individual authentication with group authentication", &[Requested], &[]),
    control(SP53, "IA-5", "authenticator management", &[Issued, Rotated, Withdrawn, ShortLived], &[]),
    control(SP53, "IA-5(1)", "password-based authentication", &[Rotated], &[]),
    control(SP53, "IA-9", "service identification and authentication", &[Credentialed], &["credential-of-another"]),

    control(SP53, "SC-5", "denial-of-service protection", &[Ended], &[]),

    control(RMF, "GOVERN 1.6", "AI systems are inventoried", &[Executed], &[]),
    control(RMF, "GOVERN 2.1", "roles and responsibilities are clear", &[Requested, Approvals], &["delegation-lost-requester", "self-approval"]),
    control(RMF, "MEASURE 2.4", "the behaviour of AI systems is monitored in production", &[Tasks, Traced, Decided], &["outside-task"]),
    control(RMF, "MEASURE 2.7", "security and resilience are evaluated and documented", &[Stopped, SteppedUp], &["bypass", "outside-scope"]),
    control(RMF, "MEASURE 2.8", "risks to transparency and accountability are examined", &[Requested, Executed], &["delegation-lost-requester"]),
    control(RMF, "MANAGE 2.4", "AI systems that misbehave can be superseded or deactivated", &[Stopped, Withdrawn], &["used-after-revocation", "acted-while-suspended", "delegation-outlived-parent"]),
    control(RMF, "MANAGE 4.1", "monitoring after deployment, with override and response", &[SteppedUp, Approvals, Reviews], &[]),
    control(RMF, "MANAGE 4.3", "incidents and errors are tracked and documented", &[Ended, Reviews], &["intent-without-outcome"]),

    control(NHI, "NHI1:2025", "improper offboarding", &[Withdrawn], &[]),
    control(NHI, "NHI3:2025", "vulnerable third-party NHI", &[Outside], &[]),
    control(NHI, "NHI4:2025", "insecure authentication", &[Credentialed], &["used-before-issue"]),
    control(NHI, "NHI5:2025", "overprivileged NHI", &[Stopped, TimeBound], &[]),
    control(NHI, "NHI7:2025", "long-lived secrets", &[ShortLived, Rotated], &[]),
    control(NHI, "NHI8:2025", "environment isolation", &[Decided], &[]),
    control(NHI, "NHI9:2025", "NHI reuse", &[Credentialed], &[]),
    control(NHI, "NHI10:2025", "human use of NHI", &[Requested], &[]),

    control(ASI, "ASI01", "agent goal hijack", &[Tasks, Decided], &[]),
    control(ASI, "ASI02", "tool misuse and exploitation", &[Decided, Stopped], &["outside-scope", "outside-task"]),
    control(ASI, "ASI03", "identity and privilege abuse", &[Credentialed, Delegated], &[]),
    control(ASI, "ASI04", "agentic supply chain vulnerabilities", &[Pinned, Tools], &[]),
    control(ASI, "ASI07", "insecure inter-agent communication", &[Delegated], &["delegation-widened", "delegation-lost-requester"]),
    control(ASI, "ASI08", "cascading failures", &[Ended], &[]),
    control(ASI, "ASI09", "human-agent trust exploitation", &[SteppedUp, Approvals], &["self-approval", "approval-after-act", "approver-without-authority"]),
    control(ASI, "ASI10", "rogue agents", &[Decided, Stopped], &["bypass", "done-although-denied"]),

    control(MAESTRO, "MAESTRO L3", "agent frameworks", &[Tasks, Pinned], &["outside-task", "tool-changed", "tool-not-approved"]),
    control(MAESTRO, "MAESTRO L4", "deployment and infrastructure", &[Observed], &["environment-crossing"]),
    control(MAESTRO, "MAESTRO L5", "evaluation and observability", &[Actions, Traced], &["intent-without-outcome"]),
    control(MAESTRO, "MAESTRO L6", "security and compliance", &[Decided, Stopped, SteppedUp], &["bypass", "done-although-denied"]),
    control(MAESTRO, "MAESTRO L7", "agent ecosystem", &[Delegated, Outside], &["delegation-widened", "outside-contract"]),

    control(AI_ACT, "Art. 12(1)", "events are recorded automatically over the lifetime", &[Actions, Sources], &["intent-without-outcome"]),
    control(AI_ACT, "Art. 12(2)", "what is logged lets risks be identified and operation be monitored", &[Traced, Ended], &["delegation-lost-requester"]),
    control(AI_ACT, "Art. 19(1)", "providers keep the logs, for six months at least", &[Signed], &[]),
    control(AI_ACT, "Art. 26(5)", "deployers monitor the operation", &[Decided, Reviews], &["bypass"]),
    control(AI_ACT, "Art. 26(6)", "deployers keep the logs, for six months at least", &[Signed], &[]),
];
