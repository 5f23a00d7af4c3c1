//! SHOW and DESCRIBE: answers from the session's catalogs.

use super::{Many, Outcome, Relation, Session, one};
use crate::ast::{self, LikeFilter, ShowWhat};
use crate::bind::query::{Names, QueryBinder};
use crate::diagnostic::Diagnostic;
use crate::functions;
use crate::parser::Parse;
use crate::plan::{ColumnKind, TableDef, TableOption, TablePath};

impl Session {
    pub(super) fn show(&self, what: &ShowWhat, scope: Option<&ast::Name>, like: Option<&LikeFilter>) -> Many<Outcome> {
        let list = |title: &str, names: Vec<String>| {
            let rows = names.into_iter().filter(|n| like.is_none_or(|l| l.matches(n))).map(|n| vec![n]).collect();
            Ok(Outcome::Rows { columns: vec![title.to_owned()], rows })
        };
        let database = || -> Parse<(String, String)> {
            match scope {
                Some(name) => self.database_path(name),
                None => Ok((self.current_catalog.clone(), self.current_database.clone())),
            }
        };
        let relations = |views: bool| -> Many<Vec<String>> {
            let (catalog, database) = one(database())?;
            let span = scope.map_or(0..0, ast::Name::span);
            let found = self.catalogs.get(&catalog).ok_or_else(|| vec![self.no_catalog(&catalog, span.clone())])?;
            let mut names: Vec<String> = match found.databases.get(&database) {
                Some(d) => d
                    .relations
                    .iter()
                    .filter(|(_, r)| !views || matches!(r, Relation::View(_)))
                    .map(|(n, _)| n.clone())
                    .collect(),
                None if found.def.is_some() && self.external.is_some() => Vec::new(),
                None => return Err(vec![Diagnostic::at(span, format!("unknown database '{catalog}.{database}'"))]),
            };
            if let (Some(def), Some(external), false) = (&found.def, &self.external, views) {
                names.extend(external.tables(def, &database).map_err(|m| vec![Diagnostic::plain(m)])?);
            }
            Ok(names)
        };
        match what {
            ShowWhat::Catalogs => list("catalog name", self.catalogs.keys().cloned().collect()),
            ShowWhat::CurrentCatalog => list("current catalog name", vec![self.current_catalog.clone()]),
            ShowWhat::CurrentDatabase => list("current database name", vec![self.current_database.clone()]),
            ShowWhat::Databases => {
                let catalog = scope.map_or(self.current_catalog.clone(), |n| n.text());
                let span = scope.map_or(0..0, ast::Name::span);
                let found = self.catalogs.get(&catalog).ok_or_else(|| vec![self.no_catalog(&catalog, span)])?;
                let mut names: Vec<String> = found.databases.keys().cloned().collect();
                if let (Some(def), Some(external)) = (&found.def, &self.external) {
                    names.extend(external.databases(def).map_err(|m| vec![Diagnostic::plain(m)])?);
                }
                list("database name", names)
            }
            ShowWhat::Tables => list("table name", relations(false)?),
            ShowWhat::Views => list("view name", relations(true)?),
            ShowWhat::Functions { user } => list(
                "function name",
                if *user { Vec::new() } else { functions::names().map(str::to_lowercase).collect() },
            ),
            ShowWhat::Modules { .. } => list("module name", vec!["core".to_owned()]),
            ShowWhat::Jars => list("jars", Vec::new()),
            ShowWhat::Procedures => list("procedure name", Vec::new()),
            ShowWhat::Jobs => Ok(Outcome::Rows {
                columns: ["job id", "job name", "status", "start time"].map(str::to_owned).to_vec(),
                rows: Vec::new(),
            }),
            ShowWhat::Partitions(name) => {
                one(self.relation(name))?;
                list("partition name", Vec::new())
            }
            ShowWhat::Columns(name) => match self.describe(name)? {
                Outcome::Rows { columns, rows } => {
                    let rows = rows.into_iter().filter(|r| like.is_none_or(|l| l.matches(&r[0]))).collect();
                    Ok(Outcome::Rows { columns, rows })
                }
                other => Ok(other),
            },
            ShowWhat::CreateTable(name) => match one(self.relation(name))? {
                Relation::Table(table) => list("result", vec![create_table_text(&table)]),
                Relation::View(_) => Err(vec![Diagnostic::at(name.span(), "this is a view: use SHOW CREATE VIEW")]),
            },
            ShowWhat::CreateView(name) => match one(self.relation(name))? {
                Relation::View(view) => {
                    let kind = if view.temporary { "TEMPORARY VIEW" } else { "VIEW" };
                    list("result", vec![format!("CREATE {kind} {} AS {}", quoted_path(&view.path), view.text)])
                }
                Relation::Table(_) => Err(vec![Diagnostic::at(name.span(), "this is a table: use SHOW CREATE TABLE")]),
            },
            ShowWhat::CreateCatalog(name) => {
                let catalog =
                    self.catalogs.get(name.last()).ok_or_else(|| vec![self.no_catalog(name.last(), name.span())])?;
                let options = catalog.def.as_ref().map(|d| d.options.clone()).unwrap_or_default();
                list("result", vec![format!("CREATE CATALOG `{}`{}", name.last(), options_text(&options))])
            }
            ShowWhat::Other(what) => {
                Err(vec![Diagnostic::plain(format!("{what} can not be run: there are no such objects here"))])
            }
        }
    }

