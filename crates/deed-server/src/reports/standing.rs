//! Privilege that does not end (G2): from what is kept of identities.

use std::collections::HashMap;

use deed_identity::{CredentialFacts, GrantFacts, Role, Standing as Stands, State};
use deed_ledger::{LedgerError, now};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::report::{Age, Ends, InUse, Standing, StandingPrivilege, StandingRight};

use super::{
    ReportQuery, covered, patience,
    people::{Called, People},
    recertification::{in_force, usage},
};
use crate::{
    app::App,
    evidence::LedgerEvidence,
    identity::{credential_names, shown_name},
    problem::Problem,
};

/// Rights that are listed of one identity.
const MOST_RIGHTS: usize = 50;

/// A right that does not end, before anybody is named.
struct Held {
    right: StandingRight,
    by: Option<Account>,
    grant: Option<Box<GrantFacts>>,
    credential: Option<Box<CredentialFacts>>,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<StandingPrivilege, Problem> {
    let patience = patience(app);
    app.ask(move |engine| {
        let followed = engine.followed(patience)?;
        let state = &followed.state;
        let people = People::of(engine, state, query.tenant.as_deref())?;
        let at = query.until.unwrap_or_else(now);
        let mut found = Found { until: query.until, ..Found::default() };
        found.grants(state, &people, at);
        found.credentials(state, &people, at);
        found.used(state, &people, &query);
        let Found { mut held, grants, credentials, uncounted, .. } = found;
        let mut ages = Age::none();
        for right in held.values().flatten().map(|held| &held.right) {
            let used = right.last_used.is_some_and(|last| query.meets(right.since.unwrap_or(last), last));
            Age::add(&mut ages, right.days, (!right.use_unknown).then_some(used));
        }
        let mut all = Vec::new();
        for who in people.each() {
            let mut rights: Vec<Held> =
                who.accounts().filter_map(|account| held.remove(&account)).flatten().collect();
            if rights.is_empty() {
                continue;
            }
            rights.sort_by_key(|held| (held.right.since.is_none(), held.right.since, held.right.record));
            all.push((who, rights));
        }
        let total = all.len() as u64;
        all.sort_by_key(|(who, rights)| (std::cmp::Reverse(rights.len()), who.accounts().next()));
        all.truncate(query.limit());
        let evidence = engine.evidence(query.tenant.as_deref());
        let mut called = Called::new(&people, state, &evidence);
        let mut identities = Vec::new();
        for (who, rights) in all {
            let rights_total = rights.len() as u64;
            let named = rights.into_iter().take(MOST_RIGHTS);
            let rights = named.map(|held| name(held, &who.tenant, &evidence, &mut called));
            let rights = rights.collect::<Result<_, _>>()?;
            identities.push(Standing { identity: called.identity(who)?, rights, rights_total });
        }
        Ok(StandingPrivilege {
            report: "standing".to_owned(),
            covered: covered(engine, &query, followed.leaves),
            identities,
            total,
            grants,
            credentials,
            ages,
            left_out: state.left_out().into_iter().chain(not_counted(uncounted)).collect(),
        })
    })
    .await
}

/// What is said of rights of which only the first use can be told.
fn not_counted(rights: u64) -> Option<String> {
    (rights > 0).then(|| {
        format!(
            "how often rights were used that were in use before and after the end of what is covered, {rights} in all: the \
             first use alone is told of them"
        )
    })
}

/// What is in force, and what of it does not end, by whose it is.
#[derive(Default)]
struct Found {
    /// The end of what is covered.
    until: Option<Timestamp>,
    /// Rights that were used before and after it.
    uncounted: u64,
    held: HashMap<Account, Vec<Held>>,
    grants: Ends,
    credentials: Ends,
}

impl Found {
    fn grants(&mut self, state: &State, people: &People, at: Timestamp) {
        for (subject, grants) in in_force(state, people, at) {
            for mut facts in grants {
                let cut =
                    uses_before(self.until, &mut facts.uses, &mut facts.first_used, &mut facts.last_used);
                if facts.expires.is_some() {
                    self.grants.time_bound += 1;
                    continue;
                }
                self.grants.standing += 1;
                self.uncounted += u64::from(cut);
                let words = facts.role.iter().chain(&facts.scopes).map(String::as_str);
                let mut what = words.collect::<Vec<_>>().join(" ");
                if let Some(resource) = &facts.resource {
                    what.push_str(&format!(" on {resource}"));
                }
                let since = facts.given().map(|(time, _)| time);
                let right = StandingRight {
                    kind: "grant".to_owned(),
                    what,
                    since,
                    record: facts.given().map(|(_, record)| record),
                    days: StandingRight::days(since, at),
                    uses: facts.uses,
                    last_used: None,
                    use_unknown: false,
                    by: None,
                };
                let held = Held { right, by: facts.by, grant: Some(Box::new(facts)), credential: None };
                self.held.entry(subject).or_default().push(held);
            }
        }
    }

