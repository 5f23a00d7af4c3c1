//! The stream of the binary log, read ahead of its use by a task of its own, at most a few megabytes.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable as _;
use mysql_async::{BinlogStream, BinlogStreamRequest, Sid};
use starweir_model::{Error, Result};
use tokio::sync::mpsc;

use super::connect::{connect, failed};
use super::events::types;
use super::options::Settings;
use super::position::Place;
use super::server::Server;

/// Events are handed over in portions of about this size; [`PORTIONS`] of them wait at most.
const PORTION_BYTES: usize = 512 << 10;
const PORTIONS: usize = 16;
/// After this many heartbeats without a word the connection is dead.
const SILENT_HEARTBEATS: u32 = 3;

/// Events from one place on. Dropping it ends the connection.
pub(super) struct Pump {
    portions: mpsc::Receiver<Result<Vec<Event>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pump {
    /// Asks for the log from `place` on: by transactions where the server knows them, else by file and position.
    pub async fn start(settings: &Settings, server: &Server, place: &Place, reader_id: u32) -> Result<Self> {
        let doing = "read the binary log";
        let mut conn = connect(settings).await.map_err(|e| e.context(doing))?;
        let nanos = settings.heartbeat.as_nanos().min(4_000_000_000_000);
        let mut set = format!("SET @master_heartbeat_period = {nanos}, @source_heartbeat_period = {nanos}");
        let mut request = BinlogStreamRequest::new(reader_id);
        let file = place.at.file.clone();
        if server.mariadb {
            // Without it GTIDs are replaced by dummies and an XA transaction ends the stream.
            set.push_str(", @mariadb_slave_capability = 4");
            if let Some(list) = place.gtid_list.as_ref().filter(|_| place.at.file.is_empty()) {
                set.push_str(&format!(", @slave_connect_state = '{list}', @slave_gtid_strict_mode = 0"));
            }
        }
        conn.query_drop(set).await.map_err(|e| failed(e).context(doing))?;
        match &place.gtids {
            Some(gtids) => {
                let sids: std::result::Result<Vec<Sid<'static>>, _> = gtids.sources().map(|s| s.parse()).collect();
                let sids = sids.map_err(|e| Error::internal("a GTID set cannot be sent").with_source(e))?;
                request = request.with_gtid().with_gtid_set(sids);
            }
            None => request = request.with_filename(file.as_bytes()).with_pos(place.at.position.max(4)),
        }
        let stream = conn.get_binlog_stream(request).await.map_err(|e| failed(e).context(doing))?;
        let (sender, portions) = mpsc::channel(PORTIONS);
        let silence = settings.heartbeat * SILENT_HEARTBEATS;
        let task = tokio::spawn(run(stream, sender, silence));
        Ok(Self { portions, task })
    }

    /// The next events; waits for them. Cancel-safe.
    pub async fn next(&mut self, into: &mut VecDeque<Event>) -> Result<()> {
        match self.portions.recv().await {
            Some(portion) => {
                into.extend(portion?);
                Ok(())
            }
            None => Err(ended()),
        }
    }

    /// Events that are here already.
    pub fn ready(&mut self, into: &mut VecDeque<Event>) -> Result<()> {
        match self.portions.try_recv() {
            Ok(portion) => into.extend(portion?),
            Err(mpsc::error::TryRecvError::Empty) => {}
            Err(mpsc::error::TryRecvError::Disconnected) => return Err(ended()),
        }
        Ok(())
    }
}

/// When a file of the log was begun, in milliseconds.
pub(super) async fn file_begin_ms(settings: &Settings, file: &str, reader_id: u32) -> Result<i64> {
    let doing = "read the head of a file of the binary log";
    let conn = connect(settings).await.map_err(|e| e.context(doing))?;
    let request = BinlogStreamRequest::new(reader_id).with_filename(file.as_bytes()).with_pos(4);
    let mut stream = conn.get_binlog_stream(request).await.map_err(|e| failed(e).context(doing))?;
    let mut begin = 0;
    while let Ok(Some(event)) = tokio::time::timeout(settings.connect_timeout, stream.next()).await {
        let event = event.map_err(|e| failed(e).context(doing))?;
        if event.header().event_type_raw() == types::FORMAT_DESCRIPTION {
            begin = i64::from(event.header().timestamp()) * 1000;
            break;
        }
    }
    let _ = stream.close().await;
    Ok(begin)
}

fn ended() -> Error {
    Error::unavailable("the server ended the stream of its binary log")
}

async fn run(mut stream: BinlogStream, sender: mpsc::Sender<Result<Vec<Event>>>, silence: Duration) {
    loop {
        let first = match tokio::time::timeout(silence, stream.next()).await {
            Ok(first) => first,
            Err(_) => {
                let message = format!("the server has sent nothing for {silence:?}, not even a heartbeat");
                let _ = sender.send(Err(Error::unavailable(message))).await;
                return;
            }
        };
        let mut portion = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        let mut end = None;
        while let Some(item) = next {
            match item {
                Some(Ok(event)) => {
                    bytes += event.data().len() + 100;
                    portion.push(event);
                }
                Some(Err(error)) => end = Some(failed(error).context("read the binary log")),
                None => end = Some(ended()),
            }
            next = if bytes < PORTION_BYTES && end.is_none() { stream.next().now_or_never() } else { None };
        }
        if !portion.is_empty() && sender.send(Ok(portion)).await.is_err() {
            return;
        }
        if let Some(error) = end {
            let _ = sender.send(Err(error)).await;
            return;
        }
    }
}
