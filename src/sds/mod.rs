//! Dynamic strings: a `char *` with its header right before the text.
//!
//! The header's size depends on the length it must hold; the byte at `s[-1]`
//! tells which of the five it is, and the text always ends in a NUL. Programs
//! hold, grow and free these strings with functions of their own (sds.h is inline
//! code), so pointer, length and room are read from the header on every use.

mod edit;
mod format;
pub(crate) mod split;

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};
use core::slice;

use crate::alloc::{self, OutOfMemory};

/// Growth doubles up to here, and adds at least this much from then on.
const MAX_PREALLOC: usize = 1024 * 1024;

/// Which header a string has; the discriminant is the low three bits of `s[-1]`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    K5 = 0,
    K8 = 1,
    K16 = 2,
    K32 = 3,
    K64 = 4,
}

const KIND_MASK: u8 = 7;
const KIND_BITS: u32 = 3;

impl Kind {
    /// The smallest header for a capacity, never the one without a capacity.
    fn growable(capacity: usize) -> Kind {
        match capacity {
            0..=0xfe => Kind::K8,
            0xff..=0xfffe => Kind::K16,
            #[cfg(target_pointer_width = "64")]
            0xffff_ffff.. => Kind::K64,
            _ => Kind::K32,
        }
    }

    /// The header of a new string that is not expected to grow.
    fn fixed(len: usize) -> Kind {
        if (1..=31).contains(&len) { Kind::K5 } else { Kind::growable(len) }
    }

    fn header(self) -> usize {
        match self {
            Kind::K5 => 1,
            Kind::K8 => 3,
            Kind::K16 => 5,
            Kind::K32 => 9,
            Kind::K64 => 17,
        }
    }
}

/// A string on the heap, as `sds` in C: a plain pointer that owns nothing by
/// itself. All methods need a live string, which is what the type stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Sds(NonNull<u8>);

impl Sds {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `s` is NULL or a live sds string; the result is used while it lives.
    pub(crate) unsafe fn from_raw(s: *mut c_char) -> Option<Sds> {
        NonNull::new(s.cast()).map(Sds)
    }

    pub(crate) fn as_ptr(self) -> *mut c_char {
        self.0.as_ptr().cast()
    }

    pub(crate) fn empty() -> Result<Sds, OutOfMemory> {
        Sds::with_room(Kind::K8, 0)
    }

    pub(crate) fn new(text: &[u8]) -> Result<Sds, OutOfMemory> {
        let s = Sds::with_room(Kind::fixed(text.len()), text.len())?;
        // SAFETY: the string has room for `text`, which is elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), s.0.as_ptr(), text.len()) };
        s.set_len(text.len());
        Ok(s)
    }

    /// An empty string with room for `capacity` bytes, and the header of short ones.
    #[inline(always)]
    pub(crate) fn with_short_capacity(capacity: u8) -> Result<Sds, OutOfMemory> {
        const HEADER: usize = 3;
        let size = HEADER + usize::from(capacity) + 1;
        let block = NonNull::new(alloc::malloc(size).cast::<u8>()).ok_or(OutOfMemory)?;
        // SAFETY: the block has header, capacity and one byte for the NUL.
        unsafe {
            block.cast::<[u8; 4]>().write([0, capacity, Kind::K8 as u8, 0]);
            Ok(Sds(block.add(HEADER)))
        }
    }

    /// An empty string with exactly this header and capacity.
    #[inline(never)]
    fn with_room(kind: Kind, capacity: usize) -> Result<Sds, OutOfMemory> {
        let size = capacity.checked_add(kind.header() + 1).ok_or(OutOfMemory)?;
        let block = NonNull::new(alloc::malloc(size).cast::<u8>()).ok_or(OutOfMemory)?;
        // SAFETY: the block has header, capacity and one byte for the NUL.
        let s = unsafe { Sds(block.add(kind.header())) };
        s.set_kind(kind);
        s.set_capacity(capacity);
        s.set_len(0);
        Ok(s)
    }

    fn kind(self) -> Kind {
        // SAFETY: a live string has its flags byte before the text.
        match unsafe { self.0.sub(1).read() } & KIND_MASK {
            0 => Kind::K5,
            1 => Kind::K8,
            2 => Kind::K16,
            3 => Kind::K32,
            _ => Kind::K64,
        }
    }

    fn set_kind(self, kind: Kind) {
        // SAFETY: as in `kind`.
        unsafe { self.0.sub(1).write(kind as u8) }
    }

    /// The header's number that ends `back` bytes before the text.
    fn field<T: Copy>(self, back: usize) -> T {
        // SAFETY: callers pass an offset inside the header that `kind` names.
        unsafe { self.0.sub(back).cast::<T>().read_unaligned() }
    }

