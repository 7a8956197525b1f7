//! hiredis_rs: the C API and ABI of hiredis, the client library for Redis.
//!
//! C programs call the functions in `ffi`, which only turn pointers into handles. The
//! handles (`Ctx`, `Ac`, `Reader`, `Sds`) are plain pointers again: the structs in `abi` are
//! public, programs read and write them, so they are the state and nothing is kept twice.
//!
//! From the bottom up: `alloc` gives memory from the program's allocator, or not; `sds` are
//! the growing strings that buffers are made of; `resp` reads replies and writes commands;
//! `net` opens sockets and is the default transport; `transport` and `output` move bytes in
//! and out for both clients; `context` is the blocking one; `asynch` keeps callbacks in the
//! order of replies. A module imports only from those above it in the table of
//! CONTRIBUTING.md.
//!
//! No function here aborts or panics on what a server sends or a caller passes.
#![cfg_attr(not(test), no_std)]
// Tests may run out of memory.
#![cfg_attr(test, allow(clippy::disallowed_types))]

mod abi;
mod alloc;
mod args;
mod asynch;
mod context;
mod ctx;
mod decimal;
mod ffi;
mod net;
mod output;
mod resp;
mod room;
mod sds;
mod sys;
mod transport;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    const LAST_WORDS: &[u8] = b"hiredis_rs: internal error\n";
    // SAFETY: the bytes are readable; abort has no precondition.
    unsafe {
        libc::write(libc::STDERR_FILENO, LAST_WORDS.as_ptr().cast(), LAST_WORDS.len());
        libc::abort()
    }
}
