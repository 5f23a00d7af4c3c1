//! INSERT, UPDATE, DELETE, and the transactions around them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int8Array, RecordBatch};
use roaring::RoaringBitmap;
use sqlparser::ast;

use super::planner::QueryResult;
use super::rewrite::literal;
use super::session::{Outcome, Session};
use super::statement::{Insert, InsertSource};
use crate::catalog::{ColumnDef, PartitionDef, PartitionKind, PartitionRange, TableDef, TableModel};
use crate::core::Core;
use crate::error::{SqlError, SqlResult};
use crate::store::table::read_rows;
use crate::store::{Table, TableVersion};
use crate::types::SqlType;
use crate::value::{Value, cast_array};

/// Begins a transaction of SQL statements.
pub fn begin(session: &mut Session, database: &str, label: Option<String>) -> SqlResult<u64> {
    let store = &session.core.store;
    let database_id = store.database_id(database).ok_or_else(|| SqlError::unknown_database(database))?;
    let label = label.unwrap_or_else(|| format!("txn_insert_{}", uuid::Uuid::new_v4()));
    let mut txn = store.new_txn(database_id, database, &label, "INSERT");
    txn.timeout_s = session.variable("insert_timeout").as_i64().unwrap_or(14_400).max(1) as u64;
    txn.user.clone_from(&session.user);
    let id = store.begin(txn).map_err(|used| {
        SqlError::plain(format!("Label [{label}] has already been used, relate to txn [{}]", used.txn))
    })?;
    session.transaction = Some(id);
    Ok(id)
}

pub async fn commit(session: &mut Session) -> SqlResult<Outcome> {
    session.touched.clear();
    let Some(id) = session.transaction.take() else { return Ok(Outcome::ok()) };
    let core = session.core.clone();
    let txn = blocking(move || {
        core.store.commit(id).map_err(|e| {
            let _ = core.store.abort(id, "commit failed");
            SqlError::from(e)
        })
    })
    .await?;
    Ok(Outcome::Done { affected: 0, info: format!("{{'label':'{}', 'status':'VISIBLE', 'txnId':'{id}'}}", txn.label) })
}

/// File work happens away from the threads that serve connections.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> SqlResult<T> + Send + 'static) -> SqlResult<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(SqlError::new(1105, format!("internal error: {e}"))))
}

/// The error of an INSERT with a row that is not good enough. The row is kept where clients look for it: as the
/// tracking log of a load that was cancelled.
fn filtered(session: &mut Session, def: &TableDef, reason: &str, row: &str) -> SqlError {
    let told = SqlError::plain(format!("Insert has filtered data in strict mode: {reason}"));
    if session.transaction.is_none()
        && let Ok(txn) = begin(session, &def.database, None)
    {
        session.transaction = None;
        let store = &session.core.store;
        store.update_txn(txn, |t| {
            t.table_name.clone_from(&def.name);
            t.counters.total = 1;
            t.counters.filtered = 1;
            t.tracking = Some(format!("Error: {reason}. Row: {row}\n"));
        });
        if let Err(e) = store.abort(txn, "Cancelled: Insert has filtered data") {
            return e.into();
        }
    }
    told
}

/// A row as tracking logs show it: `[2022-01-14, 2]`.
fn row_text(columns: &[(ArrayRef, SqlType)], row: usize) -> String {
    let cell = |(a, t): &(ArrayRef, SqlType)| Value::get(a, t, row).as_text().unwrap_or_else(|| "NULL".into());
    format!("[{}]", columns.iter().map(cell).collect::<Vec<_>>().join(", "))
}

fn target_columns(def: &TableDef, insert: &Insert) -> SqlResult<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..def.columns.len()).filter(|i| def.columns[*i].generated.is_none()).collect());
    }
    let mut out = Vec::new();
    for name in &insert.columns {
        let i = def.column_index(name).ok_or_else(|| {
            SqlError::new(
                1064,
                format!("Getting analyzing error. Detail message: Unknown column '{name}' in '{}'.", def.name),
            )
        })?;
        if def.columns[i].generated.is_some() {
            return Err(SqlError::analysis(format!("generated column '{}' can not be specified", def.columns[i].name)));
        }
        if out.contains(&i) {
            return Err(SqlError::analysis(format!("Column '{name}' specified twice")));
        }
        out.push(i);
    }
    Ok(out)
}

