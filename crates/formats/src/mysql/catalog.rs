//! The tables of a server as far as they are known, and what a statement changes about them: the schema changes that
//! Flink CDC would give.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use starweir_model::{AddedColumn, ColumnPosition, SchemaChange, TableId, TableSchema};

use super::column::{Column, Kind, TypeOptions};
use super::ddl::{AlterClause, Name, Place, Statement, TableBody};

/// Database and table.
pub type TableKey = (String, String);

/// The captured form of a table's name.
pub fn table_id(key: &TableKey) -> TableId {
    TableId::in_schema(&key.0, &key.1)
}

/// A table as MySQL has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<Column>,
    pub primary_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Default character set of new columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
}

impl Table {
    pub fn to_schema(&self, options: &CatalogOptions) -> TableSchema {
        let is_key = |c: &Column| self.primary_key.iter().any(|k| same(k, &c.name));
        TableSchema {
            columns: self
                .columns
                .iter()
                .map(|c| c.to_table_column(&options.types, is_key(c), options.comments))
                .collect(),
            primary_keys: self
                .primary_key
                .iter()
                .map(|k| self.index_of(k).map_or_else(|| k.clone(), |i| self.columns[i].name.clone()))
                .collect(),
            partition_keys: Vec::new(),
            options: Vec::new(),
            comment: self.comment.clone().filter(|c| options.comments && !c.is_empty()),
        }
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| same(&c.name, name))
    }

    fn insert(&mut self, column: Column, place: Option<&Place>) {
        let at = match place {
            None => self.columns.len(),
            Some(Place::First) => 0,
            Some(Place::After(name)) => self.index_of(name).map_or(self.columns.len(), |i| i + 1),
        };
        self.columns.insert(at, column);
    }

    fn complete(&self, mut column: Column) -> Column {
        if column.column_type.is_text() && column.column_type.charset.is_none() {
            column.column_type.charset.clone_from(&self.charset);
        }
        column
    }
}

/// Column names do not differ by case in MySQL.
fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// How the reader names and types things.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatalogOptions {
    pub types: TypeOptions,
    /// Carry the comments of tables and columns.
    pub comments: bool,
    /// The server does not tell the case of table names apart (`lower_case_table_names`): then names of tables and
    /// columns are in lower case, as Flink CDC gives them.
    pub lower_case_names: bool,
    /// Name a column as the statement writes it, also where its table spells it with other capitals. This is what
    /// Flink CDC does; without it the table's spelling counts, so that the names of events always agree.
    pub names_as_written: bool,
}

/// Known tables. All changes come through [`Catalog::apply`] or are set by [`Catalog::insert`].
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub options: CatalogOptions,
    tables: BTreeMap<TableKey, Table>,
    /// Default character sets of databases.
    charsets: BTreeMap<String, String>,
    /// Tables whose CreateTable was given out.
    announced: BTreeSet<TableKey>,
    /// Copies that tools such as gh-ost alter in place of a table: whose copy, and what was changed since.
    shadows: BTreeMap<TableKey, (TableKey, Vec<SchemaChange>)>,
}

impl Catalog {
    pub fn new(options: CatalogOptions) -> Self {
        Self { options, ..Self::default() }
    }

    pub fn insert(&mut self, key: TableKey, table: Table) {
        self.tables.insert(key, table);
    }

    pub fn remove(&mut self, key: &TableKey) -> Option<Table> {
        self.announced.remove(key);
        self.tables.remove(key)
    }

    pub fn table(&self, key: &TableKey) -> Option<&Table> {
        self.tables.get(key)
    }

    pub fn tables(&self) -> impl Iterator<Item = (&TableKey, &Table)> {
        self.tables.iter()
    }

    pub fn set_database_charset(&mut self, database: &str, charset: &str) {
        self.charsets.insert(database.to_owned(), charset.to_owned());
    }

    pub fn schema(&self, key: &TableKey) -> Option<TableSchema> {
        Some(self.tables.get(key)?.to_schema(&self.options))
    }

    pub fn is_announced(&self, key: &TableKey) -> bool {
        self.announced.contains(key)
    }

