//! `"SET key:%d %b"`: commands from a format string and its arguments.
//!
//! Spaces separate arguments; `%s`, `%b`, `%%` and the number conversions of printf
//! put something into one. The format is read once, and each piece that it says is written at
//! once, behind room for a short header, or for its own if it is a text that begins an argument.
//! When the argument ends its header is written, and if that has another size the text moves.

use core::ffi::{CStr, c_char, c_int};
use core::mem::MaybeUninit;
use core::ptr;

use bytes::buf::UninitSlice;
use libc::strlen;

use crate::args::{Args, Number};
use crate::decimal;
use crate::resp::write::{AROUND, Invalid, Sink, header, put_header, put_line_end};
use crate::room;

/// The longest conversion that is understood, without its NUL.
const SPEC_MAX: usize = 62;
/// `*<argc>` of a command with less than ten arguments.
const SHORT_HEADER: usize = 4;
/// Formats come with functions that return an int.
const LONGEST: usize = c_int::MAX as usize;
/// How long zeros may make a number here; longer is for the C library.
const MOST_ZEROS: usize = 16;

/// Where a number is made: it ends SLACK bytes before the end.
struct Scratch([MaybeUninit<u8>; decimal::LONGEST + 4 + SLACK]);

/// What is copied of a number that no conversion made longer.
const SLACK: usize = MOST_ZEROS;

/// A piece of an argument.
enum Piece {
    Text(*const u8, usize),
    /// SLACK bytes may be copied of it, however short it is.
    Number(*const u8, usize),
}

/// Writes the command that `format` says, with `args`. Gives its length.
///
/// # Safety
/// `format` is NULL or a C string, and `args` are what it asks for.
pub(crate) unsafe fn write(
    format: *const c_char,
    args: &mut impl Args,
    mut sink: Sink<'_>,
) -> Result<usize, Invalid> {
    if format.is_null() {
        return Err(Invalid::Null);
    }
    let mut scratch = Scratch([MaybeUninit::uninit(); decimal::LONGEST + 4 + SLACK]);
    let mut next = format.cast::<u8>();
    let mut count = 0;
    // SAFETY: the caller's promise; a byte is looked at only if the one before it is no NUL. Every
    // piece ends with room for a longer header of its own, a line end, and another header.
    unsafe {
        let mut at = sink.start();
        if sink.lacks(at, 0) {
            at = sink.grow(at, 0)?;
        }
        at = at.add(SHORT_HEADER);
        loop {
            while *next == b' ' {
                next = next.add(1);
            }
            if *next == 0 {
                break;
            }
            count += 1;
            // Where the argument begins, and the room for its header.
            let (mut begin, mut head) = (at, SHORT_HEADER);
            at = at.add(head);
            loop {
                // What stands for itself is short as a rule, so it is copied byte by byte.
                let character = *next;
                if character > b'%' || !matches!(character, b' ' | b'%' | 0) {
                    if sink.lacks(at, 0) {
                        (begin, at) = grow(begin, at, 0, &mut sink)?;
                    }
                    at.write(character);
                    (next, at) = (next.add(1), at.add(1));
                    continue;
                }
                if character != b'%' {
                    break;
                }
                if sink.lacks(at, 0) {
                    (begin, at) = grow(begin, at, 0, &mut sink)?;
                }
                let piece = match *next.add(1) {
                    b's' => {
                        next = next.add(2);
                        let text = args.pointer();
                        if text.is_null() {
                            return Err(Invalid::Null);
                        }
                        Piece::Text(text.cast(), strlen(text))
                    }
                    b'b' => {
                        next = next.add(2);
                        let (text, len) = (args.pointer(), args.size());
                        if text.is_null() {
                            none_of(len)?;
                        }
                        Piece::Text(text.cast(), len)
                    }
                    b'd' => {
                        next = next.add(2);
                        let (text, len) = scratch.int(args.int(), 0);
                        Piece::Number(text, len)
                    }
                    b'0' if is_zeros(next.add(2)) => {
                        let least = usize::from(*next.add(2) - b'0');
                        next = next.add(4);
                        let (text, len) = scratch.int(args.int(), least);
                        Piece::Number(text, len)
                    }
                    // A percent sign at the very end stands for itself.
                    letter @ (b'%' | 0) => {
                        let percent = next;
                        next = next.add(1 + usize::from(letter != 0));
                        Piece::Text(percent, 1)
                    }
                    _ => {
                        let spec = Spec::read(CStr::from_ptr(next.cast()).to_bytes());
                        let spec = spec.ok_or(Invalid::Format)?;
                        let conversion = next;
                        next = next.add(spec.len);
                        match spec.plain(args) {
                            Ok((negative, digits)) => {
                                let (text, len) = match negative {
                                    false => scratch.digits(digits, spec.zeros),
                                    true => scratch.negative(digits, spec.zeros),
                                };
                                Piece::Text(text, len)
                            }
                            Err(number) => {
                                let piece = Printed { conversion, len: spec.len, number };
                                (begin, at) = piece.put(begin, at, &mut sink)?;
                                continue;
                            }
                        }
                    }
                };
                match piece {
                    Piece::Text(text, len) => {
                        if sink.lacks(at, len) {
                            (begin, at) = grow(begin, at, len, &mut sink)?;
                        }
                        if len >= 10 && at == begin.add(head) {
                            head = header(len);
                            at = begin.add(head);
                        }
                        room::copy(text, at, len);
                        at = at.add(len);
                    }
                    Piece::Number(text, len) => {
                        at.cast::<[MaybeUninit<u8>; SLACK]>()
                            .write(text.cast::<[MaybeUninit<u8>; SLACK]>().read());
                        at = at.add(len);
                    }
                }
            }
            at = close(begin, head, at);
        }
        if sink.lacks(at, 0) {
            at = sink.grow(at, 0)?;
        }
        let start = sink.start();
        let more = header(count) - SHORT_HEADER;
        if more > 0 {
            at = move_by(start.add(SHORT_HEADER), more.cast_signed(), at);
        }
        put_header(start, b'*', count);
        let len = sink.len(at);
        if len > LONGEST { Err(Invalid::Size) } else { Ok(len) }
    }
}

