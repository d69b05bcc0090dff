//! Queries read, within limits, and say clearly what they may not.

use std::time::{Duration, Instant};

use deed_query::{Options, QueryError, SqlOptions};

use crate::support::House;

fn refusal(house: &House, query: &str) -> QueryError {
    // As long as it takes: a machine may be busy, and what is refused must not be refused for its time.
    let patient = SqlOptions { timeout: Duration::from_secs(600), ..SqlOptions::default() };
    match house.ask_as(query, &patient) {
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
        "SELECT * FROM 'parquet/records/000000-000000.v2.parquet'".into(),
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
    house.fill(0, 10_000);
    // `select` so often over what it makes.
    let over = |select: &str, from: &str, times: usize| {
        (0..times).fold(from.to_owned(), |inner, _| format!("SELECT {select} AS v FROM ({inner})"))
    };
    let list = |item: &str, times: usize| vec![item; times].join(", ");
    let numbered = |item: &str, times: usize| {
        (0..times).map(|n| item.replace('#', &n.to_string())).collect::<Vec<_>>().join(", ")
    };
    for query in [
        // One value.
        "SELECT length(repeat('abc', 10000000000))".into(),
        "SELECT length(lpad('abc', 2000000000))".into(),
        "SELECT length(rpad('abc', 2000000000, 'xy'))".into(),
        format!("SELECT length(v) FROM ({})", over("v || v", "SELECT repeat('abcdefgh', 1000) AS v", 20)),
        format!("SELECT length(v) FROM ({})", over("replace(v, 'a', repeat('a', 100))", "SELECT 'a' AS v", 10)),
        format!("SELECT length(concat({}))", list("repeat('x', 10000000)", 200)),
        "SELECT length(array_to_string([NULL, NULL, NULL], ',', repeat('x', 30000000)))".into(),
        "SELECT levenshtein(repeat('a', 10000000), repeat('b', 10000000))".into(),
        "SELECT CAST(NULL AS BIGINT[1000000000])".into(),
        "SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)')".into(),
        // The same value in every row.
        "SELECT repeat('x', 1000000) FROM records".into(),
        format!("SELECT '{}' FROM records", "y".repeat(100_000)),
        format!("SELECT {} FROM records", numbered("repeat('x', 8000) AS c#", 300)),
        format!("SELECT string_agg(operation, '{}') FROM records", "z".repeat(100_000)),
        "SELECT (SELECT string_agg(id, '') FROM records), id FROM records".into(),
        // Values of every row.
        format!("SELECT sum(length(v)) FROM ({})", over("v || v", "SELECT operation AS v FROM records", 20)),
        format!(
            "SELECT sum(array_length(v)) FROM ({})",
            over("array_concat(v, v)", "SELECT [operation] AS v FROM records LIMIT 100", 24)
        ),
        format!("SELECT length(concat({})) FROM records", numbered("repeat(operation, 1000 + #)", 200)),
        format!("SELECT concat_ws(repeat('x', 4000), {}) FROM records", list("operation", 300)),
        "SELECT array_length(string_to_array(repeat(operation, 10000), NULL)) FROM records".into(),
        format!("SELECT to_char(time, '{}') FROM records", "%c".repeat(4000)),
        format!("SELECT regexp_match(repeat(operation, 2000), '{}.*{}') FROM records", "(".repeat(200), ")".repeat(200)),
        // Rows that are repeated.
        "SELECT sum(length(s || id)) FROM (SELECT string_agg(id, '') AS s FROM records) a CROSS JOIN records b".into(),
        "SELECT sum(array_length(s)) FROM (SELECT array_agg(id) AS s FROM records) a CROSS JOIN (SELECT id FROM records WHERE random() < 2) b".into(),
        "SELECT sum(length(x)) FROM (SELECT first_value(s) OVER (ORDER BY leaf_index) AS x FROM
           (SELECT CASE WHEN leaf_index = 0 THEN repeat(operation, 100000) ELSE '' END AS s, leaf_index FROM records))".into(),
        "SELECT count(u) FROM (SELECT unnest(array_agg(id)) AS u, string_agg(id, '') AS s FROM records) WHERE s || u <> 'a'".into(),
    ] {
        let short: String = query.chars().take(200).collect();
        let error = refusal(&house, &query);
        assert!(error.is_about_the_query() && !matches!(error, QueryError::Timeout { .. }), "{short}: {error:?}");
    }
    assert_eq!(house.ask("SELECT repeat('ab', 3), 'a' || 'b' || NULL, concat('a', NULL, 'b'), lpad('7', 3, '0'), replace('aa', 'a', 'bc')"), [["ababab", "", "ab", "007", "bcbc"]]);
    assert_eq!(house.ask("SELECT array_to_string(['a', 'b'] || ['c'], '-')"), [["a-b-c"]]);
    assert_eq!(house.number("SELECT sum(length(repeat(operation, 2000))) FROM records"), 4 * 2000 * 10_000);
}

