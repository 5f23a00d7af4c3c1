//! TLS towards FEs and BEs: the public authorities, and one's own.

use std::sync::Arc;

use starweir_model::{Error, Result};

/// Client settings that trust the public authorities and those in `ca_pem`.
pub(crate) fn settings(ca_pem: Option<&[u8]>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca_pem {
        let mut added = 0;
        for certificate in rustls_pemfile::certs(&mut &pem[..]) {
            let certificate =
                certificate.map_err(|e| Error::user("the CA file cannot be read as PEM").with_source(e))?;
            roots
                .add(certificate)
                .map_err(|e| Error::user("the CA file holds a damaged certificate").with_source(e))?;
            added += 1;
        }
        if added == 0 {
            return Err(Error::user("the CA file holds no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS could not be set up").with_source(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
