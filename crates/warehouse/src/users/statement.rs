//! The statements about users, roles and privileges, as StarRocks writes them.

use sqlparser::tokenizer::Token;

use super::account::UserName;
use super::password::Plugin;
use super::privilege::{Kind, Privilege};
use crate::error::{SqlError, SqlResult};
use crate::sql::lexer::Cursor;

/// A password as a statement gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Nothing,
    /// `BY 'password'`
    Password(String),
    /// `AS 'what another server keeps'`
    Stored(String),
}

/// `IDENTIFIED …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    pub plugin: Option<Plugin>,
    pub given: Given,
}

/// Which roles become active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChoice {
    None,
    All { except: Vec<String> },
    Default,
    These(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    User(UserName),
    Role(String),
}

/// A database in a GRANT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseRef {
    All,
    Current,
    Named(String),
}

/// What a GRANT is on, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectRef {
    System,
    Catalog,
    Database(DatabaseRef),
    /// `kind` is a table or a view; without a name, all of the database.
    Relation {
        kind: Kind,
        database: DatabaseRef,
        name: Option<String>,
    },
    User(Option<UserName>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStatement {
    CreateUser {
        name: UserName,
        if_not_exists: bool,
        identified: Identified,
        default_roles: Vec<String>,
    },
    AlterUser {
        name: UserName,
        if_exists: bool,
        identified: Option<Identified>,
        default_roles: Option<RoleChoice>,
    },
    DropUser {
        name: UserName,
        if_exists: bool,
    },
    SetPassword {
        name: Option<UserName>,
        given: Given,
    },
    CreateRole {
        names: Vec<String>,
        if_not_exists: bool,
        comment: String,
    },
    DropRole {
        names: Vec<String>,
        if_exists: bool,
    },
    /// Without privileges: ALL.
    Grant {
        privileges: Option<Vec<Privilege>>,
        objects: Vec<ObjectRef>,
        to: Grantee,
        grantable: bool,
    },
    Revoke {
        privileges: Option<Vec<Privilege>>,
        objects: Vec<ObjectRef>,
        from: Grantee,
    },
    GrantRoles {
        roles: Vec<String>,
        to: Grantee,
    },
    RevokeRoles {
        roles: Vec<String>,
        from: Grantee,
    },
    SetRole(RoleChoice),
    SetDefaultRole {
        roles: RoleChoice,
        name: UserName,
    },
    ExecuteAs {
        name: UserName,
    },
    ShowUsers,
    ShowRoles,
    /// Without a name: of the session's own user.
    ShowGrants(Option<Grantee>),
    ShowAuthentication {
        all: bool,
        name: Option<UserName>,
    },
}

/// `'name'@'host'`, `name@host`, `name`.
pub fn user_name(c: &mut Cursor<'_>) -> SqlResult<UserName> {
    let quoted = |t: Option<&Token>| match t {
        Some(Token::SingleQuotedString(s) | Token::DoubleQuotedString(s)) => Some(s.clone()),
        Some(Token::Word(w)) if w.quote_style.is_some() => Some(w.value.clone()),
        _ => None,
    };
    let mut host = None;
    let name = match quoted(c.peek()) {
        Some(name) => {
            c.at += 1;
            name
        }
        None => {
            // Unquoted, `@` is a letter of the word.
            let word = c.ident()?;
            match word.split_once('@') {
                Some((name, rest)) => {
                    host = Some(rest.to_string());
                    name.to_string()
                }
                None => word,
            }
        }
    };
    if host.is_none() && c.eat_token(&Token::AtSign) {
        host = Some(String::new());
    }
    // `'name'@localhost` is a string and a word that begins with `@`.
    if host.is_none()
        && let Some(Token::Word(w)) = c.peek()
        && w.quote_style.is_none()
        && let Some(rest) = w.value.strip_prefix('@')
    {
        host = Some(rest.to_string());
        c.at += 1;
    }
    if host.as_deref() == Some("") {
        if c.peek() == Some(&Token::LBracket) {
            return Err(SqlError::unsupported("users of a domain ('name'@['domain'])"));
        }
        host = match quoted(c.peek()) {
            Some(h) => {
                c.at += 1;
                Some(h)
            }
            None => Some(c.ident()?),
        };
    }
    Ok(UserName::new(name, host.unwrap_or_else(|| "%".into())))
}

fn text(c: &mut Cursor<'_>) -> SqlResult<String> {
    match c.peek() {
        Some(Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)) => c.string(),
        _ => c.ident(),
    }
}

