//! `"SET key:%d %b"`: commands from a format string and its arguments.
//!
//! Spaces separate arguments; `%s`, `%b`, `%%` and the number conversions of printf
//! put something into one. The format is read once, and what it says is written at once,
//! behind room for the header of an argument of two digits. When the argument ends its
//! header is written, and if that has another size the text moves, a few bytes as a rule:
//! a long first part has its header foreseen.

use core::ffi::{CStr, c_char, c_int};

use bytes::buf::UninitSlice;
use libc::strlen;

use crate::alloc::OutOfMemory;
use crate::args::{Args, Number};
use crate::decimal;
use crate::resp::write::{Sink, Written, header};
use crate::room;

/// Why there is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The format has a conversion that is not served.
    Format,
    /// NULL for a `%s`, or for a `%b` that is not empty.
    Null,
    /// The arguments are not a vector, or more than can be counted.
    Size,
    /// There is no room to write it.
    Memory,
    /// The connection does not take it now.
    Refused,
}

impl From<OutOfMemory> for Invalid {
    fn from(_: OutOfMemory) -> Invalid {
        Invalid::Memory
    }
}

/// The longest conversion that is understood, without its NUL.
const SPEC_MAX: usize = 62;
/// `*<argc>` of a command with less than ten arguments.
const SHORT_HEADER: usize = 4;
/// Room beyond a part: for any header, line ends, and a NUL.
const AROUND: usize = 32;

/// Where a command is being written: plain pointers, which the loop keeps in registers.
struct Out<'a, 'b> {
    sink: &'a mut Sink<'b>,
    at: *mut u8,
    end: *mut u8,
}

impl Out<'_, '_> {
    /// Makes sure of room for `n` bytes, and AROUND.
    #[inline(always)]
    fn room(&mut self, n: usize) -> Result<(), Invalid> {
        if self.end.addr() - self.at.addr() > n.saturating_add(AROUND) { Ok(()) } else { self.grow(n) }
    }

    #[cold]
    fn grow(&mut self, n: usize) -> Result<(), Invalid> {
        let used = self.offset();
        // Formats come with functions that return an int.
        if n > (c_int::MAX as usize).saturating_sub(used + 2 * AROUND) {
            return Err(Invalid::Size);
        }
        self.sink.set_len(used);
        self.sink.ensure(n + AROUND + 1)?;
        (self.at, self.end) = self.sink.ends();
        Ok(())
    }

    /// How much is written.
    #[inline(always)]
    fn offset(&self) -> usize {
        self.at.addr() - self.sink.start().addr()
    }

    /// Writes bytes, for which there is room.
    ///
    /// # Safety
    /// `len` bytes at `text` are readable.
    #[inline(always)]
    unsafe fn put(&mut self, text: *const u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            room::copy(text, self.at, len);
            self.at = self.at.add(len);
        }
    }

    /// Writes a number of so many digits, for which there is room.
    #[inline(always)]
    fn put_digits(&mut self, mut n: u64, digits: usize) {
        let mut left = digits;
        // SAFETY: below `digits`.
        unsafe {
            while left > 1 {
                left -= 2;
                let pair = decimal::pair((n % 100) as usize);
                self.at.add(left).cast::<[u8; 2]>().write_unaligned(pair);
                n /= 100;
            }
            if left == 1 {
                self.at.write(b'0' + (n % 10) as u8);
            }
            self.at = self.at.add(digits);
        }
    }

    /// Writes an integer, filled up with zeros to so many characters.
    #[inline(always)]
    fn put_integer(&mut self, negative: bool, digits: u64, least: usize) -> Result<(), Invalid> {
        let sign = usize::from(negative);
        let len = (decimal::len(digits) + sign).max(least);
        self.room(len)?;
        if negative {
            // SAFETY: there is room.
            unsafe { self.at.write(b'-') };
            self.at = self.at.wrapping_add(1);
        }
        self.put_digits(digits, len - sign);
        Ok(())
    }

    /// Ends the argument that began at `begin` with room for `head` bytes of header. Gives
    /// where its text is, and how long.
    #[inline(always)]
    fn close(&mut self, begin: usize, head: usize) -> Result<(usize, usize), Invalid> {
        let len = self.offset() - begin - head;
        let real = header(len);
        // SAFETY: `begin` and what follows are written; there is room for AROUND more.
        unsafe {
            let start = self.sink.start().add(begin);
            if real != head {
                let (text, to) = (start.add(head), start.add(real));
                if len < 10 {
                    // All there can be, whatever it is: cheaper than a call.
                    let (first, last) = (text.cast::<u64>().read_unaligned(), text.add(8).read());
                    to.cast::<u64>().write_unaligned(first);
                    to.add(8).write(last);
                } else {
                    core::ptr::copy(text, to, len);
                }
                self.at = to.add(len);
            }
            let mut line = Out { at: start, end: self.end, sink: &mut *self.sink };
            line.at.write(b'$');
            line.at = line.at.add(1);
            line.put_digits(len as u64, real - 3);
            line.at.cast::<[u8; 2]>().write_unaligned(*b"\r\n");
            self.at.cast::<[u8; 2]>().write_unaligned(*b"\r\n");
            self.at = self.at.add(2);
        }
        Ok((begin + real, len))
    }
}

