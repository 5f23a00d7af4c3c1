//! Digits, dates and times appended by hand: no formatter, no allocation.

static PAIRS: [u8; 200] = {
    let mut table = [0u8; 200];
    let mut n = 0;
    while n < 100 {
        table[n * 2] = b'0' + (n / 10) as u8;
        table[n * 2 + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    table
};

#[inline]
fn pair(n: u32) -> [u8; 2] {
    let at = (n as usize % 100) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        out.push(b'0' + number as u8);
        return;
    }
    let mut room = [0u8; 20];
    let mut at = 20;
    while number >= 100 {
        at -= 2;
        room[at..at + 2].copy_from_slice(&pair((number % 100) as u32));
        number /= 100;
    }
    if number >= 10 {
        at -= 2;
        room[at..at + 2].copy_from_slice(&pair(number as u32));
    } else {
        at -= 1;
        room[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&room[at..]);
}

#[inline]
pub(crate) fn signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(out, number.unsigned_abs());
}

/// An unscaled number with its point.
pub(crate) fn decimal(out: &mut Vec<u8>, unscaled: i128, scale: i8) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let size = unscaled.unsigned_abs();
    let scale = scale.max(0) as usize;
    let mut room = [b'0'; 40];
    let mut at = 40;
    if let Ok(mut small) = u64::try_from(size) {
        while small > 0 {
            at -= 1;
            room[at] = b'0' + (small % 10) as u8;
            small /= 10;
        }
    } else {
        let mut rest = size;
        while rest > 0 {
            at -= 1;
            room[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    let point = 40 - scale.min(39);
    let start = at.min(point - 1);
    out.extend_from_slice(&room[start..point]);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(&room[point..]);
    }
}

/// Days of the years 0000 to 9999, the range of DATE and DATETIME.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;

/// `yyyy-MM-dd`; false (nothing written) outside of the years StarRocks has.
#[inline]
pub(crate) fn date(out: &mut Vec<u8>, days: i64) -> bool {
    if !DAYS.contains(&days) {
        return false;
    }
    // Hinnant's algorithm; all terms fit 32 bits unsigned in the range above.
    let shifted = (days + 719_468 + 146_097) as u32;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2) - 400;
    let ([a, b], [c, d], [e, f], [g, h]) = (pair(year / 100), pair(year % 100), pair(month), pair(day));
    out.extend_from_slice(&[a, b, c, d, b'-', e, f, b'-', g, h]);
    true
}

/// `HH:mm:ss` and, unless zero, six digits of the second without trailing zeros.
#[inline]
pub(crate) fn time(out: &mut Vec<u8>, second_of_day: u32, micros: u32) {
    let ([a, b], [c, d], [e, f]) =
        (pair(second_of_day / 3600), pair(second_of_day / 60 % 60), pair(second_of_day % 60));
    out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
    if micros == 0 {
        return;
    }
    let ([g, h], [i, j], [k, l]) = (pair(micros / 10_000), pair(micros / 100 % 100), pair(micros % 100));
    let digits = [b'.', g, h, i, j, k, l];
    let zeros = digits.iter().rev().take_while(|d| **d == b'0').count();
    out.extend_from_slice(&digits[..7 - zeros]);
}

/// `yyyy-MM-dd HH:mm:ss[.ffffff]`; false (nothing written) outside of the years StarRocks has.
#[inline]
pub(crate) fn datetime(out: &mut Vec<u8>, seconds: i64, micros: u32) -> bool {
    if !date(out, seconds.div_euclid(86_400)) {
        return false;
    }
    out.push(b' ');
    time(out, seconds.rem_euclid(86_400) as u32, micros);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_everyone_writes_them() {
        for number in [0, 9, 10, 99, 100, 101, 12_345, i64::MAX, i64::MIN, -1, 1_000_000] {
            assert_eq!(text(|o| signed(o, number)), number.to_string());
        }
        for (unscaled, scale, expected) in [
            (0i128, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-12345, 2, "-123.45"),
            (10i128.pow(37), 0, "10000000000000000000000000000000000000"),
            (1, 38, "0.00000000000000000000000000000000000001"),
        ] {
            assert_eq!(text(|o| decimal(o, unscaled, scale)), expected);
        }
    }

    #[test]
    fn dates_and_times_are_those_of_the_calendar() {
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01 00:00:00"),
            (-1, 120_000, "1969-12-31 23:59:59.12"),
            (951_827_696, 1, "2000-02-29 12:34:56.000001"),
            (253_402_300_799, 999_999, "9999-12-31 23:59:59.999999"),
            (-62_167_219_200, 0, "0000-01-01 00:00:00"),
        ] {
            assert_eq!(text(|o| assert!(datetime(o, seconds, micros))), expected);
        }
        assert!(!datetime(&mut Vec::new(), 253_402_300_800, 0));
        assert!(!datetime(&mut Vec::new(), i64::MIN, 0));
        assert!(!datetime(&mut Vec::new(), -62_167_219_201, 0));
    }
}
