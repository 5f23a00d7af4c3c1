//! One value into one column: Flink's coercions from JSON values and from texts.
//!
//! Source of the rules: Flink 1.20 `JsonParserToRowDataConverters` and `CsvToRowDataConverters`. With
//! [`Rules::change`] the encodings of Debezium are understood too: numbers for dates and times, base64 for
//! decimals, numbers for booleans.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::column::{Column, DecimalText, Members, Unit, Values};
use crate::decimal::{decimal_from_bytes, parse_decimal};
use crate::error::{DecodeErrorKind, Decoded, Fault, bad_value, fault, in_field, malformed};
use crate::scan::Scanner;
use crate::time::{TimestampStyle, Zone, parse_date, parse_time, parse_timestamp};

/// How a format wants values read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub timestamps: TimestampStyle,
    /// A value that does not fit becomes NULL where NULL is allowed.
    pub ignore_errors: bool,
    pub fail_on_missing: bool,
    /// The message is a change event of Debezium's family.
    pub change: bool,
    /// Texts in DECIMAL columns may be base64 (Debezium).
    pub base64_decimals: bool,
    /// Times of the day as numbers are microseconds whatever the declared precision (MySQL connectors).
    pub times_in_micros: bool,
}

fn expected(column: &Column) -> &'static str {
    match column.values {
        Values::Null(_) => "NULL",
        Values::Boolean(_) => "the value does not fit BOOLEAN",
        Values::Int8(_) => "the value does not fit TINYINT",
        Values::Int16(_) => "the value does not fit SMALLINT",
        Values::Int32(_) => "the value does not fit INT",
        Values::Int64(_) => "the value does not fit BIGINT",
        Values::Float32(_) => "the value does not fit FLOAT",
        Values::Float64(_) => "the value does not fit DOUBLE",
        Values::Decimal { .. } => "the value does not fit DECIMAL",
        Values::Text(_) => "the value does not fit STRING",
        Values::Binary(_) => "the value does not fit BYTES (base64 is expected)",
        Values::Date(_) => "the value does not fit DATE",
        Values::Time { .. } => "the value does not fit TIME",
        Values::Timestamp { zoned: false, .. } => "the value does not fit TIMESTAMP",
        Values::Timestamp { .. } => "the value does not fit TIMESTAMP_LTZ",
        Values::YearMonth(_) | Values::DayTime(_) => "the value does not fit INTERVAL",
        Values::List { .. } => "the value does not fit ARRAY",
        Values::Map { .. } => "the value does not fit MAP",
        Values::Row(_) => "the value does not fit ROW",
    }
}

#[cold]
fn unfit(column: &Column, offset: usize) -> Fault {
    let mut error = bad_value(offset, expected(column));
    if let Values::Timestamp { .. } = column.values {
        error.hint = Some("see the option 'timestamp-format.standard': SQL or ISO-8601");
    }
    error
}

/// Java's `String.trim`.
#[inline]
fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [first, rest @ ..] = text
        && *first <= b' '
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && *last <= b' '
    {
        text = rest;
    }
    text
}

/// A whole number of any sign, as Java's `Long.parseLong` takes it.
#[inline]
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        let shifted = number.checked_mul(10)?;
        number = if negative { shifted.checked_sub(digit as i64)? } else { shifted.checked_add(digit as i64)? };
    }
    Some(number)
}

/// A number with fraction as Java's `Double.parseDouble` takes it, without its suffixes and hex form.
fn parse_double(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" | b"+NaN" | b"-NaN" => Some(f64::NAN),
        b"Infinity" | b"+Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let text = text.strip_prefix(b"+").unwrap_or(text);
            let good = text.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
            if good { fast_float2::parse(text).ok() } else { None }
        }
    }
}

/// Appends a value given as text: a JSON string, or a field of CSV.
#[inline]
pub(crate) fn append_text(column: &mut Column, text: &[u8], offset: usize, rules: &Rules) -> Decoded<()> {
    if let Values::Text(bytes) = &mut column.values {
        bytes.data.extend_from_slice(text);
        bytes.end_value(offset)?;
        column.mark();
        return Ok(());
    }
    if push_text(column, text, rules).is_none() {
        return Err(unfit(column, offset));
    }
    Ok(())
}

