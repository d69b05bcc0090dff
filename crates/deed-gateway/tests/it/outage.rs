//! When nothing can be recorded, and what is said of it afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use deed_gateway::{DecisionPoint, INTENTS, Intent, Recorder, Road, Sweep, Unavailable, Verdict};
use deed_ledger::Sender;

use crate::support::{Between, call, intent, of_kind, records};

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
