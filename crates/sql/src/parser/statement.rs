//! Statements: DDL, SET, SHOW, INSERT and the rest of Flink's list.

use super::{Kind, Parse, Parser};
use crate::ast::*;
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::Tok;

const FIRST_WORDS: &[&str] = &[
    "ADD", "ALTER", "ANALYZE", "BEGIN", "CALL", "CLEAR", "COMPILE", "CREATE", "DELETE", "DESC", "DESCRIBE", "DROP",
    "END", "EXECUTE", "EXIT", "EXPLAIN", "HELP", "INSERT", "LOAD", "QUIT", "REMOVE", "REPLACE", "RESET", "SELECT",
    "SET", "SHOW", "STOP", "TABLE", "TRUNCATE", "UNLOAD", "UPDATE", "UPSERT", "USE", "VALUES", "WITH", "MERGE",
];

const NO_MODULES: &str = "all built-in functions are always there";
const NO_MODELS: &str = "models belong to later versions of Flink";
const NO_JARS: &str = "there is no Java virtual machine to load it into";
const NO_PLANS: &str = "compiled plans are files of Apache Flink; the script itself is the plan";
const NO_MATERIALIZED: &str =
    "materialized tables are refreshed by an Apache Flink cluster; use a job that writes the table";
const NO_STATISTICS: &str = "statistics are kept by the system that stores the table";
const NO_ROWS: &str = "rows are changed by the system that stores the table; send the statement to it";