    /// The CreateTable of a known table, the first time it is asked for.
    pub fn announce(&mut self, key: &TableKey) -> Option<SchemaChange> {
        let schema = self.schema(key)?;
        self.announced.insert(key.clone()).then(|| SchemaChange::CreateTable { table: table_id(key), schema })
    }

    /// Replaces what is known of a table by what was found; gives the changes between the two.
    pub fn replace(&mut self, key: &TableKey, found: Table) -> Vec<SchemaChange> {
        let changes = match self.tables.get(key) {
            Some(old) if self.announced.contains(key) => self.difference(key, old, &found),
            _ => Vec::new(),
        };
        self.tables.insert(key.clone(), found);
        changes
    }

    fn key(&self, name: &Name, database: &str) -> TableKey {
        let database = name.database.as_deref().unwrap_or(database);
        if self.options.lower_case_names {
            (database.to_lowercase(), name.table.to_lowercase())
        } else {
            (database.to_owned(), name.table.clone())
        }
    }

    /// A column's name as events spell it.
    fn spelled(&self, table: Option<&Table>, written: &str) -> String {
        if self.options.lower_case_names {
            return written.to_lowercase();
        }
        match table.and_then(|t| t.index_of(written).map(|i| &t.columns[i].name)) {
            Some(known) if !self.options.names_as_written => known.clone(),
            _ => written.to_owned(),
        }
    }

    /// Carries out a statement and gives the schema changes of tables that are `captured`, in order. `database` is the
    /// session's.
    pub fn apply(&mut self, sql: &str, database: &str, captured: &dyn Fn(&TableKey) -> bool) -> Vec<SchemaChange> {
        let mut out = Vec::new();
        match Statement::parse(sql) {
            Statement::CreateTable { temporary: false, table, replace, body } => {
                let key = self.key(&table, database);
                if self.tables.contains_key(&key) && !replace {
                    return out;
                }
                let table = self.created(&key, body, database);
                self.put_new(key, table, captured, &mut out);
            }
            Statement::CreateLike { temporary: false, table, replace, like } => {
                let (key, like) = (self.key(&table, database), self.key(&like, database));
                if self.tables.contains_key(&key) && !replace {
                    return out;
                }
                let Some(copy) = self.tables.get(&like).cloned() else {
                    // Its definition is not known; who needs it asks the server.
                    self.tables.remove(&key);
                    return out;
                };
                if captured(&like) {
                    self.put_new(key.clone(), copy, captured, &mut out);
                } else {
                    // Flink CDC cannot follow it either: announced with its first row.
                    self.tables.insert(key.clone(), copy);
                }
                self.shadows.insert(key, (like, Vec::new()));
            }
            Statement::AlterTable { table, clauses } => {
                let key = self.key(&table, database);
                self.alter(key, clauses, database, captured, &mut out);
            }
            Statement::RenameTables(pairs) => {
                let pairs = pairs.iter().map(|(a, b)| (self.key(a, database), self.key(b, database))).collect();
                self.rename(pairs, captured, &mut out);
            }
            Statement::DropTables { temporary: false, tables } => {
                for table in tables {
                    let key = self.key(&table, database);
                    self.drop_table(&key, captured, &mut out);
                }
            }
            Statement::TruncateTable(table) => {
                let key = self.key(&table, database);
                if captured(&key) && self.tables.contains_key(&key) {
                    out.extend(self.announce(&key));
                    out.push(SchemaChange::TruncateTable { table: table_id(&key) });
                }
            }
            Statement::DropDatabase(name) => {
                let name = if self.options.lower_case_names { name.to_lowercase() } else { name };
                let keys: Vec<_> = self.tables.keys().filter(|k| k.0 == name).cloned().collect();
                for key in keys {
                    self.drop_table(&key, captured, &mut out);
                }
            }
            Statement::DatabaseCharset { database: of, charset } => {
                self.charsets.insert(of.unwrap_or_else(|| database.to_owned()), charset);
            }
            Statement::CreateTable { .. }
            | Statement::CreateLike { .. }
            | Statement::DropTables { .. }
            | Statement::Other => {}
        }
        out
    }

