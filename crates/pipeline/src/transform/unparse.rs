//! Expressions as text, for messages: once as SQL in the validator's spelling, once as the Java upstream compiles.

use std::fmt::Write as _;

use starweir_model::{Decimal, LogicalType as L, Value};
use starweir_sql::ast::{Expr, ExprKind};

use super::cast;

pub(super) const OR: u8 = 1;
pub(super) const AND: u8 = 2;
const NOT: u8 = 3;
pub(super) const PREDICATE: u8 = 4;
pub(super) const ADDITIVE: u8 = 5;
pub(super) const MULTIPLICATIVE: u8 = 6;
const UNARY: u8 = 7;
const ATOM: u8 = 9;

/// Longest text kept; what is longer ends in an ellipsis.
const TEXT_MAX: usize = 4000;

/// An expression in both spellings.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub sql: String,
    pub java: String,
    level: u8,
}

impl Text {
    fn new(sql: String, java: String, level: u8) -> Self {
        Self { sql: cut(sql), java: cut(java), level }
    }

    fn within(&self, level: u8) -> String {
        if self.level < level { format!("({})", self.sql) } else { self.sql.clone() }
    }

    pub fn literal(sql: &str, java: &str) -> Self {
        Self::new(sql.to_owned(), java.to_owned(), ATOM)
    }

    pub fn of_literal(expr: &Expr, value: &Value) -> Self {
        let text = cast::text(value);
        let sql = match &expr.kind {
            ExprKind::Number(text) => text.clone(),
            ExprKind::Str(text) => format!("'{}'", text.replace('\'', "''")),
            ExprKind::Date(text) => format!("DATE '{text}'"),
            ExprKind::Time(text) => format!("TIME '{text}'"),
            ExprKind::Timestamp(text) => format!("TIMESTAMP '{text}'"),
            ExprKind::Bool(Some(value)) => value.to_string().to_uppercase(),
            ExprKind::Interval { value, from, .. } => format!("INTERVAL '{value}' {from}"),
            _ => text.clone(),
        };
        let java = match value {
            Value::String(s) => format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::BigInt(v) => format!("{v}L"),
            _ => text,
        };
        Self::new(sql, java, ATOM)
    }

    /// `TB`.`name`, or its parameter in Java.
    pub fn column(name: &str, index: usize) -> Self {
        Self::new(format!("`{}`.`{}`", super::bind::TABLE, name.replace('`', "``")), format!("${index}"), ATOM)
    }

    pub fn field(inner: &Text, name: &str) -> Self {
        Self::new(format!("{}.`{name}`", inner.within(ATOM)), format!("itemAccess({}, \"{name}\")", inner.java), ATOM)
    }

    pub fn item(inner: &Text, index: &Text) -> Self {
        Self::new(
            format!("{}[{}]", inner.within(ATOM), index.sql),
            format!("itemAccess({}, {})", inner.java, index.java),
            ATOM,
        )
    }

    pub fn prefix(word: &str, inner: &Text, java: &str) -> Self {
        let level = if java == "not" { NOT } else { UNARY };
        Self::new(format!("{word}{}", inner.within(level)), format!("{java}({})", inner.java), level)
    }

    pub fn postfix(inner: &Text, word: &str, java: &str) -> Self {
        Self::new(format!("{} {word}", inner.within(ADDITIVE)), format!("{java}({})", inner.java), PREDICATE)
    }

    /// `java`: the function that stands for the operator there; None when it is the same operator.
    pub fn infix(left: &Text, sign: &str, right: &Text, level: u8, java: Option<&str>) -> Self {
        let code = match java {
            Some(function) => format!("{function}({}, {})", left.java, right.java),
            None => format!("{}{sign}{}", left.java, right.java),
        };
        Self::new(format!("{}{sign}{}", left.within(level), right.within(level + 1)), code, level)
    }

    pub fn between(value: &Text, low: &Text, high: &Text, negated: bool) -> Self {
        let (word, java) =
            if negated { ("NOT BETWEEN", "notBetweenAsymmetric") } else { ("BETWEEN", "betweenAsymmetric") };
        let sql = format!(
            "{} {word} ASYMMETRIC {} AND {}",
            value.within(ADDITIVE),
            low.within(ADDITIVE),
            high.within(ADDITIVE)
        );
        Self::new(sql, format!("{java}({}, {}, {})", value.java, low.java, high.java), PREDICATE)
    }

