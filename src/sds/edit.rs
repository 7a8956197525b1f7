//! Changes that keep a string in its block, or move it because its size is wrong.

use core::ffi::c_int;
use core::{ptr, slice};

use super::{Kind, Sds};
use crate::alloc::OutOfMemory;

impl Sds {
    /// A string of `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> Result<Sds, OutOfMemory> {
        let s = Sds::with_room(Kind::fixed(len), len)?;
        // SAFETY: the string has room for `len` bytes.
        unsafe { ptr::write_bytes(s.tail(), 0, len) };
        s.set_len(len);
        Ok(s)
    }

    /// Appends zero bytes until the length is `len`. As `reserve`.
    pub(crate) fn extend_zeroed(self, len: usize) -> Result<Sds, OutOfMemory> {
        let Some(more) = len.checked_sub(self.len()) else { return Ok(self) };
        let s = self.reserve(more)?;
        // SAFETY: reserve made the room.
        unsafe { ptr::write_bytes(s.tail(), 0, more) };
        s.set_len(len);
        Ok(s)
    }

    /// Makes `text`, which is not part of the string, its content. As `reserve`.
    pub(crate) fn assign(self, text: &[u8]) -> Result<Sds, OutOfMemory> {
        let s = self.reserve(text.len().saturating_sub(self.len()))?;
        // SAFETY: old text and reserved room together hold `text`, which is elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), s.0.as_ptr(), text.len()) };
        s.set_len(text.len());
        Ok(s)
    }

    /// Keeps the text from one position to another, both included; negative ones
    /// count from the end. `None` when the string is too long for them.
    pub(crate) fn range(self, start: isize, end: isize) -> Option<()> {
        let len = isize::try_from(self.len()).ok()?;
        let from_front = |at: isize| if at < 0 { at.saturating_add(len).max(0) } else { at };
        let (start, end) = (from_front(start), from_front(end).min(len - 1));
        if start > end {
            self.set_len(0);
        } else {
            self.set_len(end.unsigned_abs() + 1);
            self.drop_front(start.unsigned_abs());
        }
        Some(())
    }

    /// Removes bytes that are in `set` from both ends.
    pub(crate) fn trim(self, set: &[u8]) {
        // SAFETY: the slice is not used once the string changes.
        let text = unsafe { self.bytes() };
        // As in hiredis, the NUL that ends the set belongs to it.
        let stays = |byte: &u8| *byte != 0 && !set.contains(byte);
        let end = text.iter().rposition(stays).map_or(0, |last| last + 1);
        let start = text.iter().position(stays).unwrap_or(0);
        self.set_len(end);
        self.drop_front(start);
    }

    /// Replaces each byte by what `change` makes of it.
    pub(crate) fn map(self, change: impl Fn(u8) -> u8) {
        // SAFETY: `len` bytes are the text, and nobody else uses them during the call.
        let text = unsafe { slice::from_raw_parts_mut(self.0.as_ptr(), self.len()) };
        text.iter_mut().for_each(|byte| *byte = change(*byte));
    }

    /// Replaces each byte that is in `from` by the one at the same place in `to`.
    pub(crate) fn replace(self, from: &[u8], to: &[u8]) {
        self.map(|byte| {
            let new = from.iter().position(|f| *f == byte).and_then(|at| to.get(at));
            new.copied().unwrap_or(byte)
        });
    }

    /// Lets the text end where its first NUL is.
    /// Unlike hiredis: at the capacity when there is none.
    pub(crate) fn end_at_nul(self) {
        // SAFETY: the block has `capacity` bytes from there.
        self.set_len(unsafe { libc::strnlen(self.as_ptr(), self.capacity()) });
    }

    /// Adds `n` to the length, after bytes were written behind the text or dropped.
    /// Unlike hiredis: it stops at nothing and at the capacity instead of aborting.
    pub(crate) fn add_len(self, n: c_int) {
        let len = self.len().saturating_add_signed(n as isize);
        self.set_len(len.min(self.capacity()));
    }

    /// Gives back the room behind the text. As `reserve`.
    pub(crate) fn shrink(self) -> Result<Sds, OutOfMemory> {
        let len = self.len();
        let kind = if len == 0 { Kind::K5 } else { Kind::fixed(len) };
        if kind == self.kind() && self.avail() == 0 { Ok(self) } else { self.resize(kind, len) }
    }

    /// The size of the heap block.
    pub(crate) fn block_size(self) -> usize {
        self.capacity().saturating_add(self.kind().header() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &[u8]) -> Sds {
        Sds::new(text).unwrap()
    }

    /// Checks the text, that a NUL follows it and that the header fits, and frees it.
    fn is(s: Sds, expected: &[u8]) {
        // SAFETY: the string lives until it is freed below.
        assert_eq!(unsafe { s.bytes() }, expected);
        // SAFETY: the NUL is part of the block.
        assert_eq!(unsafe { s.tail().read() }, 0);
        assert_eq!(s.len() + s.avail(), s.capacity());
        s.free();
    }

    #[test]
    fn range_counts_from_both_ends() {
        let cases: [(isize, isize, &[u8]); 13] = [
            (1, 1, b"i"),
            (1, -1, b"iao"),
            (-2, -1, b"ao"),
            (2, 1, b""),
            (1, 100, b"iao"),
            (100, 100, b""),
            (-100, 1, b"ci"),
            (0, 0, b"c"),
            (4, -1, b""),
            (0, -100, b"c"),
            (0, -1, b"ciao"),
            (isize::MIN, isize::MAX, b"ciao"),
            (isize::MAX, isize::MIN, b""),
        ];
        for (start, end, expected) in cases {
            let s = new(b"ciao");
            assert_eq!(s.range(start, end), Some(()));
            is(s, expected);
        }
        let s = Sds::empty().unwrap();
        assert_eq!(s.range(0, -1), Some(()));
        is(s, b"");
    }

    #[test]
    fn range_refuses_what_a_position_cannot_tell() {
        // A header alone: the length is looked at before any text.
        let mut block = [0u8; 18];
        block[..8].copy_from_slice(&(1u64 << 63).to_ne_bytes());
        block[8..16].copy_from_slice(&(1u64 << 63).to_ne_bytes());
        block[16] = Kind::K64 as u8;
        // SAFETY: header and text lie in `block`.
        let s = unsafe { Sds::from_raw(block.as_mut_ptr().add(17).cast()) }.unwrap();
        assert_eq!(s.range(0, -1), None);
    }

    #[test]
    fn trim_takes_from_both_ends() {
        for (text, set, expected) in [
            ("xxciaoyyy", "xy", "ciao"),
            ("  ciao", " ", "ciao"),
            ("ciao", "", "ciao"),
            ("xyxy", "xy", ""),
            ("", "xy", ""),
            ("xaxbx", "x", "axb"),
            ("x", "x", ""),
            ("a", "x", "a"),
        ] {
            let s = new(text.as_bytes());
            s.trim(set.as_bytes());
            is(s, expected.as_bytes());
        }
    }

    #[test]
    fn zero_bytes() {
        for len in [0, 1, 31, 32, 254, 255, 65534, 65535, 70000] {
            is(Sds::zeroed(len).unwrap(), &vec![0; len]);
            let mut expected = b"ab".to_vec();
            expected.resize(len.max(2), 0);
            is(new(b"ab").extend_zeroed(len).unwrap(), &expected);
        }
        assert!(Sds::zeroed(usize::MAX) == Err(OutOfMemory));
        assert!(Sds::zeroed(usize::MAX - 17) == Err(OutOfMemory));
        let s = new(b"ab");
        assert!(s.extend_zeroed(usize::MAX) == Err(OutOfMemory));
        is(s, b"ab");
    }

    #[test]
    fn assigning_keeps_capacity_that_is_enough() {
        let s = new(&[b'x'; 100]);
        let s = s.assign(b"short").unwrap();
        assert_eq!(s.capacity(), 100);
        let s = s.assign(&[b'y'; 100]).unwrap();
        assert_eq!(s.capacity(), 100);
        is(s.assign(&[b'z'; 70000]).unwrap(), &[b'z'; 70000]);
        is(new(b"").assign(b"").unwrap(), b"");
    }

    #[test]
    fn the_length_stays_in_the_block() {
        let s = new(b"abc").reserve(5).unwrap();
        s.add_len(-1);
        assert_eq!(s.len(), 2);
        s.add_len(c_int::MIN);
        assert_eq!(s.len(), 0);
        s.add_len(c_int::MAX);
        assert_eq!(s.len(), s.capacity());
        s.add_len(-(s.capacity() as c_int) + 1);
        // The NUL was written there when the length was nothing.
        is(s, b"\0");
        let s = new(b"abc");
        s.add_len(1);
        is(s, b"abc");
    }

    #[test]
    fn the_text_ends_at_a_nul() {
        let s = new(b"foo\0bar");
        s.end_at_nul();
        is(s, b"foo");
        let s = new(b"foo");
        s.end_at_nul();
        is(s, b"foo");
    }

    #[test]
    fn shrinking_takes_the_smallest_header() {
        for len in [0, 1, 31, 32, 254, 255, 65534, 65535] {
            let text = vec![b'x'; len];
            let s = new(&text).reserve(100_000).unwrap().shrink().unwrap();
            assert_eq!((s.capacity(), s.avail()), (len, 0));
            let header = match len {
                0..32 => 1,
                32..255 => 3,
                255..65535 => 5,
                _ => 9,
            };
            assert_eq!(s.block_size(), header + len + 1);
            is(s.shrink().unwrap(), &text);
        }
    }

    #[test]
    fn mapping() {
        let s = new(b"hello");
        s.map(|byte| byte.to_ascii_uppercase());
        is(s, b"HELLO");
        let s = new(b"hello");
        s.replace(b"hoh", b"01x");
        s.replace(b"el", b"3");
        is(s, b"03ll1");
    }
}
