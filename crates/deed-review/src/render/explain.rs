//! One action, on one screen.

use deed_record::{Basis, RecordId, Ruling, Status};

use super::{
    Style, in_tenant,
    page::{Page, Paint},
    phrases::{called, ending, said_before, spoken, title, who},
    text::shell_word,
};
use crate::{
    Explanation,
    decided::short,
    explanation::{Later, Suppressed},
    words::{Attribution, Authority, Class, Edge, Scope, Severity, beside, moment},
};

/// Whether it was decided not to let it through, and so it ended.
fn was_refused(answer: &Explanation) -> bool {
    let last = answer
        .decision
        .as_ref()
        .map(|decision| decision.then.as_ref().map_or(decision.effect, |then| then.effect));
    answer.outcome.status == Status::Denied && last.is_some_and(|effect| effect != Ruling::Allow)
}

/// The answer about one action: what, the verdict, each link and how it is known, what is missing as
/// plainly as what is there, the proof, and what to ask next.
pub fn explain(answer: &Explanation, style: Style<'_>) -> String {
    let mut page = Page::new(style);
    let action = &answer.action;
    page.headline(&title(action), &format!("{}   {}", moment(action.time), ending(&answer.outcome)));
    let (word, paint) = match answer.verdict.class {
        Class::Authorised => ("AUTHORISED", Paint::Good),
        Class::ControlFailure => ("CONTROL FAILURE", Paint::Bad),
        Class::Abuse => ("ABUSE", Paint::Bad),
        Class::Unverified if was_refused(answer) => ("REFUSED", Paint::Doubtful),
        Class::Unverified => ("UNVERIFIED", Paint::Doubtful),
    };
    page.sentence(word, paint, &answer.verdict.class_reason);
    page.blank();
    Sheet { answer, page: &mut page, style }.write();
    page.finish()
}

pub(super) struct Sheet<'a> {
    pub(super) answer: &'a Explanation,
    pub(super) page: &'a mut Page,
    pub(super) style: Style<'a>,
}

