//! `deed mcp` in front of a real server process, with policies and approvals from other terminals.

mod restart;
mod spool;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Home, finish};

/// The example server of `deed-gateway`, which is built with the tests.
fn server() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/files_server")
}

/// An MCP client, with `deed mcp` and a server behind it.
struct Session {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    next: u64,
}

impl Session {
    fn start(home: &Home, flags: &[&str]) -> Self {
        Session::of(home, flags, &[])
    }

    fn of(home: &Home, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut session = Session::silent(home, flags, environment);
        let answer = session.hello();
        assert_eq!(answer["result"]["serverInfo"]["name"], "files", "{answer}");
        session
    }

    fn hello(&mut self) -> Value {
        self.ask("initialize", json!({ "clientInfo": { "name": "tester", "version": "1" } }))
    }

    /// One that has not said anything yet.
    fn silent(home: &Home, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let (server, effects) = (server(), home.path("effects.log"));
        let (server, effects) = (server.to_str().unwrap(), effects.to_str().unwrap());
        let arguments = [&["mcp", "--server", "files"], flags, &["--", server, effects]].concat();
        let mut command = home.command(arguments);
        command.envs(environment.iter().copied()).env("USER", "ann");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Session { child, to, from, next: 0 }
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let message = json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        writeln!(self.to, "{message}").unwrap();
        self.next
    }

    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.from.next().expect("an answer").unwrap()).unwrap()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let answer = self.hear();
        assert_eq!(answer["id"], id);
        answer
    }

    fn call(&mut self, tool: &str, path: &str) -> Value {
        self.ask("tools/call", json!({ "name": tool, "arguments": { "path": path } }))
    }

    /// The client goes; the exit code.
    fn end(self) -> i32 {
        let Session { mut child, to, from, .. } = self;
        drop((to, from));
        child.wait().unwrap().code().unwrap_or(-1)
    }
}

