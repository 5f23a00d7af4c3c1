//! What every door of the warehouse shares: the store, the query engine, who may come in, where it
//! listens, and how rows become a load.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, Int8Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field};
use parking_lot::{Mutex, RwLock};
use sqlparser::ast;
use starweir_model::{Error, Result};

use crate::catalog::{ColumnDef, ColumnDefault, PartitionDef, PartitionRange, TableDef};
use crate::error::{SqlError, SqlResult};
use crate::http::faults::Faults;
use crate::mysql::keys::Keys;
use crate::sql::planner::{Planner, QueryResult, Scope};
use crate::sql::rewrite::{Facts, literal};
use crate::sql::{parser, partition};
use crate::store::segment::OP;
use crate::store::txn::StagedPart;
use crate::store::{Hooks, Segment, Store};
use crate::types::SqlType;
use crate::users::Users;
use crate::value::{Value, cast_array};

/// Rows of one segment at most; larger loads make several.
pub const SEGMENT_ROWS: usize = 500_000;

#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub mysql: SocketAddr,
    pub http: SocketAddr,
    pub be: SocketAddr,
    pub thrift: SocketAddr,
}

pub struct Core {
    pub store: Arc<Store>,
    pub planner: Planner,
    /// The administrator: the warehouse's own work is done under this name.
    pub user: String,
    pub users: Users,
    pub keys: Keys,
    /// Seals the plans of scans.
    pub scan_key: [u8; 32],
    pub addresses: RwLock<Option<Addresses>>,
    pub faults: Faults,
    pub allow_faults: bool,
    pub memory_bytes: u64,
    /// Bytes of bodies that are in memory now.
    pub body_bytes: AtomicU64,
    /// Error logs of loads by file name, newest last.
    pub error_logs: Mutex<Vec<(String, Arc<str>)>>,
    /// Variables set with SET GLOBAL: what new sessions begin with.
    pub globals: RwLock<HashMap<String, Value>>,
    /// What ADMIN SET FRONTEND CONFIG set, by lower-case name; gone with the process, as in StarRocks.
    frontend: RwLock<HashMap<String, String>>,
    /// What was dropped without FORCE, newest last.
    recycled: Mutex<Vec<Recycled>>,
    next_session: AtomicU64,
}

/// Error logs kept.
const ERROR_LOGS: usize = 500;
/// Dropped things kept in the list of information_schema.recyclebin_catalogs.
const RECYCLED: usize = 1000;
/// Partitions that rows may make of one table, unless `max_automatic_partition_number` says otherwise.
const AUTOMATIC_PARTITIONS: usize = 4096;

/// Something that was dropped without FORCE. Only the fact is kept: nothing can be recovered.
#[derive(Debug, Clone)]
pub struct Recycled {
    /// Database, Table or Partition.
    pub kind: &'static str,
    pub name: String,
    pub database: u64,
    pub table: u64,
    pub partition: u64,
    pub dropped_ms: i64,
}

impl Recycled {
    pub fn database(name: &str, id: u64) -> Self {
        Self { kind: "Database", name: name.into(), database: id, table: 0, partition: 0, dropped_ms: 0 }
    }

    pub fn table(def: &TableDef, database: u64) -> Self {
        Self { kind: "Table", name: def.name.clone(), database, table: def.id, partition: 0, dropped_ms: 0 }
    }

    pub fn partition(def: &TableDef, database: u64, p: &PartitionDef) -> Self {
        Self { kind: "Partition", name: p.name.clone(), database, table: def.id, partition: p.id, dropped_ms: 0 }
    }
}

impl Core {
    pub fn new(
        store: Arc<Store>,
        planner: Planner,
        user: String,
        users: Users,
        keys: Keys,
        allow_faults: bool,
        memory_bytes: u64,
    ) -> Arc<Core> {
        let core = Arc::new(Core {
            store,
            planner,
            user,
            users,
            keys,
            scan_key: std::array::from_fn(|_| rand::random()),
            addresses: RwLock::new(None),
            faults: Faults::default(),
            allow_faults,
            memory_bytes,
            body_bytes: AtomicU64::new(0),
            error_logs: Mutex::new(Vec::new()),
            globals: RwLock::new(HashMap::new()),
            frontend: RwLock::new(HashMap::new()),
            recycled: Mutex::new(Vec::new()),
            next_session: AtomicU64::new(1),
        });
        core.store.set_hooks(Arc::new(CoreHooks { core: Arc::downgrade(&core) }));
        core
    }

