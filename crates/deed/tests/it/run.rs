//! `deed run` around real commands, with policies and approvals from other terminals.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use deed_ledger::{Ledger, Options};
use serde_json::{Value, json};

use crate::support::{Home, Ran, finish, signal};

const WEB: &[&str] = &["run", "--action", "deploy", "--resource", "deploy:prod/web"];

/// `deed run` with `flags` around a shell that does `script`.
pub(crate) fn run(home: &Home, flags: &[&str], script: &str) -> Ran {
    finish(command(home, flags, script).output().unwrap())
}

pub(crate) fn command(home: &Home, flags: &[&str], script: &str) -> Command {
    let mut command = home.command([WEB, flags, &["--", "sh", "-c", script]].concat());
    command.env("USER", "ann");
    command
}

/// One that goes on meanwhile.
fn begin(home: &Home, flags: &[&str], script: &str) -> Child {
    command(home, flags, script).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn publish(home: &Home, text: &str) {
    let file = home.write("policies/rules.cedar", text);
    home.run(["policy", "publish", file.parent().unwrap().to_str().unwrap()]).good();
}

/// The newest action.
pub(crate) fn newest(home: &Home) -> Value {
    let found = home.run(["find", "--resource", "deploy:prod/web", "--json", "--limit", "1"]).good().out;
    let row: Value = serde_json::from_str(found.lines().next().expect("an action")).unwrap();
    home.run(["explain", row["id"].as_str().unwrap(), "--json"]).good().json()
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The step-up that waits.
pub(crate) fn waiting(home: &Home) -> Value {
    let mut found = None;
    until("nothing waits", || {
        let listed = home.run(["approvals", "--json"]).good().json();
        found = listed["approvals"].get(0).cloned();
        found.is_some()
    });
    found.unwrap()
}

const ASK_FIRST: &str = r#"
@id("rest") permit (principal, action, resource);
@id("production") @effect("step_up")
forbid (principal, action == Deed::Action::"run", resource) when { resource.uri like "deploy:prod/*" };
"#;

#[test]
fn it_is_the_command_to_everybody_around() {
    let home = Home::new();
    let mut child = command(&home, &[], "read line; echo \"out $line\"; echo err >&2; exit 3")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"in\n").unwrap();
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, &*ran.out), (3, "out in\n"), "{ran:?}");
    assert!(ran.err.ends_with("\nerr\n"), "{ran:?}");
    let explained = newest(&home);
    assert_eq!(explained["action"]["operation"], "deploy");
    assert_eq!(explained["action"]["basis"], "enforced");
    assert_eq!(explained["executor"]["key"], "os:ann");
    assert_eq!(explained["executor"]["edge"], "asserted");
    assert_eq!(explained["decision"]["policies"], json!(["starter"]));
    assert_eq!(
        (&explained["outcome"]["status"], &explained["outcome"]["code"]),
        (&"failure".into(), &"3".into())
    );
    assert!(explained["outcome"]["duration_ms"].is_u64());
    assert_eq!(run(&home, &[], "exit 0").code, 0);
    home.run(["verify"]).good();
}