/// What another server keeps: a string, or `0x…` as MySQL prints it, since a salt may be of any bytes.
fn stored(c: &mut Cursor<'_>) -> SqlResult<Given> {
    if let Some(Token::HexStringLiteral(digits)) = c.peek()
        && let Some(text) = hex::decode(digits).ok().and_then(|b| String::from_utf8(b).ok())
    {
        c.at += 1;
        return Ok(Given::Stored(text));
    }
    c.string().map(Given::Stored)
}

fn texts(c: &mut Cursor<'_>) -> SqlResult<Vec<String>> {
    let mut out = vec![text(c)?];
    while c.eat_token(&Token::Comma) {
        out.push(text(c)?);
    }
    Ok(out)
}

fn identified(c: &mut Cursor<'_>) -> SqlResult<Option<Identified>> {
    if !c.eat(&["IDENTIFIED"]) {
        return Ok(None);
    }
    if c.eat(&["BY"]) {
        let given = if c.eat(&["PASSWORD"]) { Given::Stored(c.string()?) } else { Given::Password(c.string()?) };
        return Ok(Some(Identified { plugin: None, given }));
    }
    c.expect(&["WITH"])?;
    let name = text(c)?;
    let Some(plugin) = Plugin::of_name(&name) else {
        return Err(SqlError::unsupported(format!("authentication by {name}")));
    };
    let given = if c.eat(&["BY"]) {
        Given::Password(c.string()?)
    } else if c.eat(&["AS"]) || c.eat(&["USING"]) {
        stored(c)?
    } else {
        Given::Nothing
    };
    Ok(Some(Identified { plugin: Some(plugin), given }))
}

fn role_choice(c: &mut Cursor<'_>) -> SqlResult<RoleChoice> {
    if c.eat(&["NONE"]) {
        return Ok(RoleChoice::None);
    }
    if c.eat(&["DEFAULT"]) {
        return Ok(RoleChoice::Default);
    }
    if c.eat(&["ALL"]) {
        let except = if c.eat(&["EXCEPT"]) { texts(c)? } else { Vec::new() };
        return Ok(RoleChoice::All { except });
    }
    texts(c).map(RoleChoice::These)
}

/// `CREATE USER …` and `CREATE ROLE …`, after CREATE; None when it is about something else.
pub fn create(c: &mut Cursor<'_>) -> SqlResult<Option<UserStatement>> {
    if c.eat(&["USER"]) {
        let if_not_exists = c.eat(&["IF", "NOT", "EXISTS"]);
        let name = user_name(c)?;
        let identified = identified(c)?.unwrap_or(Identified { plugin: None, given: Given::Nothing });
        let default_roles = if c.eat(&["DEFAULT", "ROLE"]) { texts(c)? } else { Vec::new() };
        if c.eat(&["PROPERTIES"]) {
            c.properties()?;
        }
        return Ok(Some(UserStatement::CreateUser { name, if_not_exists, identified, default_roles }));
    }
    if c.eat(&["ROLE"]) {
        let if_not_exists = c.eat(&["IF", "NOT", "EXISTS"]);
        let names = texts(c)?;
        let comment = if c.eat(&["COMMENT"]) { c.string()? } else { String::new() };
        return Ok(Some(UserStatement::CreateRole { names, if_not_exists, comment }));
    }
    Ok(None)
}

