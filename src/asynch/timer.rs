//! Timeouts: of the connect, and of the oldest command without an answer.
//!
//! An event loop has one timer per context, which each request for events sets anew.
//! So it is set to what is left for whatever waits longest, and a timer that fires
//! early, because it was set for something that is done, is set again.

use super::handle::Ac;
use super::queue::Queue;
use crate::abi::{REDIS_CONNECTED, timeval};
use crate::sys::{self, Stamp};

/// Waits so young count as new: they get their timeout to the digit.
const NEW_MS: i64 = 8;

/// What a timer that fired means.
pub(super) enum Expiry {
    /// Nothing: nobody waits, or there is no limit.
    Never,
    Later,
    Now,
}

/// The limit in force, and since when it runs if somebody waits: `sent` tells that for
/// a list of callbacks.
fn limit(ac: Ac, sent: impl Fn(Queue) -> Option<Stamp>) -> Option<(timeval, Option<Stamp>)> {
    // SAFETY: a live context; its timeouts are NULL or blocks of its own.
    let (connect, command) = unsafe {
        let c = &raw const (*ac.as_ptr()).c;
        ((*c).connect_timeout.as_ref(), (*c).command_timeout.as_ref())
    };
    let set = |tv: Option<&timeval>| tv.copied().filter(|tv| tv.tv_sec != 0 || tv.tv_usec != 0);
    if !ac.has(REDIS_CONNECTED) {
        return Some((set(connect)?, Some(ac.private().connecting_since)));
    }
    let tv = set(command)?;
    Some((tv, sent(ac.replies()).or_else(|| sent(ac.sub_replies()))))
}

/// Whether somebody needs to know when a command is sent.
#[inline(always)]
pub(super) fn is_limited(ac: Ac) -> bool {
    // SAFETY: a live context.
    unsafe { !(*ac.as_ptr()).c.command_timeout.is_null() }
}

/// When a command is sent, as far as anybody needs to know.
pub(super) fn sent_now(ac: Ac) -> Stamp {
    if is_limited(ac) { Stamp::now() } else { Stamp::NONE }
}

/// Milliseconds left of a limit; `None` if it counts as new.
fn left(tv: &timeval, since: Option<Stamp>) -> Option<i64> {
    let age = since.map_or(0, Stamp::age);
    let ms = sys::timeout_ms(tv)?;
    if age < NEW_MS { None } else { Some((ms - age).max(0)) }
}

fn from_ms(ms: i64) -> timeval {
    timeval { tv_sec: (ms / 1000) as _, tv_usec: (ms % 1000 * 1000) as _ }
}

/// Sets the event loop's timer, if there is a limit.
#[inline]
pub(super) fn schedule(ac: Ac) {
    // SAFETY: a live context.
    let possible = unsafe { (*ac.as_ptr()).ev.scheduleTimer.is_some() };
    if possible {
        set_timer(ac);
    }
}

#[inline(never)]
fn set_timer(ac: Ac) {
    // Only the first is looked at: this is called for every command.
    let Some((tv, since)) = limit(ac, Queue::front_sent) else { return };
    // A timer of no time at all would not be one.
    ac.schedule_timer(left(&tv, since).map_or(tv, |ms| from_ms(ms.max(1))));
}

/// What it means that the timer fired.
pub(super) fn expired(ac: Ac) -> Expiry {
    match limit(ac, Queue::oldest_sent) {
        Some((tv, Some(since))) if sys::timeout_ms(&tv).is_some_and(|ms| since.age() < ms) => Expiry::Later,
        Some((_, Some(_))) => Expiry::Now,
        // Before the connection is up the program may have a limit of its own.
        None if !ac.has(REDIS_CONNECTED) => Expiry::Now,
        _ => Expiry::Never,
    }
}
