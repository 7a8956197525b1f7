//! From item to item: the tasks of a reply in progress.

use core::ffi::{c_int, c_longlong, c_void};
use core::mem::size_of;
use core::ptr;

use super::item::Item;
use super::object::{Custom, expected};
use super::{Fault, Message, Reader, TASK_STEP, protocol};
use crate::abi::*;
use crate::alloc::{self, OutOfMemory};
use crate::resp::leaf::{Native, head, whole_leaf};
use crate::resp::{reply, reply_type};

impl Reader {
    /// Begins a reply: its functions are chosen here for the whole of it.
    pub(super) fn start(self) {
        // SAFETY: a live reader has task 0.
        unsafe {
            let r = self.0;
            (*(*r).task).write(redisReadTask {
                r#type: -1,
                elements: -1,
                idx: -1,
                obj: ptr::null_mut(),
                parent: ptr::null_mut(),
                privdata: (*r).privdata,
            });
            (*r).ridx = 0;
            (*self.whole()).native = self.is_native();
        }
    }

    /// Reads items until the reply is complete or bytes run out.
    pub(super) fn run(self) -> Result<(), Fault> {
        loop {
            // SAFETY: a live reader.
            unsafe {
                let fresh = !self.in_bulk() && (*self.whole()).scanned == 0;
                if (*self.whole()).native && fresh && (*self.0).ridx >= 0 {
                    self.whole_items()?;
                }
                if (*self.0).ridx < 0 || !self.item()? {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the items of a native reply that are wholly there and ordinary, in one go: the
    /// tasks on the way are left as reading item by item would have left them.
    #[inline(always)]
    fn whole_items(self) -> Result<(), Fault> {
        // SAFETY: a live reader with a reply in progress, between two items. A native task's
        // object is a growing reply; as many tasks are used as there are.
        unsafe {
            let r = self.0;
            let (start, end) = self.ends();
            let mut at = start;
            let tasks = (*r).task;
            let task = |i: usize| *tasks.add(i);
            let mut depth = (*r).ridx as usize;
            let (mut parent, mut announced) = (ptr::null_mut::<redisReply>(), 0);
            if depth > 0 {
                let above = task(depth - 1);
                (parent, announced) = ((*above).obj.cast(), (*above).elements as usize);
            }
            loop {
                if !parent.is_null() {
                    loop {
                        if (*parent).elements == announced {
                            break;
                        }
                        let Some(leaf) = whole_leaf(at, end, &Native, |next| at = next) else { break };
                        if leaf.is_null() || !reply::add(parent, announced, leaf.cast()) {
                            return Err(OutOfMemory.into());
                        }
                    }
                    if (*parent).elements == announced {
                        if (*parent).r#type == REDIS_REPLY_ATTR {
                            break;
                        }
                        reply::complete(parent);
                        depth -= 1;
                        if depth == 0 {
                            self.consume(at.addr() - start.addr());
                            (*r).ridx = -1;
                            return Ok(());
                        }
                        let above = task(depth - 1);
                        (parent, announced) = ((*above).obj.cast(), (*above).elements as usize);
                        continue;
                    }
                }
                let (kind, count, next) = head(at);
                if next.is_null() || !self.admits(depth, count) {
                    break;
                }
                at = next;
                let count = if kind == REDIS_REPLY_MAP { 2 * count } else { count } as usize;
                let object = reply::growing(kind, count, expected(end.addr() - at.addr(), depth));
                if object.is_null() {
                    return Err(OutOfMemory.into());
                }
                if parent.is_null() {
                    (*r).reply = object.cast();
                } else {
                    (*task(depth)).idx = (*parent).elements as c_int;
                    if !reply::add(parent, announced, object) {
                        return Err(OutOfMemory.into());
                    }
                }
                (*task(depth)).r#type = kind;
                self.descend(depth, count, object.cast());
                depth += 1;
                (parent, announced) = (object, count);
            }
            if at == start {
                return Ok(());
            }
            self.consume(at.addr() - start.addr());
            (*r).ridx = depth as c_int;
            let task = task(depth);
            (*task).r#type = -1;
            (*task).elements = -1;
            (*task).idx = (*parent).elements as c_int;
            if (*parent).elements == announced {
                (*task).idx = (*task).idx.wrapping_sub(1);
                self.advance();
            }
        }
        Ok(())
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
            if !self.native() && (*self.whole()).scanned == 0 {
                let (at, end) = self.ends();
                let mut next = at;
                let made = whole_leaf(at, end, &Custom { reader: self, task }, |end| next = end);
                if let Some(object) = made {
                    return self.leaf(task, object, next.addr() - at.addr());
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
            (*self.whole()).needed = 0;
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
            let bulk = &mut (*self.whole()).bulk;
            if bulk.have < bulk.want {
                return Ok(false);
            }
            let (text, len) = (bulk.text, bulk.want - 2);
            if text.add(len).read() != b'\r' || text.add(len + 1).read() != b'\n' {
                return Err(protocol("Bad bulk string terminator"));
            }
            bulk.text = ptr::null_mut();
            text.add(len).write(0);
            let object = reply::adopt(REDIS_REPLY_STRING, text, len);
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
                self.deepen()?;
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

    /// Whether an aggregate may be so deep and have so many elements, and a task for its
    /// elements is at hand.
    #[inline(always)]
    fn admits(self, depth: usize, count: u32) -> bool {
        // SAFETY: a live reader.
        let (tasks, maxdepth, maxelements) =
            unsafe { ((*self.0).tasks, (*self.0).maxdepth, (*self.0).maxelements) };
        let depth = depth as c_int;
        depth + 1 < tasks
            && (depth < maxdepth || maxdepth <= 0)
            && (c_longlong::from(count) <= maxelements || maxelements <= 0)
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

    /// Makes sure that there is a task below the current one.
    fn deepen(self) -> Result<(), OutOfMemory> {
        // SAFETY: a live reader; its tasks are replaced only when all is in hand. The
        // records themselves never move.
        unsafe {
            let r = self.0;
            let have = (*r).tasks as usize;
            if ((*r).ridx as usize) + 1 < have {
                return Ok(());
            }
            let more = have.max(TASK_STEP);
            let total = have + more;
            let tasks = c_int::try_from(total).map_err(|_| OutOfMemory)?;
            let records = alloc::malloc(more * size_of::<redisReadTask>()).cast::<redisReadTask>();
            let list = alloc::malloc(total * size_of::<*mut redisReadTask>()).cast::<*mut redisReadTask>();
            if records.is_null() || list.is_null() {
                alloc::free(records.cast());
                alloc::free(list.cast());
                return Err(OutOfMemory);
            }
            ptr::copy_nonoverlapping((*r).task, list, have);
            for i in 0..more {
                list.add(have + i).write(records.add(i));
            }
            if have > 1 {
                alloc::free((*r).task.cast());
            }
            (*r).task = list;
            (*r).tasks = tasks;
        }
        Ok(())
    }
}
