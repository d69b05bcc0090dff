//! What the links amount to: attribution, authority, scope, and one word for all three.
//!
//! The rules are those of `docs/explain.md`. They read sealed skeletons only (D14) and event time only (D6).

use std::collections::BTreeMap;

use deed_identity::Coverage;
use deed_record::{Account, Basis, Change, Kind, Party, PrincipalType, Ruling, Skeleton, Status};

use crate::{
    approvals::{Answered, Worth},
    authority::Rights,
    case::{Case, Rec},
    credential::Lineage,
    decided::{Decided, asked_by},
    explanation::{Part, Verdict},
    outcome::Ended,
    rules::{ACTION_WITHOUT_GRANT, GRANT_WITHOUT_APPROVAL, Rule},
    scope::{Reach, matches},
    warrant::Warrant,
    who::People,
    withdrawn,
    words::{Attribution, Authority, Edge, beside, moment},
};

/// Everything that a verdict is made from.
pub(crate) struct Links<'c> {
    pub(crate) case: &'c Case<'c>,
    pub(crate) lineage: Lineage<'c>,
    pub(crate) people: People<'c>,
    pub(crate) rights: Rights<'c>,
    pub(crate) ended: Ended<'c>,
    pub(crate) decided: Decided<'c>,
    /// The decision that gives the right by itself, or what it lacks for that.
    pub(crate) warrant: Result<Warrant, Vec<String>>,
    pub(crate) reach: Reach,
}

impl<'c> Links<'c> {
    /// Joins the records of `case` by the links that they carry.
    pub(crate) fn of(case: &'c Case<'c>) -> Self {
        let lineage = Lineage::of(case);
        let people = People::of(case, &lineage);
        let ended = Ended::of(case);
        let rights = Rights::of(case, &lineage, &people, &ended);
        let decided = Decided::of(case);
        let warrant = Warrant::of(case, &decided, &lineage, &people, &rights);
        let within = warrant.as_ref().ok().map(|warrant| &*warrant.within);
        let reach = Reach::of(case, &lineage, rights.grant.as_ref(), within);
        Links { case, lineage, people, rights, ended, decided, warrant, reach }
    }

    /// The verdict on the action.
    pub(crate) fn verdict(&self) -> Verdict {
        let attribution = self.attribution();
        let authority = self.authority();
        let scope = self.reach.part.clone();
        let (class, class_reason) = self.class(attribution.value, authority.value, scope.value);
        Verdict { attribution, authority, scope, class, class_reason: class_reason.to_owned() }
    }

    /// Whether the action took effect; `None` where that is not known.
    pub(crate) fn took_effect(&self) -> Option<bool> {
        match self.ended.status() {
            Status::Success | Status::RolledBack => Some(true),
            Status::Denied | Status::Failure | Status::Cancelled => Some(false),
            // Where somebody else enforces, a denial alone does not tell.
            Status::Unknown
                if self.decided.enforced().is_some_and(|decision| decision.effect == Ruling::Deny) =>
            {
                Some(false)
            }
            Status::TimedOut | Status::Unknown => None,
        }
    }

    fn attribution(&self) -> Part<Attribution> {
        let mut reasons = Vec::new();
        let typed = |party: &Party<'_>| self.case.kind(party) != PrincipalType::Unknown;
        let places = [("initiator", &self.people.initiator), ("executor", &self.people.executor)];
        for (place, somebody) in places {
            let untyped = somebody.party.is_some_and(|party| !typed(party));
            reasons.push(match somebody.edge {
                Edge::Missing => format!("{place} missing"),
                edge if untyped => {
                    format!("{place} {edge}, person or machine not known: the inventory can say")
                }
                edge => format!("{place} {edge}"),
            });
            reasons.extend(somebody.notes.iter().cloned());
        }
        if self.case.head().is.impersonated().is_some() {
            reasons.push("whoever acted gave another's name, which tells nothing of who asked".to_owned());
        }
        let gaps = self.people.chain.iter().filter(|hop| hop.edge == Edge::Missing).count();
        if gaps > 0 {
            reasons.push(format!("{gaps} of {} hops between them name nobody", self.people.chain.len()));
        }
        let disagreeing = self.disagreeing();
        reasons.extend(
            disagreeing
                .iter()
                .map(|id| format!("record {id} tells of the same event and names somebody else")),
        );
        let disputed = !disagreeing.is_empty() || places.iter().any(|(_, who)| !who.disputed.is_empty());
        let known = |edge: Edge| edge != Edge::Missing;
        let typed = places.iter().all(|(_, who)| who.party.is_none_or(typed));
        let value = match (known(self.people.initiator.edge), known(self.people.executor.edge)) {
            (false, false) => Attribution::None,
            (true, true) if typed && gaps == 0 && !disputed => Attribution::Complete,
            _ => Attribution::Partial,
        };
        Part { value, reasons }
    }