    pub fn next_session(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// A frontend option that was set.
    pub fn frontend_config(&self, name: &str) -> Option<String> {
        self.frontend.read().get(name).cloned()
    }

    pub fn set_frontend_config(&self, name: &str, value: &str) {
        self.frontend.write().insert(name.to_lowercase(), value.to_string());
    }

    pub fn recycle(&self, mut thing: Recycled) {
        thing.dropped_ms = self.store.now_ms();
        let mut all = self.recycled.lock();
        all.push(thing);
        if all.len() > RECYCLED {
            all.remove(0);
        }
    }

    pub fn recycled(&self) -> Vec<Recycled> {
        self.recycled.lock().clone()
    }

    /// The time zone of what no session asks for.
    fn time_zone(&self) -> String {
        self.globals.read().get("time_zone").and_then(Value::as_text).unwrap_or_else(|| "UTC".into())
    }

    pub fn keep_error_log(&self, name: String, text: &str) {
        let mut logs = self.error_logs.lock();
        logs.push((name, text.into()));
        if logs.len() > ERROR_LOGS {
            logs.remove(0);
        }
    }

    pub fn error_log(&self, name: &str) -> Option<Arc<str>> {
        self.error_logs.lock().iter().rev().find(|(n, _)| n == name).map(|(_, t)| t.clone())
    }

    /// Evaluates expressions with no session: loads, generated columns, defaults.
    pub fn evaluate(
        &self,
        columns: &[(String, SqlType, ArrayRef)],
        rows: usize,
        expressions: &[ast::Expr],
    ) -> SqlResult<Vec<(ArrayRef, SqlType)>> {
        let facts = PlainFacts { now_ms: self.store.now_ms(), time_zone: self.time_zone() };
        let scope = Scope {
            store: &self.store,
            database: None,
            session: 0,
            facts: &facts,
            extra: HashMap::new(),
            virtual_table: &|_, _| None,
            depth: 0,
        };
        self.planner.evaluate(&scope, columns, rows, expressions)
    }

    /// The value a column gets when nothing is given for it.
    pub fn default_value(&self, column: &ColumnDef) -> SqlResult<Value> {
        Ok(match &column.default {
            ColumnDefault::None | ColumnDefault::Null => Value::Null,
            ColumnDefault::Literal(text) => Value::Text(text.clone()).cast(&column.sql_type).unwrap_or(Value::Null),
            ColumnDefault::CurrentTimestamp(precision) => {
                let us = local_us(self.store.now_ms(), &self.time_zone());
                let unit = 10i64.pow(6 - u32::from((*precision).min(6)));
                Value::DateTime(us.div_euclid(unit) * unit).cast(&column.sql_type).unwrap_or(Value::Null)
            }
            ColumnDefault::Expression(text) => {
                let e = parser::parse_expression(text)?;
                let (array, t) = self.evaluate(&[], 1, &[e])?.remove(0);
                Value::get(&array, &t, 0).cast(&column.sql_type).unwrap_or(Value::Null)
            }
        })
    }

    fn default_column(&self, column: &ColumnDef, rows: usize) -> SqlResult<ArrayRef> {
        // uuid() differs from row to row.
        if matches!(column.default, ColumnDefault::Expression(_)) {
            let values = (0..rows).map(|_| self.default_value(column)).collect::<SqlResult<Vec<_>>>()?;
            return Ok(Value::array(&values, &column.sql_type));
        }
        let value = self.default_value(column)?;
        if value.is_null() {
            return Ok(new_null_array(&column.sql_type.arrow(), rows));
        }
        let one = Value::array(&[value], &column.sql_type);
        Ok(arrow::compute::take(&one, &arrow::array::UInt32Array::from(vec![0u32; rows]), None)?)
    }

    /// Computes the generated columns of rows; `columns` are the others, under their own names.
    pub fn generated(
        &self,
        def: &TableDef,
        columns: &mut Vec<(String, SqlType, ArrayRef)>,
        rows: usize,
    ) -> SqlResult<()> {
        for column in def.columns.iter().filter(|c| c.generated.is_some()) {
            let text = column.generated.as_deref().unwrap_or_default();
            let e = parser::parse_expression(text)?;
            let (array, t) = self.evaluate(columns, rows, &[e])?.remove(0);
            let array = cast_array(&array, &t, &column.sql_type, false)?;
            columns.push((column.name.clone(), column.sql_type.clone(), array));
        }
        Ok(())
    }

    /// Puts rows into the form segments have. `given` are columns of the table in their own types.
    /// With `partial`, columns that are not given stay away; otherwise they get their default,
    /// their AUTO_INCREMENT value or their expression.
    pub fn complete_rows(
        &self,
        table: &crate::store::Table,
        given: Vec<(usize, ArrayRef)>,
        rows: usize,
        ops: Option<Int8Array>,
        partial: bool,
    ) -> SqlResult<RecordBatch> {
        let def = table.def();
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; def.columns.len()];
        for (i, array) in given {
            arrays[i] = Some(array);
        }
        if !partial {
            for (i, column) in def.columns.iter().enumerate() {
                if column.auto_increment {
                    arrays[i] = Some(self.auto_increment(table, column, arrays[i].take(), rows)?);
                } else if arrays[i].is_none() && column.generated.is_none() {
                    arrays[i] = Some(self.default_column(column, rows)?);
                }
            }
            if def.has_generated() {
                let mut columns: Vec<(String, SqlType, ArrayRef)> = def
                    .columns
                    .iter()
                    .zip(&arrays)
                    .filter(|(c, _)| c.generated.is_none())
                    .filter_map(|(c, a)| Some((c.name.clone(), c.sql_type.clone(), a.clone()?)))
                    .collect();
                self.generated(&def, &mut columns, rows)?;
                for (name, _, array) in columns {
                    if let Some(i) = def.column_index(&name) {
                        arrays[i] = Some(array);
                    }
                }
            }
        }
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (column, array) in def.columns.iter().zip(arrays) {
            if let Some(array) = array {
                fields.push(column.sql_type.field(&column.stored_name(), true));
                columns.push(array);
            }
        }
        if let Some(ops) = ops {
            fields.push(Field::new(OP, DataType::Int8, true));
            columns.push(Arc::new(ops));
        }
        Ok(RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?)
    }