    pub(super) fn describe(&self, name: &ast::Name) -> Many<Outcome> {
        let columns = ["name", "type", "null", "key", "extras", "watermark"].map(str::to_owned).to_vec();
        let rows = match one(self.relation(name))? {
            Relation::Table(table) => table
                .columns
                .iter()
                .enumerate()
                .map(|(i, c)| {
                    let key = if table.primary_key.contains(&i) {
                        let names: Vec<_> = table.primary_key.iter().map(|k| table.columns[*k].name.as_str()).collect();
                        format!("PRI({})", names.join(", "))
                    } else {
                        String::new()
                    };
                    let extras = match &c.kind {
                        ColumnKind::Physical => String::new(),
                        ColumnKind::Computed(text) => format!("AS {text}"),
                        ColumnKind::Metadata { key, virtual_ } => {
                            let from = if *key == c.name { String::new() } else { format!(" FROM '{key}'") };
                            format!("METADATA{from}{}", if *virtual_ { " VIRTUAL" } else { "" })
                        }
                    };
                    let watermark = table
                        .watermark
                        .as_ref()
                        .filter(|w| w.column == i)
                        .map_or(String::new(), |w| w.expression.clone());
                    let null = if c.data_type.nullable { "TRUE" } else { "FALSE" };
                    vec![c.name.clone(), c.data_type.logical.to_string(), null.to_owned(), key, extras, watermark]
                })
                .collect(),
            Relation::View(view) => {
                let settings = self.plan_settings();
                let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
                let rel = one(binder.rel(&view.query))?;
                rel.scope
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(i, c)| {
                        let name = view.columns.get(i).map_or_else(|| c.name.clone(), |n| n.name.clone());
                        let null = if c.data_type.nullable { "TRUE" } else { "FALSE" };
                        vec![
                            name,
                            c.data_type.logical.to_string(),
                            null.to_owned(),
                            String::new(),
                            String::new(),
                            String::new(),
                        ]
                    })
                    .collect()
            }
        };
        Ok(Outcome::Rows { columns, rows })
    }

    pub(super) fn describe_other(&self, what: &str, name: &ast::Name) -> Many<Outcome> {
        let columns = vec!["info name".to_owned(), "info value".to_owned()];
        let row = |k: &str, v: String| vec![k.to_owned(), v];
        match what {
            "catalog" => {
                let catalog =
                    self.catalogs.get(name.last()).ok_or_else(|| vec![self.no_catalog(name.last(), name.span())])?;
                let mut rows = vec![row("name", name.last().to_owned())];
                if let Some(def) = &catalog.def {
                    rows.push(row("comment", def.comment.clone().unwrap_or_default()));
                    rows.extend(def.options.iter().map(|o| row(&format!("option:{}", o.key), hide(o))));
                }
                Ok(Outcome::Rows { columns, rows })
            }
            "database" => {
                let (catalog, database) = one(self.database_path(name))?;
                let found = self.catalogs.get(&catalog).and_then(|c| c.databases.get(&database));
                let found = found.ok_or_else(|| {
                    vec![Diagnostic::at(name.span(), format!("unknown database '{catalog}.{database}'"))]
                })?;
                let mut rows = vec![row("name", database), row("comment", found.comment.clone().unwrap_or_default())];
                rows.extend(found.options.iter().map(|o| row(&o.key, hide(o))));
                Ok(Outcome::Rows { columns, rows })
            }
            "function" => {
                if !functions::is_known(&name.last().to_ascii_uppercase()) {
                    return Err(vec![functions::unknown(name.last(), name.span())]);
                }
                let rows = vec![row("is system function", "true".to_owned()), row("name", name.last().to_lowercase())];
                Ok(Outcome::Rows { columns, rows })
            }
            other => Err(vec![Diagnostic::at(
                name.span(),
                format!("DESCRIBE {} can not be run: there are no such objects here", other.to_uppercase()),
            )]),
        }
    }
}

