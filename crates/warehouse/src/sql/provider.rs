//! Tables as DataFusion sees them: one version of a table, its live rows, projection, key look-ups
//! through the index and pruning of segments by their smallest and largest values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DfResult, ScalarValue, exec_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::catalog::TableDef;
use crate::store::table::{SegmentView, read_rows};
use crate::store::{Table, TableVersion};

/// Rows of one batch handed to a query.
const BATCH_ROWS: usize = 8192;
/// Scan streams of a table with more rows than one batch.
const STREAMS: usize = 2;

/// Column names are lower case for planning; names in results are put back by the session.
pub fn planning_schema(def: &TableDef) -> SchemaRef {
    Arc::new(Schema::new(
        def.columns.iter().map(|c| c.sql_type.field(&c.name.to_lowercase(), true)).collect::<Vec<_>>(),
    ))
}

/// One version of a table.
#[derive(Debug)]
pub struct WarehouseTable {
    table: Arc<Table>,
    version: Arc<TableVersion>,
    schema: SchemaRef,
}

impl WarehouseTable {
    pub fn new(table: Arc<Table>, version: Arc<TableVersion>) -> Self {
        let schema = planning_schema(&version.def);
        Self { table, version, schema }
    }

    /// `[low, high]` bounds that the filters put on columns the store has zones for.
    fn zones(&self, filters: &[Expr]) -> Vec<(u32, i64, i64)> {
        let mut out = Vec::new();
        for filter in filters {
            collect_zones(filter, &self.version.def, &mut out);
        }
        out
    }

    /// Values for every key column, when the filters fix all of them.
    fn keys(&self, filters: &[Expr]) -> Option<Vec<ArrayRef>> {
        let def = &self.version.def;
        if !def.model.is_keyed() {
            return None;
        }
        let mut found: HashMap<String, Vec<ScalarValue>> = HashMap::new();
        for filter in filters {
            if let Some((column, values)) = fixed_values(filter) {
                found.entry(column).or_insert(values);
            }
        }
        let lists: Vec<&Vec<ScalarValue>> =
            def.keys().map(|c| found.get(&c.name.to_lowercase())).collect::<Option<_>>()?;
        let combinations = lists.iter().map(|l| l.len()).product::<usize>();
        if combinations == 0 || combinations > 10_000 {
            return None;
        }
        let mut columns = Vec::new();
        let mut repeat = combinations;
        for (list, column) in lists.iter().zip(def.keys()) {
            repeat /= list.len();
            let wanted = column.sql_type.arrow();
            let values: Vec<ScalarValue> = (0..combinations)
                .map(|i| list[i / repeat % list.len()].cast_to(&wanted).ok())
                .collect::<Option<_>>()?;
            columns.push(ScalarValue::iter_to_array(values).ok()?);
        }
        Some(columns)
    }
}

fn column_name(e: &Expr) -> Option<&str> {
    match e {
        Expr::Column(c) => Some(&c.name),
        _ => None,
    }
}

fn literal(e: &Expr) -> Option<&ScalarValue> {
    match e {
        Expr::Literal(v, _) if !v.is_null() => Some(v),
        _ => None,
    }
}

/// `column = value` or `column IN (values)`.
fn fixed_values(e: &Expr) -> Option<(String, Vec<ScalarValue>)> {
    match e {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (c, v) = match (column_name(left), literal(right)) {
                (Some(c), Some(v)) => (c, v),
                _ => (column_name(right)?, literal(left)?),
            };
            Some((c.to_string(), vec![v.clone()]))
        }
        Expr::InList(list) if !list.negated => {
            let c = column_name(&list.expr)?;
            let values: Vec<ScalarValue> = list.list.iter().map(|e| literal(e).cloned()).collect::<Option<_>>()?;
            let mut unique: Vec<ScalarValue> = Vec::new();
            for v in values {
                if !unique.contains(&v) {
                    unique.push(v);
                }
            }
            Some((c.to_string(), unique))
        }
        // `a = 1 OR a = 2`, which the optimizer makes of a short IN list.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (a, mut va) = fixed_values(left)?;
            let (b, vb) = fixed_values(right)?;
            if a != b {
                return None;
            }
            for v in vb {
                if !va.contains(&v) {
                    va.push(v);
                }
            }
            Some((a, va))
        }
        _ => None,
    }
}

