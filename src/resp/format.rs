//! `"SET key:%d %b"`: commands from a format string and its arguments.
//!
//! Spaces separate arguments; `%s`, `%b`, `%%` and the number conversions of printf
//! put something into one. The format is read once: it becomes a list of pieces,
//! each either bytes that lie somewhere or a number, with its length. So the command
//! knows its size before anything is written, and no piece is copied twice.

use core::ffi::{CStr, c_char, c_int};
use core::mem::MaybeUninit;
use core::slice;

use bytes::BufMut;
use bytes::buf::UninitSlice;
use libc::strlen;

use crate::alloc::{Buf, OutOfMemory};
use crate::args::{Args, Number};
use crate::decimal;
use crate::resp::write::{Command, bulk_size, header};
use crate::room::Room;

/// Why there is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The format has a conversion that is not served.
    Format,
    /// NULL for a `%s`, or for a `%b` that is not empty.
    Null,
    /// Too long to count, or no memory for the list of pieces.
    Memory,
}

impl From<OutOfMemory> for Invalid {
    fn from(_: OutOfMemory) -> Invalid {
        Invalid::Memory
    }
}

#[derive(Clone, Copy)]
struct Piece {
    what: What,
    len: usize,
    /// An argument begins here.
    first: bool,
}

#[derive(Clone, Copy)]
enum What {
    Bytes(*const u8),
    /// A number as plain decimal digits.
    Plain {
        negative: bool,
        digits: u64,
    },
    /// A number by a conversion of the C library: its text in the format and that one's
    /// length.
    Printed(*const u8, usize, Number),
}

/// Pieces that need no memory of their own; a command seldom has more.
const INLINE: usize = 16;
/// The longest conversion that is understood, without its NUL.
const SPEC_MAX: usize = 62;

/// A command, measured.
pub(crate) struct Formatted {
    inline: [MaybeUninit<Piece>; INLINE],
    /// All pieces, once there are more than INLINE.
    heap: Buf<Piece>,
    /// Pieces there are.
    filled: usize,
    argc: usize,
    size: usize,
}

impl Formatted {
    /// An empty one, to be read into: it is too large to be handed around.
    #[inline(always)]
    pub(crate) const fn new() -> Formatted {
        Formatted {
            inline: [const { MaybeUninit::uninit() }; INLINE],
            heap: Buf::new(),
            filled: 0,
            argc: 0,
            size: 0,
        }
    }

