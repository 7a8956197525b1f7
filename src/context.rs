//! The context: made, connected, connected again and freed; and the blocking client, which
//! sends and waits in the calls for commands and replies.
//!
//! An asynchronous context is driven by events instead. What both share is in `transport`
//! and `output`.

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use core::ptr;

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::args;
use crate::ctx::{Ctx, Failed};
use crate::net::{self, connect, option};
use crate::resp::command::Args;
use crate::resp::format;
use crate::resp::frame::{Event, kind_of};
use crate::resp::read::Reader;
use crate::resp::verb::Verb;
use crate::resp::write::{Invalid, write_argv};
use crate::resp::{is_aggregate, reply};
use crate::sds::Sds;
use crate::sys::{self, Deadline, Ready};
use crate::transport::OBUF_FIRST;

/// As many confirmations as the server sends, of which none has come yet, or some have.
const MANY: u32 = u32::MAX - 1;
const MORE: u32 = u32::MAX;

/// Makes a context and connects it. `None` when there is no memory for one or the
/// type is unknown; otherwise `err` tells whether it is connected.
///
/// # Safety
/// The options are true to hiredis.h.
pub(crate) unsafe fn connect_with_options(options: &redisOptions) -> Option<Ctx> {
    // SAFETY: the caller's promise.
    unsafe { connect_in(options, size_of::<redisContext>()) }
}

/// As `connect_with_options`, in a block of `size` zeroed bytes, for a context that is the
/// first part of something larger.
///
/// # Safety
/// As for `connect_with_options`, and `size` is that of a context at least.
pub(crate) unsafe fn connect_in(options: &redisOptions, size: usize) -> Option<Ctx> {
    let known = matches!(options.r#type, REDIS_CONN_TCP | REDIS_CONN_UNIX | REDIS_CONN_USERFD);
    let Some(c) = known.then(|| create(size)).and_then(Result::ok) else {
        if !known
            && let Some(free_privdata) = options.free_privdata
            && !options.privdata.is_null()
        {
            // SAFETY: hiredis.h: the context would have owned it.
            unsafe { free_privdata(options.privdata) };
        }
        return None;
    };
    let has = |option: c_int| options.options & option != 0;
    for (option, flag) in [
        (REDIS_OPT_REUSEADDR, REDIS_REUSEADDR),
        (REDIS_OPT_NOAUTOFREE, REDIS_NO_AUTO_FREE),
        (REDIS_OPT_NOAUTOFREEREPLIES, REDIS_NO_AUTO_FREE_REPLIES),
        (REDIS_OPT_PREFER_IPV4, REDIS_PREFER_IPV4),
        (REDIS_OPT_PREFER_IPV6, REDIS_PREFER_IPV6),
        (REDIS_OPT_SET_SOCK_CLOEXEC, CLOEXEC),
    ] {
        if has(option) {
            c.set(flag);
        }
    }
    if !has(REDIS_OPT_NONBLOCK) {
        c.set(REDIS_BLOCK);
    }
    // SAFETY: a new context; the rest is the caller's promise.
    unsafe {
        let raw = c.as_ptr();
        (*raw).push_cb = match options.push_cb {
            None if !has(REDIS_OPT_NO_PUSH_AUTOFREE) => Some(free_push),
            given => given,
        };
        (*raw).privdata = options.privdata;
        (*raw).free_privdata = options.free_privdata;
        // Whatever fails has set the context's error.
        let _ = connect_to(c, options);
    }
    Some(c)
}

/// # Safety
/// As for `connect_with_options`.
unsafe fn connect_to(c: Ctx, options: &redisOptions) -> Result<(), Failed> {
    // SAFETY: the caller's promise; the type says which endpoint is there.
    unsafe {
        option::store_connect_timeout(c, options.connect_timeout)?;
        option::store_command_timeout(c, options.command_timeout)?;
        let timeout = (*c.as_ptr()).connect_timeout;
        match options.r#type {
            REDIS_CONN_TCP => {
                let tcp = options.endpoint.tcp;
                let to = connect::Tcp { host: tcp.ip, port: tcp.port, timeout, source: tcp.source_addr };
                connect::tcp(c, to)?;
            }
            REDIS_CONN_UNIX => connect::unix(c, options.endpoint.unix_socket, timeout)?,
            _ => {
                (*c.as_ptr()).connection_type = REDIS_CONN_USERFD;
                (*c.as_ptr()).fd = options.endpoint.fd;
                c.set(REDIS_CONNECTED);
            }
        }
    }
    apply_command_timeout(c)
}

