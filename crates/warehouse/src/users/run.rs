//! Carrying out the statements about users.

use super::Identity;
use super::account::{Account, Accounts, BUILT_IN_ROLES, Role, UserName, is_built_in};
use super::needs::refuse;
use super::password::{Plugin, Secret};
use super::privilege::{self, Grant, Kind, Need, Object, Privilege, Wanted};
use super::statement::{DatabaseRef, Given, Grantee, Identified, ObjectRef, RoleChoice, UserStatement};
use crate::error::{SqlError, SqlResult};
use crate::sql::planner::QueryResult;
use crate::sql::session::{Outcome, Session};
use crate::value::Value;

/// Longest name of a user or role, in letters.
const NAME_MAX: usize = 64;

/// Runs a statement about users.
pub fn run(session: &mut Session, statement: UserStatement) -> SqlResult<Outcome> {
    match statement {
        UserStatement::CreateUser { name, if_not_exists, identified, default_roles } => {
            manage(session)?;
            create_user(session, name, if_not_exists, &identified, default_roles)?;
        }
        UserStatement::AlterUser { name, if_exists, identified, default_roles } => {
            if name != session.identity.name || default_roles.is_some() {
                manage(session)?;
            }
            guard_administrators(session, &name)?;
            if session.core.users.accounts().user(&name).is_none() {
                if if_exists {
                    return Ok(Outcome::ok());
                }
                return Err(SqlError::analysis(format!("Operation ALTER USER failed for {name} : user not exists")));
            }
            if let Some(identified) = identified {
                set_password(session, &name, identified.plugin, &identified.given)?;
            }
            if let Some(choice) = default_roles {
                set_default_roles(session, &name, &choice)?;
            }
        }
        UserStatement::DropUser { name, if_exists } => {
            manage(session)?;
            drop_user(session, &name, if_exists)?;
        }
        UserStatement::SetPassword { name, given } => {
            let name = name.unwrap_or_else(|| session.identity.name.clone());
            if name != session.identity.name {
                manage(session)?;
            }
            guard_administrators(session, &name)?;
            known_user(session, &name)?;
            set_password(session, &name, None, &given)?;
        }
        UserStatement::CreateRole { names, if_not_exists, comment } => {
            manage(session)?;
            session.core.users.change(|a| create_roles(a, names, if_not_exists, &comment))?;
        }
        UserStatement::DropRole { names, if_exists } => {
            manage(session)?;
            session.core.users.change(|a| drop_roles(a, &names, if_exists))?;
        }
        UserStatement::Grant { privileges, objects, to, grantable } => {
            let grants = resolve(session, privileges.as_deref(), &objects)?;
            may_give(session, &grants)?;
            session.core.users.change(|a| {
                let list = grants_of(a, &to)?;
                for (object, privileges) in grants {
                    privilege::add(list, Grant { object, privileges, grantable });
                }
                Ok(())
            })?;
        }
        UserStatement::Revoke { privileges, objects, from } => {
            let grants = resolve(session, privileges.as_deref(), &objects)?;
            may_give(session, &grants)?;
            session.core.users.change(|a| {
                let list = grants_of(a, &from)?;
                for (object, privileges) in &grants {
                    privilege::remove(list, object, privileges);
                }
                Ok(())
            })?;
        }
        UserStatement::GrantRoles { roles, to } => {
            manage_roles(session, &roles)?;
            session.core.users.change(|a| grant_roles(a, roles, &to))?;
        }
        UserStatement::RevokeRoles { roles, from } => {
            manage_roles(session, &roles)?;
            if let Grantee::User(name) = &from {
                guard_administrators(session, name)?;
            }
            session.core.users.change(|a| {
                if let Grantee::User(name) = &from
                    && let Some(user) = a.user_mut(name)
                {
                    user.default_roles.retain(|r| !roles.contains(r));
                }
                roles_of(a, &from)?.retain(|r| !roles.contains(r));
                Ok(())
            })?;
        }
        UserStatement::SetRole(choice) => set_role(session, &choice)?,
        UserStatement::SetDefaultRole { roles, name } => {
            if name != session.identity.name {
                manage(session)?;
            }
            known_user(session, &name)?;
            set_default_roles(session, &name, &roles)?;
        }
        UserStatement::ExecuteAs { name } => {
            let need = Need {
                what: Wanted::Privilege(Privilege::Impersonate),
                object: Object::User(Some(name.to_string())),
                name: name.to_string(),
            };
            known_user(session, &name)?;
            refuse(&session.core.users, &session.identity, &[need])?;
            if let Some(account) = session.core.users.accounts().user(&name) {
                session.act_for(Identity::of(account));
            }
        }
        UserStatement::ShowUsers => {
            manage(session)?;
            let accounts = session.core.users.accounts();
            let rows: Vec<Vec<Value>> = accounts.users.iter().map(|u| vec![text(u.name.to_string())]).collect();
            return Ok(Outcome::Rows(QueryResult::texts(&["User"], &rows)));
        }
        UserStatement::ShowRoles => {
            manage(session)?;
            return Ok(Outcome::Rows(show_roles(&session.core.users.accounts())));
        }
        UserStatement::ShowGrants(whose) => return show_grants(session, whose).map(Outcome::Rows),
        UserStatement::ShowAuthentication { all, name } => {
            return show_authentication(session, all, name).map(Outcome::Rows);
        }
    }
    Ok(Outcome::ok())
}