    fn drop_table(&mut self, key: &TableKey, captured: &dyn Fn(&TableKey) -> bool, out: &mut Vec<SchemaChange>) {
        self.shadows.remove(key);
        if captured(key) && self.tables.contains_key(key) {
            out.extend(self.announce(key));
            out.push(SchemaChange::DropTable { table: table_id(key) });
        }
        self.tables.remove(key);
        self.announced.remove(key);
    }

    fn put_new(
        &mut self,
        key: TableKey,
        table: Table,
        captured: &dyn Fn(&TableKey) -> bool,
        out: &mut Vec<SchemaChange>,
    ) {
        if let Some(original) = self.original_of(&key) {
            self.shadows.insert(key.clone(), (original, Vec::new()));
        }
        self.drop_if_known(&key, captured, out);
        self.tables.insert(key.clone(), table);
        if captured(&key) {
            out.extend(self.announce(&key));
        }
    }

    /// CREATE OR REPLACE TABLE.
    fn drop_if_known(&mut self, key: &TableKey, captured: &dyn Fn(&TableKey) -> bool, out: &mut Vec<SchemaChange>) {
        if self.tables.remove(key).is_some() && self.announced.remove(key) && captured(key) {
            out.push(SchemaChange::DropTable { table: table_id(key) });
        }
    }

    /// The known table that this name is a tool's copy of.
    fn original_of(&self, key: &TableKey) -> Option<TableKey> {
        let original = (key.0.clone(), online_change_of(&key.1)?.to_owned());
        self.tables.contains_key(&original).then_some(original)
    }

    fn created(&self, key: &TableKey, body: TableBody, database: &str) -> Table {
        let charset = body.charset.or_else(|| self.charsets.get(&key.0).cloned());
        let mut table = Table { columns: Vec::new(), primary_key: body.primary_key, comment: body.comment, charset };
        if let Some(source) = body.select_from.as_ref().and_then(|n| self.tables.get(&self.key(n, database))) {
            for column in &source.columns {
                let mut column = column.clone();
                if column.auto_increment {
                    column.auto_increment = false;
                    column.nullable = false;
                    column.default = Some("0".into());
                } else if source.primary_key.iter().any(|k| same(k, &column.name)) {
                    column.nullable = false;
                }
                column.is_virtual = false;
                table.columns.push(column);
            }
        }
        for column in body.columns {
            let mut column = table.complete(column);
            if self.options.lower_case_names {
                column.name = column.name.to_lowercase();
            }
            match table.index_of(&column.name) {
                Some(at) => table.columns[at] = column,
                None => table.columns.push(column),
            }
        }
        if self.options.lower_case_names {
            table.primary_key.iter_mut().for_each(|k| *k = k.to_lowercase());
        }
        table
    }

    fn alter(
        &mut self,
        key: TableKey,
        clauses: Vec<AlterClause>,
        database: &str,
        captured: &dyn Fn(&TableKey) -> bool,
        out: &mut Vec<SchemaChange>,
    ) {
        let Some(mut table) = self.tables.get(&key).cloned() else { return };
        let mut changes = Vec::new();
        let mut new_name = None;
        for clause in clauses {
            match clause {
                AlterClause::RenameTable(name) => new_name = Some(self.key(&name, database)),
                clause => self.alter_clause(&key, &mut table, clause, &mut changes),
            }
        }
        if !changes.is_empty() {
            if let Some((_, recorded)) = self.shadows.get_mut(&key) {
                recorded.extend(changes.iter().cloned());
            } else if let Some(original) = self.original_of(&key) {
                self.shadows.insert(key.clone(), (original, changes.clone()));
            }
            if captured(&key) {
                // With the shape before the change.
                out.extend(self.announce(&key));
                out.extend(changes);
            }
        }
        self.tables.insert(key.clone(), table);
        if let Some(to) = new_name {
            self.rename(vec![(key, to)], captured, out);
        }
    }

