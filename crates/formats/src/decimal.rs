//! Decimal numbers from text and from Connect's bytes, without a detour over f64.

/// The text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

/// A number rounded half up to `scale`, or why there is none. NULL (`None`) when it needs more
/// digits than `precision`: Flink's `DecimalData.fromBigDecimal`.
pub fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Result<Option<i128>, NotANumber> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut mantissa: i128 = 0;
    let mut dropped_first: Option<u8> = None;
    let mut seen_digits = false;
    let mut seen_point = false;
    // The power of ten the mantissa has to be multiplied with.
    let mut exponent: i64 = 0;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                seen_digits = true;
                // 10^37 * 10 + 9 still fits an i128.
                if dropped_first.is_none() && mantissa < 10i128.pow(37) {
                    mantissa = mantissa * 10 + (byte - b'0') as i128;
                    if seen_point {
                        exponent -= 1;
                    }
                } else {
                    dropped_first.get_or_insert(byte - b'0');
                    if !seen_point {
                        exponent += 1;
                    }
                }
            }
            b'.' if !seen_point => seen_point = true,
            b'e' | b'E' => {
                let text = std::str::from_utf8(&digits[at + 1..]).map_err(|_| NotANumber)?;
                let number: i32 = text.parse().map_err(|_| NotANumber)?;
                exponent += number as i64;
                at = digits.len();
                continue;
            }
            _ => return Err(NotANumber),
        }
        at += 1;
    }
    if !seen_digits {
        return Err(NotANumber);
    }
    let shift = exponent + scale as i64;
    let unscaled = if mantissa == 0 && dropped_first.is_none() {
        0
    } else if shift >= 0 {
        if dropped_first.is_some() && shift == 0 {
            mantissa + i128::from(dropped_first >= Some(5))
        } else if dropped_first.is_some() || shift > 38 {
            return Ok(None);
        } else {
            match mantissa.checked_mul(10i128.pow(shift as u32)) {
                Some(number) => number,
                None => return Ok(None),
            }
        }
    } else if shift < -38 {
        0
    } else {
        let divisor = 10i128.pow((-shift) as u32);
        let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
        quotient + i128::from(rest >= divisor - rest)
    };
    if unscaled >= 10i128.pow(precision.min(38) as u32) {
        return Ok(None);
    }
    Ok(Some(if negative { -unscaled } else { unscaled }))
}

/// Big-endian two's complement bytes (Connect's `Decimal`) at the declared scale; None if it does not fit.
pub fn decimal_from_bytes(bytes: &[u8], precision: u8) -> Option<i128> {
    let first = *bytes.first()?;
    let fill = if first & 0x80 != 0 { 0xFF } else { 0 };
    let extra = bytes.len().saturating_sub(16);
    if bytes[..extra].iter().any(|b| *b != fill) {
        return None;
    }
    let mut wide = [fill; 16];
    let kept = &bytes[extra..];
    wide[16 - kept.len()..].copy_from_slice(kept);
    let number = i128::from_be_bytes(wide);
    if extra > 0 && (number < 0) != (fill == 0xFF) {
        return None;
    }
    (number.unsigned_abs() < 10u128.pow(precision.min(38) as u32)).then_some(number)
}

/// Appends an unscaled number with its point, as `BigDecimal.toPlainString` does.
pub(crate) fn write_decimal(out: &mut Vec<u8>, unscaled: i128, scale: i8) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 40];
    let mut at = digits.len();
    let mut rest = unscaled.unsigned_abs();
    let scale = scale.max(0) as usize;
    while rest > 0 || digits.len() - at <= scale {
        if at == 0 {
            break;
        }
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let point = digits.len() - scale;
    out.extend_from_slice(&digits[at..point]);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_up_and_overflow_to_null() {
        let big = "9".repeat(38);
        for (text, precision, scale, expected) in [
            ("123.456", 10, 2, Ok(Some(12346))),
            ("-0.005", 10, 2, Ok(Some(-1))),
            ("0.0049999999999999999999999999999999999999999999", 10, 2, Ok(Some(0))),
            ("1e3", 10, 2, Ok(Some(100_000))),
            ("1.5E-1", 10, 2, Ok(Some(15))),
            ("99999999.995", 10, 2, Ok(None)),
            ("100000000", 10, 2, Ok(None)),
            (big.as_str(), 38, 0, Ok(Some(10i128.pow(38) - 1))),
            ("1e400", 38, 0, Ok(None)),
            ("1e-400", 38, 0, Ok(Some(0))),
            ("0e999999", 5, 0, Ok(Some(0))),
            ("0.30000000000000000000000000000000000000000000000004", 38, 37, Ok(Some(3 * 10i128.pow(36)))),
            ("", 10, 2, Err(NotANumber)),
            (".", 10, 2, Err(NotANumber)),
            ("1.2.3", 10, 2, Err(NotANumber)),
            ("12a", 10, 2, Err(NotANumber)),
            ("1e", 10, 2, Err(NotANumber)),
        ] {
            assert_eq!(parse_decimal(text.as_bytes(), precision, scale), expected, "{text}");
        }
    }

    #[test]
    fn connect_bytes_are_signed() {
        assert_eq!(decimal_from_bytes(&[0x12, 0xd6, 0x87], 10), Some(1_234_567));
        assert_eq!(decimal_from_bytes(&[0xff], 10), Some(-1));
        assert_eq!(decimal_from_bytes(&[0; 20], 10), Some(0));
        assert_eq!(decimal_from_bytes(&[1; 20], 38), None);
        assert_eq!(decimal_from_bytes(&[], 38), None);
    }

    #[test]
    fn decimals_are_written_plainly() {
        for (unscaled, scale, text) in [
            (12346, 2, "123.46"),
            (-5, 2, "-0.05"),
            (0, 0, "0"),
            (7, 0, "7"),
            (1, 38, &*format!("0.{}1", "0".repeat(37))),
        ] {
            let mut out = Vec::new();
            write_decimal(&mut out, unscaled, scale);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
