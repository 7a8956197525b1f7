//! One item of the protocol, taken apart as far as it is there.

use core::ffi::c_int;

use memchr::memchr;

use super::{Fault, Reader, protocol};
use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::resp::double::{self, parse_double};
use crate::resp::leaf::line_break;
use crate::resp::{Int, int_line, is_aggregate};

/// Bulk strings from this length on are received in place,
const BIG_BULK: usize = 64 * 1024;
/// once so much of them has arrived.
const BIG_BULK_START: usize = 8 * 1024;

/// What an item turned out to be. Places count from behind the type byte, sizes are those
/// of the whole item.
pub(super) enum Item {
    Incomplete,
    /// A string of `len` bytes, to be received in its place: so far there is this payload.
    Big {
        payload: usize,
        len: usize,
    },
    Text {
        at: usize,
        len: usize,
        size: usize,
    },
    Integer {
        value: i64,
        size: usize,
    },
    Double {
        value: f64,
        len: usize,
    },
    Bool {
        value: bool,
    },
    Nil {
        size: usize,
    },
    Elements {
        count: u32,
        size: usize,
    },
}

impl Reader {
    /// Takes apart the item at `pos`, which is of this type.
    #[inline(never)]
    pub(super) fn parse(self, kind: c_int) -> Result<Item, Fault> {
        // SAFETY: a live reader, whose buffer nothing changes meanwhile.
        unsafe {
            let body = self.unread().get(1..).unwrap_or_default();
            match kind {
                REDIS_REPLY_STRING | REDIS_REPLY_VERB => self.parse_bulk(kind, body),
                REDIS_REPLY_INTEGER => match int_line(body) {
                    Int::Value(value, cr) => Ok(Item::Integer { value, size: cr + 3 }),
                    Int::Incomplete => Ok(Item::Incomplete),
                    Int::Bad => self.bad_line(body, "Bad integer value"),
                },
                REDIS_REPLY_STATUS | REDIS_REPLY_ERROR => self.parse_simple(body),
                kind if is_aggregate(kind) => self.parse_aggregate(kind, body),
                _ => self.parse_scalar(kind, body),
            }
        }
    }

    /// The length of the line at `body`, without CR LF; `None` until it ends.
    ///
    /// # Safety
    /// `body` is what follows the current item's type byte.
    unsafe fn line(self, body: &[u8]) -> Option<usize> {
        // SAFETY: a live reader is a Whole.
        let scanned = unsafe { &mut (*self.whole()).scanned };
        let mut from = *scanned;
        while let Some(cr) = body.get(from..).and_then(|rest| memchr(b'\r', rest)) {
            match body.get(from + cr + 1) {
                Some(b'\n') => return Some(from + cr),
                Some(_) => from += cr + 1,
                None => {
                    *scanned = from + cr;
                    return None;
                }
            }
        }
        *scanned = body.len();
        None
    }

    /// A line that is wrong: an error once it ends.
    ///
    /// # Safety
    /// As for `line`.
    #[cold]
    unsafe fn bad_line(self, body: &[u8], message: &'static str) -> Result<Item, Fault> {
        // SAFETY: the caller's promise.
        match unsafe { self.line(body) } {
            Some(_) => Err(protocol(message)),
            None => Ok(Item::Incomplete),
        }
    }

