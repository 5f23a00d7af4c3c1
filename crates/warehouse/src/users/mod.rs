//! Users, passwords, roles and privileges: who may come in by which door, and what it may do there.
//!
//! [`Users`] is the register; it is kept in `users.json` of the data directory. A session acts for an
//! [`Identity`]; [`needs`] says what a statement needs, [`privilege::allowed`] decides.

pub mod account;
pub mod needs;
pub mod password;
pub mod privilege;
pub mod run;
pub mod statement;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use starweir_model::{Error, Result};

use crate::error::SqlResult;
use account::{Account, Accounts, UserName};
use password::{Digest2, Plugin, Secret};
use privilege::Need;

/// The file's format; another one is refused.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    #[serde(flatten)]
    accounts: Accounts,
}

/// Who a session acts for.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: UserName,
    /// Active roles.
    pub roles: Vec<String>,
    /// The warehouse itself: may do everything, whatever becomes of its account.
    internal: bool,
}

impl Identity {
    /// The warehouse's own work, under the administrator's name.
    pub fn internal(name: &str) -> Identity {
        Identity { name: UserName::anywhere(name), roles: vec!["root".into()], internal: true }
    }

    /// Somebody who has just come in.
    pub fn of(account: &Account) -> Identity {
        Identity { name: account.name.clone(), roles: account.default_roles.clone(), internal: false }
    }
}

/// All users and roles of a warehouse.
pub struct Users {
    file: PathBuf,
    durable: bool,
    accounts: RwLock<Arc<Accounts>>,
    /// Passwords that were seen, so that `caching_sha2_password` need not ask for them again.
    seen: Mutex<HashMap<UserName, (Secret, Digest2)>>,
    /// The password this start was given for the administrator, until a statement sets another one.
    given: Mutex<Option<(UserName, Secret)>>,
    writing: Mutex<()>,
}

impl Users {
    /// Reads the register of a data directory. The administrator is added when it is not there; with a password it
    /// has that one for as long as the warehouse runs, without one it has the one it was set by SQL, or none.
    ///
    /// # Errors
    /// `Internal` when the file cannot be read or is damaged.
    pub fn open(dir: &Path, durable: bool, administrator: &str, password: &str) -> Result<Users> {
        let file = dir.join("users.json");
        let mut accounts = match std::fs::read(&file) {
            Ok(bytes) => read(&file, &bytes)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Accounts::default(),
            Err(e) => return Err(Error::internal(format!("cannot read {}", file.display())).with_source(e)),
        };
        let name = UserName::anywhere(administrator);
        if accounts.user(&name).is_none() {
            accounts.users.push(Account::new(name.clone(), Secret::empty(Plugin::MysqlNativePassword)));
        }
        if let Some(account) = accounts.user_mut(&name) {
            for roles in [&mut account.roles, &mut account.default_roles] {
                if !roles.iter().any(|r| r == "root") {
                    roles.push("root".into());
                }
            }
        }
        let users = Users {
            file,
            durable,
            accounts: RwLock::new(Arc::new(accounts)),
            seen: Mutex::new(HashMap::new()),
            given: Mutex::new(None),
            writing: Mutex::new(()),
        };
        if !password.is_empty() {
            let secret = Secret::of_password(Plugin::MysqlNativePassword, password, &salt());
            users.remember(&name, &secret, password);
            *users.given.lock() = Some((name, secret));
        }
        Ok(users)
    }

    /// Adds an administrator that goes with the process, for the work of the process itself over its own ports.
    pub fn add_transient(&self, name: &str, password: &str) {
        let _one = self.writing.lock();
        let mut next = (**self.accounts.read()).clone();
        let secret = Secret::of_password(Plugin::MysqlNativePassword, password, &salt());
        let mut account = Account::new(UserName::new(name, "localhost"), secret);
        account.roles = vec!["root".into()];
        account.default_roles = vec!["root".into()];
        account.transient = true;
        next.users.push(account);
        *self.accounts.write() = Arc::new(next);
    }

    /// All accounts as they are now.
    pub fn accounts(&self) -> Arc<Accounts> {
        self.accounts.read().clone()
    }

