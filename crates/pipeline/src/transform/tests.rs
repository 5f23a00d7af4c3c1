//! Rules over small tables, and text nobody would write.

use std::sync::Arc;

use proptest::prelude::*;
use starweir_model::{
    AddedColumn, ChangeOp, Clock, ColumnPosition, DataType, Result, RowChange, SchemaChange, TableColumn, TableId,
    TableSchema, Value,
};

use super::{TransformRule, TransformSettings, Transformer, UserFunction, Zone};
use crate::print;

struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> i64 {
        1_704_067_200_123
    }
}

fn settings(zone: &str) -> TransformSettings {
    TransformSettings::new(Zone::parse(zone).unwrap(), Arc::new(Stopped))
}

fn schema(columns: &[(&str, &str)], keys: &[&str]) -> TableSchema {
    TableSchema {
        columns: columns.iter().map(|(name, of)| TableColumn::new(*name, of.parse().unwrap())).collect(),
        primary_keys: keys.iter().map(|k| (*k).to_owned()).collect(),
        ..TableSchema::default()
    }
}

fn table() -> TableId {
    TableId::in_schema("s", "t")
}

fn rule(projection: &str, filter: &str) -> TransformRule {
    TransformRule {
        source_table: "s.\\.*".into(),
        projection: (!projection.is_empty()).then(|| projection.to_owned()),
        filter: (!filter.is_empty()).then(|| filter.to_owned()),
        ..TransformRule::default()
    }
}

fn create(schema: TableSchema) -> SchemaChange {
    SchemaChange::CreateTable { table: table(), schema }
}

fn insert(row: Vec<Value>) -> RowChange {
    RowChange { op: ChangeOp::Insert, before: None, after: Some(row), meta: Vec::new() }
}

/// The table most tests use.
fn people() -> TableSchema {
    schema(
        &[
            ("id", "BIGINT NOT NULL"),
            ("name", "STRING"),
            ("age", "INT"),
            ("price", "DECIMAL(10, 2)"),
            ("at", "TIMESTAMP(6)"),
            ("tags", "ARRAY<STRING>"),
            ("who", "ROW<`first` STRING, `born` DATE>"),
            ("doc", "VARIANT"),
            ("ratio", "DOUBLE"),
            ("raw", "BYTES"),
        ],
        &["id"],
    )
}

fn alice() -> Vec<Value> {
    vec![
        Value::BigInt(7),
        Value::string("Alice"),
        Value::Int(17),
        Value::Decimal(starweir_model::Decimal { unscaled: 1234, scale: 2 }),
        Value::Timestamp(starweir_model::Instant::new(1_704_067_200, 5_000_000)),
        Value::Array(vec![Value::string("a"), Value::Null]),
        Value::Row(vec![Value::string("Al"), Value::Date(0)]),
        Value::Variant("{\"a\":[1,{\"b\":\"c\"}]}".into()),
        Value::Double(2.5),
        Value::Binary(vec![1, 2]),
    ]
}

fn nobody() -> Vec<Value> {
    let mut row = vec![Value::Null; 10];
    row[0] = Value::BigInt(8);
    row
}

/// The type and value of an expression over a row.
fn evaluated(expression: &str, row: Vec<Value>) -> Result<String> {
    let mut transformer = Transformer::new(&[rule(&format!("id, {expression} AS x"), "")], &[], settings("UTC"))?;
    transformer.schema_change(create(people()))?;
    let of = transformer.schema_after(&table()).unwrap().columns[1].data_type.clone();
    let out = transformer.change(&table(), insert(row))?.unwrap();
    let value = print::value(&out.after.unwrap()[1], Some(&of));
    Ok(format!("{of} {value}"))
}

