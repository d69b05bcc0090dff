//! `deed demo`: a whole story on a fresh store. What it prints, it asked the store.

mod damage;
mod enforced;
mod play;
mod samples;
mod tell;
mod vendors;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use deed_ledger::verify::{StoreReport, VerifyOptions, verify_store};
use deed_review::render::{self, Style, WIDTH};
use deed_seal::verify::ProblemKind;
use deed_server::{Addresses, ServeOptions};
use serde_json::json;

use crate::{
    access::{self, Access},
    cli::{Demo, Global},
    client::{Client, Endpoint},
    exit::{Code, Failure, Outcome},
    hint::{Hint, program},
    output::{Output, clean, count, fold, grouped, note, shell_word, wrap},
    stop::Stop,
};
use damage::Damaged;
use enforced::{
    Enforced, Stage,
    setting::{self, Keys},
};
use tell::Told;
use vendors::Vendors;

pub(crate) async fn run(global: &Global, demo: Demo, output: Output, stop: &Stop) -> Outcome {
    if demo.vendors {
        return vendors::serve(stop).await;
    }
    if let Some(place) = &demo.release {
        return vendors::release(place).await;
    }
    if global.server.is_some() {
        return Err(Failure::usage("the demo makes a store of its own; say where with --data DIR"));
    }
    let dir = fresh_folder(global)?;
    if !output.json {
        output.print(&format!("A story in a store of its own, {}\n\n", beginning(&dir, output)))?;
    }
    let (vendors, keys) = (Vendors::start().await?, Keys::make()?);
    setting::write(&dir, &vendors.url(), &keys)?;
    let port = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (access, addresses) = Access::hold(&dir, ledger_options(), |_| ServeOptions {
        listen: port,
        otlp_http: port,
        ..ServeOptions::socket_only()
    })
    .await?;
    let told = tokio::select! {
        told = play(&access, &addresses, &dir, &keys, &vendors, output) => told,
        () = stop.asked() => Err(Failure::new("interrupted")),
    };
    // Signs the last checkpoint: what is verified below is all of it.
    let (told, enforced) = access.finish(told).await?;
    vendors.end().await?;
    if !output.json {
        print_story(&told, &enforced, output)?;
    }
    let verified = verify(&dir)?;
    let secrets = Secrets::look_for(&dir, &enforced.secrets)?;
    let damaged = Damaged::copy(
        &dir,
        env::temp_dir().join(format!("deed-demo-flipped-{}", std::process::id())),
        &told.sealed,
    )?;
    let caught = verify(&damaged.dir)?;
    if output.json {
        output.document(&json!({
            "data": dir, "stories": told.stories.iter().chain(&enforced.stories).collect::<Vec<_>>(), "size": verified.size, "verified": verified.verified(),
            "caught": caught.problems.iter().map(|problem| json!({ "where": problem.place, "what": problem.what })).collect::<Vec<_>>(),
        }))?;
    } else {
        output.print(&proof(&verified, &secrets, &caught, &damaged, output))?;
        output.print(&next(&dir, &told, &enforced, output))?;
    }
    if verified.verified() != Some(true) || caught.verified() != Some(false) || secrets.found.is_some() {
        let mut failure = Failure::new("the store did not verify as it must").code(Code::Violated);
        for problem in &verified.problems {
            failure = failure.detail(format!("{}: {}", problem.place, problem.what));
        }
        return Err(failure.detail(format!("look at it: {}", Hint::of_store(&dir).deed("verify"))));
    }
    drop(damaged);
    if demo.serve { serve(&dir, stop).await } else { Ok(()) }
}

async fn play(
    access: &Access,
    addresses: &Addresses,
    dir: &Path,
    keys: &Keys,
    vendors: &Vendors,
    output: Output,
) -> Result<(Told, Enforced), Failure> {
    let receiver = addresses.otlp_http.ok_or_else(|| Failure::new("the OTLP receiver did not start"))?;
    play::export_traces(receiver).await?;
    play::import_cloudtrail(access).await?;
    play::append_migration(access).await?;
    let told = tell::ask(access, output).await?;
    let http = addresses.http.ok_or_else(|| Failure::new("the HTTP API did not start"))?;
    let client = Arc::new(Client::new(Endpoint::of_address(http), None));
    let stage = Stage { access, client, dir, keys, vendors, output };
    Ok((told, enforced::play(stage).await?))
}