    /// Reads `format`, taking its arguments from `args`.
    ///
    /// # Safety
    /// `args` are what the format asks for, and live while the command is in use, as
    /// `format` does.
    pub(crate) unsafe fn read(&mut self, format: &CStr, args: &mut impl Args) -> Result<(), Invalid> {
        let (mut argc, mut size) = (0usize, 0usize);
        // The argument being read, if one is, and its length.
        let (mut open, mut open_len) = (false, 0usize);
        let mut rest = format.to_bytes();
        loop {
            let (what, len, used) = match rest.first() {
                Some(b' ') | None => {
                    if open {
                        argc += 1;
                        size =
                            bulk_size(open_len).and_then(|n| n.checked_add(size)).ok_or(Invalid::Memory)?;
                        (open, open_len) = (false, 0);
                    }
                    if rest.is_empty() {
                        break;
                    }
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                // SAFETY: the caller's promise.
                Some(b'%') => unsafe { conversion(rest, args) }?,
                Some(_) => {
                    let len = rest.iter().take_while(|b| !matches!(b, b' ' | b'%')).count();
                    (What::Bytes(rest.as_ptr()), len, len)
                }
            };
            self.add(Piece { what, len, first: !open })?;
            open = true;
            open_len = open_len.checked_add(len).ok_or(Invalid::Memory)?;
            rest = rest.get(used..).unwrap_or_default();
        }
        self.argc = argc;
        self.size = size.checked_add(header(argc)).ok_or(Invalid::Memory)?;
        // Formats come with functions that return an int.
        if self.size > c_int::MAX as usize {
            return Err(Invalid::Memory);
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, piece: Piece) -> Result<(), Invalid> {
        match self.inline.get_mut(self.filled) {
            Some(slot) => {
                slot.write(piece);
            }
            None => self.add_to_heap(piece)?,
        }
        self.filled += 1;
        Ok(())
    }

    /// Adds a piece to the heap, where the others go first.
    #[cold]
    fn add_to_heap(&mut self, piece: Piece) -> Result<(), OutOfMemory> {
        if self.heap.len() == 0 {
            self.heap.reserve(2 * INLINE)?;
            for slot in &self.inline {
                // SAFETY: every slot is written by the time one more is needed.
                self.heap.push(unsafe { slot.assume_init() })?;
            }
        }
        self.heap.push(piece)
    }

    #[inline]
    fn pieces(&self) -> &[Piece] {
        if self.filled > INLINE {
            return self.heap.as_slice();
        }
        // SAFETY: the first `filled` slots are written.
        unsafe { slice::from_raw_parts(self.inline.as_ptr().cast(), self.filled) }
    }

    /// The pieces of each argument.
    fn args(&self) -> impl Iterator<Item = &[Piece]> {
        let mut rest = self.pieces();
        core::iter::from_fn(move || {
            let (_, more) = rest.split_first()?;
            let len = 1 + more.iter().take_while(|piece| !piece.first).count();
            let arg = rest.get(..len)?;
            rest = rest.get(len..)?;
            Some(arg)
        })
    }
}

fn total(arg: &[Piece]) -> usize {
    // Did not overflow when it was read.
    arg.iter().fold(0, |len: usize, piece| len.wrapping_add(piece.len))
}

impl Command for Formatted {
    fn size(&self) -> usize {
        self.size
    }

    fn put(&self, mut out: Room<'_>) -> usize {
        out.put_header(b'*', self.argc);
        for arg in self.args() {
            // SAFETY: the promise made to `read`.
            unsafe {
                if let [Piece { what: What::Bytes(text), len, .. }] = *arg {
                    out.put_bulks([(text, len)].into_iter());
                } else {
                    out.put_header(b'$', total(arg));
                    arg.iter().for_each(|piece| put_piece(&mut out, piece));
                    out.put(*b"\r\n");
                }
            }
        }
        out.written()
    }

    fn count(&self) -> usize {
        self.argc
    }

    fn first_len(&self) -> Option<usize> {
        self.args().next().map(total)
    }

    fn each_len(&self, f: &mut dyn FnMut(usize)) {
        self.args().map(total).for_each(f);
    }
}

/// # Safety
/// The piece is of a command that may be written.
unsafe fn put_piece(out: &mut Room<'_>, piece: &Piece) {
    // SAFETY: the caller's promise.
    unsafe {
        match piece.what {
            What::Bytes(text) => out.put_text(text, piece.len),
            What::Plain { negative, digits } => {
                if negative {
                    out.put(*b"-");
                }
                out.put_digits(digits, piece.len - usize::from(negative));
            }
            What::Printed(text, spec, number) => {
                // The NUL that the C library adds is overwritten by CR LF.
                print(slice::from_raw_parts(text, spec), spec, number, out.chunk_mut());
                out.advance_mut(piece.len);
            }
        }
    }
}

/// Reads the conversion at the start of `text`; gives what it stands for, its length, and
/// the bytes that it takes in the format.
///
/// # Safety
/// As for `read`.
#[inline]
unsafe fn conversion(text: &[u8], args: &mut impl Args) -> Result<(What, usize, usize), Invalid> {
    match text.get(1) {
        // A percent sign at the very end stands for itself.
        None | Some(b'%') => Ok((What::Bytes(text.as_ptr()), 1, text.len().min(2))),
        Some(b's') => {
            let s = args.pointer();
            if s.is_null() {
                return Err(Invalid::Null);
            }
            // SAFETY: a C string, says the format.
            Ok((What::Bytes(s.cast()), unsafe { strlen(s) }, 2))
        }
        Some(b'b') => {
            let s: *const c_char = args.pointer();
            let len = args.size();
            if s.is_null() && len > 0 {
                return Err(Invalid::Null);
            }
            Ok((What::Bytes(s.cast()), len, 2))
        }
        Some(b'd' | b'i') => {
            let value = args.int();
            Ok(plain(value < 0, value.unsigned_abs().into(), 2))
        }
        Some(_) => {
            let spec = Spec::read(text).ok_or(Invalid::Format)?;
            match spec.plain(args) {
                Ok((negative, digits)) => Ok(plain(negative, digits, spec.len)),
                Err(number) => {
                    // SAFETY: the conversion and the type of its number belong together.
                    let (what, len) = unsafe { printed(text, spec.len, number) }?;
                    Ok((what, len, spec.len))
                }
            }
        }
    }
}

/// A number as plain digits, its length, and what it takes in the format.
#[inline]
fn plain(negative: bool, digits: u64, used: usize) -> (What, usize, usize) {
    (What::Plain { negative, digits }, decimal::len(digits) + usize::from(negative), used)
}

/// A piece for the C library to print, and its length.
///
/// # Safety
/// As for `print`.
#[cold]
unsafe fn printed(text: &[u8], spec: usize, number: Number) -> Result<(What, usize), Invalid> {
    // SAFETY: the caller's promise.
    let len = unsafe { print(text, spec, number, UninitSlice::new(&mut [])) }.ok_or(Invalid::Format)?;
    Ok((What::Printed(text.as_ptr(), spec, number), len))
}

/// Prints `number` by the conversion that the first `len` bytes of `text` are.
///
/// # Safety
/// The conversion is for a number of this type.
#[inline(never)]
unsafe fn print(text: &[u8], len: usize, number: Number, out: &mut UninitSlice) -> Option<usize> {
    let mut spec = [0u8; SPEC_MAX + 1];
    spec.get_mut(..len)?.copy_from_slice(text.get(..len)?);
    let spec = CStr::from_bytes_until_nul(&spec).ok()?;
    // SAFETY: the caller's promise.
    unsafe { number.print(spec, out) }
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
    /// No flags, width or precision.
    bare: bool,
}

impl Spec {
    /// Reads the conversion at the start of `text`, which begins with a percent sign.
    fn read(text: &[u8]) -> Option<Spec> {
        let skip = |from: usize, set: fn(&u8) -> bool| {
            from + text.get(from..).unwrap_or_default().iter().take_while(|b| set(b)).count()
        };
        let mut at = skip(1, |b| b"#0-+ ".contains(b));
        at = skip(at, u8::is_ascii_digit);
        if text.get(at) == Some(&b'.') {
            at = skip(at + 1, u8::is_ascii_digit);
        }
        let bare = at == 1;
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
        (at < SPEC_MAX).then_some(Spec { len: at + 1, width, letter, bare })
    }

    /// Takes the number. The plain decimal ones come as sign and digits, others are for
    /// the C library.
    fn plain(&self, args: &mut impl Args) -> Result<(bool, u64), Number> {
        let number = match self.width {
            Width::Char | Width::Short | Width::Int => Number::Int(args.int()),
            Width::Long => Number::Long(args.long()),
            Width::LongLong => Number::LongLong(args.long_long()),
            Width::Double => Number::Double(args.double()),
        };
        let signed = matches!(self.letter, b'd' | b'i');
        if !self.bare || !(signed || self.letter == b'u') {
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

    /// The command as text, with `|` for CR LF.
    fn format(text: &CStr, args: &[Arg]) -> Result<String, Invalid> {
        let mut command = Formatted::new();
        // SAFETY: the list checks that the arguments are what the format asks for.
        unsafe { command.read(text, &mut List::new(args)) }?;
        let mut memory = vec![0; command.size()];
        // SAFETY: all of `memory`, which outlives the Room.
        let written = command.put(unsafe { Room::new(memory.as_mut_ptr(), memory.len()) });
        assert_eq!(written, command.size());
        Ok(String::from_utf8(memory).unwrap().replace("\r\n", "|"))
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
