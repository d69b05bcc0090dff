//! `deed demo`.

use crate::support::Home;

#[test]
fn plays_to_the_end_and_leaves_a_good_store() {
    let home = Home::new();
    let ran = home.run(["demo"]).good();
    for word in [
        "triage",
        "LeaveOrganization",
        "christophe",
        "Ann Meyer",
        "Dana Okafor",
        "ALTER TABLE",
        "does not add up",
        "ABUSE",
        "tax_id kept back",
        "refused: invalid_scope",
        "refused: somebody else must",
        "done: 1 wiped, 0 before",
        "held: not called",
        "its check fails",
        "refused; the server did nothing",
        "AUTHORISED",
        "agent:assistant",
        "verified",
        "kept out",
        "caught",
    ] {
        assert!(ran.out.contains(word), "`{word}` is not told: {}", ran.out);
    }
    // The first screen of the README is of it, line by line.
    let readme = include_str!("../../../../README.md");
    let screen = readme.lines().skip_while(|line| !line.starts_with("    COPY TO"));
    let screen: Vec<&str> =
        screen.map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some(""))).collect();
    assert!(screen.len() > 10, "{screen:?}");
    for line in screen {
        assert!(ran.out.lines().any(|told| told == line), "the README says `{line}`:\n{}", ran.out);
    }
    let narrow = crate::support::finish(home.command(["demo"]).env("COLUMNS", "60").output().unwrap()).good();
    let usual = crate::support::finish(home.command(["demo"]).env("COLUMNS", "80").output().unwrap()).good();
    // Of act 4 nothing is folded there: what was tried, and what came of it.
    let act = usual.out.split("\n4  ").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(act.lines().skip(1).all(|line| line.starts_with("   ") && !line.starts_with("    ")), "{act}");
    for (width, out) in [(100, &ran.out), (80, &usual.out), (60, &narrow.out)] {
        for line in out.lines().filter(|line| !line.contains('/')) {
            assert!(line.chars().count() <= width, "{line}\n{out}");
        }
    }
    assert!(!ran.out.contains("  next "), "what is next is said once, for this store: {}", ran.out);
    assert!(ran.err.is_empty(), "{}", ran.err);
    // What it says to try next works on this very store: that of the last run.
    let next = usual.out.split("Look around in this store").nth(1).unwrap();
    let tried: Vec<&str> = next
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("/") || line.starts_with("deed "))
        .collect();
    assert!(tried.len() >= 5, "{}", ran.out);
    let store = home.path("share/deed-demo");
    for line in tried {
        let command = line.split('#').next().unwrap();
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut command = home.command(&arguments);
        crate::support::finish(command.env("DEED_DATA", &store).output().unwrap()).good();
    }
    assert!(!store.join("deed.sock").exists(), "nothing runs any more");
    let settings = std::fs::read_to_string(store.join("deed.toml")).unwrap();
    let server = settings.split("url = \"http://").nth(1).unwrap().split('/').next().unwrap();
    assert!(std::net::TcpStream::connect(server).is_err(), "the MCP server of the story runs still");
    let beside: Vec<_> = std::fs::read_dir(store.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "nothing else is left: {beside:?}");
    // Again: a fresh store in place of the old one.
    home.run(["demo", "--once"]).good();
}

