//! BITMAP and HLL values as bytes: a 64-bit roaring bitmap, and a HyperLogLog of 2^14 registers
//! kept as a list of (register, rank) while it is small.

use roaring::RoaringTreemap;

use crate::types::SqlType;
use crate::value::Value;

const REGISTERS: usize = 1 << 14;
const SPARSE: u8 = 1;
const DENSE: u8 = 2;

pub fn bitmap_read(bytes: &[u8]) -> RoaringTreemap {
    RoaringTreemap::deserialize_from(bytes).unwrap_or_default()
}

pub fn bitmap_write(map: &RoaringTreemap) -> Vec<u8> {
    let mut out = Vec::with_capacity(map.serialized_size());
    // Writing into memory cannot fail.
    let _ = map.serialize_into(&mut out);
    out
}

pub fn bitmap_union(a: &[u8], b: &[u8]) -> Vec<u8> {
    bitmap_write(&(bitmap_read(a) | bitmap_read(b)))
}

/// `1,3,5`
pub fn bitmap_text(map: &RoaringTreemap) -> String {
    let mut out = String::new();
    for v in map {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(itoa::Buffer::new().format(v));
    }
    out
}

/// `1, 3,5` → bitmap; None when a part is no number.
pub fn bitmap_of_text(text: &str) -> Option<RoaringTreemap> {
    let mut map = RoaringTreemap::new();
    if text.trim().is_empty() {
        return Some(map);
    }
    for part in text.split(',').filter(|p| !p.trim().is_empty()) {
        map.insert(part.trim().parse().ok()?);
    }
    Some(map)
}

/// A HyperLogLog.
#[derive(Clone)]
pub struct Hll(Vec<u8>);

impl Default for Hll {
    fn default() -> Self {
        Self(vec![0; REGISTERS])
    }
}

impl Hll {
    pub fn read(bytes: &[u8]) -> Hll {
        let mut hll = Hll::default();
        match bytes.split_first() {
            Some((&SPARSE, rest)) => {
                for e in rest.chunks_exact(3) {
                    let at = usize::from(u16::from_le_bytes([e[0], e[1]])) % REGISTERS;
                    hll.0[at] = hll.0[at].max(e[2]);
                }
            }
            Some((&DENSE, rest)) if rest.len() == REGISTERS => hll.0.copy_from_slice(rest),
            _ => {}
        }
        hll
    }

    pub fn write(&self) -> Vec<u8> {
        let used = self.0.iter().filter(|r| **r > 0).count();
        if used * 3 < REGISTERS {
            let mut out = Vec::with_capacity(1 + used * 3);
            out.push(SPARSE);
            for (i, r) in self.0.iter().enumerate().filter(|(_, r)| **r > 0) {
                out.extend_from_slice(&(i as u16).to_le_bytes());
                out.push(*r);
            }
            return out;
        }
        let mut out = Vec::with_capacity(1 + REGISTERS);
        out.push(DENSE);
        out.extend_from_slice(&self.0);
        out
    }

    pub fn add_hash(&mut self, hash: u64) {
        let at = (hash as usize) & (REGISTERS - 1);
        let rank = ((hash >> 14) | (1 << 50)).trailing_zeros() as u8 + 1;
        self.0[at] = self.0[at].max(rank);
    }

    pub fn merge(&mut self, other: &Hll) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = (*a).max(*b);
        }
    }

    /// The estimate of distinct values, with StarRocks' corrections.
    pub fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum: f32 = self.0.iter().map(|r| 2f32.powi(-i32::from(*r))).sum();
        let zeros = self.0.iter().filter(|r| **r == 0).count();
        let alpha = 0.7213f32 / (1.0 + 1.079f32 / REGISTERS as f32);
        let mut v = f64::from(alpha * REGISTERS as f32 * REGISTERS as f32 * (1.0 / sum));
        if v <= 2.5 * m && zeros > 0 {
            v = m * f64::from((REGISTERS as f32 / zeros as f32).ln());
        } else if v < 72_000.0 {
            let bias = 5.9119e-18 * v.powi(4) - 1.4253e-12 * v.powi(3) + 1.2940e-7 * v * v - 5.2921e-3 * v + 83.3216;
            v -= v * (bias / 100.0);
        }
        (v + 0.5) as u64
    }
}