    fn auto_increment(
        &self,
        table: &crate::store::Table,
        column: &ColumnDef,
        given: Option<ArrayRef>,
        rows: usize,
    ) -> SqlResult<ArrayRef> {
        let missing = given.as_ref().map_or(rows, |a| a.null_count());
        if missing == 0
            && let Some(given) = given
        {
            return Ok(given);
        }
        let mut next = table.take_auto(missing as i64);
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            match &given {
                Some(a) if !a.is_null(row) => values.push(Value::get(a, &column.sql_type, row)),
                _ => {
                    values.push(Value::int(next));
                    next += 1;
                }
            }
        }
        Ok(Value::array(&values, &column.sql_type))
    }

    /// Writes rows as segments of a transaction.
    pub fn stage(
        &self,
        txn: u64,
        table: u64,
        batch: &RecordBatch,
        partial: Option<Vec<u32>>,
        condition: Option<u32>,
        update_only: bool,
    ) -> SqlResult<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let n = SEGMENT_ROWS.min(batch.num_rows() - from);
            let segment: Arc<Segment> = self.store.stage(table, &batch.slice(from, n))?;
            let part = StagedPart { segment: segment.meta.clone(), partial: partial.clone(), condition, update_only };
            self.store.keep_staged(segment.clone());
            let kept = self.store.update_txn(txn, |t| {
                if t.state.is_final() {
                    return false;
                }
                if !t.tables.contains(&table) {
                    t.tables.push(table);
                }
                t.parts.push(part);
                true
            });
            if kept != Some(true) {
                segment.forget();
                return Err(SqlError::plain(format!("transaction {txn} was ended meanwhile")));
            }
            from += n;
        }
        Ok(())
    }

    /// Makes the partitions that rows of an automatically partitioned table need.
    pub fn make_partitions(&self, table: &crate::store::Table, batch: &RecordBatch) -> SqlResult<()> {
        let def = table.def();
        if !partition::is_automatic(&def) || batch.num_rows() == 0 {
            return Ok(());
        }
        let Some(by) = &def.partition_by else { return Ok(()) };
        let columns: Vec<(String, SqlType, ArrayRef)> = def
            .columns
            .iter()
            .filter_map(|c| Some((c.name.clone(), c.sql_type.clone(), batch.column_by_name(&c.stored_name())?.clone())))
            .collect();
        let exprs = by.expressions.iter().map(|e| parser::parse_expression(e)).collect::<SqlResult<Vec<_>>>()?;
        let Ok(values) = self.evaluate(&columns, batch.num_rows(), &exprs) else {
            // A partial update need not give the partition columns.
            return Ok(());
        };
        let mut new: Vec<PartitionDef> = Vec::new();
        let mut seen: std::collections::HashSet<String> =
            def.partitions.iter().map(|p| p.name.to_lowercase()).collect();
        for row in 0..batch.num_rows() {
            let mut key: Vec<Value> = values.iter().map(|(a, t)| Value::get(a, t, row)).collect();
            if let [one] = key.as_mut_slice()
                && one.is_null()
                && let Some(least) = partition::null_of_range(&by.expressions[0], &values[0].1)
            {
                *one = least;
            }
            let name = partition::automatic_name(by, &key);
            if !seen.insert(name.to_lowercase()) {
                continue;
            }
            let range = match key.as_slice() {
                [one] if !one.is_null() => partition::truncated_range(&by.expressions[0], one, &values[0].1),
                _ => None,
            };
            // A row inside of a partition that a statement made needs no new one.
            if let (Some(PartitionRange::Range { lower: Some(l), upper: u }), true) =
                (&range, def.partitions.iter().any(|p| !p.automatic))
            {
                let covered = def.partitions.iter().any(|p| match &p.range {
                    PartitionRange::Range { lower, upper } => {
                        lower.as_ref().is_none_or(|x| x[0].as_deref().unwrap_or("") <= l[0].as_deref().unwrap_or(""))
                            && (upper[0].is_none() || upper[0].as_deref() >= u[0].as_deref())
                    }
                    _ => false,
                });
                if covered {
                    continue;
                }
            }
            let range = range.unwrap_or_else(|| PartitionRange::List(vec![key.iter().map(Value::as_text).collect()]));
            new.push(PartitionDef { id: self.store.next_id(), name, range, temporary: false, automatic: true });
        }
        if new.is_empty() {
            return Ok(());
        }
        let limit = self.frontend_config("max_automatic_partition_number").and_then(|n| n.parse().ok());
        let limit: usize = limit.unwrap_or(AUTOMATIC_PARTITIONS);
        if def.partitions.iter().filter(|p| p.automatic).count() + new.len() > limit {
            return Err(SqlError::plain(format!(
                "Table {} automatically created partitions exceeded the maximum limit: {limit}. You can modify this restriction on by setting max_automatic_partition_number larger.",
                def.name
            )));
        }
        self.store.alter_table(
            table.id,
            |def| {
                for p in new {
                    if !def.partitions.iter().any(|old| old.name.eq_ignore_ascii_case(&p.name)) {
                        def.partitions.push(p);
                    }
                }
                Ok(())
            },
            None,
        )?;
        Ok(())
    }

    /// Rows outside of every partition of a RANGE or LIST table, if the table has such partitions.
    pub fn outside_partitions(&self, def: &TableDef, batch: &RecordBatch) -> SqlResult<Option<Vec<bool>>> {
        let Some(by) = &def.partition_by else { return Ok(None) };
        if partition::is_automatic(def) {
            return Ok(None);
        }
        let columns: Vec<(String, SqlType, ArrayRef)> = def
            .columns
            .iter()
            .filter_map(|c| Some((c.name.clone(), c.sql_type.clone(), batch.column_by_name(&c.stored_name())?.clone())))
            .collect();
        if by.columns.iter().any(|n| !columns.iter().any(|c| c.0.eq_ignore_ascii_case(n))) {
            return Ok(None);
        }
        let conditions: Vec<String> = def
            .partitions
            .iter()
            .filter(|p| !p.temporary)
            .map(|p| format!("({})", partition::condition(def, p)))
            .collect();
        if conditions.is_empty() {
            return Ok(Some(vec![true; batch.num_rows()]));
        }
        let e = parser::parse_expression(&conditions.join(" OR "))?;
        let (array, t) = self.evaluate(&columns, batch.num_rows(), &[e])?.remove(0);
        Ok(Some((0..batch.num_rows()).map(|i| Value::get(&array, &t, i).as_bool() != Some(true)).collect()))
    }
}

