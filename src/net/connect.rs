//! Opens connections: TCP by name or address, unix sockets.
//!
//! A socket is non-blocking while it connects, so that one deadline covers all the
//! addresses of a name; a blocking context gets it back in blocking mode. What is
//! needed to do it again (host, port, timeout, path) stays in the context.

use core::ffi::{CStr, c_char, c_int};
use core::mem::{self, MaybeUninit, offset_of};
use core::ptr;

use libc::{addrinfo, sockaddr_un, socklen_t};

use super::option::{check_socket_error, pending_error, set_blocking, set_no_delay, store_connect_timeout};
use super::{close, invalidate};
use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::ctx::{Ctx, Failed};
use crate::decimal::Decimal;
use crate::sys::{self, Deadline, Ready, set_option};

/// What `tcp` and `unix` are asked for. All of it is copied.
pub(crate) struct Tcp {
    pub(crate) host: *const c_char,
    pub(crate) port: c_int,
    pub(crate) timeout: *const timeval,
    pub(crate) source: *const c_char,
}

/// Connects to the first address of a host that answers.
///
/// # Safety
/// The strings are NULL or C strings, the timeout is NULL or readable; they may be
/// the ones that the context has stored.
pub(crate) unsafe fn tcp(c: Ctx, to: Tcp) -> Result<(), Failed> {
    // SAFETY: a live context; the rest is the caller's promise.
    unsafe {
        let raw = c.as_ptr();
        (*raw).connection_type = REDIS_CONN_TCP;
        (*raw).tcp.port = to.port;
        store_string(&raw mut (*raw).tcp.host, to.host).map_err(|oom| c.out_of_memory(oom))?;
        store_string(&raw mut (*raw).tcp.source_addr, to.source).map_err(|oom| c.out_of_memory(oom))?;
        store_connect_timeout(c, to.timeout)?;
        let deadline = deadline(c)?;
        let service = u16::try_from(to.port).map_err(|_| gai_error(c, "", libc::EAI_SERVICE))?;
        let addresses = resolve(c, (*raw).tcp.host, service).map_err(|e| gai_error(c, "", e))?;
        connect_any(c, &addresses, deadline)?;
    }
    finish(c)
}

/// Connects to a unix socket.
///
/// # Safety
/// As for `tcp`.
pub(crate) unsafe fn unix(c: Ctx, path: *const c_char, timeout: *const timeval) -> Result<(), Failed> {
    // SAFETY: a live context; the rest is the caller's promise.
    unsafe {
        let raw = c.as_ptr();
        (*raw).connection_type = REDIS_CONN_UNIX;
        store_string(&raw mut (*raw).unix_sock.path, path).map_err(|oom| c.out_of_memory(oom))?;
        store_connect_timeout(c, timeout)?;
        let deadline = deadline(c)?;
        let path = if path.is_null() { c"" } else { CStr::from_ptr((*raw).unix_sock.path) };
        let path = path.to_bytes_with_nul();

        let mut address = MaybeUninit::<sockaddr_un>::zeroed().assume_init();
        address.sun_family = libc::AF_UNIX as _;
        // Unlike hiredis: a path that does not fit is an error, not another path.
        if path.len() > address.sun_path.len() {
            sys::set_errno(libc::ENAMETOOLONG);
            return Err(c.io_error(""));
        }
        ptr::copy_nonoverlapping(path.as_ptr(), address.sun_path.as_mut_ptr().cast(), path.len());
        let len = offset_of!(sockaddr_un, sun_path) + path.len();

        open_socket(c, libc::AF_UNIX).map_err(|()| c.io_error(""))?;
        store_address(c, (&raw const address).cast(), len).map_err(|oom| c.out_of_memory(oom))?;
        match start(c) {
            Ok(()) => {}
            // Under way, as far as an event loop is concerned.
            Err(libc::EINPROGRESS | libc::EAGAIN) if !c.has(REDIS_BLOCK) => {}
            Err(libc::EINPROGRESS) => wait(c, deadline)?,
            Err(libc::EAGAIN) => wait_for_backlog(c, deadline)?,
            Err(_) => return Err(invalidate(c, c.io_error(""))),
        }
    }
    finish(c)
}

