//! The fast way to read a reply without elements that is wholly there and ordinary.
//!
//! What is not, the reader takes apart item by item (read/tasks.rs).

use core::ffi::{c_int, c_void};
use core::{ptr, slice};

use memchr::memchr2;

use crate::abi::*;
use crate::resp::reply;

/// Makes the object of a leaf; NULL says that memory ran out.
///
/// # Safety
/// Of each: `len` bytes at `text` are readable.
pub(super) trait Make {
    unsafe fn text(&self, kind: c_int, text: *const u8, len: usize) -> *mut c_void;
    unsafe fn integer(&self, value: i64) -> *mut c_void;
    unsafe fn double(&self, value: f64, text: *const u8, len: usize) -> *mut c_void;
}

/// Makes replies, as the default functions do.
pub(super) struct Native;

impl Make for Native {
    #[inline(always)]
    unsafe fn text(&self, kind: c_int, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe { reply::text(kind, text, len).cast() }
    }

    #[inline(always)]
    unsafe fn integer(&self, value: i64) -> *mut c_void {
        reply::integer(REDIS_REPLY_INTEGER, value).cast()
    }

    #[inline(always)]
    unsafe fn double(&self, value: f64, text: *const u8, len: usize) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe { reply::double(value, text, len).cast() }
    }
}

/// Makes the object at `at`, if it is a leaf of a common type, all of it is there and nothing
/// is wrong with it, after telling `took` where it ends. The object is NULL when memory ran
/// out. Everything else takes the long way, task by task.
///
/// # Safety
/// The bytes from `at` to `end` are readable, and a NUL at `end`, which stops every loop
/// here: it is no digit, and no part of a line end. They stay as they are until the reply
/// is made.
#[inline(always)]
pub(super) unsafe fn whole_leaf(
    at: *const u8,
    end: *const u8,
    make: &impl Make,
    took: impl FnOnce(*const u8),
) -> Option<*mut c_void> {
    // SAFETY: the caller's promise; no byte is looked at past one that is not NUL.
    unsafe {
        let (mark, body) = (*at, at.add(1));
        // One after the other, the most frequent first: cheaper than a table.
        if mark == b'$' {
            let (len, line) = digits(body);
            if line.is_null() || !is_line_end(line) {
                return None;
            }
            let len = usize::try_from(len).ok()?;
            let text = line.add(2);
            if len >= end.addr() - text.addr() || !is_line_end(text.add(len)) {
                return None;
            }
            took(text.add(len + 2));
            return Some(make.text(REDIS_REPLY_STRING, text, len));
        }
        if mark == b':' {
            let negative = *body == b'-';
            let (value, line) = digits(body.add(usize::from(negative)));
            if line.is_null() || !is_line_end(line) || (negative && value == 0) {
                return None;
            }
            took(line.add(2));
            let value = if negative { (value as i64).wrapping_neg() } else { value as i64 };
            return Some(make.integer(value));
        }
        let (kind, line) = match mark {
            b'+' => (REDIS_REPLY_STATUS, near_line_break(body, end)),
            b'-' => (REDIS_REPLY_ERROR, line_break(body, end)),
            b',' => return whole_double(body, make, took),
            _ => return None,
        };
        if !is_line_end(line) {
            return None;
        }
        took(line.add(2));
        Some(make.text(kind, body, line.addr() - body.addr()))
    }
}

/// As `whole_leaf`, for a double whose text is at `at`.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn whole_double(at: *const u8, make: &impl Make, took: impl FnOnce(*const u8)) -> Option<*mut c_void> {
    // SAFETY: the caller's promise.
    unsafe {
        let (value, line) = short_double(at);
        if line.is_null() || !is_line_end(line) {
            return None;
        }
        took(line.add(2));
        Some(make.double(value, at, line.addr() - at.addr()))
    }
}

/// The head of an aggregate at `at`, unless it is empty or absurd: its type, the number it
/// announces, and where its elements begin; NULL if there is none.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
pub(super) unsafe fn head(at: *const u8) -> (c_int, u32, *const u8) {
    const MOST: u64 = 1 << 28;
    // SAFETY: the caller's promise.
    unsafe {
        let kind = match *at {
            b'*' => REDIS_REPLY_ARRAY,
            b'%' => REDIS_REPLY_MAP,
            b'~' => REDIS_REPLY_SET,
            b'>' => REDIS_REPLY_PUSH,
            _ => return (0, 0, ptr::null()),
        };
        let (count, line) = digits(at.add(1));
        if line.is_null() || !is_line_end(line) || count == 0 || count > MOST {
            return (0, 0, ptr::null());
        }
        (kind, count as u32, line.add(2))
    }
}

/// The double at `at`, if it is digits and perhaps a point, few enough of them that number
/// and power of ten are exact, so that their quotient is rounded right; and where it ends,
/// NULL if it is not so.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(never)]
unsafe fn short_double(at: *const u8) -> (f64, *const u8) {
    const MOST: usize = 15;
    const POWERS: [f64; MOST + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    // SAFETY: the caller's promise.
    unsafe {
        let negative = *at == b'-';
        let start = at.add(usize::from(negative));
        let (mut number, point) = more_digits(0, start);
        let (mut end, mut places) = (point, 0);
        if *point == b'.' {
            (number, end) = more_digits(number, point.add(1));
            places = end.addr() - point.addr() - 1;
        }
        let count = point.addr() - start.addr() + places;
        let Some(power) = POWERS.get(places) else { return (0.0, ptr::null()) };
        if count == 0 || count > MOST {
            return (0.0, ptr::null());
        }
        let value = number as i64 as f64 / power;
        (if negative { -value } else { value }, end)
    }
}

/// The number whose first digits are those of `number`, and whose others are at `at`; and
/// where they end. It wraps if there are too many.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn more_digits(number: u64, at: *const u8) -> (u64, *const u8) {
    let (mut number, mut next) = (number, at);
    // SAFETY: the caller's promise.
    unsafe {
        loop {
            let digit = (*next).wrapping_sub(b'0');
            if digit > 9 {
                return (number, next);
            }
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            next = next.add(1);
        }
    }
}

/// The number at `at`, of so few digits that it cannot overflow, and where they end; NULL
/// if there are none, or it is not written as RESP writes it.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn digits(at: *const u8) -> (u64, *const u8) {
    const MOST: usize = 18;
    // SAFETY: the caller's promise.
    unsafe {
        let (value, next) = more_digits(0, at);
        // What wrapped is too long.
        let len = next.addr() - at.addr();
        let plain = len == 1 || (*at != b'0' && len.wrapping_sub(1) < MOST);
        (value, if plain { next } else { ptr::null() })
    }
}

/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn is_line_end(at: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { *at == b'\r' && *at.add(1) == b'\n' }
}

/// Where the first CR or LF is, or the end.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn line_break(at: *const u8, end: *const u8) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = slice::from_raw_parts(at, end.addr() - at.addr());
        memchr2(b'\r', b'\n', rest).map_or(end, |n| at.add(n))
    }
}

/// As `line_break`, for lines that are shorter than it takes to call memchr, as a rule.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn near_line_break(at: *const u8, end: *const u8) -> *const u8 {
    const NEAR: usize = 8;
    // SAFETY: the caller's promise.
    unsafe {
        let mut next = at;
        // What is not greater is CR or LF, with few exceptions.
        while *next > b'\r' {
            next = next.add(1);
            if next.addr() - at.addr() > NEAR {
                break;
            }
        }
        if *next == b'\r' { next } else { line_break(next, end) }
    }
}
