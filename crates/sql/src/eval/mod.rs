//! Typed expressions and their evaluation over Arrow columns.
//!
//! A [`Typed`] tree is built once by the binder; evaluation walks it once per batch. Constants
//! stay arrays of one value (`Val::scalar`), branches of CASE and the right sides of AND and OR
//! that may fail are evaluated only for the rows that reach them, as Flink's generated code does.

pub mod cast;
pub mod compare;
pub mod decimal;
pub mod text;
pub mod time;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, new_null_array};
use arrow::compute;
use starweir_model::{DataType, Error, LogicalType, Result};

use crate::diagnostic::Span;
pub use time::Zone;

/// What evaluation may know of the outside: the time, the session's zone and a source of chance.
#[derive(Debug, Clone)]
pub struct EvalContext {
    /// Milliseconds since 1970-01-01 UTC; what CURRENT_TIMESTAMP, NOW and PROCTIME answer.
    pub now_ms: i64,
    /// `table.local-time-zone`.
    pub session_zone: Zone,
    /// State of the random numbers behind RAND and UUID; shared by clones.
    random: Arc<AtomicU64>,
}

impl EvalContext {
    /// `seed` decides what RAND and UUID give: a random one in production, a fixed one in tests.
    pub fn new(now_ms: i64, session_zone: Zone, seed: u64) -> Self {
        Self { now_ms, session_zone, random: Arc::new(AtomicU64::new(seed)) }
    }

    /// The same zone and chance at another time.
    pub fn at(&self, now_ms: i64) -> Self {
        Self { now_ms, session_zone: self.session_zone, random: Arc::clone(&self.random) }
    }

    /// 64 random bits (SplitMix64).
    pub(crate) fn next_random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Default for EvalContext {
    /// The beginning of 1970 in UTC, seed 0.
    fn default() -> Self {
        Self::new(0, Zone::UTC, 0)
    }
}

/// An argument of a kernel: a column, or one value that stands for every row.
#[derive(Debug, Clone)]
pub(crate) struct Val {
    pub array: ArrayRef,
    pub scalar: bool,
}

impl Val {
    /// The position of a row's value.
    pub fn at(&self, row: usize) -> usize {
        if self.scalar { 0 } else { row }
    }

    pub fn is_null(&self, row: usize) -> bool {
        // NullArray has no validity bitmap, but every value of it is NULL.
        self.array.is_null(self.at(row)) || self.array.data_type() == &arrow::datatypes::DataType::Null
    }

    /// As many values as there are rows.
    pub fn expand(&self, rows: usize) -> Result<ArrayRef> {
        if !self.scalar {
            return Ok(Arc::clone(&self.array));
        }
        repeat(&self.array, rows)
    }
}

/// One value, `rows` times.
pub(crate) fn repeat(array: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    if rows == 1 && array.len() == 1 {
        return Ok(Arc::clone(array));
    }
    if array.is_empty() || array.is_null(0) {
        return Ok(new_null_array(array.data_type(), rows));
    }
    let indices = Int64Array::from(vec![0i64; rows]);
    compute::take(array, &indices, None).map_err(arrow_error)
}

pub(crate) fn arrow_error(error: arrow::error::ArrowError) -> Error {
    Error::internal("a column could not be computed").with_source(error)
}

/// Computes a function over whole columns: `rows` results.
pub(crate) type Kernel = Arc<dyn Fn(&EvalContext, &[Val], usize) -> Result<ArrayRef> + Send + Sync>;

/// A checked expression with its type.
#[derive(Clone)]
pub(crate) struct Typed {
    pub node: Node,
    pub data_type: DataType,
    pub span: Span,
}

#[derive(Clone)]
pub(crate) enum Node {
    /// The input's column at this position.
    Column(usize),
    /// An array of one value.
    Literal(ArrayRef),
    Call(Box<CallNode>),
    And(Box<Typed>, Box<Typed>),
    Or(Box<Typed>, Box<Typed>),
    Case {
        whens: Vec<(Typed, Typed)>,
        otherwise: Box<Typed>,
    },
    /// The first that is not NULL; later ones are evaluated for the rows that need them.
    Coalesce(Vec<Typed>),
}

#[derive(Clone)]
pub(crate) struct CallNode {
    pub name: String,
    /// What distinguishes the call beyond its arguments (target type, unit, path options).
    pub detail: String,
    pub args: Vec<Typed>,
    pub kernel: Kernel,
    /// Gives another answer on every row or call.
    pub volatile: bool,
    /// Never fails: may be evaluated for rows that do not need it.
    pub total: bool,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe(&[]))
    }
}

