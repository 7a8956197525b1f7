//! Recognises what a server sends unasked: pub/sub frames and the lines of MONITOR.

use core::slice;

use crate::abi::*;
use crate::resp::verb::Kind;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Message,
    Subscribe,
    Unsubscribe,
}

/// A well-formed pub/sub frame.
pub(crate) struct Frame<'a> {
    pub(crate) event: Event,
    pub(crate) kind: Kind,
    /// The channel or pattern; `None` if there was none to unsubscribe from.
    pub(crate) name: Option<&'a [u8]>,
}

/// The text of a string reply.
///
/// # Safety
/// `reply` is NULL or live, and stays so while the slice is in use.
unsafe fn text<'a>(reply: *const redisReply) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise; a string has `len` bytes.
    unsafe {
        let reply = reply.as_ref()?;
        let is_text = matches!(reply.r#type, REDIS_REPLY_STRING | REDIS_REPLY_STATUS);
        (is_text && !reply.str.is_null()).then(|| slice::from_raw_parts(reply.str.cast(), reply.len))
    }
}

/// The elements of an aggregate.
///
/// # Safety
/// As for `text`.
unsafe fn elements<'a>(reply: *const redisReply) -> &'a [*mut redisReply] {
    // SAFETY: the caller's promise; an aggregate has `elements` elements.
    unsafe {
        if (*reply).element.is_null() {
            return &[];
        }
        slice::from_raw_parts((*reply).element, (*reply).elements)
    }
}

/// What kind of pub/sub frame an aggregate claims to be by its first element.
///
/// # Safety
/// `reply` is a live aggregate.
pub(crate) unsafe fn kind_of(reply: *const redisReply) -> Option<(Event, Kind)> {
    // SAFETY: the caller's promise.
    let word = unsafe {
        let first = *elements(reply).first()?;
        if first.is_null() || (*first).r#type != REDIS_REPLY_STRING {
            return None;
        }
        text(first)?
    };
    // As servers spell it, most of the time.
    if word == b"message" {
        return Some((Event::Message, Kind::Channel));
    }
    let (kind, rest) = match word.split_first()? {
        (b'p' | b'P', rest) => (Kind::Pattern, rest),
        // "subscribe" itself, of nine letters, begins with the letter that marks shards.
        (b's' | b'S', rest) if word.len() != 9 => (Kind::Shard, rest),
        _ => (Kind::Channel, word),
    };
    let (event, name): (_, &[u8]) = match rest.len() {
        7 => (Event::Message, b"message"),
        9 => (Event::Subscribe, b"subscribe"),
        11 => (Event::Unsubscribe, b"unsubscribe"),
        _ => return None,
    };
    rest.eq_ignore_ascii_case(name).then_some((event, kind))
}

/// Reads a pub/sub frame of the kind that `kind_of` gave; `None` if it is malformed.
///
/// # Safety
/// `reply` is a live aggregate, and stays so while the frame is in use.
#[inline]
pub(crate) unsafe fn frame<'a>(reply: *const redisReply, of: (Event, Kind)) -> Option<Frame<'a>> {
    // SAFETY: the caller's promise.
    unsafe {
        let (event, kind) = of;
        let parts = elements(reply);
        let name = text(*parts.get(1)?);
        let nil = (*parts.get(1)?).as_ref().is_some_and(|name| name.r#type == REDIS_REPLY_NIL);
        let count = (*parts.get(2)?).as_ref().is_some_and(|count| count.r#type == REDIS_REPLY_INTEGER);
        let well = match event {
            // A pattern's message names the channel as well.
            Event::Message => name.is_some() && (kind != Kind::Pattern || parts.len() >= 4),
            Event::Subscribe => name.is_some() && count,
            Event::Unsubscribe => (name.is_some() || nil) && count,
        };
        well.then_some(Frame { event, kind, name })
    }
}

/// Whether a reply says that a command became part of a transaction.
///
/// # Safety
/// `reply` is live.
pub(crate) unsafe fn is_queued(reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*reply).r#type == REDIS_REPLY_STATUS && text(reply) == Some(b"QUEUED") }
}

/// Whether a reply is a line of MONITOR: `1700000000.123456 [0 127.0.0.1:5000] "GET" "k"`.
///
/// # Safety
/// `reply` is live.
pub(crate) unsafe fn is_monitor_line(reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*reply).r#type != REDIS_REPLY_STATUS {
            return false;
        }
        let Some(line) = text(reply) else { return false };
        let stamp = line.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        stamp > 0 && line.get(stamp..).is_some_and(|rest| rest.starts_with(b" ["))
    }
}
