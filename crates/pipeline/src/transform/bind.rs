//! From syntax to [`Node`]s: names become column indices, every expression gets its type, and conversions are put in
//! where an operator needs them.

use std::cell::RefCell;

use starweir_model::{DataType, Error, Field, LogicalType as L, Result, TableColumn, Value};
use starweir_sql::ast::{BinaryOp, Expr, ExprKind, IsWhat, LikeKind, Name, TrimSide};

use super::cast::Mode;
use super::functions::{self, Want};
use super::literal::literal;
use super::node::{Comparison, Eval, Meta, Node, Truth};
use super::types::{TypeSystem, digest, is_atomic, is_temporal, is_timestamp};
use super::udf::Udf;
use super::unparse::{self, Text};

/// The table's name inside of expressions.
pub(super) const TABLE: &str = "TB";

/// A compiled expression with its type and its text.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub node: Node,
    pub of: DataType,
    pub text: Text,
}

/// A column the projection makes, as its filter sees it.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub name: String,
    pub of: DataType,
    /// Not simply a source column under its own name.
    pub computed: bool,
}

/// What the names of an expression may mean.
pub(super) struct Scope<'a> {
    pub columns: &'a [TableColumn],
    /// The projection's columns; empty for the projection itself.
    pub outputs: &'a [Output],
    /// Metadata of the source: names and types.
    pub metadata: &'a [(String, DataType)],
    pub udfs: &'a [Udf],
    pub types: TypeSystem,
    /// Filters are not checked as strictly: text is not converted for an operator.
    pub filter: bool,
    /// Names of columns in the order of their first mention.
    pub names: RefCell<Vec<String>>,
}

/// Type of a metadata column every table has.
pub(super) fn metadata_column(name: &str) -> Option<Meta> {
    Some(match name {
        "__namespace_name__" => Meta::Namespace,
        "__schema_name__" => Meta::Schema,
        "__table_name__" => Meta::Table,
        "__data_event_type__" => Meta::Op,
        _ => return None,
    })
}

impl<'a> Scope<'a> {
    pub fn new(
        columns: &'a [TableColumn],
        outputs: &'a [Output],
        metadata: &'a [(String, DataType)],
        udfs: &'a [Udf],
        types: TypeSystem,
    ) -> Self {
        let filter = false;
        Self { columns, outputs, metadata, udfs, types, filter, names: RefCell::default() }
    }

    pub fn bind(&self, expr: &Expr) -> Result<Bound> {
        match &expr.kind {
            ExprKind::Name(name) => self.name(name),
            ExprKind::Number(_)
            | ExprKind::Str(_)
            | ExprKind::Bytes(_)
            | ExprKind::Bool(_)
            | ExprKind::Null
            | ExprKind::Date(_)
            | ExprKind::Time(_)
            | ExprKind::Timestamp(_)
            | ExprKind::Interval { .. } => literal(expr),
            ExprKind::Negate(inner) => self.negate(inner),
            ExprKind::Positive(inner) => self.bind(inner),
            ExprKind::Not(inner) => {
                let inner = self.boolean(inner)?;
                Ok(done(Node::Not(Box::new(inner.node)), inner.of, Text::prefix("NOT ", &inner.text, "not")))
            }
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right),
            ExprKind::Is { expr, what, negated } => self.is(expr, *what, *negated),
            ExprKind::DistinctFrom { left, right, negated } => self.distinct(left, right, *negated),
            ExprKind::Between { expr, low, high, negated, symmetric } => {
                self.between(expr, low, high, *negated, *symmetric)
            }
            ExprKind::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            ExprKind::Like { expr, pattern, escape, negated, kind } => {
                self.like(expr, pattern, escape.as_deref(), *negated, *kind)
            }
            ExprKind::Case { operand, whens, otherwise } => self.case(operand.as_deref(), whens, otherwise.as_deref()),
            ExprKind::Cast { expr, target, is_try } => {
                let Some(of) = &target.data_type else {
                    return Err(Error::user(format!("Unsupported data type cast: {}", target.text)));
                };
                self.cast(expr, &of.logical, *is_try)
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Array(items) => self.array(items),
            ExprKind::Map(items) => self.map(items),
            ExprKind::Row(items) => self.row(items),
            ExprKind::Index { expr, index } => self.index(expr, index),
            ExprKind::Field { expr, field } => {
                let inner = self.bind(expr)?;
                field_of(inner, &field.name)
            }
            ExprKind::Extract { unit, expr } => {
                let unit = constant(Value::String(unit.clone()), L::Char(unit.len() as u32), unit);
                let of = self.bind(expr)?;
                self.invoke("EXTRACT", vec![unit, of])
            }
            ExprKind::Trim { side, what, expr } => self.trim(*side, what.as_deref(), expr),
            ExprKind::Position { needle, haystack, from } => {
                let mut args = vec![self.bind(needle)?, self.bind(haystack)?];
                if let Some(from) = from {
                    args.push(self.bind(from)?);
                }
                self.invoke("POSITION", args)
            }
            ExprKind::Star => Err(Error::user("'*' stands for columns only at the top of a projection")),
            _ => Err(Error::user("Unrecognized expression: queries and clauses have no place in a transform")),
        }
    }

