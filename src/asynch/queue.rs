//! The callback lists: plain singly linked queues, as hiredis publishes them.
//!
//! Programs walk them and rewrite `fn` and `privdata` of what waits there, so both
//! are read from the node at the moment of the reply, never before.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::abi::{redisCallback, redisCallbackFn, redisCallbackList};
use crate::alloc::{self, OutOfMemory};
use crate::sys::Stamp;

/// What is special about a waiting command: its reply changes what comes after it, or
/// does not come. Kept in `pending_subs`, which has no other use in a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Plain = 0,
    /// The server sends no reply.
    Muted,
    Monitor,
    /// MONITOR on a connection that monitors, or asked to: no reply if it does.
    MonitorAgain,
    Hello,
    Reset,
    /// EXEC: the commands of the transaction take effect.
    Exec,
    /// DISCARD: they do not.
    Discard,
}

impl Tag {
    #[inline]
    fn from_bits(bits: c_int) -> Tag {
        if bits == 0 { Tag::Plain } else { Tag::special(bits) }
    }

    #[inline(never)]
    fn special(bits: c_int) -> Tag {
        [Tag::Muted, Tag::Monitor, Tag::MonitorAgain, Tag::Hello, Tag::Reset, Tag::Exec, Tag::Discard]
            .into_iter()
            .find(|tag| *tag as c_int == bits)
            .unwrap_or(Tag::Plain)
    }
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
    #[inline]
    pub(crate) fn front_tag(self) -> Tag {
        // SAFETY: a live list; its nodes are live.
        Tag::from_bits(unsafe { self.head().as_ref() }.map_or(0, |node| node.pending_subs))
    }

    pub(crate) fn set_front_tag(self, tag: Tag) {
        // SAFETY: a live list; its nodes are live.
        if let Some(node) = unsafe { self.head().as_mut() } {
            node.pending_subs = tag as c_int;
        }
    }

    /// When the oldest command was sent that the server answers.
    pub(crate) fn oldest_sent(self) -> Option<Stamp> {
        // SAFETY: a live list; its nodes are live.
        unsafe {
            let mut node = self.head();
            while !node.is_null() && (*node).pending_subs == Tag::Muted as c_int {
                node = (*node).next;
            }
            let node = node.as_mut()?;
            if Stamp::from_bits(node.unsubscribe_sent) == Stamp::NONE {
                // Sent before there was a limit: its time begins now.
                node.unsubscribe_sent = Stamp::now().to_bits();
            }
            Some(Stamp::from_bits(node.unsubscribe_sent))
        }
    }

    /// Muted commands will be answered after all.
    pub(crate) fn unmute(self) {
        let mut node = self.head();
        while !node.is_null() {
            // SAFETY: a live node.
            unsafe {
                if (*node).pending_subs == Tag::Muted as c_int {
                    (*node).pending_subs = Tag::Plain as c_int;
                }
                node = (*node).next;
            }
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
    pub(crate) fn shift(self, spare: &mut Spare) -> Option<(Callback, Tag)> {
        let node = self.head();
        if node.is_null() {
            return None;
        }
        // SAFETY: a live list owns its nodes.
        unsafe {
            let callback = Callback { f: (*node).r#fn, privdata: (*node).privdata };
            let tag = Tag::from_bits((*node).pending_subs);
            (*self.0).head = (*node).next;
            if (*self.0).head.is_null() {
                (*self.0).tail = ptr::null_mut();
            }
            spare.keep(node);
            Some((callback, tag))
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
    #[inline]
    pub(crate) fn new(
        spare: &mut Spare,
        callback: Callback,
        tag: Tag,
        sent: Stamp,
    ) -> Result<Node, OutOfMemory> {
        let node = spare.take()?;
        let content = redisCallback {
            next: ptr::null_mut(),
            r#fn: callback.f,
            pending_subs: tag as c_int,
            // No use in a queue either.
            unsubscribe_sent: sent.to_bits(),
            privdata: callback.privdata,
        };
        // SAFETY: a node of its own.
        unsafe { node.write(content) };
        Ok(Node(node))
    }

    pub(crate) fn free(self) {
        // SAFETY: a node of its own.
        unsafe { alloc::free(self.0.cast()) }
    }
}

/// Nodes for later: a deep pipeline takes and gives one for each command. There are never
/// more than were in use at once, nor than MAX.
pub(crate) struct Spare {
    first: *mut redisCallback,
    count: u32,
}

impl Spare {
    const MAX: u32 = 128;

    pub(crate) const fn new() -> Spare {
        Spare { first: ptr::null_mut(), count: 0 }
    }

    #[inline]
    fn take(&mut self) -> Result<*mut redisCallback, OutOfMemory> {
        let node = self.first;
        if node.is_null() {
            let node = alloc::malloc(size_of::<redisCallback>()).cast::<redisCallback>();
            return if node.is_null() { Err(OutOfMemory) } else { Ok(node) };
        }
        // SAFETY: a spare node.
        self.first = unsafe { (*node).next };
        self.count -= 1;
        Ok(node)
    }

    /// # Safety
    /// `node` is in no list any more.
    #[inline]
    unsafe fn keep(&mut self, node: *mut redisCallback) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.count == Spare::MAX {
                return alloc::free(node.cast());
            }
            (*node).next = self.first;
            self.first = node;
            self.count += 1;
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        while self.count > 0
            && let Ok(node) = self.take()
        {
            // SAFETY: a spare node.
            unsafe { alloc::free(node.cast()) };
        }
    }
}
