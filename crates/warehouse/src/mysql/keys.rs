//! Keys of the MySQL port: the RSA pair that `caching_sha2_password` sends passwords under where there is no
//! TLS, and the certificate for TLS. Like MySQL, the warehouse makes its own and keeps them in the data directory.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use parking_lot::Mutex;
use starweir_model::{Error, Result};
use tokio_rustls::TlsAcceptor;

/// Bits of the RSA pair, as MySQL makes it.
const RSA_BITS: u32 = 2048;
/// How long our own certificate is valid, in seconds: ten years, as MySQL's.
const CERTIFICATE_SECONDS: i64 = 3650 * 24 * 3600;

/// Whether connections may be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tls {
    #[default]
    Off,
    /// With a certificate of the warehouse's own making.
    Own,
    /// With a certificate chain and its key, both PEM.
    Files { certificate: PathBuf, key: PathBuf },
}

/// The keys of one warehouse.
pub struct Keys {
    dir: PathBuf,
    tls: Option<TlsAcceptor>,
    /// Made when it is first asked for.
    login: Mutex<Option<Arc<LoginKey>>>,
}

/// The RSA pair.
pub struct LoginKey {
    key: Rsa<Private>,
    public_pem: Vec<u8>,
}

impl LoginKey {
    /// What a client is sent.
    pub fn public_pem(&self) -> &[u8] {
        &self.public_pem
    }

    /// The password in a client's answer: it is under the public key (OAEP), mixed with the salt, and ends with a zero.
    pub fn password(&self, encrypted: &[u8], salt: &[u8]) -> Option<String> {
        let mut plain = vec![0; self.key.size() as usize];
        let n = self.key.private_decrypt(encrypted, &mut plain, Padding::PKCS1_OAEP).ok()?;
        plain.truncate(n);
        for (byte, mask) in plain.iter_mut().zip(salt.iter().cycle()) {
            *byte ^= mask;
        }
        without_zero(plain)
    }
}

/// A password as clients send it in the clear.
pub fn without_zero(mut bytes: Vec<u8>) -> Option<String> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes).ok()
}

fn io(what: &str, path: &Path, e: std::io::Error) -> Error {
    Error::internal(format!("cannot {what} {}", path.display())).with_source(e)
}

fn failed(what: &str) -> impl FnOnce(ErrorStack) -> Error {
    let text = format!("cannot {what}");
    move |e| Error::internal(text).with_source(e)
}

/// Writes a key that only its owner may read.
fn write_private(path: &Path, pem: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut f| f.write_all(pem)).map_err(|e| io("write", path, e))
}

impl Keys {
    /// Opens the keys of a data directory. Our own certificate names `host` and this machine.
    ///
    /// # Errors
    /// `Refused` when a given certificate or key cannot be used.
    pub fn open(dir: &Path, tls: &Tls, host: IpAddr, now_ms: i64) -> Result<Keys> {
        let files = match tls {
            Tls::Off => None,
            Tls::Files { certificate, key } => Some((certificate.clone(), key.clone())),
            Tls::Own => {
                let files = (dir.join("server-cert.pem"), dir.join("server-key.pem"));
                if !files.0.exists() || !files.1.exists() {
                    let (certificate, key) =
                        own_certificate(host, now_ms / 1000).map_err(failed("make a certificate"))?;
                    write_private(&files.1, &key)?;
                    std::fs::write(&files.0, certificate).map_err(|e| io("write", &files.0, e))?;
                }
                Some(files)
            }
        };
        let tls = files.map(|(certificate, key)| acceptor(&certificate, &key)).transpose()?;
        Ok(Keys { dir: dir.to_path_buf(), tls, login: Mutex::new(None) })
    }

