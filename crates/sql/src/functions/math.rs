//! Arithmetic and mathematical functions. Integers wrap, division by zero of exact numbers is an
//! error, decimals that do not fit are NULL (flink-semantics.md, points 1 to 6).

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::kernels::numeric;
use arrow::datatypes::*;
use starweir_model::{DataType as FlinkType, Error, LogicalType as L, Result};

use super::{Function, Invocation, any_null_at, f64_at, i32_at, i64_at, num_at, num_kernel, text_kernel};
use crate::bind::expr::{convert, nullable_of};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{EvalContext, Kernel, Typed, Val, arrow_error, cast, decimal};
use crate::parser::Parse;
use crate::types;

macro_rules! double_fn {
    ($name:literal, $f:expr) => {
        Function { name: $name, arity: (1, 1), bind: |c| double1(c, $f) }
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    double_fn!("SIN", f64::sin),
    double_fn!("COS", f64::cos),
    double_fn!("TAN", f64::tan),
    double_fn!("COT", |v| 1.0 / v.tan()),
    double_fn!("ASIN", f64::asin),
    double_fn!("ACOS", f64::acos),
    double_fn!("ATAN", f64::atan),
    double_fn!("SINH", f64::sinh),
    double_fn!("COSH", f64::cosh),
    double_fn!("TANH", f64::tanh),
    double_fn!("EXP", f64::exp),
    double_fn!("LN", f64::ln),
    double_fn!("LOG10", f64::log10),
    double_fn!("LOG2", |v: f64| v.ln() / std::f64::consts::LN_2),
    double_fn!("SQRT", f64::sqrt),
    double_fn!("DEGREES", |v: f64| v * (180.0 / std::f64::consts::PI)),
    double_fn!("RADIANS", |v: f64| v / 180.0 * std::f64::consts::PI),
    Function { name: "LOG", arity: (1, 2), bind: log },
    Function { name: "POWER", arity: (2, 2), bind: |c| double2(c, f64::powf) },
    Function { name: "ATAN2", arity: (2, 2), bind: |c| double2(c, f64::atan2) },
    Function { name: "PI", arity: (0, 0), bind: |c| constant(c, std::f64::consts::PI) },
    Function { name: "E", arity: (0, 0), bind: |c| constant(c, std::f64::consts::E) },
    Function { name: "ABS", arity: (1, 1), bind: abs },
    Function { name: "SIGN", arity: (1, 1), bind: sign },
    Function { name: "FLOOR", arity: (1, 1), bind: |c| floor_ceil(c, false) },
    Function { name: "CEIL", arity: (1, 1), bind: |c| floor_ceil(c, true) },
    Function { name: "CEILING", arity: (1, 1), bind: |c| floor_ceil(c, true) },
    Function { name: "ROUND", arity: (1, 2), bind: |c| round(c, true) },
    Function { name: "TRUNCATE", arity: (1, 2), bind: |c| round(c, false) },
    Function { name: "MOD", arity: (2, 2), bind: modulo },
    Function { name: "RAND", arity: (0, 1), bind: rand },
    Function { name: "RAND_INTEGER", arity: (1, 2), bind: rand_integer },
    Function { name: "UUID", arity: (0, 0), bind: uuid },
    Function { name: "BIN", arity: (1, 1), bind: bin },
    Function { name: "HEX", arity: (1, 1), bind: hex },
];

fn double1(mut c: Invocation<'_>, f: fn(f64) -> f64) -> Parse<Typed> {
    c.number(0, &L::Double)?;
    let data_type = c.strict_type(L::Double);
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], _: usize| {
        Ok(Arc::new(args[0].array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f)) as ArrayRef)
    });
    Ok(c.finish(data_type, kernel).total())
}

