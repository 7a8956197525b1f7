//! Commands that the server does not answer: by CLIENT REPLY, and MONITOR when it monitors
//! already.
//!
//! Whether a command is answered is known when it is sent. One that is not waits in its
//! queue for its turn like others, and is then called with a NULL reply, once it has left.
//! That assumes that the server obeys. If it refuses CLIENT REPLY itself, by its access
//! rules or because it is busy, replies to commands that had their call are dropped.

use core::slice;

use crate::abi::{REDIS_REPLY_ERROR, redisReply};
use crate::asynch::queue::Tag;
use crate::resp::command::Args;

/// The argument of CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    On,
    Off,
    Skip,
}

pub(crate) struct Muting {
    /// Replies are off as of the next command.
    off: bool,
    /// The next command's reply is skipped.
    skip: bool,
    /// MULTIs that were sent since the last EXEC, DISCARD or RESET and are not answered.
    multis: u32,
    /// One that was sent since then was accepted.
    multi: bool,
    /// EXEC, DISCARD and RESET that had no turn yet.
    ends: u32,
    /// MONITOR was sent.
    monitoring: bool,
    /// Muted commands that wait for their turn.
    pub(crate) waiting: u32,
    /// Commands muted by CLIENT REPLY that had their turn, since the last reply.
    assumed: u32,
    /// RESET was one of them.
    assumed_reset: bool,
}

impl Muting {
    pub(crate) const fn new() -> Muting {
        Muting {
            off: false,
            skip: false,
            multis: 0,
            multi: false,
            ends: 0,
            monitoring: false,
            waiting: 0,
            assumed: 0,
            assumed_reset: false,
        }
    }

    /// The mode that CLIENT with these arguments asks for.
    pub(crate) fn mode(args: Args<'_>) -> Option<Mode> {
        if args.count() != 2 {
            return None;
        }
        let (mut at, mut is_reply, mut mode) = (0, false, None);
        args.each(&mut |arg| {
            let is = |word: &[u8]| arg.eq_ignore_ascii_case(word);
            match at {
                0 => is_reply = is(b"REPLY"),
                _ if is(b"ON") => mode = Some(Mode::On),
                _ if is(b"OFF") => mode = Some(Mode::Off),
                _ if is(b"SKIP") => mode = Some(Mode::Skip),
                _ => {}
            }
            at += 1;
        });
        mode.filter(|_| is_reply)
    }

    /// Whether the next command, which sets `mode` if it is a CLIENT REPLY, gets no
    /// reply.
    #[inline]
    pub(crate) fn mutes(&self, mode: Option<Mode>) -> bool {
        match mode {
            None => self.off | self.skip,
            Some(Mode::On) => self.in_multi() && (self.off || self.skip),
            Some(Mode::Off | Mode::Skip) => true,
        }
    }

    /// Whether the reply to RESET, which ends CLIENT REPLY OFF, is skipped.
    pub(crate) fn mutes_reset(&self) -> bool {
        self.skip && !self.off
    }

    /// In a transaction a change would take effect in the middle of the reply to EXEC.
    pub(crate) fn refuses(&self, mode: Option<Mode>) -> bool {
        match mode {
            None => false,
            Some(Mode::On) => self.off && self.in_multi(),
            Some(Mode::Off | Mode::Skip) => self.in_multi(),
        }
    }

    /// Notes that a MONITOR is sent. True if the server ignores it, unless it refused the
    /// one before.
    pub(crate) fn monitor_again(&mut self) -> bool {
        !self.in_multi() && core::mem::replace(&mut self.monitoring, true)
    }

    /// MONITOR was answered.
    pub(crate) fn monitor_answered(&mut self, accepted: bool) {
        self.monitoring = accepted;
    }

    /// A command was sent.
    #[inline]
    pub(crate) fn sent(&mut self, mode: Option<Mode>) {
        self.skip = false;
        match mode {
            None => {}
            Some(_) if self.in_multi() => {}
            Some(Mode::On) => self.off = false,
            Some(Mode::Off) => self.off = true,
            Some(Mode::Skip) => self.skip = !self.off,
        }
    }

    /// Commands are being queued in a transaction: none takes effect.
    pub(super) fn in_multi(&self) -> bool {
        self.multi || self.multis > 0
    }

    pub(crate) fn multi_sent(&mut self) {
        self.multis += 1;
    }

    /// A MULTI was answered. If what ends its transaction was sent already, that counts no
    /// more.
    pub(crate) fn multi_answered(&mut self, accepted: bool) {
        if self.ends == 0 {
            self.multis = self.multis.saturating_sub(1);
            self.multi |= accepted;
        }
    }

    /// EXEC or DISCARD was sent.
    pub(crate) fn end_sent(&mut self) {
        self.multis = 0;
        self.multi = false;
        self.ends += 1;
    }

    /// EXEC, DISCARD or RESET had its turn.
    pub(crate) fn end_taken(&mut self) {
        self.ends = self.ends.saturating_sub(1);
    }

    /// RESET was sent.
    pub(crate) fn reset_sent(&mut self) {
        *self = Muting {
            ends: self.ends + 1,
            waiting: self.waiting,
            assumed: self.assumed,
            assumed_reset: self.assumed_reset,
            ..Muting::new()
        };
    }

