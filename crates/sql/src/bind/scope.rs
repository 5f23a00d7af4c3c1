//! The columns an expression may name.

use starweir_model::DataType;

use crate::ast::{Ident, Name};
use crate::diagnostic::Diagnostic;
use crate::eval::{Node, Typed};
use crate::parser::Parse;

/// A column in reach: its name, its type and the table (alias) it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScopeColumn {
    /// The table's alias, or its own name.
    pub qualifier: Option<String>,
    /// Catalog, database and name, when the table stands under its own name.
    pub path: Option<[String; 3]>,
    pub name: String,
    pub data_type: DataType,
}

/// The columns of the row an expression is evaluated over, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scope {
    pub columns: Vec<ScopeColumn>,
}

impl Scope {
    /// Positions of the columns a qualifier stands for.
    pub fn of_qualifier(&self, qualifier: &[Ident]) -> Vec<usize> {
        self.columns.iter().enumerate().filter(|(_, c)| matches(c, qualifier)).map(|(i, _)| i).collect()
    }

    /// Resolves a dotted name to a column and the fields behind it.
    pub fn resolve<'n>(&self, name: &'n Name) -> Parse<(usize, &'n [Ident])> {
        let parts = &name.parts;
        // The longest qualifier first: cat.db.t.c, db.t.c, t.c; then c.field.
        for qualifier_len in (1..=3.min(parts.len().saturating_sub(1))).rev() {
            let (qualifier, rest) = parts.split_at(qualifier_len);
            let members = self.of_qualifier(qualifier);
            if members.is_empty() {
                continue;
            }
            let Some(column) = rest.first() else { continue };
            let mut found = members.iter().filter(|i| self.columns[**i].name == column.name);
            if let Some(index) = found.next() {
                if found.next().is_some() {
                    return Err(ambiguous(column));
                }
                return Ok((*index, &rest[1..]));
            }
            // A column of the same name as the table may still be meant.
            if self.columns.iter().any(|c| c.name == parts[0].name) {
                continue;
            }
            let known = members.iter().map(|i| self.columns[*i].name.as_str());
            return Err(Diagnostic::at(
                column.span.clone(),
                format!("table '{}' has no column '{}'", qualifier[qualifier_len - 1].name, column.name),
            )
            .with_label("unknown column")
            .with_nearest(&column.name, known));
        }
        let Some(first) = parts.first() else { return Err(Diagnostic::plain("a name is empty")) };
        let mut found = self.columns.iter().enumerate().filter(|(_, c)| c.name == first.name);
        if let Some((index, _)) = found.next() {
            if found.next().is_some() {
                return Err(ambiguous(first));
            }
            return Ok((index, &parts[1..]));
        }
        if parts.len() > 1 {
            let known = self.columns.iter().filter_map(|c| c.qualifier.as_deref());
            return Err(Diagnostic::at(first.span.clone(), format!("there is no table '{}' here", first.name))
                .with_label("unknown table")
                .with_nearest(&first.name, known));
        }
        let known = self.columns.iter().map(|c| c.name.as_str());
        Err(Diagnostic::at(first.span.clone(), format!("unknown column '{}'", first.name))
            .with_label("unknown column")
            .with_nearest(&first.name, known))
    }

    pub fn column(&self, index: usize, span: crate::Span) -> Typed {
        Typed::new(Node::Column(index), self.columns[index].data_type.clone(), span)
    }

    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }
}

fn matches(column: &ScopeColumn, qualifier: &[Ident]) -> bool {
    match qualifier {
        [alias] => column.qualifier.as_deref() == Some(alias.name.as_str()),
        [db, table] => column.path.as_ref().is_some_and(|p| p[1] == db.name && p[2] == table.name),
        [catalog, db, table] => {
            column.path.as_ref().is_some_and(|p| p[0] == catalog.name && p[1] == db.name && p[2] == table.name)
        }
        _ => false,
    }
}

fn ambiguous(column: &Ident) -> Diagnostic {
    Diagnostic::at(column.span.clone(), format!("column '{}' is in more than one table", column.name))
        .with_label("ambiguous")
        .with_hint("write the table's name and a dot before it")
}