fn double2(mut c: Invocation<'_>, f: fn(f64, f64) -> f64) -> Parse<Typed> {
    c.number(0, &L::Double)?;
    c.number(1, &L::Double)?;
    let data_type = c.strict_type(L::Double);
    Ok(c.finish(
        data_type,
        num_kernel::<Float64Type>(move |_, args, row| Ok(Some(f(f64_at(args, 0, row), f64_at(args, 1, row))))),
    )
    .total())
}

fn log(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.number(i, &L::Double)?;
    }
    let data_type = c.strict_type(L::Double);
    Ok(c.finish(
        data_type,
        num_kernel::<Float64Type>(|_, args, row| {
            Ok(Some(if args.len() == 1 {
                f64_at(args, 0, row).ln()
            } else {
                f64_at(args, 1, row).ln() / f64_at(args, 0, row).ln()
            }))
        }),
    )
    .total())
}

fn constant(c: Invocation<'_>, value: f64) -> Parse<Typed> {
    Ok(Typed::literal(Arc::new(Float64Array::from(vec![value])), FlinkType::not_null(L::Double), c.span))
}

// ---- operators -----------------------------------------------------------------------------

/// `+ - * / %` over numbers, points in time and intervals.
pub(crate) fn arithmetic(op: char, left: Typed, right: Typed, span: Span) -> Parse<Typed> {
    let (a, b) = (left.data_type.logical.clone(), right.data_type.logical.clone());
    let refused = || {
        let mut d = Diagnostic::at(span.clone(), format!("'{op}' does not apply to {a} and {b}"));
        if a.is_character() || b.is_character() {
            d = d.with_hint("write a CAST around the text");
        }
        Err(d)
    };
    // An untyped NULL takes the other side's type.
    let (left, right) = match (&a, &b) {
        (L::Null, L::Null) => (convert(left, &L::Int), convert(right, &L::Int)),
        (L::Null, other) if other.is_numeric() || types::is_interval(other) => (convert(left, other), right),
        (other, L::Null) if other.is_numeric() || types::is_interval(other) => (left, convert(right, other)),
        (other, L::Null) if types::is_temporal(other) => (left, convert(right, &L::IntervalDayTime)),
        _ => (left, right),
    };
    let (a, b) = (left.data_type.logical.clone(), right.data_type.logical.clone());
    if a.is_numeric() && b.is_numeric() {
        return numbers(op, left, right, span);
    }
    if types::is_temporal(&a) && types::is_interval(&b) && matches!(op, '+' | '-') {
        return super::temporal::add_interval(left, right, op == '-', span);
    }
    if types::is_interval(&a) && types::is_temporal(&b) && op == '+' {
        return super::temporal::add_interval(right, left, false, span);
    }
    if types::is_interval(&a) && a == b && matches!(op, '+' | '-') {
        let nullable = nullable_of(&[left.clone(), right.clone()]);
        let kernel =
            interval_kernel(
                a == L::IntervalYearMonth,
                move |x, y| if op == '+' { x.wrapping_add(y) } else { x.wrapping_sub(y) },
            );
        return Ok(
            Typed::call(op.to_string(), vec![left, right], FlinkType { logical: a, nullable }, span, kernel).total()
        );
    }
    if (types::is_interval(&a) && b.is_numeric() && matches!(op, '*' | '/'))
        || (a.is_numeric() && types::is_interval(&b) && op == '*')
    {
        let (interval, number) = if types::is_interval(&a) { (left, right) } else { (right, left) };
        if types::is_approximate(&number.data_type.logical) {
            return refused();
        }
        let logical = interval.data_type.logical.clone();
        let number = convert(number, &L::BigInt);
        let nullable = nullable_of(&[interval.clone(), number.clone()]);
        let months = logical == L::IntervalYearMonth;
        let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut out: Vec<Option<i64>> = Vec::with_capacity(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    out.push(None);
                    continue;
                }
                let x = interval_at(&args[0], row);
                let y = i64_at(args, 1, row);
                out.push(Some(match op {
                    '*' => x.wrapping_mul(y),
                    _ if y == 0 => return Err(by_zero()),
                    _ => x.wrapping_div(y),
                }));
            }
            Ok(interval_array(out, months))
        });
        return Ok(Typed::call(op.to_string(), vec![interval, number], FlinkType { logical, nullable }, span, kernel));
    }
    refused()
}

