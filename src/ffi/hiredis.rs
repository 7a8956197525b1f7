//! hiredis.h, without its variadic functions, which are in variadic.rs.

use core::ffi::{c_char, c_int, c_longlong, c_uint, c_void};
use core::mem;
use core::ptr;

use super::{status, text};
use crate::abi::*;
use crate::alloc;
use crate::context;
use crate::ctx::{Ctx, Failed};
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::resp::write::{to_block, to_sds, write_argv_inline};
use crate::sds::Sds;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReaderCreate() -> *mut redisReader {
    Reader::create_default().map_or(ptr::null_mut(), Reader::as_ptr)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn freeReplyObject(reply: *mut c_void) {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { reply::release(reply) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFormatCommandArgv(
    target: *mut *mut c_char,
    argc: c_int,
    argv: *mut *const c_char,
    argvlen: *const usize,
) -> c_longlong {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        if target.is_null() {
            return -1;
        }
        let Ok((bytes, len)) = to_block(|sink| write_argv_inline(argc, argv, argvlen, sink)) else {
            return -1;
        };
        target.write(bytes);
        len as c_longlong
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFormatSdsCommandArgv(
    target: *mut sds,
    argc: c_int,
    argv: *mut *const c_char,
    argvlen: *const usize,
) -> c_longlong {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        if target.is_null() {
            return -1;
        }
        let Ok((command, len)) = to_sds(|sink| write_argv_inline(argc, argv, argvlen, sink)) else {
            return -1;
        };
        target.write(command.as_ptr());
        len as c_longlong
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFreeCommand(cmd: *mut c_char) {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { alloc::free(cmd.cast()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFreeSdsCommand(cmd: sds) {
    // SAFETY: the caller's promise, see hiredis.h.
    if let Some(cmd) = unsafe { Sds::from_raw(cmd) } {
        cmd.free();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectWithOptions(options: *const redisOptions) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        let Some(options) = options.as_ref() else { return ptr::null_mut() };
        context::connect_with_options(options).map_or(ptr::null_mut(), Ctx::as_ptr)
    }
}

/// Options for a TCP connection.
pub(super) fn to_tcp(
    ip: *const c_char,
    port: c_int,
    source_addr: *const c_char,
    options: c_int,
) -> redisOptions {
    redisOptions {
        r#type: REDIS_CONN_TCP,
        options,
        endpoint: redisOptionsEndpoint { tcp: redisOptionsTcp { source_addr, ip, port } },
        ..no_options()
    }
}

/// Options for a unix socket.
pub(super) fn to_unix(path: *const c_char, options: c_int) -> redisOptions {
    redisOptions {
        r#type: REDIS_CONN_UNIX,
        options,
        endpoint: redisOptionsEndpoint { unix_socket: path },
        ..no_options()
    }
}

fn no_options() -> redisOptions {
    // SAFETY: all zeroes are valid options.
    unsafe { mem::zeroed() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnect(ip: *const c_char, port: c_int) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&to_tcp(ip, port, ptr::null(), 0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectWithTimeout(
    ip: *const c_char,
    port: c_int,
    tv: timeval,
) -> *mut redisContext {
    let options = redisOptions { connect_timeout: &tv, ..to_tcp(ip, port, ptr::null(), 0) };
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&options) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectNonBlock(ip: *const c_char, port: c_int) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&to_tcp(ip, port, ptr::null(), REDIS_OPT_NONBLOCK)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectBindNonBlock(
    ip: *const c_char,
    port: c_int,
    source_addr: *const c_char,
) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&to_tcp(ip, port, source_addr, REDIS_OPT_NONBLOCK)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectBindNonBlockWithReuse(
    ip: *const c_char,
    port: c_int,
    source_addr: *const c_char,
) -> *mut redisContext {
    let options = to_tcp(ip, port, source_addr, REDIS_OPT_NONBLOCK | REDIS_OPT_REUSEADDR);
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&options) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectUnix(path: *const c_char) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&to_unix(path, 0)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectUnixWithTimeout(path: *const c_char, tv: timeval) -> *mut redisContext {
    let options = redisOptions { connect_timeout: &tv, ..to_unix(path, 0) };
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&options) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectUnixNonBlock(path: *const c_char) -> *mut redisContext {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { redisConnectWithOptions(&to_unix(path, REDIS_OPT_NONBLOCK)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisConnectFd(fd: redisFD) -> *mut redisContext {
    let options =
        redisOptions { r#type: REDIS_CONN_USERFD, endpoint: redisOptionsEndpoint { fd }, ..no_options() };
    // SAFETY: options made here.
    unsafe { redisConnectWithOptions(&options) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisReconnect(c: *mut redisContext) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, context::reconnect) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisSetPushCallback(
    c: *mut redisContext,
    fn_: Option<redisPushFn>,
) -> Option<redisPushFn> {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { if c.is_null() { None } else { mem::replace(&mut (*c).push_cb, fn_) } }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisSetTimeout(c: *mut redisContext, tv: timeval) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.set_timeout(tv)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisEnableKeepAlive(c: *mut redisContext) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.keep_alive(REDIS_KEEPALIVE_INTERVAL)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisEnableKeepAliveWithInterval(c: *mut redisContext, interval: c_int) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.keep_alive(interval)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisSetTcpUserTimeout(c: *mut redisContext, timeout: c_uint) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| crate::net::option::set_user_timeout(c, timeout)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFree(c: *mut redisContext) {
    // SAFETY: the caller's promise, see hiredis.h.
    if let Some(c) = unsafe { Ctx::from_raw(c) } {
        c.free();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisFreeKeepFd(c: *mut redisContext) -> redisFD {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { Ctx::from_raw(c) }.map_or(REDIS_INVALID_FD, Ctx::free_keep_fd)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisBufferRead(c: *mut redisContext) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, Ctx::buffer_read) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisBufferWrite(c: *mut redisContext, done: *mut c_int) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        on(c, |c| {
            let empty = c.buffer_write()?;
            if !done.is_null() {
                done.write(empty.into());
            }
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisGetReply(c: *mut redisContext, reply: *mut *mut c_void) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.get_reply().map(|got| give(c, got, reply))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisGetReplyFromReader(c: *mut redisContext, reply: *mut *mut c_void) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.reply_from_reader().map(|got| give(c, got, reply))) }
}

/// Stores a reply for the caller, or frees it if there is nowhere to.
unsafe fn give(c: Ctx, got: *mut c_void, reply: *mut *mut c_void) {
    if reply.is_null() {
        return c.drop_reply(got);
    }
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { reply.write(got) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAppendFormattedCommand(
    c: *mut redisContext,
    cmd: *const c_char,
    len: usize,
) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.append_bytes(text(cmd, len))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisAppendCommandArgv(
    c: *mut redisContext,
    argc: c_int,
    argv: *mut *const c_char,
    argvlen: *const usize,
) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.append_argv(argc, argv, argvlen)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisCommandArgv(
    c: *mut redisContext,
    argc: c_int,
    argv: *mut *const c_char,
    argvlen: *const usize,
) -> *mut c_void {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        let Some(c) = Ctx::from_raw(c) else { return ptr::null_mut() };
        c.command_argv(argc, argv, argvlen).unwrap_or(ptr::null_mut())
    }
}

/// Calls `f` with the context, as a status. NULL is REDIS_ERR.
pub(super) unsafe fn on(c: *mut redisContext, f: impl FnOnce(Ctx) -> Result<(), Failed>) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    match unsafe { Ctx::from_raw(c) } {
        Some(c) => status(f(c)),
        None => REDIS_ERR,
    }
}
