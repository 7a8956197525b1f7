//! Reads replies from a stream of bytes.
//!
//! A reply may nest, so the reader keeps a stack of tasks: an aggregate pushes one
//! task per level and is done when its last element is. Bytes are consumed only
//! once a whole item is there; feeding half a line changes nothing but how far the
//! line has been searched.
//!
//! Objects are made by the functions in `fn`, or, with the default ones, directly:
//! then trees grow with the bytes received, and a big bulk string is received
//! into its final place (`Bulk`). Constructors are user code: no reference into
//! the reader or its buffer lives across a call to one.

use core::ffi::{c_char, c_int, c_longlong, c_void};
use core::mem::size_of;
use core::ptr;
use core::slice;

use memchr::{memchr, memchr2};

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::resp::leaf::{Make, Native, head, whole_leaf};
use crate::resp::{Int, int_line, is_aggregate, reply, reply_type};
use crate::room;
use crate::sds::Sds;

/// Bulk strings from this length on are received in place,
const BIG_BULK: usize = 64 * 1024;
/// once so much of them has arrived.
const BIG_BULK_START: usize = 8 * 1024;
/// Room that a buffer begins with: what fits the smallest block that malloc has.
const FIRST_ROOM: usize = 20;
/// A consumed prefix below this is not worth moving the rest for.
const TRIM_FROM: usize = 1024;
/// Tasks added when nesting goes deeper than ever before.
const TASK_STEP: usize = 9;
/// Characters of a double, at most.
const DOUBLE_MAX: usize = 325;

/// What a reader is made of: the public struct, and behind it what is nobody
/// else's business. Only the library makes readers, so they may be longer.
#[repr(C)]
struct Whole {
    public: redisReader,
    /// Task 0. `public.task` points to `root_slot` until a reply nests.
    root: redisReadTask,
    root_slot: *mut redisReadTask,
    /// How many bytes of the unfinished line at `pos` hold no line end.
    scanned: usize,
    /// Unread bytes without which there is nothing to be done, as far as is known.
    needed: usize,
    /// That line holds a lone CR or LF, so it will be an error when it ends.
    stray: bool,
    /// The reply in progress is made by the default constructors.
    native: bool,
    /// Attributes are dropped, as a context wants it: see `set_for_context`.
    drop_attributes: bool,
    bulk: Bulk,
    io: Io,
}

/// A bulk string on its way into its final block. `text` is NULL when there is
/// none; otherwise `have` of `want` bytes (payload, CR and LF) have arrived, and
/// the block has room for `room`, one byte more once `room == want`.
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
    pub(crate) read_size: usize,
    /// The last read brought little.
    pub(crate) read_little: bool,
    /// connect succeeded without waiting, so nobody needs to ask again.
    pub(crate) connected_at_once: bool,
    /// Confirmations of a subscription that a blocking context waits for.
    pub(crate) confirmations: usize,
    /// Replies that a blocking context still expects, other than confirmations, as far as it
    /// knows the commands.
    pub(crate) unanswered: usize,
    pub(crate) sent: Sent,
}

/// How much of an `obuf` is sent already. Programs may edit that buffer or put another in
/// its place, which is then to be sent from its start: so this remembers what it is about.
pub(crate) struct Sent {
    buf: *mut c_char,
    /// Length of the buffer, as far as the library knows.
    len: usize,
    /// Bytes that are sent.
    pub(crate) bytes: usize,
    /// The last of them.
    last: [u8; 16],
}

impl Default for Sent {
    fn default() -> Sent {
        Sent { buf: ptr::null_mut(), len: 0, bytes: 0, last: [0; 16] }
    }
}

impl Sent {
    /// The first `bytes` of `text`, which is what `buf` holds.
    pub(crate) fn new(buf: *mut c_char, text: &[u8], bytes: usize) -> Sent {
        Sent { buf, len: text.len(), bytes, last: Sent::last_of(text, bytes) }
    }

    fn last_of(text: &[u8], bytes: usize) -> [u8; 16] {
        let mut last = [0; 16];
        let text = text.get(bytes.saturating_sub(16)..bytes).unwrap_or_default();
        for (to, from) in last.iter_mut().zip(text) {
            *to = *from;
        }
        last
    }

    /// How much of `text`, which is what `buf` holds now, is sent.
    pub(crate) fn of(&self, buf: *mut c_char, text: &[u8]) -> usize {
        let same = ptr::eq(self.buf, buf)
            && text.len() >= self.len
            && self.bytes < text.len()
            && Sent::last_of(text, self.bytes) == self.last;
        if same { self.bytes } else { 0 }
    }

    /// The library appended to the buffer. If that was shorter than it left it, somebody
    /// else cut it, and it counts as a new one.
    pub(crate) fn grown(&mut self, from: usize, to: usize) {
        if from < self.len {
            *self = Sent::default();
        } else {
            self.len = to;
        }
    }

    /// The library moved the buffer.
    pub(crate) fn moved(&mut self, from: *mut c_char, to: *mut c_char) {
        if ptr::eq(self.buf, from) {
            self.buf = to;
        }
    }
}

