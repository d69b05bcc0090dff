//! By what right, on the screen of one action.

use deed_record::{Kind, RecordId, Ruling};

use super::{
    explain::Sheet,
    phrases::{asked_for, spoken, who},
};
use crate::{
    explanation::{Approval, Grant, Parent, Relation},
    words::Edge,
};

/// Most approvals that are written out.
const MOST_APPROVALS: usize = 5;

impl Sheet<'_> {
    pub(super) fn rights(&mut self) {
        let answer = self.answer;
        match &answer.credential {
            Some(with) => {
                let value = [&with.id, &with.jti, &with.fingerprint].into_iter().flatten().next();
                let kind = spoken(with.kind.as_deref().unwrap_or("credential"));
                let mut note = with.how.clone();
                // What Deed issued is the right itself, and stands below with all that it came from.
                let is_grant = answer.grant.as_ref().is_some_and(|grant| grant.kind == Kind::Credential);
                if !with.scopes.is_empty() && !is_grant {
                    note.push_str(&format!("; scopes {}", with.scopes.join(", ")));
                }
                if !with.parents.is_empty() && !is_grant {
                    note.push_str(&format!("; derived from {}", with.parents.join(", from ")));
                }
                if let Some(upstream) = &with.upstream {
                    note.push_str(&format!("; the system behind was shown {upstream}"));
                }
                self.page.link("with", value.map_or("-", |name| name), &kind, with.edge, &note);
                self.records(&with.records);
            }
            None => self.missing("with", "credential"),
        }
        match &answer.request {
            Some(request) => {
                let by = request.by.as_ref().or(request.subject.as_ref()).map_or("-".to_owned(), who);
                self.page.link(
                    "request",
                    &by,
                    &asked_for(request.role.as_deref(), &request.scopes),
                    request.edge,
                    &request.how,
                );
                self.records(&request.records);
            }
            None if self.answer.missing.iter().any(|missing| missing.link == "request") => {
                self.missing("request", "request");
            }
            None => {
                self.page.link("request", "-", "-", Edge::Asserted, "the action is by which it was asked for")
            }
        }
        for approval in answer.approvals.iter().take(MOST_APPROVALS) {
            self.approval(approval);
        }
        if let Some(more) = answer.approvals.len().checked_sub(MOST_APPROVALS).filter(|more| *more > 0) {
            self.page.behind(&format!("and {more} more; --json has them all"));
        }
        // Also where some are there and one that is named is not.
        if answer.missing.iter().any(|missing| missing.link == "approvals") {
            self.missing("approval", "approvals");
        } else if let Some(decision) = answer.decision.as_ref().filter(|_| answer.approvals.is_empty()) {
            let why = match decision.effect {
                Ruling::Deny => "denied, and nobody was asked",
                _ => "policy asked for none",
            };
            self.page.link("approval", "-", "not needed", decision.edge, why);
        }
        match &answer.grant {
            Some(grant) => self.grant(grant),
            None => self.missing("grant", "grant"),
        }
    }

    fn grant(&mut self, grant: &Grant) {
        let scopes = match &grant.scopes[..] {
            [] => None,
            [only] => Some(only.clone()),
            many if grant.relation.is_some() => Some(format!("{} scopes", many.len())),
            [first, ..] => Some(first.clone()),
        };
        let value = grant.role.clone().or(scopes);
        let value = value.or_else(|| grant.subject.as_ref().map(who)).unwrap_or_else(|| "-".to_owned());
        let kind = match (grant.revoked, grant.relation, grant.expires) {
            (Some(_), ..) => "revoked",
            (_, Some(Relation::HandOff), _) => "handed on",
            (_, Some(Relation::Renewal), _) => "renewed",
            (_, Some(Relation::First), _) => "token",
            (_, _, Some(_)) => "time-bound",
            (_, _, None) => "standing",
        };
        let mut note = grant.how.clone();
        if grant.relation.is_some() {
            if let Some(at) = &grant.resource {
                note = format!("at {}; {note}", at.uri);
            }
            if grant.scopes.len() > 1 {
                note = format!("{}; {note}", grant.scopes.join(", "));
            }
        }
        self.page.link("grant", &value, kind, grant.edge, &note);
        self.records(&grant.records);
        for parent in &grant.parents {
            self.parent(parent);
        }
    }

    /// What a token was derived from.
    fn parent(&mut self, parent: &Parent) {
        let whose = parent.subject.as_ref().map_or("-".to_owned(), who);
        let kind = match (parent.revoked, parent.record) {
            (Some(_), _) => "revoked",
            (None, Some(_)) => "token",
            (None, None) => "sign-in",
        };
        let mut note = parent.how.clone();
        if !parent.scopes.is_empty() {
            note.push_str(&format!("; {}", parent.scopes.join(", ")));
        }
        self.page.link("from", &whose, kind, parent.edge, &note);
        if self.style.verbose {
            self.page.behind(&format!("credential {}", parent.credential));
        }
        self.records(&parent.record.into_iter().collect::<Vec<_>>());
    }

    /// Whether record `id` is among what the grant was derived from.
    pub(super) fn is_parent(&self, id: RecordId) -> bool {
        let parents = self.answer.grant.iter().flat_map(|grant| &grant.parents);
        parents.into_iter().any(|parent| parent.record == Some(id))
    }

    fn approval(&mut self, approval: &Approval) {
        let by = approval.by.as_ref().map_or("-".to_owned(), who);
        let said = approval.answer.map_or("no answer", |answer| answer.as_str());
        self.page.link("approval", &by, said, approval.edge, &approval.how);
        self.records(&approval.records);
    }
}
