//! async.h, without its variadic functions, which are in variadic.rs.

use core::ffi::{c_char, c_int, c_void};
use core::mem;
use core::ptr;

use super::hiredis::{to_tcp, to_unix};
use super::{status, text};
use crate::abi::*;
use crate::asynch::handle::Ac;
use crate::asynch::{self, Callback};
use crate::output::AtHand;
use crate::resp::command::{is_command, is_short_command};
use crate::resp::write::{Invalid, Sink, put_argv, put_bytes, write_argv, write_bytes};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncConnectWithOptions(
    options: *const redisOptions,
) -> *mut redisAsyncContext {
    // SAFETY: the caller's promise, see async.h.
    unsafe {
        let Some(options) = options.as_ref() else { return ptr::null_mut() };
        asynch::connect_with_options(options).map_or(ptr::null_mut(), Ac::as_ptr)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncConnect(ip: *const c_char, port: c_int) -> *mut redisAsyncContext {
    // SAFETY: the caller's promise, see async.h.
    unsafe { redisAsyncConnectWithOptions(&to_tcp(ip, port, ptr::null(), 0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncConnectBind(
    ip: *const c_char,
    port: c_int,
    source_addr: *const c_char,
) -> *mut redisAsyncContext {
    // SAFETY: the caller's promise, see async.h.
    unsafe { redisAsyncConnectWithOptions(&to_tcp(ip, port, source_addr, 0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncConnectBindWithReuse(
    ip: *const c_char,
    port: c_int,
    source_addr: *const c_char,
) -> *mut redisAsyncContext {
    // SAFETY: the caller's promise, see async.h.
    unsafe { redisAsyncConnectWithOptions(&to_tcp(ip, port, source_addr, REDIS_OPT_REUSEADDR)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncConnectUnix(path: *const c_char) -> *mut redisAsyncContext {
    // SAFETY: the caller's promise, see async.h.
    unsafe { redisAsyncConnectWithOptions(&to_unix(path, 0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncSetConnectCallback(
    ac: *mut redisAsyncContext,
    fn_: Option<redisConnectCallback>,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe { on(ac, |ac| asynch::set_connect_callback(ac, fn_, None)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncSetConnectCallbackNC(
    ac: *mut redisAsyncContext,
    fn_: Option<redisConnectCallbackNC>,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe { on(ac, |ac| asynch::set_connect_callback(ac, None, fn_)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncSetDisconnectCallback(
    ac: *mut redisAsyncContext,
    fn_: Option<redisDisconnectCallback>,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe { on(ac, |ac| asynch::set_disconnect_callback(ac, fn_)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncSetPushCallback(
    ac: *mut redisAsyncContext,
    fn_: Option<redisAsyncPushFn>,
) -> Option<redisAsyncPushFn> {
    // SAFETY: the caller's promise, see async.h.
    unsafe { if ac.is_null() { None } else { mem::replace(&mut (*ac).push_cb, fn_) } }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncSetTimeout(ac: *mut redisAsyncContext, tv: timeval) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe { on(ac, |ac| asynch::set_timeout(ac, tv)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncDisconnect(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::request_disconnect) }
}

/// Ends the connection at once; for transports, after they have set an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __redisAsyncDisconnect(ac: *mut redisAsyncContext) {
    // SAFETY: a context or NULL.
    unsafe { with(ac, asynch::disconnect) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncFree(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::request_free) }
}

/// Hands out the replies that the reader has; for transports, after they have read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisProcessCallbacks(ac: *mut redisAsyncContext) {
    // SAFETY: a context or NULL.
    unsafe { with(ac, asynch::process_callbacks) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncHandleRead(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::handle_read) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncHandleWrite(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::handle_write) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncHandleTimeout(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::handle_timeout) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncRead(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::read) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncWrite(ac: *mut redisAsyncContext) {
    // SAFETY: the caller's promise, see async.h.
    unsafe { with(ac, asynch::write) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncCommandArgv(
    ac: *mut redisAsyncContext,
    fn_: Option<redisCallbackFn>,
    privdata: *mut c_void,
    argc: c_int,
    argv: *mut *const c_char,
    argvlen: *const usize,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe {
        // Nothing is called before what is called last, so no registers are saved. What is written in
        // vain is written again, or taken back.
        if let Some(room) = room_at_hand(ac)
            && let Some(n) = put_argv(argc, argv, argvlen, room.start, room.limit)
        {
            return send(ac, fn_, privdata, n, room.end);
        }
        submit_argv(ac, fn_, privdata, argc, argv, argvlen)
    }
}

/// As redisAsyncCommandArgv, whatever it is given.
///
/// # Safety
/// As for redisAsyncCommandArgv, see async.h.
#[inline(never)]
unsafe fn submit_argv(
    ac: *mut redisAsyncContext,
    f: Option<redisCallbackFn>,
    privdata: *mut c_void,
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { submit(ac, f, privdata, |sink| write_argv(argc, argv, argvlen, sink)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAsyncFormattedCommand(
    ac: *mut redisAsyncContext,
    fn_: Option<redisCallbackFn>,
    privdata: *mut c_void,
    cmd: *const c_char,
    len: usize,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe {
        // As in redisAsyncCommandArgv.
        if !cmd.is_null()
            && is_short_command(cmd.cast(), len)
            && let Some(room) = room_at_hand(ac)
            && let Some(n) = put_bytes(cmd.cast(), len, room.start, room.limit)
        {
            return send(ac, fn_, privdata, n, room.end);
        }
        submit_bytes(ac, fn_, privdata, cmd, len)
    }
}

/// As redisAsyncFormattedCommand, whatever it is given.
///
/// # Safety
/// As for redisAsyncFormattedCommand, see async.h.
#[inline(never)]
unsafe fn submit_bytes(
    ac: *mut redisAsyncContext,
    f: Option<redisCallbackFn>,
    privdata: *mut c_void,
    cmd: *const c_char,
    len: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = text(cmd, len);
        if !is_command(bytes) {
            return REDIS_ERR;
        }
        submit(ac, f, privdata, |sink| write_bytes(bytes, sink))
    }
}

/// As `asynch::submit`; NULL is REDIS_ERR.
///
/// # Safety
/// As for redisAsyncCommand, see async.h.
pub(super) unsafe fn submit(
    ac: *mut redisAsyncContext,
    f: Option<redisCallbackFn>,
    privdata: *mut c_void,
    write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { Ac::from_raw(ac) } {
        Some(ac) => asynch::submit(ac, Callback { f, privdata }, write),
        None => REDIS_ERR,
    }
}

/// As `asynch::room_at_hand`; `None` for NULL.
///
/// # Safety
/// As for redisAsyncCommand, see async.h.
#[inline(always)]
unsafe fn room_at_hand(ac: *mut redisAsyncContext) -> Option<AtHand> {
    // SAFETY: the caller's promise.
    unsafe { Ac::from_raw(ac).and_then(asynch::room_at_hand) }
}

/// As `asynch::send`.
///
/// # Safety
/// As for redisAsyncCommand, see async.h, and `room_at_hand` gave the room for it.
#[inline(always)]
unsafe fn send(
    ac: *mut redisAsyncContext,
    f: Option<redisCallbackFn>,
    privdata: *mut c_void,
    n: usize,
    end: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { asynch::send(Ac::from_raw(ac).unwrap_unchecked(), Callback { f, privdata }, n, end) }
}

/// Calls `f` with the context, as a status. NULL is REDIS_ERR.
unsafe fn on<E>(ac: *mut redisAsyncContext, f: impl FnOnce(Ac) -> Result<(), E>) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    match unsafe { Ac::from_raw(ac) } {
        Some(ac) => status(f(ac)),
        None => REDIS_ERR,
    }
}

/// Calls `f` with the context, unless it is NULL.
unsafe fn with(ac: *mut redisAsyncContext, f: impl FnOnce(Ac)) {
    // SAFETY: the caller's promise, see async.h.
    if let Some(ac) = unsafe { Ac::from_raw(ac) } {
        f(ac);
    }
}
