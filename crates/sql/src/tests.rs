//! Scripts through the whole crate: statements, plans and rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use starweir_model::{ChangeBatch, RowKind, RowKinds};

use crate::{
    ColumnKind, Diagnostic, EvalContext, Input, Insert, Outcome, Query, Session, Zone, parse_script, to_string,
};

const ORDERS: &str = "CREATE TABLE orders (
  id INT NOT NULL,
  amount BIGINT,
  name STRING,
  ts TIMESTAMP(3),
  doubled AS amount * 2,
  origin STRING METADATA FROM 'value.source' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'x', 'a.b' = '1');
CREATE TABLE sink (id BIGINT NOT NULL, name STRING, note STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'y');";

fn session(script: &str) -> Session {
    let mut session = Session::new();
    run(&mut session, script).unwrap();
    session
}

fn run(session: &mut Session, script: &str) -> Result<Vec<Outcome>, Vec<Diagnostic>> {
    parse_script(script)?.iter().map(|s| session.execute(s)).collect()
}

fn last(session: &mut Session, script: &str) -> Result<Outcome, Vec<Diagnostic>> {
    Ok(run(session, script)?.pop().expect("a statement"))
}

fn select(session: &mut Session, sql: &str) -> Query {
    match last(session, sql).unwrap() {
        Outcome::Select(query) => query,
        other => panic!("{other:?}"),
    }
}

fn inserts(outcome: Outcome) -> Vec<Insert> {
    match outcome {
        Outcome::Inserts(inserts) => inserts,
        other => panic!("{other:?}"),
    }
}

/// The words a diagnostic underlines.
fn underlined<'a>(script: &'a str, diagnostic: &Diagnostic) -> &'a str {
    &script[diagnostic.span.clone().expect("a place")]
}

/// id, amount, name, ts in the order a scan asks for.
fn batch(query: &Query) -> RecordBatch {
    let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
    let columns: Vec<ArrayRef> = scan
        .schema
        .columns
        .iter()
        .map(|c| -> ArrayRef {
            match c.name.as_str() {
                "id" => Arc::new(Int32Array::from(vec![1, 2, 3])),
                "amount" => Arc::new(Int64Array::from(vec![Some(10), None, Some(30)])),
                "name" | "origin" => Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])),
                _ => Arc::new(TimestampMicrosecondArray::from(vec![
                    Some(10_000_000),
                    Some(60_000_000),
                    Some(30_000_000),
                ])),
            }
        })
        .collect();
    RecordBatch::try_new(scan.schema.to_arrow(), columns).unwrap()
}

/// A query without a table, printed.
fn value(sql: &str) -> Option<String> {
    let mut session = Session::new();
    let query = select(&mut session, &format!("SELECT {sql}"));
    let Input::Values(batch) = &query.branches[0].input else { panic!("values") };
    let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(batch.clone())).unwrap();
    let text = to_string(out.column(0), &query.schema.columns[0].data_type, Zone::UTC);
    let text = text.as_string::<i32>();
    text.is_valid(0).then(|| text.value(0).to_owned())
}

#[test]
fn a_scan_reads_only_the_columns_that_are_used() {
    let mut session = session(ORDERS);
    let query = select(&mut session, "SELECT doubled + 1 AS d FROM orders WHERE id > 1");
    let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
    let names: Vec<_> = scan.schema.columns.iter().map(|c| c.name.as_str()).collect();
    // ts stays: the watermark needs it.
    assert_eq!(names, ["id", "amount", "ts"]);
    assert!(query.explain().contains("filter (id > 1)"), "{}", query.explain());
}

#[test]
fn row_kinds_stay_with_their_rows_through_a_filter() {
    let mut session = session(ORDERS);
    let query = select(&mut session, "SELECT id, doubled FROM orders WHERE amount IS NOT NULL");
    let kinds = RowKinds::Each(vec![RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete]);
    let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::new(batch(&query), kinds)).unwrap();
    assert_eq!(out.kinds, RowKinds::Each(vec![RowKind::UpdateBefore, RowKind::Delete]));
    assert_eq!(out.column(0).as_primitive::<Int32Type>().values(), &[1, 3]);
    assert_eq!(out.column(1).as_primitive::<Int64Type>().values(), &[20, 60]);
}

