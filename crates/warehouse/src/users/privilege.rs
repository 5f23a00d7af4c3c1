//! Privileges: what may be granted on what, and the decision whether somebody may do something.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::Accounts;

macro_rules! privileges {
    ($($name:ident = $text:literal,)*) => {
        /// A right to do one kind of thing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Privilege {
            $(#[serde(rename = $text)] $name,)*
        }

        impl Privilege {
            const ALL: &[Privilege] = &[$(Privilege::$name),*];

            /// As a statement writes it.
            pub fn text(self) -> &'static str {
                match self {
                    $(Privilege::$name => $text,)*
                }
            }
        }
    };
}

privileges! {
    Select = "SELECT",
    Insert = "INSERT",
    Update = "UPDATE",
    Delete = "DELETE",
    Alter = "ALTER",
    Drop = "DROP",
    Export = "EXPORT",
    Refresh = "REFRESH",
    CreateTable = "CREATE TABLE",
    CreateView = "CREATE VIEW",
    CreateFunction = "CREATE FUNCTION",
    CreateMaterializedView = "CREATE MATERIALIZED VIEW",
    CreatePipe = "CREATE PIPE",
    Usage = "USAGE",
    CreateDatabase = "CREATE DATABASE",
    Impersonate = "IMPERSONATE",
    Grant = "GRANT",
    Node = "NODE",
    Operate = "OPERATE",
    Plugin = "PLUGIN",
    File = "FILE",
    Blacklist = "BLACKLIST",
    Repository = "REPOSITORY",
    CreateResource = "CREATE RESOURCE",
    CreateResourceGroup = "CREATE RESOURCE GROUP",
    CreateExternalCatalog = "CREATE EXTERNAL CATALOG",
    CreateGlobalFunction = "CREATE GLOBAL FUNCTION",
    CreateStorageVolume = "CREATE STORAGE VOLUME",
    CreateWarehouse = "CREATE WAREHOUSE",
    Security = "SECURITY",
}

impl Privilege {
    pub fn of_text(text: &str) -> Option<Privilege> {
        Privilege::ALL.iter().copied().find(|p| p.text().eq_ignore_ascii_case(text))
    }
}

/// The kind of a thing that privileges are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    System,
    Catalog,
    Database,
    Table,
    View,
    User,
}

impl Kind {
    pub fn text(self) -> &'static str {
        match self {
            Kind::System => "SYSTEM",
            Kind::Catalog => "CATALOG",
            Kind::Database => "DATABASE",
            Kind::Table => "TABLE",
            Kind::View => "VIEW",
            Kind::User => "USER",
        }
    }

    /// What can be granted on it; `ALL` means all of these.
    pub fn privileges(self) -> &'static [Privilege] {
        use Privilege::*;
        match self {
            Kind::System => &[
                Grant,
                Node,
                Operate,
                Plugin,
                File,
                Blacklist,
                Repository,
                CreateResource,
                CreateResourceGroup,
                CreateExternalCatalog,
                CreateGlobalFunction,
                CreateStorageVolume,
                CreateWarehouse,
                Security,
            ],
            Kind::Catalog => &[Usage, CreateDatabase, Drop, Alter],
            Kind::Database => {
                &[Alter, Drop, CreateTable, CreateView, CreateFunction, CreateMaterializedView, CreatePipe]
            }
            Kind::Table => &[Delete, Drop, Insert, Select, Alter, Export, Update, Refresh],
            Kind::View => &[Select, Alter, Drop],
            Kind::User => &[Impersonate],
        }
    }
}

/// A thing that privileges are granted on. Databases and tables go by their ids, so that a new table of an old
/// name is nobody's. `None` is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    System,
    Catalog,
    Database(Option<u64>),
    Table { database: Option<u64>, table: Option<u64> },
    View { database: Option<u64>, table: Option<u64> },
    User(Option<String>),
}

impl Object {
    pub fn kind(&self) -> Kind {
        match self {
            Object::System => Kind::System,
            Object::Catalog => Kind::Catalog,
            Object::Database(_) => Kind::Database,
            Object::Table { .. } => Kind::Table,
            Object::View { .. } => Kind::View,
            Object::User(_) => Kind::User,
        }
    }