fn text(s: impl Into<String>) -> Value {
    Value::Text(s.into())
}

/// Managing users needs GRANT on SYSTEM, which `root` and `user_admin` have.
fn manage(session: &Session) -> SqlResult<()> {
    let what = Wanted::Privilege(Privilege::Grant);
    refuse(&session.core.users, &session.identity, &[Need { what, object: Object::System, name: String::new() }])
}

/// Only `root` gives or takes the role `root`.
fn manage_roles(session: &Session, roles: &[String]) -> SqlResult<()> {
    manage(session)?;
    if roles.iter().any(|r| r == "root") && !session.core.users.is_root(&session.identity) {
        return Err(SqlError::analysis("role root can only be granted or revoked by root"));
    }
    Ok(())
}

/// Only `root` changes users that are `root`: whoever sets their password is them.
fn guard_administrators(session: &Session, name: &UserName) -> SqlResult<()> {
    let users = &session.core.users;
    let accounts = users.accounts();
    let is_root = accounts.user(name).is_some_and(|a| accounts.with_inherited(&a.roles).iter().any(|r| r == "root"));
    if is_root && *name != session.identity.name && !users.is_root(&session.identity) {
        return Err(SqlError::analysis(format!("user {name} can only be changed by root")));
    }
    Ok(())
}

fn known_user(session: &Session, name: &UserName) -> SqlResult<()> {
    match session.core.users.accounts().user(name) {
        Some(_) => Ok(()),
        None => Err(no_user(name)),
    }
}

fn no_user(name: &UserName) -> SqlError {
    SqlError::analysis(format!("cannot find user {name}!"))
}

fn no_role(context: &str, name: &str) -> SqlError {
    SqlError::analysis(format!("{context}: cannot find role {name}!"))
}

/// What is kept for a given password.
fn secret(plugin: Plugin, given: &Given) -> SqlResult<Secret> {
    match given {
        Given::Nothing => Ok(Secret::empty(plugin)),
        Given::Password(p) => Ok(Secret::of_password(plugin, p, &super::salt())),
        Given::Stored(s) => Secret::of_stored(plugin, s).ok_or_else(|| {
            SqlError::analysis(match plugin {
                Plugin::MysqlNativePassword => "Password hash should be a 41-digit hexadecimal number",
                Plugin::CachingSha2Password => "The password hash doesn't have the expected format",
            })
        }),
    }
}

fn create_user(
    session: &Session,
    name: UserName,
    if_not_exists: bool,
    identified: &Identified,
    default_roles: Vec<String>,
) -> SqlResult<()> {
    if name.name.is_empty() || name.name.chars().count() > NAME_MAX || name.host.len() > 255 {
        return Err(SqlError::analysis(format!("invalid user name {name}")));
    }
    manage_roles(session, &default_roles)?;
    let secret = secret(identified.plugin.unwrap_or(Plugin::MysqlNativePassword), &identified.given)?;
    let users = &session.core.users;
    let made = users.change(|a| {
        if a.user(&name).is_some() {
            if if_not_exists {
                return Ok(false);
            }
            return Err(SqlError::analysis(format!("Operation CREATE USER failed for {name} : user already exists")));
        }
        if let Some(unknown) = default_roles.iter().find(|r| !a.has_role(r)) {
            return Err(no_role("Valid role name fail", unknown));
        }
        let mut account = Account::new(name.clone(), secret.clone());
        account.roles.clone_from(&default_roles);
        account.default_roles = default_roles;
        a.users.push(account);
        Ok(true)
    })?;
    if made && let Given::Password(p) = &identified.given {
        users.remember(&name, &secret, p);
    }
    Ok(())
}

