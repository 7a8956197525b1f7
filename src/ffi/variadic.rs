//! The functions with a variable argument list.
//!
//! Their bodies are in variadic.c, which says why. An exported name here only jumps
//! to its body, with registers and stack as the caller left them; the body comes
//! back with the arguments as `hirs_args`, to a function here that C alone can see.

use core::arch::{global_asm, naked_asm};
use core::ffi::{CStr, c_char, c_double, c_int, c_long, c_longlong, c_void};
use core::ptr;

use super::asynch::submit;
use super::hiredis::on;
use super::sds::give;
use crate::abi::{redisAsyncContext, redisCallbackFn, redisContext, sds};
use crate::args::{Args, Rewind};
use crate::ctx::Ctx;
use crate::resp::format;
use crate::resp::write::{Invalid, to_block};

/// `struct hirs_args` of variadic.c.
#[repr(C)]
struct hirs_args {
    opaque: [u8; 0],
}

unsafe extern "C" {
    fn hirs_args_rewind(args: *mut hirs_args);
    fn hirs_arg_int(args: *mut hirs_args) -> c_int;
    fn hirs_arg_long(args: *mut hirs_args) -> c_long;
    fn hirs_arg_long_long(args: *mut hirs_args) -> c_longlong;
    fn hirs_arg_double(args: *mut hirs_args) -> c_double;
    fn hirs_arg_size(args: *mut hirs_args) -> usize;
    fn hirs_arg_pointer(args: *mut hirs_args) -> *const c_char;
    fn hirs_args_print(args: *mut hirs_args, out: *mut c_char, room: usize, fmt: *const c_char) -> c_int;
}

/// The arguments of one call. Valid until the function that C called returns, and
/// what the format says: the program that called vouches for that. TWICE says that C has
/// kept the first one, too.
struct Taken<const TWICE: bool>(*mut hirs_args);

impl Rewind for Taken<true> {
    fn rewind(&mut self) {
        // SAFETY: live arguments with the first one, see the type.
        unsafe { hirs_args_rewind(self.0) }
    }
}

impl<const TWICE: bool> Args for Taken<TWICE> {
    fn int(&mut self) -> c_int {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_int(self.0) }
    }

    fn long(&mut self) -> c_long {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_long(self.0) }
    }

    fn long_long(&mut self) -> c_longlong {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_long_long(self.0) }
    }

    fn double(&mut self) -> c_double {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_double(self.0) }
    }

    fn size(&mut self) -> usize {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_size(self.0) }
    }

    fn pointer(&mut self) -> *const c_char {
        // SAFETY: live arguments, see the type.
        unsafe { hirs_arg_pointer(self.0) }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
macro_rules! jump {
    () => {
        "jmp {}"
    };
}

#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
macro_rules! jump {
    () => {
        "b {}"
    };
}

#[cfg(target_arch = "riscv64")]
macro_rules! jump {
    () => {
        "tail {}"
    };
}

/// Exports names that jump to a C body.
macro_rules! export {
    ($($name:ident => $body:ident,)*) => {
        unsafe extern "C" {
            $(fn $body();)*
        }
        $(
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name() {
                naked_asm!(jump!(), sym $body)
            }
        )*
    };
}

/// Keeps functions that variadic.c calls out of the list of exports, where
/// `no_mangle` puts them.
macro_rules! hide {
    ($($name:ident,)*) => {
        $(
            #[cfg(not(target_vendor = "apple"))]
            global_asm!(concat!(".hidden ", stringify!($name)));
            #[cfg(target_vendor = "apple")]
            global_asm!(concat!(".private_extern _", stringify!($name)));
        )*
    };
}

// sds.h

export! {
    sdscatvprintf => hirs_sdscatvprintf,
    sdscatprintf => hirs_sdscatprintf,
    sdscatfmt => hirs_sdscatfmt,
}

hide! {
    hirs_sdscatprintf_args,
    hirs_sdscatfmt_args,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_sdscatprintf_args(s: sds, fmt: *const c_char, args: *mut hirs_args) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        if fmt.is_null() {
            return s;
        }
        give(s, |s| s.append_printed(|out, room| hirs_args_print(args, out, room, fmt)))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_sdscatfmt_args(s: sds, fmt: *const c_char, args: *mut hirs_args) -> sds {
    // SAFETY: the caller's promise, see sds.h.
    unsafe {
        if fmt.is_null() {
            return s;
        }
        give(s, |s| s.append_fmt(CStr::from_ptr(fmt).to_bytes(), &mut Taken::<true>(args)))
    }
}

// hiredis.h

export! {
    redisvFormatCommand => hirs_redisvFormatCommand,
    redisFormatCommand => hirs_redisFormatCommand,
    redisvAppendCommand => hirs_redisvAppendCommand,
    redisAppendCommand => hirs_redisAppendCommand,
    redisvCommand => hirs_redisvCommand,
    redisCommand => hirs_redisCommand,
}

hide! {
    hirs_format_args,
    hirs_append_args,
    hirs_command_args,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_format_args(
    target: *mut *mut c_char,
    format: *const c_char,
    args: *mut hirs_args,
) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        if target.is_null() {
            return -1;
        }
        let (bytes, len) = match to_block(|sink| format::write(format, &mut Taken::<false>(args), sink)) {
            Ok(made) => made,
            Err(Invalid::Format) => return -2,
            Err(_) => return -1,
        };
        target.write(bytes);
        // format::write makes nothing longer.
        len as c_int
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_append_args(
    c: *mut redisContext,
    format: *const c_char,
    args: *mut hirs_args,
) -> c_int {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe { on(c, |c| c.append_format(format, &mut Taken::<false>(args))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_command_args(
    c: *mut redisContext,
    format: *const c_char,
    args: *mut hirs_args,
) -> *mut c_void {
    // SAFETY: the caller's promise, see hiredis.h.
    unsafe {
        let Some(c) = Ctx::from_raw(c) else { return ptr::null_mut() };
        c.command_format(format, &mut Taken::<false>(args)).unwrap_or(ptr::null_mut())
    }
}

// async.h

export! {
    redisvAsyncCommand => hirs_redisvAsyncCommand,
    redisAsyncCommand => hirs_redisAsyncCommand,
}

hide! {
    hirs_async_command_args,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hirs_async_command_args(
    ac: *mut redisAsyncContext,
    fn_: Option<redisCallbackFn>,
    privdata: *mut c_void,
    format: *const c_char,
    args: *mut hirs_args,
) -> c_int {
    // SAFETY: the caller's promise, see async.h.
    unsafe { submit(ac, fn_, privdata, |sink| format::write(format, &mut Taken::<false>(args), sink)) }
}
