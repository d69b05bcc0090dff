//! `deed findings`: what deserves a look.

mod tuning;

use std::collections::BTreeMap;

use deed_review::{RULES, Severity, every_rule};
use deed_server::{FindingList, FindingRow};

use super::principal::moment;
use crate::{
    access::{Access, Need},
    cli::{self, Global, ListFindings},
    client::{Request, query_value},
    exit::Outcome,
    hint::Hint,
    output::{Output, clean, count, fold, grouped, note, shell_word},
};

/// Findings that are asked for at a time.
const PAGE: u32 = 1000;
/// How wide a line is.
const WIDTH: usize = 100;

pub(crate) async fn run(global: &Global, asked: cli::Findings, output: Output) -> Outcome {
    match asked.does {
        Some(does) => tuning::run(global, does, output).await,
        None => list(global, asked.list, output).await,
    }
}

async fn list(global: &Global, asked: ListFindings, output: Output) -> Outcome {
    if asked.rules {
        return rules(output);
    }
    let access = Access::open(global, Need::Existing)?;
    let hint = Hint::of(global);
    let done = tell(&access, &asked, &hint, output).await;
    access.finish(done).await.map_err(|failure| failure.doing("list findings"))
}

/// Every rule, with what it means and what to do.
fn rules(output: Output) -> Outcome {
    if output.json {
        return every_rule().try_for_each(|rule| {
            output.line(&serde_json::json!({
                "rule": rule.name, "means": rule.means, "remedy": rule.remedy, "controls": rule.controls,
            }))
        });
    }
    let mut text = String::new();
    for rule in every_rule() {
        text.push_str(&format!("{}\n", output.strong(rule.name)));
        for line in [rule.means, rule.remedy] {
            text.push_str(&format!("  {}\n", fold(line, WIDTH - 2).replace('\n', "\n  ")));
        }
        text.push_str(&format!("  {}\n\n", rule.controls.join(", ")));
    }
    output.print(&text)
}

async fn tell(access: &Access, asked: &ListFindings, hint: &Hint, output: Output) -> Outcome {
    let mut wanted = asked.limit;
    let mut after = 0;
    let mut shown: Vec<FindingRow> = Vec::new();
    let (counts, suppressed) = loop {
        let path = format!("/v1/findings?after={after}&limit={}{}", wanted.min(PAGE), query(asked));
        let page: FindingList = access.call(&Request::get(path)).await?.json()?;
        wanted = wanted.saturating_sub(page.findings.len() as u32);
        if output.json {
            page.findings.iter().try_for_each(|row| output.line(row))?;
        } else {
            shown.extend(page.findings);
        }
        match page.next.filter(|_| wanted > 0) {
            Some(next) => after = next,
            None => break (page.counts, page.suppressed),
        }
    };
    if output.json {
        return Ok(());
    }
    if shown.is_empty() {
        note("nothing that was recorded deserves a look by this");
        hidden(suppressed, asked, hint);
        return Ok(());
    }
    let all = counts.values().sum::<u64>();
    output.print(&text(&shown, &counts, hint, output))?;
    if all > shown.len() as u64 {
        note(&format!("the newest {} of {}; more with --limit", grouped(shown.len() as u64), grouped(all)));
    }
    hidden(suppressed, asked, hint);
    Ok(())
}

/// Says that some are not shown.
fn hidden(suppressed: u64, asked: &ListFindings, hint: &Hint) {
    if suppressed > 0 && !asked.suppressed {
        note(&format!("{} suppressed: {}", grouped(suppressed), hint.deed("findings --suppressed")));
    }
}

/// The filter as a query string, each part with its `&`.
fn query(asked: &ListFindings) -> String {
    let since = asked.since.map(|time| time.to_string());
    let until = asked.until.map(|time| time.to_string());
    let parts = [
        ("rule", asked.rule.as_deref()),
        ("severity", asked.severity.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("principal", asked.principal.as_deref()),
        ("tenant", asked.tenant.as_deref()),
        ("suppressed", asked.suppressed.then_some("true")),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.map(|(name, value)| format!("&{name}={}", query_value(value))).collect()
}

/// The tenant of a finding, where commands do not look there by themselves.
fn of_another(row: &FindingRow) -> Option<&str> {
    Some(&*row.tenant).filter(|tenant| *tenant != "default")
}

fn text(rows: &[FindingRow], counts: &BTreeMap<String, u64>, hint: &Hint, output: Output) -> String {
    let mut text = format!("{}\n\n", output.strong(&count(counts.values().sum(), "finding")));
    for (rule, number) in counts {
        let means = every_rule().find(|known| known.name == rule).map_or("", |rule| rule.means);
        let indent = format!("\n{:39}", "");
        text.push_str(&format!(
            "  {:<29}{:>6}  {}\n",
            rule,
            grouped(*number),
            fold(means, WIDTH - 39).replace('\n', &indent)
        ));
    }
    for row in rows {
        let severity = match row.severity {
            Severity::High => output.bad("high"),
            Severity::Medium => output.doubtful("medium"),
            Severity::Low => "low".to_owned(),
        };
        let who = row.principal.as_deref().map_or("nobody known".into(), clean);
        let tenant = of_another(row).map(|tenant| format!("  tenant {}", clean(tenant))).unwrap_or_default();
        let rule = output.strong(&row.rule);
        text.push_str(&format!("\n{}  {severity}  {rule}  {who}{tenant}\n", moment(row.time)));
        text.push_str(&format!("    {}\n", fold(&clean(&row.reason), WIDTH - 4).replace('\n', "\n    ")));
        if let Some(subject) = &row.subject {
            text.push_str(&format!("    about   {}\n", clean(subject)));
        }
        if row.others.len() > 1 {
            let others: Vec<_> = row.others.iter().map(|other| clean(other)).collect();
            text.push_str(&format!("    by      {}\n", others.join(", ")));
        }
        if let Some(by) = &row.suppressed {
            let who = by.by.as_deref().map_or("nobody known".into(), clean);
            let until = moment(by.until);
            text.push_str(&format!("    suppressed until {until} by {who} ({})\n", by.record));
        }
        let shown = if RULES.iter().any(|rule| rule.name == row.rule) { "action" } else { "record" };
        text.push_str(&format!("    {shown}  {}\n", row.action_id));
    }
    if let Some(first) = rows.first() {
        let of_action = rows.iter().find(|row| RULES.iter().any(|rule| rule.name == row.rule));
        let next = match (of_action, &first.principal) {
            (Some(row), _) => format!("explain {}", row.action_id),
            (None, Some(principal)) => {
                let tenant = of_another(first).map(|tenant| format!(" --tenant {}", shell_word(tenant)));
                format!("principal {}{}", shell_word(principal), tenant.unwrap_or_default())
            }
            (None, None) => format!("find --since {}", first.time),
        };
        text.push_str(&format!("\n  next  {}\n", hint.deed(&next)));
        let rules = hint.deed("findings --rules");
        text.push_str(&format!("        {rules}    # what each means, and what to do\n"));
    }
    text
}