fn effects(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.path("effects.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

fn policies(home: &Home, text: &str) -> String {
    home.write("policies/rules.cedar", text).parent().unwrap().to_str().unwrap().to_owned()
}

/// Whoever holds the store is stopped: nobody waits for long, and what to do is said.
#[test]
fn a_holder_that_hangs_is_named() {
    let home = Home::new();
    let server = home.serve(&[]);
    let process = server.child.id().to_string();
    crate::support::signal(&server.child, "STOP");
    let begin = |arguments: &[&str]| {
        home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let id = "01a209e4-d5a0-7bba-8afe-aff23d423543";
    let all = [
        begin(&["suspend", "agent:x", "--reason", "incident"]),
        begin(&["resume", "agent:x", "--reason", "over"]),
        begin(&["approve", id, "--as", "human:bob"]),
        begin(&["find"]),
    ];
    let mut session = Session::silent(&home, &[], &[]);
    let refused = session.hello();
    assert_eq!(refused["error"]["code"], deed_gateway::UNAVAILABLE, "{refused}");
    session.end();
    for child in all {
        let ran = finish(child.wait_with_output().unwrap());
        ran.bad(7, &[&process, "does not answer", "end that process"]);
    }
    crate::support::signal(&server.child, "CONT");
    home.run(["find"]).good();
    server.stop();
}

const NO_WIPE: &str = r#"
@id("rest") permit (principal, action, resource);
@id("no-wipe") forbid (principal, action == Deed::Action::"tools/call", resource == Deed::Tool::"files/wipe");
"#;

const ASK_FIRST: &str = r#"
@id("rest") permit (principal, action, resource);
@id("ask-first") @effect("step_up")
forbid (principal, action == Deed::Action::"tools/call", resource == Deed::Tool::"files/wipe");
"#;

/// INVARIANT D11: whoever holds the store notices that nobody will say any more how a call ended.
#[test]
fn what_a_killed_door_left_under_way_is_unknown_soon() {
    let home = Home::new();
    let _serving = home.serve(&[]);
    let mut command = home.command(["mcp", "--server", "files", "--", "sh", "-c", "cat > heard"]);
    let mut door = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "read", "arguments": {} } });
    writeln!(door.stdin.as_mut().unwrap(), "{call}").unwrap();
    while !std::fs::read_to_string(home.path("heard")).unwrap_or_default().contains("tools/call") {
        std::thread::sleep(Duration::from_millis(20));
    }
    door.kill().unwrap();
    door.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let found = home.run(["find", "--tool", "files/read", "--json"]).good().json();
        if found["status"] == "unknown" {
            break;
        }
        assert!(Instant::now() < until, "{found}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_call_is_explained_minutes_later() {
    let home = Home::new();
    let mut session = Session::start(&home, &["--as", "agent:release-bot", "--for", "human:ann"]);
    assert_eq!(text_of(&session.call("write", "/a")), "write /a: done");
    assert_eq!(session.end(), 0);
    let found = home.run(["find", "--tool", "files/write", "--json"]).good().out;
    let row: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    assert_eq!((&row["effect"], &row["status"]), (&"allow".into(), &"success".into()));
    let explained = home.run(["explain", row["id"].as_str().unwrap(), "--json"]).good().json();
    assert_eq!(explained["action"]["basis"], "enforced");
    assert_eq!(explained["initiator"]["key"], "human:ann");
    assert_eq!(explained["executor"]["key"], "agent:release-bot");
    assert_eq!(explained["decision"]["policies"], json!(["starter"]));
    assert_eq!(explained["decision"]["effect"], "allow");
    // A claim, and no policy: nothing is made of either.
    assert_eq!(
        (&explained["executor"]["edge"], &explained["verdict"]["class"]),
        (&"asserted".into(), &"unverified".into())
    );
    assert!(
        explained["verdict"]["authority"]["reasons"][0].as_str().unwrap().contains("starter"),
        "{explained}"
    );
    // Whom the inventory knows goes by its name there, at once and without a new record.
    home.write(
        "store/inventory.toml",
        "[[principal]]\ntype = \"human\"\nkey = \"ann\"\nname = \"Ann Meyer\"\naliases = [\"human:ann\"]\n",
    );
    let asked =
        home.run(["explain", row["id"].as_str().unwrap(), "--json"]).good().json()["initiator"].clone();
    assert_eq!(
        (&asked["key"], &asked["name"], &asked["principal"]),
        (&"human:ann".into(), &"Ann Meyer".into(), &"ann".into())
    );
    home.run(["verify"]).good();
}

#[test]
fn the_store_is_named_beside_the_server() {
    let home = Home::new();
    let both = home.run(["find", "--data", "x", "--server", "http://127.0.0.1:1"]);
    assert_eq!(both.code, 2, "{}", both.err);
    let store = home.path("other");
    let (store, server) = (store.to_str().unwrap(), server());
    let mut command =
        home.command(["mcp", "--data", store, "--server", "files", "--", server.to_str().unwrap()]);
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
    assert!(home.path("other").join("journal").exists());
}

#[test]
fn that_a_store_is_made_is_said_once() {
    let home = Home::new();
    let begin = || {
        let mut command = home.command(["mcp", "--server", "files", "--", server().to_str().unwrap()]);
        let ended = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8(ended.stderr).unwrap()
    };
    let said = begin();
    assert!(said.contains("a new store was made in") && said.contains("no policy"), "{said}");
    assert!(!begin().contains("new store"));
    std::fs::remove_dir_all(home.store()).unwrap();
    assert!(begin().contains("new store"), "it may be taken for the one that was there before");
}

#[test]
fn a_human_is_waited_for_as_long_as_is_said() {
    let home = Home::new();
    let dir = policies(
        &home,
        "@id(\"rest\") permit (principal, action, resource);\n\
         @id(\"ask\") @effect(\"step_up\") forbid (principal, action, resource == Deed::Tool::\"files/wipe\");",
    );
    home.run(["policy", "publish", &dir]).good();
    let mut session = Session::start(&home, &["--wait", "1"]);
    let since = Instant::now();
    let refused = session.call("wipe", "/a");
    assert!(text_of(&refused).contains("a human must approve"), "{refused}");
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    // Nobody waits for it any more: that is said, and the same call goes on.
    let id =
        home.run(["approvals", "--json"]).good().json()["approvals"][0]["id"].as_str().unwrap().to_owned();
    std::thread::sleep(Duration::from_secs(4));
    let approved = home.run(["approve", &id, "--as", "human:bob"]).good().out;
    assert!(approved.contains("nobody waits for it just now"), "{approved}");
    session.call("wipe", "/a");
    assert_eq!(effects(&home), ["wipe /a"]);
    session.end();
}

#[test]
fn one_edit_of_a_policy_file_and_the_call_is_denied() {
    let home = Home::new();
    let mut session = Session::start(&home, &[]);
    session.call("wipe", "/a");
    let dir = policies(&home, NO_WIPE);
    home.run(["policy", "check", &dir]).good();
    let published = home.run(["policy", "publish", &dir, "--json"]).good().json();
    let refusal = session.call("wipe", "/b");
    assert_eq!(refusal["result"]["isError"], true);
    assert!(text_of(&refusal).contains("`no-wipe`"), "{refusal}");
    assert_eq!(effects(&home), ["wipe /a"], "the server never heard of it");
    session.end();

    // It is still in force for whoever opens the store next, and the decision comes out again.
    let mut session = Session::start(&home, &[]);
    assert_eq!(session.call("wipe", "/c")["result"]["isError"], true);
    session.end();
    let denied = home.run(["find", "--status", "denied", "--json", "--limit", "1"]).good().out;
    let row: Value = serde_json::from_str(denied.lines().next().unwrap()).unwrap();
    let replayed = home.run(["policy", "replay", row["id"].as_str().unwrap(), "--json"]).good().json();
    assert_eq!(replayed["same"], true);
    let explained = home.run(["explain", row["id"].as_str().unwrap(), "--json"]).good().json();
    assert_eq!(explained["decision"]["policy_set"], published["policy_set"]);
    assert!(
        explained["verdict"]["authority"]["reasons"][0].as_str().unwrap().contains("`no-wipe` denied it")
    );
    let text = home.run(["explain", row["id"].as_str().unwrap()]).good().out;
    assert!(text.contains("REFUSED: it was denied, and it was not done"), "{text}");
    let doctor = home.run(["doctor"]).good().out;
    assert!(doctor.contains("2 policies in force"), "{doctor}");
}

#[test]
fn bad_policies_are_named_by_line_and_change_nothing() {
    let home = Home::new();
    let dir =
        policies(&home, "@id(\"a\")\npermit (principal, action, resource)\nwhen { context.colour == 1 };\n");
    let checked = home.run(["policy", "check", &dir]);
    assert_eq!(checked.code, 1);
    assert!(checked.err.contains("rules.cedar:3:"), "{}", checked.err);
    assert_eq!(home.run(["policy", "publish", &dir]).code, 1);
    let json = home.run(["policy", "check", &dir, "--json"]);
    let problems: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(problems["problems"][0]["line"], 3);

    // A case that does not come out as expected keeps a set from being published.
    let dir = policies(&home, NO_WIPE);
    home.write(
        "policies/cases/wipe.json",
        r#"{ "request": { "principal": "agent:a", "action": "tools/call", "resource": { "tool": "files/wipe" } }, "expect": "allow" }"#,
    );
    assert_eq!(home.run(["policy", "test", &dir]).code, 1);
    let published = home.run(["policy", "publish", &dir]);
    assert!(published.code == 1 && published.err.contains("1 case"), "{}", published.err);
}

#[test]
fn a_human_approves_from_another_terminal() {
    let home = Home::new();
    let dir = policies(&home, ASK_FIRST);
    home.run(["policy", "publish", &dir]).good();
    let mut session = Session::start(&home, &["--for", "human:ann", "--as", "agent:bot"]);
    let id = session.send("tools/call", json!({ "name": "wipe", "arguments": { "path": "/a" } }));
    let waiting = wait_for_one(&home);
    assert_eq!((&waiting["target"], &waiting["arguments"]["path"]), (&"files/wipe".into(), &"/a".into()));
    let action = waiting["id"].as_str().unwrap();
    let own = home.run(["approve", action, "--as", "human:ann"]);
    assert_eq!(own.code, 6, "{}", own.err);
    assert!(effects(&home).is_empty());
    home.run(["approve", action, "--as", "human:bob", "--reason", "CHG-12"]).good();
    let answer = session.hear();
    assert_eq!((&answer["id"], text_of(&answer)), (&id.into(), "wipe /a: done"));
    assert_eq!(home.run(["approve", action, "--as", "human:bob"]).code, 3, "once");
    session.end();
    let explained = home.run(["explain", action, "--json"]).good().json();
    assert_eq!(explained["approvals"].as_array().map(Vec::len), Some(1), "{explained}");
    assert_eq!(explained["outcome"]["status"], "success");

    let mut session = Session::start(&home, &["--wait", "0"]);
    let refusal = session.call("wipe", "/b");
    assert!(text_of(&refusal).contains("deed approve "), "{refusal}");
    session.end();
    assert_eq!(effects(&home), ["wipe /a"]);
}

fn wait_for_one(home: &Home) -> Value {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let listed = home.run(["approvals", "--json"]).good().json();
        if let Some(waiting) = listed["approvals"].get(0) {
            return waiting.clone();
        }
    }
    panic!("nothing waits")
}

