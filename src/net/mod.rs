//! The default transport: a socket, and the function table that moves its bytes.
//!
//! Everything above reads, writes and closes through `c->funcs`, so that TLS or a
//! program's own table can take this one's place at any time.

pub(crate) mod connect;
pub(crate) mod option;

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use crate::abi::*;
use crate::ctx::{Ctx, Failed};
use crate::sds::Sds;
use crate::sys::{self, Deadline, Ready};

unsafe extern "C" {
    // Defined in ffi/asynch.rs: the table serves both kinds of contexts.
    fn redisAsyncRead(ac: *mut redisAsyncContext);
    fn redisAsyncWrite(ac: *mut redisAsyncContext);
}

pub(crate) static FUNCTIONS: redisContextFuncs = redisContextFuncs {
    close: Some(close_hook),
    free_privctx: None,
    async_read: Some(redisAsyncRead),
    async_write: Some(redisAsyncWrite),
    read: Some(read_hook),
    write: Some(write_hook),
};

/// No SIGPIPE: a peer that is gone is an error like others.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: c_int = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: c_int = 0;

/// Closes the descriptor, if there is one. A context of zeroes, which some programs
/// make, has a descriptor 0 that is not its own.
pub(crate) fn close(c: Ctx) {
    // SAFETY: a live context.
    if unsafe { (*c.as_ptr()).funcs.is_null() } {
        return;
    }
    // SAFETY: a live context.
    let fd = unsafe { ptr::replace(&raw mut (*c.as_ptr()).fd, REDIS_INVALID_FD) };
    if fd != REDIS_INVALID_FD {
        sys::close(fd);
    }
}

/// Closes the descriptor because of a failure.
pub(crate) fn invalidate(c: Ctx, failed: Failed) -> Failed {
    close(c);
    failed
}

/// Receives up to `cap` bytes; `Ok(0)` when there are none now.
///
/// # Safety
/// `cap` bytes at `buf` may be written.
pub(crate) unsafe fn read(c: Ctx, buf: *mut c_char, cap: usize) -> Result<usize, Failed> {
    let flags = if c.has(REDIS_BLOCK) { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: the caller's promise.
    match unsafe { libc::recv(c.fd(), buf.cast(), cap, flags) } {
        0 if cap > 0 => Err(c.fail(REDIS_ERR_EOF, "Server closed the connection")),
        n if n >= 0 => Ok(n as usize),
        _ => match sys::errno() {
            libc::EINTR => Ok(0),
            e if (e == libc::EWOULDBLOCK || e == libc::EAGAIN) && !c.has(REDIS_BLOCK) => Ok(0),
            libc::ETIMEDOUT if c.has(REDIS_BLOCK) => Err(c.fail(REDIS_ERR_TIMEOUT, "recv timeout")),
            _ => Err(c.io_error("")),
        },
    }
}

/// Sends from `bytes`; `Ok(0)` when the socket takes none now.
pub(crate) fn write(c: Ctx, bytes: &[u8]) -> Result<usize, Failed> {
    send(c, bytes, !c.has(REDIS_BLOCK))
}

/// As `write`, without waiting in a blocking context either.
pub(crate) fn write_now(c: Ctx, bytes: &[u8]) -> Result<usize, Failed> {
    send(c, bytes, true)
}

fn send(c: Ctx, bytes: &[u8], now: bool) -> Result<usize, Failed> {
    let flags = if now { SEND_FLAGS | libc::MSG_DONTWAIT } else { SEND_FLAGS };
    // SAFETY: the slice is readable.
    match unsafe { libc::send(c.fd(), bytes.as_ptr().cast::<c_void>(), bytes.len(), flags) } {
        n if n >= 0 => Ok(n as usize),
        _ => match sys::errno() {
            libc::EINTR => Ok(0),
            e if (e == libc::EWOULDBLOCK || e == libc::EAGAIN) && now => Ok(0),
            _ => Err(c.io_error("")),
        },
    }
}

/// Waits until a blocking context can read or write. False when it is too late.
pub(crate) fn wait(c: Ctx, events: i16, deadline: Deadline) -> Result<bool, Failed> {
    if c.fd() < 0 {
        // A signal handler may have closed it; poll would ignore it.
        sys::set_errno(libc::EBADF);
        return Err(c.io_error(""));
    }
    match sys::poll(c.fd(), events, deadline.left()) {
        Ready::Events(_) | Ready::Interrupted => Ok(true),
        Ready::TimedOut => Ok(false),
        Ready::Failed => Err(c.io_error("poll(2): ")),
    }
}

pub(crate) unsafe extern "C" fn close_hook(c: *mut redisContext) {
    // SAFETY: the contract of redisContextFuncs, see hiredis.h.
    if let Some(c) = unsafe { Ctx::from_raw(c) } {
        close(c);
    }
}

pub(crate) unsafe extern "C" fn read_hook(c: *mut redisContext, buf: *mut c_char, cap: usize) -> isize {
    // SAFETY: the contract of redisContextFuncs, see hiredis.h.
    unsafe {
        let Some(c) = Ctx::from_raw(c) else { return -1 };
        read(c, buf, cap).map_or(-1, |n| n as isize)
    }
}

pub(crate) unsafe extern "C" fn write_hook(c: *mut redisContext) -> isize {
    // SAFETY: the contract of redisContextFuncs, see hiredis.h; `obuf` does not change
    // while it is sent.
    unsafe {
        let Some(c) = Ctx::from_raw(c) else { return -1 };
        let bytes = Sds::from_raw((*c.as_ptr()).obuf).map_or(&[][..], |obuf| obuf.bytes());
        write(c, bytes).map_or(-1, |n| n as isize)
    }
}
