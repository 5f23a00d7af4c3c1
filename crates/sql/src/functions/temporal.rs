//! Dates, times, timestamps and intervals (flink-semantics.md, points 14 and 15).

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Date32Type, Int32Type, Int64Type, Time32MillisecondType};
use starweir_model::{DataType, Error, LogicalType as L, Result};

use super::math::interval_at;
use super::{Function, Invocation, any_null_at, i32_at, i64_at, num_kernel, str_at, text_kernel};
use crate::bind::expr::{bool_type, convert, nullable_of};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::cast::timestamps;
use crate::eval::text::timestamp_nanos;
use crate::eval::time::{self, Civil, NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND, Pattern, Zone};
use crate::eval::{EvalContext, Kernel, Typed, Val};
use crate::parser::Parse;
use crate::types;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "CURRENT_DATE", arity: (0, 0), bind: |c| now(c, L::Date) },
    Function { name: "CURRENT_TIME", arity: (0, 1), bind: |c| now(c, L::Time(0)) },
    Function { name: "LOCALTIME", arity: (0, 1), bind: |c| now(c, L::Time(0)) },
    Function { name: "LOCALTIMESTAMP", arity: (0, 1), bind: |c| now(c, L::Timestamp(3)) },
    Function { name: "CURRENT_TIMESTAMP", arity: (0, 1), bind: |c| now(c, L::TimestampLtz(3)) },
    Function { name: "CURRENT_ROW_TIMESTAMP", arity: (0, 0), bind: |c| now(c, L::TimestampLtz(3)) },
    Function { name: "NOW", arity: (0, 0), bind: |c| now(c, L::TimestampLtz(3)) },
    Function { name: "PROCTIME", arity: (0, 0), bind: |c| now(c, L::TimestampLtz(3)) },
    Function { name: "YEAR", arity: (1, 1), bind: |c| extract_named(c, "YEAR") },
    Function { name: "QUARTER", arity: (1, 1), bind: |c| extract_named(c, "QUARTER") },
    Function { name: "MONTH", arity: (1, 1), bind: |c| extract_named(c, "MONTH") },
    Function { name: "WEEK", arity: (1, 1), bind: |c| extract_named(c, "WEEK") },
    Function { name: "DAYOFYEAR", arity: (1, 1), bind: |c| extract_named(c, "DOY") },
    Function { name: "DAYOFMONTH", arity: (1, 1), bind: |c| extract_named(c, "DAY") },
    Function { name: "DAYOFWEEK", arity: (1, 1), bind: |c| extract_named(c, "DOW") },
    Function { name: "HOUR", arity: (1, 1), bind: |c| extract_named(c, "HOUR") },
    Function { name: "MINUTE", arity: (1, 1), bind: |c| extract_named(c, "MINUTE") },
    Function { name: "SECOND", arity: (1, 1), bind: |c| extract_named(c, "SECOND") },
    Function { name: "DATE_FORMAT", arity: (2, 2), bind: date_format },
    Function { name: "TO_DATE", arity: (1, 2), bind: to_date },
    Function { name: "TO_TIMESTAMP", arity: (1, 2), bind: to_timestamp },
    Function { name: "TO_TIMESTAMP_LTZ", arity: (2, 2), bind: to_timestamp_ltz },
    Function { name: "UNIX_TIMESTAMP", arity: (0, 2), bind: unix_timestamp },
    Function { name: "FROM_UNIXTIME", arity: (1, 2), bind: from_unixtime },
    Function { name: "CONVERT_TZ", arity: (3, 3), bind: convert_tz },
    Function {
        name: "CURRENT_WATERMARK",
        arity: (1, 1),
        bind: |c| Err(Diagnostic::unsupported(c.name_span, "CURRENT_WATERMARK")),
    },
];

fn now(c: Invocation<'_>, logical: L) -> Parse<Typed> {
    let target = logical.clone();
    let kernel: Kernel = Arc::new(move |ctx: &EvalContext, _: &[Val], rows: usize| {
        let instant = i128::from(ctx.now_ms) * NANOS_PER_MILLI;
        let local = ctx.session_zone.to_local(instant);
        Ok(match &target {
            L::Date => Arc::new(Date32Array::from(vec![local.div_euclid(NANOS_PER_DAY) as i32; rows])) as ArrayRef,
            L::Time(_) => {
                let millis = local.rem_euclid(NANOS_PER_DAY) / NANOS_PER_SECOND * 1000;
                Arc::new(Time32MillisecondArray::from(vec![millis as i32; rows]))
            }
            L::Timestamp(p) => timestamps(std::iter::repeat_n(Some(local), rows), *p, false)?,
            _ => timestamps(std::iter::repeat_n(Some(instant), rows), 3, true)?,
        })
    });
    let span = c.span.clone();
    Ok(Typed::call(c.name, Vec::new(), DataType::not_null(logical), span, kernel).volatile())
}

