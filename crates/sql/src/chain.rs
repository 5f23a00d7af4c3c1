//! Stateless chains: what happens to a batch between its source and its sink or exchange.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType as ArrowType, SchemaRef};
use starweir_model::{ChangeBatch, Error, LogicalType, Result, RowKind, RowKinds, Schema};

use crate::eval::text::timestamp_nanos;
use crate::eval::{EvalContext, Node, Typed, arrow_error, as_bool, cast, with_arrow_type};
use crate::stack::with_room;

/// What to do with a NULL for a column that is NOT NULL (`table.exec.sink.not-null-enforcer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNullEnforcer {
    /// The job stops with an error.
    Error,
    /// The row is left out.
    Drop,
}

/// How a step of a chain changes the rows.
#[derive(Clone)]
pub(crate) enum Step {
    /// New columns in place of all.
    Project { exprs: Vec<Typed>, names: Vec<String> },
    /// Rows for which the condition is TRUE.
    Filter(Typed),
    /// Follows event time: the largest value of the expression is the watermark.
    Watermark(Typed),
    /// One row per element; the element's columns stand behind the row's.
    Unnest(Unnest),
    /// No NULL in these columns.
    NotNull { columns: Vec<(usize, String)>, enforcer: NotNullEnforcer },
}

/// UNNEST of an array, map or multiset.
#[derive(Clone)]
pub(crate) struct Unnest {
    pub expr: Typed,
    /// LEFT JOIN … ON TRUE: a row without elements stays, with NULLs.
    pub outer: bool,
    /// A column with the element's number, from 1.
    pub ordinality: bool,
    /// Types of the columns that are added.
    pub added: Schema,
}

/// Steps over one input. Shared freely; only the watermark is state, and only the chain's own
/// maximum: [`Chain::fork`] gives one with a watermark of its own, for another split.
pub struct Chain {
    steps: Arc<Vec<Step>>,
    schema: Schema,
    arrow_schema: SchemaRef,
    input_names: Arc<Vec<String>>,
    watermark_ms: AtomicI64,
    /// How deep the expressions nest.
    nesting: usize,
    /// See [`Chain::of_upserts`].
    of_upserts: bool,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        Self {
            steps: Arc::clone(&self.steps),
            schema: self.schema.clone(),
            arrow_schema: Arc::clone(&self.arrow_schema),
            input_names: Arc::clone(&self.input_names),
            watermark_ms: AtomicI64::new(self.watermark_ms.load(Ordering::Relaxed)),
            nesting: self.nesting,
            of_upserts: self.of_upserts,
        }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.describe()).finish()
    }
}

impl Chain {
    pub(crate) fn new(steps: Vec<Step>, schema: Schema, input_names: Vec<String>) -> Self {
        let arrow_schema = schema.to_arrow();
        let depth = |step: &Step| match step {
            Step::Project { exprs, .. } => exprs.iter().map(Typed::depth).max().unwrap_or(0),
            Step::Filter(e) | Step::Watermark(e) => e.depth(),
            Step::Unnest(unnest) => unnest.expr.depth(),
            Step::NotNull { .. } => 0,
        };
        // One level of evaluation needs far less of the stack than one of planning.
        let nesting = steps.iter().map(depth).max().unwrap_or(0) / 8;
        Self {
            nesting,
            steps: Arc::new(steps),
            schema,
            arrow_schema,
            input_names: Arc::new(input_names),
            watermark_ms: AtomicI64::new(i64::MIN),
            of_upserts: false,
        }
    }

    /// The same steps for changes by key that come without their old rows, and whose deletes may hold nothing but the
    /// key. A filter turns the rows that it would leave out into deletes: what the key had before may have passed it.
    #[must_use]
    pub fn of_upserts(mut self) -> Self {
        self.of_upserts = true;
        self
    }

