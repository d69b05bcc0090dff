//! Reports: figures that add up, suggestions that rest on evidence, and pages that no record can break.

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::{GrantFacts, GrantKey, UsedAs, UsedFacts};
use deed_record::{PrincipalType, RecordId, Timestamp};
use deed_review::{
    every_rule,
    render::Style,
    report::{
        Agent, Agents, CONTROLS, Cell, Certified, Column, ControlStatus, Covered, CredentialCounts,
        DecisionCounts, Figures, ForWhom, Identity, InUse, Measure, Page, ReportName, Row, Section,
        Suggestion, Table, Usage, controls, grant_use, html, may_give, text,
    },
};

/// A name that would be markup, leave its attribute, and move a cursor.
const HOSTILE: &str =
    "<script>alert(1)</script>\"' onload='x' &lt;\u{1b}[31m\u{202e}txt.exe\u{0}\r\n<img src=x>";

fn agent(key: &str) -> Agent {
    Agent {
        identity: Identity {
            key: key.to_owned(),
            kind: PrincipalType::Agent,
            tenant: key.to_owned(),
            declared: false,
            owner: Some(key.to_owned()),
            sponsor: None,
            vendor: None,
            accounts: 1,
        },
        actions: 5,
        first: Some(Timestamp(0)),
        last: Some(Timestamp(1)),
        decisions: DecisionCounts { allowed: 2, denied: 1, stepped_up: 1, undecided: 1 },
        instances_total: 0,
        instances: Vec::new(),
        without_instance: 5,
        acted_for: vec![ForWhom { principal: key.to_owned(), actions: 5 }],
        for_nobody: 0,
        tools: Vec::new(),
        credentials: CredentialCounts::default(),
        findings: BTreeMap::from([(key.to_owned(), 1)]),
    }
}

