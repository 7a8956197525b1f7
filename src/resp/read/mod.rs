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

mod buffer;
mod item;
mod object;
mod tasks;

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use core::ptr;

use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::resp::leaf::{Native, whole_leaf};
use crate::resp::sent::Sent;
use crate::resp::{reply, reply_type};
use crate::sds::Sds;

/// Room that a buffer begins with: what fits the smallest block that malloc has.
const FIRST_ROOM: usize = 20;
/// Tasks added when nesting goes deeper than ever before.
const TASK_STEP: usize = 9;

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
    /// The last read brought little, or as much as was asked for.
    pub(crate) read_little: bool,
    pub(crate) read_full: bool,
    /// connect succeeded without waiting, so nobody needs to ask again.
    pub(crate) connected_at_once: bool,
    /// Confirmations of a subscription that a blocking context waits for.
    pub(crate) confirmations: usize,
    /// Replies that a blocking context still expects, other than confirmations, as far as it
    /// knows the commands.
    pub(crate) unanswered: usize,
    pub(crate) sent: Sent,
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
            if (*r).ridx == -1 {
                self.start();
            }
            if self.is_short() {
                return Ok(ptr::null_mut());
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
