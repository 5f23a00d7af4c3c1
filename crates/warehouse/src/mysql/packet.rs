//! Packets: framing, integers, strings. Everything a client sends is checked, never trusted.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};

/// A packet part of this length is followed by another.
const PART_MAX: usize = 0xff_ffff;

/// A connection, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The next packet; None when the client has gone. No byte after it is taken.
pub async fn read_packet(
    reader: &mut (impl AsyncRead + Unpin),
    limit: usize,
    sequence: &mut u8,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    loop {
        let mut head = [0u8; 4];
        match reader.read_exact(&mut head).await {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        *sequence = head[3].wrapping_add(1);
        if out.len() + length > limit {
            return Err(std::io::Error::other("the packet is longer than max_allowed_packet"));
        }
        let at = out.len();
        out.resize(at + length, 0);
        reader.read_exact(&mut out[at..]).await?;
        if length < PART_MAX {
            return Ok(Some(out));
        }
    }
}

pub async fn write_packet(
    writer: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
    sequence: &mut u8,
) -> std::io::Result<()> {
    let mut rest = body;
    loop {
        let n = rest.len().min(PART_MAX);
        let head = [n as u8, (n >> 8) as u8, (n >> 16) as u8, *sequence];
        *sequence = sequence.wrapping_add(1);
        writer.write_all(&head).await?;
        writer.write_all(&rest[..n]).await?;
        rest = &rest[n..];
        if n < PART_MAX {
            return Ok(());
        }
    }
}

/// A connection that reads and writes whole packets.
pub struct Packets {
    stream: BufStream<Box<dyn Duplex>>,
    pub sequence: u8,
    /// Longest packet accepted, in bytes (`max_allowed_packet`).
    pub limit: usize,
}

impl Packets {
    pub fn new(stream: impl Duplex + 'static, limit: usize) -> Self {
        Self { stream: BufStream::with_capacity(8 << 10, 64 << 10, Box::new(stream)), sequence: 0, limit }
    }

    /// The next packet; None when the client has gone.
    pub async fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        read_packet(&mut self.stream, self.limit, &mut self.sequence).await
    }

    pub async fn write(&mut self, body: &[u8]) -> std::io::Result<()> {
        write_packet(&mut self.stream, body, &mut self.sequence).await
    }

    pub async fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush().await
    }
}

/// Reads fields of a packet; None when it is too short.
pub struct Reader<'a> {
    pub data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        if n > self.data.len() {
            return None;
        }
        let (a, b) = self.data.split_at(n);
        self.data = b;
        Some(a)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    pub fn uint(&mut self, n: usize) -> Option<u64> {
        Some(self.bytes(n)?.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b)))
    }

    pub fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            0xfc => self.uint(2),
            0xfd => self.uint(3),
            0xfe => self.uint(8),
            0xfb | 0xff => None,
            n => Some(u64::from(n)),
        }
    }

    pub fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.lenenc()?).ok()?;
        self.bytes(n)
    }

    pub fn until_zero(&mut self) -> Option<&'a [u8]> {
        let n = self.data.iter().position(|b| *b == 0)?;
        let out = self.bytes(n);
        self.u8();
        out
    }
}

pub fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

pub fn put_bytes(out: &mut Vec<u8>, b: &[u8]) {
    put_lenenc(out, b.len() as u64);
    out.extend_from_slice(b);
}
