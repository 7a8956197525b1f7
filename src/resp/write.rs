//! Writes commands: `*<argc>`, then `$<length>` and the bytes of each argument.
//!
//! A command goes straight to where it is sent from. `Sink` is the room there, which its
//! owner makes larger when it is used up; what was written becomes part of the output only
//! when all is well. Whoever writes tells what came out, so that nobody has to parse it.

use core::ffi::{c_char, c_int};
use core::ptr;
use core::slice;

use bytes::BufMut;
use libc::strlen;

use crate::alloc::{self, OutOfMemory};
use crate::decimal;
use crate::resp::{Int, int_line};
use crate::room::Room;
use crate::sds::Sds;

/// Who owns the memory that a command is written to.
pub(crate) trait Owner {
    /// Makes room for `need` bytes in all, of which the first `len` are written. Gives where
    /// they are now, and how much room there is.
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory>;
}

/// Memory that a command is being written to.
pub(crate) struct Sink<'a> {
    start: *mut u8,
    len: usize,
    room: usize,
    owner: &'a mut dyn Owner,
}

impl<'a> Sink<'a> {
    /// # Safety
    /// `room` bytes at `start` may be written; they and what the owner gives are nobody
    /// else's while the Sink lives.
    #[inline]
    pub(crate) unsafe fn new(start: *mut u8, room: usize, owner: &'a mut dyn Owner) -> Sink<'a> {
        Sink { start, len: 0, room, owner }
    }

    /// How much is written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What is written.
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: that many bytes are written, and nobody else changes them.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }

    /// Makes sure that `more` bytes can be written.
    #[inline]
    pub(crate) fn ensure(&mut self, more: usize) -> Result<(), OutOfMemory> {
        if self.room - self.len >= more { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let need = self.len.checked_add(more).ok_or(OutOfMemory)?;
        (self.start, self.room) = self.owner.grow(self.len, need)?;
        Ok(())
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    /// Where the rest of the room begins and ends.
    pub(crate) fn ends(&self) -> (*mut u8, *mut u8) {
        // SAFETY: both are inside the room, or at its end.
        unsafe { (self.start.add(self.len), self.start.add(self.room)) }
    }

    /// That much is written, all in all.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.room);
    }

    /// The rest of the room.
    #[inline]
    pub(crate) fn rest(&mut self) -> Room<'_> {
        // SAFETY: the room is the Sink's own.
        unsafe { Room::new(self.start.add(self.len), self.room - self.len) }
    }

    /// Takes `n` bytes that were written to the rest.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        self.len = self.len.saturating_add(n).min(self.room);
    }

    /// Moves what is written from `from` on by so many bytes, for which there is room.
    pub(crate) fn shift(&mut self, from: usize, by: isize) {
        let to = from.wrapping_add_signed(by);
        if from > self.len || to > self.room - (self.len - from) {
            return;
        }
        // SAFETY: both ranges are inside the room.
        unsafe { ptr::copy(self.start.add(from), self.start.add(to), self.len - from) };
        self.len = self.len.wrapping_add_signed(by);
    }

    /// The room from `at` to the end of what is written.
    #[inline]
    pub(crate) fn written(&mut self, at: usize) -> Room<'_> {
        let at = at.min(self.len);
        // SAFETY: inside the room.
        unsafe { Room::new(self.start.add(at), self.len - at) }
    }
}

/// A block of its own, for a command that is not sent from here.
pub(crate) struct Block(*mut u8);

impl Block {
    /// A command that `write` writes, in a block that ends in a NUL; and its length.
    pub(crate) fn with<E: From<OutOfMemory>>(
        write: impl FnOnce(&mut Sink<'_>) -> Result<Written, E>,
    ) -> Result<(*mut c_char, usize), E> {
        let mut block = Block(ptr::null_mut());
        // SAFETY: no room at all yet.
        let mut sink = unsafe { Sink::new(ptr::null_mut(), 0, &mut block) };
        let done = write(&mut sink).and_then(|_| Ok(sink.ensure(1)?));
        let (start, len) = (sink.start, sink.len);
        match done {
            Ok(()) => {
                // SAFETY: there is room for one byte more.
                unsafe { start.add(len).write(0) };
                Ok((start.cast(), len))
            }
            Err(e) => {
                // SAFETY: NULL, or a block that nobody knows yet.
                unsafe { alloc::free(block.0.cast()) };
                Err(e)
            }
        }
    }
}

impl Owner for Block {
    fn grow(&mut self, len: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
        // Enough for most commands at once.
        let room = need.max(len.saturating_mul(2)).max(160);
        let room = room.checked_add(1).ok_or(OutOfMemory)?;
        let block = if self.0.is_null() {
            alloc::malloc(room)
        } else {
            // SAFETY: the block of its own.
            unsafe { alloc::realloc(self.0.cast(), room) }
        };
        let block = block.cast::<u8>();
        if block.is_null() {
            return Err(OutOfMemory);
        }
        self.0 = block;
        Ok((block, room))
    }
}

/// What came out: how many arguments, and where the first one is.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) count: usize,
    pub(crate) name: (usize, usize),
}

