//! Integers as decimal text, without memory and without failing.

/// Room for the sign and the digits of any 64-bit number.
const LONGEST: usize = 20;

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

/// Writes the last `digits` digits of a number, with zeros in front if it has less.
///
/// # Safety
/// So many bytes at `at` may be written.
#[inline(always)]
pub(crate) unsafe fn put(at: *mut u8, n: u64, digits: usize) {
    let (mut n, mut left) = (n, digits);
    // SAFETY: the caller's promise.
    unsafe {
        while left > 1 {
            left -= 2;
            at.add(left).cast::<[u8; 2]>().write_unaligned(pair((n % 100) as usize));
            n /= 100;
        }
        if left == 1 {
            at.write(b'0' + (n % 10) as u8);
        }
    }
}

/// How many digits a number has.
#[inline]
pub(crate) fn len(n: u64) -> usize {
    match n {
        0..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        1000..=9999 => 4,
        10_000..=99_999 => 5,
        _ => 1 + n.checked_ilog10().unwrap_or(0) as usize,
    }
}

impl Decimal {
    #[inline(never)]
    pub(crate) fn unsigned(mut n: u64) -> Decimal {
        let mut decimal = Decimal { text: [0; LONGEST], start: LONGEST };
        while n >= 100 {
            let [tens, ones] = pair((n % 100) as usize);
            n /= 100;
            decimal.prepend(ones);
            decimal.prepend(tens);
        }
        let [tens, ones] = pair(n as usize);
        decimal.prepend(ones);
        if n >= 10 {
            decimal.prepend(tens);
        }
        decimal
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
            assert_eq!(len(n), n.to_string().len());
            let n = n as i64;
            assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
            let n = n.wrapping_neg();
            assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
        }
    }
}
