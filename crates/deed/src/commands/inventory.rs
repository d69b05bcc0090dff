//! `deed inventory`: check, show and put into force who and what is declared.

use std::path::Path;

use deed_identity::Inventory;
use http::{HeaderValue, header};
use serde_json::{Value, json};

use crate::{
    access::{Access, Need},
    cli::{self, Global, InventoryCommand, InventoryFile, PutInventory},
    client::{Request, query_value},
    exit::{Code, Failure, Outcome},
    output::{Output, count},
    values,
};

/// How TOML is called.
const TOML: &str = "application/toml";

pub(crate) async fn run(global: &Global, inventory: cli::Inventory, output: Output) -> Outcome {
    match inventory.does {
        InventoryCommand::Check(InventoryFile { file }) => check(&file, output),
        InventoryCommand::Show => show(global, output).await,
        InventoryCommand::Put(asked) => put(global, &asked, output).await,
    }
}

fn check(file: &Path, output: Output) -> Outcome {
    let checked = Inventory::parse(&read(file)?);
    if output.json {
        let problems: Vec<String> = checked.as_ref().err().map(ToString::to_string).into_iter().collect();
        let digest = checked.as_ref().ok().map(|inventory| inventory.digest().to_owned());
        output.document(&json!({ "problems": problems, "digest": digest }))?;
        return if checked.is_ok() { Ok(()) } else { Err(Failure::silent(Code::Failed)) };
    }
    let inventory = checked.map_err(|error| {
        Failure::new(format!("failed to check `{}`", file.display())).detail(error.to_string())
    })?;
    let (principals, resources) = (inventory.principals().len(), inventory.resources().len());
    output.print(&format!(
        "{}, {}, {}\n{}\n",
        count(principals as u64, "principal"),
        count(resources as u64, "resource"),
        count(inventory.sources().count() as u64, "source"),
        inventory.digest()
    ))
}

async fn show(global: &Global, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let mut request = Request::get("/v1/inventory");
    if !output.json {
        request = request.header(header::ACCEPT, HeaderValue::from_static(TOML));
    }
    let answer = access.finish(access.call(&request).await).await;
    let answer = answer.map_err(|failure| failure.doing("show the inventory"))?;
    if output.json {
        return output.document(&answer.json::<Value>()?);
    }
    output.print(&String::from_utf8_lossy(&answer.good()?))
}

async fn put(global: &Global, asked: &PutInventory, output: Output) -> Outcome {
    let text = read(&asked.file)?;
    let access = Access::open(global, Need::Make)?;
    let path = format!("/v1/inventory?by={}", query_value(&values::system_user()));
    let mut request = Request::put(path, TOML, text);
    if let Some(digest) = &asked.over {
        let tag = HeaderValue::try_from(format!("\"{digest}\""));
        let tag = tag.map_err(|_| Failure::new(format!("`{digest}` is no digest")).code(Code::Usage))?;
        request = request.header(header::IF_MATCH, tag);
    }
    let answer = access.call(&request).await.and_then(|answer| answer.json::<Value>());
    let answer = access.finish(answer).await.map_err(|failure| failure.doing("put the inventory"))?;
    if output.json {
        return output.document(&answer);
    }
    let digest = answer["digest"].as_str().unwrap_or("-");
    output.print(&match answer["receipt"]["id"].as_str() {
        Some(record) => format!("in force: {digest}\nrecorded as {record}\n"),
        None => format!("in force already: {digest}\n"),
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("failed to read `{}`: {error}", file.display())))
}
