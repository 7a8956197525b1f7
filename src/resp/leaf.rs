//! The fast way to read a reply without elements that is wholly there and ordinary.
//!
//! What is not, the reader takes apart item by item (read/tasks.rs).

use core::ffi::c_int;
use core::{ptr, slice};

use memchr::memchr2;

use crate::abi::*;
use crate::resp::reply;

/// A reply without elements, as it stands in the buffer.
pub(super) enum Leaf {
    Text {
        kind: c_int,
        text: *const u8,
        len: usize,
    },
    /// An integer, a bool with 0 or 1, or with 0 what has no content.
    Bare {
        kind: c_int,
        value: i64,
    },
    Double {
        value: f64,
        text: *const u8,
        len: usize,
    },
}

impl Leaf {
    /// The leaf at `at`, and where it ends, if it is a bulk string, a positive integer or a
    /// short status, all of it is there and nothing is wrong with it. These are the most
    /// frequent, and take no search.
    ///
    /// # Safety
    /// The bytes from `at` to `end` are readable, and two NULs at `end`. These stop every loop
    /// here: a NUL is no digit, and no part of a line end. They stay as they are while the leaf
    /// is in use.
    #[inline(always)]
    pub(super) unsafe fn near(at: *const u8, end: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise; no byte is looked at past one that is not NUL.
        unsafe {
            let mark = *at;
            // One after the other, the most frequent first: cheaper than a table.
            if mark == b'$' {
                let (len, line) = digits(at)?;
                if !is_line_end(line) {
                    return None;
                }
                let (len, text) = (usize::try_from(len).ok()?, line.add(2));
                if len >= end.addr() - text.addr() || !is_line_end(text.add(len)) {
                    return None;
                }
                return Some((Leaf::Text { kind: REDIS_REPLY_STRING, text, len }, text.add(len + 2)));
            }
            if mark == b':' {
                let (value, line) = digits(at)?;
                if !is_line_end(line) {
                    return None;
                }
                let leaf = Leaf::Bare { kind: REDIS_REPLY_INTEGER, value: value.cast_signed() };
                return Some((leaf, line.add(2)));
            }
            if mark != b'+' {
                return None;
            }
            let body = at.add(1);
            let line = near_control(body);
            if !is_line_end(line) {
                return None;
            }
            let len = line.addr() - body.addr();
            Some((Leaf::Text { kind: REDIS_REPLY_STATUS, text: body, len }, line.add(2)))
        }
    }

    /// As `far`, where it is not worth a copy of the code.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(never)]
    pub(super) unsafe fn far_apart(at: *const u8, end: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise.
        unsafe { Leaf::far(at, end) }
    }

    /// As `near`, for the other common types: long statuses, errors, doubles, negative integers,
    /// bools and nil.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(always)]
    pub(super) unsafe fn far(at: *const u8, end: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise; no byte is looked at past one that is not NUL.
        unsafe {
            let body = at.add(1);
            let kind = match *at {
                b'+' => REDIS_REPLY_STATUS,
                b'-' => REDIS_REPLY_ERROR,
                b',' => return Leaf::double(body),
                b':' | b'$' | b'_' | b'#' => return Leaf::bare(at),
                _ => return None,
            };
            let line = line_break(body, end);
            if !is_line_end(line) {
                return None;
            }
            Some((Leaf::Text { kind, text: body, len: line.addr() - body.addr() }, line.add(2)))
        }
    }

    /// A negative integer, a bool, or nil in one of its forms.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(never)]
    unsafe fn bare(at: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise: no NUL is passed.
        unsafe {
            let body = at.add(1);
            let (kind, value, line) = match (*at, *body) {
                (b':', b'-') => {
                    let (value, line) = digits(body).filter(|number| number.0 > 0)?;
                    (REDIS_REPLY_INTEGER, -value.cast_signed(), line)
                }
                (b'$', b'-') if *body.add(1) == b'1' => (REDIS_REPLY_NIL, 0, body.add(2)),
                (b'_', _) => (REDIS_REPLY_NIL, 0, body),
                (b'#', b't') => (REDIS_REPLY_BOOL, 1, body.add(1)),
                (b'#', b'f') => (REDIS_REPLY_BOOL, 0, body.add(1)),
                _ => return None,
            };
            is_line_end(line).then_some((Leaf::Bare { kind, value }, line.add(2)))
        }
    }

    /// # Safety
    /// As for `near`, for a double whose text is at `at`.
    #[inline(always)]
    unsafe fn double(at: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise.
        unsafe {
            let (value, line) = short_double(at);
            if line.is_null() || !is_line_end(line) {
                return None;
            }
            Some((Leaf::Double { value, text: at, len: line.addr() - at.addr() }, line.add(2)))
        }
    }