/// Nanoseconds of the local clock of a date, time or timestamp.
fn local_nanos(ctx: &EvalContext, arg: &Val, logical: &L, row: usize) -> i128 {
    let at = arg.at(row);
    match logical {
        L::Date => i128::from(arg.array.as_primitive::<Date32Type>().value(at)) * NANOS_PER_DAY,
        L::Time(_) => i128::from(arg.array.as_primitive::<Time32MillisecondType>().value(at)) * NANOS_PER_MILLI,
        L::TimestampLtz(_) => ctx.session_zone.to_local(timestamp_nanos(arg.array.as_ref(), at)),
        _ => timestamp_nanos(arg.array.as_ref(), at),
    }
}

/// A column of a temporal type from nanoseconds of the local clock.
fn from_local(ctx: &EvalContext, values: Vec<Option<i128>>, logical: &L) -> Result<ArrayRef> {
    Ok(match logical {
        L::Date => {
            Arc::new(values.into_iter().map(|v| v.map(|v| v.div_euclid(NANOS_PER_DAY) as i32)).collect::<Date32Array>())
        }
        L::Time(_) => Arc::new(
            values
                .into_iter()
                .map(|v| v.map(|v| (v.rem_euclid(NANOS_PER_DAY) / NANOS_PER_MILLI) as i32))
                .collect::<Time32MillisecondArray>(),
        ),
        L::TimestampLtz(p) => {
            timestamps(values.into_iter().map(|v| v.map(|v| ctx.session_zone.to_instant(v))), *p, true)?
        }
        L::Timestamp(p) => timestamps(values.into_iter().map(|v| v.map(|v| time::cut_nanos(v, *p))), *p, false)?,
        _ => return Err(Error::internal("a temporal type was expected")),
    })
}

// ---- parts ---------------------------------------------------------------------------------

fn extract_named(c: Invocation<'_>, unit: &str) -> Parse<Typed> {
    let mut args = c.args.into_iter();
    match args.next() {
        Some(arg) => extract(unit, arg, c.span),
        None => Err(Diagnostic::at(c.span, "a point in time is missing")),
    }
}

/// `EXTRACT(unit FROM value)`: BIGINT.
pub(crate) fn extract(unit: &str, arg: Typed, span: Span) -> Parse<Typed> {
    let arg = if arg.is_null_literal() { convert(arg, &L::Timestamp(3)) } else { arg };
    let logical = arg.data_type.logical.clone();
    let data_type = DataType { logical: L::BigInt, nullable: arg.data_type.nullable };
    let refuse = || Diagnostic::at(span.clone(), format!("{unit} can not be extracted from {logical}"));
    let unit = unit.to_owned();
    let call = if types::is_interval(&logical) {
        let months = logical == L::IntervalYearMonth;
        let fits = if months {
            matches!(unit.as_str(), "YEAR" | "QUARTER" | "MONTH")
        } else {
            matches!(unit.as_str(), "DAY" | "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND" | "EPOCH")
        };
        if !fits {
            return Err(refuse());
        }
        let u = unit.clone();
        Typed::call(
            "EXTRACT",
            vec![arg],
            data_type,
            span,
            num_kernel::<Int64Type>(move |_, args, row| {
                let v = interval_at(&args[0], row);
                Ok(Some(match u.as_str() {
                    "YEAR" => v / 12,
                    "QUARTER" => (v % 12) / 3 + 1,
                    "MONTH" => v % 12,
                    "DAY" => v / 86_400_000,
                    "HOUR" => v / 3_600_000 % 24,
                    "MINUTE" => v / 60_000 % 60,
                    "SECOND" => v / 1000 % 60,
                    "MILLISECOND" => v % 60_000 % 1000,
                    _ => v / 1000,
                }))
            }),
        )
    } else {
        if !types::is_temporal(&logical) {
            return Err(refuse());
        }
        let clock =
            matches!(unit.as_str(), "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND" | "MICROSECOND" | "NANOSECOND");
        match logical {
            L::Date if clock => return Err(refuse()),
            L::Time(_) if !clock && unit != "EPOCH" => return Err(refuse()),
            _ => {}
        }
        let u = unit.clone();
        let kind = logical.clone();
        Typed::call(
            "EXTRACT",
            vec![arg],
            data_type,
            span,
            num_kernel::<Int64Type>(move |ctx, args, row| {
                if let (
                    L::TimestampLtz(_),
                    "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND" | "MICROSECOND" | "NANOSECOND",
                ) = (&kind, u.as_str())
                {
                    // Flink divides the local milliseconds without flooring them: before 1970 the parts
                    // are negative.
                    let local = local_nanos(ctx, &args[0], &kind, row);
                    let part = match u.as_str() {
                        "HOUR" => local % NANOS_PER_DAY / (3600 * NANOS_PER_SECOND),
                        "MINUTE" => local % (3600 * NANOS_PER_SECOND) / (60 * NANOS_PER_SECOND),
                        "SECOND" => local % (60 * NANOS_PER_SECOND) / NANOS_PER_SECOND,
                        "MILLISECOND" => local.rem_euclid(NANOS_PER_SECOND) / NANOS_PER_MILLI,
                        "MICROSECOND" => local.rem_euclid(NANOS_PER_SECOND) / 1000,
                        _ => local.rem_euclid(NANOS_PER_SECOND),
                    };
                    return Ok(Some(part as i64));
                }
                if u == "EPOCH" && matches!(kind, L::TimestampLtz(_)) {
                    return Ok(Some(
                        timestamp_nanos(args[0].array.as_ref(), args[0].at(row)).div_euclid(NANOS_PER_SECOND) as i64,
                    ));
                }
                Ok(Some(part(&u, local_nanos(ctx, &args[0], &kind, row))))
            }),
        )
    };
    Ok(call.detail(unit).total())
}

