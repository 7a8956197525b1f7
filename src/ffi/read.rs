//! read.h

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use super::status;
use crate::abi::*;
use crate::resp::read::Reader;
use crate::room;

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
        if len <= room::MEDIUM && reader.feed_short(buf.cast(), len) {
            return REDIS_OK;
        }
        feed(reader, buf, len)
    }
}

/// As redisReaderFeed, however much there is to be done.
///
/// # Safety
/// As for redisReaderFeed.
#[inline(never)]
unsafe fn feed(reader: Reader, buf: *const c_char, len: usize) -> c_int {
    // SAFETY: the caller's promise.
    status(unsafe { reader.feed(buf.cast(), len) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderGetReply(r: *mut redisReader, reply: *mut *mut c_void) -> c_int {
    // SAFETY: the caller's promise, see read.h.
    unsafe {
        let reader = Reader::from_raw(r);
        // Where bytes come one by one most calls end here, so this comes before everything
        // for which registers have to be saved.
        if let Some(reader) = reader.filter(|reader| !reader.waits()) {
            return if reply.is_null() { drop_reply(reader) } else { reader.take(reply) };
        }
        if !reply.is_null() {
            reply.write(ptr::null_mut());
        }
        reader.map_or(REDIS_ERR, Reader::status)
    }
}

/// As redisReaderGetReply for who does not want the reply.
///
/// # Safety
/// As for `Reader::take`.
#[cold]
#[inline(never)]
unsafe fn drop_reply(reader: Reader) -> c_int {
    let mut reply = ptr::null_mut();
    // SAFETY: the caller's promise.
    let status = unsafe { reader.take(&raw mut reply) };
    if !reply.is_null() {
        reader.free_object(reply);
    }
    status
}
