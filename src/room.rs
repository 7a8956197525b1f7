//! Reserved memory, written from front to back without failing.
//!
//! A formatter computes the exact length, reserves it, and then writes here. What does
//! not fit, because the text changed meanwhile, is left out, and so is all that follows:
//! `bytes` would panic.

use core::marker::PhantomData;
use core::ptr;

use bytes::BufMut;
use bytes::buf::UninitSlice;

pub(crate) struct Room<'a> {
    start: *mut u8,
    at: *mut u8,
    left: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl Room<'_> {
    /// # Safety
    /// `len` bytes at `start` may be written, and nobody else uses them while the Room lives.
    #[inline]
    pub(crate) unsafe fn new(start: *mut u8, len: usize) -> Self {
        Room { start, at: start, left: len, memory: PhantomData }
    }

    /// How many bytes have been written.
    pub(crate) fn written(&self) -> usize {
        self.at.addr().wrapping_sub(self.start.addr())
    }

    #[inline]
    fn skip(&mut self, n: usize) {
        // SAFETY: callers pass what is left at most.
        self.at = unsafe { self.at.add(n) };
        self.left -= n;
    }

    /// Writes bytes of a number that the compiler knows.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if N > self.left {
            self.left = 0;
            return;
        }
        // SAFETY: that many bytes are left, and nobody else has them.
        unsafe { self.at.cast::<[u8; N]>().write_unaligned(bytes) };
        self.skip(N);
    }
}

/// What `copy` copies without a call.
pub(crate) const SHORT: usize = 32;

/// memcpy, faster for what is short: two moves that overlap instead of a call.
///
/// # Safety
/// As for `copy_nonoverlapping`.
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, n: usize) {
    /// # Safety
    /// As for `copy`, and `n` is one to two times the size of `T`.
    #[inline]
    unsafe fn ends<T>(from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let last = n - size_of::<T>();
            let (a, b) = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
            to.cast::<T>().write_unaligned(a);
            to.add(last).cast::<T>().write_unaligned(b);
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        if n >= 8 {
            if n <= 16 {
                ends::<u64>(from, to, n);
            } else if n <= SHORT {
                ends::<u128>(from, to, n);
            } else {
                ptr::copy_nonoverlapping(from, to, n);
            }
        } else if n >= 4 {
            ends::<u32>(from, to, n);
        } else if n >= 2 {
            ends::<u16>(from, to, n);
        } else if n == 1 {
            to.write(from.read());
        }
    }
}

/// What `copy_medium` copies without a call.
pub(crate) const MEDIUM: usize = 96;

/// As `copy`, where a call would cost more than itself, because registers would have to be saved.
///
/// # Safety
/// As for `copy`, and `n` is MEDIUM at most.
#[inline(always)]
pub(crate) unsafe fn copy_medium(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if n <= SHORT {
            return copy(from, to, n);
        }
        let (mut at, last) = (0, n - size_of::<u128>());
        loop {
            let block = from.add(at).cast::<u128>().read_unaligned();
            to.add(at).cast::<u128>().write_unaligned(block);
            if at == last {
                break;
            }
            at = last.min(at + size_of::<u128>());
        }
    }
}

// SAFETY: chunk_mut is the memory after what was written, and advance_mut stays inside.
unsafe impl BufMut for Room<'_> {
    fn remaining_mut(&self) -> usize {
        self.left
    }

    unsafe fn advance_mut(&mut self, n: usize) {
        self.skip(n.min(self.left));
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        // SAFETY: `left` bytes from here are the Room's own.
        unsafe { UninitSlice::from_raw_parts_mut(self.at, self.left) }
    }

    #[inline]
    fn put_slice(&mut self, text: &[u8]) {
        if text.len() > self.left {
            self.left = 0;
            return;
        }
        // SAFETY: that many bytes are left, and nobody else has them: `text` is elsewhere.
        unsafe { copy(text.as_ptr(), self.at, text.len()) };
        self.skip(text.len());
    }

    #[inline]
    fn put_u8(&mut self, byte: u8) {
        self.put([byte]);
    }

    fn put_bytes(&mut self, byte: u8, n: usize) {
        let n = n.min(self.left);
        // SAFETY: `n` bytes are left.
        unsafe { ptr::write_bytes(self.at, byte, n) };
        self.skip(n);
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
        room.put(*b"i");
        room.put_bytes(b'j', 1);
        // SAFETY: clamped, which is what is tested.
        unsafe { room.advance_mut(usize::MAX) };
        assert_eq!((room.written(), room.remaining_mut()), (6, 0));
        assert_eq!(&memory, b"abcdee....");
    }

    #[test]
    fn every_length_is_copied() {
        let text: Vec<u8> = (0..40).collect();
        for n in 0..text.len() {
            let mut memory = [99; 42];
            // SAFETY: the first forty bytes of `memory`, which outlives the Room.
            let mut room = unsafe { Room::new(memory.as_mut_ptr(), 40) };
            room.put_slice(&text[..n]);
            assert_eq!(room.written(), n);
            assert_eq!(memory[..n], text[..n]);
            assert!(memory[n..].iter().all(|b| *b == 99), "{n}");
        }
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
