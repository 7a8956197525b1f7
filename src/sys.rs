//! The operating system, as far as the library asks it: errno, clock, poll, and
//! descriptors.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use crate::abi::timeval;

pub(crate) fn errno() -> c_int {
    // SAFETY: the C library's errno of this thread.
    unsafe { *location() }
}

pub(crate) fn set_errno(value: c_int) {
    // SAFETY: the C library's errno of this thread.
    unsafe { *location() = value }
}

fn location() -> *mut c_int {
    // SAFETY: no precondition.
    unsafe {
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        return libc::__error();
        #[cfg(not(any(target_os = "macos", target_os = "ios", target_os = "freebsd")))]
        return libc::__errno_location();
    }
}

/// The text for an errno.
pub(crate) fn strerror(errno: c_int, out: &mut [u8; 128]) -> &[u8] {
    // SAFETY: strerror_r writes a NUL-terminated text of at most 128 bytes.
    unsafe { libc::strerror_r(errno, out.as_mut_ptr().cast::<c_char>(), out.len()) };
    CStr::from_bytes_until_nul(out).map_or(b"", CStr::to_bytes)
}

/// A point in time by the monotonic clock, or never.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(Option<i64>);

impl Deadline {
    pub(crate) const NEVER: Deadline = Deadline(None);

    /// So many milliseconds from now.
    pub(crate) fn after(ms: i64) -> Deadline {
        Deadline(Some(now_ms().saturating_add(ms)))
    }

    /// Milliseconds left, never below 0, as poll takes them: -1 for ever.
    pub(crate) fn left(self) -> c_int {
        match self.0 {
            None => -1,
            Some(at) => c_int::try_from((at - now_ms()).max(0)).unwrap_or(c_int::MAX),
        }
    }
}

/// Milliseconds by the monotonic clock.
#[inline(never)]
pub(crate) fn now_ms() -> i64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the clock exists, and a timespec of zeroes is valid if it should fail.
    let now = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
        now.assume_init()
    };
    now.tv_sec as i64 * 1000 + now.tv_nsec as i64 / 1_000_000
}

/// A timeout in whole milliseconds, rounded up; `None` if hiredis calls it invalid.
/// Negative ones, and those past what poll takes, mean the longest there is.
pub(crate) fn timeout_ms(tv: &timeval) -> Option<i64> {
    const MAX_SEC: i64 = (i64::MAX - 999) / 1000;
    // 32 bits each on some systems.
    #[allow(clippy::unnecessary_cast)]
    let (sec, usec) = (tv.tv_sec as i64, tv.tv_usec as i64);
    if usec > 1_000_000 || sec > MAX_SEC {
        return None;
    }
    let ms = sec.saturating_mul(1000).saturating_add(usec.saturating_add(999) / 1000);
    Some(if (0..=i64::from(c_int::MAX)).contains(&ms) { ms } else { c_int::MAX.into() })
}

/// A time in milliseconds, small enough for a field of 32 bits; it wraps in 49 days.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const NONE: Stamp = Stamp(0);

    pub(crate) fn now() -> Stamp {
        Stamp((now_ms() as u32).max(1))
    }

    pub(crate) fn from_bits(bits: i32) -> Stamp {
        Stamp(bits as u32)
    }

    pub(crate) fn to_bits(self) -> i32 {
        self.0 as i32
    }

    /// Milliseconds since then.
    pub(crate) fn age(self) -> i64 {
        Stamp::now().0.wrapping_sub(self.0).into()
    }
}

/// What poll had to say about one descriptor.
pub(crate) enum Ready {
    /// It has events.
    Events(i16),
    TimedOut,
    /// A signal came in between.
    Interrupted,
    /// errno says why.
    Failed,
}

pub(crate) fn poll(fd: c_int, events: i16, timeout_ms: c_int) -> Ready {
    let mut slot = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one slot.
    match unsafe { libc::poll(&mut slot, 1, timeout_ms) } {
        0 => Ready::TimedOut,
        n if n > 0 => Ready::Events(slot.revents),
        _ if errno() == libc::EINTR => Ready::Interrupted,
        _ => Ready::Failed,
    }
}