/// None: does not fit. Appends and counts otherwise.
fn push_text(column: &mut Column, text: &[u8], rules: &Rules) -> Option<()> {
    match &mut column.values {
        Values::Null(len) => {
            *len += 1;
            column.mark();
            return Some(());
        }
        Values::Boolean(v) => {
            let text = trim(text);
            v.push(text.eq_ignore_ascii_case(b"true") || (rules.change && text == b"1"));
        }
        Values::Int8(v) => v.push(parse_integer(trim(text))?.try_into().ok()?),
        Values::Int16(v) => v.push(parse_integer(trim(text))?.try_into().ok()?),
        Values::Int32(v) | Values::YearMonth(v) => v.push(parse_integer(trim(text))?.try_into().ok()?),
        Values::Int64(v) | Values::DayTime(v) => v.push(parse_integer(trim(text))?),
        Values::Float32(v) => match trim(text) {
            b"NaN" => v.push(f32::NAN),
            text => {
                let wide = parse_double(text)?;
                v.push(if wide.is_finite() {
                    fast_float2::parse(text.strip_prefix(b"+").unwrap_or(text)).ok()?
                } else {
                    wide as f32
                });
            }
        },
        Values::Float64(v) => v.push(parse_double(trim(text))?),
        Values::Decimal { values, precision, scale, written_as, bytes_scale } => {
            let number = if rules.base64_decimals {
                change_decimal(text, *precision, *scale, written_as, *bytes_scale)?
            } else {
                parse_decimal(trim(text), *precision, *scale).ok()?
            };
            match number {
                Some(number) => values.push(number),
                // Too many digits: NULL, as Flink's DecimalData.fromBigDecimal gives.
                None => return column.append_null(0).ok(),
            }
        }
        Values::Text(bytes) => {
            bytes.data.extend_from_slice(text);
            bytes.end_value(0).ok()?;
        }
        Values::Binary(bytes) => {
            let from = bytes.data.len();
            if STANDARD.decode_vec(text, &mut bytes.data).is_err() {
                bytes.data.truncate(from);
                return None;
            }
            bytes.end_value(0).ok()?;
        }
        Values::Date(v) => match parse_date(text) {
            Some(days) => v.push(days),
            None if rules.change => {
                v.push(parse_timestamp(text, TimestampStyle::Any, Zone::Without)?.0.div_euclid(86_400) as i32)
            }
            None => return None,
        },
        Values::Time { values, .. } => {
            let text = if rules.change { text.strip_suffix(b"Z").unwrap_or(text) } else { text };
            values.push((parse_time(trim(text), TimestampStyle::Any)? / 1_000_000) as i32);
        }
        Values::Timestamp { values, precision, zoned } => {
            let zone = if *zoned { Zone::Utc } else { Zone::Without };
            let (seconds, nanos) = parse_timestamp(trim(text), rules.timestamps, zone)?;
            values.push(to_unit(seconds, nanos, *precision)?);
        }
        Values::List { .. } | Values::Map { .. } | Values::Row(_) => return None,
    }
    column.mark();
    Some(())
}

/// Seconds and nanoseconds in the unit a TIMESTAMP of this precision is held in.
#[inline]
pub(crate) fn to_unit(seconds: i64, nanos: u32, precision: u8) -> Option<i64> {
    if precision <= 6 {
        seconds.checked_mul(1_000_000)?.checked_add((nanos / 1000) as i64)
    } else {
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos as i64)
    }
}

