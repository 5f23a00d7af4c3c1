//! Rows between their two forms: Arrow columns for bulk, single values for expressions and coercions.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, MapArray, RecordBatch,
    RecordBatchOptions, StringBuilder, StructArray, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
    TimestampNanosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use starweir_model::table::arrow_type;
use starweir_model::{
    ChangeBatch, ChangeOp, Decimal, Error, Instant, LogicalType, Result, RowChange, RowKind, RowKinds, TableSchema,
    Value,
};

/// A batch's rows as changes with their images. An update is the pair of a `-U` row and the `+U` row after it.
///
/// # Errors
/// Columns that are not the schema's.
pub fn changes_of(schema: &TableSchema, batch: &ChangeBatch, meta: &[(String, Vec<String>)]) -> Result<Vec<RowChange>> {
    let mut out = Vec::with_capacity(batch.rows());
    let mut before: Option<Vec<Value>> = None;
    for row in 0..batch.rows() {
        let values: Vec<Value> = schema
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| value_at(batch.batch.column(at), &column.data_type.logical, row))
            .collect::<Result<_>>()?;
        let meta: Vec<(String, String)> =
            meta.iter().map(|(name, texts)| (name.clone(), texts.get(row).cloned().unwrap_or_default())).collect();
        let change = match batch.kinds.at(row) {
            RowKind::Insert => RowChange { op: ChangeOp::Insert, before: None, after: Some(values), meta },
            RowKind::Delete => RowChange { op: ChangeOp::Delete, before: Some(values), after: None, meta },
            RowKind::UpdateBefore => {
                before = Some(values);
                continue;
            }
            RowKind::UpdateAfter => {
                let before = before.take();
                let op = if before.is_some() { ChangeOp::Update } else { ChangeOp::Replace };
                RowChange { op, before, after: Some(values), meta }
            }
        };
        out.push(change);
    }
    Ok(out)
}

/// Changes as a batch of the schema's columns.
///
/// # Errors
/// A value that is not of its column's type, or that its Arrow form cannot hold.
pub fn batch_of(schema: &TableSchema, changes: &[RowChange]) -> Result<ChangeBatch> {
    let mut rows: Vec<&[Value]> = Vec::with_capacity(changes.len());
    let mut kinds = Vec::with_capacity(changes.len());
    for change in changes {
        let images = match change.op {
            ChangeOp::Insert => [None, Some((&change.after, RowKind::Insert))],
            ChangeOp::Replace => [None, Some((&change.after, RowKind::UpdateAfter))],
            ChangeOp::Delete => [Some((&change.before, RowKind::Delete)), None],
            ChangeOp::Update => {
                [Some((&change.before, RowKind::UpdateBefore)), Some((&change.after, RowKind::UpdateAfter))]
            }
        };
        for (image, kind) in images.into_iter().flatten() {
            if let Some(image) = image {
                rows.push(image);
                kinds.push(kind);
            }
        }
    }
    let columns = schema
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let values: Vec<&Value> = rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null)).collect();
            array_of(&column.data_type.logical, &values)
                .map_err(|e| e.context(format!("column '{}' of type {}", column.name, column.data_type.logical)))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(schema.to_arrow(), columns, &options)
        .map_err(|e| Error::internal("a batch could not be made of rows").with_source(e))?;
    Ok(ChangeBatch::new(batch, RowKinds::from_vec(kinds)))
}

/// The same batch with the changes' metadata as text columns after those of the schema.
pub fn with_metadata(batch: ChangeBatch, changes: &[RowChange]) -> Result<ChangeBatch> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in changes.iter().flat_map(|change| &change.meta) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(batch);
    }
    let mut fields: Vec<_> = batch.batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.batch.columns().to_vec();
    for name in names {
        let mut texts = StringBuilder::new();
        for change in changes {
            let text = change.meta.iter().find(|(known, _)| known == name).map(|(_, text)| text);
            for _ in [&change.before, &change.after].into_iter().flatten() {
                texts.append_option(text);
            }
        }
        fields.push(Arc::new(Field::new(name, ArrowType::Utf8, true)));
        columns.push(Arc::new(texts.finish()));
    }
    let extended = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)
        .map_err(|e| Error::internal("metadata could not be added to a batch").with_source(e))?;
    Ok(ChangeBatch { batch: extended, ..batch })
}