fn part(unit: &str, local: i128) -> i64 {
    let c = Civil::from_nanos(local);
    let days = c.days();
    match unit {
        "NANOSECOND" => i64::from(c.nano),
        "MICROSECOND" => i64::from(c.nano / 1000),
        "MILLISECOND" => i64::from(c.nano / 1_000_000),
        "SECOND" => i64::from(c.second),
        "MINUTE" => i64::from(c.minute),
        "HOUR" => i64::from(c.hour),
        "DAY" => i64::from(c.day),
        "WEEK" => time::iso_week(days).1,
        "MONTH" => i64::from(c.month),
        "QUARTER" => i64::from(c.month.div_ceil(3)),
        "YEAR" => c.year,
        "DECADE" => c.year.div_euclid(10),
        "CENTURY" => {
            if c.year > 0 {
                (c.year + 99) / 100
            } else {
                -((99 - c.year) / 100)
            }
        }
        "MILLENNIUM" => {
            if c.year > 0 {
                (c.year + 999) / 1000
            } else {
                -((999 - c.year) / 1000)
            }
        }
        "DOW" => time::iso_weekday(days) % 7 + 1,
        "ISODOW" => time::iso_weekday(days),
        "DOY" => time::day_of_year(days),
        "ISOYEAR" => time::iso_week(days).0,
        _ => local.div_euclid(NANOS_PER_SECOND) as i64,
    }
}

/// FLOOR and CEIL to a unit. Weeks begin on Sunday.
pub(crate) fn round_to(ceil: bool, unit: &str, arg: Typed, span: Span) -> Parse<Typed> {
    let arg = if arg.is_null_literal() { convert(arg, &L::Timestamp(3)) } else { arg };
    let logical = arg.data_type.logical.clone();
    let name = if ceil { "CEIL" } else { "FLOOR" };
    let known = [
        "MILLENNIUM",
        "CENTURY",
        "DECADE",
        "YEAR",
        "QUARTER",
        "MONTH",
        "WEEK",
        "DAY",
        "HOUR",
        "MINUTE",
        "SECOND",
        "MILLISECOND",
        "MICROSECOND",
        "NANOSECOND",
    ];
    if !types::is_temporal(&logical) || !known.contains(&unit) {
        return Err(Diagnostic::at(span, format!("{name} of {logical} to {unit} is not possible")));
    }
    if matches!(logical, L::Time(_)) && !matches!(unit, "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND") {
        return Err(Diagnostic::at(span, format!("{name} of {logical} to {unit} is not possible")));
    }
    let data_type = arg.data_type.clone();
    let unit = unit.to_owned();
    let u = unit.clone();
    Ok(Typed::call(
        name,
        vec![arg],
        data_type,
        span,
        Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
            let values = (0..rows)
                .map(|row| {
                    if args[0].is_null(row) {
                        return None;
                    }
                    let local = local_nanos(ctx, &args[0], &logical, row);
                    // CEIL of a DATE to DAY gives the next day in Flink, whatever the date.
                    if ceil && u == "DAY" && logical == L::Date {
                        return Some(local + NANOS_PER_DAY);
                    }
                    Some(round_nanos(local, &u, ceil))
                })
                .collect();
            from_local(ctx, values, &logical)
        }),
    )
    .detail(format!("TO {unit}"))
    .total())
}

