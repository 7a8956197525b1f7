//! hiredis_rs
#![cfg_attr(not(test), no_std)]
// Tests may run out of memory.
#![cfg_attr(test, allow(clippy::disallowed_types))]
#![allow(dead_code)]

mod abi;
mod alloc;
mod args;
mod asynch;
mod context;
mod ctx;
mod decimal;
mod ffi;
mod net;
mod resp;
mod room;
mod sds;
mod sys;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: abort has no precondition.
    unsafe { libc::abort() }
}
