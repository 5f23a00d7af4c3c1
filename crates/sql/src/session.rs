//! A session: catalogs, databases, tables, views and settings, changed statement by statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use starweir_model::{DataType, LogicalType as L};

use crate::ast::{
    self, AlterTable, ColumnPosition, LikeFilter, ObjectKind, ShowWhat, Statement, StatementKind, TableElements,
};
use crate::bind::expr::{ExprBinder, PlanSettings, convert};
use crate::bind::query::{Names, QueryBinder, Rel, finish, hinted_options};
use crate::bind::scope::{Scope, ScopeColumn};
use crate::chain::{NotNullEnforcer, Step};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{EvalContext, Typed, Zone};
use crate::functions;
use crate::parser::Parse;
use crate::plan::{ColumnKind, Insert, Query, TableColumn, TableDef, TableOption, TablePath, WatermarkSpec};
use crate::stack::with_room;
use crate::types;

pub const DEFAULT_CATALOG: &str = "default_catalog";
pub const DEFAULT_DATABASE: &str = "default_database";

/// What a statement asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Carried out inside the session; one sentence that says what was done.
    Done(String),
    Set {
        key: String,
        value: String,
    },
    /// `None`: all settings.
    Reset {
        key: Option<String>,
    },
    ShowSettings(Vec<(String, String)>),
    /// The answer of SHOW and DESCRIBE.
    Rows {
        columns: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Explain(Explained),
    /// One INSERT, or a statement set that is one job.
    Inserts(Vec<Insert>),
    Select(Query),
    /// `CREATE DATABASE d AS DATABASE c.s`: a job over every table of a database.
    CreateDatabaseAs {
        target: (String, String),
        source: (String, String),
        options: Vec<TableOption>,
        span: Span,
    },
}

/// What EXPLAIN is about.
#[derive(Debug)]
pub enum Explained {
    Query(Query),
    Inserts(Vec<Insert>),
}