/// An argument vector as C passes it, measured.
pub(crate) struct Argv {
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    size: usize,
}

impl Argv {
    /// `None` for a negative count, a NULL argument that is not empty, or a size
    /// that overflows.
    ///
    /// # Safety
    /// As for redisCommandArgv: `argc` pointers at `argv`, and, unless `argvlen` is
    /// NULL, `argc` lengths, all readable while the result is in use.
    #[inline]
    pub(crate) unsafe fn new(argc: c_int, argv: *const *const c_char, argvlen: *const usize) -> Option<Argv> {
        let argc = usize::try_from(argc).ok()?;
        if argv.is_null() && argc > 0 {
            return None;
        }
        let mut command = Argv { argc, argv, argvlen, size: 0 };
        command.size = command.short_size().or_else(|| command.exact_size())?;
        Some(command)
    }

    /// The size, if all arguments are short and none is NULL. One look at the end stands
    /// for one at each.
    #[inline]
    fn short_size(&self) -> Option<usize> {
        let (mut size, mut all, mut null) = (header(self.argc), 0, false);
        for (text, len) in self.args() {
            size = size.wrapping_add(len).wrapping_add(6 + usize::from(len > 9) + usize::from(len > 99));
            all |= len;
            null |= text.is_null();
        }
        (all < 512 && !null).then_some(size)
    }

    /// The size; `None` if an argument cannot be or the size overflows.
    #[inline(never)]
    fn exact_size(&self) -> Option<usize> {
        let mut size = header(self.argc);
        for (text, len) in self.args() {
            if text.is_null() && len > 0 {
                return None;
            }
            size = size.checked_add(len.checked_add(header(len) + 2)?)?;
        }
        Some(size)
    }

    /// The text and length of an argument. NULL where there must be a length is as long
    /// as can be, so that nobody takes it for an argument.
    ///
    /// # Safety
    /// `i` is below `argc`.
    #[inline]
    unsafe fn arg(&self, i: usize) -> (*const c_char, usize) {
        // SAFETY: the promise made to `new`.
        unsafe {
            let text = self.argv.add(i).read();
            let len = if !self.argvlen.is_null() {
                self.argvlen.add(i).read()
            } else if text.is_null() {
                usize::MAX
            } else {
                strlen(text)
            };
            (text, len)
        }
    }

    #[inline]
    fn args(&self) -> impl Iterator<Item = (*const c_char, usize)> {
        // SAFETY: below `argc`.
        (0..self.argc).map(|i| unsafe { self.arg(i) })
    }

    /// Bytes of the command.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<Written, OutOfMemory> {
        sink.ensure(self.size)?;
        let mut out = sink.rest();
        out.put_header(b'*', self.argc);
        // SAFETY: the promise made to `new`.
        unsafe { out.put_bulks(self.args().map(|(text, len)| (text.cast(), len))) };
        let written = out.written();
        sink.advance(written);
        let len = self.args().next().map_or(0, |(_, len)| len);
        Ok(Written { count: self.argc, name: (header(self.argc) + header(len), len) })
    }

    /// The command as a string.
    pub(crate) fn to_sds(&self) -> Result<Sds, OutOfMemory> {
        struct Fixed;
        impl Owner for Fixed {
            fn grow(&mut self, _: usize, _: usize) -> Result<(*mut u8, usize), OutOfMemory> {
                Err(OutOfMemory)
            }
        }
        let text = Sds::with_capacity(self.size)?;
        let mut owner = Fixed;
        // SAFETY: that much room was asked for.
        let mut sink = unsafe { Sink::new(text.tail(), self.size, &mut owner) };
        let done = self.write(&mut sink);
        let len = sink.len();
        if done.is_err() {
            text.free();
            return Err(OutOfMemory);
        }
        text.set_len(len);
        Ok(text)
    }
}

/// A command that the program encoded itself.
pub(crate) struct Ready<'a> {
    bytes: &'a [u8],
    written: Written,
}

