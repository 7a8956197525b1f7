//! The C structs and constants of the public headers, name for name.
//!
//! Programs read and write these fields, so they are the state: nothing here is
//! copied elsewhere. `make abi` proves size and offset of every field against
//! include/hiredis; the asserts at the end prove the ones that must never move.
#![allow(nonstandard_style)]
// cbindgen takes public items only.
#![allow(unreachable_pub)]

use core::ffi::{c_char, c_double, c_int, c_longlong, c_void};

pub(crate) use libc::{sockaddr, timeval};

pub const REDIS_ERR: c_int = -1;
pub const REDIS_OK: c_int = 0;

pub const REDIS_ERR_IO: c_int = 1;
pub const REDIS_ERR_OTHER: c_int = 2;
pub const REDIS_ERR_EOF: c_int = 3;
pub const REDIS_ERR_PROTOCOL: c_int = 4;
pub const REDIS_ERR_OOM: c_int = 5;
pub const REDIS_ERR_TIMEOUT: c_int = 6;

pub const REDIS_REPLY_STRING: c_int = 1;
pub const REDIS_REPLY_ARRAY: c_int = 2;
pub const REDIS_REPLY_INTEGER: c_int = 3;
pub const REDIS_REPLY_NIL: c_int = 4;
pub const REDIS_REPLY_STATUS: c_int = 5;
pub const REDIS_REPLY_ERROR: c_int = 6;
pub const REDIS_REPLY_DOUBLE: c_int = 7;
pub const REDIS_REPLY_BOOL: c_int = 8;
pub const REDIS_REPLY_MAP: c_int = 9;
pub const REDIS_REPLY_SET: c_int = 10;
pub const REDIS_REPLY_ATTR: c_int = 11;
pub const REDIS_REPLY_PUSH: c_int = 12;
pub const REDIS_REPLY_BIGNUM: c_int = 13;
pub const REDIS_REPLY_VERB: c_int = 14;

pub const REDIS_READER_MAX_BUF: usize = 16384;
pub const REDIS_READER_MAX_ARRAY_ELEMENTS: c_longlong = 4_294_967_295;
pub const REDIS_READER_MAX_REPLY_DEPTH: c_int = 1024;

pub const REDIS_BLOCK: c_int = 0x1;
pub const REDIS_CONNECTED: c_int = 0x2;
pub const REDIS_DISCONNECTING: c_int = 0x4;
pub const REDIS_FREEING: c_int = 0x8;
pub const REDIS_IN_CALLBACK: c_int = 0x10;
pub const REDIS_SUBSCRIBED: c_int = 0x20;
pub const REDIS_MONITORING: c_int = 0x40;
pub const REDIS_REUSEADDR: c_int = 0x80;
pub const REDIS_SUPPORTS_PUSH: c_int = 0x100;
pub const REDIS_NO_AUTO_FREE: c_int = 0x200;
pub const REDIS_NO_AUTO_FREE_REPLIES: c_int = 0x400;
pub const REDIS_PREFER_IPV4: c_int = 0x800;
pub const REDIS_PREFER_IPV6: c_int = 0x1000;
/// Unlike hiredis: close-on-exec has a flag bit of its own, not REDIS_REUSEADDR's.
pub(crate) const CLOEXEC: c_int = 0x2000;

pub const REDIS_OPT_NONBLOCK: c_int = 0x01;
pub const REDIS_OPT_REUSEADDR: c_int = 0x02;
pub const REDIS_OPT_NOAUTOFREE: c_int = 0x04;
pub const REDIS_OPT_NO_PUSH_AUTOFREE: c_int = 0x08;
pub const REDIS_OPT_NOAUTOFREEREPLIES: c_int = 0x10;
pub const REDIS_OPT_PREFER_IPV4: c_int = 0x20;
pub const REDIS_OPT_PREFER_IPV6: c_int = 0x40;
pub const REDIS_OPT_SET_SOCK_CLOEXEC: c_int = 0x80;

pub const REDIS_KEEPALIVE_INTERVAL: c_int = 15;
pub const REDIS_CONNECT_RETRIES: c_int = 10;
pub const REDIS_INVALID_FD: c_int = -1;

pub const REDIS_CONN_TCP: c_int = 0;
pub const REDIS_CONN_UNIX: c_int = 1;
pub const REDIS_CONN_USERFD: c_int = 2;

pub type redisFD = c_int;
pub type sds = *mut c_char;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct hiredisAllocFuncs {
    pub mallocFn: Option<unsafe extern "C" fn(usize) -> *mut c_void>,
    pub callocFn: Option<unsafe extern "C" fn(usize, usize) -> *mut c_void>,
    pub reallocFn: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>,
    pub strdupFn: Option<unsafe extern "C" fn(*const c_char) -> *mut c_char>,
    pub freeFn: Option<unsafe extern "C" fn(*mut c_void)>,
}

#[repr(C)]
pub struct redisReadTask {
    pub r#type: c_int,
    pub elements: c_longlong,
    pub idx: c_int,
    pub obj: *mut c_void,
    pub parent: *mut redisReadTask,
    pub privdata: *mut c_void,
}

