//! Reads the stream of a slot and keeps the server informed, whatever the reader is doing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use starweir_model::{Clock, Error, Result};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::options::Settings;
use super::wire::{Wire, damaged, failed, standby_status};

/// So many parts of up to so many bytes wait for the reader; then the server has to.
const PARTS: usize = 16;
const PART_BYTES: usize = 256 * 1024;
/// Milliseconds between 1970 and 2000, PostgreSQL's first day.
pub(super) const EPOCH_MS: i64 = 946_684_800_000;

/// Something of the stream.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A message of pgoutput.
    Message(Bytes),
    /// Everything before this position was sent.
    Alive(u64),
}

/// A running stream; stops when dropped.
pub(super) struct Pump {
    receiver: mpsc::Receiver<Result<Vec<Item>>>,
    flushed: Arc<AtomicU64>,
    changed: Arc<Notify>,
    task: AbortHandle,
}

impl Pump {
    /// Begins to stream from a position on.
    pub async fn start(settings: &Arc<Settings>, clock: &Arc<dyn Clock>, from: u64) -> Result<Self> {
        // The server notices only after a moment that an earlier reader has gone.
        let mut wire = Wire::connect(settings, true).await?;
        let mut attempt = 0;
        while let Err(error) = wire.start_replication(settings, from).await {
            attempt += 1;
            if attempt > 50 || !error.message.contains("55006") {
                return Err(error.context(format!("read from replication slot {}", settings.slot)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (sender, receiver) = mpsc::channel(PARTS);
        let (flushed, changed) = (Arc::new(AtomicU64::new(from)), Arc::new(Notify::new()));
        let state = Stream {
            wire,
            clock: clock.clone(),
            flushed: flushed.clone(),
            changed: changed.clone(),
            received: from,
            every: (settings.heartbeat / 3).min(Duration::from_secs(10)),
            silence: settings.heartbeat * 3,
        };
        let task = tokio::spawn(state.run(sender)).abort_handle();
        Ok(Self { receiver, flushed, changed, task })
    }

    /// Everything before is committed: the server may forget it.
    pub fn acknowledge(&self, lsn: u64) {
        self.flushed.fetch_max(lsn, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// What has arrived; waits for nothing.
    pub fn ready(&mut self, inbox: &mut VecDeque<Item>) -> Result<()> {
        match self.receiver.try_recv() {
            Ok(items) => inbox.extend(items?),
            Err(mpsc::error::TryRecvError::Empty) => {}
            Err(mpsc::error::TryRecvError::Disconnected) => return Err(ended()),
        }
        Ok(())
    }

    /// Waits for the next part. Cancel-safe.
    pub async fn next(&mut self, inbox: &mut VecDeque<Item>) -> Result<()> {
        inbox.extend(self.receiver.recv().await.ok_or_else(ended)??);
        Ok(())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ended() -> Error {
    Error::unavailable("the stream of changes has ended")
}

struct Stream {
    wire: Wire,
    clock: Arc<dyn Clock>,
    flushed: Arc<AtomicU64>,
    changed: Arc<Notify>,
    received: u64,
    every: Duration,
    silence: Duration,
}

impl Stream {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<Item>>>) {
        if let Err(error) = self.pump(&sender).await {
            // Nobody to tell when the reader has gone.
            let _ = sender.send(Err(error)).await;
        }
    }

    async fn pump(&mut self, sender: &mpsc::Sender<Result<Vec<Item>>>) -> Result<()> {
        let mut timer = tokio::time::interval(self.every);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = tokio::time::Instant::now();
        let mut part: Vec<Item> = Vec::new();
        loop {
            let full = !part.is_empty();
            tokio::select! {
                biased;
                permit = sender.reserve(), if full => match permit {
                    Ok(permit) => permit.send(Ok(std::mem::take(&mut part))),
                    Err(_) => return Ok(()),
                },
                () = self.changed.notified() => self.tell(false).await?,
                _ = timer.tick() => {
                    // While the reader holds us up, silence is our own.
                    let silent = heard.elapsed();
                    if !full && silent > self.silence {
                        return Err(Error::unavailable(format!("PostgreSQL has been silent for {silent:?}")));
                    }
                    self.tell(!full && silent > self.every * 2).await?;
                }
                frame = self.wire.next(), if !full => {
                    let mut frame = frame?;
                    heard = tokio::time::Instant::now();
                    let mut bytes = 0;
                    let mut asked = false;
                    loop {
                        bytes += frame.body.len();
                        asked |= self.take(frame.tag, frame.body, &mut part)?;
                        if bytes >= PART_BYTES {
                            break;
                        }
                        match self.wire.buffered()? {
                            Some(next) => frame = next,
                            None => break,
                        }
                    }
                    if asked {
                        self.tell(false).await?;
                    }
                }
            }
        }
    }

    /// Reads one message; true when the server wants to hear of us.
    fn take(&mut self, tag: u8, mut body: Bytes, part: &mut Vec<Item>) -> Result<bool> {
        match tag {
            b'd' => {}
            b'E' => return Err(failed(&body)),
            b'N' | b'S' => return Ok(false),
            b'c' | b'C' => return Err(Error::unavailable("PostgreSQL has ended the stream of changes")),
            _ => return Err(damaged()),
        }
        match body.first() {
            Some(b'w') if body.len() > 25 => {
                body.advance(1);
                let start = body.get_u64();
                self.received = self.received.max(start);
                body.advance(16);
                part.push(Item::Message(body));
                Ok(false)
            }
            Some(b'k') if body.len() == 18 => {
                body.advance(1);
                let end = body.get_u64();
                self.received = self.received.max(end);
                body.advance(8);
                part.push(Item::Alive(end));
                Ok(body.get_u8() == 1)
            }
            _ => Err(damaged()),
        }
    }

    async fn tell(&mut self, reply: bool) -> Result<()> {
        let flushed = self.flushed.load(Ordering::Relaxed);
        let now = (self.clock.now_ms() - EPOCH_MS) * 1000;
        let status = standby_status(self.received.max(flushed), flushed, now, reply);
        self.wire.send(&status).await
    }
}
