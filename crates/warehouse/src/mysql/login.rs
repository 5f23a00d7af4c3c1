//! Coming in on the MySQL port: the greeting, TLS, and the exchange that proves a password.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::keys::without_zero;
use super::packet::{Packets, Reader, read_packet, write_packet};
use super::result;
use crate::core::Core;
use crate::sql::session::{MYSQL_VERSION, Session};
use crate::users::account::UserName;
use crate::users::password::{Plugin, SALT, Secret};
use crate::users::{Identity, salt};

/// Longest packet before a login, in bytes.
const LOGIN_MAX: usize = 64 << 10;
/// Longest packet after it (`max_allowed_packet`).
const PACKET_MAX: usize = super::server::PACKET_MAX;
/// LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION,
/// MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS, PLUGIN_AUTH, CONNECT_ATTRS, PLUGIN_AUTH_LENENC.
const CAPABILITIES: u32 =
    0x1 | 0x2 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x8_0000 | 0x10_0000 | 0x20_0000;
const SSL: u32 = 0x800;
/// A request for TLS is the login's fixed part alone.
const SSL_REQUEST_BYTES: usize = 32;
/// First bytes of packets of the exchange.
const AUTH_SWITCH: u8 = 0xfe;
const AUTH_MORE: u8 = 1;
const FAST_AUTH_DONE: u8 = 3;
const FULL_AUTH_WANTED: u8 = 4;
const PUBLIC_KEY_WANTED: [u8; 1] = [2];

/// What a connection remembers of its login, for COM_CHANGE_USER.
pub struct Greeted {
    salt: [u8; SALT],
    from: IpAddr,
    /// Whether nobody between can read along.
    secure: bool,
}

/// What a client says about itself.
struct Login {
    user: String,
    answer: Vec<u8>,
    database: Option<String>,
    plugin: Option<String>,
}

/// Greets a connection and lets it in; None when it was refused or went away.
pub async fn log_in(
    mut stream: TcpStream,
    core: &Arc<Core>,
    session: &mut Session,
) -> std::io::Result<Option<(Packets, Greeted)>> {
    let from = stream.peer_addr()?.ip();
    let mut greeted = Greeted { salt: salt(), from, secure: false };
    let tls = core.keys.tls().cloned();
    let mut sequence = 0;
    write_packet(&mut stream, &greeting(session.id, &greeted.salt, tls.is_some()), &mut sequence).await?;
    // Not buffered: after a request for TLS the next bytes are not packets.
    let Some(first) = read_packet(&mut stream, LOGIN_MAX, &mut sequence).await? else { return Ok(None) };
    let wants_tls =
        first.len() == SSL_REQUEST_BYTES && Reader::new(&first).uint(4).is_some_and(|c| c as u32 & SSL != 0);
    let (mut packets, body) = match tls {
        Some(acceptor) if wants_tls => {
            let stream = acceptor.accept(stream).await?;
            greeted.secure = true;
            let mut packets = Packets::new(stream, LOGIN_MAX);
            packets.sequence = sequence;
            let Some(body) = packets.read().await? else { return Ok(None) };
            (packets, body)
        }
        _ => {
            let mut packets = Packets::new(stream, LOGIN_MAX);
            packets.sequence = sequence;
            (packets, first)
        }
    };
    let Some(login) = read_login(&body) else {
        refuse(&mut packets, 1043, "Bad handshake").await?;
        return Ok(None);
    };
    let accepted = admit(&mut packets, core, session, &mut greeted, login).await?;
    packets.limit = PACKET_MAX;
    Ok(accepted.then_some((packets, greeted)))
}

/// COM_CHANGE_USER: another login on the same connection.
pub async fn change_user(
    packets: &mut Packets,
    core: &Arc<Core>,
    session: &mut Session,
    greeted: &mut Greeted,
    body: &[u8],
) -> std::io::Result<bool> {
    let Some(login) = read_change(body) else {
        refuse(packets, 1043, "Bad handshake").await?;
        return Ok(false);
    };
    if let Err(e) = session.reset() {
        refuse(packets, e.code, &e.message).await?;
        return Ok(false);
    }
    session.database = None;
    admit(packets, core, session, greeted, login).await
}

