//! Appending formatted text.
//!
//! What will be appended is measured first and its room reserved once: when memory
//! runs out the string has not moved, so the caller's pointer still owns it.

use core::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};
use core::mem::MaybeUninit;

use bytes::BufMut;
use memchr::memchr;

use super::Sds;
use crate::alloc::{self, OutOfMemory};
use crate::args::{Args, Rewind};
use crate::decimal::Decimal;
use crate::room::Room;

impl Sds {
    pub(crate) fn from_integer(n: i64) -> Result<Sds, OutOfMemory> {
        Sds::new(Decimal::signed(n).as_bytes())
    }

    /// Appends by the fast formatter: `%s` text, `%S` another string, `%i` `%I`
    /// signed and `%u` `%U` unsigned integers (capitals are long long), `%%`; any
    /// other character after `%` stands for itself. As `reserve`.
    ///
    /// # Safety
    /// Each `%s` has a C string or NULL, each `%S` a live sds or NULL; none is this string.
    pub(crate) unsafe fn append_fmt(self, fmt: &[u8], args: &mut dyn Rewind) -> Result<Sds, OutOfMemory> {
        let mut len = 0usize;
        // SAFETY: the caller's promise.
        unsafe { pieces(fmt, args, &mut |piece| len = len.saturating_add(piece.len())) };
        args.rewind();
        // SAFETY: the caller's promise.
        self.append_in_room(len, |room| unsafe { pieces(fmt, args, &mut |piece| room.put_slice(piece)) })
    }

    /// Appends what `write` puts into room for `len` bytes. As `reserve`.
    fn append_in_room(self, len: usize, write: impl FnOnce(&mut Room)) -> Result<Sds, OutOfMemory> {
        let s = self.reserve(len)?;
        // SAFETY: `len` bytes were reserved behind the text.
        let mut room = unsafe { Room::new(s.tail(), len) };
        write(&mut room);
        s.set_len(s.len() + room.written());
        Ok(s)
    }

    /// Appends what `print` prints, up to its first NUL; `print` works as snprintf
    /// and is called twice when the text is long. As `reserve`.
    /// Unlike hiredis: a text that `print` refuses is not tried in ever larger blocks.
    pub(crate) fn append_printed(
        self,
        print: impl Fn(*mut c_char, usize) -> c_int,
    ) -> Result<Sds, OutOfMemory> {
        // The arguments may point into the string, so it stays as it is meanwhile.
        let mut small = [MaybeUninit::<c_char>::uninit(); 1024];
        let len = usize::try_from(print(small.as_mut_ptr().cast(), small.len())).map_err(|_| OutOfMemory)?;
        if len < small.len() {
            // SAFETY: snprintf wrote a text that fits, with its NUL.
            return self.append(unsafe { CStr::from_ptr(small.as_ptr().cast()) }.to_bytes());
        }
        let size = len.checked_add(1).ok_or(OutOfMemory)?;
        let large = alloc::malloc(size).cast::<c_char>();
        if large.is_null() {
            return Err(OutOfMemory);
        }
        let result = match print(large, size) {
            // SAFETY: not negative, so snprintf wrote a text with its NUL.
            0.. => self.append(unsafe { CStr::from_ptr(large) }.to_bytes()),
            _ => Err(OutOfMemory),
        };
        // SAFETY: the block from above, used no more.
        unsafe { alloc::free(large.cast()) };
        result
    }

    /// Appends `text` in double quotes, with escapes for what does not print. As `reserve`.
    pub(crate) fn append_quoted(self, text: &[u8]) -> Result<Sds, OutOfMemory> {
        let mut len = 2usize;
        text.iter().for_each(|&byte| len = len.saturating_add(Escaped::new(byte).as_bytes().len()));
        self.append_in_room(len, |room| {
            room.put_u8(b'"');
            text.iter().for_each(|&byte| room.put_slice(Escaped::new(byte).as_bytes()));
            room.put_u8(b'"');
        })
    }
}

/// Hands the pieces of what `append_fmt` appends to `put`, in order.
///
/// # Safety
/// As `append_fmt`.
unsafe fn pieces(mut fmt: &[u8], args: &mut dyn Args, put: &mut dyn FnMut(&[u8])) {
    while let Some((plain, rest)) = memchr(b'%', fmt).and_then(|at| fmt.split_at_checked(at)) {
        put(plain);
        // Unlike hiredis: a `%` with nothing behind it ends the format.
        let [_, conversion, rest @ ..] = rest else { return };
        match conversion {
            // SAFETY: the caller's promise.
            b's' => unsafe { c_str(args.pointer(), put) },
            b'S' => {
                // SAFETY: the caller's promise; nothing changes the string meanwhile.
                let text = unsafe { Sds::from_raw(args.pointer().cast_mut()).map(|s| s.bytes()) };
                put(text.unwrap_or_default());
            }
            b'i' => put(Decimal::signed(args.int().into()).as_bytes()),
            b'I' => put(Decimal::signed(args.long_long()).as_bytes()),
            b'u' => put(Decimal::unsigned((args.int() as c_uint).into()).as_bytes()),
            b'U' => put(Decimal::unsigned(args.long_long() as c_ulonglong).as_bytes()),
            other => put(&[*other]),
        }
        fmt = rest;
    }
    put(fmt);
}