/// What an item turned out to be. Places count from behind the type byte, sizes are those
/// of the whole item.
enum Item {
    Incomplete,
    /// A string of `len` bytes, to be received in its place: so far there is this payload.
    Big {
        payload: usize,
        len: usize,
    },
    Text {
        at: usize,
        len: usize,
        size: usize,
    },
    Integer {
        value: i64,
        size: usize,
    },
    Double {
        value: f64,
        len: usize,
    },
    Bool {
        value: bool,
    },
    Nil {
        size: usize,
    },
    Elements {
        count: u32,
        size: usize,
    },
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
        let buf = Sds::with_capacity(FIRST_ROOM)?;
        let whole = alloc::calloc(1, size_of::<Whole>()).cast::<Whole>();
        if whole.is_null() {
            buf.free();
            return Err(OutOfMemory);
        }
        // SAFETY: the block has room for a Whole, for which all zeroes are valid.
        unsafe {
            let r = &raw mut (*whole).public;
            (*r).buf = buf.as_ptr();
            (*r).maxbuf = REDIS_READER_MAX_BUF;
            (*r).maxelements = REDIS_READER_MAX_ARRAY_ELEMENTS;
            (*r).maxdepth = REDIS_READER_MAX_REPLY_DEPTH;
            (*r).ridx = -1;
            (*r).r#fn = functions;
            (*r).tasks = 1;
            (*r).task = &raw mut (*whole).root_slot;
            (*whole).root_slot = &raw mut (*whole).root;
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
            alloc::free((*whole).bulk.text.cast());
            (*whole).bulk.text = ptr::null_mut();
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
        // SAFETY: a live reader that the caller gives up. Records 1 to 9, 10 to 19,
        // 20 to 39 and so on are one block each, as `deepen` made them.
        unsafe {
            let (task, tasks) = ((*self.0).task, (*self.0).tasks as usize);
            let mut first = 1;
            while first < tasks {
                alloc::free((*task.add(first)).cast());
                first += first.max(TASK_STEP);
            }
            if tasks > 1 {
                alloc::free(task.cast());
            }
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
            (*self.whole()).needed = 0;
            (*r).err = fault.kind;
            let errstr = (&raw mut (*r).errstr).cast::<u8>();
            let len = message.len().min(127);
            ptr::copy_nonoverlapping(message.as_ptr(), errstr, len);
            errstr.add(len).write(0);
        }
        Broken
    }

