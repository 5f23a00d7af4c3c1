//! Syntax to typed expressions: names, types and implicit conversions as Flink decides them.

use std::sync::Arc;

use arrow::array::*;
use starweir_model::{DataType, Field, LogicalType as L};

use super::scope::Scope;
use crate::ast::{self, BinaryOp, Expr, ExprKind, IsWhat, LikeKind};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::cast::{Caster, Mode, make_list, make_row, timestamps};
use crate::eval::compare::{self, Op};
use crate::eval::{EvalContext, Node, Typed, Val, arrow_error, time};
use crate::functions;
use crate::parser::Parse;
use crate::types;

/// Session options that decide what an expression means.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanSettings {
    /// `table.exec.legacy-cast-behaviour`.
    pub legacy_cast: bool,
    pub catalog: String,
    pub database: String,
}

impl PlanSettings {
    pub fn mode(&self) -> Mode {
        if self.legacy_cast { Mode::Legacy } else { Mode::Strict }
    }
}

/// Binds expressions over one scope.
pub(crate) struct ExprBinder<'a> {
    pub scope: &'a Scope,
    pub settings: &'a PlanSettings,
}

pub(crate) fn bool_type(nullable: bool) -> DataType {
    DataType { logical: L::Boolean, nullable }
}

fn one_string(text: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![text]))
}

pub(crate) fn int_literal(value: i32, span: Span) -> Typed {
    Typed::literal(Arc::new(Int32Array::from(vec![value])), DataType::not_null(L::Int), span)
}

pub(crate) fn string_literal(text: &str, span: Span) -> Typed {
    let length = text.chars().count() as u32;
    Typed::literal(one_string(text), DataType::not_null(L::Char(length)), span)
}

/// A conversion the user did not write: nothing when the types are the same.
pub(crate) fn convert(expr: Typed, target: &L) -> Typed {
    cast_with(expr, target, Mode::Strict)
}

pub(crate) fn cast_with(expr: Typed, target: &L, mode: Mode) -> Typed {
    if expr.data_type.logical == *target {
        return expr;
    }
    let span = expr.span.clone();
    if expr.is_null_literal() {
        let array = arrow::array::new_null_array(&target.to_arrow(), 1);
        return Typed::literal(array, DataType::nullable(target.clone()), span);
    }
    let from = expr.data_type.logical.clone();
    let to = target.clone();
    let nullable = expr.data_type.nullable || mode == Mode::Try;
    let data_type = DataType { logical: target.clone(), nullable };
    let widening = from.is_numeric() && to.is_numeric();
    let kernel = {
        let (from, to) = (from.clone(), to.clone());
        Arc::new(move |ctx: &EvalContext, args: &[Val], _: usize| {
            Caster { mode, zone: ctx.session_zone }.cast(&args[0].array, &from, &to)
        })
    };
    let name = match mode {
        Mode::Strict => "CAST",
        Mode::Try => "TRY_CAST",
        Mode::Legacy => "LEGACY_CAST",
    };
    // A literal of a fixed meaning is converted now.
    if let (Some(array), true) =
        (expr.as_literal(), !matches!(from, L::TimestampLtz(_)) && !matches!(to, L::TimestampLtz(_)))
        && let Ok(converted) = (Caster { mode, zone: time::Zone::UTC }).cast(array, &from, &to)
        && converted.logical_null_count() == array.logical_null_count()
    {
        return Typed::literal(converted, data_type, span);
    }
    let call = Typed::call(name, vec![expr], data_type, span, kernel).detail(format!("AS {to}"));
    if widening || mode == Mode::Try { call.total() } else { call }
}

/// Writes "x > y" for a comparison of operands that already have one type.
fn comparison(op: Op, left: Typed, right: Typed, span: Span) -> Typed {
    let nullable = left.data_type.nullable || right.data_type.nullable;
    Typed::call(
        op.symbol(),
        vec![left, right],
        bool_type(nullable),
        span,
        Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| compare::compare(op, &args[0], &args[1], rows)),
    )
    .total()
}

