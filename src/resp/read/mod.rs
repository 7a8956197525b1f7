//! Reads replies from a stream of bytes.
//!
//! What is wholly there and ordinary is read in one go: a leaf by `take`, an aggregate
//! by `whole_items`. The rest goes item by item, with a stack of tasks: an aggregate
//! pushes one task per level and is done when its last element is. Bytes are consumed
//! only once a whole item is there; feeding half a line changes nothing but how far
//! the line has been searched.
//!
//! Objects are made by the functions in `fn`, or, with the default ones, directly:
//! then trees grow with the bytes received, and a big bulk string is received
//! into its final place (`Bulk`). Constructors are user code: no reference into
//! the reader or its buffer lives across a call to one.

mod buffer;
mod item;
mod object;
mod tasks;

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use core::ptr;

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::resp::leaf::{Leaf, is_bulk, is_head};
use crate::resp::sent::Sent;
use crate::resp::{reply, reply_type};
use crate::sds::Sds;

/// Room that a buffer begins with: what fits the smallest block that malloc has.
const FIRST_ROOM: u8 = 20;
/// A consumed prefix below this is not worth moving the rest for, and a rest above it is not
/// moved unless there is need.
const TRIM_FROM: usize = 1024;

/// Tasks that are added when more than so many are needed for the first time.
fn tasks_after(have: usize) -> usize {
    const STEP: usize = 9;
    if have == 0 { 1 } else { have.max(STEP) }
}

/// What a reader is made of: the public struct, and behind it what is nobody
/// else's business. Only the library makes readers, so they may be longer.
#[repr(C)]
struct Whole {
    public: redisReader,
    /// How many bytes of the unfinished line at `pos` hold no line end. None between replies.
    scanned: usize,
    /// Unread bytes without which there is nothing to be done, as far as is known: one at
    /// least, unless a bulk string is received in place.
    needed: usize,
    /// How many bytes of the buffer are consumed when they are to be dropped: see
    /// `drop_consumed`.
    trim_from: usize,
    /// Room of the buffer, if it is where bytes go, and not big.
    room: usize,
    /// The same, if it is a short one.
    short_room: u32,
    /// The buffer's room was more than an idle one may keep when it was set.
    big: bool,
    /// The line of `scanned` holds a lone CR or LF, so it will be an error when it ends.
    stray: bool,
    /// The reply in progress is made by the default constructors.
    native: bool,
    /// Attributes are dropped, as a context wants it: see `set_for_context`.
    drop_attributes: bool,
    /// NULL if there is none.
    bulk: *mut Bulk,
    io: Io,
}

/// A bulk string on its way into its final block: `have` of `want` bytes (payload, CR and LF)
/// have arrived, and the block has room for `room`, one byte more once `room == want`.
struct Bulk {
    text: *mut u8,
    have: usize,
    want: usize,
    room: usize,
}

/// What a context keeps beside its reader, because a context itself is memory that
/// programs copy and free: see `context` and `asynch`.
pub(crate) struct Io {
    /// Bytes to ask for in the next read.
    pub(crate) read_size: u32,
    /// The last read brought little, or as much as was asked for.
    pub(crate) read_little: bool,
    pub(crate) read_full: bool,
    /// connect succeeded without waiting, so nobody needs to ask again.
    pub(crate) connected_at_once: bool,
    /// Confirmations of a subscription that a blocking context waits for.
    pub(crate) confirmations: u32,
    /// Replies that a blocking context still expects, other than confirmations, as far as it
    /// knows the commands.
    pub(crate) unanswered: u32,
    /// What is sent of the output; NULL until a part of it is.
    pub(crate) sent: *mut Sent,
}

/// Why a reply cannot be read.
pub(crate) struct Fault {
    kind: c_int,
    message: Message,
}

enum Message {
    Text(&'static str),
    /// The byte that is no reply type.
    TypeByte(u8),
}

fn protocol(text: &'static str) -> Fault {
    Fault { kind: REDIS_ERR_PROTOCOL, message: Message::Text(text) }
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Fault {
        Fault { kind: REDIS_ERR_OOM, message: Message::Text("Out of memory") }
    }
}

/// A reader, as plain a pointer as C holds it.
#[derive(Clone, Copy)]
pub(crate) struct Reader(*mut redisReader);

/// The reader is in its error state: `err` and `errstr` tell which.
#[derive(Debug)]
pub(crate) struct Broken;

impl Reader {
    /// # Safety
    /// `r` is a live reader from `create`; the handle is used while it lives.
    pub(crate) unsafe fn from_raw(r: *mut redisReader) -> Option<Reader> {
        if r.is_null() { None } else { Some(Reader(r)) }
    }