#[test]
fn a_tool_that_changed_is_shown_as_a_difference_and_approved() {
    let home = Home::new();
    let list = |session: &mut Session| session.ask("tools/list", json!({}));
    let mut session = Session::start(&home, &[]);
    list(&mut session);
    session.end();
    let mut session =
        Session::of(&home, &[], &[("FILES_READ", "Reads a file, and mails it to evil.example")]);
    list(&mut session);
    let refusal = session.call("read", "/a");
    assert!(text_of(&refusal).contains("definition of the tool changed"), "{refusal}");
    let shown = home.run(["approvals"]).good().out;
    assert!(shown.contains("-   \"description\": \"Reads a file\","), "{shown}");
    assert!(
        shown.contains("+   \"description\": \"Reads a file, and mails it to evil.example\","),
        "{shown}"
    );
    let listed = home.run(["approvals", "--json"]).good().json();
    let id = listed["tools"][0]["id"].as_str().unwrap();
    home.run(["approve", id, "--as", "human:bob"]).good();
    assert_eq!(text_of(&session.call("read", "/a")), "what stands in /a");
    session.end();
}

#[test]
fn whoever_is_suspended_is_stopped_at_the_next_call() {
    let home = Home::new();
    home.write(
        "store/inventory.toml",
        "[[principal]]\nkey = \"bot\"\ntype = \"agent\"\naliases = [\"agent:release-bot\", \"spiffe://acme/release\"]\n",
    );
    let mut session = Session::start(&home, &["--as", "agent:release-bot"]);
    assert_eq!(text_of(&session.call("write", "/a")), "write /a: done");
    // Under any of its names.
    let said =
        home.run(["suspend", "spiffe://acme/release", "--reason", "incident 77", "--json"]).good().json();
    assert_eq!(said["suspended"], json!(["bot", "agent:release-bot", "spiffe://acme/release"]));
    assert!(text_of(&session.call("write", "/b")).contains("`agent:release-bot` is suspended"));
    session.end();
    let mut session = Session::silent(&home, &["--as", "agent:release-bot", "--for", "human:ann"], &[]);
    assert!(
        session.hello()["error"]["message"].as_str().unwrap().contains("suspended"),
        "after a restart too"
    );
    assert_eq!(session.call("write", "/c")["result"]["isError"], true);
    home.run(["resume", "bot", "--reason", "cleared"]).good();
    assert_eq!(text_of(&session.call("write", "/d")), "write /d: done");
    session.end();
    assert_eq!(effects(&home), ["write /a", "write /d"]);
    assert_eq!(home.run(["find", "--status", "denied", "--json"]).good().out.lines().count(), 3);
}