/// A decimal of a change message: digits, or base64 of its unscaled bytes. A text that could be either
/// follows what the column has been so far; at first it is base64 when a fraction is declared but not
/// written (Debezium's `string` mode always writes it), digits otherwise.
fn change_decimal(
    text: &[u8],
    precision: u8,
    scale: u8,
    written_as: &mut DecimalText,
    bytes_scale: u8,
) -> Option<Option<i128>> {
    let digits = parse_decimal(trim(text), precision, scale);
    let only_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let could_be_base64 = text.len().is_multiple_of(4);
    let as_bytes = match (digits, only_digits, *written_as) {
        (Err(_), ..) => true,
        (Ok(_), false, _) => false,
        (Ok(_), true, DecimalText::Digits) => false,
        (Ok(_), true, DecimalText::Base64) => could_be_base64,
        (Ok(_), true, DecimalText::Unknown) => could_be_base64 && scale > 0,
    };
    if as_bytes {
        // 17 bytes hold 38 digits and a sign; longer ones are leading signs at most.
        let mut room = [0u8; 96];
        let length = STANDARD.decode_slice(text, &mut room).ok()?;
        if length == 0 {
            return None;
        }
        *written_as = DecimalText::Base64;
        if bytes_scale == scale {
            return Some(decimal_from_bytes(&room[..length], precision));
        }
        let text = format!("{}e-{bytes_scale}", decimal_from_bytes(&room[..length], 38)?);
        return parse_decimal(text.as_bytes(), precision, scale).ok();
    }
    if !only_digits {
        *written_as = DecimalText::Digits;
    }
    digits.ok()
}

/// A number of Debezium's temporal encodings to the declared type's unit.
fn push_temporal_number(column: &mut Column, number: i64, rules: &Rules) -> Option<()> {
    match &mut column.values {
        Values::Date(v) => v.push(i32::try_from(number).ok()?),
        Values::Time { values, precision } => {
            const MILLIS_PER_DAY: i64 = 86_400_000;
            let per_second = match column.unit {
                Unit::Certain(unit) => unit,
                _ if number >= MILLIS_PER_DAY * 1000 => 1_000_000_000,
                _ if number >= MILLIS_PER_DAY || rules.times_in_micros => 1_000_000,
                _ => match *precision {
                    0..=3 => 1000,
                    4..=6 => 1_000_000,
                    _ => 1_000_000_000,
                },
            };
            let millis = number.div_euclid(per_second / 1000);
            if !(0..MILLIS_PER_DAY).contains(&millis) {
                return None;
            }
            values.push(millis as i32);
        }
        Values::Timestamp { values, precision, .. } => {
            let per_second = timestamp_unit(number, *precision, &mut column.unit);
            let nanos = number.rem_euclid(per_second) * (1_000_000_000 / per_second);
            values.push(to_unit(number.div_euclid(per_second), nanos as u32, *precision)?);
        }
        _ => return None,
    }
    column.mark();
    Some(())
}

/// Units per second of a timestamp's number. Debezium counts milliseconds for source columns of up to three
/// fractional digits, microseconds up to six, nanoseconds beyond, and the declared type usually says the same. Where
/// it does not (`TIMESTAMP` is `TIMESTAMP(6)` in Flink, MySQL's `DATETIME` has no fraction), the size of the numbers
/// tells, and what was seen once in a column holds for all that follow.
fn timestamp_unit(number: i64, precision: u8, unit: &mut Unit) -> i64 {
    const MILLIS: i64 = 1000;
    const MICROS: i64 = 1_000_000;
    const NANOS: i64 = 1_000_000_000;
    /// The last millisecond (microsecond) of the year 9999: above it the number is of a finer unit.
    const MILLIS_MAX: u64 = 253_402_300_799_999;
    const MICROS_MAX: u64 = MILLIS_MAX * 1000 + 999;
    /// As milliseconds the years 1973 to 2103; as microseconds a few weeks around the turn of 1970.
    const SURELY_MILLIS: std::ops::Range<u64> = 100_000_000_000..4_200_000_000_000;
    let size = number.unsigned_abs();
    if let Unit::Certain(unit) = *unit {
        return unit;
    }
    if size > MICROS_MAX || precision > 6 {
        return NANOS;
    }
    if size > MILLIS_MAX {
        *unit = Unit::Likely(MICROS);
        return MICROS;
    }
    match *unit {
        Unit::Likely(unit) => unit,
        _ if precision <= 3 => MILLIS,
        _ if SURELY_MILLIS.contains(&size) => {
            *unit = Unit::Likely(MILLIS);
            MILLIS
        }
        _ => MICROS,
    }
}

