//! The asynchronous client: commands with callbacks, driven by an event loop.
//!
//! The program's event loop calls in when the descriptor is ready (`handle_read`,
//! `handle_write`) or its timer fires; commands are appended to the output at once and
//! their callbacks queued in the order of the replies.
//!
//! Whatever calls the program may find the context marked afterwards. FREEING means
//! that nothing but `free` may follow, DISCONNECTING that no commands are accepted
//! and that the end comes when nothing is owed. Who looks at the flags after which call:
//!
//! | called | looks |
//! |---|---|
//! | reply callbacks, push callback | `after_callback`, through `deliver` |
//! | callbacks with a NULL reply | `take_silent`, `pass_silenced`, `reset`, `settle`; in `end` it is ending already |
//! | onConnect | `established`, `connect_failed`, `handle_timeout` |
//! | onDisconnect | `end`, `free`: nothing but the memory is left |
//! | event loop hooks, dataCleanup | nobody: they must not call back (async.h) |

pub(crate) mod handle;
mod muting;
mod private;
mod pubsub;
mod queue;
mod table;
mod timer;

use core::ffi::{c_int, c_void};
use core::mem::size_of;
use core::ptr;

use self::handle::Ac;
use self::muting::{Mode, Muting};
use self::private::Private;
use self::pubsub::{Head, callback_of};
use self::queue::{Node, Queue, Tag};
use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::context;
use crate::net::option;
use crate::net::{self, connect, connect::Progress};
use crate::resp::format::Invalid;
use crate::resp::frame::{Event, Frame, frame, is_monitor_line, is_queued, kind_of};
use crate::resp::is_aggregate;
use crate::resp::read::Reader;
use crate::resp::verb::{Kind, Verb};
use crate::resp::write::{Args, Sink, Written};
use crate::sys::{self, Stamp};

pub(crate) use self::queue::Callback;

/// Between two tries to connect to a unix listener whose queue is full.
const BUSY_MS: c_int = 2;

/// The command was not accepted; its callback will not be called.
#[derive(Debug)]
pub(crate) struct Refused;

/// Whether the context is still there after something that may have ended it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
enum Life {
    Goes,
    Ended,
}

/// Makes an asynchronous context and starts to connect it. `None` when there is no
/// memory for one or the type is unknown.
///
/// # Safety
/// As for `context::connect_with_options`.
pub(crate) unsafe fn connect_with_options(options: &redisOptions) -> Option<Ac> {
    let own = redisOptions {
        options: options.options | REDIS_OPT_NONBLOCK | REDIS_OPT_NO_PUSH_AUTOFREE,
        push_cb: None,
        ..*options
    };
    // First, so that without memory nothing of the program's has been taken over.
    let private = Private::create().ok()?;
    // SAFETY: the caller's promise; a redisAsyncContext begins with a redisContext, and all
    // zeroes are valid for the rest.
    let ac = unsafe {
        let c = context::connect_in(&own, size_of::<redisAsyncContext>());
        let Some(ac) = c.and_then(|c| Ac::from_raw(c.as_ptr().cast())) else {
            Private::free(private.as_ptr());
            return None;
        };
        ac
    };
    // Connected it is once the event loop has seen it.
    ac.clear(REDIS_CONNECTED);
    // SAFETY: a new context.
    unsafe {
        (*ac.as_ptr()).sub.channels = private.as_ptr().cast();
        (*ac.as_ptr()).sub.patterns = private.as_ptr().cast();
        (*ac.as_ptr()).push_cb = options.async_push_cb;
        ac.private().connecting_since = Stamp::now();
    }
    ac.mirror_error();
    Some(ac)
}

impl Ac {
    /// Commands are no longer accepted.
    fn is_closing(self) -> bool {
        self.has(REDIS_DISCONNECTING | REDIS_FREEING)
    }

    /// The server owes an answer, or there is something to send to it.
    fn is_pending(self) -> bool {
        self.owes_replies() || self.pubsub().confirmations() > 0 || self.ctx().has_output()
    }

    /// A regular command waits for its reply.
    fn owes_replies(self) -> bool {
        self.replies().oldest_sent().or_else(|| self.sub_replies().oldest_sent()).is_some()
    }
}

// Commands

