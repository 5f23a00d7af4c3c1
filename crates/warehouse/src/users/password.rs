//! How a password is kept, and how one is proven: by `mysql_native_password`, by
//! `caching_sha2_password`, or by the password itself (HTTP, or a connection nobody can read).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes of a salt, both on the wire and in a stored `caching_sha2_password`.
pub const SALT: usize = 20;
/// What a `caching_sha2_password` of ours begins with: SHA-256 crypt of 5 × 1000 rounds, as MySQL 8 makes it.
const SHA2_PREFIX: &str = "$A$005$";
const SHA2_ROUNDS: usize = 5000;
const CRYPT_LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How a user proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plugin {
    MysqlNativePassword,
    CachingSha2Password,
}

impl Plugin {
    /// The plugin's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Plugin::MysqlNativePassword => "mysql_native_password",
            Plugin::CachingSha2Password => "caching_sha2_password",
        }
    }

    pub fn of_name(name: &str) -> Option<Plugin> {
        [Plugin::MysqlNativePassword, Plugin::CachingSha2Password]
            .into_iter()
            .find(|p| p.name().eq_ignore_ascii_case(name))
    }
}

/// A password as it is kept: never the password itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    plugin: Plugin,
    /// Empty, `*` and forty hex digits, or `$A$005$…`, as the plugin has it.
    stored: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.plugin.name())
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut h = Sha1::new();
    for p in parts {
        h.update(p);
    }
    h.finalize().into()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut h = Sha256::new();
    for p in parts {
        h.update(p);
    }
    h.finalize().into()
}

/// Compared in full, so that time says nothing.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |d, (a, b)| d | (a ^ b)) == 0
}

/// What `caching_sha2_password` remembers of a password it has seen: SHA256(SHA256(password)). Kept in
/// memory only; a client's scramble can be checked against it.
#[derive(Clone, Copy)]
pub struct Digest2([u8; 32]);

impl Digest2 {
    pub fn of(password: &str) -> Digest2 {
        Digest2(sha256(&[&sha256(&[password.as_bytes()])]))
    }

    /// Whether a client's answer to the salt proves the password.
    pub fn proves(&self, salt: &[u8], answer: &[u8]) -> bool {
        if answer.len() != 32 {
            return false;
        }
        let mask = sha256(&[&self.0, salt]);
        let one: Vec<u8> = answer.iter().zip(mask).map(|(a, m)| a ^ m).collect();
        same(&sha256(&[&one]), &self.0)
    }

    pub fn matches(&self, password: &str) -> bool {
        same(&self.0, &Digest2::of(password).0)
    }
}

impl Secret {
    /// No password is needed.
    pub fn empty(plugin: Plugin) -> Secret {
        Secret { plugin, stored: String::new() }
    }

    /// Keeps a password; `salt` is random.
    pub fn of_password(plugin: Plugin, password: &str, salt: &[u8; SALT]) -> Secret {
        if password.is_empty() {
            return Secret::empty(plugin);
        }
        let stored = match plugin {
            Plugin::MysqlNativePassword => {
                format!("*{}", hex::encode_upper(sha1(&[&sha1(&[password.as_bytes()])])))
            }
            Plugin::CachingSha2Password => {
                let salt: String = salt.iter().map(|b| char::from(CRYPT_LETTERS[usize::from(b % 64)])).collect();
                let hash = sha256_crypt(password.as_bytes(), salt.as_bytes(), SHA2_ROUNDS);
                format!("{SHA2_PREFIX}{salt}{hash}")
            }
        };
        Secret { plugin, stored }
    }

    /// Takes over what another server keeps (`IDENTIFIED … AS 'text'`); None when it has not the plugin's form.
    pub fn of_stored(plugin: Plugin, text: &str) -> Option<Secret> {
        let well_formed = match plugin {
            _ if text.is_empty() => true,
            Plugin::MysqlNativePassword => {
                text.strip_prefix('*').is_some_and(|h| h.len() == 40 && hex::decode(h).is_ok())
            }
            Plugin::CachingSha2Password => parts_of_sha2(text).is_some(),
        };
        well_formed.then(|| Secret { plugin, stored: text.to_string() })
    }

    pub fn plugin(&self) -> Plugin {
        self.plugin
    }

    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// The text of `IDENTIFIED WITH plugin AS 'text'`.
    pub fn stored(&self) -> &str {
        &self.stored
    }