#[test]
fn the_command_knows_its_action_and_its_trace() {
    let home = Home::new();
    let inner = r#"echo "$DEED_ACTION_ID $TRACEPARENT""#;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ran = run(&home, &["--trace", given, "--id-file", "id"], inner).good();
    let (id, trace) = ran.out.trim().split_once(' ').unwrap();
    assert_eq!(fs::read_to_string(home.path("id")).unwrap().trim(), id);
    let explained = home.run(["explain", id, "--json"]).good().json();
    assert_eq!(explained["action"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(explained["action"]["parent_span_id"], "00f067aa0ba902b7");
    let span = explained["action"]["span_id"].as_str().unwrap();
    assert_eq!(trace, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01"));
    // From the pipeline around it.
    let ran = finish(command(&home, &[], inner).env("TRACEPARENT", given).output().unwrap()).good();
    assert!(ran.out.contains("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{ran:?}");
}

#[test]
fn what_policy_denies_does_not_start() {
    let home = Home::new();
    publish(
        &home,
        r#"@id("rest") permit (principal, action, resource);
           @id("no-force") forbid (principal, action == Deed::Action::"run", resource)
           when { context.arguments has command && context.arguments.command.contains("--force") };
           @id("deploys-only") forbid (principal, action == Deed::Action::"run", resource)
           unless { context.arguments has action && context.arguments.action == "deploy" };"#,
    );
    let flags = [WEB, &["--", "touch", "--force", "done"]].concat();
    let ran = home.run(flags).bad(6, &["`no-force`", "not started", "explain"]);
    assert_eq!(ran.out, "");
    assert!(!home.path("done").exists());
    let explained = newest(&home);
    assert_eq!(
        (&explained["decision"]["effect"], &explained["outcome"]["status"]),
        (&"deny".into(), &"denied".into())
    );
    let other = ["run", "--action", "wipe", "--resource", "deploy:prod/web", "--", "touch", "done"];
    home.run(other).bad(6, &["`deploys-only`"]);
    run(&home, &[], "touch done").good();
    assert!(home.path("done").exists());
}

#[test]
fn a_human_approves_from_another_terminal() {
    let home = Home::new();
    publish(&home, ASK_FIRST);
    let child = begin(&home, &["--as", "workload:ci", "--for", "human:ann"], "touch done");
    let one = waiting(&home);
    assert_eq!((&one["target"], &one["method"]), (&"deploy:prod/web".into(), &"run".into()));
    assert_eq!(one["arguments"]["command"], json!(["sh", "-c", "touch done"]));
    let id = one["id"].as_str().unwrap();
    home.run(["approve", id, "--as", "human:ann"]).bad(6, &["somebody else"]);
    assert!(!home.path("done").exists());
    home.run(["approve", id, "--as", "human:bob", "--reason", "CHG-12"]).good();
    let ran = finish(child.wait_with_output().unwrap()).good();
    assert!(ran.err.contains(&format!("approve {id}")) && home.path("done").exists(), "{ran:?}");
    let explained = home.run(["explain", id, "--json"]).good().json();
    assert_eq!(explained["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(explained["outcome"]["status"], "success");

    let child = begin(&home, &["--as", "workload:ci", "--for", "human:ann"], "touch refused");
    let id = waiting(&home)["id"].as_str().unwrap().to_owned();
    home.run(["refuse", &id, "--as", "human:bob", "--reason", "freeze"]).good();
    finish(child.wait_with_output().unwrap()).bad(6, &["human:bob", "freeze"]);
    assert!(!home.path("refused").exists());
}

/// INVARIANT D11: what was given up ends then, and an approval that comes later is good for the next like it.
fn given_up(home: &Home, run: &dyn Fn(&str) -> Ran) {
    run("0").bad(6, &["nobody approved it", "not started"]);
    let id = waiting(home)["id"].as_str().unwrap().to_owned();
    let ended = |id: &str| home.run(["explain", id, "--json"]).good().json()["outcome"].clone();
    let refused = json!(["denied", "not_approved_in_time"]);
    assert_eq!(json!([ended(&id)["status"], ended(&id)["code"]]), refused);
    home.run(["approve", &id, "--as", "human:bob"]).good();
    assert_eq!(json!([ended(&id)["status"], ended(&id)["code"]]), refused);
    let told = home.run(["explain", &id]).good().out;
    assert!(!told.contains("AUTHORISED") && !told.contains("not known"), "{told}");
    run("0").good();
}

#[test]
fn what_nobody_approved_in_time_ends_as_refused() {
    let home = Home::new();
    publish(&home, ASK_FIRST);
    let of = ["--as", "workload:ci", "--for", "human:ann", "--wait"];
    given_up(&home, &|wait| run(&home, &[&of[..], &[wait]].concat(), "true"));
    let server = home.serve(&[]);
    given_up(&home, &|wait| run(&home, &[&of[..], &[wait]].concat(), "false || true"));
    server.stop();
}

#[test]
fn a_rollback_names_what_it_undoes() {
    let home = Home::new();
    run(&home, &["--id-file", "id"], "exit 1");
    let id = fs::read_to_string(home.path("id")).unwrap();
    let flags = ["run", "--action", "rollback", "--resource", "deploy:prod/web", "--compensates", id.trim()];
    home.run([&flags[..], &["--", "true"]].concat()).good();
    let explained = newest(&home);
    assert_eq!(explained["outcome"]["compensates"], id.trim());
    assert_eq!(explained["action"]["step_type"], "rollback");
    let text = home.run(["explain", explained["action"]["id"].as_str().unwrap()]).good().out;
    assert!(text.contains("undoes"), "{text}");
    // One trace tells both.
    let trace = explained["action"]["trace_id"].as_str().unwrap();
    let steps = home.run(["trace", trace, "--json"]).good().json();
    assert_eq!(steps["steps"].as_array().map(Vec::len), Some(2), "{steps}");
    let nothing = "0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4";
    run(&home, &["--compensates", nothing], "touch done").bad(3, &[nothing]);
    assert!(!home.path("done").exists());
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key with its PEM file, and what signs with it.
struct Signer {
    pem: PathBuf,
    sign: Sign,
}

/// The SubjectPublicKeyInfo of a key: what stands before the bytes of a key of its type (RFC 5480, RFC 8410).
fn pem(home: &Home, name: &str, before: &[u8], key: &[u8]) -> PathBuf {
    let der = [before, key].concat();
    home.write(
        name,
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der)),
    )
}

fn p256(home: &Home, name: &str) -> Signer {
    const BEFORE: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let pem = pem(home, name, &BEFORE, pair.public_key().as_ref());
    Signer { pem, sign: Box::new(move |m| pair.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec()) }
}

fn ed25519(home: &Home, name: &str) -> Signer {
    const BEFORE: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let pair = Ed25519KeyPair::generate().unwrap();
    let pem = pem(home, name, &BEFORE, pair.public_key().as_ref());
    Signer { pem, sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) }
}

#[test]
fn the_signature_of_an_artifact_is_checked() {
    let home = Home::new();
    home.write("web.tar", "the release");
    for (kind, signer) in [("p256", p256(&home, "p.pem")), ("ed25519", ed25519(&home, "e.pem"))] {
        let other = p256(&home, "other.pem");
        let signature = (signer.sign)(b"the release");
        home.write("raw.sig", &signature);
        home.write("base64.sig", format!("{}\n", STANDARD.encode(&signature)));
        home.write("bad.sig", (signer.sign)(b"another release"));
        let signed = |signature: &str, key: &Path, script: &str| {
            let key = key.to_str().unwrap();
            run(&home, &["--artifact", "web.tar", "--signature", signature, "--signer", key], script)
        };
        for good in ["raw.sig", "base64.sig"] {
            signed(good, &signer.pem, "true").good();
            let artifact = &newest(&home)["action"]["artifact"];
            assert_eq!(artifact["name"], "web.tar", "{kind}");
            assert_eq!(
                artifact["digest"],
                "sha256:4251021511d429b74a9ffbefe55a150fb67af307a3ea6e2c0b6c6f6b97a0e7be"
            );
            assert!(artifact["signer"].as_str().unwrap().starts_with("sha256:"), "{artifact}");
        }
        // Whoever gives a signature means it to count, though the starter set asks for none.
        signed("bad.sig", &signer.pem, "touch done").bad(6, &["signature", "not started"]);
        signed("raw.sig", &other.pem, "touch done").bad(6, &["signature"]);
        let explained = newest(&home);
        assert_eq!(explained["action"]["artifact"]["signer"], Value::Null);
        assert_eq!(explained["outcome"]["code"], "signature_invalid");
        signed("web.tar", &home.path("web.tar"), "touch done").bad(1, &["public key in PEM"]);
        assert!(!home.path("done").exists());
    }
    run(&home, &["--artifact", "web.tar"], "true").good();
    assert_eq!(newest(&home)["action"]["artifact"]["signer"], Value::Null);
    let text = home.run(["explain", newest(&home)["action"]["id"].as_str().unwrap()]).good().out;
    assert!(text.contains("released") && text.contains("web.tar"), "{text}");
}

#[test]
fn policy_decides_about_signatures() {
    let home = Home::new();
    let signer = p256(&home, "p.pem");
    home.write("web.tar", "the release");
    home.write("good.sig", (signer.sign)(b"the release"));
    home.write("bad.sig", (signer.sign)(b"another"));
    let ran = |signature: Option<&str>| {
        let with = signature.map(|signature| ["--signature", signature, "--signer", "p.pem"]);
        let flags =
            [&["--artifact", "web.tar"][..], with.as_ref().map_or(&[][..], |with| &with[..])].concat();
        run(&home, &flags, "true").code
    };
    publish(
        &home,
        r#"@id("signed") permit (principal, action == Deed::Action::"run", resource)
           when { context.arguments has artifact.signature && context.arguments.artifact.signature == "verified" };"#,
    );
    assert_eq!([ran(None), ran(Some("bad.sig")), ran(Some("good.sig"))], [6, 6, 0]);
    // A set that looks at it may let it pass.
    publish(
        &home,
        r#"@id("any") permit (principal, action == Deed::Action::"run", resource)
           when { context.arguments has artifact.signature && context.arguments.artifact.signature != "none" };"#,
    );
    assert_eq!([ran(None), ran(Some("bad.sig")), ran(Some("good.sig"))], [6, 0, 0]);
}

#[test]
fn an_artifact_that_changes_after_the_decision_is_not_released() {
    let home = Home::new();
    publish(&home, ASK_FIRST);
    home.write("web.tar", "the release");
    let child = begin(&home, &["--as", "workload:ci", "--artifact", "web.tar"], "touch done");
    let one = waiting(&home);
    assert!(one["arguments"]["artifact"]["digest"].as_str().unwrap().starts_with("sha256:"));
    home.write("web.tar", "another release");
    let id = one["id"].as_str().unwrap();
    home.run(["approve", id, "--as", "human:bob"]).good();
    finish(child.wait_with_output().unwrap()).bad(1, &["changed", "not started"]);
    assert!(!home.path("done").exists());
    let explained = home.run(["explain", id, "--json"]).good().json();
    assert_eq!(
        (&explained["outcome"]["status"], &explained["outcome"]["code"]),
        (&"failure".into(), &"artifact_changed".into())
    );
}

#[test]
fn signals_reach_the_command_and_the_record() {
    let home = Home::new();
    let sleeper = "trap 'echo got; exit 9' TERM; touch up; while :; do sleep 0.05; done";
    let child = begin(&home, &[], sleeper);
    until("the command does not start", || home.path("up").exists());
    signal(&child, "TERM");
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, &*ran.out), (9, "got\n"), "{ran:?}");
    let outcome = newest(&home)["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"cancelled".into(), &"9".into()));

    fs::remove_file(home.path("up")).unwrap();
    let child = begin(&home, &[], "touch up; exec sleep 60");
    until("the command does not start", || home.path("up").exists());
    signal(&child, "INT");
    let ran = finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(newest(&home)["outcome"]["code"], "SIGINT");

    assert_eq!(run(&home, &[], "kill -KILL $$").code, 137);
    let outcome = newest(&home)["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"failure".into(), &"SIGKILL".into()));
}

#[test]
fn interrupted_while_it_waits_nothing_starts() {
    let home = Home::new();
    publish(&home, ASK_FIRST);
    let child = begin(&home, &[], "touch done");
    waiting(&home);
    signal(&child, "INT");
    finish(child.wait_with_output().unwrap()).bad(1, &["SIGINT", "not started"]);
    assert!(!home.path("done").exists());
    let outcome = newest(&home)["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"cancelled".into(), &"client".into()));
}

/// INVARIANT D11: whoever was killed leaves an intent that the next holder of the store ends as unknown.
#[test]
fn killed_it_leaves_an_end_that_is_unknown() {
    let home = Home::new();
    let mut child = begin(&home, &[], "touch up; sleep 1; touch late");
    until("the command does not start", || home.path("up").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let mut streams = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    // Who keeps a store open meanwhile sweeps it.
    let server = home.serve(&[]);
    until("it has no end", || newest(&home)["outcome"]["code"] == "no_outcome");
    assert_eq!(newest(&home)["outcome"]["status"], "unknown");
    server.stop();
    let mut rest = String::new();
    streams.0.read_to_string(&mut rest).unwrap();
    streams.1.read_to_string(&mut rest).unwrap();
    home.run(["verify"]).good();
}

/// INVARIANT D1: what cannot be recorded is not done.
#[test]
fn without_a_recorder_nothing_starts() {
    // A disk that takes nothing more.
    let home = Home::new();
    run(&home, &[], "true").good();
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let deed = env!("CARGO_BIN_EXE_deed");
    let inner = [WEB, &["--", "sh", "-c", "mkdir done"]].concat();
    let mut limited = Command::new("sh");
    limited.args(["-c", full, "sh", deed]).args(&inner).env("DEED_DATA", home.store());
    finish(limited.current_dir(home.path("")).output().unwrap()).bad(7, &["not started"]);

    // A store that lost its keys.
    let home = Home::new();
    run(&home, &[], "true").good();
    fs::remove_dir_all(home.store().join("keys")).unwrap();
    run(&home, &[], "mkdir done").bad(7, &["keys", "not started"]);

    // No place for one.
    let home = Home::new();
    home.write("file", "");
    let mut nowhere = command(&home, &[], "mkdir done");
    finish(nowhere.env("DEED_DATA", home.path("file/store")).output().unwrap()).bad(7, &["not started"]);
    assert!(!home.path("done").exists());
}

#[test]
fn a_store_that_goes_away_while_it_waits_lets_nothing_start() {
    let home = Home::new();
    publish(&home, ASK_FIRST);
    let child = begin(&home, &["--wait", "60"], "touch done");
    let id = waiting(&home)["id"].as_str().unwrap().to_owned();
    fs::rename(home.store(), home.path("elsewhere")).unwrap();
    let mut approve = home.command(["approve", &id, "--as", "human:bob"]);
    let ran = finish(approve.env("DEED_DATA", home.path("elsewhere")).output().unwrap());
    assert_ne!(ran.code, 0, "{ran:?}");
    signal(&child, "TERM");
    assert_ne!(finish(child.wait_with_output().unwrap()).code, 0);
    assert!(!home.path("done").exists());
}

/// INVARIANT D9.
#[test]
fn secrets_of_the_command_line_and_the_environment_never_reach_the_store() {
    const SECRETS: [&str; 4] = [
        "hunter2-of-the-argument",
        "hunter2-behind-equals",
        "hunter2-in-a-script",
        "hunter2-of-the-environment",
    ];
    let home = Home::new();
    publish(
        &home,
        r#"@id("rest") permit (principal, action, resource)
           when { context.arguments has command && context.arguments.command.contains("sh") };"#,
    );
    let script = format!("export DB_PASSWORD={}; test \"$1\" = --password", SECRETS[2]);
    let behind = format!("--api-secret={}", SECRETS[1]);
    let flags = [WEB, &["--", "sh", "-c", &script, "x", "--password", SECRETS[0], &behind]].concat();
    finish(home.command(flags).env("PGPASSWORD", SECRETS[3]).output().unwrap()).good();
    let mut read = 0;
    let mut folders = vec![home.store()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                read += 1;
                for secret in SECRETS {
                    let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                    assert!(!found, "`{secret}` is in {}", path.display());
                }
            }
        }
    }
    assert!(read > 5, "nothing was looked at");
    // Nor, behind its encryption, any payload.
    let ledger = Ledger::open(&home.store(), Options::default()).unwrap();
    let mut told = String::new();
    for leaf in 0..ledger.snapshot().size() {
        for one in ledger.disclosures(leaf).unwrap() {
            told.push_str(&String::from_utf8_lossy(&one.json));
        }
    }
    drop(ledger);
    assert!(told.contains("--password") && !told.contains("hunter2"), "{told}");
    let text = home.run(["explain", newest(&home)["action"]["id"].as_str().unwrap(), "--json"]).good().out;
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let home = Home::new();
    for flags in [
        &["run", "--action", "deploy", "--", "true"][..],
        &["run", "--action", "", "--resource", "deploy:x", "--", "true"],
        &["run", "--action", "a b", "--resource", "deploy:x", "--", "true"],
        &["run", "--action", "deploy", "--resource", "x", "--", "true"],
        &["run", "--action", "deploy", "--resource", "deploy:x"],
        &["run", "--action", "deploy", "--resource", "deploy:x", "--signature", "s", "--", "true"],
        &[
            "run",
            "--action",
            "deploy",
            "--resource",
            "deploy:x",
            "--issuer",
            "https://i.example",
            "--",
            "true",
        ],
    ] {
        assert_eq!(home.run(flags).code, 2, "{flags:?}");
    }
    assert!(!home.store().exists());
    let none = [WEB, &["--", "/no/such/program"]].concat();
    home.run(none).bad(1, &["/no/such/program"]);
    let outcome = newest(&home)["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["code"]), (&"failure".into(), &"not_started".into()));
}
