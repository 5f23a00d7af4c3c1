//! A scripted FE or BE on the loopback: it does exactly what each test tells it, request by request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number of the connection it came on, from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// How much of the body is read before the answer.
#[derive(Debug, Clone, Copy)]
pub enum Read {
    Nothing,
    Bytes(usize),
    All,
}

/// What to do with one request.
#[derive(Debug, Clone)]
pub struct Reply {
    pub wait: Duration,
    pub say_continue: bool,
    pub read: Read,
    /// None: close without an answer.
    pub answer: Option<String>,
    pub close: bool,
}

impl Reply {
    /// `100 Continue`, the body, then this JSON.
    pub fn json(body: &str) -> Self {
        Self {
            wait: Duration::ZERO,
            say_continue: true,
            read: Read::All,
            answer: Some(response(200, body)),
            close: false,
        }
    }

    /// This JSON at once, the body never read.
    pub fn early(body: &str) -> Self {
        Self { say_continue: false, read: Read::Nothing, close: true, ..Self::json(body) }
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self { answer: Some(response(status, body)), ..Self::early("") }
    }

    pub fn redirect(location: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Self { answer: Some(answer), ..Self::early("") }
    }

    /// `100 Continue`, some of the body, then the end.
    pub fn cut(read: Read) -> Self {
        Self { read, answer: None, close: true, ..Self::json("") }
    }

    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }
}

pub fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The server; it ends with the value.
pub struct Fake {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// `script` gets each request with its number, from 0, over all connections.
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, script) = (seen.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tasks.spawn(serve(stream, connection, shared.clone(), script.clone()));
            }
        });
        Self { address, seen, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `METHOD target` of every request.
    pub fn calls(&self) -> Vec<String> {
        self.seen().iter().map(|s| format!("{} {}", s.method, s.target)).collect()
    }
}

async fn serve<F: Fn(usize, &Seen) -> Reply + Send + Sync>(
    mut stream: TcpStream,
    connection: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<F>,
) {
    let mut input = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = input.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(input.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let mut words = lines.next().unwrap().split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let headers: Vec<_> =
            lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned())).collect();
        let request = Seen { connection, method, target, headers, body: Vec::new() };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let reply = script(number, &request);
        tokio::time::sleep(reply.wait).await;
        if reply.say_continue && request.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        let length = request.header("content-length").map_or(0, |l| l.parse::<usize>().unwrap());
        let wanted = match reply.read {
            Read::Nothing => 0,
            Read::Bytes(n) => n.min(length),
            Read::All => length,
        };
        while input.len() < wanted {
            if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                break;
            }
            seen.lock().unwrap()[number].body = input[..input.len().min(length)].to_vec();
        }
        seen.lock().unwrap()[number].body = input.drain(..input.len().min(length)).collect();
        if let Some(answer) = &reply.answer {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        if reply.close {
            let _ = stream.shutdown().await;
            return;
        }
    }
}
