//! Running a load: decompress, cut into rows, parse into columns, derive, check, stage.

use std::io::Read as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, RecordBatch};

use super::csv::{Rows, fields};
use super::json_rows::{Scanned, Scanner};
use super::plan::{Compression, Format, LoadPlan};
use super::values::{Bad, Builder, Token};
use crate::core::{Core, SEGMENT_ROWS};
use crate::error::SqlError;
use crate::json::{self, Step};
use crate::store::Table;
use crate::store::txn::LoadCounters;
use crate::types::SqlType;
use crate::value::{Value, cast_array};

/// Row errors kept for the error log.
const ERRORS_MAX: usize = 50;
/// Bytes a compressed body may become, as a multiple of nothing: an absolute limit against bombs.
const DECOMPRESSED_MAX: u64 = 8 << 30;

/// What a load did.
#[derive(Debug, Default)]
pub struct LoadOutcome {
    pub counters: LoadCounters,
    /// `Error: …. Row: …` lines.
    pub errors: Vec<String>,
}

/// Why a load failed as a whole.
#[derive(Debug)]
pub struct LoadError {
    pub message: String,
    pub outcome: LoadOutcome,
}

impl From<SqlError> for LoadError {
    fn from(e: SqlError) -> Self {
        Self { message: e.message, outcome: LoadOutcome::default() }
    }
}

impl From<starweir_model::Error> for LoadError {
    fn from(e: starweir_model::Error) -> Self {
        Self { message: e.chain(), outcome: LoadOutcome::default() }
    }
}

impl From<arrow::error::ArrowError> for LoadError {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self { message: e.to_string(), outcome: LoadOutcome::default() }
    }
}

fn failed(message: impl Into<String>) -> LoadError {
    LoadError { message: message.into(), outcome: LoadOutcome::default() }
}

fn decompress(body: Vec<u8>, compression: Compression) -> Result<Vec<u8>, LoadError> {
    let mut out = Vec::new();
    let source = &body[..];
    let read = match compression {
        Compression::None => return Ok(body),
        Compression::Gzip => flate2::read::MultiGzDecoder::new(source).take(DECOMPRESSED_MAX).read_to_end(&mut out),
        Compression::Deflate => flate2::read::ZlibDecoder::new(source).take(DECOMPRESSED_MAX).read_to_end(&mut out),
        Compression::Zstd => {
            zstd::stream::read::Decoder::new(source).and_then(|d| d.take(DECOMPRESSED_MAX).read_to_end(&mut out))
        }
        Compression::Bzip2 => bzip2::read::MultiBzDecoder::new(source).take(DECOMPRESSED_MAX).read_to_end(&mut out),
        Compression::Lz4Frame => {
            lz4_flex::frame::FrameDecoder::new(source).take(DECOMPRESSED_MAX).read_to_end(&mut out)
        }
    };
    match read {
        Ok(n) if n as u64 == DECOMPRESSED_MAX => Err(failed("the decompressed body is too large")),
        Ok(_) => Ok(out),
        Err(e) => Err(failed(format!("cannot decompress the body: {e}"))),
    }
}

/// Rows of one chunk while they are parsed.
struct Chunk<'a> {
    plan: &'a LoadPlan,
    builders: Vec<Builder>,
    bad: Vec<bool>,
    any_bad: bool,
}

struct Load<'a> {
    core: &'a Core,
    table: &'a Table,
    txn: u64,
    plan: &'a LoadPlan,
    outcome: LoadOutcome,
}

impl<'a> Chunk<'a> {
    fn new(plan: &'a LoadPlan) -> Self {
        let builders = plan.sources.iter().map(|s| Builder::new(&s.sql_type, 1024)).collect();
        Self { plan, builders, bad: Vec::new(), any_bad: false }
    }

    fn rows(&self) -> usize {
        self.bad.len()
    }

    fn end_row(&mut self, bad: bool) {
        self.bad.push(bad);
        self.any_bad |= bad;
    }
}

