//! Decimal numbers with Java's rounding: what `BigDecimal` does, within 38 digits.

use arrow::datatypes::i256;
use starweir_model::Decimal;

/// A number as its digits, for rounding without loss: `digits` × 10^-`scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits {
    negative: bool,
    /// Most significant first, no leading zeros; empty is zero.
    digits: Vec<u8>,
    scale: i64,
}

/// Exponents beyond this are no numbers anybody keeps.
const EXPONENT_MAX: i64 = 100_000;

impl Digits {
    /// What `new BigDecimal(text)` reads; None when it would refuse.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => {
                let digits = &text[at + 1..];
                let digits = digits.strip_prefix('+').unwrap_or(digits);
                if digits.is_empty() || digits.starts_with('+') {
                    return None;
                }
                (&text[..at], digits.parse::<i64>().ok().filter(|e| e.abs() <= EXPONENT_MAX)?)
            }
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if all().next().is_none() || !all().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: Vec<u8> = all().map(|b| b - b'0').skip_while(|d| *d == 0).collect();
        Some(Self { negative, digits, scale: fraction.len() as i64 - exponent })
    }

    pub fn of(value: Decimal) -> Self {
        let digits =
            value.unscaled.unsigned_abs().to_string().bytes().map(|b| b - b'0').skip_while(|d| *d == 0).collect();
        Self { negative: value.unscaled < 0, digits, scale: i64::from(value.scale) }
    }

    /// At most `precision` significant digits, half up.
    pub fn round(mut self, precision: usize) -> Self {
        if precision > 0 && self.digits.len() > precision {
            let scale = self.scale - (self.digits.len() - precision) as i64;
            self = self.with_scale(scale);
            // 9.99 to two digits is 10.0, one digit too many: a zero.
            if self.digits.len() > precision {
                let scale = self.scale - 1;
                self = self.with_scale(scale);
            }
        }
        self
    }

    /// This many digits behind the point (or, when negative, zeros before it), half up.
    pub fn with_scale(mut self, scale: i64) -> Self {
        if scale >= self.scale {
            if !self.digits.is_empty() {
                self.digits.extend(std::iter::repeat_n(0, (scale - self.scale).min(EXPONENT_MAX) as usize));
            }
        } else {
            let cut = (self.scale - scale) as usize;
            let keep = self.digits.len().saturating_sub(cut);
            let up = self.digits.len() >= cut && self.digits.get(keep).is_some_and(|d| *d >= 5);
            self.digits.truncate(keep);
            if up {
                self.increment();
            }
        }
        self.scale = scale;
        self
    }

    fn increment(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
    }

    /// None when it has more than 38 digits, or its scale is no scale of a DECIMAL.
    pub fn to_decimal(&self) -> Option<Decimal> {
        let plain = if self.scale < 0 { self.clone().with_scale(0) } else { self.clone() };
        if plain.digits.len() > 38 {
            return None;
        }
        let unscaled = plain.digits.iter().fold(0i128, |value, digit| value * 10 + i128::from(*digit));
        let unscaled = if plain.negative { -unscaled } else { unscaled };
        Some(Decimal { unscaled, scale: u8::try_from(plain.scale).ok()? })
    }

    /// Digits of the unscaled number; zero has one.
    pub fn precision(&self) -> usize {
        self.digits.len().max(1)
    }

    /// `digitsE-scale`, which every reader of floating point numbers understands.
    pub fn text(&self) -> String {
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        format!(
            "{}{}E{}",
            if self.negative { "-" } else { "" },
            if digits.is_empty() { "0" } else { &digits },
            -self.scale
        )
    }
}

fn pow10(digits: u32) -> Option<i128> {
    10i128.checked_pow(digits)
}

/// The number in another scale, half up. None when it leaves 38 digits.
pub(super) fn rescale(value: Decimal, scale: u8) -> Option<Decimal> {
    let unscaled = if scale >= value.scale {
        value.unscaled.checked_mul(pow10(u32::from(scale - value.scale))?)?
    } else {
        divide_half_up(value.unscaled, pow10(u32::from(value.scale - scale))?)
    };
    Some(Decimal { unscaled, scale })
}