/// What the default push callback of a blocking context does.
unsafe extern "C" fn free_push(_: *mut c_void, reply: *mut c_void) {
    // SAFETY: the push callback owns the reply.
    unsafe { reply::release(reply) }
}

/// A context without a connection, at the start of `size` zeroed bytes.
fn create(size: usize) -> Result<Ctx, OutOfMemory> {
    let raw = alloc::calloc(1, size).cast::<redisContext>();
    // SAFETY: NULL or a new context, for which all zeroes are valid.
    let c = unsafe { Ctx::from_raw(raw) }.ok_or(OutOfMemory)?;
    let parts = Sds::with_short_capacity(OBUF_FIRST).and_then(|obuf| match new_reader() {
        Ok(reader) => Ok((obuf, reader)),
        Err(oom) => {
            obuf.free();
            Err(oom)
        }
    });
    // SAFETY: a new context, or the block that it would have been.
    unsafe {
        match parts {
            Ok((obuf, reader)) => {
                (*raw).funcs = &raw const net::FUNCTIONS;
                (*raw).fd = REDIS_INVALID_FD;
                (*raw).obuf = obuf.as_ptr();
                (*raw).reader = reader.as_ptr();
                Ok(c)
            }
            Err(oom) => {
                alloc::free(raw.cast());
                Err(oom)
            }
        }
    }
}

fn new_reader() -> Result<Reader, OutOfMemory> {
    let reader = Reader::create_default()?;
    reader.set_for_context();
    Ok(reader)
}

/// Gives the socket the stored command timeout, if there is one.
fn apply_command_timeout(c: Ctx) -> Result<(), Failed> {
    // SAFETY: a live context's timeout is NULL or a block of its own.
    match unsafe { (*c.as_ptr()).command_timeout.as_ref() } {
        Some(tv) if c.has(REDIS_BLOCK) && c.fd() != REDIS_INVALID_FD => option::set_timeout(c, *tv),
        _ => Ok(()),
    }
}

/// Connects again to where the context was connected, with the same settings.
pub(crate) fn reconnect(c: Ctx) -> Result<(), Failed> {
    c.clear_error();
    c.release_transport();
    // SAFETY: a live context. Buffer and reader are replaced only when the new ones
    // are there.
    unsafe {
        let raw = c.as_ptr();
        if (*raw).funcs.is_null() {
            // All zeroes: the descriptor is not one.
            (*raw).fd = REDIS_INVALID_FD;
        }
        // Unlike hiredis: a TLS table without its state would crash on the first byte.
        (*raw).funcs = &raw const net::FUNCTIONS;
        let obuf = Sds::with_short_capacity(OBUF_FIRST).map_err(|oom| c.out_of_memory(oom))?;
        let reader = match new_reader() {
            Ok(reader) => reader,
            Err(oom) => {
                obuf.free();
                return Err(c.out_of_memory(oom));
            }
        };
        if let Some(old) = c.reader() {
            // Unlike hiredis: what the program set on the reader stays.
            let (old, new) = (old.as_ptr(), reader.as_ptr());
            (*new).r#fn = (*old).r#fn;
            (*new).privdata = (*old).privdata;
            (*new).maxbuf = (*old).maxbuf;
            (*new).maxelements = (*old).maxelements;
            (*new).maxdepth = (*old).maxdepth;
        }
        c.release_buffers();
        (*raw).obuf = obuf.as_ptr();
        (*raw).reader = reader.as_ptr();

        match (*raw).connection_type {
            REDIS_CONN_TCP if !(*raw).tcp.host.is_null() => {
                let to = connect::Tcp {
                    host: (*raw).tcp.host,
                    port: (*raw).tcp.port,
                    timeout: (*raw).connect_timeout,
                    source: (*raw).tcp.source_addr,
                };
                connect::tcp(c, to)?;
            }
            REDIS_CONN_UNIX if !(*raw).unix_sock.path.is_null() => {
                connect::unix(c, (*raw).unix_sock.path, (*raw).connect_timeout)?;
            }
            _ => return Err(c.fail(REDIS_ERR_OTHER, "Not enough information to reconnect")),
        }
    }
    apply_command_timeout(c)
}

