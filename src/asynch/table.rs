//! Subscriptions by name: a hash table whose every step can fail politely.
//!
//! A channel is one block with its name at the end, and stays where it is until it is
//! removed. The table holds pointers and, apart from them, a byte of each hash, so
//! that a look-up touches the table once and then the right channel. Probing is
//! linear; removal moves later entries up, so there are no tombstones.

use core::ffi::c_void;
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};
use core::slice;

use crate::abi::redisCallbackFn;
use crate::alloc::{self, OutOfMemory};

/// A channel, pattern or shard channel that somebody subscribed to.
#[repr(C)]
pub(crate) struct Channel {
    pub(crate) f: Option<redisCallbackFn>,
    pub(crate) privdata: *mut c_void,
    hash: u32,
    /// Length of the name; the top bit says that the server has confirmed.
    len: u32,
    /// Confirmations that the server still owes.
    pub(crate) pending: u32,
    name: [u8; 0],
}

const ACTIVE: u32 = 1 << 31;

impl Channel {
    pub(crate) fn is_active(&self) -> bool {
        self.len & ACTIVE != 0
    }

    /// Nobody waits for it and nothing comes from it.
    pub(crate) fn is_over(&self) -> bool {
        self.pending == 0 && !self.is_active()
    }

    /// # Safety
    /// `channel` is live.
    #[inline(always)]
    unsafe fn is_called(channel: *mut Channel, name: &[u8]) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let own = Channel::name(channel);
            own.len() == name.len() && same(own.as_ptr(), name.as_ptr(), name.len())
        }
    }

    /// # Safety
    /// `channel` is live, and stays so while the slice is in use.
    pub(crate) unsafe fn name<'a>(channel: *mut Channel) -> &'a [u8] {
        // SAFETY: the name lies behind the struct, in the same block.
        unsafe {
            let name = channel.cast::<u8>().add(offset_of!(Channel, name));
            slice::from_raw_parts(name, ((*channel).len & !ACTIVE) as usize)
        }
    }
}

/// Whether two texts are the same, without a call.
///
/// # Safety
/// Both have `len` bytes.
#[inline(always)]
unsafe fn same(a: *const u8, b: *const u8, len: usize) -> bool {
    const WORD: usize = size_of::<u64>();
    let mut at = 0;
    // SAFETY: the caller's promise.
    unsafe {
        if len < WORD {
            while at < len && *a.add(at) == *b.add(at) {
                at += 1;
            }
            return at == len;
        }
        let word = |text: *const u8, at: usize| text.add(at).cast::<u64>().read_unaligned();
        let last = len - WORD;
        while at < last {
            if word(a, at) != word(b, at) {
                return false;
            }
            at += WORD;
        }
        word(a, last) == word(b, last)
    }
}

/// Channels by name. The table owns them.
pub(crate) struct Table {
    /// `capacity` pointers, and behind them as many tags; a tag of 0 is a free slot.
    slots: *mut *mut Channel,
    /// 0 or a power of two.
    capacity: usize,
    used: usize,
    active: usize,
    /// Where `any` looks first.
    hint: usize,
    /// The channel that `find` found last; messages tend to come in runs.
    last: *mut Channel,
}

const FIRST_CAPACITY: usize = 8;