    /// Whether a grant on this is one on the other.
    pub fn covers(&self, other: &Object) -> bool {
        fn wide<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || a == b
        }
        match (self, other) {
            (Object::System, Object::System) | (Object::Catalog, Object::Catalog) => true,
            (Object::Database(a), Object::Database(b)) => wide(a, b),
            (Object::User(a), Object::User(b)) => wide(a, b),
            (Object::Table { database: a, table: x }, Object::Table { database: b, table: y })
            | (Object::View { database: a, table: x }, Object::View { database: b, table: y }) => {
                wide(a, b) && wide(x, y)
            }
            _ => false,
        }
    }

    /// Whether this lies in the database.
    fn is_inside(&self, database: &Option<u64>) -> bool {
        match self {
            Object::Database(d) | Object::Table { database: d, .. } | Object::View { database: d, .. } => {
                d.is_none() || d == database
            }
            _ => false,
        }
    }
}

/// Privileges on one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub object: Object,
    pub privileges: Vec<Privilege>,
    /// May be given on.
    pub grantable: bool,
}

/// Adds privileges to a list of grants.
pub fn add(grants: &mut Vec<Grant>, new: Grant) {
    match grants.iter_mut().find(|g| g.object == new.object && g.grantable == new.grantable) {
        Some(old) => {
            old.privileges.extend(new.privileges);
            old.privileges.sort_unstable();
            old.privileges.dedup();
        }
        None => {
            let mut new = new;
            new.privileges.sort_unstable();
            new.privileges.dedup();
            grants.push(new);
        }
    }
}

/// Takes privileges away again.
pub fn remove(grants: &mut Vec<Grant>, object: &Object, privileges: &[Privilege]) {
    for g in grants.iter_mut().filter(|g| g.object == *object) {
        g.privileges.retain(|p| !privileges.contains(p));
    }
    grants.retain(|g| !g.privileges.is_empty());
}

/// What has to be allowed for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub what: Wanted,
    pub object: Object,
    /// The object's own name, for the refusal.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Privilege(Privilege),
    /// Any privilege on the thing or on something inside of it.
    Any,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wanted::Privilege(p) => p.text(),
            Wanted::Any => "ANY",
        })
    }
}

/// What a built-in role may do.
fn built_in_allows(role: &str, need: &Need) -> bool {
    match role {
        "root" => true,
        "db_admin" => matches!(need.object.kind(), Kind::Catalog | Kind::Database | Kind::Table | Kind::View),
        "user_admin" => need.object.kind() == Kind::User || need.what == Wanted::Privilege(Privilege::Grant),
        "cluster_admin" => matches!(
            (need.object.kind(), need.what),
            (Kind::System, Wanted::Privilege(Privilege::Node | Privilege::Operate))
        ),
        "security_admin" => matches!(
            (need.object.kind(), need.what),
            (Kind::System, Wanted::Privilege(Privilege::Security | Privilege::Operate))
        ),
        _ => false,
    }
}

fn grants_allow(grants: &[Grant], need: &Need) -> bool {
    grants.iter().any(|g| match need.what {
        Wanted::Privilege(p) => g.object.covers(&need.object) && g.privileges.contains(&p),
        Wanted::Any => {
            g.object.covers(&need.object) || matches!(&need.object, Object::Database(d) if g.object.is_inside(d))
        }
    })
}

/// Whether somebody with these grants and these active roles may do what is needed.
pub fn allowed(accounts: &Accounts, own: &[Grant], roles: &[String], need: &Need) -> bool {
    grants_allow(own, need)
        || accounts.with_inherited(roles).iter().any(|name| {
            built_in_allows(name, need) || accounts.role(name).is_some_and(|r| grants_allow(&r.grants, need))
        })
}