    /// Records of the same event, with other original bytes, that name other people.
    fn disagreeing(&self) -> Vec<deed_record::RecordId> {
        let head = &self.case.head().is;
        let account = |party: &Option<Party<'_>>| party.as_ref().and_then(|party| party.account);
        let same_event = self.case.records.iter().map(|rec| &rec.is).filter(|rec| {
            rec.id != head.id
                && (rec.conflicts_with.is_some_and(|id| self.case.family.contains(&id))
                    || head.conflicts_with == Some(rec.id))
        });
        same_event
            .filter(|rec| {
                account(&rec.executor) != account(&head.executor)
                    || account(&rec.initiator) != account(&head.initiator)
            })
            .map(|rec| rec.id)
            .collect()
    }

    fn authority(&self) -> Part<Authority> {
        let (revoked, expired) = (self.revoked(), self.expired());
        let suspended = self.suspended().map(was_suspended);
        if suspended.is_some() || !revoked.is_empty() {
            let reasons = suspended.into_iter().chain(revoked).chain(expired).collect();
            return Part { value: Authority::Revoked, reasons };
        }
        if !expired.is_empty() {
            return Part { value: Authority::Expired, reasons: expired };
        }
        if let Some(why) = self.bypassed() {
            return Part { value: Authority::Bypassed, reasons: vec![why] };
        }
        let (mut lacking, approved) = self.lacking();
        // What stands against an approval that would otherwise be one.
        lacking.extend(self.against());
        if lacking.is_empty() {
            Part { value: Authority::Approved, reasons: vec![approved] }
        } else if let Some(why) = self.request_refused().or_else(|| self.unapproved().map(|(_, why)| why)) {
            Part { value: Authority::Unapproved, reasons: vec![why] }
        } else {
            Part { value: Authority::Unverified, reasons: lacking }
        }
    }

    /// Why it went past the gateway; `None` where an intent fits, and where that is not known.
    pub(crate) fn bypassed(&self) -> Option<String> {
        let (case, head) = (self.case, &self.case.head().is);
        let acting = case.declared(head.executor.as_ref()?).filter(|acting| acting.governed)?;
        let observed = head.kind == Kind::Observation && head.basis == Basis::Imported;
        let unseen = case.beside.intents.is_empty() && !case.beside.cut && !case.beside.possible.is_any();
        (observed && unseen)
            .then(|| format!("`{}` is to act through Deed alone, and no intent here fits", acting.key))
    }

    /// Why it is not known whether it went past the gateway; `None` where that is known, or does not matter.
    fn may_have_bypassed(&self) -> Option<String> {
        let (case, possible) = (self.case, self.case.beside.possible);
        let acting = case.declared(case.head().is.executor.as_ref()?).filter(|_| possible.is_any())?;
        let call = possible.call.and_then(|id| case.get(id));
        let what = call.map_or_else(
            || "they made more calls about that time than are looked at".to_owned(),
            |call| {
                let tool = call.is.acted_upon();
                let tool = tool.map_or_else(String::new, |tool| format!(" of `{tool}`"));
                let at = beside(call.is.time, case.time());
                format!("it may be of a call{tool} made {at} (record {}), which neither a trace nor a credential tells", call.is.id)
            },
        );
        Some(format!("`{}` is to act through Deed alone: {what}", acting.key))
    }