    /// Changes the register: on disk first, then for everybody. Nothing changes when `change` refuses.
    pub fn change<T>(&self, change: impl FnOnce(&mut Accounts) -> SqlResult<T>) -> SqlResult<T> {
        let _one = self.writing.lock();
        let mut next = (**self.accounts.read()).clone();
        let value = change(&mut next)?;
        self.write(&next)?;
        *self.accounts.write() = Arc::new(next);
        Ok(value)
    }

    fn write(&self, accounts: &Accounts) -> Result<()> {
        let failed =
            |e: std::io::Error| Error::internal(format!("cannot write {}", self.file.display())).with_source(e);
        let mut kept = Kept { format: FORMAT, accounts: accounts.clone() };
        kept.accounts.users.retain(|u| !u.transient);
        let text =
            serde_json::to_vec_pretty(&kept).map_err(|e| Error::internal("cannot encode the users").with_source(e))?;
        let next = self.file.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(true).write(true);
        // Hashes of passwords are nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&next).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        if self.durable {
            file.sync_all().map_err(failed)?;
        }
        std::fs::rename(&next, &self.file).map_err(failed)?;
        if self.durable
            && let Some(parent) = self.file.parent()
        {
            std::fs::File::open(parent).and_then(|d| d.sync_all()).map_err(failed)?;
        }
        Ok(())
    }

    /// The account of a connection and the secret it is proven by.
    pub fn find(&self, name: &str, from: IpAddr) -> Option<(Identity, Secret)> {
        let accounts = self.accounts();
        let account = accounts.of_connection(name, from)?;
        Some((Identity::of(account), self.secret(account)))
    }

    /// What proves an account.
    pub fn secret(&self, account: &Account) -> Secret {
        match &*self.given.lock() {
            Some((name, secret)) if *name == account.name => secret.clone(),
            _ => account.secret.clone(),
        }
    }

    /// A statement has set a password: the one given at the start counts no more.
    pub fn password_was_set(&self, name: &UserName) {
        self.given.lock().take_if(|(given, _)| given == name);
        self.seen.lock().remove(name);
    }

    /// Keeps in mind that this is the password of the secret.
    pub fn remember(&self, name: &UserName, secret: &Secret, password: &str) {
        self.seen.lock().insert(name.clone(), (secret.clone(), Digest2::of(password)));
    }

    /// The digest of a password that was seen for this secret.
    pub fn seen(&self, name: &UserName, secret: &Secret) -> Option<Digest2> {
        self.seen.lock().get(name).filter(|(of, _)| of == secret).map(|(_, digest)| *digest)
    }

    /// Whether this is the password of the secret. A password that was seen is not computed again.
    pub fn matches(&self, name: &UserName, secret: &Secret, password: &str) -> bool {
        if self.seen(name, secret).is_some_and(|d| d.matches(password)) {
            return true;
        }
        let right = secret.matches(password);
        if right && !secret.is_empty() {
            self.remember(name, secret, password);
        }
        right
    }

    /// Somebody who names itself and its password.
    pub fn log_in(&self, name: &str, password: &str, from: IpAddr) -> Option<Identity> {
        let (identity, secret) = self.find(name, from)?;
        self.matches(&identity.name, &secret, password).then_some(identity)
    }

    /// The active roles that an identity still has.
    pub fn roles(&self, identity: &Identity) -> Vec<String> {
        if identity.internal {
            return identity.roles.clone();
        }
        match self.accounts().user(&identity.name) {
            Some(account) => identity.roles.iter().filter(|r| account.roles.contains(r)).cloned().collect(),
            None => Vec::new(),
        }
    }

    /// Whether somebody may do what is needed.
    pub fn allowed(&self, identity: &Identity, need: &Need) -> bool {
        if identity.internal {
            return true;
        }
        let accounts = self.accounts();
        let own = accounts.user(&identity.name).map_or(&[][..], |a| &a.grants);
        privilege::allowed(&accounts, own, &self.roles(identity), need)
    }

    /// Whether somebody may do everything, which spares the question what it needs.
    pub fn is_root(&self, identity: &Identity) -> bool {
        identity.internal || self.accounts().with_inherited(&self.roles(identity)).iter().any(|r| r == "root")
    }
}