fn set_password(session: &Session, name: &UserName, plugin: Option<Plugin>, given: &Given) -> SqlResult<()> {
    let users = &session.core.users;
    let kept = users.change(|a| {
        let account = a.user_mut(name).ok_or_else(|| no_user(name))?;
        account.secret = secret(plugin.unwrap_or(account.secret.plugin()), given)?;
        Ok(account.secret.clone())
    })?;
    users.password_was_set(name);
    if let Given::Password(p) = given {
        users.remember(name, &kept, p);
    }
    Ok(())
}

fn drop_user(session: &Session, name: &UserName, if_exists: bool) -> SqlResult<()> {
    guard_administrators(session, name)?;
    let administrator = UserName::anywhere(session.core.user.clone());
    if *name == administrator || *name == UserName::anywhere("root") {
        return Err(SqlError::analysis(format!("Operation DROP USER failed for {name} : cannot drop user {name}")));
    }
    session.core.users.change(|a| {
        let before = a.users.len();
        a.users.retain(|u| u.name != *name);
        if a.users.len() == before && !if_exists {
            return Err(SqlError::analysis(format!("Operation DROP USER failed for {name} : user not exists")));
        }
        Ok(())
    })?;
    session.core.users.password_was_set(name);
    Ok(())
}

fn create_roles(a: &mut Accounts, names: Vec<String>, if_not_exists: bool, comment: &str) -> SqlResult<()> {
    for name in names {
        if name.is_empty() || name.chars().count() > NAME_MAX {
            return Err(SqlError::analysis(format!("Can not create role: invalid role format: {name}")));
        }
        if a.has_role(&name) {
            if if_not_exists {
                continue;
            }
            return Err(SqlError::analysis(format!("Operation CREATE ROLE failed for {name} : role already exists")));
        }
        a.roles.push(Role { name, comment: comment.to_string(), roles: Vec::new(), grants: Vec::new() });
    }
    Ok(())
}

fn drop_roles(a: &mut Accounts, names: &[String], if_exists: bool) -> SqlResult<()> {
    for name in names {
        if is_built_in(name) {
            return Err(SqlError::analysis(format!("role {name} cannot be dropped!")));
        }
        if a.role(name).is_none() && !if_exists {
            return Err(SqlError::analysis(format!("Operation DROP ROLE failed for {name} : role not exists")));
        }
        a.roles.retain(|r| r.name != *name);
        for role in &mut a.roles {
            role.roles.retain(|r| r != name);
        }
        for user in &mut a.users {
            user.roles.retain(|r| r != name);
            user.default_roles.retain(|r| r != name);
        }
    }
    Ok(())
}

fn grant_roles(a: &mut Accounts, roles: Vec<String>, to: &Grantee) -> SqlResult<()> {
    if let Some(unknown) = roles.iter().find(|r| !a.has_role(r)) {
        return Err(no_role("Can not grant role", unknown));
    }
    if let Grantee::Role(name) = to {
        if a.role(name).is_none() && is_built_in(name) {
            return Err(SqlError::analysis(format!("role {name} is not mutable!")));
        }
        // A role that comes back to itself would have no end.
        if a.with_inherited(&roles).contains(name) {
            return Err(SqlError::analysis(format!("role inheritance of {name} would be a circle")));
        }
    }
    let list = roles_of(a, to)?;
    for role in roles {
        if !list.contains(&role) {
            list.push(role);
        }
    }
    Ok(())
}

fn roles_of<'a>(a: &'a mut Accounts, whose: &Grantee) -> SqlResult<&'a mut Vec<String>> {
    match whose {
        Grantee::User(name) => a.user_mut(name).map(|u| &mut u.roles).ok_or_else(|| no_user(name)),
        Grantee::Role(name) => {
            a.role_mut(name).map(|r| &mut r.roles).ok_or_else(|| no_role("Can not grant/revoke to role", name))
        }
    }
}

fn grants_of<'a>(a: &'a mut Accounts, whose: &Grantee) -> SqlResult<&'a mut Vec<Grant>> {
    match whose {
        Grantee::User(name) => a.user_mut(name).map(|u| &mut u.grants).ok_or_else(|| no_user(name)),
        Grantee::Role(name) if is_built_in(name) => Err(SqlError::analysis(format!("role {name} is not mutable!"))),
        Grantee::Role(name) => {
            a.role_mut(name).map(|r| &mut r.grants).ok_or_else(|| no_role("Can not grant/revoke to role", name))
        }
    }
}