    /// The columns of the result.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// True when a batch passes unchanged.
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// True when the chain follows event time.
    pub fn has_watermark(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Watermark(_)))
    }

    /// The input's columns that a column of the result is computed from.
    pub fn inputs_of(&self, column: usize) -> BTreeSet<usize> {
        let mut from = BTreeSet::from([column]);
        for step in self.steps.iter().rev() {
            if let Step::Project { exprs, .. } = step {
                let mut before = BTreeSet::new();
                from.iter().filter_map(|at| exprs.get(*at)).for_each(|expr| expr.used_columns(&mut before));
                from = before;
            }
        }
        from
    }

    /// True when a row may become several.
    pub fn has_unnest(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Unnest(_)))
    }

    /// The same steps with a watermark that begins anew.
    pub fn fork(&self) -> Self {
        let fork = self.clone();
        fork.watermark_ms.store(i64::MIN, Ordering::Relaxed);
        fork
    }

    /// The watermark so far, in milliseconds; `None` before the first row with an event time.
    pub fn watermark_ms(&self) -> Option<i64> {
        Some(self.watermark_ms.load(Ordering::Relaxed)).filter(|w| *w != i64::MIN)
    }

    /// Continues from a watermark that a checkpoint kept.
    pub fn restore_watermark(&self, watermark_ms: Option<i64>) {
        self.watermark_ms.store(watermark_ms.unwrap_or(i64::MIN), Ordering::Relaxed);
    }

    /// The steps in words, one per line; the same plan gives the same lines.
    pub fn describe(&self) -> Vec<String> {
        let mut names = self.input_names.as_ref().clone();
        let mut lines = Vec::new();
        for step in self.steps.iter() {
            match step {
                Step::Project { exprs, names: new_names } => {
                    let columns: Vec<_> = exprs
                        .iter()
                        .zip(new_names)
                        .map(|(e, n)| {
                            let text = e.describe(&names);
                            if text == *n { text } else { format!("{text} AS {n}") }
                        })
                        .collect();
                    lines.push(format!("project {}", columns.join(", ")));
                    names.clone_from(new_names);
                }
                Step::Filter(condition) => lines.push(format!("filter {}", condition.describe(&names))),
                Step::Watermark(expr) => lines.push(format!("watermark {}", expr.describe(&names))),
                Step::Unnest(unnest) => {
                    let kind = if unnest.outer { "unnest (left)" } else { "unnest" };
                    lines.push(format!("{kind} {}", unnest.expr.describe(&names)));
                    names.extend(unnest.added.columns.iter().map(|c| c.name.clone()));
                }
                Step::NotNull { columns, enforcer } => {
                    let columns: Vec<_> = columns.iter().map(|(_, n)| n.as_str()).collect();
                    let verb = if *enforcer == NotNullEnforcer::Error { "refuse" } else { "drop rows with" };
                    lines.push(format!("{verb} NULL in {}", columns.join(", ")));
                }
            }
        }
        lines
    }

    /// Runs the steps over a batch. Row kinds stay with their rows; the result's watermark is the
    /// larger of the input's and the chain's own.
    ///
    /// # Errors
    /// `Data` for a value that has no result (such as text that is no number), `Internal` for a
    /// batch that does not have the scan's columns.
    pub fn apply(&self, ctx: &EvalContext, input: ChangeBatch) -> Result<ChangeBatch> {
        with_room(self.nesting, || self.run(ctx, input))
    }

    fn run(&self, ctx: &EvalContext, input: ChangeBatch) -> Result<ChangeBatch> {
        let mut rows = input.batch.num_rows();
        let mut columns = input.batch.columns().to_vec();
        let mut kinds = input.kinds;
        let mut watermark_ms = input.watermark_ms;
        for step in self.steps.iter() {
            match step {
                Step::Project { exprs, .. } => {
                    columns = exprs.iter().map(|e| e.eval(ctx, &columns, rows)).collect::<Result<Vec<_>>>()?;
                }
                Step::Filter(condition) => {
                    let mask = as_bool(&condition.eval(ctx, &columns, rows)?)?;
                    if self.of_upserts {
                        kinds = delete_others(&mask, kinds);
                    } else {
                        (columns, kinds, rows) = keep(&mask, columns, kinds, rows)?;
                    }
                }
                Step::Watermark(expr) => {
                    let times = expr.eval(ctx, &columns, rows)?;
                    let largest =
                        (0..rows).filter(|r| times.is_valid(*r)).map(|r| timestamp_nanos(times.as_ref(), r)).max();
                    if let Some(largest) = largest {
                        self.watermark_ms.fetch_max(cast::nanos_to_millis(largest), Ordering::Relaxed);
                    }
                    if let Some(own) = self.watermark_ms() {
                        watermark_ms = Some(watermark_ms.map_or(own, |w| w.max(own)));
                    }
                }
                Step::Unnest(unnest) => {
                    (columns, kinds, rows) = unnest.apply(ctx, columns, kinds, rows)?;
                }
                Step::NotNull { columns: checked, enforcer } => {
                    // A deleted row of upserts may hold nothing but its key.
                    let counts = |row: usize| !(self.of_upserts && kinds.at(row) == RowKind::Delete);
                    let bad = checked.iter().find(|(i, _)| {
                        let nulls = columns[*i].logical_nulls().filter(|nulls| nulls.null_count() > 0);
                        nulls.is_some_and(|nulls| (0..rows).any(|row| nulls.is_null(row) && counts(row)))
                    });
                    if let Some((_, name)) = bad {
                        if *enforcer == NotNullEnforcer::Error {
                            return Err(Error::data(format!(
                                "column '{name}' is NOT NULL, but a NULL would be written into it"
                            ))
                            .with_hint("SET 'table.exec.sink.not-null-enforcer' = 'DROP' leaves such rows out"));
                        }
                        let whole = |row: usize| checked.iter().all(|(i, _)| columns[*i].is_valid(row));
                        let mask: BooleanArray = (0..rows).map(|row| Some(!counts(row) || whole(row))).collect();
                        (columns, kinds, rows) = keep(&mask, columns, kinds, rows)?;
                    }
                }
            }
        }
        let batch = self.finish(columns, rows)?;
        Ok(ChangeBatch { batch, kinds, watermark_ms })
    }

    fn finish(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        if columns.len() != self.arrow_schema.fields().len() {
            return Err(Error::internal("a batch does not have the columns its plan states"));
        }
        let columns = columns
            .into_iter()
            .zip(self.arrow_schema.fields())
            .map(
                |(c, f)| {
                    if c.data_type() == f.data_type() { Ok(c) } else { with_arrow_type(&c, f.data_type()).or(Ok(c)) }
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let exact = self
            .arrow_schema
            .fields()
            .iter()
            .zip(&columns)
            .all(|(f, c)| f.data_type() == c.data_type() && (f.is_nullable() || c.null_count() == 0));
        if exact {
            return RecordBatch::try_new_with_options(Arc::clone(&self.arrow_schema), columns, &options)
                .map_err(arrow_error);
        }
        // A decimal that overflowed is NULL under a type that says NOT NULL (Flink does the same).
        let fields: Vec<_> = self
            .arrow_schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(f, c)| {
                arrow::datatypes::Field::new(
                    f.name(),
                    c.data_type().clone(),
                    f.is_nullable() || c.logical_null_count() > 0,
                )
            })
            .collect();
        RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::new(fields)), columns, &options)
            .map_err(arrow_error)
    }
}

