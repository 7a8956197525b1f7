//! Socket options, and the two timeouts that a context stores.

use core::ffi::{c_int, c_uint};
use core::ptr;

use libc::{IPPROTO_TCP, SO_ERROR, SO_KEEPALIVE, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, TCP_NODELAY};

use super::invalidate;
use crate::abi::*;
use crate::alloc;
use crate::ctx::{Ctx, Failed};
use crate::sys::{self, set_option};

/// Makes the context's descriptor blocking or not. A failure closes it.
pub(crate) fn set_blocking(c: Ctx, blocking: bool) -> Result<(), Failed> {
    // SAFETY: fcntl on any number is safe.
    let flags = unsafe { libc::fcntl(c.fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(invalidate(c, c.io_error("fcntl(F_GETFL): ")));
    }
    let flags = if blocking { flags & !libc::O_NONBLOCK } else { flags | libc::O_NONBLOCK };
    // SAFETY: as above.
    if unsafe { libc::fcntl(c.fd(), libc::F_SETFL, flags) } < 0 {
        return Err(invalidate(c, c.io_error("fcntl(F_SETFL): ")));
    }
    Ok(())
}

/// A failure closes the connection.
pub(crate) fn set_no_delay(c: Ctx) -> Result<(), Failed> {
    if set_option(c.fd(), IPPROTO_TCP, TCP_NODELAY, &1) {
        return Ok(());
    }
    Err(invalidate(c, c.io_error("setsockopt(TCP_NODELAY): ")))
}

/// Probes an idle peer after `interval` seconds, then three times at a third of it.
pub(crate) fn keep_alive(c: Ctx, interval: c_int) -> Result<(), Failed> {
    let fd = c.fd();
    let mut ok = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, &1);
    #[cfg(target_vendor = "apple")]
    {
        ok = ok && set_option(fd, IPPROTO_TCP, libc::TCP_KEEPALIVE, &interval);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let third = (interval / 3).max(1);
        ok = ok
            && set_option(fd, IPPROTO_TCP, libc::TCP_KEEPIDLE, &interval)
            && set_option(fd, IPPROTO_TCP, libc::TCP_KEEPINTVL, &third)
            && set_option(fd, IPPROTO_TCP, libc::TCP_KEEPCNT, &3);
    }
    if ok { Ok(()) } else { Err(c.errno_error(REDIS_ERR_OTHER, "")) }
}

/// Gives up on a peer that acknowledges nothing for so many milliseconds. A failure
/// closes the connection.
pub(crate) fn set_user_timeout(c: Ctx, ms: c_uint) -> Result<(), Failed> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let ok = set_option(c.fd(), IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &ms);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let ok = {
        let _ = ms;
        sys::set_errno(libc::ENOTSUP);
        false
    };
    if ok { Ok(()) } else { Err(invalidate(c, c.io_error("setsockopt(TCP_USER_TIMEOUT): "))) }
}

/// Limits how long one blocking send or receive may take.
pub(crate) fn set_timeout(c: Ctx, tv: timeval) -> Result<(), Failed> {
    if !set_option(c.fd(), SOL_SOCKET, SO_RCVTIMEO, &tv) {
        return Err(c.io_error("setsockopt(SO_RCVTIMEO): "));
    }
    if !set_option(c.fd(), SOL_SOCKET, SO_SNDTIMEO, &tv) {
        return Err(c.io_error("setsockopt(SO_SNDTIMEO): "));
    }
    Ok(())
}

/// Whether the socket reports an error, which then becomes the context's.
pub(crate) fn check_socket_error(c: Ctx) -> Result<(), Failed> {
    let saved = sys::errno();
    let error = match pending_error(c.fd()) {
        None => return Err(c.io_error("getsockopt(SO_ERROR): ")),
        // What connect said counts when the socket has nothing of its own.
        Some(0) => saved,
        Some(error) => error,
    };
    if error == 0 {
        return Ok(());
    }
    sys::set_errno(error);
    Err(c.io_error(""))
}

/// SO_ERROR; `None` when the socket cannot be asked.
pub(crate) fn pending_error(fd: c_int) -> Option<c_int> {
    let mut error: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: an int and its size.
    let got = unsafe { libc::getsockopt(fd, SOL_SOCKET, SO_ERROR, (&raw mut error).cast(), &mut len) };
    (got == 0).then_some(error)
}

/// Stores the connect timeout; NULL drops it.
///
/// # Safety
/// `tv` is NULL or readable.
pub(crate) unsafe fn store_connect_timeout(c: Ctx, tv: *const timeval) -> Result<(), Failed> {
    // SAFETY: a field of a live context; the rest is the caller's promise.
    unsafe { store(c, &raw mut (*c.as_ptr()).connect_timeout, tv) }
}

/// Stores the command timeout; NULL drops it.
///
/// # Safety
/// `tv` is NULL or readable.
pub(crate) unsafe fn store_command_timeout(c: Ctx, tv: *const timeval) -> Result<(), Failed> {
    // SAFETY: a field of a live context; the rest is the caller's promise.
    unsafe { store(c, &raw mut (*c.as_ptr()).command_timeout, tv) }
}

/// # Safety
/// `slot` is a field of the context, `tv` NULL or readable, perhaps the stored one itself.
unsafe fn store(c: Ctx, slot: *mut *mut timeval, tv: *const timeval) -> Result<(), Failed> {
    // SAFETY: the caller's promise.
    unsafe {
        if ptr::eq(*slot, tv) {
            return Ok(());
        }
        if tv.is_null() {
            alloc::free((*slot).cast());
            *slot = ptr::null_mut();
            return Ok(());
        }
        let value = *tv;
        if (*slot).is_null() {
            *slot = alloc::new(value).map_err(|oom| c.out_of_memory(oom))?.as_ptr();
        } else {
            **slot = value;
        }
    }
    Ok(())
}
