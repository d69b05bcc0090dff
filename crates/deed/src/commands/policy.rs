//! `deed policy`: check, test and publish policies.

use std::path::Path;

use deed_policy::{CaseResult, LoadError, PolicySet, cases};
use deed_record::RecordId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    access::{Access, Need},
    cli::{Global, Policy, PolicyCommand, PolicyFolder, Replay},
    client::Request,
    exit::{Code, Failure, Outcome},
    output::{Output, count, shell_word},
    values,
};

pub(crate) async fn run(global: &Global, policy: Policy, output: Output) -> Outcome {
    match policy.does {
        PolicyCommand::Check(PolicyFolder { dir }) => check(&dir, output),
        PolicyCommand::Test(PolicyFolder { dir }) => test(&dir, output),
        PolicyCommand::Publish(PolicyFolder { dir }) => publish(global, &dir, output).await,
        PolicyCommand::Replay(Replay { id }) => replay(global, id, output).await,
    }
}

fn check(dir: &Path, output: Output) -> Outcome {
    let checked = PolicySet::load(dir).and_then(|set| cases(dir).map(|cases| (set, cases)));
    if output.json {
        let problems = checked.as_ref().err().map(|error| &*error.problems).unwrap_or_default();
        let policy_set = checked.as_ref().ok().map(|(set, _)| set.digest());
        output.document(&json!({ "problems": problems, "policy_set": policy_set }))?;
        return if checked.is_ok() { Ok(()) } else { Err(Failure::silent(Code::Failed)) };
    }
    let (set, cases) = checked.map_err(|error| wrong(dir, &error))?;
    let policies = count(set.policies().len() as u64, "policy").replace("policys", "policies");
    output.print(&format!("{policies} good, {}\nset {}\n", count(cases.len() as u64, "case"), set.digest()))
}

fn test(dir: &Path, output: Output) -> Outcome {
    let set = PolicySet::load(dir).map_err(|error| wrong(dir, &error))?;
    let results = results(dir, &set)?;
    if results.is_empty() {
        return Err(Failure::new(format!("there are no cases in `{}`", dir.join("cases").display()))
            .code(Code::NotFound)
            .detail("a case is a file such as cases/wipe.json:")
            .detail(r#"{ "request": { "principal": "agent:a", "action": "tools/call", "resource": { "tool": "files/wipe" } }, "expect": "deny" }"#));
    }
    let failed = results.iter().filter(|result| !result.passed).count();
    if output.json {
        output.document(&json!({ "cases": results }))?;
    } else {
        for result in &results {
            output.print(&shown(result, output))?;
        }
        output.print(&format!("{} passed, {failed} failed\n", results.len() - failed))?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::silent(Code::Failed)) }
}

async fn publish(global: &Global, dir: &Path, output: Output) -> Outcome {
    let set = PolicySet::load(dir).map_err(|error| wrong(dir, &error))?;
    let failed = results(dir, &set)?.into_iter().filter(|result| !result.passed).count();
    if failed > 0 {
        return Err(Failure::new(format!(
            "failed to publish: {} not as expected",
            count(failed as u64, "case")
        ))
        .detail(format!("see which: deed policy test {}", shell_word(&dir.display().to_string()))));
    }
    let access = Access::open(global, Need::Make)?;
    let published = put_in_force(&access, &set).await;
    let Published { policy_set, receipt, replaced } =
        access.finish(published).await.map_err(|error| error.doing("publish"))?;
    if output.json {
        return output
            .document(&json!({ "policy_set": policy_set, "receipt": receipt, "replaced": replaced }));
    }
    // Somebody else may have published one a moment before.
    let replaced = replaced.map(|replaced| format!("in place of {replaced}\n")).unwrap_or_default();
    output.print(&format!(
        "in force: set {policy_set}\n{replaced}recorded as {}, leaf {}\n",
        receipt.id, receipt.index
    ))
}

/// Puts a set that was checked into force.
///
/// # Errors
/// No answer, or a refusal.
pub(crate) async fn put_in_force(access: &Access, set: &PolicySet) -> Result<Published, Failure> {
    let body = json!({ "files": set.files(), "by": values::system_user() });
    let request = Request::post("/v1/policies", "application/json", body.to_string());
    access.call(&request).await?.json()
}

/// What is in force now, and the record of that.
#[derive(Deserialize)]
pub(crate) struct Published {
    policy_set: String,
    receipt: Receipt,
    /// The set that it replaced.
    #[serde(default)]
    replaced: Option<String>,
}

#[derive(Deserialize, serde::Serialize)]
struct Receipt {
    id: String,
    log: String,
    index: u64,
}

#[derive(Deserialize, serde::Serialize)]
struct Replayed {
    same: Option<bool>,
    recorded: Value,
    replayed: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

async fn replay(global: &Global, id: RecordId, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.call(&Request::get(format!("/v1/decisions/{id}/replay"))).await;
    let replayed = access.finish(answer.and_then(|answer| answer.json::<Replayed>())).await?;
    if output.json {
        output.document(&replayed)?;
    } else {
        let shown = |decision: &Value| {
            let policies: Vec<&str> =
                decision["policies"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{} {}", decision["effect"].as_str().unwrap_or("-"), policies.join(", "))
        };
        let verdict = match (replayed.same, &replayed.why) {
            (Some(true), _) => output.good("the same"),
            (Some(false), _) => output.bad("NOT the same"),
            (None, why) => {
                output.doubtful(&format!("cannot be derived again: {}", why.as_deref().unwrap_or("-")))
            }
        };
        let again = replayed.replayed.as_ref().map(|again| format!("replayed  {}\n", shown(again)));
        output.print(&format!(
            "recorded  {}\n{}{verdict}\n",
            shown(&replayed.recorded),
            again.unwrap_or_default()
        ))?;
    }
    match replayed.same {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::silent(Code::Violated)),
        None => Err(Failure::silent(Code::Unverified)),
    }
}

fn results(dir: &Path, set: &PolicySet) -> Result<Vec<CaseResult>, Failure> {
    Ok(cases(dir).map_err(|error| wrong(dir, &error))?.iter().map(|case| case.run(set)).collect())
}

fn shown(result: &CaseResult, output: Output) -> String {
    let CaseResult { name, passed, effect, policies, reason, .. } = result;
    let by = if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) };
    match passed {
        true => format!("{}  {name}: {effect}{by}\n", output.good("ok  ")),
        false => format!("{}  {name}: {reason}\n", output.bad("FAIL")),
    }
}

fn wrong(dir: &Path, error: &LoadError) -> Failure {
    let first = Failure::new(format!(
        "failed to read the policies in `{}`: {}",
        dir.display(),
        count(error.problems.len() as u64, "problem")
    ));
    error.problems.iter().fold(first, |failure, problem| {
        let help = problem.help.iter().map(|help| format!("\n  {help}")).collect::<String>();
        failure.detail(format!("{problem}{help}"))
    })
}