impl Ctx {
    /// Gives up what TLS or another transport keeps, then the connection.
    fn release_transport(self) {
        self.free_privctx();
        self.close();
    }

    fn free_privctx(self) {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        unsafe {
            let free_privctx = self.funcs().as_ref().and_then(|f| f.free_privctx);
            let privctx = ptr::replace(&raw mut (*self.as_ptr()).privctx, ptr::null_mut());
            if let Some(free_privctx) = free_privctx {
                free_privctx(privctx);
            }
        }
    }

    fn close(self) {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        unsafe {
            if let Some(close) = self.funcs().as_ref().and_then(|f| f.close) {
                close(self.as_ptr());
            }
        }
    }

    fn release_buffers(self) {
        if let Some(obuf) = self.obuf() {
            obuf.free();
        }
        if let Some(reader) = self.reader() {
            reader.free();
        }
        // SAFETY: a live context.
        unsafe {
            (*self.as_ptr()).obuf = ptr::null_mut();
            (*self.as_ptr()).reader = ptr::null_mut();
        }
    }

    /// Frees everything, also of a context that is all zeroes.
    pub(crate) fn free(self) {
        // SAFETY: a live context that the caller gives up; its blocks are its own.
        unsafe {
            let raw = self.as_ptr();
            self.close();
            self.release_buffers();
            alloc::free((*raw).tcp.host.cast());
            alloc::free((*raw).tcp.source_addr.cast());
            alloc::free((*raw).unix_sock.path.cast());
            alloc::free((*raw).connect_timeout.cast());
            alloc::free((*raw).command_timeout.cast());
            alloc::free((*raw).saddr.cast());
            if let Some(free_privdata) = (*raw).free_privdata
                && !(*raw).privdata.is_null()
            {
                free_privdata((*raw).privdata);
            }
            self.free_privctx();
            alloc::free(raw.cast());
        }
    }

    /// Frees everything but the descriptor, which is the caller's from now on.
    pub(crate) fn free_keep_fd(self) -> redisFD {
        // SAFETY: a live context.
        let fd = unsafe { ptr::replace(&raw mut (*self.as_ptr()).fd, REDIS_INVALID_FD) };
        self.free();
        fd
    }

    /// Sets and stores the command timeout of a blocking context. Another kind of
    /// context gets no error, only the result.
    pub(crate) fn set_timeout(self, tv: timeval) -> Result<(), Failed> {
        if !self.has(REDIS_BLOCK) {
            return Err(Failed);
        }
        // SAFETY: a readable timeval.
        unsafe { option::store_command_timeout(self, &tv)? };
        option::set_timeout(self, tv)
    }

    /// Keep-alive makes sense on TCP alone. On a unix socket there is no error, only
    /// the result.
    pub(crate) fn keep_alive(self, interval: c_int) -> Result<(), Failed> {
        // SAFETY: a live context.
        if unsafe { (*self.as_ptr()).connection_type } == REDIS_CONN_UNIX {
            return Err(Failed);
        }
        option::keep_alive(self, interval)
    }

    /// The next reply that the reader has, pushes included; NULL when none is complete.
    #[inline(always)]
    pub(crate) fn reply_from_reader(self) -> Result<*mut c_void, Failed> {
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        reader.next().map_err(|broken| self.broken(reader, broken))
    }

    /// The next reply that is not for the push callback; NULL when none is complete.
    fn reply_in_band(self) -> Result<*mut c_void, Failed> {
        let reply = self.reply_from_reader()?;
        let Some(reader) = self.reader() else { return Ok(reply) };
        // SAFETY: nobody else holds a reference into the reader; a native one makes redisReply
        // objects.
        unsafe {
            let io = reader.io();
            if !reply.is_null()
                && reader.is_native()
                && io.confirmations == 0
                && (*reply.cast::<redisReply>()).r#type != REDIS_REPLY_PUSH
            {
                io.unanswered = io.unanswered.saturating_sub(1);
                return Ok(reply);
            }
        }
        self.sort(reply)
    }

