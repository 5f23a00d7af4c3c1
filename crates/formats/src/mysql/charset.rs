//! Character sets by MySQL's names, to UTF-8.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How the bytes of a text column become UTF-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Charset {
    Utf8,
    /// A table of the Encoding Standard that agrees with MySQL's.
    Table(&'static Encoding),
    Utf32,
    /// Not text.
    Binary,
}

impl Charset {
    /// None for a character set this version has no table for.
    pub fn by_name(name: &str) -> Option<Self> {
        use encoding_rs as e;
        Some(Self::Table(match name {
            "utf8" | "utf8mb3" | "utf8mb4" | "ascii" => return Some(Self::Utf8),
            "binary" => return Some(Self::Binary),
            "utf32" => return Some(Self::Utf32),
            // MySQL's latin1 is Windows' code page 1252.
            "latin1" => e::WINDOWS_1252,
            "latin2" => e::ISO_8859_2,
            "latin5" => e::WINDOWS_1254,
            "latin7" => e::ISO_8859_13,
            "greek" => e::ISO_8859_7,
            "hebrew" => e::ISO_8859_8,
            "cp1250" => e::WINDOWS_1250,
            "cp1251" => e::WINDOWS_1251,
            "cp1256" => e::WINDOWS_1256,
            "cp1257" => e::WINDOWS_1257,
            "cp866" => e::IBM866,
            "koi8r" => e::KOI8_R,
            "koi8u" => e::KOI8_U,
            "macroman" => e::MACINTOSH,
            "tis620" => e::WINDOWS_874,
            "gbk" | "gb2312" => e::GBK,
            "gb18030" => e::GB18030,
            "big5" => e::BIG5,
            "sjis" | "cp932" => e::SHIFT_JIS,
            "ujis" | "eucjpms" => e::EUC_JP,
            "euckr" => e::EUC_KR,
            "ucs2" | "utf16" => e::UTF_16BE,
            "utf16le" => e::UTF_16LE,
            _ => return None,
        }))
    }

    /// The text; what is none becomes U+FFFD.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        match self {
            Self::Utf8 | Self::Binary => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Self::Table(table) => table.decode_without_bom_handling(bytes).0,
            Self::Utf32 => Cow::Owned(
                bytes
                    .chunks(4)
                    .map(|c| {
                        let code = c.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                    })
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_utf8() {
        for (name, bytes, text) in [
            ("latin1", &b"caf\xe9 \x80"[..], "café €"),
            ("gbk", b"\xc4\xe3\xba\xc3", "你好"),
            ("utf8mb4", "😀".as_bytes(), "😀"),
            ("ucs2", b"\x00a\x4f\x60", "a你"),
            ("utf32", b"\x00\x01\xf6\x00", "😀"),
            ("sjis", b"\x93\xfa", "日"),
        ] {
            assert_eq!(Charset::by_name(name).unwrap().decode(bytes), text, "{name}");
        }
        assert_eq!(Charset::by_name("dec8"), None);
    }
}
