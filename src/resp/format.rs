//! `"SET key:%d %b"`: commands from a format string and its arguments.
//!
//! Spaces separate arguments; `%s`, `%b`, `%%` and the number conversions of printf
//! put something into one. The format is read once, and what it says is written at once,
//! behind room for the header that the first part of an argument would have alone. When
//! the argument ends its header is written, and if that has another size the text moves.

use core::ffi::{CStr, c_char, c_int};

use bytes::buf::UninitSlice;
use libc::strlen;

use crate::args::{Args, Number};
use crate::decimal;
use crate::resp::write::{AROUND, Invalid, Sink, Written, header, put_header, put_line_end};

/// The longest conversion that is understood, without its NUL.
const SPEC_MAX: usize = 62;
/// `*<argc>` of a command with less than ten arguments.
const SHORT_HEADER: usize = 4;
/// Formats come with functions that return an int.
const LONGEST: usize = c_int::MAX as usize;

/// Writes the command that `format` says, with `args`.
///
/// # Safety
/// `format` is NULL or a C string, and `args` are what it asks for.
pub(crate) unsafe fn write(
    format: *const c_char,
    args: &mut impl Args,
    sink: Sink<'_>,
) -> Result<Written, Invalid> {
    if format.is_null() {
        return Err(Invalid::Null);
    }
    let mut sink = sink.local();
    let mut at = format.cast::<u8>();
    let mut count = 0;
    sink.reserve(0)?;
    // SAFETY: the caller's promise; no byte is looked at past one that is not NUL. Each part
    // begins with room for a header and ends with room for a line end.
    unsafe {
        sink.skip(SHORT_HEADER);
        loop {
            while *at == b' ' {
                at = at.add(1);
            }
            if *at == 0 {
                break;
            }
            sink.reserve(0)?;
            let begin = sink.len();
            // The first part says how long the header is, as a rule.
            let mut head = 0;
            if *at != b'%' {
                head = SHORT_HEADER;
                sink.skip(head);
            }
            loop {
                while *at > b'%' || !matches!(*at, b' ' | b'%' | 0) {
                    sink.reserve(0)?;
                    sink.put_byte(*at);
                    at = at.add(1);
                }
                if *at != b'%' {
                    break;
                }
                match *at.add(1) {
                    letter @ (b's' | b'b') => {
                        let text = args.pointer().cast::<u8>();
                        let len = match letter {
                            b'b' => args.size(),
                            _ if text.is_null() => return Err(Invalid::Null),
                            _ => strlen(text.cast()),
                        };
                        if text.is_null() && len > 0 {
                            return Err(Invalid::Null);
                        }
                        head = put_text(text, len, head, &mut sink)?;
                        at = at.add(2);
                    }
                    letter @ (b'd' | b'0') if letter == b'd' || is_zeros(at.add(2)) => {
                        let value = args.int();
                        let least = if letter == b'0' { usize::from(*at.add(2) - b'0') } else { 0 };
                        (head, sink) =
                            put_integer(value < 0, value.unsigned_abs().into(), least, head, sink)?;
                        at = at.add(if letter == b'0' { 4 } else { 2 });
                    }
                    // A percent sign at the very end stands for itself.
                    letter @ (b'%' | 0) => {
                        head = put_text(at, 1, head, &mut sink)?;
                        at = at.add(1 + usize::from(letter != 0));
                    }
                    _ => {
                        let taken;
                        (taken, head, sink) = number(at, args, head, sink)?;
                        at = at.add(taken);
                    }
                }
            }
            close(begin, head, &mut sink);
            count += 1;
        }
        let more = header(count) - SHORT_HEADER;
        if more > 0 {
            sink.reserve(more)?;
            move_by(SHORT_HEADER, more.cast_signed(), &mut sink);
        }
        put_header(sink.place(0), b'*', count);
    }
    if sink.len() > LONGEST { Err(Invalid::Size) } else { Ok(sink.done(count)) }
}

/// Whether the rest of `%0<digit>d` is at `at`.
///
/// # Safety
/// A C string is at `at`.
#[inline(always)]
unsafe fn is_zeros(at: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { matches!(*at, b'1'..=b'9') && *at.add(1) == b'd' }
}

/// Writes a part of an argument, the first one behind room for the header of what it is
/// alone. Gives how much room that is.
///
/// # Safety
/// As for `Sink::put`.
#[inline(always)]
unsafe fn put_text(text: *const u8, len: usize, head: usize, sink: &mut Sink<'_>) -> Result<usize, Invalid> {
    // What is too long is refused before it is copied.
    if is_too_long(len, sink) {
        return Err(Invalid::Size);
    }
    sink.reserve(len)?;
    // SAFETY: the caller's promise; there is room, for a header as well.
    unsafe {
        let head = begin_argument(head, len, sink);
        sink.put(text, len);
        Ok(head)
    }
}