/// Writes the command that `format` says, with `args`.
///
/// # Safety
/// `format` is a C string, and `args` are what it asks for.
pub(crate) unsafe fn write(
    format: *const c_char,
    args: &mut impl Args,
    sink: &mut Sink<'_>,
) -> Result<Written, Invalid> {
    sink.ensure(SHORT_HEADER + AROUND + 1)?;
    let (start, end) = sink.ends();
    let mut out = Out { sink, at: start.wrapping_add(SHORT_HEADER), end };
    let mut at = format.cast::<u8>();
    let (mut count, mut name) = (0, (0, 0));
    // SAFETY: the caller's promise; no byte is looked at past one that is not NUL.
    unsafe {
        loop {
            while *at == b' ' {
                at = at.add(1);
            }
            if *at == 0 {
                break;
            }
            out.room(0)?;
            let begin = out.offset();
            let mut head = 5;
            out.at = out.at.add(head);
            while *at != b' ' && *at != 0 {
                if *at == b'%' {
                    at = at.add(conversion(at, args, &mut out, begin, &mut head)?);
                } else {
                    let text = at;
                    while !matches!(*at, b' ' | b'%' | 0) {
                        at = at.add(1);
                    }
                    let len = at.addr() - text.addr();
                    out.room(len)?;
                    out.put(text, len);
                }
            }
            let text = out.close(begin, head)?;
            if count == 0 {
                name = text;
            }
            count += 1;
        }
    }
    let len = out.offset();
    sink.set_len(len);
    let more = header(count) - SHORT_HEADER;
    if more > 0 {
        sink.ensure(more)?;
        sink.shift(SHORT_HEADER, more.cast_signed());
        name.0 += more;
    }
    sink.written(0).put_header(b'*', count);
    if sink.len() > c_int::MAX as usize { Err(Invalid::Size) } else { Ok(Written { count, name }) }
}

/// Writes what the conversion at `at` says; gives the bytes that it takes in the format. If
/// it begins an argument, `head` may change with what it says.
///
/// # Safety
/// As for `write`.
#[inline(always)]
unsafe fn conversion(
    at: *const u8,
    args: &mut impl Args,
    out: &mut Out<'_, '_>,
    begin: usize,
    head: &mut usize,
) -> Result<usize, Invalid> {
    // SAFETY: the caller's promise, and C strings where the format says so.
    unsafe {
        let letter = *at.add(1);
        match letter {
            b's' | b'b' => {
                let text = args.pointer().cast::<u8>();
                let len = match letter {
                    b'b' => args.size(),
                    _ if text.is_null() => return Err(Invalid::Null),
                    _ => strlen(text.cast()),
                };
                if text.is_null() && len > 0 {
                    return Err(Invalid::Null);
                }
                out.room(len)?;
                if len > 99 && out.offset() == begin + *head {
                    out.at = out.at.add(header(len) - *head);
                    *head = header(len);
                }
                out.put(text, len);
                Ok(2)
            }
            // A percent sign at the very end stands for itself.
            b'%' | 0 => {
                out.room(1)?;
                out.put(at, 1);
                Ok(1 + usize::from(letter != 0))
            }
            _ => {
                let zeros = letter == b'0' && matches!(*at.add(2), b'1'..=b'9') && *at.add(3) == b'd';
                if letter == b'd' || zeros {
                    let value = args.int();
                    let least = if zeros { usize::from(*at.add(2) - b'0') } else { 0 };
                    out.put_integer(value < 0, value.unsigned_abs().into(), least)?;
                    return Ok(if zeros { 4 } else { 2 });
                }
                number(at, args, out)
            }
        }
    }
}

/// As `conversion`, for any kind of number.
///
/// # Safety
/// As for `write`.
#[inline(never)]
unsafe fn number(at: *const u8, args: &mut impl Args, out: &mut Out<'_, '_>) -> Result<usize, Invalid> {
    // SAFETY: the caller's promise.
    unsafe {
        let text = CStr::from_ptr(at.cast()).to_bytes();
        let spec = Spec::read(text).ok_or(Invalid::Format)?;
        match spec.plain(args) {
            Ok((negative, digits)) => out.put_integer(negative, digits, spec.zeros)?,
            Err(number) => put_printed(out, text, spec.len, number)?,
        }
        Ok(spec.len)
    }
}