fn hide(option: &TableOption) -> String {
    let key = option.key.to_lowercase();
    if ["password", "secret", "token", "credential"].iter().any(|w| key.contains(w)) {
        "******".to_owned()
    } else {
        option.value.clone()
    }
}

fn options_text(options: &[TableOption]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = options.iter().map(|o| format!("  '{}' = '{}'", o.key, hide(o).replace('\'', "''"))).collect();
    format!(" WITH (\n{}\n)", pairs.join(",\n"))
}

fn quoted_path(path: &TablePath) -> String {
    format!("`{}`.`{}`.`{}`", path.catalog, path.database, path.name)
}

/// A table as the CREATE TABLE statement that makes it; secrets are hidden.
pub fn create_table_text(table: &TableDef) -> String {
    let mut lines = Vec::new();
    for column in &table.columns {
        let comment =
            column.comment.as_ref().map_or(String::new(), |c| format!(" COMMENT '{}'", c.replace('\'', "''")));
        lines.push(match &column.kind {
            ColumnKind::Physical => format!("  `{}` {}{comment}", column.name, column.data_type),
            ColumnKind::Computed(text) => format!("  `{}` AS {text}{comment}", column.name),
            ColumnKind::Metadata { key, virtual_ } => {
                let from = if *key == column.name { String::new() } else { format!(" FROM '{key}'") };
                format!(
                    "  `{}` {} METADATA{from}{}{comment}",
                    column.name,
                    column.data_type,
                    if *virtual_ { " VIRTUAL" } else { "" }
                )
            }
        });
    }
    if let Some(watermark) = &table.watermark {
        lines.push(format!("  WATERMARK FOR `{}` AS {}", table.columns[watermark.column].name, watermark.expression));
    }
    if !table.primary_key.is_empty() {
        let names: Vec<_> = table.primary_key.iter().map(|k| format!("`{}`", table.columns[*k].name)).collect();
        lines.push(format!("  PRIMARY KEY ({}) NOT ENFORCED", names.join(", ")));
    }
    let mut out = format!(
        "CREATE{} TABLE {} (\n{}\n)",
        if table.temporary { " TEMPORARY" } else { "" },
        quoted_path(&table.path),
        lines.join(",\n")
    );
    if let Some(comment) = &table.comment {
        out.push_str(&format!(" COMMENT '{}'", comment.replace('\'', "''")));
    }
    if !table.partitioned_by.is_empty() {
        let names: Vec<_> = table.partitioned_by.iter().map(|n| format!("`{n}`")).collect();
        out.push_str(&format!(" PARTITIONED BY ({})", names.join(", ")));
    }
    out.push_str(&options_text(&table.options));
    out
}

impl LikeFilter {
    /// Whether a name passes `[NOT] (I)LIKE pattern`.
    pub fn matches(&self, name: &str) -> bool {
        let (name, pattern) = if self.ignore_case {
            (name.to_lowercase(), self.pattern.to_lowercase())
        } else {
            (name.to_owned(), self.pattern.clone())
        };
        functions::string::like_matches(&name, &pattern) != self.negated
    }
}
