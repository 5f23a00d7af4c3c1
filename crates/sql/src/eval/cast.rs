//! CAST and TRY_CAST between columns (flink-semantics.md, points 4 to 8, 14, 15).
//!
//! Integers wrap, floating numbers saturate, decimals that do not fit are NULL, text that is no
//! value of the type is an error (CAST) or NULL (TRY_CAST and the legacy behaviour).

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use starweir_model::types::LENGTH_MAX;
use starweir_model::{DataType as FlinkType, Error, LogicalType as L, Result};

use super::text::{self, Style, timestamp_nanos};
use super::time::{self, NANOS_PER_DAY, NANOS_PER_MILLI, Zone};
use super::{arrow_error, decimal};

/// What a cast does with a value that has no counterpart, and how it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An error that stops the job.
    Strict,
    /// NULL.
    Try,
    /// NULL, and Flink's older text forms.
    Legacy,
}

/// Casts a column; both types are Flink's. Errors name the types, never the value.
pub fn cast_column(array: &ArrayRef, from: &FlinkType, to: &FlinkType, mode: Mode, zone: Zone) -> Result<ArrayRef> {
    Caster { mode, zone }.cast(array, &from.logical, &to.logical)
}

/// Casts every column of a batch from one schema to another of as many columns. Values with no
/// counterpart are errors.
pub fn cast_batch(
    batch: &RecordBatch,
    from: &starweir_model::Schema,
    to: &starweir_model::Schema,
    zone: Zone,
) -> Result<RecordBatch> {
    if from.columns.len() != to.columns.len() || batch.num_columns() != from.columns.len() {
        return Err(Error::internal("a batch can only be cast to as many columns as it has"));
    }
    let caster = Caster { mode: Mode::Strict, zone };
    let columns = batch
        .columns()
        .iter()
        .zip(from.columns.iter().zip(&to.columns))
        .map(|(c, (f, t))| {
            caster
                .cast(c, &f.data_type.logical, &t.data_type.logical)
                .map_err(|e| e.context(format!("column '{}'", t.name)))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(to.to_arrow(), columns, &options)
        .map_err(|_| Error::data("a NULL would be written into a column that is NOT NULL"))
}

#[derive(Clone, Copy)]
pub(crate) struct Caster {
    pub mode: Mode,
    pub zone: Zone,
}

/// Rust's float-to-integer `as` saturates and takes NaN for 0, as Java's casts do; to the narrow
/// types Java goes over `int`.
trait FromDouble {
    fn from_double(value: f64) -> Self;
}
impl FromDouble for i8 {
    fn from_double(value: f64) -> Self {
        value as i32 as i8
    }
}
impl FromDouble for i16 {
    fn from_double(value: f64) -> Self {
        value as i32 as i16
    }
}
impl FromDouble for i32 {
    fn from_double(value: f64) -> Self {
        value as i32
    }
}
impl FromDouble for i64 {
    fn from_double(value: f64) -> Self {
        value as i64
    }
}

impl Caster {
    fn failed(&self, from: &L, to: &L) -> Error {
        Error::data(format!("a value of type {from} can not be cast to {to}"))
            .with_hint(format!("TRY_CAST(… AS {to}) gives NULL instead"))
    }

    fn unsupported(from: &L, to: &L) -> Error {
        Error::user(format!("{from} can not be cast to {to}"))
    }

    /// Keeps `None` for values without counterpart, or stops at the first.
    fn strings<T>(
        &self,
        array: &ArrayRef,
        from: &L,
        to: &L,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>> {
        let strings = array.as_string::<i32>();
        let mut out = Vec::with_capacity(strings.len());
        for row in 0..strings.len() {
            if strings.is_null(row) {
                out.push(None);
                continue;
            }
            match read(strings.value(row)) {
                None if self.mode == Mode::Strict => return Err(self.failed(from, to)),
                value => out.push(value),
            }
        }
        Ok(out)
    }

    pub fn cast(&self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        if from == to {
            return Ok(Arc::clone(array));
        }
        if *from == L::Null || array.data_type() == &DataType::Null {
            return Ok(new_null_array(&to.to_arrow(), array.len()));
        }
        match to {
            L::Char(_) | L::VarChar(_) => self.to_text(array, from, to),
            L::Binary(_) | L::VarBinary(_) => self.to_bytes(array, from, to),
            L::Boolean => self.to_boolean(array, from, to),
            L::TinyInt => self.to_integer::<Int8Type>(array, from, to),
            L::SmallInt => self.to_integer::<Int16Type>(array, from, to),
            L::Int => self.to_integer::<Int32Type>(array, from, to),
            L::BigInt => self.to_integer::<Int64Type>(array, from, to),
            L::Float => {
                let doubles = self.to_double(array, from, to)?;
                if from.is_character() {
                    let read = self.strings(array, from, to, java_float)?;
                    return Ok(Arc::new(Float32Array::from(read)));
                }
                Ok(Arc::new(doubles.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>()))
            }
            L::Double => Ok(Arc::new(self.to_double(array, from, to)?)),
            L::Decimal(p, s) => self.to_decimal(array, from, to, *p, *s),
            L::Date => self.to_date(array, from, to),
            L::Time(_) => self.to_time(array, from, to),
            L::Timestamp(p) => self.to_timestamp(array, from, to, *p, false),
            L::TimestampLtz(p) => self.to_timestamp(array, from, to, *p, true),
            L::IntervalYearMonth | L::IntervalDayTime => self.to_interval(array, from, to),
            L::Array(_) | L::Map(..) | L::Multiset(_) | L::Row(_) if self.mode == Mode::Try => {
                // One value that can not be converted makes the whole NULL.
                let strict = Caster { mode: Mode::Strict, zone: self.zone };
                if let Ok(all) = strict.nested(array, from, to) {
                    return Ok(all);
                }
                let target = to.to_arrow();
                let parts = (0..array.len())
                    .map(|row| match strict.nested(&array.slice(row, 1), from, to) {
                        Ok(part) => super::with_arrow_type(&part, &target),
                        Err(error) if error.kind == starweir_model::ErrorKind::Data => Ok(new_null_array(&target, 1)),
                        Err(error) => Err(error),
                    })
                    .collect::<Result<Vec<_>>>()?;
                let refs: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
                arrow::compute::concat(&refs).map_err(arrow_error)
            }
            L::Array(_) | L::Map(..) | L::Multiset(_) | L::Row(_) => self.nested(array, from, to),
            L::Null => Ok(new_null_array(&DataType::Null, array.len())),
            L::TimestampTz(_) | L::Variant => Err(Self::unsupported(from, to)),
        }
    }

    fn to_text(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        let legacy = self.mode == Mode::Legacy;
        let printed = text::to_string_styled(array, from, Style { zone: self.zone, legacy });
        let (length, pad) = match to {
            L::Char(n) => (*n, true),
            L::VarChar(n) => (*n, false),
            _ => return Err(Self::unsupported(from, to)),
        };
        if legacy || (length == LENGTH_MAX) {
            return Ok(printed);
        }
        // Nothing to cut when the source can not be longer.
        if let L::Char(n) | L::VarChar(n) = from
            && !pad
            && *n <= length
        {
            return Ok(printed);
        }
        let length = length as usize;
        let strings = printed.as_string::<i32>();
        let mut builder = StringBuilder::with_capacity(strings.len(), strings.value_data().len());
        for row in 0..strings.len() {
            if strings.is_null(row) {
                builder.append_null();
                continue;
            }
            let value = strings.value(row);
            match value.char_indices().nth(length) {
                Some((at, _)) => builder.append_value(&value[..at]),
                None if pad => {
                    let missing = length - value.chars().count();
                    // A CHAR as wide as a page is nobody's wish; it is padded all the same.
                    builder.append_value(format!("{value}{}", " ".repeat(missing.min(1 << 20))));
                }
                None => builder.append_value(value),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn to_bytes(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        let bytes: BinaryArray = if from.is_binary() {
            array.as_binary::<i32>().clone()
        } else if from.is_character() {
            array.as_string::<i32>().iter().map(|v| v.map(str::as_bytes)).collect()
        } else {
            return Err(Self::unsupported(from, to));
        };
        let (length, pad) = match to {
            L::Binary(n) => (*n as usize, true),
            // Flink copies to the exact length when bytes are declared longer than the target.
            L::VarBinary(n) => {
                (*n as usize, matches!(from, L::Binary(m) | L::VarBinary(m) if m > n && *m != LENGTH_MAX))
            }
            _ => return Err(Self::unsupported(from, to)),
        };
        if length == LENGTH_MAX as usize || self.mode == Mode::Legacy {
            return Ok(Arc::new(bytes));
        }
        let mut builder = BinaryBuilder::with_capacity(bytes.len(), bytes.value_data().len());
        for value in &bytes {
            match value {
                None => builder.append_null(),
                Some(v) if v.len() > length => builder.append_value(&v[..length]),
                Some(v) if pad && v.len() < length => {
                    let mut padded = v.to_vec();
                    padded.resize(length.min(v.len() + (1 << 20)), 0);
                    builder.append_value(padded);
                }
                Some(v) => builder.append_value(v),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn to_boolean(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        if from.is_character() {
            let read = self.strings(array, from, to, |s| match s.to_ascii_lowercase().as_str() {
                "t" | "true" | "y" | "yes" | "1" => Some(true),
                "f" | "false" | "n" | "no" | "0" => Some(false),
                _ => None,
            })?;
            return Ok(Arc::new(BooleanArray::from(read)));
        }
        macro_rules! nonzero {
            ($t:ty, $zero:expr) => {
                array.as_primitive::<$t>().iter().map(|v| v.map(|v| v != $zero)).collect::<BooleanArray>()
            };
        }
        let result = match from {
            L::TinyInt => nonzero!(Int8Type, 0),
            L::SmallInt => nonzero!(Int16Type, 0),
            L::Int => nonzero!(Int32Type, 0),
            L::BigInt => nonzero!(Int64Type, 0),
            L::Float => nonzero!(Float32Type, 0.0),
            L::Double => nonzero!(Float64Type, 0.0),
            L::Decimal(..) => nonzero!(Decimal128Type, 0),
            _ => return Err(Self::unsupported(from, to)),
        };
        Ok(Arc::new(result))
    }

    fn to_integer<T>(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: TryFrom<i64> + FromDouble + Wrap,
    {
        macro_rules! from_ints {
            ($t:ty) => {
                array.as_primitive::<$t>().unary::<_, T>(|v| T::Native::wrap(i64::from(v)))
            };
        }
        let result: PrimitiveArray<T> = match from {
            L::Boolean => array.as_boolean().iter().map(|v| v.map(|v| T::Native::wrap(i64::from(v)))).collect(),
            L::TinyInt => from_ints!(Int8Type),
            L::SmallInt => from_ints!(Int16Type),
            L::Int => from_ints!(Int32Type),
            L::BigInt => from_ints!(Int64Type),
            L::Float => array.as_primitive::<Float32Type>().unary(|v| T::Native::from_double(f64::from(v))),
            L::Double => array.as_primitive::<Float64Type>().unary(T::Native::from_double),
            L::Decimal(_, s) => {
                let unit = decimal::pow10(u32::from(*s));
                array.as_primitive::<Decimal128Type>().unary(|v| T::Native::wrap((v / unit) as i64))
            }
            L::Char(_) | L::VarChar(_) => {
                let read =
                    self.strings(array, from, to, |s| java_integer(s).and_then(|v| T::Native::try_from(v).ok()))?;
                PrimitiveArray::from_iter(read)
            }
            L::IntervalYearMonth => {
                array.as_primitive::<IntervalYearMonthType>().unary(|v| T::Native::wrap(i64::from(v)))
            }
            L::IntervalDayTime => array.as_primitive::<DurationMillisecondType>().unary(T::Native::wrap),
            _ => return Err(Self::unsupported(from, to)),
        };
        Ok(Arc::new(result))
    }

    fn to_double(self, array: &ArrayRef, from: &L, to: &L) -> Result<Float64Array> {
        Ok(match from {
            L::Boolean => array.as_boolean().iter().map(|v| v.map(|v| f64::from(u8::from(v)))).collect(),
            L::TinyInt => array.as_primitive::<Int8Type>().unary(f64::from),
            L::SmallInt => array.as_primitive::<Int16Type>().unary(f64::from),
            L::Int => array.as_primitive::<Int32Type>().unary(f64::from),
            L::BigInt => array.as_primitive::<Int64Type>().unary(|v| v as f64),
            L::Float => array.as_primitive::<Float32Type>().unary(f64::from),
            L::Double => array.as_primitive::<Float64Type>().clone(),
            L::Decimal(_, s) => array.as_primitive::<Decimal128Type>().unary(|v| decimal::to_f64(v, *s)),
            L::Char(_) | L::VarChar(_) => Float64Array::from(self.strings(array, from, to, java_double)?),
            L::IntervalYearMonth => array.as_primitive::<IntervalYearMonthType>().unary(f64::from),
            L::IntervalDayTime => array.as_primitive::<DurationMillisecondType>().unary(|v| v as f64),
            _ => return Err(Self::unsupported(from, to)),
        })
    }

    fn to_decimal(self, array: &ArrayRef, from: &L, to: &L, precision: u8, scale: u8) -> Result<ArrayRef> {
        macro_rules! ints {
            ($t:ty) => {
                array
                    .as_primitive::<$t>()
                    .iter()
                    .map(|v| v.and_then(|v| decimal::rescale(i128::from(v), 0, scale, precision)))
                    .collect()
            };
        }
        let values: Decimal128Array = match from {
            L::Boolean => array
                .as_boolean()
                .iter()
                .map(|v| v.and_then(|v| decimal::rescale(i128::from(v), 0, scale, precision)))
                .collect(),
            L::TinyInt => ints!(Int8Type),
            L::SmallInt => ints!(Int16Type),
            L::Int => ints!(Int32Type),
            L::BigInt => ints!(Int64Type),
            L::Float => array
                .as_primitive::<Float32Type>()
                .iter()
                .map(|v| v.and_then(|v| decimal::from_f64(f64::from(v), precision, scale)))
                .collect(),
            L::Double => array
                .as_primitive::<Float64Type>()
                .iter()
                .map(|v| v.and_then(|v| decimal::from_f64(v, precision, scale)))
                .collect(),
            L::Decimal(_, s) => array
                .as_primitive::<Decimal128Type>()
                .iter()
                .map(|v| v.and_then(|v| decimal::rescale(v, *s, scale, precision)))
                .collect(),
            L::Char(_) | L::VarChar(_) => {
                // Text that has too many digits is an error, unlike a number that has.
                let read = self.strings(array, from, to, |s| decimal::parse(s, precision, scale).ok().flatten())?;
                read.into_iter().collect()
            }
            L::IntervalYearMonth => array
                .as_primitive::<IntervalYearMonthType>()
                .iter()
                .map(|v| v.and_then(|v| decimal::rescale(i128::from(v), 0, scale, precision)))
                .collect(),
            L::IntervalDayTime => array
                .as_primitive::<DurationMillisecondType>()
                .iter()
                .map(|v| v.and_then(|v| decimal::rescale(i128::from(v), 0, scale, precision)))
                .collect(),
            _ => return Err(Self::unsupported(from, to)),
        };
        Ok(Arc::new(values.with_precision_and_scale(precision, scale as i8).map_err(arrow_error)?))
    }

    fn to_date(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        let days = |nanos: i128| nanos.div_euclid(NANOS_PER_DAY) as i32;
        let result: Date32Array = match from {
            L::Char(_) | L::VarChar(_) => {
                Date32Array::from(self.strings(array, from, to, |s| time::parse_date(s).map(|d| d as i32))?)
            }
            L::Timestamp(_) => rows(array).map(|r| r.map(|r| days(timestamp_nanos(array.as_ref(), r)))).collect(),
            L::TimestampLtz(_) => {
                rows(array).map(|r| r.map(|r| days(self.zone.to_local(timestamp_nanos(array.as_ref(), r))))).collect()
            }
            _ => return Err(Self::unsupported(from, to)),
        };
        Ok(Arc::new(result))
    }

    fn to_time(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        let millis = |nanos: i128| (nanos.rem_euclid(NANOS_PER_DAY) / NANOS_PER_MILLI) as i32;
        let result: Time32MillisecondArray = match from {
            L::Time(_) => return Ok(Arc::clone(array)),
            L::Char(_) | L::VarChar(_) => {
                Time32MillisecondArray::from(self.strings(array, from, to, |s| time::parse_time(s).map(|t| t as i32))?)
            }
            L::Timestamp(_) => rows(array).map(|r| r.map(|r| millis(timestamp_nanos(array.as_ref(), r)))).collect(),
            L::TimestampLtz(_) => {
                rows(array).map(|r| r.map(|r| millis(self.zone.to_local(timestamp_nanos(array.as_ref(), r))))).collect()
            }
            _ => return Err(Self::unsupported(from, to)),
        };
        Ok(Arc::new(result))
    }

    fn to_timestamp(self, array: &ArrayRef, from: &L, to: &L, precision: u8, ltz: bool) -> Result<ArrayRef> {
        let zone = self.zone;
        let from_local = |nanos: i128| if ltz { zone.to_instant(nanos) } else { nanos };
        let values: Vec<Option<i128>> = match from {
            L::Timestamp(_) => rows(array).map(|r| r.map(|r| from_local(timestamp_nanos(array.as_ref(), r)))).collect(),
            L::TimestampLtz(_) => rows(array)
                .map(|r| {
                    r.map(|r| {
                        let nanos = timestamp_nanos(array.as_ref(), r);
                        if ltz { nanos } else { zone.to_local(nanos) }
                    })
                })
                .collect(),
            L::Date => {
                let dates = array.as_primitive::<Date32Type>();
                rows(array).map(|r| r.map(|r| from_local(i128::from(dates.value(r)) * NANOS_PER_DAY))).collect()
            }
            L::Time(_) => {
                let times = array.as_primitive::<Time32MillisecondType>();
                rows(array).map(|r| r.map(|r| from_local(i128::from(times.value(r)) * NANOS_PER_MILLI))).collect()
            }
            L::Char(_) | L::VarChar(_) => {
                self.strings(array, from, to, time::parse_timestamp)?.into_iter().map(|v| v.map(from_local)).collect()
            }
            _ => return Err(Self::unsupported(from, to)),
        };
        timestamps(values.into_iter().map(|v| v.map(|v| time::cut_nanos(v, precision))), precision, ltz)
    }

    fn to_interval(self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        if *to == L::IntervalYearMonth {
            let ints = self.to_integer::<Int32Type>(array, from, &L::Int)?;
            let months: IntervalYearMonthArray = ints.as_primitive::<Int32Type>().unary(|v| v);
            return Ok(Arc::new(months));
        }
        let ints = self.to_integer::<Int64Type>(array, from, &L::BigInt)?;
        let millis: DurationMillisecondArray = ints.as_primitive::<Int64Type>().unary(|v| v);
        Ok(Arc::new(millis))
    }

    fn nested(&self, array: &ArrayRef, from: &L, to: &L) -> Result<ArrayRef> {
        match (from, to) {
            (L::Array(a), L::Array(b)) => {
                let list = array.as_list::<i32>();
                let values = self.cast(list.values(), &a.logical, &b.logical)?;
                make_list(values, list.offsets().clone(), list.nulls().cloned(), b)
            }
            (L::Map(ka, va), L::Map(kb, vb)) => {
                self.map(array, (&ka.logical, &va.logical), (&kb.logical, &vb.logical), to)
            }
            (L::Multiset(a), L::Multiset(b)) => self.map(array, (&a.logical, &L::Int), (&b.logical, &L::Int), to),
            (L::Row(a), L::Row(b)) if a.len() == b.len() => {
                let row = array.as_struct();
                let columns = row
                    .columns()
                    .iter()
                    .zip(a.iter().zip(b))
                    .map(|(c, (fa, fb))| self.cast(c, &fa.data_type.logical, &fb.data_type.logical))
                    .collect::<Result<Vec<_>>>()?;
                make_row(columns, row.nulls().cloned(), b, row.len())
            }
            _ => Err(Self::unsupported(from, to)),
        }
    }

    fn map(&self, array: &ArrayRef, (ka, va): (&L, &L), (kb, vb): (&L, &L), to: &L) -> Result<ArrayRef> {
        let map = array.as_map();
        let keys = self.cast(map.keys(), ka, kb)?;
        let values = self.cast(map.values(), va, vb)?;
        make_map(keys, values, map.offsets().clone(), map.nulls().cloned(), to)
    }
}

/// Positions of a column's values, `None` for NULL.
fn rows(array: &ArrayRef) -> impl Iterator<Item = Option<usize>> + '_ {
    (0..array.len()).map(|r| array.is_valid(r).then_some(r))
}

/// Integers to a narrower one, wrapped as Java wraps.
pub(crate) trait Wrap {
    fn wrap(value: i64) -> Self;
}
macro_rules! wrap {
    ($($t:ty),*) => { $(impl Wrap for $t { fn wrap(value: i64) -> Self { value as $t } })* };
}
wrap!(i8, i16, i32, i64);

/// A timestamp column from nanoseconds; what Arrow can not hold is an error.
pub(crate) fn timestamps(values: impl Iterator<Item = Option<i128>>, precision: u8, ltz: bool) -> Result<ArrayRef> {
    let out_of_range = || Error::data("a point in time is outside of the years that TIMESTAMP can hold here");
    let zone: Option<Arc<str>> = ltz.then(|| "UTC".into());
    if precision <= 6 {
        let micros = values
            .map(|v| v.map(|v| i64::try_from(v.div_euclid(1000)).map_err(|_| out_of_range())).transpose())
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(TimestampMicrosecondArray::from(micros).with_timezone_opt(zone)))
    } else {
        let nanos = values
            .map(|v| v.map(|v| i64::try_from(v).map_err(|_| out_of_range())).transpose())
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(TimestampNanosecondArray::from(nanos).with_timezone_opt(zone)))
    }
}

/// A list column whose field says what the Flink element type says, where the values allow it.
pub(crate) fn make_list(
    values: ArrayRef,
    offsets: arrow::buffer::OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    element: &FlinkType,
) -> Result<ArrayRef> {
    let nullable = element.nullable || values.logical_null_count() > 0;
    let values = super::with_arrow_type(&values, &element.to_arrow()).unwrap_or(values);
    let field = Field::new("item", values.data_type().clone(), nullable);
    Ok(Arc::new(ListArray::try_new(Arc::new(field), offsets, values, nulls).map_err(arrow_error)?))
}

/// A row column whose fields say what the Flink fields say, where the values allow it.
pub(crate) fn make_row(
    columns: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
    fields: &[starweir_model::Field],
    rows: usize,
) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(rows, nulls)));
    }
    let arrow_fields: Fields = fields
        .iter()
        .zip(&columns)
        .map(|(f, c)| Field::new(&f.name, c.data_type().clone(), f.data_type.nullable || c.logical_null_count() > 0))
        .collect();
    Ok(Arc::new(StructArray::try_new(arrow_fields, columns, nulls).map_err(arrow_error)?))
}

/// A map column from its entries; NULL keys are an error.
pub(crate) fn make_map(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: arrow::buffer::OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    to: &L,
) -> Result<ArrayRef> {
    if keys.logical_null_count() > 0 {
        return Err(Error::data("a map's key must not be NULL"));
    }
    let value_nullable = match to {
        L::Map(_, v) => v.nullable || values.logical_null_count() > 0,
        _ => false,
    };
    let fields = Fields::from(vec![
        Field::new("key", keys.data_type().clone(), false),
        Field::new("value", values.data_type().clone(), value_nullable),
    ]);
    let entries = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(arrow_error)?;
    let field = Field::new("entries", DataType::Struct(fields), false);
    Ok(Arc::new(MapArray::try_new(Arc::new(field), offsets, entries, nulls, false).map_err(arrow_error)?))
}

/// `BinaryStringDataUtil.toLong`: blanks around, a sign, digits, perhaps a fraction that is cut.
pub(crate) fn java_integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if digits.is_empty() {
        // ".5" is 0; a lone sign or nothing is no number.
        return (whole.is_empty() && !fraction.is_empty()).then_some(0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    whole.parse().ok()
}

fn java_number_text(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    if matches!(text, "NaN" | "Infinity" | "+Infinity" | "-Infinity") {
        return Some(text);
    }
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    // Rust also reads "inf" and "nan", Java does not.
    if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        Some(text)
    } else {
        None
    }
}

/// `Double.parseDouble`.
pub fn java_double(text: &str) -> Option<f64> {
    java_number_text(text)?.parse().ok()
}

fn java_float(text: &str) -> Option<f32> {
    java_number_text(text)?.parse().ok()
}

/// Milliseconds of the epoch of a timestamp, for watermarks.
pub(crate) fn nanos_to_millis(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(NANOS_PER_MILLI)).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, to: L, expected: Option<&str>) {
        let array: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let from = FlinkType::string();
        let to = FlinkType::nullable(to);
        let strict = cast_column(&array, &from, &to, Mode::Strict, Zone::UTC);
        let tried = cast_column(&array, &from, &to, Mode::Try, Zone::UTC).unwrap();
        assert_eq!(text::format_value(&tried, &to, 0, Zone::UTC).as_deref(), expected, "{value:?} to {to}");
        match expected {
            Some(_) => assert!(strict.is_ok(), "{value:?} to {to}"),
            None => assert!(strict.is_err() || strict.unwrap().is_null(0), "{value:?} to {to}"),
        }
    }

    #[test]
    fn text_becomes_values_as_flink_reads_it() {
        check(" 12 ", L::Int, Some("12"));
        check("12.5", L::Int, Some("12"));
        check("1e3", L::Int, None);
        check("", L::Int, None);
        check("2147483648", L::Int, None);
        check("yes", L::Boolean, Some("TRUE"));
        check("on", L::Boolean, None);
        check("1e3", L::Double, Some("1000.0"));
        check("inf", L::Double, None);
        check("1.005", L::Decimal(5, 2), Some("1.01"));
        check("1234.5", L::Decimal(3, 0), None);
        check("2020-05", L::Date, Some("2020-05-01"));
        check("2020-02-30", L::Date, None);
        check("2020-01-31T13:05:09", L::Timestamp(3), None);
        check("2020-01-31 13:05:09.1239", L::Timestamp(3), Some("2020-01-31 13:05:09.123"));
        check("abcdef", L::VarChar(3), Some("abc"));
        check("ab", L::Char(4), Some("ab  "));
    }

    #[test]
    fn integers_wrap_and_doubles_saturate() {
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![300]));
        let narrow =
            cast_column(&ints, &FlinkType::nullable(L::Int), &FlinkType::nullable(L::TinyInt), Mode::Strict, Zone::UTC)
                .unwrap();
        assert_eq!(narrow.as_primitive::<Int8Type>().value(0), 44);
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1e10, f64::NAN]));
        let ints = cast_column(
            &doubles,
            &FlinkType::nullable(L::Double),
            &FlinkType::nullable(L::Int),
            Mode::Strict,
            Zone::UTC,
        )
        .unwrap();
        assert_eq!(ints.as_primitive::<Int32Type>().values(), &[i32::MAX, 0]);
    }
}
