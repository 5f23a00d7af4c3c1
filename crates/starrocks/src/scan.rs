//! Reading rows: bounded scans in splits of tablets, and look-ups by key, over the MySQL protocol into Arrow.
//!
//! Every query sees its own version of the table: splits read at different times are not one snapshot.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, SchemaRef, TimeUnit};
use mysql_async::prelude::Query;
use mysql_async::{QueryResult, TextProtocol, Value};
use starweir_model::{Error, LogicalType, Result, Schema, TableName};
use tokio::time::timeout;

use crate::ddl::{quoted, quoted_table, text};
use crate::encode::cell::{Cell, Values, canonical};
use crate::metadata::Metadata;

/// The server may be silent for this long between rows.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// A batch ends at about this many bytes of text, however few rows it has.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What to read of a table.
#[derive(Debug, Clone, Default)]
pub struct Select<'a> {
    /// Names of columns; empty: none, only their number of rows.
    pub columns: &'a [String],
    /// A condition in StarRocks' SQL.
    pub filter: Option<&'a str>,
    /// Only these tablets; empty: all.
    pub tablets: &'a [u64],
    pub limit: Option<u64>,
}

impl Select<'_> {
    /// The SELECT statement.
    pub fn sql(&self, table: &TableName) -> String {
        let columns = match self.columns {
            [] => "1".to_owned(),
            names => names.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", "),
        };
        let mut sql = format!("SELECT {columns} FROM {}", quoted_table(table));
        if !self.tablets.is_empty() {
            let ids: Vec<_> = self.tablets.iter().map(u64::to_string).collect();
            sql.push_str(&format!(" TABLET({})", ids.join(", ")));
        }
        if let Some(filter) = self.filter {
            sql.push_str(&format!(" WHERE {filter}"));
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        sql
    }
}

/// The condition that a row has one of the keys in `keys` (one column per name). Keys with a NULL are left out, as
/// they equal nothing; None when none is left. Errors: a key type that has no literal.
pub fn key_condition(names: &[String], keys: &RecordBatch) -> Result<Option<String>> {
    let arrays: Vec<ArrayRef> = keys.columns().iter().map(canonical).collect::<Result<_>>()?;
    let cells: Vec<Cell<'_>> =
        names.iter().zip(&arrays).map(|(name, array)| Cell::new(name, array)).collect::<Result<_>>()?;
    let mut parts = Vec::new();
    for row in (0..keys.num_rows()).filter(|row| !cells.is_empty() && !cells.iter().any(|c| c.is_null(*row))) {
        let literals = cells.iter().map(|cell| literal(cell, row)).collect::<Result<Vec<_>>>()?;
        parts.push(match literals.as_slice() {
            [one] => one.clone(),
            several => {
                let equal: Vec<_> = names.iter().zip(several).map(|(n, l)| format!("{} = {l}", quoted(n))).collect();
                format!("({})", equal.join(" AND "))
            }
        });
    }
    Ok(match (parts.is_empty(), names) {
        (true, _) => None,
        (false, [name]) => Some(format!("{} IN ({})", quoted(name), parts.join(", "))),
        (false, _) => Some(parts.join(" OR ")),
    })
}

fn literal(cell: &Cell<'_>, row: usize) -> Result<String> {
    match &cell.values {
        Values::Text(texts) => return Ok(text(texts.value(row))),
        Values::Binary(_) | Values::List(..) | Values::Map(..) | Values::Row(_) => {
            return Err(Error::user(format!("column '{}' is of a type that cannot be looked up by", cell.name)));
        }
        _ => {}
    }
    let mut out = Vec::new();
    cell.plain(row, None, &mut out)?;
    let plain = String::from_utf8_lossy(&out).into_owned();
    Ok(match cell.values {
        Values::Date(_) | Values::Time(_) | Values::Timestamp { .. } => text(&plain),
        _ => plain,
    })
}

/// Rows on their way. Dropping it ends the query by closing its connection.
pub struct RowStream {
    result: QueryResult<'static, 'static, TextProtocol>,
    schema: SchemaRef,
    names: Vec<String>,
    batch_rows: usize,
    ended: bool,
}

