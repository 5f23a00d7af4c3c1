//! CREATE, ALTER, DROP, TRUNCATE: catalog changes. Schema changes touch no data ("fast schema
//! evolution"): segments name their columns by id.

use std::collections::BTreeMap;

use super::alter_check::{self, Added};
use super::partition_change::{drop_partitions, replace_partitions};
use super::planner::QueryResult;
use super::session::{Outcome, Session};
use super::statement::*;
use super::{dml, partition, partition_change, partition_condition};
use crate::catalog::*;
use crate::core::Recycled;
use crate::error::{SqlError, SqlResult};
use crate::types::SqlType;
use crate::value::Value;

pub fn simple(session: &mut Session, statement: Statement) -> SqlResult<Outcome> {
    let store = session.core.store.clone();
    match statement {
        Statement::CreateDatabase { name, if_not_exists } => {
            if name.is_empty() || name.len() > 256 || name.contains(['/', '\0', ' ', '!', '*']) {
                return Err(SqlError::analysis(format!("Incorrect database name '{name}'")));
            }
            if !store.create_database(&name)? && !if_not_exists {
                return Err(SqlError::new(1007, format!("Can't create database '{name}'; database exists")));
            }
        }
        Statement::DropDatabase { name, if_exists, force } => {
            if !force && let Some(id) = store.database_id(&name) {
                session.core.recycle(Recycled::database(&name, id));
            }
            if !store.drop_database(&name)? && !if_exists {
                return Err(SqlError::new(1008, format!("Can't drop database '{name}'; database doesn't exist")));
            }
            if session.database.as_deref() == Some(&name) {
                session.database = None;
            }
        }
        Statement::DropTable { names, if_exists, temporary, force } => {
            for name in names {
                match session.table(&name) {
                    Ok(table) => {
                        let def = table.def();
                        if def.is_view() {
                            return Err(SqlError::analysis(format!(
                                "'{}' is not TABLE. Use 'DROP VIEW {}'",
                                def.name, def.name
                            )));
                        }
                        if temporary && def.session.is_none() {
                            if if_exists {
                                continue;
                            }
                            return Err(SqlError::unknown_table(&def.name));
                        }
                        if !force && def.session.is_none() {
                            let database = store.database_id(&def.database).unwrap_or(0);
                            session.core.recycle(Recycled::table(&def, database));
                        }
                        store.drop_table(table.id)?;
                        partition_change::forget_temporary(&session.core, &def)?;
                    }
                    Err(_) if if_exists => {}
                    Err(e) if e.code == 5502 => {
                        let table = name.last().cloned().unwrap_or_default();
                        return Err(SqlError::new(
                            5502,
                            format!("Getting analyzing error. Detail message: Unknown table '{table}'."),
                        ));
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Statement::DropView { name, if_exists } => match session.table(&name) {
            Ok(table) if table.def().is_view() => store.drop_table(table.id)?,
            Ok(table) => return Err(SqlError::analysis(format!("'{}' is not VIEW", table.def().name))),
            Err(_) if if_exists => {}
            Err(e) => return Err(e),
        },
        _ => {}
    }
    Ok(Outcome::ok())
}

/// Types a sort or duplicate key may have.
fn fits_key(t: &SqlType) -> bool {
    !matches!(
        t,
        SqlType::Float
            | SqlType::Double
            | SqlType::Json
            | SqlType::Bitmap
            | SqlType::Hll
            | SqlType::Percentile
            | SqlType::Varbinary
    ) && !t.is_nested()
}

fn width(t: &SqlType) -> usize {
    match t {
        SqlType::Boolean | SqlType::TinyInt => 1,
        SqlType::SmallInt => 2,
        SqlType::Int | SqlType::Date => 4,
        SqlType::BigInt | SqlType::DateTime => 8,
        SqlType::Char(n) | SqlType::Varchar(n) => *n as usize,
        _ => 16,
    }
}

/// The duplicate key of a table that names none: the first columns, at most three and 36 bytes, up to
/// the first VARCHAR.
fn implicit_keys(columns: &[ColumnDef]) -> usize {
    let mut bytes = 0;
    let mut n = 0;
    for c in columns {
        if !fits_key(&c.sql_type) || n == 3 {
            break;
        }
        bytes += width(&c.sql_type);
        if bytes > 36 && n > 0 && !matches!(c.sql_type, SqlType::Varchar(_)) {
            break;
        }
        n += 1;
        if matches!(c.sql_type, SqlType::Varchar(_)) || bytes >= 36 {
            break;
        }
    }
    n
}

/// The type of a generated column's expression over the table's other columns.
fn check_generated(session: &Session, columns: &[ColumnDef], c: &ColumnDef) -> SqlResult<()> {
    let Some(text) = &c.generated else { return Ok(()) };
    let e = super::parser::parse_expression(text)?;
    if session.core.planner.aggregates(&e) {
        return Err(SqlError::analysis("Generated Column don't support aggregation function"));
    }
    super::alter_check::references(columns, text)?;
    let empty: Vec<(String, SqlType, arrow::array::ArrayRef)> = columns
        .iter()
        .filter(|x| x.generated.is_none())
        .map(|x| (x.name.clone(), x.sql_type.clone(), arrow::array::new_empty_array(&x.sql_type.arrow())))
        .collect();
    let (_, t) = session.core.evaluate(&empty, 0, &[e])?.remove(0);
    let numeric = |t: &SqlType| t.is_integer() || *t == SqlType::Boolean;
    let fits = t == c.sql_type
        || t == SqlType::Null
        || (t.is_text() && c.sql_type.is_text())
        || (numeric(&t) && numeric(&c.sql_type))
        || t.is_nested()
        || matches!(
            (&t, &c.sql_type),
            (SqlType::Decimal(..), SqlType::Decimal(..)) | (SqlType::Float, SqlType::Double)
        );
    if fits {
        return Ok(());
    }
    Err(SqlError::analysis(format!(
        "Illegal expression type for Generated Column Column Type: {}, Expression Type: {}",
        c.sql_type.message(),
        t.message()
    )))
}

fn check_default(c: &ColumnDef) -> SqlResult<()> {
    if let ColumnDefault::Literal(text) = &c.default {
        if matches!(c.sql_type, SqlType::Bitmap | SqlType::Hll | SqlType::Percentile) {
            if text.is_empty() {
                return Ok(());
            }
            return Err(SqlError::analysis(format!(
                "Invalid default value for '{}': Type '{}' only supports empty string \"\" as default value",
                c.name,
                c.sql_type.message()
            )));
        }
        let value = Value::Text(text.clone()).cast(&c.sql_type);
        let long = matches!(c.sql_type, SqlType::Char(n) | SqlType::Varchar(n) if text.len() > n as usize);
        if value.is_none() || long {
            return Err(SqlError::analysis(format!(
                "Invalid default value for '{}': Invalid value '{text}' for type {}",
                c.name,
                c.sql_type.message()
            )));
        }
    }
    if c.default == ColumnDefault::Null && !c.nullable {
        return Err(SqlError::analysis(format!("Invalid default value for '{}'", c.name)));
    }
    if matches!(c.default, ColumnDefault::CurrentTimestamp(_))
        && !matches!(c.sql_type, SqlType::DateTime | SqlType::Date)
    {
        return Err(SqlError::analysis(format!(
            "Default function now() for type {} is not supported",
            c.sql_type.ddl().to_uppercase()
        )));
    }
    Ok(())
}

/// Builds a table's definition from its statement; `query` gives the columns of CTAS.
fn definition(session: &Session, t: &CreateTable, database: String, name: String) -> SqlResult<TableDef> {
    let store = &session.core.store;
    let mut columns = t.columns.clone();
    let mut partition_by = t.partition_by.clone();
    super::generated_partition::absorb(&mut columns, partition_by.as_mut(), &name);
    let mut seen = std::collections::HashSet::new();
    for c in &columns {
        if !seen.insert(c.name.to_lowercase()) {
            return Err(SqlError::analysis(format!("Duplicate column name '{}'", c.name)));
        }
        if matches!(c.name.as_str(), "__op" | "__row") {
            return Err(SqlError::analysis(format!(
                "Column name '{}' is a system reserved name. Please choose a different one",
                c.name
            )));
        }
        if c.name.starts_with(super::generated_partition::PREFIX) {
            return Err(SqlError::analysis(format!(
                "Column name [{}] starts with __generated_partition_column_ is a system reserved name. Please choose a different one.",
                c.name
            )));
        }
        check_default(c)?;
    }
    if columns.is_empty() {
        return Err(SqlError::analysis("A table must have at least 1 column"));
    }
    if columns.iter().filter(|c| c.auto_increment).count() > 1 {
        return Err(SqlError::analysis("More than one AUTO_INCREMENT column defined in CREATE TABLE Statement"));
    }
    let has_aggregation = columns.iter().any(|c| c.aggregation.is_some());
    let (model, keys) = match &t.key {
        Some((m, k)) => (*m, k.clone()),
        None if has_aggregation => (
            TableModel::Aggregate,
            columns.iter().take_while(|c| c.aggregation.is_none()).map(|c| c.name.clone()).collect(),
        ),
        None => {
            let marked: Vec<String> = columns.iter().filter(|c| c.key).map(|c| c.name.clone()).collect();
            if marked.is_empty() {
                // The sort key leads when there is one.
                let n = implicit_keys(&columns);
                if n == 0 && t.query.is_none() {
                    return Err(SqlError::analysis(
                        "Data type of first column cannot be ".to_string() + &columns[0].sql_type.message(),
                    ));
                }
                (TableModel::Duplicate, columns[..n].iter().map(|c| c.name.clone()).collect())
            } else {
                (TableModel::Duplicate, marked)
            }
        }
    };
    if has_aggregation && model == TableModel::Duplicate {
        return Err(SqlError::analysis(
            "Cannot specify aggregate function for a table that is not an AGGREGATE KEY table",
        ));
    }
    if matches!(model, TableModel::Unique | TableModel::Primary) {
        // REPLACE is what these models do anyway.
        for c in &mut columns {
            c.aggregation = None;
        }
    }
    for (i, key) in keys.iter().enumerate() {
        let Some(at) = columns.iter().position(|c| c.name.eq_ignore_ascii_case(key)) else {
            return Err(SqlError::analysis(format!("Key column({key}) doesn't exist")));
        };
        if at != i {
            return Err(SqlError::analysis(
                "Key columns must be the first few columns of the schema and the order  of the key columns must be consistent with the order of the schema",
            ));
        }
        let c = &mut columns[at];
        if model == TableModel::Primary {
            if !c.sql_type.fits_primary_key() {
                return Err(SqlError::analysis(format!(
                    "primary key column[{}] type not supported: {}",
                    c.name,
                    c.sql_type.message()
                )));
            }
            c.nullable = false;
        } else if !fits_key(&c.sql_type) {
            return Err(SqlError::analysis(format!(
                "Invalid data type of key column '{}': '{}'",
                c.name,
                c.sql_type.message()
            )));
        }
        c.key = true;
    }
    for c in &mut columns {
        if !keys.iter().any(|k| k.eq_ignore_ascii_case(&c.name)) {
            c.key = false;
            if model == TableModel::Aggregate && c.aggregation.is_none() {
                return Err(SqlError::analysis(format!(
                    "{} must be specified aggregate type or be a key column",
                    c.name
                )));
            }
            if matches!(c.aggregation, Some(Aggregation::Sum)) && !c.sql_type.is_numeric() {
                return Err(SqlError::analysis(format!("Invalid aggregate function 'SUM' for '{}'", c.name)));
            }
        } else if c.aggregation.is_some() {
            return Err(SqlError::analysis(format!(
                "Cannot specify aggregate function '{}' for key column '{}'",
                c.aggregation.as_ref().map_or("", |a| a.ddl()),
                c.name
            )));
        }
    }
    for c in &columns {
        check_generated(session, &columns, c)?;
    }
    if let Some(by) = &mut partition_by {
        if by.kind == PartitionKind::Expression {
            let plain = |e: &str| columns.iter().any(|c| c.name.eq_ignore_ascii_case(e.trim_matches('`')));
            if by.expressions.iter().all(|e| plain(e)) {
                by.columns = by.expressions.iter().map(|e| e.trim_matches('`').to_string()).collect();
                by.expressions = by.columns.iter().map(|c| format!("`{c}`")).collect();
            }
        }
        let computed = by.kind == PartitionKind::Expression && by.expressions.iter().any(|e| e.contains('('));
        if computed && matches!(model, TableModel::Primary | TableModel::Unique) {
            let key = |c: &String| columns.iter().any(|d| d.key && d.name.eq_ignore_ascii_case(c));
            if !by.columns.iter().all(key) {
                return Err(SqlError::analysis("The partition expr should base on key column"));
            }
        }
        for c in &by.columns {
            if !columns.iter().any(|d| d.name.eq_ignore_ascii_case(c)) {
                return Err(SqlError::analysis(format!("Partition column[{c}] does not exist in column list")));
            }
        }
        if by.kind == PartitionKind::Expression {
            super::generated_partition::complete(session, &columns, by, t.query.is_some())?;
            if model == TableModel::Aggregate
                && let Some(hidden) = super::generated_partition::hidden(by).first()
            {
                return Err(SqlError::analysis(format!(
                    "AGG_KEYS table should specify aggregate type for non-key column[{}]",
                    hidden.name
                )));
            }
        }
        if model == TableModel::Primary || model == TableModel::Unique {
            for c in &by.columns {
                if !columns.iter().any(|d| d.name.eq_ignore_ascii_case(c) && d.key) {
                    return Err(SqlError::analysis(format!(
                        "The partition column could not be aggregated column: {c}"
                    )));
                }
            }
        }
    }
    let distribution = match (&t.distribution, model) {
        (Some(d), _) => d.clone(),
        (None, TableModel::Duplicate) => Distribution::Random,
        (None, _) => Distribution::Hash(columns.iter().filter(|c| c.key).map(|c| c.name.clone()).collect()),
    };
    match &distribution {
        Distribution::Random if model != TableModel::Duplicate && model != TableModel::Aggregate => {
            return Err(SqlError::analysis(format!(
                "{} KEY must use hash distribution",
                model.ddl().trim_end_matches(" KEY")
            )));
        }
        Distribution::Hash(names) => {
            for n in names {
                let Some(c) = columns.iter().find(|c| c.name.eq_ignore_ascii_case(n)) else {
                    return Err(SqlError::analysis(format!("Distribution column({n}) doesn't exist")));
                };
                if model.is_keyed() && !c.key {
                    return Err(SqlError::analysis(format!("Distribution column[{n}] is not key column")));
                }
                if matches!(c.sql_type, SqlType::Float | SqlType::Double) {
                    return Err(SqlError::analysis(format!(
                        "{} type can not be distribution column",
                        c.sql_type.message()
                    )));
                }
            }
        }
        Distribution::Random => {}
    }
    for n in &t.order_by {
        if !columns.iter().any(|c| c.name.eq_ignore_ascii_case(n)) {
            return Err(SqlError::analysis(format!("Unknown column '{n}' does not exist")));
        }
    }
    if let Some(wrong) = sort_key_mismatch(model, &columns, &t.order_by) {
        return Err(SqlError::analysis(wrong));
    }
    if let Some(n) = repeated(&t.order_by) {
        return Err(SqlError::plain(format!("Duplicate sort key column {n} is not allowed.")));
    }
    let mut properties: BTreeMap<String, String> = BTreeMap::new();
    properties.insert("compression".into(), "LZ4".into());
    properties.insert("fast_schema_evolution".into(), "true".into());
    properties.insert("replicated_storage".into(), "true".into());
    properties.insert("replication_num".into(), "3".into());
    if model == TableModel::Primary {
        properties.insert("enable_persistent_index".into(), "true".into());
    }
    if distribution == Distribution::Random {
        properties.insert("bucket_size".into(), "1073741824".into());
    }
    for (k, v) in &t.properties {
        properties.insert(k.clone(), v.clone());
    }
    for (i, c) in columns.iter_mut().enumerate() {
        c.id = i as u32 + 1;
    }
    let next_column_id = columns.len() as u32 + 1;
    let mut def = TableDef {
        id: store.next_id(),
        database,
        name,
        model,
        columns,
        next_column_id,
        distribution,
        buckets: t.buckets,
        order_by: t.order_by.clone(),
        partition_by,
        partitions: Vec::new(),
        properties,
        comment: t.comment.clone(),
        indexes: t.indexes.clone(),
        created_ms: store.now_ms(),
        view: None,
        session: None,
    };
    if def.partition_by.is_none() {
        def.partitions.push(PartitionDef {
            id: store.next_id(),
            name: def.name.clone(),
            range: PartitionRange::Whole,
            temporary: false,
            automatic: false,
        });
    }
    for (name, clause) in &t.partitions {
        add_partition(session, &mut def, name, clause, false, false)?;
    }
    Ok(def)
}

/// Aggregate and unique tables are sorted by their keys, in any order.
fn sort_key_mismatch(model: TableModel, columns: &[ColumnDef], order_by: &[String]) -> Option<String> {
    if order_by.is_empty() || !matches!(model, TableModel::Aggregate | TableModel::Unique) {
        return None;
    }
    let named = |c: &ColumnDef| order_by.iter().any(|n| n.eq_ignore_ascii_case(&c.name));
    let same = columns.iter().all(|c| c.key == named(c));
    (!same).then(|| format!("The sort columns of {} table must be same with key columns", model.ddl()))
}

fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(i, n)| names[..*i].iter().any(|m| m.eq_ignore_ascii_case(n))).map(|(_, n)| n)
}

/// The type of a range partition's bounds when the partition is by an expression.
fn bound_type(session: &Session, def: &TableDef, expression: &str) -> Option<SqlType> {
    if !expression.contains('(') {
        return None;
    }
    let e = super::parser::parse_expression(expression).ok()?;
    let empty: Vec<(String, SqlType, arrow::array::ArrayRef)> = def
        .columns
        .iter()
        .map(|x| (x.name.clone(), x.sql_type.clone(), arrow::array::new_empty_array(&x.sql_type.arrow())))
        .collect();
    let (_, t) = session.core.evaluate(&empty, 0, &[e]).ok()?.pop()?;
    // Unix times are compared as the moments they are.
    Some(if t.is_text() { SqlType::DateTime } else { t })
}

fn bound_order(t: &SqlType, a: &Option<String>, b: &Option<String>) -> std::cmp::Ordering {
    let v = |x: &Option<String>| x.as_ref().map(|x| Value::Text(x.clone()).cast(t).unwrap_or(Value::Null));
    match (v(a), v(b)) {
        (None, None) => std::cmp::Ordering::Equal,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (Some(_), None) => std::cmp::Ordering::Less,
        (Some(a), Some(b)) => a.compare(&b),
    }
}

fn add_partition(
    session: &Session,
    def: &mut TableDef,
    name: &str,
    clause: &PartitionClause,
    temporary: bool,
    if_not_exists: bool,
) -> SqlResult<()> {
    let store = &session.core.store;
    let Some(by) = def.partition_by.clone() else {
        return Err(SqlError::analysis("Can't add partitions to a table that is not partitioned"));
    };
    let mut types: Vec<SqlType> =
        by.columns.iter().map(|c| def.column(c).map_or(SqlType::STRING, |c| c.sql_type.clone())).collect();
    if by.kind == PartitionKind::Range {
        for (t, e) in types.iter_mut().zip(&by.expressions) {
            if let Some(computed) = bound_type(session, def, e) {
                *t = computed;
            }
        }
    }
    let first_type = types.first().cloned().unwrap_or(SqlType::STRING);
    let normal = |t: &SqlType, v: &str| {
        Value::text(v).cast(t).and_then(|v| v.as_text()).ok_or_else(|| {
            SqlError::analysis(format!("Invalid value '{v}' for partition column of type {}", t.message()))
        })
    };
    let mut made: Vec<(String, PartitionRange)> = Vec::new();
    match clause {
        PartitionClause::One(PartitionRange::Range { lower, upper }) => {
            let fix = |b: &Bound| {
                b.iter()
                    .zip(&types)
                    .map(|(v, t)| v.as_ref().map(|v| normal(t, v)).transpose())
                    .collect::<SqlResult<Bound>>()
            };
            let lower = lower.as_ref().map(fix).transpose()?;
            made.push((name.to_string(), PartitionRange::Range { lower, upper: fix(upper)? }));
        }
        PartitionClause::One(range) => made.push((name.to_string(), range.clone())),
        PartitionClause::LessThan(upper) => {
            let upper: Bound = upper
                .iter()
                .zip(&types)
                .map(|(v, t)| v.as_ref().map(|v| normal(t, v)).transpose())
                .collect::<SqlResult<_>>()?;
            let before = def
                .partitions
                .iter()
                .filter(|p| p.temporary == temporary)
                .filter_map(|p| match &p.range {
                    PartitionRange::Range { upper: u, .. }
                        if bound_order(&first_type, &u[0], &upper[0]) == std::cmp::Ordering::Less =>
                    {
                        Some(u.clone())
                    }
                    _ => None,
                })
                .max_by(|a, b| bound_order(&first_type, &a[0], &b[0]));
            let lower = before.unwrap_or_else(|| vec![Some(partition::smallest(&first_type))]);
            made.push((name.to_string(), PartitionRange::Range { lower: Some(lower), upper }));
        }
        PartitionClause::Batch { start, end, every, unit } => {
            if *every <= 0 {
                return Err(SqlError::analysis("The interval of EVERY must be positive"));
            }
            if unit.is_empty() {
                let (mut at, end) = match (start.parse::<i64>(), end.parse::<i64>()) {
                    (Ok(a), Ok(b)) => (a, b),
                    _ => return Err(SqlError::analysis("Unsupported batch partition build type")),
                };
                while at < end && made.len() < 4096 {
                    made.push((
                        format!("p{at}"),
                        PartitionRange::Range {
                            lower: Some(vec![Some(at.to_string())]),
                            upper: vec![Some((at + every).to_string())],
                        },
                    ));
                    at += every;
                }
            } else {
                let parse = |t: &str| {
                    Value::text(t)
                        .as_datetime()
                        .ok_or_else(|| SqlError::analysis(format!("Invalid partition bound '{t}'")))
                };
                let (mut at, end) = (parse(start)?, parse(end)?);
                while at < end {
                    if made.len() >= 4096 {
                        return Err(SqlError::analysis("The number of batch partitions should not exceed:4096"));
                    }
                    let next = match unit.trim_end_matches('S') {
                        "YEAR" => crate::time::add_months(at, 12 * every),
                        "QUARTER" => crate::time::add_months(at, 3 * every),
                        "MONTH" => crate::time::add_months(at, *every),
                        "WEEK" => Some(at + 7 * every * crate::time::DAY_US),
                        "HOUR" => Some(at + every * 3_600_000_000),
                        "MINUTE" => Some(at + every * 60_000_000),
                        _ => Some(at + every * crate::time::DAY_US),
                    }
                    .ok_or_else(|| SqlError::analysis("partition bounds are out of range"))?;
                    let digits: String = crate::time::datetime_text(at).chars().filter(char::is_ascii_digit).collect();
                    let keep = match unit.trim_end_matches('S') {
                        "YEAR" => 4,
                        "MONTH" | "QUARTER" => 6,
                        "HOUR" => 10,
                        "MINUTE" => 12,
                        _ => 8,
                    };
                    let text = |us: i64| {
                        if first_type == SqlType::DateTime {
                            crate::time::datetime_text(us)
                        } else {
                            crate::time::date_text(us.div_euclid(crate::time::DAY_US) as i32)
                        }
                    };
                    made.push((
                        format!("p{}", &digits[..keep]),
                        PartitionRange::Range { lower: Some(vec![Some(text(at))]), upper: vec![Some(text(next))] },
                    ));
                    at = next;
                }
            }
        }
    }
    for (name, range) in made {
        if let Some(old) = def.partitions.iter().find(|p| p.name.eq_ignore_ascii_case(&name)) {
            if if_not_exists || old.automatic {
                continue;
            }
            return Err(SqlError::new(1517, format!("Duplicate partition name {name}")));
        }
        if let PartitionRange::Range { lower: Some(l), upper: u } = &range {
            let clash = def.partitions.iter().filter(|p| p.temporary == temporary).any(|p| match &p.range {
                PartitionRange::Range { lower, upper } => {
                    use std::cmp::Ordering::Less;
                    let low = lower.clone().unwrap_or_else(|| vec![Some(partition::smallest(&first_type))]);
                    l.len() == 1
                        && low.len() == 1
                        && bound_order(&first_type, &l[0], &upper[0]) == Less
                        && bound_order(&first_type, &low[0], &u[0]) == Less
                }
                _ => false,
            });
            if clash {
                if if_not_exists {
                    continue;
                }
                return Err(SqlError::analysis(format!("Range {name} is intersected with another range partition")));
            }
        }
        def.partitions.push(PartitionDef { id: store.next_id(), name, range, temporary, automatic: false });
    }
    Ok(())
}

/// An administrator can switch temporary tables off.
fn check_temporary(session: &Session) -> SqlResult<()> {
    const SWITCH: &str = "enable_experimental_temporary_table";
    match session.core.frontend_config(SWITCH).as_deref() {
        Some("false") => Err(SqlError::syntax(format!("FE config '{SWITCH}' is disabled"))),
        _ => Ok(()),
    }
}

pub async fn create_table(session: &mut Session, mut t: CreateTable) -> SqlResult<Outcome> {
    if t.external {
        return Err(SqlError::unsupported("external tables"));
    }
    if t.temporary {
        check_temporary(session)?;
    }
    let (database, name) = session.split_name(&t.name)?;
    let store = session.core.store.clone();
    if store.database_id(&database).is_none() {
        return Err(SqlError::unknown_database(&database));
    }
    let exists = if t.temporary {
        store.temporary_tables(Some(session.id)).iter().any(|x| x.def().name == name && x.def().database == database)
    } else {
        store.table(&database, &name).is_some()
    };
    if exists {
        if t.if_not_exists {
            return Ok(Outcome::ok());
        }
        return Err(SqlError::new(
            1050,
            format!("Getting analyzing error. Detail message: Table '{name}' already exists."),
        ));
    }
    let mut rows: Option<QueryResult> = None;
    if let Some(query) = &t.query {
        let result = session.query(query, Vec::new()).await?;
        let names = t.columns.clone();
        if !names.is_empty() && names.len() != result.names.len() {
            return Err(SqlError::analysis("Number of CTAS column names and query columns differ"));
        }
        t.columns = result
            .names
            .iter()
            .zip(&result.types)
            .enumerate()
            .map(|(i, (n, ty))| {
                let ty = match ty {
                    SqlType::Null => SqlType::Boolean,
                    SqlType::Varchar(_) => SqlType::Varchar(if t.key.is_some() {
                        crate::types::VARCHAR_MAX
                    } else {
                        crate::types::STRING_LENGTH
                    }),
                    SqlType::Char(n) => SqlType::Char(*n),
                    // Keys cannot be floating numbers, and any column of a new table may become one.
                    SqlType::Float | SqlType::Double if t.key.is_some() => SqlType::Decimal(38, 9),
                    SqlType::Float => SqlType::Double,
                    other => other.clone(),
                };
                match names.get(i) {
                    Some(c) if c.sql_type != SqlType::Null => c.clone(),
                    given => {
                        ColumnDef::new(given.map_or_else(|| n.trim_matches('`').to_string(), |c| c.name.clone()), ty)
                    }
                }
            })
            .collect();
        rows = Some(result);
    }
    let mut def = definition(session, &t, database, name)?;
    if t.temporary {
        def.session = Some(session.id);
    }
    let table = store.create_table(def)?;
    let Some(rows) = rows else { return Ok(Outcome::ok()) };
    let def = table.def();
    let core = session.core.clone();
    let mut batches = Vec::new();
    for batch in rows.batches.iter().filter(|b| b.num_rows() > 0) {
        let mut given = Vec::new();
        for (i, (a, from)) in batch.columns().iter().zip(&rows.types).enumerate() {
            given.push((i, crate::value::cast_array(a, from, &def.columns[i].sql_type, false)?));
        }
        batches.push(core.complete_rows(&table, given, batch.num_rows(), None, false)?);
    }
    let txn = dml::begin(session, &def.database, None)?;
    session.transaction = None;
    let affected = rows.rows() as u64;
    dml::blocking(move || {
        for batch in &batches {
            core.make_partitions(&table, batch)?;
            core.stage(txn, table.id, batch, None, None, false)?;
        }
        core.store.commit(txn)?;
        Ok(())
    })
    .await?;
    Ok(Outcome::Done { affected, info: String::new() })
}

pub fn create_like(
    session: &mut Session,
    name: &[String],
    like: &[String],
    if_not_exists: bool,
    temporary: bool,
    properties: Vec<(String, String)>,
) -> SqlResult<Outcome> {
    if temporary {
        check_temporary(session)?;
    }
    let source = session.table(like)?;
    let mut def = (*source.def()).clone();
    let (database, table) = session.split_name(name)?;
    let store = session.core.store.clone();
    if store.table(&database, &table).is_some() && !temporary {
        if if_not_exists {
            return Ok(Outcome::ok());
        }
        return Err(SqlError::new(1050, format!("Table '{table}' already exists")));
    }
    let old_name = std::mem::replace(&mut def.name, table);
    def.id = store.next_id();
    def.database = database;
    def.created_ms = store.now_ms();
    def.session = temporary.then_some(session.id);
    def.partitions.retain(|p| !p.temporary && !p.automatic);
    for p in &mut def.partitions {
        p.id = store.next_id();
        if p.name == old_name && p.range == PartitionRange::Whole {
            p.name.clone_from(&def.name);
        }
    }
    def.properties.extend(properties);
    store.create_table(def)?;
    Ok(Outcome::ok())
}

fn view_definition(
    session: &Session,
    database: &str,
    name: &str,
    columns: &[(String, String)],
    query: &str,
    comment: &str,
) -> SqlResult<TableDef> {
    let parsed = super::parser::parse_query(query)?;
    let facts = session.facts();
    let virtual_table = |db: &str, t: &str| super::information_schema::table(session, db, t);
    let scope = session.scope(&facts, &virtual_table);
    let (plan, names) = session.core.planner.plan(&scope, &parsed, Vec::new())?;
    let types: Vec<SqlType> = plan.schema().fields().iter().map(|f| SqlType::of_field(f)).collect();
    if !columns.is_empty() && columns.len() != types.len() {
        return Err(SqlError::analysis("The number of columns in the view does not match its query"));
    }
    let store = &session.core.store;
    let columns: Vec<ColumnDef> = types
        .into_iter()
        .enumerate()
        .map(|(i, t)| {
            let name = columns.get(i).map_or_else(|| names[i].clone(), |c| c.0.clone());
            let mut column = ColumnDef::new(name, if t == SqlType::Null { SqlType::Boolean } else { t });
            column.id = i as u32 + 1;
            column.comment = columns.get(i).map_or_else(String::new, |c| c.1.clone());
            column
        })
        .collect();
    Ok(TableDef {
        id: store.next_id(),
        database: database.to_string(),
        name: name.to_string(),
        model: TableModel::Duplicate,
        next_column_id: columns.len() as u32 + 1,
        columns,
        distribution: Distribution::Random,
        buckets: None,
        order_by: Vec::new(),
        partition_by: None,
        partitions: Vec::new(),
        properties: BTreeMap::new(),
        comment: comment.to_string(),
        indexes: Vec::new(),
        created_ms: store.now_ms(),
        view: Some(query.to_string()),
        session: None,
    })
}

pub fn create_view(
    session: &mut Session,
    name: &[String],
    columns: Vec<(String, String)>,
    query: &str,
    or_replace: bool,
    if_not_exists: bool,
    comment: String,
) -> SqlResult<Outcome> {
    let (database, view) = session.split_name(name)?;
    let store = session.core.store.clone();
    if store.database_id(&database).is_none() {
        return Err(SqlError::unknown_database(&database));
    }
    let old = store.table(&database, &view);
    match &old {
        Some(t) if or_replace && t.def().is_view() => {}
        Some(_) if if_not_exists => return Ok(Outcome::ok()),
        Some(_) => return Err(SqlError::new(1050, format!("Table '{view}' already exists"))),
        None => {}
    }
    let def = view_definition(session, &database, &view, &columns, query, &comment)?;
    if let Some(old) = old {
        store.drop_table(old.id)?;
    }
    store.create_table(def)?;
    Ok(Outcome::ok())
}

pub fn alter_view(
    session: &mut Session,
    name: &[String],
    columns: Vec<(String, String)>,
    query: &str,
) -> SqlResult<Outcome> {
    let old = session.table(name)?;
    let def = old.def();
    if !def.is_view() {
        return Err(SqlError::analysis(format!("'{}' is not VIEW", def.name)));
    }
    let new = view_definition(session, &def.database, &def.name, &columns, query, &def.comment)?;
    session.core.store.alter_table(
        old.id,
        |d| {
            d.columns = new.columns;
            d.view = new.view;
            Ok(())
        },
        None,
    )?;
    Ok(Outcome::ok())
}

/// Type changes MODIFY COLUMN allows (protocol reference 5.1).
fn may_become(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::*;
    if from == to {
        return true;
    }
    match (from, to) {
        (a, b) if a.is_integer() && b.is_integer() => super::functions::common_two(a, b) == *b,
        (a, Double) if a.is_integer() => true,
        (a, Varchar(_)) if a.is_numeric() => true,
        (Int, Date) | (Float, Double) | (Date, DateTime) | (DateTime, Date) => true,
        (Char(a), Char(b) | Varchar(b)) | (Varchar(a), Varchar(b)) => b >= a,
        (Varchar(_), TinyInt | SmallInt | Int | BigInt | LargeInt | Float | Double | Date | DateTime | Json)
        | (Json, Varchar(_)) => true,
        (Decimal(p, s), Decimal(q, t)) => t >= s && (q - t) >= (p - s),
        _ => false,
    }
}

/// A store error that carries a sentence for the client.
fn own(e: SqlError) -> starweir_model::Error {
    starweir_model::Error::refused(e.message)
}

/// All clauses or none: after a failure the definition is what it was.
pub async fn alter_table(session: &mut Session, name: &[String], clauses: Vec<AlterClause>) -> SqlResult<Outcome> {
    let table = session.table(name)?;
    let before = table.def();
    super::alter_check::definitions(&before, &clauses)?;
    let several = clauses.len() > 1;
    let result = alter_clauses(session, name, clauses).await;
    if several && result.is_err() && !std::sync::Arc::ptr_eq(&before, &table.def()) {
        session.core.store.alter_table(
            table.id,
            |def| {
                let next = def.next_column_id;
                *def = (*before).clone();
                // An id that was given is not given again.
                def.next_column_id = next;
                Ok(())
            },
            None,
        )?;
    }
    result
}

async fn alter_clauses(session: &mut Session, name: &[String], clauses: Vec<AlterClause>) -> SqlResult<Outcome> {
    let table = session.table(name)?;
    let store = session.core.store.clone();
    let id = table.id;
    let mut added = Added::default();
    for clause in clauses {
        let def = table.def();
        let missing = |c: &str| SqlError::plain(format!("Column[{c}] does not exists"));
        let unfound = |c: &str| SqlError::plain(format!("Column[{c}] does not found"));
        match clause {
            AlterClause::AddColumns(columns) => {
                let mut ready: Vec<(ColumnDef, ColumnPosition)> = Vec::new();
                let computed = columns.iter().filter(|a| a.column.generated.is_some()).count();
                if computed > 0 && computed < columns.len() {
                    return Err(SqlError::analysis("Can not add normal column and Generated Column in the same time"));
                }
                for AddedColumn { column: mut c, position: place, .. } in columns {
                    check_default(&c)?;
                    check_generated(session, &def.columns, &c)?;
                    if let ColumnPosition::After(n) = &place
                        && c.generated.is_none()
                        && def.column(n).is_some_and(|d| d.generated.is_some())
                    {
                        return Err(SqlError::plain("Can not add column after Generated Column"));
                    }
                    if c.aggregation.is_some() && def.model != TableModel::Aggregate {
                        return Err(alter_check::assigned(def.model, &c.name));
                    }
                    if added.has(&def, &c)? {
                        continue;
                    }
                    if c.generated.is_none()
                        && !c.nullable
                        && c.default == ColumnDefault::None
                        && !c.auto_increment
                        && !matches!(c.sql_type, SqlType::Bitmap | SqlType::Hll)
                    {
                        return Err(SqlError::analysis(format!(
                            "Column[{}] must have default value if it is not nullable",
                            c.name
                        )));
                    }
                    if def.model == TableModel::Aggregate && c.aggregation.is_none() {
                        c.key = true;
                    }
                    // Rows that are there show the default of this moment.
                    let value = match &c.default {
                        ColumnDefault::None | ColumnDefault::Null => Value::Null,
                        _ => session.core.default_value(&c)?,
                    };
                    c.added_value = value.as_text();
                    ready.push((c, place));
                }
                let has_generated = ready.iter().any(|(c, _)| c.generated.is_some());
                store.alter_table(
                    id,
                    |def| {
                        for (mut c, place) in ready {
                            c.id = def.next_column_id;
                            def.next_column_id += 1;
                            let at = match &place {
                                ColumnPosition::First if def.model == TableModel::Primary => {
                                    return Err(own(SqlError::analysis(
                                        "Can not add column at first of a primary key table",
                                    )));
                                }
                                ColumnPosition::First => 0,
                                ColumnPosition::After(n) => def.column_index(n).ok_or_else(|| own(unfound(n)))? + 1,
                                ColumnPosition::Last if c.key => def.key_count(),
                                // Generated columns stay the last ones.
                                ColumnPosition::Last if c.generated.is_none() => {
                                    def.columns.iter().position(|d| d.generated.is_some()).unwrap_or(def.columns.len())
                                }
                                ColumnPosition::Last => def.columns.len(),
                            };
                            if c.key && at > def.key_count() || (!c.key && at < def.key_count()) {
                                if c.key || def.model != TableModel::Duplicate {
                                    return Err(own(SqlError::analysis(format!(
                                        "Invalid column position for '{}'",
                                        c.name
                                    ))));
                                }
                                c.key = true;
                            }
                            def.columns.insert(at, c);
                        }
                        Ok(())
                    },
                    Some("COLUMN"),
                )?;
                if has_generated {
                    rewrite_rows(session, &table).await?;
                }
            }
            AlterClause::DropColumn(c) => {
                let gone = || SqlError::plain(format!("Column does not exists: {c}"));
                let column = def.column(&c).ok_or_else(gone)?;
                alter_check::removal(&def, column)?;
                added.forget(&c);
                if def.columns.len() == 1 {
                    return Err(SqlError::analysis("At least one column is needed"));
                }
                if column.key && def.key_count() == 1 {
                    return Err(SqlError::plain(format!("No key column left. index[{}]", def.name)));
                }
                if let Some(by) = &def.partition_by
                    && by.columns.iter().any(|p| p.eq_ignore_ascii_case(&c))
                {
                    return Err(SqlError::plain(format!(
                        "Partition column[{c}] cannot be dropped. index[{}]",
                        def.name
                    )));
                }
                if let Distribution::Hash(d) = &def.distribution
                    && d.iter().any(|p| p.eq_ignore_ascii_case(&c))
                {
                    return Err(SqlError::plain(format!(
                        "Distribution column[{c}] cannot be dropped. index[{}]",
                        def.name
                    )));
                }
                if let Some(g) = def.columns.iter().find(|x| x.generated.as_ref().is_some_and(|g| mentions(g, &c))) {
                    return Err(SqlError::analysis(format!(
                        "Column: {c} can not be dropped, because expression of Generated Column: {} will refer to it",
                        g.name
                    )));
                }
                store.alter_table(
                    id,
                    |def| {
                        def.columns.retain(|x| !x.name.eq_ignore_ascii_case(&c));
                        def.order_by.retain(|x| !x.eq_ignore_ascii_case(&c));
                        Ok(())
                    },
                    Some("COLUMN"),
                )?;
            }
            AlterClause::ModifyColumn(mut c, place) => {
                let old = def.column(&c.name).ok_or_else(|| missing(&c.name))?.clone();
                check_default(&c)?;
                check_generated(session, &def.columns, &c)?;
                alter_check::modification(&def, &old, &c)?;
                if def.model == TableModel::Primary && old.sql_type != c.sql_type {
                    if old.key {
                        return Err(SqlError::plain(format!(
                            "Can not modify key column: {} for primary key table",
                            c.name
                        )));
                    }
                    if def.order_by.iter().any(|n| n.eq_ignore_ascii_case(&c.name)) {
                        return Err(SqlError::plain("Can not modify sort column in primary data model table"));
                    }
                }
                if let ColumnPosition::After(n) = &place
                    && old.generated.is_none()
                    && def.column(n).is_some_and(|d| d.generated.is_some())
                {
                    return Err(SqlError::analysis("Can not modify column after Generated Column"));
                }
                if let Distribution::Hash(names) = &def.distribution
                    && old.sql_type != c.sql_type
                    && names.iter().any(|n| n.eq_ignore_ascii_case(&c.name))
                {
                    return Err(SqlError::plain(format!(
                        "Can not modify distribution column[{}]. index[{}]",
                        c.name, def.name
                    )));
                }
                let used = |d: &ColumnDef| d.generated.as_ref().is_some_and(|g| mentions(g, &c.name));
                if old.generated.is_none() && old.sql_type != c.sql_type && def.columns.iter().any(used) {
                    return Err(SqlError::plain(format!(
                        "Do not support modify column: {}, because it associates with the generated column",
                        c.name
                    )));
                }
                if old.generated.is_none() && !may_become(&old.sql_type, &c.sql_type) {
                    return Err(SqlError::analysis(format!(
                        "Can not change {} to {}",
                        old.sql_type.message(),
                        c.sql_type.message()
                    )));
                }
                if old.nullable && !c.nullable && !(old.key && def.model == TableModel::Primary) {
                    return Err(SqlError::analysis(format!(
                        "Can not change from nullable to non-nullable: {}",
                        c.name
                    )));
                }
                c.id = old.id;
                c.name.clone_from(&old.name);
                c.key = old.key;
                if c.aggregation.is_none() || def.model == TableModel::Primary {
                    c.aggregation.clone_from(&old.aggregation);
                }
                c.added_value.clone_from(&old.added_value);
                c.first_name.clone_from(&old.first_name);
                if old.key && def.model == TableModel::Primary {
                    c.nullable = false;
                }
                c.auto_increment = c.auto_increment || old.auto_increment;
                let has_generated = c.generated.is_some();
                store.alter_table(
                    id,
                    |def| {
                        let at = def.column_index(&c.name).unwrap_or(0);
                        def.columns.remove(at);
                        let at = match &place {
                            ColumnPosition::Last => at,
                            ColumnPosition::First => 0,
                            ColumnPosition::After(n) => def.column_index(n).ok_or_else(|| own(unfound(n)))? + 1,
                        };
                        def.columns.insert(at, c);
                        Ok(())
                    },
                    Some("COLUMN"),
                )?;
                if has_generated
                    || def.columns.iter().any(|x| x.generated.is_some() && x.name.eq_ignore_ascii_case(&old.name))
                {
                    rewrite_rows(session, &table).await?;
                }
            }
            AlterClause::ModifyColumnComment(c, comment) => {
                def.column(&c).ok_or_else(|| missing(&c))?;
                store.alter_table(
                    id,
                    |def| {
                        if let Some(i) = def.column_index(&c) {
                            def.columns[i].comment = comment;
                        }
                        Ok(())
                    },
                    None,
                )?;
            }
            AlterClause::RenameColumn(old, new) => {
                def.column(&old).ok_or_else(|| missing(&old))?;
                if def.column(&new).is_some() && !old.eq_ignore_ascii_case(&new) {
                    return Err(SqlError::new(1060, format!("Duplicate column name '{new}'")));
                }
                if let Some(g) = def.columns.iter().find(|x| x.generated.as_ref().is_some_and(|g| mentions(g, &old))) {
                    return Err(SqlError::analysis(format!(
                        "Column: {old} is referenced by generated column: {}",
                        g.name
                    )));
                }
                store.alter_table(
                    id,
                    |def| {
                        let rename = |n: &mut String| {
                            if n.eq_ignore_ascii_case(&old) {
                                n.clone_from(&new)
                            }
                        };
                        if let Some(i) = def.column_index(&old) {
                            let column = &mut def.columns[i];
                            let first = std::mem::replace(&mut column.name, new.clone());
                            column.first_name.get_or_insert(first);
                        }
                        if let Some(bloom) = def.properties.get_mut("bloom_filter_columns") {
                            let names: Vec<&str> = bloom
                                .split(',')
                                .map(|n| if n.trim().eq_ignore_ascii_case(&old) { new.as_str() } else { n.trim() })
                                .collect();
                            *bloom = names.join(", ");
                        }
                        def.order_by.iter_mut().for_each(rename);
                        if let Distribution::Hash(d) = &mut def.distribution {
                            d.iter_mut().for_each(rename);
                        }
                        if let Some(by) = &mut def.partition_by {
                            for (e, c) in by.expressions.iter_mut().zip(&by.columns) {
                                if c.eq_ignore_ascii_case(&old) {
                                    *e = if e.trim_matches('`').eq_ignore_ascii_case(&old) {
                                        format!("`{new}`")
                                    } else {
                                        e.replace(&format!("`{old}`"), &old).replace(&old, &format!("`{new}`"))
                                    };
                                }
                            }
                            by.columns.iter_mut().for_each(rename);
                        }
                        Ok(())
                    },
                    None,
                )?;
            }
            AlterClause::Rename(new) => {
                if store.table(&def.database, &new).is_some() {
                    return Err(SqlError::analysis(format!("Table name[{new}] is already used")));
                }
                store.alter_table(
                    id,
                    |def| {
                        for p in &mut def.partitions {
                            if p.name == def.name && p.range == PartitionRange::Whole {
                                p.name.clone_from(&new);
                            }
                        }
                        def.name = new;
                        Ok(())
                    },
                    None,
                )?;
            }
            AlterClause::Swap(other) => {
                let other = session.table(&[def.database.clone(), other])?;
                store.swap_tables(id, other.id)?;
            }
            AlterClause::SetProperties(p) => store.alter_table(
                id,
                |def| {
                    for (k, v) in p {
                        let k = k.strip_prefix("default.").map_or(k.clone(), str::to_string);
                        def.properties.insert(k, v);
                    }
                    Ok(())
                },
                None,
            )?,
            AlterClause::Comment(text) => store.alter_table(
                id,
                |def| {
                    def.comment = text;
                    Ok(())
                },
                None,
            )?,
            AlterClause::OrderBy(columns) => {
                for c in &columns {
                    let column = def.column(c).ok_or_else(|| missing(c))?;
                    if def.model == TableModel::Primary && !fits_key(&column.sql_type) {
                        return Err(SqlError::plain(format!(
                            "Sort key column[{c}] type not supported: {} in PrimaryKey table",
                            column.sql_type.message()
                        )));
                    }
                }
                if let Some(n) = repeated(&columns) {
                    return Err(SqlError::plain(format!("Duplicated column[{n}]")));
                }
                // All columns, on a table whose keys lead in any order: the columns themselves are moved.
                let leads = |c: &ColumnDef| {
                    let at = columns.iter().position(|n| n.eq_ignore_ascii_case(&c.name)).unwrap_or(usize::MAX);
                    c.key == (at < def.key_count())
                };
                if def.model != TableModel::Primary
                    && columns.len() == def.columns.len()
                    && def.columns.iter().all(leads)
                {
                    store.alter_table(
                        id,
                        |def| {
                            def.columns.sort_by_key(|c| columns.iter().position(|n| n.eq_ignore_ascii_case(&c.name)));
                            Ok(())
                        },
                        Some("COLUMN"),
                    )?;
                    continue;
                }
                if let Some(wrong) = sort_key_mismatch(def.model, &def.columns, &columns) {
                    return Err(SqlError::plain(wrong));
                }
                store.alter_table(
                    id,
                    |def| {
                        def.order_by = columns;
                        Ok(())
                    },
                    Some("COLUMN"),
                )?;
            }
            AlterClause::AddPartitions { partitions, temporary, if_not_exists } => {
                let mut new = (*def).clone();
                let automatic = partition::is_automatic(&def);
                for (name, clause) in &partitions {
                    if automatic && matches!(clause, PartitionClause::One(PartitionRange::List(rows)) if rows.len() > 1)
                    {
                        return Err(SqlError::analysis(
                            "Automatically partitioned tables does not support multiple values in the same partition",
                        ));
                    }
                    add_partition(session, &mut new, name, clause, temporary, if_not_exists)?;
                }
                store.alter_table(
                    id,
                    |def| {
                        def.partitions = new.partitions;
                        Ok(())
                    },
                    None,
                )?;
            }
            AlterClause::DropPartition { name, if_exists, temporary, force } => {
                drop_partitions(&session.core, &table, vec![name], if_exists, temporary, force).await?;
            }
            AlterClause::DropPartitionsWhere { condition, temporary } => {
                let names = partition_condition::matching(&session.core, &def, &condition, temporary)?;
                drop_partitions(&session.core, &table, names, false, temporary, false).await?;
            }
            AlterClause::DropPartitions { names, batch, if_exists, temporary } => {
                let mut names = names;
                if let Some(clause) = batch {
                    let mut probe = (*def).clone();
                    probe.partitions.clear();
                    add_partition(session, &mut probe, "", &clause, temporary, false)?;
                    names = probe
                        .partitions
                        .into_iter()
                        .map(|p| p.name)
                        .filter(|n| def.partitions.iter().any(|p| p.name.eq_ignore_ascii_case(n)))
                        .collect();
                }
                drop_partitions(&session.core, &table, names, if_exists, temporary, false).await?;
            }
            AlterClause::RenamePartition(old, new) => {
                if partition::is_automatic(&def) {
                    return Err(SqlError::plain(format!(
                        "Table[{}] is automatic partitioned. not support to rename partition name.",
                        def.name
                    )));
                }
                if !def.partitions.iter().any(|p| p.name.eq_ignore_ascii_case(&old)) {
                    return Err(SqlError::analysis(format!("Partition[{old}] does not exists")));
                }
                store.alter_table(
                    id,
                    |def| {
                        for p in &mut def.partitions {
                            if p.name.eq_ignore_ascii_case(&old) {
                                p.name.clone_from(&new);
                            }
                        }
                        Ok(())
                    },
                    None,
                )?;
            }
            AlterClause::TruncatePartition(names) => {
                let condition = partition::selection(&def, &names)?;
                dml::delete_where(session.core.clone(), table.clone(), condition).await?;
            }
            AlterClause::Distribution(d, buckets) => store.alter_table(
                id,
                |def| {
                    if let Some(d) = d {
                        def.distribution = d;
                    }
                    def.buckets = buckets;
                    Ok(())
                },
                Some("OPTIMIZE"),
            )?,
            AlterClause::AddField { column, path, sql_type } => {
                if def.properties.get("fast_schema_evolution").is_some_and(|v| v == "false") {
                    return Err(SqlError::plain(
                        "Add field for struct column require table enable fast schema evolution",
                    ));
                }
                let at = def.column_index(&column).ok_or_else(|| missing(&column))?;
                let mut changed = def.columns[at].sql_type.clone();
                change_field(&mut changed, &path, Some(sql_type))?;
                struct_change(session, &table, at, changed).await?;
            }
            AlterClause::DropField { column, path } => {
                if def.properties.get("fast_schema_evolution").is_some_and(|v| v == "false") {
                    return Err(SqlError::plain(
                        "Drop field for struct column require table enable fast schema evolution",
                    ));
                }
                let at = def.column_index(&column).ok_or_else(|| missing(&column))?;
                let mut changed = def.columns[at].sql_type.clone();
                change_field(&mut changed, &path, None)?;
                struct_change(session, &table, at, changed).await?;
            }
            AlterClause::ReplacePartition { old, temporary, properties } => {
                replace_partitions(&session.core, &table, &old, &temporary, &properties).await?;
            }
            AlterClause::Rollup => store.alter_table(id, |_| Ok(()), Some("ROLLUP"))?,
            AlterClause::Ignored => {}
            AlterClause::Unsupported(what) => return Err(SqlError::unsupported(what)),
        }
    }
    Ok(Outcome::ok())
}

pub fn mentions(expression: &str, column: &str) -> bool {
    let Ok(all) = super::lexer::statements(expression) else { return false };
    all.iter()
        .flat_map(|(_, t)| t)
        .any(|t| matches!(&t.token, sqlparser::tokenizer::Token::Word(w) if w.value.eq_ignore_ascii_case(column)))
}

fn change_field(t: &mut SqlType, path: &[String], add: Option<SqlType>) -> SqlResult<()> {
    let wrong = || SqlError::analysis(format!("Field {} does not fit the column's type", path.join(".")));
    match (t, path) {
        (SqlType::Struct(fields), [last]) => {
            let at = fields.iter().position(|f| f.0.eq_ignore_ascii_case(last));
            match (add, at) {
                (Some(_), Some(_)) => return Err(SqlError::analysis(format!("Field {last} is already exist"))),
                (Some(ty), None) => fields.push((last.clone(), ty)),
                (None, Some(at)) => {
                    if fields.len() == 1 {
                        return Err(SqlError::analysis(format!(
                            "Field {last} is the last field, can not drop any more"
                        )));
                    }
                    fields.remove(at);
                }
                (None, None) => return Err(SqlError::analysis(format!("Drop field {last} is not found"))),
            }
            Ok(())
        }
        (SqlType::Struct(fields), [first, rest @ ..]) => {
            let f = fields.iter_mut().find(|f| f.0.eq_ignore_ascii_case(first)).ok_or_else(wrong)?;
            change_field(&mut f.1, rest, add)
        }
        (SqlType::Array(e), [first, rest @ ..]) if first == "[*]" => change_field(e, rest, add),
        _ => Err(wrong()),
    }
}

/// A changed STRUCT rewrites its column: fields are found by name.
async fn struct_change(
    session: &Session,
    table: &std::sync::Arc<crate::store::Table>,
    at: usize,
    changed: SqlType,
) -> SqlResult<()> {
    let store = session.core.store.clone();
    let (old_def, version) = (table.def(), table.version());
    let old_type = old_def.columns[at].sql_type.clone();
    let schema = super::provider::planning_schema(&old_def);
    let all: Vec<usize> = (0..old_def.columns.len()).collect();
    let mut batches = Vec::new();
    for view in &version.segments {
        batches.push(crate::store::table::read_rows(view, &old_def, &schema, &all, 0, view.segment.rows())?);
    }
    store.alter_table(
        table.id,
        |def| {
            def.columns[at].sql_type = changed.clone();
            // The rows are written again under a new column id.
            def.columns[at].id = def.next_column_id;
            def.next_column_id += 1;
            Ok(())
        },
        Some("COLUMN"),
    )?;
    let mut parts = Vec::new();
    for batch in batches {
        let mut given: Vec<(usize, arrow::array::ArrayRef)> = Vec::new();
        for (i, a) in batch.columns().iter().enumerate() {
            if i == at {
                let values: Vec<Value> =
                    (0..a.len()).map(|r| reshape(&Value::get(a, &old_type, r), &changed)).collect();
                given.push((i, Value::array(&values, &changed)));
            } else {
                given.push((i, a.clone()));
            }
        }
        parts.push(session.core.complete_rows(table, given, batch.num_rows(), None, false)?);
    }
    replace_rows(session, table, parts).await
}

fn reshape(v: &Value, t: &SqlType) -> Value {
    match (v, t) {
        (Value::Struct(items), SqlType::Struct(fields)) => Value::Struct(
            fields
                .iter()
                .map(|(n, t)| {
                    (
                        n.clone(),
                        items.iter().find(|i| i.0.eq_ignore_ascii_case(n)).map_or(Value::Null, |i| reshape(&i.1, t)),
                    )
                })
                .collect(),
        ),
        (Value::List(items), SqlType::Array(e)) => Value::List(items.iter().map(|x| reshape(x, e)).collect()),
        (v, _) => v.clone(),
    }
}

async fn replace_rows(
    session: &Session,
    table: &std::sync::Arc<crate::store::Table>,
    batches: Vec<arrow::array::RecordBatch>,
) -> SqlResult<()> {
    let store = session.core.store.clone();
    let def = table.def();
    let database_id = store.database_id(&def.database).ok_or_else(|| SqlError::unknown_database(&def.database))?;
    let txn = store
        .begin(store.new_txn(database_id, &def.database, &format!("alter_{}", uuid::Uuid::new_v4()), "SCHEMA CHANGE"))
        .map_err(|_| SqlError::plain("the label of a schema change is in use"))?;
    let (core, table) = (session.core.clone(), table.clone());
    dml::blocking(move || {
        for batch in &batches {
            core.stage(txn, table.id, batch, None, None, false)?;
        }
        let pick = |version: &crate::store::TableVersion| Ok(dml::all_rows(version));
        core.store.commit_replacing(txn, Some((table.id, &pick)))?;
        Ok(())
    })
    .await
}

/// Computes generated columns of the rows that are there.
async fn rewrite_rows(session: &Session, table: &std::sync::Arc<crate::store::Table>) -> SqlResult<()> {
    let (def, version) = (table.def(), table.version());
    let schema = super::provider::planning_schema(&def);
    let all: Vec<usize> = (0..def.columns.len()).collect();
    let mut batches = Vec::new();
    for view in &version.segments {
        let batch = crate::store::table::read_rows(view, &def, &schema, &all, 0, view.segment.rows())?;
        let given =
            batch.columns().iter().cloned().enumerate().filter(|(i, _)| def.columns[*i].generated.is_none()).collect();
        batches.push(session.core.complete_rows(table, given, batch.num_rows(), None, false)?);
    }
    replace_rows(session, table, batches).await
}

pub async fn truncate(session: &mut Session, name: &[String], partitions: Vec<String>) -> SqlResult<Outcome> {
    let table = session.table(name)?;
    if table.def().is_view() {
        return Err(SqlError::analysis(format!("'{}' is a view", table.def().name)));
    }
    if partitions.is_empty() {
        let core = session.core.clone();
        dml::blocking(move || {
            core.store.truncate(&table)?;
            if partition::is_automatic(&table.def()) {
                core.store.alter_table(
                    table.id,
                    |def| {
                        def.partitions.retain(|p| !p.automatic);
                        Ok(())
                    },
                    None,
                )?;
            }
            Ok(())
        })
        .await?;
    } else {
        let condition = partition::selection(&table.def(), &partitions)?;
        dml::delete_where(session.core.clone(), table, condition).await?;
    }
    Ok(Outcome::ok())
}
