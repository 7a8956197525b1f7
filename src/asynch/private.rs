//! What a context keeps that the public struct has no field for. It lies behind
//! `sub.channels`, which programs must not look into.

use core::ptr::{self, NonNull};

use super::handle::Ac;
use super::muting::Muting;
use super::pubsub::{Head, Pubsub};
use super::queue::{Callback, Pool, Queue};
use crate::alloc::{self, OutOfMemory};
use crate::sys::Stamp;

pub(crate) struct Private {
    /// NULL until something is subscribed to.
    pubsub: *mut Pubsub,
    pub(crate) muting: Muting,
    /// The memory of callback lists.
    pub(crate) pool: Pool,
    /// Who gets the lines of MONITOR.
    pub(crate) monitor: Option<Callback>,
    /// The server has agreed to RESP3.
    pub(crate) resp3: bool,
    /// The connection is over, and everybody was told.
    pub(crate) ended: bool,
    /// The event loop was to be told about writing before there was one.
    pub(crate) missed_write: bool,
    /// When connecting began, if that has a limit.
    pub(crate) connecting_since: Stamp,
    /// Replies still to come that belong to no command.
    pub(crate) unowned: u32,
    /// Elements of the reply to an EXEC that come after it, because confirmations took
    /// their places.
    pub(crate) surplus: u32,
}

impl Private {
    /// A new one on the heap, which its context owns.
    pub(crate) fn create() -> Result<NonNull<Private>, OutOfMemory> {
        alloc::new(Private {
            pubsub: ptr::null_mut(),
            muting: Muting::new(),
            pool: Pool::new(),
            monitor: None,
            resp3: false,
            ended: false,
            missed_write: false,
            connecting_since: Stamp::NONE,
            unowned: 0,
            surplus: 0,
        })
    }

    /// # Safety
    /// `private` came from `create` and is not used afterwards.
    pub(crate) unsafe fn free(private: *mut Private) {
        // SAFETY: the caller's promise.
        unsafe {
            let pubsub = (*private).pubsub;
            if !pubsub.is_null() {
                ptr::drop_in_place(pubsub);
                alloc::free(pubsub.cast());
            }
            ptr::drop_in_place(private);
            alloc::free(private.cast());
        }
    }
}

/// The way there from the context, and to its lists.
impl Ac {
    pub(super) fn private<'a>(self) -> &'a mut Private {
        // SAFETY: every context has one behind `channels`. Callers use the reference for one
        // access that runs no callback; allocators do not call the library (alloc.h).
        unsafe { &mut *(*self.as_ptr()).sub.channels.cast() }
    }

    /// The subscriptions, if there have been any.
    pub(super) fn pubsub<'a>(self) -> Option<&'a mut Pubsub> {
        // SAFETY: NULL or the context's own; as for `private`.
        unsafe { self.private().pubsub.as_mut() }
    }

    /// The subscriptions, of which there will be one.
    pub(super) fn open_pubsub<'a>(self) -> Result<&'a mut Pubsub, OutOfMemory> {
        let private = self.private();
        if private.pubsub.is_null() {
            private.pubsub = alloc::new(Pubsub::new())?.as_ptr();
        }
        // SAFETY: as in `pubsub`.
        unsafe { Ok(&mut *private.pubsub) }
    }

    /// What the server owes next.
    pub(super) fn head(self) -> Head {
        self.pubsub().map_or(Head::Regular, |pubsub| pubsub.head())
    }

    /// Confirmations that are owed.
    pub(super) fn confirmations(self) -> usize {
        self.pubsub().map_or(0, |pubsub| pubsub.confirmations())
    }

    pub(super) fn replies(self) -> Queue {
        // SAFETY: a list of a live context.
        unsafe { Queue::new(&raw mut (*self.as_ptr()).replies) }
    }

    /// Commands that were sent while subscribed. All of them are younger than the
    /// ones in `replies`.
    pub(super) fn sub_replies(self) -> Queue {
        // SAFETY: a list of a live context.
        unsafe { Queue::new(&raw mut (*self.as_ptr()).sub.replies) }
    }

    /// The list with the oldest regular command.
    pub(super) fn oldest(self) -> Queue {
        if self.replies().is_empty() { self.sub_replies() } else { self.replies() }
    }
}
