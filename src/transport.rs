//! Bytes through `c->funcs`: what comes goes to the reader, what is to be sent leaves `obuf`.
//!
//! `obuf` is a true sds at all times, because programs and TLS read and edit it.

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::ptr;

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::ctx::{Ctx, Failed};
use crate::net;
use crate::resp::read::{Broken, Reader};
use crate::resp::sent::Sent;
use crate::room;
use crate::sds::Sds;

/// Bytes asked for in one read, to begin with.
const READ_SIZE: usize = REDIS_READER_MAX_BUF;
/// And at most, while reads keep coming back full.
const READ_SIZE_MAX: usize = 1024 * 1024;
/// Room that an `obuf` begins with, in a small block.
pub(crate) const OBUF_FIRST: u8 = 52;
/// Room that an empty `obuf` may keep.
pub(crate) const OBUF_KEPT: usize = 1024;

impl Ctx {
    /// The function table, NULL in a context that was never connected.
    pub(crate) fn funcs(self) -> *const redisContextFuncs {
        // SAFETY: a live context.
        unsafe { (*self.as_ptr()).funcs }
    }

    /// Whether sending and receiving is the default transport's business.
    pub(crate) fn is_plain(self) -> bool {
        ptr::eq(self.funcs(), &raw const net::FUNCTIONS)
    }

    /// Makes the reader's error the context's.
    #[inline(never)]
    pub(crate) fn broken(self, reader: Reader, _: Broken) -> Failed {
        // SAFETY: the reader's errstr is a C string.
        unsafe { self.c_error(reader.err(), "", reader.errstr()) }
    }

    /// Reads once what the transport has, and feeds the reader.
    pub(crate) fn buffer_read(self) -> Result<(), Failed> {
        self.check()?;
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        // SAFETY: nobody else holds a reference into the reader.
        let size = (unsafe { reader.io().read_size } as usize).max(READ_SIZE);
        if size > READ_SIZE || reader.bulk_needs() >= READ_SIZE {
            return self.read_in_place(reader, size);
        }
        // What comes alone goes through the stack: an idle connection then holds no
        // buffer, and the copy costs less than a block of this size would.
        let mut bytes = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let n = self.receive(bytes.as_mut_ptr().cast(), READ_SIZE)?;
        let bytes = bytes.as_ptr().cast::<u8>();
        self.adapt(reader, n, READ_SIZE);
        // SAFETY: `n` bytes that the transport wrote, elsewhere.
        unsafe {
            if n <= room::MEDIUM && reader.feed_short(bytes, n) {
                return Ok(());
            }
            reader.feed(bytes, n).map_err(|broken| self.broken(reader, broken))
        }
    }

    /// Reads straight into the reader's buffer, or into the string that it receives.
    fn read_in_place(self, reader: Reader, size: usize) -> Result<(), Failed> {
        let (room, cap) = reader.room(size).map_err(|broken| self.broken(reader, broken))?;
        let n = self.receive(room.cast(), cap)?;
        reader.filled(n);
        self.adapt(reader, n, cap);
        Ok(())
    }

    /// Asks for more next time when a read came back full, for little again when two brought
    /// little: one small read may be the end of a batch that needs a big one.
    fn adapt(self, reader: Reader, n: usize, cap: usize) {
        // SAFETY: nobody else holds a reference into the reader.
        let io = unsafe { reader.io() };
        let small = n <= READ_SIZE / 2;
        if n == cap {
            io.read_size = cap.saturating_mul(4).min(READ_SIZE_MAX) as u32;
        } else if small && io.read_little {
            io.read_size = READ_SIZE as u32;
        }
        io.read_little = small;
        io.read_full = n == cap;
    }

    /// One call of `funcs->read`.
    #[inline]
    fn receive(self, buf: *mut c_char, cap: usize) -> Result<usize, Failed> {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h; `cap` bytes at
        // `buf` are writable.
        unsafe {
            if self.is_plain() {
                return net::read(self, buf, cap);
            }
            let Some(read) = self.funcs().as_ref().and_then(|f| f.read) else {
                return Err(self.no_transport());
            };
            let n = read(self.as_ptr(), buf, cap);
            self.transported(n).map(|n| n.min(cap))
        }
    }

    /// What a function of the table gave back. One that fails without a word gets
    /// words.
    fn transported(self, n: isize) -> Result<usize, Failed> {
        usize::try_from(n).map_err(|_| {
            if self.err() == 0 {
                self.io_error("");
            }
            Failed
        })
    }

    #[cold]
    pub(crate) fn no_transport(self) -> Failed {
        self.fail(REDIS_ERR_OTHER, "Not connected")
    }