    /// A command that gets no reply had its turn; by CLIENT REPLY, or because it is a
    /// MONITOR too many.
    pub(crate) fn taken(&mut self, by_client_reply: bool, tag: Tag) {
        self.waiting = self.waiting.saturating_sub(1);
        self.assumed = self.assumed.saturating_add(by_client_reply.into());
        self.assumed_reset |= tag == Tag::Reset;
        if tag.ends_multi() {
            self.end_taken();
        }
    }

    /// Whether commands were silenced that the server may have refused to silence.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        self.assumed | self.waiting > 0
    }

    /// The server has shown that it obeys.
    pub(crate) fn assume_nothing(&mut self) {
        self.assumed = 0;
        self.assumed_reset = false;
    }

    /// A MONITOR was answered that should have been ignored.
    pub(crate) fn answered_after_all(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// A reply came. If the server refuses to be silent, gives how many commands had their
    /// turn, to which this and further replies belong; with none it can be for one that
    /// `waits`. When no reply is `expected` at all, any tells so, otherwise what it says.
    ///
    /// # Safety
    /// `reply` is live.
    pub(crate) unsafe fn refused_by(
        &mut self,
        reply: *const redisReply,
        waits: bool,
        expected: bool,
    ) -> Option<u32> {
        let (passed, reset) = (self.assumed, self.assumed_reset);
        self.assume_nothing();
        if passed == 0 && !waits {
            return None;
        }
        // SAFETY: the caller's promise.
        if expected && !unsafe { refuses_silence(reply, reset) } {
            return None;
        }
        self.off = false;
        self.skip = false;
        Some(passed)
    }
}

/// Whether a reply is an error that CLIENT REPLY may get, perhaps after a `reset`.
///
/// # Safety
/// `reply` is live.
unsafe fn refuses_silence(reply: *const redisReply, reset: bool) -> bool {
    // SAFETY: the caller's promise; an error has a text.
    let text = unsafe {
        if (*reply).r#type != REDIS_REPLY_ERROR {
            return false;
        }
        slice::from_raw_parts((*reply).str.cast::<u8>(), (*reply).len)
    };
    // RESET ends the login, so what comes after it is refused for that.
    let closed = text.starts_with(b"NOAUTH") && !reset;
    // In these states the server refuses about everything.
    let busy = [&b"BUSY "[..], b"LOADING ", b"MASTERDOWN "].iter().any(|state| text.starts_with(state));
    closed || busy || refuses_client_reply(text)
}

/// Whether an error is about CLIENT REPLY itself: the command, not what another one says
/// about clients, nor one that has the word among its arguments, which the server quotes.
fn refuses_client_reply(text: &[u8]) -> bool {
    for with in [&b"ERR unknown command "[..], b"ERR Can't execute "] {
        if let Some(rest) = text.strip_prefix(with) {
            return names_client(rest);
        }
    }
    // "NOPERM this user has no permissions to run the 'client|reply' command", or so.
    text.starts_with(b"NOPERM") && (0..text.len()).any(|at| names_client(text.get(at..).unwrap_or_default()))
}

/// Whether a text begins with the name of the command, as servers quote it.
#[inline(never)]
fn names_client(text: &[u8]) -> bool {
    let begins = |name: &[u8]| text.get(..name.len()).is_some_and(|t| t.eq_ignore_ascii_case(name));
    [&b"'client|reply'"[..], b"'client'", b"`client`"].into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(command: &str) -> Option<Mode> {
        let words: Vec<_> = command.split(' ').collect();
        let head = format!("*{}\r\n", words.len());
        let bulks = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len()));
        let bytes: Vec<u8> = bulks.fold(head, |all, bulk| all + &bulk).into();
        if words[0] == "CLIENT" { Muting::mode(Args::new(&bytes).unwrap()) } else { None }
    }

    fn muted(commands: &[&str]) -> Vec<bool> {
        let mut muting = Muting::new();
        let one = |command: &&str| {
            let mode = mode(command);
            let muted = muting.mutes(mode);
            muting.sent(mode);
            muted
        };
        commands.iter().map(one).collect()
    }

    #[test]
    fn off_lasts_until_on() {
        let commands = ["GET", "CLIENT REPLY OFF", "GET", "CLIENT REPLY SKIP", "CLIENT reply on", "GET"];
        assert_eq!(muted(&commands), [false, true, true, true, false, false]);
    }

    #[test]
    fn skip_skips_one() {
        let commands =
            ["CLIENT REPLY SKIP", "GET", "GET", "CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "GET", "GET"];
        assert_eq!(muted(&commands), [true, true, false, true, true, true, false]);
    }

    #[test]
    fn a_refusal_names_the_command() {
        for text in [
            "NOPERM this user has no permissions to run the 'client|reply' command",
            "ERR unknown command 'CLIENT', with args beginning with: 'REPLY' 'OFF'",
            "ERR Can't execute 'client|reply': only (P|S)SUBSCRIBE",
        ] {
            assert!(refuses_client_reply(text.as_bytes()), "{text}");
        }
        for text in
            ["ERR No such client", "ERR unknown command 'clientfoo'", "NOPERM the 'client|kill' command"]
        {
            assert!(!refuses_client_reply(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn other_words_change_nothing() {
        let commands = ["CLIENT REPLY MAYBE", "CLIENT REPLY OFF now", "CLIENT LIST", "GET"];
        assert_eq!(muted(&commands), [false; 4]);
    }
}