#[test]
fn tells_programs_what_it_played() {
    let home = Home::new();
    let data = home.path("chosen");
    let answer = home.run(["demo", "--once", "--json", "--data", data.to_str().unwrap()]).good().json();
    assert_eq!(answer["data"], data.to_str().unwrap());
    assert_eq!(answer["verified"], true);
    assert!(!answer["caught"].as_array().unwrap().is_empty());
    let stories = answer["stories"].as_array().unwrap();
    let names: Vec<&str> = stories.iter().filter_map(|story| story["name"].as_str()).collect();
    let played = [
        "agent",
        "cloudtrail",
        "migration",
        "restricted",
        "delegation",
        "step-up",
        "changed-tool",
        "release",
        "outage",
    ];
    assert_eq!(names, played);
    for story in stories {
        assert!(
            story["name"].is_string() && story["action_id"].is_string() && story.get("trace_id").is_some(),
            "{story}"
        );
        home.run(["explain", "--data", data.to_str().unwrap(), story["action_id"].as_str().unwrap()]).good();
    }
    let explained = |name: &str| {
        let at = names.iter().position(|is| *is == name).unwrap();
        let id = stories[at]["action_id"].as_str().unwrap();
        home.run(["explain", "--json", "--data", data.to_str().unwrap(), id]).good().json()
    };
    let delegated = explained("delegation");
    assert_eq!(delegated["initiator"]["key"], "oidc:idp.example/ann");
    assert_eq!(delegated["executor"]["key"], "agent:clerk");
    assert_eq!(delegated["chain"][0]["principal"]["key"], "agent:assistant");
    // By the tokens that Deed issued, up to what Ann showed; named as the inventory names them.
    assert_eq!(
        (&delegated["initiator"]["name"], &delegated["initiator"]["principal"]),
        (&"Ann Meyer".into(), &"human:ann".into())
    );
    assert_eq!(
        (&delegated["executor"]["edge"], &delegated["executor"]["owner"]),
        (&"proven".into(), &"human:bob".into())
    );
    assert_eq!(
        (&delegated["chain"][0]["edge"], &delegated["chain"][0]["how"].is_string()),
        (&"proven".into(), &true)
    );
    let grant = &delegated["grant"];
    assert_eq!(
        (&grant["kind"], &grant["relation"], &grant["edge"]),
        (&"credential".into(), &"hand_off".into(), &"proven".into())
    );
    assert_eq!(grant["id"], delegated["credential"]["jti"]);
    assert_eq!(grant["by"]["key"], "agent:assistant");
    let parents: Vec<_> =
        grant["parents"].as_array().unwrap().iter().map(|parent| &parent["subject"]["key"]).collect();
    assert_eq!(parents, ["agent:assistant", "oidc:idp.example/ann"]);
    assert_eq!(
        (&delegated["verdict"]["class"], &delegated["verdict"]["authority"]["value"]),
        (&"authorised".into(), &"approved".into())
    );
    assert!(
        delegated["verdict"]["authority"]["reasons"][0].as_str().unwrap().contains("policy `"),
        "{delegated}"
    );
    assert_eq!(explained("restricted")["outcome"]["code"], "masked_2");
    let approvals = explained("step-up")["approvals"].clone();
    assert_eq!((&approvals[0]["by"]["key"], &approvals[0]["counts"]), (&"human:bob".into(), &true.into()));
    assert_eq!(explained("changed-tool")["outcome"]["status"], "denied");
    assert_eq!(explained("changed-tool")["verdict"]["class"], "unverified");
    let rollback = explained("release");
    let undone = rollback["outcome"]["compensates"].as_str().unwrap();
    let release = home.run(["explain", "--json", "--data", data.to_str().unwrap(), undone]).good().json();
    assert_eq!(release["outcome"]["undone_by"][0]["action"], rollback["action"]["id"]);
    assert_eq!(release["outcome"]["undone_by"][0]["edge"], "proven");
    let text = home.run(["explain", "--data", data.to_str().unwrap(), undone]).good().out;
    assert!(text.contains("undone") && text.contains(rollback["action"]["id"].as_str().unwrap()), "{text}");
    // Policies can be edited and published there.
    let policies = data.join("policies");
    home.run(["policy", "publish", "--data", data.to_str().unwrap(), policies.to_str().unwrap()]).good();
    home.run(["verify", "--data", data.to_str().unwrap()]).good();
    // Never over something else.
    home.run(["demo", "--data", data.to_str().unwrap()]).bad(1, &["not empty"]);
    home.write("share/deed-demo/letters.txt", "dear");
    home.run(["demo"]).bad(1, &["something else", "--data DIR"]);
    assert!(home.path("share/deed-demo/letters.txt").exists());
    home.run(["demo", "--server", "http://127.0.0.1:1"]).bad(2, &["--data"]);
}
