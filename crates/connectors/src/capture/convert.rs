//! Captured columns in the form of declared ones. What fits is decided in [`fit`](super::fit).

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, Decimal128Type, Float32Type, Int8Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use starweir_formats::{civil_from_days, parse_decimal};

use super::fit::Conversion;
use super::zone::Zone;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Why a column's values cannot be given as declared; holds no value.
pub(super) type Misfit = &'static str;

const UNLIKE: Misfit = "it is not held as its type says";

/// The column as `to`.
pub(super) fn convert(
    array: &ArrayRef,
    conversion: &Conversion,
    to: &ArrowType,
    zone: &Zone,
) -> Result<ArrayRef, Misfit> {
    Ok(match conversion {
        Conversion::Same if array.data_type() == to => array.clone(),
        Conversion::Same | Conversion::Widen => cast(array, to)?,
        Conversion::Checked => cast(array, to).map_err(|_| "a number is too large")?,
        Conversion::Approximate => approximate(array, to)?,
        Conversion::Truth => {
            let numbers = array.as_primitive_opt::<Int8Type>().ok_or(UNLIKE)?;
            Arc::new(numbers.iter().map(|n| n.map(|n| n != 0)).collect::<BooleanArray>())
        }
        Conversion::Parse => parse(array, to)?,
        Conversion::Text(digits) => text(array, *digits, zone)?,
        Conversion::Fraction(digits) => match to {
            ArrowType::Time32(TimeUnit::Millisecond) => time(array, *digits)?,
            _ => timestamp(array, *digits, to, Some)?,
        },
        Conversion::Local(digits) => timestamp(array, *digits, to, |micros| zone.local_micros(micros))?,
        Conversion::Elements(element) => {
            let list = array.as_list_opt::<i32>().ok_or(UNLIKE)?;
            let ArrowType::List(field) = to else { return Err(UNLIKE) };
            let values = convert(list.values(), element, field.data_type(), zone)?;
            let made = ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned());
            Arc::new(made.map_err(|_| "an element is NULL, and elements are declared NOT NULL")?)
        }
    })
}

fn cast(array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, Misfit> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|_| "a value does not fit")
}

fn approximate(array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, Misfit> {
    let made = cast(array, to)?;
    // A DOUBLE beyond FLOAT would become infinite.
    if let (Some(doubles), Some(floats)) =
        (array.as_primitive_opt::<arrow::datatypes::Float64Type>(), made.as_primitive_opt::<Float32Type>())
        && doubles.iter().zip(floats).any(|(d, f)| d.is_some_and(f64::is_finite) && f.is_some_and(f32::is_infinite))
    {
        return Err("a number is too large");
    }
    Ok(made)
}

fn parse(array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, Misfit> {
    let texts = array.as_string_opt::<i32>().ok_or(UNLIKE)?;
    let ArrowType::Decimal128(precision, scale) = to else { return Err(UNLIKE) };
    let mut numbers = PrimitiveArray::<Decimal128Type>::builder(texts.len());
    for text in texts {
        match text {
            // As in a column whose captured type is DECIMAL already.
            None | Some("NaN" | "Infinity" | "-Infinity") => numbers.append_null(),
            Some(text) => {
                let number = parse_decimal(text.trim().as_bytes(), *precision, *scale as u8);
                let number = number.map_err(|_| "a text is no number")?;
                numbers.append_value(number.ok_or("a number is too large")?);
            }
        }
    }
    Ok(Arc::new(numbers.finish().with_data_type(to.clone())))
}

/// Microseconds of a captured time or timestamp.
fn micros(array: &ArrayRef) -> Result<PrimitiveArray<Int64Type>, Misfit> {
    match array.data_type() {
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast())
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(array.as_primitive::<TimestampNanosecondType>().unary(|nanos: i64| nanos.div_euclid(1000)))
        }
        ArrowType::Time64(TimeUnit::Microsecond) => {
            Ok(array.as_primitive::<Time64MicrosecondType>().reinterpret_cast())
        }
        _ => Err(UNLIKE),
    }
}

/// Microseconds without the digits beyond so many.
fn cut(micros: i64, digits: u8) -> i64 {
    let step = 10_i64.pow(u32::from(6 - digits.min(6)));
    micros.div_euclid(step) * step
}

