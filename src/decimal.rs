//! Integers as decimal text, without memory and without failing.

/// Room for the sign and the digits of any 64-bit number.
const LONGEST: usize = 20;

pub(crate) struct Decimal {
    text: [u8; LONGEST],
    start: usize,
}

impl Decimal {
    #[inline(never)]
    pub(crate) fn unsigned(mut n: u64) -> Decimal {
        let mut decimal = Decimal { text: [0; LONGEST], start: LONGEST };
        loop {
            decimal.prepend(b'0' + (n % 10) as u8);
            n /= 10;
            if n == 0 {
                return decimal;
            }
        }
    }

    #[inline]
    pub(crate) fn signed(n: i64) -> Decimal {
        let mut decimal = Decimal::unsigned(n.unsigned_abs());
        if n < 0 {
            decimal.prepend(b'-');
        }
        decimal
    }

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
