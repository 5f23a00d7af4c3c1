//! What the parser makes of a script: syntax with places, nothing resolved.

use starweir_model::DataType;

use crate::diagnostic::Span;

/// A name as written, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    pub name: String,
    pub quoted: bool,
    pub span: Span,
}

/// A dotted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub parts: Vec<Ident>,
}

impl Name {
    pub fn span(&self) -> Span {
        let start = self.parts.first().map_or(0, |p| p.span.start);
        let end = self.parts.last().map_or(0, |p| p.span.end);
        start..end
    }

    pub fn text(&self) -> String {
        self.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".")
    }

    pub fn last(&self) -> &str {
        self.parts.last().map_or("", |p| p.name.as_str())
    }
}

/// A data type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// `None` for RAW, structured and other types that are known by name only.
    pub data_type: Option<DataType>,
    /// Whether NULL or NOT NULL was written.
    pub stated_nullability: bool,
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    Plus,
    Minus,
    Multiply,
    Divide,
    Modulo,
    Concat,
    /// `(a, b) OVERLAPS (c, d)` and the other predicates over periods.
    Overlaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsWhat {
    Null,
    True,
    False,
    Unknown,
    JsonValue,
    JsonObject,
    JsonArray,
    JsonScalar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeKind {
    Like,
    SimilarTo,
    Rlike,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimSide {
    Both,
    Leading,
    Trailing,
}

/// A unit of time; the text in upper case, such as `YEAR`.
pub type Unit = String;

/// What to do when a JSON path finds nothing or fails.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonBehavior {
    Null,
    Error,
    EmptyArray,
    EmptyObject,
    True,
    False,
    Unknown,
    Default(Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonWrapper {
    Without,
    Conditional,
    Unconditional,
}

/// The words that may follow the arguments of a JSON function.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JsonClauses {
    pub returning: Option<TypeName>,
    pub wrapper: Option<JsonWrapper>,
    pub on_empty: Option<JsonBehavior>,
    pub on_error: Option<JsonBehavior>,
    /// `Some(true)`: NULL ON NULL, `Some(false)`: ABSENT ON NULL.
    pub null_on_null: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: Name,
    pub args: Vec<Expr>,
    pub distinct: bool,
    /// `COUNT(*)`.
    pub star: bool,
    /// The span of FILTER, WITHIN GROUP or OVER with the words, when one was written.
    pub over: Option<Span>,
    pub filter: Option<Span>,
    pub within_group: Option<Span>,
    pub json: Option<Box<JsonClauses>>,
    /// Written without parentheses, such as CURRENT_DATE.
    pub bare: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `a.b.c`: a column, perhaps qualified, perhaps with fields behind.
    Name(Name),
    Number(String),
    Str(String),
    Bytes(Vec<u8>),
    Bool(Option<bool>),
    Null,
    Date(String),
    Time(String),
    Timestamp(String),
    Interval {
        value: String,
        negative: bool,
        from: Unit,
        to: Option<Unit>,
    },
    /// `INTERVAL expr UNIT` with a value that is no literal.
    Negate(Box<Expr>),
    Positive(Box<Expr>),
    Not(Box<Expr>),
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Is {
        expr: Box<Expr>,
        what: IsWhat,
        negated: bool,
    },
    DistinctFrom {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Between {
        expr: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
        symmetric: bool,
    },
    InList {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    InQuery {
        expr: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        negated: bool,
        kind: LikeKind,
    },
    Exists(Box<Query>),
    Subquery(Box<Query>),
    /// `expr op ANY|SOME|ALL (…)`.
    Quantified {
        expr: Box<Expr>,
        span: Span,
    },
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        expr: Box<Expr>,
        target: TypeName,
        is_try: bool,
    },
    Call(Box<Call>),
    Array(Vec<Expr>),
    Map(Vec<Expr>),
    /// `ARRAY(SELECT …)`, `MAP(…)`, `MULTISET(…)`, `MULTISET[…]`.
    CollectionQuery(&'static str),
    Row(Vec<Expr>),
    Index {
        expr: Box<Expr>,
        index: Box<Expr>,
    },
    Field {
        expr: Box<Expr>,
        field: Ident,
    },
    Extract {
        unit: Unit,
        expr: Box<Expr>,
    },
    /// FLOOR or CEIL of a point in time to a unit.
    Round {
        ceil: bool,
        unit: Unit,
        expr: Box<Expr>,
    },
    Trim {
        side: TrimSide,
        what: Option<Box<Expr>>,
        expr: Box<Expr>,
    },
    Position {
        needle: Box<Expr>,
        haystack: Box<Expr>,
        from: Option<Box<Expr>>,
    },
    /// `name => value`.
    Named {
        name: Ident,
        value: Box<Expr>,
    },
    /// `DESCRIPTOR(a, b)`.
    Descriptor(Vec<Ident>),
    /// `TABLE t` or a query as an argument of a table function.
    TableArg(Box<Query>),
    /// `DEFAULT` as an argument or a value of INSERT.
    Default,
    /// `*` where an argument may be one.
    Star,
    /// A dynamic parameter `?`: parsed, never planned.
    Parameter,
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Self {
        Self { kind, span }
    }
}

/// `NAME` or `NAME(…)` inside `/*+ … */`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    pub name: Ident,
    pub options: Vec<OptionText>,
    /// Names and literals that are no `'key' = 'value'`.
    pub words: Vec<String>,
    pub span: Span,
}

/// `'key' = 'value'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionText {
    pub key: String,
    pub value: String,
    pub key_span: Span,
    pub value_span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub with: Vec<Cte>,
    pub body: SetExpr,
    pub order_by: Option<Span>,
    pub limit: Option<Span>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub name: Ident,
    pub columns: Vec<Ident>,
    pub query: Query,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SetExpr {
    Select(Box<Select>),
    Values {
        rows: Vec<Vec<Expr>>,
        span: Span,
    },
    /// `TABLE t`.
    Table(Name),
    Set {
        op: SetOp,
        all: bool,
        op_span: Span,
        left: Box<SetExpr>,
        right: Box<SetExpr>,
    },
    Query(Box<Query>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub hints: Vec<Hint>,
    pub distinct: Option<Span>,
    pub items: Vec<SelectItem>,
    pub from: Option<TableRef>,
    pub filter: Option<Expr>,
    pub group_by: Option<Span>,
    pub having: Option<Span>,
    pub window: Option<Span>,
    pub qualify: Option<Span>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    Expr {
        expr: Expr,
        alias: Option<Ident>,
    },
    /// `*` or `t.*`.
    Star {
        qualifier: Option<Name>,
        span: Span,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alias {
    pub name: Option<Ident>,
    pub columns: Vec<Ident>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// `,` or CROSS JOIN.
    Cross,
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    Asof,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TableRef {
    Table {
        name: Name,
        hints: Vec<Hint>,
        system_time: Option<Expr>,
        alias: Alias,
        span: Span,
    },
    Derived {
        query: Box<Query>,
        lateral: bool,
        alias: Alias,
        span: Span,
    },
    Unnest {
        exprs: Vec<Expr>,
        ordinality: bool,
        alias: Alias,
        span: Span,
    },
    Function {
        call: Expr,
        lateral: bool,
        alias: Alias,
        span: Span,
    },
    Join {
        left: Box<TableRef>,
        right: Box<TableRef>,
        kind: JoinKind,
        natural: bool,
        using: Vec<Ident>,
        on: Option<Expr>,
        span: Span,
    },
    /// What is parsed to its end and refused by name: MATCH_RECOGNIZE, PIVOT, TABLESAMPLE …
    Other {
        what: String,
        span: Span,
    },
}

impl TableRef {
    pub fn span(&self) -> Span {
        match self {
            Self::Table { span, .. }
            | Self::Derived { span, .. }
            | Self::Unnest { span, .. }
            | Self::Function { span, .. }
            | Self::Join { span, .. }
            | Self::Other { span, .. } => span.clone(),
        }
    }
}

// ---- statements ----------------------------------------------------------------------------

/// One statement of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    /// Byte range in the script, without the closing `;`.
    pub span: Span,
    /// The statement as written.
    pub text: String,
    /// How deep its parentheses, CASEs and operators nest.
    pub nesting: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    Physical { type_name: TypeName },
    Computed { expr: Expr, text: String },
    Metadata { type_name: TypeName, key: Option<String>, virtual_: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    pub name: Ident,
    pub kind: ColumnKind,
    pub primary_key: bool,
    pub comment: Option<String>,
    /// ADD and MODIFY: FIRST, or AFTER a column.
    pub position: Option<ColumnPosition>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnPosition {
    First,
    After(Ident),
}

#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkDef {
    pub column: Name,
    pub expr: Expr,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct KeyDef {
    pub columns: Vec<Ident>,
    pub unique: bool,
    /// `None`: nothing was written; Flink takes only NOT ENFORCED.
    pub enforced: Option<bool>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableElements {
    pub columns: Vec<ColumnDef>,
    /// Names without types (CREATE TABLE (a, b) AS …).
    pub names: Vec<Ident>,
    pub watermarks: Vec<WatermarkDef>,
    pub keys: Vec<KeyDef>,
    pub distribution: Option<Span>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LikeClause {
    pub source: Name,
    /// (INCLUDING / EXCLUDING / OVERWRITING, ALL / CONSTRAINTS / …) in upper case.
    pub options: Vec<(String, String, Span)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: Name,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub or_replace: bool,
    pub elements: TableElements,
    pub comment: Option<String>,
    pub partitioned_by: Vec<Ident>,
    pub options: Vec<OptionText>,
    pub like: Option<LikeClause>,
    pub as_query: Option<Query>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub target: Name,
    /// `INSERT INTO t (extra INT) …`: columns the table does not declare.
    pub extended: Option<Span>,
    pub hints: Vec<Hint>,
    pub overwrite: bool,
    pub upsert: bool,
    pub partition: Vec<(Ident, Option<Expr>)>,
    pub columns: Vec<Ident>,
    pub query: Query,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    Rename(Name),
    Set(Vec<OptionText>),
    Reset(Vec<String>),
    Add(TableElements),
    Modify(TableElements),
    RenameColumn {
        from: Name,
        to: Ident,
    },
    DropColumns(Vec<Name>),
    DropPrimaryKey,
    DropConstraint(Ident),
    DropWatermark,
    DropDistribution,
    /// Parsed and refused by name: COMPACT, ADD PARTITION …
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Catalog,
    Database,
    Table,
    View,
    Function,
}

/// `LIKE 'p'`, `NOT ILIKE 'p'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikeFilter {
    pub pattern: String,
    pub negated: bool,
    pub ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ShowWhat {
    Catalogs,
    CurrentCatalog,
    Databases,
    CurrentDatabase,
    Tables,
    Views,
    Functions { user: bool },
    Columns(Name),
    CreateTable(Name),
    CreateView(Name),
    CreateCatalog(Name),
    Modules { full: bool },
    Jars,
    Jobs,
    Procedures,
    Partitions(Name),
    Other(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    CreateTable(Box<CreateTable>),
    CreateView {
        name: Name,
        temporary: bool,
        if_not_exists: bool,
        columns: Vec<Ident>,
        comment: Option<String>,
        query: Box<Query>,
        query_span: Span,
    },
    CreateDatabase {
        name: Name,
        if_not_exists: bool,
        comment: Option<String>,
        options: Vec<OptionText>,
    },
    CreateCatalog {
        name: Ident,
        if_not_exists: bool,
        comment: Option<String>,
        options: Vec<OptionText>,
    },
    /// `CREATE DATABASE d AS DATABASE c.s`: whole databases, a StarRocks and CDC extension.
    CreateDatabaseAs {
        name: Name,
        if_not_exists: bool,
        source: Name,
        options: Vec<OptionText>,
    },
    CreateFunction {
        name: Name,
        class: String,
    },
    Drop {
        kind: ObjectKind,
        name: Name,
        if_exists: bool,
        temporary: bool,
        cascade: bool,
    },
    AlterTable {
        name: Name,
        if_exists: bool,
        change: Box<AlterTable>,
    },
    AlterViewRename {
        name: Name,
        to: Name,
    },
    AlterViewAs {
        name: Name,
        query: Box<Query>,
        query_span: Span,
    },
    AlterDatabase {
        name: Name,
        options: Vec<OptionText>,
    },
    UseCatalog(Ident),
    UseDatabase(Name),
    Show {
        what: ShowWhat,
        scope: Option<Name>,
        like: Option<LikeFilter>,
    },
    Describe {
        name: Name,
    },
    DescribeOther {
        what: &'static str,
        name: Name,
    },
    Explain {
        details: Vec<String>,
        statement: Box<StatementKind>,
    },
    Set {
        key: String,
        value: String,
    },
    ShowSettings,
    Reset {
        key: Option<String>,
    },
    Insert(Box<Insert>),
    StatementSet(Vec<Insert>),
    BeginStatementSet,
    EndStatementSet,
    Query(Box<Query>),
    /// Parsed to its end and refused by name with one line of reason.
    Refused {
        what: String,
        reason: &'static str,
    },
    /// `HELP`, `QUIT`, `CLEAR`: words for a prompt.
    ClientCommand(String),
}