    pub(crate) fn as_ptr(self) -> *mut redisReader {
        self.0
    }

    pub(crate) fn create(functions: *mut redisReplyObjectFunctions) -> Result<Reader, OutOfMemory> {
        let buf = Sds::with_short_capacity(FIRST_ROOM)?;
        let whole = alloc::calloc(1, size_of::<Whole>()).cast::<Whole>();
        if whole.is_null() {
            buf.free();
            return Err(OutOfMemory);
        }
        // SAFETY: the block has room for a Whole, for which all zeroes are valid.
        unsafe {
            let r = &raw mut (*whole).public;
            (*r).maxbuf = REDIS_READER_MAX_BUF;
            Reader(r).set_buf(buf);
            (*r).maxelements = REDIS_READER_MAX_ARRAY_ELEMENTS;
            (*r).maxdepth = REDIS_READER_MAX_REPLY_DEPTH;
            (*r).ridx = -1;
            (*r).r#fn = functions;
            (*whole).needed = 1;
            (*whole).trim_from = TRIM_FROM;
        }
        Ok(Reader(whole.cast()))
    }

    /// A reader with the default constructors.
    pub(crate) fn create_default() -> Result<Reader, OutOfMemory> {
        Reader::create(&raw mut reply::FUNCTIONS)
    }