    /// As the default functions make it; NULL when memory ran out.
    ///
    /// # Safety
    /// The bytes are as they were when it was read.
    #[inline(always)]
    pub(super) unsafe fn reply(&self) -> *mut redisReply {
        // SAFETY: the caller's promise.
        unsafe {
            match *self {
                Leaf::Text { kind, text, len } => reply::text(kind, text, len),
                Leaf::Bare { kind, value } => reply::integer(kind, value),
                Leaf::Double { value, text, len } => reply::double(value, text, len),
            }
        }
    }
}

/// As `Leaf::reply`, where it is not worth a copy of the code.
///
/// # Safety
/// As for `Leaf::reply`.
#[inline(never)]
pub(super) unsafe fn make(leaf: &Leaf) -> *mut redisReply {
    // SAFETY: the caller's promise.
    unsafe { leaf.reply() }
}

/// How many bytes the small bulk string at `at` takes at least, as far as its header tells,
/// if nothing is wrong with it so far.
///
/// # Safety
/// As for `Leaf::near`.
pub(super) unsafe fn bulk_size(at: *const u8, end: *const u8) -> Option<usize> {
    const SMALL: u64 = 1 << 15;
    // SAFETY: the caller's promise.
    unsafe {
        let (b'$', (len, line)) = (*at, digits(at)?) else { return None };
        let header = line.addr() - at.addr() + 2;
        if line == end || (line.add(1) == end && *line == b'\r') {
            return Some(header);
        }
        (is_line_end(line) && len <= SMALL).then_some(header + len as usize + 2)
    }
}

/// Whether an aggregate begins at `at`, of those that `head` reads.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
pub(super) unsafe fn is_head(at: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { matches!(*at, b'*' | b'%' | b'~' | b'>') }
}

/// The head of an aggregate at `at`, which may be empty: its type, how many elements
/// it announces, and where they begin.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
pub(super) unsafe fn head(at: *const u8) -> Option<(c_int, u64, *const u8)> {
    // SAFETY: the caller's promise.
    unsafe {
        let kind = match *at {
            b'*' => REDIS_REPLY_ARRAY,
            b'%' => REDIS_REPLY_MAP,
            b'~' => REDIS_REPLY_SET,
            b'>' => REDIS_REPLY_PUSH,
            _ => return None,
        };
        let (count, line) = digits(at)?;
        if !is_line_end(line) {
            return None;
        }
        // It has 18 digits at most.
        let count = if kind == REDIS_REPLY_MAP { 2 * count } else { count };
        Some((kind, count, line.add(2)))
    }
}

/// The double at `at`, if it is digits and perhaps a point, few enough of them that number
/// and power of ten are exact, so that their quotient is rounded right; and where it ends,
/// NULL if it is not so.
///
/// # Safety
/// As for `Leaf::near`.
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
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn more_digits(number: u64, at: *const u8) -> (u64, *const u8) {
    let (mut number, mut next) = (number, at);
    // SAFETY: the caller's promise.
    unsafe {
        while let Some(digit) = digit(next) {
            number = number.wrapping_mul(10).wrapping_add(digit);
            next = next.add(1);
        }
        (number, next)
    }
}

/// The number behind the byte at `at`, of so few digits that it cannot overflow, and where
/// they end, if it is written as RESP writes it.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn digits(at: *const u8) -> Option<(u64, *const u8)> {
    const MOST: usize = 18;
    // SAFETY: the caller's promise.
    unsafe {
        let first = digit(at.add(1))?;
        let Some(second) = digit(at.add(2)) else { return Some((first, at.add(2))) };
        let (value, next) = more_digits(first * 10 + second, at.add(3));
        // What wrapped is too long.
        if first == 0 || next.addr() - at.addr() > 1 + MOST { None } else { Some((value, next)) }
    }
}

/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn digit(at: *const u8) -> Option<u64> {
    // SAFETY: the caller's promise.
    let digit = unsafe { u64::from(*at) }.wrapping_sub(b'0'.into());
    if digit > 9 { None } else { Some(digit) }
}

/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn is_line_end(at: *const u8) -> bool {
    // SAFETY: the caller's promise: at the end are two NULs.
    unsafe { at.cast::<[u8; 2]>().read() == *b"\r\n" }
}

/// Where the first CR or LF is, or the end.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn line_break(at: *const u8, end: *const u8) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = slice::from_raw_parts(at, end.addr() - at.addr());
        memchr2(b'\r', b'\n', rest).map_or(end, |n| at.add(n))
    }
}

/// Where the first control character is, if it is not far.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn near_control(at: *const u8) -> *const u8 {
    const NEAR: usize = 8;
    // SAFETY: the caller's promise.
    unsafe {
        let mut next = at;
        while *next > b'\r' && next.addr() - at.addr() < NEAR {
            next = next.add(1);
        }
        next
    }
}