/// The connection is there, or on its way.
fn finish(c: Ctx) -> Result<(), Failed> {
    if c.has(REDIS_BLOCK) {
        set_blocking(c, true)?;
    }
    c.set(REDIS_CONNECTED);
    Ok(())
}

/// Replaces a stored string by a copy, unless it is the stored one.
///
/// # Safety
/// `slot` is a field of a live context; `s` is NULL or a C string.
#[inline(never)]
unsafe fn store_string(slot: *mut *mut c_char, s: *const c_char) -> Result<(), OutOfMemory> {
    // SAFETY: the caller's promise.
    unsafe {
        if ptr::eq(*slot, s) {
            return Ok(());
        }
        let copy = if s.is_null() { ptr::null_mut() } else { alloc::strdup(s) };
        if copy.is_null() && !s.is_null() {
            return Err(OutOfMemory);
        }
        alloc::free(ptr::replace(slot, copy).cast());
    }
    Ok(())
}

/// When the stored connect timeout ends.
#[inline(never)]
fn deadline(c: Ctx) -> Result<Deadline, Failed> {
    // SAFETY: a live context's timeout is NULL or a block of its own.
    let Some(tv) = (unsafe { (*c.as_ptr()).connect_timeout.as_ref() }) else { return Ok(Deadline::NEVER) };
    match sys::timeout_ms(tv) {
        Some(ms) => Ok(Deadline::after(ms)),
        None => Err(c.fail(REDIS_ERR_IO, "Invalid timeout specified")),
    }
}

/// Addresses from the resolver.
struct Addresses(*mut addrinfo);