fn time(array: &ArrayRef, digits: u8) -> Result<ArrayRef, Misfit> {
    primitive::<Time32MillisecondType>(&micros(array)?, |micros| {
        if !(0..MICROS_PER_DAY).contains(&micros) {
            return Err("a TIME is not within a day");
        }
        i32::try_from(cut(micros, digits) / 1000).map_err(|_| UNLIKE)
    })
}

fn timestamp(
    array: &ArrayRef,
    digits: u8,
    to: &ArrowType,
    moved: impl Fn(i64) -> Option<i64>,
) -> Result<ArrayRef, Misfit> {
    const FAR: Misfit = "a time is too far away";
    let micros = micros(array)?;
    let made = match to {
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(&micros, |at| Ok(cut(moved(at).ok_or(FAR)?, digits)))?
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => primitive::<TimestampNanosecondType>(&micros, |at| {
            moved(at).and_then(|at| cut(at, digits).checked_mul(1000)).ok_or(FAR)
        })?,
        _ => return Err(UNLIKE),
    };
    cast(&made, to)
}

fn primitive<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<Int64Type>,
    each: impl Fn(i64) -> Result<T::Native, Misfit>,
) -> Result<ArrayRef, Misfit> {
    Ok(Arc::new(values.try_unary::<_, T, Misfit>(each)?))
}

/// Values as Flink's CAST to STRING writes them; BOOLEAN as Java does.
fn text(array: &ArrayRef, digits: u8, zone: &Zone) -> Result<ArrayRef, Misfit> {
    let instant = match array.data_type() {
        ArrowType::Timestamp(_, instant) => instant.is_some(),
        ArrowType::Time64(_) => false,
        _ => return cast(array, &ArrowType::Utf8),
    };
    let is_time = matches!(array.data_type(), ArrowType::Time64(_));
    let values = micros(array)?;
    let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 26);
    let mut room = String::new();
    for value in &values {
        let Some(mut at) = value else {
            texts.append_null();
            continue;
        };
        if instant {
            at = zone.local_micros(at).ok_or("a time is too far away")?;
        }
        room.clear();
        write_time(&mut room, at, digits, !is_time);
        texts.append_value(&room);
    }
    Ok(Arc::new(texts.finish()))
}

