//! `deed rebuild`: what is derived, thrown away and derived again.

use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, Need},
    cli::Global,
    client::{self, Request},
    exit::{Failure, Outcome},
    output::{Output, clean, count, grouped},
    progress::Progress,
};

/// One thing that was derived again.
#[derive(Debug, Serialize, Deserialize)]
struct Rebuilt {
    name: String,
    packs: u64,
    items: u64,
    digest: String,
    same: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    rebuilt: Vec<Rebuilt>,
    same: bool,
}

pub(crate) async fn run(global: &Global, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let progress = Progress::spinner();
    progress.tell(|| "reading every pack again".to_owned());
    let answer = access
        .finish(ask(&access).await)
        .await
        .map_err(|failure| failure.doing("derive everything again").detail("what is sealed is untouched"))?;
    drop(progress);
    if output.json { output.document(&answer) } else { output.print(&text(&answer, output)) }
}

async fn ask(access: &Access) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        rebuilt: Vec<Rebuilt>,
        #[serde(default)]
        same: bool,
        error: Option<String>,
    }
    // Read as it comes: that takes as long as the history is.
    let answer = access.stream(&Request::post("/v1/rebuild", "application/json", String::new())).await?;
    let status = answer.status();
    let said = answer.into_body().collect().await;
    let said = said.map_err(|error| Failure::new("the answer broke off").detail(error.to_string()))?;
    let said = said.to_bytes();
    if !status.is_success() {
        return Err(client::refusal(status, &said));
    }
    let body: Body = serde_json::from_slice(&said)
        .map_err(|error| Failure::new("the answer makes no sense").detail(error.to_string()))?;
    match body.error {
        Some(error) => Err(Failure::new(error)),
        None => Ok(Answer { rebuilt: body.rebuilt, same: body.same }),
    }
}

fn text(answer: &Answer, output: Output) -> String {
    let mut text = String::new();
    for part in &answer.rebuilt {
        let mark = if part.same { output.good("same   ") } else { output.doubtful("changed") };
        let items = match &*part.name {
            "index" => count(part.items, "run"),
            "identities" => count(part.items, "fact"),
            _ => count(part.items, "row"),
        };
        text.push_str(&format!(
            "{mark}  {:<11}{} from {}\n",
            clean(&part.name),
            items,
            if part.packs == 1 { "1 pack".to_owned() } else { format!("{} packs", grouped(part.packs)) }
        ));
        if let Some(problem) = &part.problem {
            text.push_str(&format!("           {}\n", clean(problem)));
        }
    }
    if !answer.same {
        text.push_str("what was there before did not come from these packs; it does now\n");
    }
    text
}