#[test]
fn the_watermark_is_the_largest_event_time_so_far() {
    let mut session = session(ORDERS);
    let query = select(&mut session, "SELECT id FROM orders");
    let chain = &query.branches[0].chain;
    let out = chain.apply(&EvalContext::default(), ChangeBatch::inserts(batch(&query))).unwrap();
    assert_eq!(out.watermark_ms, Some(55_000));
    let early = ChangeBatch::inserts(batch(&query).slice(0, 1));
    assert_eq!(chain.apply(&EvalContext::default(), early).unwrap().watermark_ms, Some(55_000));
    assert_eq!(chain.fork().watermark_ms(), None);
}

#[test]
fn plain_columns_are_shared_not_copied() {
    let mut session = session("CREATE TABLE t (a INT, b INT) WITH ('connector' = 'x')");
    let query = select(&mut session, "SELECT b, a FROM t");
    let a: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
    let input = RecordBatch::try_new(scan.schema.to_arrow(), vec![Arc::clone(&a), Arc::clone(&a)]).unwrap();
    let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(input)).unwrap();
    assert!(Arc::ptr_eq(&a, out.column(0)));
}

#[test]
fn an_insert_gives_the_sinks_columns_with_conversions_and_nulls() {
    let mut session = session(ORDERS);
    let insert =
        inserts(last(&mut session, "INSERT INTO sink (name, id) SELECT name, id FROM orders").unwrap()).remove(0);
    let names: Vec<_> = insert.query.schema.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "note"]);
    assert_eq!(insert.target_columns, [1, 0]);
    assert_eq!(insert.query.schema.primary_key, [0]);
    let out = insert.query.branches[0]
        .chain
        .apply(&EvalContext::default(), ChangeBatch::inserts(batch(&insert.query)))
        .unwrap();
    assert_eq!(out.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(out.column(2).null_count(), 3);
}

#[test]
fn a_null_for_a_not_null_column_stops_the_job_or_drops_the_row() {
    let script =
        "CREATE TABLE s (a BIGINT) WITH ('connector'='x'); CREATE TABLE t (a BIGINT NOT NULL) WITH ('connector'='y');";
    let mut session = session(script);
    let input = |insert: &Insert| {
        let Input::Scan(scan) = &insert.query.branches[0].input else { panic!("a scan") };
        RecordBatch::try_new(scan.schema.to_arrow(), vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).unwrap()
    };
    let insert = inserts(last(&mut session, "INSERT INTO t SELECT a FROM s").unwrap()).remove(0);
    let error = insert.query.branches[0]
        .chain
        .apply(&EvalContext::default(), ChangeBatch::inserts(input(&insert)))
        .unwrap_err();
    assert_eq!(error.message, "column 'a' is NOT NULL, but a NULL would be written into it");
    session.set("table.exec.sink.not-null-enforcer", "DROP");
    let insert = inserts(last(&mut session, "INSERT INTO t SELECT a FROM s").unwrap()).remove(0);
    let out =
        insert.query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(input(&insert))).unwrap();
    assert_eq!(out.rows(), 1);
}

#[test]
fn upserts_that_a_filter_leaves_out_are_deletes_and_deletes_may_lack_all_but_the_key() {
    use RowKind::{Delete as D, Insert as I, UpdateAfter as A};
    let script = "CREATE TABLE s (id BIGINT, name STRING) WITH ('connector'='x');
        CREATE TABLE t (id BIGINT, name STRING NOT NULL, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector'='y');";
    let insert = |sql: &str| inserts(last(&mut session(script), sql).unwrap()).remove(0);
    let rows = |kinds: &[RowKind], names: Vec<Option<&str>>| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..names.len() as i64));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("id", ids, true),
            ("name", Arc::new(StringArray::from(names)) as ArrayRef, true),
        ]);
        ChangeBatch::new(batch.unwrap(), RowKinds::from_vec(kinds.to_vec()))
    };
    let filtered = insert("INSERT INTO t SELECT id, name FROM s WHERE name <> 'x'").query.branches[0].chain.clone();
    let out = filtered
        .of_upserts()
        .apply(&EvalContext::default(), rows(&[I, A, A, D], vec![Some("a"), Some("b"), Some("x"), None]))
        .unwrap();
    assert_eq!(out.kinds, RowKinds::Each(vec![I, A, D, D]));
    assert_eq!(out.rows(), 4);

    let chain = insert("INSERT INTO t SELECT id, name FROM s").query.branches[0].chain.clone().of_upserts();
    assert!(chain.apply(&EvalContext::default(), rows(&[D], vec![None])).is_ok());
    assert!(chain.apply(&EvalContext::default(), rows(&[A], vec![None])).is_err());
}

