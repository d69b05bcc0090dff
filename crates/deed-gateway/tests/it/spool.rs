//! What goes on against the spool while nothing can be recorded, and what does not.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use deed_gateway::{
    Conclusion, DecisionPoint, EndError, InForce, Intent, Recorder, Suspension, Sweep, Unavailable, Verdict,
    Who,
};
use deed_ledger::{Ledger, Options, Spool, SpoolOptions};
use deed_policy::PolicySet;
use deed_record::{PrincipalType, Status};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ended, intent, of_kind, records};

const POLICIES: &str = r#"
@id("look") @tier("low") permit (principal, action == Deed::Action::"tools/call", resource)
  when { [Deed::Tool::"files/read", Deed::Tool::"files/ask", Deed::Tool::"files/hide"].contains(resource) };
@id("write") permit (principal, action, resource == Deed::Tool::"files/write");
@id("hide") @mask("result.name") permit (principal, action, resource == Deed::Tool::"files/hide");
@id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Tool::"files/ask");
"#;

struct World {
    folder: TempDir,
    ledger: Ledger,
    point: Arc<DecisionPoint>,
}

impl World {
    /// A store in use, with a spool beside it.
    async fn new() -> Self {
        World::with(POLICIES, 300).await
    }

    async fn with(policies: &str, seconds: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(&folder.path().join("store"), Options::default()).expect("a store");
        let world = World::over(folder, ledger, policies, seconds);
        // Whoever acts is known by then, and so is the tool.
        for tool in ["read", "write", "ask", "hide"] {
            world.point.intend(&of(&intent(1), tool, 200), "default").await.expect("recorded");
        }
        world
    }

    fn over(folder: TempDir, ledger: Ledger, policies: &str, seconds: u64) -> Self {
        let options = SpoolOptions {
            folder: folder.path().join("spool"),
            max_bytes: 1 << 20,
            max_age: Duration::from_secs(seconds),
        };
        let spool = Spool::open(ledger.clone(), options).expect("a spool");
        let policy = match policies {
            "" => PolicySet::starter(),
            text => PolicySet::of_files([("a.cedar".to_owned(), text.to_owned())].into()).expect("good"),
        };
        let point = DecisionPoint::new(ledger.clone(), InForce::of(|| policy), Duration::from_secs(2));
        World { point: Arc::new(point.with_spool(Some(spool))), folder, ledger }
    }

    fn elsewhere(&self) -> PathBuf {
        self.folder.path().join("elsewhere")
    }

    fn take_away(&self) {
        fs::rename(self.ledger.dir(), self.elsewhere()).expect("moved");
    }

    fn put_back(&self) {
        fs::rename(self.elsewhere(), self.ledger.dir()).expect("moved");
    }

    async fn ask(&self, tool: &str, n: u8) -> Result<Verdict, Unavailable> {
        let recorder = Recorder::here(self.point.clone(), "default");
        recorder.intend(&of(&intent(n), tool, n)).await
    }

    async fn drain(&self) -> Result<u64, Unavailable> {
        let point = self.point.clone();
        tokio::task::spawn_blocking(move || point.drain()).await.expect("no panic")
    }

    async fn end(&self, n: u8) -> Result<(), Unavailable> {
        self.point.conclude(&[ended(n, Status::Success)], "default").await
    }
}

/// The same for another tool; of `n` its id.
fn of(asked: &Intent, tool: &str, n: u8) -> Intent {
    let id = if n == 200 { deed_ledger::fresh_id().expect("an id") } else { intent(n).id };
    Intent { id, name: Some(tool.into()), ..asked.clone() }
}

fn is_spooled(verdict: &Result<Verdict, Unavailable>) -> bool {
    matches!(verdict, Ok(Verdict::Go(recorded)) if recorded.answer().spooled.is_some())
}

fn is_unavailable(verdict: &Result<Verdict, Unavailable>) -> bool {
    matches!(verdict, Err(why) if why.why().contains("is not the folder that was opened"))
}

#[tokio::test]
async fn what_is_declared_low_goes_on_and_nothing_else() {
    let world = World::new().await;
    let before = records(&world.ledger).len();
    world.take_away();
    assert!(is_spooled(&world.ask("read", 10).await));
    for (tool, n) in [("write", 11), ("hide", 12), ("ask", 13), ("unknown", 14)] {
        let verdict = world.ask(tool, n).await;
        assert!(is_unavailable(&verdict), "{tool}: {verdict:?}");
    }
    // What policy is not asked about is nobody's low risk.
    let recorder = Recorder::here(world.point.clone(), "default");
    let listing = Intent { method: "tools/list".into(), name: None, ..intent(15) };
    assert!(is_unavailable(&recorder.intend(&listing).await));
    assert!(world.drain().await.is_err(), "the store is away still");

    world.put_back();
    assert_eq!(world.drain().await, Ok(1));
    assert_eq!(world.drain().await, Ok(0));
    let recorded = records(&world.ledger);
    let new = &recorded[before..];
    let [spooled] = of_kind(new, "intent")[..] else { panic!("{new:#?}") };
    assert!(spooled["spooled"].as_str() >= spooled["time"].as_str(), "{spooled}");
    assert!(spooled["spooled"].as_str() <= spooled["recorded"].as_str(), "{spooled}");
    assert_eq!(spooled["decision"]["obligations"], serde_json::json!(["tier:low"]));
    assert_eq!(of_kind(new, "gap").len(), 1);
}