/// `DROP USER …` and `DROP ROLE …`, after DROP.
pub fn drop(c: &mut Cursor<'_>) -> SqlResult<Option<UserStatement>> {
    if c.eat(&["USER"]) {
        let if_exists = c.eat(&["IF", "EXISTS"]);
        return Ok(Some(UserStatement::DropUser { name: user_name(c)?, if_exists }));
    }
    if c.eat(&["ROLE"]) {
        let if_exists = c.eat(&["IF", "EXISTS"]);
        return Ok(Some(UserStatement::DropRole { names: texts(c)?, if_exists }));
    }
    Ok(None)
}

/// `ALTER USER …`, after ALTER.
pub fn alter(c: &mut Cursor<'_>) -> SqlResult<Option<UserStatement>> {
    if !c.eat(&["USER"]) {
        return Ok(None);
    }
    let if_exists = c.eat(&["IF", "EXISTS"]);
    let name = user_name(c)?;
    let identified = identified(c)?;
    let default_roles = if c.eat(&["DEFAULT", "ROLE"]) { Some(role_choice(c)?) } else { None };
    if identified.is_none() && default_roles.is_none() {
        c.expect(&["IDENTIFIED"])?;
    }
    Ok(Some(UserStatement::AlterUser { name, if_exists, identified, default_roles }))
}

/// `SET PASSWORD`, `SET ROLE`, `SET DEFAULT ROLE`, after SET.
pub fn set(c: &mut Cursor<'_>) -> SqlResult<Option<UserStatement>> {
    if c.eat(&["PASSWORD"]) {
        let name = if c.eat(&["FOR"]) { Some(user_name(c)?) } else { None };
        c.expect_token(&Token::Eq)?;
        let given = if c.eat(&["PASSWORD"]) {
            c.expect_token(&Token::LParen)?;
            let password = c.string()?;
            c.expect_token(&Token::RParen)?;
            Given::Password(password)
        } else {
            Given::Stored(c.string()?)
        };
        return Ok(Some(UserStatement::SetPassword { name, given }));
    }
    if c.eat(&["ROLE"]) {
        return role_choice(c).map(|r| Some(UserStatement::SetRole(r)));
    }
    if c.eat(&["DEFAULT", "ROLE"]) {
        let roles = role_choice(c)?;
        c.expect(&["TO"])?;
        return Ok(Some(UserStatement::SetDefaultRole { roles, name: user_name(c)? }));
    }
    Ok(None)
}

/// `SHOW USERS`, `SHOW ROLES`, `SHOW GRANTS …`, `SHOW [ALL] AUTHENTICATION …`, after SHOW.
pub fn show(c: &mut Cursor<'_>) -> SqlResult<Option<UserStatement>> {
    if c.eat(&["USERS"]) {
        return Ok(Some(UserStatement::ShowUsers));
    }
    if c.eat(&["ROLES"]) {
        return Ok(Some(UserStatement::ShowRoles));
    }
    if c.eat(&["GRANTS"]) {
        if !c.eat(&["FOR"]) {
            return Ok(Some(UserStatement::ShowGrants(None)));
        }
        if c.eat(&["CURRENT_USER"]) {
            if c.eat_token(&Token::LParen) {
                c.expect_token(&Token::RParen)?;
            }
            return Ok(Some(UserStatement::ShowGrants(None)));
        }
        return grantee(c).map(|g| Some(UserStatement::ShowGrants(Some(g))));
    }
    let all = c.looking_at(&["ALL", "AUTHENTICATION"]);
    if all || c.looking_at(&["AUTHENTICATION"]) {
        c.at += 1 + usize::from(all);
        let name = if c.eat(&["FOR"]) { Some(user_name(c)?) } else { None };
        return Ok(Some(UserStatement::ShowAuthentication { all, name }));
    }
    Ok(None)
}

