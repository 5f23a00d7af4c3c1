//! BITMAP and HLL functions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roaring::{RoaringBitmap, RoaringTreemap};

use super::array::{ITEMS_MAX, items};
use super::{Args, Function, bigint, binary, bitmap, boolean, hll, largeint, lenient, strict, string};
use crate::error::SqlResult;
use crate::sketch::{self, Hll, bitmap_of_text, bitmap_read, bitmap_text, bitmap_write};
use crate::types::SqlType;
use crate::value::Value;

fn bits(v: &Value) -> RoaringTreemap {
    match v {
        Value::Bytes(b) => bitmap_read(b),
        _ => RoaringTreemap::new(),
    }
}

fn of_bits(m: &RoaringTreemap) -> SqlResult<Value> {
    Ok(Value::Bytes(bitmap_write(m)))
}

fn array_bigint(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(SqlType::BigInt)))
}

fn hll_of(v: &Value) -> Vec<u8> {
    let mut h = Hll::default();
    if !v.is_null() {
        h.add_hash(sketch::murmur64(v.as_text().unwrap_or_default().as_bytes(), 0xadc8_3b19));
    }
    h.write()
}

fn number(v: &Value) -> Option<u64> {
    v.as_i128().and_then(|n| u64::try_from(n).ok())
}

fn array_bitmap(_: &Args<'_>) -> SqlResult<SqlType> {
    Ok(SqlType::Array(Box::new(SqlType::Bitmap)))
}

/// First bytes of StarRocks' exchange form of a bitmap.
mod tag {
    pub const EMPTY: u8 = 0;
    pub const SINGLE32: u8 = 1;
    pub const BITMAP32: u8 = 2;
    pub const SINGLE64: u8 = 3;
    pub const BITMAP64: u8 = 4;
    pub const SET: u8 = 10;
    /// Up to so many values are a SET.
    pub const SET_MAX: u64 = 32;
}

