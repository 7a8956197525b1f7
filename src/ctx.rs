//! `Ctx`, the plain pointer by which the library holds a `redisContext`.
//!
//! A context is memory that programs read, write, copy and free, and whose fields
//! are the only state. So it travels as a raw handle, each method touches one field
//! for the time of one access, and nothing is remembered between calls.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::resp::read::Reader;
use crate::sys;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ctx(*mut redisContext);

/// The call failed, and `err` and `errstr` of the context say why.
#[derive(Debug)]
pub(crate) struct Failed;

impl Ctx {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `c` is NULL or a context; the handle is used while it lives.
    pub(crate) unsafe fn from_raw(c: *mut redisContext) -> Option<Ctx> {
        if c.is_null() { None } else { Some(Ctx(c)) }
    }

    pub(crate) fn as_ptr(self) -> *mut redisContext {
        self.0
    }

    pub(crate) fn err(self) -> c_int {
        // SAFETY: a live context.
        unsafe { (*self.0).err }
    }

    /// `err` as a result.
    pub(crate) fn check(self) -> Result<(), Failed> {
        if self.err() == 0 { Ok(()) } else { Err(Failed) }
    }

    pub(crate) fn fd(self) -> c_int {
        // SAFETY: a live context.
        unsafe { (*self.0).fd }
    }

    pub(crate) fn has(self, flag: c_int) -> bool {
        // SAFETY: a live context.
        unsafe { (*self.0).flags & flag != 0 }
    }

    pub(crate) fn set(self, flags: c_int) {
        // SAFETY: a live context.
        unsafe { (*self.0).flags |= flags }
    }

    pub(crate) fn clear(self, flags: c_int) {
        // SAFETY: a live context.
        unsafe { (*self.0).flags &= !flags }
    }

    pub(crate) fn reader(self) -> Option<Reader> {
        // SAFETY: a live context's reader is NULL or one of the library's.
        unsafe { Reader::from_raw((*self.0).reader) }
    }

    pub(crate) fn clear_error(self) {
        // SAFETY: a live context.
        unsafe {
            (*self.0).err = 0;
            (*self.0).errstr[0] = 0;
        }
    }

    /// Sets the error to the parts of a text, put together and cut to fit.
    #[cold]
    #[inline(never)]
    pub(crate) fn set_error(self, kind: c_int, parts: &[&[u8]]) -> Failed {
        // SAFETY: a live context; at most 127 bytes and a NUL go into `errstr`. A single
        // part may be this very `errstr`, which copy allows.
        unsafe {
            (*self.0).err = kind;
            let errstr = (&raw mut (*self.0).errstr).cast::<u8>();
            let mut len = 0;
            for part in parts {
                let n = part.len().min(127 - len);
                ptr::copy(part.as_ptr(), errstr.add(len), n);
                len += n;
            }
            errstr.add(len).write(0);
        }
        Failed
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn fail(self, kind: c_int, text: &str) -> Failed {
        self.set_error(kind, &[text.as_bytes()])
    }

    pub(crate) fn out_of_memory(self, _: OutOfMemory) -> Failed {
        self.fail(REDIS_ERR_OOM, "Out of memory")
    }

    /// An IO error with the text of errno, after a prefix.
    pub(crate) fn io_error(self, prefix: &str) -> Failed {
        self.errno_error(REDIS_ERR_IO, prefix)
    }

    /// An error with the text of errno, after a prefix. errno stays.
    #[cold]
    #[inline(never)]
    pub(crate) fn errno_error(self, kind: c_int, prefix: &str) -> Failed {
        let errno = sys::errno();
        let mut text = [0; 128];
        let failed = self.set_error(kind, &[prefix.as_bytes(), sys::strerror(errno, &mut text)]);
        sys::set_errno(errno);
        failed
    }

    /// An error with a text from C.
    ///
    /// # Safety
    /// `text` is a C string.
    pub(crate) unsafe fn c_error(self, kind: c_int, prefix: &str, text: *const c_char) -> Failed {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(text) };
        self.set_error(kind, &[prefix.as_bytes(), text.to_bytes()])
    }
}
