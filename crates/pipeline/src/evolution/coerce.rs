//! Values in the shape of a sink's schema: after a widening, or where the sink did not follow a change.

use base64::Engine as _;
use chrono::{LocalResult, Offset as _, TimeZone as _};
use chrono_tz::Tz;
use starweir_model::{DataType, Decimal, Error, Instant, LogicalType, Result, TableSchema, Value};

use crate::print;

/// A row of `upcoming` in the columns of `current`, by name: missing columns are NULL, and so is, in tolerance, a value
/// that does not fit.
pub fn coerce_row(zone: Tz, current: &TableSchema, upcoming: &TableSchema, row: &[Value]) -> Vec<Value> {
    current
        .columns
        .iter()
        .map(|column| {
            let Some(at) = upcoming.index_of(&column.name) else { return Value::Null };
            let from = &upcoming.columns[at].data_type;
            let value = row.get(at).unwrap_or(&Value::Null);
            if from.logical == column.data_type.logical {
                return value.clone();
            }
            coerce(zone, value, from, &column.data_type).unwrap_or(Value::Null)
        })
        .collect()
}

/// A value of one type as a value of a wider one (Flink CDC: `coerceObject`).
///
/// # Errors
/// When the type cannot be reached this way.
pub fn coerce(zone: Tz, value: &Value, from: &DataType, to: &DataType) -> Result<Value> {
    use LogicalType as L;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let unfit = |into: &str| Error::data(format!("a value of type {} does not fit into a {into} column", from.logical));
    let integer = || match value {
        Value::TinyInt(v) => Some((i64::from(*v), 8)),
        Value::SmallInt(v) => Some((i64::from(*v), 16)),
        Value::Int(v) => Some((i64::from(*v), 32)),
        Value::BigInt(v) => Some((*v, 64)),
        _ => None,
    };
    let at_most = |bits: u8, into: &str| match integer() {
        Some((v, width)) if width <= bits => Ok(v),
        _ => Err(unfit(into)),
    };
    Ok(match &to.logical {
        L::Boolean => Value::Boolean(print::value(value, None).eq_ignore_ascii_case("true")),
        L::TinyInt => Value::TinyInt(at_most(8, "TINYINT")? as i8),
        L::SmallInt => Value::SmallInt(at_most(16, "SMALLINT")? as i16),
        L::Int => Value::Int(at_most(32, "INT")? as i32),
        L::BigInt => Value::BigInt(at_most(64, "BIGINT")?),
        L::Decimal(precision, scale) => {
            let decimal = match value {
                Value::Decimal(decimal) => *decimal,
                _ => match integer() {
                    Some((v, _)) => Decimal { unscaled: i128::from(v), scale: 0 },
                    None => return Err(unfit("DECIMAL")),
                },
            };
            rescale(decimal, *precision, *scale).map_or(Value::Null, Value::Decimal)
        }
        L::Float => Value::Float(match value {
            Value::Float(v) => *v,
            Value::Decimal(v) => v.to_string().parse().map_err(|_| unfit("FLOAT"))?,
            _ => integer().map(|(v, _)| v as f32).ok_or_else(|| unfit("FLOAT"))?,
        }),
        L::Double => Value::Double(match value {
            Value::Double(v) => *v,
            Value::Float(v) => f64::from(*v),
            Value::Decimal(v) => v.to_string().parse().map_err(|_| unfit("DOUBLE"))?,
            _ => integer().map(|(v, _)| v as f64).ok_or_else(|| unfit("DOUBLE"))?,
        }),
        L::Char(_) | L::VarChar(_) => Value::String(text(value, from)),
        L::Binary(_) | L::VarBinary(_) => match value {
            Value::Binary(bytes) => Value::Binary(bytes.clone()),
            other => Value::Binary(text(other, from).into_bytes()),
        },
        L::Date => match value {
            Value::Date(days) => Value::Date(*days),
            _ => return Err(unfit("DATE")),
        },
        L::Timestamp(_) => Value::Timestamp(local(zone, value).ok_or_else(|| unfit("TIMESTAMP"))?),
        L::TimestampLtz(_) => match value {
            Value::TimestampLtz(at) => Value::TimestampLtz(*at),
            // The wall clock is taken over as it is, as upstream does.
            _ => Value::TimestampLtz(local(zone, value).ok_or_else(|| unfit("TIMESTAMP_LTZ"))?),
        },
        L::TimestampTz(_) => match value {
            Value::TimestampTz { .. } => value.clone(),
            _ => {
                let utc = local(zone, value).ok_or_else(|| unfit("TIMESTAMP WITH TIME ZONE"))?;
                let offset_seconds = offset_at(zone, utc);
                let local = Instant::new(utc.seconds + i64::from(offset_seconds), utc.nanos);
                Value::TimestampTz { local, offset_seconds, zone: zone.name().to_owned() }
            }
        },
        L::Array(_) | L::Map(..) | L::Row(_) | L::Variant | L::Time(_) if from.logical == to.logical => value.clone(),
        L::Time(_) => match value {
            Value::Time(nanos) => Value::Time(*nanos),
            _ => return Err(unfit("TIME")),
        },
        other => {
            return Err(Error::data(format!(
                "Column type \"{from}\" doesn't support type coercion to \"{}\"",
                DataType { logical: other.clone(), nullable: to.nullable }
            )));
        }
    })
}