#[test]
fn a_result_column_knows_the_columns_it_is_made_of() {
    let mut session = session(ORDERS);
    let query =
        select(&mut session, "SELECT id + 1, amount, name || CAST(id AS STRING), 1 FROM (SELECT * FROM orders)");
    let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
    let names = |column: usize| {
        let from = query.branches[0].chain.inputs_of(column);
        let mut names: Vec<_> = from.into_iter().map(|i| scan.schema.columns[i].name.as_str()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!((0..4).map(names).collect::<Vec<_>>(), ["id", "amount", "id name", ""]);
}

#[test]
fn mistakes_underline_the_word_and_name_the_nearest_known_one() {
    for (sql, word, hint) in [
        ("SELECT nmae FROM orders", "nmae", Some("did you mean 'name'?")),
        ("SELECT o.nmae FROM orders AS o", "nmae", Some("did you mean 'name'?")),
        ("SELECT id FROM ordres", "ordres", Some("did you mean 'orders'?")),
        ("SELECT UPER(name) FROM orders", "UPER", Some("did you mean 'UPPER'?")),
        ("SELECT x.id FROM orders", "x", None),
        ("SELECT id FROM orders /*+ OPTION('a'='b') */", "OPTION", Some("did you mean 'OPTIONS'?")),
        ("SELECT CAST(id AS STRNG) FROM orders", "STRNG", Some("did you mean 'STRING'?")),
        ("SELECT EXTRACT(YER FROM ts) FROM orders", "YER", Some("did you mean 'YEAR'?")),
        ("INSERT INTO sink (idd) SELECT id FROM orders", "idd", Some("did you mean 'id'?")),
        ("CRATE TABLE t (a INT)", "CRATE", Some("did you mean 'CREATE'?")),
    ] {
        let mut session = session(ORDERS);
        let errors = last(&mut session, sql).unwrap_err();
        assert_eq!(underlined(sql, &errors[0]), word, "{sql}: {}", errors[0]);
        assert_eq!(errors[0].hint.as_deref(), hint, "{sql}");
    }
}

#[test]
fn what_needs_state_is_refused_where_it_stands() {
    for (sql, place) in [
        ("SELECT COUNT(*) FROM orders", "COUNT"),
        ("SELECT DISTINCT id FROM orders", "DISTINCT"),
        ("SELECT id FROM orders GROUP BY id", "GROUP BY id"),
        ("SELECT id FROM orders ORDER BY id", "ORDER BY id"),
        ("SELECT id FROM orders LIMIT 5", "LIMIT 5"),
        ("SELECT ROW_NUMBER() OVER (ORDER BY ts) FROM orders", "OVER (ORDER BY ts)"),
        ("SELECT id FROM orders UNION SELECT id FROM orders", "UNION"),
        ("SELECT id FROM orders INTERSECT SELECT id FROM orders", "INTERSECT"),
        ("SELECT a.id FROM orders a JOIN orders b ON a.id = b.id", "orders a JOIN orders b ON a.id = b.id"),
        (
            "SELECT id FROM orders FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00'",
            "TIMESTAMP '2020-01-01 00:00:00'",
        ),
        ("SELECT /*+ BROADCAST(orders) */ id FROM orders", "BROADCAST(orders)"),
        ("SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))", "TUMBLE"),
        ("SELECT id FROM orders WHERE id IN (SELECT id FROM orders)", "id IN (SELECT id FROM orders)"),
    ] {
        let mut session = session(ORDERS);
        let errors = last(&mut session, sql).unwrap_err();
        assert!(errors[0].message.contains("not supported yet"), "{sql}: {}", errors[0]);
        assert_eq!(underlined(sql, &errors[0]), place, "{sql}");
    }
}

#[test]
fn hints_lie_over_the_tables_options() {
    let mut session = session(ORDERS);
    let query = select(&mut session, "SELECT id FROM orders /*+ OPTIONS('a.b' = '2', 'c' = '3') */ AS o");
    let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
    assert_eq!((scan.option("a.b"), scan.option("c"), scan.option("connector")), (Some("2"), Some("3"), Some("x")));
    assert_eq!(scan.table.option("a.b"), Some("1"));
    let insert = inserts(
        last(&mut session, "INSERT INTO sink /*+ OPTIONS('k' = 'v') */ SELECT id, name, name FROM orders").unwrap(),
    )
    .remove(0);
    assert_eq!(insert.option("k"), Some("v"));
}

#[test]
fn equal_scans_have_equal_fingerprints_and_changes_are_told_in_words() {
    let mut session = session(ORDERS);
    let before = select(&mut session, "SELECT id FROM orders WHERE id > 1");
    let again = select(&mut session, "SELECT id FROM orders WHERE id > 1");
    assert_eq!(before.fingerprint(), again.fingerprint());
    let after = select(&mut session, "SELECT id FROM orders WHERE id > 2");
    let changes = crate::describe_changes(&before.fingerprint(), &after.fingerprint());
    assert_eq!(changes, ["step 1: no longer filter (id > 1)", "step 1: now filter (id > 2)"]);
}

#[test]
fn secrets_stay_out_of_fingerprints_and_show_create() {
    let mut session = session("CREATE TABLE t (a INT) WITH ('connector'='x', 'password'='hunter2')");
    let query = select(&mut session, "SELECT a FROM t");
    assert!(!query.fingerprint().contains("hunter2"));
    let Outcome::Rows { rows, .. } = last(&mut session, "SHOW CREATE TABLE t").unwrap() else { panic!("rows") };
    assert!(!rows[0][0].contains("hunter2"));
}

#[test]
fn like_takes_over_what_its_clauses_say() {
    let columns = |like: &str| -> Vec<String> {
        let mut session = session(ORDERS);
        run(&mut session, &format!("CREATE TABLE copy (extra INT) WITH ('connector' = 'z') LIKE orders ({like})"))
            .unwrap();
        let table = session.tables().into_iter().find(|t| t.path.name == "copy").unwrap();
        table.columns.iter().map(|c| c.name.clone()).collect()
    };
    assert_eq!(columns("OVERWRITING OPTIONS"), ["id", "amount", "name", "ts", "doubled", "origin", "extra"]);
    assert_eq!(columns("EXCLUDING GENERATED OVERWRITING OPTIONS"), ["id", "amount", "name", "ts", "origin", "extra"]);
    assert_eq!(columns("EXCLUDING METADATA EXCLUDING OPTIONS"), ["id", "amount", "name", "ts", "doubled", "extra"]);
    let mut session = session(ORDERS);
    run(
        &mut session,
        "CREATE TABLE copy WITH ('connector' = 'z') LIKE orders (EXCLUDING CONSTRAINTS EXCLUDING WATERMARKS)",
    )
    .unwrap();
    let copy = session.tables().into_iter().find(|t| t.path.name == "copy").unwrap();
    assert!(copy.primary_key.is_empty() && copy.watermark.is_none());
    assert_eq!((copy.option("connector"), copy.option("a.b")), (Some("z"), Some("1")));
}

#[test]
fn statement_sets_are_one_job_in_both_spellings() {
    let mut session = session(ORDERS);
    let one = "EXECUTE STATEMENT SET BEGIN INSERT INTO sink SELECT id, name, name FROM orders; INSERT INTO sink SELECT id, 'x', 'y' FROM orders; END";
    assert_eq!(inserts(last(&mut session, one).unwrap()).len(), 2);
    let other = "BEGIN STATEMENT SET; INSERT INTO sink SELECT id, name, name FROM orders; INSERT INTO sink SELECT id, 'x', 'y' FROM orders; END;";
    assert_eq!(inserts(last(&mut session, other).unwrap()).len(), 2);
    let broken = "EXECUTE STATEMENT SET BEGIN INSERT INTO sink SELECT idd, name, name FROM orders; INSERT INTO nosink SELECT 1; END";
    assert_eq!(last(&mut session, broken).unwrap_err().len(), 2);
}

#[test]
fn a_refused_insert_keeps_its_statement_set_from_running() {
    let mut session = session(ORDERS);
    let script = "BEGIN STATEMENT SET; INSERT INTO sink SELECT id, name, name FROM orders; INSERT INTO sink SELECT COUNT(*), 'a', 'b' FROM orders; END;";
    let statements = parse_script(script).unwrap();
    let outcomes: Vec<_> = statements.iter().map(|s| session.execute(s)).collect();
    assert!(outcomes[2].is_err() && outcomes[3].is_err());
}

#[test]
fn every_mistake_of_a_table_is_reported_at_once() {
    let sql = "CREATE TABLE t (a INT, a INT, b STRNG2.x, PRIMARY KEY (c) NOT ENFORCED, WATERMARK FOR a AS a) WITH ('k' = '1', 'k' = '2')";
    let errors = last(&mut Session::new(), sql).unwrap_err();
    let words: Vec<_> = errors.iter().map(|e| underlined(sql, e)).collect();
    assert!(words.contains(&"'k'") && words.contains(&"c") && words.len() >= 4, "{errors:?}");
}

#[test]
fn union_all_brings_its_branches_to_common_types() {
    let mut session = session(ORDERS);
    let query = select(&mut session, "SELECT id, name FROM orders UNION ALL SELECT amount, 'x' FROM orders");
    assert_eq!(query.branches.len(), 2);
    let types: Vec<_> = query.schema.columns.iter().map(|c| c.data_type.to_string()).collect();
    assert_eq!(types, ["BIGINT", "STRING"]);
    let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(batch(&query))).unwrap();
    assert_eq!(out.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
}

#[test]
fn unnest_gives_a_row_per_element_and_left_join_keeps_empty_ones() {
    let mut session = session("CREATE TABLE t (id INT, tags ARRAY<INT>) WITH ('connector' = 'x')");
    for (sql, expected) in [
        ("SELECT id, tag FROM t CROSS JOIN UNNEST(tags) AS u (tag)", vec![(1, Some(5)), (1, Some(6))]),
        (
            "SELECT id, tag FROM t LEFT JOIN UNNEST(tags) AS u (tag) ON TRUE",
            vec![(1, Some(5)), (1, Some(6)), (2, None), (3, None)],
        ),
    ] {
        let query = select(&mut session, sql);
        let tags =
            ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(5), Some(6)]), Some(vec![]), None]);
        let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
        let input = RecordBatch::try_new(
            scan.schema.to_arrow(),
            vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(tags)],
        )
        .unwrap();
        let kinds = RowKinds::Each(vec![RowKind::Delete, RowKind::Insert, RowKind::Insert]);
        let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::new(input, kinds)).unwrap();
        let (ids, values) = (out.column(0).as_primitive::<Int32Type>(), out.column(1).as_primitive::<Int32Type>());
        let found: Vec<_> =
            (0..out.rows()).map(|i| (ids.value(i), values.is_valid(i).then(|| values.value(i)))).collect();
        assert_eq!(found, expected, "{sql}");
        assert_eq!(out.kinds.at(1), RowKind::Delete);
    }
}

