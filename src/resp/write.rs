//! Writes commands: `*<argc>`, then `$<length>` and the bytes of each argument.
//!
//! A command goes straight to where it is sent from. `Sink` is the room there, which its
//! owner makes larger when it is used up; what was written becomes part of the output only
//! when all is well.

use core::ffi::{c_char, c_int};
use core::ptr;

use libc::strlen;

use crate::alloc::{self, OutOfMemory};
use crate::decimal::{self, Decimal};
use crate::room;
use crate::sds::Sds;

/// Room beyond what is asked for: any header, line ends, and a NUL.
pub(crate) const AROUND: usize = 32;
/// What most commands fit.
const FIRST_ROOM: usize = 160;

/// Why there is no command.
// As wide as a length, so that either travels in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Invalid {
    /// The format has a conversion that is not served.
    Format,
    /// NULL for a format, for a `%s`, or for a `%b` that is not empty.
    Null,
    /// The arguments are not a vector, or not texts, or more than can be counted.
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

/// Who owns the memory that a command is written to.
pub(crate) trait Owner {
    /// Makes room for `need` bytes in all, of which the first `len` are written. Gives where
    /// they are now, and how much room there is.
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory>;
}

/// Where a command is being written. Whoever writes keeps the place, so that loops have it in
/// a register.
pub(crate) struct Sink<'a> {
    start: *mut u8,
    /// Every place below it has AROUND bytes and one more; 0 if there is no such place.
    limit: usize,
    owner: &'a mut dyn Owner,
}

impl<'a> Sink<'a> {
    /// # Safety
    /// `room` bytes at `start` may be written; they and what the owner gives are nobody
    /// else's while the Sink lives.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8, room: usize, owner: &'a mut dyn Owner) -> Sink<'a> {
        // SAFETY: the caller's promise.
        let limit = unsafe { limit(start, room) };
        Sink { start, limit, owner }
    }

    /// Where the command begins.
    #[inline(always)]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    /// How much is written, up to `at`.
    #[inline(always)]
    pub(crate) fn len(&self, at: *mut u8) -> usize {
        at.addr() - self.start.addr()
    }

    /// Whether there is no room for `n` bytes at `at`, and AROUND.
    #[inline(always)]
    pub(crate) fn lacks(&self, at: *mut u8, n: usize) -> bool {
        !matches!(self.limit.checked_sub(at.addr()), Some(room) if room > n)
    }

    /// Makes room for `n` bytes at `at`, and AROUND. Gives where `at` is now.
    #[cold]
    #[inline(never)]
    pub(crate) fn grow(&mut self, at: *mut u8, more: usize) -> Result<*mut u8, Invalid> {
        let len = self.len(at);
        let need = len.checked_add(more).and_then(|n| n.checked_add(AROUND + 1));
        // What no memory can hold is a fault of who asks for it.
        let need = need.filter(|need| isize::try_from(*need).is_ok()).ok_or(Invalid::Size)?;
        let (start, room) = self.owner.grow(len, need)?;
        self.start = start;
        // SAFETY: the owner gives room there.
        self.limit = unsafe { limit(start, room) };
        Ok(start.wrapping_add(len))
    }

    /// Writes the text of an argument with its header.
    ///
    /// # Safety
    /// `len` bytes at `text` are readable; NULL is fine for none.
    #[inline(always)]
    pub(crate) unsafe fn put_argument(
        &mut self,
        mut at: *mut u8,
        text: *const u8,
        len: usize,
    ) -> Result<*mut u8, Invalid> {
        if self.lacks(at, len) {
            at = self.grow(at, len)?;
        }
        // SAFETY: the caller's promise; there is room for the text and what is around it.
        unsafe {
            let at = put_header(at, b'$', len);
            room::copy(text, at, len);
            Ok(put_line_end(at.add(len)))
        }
    }
}

