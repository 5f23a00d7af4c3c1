//! `datagen`: made-up rows, at a chosen rate, bounded or not.
//!
//! A row's values depend only on its number and the column, so a restart from an offset makes the same rows again,
//! except where Flink's datagen says "now".

mod generate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use starweir_engine::{Lane, Polled, Reader, Source, SplitOffsets};
use starweir_model::option::OptionError;
use starweir_model::{ChangeBatch, Clock, Error, Offset, OptionDef, OptionType, Options, Result, SplitId};

use self::generate::Generator;
use crate::registry::{BuiltSource, Changelog, Connector, SourceRequest, Wanted};

pub const CONNECTOR: Connector = Connector {
    name: "datagen",
    about: "Makes rows: random or sequences, at a chosen rate.",
    options,
    metadata: &[],
    formats: false,
    source: Some(build),
    sink: None,
};

/// Rows made at once when the rate allows.
const BATCH_ROWS: u64 = 4096;

fn options() -> Vec<OptionDef> {
    vec![
        OptionDef::optional("rows-per-second", OptionType::Int(1, i64::MAX), "The rate.").with_default("10000"),
        OptionDef::optional(
            "number-of-rows",
            OptionType::Int(0, i64::MAX),
            "Ends after so many rows. Unbounded when absent, unless a column is a sequence.",
        ),
        OptionDef::optional("scan.parallelism", OptionType::Int(1, i64::MAX), "Accepted; one lane is used."),
        OptionDef::optional(
            "fields.",
            OptionType::Prefix,
            "`fields.<column>.kind` (random, sequence), `.min`, `.max`, `.start`, `.end`, `.length`, `.var-len`, `.max-past`, `.null-rate`.",
        ),
    ]
}