    /// In a context an attribute is never a reply or an element: it is read and
    /// dropped, as the protocol asks of clients that do not use it.
    pub(crate) fn set_for_context(self) {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.whole()).drop_attributes = true };
    }

    fn whole(self) -> *mut Whole {
        self.0.cast()
    }

    /// # Safety
    /// The caller holds no other reference to it.
    pub(crate) unsafe fn io<'a>(self) -> &'a mut Io {
        // SAFETY: a live reader is a Whole; the rest is the caller's promise.
        unsafe { &mut (*self.whole()).io }
    }

    fn buf(self) -> Option<Sds> {
        // SAFETY: a live reader's `buf` is NULL or an sds.
        unsafe { Sds::from_raw((*self.0).buf) }
    }

    pub(crate) fn err(self) -> c_int {
        // SAFETY: a live reader.
        unsafe { (*self.0).err }
    }

    /// What functions of C give back.
    pub(crate) fn status(self) -> c_int {
        if self.err() == 0 { REDIS_OK } else { REDIS_ERR }
    }

    pub(crate) fn errstr(self) -> *const c_char {
        // SAFETY: a live reader.
        unsafe { (&raw const (*self.0).errstr).cast() }
    }

    /// Whether the default constructors are in charge.
    pub(crate) fn is_native(self) -> bool {
        // SAFETY: a live reader.
        unsafe { reply::is_default((*self.0).r#fn) }
    }

    /// Frees an object that the reader handed out.
    pub(crate) fn free_object(self, object: *mut c_void) {
        if self.is_native() {
            // SAFETY: the default constructors make replies.
            return unsafe { reply::release(object) };
        }
        // SAFETY: a live reader; `fn` is NULL or a table of functions.
        unsafe {
            let functions = (*self.0).r#fn;
            if !functions.is_null()
                && let Some(free_object) = (*functions).freeObject
            {
                free_object(object);
            }
        }
    }

    /// Gives up the reply in progress.
    fn drop_partial(self) {
        // SAFETY: a live reader; its text block and root are its own.
        unsafe {
            let whole = self.whole();
            if let Some(bulk) = self.take_bulk() {
                alloc::free(bulk.text.cast());
            }
            let root = (*self.0).reply;
            if root.is_null() {
                return;
            }
            if (*whole).native {
                (*self.0).reply = ptr::null_mut();
                reply::release(root);
            } else if !(*self.0).r#fn.is_null() && (*(*self.0).r#fn).freeObject.is_some() {
                (*self.0).reply = ptr::null_mut();
                self.free_object(root);
            }
        }
    }

    pub(crate) fn free(self) {
        self.drop_partial();
        if let Some(buf) = self.buf() {
            buf.free();
        }
        // SAFETY: a live reader that the caller gives up. Record 0, records 1 to 9, 10 to 19, 20
        // to 39 and so on are one block each, as `add_tasks` made them.
        unsafe {
            let (task, tasks) = ((*self.0).task, (*self.0).tasks as usize);
            let mut first = 0;
            while first < tasks {
                alloc::free((*task.add(first)).cast());
                first += tasks_after(first);
            }
            alloc::free(task.cast());
            alloc::free((*self.whole()).io.sent.cast());
            alloc::free(self.0.cast());
        }
    }

    /// Enters the error state, for good.
    #[cold]
    fn fail(self, fault: Fault) -> Broken {
        self.drop_partial();
        if let Some(buf) = self.buf() {
            buf.free();
        }
        let mut text = [0u8; 64];
        let message = match fault.message {
            Message::Text(text) => text.as_bytes(),
            Message::TypeByte(byte) => type_byte_message(byte, &mut text),
        };
        // SAFETY: a live reader; the message is cut to fit, and a NUL follows it.
        unsafe {
            let r = self.0;
            (*r).buf = ptr::null_mut();
            (*r).pos = 0;
            (*r).len = 0;
            (*r).ridx = -1;
            (*self.whole()).needed = 1;
            (*self.whole()).room = 0;
            (*self.whole()).short_room = 0;
            (*r).err = fault.kind;
            let errstr = (&raw mut (*r).errstr).cast::<u8>();
            let len = message.len().min(127);
            ptr::copy_nonoverlapping(message.as_ptr(), errstr, len);
            errstr.add(len).write(0);
        }
        Broken
    }

    /// The next reply: NULL when it is not complete yet. The caller owns it.
    #[inline(always)]
    pub(crate) fn next(self) -> Result<*mut c_void, Broken> {
        let mut reply = ptr::null_mut();
        // SAFETY: `waits` was asked just before; `reply` is a local.
        let status = if self.waits() { self.status() } else { unsafe { self.take(&raw mut reply) } };
        if status == REDIS_OK { Ok(reply) } else { Err(Broken) }
    }

    /// As `next`, with a copy of the code for bulk strings. True says that the reply is a string of
    /// the default functions; false says nothing.
    #[inline(always)]
    pub(crate) fn next_inline(self) -> Result<(*mut c_void, bool), Broken> {
        let mut reply = ptr::null_mut();
        // SAFETY: a live reader is a Whole; where bytes are unread it has a buffer; `reply` is a local.
        let (status, served) = unsafe {
            if self.waits() {
                (self.status(), false)
            } else if let Some((leaf, pos)) = self.string_at_hand() {
                (self.took(&raw mut reply, leaf, pos, false), true)
            } else {
                (self.take(&raw mut reply), false)
            }
        };
        if status == REDIS_OK { Ok((reply, served)) } else { Err(Broken) }
    }

    /// A bulk string that is the next reply of the default functions, after which nothing is to be
    /// dropped, and where it ends.
    ///
    /// # Safety
    /// The reader does not wait.
    #[inline(always)]
    unsafe fn string_at_hand(self) -> Option<(Leaf, usize)> {
        // SAFETY: where bytes are unread there is a buffer.
        unsafe {
            if (*self.0).ridx != -1 || !self.is_native() {
                return None;
            }
            let (at, end) = self.ends();
            if !is_bulk(at) {
                return None;
            }
            let (leaf, next) = Leaf::bulk(at, end)?;
            let pos = next.addr() - (*self.0).buf.addr();
            if self.has_to_drop(pos) { None } else { Some((leaf, pos)) }
        }
    }

    /// Whether the next item is known to be incomplete; always so when the reader is broken.
    #[inline(always)]
    pub(crate) fn waits(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.0).len - (*self.0).pos < (*self.whole()).needed }
    }

    /// Whether nothing is unread, and nothing is wrong.
    #[inline(always)]
    pub(crate) fn is_idle(self) -> bool {
        // SAFETY: a live reader.
        unsafe { (*self.0).len == (*self.0).pos && (*self.0).err == 0 && !self.in_bulk() }
    }

    /// Puts the next reply where `to` is: NULL when it is not complete yet, or the reader breaks,
    /// which the status tells.
    ///
    /// This and the functions below are cut so that each calls another last, if at all: none
    /// saves registers for what only another one does.
    ///
    /// # Safety
    /// The reader does not wait; `to` may be written.
    #[inline(never)]
    pub(crate) unsafe fn take(self, to: *mut *mut c_void) -> c_int {
        // SAFETY: a live reader is a Whole; where bytes are unread it has a buffer.
        unsafe {
            let r = self.0;
            if (*r).ridx == -1 && self.is_native() {
                let (at, end) = self.ends();
                // One after the other, the most frequent first: cheaper than a table.
                let mark = *at;
                return if is_bulk(at) {
                    self.take_found(to, Leaf::bulk(at, end))
                } else if mark == b':' {
                    self.take_found(to, Leaf::integer(at))
                } else if mark == b'+' {
                    match Leaf::short_status(at) {
                        Some((leaf, next)) => self.take_leaf(to, leaf, next),
                        None => self.take_line(to, REDIS_REPLY_STATUS),
                    }
                } else if mark == b'-' {
                    self.take_line(to, REDIS_REPLY_ERROR)
                } else {
                    self.take_native(to)
                };
            }
            self.go_on(to)
        }
    }

    /// # Safety
    /// As for `take_native`, and what was found is the next thing in the buffer.
    #[inline(always)]
    unsafe fn take_found(self, to: *mut *mut c_void, found: Option<(Leaf, *const u8)>) -> c_int {
        // SAFETY: the caller's promise.
        unsafe {
            match found {
                Some((leaf, next)) => self.take_leaf(to, leaf, next),
                None => self.take_far(to),
            }
        }
    }

    /// As `take`, where more is to be done than for the most frequent replies.
    ///
    /// # Safety
    /// The reader has a buffer, and is between two native replies.
    #[inline(never)]
    unsafe fn take_native(self, to: *mut *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        unsafe {
            let (at, _) = self.ends();
            if is_head(at) { self.take_aggregate(to) } else { self.take_far(to) }
        }
    }

    /// # Safety
    /// As for `take_native`, and the next item is a line of text of this kind.
    #[inline(never)]
    unsafe fn take_line(self, to: *mut *mut c_void, kind: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe {
            let (at, end) = self.ends();
            match Leaf::line(at, end) {
                Some((text, len)) => {
                    let pos = text.addr() + len + 2 - (*self.0).buf.addr();
                    self.took(to, Leaf::text(kind, text, len), pos, true)
                }
                None => self.go_on(to),
            }
        }
    }

    /// # Safety
    /// As for `take_native`.
    #[inline(never)]
    unsafe fn take_far(self, to: *mut *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        unsafe {
            let (at, _) = self.ends();
            match Leaf::far(at) {
                Some((leaf, next)) => self.take_leaf(to, leaf, next),
                None => self.go_on(to),
            }
        }
    }

    /// # Safety
    /// As for `take_native`.
    #[inline(never)]
    unsafe fn take_aggregate(self, to: *mut *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        unsafe {
            (*self.whole()).native = true;
            match self.whole_items() {
                Ok(true) => {}
                Ok(false) => return self.go_on(to),
                Err(OutOfMemory) => return self.ran_out(to),
            }
            if self.has_to_drop((*self.0).pos) {
                self.drop_consumed();
            }
            to.write(ptr::replace(&raw mut (*self.0).reply, ptr::null_mut()));
            REDIS_OK
        }
    }

    /// # Safety
    /// The leaf is the next thing in the buffer, and `next` what comes behind it.
    #[inline(always)]
    unsafe fn take_leaf(self, to: *mut *mut c_void, leaf: Leaf, next: *const u8) -> c_int {
        // SAFETY: the caller's promise; a live reader is a Whole.
        unsafe {
            let pos = next.addr() - (*self.0).buf.addr();
            let drop = self.has_to_drop(pos);
            match leaf {
                Leaf::Text { kind: REDIS_REPLY_STRING, text, len, value: _ } if !drop => {
                    self.take_string(to, text, len, pos)
                }
                Leaf::Text { kind, text, len, value } => self.take_text(to, kind, text, len, value, pos),
                Leaf::Bare { kind: REDIS_REPLY_INTEGER, value } if !drop => self.take_integer(to, value, pos),
                Leaf::Bare { kind, value } => self.take_bare(to, kind, value, pos),
            }
        }
    }

    /// # Safety
    /// As for `took`.
    #[inline(never)]
    unsafe fn take_string(self, to: *mut *mut c_void, text: *const u8, len: usize, pos: usize) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { self.took(to, Leaf::text(REDIS_REPLY_STRING, text, len), pos, false) }
    }

    /// # Safety
    /// As for `took`.
    #[inline(never)]
    unsafe fn take_text(
        self,
        to: *mut *mut c_void,
        kind: c_int,
        text: *const u8,
        len: usize,
        value: f64,
        pos: usize,
    ) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { self.took(to, Leaf::Text { kind, text, len, value }, pos, true) }
    }

    /// # Safety
    /// As for `took`.
    #[inline(never)]
    unsafe fn take_integer(self, to: *mut *mut c_void, value: i64, pos: usize) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { self.took(to, Leaf::Bare { kind: REDIS_REPLY_INTEGER, value }, pos, false) }
    }

    /// # Safety
    /// As for `took`.
    #[inline(never)]
    unsafe fn take_bare(self, to: *mut *mut c_void, kind: c_int, value: i64, pos: usize) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { self.took(to, Leaf::Bare { kind, value }, pos, true) }
    }

    /// Makes the reply of a leaf, and counts it as consumed. `drop` says whether to look if
    /// there is something to be dropped.
    ///
    /// # Safety
    /// The leaf is the next thing in the buffer, up to `pos`.
    #[inline(always)]
    unsafe fn took(self, to: *mut *mut c_void, leaf: Leaf, pos: usize, drop: bool) -> c_int {
        // SAFETY: the caller's promise; a live reader is a Whole.
        unsafe {
            (*self.0).pos = pos;
            (*self.whole()).needed = 1;
            let reply = leaf.reply();
            if reply.is_null() {
                return self.ran_out(to);
            }
            if drop && self.has_to_drop((*self.0).pos) {
                self.drop_consumed();
            }
            to.write(reply.cast());
            REDIS_OK
        }
    }

    /// # Safety
    /// `to` may be written.
    #[cold]
    #[inline(never)]
    unsafe fn ran_out(self, to: *mut *mut c_void) -> c_int {
        self.fail(OutOfMemory.into());
        // SAFETY: the caller's promise.
        unsafe { to.write(ptr::null_mut()) };
        REDIS_ERR
    }

    /// As `take`, item by item.
    ///
    /// # Safety
    /// The reader has a buffer.
    #[inline(never)]
    unsafe fn go_on(self, to: *mut *mut c_void) -> c_int {
        // SAFETY: the caller's promise. What the reader points to is looked at anew after each
        // item, because constructors are user code.
        unsafe {
            if (*self.0).ridx == -1 && self.start().is_err() {
                return self.ran_out(to);
            }
            to.write(ptr::null_mut());
            if !self.is_short()
                && let Err(fault) = self.run()
            {
                self.fail(fault);
                return REDIS_ERR;
            }
            if self.has_to_drop((*self.0).pos) {
                self.drop_consumed();
            }
            if (*self.0).ridx == -1 {
                to.write(ptr::replace(&raw mut (*self.0).reply, ptr::null_mut()));
            }
            REDIS_OK
        }
    }

    /// Whether there is less than any item has, and nothing wrong with it so far.
    #[inline(always)]
    fn is_short(self) -> bool {
        const LEAST: usize = 3;
        // SAFETY: a live reader is a Whole; without an error it has a buffer.
        unsafe {
            // At the greatest depth the type byte of an aggregate is wrong already.
            let deepest = (*self.0).maxdepth > 0 && (*self.0).ridx >= (*self.0).maxdepth;
            if deepest || self.in_bulk() || (*self.0).len - (*self.0).pos >= LEAST {
                return false;
            }
            let short = self.unread().first().is_some_and(|byte| reply_type(*byte).is_some());
            if short {
                (*self.whole()).needed = LEAST;
            }
            short
        }
    }
}

/// `Protocol error, got "X" as reply type byte`, X made printable.
fn type_byte_message(byte: u8, out: &mut [u8; 64]) -> &[u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let hex = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'?');
    let escaped = [b'\\', b'x', hex(byte >> 4), hex(byte)];
    let shown: &[u8] = match byte {
        b'\\' => b"\\\\",
        b'"' => b"\\\"",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        7 => b"\\a",
        8 => b"\\b",
        b' '..=b'~' => &[byte],
        _ => &escaped,
    };
    let parts: [&[u8]; 3] = [b"Protocol error, got \"", shown, b"\" as reply type byte"];
    let mut len = 0;
    for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
        len += 1;
    }
    out.get(..len).unwrap_or_default()
}
