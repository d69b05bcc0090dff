//! What lasts longer than it should: privileges, keys and tokens.

use deed_identity::{CredentialFacts, GrantFacts, Role, Standing};
use deed_record::{Account, Change, PrincipalType};

use super::{DAY, HOUR, IdentityFinding, Look, Subject, count, days, is_open, last_firm};
use crate::{Rule, words::Severity};

pub(super) const STANDING_PRIVILEGE: Rule = Rule {
    name: "standing-privilege",
    means: "a privilege was given without an end, and stands for long",
    remedy: "give it for as long as it takes, on request; take back what is not used",
    controls: &["NHI5:2025", "PR.AA-05", "AC-2", "AC-6(7)"],
};
pub(super) const LONG_LIVED_STATIC_KEY: Rule = Rule {
    name: "long-lived-static-key",
    means: "a static key was in use long after it was made, and was not rotated",
    remedy: "rotate it; better, use short-lived credentials that a workload gets by its own identity",
    controls: &["NHI7:2025", "PR.AA-01", "IA-5(1)"],
};
pub(super) const PERSISTENT_TOKEN: Rule = Rule {
    name: "persistent-token",
    means: "a token lives longer than tokens should",
    remedy: "issue short-lived tokens, and renew them; revoke this one when its work is done",
    controls: &["NHI7:2025", "PR.AA-01", "IA-5", "AC-12"],
};

/// Words in a role or scope that make it a privilege.
const PRIVILEGED: &[&str] = &[
    "admin",
    "cluster-admin",
    "fullaccess",
    "full_access",
    "owner",
    "poweruser",
    "root",
    "superuser",
    "system:masters",
];

/// Whoever is in this group of the inventory may hold a privilege for emergencies.
const BREAK_GLASS: &str = "break-glass";

impl Look<'_> {
    pub(super) fn standing(&mut self, grant: &GrantFacts) {
        let Some(privilege) = privilege(grant) else { return };
        if Standing::at(self.now, &grant.changes, grant.expires) != Standing::Active
            || grant.expires.is_some()
        {
            return;
        }
        // That it has no end is known where a log, or Deed, tells that it was given.
        let Some(since) = last_firm(&grant.changes, &[Change::Issued]) else { return };
        let Some((_, record)) = grant.given() else { return };
        let (stands, Some(subject)) = (self.now.0 - since.0, grant.subject) else { return };
        if stands < i64::from(self.thresholds.standing_days) * DAY {
            return;
        }
        let who = self.who(subject);
        let declared = self.declared(who);
        let emergency = declared.is_some_and(|known| known.groups.iter().any(|group| group == BREAK_GLASS));
        if who.kind == PrincipalType::Human && emergency {
            return;
        }
        let used = match grant.last_used {
            Some((used, _)) => format!("an action named it last {} ago", days(self.now.0 - used.0)),
            // Most logs of actions name no grant: that none does tells nothing of use.
            None => "whether it was used is not known, for no action names this grant".to_owned(),
        };
        let reason = format!("`{privilege}` stands for {} and has no end; {used}", days(stands));
        let severity = if who.kind == PrincipalType::Human { Severity::Medium } else { Severity::High };
        self.find(IdentityFinding {
            account: Some(who.head),
            subject: Some(Subject::Grant(grant.key)),
            resource: grant.resource.clone(),
            ..IdentityFinding::new(&STANDING_PRIVILEGE, severity, reason, (since, record))
        });
    }

    pub(super) fn static_key(&mut self, key: &CredentialFacts) {
        let (Some(used), Some(true)) = (key.last_used, key.is_static()) else { return };
        if !is_open(&key.changes, key.expires, self.now) {
            return;
        }
        let Some(made) = made(key) else { return };
        // Asked of an earlier moment, later uses tell only that it lasted until then.
        let began = key.first_used.is_some_and(|(first, _)| first <= self.now);
        let age = used.0.min(self.now).0 - made.0;
        if !began || age < i64::from(self.thresholds.static_key_days) * DAY {
            return;
        }
        let reason =
            format!("it was used {} after it was made, and nothing tells that it was rotated", days(age));
        let account = holder(key).map(|holder| self.who(holder).head);
        self.find(IdentityFinding {
            account,
            subject: Some(Subject::Credential(key.key)),
            occurrence: made.to_string(),
            ..IdentityFinding::new(&LONG_LIVED_STATIC_KEY, Severity::Medium, reason, used)
        });
    }

    pub(super) fn token(&mut self, token: &CredentialFacts) {
        if token.is_static() != Some(false) || !token.kind.as_deref().is_some_and(is_token) {
            return;
        }
        let Some(made) = made(token) else { return };
        let most = i64::from(self.thresholds.token_hours) * HOUR;
        let used = token.last_used.filter(|used| used.0.0 - made.0 > most);
        let valid = token.expires.map(|expires| expires.0 - made.0).filter(|valid| *valid > most);
        let (reason, shown) = match (used, valid) {
            (Some(used), _) => {
                (format!("it was used {} after it was made", hours(used.0.0 - made.0)), Some(used))
            }
            (None, Some(valid)) if is_open(&token.changes, token.expires, self.now) => {
                (format!("it is valid for {}", hours(valid)), token.last_used)
            }
            _ => return,
        };
        let issued = token.changes.iter().filter(|entry| entry.change == Change::Issued);
        let Some(shown) = shown.or(issued.map(|entry| (entry.first, entry.record)).min()) else { return };
        let account = holder(token).map(|holder| self.who(holder).head);
        self.find(IdentityFinding {
            account,
            subject: Some(Subject::Credential(token.key)),
            occurrence: made.to_string(),
            ..IdentityFinding::new(&PERSISTENT_TOKEN, Severity::Medium, reason, shown)
        });
    }
}

/// The widest of what a grant gives that is a privilege: everything (`*`), or what has such a word in its name.
fn privilege(grant: &GrantFacts) -> Option<&str> {
    let names = grant.role.iter().chain(&grant.scopes).map(String::as_str);
    names.into_iter().find(|name| {
        let everything = name.split([':', '/', '.']).all(|part| part == "*");
        everything || PRIVILEGED.iter().any(|word| has_word(name, word))
    })
}

/// Whether `word` begins a word of `name`: `admin` in `AdministratorAccess`, `RdsAdmin` or `db-admin`, not in `readmine`.
fn has_word(name: &str, word: &str) -> bool {
    name.to_ascii_lowercase().match_indices(word).any(|(at, _)| {
        let (before, from) = name.split_at(at);
        from.starts_with(|first: char| first.is_ascii_uppercase())
            || !before.ends_with(|last: char| last.is_ascii_alphabetic())
    })
}

/// When it was made, or made anew, as a log or Deed tells.
fn made(credential: &CredentialFacts) -> Option<deed_record::Timestamp> {
    let anew = [Change::Issued, Change::Renewed, Change::Rotated];
    last_firm(&credential.changes, &anew).into_iter().chain(credential.issued).max()
}

/// Whose it is: whom it was given to, else who used it.
pub(super) fn holder(credential: &CredentialFacts) -> Option<Account> {
    let of = |role| credential.holders.iter().find(move |holder| holder.role == role);
    of(Role::Given).or_else(|| of(Role::Used)).map(|holder| holder.account)
}

/// Whether a credential of that type is a token: shown as it is, by whoever has it.
fn is_token(kind: &str) -> bool {
    matches!(kind, "bearer" | "jwt" | "temporary_key" | "session") || kind.ends_with("_token")
}

fn hours(micros: i64) -> String {
    if micros >= 3 * DAY { days(micros) } else { count(micros / HOUR, "hour") }
}