/// Loads a body into a transaction. CPU and file work; not for an async thread.
pub fn load(
    core: &Arc<Core>,
    table: &Arc<Table>,
    txn: u64,
    plan: &LoadPlan,
    body: Vec<u8>,
) -> Result<LoadOutcome, LoadError> {
    let body = decompress(body, plan.compression)?;
    let bytes = body.len() as u64;
    let mut load = Load { core, table, txn, plan, outcome: LoadOutcome::default() };
    load.outcome.counters.bytes = bytes;
    let result = match plan.format {
        Format::Csv => load.csv(&body),
        Format::Json => load.json(&body),
    };
    match result {
        Ok(()) => Ok(load.outcome),
        Err(mut e) => {
            e.outcome = load.outcome;
            Err(e)
        }
    }
}

impl Load<'_> {
    fn row_error(&mut self, reason: &str, row: &str) {
        if self.outcome.errors.len() < ERRORS_MAX {
            let row: String = row.chars().take(1000).collect();
            self.outcome.errors.push(format!("Error: {reason}. Row: {row}"));
        }
    }

    /// Counts a row that is refused before it has columns.
    fn filtered_row(&mut self, reason: &str, row: &str) {
        self.outcome.counters.total += 1;
        self.outcome.counters.filtered += 1;
        self.row_error(reason, row);
    }

    fn csv(&mut self, body: &[u8]) -> Result<(), LoadError> {
        let plan = self.plan;
        let all_utf8 = simdutf8::basic::from_utf8(body).is_ok();
        let mut rows = Rows::new(body, &plan.csv);
        for _ in 0..plan.skip_header {
            if rows.next_row().is_none() {
                break;
            }
        }
        let mut chunk = Chunk::new(plan);
        let mut cells = Vec::new();
        while let Some(row) = rows.next_row() {
            if !all_utf8 && simdutf8::basic::from_utf8(row).is_err() {
                self.filtered_row("Invalid UTF-8 row", &String::from_utf8_lossy(row));
                continue;
            }
            fields(row, &plan.csv, &mut cells);
            if cells.len() != plan.sources.len() {
                let reason = format!(
                    "Target column count: {} doesn't match source value column count: {}. Column separator: '{}', Row delimiter: '{}'",
                    plan.sources.len(),
                    cells.len(),
                    String::from_utf8_lossy(&plan.csv.column_separator),
                    String::from_utf8_lossy(&plan.csv.row_delimiter).replace('\n', "\\n")
                );
                self.filtered_row(&reason, &String::from_utf8_lossy(row));
                continue;
            }
            let mut bad = false;
            for (i, cell) in cells.iter().enumerate() {
                let builder = &mut chunk.builders[i];
                match cell {
                    None => builder.null(),
                    Some(bytes) => {
                        // The row was checked; cutting at separators keeps texts whole only for ASCII
                        // separators, so each cell is looked at again where that may matter.
                        let parsed = match std::str::from_utf8(bytes) {
                            Ok(text) => builder.text(text),
                            Err(_) => Err(Bad::Value),
                        };
                        if parsed.is_err() {
                            let source = &plan.sources[i];
                            // Non-strict: NULL, which a NOT NULL column then refuses.
                            if plan.strict && !bad {
                                bad = true;
                                let value = String::from_utf8_lossy(bytes);
                                let reason = match source.sql_type {
                                    SqlType::Char(n) | SqlType::Varchar(n) => format!(
                                        "String '{value}'(length={}) is too long. The max length of '{}' is {n}",
                                        bytes.len(),
                                        source.name
                                    ),
                                    _ => format!(
                                        "Value '{value}' is out of range. The type of '{}' is {}",
                                        source.name,
                                        source.sql_type.message()
                                    ),
                                };
                                self.row_error(&reason, &String::from_utf8_lossy(row));
                            }
                            chunk.builders[i].null();
                        }
                    }
                }
            }
            chunk.end_row(bad);
            if chunk.rows() >= SEGMENT_ROWS {
                self.finish_chunk(&mut chunk)?;
            }
        }
        self.finish_chunk(&mut chunk)
    }

    fn json(&mut self, body: &[u8]) -> Result<(), LoadError> {
        let Ok(text) = simdutf8::basic::from_utf8(body) else {
            return Err(failed("Failed to parse json as utf-8: the body is not valid UTF-8"));
        };
        if self.plan.flat { self.json_flat(text) } else { self.json_trees(text) }
    }

    fn json_flat(&mut self, text: &str) -> Result<(), LoadError> {
        let plan = self.plan;
        let wrong = |at: usize| failed(format!("Failed to parse json: invalid JSON text near byte {at}"));
        let mut s = Scanner::new(text);
        let keys: Vec<&str> = plan
            .sources
            .iter()
            .map(|s| match s.path.first() {
                Some(Step::Key(k)) => k.as_str(),
                _ => "",
            })
            .collect();
        let mut chunk = Chunk::new(plan);
        let mut filled = vec![false; keys.len()];
        let array = match s.peek() {
            None => return self.finish_chunk(&mut chunk),
            Some(b'[') if plan.strip_outer_array => {
                s.at += 1;
                true
            }
            Some(b'[') => {
                return Err(failed(
                    "The value is array type in json document stream, you can set strip_outer_array=true to parse each element of the array as individual rows",
                ));
            }
            Some(b'{') if plan.strip_outer_array => {
                return Err(failed(
                    "the value should be array type with strip_outer_array=true, please check the strip_outer_array parameter",
                ));
            }
            Some(b'{') => false,
            Some(_) => return Err(wrong(s.at)),
        };
        if array && s.eat(b']') {
            return self.finish_chunk(&mut chunk);
        }
        loop {
            let start = {
                s.blanks();
                s.at
            };
            if !s.eat(b'{') {
                return Err(wrong(s.at));
            }
            filled.fill(false);
            let mut bad = false;
            let mut expected = 0;
            if !s.eat(b'}') {
                loop {
                    let key = s.string().ok_or_else(|| wrong(start))?;
                    let found = {
                        let key = match s.token(&key) {
                            Token::Text(k) => k,
                            _ => "",
                        };
                        // Keys usually come in the same order in every object.
                        if keys.get(expected) == Some(&key) {
                            Some(expected)
                        } else {
                            keys.iter().position(|k| *k == key)
                        }
                    };
                    if !s.eat(b':') {
                        return Err(wrong(s.at));
                    }
                    let value = s.value().ok_or_else(|| wrong(s.at))?;
                    if let Some(i) = found {
                        expected = i + 1;
                        // The first of two equal keys counts.
                        if !filled[i] {
                            filled[i] = true;
                            let token = s.token(&value);
                            if let Err(e) = chunk.builders[i].json(token) {
                                chunk.builders[i].null();
                                if (plan.strict || e == Bad::Kind) && !bad {
                                    bad = true;
                                    let reason = self.json_reason(i, e, &value);
                                    let end = s.at.min(text.len());
                                    self.row_error(&reason, text.get(start..end).unwrap_or_default());
                                }
                            }
                        }
                    }
                    if s.eat(b',') {
                        continue;
                    }
                    if s.eat(b'}') {
                        break;
                    }
                    return Err(wrong(s.at));
                }
            }
            for (i, f) in filled.iter().enumerate() {
                if !f {
                    chunk.builders[i].null();
                }
            }
            chunk.end_row(bad);
            if chunk.rows() >= SEGMENT_ROWS {
                self.finish_chunk(&mut chunk)?;
            }
            if array {
                if s.eat(b',') {
                    continue;
                }
                if s.eat(b']') {
                    break;
                }
                return Err(wrong(s.at));
            }
            // Documents may be separated by blanks or a comma, or by nothing.
            s.eat(b',');
            if s.peek().is_none() {
                break;
            }
        }
        if array && s.peek().is_some_and(|b| b != b'[') {
            return Err(wrong(s.at));
        }
        self.finish_chunk(&mut chunk)
    }

    fn json_reason(&self, i: usize, bad: Bad, value: &Scanned<'_>) -> String {
        let source = &self.plan.sources[i];
        let value = match value {
            Scanned::Number(t) | Scanned::Text(t) | Scanned::Nested(t) => (*t).to_string(),
            Scanned::Bool(b) => b.to_string(),
            _ => String::new(),
        };
        match (bad, &source.sql_type) {
            (Bad::Kind, _) => format!("Unsupported value type. Numeric type is required. column={}", source.name),
            (_, SqlType::Char(n) | SqlType::Varchar(n)) => {
                format!("Value length is beyond the capacity. column={}, capacity={n}", source.name)
            }
            (_, t) => format!("Value '{value}' is out of range. The type of '{}' is {}", source.name, t.message()),
        }
    }

    /// Paths, roots and envelopes: through trees.
    fn json_trees(&mut self, text: &str) -> Result<(), LoadError> {
        let plan = self.plan;
        let mut chunk = Chunk::new(plan);
        let first = text.trim_start().bytes().next();
        let documents = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        for document in documents {
            let document = document.map_err(|e| failed(format!("Failed to parse json: {e}")))?;
            let mut elements: Vec<serde_json::Value> = Vec::new();
            match &plan.json_root {
                Some(root) => {
                    // The outer array is always opened; strip_outer_array means the one at the root.
                    let outer = match document {
                        serde_json::Value::Array(a) => a,
                        other => vec![other],
                    };
                    for o in outer {
                        match json::lookup(&o, root) {
                            Some(serde_json::Value::Array(a)) if plan.strip_outer_array => elements.extend(a),
                            Some(serde_json::Value::Array(_)) => {
                                return Err(failed(
                                    "The value is array type in json document stream, you can set strip_outer_array=true to parse each element of the array as individual rows",
                                ));
                            }
                            Some(v) => elements.push(v),
                            None => self.filtered_row("The json root is not in the object", &o.to_string()),
                        }
                    }
                }
                None => match document {
                    serde_json::Value::Array(a) if plan.strip_outer_array => elements = a,
                    serde_json::Value::Array(_) => {
                        return Err(failed(
                            "The value is array type in json document stream, you can set strip_outer_array=true to parse each element of the array as individual rows",
                        ));
                    }
                    _ if plan.strip_outer_array && first != Some(b'[') => {
                        return Err(failed(
                            "the value should be array type with strip_outer_array=true, please check the strip_outer_array parameter",
                        ));
                    }
                    other => elements.push(other),
                },
            }
            for element in elements {
                let (element, op) = if plan.debezium {
                    match envelope(element)? {
                        Some((row, op)) => (row, Some(op)),
                        None => continue,
                    }
                } else {
                    (element, None)
                };
                self.tree_row(&mut chunk, &element, op);
                if chunk.rows() >= SEGMENT_ROWS {
                    self.finish_chunk(&mut chunk)?;
                }
            }
        }
        self.finish_chunk(&mut chunk)
    }

    fn tree_row(&mut self, chunk: &mut Chunk<'_>, element: &serde_json::Value, op: Option<&'static str>) {
        let mut bad = false;
        for (i, source) in chunk.plan.sources.iter().enumerate() {
            let builder = &mut chunk.builders[i];
            if source.is_op
                && let Some(op) = op
            {
                let _ = builder.text(op);
                continue;
            }
            let Some(value) = json::lookup(element, &source.path) else {
                builder.null();
                continue;
            };
            let rendered;
            let token = match &value {
                serde_json::Value::Null => Token::Null,
                serde_json::Value::Bool(b) => Token::Bool(*b),
                serde_json::Value::Number(n) => {
                    rendered = n.to_string();
                    Token::Number(&rendered)
                }
                serde_json::Value::String(t) => Token::Text(t),
                nested => {
                    rendered = nested.to_string();
                    Token::Nested(&rendered)
                }
            };
            if let Err(e) = builder.json(token) {
                builder.null();
                if (self.plan.strict || e == Bad::Kind) && !bad {
                    bad = true;
                    let reason = match e {
                        Bad::Kind => {
                            format!("Unsupported value type. Numeric type is required. column={}", source.name)
                        }
                        _ => format!(
                            "Value '{value}' is out of range. The type of '{}' is {}",
                            source.name,
                            source.sql_type.message()
                        ),
                    };
                    self.row_error(&reason, &element.to_string());
                }
            }
        }
        chunk.end_row(bad);
    }

    /// Derives, selects, checks and stages the rows parsed so far.
    fn finish_chunk(&mut self, chunk: &mut Chunk<'_>) -> Result<(), LoadError> {
        let rows = chunk.rows();
        let mut arrays: Vec<ArrayRef> = chunk.builders.iter_mut().map(Builder::finish).collect();
        let bad = std::mem::take(&mut chunk.bad);
        let any_bad = std::mem::replace(&mut chunk.any_bad, false);
        if rows == 0 {
            return Ok(());
        }
        let plan = self.plan;
        let def = self.table.def();
        self.outcome.counters.total += rows as u64;
        let mut keep: Vec<bool> = bad.iter().map(|b| !b).collect();
        self.outcome.counters.filtered += keep.iter().filter(|k| !**k).count() as u64;
        // Derived columns are computed over all rows, the bad ones too: it costs little and keeps places.
        let mut named: Vec<(String, SqlType, ArrayRef)> = plan
            .sources
            .iter()
            .zip(&arrays)
            .filter(|(s, _)| !s.is_op || s.name != "__op")
            .map(|(s, a)| (s.name.clone(), s.sql_type.clone(), a.clone()))
            .collect();
        let mut targets: Vec<(usize, ArrayRef)> = Vec::new();
        for (s, a) in plan.sources.iter().zip(&arrays) {
            if let Some(t) = s.target {
                let column = &def.columns[t];
                targets.push((t, cast_array(a, &s.sql_type, &column.sql_type, false)?));
            }
        }
        if !plan.derived.is_empty() {
            let exprs: Vec<_> = plan.derived.iter().map(|d| d.1.clone()).collect();
            let results = self.core.evaluate(&named, rows, &exprs)?;
            for ((t, _), (array, from)) in plan.derived.iter().zip(results) {
                let column = &def.columns[*t];
                let array = cast_array(&array, &from, &column.sql_type, false)?;
                named.retain(|n| !n.0.eq_ignore_ascii_case(&column.name));
                named.push((column.name.clone(), column.sql_type.clone(), array.clone()));
                targets.push((*t, array));
            }
        }
        let ops = self.ops(&arrays, &named, rows)?;
        if let Some(e) = &plan.selection {
            let (array, t) = self.core.evaluate(&named, rows, std::slice::from_ref(e))?.remove(0);
            for (row, k) in keep.iter_mut().enumerate() {
                if *k && Value::get(&array, &t, row).as_bool() != Some(true) {
                    *k = false;
                    self.outcome.counters.unselected += 1;
                }
            }
        }
        arrays.clear();
        for (t, array) in &targets {
            let column = &def.columns[*t];
            if array.null_count() > 0 && !column.nullable && !column.auto_increment {
                for (row, k) in keep.iter_mut().enumerate() {
                    if *k && array.is_null(row) {
                        // A DELETE needs its keys only; other columns may be missing.
                        *k = false;
                        self.outcome.counters.filtered += 1;
                        let text = self.row_text(&targets, row);
                        self.row_error(&format!("NULL value in non-nullable column '{}'", column.name), &text);
                    }
                }
            }
            if let SqlType::Char(n) | SqlType::Varchar(n) = column.sql_type
                && let Some(texts) = array.as_string_opt::<i32>()
            {
                for (row, k) in keep.iter_mut().enumerate() {
                    if *k && !texts.is_null(row) && texts.value(row).len() > n as usize {
                        *k = false;
                        self.outcome.counters.filtered += 1;
                        let reason = format!(
                            "String '{}'(length={}) is too long. The max length of '{}' is {n}",
                            texts.value(row),
                            texts.value(row).len(),
                            column.name
                        );
                        let text = self.row_text(&targets, row);
                        self.row_error(&reason, &text);
                    }
                }
            }
        }
        let mask = BooleanArray::from(keep);
        let mut kept = mask.true_count();
        let filter =
            |a: &ArrayRef| if kept == rows && !any_bad { Ok(a.clone()) } else { arrow::compute::filter(a, &mask) };
        let mut given = Vec::with_capacity(targets.len());
        for (t, a) in &targets {
            given.push((*t, filter(a)?));
        }
        let ops = match ops {
            Some(o) => {
                let o = filter(&(Arc::new(o) as ArrayRef))?;
                o.as_primitive_opt::<arrow::datatypes::Int8Type>().cloned()
            }
            None => None,
        };
        if kept == 0 {
            return Ok(());
        }
        if plan.negative {
            for (t, a) in &mut given {
                if matches!(def.columns[*t].aggregation, Some(crate::catalog::Aggregation::Sum)) {
                    let ty = def.columns[*t].sql_type.clone();
                    let values: Vec<Value> = (0..a.len())
                        .map(|i| match Value::get(a, &ty, i) {
                            Value::Int(v) => Value::Int(-v),
                            Value::Double(v) => Value::Double(-v),
                            Value::Float(v) => Value::Float(-v),
                            Value::Decimal(v, s) => Value::Decimal(v.wrapping_neg(), s),
                            other => other,
                        })
                        .collect();
                    *a = Value::array(&values, &ty);
                }
            }
        }
        let mut batch = self.core.complete_rows(self.table, given, kept, ops, plan.partial.is_some())?;
        if let Some(outside) = self.core.outside_partitions(&def, &batch)? {
            let inside = BooleanArray::from(outside.iter().map(|o| !o).collect::<Vec<_>>());
            let n = outside.len() - inside.true_count();
            if n > 0 {
                self.outcome.counters.filtered += n as u64;
                self.row_error("The row is out of partition ranges. Please add a new partition", "");
                batch = arrow::compute::filter_record_batch(&batch, &inside)?;
                kept = batch.num_rows();
            }
        }
        self.core.make_partitions(self.table, &batch)?;
        self.stage(&batch)?;
        self.outcome.counters.loaded += kept as u64;
        Ok(())
    }

    fn stage(&self, batch: &RecordBatch) -> Result<(), LoadError> {
        Ok(self.core.stage(self.txn, self.table.id, batch, self.plan.partial.clone(), self.plan.condition, false)?)
    }

    fn row_text(&self, targets: &[(usize, ArrayRef)], row: usize) -> String {
        let def = self.table.def();
        let cells: Vec<String> = targets
            .iter()
            .map(|(t, a)| Value::get(a, &def.columns[*t].sql_type, row).as_text().unwrap_or_else(|| "NULL".into()))
            .collect();
        format!("[{}]", cells.join(", "))
    }

    /// The operation of each row; None when all are upserts.
    fn ops(
        &self,
        arrays: &[ArrayRef],
        named: &[(String, SqlType, ArrayRef)],
        rows: usize,
    ) -> Result<Option<Int8Array>, LoadError> {
        let texts: Vec<Value> = if let Some(e) = &self.plan.derived_op {
            let (array, t) = self.core.evaluate(named, rows, std::slice::from_ref(e))?.remove(0);
            (0..rows).map(|i| Value::get(&array, &t, i)).collect()
        } else if let Some(i) = self.plan.sources.iter().position(|s| s.is_op) {
            if arrays[i].null_count() == rows {
                return Ok(None);
            }
            (0..rows).map(|r| Value::get(&arrays[i], &self.plan.sources[i].sql_type, r)).collect()
        } else {
            return Ok(None);
        };
        let mut ops = Vec::with_capacity(rows);
        for v in texts {
            ops.push(match &v {
                Value::Null => 0,
                Value::Text(t) => match t.trim().to_ascii_lowercase().as_str() {
                    "upsert" | "0" => 0,
                    "delete" | "1" => 1,
                    other => return Err(failed(format!("load op type string not supported: {other}"))),
                },
                v => match v.as_i64() {
                    Some(0) => 0,
                    Some(1) => 1,
                    _ => {
                        return Err(failed(format!("load op type not supported: {}", v.as_text().unwrap_or_default())));
                    }
                },
            });
        }
        Ok(ops.iter().any(|o| *o != 0).then(|| Int8Array::from(ops)))
    }
}

/// The row and operation of a Debezium message; None for a tombstone.
fn envelope(message: serde_json::Value) -> Result<Option<(serde_json::Value, &'static str)>, LoadError> {
    let serde_json::Value::Object(mut message) = message else {
        return Err(failed("a Debezium message must be an object"));
    };
    let mut payload = match message.get_mut("payload") {
        Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::Object(p)) => std::mem::take(p),
        Some(_) => return Err(failed("the payload of a Debezium message must be an object")),
        None => message,
    };
    let op = payload.get("op").and_then(|o| o.as_str()).unwrap_or_default().to_string();
    let (key, op) = match op.as_str() {
        "c" | "r" | "u" => ("after", "0"),
        "d" => ("before", "1"),
        "" => return Err(failed("a Debezium message without op")),
        other => return Err(failed(format!("unknown op '{other}' of a Debezium message"))),
    };
    match payload.remove(key) {
        Some(row @ serde_json::Value::Object(_)) => Ok(Some((row, op))),
        _ => Err(failed(format!("a Debezium message with op has no '{key}'"))),
    }
}
