//! Suite `flink-sql`: expressions, statements, scripts and streaming queries with the answers of
//! Apache Flink 1.20. Queries that need state are skipped with the planner's refusal.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use serde_json::Value;
use starweir_model::{ChangeBatch, DataType, RowKind, RowKinds};
use starweir_sql::{
    CastMode, ColumnKind, Diagnostic, EvalContext, Input, Outcome, Query, ScanColumn, Session, TableColumn, TableDef,
    TablePath, cast_column, parse_data_type, parse_script,
};

use super::flink_values::{column, normalize, value};
use super::{Case, Status};

/// Runs every file of the directory that is there.
///
/// # Errors
/// When a file can not be read or is not of the format.
pub fn run(cases: &Path, filter: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let mut out = Vec::new();
    let wanted = |id: &str| filter.is_none_or(|f| id.contains(f));
    let rows: HashMap<String, Value> = match std::fs::read_to_string(cases.join("rows.json")) {
        Ok(text) => serde_json::from_str(&text).context("rows.json")?,
        Err(_) => HashMap::new(),
    };
    // What a case does must not end the run: a panic is a failure of that case.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = (|| -> anyhow::Result<()> {
        each_line(&cases.join("expressions.jsonl"), &mut |case| {
            let id = text(case, "id");
            if wanted(id) {
                out.push(guarded(id, "expressions", || expression(case, &rows)));
            }
        })?;
        each_line(&cases.join("parse.jsonl"), &mut |case| {
            let id = text(case, "id");
            if wanted(id) {
                out.push(guarded(id, "parse", || Ok(statement(case))));
            }
        })?;
        each_line(&cases.join("streaming.jsonl"), &mut |case| {
            let id = text(case, "id");
            if wanted(id) {
                out.push(guarded(id, "streaming", || streaming(case)));
            }
        })?;
        scripts(&cases.join("scripts"), &wanted, &mut out)
    })();
    std::panic::set_hook(hook);
    result?;
    Ok(out)
}

fn each_line(path: &Path, f: &mut dyn FnMut(&Value)) -> anyhow::Result<()> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    for (index, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            let case: Value =
                serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), index + 1))?;
            f(&case);
        }
    }
    Ok(())
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case.get(key).and_then(Value::as_str).unwrap_or("")
}

type Verdict = (Status, String);

fn guarded(id: &str, group: &str, f: impl FnOnce() -> anyhow::Result<Verdict>) -> Case {
    let (status, reason) = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => (Status::Failed, format!("{error:#}")),
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            (Status::Failed, format!("panicked: {}", what.unwrap_or_default()))
        }
    };
    Case::new(id, group, status, reason)
}

fn passed(remark: impl Into<String>) -> anyhow::Result<Verdict> {
    Ok((Status::Passed, remark.into()))
}

fn failed(reason: impl Into<String>) -> anyhow::Result<Verdict> {
    Ok((Status::Failed, reason.into()))
}

fn session_of(case: &Value) -> Session {
    let mut session = Session::new();
    session.set("table.local-time-zone", "UTC");
    if let Some(config) = case.get("config").and_then(Value::as_object) {
        for (key, value) in config {
            session.set(key, value.as_str().unwrap_or(""));
        }
    }
    session
}

fn words(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn is_unsupported(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.message.contains("not supported"))
}

/// Rows of a table of the session, by column name.
struct Data {
    columns: BTreeMap<String, ArrayRef>,
    rows: usize,
    kinds: RowKinds,
}

