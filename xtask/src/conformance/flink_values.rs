//! The JSON form of SQL values in the recorded cases: to Arrow columns and back.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes as t;
use arrow::datatypes::{DataType as ArrowType, Field, Fields, TimeUnit};
use serde_json::Value;
use starweir_model::{DataType, LogicalType as L};
use starweir_sql::{CastMode, Zone, cast_column};

/// A column of a Flink type from JSON values.
pub fn column(data_type: &DataType, values: &[Value]) -> anyhow::Result<ArrayRef> {
    let null = |v: &Value| v.is_null();
    macro_rules! ints {
        ($array:ty, $t:ty) => {
            Arc::new(values.iter().map(|v| v.as_i64().map(|v| v as $t)).collect::<$array>())
        };
    }
    let texts = || -> Vec<Option<String>> {
        values
            .iter()
            .map(|v| match v {
                Value::Null => None,
                Value::String(s) => Some(s.clone()),
                other => Some(other.to_string()),
            })
            .collect()
    };
    Ok(match &data_type.logical {
        L::Boolean => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
        L::TinyInt => ints!(Int8Array, i8),
        L::SmallInt => ints!(Int16Array, i16),
        L::Int => ints!(Int32Array, i32),
        L::BigInt => ints!(Int64Array, i64),
        L::IntervalYearMonth => ints!(IntervalYearMonthArray, i32),
        L::IntervalDayTime => ints!(DurationMillisecondArray, i64),
        L::Char(_) | L::VarChar(_) => Arc::new(StringArray::from(texts())),
        L::Binary(_) | L::VarBinary(_) => {
            let bytes = values.iter().map(|v| v.as_str().map(unhex).transpose()).collect::<anyhow::Result<Vec<_>>>()?;
            Arc::new(bytes.into_iter().collect::<BinaryArray>())
        }
        L::Float | L::Double | L::Decimal(..) | L::Date | L::Time(_) | L::Timestamp(_) => {
            cast_text(texts(), data_type)?
        }
        L::TimestampLtz(_) => {
            cast_text(texts().into_iter().map(|v| v.map(|v| v.trim_end_matches('Z').to_owned())).collect(), data_type)?
        }
        L::Array(element) => {
            let (items, lengths) = flatten(values)?;
            let inner = column(element, &items)?;
            let field = Field::new("item", inner.data_type().clone(), element.nullable);
            Arc::new(ListArray::try_new(Arc::new(field), OffsetBuffer::from_lengths(lengths), inner, nulls(values))?)
        }
        L::Map(..) | L::Multiset(_) => {
            let (key, value) = match &data_type.logical {
                L::Map(k, v) => (k.as_ref().clone(), v.as_ref().clone()),
                L::Multiset(e) => (e.as_ref().clone(), DataType::not_null(L::Int)),
                _ => bail!("not a map"),
            };
            let (pairs, lengths) = flatten(values)?;
            let part =
                |n: usize| -> Vec<Value> { pairs.iter().map(|p| p.get(n).cloned().unwrap_or(Value::Null)).collect() };
            let (keys, values_) = (column(&key, &part(0))?, column(&value, &part(1))?);
            let fields = Fields::from(vec![
                Field::new("key", keys.data_type().clone(), false),
                Field::new("value", values_.data_type().clone(), value.nullable),
            ]);
            let entries = StructArray::try_new(fields.clone(), vec![keys, values_], None)?;
            let field = Field::new("entries", ArrowType::Struct(fields), false);
            Arc::new(MapArray::try_new(
                Arc::new(field),
                OffsetBuffer::from_lengths(lengths),
                entries,
                nulls(values),
                false,
            )?)
        }
        L::Row(members) => {
            let mut columns = Vec::new();
            for (n, member) in members.iter().enumerate() {
                let part: Vec<Value> = values.iter().map(|v| v.get(n).cloned().unwrap_or(Value::Null)).collect();
                columns.push(column(&member.data_type, &part)?);
            }
            if columns.is_empty() {
                return Ok(Arc::new(StructArray::new_empty_fields(values.len(), nulls(values))));
            }
            let fields: Fields = members
                .iter()
                .zip(&columns)
                .map(|(m, c)| Field::new(&m.name, c.data_type().clone(), m.data_type.nullable || c.null_count() > 0))
                .collect();
            Arc::new(StructArray::try_new(fields, columns, nulls(values))?)
        }
        other @ (L::TimestampTz(_) | L::Variant) => bail!("values of type {other} have no place in a script"),
        L::Null => {
            if !values.iter().all(null) {
                bail!("a value of type NULL");
            }
            new_null_array(&ArrowType::Null, values.len())
        }
    })
}

fn nulls(values: &[Value]) -> Option<NullBuffer> {
    values.iter().any(Value::is_null).then(|| values.iter().map(|v| !v.is_null()).collect::<Vec<_>>().into())
}

