//! The fast way to read a reply without elements that is wholly there and ordinary.
//!
//! What is not, the reader takes apart item by item (read/tasks.rs).

use core::ffi::c_int;
use core::ptr;

use crate::abi::*;
use crate::resp::reply;

/// A reply without elements, as it stands in the buffer.
pub(super) enum Leaf {
    Text {
        kind: c_int,
        text: *const u8,
        len: usize,
        /// Of a double.
        value: f64,
    },
    /// An integer, a bool with 0 or 1, or with 0 what has no content.
    Bare { kind: c_int, value: i64 },
}

impl Leaf {
    #[inline(always)]
    pub(super) fn text(kind: c_int, text: *const u8, len: usize) -> Leaf {
        Leaf::Text { kind, text, len, value: 0.0 }
    }

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
        // SAFETY: the caller's promise.
        unsafe {
            // One after the other, the most frequent first: cheaper than a table.
            let mark = *at;
            if is_bulk(at) {
                Leaf::bulk(at, end)
            } else if mark == b':' {
                Leaf::integer(at)
            } else if mark == b'+' {
                Leaf::short_status(at)
            } else {
                None
            }
        }
    }

    /// As `near`, for a bulk string.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(always)]
    pub(super) unsafe fn bulk(at: *const u8, end: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise; a byte is looked at only if those before it are no NUL.
        unsafe {
            let (len, line) = digits(at)?;
            if !is_line_end(line) {
                return None;
            }
            let (len, text) = (usize::try_from(len).ok()?, line.add(2));
            if len >= end.addr() - text.addr() || !is_line_end(text.add(len)) {
                return None;
            }
            Some((Leaf::text(REDIS_REPLY_STRING, text, len), text.add(len + 2)))
        }
    }

    /// As `near`, for an integer.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(always)]
    pub(super) unsafe fn integer(at: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: as in `bulk`.
        unsafe {
            let (value, line) = digits(at)?;
            let leaf = Leaf::Bare { kind: REDIS_REPLY_INTEGER, value: value.cast_signed() };
            is_line_end(line).then_some((leaf, line.add(2)))
        }
    }

    /// As `near`, for a status.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(always)]
    pub(super) unsafe fn short_status(at: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: as in `bulk`.
        unsafe {
            let text = at.add(1);
            let line = near_control(text);
            let leaf = Leaf::text(REDIS_REPLY_STATUS, text, line.addr() - text.addr());
            is_line_end(line).then_some((leaf, line.add(2)))
        }
    }

    /// As `near`, for the other common types: long statuses, errors, and what `far` reads.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(never)]
    pub(super) unsafe fn other(at: *const u8, end: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise.
        unsafe {
            if is_line(at) {
                let (text, len) = Leaf::line(at, end)?;
                let kind = if *at == b'+' { REDIS_REPLY_STATUS } else { REDIS_REPLY_ERROR };
                return Some((Leaf::text(kind, text, len), text.add(len + 2)));
            }
            Leaf::far(at)
        }
    }

    /// As `near`, for doubles, negative integers, bools and nil.
    ///
    /// # Safety
    /// As for `near`.
    #[inline(always)]
    pub(super) unsafe fn far(at: *const u8) -> Option<(Leaf, *const u8)> {
        // SAFETY: the caller's promise.
        unsafe { if *at == b',' { Leaf::double(at.add(1)) } else { Leaf::bare(at) } }
    }

    /// The text of a status or an error.
    ///
    /// # Safety
    /// As for `near`; see `is_line`.
    #[inline(always)]
    pub(super) unsafe fn line(at: *const u8, end: *const u8) -> Option<(*const u8, usize)> {
        // SAFETY: the caller's promise; a byte is looked at only if those before it are no NUL.
        unsafe {
            let text = at.add(1);
            let mut line = low_byte(text, end);
            if !is_line_end(line) {
                line = line_break(line, end);
            }
            is_line_end(line).then_some((text, line.addr() - text.addr()))
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
            let len = line.addr() - at.addr();
            Some((Leaf::Text { kind: REDIS_REPLY_DOUBLE, text: at, len, value }, line.add(2)))
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
                Leaf::Text { kind, text, len, value } => reply::text(kind, text, len, value),
                Leaf::Bare { kind, value } => reply::integer(kind, value),
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

/// Whether a bulk string begins at `at`.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
pub(super) unsafe fn is_bulk(at: *const u8) -> bool {
    // SAFETY: the caller's promise. Volatile, because else the compiler makes one table of this
    // and what else is asked about the byte, which costs bulk strings eight instructions each.
    unsafe { at.read_volatile() == b'$' }
}

/// Whether a status or an error begins at `at`.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn is_line(at: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { matches!(*at, b'-' | b'+') }
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
        if first == 0 {
            return None;
        }
        let value = first * 10 + second;
        let Some(third) = digit(at.add(3)) else { return Some((value, at.add(3))) };
        let (value, next) = more_digits(value * 10 + third, at.add(4));
        // What wrapped is too long.
        if next.addr() - at.addr() > 1 + MOST { None } else { Some((value, next)) }
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
#[inline(never)]
pub(super) unsafe fn line_break(at: *const u8, end: *const u8) -> *const u8 {
    let mut at = at;
    // SAFETY: the caller's promise.
    unsafe {
        loop {
            at = low_byte(at, end);
            // Where one is so low others may follow, so some are looked at one by one.
            for _ in 0..CHUNK {
                if at == end || matches!(*at, b'\r' | b'\n') {
                    return at;
                }
                at = at.add(1);
            }
        }
    }
}

/// Where the first byte is that is no greater than CR, or the end.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(always)]
unsafe fn low_byte(at: *const u8, end: *const u8) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe {
        let (mut next, last) = (at, end.wrapping_sub(CHUNK));
        while next <= last {
            let found = low_bytes(next);
            if found != 0 {
                return next.add(found.trailing_zeros() as usize);
            }
            next = next.add(CHUNK);
        }
        while *next > b'\r' {
            next = next.add(1);
        }
        next
    }
}

/// How many bytes `low_bytes` looks at.
const CHUNK: usize = 16;

/// Which bytes of a chunk are no greater than CR, a bit each.
///
/// # Safety
/// CHUNK bytes at `at` are readable.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn low_bytes(at: *const u8) -> u32 {
    use core::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_setzero_si128, _mm_subs_epu8,
    };
    // SAFETY: the caller's promise; every x86-64 has SSE2.
    unsafe {
        let above = _mm_subs_epu8(_mm_loadu_si128(at.cast()), _mm_set1_epi8(b'\r' as i8));
        _mm_movemask_epi8(_mm_cmpeq_epi8(above, _mm_setzero_si128())).cast_unsigned()
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn low_bytes(at: *const u8) -> u32 {
    // SAFETY: the caller's promise.
    let chunk = unsafe { at.cast::<[u8; CHUNK]>().read() };
    chunk.iter().rev().fold(0, |found, byte| found << 1 | u32::from(*byte <= b'\r'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_the_first_cr_or_lf() {
        for len in 0..70 {
            for at in 0..len {
                for byte in [0, b'\t', b'\n', b'\r', 14, 0xff] {
                    for fill in [b'x', b'\t', 0, 0xff] {
                        let mut text = vec![fill; len];
                        text[at] = byte;
                        let want = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(len);
                        text.extend([0, 0]);
                        let start = text.as_ptr();
                        // SAFETY: two NULs follow.
                        let line = unsafe { line_break(start, start.add(len)) };
                        assert_eq!(line.addr() - start.addr(), want, "{text:?}");
                    }
                }
            }
        }
    }
}
