//! The objects of a reply in progress, made by the default constructors or the program's.

use core::ffi::{c_int, c_void};
use core::ptr;

use super::Reader;
use crate::abi::*;
use crate::resp::leaf::Leaf;
use crate::resp::{double, reply};

/// NULL says that memory ran out. The safety contract of each: `task` is the reader's
/// current task.
impl Reader {
    pub(super) fn native(self) -> bool {
        // SAFETY: a live reader is a Whole.
        unsafe { (*self.whole()).native }
    }

    /// Adds a new reply of the default constructors to its parent, if it has one.
    pub(super) unsafe fn link(self, task: *mut redisReadTask, reply: *mut redisReply) -> *mut c_void {
        // SAFETY: a native task's parent object is a growing reply.
        unsafe {
            let parent = (*task).parent;
            if reply.is_null() || parent.is_null() {
                return reply.cast();
            }
            if reply::add((*parent).obj.cast(), reply) { reply.cast() } else { ptr::null_mut() }
        }
    }

    /// The program's constructors, read from the reader at each use.
    unsafe fn functions<'a>(self) -> Option<&'a redisReplyObjectFunctions> {
        // SAFETY: a live reader; the reference is used before the next user code runs.
        unsafe { (*self.0).r#fn.as_ref() }
    }

    /// Makes the object of a leaf that is near with the program's constructors.
    #[inline(always)]
    pub(super) unsafe fn make_leaf(self, task: *mut redisReadTask, leaf: Leaf) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            match leaf {
                Leaf::Text { kind, text, len, value: _ } => {
                    (*task).r#type = kind;
                    self.create_string(task, text, len)
                }
                Leaf::Bare { kind: _, value } => {
                    (*task).r#type = REDIS_REPLY_INTEGER;
                    self.create_integer(task, value)
                }
            }
        }
    }

    #[inline(never)]
    pub(super) unsafe fn make_string(
        self,
        task: *mut redisReadTask,
        text: *const u8,
        len: usize,
    ) -> *mut c_void {
        // SAFETY: the caller's promise; `text` is in the buffer.
        unsafe {
            if self.native() {
                return self.link(task, reply::string((*task).r#type, text, len, 0.0));
            }
            self.create_string(task, text, len)
        }
    }

    #[inline(always)]
    unsafe fn create_string(self, task: *mut redisReadTask, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: as for `make_string`.
        unsafe {
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
                let kind = (*task).r#type;
                if elements == 0 {
                    return self.link(task, reply::empty(kind));
                }
                let (unread, depth) = ((*self.0).len - (*self.0).pos, (*self.0).ridx.unsigned_abs());
                let parent = (*task).parent;
                let above = if parent.is_null() { ptr::null_mut() } else { (*parent).obj.cast() };
                let reply = reply::growing(kind, elements, unread, depth as usize, above);
                return self.link(task, reply);
            }
            match self.functions().and_then(|f| f.createArray) {
                Some(create) => create(task, elements),
                None => number((*task).r#type),
            }
        }
    }

    #[inline(never)]
    pub(super) unsafe fn make_integer(self, task: *mut redisReadTask, value: i64) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
            if self.native() {
                return self.link(task, reply::integer(REDIS_REPLY_INTEGER, value));
            }
            self.create_integer(task, value)
        }
    }

    #[inline(always)]
    unsafe fn create_integer(self, task: *mut redisReadTask, value: i64) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe {
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
                return self.link(task, reply::string(REDIS_REPLY_DOUBLE, text, len, value));
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

/// Where there is no constructor, the number of the reply's type stands for the object.
fn number(kind: c_int) -> *mut c_void {
    ptr::without_provenance_mut(kind as usize)
}