/// The bytes of a value that StarRocks' distinct counts hash: numbers as they lie in memory.
pub fn hashed_bytes(v: &Value, t: &SqlType) -> Vec<u8> {
    match (v, t) {
        (Value::Bool(b), _) => vec![u8::from(*b)],
        (Value::Int(n), SqlType::TinyInt) => (*n as i8).to_le_bytes().to_vec(),
        (Value::Int(n), SqlType::SmallInt) => (*n as i16).to_le_bytes().to_vec(),
        (Value::Int(n), SqlType::Int) => (*n as i32).to_le_bytes().to_vec(),
        (Value::Int(n), SqlType::LargeInt) => n.to_le_bytes().to_vec(),
        (Value::Int(n), _) => (*n as i64).to_le_bytes().to_vec(),
        (Value::Float(f), _) => f.to_le_bytes().to_vec(),
        (Value::Double(f), _) => f.to_le_bytes().to_vec(),
        (Value::Decimal(n, _), SqlType::Decimal(p, _)) => {
            let bytes = n.to_le_bytes();
            let width = if *p <= 9 {
                4
            } else if *p <= 18 {
                8
            } else if *p <= 38 {
                16
            } else {
                32
            };
            bytes[..width].to_vec()
        }
        (Value::Bytes(b), _) => b.clone(),
        (other, _) => other.as_text().unwrap_or_default().into_bytes(),
    }
}

/// Seed of the hashes of HLL.
pub const HLL_SEED: u64 = 0xadc8_3b19;

pub fn hll_union(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut x = Hll::read(a);
    x.merge(&Hll::read(b));
    x.write()
}

/// MurmurHash64A, the hash HLL and bitmap_hash64 use.
pub fn murmur64(data: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut h = seed ^ (data.len() as u64).wrapping_mul(M);
    let mut chunks = data.chunks_exact(8);
    for c in &mut chunks {
        let mut k = u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]);
        k = k.wrapping_mul(M);
        k ^= k >> 47;
        k = k.wrapping_mul(M);
        h ^= k;
        h = h.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (i, b) in rest.iter().enumerate() {
            h ^= u64::from(*b) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 47;
    h = h.wrapping_mul(M);
    h ^ (h >> 47)
}

/// MurmurHash3 x86 32-bit.
pub fn murmur3_32(data: &[u8], seed: u32) -> u32 {
    let (c1, c2) = (0xcc9e_2d51u32, 0x1b87_3593u32);
    let mut h = seed;
    let mut chunks = data.chunks_exact(4);
    for c in &mut chunks {
        let mut k = u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        k = k.wrapping_mul(c1).rotate_left(15).wrapping_mul(c2);
        h ^= k;
        h = h.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = chunks.remainder();
    let mut k = 0u32;
    for (i, b) in rest.iter().enumerate() {
        k |= u32::from(*b) << (8 * i);
    }
    if !rest.is_empty() {
        h ^= k.wrapping_mul(c1).rotate_left(15).wrapping_mul(c2);
    }
    h ^= data.len() as u32;
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_counts_distinct_values_within_two_percent() {
        let mut hll = Hll::default();
        for i in 0..100_000u64 {
            hll.add_hash(murmur64(&i.to_le_bytes(), 1));
        }
        let n = Hll::read(&hll.write()).estimate() as f64;
        assert!((n - 100_000.0).abs() < 2_000.0, "{n}");
    }

    #[test]
    fn murmur3_gives_the_known_values() {
        assert_eq!(murmur3_32(b"", 0), 0);
        assert_eq!(murmur3_32(b"hello", 0), 0x248b_fa47);
    }
}
