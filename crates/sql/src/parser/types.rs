//! Data types as Flink writes them.

use starweir_model::types::{DECIMAL_PRECISION_MAX, LENGTH_MAX};
use starweir_model::{DataType, Field, LogicalType};

use super::{Parse, Parser};
use crate::ast::TypeName;
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::Tok;

impl Parser<'_> {
    /// A type with its nullability and the suffixes ARRAY and MULTISET.
    pub(super) fn type_name(&mut self) -> Parse<TypeName> {
        self.deeper(|p| {
            let start = p.span().start;
            let mut logical = p.plain_type()?;
            loop {
                // The nullability before ARRAY or MULTISET is the element's.
                let (nullable, _) = p.nullability()?;
                let suffix = p.peek_word("ARRAY") || p.peek_word("MULTISET");
                if !suffix {
                    let span = start..p.previous_end();
                    return Ok(TypeName {
                        data_type: logical.map(|l| DataType { logical: l, nullable: nullable.unwrap_or(true) }),
                        stated_nullability: nullable.is_some(),
                        text: p.slice(&span),
                        span,
                    });
                }
                let element = logical.map(|l| Box::new(DataType { logical: l, nullable: nullable.unwrap_or(true) }));
                logical = if p.eat_word("ARRAY") {
                    element.map(LogicalType::Array)
                } else {
                    p.at += 1;
                    element.map(LogicalType::Multiset)
                };
            }
        })
    }

    fn nullability(&mut self) -> Parse<(Option<bool>, Span)> {
        let span = self.span();
        if self.eat_words(&["NOT", "NULL"]) {
            return Ok((Some(false), span.start..self.previous_end()));
        }
        // `RETURNING INTEGER NULL ON EMPTY` says nothing about the type.
        if self.peek_word("NULL") && !self.peek_word_at(1, "ON") {
            self.at += 1;
            return Ok((Some(true), span));
        }
        Ok((None, span))
    }

    fn length(&mut self, default: u32, what: &str) -> Parse<u32> {
        if !self.peek_sym("(") {
            return Ok(default);
        }
        self.at += 1;
        let length = self.unsigned(1, LENGTH_MAX, what)?;
        self.expect_sym(")")?;
        Ok(length)
    }

    fn unsigned(&mut self, min: u32, max: u32, what: &str) -> Parse<u32> {
        let span = self.span();
        let Tok::Number(text) = self.tok().clone() else { return Err(self.unexpected(what)) };
        self.at += 1;
        match text.parse::<u32>() {
            Ok(n) if (min..=max).contains(&n) => Ok(n),
            _ => Err(Diagnostic::at(span, format!("{what} must be from {min} to {max}, but is {text}"))),
        }
    }

    fn fraction(&mut self, default: u8) -> Parse<u8> {
        if !self.eat_sym("(") {
            return Ok(default);
        }
        let digits = self.unsigned(0, 9, "the number of fractional digits")?;
        self.expect_sym(")")?;
        Ok(digits as u8)
    }

    fn plain_type(&mut self) -> Parse<Option<LogicalType>> {
        let span = self.span();
        let word = match self.tok().clone() {
            Tok::Word(word) => word,
            Tok::Quoted(_) => {
                self.name("a data type")?;
                return Ok(None);
            }
            _ => return Err(self.unexpected("a data type")),
        };
        let upper = word.to_ascii_uppercase();
        self.at += 1;
        let logical = match upper.as_str() {
            "BOOLEAN" => LogicalType::Boolean,
            "TINYINT" => LogicalType::TinyInt,
            "SMALLINT" => LogicalType::SmallInt,
            "INT" | "INTEGER" => LogicalType::Int,
            "BIGINT" => LogicalType::BigInt,
            "FLOAT" => LogicalType::Float,
            "REAL" => LogicalType::Float,
            "DOUBLE" => {
                self.eat_word("PRECISION");
                LogicalType::Double
            }
            "DECIMAL" | "DEC" | "NUMERIC" => {
                let (mut precision, mut scale) = (10, 0);
                if self.eat_sym("(") {
                    precision = self.unsigned(1, DECIMAL_PRECISION_MAX.into(), "the precision of DECIMAL")?;
                    if self.eat_sym(",") {
                        scale = self.unsigned(0, precision, "the scale of DECIMAL")?;
                    }
                    self.expect_sym(")")?;
                }
                LogicalType::Decimal(precision as u8, scale as u8)
            }
            "CHAR" | "CHARACTER" => {
                if self.eat_word("VARYING") {
                    LogicalType::VarChar(self.length(1, "the length of VARCHAR")?)
                } else {
                    LogicalType::Char(self.length(1, "the length of CHAR")?)
                }
            }
            "VARCHAR" => LogicalType::VarChar(self.length(LENGTH_MAX, "the length of VARCHAR")?),
            "STRING" => LogicalType::STRING,
            "BINARY" => {
                if self.eat_word("VARYING") {
                    LogicalType::VarBinary(self.length(1, "the length of VARBINARY")?)
                } else {
                    LogicalType::Binary(self.length(1, "the length of BINARY")?)
                }
            }
            "VARBINARY" => LogicalType::VarBinary(self.length(LENGTH_MAX, "the length of VARBINARY")?),
            "BYTES" => LogicalType::BYTES,
            "DATE" => LogicalType::Date,
            "TIME" => {
                let digits = self.fraction(0)?;
                self.eat_words(&["WITHOUT", "TIME", "ZONE"]);
                LogicalType::Time(digits)
            }
            "TIMESTAMP" => {
                let digits = self.fraction(6)?;
                if self.eat_words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
                    LogicalType::TimestampLtz(digits)
                } else if self.peek_words(&["WITH", "TIME", "ZONE"]) {
                    return Err(Diagnostic::unsupported(self.span(), "TIMESTAMP WITH TIME ZONE"));
                } else {
                    self.eat_words(&["WITHOUT", "TIME", "ZONE"]);
                    LogicalType::Timestamp(digits)
                }
            }
            "TIMESTAMP_LTZ" => LogicalType::TimestampLtz(self.fraction(6)?),
            "INTERVAL" => self.interval_type()?,
            "ARRAY" => {
                self.expect_sym("<")?;
                let element = self.type_name()?.data_type;
                self.close_angle()?;
                return Ok(element.map(|e| LogicalType::Array(Box::new(e))));
            }
            "MULTISET" => {
                self.expect_sym("<")?;
                let element = self.type_name()?.data_type;
                self.close_angle()?;
                return Ok(element.map(|e| LogicalType::Multiset(Box::new(e))));
            }
            "MAP" => {
                self.expect_sym("<")?;
                let key = self.type_name()?.data_type;
                self.expect_sym(",")?;
                let value = self.type_name()?.data_type;
                self.close_angle()?;
                return Ok(key.zip(value).map(|(k, v)| LogicalType::Map(Box::new(k), Box::new(v))));
            }
            "ROW" => return self.row_type(),
            "NULL" => LogicalType::Null,
            "RAW" => {
                if self.eat_sym("(") {
                    self.skip_parens()?;
                }
                return Ok(None);
            }
            _ => {
                // A user's type: its name, perhaps dotted.
                self.at -= 1;
                let name = self.name("a data type")?;
                if name.parts.len() == 1 {
                    let known = [
                        "BOOLEAN",
                        "TINYINT",
                        "SMALLINT",
                        "INT",
                        "BIGINT",
                        "FLOAT",
                        "DOUBLE",
                        "DECIMAL",
                        "CHAR",
                        "VARCHAR",
                        "STRING",
                        "BINARY",
                        "VARBINARY",
                        "BYTES",
                        "DATE",
                        "TIME",
                        "TIMESTAMP",
                        "TIMESTAMP_LTZ",
                        "INTERVAL",
                        "ARRAY",
                        "MAP",
                        "MULTISET",
                        "ROW",
                    ];
                    let near = starweir_model::nearest(&word, known).map(str::to_owned);
                    if let Some(near) = near {
                        return Err(Diagnostic::at(span, format!("unknown type {word}"))
                            .with_hint(format!("did you mean '{near}'?")));
                    }
                }
                return Ok(None);
            }
        };
        Ok(Some(logical))
    }

    fn row_type(&mut self) -> Parse<Option<LogicalType>> {
        let angle = self.peek_sym("<");
        // `ROW<>` is written as one symbol.
        if self.eat_sym("<>") {
            return Ok(Some(LogicalType::Row(Vec::new())));
        }
        if !angle && !self.peek_sym("(") {
            return Err(self.unexpected("'<' or '(' after ROW"));
        }
        self.at += 1;
        let mut fields = Some(Vec::new());
        let closed = |p: &mut Self| if angle { p.try_close_angle() } else { p.eat_sym(")") };
        if closed(self) {
            return Ok(Some(LogicalType::Row(Vec::new())));
        }
        loop {
            let name = self.any_ident("a field's name")?;
            let type_name = self.type_name()?;
            if let Tok::Str(_) = self.tok() {
                self.at += 1;
            }
            match (type_name.data_type, &mut fields) {
                (Some(data_type), Some(fields)) => fields.push(Field { name: name.name, data_type }),
                _ => fields = None,
            }
            if !self.eat_sym(",") {
                break;
            }
        }
        if !closed(self) {
            return Err(self.unexpected(if angle { "'>'" } else { "')'" }));
        }
        Ok(fields.map(LogicalType::Row))
    }

    fn try_close_angle(&mut self) -> bool {
        self.eat_sym(">")
    }

    fn close_angle(&mut self) -> Parse<()> {
        if self.try_close_angle() { Ok(()) } else { Err(self.unexpected("'>'")) }
    }

    fn interval_type(&mut self) -> Parse<LogicalType> {
        let unit = |p: &mut Self| -> Parse<String> {
            let span = p.span();
            let word = p.any_ident("a unit of time")?.name.to_ascii_uppercase();
            if !matches!(word.as_str(), "YEAR" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "SECOND") {
                return Err(Diagnostic::at(span, format!("{word} is no unit of an INTERVAL type")));
            }
            if p.eat_sym("(") {
                p.unsigned(0, 9, "the number of digits")?;
                if p.eat_sym(",") {
                    p.unsigned(0, 9, "the number of digits")?;
                }
                p.expect_sym(")")?;
            }
            Ok(word)
        };
        let from = unit(self)?;
        if self.eat_word("TO") {
            unit(self)?;
        }
        Ok(if matches!(from.as_str(), "YEAR" | "MONTH") {
            LogicalType::IntervalYearMonth
        } else {
            LogicalType::IntervalDayTime
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_data_type;

    #[test]
    fn types_are_read_and_printed_as_flink_does() {
        for (text, expected) in [
            ("int", "INT"),
            ("DECIMAL(10)", "DECIMAL(10, 0)"),
            ("varchar(5) not null", "VARCHAR(5) NOT NULL"),
            ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
            ("TIMESTAMP_LTZ", "TIMESTAMP_LTZ(6)"),
            ("ARRAY<ARRAY<INT NOT NULL>>", "ARRAY<ARRAY<INT NOT NULL>>"),
            ("INT NOT NULL ARRAY NOT NULL", "ARRAY<INT NOT NULL> NOT NULL"),
            ("ROW(a INT, b STRING 'comment')", "ROW<`a` INT, `b` STRING>"),
            ("ROW<f MAP<STRING, ROW<x INT>>>", "ROW<`f` MAP<STRING, ROW<`x` INT>>>"),
            ("INT MULTISET", "MULTISET<INT>"),
            ("DOUBLE PRECISION", "DOUBLE"),
        ] {
            assert_eq!(parse_data_type(text).unwrap().to_string(), expected, "{text}");
        }
        assert!(parse_data_type("DECIMAL(39, 2)").is_err());
        assert_eq!(parse_data_type("STRNG").unwrap_err().hint.as_deref(), Some("did you mean 'STRING'?"));
    }
}
