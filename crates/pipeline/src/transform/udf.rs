//! User functions: Java classes can not run here. The example classes that Flink CDC ships have native twins, so that
//! files which use them run; every other class is refused by name.

use std::borrow::Cow;
use std::fmt::Write as _;

use starweir_model::{DataType, Decimal, Error, Instant, LogicalType as L, Result, Value};

use super::cast;
use super::compare::java_class;
use super::node::{Env, Eval, as_f64, as_i64};
use super::rule::UserFunction;

/// Packages of the example classes: pipeline functions and the older ones in Flink's style.
const PACKAGES: &[&str] = &["org.apache.flink.cdc.udf.examples.", "org.apache.flink.udf.examples."];

/// A user function by its name in the file.
#[derive(Debug, Clone)]
pub(super) struct Udf {
    pub name: String,
    classpath: String,
    options: Vec<(String, String)>,
}

/// What runs in the place of a class.
pub(super) struct Native {
    /// What every argument is converted to.
    pub wants: Option<L>,
    pub returns: DataType,
    /// Handed in before the arguments of the call.
    pub options: Vec<Value>,
    pub eval: Eval,
}

impl Udf {
    pub fn new(function: &UserFunction) -> Self {
        Self { name: function.name.clone(), classpath: function.classpath.clone(), options: function.options.clone() }
    }

    /// # Errors
    /// For classes that have no native twin.
    pub fn native(&self) -> Result<Native> {
        let text = |eval: Eval| Native { wants: None, returns: DataType::string(), options: Vec::new(), eval };
        let typed = |of: L, eval: Eval| Native { returns: DataType::nullable(of), ..text(eval) };
        let class = PACKAGES
            .iter()
            .find_map(|package| self.classpath.strip_prefix(package))
            .and_then(|rest| rest.rsplit('.').next())
            .unwrap_or_default();
        Ok(match class {
            "AddOneFunctionClass" => Native { wants: Some(L::Int), ..typed(L::Int, add_one) },
            "FormatFunctionClass" => text(format),
            "TypeOfFunctionClass" => text(type_of),
            "TypeHintFunctionClass" => text(|_, _| Ok(Value::string("Forty-two"))),
            "ConfigurableFunctionClass" => {
                let option = |name: &str, default: &str| {
                    let set = self.options.iter().find(|(key, _)| key == name);
                    Value::string(set.map_or(default, |(_, value)| value.as_str()))
                };
                Native { options: vec![option("greeting", "Hello"), option("suffix", "!")], ..text(greet) }
            }
            "CharTypeReturningClass" | "VarCharTypeReturningClass" => {
                text(|_, _| Ok(Value::string("This is a string.")))
            }
            "DecimalTypeReturningClass" | "DecimalTypeNonNullReturningClass" => {
                typed(L::Decimal(10, 3), |_, _| Ok(Value::Decimal(Decimal { unscaled: 12_315, scale: 3 })))
            }
            "TimestampTypeReturningClass" => {
                typed(L::Timestamp(2), |_, _| Ok(Value::Timestamp(Instant::from_millis(86_400_000))))
            }
            "LocalZonedTimestampTypeReturningClass" => {
                typed(L::TimestampLtz(2), |_, _| Ok(Value::TimestampLtz(Instant::from_millis(86_400_000))))
            }
            _ => {
                return Err(Error::user(format!(
                    "the user-defined function '{}' is the Java class {}, which can not run here",
                    self.name, self.classpath
                ))
                .with_hint("write it with the built-in functions of the transform language"));
            }
        })
    }
}