impl Typed {
    pub fn new(node: Node, data_type: DataType, span: Span) -> Self {
        Self { node, data_type, span }
    }

    pub fn literal(array: ArrayRef, data_type: DataType, span: Span) -> Self {
        Self::new(Node::Literal(array), data_type, span)
    }

    pub fn null(span: Span) -> Self {
        Self::literal(new_null_array(&arrow::datatypes::DataType::Null, 1), DataType::nullable(LogicalType::Null), span)
    }

    pub fn call(name: impl Into<String>, args: Vec<Typed>, data_type: DataType, span: Span, kernel: Kernel) -> Self {
        let call = CallNode { name: name.into(), detail: String::new(), args, kernel, volatile: false, total: false };
        Self::new(Node::Call(Box::new(call)), data_type, span)
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        if let Node::Call(call) = &mut self.node {
            call.detail = detail.into();
        }
        self
    }

    pub fn total(mut self) -> Self {
        if let Node::Call(call) = &mut self.node {
            call.total = true;
        }
        self
    }

    pub fn volatile(mut self) -> Self {
        if let Node::Call(call) = &mut self.node {
            call.volatile = true;
        }
        self
    }

    pub fn as_literal(&self) -> Option<&ArrayRef> {
        match &self.node {
            Node::Literal(array) => Some(array),
            _ => None,
        }
    }

    /// The text of a character literal; `None` for NULL and everything else.
    pub fn literal_text(&self) -> Option<&str> {
        let array = self.as_literal()?;
        let strings = array.as_string_opt::<i32>()?;
        strings.is_valid(0).then(|| strings.value(0))
    }

    pub fn is_null_literal(&self) -> bool {
        self.data_type.logical == LogicalType::Null
    }

    fn children(&self) -> Vec<&Typed> {
        match &self.node {
            Node::Column(_) | Node::Literal(_) => Vec::new(),
            Node::Call(call) => call.args.iter().collect(),
            Node::And(a, b) | Node::Or(a, b) => vec![a, b],
            Node::Case { whens, otherwise } => {
                whens.iter().flat_map(|(w, t)| [w, t]).chain(std::iter::once(otherwise.as_ref())).collect()
            }
            Node::Coalesce(items) => items.iter().collect(),
        }
    }

    fn children_mut(&mut self) -> Vec<&mut Typed> {
        match &mut self.node {
            Node::Column(_) | Node::Literal(_) => Vec::new(),
            Node::Call(call) => call.args.iter_mut().collect(),
            Node::And(a, b) | Node::Or(a, b) => vec![a, b],
            Node::Case { whens, otherwise } => {
                whens.iter_mut().flat_map(|(w, t)| [w, t]).chain(std::iter::once(otherwise.as_mut())).collect()
            }
            Node::Coalesce(items) => items.iter_mut().collect(),
        }
    }

    /// Positions of the input columns that are read.
    pub fn used_columns(&self, used: &mut BTreeSet<usize>) {
        if let Node::Column(index) = &self.node {
            used.insert(*index);
        }
        for child in self.children() {
            child.used_columns(used);
        }
    }

    /// Renumbers the input columns.
    pub fn map_columns(&mut self, map: &dyn Fn(usize) -> usize) {
        if let Node::Column(index) = &mut self.node {
            *index = map(*index);
        }
        for child in self.children_mut() {
            child.map_columns(map);
        }
    }

    /// Levels of the tree.
    pub fn depth(&self) -> usize {
        1 + self.children().into_iter().map(Typed::depth).max().unwrap_or(0)
    }

    fn never_fails(&self) -> bool {
        match &self.node {
            Node::Call(call) if !call.total || call.volatile => false,
            _ => self.children().into_iter().all(Typed::never_fails),
        }
    }

