//! Commands on their way into `obuf`.

use core::ffi::{c_char, c_int};
use core::slice;

use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::args;
use crate::ctx::{Ctx, Failed};
use crate::resp::format;
use crate::resp::write::{Invalid, Owner, Sink, Written, write_argv, write_bytes};
use crate::sds::Sds;
use crate::transport::OBUF_FIRST;

impl Ctx {
    /// Appends a command, or other bytes, to what is to be sent. On failure nothing of
    /// it is.
    #[inline]
    pub(crate) fn append(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
    ) -> Result<Written, Invalid> {
        self.append_if(write, |written, _| Ok(written))
    }

    /// As `append`, if `accept`, which sees what was written, agrees.
    #[inline]
    pub(crate) fn append_if<T>(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
        accept: impl FnOnce(Written, &[u8]) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        let obuf = match self.obuf() {
            Some(obuf) => obuf,
            None => self.new_obuf()?,
        };
        let (len, room) = obuf.extent();
        let mut owner = Output { c: self, obuf, len };
        // SAFETY: the room after the text, which is nobody else's until it is part of it.
        let sink = unsafe { Sink::new(owner.tail(), room, &mut owner) };
        let mut len = 0;
        let accepted = write(sink).and_then(|written| {
            len = written.len;
            // SAFETY: so much is written there.
            accept(written, unsafe { slice::from_raw_parts(owner.tail(), len) })
        });
        owner.commit(if accepted.is_ok() { len } else { 0 });
        accepted
    }

    #[cold]
    fn new_obuf(self) -> Result<Sds, OutOfMemory> {
        let obuf = Sds::with_capacity(OBUF_FIRST)?;
        // SAFETY: a live context without a buffer.
        unsafe { (*self.as_ptr()).obuf = obuf.as_ptr() };
        Ok(obuf)
    }

    /// Appends what the program encoded itself.
    pub(crate) fn append_bytes(self, bytes: &[u8]) -> Result<(), Failed> {
        let write = |sink: Sink<'_>| write_bytes(bytes, 0, sink);
        self.append(write).map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
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
        let written = self.append(|sink| unsafe { format::write(format, args, sink) });
        written.map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
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
        let written = self.append(|sink| unsafe { write_argv(argc, argv, argvlen, sink) });
        written.map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
    }

    /// Counts a command that was appended.
    pub(crate) fn asked(self) {
        if let Some(reader) = self.reader() {
            // SAFETY: nobody else holds a reference into the reader.
            unsafe { reader.io().unanswered += 1 };
        }
    }

    /// Sets the error for a command that could not be made.
    pub(crate) fn invalid_command(self, why: Invalid) -> Failed {
        match why {
            Invalid::Memory | Invalid::Size => self.out_of_memory(OutOfMemory),
            Invalid::Format => self.fail(REDIS_ERR_OTHER, "Invalid format string"),
            Invalid::Null => self.fail(REDIS_ERR_OTHER, "NULL argument"),
            Invalid::Refused => Failed,
        }
    }
}

/// The end of an `obuf` while something is written there.
struct Output {
    c: Ctx,
    obuf: Sds,
    /// The length without what is being written.
    len: usize,
}

impl Output {
    fn tail(&self) -> *mut u8 {
        // SAFETY: the room follows the text.
        unsafe { self.obuf.as_ptr().cast::<u8>().add(self.len) }
    }

    /// Makes `n` bytes more part of the text; with 0 it is as it was, up to its NUL.
    #[inline]
    fn commit(&self, n: usize) {
        self.obuf.set_len(self.len + n);
        let Some(reader) = self.c.reader() else { return };
        // SAFETY: nobody else holds a reference into the reader.
        let sent = unsafe { &mut reader.io().sent };
        if sent.bytes > 0 {
            sent.grown(self.len, self.len + n);
        }
    }
}

impl Owner for Output {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        let old = self.obuf;
        // What is written so far moves along only as part of the text.
        old.set_len(self.len + len);
        self.obuf = old.reserve(need - len)?;
        // SAFETY: a live context; nobody holds a reference into the reader.
        unsafe {
            (*self.c.as_ptr()).obuf = self.obuf.as_ptr();
            if let Some(reader) = self.c.reader() {
                reader.io().sent.moved(old.as_ptr(), self.obuf.as_ptr());
            }
        }
        Ok((self.tail(), len + self.obuf.avail()))
    }
}