/// Appends the next JSON value. With [`Rules::ignore_errors`] a value that does not fit becomes NULL
/// where it may. On an error the column may hold half a value: the caller cuts back.
#[inline]
pub(crate) fn append_json(column: &mut Column, scanner: &mut Scanner<'_>, rules: &Rules) -> Decoded<()> {
    let next = scanner.peek();
    let start = scanner.position();
    let result = append_value(column, scanner, next, start, rules);
    match result {
        Err(error) if rules.ignore_errors => ignored(column, scanner, start, error),
        result => result,
    }
}

#[cold]
fn ignored(column: &mut Column, scanner: &mut Scanner<'_>, start: usize, error: Fault) -> Decoded<()> {
    if !matches!(error.kind, DecodeErrorKind::Value | DecodeErrorKind::Missing) || !column.nullable {
        return Err(error);
    }
    column.truncate(column.len());
    scanner.seek(start);
    scanner.skip_value()?;
    column.append_null(start)
}

#[inline]
fn append_value(column: &mut Column, scanner: &mut Scanner<'_>, next: u8, start: usize, rules: &Rules) -> Decoded<()> {
    match next {
        b'n' => {
            scanner.word(b"null")?;
            return column.append_null(start);
        }
        b'"' => {
            let text = scanner.string()?;
            if let Values::Text(bytes) = &mut column.values {
                text.append_to(&mut bytes.data)?;
                bytes.end_value(start)?;
                column.mark();
                return Ok(());
            }
            let mut scratch = Vec::new();
            let plain = text.plain(&mut scratch)?;
            return append_text(column, plain, start, rules);
        }
        _ => {}
    }
    match &mut column.values {
        Values::Int64(v) => {
            if let Some(number) = scanner.small_integer() {
                v.push(number);
                column.mark();
                return Ok(());
            }
        }
        Values::Int32(v) => {
            if let Some(number) = scanner.small_integer() {
                v.push(i32::try_from(number).map_err(|_| bad_value(start, "the value does not fit INT"))?);
                column.mark();
                return Ok(());
            }
        }
        Values::Float64(v) if next == b'-' || next.is_ascii_digit() => {
            if let Some(number) = scanner.small_decimal() {
                v.push(number);
                column.mark();
                return Ok(());
            }
            let (text, _) = scanner.number()?;
            v.push(fast_float2::parse(text).map_err(|_| bad_value(start, "the value does not fit DOUBLE"))?);
            column.mark();
            return Ok(());
        }
        Values::Text(bytes) => {
            match next {
                b'{' | b'[' => scanner.copy_value(&mut bytes.data)?,
                _ => {
                    scanner.skip_value()?;
                    bytes.data.extend_from_slice(scanner.slice(start, scanner.position()));
                }
            }
            bytes.end_value(start)?;
            column.mark();
            return Ok(());
        }
        Values::List { .. } | Values::Map { .. } | Values::Row(_) => {
            return append_nested(column, scanner, next, start, rules);
        }
        _ => {}
    }
    append_scalar(column, scanner, next, start, rules)
}

