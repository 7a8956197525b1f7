//! Replies on their way to the callbacks that wait for them.
//!
//! A plain reply belongs to the oldest command. Who else may be meant, when the connection
//! is subscribed, monitors, is in a transaction or silenced, is decided here, by the order
//! that pubsub.rs and muting.rs keep.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use super::end::{Life, disconnect, fail, free, is_dead};
use super::handle::Ac;
use super::pubsub::{Head, Pubsub, callback_of};
use super::queue::{Callback, Tag};
use crate::abi::*;
use crate::resp::frame::{Event, Frame, frame, is_monitor_line, is_queued, kind_of};
use crate::resp::read::Reader;
use crate::resp::verb::Kind;
use crate::resp::{is_aggregate, reply};

/// Hands out every reply that the reader has.
pub(crate) fn process_callbacks(ac: Ac) {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return;
    }
    loop {
        if ac.private().muting.waiting > 0 && take_muted(ac) == Life::Ended {
            return;
        }
        let Some(reader) = ac.ctx().reader() else {
            ac.ctx().no_transport();
            return disconnect(ac);
        };
        let (reply, string) = match reader.next_inline() {
            Ok(next) => next,
            Err(broken) => {
                ac.ctx().broken(reader, broken);
                return disconnect(ac);
            }
        };
        if reply.is_null() {
            break;
        }
        // SAFETY: a native reader makes redisReply objects.
        let plain = string
            || (reader.is_native() && unsafe { (*reply.cast::<redisReply>()).r#type } != REDIS_REPLY_PUSH);
        let found = if plain { plain_callback(ac) } else { None };
        let found = found.or_else(|| message_callback(ac, reader, reply));
        let life = match found {
            Some(callback) => call_plain(ac, callback, reply),
            None => deliver(ac, reply),
        };
        if life == Life::Ended {
            return;
        }
    }
    disconnect_if_done(ac);
}

/// As `call`, for a reply of the default functions.
#[inline(always)]
fn call_plain(ac: Ac, callback: Callback, reply: *mut c_void) -> Life {
    let Some(f) = callback.f else { return ignore(ac, reply) };
    ac.call_reply(f, reply, callback.privdata);
    // One look for both, because neither is usual.
    if ac.has(REDIS_NO_AUTO_FREE_REPLIES | REDIS_FREEING) {
        return free_and_go_on(ac, reply);
    }
    // SAFETY: a reply of the default functions.
    unsafe { reply::release_inline(reply) };
    Life::Goes
}

/// After a callback: frees the reply, unless that is the program's business, and the context, if
/// the callback asked for it.
#[inline(never)]
fn free_and_go_on(ac: Ac, reply: *mut c_void) -> Life {
    if !ac.has(REDIS_NO_AUTO_FREE_REPLIES) {
        ac.ctx().drop_reply(reply);
    }
    after_callback(ac)
}

/// The callback of the oldest command, if nothing is special about it or the connection. It is
/// taken off its queue.
#[inline(always)]
fn plain_callback(ac: Ac) -> Option<Callback> {
    let private = ac.private();
    let muting = &private.muting;
    let plain = !ac.has(REDIS_SUBSCRIBED | REDIS_MONITORING)
        && !muting.is_silent()
        && private.surplus | private.unowned == 0;
    if plain { ac.replies().shift_plain(&mut private.pool) } else { None }
}

/// Calls back for commands that get no reply, once they have left and all before them
/// are answered.
#[cold]
pub(super) fn take_muted(ac: Ac) -> Life {
    while ac.head() == Head::Regular && !ac.ctx().has_output() {
        let Some((tag, muted)) = ac.oldest().front() else { break };
        if tag == Tag::MonitorAgain && !muted && ac.private().monitor.is_none() {
            // The one before was refused, so this one is the first.
            ac.oldest().set_front_tag(Tag::Monitor);
            ac.private().muting.waiting -= 1;
            break;
        }
        if tag != Tag::MonitorAgain && !muted {
            break;
        }
        if take_silent(ac, tag, muted) == Life::Ended {
            free(ac);
            return Life::Ended;
        }
    }
    Life::Goes
}

/// The oldest command gets no reply. `Ended` says that a callback freed the context, which
/// the caller has to do.
fn take_silent(ac: Ac, tag: Tag, muted: bool) -> Life {
    let Some((callback, _)) = ac.oldest().shift(&mut ac.private().pool) else { return Life::Goes };
    ac.private().muting.taken(muted, tag);
    regular_received(ac);
    let life = if tag == Tag::Reset { reset(ac) } else { Life::Goes };
    fail(ac, callback);
    if ac.has(REDIS_FREEING) { Life::Ended } else { life }
}

/// Something comes for a command behind those that the server does not answer: so it has
/// passed them, though output may be pending. They are silenced, or MONITORs while it
/// monitors already. `Ended` as for `take_silent`.
#[cold]
fn pass_unanswered(ac: Ac) -> Life {
    while ac.head() == Head::Regular
        && let Some((tag, is_muted)) = ac.oldest().front()
    {
        if !is_muted && (tag != Tag::MonitorAgain || ac.private().monitor.is_none()) {
            break;
        }
        if take_silent(ac, tag, is_muted) == Life::Ended {
            return Life::Ended;
        }
    }
    Life::Goes
}

/// Passes the commands without an answer before the confirmation that is owed next, if
/// that is what comes. `Ended` as for `take_silent`.
///
/// # Safety
/// `reply` is live.
#[cold]
unsafe fn pass_before(ac: Ac, reply: *mut redisReply) -> Life {
    // SAFETY: the caller's promise; the name is used before user code runs.
    unsafe {
        if !ac.has(REDIS_SUBSCRIBED) || !is_aggregate((*reply).r#type) {
            return Life::Goes;
        }
        let parsed = kind_of(reply).and_then(|of| frame(reply, of));
        let Some(Frame { event, kind, name }) = parsed else { return Life::Goes };
        let next = ac.pubsub().is_some_and(|pubsub| pubsub.owes_next(event, kind, name));
        if next { pass_unanswered(ac) } else { Life::Goes }
    }
}

/// A reply comes for a command behind those that the server does not answer: so it has
/// passed these, and what silenced ones should have confirmed. `Ended` as for `take_silent`.
#[cold]
fn pass_silenced(ac: Ac) -> Life {
    loop {
        if pass_unanswered(ac) == Life::Ended {
            return Life::Ended;
        }
        if !ac.pubsub().is_some_and(|pubsub| pubsub.is_head_silent()) {
            break;
        }
        if let Some(callback) = ac.pubsub().and_then(Pubsub::refused) {
            fail(ac, callback);
        }
        if ac.has(REDIS_FREEING) {
            return Life::Ended;
        }
    }
    ac.private().muting.assume_nothing();
    leave_if_idle(ac);
    Life::Goes
}

/// Ends a context that is to be disconnected and is owed nothing any more.
#[inline(never)]
pub(super) fn disconnect_if_done(ac: Ac) {
    if ac.has(REDIS_DISCONNECTING) && (ac.ctx().err() != 0 || !ac.is_pending()) {
        disconnect(ac);
    }
}

/// The callback of the subscription that a message is for. Messages come at any time, whatever
/// else is special about the connection.
#[inline]
fn message_callback(ac: Ac, reader: Reader, reply: *mut c_void) -> Option<Callback> {
    if !ac.has(REDIS_SUBSCRIBED) || !reader.is_native() {
        return None;
    }
    let reply = reply.cast::<redisReply>();
    // SAFETY: a native reader makes redisReply objects.
    unsafe {
        let push = (*reply).r#type == REDIS_REPLY_PUSH;
        if !push && !may_be_message(ac, reply) {
            return None;
        }
        let (Event::Message, kind) = kind_of(reply)? else { return None };
        let name = frame(reply, (Event::Message, kind))?.name?;
        let callback = callback_of(ac.pubsub()?.find(kind, name)?);
        if push {
            ac.set(REDIS_SUPPORTS_PUSH);
        }
        // Without a function it is not for sure whose it is.
        callback.f.map(|_| callback)
    }
}

/// Finds out whose a reply is, and hands it over.
#[inline(never)]
fn deliver(ac: Ac, reply: *mut c_void) -> Life {
    if !ac.ctx().reader().is_some_and(Reader::is_native) {
        // The program's own objects: nothing to look at but their number.
        return answer(ac, reply);
    }
    let parsed = reply.cast::<redisReply>();
    // SAFETY: a native reader makes redisReply objects.
    unsafe {
        let is_push = (*parsed).r#type == REDIS_REPLY_PUSH;
        if is_push {
            ac.set(REDIS_SUPPORTS_PUSH);
        }
        if ac.private().surplus > 0 && is_surplus(ac, parsed) {
            ac.private().surplus -= 1;
            return ignore(ac, reply);
        }
        if ac.private().muting.waiting > 0 && pass_before(ac, parsed) == Life::Ended {
            ac.ctx().drop_reply(reply);
            free(ac);
            return Life::Ended;
        }
        if is_push {
            return push(ac, parsed);
        }
        if ac.private().muting.is_silent() && refuses_silence(ac, parsed) {
            return ignore(ac, reply);
        }
    }
    if ac.has(REDIS_SUBSCRIBED | REDIS_MONITORING) {
        return ordered(ac, parsed);
    }
    answer(ac, reply)
}

/// Whether a reply is for a silenced command whose callback had its turn, because the
/// server refuses to be silent. Commands that wait are then answered like others.
///
/// # Safety
/// `reply` is live.
#[cold]
unsafe fn refuses_silence(ac: Ac, reply: *mut redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if is_line(ac, reply) || message_kind(ac, reply).is_some() {
            return false;
        }
        let waits = matches!(ac.oldest().front(), Some((_, true))) && ac.head() == Head::Regular;
        let expected = ac.owes_replies() || ac.confirmations() > 0;
        let Some(passed) = ac.private().muting.refused_by(reply, waits, expected) else { return false };
        let again = ac.replies().unmute() + ac.sub_replies().unmute();
        ac.private().muting.waiting = again;
        let unowned = &mut ac.private().unowned;
        *unowned = unowned.saturating_add(passed.saturating_sub(1));
        passed > 0
    }
}