fn check_required(def: &TableDef, given: &[usize]) -> SqlResult<()> {
    for (i, c) in def.columns.iter().enumerate() {
        if !given.contains(&i)
            && !c.nullable
            && !c.auto_increment
            && c.generated.is_none()
            && c.default == crate::catalog::ColumnDefault::None
        {
            return Err(SqlError::analysis(format!(
                "'{}' must be explicitly mentioned in column permutation: {}",
                c.name,
                given.iter().map(|i| format!(" {} ", def.columns[*i].name)).collect::<String>()
            )));
        }
    }
    Ok(())
}

/// Rows of a VALUES list, cast to the columns' types; DEFAULT is the column's default.
fn values_columns(
    session: &Session,
    def: &TableDef,
    targets: &[usize],
    rows: &[Vec<ast::Expr>],
    params: Vec<Value>,
) -> SqlResult<Vec<(ArrayRef, SqlType)>> {
    let mut pending: Vec<ast::Expr> = Vec::new();
    enum Cell {
        Value(Value),
        Pending(usize),
        Default,
    }
    let mut cells: Vec<Vec<Cell>> = Vec::with_capacity(rows.len());
    let mut params = params.into_iter();
    for (n, row) in rows.iter().enumerate() {
        if row.len() != targets.len() {
            return Err(SqlError::analysis(if def.columns.len() == targets.len() && n == 0 && rows.len() == 1 {
                "Column count doesn't match value count".to_string()
            } else {
                format!("Column count doesn't match value count at row {}", n + 1)
            }));
        }
        let mut out = Vec::with_capacity(row.len());
        for e in row {
            out.push(match simple_literal(e) {
                Some(v) => Cell::Value(v),
                None => match e {
                    ast::Expr::Identifier(i) if i.value.eq_ignore_ascii_case("default") && i.quote_style.is_none() => {
                        Cell::Default
                    }
                    ast::Expr::Value(v) if matches!(&v.value, ast::Value::Placeholder(p) if p == "?") => {
                        Cell::Value(params.next().unwrap_or(Value::Null))
                    }
                    e => {
                        pending.push(e.clone());
                        Cell::Pending(pending.len() - 1)
                    }
                },
            });
        }
        cells.push(out);
    }
    let evaluated = if pending.is_empty() {
        Vec::new()
    } else {
        let facts = session.facts();
        let none = |_: &str, _: &str| None;
        let scope = session.scope(&facts, &none);
        session.core.planner.evaluate(&scope, &[], 1, &pending)?
    };
    let mut out = Vec::with_capacity(targets.len());
    for (k, &target) in targets.iter().enumerate() {
        let column = &def.columns[target];
        let mut values = Vec::with_capacity(rows.len());
        for row in &cells {
            let v = match &row[k] {
                Cell::Value(v) => v.clone(),
                Cell::Pending(i) => {
                    let (array, t) = &evaluated[*i];
                    Value::get(array, t, 0)
                }
                Cell::Default if column.auto_increment => Value::Null,
                Cell::Default => session.core.default_value(column)?,
            };
            values.push(convert(v, column, session.flag("enable_insert_strict"))?);
        }
        out.push((Value::array(&values, &column.sql_type), column.sql_type.clone()));
    }
    Ok(out)
}

/// One value for a column, or the error of a strict INSERT.
fn convert(v: Value, column: &ColumnDef, strict: bool) -> SqlResult<Value> {
    let out_of_range = || {
        SqlError::plain(format!(
            "Insert has filtered data in strict mode: the value for column '{}' has no form in the type {}",
            column.name,
            column.sql_type.message()
        ))
    };
    match (&column.sql_type, &v) {
        // Longer text is refused, not cut.
        (SqlType::Char(n) | SqlType::Varchar(n), v) if !v.is_null() => {
            let text = match v {
                Value::Json(t) => crate::json::unquote(t),
                v => v.as_text().unwrap_or_default(),
            };
            if text.len() > *n as usize {
                return if strict {
                    Err(SqlError::plain("Insert has filtered data in strict mode"))
                } else {
                    Ok(Value::Null)
                };
            }
            Ok(Value::Text(text))
        }
        // A number as written is the nearest floating number there is.
        (SqlType::Double, Value::Decimal(n, scale)) => {
            Ok(Value::Text(crate::value::decimal_text(*n, *scale)).cast(&SqlType::Double).unwrap_or(Value::Null))
        }
        (t, v) => match v.cast(t).filter(|v| is_precise(v, t)) {
            Some(v) => Ok(v),
            None if matches!(t, SqlType::Decimal(39.., _)) && v.as_f64().is_some() => Ok(Value::Null),
            None if strict => Err(out_of_range()),
            None => Ok(Value::Null),
        },
    }
}