impl Table {
    pub(crate) const fn new() -> Table {
        Table { slots: ptr::null_mut(), capacity: 0, used: 0, active: 0, hint: 0, last: ptr::null_mut() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many channels the server has confirmed.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// # Safety
    /// `channel` is in this table.
    pub(crate) unsafe fn set_active(&mut self, channel: *mut Channel, active: bool) {
        // SAFETY: the caller's promise.
        let len = unsafe { &mut (*channel).len };
        let was = *len & ACTIVE != 0;
        *len = (*len & !ACTIVE) | if active { ACTIVE } else { 0 };
        match (was, active) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            _ => {}
        }
    }

    fn tag(hash: u32) -> u8 {
        (hash >> 25) as u8 | 0x80
    }

    fn mask(&self) -> usize {
        self.capacity.wrapping_sub(1)
    }

    /// # Safety
    /// `at` is below the capacity.
    unsafe fn slot(&self, at: usize) -> *mut *mut Channel {
        // SAFETY: the caller's promise.
        unsafe { self.slots.add(at) }
    }

    /// # Safety
    /// `at` is below the capacity.
    unsafe fn tag_at(&self, at: usize) -> *mut u8 {
        // SAFETY: the tags follow the slots in the same block.
        unsafe { self.slots.add(self.capacity).cast::<u8>().add(at) }
    }

    /// A channel by its name; without a hash if it is the same as last time.
    #[inline(always)]
    pub(crate) fn find(&mut self, hash: impl FnOnce() -> u32, name: &[u8]) -> Option<NonNull<Channel>> {
        // SAFETY: NULL or a channel of this table.
        if !self.last.is_null() && unsafe { Channel::is_called(self.last, name) } {
            return NonNull::new(self.last);
        }
        let hash = hash();
        let at = self.position(hash, |channel| {
            // SAFETY: the table's channels are live.
            unsafe { (*channel).hash == hash && Channel::is_called(channel, name) }
        })?;
        // SAFETY: a position is below the capacity.
        self.last = unsafe { *self.slot(at) };
        NonNull::new(self.last)
    }

    /// A channel by its hash alone.
    pub(crate) fn find_hash(&self, hash: u32) -> Option<NonNull<Channel>> {
        // SAFETY: the table's channels are live; a position is below the capacity.
        unsafe {
            let at = self.position(hash, |channel| (*channel).hash == hash)?;
            NonNull::new(*self.slot(at))
        }
    }

    /// The slot of the first channel with this hash's tag that `is` likes.
    #[inline(always)]
    fn position(&self, hash: u32, is: impl Fn(*mut Channel) -> bool) -> Option<usize> {
        if self.capacity == 0 {
            return None;
        }
        let mut at = hash as usize & self.mask();
        loop {
            // SAFETY: masked, so below the capacity; some slot is always free.
            unsafe {
                let tag = *self.tag_at(at);
                if tag == 0 {
                    return None;
                }
                if tag == Table::tag(hash) && is(*self.slot(at)) {
                    return Some(at);
                }
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Adds a channel, which is not there yet, without callback and not active.
    #[inline(never)]
    pub(crate) fn insert(&mut self, hash: u32, name: &[u8]) -> Result<NonNull<Channel>, OutOfMemory> {
        let len = u32::try_from(name.len()).ok().filter(|len| len & ACTIVE == 0).ok_or(OutOfMemory)?;
        self.reserve()?;
        let size = (offset_of!(Channel, name) + name.len()).max(size_of::<Channel>());
        let channel = NonNull::new(alloc::malloc(size).cast::<Channel>()).ok_or(OutOfMemory)?;
        // SAFETY: the block has room for the struct and for the name behind it.
        unsafe {
            let blank = Channel { f: None, privdata: ptr::null_mut(), hash, len, pending: 0, name: [] };
            channel.write(blank);
            let text = channel.as_ptr().cast::<u8>().add(offset_of!(Channel, name));
            ptr::copy_nonoverlapping(name.as_ptr(), text, name.len());
        }
        self.put(channel.as_ptr());
        self.used += 1;
        Ok(channel)
    }

    /// Puts a channel into the first free slot for it.
    fn put(&mut self, channel: *mut Channel) {
        // SAFETY: a live channel; masked, so below the capacity; a slot is free.
        unsafe {
            let hash = (*channel).hash;
            let mut at = hash as usize & self.mask();
            while *self.tag_at(at) != 0 {
                at = (at + 1) & self.mask();
            }
            *self.tag_at(at) = Table::tag(hash);
            *self.slot(at) = channel;
        }
    }

    /// Makes sure that one more fits with an eighth of the slots left free.
    fn reserve(&mut self) -> Result<(), OutOfMemory> {
        if self.used < self.capacity / 8 * 7 {
            return Ok(());
        }
        let capacity = if self.capacity == 0 { FIRST_CAPACITY } else { self.capacity * 2 };
        let slots = alloc::calloc(capacity, size_of::<*mut Channel>() + 1).cast::<*mut Channel>();
        if slots.is_null() {
            return Err(OutOfMemory);
        }
        let old = core::mem::replace(self, Table { slots, capacity, ..*self });
        old.each(|channel| self.put(channel));
        // SAFETY: NULL or the old table's block.
        unsafe { alloc::free(old.slots.cast()) };
        Ok(())
    }

    pub(crate) fn each(&self, mut f: impl FnMut(*mut Channel)) {
        for at in 0..self.capacity {
            // SAFETY: below the capacity.
            unsafe {
                if *self.tag_at(at) != 0 {
                    f(*self.slot(at));
                }
            }
        }
    }

    /// Takes a channel out and frees it.
    ///
    /// # Safety
    /// `channel` is in this table.
    #[inline(never)]
    pub(crate) unsafe fn remove(&mut self, channel: *mut Channel) {
        // SAFETY: the caller's promise; all positions are masked.
        unsafe {
            self.set_active(channel, false);
            let Some(mut hole) = self.position((*channel).hash, |c| ptr::eq(c, channel)) else { return };
            if self.last == channel {
                self.last = ptr::null_mut();
            }
            alloc::free(channel.cast());
            self.used -= 1;
            let mut at = hole;
            loop {
                at = (at + 1) & self.mask();
                if *self.tag_at(at) == 0 {
                    break;
                }
                let home = (**self.slot(at)).hash as usize & self.mask();
                // Whoever would not be found past the hole moves into it.
                if (at.wrapping_sub(home) & self.mask()) >= (at.wrapping_sub(hole) & self.mask()) {
                    *self.slot(hole) = *self.slot(at);
                    *self.tag_at(hole) = *self.tag_at(at);
                    hole = at;
                }
            }
            *self.tag_at(hole) = 0;
        }
        if self.used == 0 {
            self.release();
        }
    }

    /// Some channel that `is` likes. Going through a whole table this way, removing what
    /// is found, takes time in proportion to its size.
    #[inline(never)]
    pub(crate) fn any(&mut self, is: impl Fn(&Channel) -> bool) -> Option<NonNull<Channel>> {
        for _ in 0..self.capacity {
            self.hint &= self.mask();
            // SAFETY: masked, so below the capacity; the table's channels are live.
            unsafe {
                if *self.tag_at(self.hint) != 0 && is(&**self.slot(self.hint)) {
                    return NonNull::new(*self.slot(self.hint));
                }
            }
            self.hint += 1;
        }
        None
    }

    /// Frees the memory of an empty table.
    #[inline(never)]
    fn release(&mut self) {
        // SAFETY: NULL or this table's block.
        unsafe { alloc::free(self.slots.cast()) };
        *self = Table::new();
    }

    /// Frees the channels and the table.
    #[inline(never)]
    pub(crate) fn free(&mut self) {
        // SAFETY: the table's channels are its own.
        self.each(|channel| unsafe { alloc::free(channel.cast()) });
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bad hash on purpose, so that probing and removal meet many collisions.
    fn hash(name: &[u8]) -> u32 {
        let sum: u32 = name.iter().map(|b| u32::from(*b)).sum();
        ((sum % 13) << 25) | name.len() as u32
    }

    #[test]
    fn behaves_like_a_set() {
        let mut table = Table::new();
        let mut model = std::collections::BTreeSet::new();
        let mut seed = 1u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let name = format!("channel:{}", seed >> 8 & 0xff);
            let name = name.as_bytes();
            let found = table.find(|| hash(name), name);
            assert_eq!(found.is_some(), model.contains(name));
            match found {
                Some(channel) if seed & 1 == 0 => {
                    // SAFETY: just found.
                    unsafe { table.remove(channel.as_ptr()) };
                    model.remove(name);
                }
                Some(_) => {}
                None => {
                    table.insert(hash(name), name).unwrap();
                    model.insert(name.to_vec());
                }
            }
            assert_eq!(table.used, model.len());
        }
        let mut seen = std::collections::BTreeSet::new();
        // SAFETY: live channels.
        table.each(|c| assert!(seen.insert(unsafe { Channel::name(c) }.to_vec())));
        assert_eq!(seen, model);
        table.free();
        assert!(table.is_empty());
    }

    #[test]
    fn counts_what_is_active() {
        let mut table = Table::new();
        let a = table.insert(1, b"a").unwrap().as_ptr();
        let b = table.insert(2, b"b").unwrap().as_ptr();
        // SAFETY: both are in the table.
        unsafe {
            table.set_active(a, true);
            table.set_active(b, true);
            table.set_active(b, true);
            assert_eq!((table.active(), Channel::name(b)), (2, &b"b"[..]));
            table.remove(a);
            assert_eq!(table.active(), 1);
            table.set_active(b, false);
            assert!((*b).is_over());
        }
        table.free();
    }
}