/// Whether a command is longer than an int can tell with so many bytes more.
#[inline(always)]
fn is_too_long(len: usize, sink: &Sink<'_>) -> bool {
    len > LONGEST.saturating_sub(sink.len() + AROUND)
}

/// Leaves room for the header of an argument of `len` bytes, if there is none yet.
///
/// # Safety
/// There is room for it, and `close` ends the argument.
#[inline(always)]
unsafe fn begin_argument(head: usize, len: usize, sink: &mut Sink<'_>) -> usize {
    if head > 0 {
        return head;
    }
    let head = header(len);
    // SAFETY: the caller's promise.
    unsafe { sink.skip(head) };
    head
}

/// Writes an integer, filled up with zeros to so many characters, as `put_text` does.
#[inline(always)]
fn put_integer<'a>(
    negative: bool,
    digits: u64,
    least: usize,
    head: usize,
    mut sink: Sink<'a>,
) -> Result<(usize, Sink<'a>), Invalid> {
    let sign = usize::from(negative);
    let len = (decimal::len(digits) + sign).max(least);
    sink.reserve(len)?;
    // SAFETY: there is room for a header and so many characters; `write` closes the argument.
    unsafe {
        let head = begin_argument(head, len, &mut sink);
        sink.put_with(|at| {
            if negative {
                at.write(b'-');
            }
            decimal::put(at.add(sign), digits, len - sign);
            at.add(len)
        });
        Ok((head, sink))
    }
}

/// Ends the argument that began at `begin` with room for `head` bytes of header.
///
/// # Safety
/// It did, and there is room for a longer header and a line end.
#[inline(always)]
unsafe fn close(begin: usize, head: usize, sink: &mut Sink<'_>) {
    let len = sink.len() - begin - head;
    let real = header(len);
    // SAFETY: the caller's promise.
    unsafe {
        if real != head {
            move_by(begin + head, real.cast_signed() - head.cast_signed(), sink);
        }
        put_header(sink.place(begin), b'$', len);
        sink.put_with(|at| put_line_end(at));
    }
}

/// Moves what is written from `from` on by so many bytes.
///
/// # Safety
/// There is room for them, and what is moved over is not needed.
#[cold]
unsafe fn move_by(from: usize, by: isize, sink: &mut Sink<'_>) {
    let len = sink.len() - from;
    // SAFETY: the caller's promise.
    unsafe {
        let text = sink.place(from);
        core::ptr::copy(text, text.offset(by), len);
        sink.put_with(|at| at.offset(by));
    }
}

/// Writes any kind of number that the conversion at `at` says; gives the bytes that it takes
/// in the format, and what `put_text` gives.
///
/// # Safety
/// As for `write`.
#[inline(never)]
unsafe fn number<'a>(
    at: *const u8,
    args: &mut impl Args,
    head: usize,
    sink: Sink<'a>,
) -> Result<(usize, usize, Sink<'a>), Invalid> {
    // SAFETY: the caller's promise.
    unsafe {
        let text = CStr::from_ptr(at.cast()).to_bytes();
        let spec = Spec::read(text).ok_or(Invalid::Format)?;
        let (head, sink) = match spec.plain(args) {
            Ok((negative, digits)) => put_integer(negative, digits, spec.zeros, head, sink)?,
            Err(number) => put_printed(text, spec.len, number, head, sink)?,
        };
        Ok((spec.len, head, sink))
    }
}

/// A number as the C library prints it, by the conversion that the first `spec` bytes of
/// `text` are.
///
/// # Safety
/// The conversion is for a number of this type.
#[cold]
unsafe fn put_printed<'a>(
    text: &[u8],
    spec: usize,
    number: Number,
    head: usize,
    mut sink: Sink<'a>,
) -> Result<(usize, Sink<'a>), Invalid> {
    let mut copy = [0u8; SPEC_MAX + 1];
    for (to, from) in copy.iter_mut().zip(text.iter().take(spec.min(SPEC_MAX))) {
        *to = *from;
    }
    let spec = CStr::from_bytes_until_nul(&copy).map_err(|_| Invalid::Format)?;
    // SAFETY: the caller's promise, both times; there is room for the NUL that the C
    // library adds.
    unsafe {
        let len = number.print(spec, UninitSlice::new(&mut [])).ok_or(Invalid::Format)?;
        if is_too_long(len, &sink) {
            return Err(Invalid::Size);
        }
        sink.reserve(len)?;
        let head = begin_argument(head, len, &mut sink);
        sink.put_with(|at| {
            number.print(spec, UninitSlice::from_raw_parts_mut(at, len + 1));
            at.add(len)
        });
        Ok((head, sink))
    }
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
        assert!(bytes.starts_with(format!("*{}\r\n", info.count).as_bytes()));
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
