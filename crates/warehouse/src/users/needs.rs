//! What a statement needs: privileges on the things it names. Views are asked for themselves, not for
//! what they read; information_schema, one's own temporary tables and CTEs need nothing.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{self, Visit, Visitor};

use super::privilege::{Need, Object, Privilege, Wanted};
use super::{Identity, Users};
use crate::core::Core;
use crate::error::{SqlError, SqlResult};
use crate::sql::parser;
use crate::sql::session::Session;
use crate::sql::statement::{InsertSource, Statement};
use crate::store::Table;

/// Refuses a statement the session's user may not run.
///
/// # Errors
/// 5203 with StarRocks' sentence.
pub fn check(session: &Session, statement: &Statement) -> SqlResult<()> {
    let users = &session.core.users;
    if users.is_root(&session.identity) {
        return Ok(());
    }
    let mut needs = Needs { session, out: Vec::new() };
    needs.statement(statement);
    refuse(users, &session.identity, &needs.out)
}

/// Refuses a database nothing of which is the user's business.
pub fn check_database(session: &Session, name: &str) -> SqlResult<()> {
    let Some(id) = session.core.store.database_id(name) else { return Ok(()) };
    let need = Need { what: Wanted::Any, object: Object::Database(Some(id)), name: name.into() };
    refuse(&session.core.users, &session.identity, &[need])
}

/// Refuses a load into a table, or reading it, from outside of a session.
pub fn check_table(
    core: &Core,
    identity: &Identity,
    database: &str,
    table: &str,
    privilege: Privilege,
) -> SqlResult<()> {
    let Some(found) = core.store.table(database, table) else { return Ok(()) };
    let object = relation_object(core, &found);
    let need = Need { what: Wanted::Privilege(privilege), object, name: table.into() };
    refuse(&core.users, identity, &[need])
}

/// The databases a session's user may see: those it has any privilege in.
pub fn databases(session: &Session) -> Vec<(String, u64)> {
    let users = &session.core.users;
    let all = session.core.store.databases();
    if users.is_root(&session.identity) {
        return all;
    }
    let seen = |id| Need { what: Wanted::Any, object: Object::Database(Some(id)), name: String::new() };
    all.into_iter().filter(|(_, id)| users.allowed(&session.identity, &seen(*id))).collect()
}

/// The tables and views of a database that a session's user may see: those it has any privilege on.
pub fn tables(session: &Session, database: &str) -> Vec<Arc<Table>> {
    let users = &session.core.users;
    let all = session.core.store.tables(database);
    if users.is_root(&session.identity) {
        return all;
    }
    let seen = |t: &Table| {
        let object = relation_object(&session.core, t);
        users.allowed(&session.identity, &Need { what: Wanted::Any, object, name: String::new() })
    };
    all.into_iter().filter(|t| seen(t)).collect()
}

/// Refuses the first need that is not allowed.
pub fn refuse(users: &Users, identity: &Identity, needs: &[Need]) -> SqlResult<()> {
    match needs.iter().find(|n| !users.allowed(identity, n)) {
        None => Ok(()),
        Some(need) => Err(denied(users, identity, need)),
    }
}

fn denied(users: &Users, identity: &Identity, need: &Need) -> SqlError {
    let active = users.roles(identity);
    let accounts = users.accounts();
    let inactive: Vec<String> = accounts
        .user(&identity.name)
        .map(|a| a.roles.iter().filter(|r| !active.contains(r)).cloned().collect())
        .unwrap_or_default();
    let list = |roles: &[String]| if roles.is_empty() { "NONE".into() } else { format!("[{}]", roles.join(", ")) };
    let name = if need.name.is_empty() { String::new() } else { format!(" {}", need.name) };
    SqlError::new(
        5203,
        format!(
            "Access denied; you need (at least one of) the {} privilege(s) on {}{name} for this operation. Please ask the admin to grant permission(s) or try activating existing roles using <set [default] role>. Current role(s): {}. Inactivated role(s): {}.",
            need.what,
            need.object.kind().text(),
            list(&active),
            list(&inactive)
        ),
    )
}

fn relation_object(core: &Core, table: &Table) -> Object {
    let def = table.def();
    let database = core.store.database_id(&def.database);
    if def.is_view() {
        Object::View { database, table: Some(table.id) }
    } else {
        Object::Table { database, table: Some(table.id) }
    }
}

struct Needs<'a> {
    session: &'a Session,
    out: Vec<Need>,
}

