//! What an inventory says, what it refuses, and how it is asked.

mod any;
mod joins;
mod records;
mod state;
mod used;

use deed_identity::{ChangeWindow, Coverage, Inventory, InventoryError};
use deed_record::PrincipalType;
use proptest::prelude::*;

const WHOLE: &str = r#"
[[principal]]
key = "release-bot"
type = "agent"
name = "Release bot"
aliases = ["spiffe://acme/release", "agent:release-bot-2", "aws:arn:aws:iam::111122223333:role/release"]
owner = "human:ann"
sponsor = "human:bob"
vendor = "Initech Ltd"
environments = ["prod"]

[[principal]]
type = "service_account"
aliases = ["service_account:backup"]

[[resource]]
match = "vendor-db:/*"
classification = "internal"

[[resource]]
match = "vendor-db:/contracts/*"
type = "table"
classification = "restricted"
owner = "human:carol"
restricted_fields = ["bank_account", "tax_id"]
approvers = ["human:carol"]
change_windows = ["Sat 22:00-02:00", "2026-11-03T10:00:00Z/2026-11-03T12:00:00Z"]

[[resource]]
match = "vendor-db:/contracts/public"

[[source]]
system = "cloudtrail:111122223333"
complete_for = ["actions", "grants"]
"#;

#[test]
fn reads_everything() {
    let inventory = Inventory::parse(WHOLE).unwrap();
    let bot = inventory.principal("release-bot").unwrap();
    assert_eq!((bot.kind, bot.vendor.as_deref()), (PrincipalType::Agent, Some("Initech Ltd")));
    assert_eq!(bot.policy_name(), "release-bot-2");
    for alias in &bot.aliases {
        assert_eq!(inventory.principal(alias), Some(bot), "{alias}");
    }
    let backup = inventory.principal("service_account:backup").unwrap();
    assert_eq!((backup.key.as_str(), backup.policy_name()), ("service_account:backup", "backup"));
    assert_eq!(inventory.principal("backup"), None);
    assert_eq!(
        inventory.source("cloudtrail:111122223333").unwrap().complete_for,
        [Coverage::Actions, Coverage::Grants]
    );
    assert_eq!((inventory.principals().len(), inventory.resources().len()), (2, 3));
    assert_eq!(inventory.sources().count(), 1);
}

#[test]
fn the_most_particular_resource_wins() {
    let inventory = Inventory::parse(WHOLE).unwrap();
    let classification = |uri: &str| inventory.resource(uri).map(|found| found.classification.clone());
    assert_eq!(classification("vendor-db:/orders").as_deref(), Some("internal"));
    assert_eq!(classification("vendor-db:/contracts/7/lines").as_deref(), Some("restricted"));
    assert_eq!(classification("vendor-db:/contracts/public").as_deref(), Some("unclassified"));
    assert_eq!(classification("other:/x"), None);
}

#[test]
fn a_principal_without_an_alias_of_its_type_goes_by_its_key() {
    let text = "[[principal]]\nkey = \"k\"\ntype = \"human\"\naliases = [\"agent:x\", \"humanoid:y\"]\n";
    assert_eq!(Inventory::parse(text).unwrap().principal("agent:x").unwrap().policy_name(), "k");
}

#[test]
fn a_contract_bounds_somebody_from_outside() {
    let text = "[[principal]]\nkey = \"k\"\ntype = \"third_party\"\ngoverned = true\n\
                contract = { scopes = [\"tickets:*\"], until = 2027-01-01T01:00:00+01:00 }\n";
    let inventory = Inventory::parse(text).unwrap();
    let found = inventory.principal("k").unwrap();
    let contract = found.contract.as_ref().unwrap();
    assert!(found.governed && contract.resources.is_empty());
    assert_eq!(contract.scopes, ["tickets:*"]);
    assert_eq!(contract.until.unwrap().to_string(), "2027-01-01T00:00:00.000000Z");
    let plain = Inventory::parse("[[principal]]\nkey = \"k\"\ntype = \"human\"\n").unwrap();
    assert!(!plain.principal("k").unwrap().governed && plain.principal("k").unwrap().contract.is_none());
}

