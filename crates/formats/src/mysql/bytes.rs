//! Checked reading of little-endian bytes.

/// The bytes end early, or say something impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

pub(crate) type Read<T> = Result<T, Broken>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub data: &'a [u8],
    pub at: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub fn left(&self) -> usize {
        self.data.len() - self.at
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Broken)?;
        let found = self.data.get(self.at..end).ok_or(Broken)?;
        self.at = end;
        Ok(found)
    }

    #[inline]
    pub fn u8(&mut self) -> Read<u8> {
        let byte = *self.data.get(self.at).ok_or(Broken)?;
        self.at += 1;
        Ok(byte)
    }

    /// A little-endian number of 1 to 8 bytes.
    #[inline]
    pub fn uint(&mut self, count: usize) -> Read<u64> {
        let bytes = self.take(count)?;
        let mut number = [0u8; 8];
        number.get_mut(..count).ok_or(Broken)?.copy_from_slice(bytes);
        Ok(u64::from_le_bytes(number))
    }

    /// The same with the sign extended.
    #[inline]
    pub fn int(&mut self, count: usize) -> Read<i64> {
        let shift = 64 - 8 * count as u32;
        Ok(((self.uint(count)? << shift) as i64) >> shift)
    }

    /// A big-endian number of 1 to 8 bytes.
    #[inline]
    pub fn uint_be(&mut self, count: usize) -> Read<u64> {
        Ok(self.take(count)?.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    }

    /// MySQL's length-encoded integer.
    pub fn lenenc(&mut self) -> Read<u64> {
        match self.u8()? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            0xfc => self.uint(2),
            0xfd => self.uint(3),
            0xfe => self.uint(8),
            _ => Err(Broken),
        }
    }

    pub fn lenenc_bytes(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.lenenc()?).map_err(|_| Broken)?;
        self.take(length)
    }
}

#[inline]
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