/// Whether a value keeps to the precision of a decimal column. Nobody looks at that of more than 38 digits.
fn is_precise(v: &Value, t: &SqlType) -> bool {
    match (v, t) {
        (Value::Decimal(v, _), SqlType::Decimal(p @ 0..=38, _)) => crate::value::fits_precision(*v, *p),
        _ => true,
    }
}

fn simple_literal(e: &ast::Expr) -> Option<Value> {
    match e {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::Null => Some(Value::Null),
            ast::Value::Boolean(b) => Some(Value::Bool(*b)),
            ast::Value::SingleQuotedString(s) | ast::Value::DoubleQuotedString(s) => Some(Value::Text(s.clone())),
            ast::Value::Number(n, _) => Some(match n.parse::<i128>() {
                Ok(i) => Value::Int(i),
                Err(_) if n.contains(['e', 'E']) => Value::Double(n.parse().ok()?),
                Err(_) => {
                    let (v, s) = crate::value::parse_decimal(n)?;
                    Value::Decimal(v, s)
                }
            }),
            _ => None,
        },
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => match simple_literal(expr)? {
            Value::Int(i) => Some(Value::Int(-i)),
            Value::Double(d) => Some(Value::Double(-d)),
            Value::Decimal(v, s) => Some(Value::Decimal(v.wrapping_neg(), s)),
            _ => None,
        },
        _ => None,
    }
}

/// A query's columns in the table's types.
fn query_columns(
    def: &TableDef,
    targets: &[usize],
    batch: &RecordBatch,
    types: &[SqlType],
    strict: bool,
) -> SqlResult<Vec<(ArrayRef, SqlType)>> {
    let mut out = Vec::with_capacity(targets.len());
    for ((array, from), &target) in batch.columns().iter().zip(types).zip(targets) {
        let column = &def.columns[target];
        let cast = match &column.sql_type {
            SqlType::Char(_) | SqlType::Varchar(_) => {
                let mut values = Vec::with_capacity(array.len());
                if let (DataKind::Text, Some(texts)) =
                    (kind(from), array.as_any().downcast_ref::<arrow::array::StringArray>())
                {
                    let limit = match column.sql_type {
                        SqlType::Char(n) | SqlType::Varchar(n) => n as usize,
                        _ => usize::MAX,
                    };
                    if texts.iter().flatten().all(|t| t.len() <= limit) {
                        out.push((array.clone(), column.sql_type.clone()));
                        continue;
                    }
                }
                for row in 0..array.len() {
                    values.push(convert(Value::get(array, from, row), column, strict)?);
                }
                Value::array(&values, &column.sql_type)
            }
            t @ SqlType::Decimal(..) if from != t => {
                let values: SqlResult<Vec<Value>> =
                    (0..array.len()).map(|row| convert(Value::get(array, from, row), column, strict)).collect();
                Value::array(&values?, t)
            }
            t => cast_array(array, from, t, strict).map_err(|_| {
                SqlError::plain(format!(
                    "Insert has filtered data in strict mode: a value for column '{}' has no form in the type {}",
                    column.name,
                    t.message()
                ))
            })?,
        };
        out.push((cast, column.sql_type.clone()));
    }
    Ok(out)
}

enum DataKind {
    Text,
    Other,
}

fn kind(t: &SqlType) -> DataKind {
    if t.is_text() { DataKind::Text } else { DataKind::Other }
}

