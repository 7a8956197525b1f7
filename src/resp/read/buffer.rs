//! The bytes of a reader that are not read yet: taken in, and dropped.

use core::{ptr, slice};

use super::{Broken, Bulk, FIRST_ROOM, Fault, Reader, TRIM_FROM};
use crate::alloc::{self, OutOfMemory};
use crate::room;
use crate::sds::Sds;

/// Whether a buffer has more room than an idle one may keep.
fn is_big(buf: Sds, maxbuf: usize) -> bool {
    maxbuf != 0 && buf.capacity() > maxbuf.max(TRIM_FROM)
}

/// From how many consumed bytes on they are dropped, of so many in a buffer that is not big.
#[inline(always)]
fn trim_from(len: usize) -> usize {
    len.max(2 * TRIM_FROM) - TRIM_FROM
}

impl Reader {
    /// As `feed`, if there is little to be done; false if not.
    ///
    /// # Safety
    /// As for `feed`, and it is room::MEDIUM bytes at most.
    #[inline(always)]
    pub(crate) unsafe fn feed_short(self, bytes: *const u8, len: usize) -> bool {
        let (pos, from) = self.unread_span();
        // SAFETY: where there is room there is a buffer; the rest is the caller's promise.
        unsafe {
            let fits = from + len < (*self.whole()).short_room as usize;
            if fits {
                let buf = (*self.0).buf.cast::<u8>();
                room::copy_medium(bytes, buf.add(from), len);
                buf.sub(3).write((from + len) as u8);
                self.set_ends(buf, pos, from + len);
            }
            fits
        }
    }

    /// Takes a copy of `len` bytes.
    ///
    /// # Safety
    /// They are readable, and not in the buffer.
    #[inline(always)]
    pub(crate) unsafe fn feed(self, bytes: *const u8, len: usize) -> Result<(), Broken> {
        let (pos, from) = self.unread_span();
        // SAFETY: where there is room there is a buffer; the rest is the caller's promise.
        unsafe {
            let room = (*self.whole()).room;
            if len < room && from + len < room && (from > 0 || room <= (*self.0).maxbuf) {
                let buf = Sds::from_raw((*self.0).buf).unwrap_unchecked();
                buf.count(from + len);
                self.set_ends(buf.as_ptr().cast(), pos, from + len);
                (*self.whole()).trim_from = trim_from(from + len);
                // Last, because nothing has to be kept for what comes after it.
                ptr::copy_nonoverlapping(bytes, buf.as_ptr().cast::<u8>().add(from), len);
                return Ok(());
            }
            // No memory is longer than that, so who says more gets what does not fit either.
            self.feed_any(slice::from_raw_parts(bytes, len.min(isize::MAX as usize)))
        }
    }

    /// Where what is unread begins, and where more bytes go: at the start of the buffer, when all
    /// is consumed.
    #[inline(always)]
    fn unread_span(self) -> (usize, usize) {
        // SAFETY: a live reader.
        let (pos, len) = unsafe { ((*self.0).pos, (*self.0).len) };
        if pos == len { (0, 0) } else { (pos, len) }
    }

