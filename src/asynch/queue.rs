//! The callback lists: plain singly linked queues, as hiredis publishes them.
//!
//! Programs walk them and rewrite `fn` and `privdata` of what waits there, so both
//! are read from the node at the moment of the reply, never before.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::abi::{redisCallback, redisCallbackFn, redisCallbackList};
use crate::alloc::{self, OutOfMemory};

/// What is special about a waiting command: its reply changes what comes after it.
/// Kept in `pending_subs`, which has no other use in a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Tag {
    Plain = 0,
    Monitor,
    Hello,
    Reset,
}

/// A callback that was taken off its queue.
#[derive(Clone, Copy)]
pub(crate) struct Callback {
    pub(crate) f: Option<redisCallbackFn>,
    pub(crate) privdata: *mut c_void,
}

/// One of the public lists.
#[derive(Clone, Copy)]
pub(crate) struct Queue(*mut redisCallbackList);

impl Queue {
    /// # Safety
    /// `list` belongs to a live context; the handle is used while that lives.
    pub(crate) unsafe fn new(list: *mut redisCallbackList) -> Queue {
        Queue(list)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.head().is_null()
    }

    fn head(self) -> *mut redisCallback {
        // SAFETY: a live list.
        unsafe { (*self.0).head }
    }

    /// The tag of the oldest callback; `Plain` when there is none.
    pub(crate) fn front_tag(self) -> Tag {
        // SAFETY: a live list; its nodes are live.
        match unsafe { self.head().as_ref() }.map_or(0, |node| node.pending_subs) {
            tag if tag == Tag::Monitor as c_int => Tag::Monitor,
            tag if tag == Tag::Hello as c_int => Tag::Hello,
            tag if tag == Tag::Reset as c_int => Tag::Reset,
            _ => Tag::Plain,
        }
    }

    /// How many callbacks wait.
    pub(crate) fn count(self) -> usize {
        let (mut n, mut node) = (0, self.head());
        while !node.is_null() {
            n += 1;
            // SAFETY: a live node.
            node = unsafe { (*node).next };
        }
        n
    }

    /// Appends a node, which the list then owns.
    pub(crate) fn push(self, node: Node) {
        let node = node.0;
        // SAFETY: a live list, a new node.
        unsafe {
            (*node).next = ptr::null_mut();
            let tail = (*self.0).tail;
            if (*self.0).head.is_null() || tail.is_null() {
                (*self.0).head = node;
            } else {
                (*tail).next = node;
            }
            (*self.0).tail = node;
        }
    }

    /// Takes the oldest callback off; `None` when the list is empty. The caller owes
    /// it one call.
    #[inline]
    pub(crate) fn shift(self) -> Option<Callback> {
        let node = self.head();
        if node.is_null() {
            return None;
        }
        // SAFETY: a live list owns its nodes.
        unsafe {
            let callback = Callback { f: (*node).r#fn, privdata: (*node).privdata };
            (*self.0).head = (*node).next;
            if (*self.0).head.is_null() {
                (*self.0).tail = ptr::null_mut();
            }
            alloc::free(node.cast());
            Some(callback)
        }
    }

    /// Appends everything that waits in `other`, which is empty afterwards.
    pub(crate) fn take_all(self, other: Queue) {
        // SAFETY: two live lists.
        unsafe {
            if (*other.0).head.is_null() {
                return;
            }
            if (*self.0).head.is_null() {
                (*self.0).head = (*other.0).head;
            } else {
                (*(*self.0).tail).next = (*other.0).head;
            }
            (*self.0).tail = (*other.0).tail;
            (*other.0).head = ptr::null_mut();
            (*other.0).tail = ptr::null_mut();
        }
    }
}

/// A node that is in no list yet.
pub(crate) struct Node(*mut redisCallback);

impl Node {
    pub(crate) fn new(callback: Callback, tag: Tag) -> Result<Node, OutOfMemory> {
        let node = redisCallback {
            next: ptr::null_mut(),
            r#fn: callback.f,
            pending_subs: tag as c_int,
            unsubscribe_sent: 0,
            privdata: callback.privdata,
        };
        Ok(Node(alloc::new(node)?.as_ptr()))
    }

    pub(crate) fn free(self) {
        // SAFETY: a node of its own.
        unsafe { alloc::free(self.0.cast()) }
    }
}