#[test]
fn errors_name_the_line() {
    let principal = |rest: &str| format!("\n[[principal]]\ntype = \"agent\"\n{rest}\n");
    let twice = format!(
        "{}{}",
        principal("key = \"one\"\naliases = [\"agent:x\"]"),
        principal("key = \"two\"\naliases = [\"a:b\",\n\"agent:x\"]")
    );
    let key_is_alias = format!("{}{}", principal("key = \"agent:x\""), principal("aliases = [\"agent:x\"]"));
    for (text, line, says) in [
        ("\n[[principle]]\n", 2, "principle"),
        (&principal("key = \"a\"\ncolour = \"red\""), 5, "colour"),
        (&principal(""), 2, "needs a `key`"),
        (&principal("key = \"\""), 4, "a key"),
        (&principal("aliases = [\"bot\"]"), 4, "agent:release-bot"),
        (&principal("aliases = [\"a:b\",\n\"a:b\"]"), 5, "twice"),
        (&principal("key = \"a\"\nenvironments = [\"pro d\"]"), 5, "an environment"),
        (&principal("key = \"a\"\ncontract = { scope = [] }"), 5, "scope"),
        (&principal("key = \"a\"\ncontract = { until = 2027-01-01 }"), 5, "a time with an offset"),
        ("[[principal]]\nkey = \"a\"\ntype = \"robot\"\n", 3, "robot"),
        ("[[principal]]\nkey = \"a\"\ntype = \"unknown\"\n", 3, "expected `human`"),
        ("[[principal]]\nkey = \"a\"\n", 1, "type"),
        (&twice, 11, "`agent:x` stands for both `one` and `two`"),
        (&key_is_alias, 8, "`agent:x` is in two tables"),
        ("[[resource]]\nclassification = \"x\"\n", 1, "match"),
        ("[[resource]]\nmatch = \"a:*\"\n[[resource]]\nmatch = \"a:*\"\n", 4, "another resource"),
        ("[[resource]]\nmatch = \"a:*\"\napprovers = []\n", 3, "`approvers`"),
        ("[[resource]]\nmatch = \"a:*\"\napprovers = [\n\"a b\"]\n", 4, "an approver"),
        ("[[resource]]\nmatch = \"a:*\"\nchange_windows = []\n", 3, "`change_windows`"),
        (
            "[[resource]]\nmatch = \"a:*\"\nchange_windows = [\"Sun 1:00-02:00\",\n\"x\"]\n",
            3,
            "Sat 22:00-02:00",
        ),
        ("[[source]]\nsystem = \"a\"\n[[source]]\nsystem = \"a\"\n", 4, "another source"),
        ("[[source]]\nsystem = \"a\"\ncomplete_for = [\"all\"]\n", 3, "all"),
        ("[[source\n", 1, ""),
    ] {
        let InventoryError::Wrong { line: found, message, .. } = Inventory::parse(text).unwrap_err() else {
            panic!("{text}: expected a place");
        };
        assert!(message.contains(says), "{text}: {message}");
        assert_eq!(found, line, "{text}: {message}");
    }
}