#[test]
fn branches_that_may_fail_run_only_for_the_rows_that_reach_them() {
    let mut session = session("CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'x')");
    for sql in [
        "SELECT CASE WHEN a <> 0 THEN 10 / a ELSE -1 END FROM t",
        "SELECT IF(a <> 0 AND 10 / a > 1, 1, 0) FROM t",
        "SELECT IF(a = 0 OR 10 / a > 1, 1, 0) FROM t",
        "SELECT COALESCE(NULLIF(a, 0), CAST(s AS INT)) FROM t",
    ] {
        let query = select(&mut session, sql);
        let Input::Scan(scan) = &query.branches[0].input else { panic!("a scan") };
        let columns: Vec<ArrayRef> = scan
            .schema
            .columns
            .iter()
            .map(|c| -> ArrayRef {
                if c.name == "a" {
                    Arc::new(Int32Array::from(vec![5, 0]))
                } else {
                    Arc::new(StringArray::from(vec!["x", "7"]))
                }
            })
            .collect();
        let input = RecordBatch::try_new(scan.schema.to_arrow(), columns).unwrap();
        query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(input)).unwrap();
    }
}

#[test]
fn expressions_mean_what_flink_means() {
    for (sql, expected) in [
        ("-7 / 2", Some("-3")),
        ("MOD(-7, 3)", Some("-1")),
        ("2147483647 + 1", Some("-2147483648")),
        ("7 / 2.0", Some("3.500000")),
        ("CAST(300 AS TINYINT)", Some("44")),
        ("CAST(1e10 AS INT)", Some("2147483647")),
        ("SUBSTRING('hello', 0, 2)", Some("he")),
        ("SUBSTRING('hello', 2, -1)", None),
        ("'abc' LIKE ''", Some("TRUE")),
        ("CAST('ab' AS CHAR(5)) = 'ab'", Some("FALSE")),
        ("1 IN ('1')", Some("TRUE")),
        ("GREATEST(7, 2, CAST(NULL AS INT))", None),
        ("ARRAY[1, 2, CAST(NULL AS INT)]", Some("[1, 2, NULL]")),
        ("MAP['a', 1]['a']", Some("1")),
        ("CAST(ROW(7, 'abc') AS STRING)", Some("(7, abc)")),
        ("DATE_FORMAT(TIMESTAMP '2020-01-31 13:05:09', 'yyyy/MM/dd')", Some("2020/01/31")),
        ("CAST(DATE '2020-01-31' + INTERVAL '1' MONTH AS STRING)", Some("2020-02-29")),
        ("JSON_VALUE('{\"a\":1}', '$.a')", Some("1")),
        ("CAST(NULL AS BOOLEAN) AND FALSE", Some("FALSE")),
        ("1 = 1 OR CAST(NULL AS BOOLEAN)", Some("TRUE")),
    ] {
        assert_eq!(value(sql).as_deref(), expected, "{sql}");
    }
}

