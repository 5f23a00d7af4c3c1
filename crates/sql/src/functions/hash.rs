//! Digests of text and bytes.

use arrow::datatypes::Int32Type;
use md5::Digest as _;
use starweir_model::{Error, LogicalType as L};

use super::{Function, Invocation, bytes_at, i32_at, num_kernel, text_kernel};
use crate::bind::expr::convert;
use crate::eval::Typed;
use crate::parser::Parse;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "MD5", arity: (1, 1), bind: |c| digest(c, 32, |b| hex::encode(md5::Md5::digest(b))) },
    Function { name: "SHA1", arity: (1, 1), bind: |c| digest(c, 40, |b| hex::encode(sha1::Sha1::digest(b))) },
    Function { name: "SHA224", arity: (1, 1), bind: |c| digest(c, 56, |b| hex::encode(sha2::Sha224::digest(b))) },
    Function { name: "SHA256", arity: (1, 1), bind: |c| digest(c, 64, |b| hex::encode(sha2::Sha256::digest(b))) },
    Function { name: "SHA384", arity: (1, 1), bind: |c| digest(c, 96, |b| hex::encode(sha2::Sha384::digest(b))) },
    Function { name: "SHA512", arity: (1, 1), bind: |c| digest(c, 128, |b| hex::encode(sha2::Sha512::digest(b))) },
    Function { name: "SHA2", arity: (2, 2), bind: sha2_of },
    Function { name: "HASH_CODE", arity: (1, 1), bind: hash_code },
];

fn input(c: &mut Invocation<'_>) -> Parse<()> {
    if c.args[0].is_null_literal() {
        c.args[0] = convert(c.args[0].clone(), &L::STRING);
    }
    let logical = &c.args[0].data_type.logical;
    if logical.is_character() || logical.is_binary() { Ok(()) } else { Err(c.mismatch(0, "text or bytes")) }
}

fn digest(mut c: Invocation<'_>, length: u32, f: fn(&[u8]) -> String) -> Parse<Typed> {
    input(&mut c)?;
    let data_type = c.strict_type(L::Char(length));
    Ok(c.finish(data_type, text_kernel(move |_, args, row| Ok(Some(f(bytes_at(args, 0, row)))))).total())
}

fn sha2_of(mut c: Invocation<'_>) -> Parse<Typed> {
    input(&mut c)?;
    c.integer(1, &L::Int)?;
    let data_type = c.strict_type(L::VarChar(128));
    Ok(c.finish(
        data_type,
        text_kernel(|_, args, row| {
            let bytes = bytes_at(args, 0, row);
            Ok(Some(match i32_at(args, 1, row) {
                224 => hex::encode(sha2::Sha224::digest(bytes)),
                256 => hex::encode(sha2::Sha256::digest(bytes)),
                384 => hex::encode(sha2::Sha384::digest(bytes)),
                512 => hex::encode(sha2::Sha512::digest(bytes)),
                _ => return Err(Error::data("SHA2 knows lengths of 224, 256, 384 and 512 bits")),
            }))
        }),
    ))
}

/// `java.lang.String.hashCode` and the hash codes of the other boxed types.
fn hash_code(c: Invocation<'_>) -> Parse<Typed> {
    use arrow::array::AsArray;
    use arrow::datatypes as t;
    let logical = c.args[0].data_type.logical.clone();
    let known = logical.is_character()
        || logical.is_integer()
        || matches!(logical, L::Boolean | L::Double | L::Float | L::Date | L::Time(_));
    if !known {
        return Err(c.mismatch(0, "text, a number, BOOLEAN, DATE or TIME"));
    }
    let data_type = c.strict_type(L::Int);
    let long = |v: i64| (v ^ ((v as u64) >> 32) as i64) as i32;
    Ok(c.finish(
        data_type,
        num_kernel::<Int32Type>(move |_, args, row| {
            let array = &args[0].array;
            let at = args[0].at(row);
            Ok(Some(match &logical {
                L::Boolean => {
                    if array.as_boolean().value(at) {
                        1231
                    } else {
                        1237
                    }
                }
                L::TinyInt => i32::from(array.as_primitive::<t::Int8Type>().value(at)),
                L::SmallInt => i32::from(array.as_primitive::<t::Int16Type>().value(at)),
                L::Int => array.as_primitive::<t::Int32Type>().value(at),
                L::BigInt => long(array.as_primitive::<t::Int64Type>().value(at)),
                L::Float => array.as_primitive::<t::Float32Type>().value(at).to_bits() as i32,
                L::Double => long(array.as_primitive::<t::Float64Type>().value(at).to_bits() as i64),
                L::Date => array.as_primitive::<t::Date32Type>().value(at),
                L::Time(_) => array.as_primitive::<t::Time32MillisecondType>().value(at),
                _ => array
                    .as_string::<i32>()
                    .value(at)
                    .encode_utf16()
                    .fold(0i32, |h, u| h.wrapping_mul(31).wrapping_add(i32::from(u))),
            }))
        }),
    )
    .total())
}