    /// As `reply_in_band`, with a reply that may be a push or a confirmation.
    #[inline(never)]
    fn sort(self, reply: *mut c_void) -> Result<*mut c_void, Failed> {
        let mut reply = reply;
        loop {
            let (Some(reader), false) = (self.reader(), reply.is_null()) else { return Ok(reply) };
            // SAFETY: a native reader makes redisReply objects; the callback owns the
            // push, and the context lives on, says hiredis.h.
            unsafe {
                let native = reader.is_native();
                if native && self.confirms(reply.cast()) {
                    return Ok(reply);
                }
                if !native || (*reply.cast::<redisReply>()).r#type != REDIS_REPLY_PUSH {
                    let io = reader.io();
                    io.unanswered = io.unanswered.saturating_sub(1);
                    return Ok(reply);
                }
                let Some(push_cb) = (*self.as_ptr()).push_cb else { return Ok(reply) };
                push_cb((*self.as_ptr()).privdata, reply);
            }
            reply = self.reply_from_reader()?;
        }
    }

    /// Whether a reply is the confirmation that a SUBSCRIBE or its like waits for, push
    /// or not.
    ///
    /// # Safety
    /// `reply` is live.
    #[inline]
    unsafe fn confirms(self, reply: *const redisReply) -> bool {
        let Some(reader) = self.reader() else { return false };
        // SAFETY: nobody else holds a reference into the reader; the rest is the
        // caller's promise.
        unsafe {
            let io = reader.io();
            if io.confirmations == 0 {
                return false;
            }
            let kind = (*reply).r#type;
            let confirms =
                is_aggregate(kind) && kind_of(reply).is_some_and(|(event, _)| event != Event::Message);
            match (confirms, io.confirmations) {
                (true, MANY | MORE) => io.confirmations = MORE,
                (true, n) => io.confirmations = n - 1,
                // They come in one run, which another reply ends.
                (false, MORE) if kind != REDIS_REPLY_PUSH => io.confirmations = 0,
                _ => {}
            }
            confirms
        }
    }

    /// The next reply; a blocking context sends what is to be sent and waits for it.
    #[inline(always)]
    pub(crate) fn get_reply(self) -> Result<*mut c_void, Failed> {
        let idle = self.reader().is_some_and(Reader::is_idle);
        let reply = if idle { ptr::null_mut() } else { self.reply_in_band()? };
        if !reply.is_null() || !self.has(REDIS_BLOCK) {
            return Ok(reply);
        }
        self.wait_for_reply()
    }

    #[inline(never)]
    fn wait_for_reply(self) -> Result<*mut c_void, Failed> {
        let deadline = self.reply_deadline();
        let mut waited = match self.flush(deadline) {
            Ok(waited) => waited,
            Err(failed) => {
                // What is not sent is what `obuf` holds.
                self.drop_sent();
                return Err(failed);
            }
        };
        loop {
            // Without a wait before, the socket's own timeout bounds the first read.
            if core::mem::replace(&mut waited, true) {
                self.await_events(libc::POLLIN, deadline)?;
            }
            self.buffer_read()?;
            let reply = self.reply_in_band()?;
            if !reply.is_null() || !self.has(REDIS_BLOCK) {
                return Ok(reply);
            }
        }
    }

    /// When the reply that is asked for now must be there, all of it.
    fn reply_deadline(self) -> Deadline {
        // SAFETY: a live context's timeout is NULL or a block of its own.
        match unsafe { (*self.as_ptr()).command_timeout.as_ref() } {
            Some(tv) if tv.tv_sec != 0 || tv.tv_usec != 0 => {
                sys::timeout_ms(tv).map_or(Deadline::NEVER, Deadline::after)
            }
            _ => Deadline::NEVER,
        }
    }

    /// Waits for the socket, if there is a deadline. Past it the error is the one that a
    /// read which takes too long has.
    fn await_events(self, events: i16, deadline: Deadline) -> Result<(), Failed> {
        if deadline == Deadline::NEVER && events == libc::POLLIN {
            return Ok(());
        }
        let in_time = if self.is_plain() {
            net::wait(self, events, deadline)?
        } else {
            // What another transport has received the socket may not show.
            deadline.left() != 0
        };
        if in_time {
            return Ok(());
        }
        sys::set_errno(libc::EAGAIN);
        Err(self.io_error(""))
    }

    /// Sends everything. The peer may stop reading until its replies are read, so
    /// those are taken in meanwhile. True if that took a wait.
    fn flush(self, deadline: Deadline) -> Result<bool, Failed> {
        let mut waited = false;
        if !self.is_plain() {
            while !self.buffer_write()? {
                waited = true;
                self.await_events(libc::POLLIN, deadline)?;
            }
            return Ok(waited);
        }
        while !self.write_on(net::write_now)? {
            waited = true;
            self.await_events(libc::POLLIN | libc::POLLOUT, deadline)?;
            if let Ready::Events(events) = sys::poll(self.fd(), libc::POLLIN, 0)
                && events & libc::POLLIN != 0
            {
                self.buffer_read()?;
            }
        }
        Ok(waited)
    }

    /// Sends a command that was written at that end of the output and, if the context blocks,
    /// waits for its reply; NULL otherwise.
    #[inline(never)]
    fn command(self, written: Result<usize, Invalid>, end: usize) -> Result<*mut c_void, Failed> {
        let n = written.map_err(|why| self.invalid_command(why))?;
        // SAFETY: so much was written there, and nothing happened since.
        let command = unsafe { self.written(end, n) };
        if !self.has(REDIS_BLOCK) || !Verb::is_surely_other(command) {
            return self.special(command, end);
        }
        // SAFETY: as above.
        unsafe { self.asked(n, end) };
        self.get_reply()
    }

    /// As `command`, where it may be more than request and reply.
    #[cold]
    fn special(self, command: &[u8], end: usize) -> Result<*mut c_void, Failed> {
        let args = Args::new(command);
        let names = args.as_ref().map_or(0, Args::count);
        let verb = args.map(|args| Verb::of(args.name()));
        let subscribes = matches!(verb, Some(Verb::Subscribe(_) | Verb::Unsubscribe(_)));
        if self.has(REDIS_BLOCK) && !subscribes {
            // SAFETY: as in `command`.
            unsafe { self.asked(command.len(), end) };
            return self.get_reply();
        }
        // SAFETY: as in `command`.
        unsafe { self.commit(end, command.len()) };
        if self.has(REDIS_BLOCK) { self.subscription(names) } else { Ok(ptr::null_mut()) }
    }

    /// Waits for the first reply to a SUBSCRIBE or its like, and expects its confirmations,
    /// unless that is an error and not of a command before.
    #[cold]
    fn subscription(self, names: usize) -> Result<*mut c_void, Failed> {
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        // How many names an UNSUBSCRIBE without any has, only the server knows.
        let names = if names > 0 { u32::try_from(names).unwrap_or(MANY) } else { MANY };
        // SAFETY: nobody else holds a reference into the reader; a native one makes
        // redisReply objects.
        unsafe {
            let before = reader.io().confirmations;
            let alone = reader.io().unanswered == 0;
            reader.io().confirmations = before.saturating_add(names).min(MANY);
            let reply = self.get_reply()?;
            // The push callback may have connected again.
            if alone
                && !reply.is_null()
                && let Some(reader) = self.reader()
                && reader.is_native()
                && (*reply.cast::<redisReply>()).r#type == REDIS_REPLY_ERROR
            {
                reader.io().confirmations = before;
            }
            Ok(reply)
        }
    }

    /// As `command`, from a format.
    ///
    /// # Safety
    /// As for `append_format`.
    pub(crate) unsafe fn command_format(
        self,
        format: *const c_char,
        args: &mut impl args::Args,
    ) -> Result<*mut c_void, Failed> {
        // SAFETY: the caller's promise.
        let (written, end) = self.write_out(|sink| unsafe { format::write(format, args, sink) });
        self.command(written, end)
    }

    /// As `command`, from an argument vector.
    ///
    /// # Safety
    /// As for `write_argv`.
    pub(crate) unsafe fn command_argv(
        self,
        argc: c_int,
        argv: *const *const c_char,
        argvlen: *const usize,
    ) -> Result<*mut c_void, Failed> {
        // SAFETY: the caller's promise.
        let (written, end) = self.write_out(|sink| unsafe { write_argv(argc, argv, argvlen, sink) });
        self.command(written, end)
    }

    /// Frees a reply that nobody wants.
    pub(crate) fn drop_reply(self, reply: *mut c_void) {
        if !reply.is_null()
            && let Some(reader) = self.reader()
        {
            reader.free_object(reply);
        }
    }
}
