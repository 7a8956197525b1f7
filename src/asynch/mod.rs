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

mod end;
pub(crate) mod handle;
mod muting;
mod private;
mod pubsub;
mod queue;
mod replies;
mod table;
mod timer;

use core::ffi::c_int;
use core::mem;
use core::mem::size_of;

use self::end::{Life, fail_queue, free, is_dead};
use self::handle::Ac;
use self::muting::{Mode, Muting};
use self::private::Private;
use self::queue::{Node, Tag};
use self::replies::{after_callback, disconnect_if_done, show_unsubscriptions, take_muted};
use crate::abi::*;
use crate::alloc::OutOfMemory;
use crate::context;
use crate::net::option;
use crate::net::{self, connect, connect::Progress};
use crate::output::AtHand;
use crate::resp::command::Args;
use crate::resp::verb::{Kind, Verb};
use crate::resp::write::{Invalid, Sink};
use crate::sys::{self, Stamp};

pub(crate) use self::end::disconnect;
pub(crate) use self::queue::Callback;
pub(crate) use self::replies::process_callbacks;

/// Between two tries to connect to a unix listener whose queue is full.
const BUSY_MS: c_int = 2;

/// What was asked for was not accepted.
#[derive(Debug)]
pub(crate) struct Refused;

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

// Commands

/// Sends a command that `write` writes, and calls `callback` with its reply. A status, as C
/// has it.
#[inline(always)]
pub(crate) fn submit(
    ac: Ac,
    callback: Callback,
    write: impl FnOnce(Sink<'_>) -> Result<usize, Invalid>,
) -> c_int {
    if !accepts(ac) {
        return REDIS_ERR;
    }
    let (written, end) = ac.ctx().write_out(write);
    match written {
        Ok(n) => send(ac, callback, n, end),
        Err(why) => refuse(ac, why),
    }
}

/// The room for a command that there is now, if there is some and a command is accepted. What is
/// written there is sent with `send`.
#[inline(always)]
pub(crate) fn room_at_hand(ac: Ac) -> Option<AtHand> {
    if accepts(ac) { ac.ctx().room_at_hand() } else { None }
}

fn accepts(ac: Ac) -> bool {
    !ac.is_closing() && ac.ctx().err() == 0
}

/// Sends as a command what was written at that end of the output, `n` bytes. A status.
#[inline(never)]
pub(crate) fn send(ac: Ac, callback: Callback, n: usize, end: usize) -> c_int {
    // SAFETY: so much was written there, and nothing happened since: who gets the reply does
    // not change the output.
    unsafe {
        if !Verb::is_surely_other(ac.ctx().written(end, n)) || !queue_plain(ac, callback) {
            return send_special(ac, callback, n, end);
        }
        ac.ctx().commit(end, n);
    }
    ask_to_write(ac);
    REDIS_OK
}

/// As `send`, whatever it is.
#[inline(never)]
fn send_special(ac: Ac, callback: Callback, n: usize, end: usize) -> c_int {
    // SAFETY: as in `send`.
    unsafe {
        if let Err(why) = register(ac, callback, ac.ctx().written(end, n)) {
            return refuse(ac, why);
        }
        ac.ctx().commit(end, n);
    }
    ask_to_write(ac);
    REDIS_OK
}

#[cold]
#[inline(never)]
fn refuse(ac: Ac, why: Invalid) -> c_int {
    ac.ctx().take_back();
    if why == Invalid::Memory {
        ac.ctx().out_of_memory(OutOfMemory);
        ac.mirror_error();
    }
    REDIS_ERR
}

/// Queues the callback of a command with one reply, as `regular` does, if nothing is special
/// about the connection and no memory has to be asked for.
#[inline(always)]
fn queue_plain(ac: Ac, callback: Callback) -> bool {
    let private = ac.private();
    if ac.has(REDIS_SUBSCRIBED) || private.muting.mutes(None) || timer::is_limited(ac) {
        return false;
    }
    let Some(node) = Node::at_hand(&mut private.pool, callback) else { return false };
    ac.replies().push(node);
    true
}

/// Notes who gets the answer to a command. On failure nothing has changed but the error.
#[inline(never)]
fn register(ac: Ac, callback: Callback, command: &[u8]) -> Result<(), Invalid> {
    let args = Args::new(command).ok_or(Invalid::Refused)?;
    let mut mode = None;
    match Verb::of(args.name()) {
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

/// Queues the callback of a command with one reply, or with none if replies are off.
#[inline(never)]
fn regular(ac: Ac, callback: Callback, tag: Tag, mode: Option<Mode>) -> Result<(), OutOfMemory> {
    let muting = &mut ac.private().muting;
    let muted = if tag == Tag::Reset { muting.mutes_reset() } else { muting.mutes(mode) };
    let tag = match tag {
        Tag::Monitor if !muted && muting.monitor_again() => Tag::MonitorAgain,
        _ => tag,
    };
    let node = Node::new(&mut ac.private().pool, callback, tag, muted, timer::sent_now(ac))?;
    if ac.has(REDIS_SUBSCRIBED) {
        if let Err(oom) = ac.pubsub().map_or(Ok(()), |pubsub| pubsub.regular_sent()) {
            node.free(&mut ac.private().pool);
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
    let silent = ac.private().muting.mutes(None);
    ac.open_pubsub()?.subscribe(kind, names, callback, silent, || regular_count(ac))?;
    ac.set(REDIS_SUBSCRIBED);
    Ok(())
}

#[inline(never)]
fn unsubscribe(ac: Ac, kind: Kind, names: Args<'_>) -> Result<(), OutOfMemory> {
    let silent = ac.private().muting.mutes(None);
    ac.open_pubsub()?.unsubscribe(kind, names, silent, || regular_count(ac))?;
    show_unsubscriptions(ac);
    Ok(())
}

fn regular_count(ac: Ac) -> usize {
    ac.replies().count() + ac.sub_replies().count()
}

// Events

/// Establishes the connection, if it is not yet; false when there is nothing to read
/// or write for now or ever.
#[inline]
fn is_up(ac: Ac) -> bool {
    !ac.has(REDIS_IN_CALLBACK) && !is_dead(ac) && (ac.has(REDIS_CONNECTED) || comes_up(ac))
}

#[inline(never)]
fn comes_up(ac: Ac) -> bool {
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

/// Asks the event loop to tell when the connection can be read.
fn want_read(ac: Ac) {
    timer::schedule(ac);
    ac.add_read();
}

/// Asks the event loop to tell when the connection can be written.
fn want_write(ac: Ac) {
    if !is_dead(ac) {
        ask_to_write(ac);
    }
}

/// As `want_write`, on a connection that has not ended.
#[inline(always)]
fn ask_to_write(ac: Ac) {
    timer::schedule(ac);
    if !ac.add_write() {
        ac.private().missed_write = true;
    }
}

/// Makes up for a request to write from before there was an event loop.
fn catch_up(ac: Ac) {
    if mem::take(&mut ac.private().missed_write) {
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

// Asking for the end

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
