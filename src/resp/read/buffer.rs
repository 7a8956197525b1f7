//! The bytes of a reader that are not read yet: taken in, and dropped.

use core::{ptr, slice};

use super::{Broken, Bulk, FIRST_ROOM, Fault, Reader};
use crate::alloc::{self, OutOfMemory};
use crate::room;
use crate::sds::Sds;

/// A consumed prefix below this is not worth moving the rest for.
const TRIM_FROM: usize = 1024;

impl Reader {
    /// Takes a copy of `len` bytes.
    ///
    /// # Safety
    /// They are readable, and not in the buffer.
    #[inline(always)]
    pub(crate) unsafe fn feed(self, bytes: *const u8, len: usize) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer; the rest is the caller's promise.
        unsafe {
            let r = self.0;
            if len <= room::SHORT
                && !self.in_bulk()
                && let Some(buf) = self.buf()
                && let Some(room) = buf.short_room(len)
            {
                room::copy(bytes, room, len);
                (*r).len = buf.grow_short(len);
                return Ok(());
            }
            self.feed_any(slice::from_raw_parts(bytes, len))
        }
    }

    /// As `feed`, however much it is and whatever is to be done with the buffer first.
    #[inline(never)]
    fn feed_any(self, bytes: &[u8]) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            if (*r).err != 0 {
                return Err(Broken);
            }
            if bytes.is_empty() {
                return Ok(());
            }
            if self.in_bulk() { self.feed_bulk(bytes) } else { self.feed_buffer(bytes) }
        }
    }

    #[inline]
    fn feed_buffer(self, bytes: &[u8]) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            let avail = self.buf().map_or(0, Sds::avail);
            if bytes.len() >= avail || avail > (*r).maxbuf {
                self.reserve(bytes.len())?;
            }
            let Some(buf) = self.buf() else { return Err(Broken) };
            let len = (*r).len + bytes.len();
            // `bytes` are not in the buffer, which has room for them.
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*r).buf.cast::<u8>().add((*r).len), bytes.len());
            buf.set_len(len);
            (*r).len = len;
        }
        Ok(())
    }

    /// As `feed`, while a bulk string is received in place.
    #[inline(never)]
    fn feed_bulk(self, bytes: &[u8]) -> Result<(), Broken> {
        let mut rest = bytes;
        while let Some((room, cap)) = self.bulk_room() {
            let n = cap.min(rest.len());
            // SAFETY: a live reader is a Whole; there is room for `cap` bytes.
            unsafe {
                ptr::copy_nonoverlapping(rest.as_ptr(), room, n);
                (*self.whole()).bulk.have += n;
            }
            rest = rest.get(n..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.check_bulk()?;
        self.feed_buffer(rest)
    }

    /// Where the next bytes from the connection go: at least `want` bytes of room in
    /// the buffer, or what the bulk string on its way still needs. What is written
    /// there is announced with `filled`.
    pub(crate) fn room(self, want: usize) -> Result<(*mut u8, usize), Broken> {
        if self.err() != 0 {
            return Err(Broken);
        }
        if let Some(room) = self.bulk_room() {
            return Ok(room);
        }
        self.check_bulk()?;
        self.reserve(want)
    }

    pub(super) fn in_bulk(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { !(*self.whole()).bulk.text.is_null() }
    }

    /// How many bytes a bulk string that is received in place still needs.
    pub(crate) fn bulk_needs(self) -> usize {
        // SAFETY: a live reader is a Whole.
        let bulk = unsafe { &(*self.whole()).bulk };
        if bulk.text.is_null() { 0 } else { bulk.want - bulk.have }
    }

    /// Takes `n` bytes that were written to what `room` gave.
    pub(crate) fn filled(self, n: usize) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            let bulk = &mut (*self.whole()).bulk;
            if !bulk.text.is_null() && bulk.have < bulk.want {
                bulk.have += n;
            } else {
                self.commit(n);
            }
        }
    }

    /// Room for `want` bytes at the end of the buffer, in a buffer that is dropped
    /// first when it is idle and big, or moved to its start when that is cheap.
    #[inline(never)]
    fn reserve(self, want: usize) -> Result<(*mut u8, usize), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            let Some(mut buf) = self.buf() else { return Err(Broken) };
            if (*r).len == 0 && (*r).maxbuf != 0 && buf.avail() > (*r).maxbuf && want <= (*r).maxbuf {
                let Ok(fresh) = Sds::with_capacity(FIRST_ROOM) else {
                    return Err(self.fail(OutOfMemory.into()));
                };
                buf.free();
                buf = fresh;
                (*r).buf = buf.as_ptr();
                (*r).pos = 0;
            }
            // One more: constructors that move the text of a verbatim string over its type read
            // four bytes past it.
            let want = want.saturating_add(1);
            if buf.avail() < want && (*r).pos >= TRIM_FROM && (*r).pos >= (*r).len - (*r).pos {
                self.trim(buf);
            }
            match buf.reserve(want) {
                Ok(buf) => {
                    (*r).buf = buf.as_ptr();
                    Ok((buf.tail(), buf.avail().saturating_sub(1)))
                }
                Err(oom) => Err(self.fail(oom.into())),
            }
        }
    }

    fn commit(self, n: usize) {
        if let Some(buf) = self.buf() {
            buf.set_len(buf.len() + n);
            // SAFETY: a live reader.
            unsafe { (*self.0).len = buf.len() };
        }
    }

    /// Drops the consumed prefix.
    fn trim(self, buf: Sds) {
        // SAFETY: a live reader.
        unsafe {
            buf.drop_front((*self.0).pos);
            (*self.0).pos = 0;
            (*self.0).len = buf.len();
        }
    }

    /// Drops consumed bytes once moving the rest costs no more than reading them did.
    #[inline(always)]
    pub(super) fn drop_consumed(self) {
        // SAFETY: a live reader.
        unsafe {
            let (pos, left) = ((*self.0).pos, (*self.0).len - (*self.0).pos);
            if left > 0 && (pos < TRIM_FROM || pos < left) {
                return;
            }
            match self.buf() {
                Some(buf) if left == 0 && buf.clear_short() => {
                    (*self.0).pos = 0;
                    (*self.0).len = 0;
                }
                Some(buf) => self.drop_front(buf),
                None => {}
            }
        }
    }

    /// Drops all consumed bytes.
    #[inline(never)]
    fn drop_front(self, buf: Sds) {
        // SAFETY: a live reader.
        unsafe {
            if (*self.0).len > (*self.0).pos {
                return self.trim(buf);
            }
            // Unlike hiredis: what a burst left behind goes at once, not when more comes.
            if buf.avail() > TRIM_FROM && (*self.0).maxbuf != 0 && buf.capacity() > (*self.0).maxbuf {
                return self.renew(buf);
            }
            buf.set_len(0);
            (*self.0).pos = 0;
            (*self.0).len = 0;
        }
    }

    /// Gives an empty buffer's memory back, unless much is being read.
    #[cold]
    fn renew(self, buf: Sds) {
        buf.set_len(0);
        // SAFETY: a live reader is a Whole.
        unsafe {
            (*self.0).pos = 0;
            (*self.0).len = 0;
            if (*self.whole()).io.read_full {
                return;
            }
            if let Ok(fresh) = Sds::with_capacity(FIRST_ROOM) {
                buf.free();
                (*self.0).buf = fresh.as_ptr();
            }
        }
    }

    /// The bytes that are not consumed yet.
    ///
    /// # Safety
    /// The reader has a buffer, which nothing changes while the slice is in use.
    #[inline]
    pub(super) unsafe fn unread<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise; `pos` is at most `len`.
        unsafe {
            let r = self.0;
            slice::from_raw_parts((*r).buf.cast::<u8>().add((*r).pos), (*r).len - (*r).pos)
        }
    }

    /// Where the unread bytes begin and end; a NUL follows them.
    ///
    /// # Safety
    /// The reader has a buffer.
    #[inline]
    pub(super) unsafe fn ends(self) -> (*const u8, *const u8) {
        // SAFETY: the caller's promise; a buffer is an sds.
        unsafe {
            let buf = (*self.0).buf.cast::<u8>();
            (buf.add((*self.0).pos), buf.add((*self.0).len))
        }
    }

    /// Moves what there is of a big bulk string to its own block, which the rest of
    /// it is then read into.
    ///
    /// # Safety
    /// `payload` is the part of the string that is in the buffer, up to its end, and
    /// `header` bytes of the item come before it.
    #[cold]
    pub(super) unsafe fn receive_in_place(
        self,
        payload: *const u8,
        len: usize,
        header: usize,
    ) -> Result<(), Fault> {
        // SAFETY: a live reader.
        let have = unsafe { (*self.0).len - (*self.0).pos }.saturating_sub(header);
        let want = len + 2;
        // The block grows with what arrives, not by what the server announces.
        let room = want.min(have.saturating_mul(4));
        let text = alloc::malloc(room + 1).cast::<u8>();
        if text.is_null() {
            return Err(OutOfMemory.into());
        }
        // SAFETY: `room` is more than `have`, since the string is not complete; a live
        // reader is a Whole.
        unsafe {
            ptr::copy_nonoverlapping(payload, text, have);
            (*self.whole()).bulk = Bulk { text, have, want, room };
        }
        self.consume(header + have);
        Ok(())
    }

    /// Room for more of the bulk string that is received in place; `None` when there
    /// is no such string, when it is all there, or when memory ran out.
    fn bulk_room(self) -> Option<(*mut u8, usize)> {
        // SAFETY: a live reader is a Whole; the block is the bulk's own.
        unsafe {
            let bulk = &mut (*self.whole()).bulk;
            if bulk.text.is_null() || bulk.have == bulk.want {
                return None;
            }
            if bulk.have == bulk.room {
                let room = bulk.want.min(bulk.room.saturating_mul(2));
                let text = alloc::realloc(bulk.text.cast(), room + 1).cast::<u8>();
                if text.is_null() {
                    return None;
                }
                bulk.text = text;
                bulk.room = room;
            }
            Some((bulk.text.add(bulk.have), bulk.room - bulk.have))
        }
    }

    /// An error when the bulk string's block could not grow.
    fn check_bulk(self) -> Result<(), Broken> {
        // SAFETY: a live reader is a Whole.
        let bulk = unsafe { &(*self.whole()).bulk };
        if !bulk.text.is_null() && bulk.have < bulk.want {
            return Err(self.fail(OutOfMemory.into()));
        }
        Ok(())
    }
}