fn read(file: &Path, bytes: &[u8]) -> Result<Accounts> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|e| {
        Error::internal(format!("{} is damaged", file.display()))
            .with_source(e)
            .with_hint("restore it from a copy; without the file there is only the administrator")
    })?;
    if kept.format != FORMAT {
        return Err(Error::refused(format!(
            "{} has format {}, this version reads format {FORMAT}",
            file.display(),
            kept.format
        )));
    }
    Ok(kept.accounts)
}

/// Random bytes without zero, as clients read a salt up to it.
pub fn salt() -> [u8; password::SALT] {
    std::array::from_fn(|_| rand::random_range(1..=127))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn folder() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("starweir-users-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn add(users: &Users, name: &str, password: &str) {
        let secret = Secret::of_password(Plugin::CachingSha2Password, password, &salt());
        users
            .change(|a| {
                a.users.push(Account::new(UserName::anywhere(name), secret));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn users_are_there_after_a_restart_and_a_damaged_file_is_named() {
        let dir = folder();
        let users = Users::open(&dir, true, "root", "").unwrap();
        add(&users, "ann", "one");
        drop(users);
        let users = Users::open(&dir, true, "root", "").unwrap();
        assert!(users.log_in("ann", "one", HERE).is_some());
        assert!(users.log_in("ann", "two", HERE).is_none());
        assert!(users.log_in("root", "", HERE).is_some());
        std::fs::write(dir.join("users.json"), "{").unwrap();
        let error = Users::open(&dir, true, "root", "").err().unwrap();
        assert!(error.to_string().contains("users.json is damaged"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_password_given_at_the_start_counts_until_a_statement_sets_one() {
        let dir = folder();
        let root = UserName::anywhere("root");
        let users = Users::open(&dir, false, "root", "given").unwrap();
        assert!(users.log_in("root", "given", HERE).is_some() && users.log_in("root", "", HERE).is_none());
        users
            .change(|a| {
                let secret = Secret::of_password(Plugin::MysqlNativePassword, "set", &salt());
                a.user_mut(&root).unwrap().secret = secret;
                Ok(())
            })
            .unwrap();
        users.password_was_set(&root);
        assert!(users.log_in("root", "set", HERE).is_some() && users.log_in("root", "given", HERE).is_none());
        let users = Users::open(&dir, false, "root", "").unwrap();
        assert!(users.log_in("root", "set", HERE).is_some() && users.log_in("root", "", HERE).is_none());
        let users = Users::open(&dir, false, "root", "forgotten").unwrap();
        assert!(users.log_in("root", "forgotten", HERE).is_some() && users.log_in("root", "set", HERE).is_none());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_changed_password_forgets_the_one_that_was_seen() {
        let dir = folder();
        let users = Users::open(&dir, false, "root", "").unwrap();
        add(&users, "ann", "one");
        let name = UserName::anywhere("ann");
        let (_, secret) = users.find("ann", HERE).unwrap();
        assert!(users.seen(&name, &secret).is_none());
        assert!(users.matches(&name, &secret, "one") && users.seen(&name, &secret).is_some());
        users
            .change(|a| {
                a.user_mut(&name).unwrap().secret = Secret::of_password(Plugin::CachingSha2Password, "two", &salt());
                Ok(())
            })
            .unwrap();
        let (_, secret) = users.find("ann", HERE).unwrap();
        assert!(users.seen(&name, &secret).is_none());
        assert!(!users.matches(&name, &secret, "one") && users.matches(&name, &secret, "two"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_role_that_was_taken_away_is_not_active_any_more() {
        let dir = folder();
        let users = Users::open(&dir, false, "root", "").unwrap();
        let identity = users.log_in("root", "", HERE).unwrap();
        assert!(users.is_root(&identity));
        users
            .change(|a| {
                a.user_mut(&identity.name).unwrap().roles.clear();
                Ok(())
            })
            .unwrap();
        assert!(!users.is_root(&identity));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