    /// Whether a client's answer to the salt proves the password by `mysql_native_password`. A secret of another
    /// plugin cannot tell and says no.
    pub fn proves_native(&self, salt: &[u8], answer: &[u8]) -> bool {
        if self.is_empty() {
            return answer.is_empty() || answer == [0];
        }
        let Some(two) = self.stored.strip_prefix('*').and_then(|h| hex::decode(h).ok()) else { return false };
        if self.plugin != Plugin::MysqlNativePassword || answer.len() != 20 {
            return false;
        }
        let mask = sha1(&[salt, &two]);
        let one: Vec<u8> = answer.iter().zip(mask).map(|(a, m)| a ^ m).collect();
        same(&sha1(&[&one]), &two)
    }

    /// Whether this is the password.
    pub fn matches(&self, password: &str) -> bool {
        if self.is_empty() {
            return password.is_empty();
        }
        match self.plugin {
            Plugin::MysqlNativePassword => {
                same(Secret::of_password(self.plugin, password, &[0; SALT]).stored.as_bytes(), self.upper().as_bytes())
            }
            Plugin::CachingSha2Password => {
                let Some((rounds, salt, hash)) = parts_of_sha2(&self.stored) else { return false };
                same(sha256_crypt(password.as_bytes(), salt.as_bytes(), rounds).as_bytes(), hash.as_bytes())
            }
        }
    }

    fn upper(&self) -> String {
        self.stored.to_ascii_uppercase()
    }
}

/// Rounds, salt and hash of `$A$005$…`; the three digits are hexadecimal, of thousands of rounds (MySQL 9 writes `00A`).
fn parts_of_sha2(stored: &str) -> Option<(usize, &str, &str)> {
    let (digits, rest) = stored.strip_prefix("$A$")?.split_once('$')?;
    let rounds = usize::from_str_radix(digits, 16).ok().filter(|n| digits.len() == 3 && *n > 0)?;
    let (salt, hash) = rest.split_at_checked(SALT)?;
    let well_formed = hash.len() == 43 && hash.bytes().all(|b| CRYPT_LETTERS.contains(&b));
    well_formed.then_some((rounds * 1000, salt, hash))
}

