//! The objects of a reply in progress, made by the default constructors or the program's.

use core::ffi::{c_int, c_void};
use core::ptr;

use super::Reader;
use crate::abi::*;
use crate::resp::leaf::Make;
use crate::resp::{double, reply};

/// NULL says that memory ran out. The safety contract of each: `task` is the reader's
/// current task.
impl Reader {
    pub(super) fn native(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.whole()).native }
    }

    /// Adds a new reply of the default constructors to its parent, if it has one.
    #[inline]
    pub(super) unsafe fn link(self, task: *mut redisReadTask, reply: *mut redisReply) -> *mut c_void {
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
    pub(super) unsafe fn make_string(
        self,
        task: *mut redisReadTask,
        text: *const u8,
        len: usize,
    ) -> *mut c_void {
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

    pub(super) unsafe fn make_array(self, task: *mut redisReadTask, elements: usize) -> *mut c_void {
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
    pub(super) unsafe fn make_integer(self, task: *mut redisReadTask, value: i64) -> *mut c_void {
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

    pub(super) unsafe fn make_double(
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
            let mut copy = [0u8; double::LONGEST + 1];
            let len = len.min(double::LONGEST);
            ptr::copy_nonoverlapping(text, copy.as_mut_ptr(), len);
            create(task, value, copy.as_mut_ptr().cast(), len)
        }
    }

    pub(super) unsafe fn make_nil(self, task: *mut redisReadTask) -> *mut c_void {
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

    pub(super) unsafe fn make_bool(self, task: *mut redisReadTask, value: c_int) -> *mut c_void {
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

/// Makes the object of the current task with the program's constructors.
pub(super) struct Custom {
    pub(super) reader: Reader,
    pub(super) task: *mut redisReadTask,
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

/// How many elements so many unread bytes can hold: one takes four bytes or so at least.
/// Dividing by the depth keeps the vectors of nested announcements together in proportion
/// to the bytes.
#[inline(always)]
pub(super) fn expected(unread: usize, depth: usize) -> usize {
    unread.checked_div(4 * (depth + 1)).unwrap_or(0)
}
