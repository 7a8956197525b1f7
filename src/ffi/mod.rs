//! The exported functions, one file per public header, in the header's order.
//!
//! A function here turns pointers into handles, makes one call and turns the
//! result into C. It decides nothing; what it promises stands in the header.
#![allow(nonstandard_style)]
// cbindgen takes public items only.
#![allow(unreachable_pub)]
// What callers must guarantee is documented where C programmers read it.
#![allow(clippy::missing_safety_doc)]

pub(crate) mod alloc;
pub(crate) mod asynch;
pub(crate) mod hiredis;
pub(crate) mod net;
pub(crate) mod read;
pub(crate) mod sds;
pub(crate) mod variadic;

use core::ffi::{c_char, c_int};
use core::slice;

use crate::abi::{REDIS_ERR, REDIS_OK};

/// A result as hiredis reports it.
fn status<E>(result: Result<(), E>) -> c_int {
    if result.is_ok() { REDIS_OK } else { REDIS_ERR }
}

/// Bytes from C; NULL is none.
///
/// # Safety
/// `len` bytes at `text` are readable and stay as they are while the slice is in use.
unsafe fn text<'a>(text: *const c_char, len: usize) -> &'a [u8] {
    // No memory is longer than that, so who says more gets what does not fit either.
    let len = len.min(isize::MAX as usize);
    // SAFETY: the caller's promise.
    if text.is_null() || len == 0 { &[] } else { unsafe { slice::from_raw_parts(text.cast(), len) } }
}