type Rows = (Vec<ArrayRef>, RowKinds, usize);

fn keep(mask: &BooleanArray, columns: Vec<ArrayRef>, kinds: RowKinds, rows: usize) -> Result<Rows> {
    let selected = mask.iter().filter(|v| *v == Some(true)).count();
    if selected == rows {
        return Ok((columns, kinds, rows));
    }
    let predicate = compute::FilterBuilder::new(mask).optimize().build();
    let columns = columns.iter().map(|c| predicate.filter(c).map_err(arrow_error)).collect::<Result<Vec<_>>>()?;
    let kinds = match kinds {
        RowKinds::AllInsert => RowKinds::AllInsert,
        RowKinds::Each(each) => RowKinds::from_vec(
            each.into_iter().zip(mask.iter()).filter(|(_, m)| *m == Some(true)).map(|(k, _)| k).collect(),
        ),
    };
    Ok((columns, kinds, selected))
}

/// Row kinds where every row that is not in the mask deletes.
fn delete_others(mask: &BooleanArray, kinds: RowKinds) -> RowKinds {
    let kind = |(row, kept): (usize, Option<bool>)| if kept == Some(true) { kinds.at(row) } else { RowKind::Delete };
    RowKinds::from_vec(mask.iter().enumerate().map(kind).collect())
}