/// Whether a reply is a line for whoever monitors.
///
/// # Safety
/// `reply` is live.
unsafe fn is_line(ac: Ac, reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    ac.has(REDIS_MONITORING) && ac.private().monitor.is_some() && unsafe { is_monitor_line(reply) }
}

/// What kind of message or news about a subscription an array of RESP2 is, if it is one.
///
/// # Safety
/// `reply` is live.
unsafe fn message_kind(ac: Ac, reply: *const redisReply) -> Option<(Event, Kind)> {
    // SAFETY: the caller's promise.
    unsafe { if may_be_message(ac, reply) { kind_of(reply) } else { None } }
}

/// Whether a reply of RESP2 may be a message. They are arrays like others, which can come only
/// while the server has confirmed a subscription, or is about to.
///
/// # Safety
/// `reply` is live.
unsafe fn may_be_message(ac: Ac, reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    let array = unsafe { (*reply).r#type == REDIS_REPLY_ARRAY };
    array
        && !(ac.private().resp3 || ac.has(REDIS_SUPPORTS_PUSH))
        && ac.pubsub().is_some_and(|pubsub| pubsub.is_listening() || pubsub.head() != Head::Regular)
}

/// Whether a reply is what comes next of a transaction whose own reply was too short for it:
/// anything but news of others.
///
/// # Safety
/// `reply` is live.
#[cold]
unsafe fn is_surplus(ac: Ac, reply: *const redisReply) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let kind = (*reply).r#type;
        match if is_aggregate(kind) { kind_of(reply) } else { None } {
            Some((event, _)) => event != Event::Message,
            None => kind != REDIS_REPLY_PUSH && !is_line(ac, reply),
        }
    }
}