fn greeting(connection: u64, salt: &[u8; SALT], tls: bool) -> Vec<u8> {
    let capabilities = CAPABILITIES | if tls { SSL } else { 0 };
    let mut hello = vec![10];
    hello.extend_from_slice(MYSQL_VERSION.as_bytes());
    hello.push(0);
    hello.extend_from_slice(&(connection as u32).to_le_bytes());
    hello.extend_from_slice(&salt[..8]);
    hello.push(0);
    hello.extend_from_slice(&(capabilities as u16).to_le_bytes());
    hello.push(33);
    hello.extend_from_slice(&2u16.to_le_bytes());
    hello.extend_from_slice(&((capabilities >> 16) as u16).to_le_bytes());
    hello.push(21);
    hello.extend_from_slice(&[0; 10]);
    hello.extend_from_slice(&salt[8..]);
    hello.push(0);
    hello.extend_from_slice(Plugin::MysqlNativePassword.name().as_bytes());
    hello.push(0);
    hello
}

fn text(b: &[u8]) -> Option<String> {
    (!b.is_empty()).then(|| String::from_utf8_lossy(b).into_owned())
}

fn read_login(body: &[u8]) -> Option<Login> {
    let mut r = Reader::new(body);
    let capabilities = r.uint(4)? as u32;
    r.bytes(4 + 1 + 23)?;
    let user = String::from_utf8_lossy(r.until_zero()?).into_owned();
    let answer = if capabilities & 0x20_0000 != 0 {
        r.lenenc_bytes()?.to_vec()
    } else if capabilities & 0x8000 != 0 {
        let n = r.u8()?;
        r.bytes(usize::from(n))?.to_vec()
    } else {
        r.until_zero()?.to_vec()
    };
    let database = if capabilities & 8 != 0 { r.until_zero().and_then(text) } else { None };
    let plugin = if capabilities & 0x8_0000 != 0 { r.until_zero().and_then(text) } else { None };
    Some(Login { user, answer, database, plugin })
}

fn read_change(body: &[u8]) -> Option<Login> {
    let mut r = Reader::new(body);
    let user = String::from_utf8_lossy(r.until_zero()?).into_owned();
    let n = r.u8()?;
    let answer = r.bytes(usize::from(n))?.to_vec();
    let database = text(r.until_zero()?);
    // Clients differ in which salt they answer with here: whatever their plugin, they are asked again.
    Some(Login { user, answer, database, plugin: Some(String::new()) })
}

async fn refuse(packets: &mut Packets, code: u16, message: &str) -> std::io::Result<()> {
    packets.write(&result::error(code, message)).await?;
    packets.flush().await
}

/// Checks a login and makes the session the user's; says to the client whether it is in.
async fn admit(
    packets: &mut Packets,
    core: &Arc<Core>,
    session: &mut Session,
    greeted: &mut Greeted,
    login: Login,
) -> std::io::Result<bool> {
    let Login { user, answer, database, plugin } = login;
    let mut gave_password = !answer.is_empty();
    let identity = prove(packets, core, greeted, &user, answer, plugin.as_deref(), &mut gave_password).await?;
    let Some(identity) = identity else {
        let using = if gave_password { "YES" } else { "NO" };
        refuse(packets, 1045, &format!("Access denied for user '{user}' (using password: {using})")).await?;
        return Ok(false);
    };
    session.act_for(identity);
    if let Some(db) = database
        && let Err(e) = session.use_database(&db)
    {
        refuse(packets, e.code, &e.message).await?;
        return Ok(false);
    }
    packets.write(&result::ok(0, "", result::status(false, false))).await?;
    packets.flush().await?;
    Ok(true)
}

