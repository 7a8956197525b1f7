//! The context: a connection, what is to be sent on it, and the reader of what
//! comes back.
//!
//! A blocking context does all of it in the calls for commands and replies; an
//! asynchronous one is driven by events and shares everything below `buffer_read`.
//! Bytes move only through `c->funcs`, and `obuf` is a true sds at all times,
//! because programs and TLS read and edit it.

use core::ffi::{c_char, c_int, c_void};
use core::mem::{MaybeUninit, size_of};
use core::ptr;
use core::slice;

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::args;
use crate::ctx::{Ctx, Failed};
use crate::net::{self, connect, option};
use crate::resp::format;
use crate::resp::frame::{Event, kind_of};
use crate::resp::read::{Broken, Reader, Sent};
use crate::resp::verb::Verb;
use crate::resp::write::{Args, Invalid, Owner, Sink, Written, write_argv, write_bytes};
use crate::resp::{is_aggregate, reply};
use crate::sds::Sds;
use crate::sys::{self, Deadline, Ready};

/// Bytes asked for in one read, to begin with.
const READ_SIZE: usize = REDIS_READER_MAX_BUF;
/// And at most, while reads keep coming back full.
const READ_SIZE_MAX: usize = 1024 * 1024;
/// As many confirmations as the server sends, of which none has come yet, or some have.
const MANY: usize = usize::MAX - 1;
const MORE: usize = usize::MAX;
/// Room that an `obuf` begins with: enough for a short command, in a small block.
const OBUF_FIRST: usize = 52;
/// Room that an empty `obuf` may keep.
const OBUF_KEPT: usize = 1024;

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
    let parts = Sds::with_capacity(OBUF_FIRST).and_then(|obuf| match new_reader() {
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
        let obuf = Sds::with_capacity(OBUF_FIRST).map_err(|oom| c.out_of_memory(oom))?;
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
    fn obuf(self) -> Option<Sds> {
        // SAFETY: a live context's obuf is NULL or an sds.
        unsafe { Sds::from_raw((*self.as_ptr()).obuf) }
    }

    /// The function table, NULL in a context that was never connected.
    fn funcs(self) -> *const redisContextFuncs {
        // SAFETY: a live context.
        unsafe { (*self.as_ptr()).funcs }
    }

    /// Whether sending and receiving is the default transport's business.
    pub(crate) fn is_plain(self) -> bool {
        ptr::eq(self.funcs(), &raw const net::FUNCTIONS)
    }

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

    /// Makes the reader's error the context's.
    #[inline(never)]
    fn broken(self, reader: Reader, _: Broken) -> Failed {
        // SAFETY: the reader's errstr is a C string.
        unsafe { self.c_error(reader.err(), "", reader.errstr()) }
    }

    /// Reads once what the transport has, and feeds the reader.
    pub(crate) fn buffer_read(self) -> Result<(), Failed> {
        self.check()?;
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        // SAFETY: nobody else holds a reference into the reader.
        let size = unsafe { reader.io().read_size }.max(READ_SIZE);
        if size > READ_SIZE || reader.bulk_needs() >= READ_SIZE {
            return self.read_in_place(reader, size);
        }
        // What comes alone goes through the stack: an idle connection then holds no
        // buffer, and the copy costs less than a block of this size would.
        let mut bytes = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let n = self.receive(bytes.as_mut_ptr().cast(), READ_SIZE)?;
        // SAFETY: the transport wrote `n` bytes.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), n) };
        self.adapt(reader, n, READ_SIZE);
        // SAFETY: bytes that were just read, elsewhere.
        unsafe { reader.feed(bytes.as_ptr(), bytes.len()) }.map_err(|broken| self.broken(reader, broken))
    }

    /// Reads straight into the reader's buffer, or into the string that it receives.
    fn read_in_place(self, reader: Reader, size: usize) -> Result<(), Failed> {
        let (room, cap) = reader.room(size).map_err(|broken| self.broken(reader, broken))?;
        let n = self.receive(room.cast(), cap)?;
        reader.filled(n);
        self.adapt(reader, n, cap);
        Ok(())
    }

    /// Asks for more next time when a read came back full, for little again when two brought
    /// little: one small read may be the end of a batch that needs a big one.
    fn adapt(self, reader: Reader, n: usize, cap: usize) {
        // SAFETY: nobody else holds a reference into the reader.
        let io = unsafe { reader.io() };
        let small = n <= READ_SIZE / 2;
        if n == cap {
            io.read_size = cap.saturating_mul(4).min(READ_SIZE_MAX);
        } else if small && io.read_little {
            io.read_size = READ_SIZE;
        }
        io.read_little = small;
    }

    /// One call of `funcs->read`.
    fn receive(self, buf: *mut c_char, cap: usize) -> Result<usize, Failed> {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h; `cap` bytes at
        // `buf` are writable.
        unsafe {
            let Some(read) = self.funcs().as_ref().and_then(|f| f.read) else {
                return Err(self.no_transport());
            };
            let n = read(self.as_ptr(), buf, cap);
            self.transported(n).map(|n| n.min(cap))
        }
    }

    /// What a function of the table gave back. One that fails without a word gets
    /// words.
    fn transported(self, n: isize) -> Result<usize, Failed> {
        usize::try_from(n).map_err(|_| {
            if self.err() == 0 {
                self.io_error("");
            }
            Failed
        })
    }

    #[cold]
    fn no_transport(self) -> Failed {
        self.fail(REDIS_ERR_OTHER, "Not connected")
    }

    /// Writes once what is to be sent; true when nothing is left.
    pub(crate) fn buffer_write(self) -> Result<bool, Failed> {
        self.check()?;
        self.drop_sent();
        let Some(obuf) = self.obuf() else { return Ok(true) };
        let len = obuf.len();
        if len == 0 {
            return Ok(true);
        }
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        let n = unsafe {
            let Some(write) = self.funcs().as_ref().and_then(|f| f.write) else {
                return Err(self.no_transport());
            };
            self.transported(write(self.as_ptr()))?
        };
        // The table's function may be the program's: look at the buffer anew.
        let Some(obuf) = self.obuf() else { return Ok(true) };
        if n >= obuf.len() {
            self.empty_obuf(obuf);
            return Ok(true);
        }
        if n > 0 {
            obuf.drop_front(n);
        }
        Ok(false)
    }

    /// Clears the buffer, and gives its memory back if that is much.
    #[inline(never)]
    fn empty_obuf(self, obuf: Sds) {
        if obuf.capacity() > OBUF_KEPT
            && let Ok(fresh) = Sds::with_capacity(OBUF_FIRST)
        {
            obuf.free();
            // SAFETY: a live context.
            unsafe { (*self.as_ptr()).obuf = fresh.as_ptr() };
            return;
        }
        obuf.set_len(0);
    }

    /// Removes what `write_on` sent already from the front of `obuf`, so that others
    /// can look at it.
    #[inline(never)]
    fn drop_sent(self) {
        let sent = self.take_sent();
        if sent > 0
            && let Some(obuf) = self.obuf()
        {
            obuf.drop_front(sent);
        }
    }

    /// How much of `obuf` is sent already; nobody remembers it afterwards.
    fn take_sent(self) -> usize {
        let (Some(reader), Some(obuf)) = (self.reader(), self.obuf()) else { return 0 };
        // SAFETY: nobody else holds a reference into the reader; the buffer does not change
        // meanwhile.
        unsafe { core::mem::take(&mut reader.io().sent).of(obuf.as_ptr(), obuf.bytes()) }
    }

    /// As `buffer_write` for the default transport, but a part that was sent stays in
    /// `obuf` until it is as large as the rest, so that a large buffer leaving in
    /// small pieces is not moved once for each.
    pub(crate) fn write_on(
        self,
        send: impl FnOnce(Ctx, &[u8]) -> Result<usize, Failed>,
    ) -> Result<bool, Failed> {
        let (Some(reader), true) = (self.reader(), self.is_plain()) else { return self.buffer_write() };
        self.check()?;
        let sent = self.take_sent();
        let Some(obuf) = self.obuf() else { return Ok(true) };
        // SAFETY: the buffer does not change while it is sent.
        let Some(rest) = (unsafe { obuf.bytes() }).get(sent..).filter(|rest| !rest.is_empty()) else {
            return Ok(true);
        };
        let left = rest.len();
        let n = match send(self, rest) {
            Ok(n) => n,
            Err(failed) => {
                obuf.drop_front(sent);
                return Err(failed);
            }
        };
        if n >= left {
            self.empty_obuf(obuf);
            return Ok(true);
        }
        let sent = sent + n;
        if sent >= left - n {
            obuf.drop_front(sent);
        } else {
            // SAFETY: nobody else holds a reference into the reader; the buffer does not
            // change meanwhile.
            unsafe { reader.io().sent = Sent::new(obuf.as_ptr(), obuf.bytes(), sent) };
        }
        Ok(false)
    }

    /// Whether bytes wait to be sent.
    pub(crate) fn has_output(self) -> bool {
        // What is sent of it is less than the rest.
        self.obuf().is_some_and(|obuf| obuf.len() > 0)
    }

    /// Appends a command, or other bytes, to what is to be sent. On failure nothing of
    /// it is.
    #[inline]
    pub(crate) fn append(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
    ) -> Result<Written, Invalid> {
        self.append_if(write, |written, _| Ok(written))
    }

    /// As `append`, if `accept`, which sees what was written, agrees.
    #[inline]
    pub(crate) fn append_if<T>(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
        accept: impl FnOnce(Written, &[u8]) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        let obuf = match self.obuf() {
            Some(obuf) => obuf,
            None => self.new_obuf()?,
        };
        let (len, room) = obuf.extent();
        let mut owner = Output { c: self, obuf, len };
        // SAFETY: the room after the text, which is nobody else's until it is part of it.
        let sink = unsafe { Sink::new(owner.tail(), room, &mut owner) };
        let mut len = 0;
        let accepted = write(sink).and_then(|written| {
            len = written.len;
            // SAFETY: so much is written there.
            accept(written, unsafe { slice::from_raw_parts(owner.tail(), len) })
        });
        owner.commit(if accepted.is_ok() { len } else { 0 });
        accepted
    }

    #[cold]
    fn new_obuf(self) -> Result<Sds, OutOfMemory> {
        let obuf = Sds::with_capacity(OBUF_FIRST)?;
        // SAFETY: a live context without a buffer.
        unsafe { (*self.as_ptr()).obuf = obuf.as_ptr() };
        Ok(obuf)
    }

    /// Appends what the program encoded itself.
    pub(crate) fn append_bytes(self, bytes: &[u8]) -> Result<(), Failed> {
        let write = |sink: Sink<'_>| write_bytes(bytes, 0, sink);
        self.append(write).map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
    }

    /// Appends a command from a format.
    ///
    /// # Safety
    /// `format` is NULL or a C string, and `args` are what it asks for.
    pub(crate) unsafe fn append_format(
        self,
        format: *const c_char,
        args: &mut impl args::Args,
    ) -> Result<(), Failed> {
        // SAFETY: the caller's promise.
        let written = self.append(|sink| unsafe { format::write(format, args, sink) });
        written.map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
    }

    /// Appends a command from an argument vector.
    ///
    /// # Safety
    /// As for `write_argv`.
    pub(crate) unsafe fn append_argv(
        self,
        argc: c_int,
        argv: *const *const c_char,
        argvlen: *const usize,
    ) -> Result<(), Failed> {
        // SAFETY: the caller's promise.
        let written = self.append(|sink| unsafe { write_argv(argc, argv, argvlen, sink) });
        written.map_err(|why| self.invalid_command(why))?;
        self.asked();
        Ok(())
    }

    /// Counts a command that was appended.
    fn asked(self) {
        if let Some(reader) = self.reader() {
            // SAFETY: nobody else holds a reference into the reader.
            unsafe { reader.io().unanswered += 1 };
        }
    }

    /// Sets the error for a command that could not be made.
    fn invalid_command(self, why: Invalid) -> Failed {
        match why {
            Invalid::Memory | Invalid::Size => self.out_of_memory(OutOfMemory),
            Invalid::Format => self.fail(REDIS_ERR_OTHER, "Invalid format string"),
            Invalid::Null => self.fail(REDIS_ERR_OTHER, "NULL argument"),
            Invalid::Refused => Failed,
        }
    }

    /// The next reply that the reader has, pushes included; NULL when none is complete.
    pub(crate) fn reply_from_reader(self) -> Result<*mut c_void, Failed> {
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        reader.next().map_err(|broken| self.broken(reader, broken))
    }

    /// The next reply that is not for the push callback; NULL when none is complete.
    fn reply_in_band(self) -> Result<*mut c_void, Failed> {
        loop {
            let reply = self.reply_from_reader()?;
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
    pub(crate) fn get_reply(self) -> Result<*mut c_void, Failed> {
        let reply = self.reply_in_band()?;
        if !reply.is_null() || !self.has(REDIS_BLOCK) {
            return Ok(reply);
        }
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

    /// Sends a command and, if the context blocks, waits for its reply; NULL otherwise.
    fn command(
        self,
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
    ) -> Result<*mut c_void, Failed> {
        let accept =
            |written, bytes: &_| Ok((Args::new(bytes, written).map(|args| Verb::of(args.name())), written));
        let (verb, written) = self.append_if(write, accept).map_err(|why| self.invalid_command(why))?;
        if !self.has(REDIS_BLOCK) {
            return Ok(ptr::null_mut());
        }
        if matches!(verb, Some(Verb::Subscribe(_) | Verb::Unsubscribe(_))) {
            return self.subscription(written);
        }
        self.asked();
        self.get_reply()
    }

    /// Waits for the first reply to a SUBSCRIBE or its like, and expects its confirmations,
    /// unless that is an error and not of a command before.
    #[cold]
    fn subscription(self, written: Written) -> Result<*mut c_void, Failed> {
        let Some(reader) = self.reader() else { return Err(self.no_transport()) };
        // How many names an UNSUBSCRIBE without any has, only the server knows.
        let names = if written.count > 1 { written.count - 1 } else { MANY };
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
        self.command(|sink| unsafe { format::write(format, args, sink) })
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
        self.command(|sink| unsafe { write_argv(argc, argv, argvlen, sink) })
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

/// The end of an `obuf` while something is written there.
struct Output {
    c: Ctx,
    obuf: Sds,
    /// The length without what is being written.
    len: usize,
}

impl Output {
    fn tail(&self) -> *mut u8 {
        // SAFETY: the room follows the text.
        unsafe { self.obuf.as_ptr().cast::<u8>().add(self.len) }
    }

    /// Makes `n` bytes more part of the text; with 0 it is as it was, up to its NUL.
    #[inline]
    fn commit(&self, n: usize) {
        self.obuf.set_len(self.len + n);
        let Some(reader) = self.c.reader() else { return };
        // SAFETY: nobody else holds a reference into the reader.
        let sent = unsafe { &mut reader.io().sent };
        if sent.bytes > 0 {
            sent.grown(self.len, self.len + n);
        }
    }
}

impl Owner for Output {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        let old = self.obuf;
        // What is written so far moves along only as part of the text.
        old.set_len(self.len + len);
        self.obuf = old.reserve(need - len)?;
        // SAFETY: a live context; nobody holds a reference into the reader.
        unsafe {
            (*self.c.as_ptr()).obuf = self.obuf.as_ptr();
            if let Some(reader) = self.c.reader() {
                reader.io().sent.moved(old.as_ptr(), self.obuf.as_ptr());
            }
        }
        Ok((self.tail(), len + self.obuf.avail()))
    }
}