/// # Safety
/// As for `Sink::new`.
#[inline(always)]
unsafe fn limit(start: *mut u8, room: usize) -> usize {
    // SAFETY: memory does not go round the end of the address space.
    if room > AROUND { unsafe { start.addr().unchecked_add(room - AROUND) } } else { 0 }
}

/// Writes a line with a mark and a number; gives where it ends.
///
/// # Safety
/// There is room for it.
#[inline(always)]
pub(crate) unsafe fn put_header(at: *mut u8, mark: u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        if n < 10 {
            at.cast::<[u8; 4]>().write_unaligned([mark, b'0' + n as u8, b'\r', b'\n']);
            at.add(4)
        } else if n < 100 {
            let digits = u32::from(u16::from_le_bytes(decimal::pair(n)));
            let line = u32::from_le_bytes([mark, 0, 0, b'\r']) | digits << 8;
            at.cast::<[u8; 4]>().write_unaligned(line.to_le_bytes());
            at.add(4).write(b'\n');
            at.add(5)
        } else {
            put_long_header(at, mark, n)
        }
    }
}

/// # Safety
/// As for `put_header`.
#[inline(never)]
unsafe fn put_long_header(at: *mut u8, mark: u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        if n < 1000 {
            let ([_, hundreds], [tens, ones]) = (decimal::pair(n / 100), decimal::pair(n % 100));
            at.cast::<[u8; 4]>().write([mark, hundreds, tens, ones]);
            return put_line_end(at.add(4));
        }
        let decimal = Decimal::unsigned(n as u64);
        let digits = decimal.as_bytes();
        at.write(mark);
        room::copy(digits.as_ptr(), at.add(1), digits.len());
        put_line_end(at.add(1 + digits.len()))
    }
}

/// Ends a line; gives where the next one begins.
///
/// # Safety
/// There is room for it.
#[inline(always)]
pub(crate) unsafe fn put_line_end(at: *mut u8) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        at.cast::<[u8; 2]>().write_unaligned(*b"\r\n");
        at.add(2)
    }
}

/// Writes a command from an argument vector as C passes it. NULL where there must be a
/// text, or a negative count, is refused. Gives its length.
///
/// # Safety
/// As for redisCommandArgv: `argc` pointers at `argv`, and, unless `argvlen` is NULL, `argc`
/// lengths, all readable.
#[inline(never)]
pub(crate) unsafe fn write_argv(
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
    mut sink: Sink<'_>,
) -> Result<usize, Invalid> {
    if argc < 0 || (argc > 0 && argv.is_null()) {
        return Err(Invalid::Size);
    }
    let mut at = sink.start;
    if sink.lacks(at, 0) {
        at = sink.grow(at, 0)?;
    }
    // SAFETY: the caller's promise; there is room for the header.
    unsafe {
        at = put_header(at, b'*', argc as usize);
        write_arguments(argc as usize, argv, argvlen, (0, at), sink)
    }
}

/// As `write_argv`, where it is worth a copy of the code.
///
/// # Safety
/// As for `write_argv`.
#[inline(always)]
pub(crate) unsafe fn write_argv_inline(
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
    sink: Sink<'_>,
) -> Result<usize, Invalid> {
    // SAFETY: the caller's promise, and the sink's room.
    unsafe {
        match put_first(argc, argv, argvlen, sink.start, sink.limit) {
            Some((next, at)) if next == argc as usize => Ok(sink.len(at)),
            Some(from) => write_arguments(argc as usize, argv, argvlen, from, sink),
            None => write_argv(argc, argv, argvlen, sink),
        }
    }
}

/// Writes the arguments that are not yet written, `from` which one and where.
///
/// # Safety
/// As for `write_argv`.
#[inline(never)]
unsafe fn write_arguments(
    count: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    from: (usize, *mut u8),
    mut sink: Sink<'_>,
) -> Result<usize, Invalid> {
    let (mut next, mut at) = from;
    // SAFETY: the caller's promise.
    unsafe {
        loop {
            if !argvlen.is_null() {
                (next, at) = put_short(count, argv, argvlen, (next, at), sink.limit);
            }
            if next == count {
                return Ok(sink.len(at));
            }
            let text = argv.add(next).read();
            let len = match argvlen.is_null() {
                false => argvlen.add(next).read(),
                true if text.is_null() => return Err(Invalid::Size),
                true => strlen(text),
            };
            // For no bytes it will do.
            if text.is_null() && len > 0 {
                return Err(Invalid::Size);
            }
            at = sink.put_argument(at, text.cast(), len)?;
            next += 1;
        }
    }
}