/// NULL will do for no bytes.
#[cold]
#[inline(never)]
fn none_of(len: usize) -> Result<(), Invalid> {
    if len == 0 { Ok(()) } else { Err(Invalid::Null) }
}

/// Makes room for `len` bytes at `at`, in an argument that begins at `begin`: gives where both
/// are now.
#[cold]
#[inline(never)]
fn grow(begin: *mut u8, at: *mut u8, len: usize, sink: &mut Sink<'_>) -> Result<(*mut u8, *mut u8), Invalid> {
    // What is too long is refused before it is copied.
    if len > LONGEST.saturating_sub(sink.len(at) + AROUND) {
        return Err(Invalid::Size);
    }
    let written = at.addr() - begin.addr();
    let at = sink.grow(at, len)?;
    Ok((at.wrapping_sub(written), at))
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

impl Scratch {
    /// As `digits`, for an int.
    #[inline(always)]
    fn int(&mut self, value: c_int, least: usize) -> (*const u8, usize) {
        match u32::try_from(value) {
            Ok(value) => self.digits(value.into(), least),
            Err(_) => self.negative(value.unsigned_abs().into(), least),
        }
    }

    /// The text of a number, filled up with zeros to so many characters, MOST_ZEROS at most.
    #[inline(always)]
    fn digits(&mut self, number: u64, least: usize) -> (*const u8, usize) {
        // SAFETY: there is room for the zeros, or for the digits of any number.
        unsafe {
            let end = self.0.as_mut_ptr_range().end.cast::<u8>().sub(SLACK);
            if least > 0 {
                end.sub(MOST_ZEROS).cast::<[u8; MOST_ZEROS]>().write([b'0'; MOST_ZEROS]);
            }
            let first = decimal::put_before(end, number);
            let len = (end.addr() - first.addr()).max(least);
            (end.sub(len), len)
        }
    }

    /// As `digits`, for the number below zero.
    #[inline(never)]
    fn negative(&mut self, number: u64, least: usize) -> (*const u8, usize) {
        let (text, len) = self.digits(number, least.saturating_sub(1));
        // SAFETY: there is room for a sign in front of the digits.
        unsafe {
            let sign = text.cast_mut().sub(1);
            sign.write(b'-');
            (sign, len + 1)
        }
    }
}

/// Ends the argument that began at `begin` with room for `head` bytes of header; gives where
/// the next one begins.
///
/// # Safety
/// It did, and there is room for a longer header and a line end.
#[inline(always)]
unsafe fn close(begin: *mut u8, head: usize, at: *mut u8) -> *mut u8 {
    let len = at.addr() - begin.addr() - head;
    // SAFETY: the caller's promise.
    unsafe {
        let fits = if len < 10 { head == 4 } else { len < 100 && head == 5 };
        let at = if fits { at } else { set_head(begin, head, len, at) };
        put_header(begin, b'$', len);
        put_line_end(at)
    }
}

/// Makes room for the header of `len` bytes at `begin`, where there is room for `head` bytes of
/// header; gives where they end.
///
/// # Safety
/// As for `close`.
#[inline(never)]
unsafe fn set_head(begin: *mut u8, head: usize, len: usize, at: *mut u8) -> *mut u8 {
    let real = header(len);
    // SAFETY: the caller's promise.
    unsafe {
        if real == head { at } else { move_by(begin.add(head), real.cast_signed() - head.cast_signed(), at) }
    }
}

/// Moves what is written from `from` to `at` on by so many bytes; gives where it ends.
///
/// # Safety
/// There is room for them, and what is moved over is not needed.
#[cold]
unsafe fn move_by(from: *mut u8, by: isize, at: *mut u8) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        ptr::copy(from, from.offset(by), at.addr() - from.addr());
        at.offset(by)
    }
}

