//! CREATE, ALTER and DROP: what they do to the session's catalogs.

use std::sync::Arc;

use starweir_model::{DataType, LogicalType as L};

use super::{Many, Outcome, Relation, Session, ViewDef, one, table_options, unknown_column};
use crate::ast::{self, AlterTable, ColumnPosition, ObjectKind, TableElements};
use crate::bind::expr::ExprBinder;
use crate::bind::query::{Names, QueryBinder};
use crate::bind::scope::{Scope, ScopeColumn};
use crate::diagnostic::{Diagnostic, Span};
use crate::parser::Parse;
use crate::plan::{ColumnKind, TableColumn, TableDef, WatermarkSpec};
use crate::types;

impl Session {
    pub(super) fn create_table(&mut self, create: &ast::CreateTable, span: &Span) -> Many<Outcome> {
        let path = one(self.path(&create.name))?;
        let mut table = TableDef {
            path: path.clone(),
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: create.partitioned_by.iter().map(|c| c.name.clone()).collect(),
            comment: create.comment.clone(),
            options: table_options(&create.options),
            temporary: create.temporary,
            span: span.clone(),
        };
        let mut seen = std::collections::HashSet::new();
        let mut diagnostics = Vec::new();
        for option in &table.options {
            if !seen.insert(option.key.clone()) {
                diagnostics
                    .push(Diagnostic::at(option.key_span.clone(), format!("option '{}' is written twice", option.key)));
            }
        }
        if let Some(like) = &create.like {
            one(self.apply_like(&mut table, like))?;
        }
        let settings = self.plan_settings();
        let query = match &create.as_query {
            None => None,
            Some(query) => {
                let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
                let rel = one(binder.rel(query))?;
                if create.elements.columns.is_empty() {
                    for column in &rel.scope.columns {
                        let nullable_null = column.data_type.logical == L::Null;
                        if nullable_null {
                            diagnostics.push(Diagnostic::at(
                                query.span.clone(),
                                format!("column '{}' is NULL: its type is unknown", column.name),
                            ));
                        }
                        table.columns.push(TableColumn {
                            name: column.name.clone(),
                            data_type: column.data_type.clone(),
                            comment: None,
                            kind: ColumnKind::Physical,
                        });
                    }
                    if !create.elements.names.is_empty() {
                        // CREATE TABLE t (b, a) AS …: the named order.
                        let mut ordered = Vec::new();
                        for name in &create.elements.names {
                            match table.columns.iter().find(|c| c.name == name.name) {
                                Some(column) => ordered.push(column.clone()),
                                None => diagnostics.push(
                                    Diagnostic::at(
                                        name.span.clone(),
                                        format!("the query has no column '{}'", name.name),
                                    )
                                    .with_nearest(&name.name, table.columns.iter().map(|c| c.name.as_str())),
                                ),
                            }
                        }
                        if ordered.len() == table.columns.len() {
                            table.columns = ordered;
                        }
                    }
                }
                Some(rel)
            }
        };
        if create.as_query.is_none()
            && create.elements.columns.is_empty()
            && create.like.is_none()
            && create.elements.names.is_empty()
        {
            diagnostics.push(Diagnostic::at(create.name.span(), format!("table '{}' has no columns", path.name)));
        }
        if create.as_query.is_none() {
            for name in &create.elements.names {
                diagnostics.push(Diagnostic::at(name.span.clone(), format!("column '{}' has no type", name.name)));
            }
        }
        self.apply_elements(&mut table, &create.elements, &mut diagnostics);
        for column in &create.partitioned_by {
            if !table.columns.iter().any(|c| c.name == column.name) {
                diagnostics.push(
                    Diagnostic::at(column.span.clone(), format!("unknown partition column '{}'", column.name))
                        .with_nearest(&column.name, table.columns.iter().map(|c| c.name.as_str())),
                );
            }
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let done = self.put(
            path,
            Relation::Table(Arc::new(table.clone())),
            create.if_not_exists,
            create.or_replace,
            &create.name,
        )?;
        let Some(rel) = query else { return Ok(done) };
        // CREATE TABLE AS: the columns of the query go to the columns of their names.
        let insert = one(self.finish_insert(Arc::new(table), rel, Vec::new(), &[], &[], false, span.clone(), true))?;
        if let Some(set) = &mut self.open_set {
            set.push(insert);
            return Ok(Outcome::Done("CREATE TABLE AS added to the statement set".to_owned()));
        }
        Ok(Outcome::Inserts(vec![insert]))
    }

    pub(super) fn apply_like(&self, table: &mut TableDef, like: &ast::LikeClause) -> Parse<()> {
        let source = match self.relation(&like.source)? {
            Relation::Table(source) => source,
            Relation::View(_) => {
                return Err(Diagnostic::at(like.source.span(), "LIKE takes a table, this is a view"));
            }
        };
        // Defaults: everything included, options, generated columns and watermarks may be added to.
        let all = like.options.iter().find(|(_, what, _)| what == "ALL").map(|(verb, ..)| verb.as_str());
        let strategy = |what: &str| -> &str {
            like.options
                .iter()
                .find(|(_, w, _)| w == what)
                .map(|(verb, ..)| verb.as_str())
                .or(all)
                .unwrap_or("INCLUDING")
        };
        for (verb, what, span) in &like.options {
            if verb == "OVERWRITING" && matches!(what.as_str(), "ALL" | "CONSTRAINTS" | "PARTITIONS" | "DISTRIBUTION") {
                return Err(Diagnostic::at(span.clone(), format!("OVERWRITING does not apply to {what}")));
            }
        }
        for column in &source.columns {
            let keep = match &column.kind {
                ColumnKind::Physical => true,
                ColumnKind::Computed(_) => strategy("GENERATED") != "EXCLUDING",
                ColumnKind::Metadata { .. } => strategy("METADATA") != "EXCLUDING",
            };
            if keep {
                table.columns.push(column.clone());
            }
        }
        if strategy("CONSTRAINTS") != "EXCLUDING" {
            let names: Vec<&str> = source.primary_key.iter().map(|k| source.columns[*k].name.as_str()).collect();
            table.primary_key = names.iter().filter_map(|n| table.columns.iter().position(|c| c.name == *n)).collect();
        }
        if strategy("WATERMARKS") != "EXCLUDING"
            && let Some(watermark) = &source.watermark
        {
            let name = &source.columns[watermark.column].name;
            if let Some(column) = table.columns.iter().position(|c| c.name == *name) {
                table.watermark = Some(WatermarkSpec { column, expression: watermark.expression.clone() });
            }
        }
        if strategy("PARTITIONS") != "EXCLUDING" && table.partitioned_by.is_empty() {
            table.partitioned_by.clone_from(&source.partitioned_by);
        }
        let verb = strategy("OPTIONS");
        if verb != "EXCLUDING" {
            for option in &source.options {
                if let Some(own) = table.options.iter().find(|o| o.key == option.key) {
                    if verb == "INCLUDING" && like.options.iter().any(|(_, w, _)| w == "OPTIONS") {
                        return Err(Diagnostic::at(
                            own.key_span.clone(),
                            format!("option '{}' is in the source table too", own.key),
                        )
                        .with_hint("write OVERWRITING OPTIONS"));
                    }
                    continue;
                }
                table.options.push(option.clone());
            }
        }
        Ok(())
    }

    /// Adds declared columns, keys and watermarks; all mistakes are collected.
    pub(super) fn apply_elements(
        &self,
        table: &mut TableDef,
        elements: &TableElements,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let mut own: Vec<String> = Vec::new();
        for def in &elements.columns {
            let (data_type, kind) = match &def.kind {
                ast::ColumnKind::Physical { type_name } => (type_of(type_name, diagnostics), ColumnKind::Physical),
                ast::ColumnKind::Metadata { type_name, key, virtual_ } => {
                    let key = key.clone().unwrap_or_else(|| def.name.name.clone());
                    (type_of(type_name, diagnostics), ColumnKind::Metadata { key, virtual_: *virtual_ })
                }
                ast::ColumnKind::Computed { text, .. } => {
                    (DataType::nullable(L::Null), ColumnKind::Computed(text.clone()))
                }
            };
            if own.contains(&def.name.name) {
                diagnostics.push(Diagnostic::at(
                    def.name.span.clone(),
                    format!("column '{}' is declared twice", def.name.name),
                ));
                continue;
            }
            own.push(def.name.name.clone());
            let column = TableColumn { name: def.name.name.clone(), data_type, comment: def.comment.clone(), kind };
            if let Some(at) = table.columns.iter().position(|c| c.name == def.name.name) {
                // LIKE … or AS: a column of the same name is overwritten where it stands.
                table.columns[at] = column;
                continue;
            }
            let at = match &def.position {
                None => table.columns.len(),
                Some(ColumnPosition::First) => 0,
                Some(ColumnPosition::After(name)) => match table.columns.iter().position(|c| c.name == name.name) {
                    Some(at) => at + 1,
                    None => {
                        diagnostics.push(unknown_column(name, table));
                        table.columns.len()
                    }
                },
            };
            table.columns.insert(at, column);
            for key in &mut table.primary_key {
                if *key >= at {
                    *key += 1;
                }
            }
            if let Some(watermark) = &mut table.watermark
                && watermark.column >= at
            {
                watermark.column += 1;
            }
        }
        // Computed columns see the columns the connector gives.
        let mut given = Scope::default();
        for column in table.columns.iter().filter(|c| !matches!(c.kind, ColumnKind::Computed(_))) {
            given.columns.push(ScopeColumn {
                qualifier: Some(table.path.name.clone()),
                path: None,
                name: column.name.clone(),
                data_type: column.data_type.clone(),
            });
        }
        let settings = self.plan_settings();
        for def in &elements.columns {
            let ast::ColumnKind::Computed { expr, .. } = &def.kind else { continue };
            match (ExprBinder { scope: &given, settings: &settings }).bind(expr) {
                Ok(bound) => {
                    if let Some(column) = table.columns.iter_mut().find(|c| c.name == def.name.name) {
                        column.data_type = bound.data_type;
                    }
                }
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        let mut keys = 0;
        for key in &elements.keys {
            if key.unique {
                diagnostics.push(Diagnostic::at(
                    key.span.clone(),
                    "UNIQUE is not supported: only PRIMARY KEY … NOT ENFORCED is",
                ));
                continue;
            }
            keys += 1;
            if key.enforced != Some(false) {
                diagnostics.push(
                    Diagnostic::at(
                        key.span.clone(),
                        "a primary key must say NOT ENFORCED: nothing here checks that it is unique",
                    )
                    .with_label("write NOT ENFORCED behind it"),
                );
                continue;
            }
            if keys > 1 {
                diagnostics.push(Diagnostic::at(key.span.clone(), "a table has one primary key"));
                continue;
            }
            let mut positions = Vec::new();
            for name in &key.columns {
                match table.columns.iter().position(|c| c.name == name.name) {
                    None => diagnostics.push(unknown_column(name, table)),
                    Some(at) => {
                        if table.columns[at].kind != ColumnKind::Physical {
                            diagnostics.push(Diagnostic::at(
                                name.span.clone(),
                                format!("'{}' is no physical column: it can not be in the key", name.name),
                            ));
                        }
                        // Flink makes key columns NOT NULL.
                        table.columns[at].data_type.nullable = false;
                        positions.push(at);
                    }
                }
            }
            table.primary_key = positions;
        }
        if let [_, second, ..] = elements.watermarks.as_slice() {
            diagnostics.push(Diagnostic::at(second.column.span(), "a table has one watermark"));
        }
        if let Some(def) = elements.watermarks.first() {
            let mut scope = Scope::default();
            for column in &table.columns {
                scope.columns.push(ScopeColumn {
                    qualifier: Some(table.path.name.clone()),
                    path: None,
                    name: column.name.clone(),
                    data_type: column.data_type.clone(),
                });
            }
            match scope.resolve(&def.column) {
                Err(diagnostic) => diagnostics.push(diagnostic),
                Ok((_, fields)) if !fields.is_empty() => diagnostics.push(
                    Diagnostic::at(def.column.span(), "the event-time column must be a column of its own")
                        .with_hint("declare a computed column for the field"),
                ),
                Ok((column, _)) => {
                    let logical = &table.columns[column].data_type.logical;
                    if !matches!(logical, L::Timestamp(p) | L::TimestampLtz(p) if *p <= 3) {
                        diagnostics.push(
                            Diagnostic::at(
                                def.column.span(),
                                format!(
                                    "the event-time column must be TIMESTAMP(3) or TIMESTAMP_LTZ(3), this is {logical}"
                                ),
                            )
                            .with_label(logical.to_string()),
                        );
                    }
                    match (ExprBinder { scope: &scope, settings: &settings }).bind(&def.expr) {
                        Err(diagnostic) => diagnostics.push(diagnostic),
                        Ok(bound) if !types::is_timestamp(&bound.data_type.logical) => {
                            diagnostics.push(Diagnostic::at(
                                def.expr.span.clone(),
                                format!("the watermark must be a TIMESTAMP, this is {}", bound.data_type.logical),
                            ))
                        }
                        Ok(_) => table.watermark = Some(WatermarkSpec { column, expression: def.text.clone() }),
                    }
                }
            }
        }
    }

    pub(super) fn drop(
        &mut self,
        kind: ObjectKind,
        name: &ast::Name,
        if_exists: bool,
        cascade: bool,
    ) -> Parse<Outcome> {
        let missing = |what: &str, diagnostic: Diagnostic| {
            if if_exists {
                Ok(Outcome::Done(format!("{what} '{}' does not exist", name.text())))
            } else {
                Err(diagnostic)
            }
        };
        match kind {
            ObjectKind::Table | ObjectKind::View => {
                let path = self.path(name)?;
                let relation = match self.relation(name) {
                    Ok(relation) => relation,
                    Err(diagnostic) => {
                        return missing(if kind == ObjectKind::Table { "table" } else { "view" }, diagnostic);
                    }
                };
                let is_table = matches!(relation, Relation::Table(_));
                if is_table != (kind == ObjectKind::Table) {
                    let what = if is_table { "a table, not a view" } else { "a view, not a table" };
                    return Err(Diagnostic::at(name.span(), format!("'{}' is {what}", path.name)));
                }
                self.database_mut(&path.catalog, &path.database, &name.span())?.relations.remove(&path.name);
                Ok(Outcome::Done(format!("'{}' dropped", path.name)))
            }
            ObjectKind::Database => {
                let (catalog, database) = self.database_path(name)?;
                let found = match self.database_mut(&catalog, &database, &name.span()) {
                    Ok(found) => found,
                    Err(diagnostic) => return missing("database", diagnostic),
                };
                if !found.relations.is_empty() && !cascade {
                    return Err(Diagnostic::at(name.span(), format!("database '{database}' is not empty"))
                        .with_hint("write CASCADE to drop its tables too"));
                }
                if let Some(found) = self.catalogs.get_mut(&catalog) {
                    found.databases.remove(&database);
                }
                Ok(Outcome::Done(format!("database '{database}' dropped")))
            }
            ObjectKind::Catalog => {
                let catalog = name.last().to_owned();
                if catalog == self.current_catalog {
                    return Err(Diagnostic::at(name.span(), format!("catalog '{catalog}' is in use")));
                }
                if self.catalogs.remove(&catalog).is_none() {
                    let diagnostic = self.no_catalog(&catalog, name.span());
                    return missing("catalog", diagnostic);
                }
                Ok(Outcome::Done(format!("catalog '{catalog}' dropped")))
            }
            ObjectKind::Function => {
                missing("function", Diagnostic::at(name.span(), format!("unknown function '{}'", name.text())))
            }
        }
    }

    pub(super) fn rename(&mut self, name: &ast::Name, to: &ast::Name) -> Parse<Outcome> {
        let from = self.path(name)?;
        let mut target = self.path(to)?;
        if to.parts.len() == 1 {
            target.catalog.clone_from(&from.catalog);
            target.database.clone_from(&from.database);
        }
        let relation = self.relation(name)?;
        if self.database_mut(&target.catalog, &target.database, &to.span())?.relations.contains_key(&target.name) {
            return Err(Diagnostic::at(to.span(), format!("'{}' exists already", target.name)));
        }
        let renamed = match relation {
            Relation::Table(t) => Relation::Table(Arc::new(TableDef { path: target.clone(), ..t.as_ref().clone() })),
            Relation::View(v) => Relation::View(Arc::new(ViewDef { path: target.clone(), ..v.as_ref().clone() })),
        };
        self.database_mut(&from.catalog, &from.database, &name.span())?.relations.remove(&from.name);
        self.database_mut(&target.catalog, &target.database, &to.span())?
            .relations
            .insert(target.name.clone(), renamed);
        Ok(Outcome::Done(format!("'{}' is now '{}'", from.name, target.name)))
    }

    pub(super) fn alter_table(&mut self, name: &ast::Name, if_exists: bool, change: &AlterTable) -> Many<Outcome> {
        let path = one(self.path(name))?;
        let table = match self.relation(name) {
            Ok(Relation::Table(table)) => table,
            Ok(Relation::View(_)) => {
                return Err(vec![Diagnostic::at(name.span(), format!("'{}' is a view, not a table", path.name))]);
            }
            Err(_) if if_exists => return Ok(Outcome::Done(format!("table '{}' does not exist", path.name))),
            Err(diagnostic) => return Err(vec![diagnostic]),
        };
        if let AlterTable::Rename(to) = change {
            return one(self.rename(name, to));
        }
        let mut changed = table.as_ref().clone();
        let mut diagnostics = Vec::new();
        match change {
            AlterTable::Rename(_) => {}
            AlterTable::Set(options) => {
                for option in table_options(options) {
                    changed.options.retain(|o| o.key != option.key);
                    changed.options.push(option);
                }
            }
            AlterTable::Reset(keys) => {
                if keys.is_empty() {
                    diagnostics.push(Diagnostic::at(name.span(), "ALTER TABLE RESET does not support empty key"));
                }
                changed.options.retain(|o| !keys.contains(&o.key));
            }
            AlterTable::Add(elements) => {
                for column in &elements.columns {
                    if changed.columns.iter().any(|c| c.name == column.name.name) {
                        diagnostics.push(Diagnostic::at(
                            column.name.span.clone(),
                            format!("column '{}' exists already", column.name.name),
                        ));
                    }
                }
                if !elements.keys.is_empty() && !changed.primary_key.is_empty() {
                    diagnostics.push(
                        Diagnostic::at(elements.keys[0].span.clone(), "the table has a primary key already")
                            .with_hint("use MODIFY"),
                    );
                }
                if !elements.watermarks.is_empty() && changed.watermark.is_some() {
                    diagnostics.push(
                        Diagnostic::at(elements.watermarks[0].column.span(), "the table has a watermark already")
                            .with_hint("use MODIFY"),
                    );
                }
                self.apply_elements(&mut changed, elements, &mut diagnostics);
            }
            AlterTable::Modify(elements) => {
                for column in &elements.columns {
                    if !changed.columns.iter().any(|c| c.name == column.name.name) {
                        diagnostics.push(unknown_column(&column.name, &changed));
                    }
                }
                self.apply_elements(&mut changed, elements, &mut diagnostics);
                for def in &elements.columns {
                    if let Some(position) = &def.position {
                        move_column(&mut changed, &def.name.name, position, &mut diagnostics);
                    }
                }
            }
            AlterTable::RenameColumn { from, to } => match changed.columns.iter().position(|c| c.name == from.last()) {
                None => diagnostics.push(
                    Diagnostic::at(from.span(), format!("unknown column '{}'", from.text()))
                        .with_nearest(from.last(), changed.columns.iter().map(|c| c.name.as_str())),
                ),
                Some(_) if changed.columns.iter().any(|c| c.name == to.name) => {
                    diagnostics.push(Diagnostic::at(to.span.clone(), format!("column '{}' exists already", to.name)));
                }
                Some(at) => {
                    changed.columns[at].name.clone_from(&to.name);
                    for column in &mut changed.partitioned_by {
                        if column == from.last() {
                            column.clone_from(&to.name);
                        }
                    }
                }
            },
            AlterTable::DropColumns(names) => {
                for name in names {
                    let Some(at) = changed.columns.iter().position(|c| c.name == name.last()) else {
                        diagnostics.push(
                            Diagnostic::at(name.span(), format!("unknown column '{}'", name.text()))
                                .with_nearest(name.last(), changed.columns.iter().map(|c| c.name.as_str())),
                        );
                        continue;
                    };
                    if changed.primary_key.contains(&at) || changed.watermark.as_ref().is_some_and(|w| w.column == at) {
                        diagnostics.push(Diagnostic::at(
                            name.span(),
                            format!("column '{}' is in the primary key or carries the watermark", name.last()),
                        ));
                        continue;
                    }
                    changed.columns.remove(at);
                    for key in &mut changed.primary_key {
                        if *key > at {
                            *key -= 1;
                        }
                    }
                    if let Some(watermark) = &mut changed.watermark
                        && watermark.column > at
                    {
                        watermark.column -= 1;
                    }
                }
            }
            AlterTable::DropPrimaryKey => {
                if changed.primary_key.is_empty() {
                    diagnostics.push(Diagnostic::at(name.span(), "the table has no primary key"));
                }
                changed.primary_key.clear();
            }
            AlterTable::DropConstraint(_) => changed.primary_key.clear(),
            AlterTable::DropWatermark => {
                if changed.watermark.is_none() {
                    diagnostics.push(Diagnostic::at(name.span(), "the table has no watermark"));
                }
                changed.watermark = None;
            }
            AlterTable::DropDistribution => {}
            AlterTable::Other(what) => diagnostics.push(
                Diagnostic::at(
                    name.span(),
                    format!("ALTER TABLE {what} can not be run: the system that stores the table does it"),
                )
                .with_label("refused"),
            ),
        }
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let database = one(self.database_mut(&path.catalog, &path.database, &name.span()))?;
        database.relations.insert(path.name.clone(), Relation::Table(Arc::new(changed)));
        Ok(Outcome::Done(format!("table '{}' changed", path.name)))
    }
}

fn move_column(table: &mut TableDef, name: &str, position: &ColumnPosition, diagnostics: &mut Vec<Diagnostic>) {
    let keys: Vec<String> = table.primary_key.iter().map(|k| table.columns[*k].name.clone()).collect();
    let marked = table.watermark.as_ref().map(|w| table.columns[w.column].name.clone());
    let Some(from) = table.columns.iter().position(|c| c.name == name) else { return };
    let column = table.columns.remove(from);
    let at = match position {
        ColumnPosition::First => 0,
        ColumnPosition::After(after) => match table.columns.iter().position(|c| c.name == after.name) {
            Some(at) => at + 1,
            None => {
                diagnostics.push(unknown_column(after, table));
                from
            }
        },
    };
    table.columns.insert(at, column);
    table.primary_key = keys.iter().filter_map(|k| table.columns.iter().position(|c| c.name == *k)).collect();
    if let (Some(watermark), Some(name)) = (&mut table.watermark, marked)
        && let Some(at) = table.columns.iter().position(|c| c.name == name)
    {
        watermark.column = at;
    }
}

fn type_of(type_name: &ast::TypeName, diagnostics: &mut Vec<Diagnostic>) -> DataType {
    match &type_name.data_type {
        Some(data_type) => data_type.clone(),
        None => {
            diagnostics.push(Diagnostic::unsupported(type_name.span.clone(), format!("the type {}", type_name.text)));
            DataType::nullable(L::Null)
        }
    }
}
