//! Writes commands: `*<argc>`, then `$<length>` and the bytes of each argument.
//!
//! A command goes straight to where it is sent from. `Sink` is the room there, which its
//! owner makes larger when it is used up; what was written becomes part of the output only
//! when all is well. `Args` finds the arguments again, for who has to know the command.

use core::ffi::{c_char, c_int};

use libc::strlen;

use crate::alloc::{self, OutOfMemory};
use crate::decimal;
use crate::resp::{Int, int_line};
use crate::room;
use crate::sds::Sds;

/// Room beyond what is asked for: any header, line ends, and a NUL.
pub(crate) const AROUND: usize = 32;
/// What most commands fit.
const FIRST_ROOM: usize = 160;

/// Why there is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What came out: its bytes, and how many arguments it has.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) len: usize,
    pub(crate) count: usize,
}

/// Where a command is being written: plain pointers, so that loops keep them in registers.
pub(crate) struct Sink<'a> {
    start: *mut u8,
    at: *mut u8,
    /// Where the last AROUND bytes of the room begin.
    limit: usize,
    owner: &'a mut dyn Owner,
}

impl<'a> Sink<'a> {
    /// # Safety
    /// `room` bytes at `start` may be written; they and what the owner gives are nobody
    /// else's while the Sink lives.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8, room: usize, owner: &'a mut dyn Owner) -> Sink<'a> {
        Sink { start, at: start, limit: limit(start, room), owner }
    }

    /// The same, in the registers of a function that was given it in memory.
    #[inline(always)]
    pub(crate) fn local(self) -> Sink<'a> {
        let Sink { start, at, limit, owner } = self;
        Sink { start, at, limit, owner }
    }

    /// How much is written.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.at.addr() - self.start.addr()
    }

    /// The end of the command, which has so many arguments.
    #[inline(always)]
    pub(crate) fn done(self, count: usize) -> Written {
        Written { len: self.len(), count }
    }

    /// Makes sure of room for `n` bytes, and AROUND.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, n: usize) -> Result<(), Invalid> {
        if self.limit.saturating_sub(self.at.addr()) <= n {
            // Not by reference: the pointers would have to live in memory.
            let len = self.len();
            let (start, room) = grow(self.owner, len, n)?;
            self.at = start.wrapping_add(len);
            self.start = start;
            self.limit = limit(start, room);
        }
        Ok(())
    }

    /// Where the text of this offset is, or will be.
    #[inline(always)]
    pub(crate) fn place(&self, offset: usize) -> *mut u8 {
        self.start.wrapping_add(offset)
    }

    /// Leaves `n` bytes for later. There is room for them.
    ///
    /// # Safety
    /// They are written before the end.
    #[inline(always)]
    pub(crate) unsafe fn skip(&mut self, n: usize) {
        self.at = self.at.wrapping_add(n);
    }

    /// Writes bytes, for which there is room.
    ///
    /// # Safety
    /// `len` bytes at `text` are readable; NULL is fine for none.
    #[inline(always)]
    pub(crate) unsafe fn put(&mut self, text: *const u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { room::copy(text, self.at, len) };
        self.at = self.at.wrapping_add(len);
    }

    /// Writes a byte.
    ///
    /// # Safety
    /// There is room for it.
    #[inline(always)]
    pub(crate) unsafe fn put_byte(&mut self, byte: u8) {
        // SAFETY: the caller's promise.
        unsafe { self.at.write(byte) };
        self.at = self.at.wrapping_add(1);
    }

    /// Takes what `write` writes, which is told where and says where it ends.
    ///
    /// # Safety
    /// There is room for it.
    #[inline(always)]
    pub(crate) unsafe fn put_with(&mut self, write: impl FnOnce(*mut u8) -> *mut u8) {
        self.at = write(self.at);
    }

    /// Writes the text of an argument with its header.
    ///
    /// # Safety
    /// As for `put`.
    #[inline(always)]
    pub(crate) unsafe fn put_argument(&mut self, text: *const u8, len: usize) -> Result<(), Invalid> {
        self.reserve(len)?;
        // SAFETY: the caller's promise; there is room for the text and what is around it.
        unsafe {
            self.at = put_header(self.at, b'$', len);
            self.put(text, len);
            self.at = put_line_end(self.at);
        }
        Ok(())
    }
}

fn limit(start: *mut u8, room: usize) -> usize {
    start.addr().saturating_add(room).saturating_sub(AROUND)
}