impl Needs<'_> {
    fn relation(&mut self, name: &[String], what: Wanted) {
        // What does not exist is refused as unknown, later.
        let Ok(table) = self.session.table(name) else { return };
        if table.def().session.is_some() {
            return;
        }
        let object = relation_object(&self.session.core, &table);
        self.push(what, object, table.def().name.clone());
    }

    fn push(&mut self, what: Wanted, object: Object, name: String) {
        let need = Need { what, object, name };
        if !self.out.contains(&need) {
            self.out.push(need);
        }
    }

    fn on(&mut self, name: &[String], privilege: Privilege) {
        self.relation(name, Wanted::Privilege(privilege));
    }

    fn in_database_of(&mut self, name: &[String], privilege: Privilege) {
        if let Ok((database, _)) = self.session.split_name(name) {
            self.database(&database, Wanted::Privilege(privilege));
        }
    }

    fn database(&mut self, name: &str, what: Wanted) {
        if let Some(id) = self.session.core.store.database_id(name) {
            self.push(what, Object::Database(Some(id)), name.to_string());
        }
    }

    /// SELECT on everything that is read; `with` is in front of all of it.
    fn reads(&mut self, with: Option<&ast::With>, parts: &[&dyn Reads]) {
        let mut reader = Reader::default();
        let mut visible = Vec::new();
        for cte in with.iter().flat_map(|w| &w.cte_tables) {
            reader.read(&visible, &*cte.query);
            visible.push(cte.alias.name.value.clone());
        }
        for part in parts {
            part.read_by(&mut reader, &visible);
        }
        for name in reader.relations {
            self.on(&name, Privilege::Select);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Query(q) => self.reads(None, &[&**q]),
            Statement::Explain(inner) => self.statement(inner),
            Statement::Insert(i) => {
                if !i.blackhole {
                    self.on(&i.name, Privilege::Insert);
                }
                match &i.source {
                    InsertSource::Query(q) => self.reads(None, &[&**q]),
                    InsertSource::Values(rows) => self.reads(None, &[rows]),
                }
            }
            Statement::Update { name, assignments, from, selection, with, .. } => {
                self.on(name, Privilege::Update);
                let values: Vec<ast::Expr> = assignments.iter().map(|(_, e)| e.clone()).collect();
                self.reads(with.as_ref(), &[&values, from, selection]);
            }
            Statement::Delete { name, using, selection, with, .. } => {
                self.on(name, Privilege::Delete);
                self.reads(with.as_ref(), &[using, selection]);
            }
            Statement::CreateTable(t) => {
                self.in_database_of(&t.name, Privilege::CreateTable);
                if let Some(q) = &t.query {
                    self.reads(None, &[&**q]);
                }
            }
            Statement::CreateTableLike { name, like, .. } => {
                self.in_database_of(name, Privilege::CreateTable);
                self.on(like, Privilege::Select);
            }
            Statement::CreateView { name, query, .. } => {
                self.in_database_of(name, Privilege::CreateView);
                if let Ok(q) = parser::parse_query(query) {
                    self.reads(None, &[&*q]);
                }
            }
            Statement::AlterView { name, query, .. } => {
                self.on(name, Privilege::Alter);
                if let Ok(q) = parser::parse_query(query) {
                    self.reads(None, &[&*q]);
                }
            }
            Statement::AlterTable { name, .. } => self.on(name, Privilege::Alter),
            Statement::Truncate { name, .. } => self.on(name, Privilege::Delete),
            Statement::DropView { name, .. } => self.on(name, Privilege::Drop),
            Statement::DropTable { names, .. } => {
                for name in names {
                    self.on(name, Privilege::Drop);
                }
            }
            Statement::CreateDatabase { .. } => {
                let what = Wanted::Privilege(Privilege::CreateDatabase);
                self.push(what, Object::Catalog, "default_catalog".into());
            }
            Statement::DropDatabase { name, .. } => self.database(name, Wanted::Privilege(Privilege::Drop)),
            Statement::Describe { name } => self.relation(name, Wanted::Any),
            Statement::Show(show) => {
                if let Some(name) = &show.name {
                    match (show.what.as_str(), name.as_slice(), &show.from) {
                        (what, [db], _) if what.ends_with("TABLES") || what == "TABLE STATUS" => {
                            self.database(db, Wanted::Any);
                        }
                        (_, [table], Some(db)) => self.relation(&[db.clone(), table.clone()], Wanted::Any),
                        _ => self.relation(name, Wanted::Any),
                    }
                }
            }
            Statement::Set(items) => {
                if items.iter().any(|(name, _)| name.to_lowercase().starts_with("@@global.")) {
                    self.push(Wanted::Privilege(Privilege::Operate), Object::System, String::new());
                }
                let values: Vec<ast::Expr> = items.iter().map(|(_, e)| e.clone()).collect();
                self.reads(None, &[&values]);
            }
            Statement::SetFrontendConfig(_) => {
                self.push(Wanted::Privilege(Privilege::Operate), Object::System, String::new());
            }
            // Users are looked at where they are changed; USE where it happens; an EXECUTE runs a statement of its own.
            Statement::User(_)
            | Statement::Use(_)
            | Statement::Begin
            | Statement::Commit
            | Statement::Rollback
            | Statement::Prepare { .. }
            | Statement::Execute { .. }
            | Statement::Deallocate { .. }
            | Statement::Nothing
            | Statement::SubmitTask(_)
            | Statement::Unsupported(_) => {}
        }
    }
}