fn by_zero() -> Error {
    Error::data("division by zero")
}

pub(crate) fn interval_at(arg: &Val, row: usize) -> i64 {
    let at = arg.at(row);
    match arg.array.as_primitive_opt::<IntervalYearMonthType>() {
        Some(months) => i64::from(months.value(at)),
        None => arg.array.as_primitive::<DurationMillisecondType>().value(at),
    }
}

fn interval_array(values: Vec<Option<i64>>, months: bool) -> ArrayRef {
    if months {
        Arc::new(values.into_iter().map(|v| v.map(|v| v as i32)).collect::<IntervalYearMonthArray>())
    } else {
        Arc::new(DurationMillisecondArray::from(values))
    }
}

fn interval_kernel(months: bool, f: impl Fn(i64, i64) -> i64 + Send + Sync + 'static) -> Kernel {
    Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let out = (0..rows)
            .map(|row| (!any_null_at(args, row)).then(|| f(interval_at(&args[0], row), interval_at(&args[1], row))))
            .collect();
        Ok(interval_array(out, months))
    })
}

fn numbers(op: char, left: Typed, right: Typed, span: Span) -> Parse<Typed> {
    let (a, b) = (left.data_type.logical.clone(), right.data_type.logical.clone());
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let name = if op == '%' { "MOD".to_owned() } else { op.to_string() };
    let exact_decimal = (matches!(a, L::Decimal(..)) || matches!(b, L::Decimal(..)))
        && !types::is_approximate(&a)
        && !types::is_approximate(&b);
    if exact_decimal {
        let (Some(x), Some(y)) = (types::as_decimal(&a), types::as_decimal(&b)) else {
            return Err(Diagnostic::at(span, format!("'{op}' does not apply to {a} and {b}")));
        };
        let (p, s) = match op {
            '*' => decimal::multiply_type(x, y),
            '/' => decimal::divide_type(x, y),
            '%' => decimal::modulo_type(x, y),
            _ => decimal::add_type(x, y),
        };
        let logical = L::Decimal(p, s);
        let args = vec![convert(left, &L::Decimal(x.0, x.1)), convert(right, &L::Decimal(y.0, y.1))];
        let (sx, sy) = (x.1, y.1);
        let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let mut builder = Decimal128Builder::with_capacity(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    builder.append_null();
                    continue;
                }
                let (x, y) = (num_at::<Decimal128Type>(args, 0, row), num_at::<Decimal128Type>(args, 1, row));
                let value = match op {
                    '+' => decimal::add(x, sx, y, sy, p, s),
                    '-' => decimal::add(x, sx, -y, sy, p, s),
                    '*' => decimal::multiply(x, sx, y, sy, p, s),
                    _ if y == 0 => return Err(by_zero()),
                    '/' => decimal::divide(x, sx, y, sy, p, s),
                    _ => decimal::modulo(x, sx, y, sy, p, s),
                };
                builder.append_option(value);
            }
            Ok(Arc::new(builder.finish().with_precision_and_scale(p, s as i8).map_err(arrow_error)?) as ArrayRef)
        });
        let call = Typed::call(name, args, FlinkType { logical, nullable }, span, kernel);
        if op == '%' && x.1 == 0 && y.1 == 0 {
            // Without fractions MOD has the divisor's type.
            return Ok(convert(call, &b));
        }
        return Ok(if matches!(op, '/' | '%') { call } else { call.total() });
    }
    let Some(common) = types::common_number(&a, &b) else {
        return Err(Diagnostic::at(span, format!("'{op}' does not apply to {a} and {b}")));
    };
    let float = types::is_approximate(&common);
    // Points as Java sees them: MOD gives the type of the divisor for integers.
    let data_type =
        FlinkType { logical: if op == '%' && common.is_integer() { b.clone() } else { common.clone() }, nullable };
    if types::is_approximate(&a) && types::is_approximate(&b) && a != b {
        let wide = numbers(op, convert(left, &L::Double), convert(right, &L::Double), span)?;
        return Ok(convert(wide, &common));
    }
    let args = vec![convert(left, &common), convert(right, &common)];
    // Over columns a floating number divided by zero is infinite; between literals it is an error.
    let literals = args.iter().all(|a| a.as_literal().is_some());
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        if float && literals && op == '/' && is_zero(&args[1]) {
            return Err(by_zero());
        }
        if matches!(op, '/' | '%') && !float {
            return int_division(op, args, rows);
        }
        let (l, r) = (args[0].expand(rows)?, args[1].expand(rows)?);
        match op {
            '+' => numeric::add_wrapping(&l, &r),
            '-' => numeric::sub_wrapping(&l, &r),
            '*' => numeric::mul_wrapping(&l, &r),
            '/' => numeric::div(&l, &r),
            _ => numeric::rem(&l, &r),
        }
        .map_err(arrow_error)
    });
    let target = data_type.logical.clone();
    let call = Typed::call(name, args, FlinkType { logical: common.clone(), nullable }, span, kernel);
    let call = if (float && !literals) || !matches!(op, '/' | '%') { call.total() } else { call };
    Ok(convert(call, &target))
}

