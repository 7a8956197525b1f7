//! Writes commands: `*<argc>`, then `$<length>` and the bytes of each argument.
//!
//! A command knows its exact length before the first byte is written, so that its
//! place can be reserved and the writing itself cannot fail. And it knows where its
//! arguments will lie, so that nobody has to parse what was just written.

use core::ffi::{c_char, c_int};

use bytes::BufMut;
use libc::strlen;

use crate::alloc::{self, OutOfMemory};
use crate::decimal;
use crate::resp::{Int, int_line};
use crate::room::Room;
use crate::sds::Sds;

/// Something that can be sent.
pub(crate) trait Command {
    /// Bytes that `put` writes.
    fn size(&self) -> usize;

    /// Writes the command; `out` has room for it. Gives how many bytes that were.
    fn put(&self, out: Room<'_>) -> usize;

    /// How many arguments there are, the command's name included.
    fn count(&self) -> usize;

    /// The length of the first argument.
    fn first_len(&self) -> Option<usize>;

    /// Gives the lengths of the arguments, in order.
    fn each_len(&self, f: &mut dyn FnMut(usize));

    /// The command in a block of its own, with a NUL after it.
    fn to_block(&self) -> Result<*mut c_char, OutOfMemory> {
        let size = self.size();
        let block = alloc::malloc(size.checked_add(1).ok_or(OutOfMemory)?).cast::<u8>();
        if block.is_null() {
            return Err(OutOfMemory);
        }
        // SAFETY: the block has room for the command and the NUL.
        unsafe {
            let written = self.put(Room::new(block, size));
            block.add(written).write(0);
        }
        Ok(block.cast())
    }

    /// The command as a string.
    fn to_sds(&self) -> Result<Sds, OutOfMemory> {
        let text = Sds::with_capacity(self.size())?;
        // SAFETY: that much room was asked for.
        let written = self.put(unsafe { Room::new(text.tail(), self.size()) });
        text.set_len(written);
        Ok(text)
    }
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
            size = size.checked_add(bulk_size(len)?)?;
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
}

impl Command for Argv {
    fn size(&self) -> usize {
        self.size
    }

    fn put(&self, mut out: Room<'_>) -> usize {
        out.put_header(b'*', self.argc);
        // SAFETY: the promise made to `new`.
        unsafe { out.put_bulks(self.args().map(|(text, len)| (text.cast(), len))) };
        out.written()
    }

    fn count(&self) -> usize {
        self.argc
    }

    #[inline]
    fn first_len(&self) -> Option<usize> {
        self.args().next().map(|(_, len)| len)
    }

    fn each_len(&self, f: &mut dyn FnMut(usize)) {
        self.args().for_each(|(_, len)| f(len));
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
        if count == 0 {
            return None;
        }
        for _ in 0..count {
            let (len, text) = length_line(b'$', rest)?;
            rest = text.get(len..)?.strip_prefix(b"\r\n")?;
        }
        rest.is_empty().then_some(Ready { bytes, count })
    }
}

impl Command for Ready<'_> {
    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn put(&self, mut out: Room<'_>) -> usize {
        out.put_slice(self.bytes);
        out.written()
    }

    fn count(&self) -> usize {
        self.count
    }

    fn first_len(&self) -> Option<usize> {
        length_line(b'$', first_bulk(self.count, self.bytes)).map(|(len, _)| len)
    }

    fn each_len(&self, f: &mut dyn FnMut(usize)) {
        let mut rest = first_bulk(self.count, self.bytes);
        while let Some((len, text)) = length_line(b'$', rest) {
            f(len);
            rest = text.get(len + 2..).unwrap_or_default();
        }
    }
}

/// The number on a line that begins with `mark`, and what follows the line.
fn length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, body) = bytes.split_first()?;
    match int_line(body) {
        Int::Value(n, cr) if *first == mark => Some((usize::try_from(n).ok()?, body.get(cr + 2..)?)),
        _ => None,
    }
}

/// The arguments of a command, where they lie in the bytes that it wrote.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    command: &'a dyn Command,
    written: &'a [u8],
}

impl<'a> Args<'a> {
    pub(crate) fn new(command: &'a dyn Command, written: &'a [u8]) -> Args<'a> {
        Args { command, written }
    }

    /// Gives each argument after the name to `f`.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&'a [u8])) {
        let mut rest = first_bulk(self.command.count(), self.written);
        let mut is_name = true;
        self.command.each_len(&mut |len| {
            let text = rest.get(header(len)..).unwrap_or_default();
            rest = text.get(len + 2..).unwrap_or_default();
            if !core::mem::replace(&mut is_name, false) {
                f(text.get(..len).unwrap_or_default());
            }
        });
    }

    /// How many arguments come after the name.
    pub(crate) fn count(&self) -> usize {
        self.command.count().saturating_sub(1)
    }
}

/// The name of a command, in the bytes that it wrote.
#[inline]
pub(crate) fn name<'a>(command: &impl Command, written: &'a [u8]) -> Option<&'a [u8]> {
    let len = command.first_len()?;
    let start = header(command.count()) + header(len);
    written.get(start..start.checked_add(len)?)
}

/// What follows the line with the number of arguments.
fn first_bulk(count: usize, written: &[u8]) -> &[u8] {
    written.get(header(count)..).unwrap_or_default()
}

/// Bytes of an argument in a command.
pub(crate) fn bulk_size(len: usize) -> Option<usize> {
    len.checked_add(header(len) + 2)
}

/// Bytes of a line with a type byte and this number.
#[inline]
pub(crate) fn header(n: usize) -> usize {
    decimal::len(n as u64) + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn written(command: &impl Command) -> Vec<u8> {
        let mut memory = vec![0; command.size()];
        // SAFETY: all of `memory`, which outlives the Room.
        let written = command.put(unsafe { Room::new(memory.as_mut_ptr(), memory.len()) });
        assert_eq!(written, command.size());
        memory
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
        let command = unsafe { Argv::new(3, argv.as_ptr(), core::ptr::null()) }.unwrap();
        let bytes = written(&command);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$22\r\na much longer argument\r\n");
        let mut found = vec![name(&command, &bytes).unwrap()];
        Args::new(&command, &bytes).each(&mut |arg| found.push(arg));
        assert_eq!(found, texts.map(|t| t.to_bytes()));
    }

    #[test]
    fn a_ready_command_is_exactly_one() {
        let good = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let command = Ready::new(good).unwrap();
        assert_eq!(written(&command), good);
        assert_eq!(name(&command, good), Some(&b"GET"[..]));
        let args = Args::new(&command, good);
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