/// As `write_argv`, into room of which every place below `limit` has AROUND bytes and one more;
/// `None` if it has an argument that is long or NULL, no lengths, ten arguments or more, or not the
/// room. Some of it may be written then.
///
/// # Safety
/// As for `write_argv`; that room is there, and nobody else's.
#[inline(always)]
pub(crate) unsafe fn put_argv(
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
    start: *mut u8,
    limit: usize,
) -> Option<usize> {
    // SAFETY: the caller's promise.
    let (next, at) = unsafe { put_first(argc, argv, argvlen, start, limit)? };
    (next == argc as usize).then(|| at.addr() - start.addr())
}

/// Begins a command and writes its arguments as far as `put_short` does; `None` if it has no
/// lengths, too many arguments, or no room.
///
/// # Safety
/// As for `put_argv`.
#[inline(always)]
unsafe fn put_first(
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
    start: *mut u8,
    limit: usize,
) -> Option<(usize, *mut u8)> {
    if argvlen.is_null() || argv.is_null() || !matches!(argc, 1..10) || start.addr() >= limit {
        return None;
    }
    // SAFETY: the caller's promise; there is room for the header.
    unsafe {
        let at = put_header(start, b'*', argc as usize);
        Some(put_short(argc as usize, argv, argvlen, (0, at), limit))
    }
}

/// Writes arguments `from` one at a place on, up to one that is long, NULL, or has no room.
/// Gives which that is, and where it would be written.
///
/// # Safety
/// As for `write_argv`, with lengths; at every place below `limit` AROUND bytes and one more may be
/// written.
#[inline(always)]
unsafe fn put_short(
    count: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    from: (usize, *mut u8),
    limit: usize,
) -> (usize, *mut u8) {
    let (mut next, mut at) = from;
    // SAFETY: the caller's promise; what is below ten with all around it is less than AROUND.
    unsafe {
        while next < count {
            let (text, len) = (argv.add(next).read().cast::<u8>(), argvlen.add(next).read());
            if text.is_null() {
                break;
            }
            if len < 10 {
                if at.addr() >= limit {
                    break;
                }
                at = put_header(at, b'$', len);
            } else {
                if len > room::SHORT || at.addr() + len >= limit {
                    break;
                }
                at = put_header(at, b'$', len);
            }
            room::copy(text, at, len);
            at = put_line_end(at.add(len));
            next += 1;
        }
    }
    (next, at)
}

/// A command that is not sent from here, in a block of its own that ends in a NUL; and its length.
#[inline(always)]
pub(crate) fn to_block(
    write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
) -> Result<(*mut c_char, usize), Invalid> {
    let mut block = Block(alloc::malloc(FIRST_ROOM + 1).cast());
    if block.0.is_null() {
        return Err(Invalid::Memory);
    }
    // SAFETY: a new block of one byte more, which is for the NUL.
    let written = write(unsafe { Sink::new(block.0, FIRST_ROOM, &mut block) });
    // SAFETY: the block, of which so much is written and one byte more is there; nobody
    // else knows it.
    unsafe {
        match written {
            Ok(len) => {
                let bytes = block.0;
                bytes.add(len).write(0);
                Ok((bytes.cast(), len))
            }
            Err(why) => {
                alloc::free(block.0.cast());
                Err(why)
            }
        }
    }
}

struct Block(*mut u8);