fn table(name: &str, columns: Vec<(String, DataType)>) -> TableDef {
    TableDef {
        path: TablePath { catalog: "default_catalog".into(), database: "default_database".into(), name: name.into() },
        columns: columns
            .into_iter()
            .map(|(name, data_type)| TableColumn { name, data_type, comment: None, kind: ColumnKind::Physical })
            .collect(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        comment: None,
        options: Vec::new(),
        temporary: true,
        span: 0..0,
    }
}

/// Runs a planned query over the tables' rows; one batch per branch.
fn execute(query: &Query, ctx: &EvalContext, data: &HashMap<String, Data>) -> Result<Vec<ChangeBatch>, String> {
    let mut out = Vec::new();
    for branch in &query.branches {
        let input = match &branch.input {
            Input::Values(batch) => ChangeBatch::inserts(batch.clone()),
            Input::Scan(scan) => {
                let rows =
                    data.get(&scan.table.path.name).ok_or_else(|| format!("no rows for {}", scan.table.path.name))?;
                let mut columns = Vec::new();
                for (column, declared) in scan.columns.iter().zip(&scan.schema.columns) {
                    if let ScanColumn::Metadata(key, _) = column {
                        return Err(format!("metadata {key}"));
                    }
                    columns.push(
                        rows.columns
                            .get(&declared.name)
                            .cloned()
                            .ok_or_else(|| format!("no column {}", declared.name))?,
                    );
                }
                let options = RecordBatchOptions::new().with_row_count(Some(rows.rows));
                let fields: Vec<_> = scan
                    .schema
                    .columns
                    .iter()
                    .zip(&columns)
                    .map(|(c, a)| arrow::datatypes::Field::new(&c.name, a.data_type().clone(), true))
                    .collect();
                let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
                let batch = RecordBatch::try_new_with_options(schema, columns, &options).map_err(|e| e.to_string())?;
                ChangeBatch::new(batch, rows.kinds.clone())
            }
        };
        out.push(branch.chain.apply(ctx, input).map_err(|e| e.chain())?);
    }
    Ok(out)
}

fn plan(session: &mut Session, sql: &str) -> Result<Query, Vec<Diagnostic>> {
    let statements = parse_script(sql)?;
    let [statement] = statements.as_slice() else { return Err(vec![Diagnostic::plain("not one statement")]) };
    match session.execute(statement)? {
        Outcome::Select(query) => Ok(query),
        _ => Err(vec![Diagnostic::plain("not a query")]),
    }
}

// ---- expressions ---------------------------------------------------------------------------

/// Types without nullability, intervals by their family.
fn type_text(text: &str) -> String {
    let text = text.replace(" NOT NULL", "");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("INTERVAL ") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 9..];
        let end = tail.find([',', '>']).unwrap_or(tail.len());
        // "SECOND(3)" holds no comma, "DAY(2) TO SECOND(3)" neither.
        let unit = &tail[..end];
        out.push_str(if unit.starts_with("YEAR") || unit.starts_with("MONTH") {
            "INTERVAL MONTH"
        } else {
            "INTERVAL SECOND"
        });
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

fn expression(case: &Value, rows: &HashMap<String, Value>) -> anyhow::Result<Verdict> {
    let mut session = session_of(case);
    let mut data = HashMap::new();
    let mut from = String::new();
    if let Some(row) = case.get("row").and_then(Value::as_str) {
        let row = rows.get(row).ok_or_else(|| anyhow!("no row {row}"))?;
        let name = text(row, "table").to_owned();
        let mut columns = Vec::new();
        let mut arrays = BTreeMap::new();
        for field in row.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let Ok(data_type) = parse_data_type(text(field, "type")) else { continue };
            let value = field.get("value").cloned().unwrap_or(Value::Null);
            // A value this engine can not hold (a map with a NULL key) only spoils the cases that use it.
            let Ok(array) = column(&data_type, &[value]) else { continue };
            arrays.insert(text(field, "name").to_owned(), array);
            columns.push((text(field, "name").to_owned(), data_type));
        }
        session.register_table(table(&name, columns));
        data.insert(name.clone(), Data { columns: arrays, rows: 1, kinds: RowKinds::AllInsert });
        from = format!(" FROM `{name}`");
    }
    let sql = format!("SELECT {}{from}", text(case, "sql"));
    let ctx = session.eval_context(1_600_000_000_123, 42);
    let stage = case.get("error").map(|e| text(e, "stage").to_owned());
    // What Flink finds wrong with the types only when it generates code is a matter of the plan here.
    let found_late = case.get("error").is_some_and(|e| {
        ["ValidationException", "CodeGenException", "TableException: Type is not supported"]
            .iter()
            .any(|w| text(e, "flink").starts_with(w))
    });
    let query = match plan(&mut session, &sql) {
        Ok(query) => query,
        Err(diagnostics) => {
            return match stage.as_deref() {
                Some("plan") => passed(""),
                Some(_) if found_late => passed("refused while planning; Flink finds it while generating code"),
                Some(_) => failed(format!("refused while planning, Flink while running: {}", words(&diagnostics))),
                None => failed(format!("refused: {}", words(&diagnostics))),
            };
        }
    };
    let batches = match execute(&query, &ctx, &data) {
        Ok(batches) => batches,
        Err(error) => {
            return match stage.as_deref() {
                Some("run") => passed(""),
                Some(_) => failed(format!("refused while running, Flink while planning: {error}")),
                None => failed(format!("failed: {error}")),
            };
        }
    };
    if let Some(stage) = stage {
        return failed(format!("Flink refuses this ({stage})"));
    }
    let batch = &batches[0].batch;
    let several = case.get("expected_type").is_some_and(Value::is_array);
    let pick = |key: &str, index: usize| -> Option<Value> {
        let value = case.get(key)?;
        if several { value.get(index).cloned() } else { Some(value.clone()) }
    };
    let mut remark = String::new();
    for (index, declared) in query.schema.columns.iter().enumerate() {
        let data_type = &declared.data_type;
        if let Some(wanted) = pick("expected_type", index).as_ref().and_then(Value::as_str) {
            let found = data_type.to_string();
            if type_text(wanted) != type_text(&found) {
                return failed(format!("type {found}, expected {wanted}"));
            }
            if wanted.ends_with("NOT NULL") == data_type.nullable {
                remark = format!("nullability: {found}, expected {wanted}");
            }
        }
        if case.get("type_only").is_some_and(|v| v.as_bool() != Some(false)) {
            continue;
        }
        let array = batch.column(index);
        if let Some(wanted) = pick("expected_value", index) {
            let found = value(array.as_ref(), data_type, 0);
            if normalize(&found, data_type) != normalize(&wanted, data_type) {
                return failed(format!("value {found}, expected {wanted}"));
            }
        }
        if case.get("no_string").is_none()
            && let Some(wanted) = pick("expected", index)
        {
            let legacy =
                session.setting("table.exec.legacy-cast-behaviour").is_some_and(|v| v.eq_ignore_ascii_case("enabled"));
            let mode = if legacy { CastMode::Legacy } else { CastMode::Strict };
            let printed = cast_column(array, data_type, &DataType::string(), mode, session.zone())
                .map_err(|e| anyhow!(e.chain()))?;
            let found = value(printed.as_ref(), &DataType::string(), 0);
            if found != wanted {
                return failed(format!("text {found}, expected {wanted}"));
            }
        }
    }
    passed(remark)
}

