//! MySQL's packed DECIMAL: nine digits in four big-endian bytes, the sign in the first bit.

use super::bytes::{Broken, Bytes, Read};

/// Bytes of this many digits fewer than nine.
const DIGITS_TO_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Packed size of DECIMAL(precision, scale).
pub(crate) fn packed_len(precision: usize, scale: usize) -> usize {
    let whole = precision.saturating_sub(scale);
    whole / 9 * 4 + DIGITS_TO_BYTES[whole % 9] + scale / 9 * 4 + DIGITS_TO_BYTES[scale % 9]
}

/// Calls `digits(number, count)` for every group, first to last, and says whether the number is negative.
fn groups(bytes: &mut Bytes<'_>, precision: usize, scale: usize, mut digits: impl FnMut(u32, usize)) -> Read<bool> {
    if precision == 0 || precision > 81 || scale > precision {
        return Err(Broken);
    }
    let packed = bytes.take(packed_len(precision, scale))?;
    let mut copy = [0u8; 40];
    let copy = copy.get_mut(..packed.len()).ok_or(Broken)?;
    copy.copy_from_slice(packed);
    let first = copy.first_mut().ok_or(Broken)?;
    let negative = *first & 0x80 == 0;
    *first ^= 0x80;
    if negative {
        copy.iter_mut().for_each(|b| *b = !*b);
    }
    let mut packed = Bytes::new(copy);
    let whole = precision - scale;
    let lead = whole % 9;
    if lead > 0 {
        digits(packed.uint_be(DIGITS_TO_BYTES[lead])? as u32, lead);
    }
    for _ in 0..whole / 9 {
        digits(packed.uint_be(4)? as u32, 9);
    }
    for _ in 0..scale / 9 {
        digits(packed.uint_be(4)? as u32, 9);
    }
    let rest = scale % 9;
    if rest > 0 {
        digits(packed.uint_be(DIGITS_TO_BYTES[rest])? as u32, rest);
    }
    Ok(negative)
}

/// The unscaled number; None when it does not fit.
pub(crate) fn read_i128(bytes: &mut Bytes<'_>, precision: usize, scale: usize) -> Read<Option<i128>> {
    let mut number = Some(0i128);
    let negative = groups(bytes, precision, scale, |group, count| {
        let shifted = number.and_then(|n| n.checked_mul(10i128.pow(count as u32)));
        number = shifted.and_then(|n| n.checked_add(i128::from(group)));
    })?;
    Ok(number.map(|n| if negative { -n } else { n }))
}

/// The number as the server prints it: no leading zeros but one before the point, all digits of the scale.
pub(crate) fn read_text(bytes: &mut Bytes<'_>, precision: usize, scale: usize, out: &mut String) -> Read<()> {
    use std::fmt::Write as _;
    let mut all = String::with_capacity(precision + 9);
    let negative = groups(bytes, precision, scale, |group, count| {
        let _ = write!(all, "{group:0count$}");
    })?;
    let (whole, fraction) = all.split_at(all.len().checked_sub(scale).ok_or(Broken)?);
    if negative {
        out.push('-');
    }
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's packing, for tests.
    fn pack(text: &str, precision: usize, scale: usize) -> Vec<u8> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = if precision == scale { "" } else { whole };
        let whole = format!("{whole:0>width$}", width = precision - scale);
        let fraction = format!("{fraction:0<scale$}");
        let mut out = Vec::new();
        let mut put = |digits: &str| {
            let number: u32 = digits.parse().unwrap_or(0);
            let count = DIGITS_TO_BYTES[digits.len()];
            out.extend_from_slice(&number.to_be_bytes()[4 - count..]);
        };
        let lead = whole.len() % 9;
        put(&whole[..lead]);
        for i in 0..whole.len() / 9 {
            put(&whole[lead + 9 * i..lead + 9 * i + 9]);
        }
        for i in 0..scale / 9 {
            put(&fraction[9 * i..9 * i + 9]);
        }
        put(&fraction[scale / 9 * 9..]);
        if negative {
            out.iter_mut().for_each(|b| *b = !*b);
        }
        out[0] ^= 0x80;
        out
    }

    #[test]
    fn a_known_packing() {
        // The example of MySQL's documentation: 1234567890.1234 as DECIMAL(14, 4).
        let bytes = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        assert_eq!(read_i128(&mut Bytes::new(&bytes), 14, 4), Ok(Some(12345678901234)));
    }

    proptest::proptest! {
        #[test]
        fn numbers_come_back(precision in 1usize..=65, scale in 0usize..=30, seed in proptest::collection::vec(0u8..10, 65), negative: bool) {
            let scale = scale.min(precision);
            let digits: String = seed[..precision].iter().map(|d| (b'0' + d) as char).collect();
            let (whole, fraction) = digits.split_at(precision - scale);
            let whole = whole.trim_start_matches('0');
            let mut text = format!("{}{}", if whole.is_empty() { "0" } else { whole }, if scale > 0 { format!(".{fraction}") } else { String::new() });
            let zero = digits.bytes().all(|b| b == b'0');
            if negative && !zero { text.insert(0, '-'); }
            let packed = pack(&text, precision, scale);
            proptest::prop_assert_eq!(packed.len(), packed_len(precision, scale));
            let mut out = String::new();
            read_text(&mut Bytes::new(&packed), precision, scale, &mut out).unwrap();
            proptest::prop_assert_eq!(&out, &text);
            if precision <= 38 {
                let unscaled: i128 = text.replace('.', "").parse().unwrap();
                proptest::prop_assert_eq!(read_i128(&mut Bytes::new(&packed), precision, scale), Ok(Some(unscaled)));
            }
        }
    }
}