    fn alter_clause(&self, key: &TableKey, table: &mut Table, clause: AlterClause, changes: &mut Vec<SchemaChange>) {
        let id = table_id(key);
        let options = &self.options;
        match clause {
            AlterClause::Add(list) => {
                let mut added = Vec::new();
                for (column, place) in list {
                    let mut column = table.complete(column);
                    column.name = self.spelled(None, &column.name);
                    if table.index_of(&column.name).is_some() {
                        continue;
                    }
                    let primary = column.primary;
                    let position = match &place {
                        None => ColumnPosition::Last,
                        Some(Place::First) => ColumnPosition::First,
                        Some(Place::After(name)) => ColumnPosition::After(self.spelled(Some(table), name)),
                    };
                    added.push(AddedColumn {
                        column: column.to_table_column(&options.types, primary, options.comments),
                        position,
                    });
                    if primary {
                        table.primary_key = vec![column.name.clone()];
                    }
                    table.insert(column, place.as_ref());
                }
                if !added.is_empty() {
                    changes.push(SchemaChange::AddColumn { table: id, columns: added });
                }
            }
            AlterClause::Drop(name) => {
                let spelled = self.spelled(Some(table), &name);
                if let Some(at) = table.index_of(&name) {
                    table.columns.remove(at);
                    table.primary_key.retain(|k| !same(k, &name));
                    changes.push(SchemaChange::DropColumn { table: id, columns: vec![spelled] });
                }
            }
            AlterClause::Modify(column, place) => {
                let name = column.name.clone();
                self.change(id, table, &name, column, place, changes);
            }
            AlterClause::Change(old, column, place) => self.change(id, table, &old, column, place, changes),
            AlterClause::RenameColumn(old, new) => {
                let (from, to) = (self.spelled(Some(table), &old), self.spelled(None, &new));
                if let Some(at) = table.index_of(&old) {
                    table.columns[at].name.clone_from(&to);
                    rename_key(table, &old, &to);
                    changes.push(SchemaChange::RenameColumn { table: id, names: vec![(from, to)] });
                }
            }
            AlterClause::Comment(comment) => {
                table.comment = Some(comment.clone());
                if options.comments {
                    changes.push(SchemaChange::AlterTableComment { table: id, comment });
                }
            }
            AlterClause::PrimaryKey(columns) => {
                table.primary_key = columns.iter().map(|c| self.spelled(Some(table), c)).collect();
            }
            AlterClause::DropPrimaryKey => table.primary_key.clear(),
            AlterClause::ConvertTo(charset) => {
                for column in table.columns.iter_mut().filter(|c| c.column_type.is_text()) {
                    column.column_type.charset = Some(charset.clone());
                }
                table.charset = Some(charset);
            }
            AlterClause::DefaultCharset(charset) => table.charset = Some(charset),
            AlterClause::Default(name, default) => {
                if let Some(at) = table.index_of(&name) {
                    table.columns[at].default = default;
                }
            }
            AlterClause::RenameTable(_) => {}
        }
    }

    fn change(
        &self,
        id: TableId,
        table: &mut Table,
        old: &str,
        column: Column,
        place: Option<Place>,
        changes: &mut Vec<SchemaChange>,
    ) {
        let Some(at) = table.index_of(old) else { return };
        let spelled = self.spelled(Some(table), old);
        let mut column = table.complete(column);
        column.name = if same(&column.name, old) {
            let written = if self.options.names_as_written { table.columns[at].name.clone() } else { spelled.clone() };
            if self.options.lower_case_names || column.name == old { written } else { column.name }
        } else {
            self.spelled(None, &column.name)
        };
        let key = table.primary_key.iter().any(|k| same(k, old));
        let shown = column.to_table_column(&self.options.types, key || column.primary, self.options.comments);
        let comments = shown.comment.map(|c| (spelled.clone(), c)).into_iter().collect();
        changes.push(SchemaChange::AlterColumnType {
            table: id.clone(),
            types: vec![(spelled.clone(), shown.data_type)],
            old_types: Vec::new(),
            comments,
        });
        let new = column.name.clone();
        let known = table.columns[at].name.clone();
        if new != known {
            changes.push(SchemaChange::RenameColumn { table: id, names: vec![(spelled, new.clone())] });
            rename_key(table, old, &new);
        }
        if column.primary {
            table.primary_key = vec![new];
        }
        if let Some(place) = place {
            table.columns.remove(at);
            table.insert(column, Some(&place));
        } else {
            table.columns[at] = column;
        }
    }

