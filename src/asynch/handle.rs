//! `Ac`, the plain pointer by which the library holds a `redisAsyncContext`.
//!
//! This file is the only one that calls the callbacks of an asynchronous context and its
//! event loop's hooks. Any of them may change or end the context: a callback that frees
//! it sets REDIS_FREEING, because REDIS_IN_CALLBACK is set while it runs, and
//! whoever called looks at the flags again.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::abi::*;
use crate::ctx::Ctx;

#[derive(Clone, Copy)]
pub(crate) struct Ac(*mut redisAsyncContext);

impl Ac {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `ac` is NULL or a context of this library; the handle is used while it lives.
    pub(crate) unsafe fn from_raw(ac: *mut redisAsyncContext) -> Option<Ac> {
        if ac.is_null() { None } else { Some(Ac(ac)) }
    }

    pub(crate) fn as_ptr(self) -> *mut redisAsyncContext {
        self.0
    }

    /// The connection inside.
    pub(crate) fn ctx(self) -> Ctx {
        // SAFETY: the first field of a live context; never NULL.
        unsafe { Ctx::from_raw(self.0.cast()).unwrap_unchecked() }
    }

    pub(crate) fn has(self, flags: c_int) -> bool {
        self.ctx().has(flags)
    }

    pub(crate) fn set(self, flags: c_int) {
        self.ctx().set(flags);
    }

    pub(crate) fn clear(self, flags: c_int) {
        self.ctx().clear(flags);
    }

    /// Shows the connection's error in `err` and `errstr`.
    pub(crate) fn mirror_error(self) {
        // SAFETY: a live context.
        unsafe {
            (*self.0).err = (*self.0).c.err;
            (*self.0).errstr = (&raw mut (*self.0).c.errstr).cast();
        }
    }

    /// Asks the event loop to tell when the connection can be read.
    pub(crate) fn add_read(self) {
        // SAFETY: a live context; the hook is called with its own data.
        unsafe {
            if let Some(add_read) = (*self.0).ev.addRead {
                add_read((*self.0).ev.data);
            }
        }
    }

    /// Asks the event loop to tell when the connection can be written. False if there
    /// is no event loop yet.
    #[inline(always)]
    pub(crate) fn add_write(self) -> bool {
        // SAFETY: a live context; the hook is called with its own data.
        unsafe {
            let Some(add_write) = (*self.0).ev.addWrite else { return false };
            add_write((*self.0).ev.data);
        }
        true
    }

    pub(crate) fn del_write(self) {
        // SAFETY: a live context; the hook is called with its own data.
        unsafe {
            if let Some(del_write) = (*self.0).ev.delWrite {
                del_write((*self.0).ev.data);
            }
        }
    }

    /// Sets the event loop's timer, if it has one.
    pub(crate) fn schedule_timer(self, tv: timeval) {
        // SAFETY: a live context; the hook is called with its own data.
        unsafe {
            if let Some(schedule) = (*self.0).ev.scheduleTimer {
                schedule((*self.0).ev.data, tv);
            }
        }
    }

    /// Takes leave of the event loop. Another may be attached afterwards.
    pub(crate) fn cleanup(self) {
        // SAFETY: a live context; the hook is called with its own data.
        unsafe {
            if let Some(cleanup) = (*self.0).ev.cleanup.take() {
                cleanup((*self.0).ev.data);
            }
            (*self.0).ev = redisAsyncEv {
                data: ptr::null_mut(),
                addRead: None,
                delRead: None,
                addWrite: None,
                delWrite: None,
                cleanup: None,
                scheduleTimer: None,
            };
        }
    }

    /// Runs a callback for a reply, which may be NULL.
    #[inline]
    pub(crate) fn call_reply(self, f: redisCallbackFn, reply: *mut c_void, privdata: *mut c_void) {
        self.set(REDIS_IN_CALLBACK);
        // SAFETY: the program's callback, see async.h.
        unsafe { f(self.0, reply, privdata) };
        self.clear(REDIS_IN_CALLBACK);
    }

    /// Runs the push callback, if there is one.
    pub(crate) fn call_push(self, reply: *mut c_void) {
        // SAFETY: a live context.
        let Some(f) = (unsafe { (*self.0).push_cb }) else { return };
        self.set(REDIS_IN_CALLBACK);
        // SAFETY: the program's callback, see async.h.
        unsafe { f(self.0, reply) };
        self.clear(REDIS_IN_CALLBACK);
    }

    /// Tells how connecting went, if anybody wants to know.
    pub(crate) fn call_connect(self, status: c_int) {
        self.set(REDIS_IN_CALLBACK);
        // SAFETY: the program's callbacks, see async.h; only one of them is set.
        unsafe {
            if let Some(f) = (*self.0).onConnect {
                f(self.0, status);
            } else if let Some(f) = (*self.0).onConnectNC {
                f(self.0, status);
            }
        }
        self.clear(REDIS_IN_CALLBACK);
    }

    /// Tells that the connection is over, if anybody wants to know.
    pub(crate) fn call_disconnect(self, status: c_int) {
        // SAFETY: a live context.
        let Some(f) = (unsafe { (*self.0).onDisconnect }) else { return };
        self.set(REDIS_IN_CALLBACK);
        // SAFETY: the program's callback, see async.h.
        unsafe { f(self.0, status) };
        self.clear(REDIS_IN_CALLBACK);
    }

    /// Lets the program release what it keeps in `data`.
    pub(crate) fn call_data_cleanup(self) {
        // SAFETY: a live context; the program's function.
        unsafe {
            if let Some(f) = (*self.0).dataCleanup {
                f((*self.0).data);
            }
        }
    }
}