fn round_nanos(local: i128, unit: &str, ceil: bool) -> i128 {
    let fixed = match unit {
        "DAY" => Some(NANOS_PER_DAY),
        "HOUR" => Some(3600 * NANOS_PER_SECOND),
        "MINUTE" => Some(60 * NANOS_PER_SECOND),
        "SECOND" => Some(NANOS_PER_SECOND),
        "MILLISECOND" => Some(NANOS_PER_MILLI),
        "MICROSECOND" => Some(1000),
        "NANOSECOND" => Some(1),
        _ => None,
    };
    if let Some(step) = fixed {
        let floor = local.div_euclid(step) * step;
        return if ceil && floor != local { floor + step } else { floor };
    }
    let days = local.div_euclid(NANOS_PER_DAY) as i64;
    // From WEEK on only the date decides: CEIL of the first of a month at noon is that day's midnight.
    if unit == "WEEK" {
        let floor = days - time::iso_weekday(days) % 7;
        let exact = floor == days;
        return i128::from(if ceil && !exact { floor + 7 } else { floor }) * NANOS_PER_DAY;
    }
    let (year, month, _) = time::date_of(days);
    let (floor, next) = match unit {
        "MONTH" => (time::days_of(year, month, 1), time::add_months(time::days_of(year, month, 1), 1)),
        "QUARTER" => {
            let first = time::days_of(year, (month - 1) / 3 * 3 + 1, 1);
            (first, time::add_months(first, 3))
        }
        "YEAR" => (time::days_of(year, 1, 1), time::days_of(year + 1, 1, 1)),
        "DECADE" => {
            let y = year.div_euclid(10) * 10;
            (time::days_of(y, 1, 1), time::days_of(y + 10, 1, 1))
        }
        "CENTURY" => {
            let y = (year - 1).div_euclid(100) * 100 + 1;
            (time::days_of(y, 1, 1), time::days_of(y + 100, 1, 1))
        }
        _ => {
            let y = (year - 1).div_euclid(1000) * 1000 + 1;
            (time::days_of(y, 1, 1), time::days_of(y + 1000, 1, 1))
        }
    };
    let exact = floor == days;
    i128::from(if ceil && !exact { next } else { floor }) * NANOS_PER_DAY
}

// ---- arithmetic ----------------------------------------------------------------------------

/// Adds months and nanoseconds to a value: an instant for TIMESTAMP_LTZ, else a local clock.
fn shift(ctx: &EvalContext, arg: &Val, logical: &L, row: usize, months: i64, nanos: i128) -> i128 {
    let at = arg.at(row);
    if let L::TimestampLtz(_) = logical {
        let instant = timestamp_nanos(arg.array.as_ref(), at);
        if months == 0 {
            // Hours and days are added to the instant.
            return instant + nanos;
        }
        return ctx.session_zone.to_instant(add_months(ctx.session_zone.to_local(instant), months));
    }
    let local = local_nanos(ctx, arg, logical, row);
    if months == 0 { local + nanos } else { add_months(local, months) }
}

fn add_months(local: i128, months: i64) -> i128 {
    let days = local.div_euclid(NANOS_PER_DAY) as i64;
    i128::from(time::add_months(days, months.clamp(-1_000_000, 1_000_000))) * NANOS_PER_DAY
        + local.rem_euclid(NANOS_PER_DAY)
}

/// `time ± interval`.
pub(crate) fn add_interval(point: Typed, interval: Typed, subtract: bool, span: Span) -> Parse<Typed> {
    let logical = point.data_type.logical.clone();
    let months = interval.data_type.logical == L::IntervalYearMonth;
    let nullable = point.data_type.nullable || interval.data_type.nullable;
    let name = if subtract { "-" } else { "+" };
    if months && matches!(logical, L::Time(_)) {
        return Err(Diagnostic::at(span, format!("'{name}' does not apply to TIME and an interval of months")));
    }
    // The millisecond of an interval shows in a timestamp.
    let data_type = DataType { logical: logical.clone(), nullable };
    let kernel: Kernel = Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let values = (0..rows)
            .map(|row| {
                if any_null_at(args, row) {
                    return None;
                }
                let amount = interval_at(&args[1], row);
                let amount = if subtract { amount.wrapping_neg() } else { amount };
                let (m, n) = if months { (amount, 0) } else { (0, i128::from(amount) * NANOS_PER_MILLI) };
                Some(shift(ctx, &args[0], &logical, row, m, n))
            })
            .collect();
        from_shifted(ctx, values, &logical)
    });
    Ok(Typed::call(name, vec![point, interval], data_type, span, kernel))
}

