//! Lists of strings: cutting text into one, and joining one to a text.

use core::ffi::c_int;
use core::mem::ManuallyDrop;

use bytes::BufMut;
use memchr::memchr_iter;

use super::{Kind, Sds};
use crate::abi::sds;
use crate::alloc::{self, Buf, OutOfMemory};
use crate::room::Room;

/// A list of strings that it owns.
pub(crate) struct Tokens(Buf<Sds>);

impl Tokens {
    /// The list has a block even while it is empty: in C, NULL is failure.
    fn new() -> Result<Tokens, OutOfMemory> {
        let mut strings = Buf::new();
        strings.reserve(1)?;
        Ok(Tokens(strings))
    }

    fn push(&mut self, text: &[u8]) -> Result<(), OutOfMemory> {
        // C counts in int.
        if self.0.len() >= c_int::MAX as usize {
            return Err(OutOfMemory);
        }
        self.0.reserve(1)?;
        self.0.push(Sds::new(text)?)
    }

    /// The array and its length, for `free_tokens`.
    pub(crate) fn into_raw(self) -> (*mut sds, c_int) {
        let mut tokens = ManuallyDrop::new(self);
        let count = tokens.0.len() as c_int;
        (tokens.0.as_mut_slice().as_mut_ptr().cast(), count)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.0.as_slice().iter().for_each(|s| s.free());
    }
}

/// Frees an array of strings, and the strings.
///
/// # Safety
/// `tokens` is NULL or a block of this allocator with `count` strings, each NULL or
/// live; nobody uses any of it afterwards.
pub(crate) unsafe fn free_tokens(tokens: *mut sds, count: c_int) {
    if tokens.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        for at in 0..usize::try_from(count).unwrap_or(0) {
            if let Some(s) = Sds::from_raw(tokens.add(at).read()) {
                s.free();
            }
        }
        alloc::free(tokens.cast());
    }
}

/// The parts of `text` between occurrences of `separator`, which is not empty. An
/// empty text has none.
pub(crate) fn split(text: &[u8], separator: &[u8]) -> Result<Tokens, OutOfMemory> {
    let mut tokens = Tokens::new()?;
    if text.is_empty() {
        return Ok(tokens);
    }
    let mut rest = text;
    while let Some((part, found)) = find(rest, separator).and_then(|at| rest.split_at_checked(at)) {
        tokens.push(part)?;
        rest = found.get(separator.len()..).unwrap_or_default();
    }
    tokens.push(rest)?;
    Ok(tokens)
}

/// Where `separator` is in `text`. Separators are a few bytes, and the searcher that
/// memchr has for long ones brings in panics.
fn find(text: &[u8], separator: &[u8]) -> Option<usize> {
    let first = separator.first()?;
    let here = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(separator));
    memchr_iter(*first, text).find(here)
}

/// The words of a line, as a shell would take them: blanks separate, both kinds of
/// quotes hold together. `None` when a quote is not closed or more than a blank
/// follows the closing one, or without memory.
pub(crate) fn split_args(mut line: &[u8]) -> Option<Tokens> {
    let mut tokens = Tokens::new().ok()?;
    let mut word = Buf::new();
    loop {
        while let [first, rest @ ..] = line
            && is_blank(*first)
        {
            line = rest;
        }
        if line.is_empty() {
            return Some(tokens);
        }
        word.truncate(0);
        line = take_word(line, &mut word)?;
        tokens.push(word.as_slice()).ok()?;
    }
}

/// Moves the line's first word to `word`, without its quotes; gives the rest.
fn take_word<'a>(mut line: &'a [u8], word: &mut Buf<u8>) -> Option<&'a [u8]> {
    loop {
        line = match line {
            // Vertical tab and form feed come between words, but do not end one.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some(line),
            [b'"', rest @ ..] => return take_double_quoted(rest, word),
            [b'\'', rest @ ..] => return take_single_quoted(rest, word),
            [byte, rest @ ..] => {
                word.push(*byte).ok()?;
                rest
            }
        }
    }
}

fn take_double_quoted<'a>(mut line: &'a [u8], word: &mut Buf<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, rest) = match line {
            [] => return None,
            [b'"', rest @ ..] => return ends_word(rest),
            [b'\\', escaped @ ..] => unescape(escaped),
            [byte, rest @ ..] => (*byte, rest),
        };
        word.push(byte).ok()?;
        line = rest;
    }
}

fn take_single_quoted<'a>(mut line: &'a [u8], word: &mut Buf<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, rest) = match line {
            [] => return None,
            [b'\'', rest @ ..] => return ends_word(rest),
            [b'\\', b'\'', rest @ ..] => (b'\'', rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        word.push(byte).ok()?;
        line = rest;
    }
}