// ---- parse ---------------------------------------------------------------------------------

fn statement(case: &Value) -> Verdict {
    let parsed = parse_script(text(case, "sql"));
    match (parsed, case.get("ok").is_some()) {
        (Ok(_), true) | (Err(_), false) => (Status::Passed, String::new()),
        (Err(diagnostics), true) => (Status::Failed, format!("refused: {}", words(&diagnostics))),
        (Ok(_), false) => (Status::Failed, format!("accepted, Flink says: {}", text(case, "error"))),
    }
}

// ---- streaming -----------------------------------------------------------------------------

fn kind_of(text: &str) -> RowKind {
    match text {
        "-U" => RowKind::UpdateBefore,
        "+U" => RowKind::UpdateAfter,
        "-D" | "-d" => RowKind::Delete,
        _ => RowKind::Insert,
    }
}

fn streaming(case: &Value) -> anyhow::Result<Verdict> {
    let mut session = session_of(case);
    let mut data = HashMap::new();
    let list =
        |v: &Value, key: &str| -> Vec<Value> { v.get(key).and_then(Value::as_array).cloned().unwrap_or_default() };
    for made in list(case, "tables") {
        let name = text(&made, "name").to_owned();
        if text(&made, "kind") == "view" {
            let sql = format!("CREATE VIEW `{name}` AS {}", text(&made, "sql"));
            if let Err(diagnostics) = run_statement(&mut session, &sql) {
                return refusal(case, &diagnostics);
            }
            continue;
        }
        let lines: Vec<String> = list(&made, "columns").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let sql = format!("CREATE TABLE `{name}` (\n{}\n) WITH ('connector' = 'rows')", lines.join(",\n"));
        if let Err(diagnostics) = run_statement(&mut session, &sql) {
            return refusal(case, &diagnostics);
        }
        let rows = list(&made, "rows");
        let mut columns = BTreeMap::new();
        for (index, (column_name, type_text)) in list(&made, "physical").iter().zip(list(&made, "types")).enumerate() {
            let data_type = parse_data_type(type_text.as_str().unwrap_or("")).map_err(|d| anyhow!("{d}"))?;
            let values: Vec<Value> = rows.iter().map(|r| r[1][index].clone()).collect();
            columns.insert(column_name.as_str().unwrap_or("").to_owned(), column(&data_type, &values)?);
        }
        let mode = text(&made, "changelog_mode");
        if mode.contains("UA") && !mode.contains("UB") {
            return Ok((Status::Skipped, "an upsert source is normalised by key, which needs state".to_owned()));
        }
        let kinds = RowKinds::from_vec(rows.iter().map(|r| kind_of(r[0].as_str().unwrap_or(""))).collect());
        data.insert(name, Data { columns, rows: rows.len(), kinds });
    }
    let ctx = session.eval_context(1_600_000_000_123, 42);
    let query = match plan(&mut session, text(case, "sql")) {
        Ok(query) => query,
        Err(diagnostics) => return refusal(case, &diagnostics),
    };
    if case.get("error").is_some() {
        return failed("Flink refuses this query");
    }
    let batches = match execute(&query, &ctx, &data) {
        Ok(batches) => batches,
        Err(error) => return failed(format!("failed: {error}")),
    };
    let types: Vec<DataType> = query.schema.columns.iter().map(|c| c.data_type.clone()).collect();
    let wanted_types = list(case, "result_types");
    for (found, wanted) in types.iter().zip(&wanted_types) {
        let wanted = wanted.as_str().unwrap_or("");
        let plain = |t: &str| type_text(t).replace(" *ROWTIME*", "").replace(" *PROCTIME*", "");
        if plain(wanted) != plain(&found.to_string()) {
            return failed(format!("type {found}, expected {wanted}"));
        }
    }
    let mut fold: BTreeMap<String, i64> = BTreeMap::new();
    for change in &batches {
        for row in 0..change.rows() {
            let cells: Vec<Value> = types
                .iter()
                .enumerate()
                .map(|(i, t)| normalize(&value(change.column(i).as_ref(), t, row), t))
                .collect();
            let delta = if change.kinds.at(row).is_addition() { 1 } else { -1 };
            *fold.entry(Value::Array(cells).to_string()).or_default() += delta;
        }
    }
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for row in list(case, "expected") {
        let cells: Vec<Value> =
            row.as_array().into_iter().flatten().zip(&types).map(|(v, t)| normalize(v, t)).collect();
        *expected.entry(Value::Array(cells).to_string()).or_default() += 1;
    }
    fold.retain(|_, n| *n != 0);
    if fold == expected {
        return passed("");
    }
    let odd: Vec<_> = fold.iter().filter(|(k, n)| expected.get(*k) != Some(n)).take(2).collect();
    let missing: Vec<_> = expected.iter().filter(|(k, n)| fold.get(*k) != Some(n)).take(2).collect();
    failed(format!("found {odd:?}, expected {missing:?}"))
}

