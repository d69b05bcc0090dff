//! `deed sql`.

use crate::support::Home;

#[test]
fn asks_in_every_format() {
    let home = Home::with_migration();
    let query = "SELECT operation, outcome_status FROM actions WHERE operation = 'COPY TO'";
    assert_eq!(
        home.run(["sql", "--json", query]).good().json_lines(),
        [serde_json::json!({ "operation": "COPY TO", "outcome_status": "success" })]
    );
    assert!(home.run(["sql", query]).good().out.contains("COPY TO"));
    assert_eq!(
        home.run(["sql", "--format", "csv", query]).good().out,
        "operation,outcome_status\nCOPY TO,success\n"
    );
    assert_eq!(home.run_with_input(["sql", "--json", "-"], b"SELECT 1 AS one").good().out, "{\"one\":1}\n");
    // Every table that there is can be asked, and says who is meant.
    for table in
        ["records", "principals", "aliases", "credentials", "grants", "approvals", "delegations", "findings"]
    {
        home.run(["sql", "--json", &format!("SELECT * FROM {table}")]).good();
    }
    let named = "SELECT DISTINCT l.name FROM actions a JOIN aliases l ON l.account = a.executor";
    assert!(home.run(["sql", named]).good().out.contains("orders-migrator"));
    home.run(["sql", "DELETE FROM records"]).bad(1, &["can only be read"]);
    home.run(["sql", "SELECT nothing FROM records"]).bad(1, &["nothing"]);
}

/// What the documentation shows must work as it stands, and in every format.
#[test]
fn the_documented_queries_are_answered() {
    let home = Home::with_migration();
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql.md")).unwrap();
    let mut queries: Vec<String> = docs
        .split("\n\n")
        .filter(|block| block.lines().all(|line| line.starts_with("    ")) && block.contains("SELECT"))
        .map(|block| match block.split_once("deed sql \"") {
            Some((_, query)) => query.split('"').next().unwrap_or_default().to_owned(),
            None => block.to_owned(),
        })
        .collect();
    assert!(queries.len() >= 3, "{queries:?}");
    // Two columns of one name, and what is asked most.
    queries.push("SELECT a.id, b.id FROM records a JOIN records b ON a.initiator = b.initiator".into());
    queries.push("SELECT count(*) FROM actions WHERE time > now() - interval '1 day'".into());
    for query in queries {
        for format in ["table", "json", "csv"] {
            home.run(["sql", "--format", format, &query]).good();
        }
    }
}