#[test]
fn the_planner_gets_nothing_that_keeps_it() {
    let house = House::new();
    house.fill(0, 10);
    let ctes = |body: &str, times: usize| {
        let next = |n: usize| format!(", c{n} AS ({})", body.replace('#', &(n - 1).to_string()));
        let rest: String = (1..=times).map(next).collect();
        format!("WITH c0 AS (SELECT 1 AS x FROM records){rest} SELECT count(*) FROM c{times}")
    };
    let cube = |name: &str, columns: usize| {
        let columns: Vec<_> = (0..columns).map(|n| format!("{name} + {n}")).collect();
        format!("CUBE ({})", columns.join(", "))
    };
    for query in [
        format!("SELECT 1{}", " + 1".repeat(30_000)),
        format!("SELECT 1{}", "::INT".repeat(20_000)),
        format!("SELECT count(*) FROM records WHERE true{}", " IS NULL".repeat(10_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(5_000)),
        format!("SELECT {}true", "NOT ".repeat(20_000)),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        ctes("SELECT a.x FROM c# a, c# b", 25),
        ctes("SELECT * FROM c# UNION ALL SELECT * FROM c#", 25),
        ctes("SELECT (SELECT max(x) FROM c#) + (SELECT min(x) FROM c#) AS x", 25),
        "SELECT * FROM (WITH t AS (SELECT 1 AS x) SELECT * FROM t)".into(),
        format!("SELECT count(*) FROM records GROUP BY {}", cube("leaf_index", 30)),
        format!("SELECT count(*) FROM records GROUP BY {}, {}", cube("leaf_index", 8), cube("leaf_index", 8)),
        "SELECT count(*) FROM records WHERE operation ~ id".into(),
        "SELECT count(*) FROM records WHERE regexp_like(operation, concat(id, 'x'))".into(),
        "SELECT count(*) FROM records WHERE operation ~ '((a{100}){100}){100}'".into(),
        "SELECT count(*) FROM records WHERE operation SIMILAR TO id".into(),
    ] {
        let short: String = query.chars().take(200).collect();
        let started = Instant::now();
        let error = refusal(&house, &query);
        assert!(matches!(error, QueryError::Refused(_) | QueryError::Invalid(_)), "{short}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(60), "{short}: {:?}", started.elapsed());
    }
    // As deep as may be, and lists that are long.
    assert_eq!(house.number(&format!("SELECT 0{}", " + 1".repeat(300))), 300);
    let deep =
        format!("SELECT count(*) FROM records WHERE {}leaf_index >= 0", "leaf_index <> 77 AND ".repeat(300));
    assert_eq!(house.number(&deep), 10);
    let many: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
    assert_eq!(
        house.number(&format!("SELECT count(*) FROM records WHERE leaf_index IN ({})", many.join(","))),
        10
    );
    for (pattern, matches) in
        [("operation ~ '^op-[01]$'", 7), ("operation !~* 'OP-0'", 6), ("operation SIMILAR TO 'op-(0|1)'", 7)]
    {
        assert_eq!(
            house.number(&format!("SELECT count(*) FROM records WHERE {pattern}")),
            matches,
            "{pattern}"
        );
    }
    assert_eq!(
        house.number("SELECT count(*) FROM records WHERE operation LIKE concat('%', right(operation, 2))"),
        10
    );
    assert_eq!(
        house.number(
            "SELECT count(*) FROM records WHERE id LIKE '%_%_%_%_%_%_%_%_%_%' AND operation NOT ILIKE 'OP-0'"
        ),
        6
    );
}

#[test]
fn the_time_is_that_of_the_query() {
    let house = House::new();
    house.append(&crate::support::small(1));
    for part in ["now()", "current_timestamp", "current_date::timestamp"] {
        let query = format!("SELECT count(*) FROM records WHERE recorded <= {part} + INTERVAL '1 day'");
        assert_eq!(house.number(&query), 1, "{part}");
    }
    let first = house.ask("SELECT now()");
    assert!(house.ask("SELECT now()") > first);
    assert_eq!(house.number("SELECT count(*) FROM actions WHERE time > now() - INTERVAL '100 years'"), 1);
}

#[test]
fn each_layer_of_a_query_counts() {
    let house = House::new();
    house.fill(0, 3);
    let layered = |select: &str, from: &str| {
        format!("SELECT {select} AS v FROM (SELECT {select} AS v FROM (SELECT {select} AS v FROM ({from})))")
    };
    let number = layered("v + 1", "SELECT leaf_index AS v FROM records WHERE leaf_index = 0");
    assert_eq!(house.ask(&number), [["3"]]);
    let text = layered("concat(v, v)", "SELECT operation AS v FROM records LIMIT 1");
    assert_eq!(house.ask(&format!("SELECT length(v) FROM ({text})")), [["32"]]);
    let list = layered("array_concat(v, v)", "SELECT [operation] AS v FROM records LIMIT 1");
    assert_eq!(house.ask(&format!("SELECT array_length(v) FROM ({list})")), [["8"]]);
    assert_eq!(house.ask(&format!("SELECT max(v) FROM ({number}) WHERE v > 2")), [["3"]]);
    let renamed = "SELECT y + y AS x FROM (SELECT x AS y FROM (SELECT y + y AS x FROM (SELECT x AS y FROM
        (SELECT leaf_index + 1 AS x FROM records WHERE leaf_index = 0))))";
    assert_eq!(house.ask(renamed), [["4"]]);
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
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());

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