    pub fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// The RSA pair; made and kept at the first call, which takes a moment.
    ///
    /// # Errors
    /// `Internal` when the file of the key is damaged or cannot be written.
    pub fn login_key(&self) -> Result<Arc<LoginKey>> {
        let mut slot = self.login.lock();
        if let Some(key) = &*slot {
            return Ok(key.clone());
        }
        let path = self.dir.join("private_key.pem");
        let key = match std::fs::read(&path) {
            Ok(pem) => Rsa::private_key_from_pem(&pem)
                .map_err(|e| Error::internal(format!("{} is damaged", path.display())).with_source(e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = Rsa::generate(RSA_BITS).map_err(failed("make an RSA key"))?;
                write_private(&path, &key.private_key_to_pem().map_err(failed("encode the RSA key"))?)?;
                key
            }
            Err(e) => return Err(io("read", &path, e)),
        };
        let public_pem = key.public_key_to_pem().map_err(failed("encode the RSA key"))?;
        // For clients that are given the public key as a file.
        let public_path = self.dir.join("public_key.pem");
        std::fs::write(&public_path, &public_pem).map_err(|e| io("write", &public_path, e))?;
        let key = Arc::new(LoginKey { key, public_pem });
        *slot = Some(key.clone());
        Ok(key)
    }
}

/// A certificate that vouches for itself, and its key, both PEM.
fn own_certificate(host: IpAddr, now_s: i64) -> std::result::Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "Starweir local warehouse")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut x509 = X509::builder()?;
    x509.set_version(2)?;
    x509.set_serial_number(&*serial.to_asn1_integer()?)?;
    x509.set_subject_name(&name)?;
    x509.set_issuer_name(&name)?;
    // A day of grace for clocks that differ.
    x509.set_not_before(&*Asn1Time::from_unix(now_s - 24 * 3600)?)?;
    x509.set_not_after(&*Asn1Time::from_unix(now_s + CERTIFICATE_SECONDS)?)?;
    x509.set_pubkey(&key)?;
    let mut names = SubjectAlternativeName::new();
    names.dns("localhost").ip("127.0.0.1").ip("::1");
    if !host.is_loopback() && !host.is_unspecified() {
        names.ip(&host.to_string());
    }
    let names = names.build(&x509.x509v3_context(None, None))?;
    x509.append_extension(names)?;
    x509.sign(&key, MessageDigest::sha256())?;
    Ok((x509.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| refused(path).with_source(e));
    let chain = rustls_pemfile::certs(&mut &read(certificate)?[..])
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|e| refused(certificate).with_source(e))?;
    if chain.is_empty() {
        return Err(refused(certificate).with_hint("it holds no CERTIFICATE in PEM form"));
    }
    let private = rustls_pemfile::private_key(&mut &read(key)?[..])
        .map_err(|e| refused(key).with_source(e))?
        .ok_or_else(|| refused(key).with_hint("it holds no private key in PEM form"))?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| refused(certificate).with_source(e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn refused(path: &Path) -> Error {
    Error::refused(format!("TLS cannot be offered with {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn folder() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("starweir-keys-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_password_comes_back_from_under_the_public_key_and_the_key_stays_the_same() {
        let dir = folder();
        let salt = [5u8; 20];
        let keys = Keys::open(&dir, &Tls::Off, HERE, 0).unwrap();
        let key = keys.login_key().unwrap();
        let public = Rsa::public_key_from_pem(key.public_pem()).unwrap();
        let mut plain = "a password that is longer than the salt\0".as_bytes().to_vec();
        for (b, m) in plain.iter_mut().zip(salt.iter().cycle()) {
            *b ^= m;
        }
        let mut encrypted = vec![0; public.size() as usize];
        public.public_encrypt(&plain, &mut encrypted, Padding::PKCS1_OAEP).unwrap();
        let found = key.password(&encrypted, &salt);
        assert_eq!(found.as_deref(), Some("a password that is longer than the salt"));
        assert_eq!(key.password(&encrypted[1..], &salt), None);
        let again = Keys::open(&dir, &Tls::Off, HERE, 0).unwrap().login_key().unwrap();
        assert_eq!(again.public_pem(), key.public_pem());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn tls_is_offered_with_an_own_certificate_that_is_made_once_and_a_wrong_file_is_named() {
        let dir = folder();
        assert!(Keys::open(&dir, &Tls::Off, HERE, 0).unwrap().tls().is_none());
        assert!(Keys::open(&dir, &Tls::Own, HERE, 1_700_000_000_000).unwrap().tls().is_some());
        let made = std::fs::read(dir.join("server-cert.pem")).unwrap();
        assert!(Keys::open(&dir, &Tls::Own, HERE, 1_800_000_000_000).unwrap().tls().is_some());
        assert_eq!(std::fs::read(dir.join("server-cert.pem")).unwrap(), made);
        let missing = Tls::Files { certificate: dir.join("none.pem"), key: dir.join("server-key.pem") };
        let error = Keys::open(&dir, &missing, HERE, 0).err().unwrap();
        assert!(error.to_string().contains("none.pem"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
