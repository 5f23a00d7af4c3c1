//! Who may come in: users by name and host, and the roles they have.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::password::Secret;
use super::privilege::Grant;

/// `'name'@'host'`. The host is an address, a pattern with `%` and `_`, or `localhost`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserName {
    pub name: String,
    pub host: String,
}

impl UserName {
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> UserName {
        UserName { name: name.into(), host: host.into() }
    }

    /// A user of any host.
    pub fn anywhere(name: impl Into<String>) -> UserName {
        UserName::new(name, "%")
    }

    /// Whether a connection from there is this user's.
    pub fn takes(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.host.eq_ignore_ascii_case("localhost") && from.is_loopback()
            || like(self.host.as_bytes(), from.to_string().as_bytes())
    }

    /// The more exact of two hosts that both fit is the one that counts.
    fn exactness(&self) -> (bool, usize) {
        let letters = self.host.bytes().filter(|b| !matches!(b, b'%' | b'_')).count();
        (letters == self.host.len(), letters)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'@'{}'", self.name, self.host)
    }
}

/// LIKE's pattern: `%` any letters, `_` one.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last `%` has to take one letter more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'%') => {
                again = Some((p + 1, t + 1));
                p += 1;
            }
            Some(c) if *c == b'_' || c.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    (p, t) = (after, from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'%')
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub name: UserName,
    pub secret: Secret,
    /// Roles it was given.
    pub roles: Vec<String>,
    /// Those of them that are active after a login.
    pub default_roles: Vec<String>,
    pub grants: Vec<Grant>,
    /// Never written: it goes with the process.
    #[serde(skip)]
    pub transient: bool,
}

impl Account {
    pub fn new(name: UserName, secret: Secret) -> Account {
        Account { name, secret, roles: Vec::new(), default_roles: Vec::new(), grants: Vec::new(), transient: false }
    }
}

/// A role that a statement made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub comment: String,
    /// Roles it was given.
    pub roles: Vec<String>,
    pub grants: Vec<Grant>,
}

/// All users and roles, as they are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Accounts {
    pub users: Vec<Account>,
    pub roles: Vec<Role>,
}

/// Roles that are always there.
pub const BUILT_IN_ROLES: &[(&str, &str)] = &[
    ("root", "built-in root role which has all privileges on all objects"),
    ("db_admin", "built-in database administration role"),
    ("cluster_admin", "built-in cluster administration role"),
    ("user_admin", "built-in user administration role"),
    ("security_admin", "built-in security administration role"),
    ("public", "built-in public role which is owned by any user"),
];

impl Accounts {
    pub fn user(&self, name: &UserName) -> Option<&Account> {
        self.users.iter().find(|u| u.name == *name)
    }

    pub fn user_mut(&mut self, name: &UserName) -> Option<&mut Account> {
        self.users.iter_mut().find(|u| u.name == *name)
    }

    /// The account of a connection.
    pub fn of_connection(&self, name: &str, from: IpAddr) -> Option<&Account> {
        self.users.iter().filter(|u| u.name.name == name && u.name.takes(from)).max_by_key(|u| u.name.exactness())
    }

    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|r| r.name == name)
    }

    pub fn role_mut(&mut self, name: &str) -> Option<&mut Role> {
        self.roles.iter_mut().find(|r| r.name == name)
    }

    pub fn has_role(&self, name: &str) -> bool {
        is_built_in(name) || self.role(name).is_some()
    }

    /// These roles and all roles they were given, `public` with them.
    pub fn with_inherited(&self, roles: &[String]) -> Vec<String> {
        let mut out: Vec<String> = vec!["public".to_string()];
        let mut open: Vec<String> = roles.to_vec();
        while let Some(next) = open.pop() {
            if out.contains(&next) {
                continue;
            }
            if let Some(role) = self.role(&next) {
                open.extend(role.roles.iter().cloned());
            }
            out.push(next);
        }
        out
    }
}

pub fn is_built_in(role: &str) -> bool {
    BUILT_IN_ROLES.iter().any(|(name, _)| *name == role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::password::Plugin;

    #[test]
    fn hosts_are_addresses_patterns_and_localhost() {
        for (host, from, expected) in [
            ("%", "10.1.2.3", true),
            ("%", "::1", true),
            ("10.1.%", "10.1.2.3", true),
            ("10.1.%", "10.2.2.3", false),
            ("10.1.2._", "10.1.2.3", true),
            ("10.1.2._", "10.1.2.33", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.11", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("localhost", "127.0.0.1", true),
            ("LOCALHOST", "::1", true),
            ("localhost", "10.1.2.3", false),
        ] {
            let found = UserName::new("u", host).takes(from.parse().unwrap());
            assert_eq!(found, expected, "{host} and {from}");
        }
    }

    #[test]
    fn the_most_exact_host_is_the_connection_s_account() {
        let mut accounts = Accounts::default();
        for host in ["%", "10.1.2.3", "10.1.%"] {
            accounts.users.push(Account::new(UserName::new("u", host), Secret::empty(Plugin::MysqlNativePassword)));
        }
        let host = |from: &str| accounts.of_connection("u", from.parse().unwrap()).map(|a| a.name.host.clone());
        assert_eq!(host("10.1.2.3").as_deref(), Some("10.1.2.3"));
        assert_eq!(host("10.1.9.9").as_deref(), Some("10.1.%"));
        assert_eq!(host("127.0.0.1").as_deref(), Some("%"));
        assert!(accounts.of_connection("v", "127.0.0.1".parse().unwrap()).is_none());
    }

    #[test]
    fn roles_of_roles_count_and_a_circle_ends() {
        let role = |name: &str, roles: &[&str]| Role {
            name: name.into(),
            comment: String::new(),
            roles: roles.iter().map(ToString::to_string).collect(),
            grants: Vec::new(),
        };
        let accounts = Accounts { users: Vec::new(), roles: vec![role("a", &["b"]), role("b", &["a", "db_admin"])] };
        let mut all = accounts.with_inherited(&["a".into()]);
        all.sort();
        assert_eq!(all, ["a", "b", "db_admin", "public"]);
    }
}