impl Explained {
    /// The plan for people.
    pub fn text(&self) -> String {
        match self {
            Self::Query(query) => query.explain(),
            Self::Inserts(inserts) => inserts
                .iter()
                .map(|i| format!("insert into {}\n{}", i.target.path, i.query.explain()))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// A view: its query, and where names in it are looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewDef {
    pub path: TablePath,
    pub columns: Vec<ast::Ident>,
    pub query: ast::Query,
    /// The query as written.
    pub text: String,
    pub comment: Option<String>,
    pub current_catalog: String,
    pub current_database: String,
    pub temporary: bool,
}

/// A table or a view.
#[derive(Debug, Clone)]
pub enum Relation {
    Table(Arc<TableDef>),
    View(Arc<ViewDef>),
}

/// A database of a catalog.
#[derive(Debug, Clone, Default)]
struct Database {
    relations: BTreeMap<String, Relation>,
    options: Vec<TableOption>,
    comment: Option<String>,
}

/// A catalog as declared; what its type means is decided by who resolves its tables.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogDef {
    pub name: String,
    pub comment: Option<String>,
    pub options: Vec<TableOption>,
    pub span: Span,
}

#[derive(Debug, Clone, Default)]
struct Catalog {
    def: Option<CatalogDef>,
    databases: BTreeMap<String, Database>,
}

/// Answers for catalogs of CREATE CATALOG whose tables live outside (the session itself opens no
/// socket). Called while planning; `None` means there is no such thing.
pub trait ExternalCatalogs: Send + Sync {
    /// Columns, key and options of a table.
    ///
    /// # Errors
    /// A sentence, when the outside system refused or did not answer.
    fn table(&self, catalog: &CatalogDef, database: &str, table: &str) -> Result<Option<TableDef>, String>;
    /// Names of a catalog's databases.
    fn databases(&self, catalog: &CatalogDef) -> Result<Vec<String>, String>;
    /// Names of a database's tables.
    fn tables(&self, catalog: &CatalogDef, database: &str) -> Result<Vec<String>, String>;
}

/// The catalog and settings that statements are executed against, in order.
#[derive(Clone)]
pub struct Session {
    catalogs: BTreeMap<String, Catalog>,
    current_catalog: String,
    current_database: String,
    settings: BTreeMap<String, String>,
    external: Option<Arc<dyn ExternalCatalogs>>,
    /// Inserts of an open BEGIN STATEMENT SET.
    open_set: Option<Vec<Insert>>,
    /// Inserts of the open set that were refused: the set can not run without them.
    refused_in_set: usize,
    /// The deepest nesting of any statement so far, and one for each view.
    deepest: usize,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

type Many<T> = Result<T, Vec<Diagnostic>>;

fn one<T>(result: Parse<T>) -> Many<T> {
    result.map_err(|d| vec![d])
}

impl Names for Session {
    fn relation(&self, name: &ast::Name) -> Parse<Relation> {
        let path = self.path(name)?;
        let catalog = self
            .catalogs
            .get(&path.catalog)
            .ok_or_else(|| self.no_catalog(&path.catalog, name.parts[0].span.clone()))?;
        if let Some(found) = catalog.databases.get(&path.database).and_then(|d| d.relations.get(&path.name)) {
            return Ok(found.clone());
        }
        if let (Some(def), Some(external)) = (&catalog.def, &self.external) {
            match external.table(def, &path.database, &path.name) {
                Ok(Some(table)) => return Ok(Relation::Table(Arc::new(table))),
                Ok(None) => {}
                Err(message) => return Err(Diagnostic::at(name.span(), message)),
            }
        }
        let Some(database) = catalog.databases.get(&path.database) else {
            let known = catalog.databases.keys().map(String::as_str);
            return Err(Diagnostic::at(name.span(), format!("unknown database '{}.{}'", path.catalog, path.database))
                .with_label("unknown database")
                .with_nearest(&path.database, known));
        };
        let last = name.parts.last().map_or_else(|| name.span(), |p| p.span.clone());
        let known = database.relations.keys().map(String::as_str);
        Err(Diagnostic::at(last, format!("unknown table '{}'", path.name))
            .with_label("unknown table")
            .with_nearest(&path.name, known))
    }
}

impl Session {
    /// One empty database: `default_catalog.default_database`.
    pub fn new() -> Self {
        let mut catalog = Catalog::default();
        catalog.databases.insert(DEFAULT_DATABASE.to_owned(), Database::default());
        Self {
            catalogs: BTreeMap::from([(DEFAULT_CATALOG.to_owned(), catalog)]),
            current_catalog: DEFAULT_CATALOG.to_owned(),
            current_database: DEFAULT_DATABASE.to_owned(),
            settings: BTreeMap::new(),
            external: None,
            open_set: None,
            refused_in_set: 0,
            deepest: 0,
        }
    }

    /// Who answers for tables of declared catalogs.
    pub fn with_external(mut self, external: Arc<dyn ExternalCatalogs>) -> Self {
        self.external = Some(external);
        self
    }

    /// A setting made by SET.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Sets an option as the statement SET does, such as one of the command line.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// `table.local-time-zone`; UTC when it is not set.
    pub fn zone(&self) -> Zone {
        self.setting("table.local-time-zone").and_then(Zone::parse).unwrap_or(Zone::UTC)
    }

    /// The context chains of this session are run with.
    pub fn eval_context(&self, now_ms: i64, seed: u64) -> EvalContext {
        EvalContext::new(now_ms, self.zone(), seed)
    }

    pub fn current(&self) -> (&str, &str) {
        (&self.current_catalog, &self.current_database)
    }

    /// A table as declared.
    pub fn table(&self, path: &TablePath) -> Option<Arc<TableDef>> {
        match self.catalogs.get(&path.catalog)?.databases.get(&path.database)?.relations.get(&path.name)? {
            Relation::Table(table) => Some(Arc::clone(table)),
            Relation::View(_) => None,
        }
    }

    /// All tables, in order of their paths.
    pub fn tables(&self) -> Vec<Arc<TableDef>> {
        let relations = self.catalogs.values().flat_map(|c| c.databases.values()).flat_map(|d| d.relations.values());
        relations
            .filter_map(|r| match r {
                Relation::Table(table) => Some(Arc::clone(table)),
                Relation::View(_) => None,
            })
            .collect()
    }

