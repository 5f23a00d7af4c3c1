//! Dates in the patterns of Joda (`yyyy-MM-dd HH:mm`) and Teradata (`yyyy/mm/dd hh24:mi`), and the
//! functions around them.

use super::date::{DAYS, MONTHS, day_of, day_of_year, iso_week, us, weekday};
use super::{Function, date, datetime, strict, string};
use crate::error::{SqlError, SqlResult};
use crate::time::{DAY_US, civil, days_of};
use crate::types::SqlType;
use crate::value::Value;

/// Runs of one letter, quoted text, and single characters.
enum Piece {
    Run(char, usize),
    Text(String),
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '\'' {
            if chars.get(i + 1) == Some(&'\'') {
                out.push(Piece::Text("'".into()));
                i += 2;
                continue;
            }
            let from = i + 1;
            let end = chars[from..].iter().position(|c| *c == '\'').map_or(chars.len(), |n| from + n);
            out.push(Piece::Text(chars[from..end].iter().collect()));
            i = end + 1;
        } else if c.is_ascii_alphabetic() {
            let n = chars[i..].iter().take_while(|x| **x == c).count();
            out.push(Piece::Run(c, n));
            i += n;
        } else {
            out.push(Piece::Text(c.to_string()));
            i += 1;
        }
    }
    out
}

/// Joda's format of a moment; `offset` is the zone's distance to UTC in seconds.
fn joda_format(us: i64, pattern: &str, zone: &str, offset: i64) -> String {
    let days = day_of(us);
    let (y, m, d) = civil(days);
    let rest = us.rem_euclid(DAY_US);
    let (s, f) = (rest / 1_000_000, rest % 1_000_000);
    let (h, mi, sec) = (s / 3600, s / 60 % 60, s % 60);
    let day_name = DAYS[((weekday(days) + 1) % 7) as usize];
    let padded = |v: i64, n: usize| format!("{v:0n$}");
    let year = |v: i32, n: usize| if n == 2 { format!("{:02}", v.rem_euclid(100)) } else { padded(i64::from(v), n) };
    let mut out = String::new();
    for piece in pieces(pattern) {
        let text = match piece {
            Piece::Text(t) => t,
            Piece::Run(c, n) => match c {
                'G' => "AD".into(),
                'C' => padded(i64::from(y / 100), n),
                'y' | 'Y' if c == 'y' || n > 0 => year(y, n),
                'x' => year(iso_week(days).0, n),
                'w' => padded(i64::from(iso_week(days).1), n),
                'e' => padded(i64::from(weekday(days) + 1), n),
                'E' => (if n >= 4 { day_name } else { &day_name[..3] }).to_string(),
                'D' => padded(i64::from(day_of_year(days)), n),
                'M' if n >= 4 => MONTHS[m as usize - 1].to_string(),
                'M' if n == 3 => MONTHS[m as usize - 1][..3].to_string(),
                'M' => padded(i64::from(m), n),
                'd' => padded(i64::from(d), n),
                'a' => (if h < 12 { "AM" } else { "PM" }).to_string(),
                'K' => padded(h % 12, n),
                'h' => padded(if h % 12 == 0 { 12 } else { h % 12 }, n),
                'H' => padded(h, n),
                'k' => padded(if h == 0 { 24 } else { h }, n),
                'm' => padded(mi, n),
                's' => padded(sec, n),
                'S' => format!("{f:06}").chars().chain(std::iter::repeat('0')).take(n).collect(),
                'z' => zone.to_string(),
                'Z' if n >= 3 => zone.to_string(),
                'Z' => {
                    let a = offset.abs();
                    let colon = if n == 2 { ":" } else { "" };
                    format!("{}{:02}{colon}{:02}", if offset < 0 { '-' } else { '+' }, a / 3600, a / 60 % 60)
                }
                other => other.to_string().repeat(n),
            },
        };
        out.push_str(&text);
    }
    out
}

/// What has been read of a moment.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
}