    fn set_field<T: Copy>(self, back: usize, value: T) {
        // SAFETY: as in `field`.
        unsafe { self.0.sub(back).cast::<T>().write_unaligned(value) }
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        if self.is_short() { self.field::<u8>(3).into() } else { self.long_len() }
    }

    /// As `is_short`, for strings of some length.
    #[inline(always)]
    fn is_medium(self) -> bool {
        self.field::<u8>(1) == Kind::K16 as u8
    }

    #[inline(never)]
    fn long_len(self) -> usize {
        if self.is_medium() {
            return self.field::<u16>(5).into();
        }
        match self.kind() {
            Kind::K5 => usize::from(self.field::<u8>(1) >> KIND_BITS),
            Kind::K8 => usize::from(self.field::<u8>(3)),
            Kind::K16 => usize::from(self.field::<u16>(5)),
            Kind::K32 => self.field::<u32>(9) as usize,
            Kind::K64 => self.field::<u64>(17) as usize,
        }
    }

    #[inline]
    pub(crate) fn capacity(self) -> usize {
        if self.is_short() { self.field::<u8>(2).into() } else { self.long_capacity() }
    }

    #[inline(never)]
    fn long_capacity(self) -> usize {
        if self.is_medium() {
            return self.field::<u16>(3).into();
        }
        match self.kind() {
            Kind::K5 => self.len(),
            Kind::K8 => usize::from(self.field::<u8>(2)),
            Kind::K16 => usize::from(self.field::<u16>(3)),
            Kind::K32 => self.field::<u32>(5) as usize,
            Kind::K64 => self.field::<u64>(9) as usize,
        }
    }

    /// Length and capacity of a string with one of the two headers that most have.
    #[inline(always)]
    pub(crate) fn common_extent(self) -> Option<(usize, usize)> {
        if self.is_medium() {
            Some((self.field::<u16>(5).into(), self.field::<u16>(3).into()))
        } else if self.is_short() {
            Some((self.field::<u8>(3).into(), self.field::<u8>(2).into()))
        } else {
            None
        }
    }

    /// Length and room.
    #[inline(always)]
    pub(crate) fn extent(self) -> (usize, usize) {
        if self.is_short() { (self.len(), self.avail()) } else { self.long_extent() }
    }

    #[inline(never)]
    fn long_extent(self) -> (usize, usize) {
        let (len, capacity) = match self.kind() {
            Kind::K16 => (self.field::<u16>(5).into(), self.field::<u16>(3).into()),
            Kind::K32 => (self.field::<u32>(9) as usize, self.field::<u32>(5) as usize),
            _ => return self.other_extent(),
        };
        (len, capacity - len)
    }

    #[inline(never)]
    fn other_extent(self) -> (usize, usize) {
        let len = self.long_len();
        (len, self.long_capacity() - len)
    }

    #[inline]
    pub(crate) fn avail(self) -> usize {
        if self.is_short() {
            usize::from(self.field::<u8>(2).wrapping_sub(self.field::<u8>(3)))
        } else {
            self.long_avail()
        }
    }

    #[inline(never)]
    fn long_avail(self) -> usize {
        match self.kind() {
            Kind::K5 => 0,
            Kind::K8 => usize::from(self.field::<u8>(2).wrapping_sub(self.field::<u8>(3))),
            Kind::K16 => usize::from(self.field::<u16>(3).wrapping_sub(self.field::<u16>(5))),
            Kind::K32 => self.field::<u32>(5).wrapping_sub(self.field::<u32>(9)) as usize,
            Kind::K64 => self.field::<u64>(9).wrapping_sub(self.field::<u64>(17)) as usize,
        }
    }

    /// Whether the header is that of short strings. The bits that tell nothing are zero as a
    /// rule, and if not, what is done for long ones serves as well.
    #[inline(always)]
    pub(crate) fn is_short(self) -> bool {
        self.field::<u8>(1) == Kind::K8 as u8
    }

    /// Sets the length of a string with the header of short ones.
    #[inline(always)]
    pub(crate) fn set_short_len(self, len: usize) {
        self.set_field(3, len as u8);
        // SAFETY: the block has one byte more than the capacity.
        unsafe { self.0.add(len).write(0) };
    }

    fn set_capacity(self, capacity: usize) {
        match self.kind() {
            Kind::K5 => {}
            Kind::K8 => self.set_field(2, capacity as u8),
            Kind::K16 => self.set_field(3, capacity as u16),
            Kind::K32 => self.set_field(5, capacity as u32),
            Kind::K64 => self.set_field(9, capacity as u64),
        }
    }

    /// Sets the length, at most the capacity, and ends the text with a NUL.
    #[inline]
    pub(crate) fn set_len(self, len: usize) {
        if self.is_short() { self.set_short_len(len) } else { self.set_long_len(len) }
    }

