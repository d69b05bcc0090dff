//! `deed blast`: everything that one credential led to.

use deed_review::{Authority, Class, Edge};
use deed_server::{Blast, BlastChange, BlastCredential, BlastReview, BlastRow, BlastTally as Tally};

use super::principal::{Page, moment};
use crate::{
    access::{Access, Need},
    cli::{self, Global},
    client::{Request, query_value},
    exit::{Failure, Outcome},
    hint::Hint,
    output::{Output, clean, count, grouped},
};

/// Rows that are asked for at a time.
const PAGE: usize = 10_000;
/// Rows that are printed for people, unless asked for otherwise.
const SHOWN: usize = 20;
/// Names of each tally that are printed.
const TALLIED: usize = 8;

pub(crate) async fn run(global: &Global, asked: cli::Blast, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let limit = asked.limit.map_or(if output.json { PAGE } else { SHOWN }, |limit| limit as usize);
    let hint = Hint::of(global);
    let answer = access.finish(answer(&access, &asked, limit).await).await;
    let doing = || format!("follow the credential `{}`", clean(&asked.credential));
    let shown = || {
        let (principal, explain) = (hint.deed("principal KEY"), hint.deed("explain ID"));
        format!("{principal} and {explain} name credentials; --tenant names another tenant")
    };
    let answer = answer.map_err(|failure| failure.where_unknown(shown).doing(doing()))?;
    if output.json {
        return output.document(&answer);
    }
    let tenant = asked.tenant.as_deref().unwrap_or("default");
    output.print(&text(&answer, tenant, &hint, output))
}

/// The answer with up to `limit` rows of each list, however many pages those are.
async fn answer(access: &Access, asked: &cli::Blast, limit: usize) -> Result<Blast, Failure> {
    let tenant =
        asked.tenant.as_ref().map(|tenant| format!("&tenant={}", query_value(tenant))).unwrap_or_default();
    let path = |after: usize, rows: usize| {
        format!("/v1/blast/{}?after={after}&limit={rows}{tenant}", query_value(&asked.credential))
    };
    let mut whole: Blast = access.call(&Request::get(path(0, limit.min(PAGE)))).await?.json()?;
    while let Some(after) = whole.next.filter(|after| *after < limit) {
        let page: Blast = access.call(&Request::get(path(after, (limit - after).min(PAGE)))).await?.json()?;
        whole.actions.extend(page.actions);
        whole.downstream.extend(page.downstream);
        whole.next = page.next;
    }
    Ok(whole)
}