impl Addresses {
    fn iter(&self) -> impl Iterator<Item = &addrinfo> {
        // SAFETY: the resolver's list lives as long as `self`.
        let mut next = unsafe { self.0.as_ref() };
        core::iter::from_fn(move || {
            let this = next?;
            // SAFETY: as above.
            next = unsafe { this.ai_next.as_ref() };
            Some(this)
        })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: a list from getaddrinfo.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

/// getaddrinfo for a stream socket.
///
/// # Safety
/// `host` is a C string.
#[inline(never)]
unsafe fn lookup(
    host: *const c_char,
    service: Option<u16>,
    family: c_int,
    flags: c_int,
) -> Result<Addresses, c_int> {
    // SAFETY: zeroes are valid hints; the strings end in NUL.
    unsafe {
        let mut hints: addrinfo = mem::zeroed();
        hints.ai_family = family;
        hints.ai_socktype = libc::SOCK_STREAM;
        hints.ai_flags = flags;
        let mut text = [0u8; 6];
        let digits = service.map(|port| Decimal::unsigned(port.into()));
        if let Some(digits) = &digits {
            hints.ai_flags |= libc::AI_NUMERICSERV;
            for (to, from) in text.iter_mut().zip(digits.as_bytes()) {
                *to = *from;
            }
        }
        let service = if digits.is_some() { text.as_ptr().cast() } else { ptr::null() };
        let mut found = ptr::null_mut();
        match libc::getaddrinfo(host, service, &hints, &mut found) {
            0 => Ok(Addresses(found)),
            error => Err(error),
        }
    }
}

/// The addresses of a host: a literal of either family as it is, a name first in
/// the preferred family and then in the other.
///
/// # Safety
/// `host` is NULL or a C string.
unsafe fn resolve(c: Ctx, host: *const c_char, port: u16) -> Result<Addresses, c_int> {
    if host.is_null() {
        return Err(libc::EAI_NONAME);
    }
    let port = Some(port);
    // SAFETY: a C string, says the caller.
    unsafe {
        // Unlike hiredis: a literal never goes through the resolver.
        if let Ok(literal) = lookup(host, port, libc::AF_UNSPEC, libc::AI_NUMERICHOST) {
            return Ok(literal);
        }
        let (first, second) = match (c.has(REDIS_PREFER_IPV4), c.has(REDIS_PREFER_IPV6)) {
            (true, true) => return lookup(host, port, libc::AF_UNSPEC, 0),
            (false, true) => (libc::AF_INET6, libc::AF_INET),
            _ => (libc::AF_INET, libc::AF_INET6),
        };
        lookup(host, port, first, 0).or_else(|_| lookup(host, port, second, 0))
    }
}

/// The resolver's error, after a prefix.
#[inline(never)]
fn gai_error(c: Ctx, prefix: &str, error: c_int) -> Failed {
    // SAFETY: gai_strerror gives a C string for any number.
    unsafe { c.c_error(REDIS_ERR_OTHER, prefix, libc::gai_strerror(error)) }
}

/// Why an address was given up.
enum Stop {
    /// Another may do; the context has the error for the case that none does.
    Next(Failed),
    /// No other address would fare better.
    Fatal(Failed),
}

/// Tries the addresses in order, within one deadline.
///
/// Unlike hiredis, which goes on only when a host is unreachable.
fn connect_any(c: Ctx, addresses: &Addresses, deadline: Deadline) -> Result<(), Failed> {
    let mut last = None;
    for address in addresses.iter() {
        match connect_one(c, address, deadline) {
            Ok(()) => {
                c.clear_error();
                return Ok(());
            }
            Err(Stop::Fatal(failed)) => return Err(failed),
            Err(Stop::Next(failed)) => last = Some(failed),
        }
        close(c);
        if deadline.left() == 0 {
            break;
        }
    }
    Err(last.unwrap_or_else(|| c.errno_error(REDIS_ERR_OTHER, "Can't create socket: ")))
}

/// Connects to one address, or leaves the connection under way if the context does
/// not block.
fn connect_one(c: Ctx, address: &addrinfo, deadline: Deadline) -> Result<(), Stop> {
    let len = address.ai_addrlen as usize;
    let mut tries = 0;
    loop {
        tries += 1;
        open_socket(c, address.ai_family)
            .map_err(|()| Stop::Next(c.errno_error(REDIS_ERR_OTHER, "Can't create socket: ")))?;
        set_no_delay(c).map_err(Stop::Fatal)?;
        bind_source(c, address).map_err(Stop::Fatal)?;
        // SAFETY: the resolver's address of that length.
        unsafe { store_address(c, address.ai_addr, len) }.map_err(|oom| Stop::Fatal(c.out_of_memory(oom)))?;
        return match start(c) {
            Ok(()) => Ok(()),
            Err(libc::EINPROGRESS) if !c.has(REDIS_BLOCK) => Ok(()),
            Err(libc::EINPROGRESS) => wait(c, deadline).map_err(Stop::Next),
            // The local port is still taken by an old connection to the same peer.
            Err(libc::EADDRNOTAVAIL) if c.has(REDIS_REUSEADDR) && tries < REDIS_CONNECT_RETRIES => {
                close(c);
                continue;
            }
            Err(_) => Err(Stop::Next(c.io_error(""))),
        };
    }
}

/// Gives the context a new non-blocking socket. On failure errno says why.
#[inline(never)]
fn open_socket(c: Ctx, family: c_int) -> Result<(), ()> {
    let fd = sys::socket(family, c.has(CLOEXEC));
    if fd < 0 {
        return Err(());
    }
    // SAFETY: a live context.
    unsafe { (*c.as_ptr()).fd = fd };
    Ok(())
}

/// Binds to the stored source address, if there is one.
fn bind_source(c: Ctx, destination: &addrinfo) -> Result<(), Failed> {
    // SAFETY: a live context.
    let source = unsafe { (*c.as_ptr()).tcp.source_addr };
    if source.is_null() {
        return Ok(());
    }
    // SAFETY: a stored address is a C string.
    let sources = unsafe {
        lookup(source, None, destination.ai_family, libc::AI_NUMERICHOST)
            .or_else(|_| lookup(source, None, destination.ai_family, 0))
    }
    .map_err(|e| gai_error(c, "Can't get addr: ", e))?;
    if c.has(REDIS_REUSEADDR) && !set_option(c.fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1) {
        return Err(c.io_error(""));
    }
    // SAFETY: the resolver's addresses and lengths.
    if sources.iter().any(|s| unsafe { libc::bind(c.fd(), s.ai_addr, s.ai_addrlen) } == 0) {
        return Ok(());
    }
    Err(c.errno_error(REDIS_ERR_OTHER, "Can't bind socket: "))
}

/// Keeps the address that is connected to: an event loop asks for it again.
///
/// # Safety
/// `len` bytes at `address` are readable.
#[inline(never)]
unsafe fn store_address(c: Ctx, address: *const sockaddr, len: usize) -> Result<(), OutOfMemory> {
    let copy = alloc::malloc(len);
    if copy.is_null() {
        return Err(OutOfMemory);
    }
    // SAFETY: a live context, a new block of that length.
    unsafe {
        ptr::copy_nonoverlapping(address.cast::<u8>(), copy.cast(), len);
        let raw = c.as_ptr();
        alloc::free(ptr::replace(&raw mut (*raw).saddr, copy.cast()).cast());
        (*raw).addrlen = len;
    }
    Ok(())
}

/// connect to the stored address; the error is an errno, which is set as well.
#[inline(never)]
fn start(c: Ctx) -> Result<(), c_int> {
    // SAFETY: a live context's address and its length.
    let done = unsafe { libc::connect(c.fd(), (*c.as_ptr()).saddr, (*c.as_ptr()).addrlen as socklen_t) } == 0;
    if let Some(reader) = c.reader() {
        // SAFETY: nobody else holds a reference into the reader.
        unsafe { reader.io() }.connected_at_once = done;
    }
    if done { Ok(()) } else { Err(sys::errno()) }
}

/// Waits until the connection is up or known to have failed.
#[inline(never)]
fn wait(c: Ctx, deadline: Deadline) -> Result<(), Failed> {
    loop {
        if c.fd() < 0 {
            // A signal handler may have closed it; poll would ignore it.
            sys::set_errno(libc::EBADF);
            return Err(c.io_error(""));
        }
        match sys::poll(c.fd(), libc::POLLOUT, deadline.left()) {
            Ready::Events(_) => break,
            Ready::Interrupted if deadline.left() != 0 => {}
            Ready::Interrupted | Ready::TimedOut => return Err(timed_out(c)),
            Ready::Failed => return Err(invalidate(c, c.io_error("poll(2): "))),
        }
    }
    match progress(c) {
        Ok(Progress::Up) => Ok(()),
        Ok(_) => Err(timed_out(c)),
        Err(error) => {
            sys::set_errno(error);
            check_socket_error(c)
        }
    }
}

fn timed_out(c: Ctx) -> Failed {
    sys::set_errno(libc::ETIMEDOUT);
    invalidate(c, c.io_error(""))
}

/// Waits until the queue of a unix listener has room. Only a blocking connect can
/// do that.
fn wait_for_backlog(c: Ctx, deadline: Deadline) -> Result<(), Failed> {
    set_blocking(c, true)?;
    loop {
        let left = deadline.left();
        if left == 0 {
            return Err(timed_out(c));
        }
        let ms = left.max(0);
        let tv = timeval { tv_sec: (ms / 1000).into(), tv_usec: (ms % 1000 * 1000).into() };
        set_option(c.fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, &tv);
        match start(c) {
            Ok(()) => break,
            Err(libc::EINTR | libc::EAGAIN) => {}
            Err(_) => return Err(invalidate(c, c.io_error(""))),
        }
    }
    let none = timeval { tv_sec: 0, tv_usec: 0 };
    set_option(c.fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, &none);
    Ok(())
}

/// How far a connection under way is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Up,
    /// The descriptor will tell.
    UnderWay,
    /// The listener's queue is full: only trying again will tell.
    Busy,
}

/// Asks how far a connection is. The error is what connect or the socket says.
pub(crate) fn progress(c: Ctx) -> Result<Progress, c_int> {
    // SAFETY: a live context; nobody else holds a reference into its reader.
    let known = unsafe {
        (*c.as_ptr()).connection_type == REDIS_CONN_USERFD
            || c.reader().is_some_and(|reader| reader.io().connected_at_once)
    };
    if known {
        return Ok(Progress::Up);
    }
    match start(c) {
        Ok(()) | Err(libc::EISCONN) => Ok(Progress::Up),
        Err(libc::EALREADY | libc::EINTR) => Ok(Progress::UnderWay),
        Err(libc::EAGAIN) => Ok(Progress::Busy),
        // Some systems repeat the first answer: the socket knows.
        Err(libc::EINPROGRESS) => match pending_error(c.fd()) {
            Some(0) => Ok(Progress::Up),
            Some(error) => Err(error),
            None => Err(sys::errno()),
        },
        Err(error) => Err(error),
    }
}
