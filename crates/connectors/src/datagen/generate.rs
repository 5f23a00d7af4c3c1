//! The values of one column.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Array, Decimal128Array, DurationMillisecondArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalYearMonthArray, ListArray, MapArray,
    NullArray, StringBuilder, StructArray, Time32MillisecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType as ArrowType;
use starweir_model::option::{OptionError, parse_duration};
use starweir_model::{DataType, LogicalType, Options};

/// How a column's values are made.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    kind: Kind,
    arrow: ArrowType,
    logical: LogicalType,
    null_rate: f64,
    /// Tells columns apart.
    seed: u64,
}

#[derive(Debug, Clone)]
enum Kind {
    Sequence {
        start: i64,
        end: i64,
    },
    Int {
        min: i64,
        max: i64,
    },
    Float {
        min: f64,
        max: f64,
    },
    Bool,
    Text {
        length: usize,
        varies: bool,
    },
    Bytes {
        length: usize,
        varies: bool,
    },
    /// Now, less up to so many milliseconds.
    Now {
        past_ms: i64,
    },
    List(Box<Generator>),
    Map(Box<Generator>, Box<Generator>),
    Row(Vec<Generator>),
    Null,
}

/// Elements of a made ARRAY, MAP or MULTISET (Flink's default size).
const COLLECTION_SIZE: usize = 3;
/// Flink's default length of a made string.
const TEXT_LENGTH: usize = 100;