fn build(request: &SourceRequest<'_>) -> Result<BuiltSource, Vec<OptionError>> {
    let options = Options::parse(&options(), request.given())?;
    let mut errors = Vec::new();
    let mut generators = Vec::new();
    for column in &request.physical.columns {
        match Generator::build(&column.name, &column.data_type, &options) {
            Ok(generator) => generators.push(generator),
            Err(error) => errors.push(error),
        }
    }
    let known = |name: &str| {
        request.physical.columns.iter().any(|c| name.strip_prefix(&c.name).is_some_and(|rest| rest.starts_with('.')))
    };
    for (name, _) in options.group("fields.").filter(|(name, _)| !known(name)) {
        let columns = request.physical.columns.iter().map(|c| c.name.as_str());
        let written = name.rsplit_once('.').map_or(name, |(column, _)| column);
        errors.push(OptionError {
            option: format!("fields.{name}"),
            message: format!("option 'fields.{name}' names no column of table {}", request.table),
            hint: starweir_model::nearest(written, columns).map(|c| format!("did you mean column '{c}'?")),
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let ends = generators.iter().filter_map(Generator::rows_max);
    let rows_max = ends.chain(options.int("number-of-rows").map(|n| n as u64)).min();
    let chosen = request.wanted.iter().filter_map(|wanted| match wanted {
        Wanted::Physical(index) => Some(generators[*index].clone()),
        Wanted::Metadata { .. } => None,
    });
    let source = Datagen {
        generators: chosen.collect(),
        schema: request.produced().to_arrow(),
        rows_per_second: options.int("rows-per-second").unwrap_or(10_000) as u64,
        rows_max,
        clock: request.clock.clone(),
    };
    Ok(BuiltSource { source: Arc::new(source), identity: "datagen".into(), changelog: Changelog::AppendOnly })
}

struct Datagen {
    generators: Vec<Generator>,
    schema: SchemaRef,
    rows_per_second: u64,
    rows_max: Option<u64>,
    clock: Arc<dyn Clock>,
}

fn split() -> SplitId {
    SplitId("rows".into())
}

impl Source for Datagen {
    fn is_bounded(&self) -> bool {
        self.rows_max.is_some()
    }

    fn lanes(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: Lane, restored: &SplitOffsets) -> Result<Box<dyn Reader>> {
        let next = match restored.get(&split()) {
            None => 0,
            Some(offset) => offset
                .0
                .parse()
                .map_err(|e| Error::internal(format!("datagen cannot go on from '{offset}'")).with_source(e))?,
        };
        Ok(Box::new(DatagenReader {
            generators: self.generators.clone(),
            schema: self.schema.clone(),
            rows_per_second: self.rows_per_second,
            rows_max: self.rows_max,
            clock: self.clock.clone(),
            next,
            first: next,
            started: Instant::now(),
        }))
    }
}

struct DatagenReader {
    generators: Vec<Generator>,
    schema: SchemaRef,
    rows_per_second: u64,
    rows_max: Option<u64>,
    clock: Arc<dyn Clock>,
    next: u64,
    first: u64,
    started: Instant,
}

impl Reader for DatagenReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled> {
        let left = self.rows_max.map_or(u64::MAX, |max| max.saturating_sub(self.next));
        if left == 0 {
            return Ok(Polled::Finished);
        }
        let due = |elapsed: Duration| (elapsed.as_secs_f64() * self.rows_per_second as f64) as u64 + 1;
        let made = self.next - self.first;
        let mut allowed = due(self.started.elapsed()).saturating_sub(made);
        if allowed == 0 {
            let pause = Duration::from_secs_f64(1.0 / self.rows_per_second as f64).max(Duration::from_millis(1));
            std::thread::sleep(pause.min(wait));
            allowed = due(self.started.elapsed()).saturating_sub(made);
        }
        let rows = allowed.min(BATCH_ROWS).min(left);
        if rows == 0 {
            return Ok(Polled::Idle);
        }
        let now_ms = self.clock.now_ms();
        let range = self.next..self.next + rows;
        let columns: Vec<ArrayRef> = self.generators.iter().map(|g| g.array(range.clone(), now_ms)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::internal("datagen made a column of the wrong type").with_source(e))?;
        self.next += rows;
        let bytes = batch.get_array_memory_size() as u64;
        Ok(Polled::Batch { batch: ChangeBatch::inserts(batch), bytes })
    }

    fn offsets(&self) -> Result<SplitOffsets> {
        Ok(SplitOffsets::from([(split(), Offset(self.next.to_string()))]))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.rows_max.map(|max| (self.next.min(max), max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starweir_model::{Column, DataType, LogicalType, Schema, SystemClock};

    fn source(columns: Vec<Column>, options: &[(&str, &str)]) -> Result<BuiltSource, Vec<OptionError>> {
        let physical = Schema::new(columns);
        let wanted: Vec<_> = (0..physical.columns.len()).map(Wanted::Physical).collect();
        let options: Vec<_> = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        build(&SourceRequest {
            table: "t",
            physical: &physical,
            wanted: &wanted,
            options: &options,
            batch: false,
            zone: "UTC",
            seed: 0,
            clock: Arc::new(SystemClock),
        })
    }

    fn read(source: &BuiltSource, restored: &SplitOffsets) -> Vec<RecordBatch> {
        let mut reader = source.source.open(Lane { index: 0, count: 1 }, restored).unwrap();
        let mut batches = Vec::new();
        loop {
            match reader.poll(Duration::from_millis(1)).unwrap() {
                Polled::Batch { batch, .. } => batches.push(batch.batch),
                Polled::Idle => {}
                Polled::Finished => return batches,
            }
        }
    }

    #[test]
    fn a_restart_makes_the_rows_that_follow_the_offset() {
        let columns = || {
            vec![
                Column::new("id", DataType::nullable(LogicalType::BigInt)),
                Column::new("name", DataType::string()),
                Column::new("price", DataType::nullable(LogicalType::Decimal(10, 2))),
            ]
        };
        let options = [
            ("rows-per-second", "1000000"),
            ("fields.id.kind", "sequence"),
            ("fields.id.start", "5"),
            ("fields.id.end", "24"),
        ];
        let source = source(columns(), &options).unwrap();
        assert!(source.source.is_bounded());
        let join = |batches: &[RecordBatch]| arrow::compute::concat_batches(&batches[0].schema(), batches).unwrap();
        let all = join(&read(&source, &SplitOffsets::new()));
        assert_eq!(all.num_rows(), 20);
        let rest = join(&read(&source, &SplitOffsets::from([(split(), Offset("7".into()))])));
        assert_eq!(all.slice(7, 13), rest);
    }

    #[test]
    fn an_option_for_no_column_is_refused_with_the_nearest() {
        let columns = vec![Column::new("price", DataType::nullable(LogicalType::Int))];
        let errors = source(columns, &[("fields.prise.min", "1")]).err().unwrap();
        assert_eq!(errors[0].hint.as_deref(), Some("did you mean column 'price'?"));
    }
}
