//! MySQL's geometry values (srid, then WKB) as JSON text, in Flink CDC's form.

use std::fmt::Write as _;

use super::bytes::{Broken, Bytes, Read};

const NAMES: [&str; 8] =
    ["", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"];

/// Collections in collections; more is damage.
const DEPTH_MAX: u32 = 64;

/// Appends `{"coordinates":[1,1],"type":"Point","srid":0}`.
pub(crate) fn to_text(value: &[u8], out: &mut String) -> Read<()> {
    let mut bytes = Bytes::new(value);
    let srid = bytes.uint(4)? as u32;
    let (big, kind) = head(&mut bytes)?;
    out.push_str(if kind == 7 { "{\"geometries\":" } else { "{\"coordinates\":" });
    body(&mut bytes, big, kind, out, 0)?;
    let _ = write!(out, ",\"type\":\"{}\",\"srid\":{srid}}}", NAMES[kind]);
    Ok(())
}

fn head(bytes: &mut Bytes<'_>) -> Read<(bool, usize)> {
    let big = bytes.u8()? == 0;
    let kind = count(bytes, big)?;
    if (1..=7).contains(&kind) { Ok((big, kind)) } else { Err(Broken) }
}

fn count(bytes: &mut Bytes<'_>, big: bool) -> Read<usize> {
    Ok(if big { bytes.uint_be(4)? } else { bytes.uint(4)? } as usize)
}

fn body(bytes: &mut Bytes<'_>, big: bool, kind: usize, out: &mut String, depth: u32) -> Read<()> {
    if depth > DEPTH_MAX {
        return Err(Broken);
    }
    if kind == 1 {
        return point(bytes, big, out);
    }
    let items = count(bytes, big)?;
    out.push('[');
    for i in 0..items {
        if i > 0 {
            out.push(',');
        }
        match kind {
            2 => point(bytes, big, out)?,
            3 => body(bytes, big, 2, out, depth + 1)?,
            4..=6 => {
                let (big, inner) = head(bytes)?;
                body(bytes, big, inner, out, depth + 1)?;
            }
            _ => {
                let (big, inner) = head(bytes)?;
                let member = if inner == 7 { "geometries" } else { "coordinates" };
                let _ = write!(out, "{{\"type\":\"{}\",\"{member}\":", NAMES[inner]);
                body(bytes, big, inner, out, depth + 1)?;
                out.push('}');
            }
        }
    }
    out.push(']');
    Ok(())
}

fn point(bytes: &mut Bytes<'_>, big: bool, out: &mut String) -> Read<()> {
    let mut number = || -> Read<f64> { Ok(f64::from_bits(if big { bytes.uint_be(8)? } else { bytes.uint(8)? })) };
    let (x, y) = (number()?, number()?);
    let _ = write!(out, "[{x},{y}]");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_and_a_collection() {
        let point = |x: f64, y: f64| {
            let mut out = vec![1, 1, 0, 0, 0];
            out.extend(x.to_le_bytes());
            out.extend(y.to_le_bytes());
            out
        };
        let mut value = vec![0xe6, 0x10, 0, 0];
        value.extend(point(1.0, -2.5));
        let mut out = String::new();
        to_text(&value, &mut out).unwrap();
        assert_eq!(out, r#"{"coordinates":[1,-2.5],"type":"Point","srid":4326}"#);
        let mut value = vec![0, 0, 0, 0, 1, 7, 0, 0, 0, 1, 0, 0, 0];
        value.extend(point(3.0, 4.0));
        out.clear();
        to_text(&value, &mut out).unwrap();
        assert_eq!(
            out,
            r#"{"geometries":[{"type":"Point","coordinates":[3,4]}],"type":"GeometryCollection","srid":0}"#
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(0u8..9, 0..80)) {
            let _ = to_text(&value, &mut String::new());
        }
    }
}