fn refused(what: impl Into<String>, reason: &'static str) -> Kind {
    StatementKind::Refused { what: what.into(), reason }
}

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Parse<Kind> {
        let word = match self.tok() {
            Tok::Word(word) => word.to_ascii_uppercase(),
            Tok::Sym("(") => return Ok(StatementKind::Query(Box::new(self.query()?))),
            _ => return Err(self.unexpected("a statement")),
        };
        let start = self.span().start;
        match word.as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" => Ok(StatementKind::Query(Box::new(self.query()?))),
            "INSERT" | "UPSERT" => Ok(StatementKind::Insert(Box::new(self.insert()?))),
            "CREATE" => self.create(),
            "REPLACE" => {
                self.at += 1;
                let temporary = self.eat_word("TEMPORARY");
                self.expect_word("TABLE")?;
                self.create_table(temporary, true)
            }
            "DROP" => self.drop(),
            "ALTER" => self.alter(),
            "USE" => self.use_statement(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "SET" => self.set(),
            "RESET" => {
                self.at += 1;
                let key = match self.tok().clone() {
                    Tok::Eof | Tok::Sym(";") => None,
                    Tok::Str(key) => {
                        self.at += 1;
                        Some(key)
                    }
                    _ => Some(self.raw_to_end()),
                };
                Ok(StatementKind::Reset { key })
            }
            "EXECUTE" => self.execute(),
            "BEGIN" => {
                self.at += 1;
                self.expect_words(&["STATEMENT", "SET"])?;
                Ok(StatementKind::BeginStatementSet)
            }
            "END" => {
                self.at += 1;
                Ok(StatementKind::EndStatementSet)
            }
            "ANALYZE" => self.analyze(),
            "CALL" => {
                self.at += 1;
                self.expr()?;
                Ok(refused("CALL", "there are no procedures"))
            }
            "LOAD" | "UNLOAD" => {
                self.at += 1;
                self.expect_word("MODULE")?;
                self.ident("a module's name")?;
                if word == "LOAD" && self.eat_word("WITH") {
                    self.expect_sym("(")?;
                    self.option_pairs()?;
                }
                Ok(refused(format!("{word} MODULE"), NO_MODULES))
            }
            "ADD" | "REMOVE" => {
                self.at += 1;
                self.expect_word("JAR")?;
                if matches!(self.tok(), Tok::Str(_)) {
                    self.at += 1;
                } else {
                    self.raw_to_end();
                }
                Ok(refused(format!("{word} JAR"), NO_JARS))
            }
            "STOP" => {
                self.at += 1;
                self.expect_word("JOB")?;
                self.string("the job's id between quotes")?;
                if self.eat_words(&["WITH", "SAVEPOINT"]) {
                    self.eat_words(&["WITH", "DRAIN"]);
                } else if self.peek_words(&["WITH", "DRAIN"]) {
                    return Err(Diagnostic::at(self.span(), "WITH DRAIN can only be used after WITH SAVEPOINT"));
                }
                Ok(refused("STOP JOB", "a job is stopped where it runs; press Ctrl-C or use the HTTP interface"))
            }
            "COMPILE" => {
                self.at += 1;
                let and_execute = self.eat_words(&["AND", "EXECUTE"]);
                self.expect_word("PLAN")?;
                self.string("the plan's file between quotes")?;
                if !and_execute {
                    self.eat_words(&["IF", "NOT", "EXISTS"]);
                }
                self.expect_word("FOR")?;
                self.insert_or_set()?;
                Ok(refused("COMPILE PLAN", NO_PLANS))
            }
            "TRUNCATE" => {
                self.at += 1;
                self.expect_word("TABLE")?;
                self.name("a table's name")?;
                Ok(refused("TRUNCATE TABLE", NO_ROWS))
            }
            "DELETE" => {
                self.at += 1;
                self.expect_word("FROM")?;
                self.name("a table's name")?;
                self.hints()?;
                if !self.peek_word("WHERE") && matches!(self.tok(), Tok::Word(_) | Tok::Quoted(_)) {
                    self.eat_word("AS");
                    self.ident("a name")?;
                }
                if self.eat_word("WHERE") {
                    self.expr()?;
                }
                Ok(refused("DELETE", NO_ROWS))
            }
            "UPDATE" => {
                self.at += 1;
                self.name("a table's name")?;
                self.hints()?;
                if !self.peek_word("SET") {
                    self.eat_word("AS");
                    self.ident("a name")?;
                }
                self.expect_word("SET")?;
                loop {
                    self.name("a column's name")?;
                    self.expect_sym("=")?;
                    self.expr()?;
                    if !self.eat_sym(",") {
                        break;
                    }
                }
                if self.eat_word("WHERE") {
                    self.expr()?;
                }
                Ok(refused("UPDATE", NO_ROWS))
            }
            "MERGE" => {
                self.raw_to_end();
                Ok(refused("MERGE", NO_ROWS))
            }
            "HELP" | "QUIT" | "EXIT" | "CLEAR" => {
                self.at += 1;
                Ok(StatementKind::ClientCommand(word))
            }
            other => {
                let span = start..self.span().end;
                Err(Diagnostic::at(span, format!("{other} begins no statement"))
                    .with_label("expected a statement")
                    .with_nearest(other, FIRST_WORDS.iter().copied()))
            }
        }
    }

    /// Everything to the end of the statement, as written.
    fn raw_to_end(&mut self) -> String {
        let start = self.span().start;
        while !self.peek_sym(";") && !self.at_end() {
            self.at += 1;
        }
        self.slice(&(start..self.previous_end().max(start))).trim().to_owned()
    }

    fn set(&mut self) -> Parse<Kind> {
        self.at += 1;
        if self.at_end() || self.peek_sym(";") {
            return Ok(StatementKind::ShowSettings);
        }
        let key = if let Tok::Str(key) = self.tok().clone() {
            self.at += 1;
            key
        } else {
            let start = self.span().start;
            while !self.peek_sym("=") && !self.peek_sym(";") && !self.at_end() {
                self.at += 1;
            }
            self.slice(&(start..self.previous_end().max(start))).trim().to_owned()
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(self.unexpected("an option's name"));
        }
        self.expect_sym("=")?;
        let value = match (self.tok().clone(), self.tok_at(1)) {
            (Tok::Str(value), Tok::Eof | Tok::Sym(";")) => {
                self.at += 1;
                value
            }
            _ => self.raw_to_end(),
        };
        Ok(StatementKind::Set { key, value })
    }

    fn use_statement(&mut self) -> Parse<Kind> {
        self.at += 1;
        if self.peek_word("CATALOG") && matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)) {
            self.at += 1;
            return Ok(StatementKind::UseCatalog(self.ident("a catalog's name")?));
        }
        if self.peek_word("MODULES") && !matches!(self.tok_at(1), Tok::Eof | Tok::Sym(";")) {
            self.at += 1;
            loop {
                self.ident("a module's name")?;
                if !self.eat_sym(",") {
                    break;
                }
            }
            return Ok(refused("USE MODULES", NO_MODULES));
        }
        Ok(StatementKind::UseDatabase(self.name("a database's name")?))
    }

    fn like_filter(&mut self) -> Parse<Option<LikeFilter>> {
        let negated = self.peek_word("NOT");
        let ahead = usize::from(negated);
        let ignore_case = self.peek_word_at(ahead, "ILIKE");
        if !ignore_case && !self.peek_word_at(ahead, "LIKE") {
            return Ok(None);
        }
        self.at += ahead + 1;
        let pattern = self.string("a pattern between quotes")?;
        Ok(Some(LikeFilter { pattern, negated, ignore_case }))
    }

    fn show(&mut self) -> Parse<Kind> {
        self.at += 1;
        let span = self.span();
        let word = self.any_ident("what to show")?.name.to_ascii_uppercase();
        let show = |what| Ok(StatementKind::Show { what, scope: None, like: None });
        let what = match word.as_str() {
            "CATALOGS" => ShowWhat::Catalogs,
            "DATABASES" => ShowWhat::Databases,
            "TABLES" => ShowWhat::Tables,
            "VIEWS" => ShowWhat::Views,
            "FUNCTIONS" => ShowWhat::Functions { user: false },
            "PROCEDURES" => ShowWhat::Procedures,
            "MODELS" => ShowWhat::Other("SHOW MODELS".into()),
            "MATERIALIZED" => {
                self.expect_word("TABLES")?;
                ShowWhat::Other("SHOW MATERIALIZED TABLES".into())
            }
            "USER" => {
                self.expect_word("FUNCTIONS")?;
                ShowWhat::Functions { user: true }
            }
            "CURRENT" => {
                if self.eat_word("CATALOG") {
                    return show(ShowWhat::CurrentCatalog);
                }
                self.expect_word("DATABASE")?;
                return show(ShowWhat::CurrentDatabase);
            }
            "FULL" => {
                self.expect_word("MODULES")?;
                return show(ShowWhat::Modules { full: true });
            }
            "MODULES" => return show(ShowWhat::Modules { full: false }),
            "JARS" => return show(ShowWhat::Jars),
            "JOBS" => return show(ShowWhat::Jobs),
            "COLUMNS" => {
                if !self.eat_word("FROM") {
                    self.expect_word("IN")?;
                }
                let name = self.name("a table's name")?;
                let like = self.like_filter()?;
                return Ok(StatementKind::Show { what: ShowWhat::Columns(name), scope: None, like });
            }
            "PARTITIONS" => {
                let name = self.name("a table's name")?;
                if self.eat_word("PARTITION") {
                    self.partition_spec()?;
                }
                return show(ShowWhat::Partitions(name));
            }
            "CREATE" => {
                if self.eat_word("TABLE") {
                    let name = self.name("a table's name")?;
                    return show(ShowWhat::CreateTable(name));
                }
                if self.eat_word("VIEW") {
                    let name = self.name("a view's name")?;
                    return show(ShowWhat::CreateView(name));
                }
                if self.eat_word("CATALOG") {
                    let name = self.ident("a catalog's name")?;
                    return show(ShowWhat::CreateCatalog(Name { parts: vec![name] }));
                }
                if self.eat_word("MODEL") {
                    self.name("a model's name")?;
                    return show(ShowWhat::Other("SHOW CREATE MODEL".into()));
                }
                return Err(self.unexpected("TABLE, VIEW or CATALOG"));
            }
            other => {
                let known = [
                    "CATALOGS",
                    "DATABASES",
                    "TABLES",
                    "VIEWS",
                    "FUNCTIONS",
                    "COLUMNS",
                    "CREATE",
                    "MODULES",
                    "JARS",
                    "JOBS",
                    "PARTITIONS",
                    "CURRENT",
                ];
                return Err(Diagnostic::at(span, format!("SHOW {other} is unknown")).with_nearest(other, known));
            }
        };
        let scope =
            if self.eat_word("FROM") || self.eat_word("IN") { Some(self.name("a database's name")?) } else { None };
        let like = self.like_filter()?;
        Ok(StatementKind::Show { what, scope, like })
    }

    fn describe(&mut self) -> Parse<Kind> {
        self.at += 1;
        for (word, what) in
            [("CATALOG", "catalog"), ("DATABASE", "database"), ("MODEL", "model"), ("FUNCTION", "function")]
        {
            let named = matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_));
            if self.peek_word(word) && named {
                self.at += 1;
                if matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)) {
                    self.eat_word("EXTENDED");
                }
                let name = self.name("a name")?;
                return Ok(StatementKind::DescribeOther { what, name });
            }
        }
        if self.peek_word("JOB") && matches!(self.tok_at(1), Tok::Str(_)) {
            self.at += 2;
            return Ok(refused("DESCRIBE JOB", "jobs are listed by the process that runs them"));
        }
        if matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_)) {
            self.eat_word("EXTENDED");
        }
        Ok(StatementKind::Describe { name: self.name("a table's name")? })
    }

    fn explain(&mut self) -> Parse<Kind> {
        self.at += 1;
        let mut details: Vec<String> = Vec::new();
        if self.eat_words(&["PLAN", "FOR"]) {
        } else {
            const DETAILS: &[&str] = &["ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"];
            while DETAILS.iter().any(|d| self.peek_word(d)) {
                let word = self.any_ident("a detail")?;
                let upper = word.name.to_ascii_uppercase();
                if details.contains(&upper) {
                    return Err(Diagnostic::at(word.span, format!("{upper} is written twice")));
                }
                details.push(upper);
                if !self.eat_sym(",") {
                    break;
                }
            }
        }
        let statement = if self.peek_words(&["STATEMENT", "SET"]) || self.peek_word("EXECUTE") {
            self.eat_word("EXECUTE");
            self.insert_or_set()?
        } else if self.peek_word("INSERT") || self.peek_word("UPSERT") || self.peek_word("CREATE") {
            self.statement()?
        } else {
            StatementKind::Query(Box::new(self.query()?))
        };
        Ok(StatementKind::Explain { details, statement: Box::new(statement) })
    }

    fn insert_or_set(&mut self) -> Parse<Kind> {
        if self.eat_words(&["STATEMENT", "SET"]) {
            self.expect_word("BEGIN")?;
            let mut inserts = Vec::new();
            while !self.peek_word("END") {
                if !(self.peek_word("INSERT") || self.peek_word("UPSERT")) {
                    return Err(self.unexpected("INSERT or END"));
                }
                inserts.push(self.insert()?);
                self.expect_sym(";")?;
                while self.eat_sym(";") {}
            }
            self.expect_word("END")?;
            return Ok(StatementKind::StatementSet(inserts));
        }
        if self.peek_word("INSERT") || self.peek_word("UPSERT") {
            return Ok(StatementKind::Insert(Box::new(self.insert()?)));
        }
        Ok(StatementKind::Query(Box::new(self.query()?)))
    }

    fn execute(&mut self) -> Parse<Kind> {
        self.at += 1;
        if self.eat_word("PLAN") {
            self.string("the plan's file between quotes")?;
            return Ok(refused("EXECUTE PLAN", NO_PLANS));
        }
        self.insert_or_set()
    }

    fn partition_spec(&mut self) -> Parse<Vec<(Ident, Option<Expr>)>> {
        self.expect_sym("(")?;
        let mut spec = Vec::new();
        loop {
            let column = self.ident("a partition column's name")?;
            let value = if self.eat_sym("=") { Some(self.expr()?) } else { None };
            spec.push((column, value));
            if !self.eat_sym(",") {
                break;
            }
        }
        self.expect_sym(")")?;
        Ok(spec)
    }

    fn insert(&mut self) -> Parse<Insert> {
        let start = self.span().start;
        let upsert = self.eat_word("UPSERT");
        if !upsert {
            self.expect_word("INSERT")?;
        }
        let span = self.span();
        let overwrite = self.eat_word("OVERWRITE");
        if overwrite && upsert {
            return Err(Diagnostic::at(span, "OVERWRITE can only be used with INSERT"));
        }
        if !overwrite {
            self.expect_word("INTO")?;
        }
        let target = self.name("a table's name")?;
        let mut hints = self.hints()?;
        let mut extended = None;
        if self.peek_sym("(")
            && matches!(self.tok_at(1), Tok::Word(_) | Tok::Quoted(_))
            && matches!(self.tok_at(2), Tok::Word(_))
            && !self.starts_query()
        {
            let open = self.expect_sym("(")?;
            self.table_elements()?;
            extended = Some(open.start..self.previous_end());
        }
        let partition = if self.eat_word("PARTITION") { self.partition_spec()? } else { Vec::new() };
        hints.extend(self.hints()?);
        let columns =
            if self.peek_sym("(") && !self.starts_query() { self.ident_list("a column's name")? } else { Vec::new() };
        let query = self.query()?;
        Ok(Insert {
            target,
            extended,
            hints,
            overwrite,
            upsert,
            partition,
            columns,
            query,
            span: start..self.previous_end(),
        })
    }

    fn if_not_exists(&mut self) -> bool {
        self.eat_words(&["IF", "NOT", "EXISTS"])
    }

    fn comment(&mut self) -> Parse<Option<String>> {
        if self.eat_word("COMMENT") { Ok(Some(self.string("the comment between quotes")?)) } else { Ok(None) }
    }

    fn with_options(&mut self) -> Parse<Vec<OptionText>> {
        if self.eat_word("WITH") {
            self.expect_sym("(")?;
            return self.option_pairs();
        }
        Ok(Vec::new())
    }

    fn create(&mut self) -> Parse<Kind> {
        self.at += 1;
        let or_replace = self.eat_words(&["OR", "REPLACE"]);
        let temporary = self.eat_word("TEMPORARY");
        let system_span = self.span();
        let system = self.eat_word("SYSTEM");
        if system && !self.peek_word("FUNCTION") {
            return Err(self.unexpected("FUNCTION"));
        }
        if self.eat_word("TABLE") {
            return self.create_table(temporary, or_replace);
        }
        if self.eat_word("VIEW") {
            let if_not_exists = self.if_not_exists();
            let name = self.name("a view's name")?;
            let mut columns = Vec::new();
            if self.peek_sym("(") {
                self.at += 1;
                loop {
                    columns.push(self.ident("a column's name")?);
                    self.comment()?;
                    if !self.eat_sym(",") {
                        break;
                    }
                }
                self.expect_sym(")")?;
            }
            let comment = self.comment()?;
            self.expect_word("AS")?;
            let start = self.span().start;
            let query = Box::new(self.query()?);
            let query_span = start..self.previous_end();
            return Ok(StatementKind::CreateView {
                name,
                temporary,
                if_not_exists,
                columns,
                comment,
                query,
                query_span,
            });
        }
        if self.eat_word("DATABASE") {
            let if_not_exists = self.if_not_exists();
            let name = self.name("a database's name")?;
            let comment = self.comment()?;
            let options = self.with_options()?;
            if self.eat_words(&["AS", "DATABASE"]) {
                let source = self.name("a database's name")?;
                return Ok(StatementKind::CreateDatabaseAs { name, if_not_exists, source, options });
            }
            return Ok(StatementKind::CreateDatabase { name, if_not_exists, comment, options });
        }
        if self.eat_word("CATALOG") {
            let if_not_exists = self.if_not_exists();
            let name = self.ident("a catalog's name")?;
            let comment = self.comment()?;
            let options = self.with_options()?;
            return Ok(StatementKind::CreateCatalog { name, if_not_exists, comment, options });
        }
        if self.eat_word("FUNCTION") {
            if system && !temporary {
                return Err(Diagnostic::at(
                    system_span,
                    "a system function can only be created as TEMPORARY SYSTEM FUNCTION",
                ));
            }
            self.if_not_exists();
            let name = if system {
                Name { parts: vec![self.ident("a function's name")?] }
            } else {
                self.name("a function's name")?
            };
            let class = self.function_body()?;
            return Ok(StatementKind::CreateFunction { name, class });
        }
        if self.eat_word("MODEL") {
            self.if_not_exists();
            self.name("a model's name")?;
            for word in ["INPUT", "OUTPUT"] {
                if self.eat_word(word) {
                    self.expect_sym("(")?;
                    self.skip_parens()?;
                }
            }
            self.comment()?;
            self.with_options()?;
            if self.eat_word("AS") {
                self.query()?;
            }
            return Ok(refused("CREATE MODEL", NO_MODELS));
        }
        if self.peek_words(&["MATERIALIZED", "TABLE"]) {
            if temporary {
                return Err(Diagnostic::at(self.span(), "CREATE TEMPORARY MATERIALIZED TABLE is not supported"));
            }
            self.at += 2;
            return self.create_materialized();
        }
        if self.peek_word("ROUTINE") {
            return Err(Diagnostic::at(
                self.span(),
                "CREATE ROUTINE LOAD is a statement of StarRocks, not of Flink SQL",
            )
            .with_hint("put it in a file of its own"));
        }
        let known = ["TABLE", "VIEW", "DATABASE", "CATALOG", "FUNCTION", "TEMPORARY"];
        let found = match self.tok() {
            Tok::Word(word) => word.clone(),
            _ => String::new(),
        };
        Err(self.unexpected("TABLE, VIEW, DATABASE, CATALOG or FUNCTION").with_nearest(&found, known))
    }

    fn function_body(&mut self) -> Parse<String> {
        self.expect_word("AS")?;
        let class = self.string("the class between quotes")?;
        let mut python = false;
        if self.eat_word("LANGUAGE") {
            let language = self.any_ident("JAVA, SCALA or PYTHON")?;
            python = language.name.eq_ignore_ascii_case("PYTHON");
            if !["JAVA", "SCALA", "PYTHON"].iter().any(|l| language.name.eq_ignore_ascii_case(l)) {
                return Err(Diagnostic::at(language.span, "a function's language is JAVA, SCALA or PYTHON"));
            }
        }
        let span = self.span();
        if self.eat_word("USING") {
            if python {
                return Err(Diagnostic::at(span, "USING JAR does not apply to functions in Python"));
            }
            loop {
                self.expect_word("JAR")?;
                self.string("the JAR's path between quotes")?;
                if !self.eat_sym(",") {
                    break;
                }
            }
        }
        self.with_options()?;
        Ok(class)
    }

    fn create_materialized(&mut self) -> Parse<Kind> {
        self.name("a table's name")?;
        if self.eat_sym("(") {
            self.table_elements()?;
        }
        self.comment()?;
        self.distribution()?;
        if self.eat_words(&["PARTITIONED", "BY"]) {
            self.ident_list("a column's name")?;
        }
        self.with_options()?;
        self.expect_word("FRESHNESS")?;
        self.expect_sym("=")?;
        self.freshness()?;
        if self.eat_word("REFRESH_MODE") {
            self.expect_sym("=")?;
            self.refresh_mode()?;
        }
        self.expect_word("AS")?;
        self.query()?;
        Ok(refused("CREATE MATERIALIZED TABLE", NO_MATERIALIZED))
    }

    fn freshness(&mut self) -> Parse<()> {
        let span = self.span();
        let expr = self.expr()?;
        let quoted = matches!(&expr.kind, ExprKind::Interval { .. }) && self.text[expr.span.clone()].contains('\'');
        if quoted {
            Ok(())
        } else {
            Err(Diagnostic::at(span, "FRESHNESS takes an interval, such as INTERVAL '3' MINUTE"))
        }
    }

    fn refresh_mode(&mut self) -> Parse<()> {
        if self.eat_word("FULL") || self.eat_word("CONTINUOUS") {
            Ok(())
        } else {
            Err(self.unexpected("FULL or CONTINUOUS"))
        }
    }

    fn distribution(&mut self) -> Parse<Option<Span>> {
        let start = self.span().start;
        if !self.eat_word("DISTRIBUTED") {
            return Ok(None);
        }
        if self.eat_word("BY") {
            let _ = self.eat_word("HASH") || self.eat_word("RANGE");
            self.ident_list("a column's name")?;
            if self.eat_word("INTO") {
                self.bucket_count()?;
            }
        } else {
            self.expect_word("INTO")?;
            self.bucket_count()?;
        }
        Ok(Some(start..self.previous_end()))
    }

    fn bucket_count(&mut self) -> Parse<()> {
        match self.tok() {
            Tok::Number(_) => self.at += 1,
            _ => return Err(self.unexpected("the number of buckets")),
        }
        self.expect_word("BUCKETS").map(|_| ())
    }

    fn create_table(&mut self, temporary: bool, or_replace: bool) -> Parse<Kind> {
        let if_not_exists = self.if_not_exists();
        let name = self.name("a table's name")?;
        let elements = if self.eat_sym("(") { self.table_elements()? } else { TableElements::default() };
        let comment = self.comment()?;
        let mut elements = elements;
        if let Some(span) = self.distribution()? {
            elements.distribution = Some(span);
        }
        let partitioned_by = if self.eat_words(&["PARTITIONED", "BY"]) {
            if self.peek_sym("(") && self.peek_sym_at(1, ")") {
                self.at += 2;
                Vec::new()
            } else {
                self.ident_list("a column's name")?
            }
        } else {
            Vec::new()
        };
        let options = self.with_options()?;
        let mut like = None;
        let mut as_query = None;
        if self.eat_word("LIKE") {
            let source = self.name("a table's name")?;
            let mut clause = LikeClause { source, options: Vec::new() };
            if self.eat_sym("(") {
                while !self.eat_sym(")") {
                    let start = self.span().start;
                    let verb = ["INCLUDING", "EXCLUDING", "OVERWRITING"].into_iter().find(|w| self.peek_word(w));
                    let Some(verb) = verb else { return Err(self.unexpected("INCLUDING, EXCLUDING or OVERWRITING")) };
                    self.at += 1;
                    let whats = [
                        "ALL",
                        "CONSTRAINTS",
                        "DISTRIBUTION",
                        "GENERATED",
                        "METADATA",
                        "OPTIONS",
                        "PARTITIONS",
                        "WATERMARKS",
                    ];
                    let what = whats.into_iter().find(|w| self.peek_word(w));
                    let Some(what) = what else { return Err(self.unexpected(&whats.join(", "))) };
                    self.at += 1;
                    clause.options.push((verb.to_owned(), what.to_owned(), start..self.previous_end()));
                }
            }
            like = Some(clause);
        } else if self.eat_word("AS") {
            if self.peek_word("TABLE") && !self.peek_sym_at(1, "(") {
                // `AS TABLE c.d.t`: StarRocks' and CDC's form; the same as SELECT * FROM it.
            }
            as_query = Some(self.query()?);
        }
        let create = CreateTable {
            name,
            temporary,
            if_not_exists,
            or_replace,
            elements,
            comment,
            partitioned_by,
            options,
            like,
            as_query,
        };
        Ok(StatementKind::CreateTable(Box::new(create)))
    }

    /// Columns, keys, watermarks, to the closing parenthesis, which is taken.
    fn table_elements(&mut self) -> Parse<TableElements> {
        let mut elements = TableElements::default();
        if self.eat_sym(")") {
            return Ok(elements);
        }
        loop {
            self.table_element(&mut elements)?;
            if !self.eat_sym(",") {
                break;
            }
        }
        self.expect_sym(")")?;
        Ok(elements)
    }

    fn table_element(&mut self, elements: &mut TableElements) -> Parse<()> {
        if self.peek_words(&["WATERMARK", "FOR"]) {
            self.at += 2;
            let column = self.name("the event-time column's name")?;
            self.expect_word("AS")?;
            if self.starts_query() || (self.peek_sym("(") && self.peek_word_at(1, "SELECT")) {
                return Err(Diagnostic::at(self.span(), "a watermark is an expression over the row, not a query"));
            }
            let start = self.span().start;
            let expr = self.expr()?;
            let text = self.slice(&(start..self.previous_end()));
            elements.watermarks.push(WatermarkDef { column, expr, text });
            return Ok(());
        }
        let start = self.span().start;
        if self.peek_word("CONSTRAINT")
            || (self.peek_word("PRIMARY") && self.peek_word_at(1, "KEY"))
            || (self.peek_word("UNIQUE") && self.peek_sym_at(1, "("))
        {
            if self.eat_word("CONSTRAINT") {
                self.ident("the constraint's name")?;
            }
            let unique = self.eat_word("UNIQUE");
            if !unique {
                self.expect_words(&["PRIMARY", "KEY"])?;
            }
            let columns = self.ident_list("a column's name")?;
            let enforced = self.enforced();
            elements.keys.push(KeyDef { columns, unique, enforced, span: start..self.previous_end() });
            return Ok(());
        }
        if self.peek_word("DISTRIBUTION") || self.peek_word("DISTRIBUTED") {
            let start = self.span().start;
            self.at += 1;
            if self.eat_word("BY") {
                let _ = self.eat_word("HASH") || self.eat_word("RANGE");
                self.ident_list("a column's name")?;
                if self.eat_word("INTO") {
                    self.bucket_count()?;
                }
            } else {
                self.expect_word("INTO")?;
                self.bucket_count()?;
            }
            elements.distribution = Some(start..self.previous_end());
            return Ok(());
        }
        let mut name = self.ident("a column's name")?;
        while self.eat_sym(".") {
            let part = self.any_ident("a field's name")?;
            name.name = format!("{}.{}", name.name, part.name);
            name.span.end = part.span.end;
        }
        // Nested names occur in ALTER TABLE … MODIFY of structured columns.
        if self.peek_sym(",") || self.peek_sym(")") {
            elements.names.push(name);
            return Ok(());
        }
        let mut primary_key = false;
        let kind = if self.eat_word("AS") {
            let start = self.span().start;
            let expr = self.expr()?;
            ColumnKind::Computed { expr, text: self.slice(&(start..self.previous_end())) }
        } else {
            let type_name = self.type_name()?;
            if self.eat_word("METADATA") {
                let key =
                    if self.eat_word("FROM") { Some(self.string("the metadata key between quotes")?) } else { None };
                let virtual_ = self.eat_word("VIRTUAL");
                ColumnKind::Metadata { type_name, key, virtual_ }
            } else {
                let key_start = self.span().start;
                if self.eat_word("CONSTRAINT") {
                    self.ident("the constraint's name")?;
                }
                if self.peek_words(&["PRIMARY", "KEY"]) || self.peek_word("UNIQUE") {
                    let unique = self.eat_word("UNIQUE");
                    if !unique {
                        self.at += 2;
                    }
                    let enforced = self.enforced();
                    primary_key = !unique;
                    let span = key_start..self.previous_end();
                    elements.keys.push(KeyDef { columns: vec![name.clone()], unique, enforced, span });
                }
                ColumnKind::Physical { type_name }
            }
        };
        let comment = self.comment()?;
        let position = if self.eat_word("FIRST") {
            Some(ColumnPosition::First)
        } else if self.eat_word("AFTER") {
            let name = self.name("a column's name")?;
            let name = name.parts.into_iter().next_back();
            name.map(ColumnPosition::After)
        } else {
            None
        };
        elements.columns.push(ColumnDef { name, kind, primary_key, comment, position });
        Ok(())
    }

    fn enforced(&mut self) -> Option<bool> {
        if self.eat_words(&["NOT", "ENFORCED"]) {
            Some(false)
        } else if self.eat_word("ENFORCED") {
            Some(true)
        } else {
            None
        }
    }

    fn drop(&mut self) -> Parse<Kind> {
        self.at += 1;
        let temporary = self.eat_word("TEMPORARY");
        self.eat_word("SYSTEM");
        if self.peek_words(&["MATERIALIZED", "TABLE"]) {
            if temporary {
                return Err(Diagnostic::at(self.span(), "DROP TEMPORARY MATERIALIZED TABLE is not supported"));
            }
            self.at += 2;
            self.eat_words(&["IF", "EXISTS"]);
            self.name("a table's name")?;
            return Ok(refused("DROP MATERIALIZED TABLE", NO_MATERIALIZED));
        }
        if self.eat_word("MODEL") {
            self.eat_words(&["IF", "EXISTS"]);
            self.name("a model's name")?;
            return Ok(refused("DROP MODEL", NO_MODELS));
        }
        let kind = [
            ("CATALOG", ObjectKind::Catalog),
            ("DATABASE", ObjectKind::Database),
            ("TABLE", ObjectKind::Table),
            ("VIEW", ObjectKind::View),
            ("FUNCTION", ObjectKind::Function),
        ]
        .into_iter()
        .find(|(word, _)| self.peek_word(word));
        let Some((_, kind)) = kind else { return Err(self.unexpected("TABLE, VIEW, DATABASE, CATALOG or FUNCTION")) };
        self.at += 1;
        let if_exists = self.eat_words(&["IF", "EXISTS"]);
        let name = self.name("a name")?;
        let cascade = self.eat_word("CASCADE");
        if !cascade {
            self.eat_word("RESTRICT");
        }
        Ok(StatementKind::Drop { kind, name, if_exists, temporary, cascade })
    }

    fn key_list(&mut self) -> Parse<Vec<String>> {
        self.expect_sym("(")?;
        let mut keys = Vec::new();
        if self.eat_sym(")") {
            return Ok(keys);
        }
        loop {
            keys.push(self.string("an option's name between quotes")?);
            if !self.eat_sym(",") {
                break;
            }
        }
        self.expect_sym(")")?;
        Ok(keys)
    }

    fn alter(&mut self) -> Parse<Kind> {
        self.at += 1;
        let temporary = self.eat_word("TEMPORARY");
        let system = self.eat_word("SYSTEM");
        if self.eat_word("FUNCTION") {
            self.eat_words(&["IF", "EXISTS"]);
            let name = if system {
                Name { parts: vec![self.ident("a function's name")?] }
            } else {
                self.name("a function's name")?
            };
            let class = self.function_body()?;
            return Ok(StatementKind::CreateFunction { name, class });
        }
        if temporary || system {
            return Err(self.unexpected("FUNCTION"));
        }
        if self.eat_word("TABLE") {
            return self.alter_table();
        }
        if self.eat_word("VIEW") {
            let name = self.name("a view's name")?;
            if self.eat_words(&["RENAME", "TO"]) {
                return Ok(StatementKind::AlterViewRename { name, to: self.name("a view's name")? });
            }
            self.expect_word("AS")?;
            let start = self.span().start;
            let query = Box::new(self.query()?);
            return Ok(StatementKind::AlterViewAs { name, query, query_span: start..self.previous_end() });
        }
        if self.eat_word("DATABASE") {
            let name = self.name("a database's name")?;
            self.expect_word("SET")?;
            self.expect_sym("(")?;
            let options = self.option_pairs()?;
            return Ok(StatementKind::AlterDatabase { name, options });
        }
        if self.eat_word("CATALOG") {
            self.ident("a catalog's name")?;
            if self.eat_word("SET") {
                self.expect_sym("(")?;
                self.option_pairs()?;
            } else if self.eat_word("RESET") {
                self.key_list()?;
            } else if self.comment()?.is_none() {
                return Err(self.unexpected("SET, RESET or COMMENT"));
            }
            return Ok(refused("ALTER CATALOG", "write the options in CREATE CATALOG"));
        }
        if self.eat_word("MODEL") {
            self.eat_words(&["IF", "EXISTS"]);
            self.name("a model's name")?;
            if self.eat_words(&["RENAME", "TO"]) {
                self.name("a model's name")?;
            } else if self.eat_word("RESET") {
                self.key_list()?;
            } else {
                self.expect_word("SET")?;
                self.expect_sym("(")?;
                self.option_pairs()?;
            }
            return Ok(refused("ALTER MODEL", NO_MODELS));
        }
        if self.eat_words(&["MATERIALIZED", "TABLE"]) {
            return self.alter_materialized();
        }
        Err(self.unexpected("TABLE, VIEW, DATABASE, CATALOG or FUNCTION"))
    }

    fn alter_materialized(&mut self) -> Parse<Kind> {
        self.name("a table's name")?;
        if self.eat_word("SUSPEND") {
        } else if self.eat_word("RESUME") {
            self.with_options()?;
        } else if self.eat_word("REFRESH") {
            if self.eat_word("PARTITION") {
                self.partition_spec()?;
            }
        } else if self.eat_word("RESET") {
            self.key_list()?;
        } else if self.eat_word("AS") {
            self.query()?;
        } else {
            self.expect_word("SET")?;
            if self.eat_word("REFRESH_MODE") {
                self.expect_sym("=")?;
                self.refresh_mode()?;
            } else if self.eat_word("FRESHNESS") {
                self.expect_sym("=")?;
                self.freshness()?;
            } else {
                self.expect_sym("(")?;
                self.option_pairs()?;
            }
        }
        Ok(refused("ALTER MATERIALIZED TABLE", NO_MATERIALIZED))
    }

    fn alter_table(&mut self) -> Parse<Kind> {
        let if_exists = self.eat_words(&["IF", "EXISTS"]);
        let name = self.name("a table's name")?;
        let change = self.alter_table_change()?;
        Ok(StatementKind::AlterTable { name, if_exists, change: Box::new(change) })
    }

    fn alter_table_change(&mut self) -> Parse<AlterTable> {
        if self.eat_word("RENAME") {
            if self.eat_word("TO") {
                return Ok(AlterTable::Rename(self.name("a table's name")?));
            }
            let from = self.name("a column's name")?;
            self.expect_word("TO")?;
            return Ok(AlterTable::RenameColumn { from, to: self.ident("a column's name")? });
        }
        if self.eat_word("SET") {
            self.expect_sym("(")?;
            return Ok(AlterTable::Set(self.option_pairs()?));
        }
        if self.eat_word("RESET") {
            return Ok(AlterTable::Reset(self.key_list()?));
        }
        if self.eat_word("PARTITION") {
            self.partition_spec()?;
            self.expect_word("COMPACT")?;
            return Ok(AlterTable::Other("COMPACT".into()));
        }
        if self.eat_word("COMPACT") {
            return Ok(AlterTable::Other("COMPACT".into()));
        }
        if self.eat_word("DROP") {
            if self.eat_words(&["PRIMARY", "KEY"]) {
                return Ok(AlterTable::DropPrimaryKey);
            }
            if self.peek_word("CONSTRAINT") {
                self.at += 1;
                return Ok(AlterTable::DropConstraint(self.ident("the constraint's name")?));
            }
            if self.eat_word("WATERMARK") {
                return Ok(AlterTable::DropWatermark);
            }
            if self.eat_word("DISTRIBUTION") {
                return Ok(AlterTable::DropDistribution);
            }
            if self.peek_word("PARTITION") || self.peek_words(&["IF", "EXISTS"]) {
                self.eat_words(&["IF", "EXISTS"]);
                loop {
                    self.expect_word("PARTITION")?;
                    self.partition_spec()?;
                    if !self.eat_sym(",") && !self.peek_word("PARTITION") {
                        break;
                    }
                }
                return Ok(AlterTable::Other("DROP PARTITION".into()));
            }
            let mut columns = Vec::new();
            if self.eat_sym("(") {
                loop {
                    columns.push(self.name("a column's name")?);
                    if !self.eat_sym(",") {
                        break;
                    }
                }
                self.expect_sym(")")?;
            } else {
                columns.push(self.name("a column's name")?);
            }
            return Ok(AlterTable::DropColumns(columns));
        }
        let modify = self.peek_word("MODIFY");
        if !modify && !self.peek_word("ADD") {
            return Err(self.unexpected("RENAME, SET, RESET, ADD, MODIFY or DROP"));
        }
        self.at += 1;
        if !modify && (self.peek_word("PARTITION") || self.peek_words(&["IF", "NOT", "EXISTS"])) {
            self.if_not_exists();
            while self.eat_word("PARTITION") {
                self.partition_spec()?;
                self.with_options()?;
            }
            return Ok(AlterTable::Other("ADD PARTITION".into()));
        }
        let mut elements = TableElements::default();
        if self.eat_sym("(") {
            elements = self.table_elements()?;
        } else {
            self.table_element(&mut elements)?;
        }
        Ok(if modify { AlterTable::Modify(elements) } else { AlterTable::Add(elements) })
    }

    fn analyze(&mut self) -> Parse<Kind> {
        self.at += 1;
        self.expect_word("TABLE")?;
        self.name("a table's name")?;
        if self.eat_word("PARTITION") {
            self.partition_spec()?;
        }
        self.expect_words(&["COMPUTE", "STATISTICS"])?;
        if self.eat_word("FOR") {
            if self.eat_word("ALL") {
                self.expect_word("COLUMNS")?;
            } else {
                self.expect_word("COLUMNS")?;
                loop {
                    self.name("a column's name")?;
                    if !self.eat_sym(",") {
                        break;
                    }
                }
            }
        }
        Ok(refused("ANALYZE TABLE", NO_STATISTICS))
    }
}