#[test]
fn create_table_as_makes_the_table_and_fills_it() {
    let mut session = session(ORDERS);
    let insert = inserts(
        last(&mut session, "CREATE TABLE copy WITH ('connector' = 'z') AS SELECT id, doubled AS d FROM orders")
            .unwrap(),
    )
    .remove(0);
    assert_eq!(insert.target.path.name, "copy");
    let types: Vec<_> = insert.target.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
    assert_eq!(types, ["id INT NOT NULL", "d BIGINT"]);
    last(&mut session, "EXPLAIN CREATE TABLE other WITH ('connector' = 'z') AS SELECT id FROM orders").unwrap();
    assert!(session.tables().iter().all(|t| t.path.name != "other"));
}

#[test]
fn show_and_describe_answer_from_the_catalog() {
    let mut session = session(ORDERS);
    run(&mut session, "CREATE VIEW v AS SELECT id AS x FROM orders; CREATE DATABASE d2; SET 'a' = 'b';").unwrap();
    let rows = |session: &mut Session, sql: &str| match last(session, sql).unwrap() {
        Outcome::Rows { rows, .. } => rows.into_iter().map(|r| r.join("|")).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(&mut session, "SHOW TABLES"), ["orders", "sink", "v"]);
    assert_eq!(rows(&mut session, "SHOW TABLES LIKE '%r%'"), ["orders"]);
    assert_eq!(rows(&mut session, "SHOW VIEWS"), ["v"]);
    assert_eq!(rows(&mut session, "SHOW DATABASES"), ["d2", "default_database"]);
    assert_eq!(rows(&mut session, "DESCRIBE v"), ["x|INT|FALSE|||"]);
    assert_eq!(rows(&mut session, "DESC orders")[0], "id|INT|FALSE|PRI(id)||");
    assert!(rows(&mut session, "SHOW CREATE VIEW v")[0].ends_with("AS SELECT id AS x FROM orders"));
    assert!(rows(&mut session, "SHOW FUNCTIONS").contains(&"upper".to_owned()));
    assert!(matches!(last(&mut session, "RESET 'a'").unwrap(), Outcome::Reset { key: Some(key) } if key == "a"));
}

