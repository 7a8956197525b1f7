//! Commands on their way into `obuf`.

use core::ffi::{c_char, c_int};
use core::slice;

use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::args;
use crate::ctx::{Ctx, Failed};
use crate::resp::format;
use crate::resp::write::{AROUND, Invalid, Owner, Sink, write_argv, write_bytes};
use crate::sds::Sds;
use crate::transport::{OBUF_FIRST, OBUF_KEPT};

/// Below this a buffer that will not be kept grows by more than doubling.
const QUICK_GROWTH: usize = 2048;

/// Room in a buffer as it is.
pub(crate) struct AtHand {
    /// How much is in the buffer.
    pub(crate) end: usize,
    /// Where the room begins.
    pub(crate) start: *mut u8,
    /// Every place below it has AROUND bytes and one more; it is not above `start` if there is less.
    pub(crate) limit: usize,
}

impl Ctx {
    /// Writes a command, or other bytes, at the end of what is to be sent, of which it is no
    /// part until `commit`. Gives its length, and where that end is.
    #[inline(always)]
    pub(crate) fn write_out(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
    ) -> (Result<usize, Invalid>, usize) {
        let obuf = match self.obuf() {
            Some(obuf) => obuf,
            None => match self.new_obuf() {
                Ok(obuf) => obuf,
                Err(oom) => return (Err(oom.into()), 0),
            },
        };
        let (end, room) = obuf.extent();
        let mut owner = self;
        // SAFETY: the room after the text, which is nobody else's until it is part of it.
        let written = unsafe {
            let start = obuf.as_ptr().cast::<u8>().add(end);
            write(Sink::new(start, room, &mut owner))
        };
        (written, end)
    }

    /// The room at the end of what is to be sent, if the buffer is one of those that are common.
    #[inline(always)]
    pub(crate) fn room_at_hand(self) -> Option<AtHand> {
        let obuf = self.obuf()?;
        let (end, capacity) = obuf.common_extent()?;
        let buf = obuf.as_ptr().cast::<u8>();
        let limit = (buf.addr() + capacity).wrapping_sub(AROUND);
        Some(AtHand { end, start: buf.wrapping_add(end), limit })
    }

    /// `n` bytes that were written at that end.
    ///
    /// # Safety
    /// They were, and nothing happened to the output since.
    #[inline(always)]
    pub(crate) unsafe fn written<'a>(self, end: usize, n: usize) -> &'a [u8] {
        // SAFETY: the caller's promise: it was written to a buffer.
        unsafe { slice::from_raw_parts(self.obuf().unwrap_unchecked().as_ptr().cast::<u8>().add(end), n) }
    }

    /// Makes them part of the output.
    ///
    /// # Safety
    /// As for `written`.
    #[inline(always)]
    pub(crate) unsafe fn commit(self, end: usize, n: usize) {
        if let Some(reader) = self.reader() {
            // SAFETY: nobody else holds a reference into the reader.
            if let Some(sent) = unsafe { reader.io().sent.as_mut() } {
                sent.grown(end, end + n);
            }
        }
        // SAFETY: as in `written`.
        unsafe { self.obuf().unwrap_unchecked() }.set_len_inline(end + n);
    }

    /// Forgets what was written: the text ends where it did; if there is none, much room is
    /// given back.
    #[cold]
    pub(crate) fn take_back(self) {
        match self.obuf() {
            Some(obuf) if obuf.len() == 0 => self.empty_obuf(obuf),
            Some(obuf) => obuf.set_len(obuf.len()),
            None => {}
        }
    }

    /// Appends a command, or other bytes, to what is to be sent. On failure nothing of
    /// it is, and the error is set.
    fn append(self, write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>) -> Result<(), Failed> {
        let (written, end) = self.write_out(write);
        let n = written.map_err(|why| self.invalid_command(why))?;
        // SAFETY: so much was written there, and nothing happened since.
        unsafe { self.asked(n, end) };
        Ok(())
    }

    /// Counts a command of `n` bytes that was written at that end, as part of the output.
    ///
    /// # Safety
    /// As for `written`.
    #[inline(never)]
    pub(crate) unsafe fn asked(self, n: usize, end: usize) {
        // SAFETY: the caller's promise; nobody else holds a reference into the reader.
        unsafe {
            if let Some(reader) = self.reader() {
                let io = reader.io();
                io.unanswered = io.unanswered.saturating_add(1);
            }
            self.commit(end, n);
        }
    }

    #[cold]
    fn new_obuf(self) -> Result<Sds, OutOfMemory> {
        let obuf = Sds::with_short_capacity(OBUF_FIRST)?;
        // SAFETY: a live context without a buffer.
        unsafe { (*self.as_ptr()).obuf = obuf.as_ptr() };
        Ok(obuf)
    }

    /// Appends what the program encoded itself.
    pub(crate) fn append_bytes(self, bytes: &[u8]) -> Result<(), Failed> {
        self.append(|sink| write_bytes(bytes, sink))
    }

    /// Appends a command from a format.
    ///
    /// # Safety
    /// `format` is NULL or a C string, and `args` are what it asks for.
    pub(crate) unsafe fn append_format(
        self,
        format: *const c_char,
        args: &mut impl args::Args,
    ) -> Result<(), Failed> {
        // SAFETY: the caller's promise.
        self.append(|sink| unsafe { format::write(format, args, sink) })
    }

    /// Appends a command from an argument vector.
    ///
    /// # Safety
    /// As for `write_argv`.
    pub(crate) unsafe fn append_argv(
        self,
        argc: c_int,
        argv: *const *const c_char,
        argvlen: *const usize,
    ) -> Result<(), Failed> {
        // SAFETY: the caller's promise.
        self.append(|sink| unsafe { write_argv(argc, argv, argvlen, sink) })
    }

    /// Sets the error for a command that could not be made.
    #[cold]
    pub(crate) fn invalid_command(self, why: Invalid) -> Failed {
        self.take_back();
        match why {
            Invalid::Memory | Invalid::Size => self.out_of_memory(OutOfMemory),
            Invalid::Format => self.fail(REDIS_ERR_OTHER, "Invalid format string"),
            Invalid::Null => self.fail(REDIS_ERR_OTHER, "NULL argument"),
            Invalid::Refused => Failed,
        }
    }
}

impl Owner for Ctx {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        let Some(old) = self.obuf() else { return Err(OutOfMemory) };
        let text = old.len();
        // What is written so far moves along only as part of the text.
        old.set_len(text + len);
        // One that is too large to be kept in any case grows faster at first: a batch is under way.
        let quick = text < QUICK_GROWTH && text.saturating_add(need) > OBUF_KEPT / 2;
        let more = if quick { 2 * text } else { 0 };
        let grown = old.reserve((need - len).saturating_add(more));
        let obuf = grown.unwrap_or(old);
        obuf.count(text);
        grown?;
        // SAFETY: a live context; nobody holds a reference into the reader.
        unsafe {
            (*self.as_ptr()).obuf = obuf.as_ptr();
            if let Some(reader) = self.reader()
                && let Some(sent) = reader.io().sent.as_mut()
            {
                sent.moved(old.as_ptr(), obuf.as_ptr());
            }
            let (_, room) = obuf.extent();
            Ok((obuf.tail(), room))
        }
    }
}