#[test]
fn expressions_have_the_types_and_values_of_upstream() {
    for (expression, alice_has, nobody_has) in [
        ("age + 1", "INT 18", "INT null"),
        ("id + age", "BIGINT 24", "BIGINT null"),
        ("age / 2", "INT 8", "INT null"),
        ("age / 2.0", "DECIMAL(17, 6) 8.000000", "DECIMAL(17, 6) null"),
        ("ratio * 2", "DOUBLE 5.0", "DOUBLE null"),
        ("price * 2", "DECIMAL(19, 2) 24.68", "DECIMAL(19, 2) null"),
        ("-age", "INT -17", "INT null"),
        ("CAST(CAST(age AS TINYINT) * CAST(age AS TINYINT) AS INT)", "INT 289", "INT null"),
        ("CAST(age AS TINYINT) * CAST(age AS TINYINT)", "TINYINT 33", "TINYINT null"),
        ("2147483647 + 1", "INT -2147483648", "INT -2147483648"),
        ("name || '-' || age", "STRING Alice-17", "STRING null-null"),
        ("ROUND(-0.001 * ratio, 2)", "DOUBLE 0.0", "DOUBLE null"),
        ("SUBSTR(name, -3, 2)", "STRING ic", "STRING null"),
        ("LPAD(name, -1, 'x')", "STRING null", "STRING null"),
        ("REGEXP_EXTRACT(name, '(', 1)", "STRING null", "STRING null"),
        ("TIMESTAMPADD(MONTH, -1, at)", "TIMESTAMP(3) 2023-12-01T00:00:00.005", "TIMESTAMP(3) null"),
        ("ARRAY[1, 2][0]", "INT null", "INT null"),
        ("name = 'Alice'", "BOOLEAN true", "BOOLEAN false"),
        ("name <> 'Alice'", "BOOLEAN false", "BOOLEAN true"),
        ("id = 7", "BOOLEAN false", "BOOLEAN false"),
        ("id = CAST(7 AS BIGINT)", "BOOLEAN true", "BOOLEAN false"),
        ("ratio = 2.5", "BOOLEAN true", "BOOLEAN false"),
        ("age > 16.5", "BOOLEAN true", "BOOLEAN false"),
        ("age BETWEEN 10 AND 20", "BOOLEAN true", "BOOLEAN false"),
        ("age NOT BETWEEN 10 AND 20", "BOOLEAN false", "BOOLEAN true"),
        ("age IN (1, 17)", "BOOLEAN true", "BOOLEAN false"),
        ("age NOT IN (1, 17)", "BOOLEAN false", "BOOLEAN true"),
        ("age > 16 AND CAST(NULL AS BOOLEAN)", "BOOLEAN null", "BOOLEAN false"),
        ("NOT (age > 16)", "BOOLEAN false", "BOOLEAN true"),
        ("name LIKE 'li'", "BOOLEAN true", "BOOLEAN null"),
        ("name LIKE 'A%' ESCAPE '$'", "BOOLEAN true", "BOOLEAN null"),
        ("name SIMILAR TO '(A|B)%'", "BOOLEAN true", "BOOLEAN null"),
        ("age IS DISTINCT FROM 17", "BOOLEAN false", "BOOLEAN true"),
        ("IF(age > 16, 'old', 'young')", "STRING old", "STRING young"),
        ("IFNULL(age, 3)", "INT NOT NULL 17", "INT NOT NULL 3"),
        ("COALESCE(NULL, age, id)", "BIGINT 17", "BIGINT 8"),
        ("NULLIF(age, 17)", "INT null", "INT null"),
        ("CASE name WHEN 'Bob', 'Alice' THEN 1 ELSE 2 END", "INT 1", "INT 2"),
        ("CASE WHEN age > 16 THEN age ELSE 'x' END", "STRING 17", "STRING x"),
        ("UPPER(name)", "STRING ALICE", "STRING null"),
        ("SUBSTR(name, -3, 2)", "STRING ic", "STRING null"),
        ("SUBSTRING(name FROM 2 FOR 2)", "STRING li", "STRING null"),
        ("TRIM(LEADING 'A' FROM name)", "STRING lice", "STRING null"),
        ("TO_BASE64(raw)", "STRING AQI=", "STRING null"),
        ("CARDINALITY(tags)", "INT 2", "INT null"),
        ("tags[1]", "STRING a", "STRING null"),
        ("tags[-1]", "STRING null", "STRING null"),
        ("who[1]", "STRING Al", "STRING null"),
        ("who.born", "DATE 1970-01-01", "DATE null"),
        ("doc['a'][2]['b']", "VARIANT \"c\"", "VARIANT null"),
        ("MAP['k', age]['k']", "INT 17", "INT null"),
        ("ARRAY_CONTAINS(tags, NULL)", "BOOLEAN true", "BOOLEAN null"),
        (
            "PARSE_JSON('{\"b\": 1.50, \"a\": [true, null, 1e2]}')",
            "VARIANT {\"a\":[true,null,100.0],\"b\":1.50}",
            "VARIANT {\"a\":[true,null,100.0],\"b\":1.50}",
        ),
        ("at + INTERVAL '1' DAY", "TIMESTAMP(3) 2024-01-02T00:00:00.005", "TIMESTAMP(3) null"),
        ("at - INTERVAL '2' MONTH", "TIMESTAMP(3) 2023-11-01T00:00:00.005", "TIMESTAMP(3) null"),
        ("who.born + INTERVAL '36' HOUR", "DATE 1970-01-02", "DATE null"),
        ("EXTRACT(QUARTER FROM at)", "BIGINT 1", "BIGINT null"),
        ("TIMESTAMPADD(MONTH, 1, at)", "TIMESTAMP(3) 2024-02-01T00:00:00.005", "TIMESTAMP(3) null"),
        ("TIMESTAMPDIFF(DAY, who.born, at)", "INT 19723", "INT null"),
        ("DATE_FORMAT(at, 'yyyy/MM')", "STRING 2024/01", "STRING null"),
        ("CURRENT_TIMESTAMP", "TIMESTAMP_LTZ(3) 2024-01-01T00:00:00.123", "TIMESTAMP_LTZ(3) 2024-01-01T00:00:00.123"),
        ("UNIX_TIMESTAMP()", "BIGINT 1704067200", "BIGINT 1704067200"),
        ("UNIX_TIMESTAMP('no time')", "BIGINT -9223372036854775808", "BIGINT -9223372036854775808"),
        ("TO_DATE('2024-02-30x')", "DATE null", "DATE null"),
        ("ROUND(price, 1)", "DECIMAL(10, 1) 12.3", "DECIMAL(10, 1) null"),
        ("ROUND(age, -1)", "INT 20", "INT null"),
        ("LPAD(name, 3, 'x')", "STRING Ali", "STRING null"),
        ("__schema_name__", "STRING NOT NULL s", "STRING NOT NULL s"),
        ("__namespace_name__ || '.' || __table_name__", "STRING null.t", "STRING null.t"),
        ("TB.age", "INT 17", "INT null"),
        ("TRY_CAST(name AS INT)", "INT null", "INT null"),
        ("CAST(price AS DECIMAL(3, 1))", "DECIMAL(3, 1) 12.3", "DECIMAL(3, 1) null"),
        ("CAST(price AS DECIMAL(38, 18))", "DECIMAL(19, 18) null", "DECIMAL(19, 18) null"),
        ("age % 5", "INT 2", "INT null"),
        ("REGEXP_EXTRACT_ALL(name, '([a-z])')", "ARRAY<STRING> [l, i, c, e]", "ARRAY<STRING> null"),
        ("CONCAT_WS('-', name, NULL, 'x')", "STRING Alice-x", "STRING x"),
    ] {
        for (row, expected) in [(alice(), alice_has), (nobody(), nobody_has)] {
            let got = evaluated(expression, row).unwrap_or_else(|e| e.chain());
            assert_eq!(got, expected, "{expression}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_upstreams_words() {
    for (expression, text) in [
        ("nobody_knows", "Column 'nobody_knows' not found in any table"),
        ("FOO(age)", "No match found for function signature FOO(<NUMERIC>)"),
        ("UPPER()", "Invalid number of arguments to function 'UPPER'"),
        ("tags + 1", "Cannot apply '+' to arguments of type '<VARCHAR(2147483647) ARRAY> + <INTEGER>'"),
        ("age['x']", "Cannot apply 'ITEM' to arguments of type"),
        ("tags['x']", "Cannot apply 'ITEM' to arguments of type"),
        ("ABS(TRUE)", "Cannot apply 'ABS' to arguments of type 'ABS(<BOOLEAN>)'"),
        ("who[3]", "ROW type does not have a field"),
        ("1 / 0", "/ by zero"),
        ("age / 0", "/ by zero"),
        ("name + 1", "Failed to evaluate projection expression `CAST(`TB`.`name` AS INTEGER) + 1`"),
        ("ELEMENT(ARRAY[1, 2])", "Array has more than one element."),
        ("TO_TIMESTAMP('x')", "Unparseable date: \"…\""),
        ("PARSE_JSON('{\"a\":1,\"a\":2}')", "Failed to parse json string: …"),
        ("EXTRACT(CENTURY FROM at)", "Unsupported EXTRACT unit: CENTURY"),
        ("TIMESTAMPADD(WEEK, 1, at)", "Unsupported timestamp interval unit WEEK"),
        ("REPEAT('x', 2000000000)", "longer than 64 MiB"),
        ("TIMESTAMPADD(YEAR, 2147483647, at)", "outside of the calendar"),
        ("name LIKE '('", "no regular expression"),
        ("(SELECT 1)", "Unrecognized expression"),
    ] {
        let error = evaluated(expression, alice()).expect_err(expression).chain();
        assert!(error.contains(text), "{expression}: {error}");
    }
}

#[test]
fn rules_are_checked_before_there_is_a_table() {
    let new = |rule: TransformRule| Transformer::new(&[rule], &[], settings("UTC")).map(|_| ());
    for (projection, text) in [
        ("id, age + 1", "Unrecognized projection expression: age + 1. Should be <EXPR> AS <IDENTIFIER>"),
        ("id AS __table_name__", "Column name __table_name__ is reserved and shading it is not allowed."),
        ("id,", "Statements can not be parsed."),
        ("id AS", "Statements can not be parsed."),
        ("'open", "Statements can not be parsed."),
    ] {
        let error = new(rule(projection, "")).expect_err(projection).chain();
        assert!(error.contains(text), "{projection}: {error}");
    }
    assert!(new(rule("", "age >")).unwrap_err().chain().contains("Statements can not be parsed."));
    let bad = TransformRule { converter_after_transform: Some("HARD_DELETE".into()), ..rule("", "") };
    assert!(new(bad).unwrap_err().chain().contains("HARD_DELETE"));
    let bad = TransformRule { table_options: Some("a".into()), ..rule("", "") };
    assert!(new(bad).unwrap_err().chain().contains("table option format error: a"));
}

#[test]
fn java_functions_are_refused_by_name_and_the_examples_run() {
    let function = |name: &str, class: &str| UserFunction {
        name: name.into(),
        classpath: class.into(),
        options: vec![("greeting".into(), "Hi".into())],
    };
    let functions = [
        function("addone", "org.apache.flink.cdc.udf.examples.java.AddOneFunctionClass"),
        function("greet", "org.apache.flink.cdc.udf.examples.java.ConfigurableFunctionClass"),
        function("upper", "org.apache.flink.udf.examples.scala.TypeOfFunctionClass"),
        function("mine", "com.example.Mine"),
    ];
    let refused = Transformer::new(&[rule("id, addone(mine(id)) AS x", "")], &functions, settings("UTC"));
    let message = refused.unwrap_err().chain();
    assert!(message.contains("'mine'") && message.contains("com.example.Mine"), "{message}");
    let projection = "addone(addone(age)) AS a, greet(name) AS b, UPPER(name) AS c, id";
    let mut transformer = Transformer::new(&[rule(projection, "")], &functions, settings("UTC")).unwrap();
    transformer.schema_change(create(people())).unwrap();
    let out = transformer.change(&table(), insert(alice())).unwrap().unwrap().after.unwrap();
    assert_eq!(out[..3], [Value::Int(19), Value::string("Hi Alice!"), Value::string("String: Alice")]);
}

fn update(before: i32, after: i32) -> RowChange {
    let row = |age| Some(vec![Value::Int(1), Value::Int(age)]);
    RowChange { op: ChangeOp::Update, before: row(before), after: row(after), meta: Vec::new() }
}

#[test]
fn a_filter_turns_updates_into_inserts_and_deletes() {
    let mut transformer = Transformer::new(&[rule("", "age > 25")], &[], settings("UTC")).unwrap();
    transformer.schema_change(create(schema(&[("id", "INT"), ("age", "INT")], &["id"]))).unwrap();
    for (before, after, expected) in [
        (30, 40, Some(ChangeOp::Update)),
        (30, 20, Some(ChangeOp::Delete)),
        (20, 30, Some(ChangeOp::Insert)),
        (20, 21, None),
    ] {
        let out = transformer.change(&table(), update(before, after)).unwrap();
        assert_eq!(out.as_ref().map(|c| c.op), expected, "{before} {after}");
        if let Some(change) = out {
            assert_eq!(change.before.is_some(), change.op != ChangeOp::Insert);
            assert_eq!(change.after.is_some(), change.op != ChangeOp::Delete);
        }
    }
}

#[test]
fn soft_deletes_insert_the_old_image() {
    let rule = TransformRule {
        converter_after_transform: Some("SOFT_DELETE".into()),
        ..rule("*, __data_event_type__ AS op", "")
    };
    let mut transformer = Transformer::new(&[rule], &[], settings("UTC")).unwrap();
    transformer.schema_change(create(schema(&[("id", "INT")], &["id"]))).unwrap();
    let delete = RowChange { op: ChangeOp::Delete, before: Some(vec![Value::Int(1)]), after: None, meta: Vec::new() };
    let out = transformer.change(&table(), delete).unwrap().unwrap();
    assert_eq!((out.op, out.before), (ChangeOp::Insert, None));
    assert_eq!(out.after, Some(vec![Value::Int(1), Value::string("-D")]));
}

/// Applies what comes out to the schema that came out before: it has to be the transformer's own.
fn follow(projection: &str, changes: Vec<SchemaChange>) -> Vec<String> {
    let mut transformer = Transformer::new(&[rule(projection, "")], &[], settings("UTC")).unwrap();
    let source = schema(&[("id", "INT"), ("name", "STRING"), ("age", "INT")], &["id"]);
    let created = transformer.schema_change(create(source)).unwrap();
    let mut seen = TableSchema::default();
    for change in &created {
        seen = super::evolve::applied(&table(), seen, change).unwrap();
    }
    let mut lines = Vec::new();
    for change in changes {
        for out in transformer.schema_change(change).unwrap() {
            seen = super::evolve::applied(&table(), seen, &out).unwrap();
            lines.push(print::schema_change(&out));
        }
        let names = |schema: &TableSchema| schema.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&seen), names(transformer.schema_after(&table()).unwrap()), "{projection}");
    }
    lines
}

fn add(columns: &[(&str, ColumnPosition)]) -> SchemaChange {
    let columns = columns
        .iter()
        .map(|(name, position)| AddedColumn {
            column: TableColumn::new(*name, DataType::string()),
            position: position.clone(),
        })
        .collect();
    SchemaChange::AddColumn { table: table(), columns }
}

#[test]
fn what_comes_out_of_schema_changes_builds_the_schema_after() {
    let changes = || {
        vec![
            add(&[("a", ColumnPosition::First), ("b", ColumnPosition::Last), ("c", ColumnPosition::Last)]),
            add(&[("d", ColumnPosition::After("name".into())), ("a", ColumnPosition::Last)]),
            SchemaChange::RenameColumn { table: table(), names: vec![("b".into(), "e".into())] },
            SchemaChange::AlterColumnType {
                table: table(),
                types: vec![("age".into(), "BIGINT".parse().unwrap())],
                old_types: Vec::new(),
                comments: Vec::new(),
            },
            SchemaChange::DropColumn { table: table(), columns: vec!["c".into()] },
        ]
    };
    let lines = follow("age + 1 AS x, *, UPPER(name) AS c", changes());
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].contains("position=BEFORE, existedColumnName=id") && !lines[0].contains("`c`"));
    assert_eq!(follow("", changes()).len(), 5);
    // Without a star only types of columns that come out change.
    let lines = follow("id, age AS years, name || 'x' AS y", changes());
    assert_eq!(lines, ["AlterColumnTypeEvent{tableId=s.t, typeMapping={years=BIGINT}, comments={}}"]);
    assert!(follow("id, name", changes()).is_empty());
}