/// # Safety
/// `text` is a C string or NULL, which counts as an empty one.
unsafe fn c_str(text: *const c_char, put: &mut dyn FnMut(&[u8])) {
    if !text.is_null() {
        // SAFETY: the caller's promise.
        put(unsafe { CStr::from_ptr(text) }.to_bytes());
    }
}

/// A byte as it stands between double quotes.
struct Escaped {
    text: [u8; 4],
    len: usize,
}

impl Escaped {
    fn new(byte: u8) -> Escaped {
        let short = |c| Escaped { text: [b'\\', c, 0, 0], len: 2 };
        match byte {
            b'\\' | b'"' => short(byte),
            b'\n' => short(b'n'),
            b'\r' => short(b'r'),
            b'\t' => short(b't'),
            0x07 => short(b'a'),
            0x08 => short(b'b'),
            // SAFETY: isprint takes any unsigned char.
            _ if unsafe { libc::isprint(byte.into()) } != 0 => Escaped { text: [byte, 0, 0, 0], len: 1 },
            _ => Escaped { text: [b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)], len: 4 },
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Number::{Int, LongLong};
    use crate::args::tests::{Arg, List};

    fn text(s: Sds) -> String {
        // SAFETY: the string lives until the next line frees it.
        let text = String::from_utf8(unsafe { s.bytes() }.to_vec()).unwrap();
        s.free();
        text
    }

    fn fmt(format: &str, all: &[Arg]) -> String {
        let mut args = List::new(all);
        let s = Sds::new(b"<").unwrap();
        // SAFETY: each case below gives what its format says.
        let s = unsafe { s.append_fmt(format.as_bytes(), &mut args) }.unwrap();
        assert_eq!(args.next, all.len());
        text(s)
    }

    #[test]
    fn fmt_knows_six_types() {
        let other = Sds::new(b"other").unwrap();
        let all = [
            Arg::Text(Some(c"text")),
            Arg::Pointer(other.as_ptr()),
            Arg::Number(Int(i32::MIN)),
            Arg::Number(LongLong(i64::MIN)),
            Arg::Number(Int(-1)),
            Arg::Number(LongLong(-1)),
        ];
        assert_eq!(
            fmt("%s|%S|%i|%I|%u|%U", &all),
            "<text|other|-2147483648|-9223372036854775808|4294967295|18446744073709551615"
        );
        other.free();
    }

    #[test]
    fn fmt_takes_the_rest_as_text() {
        assert_eq!(fmt("", &[]), "<");
        assert_eq!(fmt("100%% %x%d", &[]), "<100% xd");
        assert_eq!(fmt("end%", &[]), "<end");
        assert_eq!(fmt("%", &[]), "<");
        assert_eq!(fmt("[%s%S]", &[Arg::Text(None), Arg::Text(None)]), "<[]");
    }

    #[test]
    fn printed_text_of_any_length() {
        for len in [0, 1, 1022, 1023, 1024, 1025, 5000] {
            let s = Sds::new(b"<").unwrap();
            let print = |to: *mut c_char, room| {
                let (width, spec) = (len as c_int, c"%*s");
                // SAFETY: snprintf writes at most `room` bytes.
                unsafe { libc::snprintf(to, room, spec.as_ptr(), width, c"".as_ptr()) }
            };
            assert_eq!(text(s.append_printed(print).unwrap()), format!("<{}", " ".repeat(len)));
        }
    }

    #[test]
    fn printed_text_ends_at_a_nul_and_may_fail() {
        let s = Sds::new(b"<").unwrap();
        let print = |to: *mut c_char, room| {
            // SAFETY: snprintf writes at most `room` bytes.
            unsafe { libc::snprintf(to, room, c"a%cb".as_ptr(), 0) }
        };
        let s = s.append_printed(print).unwrap();
        assert!(s.append_printed(|_, _| -1) == Err(OutOfMemory));
        assert_eq!(text(s), "<a");
    }

    #[test]
    fn quoting_escapes_what_does_not_print() {
        let s = Sds::new(b"<").unwrap();
        let s = s.append_quoted(b"a b\\\"\n\r\t\x07\x08\0\x7f\xffz").unwrap();
        assert_eq!(text(s), r#"<"a b\\\"\n\r\t\a\b\x00\x7f\xffz""#);
        assert_eq!(text(Sds::empty().unwrap().append_quoted(b"").unwrap()), r#""""#);
    }

    #[test]
    fn integers() {
        for n in [0, 7, -1, i64::MIN, i64::MAX] {
            assert_eq!(text(Sds::from_integer(n).unwrap()), n.to_string());
        }
    }
}