impl<'a> Ready<'a> {
    /// Exactly one command of at least one argument, or `None`.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Ready<'a>> {
        let (count, mut rest) = length_line(b'*', bytes)?;
        let mut name = None;
        for _ in 0..count {
            let (len, text) = length_line(b'$', rest)?;
            name = name.or(Some((bytes.len() - text.len(), len)));
            rest = match text.get(len..)? {
                [b'\r', b'\n', rest @ ..] => rest,
                _ => return None,
            };
        }
        (rest.is_empty()).then_some(Ready { bytes, written: Written { count, name: name? } })
    }

    pub(crate) fn write(&self, sink: &mut Sink<'_>) -> Result<Written, OutOfMemory> {
        sink.ensure(self.bytes.len())?;
        sink.rest().put_slice(self.bytes);
        sink.advance(self.bytes.len());
        Ok(self.written)
    }
}

/// The number on a line that begins with `mark`, and what follows the line.
#[inline]
fn length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, body) = bytes.split_first()?;
    match int_line(body) {
        Int::Value(n, cr) if *first == mark => Some((usize::try_from(n).ok()?, body.get(cr + 2..)?)),
        _ => None,
    }
}

/// The arguments of a command after its name, where they were written.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    written: Written,
}

impl<'a> Args<'a> {
    pub(crate) fn new(bytes: &'a [u8], written: Written) -> Args<'a> {
        Args { bytes, written }
    }

    /// The name.
    #[inline]
    pub(crate) fn name(&self) -> Option<&'a [u8]> {
        let (start, len) = self.written.name;
        if self.written.count == 0 { None } else { self.bytes.get(start..start.checked_add(len)?) }
    }

    /// Gives each argument to `f`.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&'a [u8])) {
        let (start, len) = self.written.name;
        let mut rest = self.bytes.get(start + len + 2..).unwrap_or_default();
        while let Some((len, text)) = length_line(b'$', rest) {
            f(text.get(..len).unwrap_or_default());
            rest = text.get(len + 2..).unwrap_or_default();
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.written.count.saturating_sub(1)
    }
}

/// Bytes of a line with a type byte and this number.
#[inline]
pub(crate) fn header(n: usize) -> usize {
    decimal::len(n as u64) + 3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `write` writes, into memory that grows by as little as it may.
    pub(crate) fn written<E: From<OutOfMemory>>(
        write: impl FnOnce(&mut Sink<'_>) -> Result<Written, E>,
    ) -> Result<(Vec<u8>, Written), E> {
        struct Mean(Vec<u8>);
        impl Owner for Mean {
            fn grow(&mut self, _: usize, need: usize) -> Result<(*mut u8, usize), OutOfMemory> {
                self.0.resize(need, 0);
                Ok((self.0.as_mut_ptr(), need))
            }
        }
        let mut memory = Mean(Vec::new());
        // SAFETY: no room yet.
        let mut sink = unsafe { Sink::new(ptr::null_mut(), 0, &mut memory) };
        let written = write(&mut sink)?;
        Ok((sink.bytes().to_vec(), written))
    }

    #[test]
    fn lengths_of_headers() {
        for n in [0, 9, 10, 99, 100, 12345, usize::MAX] {
            assert_eq!(header(n), format!("${n}\r\n").len());
        }
    }

    #[test]
    fn an_argument_vector_is_written_and_found_again() {
        let texts = [c"SET", c"", c"a much longer argument"];
        let argv = texts.map(|t| t.as_ptr());
        // SAFETY: three live C strings.
        let command = unsafe { Argv::new(3, argv.as_ptr(), ptr::null()) }.unwrap();
        let (bytes, info) = written(|sink| command.write(sink)).unwrap();
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$22\r\na much longer argument\r\n");
        assert_eq!(bytes.len(), command.size());
        let args = Args::new(&bytes, info);
        let mut found = vec![args.name().unwrap()];
        args.each(&mut |arg| found.push(arg));
        assert_eq!(found, texts.map(|t| t.to_bytes()));
        assert_eq!(args.count(), 2);
    }

    #[test]
    fn a_ready_command_is_exactly_one() {
        let good = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let command = Ready::new(good).unwrap();
        let (bytes, info) = written(|sink| command.write(sink)).unwrap();
        assert_eq!(bytes, good);
        let args = Args::new(good, info);
        assert_eq!(args.name(), Some(&b"GET"[..]));
        args.each(&mut |arg| assert_eq!(arg, b"k"));
        assert_eq!(args.count(), 1);
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
