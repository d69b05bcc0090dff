//! `deed principal`: who somebody is.

use deed_record::Timestamp;
use deed_server::{ChangeRow, PrincipalAnswer};
use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::{Global, Principal},
    client::{Request, query_value},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::{Output, clean, count, fold, grouped},
};

/// Credentials, grants and links of each sort that are printed.
const MOST_SHOWN: usize = 12;

pub(crate) async fn run(global: &Global, asked: Principal, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let hint = Hint::of(global);
    let answer = answer(&access, &hint, asked.tenant.as_deref(), &asked.key, asked.reasons).await;
    let answer = access.finish(answer).await;
    let answer = answer.map_err(|failure| failure.doing(format!("tell who `{}` is", clean(&asked.key))))?;
    if output.json {
        return output.document(&answer);
    }
    let answer: PrincipalAnswer = serde_json::from_value(answer).map_err(|error| {
        Failure::new("the server's answer is not understood")
            .detail(error.to_string())
            .detail("--json prints it as it came")
    })?;
    output.print(&text(&answer, asked.verbose, &hint, output))
}

async fn answer(
    access: &Access,
    hint: &Hint,
    tenant: Option<&str>,
    key: &str,
    reasons: bool,
) -> Result<Value, Failure> {
    let tenant = tenant.map(|tenant| format!("&tenant={}", query_value(tenant)));
    let path = format!("/v1/principals/{}?reasons={reasons}{}", query_value(key), tenant.unwrap_or_default());
    let answer = access.call(&Request::get(path)).await?.json();
    answer.map_err(|failure: Failure| failure.where_unknown(|| who_is_known(hint)))
}

fn who_is_known(hint: &Hint) -> String {
    format!("{} lists who asked and who acted; --tenant names another tenant", hint.deed("find"))
}

/// Fails where nobody goes by `key`: that nothing is found of somebody whose name is misspelt says nothing.
pub(super) async fn must_be_known(access: &Access, hint: &Hint, tenant: Option<&str>, key: &str) -> Outcome {
    match answer(access, hint, tenant, key, false).await {
        Err(failure) if failure.is(Code::NotFound) => Err(failure),
        _ => Ok(()),
    }
}

