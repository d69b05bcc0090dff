//! `deed patterns`: what is done over and over, and what is unlike it.

use deed_review::patterns::{Odd, Pattern, PatternList, Why};

use super::principal::{moment, must_be_known};
use crate::{
    access::{Access, Need},
    cli::{self, Global},
    client::{Request, query_value},
    exit::{Failure, Outcome},
    hint::Hint,
    output::{Output, clean, count, fold, grouped, note},
    values::span,
};

/// How wide a line is.
const WIDTH: usize = 100;
/// Odd ones of a pattern that are printed.
const MOST_ODD: usize = 3;

pub(crate) async fn run(global: &Global, asked: cli::Patterns, output: Output) -> Outcome {
    span(asked.since, asked.until)?;
    let access = Access::open(global, Need::Existing)?;
    let hint = Hint::of(global);
    let answer = access.finish(answer(&access, &asked, &hint).await).await;
    let answer = answer.map_err(|failure| failure.doing("list patterns"))?;
    if output.json {
        return answer.patterns.iter().try_for_each(|pattern| output.line(pattern));
    }
    if answer.patterns.is_empty() {
        note("no action was recorded that is like this");
        return Ok(());
    }
    output.print(&text(&answer, &hint, output))?;
    let rest = answer.total - answer.patterns.len() as u64;
    if rest > 0 {
        note(&format!("{} more with --limit", count(rest, "pattern")));
    }
    if answer.read < answer.records {
        let (read, records) = (grouped(answer.read), grouped(answer.records));
        note(&format!(
            "the newest {read} of {records} records were read; a longer `read_seconds` reads more"
        ));
    }
    if answer.one_in > 1 {
        note(&format!("one task in {} was looked at: there are more than are kept", grouped(answer.one_in)));
    }
    Ok(())
}

async fn answer(access: &Access, asked: &cli::Patterns, hint: &Hint) -> Result<PatternList, Failure> {
    let path = format!("/v1/patterns?limit={}{}", asked.limit, query(asked));
    let list: PatternList = access.call(&Request::get(path)).await?.json()?;
    if let (true, Some(key)) = (list.patterns.is_empty(), &asked.principal) {
        must_be_known(access, hint, asked.tenant.as_deref(), key).await?;
    }
    Ok(list)
}

/// The filter as a query string, each part with its `&`.
fn query(asked: &cli::Patterns) -> String {
    let since = asked.since.map(|time| time.to_string());
    let until = asked.until.map(|time| time.to_string());
    let parts = [
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("principal", asked.principal.as_deref()),
        ("tenant", asked.tenant.as_deref()),
    ];
    let given = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.map(|(name, value)| format!("&{name}={}", query_value(value))).collect()
}

fn text(answer: &PatternList, hint: &Hint, output: Output) -> String {
    let mut text = format!(
        "{}\n",
        output.strong(&format!(
            "{} of {} in {}",
            count(answer.actions, "action"),
            count(answer.tasks, "task"),
            count(answer.total, "pattern")
        ))
    );
    for pattern in &answer.patterns {
        text.push_str(&one(pattern, output));
    }
    let odd = answer.patterns.iter().flat_map(|pattern| &pattern.odd).next();
    let typical = answer.patterns.iter().flat_map(|pattern| &pattern.examples).next();
    let next = odd.map(|odd| &odd.action_id).or(typical);
    if let Some(id) = next {
        text.push_str(&format!("\n  next  {}\n", hint.deed(&format!("explain {id}"))));
    }
    text
}

fn one(pattern: &Pattern, output: Output) -> String {
    let rare = if pattern.rare { output.doubtful("  rare") } else { String::new() };
    let indent = format!("\n{:11}", "");
    let line = fold(&clean(&pattern.pattern), WIDTH - 11).replace('\n', &indent);
    let mut text = format!("\n{:>9}  {}{rare}\n", grouped(pattern.count), output.strong(&line));
    let ended: Vec<String> =
        pattern.outcomes.iter().map(|(how, n)| format!("{} {how}", grouped(*n))).collect();
    let each = match pattern.median_actions {
        1 => String::new(),
        several => format!("; {several} actions each"),
    };
    let (first, last) = (moment(pattern.first), moment(pattern.last));
    text.push_str(&format!("{:11}{first} to {last}; {}{each}\n", "", ended.join(", ")));
    for odd in pattern.odd.iter().take(MOST_ODD) {
        text.push_str(&format!("{:11}odd  {}  {}\n", "", odd.action_id, why(odd)));
    }
    let more = pattern.odd_total.saturating_sub(MOST_ODD as u64);
    if more > 0 {
        text.push_str(&format!("{:11}     and {} more odd ones\n", "", grouped(more)));
    }
    if let (true, Some(example)) = (pattern.odd.is_empty(), pattern.examples.first()) {
        text.push_str(&format!("{:11}such as {example}\n", ""));
    }
    text
}

fn why(odd: &Odd) -> String {
    let words = odd.why.iter().map(|why| match why {
        Why::Finding(rule) => rule.clone(),
        Why::Outcome(status) => format!("ended `{status}`"),
        Why::Size(actions) => count(*actions, "action"),
    });
    words.collect::<Vec<_>>().join(", ")
}
