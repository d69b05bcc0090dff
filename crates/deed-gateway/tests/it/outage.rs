//! When nothing can be recorded, and what is said of it afterwards.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deed_gateway::{
    Conclusion, DecisionPoint, INTENTS, Intent, OUTCOMES, Recorder, Road, Sweep, Unavailable, Verdict,
};
use deed_ledger::Sender;
use deed_record::{Ruling, Status};
use rustix::process::Pid;

use crate::support::{Between, answer, call, ended, intent, of_kind, records};

/// A road that breaks.
struct Broken {
    point: Arc<DecisionPoint>,
    is_down: Arc<AtomicBool>,
}

impl Road for Broken {
    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
        assert_eq!(path, INTENTS);
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Unavailable::new("disk full"));
        }
        let intent: Intent = serde_json::from_slice(&body).expect("an intent");
        let answer = self.point.intend(&intent, "default").await?;
        Ok(serde_json::to_vec(&answer).expect("JSON"))
    }
}

#[tokio::test]
async fn the_gap_is_recorded_once_recording_works_again() {
    let between = Between::with("");
    let is_down = Arc::new(AtomicBool::new(true));
    let recorder = Recorder::there(Broken { point: between.point.clone(), is_down: is_down.clone() });
    for n in 1..4 {
        assert!(recorder.intend(&intent(n)).await.is_err());
    }
    is_down.store(false, Ordering::Relaxed);
    assert!(matches!(recorder.intend(&intent(4)).await, Ok(Verdict::Go(_))));
    assert!(matches!(recorder.intend(&intent(5)).await, Ok(Verdict::Go(_))));
    let recorded = records(&between.ledger);
    let gaps = of_kind(&recorded, "gap");
    assert_eq!((gaps.len(), of_kind(&recorded, "intent").len()), (1, 2));
    let leaf = recorded.iter().position(|record| record["kind"] == "gap").expect("a gap") as u64;
    let told = between.ledger.disclosures(leaf).expect("disclosures");
    let said = |name: &str| {
        let one = told.iter().find(|one| one.name == name).expect("said");
        String::from_utf8_lossy(&one.json).into_owned()
    };
    assert!(said("count").ends_with(",3]") && said("why").contains("disk full"));
}

#[tokio::test]
async fn asked_twice_it_is_decided_once() {
    let between = Between::with("");
    let first = between.point.intend(&intent(1), "default").await.expect("recorded");
    let again = between.point.intend(&intent(1), "default").await.expect("the same");
    assert_eq!((first.index, first.effect), (again.index, again.effect));
    assert_eq!(records(&between.ledger).len(), 1);
}

#[tokio::test]
async fn a_denial_that_is_asked_for_twice_is_recorded_once() {
    let between = Between::with(r#"@id("none") forbid (principal, action, resource);"#);
    for _ in 0..2 {
        let denied = between.point.intend(&intent(1), "default").await.expect("recorded");
        assert_eq!(denied.effect, Ruling::Deny);
    }
    let kinds: Vec<_> = records(&between.ledger).iter().map(|record| record["kind"].clone()).collect();
    assert_eq!(kinds, ["intent", "outcome"]);
}

/// A road on which the answers to outcomes are lost at first.
struct Lossy {
    point: Arc<DecisionPoint>,
    is_over: AtomicBool,
}

impl Road for Lossy {
    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
        if path == INTENTS {
            let intent: Intent = serde_json::from_slice(&body).expect("an intent");
            let answer = self.point.intend(&intent, "default").await?;
            return Ok(serde_json::to_vec(&answer).expect("JSON"));
        }
        assert_eq!(path, OUTCOMES);
        let conclusion: Conclusion = serde_json::from_slice(&body).expect("a conclusion");
        self.point.conclude(&[conclusion], "default").await?;
        match self.is_over.swap(true, Ordering::Relaxed) {
            true => Ok(b"null".to_vec()),
            false => Err(Unavailable::new("the answer is lost")),
        }
    }
}

#[tokio::test]
async fn an_end_whose_receipt_is_lost_is_told_again_and_recorded_once() {
    let between = Between::with("");
    let road = Lossy { point: between.point.clone(), is_over: AtomicBool::new(false) };
    let mut between = between.at_the_end_of(road);
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    between.server.send(&answer(1, "read")).await;
    between.client.hear().await;
    let recorded = between.end().await;
    let [outcome] = of_kind(&recorded, "outcome")[..] else { panic!("{recorded:#?}") };
    assert_eq!(outcome["outcome"]["status"], "success");
}

/// A road on which outcomes are refused for a while.
struct Away {
    point: Arc<DecisionPoint>,
    since: OnceLock<Instant>,
}

/// Longer than anybody tries in a hurry.
const AWAY: Duration = Duration::from_millis(6500);