    /// Takes a copy of `len` bytes.
    ///
    /// # Safety
    /// They are readable, and not in the buffer.
    #[inline(always)]
    pub(crate) unsafe fn feed(self, bytes: *const u8, len: usize) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer; the rest is the caller's promise.
        unsafe {
            let r = self.0;
            if len <= room::SHORT
                && !self.in_bulk()
                && let Some(buf) = self.buf()
                && let Some(room) = buf.short_room(len)
            {
                room::copy(bytes, room, len);
                (*r).len = buf.grow_short(len);
                return Ok(());
            }
            self.feed_any(slice::from_raw_parts(bytes, len))
        }
    }

    /// As `feed`, however much it is and whatever is to be done with the buffer first.
    #[inline(never)]
    fn feed_any(self, bytes: &[u8]) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            if (*r).err != 0 {
                return Err(Broken);
            }
            if bytes.is_empty() {
                return Ok(());
            }
            if self.in_bulk() { self.feed_bulk(bytes) } else { self.feed_buffer(bytes) }
        }
    }

    #[inline]
    fn feed_buffer(self, bytes: &[u8]) -> Result<(), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            let avail = self.buf().map_or(0, Sds::avail);
            if bytes.len() >= avail || avail > (*r).maxbuf {
                self.reserve(bytes.len())?;
            }
            let Some(buf) = self.buf() else { return Err(Broken) };
            let len = (*r).len + bytes.len();
            // `bytes` are not in the buffer, which has room for them.
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*r).buf.cast::<u8>().add((*r).len), bytes.len());
            buf.set_len(len);
            (*r).len = len;
        }
        Ok(())
    }

    /// As `feed`, while a bulk string is received in place.
    #[inline(never)]
    fn feed_bulk(self, bytes: &[u8]) -> Result<(), Broken> {
        let mut rest = bytes;
        while let Some((room, cap)) = self.bulk_room() {
            let n = cap.min(rest.len());
            // SAFETY: a live reader is a Whole; there is room for `cap` bytes.
            unsafe {
                ptr::copy_nonoverlapping(rest.as_ptr(), room, n);
                (*self.whole()).bulk.have += n;
            }
            rest = rest.get(n..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.check_bulk()?;
        self.feed_buffer(rest)
    }

    /// Where the next bytes from the connection go: at least `want` bytes of room in
    /// the buffer, or what the bulk string on its way still needs. What is written
    /// there is announced with `filled`.
    pub(crate) fn room(self, want: usize) -> Result<(*mut u8, usize), Broken> {
        if self.err() != 0 {
            return Err(Broken);
        }
        if let Some(room) = self.bulk_room() {
            return Ok(room);
        }
        self.check_bulk()?;
        self.reserve(want)
    }

    fn in_bulk(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { !(*self.whole()).bulk.text.is_null() }
    }

    /// How many bytes a bulk string that is received in place still needs.
    pub(crate) fn bulk_needs(self) -> usize {
        // SAFETY: a live reader is a Whole.
        let bulk = unsafe { &(*self.whole()).bulk };
        if bulk.text.is_null() { 0 } else { bulk.want - bulk.have }
    }

    /// Takes `n` bytes that were written to what `room` gave.
    pub(crate) fn filled(self, n: usize) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            let bulk = &mut (*self.whole()).bulk;
            if !bulk.text.is_null() && bulk.have < bulk.want {
                bulk.have += n;
            } else {
                self.commit(n);
            }
        }
    }

    /// Room for `want` bytes at the end of the buffer, in a buffer that is dropped
    /// first when it is idle and big, or moved to its start when that is cheap.
    #[inline(never)]
    fn reserve(self, want: usize) -> Result<(*mut u8, usize), Broken> {
        // SAFETY: a live reader without an error has a buffer.
        unsafe {
            let r = self.0;
            let Some(mut buf) = self.buf() else { return Err(Broken) };
            if (*r).len == 0 && (*r).maxbuf != 0 && buf.avail() > (*r).maxbuf && want <= (*r).maxbuf {
                let Ok(fresh) = Sds::with_capacity(FIRST_ROOM) else {
                    return Err(self.fail(OutOfMemory.into()));
                };
                buf.free();
                buf = fresh;
                (*r).buf = buf.as_ptr();
                (*r).pos = 0;
            }
            // One more, with which constructors may read four bytes past a payload (read.h).
            let want = want.saturating_add(1);
            if buf.avail() < want && (*r).pos >= TRIM_FROM && (*r).pos >= (*r).len - (*r).pos {
                self.trim(buf);
            }
            match buf.reserve(want) {
                Ok(buf) => {
                    (*r).buf = buf.as_ptr();
                    Ok((buf.tail(), buf.avail().saturating_sub(1)))
                }
                Err(oom) => Err(self.fail(oom.into())),
            }
        }
    }

    fn commit(self, n: usize) {
        if let Some(buf) = self.buf() {
            buf.set_len(buf.len() + n);
            // SAFETY: a live reader.
            unsafe { (*self.0).len = buf.len() };
        }
    }

    /// Drops the consumed prefix.
    fn trim(self, buf: Sds) {
        // SAFETY: a live reader.
        unsafe {
            buf.drop_front((*self.0).pos);
            (*self.0).pos = 0;
            (*self.0).len = buf.len();
        }
    }

    /// Whether the next item is known to be incomplete.
    #[inline(always)]
    pub(crate) fn waits(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.0).len - (*self.0).pos < (*self.whole()).needed }
    }

    /// The next reply: NULL when it is not complete yet. The caller owns it.
    #[inline(always)]
    pub(crate) fn next(self) -> Result<*mut c_void, Broken> {
        // SAFETY: a live reader; without an error it has a buffer.
        unsafe {
            let r = self.0;
            if (*r).ridx == -1 && (*r).len > 0 && self.is_native() {
                let (at, end) = self.ends();
                let took = |next: *const u8| {
                    (*r).pos += next.addr() - at.addr();
                    (*self.whole()).needed = 0;
                };
                if let Some(reply) = whole_leaf(at, end, &Native, took) {
                    if reply.is_null() {
                        return Err(self.fail(OutOfMemory.into()));
                    }
                    self.drop_consumed();
                    return Ok(reply);
                }
            }
            self.next_by_tasks()
        }
    }

    /// As `next`, in however many pieces and of whatever kind.
    #[inline(never)]
    fn next_by_tasks(self) -> Result<*mut c_void, Broken> {
        // SAFETY: a live reader. What it points to is looked at anew after each
        // item, because constructors are user code.
        unsafe {
            let r = self.0;
            if (*r).err != 0 {
                return Err(Broken);
            }
            if ((*r).len == 0 && !self.in_bulk()) || self.waits() {
                return Ok(ptr::null_mut());
            }
            if self.is_short() {
                return Ok(ptr::null_mut());
            }
            if (*r).ridx == -1 {
                self.start();
            }
            if let Err(fault) = self.run() {
                return Err(self.fail(fault));
            }
            self.drop_consumed();
            if (*r).ridx != -1 {
                return Ok(ptr::null_mut());
            }
            let root = (*r).reply;
            (*r).reply = ptr::null_mut();
            Ok(root)
        }
    }

    /// Drops consumed bytes once moving the rest costs no more than reading them did.
    #[inline(always)]
    fn drop_consumed(self) {
        // SAFETY: a live reader.
        unsafe {
            let (pos, left) = ((*self.0).pos, (*self.0).len - (*self.0).pos);
            if left > 0 && (pos < TRIM_FROM || pos < left) {
                return;
            }
            match self.buf() {
                Some(buf) if left == 0 && buf.clear_short() => {
                    (*self.0).pos = 0;
                    (*self.0).len = 0;
                }
                Some(buf) => self.drop_front(buf),
                None => {}
            }
        }
    }

    /// Drops all consumed bytes.
    #[inline(never)]
    fn drop_front(self, buf: Sds) {
        // SAFETY: a live reader.
        unsafe {
            if (*self.0).len > (*self.0).pos {
                return self.trim(buf);
            }
            // Unlike hiredis: what a burst left behind goes at once, not when more comes.
            if buf.avail() > TRIM_FROM && (*self.0).maxbuf != 0 && buf.capacity() > (*self.0).maxbuf {
                return self.renew(buf);
            }
            buf.set_len(0);
            (*self.0).pos = 0;
            (*self.0).len = 0;
        }
    }

    /// Gives an empty buffer's memory back, unless much is being read.
    #[cold]
    fn renew(self, buf: Sds) {
        buf.set_len(0);
        // SAFETY: a live reader is a Whole.
        unsafe {
            (*self.0).pos = 0;
            (*self.0).len = 0;
            if (*self.whole()).io.read_size > (*self.0).maxbuf {
                return;
            }
            if let Ok(fresh) = Sds::with_capacity(FIRST_ROOM) {
                buf.free();
                (*self.0).buf = fresh.as_ptr();
            }
        }
    }

    /// Whether there is less than any item has, and nothing wrong with it so far.
    #[inline(always)]
    fn is_short(self) -> bool {
        const LEAST: usize = 3;
        // SAFETY: a live reader is a Whole; without an error it has a buffer.
        unsafe {
            if self.in_bulk() || (*self.0).len - (*self.0).pos >= LEAST {
                return false;
            }
            let short = self.unread().first().is_some_and(|byte| reply_type(*byte).is_some());
            if short {
                (*self.whole()).needed = LEAST;
            }
            short
        }
    }

    /// The bytes that are not consumed yet.
    ///
    /// # Safety
    /// The reader has a buffer, which nothing changes while the slice is in use.
    #[inline]
    unsafe fn unread<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise; `pos` is at most `len`.
        unsafe {
            let r = self.0;
            slice::from_raw_parts((*r).buf.cast::<u8>().add((*r).pos), (*r).len - (*r).pos)
        }
    }

    /// Where the unread bytes begin and end; a NUL follows them.
    ///
    /// # Safety
    /// The reader has a buffer.
    #[inline]
    unsafe fn ends(self) -> (*const u8, *const u8) {
        // SAFETY: the caller's promise; a buffer is an sds.
        unsafe {
            let buf = (*self.0).buf.cast::<u8>();
            (buf.add((*self.0).pos), buf.add((*self.0).len))
        }
    }

    /// Begins a reply: its functions are chosen here for the whole of it.
    fn start(self) {
        // SAFETY: a live reader has task 0.
        unsafe {
            let r = self.0;
            (*(*r).task).write(redisReadTask {
                r#type: -1,
                elements: -1,
                idx: -1,
                obj: ptr::null_mut(),
                parent: ptr::null_mut(),
                privdata: (*r).privdata,
            });
            (*r).ridx = 0;
            (*self.whole()).native = self.is_native();
        }
    }

    /// Reads items until the reply is complete or bytes run out.
    fn run(self) -> Result<(), Fault> {
        loop {
            // SAFETY: a live reader.
            unsafe {
                let fresh = !self.in_bulk() && (*self.whole()).scanned == 0;
                if (*self.whole()).native && fresh && (*self.0).ridx >= 0 {
                    self.whole_items()?;
                }
                if (*self.0).ridx < 0 || !self.item()? {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the items of a native reply that are wholly there and ordinary, in one go: the
    /// tasks on the way are left as reading item by item would have left them.
    #[inline(always)]
    fn whole_items(self) -> Result<(), Fault> {
        // SAFETY: a live reader with a reply in progress, between two items. A native task's
        // object is a growing reply; as many tasks are used as there are.
        unsafe {
            let r = self.0;
            let (start, end) = self.ends();
            let mut at = start;
            let tasks = (*r).task;
            let task = |i: usize| *tasks.add(i);
            let mut depth = (*r).ridx as usize;
            let (mut parent, mut announced) = (ptr::null_mut::<redisReply>(), 0);
            if depth > 0 {
                let above = task(depth - 1);
                (parent, announced) = ((*above).obj.cast(), (*above).elements as usize);
            }
            loop {
                if !parent.is_null() {
                    loop {
                        if (*parent).elements == announced {
                            break;
                        }
                        let Some(leaf) = whole_leaf(at, end, &Native, |next| at = next) else { break };
                        if leaf.is_null() || !reply::add(parent, announced, leaf.cast()) {
                            return Err(OutOfMemory.into());
                        }
                    }
                    if (*parent).elements == announced {
                        if (*parent).r#type == REDIS_REPLY_ATTR {
                            break;
                        }
                        reply::complete(parent);
                        depth -= 1;
                        if depth == 0 {
                            self.consume(at.addr() - start.addr());
                            (*r).ridx = -1;
                            return Ok(());
                        }
                        let above = task(depth - 1);
                        (parent, announced) = ((*above).obj.cast(), (*above).elements as usize);
                        continue;
                    }
                }
                let (kind, count, next) = head(at);
                if next.is_null() || !self.admits(depth, count) {
                    break;
                }
                at = next;
                let count = if kind == REDIS_REPLY_MAP { 2 * count } else { count } as usize;
                let object = reply::growing(kind, count, expected(end.addr() - at.addr(), depth));
                if object.is_null() {
                    return Err(OutOfMemory.into());
                }
                if parent.is_null() {
                    (*r).reply = object.cast();
                } else {
                    (*task(depth)).idx = (*parent).elements as c_int;
                    if !reply::add(parent, announced, object) {
                        return Err(OutOfMemory.into());
                    }
                }
                (*task(depth)).r#type = kind;
                self.descend(depth, count, object.cast());
                depth += 1;
                (parent, announced) = (object, count);
            }
            if at == start {
                return Ok(());
            }
            self.consume(at.addr() - start.addr());
            (*r).ridx = depth as c_int;
            let task = task(depth);
            (*task).r#type = -1;
            (*task).elements = -1;
            (*task).idx = (*parent).elements as c_int;
            if (*parent).elements == announced {
                (*task).idx = (*task).idx.wrapping_sub(1);
                self.advance();
            }
        }
        Ok(())
    }

    /// Reads one item; false when it is not complete yet.
    #[inline]
    fn item(self) -> Result<bool, Fault> {
        // SAFETY: a live reader. `parse` has its slices to itself: they are gone when an
        // object is made, by user code that may look at the buffer and even write to it.
        unsafe {
            let r = self.0;
            let task = *(*r).task.add((*r).ridx as usize);
            if self.in_bulk() {
                return self.finish_bulk(task);
            }
            if !self.native() && (*self.whole()).scanned == 0 {
                let (at, end) = self.ends();
                let mut next = at;
                let made = whole_leaf(at, end, &Custom { reader: self, task }, |end| next = end);
                if let Some(object) = made {
                    return self.leaf(task, object, next.addr() - at.addr());
                }
            }
            let Some(&byte) = self.unread().first() else { return Ok(false) };
            let kind = reply_type(byte)
                .ok_or(Fault { kind: REDIS_ERR_PROTOCOL, message: Message::TypeByte(byte) })?;
            (*task).r#type = kind;
            let text = |at: usize| (*r).buf.cast::<u8>().add((*r).pos + 1 + at);
            let (object, size) = match self.parse(kind)? {
                Item::Incomplete => {
                    self.wait_for_line();
                    return Ok(false);
                }
                Item::Big { payload, len } => {
                    return self.receive_in_place(text(payload), len, payload + 1).map(|()| false);
                }
                Item::Elements { count, size } => return self.aggregate(task, count, size),
                Item::Text { at, len, size } => (self.make_string(task, text(at), len), size),
                Item::Integer { value, size } => (self.make_integer(task, value), size),
                Item::Double { value, len } => (self.make_double(task, value, text(0), len), len + 3),
                Item::Bool { value } => (self.make_bool(task, value.into()), 4),
                Item::Nil { size } => (self.make_nil(task), size),
            };
            self.leaf(task, object, size)
        }
    }

    /// An item is incomplete: unless it says how much it needs, a line end is missing.
    unsafe fn wait_for_line(self) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            let unread = self.unread();
            if (*self.whole()).needed <= unread.len() {
                let missing = if unread.last() == Some(&b'\r') { 1 } else { 2 };
                (*self.whole()).needed = unread.len() + missing;
            }
        }
    }

    /// Takes apart the item at `pos`, which is of this type.
    #[inline(never)]
    fn parse(self, kind: c_int) -> Result<Item, Fault> {
        // SAFETY: a live reader, whose buffer nothing changes meanwhile.
        unsafe {
            let body = self.unread().get(1..).unwrap_or_default();
            match kind {
                REDIS_REPLY_STRING | REDIS_REPLY_VERB => self.parse_bulk(kind, body),
                REDIS_REPLY_INTEGER => match int_line(body) {
                    Int::Value(value, cr) => Ok(Item::Integer { value, size: cr + 3 }),
                    Int::Incomplete => Ok(Item::Incomplete),
                    Int::Bad => self.bad_line(body, "Bad integer value"),
                },
                REDIS_REPLY_STATUS | REDIS_REPLY_ERROR => self.parse_simple(body),
                kind if is_aggregate(kind) => self.parse_aggregate(kind, body),
                _ => self.parse_scalar(kind, body),
            }
        }
    }

    /// Stores a finished leaf and consumes its `size` bytes.
    ///
    /// # Safety
    /// `task` is the current task; the item's bytes are all there.
    #[inline]
    unsafe fn leaf(self, task: *mut redisReadTask, object: *mut c_void, size: usize) -> Result<bool, Fault> {
        if object.is_null() {
            return Err(OutOfMemory.into());
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.consume(size);
            if (*task).parent.is_null() {
                (*self.0).reply = object;
            }
        }
        self.advance();
        Ok(true)
    }

    fn consume(self, size: usize) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            (*self.0).pos += size;
            (*self.whole()).scanned = 0;
            (*self.whole()).needed = 0;
        }
    }

    /// Goes on to the next element, or up as far as aggregates are complete.
    #[inline]
    fn advance(self) {
        // SAFETY: a live reader; tasks 0 to `ridx` are in use.
        unsafe {
            let r = self.0;
            loop {
                if (*r).ridx <= 0 {
                    if self.forget_attribute(*(*r).task) {
                        return;
                    }
                    (*r).ridx = -1;
                    return;
                }
                let task = *(*r).task.add((*r).ridx as usize);
                if self.forget_attribute(task) {
                    return;
                }
                let parent = (*task).parent;
                if c_longlong::from((*task).idx as u32) < (*parent).elements - 1 {
                    (*task).r#type = -1;
                    (*task).elements = -1;
                    (*task).idx = (*task).idx.wrapping_add(1);
                    return;
                }
                if (*self.whole()).native {
                    reply::complete((*parent).obj.cast());
                }
                (*r).ridx -= 1;
            }
        }
    }

    /// Drops a complete attribute, whose place the value that follows it takes.
    ///
    /// # Safety
    /// `task` is a task of this reader whose item is complete.
    #[inline]
    unsafe fn forget_attribute(self, task: *mut redisReadTask) -> bool {
        // SAFETY: the caller's promise; a native attribute is the last element of its
        // parent, or the root.
        unsafe {
            if (*task).r#type != REDIS_REPLY_ATTR
                || !(*self.whole()).native
                || !(*self.whole()).drop_attributes
            {
                return false;
            }
            if (*task).parent.is_null() {
                let root = (*self.0).reply;
                (*self.0).reply = ptr::null_mut();
                reply::release(root);
            } else {
                reply::drop_last((*(*task).parent).obj.cast());
            }
            (*task).r#type = -1;
            (*task).elements = -1;
        }
        true
    }

    /// The length of the line at `body`, without CR LF; `None` until it ends.
    ///
    /// # Safety
    /// `body` is what follows the current item's type byte.
    unsafe fn line(self, body: &[u8]) -> Option<usize> {
        // SAFETY: a live reader is a Whole.
        let scanned = unsafe { &mut (*self.whole()).scanned };
        let mut from = *scanned;
        while let Some(cr) = body.get(from..).and_then(|rest| memchr(b'\r', rest)) {
            match body.get(from + cr + 1) {
                Some(b'\n') => return Some(from + cr),
                Some(_) => from += cr + 1,
                None => {
                    *scanned = from + cr;
                    return None;
                }
            }
        }
        *scanned = body.len();
        None
    }

    /// A line that is wrong: an error once it ends.
    ///
    /// # Safety
    /// As for `line`.
    #[cold]
    unsafe fn bad_line(self, body: &[u8], message: &'static str) -> Result<Item, Fault> {
        // SAFETY: the caller's promise.
        match unsafe { self.line(body) } {
            Some(_) => Err(protocol(message)),
            None => Ok(Item::Incomplete),
        }
    }

    /// A status or an error: one look at each byte finds the end and a stray CR or LF.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_simple(self, body: &[u8]) -> Result<Item, Fault> {
        const STRAY: &str = "Bad simple string value";
        // SAFETY: a live reader is a Whole; the rest is the caller's promise.
        unsafe {
            let whole = self.whole();
            if (*whole).stray {
                return self.bad_line(body, STRAY);
            }
            let from = (*whole).scanned;
            let Some(end) = body.get(from..).and_then(|rest| memchr2(b'\r', b'\n', rest)) else {
                (*whole).scanned = body.len();
                return Ok(Item::Incomplete);
            };
            let end = from + end;
            match (body.get(end), body.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => Ok(Item::Text { at: 0, len: end, size: end + 3 }),
                (Some(b'\r'), None) => {
                    (*whole).scanned = end;
                    Ok(Item::Incomplete)
                }
                _ => {
                    (*whole).stray = true;
                    (*whole).scanned = end;
                    self.bad_line(body, STRAY)
                }
            }
        }
    }

    /// The other one-line items: double, nil, bool, big number.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_scalar(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        // SAFETY: the caller's promise.
        let Some(len) = (unsafe { self.line(body) }) else { return Ok(Item::Incomplete) };
        let line = body.get(..len).unwrap_or_default();
        match kind {
            REDIS_REPLY_DOUBLE => {
                if len > DOUBLE_MAX {
                    return Err(protocol("Double value is too large"));
                }
                let value = parse_double(line).ok_or(protocol("Bad double value"))?;
                Ok(Item::Double { value, len })
            }
            REDIS_REPLY_NIL if len == 0 => Ok(Item::Nil { size: 3 }),
            REDIS_REPLY_NIL => Err(protocol("Bad nil value")),
            REDIS_REPLY_BOOL => match line {
                [b't' | b'T'] => Ok(Item::Bool { value: true }),
                [b'f' | b'F'] => Ok(Item::Bool { value: false }),
                _ => Err(protocol("Bad bool value")),
            },
            _ => {
                let digits = line.strip_prefix(b"-").unwrap_or(line);
                if !digits.iter().all(u8::is_ascii_digit) {
                    return Err(protocol("Bad bignum value"));
                }
                Ok(Item::Text { at: 0, len, size: len + 3 })
            }
        }
    }

    /// A bulk or verbatim string.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_bulk(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        const RANGE: &str = "Bulk string length out of range";
        let (len, cr) = match int_line(body) {
            Int::Value(len, cr) => (len, cr),
            Int::Incomplete => return Ok(Item::Incomplete),
            // SAFETY: the caller's promise.
            Int::Bad => return unsafe { self.bad_line(body, "Bad bulk string length") },
        };
        if len == -1 {
            return Ok(Item::Nil { size: cr + 3 });
        }
        let Ok(len) = usize::try_from(len) else { return Err(protocol(RANGE)) };
        let at = cr + 2;
        let end = at.checked_add(len).filter(|end| *end < usize::MAX - 3).ok_or(protocol(RANGE))?;
        let Some(terminator) = body.get(end..end + 2) else {
            let big = len >= BIG_BULK && body.len() >= at + BIG_BULK_START;
            if big && self.native() && kind == REDIS_REPLY_STRING {
                return Ok(Item::Big { payload: at, len });
            }
            if len < BIG_BULK {
                // SAFETY: a live reader is a Whole.
                unsafe { (*self.whole()).needed = end + 3 };
            }
            return Ok(Item::Incomplete);
        };
        if terminator != b"\r\n" {
            return Err(protocol("Bad bulk string terminator"));
        }
        if kind == REDIS_REPLY_VERB && (len < 4 || body.get(at + 3) != Some(&b':')) {
            return Err(protocol(
                "Verbatim string 4 bytes of content type are missing or incorrectly encoded.",
            ));
        }
        Ok(Item::Text { at, len, size: end + 3 })
    }

    /// The head of an aggregate; its elements follow as items of their own.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_aggregate(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        const RANGE: &str = "Multi-bulk length out of range";
        // SAFETY: a live reader; the rest is the caller's promise.
        unsafe {
            let r = self.0;
            if (*r).maxdepth > 0 && (*r).ridx >= (*r).maxdepth {
                return Err(protocol("Max nesting depth exceeded"));
            }
            let (count, cr) = match int_line(body) {
                Int::Value(count, cr) => (count, cr),
                Int::Incomplete => return Ok(Item::Incomplete),
                Int::Bad => return self.bad_line(body, "Bad multi-bulk length"),
            };
            if count < -1 || ((*r).maxelements > 0 && count > (*r).maxelements) {
                return Err(protocol(RANGE));
            }
            if count == -1 {
                return Ok(Item::Nil { size: cr + 3 });
            }
            let pairs = matches!(kind, REDIS_REPLY_MAP | REDIS_REPLY_ATTR);
            let count = if pairs { count.checked_mul(2).ok_or(protocol(RANGE))? } else { count };
            // More elements than `idx` can number would not fit any memory.
            let Ok(count) = u32::try_from(count) else { return Err(OutOfMemory.into()) };
            Ok(Item::Elements { count, size: cr + 3 })
        }
    }

    /// Moves what there is of a big bulk string to its own block, which the rest of
    /// it is then read into.
    ///
    /// # Safety
    /// `payload` is the part of the string that is in the buffer, up to its end, and
    /// `header` bytes of the item come before it.
    #[cold]
    unsafe fn receive_in_place(self, payload: *const u8, len: usize, header: usize) -> Result<(), Fault> {
        // SAFETY: a live reader.
        let have = unsafe { (*self.0).len - (*self.0).pos }.saturating_sub(header);
        let want = len + 2;
        // The block grows with what arrives, not by what the server announces.
        let room = want.min(have.saturating_mul(4));
        let text = alloc::malloc(room + 1).cast::<u8>();
        if text.is_null() {
            return Err(OutOfMemory.into());
        }
        // SAFETY: `room` is more than `have`, since the string is not complete; a live
        // reader is a Whole.
        unsafe {
            ptr::copy_nonoverlapping(payload, text, have);
            (*self.whole()).bulk = Bulk { text, have, want, room };
        }
        self.consume(header + have);
        Ok(())
    }

    /// Room for more of the bulk string that is received in place; `None` when there
    /// is no such string, when it is all there, or when memory ran out.
    fn bulk_room(self) -> Option<(*mut u8, usize)> {
        // SAFETY: a live reader is a Whole; the block is the bulk's own.
        unsafe {
            let bulk = &mut (*self.whole()).bulk;
            if bulk.text.is_null() || bulk.have == bulk.want {
                return None;
            }
            if bulk.have == bulk.room {
                let room = bulk.want.min(bulk.room.saturating_mul(2));
                let text = alloc::realloc(bulk.text.cast(), room + 1).cast::<u8>();
                if text.is_null() {
                    return None;
                }
                bulk.text = text;
                bulk.room = room;
            }
            Some((bulk.text.add(bulk.have), bulk.room - bulk.have))
        }
    }

    /// An error when the bulk string's block could not grow.
    fn check_bulk(self) -> Result<(), Broken> {
        // SAFETY: a live reader is a Whole.
        let bulk = unsafe { &(*self.whole()).bulk };
        if !bulk.text.is_null() && bulk.have < bulk.want {
            return Err(self.fail(OutOfMemory.into()));
        }
        Ok(())
    }

    /// Makes the reply of a bulk string that was received in place.
    ///
    /// # Safety
    /// `task` is the current task, and there is such a string.
    unsafe fn finish_bulk(self, task: *mut redisReadTask) -> Result<bool, Fault> {
        // SAFETY: the caller's promise; the block has `room + 1` bytes.
        unsafe {
            let bulk = &mut (*self.whole()).bulk;
            if bulk.have < bulk.want {
                return Ok(false);
            }
            let (text, len) = (bulk.text, bulk.want - 2);
            if text.add(len).read() != b'\r' || text.add(len + 1).read() != b'\n' {
                return Err(protocol("Bad bulk string terminator"));
            }
            bulk.text = ptr::null_mut();
            text.add(len).write(0);
            let object = reply::adopt(REDIS_REPLY_STRING, text, len);
            let object = self.link(task, object);
            self.leaf(task, object, 0)
        }
    }

    /// Makes an aggregate, which takes `size` bytes, and begins its first element.
    ///
    /// # Safety
    /// `task` is the current task.
    unsafe fn aggregate(self, task: *mut redisReadTask, count: u32, size: usize) -> Result<bool, Fault> {
        // SAFETY: the caller's promise; after constructors ran the reader is looked at anew.
        unsafe {
            let r = self.0;
            if count > 0 {
                self.deepen()?;
            }
            let object = self.make_array(task, count as usize);
            if count == 0 {
                return self.leaf(task, object, size);
            }
            if object.is_null() {
                return Err(OutOfMemory.into());
            }
            self.consume(size);
            if (*task).parent.is_null() {
                (*r).reply = object;
            }
            self.descend((*r).ridx as usize, count as usize, object);
            (*r).ridx += 1;
        }
        Ok(true)
    }

    /// Whether an aggregate may be so deep and have so many elements, and a task for its
    /// elements is at hand.
    #[inline(always)]
    fn admits(self, depth: usize, count: u32) -> bool {
        // SAFETY: a live reader.
        let (tasks, maxdepth, maxelements) =
            unsafe { ((*self.0).tasks, (*self.0).maxdepth, (*self.0).maxelements) };
        let depth = depth as c_int;
        depth + 1 < tasks
            && (depth < maxdepth || maxdepth <= 0)
            && (c_longlong::from(count) <= maxelements || maxelements <= 0)
    }

    /// The task at this depth is an aggregate: its elements come next.
    ///
    /// # Safety
    /// There is a task below that one.
    #[inline(always)]
    unsafe fn descend(self, depth: usize, count: usize, object: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe {
            let r = self.0;
            let task = *(*r).task.add(depth);
            (*task).elements = count as c_longlong;
            (*task).obj = object;
            let child = *(*r).task.add(depth + 1);
            (*child).r#type = -1;
            (*child).elements = -1;
            (*child).idx = 0;
            (*child).obj = ptr::null_mut();
            (*child).parent = task;
            (*child).privdata = (*r).privdata;
        }
    }

    /// Makes sure that there is a task below the current one.
    fn deepen(self) -> Result<(), OutOfMemory> {
        // SAFETY: a live reader; its tasks are replaced only when all is in hand. The
        // records themselves never move.
        unsafe {
            let r = self.0;
            let have = (*r).tasks as usize;
            if ((*r).ridx as usize) + 1 < have {
                return Ok(());
            }
            let more = have.max(TASK_STEP);
            let total = have + more;
            let tasks = c_int::try_from(total).map_err(|_| OutOfMemory)?;
            let records = alloc::malloc(more * size_of::<redisReadTask>()).cast::<redisReadTask>();
            let list = alloc::malloc(total * size_of::<*mut redisReadTask>()).cast::<*mut redisReadTask>();
            if records.is_null() || list.is_null() {
                alloc::free(records.cast());
                alloc::free(list.cast());
                return Err(OutOfMemory);
            }
            ptr::copy_nonoverlapping((*r).task, list, have);
            for i in 0..more {
                list.add(have + i).write(records.add(i));
            }
            if have > 1 {
                alloc::free((*r).task.cast());
            }
            (*r).task = list;
            (*r).tasks = tasks;
        }
        Ok(())
    }
}