/// A number as the C library prints it, by the conversion that the first `spec` bytes of
/// `text` are.
///
/// # Safety
/// The conversion is for a number of this type.
#[cold]
unsafe fn put_printed(
    out: &mut Out<'_, '_>,
    text: &[u8],
    spec: usize,
    number: Number,
) -> Result<(), Invalid> {
    let mut copy = [0u8; SPEC_MAX + 1];
    for (to, from) in copy.iter_mut().zip(text.iter().take(spec.min(SPEC_MAX))) {
        *to = *from;
    }
    let spec = CStr::from_bytes_until_nul(&copy).map_err(|_| Invalid::Format)?;
    // SAFETY: the caller's promise, both times; there is room for the NUL that the C
    // library adds.
    unsafe {
        let len = number.print(spec, UninitSlice::new(&mut [])).ok_or(Invalid::Format)?;
        out.room(len)?;
        number.print(spec, UninitSlice::from_raw_parts_mut(out.at, len + 1));
        out.at = out.at.add(len);
    }
    Ok(())
}

/// The C type that a conversion consumes, before promotion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Char,
    Short,
    Int,
    Long,
    LongLong,
    Double,
}

/// One conversion, such as `%08.3f`.
struct Spec {
    len: usize,
    width: Width,
    letter: u8,
    /// Nothing but zeros to fill up with, or nothing at all.
    simple: bool,
    /// Characters that zeros fill up to.
    zeros: usize,
}