impl Unnest {
    fn apply(&self, ctx: &EvalContext, columns: Vec<ArrayRef>, kinds: RowKinds, rows: usize) -> Result<Rows> {
        let nested = self.expr.eval(ctx, &columns, rows)?;
        let multiset = matches!(self.expr.data_type.logical, LogicalType::Multiset(_));
        let (offsets, elements): (Vec<i32>, Vec<ArrayRef>) = match nested.data_type() {
            ArrowType::List(_) => {
                let list = nested.as_list::<i32>();
                (list.offsets().to_vec(), vec![Arc::clone(list.values())])
            }
            ArrowType::Map(_, _) => {
                let map = nested.as_map();
                (map.offsets().to_vec(), vec![Arc::clone(map.keys()), Arc::clone(map.values())])
            }
            ArrowType::Null => (vec![0; rows + 1], Vec::new()),
            other => return Err(Error::internal(format!("UNNEST of {other}"))),
        };
        // Which row and which element each result row is made of.
        let mut parents: Vec<u32> = Vec::new();
        let mut places: Vec<Option<u32>> = Vec::new();
        let mut ordinals: Vec<Option<i32>> = Vec::new();
        for row in 0..rows {
            let before = parents.len();
            if nested.is_valid(row) && nested.data_type() != &ArrowType::Null {
                let mut ordinal = 0;
                for at in offsets[row]..offsets[row + 1] {
                    let times = if multiset {
                        elements[1].as_primitive::<arrow::datatypes::Int32Type>().value(at as usize).max(0)
                    } else {
                        1
                    };
                    for _ in 0..times {
                        ordinal += 1;
                        parents.push(row as u32);
                        places.push(Some(at as u32));
                        ordinals.push(Some(ordinal));
                    }
                }
            }
            if self.outer && parents.len() == before {
                parents.push(row as u32);
                places.push(None);
                ordinals.push(None);
            }
        }
        let count = parents.len();
        let kinds = match kinds {
            RowKinds::AllInsert => RowKinds::AllInsert,
            RowKinds::Each(each) => RowKinds::Each(parents.iter().map(|p| each[*p as usize]).collect()),
        };
        let parents = UInt32Array::from(parents);
        let places = UInt32Array::from(places);
        let mut out = columns
            .iter()
            .map(|c| compute::take(c, &parents, None).map_err(arrow_error))
            .collect::<Result<Vec<_>>>()?;
        let mut added: Vec<ArrayRef> = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            if multiset && index == 1 {
                continue;
            }
            let taken = compute::take(element, &places, None).map_err(arrow_error)?;
            let expand = matches!(nested.data_type(), ArrowType::List(_)) || multiset;
            if let (ArrowType::Struct(_), true) = (taken.data_type(), expand) {
                let row = taken.as_struct();
                for column in row.columns() {
                    added.push(match row.nulls() {
                        None => Arc::clone(column),
                        Some(nulls) => {
                            compute::nullif(column, &BooleanArray::new(!nulls.inner(), None)).map_err(arrow_error)?
                        }
                    });
                }
            } else {
                added.push(taken);
            }
        }
        if self.ordinality {
            added.push(Arc::new(Int32Array::from(ordinals)));
        }
        if elements.is_empty() {
            added = self
                .added
                .columns
                .iter()
                .map(|c| arrow::array::new_null_array(&c.data_type.to_arrow(), count))
                .collect();
        }
        out.extend(added);
        Ok((out, kinds, count))
    }
}

/// Builds a chain's steps: merges what is trivial, and at the end drops what nobody reads.
#[derive(Clone, Default)]
pub(crate) struct ChainBuilder {
    pub steps: Vec<Step>,
}

/// Input positions of a projection that only picks columns.
fn picks(exprs: &[Typed]) -> Option<Vec<usize>> {
    exprs
        .iter()
        .map(|e| match e.node {
            Node::Column(index) => Some(index),
            _ => None,
        })
        .collect()
}

impl ChainBuilder {
    pub fn project(&mut self, mut exprs: Vec<Typed>, names: Vec<String>) {
        if let Some(Step::Project { exprs: inner, .. }) = self.steps.last()
            && let Some(map) = picks(inner)
        {
            for expr in &mut exprs {
                expr.map_columns(&|i| map.get(i).copied().unwrap_or(i));
            }
            self.steps.pop();
        } else if let (Some(Step::Project { exprs: inner, .. }), Some(map)) = (self.steps.last(), picks(&exprs)) {
            // Picking from computed columns: compute only those, when none is computed twice.
            let mut seen = BTreeSet::new();
            if map.iter().all(|i| seen.insert(*i) || matches!(inner[*i].node, Node::Column(_) | Node::Literal(_))) {
                let exprs: Vec<Typed> = map
                    .iter()
                    .zip(&exprs)
                    .map(|(i, outer)| Typed { data_type: outer.data_type.clone(), ..inner[*i].clone() })
                    .collect();
                self.steps.pop();
                self.project(exprs, names);
                return;
            }
        }
        self.steps.push(Step::Project { exprs, names });
    }