#[test]
fn computed_columns_keep_the_type_they_were_announced_with() {
    let mut transformer = Transformer::new(&[rule("*, id + age AS sum", "")], &[], settings("UTC")).unwrap();
    transformer.schema_change(create(schema(&[("id", "INT"), ("age", "INT")], &["id"]))).unwrap();
    let wider = SchemaChange::AlterColumnType {
        table: table(),
        types: vec![("age".into(), "BIGINT".parse().unwrap())],
        old_types: Vec::new(),
        comments: Vec::new(),
    };
    assert_eq!(transformer.schema_change(wider.clone()).unwrap(), [wider]);
    let out = transformer.change(&table(), insert(vec![Value::Int(1), Value::BigInt(2)])).unwrap().unwrap();
    assert_eq!(out.after, Some(vec![Value::Int(1), Value::BigInt(2), Value::Int(3)]));
}

#[test]
fn keys_of_a_rule_have_to_be_in_its_output() {
    let keyed = |projection: &str, keys: Option<&str>| {
        let rule = TransformRule { primary_keys: keys.map(str::to_owned), ..rule(projection, "") };
        let mut transformer = Transformer::new(&[rule], &[], settings("UTC")).unwrap();
        transformer
            .schema_change(create(schema(&[("id", "INT"), ("age", "INT")], &["id"])))
            .map(|out| print::schema_change(&out[0]))
    };
    assert!(keyed("*", None).unwrap().contains("`id` INT NOT NULL,`age` INT}, primaryKeys=id"));
    assert!(keyed("id AS uid, age", None).unwrap().contains("`uid` INT NOT NULL,`age` INT}, primaryKeys=uid"));
    assert!(keyed("*", Some("`age` , id")).unwrap().contains("primaryKeys=age;id"));
    for (projection, keys) in [("*", Some("nothing")), ("age", None)] {
        let error = keyed(projection, keys).unwrap_err().chain();
        assert!(error.contains("which is defined as primary key"), "{error}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused_or_done() {
    let sum = vec!["age"; 150].join(" + ");
    assert_eq!(evaluated(&sum, alice()).unwrap(), "INT 2550");
    for depth in [60, 80] {
        let deep = format!("{}age{}", "ABS(".repeat(depth), ")".repeat(depth));
        assert_eq!(evaluated(&deep, alice()).unwrap(), "INT 17");
    }
    let deeper = format!("{}age{}", "ABS(".repeat(5000), ")".repeat(5000));
    assert!(evaluated(&deeper, alice()).is_err());
    let both = format!("{}{sum}{}", "ABS(age + ".repeat(60), ")".repeat(60));
    let _ = evaluated(&both, alice());
}

/// Words a projection is made of, thrown together.
fn scraps() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "id",
        "name",
        "age",
        "price",
        "at",
        "tags",
        "who",
        "doc",
        "ratio",
        "raw",
        "*",
        ",",
        "(",
        ")",
        "[",
        "]",
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "=",
        "<",
        "AND",
        "OR",
        "NOT",
        "IS",
        "NULL",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "CAST(",
        "AS INT)",
        "AS x",
        "UPPER(",
        "SUBSTR(",
        "LPAD(",
        "ROUND(",
        "OVERLAY(",
        "REGEXP_EXTRACT_ALL(",
        "TO_DATE(",
        "DATE_FORMAT(",
        "ARRAY[",
        "MAP[",
        "INTERVAL '1' DAY",
        "'a'",
        "'%'",
        "0",
        "-1",
        "2147483648",
        "1.5",
        "1e400",
        "\\*",
        "`",
        "'",
        "\u{1F600}",
        "TIMESTAMPADD(DAY,",
        "EXTRACT(YEAR FROM",
        "BETWEEN",
        "LIKE",
        "ESCAPE",
        "IN (",
        "__table_name__",
        ".",
        "PARSE_JSON(",
    ]);
    prop::collection::vec(word, 1..14).prop_map(|words| words.join(" "))
}

