//! Points in time: the clock, formatting and reading, parts, and arithmetic. Local times are those of the pipeline's
//! zone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use starweir_model::{Error, Instant, LogicalType as L, Result, Value};
use starweir_sql::Zone;
use starweir_sql::java::{self, Civil, NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND, Pattern};

use super::super::cast::{self, Mode, from_nanos, nanos, of_zoned, to_instant, to_local};
use super::super::errors::private;
use super::super::node::{Env, as_i64};
use super::super::simple_format::{SimpleFormat, iso_week_of};
use super::{Args, Arguments, Function, Want, integer, optional_text, string, text, text_type, value};

const fn function(
    name: &'static str,
    arity: (usize, usize),
    wants: &'static [Want],
    returns: fn(&Arguments<'_>) -> L,
    eval: super::Eval,
) -> Function {
    Function { name, arity, wants, returns, eval, strict: true }
}

fn bigint_type(_: &Arguments<'_>) -> L {
    L::BigInt
}

fn ltz_type(_: &Arguments<'_>) -> L {
    L::TimestampLtz(3)
}

use Want::{Any, Integer, Temporal, Text, Timestamp, Unit};

pub(super) const FUNCTIONS: &[Function] = &[
    function("LOCALTIME", (0, 0), &[], |_| L::Time(0), clock),
    function("CURRENT_TIME", (0, 0), &[], |_| L::Time(0), clock),
    function("LOCALTIMESTAMP", (0, 0), &[], |_| L::Timestamp(3), |_, env| Ok(Value::Timestamp(now_local(env)))),
    function("CURRENT_DATE", (0, 0), &[], |_| L::Date, |_, env| Ok(Value::Date(cast::days(now_local(env))))),
    function("CURRENT_TIMESTAMP", (0, 0), &[], ltz_type, now),
    function("NOW", (0, 0), &[], ltz_type, now),
    function("UNIX_TIMESTAMP", (0, 2), &[Text], bigint_type, unix_timestamp),
    function("FROM_UNIXTIME", (1, 2), &[Integer, Text], text_type, from_unixtime),
    function("DATE_FORMAT", (2, 2), &[Any, Text], text_type, date_format),
    function("DATE_FORMAT_TZ", (2, 3), &[Timestamp, Text], text_type, date_format_tz),
    function("TO_DATE", (1, 2), &[Any, Text], |_| L::Date, to_date),
    function("TO_TIMESTAMP", (1, 2), &[Text], |_| L::Timestamp(3), to_timestamp),
    function("TO_TIMESTAMP_LTZ", (1, 3), &[Any], ltz_type, to_timestamp_ltz),
    function("DATE_ADD", (2, 2), &[Any, Integer], text_type, date_add),
    function(
        "TIMESTAMPADD",
        (3, 3),
        &[Unit, Integer, Timestamp],
        |arguments| arguments.logical(2).clone(),
        timestamp_add,
    ),
    function("TIMESTAMPDIFF", (3, 3), &[Unit, Timestamp], |_| L::Int, timestamp_diff),
    function("TIMESTAMP_DIFF", (3, 3), &[Unit, Timestamp], |_| L::Int, timestamp_diff),
    function("EXTRACT", (2, 2), &[Unit, Temporal], bigint_type, |args, env| part(text(args, 0), value(args, 1), env)),
    function("YEAR", (1, 1), &[Temporal], bigint_type, |args, env| part("YEAR", value(args, 0), env)),
    function("QUARTER", (1, 1), &[Temporal], bigint_type, |args, env| part("QUARTER", value(args, 0), env)),
    function("MONTH", (1, 1), &[Temporal], bigint_type, |args, env| part("MONTH", value(args, 0), env)),
    function("WEEK", (1, 1), &[Temporal], bigint_type, |args, env| part("WEEK", value(args, 0), env)),
    function("DAYOFYEAR", (1, 1), &[Temporal], bigint_type, |args, env| part("DOY", value(args, 0), env)),
    function("DAYOFMONTH", (1, 1), &[Temporal], bigint_type, |args, env| part("DAY", value(args, 0), env)),
    function("DAYOFWEEK", (1, 1), &[Temporal], bigint_type, |args, env| part("DOW", value(args, 0), env)),
    function("HOUR", (1, 1), &[Temporal], bigint_type, |args, env| part("HOUR", value(args, 0), env)),
    function("MINUTE", (1, 1), &[Temporal], bigint_type, |args, env| part("MINUTE", value(args, 0), env)),
    function("SECOND", (1, 1), &[Temporal], bigint_type, |args, env| part("SECOND", value(args, 0), env)),
];

fn out_of_calendar() -> Error {
    Error::data("a point in time is outside of the calendar")
}

// ---- the clock -----------------------------------------------------------------------------

fn now_local(env: &Env) -> Instant {
    to_local(Instant::from_millis(env.now_ms), env.zone)
}

fn now(_: Args<'_, '_>, env: &Env) -> Result<Value> {
    Ok(Value::TimestampLtz(Instant::from_millis(env.now_ms)))
}

fn clock(_: Args<'_, '_>, env: &Env) -> Result<Value> {
    Ok(Value::Time(nanos(now_local(env)).rem_euclid(NANOS_PER_DAY) as i64))
}

// ---- patterns ------------------------------------------------------------------------------

/// Patterns kept compiled; they are literals almost always.
const PATTERNS_MAX: usize = 128;

thread_local! {
    static SIMPLE: RefCell<HashMap<String, Rc<SimpleFormat>>> = RefCell::new(HashMap::new());
    static FORMATTERS: RefCell<HashMap<String, Rc<Pattern>>> = RefCell::new(HashMap::new());
}

fn cached<T>(
    cache: &'static std::thread::LocalKey<RefCell<HashMap<String, Rc<T>>>>,
    pattern: &str,
    compile: impl FnOnce(&str) -> Result<T>,
) -> Result<Rc<T>> {
    if let Some(known) = cache.with(|c| c.borrow().get(pattern).cloned()) {
        return Ok(known);
    }
    let compiled = Rc::new(compile(pattern)?);
    cache.with(|c| {
        let mut c = c.borrow_mut();
        if c.len() >= PATTERNS_MAX {
            c.clear();
        }
        c.insert(pattern.to_owned(), compiled.clone());
    });
    Ok(compiled)
}

fn simple(pattern: &str) -> Result<Rc<SimpleFormat>> {
    cached(&SIMPLE, pattern, SimpleFormat::compile)
}

fn formatter(pattern: &str) -> Result<Rc<Pattern>> {
    cached(&FORMATTERS, pattern, |pattern| {
        Pattern::compile(pattern).ok_or_else(|| Error::data(format!("the pattern '{pattern}' is no date-time pattern")))
    })
}

/// A zone as `ZoneId.of` reads it.
fn zone_of(name: &str) -> Result<Zone> {
    Zone::parse(name).ok_or_else(|| Error::data(format!("Unknown time-zone ID: {name}")))
}

const DATETIME: &str = "yyyy-MM-dd HH:mm:ss";

fn formatted(pattern: &str, civil: &Civil) -> Result<Value> {
    let mut out = String::new();
    formatter(pattern)?.format(civil, &mut out);
    string(out)
}

/// Seconds of the epoch as text.
fn from_unixtime(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let pattern = optional_text(args, 1).unwrap_or(DATETIME);
    string(simple(pattern)?.format(i128::from(integer(args, 0)) * NANOS_PER_SECOND, env.zone))
}

fn now_year(env: &Env) -> i64 {
    cast::civil(Instant::from_millis(env.now_ms)).year
}

/// Seconds of the epoch; what is no time is the smallest number there is, as upstream has it.
fn unix_timestamp(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    if args.is_empty() {
        return Ok(Value::BigInt(env.now_ms / 1000));
    }
    let pattern = optional_text(args, 1).unwrap_or(DATETIME);
    let at = simple(pattern)?.parse(text(args, 0), env.zone, now_year(env));
    Ok(Value::BigInt(match at {
        Some(at) => i64::try_from(at / NANOS_PER_SECOND).unwrap_or(i64::MIN),
        None => i64::MIN,
    }))
}

fn date_format(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let pattern = text(args, 1);
    Ok(match value(args, 0) {
        Value::TimestampLtz(at) => return string(simple(pattern)?.format(nanos(*at), env.zone)),
        Value::Timestamp(local) => {
            return string(simple(pattern)?.format(nanos(to_instant(*local, env.zone)), env.zone));
        }
        Value::TimestampTz { local, offset_seconds, .. } => {
            let zone = Zone::Fixed(*offset_seconds);
            return string(simple(pattern)?.format(nanos(of_zoned(*local, *offset_seconds)), zone));
        }
        Value::Date(days) => formatted(pattern, &Civil::from_nanos(i128::from(*days) * NANOS_PER_DAY))?,
        Value::Time(at) => formatted(pattern, &Civil::from_nanos(i128::from(*at)))?,
        other => {
            let at = cast::cast(other, &L::Timestamp(3), Mode::Cast, env.zone)?;
            return date_format(&[std::borrow::Cow::Owned(at), args[1].clone()], env);
        }
    })
}

/// On the clocks of a named zone; a timestamp without a zone already is on them.
fn date_format_tz(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let (pattern, zone) = if args.len() > 2 { (text(args, 1), text(args, 2)) } else { (DATETIME, text(args, 1)) };
    let zone = zone_of(zone)?;
    let local = match value(args, 0) {
        Value::TimestampLtz(at) => to_local(*at, zone),
        Value::TimestampTz { local, offset_seconds, .. } => to_local(of_zoned(*local, *offset_seconds), zone),
        Value::Timestamp(local) => *local,
        _ => return Ok(Value::Null),
    };
    formatted(pattern, &cast::civil(local))
}

/// Text that is no date is NULL.
fn to_date(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    Ok(match value(args, 0) {
        Value::String(s) => {
            let pattern = optional_text(args, 1).unwrap_or("yyyy-MM-dd");
            let names_day = pattern.contains(['y', 'u'])
                && (pattern.contains(['M', 'L']) && pattern.contains('d') || pattern.contains('D'));
            let parsed = formatter(pattern).ok().filter(|_| names_day).and_then(|p| p.parse(s));
            parsed.map_or(Value::Null, |local| Value::Date(cast::days(from_nanos(local))))
        }
        Value::TimestampLtz(at) => Value::Date(cast::days(*at)),
        other => cast::cast(other, &L::Date, Mode::Cast, env.zone)?,
    })
}

fn to_timestamp(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let (given, pattern) = (text(args, 0), optional_text(args, 1).unwrap_or(DATETIME));
    let at = simple(pattern)?
        .parse(given, env.zone, now_year(env))
        .ok_or_else(|| Error::data(format!("Unparseable date: \"{}\"", private(given))))?;
    Ok(Value::Timestamp(to_local(from_nanos(at), env.zone)))
}

fn to_timestamp_ltz(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    if let Some(number) = as_i64(value(args, 0)) {
        return Ok(Value::TimestampLtz(match args.get(1).map_or(Some(3), |p| as_i64(p)) {
            Some(0) => Instant::new(number, 0),
            Some(3) => Instant::from_millis(number),
            other => {
                let other = other.unwrap_or_default();
                return Err(Error::data(format!("TO_TIMESTAMP_LTZ precision must be 0 or 3, but get: {other}")));
            }
        }));
    }
    let given = cast::text(value(args, 0));
    let pattern = optional_text(args, 1).unwrap_or("yyyy-MM-dd HH:mm:ss.SSS");
    let zone = zone_of(optional_text(args, 2).unwrap_or("UTC"))?;
    let local = formatter(pattern)?.parse(&given).ok_or_else(|| unparsed(&given))?;
    Ok(Value::TimestampLtz(to_instant(from_nanos(local), zone)))
}

fn unparsed(text: &str) -> Error {
    Error::data(format!("Text '{}' could not be parsed", private(text)))
}

/// The date so many days later, as text.
fn date_add(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let day = match value(args, 0) {
        Value::Date(days) => i64::from(*days),
        Value::Timestamp(local) | Value::TimestampTz { local, .. } => i64::from(cast::days(*local)),
        Value::TimestampLtz(at) => i64::from(cast::days(to_local(*at, env.zone))),
        other => {
            let given = cast::text(other);
            let pattern = match given.chars().count() {
                10 => "yyyy-MM-dd",
                19 => DATETIME,
                _ => return Err(Error::data(format!("Unparseable timestamp: {}", private(&given)))),
            };
            let local = formatter(pattern)?.parse(&given).ok_or_else(|| unparsed(&given))?;
            i64::from(cast::days(from_nanos(local)))
        }
    };
    let day = i128::from(day) + i128::from(integer(args, 1));
    if day.abs() > i128::from(i32::MAX) {
        return Err(out_of_calendar());
    }
    formatted("yyyy-MM-dd", &Civil::from_nanos(day * NANOS_PER_DAY))
}

// ---- parts ---------------------------------------------------------------------------------

/// EXTRACT and the functions named after a unit.
fn part(unit: &str, of: &Value, env: &Env) -> Result<Value> {
    let (civil, has_date, class) = match of {
        Value::Null => return Ok(Value::Null),
        Value::Date(days) => (Civil::from_nanos(i128::from(*days) * NANOS_PER_DAY), true, "LocalDate"),
        Value::Time(at) => (Civil::from_nanos(i128::from(*at).rem_euclid(NANOS_PER_DAY)), false, "LocalTime"),
        Value::Timestamp(local) => (cast::civil(*local), true, "LocalDateTime"),
        Value::TimestampTz { local, .. } => (cast::civil(*local), true, "ZonedDateTime"),
        Value::TimestampLtz(at) => (cast::civil(to_local(*at, env.zone)), true, "ZonedDateTime"),
        other => {
            let at = cast::cast(other, &L::Timestamp(3), Mode::Cast, env.zone)?;
            return part(unit, &at, env);
        }
    };
    let unit = unit.to_ascii_uppercase();
    let days = civil.days();
    let number = match unit.as_str() {
        "HOUR" => return Ok(Value::BigInt(i64::from(civil.hour))),
        "MINUTE" => return Ok(Value::BigInt(i64::from(civil.minute))),
        "SECOND" => return Ok(Value::BigInt(i64::from(civil.second))),
        "YEAR" => civil.year,
        "QUARTER" => i64::from(civil.month.div_ceil(3)),
        "MONTH" => i64::from(civil.month),
        "WEEK" => iso_week_of(days),
        "DAY" => i64::from(civil.day),
        "DOY" => java::day_of_year(days),
        // Sunday is the first day.
        "DOW" => java::iso_weekday(days) % 7 + 1,
        _ => return Err(Error::data(format!("Unsupported EXTRACT unit: {unit}"))),
    };
    if !has_date {
        return Err(Error::data(format!("EXTRACT unit {unit} cannot be applied to {class}")));
    }
    Ok(Value::BigInt(number))
}

// ---- arithmetic ----------------------------------------------------------------------------

/// More months than any calendar of ours holds.
const MONTHS_MAX: i64 = 12_000_000;

/// A local point in time so many months later; the day is cut to the month's length.
fn months_later(local: Instant, months: i64) -> Result<Instant> {
    let days = local.seconds.div_euclid(86_400);
    if months.abs() > MONTHS_MAX || days.abs() > i64::from(i32::MAX) {
        return Err(out_of_calendar());
    }
    let of_day = local.seconds.rem_euclid(86_400);
    Ok(Instant::new(java::add_months(days, months) * 86_400 + of_day, local.nanos))
}

fn nanos_later(at: Instant, later: i128) -> Result<Instant> {
    let result = nanos(at).checked_add(later).filter(|n| n.abs() < i128::from(i64::MAX) * NANOS_PER_SECOND);
    result.map(from_nanos).ok_or_else(out_of_calendar)
}

/// A point in time plus an interval of months.
pub(in super::super) fn plus_months(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let months = integer(args, 1);
    Ok(match value(args, 0) {
        Value::Date(days) => Value::Date(cast::days(months_later(Instant::new(i64::from(*days) * 86_400, 0), months)?)),
        Value::Timestamp(local) => Value::Timestamp(months_later(*local, months)?),
        // Months of an instant are those of UTC.
        Value::TimestampLtz(at) => Value::TimestampLtz(months_later(*at, months)?),
        Value::TimestampTz { local, offset_seconds, zone } => Value::TimestampTz {
            local: months_later(*local, months)?,
            offset_seconds: *offset_seconds,
            zone: zone.clone(),
        },
        other => other.clone(),
    })
}

/// A point in time plus an interval of milliseconds. Dates move by whole days, times stay within their day.
pub(in super::super) fn plus_millis(args: Args<'_, '_>, _: &Env) -> Result<Value> {
    let millis = integer(args, 1);
    let later = i128::from(millis) * NANOS_PER_MILLI;
    Ok(match value(args, 0) {
        Value::Date(days) => {
            let days = i64::from(*days) + millis / 86_400_000;
            Value::Date(i32::try_from(days).map_err(|_| out_of_calendar())?)
        }
        Value::Time(at) => Value::Time((i128::from(*at) + later).rem_euclid(NANOS_PER_DAY) as i64),
        Value::Timestamp(local) => Value::Timestamp(nanos_later(*local, later)?),
        Value::TimestampLtz(at) => Value::TimestampLtz(nanos_later(*at, later)?),
        Value::TimestampTz { local, offset_seconds, zone } => Value::TimestampTz {
            local: nanos_later(*local, later)?,
            offset_seconds: *offset_seconds,
            zone: zone.clone(),
        },
        other => other.clone(),
    })
}

fn unsupported_unit(unit: &str) -> Error {
    Error::data(format!(
        "Unsupported timestamp interval unit {unit}. Supported units are: SECOND, MINUTE, HOUR, DAY, MONTH, YEAR"
    ))
}

fn to_millis(at: Instant) -> Instant {
    Instant::new(at.seconds, at.nanos / 1_000_000 * 1_000_000)
}

/// TIMESTAMPADD. The result has milliseconds, as upstream's has.
fn timestamp_add(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let (unit, amount) = (text(args, 0).to_ascii_uppercase(), integer(args, 1));
    let moved = |at: Instant, zone: Zone| -> Result<Instant> {
        let at = to_millis(at);
        let seconds = |unit: i128| nanos_later(at, i128::from(amount) * unit * NANOS_PER_SECOND);
        let on_calendar = |f: &dyn Fn(Instant) -> Result<Instant>| Ok(to_instant(f(to_local(at, zone))?, zone));
        match unit.as_str() {
            "SECOND" => seconds(1),
            "MINUTE" => seconds(60),
            "HOUR" => seconds(3600),
            "DAY" => on_calendar(&|local| nanos_later(local, i128::from(amount) * NANOS_PER_DAY)),
            "MONTH" => on_calendar(&|local| months_later(local, amount)),
            "YEAR" => on_calendar(&|local| months_later(local, amount.saturating_mul(12))),
            other => Err(unsupported_unit(other)),
        }
    };
    Ok(match value(args, 2) {
        Value::Timestamp(local) => Value::Timestamp(to_local(moved(to_instant(*local, env.zone), env.zone)?, env.zone)),
        Value::TimestampLtz(at) => Value::TimestampLtz(moved(*at, Zone::UTC)?),
        Value::TimestampTz { local, offset_seconds, zone } => {
            Value::TimestampTz { local: moved(*local, Zone::UTC)?, offset_seconds: *offset_seconds, zone: zone.clone() }
        }
        _ => Value::Null,
    })
}

/// TIMESTAMPDIFF: whole seconds, minutes, hours and days between; months and years by the calendar alone.
fn timestamp_diff(args: Args<'_, '_>, env: &Env) -> Result<Value> {
    let unit = text(args, 0).to_ascii_uppercase();
    // The instant and what a calendar shows there: the pipeline's zone for local times, UTC for instants.
    let point = |index: usize| -> Option<(Instant, Civil)> {
        Some(match value(args, index) {
            Value::Timestamp(local) => {
                let at = to_instant(*local, env.zone);
                (at, cast::civil(to_local(at, env.zone)))
            }
            Value::TimestampLtz(at) => (*at, cast::civil(*at)),
            Value::TimestampTz { local, offset_seconds, .. } => {
                (of_zoned(*local, *offset_seconds), cast::civil(*local))
            }
            _ => return None,
        })
    };
    let (Some((from, from_civil)), Some((to, to_civil))) = (point(1), point(2)) else { return Ok(Value::Null) };
    let millis = |at: Instant| nanos(at).div_euclid(NANOS_PER_MILLI);
    let seconds = (millis(to) - millis(from)) / 1000;
    let months = |c: &Civil| c.year * 12 + i64::from(c.month);
    let elapsed = |unit: i32| {
        if seconds > i128::from(i32::MAX) { Value::Null } else { Value::Int(seconds as i32 / unit) }
    };
    Ok(match unit.as_str() {
        "SECOND" => elapsed(1),
        "MINUTE" => elapsed(60),
        "HOUR" => elapsed(3600),
        "DAY" => elapsed(86_400),
        "MONTH" => Value::Int((months(&to_civil) - months(&from_civil)) as i32),
        "YEAR" => Value::Int((to_civil.year - from_civil.year) as i32),
        other => return Err(unsupported_unit(other)),
    })
}