    /// The rule that says which part of a right was never given, and how that is known: somebody's log is complete
    /// for it, and silent. `None` where nothing proves it.
    pub(crate) fn unapproved(&self) -> Option<(Rule, String)> {
        let (case, head) = (self.case, &self.case.head().is);
        let open = !case.cut.is_empty() || self.refused().is_some();
        let absent = |is_one: fn(&str) -> bool| self.rights.absent.iter().any(|(what, _)| is_one(what));
        // What came through Deed was decided there.
        let bypassed = self.bypassed().is_some() || case.beside.possible.is_any();
        if open || self.warrant.is_ok() || head.basis != Basis::Imported || bypassed {
            return None;
        }
        let Some(grant) = self.rights.grant.as_ref().filter(|grant| grant.firm && grant.belongs) else {
            let system = head.source.as_ref().map(|source| &*source.system)?;
            let complete = case.complete(Coverage::Grants).iter().any(|complete| complete == system);
            // What whoever acted held is known where it is known who that was, and all of it was read.
            let known = head.executor.as_ref().is_some_and(|party| party.account.is_some());
            // A request gives no right, be it known or not; what is given on one that is nowhere is looked for all the same.
            let unread = absent(|what| what != "request");
            let unread = unread || case.beside.rights_cut || case.beside.rights_open;
            let complete = complete && known && !unread && self.rights.held == 0;
            let complete = complete && !is_let_by_name(head) && !is_free(head);
            let why = format!("no right to it is known, and `{system}` logs every one that is given there");
            return complete.then_some((ACTION_WITHOUT_GRANT, why));
        };
        let asked =
            self.rights.request.as_ref().filter(|asked| grant.claim.rec.is.request == Some(asked.id))?;
        let silent = case.complete(Coverage::Approvals).iter().find(|system| asked.is_of(case, system))?;
        if grant.is_token()
            || !grant.named
            || absent(|_| true)
            || self.rights.answers.iter().any(|answer| may_count(answer.worth))
        {
            return None;
        }
        let why = format!(
            "the grant has no approval that counts, and `{silent}` logs every answer that is given there"
        );
        Some((GRANT_WITHOUT_APPROVAL, why))
    }

    /// Whether all it does is to end what it was done with: a session that is signed out of, or that ends by itself.
    fn ends_what_it_shows(&self) -> bool {
        let head = &self.case.head().is;
        let used: Vec<&str> = head.credential.iter().flat_map(|used| used.names()).collect();
        let mut effects = head.effects.iter().flatten().peekable();
        effects.peek().is_some()
            && effects.all(|effect| {
                let change = effect.terms.as_ref().and_then(|terms| terms.change);
                let mut names = effect.credential.iter().flat_map(|ended| ended.names());
                effect.kind == Kind::Credential
                    && matches!(change, Some(Change::Revoked | Change::Expired))
                    && names.any(|name| used.contains(&name))
            })
    }

    /// What had been taken away before the action.
    pub(crate) fn revoked(&self) -> Vec<String> {
        if self.ends_what_it_shows() {
            return Vec::new();
        }
        let grant = self.rights.grant.as_ref().filter(|grant| !grant.is_token());
        let grant = grant.map(|grant| ("grant", &grant.standing));
        let credential = self.lineage.own().map(|level| ("credential", &level.standing));
        // A token ends with any that it was made from: its issuer revokes them all at once.
        let above = self.lineage.levels.iter().skip(1).filter(|_| self.lineage.is_of_ours());
        let above = above.map(|level| ("credential that this one was derived from", &level.standing));
        let ends = credential
            .into_iter()
            .chain(grant)
            .chain(above)
            .filter_map(|(what, standing)| Some((what, standing.revoked?)));
        let ends = ends.map(|(what, claim)| {
            format!(
                "the {what} was {} at {}, before the action ({})",
                claim.taken_away(),
                moment(claim.time()),
                claim.rec.said_by()
            )
        });
        ends.chain(withdrawn::of(self).map(|taken| taken.words(self.case.time()))).collect()
    }

    /// The suspension of whoever acted that was in force: by any of their names, the first of them. What Deed refused was
    /// stopped by it.
    pub(crate) fn suspended(&self) -> Option<&'c Rec<'c>> {
        let case = self.case;
        let acting = case.head().is.executor.as_ref()?.account?;
        if case.head().is.basis == Basis::Enforced && self.took_effect() == Some(false) || self.was_stopped()
        {
            return None;
        }
        let mut newest: BTreeMap<Account, (&'c Rec<'c>, bool)> = BTreeMap::new();
        for rec in case.records.iter().filter(|rec| rec.is.time < case.time()) {
            if let Some((account, stops)) =
                rec.is.stops().filter(|(account, _)| case.is_same(*account, acting))
            {
                newest.insert(account, (rec, stops));
            }
        }
        let in_force = newest.into_values().filter(|(_, stops)| *stops).map(|(rec, _)| rec);
        in_force.min_by_key(|rec| (rec.is.time, rec.is.id))
    }

    /// Whether Deed refused it, itself or to an application that asked, and nobody says that it was done all the same.
    pub(crate) fn was_stopped(&self) -> bool {
        let head = self.case.head();
        let ours = head.is.basis == Basis::Enforced || asked_by(head).is_some();
        ours && self.refused().is_some() && self.took_effect() != Some(true)
    }