fn is_zero(value: &Val) -> bool {
    let double = value.array.as_primitive_opt::<Float64Type>().is_some_and(|a| a.is_valid(0) && a.value(0) == 0.0);
    double || value.array.as_primitive_opt::<Float32Type>().is_some_and(|a| a.is_valid(0) && a.value(0) == 0.0)
}

fn int_division(op: char, args: &[Val], rows: usize) -> Result<ArrayRef> {
    macro_rules! run {
        ($t:ty) => {{
            let mut builder = PrimitiveBuilder::<$t>::with_capacity(rows);
            for row in 0..rows {
                if any_null_at(args, row) {
                    builder.append_null();
                    continue;
                }
                let (x, y) = (num_at::<$t>(args, 0, row), num_at::<$t>(args, 1, row));
                if y == 0 {
                    return Err(by_zero());
                }
                builder.append_value(if op == '/' { x.wrapping_div(y) } else { x.wrapping_rem(y) });
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    match args[0].array.data_type() {
        DataType::Int8 => run!(Int8Type),
        DataType::Int16 => run!(Int16Type),
        DataType::Int32 => run!(Int32Type),
        _ => run!(Int64Type),
    }
}

fn modulo(c: Invocation<'_>) -> Parse<Typed> {
    let mut args = c.args.into_iter();
    match (args.next(), args.next()) {
        (Some(left), Some(right)) => arithmetic('%', left, right, c.span),
        _ => Err(Diagnostic::at(c.span, "MOD takes two numbers")),
    }
}

// ---- functions over any number -------------------------------------------------------------

/// Applies per-type closures to a numeric column.
fn per_type(
    array: &ArrayRef,
    int: impl Fn(i64) -> i64,
    float: impl Fn(f64) -> f64,
    dec: impl Fn(i128) -> Option<i128>,
    out: Option<(u8, u8)>,
) -> Result<ArrayRef> {
    use cast::Wrap;
    Ok(match array.data_type() {
        DataType::Int8 => {
            Arc::new(array.as_primitive::<Int8Type>().unary::<_, Int8Type>(|v| i8::wrap(int(i64::from(v)))))
        }
        DataType::Int16 => {
            Arc::new(array.as_primitive::<Int16Type>().unary::<_, Int16Type>(|v| i16::wrap(int(i64::from(v)))))
        }
        DataType::Int32 => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int32Type>(|v| i32::wrap(int(i64::from(v)))))
        }
        DataType::Int64 => Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int64Type>(int)),
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| float(f64::from(v)) as f32))
        }
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(float)),
        DataType::Decimal128(p, s) => {
            let (p, s) = out.unwrap_or((*p, *s as u8));
            let values: Decimal128Array = array
                .as_primitive::<Decimal128Type>()
                .iter()
                .map(|v| v.and_then(&dec).and_then(|v| decimal::fits(v, p)))
                .collect();
            Arc::new(values.with_precision_and_scale(p, s as i8).map_err(arrow_error)?)
        }
        other => return Err(Error::internal(format!("{other} is no number"))),
    })
}

