//! read.h

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use super::status;
use crate::abi::*;
use crate::resp::read::Reader;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderCreateWithFunctions(
    fn_: *mut redisReplyObjectFunctions,
) -> *mut redisReader {
    Reader::create(fn_).map_or(ptr::null_mut(), Reader::as_ptr)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderFree(r: *mut redisReader) {
    // SAFETY: the caller's promise, see read.h.
    if let Some(reader) = unsafe { Reader::from_raw(r) } {
        reader.free();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderFeed(r: *mut redisReader, buf: *const c_char, len: usize) -> c_int {
    // SAFETY: the caller's promise, see read.h.
    unsafe {
        let Some(reader) = Reader::from_raw(r) else { return REDIS_ERR };
        if buf.is_null() {
            return reader.status();
        }
        status(reader.feed(buf.cast(), len))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderGetReply(r: *mut redisReader, reply: *mut *mut c_void) -> c_int {
    // SAFETY: the caller's promise, see read.h.
    unsafe {
        let reader = Reader::from_raw(r);
        // Where bytes come one by one most calls end here, so this comes before everything
        // for which registers have to be saved.
        if let Some(reader) = reader.filter(|reader| !reader.waits()) {
            return take_reply(reader, reply);
        }
        if !reply.is_null() {
            reply.write(ptr::null_mut());
        }
        reader.map_or(REDIS_ERR, Reader::status)
    }
}

/// The next reply, for a reader that does not wait. NULL for `reply` frees it.
///
/// # Safety
/// As for redisReaderGetReply.
#[inline(never)]
unsafe fn take_reply(reader: Reader, reply: *mut *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let got = reader.take();
        if !reply.is_null() {
            reply.write(got);
        } else if !got.is_null() {
            reader.free_object(got);
        }
        if got.is_null() { reader.status() } else { REDIS_OK }
    }
}
