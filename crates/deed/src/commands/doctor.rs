//! `deed doctor`: what needs attention.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    access::{self, Access, Need, Place},
    cli::Global,
    client::Request,
    exit::{Code, Outcome},
    output::{Output, clean, ended, shell_word},
};

/// One thing that was looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

pub(crate) async fn run(global: &Global, output: Output) -> Outcome {
    #[derive(Deserialize)]
    struct Health {
        checks: Vec<Check>,
    }
    let access = Access::open(global, Need::Existing)?;
    let answer =
        access.call(&Request::get("/v1/health")).await.and_then(|response| response.json::<Health>());
    let answer = access.finish(answer).await;
    let place = access::place(global)?;
    let (mut checks, refused) = match (answer, &place) {
        (Ok(health), _) => (health.checks, None),
        // A store that does not even open is what needs attention.
        (Err(failure), Place::Store(_)) if !failure.is(Code::Usage) => {
            let what = failure.to_string();
            (vec![Check { name: "store".to_owned(), ok: false, detail: what }], Some(failure.said()))
        }
        (Err(failure), _) => return Err(failure.doing("ask for the health of the store")),
    };
    if let Place::Store(dir) = &place {
        checks.push(keys(dir));
    }
    let ok = checks.iter().all(|check| check.ok);
    if output.json {
        output.document(&json!({ "ok": ok, "checks": checks }))?;
    } else {
        output.print(&text(&checks, output))?;
    }
    refused.map_or_else(|| ended((!ok).then_some(Code::Failed)), Err)
}

fn text(checks: &[Check], output: Output) -> String {
    let line = |check: &Check| {
        let mark = if check.ok { output.good("ok  ") } else { output.bad("look") };
        let detail = check
            .detail
            .lines()
            .map(|line| clean(line.trim()))
            .collect::<Vec<_>>()
            .join("\n                 ");
        format!("{mark}  {:<11}{detail}\n", clean(&check.name))
    };
    let mut text: String = checks.iter().map(line).collect();
    let bad = checks.iter().filter(|check| !check.ok).count();
    text.push_str(&match bad {
        0 => "all is well\n".to_owned(),
        bad => format!("{bad} of {} need attention\n", checks.len()),
    });
    text
}

/// Whoever reads the keys signs as this log and opens every payload.
fn keys(dir: &Path) -> Check {
    let folder = dir.join("keys");
    let (ok, detail) = match fs::metadata(&folder) {
        Ok(is) if is.permissions().mode() & 0o077 == 0 => {
            (true, format!("only its owner can open `{}`", folder.display()))
        }
        Ok(_) => {
            let path = folder.display().to_string();
            (false, format!("others can open `{path}`: chmod 700 {}", shell_word(&path)))
        }
        Err(error) => (false, format!("`{}`: {error}", folder.display())),
    };
    Check { name: "keys".to_owned(), ok, detail }
}