/// Makes the objects of the reply in progress; NULL says that memory ran out.
///
/// The safety contract of each: `task` is the reader's current task.
impl Reader {
    fn native(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.whole()).native }
    }

    /// Adds a new reply of the default constructors to its parent, if it has one.
    #[inline]
    unsafe fn link(self, task: *mut redisReadTask, reply: *mut redisReply) -> *mut c_void {
        // SAFETY: a native task's parent object is a growing reply.
        unsafe {
            let parent = (*task).parent;
            if reply.is_null() || parent.is_null() {
                return reply.cast();
            }
            let added = reply::add((*parent).obj.cast(), (*parent).elements as usize, reply);
            if added { reply.cast() } else { ptr::null_mut() }
        }
    }

    /// The program's constructors, read from the reader at each use.
    unsafe fn functions<'a>(self) -> Option<&'a redisReplyObjectFunctions> {
        // SAFETY: a live reader; the reference is used before the next user code runs.
        unsafe { (*self.0).r#fn.as_ref() }
    }

    #[inline]
    unsafe fn make_string(self, task: *mut redisReadTask, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: the caller's promise; `text` is in the buffer.
        unsafe {
            if self.native() {
                return self.link(task, reply::string((*task).r#type, text, len));
            }
            match self.functions().and_then(|f| f.createString) {
                Some(create) => create(task, text.cast_mut().cast(), len),
                None => number((*task).r#type),
            }
        }
    }

    unsafe fn make_array(self, task: *mut redisReadTask, elements: usize) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            if self.native() {
                let unread = (*self.0).len - (*self.0).pos;
                let expected = expected(unread, (*self.0).ridx.unsigned_abs() as usize);
                return self.link(task, reply::growing((*task).r#type, elements, expected));
            }
            match self.functions().and_then(|f| f.createArray) {
                Some(create) => create(task, elements),
                None => number((*task).r#type),
            }
        }
    }

    #[inline]
    unsafe fn make_integer(self, task: *mut redisReadTask, value: i64) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            if self.native() {
                return self.link(task, reply::integer(REDIS_REPLY_INTEGER, value));
            }
            match self.functions().and_then(|f| f.createInteger) {
                Some(create) => create(task, value),
                None => number(REDIS_REPLY_INTEGER),
            }
        }
    }

    unsafe fn make_double(
        self,
        task: *mut redisReadTask,
        value: f64,
        text: *const u8,
        len: usize,
    ) -> *mut c_void {
        // SAFETY: the caller's promise; `copy` has room for `len` bytes and a NUL.
        unsafe {
            if self.native() {
                return self.link(task, reply::double(value, text, len));
            }
            let Some(create) = self.functions().and_then(|f| f.createDouble) else {
                return number(REDIS_REPLY_DOUBLE);
            };
            let mut copy = [0u8; DOUBLE_MAX + 1];
            let len = len.min(DOUBLE_MAX);
            ptr::copy_nonoverlapping(text, copy.as_mut_ptr(), len);
            create(task, value, copy.as_mut_ptr().cast(), len)
        }
    }

    unsafe fn make_nil(self, task: *mut redisReadTask) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            if self.native() {
                return self.link(task, reply::nil());
            }
            match self.functions().and_then(|f| f.createNil) {
                Some(create) => create(task),
                None => number(REDIS_REPLY_NIL),
            }
        }
    }

    unsafe fn make_bool(self, task: *mut redisReadTask, value: c_int) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            if self.native() {
                return self.link(task, reply::integer(REDIS_REPLY_BOOL, value.into()));
            }
            match self.functions().and_then(|f| f.createBool) {
                Some(create) => create(task, value),
                None => number(REDIS_REPLY_BOOL),
            }
        }
    }
}