fn text(answer: &Blast, tenant: &str, hint: &Hint, output: Output) -> String {
    let mut page = Page { out: String::new(), output };
    let (asked, counts) = (&answer.credential, &answer.counts);
    let kind = clean(asked.kind.as_deref().unwrap_or("credential"));
    page.line(&format!("{}   {kind}, {}", output.strong(&clean(&asked.name)), page.state(&asked.state)));
    let known = |text: &Option<String>| {
        text.as_deref().map_or("not known".to_owned(), |text| clean(text).into_owned())
    };
    page.field("holder", &holder(asked).unwrap_or_else(|| "not known".to_owned()));
    page.field("issuer", &known(&asked.issuer));
    if let (Some(first), Some(last)) = (answer.first_use, answer.last_use) {
        page.field("used", &format!("{} to {}", moment(first), moment(last)));
    }
    page.field(
        "actions",
        &format!("{} with it; of all, {} did not succeed", grouped(counts.actions), grouped(counts.failed)),
    );
    page.field(
        "led to",
        &format!(
            "{}, by {} and {} that came from it; {} of authority",
            count(counts.downstream, "action"),
            count(counts.credentials, "credential"),
            count(counts.principals, "principal"),
            count(counts.changed, "change")
        ),
    );
    if counts.unnamed > 0 {
        let others = count(counts.unnamed, "action");
        page.field(
            "besides",
            &format!("{others} of who acted, in the same systems since then, without a word on what with"),
        );
    }
    let bypassed = format!("{} went past Deed", grouped(counts.bypassed));
    let bypassed = if counts.bypassed > 0 { output.bad(&bypassed) } else { bypassed };
    page.field(
        "bypasses",
        &format!(
            "{bypassed}, {} decided by Deed, {} unverified",
            grouped(counts.decided),
            grouped(counts.unverified)
        ),
    );
    for why in &counts.unverified_why {
        page.field("", &format!("{} unverified: {}", grouped(why.count), clean(&why.name)));
    }
    review(&mut page, &answer.review);
    page.head("revoke now", counts.active);
    for credential in answer.revoke.iter().take(SHOWN) {
        let used = match credential.last_used {
            Some(last) => format!("{}, last {}", count(credential.uses, "use"), moment(last)),
            None => "never seen in use".to_owned(),
        };
        let from =
            credential.parent.as_deref().map(|from| format!(", from {}", clean(from))).unwrap_or_default();
        let holder = holder(credential).map(|holder| format!(", {holder}")).unwrap_or_default();
        let kind = clean(credential.kind.as_deref().unwrap_or("credential"));
        let state = page.state(&credential.state);
        page.item(&format!("{}   {kind}, {state}{holder}{from}; {used}", clean(&credential.name)));
        if let Some(why) = &credential.why {
            page.item(&format!("    {}", page.output.bad(&clean(why))));
        }
    }
    more(&mut page, answer.revoke.len(), SHOWN);
    for (title, tallies) in [
        ("who", &answer.who),
        ("touched most", &answer.touched),
        ("did most", &answer.operations),
        ("systems", &answer.systems),
    ] {
        page.head(title, tallies.len() as u64);
        for tally in tallies.iter().take(TALLIED) {
            let last = tally.last.map(|last| format!(", last {}", moment(last))).unwrap_or_default();
            page.item(&format!("{:>7}  {}{last}", grouped(tally.count), clean(&tally.name)));
        }
        more(&mut page, tallies.len(), TALLIED);
    }
    changes(&mut page, "changed, to be undone", &answer.changed);
    changes(&mut page, "changed by who acted, with what is not told", &answer.unnamed);
    // Those that are listed among the actions say it there.
    let listed = |id| answer.actions.iter().chain(&answer.downstream).any(|row| row.id == id);
    let unlisted: Vec<_> = answer.bypasses.iter().filter(|bypass| !listed(bypass.id)).collect();
    if !unlisted.is_empty() {
        page.head("past Deed, and not listed below", unlisted.len() as u64);
        for bypass in unlisted {
            let word = |text: &Option<String>| {
                text.as_deref().map(|text| format!(" {}", clean(text))).unwrap_or_default()
            };
            let (operation, resource) = (word(&bypass.operation), word(&bypass.resource));
            let who = clean(bypass.executor.as_deref().unwrap_or("nobody known"));
            page.item(&format!("{}  {} {operation}{resource}, {who}", moment(bypass.time), bypass.id));
            page.item(&format!("    for {}", behind(bypass.initiator.as_deref(), bypass.initiator_edge)));
        }
    }
    for (title, total, rows) in [
        ("actions with it", counts.actions, &answer.actions),
        ("downstream", counts.downstream, &answer.downstream),
    ] {
        if total == 0 {
            continue;
        }
        page.head(title, total);
        rows.iter().for_each(|row| action(&mut page, row));
        if total > rows.len() as u64 {
            page.item(&format!("and {} later ones; --limit shows more", grouped(total - rows.len() as u64)));
        }
    }
    if !answer.cut.is_empty() {
        page.head("not followed", answer.cut.len() as u64);
        answer.cut.iter().for_each(|what| page.item(&clean(what)));
    }
    // Deed's own doors are those of the tenant `default`: of another one there is nothing to suspend at them.
    let first = match tenant {
        "default" => format!("{} --reason REASON", hint.about(tenant, "suspend --credential", &asked.name)),
        _ => hint.about(tenant, "find --credential", &asked.name),
    };
    page.next(&[first, hint.deed("explain ID")]);
    page.out
}

/// What was changed in authority.
fn changes(page: &mut Page, title: &str, changes: &[BlastChange]) {
    if changes.is_empty() {
        return;
    }
    page.head(title, changes.len() as u64);
    for changed in changes.iter().take(SHOWN) {
        let word = |text: &Option<String>| {
            text.as_deref().map(|text| format!(" {}", clean(text))).unwrap_or_default()
        };
        let subject = changed.subject.as_deref().map(|who| format!(", {}", clean(who))).unwrap_or_default();
        let kind = changed.credential_type.as_ref().filter(|kind| changed.what.as_ref() != Some(kind));
        let (change, kind, what) = (word(&changed.change), word(&kind.cloned()), word(&changed.what));
        page.item(&format!("{}  {}{change}{kind}{what}{subject}", moment(changed.time), changed.kind));
    }
    more(page, changes.len(), SHOWN);
}

