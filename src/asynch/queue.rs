//! The callback lists: plain singly linked queues, as hiredis publishes them.
//!
//! Programs walk them and rewrite `fn` and `privdata` of what waits there, so both
//! are read from the node at the moment of the reply, never before.

use core::ffi::{c_int, c_void};
use core::{mem, ptr};

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
    pub(crate) fn unmute(self) -> u32 {
        let (mut node, mut again) = (self.head(), 0);
        while !node.is_null() {
            // SAFETY: a live node.
            unsafe {
                (*node).pending_subs &= !MUTED;
                again += u32::from((*node).pending_subs == Tag::MonitorAgain as c_int);
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
    #[inline(always)]
    pub(crate) fn push(self, node: Node) {
        let node = node.0;
        // SAFETY: a live list, which has a tail if it has a head; a new node.
        unsafe {
            (*node).next = ptr::null_mut();
            if (*self.0).head.is_null() {
                (*self.0).head = node;
            } else {
                (*(*self.0).tail).next = node;
            }
            (*self.0).tail = node;
        }
    }

    /// Takes the oldest callback off; `None` when the list is empty. The caller owes
    /// it one call.
    pub(crate) fn shift(self, pool: &mut Pool) -> Option<(Callback, Tag)> {
        // SAFETY: a live list; its nodes are live.
        let tag = Tag::from_bits(unsafe { self.head().as_ref() }?.pending_subs);
        Some((self.take_head(pool), tag))
    }

    /// As `shift`, if the oldest command is neither special nor muted.
    #[inline(always)]
    pub(crate) fn shift_plain(self, pool: &mut Pool) -> Option<Callback> {
        // SAFETY: a live list; its nodes are live.
        let plain = unsafe { self.head().as_ref() }?.pending_subs == Tag::Plain as c_int;
        plain.then(|| self.take_head(pool))
    }

    #[inline(always)]
    fn take_head(self, pool: &mut Pool) -> Callback {
        let node = self.head();
        // SAFETY: callers have seen that there is one; a live list owns its nodes.
        unsafe {
            let callback = Callback { f: (*node).r#fn, privdata: (*node).privdata };
            (*self.0).head = (*node).next;
            if (*self.0).head.is_null() {
                (*self.0).tail = ptr::null_mut();
            }
            pool.give(node.cast());
            callback
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
    pub(crate) fn new(
        pool: &mut Pool,
        callback: Callback,
        tag: Tag,
        muted: bool,
        sent: Stamp,
    ) -> Result<Node, OutOfMemory> {
        let slot = pool.take()?;
        let bits = tag as c_int | if muted { MUTED } else { 0 };
        // SAFETY: a slot of its own.
        Ok(unsafe { Node::write(slot, callback, bits, sent) })
    }

    /// A plain one, if there is memory for it at hand.
    #[inline(always)]
    pub(crate) fn at_hand(pool: &mut Pool, callback: Callback) -> Option<Node> {
        let slot = pool.at_hand()?;
        // SAFETY: a slot of its own.
        Some(unsafe { Node::write(slot, callback, Tag::Plain as c_int, Stamp::NONE) })
    }

    /// # Safety
    /// The slot is nobody else's.
    #[inline(always)]
    unsafe fn write(slot: *mut Slot, callback: Callback, bits: c_int, sent: Stamp) -> Node {
        let content = redisCallback {
            next: ptr::null_mut(),
            r#fn: callback.f,
            pending_subs: bits,
            // No use in a queue either.
            unsubscribe_sent: sent.to_bits(),
            privdata: callback.privdata,
        };
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*slot).node).write(content) };
        Node(slot.cast())
    }

    /// Gives it back unused.
    pub(crate) fn free(self, pool: &mut Pool) {
        // SAFETY: a node of this pool, in no list.
        unsafe { pool.give(self.0.cast()) }
    }
}

/// The memory of nodes. They come and go in order, as a rule, so they are taken one after the
/// other from a chunk, which serves again, or is freed, when all of them are back.
pub(crate) struct Pool {
    /// What is left of the current chunk.
    next: *mut Slot,
    end: *mut Slot,
    current: *mut Chunk,
    /// The largest one that was not in use, if any.
    spare: *mut Chunk,
}

#[repr(C)]
struct Slot {
    node: redisCallback,
    chunk: *mut Chunk,
}

/// Followed by its slots.
#[repr(C)]
struct Chunk {
    room: u32,
    /// How many of its slots are in use.
    used: u32,
    slots: [Slot; 0],
}

impl Chunk {
    const MOST: u32 = 64;

    /// # Safety
    /// `chunk` is live.
    unsafe fn slots(chunk: *mut Chunk) -> *mut Slot {
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*chunk).slots).cast() }
    }
}

impl Pool {
    pub(crate) const fn new() -> Pool {
        Pool { next: ptr::null_mut(), end: ptr::null_mut(), current: ptr::null_mut(), spare: ptr::null_mut() }
    }

    fn take(&mut self) -> Result<*mut Slot, OutOfMemory> {
        if self.next == self.end {
            self.open_chunk()?;
        }
        self.at_hand().ok_or(OutOfMemory)
    }

    /// A slot of the current chunk, if there is one left.
    #[inline(always)]
    fn at_hand(&mut self) -> Option<*mut Slot> {
        let slot = self.next;
        if slot == self.end {
            return None;
        }
        // SAFETY: a slot of the current chunk.
        unsafe {
            (*slot).chunk = self.current;
            (*self.current).used += 1;
            self.next = slot.add(1);
        }
        Some(slot)
    }

    /// # Safety
    /// `slot` came from this pool and is not used afterwards.
    #[inline(always)]
    unsafe fn give(&mut self, slot: *mut Slot) {
        // SAFETY: the caller's promise; a chunk lives while slots of it are in use.
        unsafe {
            let chunk = (*slot).chunk;
            (*chunk).used -= 1;
            if (*chunk).used == 0 {
                self.retire(chunk);
            }
        }
    }

    /// Begins with another chunk: the spare one, or a new one that is twice as large.
    #[cold]
    #[inline(never)]
    fn open_chunk(&mut self) -> Result<(), OutOfMemory> {
        let mut chunk = mem::replace(&mut self.spare, ptr::null_mut());
        // SAFETY: the current chunk is NULL or live; a new one has room for its slots.
        unsafe {
            if chunk.is_null() {
                let last = self.current.as_ref().map_or(0, |chunk| chunk.room);
                let room = (2 * last).clamp(1, Chunk::MOST);
                let size = size_of::<Chunk>() + room as usize * size_of::<Slot>();
                chunk = alloc::malloc(size).cast();
                if chunk.is_null() {
                    return Err(OutOfMemory);
                }
                (*chunk).room = room;
                (*chunk).used = 0;
            }
            self.current = chunk;
            self.next = Chunk::slots(chunk);
            self.end = self.next.add((*chunk).room as usize);
        }
        Ok(())
    }

    /// All slots of a chunk are back.
    ///
    /// # Safety
    /// They are.
    #[inline(never)]
    unsafe fn retire(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller's promise; a chunk of this pool.
        unsafe {
            if chunk == self.current {
                self.next = Chunk::slots(chunk);
                return;
            }
            let mut other = chunk;
            if self.spare.is_null() || (*self.spare).room < (*chunk).room {
                mem::swap(&mut self.spare, &mut other);
            }
            alloc::free(other.cast());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: chunks of this pool, or NULL; no slot is in use.
        unsafe {
            alloc::free(self.current.cast());
            alloc::free(self.spare.cast());
        }
    }
}