/// A part of a statement that may read tables.
trait Reads {
    fn read_by(&self, reader: &mut Reader, visible: &[String]);
}

impl<T: Visit> Reads for T {
    fn read_by(&self, reader: &mut Reader, visible: &[String]) {
        reader.read(visible, self);
    }
}

/// Collects the relations of queries that are not names of a CTE where they stand.
#[derive(Default)]
struct Reader {
    relations: Vec<Vec<String>>,
    /// Names visible in the queries entered, innermost last.
    scopes: Vec<Vec<String>>,
    /// What the bodies of CTEs see: the names in front of them. By the query's address, as they are entered later.
    bodies: HashMap<*const ast::Query, Vec<String>>,
}

impl Reader {
    fn read(&mut self, visible: &[String], part: &impl Visit) {
        self.scopes = vec![visible.to_vec()];
        let _ = part.visit(self);
        self.bodies.clear();
    }
}

impl Visitor for Reader {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let outer = match self.bodies.get(&std::ptr::from_ref(query)) {
            Some(names) => names.clone(),
            None => self.scopes.last().cloned().unwrap_or_default(),
        };
        let mut names = outer;
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = cte.alias.name.value.clone();
                let mut seen = names.clone();
                if with.recursive {
                    seen.push(name.clone());
                }
                self.bodies.insert(std::ptr::from_ref(&*cte.query), seen);
                names.push(name);
            }
        }
        self.scopes.push(names);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        let parts: Vec<String> =
            name.0.iter().map(|p| p.as_ident().map_or_else(|| p.to_string(), |i| i.value.clone())).collect();
        let is_cte = matches!(parts.as_slice(), [one] if self.scopes.last().is_some_and(|s| s.contains(one)));
        if !is_cte && !self.relations.contains(&parts) {
            self.relations.push(parts);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relations(sql: &str) -> Vec<String> {
        let mut reader = Reader::default();
        reader.read(&[], &*parser::parse_query(sql).unwrap());
        let mut out: Vec<String> = reader.relations.iter().map(|r| r.join(".")).collect();
        out.sort();
        out
    }

    #[test]
    fn every_table_that_is_read_is_found_and_no_cte_hides_one() {
        for (sql, expected) in [
            ("SELECT 1", vec![]),
            ("SELECT * FROM a JOIN d.b ON a.x = b.x", vec!["a", "d.b"]),
            ("SELECT (SELECT max(x) FROM c) FROM a WHERE x IN (SELECT x FROM b)", vec!["a", "b", "c"]),
            ("SELECT * FROM a UNION ALL SELECT * FROM b", vec!["a", "b"]),
            ("WITH a AS (SELECT 1) SELECT * FROM a", vec![]),
            ("WITH a AS (SELECT * FROM a) SELECT * FROM a", vec!["a"]),
            ("WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a) SELECT * FROM b", vec!["t"]),
            ("WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b, a", vec!["a"]),
            ("SELECT * FROM a JOIN (WITH a AS (SELECT 1) SELECT * FROM a) x", vec!["a"]),
            ("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT * FROM r", vec![]),
            ("WITH a AS (SELECT 1) SELECT * FROM d.a", vec!["d.a"]),
            ("WITH A AS (SELECT 1) SELECT * FROM a", vec!["a"]),
            ("SELECT * FROM `a`", vec!["a"]),
        ] {
            assert_eq!(relations(sql), expected, "{sql}");
        }
    }
}
