//! Arguments of a variadic C function, taken one by one.
//!
//! A format string says how many there are and of which types; whoever reads the
//! format asks for them here. Those of sds functions can be walked again from the
//! first, so that `sdscatfmt` measures in a first pass and writes without failing in a
//! second.

use core::ffi::{CStr, c_char, c_double, c_int, c_long, c_longlong};

use bytes::buf::UninitSlice;

/// The arguments. Whoever makes one vouches that they are what the format says.
pub(crate) trait Args {
    fn int(&mut self) -> c_int;
    fn long(&mut self) -> c_long;
    fn long_long(&mut self) -> c_longlong;
    fn double(&mut self) -> c_double;
    fn size(&mut self) -> usize;
    /// Any `char *`, which may be NULL.
    fn pointer(&mut self) -> *const c_char;
}

/// Arguments that can be walked again.
pub(crate) trait Rewind: Args {
    /// Goes back to the first argument.
    fn rewind(&mut self);
}

/// A number for one conversion of printf, with the type that it has in C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(c_int),
    Long(c_long),
    LongLong(c_longlong),
    Double(c_double),
}

impl Number {
    /// Prints into `out` as snprintf does: what fits, and a NUL (nothing when `out` is
    /// empty). Gives the length of the whole text; `None` if the C library refuses.
    ///
    /// # Safety
    /// `spec` is one conversion, such as `%08.3f`, for a number of this type.
    pub(crate) unsafe fn print(self, spec: &CStr, out: &mut UninitSlice) -> Option<usize> {
        let (to, room, spec) = (out.as_mut_ptr().cast(), out.len(), spec.as_ptr());
        // SAFETY: snprintf writes at most `room` bytes; the type is the caller's promise.
        let n = unsafe {
            match self {
                Number::Int(v) => libc::snprintf(to, room, spec, v),
                Number::Long(v) => libc::snprintf(to, room, spec, v),
                Number::LongLong(v) => libc::snprintf(to, room, spec, v),
                Number::Double(v) => libc::snprintf(to, room, spec, v),
            }
        };
        usize::try_from(n).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One argument of a test.
    #[derive(Clone, Copy)]
    pub(crate) enum Arg {
        Number(Number),
        Size(usize),
        Text(Option<&'static CStr>),
        Pointer(*const c_char),
    }

    /// Arguments that fail the test when they are asked for in another order or type.
    pub(crate) struct List<'a> {
        pub(crate) all: &'a [Arg],
        pub(crate) next: usize,
    }

    impl<'a> List<'a> {
        pub(crate) fn new(all: &'a [Arg]) -> Self {
            List { all, next: 0 }
        }

        fn take(&mut self) -> Arg {
            self.next += 1;
            self.all[self.next - 1]
        }
    }

    impl Rewind for List<'_> {
        fn rewind(&mut self) {
            self.next = 0;
        }
    }

    impl Args for List<'_> {
        fn int(&mut self) -> c_int {
            let Arg::Number(Number::Int(v)) = self.take() else { panic!("not an int") };
            v
        }

        fn long(&mut self) -> c_long {
            let Arg::Number(Number::Long(v)) = self.take() else { panic!("not a long") };
            v
        }

        fn long_long(&mut self) -> c_longlong {
            let Arg::Number(Number::LongLong(v)) = self.take() else { panic!("not a long long") };
            v
        }

        fn double(&mut self) -> c_double {
            let Arg::Number(Number::Double(v)) = self.take() else { panic!("not a double") };
            v
        }

        fn size(&mut self) -> usize {
            let Arg::Size(v) = self.take() else { panic!("not a size_t") };
            v
        }

        fn pointer(&mut self) -> *const c_char {
            match self.take() {
                Arg::Text(text) => text.map_or(core::ptr::null(), CStr::as_ptr),
                Arg::Pointer(p) => p,
                _ => panic!("not a pointer"),
            }
        }
    }

    #[test]
    fn numbers_print_as_in_c() {
        let print = |n: Number, spec: &CStr, room: usize| {
            let mut out = vec![b'#'; room];
            // SAFETY: each case below pairs the type with its conversion.
            let len = unsafe { n.print(spec, UninitSlice::new(&mut out)) };
            (len, String::from_utf8(out).unwrap())
        };
        assert_eq!(print(Number::Double(2.7178), c"%08.3f", 10), (Some(8), "0002.718\0#".into()));
        assert_eq!(print(Number::Int(-7), c"%5d", 4), (Some(5), "   \0".into()));
        assert_eq!(print(Number::Long(-7), c"%ld", 0), (Some(2), String::new()));
        assert_eq!(
            print(Number::LongLong(i64::MIN), c"%lld", 21),
            (Some(20), "-9223372036854775808\0".into())
        );
        assert_eq!(print(Number::Int(1), c"%2147483648d", 4).0, None);
    }
}
