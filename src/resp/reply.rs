//! Builds and frees `redisReply` trees.
//!
//! Node, text and element vector are blocks of their own from the configured
//! allocator, and nothing hides beside them: programs keep a text, move an element
//! into another reply, or build a tree themselves and have it freed here.
//!
//! The reader's own trees grow their element vectors as elements arrive, so that a
//! server cannot make the client allocate by announcing. While an aggregate grows,
//! `elements` counts what is there, `integer` is the number that was announced, `len`
//! the room of the vector, and `str` the aggregate that this one is the last element of.

use core::ffi::{c_char, c_double, c_int, c_longlong, c_void};
use core::mem::size_of;
use core::ptr;

use crate::abi::*;
use crate::alloc::{free, free_any, malloc, realloc};
use crate::resp::is_aggregate;
use crate::room;

/// Room that an element vector starts with, at least if so many are announced.
const FIRST_ELEMENTS: usize = 8;

const PTR: usize = size_of::<*mut redisReply>();

/// A reply without elements; NULL when memory ran out.
#[inline(always)]
fn node(kind: c_int, integer: c_longlong, dval: c_double, str: *mut c_char, len: usize) -> *mut redisReply {
    let reply = malloc(size_of::<redisReply>()).cast::<redisReply>();
    if !reply.is_null() {
        let content = redisReply {
            r#type: kind,
            integer,
            dval,
            len,
            str,
            vtype: [0; 4],
            elements: 0,
            element: ptr::null_mut(),
        };
        // SAFETY: the block has room for a reply.
        unsafe { reply.write(content) };
    }
    reply
}

/// A reply without text or elements.
#[inline(always)]
fn bare(kind: c_int) -> *mut redisReply {
    node(kind, 0, 0.0, ptr::null_mut(), 0)
}

pub(crate) fn nil() -> *mut redisReply {
    bare(REDIS_REPLY_NIL)
}

/// An aggregate without elements.
pub(crate) fn empty(kind: c_int) -> *mut redisReply {
    bare(kind)
}

/// An integer, or a bool with 0 or 1.
#[inline(always)]
pub(crate) fn integer(kind: c_int, value: c_longlong) -> *mut redisReply {
    node(kind, value, 0.0, ptr::null_mut(), 0)
}

/// A reply with a copy of `len` bytes at `text`, and, for a double, its value.
///
/// # Safety
/// `len` bytes at `text` are readable.
#[inline(always)]
pub(crate) unsafe fn text(kind: c_int, text: *const u8, len: usize, value: c_double) -> *mut redisReply {
    let copy = malloc(len.wrapping_add(1)).cast::<u8>();
    if copy.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block has room for what is written; `text` is the caller's promise.
    unsafe {
        room::copy(text, copy, len);
        copy.add(len).write(0);
        adopt(kind, copy, len, value)
    }
}

/// As `text`, for every type. A verbatim string's text begins with its three-letter type
/// and a colon.
///
/// # Safety
/// `len` bytes at `bytes` are readable, at least four for a verbatim string.
#[inline(never)]
pub(crate) unsafe fn string(kind: c_int, bytes: *const u8, len: usize, value: c_double) -> *mut redisReply {
    let head = if kind == REDIS_REPLY_VERB && len >= 4 { 4 } else { 0 };
    // SAFETY: the caller's promise, then a live reply.
    unsafe {
        let reply = text(kind, bytes.add(head), len - head, value);
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
pub(crate) unsafe fn adopt(kind: c_int, text: *mut u8, len: usize, value: c_double) -> *mut redisReply {
    let reply = node(kind, 0, value, text.cast(), len);
    if reply.is_null() {
        // SAFETY: a block that nobody else owns.
        unsafe { free(text.cast()) };
    }
    reply
}

/// An aggregate to which `announced` elements, one at least, will be added one by one, with
/// room for as many of them as `unread` bytes can hold, at this depth of nesting. It will be the
/// last element of `parent`, if that is not NULL. NULL when memory ran out.
#[inline(always)]
pub(crate) fn growing(
    kind: c_int,
    announced: usize,
    unread: usize,
    depth: usize,
    parent: *mut redisReply,
) -> *mut redisReply {
    let room = if announced <= FIRST_ELEMENTS { announced } else { expected(announced, unread, depth) };
    let element = malloc(room * PTR).cast::<*mut redisReply>();
    if element.is_null() {
        return ptr::null_mut();
    }
    let reply = node(kind, announced as c_longlong, 0.0, parent.cast(), room);
    // SAFETY: a new reply, or a block that nobody else owns.
    unsafe {
        if reply.is_null() {
            free(element.cast());
        } else {
            (*reply).element = element;
        }
    }
    reply
}

/// How many of the announced elements so many unread bytes can hold, about: one takes four
/// bytes or so at least. Dividing by the depth keeps the vectors of nested announcements
/// together in proportion to the bytes.
#[inline(never)]
fn expected(announced: usize, unread: usize, depth: usize) -> usize {
    announced.min(unread.checked_div(4 * (depth + 1)).unwrap_or(0).max(FIRST_ELEMENTS))
}

/// Puts `child` after the elements that `parent` has. On failure false, and the
/// child is freed.
///
/// # Safety
/// `parent` grows, and is not full.
#[inline(always)]
pub(crate) unsafe fn add(parent: *mut redisReply, child: *mut redisReply) -> bool {
    // SAFETY: the caller's promise; the vector has room for `len` elements.
    unsafe {
        let at = (*parent).elements;
        if at == (*parent).len && !widen(parent) {
            release(child.cast());
            return false;
        }
        (*parent).element.add(at).write(child);
        (*parent).elements = at + 1;
    }
    true
}

/// Makes room for more elements; false when memory ran out.
///
/// # Safety
/// As for `add`.
#[cold]
#[inline(never)]
pub(crate) unsafe fn widen(parent: *mut redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let room = (*parent).len.saturating_mul(2).min((*parent).integer as usize);
        let element = realloc((*parent).element.cast(), room * PTR).cast::<*mut redisReply>();
        if element.is_null() {
            return false;
        }
        (*parent).element = element;
        (*parent).len = room;
    }
    true
}

/// Whether an aggregate has all the elements that were announced.
///
/// # Safety
/// `reply` grows.
#[inline(always)]
pub(crate) unsafe fn is_full(reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*reply).elements == (*reply).integer as usize }
}