/// Calls back, unless there is nobody to call, and frees the reply unless that is the
/// program's business.
fn call(ac: Ac, callback: Callback, reply: *mut c_void) -> Life {
    match callback.f {
        Some(f) => {
            ac.call_reply(f, reply, callback.privdata);
            free_and_go_on(ac, reply)
        }
        None => ignore(ac, reply),
    }
}

fn ignore(ac: Ac, reply: *mut c_void) -> Life {
    ac.ctx().drop_reply(reply);
    Life::Goes
}

#[inline]
pub(super) fn after_callback(ac: Ac) -> Life {
    if ac.has(REDIS_FREEING) {
        free(ac);
        return Life::Ended;
    }
    Life::Goes
}

/// Gives a reply to the oldest regular command.
fn answer(ac: Ac, reply: *mut c_void) -> Life {
    if ac.private().unowned > 0 {
        ac.private().unowned -= 1;
        return ignore(ac, reply);
    }
    if ac.private().muting.waiting > 0
        && matches!(ac.oldest().front(), Some((_, true)))
        && ac.owes_replies()
        && pass_silenced(ac) == Life::Ended
    {
        ac.ctx().drop_reply(reply);
        free(ac);
        return Life::Ended;
    }
    let Some((callback, tag)) = ac.oldest().shift(&mut ac.private().pool) else {
        return unexpected(ac, reply);
    };
    if ac.has(REDIS_SUBSCRIBED) {
        regular_received(ac);
    }
    if tag != Tag::Plain {
        return tagged(ac, tag, callback, reply);
    }
    call(ac, callback, reply)
}

