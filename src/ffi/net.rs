//! Functions that no public header declares. libhiredis_ssl needs some of them, old
//! programs may know others.

use core::ffi::{c_char, c_int, c_uint};

use super::hiredis::on;
use super::{status, text};
use crate::abi::*;
use crate::ctx::Ctx;
use crate::net::connect::{self, Progress, Tcp};
use crate::net::{self, option};
use crate::sys;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __redisSetError(c: *mut redisContext, kind: c_int, text: *const c_char) {
    // SAFETY: a context or NULL, a C string or NULL.
    unsafe {
        let Some(c) = Ctx::from_raw(c) else { return };
        if text.is_null() {
            c.errno_error(kind, "")
        } else {
            c.c_error(kind, "", text)
        };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __redisAppendCommand(c: *mut redisContext, cmd: *const c_char, len: usize) -> c_int {
    // SAFETY: a context or NULL, `len` bytes.
    unsafe { on(c, |c| c.append_bytes(text(cmd, len))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisNetClose(c: *mut redisContext) {
    // SAFETY: a context or NULL.
    unsafe { net::close_hook(c) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisNetRead(c: *mut redisContext, buf: *mut c_char, bufcap: usize) -> isize {
    // SAFETY: a context or NULL, `bufcap` bytes.
    unsafe { net::read_hook(c, buf, bufcap) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisNetWrite(c: *mut redisContext) -> isize {
    // SAFETY: a context or NULL.
    unsafe { net::write_hook(c) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisCheckSocketError(c: *mut redisContext) -> c_int {
    // SAFETY: a context or NULL.
    unsafe {
        on(c, |c| {
            // No connect came before that errno could tell of.
            sys::set_errno(0);
            option::check_socket_error(c)
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisCheckConnectDone(c: *mut redisContext, completed: *mut c_int) -> c_int {
    // SAFETY: a context or NULL, an int.
    unsafe {
        let Some(c) = Ctx::from_raw(c).filter(|_| !completed.is_null()) else { return REDIS_ERR };
        status(connect::progress(c).map(|progress| completed.write((progress == Progress::Up).into())))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextConnectTcp(
    c: *mut redisContext,
    addr: *const c_char,
    port: c_int,
    timeout: *const timeval,
) -> c_int {
    // SAFETY: as for redisContextConnectBindTcp.
    unsafe { redisContextConnectBindTcp(c, addr, port, timeout, core::ptr::null()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextConnectBindTcp(
    c: *mut redisContext,
    addr: *const c_char,
    port: c_int,
    timeout: *const timeval,
    source_addr: *const c_char,
) -> c_int {
    // SAFETY: a context or NULL, C strings or NULL, a timeval or NULL.
    unsafe { on(c, |c| connect::tcp(c, Tcp { host: addr, port, timeout, source: source_addr })) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextConnectUnix(
    c: *mut redisContext,
    path: *const c_char,
    timeout: *const timeval,
) -> c_int {
    // SAFETY: a context or NULL, a C string or NULL, a timeval or NULL.
    unsafe { on(c, |c| connect::unix(c, path, timeout)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextSetTimeout(c: *mut redisContext, tv: timeval) -> c_int {
    // SAFETY: a context or NULL.
    unsafe { on(c, |c| option::set_timeout(c, tv)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextSetTcpUserTimeout(c: *mut redisContext, timeout: c_uint) -> c_int {
    // SAFETY: a context or NULL.
    unsafe { on(c, |c| option::set_user_timeout(c, timeout)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextUpdateConnectTimeout(
    c: *mut redisContext,
    timeout: *const timeval,
) -> c_int {
    // SAFETY: a context or NULL, a timeval or NULL.
    unsafe { on(c, |c| option::store_connect_timeout(c, timeout)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisContextUpdateCommandTimeout(
    c: *mut redisContext,
    timeout: *const timeval,
) -> c_int {
    // SAFETY: a context or NULL, a timeval or NULL.
    unsafe { on(c, |c| option::store_command_timeout(c, timeout)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisKeepAlive(c: *mut redisContext, interval: c_int) -> c_int {
    // SAFETY: a context or NULL.
    unsafe { on(c, |c| option::keep_alive(c, interval)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn redisSetTcpNoDelay(c: *mut redisContext) -> c_int {
    // SAFETY: a context or NULL.
    unsafe { on(c, option::set_no_delay) }
}
