//! An FE behind https: its certificate is checked against the authorities given.

use std::process::Command;
use std::sync::Arc;

use starweir_model::{Label, TableName};
use starweir_starrocks::{Body, Client, ClientConfig, LoadRequest, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A certificate for localhost and its key, as PEM; None without the openssl command.
fn certificate(folder: &std::path::Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .ok()?;
    if !done.status.success() {
        return None;
    }
    Some((std::fs::read(certificate).ok()?, std::fs::read(key).ok()?))
}

#[tokio::test]
async fn a_load_goes_through_tls_only_to_a_server_that_is_trusted() {
    let folder = std::env::temp_dir().join(format!("starweir-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = certificate(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    let Some((certificate, key)) = made else {
        eprintln!("the openssl command is not there: nothing is tested");
        return;
    };
    let chain = rustls_pemfile::certs(&mut &certificate[..]).collect::<Result<Vec<_>, _>>().unwrap();
    let key = rustls_pemfile::private_key(&mut &key[..]).unwrap().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut input = Vec::new();
            while !input.windows(4).any(|w| w == b"\r\n\r\n") {
                if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            let mut body = [0; 2];
            let _ = stream.read_exact(&mut body).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Status\":\"Success\"}";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let request = LoadRequest {
        table: TableName::new("d", "t"),
        label: Label::new("l").unwrap(),
        headers: Vec::new(),
        body: Body::from("{}"),
    };
    let mut config = ClientConfig::new(&format!("https://localhost:{port}")).unwrap();
    assert!(
        Client::new(config.clone()).unwrap().stream_load(&request).await.is_err(),
        "an unknown authority is refused"
    );
    config.tls_ca_pem = Some(certificate);
    let answer = Client::new(config.clone()).unwrap().stream_load(&request).await.unwrap();
    assert_eq!(answer.status, Status::Ok);
    config.tls_ca_pem = Some(b"no certificate".to_vec());
    assert!(Client::new(config).is_err());
    serving.abort();
}