impl Spec {
    /// Reads the conversion at the start of `text`, which begins with a percent sign.
    #[inline(never)]
    fn read(text: &[u8]) -> Option<Spec> {
        let skip = |from: usize, set: fn(&u8) -> bool| {
            from + text.get(from..).unwrap_or_default().iter().take_while(|b| set(b)).count()
        };
        let flags = skip(1, |b| b"#0-+ ".contains(b));
        let mut at = skip(flags, u8::is_ascii_digit);
        let digits = text.get(flags..at).unwrap_or_default();
        let mut simple = at == 1 || text.get(1..flags) == Some(b"0");
        if text.get(at) == Some(&b'.') {
            simple = false;
            at = skip(at + 1, u8::is_ascii_digit);
        }
        // A width of more digits than these is left to the C library.
        simple = simple && digits.len() <= 4;
        let zeros = if simple { digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0')) } else { 0 };
        let width = match (text.get(at), text.get(at + 1)) {
            (Some(b'h'), Some(b'h')) => Width::Char,
            (Some(b'h'), _) => Width::Short,
            (Some(b'l'), Some(b'l')) => Width::LongLong,
            (Some(b'l'), _) => Width::Long,
            _ => Width::Int,
        };
        at += match width {
            Width::Char | Width::LongLong => 2,
            Width::Short | Width::Long => 1,
            Width::Int | Width::Double => 0,
        };
        let letter = *text.get(at)?;
        let width = match letter {
            b'd' | b'i' | b'o' | b'u' | b'x' | b'X' => width,
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' if width == Width::Int => Width::Double,
            _ => return None,
        };
        (at < SPEC_MAX).then_some(Spec { len: at + 1, width, letter, simple, zeros })
    }

    /// Takes the number. The plain decimal ones come as sign and digits, others are for
    /// the C library.
    #[inline(never)]
    fn plain(&self, args: &mut impl Args) -> Result<(bool, u64), Number> {
        let number = match self.width {
            Width::Char | Width::Short | Width::Int => Number::Int(args.int()),
            Width::Long => Number::Long(args.long()),
            Width::LongLong => Number::LongLong(args.long_long()),
            Width::Double => Number::Double(args.double()),
        };
        let signed = matches!(self.letter, b'd' | b'i');
        if !self.simple || !(signed || self.letter == b'u') {
            return Err(number);
        }
        let value = match (number, self.width) {
            (Number::Int(v), Width::Char) => {
                if signed {
                    i64::from(v as i8)
                } else {
                    i64::from(v as u8)
                }
            }
            (Number::Int(v), Width::Short) => {
                if signed {
                    i64::from(v as i16)
                } else {
                    i64::from(v as u16)
                }
            }
            (Number::Int(v), _) => {
                if signed {
                    i64::from(v)
                } else {
                    i64::from(v as u32)
                }
            }
            #[cfg(target_pointer_width = "32")]
            (Number::Long(v), _) => {
                if signed {
                    i64::from(v)
                } else {
                    i64::from(v as u32)
                }
            }
            #[cfg(not(target_pointer_width = "32"))]
            (Number::Long(v), _) => v,
            (Number::LongLong(v), _) => v,
            (Number::Double(_), _) => return Err(number),
        };
        let negative = signed && value < 0;
        Ok((negative, if negative { value.unsigned_abs() } else { value as u64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::tests::{Arg, List};
    use crate::resp::write::tests::written;

    /// The command as text, with `|` for CR LF.
    fn format(text: &CStr, args: &[Arg]) -> Result<String, Invalid> {
        // SAFETY: the list checks that the arguments are what the format asks for.
        let (bytes, info) = written(|sink| unsafe { write(text.as_ptr(), &mut List::new(args), sink) })?;
        if info.count > 0 {
            let name = crate::resp::write::Args::new(&bytes, info).name().unwrap();
            let line = format!("${}\r\n", name.len());
            assert!(bytes[header(info.count)..].starts_with(line.as_bytes()));
        }
        Ok(String::from_utf8(bytes).unwrap().replace("\r\n", "|"))
    }

    #[test]
    fn arguments_are_what_spaces_separate() {
        let text = |s| Arg::Text(Some(s));
        assert_eq!(format(c"  GET   k ", &[]).unwrap(), "*2|$3|GET|$1|k|");
        assert_eq!(format(c"", &[]).unwrap(), "*0|");
        assert_eq!(format(c"%s%s a%%b%", &[text(c"x y"), text(c"")]).unwrap(), "*2|$3|x y|$4|a%b%|");
        let binary = [Arg::Pointer(c"a\tb".as_ptr()), Arg::Size(3)];
        assert_eq!(format(c"SET %b", &binary).unwrap(), "*2|$3|SET|$3|a\tb|");
        assert_eq!(
            format(c"SET %b", &[Arg::Pointer(core::ptr::null()), Arg::Size(0)]).unwrap(),
            "*2|$3|SET|$0||"
        );
    }

    #[test]
    fn numbers_print_as_in_c() {
        let number = Arg::Number;
        let args = [number(Number::Int(-7)), number(Number::Long(40)), number(Number::Double(1.5))];
        assert_eq!(format(c"%d:%lu:%.2f", &args).unwrap(), "*1|$10|-7:40:1.50|");
        let args = [number(Number::Int(-1)), number(Number::Int(300)), number(Number::Int(-1))];
        assert_eq!(format(c"%u %hhd %04x", &args).unwrap(), "*3|$10|4294967295|$2|44|$8|ffffffff|");
    }

    #[test]
    fn zeros_fill_up_as_in_c() {
        let int = |n| [Arg::Number(Number::Int(n))];
        assert_eq!(format(c"%05d", &int(42)).unwrap(), "*1|$5|00042|");
        assert_eq!(format(c"%05d", &int(-42)).unwrap(), "*1|$5|-0042|");
        assert_eq!(format(c"%03u", &int(123_456)).unwrap(), "*1|$6|123456|");
        assert_eq!(format(c"%5d", &int(42)).unwrap(), "*1|$5|   42|");
        assert_eq!(format(c"%0d", &int(0)).unwrap(), "*1|$1|0|");
    }

    #[test]
    fn headers_follow_lengths() {
        let text = |s| Arg::Text(Some(s));
        let long = c"0123456789012345678901234567890123456789012345678901234567890123456789";
        let want =
            format!("*3|$1|a|$9|{}|$141|{}x{}|", "ab%cdefgh", long.to_str().unwrap(), long.to_str().unwrap());
        let args = [text(c"ab"), text(c"cdefgh"), text(long), text(long)];
        assert_eq!(format(c"a %s%%%s %sx%s", &args).unwrap(), want);
        assert_eq!(format(c"%s%s", &[text(c"123456789"), text(c"0")]).unwrap(), "*1|$10|1234567890|");
    }

    #[test]
    fn pieces_may_be_many() {
        let words = vec!["x"; 100].join(" ");
        let text = std::ffi::CString::new(words).unwrap();
        assert_eq!(format(&text, &[]).unwrap(), format!("*100|{}", "$1|x|".repeat(100)));
    }

    #[test]
    fn what_is_not_served_is_an_error() {
        for bad in [c"%p", c"%lf", c"%5s", c"%", c"%-", c"%*d", c"% %", c"%zu"] {
            let result = format(bad, &[]);
            assert_eq!(
                result,
                if bad == c"%" { Ok("*1|$1|%|".into()) } else { Err(Invalid::Format) },
                "{bad:?}"
            );
        }
        assert_eq!(format(c"%s", &[Arg::Text(None)]), Err(Invalid::Null));
    }
}