#[cold]
#[inline(never)]
fn grow(owner: &mut dyn Owner, len: usize, more: usize) -> Result<(*mut u8, usize), Invalid> {
    let need = len.checked_add(more).and_then(|n| n.checked_add(AROUND + 1)).ok_or(Invalid::Size)?;
    Ok(owner.grow(len, need)?)
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
            let [tens, ones] = decimal::pair(n);
            at.cast::<[u8; 4]>().write_unaligned([mark, tens, ones, b'\r']);
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
    let digits = decimal::len(n as u64);
    // SAFETY: the caller's promise.
    unsafe {
        at.write(mark);
        decimal::put(at.add(1), n as u64, digits);
        put_line_end(at.add(1 + digits))
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
/// text, or a negative count, is refused.
///
/// # Safety
/// As for redisCommandArgv: `argc` pointers at `argv`, and, unless `argvlen` is NULL, `argc`
/// lengths, all readable.
#[inline]
pub(crate) unsafe fn write_argv(
    argc: c_int,
    argv: *const *const c_char,
    argvlen: *const usize,
    mut sink: Sink<'_>,
) -> Result<Written, Invalid> {
    let count = usize::try_from(argc).map_err(|_| Invalid::Size)?;
    if argv.is_null() && count > 0 {
        return Err(Invalid::Size);
    }
    sink.reserve(0)?;
    // SAFETY: the caller's promise; there is room for a header.
    unsafe {
        sink.put_with(|at| put_header(at, b'*', count));
        for i in 0..count {
            let text = argv.add(i).read();
            let len = if !argvlen.is_null() {
                argvlen.add(i).read()
            } else if text.is_null() {
                return Err(Invalid::Size);
            } else {
                strlen(text)
            };
            if text.is_null() && len > 0 {
                return Err(Invalid::Size);
            }
            sink.put_argument(text.cast(), len)?;
        }
    }
    Ok(sink.done(count))
}

/// A command that is not sent from here, in a block of its own that ends in a NUL; and its length.
#[inline(always)]
pub(crate) fn to_block(
    write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
) -> Result<(*mut c_char, usize), Invalid> {
    let mut block = Block(alloc::malloc(FIRST_ROOM + 1).cast());
    if block.0.is_null() {
        return Err(Invalid::Memory);
    }
    // SAFETY: a new block of one byte more, which is for the NUL.
    let sink = unsafe { Sink::new(block.0, FIRST_ROOM, &mut block) };
    let written = write(sink);
    // SAFETY: the block, of which so much is written and one byte more is there; nobody
    // else knows it.
    unsafe {
        match written {
            Ok(written) => {
                block.0.add(written.len).write(0);
                Ok((block.0.cast(), written.len))
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
pub(crate) fn to_sds(write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>) -> Result<Sds, Invalid> {
    let mut owner = Sds::with_capacity(FIRST_ROOM)?;
    // SAFETY: that much room was asked for.
    let sink = unsafe { Sink::new(owner.tail(), FIRST_ROOM, &mut owner) };
    match write(sink) {
        Ok(written) => {
            owner.set_len(written.len);
            Ok(owner)
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

/// A command that the program encoded itself.
pub(crate) struct Ready<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Ready<'a> {
    /// Exactly one command of at least one argument, or `None`.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Ready<'a>> {
        let (count, mut rest) = length_line(b'*', bytes)?;
        for _ in 0..count {
            let (len, text) = length_line(b'$', rest)?;
            rest = match text.get(len..)? {
                [b'\r', b'\n', rest @ ..] => rest,
                _ => return None,
            };
        }
        (rest.is_empty() && count > 0).then_some(Ready { bytes, count })
    }

    pub(crate) fn write(&self, sink: Sink<'_>) -> Result<Written, Invalid> {
        write_bytes(self.bytes, self.count, sink)
    }
}

/// Writes bytes that are said to be so many arguments.
pub(crate) fn write_bytes(bytes: &[u8], count: usize, mut sink: Sink<'_>) -> Result<Written, Invalid> {
    sink.reserve(bytes.len())?;
    // SAFETY: there is room.
    unsafe { sink.put(bytes.as_ptr(), bytes.len()) };
    Ok(sink.done(count))
}

/// The number on a line that begins with `mark`, and what follows the line.
#[inline(always)]
fn length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        // Most have one digit.
        [first, digit @ b'0'..=b'9', b'\r', b'\n', rest @ ..] if *first == mark => {
            Some((usize::from(digit - b'0'), rest))
        }
        _ => long_length_line(mark, bytes),
    }
}

#[inline(never)]
fn long_length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, body) = bytes.split_first()?;
    match int_line(body) {
        Int::Value(n, cr) if *first == mark => Some((usize::try_from(n).ok()?, body.get(cr + 2..)?)),
        _ => None,
    }
}

/// The arguments of a command, where they were written.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    /// From the first argument on.
    bytes: &'a [u8],
    name: &'a [u8],
    count: usize,
}

impl<'a> Args<'a> {
    /// `None` if there is none.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], written: Written) -> Option<Args<'a>> {
        let bytes = bytes.get(header(written.count)..)?;
        let (len, text) = length_line(b'$', bytes)?;
        Some(Args { bytes, name: text.get(..len)?, count: written.count })
    }

    #[inline(always)]
    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Gives each argument after the name to `f`.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&'a [u8])) {
        let mut rest = self.bytes.get(header(self.name.len()) + self.name.len() + 2..).unwrap_or_default();
        while let Some((len, text)) = length_line(b'$', rest) {
            f(text.get(..len).unwrap_or_default());
            rest = text.get(len + 2..).unwrap_or_default();
        }
    }

    /// How many there are after the name.
    pub(crate) fn count(&self) -> usize {
        self.count.saturating_sub(1)
    }
}