/// What [`with_metadata`] added.
pub fn metadata_of(schema: &TableSchema, batch: &ChangeBatch) -> Vec<(String, Vec<String>)> {
    let fields = batch.batch.schema();
    (schema.columns.len()..batch.batch.num_columns())
        .map(|at| {
            let texts = batch.batch.column(at).as_string_opt::<i32>();
            let text = |row| texts.filter(|t| !t.is_null(row)).map(|t| t.value(row).to_owned()).unwrap_or_default();
            (fields.field(at).name().clone(), (0..batch.rows()).map(text).collect())
        })
        .collect()
}

fn unlike(logical: &LogicalType) -> Error {
    Error::internal(format!("a column is not held as a {logical} should be"))
}

/// One value of a column.
pub fn value_at(array: &ArrayRef, logical: &LogicalType, row: usize) -> Result<Value> {
    use LogicalType as L;
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    macro_rules! primitive {
        ($of:ty) => {
            array.as_primitive_opt::<$of>().ok_or_else(|| unlike(logical))?.value(row)
        };
    }
    let text = || array.as_string_opt::<i32>().map(|a| a.value(row).to_owned()).ok_or_else(|| unlike(logical));
    Ok(match logical {
        L::Boolean => Value::Boolean(array.as_boolean_opt().ok_or_else(|| unlike(logical))?.value(row)),
        L::TinyInt => Value::TinyInt(primitive!(Int8Type)),
        L::SmallInt => Value::SmallInt(primitive!(Int16Type)),
        L::Int => Value::Int(primitive!(Int32Type)),
        L::BigInt => Value::BigInt(primitive!(Int64Type)),
        L::Float => Value::Float(primitive!(Float32Type)),
        L::Double => Value::Double(primitive!(Float64Type)),
        L::Decimal(_, scale) => Value::Decimal(Decimal { unscaled: primitive!(Decimal128Type), scale: *scale }),
        L::Char(_) | L::VarChar(_) => Value::String(text()?),
        L::Variant => Value::Variant(text()?),
        L::TimestampTz(_) => zoned(&text()?).ok_or_else(|| unlike(logical))?,
        L::Binary(_) | L::VarBinary(_) => {
            Value::Binary(array.as_binary_opt::<i32>().ok_or_else(|| unlike(logical))?.value(row).to_vec())
        }
        L::Date => Value::Date(primitive!(Date32Type)),
        L::Time(_) => match array.data_type() {
            ArrowType::Time64(TimeUnit::Microsecond) => Value::Time(primitive!(Time64MicrosecondType) * 1000),
            _ => Value::Time(i64::from(primitive!(Time32MillisecondType)) * 1_000_000),
        },
        L::Timestamp(_) | L::TimestampLtz(_) => {
            let at = match array.data_type() {
                ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                    let nanos = primitive!(TimestampNanosecondType);
                    Instant::new(nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000) as u32)
                }
                _ => Instant::from_micros(primitive!(TimestampMicrosecondType)),
            };
            if matches!(logical, L::Timestamp(_)) { Value::Timestamp(at) } else { Value::TimestampLtz(at) }
        }
        L::Array(element) => {
            let items = array.as_list_opt::<i32>().ok_or_else(|| unlike(logical))?.value(row);
            Value::Array((0..items.len()).map(|at| value_at(&items, &element.logical, at)).collect::<Result<_>>()?)
        }
        L::Map(key, of) => {
            let entries = array.as_map_opt().ok_or_else(|| unlike(logical))?.value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Map(
                (0..entries.len())
                    .map(|at| Ok((value_at(keys, &key.logical, at)?, value_at(values, &of.logical, at)?)))
                    .collect::<Result<_>>()?,
            )
        }
        L::Row(fields) => {
            let members = array.as_struct_opt().ok_or_else(|| unlike(logical))?;
            Value::Row(
                fields
                    .iter()
                    .zip(members.columns())
                    .map(|(field, column)| value_at(column, &field.data_type.logical, row))
                    .collect::<Result<_>>()?,
            )
        }
        L::IntervalYearMonth | L::IntervalDayTime | L::Multiset(_) | L::Null => return Err(unlike(logical)),
    })
}

