//! The end of a connection: who is told, in which order, and when the context goes.

use core::ptr;

use super::handle::Ac;
use super::private::Private;
use super::pubsub::Pubsub;
use super::queue::{Callback, Queue};
use crate::abi::*;
use crate::sys;

/// Whether the context is still there after something that may have ended it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Life {
    Goes,
    Ended,
}

impl Ac {
    /// Commands are no longer accepted.
    pub(super) fn is_closing(self) -> bool {
        self.has(REDIS_DISCONNECTING | REDIS_FREEING)
    }

    /// The server owes an answer, or there is something to send to it.
    pub(super) fn is_pending(self) -> bool {
        self.owes_replies() || self.confirmations() > 0 || self.ctx().has_output()
    }

    /// A regular command waits for its reply.
    pub(super) fn owes_replies(self) -> bool {
        self.replies().oldest_sent().or_else(|| self.sub_replies().oldest_sent()).is_some()
    }
}

/// A context that the program keeps after its connection ended.
pub(super) fn is_dead(ac: Ac) -> bool {
    ac.private().ended
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
    while let Some(callback) = ac.pubsub().and_then(Pubsub::take_any) {
        fail(ac, callback);
    }
    if let Some(pubsub) = ac.pubsub() {
        pubsub.forget_owed();
    }
    ac.cleanup();
    if ac.has(REDIS_CONNECTED) {
        let lost = ac.ctx().err() != 0 && !ac.has(REDIS_FREEING);
        ac.call_disconnect(if lost { REDIS_ERR } else { REDIS_OK });
    }
}

#[inline(never)]
pub(super) fn fail_queue(ac: Ac, queue: Queue) {
    while let Some((callback, _)) = queue.shift(&mut ac.private().pool) {
        fail(ac, callback);
    }
}

pub(super) fn fail(ac: Ac, callback: Callback) {
    if let Some(f) = callback.f {
        ac.call_reply(f, ptr::null_mut(), callback.privdata);
    }
}

/// Ends the connection, if that is not done, and frees the context.
#[inline(never)]
pub(super) fn free(ac: Ac) {
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