/// Random bytes.
///
/// # Errors
/// The system gives none.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure::new("the system gives no random bytes"))?;
    Ok(bytes)
}

// === The folder ===

/// An empty folder for the story: the one that was chosen, or one of its own, emptied of the last story.
fn fresh_folder(global: &Global) -> Result<PathBuf, Failure> {
    let failed = |dir: &Path, why: String| {
        Failure::new(format!("failed to make a fresh store in `{}`", dir.display())).detail(why)
    };
    let absolute = |dir: PathBuf| std::path::absolute(&dir).map_err(|error| failed(&dir, error.to_string()));
    if let Some(dir) = &global.data {
        let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        return if is_empty {
            absolute(dir.clone())
        } else {
            Err(failed(dir, "it is not empty; choose a new or empty folder".to_owned()))
        };
    }
    let dir = access::data_home()?.join("deed-demo");
    // Only what an earlier story left is taken away, even one that was cut short.
    let has =
        |file: &str, is: fn(&str) -> bool| fs::read_to_string(dir.join(file)).is_ok_and(|text| is(&text));
    let is_ours = has("keys/origin", |origin| origin.trim_end() == ORIGIN)
        || (!dir.join("keys").exists()
            && has(deed_server::settings::FILE, |text| text.starts_with(setting::WRITTEN)));
    match () {
        () if is_ours => fs::remove_dir_all(&dir).map_err(|error| failed(&dir, error.to_string()))?,
        () if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) => {
            return Err(failed(
                &dir,
                format!("it holds something else; choose another folder: {} demo --data DIR", program()),
            ));
        }
        () => {}
    }
    absolute(dir)
}

/// The name of a demo's log.
const ORIGIN: &str = "deed-demo";

// === The page ===

/// The folder, on a line of its own where it is long.
fn beginning(dir: &Path, output: Output) -> String {
    let dir = clean(&dir.display().to_string()).into_owned();
    let apart = if 31 + dir.chars().count() > output.width { "\n  " } else { "" };
    format!("{apart}{dir}")
}

fn print_story(told: &Told, enforced: &Enforced, output: Output) -> Outcome {
    let mut page = String::new();
    for (lines, explained) in [(&told.lines, &told.odd), (&enforced.lines, &enforced.approved)] {
        for line in lines {
            page.push_str(&fold(line, output.width.min(WIDTH)));
            page.push('\n');
        }
        page.push_str(&format!(
            "\n{}\n\n",
            output.strong(&format!("$ deed explain {}", explained.action.id))
        ));
        page.push_str(&render::explain(explained, without_next(output)));
        page.push('\n');
    }
    // What follows begins with a line of its own.
    page.pop();
    output.print(&page)
}

/// What to do next is said once, at the end.
fn without_next(output: Output) -> Style<'static> {
    Style { program: "", ..output.style() }
}

fn verify(dir: &Path) -> Result<StoreReport, Failure> {
    verify_store(dir, &VerifyOptions { rows: crate::commands::verify::rows(), ..VerifyOptions::default() })
        .map_err(|error| {
            Failure::new(format!("failed to verify `{}`", dir.display())).detail(error.to_string())
        })
}