/// SHA-256 crypt (Ulrich Drepper's `$5$`), the hash part of it. Unlike crypt(3), MySQL uses all bytes of the salt.
fn sha256_crypt(password: &[u8], salt: &[u8], rounds: usize) -> String {
    /// As many bytes as `like` has, of `digest` over and over.
    fn stretched(digest: &[u8; 32], like: usize) -> Vec<u8> {
        digest.iter().copied().cycle().take(like).collect()
    }
    let b = sha256(&[password, salt, password]);
    let mut h = Sha256::new();
    h.update(password);
    h.update(salt);
    h.update(stretched(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            h.update(b);
        } else {
            h.update(password);
        }
        bits >>= 1;
    }
    let mut a: [u8; 32] = h.finalize().into();
    let mut h = Sha256::new();
    for _ in 0..password.len() {
        h.update(password);
    }
    let p = stretched(&h.finalize().into(), password.len());
    let mut h = Sha256::new();
    for _ in 0..16 + usize::from(a[0]) {
        h.update(salt);
    }
    let s = stretched(&h.finalize().into(), salt.len());
    for round in 0..rounds {
        let mut h = Sha256::new();
        h.update(if round % 2 == 1 { &p[..] } else { &a[..] });
        if !round.is_multiple_of(3) {
            h.update(&s);
        }
        if !round.is_multiple_of(7) {
            h.update(&p);
        }
        h.update(if round % 2 == 1 { &a[..] } else { &p[..] });
        a = h.finalize().into();
    }
    let mut out = String::with_capacity(43);
    let mut put = |mut word: u32, letters: usize| {
        for _ in 0..letters {
            out.push(char::from(CRYPT_LETTERS[(word & 63) as usize]));
            word >>= 6;
        }
    };
    let at = |i: usize| u32::from(a[i]);
    let (mut x, mut y, mut z) = (0, 10, 20);
    for _ in 0..10 {
        put(at(x) << 16 | at(y) << 8 | at(z), 4);
        (x, y, z) = (z + 1, x + 1, y + 1);
    }
    put(at(31) << 8 | at(30), 3);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As clients make it.
    fn native_answer(password: &str, salt: &[u8]) -> Vec<u8> {
        let one = sha1(&[password.as_bytes()]);
        one.iter().zip(sha1(&[salt, &sha1(&[&one])])).map(|(a, b)| a ^ b).collect()
    }

    fn sha2_answer(password: &str, salt: &[u8]) -> Vec<u8> {
        let one = sha256(&[password.as_bytes()]);
        one.iter().zip(sha256(&[&sha256(&[&one]), salt])).map(|(a, b)| a ^ b).collect()
    }

    #[test]
    fn a_native_password_is_proven_and_a_wrong_one_is_not() {
        let salt = [7u8; SALT];
        let secret = Secret::of_password(Plugin::MysqlNativePassword, "secret", &salt);
        assert_eq!(secret.stored(), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
        assert!(secret.proves_native(&salt, &native_answer("secret", &salt)));
        assert!(!secret.proves_native(&salt, &native_answer("other", &salt)));
        assert!(!secret.proves_native(&salt, &native_answer("secret", &[8; SALT])));
        assert!(!secret.proves_native(&salt, &[]));
        assert!(secret.matches("secret") && !secret.matches("Secret") && !secret.matches(""));
        let lower = Secret::of_stored(Plugin::MysqlNativePassword, "*14e65567abdb5135d0cfd9a70b3032c179a49ee7");
        assert!(lower.is_some_and(|s| s.matches("secret")));
    }

    #[test]
    fn no_password_is_proven_by_no_answer() {
        let none = Secret::empty(Plugin::MysqlNativePassword);
        assert!(none.proves_native(&[7; SALT], &[]) && none.proves_native(&[7; SALT], &[0]));
        assert!(!none.proves_native(&[7; SALT], &native_answer("secret", &[7; SALT])));
        assert!(none.matches("") && !none.matches("x"));
    }

    #[test]
    fn sha256_crypt_gives_what_its_specification_gives() {
        assert_eq!(sha256_crypt(b"Hello world!", b"saltstring", 5000), "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
    }

    #[test]
    fn a_password_kept_by_mysql_9_is_taken_over() {
        // Printed by MySQL 9.7 (`print_identified_with_as_hex`).
        for (password, kept) in [
            (
                "pw",
                "24412430304124394E3B570571390E774853741D2340046B0563254D6841665934726258793731557836476F5264644F514A6E704B476F7845434E2F7253784B502E2E633231",
            ),
            (
                "pässwörd 山",
                "244124303041243E3E311501117B302D315407156E18782E777F71554D59777442426358354650496B78386A4256614F2E6E6B51494B36742F543666674177734B7A626C6237",
            ),
        ] {
            let text = String::from_utf8(hex::decode(kept).unwrap()).unwrap();
            let secret = Secret::of_stored(Plugin::CachingSha2Password, &text).unwrap();
            assert!(secret.matches(password) && !secret.matches("other"), "{password}");
        }
    }

    #[test]
    fn a_password_kept_by_mysql_8_is_taken_over() {
        let secret = Secret::of_password(Plugin::CachingSha2Password, "wachtwoord", &[9; SALT]);
        let again = Secret::of_stored(Plugin::CachingSha2Password, secret.stored());
        assert!(again.as_ref().is_some_and(|s| s.matches("wachtwoord") && !s.matches("wachtwoor")));
        for wrong in ["$A$005$short", "plain", "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"] {
            assert_eq!(Secret::of_stored(Plugin::CachingSha2Password, wrong), None, "{wrong}");
        }
        assert_eq!(Secret::of_stored(Plugin::MysqlNativePassword, "secret"), None);
    }

    #[test]
    fn a_password_seen_before_is_proven_by_its_scramble() {
        let salt = [3u8; SALT];
        let seen = Digest2::of("secret");
        assert!(seen.proves(&salt, &sha2_answer("secret", &salt)));
        assert!(!seen.proves(&salt, &sha2_answer("other", &salt)));
        assert!(!seen.proves(&[4; SALT], &sha2_answer("secret", &salt)));
        assert!(!seen.proves(&salt, &[]));
    }

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::of_password(Plugin::MysqlNativePassword, "secret", &[0; SALT]);
        assert_eq!(format!("{secret:?}"), "Secret(mysql_native_password)");
    }
}