fn numeric_arg(c: &mut Invocation<'_>) -> Parse<L> {
    if c.args[0].is_null_literal() {
        c.args[0] = convert(c.args[0].clone(), &L::Int);
    }
    let logical = c.args[0].data_type.logical.clone();
    if logical.is_numeric() { Ok(logical) } else { Err(c.mismatch(0, "a number")) }
}

fn abs(mut c: Invocation<'_>) -> Parse<Typed> {
    let logical = c.args[0].data_type.logical.clone();
    if types::is_interval(&logical) {
        let months = logical == L::IntervalYearMonth;
        let data_type = c.strict_type(logical);
        let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
            let out = (0..rows)
                .map(|row| (!args[0].is_null(row)).then(|| interval_at(&args[0], row).wrapping_abs()))
                .collect();
            Ok(interval_array(out, months))
        });
        return Ok(c.finish(data_type, kernel).total());
    }
    let logical = numeric_arg(&mut c)?;
    let data_type = c.strict_type(logical);
    let kernel: Kernel = Arc::new(|_: &EvalContext, args: &[Val], _: usize| {
        per_type(&args[0].array, i64::wrapping_abs, f64::abs, |v| Some(v.abs()), None)
    });
    Ok(c.finish(data_type, kernel).total())
}

fn sign(mut c: Invocation<'_>) -> Parse<Typed> {
    let logical = numeric_arg(&mut c)?;
    let unit = match &logical {
        L::Decimal(_, s) => decimal::pow10(u32::from(*s)),
        _ => 1,
    };
    let data_type = c.strict_type(logical);
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], _: usize| {
        per_type(
            &args[0].array,
            i64::signum,
            |v| if v == 0.0 || v.is_nan() { v } else { v.signum() },
            |v| Some(v.signum() * unit),
            None,
        )
    });
    Ok(c.finish(data_type, kernel).total())
}

fn floor_ceil(mut c: Invocation<'_>, ceil: bool) -> Parse<Typed> {
    let logical = numeric_arg(&mut c)?;
    let (target, scale) = match &logical {
        L::Decimal(p, s) => (L::Decimal(*p, 0), *s),
        other => (other.clone(), 0),
    };
    let data_type = c.strict_type(target.clone());
    let out = match target {
        L::Decimal(p, _) => Some((p, 0)),
        _ => None,
    };
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], _: usize| {
        let unit = decimal::pow10(u32::from(scale));
        per_type(
            &args[0].array,
            |v| v,
            |v| if ceil { v.ceil() } else { v.floor() },
            |v| Some(if ceil { -(-v).div_euclid(unit) } else { v.div_euclid(unit) }),
            out,
        )
    });
    Ok(c.finish(data_type, kernel).total())
}

