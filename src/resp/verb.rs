//! Commands that do something to the order of replies, by name.

/// The three name spaces that Redis publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel = 0,
    Pattern = 1,
    Shard = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Subscribe(Kind),
    Unsubscribe(Kind),
    Client,
    Discard,
    Exec,
    Hello,
    Monitor,
    Multi,
    Reset,
    /// One command, one reply.
    Other,
}

impl Verb {
    /// Whether a command, as it is written, is surely `Other`: a quick look at the length of its
    /// name and the first letter, which is enough for most.
    #[inline(always)]
    pub(crate) fn is_surely_other(command: &[u8]) -> bool {
        const fn letters(all: &[u8]) -> u32 {
            let (mut set, mut i) = (0, 0);
            while i < all.len() {
                set |= 1 << (all[i] & 31);
                i += 1;
            }
            set
        }
        /// The first letters of the other verbs, by their length.
        const FIRST: [u32; 10] = {
            let mut first = [0; 10];
            first[4] = letters(b"E");
            first[5] = letters(b"HMR");
            first[6] = letters(b"C");
            first[7] = letters(b"DM");
            first[9] = letters(b"S");
            first
        };
        match command {
            [_, _, _, b'\n', _, b'0'..b'4', _, b'\n', ..] => true,
            [_, _, _, b'\n', _, len, _, b'\n', first, ..] => {
                let letters = FIRST.get(usize::from(len.wrapping_sub(b'0'))).copied();
                letters.is_some_and(|set| set & (1 << (first & 31)) == 0)
            }
            _ => false,
        }
    }

    pub(crate) fn of(name: &[u8]) -> Verb {
        let is = |verb| is_word(name, verb);
        match name.len() {
            4 if is(b"EXEC") => Verb::Exec,
            5 if is(b"HELLO") => Verb::Hello,
            5 if is(b"MULTI") => Verb::Multi,
            5 if is(b"RESET") => Verb::Reset,
            6 if is(b"CLIENT") => Verb::Client,
            7 if is(b"DISCARD") => Verb::Discard,
            7 if is(b"MONITOR") => Verb::Monitor,
            9 if is(b"SUBSCRIBE") => Verb::Subscribe(Kind::Channel),
            10 if is(b"PSUBSCRIBE") => Verb::Subscribe(Kind::Pattern),
            10 if is(b"SSUBSCRIBE") => Verb::Subscribe(Kind::Shard),
            11 if is(b"UNSUBSCRIBE") => Verb::Unsubscribe(Kind::Channel),
            12 if is(b"PUNSUBSCRIBE") => Verb::Unsubscribe(Kind::Pattern),
            12 if is(b"SUNSUBSCRIBE") => Verb::Unsubscribe(Kind::Shard),
            _ => Verb::Other,
        }
    }
}

/// Whether two words of the same length are the same, in upper or lower case.
#[inline]
fn is_word(word: &[u8], upper: &[u8]) -> bool {
    // Almost all commands are told apart by the first letter.
    word.first().map(u8::to_ascii_uppercase) == upper.first().copied() && eq_ignore_case(word, upper)
}

#[inline(never)]
fn eq_ignore_case(word: &[u8], upper: &[u8]) -> bool {
    word.eq_ignore_ascii_case(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_in_any_case() {
        assert_eq!(Verb::of(b"sUbScRiBe"), Verb::Subscribe(Kind::Channel));
        assert_eq!(Verb::of(b"SSUBSCRIBE"), Verb::Subscribe(Kind::Shard));
        assert_eq!(Verb::of(b"punsubscribe"), Verb::Unsubscribe(Kind::Pattern));
        for verb in
            ["exec", "HELLO", "Multi", "RESET", "CLIENT", "DISCARD", "monitor", "SUBSCRIBE", "punsubscribe"]
        {
            let command = format!("*2\r\n${}\r\n{verb}\r\n$1\r\nx\r\n", verb.len());
            assert!(!Verb::is_surely_other(command.as_bytes()), "{verb}");
        }
        assert!(Verb::is_surely_other(b"*1\r\n$5\r\nLPUSH\r\n"));
        assert!(Verb::is_surely_other(b"*1\r\n$3\r\nSET\r\n"));
        assert!(Verb::is_surely_other(b"*1\r\n$4\r\nPING\r\n"));
        assert!(!Verb::is_surely_other(b"*0\r\n"));
        assert!(Verb::is_surely_other(b"*1\r\n$0\r\n\r\n"));
        for other in ["", "GET", "SUBSCRIBED", "MONITOR1", "PING"] {
            assert_eq!(Verb::of(other.as_bytes()), Verb::Other, "{other}");
        }
    }
}