    pub fn in_list(value: &Text, list: &[&Text], negated: bool) -> Self {
        let (word, java) = if negated { ("NOT IN", "notIn") } else { ("IN", "in") };
        let sql = format!("{} {word} ({})", value.within(ADDITIVE), joined(list, |t| &t.sql));
        Self::new(sql, format!("{java}({}, {})", value.java, joined(list, |t| &t.java)), PREDICATE)
    }

    pub fn like(args: &[&Text], word: &str, java: &str, negated: bool) -> Self {
        let mut sql = args.first().map_or_else(String::new, |a| a.within(ADDITIVE));
        let _ = write!(sql, "{} {word}", if negated { " NOT" } else { "" });
        for (arg, word) in args.iter().skip(1).zip([" ", " ESCAPE "]) {
            let _ = write!(sql, "{word}{}", arg.within(ADDITIVE));
        }
        let java = if negated { format!("not{}{}", java[..1].to_uppercase(), &java[1..]) } else { java.to_owned() };
        Self::new(sql, format!("{java}({})", joined(args, |t| &t.java)), PREDICATE)
    }

    pub fn case<'a>(whens: impl Iterator<Item = (&'a Text, &'a Text)>, otherwise: &Text) -> Self {
        let (mut sql, mut java, mut open) = (String::from("CASE"), String::new(), 0);
        for (condition, result) in whens {
            let _ = write!(sql, " WHEN {} THEN {}", condition.sql, result.sql);
            let _ = write!(java, "(isTrue({}) ? {} : ", condition.java, result.java);
            open += 1;
        }
        let _ = write!(sql, " ELSE {} END", otherwise.sql);
        let _ = write!(java, "{}{}", otherwise.java, ")".repeat(open));
        Self::new(sql, java, ATOM)
    }

    pub fn cast(inner: &Text, to: &L, is_try: bool) -> Self {
        let (word, java) = if is_try { ("TRY_CAST", "tryCast") } else { ("CAST", "cast") };
        let target = match to {
            L::Boolean => "Boolean",
            L::TinyInt => "Byte",
            L::SmallInt => "Short",
            L::Int => "Integer",
            L::BigInt => "Long",
            L::Float => "Float",
            L::Double => "Double",
            L::Decimal(..) => "BigDecimal",
            L::Timestamp(_) => "Timestamp",
            _ => "String",
        };
        let extra = match to {
            L::Decimal(p, s) => format!(", {p}, {s}"),
            L::Timestamp(_) => ", __time_zone__".to_owned(),
            _ => String::new(),
        };
        let name = match to {
            L::Int => "INTEGER".to_owned(),
            L::VarChar(starweir_model::types::LENGTH_MAX) => "VARCHAR".to_owned(),
            other => other.to_string(),
        };
        Self::new(format!("{word}({} AS {name})", inner.sql), format!("{java}To{target}({}{extra})", inner.java), ATOM)
    }

    pub fn call(name: &str, java: &str, args: &[&Text]) -> Self {
        let sql = format!("{name}({})", joined(args, |t| &t.sql));
        Self::new(sql, format!("{java}({})", joined(args, |t| &t.java)), ATOM)
    }

    pub fn constructor(name: &str, args: &[&Text]) -> Self {
        let sql = format!("{name}[{}]", joined(args, |t| &t.sql));
        Self::new(sql, format!("{}({})", name.to_lowercase(), joined(args, |t| &t.java)), ATOM)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

fn joined(texts: &[&Text], of: impl Fn(&Text) -> &str) -> String {
    texts.iter().map(|t| of(t)).collect::<Vec<_>>().join(", ")
}

/// `CHAR_LENGTH` is `charLength`.
pub(super) fn camel_case(name: &str) -> String {
    let mut out = String::new();
    for (index, word) in name.split('_').enumerate() {
        let word = word.to_ascii_lowercase();
        match (index, word.chars().next()) {
            (0, _) | (_, None) => out.push_str(&word),
            (_, Some(first)) => {
                out.push(first.to_ascii_uppercase());
                out.push_str(&word[first.len_utf8()..]);
            }
        }
    }
    out
}

/// A literal with a minus before it.
pub(super) fn negated(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Int(v) => Value::Int(v.checked_neg()?),
        Value::BigInt(2_147_483_648) => Value::Int(i32::MIN),
        Value::BigInt(v) => Value::BigInt(v.checked_neg()?),
        Value::Double(v) => Value::Double(-v),
        Value::Decimal(v) => Value::Decimal(Decimal { unscaled: v.unscaled.checked_neg()?, scale: v.scale }),
        _ => return None,
    })
}