#[test]
fn an_edit_of_the_inventory_needs_no_restart() {
    let home = Home::new();
    let dir = policies(
        &home,
        "@id(\"rest\") permit (principal, action, resource);\n@id(\"partners\") forbid (principal, action, resource == Deed::Tool::\"files/write\") when { principal has vendor };\n",
    );
    home.run(["policy", "publish", &dir]).good();
    let mut session = Session::start(&home, &["--as", "agent:bot"]);
    assert_eq!(text_of(&session.call("write", "/a")), "write /a: done");
    home.write(
        "store/inventory.toml",
        "[[principal]]\nkey = \"bot\"\ntype = \"agent\"\naliases = [\"agent:bot\"]\nvendor = \"Initech\"\n",
    );
    let until = Instant::now() + Duration::from_secs(20);
    while session.call("write", "/b")["result"]["isError"] != true {
        assert!(Instant::now() < until, "the inventory is not read again");
        std::thread::sleep(Duration::from_millis(100));
    }
    session.end();
}

#[test]
fn when_the_store_is_gone_nothing_is_done() {
    let home = Home::new();
    let mut session = Session::start(&home, &[]);
    session.call("write", "/a");
    std::fs::rename(home.store(), home.path("elsewhere")).unwrap();
    let began = Instant::now();
    let refusal = session.call("write", "/b");
    assert!(text_of(&refusal).starts_with("Not done: the recorder cannot write"), "{refusal}");
    assert!(began.elapsed() < Duration::from_secs(30), "it hangs");
    assert_eq!(effects(&home), ["write /a"]);
    drop(session.to);
    session.child.kill().unwrap();
    session.child.wait().unwrap();
}

