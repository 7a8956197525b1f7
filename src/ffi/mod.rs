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
pub(crate) mod sds;
pub(crate) mod variadic;
