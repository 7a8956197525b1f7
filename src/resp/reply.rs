//! Builds and frees `redisReply` trees.
//!
//! Node, text and element vector are blocks of their own from the configured
//! allocator, and nothing hides beside them: programs keep a text, move an element
//! into another reply, or build a tree themselves and have it freed here.
//!
//! The reader's own trees grow their element vectors as elements arrive, so that a
//! server cannot make the client allocate by announcing. `elements` then counts
//! what is there, and reaches the announced number with the last element.

use core::ffi::{c_char, c_double, c_int, c_longlong, c_void};
use core::mem::size_of;
use core::ptr;

use crate::abi::*;
use crate::alloc::{free, malloc, realloc};
use crate::resp::is_aggregate;
use crate::room;

/// Room that an element vector starts with, at least if so many are announced.
const FIRST_ELEMENTS: usize = 8;

const PTR: usize = size_of::<*mut redisReply>();

/// A reply without text or elements; NULL when memory ran out.
#[inline(always)]
fn node(kind: c_int) -> *mut redisReply {
    let reply = malloc(size_of::<redisReply>()).cast::<redisReply>();
    if !reply.is_null() {
        let empty = redisReply {
            r#type: kind,
            integer: 0,
            dval: 0.0,
            len: 0,
            str: ptr::null_mut(),
            vtype: [0; 4],
            elements: 0,
            element: ptr::null_mut(),
        };
        // SAFETY: the block has room for a reply.
        unsafe { reply.write(empty) };
    }
    reply
}

pub(crate) fn nil() -> *mut redisReply {
    node(REDIS_REPLY_NIL)
}

/// An integer, or a bool with 0 or 1.
#[inline(always)]
pub(crate) fn integer(kind: c_int, value: c_longlong) -> *mut redisReply {
    let reply = node(kind);
    if !reply.is_null() {
        // SAFETY: a live reply.
        unsafe { (*reply).integer = value };
    }
    reply
}

/// A reply with a copy of `len` bytes at `text`.
///
/// # Safety
/// `len` bytes at `text` are readable.
#[inline(always)]
pub(crate) unsafe fn text(kind: c_int, text: *const u8, len: usize) -> *mut redisReply {
    let copy = malloc(len.wrapping_add(1)).cast::<u8>();
    if copy.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block has room for what is written; `text` is the caller's promise.
    unsafe {
        room::copy(text, copy, len);
        copy.add(len).write(0);
        adopt(kind, copy, len)
    }
}

/// As `text`, for every type. A verbatim string's text begins with its three-letter type
/// and a colon.
///
/// # Safety
/// `len` bytes at `bytes` are readable, at least four for a verbatim string.
#[inline(never)]
pub(crate) unsafe fn string(kind: c_int, bytes: *const u8, len: usize) -> *mut redisReply {
    let head = if kind == REDIS_REPLY_VERB && len >= 4 { 4 } else { 0 };
    // SAFETY: the caller's promise, then a live reply.
    unsafe {
        let reply = text(kind, bytes.add(head), len - head);
        if !reply.is_null() && head != 0 {
            ptr::copy_nonoverlapping(bytes.cast(), (&raw mut (*reply).vtype).cast::<c_char>(), 3);
        }
        reply
    }
}

/// A reply that takes over a text from the allocator. On failure NULL, and the
/// text is freed.
///
/// # Safety
/// `text` is a live block of `len` bytes and a NUL that nobody else owns.
#[inline(always)]
pub(crate) unsafe fn adopt(kind: c_int, text: *mut u8, len: usize) -> *mut redisReply {
    let reply = node(kind);
    // SAFETY: a live reply, or a block that nobody else owns.
    unsafe {
        if reply.is_null() {
            free(text.cast());
        } else {
            (*reply).str = text.cast();
            (*reply).len = len;
        }
    }
    reply
}

/// A double with the text it was read from.
///
/// # Safety
/// `len` bytes at `bytes` are readable.
pub(crate) unsafe fn double(value: c_double, bytes: *const u8, len: usize) -> *mut redisReply {
    // SAFETY: the caller's promise, then a live reply.
    unsafe {
        let reply = text(REDIS_REPLY_DOUBLE, bytes, len);
        if !reply.is_null() {
            (*reply).dval = value;
        }
        reply
    }
}

/// An aggregate to which `announced` elements will be added one by one, with room for
/// the first `expected` of them. Until the last one `len` holds the room there is.
pub(crate) fn growing(kind: c_int, announced: usize, expected: usize) -> *mut redisReply {
    let reply = node(kind);
    if reply.is_null() || announced == 0 {
        return reply;
    }
    let room = announced.min(expected.max(FIRST_ELEMENTS));
    let element = malloc(room * PTR).cast::<*mut redisReply>();
    // SAFETY: a live reply that nobody else knows.
    unsafe {
        if element.is_null() {
            free(reply.cast());
            return ptr::null_mut();
        }
        (*reply).element = element;
        (*reply).len = room;
    }
    reply
}

/// Puts `child` after the elements that `parent` has. On failure false, and the
/// child is freed.
///
/// # Safety
/// `parent` came from `growing` with `announced`, and has fewer elements than that.
#[inline(always)]
pub(crate) unsafe fn add(parent: *mut redisReply, announced: usize, child: *mut redisReply) -> bool {
    // SAFETY: the vector has room for `len` elements, see `growing`.
    unsafe {
        let at = (*parent).elements;
        if at == (*parent).len {
            let room = at.saturating_mul(2).min(announced);
            let element = realloc((*parent).element.cast(), room * PTR).cast::<*mut redisReply>();
            if element.is_null() {
                release(child.cast());
                return false;
            }
            (*parent).element = element;
            (*parent).len = room;
        }
        (*parent).element.add(at).write(child);
        (*parent).elements = at + 1;
    }
    true
}

