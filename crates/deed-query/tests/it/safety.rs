//! Queries read, within limits, and say clearly what they may not.

use std::time::{Duration, Instant};

use deed_query::{Options, QueryError, SqlOptions};

use crate::support::House;

fn refusal(house: &House, query: &str) -> QueryError {
    match house.ask_as(query, &SqlOptions::default()) {
        Err(error) => error,
        Ok(rows) => panic!("{query}\nwas answered: {rows:?}"),
    }
}

#[test]
fn nothing_but_reading_is_possible() {
    let house = House::new();
    let file = house.dir.path().join("secret.csv");
    std::fs::write(&file, "a,b\n1,2\n").expect("written");
    let file = file.display();
    for query in [
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE VIEW v AS SELECT 1".into(),
        "CREATE OR REPLACE VIEW records AS SELECT 1".into(),
        "CREATE SCHEMA s".into(),
        "CREATE DATABASE d".into(),
        "CREATE FUNCTION f() RETURNS INT RETURN 1".into(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'"),
        "DROP TABLE records".into(),
        "DROP VIEW actions".into(),
        "INSERT INTO records SELECT * FROM records".into(),
        "DELETE FROM records".into(),
        "UPDATE records SET kind = 'x'".into(),
        "TRUNCATE records".into(),
        format!("COPY records TO '{file}.parquet'"),
        format!("COPY (SELECT 1) TO '{file}.csv'"),
        "SET datafusion.execution.batch_size = 1".into(),
        "SET TIME ZONE 'UTC'".into(),
        "RESET datafusion.execution.batch_size".into(),
        "PREPARE p AS SELECT 1".into(),
        "EXECUTE p".into(),
        "BEGIN".into(),
        "COMMIT".into(),
        "SHOW ALL".into(),
        "SHOW datafusion.runtime.temp_directory".into(),
        "SHOW FUNCTIONS".into(),
        "USE other".into(),
        "ANALYZE records".into(),
        "EXPLAIN DROP TABLE records".into(),
        "SELECT 1; SELECT 2".into(),
        "SELECT 1; DROP TABLE records".into(),
    ] {
        let error = refusal(&house, &query);
        assert!(matches!(error, QueryError::Refused(_) | QueryError::Invalid(_)), "{query}: {error:?}");
        assert!(error.is_about_the_query());
    }
    for query in [
        format!("SELECT * FROM '{file}'"),
        format!("SELECT * FROM \"{file}\""),
        format!("SELECT * FROM read_csv('{file}')"),
        "SELECT * FROM 'parquet/records/000000-000000.v1.parquet'".into(),
        "SELECT * FROM information_schema.df_settings".into(),
        "SELECT * FROM datafusion.information_schema.df_settings".into(),
        "SELECT * FROM generate_series(1, 1000000000000)".into(),
        "SELECT * FROM range(1, 1000000000000)".into(),
        "SELECT generate_series(1, 1000000000000)".into(),
        "SELECT range(1000000000000)".into(),
        "SELECT array_repeat('x', 1000000000000)".into(),
        "SELECT array_resize([1], 1000000000000, 1)".into(),
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t".into(),
    ] {
        let error = refusal(&house, &query);
        assert!(error.is_about_the_query(), "{query}: {error:?}");
        assert!(!error.to_string().contains("1,2"), "{error}");
    }
    assert!(!std::path::Path::new(&format!("{file}.parquet")).exists());
    assert!(!std::path::Path::new(&format!("{file}.csv")).exists());
}

#[test]
fn values_do_not_grow_without_bounds() {
    let house = House::new();
    let mut doubled = "SELECT repeat('abcdefgh', 1000000) AS s".to_owned();
    for _ in 0..10 {
        doubled = format!("SELECT s || s AS s FROM ({doubled})");
    }
    let mut replaced = "SELECT repeat('a', 100) AS s".to_owned();
    for _ in 0..10 {
        replaced = format!("SELECT replace(s, 'a', '{}') AS s FROM ({replaced})", "a".repeat(100));
    }
    for query in [
        format!("SELECT length(s) FROM ({doubled})"),
        format!("SELECT length(s) FROM ({replaced})"),
        "SELECT length(repeat('abc', 10000000000))".into(),
        "SELECT length(lpad('abc', 2000000000))".into(),
        "SELECT length(rpad('abc', 2000000000, 'xy'))".into(),
        format!("SELECT concat({})", ["repeat('x', 10000000)"; 8].join(", ")),
    ] {
        let error = refusal(&house, &query).to_string();
        assert!(error.contains("MiB is the most"), "{error}");
    }
    assert_eq!(house.ask("SELECT repeat('ab', 3), 'a' || 'b' || NULL, concat('a', NULL, 'b'), lpad('7', 3, '0'), replace('aa', 'a', 'bc')"), [["ababab", "", "ab", "007", "bcbc"]]);
    assert_eq!(house.ask("SELECT array_to_string(['a', 'b'] || ['c'], '-')"), [["a-b-c"]]);
}

#[test]
fn errors_say_what_and_offer_what_there_is() {
    let house = House::new();
    let error = refusal(&house, "SELECT trce_id FROM records").to_string();
    assert!(error.contains("trce_id") && error.contains("trace_id"), "{error}");
    let error = refusal(&house, "SELECT * FROM recods").to_string();
    assert!(error.contains("recods"), "{error}");
    let error = refusal(&house, "SELEC 1").to_string();
    assert!(error.contains("SELEC"), "{error}");
    for query in [
        "SELECT trce_id FROM records",
        "SELECT 1 +",
        "SELECT nosuch(1)",
        "SELECT sum(kind) FROM records",
        "SELECT CAST('x' AS INT)",
        "",
    ] {
        let error = refusal(&house, query);
        assert!(error.is_about_the_query(), "{query}: {error:?}");
        let text = error.to_string();
        assert!(!text.contains('\n') && text.len() < 500 && !text.contains("Internal"), "{query}: {text}");
    }
    let long = format!("SELECT '{}'", "x".repeat(200_000));
    assert!(matches!(refusal(&house, &long), QueryError::Refused(_)));
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(refusal(&house, &deep).is_about_the_query());
}

#[test]
fn what_there_is_can_be_asked_for() {
    let house = House::new();
    let tables: Vec<_> = house.ask("SHOW TABLES").into_iter().map(|row| row[2].clone()).collect();
    for table in [
        "records",
        "actions",
        "principals",
        "aliases",
        "credentials",
        "grants",
        "approvals",
        "delegations",
        "findings",
    ] {
        assert!(tables.iter().any(|name| name == table), "{table} in {tables:?}");
    }
    assert!(house.ask("DESCRIBE records").len() > 70);
    assert!(
        house.ask("SELECT column_name FROM information_schema.columns WHERE table_name = 'actions'").len()
            > 70
    );
    assert!(!house.ask("EXPLAIN SELECT count(*) FROM records WHERE trace_id = 'x'").is_empty());
}

#[test]
fn time_rows_memory_and_turns_are_limited() {
    let house =
        House::with(Options { memory: 16 << 20, spill: 1 << 20, concurrent: 1, ..Options::default() });
    house.fill(0, 2_000);

    let crossed = "SELECT count(*) FROM records a, records b, records c WHERE a.duration_ms + b.duration_ms + c.duration_ms = 1";
    let started = Instant::now();
    let error =
        house.ask_as(crossed, &SqlOptions { timeout: Duration::from_secs(1), ..SqlOptions::default() });
    assert_eq!(error, Err(QueryError::Timeout { seconds: 1 }));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    let few = SqlOptions { rows: 100, ..SqlOptions::default() };
    assert_eq!(house.ask_as("SELECT id FROM records", &few), Err(QueryError::TooManyRows { limit: 100 }));
    assert_eq!(house.ask_as("SELECT id FROM records LIMIT 100", &few).map(|rows| rows.len()), Ok(100));

    let wide = "SELECT a.id, count(DISTINCT b.id || a.id) FROM records a JOIN records b ON a.operation = b.operation GROUP BY a.id";
    assert_eq!(
        house.ask_as(wide, &SqlOptions { timeout: Duration::from_secs(60), ..SqlOptions::default() }),
        Err(QueryError::Memory { megabytes: 16 })
    );

    // One runs and is not read; the next waits for its turn in vain, and has it when the first is dropped.
    house.runtime.block_on(async {
        let running = house
            .tables
            .sql(crossed.replace("count(*)", "a.id").as_str(), &SqlOptions::default())
            .await
            .expect("runs");
        let short = SqlOptions { timeout: Duration::from_millis(200), ..SqlOptions::default() };
        assert_eq!(
            house.tables.sql("SELECT 1", &short).await.map(|_| ()),
            Err(QueryError::Busy { running: 1 })
        );
        drop(running);
        assert!(house.tables.sql("SELECT 1", &SqlOptions::default()).await.is_ok());
    });
    // What was spilled is gone.
    assert_eq!(house.number("SELECT count(*) FROM records"), 2_000);
}

#[test]
fn a_tenant_sees_its_own_rows_only() {
    let house = House::new();
    for (tenant, count) in [("acme", 3), ("globex", 5)] {
        for number in 0..count {
            house.append(&format!(
                r#"{{"kind":"observation","tenant":"{tenant}","time":"2026-11-20T10:00:0{number}Z","executor":{{"type":"agent","key":"agent:{tenant}-{number}","name":"{tenant} {number}"}},
                    "operation":"{tenant}","effects":[{{"kind":"grant","terms":{{"role":"{tenant}","change":"issued"}}}}]}}"#
            ));
        }
    }
    let acme = SqlOptions { tenant: Some("acme".into()), ..SqlOptions::default() };
    let ask = |query: &str| house.ask_as(query, &acme).unwrap_or_else(|error| panic!("{query}\n{error}"));
    assert_eq!(house.number("SELECT count(*) FROM records"), 8);
    for table in ["records", "actions", "grants", "authority", "principals", "aliases"] {
        assert_eq!(ask(&format!("SELECT count(*) FROM {table}")), [["3"]], "{table}");
        assert_eq!(ask(&format!("SELECT DISTINCT tenant FROM {table}")), [["acme"]], "{table}");
        assert_eq!(
            ask(&format!("SELECT count(*) FROM {table} WHERE tenant = 'globex' OR true")),
            [["3"]],
            "{table}"
        );
        assert_eq!(
            ask(&format!("SELECT count(*) FROM deed.public.{table} WHERE tenant = 'globex'")),
            [["0"]],
            "{table}"
        );
    }
    assert_eq!(ask("SELECT operation FROM records GROUP BY operation"), [["acme"]]);
    assert_eq!(ask("SELECT name FROM aliases ORDER BY 1"), [["acme 0"], ["acme 1"], ["acme 2"]]);
    assert!(matches!(house.ask_as("EXPLAIN SELECT * FROM records", &acme), Err(QueryError::Refused(_))));
    // A name that would end the filter is a name like any other.
    let odd = SqlOptions { tenant: Some("x' OR '1'='1".into()), ..SqlOptions::default() };
    assert_eq!(house.ask_as("SELECT count(*) FROM records", &odd), Ok(vec![vec!["0".to_owned()]]));
}