    /// As `set_len`, where it is worth a copy of the code.
    #[inline(always)]
    pub(crate) fn set_len_inline(self, len: usize) {
        if !self.is_medium() {
            return self.set_len(len);
        }
        self.set_field(5, len as u16);
        // SAFETY: the block has one byte more than the capacity.
        unsafe { self.0.add(len).write(0) }
    }

    #[inline(never)]
    fn set_long_len(self, len: usize) {
        self.count(len);
        // SAFETY: the block has one byte more than the capacity.
        unsafe { self.0.add(len).write(0) }
    }

    /// As `set_len`, without the NUL.
    #[inline]
    pub(crate) fn count(self, len: usize) {
        if self.is_medium() {
            return self.set_field(5, len as u16);
        }
        match self.kind() {
            Kind::K5 => self.set_field(1, (len as u8) << KIND_BITS),
            Kind::K8 => self.set_field(3, len as u8),
            Kind::K16 => self.set_field(5, len as u16),
            Kind::K32 => self.set_field(9, len as u32),
            Kind::K64 => self.set_field(17, len as u64),
        }
    }

    /// The text, without its NUL.
    ///
    /// # Safety
    /// Nothing changes or frees the string while the slice is in use.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: `len` bytes are the text; the rest is the caller's promise.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), self.len()) }
    }

    /// Where the free room begins: `avail()` bytes follow.
    #[inline]
    pub(crate) fn tail(self) -> *mut u8 {
        // SAFETY: the length is inside the block.
        unsafe { self.0.as_ptr().add(self.len()) }
    }

    /// Makes room for `more` bytes after the text. The string may move: the result
    /// replaces it. On failure it is as it was.
    #[inline]
    pub(crate) fn reserve(self, more: usize) -> Result<Sds, OutOfMemory> {
        if self.avail() >= more { Ok(self) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(self, more: usize) -> Result<Sds, OutOfMemory> {
        let len = self.len();
        let need = len.checked_add(more).ok_or(OutOfMemory)?;
        // Unlike hiredis: past two megabytes by half of itself, not by one
        // megabyte, so that an allocator which copies stays linear.
        let spare = if need < MAX_PREALLOC { need } else { MAX_PREALLOC.max(need / 2) };
        let capacity = need.checked_add(spare).ok_or(OutOfMemory)?;
        self.resize(Kind::growable(capacity), capacity)
    }

    /// Moves the text into a block of exactly this header and capacity, which must
    /// hold it.
    #[inline(never)]
    fn resize(self, kind: Kind, capacity: usize) -> Result<Sds, OutOfMemory> {
        let len = self.len();
        if kind != self.kind() {
            let new = Sds::with_room(kind, capacity)?;
            // SAFETY: the new string has room for the old one's text.
            unsafe { ptr::copy_nonoverlapping(self.0.as_ptr(), new.0.as_ptr(), len) };
            new.set_len(len);
            self.free();
            return Ok(new);
        }
        let size = capacity.checked_add(kind.header() + 1).ok_or(OutOfMemory)?;
        // SAFETY: the block of a live string.
        let block = unsafe { alloc::realloc(self.block(), size) }.cast::<u8>();
        let block = NonNull::new(block).ok_or(OutOfMemory)?;
        // SAFETY: the header is at the block's start.
        let new = unsafe { Sds(block.add(kind.header())) };
        new.set_capacity(capacity);
        Ok(new)
    }

    /// Appends `text`, which is not part of the string. As `reserve`.
    #[inline(never)]
    pub(crate) fn append(self, text: &[u8]) -> Result<Sds, OutOfMemory> {
        let s = self.reserve(text.len())?;
        let len = s.len();
        // SAFETY: reserve made the room, and `text` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), s.0.as_ptr().add(len), text.len()) };
        s.set_len(len + text.len());
        Ok(s)
    }

    /// Drops the first `n` bytes; all of them when there are fewer.
    #[inline(never)]
    pub(crate) fn drop_front(self, n: usize) {
        let len = self.len();
        let n = n.min(len);
        if n == 0 {
            return;
        }
        // SAFETY: both ranges are inside the text.
        unsafe { ptr::copy(self.0.as_ptr().add(n), self.0.as_ptr(), len - n) };
        self.set_len(len - n);
    }

    /// The start of the heap block.
    pub(crate) fn block(self) -> *mut c_void {
        let header = if self.is_short() { Kind::K8.header() } else { self.kind().header() };
        // SAFETY: the header is right before the text.
        unsafe { self.0.as_ptr().sub(header).cast() }
    }

    /// The string is gone afterwards.
    #[inline(never)]
    pub(crate) fn free(self) {
        // SAFETY: a live string's block; the caller gives it up.
        unsafe { alloc::free(self.block()) }
    }
}
