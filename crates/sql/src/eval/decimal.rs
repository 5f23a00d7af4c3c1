//! DECIMAL arithmetic: 38 digits, half up, NULL on overflow (flink-semantics.md, points 3 to 5).

use arrow::datatypes::i256;
use num_bigint::BigInt;

/// Widest precision.
const PRECISION_MAX: u8 = 38;

pub fn pow10(digits: u32) -> i128 {
    10i128.pow(digits.min(38))
}

/// The value when it has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> Option<i128> {
    (precision >= PRECISION_MAX && value.unsigned_abs() < 10u128.pow(38)
        || precision < PRECISION_MAX && value.unsigned_abs() < 10u128.pow(u32::from(precision)))
    .then_some(value)
}

/// Moves a value to another scale, half up; `None` when it has too many digits then.
pub fn rescale(value: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    let moved = if to >= from {
        value.checked_mul(pow10(u32::from(to - from)))?
    } else {
        div_half_up(value, pow10(u32::from(from - to)))
    };
    fits(moved, precision)
}

/// Division rounded half away from zero.
pub fn div_half_up(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    let rest = (value % divisor).unsigned_abs();
    if rest >= divisor.unsigned_abs().div_ceil(2) && rest * 2 >= divisor.unsigned_abs() {
        if (value < 0) == (divisor < 0) { quotient + 1 } else { quotient - 1 }
    } else {
        quotient
    }
}

/// A power of ten above 38 digits is a big number.
fn big_pow10(digits: u32) -> BigInt {
    BigInt::from(10u8).pow(digits)
}

fn big_half_up(value: BigInt, divisor: &BigInt) -> BigInt {
    use num_bigint::Sign;
    let quotient: BigInt = &value / divisor;
    let rest: BigInt = &value - &quotient * divisor;
    let double_rest = BigInt::from(rest.magnitude().clone()) * 2;
    let magnitude = BigInt::from(divisor.magnitude().clone());
    if double_rest >= magnitude {
        let negative = (value.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
        if negative { quotient - 1 } else { quotient + 1 }
    } else {
        quotient
    }
}

fn from_big(value: &BigInt, precision: u8) -> Option<i128> {
    i128::try_from(value).ok().and_then(|v| fits(v, precision))
}

/// A value in a wider scale than the result's, moved there.
fn settle(value: i256, from: u32, to: u8, precision: u8) -> Option<i128> {
    if let Some(narrow) = value.to_i128()
        && from >= u32::from(to)
        && from - u32::from(to) <= 38
    {
        return fits(div_half_up(narrow, pow10(from - u32::from(to))), precision);
    }
    let big = BigInt::from_signed_bytes_le(&value.to_le_bytes());
    let moved = if from >= u32::from(to) {
        big_half_up(big, &big_pow10(from - u32::from(to)))
    } else {
        big * big_pow10(u32::from(to) - from)
    };
    from_big(&moved, precision)
}

/// `a * b` at the result's scale.
pub fn multiply(a: i128, sa: u8, b: i128, sb: u8, precision: u8, scale: u8) -> Option<i128> {
    let product = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    settle(product, u32::from(sa) + u32::from(sb), scale, precision)
}

/// `a + b` (or `a - b`) at the result's scale.
pub fn add(a: i128, sa: u8, b: i128, sb: u8, precision: u8, scale: u8) -> Option<i128> {
    let common = sa.max(sb);
    let wide = |v: i128, s: u8| i256::from_i128(v).checked_mul(i256::from_i128(pow10(u32::from(common - s))));
    let sum = wide(a, sa)?.checked_add(wide(b, sb)?)?;
    settle(sum, u32::from(common), scale, precision)
}

/// `a / b` at the result's scale; `None` when it does not fit. `b` is not zero.
pub fn divide(a: i128, sa: u8, b: i128, sb: u8, precision: u8, scale: u8) -> Option<i128> {
    // a/10^sa / (b/10^sb) = a * 10^(scale + sb - sa) / b, at `scale`.
    let shift = i32::from(scale) + i32::from(sb) - i32::from(sa);
    if (0..=38).contains(&shift)
        && let Some(numerator) = a.checked_mul(pow10(shift as u32))
    {
        return fits(div_half_up(numerator, b), precision);
    }
    let (mut numerator, mut divisor) = (BigInt::from(a), BigInt::from(b));
    if shift >= 0 {
        numerator *= big_pow10(shift as u32);
    } else {
        divisor *= big_pow10((-shift) as u32);
    }
    from_big(&big_half_up(numerator, &divisor), precision)
}

/// `a % b`, the sign of `a`, at the larger scale.
pub fn modulo(a: i128, sa: u8, b: i128, sb: u8, precision: u8, scale: u8) -> Option<i128> {
    let common = sa.max(sb);
    let a = BigInt::from(a) * big_pow10(u32::from(common - sa));
    let b = BigInt::from(b) * big_pow10(u32::from(common - sb));
    let rest = i128::try_from(&(a % b)).ok()?;
    rescale(rest, common, scale, precision)
}

/// Reads a number as `java.math.BigDecimal` does. `Err`: no number. `Ok(None)`: too many digits.
pub fn parse(text: &str, precision: u8, scale: u8) -> Result<Option<i128>, ()> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            let digits = &text[at + 1..];
            let exponent: i64 = digits.strip_prefix('+').unwrap_or(digits).parse().map_err(|_| ())?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    let digits: String = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Ok(Some(0));
    }
    // The value is digits * 10^(exponent - fraction.len()); at `scale` it is digits * 10^shift.
    let shift = exponent - fraction.len() as i64 + i64::from(scale);
    if digits.len() as i64 + shift > 40 {
        return Ok(None);
    }
    if digits.len() as i64 + shift < 0 {
        return Ok(Some(0));
    }
    let value = if shift >= 0 {
        digits.parse::<BigInt>().map_err(|_| ())? * big_pow10(shift as u32)
    } else {
        // Digits beyond the scale: only the first of them rounds.
        let keep = (digits.len() as i64 + shift) as usize;
        let head = if keep == 0 { BigInt::from(0) } else { digits[..keep].parse::<BigInt>().map_err(|_| ())? };
        let up = digits.as_bytes().get(keep).is_some_and(|d| *d >= b'5');
        head + i32::from(up)
    };
    let value = if negative { -value } else { value };
    Ok(from_big(&value, precision))
}