/// How many elements so many unread bytes can hold: one takes four bytes or so at least.
/// Dividing by the depth keeps the vectors of nested announcements together in proportion
/// to the bytes.
#[inline(always)]
fn expected(unread: usize, depth: usize) -> usize {
    unread.checked_div(4 * (depth + 1)).unwrap_or(0)
}

/// Makes the object of the current task with the program's constructors.
struct Custom {
    reader: Reader,
    task: *mut redisReadTask,
}

impl Make for Custom {
    #[inline(always)]
    unsafe fn text(&self, kind: c_int, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: the current task; the rest is the caller's promise.
        unsafe {
            (*self.task).r#type = kind;
            self.reader.make_string(self.task, text, len)
        }
    }

    #[inline(always)]
    unsafe fn integer(&self, value: i64) -> *mut c_void {
        // SAFETY: as in `text`.
        unsafe {
            (*self.task).r#type = REDIS_REPLY_INTEGER;
            self.reader.make_integer(self.task, value)
        }
    }

    #[inline(always)]
    unsafe fn double(&self, value: f64, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: as in `text`.
        unsafe {
            (*self.task).r#type = REDIS_REPLY_DOUBLE;
            self.reader.make_double(self.task, value, text, len)
        }
    }
}

/// Where there is no constructor, the number of the reply's type stands for the object.
fn number(kind: c_int) -> *mut c_void {
    ptr::without_provenance_mut(kind as usize)
}

/// A double as RESP3 writes it, whatever the locale: `inf`, `nan`, or decimal
/// digits with an optional point and exponent. A number too small to tell from
/// zero is zero; one too large is refused.
#[inline(never)]
fn parse_double(text: &[u8]) -> Option<f64> {
    let body = text.strip_prefix(b"-").unwrap_or(text);
    let negative = body.len() < text.len();
    if body.eq_ignore_ascii_case(b"inf") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if body.eq_ignore_ascii_case(b"nan") {
        return Some(f64::NAN);
    }
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(body);
    let mut rest = body.get(whole..)?;
    let mut count = whole;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        count += len;
        rest = fraction.get(len..)?;
    }
    if count == 0 {
        return None;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let value: f64 = core::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
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