impl Read {
    fn moment(&self) -> Option<i64> {
        let day = crate::time::date(self.year?, self.month.unwrap_or(1), self.day.unwrap_or(1))?;
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        Some(i64::from(day) * DAY_US + (hour * 3600 + self.minute * 60 + self.second) * 1_000_000 + self.micros)
    }
}

/// A text and how far it is read.
struct Text<'a> {
    rest: &'a str,
}

impl Text<'_> {
    fn number(&mut self, most: usize) -> Option<i64> {
        let n = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(n);
        self.rest = rest;
        digits.parse().ok()
    }

    fn word(&mut self, names: &[&str], short: bool) -> Option<usize> {
        let at = names.iter().position(|name| {
            let name = if short { &name[..3] } else { name };
            self.rest.get(..name.len()).is_some_and(|t| t.eq_ignore_ascii_case(name))
        })?;
        self.rest = &self.rest[if short { 3 } else { names[at].len() }..];
        Some(at)
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn half_of_day(&mut self) -> Option<bool> {
        let half = self.rest.get(..2)?;
        let pm = half.eq_ignore_ascii_case("pm");
        if !pm && !half.eq_ignore_ascii_case("am") {
            return None;
        }
        self.rest = &self.rest[2..];
        Some(pm)
    }
}

fn joda_parse(text: &str, pattern: &str) -> Option<i64> {
    let mut t = Text { rest: text };
    let mut read = Read::default();
    for piece in pieces(pattern) {
        match piece {
            Piece::Text(literal) => t.literal(&literal)?,
            Piece::Run(c, n) => match c {
                'y' | 'Y' | 'x' => read.year = Some(t.number(if n == 2 { 2 } else { 4 })? as i32),
                'M' if n >= 4 => read.month = Some(t.word(&MONTHS, false)? as u32 + 1),
                'M' if n == 3 => read.month = Some(t.word(&MONTHS, true)? as u32 + 1),
                'M' => read.month = Some(t.number(2)? as u32),
                'd' => read.day = Some(t.number(2)? as u32),
                'E' => {
                    t.word(&DAYS, false).or_else(|| t.word(&DAYS, true))?;
                }
                'a' => read.afternoon = Some(t.half_of_day()?),
                'H' | 'h' | 'K' | 'k' => read.hour = t.number(2)?,
                'm' => read.minute = t.number(2)?,
                's' => read.second = t.number(2)?,
                'S' => {
                    let before = t.rest.len();
                    let value = t.number(6)?;
                    read.micros = value * 10i64.pow(6 - (before - t.rest.len()) as u32);
                }
                other => t.literal(&other.to_string().repeat(n))?,
            },
        }
    }
    if !t.rest.is_empty() {
        return None;
    }
    read.moment()
}

const TERADATA: [&str; 9] = ["yyyy", "yy", "mm", "dd", "hh24", "hh", "mi", "ss", "am"];