impl Owner for Block {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        let room = need.max(len.saturating_mul(2));
        let size = room.checked_add(1).ok_or(OutOfMemory)?;
        // SAFETY: the block of its own.
        let block = unsafe { alloc::realloc(self.0.cast(), size) }.cast::<u8>();
        if block.is_null() {
            return Err(OutOfMemory);
        }
        self.0 = block;
        Ok((block, room))
    }
}

/// As `to_block`, but a string.
#[inline(always)]
pub(crate) fn to_sds(
    write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
) -> Result<(Sds, usize), Invalid> {
    let mut owner = Sds::with_short_capacity(FIRST_ROOM as u8)?;
    // SAFETY: that much room was asked for.
    let written = write(unsafe { Sink::new(owner.as_ptr().cast(), FIRST_ROOM, &mut owner) });
    match written {
        Ok(len) => {
            owner.set_len(len);
            Ok((owner, len))
        }
        Err(why) => {
            owner.free();
            Err(why)
        }
    }
}

impl Owner for Sds {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        // What is written so far moves along only as part of the text.
        self.set_len(len);
        *self = self.reserve(need - len)?;
        Ok((self.as_ptr().cast(), self.len() + self.avail()))
    }
}

/// Writes bytes that the program encoded itself.
#[inline(never)]
pub(crate) fn write_bytes(bytes: &[u8], mut sink: Sink<'_>) -> Result<usize, Invalid> {
    let mut at = sink.start();
    if sink.lacks(at, bytes.len()) {
        at = sink.grow(at, bytes.len())?;
    }
    // SAFETY: there is room.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    Ok(bytes.len())
}