impl ExprBinder<'_> {
    pub fn bind(&self, expr: &Expr) -> Parse<Typed> {
        let span = expr.span.clone();
        match &expr.kind {
            ExprKind::Name(name) => self.name(name),
            ExprKind::Number(text) => number_literal(text, false, span),
            ExprKind::Str(text) => Ok(string_literal(text, span)),
            ExprKind::Bytes(bytes) => {
                let array: ArrayRef = Arc::new(BinaryArray::from_vec(vec![bytes.as_slice()]));
                Ok(Typed::literal(array, DataType::not_null(L::Binary(bytes.len() as u32)), span))
            }
            ExprKind::Bool(Some(value)) => {
                Ok(Typed::literal(Arc::new(BooleanArray::from(vec![*value])), bool_type(false), span))
            }
            ExprKind::Bool(None) => Ok(Typed::literal(Arc::new(BooleanArray::new_null(1)), bool_type(true), span)),
            ExprKind::Null => Ok(Typed::null(span)),
            ExprKind::Date(text) => {
                let days = strict_date(text).ok_or_else(|| {
                    Diagnostic::at(span.clone(), format!("'{text}' is no DATE")).with_hint("write DATE '2020-01-31'")
                })?;
                Ok(Typed::literal(Arc::new(Date32Array::from(vec![days as i32])), DataType::not_null(L::Date), span))
            }
            ExprKind::Time(text) => {
                let millis = strict_time(text).ok_or_else(|| {
                    Diagnostic::at(span.clone(), format!("'{text}' is no TIME")).with_hint("write TIME '13:05:09'")
                })?;
                // Flink types every TIME literal TIME(0) and keeps its milliseconds.
                let array = Arc::new(Time32MillisecondArray::from(vec![millis as i32]));
                Ok(Typed::literal(array, DataType::not_null(L::Time(0)), span))
            }
            ExprKind::Timestamp(text) => {
                let nanos = strict_timestamp(text).ok_or_else(|| {
                    Diagnostic::at(span.clone(), format!("'{text}' is no TIMESTAMP"))
                        .with_hint("write TIMESTAMP '2020-01-31 13:05:09.123'")
                })?;
                let digits = fraction_digits(text).min(9);
                let array = timestamps(std::iter::once(Some(nanos)), digits, false)
                    .map_err(|e| Diagnostic::at(span.clone(), e.message))?;
                Ok(Typed::literal(array, DataType::not_null(L::Timestamp(digits)), span))
            }
            ExprKind::Interval { value, negative, from, to } => {
                interval_literal(value, *negative, from, to.as_deref(), span)
            }
            ExprKind::Negate(inner) => self.negate(inner, span),
            ExprKind::Positive(inner) => {
                let inner = self.bind(inner)?;
                if !inner.data_type.logical.is_numeric()
                    && !types::is_interval(&inner.data_type.logical)
                    && !inner.is_null_literal()
                {
                    return Err(Diagnostic::at(span, format!("'+' does not apply to {}", inner.data_type.logical)));
                }
                Ok(inner)
            }
            ExprKind::Not(inner) => {
                let inner = self.condition(inner, "NOT")?;
                let nullable = inner.data_type.nullable;
                Ok(Typed::call(
                    "NOT",
                    vec![inner],
                    bool_type(nullable),
                    span,
                    Arc::new(|_: &EvalContext, args: &[Val], _: usize| {
                        let bools = crate::eval::as_bool(&args[0].array)?;
                        Ok(Arc::new(arrow::compute::not(&bools).map_err(arrow_error)?) as ArrayRef)
                    }),
                )
                .total())
            }
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, span),
            ExprKind::Is { expr, what, negated } => self.is(expr, *what, *negated, span),
            ExprKind::DistinctFrom { left, right, negated } => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                let (left, right) = self.comparable(left, right, &span)?;
                let negated = *negated;
                let name = if negated { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" };
                Ok(Typed::call(
                    name,
                    vec![left, right],
                    bool_type(false),
                    span,
                    Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                        let (l, r) = (&args[0], &args[1]);
                        Ok(Arc::new(
                            (0..rows)
                                .map(|row| {
                                    let same = compare::same(l.array.as_ref(), l.at(row), r.array.as_ref(), r.at(row));
                                    Some(same == negated)
                                })
                                .collect::<BooleanArray>(),
                        ) as ArrayRef)
                    }),
                )
                .total())
            }
            ExprKind::Between { expr, low, high, negated, symmetric } => {
                self.between(expr, low, high, *negated, *symmetric, span)
            }
            ExprKind::InList { expr, list, negated } => self.in_list(expr, list, *negated, span),
            ExprKind::Like { expr, pattern, escape, negated, kind } => {
                let args = [Some(expr), Some(pattern), escape.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|e| self.bind(e))
                    .collect::<Parse<Vec<_>>>()?;
                let name = match kind {
                    LikeKind::Like => "LIKE",
                    LikeKind::SimilarTo => "SIMILAR TO",
                    LikeKind::Rlike => "REGEXP",
                };
                let bound = functions::string::like(name, args, span.clone())?;
                if *negated { self.negated(bound, span) } else { Ok(bound) }
            }
            ExprKind::Case { operand, whens, otherwise } => {
                self.case(operand.as_deref(), whens, otherwise.as_deref(), span)
            }
            ExprKind::Cast { expr, target, is_try } => self.cast(expr, target, *is_try, span),
            ExprKind::Call(call) => self.call(call, span),
            ExprKind::Array(items) => self.array(items, span),
            ExprKind::Map(items) => self.map(items, span),
            ExprKind::Row(items) => self.row(items, span),
            ExprKind::Index { expr, index } => {
                let (base, index) = (self.bind(expr)?, self.bind(index)?);
                functions::collection::index(base, index, span)
            }
            ExprKind::Field { expr, field } => {
                let base = self.bind(expr)?;
                self.field(base, &field.name, field.span.clone())
            }
            ExprKind::Extract { unit, expr } => {
                let arg = self.bind(expr)?;
                functions::temporal::extract(unit, arg, span)
            }
            ExprKind::Round { ceil, unit, expr } => {
                let arg = self.bind(expr)?;
                functions::temporal::round_to(*ceil, unit, arg, span)
            }
            ExprKind::Trim { side, what, expr } => {
                let arg = self.bind(expr)?;
                let what = what.as_ref().map(|w| self.bind(w)).transpose()?;
                functions::string::trim(*side, what, arg, span)
            }
            ExprKind::Position { needle, haystack, from } => {
                let mut args = vec![self.bind(needle)?, self.bind(haystack)?];
                if let Some(from) = from {
                    args.push(self.bind(from)?);
                }
                functions::bind("POSITION", args, span, self.settings)
            }
            ExprKind::InQuery { .. } => Err(Diagnostic::unsupported(span, "IN with a query (a join)")),
            ExprKind::Exists(_) => Err(Diagnostic::unsupported(span, "EXISTS (a join)")),
            ExprKind::Subquery(_) => Err(Diagnostic::unsupported(span, "a query as a value (a join)")),
            ExprKind::Quantified { span, .. } => {
                Err(Diagnostic::unsupported(span.clone(), "a comparison with ANY, SOME or ALL"))
            }
            ExprKind::CollectionQuery(what) => Err(Diagnostic::unsupported(span, what)),
            ExprKind::Named { .. } => Err(Diagnostic::unsupported(span, "a named argument here")),
            ExprKind::Descriptor(_) | ExprKind::TableArg(_) => {
                Err(Diagnostic::at(span, "tables and DESCRIPTOR may only be arguments of a table function"))
            }
            ExprKind::Default => Err(Diagnostic::unsupported(span, "DEFAULT as a value")),
            ExprKind::Star => Err(Diagnostic::at(span, "'*' is no value")),
            ExprKind::Parameter => Err(Diagnostic::unsupported(span, "the parameter '?'")),
        }
    }

    fn negated(&self, inner: Typed, span: Span) -> Parse<Typed> {
        let nullable = inner.data_type.nullable;
        Ok(Typed::call(
            "NOT",
            vec![inner],
            bool_type(nullable),
            span,
            Arc::new(|_: &EvalContext, args: &[Val], _: usize| {
                let bools = crate::eval::as_bool(&args[0].array)?;
                Ok(Arc::new(arrow::compute::not(&bools).map_err(arrow_error)?) as ArrayRef)
            }),
        )
        .total())
    }

    fn name(&self, name: &ast::Name) -> Parse<Typed> {
        // PI and E are constants only with parentheses; nothing else is.
        let (index, fields) = self.scope.resolve(name)?;
        let span = name.span();
        let mut expr = self.scope.column(index, span.start..name.parts[name.parts.len() - fields.len() - 1].span.end);
        for field in fields {
            expr = self.field(expr, &field.name, field.span.clone())?;
        }
        Ok(expr)
    }

    /// `expr.field`.
    pub fn field(&self, base: Typed, field: &str, field_span: Span) -> Parse<Typed> {
        let L::Row(fields) = &base.data_type.logical else {
            return Err(Diagnostic::at(
                field_span,
                format!("{} has no field '{field}': it is no ROW", base.data_type.logical),
            ));
        };
        let Some(index) = fields.iter().position(|f| f.name == field) else {
            let known = fields.iter().map(|f| f.name.as_str());
            return Err(Diagnostic::at(field_span, format!("the row has no field '{field}'"))
                .with_label("unknown field")
                .with_nearest(field, known));
        };
        let data_type = fields[index].data_type.clone();
        let nullable = data_type.nullable || base.data_type.nullable;
        let span = base.span.start..field_span.end.max(base.span.start);
        Ok(Typed::call(
            "$FIELD",
            vec![base],
            data_type.with_nullable(nullable),
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], _: usize| {
                let row = args[0].array.as_struct();
                let column = row.column(index);
                let Some(nulls) = row.nulls() else { return Ok(Arc::clone(column)) };
                // NULL rows have NULL fields.
                let mask = BooleanArray::new(!nulls.inner(), None);
                arrow::compute::nullif(column, &mask).map_err(arrow_error)
            }),
        )
        .detail(field.to_owned())
        .total())
    }

    /// A BOOLEAN expression.
    pub fn condition(&self, expr: &Expr, what: &str) -> Parse<Typed> {
        let bound = self.bind(expr)?;
        if bound.is_null_literal() {
            return Ok(convert(bound, &L::Boolean));
        }
        if bound.data_type.logical != L::Boolean {
            return Err(Diagnostic::at(
                expr.span.clone(),
                format!("{what} takes a BOOLEAN, this is {}", bound.data_type.logical),
            )
            .with_label(bound.data_type.logical.to_string()));
        }
        Ok(bound)
    }

    fn negate(&self, inner: &Expr, span: Span) -> Parse<Typed> {
        if let ExprKind::Number(text) = &inner.kind {
            return number_literal(text, true, span);
        }
        let arg = self.bind(inner)?;
        let logical = arg.data_type.logical.clone();
        if arg.is_null_literal() {
            return Ok(convert(arg, &L::Int));
        }
        if !logical.is_numeric() && !types::is_interval(&logical) {
            return Err(Diagnostic::at(span, format!("'-' does not apply to {logical}")));
        }
        let data_type = arg.data_type.clone();
        Ok(Typed::call(
            "-",
            vec![arg],
            data_type,
            span,
            Arc::new(|_: &EvalContext, args: &[Val], _: usize| {
                if let Some(months) = args[0].array.as_primitive_opt::<arrow::datatypes::IntervalYearMonthType>() {
                    return Ok(Arc::new(months.unary::<_, arrow::datatypes::IntervalYearMonthType>(i32::wrapping_neg))
                        as ArrayRef);
                }
                if let Some(d) = args[0].array.as_primitive_opt::<arrow::datatypes::DurationMillisecondType>() {
                    return Ok(Arc::new(d.unary::<_, arrow::datatypes::DurationMillisecondType>(i64::wrapping_neg))
                        as ArrayRef);
                }
                arrow::compute::kernels::numeric::neg_wrapping(&args[0].array).map_err(arrow_error)
            }),
        )
        .total())
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Parse<Typed> {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let word = if op == BinaryOp::And { "AND" } else { "OR" };
                let (a, b) = (self.condition(left, word)?, self.condition(right, word)?);
                let data_type = bool_type(a.data_type.nullable || b.data_type.nullable);
                let (a, b) = (Box::new(a), Box::new(b));
                let node = if op == BinaryOp::And { Node::And(a, b) } else { Node::Or(a, b) };
                return Ok(Typed::new(node, data_type, span));
            }
            BinaryOp::Overlaps => {
                let period = |e: &Expr| -> Parse<(Typed, Typed)> {
                    match &e.kind {
                        ExprKind::Row(items) if items.len() == 2 => Ok((self.bind(&items[0])?, self.bind(&items[1])?)),
                        _ => Err(Diagnostic::at(
                            e.span.clone(),
                            "OVERLAPS takes a period: (start, end) or (start, interval)",
                        )),
                    }
                };
                let ((a, b), (c, d)) = (period(left)?, period(right)?);
                return functions::temporal::overlaps(a, b, c, d, span);
            }
            _ => {}
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let compare_op = match op {
            BinaryOp::Eq => Some(Op::Eq),
            BinaryOp::NotEq => Some(Op::NotEq),
            BinaryOp::Less => Some(Op::Less),
            BinaryOp::LessEq => Some(Op::LessEq),
            BinaryOp::Greater => Some(Op::Greater),
            BinaryOp::GreaterEq => Some(Op::GreaterEq),
            _ => None,
        };
        if let Some(op) = compare_op {
            return self.compare(op, left, right, span);
        }
        match op {
            BinaryOp::Plus => functions::math::arithmetic('+', left, right, span),
            BinaryOp::Minus => functions::math::arithmetic('-', left, right, span),
            BinaryOp::Multiply => functions::math::arithmetic('*', left, right, span),
            BinaryOp::Divide => functions::math::arithmetic('/', left, right, span),
            BinaryOp::Modulo => functions::math::arithmetic('%', left, right, span),
            _ => functions::string::concat_operator(left, right, span),
        }
    }

    fn compare(&self, op: Op, left: Typed, right: Typed, span: Span) -> Parse<Typed> {
        let nested = |l: &L| matches!(l, L::Array(_) | L::Map(..) | L::Multiset(_) | L::Row(_));
        if !matches!(op, Op::Eq | Op::NotEq) && nested(&left.data_type.logical) {
            return Err(Diagnostic::at(
                span,
                format!("{} can not be ordered with '{}'", left.data_type.logical, op.symbol()),
            ));
        }
        if let (Node::Column(a), Node::Column(b)) = (&left.node, &right.node)
            && a == b
            && matches!(op, Op::Eq | Op::LessEq | Op::GreaterEq)
        {
            // A column equals itself where it is not NULL, NaN too: the planner of Flink says so.
            let data_type = bool_type(left.data_type.nullable);
            let kernel = Arc::new(|_: &EvalContext, args: &[Val], rows: usize| {
                Ok(Arc::new((0..rows).map(|row| (!args[0].is_null(row)).then_some(true)).collect::<BooleanArray>())
                    as ArrayRef)
            });
            return Ok(Typed::call(op.symbol(), vec![left, right], data_type, span, kernel).total());
        }
        let (left, right) = self.comparable(left, right, &span)?;
        Ok(comparison(op, left, right, span))
    }

    /// Brings two operands of a comparison to one type.
    pub fn comparable(&self, left: Typed, right: Typed, span: &Span) -> Parse<(Typed, Typed)> {
        let (a, b) = (left.data_type.logical.clone(), right.data_type.logical.clone());
        if a == b {
            return Ok((left, right));
        }
        if a == L::Null {
            return Ok((convert(left, &b), right));
        }
        if b == L::Null {
            return Ok((left, convert(right, &a)));
        }
        let both = |target: &L, left: Typed, right: Typed| Ok((convert(left, target), convert(right, target)));
        let refused = || {
            Err(Diagnostic::at(span.clone(), format!("{a} and {b} can not be compared"))
                .with_hint("write a CAST around one of them"))
        };
        if a.is_numeric() && b.is_numeric() {
            // Decimals of different scales are compared exactly as they are.
            if matches!((&a, &b), (L::Decimal(..), L::Decimal(..))) {
                return Ok((left, right));
            }
            if let (Some((p1, s1)), Some((p2, s2))) = (types::as_decimal(&a), types::as_decimal(&b))
                && (matches!(a, L::Decimal(..)) || matches!(b, L::Decimal(..)))
            {
                let left = convert(left, &L::Decimal(p1, s1));
                let right = convert(right, &L::Decimal(p2, s2));
                return Ok((left, right));
            }
            if types::is_approximate(&a) && types::is_approximate(&b) {
                return both(&L::Double, left, right);
            }
            let Some(common) = types::common_number(&a, &b) else { return refused() };
            return both(&common, left, right);
        }
        if (a.is_character() && b.is_character()) || (a.is_binary() && b.is_binary()) {
            return Ok((left, right));
        }
        // A literal must be a value of the type; other text that is none equals nothing.
        let mode = |e: &Typed| if e.as_literal().is_some() { Mode::Strict } else { Mode::Try };
        if types::is_temporal(&a) && b.is_character() {
            let mode = mode(&right);
            return Ok((left, cast_with(right, &a, mode)));
        }
        if a.is_character() && types::is_temporal(&b) {
            let mode = mode(&left);
            return Ok((cast_with(left, &b, mode), right));
        }
        if (a == L::Boolean && b.is_character()) || (a.is_character() && b == L::Boolean) {
            // Flink compares the printed forms of different kinds, TRUE with its legacy text.
            let text =
                |e: Typed| if e.data_type.logical == L::Boolean { cast_with(e, &L::STRING, Mode::Strict) } else { e };
            return Ok((text(left), text(right)));
        }
        match (&a, &b) {
            (L::Timestamp(_), L::Timestamp(_))
            | (L::TimestampLtz(_), L::TimestampLtz(_))
            | (L::Timestamp(_), L::TimestampLtz(_))
            | (L::TimestampLtz(_), L::Timestamp(_))
            | (L::Time(_), L::Time(_)) => match types::common(&left.data_type, &right.data_type) {
                Some(common) => both(&common.logical, left, right),
                None => refused(),
            },
            (L::Array(_), L::Array(_))
            | (L::Map(..), L::Map(..))
            | (L::Multiset(_), L::Multiset(_))
            | (L::Row(_), L::Row(_)) => match types::common(&left.data_type, &right.data_type) {
                Some(common) => both(&common.logical, left, right),
                None => refused(),
            },
            _ => refused(),
        }
    }

    fn is(&self, expr: &Expr, what: IsWhat, negated: bool, span: Span) -> Parse<Typed> {
        let word = match what {
            IsWhat::Null => {
                let arg = self.bind(expr)?;
                let name = if negated { "IS NOT NULL" } else { "IS NULL" };
                return Ok(Typed::call(
                    name,
                    vec![arg],
                    bool_type(false),
                    span,
                    Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                        let arg = &args[0];
                        Ok(Arc::new((0..rows).map(|row| Some(arg.is_null(row) != negated)).collect::<BooleanArray>())
                            as ArrayRef)
                    }),
                )
                .total());
            }
            IsWhat::True => Some(true),
            IsWhat::False => Some(false),
            IsWhat::Unknown => None,
            _ => {
                let arg = self.bind(expr)?;
                return functions::json::is_json(arg, what, negated, span);
            }
        };
        let arg = self.condition(expr, "IS")?;
        let name = match (word, negated) {
            (Some(true), false) => "IS TRUE",
            (Some(true), true) => "IS NOT TRUE",
            (Some(false), false) => "IS FALSE",
            (Some(false), true) => "IS NOT FALSE",
            (None, false) => "IS UNKNOWN",
            (None, true) => "IS NOT UNKNOWN",
        };
        Ok(Typed::call(
            name,
            vec![arg],
            bool_type(false),
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                let arg = &args[0];
                let bools = crate::eval::as_bool(&arg.array)?;
                let result: BooleanArray = (0..rows)
                    .map(|row| {
                        let at = arg.at(row);
                        let value = bools.is_valid(at).then(|| bools.value(at));
                        Some((value == word) != negated)
                    })
                    .collect();
                Ok(Arc::new(result) as ArrayRef)
            }),
        )
        .total())
    }

    fn between(
        &self,
        expr: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
        symmetric: bool,
        span: Span,
    ) -> Parse<Typed> {
        let (value, low, high) = (self.bind(expr)?, self.bind(low)?, self.bind(high)?);
        let within = |low: &Typed, high: &Typed| -> Parse<Typed> {
            let above = self.compare(Op::GreaterEq, value.clone(), low.clone(), span.clone())?;
            let below = self.compare(Op::LessEq, value.clone(), high.clone(), span.clone())?;
            let data_type = bool_type(above.data_type.nullable || below.data_type.nullable);
            Ok(Typed::new(Node::And(Box::new(above), Box::new(below)), data_type, span.clone()))
        };
        let mut result = within(&low, &high)?;
        if symmetric {
            let other = within(&high, &low)?;
            let data_type = bool_type(result.data_type.nullable || other.data_type.nullable);
            result = Typed::new(Node::Or(Box::new(result), Box::new(other)), data_type, span.clone());
        }
        if negated { self.negated(result, span) } else { Ok(result) }
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool, span: Span) -> Parse<Typed> {
        let value = self.bind(expr)?;
        let mut equals = Vec::with_capacity(list.len());
        for item in list {
            let item_span = item.span.clone();
            let item = self.bind(item)?;
            // IN converts where '=' refuses: a number and a text.
            let (a, b) = (&value.data_type.logical, &item.data_type.logical);
            let equal = if a.is_numeric() && b.is_character() {
                let target = a.clone();
                self.compare(Op::Eq, value.clone(), convert(item, &target), item_span)?
            } else if a.is_character() && b.is_numeric() {
                let target = b.clone();
                self.compare(Op::Eq, convert(value.clone(), &target), item, item_span)?
            } else if let (L::Date, L::Timestamp(_)) | (L::Timestamp(_), L::Date) = (a, b) {
                let target = types::common(&value.data_type, &item.data_type).map_or(L::Timestamp(3), |t| t.logical);
                self.compare(Op::Eq, convert(value.clone(), &target), convert(item, &target), item_span)?
            } else {
                self.compare(Op::Eq, value.clone(), item, item_span)?
            };
            equals.push(equal);
        }
        let Some(result) = any_of(equals, &span) else {
            return Err(Diagnostic::at(span, "IN takes at least one value"));
        };
        if negated { self.negated(result, span) } else { Ok(result) }
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        whens: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        span: Span,
    ) -> Parse<Typed> {
        let operand = operand.map(|o| self.bind(o)).transpose()?;
        let mut bound = Vec::with_capacity(whens.len());
        for (when, then) in whens {
            let condition = match &operand {
                None => self.condition(when, "WHEN")?,
                Some(operand) => {
                    let values: Vec<&Expr> = match &when.kind {
                        ExprKind::Row(items) => items.iter().collect(),
                        _ => vec![when],
                    };
                    let equals = values
                        .into_iter()
                        .map(|value| self.compare(Op::Eq, operand.clone(), self.bind(value)?, when.span.clone()))
                        .collect::<Parse<Vec<_>>>()?;
                    any_of(equals, &when.span).ok_or_else(|| Diagnostic::at(when.span.clone(), "WHEN takes a value"))?
                }
            };
            bound.push((condition, self.bind(then)?));
        }
        let otherwise = match otherwise {
            Some(e) => self.bind(e)?,
            None => Typed::null(span.clone()),
        };
        case_of(bound, otherwise, span)
    }

    fn cast(&self, expr: &Expr, target: &ast::TypeName, is_try: bool, span: Span) -> Parse<Typed> {
        let arg = self.bind(expr)?;
        let Some(to) = &target.data_type else {
            return Err(Diagnostic::unsupported(target.span.clone(), format!("the type {}", target.text)));
        };
        let from = &arg.data_type.logical;
        if !types::can_cast(from, &to.logical) {
            let hint = if from.is_numeric() && types::is_timestamp(&to.logical) {
                Some("use TO_TIMESTAMP(FROM_UNIXTIME(…)) or TO_TIMESTAMP_LTZ(…, 3)")
            } else if types::is_timestamp(from) && to.logical.is_numeric() {
                Some("use UNIX_TIMESTAMP(CAST(… AS STRING))")
            } else {
                None
            };
            let mut diagnostic = Diagnostic::at(span, format!("{from} can not be cast to {}", to.logical));
            diagnostic.hint = hint.map(str::to_owned);
            return Err(diagnostic);
        }
        let mode = if is_try { Mode::Try } else { self.settings.mode() };
        let nullable = arg.data_type.nullable || is_try;
        let logical = to.logical.clone();
        if arg.is_null_literal() {
            return Ok(convert(arg, &logical));
        }
        let mut cast = cast_with(arg, &logical, mode);
        cast.data_type = DataType { logical, nullable };
        cast.span = span;
        Ok(cast)
    }

    fn array(&self, items: &[Expr], span: Span) -> Parse<Typed> {
        let items = items.iter().map(|e| self.bind(e)).collect::<Parse<Vec<_>>>()?;
        if items.is_empty() {
            return Err(Diagnostic::at(span, "ARRAY[] needs at least one element: its type would be unknown"));
        }
        let Some(element) = types::common_of(items.iter().map(|i| &i.data_type)) else {
            return Err(Diagnostic::at(span, "the elements of the array have no common type"));
        };
        if element.logical == L::Null {
            return Err(Diagnostic::at(span, "the elements of the array are all NULL: their type would be unknown")
                .with_hint("write CAST(NULL AS …) for one of them"));
        }
        let items: Vec<_> = items.into_iter().map(|i| convert(i, &element.logical)).collect();
        let data_type = DataType::not_null(L::Array(Box::new(element.clone())));
        let width = items.len();
        Ok(Typed::call(
            "ARRAY",
            items,
            data_type,
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                let values = zip_values(args, rows, &element)?;
                let offsets = arrow::buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
                make_list(values, offsets, None, &element)
            }),
        )
        .total())
    }

    fn map(&self, items: &[Expr], span: Span) -> Parse<Typed> {
        if items.is_empty() || !items.len().is_multiple_of(2) {
            return Err(Diagnostic::at(span, "MAP[…] takes keys and values in turn"));
        }
        let items = items.iter().map(|e| self.bind(e)).collect::<Parse<Vec<_>>>()?;
        let key = types::common_of(items.iter().step_by(2).map(|i| &i.data_type));
        let value = types::common_of(items.iter().skip(1).step_by(2).map(|i| &i.data_type));
        let (Some(key), Some(value)) = (key, value) else {
            return Err(Diagnostic::at(span, "the keys or the values of the map have no common type"));
        };
        let items: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(i, e)| convert(e, if i % 2 == 0 { &key.logical } else { &value.logical }))
            .collect();
        let logical = L::Map(Box::new(key.clone()), Box::new(value.clone()));
        let width = items.len() / 2;
        let to = logical.clone();
        Ok(Typed::call(
            "MAP",
            items,
            DataType::not_null(logical),
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                let keys: Vec<Val> = args.iter().step_by(2).cloned().collect();
                let values: Vec<Val> = args.iter().skip(1).step_by(2).cloned().collect();
                // Of two equal keys the later entry counts, at the place of the first.
                let keys = zip_values(&keys, rows, &key)?;
                let values = zip_values(&values, rows, &value)?;
                let offsets = arrow::buffer::OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
                functions::collection::unique_map(keys, values, &offsets, None, &to)
            }),
        ))
    }

    fn row(&self, items: &[Expr], span: Span) -> Parse<Typed> {
        let items = items.iter().map(|e| self.bind(e)).collect::<Parse<Vec<_>>>()?;
        let fields: Vec<Field> = items
            .iter()
            .enumerate()
            .map(|(i, item)| Field { name: format!("EXPR${i}"), data_type: item.data_type.clone() })
            .collect();
        let data_type = DataType::not_null(L::Row(fields.clone()));
        Ok(Typed::call(
            "ROW",
            items,
            data_type,
            span,
            Arc::new(move |_: &EvalContext, args: &[Val], rows: usize| {
                let columns = args.iter().map(|a| a.expand(rows)).collect::<starweir_model::Result<Vec<_>>>()?;
                make_row(columns, None, &fields, rows)
            }),
        )
        .total())
    }

    fn call(&self, call: &ast::Call, span: Span) -> Parse<Typed> {
        let name = call.name.last().to_ascii_uppercase();
        let name_span = call.name.span();
        if let Some(over) = &call.over {
            return Err(Diagnostic::unsupported(over.clone(), "OVER"));
        }
        if functions::AGGREGATES.contains(&name.as_str()) {
            return Err(Diagnostic::unsupported(name_span, format!("the aggregate {name}")));
        }
        if functions::WINDOW_FUNCTIONS.contains(&name.as_str()) {
            return Err(Diagnostic::unsupported(name_span, format!("the window function {name}")));
        }
        if call.star {
            return Err(Diagnostic::at(name_span, format!("{name} does not take '*'")));
        }
        if call.distinct || call.filter.is_some() || call.within_group.is_some() {
            return Err(Diagnostic::at(
                name_span,
                format!("{name} is no aggregate: DISTINCT, FILTER and WITHIN GROUP do not apply"),
            ));
        }
        if call.name.parts.len() > 1 {
            return Err(functions::unknown(call.name.last(), name_span));
        }
        // Functions whose first argument is a word.
        if matches!(name.as_str(), "TIMESTAMPADD" | "TIMESTAMPDIFF") {
            let [unit, rest @ ..] = call.args.as_slice() else {
                return Err(Diagnostic::at(span, format!("{name} takes a unit and two values")));
            };
            let ExprKind::Name(unit_name) = &unit.kind else {
                return Err(Diagnostic::at(
                    unit.span.clone(),
                    format!("{name} takes a unit of time first, such as DAY"),
                ));
            };
            let args = rest.iter().map(|a| self.bind(a)).collect::<Parse<Vec<_>>>()?;
            return functions::temporal::timestamp_arithmetic(&name, unit_name.last(), unit.span.clone(), args, span);
        }
        if let Some(json) = &call.json {
            let args = call.args.iter().map(|a| self.bind(a)).collect::<Parse<Vec<_>>>()?;
            let defaults = |behavior: &Option<ast::JsonBehavior>| match behavior {
                Some(ast::JsonBehavior::Default(expr)) => self.bind(expr).map(Some),
                _ => Ok(None),
            };
            let on_empty = defaults(&json.on_empty)?;
            let on_error = defaults(&json.on_error)?;
            return functions::json::bind(&name, args, json, on_empty, on_error, span);
        }
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(match &arg.kind {
                ExprKind::Named { value, .. } => self.bind(value)?,
                _ => self.bind(arg)?,
            });
        }
        if call.name.parts.len() == 1 && !functions::is_known(&name) {
            return Err(functions::unknown(call.name.last(), name_span));
        }
        functions::bind_at(&name, args, span, name_span, self.settings)
    }
}