/// The column of moved values: instants for TIMESTAMP_LTZ (an hour of an overlap is not lost on the
/// way over the local clock), else local clocks.
fn from_shifted(ctx: &EvalContext, values: Vec<Option<i128>>, logical: &L) -> Result<ArrayRef> {
    match logical {
        L::TimestampLtz(p) => timestamps(values.into_iter().map(|v| v.map(|v| time::cut_nanos(v, *p))), *p, true),
        _ => from_local(ctx, values, logical),
    }
}

/// TIMESTAMPADD and TIMESTAMPDIFF.
pub(crate) fn timestamp_arithmetic(
    name: &str,
    unit: &str,
    unit_span: Span,
    args: Vec<Typed>,
    span: Span,
) -> Parse<Typed> {
    let upper = unit.to_ascii_uppercase();
    let short = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
    let unit = match short {
        "FRAC_SECOND" | "MICROSECOND" => "MICROSECOND",
        "NANOSECOND" => "NANOSECOND",
        "MILLISECOND" | "SECOND" | "MINUTE" | "HOUR" | "DAY" | "WEEK" | "MONTH" | "QUARTER" | "YEAR" => short,
        _ => {
            return Err(Diagnostic::at(unit_span, format!("unknown unit of time {unit}")).with_nearest(
                unit,
                ["SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "MILLISECOND"],
            ));
        }
    }
    .to_owned();
    let count = args.len();
    let [first, second] = <[Typed; 2]>::try_from(args)
        .map_err(|_| Diagnostic::at(span.clone(), format!("{name} takes a unit and two values, not {count}")))?;
    if name == "TIMESTAMPADD" { add(unit, first, second, span) } else { diff(unit, first, second, span) }
}

fn add(unit: String, amount: Typed, point: Typed, span: Span) -> Parse<Typed> {
    if !amount.data_type.logical.is_integer() && !amount.is_null_literal() {
        return Err(Diagnostic::at(
            amount.span.clone(),
            format!("TIMESTAMPADD takes a whole number of units, this is {}", amount.data_type.logical),
        ));
    }
    let point = if point.is_null_literal() { convert(point, &L::Timestamp(3)) } else { point };
    let logical = point.data_type.logical.clone();
    if !types::is_temporal(&logical) {
        return Err(Diagnostic::at(
            point.span.clone(),
            format!("TIMESTAMPADD takes a DATE, TIME or TIMESTAMP, this is {logical}"),
        ));
    }
    let clock = matches!(unit.as_str(), "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND" | "MICROSECOND" | "NANOSECOND");
    let target = match (&logical, clock) {
        (L::Date, true) => L::Timestamp(if unit == "MILLISECOND" { 3 } else { 6 }),
        (L::Timestamp(p), _) if unit == "MILLISECOND" => L::Timestamp((*p).max(3)),
        (L::TimestampLtz(p), _) if unit == "MILLISECOND" => L::TimestampLtz((*p).max(3)),
        _ => logical.clone(),
    };
    let nullable = nullable_of(&[amount.clone(), point.clone()]);
    let amount = convert(amount, &L::BigInt);
    let u = unit.clone();
    let result = target.clone();
    let kernel: Kernel = Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let values = (0..rows)
            .map(|row| {
                if any_null_at(args, row) {
                    return None;
                }
                let n = i64_at(args, 0, row);
                let wide = i128::from(n);
                let (months, nanos) = match u.as_str() {
                    "YEAR" => (n.saturating_mul(12), 0),
                    "QUARTER" => (n.saturating_mul(3), 0),
                    "MONTH" => (n, 0),
                    "WEEK" => (0, wide * 7 * NANOS_PER_DAY),
                    "DAY" => (0, wide * NANOS_PER_DAY),
                    "HOUR" => (0, wide * 3600 * NANOS_PER_SECOND),
                    "MINUTE" => (0, wide * 60 * NANOS_PER_SECOND),
                    "SECOND" => (0, wide * NANOS_PER_SECOND),
                    "MILLISECOND" => (0, wide * NANOS_PER_MILLI),
                    "MICROSECOND" => (0, wide * 1000),
                    _ => (0, wide),
                };
                Some(shift(ctx, &args[1], &logical, row, months, nanos))
            })
            .collect();
        from_shifted(ctx, values, &target)
    });
    Ok(Typed::call("TIMESTAMPADD", vec![amount, point], DataType { logical: result, nullable }, span, kernel)
        .detail(unit))
}

