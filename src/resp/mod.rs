//! RESP, the protocol between Redis and its clients, in versions 2 and 3.
//!
//! A reply is a type byte, a line ended by CR LF and, for bulk strings, that many
//! bytes more; aggregates announce how many replies follow. A command is an array
//! of bulk strings. <https://redis.io/docs/latest/develop/reference/protocol-spec/>

pub(crate) mod command;
mod double;
pub(crate) mod format;
pub(crate) mod frame;
mod leaf;
pub(crate) mod read;
pub(crate) mod reply;
pub(crate) mod sent;
pub(crate) mod verb;
pub(crate) mod write;

use core::ffi::c_int;

use crate::abi::*;

/// The REDIS_REPLY_* constant for a type byte.
pub(crate) fn reply_type(byte: u8) -> Option<c_int> {
    Some(match byte {
        b'-' => REDIS_REPLY_ERROR,
        b'+' => REDIS_REPLY_STATUS,
        b':' => REDIS_REPLY_INTEGER,
        b',' => REDIS_REPLY_DOUBLE,
        b'_' => REDIS_REPLY_NIL,
        b'#' => REDIS_REPLY_BOOL,
        b'(' => REDIS_REPLY_BIGNUM,
        b'$' => REDIS_REPLY_STRING,
        b'=' => REDIS_REPLY_VERB,
        b'*' => REDIS_REPLY_ARRAY,
        b'%' => REDIS_REPLY_MAP,
        b'|' => REDIS_REPLY_ATTR,
        b'~' => REDIS_REPLY_SET,
        b'>' => REDIS_REPLY_PUSH,
        _ => return None,
    })
}

/// Whether replies of this type hold other replies.
pub(crate) fn is_aggregate(kind: c_int) -> bool {
    matches!(
        kind,
        REDIS_REPLY_ARRAY | REDIS_REPLY_MAP | REDIS_REPLY_ATTR | REDIS_REPLY_SET | REDIS_REPLY_PUSH
    )
}

/// What a line that must be an integer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Int {
    /// The value, and where the line's CR is.
    Value(i64, usize),
    /// Not an integer, at least not in the one spelling that RESP allows.
    Bad,
    /// The bytes end before the line does; so far it looks like an integer.
    Incomplete,
}

/// Reads the integer line at the start of `bytes`: `0`, or an optional `-` and
/// digits that do not begin with `0`, within 64 bits, then CR LF.
#[inline]
pub(crate) fn int_line(bytes: &[u8]) -> Int {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value: u64 = 0;
    let mut digits = 0;
    // One digit more than any number has: it wraps, but then it is bad anyway.
    for byte in bytes.get(start..).unwrap_or_default().iter().take(20) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        digits += 1;
    }
    let at = start + digits;
    if digits > 19 || (digits > 1 && bytes.get(start) == Some(&b'0')) {
        return Int::Bad;
    }
    match bytes.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Int::Incomplete,
        _ => return Int::Bad,
    }
    if digits == 0 || (negative && value == 0) || value > i64::MAX as u64 + u64::from(negative) {
        return Int::Bad;
    }
    let value = value as i64;
    Int::Value(if negative { value.wrapping_neg() } else { value }, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [("0", 0), ("7", 7), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            let line = format!("{text}\r\nmore");
            assert_eq!(int_line(line.as_bytes()), Int::Value(value, text.len()), "{text}");
        }
        assert_eq!(int_line(b"-9223372036854775808\r\n"), Int::Value(i64::MIN, 20));
        for bad in ["", "-", "+5", "-0", "00", "01", " 1", "1 ", "1a", "1\n", "1\rx"] {
            assert_eq!(int_line(format!("{bad}\r\n").as_bytes()), Int::Bad, "{bad:?}");
        }
        for bad in
            ["9223372036854775808", "-9223372036854775809", "99999999999999999999", "18446744073709551617"]
        {
            assert_eq!(int_line(format!("{bad}\r\n").as_bytes()), Int::Bad, "{bad}");
        }
        for part in ["", "-", "1", "12\r"] {
            assert_eq!(int_line(part.as_bytes()), Int::Incomplete, "{part:?}");
        }
    }
}