fn proof(
    verified: &StoreReport,
    secrets: &Secrets,
    caught: &StoreReport,
    damaged: &Damaged,
    output: Output,
) -> String {
    let most = output.width.min(WIDTH);
    let checked = &verified.checked;
    let (verdict, all) = match verified.verified() {
        Some(true) => (output.good("verified"), "as they were signed"),
        Some(false) => (output.bad("VIOLATED"), "not as they were signed"),
        None => (output.doubtful("UNVERIFIED"), "not all of them there"),
    };
    let mut text = format!(
        "\n  {verdict}    {}, {}, {}: {all}\n",
        count_leaves(checked.leaves),
        count(checked.disclosures, "payload"),
        count(checked.checkpoints, "checkpoint"),
    );
    let where_found = match &secrets.found {
        None => output.good("kept out"),
        Some(_) => output.bad("LEAKED"),
    };
    let place = secrets
        .found
        .as_ref()
        .map_or("in no file of the store".to_owned(), |path| format!("one is in {}", path.display()));
    text.push_str(&format!(
        "  {where_found}    {} (imported, issued, read): {place}\n",
        count(secrets.looked_for, "secret")
    ));
    let found = caught
        .problems
        .iter()
        .find(|problem| problem.kind == ProblemKind::Violated)
        .map_or("nothing was found".to_owned(), |problem| format!("{}: {}", problem.place, problem.what));
    let verdict =
        if caught.verified() == Some(false) { output.good("caught") } else { output.bad("NOT CAUGHT") };
    text.push_str(&format!(
        "  {verdict}      one bit flipped in a copy ({}, byte {})\n",
        clean(&damaged.file),
        grouped(damaged.byte as u64)
    ));
    let text = text.lines().map(|line| fold(line, most) + "\n");
    let mut text: String = text.collect();
    for line in wrap(&clean(&found), most - 14) {
        text.push_str(&format!("              {line}\n"));
    }
    text
}

/// Secrets of the samples, looked for in every file of the store.
struct Secrets {
    looked_for: u64,
    found: Option<PathBuf>,
}

impl Secrets {
    fn look_for(dir: &Path, more: &[String]) -> Result<Self, Failure> {
        let mut secrets = Secrets { looked_for: 0, found: None };
        let text = String::from_utf8_lossy(samples::CLOUDTRAIL);
        let tokens = text.split("\"sessionToken\"").skip(1).filter_map(|rest| rest.split('"').nth(1));
        for token in tokens.chain(more.iter().map(String::as_str)) {
            secrets.looked_for += 1;
            let found = damage::holding(dir, token.as_bytes())
                .map_err(|error| Failure::new("failed to read the store").detail(error.to_string()))?;
            secrets.found = secrets.found.or(found);
        }
        Ok(secrets)
    }
}

fn count_leaves(leaves: u64) -> String {
    format!("{} sealed records", grouped(leaves))
}

/// What to try on this very store.
fn next(dir: &Path, told: &Told, enforced: &Enforced, output: Output) -> String {
    let deed = program();
    let mut commands = vec![(format!("{deed} find"), "every action")];
    for story in told.stories.iter().rev().chain(&enforced.stories) {
        let Some(about) = story.about else { continue };
        commands.push(match story.trace_id {
            Some(trace) => (format!("{deed} trace {trace}"), about),
            None => (format!("{deed} explain {}", story.action_id), about),
        });
    }
    let policies = shell_word(&setting::folder(dir).display().to_string());
    commands.push((format!("{deed} policy publish {policies}"), "the policies, once you have edited them"));
    commands.push((format!("{deed} verify"), "check everything again"));
    let widest = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let mut text = format!(
        "\nLook around in this store\n\n  export DEED_DATA={}\n",
        shell_word(&dir.display().to_string())
    );
    let longest = commands.iter().map(|(_, about)| about.chars().count()).max().unwrap_or(0);
    for (command, about) in commands {
        if widest + 6 + longest > output.width {
            text.push_str(&format!("  # {about}\n  {command}\n"));
        } else {
            text.push_str(&format!("  {command:<widest$}  # {about}\n"));
        }
    }
    text.push_str(&format!("\nTry it on your own logs\n\n  unset DEED_DATA; {deed} import auto PATH\n"));
    text
}

// === Serving on ===

async fn serve(dir: &Path, stop: &Stop) -> Outcome {
    let (access, addresses) =
        Access::hold(dir, ledger_options(), |settings| ServeOptions::of_settings(&settings.listen)).await?;
    note(&crate::commands::serve::listening(&addresses));
    note("Ctrl-C ends it");
    stop.asked().await;
    access.close().await
}

fn ledger_options() -> deed_ledger::Options {
    // A small journal: the store is copied as a whole.
    deed_ledger::Options {
        origin: Some(ORIGIN.to_owned()),
        journal_file_bytes: 1 << 20,
        ..deed_ledger::Options::default()
    }
}