fn grantee(c: &mut Cursor<'_>) -> SqlResult<Grantee> {
    // A user may be called `role`.
    if c.looking_at(&["ROLE"]) && c.peek_at(1).is_some() {
        c.at += 1;
        return text(c).map(Grantee::Role);
    }
    if c.looking_at(&["USER"]) && c.peek_at(1).is_some() {
        c.at += 1;
    }
    user_name(c).map(Grantee::User)
}

/// `GRANT … TO …` and `REVOKE … FROM …`.
pub fn grant(c: &mut Cursor<'_>) -> SqlResult<UserStatement> {
    let revoke = c.is_word(0, "REVOKE");
    c.at += 1;
    let towards = if revoke { "FROM" } else { "TO" };
    // Words up to ON are privileges; names up to TO are roles.
    let on = (0..).map_while(|i| c.peek_at(i)).take_while(|t| !is_word(t, towards)).any(|t| is_word(t, "ON"));
    if !on {
        let roles = texts(c)?;
        c.expect(&[towards])?;
        let who = grantee(c)?;
        return Ok(if revoke {
            UserStatement::RevokeRoles { roles, from: who }
        } else {
            UserStatement::GrantRoles { roles, to: who }
        });
    }
    let mut names = Vec::new();
    loop {
        let mut words = Vec::new();
        while !c.looking_at(&["ON"]) && c.peek() != Some(&Token::Comma) {
            words.push(c.ident()?.to_ascii_uppercase());
        }
        names.push(words.join(" "));
        if !c.eat_token(&Token::Comma) {
            break;
        }
    }
    c.expect(&["ON"])?;
    let privileges = match names.as_slice() {
        [all] if all == "ALL" || all == "ALL PRIVILEGES" => None,
        names => Some(
            names
                .iter()
                .map(|n| {
                    Privilege::of_text(n).ok_or_else(|| SqlError::analysis(format!("cannot find privilege type {n}")))
                })
                .collect::<SqlResult<Vec<_>>>()?,
        ),
    };
    let objects = objects(c)?;
    c.expect(&[towards])?;
    let who = grantee(c)?;
    if revoke {
        return Ok(UserStatement::Revoke { privileges, objects, from: who });
    }
    let grantable = c.eat(&["WITH", "GRANT", "OPTION"]);
    Ok(UserStatement::Grant { privileges, objects, to: who, grantable })
}

fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(wanted))
}

fn objects(c: &mut Cursor<'_>) -> SqlResult<Vec<ObjectRef>> {
    if c.eat(&["SYSTEM"]) {
        return Ok(vec![ObjectRef::System]);
    }
    if c.eat(&["ALL"]) {
        if c.eat(&["CATALOGS"]) {
            return Ok(vec![ObjectRef::Catalog]);
        }
        if c.eat(&["DATABASES"]) {
            return Ok(vec![ObjectRef::Database(DatabaseRef::All)]);
        }
        if c.eat(&["USERS"]) {
            return Ok(vec![ObjectRef::User(None)]);
        }
        let kind = if c.eat(&["TABLES"]) {
            Kind::Table
        } else if c.eat(&["VIEWS"]) {
            Kind::View
        } else {
            return Err(SqlError::unsupported(format!("privileges on ALL {}", c.rest().to_uppercase())));
        };
        let database = if c.eat(&["IN", "ALL", "DATABASES"]) {
            DatabaseRef::All
        } else if c.eat(&["IN", "DATABASE"]) {
            DatabaseRef::Named(c.ident()?)
        } else {
            DatabaseRef::Current
        };
        return Ok(vec![ObjectRef::Relation { kind, database, name: None }]);
    }
    let mut out = Vec::new();
    if c.eat(&["CATALOG"]) {
        for name in texts(c)? {
            if !name.eq_ignore_ascii_case("default_catalog") {
                return Err(SqlError::unsupported("external catalogs"));
            }
            out.push(ObjectRef::Catalog);
        }
    } else if c.eat(&["DATABASE"]) {
        out.extend(texts(c)?.into_iter().map(|n| ObjectRef::Database(DatabaseRef::Named(n))));
    } else if c.eat(&["USER"]) {
        out.push(ObjectRef::User(Some(user_name(c)?)));
        while c.eat_token(&Token::Comma) {
            out.push(ObjectRef::User(Some(user_name(c)?)));
        }
    } else {
        for other in ["MATERIALIZED", "FUNCTION", "GLOBAL", "RESOURCE", "STORAGE", "WAREHOUSE", "PIPE"] {
            if c.looking_at(&[other]) && matches!(c.peek_at(1), Some(Token::Word(_))) {
                return Err(SqlError::unsupported(format!("privileges on {other}")));
            }
        }
        let kind = if c.eat(&["VIEW"]) { Kind::View } else { Kind::Table };
        if kind == Kind::Table {
            c.eat(&["TABLE"]);
        }
        out.push(relation(c, kind)?);
        while c.eat_token(&Token::Comma) {
            out.push(relation(c, kind)?);
        }
    }
    Ok(out)
}