/// A piece that is a number as the C library prints it, by the first `len` bytes of
/// `conversion`.
struct Printed {
    conversion: *const u8,
    len: usize,
    number: Number,
}

impl Printed {
    /// Writes it. Gives where the argument begins, and where the piece ends.
    ///
    /// # Safety
    /// The conversion is for a number of this type.
    #[cold]
    unsafe fn put(
        &self,
        begin: *mut u8,
        at: *mut u8,
        sink: &mut Sink<'_>,
    ) -> Result<(*mut u8, *mut u8), Invalid> {
        let mut spec = [0u8; SPEC_MAX + 1];
        // SAFETY: the caller's promise, each time; there is room for the NUL that the C library
        // adds.
        unsafe {
            ptr::copy_nonoverlapping(self.conversion, spec.as_mut_ptr(), self.len.min(SPEC_MAX));
            let spec = CStr::from_bytes_until_nul(&spec).map_err(|_| Invalid::Format)?;
            let len = self.number.print(spec, UninitSlice::new(&mut [])).ok_or(Invalid::Format)?;
            let (mut begin, mut at) = (begin, at);
            if sink.lacks(at, len) {
                (begin, at) = grow(begin, at, len, sink)?;
            }
            self.number.print(spec, UninitSlice::from_raw_parts_mut(at, len + 1));
            Ok((begin, at.add(len)))
        }
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
        // A width of more digits than these is left to the C library, and so are more zeros.
        simple = simple && digits.len() <= 4;
        let zeros = if simple { digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0')) } else { 0 };
        simple = simple && zeros <= MOST_ZEROS;
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
    use crate::resp::write::tests::{written, written_to};

    /// The command as text, with `|` for CR LF.
    fn format(text: &CStr, args: &[Arg]) -> Result<String, Invalid> {
        // SAFETY: the list checks that the arguments are what the format asks for.
        let bytes = written(|sink| unsafe { write(text.as_ptr(), &mut List::new(args), sink) })?;
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
    fn pieces_fit_any_room() {
        let int = |n| Arg::Number(Number::Int(n));
        let args = [int(i32::MIN), int(1), int(-1), int(2_000_000_000), int(7), int(i32::MIN)];
        let digits = "-21474836481-0000120000000007-2147483648";
        for room in 0..180 {
            for literal in 0..40 {
                let literal = "x".repeat(literal);
                let text = std::ffi::CString::new(format!("{literal}%d%d%06d%d%d%d %d")).unwrap();
                let mut args = args.to_vec();
                args.push(int(1_234_567_890));
                let mut list = List::new(&args);
                // SAFETY: the list checks that the arguments are what the format asks for.
                let bytes =
                    written_to(room, |sink| unsafe { write(text.as_ptr(), &mut list, sink) }).unwrap();
                let len = literal.len() + digits.len();
                let want = format!("*2\r\n${len}\r\n{literal}{digits}\r\n$10\r\n1234567890\r\n");
                assert_eq!(String::from_utf8(bytes).unwrap(), want);
            }
        }
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
