//! Time, handed in: libraries never read the wall clock by themselves.

use std::time::{SystemTime, UNIX_EPOCH};

/// What the time is. Milliseconds since 1970-01-01 UTC.
pub trait Clock: Send + Sync {
    fn now_ms(&self) -> i64;
}

/// The machine's clock, for the binary to hand in.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
    }
}