    /// A status or an error: one look at each byte finds the end and a stray CR or LF.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_simple(self, body: &[u8]) -> Result<Item, Fault> {
        const STRAY: &str = "Bad simple string value";
        // SAFETY: a live reader is a Whole; the rest is the caller's promise.
        unsafe {
            let whole = self.whole();
            if (*whole).stray {
                return self.bad_line(body, STRAY);
            }
            let from = (*whole).scanned;
            let text = body.as_ptr();
            let end = line_break(text.add(from), text.add(body.len())).addr() - text.addr();
            if end == body.len() {
                (*whole).scanned = end;
                return Ok(Item::Incomplete);
            }
            match (body.get(end), body.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => Ok(Item::Text { at: 0, len: end, size: end + 3 }),
                (Some(b'\r'), None) => {
                    (*whole).scanned = end;
                    Ok(Item::Incomplete)
                }
                _ => {
                    (*whole).stray = true;
                    (*whole).scanned = end;
                    self.bad_line(body, STRAY)
                }
            }
        }
    }

    /// The other one-line items: double, nil, bool, big number.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_scalar(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        // SAFETY: the caller's promise.
        let Some(len) = (unsafe { self.line(body) }) else { return Ok(Item::Incomplete) };
        let line = body.get(..len).unwrap_or_default();
        match kind {
            REDIS_REPLY_DOUBLE => {
                if len > double::LONGEST {
                    return Err(protocol("Double value is too large"));
                }
                let value = parse_double(line).ok_or(protocol("Bad double value"))?;
                Ok(Item::Double { value, len })
            }
            REDIS_REPLY_NIL if len == 0 => Ok(Item::Nil { size: 3 }),
            REDIS_REPLY_NIL => Err(protocol("Bad nil value")),
            REDIS_REPLY_BOOL => match line {
                [b't' | b'T'] => Ok(Item::Bool { value: true }),
                [b'f' | b'F'] => Ok(Item::Bool { value: false }),
                _ => Err(protocol("Bad bool value")),
            },
            _ => {
                let digits = line.strip_prefix(b"-").unwrap_or(line);
                if !digits.iter().all(u8::is_ascii_digit) {
                    return Err(protocol("Bad bignum value"));
                }
                Ok(Item::Text { at: 0, len, size: len + 3 })
            }
        }
    }

    /// A bulk or verbatim string.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_bulk(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        const RANGE: &str = "Bulk string length out of range";
        let (len, cr) = match int_line(body) {
            Int::Value(len, cr) => (len, cr),
            Int::Incomplete => return Ok(Item::Incomplete),
            // SAFETY: the caller's promise.
            Int::Bad => return unsafe { self.bad_line(body, "Bad bulk string length") },
        };
        if len == -1 {
            return Ok(Item::Nil { size: cr + 3 });
        }
        let Ok(len) = usize::try_from(len) else { return Err(protocol(RANGE)) };
        let at = cr + 2;
        let end = at.checked_add(len).filter(|end| *end < usize::MAX - 3).ok_or(protocol(RANGE))?;
        let Some(terminator) = body.get(end..end + 2) else {
            let big = len >= BIG_BULK && self.native() && kind == REDIS_REPLY_STRING;
            if big && body.len() >= at + BIG_BULK_START {
                return Ok(Item::Big { payload: at, len });
            }
            let next = if big { at + BIG_BULK_START } else { end + 2 };
            // SAFETY: a live reader is a Whole.
            unsafe { (*self.whole()).needed = next + 1 };
            return Ok(Item::Incomplete);
        };
        if terminator != b"\r\n" {
            return Err(protocol("Bad bulk string terminator"));
        }
        if kind == REDIS_REPLY_VERB && (len < 4 || body.get(at + 3) != Some(&b':')) {
            return Err(protocol(
                "Verbatim string 4 bytes of content type are missing or incorrectly encoded.",
            ));
        }
        Ok(Item::Text { at, len, size: end + 3 })
    }

    /// The head of an aggregate; its elements follow as items of their own.
    ///
    /// # Safety
    /// As for `line`.
    unsafe fn parse_aggregate(self, kind: c_int, body: &[u8]) -> Result<Item, Fault> {
        const RANGE: &str = "Multi-bulk length out of range";
        // SAFETY: a live reader; the rest is the caller's promise.
        unsafe {
            let r = self.0;
            if (*r).maxdepth > 0 && (*r).ridx >= (*r).maxdepth {
                return Err(protocol("Max nesting depth exceeded"));
            }
            let (count, cr) = match int_line(body) {
                Int::Value(count, cr) => (count, cr),
                Int::Incomplete => return Ok(Item::Incomplete),
                Int::Bad => return self.bad_line(body, "Bad multi-bulk length"),
            };
            if count < -1 || ((*r).maxelements > 0 && count > (*r).maxelements) {
                return Err(protocol(RANGE));
            }
            if count == -1 {
                return Ok(Item::Nil { size: cr + 3 });
            }
            let pairs = matches!(kind, REDIS_REPLY_MAP | REDIS_REPLY_ATTR);
            let count = if pairs { count.checked_mul(2).ok_or(protocol(RANGE))? } else { count };
            // More elements than `idx` can number would not fit any memory.
            let Ok(count) = u32::try_from(count) else { return Err(OutOfMemory.into()) };
            Ok(Item::Elements { count, size: cr + 3 })
        }
    }
}