/// The zone's offset from UTC at an instant, in seconds.
pub fn offset_at(zone: Tz, at: Instant) -> i32 {
    match zone.timestamp_opt(at.seconds, at.nanos) {
        LocalResult::Single(time) => time.offset().fix().local_minus_utc(),
        _ => 0,
    }
}

fn local(zone: Tz, value: &Value) -> Option<Instant> {
    let shifted = |at: Instant| Instant::new(at.seconds + i64::from(offset_at(zone, at)), at.nanos);
    match value {
        Value::Date(days) => Some(Instant::new(i64::from(*days) * 86_400, 0)),
        Value::Timestamp(at) => Some(*at),
        Value::TimestampLtz(at) => Some(shifted(*at)),
        Value::TimestampTz { local, offset_seconds, .. } => {
            Some(shifted(Instant::new(local.seconds - i64::from(*offset_seconds), local.nanos)))
        }
        _ => None,
    }
}

/// The number with another scale, rounded half up; None when it needs more digits than `precision`.
pub fn rescale(decimal: Decimal, precision: u8, scale: u8) -> Option<Decimal> {
    let power = |n: u8| 10_i128.checked_pow(u32::from(n));
    let unscaled = if scale >= decimal.scale {
        decimal.unscaled.checked_mul(power(scale - decimal.scale)?)?
    } else {
        let divisor = power(decimal.scale - scale)?;
        let (quotient, rest) = (decimal.unscaled / divisor, decimal.unscaled % divisor);
        if rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) {
            quotient + decimal.unscaled.signum()
        } else {
            quotient
        }
    };
    let fits = power(precision).is_none_or(|limit| unscaled.unsigned_abs() < limit.unsigned_abs());
    fits.then_some(Decimal { unscaled, scale })
}

/// The text a value has in a character column (Java's `toString` of upstream's values).
fn text(value: &Value, from: &DataType) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Binary(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes),
        Value::Array(items) => {
            let element = match &from.logical {
                LogicalType::Array(element) => (**element).clone(),
                _ => DataType::string(),
            };
            let items: Vec<_> = items.iter().map(|item| nested(item, &element)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let (key, of) = match &from.logical {
                LogicalType::Map(key, of) => ((**key).clone(), (**of).clone()),
                _ => (DataType::string(), DataType::string()),
            };
            let entries: Vec<_> =
                entries.iter().map(|(k, v)| format!("{}={}", nested(k, &key), nested(v, &of))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Row(fields) => {
            let of = |at: usize| match &from.logical {
                LogicalType::Row(types) => types.get(at).map(|f| f.data_type.clone()),
                _ => None,
            };
            let fields: Vec<_> = fields
                .iter()
                .enumerate()
                .map(|(at, field)| nested(field, &of(at).unwrap_or_else(DataType::string)))
                .collect();
            format!("[{}]", fields.join(", "))
        }
        Value::TimestampTz { zone, .. } => {
            let shown = print::value(value, None);
            if zone.is_empty() || zone == "Z" { shown } else { format!("{shown}[{zone}]") }
        }
        other => print::value(other, Some(from)),
    }
}

fn nested(value: &Value, from: &DataType) -> String {
    if value.is_null() { "null".into() } else { text(value, from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_up_and_never_overflow_in_silence() {
        let check = |unscaled, scale, precision, to, expected: Option<i128>| {
            let got = rescale(Decimal { unscaled, scale }, precision, to).map(|d| d.unscaled);
            assert_eq!(got, expected, "{unscaled}e-{scale} as ({precision},{to})");
        };
        check(1005, 3, 10, 2, Some(101));
        check(-1005, 3, 10, 2, Some(-101));
        check(1004, 3, 10, 2, Some(100));
        check(999, 2, 2, 1, None);
        check(5, 0, 38, 37, Some(5 * 10_i128.pow(37)));
        check(50, 0, 38, 38, None);
    }
}