/// Whose it is; several where it is not known which of them.
fn holder(credential: &BlastCredential) -> Option<String> {
    let all: Vec<_> = credential.holders.iter().map(|holder| clean(holder)).collect();
    match &*all {
        [] => None,
        [one] => Some(one.to_string()),
        several => Some(format!("one of {}: {}", several.len(), several.join(", "))),
    }
}

/// Who is behind it, and by what right it was done.
fn review(page: &mut Page, review: &BlastReview) {
    let judged = format!("of {} judged", count(review.judged, "action"));
    let mut people: Vec<String> =
        review.humans.iter().map(|who| format!("{} ({})", clean(&who.name), grouped(who.count))).collect();
    if review.nobody > 0 || people.is_empty() {
        people.push(format!("no person is known ({})", grouped(review.nobody)));
    }
    page.field("behind it", &format!("{}; {judged}", people.join(", ")));
    if !review.owners.is_empty() {
        let owners = tallied(&review.owners, str::to_owned);
        page.field("", &format!("answers for who acted, and need not have asked: {owners}"));
    }
    let found = format!("{} with findings", count(review.found, "action"));
    let found = if review.found > 0 { page.output.bad(&found) } else { found };
    let colon = if review.rules.is_empty() { "" } else { ": " };
    page.field("found", &format!("{found}{colon}{}", tallied(&review.rules, str::to_owned)));
    if review.reviewed < review.records {
        let (reviewed, records) = (grouped(review.reviewed), grouped(review.records));
        page.field(
            "",
            &format!("{reviewed} of {records} records were reviewed by now; ask again in a moment"),
        );
    }
    let never = format!("{} never approved", grouped(review.never_approved));
    let never = if review.never_approved > 0 { page.output.bad(&never) } else { never };
    page.field("right", &format!("{never}, by findings"));
    if review.judged > 0 {
        page.field(
            "",
            &format!("{judged}: {}", tallied(&review.authority, |right| right_of(right).to_owned())),
        );
        page.field(
            "verdict",
            &format!("{judged}: {}", tallied(&review.classes, |class| class.replace('_', " "))),
        );
    }
}

/// Each with how often it is there.
fn tallied(tallies: &[Tally], spoken: impl Fn(&str) -> String) -> String {
    let each = |tally: &Tally| format!("{} {}", clean(&spoken(&tally.name)), grouped(tally.count));
    tallies.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// What is known of the right to an action.
fn right_of(authority: &str) -> &str {
    if authority == Authority::Unverified.as_str() { "no right known" } else { authority }
}

/// Who asked, and how that is known.
fn behind(who: Option<&str>, edge: Option<Edge>) -> String {
    match (who, edge) {
        (None, _) => "nobody who is known".to_owned(),
        (Some(who), Some(edge)) => format!("{} ({edge})", clean(who)),
        (Some(who), None) => clean(who).into_owned(),
    }
}

fn action(page: &mut Page, row: &BlastRow) {
    let word =
        |text: &Option<String>| text.as_deref().map(|text| format!(" {}", clean(text))).unwrap_or_default();
    let status = row.status.map_or("", |status| status.as_str());
    let status = match status {
        "success" | "" => String::new(),
        other => format!(" {}", page.output.doubtful(other)),
    };
    // Every call of a tool is the same operation.
    let done = row.tool.as_ref().or(row.operation.as_ref());
    let done = done.map_or("-".to_owned(), |done| clean(done).into_owned());
    let by = row.executor.as_deref().map(|who| format!(", {}", clean(who))).unwrap_or_default();
    page.item(&format!("{}  {}  {done}{}{status}{by}", moment(row.time), row.id, word(&row.resource)));
    let verdict = match (row.class, row.authority) {
        (Some(class), Some(authority)) => {
            let class = class.as_str().replace('_', " ");
            let class = if row.class == Some(Class::Authorised) {
                page.output.good(&class)
            } else {
                page.output.doubtful(&class)
            };
            format!("; {class}, {}", right_of(authority.as_str()))
        }
        _ => "; not judged".to_owned(),
    };
    let found = if row.rules.is_empty() {
        String::new()
    } else {
        format!("; {}", page.output.bad(&clean(&row.rules.join(", "))))
    };
    page.item(&format!("    for {}{verdict}{found}", behind(row.initiator.as_deref(), row.initiator_edge)));
}

fn more(page: &mut Page, total: usize, shown: usize) {
    if total > shown {
        page.item(&format!("and {} more; --json has them", grouped((total - shown) as u64)));
    }
}