/// `t`, `d.t`, `d.*`, `*.*`.
fn relation(c: &mut Cursor<'_>, kind: Kind) -> SqlResult<ObjectRef> {
    let mut part = || if c.eat_token(&Token::Mul) { Ok(None) } else { c.ident().map(Some) };
    let mut parts = vec![part()?];
    while c.eat_token(&Token::Period) {
        let next = if c.eat_token(&Token::Mul) { None } else { Some(c.ident()?) };
        parts.push(next);
    }
    if parts.len() == 3 && parts[0].as_deref().is_some_and(|p| p.eq_ignore_ascii_case("default_catalog")) {
        parts.remove(0);
    }
    let database = |p: &Option<String>| p.clone().map_or(DatabaseRef::All, DatabaseRef::Named);
    match parts.as_slice() {
        [name] => Ok(ObjectRef::Relation { kind, database: DatabaseRef::Current, name: name.clone() }),
        [None, Some(_)] => Err(SqlError::analysis("Invalid grant statement with error privilege object *")),
        [db, name] => Ok(ObjectRef::Relation { kind, database: database(db), name: name.clone() }),
        _ => Err(SqlError::unsupported("external catalogs")),
    }
}

/// `EXECUTE AS user [WITH NO REVERT]`, after EXECUTE.
pub fn execute_as(c: &mut Cursor<'_>) -> SqlResult<UserStatement> {
    c.expect(&["AS"])?;
    let name = user_name(c)?;
    c.eat(&["WITH", "NO", "REVERT"]);
    Ok(UserStatement::ExecuteAs { name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parser;
    use crate::sql::statement::Statement;

    fn parsed(sql: &str) -> UserStatement {
        match parser::parse(sql).unwrap().remove(0).statement {
            Ok(Statement::User(s)) => *s,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn users_are_named_in_every_way_starrocks_has() {
        for (text, name, host) in [
            ("u", "u", "%"),
            ("'u'", "u", "%"),
            ("\"u\"", "u", "%"),
            ("`u`", "u", "%"),
            ("'u'@'10.%'", "u", "10.%"),
            ("u@'10.%'", "u", "10.%"),
            ("u@localhost", "u", "localhost"),
            ("'u'@localhost", "u", "localhost"),
            ("`u`@`%`", "u", "%"),
            ("'a@b.c'@'%'", "a@b.c", "%"),
        ] {
            let UserStatement::DropUser { name: found, .. } = parsed(&format!("DROP USER {text}")) else {
                panic!("{text}");
            };
            assert_eq!(found, UserName::new(name, host), "{text}");
        }
    }

    #[test]
    fn passwords_are_given_by_plugin_or_as_they_are_kept() {
        use Given::*;
        for (text, plugin, given) in [
            ("", None, Nothing),
            ("IDENTIFIED BY 'p\\'w'", None, Password("p'w".into())),
            ("IDENTIFIED BY PASSWORD '*AA'", None, Stored("*AA".into())),
            ("IDENTIFIED WITH mysql_native_password", Some(Plugin::MysqlNativePassword), Nothing),
            ("IDENTIFIED WITH mysql_native_password BY 'x'", Some(Plugin::MysqlNativePassword), Password("x".into())),
            ("IDENTIFIED WITH caching_sha2_password AS 0x2441", Some(Plugin::CachingSha2Password), Stored("$A".into())),
            ("IDENTIFIED WITH 'caching_sha2_password' AS 'x'", Some(Plugin::CachingSha2Password), Stored("x".into())),
        ] {
            let UserStatement::CreateUser { identified, .. } = parsed(&format!("CREATE USER u {text}")) else {
                panic!("{text}");
            };
            assert_eq!(identified, Identified { plugin, given }, "{text}");
        }
        assert_eq!(
            parsed("SET PASSWORD FOR 'u'@'%' = PASSWORD('x')"),
            UserStatement::SetPassword { name: Some(UserName::anywhere("u")), given: Password("x".into()) }
        );
    }

    #[test]
    fn grants_are_on_all_kinds_of_things() {
        let table = |database, name: Option<&str>| ObjectRef::Relation {
            kind: Kind::Table,
            database,
            name: name.map(Into::into),
        };
        for (text, expected) in [
            ("SYSTEM", ObjectRef::System),
            ("CATALOG default_catalog", ObjectRef::Catalog),
            ("DATABASE d", ObjectRef::Database(DatabaseRef::Named("d".into()))),
            ("ALL DATABASES", ObjectRef::Database(DatabaseRef::All)),
            ("TABLE d.t", table(DatabaseRef::Named("d".into()), Some("t"))),
            ("t", table(DatabaseRef::Current, Some("t"))),
            ("d.*", table(DatabaseRef::Named("d".into()), None)),
            ("*.*", table(DatabaseRef::All, None)),
            ("ALL TABLES IN DATABASE d", table(DatabaseRef::Named("d".into()), None)),
            ("ALL TABLES IN ALL DATABASES", table(DatabaseRef::All, None)),
            ("USER root", ObjectRef::User(Some(UserName::anywhere("root")))),
        ] {
            let UserStatement::Grant { objects, privileges, to, grantable } =
                parsed(&format!("GRANT ALL ON {text} TO USER u WITH GRANT OPTION"))
            else {
                panic!("{text}");
            };
            assert_eq!((objects, privileges), (vec![expected], None), "{text}");
            assert_eq!((to, grantable), (Grantee::User(UserName::anywhere("u")), true));
        }
        assert_eq!(
            parsed("REVOKE CREATE TABLE, DROP ON DATABASE d FROM ROLE r"),
            UserStatement::Revoke {
                privileges: Some(vec![Privilege::CreateTable, Privilege::Drop]),
                objects: vec![ObjectRef::Database(DatabaseRef::Named("d".into()))],
                from: Grantee::Role("r".into())
            }
        );
        assert_eq!(
            parsed("GRANT 'a', b TO u"),
            UserStatement::GrantRoles {
                roles: vec!["a".into(), "b".into()],
                to: Grantee::User(UserName::anywhere("u"))
            }
        );
    }

    #[test]
    fn what_the_warehouse_has_not_is_refused_by_name() {
        for (sql, part) in [
            ("CREATE USER u IDENTIFIED WITH authentication_ldap_simple AS 'x'", "authentication_ldap_simple"),
            ("GRANT USAGE ON RESOURCE GROUP g TO u", "RESOURCE"),
            ("GRANT FLY ON TABLE t TO u", "cannot find privilege type FLY"),
        ] {
            let error = parser::parse(sql).unwrap().remove(0).statement.unwrap_err();
            assert!(error.message.contains(part), "{sql}: {error}");
        }
    }
}
