//! Doubles as RESP3 writes them.

/// Characters of a double, at most.
pub(crate) const LONGEST: usize = 325;

/// A double as RESP3 writes it, whatever the locale: `inf`, `nan`, or decimal
/// digits with an optional point and exponent. A number too small to tell from
/// zero is zero; one too large is refused.
#[inline(never)]
pub(crate) fn parse_double(text: &[u8]) -> Option<f64> {
    let body = text.strip_prefix(b"-").unwrap_or(text);
    let negative = body.len() < text.len();
    if body.eq_ignore_ascii_case(b"inf") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if body.eq_ignore_ascii_case(b"nan") {
        return Some(f64::NAN);
    }
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(body);
    let mut rest = body.get(whole..)?;
    let mut count = whole;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        count += len;
        rest = fraction.get(len..)?;
    }
    if count == 0 {
        return None;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let value: f64 = core::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}