#[repr(C)]
pub struct redisReplyObjectFunctions {
    pub createString: Option<unsafe extern "C" fn(*const redisReadTask, *mut c_char, usize) -> *mut c_void>,
    pub createArray: Option<unsafe extern "C" fn(*const redisReadTask, usize) -> *mut c_void>,
    pub createInteger: Option<unsafe extern "C" fn(*const redisReadTask, c_longlong) -> *mut c_void>,
    pub createDouble:
        Option<unsafe extern "C" fn(*const redisReadTask, c_double, *mut c_char, usize) -> *mut c_void>,
    pub createNil: Option<unsafe extern "C" fn(*const redisReadTask) -> *mut c_void>,
    pub createBool: Option<unsafe extern "C" fn(*const redisReadTask, c_int) -> *mut c_void>,
    pub freeObject: Option<unsafe extern "C" fn(*mut c_void)>,
}

#[repr(C)]
pub struct redisReader {
    pub err: c_int,
    pub errstr: [c_char; 128],
    pub buf: *mut c_char,
    pub pos: usize,
    pub len: usize,
    pub maxbuf: usize,
    pub maxelements: c_longlong,
    pub task: *mut *mut redisReadTask,
    pub tasks: c_int,
    pub ridx: c_int,
    pub reply: *mut c_void,
    pub r#fn: *mut redisReplyObjectFunctions,
    pub privdata: *mut c_void,
    pub maxdepth: c_int,
}

#[repr(C)]
pub struct redisReply {
    pub r#type: c_int,
    pub integer: c_longlong,
    pub dval: c_double,
    pub len: usize,
    pub str: *mut c_char,
    pub vtype: [c_char; 4],
    pub elements: usize,
    pub element: *mut *mut redisReply,
}