/// The exchange. The client may begin with a plugin of its own liking; it is asked again by the one that can tell.
async fn prove(
    packets: &mut Packets,
    core: &Arc<Core>,
    greeted: &mut Greeted,
    user: &str,
    answer: Vec<u8>,
    plugin: Option<&str>,
    gave_password: &mut bool,
) -> std::io::Result<Option<Identity>> {
    // Somebody unknown is asked like everybody else.
    let (identity, secret) = match core.users.find(user, greeted.from) {
        Some((identity, secret)) => (Some(identity), secret),
        None => (None, nobody()),
    };
    let name = identity.as_ref().map_or_else(|| UserName::anywhere(user), |i| i.name.clone());
    let offered = Plugin::of_name(plugin.unwrap_or(Plugin::MysqlNativePassword.name()));
    if secret.is_empty() && (answer.is_empty() || answer == [0]) {
        return Ok(identity);
    }
    let seen = core.users.seen(&name, &secret);
    // By caching_sha2_password when the client began with it and its password was seen, whatever the account has:
    // clients since MySQL 9 know no other.
    let ask = match offered {
        Some(Plugin::CachingSha2Password) if seen.is_some() => Plugin::CachingSha2Password,
        _ => secret.plugin(),
    };
    // A client that expected another plugin sends nothing at first.
    let mut answer = answer;
    if offered != Some(ask) || answer.is_empty() && !secret.is_empty() {
        greeted.salt = salt();
        let mut switch = vec![AUTH_SWITCH];
        switch.extend_from_slice(ask.name().as_bytes());
        switch.push(0);
        switch.extend_from_slice(&greeted.salt);
        switch.push(0);
        packets.write(&switch).await?;
        packets.flush().await?;
        let Some(again) = packets.read().await? else { return Ok(None) };
        answer = again;
        *gave_password = !(answer.is_empty() || answer == [0]);
    }
    if secret.is_empty() {
        return Ok(identity.filter(|_| answer.is_empty() || answer == [0]));
    }
    if ask == Plugin::MysqlNativePassword {
        return Ok(identity.filter(|_| secret.proves_native(&greeted.salt, &answer)));
    }
    if answer.is_empty() || answer == [0] {
        return Ok(None);
    }
    if seen.is_some_and(|s| s.proves(&greeted.salt, &answer)) {
        packets.write(&[AUTH_MORE, FAST_AUTH_DONE]).await?;
        return Ok(identity);
    }
    let Some(password) = ask_password(packets, core, greeted).await? else { return Ok(None) };
    Ok(identity.filter(|_| core.users.matches(&name, &secret, &password)))
}

/// The whole password: in the clear under TLS, else under the public key.
async fn ask_password(packets: &mut Packets, core: &Arc<Core>, greeted: &Greeted) -> std::io::Result<Option<String>> {
    packets.write(&[AUTH_MORE, FULL_AUTH_WANTED]).await?;
    packets.flush().await?;
    let Some(mut reply) = packets.read().await? else { return Ok(None) };
    if greeted.secure {
        return Ok(without_zero(reply));
    }
    let worker = core.clone();
    let key = match tokio::task::spawn_blocking(move || worker.keys.login_key()).await {
        Ok(Ok(key)) => key,
        Ok(Err(e)) => {
            tracing::warn!(error = %e.chain(), "no password can be asked for without TLS");
            return Ok(None);
        }
        Err(e) => return Err(std::io::Error::other(e)),
    };
    if reply == PUBLIC_KEY_WANTED {
        let mut body = vec![AUTH_MORE];
        body.extend_from_slice(key.public_pem());
        packets.write(&body).await?;
        packets.flush().await?;
        let Some(encrypted) = packets.read().await? else { return Ok(None) };
        reply = encrypted;
    }
    Ok(key.password(&reply, &greeted.salt))
}

/// A secret that nothing proves.
fn nobody() -> Secret {
    let zeros = format!("*{}", "0".repeat(40));
    Secret::of_stored(Plugin::MysqlNativePassword, &zeros)
        .unwrap_or_else(|| Secret::of_password(Plugin::MysqlNativePassword, &uuid::Uuid::new_v4().to_string(), &salt()))
}
