//! alloc.h

use core::cell::UnsafeCell;

use crate::abi::hiredisAllocFuncs;
use crate::alloc;

#[repr(transparent)]
pub struct Table(UnsafeCell<hiredisAllocFuncs>);

// SAFETY: alloc.h: allocators are changed only while no other thread uses the library.
unsafe impl Sync for Table {}

#[unsafe(no_mangle)]
pub static hiredisAllocFns: Table = Table(UnsafeCell::new(alloc::LIBC));

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiredisSetAllocators(ha: *mut hiredisAllocFuncs) -> hiredisAllocFuncs {
    const NONE: hiredisAllocFuncs =
        hiredisAllocFuncs { mallocFn: None, callocFn: None, reallocFn: None, strdupFn: None, freeFn: None };
    // Unlike hiredis: NULL changes nothing, nor does a member that is NULL.
    // SAFETY: the caller's promise, see alloc.h.
    unsafe { alloc::replace(if ha.is_null() { NONE } else { *ha }) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiredisResetAllocators() {
    // SAFETY: the caller's promise, see alloc.h.
    unsafe { alloc::replace(alloc::LIBC) };
}