/// Sends a command that `write` writes, and calls `callback` with its reply.
#[inline]
pub(crate) fn submit(
    ac: Ac,
    callback: Callback,
    write: impl FnOnce(&mut Sink<'_>) -> Result<Written, Invalid>,
) -> Result<(), Refused> {
    if ac.is_closing() || ac.ctx().err() != 0 {
        return Err(Refused);
    }
    let accept = |written, bytes: &_| register(ac, callback, Args::new(bytes, written));
    match ac.ctx().append_if(write, accept) {
        Ok(()) => {}
        Err(Invalid::Memory) => return Err(out_of_memory(ac, OutOfMemory)),
        Err(_) => return Err(Refused),
    }
    want_write(ac);
    Ok(())
}

/// Notes who gets the answer to a command. On failure nothing has changed but the error.
fn register(ac: Ac, callback: Callback, args: Args<'_>) -> Result<(), Invalid> {
    let mut mode = None;
    match Verb::of(args.name().ok_or(Invalid::Refused)?) {
        Verb::Other => regular(ac, callback, Tag::Plain, None),
        Verb::Subscribe(kind) if args.count() > 0 => subscribe(ac, kind, args, callback),
        Verb::Subscribe(_) => regular(ac, callback, Tag::Plain, None),
        Verb::Unsubscribe(_) if !ac.has(REDIS_SUBSCRIBED) => return Err(Invalid::Refused),
        Verb::Unsubscribe(kind) => unsubscribe(ac, kind, args),
        Verb::Client => {
            mode = Muting::mode(args);
            if ac.private().muting.refuses(mode) {
                return Err(Invalid::Refused);
            }
            regular(ac, callback, Tag::Plain, mode)
        }
        Verb::Discard => regular(ac, callback, Tag::Discard, None),
        Verb::Exec => regular(ac, callback, Tag::Exec, None),
        Verb::Hello => regular(ac, callback, Tag::Hello, None),
        Verb::Monitor => regular(ac, callback, Tag::Monitor, None),
        Verb::Reset => regular(ac, callback, Tag::Reset, None),
        Verb::Multi => regular(ac, callback, Tag::Multi, None),
    }?;
    ac.private().muting.sent(mode);
    Ok(())
}

#[inline(never)]
fn out_of_memory(ac: Ac, oom: OutOfMemory) -> Refused {
    ac.ctx().out_of_memory(oom);
    ac.mirror_error();
    Refused
}

/// Queues the callback of a command with one reply, or with none if replies are off.
#[inline]
fn regular(ac: Ac, callback: Callback, tag: Tag, mode: Option<Mode>) -> Result<(), OutOfMemory> {
    let muting = &mut ac.private().muting;
    let muted = if tag == Tag::Reset { muting.mutes_reset() } else { muting.mutes(mode) };
    let tag = match tag {
        Tag::Monitor if !muted && muting.monitor_again() => Tag::MonitorAgain,
        _ => tag,
    };
    let node = Node::new(&mut ac.private().spare, callback, tag, muted, timer::sent_now(ac))?;
    if ac.has(REDIS_SUBSCRIBED) {
        if let Err(oom) = ac.pubsub().regular_sent() {
            node.free();
            return Err(oom);
        }
        ac.sub_replies().push(node);
    } else {
        ac.replies().push(node);
    }
    if tag != Tag::Plain || muted {
        special_sent(ac, tag, muted);
    }
    Ok(())
}

#[inline(never)]
fn special_sent(ac: Ac, tag: Tag, muted: bool) {
    let muting = &mut ac.private().muting;
    if muted || tag == Tag::MonitorAgain {
        muting.waiting += 1;
    }
    match tag {
        Tag::Monitor if !muted => ac.set(REDIS_MONITORING),
        Tag::Multi => muting.multi_sent(),
        Tag::Exec | Tag::Discard => muting.end_sent(),
        Tag::Reset => muting.reset_sent(),
        _ => {}
    }
}

#[inline(never)]
fn subscribe(ac: Ac, kind: Kind, names: Args<'_>, callback: Callback) -> Result<(), OutOfMemory> {
    ac.pubsub().subscribe(kind, names, callback, || regular_count(ac))?;
    ac.set(REDIS_SUBSCRIBED);
    Ok(())
}

#[inline(never)]
fn unsubscribe(ac: Ac, kind: Kind, names: Args<'_>) -> Result<(), OutOfMemory> {
    ac.pubsub().unsubscribe(kind, names, || regular_count(ac))?;
    show_unsubscriptions(ac);
    Ok(())
}

fn regular_count(ac: Ac) -> usize {
    ac.replies().count() + ac.sub_replies().count()
}

fn show_unsubscriptions(ac: Ac) {
    let n = c_int::try_from(ac.pubsub().unsubscriptions()).unwrap_or(c_int::MAX);
    // SAFETY: a live context.
    unsafe { (*ac.as_ptr()).sub.pending_unsubs = n };
}

// Replies

/// Hands out every reply that the reader has.
pub(crate) fn process_callbacks(ac: Ac) {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return;
    }
    loop {
        if ac.private().muting.waiting > 0 && take_muted(ac) == Life::Ended {
            return;
        }
        let Ok(reply) = ac.ctx().reply_from_reader() else { return disconnect(ac) };
        if reply.is_null() {
            break;
        }
        if deliver(ac, reply) == Life::Ended {
            return;
        }
    }
    disconnect_if_done(ac);
}