pub async fn insert(session: &mut Session, insert: Insert, params: Vec<Value>) -> SqlResult<Outcome> {
    if insert.blackhole {
        if let InsertSource::Query(q) = &insert.source {
            let result = session.query(q, params).await?;
            return Ok(Outcome::Done { affected: result.rows() as u64, info: String::new() });
        }
        return Ok(Outcome::ok());
    }
    let table = session.table(&insert.name)?;
    let def = table.def();
    if def.is_view() {
        return Err(SqlError::analysis(format!("the data of '{}' can not be inserted: it is a view", def.name)));
    }
    let mut insert = insert;
    if insert.by_name
        && let InsertSource::Query(q) = &insert.source
    {
        let facts = session.facts();
        let virtual_table = |db: &str, t: &str| super::information_schema::table(session, db, t);
        let scope = session.scope(&facts, &virtual_table);
        insert.columns = session.core.planner.plan(&scope, q, params.clone())?.1;
    }
    let mut only = None;
    for name in &insert.partitions {
        let of_kind =
            |p: &&PartitionDef| p.name.eq_ignore_ascii_case(name) && p.temporary == insert.temporary_partitions;
        let Some(found) = def.partitions.iter().find(of_kind) else {
            return Err(SqlError::analysis(format!("Unknown partition '{name}' in table '{}'", def.name)));
        };
        only = Some(found.clone());
    }
    // Rows of a temporary partition go into a table of its own.
    let mut judge = def.clone();
    let (table, def) = match only.filter(|_| insert.temporary_partitions) {
        Some(_) if insert.partitions.len() > 1 => {
            return Err(SqlError::unsupported("INSERT into several temporary partitions"));
        }
        Some(p) => {
            judge = Arc::new(super::partition_change::with_only(&def, &p));
            insert.partitions.clear();
            let rows = super::partition_change::rows_of_temporary(&session.core.store, &def, &p)?;
            let def = rows.def();
            (rows, def)
        }
        None => (table, def),
    };
    let targets = target_columns(&def, &insert)?;
    // A primary-key INSERT that names some columns keeps the others of rows that are there.
    let partial = def.model == TableModel::Primary
        && !insert.columns.is_empty()
        && session.flag("enable_insert_partial_update")
        && def
            .columns
            .iter()
            .enumerate()
            .any(|(i, c)| !targets.contains(&i) && c.generated.is_none() && !c.auto_increment)
        && def.columns.iter().enumerate().all(|(i, c)| !c.key || targets.contains(&i));
    if !partial {
        check_required(&def, &targets)?;
    }
    if partial && def.order_by.iter().any(|n| def.column_index(n).is_none_or(|i| !targets.contains(&i))) {
        return Err(SqlError::plain("partial update on table with sort key must provide all sort key columns"));
    }
    let partial_ids: Option<Vec<u32>> = partial.then(|| targets.iter().map(|i| def.columns[*i].id).collect());
    let strict = session.flag("enable_insert_strict");
    let chunks: Vec<(Vec<(ArrayRef, SqlType)>, usize)> = match &insert.source {
        InsertSource::Values(rows) => {
            let columns = values_columns(session, &def, &targets, rows, params)?;
            vec![(columns, rows.len())]
        }
        InsertSource::Query(q) => {
            let QueryResult { batches, types, .. } = session.query(q, params).await?;
            if types.len() != targets.len() {
                return Err(SqlError::analysis(format!(
                    "Inserted target column count: {} doesn't match select/value column count: {}",
                    targets.len(),
                    types.len()
                )));
            }
            let mut out = Vec::new();
            for batch in &batches {
                if batch.num_rows() > 0 {
                    out.push((query_columns(&def, &targets, batch, &types, strict)?, batch.num_rows()));
                }
            }
            out
        }
    };
    // NOT NULL columns and partitions are checked before anything is written.
    let core = session.core.clone();
    let mut batches = Vec::new();
    let mut affected = 0u64;
    for (columns, rows) in chunks {
        for ((array, _), &target) in columns.iter().zip(&targets) {
            let column = &def.columns[target];
            if !column.nullable && !column.auto_increment && array.null_count() > 0 {
                let row = (0..rows).find(|r| array.is_null(*r)).unwrap_or(0);
                let reason = format!("NULL value in non-nullable column '{}'", column.name);
                return Err(filtered(session, &def, &reason, &row_text(&columns, row)));
            }
        }
        let shown: Vec<(ArrayRef, SqlType)> = columns.clone();
        let given = targets.iter().copied().zip(columns.into_iter().map(|c| c.0)).collect();
        let batch = core.complete_rows(&table, given, rows, None, partial)?;
        if let Some(outside) = core.outside_partitions(&judge, &batch)?
            && let Some(row) = outside.iter().position(|o| *o)
        {
            let reason = "The row is out of partition ranges. Please add a new partition.";
            return Err(filtered(session, &def, reason, &row_text(&shown, row)));
        }
        affected += rows as u64;
        batches.push(batch);
    }
    let condition = match insert.properties.iter().find(|p| p.0.eq_ignore_ascii_case("merge_condition")) {
        Some((_, name)) => {
            let column = def.column(name).filter(|c| !c.key && def.model == TableModel::Primary);
            Some(column.ok_or_else(|| SqlError::analysis(format!("Merge condition column {name} does not exist")))?.id)
        }
        None => None,
    };
    let own = session.transaction.is_none();
    let database = def.database.clone();
    let txn = match session.transaction {
        Some(t) => t,
        None => {
            let t = begin(session, &database, insert.label.clone())?;
            session.transaction = None;
            t
        }
    };
    session.touched.push(table.id);
    let overwrite = insert.overwrite;
    let dynamic = overwrite
        && session.flag("dynamic_overwrite")
        && insert.partitions.is_empty()
        && super::partition::is_automatic(&def);
    let values: Vec<String> = insert.partition_values.iter().map(|(k, v)| format!("`{k}` = {v}")).collect();
    let values = (!values.is_empty()).then(|| values.join(" AND "));
    let partitions = insert.partitions.clone();
    let result = blocking(move || {
        write(
            &core,
            &table,
            txn,
            batches,
            own,
            affected,
            overwrite,
            dynamic,
            partitions,
            partial_ids,
            values,
            condition,
        )
    })
    .await;
    match result {
        Ok(label) => {
            let status = if own { "VISIBLE" } else { "PREPARE" };
            Ok(Outcome::Done { affected, info: format!("{{'label':'{label}', 'status':'{status}', 'txnId':'{txn}'}}") })
        }
        Err(e) => {
            session.core.store.abort(txn, &e.message)?;
            session.transaction = None;
            Err(e)
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn write(
    core: &Arc<Core>,
    table: &Arc<Table>,
    txn: u64,
    batches: Vec<RecordBatch>,
    own: bool,
    affected: u64,
    overwrite: bool,
    dynamic: bool,
    partitions: Vec<String>,
    partial: Option<Vec<u32>>,
    values: Option<String>,
    condition: Option<u32>,
) -> SqlResult<String> {
    let mut touched: Vec<PartitionDef> = Vec::new();
    for batch in &batches {
        core.make_partitions(table, batch)?;
        if dynamic {
            touched.extend(partitions_of(core, table, batch)?);
        }
        core.stage(txn, table.id, batch, partial.clone(), condition, false)?;
    }
    core.store.update_txn(txn, |t| {
        t.counters.total += affected;
        t.counters.loaded += affected;
        if t.table_name.is_empty() {
            t.table_name.clone_from(&table.def().name);
        }
        if !t.tables.contains(&table.id) {
            t.tables.push(table.id);
        }
    });
    if !own {
        return Ok(core.store.txn(txn).map(|t| t.label).unwrap_or_default());
    }
    let done = if overwrite {
        let core2 = core.clone();
        let def = table.def();
        let chosen: Option<Vec<PartitionDef>> = if dynamic {
            Some(touched)
        } else if partitions.is_empty() {
            None
        } else {
            Some(
                def.partitions
                    .iter()
                    .filter(|p| partitions.iter().any(|n| n.eq_ignore_ascii_case(&p.name)))
                    .cloned()
                    .collect(),
            )
        };
        let pick = move |version: &TableVersion| match &chosen {
            None => match &values {
                None => Ok(all_rows(version)),
                Some(text) => {
                    let condition = super::parser::parse_expression(text)?;
                    matching_rows(&core2, version, &condition).map_err(starweir_model::Error::from)
                }
            },
            Some(parts) => {
                let text: Vec<String> =
                    parts.iter().map(|p| format!("({})", super::partition::condition(&version.def, p))).collect();
                if text.is_empty() {
                    return Ok(HashMap::new());
                }
                let condition = super::parser::parse_expression(&text.join(" OR "))?;
                matching_rows(&core2, version, &condition).map_err(starweir_model::Error::from)
            }
        };
        core.store.commit_replacing(txn, Some((table.id, &pick)))?
    } else {
        core.store.commit(txn)?
    };
    Ok(done.label)
}

/// The partitions that rows of a batch lie in.
fn partitions_of(core: &Core, table: &Table, batch: &RecordBatch) -> SqlResult<Vec<PartitionDef>> {
    let def = table.def();
    let Some(by) = &def.partition_by else {
        return Ok(vec![PartitionDef {
            id: 0,
            name: def.name.clone(),
            range: PartitionRange::Whole,
            temporary: false,
            automatic: false,
        }]);
    };
    let columns: Vec<(String, SqlType, ArrayRef)> = def
        .columns
        .iter()
        .filter_map(|c| Some((c.name.clone(), c.sql_type.clone(), batch.column_by_name(&c.stored_name())?.clone())))
        .collect();
    let mut out = Vec::new();
    if by.kind == PartitionKind::Expression {
        let exprs = by.expressions.iter().map(|e| super::parser::parse_expression(e)).collect::<SqlResult<Vec<_>>>()?;
        let values = core.evaluate(&columns, batch.num_rows(), &exprs)?;
        let mut seen = std::collections::HashSet::new();
        for row in 0..batch.num_rows() {
            let key: Vec<Value> = values.iter().map(|(a, t)| Value::get(a, t, row)).collect();
            let name = super::partition::automatic_name(by, &key);
            if seen.insert(name.clone())
                && let Some(p) = def.partitions.iter().find(|p| p.name.eq_ignore_ascii_case(&name))
            {
                out.push(p.clone());
            }
        }
        return Ok(out);
    }
    for p in &def.partitions {
        let condition = super::parser::parse_expression(&super::partition::condition(&def, p))?;
        let (array, t) = core.evaluate(&columns, batch.num_rows(), &[condition])?.remove(0);
        if (0..batch.num_rows()).any(|i| Value::get(&array, &t, i).as_bool() == Some(true)) {
            out.push(p.clone());
        }
    }
    Ok(out)
}

pub fn all_rows(version: &TableVersion) -> HashMap<u64, RoaringBitmap> {
    version
        .segments
        .iter()
        .map(|s| (s.segment.meta.id, (0..s.segment.rows() as u32).collect::<RoaringBitmap>()))
        .collect()
}

/// Rows of a version that a condition without subqueries holds for.
pub fn matching_rows(
    core: &Core,
    version: &TableVersion,
    condition: &ast::Expr,
) -> SqlResult<HashMap<u64, RoaringBitmap>> {
    let def = &version.def;
    let schema = super::provider::planning_schema(def);
    let all: Vec<usize> = (0..def.columns.len()).collect();
    let mut out = HashMap::new();
    for view in &version.segments {
        let whole = crate::store::table::SegmentView { segment: view.segment.clone(), deleted: None };
        let mut rows = RoaringBitmap::new();
        let mut from = 0;
        while from < view.segment.rows() {
            let batch = read_rows(&whole, def, &schema, &all, from, from + 65_536)?;
            let columns: Vec<(String, SqlType, ArrayRef)> = def
                .columns
                .iter()
                .zip(batch.columns())
                .map(|(c, a)| (c.name.clone(), c.sql_type.clone(), a.clone()))
                .collect();
            let (array, t) = core.evaluate(&columns, batch.num_rows(), std::slice::from_ref(condition))?.remove(0);
            for i in 0..batch.num_rows() {
                let row = (from + i) as u32;
                if Value::get(&array, &t, i).as_bool() == Some(true)
                    && !view.deleted.as_ref().is_some_and(|d| d.contains(row))
                {
                    rows.insert(row);
                }
            }
            from += 65_536;
        }
        if !rows.is_empty() {
            out.insert(view.segment.meta.id, rows);
        }
    }
    Ok(out)
}

/// Removes the rows a condition holds for, whatever the table's model.
pub async fn delete_where(core: Arc<Core>, table: Arc<Table>, condition: ast::Expr) -> SqlResult<u64> {
    blocking(move || {
        // A commit in between only means to look again.
        for _ in 0..1000 {
            let version = table.version();
            let rows = matching_rows(&core, &version, &condition)?;
            let n = rows.values().map(RoaringBitmap::len).sum();
            if core.store.delete_rows(&table, &version, &rows)? {
                return Ok(n);
            }
        }
        Err(SqlError::plain("the table is written too often to delete from it"))
    })
    .await
}

fn table_factor(name: &[String], alias: Option<&str>) -> ast::TableWithJoins {
    ast::TableWithJoins {
        relation: ast::TableFactor::Table {
            name: ast::ObjectName::from(name.iter().map(|n| ast::Ident::with_quote('`', n)).collect::<Vec<_>>()),
            alias: alias.map(|a| ast::TableAlias {
                explicit: true,
                name: ast::Ident::with_quote('`', a),
                columns: Vec::new(),
                at: None,
            }),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        joins: Vec::new(),
    }
}

/// `SELECT items FROM table, more WHERE selection`
fn select(
    name: &[String],
    alias: Option<&str>,
    items: Vec<ast::Expr>,
    more: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
    with: Option<ast::With>,
) -> SqlResult<ast::Query> {
    let mut query = *super::parser::parse_query("SELECT 1 FROM t")?;
    query.with = with;
    if let ast::SetExpr::Select(s) = query.body.as_mut() {
        s.projection = items
            .into_iter()
            .enumerate()
            .map(|(i, expr)| ast::SelectItem::ExprWithAlias {
                expr,
                alias: ast::Ident::with_quote('`', format!("__c{i}")),
            })
            .collect();
        s.from = vec![table_factor(name, alias)];
        s.from.extend(more);
        s.selection = selection;
    }
    Ok(query)
}

/// The column mode writes only the columns it is given: no sort key, no half of what a generated
/// column is computed from.
fn check_column_mode(def: &crate::catalog::TableDef, assignments: &[(String, ast::Expr)]) -> SqlResult<()> {
    let given = |name: &str| assignments.iter().any(|(a, _)| a.eq_ignore_ascii_case(name));
    if def.order_by.iter().any(|n| given(n)) {
        return Err(SqlError::plain("column mode partial update on table with sort key cannot update sort key column"));
    }
    for text in def.columns.iter().filter_map(|c| c.generated.as_ref()) {
        let used: Vec<&str> =
            def.columns.iter().map(|c| c.name.as_str()).filter(|n| super::ddl::mentions(text, n)).collect();
        if !used.iter().all(|n| given(n)) {
            return Err(SqlError::analysis("All ref Column must be sepecfied in partial update mode"));
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
pub async fn update(
    session: &mut Session,
    name: &[String],
    alias: Option<String>,
    assignments: Vec<(String, ast::Expr)>,
    from: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
    with: Option<ast::With>,
    params: Vec<Value>,
) -> SqlResult<Outcome> {
    if let [db, table] = name {
        // be_configs and the like: accepted, without an effect.
        if db.eq_ignore_ascii_case("information_schema") {
            let _ = table;
            return Ok(Outcome::ok());
        }
    }
    let table = session.table(name)?;
    let def = table.def();
    if def.model != TableModel::Primary {
        return Err(SqlError::analysis(format!(
            "table '{}' does not support update: only primary key tables do",
            def.name
        )));
    }
    // Without WHERE only updates of few columns run: those that the column mode writes.
    let row_store = def.properties.get("storage_type").is_some_and(|t| t == "column_with_row");
    let few = !row_store && assignments.len() <= 3 && (assignments.len() as f64) < def.columns.len() as f64 * 0.3;
    let mode = session.variable("partial_update_mode").as_text().unwrap_or_default().to_lowercase();
    let by_column = mode == "column" || (mode == "auto" && few && selection.is_none());
    if selection.is_none() && !by_column {
        return Err(SqlError::analysis("must specify where clause to prevent full table update"));
    }
    if by_column {
        check_column_mode(&def, &assignments)?;
    }
    let qualifier = alias.clone().unwrap_or_else(|| def.name.clone());
    let mut items: Vec<ast::Expr> = Vec::new();
    let mut ids = Vec::new();
    let mut targets = Vec::new();
    for (i, c) in def.columns.iter().enumerate().filter(|(_, c)| c.key) {
        items.push(ast::Expr::CompoundIdentifier(vec![
            ast::Ident::with_quote('`', &qualifier),
            ast::Ident::with_quote('`', &c.name),
        ]));
        ids.push(c.id);
        targets.push(i);
    }
    for (column, e) in assignments {
        let i = def
            .column_index(&column)
            .ok_or_else(|| SqlError::analysis(format!("table '{}' do not existing column '{column}'", def.name)))?;
        let c = &def.columns[i];
        if c.key {
            return Err(SqlError::analysis(format!("primary key column cannot be updated: {column}")));
        }
        if c.generated.is_some() {
            return Err(SqlError::analysis(format!("generated column '{column}' can not be specified")));
        }
        let e = match &e {
            ast::Expr::Identifier(x) if x.value.eq_ignore_ascii_case("default") && x.quote_style.is_none() => {
                literal(&session.core.default_value(c)?)
            }
            _ => e,
        };
        items.push(e);
        ids.push(c.id);
        targets.push(i);
    }
    let query = select(&[def.database.clone(), def.name.clone()], Some(&qualifier), items, from, selection, with)?;
    let result = session.query(&query, params).await?;
    let strict = session.flag("enable_insert_strict");
    let mut batches = Vec::new();
    let affected = result.rows() as u64;
    for batch in &result.batches {
        if batch.num_rows() == 0 {
            continue;
        }
        let columns = query_columns(&def, &targets, batch, &result.types, strict)?;
        for ((array, _), &i) in columns.iter().zip(&targets) {
            if !def.columns[i].nullable && array.null_count() > 0 {
                return Err(SqlError::plain(format!(
                    "Insert has filtered data in strict mode: NULL value in non-nullable column '{}'",
                    def.columns[i].name
                )));
            }
        }
        let given = targets.iter().copied().zip(columns.into_iter().map(|c| c.0)).collect();
        batches.push(session.core.complete_rows(&table, given, batch.num_rows(), None, true)?);
    }
    staged_commit(session, &table, batches, Some(ids), true, affected).await
}

/// Stages batches, and commits unless a transaction is open.
async fn staged_commit(
    session: &mut Session,
    table: &Arc<Table>,
    batches: Vec<RecordBatch>,
    partial: Option<Vec<u32>>,
    update_only: bool,
    affected: u64,
) -> SqlResult<Outcome> {
    let own = session.transaction.is_none();
    let txn = match session.transaction {
        Some(t) => t,
        None => {
            let t = begin(session, &table.def().database, None)?;
            session.transaction = None;
            t
        }
    };
    session.touched.push(table.id);
    let (core, id) = (session.core.clone(), table.id);
    let result = blocking(move || {
        for batch in &batches {
            core.stage(txn, id, batch, partial.clone(), None, update_only)?;
        }
        core.store.update_txn(txn, |t| {
            t.counters.total += affected;
            t.counters.loaded += affected;
        });
        if own {
            core.store.commit(txn)?;
        }
        Ok(core.store.txn(txn).map(|t| t.label).unwrap_or_default())
    })
    .await;
    match result {
        Ok(label) => Ok(Outcome::Done {
            affected,
            info: format!(
                "{{'label':'{label}', 'status':'{}', 'txnId':'{txn}'}}",
                if own { "VISIBLE" } else { "PREPARE" }
            ),
        }),
        Err(e) => {
            session.core.store.abort(txn, &e.message)?;
            session.transaction = None;
            Err(e)
        }
    }
}

#[allow(clippy::too_many_arguments)]
pub async fn delete(
    session: &mut Session,
    name: &[String],
    alias: Option<String>,
    using: Vec<ast::TableWithJoins>,
    selection: Option<ast::Expr>,
    partitions: Vec<String>,
    with: Option<ast::With>,
    params: Vec<Value>,
) -> SqlResult<Outcome> {
    let table = session.table(name)?;
    let def = table.def();
    if def.is_view() {
        return Err(SqlError::analysis(format!("the data of '{}' can not be deleted: it is a view", def.name)));
    }
    let mut selection = selection;
    if !partitions.is_empty() {
        let condition = super::partition::selection(&def, &partitions)?;
        selection = Some(match selection {
            Some(s) => ast::Expr::BinaryOp {
                left: Box::new(ast::Expr::Nested(Box::new(s))),
                op: ast::BinaryOperator::And,
                right: Box::new(ast::Expr::Nested(Box::new(condition))),
            },
            None => condition,
        });
    }
    if def.model != TableModel::Primary {
        let Some(mut condition) = selection else {
            return Err(SqlError::analysis("Delete must specify where clause to prevent full table delete"));
        };
        if !using.is_empty() || with.is_some() {
            return Err(SqlError::analysis("Delete of a table without primary key supports no USING and no CTE"));
        }
        let facts = session.facts();
        super::rewrite::Rewriter::new(&facts, params).expression(&mut condition)?;
        let affected = delete_where(session.core.clone(), table, condition).await?;
        return Ok(Outcome::Done { affected, info: String::new() });
    }
    let Some(selection) = selection else {
        return Err(SqlError::analysis("Delete must specify where clause to prevent full table delete"));
    };
    let qualifier = alias.unwrap_or_else(|| def.name.clone());
    let keys: Vec<usize> = (0..def.columns.len()).filter(|i| def.columns[*i].key).collect();
    let items = keys
        .iter()
        .map(|i| {
            ast::Expr::CompoundIdentifier(vec![
                ast::Ident::with_quote('`', &qualifier),
                ast::Ident::with_quote('`', &def.columns[*i].name),
            ])
        })
        .collect();
    let query =
        select(&[def.database.clone(), def.name.clone()], Some(&qualifier), items, using, Some(selection), with)?;
    let result = session.query(&query, params).await?;
    let affected = result.rows() as u64;
    let mut batches = Vec::new();
    for batch in result.batches.iter().filter(|b| b.num_rows() > 0) {
        let given = keys.iter().copied().zip(batch.columns().iter().cloned()).collect();
        let ops = Int8Array::from(vec![1i8; batch.num_rows()]);
        batches.push(session.core.complete_rows(&table, given, batch.num_rows(), Some(ops), true)?);
    }
    staged_commit(session, &table, batches, None, false, affected).await
}
