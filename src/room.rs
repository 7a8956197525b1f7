//! Reserved memory, written from front to back without failing.
//!
//! A formatter computes the exact length, reserves it, and then writes here; what
//! would go past the end is cut off instead of panicking as `bytes` has it.

use core::marker::PhantomData;
use core::ptr;

use bytes::BufMut;
use bytes::buf::UninitSlice;

pub(crate) struct Room<'a> {
    start: *mut u8,
    len: usize,
    written: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl Room<'_> {
    /// # Safety
    /// `len` bytes at `start` may be written, and nobody else uses them while the Room lives.
    pub(crate) unsafe fn new(start: *mut u8, len: usize) -> Self {
        Room { start, len, written: 0, memory: PhantomData }
    }

    /// How many bytes have been written.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    fn left(&self) -> usize {
        // Never wraps: `written` does not pass `len`.
        self.len.wrapping_sub(self.written)
    }

    fn at(&mut self) -> *mut u8 {
        // SAFETY: `written` is at most `len`.
        unsafe { self.start.add(self.written) }
    }
}

// SAFETY: chunk_mut is the memory after what was written, and advance_mut stays inside.
unsafe impl BufMut for Room<'_> {
    fn remaining_mut(&self) -> usize {
        self.left()
    }

    unsafe fn advance_mut(&mut self, n: usize) {
        self.written += n.min(self.left());
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        // SAFETY: `left` bytes from here are the Room's own.
        unsafe { UninitSlice::from_raw_parts_mut(self.at(), self.left()) }
    }

    #[inline]
    fn put_slice(&mut self, text: &[u8]) {
        let n = text.len().min(self.left());
        // SAFETY: `n` bytes are left, and nobody else has them: `text` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.at(), n) };
        self.written += n;
    }

    #[inline]
    fn put_u8(&mut self, byte: u8) {
        self.put_slice(&[byte]);
    }

    fn put_bytes(&mut self, byte: u8, n: usize) {
        let n = n.min(self.left());
        // SAFETY: `n` bytes are left.
        unsafe { ptr::write_bytes(self.at(), byte, n) };
        self.written += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_go_one_after_the_other_and_stop_at_the_end() {
        let mut memory = [b'.'; 10];
        // SAFETY: the first eight bytes of `memory`, which outlives the Room.
        let mut room = unsafe { Room::new(memory.as_mut_ptr(), 8) };
        room.put_slice(b"abc");
        room.put_u8(b'd');
        room.put_bytes(b'e', 2);
        assert_eq!((room.written(), room.remaining_mut()), (6, 2));
        room.put_slice(b"fgh");
        room.put_u8(b'i');
        room.put_bytes(b'j', 1);
        // SAFETY: clamped, which is what is tested.
        unsafe { room.advance_mut(usize::MAX) };
        assert_eq!((room.written(), room.remaining_mut()), (8, 0));
        assert_eq!(&memory, b"abcdeefg..");
    }

    #[test]
    fn a_chunk_is_what_is_left() {
        let mut memory = [b'.'; 4];
        // SAFETY: all of `memory`, which outlives the Room.
        let mut room = unsafe { Room::new(memory.as_mut_ptr(), 4) };
        room.put_u8(b'a');
        room.chunk_mut().copy_from_slice(b"bcd");
        // SAFETY: three bytes were just written.
        unsafe { room.advance_mut(3) };
        assert_eq!((room.written(), &memory), (4, b"abcd"));
    }
}