impl Metadata {
    /// Runs a query whose columns are those of `schema`, in order, on a connection of its own. Errors: a type that
    /// cannot be read this way (TIME, INTERVAL and nested types; select them as text).
    pub async fn read(&self, sql: &str, schema: &Schema, batch_rows: usize) -> Result<RowStream> {
        for column in &schema.columns {
            let readable = !matches!(
                column.data_type.logical,
                LogicalType::Time(_)
                    | LogicalType::IntervalYearMonth
                    | LogicalType::IntervalDayTime
                    | LogicalType::Array(_)
                    | LogicalType::Map(..)
                    | LogicalType::Multiset(_)
                    | LogicalType::Row(_)
                    | LogicalType::TimestampTz(_)
                    | LogicalType::Variant
                    | LogicalType::Null
            );
            if !readable {
                return Err(Error::user(format!(
                    "column '{}' of type {} cannot be read from StarRocks",
                    column.name, column.data_type.logical
                ))
                .with_hint("declare it as STRING: the server writes nested values as JSON text"));
            }
        }
        let connection = self.open().await?;
        let result = match timeout(SILENCE_MAX, sql.to_owned().run(connection)).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(Error::unavailable("a query was not answered in time")),
        };
        Ok(RowStream {
            result,
            schema: schema.to_arrow(),
            names: schema.columns.iter().map(|c| c.name.clone()).collect(),
            batch_rows: batch_rows.max(1),
            ended: false,
        })
    }

    /// The ids of a table's tablets, for splits.
    pub async fn tablets(&self, table: &TableName) -> Result<Vec<u64>> {
        let rows = self.query(&format!("SHOW TABLETS FROM {}", quoted_table(table))).await?;
        let mut ids: Vec<u64> =
            rows.into_iter().filter_map(|row| row.into_iter().next().flatten()?.parse().ok()).collect();
        // One row per replica.
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

fn failed(error: mysql_async::Error) -> Error {
    match error {
        mysql_async::Error::Server(error) => {
            Error::refused(format!("StarRocks refused a query (error {})", error.code)).with_source(error.message)
        }
        other => Error::unavailable("a query failed").with_source(other.to_string()),
    }
}

/// A column's texts, not yet of its type.
enum Texts {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl RowStream {
    /// The next rows; None at the end.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        let mut columns: Vec<Texts> = self
            .schema
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                ArrowType::Binary => Texts::Bytes(BinaryBuilder::new()),
                _ => Texts::Text(StringBuilder::new()),
            })
            .collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.batch_rows && bytes < BATCH_BYTES_MAX {
            let row = match timeout(SILENCE_MAX, self.result.next()).await {
                Ok(Ok(Some(row))) => row,
                Ok(Ok(None)) => {
                    self.ended = true;
                    break;
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(failed(error));
                }
                Err(_) => {
                    self.ended = true;
                    return Err(Error::unavailable("the rows of a query stopped coming"));
                }
            };
            let values = row.unwrap();
            if values.len() < columns.len() {
                return Err(Error::refused("StarRocks answered with fewer columns than were asked for"));
            }
            for ((column, value), name) in columns.iter_mut().zip(values).zip(&self.names) {
                let value = match value {
                    Value::NULL => None,
                    Value::Bytes(bytes) => Some(bytes),
                    other => Some(other.as_sql(true).into_bytes()),
                };
                bytes += value.as_ref().map_or(1, Vec::len);
                match (column, value) {
                    (Texts::Bytes(builder), value) => builder.append_option(value),
                    (Texts::Text(builder), None) => builder.append_null(),
                    (Texts::Text(builder), Some(value)) => match std::str::from_utf8(&value) {
                        Ok(text) => builder.append_value(text),
                        Err(_) => return Err(Error::data(format!("column '{name}' holds text that is not UTF-8"))),
                    },
                }
            }
            rows += 1;
        }
        if rows == 0 && self.ended {
            return Ok(None);
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for ((column, field), name) in columns.into_iter().zip(self.schema.fields()).zip(&self.names) {
            let cast = |array: &ArrayRef, target: &ArrowType| {
                cast_with_options(array, target, &strict)
                    .map_err(|_| Error::data(format!("a value of column '{name}' does not fit {}", field.data_type())))
            };
            arrays.push(match column {
                Texts::Bytes(mut builder) => Arc::new(builder.finish()),
                Texts::Text(mut builder) => {
                    let texts: ArrayRef = Arc::new(builder.finish());
                    match field.data_type() {
                        ArrowType::Utf8 => texts,
                        // The server's wall-clock time is taken as UTC: it knows no zones.
                        ArrowType::Timestamp(unit, Some(_)) => {
                            let plain = cast(&texts, &ArrowType::Timestamp(*unit, None))?;
                            with_utc(&plain, *unit)
                        }
                        target => cast(&texts, target)?,
                    }
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map(Some)
            .map_err(|e| Error::data("StarRocks answered with NULL where the declared type is NOT NULL").with_source(e))
    }
}

fn with_utc(array: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    use arrow::array::AsArray;
    use arrow::datatypes::{TimestampMicrosecondType, TimestampNanosecondType};
    match unit {
        TimeUnit::Nanosecond => Arc::new(array.as_primitive::<TimestampNanosecondType>().clone().with_timezone("UTC")),
        _ => Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_read_by_its_tablets_and_a_key_by_its_value() {
        let table = TableName::new("d", "t");
        let columns = ["a".to_owned(), "b".to_owned()];
        let select = Select { columns: &columns, filter: Some("`a` > 1"), tablets: &[7, 8], limit: Some(5) };
        assert_eq!(select.sql(&table), "SELECT `a`, `b` FROM `d`.`t` TABLET(7, 8) WHERE `a` > 1 LIMIT 5");
        let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1), None, Some(3)]));
        let names: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a\"b", "x", "c"]));
        let keys = RecordBatch::try_from_iter([("a", ids.clone()), ("b", names)]).unwrap();
        assert_eq!(
            key_condition(&columns, &keys).unwrap().unwrap(),
            "(`a` = 1 AND `b` = \"a\\\"b\") OR (`a` = 3 AND `b` = \"c\")"
        );
        let keys = RecordBatch::try_from_iter([("a", ids)]).unwrap();
        assert_eq!(key_condition(&columns[..1], &keys).unwrap().unwrap(), "`a` IN (1, 3)");
        assert_eq!(key_condition(&columns[..1], &keys.slice(1, 1)).unwrap(), None);
        assert_eq!(Select::default().sql(&table), "SELECT 1 FROM `d`.`t`");
    }
}