fn add_one(args: &[Cow<'_, Value>], _: &Env) -> Result<Value> {
    Ok(match args.first().map(|v| &**v) {
        Some(Value::Int(v)) => Value::Int(v.wrapping_add(1)),
        _ => Value::Null,
    })
}

fn type_of(args: &[Cow<'_, Value>], _: &Env) -> Result<Value> {
    let value = args.first().map_or(&Value::Null, |v| &**v);
    let class = java_class(value).rsplit('.').next().unwrap_or_default();
    Ok(Value::String(format!("{class}: {}", cast::text(value))))
}

fn greet(args: &[Cow<'_, Value>], _: &Env) -> Result<Value> {
    let text = |index: usize| args.get(index).map_or_else(String::new, |v| cast::text(v));
    Ok(Value::String(format!("{} {}{}", text(0), text(2), text(1))))
}

/// Widest field a format may ask for.
const WIDTH_MAX: usize = 10_000;

/// `String.format` with the conversions that make sense for values of ours.
fn format(args: &[Cow<'_, Value>], _: &Env) -> Result<Value> {
    let pattern = match args.first().map(|v| &**v) {
        Some(Value::Null) | None => return Ok(Value::Null),
        Some(other) => cast::text(other),
    };
    let refused = || Error::data("a format of String.format can not be read");
    let (mut out, mut next) = (String::new(), 1usize);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        let conversion = loop {
            match chars.next() {
                Some(c) if c.is_ascii_alphabetic() || c == '%' => break c,
                Some(c) if spec.len() < 20 => spec.push(c),
                _ => return Err(refused()),
            }
        };
        match conversion {
            'n' => {
                out.push('\n');
                continue;
            }
            '%' => {
                out.push('%');
                continue;
            }
            _ => {}
        }
        let (index, flags) = match spec.split_once('$') {
            Some((index, flags)) => (index.parse::<usize>().map_err(|_| refused())?, flags),
            None => {
                next += 1;
                (next - 1, spec.as_str())
            }
        };
        let value = args.get(index).ok_or_else(|| Error::data(format!("Format specifier '%{spec}{conversion}'")))?;
        let (flags, precision) = match flags.split_once('.') {
            Some((flags, digits)) => (flags, Some(digits.parse::<usize>().map_err(|_| refused())?.min(WIDTH_MAX))),
            None => (flags, None),
        };
        let left = flags.contains('-');
        let digits = flags.trim_start_matches(['-', '+', ',', ' ', '#', '(']);
        let zeros = digits.starts_with('0');
        let width: usize = match digits.trim_start_matches('0') {
            "" => 0,
            width => (width.parse::<i32>().map_err(|_| refused())? as usize).min(WIDTH_MAX),
        };
        let mut text = converted(value, conversion, precision)
            .ok_or_else(|| Error::data(format!("{conversion} != {}", java_class(value))))?;
        if flags.contains('+') && !text.starts_with('-') && matches!(conversion, 'd' | 'f') {
            text.insert(0, '+');
        }
        let missing = width.saturating_sub(text.chars().count());
        if left {
            let _ = write!(out, "{text}{}", " ".repeat(missing));
        } else if zeros {
            let (sign, number) = if text.starts_with(['-', '+']) { text.split_at(1) } else { ("", text.as_str()) };
            let _ = write!(out, "{sign}{}{number}", "0".repeat(missing));
        } else {
            let _ = write!(out, "{}{text}", " ".repeat(missing));
        }
    }
    Ok(Value::String(out))
}

fn converted(value: &Value, conversion: char, precision: Option<usize>) -> Option<String> {
    if value.is_null() && conversion != 'b' {
        return Some("null".to_owned());
    }
    Some(match conversion {
        's' | 'S' => {
            let text: String = cast::text(value).chars().take(precision.unwrap_or(usize::MAX)).collect();
            if conversion == 'S' { text.to_uppercase() } else { text }
        }
        'd' => match value {
            Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_) | Value::BigInt(_) => as_i64(value)?.to_string(),
            _ => return None,
        },
        'x' => format!("{:x}", as_i64(value)?),
        'f' => match value {
            Value::Float(_) | Value::Double(_) | Value::Decimal(_) => {
                let digits = super::decimal::Digits::parse(&cast::text(value))?;
                let scale = precision.unwrap_or(6).min(38) as i64;
                match digits.with_scale(scale).to_decimal() {
                    Some(decimal) => decimal.to_string(),
                    None => format!("{:.*}", precision.unwrap_or(6), as_f64(value)?),
                }
            }
            _ => return None,
        },
        'b' => match value {
            Value::Boolean(v) => v.to_string(),
            other => (!other.is_null()).to_string(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_sql::Zone;

    #[test]
    fn formats_are_javas() {
        let env = Env { zone: Zone::UTC, now_ms: 0 };
        let args = |pattern: &str| {
            vec![
                Cow::Owned(Value::string(pattern)),
                Cow::Owned(Value::Int(7)),
                Cow::Owned(Value::string("x")),
                Cow::Owned(Value::Double(2.5)),
            ]
        };
        for (pattern, expected) in [
            ("from %s to %s", "from 7 to x"),
            ("%2$s%1$s", "x7"),
            ("%05d|%-3s|", "00007|x  |"),
            ("%d%% %s %.2f", "7% x 2.50"),
            ("%s %s %f", "7 x 2.500000"),
        ] {
            let result = format(&args(pattern), &env).unwrap();
            assert_eq!(cast::text(&result), expected, "{pattern}");
        }
        for pattern in ["%", "%d %d", "%s %s %s %s", "%99999999999999999d"] {
            assert!(format(&args(pattern), &env).is_err(), "{pattern}");
        }
    }
}