    /// Declared catalogs.
    pub fn catalogs(&self) -> Vec<CatalogDef> {
        self.catalogs.values().filter_map(|c| c.def.clone()).collect()
    }

    /// Makes a table known without a statement; replaces one of the same path.
    pub fn register_table(&mut self, table: TableDef) {
        let database = self
            .catalogs
            .entry(table.path.catalog.clone())
            .or_default()
            .databases
            .entry(table.path.database.clone())
            .or_default();
        database.relations.insert(table.path.name.clone(), Relation::Table(Arc::new(table)));
    }

    fn plan_settings(&self) -> PlanSettings {
        PlanSettings {
            legacy_cast: self
                .setting("table.exec.legacy-cast-behaviour")
                .is_some_and(|v| v.eq_ignore_ascii_case("enabled")),
            catalog: self.current_catalog.clone(),
            database: self.current_database.clone(),
        }
    }

    fn no_catalog(&self, name: &str, span: Span) -> Diagnostic {
        Diagnostic::at(span, format!("unknown catalog '{name}'"))
            .with_label("unknown catalog")
            .with_nearest(name, self.catalogs.keys().map(String::as_str))
    }

    /// The full path of a table's name.
    pub fn path(&self, name: &ast::Name) -> Parse<TablePath> {
        let text = |i: usize| name.parts[i].name.clone();
        match name.parts.len() {
            1 => Ok(TablePath {
                catalog: self.current_catalog.clone(),
                database: self.current_database.clone(),
                name: text(0),
            }),
            2 => Ok(TablePath { catalog: self.current_catalog.clone(), database: text(0), name: text(1) }),
            3 => Ok(TablePath { catalog: text(0), database: text(1), name: text(2) }),
            _ => Err(Diagnostic::at(name.span(), "a table's name has three parts at most: catalog.database.table")),
        }
    }

    fn database_path(&self, name: &ast::Name) -> Parse<(String, String)> {
        match name.parts.as_slice() {
            [database] => Ok((self.current_catalog.clone(), database.name.clone())),
            [catalog, database] => Ok((catalog.name.clone(), database.name.clone())),
            _ => Err(Diagnostic::at(name.span(), "a database's name has two parts at most: catalog.database")),
        }
    }

    fn database_mut(&mut self, catalog: &str, database: &str, span: &Span) -> Parse<&mut Database> {
        if !self.catalogs.contains_key(catalog) {
            return Err(self.no_catalog(catalog, span.clone()));
        }
        let known: Vec<String> =
            self.catalogs.get(catalog).map(|c| c.databases.keys().cloned().collect()).unwrap_or_default();
        match self.catalogs.get_mut(catalog).and_then(|c| c.databases.get_mut(database)) {
            Some(found) => Ok(found),
            None => Err(Diagnostic::at(span.clone(), format!("unknown database '{catalog}.{database}'"))
                .with_label("unknown database")
                .with_nearest(database, known.iter().map(String::as_str))),
        }
    }

    /// Carries a statement out. Tables, views and settings change the session; queries and inserts
    /// come back planned.
    ///
    /// # Errors
    /// Everything that is wrong with the statement, with its places in the script.
    pub fn execute(&mut self, statement: &Statement) -> Result<Outcome, Vec<Diagnostic>> {
        // Views and computed columns of earlier statements are planned again where they are used.
        let view = usize::from(matches!(statement.kind, StatementKind::CreateView { .. }));
        self.deepest = self.deepest.max(statement.nesting).saturating_add(view);
        let outcome = with_room(self.deepest, || self.execute_kind(&statement.kind, &statement.span))?;
        if let StatementKind::CreateView { name, query_span, .. } | StatementKind::AlterViewAs { name, query_span, .. } =
            &statement.kind
            && let Ok(path) = self.path(name)
            && let Some(relation) = self
                .catalogs
                .get_mut(&path.catalog)
                .and_then(|c| c.databases.get_mut(&path.database))
                .and_then(|d| d.relations.get_mut(&path.name))
            && let Relation::View(view) = relation
        {
            let start = query_span.start.saturating_sub(statement.span.start);
            let end = query_span.end.saturating_sub(statement.span.start);
            let text = statement.text.get(start..end).unwrap_or_default().to_owned();
            *relation = Relation::View(Arc::new(ViewDef { text, ..view.as_ref().clone() }));
        }
        Ok(outcome)
    }