/// A regular command has its reply, as far as subscriptions are concerned.
fn regular_received(ac: Ac) {
    if let Some(pubsub) = ac.pubsub() {
        pubsub.regular_received();
    }
}

/// A reply that nobody asked for ends the connection. If it is an error its text
/// says why: too many clients, or loading.
#[cold]
fn unexpected(ac: Ac, reply: *mut c_void) -> Life {
    let parsed = reply.cast::<redisReply>();
    // SAFETY: a native reader makes redisReply objects; an error has a text.
    unsafe {
        let native = ac.ctx().reader().is_some_and(Reader::is_native);
        if native && (*parsed).r#type == REDIS_REPLY_ERROR {
            ac.ctx().c_error(REDIS_ERR_OTHER, "", (*parsed).str);
        } else {
            ac.ctx().fail(REDIS_ERR_PROTOCOL, "Protocol error, got a reply that no command is waiting for");
        }
    }
    ac.ctx().drop_reply(reply);
    disconnect(ac);
    Life::Ended
}

#[cold]
fn malformed(ac: Ac, reply: *mut redisReply) -> Life {
    ac.ctx().fail(REDIS_ERR_PROTOCOL, "Protocol error, malformed pub/sub frame");
    ac.ctx().drop_reply(reply.cast());
    disconnect(ac);
    Life::Ended
}

