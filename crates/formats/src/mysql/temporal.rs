//! MySQL's dates and times: packed forms of the binary log and of JSON.

use std::fmt::Write as _;

use crate::time::days_from_civil;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;

/// Days since 1970-01-01; None for a date with a zero in it, which is no day, or one that does not exist.
#[inline]
pub(crate) fn days(year: u32, month: u32, day: u32, adjust_years: bool) -> Option<i32> {
    if month == 0 || day == 0 || month > 12 || day > 31 {
        return None;
    }
    // Debezium's time adjuster.
    let year = match year {
        1..=69 if adjust_years => year + 2000,
        70..=99 if adjust_years => year + 1900,
        year => year,
    };
    // ALLOW_INVALID_DATES lets February 31 in; such a date counts on into the next month.
    Some(days_from_civil(year as i32, month, 1) + day as i32 - 1)
}

/// Microseconds since 1970-01-01T00:00 of no zone.
#[inline]
pub(crate) fn datetime_micros(days: i32, hour: u32, minute: u32, second: u32, micros: u32) -> i64 {
    (i64::from(days) * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * MICROS_PER_SECOND
        + i64::from(micros)
}

/// Parts of a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub year: u32,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub micros: u32,
}

/// The 40 bits of DATETIME2, without its sign bit.
#[inline]
pub(crate) fn unpack_datetime(whole: u64, micros: u32) -> Parts {
    let (date, time) = (whole >> 17, whole & 0x1_ffff);
    let year_month = date >> 5;
    Parts {
        year: (year_month / 13) as u32,
        month: (year_month % 13) as u32,
        day: (date & 31) as u32,
        hour: (time >> 12) as u32,
        minute: (time >> 6 & 63) as u32,
        second: (time & 63) as u32,
        micros,
    }
}

pub(crate) fn write_packed_datetime(packed: i64, out: &mut String) {
    let packed = packed.unsigned_abs();
    let p = unpack_datetime(packed >> 24, (packed & 0xff_ffff) as u32);
    let _ = write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        p.year, p.month, p.day, p.hour, p.minute, p.second, p.micros
    );
}

pub(crate) fn write_packed_date(packed: i64, out: &mut String) {
    let p = unpack_datetime(packed.unsigned_abs() >> 24, 0);
    let _ = write!(out, "{:04}-{:02}-{:02}", p.year, p.month, p.day);
}

pub(crate) fn write_packed_time(packed: i64, out: &mut String) {
    let sign = if packed < 0 { "-" } else { "" };
    let packed = packed.unsigned_abs();
    let (time, micros) = (packed >> 24, packed & 0xff_ffff);
    let _ = write!(out, "{sign}{:02}:{:02}:{:02}.{micros:06}", time >> 12 & 0x3ff, time >> 6 & 63, time & 63);
}