fn diff(unit: String, from: Typed, to: Typed, span: Span) -> Parse<Typed> {
    let from = if from.is_null_literal() { convert(from, &L::Timestamp(3)) } else { from };
    let to = if to.is_null_literal() { convert(to, &L::Timestamp(3)) } else { to };
    let (a, b) = (from.data_type.logical.clone(), to.data_type.logical.clone());
    for (arg, logical) in [(&from, &a), (&to, &b)] {
        if !types::is_temporal(logical) {
            return Err(Diagnostic::at(
                arg.span.clone(),
                format!("TIMESTAMPDIFF takes DATE, TIME or TIMESTAMP, this is {logical}"),
            ));
        }
    }
    let ltz = |l: &L| matches!(l, L::TimestampLtz(_));
    if ltz(&a) != ltz(&b) {
        return Err(Diagnostic::at(
            span,
            format!("TIMESTAMPDIFF of {a} and {b} is not possible: both must be TIMESTAMP_LTZ, or neither"),
        ));
    }
    let data_type = DataType { logical: L::Int, nullable: from.data_type.nullable || to.data_type.nullable };
    let u = unit.clone();
    let kernel = num_kernel::<Int32Type>(move |ctx, args, row| {
        let (x, y) = (local_nanos(ctx, &args[0], &a, row), local_nanos(ctx, &args[1], &b, row));
        let delta = y - x;
        let result = match u.as_str() {
            "YEAR" => i128::from(months_between(x, y) / 12),
            "QUARTER" => i128::from(months_between(x, y) / 3),
            "MONTH" => i128::from(months_between(x, y)),
            "WEEK" => delta / (7 * NANOS_PER_DAY),
            "DAY" => delta / NANOS_PER_DAY,
            "HOUR" => delta / (3600 * NANOS_PER_SECOND),
            "MINUTE" => delta / (60 * NANOS_PER_SECOND),
            "SECOND" => delta / NANOS_PER_SECOND,
            "MILLISECOND" => delta / NANOS_PER_MILLI,
            "MICROSECOND" => delta / 1000,
            _ => delta,
        };
        Ok(Some(result as i32))
    });
    Ok(Typed::call("TIMESTAMPDIFF", vec![from, to], data_type, span, kernel).detail(unit).total())
}

/// Months from one local clock to another, counted as Flink counts them: a month is full when adding
/// it reaches the day, so that 31 January to 29 February is one.
fn months_between(from: i128, to: i128) -> i64 {
    let split = |nanos: i128| (nanos.div_euclid(NANOS_PER_DAY) as i64, nanos.rem_euclid(NANOS_PER_DAY));
    let ((d0, n0), (d1, n1)) = (split(to), split(from));
    let mut months = subtract_months(d0, d1);
    if time::add_months(d1, months) == d0 && n0 < n1 {
        months -= 1;
    }
    months
}

fn subtract_months(d0: i64, d1: i64) -> i64 {
    if d0 < d1 {
        return -subtract_months(d1, d0);
    }
    // No month has more than 31 days: the estimate is never too large.
    let mut months = (d0 - d1) / 31;
    loop {
        if time::add_months(d1, months) >= d0 || time::add_months(d1, months + 1) > d0 {
            return months;
        }
        months += 1;
    }
}

/// `(start, end) OVERLAPS (start, end)`; an end may be an interval.
pub(crate) fn overlaps(a: Typed, b: Typed, c: Typed, d: Typed, span: Span) -> Parse<Typed> {
    let end = |start: &Typed, end: Typed| -> Parse<Typed> {
        if types::is_interval(&end.data_type.logical) {
            let span = end.span.clone();
            return add_interval(start.clone(), end, false, span);
        }
        Ok(end)
    };
    let (b, d) = (end(&a, b)?, end(&c, d)?);
    let args = vec![a, b, c, d];
    let kinds: Vec<L> = args.iter().map(|e| e.data_type.logical.clone()).collect();
    if !kinds.iter().all(types::is_temporal) {
        return Err(Diagnostic::at(span, "OVERLAPS takes periods of DATE, TIME or TIMESTAMP"));
    }
    let data_type = bool_type(nullable_of(&args));
    let kernel = super::bool_kernel(move |ctx, args, row| {
        let at = |i: usize| local_nanos(ctx, &args[i], &kinds[i], row);
        let (a, b) = (at(0).min(at(1)), at(0).max(at(1)));
        let (c, d) = (at(2).min(at(3)), at(2).max(at(3)));
        Ok(Some(a <= d && c <= b))
    });
    Ok(Typed::call("OVERLAPS", args, data_type, span, kernel))
}

// ---- text ----------------------------------------------------------------------------------

/// Compiles the pattern of each row; the last one is kept.
#[derive(Default)]
struct PatternCache(Option<(String, Option<Pattern>)>);

impl PatternCache {
    fn get(&mut self, text: &str) -> Option<&Pattern> {
        if self.0.as_ref().is_none_or(|(t, _)| t != text) {
            self.0 = Some((text.to_owned(), Pattern::compile(text)));
        }
        self.0.as_ref().and_then(|(_, p)| p.as_ref())
    }
}