#[test]
fn set_takes_quoted_and_bare_forms() {
    let mut session = Session::new();
    run(&mut session, "SET 'a.b' = 'x y'; SET pipeline.name = my job; SET execution.checkpointing.interval=10s;")
        .unwrap();
    assert_eq!(session.setting("a.b"), Some("x y"));
    assert_eq!(session.setting("pipeline.name"), Some("my job"));
    assert_eq!(session.setting("execution.checkpointing.interval"), Some("10s"));
    assert!(last(&mut session, "SET 'table.local-time-zone' = 'Moon/Base'").is_err());
}

#[test]
fn alter_table_changes_what_it_names() {
    let mut session = session(ORDERS);
    run(
        &mut session,
        "ALTER TABLE orders ADD (x INT FIRST, y STRING AFTER id);
         ALTER TABLE orders DROP WATERMARK;
         ALTER TABLE orders RENAME name TO label;
         ALTER TABLE orders SET ('a.b' = '9');
         ALTER TABLE orders DROP doubled;
         ALTER TABLE orders RENAME TO o2;",
    )
    .unwrap();
    let table = session.tables().into_iter().find(|t| t.path.name == "o2").unwrap();
    let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["x", "id", "y", "amount", "label", "ts", "origin"]);
    assert_eq!(table.primary_key, [1]);
    assert_eq!(table.option("a.b"), Some("9"));
    assert!(matches!(table.columns[6].kind, ColumnKind::Metadata { .. }));
}

