//! Memory from the allocator that the program chose.
//!
//! Every block comes from the five functions in `hiredisAllocFns` as they are at
//! the moment of the call, and every request may fail: nothing here aborts. The
//! table is reached through its exported symbol each time, because an executable
//! may hold its own copy of it (a COPY relocation) and write to that.

use core::ffi::{c_char, c_void};
use core::mem::size_of;
use core::ptr::{self, NonNull};

use crate::abi::hiredisAllocFuncs;

/// The program's allocator had nothing left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

unsafe extern "C" {
    // Defined in ffi/alloc.rs.
    #[link_name = "hiredisAllocFns"]
    static mut TABLE: hiredisAllocFuncs;
}

/// The C library's functions, the table's first content.
pub(crate) const LIBC: hiredisAllocFuncs = hiredisAllocFuncs {
    mallocFn: Some(libc::malloc),
    callocFn: Some(libc::calloc),
    reallocFn: Some(libc::realloc),
    strdupFn: Some(libc::strdup),
    freeFn: Some(libc::free),
};

/// Puts `new` in place and gives the table that was there. A function that `new` does not
/// have stays as it is.
///
/// # Safety
/// No other thread uses the library during the call.
#[inline(never)]
pub(crate) unsafe fn replace(new: hiredisAllocFuncs) -> hiredisAllocFuncs {
    // SAFETY: the symbol is a writable object of this type; nobody races, says the caller.
    unsafe {
        let old = (&raw const TABLE).read();
        (&raw mut TABLE).write(hiredisAllocFuncs {
            mallocFn: new.mallocFn.or(old.mallocFn),
            callocFn: new.callocFn.or(old.callocFn),
            reallocFn: new.reallocFn.or(old.reallocFn),
            strdupFn: new.strdupFn.or(old.strdupFn),
            freeFn: new.freeFn.or(old.freeFn),
        });
        old
    }
}

/// `size` bytes, uninitialised; NULL when there are none.
#[inline(always)]
pub(crate) fn malloc(size: usize) -> *mut c_void {
    // SAFETY: the table is readable, and all of it set (alloc.h); malloc's contract.
    unsafe { (&raw const TABLE.mallocFn).read().unwrap_unchecked()(size) }
}

/// `count` zeroed items of `size` bytes; NULL when there are none or the product overflows.
#[inline(never)]
pub(crate) fn calloc(count: usize, size: usize) -> *mut c_void {
    if count.checked_mul(size).is_none() {
        return ptr::null_mut();
    }
    // SAFETY: as in `malloc`; calloc's contract.
    unsafe { (&raw const TABLE.callocFn).read().unwrap_unchecked()(count, size) }
}

/// Resizes `block`; on failure NULL, and `block` is as it was.
///
/// # Safety
/// `block` is NULL or a live block of this allocator.
#[inline(never)]
pub(crate) unsafe fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as in `malloc`; the block is the caller's promise.
    unsafe { (&raw const TABLE.reallocFn).read().unwrap_unchecked()(block, size) }
}

/// A copy of a C string; NULL when there is no memory.
///
/// # Safety
/// `s` points to a NUL-terminated string.
#[inline(never)]
pub(crate) unsafe fn strdup(s: *const c_char) -> *mut c_char {
    // SAFETY: as in `malloc`; the string is the caller's promise.
    unsafe { (&raw const TABLE.strdupFn).read().unwrap_unchecked()(s) }
}

/// Gives `block` back; NULL is fine.
///
/// # Safety
/// `block` is NULL or a live block of this allocator that nobody uses afterwards.
pub(crate) unsafe fn free(block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: the caller's promise.
        unsafe { free_any(block) }
    }
}

/// As `free`, for what is not NULL as a rule: the program's function takes that as nothing.
///
/// # Safety
/// As for `free`.
#[inline(always)]
pub(crate) unsafe fn free_any(block: *mut c_void) {
    // SAFETY: as in `malloc`; the block is the caller's promise.
    unsafe { (&raw const TABLE.freeFn).read().unwrap_unchecked()(block) }
}

