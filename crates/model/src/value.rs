//! Single values, for the places where rows are few or odd: transform expressions, coercions after a schema change,
//! the `values` connector. Bulk data stays in Arrow columns.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decimal number: `unscaled` / 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal {
    pub unscaled: i128,
    pub scale: u8,
}

/// A point in time with nanoseconds: since 1970-01-01T00:00:00 of no zone (TIMESTAMP) or of UTC (TIMESTAMP_LTZ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant {
    pub seconds: i64,
    /// 0 to 999,999,999; counts forward also before 1970.
    pub nanos: u32,
}

impl Instant {
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    pub const fn from_micros(micros: i64) -> Self {
        Self { seconds: micros.div_euclid(1_000_000), nanos: (micros.rem_euclid(1_000_000) * 1000) as u32 }
    }

    pub const fn from_millis(millis: i64) -> Self {
        Self { seconds: millis.div_euclid(1000), nanos: (millis.rem_euclid(1000) * 1_000_000) as u32 }
    }

    /// None outside of about 290,000 years around 1970.
    pub fn to_micros(self) -> Option<i64> {
        self.seconds.checked_mul(1_000_000)?.checked_add(i64::from(self.nanos / 1000))
    }

    /// None outside of about 290 million years around 1970.
    pub fn to_millis(self) -> Option<i64> {
        self.seconds.checked_mul(1000)?.checked_add(i64::from(self.nanos / 1_000_000))
    }
}

/// One value. Which variant a column holds follows from its type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    Boolean(bool),
    TinyInt(i8),
    SmallInt(i16),
    Int(i32),
    BigInt(i64),
    Float(#[serde(with = "any_float")] f32),
    Double(#[serde(with = "any_float")] f64),
    Decimal(Decimal),
    /// CHAR, VARCHAR and STRING.
    String(String),
    /// BINARY, VARBINARY and BYTES.
    Binary(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Nanoseconds since midnight; may be negative or above a day, as MySQL's TIME may.
    Time(i64),
    /// TIMESTAMP: local date and time.
    Timestamp(Instant),
    /// TIMESTAMP_LTZ: an instant.
    TimestampLtz(Instant),
    /// TIMESTAMP WITH TIME ZONE: local date and time, its offset from UTC in seconds, and the zone's name.
    TimestampTz {
        local: Instant,
        offset_seconds: i32,
        zone: String,
    },
    Array(Vec<Value>),
    /// In the order of the input; keys are unique.
    Map(Vec<(Value, Value)>),
    Row(Vec<Value>),
    /// JSON text, compact, object keys in alphabetical order.
    Variant(String),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }
}

impl fmt::Display for Decimal {
    /// All digits of the scale, never an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.unscaled);
        }
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

/// Floating-point numbers as JSON numbers; what JSON has no number for (NaN, infinities) as text.
mod any_float {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<F, S>(value: &F, serializer: S) -> Result<S::Ok, S::Error>
    where
        F: Copy + Into<f64> + Display + Serialize,
        S: Serializer,
    {
        let wide: f64 = (*value).into();
        if wide.is_finite() { value.serialize(serializer) } else { serializer.collect_str(value) }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form<F> {
        Number(F),
        Text(String),
    }

    pub fn deserialize<'de, F, D>(deserializer: D) -> Result<F, D::Error>
    where
        F: Deserialize<'de> + FromStr,
        F::Err: Display,
        D: Deserializer<'de>,
    {
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(number),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// What a change does to its table, as Flink CDC names it. An update holds both images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChangeOp {
    Insert,
    Update,
    Delete,
    /// Insert or replace by key; no image of before.
    Replace,
}

/// One change with its images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowChange {
    pub op: ChangeOp,
    /// Absent for inserts and replaces.
    pub before: Option<Vec<Value>>,
    /// Absent for deletes.
    pub after: Option<Vec<Value>>,
    /// What the source says about the change (`op_ts`, …), as text.
    pub meta: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_from_json() {
        for value in [1.5, -0.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let values = [Value::Double(value), Value::Float(value as f32)];
            let text = serde_json::to_string(&values).unwrap();
            let back: [Value; 2] = serde_json::from_str(&text).unwrap();
            assert_eq!(format!("{back:?}"), format!("{values:?}"), "{text}");
        }
    }

    #[test]
    fn decimals_print_all_digits_of_their_scale() {
        for (unscaled, scale, expected) in
            [(0, 0, "0"), (0, 2, "0.00"), (5, 2, "0.05"), (-5, 2, "-0.05"), (12345, 2, "123.45"), (-100, 1, "-10.0")]
        {
            assert_eq!(Decimal { unscaled, scale }.to_string(), expected);
        }
    }

    #[test]
    fn instants_before_1970_count_their_nanoseconds_forward() {
        let instant = Instant::from_micros(-1);
        assert_eq!(instant, Instant::new(-1, 999_999_000));
        assert_eq!(instant.to_micros(), Some(-1));
        assert_eq!(Instant::from_millis(-1).to_millis(), Some(-1));
    }
}