/// Facts without a session.
pub struct PlainFacts {
    pub now_ms: i64,
    pub time_zone: String,
}

impl Facts for PlainFacts {
    fn variable(&self, _: &str, _: bool) -> Value {
        Value::Null
    }

    fn constant(&self, function: &str, args: &[ast::Expr]) -> Option<ast::Expr> {
        time_constant(self.now_ms, &self.time_zone, function, args)
    }

    fn pipes_as_concat(&self) -> bool {
        false
    }
}

/// A moment as the clock of a time zone shows it, in microseconds.
fn local_us(now_ms: i64, zone: &str) -> i64 {
    let offset = crate::sql::functions::date::zone_offset(zone, now_ms.div_euclid(1000)).unwrap_or(0);
    (now_ms + offset * 1000) * 1000
}

/// now(), curdate() and their like, as literals of the statement.
pub fn time_constant(now_ms: i64, zone: &str, function: &str, args: &[ast::Expr]) -> Option<ast::Expr> {
    let us = if function.starts_with("utc_") { now_ms * 1000 } else { local_us(now_ms, zone) };
    let second = us.div_euclid(1_000_000) * 1_000_000;
    let precision = || match args.first() {
        Some(ast::Expr::Value(v)) => v.to_string().parse::<u32>().unwrap_or(0).min(6),
        _ => 0,
    };
    let v = match function {
        "now" | "current_timestamp" | "localtime" | "localtimestamp" => {
            let unit = 10i64.pow(6 - precision());
            Value::DateTime(us.div_euclid(unit) * unit)
        }
        "utc_timestamp" => Value::DateTime(second),
        "curdate" | "current_date" | "utc_date" => Value::Date(us.div_euclid(crate::time::DAY_US) as i32),
        "curtime" | "current_time" | "utc_time" => {
            Value::Text(crate::time::datetime_text(second).split(' ').nth(1).unwrap_or_default().to_string())
        }
        "unix_timestamp" if args.is_empty() => Value::Int(i128::from(now_ms.div_euclid(1000))),
        _ => return None,
    };
    Some(literal(&v))
}