/// A block that holds `value`; the caller frees it.
pub(crate) fn new<T>(value: T) -> Result<NonNull<T>, OutOfMemory> {
    let block = NonNull::new(malloc(size_of::<T>()).cast::<T>()).ok_or(OutOfMemory)?;
    // SAFETY: malloc gave room for a T, aligned for any type.
    unsafe { block.write(value) };
    Ok(block)
}

/// A growable array of plain values. Its memory lives outside the struct, so
/// that a program which copies or forgets the struct's owner loses nothing else.
pub(crate) struct Buf<T: Copy> {
    items: *mut T,
    len: usize,
    room: usize,
}

impl<T: Copy> Buf<T> {
    pub(crate) const fn new() -> Self {
        Buf { items: ptr::null_mut(), len: 0, room: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        if self.items.is_null() {
            return &[];
        }
        // SAFETY: `len` items were written.
        unsafe { core::slice::from_raw_parts(self.items, self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        if self.items.is_null() {
            return &mut [];
        }
        // SAFETY: `len` items were written, and `self` is borrowed alone.
        unsafe { core::slice::from_raw_parts_mut(self.items, self.len) }
    }

    /// Makes sure that `more` pushes cannot fail.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let need = self.len.checked_add(more).ok_or(OutOfMemory)?;
        if need <= self.room {
            return Ok(());
        }
        let room = need.max(self.room.saturating_mul(2)).max(8);
        let size = room.checked_mul(size_of::<T>()).ok_or(OutOfMemory)?;
        // SAFETY: `items` is NULL or the block that this Buf owns.
        let items = unsafe { realloc(self.items.cast(), size) }.cast::<T>();
        if items.is_null() {
            return Err(OutOfMemory);
        }
        self.items = items;
        self.room = room;
        Ok(())
    }

    pub(crate) fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        self.reserve(1)?;
        // SAFETY: reserve made room for one more.
        unsafe { self.items.add(self.len).write(item) };
        self.len += 1;
        Ok(())
    }

    /// Forgets the items past `len`, keeping the room.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets the first `n` items, keeping the room.
    pub(crate) fn drop_front(&mut self, n: usize) {
        let n = n.min(self.len);
        if n > 0 {
            // SAFETY: both ranges are inside the items.
            unsafe { core::ptr::copy(self.items.add(n), self.items, self.len - n) };
            self.len -= n;
        }
    }
}

impl<T: Copy> Drop for Buf<T> {
    fn drop(&mut self) {
        // SAFETY: `items` is NULL or the block that this Buf owns.
        unsafe { free(self.items.cast()) };
    }
}

/// `bytes` links the alloc crate, which wants a global allocator. The library
/// itself never uses it; if it did, the memory would come from the same table.
#[cfg(not(test))]
mod global {
    use core::alloc::{GlobalAlloc, Layout};

    struct Hiredis;

    #[global_allocator]
    static GLOBAL: Hiredis = Hiredis;

    /// malloc's alignment on every platform served.
    const ALIGN: usize = 2 * size_of::<usize>();

    // SAFETY: blocks come from one malloc/free pair and are aligned for ALIGN or refused.
    unsafe impl GlobalAlloc for Hiredis {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() > ALIGN {
                return core::ptr::null_mut();
            }
            super::malloc(layout.size()).cast()
        }

        unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
            // SAFETY: GlobalAlloc's contract: the block came from `alloc`.
            unsafe { super::free(block.cast()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buf_keeps_what_was_pushed() {
        let mut buf = Buf::new();
        for i in 0..1000u32 {
            buf.push(i).unwrap();
        }
        assert!(buf.as_slice().iter().copied().eq(0..1000));
        buf.drop_front(997);
        assert_eq!(buf.as_slice(), [997, 998, 999]);
    }

    #[test]
    fn calloc_refuses_a_product_that_overflows() {
        assert!(calloc(usize::MAX / 8 + 3, 8).is_null());
        let none = calloc(1, 0);
        // SAFETY: NULL or a block of its own.
        unsafe { free(none) };
    }
}