pub type redisPushFn = unsafe extern "C" fn(*mut c_void, *mut c_void);
pub type redisAsyncPushFn = unsafe extern "C" fn(*mut redisAsyncContext, *mut c_void);
pub type redisCallbackFn = unsafe extern "C" fn(*mut redisAsyncContext, *mut c_void, *mut c_void);
pub type redisConnectCallback = unsafe extern "C" fn(*const redisAsyncContext, c_int);
pub type redisConnectCallbackNC = unsafe extern "C" fn(*mut redisAsyncContext, c_int);
pub type redisDisconnectCallback = unsafe extern "C" fn(*const redisAsyncContext, c_int);
type EventFn = unsafe extern "C" fn(*mut c_void);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct redisOptionsTcp {
    pub source_addr: *const c_char,
    pub ip: *const c_char,
    pub port: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union redisOptionsEndpoint {
    pub tcp: redisOptionsTcp,
    pub unix_socket: *const c_char,
    pub fd: redisFD,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct redisOptions {
    pub r#type: c_int,
    pub options: c_int,
    pub connect_timeout: *const timeval,
    pub command_timeout: *const timeval,
    pub endpoint: redisOptionsEndpoint,
    pub privdata: *mut c_void,
    pub free_privdata: Option<unsafe extern "C" fn(*mut c_void)>,
    pub push_cb: Option<redisPushFn>,
    pub async_push_cb: Option<redisAsyncPushFn>,
}

#[repr(C)]
pub struct redisContextFuncs {
    pub close: Option<unsafe extern "C" fn(*mut redisContext)>,
    pub free_privctx: Option<unsafe extern "C" fn(*mut c_void)>,
    pub async_read: Option<unsafe extern "C" fn(*mut redisAsyncContext)>,
    pub async_write: Option<unsafe extern "C" fn(*mut redisAsyncContext)>,
    pub read: Option<unsafe extern "C" fn(*mut redisContext, *mut c_char, usize) -> isize>,
    pub write: Option<unsafe extern "C" fn(*mut redisContext) -> isize>,
}

#[repr(C)]
pub struct redisContextTcp {
    pub host: *mut c_char,
    pub source_addr: *mut c_char,
    pub port: c_int,
}

#[repr(C)]
pub struct redisContextUnix {
    pub path: *mut c_char,
}

#[repr(C)]
pub struct redisContext {
    pub funcs: *const redisContextFuncs,
    pub err: c_int,
    pub errstr: [c_char; 128],
    pub fd: redisFD,
    pub flags: c_int,
    pub obuf: *mut c_char,
    pub reader: *mut redisReader,
    pub connection_type: c_int,
    pub connect_timeout: *mut timeval,
    pub command_timeout: *mut timeval,
    pub tcp: redisContextTcp,
    pub unix_sock: redisContextUnix,
    pub saddr: *mut sockaddr,
    pub addrlen: usize,
    pub privdata: *mut c_void,
    pub free_privdata: Option<unsafe extern "C" fn(*mut c_void)>,
    pub privctx: *mut c_void,
    pub push_cb: Option<redisPushFn>,
}

#[repr(C)]
pub struct redisCallback {
    pub next: *mut redisCallback,
    pub r#fn: Option<redisCallbackFn>,
    pub pending_subs: c_int,
    pub unsubscribe_sent: c_int,
    pub privdata: *mut c_void,
}

#[repr(C)]
pub struct redisCallbackList {
    pub head: *mut redisCallback,
    pub tail: *mut redisCallback,
}

#[repr(C)]
pub struct redisAsyncEv {
    pub data: *mut c_void,
    pub addRead: Option<EventFn>,
    pub delRead: Option<EventFn>,
    pub addWrite: Option<EventFn>,
    pub delWrite: Option<EventFn>,
    pub cleanup: Option<EventFn>,
    pub scheduleTimer: Option<unsafe extern "C" fn(*mut c_void, timeval)>,
}

/// What `sub.channels` and `sub.patterns` point to; its contents are private.
pub enum dict {}

#[repr(C)]
pub struct redisAsyncSub {
    pub replies: redisCallbackList,
    pub channels: *mut dict,
    pub patterns: *mut dict,
    pub pending_unsubs: c_int,
}

#[repr(C)]
pub struct redisAsyncContext {
    pub c: redisContext,
    pub err: c_int,
    pub errstr: *mut c_char,
    pub data: *mut c_void,
    pub dataCleanup: Option<unsafe extern "C" fn(*mut c_void)>,
    pub ev: redisAsyncEv,
    pub onDisconnect: Option<redisDisconnectCallback>,
    pub onConnect: Option<redisConnectCallback>,
    pub onConnectNC: Option<redisConnectCallbackNC>,
    pub replies: redisCallbackList,
    pub saddr: *mut sockaddr,
    pub addrlen: usize,
    pub sub: redisAsyncSub,
    pub push_cb: Option<redisAsyncPushFn>,
}

/// Size, and the offset of every field in order.
macro_rules! layout {
    ($($t:ident $size:literal { $($($field:ident).+ @ $offset:literal),+ $(,)? })+) => {
        #[cfg(target_pointer_width = "64")]
        const _: () = {
            use core::mem::{offset_of, size_of};
            $(assert!(size_of::<$t>() == $size);
              $(assert!(offset_of!($t, $($field).+) == $offset);)+)+
        };
    };
}

layout! {
    hiredisAllocFuncs 40 { mallocFn @ 0, callocFn @ 8, reallocFn @ 16, strdupFn @ 24, freeFn @ 32 }
    redisReadTask 48 { r#type @ 0, elements @ 8, idx @ 16, obj @ 24, parent @ 32, privdata @ 40 }
    redisReplyObjectFunctions 56 {
        createString @ 0, createArray @ 8, createInteger @ 16, createDouble @ 24, createNil @ 32,
        createBool @ 40, freeObject @ 48,
    }
    redisReader 224 {
        err @ 0, errstr @ 4, buf @ 136, pos @ 144, len @ 152, maxbuf @ 160, maxelements @ 168,
        task @ 176, tasks @ 184, ridx @ 188, reply @ 192, r#fn @ 200, privdata @ 208, maxdepth @ 216,
    }
    redisReply 64 {
        r#type @ 0, integer @ 8, dval @ 16, len @ 24, str @ 32, vtype @ 40, elements @ 48, element @ 56,
    }
    redisOptionsTcp 24 { source_addr @ 0, ip @ 8, port @ 16 }
    redisOptions 80 {
        r#type @ 0, options @ 4, connect_timeout @ 8, command_timeout @ 16, endpoint @ 24, privdata @ 48,
        free_privdata @ 56, push_cb @ 64, async_push_cb @ 72,
    }
    redisContextFuncs 48 {
        close @ 0, free_privctx @ 8, async_read @ 16, async_write @ 24, read @ 32, write @ 40,
    }
    redisContext 272 {
        funcs @ 0, err @ 8, errstr @ 12, fd @ 140, flags @ 144, obuf @ 152, reader @ 160,
        connection_type @ 168, connect_timeout @ 176, command_timeout @ 184, tcp.host @ 192,
        tcp.source_addr @ 200, tcp.port @ 208, unix_sock.path @ 216, saddr @ 224, addrlen @ 232,
        privdata @ 240, free_privdata @ 248, privctx @ 256, push_cb @ 264,
    }
    redisCallback 32 { next @ 0, r#fn @ 8, pending_subs @ 16, unsubscribe_sent @ 20, privdata @ 24 }
    redisCallbackList 16 { head @ 0, tail @ 8 }
    redisAsyncContext 464 {
        c @ 0, err @ 272, errstr @ 280, data @ 288, dataCleanup @ 296, ev.data @ 304, ev.addRead @ 312,
        ev.delRead @ 320, ev.addWrite @ 328, ev.delWrite @ 336, ev.cleanup @ 344, ev.scheduleTimer @ 352,
        onDisconnect @ 360, onConnect @ 368, onConnectNC @ 376, replies @ 384, saddr @ 400,
        addrlen @ 408, sub.replies @ 416, sub.channels @ 432, sub.patterns @ 440,
        sub.pending_unsubs @ 448, push_cb @ 456,
    }
}