struct CoreHooks {
    core: std::sync::Weak<Core>,
}

impl Hooks for CoreHooks {
    fn generate(&self, def: &TableDef, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(core) = self.core.upgrade() else { return Ok(batch) };
        let rows = batch.num_rows();
        let mut columns: Vec<(String, SqlType, ArrayRef)> = def
            .columns
            .iter()
            .filter(|c| c.generated.is_none())
            .filter_map(|c| Some((c.name.clone(), c.sql_type.clone(), batch.column_by_name(&c.stored_name())?.clone())))
            .collect();
        core.generated(def, &mut columns, rows)
            .map_err(|e| Error::data("cannot compute a generated column").with_source(e))?;
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for column in &def.columns {
            if let Some((_, _, array)) = columns.iter().find(|c| c.0 == column.name) {
                fields.push(column.sql_type.field(&column.stored_name(), true));
                arrays.push(array.clone());
            }
        }
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), arrays)
            .map_err(|e| Error::internal("cannot put rows together").with_source(e))
    }

    fn default_value(&self, column: &ColumnDef) -> Result<Value> {
        match self.core.upgrade() {
            Some(core) => {
                let value = core.default_value(column).map_err(Error::from)?;
                if value.is_null() && !column.nullable {
                    // A new row of a partial update: a NOT NULL column without a default is empty.
                    return Ok(match &column.sql_type {
                        SqlType::Char(_) | SqlType::Varchar(_) => Value::text(""),
                        SqlType::Varbinary => Value::Bytes(Vec::new()),
                        SqlType::Date => Value::Date(0),
                        SqlType::DateTime => Value::DateTime(0),
                        SqlType::Json => Value::Json("null".into()),
                        t if t.is_nested() => Value::Null,
                        t => Value::Int(0).cast(t).unwrap_or(Value::Null),
                    });
                }
                Ok(value)
            }
            None => Ok(Value::Null),
        }
    }
}

/// A one-column text result.
pub fn lines(name: &str, lines: Vec<String>) -> QueryResult {
    let array: ArrayRef = Arc::new(StringArray::from(lines));
    let field = Field::new(name, DataType::Utf8, true);
    let batches = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(vec![field])), vec![array])
        .map(|b| vec![b])
        .unwrap_or_default();
    QueryResult { names: vec![name.to_string()], types: vec![SqlType::STRING], batches }
}
