//! Child processes that never outlive their owner.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A port nobody listens on at the moment, on the loopback address.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Asks again until the fact holds; an error after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut fact: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        if fact()? {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed when dropped.
pub struct Server {
    child: Child,
    name: String,
    /// Kept open, so that the process can go on writing.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts it and waits for a line on standard output that begins with `ready`; gives that line.
    pub fn start(name: &str, command: &mut Command, ready: &str) -> Result<(Self, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                let status = child.wait()?;
                bail!("{name} ended before it was ready: {status}");
            }
            if line.starts_with(ready) {
                break;
            }
        }
        Ok((Self { child, name: name.to_owned(), _stdout: Some(reader) }, line.trim_end().to_owned()))
    }

    /// Starts it without waiting.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("{name} could not be started"))?;
        Ok(Self { child, name: name.to_owned(), _stdout: None })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit code once it has ended; a signal counts as 128 and its number.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.try_wait().with_context(|| self.name.clone())?;
        Ok(status.map(|s| s.code().unwrap_or_else(|| 128 + s.signal().unwrap_or(0))))
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The polite request to end, and waits; kill -9 after `limit`.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<i32>> {
        // SAFETY: a signal to our own child, which we have not waited for yet.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(code) = self.ended()? {
                return Ok(Some(code));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        Ok(None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