fn flatten(values: &[Value]) -> anyhow::Result<(Vec<Value>, Vec<usize>)> {
    let mut items = Vec::new();
    let mut lengths = Vec::new();
    for value in values {
        match value {
            Value::Null => lengths.push(0),
            Value::Array(list) => {
                lengths.push(list.len());
                items.extend(list.iter().cloned());
            }
            other => bail!("{other} is no list"),
        }
    }
    Ok((items, lengths))
}

fn cast_text(texts: Vec<Option<String>>, data_type: &DataType) -> anyhow::Result<ArrayRef> {
    let array: ArrayRef = Arc::new(StringArray::from(texts));
    cast_column(&array, &DataType::string(), data_type, CastMode::Strict, Zone::UTC).map_err(|e| anyhow!(e.chain()))
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    (0..text.len() / 2).map(|i| Ok(u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap_or("x"), 16)?)).collect()
}

/// A value in its JSON form.
pub fn value(array: &dyn Array, data_type: &DataType, row: usize) -> Value {
    if array.data_type() == &ArrowType::Null || array.is_null(row) {
        return Value::Null;
    }
    let text = |a: &dyn Array| -> Value {
        let owned = a.slice(row, 1);
        starweir_sql::format_value(&owned, data_type, 0, Zone::UTC).map_or(Value::Null, Value::String)
    };
    match &data_type.logical {
        L::Boolean => array.as_boolean().value(row).into(),
        L::TinyInt => array.as_primitive::<t::Int8Type>().value(row).into(),
        L::SmallInt => array.as_primitive::<t::Int16Type>().value(row).into(),
        L::Int => array.as_primitive::<t::Int32Type>().value(row).into(),
        L::BigInt => array.as_primitive::<t::Int64Type>().value(row).into(),
        L::IntervalYearMonth => array.as_primitive::<t::IntervalYearMonthType>().value(row).into(),
        L::IntervalDayTime => array.as_primitive::<t::DurationMillisecondType>().value(row).into(),
        L::Binary(_) | L::VarBinary(_) => {
            let mut out = String::new();
            for byte in array.as_binary::<i32>().value(row) {
                let _ = write!(out, "{byte:02x}");
            }
            Value::String(out)
        }
        L::Time(_) => {
            let millis = array.as_primitive::<t::Time32MillisecondType>().value(row);
            let seconds = millis / 1000;
            let fraction = if millis % 1000 == 0 {
                String::new()
            } else {
                format!(".{:03}", millis % 1000).trim_end_matches('0').to_owned()
            };
            Value::String(format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
        }
        L::Timestamp(_) | L::TimestampLtz(_) => {
            let wide = DataType::nullable(match data_type.logical {
                L::TimestampLtz(_) => L::TimestampLtz(9),
                _ => L::Timestamp(9),
            });
            let owned = array.slice(row, 1);
            let printed = starweir_sql::format_value(&owned, &wide, 0, Zone::UTC).unwrap_or_default();
            let printed = printed.trim_end_matches('0').trim_end_matches('.');
            let zulu = matches!(
                array.data_type(),
                ArrowType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, Some(_))
            );
            Value::String(format!("{printed}{}", if zulu { "Z" } else { "" }))
        }
        L::Array(element) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| value(items.as_ref(), element, i)).collect())
        }
        L::Map(key, inner) => pairs(array, key, inner, row),
        L::Multiset(element) => pairs(array, element, &DataType::not_null(L::Int), row),
        L::Row(fields) => {
            let members = array.as_struct();
            Value::Array(
                fields.iter().enumerate().map(|(n, f)| value(members.column(n).as_ref(), &f.data_type, row)).collect(),
            )
        }
        _ => text(array),
    }
}

fn pairs(array: &dyn Array, key: &DataType, inner: &DataType, row: usize) -> Value {
    let entries = array.as_map().value(row);
    let mut list: Vec<Value> = (0..entries.len())
        .map(|i| {
            Value::Array(vec![value(entries.column(0).as_ref(), key, i), value(entries.column(1).as_ref(), inner, i)])
        })
        .collect();
    list.sort_by_key(ToString::to_string);
    Value::Array(list)
}

/// JSON with the pairs of maps and multisets sorted the same way on both sides.
pub fn normalize(value: &Value, data_type: &DataType) -> Value {
    match (&data_type.logical, value) {
        (L::Map(..) | L::Multiset(_), Value::Array(list)) => {
            let mut list = list.clone();
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        (L::Array(element), Value::Array(list)) => Value::Array(list.iter().map(|v| normalize(v, element)).collect()),
        (L::Row(fields), Value::Array(list)) => {
            Value::Array(list.iter().zip(fields).map(|(v, f)| normalize(v, &f.data_type)).collect())
        }
        _ => value.clone(),
    }
}