/// What a command of another machine tells may not have been heard the first time.
#[tokio::test]
async fn an_end_that_is_told_once_more_is_recorded_once() {
    let world = World::new().await;
    let before = records(&world.ledger).len();
    let id = deed_ledger::fresh_id().expect("an id");
    let told = async |status: Status| {
        let told = Conclusion { id: Some(id), ..ended(10, status) };
        world.point.conclude_once(&told, Some("ci"), "default").await
    };
    world.take_away();
    assert!(matches!(told(Status::Success).await, Err(EndError::Unavailable(_))), "nothing of it waits here");
    assert!(is_spooled(&world.ask("read", 10).await));
    told(Status::Success).await.expect("it waits behind its intent");
    world.put_back();
    assert_eq!(world.drain().await, Ok(2));
    told(Status::Success).await.expect("the same");
    assert_eq!(told(Status::Failure).await, Err(EndError::Another));
    let recorded = records(&world.ledger);
    let [outcome] = of_kind(&recorded[before..], "outcome")[..] else { panic!("{recorded:#?}") };
    assert_eq!((&outcome["id"], &outcome["submitter"]), (&id.to_string().into(), &"deed:run/ci".into()));
    assert_eq!(outcome["outcome"]["status"], "success");
}

#[tokio::test]
async fn the_end_of_what_waits_waits_behind_it() {
    let world = World::new().await;
    let before = records(&world.ledger).len();
    world.take_away();
    assert!(is_spooled(&world.ask("read", 10).await));
    assert_eq!(world.end(10).await, Ok(()));
    assert!(world.end(10).await.is_err(), "it has ended; said again, it waits for the log");
    assert!(world.end(99).await.is_err(), "what was not spooled waits for the log");
    world.put_back();
    assert_eq!(world.drain().await, Ok(2));
    let kinds: Vec<Value> =
        records(&world.ledger)[before..].iter().map(|record| record["kind"].clone()).collect();
    assert_eq!(kinds, ["intent", "outcome", "gap"]);
}

#[tokio::test]
async fn the_gaps_say_what_waited_and_what_was_not_done() {
    let world = World::new().await;
    let before = records(&world.ledger).len();
    world.take_away();
    let recorder = Recorder::here(world.point.clone(), "default");
    for (tool, n) in [("write", 10), ("read", 11), ("write", 12), ("read", 13), ("read", 14)] {
        let verdict = recorder.intend(&of(&intent(n), tool, n)).await;
        assert_eq!(verdict.is_ok(), tool == "read");
    }
    world.put_back();
    assert_eq!(world.drain().await, Ok(3));
    assert!(matches!(recorder.intend(&of(&intent(15), "read", 15)).await, Ok(Verdict::Go(_))));
    let recorded = records(&world.ledger);
    let gaps: Vec<u64> = (before as u64..recorded.len() as u64)
        .filter(|leaf| recorded[*leaf as usize]["kind"] == "gap")
        .collect();
    let said = |leaf: u64, name: &str| {
        let told = world.ledger.disclosures(leaf).expect("disclosures");
        told.iter()
            .find(|one| one.name == name)
            .map(|one| String::from_utf8_lossy(&one.json).rsplit(',').next().unwrap_or_default().to_owned())
    };
    assert_eq!(gaps.len(), 2);
    assert_eq!(
        (said(gaps[0], "spooled").as_deref(), said(gaps[0], "count").as_deref()),
        (Some("3]"), Some("0]"))
    );
    assert_eq!((said(gaps[1], "spooled"), said(gaps[1], "count").as_deref()), (None, Some("2]")));
}

