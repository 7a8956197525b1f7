//! The callback lists: plain singly linked queues, as hiredis publishes them.
//!
//! Programs walk them and rewrite `fn` and `privdata` of what waits there, so both
//! are read from the node at the moment of the reply, never before.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::abi::{redisCallback, redisCallbackFn, redisCallbackList};
use crate::alloc::{self, OutOfMemory};
use crate::sys::Stamp;

/// What is special about a waiting command: its reply changes what comes after it. Kept
/// in `pending_subs`, which has no other use in a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Plain = 0,
    Monitor,
    /// MONITOR on a connection that monitors, or asked to: no reply if it does.
    MonitorAgain,
    Hello,
    Reset,
    Multi,
    /// EXEC: the commands of the transaction take effect.
    Exec,
    /// DISCARD: they do not.
    Discard,
}

/// Beside the tag: the server sends no reply.
const MUTED: c_int = 0x100;

impl Tag {
    /// Whether the command ends a transaction.
    pub(crate) fn ends_multi(self) -> bool {
        matches!(self, Tag::Exec | Tag::Discard | Tag::Reset)
    }

    #[inline]
    fn from_bits(bits: c_int) -> Tag {
        if bits == 0 { Tag::Plain } else { Tag::special(bits & !MUTED) }
    }

    #[inline(never)]
    fn special(bits: c_int) -> Tag {
        [Tag::Monitor, Tag::MonitorAgain, Tag::Hello, Tag::Reset, Tag::Multi, Tag::Exec, Tag::Discard]
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

    /// The tag of the oldest callback, and whether it is muted.
    pub(crate) fn front(self) -> Option<(Tag, bool)> {
        // SAFETY: a live list; its nodes are live.
        let bits = unsafe { self.head().as_ref() }?.pending_subs;
        Some((Tag::from_bits(bits), bits & MUTED != 0))
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
            while !node.is_null() && (*node).pending_subs & MUTED != 0 {
                node = (*node).next;
            }
            stamp(node)
        }
    }

    /// When the first command was sent, if the server answers that.
    pub(crate) fn front_sent(self) -> Option<Stamp> {
        // SAFETY: a live list; its nodes are live.
        unsafe {
            let node = self.head();
            if !node.is_null() && (*node).pending_subs & MUTED != 0 { None } else { stamp(node) }
        }
    }

    /// Muted commands will be answered after all. Gives how many MonitorAgain there are.
    pub(crate) fn unmute(self) -> usize {
        let (mut node, mut again) = (self.head(), 0);
        while !node.is_null() {
            // SAFETY: a live node.
            unsafe {
                (*node).pending_subs &= !MUTED;
                again += usize::from((*node).pending_subs == Tag::MonitorAgain as c_int);
                node = (*node).next;
            }
        }
        again
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

/// When a command was sent; `None` for NULL.
///
/// # Safety
/// `node` is NULL or live.
unsafe fn stamp(node: *mut redisCallback) -> Option<Stamp> {
    // SAFETY: the caller's promise.
    let node = unsafe { node.as_mut() }?;
    if Stamp::from_bits(node.unsubscribe_sent) == Stamp::NONE {
        // Sent before there was a limit: its time begins now.
        node.unsubscribe_sent = Stamp::now().to_bits();
    }
    Some(Stamp::from_bits(node.unsubscribe_sent))
}

/// A node that is in no list yet.
pub(crate) struct Node(*mut redisCallback);

impl Node {
    #[inline]
    pub(crate) fn new(
        spare: &mut Spare,
        callback: Callback,
        tag: Tag,
        muted: bool,
        sent: Stamp,
    ) -> Result<Node, OutOfMemory> {
        let node = spare.take()?;
        let content = redisCallback {
            next: ptr::null_mut(),
            r#fn: callback.f,
            pending_subs: tag as c_int | if muted { MUTED } else { 0 },
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
