//! Step-ups: for these arguments, once, in time, by somebody else.

use deed_gateway::{InForce, Intent, Reply, ReplyError, Suspension, Who};
use deed_identity::Inventory;
use deed_policy::PolicySet;
use deed_record::{PrincipalType, Ruling};

use crate::support::{Between, answer, call, intent, of_kind, records};

const STEP_UP: &str = r#"@id("rest") permit (principal, action, resource);
    @id("ask-first") @effect("step_up")
    forbid (principal, action == Deed::Action::"tools/call", resource == Deed::Tool::"files/wipe");"#;

fn human(name: &str) -> Who {
    Who { kind: PrincipalType::Human, key: Some(format!("human:{name}")), name: None, instance: None }
}

fn yes(name: &str) -> Reply {
    Reply { id: None, approved: true, by: human(name), reason: Some("CHG-12".into()) }
}

/// The ids of those that wait, oldest first, once there are so many.
async fn waiting(between: &Between, count: usize) -> Vec<deed_record::RecordId> {
    loop {
        let waiting = between.point.waiting("test", None).await.expect("recorded");
        if waiting.len() == count {
            return waiting.into_iter().map(|one| one.id).collect();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_waits_for_a_human_and_others_do_not_wait_for_it() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", r#"{"path":"/a"}"#)).await;
    between.client.send(&call(2, "read", "{}")).await;
    assert_eq!(between.server.hear().await["id"], 2);
    let ids = waiting(&between, 1).await;
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    let heard = between.server.hear().await;
    assert_eq!((&heard["id"], &heard["params"]["arguments"]["path"]), (&1.into(), &"/a".into()));
    between.server.send(&answer(1, "wiped")).await;
    assert_eq!(between.client.hear().await["id"], 1);
    assert!(matches!(between.point.reply(ids[0], &yes("bob")).await, Err(ReplyError::Unknown(_))), "once");

    let recorded = between.end().await;
    let wipe =
        of_kind(&recorded, "intent").into_iter().find(|intent| intent["tool"]["name"] == "wipe").unwrap();
    assert_eq!(wipe["decision"]["effect"], "step_up");
    let approval = of_kind(&recorded, "approval")[0];
    assert_eq!((&approval["action"], &approval["terms"]["answer"]), (&wipe["id"], &"approved".into()));
    let check = of_kind(&recorded, "step")[0];
    assert_eq!(
        (&check["step_type"], &check["decision"]["effect"]),
        (&"policy_check".into(), &"allow".into())
    );
    assert_eq!(check["approvals"][0], approval["id"]);
}

/// Whoever answers or waits may give up before they hear that it is recorded.
#[tokio::test]
async fn what_is_answered_again_or_waited_for_again_is_recorded_once() {
    let between = Between::with(STEP_UP);
    let long = std::time::Duration::from_secs(20);
    let (mut left, mut n) = ([false; 3], 0);
    while left != [true; 3] {
        n += 1;
        let asked = Intent { name: Some("wipe".into()), ..intent(n) };
        let waits = between.point.intend(&asked, "default").await.expect("recorded");
        waiting(&between, 1).await;
        let is_refused = n % 2 == 0;
        let reply = if is_refused { Reply { approved: false, ..yes("bob") } } else { yes("bob") };
        let is_left = between.begin_and_leave(between.point.reply(waits.id, &reply)).await;
        left[usize::from(is_refused)] |= is_left;
        let again = between.point.reply(waits.id, &reply).await;
        assert_eq!(again.is_ok(), is_left, "{again:?}");
        if !is_refused {
            left[2] |= between.begin_and_leave(between.point.wait(&waits, long)).await;
        }
        let decided = between.point.wait(&waits, long).await.expect("recorded");
        assert_eq!(decided.effect, if is_refused { Ruling::Deny } else { Ruling::Allow });

        let recorded = records(&between.ledger);
        let of_this =
            |kind| of_kind(&recorded, kind).into_iter().filter(|one| one["action"] == waits.id.to_string());
        let [approval] = of_this("approval").collect::<Vec<_>>()[..] else { panic!("{recorded:#?}") };
        assert!(again.is_err() || again.is_ok_and(|replied| approval["id"] == replied.record.to_string()));
        let (cleared, denied) = (of_this("step").collect::<Vec<_>>(), of_this("outcome").count());
        assert_eq!((cleared.len(), denied), if is_refused { (0, 1) } else { (1, 0) }, "{recorded:#?}");
        assert!(cleared.iter().all(|cleared| cleared["approvals"][0] == approval["id"]));
    }
}

#[tokio::test]
async fn like_calls_are_approved_one_by_one() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", r#"{"path":"/a"}"#)).await;
    waiting(&between, 1).await;
    between.client.send(&call(2, "wipe", r#"{"path":"/a"}"#)).await;
    let ids = waiting(&between, 2).await;
    between.point.reply(ids[1], &yes("bob")).await.expect("approved");
    assert_eq!(between.server.hear().await["id"], 2, "the second was approved, not the first");
    assert!(between.server.is_silent().await);
    let no = Reply { id: None, approved: false, by: human("bob"), reason: Some("freeze".into()) };
    between.point.reply(ids[0], &no).await.expect("refused");
    let refusal = between.client.hear().await;
    let text = refusal["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("freeze") && text.contains("human:bob"), "{text}");
    between.server.send(&answer(2, "wiped")).await;
    let recorded = between.end().await;
    let statuses: Vec<_> =
        of_kind(&recorded, "outcome").iter().map(|one| one["outcome"]["status"].clone()).collect();
    assert_eq!(statuses, ["denied", "success"]);
}

#[tokio::test]
async fn an_approval_that_comes_late_is_for_the_same_call_once() {
    let mut between = Between::with_patience(STEP_UP, std::time::Duration::ZERO);
    between.client.send(&call(1, "wipe", r#"{"path":"/a","n":1}"#)).await;
    let refusal = between.client.hear().await;
    let text = refusal["result"]["content"][0]["text"].as_str().unwrap();
    let ids = waiting(&between, 1).await;
    assert!(text.contains(&format!("deed approve {}", ids[0])), "{text}");
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    // Other arguments are another call; the same ones in another order are not.
    between.client.send(&call(2, "wipe", r#"{"path":"/b","n":1}"#)).await;
    assert_eq!(between.client.hear().await["result"]["isError"], true);
    between.client.send(&call(3, "wipe", r#"{"n":1,"path":"/a"}"#)).await;
    assert_eq!(between.server.hear().await["id"], 3);
    between.client.send(&call(4, "wipe", r#"{"path":"/a","n":1}"#)).await;
    assert_eq!(between.client.hear().await["id"], 4, "it was used up");
    between.server.send(&answer(3, "wiped")).await;
    let recorded = between.end().await;
    let approved = of_kind(&recorded, "approval")[0]["id"].clone();
    let used = of_kind(&recorded, "intent").into_iter().find(|intent| intent["approvals"][0] == approved);
    assert_eq!(used.unwrap()["decision"]["effect"], "allow");
}

#[tokio::test]
async fn a_call_that_was_called_off_is_not_made_when_it_is_approved() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", "{}")).await;
    let ids = waiting(&between, 1).await;
    between
        .client
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    between.client.send(&call(2, "read", "{}")).await;
    assert_eq!(between.server.hear().await["id"], 2);
    waiting(&between, 0).await;
    between.point.reply(ids[0], &yes("bob")).await.expect_err("nobody wants it any more");
    assert!(between.server.is_silent().await);
    let recorded = between.end().await;
    let wipe =
        of_kind(&recorded, "intent").into_iter().find(|intent| intent["tool"]["name"] == "wipe").unwrap();
    let ended =
        of_kind(&recorded, "outcome").into_iter().find(|outcome| outcome["action"] == wipe["id"]).unwrap();
    assert_eq!(ended["outcome"]["status"], "cancelled");
}

#[tokio::test]
async fn who_sees_the_arguments_is_recorded_first_and_secrets_are_not_shown() {
    let mut between = Between::with(STEP_UP);
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    between.client.send(&call(1, "wipe", &format!(r#"{{"path":"/a","token":"{secret}"}}"#))).await;
    waiting(&between, 1).await;
    let shown = between.point.waiting("bob", None).await.expect("recorded");
    let arguments = shown[0].arguments.as_ref().expect("arguments").get();
    assert!(arguments.contains("/a") && !arguments.contains(secret), "{arguments}");
    between.point.waiting("bob", None).await.expect("recorded");
    let recorded = between.end().await;
    let seen = of_kind(&recorded, "access");
    assert_eq!(seen.len(), 2, "once for each of two viewers");
    assert_eq!(seen[0]["action"], of_kind(&recorded, "intent")[0]["id"]);
}

#[tokio::test]
async fn whoever_asked_or_executes_cannot_approve() {
    let mut between = Between::with_people(STEP_UP, "human:ann", "agent:bot");
    between.client.send(&call(1, "wipe", "{}")).await;
    let ids = waiting(&between, 1).await;
    for by in [
        human("ann"),
        human("Ann"),
        human("ann "),
        Who { key: Some("user:ann".into()), ..human("x") },
        Who { kind: PrincipalType::Agent, ..human("x") },
        Who { key: None, ..human("x") },
        Who { key: Some("agent:bot".into()), ..human("x") },
    ] {
        let reply = Reply { id: None, approved: true, by, reason: None };
        assert!(
            matches!(between.point.reply(ids[0], &reply).await, Err(ReplyError::NotTheirs(_))),
            "{reply:?}"
        );
    }
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    assert_eq!(between.server.hear().await["id"], 1);
}

#[tokio::test]
async fn a_self_approval_is_marked_and_somebody_elses_is_not() {
    let policies = STEP_UP.replace("@effect(\"step_up\")", "@effect(\"step_up\") @approver(\"self\")");
    let mut between = Between::with_people(&policies, "human:ann", "agent:bot");
    for (id, by) in [(1, "ann"), (2, "bob")] {
        between.client.send(&call(id, "wipe", &format!("{{\"n\":{id}}}"))).await;
        let ids = waiting(&between, 1).await;
        between.point.reply(ids[0], &yes(by)).await.expect("approved");
        assert_eq!(between.server.hear().await["id"], id);
    }
    let recorded = between.end().await;
    let marks = of_kind(&recorded, "approval").iter().map(|one| one["operation"].clone()).collect::<Vec<_>>();
    assert_eq!(marks, ["self-approval", "approval"]);
}

#[tokio::test]
async fn a_suspended_human_has_no_say_and_the_attempt_is_recorded() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", "{}")).await;
    let ids = waiting(&between, 1).await;
    let stop = |suspended| Suspension {
        what: "human:bob".into(),
        credential: false,
        suspended,
        by: human("carol"),
        reason: None,
    };
    between.point.suspend(&stop(true), "default").await.expect("recorded");
    for name in ["bob", "Bob"] {
        let refused = between.point.reply(ids[0], &yes(name)).await;
        assert!(
            matches!(&refused, Err(ReplyError::NotTheirs(why)) if why.contains("suspended")),
            "{refused:?}"
        );
    }
    between.point.suspend(&stop(false), "default").await.expect("recorded");
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    assert_eq!(between.server.hear().await["id"], 1);
    let recorded = between.end().await;
    let tried: Vec<_> = of_kind(&recorded, "intent")
        .into_iter()
        .filter(|intent| intent["operation"] == "approval")
        .map(|intent| (intent["decision"]["effect"].clone(), intent["resource"]["uri"].clone()))
        .collect();
    assert_eq!(tried, vec![("deny".into(), format!("deed:approval/{}", ids[0]).into()); 2]);
}

#[tokio::test]
async fn what_somebody_approved_who_was_suspended_since_is_not_done() {
    let mut between = Between::with_patience(STEP_UP, std::time::Duration::ZERO);
    between.client.send(&call(1, "wipe", "{}")).await;
    between.client.hear().await;
    let ids = waiting(&between, 1).await;
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    let stop = Suspension {
        what: "human:bob".into(),
        credential: false,
        suspended: true,
        by: human("carol"),
        reason: None,
    };
    between.point.suspend(&stop, "default").await.expect("recorded");
    between.client.send(&call(2, "wipe", "{}")).await;
    assert_eq!(between.client.hear().await["result"]["isError"], true);
    assert!(between.server.is_silent().await);
}

#[tokio::test]
async fn a_new_policy_set_says_who_may_answer_what_waits() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", "{}")).await;
    let ids = waiting(&between, 1).await;
    let grouped = STEP_UP.replace("@effect(\"step_up\")", "@effect(\"step_up\") @approver(\"mgr\")");
    let people = r#"[[principal]]
key = "human:carol"
type = "human"
groups = ["mgr"]
"#;
    between.point.change(|force| {
        *force = InForce::of(|| PolicySet::of_files([("a.cedar".to_owned(), grouped)].into()).expect("good"));
        force.inventory = Inventory::parse(people).expect("good").into();
    });
    let shown = between.point.waiting("test", None).await.expect("recorded");
    assert_eq!(shown[0].approvers, ["group mgr"]);
    let refused = between.point.reply(ids[0], &yes("bob")).await;
    assert!(matches!(&refused, Err(ReplyError::NotTheirs(why)) if why.contains("`mgr`")), "{refused:?}");
    between.point.reply(ids[0], &yes("carol")).await.expect("approved");
    assert_eq!(between.server.hear().await["id"], 1);
}

/// INVARIANT D11: asked to end, it leaves nothing without an end.
#[tokio::test]
async fn whoever_is_asked_to_stop_says_what_became_of_everything() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "read", "{}")).await;
    between.client.send(&call(2, "write", "{}")).await;
    between.client.send(&call(3, "wipe", "{}")).await;
    between.server.hear().await;
    between.server.hear().await;
    waiting(&between, 1).await;
    between.server.send(&answer(1, "read")).await;
    between.client.hear().await;
    let recorded = between.stop().await;
    let ended = |tool: &str| {
        let intents = of_kind(&recorded, "intent");
        let intent = intents.into_iter().find(|intent| intent["tool"]["name"] == tool).expect("recorded");
        let mut outcomes = of_kind(&recorded, "outcome").into_iter();
        let outcome = outcomes.find(|outcome| outcome["action"] == intent["id"]).expect("an end");
        let outcome = &outcome["outcome"];
        (
            outcome["status"].as_str().expect("a status").to_owned(),
            outcome["code"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(ended("read"), ("success".into(), None));
    assert_eq!(ended("write"), ("unknown".into(), Some("connection_ended".into())), "the server heard of it");
    assert_eq!(ended("wipe"), ("cancelled".into(), Some("connection_ended".into())), "it did not");
}

#[tokio::test]
async fn a_message_that_comes_in_pieces_is_whole_whatever_is_decided_meanwhile() {
    let mut between = Between::with(STEP_UP);
    between.client.send(&call(1, "wipe", "{}")).await;
    let ids = waiting(&between, 1).await;
    let long = call(2, "read", &format!(r#"{{"text":"{}"}}"#, "x".repeat(100_000)));
    let (begin, end) = long.split_at(50_000);
    between.client.send_piece(begin).await;
    between.point.reply(ids[0], &yes("bob")).await.expect("approved");
    assert_eq!(between.server.hear().await["id"], 1);
    between.client.send(end).await;
    assert_eq!(
        between.server.hear().await["params"]["arguments"]["text"].as_str().map(str::len),
        Some(100_000)
    );
    between.end().await;
}