impl Sheet<'_> {
    fn write(&mut self) {
        self.context();
        self.people();
        self.rights();
        self.released();
        self.decided();
        self.ended();
        self.counterparts();
        self.spooled();
        self.contradicted();
        self.page.blank();
        self.judged();
        self.findings();
        self.page.blank();
        self.proof();
        self.next();
    }

    /// What the headline leaves out.
    fn context(&mut self) {
        if !self.style.verbose {
            return;
        }
        let action = &self.answer.action;
        let mut text = format!("{}, {}, {} by {}", action.id, action.kind, action.basis, action.submitter);
        let source = action.source.as_ref().map(|source| source.system.as_str());
        let event = action.source.as_ref().and_then(|source| source.event_id.as_deref());
        let address = action.address.map(|address| address.to_string());
        let device = action.device.map(|device| device.to_string());
        let operation = action.operation.as_deref().filter(|_| action.tool.is_some());
        for (word, value) in [
            ("from", source),
            ("event", event),
            ("operation", operation),
            ("permission", action.permission.as_deref()),
            ("environment", action.environment.as_deref()),
            ("task", action.task.as_deref()),
            ("session", action.session.as_deref()),
            ("address", address.as_deref()),
            ("device", device.as_deref()),
        ] {
            if let Some(value) = value {
                text.push_str(&format!(", {word} {value}"));
            }
        }
        self.page.free("action", &text);
    }

    /// That the log has it later than it was done.
    fn spooled(&mut self) {
        let action = &self.answer.action;
        if let Some(spooled) = action.spooled {
            let late = (action.recorded.0 - action.time.0).max(0) / 1_000_000;
            let since = beside(spooled, action.time);
            let text = format!("{late} s after the act, from the spool, where it waited since {since}");
            self.page.free("recorded", &text);
        }
    }

    /// That there are other records of the very same event, whose original bytes are others.
    fn contradicted(&mut self) {
        let others = &self.answer.action.conflicts;
        let ids: Vec<String> = others.iter().map(ToString::to_string).collect();
        if !ids.is_empty() {
            let text = format!("the same event was recorded with other content; compare {}", ids.join(", "));
            self.page.free("conflicts", &text);
        }
    }

    fn people(&mut self) {
        let answer = self.answer;
        let asked = &answer.initiator;
        let value = called(asked.name.as_deref(), asked.key.as_deref());
        self.page.link("asked", &value, &spoken(asked.kind.as_str()), asked.edge, &asked.how);
        self.key_behind(asked.name.as_deref(), asked.key.as_deref(), asked.principal.as_deref());
        self.records(&asked.records);
        for hop in &answer.chain {
            let mut note = hop.how.clone();
            if let Some(credential) =
                hop.credential.as_ref().filter(|_| hop.delegation.is_none_or(|id| !self.is_parent(id)))
            {
                note.push_str(&format!("; with {credential}"));
            }
            if !hop.scope.is_empty() && hop.delegation.is_none_or(|id| !self.is_parent(id)) {
                note.push_str(&format!("; scopes {}", hop.scope.join(", ")));
            }
            self.page.link(
                "via",
                &who(&hop.principal),
                &spoken(hop.principal.kind.as_str()),
                hop.edge,
                &note,
            );
            self.key_behind(
                hop.principal.name.as_deref(),
                hop.principal.key.as_deref(),
                hop.principal.principal.as_deref(),
            );
            self.records(&hop.records);
        }
        let acted = &answer.executor;
        let mut note = acted.how.clone();
        for (word, text) in [
            ("instance", &acted.instance),
            ("of", &acted.vendor),
            ("owned by", &acted.owner),
            ("sponsor", &acted.sponsor),
        ] {
            if let Some(text) = text {
                note.push_str(&format!("; {word} {text}"));
            }
        }
        let value = called(acted.name.as_deref(), acted.key.as_deref());
        self.page.link("acted", &value, &spoken(acted.kind.as_str()), acted.edge, &note);
        self.key_behind(acted.name.as_deref(), acted.key.as_deref(), acted.principal.as_deref());
        self.records(&acted.records);
        if let Some(name) = &acted.impersonated {
            let how = "impersonated: whoever acted gave that name, which tells nothing of who asked";
            self.page.link("as", &who(name), &spoken(name.kind.as_str()), Edge::Asserted, how);
        }
        for other in &acted.also {
            let kind = spoken(other.principal.kind.as_str());
            self.page.link("also as", &who(&other.principal), &kind, other.edge, &other.how);
            self.records(&other.records);
        }
    }

    fn released(&mut self) {
        let action = &self.answer.action;
        let Some(artifact) = &action.artifact else { return };
        // Enough to tell it from others; `--json` has all of it.
        let short = |digest: &str| digest.get(..15).unwrap_or(digest).to_owned();
        let mut note = artifact.digest.as_deref().map_or_else(String::new, short);
        if let Some(signer) = &artifact.signer {
            note.push_str(&format!("; by the key {}", short(signer)));
        }
        let (kind, is_ours) = match artifact.signer {
            Some(_) => ("signed", action.basis == Basis::Enforced),
            None => ("not signed", false),
        };
        let edge = if is_ours { Edge::Proven } else { Edge::Asserted };
        self.page.link("released", &artifact.name, kind, edge, &note);
    }

    fn decided(&mut self) {
        let Some(decision) = &self.answer.decision else {
            return self.missing("decided", "decision");
        };
        let at = self.answer.action.time;
        let (effect, policies, set) = match &decision.then {
            Some(then) => (then.effect, &then.policies, &then.policy_set),
            None => (decision.effect, &decision.policies, &decision.policy_set),
        };
        // What no policy decided, the gateway did.
        let by_gateway = decision.engine.is_none() && decision.edge == Edge::Proven && policies.is_empty();
        let by = match (policies.is_empty(), by_gateway) {
            (false, _) => policies.join(", "),
            (true, true) => "by the gateway".to_owned(),
            (true, false) => "no policy".to_owned(),
        };
        let mut note = decision.how.clone();
        if let Some(set) = set {
            note.push_str(&format!("; set {}", short(set)));
        }
        if let Some(then) = &decision.then {
            let asked = decision.policies.join(", ");
            note.push_str(&format!(", {}, after a human was asked ({asked})", beside(then.time, at)));
        }
        let errors = if by_gateway { "because" } else { "errors" };
        for (word, list) in [(errors, &decision.errors), ("must", &decision.obligations)] {
            if !list.is_empty() {
                note.push_str(&format!("; {word}: {}", list.join(", ")));
            }
        }
        self.page.link("decided", &spoken(effect.as_str()), &by, decision.edge, &note);
        self.records(&decision.records);
    }

    /// The headline says how it ended; this line only what it does not.
    fn ended(&mut self) {
        let outcome = &self.answer.outcome;
        if outcome.edge == Edge::Missing {
            return self.missing("ended", "outcome");
        }
        let undone = [("again", outcome.retry_of), ("undoes", outcome.compensates)];
        let undone = undone.into_iter().filter_map(|(word, id)| Some(format!("; {word} {}", id?)));
        let before = outcome.said.iter().filter(|said| said.status != outcome.status).count();
        let mut undone: String = undone.collect();
        undone.push_str(&self.later("undone", &outcome.undone_by));
        undone.push_str(&self.later("tried again", &outcome.retried_by));
        if before == 0 && undone.is_empty() && !self.style.verbose {
            return;
        }
        let mut note = format!("{}{undone}", outcome.how);
        if before > 0 {
            note.push_str(&format!("; said before: {}", said_before(outcome)));
        }
        self.page.link(
            "ended",
            &spoken(outcome.status.as_str()),
            outcome.code.as_deref().unwrap_or(""),
            outcome.edge,
            &note,
        );
        self.records(&outcome.said.iter().map(|said| said.id).collect::<Vec<_>>());
    }

    /// What other systems logged of the same call, and what it did behind; where several records fit, one line for all.
    fn counterparts(&mut self) {
        const PARTS: usize = 8;
        let mut ambiguous: Option<&str> = None;
        let (mut parts, mut more) = (0, self.answer.more_counterparts);
        for other in &self.answer.counterparts {
            parts += usize::from(other.part);
            if other.part && parts > PARTS && !self.style.verbose {
                more += 1;
                continue;
            }
            if other.edge == Edge::Missing && ambiguous.replace(&other.how) == Some(&other.how) {
                continue;
            }
            let status = other.status.map(|status| spoken(status.as_str())).unwrap_or_default();
            let label = match (other.part, other.joined) {
                (true, _) => "led to",
                (false, true) => "also told",
                (false, false) => "perhaps",
            };
            let when = beside(other.time, self.answer.action.time);
            let what: Vec<&str> =
                other.operation.iter().chain(&other.resource).map(|text| text.as_str()).collect();
            let what = what.join("  ");
            // Of a part it says what it was; of the whole that stands above.
            let note = match (other.part, what.is_empty()) {
                (true, false) => format!("{what}; {when}; {}", other.how),
                _ => format!("{when}; {}", other.how),
            };
            self.page.link(label, &other.system, &status, other.edge, &note);
            self.records(&[other.record]);
        }
        if more > 0 {
            let trace = self.answer.action.trace_id.map(|_| "; `deed trace` shows all").unwrap_or_default();
            self.page.free("", &format!("{more} more records of other systems{trace}"));
        }
    }

    /// What became of it later, in words.
    fn later(&self, word: &str, all: &[Later]) -> String {
        const SHOWN: usize = 3;
        let at = self.answer.action.time;
        let mut text = String::new();
        for later in all.iter().take(SHOWN) {
            let ended = match later.status {
                Status::Success | Status::RolledBack => String::new(),
                status => format!(", which ended: {}", spoken(status.as_str())),
            };
            let said = if later.edge == Edge::Proven { String::new() } else { format!(", {}", later.how) };
            text.push_str(&format!("; {word} {} by {}{ended}{said}", beside(later.time, at), later.action));
        }
        if all.len() > SHOWN {
            text.push_str(&format!("; {word} by {} more", all.len() - SHOWN));
        }
        text
    }

    fn judged(&mut self) {
        let verdict = &self.answer.verdict;
        let part = &verdict.attribution;
        let paint = match part.value {
            Attribution::Complete => Paint::Good,
            Attribution::Partial => Paint::Doubtful,
            Attribution::None => Paint::Bad,
        };
        // The rows above say it line by line; here it fits on one.
        self.page.judged("judged", "attribution", part.value.as_str(), paint, &[part.reasons.join("; ")]);
        let part = &verdict.authority;
        let paint = match part.value {
            Authority::Approved => Paint::Good,
            Authority::Unverified => Paint::Doubtful,
            _ => Paint::Bad,
        };
        self.page.judged("", "authority", part.value.as_str(), paint, &part.reasons);
        let part = &verdict.scope;
        let paint = match part.value {
            Scope::In => Paint::Good,
            Scope::Out => Paint::Bad,
            Scope::Unverified => Paint::Doubtful,
        };
        self.page.judged("", "scope", part.value.as_str(), paint, &part.reasons);
    }

    fn findings(&mut self) {
        for (at, finding) in self.answer.findings.iter().enumerate() {
            if at == 0 {
                self.page.blank();
            }
            let paint = if finding.severity == Severity::High { Paint::Bad } else { Paint::Doubtful };
            let verdict = &self.answer.verdict;
            let said = |reason: &str| verdict.authority.reasons.iter().any(|said| said == reason);
            let controls = format!("[{}]", finding.controls.join(", "));
            // The verdict above may have said it already.
            let text = if finding.reason.split("; ").all(said) {
                controls
            } else {
                format!("{} {controls}", finding.reason)
            };
            let text = match &finding.suppressed {
                Some(by) => format!("suppressed {}; {text}", suppressed(by)),
                None => text,
            };
            let label = if at == 0 { "findings" } else { "" };
            self.page.finding(label, &finding.rule, finding.severity.as_str(), paint, &text);
        }
    }

    fn proof(&mut self) {
        let (answer, evidence) = (self.answer, &self.answer.evidence);
        if !answer.disclosable.is_empty() {
            self.page.free(
                "payloads",
                &format!("{} (kept apart, sealed by digest)", answer.disclosable.join(", ")),
            );
        }
        let at = answer.action.time;
        let signed =
            evidence.checkpoint_time.map(|time| format!("signed {}, ", beside(time, at))).unwrap_or_default();
        let proof = if evidence.index < evidence.checkpoint_size {
            format!(
                "leaf {} of {}, {signed}self-consistent only (no witness, no key kept elsewhere)",
                evidence.index, evidence.checkpoint_size
            )
        } else {
            format!(
                "leaf {}, not yet in a signed checkpoint; the newest covers {} leaves",
                evidence.index, evidence.checkpoint_size
            )
        };
        self.page.free("proof", &proof);
        if self.style.verbose {
            self.page.behind(&format!("leaf hash {} in {}", evidence.leaf_hash, evidence.log));
        }
    }

    fn next(&mut self) {
        let (answer, style) = (self.answer, self.style);
        if style.program.is_empty() {
            return;
        }
        let mut next = Vec::new();
        if let Some(undone) = answer.outcome.undone_by.last() {
            next.push(style.suggest(&format!("explain {}", undone.action)));
        }
        if let Some(trace) = answer.action.trace_id {
            next.push(style.suggest(&format!("trace {trace}")));
        }
        let tenant = in_tenant(&answer.action.tenant);
        let names = answer.credential.iter().flat_map(|with| [&with.id, &with.jti, &with.fingerprint]);
        if let Some(name) = names.flatten().next().and_then(|name| shell_word(name)) {
            next.push(style.suggest(&format!("find{tenant} --credential {name}")));
        } else if let Some(key) = answer.executor.key.as_deref().and_then(shell_word) {
            next.push(style.suggest(&format!("find{tenant} --executor {key}")));
        }
        next.push(style.suggest("verify"));
        self.page.words("next", &next);
    }

    pub(super) fn missing(&mut self, label: &str, link: &str) {
        let missing = self.answer.missing.iter().find(|missing| missing.link == link);
        let reason = missing.map_or("no record tells", |missing| &missing.reason);
        self.page.link(label, "-", "-", Edge::Missing, reason);
    }

    /// The key, where the row shows only what people call it.
    fn key_behind(&mut self, name: Option<&str>, key: Option<&str>, principal: Option<&str>) {
        if let (true, Some(_), Some(key)) = (self.style.verbose, name, key) {
            let declared = principal.filter(|principal| *principal != key);
            let declared = declared.map(|principal| format!(", of {principal} by the inventory"));
            self.page.behind(&format!("key {key}{}", declared.unwrap_or_default()));
        }
    }

    pub(super) fn records(&mut self, ids: &[RecordId]) {
        if !self.style.verbose {
            return;
        }
        let evidence = &self.answer.evidence.records;
        for id in ids {
            let about = evidence.iter().find(|record| record.id == *id);
            let about =
                about.map_or_else(String::new, |record| format!(" ({}, leaf {})", record.kind, record.index));
            self.page.behind(&format!("{id}{about}"));
        }
    }
}

/// Until when, by whom, and which record says so.
fn suppressed(by: &Suppressed) -> String {
    let who = by.by.as_deref().unwrap_or("nobody known");
    format!("until {} by {who} ({})", moment(by.until), by.record)
}