/// ROUND (half up) and TRUNCATE; the number of digits may be a column.
fn round(mut c: Invocation<'_>, half_up: bool) -> Parse<Typed> {
    let logical = numeric_arg(&mut c)?;
    if c.args.len() == 2 {
        c.integer(1, &L::Int)?;
    }
    let literal_digits = match c.args.get(1) {
        None => Some(0),
        Some(arg) => {
            arg.as_literal().filter(|a| a.is_valid(0)).map(|a| i64::from(a.as_primitive::<Int32Type>().value(0)))
        }
    };
    let (logical, out, scale) = match logical {
        L::Decimal(p, s) => {
            let (p2, s2) = match literal_digits {
                Some(digits) => decimal::round_type(p, s, digits),
                None => (p, s),
            };
            (L::Decimal(p2, s2), Some((p2, s2)), s)
        }
        other => (other, None, 0),
    };
    let out_scale = out.map_or(0, |o| o.1);
    let data_type = c.strict_type(logical);
    let kernel: Kernel = Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
        let mut parts = Vec::with_capacity(rows);
        let uniform = args.len() == 1 || args[1].scalar;
        let run = |array: &ArrayRef, digits: i64| {
            per_type(
                array,
                |v| round_i64(v, digits, half_up),
                |v| round_f64(v, digits, half_up),
                |v| {
                    let cut = i64::from(scale) - digits;
                    let rounded = if cut <= 0 {
                        v
                    } else if cut > 38 {
                        0
                    } else {
                        let unit = decimal::pow10(cut as u32);
                        let quotient = if half_up { decimal::div_half_up(v, unit) } else { v / unit };
                        quotient.checked_mul(unit)?
                    };
                    decimal::rescale(rounded, scale, out_scale, 38)
                },
                out,
            )
        };
        if uniform {
            if args.len() == 2 && args[1].is_null(0) {
                let sample = run(&args[0].array.slice(0, 0), 0)?;
                return Ok(new_null_array(sample.data_type(), rows));
            }
            let digits = if args.len() == 1 { 0 } else { i64::from(i32_at(args, 1, 0)) };
            return run(&args[0].expand(rows)?, digits);
        }
        for row in 0..rows {
            let one = args[0].array.slice(args[0].at(row), 1);
            let digits = if args[1].is_null(row) { None } else { Some(i64::from(i32_at(args, 1, row))) };
            parts.push(match digits {
                Some(digits) => run(&one, digits)?,
                None => new_null_array(run(&one.slice(0, 0), 0)?.data_type(), 1),
            });
        }
        if parts.is_empty() {
            return run(&args[0].array.slice(0, 0), 0);
        }
        let refs: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
        arrow::compute::concat(&refs).map_err(arrow_error)
    });
    Ok(c.finish(data_type, kernel).total())
}

fn round_i64(value: i64, digits: i64, half_up: bool) -> i64 {
    if digits >= 0 {
        return value;
    }
    if digits < -18 {
        return 0;
    }
    let unit = i128::from(10i64.pow((-digits) as u32));
    let quotient = if half_up { decimal::div_half_up(i128::from(value), unit) } else { i128::from(value) / unit };
    (quotient * unit) as i64
}

/// As `BigDecimal.valueOf(v).setScale(digits, HALF_UP).doubleValue()`.
fn round_f64(value: f64, digits: i64, half_up: bool) -> f64 {
    if !value.is_finite() || value == 0.0 || digits > 300 {
        return value;
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let negative = mantissa.starts_with('-');
    let all: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    // Digits before the cut: exponent + 1 whole ones and `digits` behind the point.
    let keep = exponent + 1 + digits;
    if keep >= all.len() as i64 {
        return value;
    }
    if keep < 0 {
        return 0.0;
    }
    let keep = keep as usize;
    let mut head: Vec<u8> = all[..keep].to_vec();
    if half_up && all[keep] >= b'5' {
        let mut at = keep;
        loop {
            if at == 0 {
                head.insert(0, b'1');
                break;
            }
            at -= 1;
            if head[at] == b'9' {
                head[at] = b'0';
            } else {
                head[at] += 1;
                break;
            }
        }
    }
    if head.is_empty() {
        return 0.0;
    }
    let digits_text = String::from_utf8_lossy(&head).into_owned();
    let out: f64 = format!("{digits_text}e{}", -digits).parse().unwrap_or(value);
    if negative { -out } else { out }
}

// ---- chance --------------------------------------------------------------------------------

/// `java.util.Random`, for the seeded forms.
struct JavaRandom(u64);

impl JavaRandom {
    fn new(seed: i64) -> Self {
        Self((seed as u64 ^ 0x5_DEEC_E66D) & ((1 << 48) - 1))
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & ((1 << 48) - 1);
        (self.0 >> (48 - bits)) as i32
    }

    fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26) as u32) << 27;
        let low = i64::from(self.next(27) as u32);
        (high + low) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    fn next_int(&mut self, bound: i32) -> i32 {
        if bound <= 0 {
            return 0;
        }
        if bound & -bound == bound {
            return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                return value;
            }
        }
    }
}