/// Whether somebody may give these privileges on: it has each of them WITH GRANT OPTION.
pub fn may_give(accounts: &Accounts, own: &[Grant], roles: &[String], object: &Object, what: &[Privilege]) -> bool {
    let roles = accounts.with_inherited(roles);
    let all = || own.iter().chain(roles.iter().filter_map(|r| accounts.role(r)).flat_map(|r| &r.grants));
    what.iter().all(|p| all().any(|g| g.grantable && g.object.covers(object) && g.privileges.contains(p)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::account::Role;

    fn table(database: Option<u64>, table: Option<u64>) -> Object {
        Object::Table { database, table }
    }

    fn need(what: Privilege, object: Object) -> Need {
        Need { what: Wanted::Privilege(what), object, name: "t".into() }
    }

    #[test]
    fn a_grant_covers_its_thing_and_what_is_inside_of_it() {
        let one = table(Some(1), Some(2));
        for (granted, expected) in [
            (table(Some(1), Some(2)), true),
            (table(Some(1), None), true),
            (table(None, None), true),
            (table(Some(1), Some(3)), false),
            (table(Some(9), None), false),
            (Object::View { database: Some(1), table: Some(2) }, false),
            (Object::Database(Some(1)), false),
            (Object::System, false),
        ] {
            let own = [Grant { object: granted.clone(), privileges: vec![Privilege::Select], grantable: false }];
            let found = allowed(&Accounts::default(), &own, &[], &need(Privilege::Select, one.clone()));
            assert_eq!(found, expected, "{granted:?}");
            assert!(!allowed(&Accounts::default(), &own, &[], &need(Privilege::Insert, one.clone())));
        }
    }

    #[test]
    fn any_privilege_inside_of_a_database_opens_it() {
        let any = |d| Need { what: Wanted::Any, object: Object::Database(Some(d)), name: "d".into() };
        let own = [Grant { object: table(Some(1), Some(2)), privileges: vec![Privilege::Insert], grantable: false }];
        assert!(allowed(&Accounts::default(), &own, &[], &any(1)));
        assert!(!allowed(&Accounts::default(), &own, &[], &any(2)));
        assert!(!allowed(&Accounts::default(), &[], &["public".into()], &any(1)));
    }

    #[test]
    fn roles_give_what_they_have() {
        let mut accounts = Accounts::default();
        accounts.roles.push(Role {
            name: "reader".into(),
            comment: String::new(),
            roles: Vec::new(),
            grants: vec![Grant { object: table(Some(1), None), privileges: vec![Privilege::Select], grantable: true }],
        });
        let select = need(Privilege::Select, table(Some(1), Some(2)));
        assert!(allowed(&accounts, &[], &["reader".into()], &select));
        assert!(!allowed(&accounts, &[], &[], &select));
        assert!(allowed(&accounts, &[], &["root".into()], &need(Privilege::Grant, Object::System)));
        assert!(allowed(&accounts, &[], &["db_admin".into()], &select));
        assert!(!allowed(&accounts, &[], &["db_admin".into()], &need(Privilege::Grant, Object::System)));
        assert!(allowed(&accounts, &[], &["user_admin".into()], &need(Privilege::Grant, Object::System)));
        assert!(!allowed(&accounts, &[], &["user_admin".into()], &select));
        let one = table(Some(1), Some(2));
        assert!(may_give(&accounts, &[], &["reader".into()], &one, &[Privilege::Select]));
        assert!(!may_give(&accounts, &[], &["reader".into()], &one, &[Privilege::Select, Privilege::Insert]));
    }

    #[test]
    fn grants_add_up_and_are_taken_away() {
        let object = table(Some(1), Some(2));
        let mut grants = Vec::new();
        for p in [Privilege::Insert, Privilege::Select, Privilege::Insert] {
            add(&mut grants, Grant { object: object.clone(), privileges: vec![p], grantable: false });
        }
        assert_eq!(grants.len(), 1);
        assert_eq!(grants[0].privileges, [Privilege::Select, Privilege::Insert]);
        remove(&mut grants, &object, &[Privilege::Select]);
        assert_eq!(grants[0].privileges, [Privilege::Insert]);
        remove(&mut grants, &object, &[Privilege::Insert]);
        assert!(grants.is_empty());
    }
}
