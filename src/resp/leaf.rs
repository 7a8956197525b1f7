//! The fast way to read a reply without elements that is wholly there and ordinary.
//!
//! What is not, the reader takes apart item by item (read.rs).

use core::{ptr, slice};

use memchr::memchr2;

use crate::abi::*;
use crate::resp::reply;

/// The reply at `at`, if it is a leaf of a common type, all of it is there and nothing is
/// wrong with it; and where it ends, NULL if that is not so. The reply is NULL when memory
/// ran out. Everything else takes the long way, task by task.
///
/// # Safety
/// The bytes from `at` to `end` are readable, and a NUL at `end`, which stops every loop
/// here: it is no digit, and no part of a line end.
#[inline(always)]
pub(super) unsafe fn whole_leaf(at: *const u8, end: *const u8) -> (*mut redisReply, *const u8) {
    const NONE: (*mut redisReply, *const u8) = (ptr::null_mut(), ptr::null());
    // SAFETY: the caller's promise; no byte is looked at past one that is not NUL.
    unsafe {
        match *at {
            b'$' => {
                let (len, line) = digits(at.add(1));
                if line.is_null() || !is_line_end(line) {
                    return NONE;
                }
                let text = line.add(2);
                let left = end.addr() - text.addr();
                if left < 2 || len > left - 2 || !is_line_end(text.add(len)) {
                    return NONE;
                }
                (reply::string(REDIS_REPLY_STRING, text, len), text.add(len + 2))
            }
            b':' => {
                let negative = *at.add(1) == b'-';
                let (value, line) = digits(at.add(1 + usize::from(negative)));
                if line.is_null() || !is_line_end(line) || (negative && value == 0) {
                    return NONE;
                }
                let value = if negative { (value as i64).wrapping_neg() } else { value as i64 };
                (reply::integer(REDIS_REPLY_INTEGER, value), line.add(2))
            }
            b'+' | b'-' => {
                let text = at.add(1);
                let line = line_break(text, end);
                if !is_line_end(line) {
                    return NONE;
                }
                let kind = if *at == b'+' { REDIS_REPLY_STATUS } else { REDIS_REPLY_ERROR };
                (reply::string(kind, text, line.addr() - text.addr()), line.add(2))
            }
            b',' => {
                let text = at.add(1);
                let (value, line) = short_double(text);
                if line.is_null() || !is_line_end(line) {
                    return NONE;
                }
                (reply::double(value, text, line.addr() - text.addr()), line.add(2))
            }
            _ => NONE,
        }
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
    // SAFETY: the caller's promise.
    unsafe {
        let negative = *at == b'-';
        let start = at.add(usize::from(negative));
        let (mut number, mut power) = (0u64, 1u64);
        let (mut next, mut digits, mut point) = (start, 0, false);
        loop {
            let digit = (*next).wrapping_sub(b'0');
            if digit <= 9 {
                number = number * 10 + u64::from(digit);
                power = if point { power * 10 } else { power };
                digits += 1;
            } else if *next == b'.' && !point {
                point = true;
            } else {
                break;
            }
            if digits > MOST {
                return (0.0, ptr::null());
            }
            next = next.add(1);
        }
        if digits == 0 {
            return (0.0, ptr::null());
        }
        let value = number as f64 / power as f64;
        (if negative { -value } else { value }, next)
    }
}

/// The number at `at`, of so few digits that it cannot overflow, and where they end; NULL
/// if there are none.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn digits(at: *const u8) -> (usize, *const u8) {
    const MOST: usize = if usize::BITS < 64 { 9 } else { 18 };
    // SAFETY: the caller's promise.
    unsafe {
        let mut value = usize::from((*at).wrapping_sub(b'0'));
        if value > 9 {
            return (0, ptr::null());
        }
        let mut next = at.add(1);
        if value == 0 {
            return (0, next);
        }
        loop {
            let digit = (*next).wrapping_sub(b'0');
            if digit > 9 || next.addr() - at.addr() >= MOST {
                return (value, next);
            }
            value = value * 10 + usize::from(digit);
            next = next.add(1);
        }
    }
}

/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn is_line_end(at: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { *at == b'\r' && *at.add(1) == b'\n' }
}

/// Where the first CR or LF is, or the end. Most lines are shorter than it takes to call
/// memchr.
///
/// # Safety
/// As for `whole_leaf`.
#[inline(always)]
unsafe fn line_break(at: *const u8, end: *const u8) -> *const u8 {
    const SHORT: usize = 8;
    // SAFETY: the caller's promise.
    unsafe {
        let mut next = at;
        // What is not greater is CR or LF, with few exceptions.
        while *next > b'\r' {
            next = next.add(1);
            if next.addr() - at.addr() > SHORT {
                break;
            }
        }
        if *next == b'\r' {
            return next;
        }
        let rest = slice::from_raw_parts(next, end.addr() - next.addr());
        memchr2(b'\r', b'\n', rest).map_or(end, |at| next.add(at))
    }
}
