//! A TCP proxy that misbehaves on demand: answers that get lost after the server acted, bodies cut in the middle.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// What goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next bytes of an answer are swallowed and both sides are cut: the server acted, nobody knows.
    LoseAnswer,
    /// After so many more bytes of a request both sides are cut.
    CutRequest(u64),
}

/// Stands between a client and a server.
pub struct Proxy {
    address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    ended: Arc<AtomicBool>,
    happened: Arc<AtomicU64>,
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            address: listener.local_addr()?,
            faults: Arc::default(),
            ended: Arc::default(),
            happened: Arc::default(),
        };
        let (faults, ended, happened) = (proxy.faults.clone(), proxy.ended.clone(), proxy.happened.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                // A server that is down looks like one: the client's connection is closed.
                let Ok(server) = TcpStream::connect(target) else { continue };
                for (from, to, upstream) in [(&client, &server, true), (&server, &client, false)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let (faults, happened) = (faults.clone(), happened.clone());
                    std::thread::spawn(move || pump(from, to, upstream, &faults, &happened));
                }
            }
        });
        Ok(proxy)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a fault; the first added happens first.
    pub fn inject(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Forgets faults that did not happen.
    pub fn calm(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Faults that happened.
    pub fn happened(&self) -> u64 {
        self.happened.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, upstream: bool, faults: &Mutex<VecDeque<Fault>>, happened: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let mut send = count;
        let mut cut = false;
        {
            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
            match faults.front_mut() {
                Some(Fault::LoseAnswer) if !upstream => {
                    (send, cut) = (0, true);
                }
                Some(Fault::CutRequest(left)) if upstream => {
                    if *left <= count as u64 {
                        (send, cut) = (*left as usize, true);
                    } else {
                        *left -= count as u64;
                    }
                }
                _ => {}
            }
            if cut {
                faults.pop_front();
                happened.fetch_add(1, Ordering::Relaxed);
            }
        }
        if to.write_all(&buffer[..send]).is_err() || cut {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