/// The reply to a command that changes the mode of the connection.
#[inline(never)]
fn tagged(ac: Ac, tag: Tag, callback: Callback, reply: *mut c_void) -> Life {
    let parsed = reply.cast::<redisReply>();
    let native = ac.ctx().reader().is_some_and(Reader::is_native);
    // SAFETY: a native reader makes redisReply objects.
    let kind = if native { unsafe { (*parsed).r#type } } else { REDIS_REPLY_ERROR };
    if tag.ends_multi() {
        ac.private().muting.end_taken();
    }
    match tag {
        Tag::Monitor | Tag::MonitorAgain => {
            // SAFETY: a status is a live redisReply.
            let queued = kind == REDIS_REPLY_STATUS && unsafe { is_queued(parsed) };
            if tag == Tag::MonitorAgain {
                ac.private().muting.answered_after_all();
            }
            let accepted = kind == REDIS_REPLY_STATUS && !queued;
            // In a transaction the server refuses it only later, but does.
            if !queued {
                ac.private().muting.monitor_answered(accepted);
            }
            if accepted {
                ac.set(REDIS_MONITORING);
                ac.private().monitor = Some(callback);
            } else if ac.private().monitor.is_none() {
                ac.clear(REDIS_MONITORING);
            }
        }
        Tag::Hello if kind == REDIS_REPLY_MAP => ac.private().resp3 = true,
        Tag::Hello if kind == REDIS_REPLY_ARRAY => {
            ac.private().resp3 = false;
            ac.clear(REDIS_SUPPORTS_PUSH);
        }
        Tag::Multi => ac.private().muting.multi_answered(kind == REDIS_REPLY_STATUS),
        Tag::Reset if kind == REDIS_REPLY_STATUS && reset(ac) == Life::Ended => {
            ac.ctx().drop_reply(reply);
            return end_with(ac, callback);
        }
        Tag::Exec | Tag::Discard
            if settle(ac, tag == Tag::Exec && kind == REDIS_REPLY_ARRAY) == Life::Ended =>
        {
            ac.ctx().drop_reply(reply);
            return end_with(ac, callback);
        }
        _ => {}
    }
    call(ac, callback, reply)
}

/// Ends the context; `callback` was taken off its queue but not called yet.
fn end_with(ac: Ac, callback: Callback) -> Life {
    fail(ac, callback);
    free(ac);
    Life::Ended
}

/// The server is back to its initial state: whoever was subscribed or monitoring
/// hears nothing more. `Ended` says that a callback freed the context, which the caller
/// has to do.
#[inline(never)]
fn reset(ac: Ac) -> Life {
    ac.private().resp3 = false;
    ac.clear(REDIS_SUPPORTS_PUSH | REDIS_MONITORING);
    if settle(ac, false) == Life::Ended {
        return Life::Ended;
    }
    loop {
        let monitor = ac.private().monitor.take();
        let Some(callback) = monitor.or_else(|| ac.pubsub().and_then(Pubsub::take_active)) else { break };
        fail(ac, callback);
        if ac.has(REDIS_FREEING) {
            return Life::Ended;
        }
    }
    leave_if_idle(ac);
    Life::Goes
}

/// A transaction was executed, or not: that settles the subscriptions in it. `Ended` as
/// for `reset`.
#[inline(never)]
fn settle(ac: Ac, executed: bool) -> Life {
    while let Some((ended, extra)) = ac.pubsub().and_then(|pubsub| pubsub.settle_one(executed)) {
        ac.private().surplus += extra;
        if let Some(callback) = ended {
            fail(ac, callback);
        }
        if ac.has(REDIS_FREEING) {
            return Life::Ended;
        }
    }
    leave_if_idle(ac);
    Life::Goes
}

/// Keeps the public count true.
pub(super) fn show_unsubscriptions(ac: Ac) {
    let n = c_int::try_from(ac.pubsub().map_or(0, |pubsub| pubsub.unsubscriptions())).unwrap_or(c_int::MAX);
    // SAFETY: a live context.
    unsafe { (*ac.as_ptr()).sub.pending_unsubs = n };
}

/// Goes back to plain request and reply once nothing is subscribed.
#[inline(never)]
fn leave_if_idle(ac: Ac) {
    show_unsubscriptions(ac);
    if ac.has(REDIS_SUBSCRIBED) && ac.pubsub().is_none_or(|pubsub| pubsub.is_idle()) {
        ac.clear(REDIS_SUBSCRIBED);
        ac.replies().take_all(ac.sub_replies());
    }
}

/// A reply, not a push, on a connection that is subscribed or monitoring.
#[inline(never)]
fn ordered(ac: Ac, reply: *mut redisReply) -> Life {
    // SAFETY: a live reply.
    let kind = unsafe {
        if is_line(ac, reply)
            && let Some(monitor) = ac.private().monitor
        {
            return call(ac, monitor, reply.cast());
        }
        if let Some(of) = message_kind(ac, reply) {
            return event(ac, reply, of);
        }
        (*reply).r#type
    };
    if ac.private().unowned > 0 {
        // An older one than anything that is owed.
        return answer(ac, reply.cast());
    }
    let waits = ac.private().muting.waiting > 0
        && (ac.owes_replies() || ac.pubsub().is_some_and(|pubsub| pubsub.owes_aloud()));
    if waits && pass_silenced(ac) == Life::Ended {
        ac.ctx().drop_reply(reply.cast());
        free(ac);
        return Life::Ended;
    }
    let head = ac.head();
    // SAFETY: a live reply.
    if head != Head::Regular && unsafe { is_queued(reply) } {
        return match ac.pubsub().map_or(Ok(None), Pubsub::queue) {
            Ok(Some(callback)) => call(ac, callback, reply.cast()),
            Ok(None) => ignore(ac, reply.cast()),
            Err(oom) => {
                ac.ctx().out_of_memory(oom);
                ac.ctx().drop_reply(reply.cast());
                disconnect(ac);
                Life::Ended
            }
        };
    }
    if kind == REDIS_REPLY_ERROR && head != Head::Regular {
        // SAFETY: a live error.
        return unsafe { refused(ac, reply) };
    }
    answer(ac, reply.cast())
}

/// The error that answers a subscription. Programs that know hiredis, as Sentinel does, wait
/// for the connection to end then, and connect again: so it ends, unless anything else
/// depends on it.
///
/// # Safety
/// `reply` is a live error.
#[cold]
unsafe fn refused(ac: Ac, reply: *mut redisReply) -> Life {
    let mut text: [c_char; 128] = [0; 128];
    // SAFETY: an error has a text; the NUL behind the copy stays.
    unsafe { ptr::copy_nonoverlapping((*reply).str, text.as_mut_ptr(), (*reply).len.min(text.len() - 1)) };
    let callback = ac.pubsub().and_then(Pubsub::refused);
    leave_if_idle(ac);
    let life = match callback {
        Some(callback) => call(ac, callback, reply.cast()),
        None => ignore(ac, reply.cast()),
    };
    if life == Life::Ended
        || ac.has(REDIS_SUBSCRIBED | REDIS_MONITORING | REDIS_DISCONNECTING)
        || ac.is_pending()
        || ac.private().muting.in_multi()
    {
        return life;
    }
    if ac.ctx().err() == 0 {
        // SAFETY: a C string of this function.
        unsafe { ac.ctx().c_error(REDIS_ERR_OTHER, "", text.as_ptr()) };
    }
    disconnect(ac);
    Life::Ended
}

/// A push: pub/sub if there are subscriptions and it looks like that, anything else
/// for the push callback.
#[inline(never)]
fn push(ac: Ac, reply: *mut redisReply) -> Life {
    if ac.has(REDIS_SUBSCRIBED)
        // SAFETY: a live reply.
        && let Some(of) = unsafe { kind_of(reply) }
    {
        return event(ac, reply, of);
    }
    spontaneous(ac, reply)
}

#[inline(never)]
fn spontaneous(ac: Ac, reply: *mut redisReply) -> Life {
    ac.call_push(reply.cast());
    ac.ctx().drop_reply(reply.cast());
    after_callback(ac)
}

/// A message, or news about a subscription.
#[inline(never)]
fn event(ac: Ac, reply: *mut redisReply, of: (Event, Kind)) -> Life {
    // SAFETY: a live reply; the name in the frame is used before user code runs.
    let Some(Frame { event, kind, name }) = (unsafe { frame(reply, of) }) else {
        return malformed(ac, reply);
    };
    let Some(pubsub) = ac.pubsub() else { return ignore(ac, reply.cast()) };
    let callback = match (event, name) {
        (Event::Unsubscribe, name) => pubsub.unsubscribed(kind, name),
        (Event::Subscribe, Some(name)) => pubsub.confirm(kind, name).map(callback_of),
        (Event::Message, Some(name)) => pubsub.find(kind, name).map(callback_of),
        (_, None) => return malformed(ac, reply),
    };
    if event != Event::Message {
        leave_if_idle(ac);
    }
    // SAFETY: a live reply.
    let is_push = unsafe { (*reply).r#type } == REDIS_REPLY_PUSH;
    match callback {
        // Programs that serve sharded pub/sub through the push callback subscribe without one.
        Some(Callback { f: None, .. }) if kind == Kind::Shard && is_push => spontaneous(ac, reply),
        Some(callback) => call(ac, callback, reply.cast()),
        None => ignore(ac, reply.cast()),
    }
}