fn date_format(mut c: Invocation<'_>) -> Parse<Typed> {
    c.text(1)?;
    let logical = c.args[0].data_type.logical.clone();
    if c.args[0].is_null_literal() {
        c.args[0] = convert(c.args[0].clone(), &L::Timestamp(3));
    }
    if !types::is_timestamp(&logical) && !logical.is_character() && logical != L::Null {
        return Err(c.mismatch(0, "a TIMESTAMP or text"));
    }
    let kernel: Kernel = Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PatternCache::default();
        let mut builder = StringBuilder::new();
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
                continue;
            }
            let local = if logical.is_character() {
                time::parse_timestamp(str_at(args, 0, row))
            } else {
                Some(local_nanos(ctx, &args[0], &logical, row))
            };
            match (local, cache.get(str_at(args, 1, row))) {
                (_, Some(pattern)) if pattern.has_zone() => {
                    return Err(Error::data("DATE_FORMAT can not print an offset from UTC: X, x and Z only read"));
                }
                (Some(local), Some(pattern)) => {
                    let mut out = String::new();
                    pattern.format(&Civil::from_nanos(local), &mut out);
                    builder.append_value(out);
                }
                (_, None) => return Err(Error::data("DATE_FORMAT was given a pattern that is malformed")),
                (None, _) => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    });
    Ok(c.finish(DataType::nullable(L::STRING), kernel))
}

/// Local nanoseconds of a text in a pattern.
fn parse_kernel(
    default: fn(&str) -> Option<i128>,
    finish: impl Fn(&EvalContext, Vec<Option<i128>>) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Kernel {
    Arc::new(move |ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PatternCache::default();
        let values = (0..rows)
            .map(|row| {
                if any_null_at(args, row) {
                    return None;
                }
                let text = str_at(args, 0, row);
                if args.len() == 1 { default(text) } else { cache.get(str_at(args, 1, row))?.parse(text) }
            })
            .collect();
        finish(ctx, values)
    })
}

fn to_date(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    let kernel = parse_kernel(
        |s| time::parse_date(s).map(|d| i128::from(d) * NANOS_PER_DAY),
        |ctx, v| from_local(ctx, v, &L::Date),
    );
    Ok(c.finish(DataType::nullable(L::Date), kernel).total())
}

fn to_timestamp(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    let kernel = parse_kernel(time::parse_timestamp, |ctx, v| {
        let cut = v.into_iter().map(|v| v.map(|v| time::cut_nanos(v, 3)).filter(in_years)).collect();
        from_local(ctx, cut, &L::Timestamp(3))
    });
    Ok(c.finish(DataType::nullable(L::Timestamp(3)), kernel).total())
}

/// Years 0000 to 9999, in nanoseconds.
fn in_years(nanos: &i128) -> bool {
    (-62_167_219_200 * NANOS_PER_SECOND..253_402_300_800 * NANOS_PER_SECOND).contains(nanos)
}

/// TO_TIMESTAMP_LTZ(number, precision): seconds (precision 0) or milliseconds (precision 3) of the epoch.
fn to_timestamp_ltz(mut c: Invocation<'_>) -> Parse<Typed> {
    let logical = c.args[0].data_type.logical.clone();
    if !logical.is_numeric() && logical != L::Null {
        return Err(c.mismatch(0, "a number"));
    }
    c.integer(1, &L::Int)?;
    // Decimals lose their fraction, floating numbers keep it.
    let approximate = types::is_approximate(&logical);
    c.args[0] = convert(c.args[0].clone(), if approximate { &L::Double } else { &L::BigInt });
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut out = Vec::with_capacity(rows);
        for row in 0..rows {
            if any_null_at(args, row) {
                out.push(None);
                continue;
            }
            let value = match (i32_at(args, 1, row), approximate) {
                (0, true) => i128::from((super::f64_at(args, 0, row) * 1000.0) as i64),
                (3, true) => i128::from(super::f64_at(args, 0, row) as i64),
                (0, false) => i128::from(i64_at(args, 0, row)) * 1000,
                (3, false) => i128::from(i64_at(args, 0, row)),
                _ => {
                    return Err(Error::data(
                        "TO_TIMESTAMP_LTZ takes seconds (precision 0) or milliseconds (precision 3)",
                    ));
                }
            };
            out.push(Some(value * NANOS_PER_MILLI).filter(in_years));
        }
        timestamps(out.into_iter(), 3, true)
    });
    Ok(c.finish(DataType::nullable(L::TimestampLtz(3)), kernel))
}