/// The last element is complete: nothing is added any more. Gives the aggregate that this
/// one is part of, or NULL.
///
/// # Safety
/// `reply` grows.
#[inline(always)]
pub(crate) unsafe fn complete(reply: *mut redisReply) -> *mut redisReply {
    // SAFETY: the caller's promise.
    unsafe {
        let parent = (*reply).str.cast();
        (*reply).integer = 0;
        (*reply).len = 0;
        (*reply).str = ptr::null_mut();
        parent
    }
}

/// Takes the last element off again and frees it.
///
/// # Safety
/// `parent` grows and has elements.
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
        if reply.is_null() {
            return;
        }
        if has_text((*reply).r#type) {
            free_any((*reply).str.cast());
        } else if is_aggregate((*reply).r#type) {
            return release_tree(reply);
        }
        free_any(reply.cast());
    }
}

/// As `release`, with a copy of the code for bulk strings.
///
/// # Safety
/// As for `release`, and it is not NULL.
#[inline(always)]
pub(crate) unsafe fn release_inline(reply: *mut c_void) {
    let string = reply.cast::<redisReply>();
    // SAFETY: the caller's promise.
    unsafe {
        if (*string).r#type != REDIS_REPLY_STRING {
            return release(reply);
        }
        free_any((*string).str.cast());
        free_any(reply);
    }
}

/// Whether replies of this type have a text.
#[inline(always)]
fn has_text(kind: c_int) -> bool {
    matches!(
        kind,
        REDIS_REPLY_STRING
            | REDIS_REPLY_STATUS
            | REDIS_REPLY_ERROR
            | REDIS_REPLY_DOUBLE
            | REDIS_REPLY_BIGNUM
            | REDIS_REPLY_VERB
    )
}

/// Needs no stack: while an aggregate's elements are freed, from the last to the first, its
/// `str` points to its parent and its `elements` counts what is left.
///
/// # Safety
/// As for `release`, for an aggregate.
#[inline(never)]
unsafe fn release_tree(tree: *mut redisReply) {
    let mut parent = tree;
    // SAFETY: `tree` is live and, like everything below it, ours alone.
    unsafe {
        (*parent).str = ptr::null_mut();
        'aggregates: loop {
            let vector = (*parent).element;
            let mut left = if vector.is_null() { 0 } else { (*parent).elements };
            while left > 0 {
                left -= 1;
                let child = vector.add(left).read();
                if child.is_null() {
                    continue;
                }
                if has_text((*child).r#type) {
                    free_any((*child).str.cast());
                } else if is_aggregate((*child).r#type) {
                    (*parent).elements = left;
                    (*child).str = parent.cast();
                    parent = child;
                    continue 'aggregates;
                }
                free_any(child.cast());
            }
            let done = parent;
            parent = (*done).str.cast();
            free_any(vector.cast());
            free_any(done.cast());
            if parent.is_null() {
                return;
            }
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
    unsafe { place(task, string((*task).r#type, text.cast(), len, 0.0)) }
}

unsafe extern "C" fn create_array(task: *const redisReadTask, elements: usize) -> *mut c_void {
    // SAFETY: the contract of redisReplyObjectFunctions, see read.h.
    unsafe {
        let reply = bare((*task).r#type);
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
    unsafe { place(task, string(REDIS_REPLY_DOUBLE, text.cast(), len, value)) }
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