/// OR over any number of conditions, as a tree of logarithmic depth.
fn any_of(mut conditions: Vec<Typed>, span: &Span) -> Option<Typed> {
    while conditions.len() > 1 {
        let mut next = Vec::with_capacity(conditions.len().div_ceil(2));
        let mut rest = conditions.into_iter();
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => {
                    let data_type = bool_type(left.data_type.nullable || right.data_type.nullable);
                    Typed::new(Node::Or(Box::new(left), Box::new(right)), data_type, span.clone())
                }
                None => left,
            });
        }
        conditions = next;
    }
    conditions.pop()
}

/// CASE over branches that are brought to one type.
pub(crate) fn case_of(whens: Vec<(Typed, Typed)>, otherwise: Typed, span: Span) -> Parse<Typed> {
    let values = whens.iter().map(|(_, then)| &then.data_type).chain(std::iter::once(&otherwise.data_type));
    let Some(data_type) = types::common_of(values) else {
        let kinds: Vec<_> =
            whens.iter().map(|(_, t)| t).chain([&otherwise]).map(|t| t.data_type.logical.to_string()).collect();
        return Err(Diagnostic::at(span, format!("the results of CASE have no common type: {}", kinds.join(", "))));
    };
    if data_type.logical == L::Null {
        return Err(Diagnostic::at(span, "the results of CASE are all NULL: their type would be unknown")
            .with_hint("write CAST(NULL AS …) in one of them"));
    }
    let whens = whens.into_iter().map(|(when, then)| (when, pad_char(then, &data_type.logical))).collect();
    let otherwise = Box::new(pad_char(otherwise, &data_type.logical));
    Ok(Typed::new(Node::Case { whens, otherwise }, data_type, span))
}

