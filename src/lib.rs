//! hiredis_rs
#![cfg_attr(not(test), no_std)]
#![allow(dead_code)]

mod abi;
mod alloc;
mod args;
mod decimal;
mod ffi;
mod room;
mod sds;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: abort has no precondition.
    unsafe { libc::abort() }
}