/// The nearest double, as `BigDecimal.doubleValue` gives it.
pub fn to_f64(value: i128, scale: u8) -> f64 {
    if value.unsigned_abs() < (1 << 53) && scale <= 22 {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    let mut text = String::new();
    super::text::write_decimal(&mut text, value, scale);
    text.parse().unwrap_or(f64::NAN)
}

/// From a double, by its shortest decimal text (`BigDecimal.valueOf`). `None`: no number, or too many digits.
pub fn from_f64(value: f64, precision: u8, scale: u8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    parse(&format!("{value:e}"), precision, scale).ok().flatten()
}

// ---- result types (Flink's LogicalTypeMerging) ---------------------------------------------

fn adjust(precision: i32, scale: i32) -> (u8, u8) {
    if precision <= 38 {
        return (precision.max(1) as u8, scale as u8);
    }
    let whole = precision - scale;
    let scale = (38 - whole).max(scale.min(6));
    (38, scale as u8)
}

pub fn add_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2);
    adjust((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

pub fn multiply_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    adjust(i32::from(p1) + i32::from(p2) + 1, i32::from(s1) + i32::from(s2))
}

pub fn divide_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = (s1 + p2 + 1).max(6);
    adjust(p1 - s1 + s2 + scale, scale)
}

pub fn modulo_type((p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2);
    adjust((p1 - s1).min(p2 - s2) + scale, scale)
}

/// ROUND(DECIMAL(p, s), r).
pub fn round_type(precision: u8, scale: u8, round: i64) -> (u8, u8) {
    if round >= i64::from(scale) {
        return (precision, scale);
    }
    if round < 0 {
        return ((i32::from(precision) - i32::from(scale) + 1).min(38) as u8, 0);
    }
    ((1 + i32::from(precision) - i32::from(scale) + round as i32).min(38) as u8, round as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_types_are_flinks() {
        assert_eq!(divide_type((10, 2), (10, 2)), (23, 13));
        assert_eq!(divide_type((38, 10), (38, 10)), (38, 6));
        assert_eq!(divide_type((10, 0), (2, 1)), (17, 6));
        assert_eq!(multiply_type((10, 2), (10, 2)), (21, 4));
    }

    #[test]
    fn numbers_are_read_half_up_and_overflow_is_none() {
        for (text, precision, scale, expected) in [
            ("1.005", 5, 2, Ok(Some(101))),
            ("-1.005", 5, 2, Ok(Some(-101))),
            (" 1e3 ", 10, 0, Ok(Some(1000))),
            ("1234.5", 3, 0, Ok(None)),
            ("1e100", 38, 0, Ok(None)),
            ("1e-100", 38, 10, Ok(Some(0))),
            ("", 5, 2, Err(())),
            (".", 5, 2, Err(())),
            ("1x", 5, 2, Err(())),
        ] {
            assert_eq!(parse(text, precision, scale), expected, "{text}");
        }
    }

    #[test]
    fn wide_products_and_quotients_are_exact_or_none() {
        assert_eq!(divide(1, 0, 3, 0, 38, 6), Some(333_333));
        assert_eq!(divide(2, 0, 3, 0, 38, 6), Some(666_667));
        let max = 10i128.pow(38) - 1;
        assert_eq!(multiply(max, 0, max, 0, 38, 0), None);
        assert_eq!(add(max, 0, 1, 0, 38, 0), None);
        assert_eq!(multiply(max, 38, max, 38, 38, 6), Some(1_000_000));
    }
}
