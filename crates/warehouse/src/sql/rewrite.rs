//! One pass over a query's tree: StarRocks forms become functions of ours or forms DataFusion
//! plans, column names become lower case, variables and parameters become literals.

use std::ops::ControlFlow;

use sqlparser::ast::*;

use super::parser::type_of_word;
use crate::error::SqlError;
use crate::types::SqlType;
use crate::value::Value as SqlValue;

/// Where variables and session facts come from.
pub trait Facts {
    /// `@@name`, `@@session.name`, `@name`; the name without its signs.
    fn variable(&self, name: &str, user: bool) -> SqlValue;
    /// `@name` when it has an array, map or struct.
    fn nested_variable(&self, _: &str) -> Option<super::functions::variable::UserVariable> {
        None
    }
    /// Functions that are constants of the statement: `database()`, `now()`, `connection_id()`.
    fn constant(&self, function: &str, args: &[Expr]) -> Option<Expr>;
    /// `||` is concatenation.
    fn pipes_as_concat(&self) -> bool;
}

pub struct Rewriter<'a> {
    pub facts: &'a dyn Facts,
    /// Values for `?`, in order.
    pub params: Vec<SqlValue>,
    used: usize,
}

impl<'a> Rewriter<'a> {
    pub fn new(facts: &'a dyn Facts, params: Vec<SqlValue>) -> Self {
        Self { facts, params, used: 0 }
    }

    pub fn query(&mut self, query: &mut Query) -> Result<(), SqlError> {
        finish(query.visit(self))
    }

    pub fn expression(&mut self, e: &mut Expr) -> Result<(), SqlError> {
        finish(e.visit(self))
    }

    pub fn tables(&mut self, tables: &mut Vec<TableWithJoins>) -> Result<(), SqlError> {
        finish(tables.visit(self))
    }
}

fn finish(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

pub fn text(s: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(s.into()))
}

/// Digits of a number as written, without leading zeros.
fn digits(number: &str) -> usize {
    let significant = number.trim_start_matches('0');
    significant.bytes().filter(u8::is_ascii_digit).count()
}

pub fn number(n: impl ToString) -> Expr {
    Expr::value(Value::Number(n.to_string(), false))
}

pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// CAST as a function of ours; the type travels as text.
pub fn cast(e: Expr, to: &SqlType) -> Expr {
    call("__cast", vec![e, text(serde_json::to_string(to).unwrap_or_default())])
}

/// A literal of a value.
pub fn literal(v: &SqlValue) -> Expr {
    match v {
        SqlValue::Null => Expr::value(Value::Null),
        SqlValue::Bool(b) => Expr::value(Value::Boolean(*b)),
        SqlValue::Int(i) if i64::try_from(*i).is_ok() => {
            if *i < 0 {
                Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(i.unsigned_abs())) }
            } else {
                number(i)
            }
        }
        SqlValue::Int(i) => cast(text(i.to_string()), &SqlType::LargeInt),
        SqlValue::Float(_) | SqlValue::Double(_) => cast(text(v.as_text().unwrap_or_default()), &SqlType::Double),
        SqlValue::Decimal(_, s) => cast(text(v.as_text().unwrap_or_default()), &SqlType::Decimal(38, *s)),
        SqlValue::Date(_) => cast(text(v.as_text().unwrap_or_default()), &SqlType::Date),
        SqlValue::DateTime(_) => cast(text(v.as_text().unwrap_or_default()), &SqlType::DateTime),
        SqlValue::Bytes(b) => call("unhex_binary", vec![text(hex::encode(b))]),
        SqlValue::Json(t) => cast(text(t.clone()), &SqlType::Json),
        SqlValue::List(_) | SqlValue::Map(_) | SqlValue::Struct(_) => {
            cast(text(crate::json::of_value(v)), &v.likely_type())
        }
        other => text(other.as_text().unwrap_or_default()),
    }
}

fn lower(ident: &mut Ident) {
    ident.value = ident.value.to_lowercase();
    ident.quote_style = Some('`');
}

