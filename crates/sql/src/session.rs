//! A session: catalogs, databases, tables, views and settings, changed statement by statement.

mod ddl;
mod insert;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{self, Statement, StatementKind};
use crate::bind::expr::PlanSettings;
use crate::bind::query::{Names, QueryBinder};
use crate::diagnostic::{Diagnostic, Span};
use crate::eval::{EvalContext, Zone};
use crate::parser::Parse;
use crate::plan::{Insert, Query, TableDef, TableOption, TablePath};
use crate::stack::with_room;

pub use show::create_table_text;

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
}

fn unknown_column(name: &ast::Ident, table: &TableDef) -> Diagnostic {
    Diagnostic::at(name.span.clone(), format!("table '{}' has no column '{}'", table.path.name, name.name))
        .with_label("unknown column")
        .with_nearest(&name.name, table.columns.iter().map(|c| c.name.as_str()))
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