/// The things of a GRANT with the privileges meant for each.
fn resolve(
    session: &Session,
    privileges: Option<&[Privilege]>,
    objects: &[ObjectRef],
) -> SqlResult<Vec<(Object, Vec<Privilege>)>> {
    objects
        .iter()
        .map(|o| {
            let object = object(session, o)?;
            let possible = object.kind().privileges();
            let wanted = privileges.unwrap_or(possible);
            if let Some(wrong) = wanted.iter().find(|p| !possible.contains(p)) {
                return Err(SqlError::analysis(format!(
                    "Cannot grant or revoke {} on '{}' type object",
                    wrong.text(),
                    object.kind().text()
                )));
            }
            Ok((object, wanted.to_vec()))
        })
        .collect()
}

fn database_id(session: &Session, database: &DatabaseRef) -> SqlResult<Option<u64>> {
    let name = match database {
        DatabaseRef::All => return Ok(None),
        DatabaseRef::Named(name) => name.clone(),
        DatabaseRef::Current => session.database.clone().ok_or_else(|| SqlError::new(1046, "No database selected"))?,
    };
    match session.core.store.database_id(&name) {
        Some(id) => Ok(Some(id)),
        None => Err(SqlError::analysis(format!("cannot find db: {name}"))),
    }
}

fn object(session: &Session, reference: &ObjectRef) -> SqlResult<Object> {
    Ok(match reference {
        ObjectRef::System => Object::System,
        ObjectRef::Catalog => Object::Catalog,
        ObjectRef::Database(d) => Object::Database(database_id(session, d)?),
        ObjectRef::User(None) => Object::User(None),
        ObjectRef::User(Some(name)) => {
            known_user(session, name)?;
            Object::User(Some(name.to_string()))
        }
        ObjectRef::Relation { kind, database, name } => {
            let id = database_id(session, database)?;
            let table = match name {
                None => None,
                Some(name) => {
                    let db = match database {
                        DatabaseRef::Named(d) => d.clone(),
                        _ => session.database.clone().unwrap_or_default(),
                    };
                    let found = session.core.store.table(&db, name);
                    match found.filter(|t| t.def().is_view() == (*kind == Kind::View)) {
                        Some(t) => Some(t.id),
                        None => {
                            let kind = kind.text().to_lowercase();
                            return Err(SqlError::analysis(format!("cannot find {kind} {name} in db {db}")));
                        }
                    }
                }
            };
            match kind {
                Kind::View => Object::View { database: id, table },
                _ => Object::Table { database: id, table },
            }
        }
    })
}

fn may_give(session: &Session, grants: &[(Object, Vec<Privilege>)]) -> SqlResult<()> {
    let users = &session.core.users;
    let accounts = users.accounts();
    let own = accounts.user(&session.identity.name).map_or(&[][..], |a| &a.grants);
    let roles = users.roles(&session.identity);
    if grants.iter().all(|(object, what)| privilege::may_give(&accounts, own, &roles, object, what)) {
        return Ok(());
    }
    manage(session)
}

fn chosen(account: &Account, choice: &RoleChoice) -> SqlResult<Vec<String>> {
    Ok(match choice {
        RoleChoice::None => Vec::new(),
        RoleChoice::Default => account.default_roles.clone(),
        RoleChoice::All { except } => account.roles.iter().filter(|r| !except.contains(r)).cloned().collect(),
        RoleChoice::These(names) => {
            if let Some(other) = names.iter().find(|n| !account.roles.contains(n)) {
                return Err(SqlError::analysis(format!("Role {other} is not granted to {}", account.name)));
            }
            names.clone()
        }
    })
}

fn set_role(session: &mut Session, choice: &RoleChoice) -> SqlResult<()> {
    let accounts = session.core.users.accounts();
    let account = accounts.user(&session.identity.name).ok_or_else(|| no_user(&session.identity.name))?;
    session.identity.roles = chosen(account, choice)?;
    Ok(())
}

fn set_default_roles(session: &Session, name: &UserName, choice: &RoleChoice) -> SqlResult<()> {
    session.core.users.change(|a| {
        let account = a.user_mut(name).ok_or_else(|| no_user(name))?;
        account.default_roles = chosen(account, choice)?;
        Ok(())
    })
}