#[test]
fn long_lists_and_deep_nesting_are_planned_without_a_deep_stack() {
    let mut session = session(ORDERS);
    let list: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
    let query = select(&mut session, &format!("SELECT id FROM orders WHERE id IN ({})", list.join(",")));
    let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(batch(&query))).unwrap();
    assert_eq!(out.rows(), 3);
    let chain = vec!["id > 0"; 5_000].join(" AND ");
    select(&mut session, &format!("SELECT id FROM orders WHERE {chain}"));
    for depth in [40, 80, 200] {
        let sql = format!("SELECT {}id{} FROM orders", "ABS(".repeat(depth), ")".repeat(depth));
        let _ = last(&mut session, &sql);
        let sql = format!("SELECT {}id{} FROM orders", "CASE WHEN TRUE THEN ".repeat(depth), " END".repeat(depth));
        let _ = last(&mut session, &sql);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Words and signs of the language in any order, and arbitrary text.
    fn sql() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "SELECT",
            "FROM",
            "orders",
            "WHERE",
            "id",
            "amount",
            "name",
            "ts",
            "(",
            ")",
            ",",
            "+",
            "-",
            "*",
            "/",
            "%",
            "||",
            "=",
            "<>",
            "<",
            "AND",
            "OR",
            "NOT",
            "NULL",
            "IS",
            "IN",
            "BETWEEN",
            "LIKE",
            "CASE",
            "WHEN",
            "THEN",
            "ELSE",
            "END",
            "CAST",
            "AS",
            "STRING",
            "INT",
            "DATE",
            "'2020-01-31'",
            "TIMESTAMP",
            "INTERVAL",
            "'1'",
            "DAY",
            "ARRAY",
            "[",
            "]",
            "MAP",
            "ROW",
            ".",
            "1",
            "0",
            "-1",
            "2147483648",
            "1.5",
            "1e300",
            "'x'",
            "''",
            "UPPER",
            "SUBSTRING",
            "ROUND",
            "TRUNCATE",
            "LPAD",
            "REPEAT",
            "JSON_VALUE",
            "'$.a'",
            "FLOOR",
            "TO",
            "YEAR",
            "EXTRACT",
            "TIMESTAMPADD",
            "INSERT",
            "INTO",
            "sink",
            "VALUES",
            "CREATE",
            "TABLE",
            "VIEW",
            "WITH",
            ";",
            "/*+",
            "*/",
            "OPTIONS",
            "UNION",
            "ALL",
            "UNNEST",
            "CROSS",
            "JOIN",
            "LATERAL",
            "SHOW",
            "SET",
            "EXPLAIN",
            "`",
            "'",
            "--",
            "\n",
            "ARRAY_SLICE",
            "OVERLAY",
            "PLACING",
            "REGEXP_EXTRACT",
            "TRY_CAST",
            "DECIMAL(38, 10)",
            "VARCHAR(2)",
        ]);
        prop_oneof![
            3 => prop::collection::vec(word, 0..24).prop_map(|w| w.join(" ")),
            1 => ".{0,60}",
        ]
    }

    /// Expressions that are well formed more often than not.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "id",
            "amount",
            "name",
            "ts",
            "1",
            "0",
            "-5",
            "2147483647",
            "1.5",
            "0.00",
            "'abc'",
            "''",
            "'2020-02-30'",
            "CAST(NULL AS INT)",
            "NULL",
            "TRUE",
            "TIMESTAMP '2020-02-29 23:59:59.999'",
            "DATE '9999-12-31'",
            "INTERVAL '99999' DAY",
            "INTERVAL '9999' YEAR",
            "ARRAY[1, 2]",
            "MAP['a', 1]",
            "9223372036854775807",
            "1e308",
            "'日本語😀'",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(3, 24, 3, |inner| {
            let f = prop::sample::select(vec![
                "UPPER",
                "ABS",
                "ROUND",
                "TRUNCATE",
                "SUBSTRING",
                "LPAD",
                "REPLACE",
                "CONCAT",
                "COALESCE",
                "IF",
                "NULLIF",
                "GREATEST",
                "MOD",
                "POWER",
                "LOG",
                "ARRAY_CONTAINS",
                "ARRAY_SLICE",
                "CARDINALITY",
                "TO_TIMESTAMP",
                "TO_DATE",
                "FROM_UNIXTIME",
                "UNIX_TIMESTAMP",
                "DATE_FORMAT",
                "SPLIT_INDEX",
                "INSTR",
                "REGEXP_EXTRACT",
                "OVERLAY",
                "JSON_VALUE",
                "JSON_STRING",
                "HEX",
                "CHR",
                "RIGHT",
                "TO_TIMESTAMP_LTZ",
                "PARSE_URL",
                "STR_TO_MAP",
                "ARRAY_JOIN",
                "CONVERT_TZ",
                "SHA2",
                "BIN",
                "SIGN",
                "CEIL",
                "RAND_INTEGER",
                "YEAR",
                "HASH_CODE",
            ]);
            prop_oneof![
                (
                    inner.clone(),
                    prop::sample::select(vec!["+", "-", "*", "/", "%", "||", "=", "<", "AND", "OR", "LIKE"]),
                    inner.clone()
                )
                    .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
                (f, prop::collection::vec(inner.clone(), 1..4))
                    .prop_map(|(f, args)| format!("{f}({})", args.join(", "))),
                (
                    inner.clone(),
                    prop::sample::select(vec![
                        "INT",
                        "STRING",
                        "DECIMAL(38, 18)",
                        "TINYINT",
                        "TIMESTAMP(9)",
                        "DATE",
                        "CHAR(3)",
                        "DOUBLE",
                        "TIMESTAMP_LTZ(3)"
                    ])
                )
                    .prop_map(|(e, t)| format!("TRY_CAST({e} AS {t})")),
                (inner.clone(), prop::sample::select(vec!["YEAR", "WEEK", "MONTH", "DAY", "HOUR"]))
                    .prop_map(|(e, u)| format!("FLOOR({e} TO {u})")),
                (prop::sample::select(vec!["YEAR", "MONTH", "DAY", "SECOND"]), inner.clone(), inner.clone())
                    .prop_map(|(u, a, b)| format!("TIMESTAMPADD({u}, {a}, {b})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("{a}[{b}]")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]

        #[test]
        fn no_text_panics_the_parser_or_the_planner(text in sql()) {
            if let Ok(statements) = parse_script(&text) {
                let mut session = session(ORDERS);
                for statement in &statements {
                    let _ = session.execute(statement);
                }
            }
        }

        #[test]
        fn no_expression_panics_the_evaluator(text in expression()) {
            let mut session = session(ORDERS);
            if let Ok(Outcome::Select(query)) = last(&mut session, &format!("SELECT {text} AS x, id FROM orders")) {
                let out = query.branches[0].chain.apply(&EvalContext::default(), ChangeBatch::inserts(batch(&query)));
                if let Ok(out) = out {
                    prop_assert_eq!(out.rows(), 3);
                    to_string(out.column(0), &query.schema.columns[0].data_type, Zone::UTC);
                }
            }
        }
    }
}