/// Teradata's pattern; an error when it has unknown letters.
fn teradata(text: &str, pattern: &str) -> SqlResult<Option<i64>> {
    let mut t = Text { rest: text };
    let mut read = Read::default();
    let mut rest = pattern;
    let mut good = true;
    while let Some(c) = rest.chars().next() {
        let Some(token) = TERADATA.iter().chain(&["pm"]).find(|k| rest.starts_with(**k)) else {
            if c.is_alphanumeric() {
                return Err(SqlError::plain(format!("The format parameter {pattern} is invalid format")));
            }
            good &= t.literal(&c.to_string()).is_some();
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[token.len()..];
        if !good {
            continue;
        }
        let ok = match *token {
            "yyyy" => t.number(4).map(|n| read.year = Some(n as i32)),
            "mm" => t.number(2).map(|n| read.month = Some(n as u32)),
            "dd" => t.number(2).map(|n| read.day = Some(n as u32)),
            "hh24" | "hh" => t.number(2).map(|n| read.hour = n),
            "mi" => t.number(2).map(|n| read.minute = n),
            "ss" => t.number(2).map(|n| read.second = n),
            half @ ("am" | "pm") => {
                read.afternoon = Some(half == "pm");
                t.half_of_day().filter(|pm| *pm == (half == "pm")).map(|_| ())
            }
            _ => None,
        };
        good = ok.is_some();
    }
    Ok(if good && t.rest.is_empty() { read.moment() } else { None })
}

fn t(v: &Value) -> String {
    v.as_text().unwrap_or_default()
}

fn moment(m: Option<i64>) -> Value {
    m.map_or(Value::Null, Value::DateTime)
}

fn previous_day(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let name = t(&v[1]);
    let known = |d: &str| name.len() >= 2 && (name == d || name == d[..2] || name == d[..3]);
    let Some(wanted) = DAYS.iter().position(|d| known(d)) else {
        return Err(SqlError::plain(format!("{name} not supported in previous_day dow_string")));
    };
    let Some(at) = us(&v[0]) else { return Ok(Value::Null) };
    let today = day_of(at);
    let back = ((weekday(today) + 1) % 7 - wanted as i32 + 6).rem_euclid(7) + 1;
    let day = today - back;
    Ok(if day < days_of(0, 1, 1) { Value::Null } else { Value::Date(day) })
}

/// Formats with the zone given as name and offset in the last two arguments.
fn format_joda(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let zone = v.get(2).map(t).unwrap_or_default();
    let Some(at) = us(&v[0]) else { return Ok(Value::Null) };
    let offset = super::date::zone_offset(&zone, at.div_euclid(1_000_000)).unwrap_or(0);
    Ok(Value::Text(joda_format(at, &t(&v[1]), &zone, offset)))
}

pub const FUNCTIONS: &[Function] = &[
    strict("jodatime_format", string, format_joda),
    strict("format_datetime", string, format_joda),
    strict("str_to_jodatime", datetime, |v, _, _| Ok(moment(joda_parse(&t(&v[0]), &t(&v[1]))))),
    strict("parse_datetime", datetime, |v, _, _| Ok(moment(joda_parse(&t(&v[0]), &t(&v[1]))))),
    strict("to_tera_timestamp", datetime, |v, _, _| Ok(moment(teradata(&t(&v[0]), &t(&v[1]))?))),
    strict("to_tera_date", date, |v, _, r| {
        let read = match us(&v[0]) {
            // Text that is a plain moment needs no pattern.
            Some(at) if t(&v[0]).len() > 10 => Some(at),
            _ => teradata(&t(&v[0]), &t(&v[1]))?,
        };
        Ok(moment(read).cast(r).unwrap_or(Value::Null))
    }),
    strict("to_iso8601", string, |v, types, _| {
        let Some(at) = us(&v[0]) else { return Ok(Value::Null) };
        let pattern = if types[0] == SqlType::Date { "yyyy-MM-dd" } else { "yyyy-MM-dd'T'HH:mm:ss.SSSSSS" };
        Ok(Value::Text(joda_format(at, pattern, "", 0)))
    }),
    strict("previous_day", date, previous_day),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_written_and_read() {
        let at = crate::time::parse_datetime(b"2023-12-25 15:30:00.038").unwrap();
        let check = |pattern: &str, want: &str| assert_eq!(joda_format(at, pattern, "X", 28_800), want, "{pattern}");
        check("yyyy-MM-dd hh:mm:ssa", "2023-12-25 03:30:00PM");
        check("YYYY-'W'ww-e", "2023-W52-1");
        check("HH:mm:ss.SSS ZZ", "15:30:00.038 +08:00");
        check("b==cc 'yyyy", "b==cc yyyy");
        assert_eq!(joda_parse("2023-12-25 15:30:00.038", "yyyy-MM-dd HH:mm:ss.SSS"), Some(at));
        assert_eq!(joda_parse("25 Dec 2023", "dd MMM yyyy").map(day_of), Some(day_of(at)));
        let tera = |text: &str, pattern: &str| teradata(text, pattern).map(|m| m.is_some());
        assert_eq!(tera("1988/04/08 02 pm:3:4", "yyyy/mm/dd hh pm:mi:ss"), Ok(true));
        assert_eq!(tera("1988/04/08 02 pm:3:4", "yyyy/mm/dd hh am:mi:ss"), Ok(false));
        assert!(tera("1988", "xyz").is_err());
    }
}