    fn execute_kind(&mut self, kind: &StatementKind, span: &Span) -> Many<Outcome> {
        match kind {
            StatementKind::CreateTable(create) => self.create_table(create, span),
            StatementKind::CreateView { name, temporary, if_not_exists, columns, comment, query, .. } => {
                let path = one(self.path(name))?;
                let settings = self.plan_settings();
                let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
                // A view that needs state is kept: it is refused where it is used.
                if let Err(diagnostic) = binder.rel(query)
                    && !diagnostic.message.contains("not supported")
                {
                    return Err(vec![diagnostic]);
                }
                let view = ViewDef {
                    path: path.clone(),
                    columns: columns.clone(),
                    query: query.as_ref().clone(),
                    text: String::new(),
                    comment: comment.clone(),
                    current_catalog: self.current_catalog.clone(),
                    current_database: self.current_database.clone(),
                    temporary: *temporary,
                };
                self.put(path, Relation::View(Arc::new(view)), *if_not_exists, false, name)
            }
            StatementKind::CreateDatabase { name, if_not_exists, comment, options } => {
                let (catalog, database) = one(self.database_path(name))?;
                let Some(found) = self.catalogs.get_mut(&catalog) else {
                    return Err(vec![self.no_catalog(&catalog, name.span())]);
                };
                if found.databases.contains_key(&database) {
                    if *if_not_exists {
                        return Ok(Outcome::Done(format!("database '{database}' exists")));
                    }
                    return Err(vec![Diagnostic::at(name.span(), format!("database '{catalog}.{database}' exists already"))]);
                }
                let made = Database { relations: BTreeMap::new(), options: table_options(options), comment: comment.clone() };
                found.databases.insert(database.clone(), made);
                Ok(Outcome::Done(format!("database '{database}' created")))
            }
            StatementKind::CreateDatabaseAs { name, source, options, .. } => {
                let target = one(self.database_path(name))?;
                let source = one(self.database_path(source))?;
                Ok(Outcome::CreateDatabaseAs { target, source, options: table_options(options), span: span.clone() })
            }
            StatementKind::CreateCatalog { name, if_not_exists, comment, options } => {
                if self.catalogs.contains_key(&name.name) {
                    if *if_not_exists {
                        return Ok(Outcome::Done(format!("catalog '{}' exists", name.name)));
                    }
                    return Err(vec![Diagnostic::at(name.span.clone(), format!("catalog '{}' exists already", name.name))]);
                }
                let options = table_options(options);
                if !options.iter().any(|o| o.key == "type") {
                    return Err(vec![Diagnostic::at(name.span.clone(), "CREATE CATALOG needs the option 'type'")]);
                }
                let in_memory = options.iter().any(|o| o.key == "type" && o.value == "generic_in_memory");
                let default = options.iter().find(|o| o.key == "default-database").map_or("default", |o| o.value.as_str()).to_owned();
                let def = CatalogDef { name: name.name.clone(), comment: comment.clone(), options, span: span.clone() };
                let mut catalog = Catalog { def: Some(def), databases: BTreeMap::new() };
                if in_memory {
                    catalog.databases.insert(default, Database::default());
                }
                self.catalogs.insert(name.name.clone(), catalog);
                Ok(Outcome::Done(format!("catalog '{}' created", name.name)))
            }
            StatementKind::CreateFunction { name, class } => Err(vec![
                Diagnostic::at(name.span(), format!("the function '{}' is the Java class {class}: functions in Java, Scala and Python can not run here", name.text()))
                    .with_label("no Java functions")
                    .with_hint("use the built-in functions, or run this script on Apache Flink"),
            ]),
            StatementKind::Drop { kind, name, if_exists, cascade, .. } => one(self.drop(*kind, name, *if_exists, *cascade)),
            StatementKind::AlterTable { name, if_exists, change } => self.alter_table(name, *if_exists, change),
            StatementKind::AlterViewRename { name, to } => one(self.rename(name, to)),
            StatementKind::AlterViewAs { name, query, .. } => {
                let path = one(self.path(name))?;
                let Relation::View(view) = one(self.relation(name))? else {
                    return Err(vec![Diagnostic::at(name.span(), format!("'{}' is a table, not a view", path.name))]);
                };
                let changed = ViewDef { query: query.as_ref().clone(), ..view.as_ref().clone() };
                let database = one(self.database_mut(&path.catalog, &path.database, &name.span()))?;
                database.relations.insert(path.name.clone(), Relation::View(Arc::new(changed)));
                Ok(Outcome::Done(format!("view '{}' changed", path.name)))
            }
            StatementKind::AlterDatabase { name, options } => {
                let (catalog, database) = one(self.database_path(name))?;
                let found = one(self.database_mut(&catalog, &database, &name.span()))?;
                for option in table_options(options) {
                    found.options.retain(|o| o.key != option.key);
                    found.options.push(option);
                }
                Ok(Outcome::Done(format!("database '{database}' changed")))
            }
            StatementKind::UseCatalog(name) => {
                let Some(catalog) = self.catalogs.get(&name.name) else {
                    return Err(vec![self.no_catalog(&name.name, name.span.clone())]);
                };
                let default = catalog.def.as_ref().and_then(|d| d.options.iter().find(|o| o.key == "default-database")).map(|o| o.value.clone());
                let first = catalog.databases.keys().next().cloned();
                self.current_database = default.or(first).unwrap_or_else(|| "default".to_owned());
                self.current_catalog.clone_from(&name.name);
                Ok(Outcome::Done(format!("catalog '{}' in use", name.name)))
            }
            StatementKind::UseDatabase(name) => {
                let (catalog, database) = one(self.database_path(name))?;
                let outside = self.catalogs.get(&catalog).is_some_and(|c| c.def.is_some()) && self.external.is_some();
                if !outside {
                    one(self.database_mut(&catalog, &database, &name.span()))?;
                }
                self.current_catalog = catalog;
                self.current_database.clone_from(&database);
                Ok(Outcome::Done(format!("database '{database}' in use")))
            }
            StatementKind::Show { what, scope, like } => self.show(what, scope.as_ref(), like.as_ref()),
            StatementKind::Describe { name } => self.describe(name),
            StatementKind::DescribeOther { what, name } => self.describe_other(what, name),
            StatementKind::Explain { statement, .. } => {
                // EXPLAIN changes nothing: CREATE TABLE AS is planned on a copy.
                let mut scratch = Self { open_set: None, ..self.clone() };
                let explained = match scratch.execute_kind(statement, span)? {
                    Outcome::Select(query) => Explained::Query(query),
                    Outcome::Inserts(inserts) => Explained::Inserts(inserts),
                    _ => return Err(vec![Diagnostic::at(span.clone(), "EXPLAIN takes a query, an INSERT or a statement set")]),
                };
                Ok(Outcome::Explain(explained))
            }
            StatementKind::Set { key, value } => {
                if key == "table.local-time-zone" && Zone::parse(value).is_none() {
                    return Err(vec![Diagnostic::at(span.clone(), format!("'{value}' is no time zone")).with_hint("write a region such as Europe/Berlin, UTC, or an offset such as GMT+02:00")]);
                }
                self.settings.insert(key.clone(), value.clone());
                Ok(Outcome::Set { key: key.clone(), value: value.clone() })
            }
            StatementKind::Reset { key } => {
                match key {
                    Some(key) => {
                        self.settings.remove(key);
                    }
                    None => self.settings.clear(),
                }
                Ok(Outcome::Reset { key: key.clone() })
            }
            StatementKind::ShowSettings => {
                Ok(Outcome::ShowSettings(self.settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
            }
            StatementKind::Insert(insert) => {
                let planned = match self.plan_insert(insert) {
                    Ok(planned) => planned,
                    Err(diagnostic) => {
                        self.refused_in_set += usize::from(self.open_set.is_some());
                        return Err(vec![diagnostic]);
                    }
                };
                match &mut self.open_set {
                    Some(set) => {
                        set.push(planned);
                        Ok(Outcome::Done("INSERT added to the statement set".to_owned()))
                    }
                    None => Ok(Outcome::Inserts(vec![planned])),
                }
            }
            StatementKind::StatementSet(inserts) => {
                if inserts.is_empty() {
                    return Err(vec![Diagnostic::at(span.clone(), "the statement set holds no INSERT")]);
                }
                let mut planned = Vec::new();
                let mut diagnostics = Vec::new();
                for insert in inserts {
                    match self.plan_insert(insert) {
                        Ok(insert) => planned.push(insert),
                        Err(diagnostic) => diagnostics.push(diagnostic),
                    }
                }
                if diagnostics.is_empty() { Ok(Outcome::Inserts(planned)) } else { Err(diagnostics) }
            }
            StatementKind::BeginStatementSet => {
                if self.open_set.is_some() {
                    return Err(vec![Diagnostic::at(span.clone(), "a statement set is open already")]);
                }
                self.open_set = Some(Vec::new());
                self.refused_in_set = 0;
                Ok(Outcome::Done("statement set begun".to_owned()))
            }
            StatementKind::EndStatementSet => match self.open_set.take() {
                None => Err(vec![Diagnostic::at(span.clone(), "there is no open statement set to end")]),
                Some(_) if self.refused_in_set > 0 => {
                    let count = self.refused_in_set;
                    Err(vec![Diagnostic::at(span.clone(), format!("the statement set can not run: {count} of its INSERTs are not supported"))])
                }
                Some(inserts) if inserts.is_empty() => Err(vec![Diagnostic::at(span.clone(), "the statement set holds no INSERT")]),
                Some(inserts) => Ok(Outcome::Inserts(inserts)),
            },
            StatementKind::Query(query) => {
                let settings = self.plan_settings();
                let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
                Ok(Outcome::Select(one(binder.plan(query))?))
            }
            StatementKind::Refused { what, reason } => {
                let word = span.start..span.start + what.len().min(span.len());
                Err(vec![Diagnostic::at(word, format!("{what} can not be run: {reason}")).with_label("refused")])
            }
            StatementKind::ClientCommand(word) => Err(vec![Diagnostic::at(span.clone(), format!("{word} is a word for an interactive prompt"))]),
        }
    }

    fn put(
        &mut self,
        path: TablePath,
        relation: Relation,
        if_not_exists: bool,
        replace: bool,
        name: &ast::Name,
    ) -> Many<Outcome> {
        let word = if matches!(relation, Relation::Table(_)) { "table" } else { "view" };
        let database = one(self.database_mut(&path.catalog, &path.database, &name.span()))?;
        if database.relations.contains_key(&path.name) && !replace {
            if if_not_exists {
                return Ok(Outcome::Done(format!("{word} '{}' exists", path.name)));
            }
            return Err(vec![
                Diagnostic::at(name.span(), format!("'{}' exists already", path.name)).with_label("exists already"),
            ]);
        }
        let text = format!("{word} '{}' created", path.name);
        database.relations.insert(path.name, relation);
        Ok(Outcome::Done(text))
    }

    fn create_table(&mut self, create: &ast::CreateTable, span: &Span) -> Many<Outcome> {
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

    fn apply_like(&self, table: &mut TableDef, like: &ast::LikeClause) -> Parse<()> {
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
    fn apply_elements(&self, table: &mut TableDef, elements: &TableElements, diagnostics: &mut Vec<Diagnostic>) {
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

    fn drop(&mut self, kind: ObjectKind, name: &ast::Name, if_exists: bool, cascade: bool) -> Parse<Outcome> {
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

    fn rename(&mut self, name: &ast::Name, to: &ast::Name) -> Parse<Outcome> {
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

    fn alter_table(&mut self, name: &ast::Name, if_exists: bool, change: &AlterTable) -> Many<Outcome> {
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

    fn plan_insert(&self, insert: &ast::Insert) -> Parse<Insert> {
        if insert.upsert {
            return Err(Diagnostic::at(
                insert.span.start..insert.span.start + 6,
                "UPSERT is not Flink's: write INSERT; a primary key makes it an upsert",
            ));
        }
        if let Some(extended) = &insert.extended {
            return Err(Diagnostic::unsupported(
                extended.clone(),
                "INSERT with columns that the table does not declare",
            ));
        }
        let target = match self.relation(&insert.target)? {
            Relation::Table(table) => table,
            Relation::View(view) => {
                return Err(Diagnostic::at(
                    insert.target.span(),
                    format!("'{}' is a view: nothing can be inserted into it", view.path.name),
                ));
            }
        };
        let options = hinted_options(&target.options, &insert.hints)?;
        let settings = self.plan_settings();
        let binder = QueryBinder { names: self, settings: &settings, view_depth: 0 };
        let rel = binder.rel(&insert.query)?;
        self.finish_insert(
            target,
            rel,
            options,
            &insert.columns,
            &insert.partition,
            insert.overwrite,
            insert.span.clone(),
            false,
        )
    }

    #[allow(clippy::too_many_arguments)]
    fn finish_insert(
        &self,
        target: Arc<TableDef>,
        mut rel: Rel,
        options: Vec<TableOption>,
        columns: &[ast::Ident],
        partition: &[(ast::Ident, Option<ast::Expr>)],
        overwrite: bool,
        span: Span,
        by_name: bool,
    ) -> Parse<Insert> {
        let options = if options.is_empty() { target.options.clone() } else { options };
        let sink = target.sink_schema();
        let settings = self.plan_settings();
        let empty = Scope::default();
        let constants = ExprBinder { scope: &empty, settings: &settings };
        // Static partition columns take their value from the statement.
        let mut fixed: Vec<Option<Typed>> = vec![None; sink.columns.len()];
        let mut static_partition = Vec::new();
        for (column, value) in partition {
            let at = sink.index_of(&column.name).ok_or_else(|| {
                Diagnostic::at(column.span.clone(), format!("unknown partition column '{}'", column.name))
                    .with_nearest(&column.name, sink.columns.iter().map(|c| c.name.as_str()))
            })?;
            if !target.partitioned_by.contains(&column.name) {
                return Err(Diagnostic::at(
                    column.span.clone(),
                    format!("table '{}' is not partitioned by '{}'", target.path.name, column.name),
                ));
            }
            if let Some(value) = value {
                let bound = constants.bind(value)?;
                let text = bound
                    .as_literal()
                    .and_then(|a| crate::eval::text::format_value(a, &bound.data_type, 0, Zone::UTC))
                    .ok_or_else(|| Diagnostic::at(value.span.clone(), "a partition's value must be a literal"))?;
                static_partition.push((column.name.clone(), text));
                fixed[at] = Some(bound);
            }
        }
        // Which sink column each query column goes to.
        let mut target_columns = Vec::new();
        let wanted: Vec<usize> = if by_name {
            rel.scope
                .columns
                .iter()
                .map(|c| {
                    sink.index_of(&c.name).ok_or_else(|| {
                        Diagnostic::at(span.clone(), format!("table '{}' has no column '{}'", target.path.name, c.name))
                    })
                })
                .collect::<Parse<_>>()?
        } else if columns.is_empty() {
            (0..sink.columns.len()).filter(|i| fixed[*i].is_none()).collect()
        } else {
            for column in columns {
                let at = sink.index_of(&column.name).ok_or_else(|| unknown_column(column, &target))?;
                if target_columns.contains(&at) {
                    return Err(Diagnostic::at(
                        column.span.clone(),
                        format!("column '{}' is named twice", column.name),
                    ));
                }
                target_columns.push(at);
            }
            target_columns.iter().copied().filter(|i| fixed[*i].is_none()).collect()
        };
        if wanted.len() != rel.scope.columns.len() {
            let have: Vec<_> =
                rel.scope.columns.iter().map(|c| format!("{} {}", c.name, c.data_type.logical)).collect();
            let want: Vec<_> = wanted
                .iter()
                .map(|i| format!("{} {}", sink.columns[*i].name, sink.columns[*i].data_type.logical))
                .collect();
            return Err(Diagnostic::at(
                span,
                format!("the query gives {} columns, table '{}' takes {}", have.len(), target.path.name, want.len()),
            )
            .with_hint(format!("query: [{}]; table: [{}]", have.join(", "), want.join(", "))));
        }
        let mut exprs = Vec::with_capacity(sink.columns.len());
        for (index, column) in sink.columns.iter().enumerate() {
            let source = match (&fixed[index], wanted.iter().position(|w| *w == index)) {
                (Some(value), _) => value.clone(),
                (None, Some(from)) => rel.scope.column(from, span.clone()),
                (None, None) => {
                    if !column.data_type.nullable {
                        return Err(Diagnostic::at(
                            span,
                            format!(
                                "column '{}' of table '{}' is NOT NULL, but the statement gives it no value",
                                column.name, target.path.name
                            ),
                        ));
                    }
                    Typed::null(span.clone())
                }
            };
            if !types::can_store(&source.data_type.logical, &column.data_type.logical) {
                return Err(Diagnostic::at(
                    span,
                    format!(
                        "column '{}' of table '{}' is {}, the query gives {}",
                        column.name, target.path.name, column.data_type.logical, source.data_type.logical
                    ),
                )
                .with_hint(format!("write CAST(… AS {})", column.data_type.logical)));
            }
            // Lengths are checked by the sink, not cut here (table.exec.sink.type-length-enforcer = IGNORE).
            let text = source.data_type.logical.is_character() && column.data_type.logical.is_character();
            let bytes = source.data_type.logical.is_binary() && column.data_type.logical.is_binary();
            let trim = self
                .setting("table.exec.sink.type-length-enforcer")
                .is_some_and(|v| v.eq_ignore_ascii_case("TRIM_PAD"));
            let mut expr = if (text || bytes) && !trim { source } else { convert(source, &column.data_type.logical) };
            expr.data_type = column.data_type.clone();
            exprs.push(expr);
        }
        rel.project(exprs, sink.columns.iter().map(|c| c.name.clone()).collect());
        let not_null: Vec<(usize, String)> = sink
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.data_type.nullable)
            .map(|(i, c)| (i, c.name.clone()))
            .collect();
        if !not_null.is_empty() {
            let enforcer = match self.setting("table.exec.sink.not-null-enforcer") {
                Some(v) if v.eq_ignore_ascii_case("DROP") => NotNullEnforcer::Drop,
                _ => NotNullEnforcer::Error,
            };
            rel.push(Step::NotNull { columns: not_null, enforcer });
        }
        let mut query = finish(rel)?;
        query.schema.primary_key.clone_from(&sink.primary_key);
        Ok(Insert { target, options, query, overwrite, target_columns, static_partition, span })
    }

    fn show(&self, what: &ShowWhat, scope: Option<&ast::Name>, like: Option<&LikeFilter>) -> Many<Outcome> {
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

    fn describe(&self, name: &ast::Name) -> Many<Outcome> {
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

    fn describe_other(&self, what: &str, name: &ast::Name) -> Many<Outcome> {
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

fn unknown_column(name: &ast::Ident, table: &TableDef) -> Diagnostic {
    Diagnostic::at(name.span.clone(), format!("table '{}' has no column '{}'", table.path.name, name.name))
        .with_label("unknown column")
        .with_nearest(&name.name, table.columns.iter().map(|c| c.name.as_str()))
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

fn table_options(options: &[ast::OptionText]) -> Vec<TableOption> {
    options
        .iter()
        .map(|o| TableOption {
            key: o.key.clone(),
            value: o.value.clone(),
            key_span: o.key_span.clone(),
            value_span: o.value_span.clone(),
        })
        .collect()
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