fn unix_timestamp(mut c: Invocation<'_>) -> Parse<Typed> {
    if c.args.is_empty() {
        let kernel: Kernel = Arc::new(|ctx: &EvalContext, _: &[Val], rows: usize| {
            Ok(Arc::new(Int64Array::from(vec![ctx.now_ms.div_euclid(1000); rows])) as ArrayRef)
        });
        return Ok(c.finish(DataType::not_null(L::BigInt), kernel).volatile());
    }
    for i in 0..c.args.len() {
        c.text(i)?;
    }
    let data_type = c.strict_type(L::BigInt);
    let kernel: Kernel = Arc::new(|ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PatternCache::default();
        let result: Int64Array = (0..rows)
            .map(|row| {
                if any_null_at(args, row) {
                    return None;
                }
                let text = str_at(args, 0, row);
                let read = if args.len() == 1 {
                    time::parse_timestamp(text).map(|local| (local, None))
                } else {
                    cache.get(str_at(args, 1, row)).and_then(|p| p.parse_zoned(text))
                };
                // Text that is no timestamp gives the smallest BIGINT, as Flink answers.
                Some(read.map_or(i64::MIN, |(local, offset)| {
                    let zone = offset.map_or(ctx.session_zone, Zone::Fixed);
                    zone.to_instant(local).div_euclid(NANOS_PER_SECOND) as i64
                }))
            })
            .collect();
        Ok(Arc::new(result) as ArrayRef)
    });
    Ok(c.finish(data_type, kernel).total())
}

fn from_unixtime(mut c: Invocation<'_>) -> Parse<Typed> {
    c.number(0, &L::BigInt)?;
    if c.args.len() == 2 {
        c.text(1)?;
    }
    let kernel: Kernel = Arc::new(|ctx: &EvalContext, args: &[Val], rows: usize| {
        let mut cache = PatternCache::default();
        let mut builder = StringBuilder::new();
        for row in 0..rows {
            if any_null_at(args, row) {
                builder.append_null();
                continue;
            }
            let seconds = i64_at(args, 0, row).clamp(-8_000_000_000_000, 8_000_000_000_000);
            let local = ctx.session_zone.to_local(i128::from(seconds) * NANOS_PER_SECOND);
            let pattern = if args.len() == 1 { "yyyy-MM-dd HH:mm:ss" } else { str_at(args, 1, row) };
            match cache.get(pattern) {
                Some(pattern) => {
                    let mut out = String::new();
                    pattern.format(&Civil::from_nanos(local), &mut out);
                    builder.append_value(out);
                }
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()) as ArrayRef)
    });
    Ok(c.finish(DataType::nullable(L::STRING), kernel).total())
}

fn convert_tz(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..3 {
        c.text(i)?;
    }
    Ok(c.finish(
        DataType::nullable(L::STRING),
        text_kernel(|_, args, row| {
            let (from, to) = (Zone::parse_or_gmt(str_at(args, 1, row)), Zone::parse_or_gmt(str_at(args, 2, row)));
            let Some(local) = time::parse_timestamp(str_at(args, 0, row)) else { return Ok(None) };
            let mut out = String::new();
            time::write_timestamp(&mut out, to.to_local(from.to_instant(local)), 0);
            Ok(Some(out))
        }),
    )
    .total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_units_is_flinks() {
        let at = |s: &str| time::parse_timestamp(s).unwrap();
        for (text, unit, ceil, expected) in [
            ("2021-03-01 00:00:00", "WEEK", false, "2021-02-28 00:00:00"),
            ("2021-02-27 00:00:00", "WEEK", true, "2021-02-28 00:00:00"),
            ("2020-02-29 01:56:59", "DECADE", false, "2020-01-01 00:00:00"),
            ("2020-02-29 01:56:59", "QUARTER", true, "2020-04-01 00:00:00"),
            ("2020-02-29 01:56:59", "CENTURY", false, "2001-01-01 00:00:00"),
            ("2018-03-20 06:44:31", "HOUR", true, "2018-03-20 07:00:00"),
        ] {
            let mut out = String::new();
            time::write_timestamp(&mut out, round_nanos(at(text), unit, ceil), 0);
            assert_eq!(out, expected, "{text} {unit}");
        }
    }

    #[test]
    fn whole_months_are_counted_towards_zero() {
        let at = |s: &str| time::parse_timestamp(s).unwrap();
        assert_eq!(months_between(at("2019-09-01 00:00:00"), at("2020-03-01 00:00:00")), 6);
        assert_eq!(months_between(at("2020-01-31 00:00:00"), at("2020-02-29 00:00:00")), 1);
        assert_eq!(months_between(at("2020-03-15 00:00:00"), at("2020-01-16 00:00:00")), -1);
    }
}
