//! Types from the text they print as: `DECIMAL(10, 2) NOT NULL`.

use std::str::FromStr;

use crate::error::Error;
use crate::types::{DECIMAL_PRECISION_MAX, DataType, Field, LENGTH_MAX, LogicalType};

impl FromStr for DataType {
    type Err = Error;

    /// Reads what [`DataType`] prints, and the other spellings Flink has for the same types (`INTEGER`, `VARCHAR`
    /// without a length, `TIMESTAMP WITH LOCAL TIME ZONE`, `ROW(a INT)`). Words in any case; nullable unless it ends
    /// in `NOT NULL`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut reader = Reader { text, rest: text };
        let data_type = reader.data_type(0)?;
        reader.blanks();
        if reader.rest.is_empty() { Ok(data_type) } else { Err(reader.error()) }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

/// Types inside types; deeper text is refused rather than followed.
const DEPTH_MAX: usize = 64;

impl<'a> Reader<'a> {
    fn error(&self) -> Error {
        Error::user(format!("'{}' is not a data type", self.text))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, symbol: char) -> Result<(), Error> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.error()) }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.blanks();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Takes these words, or nothing.
    fn words(&mut self, words: &[&str]) -> bool {
        let before = self.rest;
        for expected in words {
            if !self.word().is_some_and(|word| word.eq_ignore_ascii_case(expected)) {
                self.rest = before;
                return false;
            }
        }
        true
    }

    fn number(&mut self) -> Result<u32, Error> {
        self.word().and_then(|word| word.parse().ok()).ok_or_else(|| self.error())
    }

    /// `(n)`, or the default.
    fn length(&mut self, default: u32) -> Result<u32, Error> {
        if !self.symbol('(') {
            return Ok(default);
        }
        let number = self.number()?;
        self.expect(')')?;
        Ok(number)
    }

    fn precision(&mut self, default: u8) -> Result<u8, Error> {
        let precision = self.length(u32::from(default))?;
        u8::try_from(precision).ok().filter(|p| *p <= 9).ok_or_else(|| self.error())
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType, Error> {
        if depth > DEPTH_MAX {
            return Err(self.error());
        }
        let logical = self.logical(depth)?;
        let not_null = self.words(&["NOT", "NULL"]);
        if !not_null {
            self.words(&["NULL"]);
        }
        Ok(DataType { logical, nullable: !not_null })
    }

    fn logical(&mut self, depth: usize) -> Result<LogicalType, Error> {
        let word = self.word().ok_or_else(|| self.error())?.to_ascii_uppercase();
        Ok(match word.as_str() {
            "BOOLEAN" => LogicalType::Boolean,
            "TINYINT" => LogicalType::TinyInt,
            "SMALLINT" => LogicalType::SmallInt,
            "INT" | "INTEGER" => LogicalType::Int,
            "BIGINT" => LogicalType::BigInt,
            "FLOAT" => LogicalType::Float,
            "DOUBLE" => {
                self.words(&["PRECISION"]);
                LogicalType::Double
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "CHAR" => LogicalType::Char(self.length(1)?),
            "VARCHAR" => LogicalType::VarChar(self.length(LENGTH_MAX)?),
            "STRING" => LogicalType::STRING,
            "BINARY" => LogicalType::Binary(self.length(1)?),
            "VARBINARY" => LogicalType::VarBinary(self.length(LENGTH_MAX)?),
            "BYTES" => LogicalType::BYTES,
            "DATE" => LogicalType::Date,
            "TIME" => LogicalType::Time(self.precision(0)?),
            "TIMESTAMP" => {
                let precision = self.precision(6)?;
                if self.words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
                    LogicalType::TimestampLtz(precision)
                } else if self.words(&["WITH", "TIME", "ZONE"]) {
                    LogicalType::TimestampTz(precision)
                } else {
                    self.words(&["WITHOUT", "TIME", "ZONE"]);
                    LogicalType::Timestamp(precision)
                }
            }
            "TIMESTAMP_LTZ" => LogicalType::TimestampLtz(self.precision(6)?),
            "TIMESTAMP_TZ" => LogicalType::TimestampTz(self.precision(6)?),
            "VARIANT" => LogicalType::Variant,
            "NULL" => LogicalType::Null,
            "ARRAY" => {
                self.expect('<')?;
                let element = self.data_type(depth + 1)?;
                self.expect('>')?;
                LogicalType::Array(Box::new(element))
            }
            "MULTISET" => {
                self.expect('<')?;
                let element = self.data_type(depth + 1)?;
                self.expect('>')?;
                LogicalType::Multiset(Box::new(element))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.data_type(depth + 1)?;
                self.expect(',')?;
                let value = self.data_type(depth + 1)?;
                self.expect('>')?;
                LogicalType::Map(Box::new(key), Box::new(value))
            }
            "ROW" => {
                let close = if self.symbol('<') {
                    '>'
                } else {
                    self.expect('(')?;
                    ')'
                };
                LogicalType::Row(self.fields(close, depth)?)
            }
            _ => return Err(self.error()),
        })
    }

    fn decimal(&mut self) -> Result<LogicalType, Error> {
        let (mut precision, mut scale) = (10, 0);
        if self.symbol('(') {
            precision = self.number()?;
            if self.symbol(',') {
                scale = self.number()?;
            }
            self.expect(')')?;
        }
        if precision == 0 || precision > u32::from(DECIMAL_PRECISION_MAX) || scale > precision {
            return Err(self.error());
        }
        Ok(LogicalType::Decimal(precision as u8, scale as u8))
    }

    fn fields(&mut self, close: char, depth: usize) -> Result<Vec<Field>, Error> {
        let mut fields = Vec::new();
        if self.symbol(close) {
            return Ok(fields);
        }
        loop {
            let name = self.name()?;
            let data_type = self.data_type(depth + 1)?;
            if self.symbol('\'') {
                let end = self.rest.find('\'').ok_or_else(|| self.error())?;
                self.rest = &self.rest[end + 1..];
            }
            fields.push(Field { name, data_type });
            if self.symbol(close) {
                return Ok(fields);
            }
            self.expect(',')?;
        }
    }

    fn name(&mut self) -> Result<String, Error> {
        if !self.symbol('`') {
            return self.word().map(str::to_owned).ok_or_else(|| self.error());
        }
        let mut name = String::new();
        loop {
            let end = self.rest.find('`').ok_or_else(|| self.error())?;
            name.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('`') {
                Some(rest) => {
                    name.push('`');
                    self.rest = rest;
                }
                None => return Ok(name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_what_it_prints() {
        for text in [
            "BOOLEAN",
            "INT NOT NULL",
            "DECIMAL(10, 2) NOT NULL",
            "CHAR(0)",
            "VARCHAR(17)",
            "STRING",
            "BYTES NOT NULL",
            "BINARY(3)",
            "VARBINARY(3)",
            "TIME(6)",
            "TIMESTAMP(9) WITH TIME ZONE",
            "TIMESTAMP_LTZ(0) NOT NULL",
            "ARRAY<STRING NOT NULL>",
            "MAP<INT, ARRAY<DATE>>",
            "ROW<`a b` INT, `c` ROW<`d` DOUBLE NOT NULL>>",
            "VARIANT",
        ] {
            assert_eq!(text.parse::<DataType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in ["", "INTEGERS", "DECIMAL(39, 0)", "DECIMAL(3, 4)", "TIME(10)", "ARRAY<INT", "ROW<a>", "INT INT"] {
            assert!(text.parse::<DataType>().is_err(), "{text}");
        }
        assert!("ARRAY<".repeat(1000).parse::<DataType>().is_err());
    }
}