/// Whose turn it is in a thread to sleep.
struct Turn {
    thread: AtomicUsize,
    /// Who sleeps, by its address, and when it last did.
    sleeper: AtomicUsize,
    slept: AtomicI64,
}

const TURNS: usize = 16;
/// Found by a hash of the thread. Threads that share one sleep each for itself.
static SLEEPERS: [Turn; TURNS] =
    [const { Turn { thread: AtomicUsize::new(0), sleeper: AtomicUsize::new(0), slept: AtomicI64::new(0) } };
        TURNS];

fn turn() -> Option<(usize, &'static Turn)> {
    // SAFETY: no precondition.
    let thread = unsafe { libc::pthread_self() } as usize;
    // Threads lie at least a page apart.
    SLEEPERS.get((thread >> 12) % TURNS).map(|turn| (thread, turn))
}

/// Sleeps for whoever cannot but try again, once for all in this thread who do so in turn:
/// one of them sleeps each time, and the others rely on it.
pub(crate) fn pause_in_turn(who: usize, ms: c_int) {
    let Some((thread, turn)) = turn() else { return };
    let sleeper = turn.sleeper.load(Relaxed);
    let lately = now_ms().saturating_sub(turn.slept.load(Relaxed)) <= i64::from(ms) * 2;
    if lately && sleeper != 0 && sleeper != who && turn.thread.load(Relaxed) == thread {
        return;
    }
    // SAFETY: no descriptors.
    unsafe { libc::poll(core::ptr::null_mut(), 0, ms) };
    turn.thread.store(thread, Relaxed);
    turn.sleeper.store(who, Relaxed);
    turn.slept.store(now_ms(), Relaxed);
}

/// Whoever need not try again any more leaves its turn to others.
pub(crate) fn leave_turn(who: usize) {
    if let Some((_, turn)) = turn()
        && turn.sleeper.load(Relaxed) == who
    {
        turn.sleeper.store(0, Relaxed);
    }
}

/// A stream socket in non-blocking mode, below 0 on failure.
pub(crate) fn socket(family: c_int, close_on_exec: bool) -> c_int {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        let cloexec = if close_on_exec { libc::SOCK_CLOEXEC } else { 0 };
        // SAFETY: no precondition.
        unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | cloexec, 0) }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    // SAFETY: a descriptor of our own.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM, 0);
        if fd < 0 {
            return fd;
        }
        let cloexec = !close_on_exec || libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) >= 0;
        if !cloexec || libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) < 0 {
            close(fd);
            return -1;
        }
        #[cfg(target_vendor = "apple")]
        set_option(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, &1);
        fd
    }
}

/// Closes a descriptor, keeping errno.
pub(crate) fn close(fd: c_int) {
    let saved = errno();
    // SAFETY: the caller gives the descriptor up.
    unsafe { libc::close(fd) };
    set_errno(saved);
}

/// Two numbers that others cannot guess.
pub(crate) fn random() -> (u64, u64) {
    let mut seed = [0u64; 2];
    // SAFETY: sixteen bytes. Below 256 the call never blocks once the system is up.
    unsafe { libc::getentropy(seed.as_mut_ptr().cast(), size_of_val(&seed)) };
    if seed == [0; 2] {
        // No entropy to be had: an address and the time are better than nothing.
        seed = [(&raw const seed).addr() as u64, now_ms() as u64];
    }
    (seed[0], seed[1])
}

/// setsockopt; false on failure, with errno set.
pub(crate) fn set_option<T>(fd: c_int, level: c_int, name: c_int, value: &T) -> bool {
    set_option_bytes(fd, level, name, (&raw const *value).cast(), size_of::<T>())
}

#[inline(never)]
fn set_option_bytes(fd: c_int, level: c_int, name: c_int, value: *const c_void, size: usize) -> bool {
    // SAFETY: `set_option` passes a value and its size.
    unsafe { libc::setsockopt(fd, level, name, value, size as _) == 0 }
}