/// INVARIANT D11: what waited when its process died is sealed by whoever opens the store next, and ended.
#[tokio::test]
async fn after_a_restart_what_waits_is_sealed_and_ended() {
    let World { folder, ledger, point } = World::new().await;
    let dir = ledger.dir().to_owned();
    // As after a write to the journal that failed: until the store is opened again, nothing is taken.
    ledger.clone().close().expect("closed");
    let recorder = Recorder::here(point.clone(), "default");
    for n in [10, 11] {
        let asked = recorder.intend(&of(&intent(n), "read", n)).await;
        assert!(is_spooled(&asked), "{asked:?}");
    }
    assert!(recorder.intend(&of(&intent(12), "write", 12)).await.is_err());
    drop((recorder, point, ledger));

    let ledger = Ledger::open(&dir, Options::default()).expect("the store");
    let world = World::over(folder, ledger, POLICIES, 300);
    let before = records(&world.ledger).len();
    assert_eq!(world.drain().await, Ok(2));
    let (point, size) = (world.point.clone(), world.ledger.size());
    let ended = tokio::task::spawn_blocking(move || point.end_what_is_open(Sweep::Below(size))).await;
    // With the four of before.
    assert_eq!(ended.expect("no panic"), Ok(6));
    let recorded = records(&world.ledger);
    assert_eq!(of_kind(&recorded[before..], "intent").len(), 2);
}

#[tokio::test]
async fn asked_twice_it_waits_once() {
    let world = World::new().await;
    let before = records(&world.ledger).len();
    world.take_away();
    assert!(is_spooled(&world.ask("read", 10).await));
    assert!(is_spooled(&world.ask("read", 10).await));
    world.put_back();
    assert_eq!(world.drain().await, Ok(1));
    // And asked once more, it was decided before.
    assert!(is_spooled(&world.ask("read", 10).await));
    assert_eq!(of_kind(&records(&world.ledger)[before..], "intent").len(), 1);
}

#[tokio::test]
async fn suspensions_that_are_known_hold_and_one_that_cannot_be_recorded_stops_all() {
    let world = World::new().await;
    let who = |name: &str| -> Who { name.parse().expect("TYPE:NAME") };
    let by = who("human:ann");
    let stop = |what: &str| Suspension {
        what: what.into(),
        credential: false,
        suspended: true,
        by: by.clone(),
        reason: None,
    };
    let of_bot = |n: u8, bot: &str| {
        let mut asked = intent(n);
        asked.place.executor = who(bot);
        asked
    };
    for bot in ["agent:good", "agent:bad"] {
        world.point.intend(&of(&of_bot(1, bot), "read", 200), "default").await.expect("recorded");
    }
    world.point.suspend(&stop("agent:bad"), "default").await.expect("recorded");
    world.take_away();
    let recorder = Recorder::here(world.point.clone(), "default");
    assert!(recorder.intend(&of_bot(10, "agent:bad")).await.is_err());
    assert!(is_spooled(&recorder.intend(&of_bot(11, "agent:good")).await));
    // Somebody wants to stop it, and cannot: nobody goes on.
    assert!(world.point.suspend(&stop("agent:good"), "default").await.is_err());
    let refused = recorder.intend(&of_bot(12, "agent:good")).await.expect_err("stopped");
    assert!(refused.why().contains("a suspension could not be recorded"), "{refused}");
    world.put_back();
    assert_eq!(world.drain().await, Ok(1));
    world.take_away();
    assert!(is_spooled(&recorder.intend(&of_bot(13, "agent:good")).await), "something was recorded since");
    world.put_back();
}

#[tokio::test]
async fn who_was_never_seen_does_not_begin_in_an_outage() {
    let world = World::new().await;
    world.take_away();
    let recorder = Recorder::here(world.point.clone(), "default");
    let mut asked = intent(10);
    asked.place.initiator =
        Some(Who { kind: PrincipalType::Human, key: Some("human:new".into()), name: None, instance: None });
    let refused = recorder.intend(&asked).await.expect_err("a new person's key must be durable first");
    assert!(refused.why().contains("has no key yet"), "{refused}");
    // What the decision point has not read from the log by now, it cannot know.
    let other = recorder_of(&world, "acme").intend(&intent(11)).await;
    assert!(other.is_err(), "{other:?}");
}

fn recorder_of(world: &World, tenant: &str) -> Recorder<deed_gateway::Nowhere> {
    Recorder::here(world.point.clone(), tenant)
}

#[tokio::test]
async fn an_outage_that_lasts_refuses_again_and_names_the_spool() {
    let world = World::with(POLICIES, 1).await;
    world.take_away();
    assert!(is_spooled(&world.ask("read", 10).await));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let refused = world.ask("read", 11).await.expect_err("too old");
    let spool = world.folder.path().join("spool");
    assert!(refused.why().contains("is not the folder that was opened"), "{refused}");
    assert!(refused.why().contains(spool.to_str().expect("a path")), "{refused}");
    assert_eq!(world.end(10).await, Ok(()), "how it ended is taken");
    world.put_back();
    assert_eq!(world.drain().await, Ok(2));
}

#[tokio::test]
async fn the_starter_set_declares_nothing_low() {
    let world = World::with("", 300).await;
    world.take_away();
    assert!(is_unavailable(&world.ask("read", 10).await));
}