    /// Text of the expression, stable from run to run; columns by name where names are given.
    pub fn describe(&self, names: &[String]) -> String {
        match &self.node {
            Node::Column(index) => names.get(*index).cloned().unwrap_or_else(|| format!("${index}")),
            Node::Literal(array) => match text::format_value(array, &self.data_type, 0, Zone::UTC) {
                None => "NULL".to_owned(),
                Some(value) if self.data_type.logical.is_character() => format!("'{}'", value.replace('\'', "''")),
                Some(value) => value,
            },
            Node::Call(call) => {
                let args: Vec<_> = call.args.iter().map(|a| a.describe(names)).collect();
                let infix = !call.name.starts_with(|c: char| c.is_alphabetic() || c == '$');
                if infix && args.len() == 2 {
                    return format!("({} {} {})", args[0], call.name, args[1]);
                }
                let detail = if call.detail.is_empty() { String::new() } else { format!(" {}", call.detail) };
                format!("{}({}{detail})", call.name, args.join(", "))
            }
            Node::And(a, b) => format!("({} AND {})", a.describe(names), b.describe(names)),
            Node::Or(a, b) => format!("({} OR {})", a.describe(names), b.describe(names)),
            Node::Case { whens, otherwise } => {
                let mut out = "CASE".to_owned();
                for (when, then) in whens {
                    out.push_str(&format!(" WHEN {} THEN {}", when.describe(names), then.describe(names)));
                }
                out.push_str(&format!(" ELSE {} END", otherwise.describe(names)));
                out
            }
            Node::Coalesce(items) => {
                format!("COALESCE({})", items.iter().map(|a| a.describe(names)).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// One value per row.
    pub fn eval(&self, ctx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.eval_val(ctx, columns, rows)?.expand(rows)
    }

    pub fn eval_val(&self, ctx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Val> {
        match &self.node {
            Node::Column(index) => {
                let array = columns
                    .get(*index)
                    .ok_or_else(|| Error::internal(format!("there is no column {index} in the batch")))?;
                Ok(Val { array: Arc::clone(array), scalar: false })
            }
            Node::Literal(array) => Ok(Val { array: Arc::clone(array), scalar: true }),
            Node::Call(call) => {
                let args = call.args.iter().map(|a| a.eval_val(ctx, columns, rows)).collect::<Result<Vec<_>>>()?;
                let scalar = !call.volatile && args.iter().all(|a| a.scalar);
                if scalar && rows > 0 {
                    return Ok(Val { array: (call.kernel)(ctx, &args, 1)?, scalar: true });
                }
                Ok(Val { array: (call.kernel)(ctx, &args, rows)?, scalar: false })
            }
            Node::And(a, b) => self.eval_logic(a, b, true, ctx, columns, rows),
            Node::Or(a, b) => self.eval_logic(a, b, false, ctx, columns, rows),
            Node::Case { whens, otherwise } => self.eval_case(whens, otherwise, ctx, columns, rows),
            Node::Coalesce(items) => self.eval_coalesce(items, ctx, columns, rows),
        }
    }

    fn eval_bool(&self, ctx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let array = self.eval(ctx, columns, rows)?;
        as_bool(&array)
    }

    fn eval_logic(
        &self,
        a: &Typed,
        b: &Typed,
        and: bool,
        ctx: &EvalContext,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Val> {
        let left = a.eval_bool(ctx, columns, rows)?;
        // The value that decides alone: FALSE for AND, TRUE for OR.
        let open = |i: usize| left.is_null(i) || left.value(i) == and;
        let open_count = (0..rows).filter(|i| open(*i)).count();
        let finish = |array: BooleanArray| Ok(Val { array: Arc::new(array) as ArrayRef, scalar: false });
        if open_count == 0 {
            return finish(left);
        }
        let right = if open_count == rows || b.never_fails() {
            b.eval_bool(ctx, columns, rows)?
        } else {
            let mask: BooleanArray = (0..rows).map(|i| Some(open(i))).collect();
            let part = b.eval_where(&mask, open_count, ctx, columns)?;
            let part = as_bool(&part)?;
            let mut next = 0;
            (0..rows)
                .map(|i| {
                    if open(i) {
                        next += 1;
                        part.is_valid(next - 1).then(|| part.value(next - 1))
                    } else {
                        None
                    }
                })
                .collect()
        };
        let combined = if and { compute::and_kleene(&left, &right) } else { compute::or_kleene(&left, &right) };
        finish(combined.map_err(arrow_error)?)
    }

    /// Evaluates for the rows of the mask only.
    fn eval_where(
        &self,
        mask: &BooleanArray,
        count: usize,
        ctx: &EvalContext,
        columns: &[ArrayRef],
    ) -> Result<ArrayRef> {
        let mut used = BTreeSet::new();
        self.used_columns(&mut used);
        let part = columns
            .iter()
            .enumerate()
            .map(
                |(i, c)| {
                    if used.contains(&i) { compute::filter(c, mask).map_err(arrow_error) } else { Ok(c.slice(0, 0)) }
                },
            )
            .collect::<Result<Vec<_>>>()?;
        self.eval(ctx, &part, count)
    }

    fn eval_case(
        &self,
        whens: &[(Typed, Typed)],
        otherwise: &Typed,
        ctx: &EvalContext,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Val> {
        // Which branch each row takes; u32::MAX: still open.
        let mut branch = vec![usize::MAX; rows];
        let mut open = rows;
        for (index, (when, _)) in whens.iter().enumerate() {
            if open == 0 {
                break;
            }
            let condition = if open == rows || when.never_fails() {
                let all = when.eval_bool(ctx, columns, rows)?;
                (0..rows).map(|i| all.is_valid(i) && all.value(i)).collect::<Vec<_>>()
            } else {
                let mask: BooleanArray = branch.iter().map(|b| Some(*b == usize::MAX)).collect();
                let part = as_bool(&when.eval_where(&mask, open, ctx, columns)?)?;
                let mut next = 0;
                branch
                    .iter()
                    .map(|b| {
                        if *b == usize::MAX {
                            next += 1;
                            part.is_valid(next - 1) && part.value(next - 1)
                        } else {
                            false
                        }
                    })
                    .collect()
            };
            for (row, yes) in condition.into_iter().enumerate() {
                if yes && branch[row] == usize::MAX {
                    branch[row] = index;
                    open -= 1;
                }
            }
        }
        let values = whens.iter().map(|(_, then)| then).chain(std::iter::once(otherwise)).collect::<Vec<_>>();
        for b in &mut branch {
            if *b == usize::MAX {
                *b = whens.len();
            }
        }
        self.merge(&values, &branch, ctx, columns, rows)
    }

    fn eval_coalesce(&self, items: &[Typed], ctx: &EvalContext, columns: &[ArrayRef], rows: usize) -> Result<Val> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut places: Vec<Option<(usize, usize)>> = vec![None; rows];
        let mut open = rows;
        for item in items {
            if open == 0 {
                break;
            }
            let mask: BooleanArray = places.iter().map(|p| Some(p.is_none())).collect();
            let part =
                if open == rows { item.eval(ctx, columns, rows)? } else { item.eval_where(&mask, open, ctx, columns)? };
            if open == rows && part.logical_null_count() == 0 && self.same_arrow(&part) {
                return Ok(Val { array: part, scalar: false });
            }
            let mut next = 0;
            for place in &mut places {
                if place.is_none() {
                    if !is_null_at(&part, next) {
                        *place = Some((parts.len(), next));
                        open -= 1;
                    }
                    next += 1;
                }
            }
            parts.push(part);
        }
        self.interleave(parts, places, rows)
    }

    fn same_arrow(&self, array: &ArrayRef) -> bool {
        *array.data_type() == self.data_type.to_arrow()
    }

    fn merge(
        &self,
        values: &[&Typed],
        branch: &[usize],
        ctx: &EvalContext,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Val> {
        let mut counts = vec![0usize; values.len()];
        for b in branch {
            counts[*b] += 1;
        }
        if let Some(only) = counts.iter().position(|c| *c == rows)
            && rows > 0
        {
            let array = values[only].eval(ctx, columns, rows)?;
            if self.same_arrow(&array) {
                return Ok(Val { array, scalar: false });
            }
        }
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut part_of = vec![usize::MAX; values.len()];
        for (index, value) in values.iter().enumerate() {
            if counts[index] == 0 {
                continue;
            }
            let mask: BooleanArray = branch.iter().map(|b| Some(*b == index)).collect();
            part_of[index] = parts.len();
            parts.push(value.eval_where(&mask, counts[index], ctx, columns)?);
        }
        let mut next = vec![0usize; values.len()];
        let places = branch
            .iter()
            .map(|b| {
                let place = (part_of[*b], next[*b]);
                next[*b] += 1;
                Some(place)
            })
            .collect();
        self.interleave(parts, places, rows)
    }

    fn interleave(&self, mut parts: Vec<ArrayRef>, places: Vec<Option<(usize, usize)>>, rows: usize) -> Result<Val> {
        let target = self.data_type.to_arrow();
        for part in &mut parts {
            if *part.data_type() != target {
                *part = with_arrow_type(part, &target)?;
            }
        }
        let null_part = parts.len();
        parts.push(new_null_array(&target, 1));
        let places: Vec<_> = places.into_iter().map(|p| p.unwrap_or((null_part, 0))).collect();
        let refs: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
        if rows == 0 {
            return Ok(Val { array: arrow::array::new_empty_array(&target), scalar: false });
        }
        Ok(Val { array: compute::interleave(&refs, &places).map_err(arrow_error)?, scalar: false })
    }
}

fn is_null_at(array: &ArrayRef, row: usize) -> bool {
    array.data_type() == &arrow::datatypes::DataType::Null || array.is_null(row)
}

pub(crate) fn as_bool(array: &ArrayRef) -> Result<BooleanArray> {
    if let Some(bools) = array.as_boolean_opt() {
        return Ok(bools.clone());
    }
    if array.data_type() == &arrow::datatypes::DataType::Null {
        return Ok(BooleanArray::new_null(array.len()));
    }
    Err(Error::internal(format!("a condition gave {} instead of BOOLEAN", array.data_type())))
}

/// Gives an array the exact Arrow type a schema states, where only names or nullability of nested
/// fields differ.
pub(crate) fn with_arrow_type(array: &ArrayRef, target: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    use arrow::datatypes::DataType as A;
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let same = match (array.data_type(), target) {
        (A::Null, _) => return Ok(new_null_array(target, array.len())),
        (A::List(_), A::List(_)) | (A::Map(_, _), A::Map(_, _)) => true,
        (A::Struct(a), A::Struct(b)) => a.len() == b.len(),
        _ => false,
    };
    if !same {
        return compute::cast(array, target).map_err(arrow_error);
    }
    rebuild(array, target)
}

fn rebuild(array: &ArrayRef, target: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    use arrow::array::{ListArray, MapArray, StructArray};
    use arrow::datatypes::DataType as A;
    match target {
        A::List(field) => {
            let list = array.as_list::<i32>();
            let values = with_arrow_type(list.values(), field.data_type())?;
            Ok(Arc::new(
                ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned())
                    .map_err(arrow_error)?,
            ))
        }
        A::Struct(fields) => {
            let row = array.as_struct();
            let columns = row
                .columns()
                .iter()
                .zip(fields)
                .map(|(c, f)| with_arrow_type(c, f.data_type()))
                .collect::<Result<Vec<_>>>()?;
            // NULL in a column that is stated NOT NULL (below a NULL row, or after an overflow) is kept
            // by stating the field as the row says only when it can be.
            let built = StructArray::try_new(fields.clone(), columns, row.nulls().cloned()).map_err(arrow_error)?;
            Ok(Arc::new(built))
        }
        A::Map(entries, sorted) => {
            let map = array.as_map();
            let inner: ArrayRef = Arc::new(map.entries().clone());
            let rebuilt = with_arrow_type(&inner, entries.data_type())?;
            Ok(Arc::new(
                MapArray::try_new(
                    Arc::clone(entries),
                    map.offsets().clone(),
                    rebuilt.as_struct().clone(),
                    map.nulls().cloned(),
                    *sorted,
                )
                .map_err(arrow_error)?,
            ))
        }
        _ => Err(Error::internal(format!("{} is not {target}", array.data_type()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_follow_the_seed() {
        let draw = |seed| {
            let ctx = EvalContext::new(0, Zone::UTC, seed);
            (ctx.next_random(), ctx.next_random())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