fn run_statement(session: &mut Session, sql: &str) -> Result<(), Vec<Diagnostic>> {
    for statement in parse_script(sql)? {
        session.execute(&statement)?;
    }
    Ok(())
}

fn refusal(case: &Value, diagnostics: &[Diagnostic]) -> anyhow::Result<Verdict> {
    if case.get("error").is_some() {
        return passed("");
    }
    let reason = words(diagnostics);
    if is_unsupported(diagnostics) { Ok((Status::Skipped, reason)) } else { failed(format!("refused: {reason}")) }
}

// ---- scripts -------------------------------------------------------------------------------

/// How many statements of a script Flink itself refuses, from the table of the README.
fn refused_by_flink(readme: &str, script: &str) -> usize {
    readme
        .lines()
        .find(|l| l.starts_with(&format!("| {script} ")))
        .and_then(|l| l.rsplit('|').nth(1))
        .filter(|verdict| verdict.contains("refused"))
        .and_then(|verdict| verdict.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn scripts(directory: &Path, wanted: &dyn Fn(&str) -> bool, out: &mut Vec<Case>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap_or_default();
    let mut names: Vec<String> =
        entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).filter(|n| n.ends_with(".sql")).collect();
    names.sort();
    for name in &names {
        let id = format!("script/{name}");
        if !wanted(&id) {
            continue;
        }
        // The Nexmark queries stand on the tables and views of their folder.
        let mut before = Vec::new();
        if let Some((folder, query)) = name.rsplit_once("__")
            && folder.starts_with("nexmark__")
            && !query.starts_with("ddl_")
        {
            let more = if query == "insert_kafka.sql" { Some("ddl_kafka.sql") } else { None };
            for file in ["ddl_gen.sql", "ddl_views.sql"].into_iter().chain(more) {
                if let Ok(text) = std::fs::read_to_string(directory.join(format!("{folder}__{file}"))) {
                    before.push(text);
                }
            }
        } else if name.ends_with("ddl_views.sql") {
            let folder = name.trim_end_matches("ddl_views.sql");
            if let Ok(text) = std::fs::read_to_string(directory.join(format!("{folder}ddl_gen.sql"))) {
                before.push(text);
            }
        }
        let text = std::fs::read_to_string(directory.join(name))?;
        let tolerated = refused_by_flink(&readme, name);
        out.push(guarded(&id, "scripts", || Ok(script(&before, &text, tolerated))));
    }
    Ok(())
}

fn script(before: &[String], text: &str, tolerated: usize) -> Verdict {
    let fill = |text: &str| text.replace("${NEXMARK_TABLE}", "datagen");
    let mut session = Session::new();
    for earlier in before {
        match parse_script(&fill(earlier)) {
            Ok(statements) => {
                for statement in &statements {
                    if let Err(diagnostics) = session.execute(statement) {
                        return (Status::Failed, format!("before the script: {}", words(&diagnostics)));
                    }
                }
            }
            Err(diagnostics) => return (Status::Failed, words(&diagnostics)),
        }
    }
    let statements = match parse_script(&fill(text)) {
        Ok(statements) => statements,
        Err(diagnostics) => return (Status::Failed, words(&diagnostics)),
    };
    let (mut skipped, mut refused) = (Vec::new(), Vec::new());
    for statement in &statements {
        match session.execute(statement) {
            Ok(_) => {}
            Err(diagnostics)
                if is_unsupported(&diagnostics) || diagnostics.iter().any(|d| d.message.contains("Java class")) =>
            {
                skipped.push(words(&diagnostics))
            }
            Err(diagnostics) => refused.push(words(&diagnostics)),
        }
    }
    // A query over a Java function can not be planned either.
    let java = skipped.iter().any(|s| s.contains("Java class"));
    if refused.len() > tolerated && !java {
        return (Status::Failed, refused.join("; "));
    }
    if skipped.is_empty() {
        return (Status::Passed, refused.join("; "));
    }
    (Status::Skipped, skipped.join("; "))
}
