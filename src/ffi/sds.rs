//! sds.h
//!
//! Unlike hiredis, NULL is no crash: as the string to change it gives NULL or does
//! nothing, as text it counts as empty.

use core::ffi::{CStr, c_char, c_int, c_longlong, c_ulonglong, c_void};
use core::{ptr, slice};

use crate::abi::sds;
use crate::alloc::{self, OutOfMemory};
use crate::decimal::Decimal;
use crate::sds::Sds;
use crate::sds::split::{self, Tokens};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsnewlen(init: *const c_void, initlen: usize) -> sds {
    if init.is_null() {
        return made(Sds::zeroed(initlen));
    }
    // SAFETY: the caller's promise, see sds.h.
    made(unsafe { span(init.cast(), initlen) }.and_then(Sds::new))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsnew(init: *const c_char) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    made(Sds::new(unsafe { text(init) }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsempty() -> sds {
    made(Sds::empty())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsdup(s: sds) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| Sds::new(s.bytes())) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsfree(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        s.free();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsgrowzero(s: sds, len: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.extend_zeroed(len)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscatlen(s: sds, t: *const c_void, len: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.append(span(t.cast(), len)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscat(s: sds, t: *const c_char) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.append(text(t))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscatsds(s: sds, t: sds) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.append(content(t))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscpylen(s: sds, t: *const c_char, len: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.assign(span(t, len)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscpy(s: sds, t: *const c_char) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.assign(text(t))) }
}

// sdscatvprintf, sdscatprintf and sdscatfmt are in variadic.rs.

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdstrim(s: sds, cset: *const c_char) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        if let Some(s) = Sds::from_raw(s) {
            s.trim(text(cset));
        }
    }
    s
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsrange(s: sds, start: isize, end: isize) -> c_int {
    // SAFETY: the caller's promise, see sds.h.
    let range = unsafe { Sds::from_raw(s) }.map_or(Some(()), |s| s.range(start, end));
    range.map_or(-1, |()| 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsupdatelen(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        s.end_at_nul();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsclear(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        s.set_len(0);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscmp(s1: sds, s2: sds) -> c_int {
    // Unlike hiredis: -1, 0 or 1; a difference of lengths may not fit.
    // SAFETY: the caller's promise, see sds.h.
    unsafe { content(s1).cmp(content(s2)) as c_int }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdssplitlen(
    s: *const c_char,
    len: c_int,
    sep: *const c_char,
    seplen: c_int,
    count: *mut c_int,
) -> *mut sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        let separator = list(sep.cast(), seplen);
        if separator.is_empty() || len < 0 {
            return ptr::null_mut();
        }
        store(split::split(list(s.cast(), len), separator).ok(), count)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsfreesplitres(tokens: *mut sds, count: c_int) {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { split::free_tokens(tokens, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdstolower(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        // SAFETY: tolower takes any unsigned char.
        s.map(|c| unsafe { libc::tolower(c.into()) } as u8);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdstoupper(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        // SAFETY: toupper takes any unsigned char.
        s.map(|c| unsafe { libc::toupper(c.into()) } as u8);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsfromlonglong(value: c_longlong) -> sds {
    made(Sds::from_integer(value))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdscatrepr(s: sds, p: *const c_char, len: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.append_quoted(span(p, len)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdssplitargs(line: *const c_char, argc: *mut c_int) -> *mut sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { store(split::split_args(text(line)), argc) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsmapchars(s: sds, from: *const c_char, to: *const c_char, setlen: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        if let (Some(text), Ok(from), Ok(to)) = (Sds::from_raw(s), span(from, setlen), span(to, setlen)) {
            text.replace(from, to);
        }
    }
    s
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsjoin(argv: *mut *mut c_char, argc: c_int, sep: *mut c_char) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { made(split::join(list(argv, argc).iter().map(|s| text(*s)), text(sep))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsjoinsds(argv: *mut sds, argc: c_int, sep: *const c_char, seplen: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        let parts = list(argv, argc).iter().map(|s| content(*s));
        made(span(sep, seplen).and_then(|sep| split::join(parts, sep)))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsMakeRoomFor(s: sds, addlen: usize) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, |s| s.reserve(addlen)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsIncrLen(s: sds, incr: c_int) {
    // SAFETY: the caller's promise, see sds.h.
    if let Some(s) = unsafe { Sds::from_raw(s) } {
        s.add_len(incr);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsRemoveFreeSpace(s: sds) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { give(s, Sds::shrink) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsAllocSize(s: sds) -> usize {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { Sds::from_raw(s) }.map_or(0, Sds::block_size)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsAllocPtr(s: sds) -> *mut c_void {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { Sds::from_raw(s) }.map_or(ptr::null_mut(), Sds::block)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sds_malloc(size: usize) -> *mut c_void {
    alloc::malloc(size)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sds_realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { alloc::realloc(ptr, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sds_free(ptr: *mut c_void) {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { alloc::free(ptr) }
}

// In no header, exported because hiredis does: numbers as text, into 21 bytes.

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsll2str(s: *mut c_char, value: c_longlong) -> c_int {
    // SAFETY: the caller gives 21 bytes.
    unsafe { write_number(s, Decimal::signed(value)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsull2str(s: *mut c_char, v: c_ulonglong) -> c_int {
    // SAFETY: the caller gives 21 bytes.
    unsafe { write_number(s, Decimal::unsigned(v)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hex_digit_to_int(c: c_char) -> c_int {
    split::hex_value(c as u8).unwrap_or(0).into()
}

/// NULL when there is no memory.
fn made(result: Result<Sds, OutOfMemory>) -> sds {
    result.map_or(ptr::null_mut(), Sds::as_ptr)
}

/// What `change` makes of `s`; NULL when there is no memory, or no string.
///
/// # Safety
/// `s` is NULL or a live sds string.
pub(super) unsafe fn give(s: sds, change: impl FnOnce(Sds) -> Result<Sds, OutOfMemory>) -> sds {
    // SAFETY: the caller's promise.
    made(unsafe { Sds::from_raw(s) }.ok_or(OutOfMemory).and_then(change))
}

/// A C string; NULL counts as an empty one.
///
/// # Safety
/// `s` is NULL or a C string that stays as it is during the call.
unsafe fn text<'a>(s: *const c_char) -> &'a [u8] {
    if s.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(s) }.to_bytes()
}

/// The text of an sds; NULL counts as an empty one.
///
/// # Safety
/// `s` is NULL or a live sds that stays as it is during the call.
unsafe fn content<'a>(s: sds) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { Sds::from_raw(s).map(|s| s.bytes()) }.unwrap_or_default()
}

/// `len` bytes, none at NULL. More than any object has cannot be copied either.
///
/// # Safety
/// `s` is NULL or points to `len` bytes that stay as they are during the call.
unsafe fn span<'a>(s: *const c_char, len: usize) -> Result<&'a [u8], OutOfMemory> {
    if s.is_null() {
        return Ok(&[]);
    }
    if len > isize::MAX as usize {
        return Err(OutOfMemory);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { slice::from_raw_parts(s.cast(), len) })
}

/// `count` items, none at NULL or when it is negative.
///
/// # Safety
/// `items` is NULL or points to `count` items that stay as they are during the call.
unsafe fn list<'a, T>(items: *const T, count: c_int) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: the caller's promise.
        Ok(count) if !items.is_null() => unsafe { slice::from_raw_parts(items, count) },
        _ => &[],
    }
}

/// Gives the array, NULL without one, and stores its length.
///
/// # Safety
/// `count` is NULL or can be written.
unsafe fn store(tokens: Option<Tokens>, count: *mut c_int) -> *mut sds {
    let (array, len) = tokens.map_or((ptr::null_mut(), 0), Tokens::into_raw);
    if !count.is_null() {
        // SAFETY: the caller's promise.
        unsafe { count.write(len) };
    }
    array
}

/// Gives the length.
///
/// # Safety
/// `to` is NULL or has room for the number and a NUL.
unsafe fn write_number(to: *mut c_char, number: Decimal) -> c_int {
    let digits = number.as_bytes();
    if to.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe {
        ptr::copy_nonoverlapping(digits.as_ptr(), to.cast(), digits.len());
        to.add(digits.len()).write(0);
    }
    digits.len() as c_int
}