#[test]
fn a_change_window_is_a_time_of_the_week_or_one_stretch() {
    let inventory = Inventory::parse(WHOLE).unwrap();
    assert!(inventory.controlled("vendor-db:/orders").is_none());
    let contracts = inventory.controlled("vendor-db:/contracts/7").unwrap();
    assert_eq!(contracts.approvers, ["human:carol"]);
    let open =
        |time: &str| contracts.change_windows.iter().any(|window| window.covers(time.parse().unwrap()));
    // 2026-10-31 and 2026-11-07 are Saturdays.
    for (time, is_open) in [
        ("2026-10-31T21:59:59.999999Z", false),
        ("2026-10-31T22:00:00Z", true),
        ("2026-11-01T01:59:59.999999Z", true),
        ("2026-11-01T02:00:00Z", false),
        ("2026-11-01T23:00:00Z", false),
        ("2026-11-08T02:30:00+01:00", true),
        ("1969-12-27T23:00:00Z", true),
        ("2026-11-03T10:00:00Z", true),
        ("2026-11-03T12:00:00Z", false),
    ] {
        assert_eq!(open(time), is_open, "{time}");
    }
    for (text, time, is_open) in [
        ("Fri-Mon 00:00-24:00", "2026-11-01T12:00:00Z", true),
        ("Fri-Mon 00:00-24:00", "2026-11-03T00:00:00Z", false),
        ("Mon-Fri 08:00-16:00", "2026-11-02T16:00:00Z", false),
        ("Mon-Fri 08:00-16:00", "2026-11-06T15:59:00Z", true),
    ] {
        assert_eq!(
            ChangeWindow::parse(text).unwrap().covers(time.parse().unwrap()),
            is_open,
            "{text} {time}"
        );
    }
    for wrong in [
        "",
        "Sat",
        "Sat 22:00",
        "Sat 22:00-22:00",
        "Sat 24:00-02:00",
        "Sat 22:00-24:01",
        "sat 22:00-02:00",
        "Sat-Sun-Mon 22:00-02:00",
        "Sat  22:00-02:00",
        "Sat 22:60-02:00",
        "Sat +2:00-02:00",
        "22:00-02:00",
        "2026-11-03T12:00:00Z/2026-11-03T10:00:00Z",
        "2026-11-03/2026-11-04",
        "2026-11-03T10:00:00Z/",
        "/",
    ] {
        assert!(ChangeWindow::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_missing_file_is_an_empty_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let empty = Inventory::load(dir.path()).unwrap();
    let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty.digest(), of_nothing);
    assert_eq!(Inventory::default().digest(), of_nothing);
    std::fs::write(dir.path().join(deed_identity::FILE), WHOLE).unwrap();
    let loaded = Inventory::load(dir.path()).unwrap();
    assert_eq!(loaded.digest(), Inventory::parse(WHOLE).unwrap().digest());
    assert_ne!(loaded.digest(), of_nothing);
    std::fs::write(dir.path().join(deed_identity::FILE), "[[x]]").unwrap();
    let error = Inventory::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("inventory.toml`, line 1: "), "{error}");
}

proptest! {
    /// Any text is an inventory or an error with a line that the text has.
    #[test]
    fn any_text_is_answered(text in "(\\[\\[(principal|resource|source)\\]\\]\n|(key|type|match|system) = \"[a-z:*]{0,5}\"\n|.|\n){0,12}") {
        if let Err(InventoryError::Wrong { line, .. }) = Inventory::parse(&text) {
            prop_assert!((1..=text.matches('\n').count() + 1).contains(&line));
        }
    }

    /// A pattern made of a URI by putting `*` for a part of it covers the URI.
    #[test]
    fn a_star_stands_for_any_part(uri in "[a-c/:]{1,12}", from in 0usize..12, len in 0usize..12) {
        let from = from.min(uri.len());
        let to = (from + len).min(uri.len());
        let text = format!("[[resource]]\nmatch = \"{}*{}\"\n", &uri[..from], &uri[to..]);
        prop_assert!(Inventory::parse(&text).unwrap().resource(&uri).is_some());
    }
}

#[test]
fn what_is_not_theirs_is_none_of_their_names() {
    let text = |names: &str| {
        format!(
            "[[principal]]\nkey = \"bot\"\ntype = \"agent\"\naliases = [\"agent:bot\"]\nnot_same = [{names}]\n"
        )
    };
    let inventory = Inventory::parse(&text("\"aws:arn:aws:iam::1:role/shared\"")).unwrap();
    assert_eq!(inventory.principals()[0].not_same, ["aws:arn:aws:iam::1:role/shared"]);
    for wrong in ["\"agent:bot\"", "\"bot\"", "\"a b\"", "\"\""] {
        let error = Inventory::parse(&text(wrong)).unwrap_err().to_string();
        assert!(error.contains("line 5"), "{wrong}: {error}");
    }
}

#[test]
fn an_alias_of_iam_with_a_path_stands_for_the_name_without_it() {
    let role = |path: &str| format!("aws:arn:aws:iam::111122223333:role/{path}release");
    let text = format!("[[principal]]\nkey = \"bot\"\ntype = \"agent\"\naliases = [\"{}\"]\n", role("ci/"));
    let inventory = Inventory::parse(&text).unwrap();
    assert_eq!(
        [role(""), role("ci/")].map(|name| inventory.principal(&name).unwrap().key.clone()),
        ["bot", "bot"]
    );
}