    /// Sets where the unread bytes begin and end, and the NULs behind them: there are two, see
    /// `Leaf::near`.
    ///
    /// # Safety
    /// `buf` is the buffer, and longer than that.
    #[inline(always)]
    unsafe fn set_ends(self, buf: *mut u8, pos: usize, len: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            buf.add(len).cast::<[u8; 2]>().write_unaligned([0; 2]);
            (*self.0).pos = pos;
            (*self.0).len = len;
        }
    }

    /// As `feed`, however much it is and whatever is to be done with the buffer first.
    #[inline(never)]
    fn feed_any(self, bytes: &[u8]) -> Result<(), Broken> {
        if self.err() != 0 {
            return Err(Broken);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.in_bulk() { self.feed_bulk(bytes) } else { self.feed_buffer(bytes) }
    }

    #[inline]
    fn feed_buffer(self, bytes: &[u8]) -> Result<(), Broken> {
        let (room, _) = self.reserve(bytes.len())?;
        // SAFETY: `bytes` are not in the buffer, which has room for them.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len()) };
        self.commit(bytes.len());
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
                (*(*self.whole()).bulk).have += n;
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
        unsafe { !(*self.whole()).bulk.is_null() }
    }

    /// How many bytes a bulk string that is received in place still needs.
    pub(crate) fn bulk_needs(self) -> usize {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.whole()).bulk.as_ref() }.map_or(0, |bulk| bulk.want - bulk.have)
    }

    /// Takes `n` bytes that were written to what `room` gave.
    pub(crate) fn filled(self, n: usize) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            match (*self.whole()).bulk.as_mut() {
                Some(bulk) if bulk.have < bulk.want => bulk.have += n,
                _ => self.commit(n),
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
            if (*r).pos == (*r).len {
                self.set_len(buf, 0, 0);
            }
            let (_, avail) = buf.extent();
            if (*r).len == 0 && avail > (*r).maxbuf && (*r).maxbuf != 0 && want <= (*r).maxbuf {
                let Ok(fresh) = Sds::with_short_capacity(FIRST_ROOM) else {
                    return Err(self.fail(OutOfMemory.into()));
                };
                buf.free();
                buf = fresh;
            } else if want < avail {
                return Ok((buf.tail(), avail - 1));
            } else if (*r).pos >= TRIM_FROM && (*r).pos >= (*r).len - (*r).pos {
                self.trim(buf);
            }
            self.set_buf(buf);
            // One more: constructors that move the text of a verbatim string over its type read
            // four bytes past it.
            match buf.reserve(want.saturating_add(1)) {
                Ok(buf) => {
                    self.set_buf(buf);
                    Ok((buf.tail(), buf.avail().saturating_sub(1)))
                }
                Err(oom) => Err(self.fail(oom.into())),
            }
        }
    }

    pub(super) fn set_buf(self, buf: Sds) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            (*self.whole()).big = is_big(buf, (*self.0).maxbuf);
            let slow = self.in_bulk() || (*self.whole()).big;
            let room = if slow { 0 } else { buf.capacity() };
            (*self.whole()).room = room;
            (*self.whole()).short_room = if buf.is_short() { room as u32 } else { 0 };
            (*self.0).buf = buf.as_ptr();
        }
    }

    /// The buffer holds so many bytes now, from `pos` on unread.
    #[inline(never)]
    fn set_len(self, buf: Sds, pos: usize, len: usize) {
        buf.count(len);
        // SAFETY: the buffer has room for a second NUL; a live reader is a Whole.
        unsafe {
            self.set_ends(buf.as_ptr().cast(), pos, len);
            let from = trim_from(len);
            (*self.whole()).trim_from = if (*self.whole()).big { from.min(len) } else { from };
        }
    }

    fn commit(self, n: usize) {
        if let Some(buf) = self.buf() {
            // SAFETY: a live reader.
            let (pos, len) = unsafe { ((*self.0).pos, (*self.0).len) };
            self.set_len(buf, pos, len + n);
        }
    }

    /// Drops the consumed prefix.
    fn trim(self, buf: Sds) {
        // SAFETY: a live reader.
        unsafe {
            buf.drop_front((*self.0).pos);
            self.set_len(buf, 0, (*self.0).len - (*self.0).pos);
        }
    }

    /// Whether to look if consumed bytes can be dropped, when what is before `pos` is.
    #[inline(always)]
    pub(super) fn has_to_drop(self, pos: usize) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { pos >= (*self.whole()).trim_from }
    }

    /// Drops consumed bytes once there are many and few are left. What is in the middle of a
    /// big buffer stays until room is needed.
    #[inline(never)]
    pub(super) fn drop_consumed(self) {
        // SAFETY: a live reader is a Whole; what is consumed was in a buffer.
        unsafe {
            let buf = Sds::from_raw((*self.0).buf).unwrap_unchecked();
            if (*self.0).pos != (*self.0).len || (*self.whole()).big {
                return self.drop_some(buf);
            }
            buf.count(0);
            self.set_ends(buf.as_ptr().cast(), 0, 0);
            (*self.whole()).trim_from = TRIM_FROM;
        }
    }

    /// As `drop_consumed`, in a big buffer, or when there is more in it.
    #[inline(never)]
    fn drop_some(self, buf: Sds) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            let (pos, left) = ((*self.0).pos, (*self.0).len - (*self.0).pos);
            if left > 0 {
                if pos >= TRIM_FROM && left <= TRIM_FROM {
                    self.trim(buf);
                }
                return;
            }
            self.set_len(buf, 0, 0);
            // Unlike hiredis: what a burst left behind goes at once, not when more comes.
            if is_big(buf, (*self.0).maxbuf)
                && !(*self.whole()).io.read_full
                && let Ok(fresh) = Sds::with_short_capacity(FIRST_ROOM)
            {
                buf.free();
                self.set_buf(fresh);
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

    /// Where the unread bytes begin and end; two NULs follow them.
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
            match alloc::new(Bulk { text, have, want, room }) {
                Ok(bulk) => (*self.whole()).bulk = bulk.as_ptr(),
                Err(oom) => {
                    alloc::free(text.cast());
                    return Err(oom.into());
                }
            }
            self.consume(header + have);
            (*self.whole()).needed = 0;
            (*self.whole()).room = 0;
            (*self.whole()).short_room = 0;
        }
        Ok(())
    }

    /// The bulk string that is received in place, no longer the reader's.
    pub(super) fn take_bulk(self) -> Option<Bulk> {
        // SAFETY: a live reader is a Whole; the block is its own.
        unsafe {
            let block = ptr::replace(&raw mut (*self.whole()).bulk, ptr::null_mut());
            if block.is_null() {
                return None;
            }
            let bulk = block.read();
            alloc::free(block.cast());
            Some(bulk)
        }
    }

    /// Room for more of the bulk string that is received in place; `None` when there
    /// is no such string, when it is all there, or when memory ran out.
    fn bulk_room(self) -> Option<(*mut u8, usize)> {
        // SAFETY: a live reader is a Whole; the block is the bulk's own.
        unsafe {
            let bulk = (*self.whole()).bulk.as_mut().filter(|bulk| bulk.have < bulk.want)?;
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
        if self.bulk_needs() > 0 { Err(self.fail(OutOfMemory.into())) } else { Ok(()) }
    }
}
