//! sds.h

use core::ptr;

use crate::abi::sds;
use crate::alloc::OutOfMemory;
use crate::sds::Sds;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsempty() -> sds {
    made(Sds::empty())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdsfree(s: sds) {
    // SAFETY: the caller's promise, see sds.h.
    unsafe { Sds::from_raw(s) }.map_or((), Sds::free)
}

/// NULL when there is no memory.
fn made(result: Result<Sds, OutOfMemory>) -> sds {
    result.map_or(ptr::null_mut(), Sds::as_ptr)
}

/// What `change` makes of `s`; NULL when there is no memory, or no string.
///
/// # Safety
/// `s` is NULL or a live sds string.
pub(super) unsafe fn give(s: sds, change: impl FnOnce(Sds) -> Result<Sds, OutOfMemory>) -> sds {
    // SAFETY: the caller's promise.
    made(unsafe { Sds::from_raw(s) }.ok_or(OutOfMemory).and_then(change))
}