    /// When each grant was last seen in use, by all that its holder did.
    fn used(&mut self, state: &State, people: &People, query: &ReportQuery) {
        for who in people.each() {
            let usage = usage(state, who, query);
            for account in who.accounts() {
                for held in self.held.get_mut(&account).into_iter().flatten() {
                    let Some(facts) = &held.grant else { continue };
                    match usage.in_use(facts) {
                        InUse::Last(last) => held.right.last_used = Some(last),
                        InUse::Unseen => {}
                        InUse::Unknown => held.right.use_unknown = true,
                    }
                }
            }
        }
    }

    fn credentials(&mut self, state: &State, people: &People, at: Timestamp) {
        for tenant in people.tenants() {
            for mut facts in state.credentials(tenant) {
                let cut =
                    uses_before(self.until, &mut facts.uses, &mut facts.first_used, &mut facts.last_used);
                let stands = match facts.standing(at) {
                    Stands::Active => true,
                    // Nobody tells that it was made, and it was in use by then.
                    Stands::Unknown => {
                        let first = facts.first_used.map(|(time, _)| time);
                        first.is_some_and(|first| first < at)
                            && facts.first_issued().is_none_or(|issued| issued < at)
                    }
                    _ => false,
                };
                let holder = holder(&facts);
                let (true, Some((account, by))) = (stands, holder) else { continue };
                match (facts.expires, facts.is_static()) {
                    (Some(_), _) => self.credentials.time_bound += 1,
                    (None, Some(true)) => {
                        self.credentials.standing += 1;
                        self.uncounted += u64::from(cut);
                        let since = facts.first_issued();
                        let right = StandingRight {
                            kind: "credential".to_owned(),
                            what: facts.kind.clone().unwrap_or_default(),
                            since,
                            record: facts
                                .changes
                                .iter()
                                .map(|change| (change.first, change.record))
                                .min()
                                .map(|(_, id)| id),
                            days: StandingRight::days(since, at),
                            uses: facts.uses,
                            last_used: facts.last_used.map(|(time, _)| time),
                            use_unknown: false,
                            by: None,
                        };
                        let held = Held { right, by, grant: None, credential: Some(Box::new(facts)) };
                        self.held.entry(account).or_default().push(held);
                    }
                    // When it ends, only its issuer knows.
                    (None, _) => {}
                }
            }
        }
    }
}

/// A use, and the record that tells.
type Use = Option<(Timestamp, RecordId)>;

/// Leaves out uses from `until` on; whether how many are left is not known. Only when the first and the last were is kept: of a
/// right that was used before and after that time, the first is told.
fn uses_before(until: Option<Timestamp>, uses: &mut u64, first: &mut Use, last: &mut Use) -> bool {
    let is_later = |used: &Use| until.is_some_and(|until| used.is_some_and(|(time, _)| time >= until));
    if is_later(first) {
        (*uses, *first, *last) = (0, None, None);
        return false;
    }
    let both = is_later(last);
    if both {
        (*uses, *last) = (1, *first);
    }
    both
}

/// Whose a credential is, and who had it issued.
fn holder(facts: &CredentialFacts) -> Option<(Account, Option<Account>)> {
    let of =
        |role: Role| facts.holders.iter().find(|holder| holder.role == role).map(|holder| holder.account);
    Some((of(Role::Given).or(of(Role::Used))?, of(Role::Asked)))
}

fn name(
    held: Held,
    tenant: &str,
    evidence: &LedgerEvidence<'_>,
    called: &mut Called<'_>,
) -> Result<StandingRight, LedgerError> {
    let mut right = held.right;
    right.by = held.by.map(|by| called.account(tenant, by)).transpose()?;
    if let Some(facts) = held.credential {
        let names = credential_names(evidence, tenant, &facts)?;
        right.what = match shown_name(&names) {
            Some(name) => format!("{name} ({})", right.what.replace('_', " ")),
            None => right.what,
        };
    }
    Ok(right)
}