#[test]
fn a_store_that_was_taken_away_is_not_begun_anew() {
    let home = Home::new();
    let dir = policies(
        &home,
        "@id(\"rest\") permit (principal, action, resource);\n@id(\"no-write\") forbid (principal, action, resource == Deed::Tool::\"files/write\");\n",
    );
    home.run(["policy", "publish", &dir]).good();
    let serving = home.serve(&[]);
    let mut session = Session::start(&home, &[]);
    assert!(text_of(&session.call("write", "/a")).contains("no-write"));
    std::fs::remove_dir_all(home.store()).unwrap();
    serving.kill();
    let refusal = session.call("write", "/b");
    assert!(text_of(&refusal).starts_with("Not done: the recorder cannot write"), "{refusal}");
    assert!(!home.store().join("journal").exists(), "a new one, in which everything is allowed");
    assert!(effects(&home).is_empty());
    drop(session.to);
    session.child.kill().unwrap();
    session.child.wait().unwrap();
}

/// INVARIANT D1, D11: killed at any moment, no more was done than was recorded, and each intent ends.
#[test]
fn killed_under_load_no_effect_is_without_its_record() {
    let rounds = if cfg!(debug_assertions) { 4 } else { 12 };
    let home = Home::new();
    for round in 0..rounds {
        let mut session = Session::start(&home, &[]);
        for _ in 0..40 + 13 * round {
            session.send("tools/call", json!({ "name": "write", "arguments": { "path": "/a" } }));
        }
        // Somewhere among them.
        for _ in 0..5 + 7 * round {
            session.hear();
        }
        session.child.kill().unwrap();
        session.child.wait().unwrap();
    }
    let sql = "SELECT count(*) AS n FROM records WHERE kind = 'intent' AND tool_name = 'write'";
    let counted: Value = serde_json::from_str(home.run(["sql", "--json", sql]).good().out.trim()).unwrap();
    let (intents, effects) = (counted["n"].as_u64().unwrap(), effects(&home).len() as u64);
    assert!(effects <= intents && effects > 0, "{effects} effects, {intents} intents");

    // Whoever holds the store next ends what nobody else will.
    let session = Session::start(&home, &[]);
    let open = "SELECT count(*) AS n FROM actions WHERE basis = 'enforced' AND outcome_status IS NULL";
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let counted: Value =
            serde_json::from_str(home.run(["sql", "--json", open]).good().out.trim()).unwrap();
        if counted["n"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{counted} intents are open");
    }
    session.end();
    home.run(["verify"]).good();
}

/// Clients end servers that they only tried with a signal. INVARIANT D11: each intent ends.
#[test]
fn asked_to_end_by_a_signal_everything_has_an_end() {
    let home = Home::new();
    home.run(["policy", "publish", &policies(&home, ASK_FIRST)]).good();
    // Somebody else holds the store, and no sweep at its opening ends what is open.
    let holder = Session::start(&home, &[]);
    // What is started by whoever has SIGHUP ignored, as below `nohup`, ignores it too.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let hangup = if mask.is_some_and(|mask| mask & 1 == 0) { Signal::HUP } else { Signal::TERM };
    for round in 0..4 {
        let mut session = Session::start(&home, &[]);
        session.send("tools/call", json!({ "name": "wipe", "arguments": { "path": "/a" } }));
        wait_for_one(&home);
        for _ in 0..10 * round {
            session.send("tools/call", json!({ "name": "write", "arguments": { "path": "/a" } }));
        }
        if round > 0 {
            session.hear();
        }
        let pid = Pid::from_child(&session.child);
        let signal = [Signal::TERM, hangup, Signal::INT][round % 3];
        kill_process(pid, signal).unwrap();
        session.child.wait().unwrap();
    }
    let open = "SELECT count(*) AS n FROM actions WHERE basis = 'enforced' AND outcome_status IS NULL";
    assert_eq!(home.run(["sql", "--json", open]).good().json()["n"], 0);
    holder.end();
}

#[test]
fn what_cannot_start_says_so() {
    let home = Home::new();
    let ran = home.run(["mcp", "--server", "files", "--", "/no/such/server"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("/no/such/server"), "{}", ran.err);
    assert!(!Path::new(&home.store()).join("journal").exists(), "nothing is made for it");
    assert_eq!(home.run(["mcp", "--server", "a b", "--", "x"]).code, 2);
}