fn write_time(out: &mut String, micros: i64, digits: u8, dated: bool) {
    let of_day = if dated {
        let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY) as i32);
        let _ = write!(out, "{year:04}-{month:02}-{day:02} ");
        micros.rem_euclid(MICROS_PER_DAY)
    } else {
        // MySQL's TIME may be negative and longer than a day.
        if micros < 0 {
            out.push('-');
        }
        micros.abs()
    };
    let seconds = of_day / 1_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let digits = usize::from(digits.min(6));
        let fraction = format!("{:06}", of_day % 1_000_000);
        let _ = write!(out, ".{}", &fraction[..digits]);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, Float64Array, Int32Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    };
    use arrow::util::display::array_value_to_string;
    use starweir_model::DataType;

    use super::super::fit::fit;
    use super::*;

    fn check(array: ArrayRef, captured: &str, declared: &str, expected: Result<&[&str], Misfit>) {
        let of = |text: &str| text.parse::<DataType>().unwrap().logical;
        let conversion = fit(&of(captured), &of(declared)).unwrap();
        let zone = Zone::parse("Asia/Tokyo").unwrap();
        let got = convert(&array, &conversion, &of(declared).to_arrow(), &zone);
        if let Ok(made) = &got {
            assert_eq!(*made.data_type(), of(declared).to_arrow(), "{captured} as {declared}");
        }
        let got = got.map(|made| {
            // Instants without the zone that only their text would have.
            let made = match made.data_type() {
                ArrowType::Timestamp(unit, Some(_)) => cast(&made, &ArrowType::Timestamp(*unit, None)).unwrap(),
                _ => made,
            };
            (0..made.len()).map(|i| array_value_to_string(&made, i).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(got, expected.map(|e| e.iter().map(|t| (*t).to_owned()).collect()), "{captured} as {declared}");
    }

    #[test]
    fn values_keep_what_the_declared_type_holds() {
        let decimals = |values: Vec<i128>, p, s| {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap()) as ArrayRef
        };
        let texts = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let at = |zone: Option<&str>| {
            let array = TimestampMicrosecondArray::from(vec![Some(1_234_567_890_123_456), None, Some(-1)]);
            Arc::new(array.with_timezone_opt(zone)) as ArrayRef
        };
        let times = |values: Vec<i64>| Arc::new(Time64MicrosecondArray::from(values)) as ArrayRef;

        check(Arc::new(Int32Array::from(vec![Some(-7), None])), "INT", "BIGINT", Ok(&["-7", ""]));
        check(Arc::new(Int32Array::from(vec![7])), "INT", "DECIMAL(12, 2)", Ok(&["7.00"]));
        check(Arc::new(Int32Array::from(vec![7])), "INT", "STRING", Ok(&["7"]));
        check(
            Arc::new(arrow::array::Int8Array::from(vec![0, 1, 9])),
            "TINYINT",
            "BOOLEAN",
            Ok(&["false", "true", "true"]),
        );
        check(decimals(vec![150], 10, 2), "DECIMAL(10, 2)", "DECIMAL(12, 3)", Ok(&["1.500"]));
        check(decimals(vec![150], 10, 2), "DECIMAL(10, 2)", "DOUBLE", Ok(&["1.5"]));
        check(decimals(vec![i128::from(i64::MAX)], 20, 0), "DECIMAL(20, 0)", "BIGINT", Ok(&["9223372036854775807"]));
        let too_large = decimals(vec![i128::from(u64::MAX)], 20, 0);
        check(too_large, "DECIMAL(20, 0)", "BIGINT", Err("a number is too large"));
        check(Arc::new(Float64Array::from(vec![1e300])), "DOUBLE", "FLOAT", Err("a number is too large"));
        check(Arc::new(Float64Array::from(vec![0.5])), "DOUBLE", "FLOAT", Ok(&["0.5"]));
        check(texts(&["1.005", "NaN", "-3"]), "STRING", "DECIMAL(10, 2)", Ok(&["1.01", "", "-3.00"]));
        check(texts(&["twelve"]), "STRING", "DECIMAL(10, 2)", Err("a text is no number"));
        check(texts(&["123456789"]), "STRING", "DECIMAL(10, 2)", Err("a number is too large"));
        check(
            at(None),
            "TIMESTAMP(6)",
            "TIMESTAMP(3)",
            Ok(&["2009-02-13T23:31:30.123", "", "1969-12-31T23:59:59.999"]),
        );
        check(
            at(None),
            "TIMESTAMP(6)",
            "TIMESTAMP(9)",
            Ok(&["2009-02-13T23:31:30.123456", "", "1969-12-31T23:59:59.999999"]),
        );
        check(
            at(None),
            "TIMESTAMP(6)",
            "STRING",
            Ok(&["2009-02-13 23:31:30.123456", "", "1969-12-31 23:59:59.999999"]),
        );
        check(
            at(Some("UTC")),
            "TIMESTAMP_LTZ(6)",
            "TIMESTAMP_LTZ(0)",
            Ok(&["2009-02-13T23:31:30", "", "1969-12-31T23:59:59"]),
        );
        check(
            at(Some("UTC")),
            "TIMESTAMP_LTZ(6)",
            "TIMESTAMP(3)",
            Ok(&["2009-02-14T08:31:30.123", "", "1970-01-01T08:59:59.999"]),
        );
        check(
            at(Some("UTC")),
            "TIMESTAMP_LTZ(6)",
            "STRING",
            Ok(&["2009-02-14 08:31:30.123456", "", "1970-01-01 08:59:59.999999"]),
        );
        check(times(vec![3_723_004_005]), "TIME(6)", "TIME(3)", Ok(&["01:02:03.004"]));
        check(times(vec![3_723_004_005]), "TIME(6)", "TIME(0)", Ok(&["01:02:03"]));
        check(times(vec![-1]), "TIME(6)", "TIME(0)", Err("a TIME is not within a day"));
        check(times(vec![-3_020_399_000_000]), "TIME(0)", "STRING", Ok(&["-838:59:59"]));
    }
}
