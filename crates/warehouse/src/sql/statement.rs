//! Statements of StarRocks SQL, as far as this warehouse runs them. Queries and expressions are
//! sqlparser's; everything around them is ours.

use sqlparser::ast;

use crate::catalog::{ColumnDef, Distribution, PartitionBy, PartitionRange, TableModel};
use crate::types::SqlType;
use crate::users::statement::UserStatement;

/// `catalog.database.table`, as written.
pub type Name = Vec<String>;

#[derive(Debug, Clone)]
pub enum Statement {
    Query(Box<ast::Query>),
    Explain(Box<Statement>),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
        force: bool,
    },
    CreateTable(Box<CreateTable>),
    CreateTableLike {
        name: Name,
        like: Name,
        if_not_exists: bool,
        temporary: bool,
        properties: Vec<(String, String)>,
    },
    CreateView {
        name: Name,
        columns: Vec<(String, String)>,
        query: String,
        or_replace: bool,
        if_not_exists: bool,
        comment: String,
    },
    AlterView {
        name: Name,
        columns: Vec<(String, String)>,
        query: String,
    },
    DropView {
        name: Name,
        if_exists: bool,
    },
    DropTable {
        names: Vec<Name>,
        if_exists: bool,
        temporary: bool,
        force: bool,
    },
    Truncate {
        name: Name,
        partitions: Vec<String>,
    },
    AlterTable {
        name: Name,
        clauses: Vec<AlterClause>,
    },
    Insert(Box<Insert>),
    Update {
        name: Name,
        alias: Option<String>,
        assignments: Vec<(String, ast::Expr)>,
        from: Vec<ast::TableWithJoins>,
        selection: Option<ast::Expr>,
        with: Option<ast::With>,
    },
    Delete {
        name: Name,
        alias: Option<String>,
        using: Vec<ast::TableWithJoins>,
        selection: Option<ast::Expr>,
        partitions: Vec<String>,
        with: Option<ast::With>,
    },
    Show(Show),
    Describe {
        name: Name,
    },
    Use(String),
    Set(Vec<(String, ast::Expr)>),
    Begin,
    Commit,
    Rollback,
    Prepare {
        name: String,
        sql: String,
    },
    Execute {
        name: String,
        using: Vec<String>,
    },
    Deallocate {
        name: String,
    },
    /// ADMIN SET FRONTEND CONFIG
    SetFrontendConfig(Vec<(String, String)>),
    /// About users, roles and privileges.
    User(Box<UserStatement>),
    /// Accepted without an effect (ANALYZE, SYNC, KILL …).
    Nothing,
    /// SUBMIT TASK: refused, by what it is about.
    SubmitTask(String),
    Unsupported(String),
}

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub name: Name,
    pub if_not_exists: bool,
    pub temporary: bool,
    pub external: bool,
    pub columns: Vec<ColumnDef>,
    pub indexes: Vec<String>,
    pub key: Option<(TableModel, Vec<String>)>,
    pub comment: String,
    pub partition_by: Option<PartitionBy>,
    pub partitions: Vec<(String, PartitionClause)>,
    pub distribution: Option<Distribution>,
    pub buckets: Option<u32>,
    pub order_by: Vec<String>,
    pub properties: Vec<(String, String)>,
    /// CREATE TABLE … AS SELECT.
    pub query: Option<Box<ast::Query>>,
}

/// A partition as a statement writes it.
#[derive(Debug, Clone)]
pub enum PartitionClause {
    One(PartitionRange),
    /// `VALUES LESS THAN`: the lower bound is the upper one of the partition before.
    LessThan(Vec<Option<String>>),
    /// `START ("a") END ("b") EVERY (INTERVAL n unit)`; for numbers the unit is empty.
    Batch {
        start: String,
        end: String,
        every: i64,
        unit: String,
    },
}

#[derive(Debug, Clone)]
pub enum ColumnPosition {
    Last,
    First,
    After(String),
}

/// A column of ADD COLUMN.
#[derive(Debug, Clone)]
pub struct AddedColumn {
    pub column: ColumnDef,
    pub position: ColumnPosition,
    /// Where its definition stands in the statement.
    pub span: String,
}

#[derive(Debug, Clone)]
pub enum AlterClause {
    AddColumns(Vec<AddedColumn>),
    DropColumn(String),
    ModifyColumn(ColumnDef, ColumnPosition),
    ModifyColumnComment(String, String),
    RenameColumn(String, String),
    Rename(String),
    Swap(String),
    SetProperties(Vec<(String, String)>),
    Comment(String),
    OrderBy(Vec<String>),
    AddPartitions {
        partitions: Vec<(String, PartitionClause)>,
        temporary: bool,
        if_not_exists: bool,
    },
    DropPartition {
        name: String,
        if_exists: bool,
        temporary: bool,
        force: bool,
    },
    /// `DROP PARTITIONS WHERE condition`
    DropPartitionsWhere {
        condition: ast::Expr,
        temporary: bool,
    },
    /// `DROP PARTITIONS START … END … EVERY …`: names are found later.
    DropPartitions {
        names: Vec<String>,
        batch: Option<PartitionClause>,
        if_exists: bool,
        temporary: bool,
    },
    ReplacePartition {
        old: Vec<String>,
        temporary: Vec<String>,
        properties: Vec<(String, String)>,
    },
    RenamePartition(String, String),
    TruncatePartition(Vec<String>),
    Distribution(Option<Distribution>, Option<u32>),
    AddField {
        column: String,
        path: Vec<String>,
        sql_type: SqlType,
    },
    DropField {
        column: String,
        path: Vec<String>,
    },
    /// ADD ROLLUP: a job that is done, and nothing else.
    Rollup,
    Ignored,
    Unsupported(String),
}

#[derive(Debug, Clone)]
pub struct Insert {
    pub name: Name,
    pub overwrite: bool,
    pub label: Option<String>,
    pub partitions: Vec<String>,
    pub temporary_partitions: bool,
    /// `PARTITION (c = value)` of list partitions.
    pub partition_values: Vec<(String, String)>,
    pub columns: Vec<String>,
    pub by_name: bool,
    pub properties: Vec<(String, String)>,
    pub source: InsertSource,
    /// Session variables of a SET_VAR hint.
    pub hints: Vec<(String, String)>,
    /// `INSERT INTO BLACKHOLE()`: rows are computed and dropped.
    pub blackhole: bool,
}

#[derive(Debug, Clone)]
pub enum InsertSource {
    Values(Vec<Vec<ast::Expr>>),
    Query(Box<ast::Query>),
}

#[derive(Debug, Clone)]
pub struct Show {
    /// What is shown, upper-case words: `TABLES`, `CREATE TABLE`, `FULL COLUMNS`.
    pub what: String,
    pub name: Option<Name>,
    pub from: Option<String>,
    pub like: Option<String>,
    pub selection: Option<ast::Expr>,
    pub order_by: Vec<(String, bool)>,
    pub limit: Option<(usize, usize)>,
}