impl Road for Away {
    async fn post(&self, path: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
        if path == INTENTS {
            let intent: Intent = serde_json::from_slice(&body).expect("an intent");
            let answer = self.point.intend(&intent, "default").await?;
            return Ok(serde_json::to_vec(&answer).expect("JSON"));
        }
        if self.since.get_or_init(Instant::now).elapsed() < AWAY {
            return Err(Unavailable::new("disk full"));
        }
        let conclusion: Conclusion = serde_json::from_slice(&body).expect("a conclusion");
        self.point.conclude(&[conclusion], "default").await?;
        Ok(b"null".to_vec())
    }
}

#[tokio::test]
async fn an_end_is_recorded_however_long_the_recorder_was_away() {
    let between = Between::with("");
    let road = Away { point: between.point.clone(), since: OnceLock::new() };
    let mut between = between.at_the_end_of(road);
    for id in 1..3 {
        between.client.send(&call(id, "read", "{}")).await;
        between.server.hear().await;
        between.server.send(&answer(id, "read")).await;
        between.client.hear().await;
    }
    let until = Instant::now() + Duration::from_secs(30);
    while of_kind(&records(&between.ledger), "outcome").len() < 2 {
        assert!(Instant::now() < until, "{:#?}", records(&between.ledger));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let recorded = between.end().await;
    let outcomes = of_kind(&recorded, "outcome");
    assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome["outcome"]["status"] == "success"));
}

#[tokio::test]
async fn what_a_killed_door_left_open_is_ended() {
    let mut between = Between::with(
        r#"@id("rest") permit (principal, action, resource);
           @id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Tool::"files/wipe");"#,
    );
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    between.client.send(&call(2, "wipe", "{}")).await;
    while between.point.waiting("test", None).await.expect("recorded").is_empty() {
        tokio::task::yield_now().await;
    }
    between.kill().await;
    let (point, size) = (between.point.clone(), between.ledger.snapshot().size());
    let ended = tokio::task::spawn_blocking(move || {
        (point.end_what_is_open(Sweep::Below(size)), point.end_what_is_open(Sweep::Below(u64::MAX)))
    });
    let (first, second) = ended.await.expect("no panic");
    assert_eq!((first, second), (Ok(2), Ok(0)), "once");
    let recorded = records(&between.ledger);
    let statuses: Vec<_> =
        of_kind(&recorded, "outcome").iter().map(|outcome| outcome["outcome"]["status"].clone()).collect();
    assert_eq!(statuses, ["unknown", "denied"]);
}

/// INVARIANT D11: of what was let through in a process that is gone, nobody else says how it ended.
#[tokio::test]
async fn what_a_process_left_that_is_gone_is_ended_and_nothing_else() {
    let between = Between::with(
        r#"@id("rest") permit (principal, action, resource);
           @id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Tool::"files/wipe");"#,
    );
    let mut gone = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
    let (its, own) = (Pid::from_child(&gone), rustix::process::getpid());
    let wipe = Intent { name: Some("wipe".into()), ..intent(3) };
    for (process, asked) in [(its, intent(1)), (own, intent(2)), (its, wipe), (its, intent(4))] {
        between.point.intend_for(Some(process), &asked, "default").await.expect("recorded");
    }
    between.point.conclude(&[ended(4, Status::Success)], "default").await.expect("recorded");
    let look = || between.point.end_what_was_left();
    assert_eq!((look(), look()), (Ok(0), Ok(0)), "all are there");
    gone.kill().and_then(|()| gone.wait()).expect("killed");
    assert_eq!(
        (look(), look(), look(), look()),
        (Ok(0), Ok(1), Ok(0), Ok(0)),
        "once it was looked for twice"
    );
    let recorded = records(&between.ledger);
    let [told, unknown] = of_kind(&recorded, "outcome")[..] else { panic!("{recorded:#?}") };
    assert_eq!(told["action"], intent(4).id.to_string());
    assert_eq!(unknown["action"], intent(1).id.to_string());
    assert_eq!(unknown["outcome"]["status"], "unknown");
    assert_eq!(
        between.point.waiting("test", None).await.expect("recorded").len(),
        1,
        "it may be approved still"
    );
}

#[tokio::test]
async fn what_somebody_else_appended_is_no_decision() {
    let between = Between::with("");
    let asked = intent(9);
    let claim = format!(
        r#"{{"kind":"intent","id":"{}","time":"2026-11-20T10:00:00Z","executor":{{"type":"agent","key":"agent:x"}},"decision":{{"effect":"allow"}}}}"#,
        asked.id
    );
    let somebody = Sender { tenant: Some("default".into()), name: "somebody".into(), ours: false };
    for recorded in
        between.ledger.begin(claim.as_bytes(), &somebody).expect("taken").wait().expect("recorded")
    {
        recorded.expect("a receipt");
    }
    let recorder = Recorder::here(between.point.clone(), "default");
    let answer = recorder.intend(&asked).await.expect_err("nothing may be done on somebody's word");
    assert!(answer.why().contains("another record"), "{answer}");
}