/// Calls back for commands that get no reply, once they have left and all before them
/// are answered.
#[cold]
fn take_muted(ac: Ac) -> Life {
    while ac.pubsub().head() == Head::Regular && !ac.ctx().has_output() {
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
    let Some((callback, _)) = ac.oldest().shift(&mut ac.private().spare) else { return Life::Goes };
    ac.private().muting.taken(muted, tag);
    ac.pubsub().regular_received();
    let life = if tag == Tag::Reset { reset(ac) } else { Life::Goes };
    fail(ac, callback);
    if ac.has(REDIS_FREEING) { Life::Ended } else { life }
}

/// A reply comes for a command behind silenced ones: so the server has passed these, and
/// what they should have confirmed. `Ended` as for `take_silent`.
#[cold]
fn pass_silenced(ac: Ac) -> Life {
    while let Some((tag, true)) = ac.oldest().front() {
        if take_silent(ac, tag, true) == Life::Ended {
            return Life::Ended;
        }
    }
    ac.private().muting.assume_nothing();
    while ac.pubsub().head() != Head::Regular {
        if let Some(callback) = ac.pubsub().refused() {
            fail(ac, callback);
        }
        if ac.has(REDIS_FREEING) {
            return Life::Ended;
        }
    }
    leave_if_idle(ac);
    Life::Goes
}

/// Ends a context that is to be disconnected and is owed nothing any more.
#[inline(never)]
fn disconnect_if_done(ac: Ac) {
    if ac.has(REDIS_DISCONNECTING) && (ac.ctx().err() != 0 || !ac.is_pending()) {
        disconnect(ac);
    }
}

#[inline]
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
        if is_line(ac, reply) || is_message(ac, reply) {
            return false;
        }
        let waits = matches!(ac.oldest().front(), Some((_, true))) && ac.pubsub().head() == Head::Regular;
        let expected = ac.owes_replies() || ac.pubsub().confirmations() > 0;
        let Some(passed) = ac.private().muting.refused_by(reply, waits, expected) else { return false };
        let again = ac.replies().unmute() + ac.sub_replies().unmute();
        ac.private().muting.waiting = again;
        ac.private().unowned += passed.saturating_sub(1);
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

/// Whether a reply is an array of RESP2 that is a message or news about a subscription.
///
/// # Safety
/// `reply` is live.
unsafe fn is_message(ac: Ac, reply: *const redisReply) -> bool {
    // Arrays like others: they can come only while the server has confirmed a subscription,
    // or is about to.
    // SAFETY: the caller's promise.
    unsafe {
        (*reply).r#type == REDIS_REPLY_ARRAY
            && !(ac.private().resp3 || ac.has(REDIS_SUPPORTS_PUSH))
            && (ac.pubsub().head() != Head::Regular || ac.pubsub().is_listening())
            && kind_of(reply).is_some()
    }
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
#[inline]
fn call(ac: Ac, callback: Callback, reply: *mut c_void) -> Life {
    match callback.f {
        Some(f) => {
            ac.call_reply(f, reply, callback.privdata);
            if !ac.has(REDIS_NO_AUTO_FREE_REPLIES) {
                ac.ctx().drop_reply(reply);
            }
            after_callback(ac)
        }
        None => ignore(ac, reply),
    }
}

fn ignore(ac: Ac, reply: *mut c_void) -> Life {
    ac.ctx().drop_reply(reply);
    Life::Goes
}

#[inline]
fn after_callback(ac: Ac) -> Life {
    if ac.has(REDIS_FREEING) {
        free(ac);
        return Life::Ended;
    }
    Life::Goes
}

/// Gives a reply to the oldest regular command.
#[inline]
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
    let Some((callback, tag)) = ac.oldest().shift(&mut ac.private().spare) else {
        return unexpected(ac, reply);
    };
    if ac.has(REDIS_SUBSCRIBED) {
        ac.pubsub().regular_received();
    }
    if tag != Tag::Plain {
        return tagged(ac, tag, callback, reply);
    }
    call(ac, callback, reply)
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
        let Some(callback) = monitor.or_else(|| ac.pubsub().take_active()) else { break };
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
    while let Some((ended, extra)) = ac.pubsub().settle_one(executed) {
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

/// Goes back to plain request and reply once nothing is subscribed.
#[inline(never)]
fn leave_if_idle(ac: Ac) {
    show_unsubscriptions(ac);
    if ac.has(REDIS_SUBSCRIBED) && ac.pubsub().is_idle() {
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
        if is_message(ac, reply) {
            return event(ac, reply);
        }
        (*reply).r#type
    };
    if ac.private().unowned > 0 {
        // An older one than anything that is owed.
        return answer(ac, reply.cast());
    }
    let head = ac.pubsub().head();
    // SAFETY: a live reply.
    if head != Head::Regular && unsafe { is_queued(reply) } {
        return match ac.pubsub().queue() {
            Ok(Some(callback)) => call(ac, callback, reply.cast()),
            Ok(None) => ignore(ac, reply.cast()),
            Err(oom) => {
                out_of_memory(ac, oom);
                ac.ctx().drop_reply(reply.cast());
                disconnect(ac);
                Life::Ended
            }
        };
    }
    if kind == REDIS_REPLY_ERROR && head != Head::Regular {
        let callback = ac.pubsub().refused();
        leave_if_idle(ac);
        return match callback {
            Some(callback) => call(ac, callback, reply.cast()),
            None => ignore(ac, reply.cast()),
        };
    }
    answer(ac, reply.cast())
}

/// A push: pub/sub if there are subscriptions and it looks like that, anything else
/// for the push callback.
#[inline(never)]
fn push(ac: Ac, reply: *mut redisReply) -> Life {
    // SAFETY: a live reply.
    if ac.has(REDIS_SUBSCRIBED) && unsafe { kind_of(reply) }.is_some() {
        return event(ac, reply);
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
fn event(ac: Ac, reply: *mut redisReply) -> Life {
    // SAFETY: a live reply; the name in the frame is used before user code runs.
    let Some(Frame { event, kind, name }) = (unsafe { frame(reply) }) else { return malformed(ac, reply) };
    let pubsub = ac.pubsub();
    let callback = match (event, name) {
        (Event::Unsubscribe, name) => pubsub.unsubscribed(kind, name),
        (Event::Subscribe, Some(name)) => pubsub.confirm(kind, name).map(callback_of),
        (Event::Message, Some(name)) => pubsub.find(kind, name).map(callback_of),
        (_, None) => return malformed(ac, reply),
    };
    leave_if_idle(ac);
    // SAFETY: a live reply.
    let is_push = unsafe { (*reply).r#type } == REDIS_REPLY_PUSH;
    match callback {
        // Programs that serve sharded pub/sub through the push callback subscribe without one.
        Some(Callback { f: None, .. }) if kind == Kind::Shard && is_push => spontaneous(ac, reply),
        Some(callback) => call(ac, callback, reply.cast()),
        None => ignore(ac, reply.cast()),
    }
}

// Events

/// Establishes the connection, if it is not yet; false when there is nothing to read
/// or write for now or ever.
fn is_up(ac: Ac) -> bool {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return false;
    }
    if ac.has(REDIS_CONNECTED) {
        return true;
    }
    match connect::progress(ac.ctx()) {
        Ok(Progress::Up) => established(ac) == Life::Goes,
        Ok(Progress::UnderWay) => false,
        Ok(Progress::Busy) => {
            // The descriptor counts as ready all the time, and only trying again helps:
            // a short sleep, one for all, keeps the event loop from spinning.
            sys::pause_in_turn(ac.as_ptr().addr(), BUSY_MS);
            false
        }
        Err(error) => {
            sys::set_errno(error);
            // It takes the socket's error before that of connect.
            let _ = option::check_socket_error(ac.ctx());
            connect_failed(ac);
            false
        }
    }
}

/// A context that the program keeps after its connection ended.
fn is_dead(ac: Ac) -> bool {
    ac.private().ended
}

/// Asks the event loop to tell when the connection can be read.
fn want_read(ac: Ac) {
    timer::schedule(ac);
    ac.add_read();
}

/// Asks the event loop to tell when the connection can be written.
#[inline(never)]
fn want_write(ac: Ac) {
    if is_dead(ac) {
        return;
    }
    timer::schedule(ac);
    ac.private().missed_write = !ac.add_write();
}

/// Makes up for a request to write from before there was an event loop.
fn catch_up(ac: Ac) {
    if ac.private().missed_write {
        want_write(ac);
    }
}

#[inline(never)]
fn established(ac: Ac) -> Life {
    sys::leave_turn(ac.as_ptr().addr());
    ac.set(REDIS_CONNECTED);
    ac.call_connect(REDIS_OK);
    if after_callback(ac) == Life::Ended {
        return Life::Ended;
    }
    if ac.has(REDIS_DISCONNECTING) && !ac.is_pending() {
        disconnect(ac);
        return Life::Ended;
    }
    Life::Goes
}

/// The connection does not come about; the error is set.
fn connect_failed(ac: Ac) {
    ac.set(REDIS_DISCONNECTING);
    ac.mirror_error();
    ac.call_connect(REDIS_ERR);
    disconnect(ac);
}

pub(crate) fn handle_read(ac: Ac) {
    if is_up(ac) {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        unsafe {
            if let Some(async_read) = (*ac.as_ptr()).c.funcs.as_ref().and_then(|f| f.async_read) {
                async_read(ac.as_ptr());
            }
        }
    }
}

pub(crate) fn handle_write(ac: Ac) {
    if is_up(ac) {
        // SAFETY: the contract of redisContextFuncs, see hiredis.h.
        unsafe {
            if let Some(async_write) = (*ac.as_ptr()).c.funcs.as_ref().and_then(|f| f.async_write) {
                async_write(ac.as_ptr());
            }
        }
    }
}

/// What the default transport does when there is something to read.
pub(crate) fn read(ac: Ac) {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return;
    }
    if ac.ctx().buffer_read().is_err() {
        return disconnect(ac);
    }
    want_read(ac);
    process_callbacks(ac);
}

/// What the default transport does when it can write.
pub(crate) fn write(ac: Ac) {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return;
    }
    match ac.ctx().write_on(net::write) {
        Err(_) => return disconnect(ac),
        Ok(true) => ac.del_write(),
        Ok(false) => want_write(ac),
    }
    want_read(ac);
    if ac.private().muting.waiting > 0 && take_muted(ac) == Life::Ended {
        return;
    }
    disconnect_if_done(ac);
}

pub(crate) fn handle_timeout(ac: Ac) {
    if ac.has(REDIS_IN_CALLBACK) || is_dead(ac) {
        return;
    }
    let connected = ac.has(REDIS_CONNECTED);
    match timer::expired(ac) {
        timer::Expiry::Never => return,
        timer::Expiry::Later => return timer::schedule(ac),
        timer::Expiry::Now => {}
    }
    if ac.ctx().err() == 0 {
        ac.ctx().fail(REDIS_ERR_TIMEOUT, "Timeout");
    }
    if !connected {
        return connect_failed(ac);
    }
    ac.set(REDIS_DISCONNECTING);
    ac.mirror_error();
    fail_queue(ac, ac.replies());
    disconnect(ac);
}

// Settings

pub(crate) fn set_connect_callback(
    ac: Ac,
    f: Option<redisConnectCallback>,
    nc: Option<redisConnectCallbackNC>,
) -> Result<(), Refused> {
    // SAFETY: a live context.
    unsafe {
        let raw = ac.as_ptr();
        if (*raw).onConnect.is_some() || (*raw).onConnectNC.is_some() {
            return Err(Refused);
        }
        (*raw).onConnect = f;
        (*raw).onConnectNC = nc;
    }
    // A connection that comes up can be written.
    if ac.ctx().err() == 0 {
        want_write(ac);
    }
    Ok(())
}

pub(crate) fn set_disconnect_callback(ac: Ac, f: Option<redisDisconnectCallback>) -> Result<(), Refused> {
    // SAFETY: a live context.
    let slot = unsafe { &mut (*ac.as_ptr()).onDisconnect };
    if slot.is_some() {
        return Err(Refused);
    }
    *slot = f;
    catch_up(ac);
    Ok(())
}

pub(crate) fn set_timeout(ac: Ac, tv: timeval) -> Result<(), Refused> {
    // SAFETY: a readable timeval.
    if unsafe { option::store_command_timeout(ac.ctx(), &tv) }.is_err() {
        ac.mirror_error();
        return Err(Refused);
    }
    catch_up(ac);
    Ok(())
}

// The end

/// Disconnects when everything accepted so far is answered; inside a callback, after it.
pub(crate) fn request_disconnect(ac: Ac) {
    ac.set(REDIS_DISCONNECTING);
    ac.clear(REDIS_NO_AUTO_FREE);
    if ac.has(REDIS_IN_CALLBACK) {
        return;
    }
    if is_dead(ac) || ac.ctx().err() != 0 {
        return free(ac);
    }
    if ac.is_pending() {
        return;
    }
    if !ac.has(REDIS_CONNECTED) {
        ac.ctx().fail(REDIS_ERR_OTHER, "Disconnected before the connection was up");
        return connect_failed(ac);
    }
    disconnect(ac);
}

/// Frees the context; inside a callback, after it.
pub(crate) fn request_free(ac: Ac) {
    ac.set(REDIS_FREEING);
    if !ac.has(REDIS_IN_CALLBACK) {
        free(ac);
    }
}

/// The connection is over, by an error or because nothing is owed any more. Frees the
/// context unless the program keeps it.
pub(crate) fn disconnect(ac: Ac) {
    if ac.ctx().err() == 0 && !ac.is_closing() {
        ac.ctx().fail(REDIS_ERR_OTHER, "Connection closed by its transport");
    }
    ac.set(REDIS_DISCONNECTING);
    ac.mirror_error();
    if ac.has(REDIS_IN_CALLBACK) {
        // Whoever called that looks at the flag and the error.
        return;
    }
    ac.cleanup();
    if ac.has(REDIS_NO_AUTO_FREE) {
        end(ac);
        // A callback may have changed its mind.
        if ac.has(REDIS_NO_AUTO_FREE) && !ac.has(REDIS_FREEING) {
            return;
        }
    }
    free(ac);
}

/// Tells everybody who waits that nothing comes, and that the connection is over. Does
/// it once.
#[inline(never)]
fn end(ac: Ac) {
    if is_dead(ac) {
        return;
    }
    ac.private().ended = true;
    if let Some(monitor) = ac.private().monitor.take() {
        fail(ac, monitor);
    }
    fail_queue(ac, ac.replies());
    fail_queue(ac, ac.sub_replies());
    while let Some(callback) = ac.pubsub().take_any() {
        fail(ac, callback);
    }
    ac.pubsub().forget_owed();
    ac.cleanup();
    if ac.has(REDIS_CONNECTED) {
        let lost = ac.ctx().err() != 0 && !ac.has(REDIS_FREEING);
        ac.call_disconnect(if lost { REDIS_ERR } else { REDIS_OK });
    }
}

#[inline(never)]
fn fail_queue(ac: Ac, queue: Queue) {
    while let Some((callback, _)) = queue.shift(&mut ac.private().spare) {
        fail(ac, callback);
    }
}

fn fail(ac: Ac, callback: Callback) {
    if let Some(f) = callback.f {
        ac.call_reply(f, ptr::null_mut(), callback.privdata);
    }
}

/// Ends the connection, if that is not done, and frees the context.
#[inline(never)]
fn free(ac: Ac) {
    sys::leave_turn(ac.as_ptr().addr());
    ac.mirror_error();
    // Nothing more is accepted, whatever callbacks try.
    ac.set(REDIS_DISCONNECTING);
    end(ac);
    // An event loop may have been attached again since.
    ac.cleanup();
    ac.call_data_cleanup();
    // SAFETY: a live context that nobody uses afterwards.
    unsafe { Private::free((*ac.as_ptr()).sub.channels.cast()) };
    ac.ctx().free();
}