    pub fn filter(&mut self, mut condition: Typed) {
        // A condition over plain columns runs before the projection that computes others.
        if let Some(Step::Project { exprs, .. }) = self.steps.last() {
            let mut used = BTreeSet::new();
            condition.used_columns(&mut used);
            let map: Vec<Option<usize>> = exprs
                .iter()
                .map(|e| match e.node {
                    Node::Column(index) => Some(index),
                    _ => None,
                })
                .collect();
            if used.iter().all(|i| map.get(*i).copied().flatten().is_some())
                && let Some(project) = self.steps.pop()
            {
                condition.map_columns(&|i| map.get(i).copied().flatten().unwrap_or(i));
                self.filter(condition);
                self.steps.push(project);
                return;
            }
        }
        self.steps.push(Step::Filter(condition));
    }

    /// Drops unread columns. `width` is the number of input columns, `output` that of the result.
    /// Gives back the positions of the input columns that are read.
    pub fn prune(&mut self, width: usize, output: usize) -> Vec<usize> {
        // Widths at every boundary.
        let mut widths = vec![width];
        for step in &self.steps {
            let last = widths[widths.len() - 1];
            widths.push(match step {
                Step::Project { exprs, .. } => exprs.len(),
                Step::Unnest(unnest) => last + unnest.added.columns.len(),
                _ => last,
            });
        }
        let mut needed: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.steps.len() + 1];
        needed[self.steps.len()] = (0..output).collect();
        for i in (0..self.steps.len()).rev() {
            let after = needed[i + 1].clone();
            let mut before = BTreeSet::new();
            match &self.steps[i] {
                Step::Project { exprs, .. } => {
                    for out in &after {
                        if let Some(expr) = exprs.get(*out) {
                            expr.used_columns(&mut before);
                        }
                    }
                }
                Step::Filter(e) | Step::Watermark(e) => {
                    before = after;
                    e.used_columns(&mut before);
                }
                Step::Unnest(unnest) => {
                    before = after.into_iter().filter(|c| *c < widths[i]).collect();
                    unnest.expr.used_columns(&mut before);
                }
                Step::NotNull { columns, .. } => {
                    before = after;
                    before.extend(columns.iter().map(|(c, _)| *c));
                }
            }
            needed[i] = before;
        }
        let inputs: Vec<usize> = needed[0].iter().copied().collect();
        let mut map: Vec<usize> = vec![usize::MAX; width];
        for (new, old) in inputs.iter().enumerate() {
            if *old < width {
                map[*old] = new;
            }
        }
        let mut live = inputs.len();
        for (i, step) in self.steps.iter_mut().enumerate() {
            let renumber = |index: usize| map.get(index).copied().unwrap_or(usize::MAX);
            match step {
                Step::Project { exprs, names } => {
                    let keep = &needed[i + 1];
                    let mut next_map = vec![usize::MAX; exprs.len()];
                    let mut kept_exprs = Vec::with_capacity(keep.len());
                    let mut kept_names = Vec::with_capacity(keep.len());
                    for (old, (mut expr, name)) in exprs.drain(..).zip(names.drain(..)).enumerate() {
                        if keep.contains(&old) {
                            expr.map_columns(&renumber);
                            next_map[old] = kept_exprs.len();
                            kept_exprs.push(expr);
                            kept_names.push(name);
                        }
                    }
                    live = kept_exprs.len();
                    *exprs = kept_exprs;
                    *names = kept_names;
                    map = next_map;
                }
                Step::Filter(e) | Step::Watermark(e) => e.map_columns(&renumber),
                Step::Unnest(unnest) => {
                    unnest.expr.map_columns(&renumber);
                    let added = unnest.added.columns.len();
                    map.extend((0..added).map(|j| live + j));
                    live += added;
                }
                Step::NotNull { columns, .. } => {
                    for (c, _) in columns {
                        *c = renumber(*c);
                    }
                }
            }
        }
        // A last projection when columns are left over that nobody asked for, or stand elsewhere.
        let straight = live == output && map.iter().take(output).enumerate().all(|(i, m)| i == *m);
        if !straight && !matches!(self.steps.last(), Some(Step::Project { .. })) {
            let exprs = (0..output)
                .map(|i| {
                    let data_type = starweir_model::DataType::nullable(LogicalType::Null);
                    Typed::new(Node::Column(map.get(i).copied().unwrap_or(0)), data_type, 0..0)
                })
                .collect();
            self.steps.push(Step::Project { exprs, names: (0..output).map(|i| format!("${i}")).collect() });
        }
        inputs
    }
}
