//! Compressed bodies. On a fast network they cost more than they save; between data centres they pay.

use std::io::Write;

use starweir_model::{Error, Result};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    Lz4Frame,
    Gzip,
    Zstd,
}

impl Compression {
    /// From the header `compression`, or from `format` of CSV loads; None for a name that is no compression.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "lz4_frame" | "lz4" => Some(Self::Lz4Frame),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The load header for it: CSV loads name the compression as their format, JSON loads in a header of its own.
    pub fn header(self, json: bool) -> (String, String) {
        let (name, frame) = match self {
            Self::Lz4Frame => ("lz4", "lz4_frame"),
            Self::Gzip => ("gzip", "gzip"),
            Self::Zstd => ("zstd", "zstd"),
        };
        if json { ("compression".into(), frame.into()) } else { ("format".into(), name.into()) }
    }

    /// A whole body, compressed. Frames may be put one after the other.
    pub fn compress(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let failed = |e: std::io::Error| Error::internal("a body could not be compressed").with_source(e);
        match self {
            Self::Lz4Frame => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes).map_err(failed)?;
                encoder.finish().map_err(|e| Error::internal("a body could not be compressed").with_source(e))
            }
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).map_err(failed)?;
                encoder.finish().map_err(failed)
            }
            Self::Zstd => zstd::bulk::compress(bytes, 1).map_err(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn bodies_come_out_as_they_went_in() {
        let body = b"1,a\n2,b\n".repeat(1000);
        let lz4 = Compression::Lz4Frame.compress(&body).unwrap();
        let mut back = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&lz4[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
        let gzip = Compression::Gzip.compress(&body).unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
        let zstd = Compression::Zstd.compress(&body).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, body.len()).unwrap(), body);
        assert!(lz4.len() < body.len() / 10);
        assert_eq!(Compression::from_name("LZ4_FRAME").unwrap().header(true).1, "lz4_frame");
    }
}