/// The last element is complete: nothing is added any more.
///
/// # Safety
/// `reply` came from `growing`.
#[inline]
pub(crate) unsafe fn complete(reply: *mut redisReply) {
    // SAFETY: the caller's promise.
    unsafe { (*reply).len = 0 }
}

/// Takes the last element off again and frees it.
///
/// # Safety
/// `parent` came from `growing` and has elements.
pub(crate) unsafe fn drop_last(parent: *mut redisReply) {
    // SAFETY: the caller's promise.
    unsafe {
        (*parent).elements -= 1;
        release((*(*parent).element.add((*parent).elements)).cast());
    }
}

/// Frees a reply and everything in it; NULL is fine. Works for any tree that is
/// true to the public fields, whoever built it.
///
/// # Safety
/// `reply` is NULL or a live reply that nobody uses afterwards.
pub(crate) unsafe fn release(reply: *mut c_void) {
    let reply = reply.cast::<redisReply>();
    // SAFETY: the caller's promise.
    unsafe {
        if !reply.is_null() {
            if is_aggregate((*reply).r#type) { release_tree(reply) } else { release_leaf(reply) }
        }
    }
}

/// # Safety
/// As for `release`, for a reply without elements.
#[inline(always)]
unsafe fn release_leaf(reply: *mut redisReply) {
    // SAFETY: the caller's promise; a reply of these types has a text.
    unsafe {
        if matches!(
            (*reply).r#type,
            REDIS_REPLY_STRING
                | REDIS_REPLY_STATUS
                | REDIS_REPLY_ERROR
                | REDIS_REPLY_DOUBLE
                | REDIS_REPLY_BIGNUM
                | REDIS_REPLY_VERB
        ) {
            free((*reply).str.cast());
        }
        free(reply.cast());
    }
}

/// Needs no stack: while an aggregate's elements are freed, its `str` points to its parent
/// and its `len` counts the elements done.
///
/// # Safety
/// As for `release`, for an aggregate.
#[inline(never)]
unsafe fn release_tree(tree: *mut redisReply) {
    let mut parent = tree;
    // SAFETY: `tree` is live and, like everything below it, ours alone.
    unsafe {
        (*parent).str = ptr::null_mut();
        let mut at = 0;
        loop {
            let (count, element) = ((*parent).elements, (*parent).element);
            let mut deeper = ptr::null_mut::<redisReply>();
            while at < count && !element.is_null() {
                let child = element.add(at).read();
                at += 1;
                if !child.is_null() {
                    if is_aggregate((*child).r#type) {
                        deeper = child;
                        break;
                    }
                    release_leaf(child);
                }
            }
            if !deeper.is_null() {
                (*parent).len = at;
                (*deeper).str = parent.cast();
                (parent, at) = (deeper, 0);
                continue;
            }
            let done = parent;
            parent = (*done).str.cast();
            free(element.cast());
            free(done.cast());
            if parent.is_null() {
                return;
            }
            at = (*parent).len;
        }
    }
}

/// The default constructors as C functions. A reader calls its own trees'
/// constructors directly; these serve programs that mix them with others, and
/// therefore make element vectors of the full size at once.
pub(crate) static mut FUNCTIONS: redisReplyObjectFunctions = redisReplyObjectFunctions {
    createString: Some(create_string),
    createArray: Some(create_array),
    createInteger: Some(create_integer),
    createDouble: Some(create_double),
    createNil: Some(create_nil),
    createBool: Some(create_bool),
    freeObject: Some(free_object),
};

/// Whether `functions` is the default table. What a program writes into that table
/// counts only for programs that call its members themselves.
pub(crate) fn is_default(functions: *const redisReplyObjectFunctions) -> bool {
    ptr::eq(functions, &raw const FUNCTIONS)
}

/// Stores `reply` in its parent's vector and gives it back.
///
/// # Safety
/// `task` is live; its parent's object, if any, is an aggregate with room for it.
unsafe fn place(task: *const redisReadTask, reply: *mut redisReply) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        let parent = (*task).parent;
        if !reply.is_null() && !parent.is_null() {
            let parent = (*parent).obj.cast::<redisReply>();
            (*parent).element.add((*task).idx as u32 as usize).write(reply);
        }
    }
    reply.cast()
}

unsafe extern "C" fn create_string(task: *const redisReadTask, text: *mut c_char, len: usize) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { place(task, string((*task).r#type, text.cast(), len)) }
}

unsafe extern "C" fn create_array(task: *const redisReadTask, elements: usize) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe {
        let reply = node((*task).r#type);
        if !reply.is_null() && elements > 0 {
            (*reply).element = crate::alloc::calloc(elements, PTR).cast();
            if (*reply).element.is_null() {
                free(reply.cast());
                return ptr::null_mut();
            }
            (*reply).elements = elements;
        }
        place(task, reply)
    }
}

unsafe extern "C" fn create_integer(task: *const redisReadTask, value: c_longlong) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { place(task, integer(REDIS_REPLY_INTEGER, value)) }
}

unsafe extern "C" fn create_double(
    task: *const redisReadTask,
    value: c_double,
    text: *mut c_char,
    len: usize,
) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { place(task, double(value, text.cast(), len)) }
}

unsafe extern "C" fn create_nil(task: *const redisReadTask) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { place(task, nil()) }
}

unsafe extern "C" fn create_bool(task: *const redisReadTask, value: c_int) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { place(task, integer(REDIS_REPLY_BOOL, value.into())) }
}

unsafe extern "C" fn free_object(reply: *mut c_void) {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe { release(reply) }
}
