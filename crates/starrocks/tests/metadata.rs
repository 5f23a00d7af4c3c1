//! Metadata and statements against a scripted server of the MySQL protocol.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use starweir_model::{Column, DataType, ErrorKind, LogicalType, Schema, TableName};
use starweir_starrocks::ddl::{ColumnDefinition, TableModel};
use starweir_starrocks::{ClientConfig, Metadata, StarRocksType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Rows of texts, or an error's code and text.
type Reply = Result<Vec<Vec<Option<&'static str>>>, (u16, &'static str)>;

type Script = dyn Fn(usize, &str) -> Reply + Send + Sync;

struct FakeServer {
    port: u16,
    statements: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn send(stream: &mut TcpStream, number: &mut u8, payload: &[u8]) {
    let length = payload.len() as u32;
    let mut packet = length.to_le_bytes()[..3].to_vec();
    packet.push(*number);
    packet.extend_from_slice(payload);
    *number = number.wrapping_add(1);
    stream.write_all(&packet).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0u8; 4];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

/// Lengths under 251 only.
fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 251);
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xFE, 0, 0, 2, 0];

async fn serve(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<String>>>) {
    // PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_WITH_DB; no DEPRECATE_EOF, like StarRocks' default.
    let capabilities: u32 = 0x0008_820C;
    let mut greeting = vec![10];
    greeting.extend_from_slice(b"8.0.33\0\x01\0\0\0abcdefgh\0");
    greeting.extend_from_slice(&capabilities.to_le_bytes()[..2]);
    greeting.extend_from_slice(&[33, 2, 0]);
    greeting.extend_from_slice(&capabilities.to_le_bytes()[2..]);
    greeting.push(21);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
    send(&mut stream, &mut 0, &greeting).await;
    let Some((number, _)) = receive(&mut stream).await else { return };
    send(&mut stream, &mut (number + 1), OK).await;
    while let Some((number, payload)) = receive(&mut stream).await {
        let mut next = number + 1;
        if payload.first() == Some(&1) {
            return;
        }
        if payload.first() != Some(&3) {
            send(&mut stream, &mut next, OK).await;
            continue;
        }
        let sql = String::from_utf8(payload[1..].to_vec()).unwrap();
        let number = {
            let mut log = log.lock().unwrap();
            log.push(sql.clone());
            log.len() - 1
        };
        match script(number, &sql) {
            Err((0, _)) => return,
            Err((code, message)) => {
                let mut packet = vec![0xFF];
                packet.extend_from_slice(&code.to_le_bytes());
                packet.extend_from_slice(b"#HY000");
                packet.extend_from_slice(message.as_bytes());
                send(&mut stream, &mut next, &packet).await;
            }
            Ok(rows) if rows.is_empty() && !sql.starts_with("SELECT") && !sql.starts_with("SHOW") => {
                send(&mut stream, &mut next, OK).await;
            }
            Ok(rows) => {
                let width = rows.first().map_or(1, Vec::len);
                send(&mut stream, &mut next, &[width as u8]).await;
                for n in 0..width {
                    let mut column = Vec::new();
                    for part in ["def", "", "", "", &format!("c{n}"), ""] {
                        text(&mut column, part);
                    }
                    column.extend_from_slice(&[12, 33, 0, 0, 1, 0, 0, 0xFD, 0, 0, 0, 0, 0]);
                    send(&mut stream, &mut next, &column).await;
                }
                send(&mut stream, &mut next, EOF).await;
                for row in rows {
                    let mut packet = Vec::new();
                    for cell in row {
                        match cell {
                            Some(cell) => text(&mut packet, cell),
                            None => packet.push(0xFB),
                        }
                    }
                    send(&mut stream, &mut next, &packet).await;
                }
                send(&mut stream, &mut next, EOF).await;
            }
        }
    }
}

impl FakeServer {
    async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let statements = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (statements.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(serve(stream, script.clone(), log.clone()));
            }
        });
        Self { port, statements, task }
    }

    fn metadata(&self) -> Metadata {
        let config = ClientConfig::new("127.0.0.1:1").unwrap();
        Metadata::new(&config.with_jdbc_url(&format!("jdbc:mysql://127.0.0.1:{}", self.port)).unwrap()).unwrap()
    }

    fn statements(&self) -> Vec<String> {
        self.statements.lock().unwrap().clone()
    }
}

fn orders() -> Reply {
    let row = |name, data, column, size, nullable, key| {
        vec![Some(name), Some(data), Some(column), size, Some(nullable), Some(key), None, Some(""), Some("")]
    };
    Ok(vec![
        row("id", "bigint", "bigint(20)", Some("19"), "NO", "PRI"),
        row("paid", "tinyint", "tinyint(1)", None, "YES", ""),
        row("price", "decimal", "decimal(10, 2)", Some("10"), "YES", ""),
        row("tags", "array", "array<varchar(20)>", None, "YES", ""),
    ])
}

#[tokio::test]
async fn a_table_is_described_with_its_model_key_and_types() {
    let server =
        FakeServer::start(|_, sql| if sql.contains("'t'") || sql.contains("\"t\"") { orders() } else { Ok(vec![]) })
            .await;
    let metadata = server.metadata();
    let table = metadata.describe(&TableName::new("d", "t")).await.unwrap().unwrap();
    assert_eq!((table.model, table.key_names()), (TableModel::Primary, vec!["id"]));
    let types: Vec<_> = table.columns.iter().map(|c| c.data_type.to_string()).collect();
    assert_eq!(types, ["BIGINT", "BOOLEAN", "DECIMAL(10, 2)", "ARRAY<VARCHAR(20)>"]);
    let schema = table.schema();
    assert_eq!((schema.primary_key_names(), &schema.columns[1].data_type.logical), (vec!["id"], &LogicalType::Boolean));
    assert!(!schema.columns[0].data_type.nullable);
    assert!(metadata.describe(&TableName::new("d", "none")).await.unwrap().is_none());
    assert!(server.statements().iter().all(|s| s.starts_with("SELECT COLUMN_NAME")), "the driver asks nothing itself");
}