/// A conversion to a common type; text keeps its length (no cut, no blanks).
pub(crate) fn pad_char(expr: Typed, target: &L) -> Typed {
    if expr.data_type.logical.is_character() && target.is_character() {
        return expr;
    }
    convert(expr, target)
}

/// `args[0][0], args[1][0], …, args[0][1], …` as one column.
fn zip_values(args: &[Val], rows: usize, element: &DataType) -> starweir_model::Result<ArrayRef> {
    let target = element.to_arrow();
    let arrays = args
        .iter()
        .map(|a| crate::eval::with_arrow_type(&a.array, &target))
        .collect::<starweir_model::Result<Vec<_>>>()?;
    if rows == 0 || arrays.is_empty() {
        return Ok(new_empty_array(&target));
    }
    let refs: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    let mut places = Vec::with_capacity(rows * args.len());
    for row in 0..rows {
        for (index, arg) in args.iter().enumerate() {
            places.push((index, arg.at(row)));
        }
    }
    arrow::compute::interleave(&refs, &places).map_err(arrow_error)
}

/// Nullability of a result that is NULL where an argument is.
pub(crate) fn nullable_of(args: &[Typed]) -> bool {
    args.iter().any(|a| a.data_type.nullable)
}

fn number_literal(text: &str, negative: bool, span: Span) -> Parse<Typed> {
    let bad = || Diagnostic::at(span.clone(), format!("'{text}' is no number that SQL knows"));
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| bad())?;
        let value = if negative { -value } else { value };
        return Ok(Typed::literal(Arc::new(Float64Array::from(vec![value])), DataType::not_null(L::Double), span));
    }
    if let Some((whole, fraction)) = text.split_once('.') {
        if !fraction.is_empty() {
            let precision = whole.len() + fraction.len();
            let scale = fraction.len();
            if precision > 38 {
                return Err(Diagnostic::at(span, "a decimal literal has 38 digits at most"));
            }
            let value: i128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
            if i64::try_from(value).is_err() {
                return Err(out_of_range(text, span));
            }
            let array = Decimal128Array::from(vec![if negative { -value } else { value }])
                .with_precision_and_scale(precision as u8, scale as i8)
                .map_err(|_| bad())?;
            return Ok(Typed::literal(
                Arc::new(array),
                DataType::not_null(L::Decimal(precision as u8, scale as u8)),
                span,
            ));
        }
        return number_literal(whole, negative, span);
    }
    let value: i128 = text.parse().map_err(|_| bad())?;
    let value = if negative { -value } else { value };
    if let Ok(value) = i32::try_from(value) {
        return Ok(int_literal(value, span));
    }
    if let Ok(value) = i64::try_from(value) {
        return Ok(Typed::literal(Arc::new(Int64Array::from(vec![value])), DataType::not_null(L::BigInt), span));
    }
    Err(out_of_range(text, span))
}