fn zone_value(v: &ScalarValue) -> Option<i64> {
    Some(match v {
        ScalarValue::Int8(Some(v)) => i64::from(*v),
        ScalarValue::Int16(Some(v)) => i64::from(*v),
        ScalarValue::Int32(Some(v)) => i64::from(*v),
        ScalarValue::Int64(Some(v)) => *v,
        ScalarValue::Date32(Some(v)) => i64::from(*v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => *v,
        _ => return None,
    })
}

fn collect_zones(e: &Expr, def: &TableDef, out: &mut Vec<(u32, i64, i64)>) {
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = e {
        if *op == Operator::And {
            collect_zones(left, def, out);
            collect_zones(right, def, out);
            return;
        }
        let (name, value, flipped) = match (column_name(left), literal(right)) {
            (Some(c), Some(v)) => (c, v, false),
            _ => match (column_name(right), literal(left)) {
                (Some(c), Some(v)) => (c, v, true),
                _ => return,
            },
        };
        let Some(column) = def.column(name) else { return };
        // A bound only means the same as the stored value when the types agree.
        if !column.sql_type.fits_zone_map() || value.data_type() != column.sql_type.arrow() {
            return;
        }
        let Some(v) = zone_value(value) else { return };
        let bounds = match (op, flipped) {
            (Operator::Eq, _) => (v, v),
            (Operator::Lt | Operator::LtEq, false) | (Operator::Gt | Operator::GtEq, true) => (i64::MIN, v),
            (Operator::Gt | Operator::GtEq, false) | (Operator::Lt | Operator::LtEq, true) => (v, i64::MAX),
            _ => return,
        };
        out.push((column.id, bounds.0, bounds.1));
    }
}

#[async_trait]
impl TableProvider for WarehouseTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        // All are checked again above the scan; here they only save reading.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            Some(p) => p.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema: SchemaRef = Arc::new(self.schema.project(&columns)?);
        let mut work: Vec<Work> = Vec::new();
        let found = self.keys(filters).and_then(|keys| self.table.find(&self.version, &keys));
        match found {
            Some(rows) => {
                let mut by_segment: HashMap<u64, Vec<u32>> = HashMap::new();
                for (segment, row) in rows {
                    by_segment.entry(segment).or_default().push(row);
                }
                for (segment, mut rows) in by_segment {
                    if let Some(view) = self.version.segment(segment) {
                        rows.sort_unstable();
                        work.push(Work { view: view.clone(), from: 0, to: 0, rows: Some(rows) });
                    }
                }
            }
            None => {
                let zones = self.zones(filters);
                for view in &self.version.segments {
                    if !zones.iter().all(|(c, low, high)| {
                        // A zone speaks of the stored type; a column whose type changed is not pruned.
                        match view.segment.column(*c) {
                            Some(a)
                                if self
                                    .version
                                    .def
                                    .columns
                                    .iter()
                                    .any(|d| d.id == *c && d.sql_type.arrow() == *a.data_type()) =>
                            {
                                view.segment.may_contain(*c, *low, *high)
                            }
                            _ => true,
                        }
                    }) {
                        continue;
                    }
                    let mut from = 0;
                    while from < view.segment.rows() {
                        work.push(Work { view: view.clone(), from, to: from + BATCH_ROWS, rows: None });
                        from += BATCH_ROWS;
                    }
                }
            }
        }
        let streams = if work.len() > 1 { STREAMS } else { 1 };
        let per_stream = work.len().div_ceil(streams).max(1);
        let mut partitions: Vec<Arc<dyn PartitionStream>> = work
            .chunks(per_stream)
            .map(|w| {
                Arc::new(Scan {
                    def: self.version.def.clone(),
                    schema: schema.clone(),
                    columns: columns.clone(),
                    work: w.to_vec(),
                }) as Arc<dyn PartitionStream>
            })
            .collect();
        if partitions.is_empty() {
            partitions.push(Arc::new(Scan {
                def: self.version.def.clone(),
                schema: schema.clone(),
                columns,
                work: Vec::new(),
            }));
        }
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, None, false, limit)?))
    }
}

#[derive(Debug, Clone)]
struct Work {
    view: SegmentView,
    from: usize,
    to: usize,
    /// Only these rows (found through the index).
    rows: Option<Vec<u32>>,
}

#[derive(Debug)]
struct Scan {
    def: Arc<TableDef>,
    schema: SchemaRef,
    columns: Vec<usize>,
    work: Vec<Work>,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (def, schema, columns) = (self.def.clone(), self.schema.clone(), self.columns.clone());
        let work = self.work.clone();
        let batches = work.into_iter().map(move |w| read(&w, &def, &schema, &columns));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}

fn read(w: &Work, def: &TableDef, schema: &SchemaRef, columns: &[usize]) -> DfResult<RecordBatch> {
    let wrong = |e: starweir_model::Error| exec_datafusion_err!("{}", e.chain());
    match &w.rows {
        None => read_rows(&w.view, def, schema, columns, w.from, w.to).map_err(wrong),
        Some(rows) => {
            // Rows the index names are alive; the bitmap is not asked again.
            let alive = SegmentView { segment: w.view.segment.clone(), deleted: None };
            let first = rows.first().copied().unwrap_or(0) as usize;
            let last = rows.last().copied().unwrap_or(0) as usize + 1;
            let batch = read_rows(&alive, def, schema, columns, first, last).map_err(wrong)?;
            let picks = UInt32Array::from(rows.iter().map(|r| r - first as u32).collect::<Vec<_>>());
            if columns.is_empty() {
                return Ok(RecordBatch::try_new_with_options(
                    schema.clone(),
                    Vec::new(),
                    &arrow::array::RecordBatchOptions::new().with_row_count(Some(picks.len())),
                )?);
            }
            Ok(arrow::compute::take_record_batch(&batch, &picks)?)
        }
    }
}