#[test]
fn nothing_from_records_is_markup_or_moves_the_cursor() {
    let covered = Covered { log: HOSTILE.to_owned(), tenant: Some(HOSTILE.to_owned()), ..Covered::default() };
    let report = Agents::new(covered, vec![agent(HOSTILE)], 1, vec![HOSTILE.to_owned()]);
    let page = report.page();
    let page_again = ReportName::Agents.page(&serde_json::to_vec(&report).unwrap()).unwrap();
    assert_eq!(page, page_again, "what is sent is what is shown");
    let written = html(&page);
    for markup in
        ["<script", "<img", "onload='", "\u{1b}", "\u{202e}", "\u{0}", "src=\"", "href=\"", "url(", "@import"]
    {
        assert!(!written.contains(markup), "{markup:?} in {written}");
    }
    assert!(written.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;"));
    // Every tag that is opened in a row is closed in it.
    for tag in ["section", "table", "tbody", "tr", "div", "svg", "p", "dl", "ul"] {
        let opened =
            written.matches(&format!("<{tag}>")).count() + written.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, written.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    let plain = text(&page, Style::default());
    assert!(!plain.contains(|c: char| c.is_control() && c != '\n') && !plain.contains('\u{202e}'), "{plain}");
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
}

#[test]
fn every_report_has_a_name_by_which_it_is_found() {
    for name in ReportName::ALL {
        assert_eq!(ReportName::parse(name.as_str()), Some(*name));
        assert!(name.page(b"{}").is_err());
    }
    assert_eq!(ReportName::parse("nothing"), None);
}

#[test]
fn the_catalogue_knows_every_control_and_rule_that_is_named() {
    let known: BTreeSet<&str> = CONTROLS.iter().map(|control| control.id).collect();
    assert_eq!(known.len(), CONTROLS.len(), "an id stands twice");
    for rule in every_rule() {
        for control in rule.controls {
            assert!(
                known.contains(control),
                "`{}` names `{control}`, which is in no framework here",
                rule.name
            );
        }
    }
    for control in CONTROLS {
        for rule in control.broken_by {
            assert!(every_rule().any(|known| known.name == *rule), "`{}` names no rule `{rule}`", control.id);
        }
        assert!(!control.shown_by.is_empty(), "{}", control.id);
    }
}

#[test]
fn a_control_works_fails_or_is_unverified_and_a_change_divides_its_figures() {
    let figures = |decided: u64, bypasses: u64| Figures {
        measures: BTreeMap::from([(Measure::Actions, decided), (Measure::Decided, decided)]),
        findings: BTreeMap::from([("bypass".to_owned(), bypasses)]),
        suppressed: BTreeMap::from([("self-approval".to_owned(), bypasses)]),
    };
    let (before, after) = (figures(10, 3), figures(20, 1));
    let change = Timestamp(1_000_000);
    let report = controls(Covered::default(), &figures(30, 4), Some((change, &before, &after)), Vec::new());
    let of = |id: &str| report.controls.iter().find(|control| control.id == id).unwrap();
    assert_eq!(of("AC-3").status, ControlStatus::Failing);
    assert_eq!(of("NHI8:2025").status, ControlStatus::Operating);
    // What is suppressed is counted apart, and fails no control.
    assert_eq!((of("AC-5").suppressed.total, of("AC-5").findings.total), (4, 0));
    assert_eq!(of("AU-5").status, ControlStatus::Unverified);
    for control in &report.controls {
        let mut all = control.works.iter().map(|shown| shown.number).collect::<Vec<_>>();
        all.extend(control.fails.iter().map(|count| count.number));
        for number in all.iter().filter(|number| number.before.is_some()) {
            assert_eq!(number.before.unwrap() + number.after.unwrap(), number.total, "{}", control.id);
        }
    }
    let page = text(&report.page(), Style::default());
    assert!(page.contains("less often"), "{page}");
}

#[test]
fn what_stands_is_counted_at_the_change_and_at_the_end_and_comes_at_no_rate() {
    let figures = |actions: u64, privileges: u64| Figures {
        measures: BTreeMap::from([(Measure::Actions, actions)]),
        findings: BTreeMap::from([("standing-privilege".to_owned(), privileges)]),
        suppressed: BTreeMap::new(),
    };
    // More actions before than after: as a rate it would have risen.
    let (before, after) = (figures(1000, 5), figures(10, 3));
    let change = Timestamp(1_000_000);
    let report = controls(Covered::default(), &figures(1010, 3), Some((change, &before, &after)), Vec::new());
    let failing = report.controls.iter().flat_map(|control| &control.fails).next().expect("a rule");
    assert_eq!((failing.number.before, failing.number.after, failing.number.total), (Some(5), Some(3), 3));
    let page = text(&report.page(), Style::default());
    let row = page
        .lines()
        .find(|line| line.contains("standing-privilege") && line.contains("stand "))
        .expect(&page);
    assert!(row.contains("fewer") && !row.contains('%'), "{page}");
}

fn grant(scopes: &[&str], uses: u64) -> GrantFacts {
    GrantFacts {
        key: GrantKey::of_record(RecordId([1; 16])),
        tenant: "acme".to_owned(),
        subject: None,
        by: None,
        role: Some("role".to_owned()),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        more_scopes: false,
        resource: None,
        names_request: false,
        names_approval: false,
        given_in: None,
        expires: None,
        uses,
        first_used: None,
        last_used: None,
        changes: Vec::new(),
    }
}

fn usage(used: &[(&str, UsedAs)]) -> Usage {
    let facts = |(what, named_as): &(&str, UsedAs)| UsedFacts {
        what: (*what).to_owned(),
        named_as: *named_as,
        count: 2,
        first: Timestamp(1),
        last: Timestamp(2),
    };
    Usage { used: used.iter().map(facts).collect(), idle: used.is_empty(), ..Usage::default() }
}

#[test]
fn what_is_suggested_rests_on_what_was_used_and_on_silence_that_proves() {
    use Suggestion::{Keep, Narrow, Remove, Unverified};
    use UsedAs::{Operation, Permission};
    let of = |scopes: &[&str], uses: u64, used: &[(&str, UsedAs)], proves: bool| {
        let grant = grant_use(&grant(scopes, uses), &usage(used), proves, None);
        (grant.suggestion, grant.narrow_to)
    };
    let none = Vec::new;
    let read = [("db:read", Permission)];
    // Every scope used.
    assert_eq!(of(&["db:read"], 0, &read, false), (Keep, none()));
    // One of two: only where silence proves anything.
    assert_eq!(of(&["db:read", "db:write"], 0, &read, true), (Narrow, vec!["db:read".to_owned()]));
    assert_eq!(of(&["db:read", "db:write"], 0, &read, false), (Unverified, none()));
    // A wide scope of which one permission was used.
    assert_eq!(of(&["db:*"], 0, &read, true), (Narrow, vec!["db:read".to_owned()]));
    assert_eq!(of(&["db:*"], 0, &read, false), (Keep, none()));
    // None.
    assert_eq!(of(&["mail:send"], 0, &read, true), (Remove, none()));
    assert_eq!(of(&["mail:send"], 0, &read, false), (Unverified, none()));
    assert_eq!(of(&["mail:send"], 0, &[], true), (Remove, none()));
    // Operations need not be named as scopes are: a match is a yes, anything else is no no.
    let called = [("SendMail", Operation)];
    assert_eq!(of(&["mail:send"], 0, &called, true), (Unverified, none()));
    assert_eq!(of(&["SendMail"], 0, &called, true), (Keep, none()));
    // The name of a policy is no permission: nothing tells what of it was used.
    let policy = "arn:aws:iam::aws:policy/AmazonS3FullAccess";
    assert_eq!(of(&[policy], 0, &[("s3:GetObject", Permission)], true), (Unverified, none()));
    assert_eq!(of(&[policy], 3, &[("s3:GetObject", Permission)], true), (Keep, none()));
    assert_eq!(of(&[policy], 0, &[], true), (Remove, none()));
    // Actions name the grant: what it was overrun by is no use of it.
    assert_eq!(of(&["mail:send"], 3, &called, true), (Keep, none()));
    assert_eq!(of(&["mail:send"], 3, &read, true), (Unverified, none()));
    assert_eq!(of(&[], 3, &read, true), (Keep, none()));
    // A role without scopes.
    assert_eq!(of(&[], 0, &read, true), (Unverified, none()));
    assert_eq!(of(&[], 0, &[], true), (Remove, none()));
    assert_eq!(of(&[], 0, &[], false), (Unverified, none()));
    // More was used than is kept.
    let more = Usage { more: true, ..usage(&read) };
    assert_eq!(grant_use(&grant(&["mail:send"], 0), &more, true, None).suggestion, Unverified);
}

#[test]
fn who_does_not_act_by_itself_never_did_nothing() {
    let group = Usage { stands_for_others: true, ..usage(&[]) };
    for scopes in [&[][..], &["db:read"], &["arn:aws:iam::aws:policy/AmazonS3FullAccess"]] {
        assert_eq!(
            grant_use(&grant(scopes, 0), &group, true, None).suggestion,
            Suggestion::Unverified,
            "{scopes:?}"
        );
        assert_eq!(group.in_use(&grant(scopes, 0)), InUse::Unknown);
    }
    // Where an action names the grant, somebody used it.
    assert_eq!(grant_use(&grant(&[], 3), &group, true, None).suggestion, Suggestion::Keep);
}

#[test]
fn what_a_group_may_have_given_is_not_called_ungranted() {
    let read = usage(&[("db:read", UsedAs::Permission)]);
    let ungranted = |given: &[&GrantFacts]| {
        let given = given.iter().flat_map(|grant| may_give(grant)).map(str::to_owned).collect();
        Certified::new(agent("a").identity, None, Vec::new(), &read, &[&given]).ungranted.len()
    };
    assert_eq!(ungranted(&[&grant(&["db:write"], 0)]), 1);
    assert_eq!(ungranted(&[&grant(&["db:write"], 0), &grant(&["db:*"], 0)]), 0);
    // The name of a policy, and a role without scopes, may give anything.
    assert_eq!(ungranted(&[&grant(&["arn:aws:iam::aws:policy/ReadOnly"], 0)]), 0);
    assert_eq!(ungranted(&[&grant(&[], 0)]), 0);
}

#[test]
fn what_was_used_before_counts_neither_for_scopes_nor_for_grants_that_are_named() {
    let used = GrantFacts { last_used: Some((Timestamp(2), RecordId([2; 16]))), ..grant(&["mail:send"], 3) };
    let since = |since| Usage { since: Some(Timestamp(since)), idle: true, ..Usage::default() };
    assert_eq!(grant_use(&used, &since(1), true, None).suggestion, Suggestion::Keep);
    assert_eq!(grant_use(&used, &since(3), true, None).suggestion, Suggestion::Remove);
}

#[test]
fn a_grant_is_in_use_where_it_is_named_or_a_scope_of_it_is_used() {
    let read = usage(&[("db:read", UsedAs::Permission)]);
    assert_eq!(read.in_use(&grant(&["db:read"], 0)), InUse::Last(Timestamp(2)));
    assert_eq!(read.in_use(&grant(&["db:write"], 0)), InUse::Unseen);
    assert_eq!(read.in_use(&grant(&["arn:aws:iam::aws:policy/ReadOnly"], 0)), InUse::Unknown);
    assert_eq!(usage(&[]).in_use(&grant(&["db:read"], 0)), InUse::Unseen);
    let named = GrantFacts { last_used: Some((Timestamp(9), RecordId([2; 16]))), ..grant(&[], 1) };
    assert_eq!(read.in_use(&named), InUse::Last(Timestamp(9)));
}

#[test]
fn a_table_fits_and_times_in_it_stand_whole() {
    let time = "2026-11-12 03:04:30Z";
    let words = |text: &str| Cell::plain(text);
    let name = "arn:aws:iam::111122223333:role/a-very-long-name";
    let row = Row { cells: vec![words(name), words(name), words(time)], notes: Vec::new() };
    let columns = ["identity", "owner", "last used"].map(Column::words).to_vec();
    let table = Some(Table::of(columns, vec![row], 10));
    let page = Page { sections: vec![Section { table, ..Section::default() }], ..Page::default() };
    for columns in [40, 60, 100] {
        let written = text(&page, Style { width: columns, ..Style::default() });
        assert!(written.contains(time), "{columns}: {written}");
        assert!(written.lines().all(|line| line.chars().count() <= columns), "{columns}: {written}");
    }
}
