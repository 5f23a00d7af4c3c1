//! The manifest: one file per epoch, whose atomic write is the epoch's commit point.
//!
//! Text: one JSON object, a newline, and the CRC-32 of the object's bytes as eight hex digits. Written whole or not
//! at all; a damaged one is refused by name, never skipped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starweir_model::{Epoch, Error, Result};

use crate::sink::Token;
use crate::source::SplitOffsets;

/// The layout this program writes. Older ones are read, newer ones refused.
pub const FORMAT: u32 = 1;

/// Everything a restart needs, as of the end of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub job_id: String,
    pub job_name: String,
    pub epoch: Epoch,
    /// The attempt that wrote it.
    pub generation: u64,
    pub written_ms: i64,
    /// The plan of each insert, to tell what a changed script changed.
    pub plans: Vec<String>,
    pub sources: BTreeMap<String, SourceState>,
    /// Tokens to commit, by sink id. Sinks without rows in this epoch have an empty list.
    pub sinks: BTreeMap<String, Vec<Token>>,
    /// True after the last epoch of a bounded job that read everything.
    #[serde(default)]
    pub finished: bool,
}

/// Where one source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    pub identity: String,
    pub offsets: SplitOffsets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
}

impl Manifest {
    /// The file's text.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)
            .map_err(|e| Error::internal("a manifest could not be written as text").with_source(e))?;
        let sum = crc32fast::hash(&text);
        text.extend_from_slice(format!("\n{sum:08x}\n").as_bytes());
        Ok(text)
    }

    /// Reads what [`Manifest::encode`] wrote. `name` is the file's, for the error.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| {
            Error::internal(format!("manifest {name} is damaged: {what}"))
                .with_hint("restore the state directory from a copy, or start anew with --fresh")
        };
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("its checksum line is missing"))?;
        let (text, sum) = (&bytes[..end], &bytes[end + 1..]);
        let sum = std::str::from_utf8(sum).ok().map(str::trim_end).unwrap_or_default();
        if sum != format!("{:08x}", crc32fast::hash(text)) {
            return Err(damaged("its checksum does not fit"));
        }
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(text).map_err(|_| damaged("it is not a manifest"))?;
        if head.format > FORMAT {
            return Err(Error::user(format!(
                "manifest {name} has format {}, this program reads up to {FORMAT}",
                head.format
            ))
            .with_hint("use the version of starweir that wrote the state directory, or a newer one"));
        }
        serde_json::from_slice(text).map_err(|e| damaged("a field is missing").with_source(e))
    }
}

#[cfg(test)]
pub(crate) fn sample(epoch: u64) -> Manifest {
    use starweir_model::{Offset, SplitId};
    Manifest {
        format: FORMAT,
        job_id: "ab12cd34".into(),
        job_name: "orders".into(),
        epoch: Epoch(epoch),
        generation: 1,
        written_ms: 1_700_000_000_000,
        plans: vec!["insert".into()],
        sources: BTreeMap::from([(
            "orders".to_string(),
            SourceState {
                identity: "filesystem".into(),
                offsets: BTreeMap::from([(SplitId("a.json".into()), Offset("17".into()))]),
                watermark_ms: Some(5),
            },
        )]),
        sinks: BTreeMap::from([("shop.orders".to_string(), vec![Token("{}".into())])]),
        finished: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_any_flipped_byte_is_refused() {
        let manifest = sample(7);
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode("7", &bytes).unwrap(), manifest);
        for at in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::decode("7", &damaged).is_err(), "byte {at}");
        }
        for end in 0..bytes.len() - 1 {
            assert!(Manifest::decode("7", &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_first_released_format_is_still_read() {
        let bytes = include_bytes!("../tests/fixtures/manifest-v1.json");
        let manifest = Manifest::decode("manifest-v1.json", bytes).unwrap();
        assert_eq!(manifest, sample(7));
    }

    #[test]
    fn a_newer_format_is_refused_with_the_way_out() {
        let mut manifest = sample(7);
        manifest.format = FORMAT + 1;
        let error = Manifest::decode("7", &manifest.encode().unwrap()).unwrap_err();
        assert!(error.message.contains("format 2"), "{}", error.message);
    }
}
