//! What a context keeps that the public struct has no field for. It lies behind
//! `sub.channels`, which programs must not look into.

use core::ptr::{self, NonNull};

use super::muting::Muting;
use super::pubsub::Pubsub;
use super::queue::Callback;
use crate::alloc::{self, OutOfMemory};
use crate::sys;

pub(crate) struct Private {
    pub(crate) pubsub: Pubsub,
    pub(crate) muting: Muting,
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
    pub(crate) unowned: usize,
}

impl Private {
    /// A new one on the heap, which its context owns.
    pub(crate) fn create() -> Result<NonNull<Private>, OutOfMemory> {
        alloc::new(Private {
            pubsub: Pubsub::new(),
            muting: Muting::new(),
            monitor: None,
            resp3: false,
            ended: false,
            missed_write: false,
            connecting_since: Stamp::NONE,
            unowned: 0,
        })
    }

    /// # Safety
    /// `private` came from `create` and is not used afterwards.
    pub(crate) unsafe fn free(private: *mut Private) {
        // SAFETY: the caller's promise.
        unsafe {
            ptr::drop_in_place(private);
            alloc::free(private.cast());
        }
    }
}

/// A time in milliseconds, small enough for a callback's node; it wraps in 49 days.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const NONE: Stamp = Stamp(0);

    pub(crate) fn now() -> Stamp {
        Stamp((sys::now_ms() as u32).max(1))
    }

    pub(crate) fn from_bits(bits: i32) -> Stamp {
        Stamp(bits as u32)
    }

    pub(crate) fn to_bits(self) -> i32 {
        self.0 as i32
    }

    /// Milliseconds since then.
    pub(crate) fn age(self) -> i64 {
        Stamp::now().0.wrapping_sub(self.0).into()
    }
}