fn show_roles(a: &Accounts) -> QueryResult {
    let built_in = BUILT_IN_ROLES.iter().map(|(name, comment)| vec![text(*name), text("true"), text(*comment)]);
    let own = a.roles.iter().map(|r| vec![text(r.name.clone()), text("false"), text(r.comment.clone())]);
    let rows: Vec<Vec<Value>> = built_in.chain(own).collect();
    QueryResult::texts(&["Name", "Builtin", "Comment"], &rows)
}

fn show_authentication(session: &Session, all: bool, name: Option<UserName>) -> SqlResult<QueryResult> {
    let users = &session.core.users;
    if all || name.as_ref().is_some_and(|n| *n != session.identity.name) {
        manage(session)?;
    }
    let name = name.unwrap_or_else(|| session.identity.name.clone());
    if !all {
        known_user(session, &name)?;
    }
    let accounts = users.accounts();
    let rows: Vec<Vec<Value>> = accounts
        .users
        .iter()
        .filter(|u| all || u.name == name)
        .map(|u| {
            let secret = users.secret(u);
            vec![
                text(u.name.to_string()),
                text(if secret.is_empty() { "No" } else { "Yes" }),
                text(secret.plugin().name().to_uppercase()),
                Value::Null,
            ]
        })
        .collect();
    Ok(QueryResult::texts(&["UserIdentity", "Password", "AuthPlugin", "UserForAuthPlugin"], &rows))
}

fn show_grants(session: &Session, whose: Option<Grantee>) -> SqlResult<QueryResult> {
    let whose = whose.unwrap_or_else(|| Grantee::User(session.identity.name.clone()));
    let accounts = session.core.users.accounts();
    let own = match &whose {
        Grantee::User(name) => *name == session.identity.name,
        Grantee::Role(role) => session.identity.roles.contains(role),
    };
    if !own {
        manage(session)?;
    }
    let (column, shown, to, roles, grants) = match &whose {
        Grantee::User(name) => {
            let account = accounts.user(name).ok_or_else(|| no_user(name))?;
            ("UserIdentity", name.to_string(), format!("USER {name}"), account.roles.clone(), account.grants.clone())
        }
        Grantee::Role(name) => {
            let role = accounts.role(name);
            if role.is_none() && !is_built_in(name) {
                return Err(no_role("There is no such grant defined for role", name));
            }
            let (roles, grants) = role.map(|r| (r.roles.clone(), r.grants.clone())).unwrap_or_default();
            ("RoleName", name.clone(), format!("ROLE '{name}'"), roles, grants)
        }
    };
    let mut rows = Vec::new();
    if !roles.is_empty() {
        let list = roles.iter().map(|r| format!("'{r}'")).collect::<Vec<_>>().join(", ");
        let target = to.strip_prefix("USER ").unwrap_or(&to);
        rows.push(vec![text(shown.clone()), Value::Null, text(format!("GRANT {list} TO {target}"))]);
    }
    for g in &grants {
        // What was dropped is granted to nobody.
        let Some(on) = shown_object(session, &g.object) else { continue };
        let privileges = g.privileges.iter().map(|p| p.text()).collect::<Vec<_>>().join(", ");
        let option = if g.grantable { " WITH GRANT OPTION" } else { "" };
        let catalog = match g.object.kind() {
            Kind::System | Kind::User => Value::Null,
            _ => text("default_catalog"),
        };
        rows.push(vec![text(shown.clone()), catalog, text(format!("GRANT {privileges} ON {on} TO {to}{option}"))]);
    }
    Ok(QueryResult::texts(&[column, "Catalog", "Grants"], &rows))
}

/// A thing as GRANT writes it; None when it is gone.
fn shown_object(session: &Session, object: &Object) -> Option<String> {
    let store = &session.core.store;
    let database = |id: &u64| store.databases().into_iter().find(|(_, i)| i == id).map(|(name, _)| name);
    Some(match object {
        Object::System => "SYSTEM".into(),
        Object::Catalog => "CATALOG default_catalog".into(),
        Object::Database(None) => "ALL DATABASES".into(),
        Object::Database(Some(id)) => format!("DATABASE {}", database(id)?),
        Object::User(None) => "ALL USERS".into(),
        Object::User(Some(name)) => format!("USER {name}"),
        Object::Table { database: d, table } | Object::View { database: d, table } => {
            let kind = object.kind().text();
            match (d, table) {
                (None, _) => format!("ALL {kind}S IN ALL DATABASES"),
                (Some(d), None) => format!("ALL {kind}S IN DATABASE {}", database(d)?),
                (Some(d), Some(t)) => format!("{kind} {}.{}", database(d)?, store.table_by_id(*t)?.def().name),
            }
        }
    })
}
