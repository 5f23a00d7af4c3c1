//! What queries answer: one row a behaviour, the statement and the rows as a client sees them.

use starweir_warehouse::{Config, Warehouse};

use crate::shown;

#[tokio::test(flavor = "multi_thread")]
async fn queries_answer_as_starrocks_does() {
    let w = Warehouse::start(Config::default()).await.unwrap();
    w.query(
        "CREATE DATABASE d; CREATE TABLE d.t (k INT, a ARRAY<INT>, s VARCHAR(10)) DUPLICATE KEY(k); \
         INSERT INTO d.t VALUES (1, [3, 1, 2], 'x'), (2, [], 'y'), (3, NULL, 'x'); \
         CREATE TABLE d.u (k INT, v INT) DUPLICATE KEY(k); INSERT INTO d.u VALUES (2, 20), (4, 40)",
    )
    .await
    .unwrap();
    let check = async |sql: &str, want: &str| {
        let got = w.query(sql).await.map(|b| shown(&b)).unwrap_or_else(|e| format!("ERROR {}", e.chain()));
        assert!(got == want || want.starts_with("ERROR") && got.contains(&want[6..]), "{sql}\n got {got}\nwant {want}");
    };
    // Lambdas.
    check("SELECT array_map((x, y) -> x + y, [1, 2], [10, 20])", "[11,22]").await;
    check("SELECT array_filter(x -> x > 1, a) FROM d.t ORDER BY k", "[3,2]|[]|NULL").await;
    check("SELECT any_match(x -> x > 2, [1, 3]), all_match([1, NULL], x -> x > 0)", "1 NULL").await;
    check("SELECT array_sort([3, 1, 2], (x, y) -> y - x)", "[3,2,1]").await;
    check("SELECT array_map((x, y) -> x, [1], [1, 2])", "ERROR size is not equal in array_map()").await;
    check("SELECT array_sortby(x -> x.col1, [row(2), row(1)])", "[{\"col1\":1},{\"col1\":2}]").await;
    // Table functions beside a table.
    check("SELECT k, x FROM d.t, unnest(a) AS u(x) ORDER BY 1, 2", "1 1|1 2|1 3").await;
    check("SELECT k, u FROM d.t LEFT JOIN unnest(a) AS t2(u) ON true ORDER BY 1, 2", "1 1|1 2|1 3|2 NULL|3 NULL").await;
    check("SELECT x FROM TABLE(unnest(ARRAY<INT>[1, NULL])) AS u(x) ORDER BY 1", "NULL|1").await;
    check("SELECT k FROM d.t RIGHT JOIN unnest(a) AS u ON true", "ERROR unnest support inner join").await;
    check("SELECT * FROM TABLE(generate_series(end => 5, start => 1, step => 2))", "1|3|5").await;
    check("SELECT k, g FROM d.t, generate_series(1, k) AS s(g) WHERE k = 2 ORDER BY 2", "2 1|2 2").await;
    // Sequences.
    check("SELECT group_concat(DISTINCT s ORDER BY 1 DESC SEPARATOR '-') FROM d.t", "y-x").await;
    check("SELECT array_agg(k ORDER BY k DESC) FROM d.t", "[3,2,1]").await;
    check("SELECT group_concat(s ORDER BY 3) FROM d.t", "ERROR ORDER BY position 3 is not in group_concat").await;
    // Joined columns are one column.
    check("SELECT k, s, v FROM d.t FULL JOIN d.u USING (k) ORDER BY k", "1 x NULL|2 y 20|3 x NULL|4 NULL 40").await;
    check("SELECT * FROM d.u JOIN d.t USING (k)", "2 20 [] y").await;
    // Types and errors.
    check(
        "SELECT array_sort([[1]])",
        "ERROR No matching function with signature: array_sort(array<array<tinyint(4)>>)",
    )
    .await;
    check("SELECT translate('a', 'b')", "ERROR signature: translate(varchar, varchar)").await;
    // Dates.
    check("SELECT date_diff('month', '2017-02-28', '2016-02-29')", "12").await;
    check("SELECT str_to_date('20141221', '%Y%m%d')", "2014-12-21").await;
    check("SELECT jodatime_format('2023-12-25', 'MMM dd'), previous_day('2023-04-09', 'Tue')", "Dec 25 2023-04-04")
        .await;
    check("SELECT date_slice('2023-12-31', INTERVAL 3.2 YEAR)", "ERROR must be a constant interval").await;
    // Bitmaps, quantiles, JSON.
    check("SELECT bitmap_to_string(bitmap_subset_limit(bitmap_from_string('1,2,3'), 2, -2))", "1,2").await;
    check("SELECT hex(bitmap_to_binary(to_bitmap(1)))", "0101000000").await;
    check("SELECT approx_top_k(s, 1) FROM d.t", "[{\"item\":\"x\",\"count\":2}]").await;
    check("SELECT min_n(k, 2), percentile_disc(k, 0.5) FROM d.t", "[1,2] 2").await;
    check("SELECT parse_json('{\"a\":null}')->'a', parse_json('{\"a\":null}')->'a' IS NULL", "null 1").await;
    // Decimals: casts are held to the integers below, sums of digits beyond 38 meet as DOUBLE, quotients are rounded once.
    check(
        "SELECT cast(9223372036854775807 AS DECIMAL(9, 0)), cast(9223372036854775807 AS DECIMAL(9, 1))",
        "9223372036854775807 NULL",
    )
    .await;
    check("SELECT cast(cast(1e9 AS DOUBLE) AS DECIMAL(50, 15))", "999999999.999999983222784").await;
    check("SELECT coalesce(cast(1 AS DECIMAL(50, 15)), 0.000000000000000)", "1").await;
    check(
        "SELECT 7237005577332262213973186563042994240829374041602535252466099000494570602496 + 0",
        "7237005577332262213973186563042994240829374041602535252466099000494570602496",
    )
    .await;
    check(
        "SELECT cast(2 AS DECIMAL(10, 2)) / cast(3 AS DECIMAL(10, 2)), cast(-2 AS DECIMAL(10, 2)) / 3",
        "0.66666667 -0.66666667",
    )
    .await;
    check(
        "SELECT cast(1 AS DECIMAL(76, 40)) * cast(1 AS DECIMAL(76, 40))",
        "ERROR Return scale(80) exceeds maximum value(76), please cast decimal type to low-precision one",
    )
    .await;
    check("SET decimal_overflow_to_double = true; SELECT 12345678901234567890123456.123456 * 98765432109876543210987654.876543", "1.2193263113702181e+51").await;
    check("SET decimal_overflow_to_double = true; SELECT cast(2 AS DECIMAL(30, 1)) * cast(3 AS DECIMAL(30, 1))", "6")
        .await;
    // Series as arrays.
    check("SELECT array_generate(3), array_generate(3, 1), array_generate(1, 6, 2)", "[1,2,3] [3,2,1] [1,3,5]").await;
    check(
        "SELECT array_generate('2024-01-31', '2024-03-31', INTERVAL 1 MONTH)",
        "[\"2024-01-31 00:00:00\",\"2024-02-29 00:00:00\",\"2024-03-31 00:00:00\"]",
    )
    .await;
    check("SELECT array_generate(DATE '2024-01-02', DATE '2024-01-01', INTERVAL 1 DAY), array_generate('2024-01-01', 'x', 1)", "[\"2024-01-02\",\"2024-01-01\"] NULL").await;
    check("SELECT array_generate('2024-01-01', '2024-01-02', INTERVAL -1 DAY)", "ERROR from line 1, column 7 to line 1, column 65. Detail message: array_generate requires step parameter must be non-negative").await;
    check("SELECT array_repeat(NULL, 2), array_repeat(1, NULL)", "[null,null] NULL").await;
    // Names nobody knows, and columns that are not grouped.
    check("SELECT no_such(1, 'a')", "ERROR from line 1, column 7 to line 1, column 21. Detail message: No matching function with signature: no_such(tinyint(4), varchar)").await;
    check("USE d; SELECT count(*) FROM t ORDER BY k", "ERROR at line 1, column 32. Detail message: '`d`.`t`.`k`' must be an aggregate expression or appear in GROUP BY clause").await;
    check("SELECT json_set('{\"a\": 1}', '$.a', parse_json('null'))", "{\"a\": \"null\"}").await;
    // Variables keep their types.
    check("SET @v = [1, 2]; SELECT array_length(@v), @v[2]", "2 2").await;
    w.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_out_of_time_ends_and_the_next_one_runs() {
    let w = Warehouse::start(Config::default()).await.unwrap();
    let late = w.query("SET query_timeout = 1; SELECT sleep(2)").await.unwrap_err().chain();
    assert!(late.contains("reached its timeout of 1 seconds"), "{late}");
    assert_eq!(shown(&w.query("SELECT 1").await.unwrap()), "1");
    w.shutdown().await.unwrap();
}