    /// Renames in the order of the statement, as one step: a table that takes the place of another is the same table
    /// with another shape.
    fn rename(
        &mut self,
        pairs: Vec<(TableKey, TableKey)>,
        captured: &dyn Fn(&TableKey) -> bool,
        out: &mut Vec<SchemaChange>,
    ) {
        let before = self.tables.clone();
        let announced_before = self.announced.clone();
        let mut targets: BTreeMap<TableKey, TableKey> = BTreeMap::new();
        for (from, to) in pairs {
            let Some(table) = self.tables.remove(&from) else { continue };
            self.tables.insert(to.clone(), table);
            let origin = targets.remove(&from).unwrap_or(from);
            targets.insert(to, origin);
        }
        for (to, origin) in targets {
            let shadow = self.shadows.remove(&origin);
            self.announced.remove(&origin);
            if !captured(&to) || !self.tables.contains_key(&to) || to == origin {
                continue;
            }
            let Some(old) = before.get(&to) else {
                self.announced.remove(&to);
                out.extend(self.announce(&to));
                continue;
            };
            // The name stood for another table until now, which was given out or is now.
            let changes = match shadow {
                Some((of, recorded)) if of == to => {
                    recorded.into_iter().map(|change| change.with_table(table_id(&to))).collect()
                }
                _ => self.difference(&to, old, &self.tables[&to]),
            };
            if !changes.is_empty() && !announced_before.contains(&to) {
                out.push(SchemaChange::CreateTable { table: table_id(&to), schema: old.to_schema(&self.options) });
            }
            if !changes.is_empty() || announced_before.contains(&to) {
                self.announced.insert(to);
            }
            out.extend(changes);
        }
    }

    /// What leads from one shape of a table to another, by the names of columns.
    fn difference(&self, key: &TableKey, old: &Table, new: &Table) -> Vec<SchemaChange> {
        let id = table_id(key);
        let (before, after) = (old.to_schema(&self.options), new.to_schema(&self.options));
        let mut changes = Vec::new();
        let dropped: Vec<String> =
            before.columns.iter().filter(|c| after.column(&c.name).is_none()).map(|c| c.name.clone()).collect();
        if !dropped.is_empty() {
            changes.push(SchemaChange::DropColumn { table: id.clone(), columns: dropped });
        }
        let types: Vec<_> = after
            .columns
            .iter()
            .filter(|c| before.column(&c.name).is_some_and(|b| b.data_type != c.data_type))
            .map(|c| (c.name.clone(), c.data_type.clone()))
            .collect();
        if !types.is_empty() {
            changes.push(SchemaChange::AlterColumnType {
                table: id.clone(),
                types,
                old_types: Vec::new(),
                comments: Vec::new(),
            });
        }
        for (i, column) in after.columns.iter().enumerate() {
            if before.column(&column.name).is_none() {
                let position = match i.checked_sub(1) {
                    None => ColumnPosition::First,
                    Some(_) if i + 1 == after.columns.len() => ColumnPosition::Last,
                    Some(previous) => ColumnPosition::After(after.columns[previous].name.clone()),
                };
                let columns = vec![AddedColumn { column: column.clone(), position }];
                changes.push(SchemaChange::AddColumn { table: id.clone(), columns });
            }
        }
        changes
    }
}

fn rename_key(table: &mut Table, old: &str, new: &str) {
    for key in table.primary_key.iter_mut().filter(|k| same(k, old)) {
        *key = new.to_owned();
    }
}

/// The table that gh-ost (`_t_gho`, `_t_ghc`, `_t_del`) or pt-online-schema-change (`_t_new`, `_t_old`) works on under
/// this name.
pub fn online_change_of(table: &str) -> Option<&str> {
    let inner = table.strip_prefix('_')?.trim_start_matches('_');
    ["_gho", "_ghc", "_del", "_new", "_old"]
        .iter()
        .find_map(|suffix| inner.strip_suffix(suffix))
        .filter(|t| !t.is_empty())
}

/// Whether values of the column stand in a row image of the stream.
pub fn is_stored(column: &Column) -> bool {
    !column.is_virtual || column.column_type.kind == Kind::Other
}
