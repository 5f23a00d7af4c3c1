//! Calls of functions: which one is meant, and its arguments as it wants them.

use starweir_model::{DataType, Error, LogicalType as L, Result, Value};
use starweir_sql::ast::{Call, ExprKind};

use super::bind::{Bound, Scope, cannot_apply, constant, done, null, wrong_count};
use super::cast::Mode;
use super::functions::{self, Arguments, Want};
use super::node::Node;
use super::types::{self, digest, is_atomic, is_temporal, is_timestamp};
use super::udf::Udf;
use super::unparse::{self, Text};

impl Scope<'_> {
    pub(super) fn call(&self, call: &Call) -> Result<Bound> {
        if call.distinct
            || call.star
            || call.over.is_some()
            || call.filter.is_some()
            || call.within_group.is_some()
            || call.json.is_some()
        {
            return Err(Error::user(format!(
                "Unrecognized expression: {} can not be used like this",
                call.name.text()
            )));
        }
        let name = call.name.last();
        let upper = name.to_ascii_uppercase();
        if let Some(udf) = self.udfs.iter().find(|u| u.name.eq_ignore_ascii_case(name)) {
            let args = call.args.iter().map(|a| self.bind(a)).collect::<Result<Vec<_>>>()?;
            return self.user_function(udf, args);
        }
        let units = functions::find(&upper).is_some_and(|f| f.wants.first() == Some(&Want::Unit));
        let mut args = Vec::with_capacity(call.args.len());
        for (index, arg) in call.args.iter().enumerate() {
            args.push(match &arg.kind {
                ExprKind::Name(unit) if units && index == 0 && unit.parts.len() == 1 => {
                    let unit = unit.last().to_ascii_uppercase();
                    constant(Value::String(unit.clone()), L::Char(unit.len() as u32), &unit)
                }
                _ => self.bind(arg)?,
            });
        }
        match upper.as_str() {
            "IF" => self.if_then_else(args),
            "IFNULL" | "COALESCE" => self.coalesce(&upper, args),
            "ARRAY" | "MAP" | "ROW" => Err(Error::user(format!("{upper} is written with its elements in brackets"))),
            _ => self.invoke(&upper, args),
        }
    }

    fn if_then_else(&self, args: Vec<Bound>) -> Result<Bound> {
        let Ok([condition, then, otherwise]) = <[Bound; 3]>::try_from(args) else { return Err(wrong_count("IF", "3")) };
        let text = Text::call("IF", "if", &[&condition.text, &then.text, &otherwise.text]);
        let condition = self.as_boolean(condition)?;
        let (mut results, of) = self.unified(vec![then, otherwise], "IF")?;
        let (otherwise, then) = (results.pop().unwrap_or_else(null), results.pop().unwrap_or_else(null));
        let node = Node::Case { whens: vec![(condition.node, then.node)], otherwise: Box::new(otherwise.node) };
        Ok(done(node, of, text))
    }

    fn coalesce(&self, name: &str, args: Vec<Bound>) -> Result<Bound> {
        if args.is_empty() || name == "IFNULL" && args.len() != 2 {
            return Err(wrong_count(name, if name == "IFNULL" { "2" } else { "at least 1" }));
        }
        let texts: Vec<&Text> = args.iter().map(|a| &a.text).collect();
        let text = Text::call(name, &unparse::camel_case(name), &texts);
        let nullable = args.iter().all(|a| a.of.nullable || a.of.logical == L::Null);
        let (items, of) = self.unified(args, name)?;
        let node = Node::Coalesce(items.into_iter().map(|i| i.node).collect());
        Ok(done(node, of.with_nullable(nullable), text))
    }

    pub(super) fn invoke(&self, name: &str, args: Vec<Bound>) -> Result<Bound> {
        let Some(function) = functions::find(name) else {
            let families: Vec<_> = args.iter().map(|a| format!("<{}>", types::family(&a.of.logical))).collect();
            let error = Error::user(format!("No match found for function signature {name}({})", families.join(", ")));
            return Err(match starweir_model::nearest(name, functions::names()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            });
        };
        let (fewest, most) = function.arity;
        if args.len() < fewest || args.len() > most {
            let wanted = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
            return Err(wrong_count(name, &wanted));
        }
        let texts: Vec<&Text> = args.iter().map(|a| &a.text).collect();
        let text = Text::call(name, &unparse::camel_case(name), &texts);
        let given: Vec<L> = args.iter().map(|a| a.of.logical.clone()).collect();
        let nullable = args.iter().any(|a| a.of.nullable);
        let mut wanted = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            let want = function.wants.get(index).or(function.wants.last()).copied().unwrap_or(Want::Any);
            wanted.push(self.wanted(arg, want, name, &given)?);
        }
        // A collection's element is looked for in the collection's own type.
        let types: Vec<DataType> = wanted.iter().map(|a| a.of.clone()).collect();
        let literals: Vec<Option<Value>> = wanted
            .iter()
            .map(|a| match &a.node {
                Node::Literal(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let of = (function.returns)(&Arguments { types: &types, literals: &literals, system: self.types });
        let args = wanted.into_iter().map(|a| a.node).collect();
        let node = Node::Call { eval: function.eval, args, strict: function.strict };
        Ok(done(node, DataType { logical: of, nullable }, text))
    }

    /// The argument as the function wants it.
    pub(super) fn wanted(&self, arg: Bound, want: Want, name: &str, given: &[L]) -> Result<Bound> {
        let of = arg.of.logical.clone();
        let refused = || {
            let types: Vec<_> = given.iter().map(|g| format!("<{}>", digest(g))).collect();
            cannot_apply(name, &format!("{name}({})", types.join(", ")))
        };
        let to = match want {
            Want::Any => return Ok(arg),
            Want::Text if of.is_character() => return Ok(arg),
            Want::Text if is_atomic(&of) || of == L::Variant => L::STRING,
            Want::TextOrBytes if of.is_character() || of.is_binary() => return Ok(arg),
            Want::TextOrBytes if is_atomic(&of) => L::STRING,
            Want::Integer if of.is_numeric() => return Ok(arg),
            Want::Integer if of.is_character() => L::Int,
            Want::Number if of.is_numeric() => return Ok(arg),
            Want::Number if of.is_character() => L::Double,
            Want::Boolean if is_atomic(&of) => L::Boolean,
            Want::Temporal if is_temporal(&of) => return Ok(arg),
            Want::Timestamp if is_timestamp(&of) => return Ok(arg),
            Want::Temporal | Want::Timestamp if of.is_character() || of == L::Date => L::Timestamp(3),
            Want::Array if matches!(of, L::Array(_)) => return Ok(arg),
            Want::Collection if matches!(of, L::Array(_) | L::Map(..)) => return Ok(arg),
            Want::Unit if of.is_character() => return Ok(arg),
            _ if of == L::Null => return Ok(arg),
            _ => return Err(refused()),
        };
        let mode =
            if matches!(want, Want::Text | Want::TextOrBytes | Want::Boolean) { Mode::Cast } else { Mode::Implicit };
        Ok(self.convert(arg, &to, mode))
    }

    fn user_function(&self, udf: &Udf, args: Vec<Bound>) -> Result<Bound> {
        let texts: Vec<&Text> = args.iter().map(|a| &a.text).collect();
        let text = Text::call(&udf.name, &udf.name, &texts);
        let native = udf.native()?;
        let mut nodes: Vec<Node> = native.options.iter().map(|o| Node::Literal(o.clone())).collect();
        for arg in args {
            let arg = match &native.wants {
                Some(want) => self.convert(arg, want, Mode::Cast),
                None => arg,
            };
            nodes.push(arg.node);
        }
        Ok(done(Node::Call { eval: native.eval, args: nodes, strict: false }, native.returns, text))
    }
}