/// Calls of every function with arguments of every kind.
fn calls() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = super::functions::names().collect();
    let arg = prop::sample::select(vec![
        "id",
        "name",
        "age",
        "price",
        "at",
        "tags",
        "who",
        "doc",
        "ratio",
        "raw",
        "NULL",
        "''",
        "'abc'",
        "'yyyy-MM-dd'",
        "'['",
        "0",
        "-1",
        "2",
        "2147483647",
        "-2147483648",
        "9223372036854775807",
        "99999999999999999999.5",
        "1e308",
        "TRUE",
        "DAY",
        "'UTC'",
        "CAST(NULL AS INT)",
        "CURRENT_DATE",
        "LOCALTIME",
        "X'00FF'",
        "'2024-01-01 00:00:00'",
        "'(a)|b'",
    ]);
    (prop::sample::select(names), prop::collection::vec(arg, 0..5))
        .prop_map(|(name, args)| format!("{name}({})", args.join(", ")))
}

fn run_somehow(projection: &str, filter: &str) {
    let Ok(mut transformer) = Transformer::new(&[rule(projection, filter)], &[], settings("Asia/Shanghai")) else {
        return;
    };
    if transformer.schema_change(create(people())).is_err() {
        return;
    }
    for row in [alice(), nobody()] {
        if let Ok(Some(change)) = transformer.change(&table(), insert(row)) {
            let schema = transformer.schema_after(&table()).unwrap();
            let _ = print::row_change(&table(), schema, &change);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_a_transform_panic(projection in ".{0,60}", filter in ".{0,40}") {
        run_somehow(&projection, &filter);
    }

    #[test]
    fn no_words_make_a_transform_panic(projection in scraps(), filter in scraps()) {
        run_somehow(&projection, &filter);
    }

    #[test]
    fn no_arguments_make_a_function_panic(call in calls(), other in calls()) {
        run_somehow(&format!("id, {call} AS x, {other} || '' AS y"), "");
        run_somehow(&format!("id, CAST({call} AS STRING) AS x, CAST({other} AS DECIMAL(38, 10)) AS y"), &format!("{call} > {other}"));
    }
}
