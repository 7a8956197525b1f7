//! Encoded commands, read again: whether bytes are one, and what its arguments are.
//!
//! For who has to know a command before it is sent, wherever it was written.

use crate::resp::write::header;
use crate::resp::{Int, int_line};

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
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Args<'a>> {
        let (count, bytes) = length_line(b'*', bytes)?;
        let (len, text) = length_line(b'$', bytes)?;
        Some(Args { bytes, name: text.get(..len)?, count })
    }

    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Gives each argument after the name to `f`.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&'a [u8])) {
        let name = header(self.name.len()) + self.name.len() + 2;
        let mut rest = self.bytes.get(name..).unwrap_or_default();
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

/// Whether bytes are exactly one command of at least one argument.
#[inline(never)]
pub(crate) fn is_command(bytes: &[u8]) -> bool {
    let Some((count, mut rest)) = length_line(b'*', bytes) else { return false };
    for _ in 0..count {
        let Some((len, text)) = length_line(b'$', rest) else { return false };
        let Some(end) = text.get(len..) else { return false };
        let Some((b"\r\n", next)) = end.split_first_chunk() else { return false };
        rest = next;
    }
    rest.is_empty() && count > 0
}

/// Whether `len` bytes at `start` are a command of less than ten arguments of less than ten bytes
/// each.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(crate) unsafe fn is_short_command(start: *const u8, len: usize) -> bool {
    const LINE: usize = 4;
    const EMPTY: usize = LINE + 2;
    // SAFETY: the caller's promise: each time a line, or a line end, that is not behind the last byte.
    unsafe {
        if len < LINE + EMPTY {
            return false;
        }
        let count = one_digit(b'*', start.cast::<[u8; LINE]>().read());
        let (mut left, mut at) = (count, LINE);
        if !matches!(count, 1..10) {
            return false;
        }
        while left > 0 {
            if at > len - EMPTY {
                return false;
            }
            let text = one_digit(b'$', start.add(at).cast::<[u8; LINE]>().read());
            if text > 9 {
                return false;
            }
            at += EMPTY + text as usize;
            if at > len || start.add(at - 2).cast::<[u8; 2]>().read() != *b"\r\n" {
                return false;
            }
            left -= 1;
        }
        at == len
    }
}

/// The number on a line that begins with `mark`, and what follows the line.
#[inline(always)]
fn length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    if let Some((line, rest)) = bytes.split_first_chunk() {
        let number = one_digit(mark, *line);
        if number < 10 {
            return Some((number as usize, rest));
        }
    }
    long_length_line(mark, bytes)
}

/// The number on a line of `mark` and one digit, as most have; more than nine if it is no such
/// line.
#[inline(always)]
fn one_digit(mark: u8, line: [u8; 4]) -> u32 {
    // All that is not the digit is zero then, and the digit comes last.
    let others = u32::from_le_bytes([mark, b'0', b'\r', b'\n']);
    u32::from_le_bytes(line).wrapping_sub(others).rotate_right(8)
}

#[inline(never)]
fn long_length_line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, body) = bytes.split_first()?;
    match int_line(body) {
        Int::Value(n, cr) if *first == mark => Some((usize::try_from(n).ok()?, body.get(cr + 2..)?)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::resp::write::tests::{encoded, written};
    use crate::resp::write::write_bytes;

    /// The name and the other arguments.
    pub(crate) fn found(bytes: &[u8]) -> Vec<&[u8]> {
        let args = Args::new(bytes).unwrap();
        let mut found = vec![args.name()];
        args.each(&mut |arg| found.push(arg));
        assert_eq!(args.count(), found.len() - 1);
        found
    }

    #[test]
    fn a_ready_command_is_exactly_one() {
        let good = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        assert!(is_command(good));
        let bytes = written(|sink| write_bytes(good, sink)).unwrap();
        assert_eq!(bytes, good);
        assert_eq!(found(&bytes), [&b"GET"[..], b"k"]);
        for cut in 0..good.len() {
            assert!(!is_command(&good[..cut]), "{cut}");
        }
        for bad in
            ["PING\r\n", "*0\r\n", "*-1\r\n", "*1\r\n$-1\r\n", "*2\r\n$9\r\nSUBSCRIBE\r\n$100000000\r\nx\r\n"]
        {
            assert!(!is_command(bad.as_bytes()), "{bad}");
        }
        let two = [&good[..], good].concat();
        assert!(!is_command(&two));
    }

    #[test]
    fn commands_are_told_from_other_bytes() {
        // SAFETY: all of a slice.
        let is_short = |bytes: &[u8]| unsafe { is_short_command(bytes.as_ptr(), bytes.len()) };
        let good = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nabcdefghijkl\r\n";
        let short = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        assert!(is_command(good) && !is_short(good));
        assert!(is_command(short) && is_short(short));
        for bytes in [&good[..], short] {
            for at in 0..bytes.len() {
                assert!(!is_command(&bytes[..at]) && !is_short(&bytes[..at]));
                // Any other byte there must make another command of it, or none.
                for byte in 0..=255 {
                    let mut other = bytes.to_vec();
                    other[at] = byte;
                    let same = found_or_none(&other).is_some_and(|args| encoded(&args) == other);
                    assert_eq!(is_command(&other), same);
                    assert!(!is_short(&other) || same);
                }
            }
        }
    }

    /// The arguments, if bytes are one command; read in the most simple way.
    fn found_or_none(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        fn line(mark: u8, bytes: &[u8]) -> Option<(usize, &[u8])> {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
            let number = std::str::from_utf8(bytes[..end].strip_prefix(&[mark])?).ok()?;
            Some((number.parse().ok()?, &bytes[end + 2..]))
        }
        let (count, mut rest) = line(b'*', bytes)?;
        let mut args = vec![];
        for _ in 0..count {
            let (len, text) = line(b'$', rest)?;
            args.push(text.get(..len)?.to_vec());
            rest = text.get(len + 2..)?;
        }
        (!args.is_empty()).then_some(args)
    }
}
