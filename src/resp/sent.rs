//! How much of an output buffer is sent.

use core::ffi::c_char;
use core::ptr;

/// How much of an `obuf` is sent already. Programs may edit that buffer or put another in
/// its place, which is then to be sent from its start: so this remembers what it is about.
pub(crate) struct Sent {
    buf: *mut c_char,
    /// Length of the buffer, as far as the library knows.
    len: usize,
    /// Bytes that are sent.
    pub(crate) bytes: usize,
    /// The last of them.
    last: [u8; 16],
}

impl Default for Sent {
    fn default() -> Sent {
        Sent { buf: ptr::null_mut(), len: 0, bytes: 0, last: [0; 16] }
    }
}

impl Sent {
    /// The first `bytes` of `text`, which is what `buf` holds.
    pub(crate) fn new(buf: *mut c_char, text: &[u8], bytes: usize) -> Sent {
        Sent { buf, len: text.len(), bytes, last: Sent::last_of(text, bytes) }
    }

    fn last_of(text: &[u8], bytes: usize) -> [u8; 16] {
        let mut last = [0; 16];
        let text = text.get(bytes.saturating_sub(16)..bytes).unwrap_or_default();
        for (to, from) in last.iter_mut().zip(text) {
            *to = *from;
        }
        last
    }

    /// How much of `text`, which is what `buf` holds now, is sent.
    pub(crate) fn of(&self, buf: *mut c_char, text: &[u8]) -> usize {
        let same = ptr::eq(self.buf, buf)
            && text.len() >= self.len
            && self.bytes < text.len()
            && Sent::last_of(text, self.bytes) == self.last;
        if same { self.bytes } else { 0 }
    }

    /// The library appended to the buffer. If that was shorter than it left it, somebody
    /// else cut it, and it counts as a new one.
    pub(crate) fn grown(&mut self, from: usize, to: usize) {
        if from < self.len {
            *self = Sent::default();
        } else {
            self.len = to;
        }
    }

    /// The library moved the buffer.
    pub(crate) fn moved(&mut self, from: *mut c_char, to: *mut c_char) {
        if ptr::eq(self.buf, from) {
            self.buf = to;
        }
    }
}