    /// What had ended by itself before the action.
    pub(crate) fn expired(&self) -> Vec<String> {
        if self.ends_what_it_shows() {
            return Vec::new();
        }
        let time = self.case.time();
        let mut reasons = Vec::new();
        if self.lineage.is_over(time) {
            let standing = self.lineage.own().and_then(|level| level.standing.ended);
            let end = standing.map(|claim| claim.time()).or(self.lineage.expires()).unwrap_or(time);
            reasons.push(format!("the credential had ended at {}, before the action", moment(end)));
        }
        if let Some(grant) = &self.rights.grant
            && !grant.is_token()
            && grant.standing.is_over(time)
        {
            let end =
                grant.standing.ended.map(|claim| claim.time()).or(grant.standing.expires).unwrap_or(time);
            reasons.push(format!("the grant had ended at {}, before the action", moment(end)));
        }
        reasons
    }

    /// What is lacking for `approved`, and why it is approved where nothing is.
    fn lacking(&self) -> (Vec<String>, String) {
        let (lacking, approved) = self.lacking_by_grant();
        match &self.warrant {
            Ok(warrant) => (Vec::new(), warrant.reason.clone()),
            Err(_) if lacking.is_empty() => (lacking, approved.to_owned()),
            Err(reasons) if reasons.is_empty() => (lacking, String::new()),
            Err(reasons) => (reasons.clone(), String::new()),
        }
    }

    /// The same by grant and approval alone.
    fn lacking_by_grant(&self) -> (Vec<String>, &'static str) {
        let counting = || self.rights.answers.iter().filter(|answer| answer.worth == Worth::Counts);
        let mut lacking = Vec::new();
        match &self.rights.grant {
            None => lacking.push("no grant is known".to_owned()),
            Some(grant) => {
                let (time, rec) = (self.case.time(), grant.claim.rec);
                let begins = grant.claim.terms.and_then(|terms| terms.not_before).unwrap_or(rec.is.time);
                if begins > time || rec.is.time > time {
                    lacking.push(format!(
                        "the grant began only after the action, at {}",
                        moment(begins.max(rec.is.time))
                    ));
                }
                if !grant.belongs {
                    lacking.push(
                        "the grant is not known to be for anybody who asked, acted or stood between"
                            .to_owned(),
                    );
                }
                if !grant.firm {
                    lacking
                        .push(format!("the grant is only {}; no other system says the same", rec.said_by()));
                }
            }
        }
        let answer = counting().find(|answer| answer.firm);
        if answer.is_none() {
            lacking.push(match counting().next() {
                Some(answer) => format!(
                    "the approval is only {}; no other system says the same",
                    answer.claim.rec.said_by()
                ),
                None => self.no_approval(),
            });
        }
        let approved =
            "the grant was in force, approved before the action by somebody who neither asked nor acted";
        (lacking, approved)
    }

    /// Why it was not to be let through, where that was decided and nobody's approval lifted it.
    pub(crate) fn refused(&self) -> Option<String> {
        self.decided.refusal().filter(|_| self.warrant.is_err()).or_else(|| self.request_refused())
    }