#[tokio::test]
async fn statements_are_refused_with_the_servers_words_and_connections_are_replaced() {
    let server = FakeServer::start(|n, sql| match n {
        _ if sql.starts_with("CREATE") => Err((1064, "Unexpected input")),
        // The connection breaks.
        1 => Err((0, "")),
        _ => Ok(vec![vec![Some("3.5.2-abcdef1")]]),
    })
    .await;
    let metadata = server.metadata();
    assert_eq!(metadata.version().await.unwrap().minor, 5);
    assert_eq!(metadata.version().await.unwrap().minor, 5, "a broken connection is replaced for a question");
    let error = metadata.execute("CREATE TABLE x").await.unwrap_err();
    assert_eq!((error.kind, error.chain().contains("Unexpected input")), (ErrorKind::Refused, true));
    let nobody = ClientConfig::new("x").unwrap().with_jdbc_url("jdbc:mysql://127.0.0.1:1").unwrap();
    assert_eq!(Metadata::new(&nobody).unwrap().version().await.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn columns_are_added_once_and_waited_for() {
    let server = FakeServer::start(|n, sql| {
        if sql.starts_with("SELECT") {
            orders()
        } else if sql.starts_with("SHOW ALTER") {
            let state = if n < 4 { "RUNNING" } else { "FINISHED" };
            Ok(vec![vec![Some("7"), Some("t"), Some(state), Some("")]])
        } else {
            Ok(vec![])
        }
    })
    .await;
    let table = TableName::new("d", "t");
    let columns =
        [ColumnDefinition::new("price", StarRocksType::Int), ColumnDefinition::new("note", StarRocksType::Varchar(10))];
    server.metadata().add_columns(&table, &columns, Duration::from_secs(60)).await.unwrap();
    let statements = server.statements();
    assert_eq!(
        statements[1],
        "ALTER TABLE `d`.`t` ADD COLUMN `note` VARCHAR(10) NULL PROPERTIES (\"timeout\" = \"60\")"
    );
    assert_eq!(statements.len(), 5);
}

#[tokio::test]
async fn grants_tell_who_may_insert() {
    for (grants, expected) in [
        (vec!["GRANT ALL ON *.* TO 'root'@'%'"], Some(true)),
        (vec!["GRANT SELECT, INSERT ON TABLE d.t TO USER 'u'@'%'"], Some(true)),
        (vec!["GRANT INSERT ON ALL TABLES IN DATABASE d TO USER 'u'@'%'"], Some(true)),
        (vec!["GRANT SELECT ON TABLE d.t TO USER 'u'@'%'"], Some(false)),
        (vec!["GRANT 'root' TO 'u'@'%'"], None),
    ] {
        let shown = grants.clone();
        let server =
            FakeServer::start(move |_, _| Ok(grants.iter().map(|g| vec![Some("'u'@'%'"), None, Some(*g)]).collect()))
                .await;
        let found = server.metadata().may_insert(&TableName::new("d", "t")).await.unwrap();
        assert_eq!(found, expected, "{shown:?}");
    }
}

#[tokio::test]
async fn rows_are_read_into_typed_batches() {
    let server = FakeServer::start(|_, sql| {
        if sql.starts_with("SHOW TABLETS") {
            return Ok(vec![vec![Some("12"), Some("x")], vec![Some("11"), Some("x")], vec![Some("12"), Some("y")]]);
        }
        let row =
            |id| vec![Some(id), Some("1"), Some("12.50"), Some("2024-01-31 10:20:30.5"), Some("2024-01-31"), None];
        Ok(vec![row("1"), row("2"), row("3")])
    })
    .await;
    let types = [
        ("id", LogicalType::BigInt),
        ("paid", LogicalType::Boolean),
        ("price", LogicalType::Decimal(10, 2)),
        ("at", LogicalType::Timestamp(6)),
        ("day", LogicalType::Date),
        ("note", LogicalType::STRING),
    ];
    let schema = Schema::new(types.into_iter().map(|(n, t)| Column::new(n, DataType::nullable(t))).collect());
    let metadata = server.metadata();
    let mut rows = metadata.read("SELECT …", &schema, 2).await.unwrap();
    let first = rows.next_batch().await.unwrap().unwrap();
    let second = rows.next_batch().await.unwrap().unwrap();
    assert_eq!((first.num_rows(), second.num_rows(), rows.next_batch().await.unwrap().is_none()), (2, 1, true));
    let options = arrow::util::display::FormatOptions::new().with_null("NULL");
    let shown: Vec<_> = second
        .columns()
        .iter()
        .map(|c| arrow::util::display::ArrayFormatter::try_new(c.as_ref(), &options).unwrap().value(0).to_string())
        .collect();
    assert_eq!(shown, ["3", "true", "12.50", "2024-01-31T10:20:30.500", "2024-01-31", "NULL"]);
    assert_eq!(metadata.tablets(&TableName::new("d", "t")).await.unwrap(), [11, 12]);
    let wrong = Schema::new(vec![Column::new("id", DataType::nullable(LogicalType::Date))]);
    let error = metadata.read("SELECT …", &wrong, 2).await.unwrap().next_batch().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Data);
}
