//! From item to item: the tasks of a reply in progress.

use core::ffi::{c_int, c_longlong, c_void};
use core::mem::size_of;
use core::ptr;

use super::item::Item;
use super::{Fault, Message, Reader, protocol, tasks_after};
use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::resp::leaf::{Leaf, bulk_size, head, make};
use crate::resp::{reply, reply_type};

impl Reader {
    /// Begins a reply at task 0. The functions are chosen here for the whole of it.
    pub(super) fn start(self) -> Result<(), OutOfMemory> {
        self.deepen(0)?;
        // SAFETY: a live reader with a task.
        unsafe {
            self.clear_task(0, ptr::null());
            (*self.0).ridx = 0;
            (*self.whole()).native = self.is_native();
        }
        Ok(())
    }

    /// Reads items, one at least, until the reply is complete or bytes run out.
    pub(super) fn run(self) -> Result<(), Fault> {
        loop {
            // SAFETY: a live reader.
            unsafe {
                if !self.item()? || (*self.0).ridx == -1 {
                    return Ok(());
                }
                if (*self.0).pos == (*self.0).len || ((*self.whole()).native && self.whole_items()?) {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the items of a native reply that are wholly there and ordinary, in one go; true
    /// when the reply is complete. It needs no tasks: what grows knows what it is part of. If
    /// it stops in the middle, the tasks are such that reading can go on item by item.
    ///
    /// # Safety
    /// The reader has a buffer, and is between two items of a native reply, or before one.
    #[inline(never)]
    pub(super) unsafe fn whole_items(self) -> Result<bool, OutOfMemory> {
        // SAFETY: the caller's promise.
        unsafe {
            let r = self.0;
            let (start, end) = self.ends();
            let limits = Limits::of(r);
            let mut at = start;
            // How many aggregates grow, and how many of these are as the tasks have them.
            let (mut depth, mut lowest, mut level);
            if (*r).ridx > 0 {
                depth = (*r).ridx as usize;
                lowest = depth;
                level = Level::of((*self.task(depth - 1)).obj.cast());
            } else {
                let Some((kind, count, next)) =
                    head(at).filter(|head| head.1 == 0 || limits.admit(0, head.1))
                else {
                    return Ok(false);
                };
                let unread = end.addr() - at.addr();
                let object = if count == 0 {
                    reply::empty(kind)
                } else {
                    reply::growing(kind, count as usize, unread, 0, ptr::null_mut())
                };
                if object.is_null() {
                    return Err(OutOfMemory);
                }
                (*r).reply = object.cast();
                if count == 0 {
                    self.consume(next.addr() - start.addr());
                    (*r).ridx = -1;
                    return Ok(true);
                }
                at = next;
                (depth, lowest, level) = (1, 0, Level::of(object));
            }
            loop {
                if level.slot == level.end {
                    level.note();
                    if !reply::is_full(level.reply) {
                        level = level.widen()?;
                        continue;
                    }
                    // Only an aggregate of before can be an attribute.
                    if depth <= lowest {
                        if (*level.reply).r#type == REDIS_REPLY_ATTR {
                            break;
                        }
                        lowest = depth - 1;
                    }
                    let above = reply::complete(level.reply);
                    if above.is_null() {
                        self.consume(at.addr() - start.addr());
                        (*r).ridx = -1;
                        return Ok(true);
                    }
                    depth -= 1;
                    level = Level::of(above);
                    continue;
                }
                if let Some((leaf, next)) = Leaf::near(at, end) {
                    let element = leaf.reply();
                    if element.is_null() {
                        level.note();
                        return Err(OutOfMemory);
                    }
                    level.put(element);
                    at = next;
                    continue;
                }
                let head = head(at);
                if let Some((kind, count, next)) = head.filter(|head| limits.admit(depth, head.1)) {
                    let unread = end.addr() - at.addr();
                    let object = reply::growing(kind, count as usize, unread, depth, level.reply);
                    if object.is_null() {
                        level.note();
                        return Err(OutOfMemory);
                    }
                    level.put(object);
                    level.note();
                    at = next;
                    depth += 1;
                    level = Level::of(object);
                    continue;
                }
                let (element, next) = match head {
                    Some((kind, 0, next)) if limits.admit(depth, 1) => (reply::empty(kind), next),
                    _ => far_reply(at, end),
                };
                if next.is_null() {
                    level.note();
                    break;
                }
                if element.is_null() {
                    level.note();
                    return Err(OutOfMemory);
                }
                level.put(element);
                at = next;
            }
            if at != start {
                self.consume(at.addr() - start.addr());
                self.note_tasks(lowest, depth, level.reply)?;
            }
            // An attribute that is kept is a reply as well.
            Ok((*r).ridx == -1 && at != start)
        }
    }

    unsafe fn task(self, depth: usize) -> *mut redisReadTask {
        // SAFETY: callers pass the depth of a task that there is.
        unsafe { *(*self.0).task.add(depth) }
    }

    /// Makes the tasks from depth `lowest` on those of native aggregates that grow, down to
    /// `parent`, whose next element is what the task at `depth` is for.
    #[inline(never)]
    unsafe fn note_tasks(
        self,
        lowest: usize,
        depth: usize,
        parent: *mut redisReply,
    ) -> Result<(), OutOfMemory> {
        self.deepen(depth)?;
        // SAFETY: the caller's promise; there are tasks as far as `depth`.
        unsafe {
            (*self.0).ridx = depth as c_int;
            let (mut object, mut i) = (parent, depth);
            self.clear_task(depth, parent);
            while i > lowest {
                i -= 1;
                let above = (*object).str.cast::<redisReply>();
                self.clear_task(i, above);
                let task = self.task(i);
                (*task).idx -= c_int::from(i > 0);
                (*task).r#type = (*object).r#type;
                (*task).elements = (*object).integer;
                (*task).obj = object.cast();
                object = above;
            }
            if reply::is_full(parent) {
                (*self.task(depth)).idx -= 1;
                self.advance();
            }
        }
        Ok(())
    }

    /// Begins the task at this depth, whose item will be the next element of `parent`.
    ///
    /// # Safety
    /// There is such a task; `parent` is NULL or grows.
    unsafe fn clear_task(self, depth: usize, parent: *const redisReply) {
        // SAFETY: the caller's promise.
        unsafe {
            let root = parent.is_null();
            self.task(depth).write(redisReadTask {
                r#type: -1,
                elements: -1,
                idx: if root { -1 } else { (*parent).elements as c_int },
                obj: ptr::null_mut(),
                parent: if root { ptr::null_mut() } else { self.task(depth - 1) },
                privdata: (*self.0).privdata,
            });
        }
    }

    /// Reads one item; false when it is not complete yet.
    #[inline]
    fn item(self) -> Result<bool, Fault> {
        // SAFETY: a live reader. `parse` has its slices to itself: they are gone when an
        // object is made, by user code that may look at the buffer and even write to it.
        unsafe {
            let r = self.0;
            let task = *(*r).task.add((*r).ridx as usize);
            if self.in_bulk() {
                return self.finish_bulk(task);
            }
            if (*self.whole()).scanned == 0 {
                let (at, end) = self.ends();
                let native = self.native();
                if let Some((leaf, next)) = Leaf::near(at, end) {
                    let object =
                        if native { self.link(task, make(&leaf)) } else { self.make_leaf(task, leaf) };
                    return self.leaf(task, object, next.addr() - at.addr());
                }
                if native && *at != b'$' {
                    let (object, next) = far_reply(at, end);
                    if !next.is_null() {
                        return self.leaf(task, self.link(task, object), next.addr() - at.addr());
                    }
                }
                if let Some(size) = bulk_size(at, end).filter(|size| end.addr() - at.addr() < *size) {
                    (*self.whole()).needed = size;
                    return Ok(false);
                }
            }
            let Some(&byte) = self.unread().first() else { return Ok(false) };
            let kind = reply_type(byte)
                .ok_or(Fault { kind: REDIS_ERR_PROTOCOL, message: Message::TypeByte(byte) })?;
            (*task).r#type = kind;
            let text = |at: usize| (*r).buf.cast::<u8>().add((*r).pos + 1 + at);
            let (object, size) = match self.parse(kind)? {
                Item::Incomplete => {
                    self.wait_for_line();
                    return Ok(false);
                }
                Item::Big { payload, len } => {
                    return self.receive_in_place(text(payload), len, payload + 1).map(|()| false);
                }
                Item::Elements { count, size } => return self.aggregate(task, count, size),
                Item::Text { at, len, size } => (self.make_string(task, text(at), len), size),
                Item::Integer { value, size } => (self.make_integer(task, value), size),
                Item::Double { value, len } => (self.make_double(task, value, text(0), len), len + 3),
                Item::Bool { value } => (self.make_bool(task, value.into()), 4),
                Item::Nil { size } => (self.make_nil(task), size),
            };
            self.leaf(task, object, size)
        }
    }

    /// An item is incomplete: unless it says how much it needs, a line end is missing.
    unsafe fn wait_for_line(self) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            let unread = self.unread();
            if (*self.whole()).needed <= unread.len() {
                let missing = if unread.last() == Some(&b'\r') { 1 } else { 2 };
                (*self.whole()).needed = unread.len() + missing;
            }
        }
    }

    /// Stores a finished leaf and consumes its `size` bytes.
    ///
    /// # Safety
    /// `task` is the current task; the item's bytes are all there.
    #[inline]
    unsafe fn leaf(self, task: *mut redisReadTask, object: *mut c_void, size: usize) -> Result<bool, Fault> {
        if object.is_null() {
            return Err(OutOfMemory.into());
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.consume(size);
            if (*task).parent.is_null() {
                (*self.0).reply = object;
            }
        }
        self.advance();
        Ok(true)
    }

    pub(super) fn consume(self, size: usize) {
        // SAFETY: a live reader is a Whole.
        unsafe {
            (*self.0).pos += size;
            (*self.whole()).scanned = 0;
            (*self.whole()).needed = 1;
        }
    }

    /// Goes on to the next element, or up as far as aggregates are complete.
    #[inline]
    fn advance(self) {
        // SAFETY: a live reader; tasks 0 to `ridx` are in use.
        unsafe {
            let r = self.0;
            loop {
                if (*r).ridx <= 0 {
                    if self.forget_attribute(*(*r).task) {
                        return;
                    }
                    (*r).ridx = -1;
                    return;
                }
                let task = *(*r).task.add((*r).ridx as usize);
                if self.forget_attribute(task) {
                    return;
                }
                let parent = (*task).parent;
                if c_longlong::from((*task).idx as u32) < (*parent).elements - 1 {
                    (*task).r#type = -1;
                    (*task).elements = -1;
                    (*task).idx = (*task).idx.wrapping_add(1);
                    return;
                }
                if (*self.whole()).native {
                    reply::complete((*parent).obj.cast());
                }
                (*r).ridx -= 1;
            }
        }
    }

    /// Drops a complete attribute, whose place the value that follows it takes.
    ///
    /// # Safety
    /// `task` is a task of this reader whose item is complete.
    #[inline]
    unsafe fn forget_attribute(self, task: *mut redisReadTask) -> bool {
        // SAFETY: the caller's promise; a native attribute is the last element of its
        // parent, or the root.
        unsafe {
            if (*task).r#type != REDIS_REPLY_ATTR
                || !(*self.whole()).native
                || !(*self.whole()).drop_attributes
            {
                return false;
            }
            if (*task).parent.is_null() {
                let root = (*self.0).reply;
                (*self.0).reply = ptr::null_mut();
                reply::release(root);
            } else {
                reply::drop_last((*(*task).parent).obj.cast());
            }
            (*task).r#type = -1;
            (*task).elements = -1;
        }
        true
    }

    /// Makes the reply of a bulk string that was received in place.
    ///
    /// # Safety
    /// `task` is the current task, and there is such a string.
    unsafe fn finish_bulk(self, task: *mut redisReadTask) -> Result<bool, Fault> {
        // SAFETY: the caller's promise; the block has `room + 1` bytes.
        unsafe {
            let bulk = (*self.whole()).bulk;
            if (*bulk).have < (*bulk).want {
                return Ok(false);
            }
            let (text, len) = ((*bulk).text, (*bulk).want - 2);
            if text.add(len).read() != b'\r' || text.add(len + 1).read() != b'\n' {
                return Err(protocol("Bad bulk string terminator"));
            }
            self.take_bulk();
            if let Some(buf) = self.buf() {
                self.set_buf(buf);
            }
            text.add(len).write(0);
            let object = reply::adopt(REDIS_REPLY_STRING, text, len, 0.0);
            let object = self.link(task, object);
            self.leaf(task, object, 0)
        }
    }

    /// Makes an aggregate, which takes `size` bytes, and begins its first element.
    ///
    /// # Safety
    /// `task` is the current task.
    unsafe fn aggregate(self, task: *mut redisReadTask, count: u32, size: usize) -> Result<bool, Fault> {
        // SAFETY: the caller's promise; after constructors ran the reader is looked at anew.
        unsafe {
            let r = self.0;
            if count > 0 {
                self.deepen((*r).ridx as usize + 1)?;
            }
            let object = self.make_array(task, count as usize);
            if count == 0 {
                return self.leaf(task, object, size);
            }
            if object.is_null() {
                return Err(OutOfMemory.into());
            }
            self.consume(size);
            if (*task).parent.is_null() {
                (*r).reply = object;
            }
            self.descend((*r).ridx as usize, count as usize, object);
            (*r).ridx += 1;
        }
        Ok(true)
    }

    /// The task at this depth is an aggregate: its elements come next.
    ///
    /// # Safety
    /// There is a task below that one.
    #[inline(always)]
    unsafe fn descend(self, depth: usize, count: usize, object: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe {
            let r = self.0;
            let task = *(*r).task.add(depth);
            (*task).elements = count as c_longlong;
            (*task).obj = object;
            let child = *(*r).task.add(depth + 1);
            (*child).r#type = -1;
            (*child).elements = -1;
            (*child).idx = 0;
            (*child).obj = ptr::null_mut();
            (*child).parent = task;
            (*child).privdata = (*r).privdata;
        }
    }

    /// Makes sure that there is a task at this depth.
    fn deepen(self, depth: usize) -> Result<(), OutOfMemory> {
        loop {
            // SAFETY: a live reader.
            if depth < unsafe { (*self.0).tasks } as usize {
                return Ok(());
            }
            self.add_tasks()?;
        }
    }

    #[cold]
    fn add_tasks(self) -> Result<(), OutOfMemory> {
        // SAFETY: a live reader; its tasks are replaced only when all is in hand. The
        // records themselves never move.
        unsafe {
            let r = self.0;
            let have = (*r).tasks as usize;
            let more = tasks_after(have);
            let total = have + more;
            let tasks = c_int::try_from(total).map_err(|_| OutOfMemory)?;
            let records = alloc::malloc(more * size_of::<redisReadTask>()).cast::<redisReadTask>();
            let list = alloc::malloc(total * size_of::<*mut redisReadTask>()).cast::<*mut redisReadTask>();
            if records.is_null() || list.is_null() {
                alloc::free(records.cast());
                alloc::free(list.cast());
                return Err(OutOfMemory);
            }
            if have > 0 {
                ptr::copy_nonoverlapping((*r).task, list, have);
            }
            for i in 0..more {
                list.add(have + i).write(records.add(i));
            }
            alloc::free((*r).task.cast());
            (*r).task = list;
            (*r).tasks = tasks;
        }
        Ok(())
    }
}

/// The reply of a leaf that is not near, and where it ends, which is NULL if there is none.
///
/// # Safety
/// As for `Leaf::near`.
#[inline(never)]
unsafe fn far_reply(at: *const u8, end: *const u8) -> (*mut redisReply, *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        match Leaf::other(at, end) {
            Some((leaf, next)) => (make(&leaf), next),
            None => (ptr::null_mut(), ptr::null()),
        }
    }
}