/// The digits of a number literal must fit a BIGINT, a Calcite rule.
fn out_of_range(text: &str, span: Span) -> Diagnostic {
    Diagnostic::at(span, format!("the number {text} has too many digits for a literal"))
        .with_hint(format!("write CAST('{text}' AS DECIMAL(38, 18)), with the digits you need"))
}

fn fraction_digits(text: &str) -> u8 {
    text.split_once('.').map_or(0, |(_, f)| f.trim().len().min(9) as u8)
}

/// DATE literals are read exactly: four digits, two, two.
fn strict_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let mut parts = text.split('-');
    let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || y.len() != 4 || m.is_empty() || d.is_empty() {
        return None;
    }
    time::parse_date(text)
}

fn strict_time(text: &str) -> Option<i64> {
    if text.matches(':').count() != 2 {
        return None;
    }
    time::parse_time(text)
}

fn strict_timestamp(text: &str) -> Option<i128> {
    let text = text.trim();
    let date = text.split(' ').next()?;
    strict_date(date)?;
    time::parse_timestamp(text).filter(|_| text.len() > date.len())
}

fn interval_literal(value: &str, negative: bool, from: &str, to: Option<&str>, span: Span) -> Parse<Typed> {
    let bad = || {
        Diagnostic::at(
            span.clone(),
            format!("'{value}' is no interval of {from}{}", to.map(|t| format!(" TO {t}")).unwrap_or_default()),
        )
        .with_label("not an interval")
    };
    let trimmed = value.trim();
    let (sign, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (-1i64, &trimmed[1..]),
        Some(b'+') => (1, &trimmed[1..]),
        _ => (1, trimmed),
    };
    let sign = if negative { -sign } else { sign };
    let int = |s: &str| -> Parse<i64> {
        if s.is_empty() || s.len() > 18 || !s.bytes().all(|b| b.is_ascii_digit()) {
            Err(bad())
        } else {
            s.parse().map_err(|_| bad())
        }
    };
    let year_month = |months: i64| -> Parse<Typed> {
        let months = i32::try_from(months).map_err(|_| bad())?;
        let array = Arc::new(IntervalYearMonthArray::from(vec![months]));
        Ok(Typed::literal(array, DataType::not_null(L::IntervalYearMonth), span.clone()))
    };
    let millis = |ms: i64| -> Parse<Typed> {
        let array = Arc::new(DurationMillisecondArray::from(vec![ms]));
        Ok(Typed::literal(array, DataType::not_null(L::IntervalDayTime), span.clone()))
    };
    // Seconds with a fraction, in milliseconds.
    let seconds = |s: &str| -> Parse<i64> {
        let (whole, fraction) = s.split_once('.').unwrap_or((s, ""));
        if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
            return Err(bad());
        }
        let ms: i64 = format!("{fraction:0<3}")[..3].parse().map_err(|_| bad())?;
        Ok(int(whole)? * 1000 + ms)
    };
    match to {
        None => match from {
            "YEAR" => year_month(sign.checked_mul(int(body)?).and_then(|v| v.checked_mul(12)).ok_or_else(bad)?),
            "QUARTER" => year_month(sign.checked_mul(int(body)?).and_then(|v| v.checked_mul(3)).ok_or_else(bad)?),
            "MONTH" => year_month(sign * int(body)?),
            "WEEK" => millis(int(body)?.checked_mul(sign * 7 * 86_400_000).ok_or_else(bad)?),
            "DAY" => millis(int(body)?.checked_mul(sign * 86_400_000).ok_or_else(bad)?),
            "HOUR" => millis(int(body)?.checked_mul(sign * 3_600_000).ok_or_else(bad)?),
            "MINUTE" => millis(int(body)?.checked_mul(sign * 60_000).ok_or_else(bad)?),
            "SECOND" => millis(sign * seconds(body)?),
            _ => Err(Diagnostic::at(span.clone(), format!("{from} is no unit of an interval"))),
        },
        Some("MONTH") if from == "YEAR" => {
            let (y, m) = body.split_once('-').ok_or_else(bad)?;
            let (y, m) = (int(y.trim())?, int(m.trim())?);
            if m > 11 {
                return Err(bad());
            }
            year_month(sign * y.checked_mul(12).and_then(|v| v.checked_add(m)).ok_or_else(bad)?)
        }
        Some(to) => {
            const UNITS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
            let first = UNITS.iter().position(|u| *u == from).ok_or_else(bad)?;
            let last = UNITS.iter().position(|u| *u == to).ok_or_else(bad)?;
            if first >= last {
                return Err(bad());
            }
            let mut rest = body;
            let mut total = 0i64;
            for unit in first..=last {
                let part = if unit == last {
                    std::mem::take(&mut rest)
                } else {
                    let separator = if unit == 0 { ' ' } else { ':' };
                    let (part, after) = rest.split_once(separator).ok_or_else(bad)?;
                    rest = after.trim_start();
                    part
                };
                let ms = match unit {
                    0 => int(part)?.checked_mul(86_400_000),
                    1 => int(part)?.checked_mul(3_600_000),
                    2 => int(part)?.checked_mul(60_000),
                    _ => Some(seconds(part)?),
                };
                total = ms.and_then(|ms| total.checked_add(ms)).ok_or_else(bad)?;
            }
            millis(sign * total)
        }
    }
}