    // ---- names -----------------------------------------------------------------------------

    fn name(&self, name: &Name) -> Result<Bound> {
        let mut parts: Vec<&str> = name.parts.iter().map(|p| p.name.as_str()).collect();
        if parts.len() > 1 && parts[0] == TABLE && self.columns.iter().all(|c| c.name != TABLE) {
            parts.remove(0);
        }
        let Some((first, rest)) = parts.split_first() else { return Err(Error::user("a name is empty")) };
        let mut bound = match self.column(first) {
            Some(bound) => bound,
            None if !rest.is_empty() => return Err(Error::user(format!("Table '{first}' not found"))),
            None if self.filter => return Err(Error::user(format!("Unknown variable or type \"{first}\""))),
            None => return Err(Error::user(format!("Column '{first}' not found in any table"))),
        };
        for field in rest {
            bound = field_of(bound, field)?;
        }
        Ok(bound)
    }

    fn column(&self, name: &str) -> Option<Bound> {
        let text = || {
            let mut names = self.names.borrow_mut();
            let index = names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            });
            Text::column(name, index)
        };
        // What the projection computes hides the source's column of the same name.
        if let Some(index) = self.outputs.iter().position(|o| o.computed && o.name == name) {
            return Some(done(Node::Projected(index), self.outputs[index].of.clone(), text()));
        }
        if let Some(index) = self.columns.iter().position(|c| c.name == name) {
            let of = self.types.of_column(&self.columns[index].data_type);
            return Some(done(Node::Column(index), of, text()));
        }
        if let Some(meta) = metadata_column(name) {
            return Some(done(Node::Meta(meta), DataType::not_null(L::STRING), text()));
        }
        let (_, of) = self.metadata.iter().find(|(n, _)| n == name)?;
        let meta = Meta::Source { name: name.to_owned(), of: of.logical.clone() };
        Some(done(Node::Meta(meta), of.clone(), text()))
    }

    // ---- conversions -----------------------------------------------------------------------

    /// The expression in another type, when an operator wants it.
    pub(super) fn convert(&self, bound: Bound, to: &L, mode: Mode) -> Bound {
        if bound.of.logical == *to || bound.of.logical.is_character() && to.is_character() {
            return bound;
        }
        let of = DataType { logical: to.clone(), nullable: true };
        if bound.of.logical == L::Null {
            return Bound { of, ..bound };
        }
        let text = Text::cast(&bound.text, to, false);
        done(Node::Convert { inner: Box::new(bound.node), to: to.clone(), mode }, of, text)
    }

    /// A condition.
    pub fn boolean(&self, expr: &Expr) -> Result<Bound> {
        let bound = self.bind(expr)?;
        self.as_boolean(bound)
    }

    pub fn as_boolean(&self, bound: Bound) -> Result<Bound> {
        match &bound.of.logical {
            L::Boolean => Ok(bound),
            other if is_atomic(other) && !is_temporal(other) => Ok(self.convert(bound, &L::Boolean, Mode::Cast)),
            other => Err(Error::user(format!("a condition has to be BOOLEAN, not {}", digest(other)))),
        }
    }

    fn cast(&self, expr: &Expr, to: &L, is_try: bool) -> Result<Bound> {
        let inner = self.bind(expr)?;
        if !is_atomic(&inner.of.logical) && is_atomic(to) && !to.is_character() && inner.of.logical != L::Variant {
            return Err(Error::user(format!(
                "Cast function cannot convert value of type {} to type {}",
                digest(&inner.of.logical),
                digest(to)
            )));
        }
        let text = Text::cast(&inner.text, to, is_try);
        let mode = if is_try { Mode::Try } else { Mode::Cast };
        let of = self.types.of_column(&DataType::nullable(to.clone()));
        // The value keeps the digits that were asked for; the column it becomes cuts them.
        Ok(done(Node::Convert { inner: Box::new(inner.node), to: to.clone(), mode }, of, text))
    }

    // ---- operators -------------------------------------------------------------------------

    fn negate(&self, inner: &Expr) -> Result<Bound> {
        let inner = self.bind(inner)?;
        let text = Text::prefix("- ", &inner.text, "-");
        if let Node::Literal(value) = &inner.node
            && let Some(value) = unparse::negated(value)
        {
            // -2147483648 is an INT though 2147483648 is none.
            let of = match &value {
                Value::Int(_) => DataType::not_null(L::Int),
                _ => inner.of,
            };
            return Ok(done(Node::Literal(value), of, text));
        }
        if !matches!(&inner.of.logical, l if l.is_numeric() || matches!(l, L::IntervalDayTime | L::IntervalYearMonth)) {
            return Err(cannot_apply("-", &format!("-<{}>", digest(&inner.of.logical))));
        }
        Ok(done(Node::Negate(Box::new(inner.node)), inner.of, text))
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Bound> {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let (left, right) = (self.boolean(left)?, self.boolean(right)?);
                let of = DataType { logical: L::Boolean, nullable: left.of.nullable || right.of.nullable };
                let (word, java, level) =
                    if op == BinaryOp::And { (" AND ", "and", unparse::AND) } else { (" OR ", "or", unparse::OR) };
                let text = Text::infix(&left.text, word, &right.text, level, Some(java));
                let operands = Box::new([left.node, right.node]);
                Ok(done(if op == BinaryOp::And { Node::And(operands) } else { Node::Or(operands) }, of, text))
            }
            BinaryOp::Concat => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                self.concat(left, right)
            }
            BinaryOp::Plus => self.arithmetic('+', left, right),
            BinaryOp::Minus => self.arithmetic('-', left, right),
            BinaryOp::Multiply => self.arithmetic('*', left, right),
            BinaryOp::Divide => self.arithmetic('/', left, right),
            BinaryOp::Modulo => self.arithmetic('%', left, right),
            BinaryOp::Eq => self.compare(Comparison::Equal, left, right),
            BinaryOp::NotEq => self.compare(Comparison::NotEqual, left, right),
            BinaryOp::Less => self.compare(Comparison::Less, left, right),
            BinaryOp::LessEq => self.compare(Comparison::LessOrEqual, left, right),
            BinaryOp::Greater => self.compare(Comparison::Greater, left, right),
            BinaryOp::GreaterEq => self.compare(Comparison::GreaterOrEqual, left, right),
            BinaryOp::Overlaps => Err(Error::user("Unrecognized expression: OVERLAPS")),
        }
    }

    fn concat(&self, left: Bound, right: Bound) -> Result<Bound> {
        for side in [&left, &right] {
            if !is_atomic(&side.of.logical) && side.of.logical != L::Variant {
                return Err(cannot_apply("||", &signature("||", &left.of.logical, &right.of.logical)));
            }
        }
        let text = Text::infix(&left.text, " || ", &right.text, unparse::ADDITIVE, Some("concat"));
        let nullable = left.of.nullable || right.of.nullable;
        let args = vec![left.node, right.node];
        let node = Node::Call { eval: functions::concat, args, strict: false };
        Ok(done(node, DataType { logical: L::STRING, nullable }, text))
    }

    fn arithmetic(&self, op: char, left: &Expr, right: &Expr) -> Result<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let (l, r) = (left.of.logical.clone(), right.of.logical.clone());
        let refused = || cannot_apply(&op.to_string(), &signature(&op.to_string(), &l, &r));
        let is_interval = |of: &L| matches!(of, L::IntervalDayTime | L::IntervalYearMonth);
        let level = if matches!(op, '+' | '-') { unparse::ADDITIVE } else { unparse::MULTIPLICATIVE };
        if self.filter && op == '+' && (l.is_character() || r.is_character()) {
            // A filter is Java: plus joins texts.
            let text = Text::infix(&left.text, " + ", &right.text, level, None);
            let node = Node::Call { eval: functions::concat, args: vec![left.node, right.node], strict: false };
            return Ok(done(node, DataType::string(), text));
        }
        match (op, is_interval(&l), is_interval(&r)) {
            ('+', true, false) if is_temporal(&r) => return self.plus_interval(right, left, false),
            ('+' | '-', false, true) if is_temporal(&l) => return self.plus_interval(left, right, op == '-'),
            ('+' | '-', true, true) if l == r => {}
            ('*' | '/', true, false) if r.is_numeric() => {}
            ('*', false, true) if l.is_numeric() => {}
            (_, false, false) => {
                let (left, right) = (self.as_number(left, &r), self.as_number(right, &l));
                let (Some(left), Some(right)) = (left, right) else { return Err(refused()) };
                let to = self.types.arithmetic(op, &left.of.logical, &right.of.logical).ok_or_else(refused)?;
                if !to.is_numeric() {
                    return Err(refused());
                }
                let text = Text::infix(&left.text, &format!(" {op} "), &right.text, level, None);
                let of = DataType { logical: to.clone(), nullable: left.of.nullable || right.of.nullable };
                let operands = Box::new([left.node, right.node]);
                return Ok(done(Node::Arithmetic { op, operands, to: self.wide(op, to) }, of, text));
            }
            _ => return Err(refused()),
        }
        let of =
            DataType { logical: if is_interval(&l) { l } else { r }, nullable: left.of.nullable || right.of.nullable };
        let text = Text::infix(&left.text, &format!(" {op} "), &right.text, level, None);
        let operands = Box::new([left.node, right.node]);
        Ok(done(Node::Arithmetic { op, operands, to: L::BigInt }, of, text))
    }

    /// The type arithmetic is done in: decimals keep all the digits of their factors until a column cuts them, small
    /// integers are calculated with as Java does.
    fn wide(&self, op: char, to: L) -> L {
        match to {
            L::Decimal(_, scale) if op == '*' => L::Decimal(38, scale),
            L::TinyInt | L::SmallInt => L::Int,
            other => other,
        }
    }

    /// Numbers stay, text and NULL become what the other side is; None for the rest.
    fn as_number(&self, bound: Bound, other: &L) -> Option<Bound> {
        let numeric = |of: &L| if of.is_numeric() { of.clone() } else { L::Double };
        match &bound.of.logical {
            l if l.is_numeric() => Some(bound),
            L::Null => Some(self.convert(bound, &numeric(other), Mode::Implicit)),
            l if l.is_character() => Some(self.convert(bound, &numeric(other), Mode::Implicit)),
            _ => None,
        }
    }

    fn plus_interval(&self, point: Bound, interval: Bound, minus: bool) -> Result<Bound> {
        let months = interval.of.logical == L::IntervalYearMonth;
        let eval: Eval = if months { functions::plus_months } else { functions::plus_millis };
        let sign = if minus { " - " } else { " + " };
        let text = Text::infix(&point.text, sign, &interval.text, unparse::ADDITIVE, None);
        let amount = if minus { Node::Negate(Box::new(interval.node)) } else { interval.node };
        let of = DataType { logical: point.of.logical, nullable: true };
        Ok(done(Node::Call { eval, args: vec![point.node, amount], strict: true }, of, text))
    }

    /// Both sides in types that can be compared.
    fn comparable(&self, left: Bound, right: Bound) -> (Bound, Bound) {
        // A literal with a fraction is a double beside doubles.
        let (left_of, right_of) = (left.of.logical.clone(), right.of.logical.clone());
        let (left, right) = (beside_doubles(left, &right_of), beside_doubles(right, &left_of));
        if self.filter {
            return (left, right);
        }
        let (l, r) = (left.of.logical.clone(), right.of.logical.clone());
        if l.is_character() && (r.is_numeric() || is_temporal(&r) || r == L::Boolean) {
            let left = self.convert(left, &r, Mode::Implicit);
            return (left, right);
        }
        if r.is_character() && (l.is_numeric() || is_temporal(&l) || l == L::Boolean) {
            let right = self.convert(right, &l, Mode::Implicit);
            return (left, right);
        }
        match (&l, &r) {
            (L::Date, other) if is_timestamp(other) => (self.convert(left, &r, Mode::Implicit), right),
            (other, L::Date) if is_timestamp(other) => (left, self.convert(right, &l, Mode::Implicit)),
            (L::Boolean, other) if other.is_numeric() => (left, self.convert(right, &L::Boolean, Mode::Cast)),
            (other, L::Boolean) if other.is_numeric() => (self.convert(left, &L::Boolean, Mode::Cast), right),
            _ => (left, right),
        }
    }

    fn compare(&self, op: Comparison, left: &Expr, right: &Expr) -> Result<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        Ok(self.compared(op, left, right))
    }

    fn compared(&self, op: Comparison, left: Bound, right: Bound) -> Bound {
        let (left, right) = self.comparable(left, right);
        let (sign, java) = match op {
            Comparison::Equal => (" = ", "valueEquals"),
            Comparison::NotEqual => (" <> ", "!valueEquals"),
            Comparison::Less => (" < ", "lessThan"),
            Comparison::LessOrEqual => (" <= ", "lessThanOrEqual"),
            Comparison::Greater => (" > ", "greaterThan"),
            Comparison::GreaterOrEqual => (" >= ", "greaterThanOrEqual"),
        };
        let text = Text::infix(&left.text, sign, &right.text, unparse::PREDICATE, Some(java));
        done(Node::Compare { op, operands: Box::new([left.node, right.node]) }, DataType::not_null(L::Boolean), text)
    }

    fn is(&self, expr: &Expr, what: IsWhat, negated: bool) -> Result<Bound> {
        let (word, java, truth) = match (what, negated) {
            (IsWhat::Null, false) => ("IS NULL", "isNull", Truth::Null),
            (IsWhat::Null, true) => ("IS NOT NULL", "isNotNull", Truth::Null),
            (IsWhat::Unknown, false) => ("IS UNKNOWN", "isUnknown", Truth::Null),
            (IsWhat::Unknown, true) => ("IS NOT UNKNOWN", "isNotUnknown", Truth::Null),
            (IsWhat::True, false) => ("IS TRUE", "isTrue", Truth::True),
            (IsWhat::True, true) => ("IS NOT TRUE", "isNotTrue", Truth::True),
            (IsWhat::False, false) => ("IS FALSE", "isFalse", Truth::False),
            (IsWhat::False, true) => ("IS NOT FALSE", "isNotFalse", Truth::False),
            _ => return Err(Error::user("Unrecognized expression: IS JSON")),
        };
        let inner = if what == IsWhat::Null { self.bind(expr)? } else { self.boolean(expr)? };
        let text = Text::postfix(&inner.text, word, java);
        let node = Node::Is { inner: Box::new(inner.node), what: truth, negated };
        Ok(done(node, DataType::not_null(L::Boolean), text))
    }

    fn distinct(&self, left: &Expr, right: &Expr, negated: bool) -> Result<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let (left, right) = self.comparable(left, right);
        let (word, java) = if negated {
            (" IS NOT DISTINCT FROM ", "isNotDistinctFrom")
        } else {
            (" IS DISTINCT FROM ", "isDistinctFrom")
        };
        let text = Text::infix(&left.text, word, &right.text, unparse::PREDICATE, Some(java));
        let node = Node::Distinct { operands: Box::new([left.node, right.node]), negated };
        Ok(done(node, DataType::not_null(L::Boolean), text))
    }

    fn between(&self, expr: &Expr, low: &Expr, high: &Expr, negated: bool, symmetric: bool) -> Result<Bound> {
        if symmetric {
            return Err(Error::user("Unrecognized expression: BETWEEN SYMMETRIC"));
        }
        let (value, low, high) = (self.bind(expr)?, self.bind(low)?, self.bind(high)?);
        let (value, low) = self.comparable(value, low);
        let (value, high) = self.comparable(value, high);
        let text = Text::between(&value.text, &low.text, &high.text, negated);
        let node = Node::Between { operands: Box::new([value.node, low.node, high.node]), negated };
        Ok(done(node, DataType::not_null(L::Boolean), text))
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Bound> {
        let mut value = self.bind(expr)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let (left, item) = self.comparable(value, self.bind(item)?);
            value = left;
            items.push(item);
        }
        let texts: Vec<&Text> = items.iter().map(|i| &i.text).collect();
        let text = Text::in_list(&value.text, &texts, negated);
        let list = items.into_iter().map(|i| i.node).collect();
        Ok(done(Node::In { value: Box::new(value.node), list, negated }, DataType::not_null(L::Boolean), text))
    }

    fn like(&self, expr: &Expr, pattern: &Expr, escape: Option<&Expr>, negated: bool, kind: LikeKind) -> Result<Bound> {
        let mut args = vec![self.bind(expr)?, self.bind(pattern)?];
        if let Some(escape) = escape {
            args.push(self.bind(escape)?);
        }
        let (word, java, eval): (_, _, Eval) = match (kind, args.len()) {
            (LikeKind::Like, 2) => ("LIKE", "like", functions::like),
            (LikeKind::Like, _) => ("LIKE", "like", functions::like_escaped),
            (LikeKind::SimilarTo, _) => ("SIMILAR TO", "similarTo", functions::similar),
            (LikeKind::Rlike, _) => return Err(Error::user("Unrecognized expression: RLIKE")),
        };
        let texts: Vec<&Text> = args.iter().map(|a| &a.text).collect();
        let text = Text::like(&texts, word, java, negated);
        let mut nodes = Vec::new();
        for arg in args {
            nodes.push(self.wanted(arg, Want::Text, word, &[])?.node);
        }
        let node = Node::Call { eval, args: nodes, strict: true };
        let node = if negated { Node::Not(Box::new(node)) } else { node };
        Ok(done(node, DataType::nullable(L::Boolean), text))
    }

    fn case(&self, operand: Option<&Expr>, whens: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Bound> {
        let operand = operand.map(|o| self.bind(o)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for (condition, result) in whens {
            conditions.push(match (&operand, &condition.kind) {
                (None, _) => self.boolean(condition)?,
                // CASE x WHEN 1, 2 THEN …
                (Some(operand), ExprKind::Row(items)) => {
                    let mut any: Option<Bound> = None;
                    for item in items {
                        let one = self.compared(Comparison::Equal, operand.clone(), self.bind(item)?);
                        any = Some(match any {
                            None => one,
                            Some(so_far) => {
                                let text = Text::infix(&so_far.text, " OR ", &one.text, unparse::OR, Some("or"));
                                done(Node::Or(Box::new([so_far.node, one.node])), one.of, text)
                            }
                        });
                    }
                    any.ok_or_else(|| Error::user("a WHEN has no value"))?
                }
                (Some(operand), _) => self.compared(Comparison::Equal, operand.clone(), self.bind(condition)?),
            });
            results.push(self.bind(result)?);
        }
        let otherwise = otherwise.map(|o| self.bind(o)).transpose()?.unwrap_or_else(null);
        let text = Text::case(conditions.iter().map(|c| &c.text).zip(results.iter().map(|r| &r.text)), &otherwise.text);
        results.push(otherwise);
        let (mut results, of) = self.unified(results, "CASE")?;
        let otherwise = results.pop().unwrap_or_else(null);
        let whens = conditions.into_iter().map(|c| c.node).zip(results.into_iter().map(|r| r.node)).collect();
        Ok(done(Node::Case { whens, otherwise: Box::new(otherwise.node) }, of, text))
    }

    /// Expressions of which one becomes the result, in the type that holds all of them.
    pub(super) fn unified(&self, items: Vec<Bound>, what: &str) -> Result<(Vec<Bound>, DataType)> {
        let Some(of) = self.types.common_of(items.iter().map(|i| &i.of)) else {
            let types: Vec<_> = items.iter().map(|i| digest(&i.of.logical)).collect();
            return Err(Error::user(format!("Illegal mixing of types in {what}: {}", types.join(", "))));
        };
        let items = items.into_iter().map(|item| self.widened(item, &of.logical)).collect();
        Ok((items, of))
    }

    fn widened(&self, item: Bound, to: &L) -> Bound {
        let text = item.text.clone();
        Bound { text, ..self.convert(item, to, Mode::Cast) }
    }

    // ---- collections -----------------------------------------------------------------------

    fn array(&self, items: &[Expr]) -> Result<Bound> {
        let items = items.iter().map(|i| self.bind(i)).collect::<Result<Vec<_>>>()?;
        if items.is_empty() {
            return Err(Error::user("Require at least 1 argument: ARRAY[] has no type"));
        }
        let (items, of) = self.unified(items, "ARRAY")?;
        let text = Text::constructor("ARRAY", &items.iter().map(|i| &i.text).collect::<Vec<_>>());
        let args = items.into_iter().map(|i| i.node).collect();
        let of = DataType::not_null(L::Array(Box::new(of)));
        Ok(done(Node::Call { eval: functions::array, args, strict: false }, of, text))
    }

    fn map(&self, items: &[Expr]) -> Result<Bound> {
        if items.is_empty() || !items.len().is_multiple_of(2) {
            return Err(Error::user("Map requires an even number of arguments, and at least two"));
        }
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for pair in items.chunks_exact(2) {
            keys.push(self.bind(&pair[0])?);
            values.push(self.bind(&pair[1])?);
        }
        let (keys, key_of) = self.unified(keys, "the keys of MAP")?;
        let (values, value_of) = self.unified(values, "the values of MAP")?;
        let entries: Vec<Bound> = keys.into_iter().zip(values).flat_map(|(k, v)| [k, v]).collect();
        let text = Text::constructor("MAP", &entries.iter().map(|i| &i.text).collect::<Vec<_>>());
        let args = entries.into_iter().map(|i| i.node).collect();
        let of = DataType::not_null(L::Map(Box::new(key_of), Box::new(value_of)));
        Ok(done(Node::Call { eval: functions::map, args, strict: false }, of, text))
    }

    fn row(&self, items: &[Expr]) -> Result<Bound> {
        let items = items.iter().map(|i| self.bind(i)).collect::<Result<Vec<_>>>()?;
        let text = Text::call("ROW", "row", &items.iter().map(|i| &i.text).collect::<Vec<_>>());
        let fields = items
            .iter()
            .enumerate()
            .map(|(i, item)| Field { name: format!("f{i}"), data_type: item.of.clone() })
            .collect();
        let args = items.into_iter().map(|i| i.node).collect();
        Ok(done(Node::Call { eval: functions::row, args, strict: false }, DataType::not_null(L::Row(fields)), text))
    }

    fn index(&self, expr: &Expr, index: &Expr) -> Result<Bound> {
        let (inner, index) = (self.bind(expr)?, self.bind(index)?);
        let refused =
            || cannot_apply("ITEM", &format!("ITEM(<{}>, <{}>)", digest(&inner.of.logical), digest(&index.of.logical)));
        let text = Text::item(&inner.text, &index.text);
        let of = match &inner.of.logical {
            L::Array(element) if index.of.logical.is_integer() || index.of.logical == L::Null => {
                element.logical.clone()
            }
            L::Map(key, value) => {
                let value = value.logical.clone();
                if self.types.common(key, &index.of).is_none() {
                    return Err(refused());
                }
                value
            }
            L::Variant if index.of.logical.is_integer() || index.of.logical.is_character() => L::Variant,
            L::Row(fields) => {
                // A row's fields have different types, so which one it is has to be known.
                let at = match &index.node {
                    Node::Literal(Value::String(name)) => fields.iter().position(|f| f.name == *name),
                    Node::Literal(value) => super::node::as_i64(value)
                        .and_then(|i| usize::try_from(i).ok())
                        .and_then(|i| i.checked_sub(1))
                        .filter(|i| *i < fields.len()),
                    _ => return Err(refused()),
                };
                let Some(at) = at else {
                    return Err(Error::user(format!(
                        "ROW type does not have a field with index {}; legal range is 1 to {}",
                        index.text.sql,
                        fields.len()
                    )));
                };
                let of = DataType::nullable(fields[at].data_type.logical.clone());
                return Ok(done(Node::Field { inner: Box::new(inner.node), index: at }, of, text));
            }
            _ => return Err(refused()),
        };
        let args = vec![inner.node, index.node];
        Ok(done(Node::Call { eval: functions::item, args, strict: true }, DataType::nullable(of), text))
    }

    // ---- functions -------------------------------------------------------------------------

    fn trim(&self, side: TrimSide, what: Option<&Expr>, expr: &Expr) -> Result<Bound> {
        let of = self.bind(expr)?;
        let text = Text::call("TRIM", "trim", &[&of.text]);
        let of = self.wanted(of, Want::Text, "TRIM", &[])?;
        let mut args = vec![of.node];
        let eval: Eval = match (side, what) {
            (TrimSide::Both, None) => functions::trim_whitespace,
            (TrimSide::Both, Some(_)) => functions::trim_both,
            (TrimSide::Leading, _) => functions::trim_leading,
            (TrimSide::Trailing, _) => functions::trim_trailing,
        };
        if let Some(what) = what {
            args.push(self.wanted(self.bind(what)?, Want::Text, "TRIM", &[])?.node);
        }
        Ok(done(
            Node::Call { eval, args, strict: true },
            DataType { logical: L::STRING, nullable: of.of.nullable },
            text,
        ))
    }
}

pub(super) fn done(node: Node, of: DataType, text: Text) -> Bound {
    Bound { node, of, text }
}

pub(super) fn null() -> Bound {
    done(Node::Literal(Value::Null), DataType::nullable(L::Null), Text::literal("NULL", "null"))
}

pub(super) fn constant(value: Value, of: L, text: &str) -> Bound {
    done(Node::Literal(value), DataType::not_null(of), Text::literal(text, &format!("\"{text}\"")))
}

/// A literal such as 1.5 is a double where it meets one.
fn beside_doubles(bound: Bound, other: &L) -> Bound {
    match (&bound.node, other) {
        (Node::Literal(Value::Decimal(value)), L::Double | L::Float) => {
            let value = Value::Double(super::decimal::to_f64(*value));
            Bound { node: Node::Literal(value), of: DataType::not_null(L::Double), ..bound }
        }
        _ => bound,
    }
}

fn field_of(inner: Bound, name: &str) -> Result<Bound> {
    let text = Text::field(&inner.text, name);
    match &inner.of.logical {
        L::Row(fields) => match fields.iter().position(|f| f.name == name) {
            Some(index) => {
                let of = DataType::nullable(fields[index].data_type.logical.clone());
                Ok(done(Node::Field { inner: Box::new(inner.node), index }, of, text))
            }
            None => Err(Error::user(format!("Column '{name}' not found in any table"))),
        },
        _ => Err(Error::user(format!("Table '{}' not found", inner.text.sql))),
    }
}

fn signature(op: &str, left: &L, right: &L) -> String {
    format!("<{}> {op} <{}>", digest(left), digest(right))
}

pub(super) fn cannot_apply(op: &str, signature: &str) -> Error {
    let supported = match op {
        "ITEM" => "<ARRAY>[<INTEGER>]\n<MAP>[<ANY>]\n<ROW>[<CHARACTER>|<INTEGER>]".to_owned(),
        "+" | "-" => format!(
            "'<NUMERIC> {op} <NUMERIC>'\n'<DATETIME_INTERVAL> {op} <DATETIME_INTERVAL>'\n'<DATETIME> {op} <DATETIME_INTERVAL>'"
        ),
        "*" | "/" | "%" => format!("'<NUMERIC> {op} <NUMERIC>'"),
        _ => return Error::user(format!("Cannot apply '{op}' to arguments of type '{signature}'")),
    };
    Error::user(format!("Cannot apply '{op}' to arguments of type '{signature}'. Supported form(s): {supported}"))
}

pub(super) fn wrong_count(name: &str, wanted: &str) -> Error {
    Error::user(format!("Invalid number of arguments to function '{name}'. Was expecting {wanted} arguments"))
}