/// Reads what [`array_of`] writes for a zoned time.
fn zoned(text: &str) -> Option<Value> {
    let (text, zone) = text.strip_suffix(']').and_then(|text| text.split_once('[')).unwrap_or((text, ""));
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    let local = at.naive_local().and_utc();
    Some(Value::TimestampTz {
        local: Instant::new(local.timestamp(), local.timestamp_subsec_nanos()),
        offset_seconds: at.offset().local_minus_utc(),
        zone: zone.to_owned(),
    })
}

/// A column of values.
fn array_of(logical: &LogicalType, values: &[&Value]) -> Result<ArrayRef> {
    use LogicalType as L;
    let wrong = || Error::internal(format!("a value is not of type {logical}"));
    let too_far = || Error::data(format!("a value is outside of what {logical} can hold here"));
    macro_rules! build {
        ($builder:expr, $($pattern:pat $(if $guard:expr)? => $value:expr),+) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    $($pattern $(if $guard)? => builder.append_value($value),)+
                    _ => return Err(wrong()),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match logical {
        L::Boolean => build!(BooleanBuilder::new(), Value::Boolean(v) => *v),
        L::TinyInt => build!(Int8Builder::new(), Value::TinyInt(v) => *v),
        L::SmallInt => build!(Int16Builder::new(), Value::SmallInt(v) => *v),
        L::Int => build!(Int32Builder::new(), Value::Int(v) => *v),
        L::BigInt => build!(Int64Builder::new(), Value::BigInt(v) => *v),
        L::Float => build!(Float32Builder::new(), Value::Float(v) => *v),
        L::Double => build!(Float64Builder::new(), Value::Double(v) => *v),
        L::Decimal(precision, scale) => {
            let builder = Decimal128Builder::new().with_data_type(ArrowType::Decimal128(*precision, *scale as i8));
            build!(builder, Value::Decimal(v) if v.scale == *scale => v.unscaled)
        }
        L::Char(_) | L::VarChar(_) => build!(StringBuilder::new(), Value::String(v) => v),
        L::Variant => build!(StringBuilder::new(), Value::Variant(v) => v),
        L::TimestampTz(_) => build!(
            StringBuilder::new(),
            zoned @ Value::TimestampTz { zone, .. } => format!("{}[{zone}]", crate::print::value(zoned, None))
        ),
        L::Binary(_) | L::VarBinary(_) => build!(BinaryBuilder::new(), Value::Binary(v) => v),
        L::Date => build!(Date32Builder::new(), Value::Date(v) => *v),
        L::Time(_) => build!(Time64MicrosecondBuilder::new(), Value::Time(v) => v.div_euclid(1000)),
        L::Timestamp(p) | L::TimestampLtz(p) if *p <= 6 => {
            let builder = TimestampMicrosecondBuilder::new().with_data_type(arrow_type(logical));
            build!(builder, Value::Timestamp(v) | Value::TimestampLtz(v) => v.to_micros().ok_or_else(too_far)?)
        }
        L::Timestamp(_) | L::TimestampLtz(_) => {
            let builder = TimestampNanosecondBuilder::new().with_data_type(arrow_type(logical));
            let nanos = |at: &Instant| at.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(at.nanos));
            build!(builder, Value::Timestamp(v) | Value::TimestampLtz(v) => nanos(v).ok_or_else(too_far)?)
        }
        L::Array(element) => {
            let (mut items, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
            for value in values {
                match value {
                    Value::Null => lengths.push(0),
                    Value::Array(list) => {
                        items.extend(list.iter());
                        lengths.push(list.len());
                    }
                    _ => return Err(wrong()),
                }
            }
            let ArrowType::List(field) = arrow_type(logical) else { return Err(wrong()) };
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(
                ListArray::try_new(field, offsets, array_of(&element.logical, &items)?, nulls(values))
                    .map_err(|e| wrong().with_source(e))?,
            )
        }
        L::Map(key, of) => {
            let (mut keys, mut items, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
            for value in values {
                match value {
                    Value::Null => lengths.push(0),
                    Value::Map(entries) => {
                        keys.extend(entries.iter().map(|(k, _)| k));
                        items.extend(entries.iter().map(|(_, v)| v));
                        lengths.push(entries.len());
                    }
                    _ => return Err(wrong()),
                }
            }
            let ArrowType::Map(field, sorted) = arrow_type(logical) else { return Err(wrong()) };
            let ArrowType::Struct(fields) = field.data_type() else { return Err(wrong()) };
            let columns = vec![array_of(&key.logical, &keys)?, array_of(&of.logical, &items)?];
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(|e| wrong().with_source(e))?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(
                MapArray::try_new(field, offsets, entries, nulls(values), sorted)
                    .map_err(|e| wrong().with_source(e))?,
            )
        }
        L::Row(fields) => {
            let null = Value::Null;
            let mut columns = Vec::with_capacity(fields.len());
            for (at, field) in fields.iter().enumerate() {
                let members: Vec<&Value> = values
                    .iter()
                    .map(|value| match value {
                        Value::Row(members) => members.get(at).unwrap_or(&null),
                        _ => &null,
                    })
                    .collect();
                columns.push(array_of(&field.data_type.logical, &members)?);
            }
            let arrow_fields = fields
                .iter()
                .zip(&columns)
                .map(|(field, column)| Field::new(&field.name, column.data_type().clone(), true))
                .collect();
            Arc::new(StructArray::try_new(arrow_fields, columns, nulls(values)).map_err(|e| wrong().with_source(e))?)
        }
        L::Null => new_null_array(&ArrowType::Null, values.len()),
        L::IntervalYearMonth | L::IntervalDayTime | L::Multiset(_) => {
            return Err(Error::user(format!("a pipeline's table cannot have a column of type {logical}")));
        }
    })
}

fn nulls(values: &[&Value]) -> Option<NullBuffer> {
    Some(NullBuffer::from_iter(values.iter().map(|value| !value.is_null())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_model::TableColumn;

    #[test]
    fn changes_come_back_from_columns_as_they_went_in() {
        let at = Instant::new(1_700_000_000, 123_456_000);
        let cases = [
            ("BOOLEAN", Value::Boolean(true)),
            ("TINYINT", Value::TinyInt(-1)),
            ("BIGINT", Value::BigInt(i64::MIN)),
            ("FLOAT", Value::Float(1.5)),
            ("DECIMAL(10, 2)", Value::Decimal(Decimal { unscaled: -12345, scale: 2 })),
            ("STRING", Value::string("ü")),
            ("BYTES", Value::Binary(vec![0, 255])),
            ("DATE", Value::Date(-1)),
            ("TIME(6)", Value::Time(-3_020_399_000_000_000)),
            ("TIMESTAMP(6)", Value::Timestamp(at)),
            ("TIMESTAMP_LTZ(9)", Value::TimestampLtz(Instant::new(-1, 999_999_999))),
            (
                "TIMESTAMP(3) WITH TIME ZONE",
                Value::TimestampTz { local: at, offset_seconds: 28800, zone: "Asia/Shanghai".into() },
            ),
            ("ARRAY<INT>", Value::Array(vec![Value::Int(1), Value::Null])),
            (
                "MAP<STRING, ARRAY<DOUBLE>>",
                Value::Map(vec![(Value::string("k"), Value::Array(vec![Value::Double(0.5)]))]),
            ),
            ("ROW<`a` INT, `b` VARIANT>", Value::Row(vec![Value::Null, Value::Variant("{}".into())])),
        ];
        let columns =
            cases.iter().enumerate().map(|(i, (of, _))| TableColumn::new(format!("c{i}"), of.parse().unwrap()));
        let schema = TableSchema { columns: columns.collect(), ..TableSchema::default() };
        let full: Vec<Value> = cases.iter().map(|(_, value)| value.clone()).collect();
        let empty = vec![Value::Null; cases.len()];
        let change = |op, before: Option<&Vec<Value>>, after: Option<&Vec<Value>>| RowChange {
            op,
            before: before.cloned(),
            after: after.cloned(),
            meta: Vec::new(),
        };
        let changes = vec![
            change(ChangeOp::Insert, None, Some(&full)),
            change(ChangeOp::Update, Some(&full), Some(&empty)),
            change(ChangeOp::Replace, None, Some(&full)),
            change(ChangeOp::Delete, Some(&empty), None),
        ];
        let batch = batch_of(&schema, &changes).unwrap();
        assert_eq!(batch.rows(), 5);
        assert_eq!(changes_of(&schema, &batch, &[]).unwrap(), changes);
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let schema =
            TableSchema { columns: vec![TableColumn::new("a", "INT".parse().unwrap())], ..TableSchema::default() };
        let change =
            RowChange { op: ChangeOp::Insert, before: None, after: Some(vec![Value::string("x")]), meta: Vec::new() };
        assert!(batch_of(&schema, &[change]).is_err());
    }
}