fn rand(mut c: Invocation<'_>) -> Parse<Typed> {
    if c.args.len() == 1 {
        c.integer(0, &L::Int)?;
    }
    let seeded = c.args.len() == 1;
    let data_type = c.strict_type(L::Double);
    let kernel = num_kernel::<Float64Type>(move |ctx, args, row| {
        Ok(Some(if seeded {
            JavaRandom::new(i64::from(i32_at(args, 0, row))).next_double()
        } else {
            (ctx.next_random() >> 11) as f64 / (1u64 << 53) as f64
        }))
    });
    Ok(c.finish(data_type, kernel).volatile())
}

fn rand_integer(mut c: Invocation<'_>) -> Parse<Typed> {
    for i in 0..c.args.len() {
        c.integer(i, &L::Int)?;
    }
    let seeded = c.args.len() == 2;
    let data_type = c.strict_type(L::Int);
    let kernel = num_kernel::<Int32Type>(move |ctx, args, row| {
        let bound = i32_at(args, usize::from(seeded), row);
        if bound <= 0 {
            return Ok(None);
        }
        Ok(Some(if seeded {
            JavaRandom::new(i64::from(i32_at(args, 0, row))).next_int(bound)
        } else {
            (ctx.next_random() % bound as u64) as i32
        }))
    });
    Ok(c.finish(data_type, kernel).volatile())
}

fn uuid(c: Invocation<'_>) -> Parse<Typed> {
    let kernel = text_kernel(|ctx, _, _| {
        let bits = (u128::from(ctx.next_random()) << 64) | u128::from(ctx.next_random());
        Ok(Some(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()))
    });
    Ok(c.finish(FlinkType::not_null(L::Char(36)), kernel).volatile())
}

fn bin(mut c: Invocation<'_>) -> Parse<Typed> {
    c.integer(0, &L::BigInt)?;
    let data_type = c.strict_type(L::STRING);
    Ok(c.finish(data_type, text_kernel(|_, args, row| Ok(Some(format!("{:b}", i64_at(args, 0, row)))))).total())
}

fn hex(mut c: Invocation<'_>) -> Parse<Typed> {
    let logical = c.args[0].data_type.logical.clone();
    let data_type = c.strict_type(L::STRING);
    if logical.is_character() {
        return Ok(c
            .finish(data_type, text_kernel(|_, args, row| Ok(Some(hex::encode_upper(super::str_at(args, 0, row))))))
            .total());
    }
    c.integer(0, &L::BigInt)?;
    Ok(c.finish(data_type, text_kernel(|_, args, row| Ok(Some(format!("{:X}", i64_at(args, 0, row)))))).total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_follows_the_printed_digits() {
        for (value, digits, expected) in
            [(2.5, 0, 3.0), (-2.5, 0, -3.0), (1.005, 2, 1.01), (123.456, -1, 120.0), (0.4, 0, 0.0), (9.99, 1, 10.0)]
        {
            assert_eq!(round_f64(value, digits, true), expected, "{value} {digits}");
        }
        assert_eq!(round_f64(1.999, 2, false), 1.99);
        assert_eq!(round_i64(-125, -1, true), -130);
    }

    #[test]
    fn a_seed_gives_javas_numbers() {
        assert_eq!(JavaRandom::new(1).next_double(), 0.730_878_190_703_290_9);
    }
}
