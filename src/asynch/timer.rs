//! Timeouts: of the connect, and of the oldest command without an answer.
//!
//! An event loop has one timer per context, which each request for events sets anew.
//! So it is set to what is left for whatever waits longest, and a timer that fires
//! early, because it was set for something that is done, is set again.

use super::handle::Ac;
use super::private::Stamp;
use crate::abi::{REDIS_CONNECTED, timeval};
use crate::sys;

/// Waits so young count as new: they get their timeout to the digit.
const NEW_MS: i64 = 8;
/// Between two tries to connect to a listener whose queue is full.
const RETRY_MS: i64 = 20;

/// What a timer that fired means.
pub(super) enum Expiry {
    /// Nothing: nobody waits, or there is no limit.
    Never,
    Later,
    Now,
    /// It is time to connect again.
    TryAgain,
}

/// The limit in force, and since when it runs if somebody waits.
fn limit(ac: Ac) -> Option<(timeval, Option<Stamp>)> {
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
    Some((tv, ac.replies().oldest_sent().or_else(|| ac.sub_replies().oldest_sent())))
}

/// When a command is sent, as far as anybody needs to know.
#[inline]
pub(super) fn sent_now(ac: Ac) -> Stamp {
    // SAFETY: a live context.
    if unsafe { (*ac.as_ptr()).c.command_timeout.is_null() } { Stamp::NONE } else { Stamp::now() }
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

fn set_timer(ac: Ac) {
    let limit = limit(ac);
    let left = limit.as_ref().and_then(|(tv, since)| left(tv, *since));
    if ac.private().busy {
        ac.schedule_timer(from_ms(left.unwrap_or(RETRY_MS).clamp(1, RETRY_MS)));
    } else if let Some((tv, _)) = limit {
        // A timer of no time at all would not be one.
        ac.schedule_timer(left.map_or(tv, |ms| from_ms(ms.max(1))));
    }
}

/// Connects again after a while. Without a timer the while is spent here, so that the
/// event loop does not spin.
pub(super) fn try_later(ac: Ac) {
    // SAFETY: a live context.
    if unsafe { (*ac.as_ptr()).ev.scheduleTimer.is_none() } {
        return sys::pause(2);
    }
    ac.private().busy = true;
    ac.del_read();
    ac.del_write();
    schedule(ac);
}

/// What it means that the timer fired.
pub(super) fn expired(ac: Ac) -> Expiry {
    let busy = ac.private().busy;
    let due = match limit(ac) {
        Some((tv, Some(since))) => sys::timeout_ms(&tv).is_none_or(|ms| since.age() >= ms),
        // Before the connection is up the program may call without a limit of ours.
        None if !ac.has(REDIS_CONNECTED) => !busy,
        _ => return Expiry::Never,
    };
    match (due, busy) {
        (true, _) => Expiry::Now,
        (false, true) => Expiry::TryAgain,
        (false, false) => Expiry::Later,
    }
}