pub fn arg_exprs(f: &Function) -> Vec<Expr> {
    match &f.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .filter_map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e))
                | FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. }
                | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(e), .. } => Some(e.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn unit_text(e: &Expr) -> Option<String> {
    match e {
        Expr::Identifier(i) => Some(i.value.clone()),
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => Some(s.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn interval_parts(i: &Interval) -> (Expr, Expr) {
    let unit = i.leading_field.as_ref().map_or("DAY".to_string(), |f| f.to_string().to_uppercase());
    ((*i.value).clone(), text(unit))
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<SqlError> {
        // Forms whose parts are no columns are changed before their parts are looked at.
        let next = match e {
            Expr::Function(f) => {
                let name = f.name.to_string().to_lowercase().replace('`', "");
                let mut args = arg_exprs(f);
                match name.as_str() {
                    "timestampadd" | "timestampdiff" | "date_diff" | "dateadd" | "date_trunc" | "time_slice"
                    | "date_slice" | "date_floor" | "date_ceil"
                        if !args.is_empty() =>
                    {
                        if matches!(name.as_str(), "timestampadd" | "timestampdiff" | "date_diff" | "dateadd")
                            && let Some(unit) = unit_text(&args[0])
                        {
                            args[0] = text(unit);
                        }
                        if matches!(name.as_str(), "time_slice" | "date_slice" | "date_floor" | "date_ceil")
                            && let Some(Expr::Interval(i)) = args.get(1)
                        {
                            let (n, unit) = interval_parts(i);
                            let whole =
                                matches!(&n, Expr::Value(v) if v.to_string().trim_matches('\'').parse::<i64>().is_ok());
                            if !whole {
                                let known = match name.as_str() {
                                    "time_slice" => "time_slice",
                                    "date_slice" => "date_slice",
                                    "date_floor" => "date_floor",
                                    _ => "date_ceil",
                                };
                                return ControlFlow::Break(
                                    SqlError::analysis(format!(
                                        "{name} requires second parameter must be a constant interval"
                                    ))
                                    .of_call(known),
                                );
                            }
                            let mut new = vec![args[0].clone(), n, unit];
                            new.extend(args.iter().skip(2).map(|e| unit_text(e).map_or_else(|| e.clone(), text)));
                            args = new;
                        }
                        Some(call(&name, args))
                    }
                    "array_generate" => match args.get(2) {
                        Some(Expr::Interval(i)) => {
                            let (n, unit) = interval_parts(i);
                            args.truncate(2);
                            args.extend([n, unit]);
                            Some(call("array_generate", args))
                        }
                        _ => None,
                    },
                    "date_add" | "adddate" | "date_sub" | "subdate" | "days_add" | "days_sub" => match args.get(1) {
                        Some(Expr::Interval(i)) => {
                            let (n, unit) = interval_parts(i);
                            Some(call(
                                if name.ends_with("sub") || name.starts_with("sub") {
                                    "__interval_sub"
                                } else {
                                    "__interval_add"
                                },
                                vec![args[0].clone(), n, unit],
                            ))
                        }
                        _ => None,
                    },
                    "extract" => None,
                    _ => None,
                }
            }
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), right } => {
                match (&**left, &**right) {
                    (_, Expr::Interval(i)) => {
                        let (n, unit) = interval_parts(i);
                        let name = if *op == BinaryOperator::Plus { "__interval_add" } else { "__interval_sub" };
                        Some(call(name, vec![(**left).clone(), n, unit]))
                    }
                    (Expr::Interval(i), _) if *op == BinaryOperator::Plus => {
                        let (n, unit) = interval_parts(i);
                        Some(call("__interval_add", vec![(**right).clone(), n, unit]))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(next) = next {
            *e = next;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<SqlError> {
        match self.rewrite(e) {
            Ok(Some(next)) => *e = next,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let next = match factor {
            TableFactor::Table { name, partitions, alias, args: None, .. } if !partitions.is_empty() => {
                // The partitions travel in the name; [`super::planner`] takes them out again.
                let list: Vec<String> = partitions.drain(..).map(|i| i.value).collect();
                let plain = name.0.last().map(|p| p.to_string().replace('`', "")).unwrap_or_default();
                if let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() {
                    last.value = format!("{}\u{1}{}", last.value, list.join("\u{1}"));
                    last.quote_style = Some('`');
                }
                if alias.is_none() {
                    *alias = Some(TableAlias {
                        explicit: true,
                        name: Ident::with_quote('`', plain),
                        columns: Vec::new(),
                        at: None,
                    });
                }
                None
            }
            TableFactor::Table { name, args: Some(args), alias, .. } => {
                Some(super::table_function::factor(&plain_name(name), &args.args, alias.clone()))
            }
            TableFactor::Function { name, args, alias, .. } => {
                Some(super::table_function::factor(&plain_name(name), args, alias.clone()))
            }
            TableFactor::TableFunction { expr: Expr::Function(f), alias } => {
                let args = match &f.args {
                    FunctionArguments::List(list) => list.args.as_slice(),
                    _ => &[],
                };
                Some(super::table_function::factor(&plain_name(&f.name), args, alias.clone()))
            }
            TableFactor::UNNEST { array_exprs, alias, .. } => {
                let args: Vec<FunctionArg> =
                    array_exprs.iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e.clone()))).collect();
                Some(super::table_function::factor("unnest", &args, alias.clone()))
            }
            _ => None,
        };
        match next {
            Some(Ok(next)) => *factor = next,
            Some(Err(e)) => return ControlFlow::Break(e),
            None => {}
        }
        if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor {
            // Columns of a VALUES list are called column_0, column_1 …
            if let (SetExpr::Values(values), true) = (subquery.body.as_ref(), alias.columns.is_empty()) {
                let width = values.rows.first().map_or(0, |r| r.len());
                alias.columns = (0..width)
                    .map(|i| TableAliasColumnDef {
                        name: Ident::with_quote('`', format!("column_{i}")),
                        data_type: None,
                    })
                    .collect();
            }
        }
        let alias = match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. } => alias.as_mut(),
            _ => None,
        };
        if let Some(alias) = alias {
            for c in &mut alias.columns {
                lower(&mut c.name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        super::using::rewrite(query);
        name_ordered_items(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                for c in &mut cte.alias.columns {
                    lower(&mut c.name);
                }
            }
        }
        self.set_expr(&mut query.body);
        ControlFlow::Continue(())
    }
}

/// A function's name as the tables of functions have it.
fn plain_name(name: &ObjectName) -> String {
    name.to_string().to_lowercase().replace('`', "")
}

impl Rewriter<'_> {
    fn set_expr(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => {
                for item in &mut select.projection {
                    if let SelectItem::ExprWithAlias { alias, .. } = item {
                        lower(alias);
                    }
                }
                if let Some(Expr::Value(v)) = &mut select.selection
                    && let Value::Number(n, _) = &v.value
                {
                    v.value = Value::Boolean(n.parse::<f64>().is_ok_and(|f| f != 0.0));
                }
            }
            SetExpr::SetOperation { left, right, op, .. } => {
                if *op == SetOperator::Minus {
                    *op = SetOperator::Except;
                }
                self.set_expr(left);
                self.set_expr(right);
            }
            _ => {}
        }
    }

    fn rewrite(&mut self, e: &mut Expr) -> Result<Option<Expr>, SqlError> {
        Ok(match e {
            Expr::Identifier(i) => {
                if i.quote_style.is_none() && i.value.starts_with('@') {
                    let user = !i.value.starts_with("@@");
                    let name = i.value.trim_start_matches('@').to_lowercase();
                    if user && self.facts.nested_variable(&name).is_some() {
                        return Ok(Some(call(&format!("{}{name}", super::functions::variable::PREFIX), Vec::new())));
                    }
                    return Ok(Some(literal(&self.facts.variable(i.value.trim_start_matches('@'), user))));
                }
                if i.quote_style.is_none()
                    && let Some(constant) =
                        bare_word(&i.value).then(|| self.facts.constant(&i.value.to_lowercase(), &[])).flatten()
                {
                    return Ok(Some(constant));
                }
                if i.value.eq_ignore_ascii_case("default") {
                    return Ok(None);
                }
                lower(i);
                None
            }
            Expr::CompoundIdentifier(parts) => {
                if parts[0].quote_style.is_none() && parts[0].value.starts_with('@') {
                    let name = parts.last().map(|p| p.value.clone()).unwrap_or_default();
                    return Ok(Some(literal(&self.facts.variable(&name, false))));
                }
                if let Some(last) = parts.last_mut() {
                    lower(last);
                }
                for p in parts.iter_mut() {
                    p.quote_style = Some('`');
                }
                None
            }
            Expr::Nested(inner) => Some((**inner).clone()),
            Expr::Value(v) => match &v.value {
                Value::DoubleQuotedString(s) => Some(text(s.clone())),
                Value::Number(n, _) => {
                    if n.contains(['e', 'E']) {
                        Some(cast(text(n.clone()), &SqlType::Double))
                    } else if digits(n) > 76 {
                        // More digits than a decimal has.
                        Some(cast(text(n.clone()), &SqlType::Double))
                    } else if !n.contains('.') && n.parse::<i128>().is_err() {
                        Some(cast(text(n.clone()), &SqlType::Decimal(digits(n).max(1) as u8, 0)))
                    } else if !n.contains('.') && n.parse::<i64>().is_err() {
                        Some(cast(text(n.clone()), &SqlType::LargeInt))
                    } else if n.starts_with('.') {
                        Some(number(format!("0{n}")))
                    } else if n.ends_with('.') {
                        Some(number(n.trim_end_matches('.')))
                    } else {
                        None
                    }
                }
                Value::HexStringLiteral(h) => Some(call("unhex_binary", vec![text(h.clone())])),
                Value::Placeholder(p) if p == "?" => {
                    let v = self.params.get(self.used).cloned().unwrap_or(SqlValue::Null);
                    self.used += 1;
                    Some(literal(&v))
                }
                Value::Placeholder(p)
                    if p.starts_with('@')
                        && !p.starts_with("@@")
                        && self.facts.nested_variable(&p[1..].to_lowercase()).is_some() =>
                {
                    let name = p[1..].to_lowercase();
                    Some(call(&format!("{}{name}", super::functions::variable::PREFIX), Vec::new()))
                }
                Value::Placeholder(p) if p.starts_with('@') => {
                    Some(literal(&self.facts.variable(p.trim_start_matches('@'), !p.starts_with("@@"))))
                }
                _ => None,
            },
            Expr::Cast { expr, data_type, .. } => {
                let name = data_type.to_string();
                let name = name.trim_matches('`');
                match type_of_word(name) {
                    Some(t) => Some(cast((**expr).clone(), &t)),
                    None => {
                        let parsed = super::lexer::statements(name)?;
                        match parsed.first() {
                            Some((t, tokens)) => {
                                let t = super::lexer::Cursor::new(t, tokens).sql_type()?;
                                Some(cast((**expr).clone(), &t))
                            }
                            None => None,
                        }
                    }
                }
            }
            Expr::TypedString(t) => {
                let to = if t.data_type.to_string().to_uppercase().starts_with("DATE")
                    && !t.data_type.to_string().eq_ignore_ascii_case("datetime")
                {
                    SqlType::Date
                } else {
                    SqlType::DateTime
                };
                let value = match &t.value.value {
                    Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => s.clone(),
                    other => other.to_string(),
                };
                Some(cast(text(value), &to))
            }
            Expr::BinaryOp { left, op, right } => {
                let (l, r) = ((**left).clone(), (**right).clone());
                match op {
                    BinaryOperator::StringConcat if self.facts.pipes_as_concat() => Some(call("concat", vec![l, r])),
                    BinaryOperator::StringConcat => {
                        *op = BinaryOperator::Or;
                        None
                    }
                    BinaryOperator::Spaceship => Some(Expr::IsNotDistinctFrom(Box::new(l), Box::new(r))),
                    BinaryOperator::HashArrow | BinaryOperator::Arrow => Some(call("json_query", vec![l, r])),
                    BinaryOperator::Multiply
                        if self.facts.variable("decimal_overflow_to_double", false).as_bool() == Some(true) =>
                    {
                        // Numbers as written are multiplied exactly before they become one floating number.
                        let exact = |e: &Expr| match e {
                            Expr::Value(v) => match &v.value {
                                Value::Number(n, _) if n.contains('.') => Some(n.clone()),
                                _ => None,
                            },
                            _ => None,
                        };
                        let most = |n: usize, m: usize| if n > 38 || m > 38 { 76 } else { 38 };
                        match (exact(&l), exact(&r)) {
                            (Some(a), Some(b)) if digits(&a) + digits(&b) > most(digits(&a), digits(&b)) => {
                                let double = |n: String| cast(text(n), &SqlType::Double);
                                Some(call("multiply", vec![double(a), double(b)]))
                            }
                            _ => Some(call("__multiply_or_double", vec![l, r])),
                        }
                    }
                    BinaryOperator::MyIntegerDivide => Some(call("int_divide", vec![l, r])),
                    BinaryOperator::Custom(c) if c == "&&" => {
                        *op = BinaryOperator::And;
                        None
                    }
                    BinaryOperator::PGOverlap => {
                        *op = BinaryOperator::And;
                        None
                    }
                    _ => None,
                }
            }
            Expr::UnaryOp { op, expr } => match op {
                UnaryOperator::BangNot => {
                    *op = UnaryOperator::Not;
                    None
                }
                UnaryOperator::BitwiseNot => Some(call("bitnot", vec![(**expr).clone()])),
                UnaryOperator::Minus => match &**expr {
                    Expr::Value(_) => None,
                    // -9223372036854775808 and the like: the number became a cast text.
                    Expr::Function(f) if f.name.to_string() == "__cast" => {
                        let args = arg_exprs(f);
                        match (args.first().and_then(unit_text), args.get(1).and_then(unit_text)) {
                            (Some(n), Some(t)) => {
                                if n == "9223372036854775808" {
                                    Some(cast(text(format!("-{n}")), &SqlType::BigInt))
                                } else {
                                    Some(call("__cast", vec![text(format!("-{n}")), text(t)]))
                                }
                            }
                            _ => Some(call("negative", vec![(**expr).clone()])),
                        }
                    }
                    _ => Some(call("negative", vec![(**expr).clone()])),
                },
                UnaryOperator::Plus => Some((**expr).clone()),
                _ => None,
            },
            Expr::Extract { field, expr, .. } => Some(call(&field.to_string().to_lowercase(), vec![(**expr).clone()])),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![(**expr).clone()];
                args.extend(substring_from.as_ref().map(|e| (**e).clone()));
                args.extend(substring_for.as_ref().map(|e| (**e).clone()));
                Some(call("substr", args))
            }
            Expr::Position { expr, r#in } => Some(call("locate", vec![(**expr).clone(), (**r#in).clone()])),
            Expr::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let mut args = vec![(**expr).clone()];
                args.extend(trim_what.as_ref().map(|e| (**e).clone()));
                args.extend(trim_characters.iter().flatten().cloned());
                Some(call(name, args))
            }
            Expr::Ceil { expr, .. } => Some(call("ceil", vec![(**expr).clone()])),
            Expr::Floor { expr, .. } => Some(call("floor", vec![(**expr).clone()])),
            // A member that is JSON's null counts as NULL here, and is shown as `null` elsewhere.
            Expr::IsNull(inner) if is_call(inner, "json_query") => {
                Some(Expr::IsNull(Box::new(call("__json_member", vec![(**inner).clone()]))))
            }
            Expr::IsNotNull(inner) if is_call(inner, "json_query") => {
                Some(Expr::IsNotNull(Box::new(call("__json_member", vec![(**inner).clone()]))))
            }
            Expr::Collate { expr, .. } => Some((**expr).clone()),
            Expr::RLike { negated, expr, pattern, .. } => {
                let f = call("regexp", vec![(**expr).clone(), (**pattern).clone()]);
                Some(if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(f) } } else { f })
            }
            Expr::Like { negated, expr, pattern, .. } => {
                let f = call("__like", vec![(**expr).clone(), (**pattern).clone()]);
                Some(if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(f) } } else { f })
            }
            Expr::Map(m) => {
                let mut args = Vec::new();
                for entry in &m.entries {
                    args.push((*entry.key).clone());
                    args.push((*entry.value).clone());
                }
                Some(call("__map", args))
            }
            Expr::Tuple(items) if items.len() > 1 => None,
            Expr::CompoundFieldAccess { root, access_chain } => {
                let mut out = (**root).clone();
                for access in access_chain.iter() {
                    out = match access {
                        AccessExpr::Subscript(Subscript::Index { index }) => {
                            call("__element", vec![out, index.clone()])
                        }
                        AccessExpr::Dot(Expr::Identifier(i)) => call("__field", vec![out, text(i.value.clone())]),
                        AccessExpr::Dot(other) => call("__field", vec![out, other.clone()]),
                        AccessExpr::Subscript(Subscript::Slice { .. }) => {
                            return Err(SqlError::unsupported("array slices in brackets"));
                        }
                    };
                }
                Some(out)
            }
            Expr::Function(f) => {
                let name = f.name.to_string().to_lowercase().replace('`', "");
                if let Some(e) = super::functions::lambda::rewrite(&name, &arg_exprs(f))? {
                    return Ok(Some(e));
                }
                let legacy = self.facts.variable("sql_mode", false).as_text().is_some_and(|m| group_concat_legacy(&m));
                let longest = match self.facts.variable("group_concat_max_len", false) {
                    SqlValue::Null => None,
                    v => Some(literal(&v)),
                };
                match super::functions::aggregate::ordered::rewrite(&name, f, legacy, longest)? {
                    Some(e) => Some(e),
                    None => self.function(f),
                }
            }
            _ => None,
        })
    }

    fn trino(&self) -> bool {
        self.facts.variable("sql_dialect", false).as_text().is_some_and(|d| d.eq_ignore_ascii_case("trino"))
    }

    fn time_zone(&self) -> Expr {
        text(self.facts.variable("time_zone", false).as_text().unwrap_or_else(|| "UTC".into()))
    }

    fn function(&mut self, f: &mut Function) -> Option<Expr> {
        let name = f.name.to_string().to_lowercase().replace('`', "");
        let name = name.rsplit('.').next().unwrap_or_default().to_string();
        let args = arg_exprs(f);
        if f.over.is_none()
            && let Some(constant) = self.facts.constant(&name, &args)
        {
            return Some(constant);
        }
        match name.as_str() {
            "if" if args.len() == 3 => Some(Expr::Case {
                case_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
                end_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition: truth(args[0].clone()), result: args[1].clone() }],
                else_result: Some(Box::new(args[2].clone())),
            }),
            // What depends on the session's time zone is given it.
            "from_unixtime" | "from_unixtime_ms" | "unix_timestamp" if !args.is_empty() => {
                let mut args = args;
                args.push(self.time_zone());
                Some(call(&format!("__{name}"), args))
            }
            "jodatime_format" | "format_datetime" if args.len() == 2 => {
                let mut args = args;
                args.push(self.time_zone());
                Some(call(&name, args))
            }
            "map" => Some(call("__map", args)),
            "grouping_id" => Some(call("grouping", args)),
            // Trino counts the other way round.
            "date_diff" if args.len() == 3 && self.trino() => {
                Some(call("date_diff", vec![args[0].clone(), args[2].clone(), args[1].clone()]))
            }
            "date_add" if args.len() == 3 => {
                Some(call("__interval_add", vec![args[2].clone(), args[1].clone(), args[0].clone()]))
            }
            "ifnull" | "nvl" => Some(call("coalesce", args)),
            "isnull" if args.len() == 1 => Some(Expr::IsNull(Box::new(args[0].clone()))),
            "isnotnull" if args.len() == 1 => Some(Expr::IsNotNull(Box::new(args[0].clone()))),
            "count" if args.is_empty() => {
                if let FunctionArguments::List(list) = &mut f.args
                    && list.args.is_empty()
                {
                    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
                }
                None
            }
            "count" | "multi_distinct_count" => {
                if let FunctionArguments::List(list) = &mut f.args {
                    if name == "multi_distinct_count" {
                        list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
                    }
                    if list.args.len() > 1 {
                        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(call("__tuple", args)))];
                    }
                }
                f.name = ObjectName::from(vec![Ident::new("count")]);
                None
            }
            _ => {
                f.name = ObjectName::from(vec![Ident::with_quote('`', name)]);
                None
            }
        }
    }
}

