//! `"SET key:%d %b"`: commands from a format string and its arguments.
//!
//! Spaces separate arguments; `%s`, `%b`, `%%` and the number conversions of printf
//! put something into one. The format is read once, and what it says is written at once:
//! an argument gets the header that its first part asks for, and a better one if more
//! parts follow. Most arguments have one part.

use core::ffi::{CStr, c_char, c_int};

use bytes::BufMut;
use bytes::buf::UninitSlice;
use libc::strlen;

use crate::alloc::OutOfMemory;
use crate::args::{Args, Number};
use crate::decimal;
use crate::resp::write::{Sink, Written, header};

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
/// Room for any header, the line end after an argument, and a NUL.
const AROUND: usize = 26;

/// The argument that is being written.
struct Open {
    /// Where its header is.
    at: usize,
    /// The length that the header tells.
    told: usize,
    len: usize,
}

/// Writes the command that `format` says, with `args`.
///
/// # Safety
/// `args` are what the format asks for.
pub(crate) unsafe fn write(
    format: &CStr,
    args: &mut impl Args,
    sink: &mut Sink<'_>,
) -> Result<Written, Invalid> {
    sink.ensure(SHORT_HEADER + AROUND)?;
    sink.advance(SHORT_HEADER);
    let (mut count, mut name) = (0, (0, 0));
    let mut open: Option<Open> = None;
    let mut rest = format.to_bytes();
    loop {
        let used = match rest.first() {
            Some(b' ') | None => {
                if let Some(open) = open.take() {
                    let (start, len) = close(sink, open)?;
                    if count == 0 {
                        name = (start, len);
                    }
                    count += 1;
                }
                if rest.is_empty() {
                    break;
                }
                1
            }
            first => {
                let (part, used) = if first == Some(&b'%') {
                    // SAFETY: the caller's promise.
                    unsafe { conversion(rest, args) }?
                } else {
                    let len = rest.iter().take_while(|b| !matches!(b, b' ' | b'%')).count();
                    (Part::Bytes(rest.as_ptr(), len), len)
                };
                // SAFETY: as above.
                unsafe { put(sink, &mut open, part, rest) }?;
                used
            }
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    let more = header(count) - SHORT_HEADER;
    if more > 0 {
        sink.ensure(more)?;
        sink.shift(SHORT_HEADER, more.cast_signed());
        name.0 += more;
    }
    sink.written(0).put_header(b'*', count);
    Ok(Written { count, name })
}

/// Makes room for a part of so many bytes, and begins an argument with it if none is open.
#[inline(never)]
fn begin(sink: &mut Sink<'_>, open: &mut Option<Open>, len: usize) -> Result<(), Invalid> {
    // Formats come with functions that return an int.
    if len > (c_int::MAX as usize).saturating_sub(sink.len() + AROUND) {
        return Err(Invalid::Size);
    }
    sink.ensure(len + AROUND)?;
    match open {
        Some(open) => open.len += len,
        None => {
            *open = Some(Open { at: sink.len(), told: len, len });
            let mut out = sink.rest();
            out.put_header(b'$', len);
            let written = out.written();
            sink.advance(written);
        }
    }
    Ok(())
}

/// Ends an argument; gives where its text is, and how long.
#[inline]
fn close(sink: &mut Sink<'_>, open: Open) -> Result<(usize, usize), Invalid> {
    // What `begin` made room for is used up only by further parts.
    if open.len != open.told {
        sink.ensure(AROUND)?;
        let (from, to) = (header(open.told), header(open.len));
        if from != to {
            sink.shift(open.at + from, to.cast_signed() - from.cast_signed());
        }
        sink.written(open.at).put_header(b'$', open.len);
    }
    sink.rest().put(*b"\r\n");
    sink.advance(2);
    Ok((open.at + header(open.len), open.len))
}

/// A part of an argument.
enum Part {
    Bytes(*const u8, usize),
    /// Sign and digits, of which there are `least` at least, with the sign.
    Digits {
        negative: bool,
        digits: u64,
        least: usize,
    },
    /// A number by the conversion that so many bytes of the format are.
    Printed(usize, Number),
}

/// Writes a part.
///
/// # Safety
/// As for `write`; `text` is where it stands in the format.
#[inline]
unsafe fn put(sink: &mut Sink<'_>, open: &mut Option<Open>, part: Part, text: &[u8]) -> Result<(), Invalid> {
    match part {
        Part::Bytes(bytes, len) => {
            begin(sink, open, len)?;
            // SAFETY: the caller's promise.
            unsafe { sink.rest().put_text(bytes, len) };
            sink.advance(len);
        }
        Part::Digits { negative, digits, least } => {
            let sign = usize::from(negative);
            let len = (decimal::len(digits) + sign).max(least);
            begin(sink, open, len)?;
            let mut out = sink.rest();
            if negative {
                out.put(*b"-");
            }
            out.put_digits(digits, len - sign);
            sink.advance(len);
        }
        // SAFETY: the caller's promise.
        Part::Printed(spec, number) => unsafe { put_printed(sink, open, text, spec, number) }?,
    }
    Ok(())
}

/// Reads the conversion at the start of `text`, and takes what it stands for; gives the
/// bytes that it takes in the format.
///
/// # Safety
/// As for `write`.
#[inline]
unsafe fn conversion(text: &[u8], args: &mut impl Args) -> Result<(Part, usize), Invalid> {
    match text.get(1) {
        // A percent sign at the very end stands for itself.
        None | Some(b'%') => Ok((Part::Bytes(text.as_ptr(), 1), text.len().min(2))),
        Some(b's') => {
            let s = args.pointer();
            if s.is_null() {
                return Err(Invalid::Null);
            }
            // SAFETY: a C string, says the format.
            Ok((Part::Bytes(s.cast(), unsafe { strlen(s) }), 2))
        }
        Some(b'b') => {
            let s: *const c_char = args.pointer();
            let len = args.size();
            if s.is_null() && len > 0 {
                return Err(Invalid::Null);
            }
            Ok((Part::Bytes(s.cast(), len), 2))
        }
        Some(_) => {
            let spec = Spec::read(text).ok_or(Invalid::Format)?;
            let part = match spec.plain(args) {
                Ok((negative, digits)) => Part::Digits { negative, digits, least: spec.zeros },
                Err(number) => Part::Printed(spec.len, number),
            };
            Ok((part, spec.len))
        }
    }
}

/// A number as the C library prints it, by the conversion that the first `spec` bytes of
/// `text` are.
///
/// # Safety
/// The conversion is for a number of this type.
#[cold]
unsafe fn put_printed(
    sink: &mut Sink<'_>,
    open: &mut Option<Open>,
    text: &[u8],
    spec: usize,
    number: Number,
) -> Result<(), Invalid> {
    let mut copy = [0u8; SPEC_MAX + 1];
    copy.get_mut(..spec).zip(text.get(..spec)).map(|(to, from)| to.copy_from_slice(from));
    let spec = CStr::from_bytes_until_nul(&copy).map_err(|_| Invalid::Format)?;
    // SAFETY: the caller's promise, both times.
    let len = unsafe { number.print(spec, UninitSlice::new(&mut [])) }.ok_or(Invalid::Format)?;
    begin(sink, open, len)?;
    // There is room for the NUL that the C library adds.
    // SAFETY: as above.
    unsafe { number.print(spec, sink.rest().chunk_mut()) };
    sink.advance(len);
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
        let (bytes, info) = written(|sink| unsafe { write(text, &mut List::new(args), sink) })?;
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