/// As `write_bytes`, for `len` bytes at `from`, into room as for `put_argv`; `None` if they are more
/// than most commands have, or do not fit.
///
/// # Safety
/// They are readable; that room is there, and nobody else's.
#[inline(always)]
pub(crate) unsafe fn put_bytes(from: *const u8, len: usize, start: *mut u8, limit: usize) -> Option<usize> {
    if len > room::MEDIUM || start.addr() + len >= limit {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { room::copy_medium(from, start, len) };
    Some(len)
}

/// Bytes of a line with a type byte and this number.
#[inline(always)]
pub(crate) fn header(n: usize) -> usize {
    match n {
        0..=9 => 4,
        10..=99 => 5,
        100..=999 => 6,
        _ => long_header(n),
    }
}

#[inline(never)]
fn long_header(n: usize) -> usize {
    Decimal::unsigned(n as u64).as_bytes().len() + 3
}

#[cfg(test)]
pub(crate) mod tests {
    use core::ptr;

    use super::*;
    use crate::resp::command::tests::found;

    /// What `write` writes, into memory that has `room` at first and grows by as little as it may.
    /// Nothing may be written past it.
    pub(crate) fn written_to(
        room: usize,
        write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
    ) -> Result<Vec<u8>, Invalid> {
        const GUARD: [u8; 64] = [0xa5; 64];
        struct Mean(Vec<u8>);
        impl Mean {
            fn widen(&mut self, room: usize) -> *mut u8 {
                self.0.resize(room, 0);
                self.0.extend(GUARD);
                self.0.as_mut_ptr()
            }

            fn check(&mut self) {
                let room = self.0.len() - GUARD.len();
                assert_eq!(self.0[room..], GUARD, "written past the room");
                self.0.truncate(room);
            }
        }
        impl Owner for Mean {
            fn grow(&mut self, _: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
                self.check();
                Ok((self.widen(need), need))
            }
        }
        let mut memory = Mean(vec![]);
        let start = memory.widen(room);
        // SAFETY: that much room.
        let len = write(unsafe { Sink::new(start, room, &mut memory) });
        memory.check();
        memory.0.truncate(len?);
        Ok(memory.0)
    }

    /// As `written_to`, with no room at first.
    pub(crate) fn written(
        write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
    ) -> Result<Vec<u8>, Invalid> {
        written_to(0, write)
    }

    #[test]
    fn lengths_of_headers() {
        for n in [0, 9, 10, 99, 100, 12345, usize::MAX] {
            let line = format!("${n}\r\n");
            assert_eq!(header(n), line.len());
            let mut memory = [0; 24];
            // SAFETY: there is room for the longest number.
            let end = unsafe { put_header(memory.as_mut_ptr(), b'$', n) };
            assert_eq!(end.addr() - memory.as_ptr().addr(), line.len());
            assert_eq!(&memory[..line.len()], line.as_bytes());
        }
    }

    #[test]
    fn an_argument_vector_is_written_and_found_again() {
        let long = std::ffi::CString::new("x".repeat(1000)).unwrap();
        let texts = [c"SET", c"", c"a much longer argument", &long];
        let argv = texts.map(|t| t.as_ptr());
        // SAFETY: live C strings.
        let bytes = written(|sink| unsafe { write_argv(4, argv.as_ptr(), ptr::null(), sink) }).unwrap();
        let start = b"*4\r\n$3\r\nSET\r\n$0\r\n\r\n$22\r\na much longer argument\r\n$1000\r\nxxx";
        assert_eq!(&bytes[..start.len()], start);
        assert_eq!(found(&bytes), texts.map(|t| t.to_bytes()));
    }

    /// The arguments as they are to be written.
    pub(crate) fn encoded(args: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            bytes.extend(format!("${}\r\n", arg.len()).bytes());
            bytes.extend(arg);
            bytes.extend(b"\r\n");
        }
        bytes
    }

    #[test]
    fn an_argument_vector_fits_any_room() {
        let arg = |len: usize| (0..len).map(|n| n as u8).collect::<Vec<u8>>();
        for room in 0..200 {
            for lens in [&[0, 3, 9][..], &[10, 32, 33], &[16; 9], &[1; 10], &[99, 100, 1000], &[0; 12]] {
                let args: Vec<_> = lens.iter().map(|len| arg(*len)).collect();
                let argv: Vec<_> = args.iter().map(|arg| arg.as_ptr().cast()).collect();
                let (argc, want) = (lens.len() as c_int, encoded(&args));
                // SAFETY: `argc` texts of these lengths.
                let write = |sink: Sink<'_>| unsafe { write_argv(argc, argv.as_ptr(), lens.as_ptr(), sink) };
                assert_eq!(written_to(room, write).unwrap(), want);
                // SAFETY: the same.
                let write =
                    |sink: Sink<'_>| unsafe { write_argv_inline(argc, argv.as_ptr(), lens.as_ptr(), sink) };
                assert_eq!(written_to(room, write).unwrap(), want);
                let put = |sink: Sink<'_>| {
                    // SAFETY: the same, and the room of the sink.
                    let n = unsafe { put_argv(argc, argv.as_ptr(), lens.as_ptr(), sink.start, sink.limit) };
                    n.ok_or(Invalid::Size)
                };
                let served = argc < 10 && lens.iter().all(|len| *len <= room::SHORT);
                match written_to(room, put) {
                    Ok(bytes) => assert!(served && bytes == want),
                    Err(_) => assert!(!served || room < want.len() + 2 * AROUND),
                }
            }
        }
    }

    #[test]
    fn a_vector_without_its_texts_is_refused() {
        let argv = [c"SET".as_ptr(), ptr::null()];
        let write = |argc, lens: *const usize| {
            // SAFETY: two pointers, and lengths that fit them.
            written(|sink| unsafe { write_argv(argc, argv.as_ptr(), lens, sink) })
        };
        assert_eq!(write(2, ptr::null()), Err(Invalid::Size));
        assert_eq!(write(2, [3, 1].as_ptr()), Err(Invalid::Size));
        assert_eq!(write(2, [3, 0].as_ptr()).unwrap(), b"*2\r\n$3\r\nSET\r\n$0\r\n\r\n");
        assert_eq!(write(-1, ptr::null()), Err(Invalid::Size));
        assert_eq!(write(0, ptr::null()).unwrap(), b"*0\r\n");
    }
}
