//! Integers as decimal text, without memory and without failing.

use core::ops::Range;

/// Room for the sign and the digits of any 64-bit number.
pub(crate) const LONGEST: usize = 20;

pub(crate) struct Decimal {
    text: [u8; LONGEST],
    start: usize,
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
};

/// Two digits; the number is below a hundred.
#[inline(always)]
pub(crate) fn pair(n: usize) -> [u8; 2] {
    PAIRS.get(n).copied().unwrap_or_default()
}

/// Writes the digits of a number before `end`; gives where they begin.
///
/// # Safety
/// The LONGEST bytes before `end` may be written.
#[inline(always)]
pub(crate) unsafe fn put_before(end: *mut u8, n: u64) -> *mut u8 {
    let mut at = end;
    // SAFETY: the caller's promise.
    unsafe {
        let mut n = match u32::try_from(n) {
            Ok(n) => n,
            Err(_) => {
                let rest;
                (at, rest) = put_high(at, n);
                rest
            }
        };
        while n >= 100 {
            at = at.sub(2);
            at.cast::<[u8; 2]>().write(pair((n % 100) as usize));
            n /= 100;
        }
        if n >= 10 {
            at = at.sub(2);
            at.cast::<[u8; 2]>().write(pair(n as usize));
        } else {
            at = at.sub(1);
            at.write(b'0' + n as u8);
        }
    }
    at
}

/// As `put_before`, until the rest, which comes before, is small.
///
/// # Safety
/// As for `put_before`.
#[inline(never)]
unsafe fn put_high(end: *mut u8, n: u64) -> (*mut u8, u32) {
    let (mut at, mut n) = (end, n);
    loop {
        if let Ok(n) = u32::try_from(n) {
            return (at, n);
        }
        // SAFETY: the caller's promise.
        unsafe {
            at = at.sub(2);
            at.cast::<[u8; 2]>().write(pair((n % 100) as usize));
        }
        n /= 100;
    }
}

impl Decimal {
    #[inline(never)]
    pub(crate) fn unsigned(n: u64) -> Decimal {
        let mut text = [0; LONGEST];
        let Range { start, end } = text.as_mut_ptr_range();
        // SAFETY: LONGEST bytes.
        let first = unsafe { put_before(end, n) };
        Decimal { text, start: first.addr() - start.addr() }
    }

    #[inline]
    pub(crate) fn signed(n: i64) -> Decimal {
        let mut decimal = Decimal::unsigned(n.unsigned_abs());
        if n < 0 {
            decimal.prepend(b'-');
        }
        decimal
    }

    #[inline]
    fn prepend(&mut self, byte: u8) {
        self.start = self.start.saturating_sub(1);
        if let Some(slot) = self.text.get_mut(self.start) {
            *slot = byte;
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let steps = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, (1 << bit) + 1]);
        let powers = (0..20).flat_map(|e| [10u64.pow(e), 10u64.pow(e) - 1]);
        for n in steps.chain(powers).chain([0, u64::MAX]) {
            assert_eq!(Decimal::unsigned(n).as_bytes(), n.to_string().as_bytes());
            let n = n as i64;
            assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
            let n = n.wrapping_neg();
            assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
        }
    }
}
