//! Time zones as Java names them.

use chrono::{DateTime, Offset as _, TimeZone as _};

/// A named region or a fixed offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Zone {
    Region(chrono_tz::Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    /// `Europe/Berlin`, `UTC`, `GMT+8`, `+08:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "Z" | "UTC" | "GMT" | "UT") {
            return Some(Self::Fixed(0));
        }
        let rest = ["UTC", "GMT", "UT"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
        match offset(rest) {
            Some(seconds) => Some(Self::Fixed(seconds)),
            None => text.parse().ok().map(Self::Region),
        }
    }

    /// The local time at an instant, both in microseconds since 1970. None outside of the calendar.
    pub fn local_micros(&self, instant: i64) -> Option<i64> {
        let seconds = match self {
            Self::Fixed(seconds) => *seconds,
            Self::Region(zone) => {
                let at = DateTime::from_timestamp_micros(instant)?.naive_utc();
                zone.offset_from_utc_datetime(&at).fix().local_minus_utc()
            }
        };
        instant.checked_add(i64::from(seconds) * 1_000_000)
    }
}

/// `+8`, `-03`, `+05:30`.
fn offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "0"));
    let number = |digits: &str| digits.parse::<i32>().ok().filter(|n| (0..60).contains(n) && digits.len() <= 2);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_as_java_reads_them() {
        for (text, expected) in [
            ("UTC", Some(0)),
            ("GMT+8", Some(8 * 3600)),
            ("+05:30", Some(19_800)),
            ("-03", Some(-10_800)),
            ("Asia/Tokyo", Some(9 * 3600)),
            ("Mars/Base", None),
            ("+25", None),
            ("+", None),
        ] {
            let local = Zone::parse(text).and_then(|z| z.local_micros(0)).map(|micros| micros / 1_000_000);
            assert_eq!(local, expected, "{text}");
        }
        let summer = Zone::parse("Europe/Berlin").and_then(|z| z.local_micros(1_782_000_000_000_000)).unwrap();
        assert_eq!(summer - 1_782_000_000_000_000, 7_200_000_000, "two hours in June");
    }
}