/// Bytes of a line with a type byte and this number.
#[inline]
pub(crate) fn header(n: usize) -> usize {
    decimal::len(n as u64) + 3
}

#[cfg(test)]
pub(crate) mod tests {
    use core::ptr;

    use super::*;

    /// What `write` writes, into memory that grows by as little as it may.
    pub(crate) fn written(
        write: impl FnOnce(Sink<'_>) -> Result<Written, Invalid>,
    ) -> Result<(Vec<u8>, Written), Invalid> {
        struct Mean(Vec<u8>);
        impl Owner for Mean {
            fn grow(&mut self, _: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
                self.0.resize(need, 0);
                Ok((self.0.as_mut_ptr(), need))
            }
        }
        let mut memory = Mean(Vec::new());
        // SAFETY: no room yet.
        let written = write(unsafe { Sink::new(ptr::null_mut(), 0, &mut memory) })?;
        memory.0.truncate(written.len);
        Ok((memory.0, written))
    }

    /// The name and the other arguments.
    fn found(bytes: &[u8], written: Written) -> Vec<&[u8]> {
        let args = Args::new(bytes, written).unwrap();
        let mut found = vec![args.name()];
        args.each(&mut |arg| found.push(arg));
        assert_eq!(args.count(), found.len() - 1);
        found
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
        let (bytes, info) =
            written(|sink| unsafe { write_argv(4, argv.as_ptr(), ptr::null(), sink) }).unwrap();
        let start = b"*4\r\n$3\r\nSET\r\n$0\r\n\r\n$22\r\na much longer argument\r\n$1000\r\nxxx";
        assert_eq!(&bytes[..start.len()], start);
        assert_eq!(found(&bytes, info), texts.map(|t| t.to_bytes()));
    }

    #[test]
    fn a_vector_without_its_texts_is_refused() {
        let argv = [c"SET".as_ptr(), ptr::null()];
        let write = |argc, lens: *const usize| {
            // SAFETY: two pointers, and lengths that fit them.
            written(|sink| unsafe { write_argv(argc, argv.as_ptr(), lens, sink) }).map(|(bytes, _)| bytes)
        };
        assert_eq!(write(2, ptr::null()), Err(Invalid::Size));
        assert_eq!(write(2, [3, 1].as_ptr()), Err(Invalid::Size));
        assert_eq!(write(2, [3, 0].as_ptr()).unwrap(), b"*2\r\n$3\r\nSET\r\n$0\r\n\r\n");
        assert_eq!(write(-1, ptr::null()), Err(Invalid::Size));
        assert_eq!(write(0, ptr::null()).unwrap(), b"*0\r\n");
    }

    #[test]
    fn a_ready_command_is_exactly_one() {
        let good = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let command = Ready::new(good).unwrap();
        let (bytes, info) = written(|sink| command.write(sink)).unwrap();
        assert_eq!(bytes, good);
        assert_eq!(found(&bytes, info), [&b"GET"[..], b"k"]);
        for cut in 0..good.len() {
            assert!(Ready::new(&good[..cut]).is_none(), "{cut}");
        }
        for bad in
            ["PING\r\n", "*0\r\n", "*-1\r\n", "*1\r\n$-1\r\n", "*2\r\n$9\r\nSUBSCRIBE\r\n$100000000\r\nx\r\n"]
        {
            assert!(Ready::new(bad.as_bytes()).is_none(), "{bad}");
        }
        let two = [&good[..], good].concat();
        assert!(Ready::new(&two).is_none());
    }
}