/// The byte that is meant by what follows a backslash, and what comes after it.
fn unescape(escaped: &[u8]) -> (u8, &[u8]) {
    if let [b'x', high, low, rest @ ..] = escaped
        && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
    {
        return (high << 4 | low, rest);
    }
    match escaped {
        [] => (b'\\', escaped),
        [b'n', rest @ ..] => (b'\n', rest),
        [b'r', rest @ ..] => (b'\r', rest),
        [b't', rest @ ..] => (b'\t', rest),
        [b'b', rest @ ..] => (0x08, rest),
        [b'a', rest @ ..] => (0x07, rest),
        [other, rest @ ..] => (*other, rest),
    }
}

/// What stands behind a closing quote, if the word may end there.
fn ends_word(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_blank(*byte)).then_some(rest)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

pub(crate) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The parts as one string, with `separator` between them.
pub(crate) fn join<'a>(
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    separator: &[u8],
) -> Result<Sds, OutOfMemory> {
    let mut len = 0usize;
    each(parts.clone(), separator, |piece| len = len.saturating_add(piece.len()));
    let s = Sds::with_room(Kind::growable(len), len)?;
    // SAFETY: the new string has room for `len` bytes.
    let mut room = unsafe { Room::new(s.tail(), len) };
    each(parts, separator, |piece| room.put_slice(piece));
    s.set_len(room.written());
    Ok(s)
}

fn each<'a>(parts: impl Iterator<Item = &'a [u8]>, separator: &[u8], mut put: impl FnMut(&[u8])) {
    let mut between: &[u8] = &[];
    for part in parts {
        put(between);
        put(part);
        between = separator;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings of a list, which goes the way it goes in C.
    fn strings(tokens: Tokens) -> Vec<String> {
        let (array, count) = tokens.into_raw();
        assert!(!array.is_null());
        let text = |at: c_int| {
            // SAFETY: `count` live strings are in the array until it is freed below.
            let text = unsafe { Sds::from_raw(array.add(at as usize).read()).unwrap().bytes() };
            String::from_utf8(text.to_vec()).unwrap()
        };
        let all = (0..count).map(text).collect();
        // SAFETY: array and count belong together.
        unsafe { free_tokens(array, count) };
        all
    }

    #[test]
    fn splitting_keeps_empty_parts() {
        let cases: [(&str, &str, &[&str]); 11] = [
            ("a,b,c", ",", &["a", "b", "c"]),
            (",", ",", &["", ""]),
            ("", ",", &[]),
            ("abc", ",", &["abc"]),
            ("ab", "abc", &["ab"]),
            (",a,,b,", ",", &["", "a", "", "b", ""]),
            ("a_-_b_-_c", "_-_", &["a", "b", "c"]),
            ("aaaaa", "aa", &["", "", "a"]),
            ("aab", "ab", &["a", ""]),
            ("aba", "ab", &["", "a"]),
            ("a\0b\0", "\0", &["a", "b", ""]),
        ];
        for (text, separator, expected) in cases {
            assert_eq!(strings(split(text.as_bytes(), separator.as_bytes()).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn words_of_a_line() {
        let cases: [(&str, &[&str]); 15] = [
            ("", &[]),
            (" \t\r\n\x0b\x0c ", &[]),
            ("SET key value", &["SET", "key", "value"]),
            ("  a   b  ", &["a", "b"]),
            (r#""" ''"#, &["", ""]),
            (r#"a"b c""#, &["ab c"]),
            (r#"a'b c' d"#, &["ab c", "d"]),
            (r#""\x41\x4a\x6B\xg1\x""#, &["AJkxg1x"]),
            (r#""\n\r\t\b\a\q\\\"""#, &["\n\r\t\x08\x07q\\\""]),
            (r"'it\'s \n'", &[r"it's \n"]),
            (r"a\nb", &[r"a\nb"]),
            ("a\x0bb", &["a\x0bb"]),
            ("\"a\"\x0bb", &["a", "b"]),
            ("\"a\nb\"", &["a\nb"]),
            ("a\nb", &["a", "b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(strings(split_args(line.as_bytes()).unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn quotes_must_close_and_end_the_word() {
        for line in
            [r#"""#, "'", r#"a "b"#, r#""a"b"#, "'a'b", r#""a""b""#, r#""a\"#, r#""a\""#, r"'a\'", "ok '"]
        {
            assert!(split_args(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn joining() {
        let joined = |parts: &[&str], separator: &str| {
            let s = join(parts.iter().map(|part| part.as_bytes()), separator.as_bytes()).unwrap();
            // SAFETY: the string lives until it is freed below.
            let text = String::from_utf8(unsafe { s.bytes() }.to_vec()).unwrap();
            s.free();
            text
        };
        assert_eq!(joined(&[], ","), "");
        assert_eq!(joined(&["a"], ","), "a");
        assert_eq!(joined(&["a", "", "c"], ", "), "a, , c");
        assert_eq!(joined(&["a", "b"], ""), "ab");
        let long = "x".repeat(300);
        assert_eq!(joined(&[&long, &long], "|"), format!("{long}|{long}"));
    }
}
