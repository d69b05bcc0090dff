//! Sessions of which nobody knows what was done in them (T10).

use deed_identity::{ChangeFacts, Coverage, CredentialFacts, Rank};
use deed_record::Change;

use super::{IdentityFinding, Look, Subject, lasting::holder};
use crate::{
    Rule,
    words::{Severity, moment},
};

pub(super) const SESSION_START_END_ONLY: Rule = Rule {
    name: "session-start-end-only",
    means: "a session is known by its start and its end alone, in a log that is called complete for what is done",
    remedy: "record what is done in such sessions; or take back that the log is complete",
    controls: &["DE.CM-09", "AU-12"],
};

/// In shorter ones there is nothing to do, in microseconds: a minute.
const SHORT: i64 = 60_000_000;

impl Look<'_> {
    pub(super) fn session(&mut self, session: &CredentialFacts) {
        if session.kind.as_deref() != Some("session") || !self.state.children(session.key).is_empty() {
            return;
        }
        let firm = |wanted: &[Change]| {
            let told = session.changes.iter().filter(|entry| entry.rank > Rank::Told);
            told.filter(|entry| wanted.contains(&entry.change))
                .min_by_key(|entry| (entry.first, entry.record))
        };
        let begun = firm(&[Change::Issued]);
        let (Some(begun), Some(ended)) = (begun, firm(&[Change::Revoked, Change::Expired])) else { return };
        if ended.first.0 - begun.first.0 < SHORT || !is_all(session, begun, ended) {
            return;
        }
        let systems: Vec<&str> = session
            .holders
            .iter()
            .filter(|held| held.rank > Rank::Told)
            .map(|held| held.system.as_str())
            .collect();
        let complete = |system: &&str| self.directory.is_complete_for(system, Coverage::Actions);
        let Some(system) = systems.first().filter(|_| systems.iter().all(complete)) else { return };
        let reason = format!(
            "it lasted from {} to {}, and `{system}`, whose log is called complete, has nothing that was done in it",
            moment(begun.first),
            moment(ended.first)
        );
        let shown = (ended.first, ended.record);
        let account = holder(session).map(|holder| self.who(holder).head);
        self.find(IdentityFinding {
            account,
            subject: Some(Subject::Credential(session.key)),
            ..IdentityFinding::new(&SESSION_START_END_ONLY, Severity::Low, reason, shown)
        });
    }
}

/// Whether nothing was done with it but to begin and to end it.
fn is_all(session: &CredentialFacts, begun: &ChangeFacts, ended: &ChangeFacts) -> bool {
    let edges = [begun.record, ended.record];
    let mut used = session.first_used.iter().chain(&session.last_used);
    session.uses <= 2 && used.all(|(_, record)| edges.contains(record))
}