/// Numbers and booleans off the common paths.
fn append_scalar(column: &mut Column, scanner: &mut Scanner<'_>, next: u8, start: usize, rules: &Rules) -> Decoded<()> {
    let boolean = match next {
        b't' => Some((b"true" as &'static [u8], true)),
        b'f' => Some((b"false" as &'static [u8], false)),
        _ => None,
    };
    if let Some((word, value)) = boolean {
        scanner.word(word)?;
        return match &mut column.values {
            Values::Boolean(v) => {
                v.push(value);
                column.mark();
                Ok(())
            }
            Values::Null(_) => push_text(column, word, rules).ok_or_else(|| unfit(column, start)),
            _ => Err(unfit(column, start)),
        };
    }
    if matches!(next, b'{' | b'[') {
        // Spatial values and the like: Connect wraps variable-scale decimals in {"scale", "value"}.
        if rules.change && next == b'{' && matches!(column.values, Values::Decimal { .. }) {
            return append_variable_decimal(column, scanner, start);
        }
        scanner.skip_value()?;
        return Err(unfit(column, start));
    }
    let (text, whole) = scanner.number()?;
    if rules.change
        && whole
        && matches!(column.values, Values::Date(_) | Values::Time { .. } | Values::Timestamp { .. })
    {
        return parse_integer(text)
            .and_then(|number| push_temporal_number(column, number, rules))
            .ok_or_else(|| unfit(column, start));
    }
    let done = match &mut column.values {
        Values::Boolean(v) => {
            // Flink: a number is not "true". Change events write MySQL's TINYINT(1) as a number.
            v.push(rules.change && text.iter().any(|b| (b'1'..=b'9').contains(b)));
            Some(())
        }
        // Jackson's getIntValue and getLongValue cut a fraction off; TINYINT and SMALLINT go through text.
        Values::Int32(v) => whole_part(text, whole).and_then(|n| i32::try_from(n).ok()).map(|n| v.push(n)),
        Values::Int64(v) => whole_part(text, whole).map(|n| v.push(n)),
        Values::Float32(v) => fast_float2::parse(text).ok().map(|n: f32| v.push(n)),
        Values::Decimal { values, precision, scale, .. } => match parse_decimal(text, *precision, *scale) {
            Ok(Some(number)) => {
                values.push(number);
                Some(())
            }
            Ok(None) => return column.append_null(start),
            Err(_) => None,
        },
        _ => return push_text(column, text, rules).ok_or_else(|| unfit(column, start)),
    };
    done.ok_or_else(|| unfit(column, start))?;
    column.mark();
    Ok(())
}

fn whole_part(text: &[u8], whole: bool) -> Option<i64> {
    if whole {
        return parse_integer(text);
    }
    let number: f64 = fast_float2::parse(text).ok()?;
    (number > -9.223_372_036_854_775e18 && number < 9.223_372_036_854_775e18).then_some(number as i64)
}

/// `io.debezium.data.VariableScaleDecimal`: `{"scale": 2, "value": "<base64>"}`.
fn append_variable_decimal(column: &mut Column, scanner: &mut Scanner<'_>, start: usize) -> Decoded<()> {
    scanner.take(b'{');
    let (mut scale, mut unscaled) = (None, None);
    loop {
        if scanner.peek() != b'"' {
            return Err(malformed(scanner.position(), "expected a field name"));
        }
        let name = scanner.string()?;
        scanner.expect(b':', "expected ':'")?;
        match (name.raw, scanner.peek()) {
            (b"scale", _) => scale = scanner.small_integer(),
            (b"value", b'"') => {
                let text = scanner.string()?;
                let mut room = [0u8; 96];
                unscaled = STANDARD
                    .decode_slice(text.raw, &mut room)
                    .ok()
                    .and_then(|length| decimal_from_bytes(&room[..length], 38));
            }
            _ => scanner.skip_value()?,
        }
        if scanner.take(b',') {
            continue;
        }
        scanner.expect(b'}', "expected ',' or '}'")?;
        break;
    }
    let Values::Decimal { values, precision, scale: declared, .. } = &mut column.values else {
        return Err(unfit(column, start));
    };
    let text = match (scale, unscaled) {
        (Some(scale), Some(unscaled)) => format!("{unscaled}e{}", -scale),
        _ => return Err(unfit(column, start)),
    };
    match parse_decimal(text.as_bytes(), *precision, *declared) {
        Ok(Some(number)) => {
            values.push(number);
            column.mark();
            Ok(())
        }
        Ok(None) => column.append_null(start),
        Err(_) => Err(unfit(column, start)),
    }
}

fn append_nested(column: &mut Column, scanner: &mut Scanner<'_>, next: u8, start: usize, rules: &Rules) -> Decoded<()> {
    match (&mut column.values, next) {
        (Values::Row(members), b'{') => append_object(members, scanner, rules)?,
        (Values::List { offsets, item }, b'[') => {
            scanner.take(b'[');
            if !scanner.take(b']') {
                loop {
                    append_json(item, scanner, rules)?;
                    if scanner.take(b',') {
                        continue;
                    }
                    scanner.expect(b']', "expected ',' or ']'")?;
                    break;
                }
            }
            offsets.push(count(item.len(), start)?);
        }
        (Values::Map { offsets, key, value }, b'{') => {
            scanner.take(b'{');
            if !scanner.take(b'}') {
                loop {
                    if scanner.peek() != b'"' {
                        return Err(malformed(scanner.position(), "expected a field name"));
                    }
                    let at = scanner.position();
                    let name = scanner.string()?;
                    let mut scratch = Vec::new();
                    append_text(key, name.plain(&mut scratch)?, at, rules)?;
                    scanner.expect(b':', "expected ':'")?;
                    append_json(value, scanner, rules)?;
                    if scanner.take(b',') {
                        continue;
                    }
                    scanner.expect(b'}', "expected ',' or '}'")?;
                    break;
                }
            }
            offsets.push(count(key.len(), start)?);
        }
        _ => {
            scanner.skip_value()?;
            return Err(unfit(column, start));
        }
    }
    column.mark();
    Ok(())
}

fn count(entries: usize, offset: usize) -> Decoded<i32> {
    i32::try_from(entries)
        .map_err(|_| fault(DecodeErrorKind::Full, offset, "the batch holds 2^31 elements in one column"))
}

/// Appends one object as one row of `members`. Fields in the declared order are found without a search;
/// a name that comes twice counts the last time; unknown names are stepped over.
pub(crate) fn append_object(members: &mut Members, scanner: &mut Scanner<'_>, rules: &Rules) -> Decoded<()> {
    let row = members.len;
    let start = scanner.position();
    scanner.expect(b'{', "expected an object")?;
    let mut filled = 0;
    let mut next = 0;
    if !scanner.take(b'}') {
        loop {
            if scanner.peek() != b'"' {
                return Err(malformed(scanner.position(), "expected a field name"));
            }
            let index = match members.quoted.get(next) {
                Some(quoted) if !quoted.is_empty() && scanner.take_exact(quoted) => Some(next),
                _ => {
                    let name = scanner.string()?;
                    let mut scratch = Vec::new();
                    members.position(name.plain(&mut scratch)?)
                }
            };
            scanner.expect(b':', "expected ':'")?;
            if let Some(index) = index {
                let column = &mut members.columns[index];
                if column.len() > row {
                    column.truncate(row);
                    filled -= 1;
                }
                if let Err(error) = append_json(column, scanner, rules) {
                    return Err(in_field(error, &members.names[index]));
                }
                filled += 1;
                next = index + 1;
            } else {
                scanner.skip_value()?;
            }
            if scanner.take(b',') {
                continue;
            }
            scanner.expect(b'}', "expected ',' or '}'")?;
            break;
        }
    }
    if filled < members.columns.len() {
        fill_missing(members, row, start, rules)?;
    }
    members.len += 1;
    Ok(())
}

/// Appends one row whose fields come from several objects: the first that has a field gives its value, even
/// when it is null.
pub(crate) fn append_merged(
    members: &mut Members,
    scanner: &mut Scanner<'_>,
    objects: &[usize],
    rules: &Rules,
) -> Decoded<()> {
    let row = members.len;
    for at in objects {
        scanner.seek(*at);
        scanner.expect(b'{', "expected an object")?;
        if scanner.take(b'}') {
            continue;
        }
        loop {
            if scanner.peek() != b'"' {
                return Err(malformed(scanner.position(), "expected a field name"));
            }
            let name = scanner.string()?;
            let mut scratch = Vec::new();
            let index = members.position(name.plain(&mut scratch)?);
            scanner.expect(b':', "expected ':'")?;
            match index {
                Some(index) if members.columns[index].len() == row => {
                    append_json(&mut members.columns[index], scanner, rules)
                        .map_err(|e| in_field(e, &members.names[index]))?;
                }
                _ => scanner.skip_value()?,
            }
            if scanner.take(b',') {
                continue;
            }
            scanner.expect(b'}', "expected ',' or '}'")?;
            break;
        }
    }
    fill_missing(members, row, objects.first().copied().unwrap_or_default(), rules)?;
    members.len += 1;
    Ok(())
}

/// NULL for every column that has no value in this row.
pub(crate) fn fill_missing(members: &mut Members, row: usize, offset: usize, rules: &Rules) -> Decoded<()> {
    for (column, name) in members.columns.iter_mut().zip(&members.names) {
        if column.len() > row {
            continue;
        }
        if rules.fail_on_missing {
            return Err(in_field(fault(DecodeErrorKind::Missing, offset, "the field is missing"), name));
        }
        column.append_null(offset).map_err(|e| in_field(e, name))?;
    }
    Ok(())
}