    pub(crate) fn obuf(self) -> Option<Sds> {
        // SAFETY: a live context's obuf is NULL or an sds.
        unsafe { Sds::from_raw((*self.as_ptr()).obuf) }
    }

    /// Writes once what is to be sent; true when nothing is left.
    pub(crate) fn buffer_write(self) -> Result<bool, Failed> {
        self.check()?;
        self.drop_sent();
        let Some(obuf) = self.obuf() else { return Ok(true) };
        let len = obuf.len();
        if len == 0 {
            return Ok(true);
        }
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        let n = unsafe {
            let Some(write) = self.funcs().as_ref().and_then(|f| f.write) else {
                return Err(self.no_transport());
            };
            self.transported(write(self.as_ptr()))?
        };
        // The table's function may be the program's: look at the buffer anew.
        let Some(obuf) = self.obuf() else { return Ok(true) };
        if n >= obuf.len() {
            self.empty_obuf(obuf);
            return Ok(true);
        }
        if n > 0 {
            obuf.drop_front(n);
        }
        Ok(false)
    }

    /// Clears the buffer, and gives its memory back if that is much.
    #[inline]
    pub(crate) fn empty_obuf(self, obuf: Sds) {
        if obuf.is_short() { obuf.set_short_len(0) } else { self.empty_long_obuf(obuf) }
    }

    #[inline(never)]
    fn empty_long_obuf(self, obuf: Sds) {
        if obuf.capacity() > OBUF_KEPT
            && let Ok(fresh) = Sds::with_short_capacity(OBUF_FIRST)
        {
            obuf.free();
            // SAFETY: a live context.
            unsafe { (*self.as_ptr()).obuf = fresh.as_ptr() };
            return;
        }
        obuf.set_len(0);
    }

    /// Removes what `write_on` sent already from the front of `obuf`, so that others
    /// can look at it.
    #[inline(never)]
    pub(crate) fn drop_sent(self) {
        let sent = self.take_sent();
        if sent > 0
            && let Some(obuf) = self.obuf()
        {
            obuf.drop_front(sent);
        }
    }

    /// How much of `obuf` is sent already; nobody remembers it afterwards.
    #[inline]
    fn take_sent(self) -> usize {
        let Some(reader) = self.reader() else { return 0 };
        // SAFETY: nobody else holds a reference into the reader.
        if unsafe { reader.io().sent.is_null() } { 0 } else { self.take_some_sent(reader) }
    }

    #[inline(never)]
    fn take_some_sent(self, reader: Reader) -> usize {
        let Some(obuf) = self.obuf() else { return 0 };
        // SAFETY: nobody else holds a reference into the reader; the buffer does not change
        // meanwhile.
        unsafe {
            let sent = ptr::replace(&raw mut reader.io().sent, ptr::null_mut());
            let bytes = (*sent).of(obuf.as_ptr(), obuf.bytes());
            alloc::free(sent.cast());
            bytes
        }
    }

    /// As `buffer_write` for the default transport, but a part that was sent stays in
    /// `obuf` until it is as large as the rest, so that a large buffer leaving in
    /// small pieces is not moved once for each.
    pub(crate) fn write_on(
        self,
        send: impl FnOnce(Ctx, &[u8]) -> Result<usize, Failed>,
    ) -> Result<bool, Failed> {
        let (Some(reader), true) = (self.reader(), self.is_plain()) else { return self.buffer_write() };
        self.check()?;
        let sent = self.take_sent();
        let Some(obuf) = self.obuf() else { return Ok(true) };
        // SAFETY: the buffer does not change while it is sent.
        let Some(rest) = (unsafe { obuf.bytes() }).get(sent..).filter(|rest| !rest.is_empty()) else {
            return Ok(true);
        };
        let left = rest.len();
        let n = match send(self, rest) {
            Ok(n) => n,
            Err(failed) => {
                obuf.drop_front(sent);
                return Err(failed);
            }
        };
        if n >= left {
            self.empty_obuf(obuf);
            return Ok(true);
        }
        let sent = sent + n;
        if sent == 0 {
            return Ok(false);
        }
        if sent >= left - n {
            obuf.drop_front(sent);
        } else {
            // SAFETY: nobody else holds a reference into the reader; the buffer does not
            // change meanwhile.
            unsafe {
                match alloc::new(Sent::new(obuf.as_ptr(), obuf.bytes(), sent)) {
                    Ok(noted) => reader.io().sent = noted.as_ptr(),
                    Err(OutOfMemory) => obuf.drop_front(sent),
                }
            }
        }
        Ok(false)
    }

    /// Whether bytes wait to be sent.
    pub(crate) fn has_output(self) -> bool {
        // What is sent of it is less than the rest.
        self.obuf().is_some_and(|obuf| obuf.len() > 0)
    }
}