    /// That the request which another system's action names had been refused, where nobody is known to have approved it.
    fn request_refused(&self) -> Option<String> {
        let (case, time) = (self.case, self.case.time());
        let asked = self.rights.request.as_ref().filter(|asked| asked.named)?;
        let answers = || self.rights.answers.iter().filter(|answer| answer.named);
        let imported = case.head().is.basis == Basis::Imported;
        if !imported || !case.cut.is_empty() || answers().any(|answer| may_count(answer.worth)) {
            return None;
        }
        let of_it = |answer: &&Answered<'_>| {
            let rec = &answer.claim.rec.is;
            rec.request == Some(asked.id) && answer.claim.time() <= time && answer.firm
        };
        let refusals = answers().filter(|answer| answer.worth == Worth::Refused).filter(of_it);
        // What is refused in part may have been let in another: a deployment to one of several environments.
        let wanted = asked.claim.terms.map_or(&[][..], |terms| &terms.scopes);
        let whole = |answer: &&Answered<'_>| {
            let refused = answer.claim.terms.map_or(&[][..], |terms| &terms.scopes);
            refused.is_empty() || !wanted.is_empty() && wanted.iter().all(|scope| refused.contains(scope))
        };
        let refusal =
            refusals.filter(whole).max_by_key(|answer| (answer.claim.time(), answer.claim.rec.is.id))?;
        let rec = refusal.claim.rec;
        Some(format!(
            "the request that it names was refused at {} (record {}, {})",
            moment(rec.is.time),
            rec.is.id,
            rec.said_by()
        ))
    }

    fn no_approval(&self) -> String {
        let given: Vec<&str> = self.rights.answers.iter().filter_map(|answer| answer.worth.why()).collect();
        match given.first() {
            None => "no approval is known".to_owned(),
            Some(why) if given.len() == 1 => format!("the only approval does not count: {why}"),
            Some(_) => format!("none of {} approvals counts", given.len()),
        }
    }

    /// What stands against calling it approved, whatever speaks for it.
    fn against(&self) -> Vec<String> {
        let mut against = Vec::new();
        let time = self.case.time();
        let refusals = self.rights.answers.iter().filter(|answer| answer.worth == Worth::Refused);
        for refusal in refusals.filter(|answer| answer.claim.time() <= time) {
            let later = self.rights.answers.iter().any(|answer| {
                answer.worth == Worth::Counts
                    && answer.by.is_some()
                    && answer.by.map(|by| by.account) == refusal.by.map(|by| by.account)
                    && answer.claim.time() > refusal.claim.time()
            });
            if !later {
                against.push(format!("record {} refuses it", refusal.claim.rec.is.id));
            }
        }
        against.extend(self.may_have_bypassed());
        for level in self.lineage.parents().filter(|_| !self.lineage.is_of_ours()) {
            if let Some(revoked) = level.standing.revoked.filter(|claim| !claim.is_of_it_alone()) {
                against.push(format!(
                    "a credential that this one was derived from was revoked at {}",
                    moment(revoked.time())
                ));
            }
        }
        if let Some(asked) = &self.rights.request
            && let Some(grant) = &self.rights.grant
            && grant.claim.rec.is.request.is_some_and(|id| id != asked.id)
        {
            against.push("the grant answers another request than the one the action names".to_owned());
        }
        against.extend(self.beyond_request());
        if let Some((_, id)) = self.rights.absent.iter().find(|(what, _)| *what == "grant") {
            against.push(format!("grant {id} is named and is not in this log"));
        }
        for what in &self.case.cut {
            against.push(format!(
                "too many {what}: not all were read, something against it may be among the rest"
            ));
        }
        against
    }

    /// Where the grant gives more than the approved request asks for, and that was used.
    fn beyond_request(&self) -> Vec<String> {
        let (Some(asked), Some(grant)) = (&self.rights.request, &self.rights.grant) else {
            return Vec::new();
        };
        let (Some(asked), Some(given)) = (asked.claim.terms, grant.claim.terms) else {
            return Vec::new();
        };
        let mut beyond = Vec::new();
        let used = self.case.of_action().find_map(|rec| rec.is.permission.as_ref());
        if let Some(used) = used
            && !asked.scopes.is_empty()
            && !asked.scopes.iter().any(|scope| matches(scope, used))
        {
            beyond.push(format!("`{used}` is not among what the request asks for"));
        }
        if asked.role.is_some() && given.role.is_some() && asked.role != given.role {
            beyond.push("the grant is of another role than the request asks for".to_owned());
        }
        beyond
    }
}

/// Whether an answer counts, or may: who gave it, or when, may be all that is not known of it.
const fn may_count(worth: Worth) -> bool {
    matches!(worth, Worth::Counts | Worth::Anonymous | Worth::ByMachine | Worth::UnderWay)
}

/// Calls that need no right, by their permission, or else their operation: who somebody is, and that they sign in.
const FREE: &[&str] = &["sts:GetCallerIdentity", "sts:GetSessionToken"];
/// The service of a cloud's own sign-in, where whoever comes is let try.
const SIGN_IN: &str = "signin:";

/// Whether it needs no right.
fn is_free(rec: &Skeleton<'_>) -> bool {
    let used = rec.permission.as_deref().or(rec.operation.as_deref());
    used.is_some_and(|used| FREE.contains(&used) || used.starts_with(SIGN_IN))
}

/// Whether the log itself names by what right it was let: a role that was bound, a policy of a token.
fn is_let_by_name(rec: &Skeleton<'_>) -> bool {
    rec.decision.as_ref().is_some_and(|made| made.effect == Ruling::Allow && !made.policies.is_empty())
}

/// Since when whoever acted was suspended, in words.
pub(crate) fn was_suspended(suspension: &Rec<'_>) -> String {
    format!("whoever acted was suspended at {}, before the action (Deed)", moment(suspension.is.time))
}