/// How deep aggregates may nest and how many elements they may have. What the limits do not
/// allow, or might not, is left for reading item by item.
struct Limits {
    /// Both are one less.
    depth: u32,
    elements: u64,
}

impl Limits {
    /// # Safety
    /// `r` is a live reader.
    unsafe fn of(r: *const redisReader) -> Limits {
        const MOST: u64 = 1 << 28;
        // SAFETY: the caller's promise.
        let (depth, elements) = unsafe { ((*r).maxdepth, (*r).maxelements) };
        // Without a sign, so that what is not positive is no limit.
        Limits {
            depth: depth.cast_unsigned().wrapping_sub(1),
            elements: elements.cast_unsigned().wrapping_sub(1).min(MOST),
        }
    }

    /// None is too few as well.
    #[inline(always)]
    fn admit(&self, depth: usize, elements: u64) -> bool {
        depth as u32 <= self.depth && elements.wrapping_sub(1) <= self.elements
    }
}

/// An aggregate that grows, and where its next element goes. `elements` is behind until `note`.
struct Level {
    reply: *mut redisReply,
    slot: *mut *mut redisReply,
    end: *mut *mut redisReply,
}

impl Level {
    /// # Safety
    /// `reply` grows while the Level is in use.
    #[inline(always)]
    unsafe fn of(reply: *mut redisReply) -> Level {
        // SAFETY: the caller's promise; the vector has `len` slots.
        unsafe {
            let slots = (*reply).element;
            Level { reply, slot: slots.add((*reply).elements), end: slots.add((*reply).len) }
        }
    }

    #[cold]
    unsafe fn widen(&self) -> Result<Level, OutOfMemory> {
        // SAFETY: the reply grows, and is not full.
        unsafe { if reply::widen(self.reply) { Ok(Level::of(self.reply)) } else { Err(OutOfMemory) } }
    }

    /// # Safety
    /// There is a slot.
    #[inline(always)]
    unsafe fn put(&mut self, element: *mut redisReply) {
        // SAFETY: the caller's promise.
        unsafe {
            self.slot.write(element);
            self.slot = self.slot.add(1);
        }
    }

    #[inline(always)]
    unsafe fn note(&self) {
        // SAFETY: the slot is in the vector, or behind it.
        unsafe { (*self.reply).elements = self.slot.offset_from_unsigned((*self.reply).element) }
    }
}