/// SQL mode GROUP_CONCAT_LEGACY, by name or as its bit.
fn group_concat_legacy(mode: &str) -> bool {
    mode.to_uppercase().contains("GROUP_CONCAT_LEGACY") || mode.parse::<u64>().is_ok_and(|m| m & (1 << 36) != 0)
}

/// `ORDER BY 2` over a computed item orders by that item of the result: it is given a name for that.
fn name_ordered_items(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let named = |i: &SelectItem| matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !select.projection.iter().all(named) {
        return;
    }
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by else { return };
    for key in keys {
        let Expr::Value(v) = &key.expr else { continue };
        let Value::Number(n, _) = &v.value else { continue };
        let Some(at) = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) else { continue };
        let Some(item) = select.projection.get_mut(at) else { continue };
        if let SelectItem::UnnamedExpr(e @ Expr::Function(_)) = item {
            let alias = Ident::with_quote('`', format!("\u{4}{at}"));
            *item = SelectItem::ExprWithAlias { expr: e.clone(), alias: alias.clone() };
            key.expr = Expr::Identifier(alias);
        }
    }
}

fn is_call(e: &Expr, name: &str) -> bool {
    matches!(e, Expr::Function(f) if plain_name(&f.name) == name)
}

/// A condition that may be a number.
fn truth(e: Expr) -> Expr {
    match &e {
        Expr::Value(v) => match &v.value {
            Value::Number(n, _) => Expr::value(Value::Boolean(n.parse::<f64>().is_ok_and(|f| f != 0.0))),
            _ => e,
        },
        _ => call("__truth", vec![e]),
    }
}

fn bare_word(w: &str) -> bool {
    matches!(
        w.to_ascii_lowercase().as_str(),
        "current_timestamp" | "current_date" | "current_time" | "current_user" | "localtime" | "localtimestamp"
    )
}