/// SplitMix64: a well mixed number for each (seed, row).
fn mix(seed: u64, row: u64) -> u64 {
    let mut z = seed ^ row.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

impl Generator {
    /// Reads `fields.<name>.*`. `name` is a dotted path for members of rows.
    pub(super) fn build(name: &str, data_type: &DataType, options: &Options) -> Result<Self, OptionError> {
        let get = |key: &str| {
            let wanted = format!("{name}.{key}");
            options.group("fields.").find(|(k, _)| *k == wanted).map(|(_, v)| v)
        };
        let bad = |key: &str, what: String| OptionError {
            option: format!("fields.{name}.{key}"),
            message: format!("option 'fields.{name}.{key}' {what}"),
            hint: None,
        };
        const KEYS: [&str; 9] = ["kind", "min", "max", "start", "end", "length", "var-len", "max-past", "null-rate"];
        for (key, _) in options.group("fields.") {
            let Some(rest) = key.strip_prefix(name).and_then(|r| r.strip_prefix('.')) else { continue };
            let nested = matches!(
                data_type.logical,
                LogicalType::Row(_) | LogicalType::Array(_) | LogicalType::Map(..) | LogicalType::Multiset(_)
            );
            if !KEYS.contains(&rest) && !nested {
                return Err(OptionError {
                    option: format!("fields.{key}"),
                    message: format!("unknown option 'fields.{key}'"),
                    hint: starweir_model::nearest(rest, KEYS).map(|k| format!("did you mean 'fields.{name}.{k}'?")),
                });
            }
        }
        let int = |key: &str| match get(key) {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse::<i64>()
                .map(Some)
                .map_err(|_| bad(key, format!("must be a whole number, but is '{text}'"))),
        };
        let float = |key: &str| match get(key) {
            None => Ok(None),
            Some(text) => {
                text.trim().parse::<f64>().map(Some).map_err(|_| bad(key, format!("must be a number, but is '{text}'")))
            }
        };
        let null_rate = float("null-rate")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(bad("null-rate", "must be from 0 to 1".into()));
        }
        let sequence = match get("kind").unwrap_or("random") {
            "random" => false,
            "sequence" => true,
            other => return Err(bad("kind", format!("must be one of random, sequence, but is '{other}'"))),
        };
        let length = int("length")?.map(|n| n.clamp(0, 1 << 20) as usize);
        let varies = get("var-len").is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        let logical = &data_type.logical;
        let kind = if sequence {
            let numeric = logical.is_numeric() || logical.is_character();
            let (Some(start), Some(end), true) = (int("start")?, int("end")?, numeric) else {
                return Err(bad("kind", "sequence needs a number or text column, and both start and end".into()));
            };
            if end < start {
                return Err(bad("end", "must not be less than start".into()));
            }
            Kind::Sequence { start, end }
        } else {
            let ints = |low: i64, high: i64| -> Result<Kind, OptionError> {
                let (min, max) = (int("min")?.unwrap_or(low), int("max")?.unwrap_or(high));
                if min > max || min < low || max > high {
                    return Err(bad("min", format!("and max must be from {low} to {high}, min not above max")));
                }
                Ok(Kind::Int { min, max })
            };
            match logical {
                LogicalType::Boolean => Kind::Bool,
                LogicalType::TinyInt => ints(i8::MIN.into(), i8::MAX.into())?,
                LogicalType::SmallInt => ints(i16::MIN.into(), i16::MAX.into())?,
                LogicalType::Int => ints(i32::MIN.into(), i32::MAX.into())?,
                LogicalType::BigInt => ints(i64::MIN, i64::MAX)?,
                LogicalType::IntervalYearMonth => ints(0, 120_000)?,
                LogicalType::IntervalDayTime => ints(0, i64::MAX)?,
                LogicalType::Float | LogicalType::Double | LogicalType::Decimal(..) => {
                    let (low, high) = match logical {
                        LogicalType::Decimal(p, s) => {
                            let high = 10f64.powi(i32::from(*p) - i32::from(*s)) * (1.0 - 1e-9);
                            (-high, high)
                        }
                        LogicalType::Float => (0.0, f64::from(f32::MAX)),
                        _ => (0.0, f64::MAX),
                    };
                    let (min, max) = (float("min")?.unwrap_or(low), float("max")?.unwrap_or(high));
                    if min.is_nan() || max.is_nan() || min > max {
                        return Err(bad("min", "must not be above max".into()));
                    }
                    Kind::Float { min, max }
                }
                LogicalType::Char(n) => Kind::Text { length: length.unwrap_or(*n as usize), varies: false },
                LogicalType::VarChar(n) => {
                    Kind::Text { length: length.unwrap_or(TEXT_LENGTH.min(*n as usize)), varies }
                }
                LogicalType::Binary(n) => Kind::Bytes { length: length.unwrap_or(*n as usize), varies: false },
                LogicalType::VarBinary(n) => {
                    Kind::Bytes { length: length.unwrap_or(TEXT_LENGTH.min(*n as usize)), varies }
                }
                LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_) | LogicalType::TimestampLtz(_) => {
                    let past = match get("max-past") {
                        None => std::time::Duration::ZERO,
                        Some(text) => parse_duration(text)
                            .ok_or_else(|| bad("max-past", format!("must be a duration, but is '{text}'")))?,
                    };
                    Kind::Now { past_ms: past.as_millis().min(i64::MAX as u128 / 4) as i64 }
                }
                LogicalType::Array(element) => {
                    Kind::List(Box::new(Self::build(&format!("{name}.element"), element, options)?))
                }
                LogicalType::Map(key, value) => Kind::Map(
                    Box::new(Self::build(&format!("{name}.key"), key, options)?),
                    Box::new(Self::build(&format!("{name}.value"), value, options)?),
                ),
                LogicalType::Multiset(element) => Kind::Map(
                    Box::new(Self::build(&format!("{name}.element"), element, options)?),
                    Box::new(Self::build(&format!("{name}.count"), &DataType::not_null(LogicalType::Int), options)?),
                ),
                LogicalType::Row(fields) => Kind::Row(
                    fields
                        .iter()
                        .map(|f| Self::build(&format!("{name}.{}", f.name), &f.data_type, options))
                        .collect::<Result<_, _>>()?,
                ),
                LogicalType::TimestampTz(_) | LogicalType::Variant => {
                    return Err(bad("kind", format!("cannot make values of type {logical}")));
                }
                LogicalType::Null => Kind::Null,
            }
        };
        let null_rate = if data_type.nullable { null_rate } else { 0.0 };
        let seed =
            name.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        Ok(Self { kind, arrow: data_type.to_arrow(), logical: logical.clone(), null_rate, seed })
    }

    /// Rows until a sequence ends.
    pub(super) fn rows_max(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequence { start, end } => Some(end.abs_diff(start).saturating_add(1)),
            _ => None,
        }
    }

    /// The values of these rows.
    pub(super) fn array(&self, rows: Range<u64>, now_ms: i64) -> ArrayRef {
        let length = (rows.end - rows.start) as usize;
        let nulls: Option<NullBuffer> = (self.null_rate > 0.0).then(|| {
            rows.clone().map(|r| unit(mix(self.seed ^ 0x5EED, r)) >= self.null_rate).collect::<Vec<_>>().into()
        });
        let random = |row: u64| mix(self.seed, row);
        let valid = |row: u64| nulls.as_ref().is_none_or(|n| n.is_valid((row - rows.start) as usize));
        match &self.kind {
            Kind::Null => Arc::new(NullArray::new(length)),
            Kind::Bool => {
                let mut out = BooleanBuilder::with_capacity(length);
                rows.clone().for_each(|r| out.append_option(valid(r).then(|| random(r) & 1 == 1)));
                Arc::new(out.finish())
            }
            Kind::Sequence { start, .. } => self.numbers(
                rows.clone().map(|r| start.wrapping_add_unsigned(r) as f64),
                rows.clone().map(|r| start.wrapping_add_unsigned(r)),
                nulls,
            ),
            Kind::Int { min, max } => {
                let span = max.abs_diff(*min);
                let value = |r: u64| {
                    let offset = if span == u64::MAX { random(r) } else { random(r) % (span + 1) };
                    min.wrapping_add_unsigned(offset)
                };
                self.numbers(rows.clone().map(|r| value(r) as f64), rows.clone().map(value), nulls)
            }
            Kind::Float { min, max } => {
                let value = |r: u64| min + unit(random(r)) * (max - min).min(f64::MAX);
                self.numbers(rows.clone().map(value), rows.clone().map(|r| value(r) as i64), nulls)
            }
            Kind::Text { length: longest, varies } => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let mut out = StringBuilder::with_capacity(length, length * longest);
                let mut text = String::new();
                for row in rows.clone() {
                    if !valid(row) {
                        out.append_null();
                        continue;
                    }
                    text.clear();
                    let mut bits = random(row);
                    let chars = if *varies && *longest > 0 { 1 + (mix(bits, 1) as usize) % longest } else { *longest };
                    for i in 0..chars {
                        if i % 16 == 15 {
                            bits = mix(bits, i as u64);
                        }
                        text.push(HEX[(bits & 15) as usize] as char);
                        bits >>= 4;
                    }
                    out.append_value(&text);
                }
                Arc::new(out.finish())
            }
            Kind::Bytes { length: longest, varies } => {
                let mut out = BinaryBuilder::with_capacity(length, length * longest);
                for row in rows.clone() {
                    if !valid(row) {
                        out.append_null();
                        continue;
                    }
                    let bits = random(row);
                    let count = if *varies && *longest > 0 { 1 + (mix(bits, 1) as usize) % longest } else { *longest };
                    out.append_value((0..count).map(|i| mix(bits, i as u64) as u8).collect::<Vec<_>>());
                }
                Arc::new(out.finish())
            }
            Kind::Now { past_ms } => {
                let at = |r: u64| now_ms - if *past_ms > 0 { (random(r) % (*past_ms as u64 + 1)) as i64 } else { 0 };
                self.instants(rows.clone().map(at), nulls)
            }
            Kind::List(element) => {
                let inner = rows.start * COLLECTION_SIZE as u64..rows.end * COLLECTION_SIZE as u64;
                let ArrowType::List(field) = &self.arrow else { return Arc::new(NullArray::new(length)) };
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(COLLECTION_SIZE, length));
                Arc::new(ListArray::new(field.clone(), offsets, element.array(inner, now_ms), nulls))
            }
            Kind::Map(key, value) => {
                let inner = rows.start * COLLECTION_SIZE as u64..rows.end * COLLECTION_SIZE as u64;
                let ArrowType::Map(field, _) = &self.arrow else { return Arc::new(NullArray::new(length)) };
                let ArrowType::Struct(members) = field.data_type() else { return Arc::new(NullArray::new(length)) };
                let columns = vec![key.array(inner.clone(), now_ms), value.array(inner, now_ms)];
                let entries = StructArray::new(members.clone(), columns, None);
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(COLLECTION_SIZE, length));
                Arc::new(MapArray::new(field.clone(), offsets, entries, nulls, false))
            }
            Kind::Row(members) => {
                let ArrowType::Struct(fields) = &self.arrow else { return Arc::new(NullArray::new(length)) };
                let columns = members.iter().map(|m| m.array(rows.clone(), now_ms)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, nulls))
            }
        }
    }

    fn numbers(
        &self,
        floats: impl Iterator<Item = f64>,
        ints: impl Iterator<Item = i64>,
        nulls: Option<NullBuffer>,
    ) -> ArrayRef {
        match &self.logical {
            LogicalType::TinyInt => Arc::new(Int8Array::new(ints.map(|v| v as i8).collect(), nulls)),
            LogicalType::SmallInt => Arc::new(Int16Array::new(ints.map(|v| v as i16).collect(), nulls)),
            LogicalType::Int => Arc::new(Int32Array::new(ints.map(|v| v as i32).collect(), nulls)),
            LogicalType::BigInt => Arc::new(Int64Array::new(ints.collect(), nulls)),
            LogicalType::Float => Arc::new(Float32Array::new(floats.map(|v| v as f32).collect(), nulls)),
            LogicalType::Double => Arc::new(Float64Array::new(floats.collect(), nulls)),
            LogicalType::Decimal(p, s) => {
                let factor = 10f64.powi(i32::from(*s));
                let whole = 10i128.pow(u32::from(*s));
                let sequence = matches!(self.kind, Kind::Sequence { .. });
                let values = floats
                    .zip(ints)
                    .map(|(float, int)| if sequence { i128::from(int) * whole } else { (float * factor) as i128 });
                Arc::new(
                    Decimal128Array::new(values.collect(), nulls).with_data_type(ArrowType::Decimal128(*p, *s as i8)),
                )
            }
            LogicalType::IntervalYearMonth => {
                Arc::new(IntervalYearMonthArray::new(ints.map(|v| v as i32).collect(), nulls))
            }
            LogicalType::IntervalDayTime => Arc::new(DurationMillisecondArray::new(ints.collect(), nulls)),
            _ => {
                let mut out = StringBuilder::new();
                for (i, value) in ints.enumerate() {
                    out.append_option(nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| value.to_string()));
                }
                Arc::new(out.finish())
            }
        }
    }

    fn instants(&self, values_ms: impl Iterator<Item = i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        const DAY_MS: i64 = 86_400_000;
        match &self.arrow {
            ArrowType::Date32 => {
                Arc::new(Date32Array::new(values_ms.map(|v| v.div_euclid(DAY_MS) as i32).collect(), nulls))
            }
            ArrowType::Time32(_) => {
                Arc::new(Time32MillisecondArray::new(values_ms.map(|v| v.rem_euclid(DAY_MS) as i32).collect(), nulls))
            }
            ArrowType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, zone) => Arc::new(
                TimestampNanosecondArray::new(values_ms.map(|v| v.saturating_mul(1_000_000)).collect(), nulls)
                    .with_timezone_opt(zone.clone()),
            ),
            ArrowType::Timestamp(_, zone) => Arc::new(
                TimestampMicrosecondArray::new(values_ms.map(|v| v.saturating_mul(1000)).collect(), nulls)
                    .with_timezone_opt(zone.clone()),
            ),
            _ => Arc::new(NullArray::new(values_ms.count())),
        }
    }
}