fn divide_half_up(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// The number as a value of DECIMAL(precision, scale); None when it does not fit.
pub(super) fn fit(value: Decimal, precision: u8, scale: u8) -> Option<Decimal> {
    let value = rescale(value, scale)?;
    (value.unscaled.unsigned_abs() < pow10(u32::from(precision.min(38)))?.unsigned_abs()).then_some(value)
}

/// Sum, difference, product or quotient. `scale` is what a product is rounded to when its own digits are too many.
/// None when it leaves 38 digits; `Err` for a division by zero.
pub(super) fn arithmetic(op: char, left: Decimal, right: Decimal, scale: u8) -> Result<Option<Decimal>, ()> {
    let aligned = || {
        let scale = left.scale.max(right.scale);
        Some((rescale(left, scale)?.unscaled, rescale(right, scale)?.unscaled, scale))
    };
    Ok(match op {
        '+' => aligned().and_then(|(l, r, scale)| Some(Decimal { unscaled: l.checked_add(r)?, scale })),
        '-' => aligned().and_then(|(l, r, scale)| Some(Decimal { unscaled: l.checked_sub(r)?, scale })),
        '*' => {
            let product_scale = u32::from(left.scale) + u32::from(right.scale);
            match left.unscaled.checked_mul(right.unscaled) {
                Some(unscaled) if product_scale <= 38 => Some(Decimal { unscaled, scale: product_scale as u8 }),
                _ => wide_product(left, right, product_scale, scale),
            }
        }
        '/' => {
            if right.unscaled == 0 {
                return Err(());
            }
            // The quotient has the dividend's scale, cut off: BigDecimal.divide(divisor, DOWN).
            let (dividend, divisor) = (i256::from_i128(left.unscaled), i256::from_i128(right.unscaled));
            pow10(u32::from(right.scale))
                .and_then(|factor| dividend.checked_mul(i256::from_i128(factor)))
                .and_then(|dividend| dividend.checked_div(divisor))
                .and_then(i256::to_i128)
                .map(|unscaled| Decimal { unscaled, scale: left.scale })
        }
        _ => {
            if right.unscaled == 0 {
                return Err(());
            }
            aligned().map(|(l, r, scale)| Decimal { unscaled: l % r, scale })
        }
    })
}

fn wide_product(left: Decimal, right: Decimal, from: u32, to: u8) -> Option<Decimal> {
    let product = i256::from_i128(left.unscaled).checked_mul(i256::from_i128(right.unscaled))?;
    let cut = from.checked_sub(u32::from(to))?;
    let divisor = i256::from_i128(10).checked_pow(cut)?;
    let (quotient, rest) = (product.checked_div(divisor)?, product.checked_rem(divisor)?);
    let rest = if rest < i256::ZERO { rest.checked_neg()? } else { rest };
    let mut unscaled = quotient.to_i128()?;
    if rest.checked_mul(i256::from_i128(2))? >= divisor {
        unscaled = unscaled.checked_add(if product < i256::ZERO { -1 } else { 1 })?;
    }
    Some(Decimal { unscaled, scale: to })
}

pub(super) fn to_f64(value: Decimal) -> f64 {
    Digits::of(value).text().parse().unwrap_or(f64::NAN)
}

pub(super) fn to_f32(value: Decimal) -> f32 {
    Digits::of(value).text().parse().unwrap_or(f32::NAN)
}

/// The whole part, towards zero.
pub(super) fn whole(value: Decimal) -> i128 {
    pow10(u32::from(value.scale)).map_or(0, |factor| value.unscaled / factor)
}

/// Towards minus infinity (`up`: plus infinity), without digits behind the point.
pub(super) fn floor(value: Decimal, up: bool) -> Decimal {
    let Some(factor) = pow10(u32::from(value.scale)) else { return Decimal { unscaled: 0, scale: 0 } };
    let floor = value.unscaled.div_euclid(factor);
    let exact = value.unscaled.rem_euclid(factor) == 0;
    Decimal { unscaled: if up && !exact { floor + 1 } else { floor }, scale: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Digits::parse(text).unwrap().to_decimal().unwrap()
    }

    #[test]
    fn rounding_is_half_up_at_digits_and_at_scales() {
        for (text, precision, scale, expected) in [
            ("2.22", 10, 0, "2"),
            ("9.5", 1, 0, "10"),
            ("12.13", 1, 0, "10"),
            ("-12.13", 3, 1, "-12.1"),
            ("0.05", 5, 1, "0.1"),
            ("-0.05", 5, 1, "-0.1"),
            ("0.04", 5, 1, "0.0"),
            ("9.99", 2, 1, "10.0"),
            ("1e3", 5, 2, "1000.00"),
            ("0", 5, 2, "0.00"),
            ("99.5", 9, 0, "100"),
        ] {
            let value = Digits::parse(text).unwrap().round(precision).with_scale(scale).to_decimal().unwrap();
            assert_eq!(value.to_string(), expected, "{text} {precision} {scale}");
        }
        for text in ["", ".", "1e", "1 ", " 1", "NaN", "1d", "1e+", "--1", "1e++2", "1e999999999999"] {
            assert!(Digits::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn arithmetic_keeps_the_scales_java_keeps() {
        for (left, op, right, expected) in [
            ("1.5", '+', "2.25", Some("3.75")),
            ("1.5", '-', "2.25", Some("-0.75")),
            ("1.5", '*', "2.25", Some("3.375")),
            ("10.00", '/', "3", Some("3.33")),
            ("-10.00", '/', "3", Some("-3.33")),
            ("1", '/', "2.0", Some("0")),
            ("7.5", '%', "2", Some("1.5")),
            ("99999999999999999999999999999999999999", '+', "1", None),
        ] {
            let value = arithmetic(op, decimal(left), decimal(right), 6).unwrap();
            let value = value.filter(|v| fit(*v, 38, v.scale).is_some());
            assert_eq!(value.map(|v| v.to_string()).as_deref(), expected, "{left} {op} {right}");
        }
        assert!(arithmetic('/', decimal("1"), decimal("0"), 6).is_err());
        let wide = decimal("12345678901234567890.123456789012345678");
        assert_eq!(
            arithmetic('*', wide, decimal("1.000000000000000000"), 6).unwrap().unwrap().to_string(),
            "12345678901234567890.123457"
        );
    }

    #[test]
    fn floor_and_ceiling_look_at_the_sign() {
        for (text, floor_of, ceil_of) in [("1.5", "1", "2"), ("-1.5", "-2", "-1"), ("2.00", "2", "2"), ("0", "0", "0")]
        {
            assert_eq!(floor(decimal(text), false).to_string(), floor_of);
            assert_eq!(floor(decimal(text), true).to_string(), ceil_of);
        }
    }
}