fn text(answer: &PrincipalAnswer, verbose: bool, hint: &Hint, output: Output) -> String {
    let mut page = Page { out: String::new(), output };
    let title = answer.aliases.first().and_then(|alias| alias.alias.as_deref()).unwrap_or(&answer.key);
    let title = if answer.declared { &answer.key } else { title };
    let name = answer.name.as_deref().map(|name| format!(" ({})", clean(name))).unwrap_or_default();
    page.line(&format!("{}{name}   {}", output.strong(&clean(title)), answer.kind));
    let or_not = |said: &Option<String>| {
        said.as_deref().map_or("not known".to_owned(), |said| clean(said).into_owned())
    };
    page.field("owner", &or_not(&answer.owner));
    page.field("sponsor", &or_not(&answer.sponsor));
    if let Some(vendor) = &answer.vendor {
        page.field("vendor", &clean(vendor));
    }
    if let (Some(first), Some(last)) = (answer.first_seen, answer.last_seen) {
        page.field("seen", &format!("{} to {}", moment(first), moment(last)));
    }
    for suspension in &answer.suspensions {
        let by = by_whom(suspension.by.as_deref(), suspension.reason.as_deref());
        let lifted = suspension.lifted.as_ref().map(|end| {
            let by = by_whom(end.by.as_deref(), end.reason.as_deref());
            format!("; let go on {}{by}", moment(end.time))
        });
        let title = if lifted.is_none() { output.bad("suspended") } else { "suspended".to_owned() };
        let whose = if suspension.everywhere { ", in every tenant" } else { "" };
        let line = format!("since {}{whose}{by}{}", moment(suspension.since), lifted.unwrap_or_default());
        page.field(&title, &line);
        if verbose {
            let ends = suspension.lifted.iter().map(|end| end.record);
            page.records(
                &std::iter::once(suspension.record).chain(ends).map(|id| id.to_string()).collect::<Vec<_>>(),
            );
        }
    }
    // What Deed itself says became of an account are its suspensions.
    let told = |change: &&ChangeRow| change.basis != "enforced" || answer.suspensions.is_empty();
    for (at, change) in answer.changes.iter().filter(told).enumerate() {
        let title = if at == 0 { "became" } else { "" };
        let last = match change.last.filter(|last| *last != change.time) {
            Some(last) => format!("last {}, first {}", moment(last), moment(change.time)),
            None => moment(change.time),
        };
        page.field(title, &format!("{} {last} ({})", change.change, change.basis));
    }
    page.field(
        "actions",
        &format!(
            "{} done, {} asked for",
            grouped(answer.actions.executed),
            grouped(answer.actions.initiated)
        ),
    );
    for place in &answer.actions.by {
        let environment =
            place.environment.as_deref().map(|name| format!(", {}", clean(name))).unwrap_or_default();
        let (done, asked) = (grouped(place.executed), grouped(place.initiated));
        page.field("", &format!("{}{environment}: {done} done, {asked} asked for", clean(&place.system)));
    }
    page.head("accounts", answer.aliases.len() as u64);
    for alias in &answer.aliases {
        let called = alias.alias.clone().unwrap_or_else(|| alias.account.to_string());
        let by = alias.credential.as_deref().map(|name| format!(", by {}", clean(name))).unwrap_or_default();
        let seen = if alias.first_seen.is_none() { "; no record names it" } else { "" };
        page.item(&format!("{}   {} {}{by}{seen}", clean(&called), alias.kind, clean(&alias.basis)));
        if verbose {
            page.records(&alias.evidence.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
    page.head("credentials", answer.credentials_total);
    for credential in answer.credentials.iter().take(MOST_SHOWN) {
        let mut line = format!(
            "{}   {}, {}, {}",
            clean(credential.credential.as_deref().unwrap_or("-")),
            clean(credential.kind.as_deref().unwrap_or("credential")),
            match credential.suspended {
                true => format!("{}, suspended here", page.state(&credential.state)),
                false => page.state(&credential.state),
            },
            match &*credential.role {
                "asked" => "issued to somebody else at its request",
                "given" => "issued to it",
                _ => "used by it",
            },
        );
        match credential.last_used {
            Some(last) => {
                line.push_str(&format!("; {}, last {}", count(credential.uses, "use"), moment(last)))
            }
            // What is done with one that has no name does not name it.
            None if credential.credential.is_none() => {}
            None => line.push_str("; never seen in use"),
        }
        if credential.shared {
            line.push_str("; shared: several accounts used it");
        }
        page.item(&line);
        if verbose {
            let said = credential.changes.iter().map(|change| format!("{} {}", change.change, change.record));
            page.records(
                &said.chain(credential.last_record.map(|id| format!("last used {id}"))).collect::<Vec<_>>(),
            );
        }
    }
    page.more(answer.credentials_total, MOST_SHOWN.min(answer.credentials.len()));
    page.head("grants", answer.grants_total);
    for grant in answer.grants.iter().take(MOST_SHOWN) {
        let what: Vec<String> = grant
            .role
            .iter()
            .chain(&grant.scopes)
            .chain(&grant.resource)
            .map(|word| clean(word).into_owned())
            .collect();
        let by = grant.by.as_deref().map(|by| format!(", by {}", clean(by))).unwrap_or_default();
        let until = grant.expires.map(|end| format!(", to {}", moment(end))).unwrap_or_default();
        let used = match (grant.uses, grant.in_use) {
            (0, Some(last)) => format!("in use, last {}; no action names it", moment(last)),
            (0, None) if grant.use_unknown => {
                "whether it is used is not known: what its holder did is not named as it is".to_owned()
            }
            (0, None) => "not seen in use".to_owned(),
            (uses, _) => format!("named by {}", count(uses, "action")),
        };
        page.item(&format!("{}   {}{by}{until}; {used}", what.join(" "), page.state(&grant.state)));
        if verbose {
            let approvals = grant.approvals.iter().map(|id| format!("approval {id}"));
            page.records(
                &std::iter::once(format!("given {}", grant.record)).chain(approvals).collect::<Vec<_>>(),
            );
        }
    }
    page.more(answer.grants_total, MOST_SHOWN.min(answer.grants.len()));
    for (title, links) in [("acted for", &answer.acted_for), ("others acted for it", &answer.acted_through)] {
        if links.is_empty() {
            continue;
        }
        page.head(title, links.len() as u64);
        for link in links.iter().take(MOST_SHOWN) {
            let how = match &*link.by {
                "credential" => format!("{}, {} used", count(link.count, "credential"), grouped(link.used)),
                _ => count(link.count, "action"),
            };
            let last = moment(link.last);
            page.item(&format!("{}   {}; {how}, last {last}", clean(&link.principal), clean(&link.basis)));
            if verbose {
                page.records(&link.evidence.iter().map(ToString::to_string).collect::<Vec<_>>());
            }
        }
        page.more(links.len() as u64, MOST_SHOWN.min(links.len()));
    }
    if !answer.conflicts.is_empty() {
        page.head("conflicts", answer.conflicts.len() as u64);
        for conflict in &answer.conflicts {
            page.item(&format!(
                "{} {}",
                output.bad("not joined with"),
                clean(&format!("{}: {}", conflict.with, conflict.why))
            ));
            page.records(&conflict.evidence.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
    if !answer.unresolved.is_empty() {
        page.head("not resolved", answer.unresolved.len() as u64);
        answer.unresolved.iter().for_each(|what| page.item(&clean(what)));
    }
    let asked =
        answer.aliases.iter().find(|alias| alias.first_seen.is_some()).and_then(|alias| alias.alias.clone());
    if let Some(asked) = asked {
        page.next(&[hint.about(&answer.tenant, "find --principal", &asked)]);
    }
    page.out
}

/// Who did something, and why.
fn by_whom(by: Option<&str>, reason: Option<&str>) -> String {
    let by = by.map(|by| format!(", by {}", clean(by))).unwrap_or_default();
    let reason = reason.map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    format!("{by}{reason}")
}

/// A time for people.
pub(super) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}Z", &text[..10], &text[11..19])
}

/// Lines that fit the screen.
pub(super) struct Page {
    pub(super) out: String,
    pub(super) output: Output,
}

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.out.push_str(fold(line, self.output.width).trim_end());
        self.out.push('\n');
    }

    pub(super) fn field(&mut self, label: &str, value: &str) {
        self.line(&format!("  {label:<9} {value}"));
    }

    pub(super) fn head(&mut self, title: &str, number: u64) {
        self.out.push('\n');
        self.line(&format!("{} ({})", self.output.strong(title), grouped(number)));
    }

    pub(super) fn item(&mut self, item: &str) {
        self.line(&format!("  {item}"));
    }

    pub(super) fn records(&mut self, records: &[String]) {
        records.iter().for_each(|record| self.line(&format!("      {}", clean(record))));
    }

    pub(super) fn more(&mut self, total: u64, shown: usize) {
        if total > shown as u64 {
            self.item(&format!("and {} more; --json has up to 100", grouped(total - shown as u64)));
        }
    }

    /// Commands that are suggested, none of them broken: pasted as they stand they work.
    pub(super) fn next(&mut self, commands: &[String]) {
        for (at, command) in commands.iter().enumerate() {
            let label = if at == 0 { "\n  next" } else { "      " };
            self.out.push_str(&format!("{label}  {command}\n"));
        }
    }

    /// How something stands, in the colour of it.
    pub(super) fn state(&self, state: &str) -> String {
        match state {
            "active" => self.output.good(state),
            "revoked" | "expired" | "rotated" => self.output.bad(&clean(state)),
            _ => self.output.doubtful(&clean(state)),
        }
    }
}