/// The bytes other StarRocks tools read and write, as `bitmap_to_binary` gives them.
fn exchange(map: &RoaringTreemap) -> Vec<u8> {
    let mut out = Vec::new();
    match (map.len(), map.max()) {
        (0, _) | (_, None) => out.push(tag::EMPTY),
        (1, Some(v)) => match u32::try_from(v) {
            Ok(small) => {
                out.push(tag::SINGLE32);
                out.extend_from_slice(&small.to_le_bytes());
            }
            Err(_) => {
                out.push(tag::SINGLE64);
                out.extend_from_slice(&v.to_le_bytes());
            }
        },
        (n, _) if n <= tag::SET_MAX => {
            out.push(tag::SET);
            out.extend_from_slice(&(n as u32).to_le_bytes());
            map.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        _ => {
            let parts: Vec<(u32, RoaringBitmap)> = map
                .bitmaps()
                .map(|(key, part)| {
                    let mut part = part.clone();
                    part.optimize();
                    (key, part)
                })
                .collect();
            let only_small = parts.iter().all(|p| p.0 == 0);
            out.push(if only_small { tag::BITMAP32 } else { tag::BITMAP64 });
            if !only_small {
                let mut n = parts.len();
                while n >= 128 {
                    out.push(n as u8 | 128);
                    n >>= 7;
                }
                out.push(n as u8);
            }
            for (key, part) in parts {
                if !only_small {
                    out.extend_from_slice(&key.to_le_bytes());
                }
                // Writing into memory cannot fail.
                let _ = part.serialize_into(&mut out);
            }
        }
    }
    out
}

/// Reads [`exchange`]; None for other bytes.
fn of_exchange(bytes: &[u8]) -> Option<RoaringTreemap> {
    let (kind, mut rest) = bytes.split_first()?;
    let take = |rest: &mut &[u8], n: usize| -> Option<u64> {
        let (head, tail) = rest.split_at_checked(n)?;
        let mut wide = [0; 8];
        wide[..n].copy_from_slice(head);
        *rest = tail;
        Some(u64::from_le_bytes(wide))
    };
    match *kind {
        tag::EMPTY => Some(RoaringTreemap::new()),
        tag::SINGLE32 => Some([take(&mut rest, 4)?].into_iter().collect()),
        tag::SINGLE64 => Some([take(&mut rest, 8)?].into_iter().collect()),
        tag::SET => {
            let n = take(&mut rest, 4)?;
            (0..n).map(|_| take(&mut rest, 8)).collect()
        }
        tag::BITMAP32 => Some(RoaringTreemap::from_bitmaps([(0, RoaringBitmap::deserialize_from(&mut rest).ok()?)])),
        tag::BITMAP64 => {
            let mut n = 0u64;
            for shift in (0..).step_by(7).take(5) {
                let b = take(&mut rest, 1)?;
                n |= (b & 127) << shift;
                if b < 128 {
                    break;
                }
            }
            let mut parts = Vec::new();
            for _ in 0..n {
                let key = take(&mut rest, 4)? as u32;
                parts.push((key, RoaringBitmap::deserialize_from(&mut rest).ok()?));
            }
            Some(RoaringTreemap::from_bitmaps(parts))
        }
        _ => None,
    }
}

fn some_bits(m: &RoaringTreemap) -> SqlResult<Value> {
    if m.is_empty() { Ok(Value::Null) } else { of_bits(m) }
}

/// Up to |limit| values from `start` on, or down to it when the limit is negative.
fn subset_limit(v: &[Value], _: &[SqlType], _: &SqlType) -> SqlResult<Value> {
    let m = bits(&v[0]);
    let (Some(start), Some(limit)) = (v[1].as_i64(), v[2].as_i64()) else { return Ok(Value::Null) };
    let n = limit.unsigned_abs() as usize;
    let out: RoaringTreemap = if limit >= 0 {
        let from = start.max(0) as u64;
        m.iter().filter(|x| *x >= from).take(n).collect()
    } else {
        match u64::try_from(start) {
            Ok(from) => m.iter().rev().filter(|x| *x <= from).take(n).collect(),
            Err(_) => RoaringTreemap::new(),
        }
    };
    some_bits(&out)
}

pub const FUNCTIONS: &[Function] = &[
    strict("to_bitmap", bitmap, |v, _, _| match number(&v[0]) {
        Some(n) => of_bits(&[n].into_iter().collect()),
        None => Ok(Value::Null),
    }),
    strict("bitmap_min", largeint, |v, _, _| Ok(bits(&v[0]).min().map_or(Value::Null, Value::int))),
    strict("bitmap_max", largeint, |v, _, _| Ok(bits(&v[0]).max().map_or(Value::Null, Value::int))),
    strict("bitmap_subset_limit", bitmap, subset_limit),
    strict("bitmap_to_binary", binary, |v, _, _| Ok(Value::Bytes(exchange(&bits(&v[0]))))),
    strict("bitmap_from_binary", bitmap, |v, _, _| {
        let bytes = match &v[0] {
            Value::Bytes(b) => b.clone(),
            other => other.as_text().unwrap_or_default().into_bytes(),
        };
        of_exchange(&bytes).map_or(Ok(Value::Null), |m| of_bits(&m))
    }),
    strict("bitmap_to_base64", string, |v, _, _| Ok(Value::Text(BASE64.encode(exchange(&bits(&v[0])))))),
    strict("base64_to_bitmap", bitmap, |v, _, _| {
        let bytes = BASE64.decode(v[0].as_text().unwrap_or_default()).unwrap_or_default();
        of_exchange(&bytes).map_or(Ok(Value::Null), |m| of_bits(&m))
    }),
    strict("__subdivide_bitmap", array_bitmap, |v, _, _| {
        let m = bits(&v[0]);
        let Some(n) = v[1].as_i64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0) else {
            return Ok(Value::Null);
        };
        if m.is_empty() {
            return Ok(Value::List(vec![of_bits(&m)?]));
        }
        let all: Vec<u64> = m.iter().take(ITEMS_MAX as usize).collect();
        let parts = all.chunks(n).map(|c| of_bits(&c.iter().copied().collect())).collect::<SqlResult<_>>()?;
        Ok(Value::List(parts))
    }),
    strict("array_to_bitmap", bitmap, |v, _, _| {
        of_bits(&items(&v[0]).iter().filter_map(|x| x.as_i64().and_then(|n| u64::try_from(n).ok())).collect())
    }),
    lenient("bitmap_hash", bitmap, |v, _, _| {
        of_bits(&v[0].as_text().into_iter().map(|t| u64::from(sketch::murmur3_32(t.as_bytes(), 0x9747_b28c))).collect())
    }),
    lenient("bitmap_hash64", bitmap, |v, _, _| {
        of_bits(&v[0].as_text().into_iter().map(|t| sketch::murmur64(t.as_bytes(), 0)).collect())
    }),
    lenient("bitmap_empty", bitmap, |_, _, _| of_bits(&RoaringTreemap::new())),
    strict("bitmap_from_string", bitmap, |v, _, _| {
        Ok(bitmap_of_text(&v[0].as_text().unwrap_or_default()).map_or(Value::Null, |m| Value::Bytes(bitmap_write(&m))))
    }),
    strict("bitmap_to_string", string, |v, _, _| Ok(Value::Text(bitmap_text(&bits(&v[0]))))),
    strict("bitmap_to_array", array_bigint, |v, _, _| {
        Ok(Value::List(bits(&v[0]).iter().take(ITEMS_MAX as usize).map(|n| Value::int(n as i64)).collect()))
    }),
    lenient("bitmap_count", bigint, |v, _, _| Ok(Value::int(bits(&v[0]).len() as i64))),
    strict("bitmap_contains", boolean, |v, _, _| {
        Ok(Value::Bool(v[1].as_i64().and_then(|n| u64::try_from(n).ok()).is_some_and(|n| bits(&v[0]).contains(n))))
    }),
    strict("bitmap_has_any", boolean, |v, _, _| Ok(Value::Bool(!bits(&v[0]).is_disjoint(&bits(&v[1]))))),
    strict("bitmap_and", bitmap, |v, _, _| of_bits(&v[1..].iter().fold(bits(&v[0]), |a, b| a & bits(b)))),
    strict("bitmap_or", bitmap, |v, _, _| of_bits(&v[1..].iter().fold(bits(&v[0]), |a, b| a | bits(b)))),
    strict("bitmap_xor", bitmap, |v, _, _| of_bits(&(bits(&v[0]) ^ bits(&v[1])))),
    strict("bitmap_andnot", bitmap, |v, _, _| of_bits(&(bits(&v[0]) - bits(&v[1])))),
    strict("bitmap_remove", bitmap, |v, _, _| {
        let mut m = bits(&v[0]);
        if let Some(n) = v[1].as_i64().and_then(|n| u64::try_from(n).ok()) {
            m.remove(n);
        }
        of_bits(&m)
    }),
    strict("sub_bitmap", bitmap, |v, _, _| {
        let m = bits(&v[0]);
        let (from, n) = (v[1].as_i64().unwrap_or(0), v[2].as_i64().unwrap_or(0).max(0) as usize);
        let from = if from < 0 { m.len() as i64 + from } else { from };
        let out: RoaringTreemap = m.iter().skip(from.max(0) as usize).take(n).collect();
        if from < 0 || out.is_empty() { Ok(Value::Null) } else { of_bits(&out) }
    }),
    strict("bitmap_subset_in_range", bitmap, |v, _, _| {
        let (a, b) = (v[1].as_i64().unwrap_or(0).max(0) as u64, v[2].as_i64().unwrap_or(0).max(0) as u64);
        let out: RoaringTreemap = bits(&v[0]).iter().filter(|x| *x >= a && *x < b).collect();
        if out.is_empty() { Ok(Value::Null) } else { of_bits(&out) }
    }),
    // sketches
    lenient("hll_hash", hll, |v, _, _| Ok(Value::Bytes(hll_of(&v[0])))),
    lenient("hll_empty", hll, |_, _, _| Ok(Value::Bytes(Hll::default().write()))),
    lenient("hll_cardinality", bigint, |v, _, _| {
        Ok(match &v[0] {
            Value::Bytes(b) => Value::int(Hll::read(b).estimate() as i64),
            _ => Value::int(0),
        })
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_survive_the_exchange_form() {
        for values in [vec![], vec![7], vec![1 << 34], (1..=32).collect(), (1..=40).collect::<Vec<u64>>()] {
            let map: RoaringTreemap = values.iter().copied().chain(values.iter().map(|v| v << 20)).collect();
            assert_eq!(of_exchange(&exchange(&map)), Some(map));
        }
        let run = exchange(&(1..=40).collect());
        assert_eq!(hex::encode_upper(run), "023B3000000100002700010001002700");
        assert_eq!(of_exchange(b"1234"), None);
        assert_eq!(of_exchange(&[tag::BITMAP64, 9]), None);
    }
}
