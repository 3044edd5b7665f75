//! Where our own unwinder does not work: the one of the platform, which is slower.

use std::ffi::{c_int, c_void};

use super::Stack;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        trace: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

const GO_ON: c_int = 0;
const STOP: c_int = 5;

/// The stack that is written, and whether the first frame, which is that of [`capture`] itself, was passed.
struct Writing<'a> {
    stack: &'a mut Stack,
    has_begun: bool,
}

/// Writes the stack of the calling thread to `stack`, the caller of this function first. Where it ends is the platform's business.
#[inline(never)]
pub(in crate::heap) fn capture(stack: &mut Stack, _end: usize) {
    extern "C" fn trace(context: *mut c_void, writing: *mut c_void) -> c_int {
        // SAFETY: the unwinder hands over its context, and what it was given below, which nobody else uses meanwhile.
        let (address, writing) =
            unsafe { (_Unwind_GetIP(context), &mut *writing.cast::<Writing>()) };
        if !std::mem::replace(&mut writing.has_begun, true) {
            return GO_ON;
        }
        if address != 0 && writing.stack.push(address) {
            GO_ON
        } else {
            STOP
        }
    }
    let mut writing = Writing {
        stack,
        has_begun: false,
    };
    // SAFETY: `trace` has the shape that is wanted, and `writing` outlives the call.
    unsafe { _Unwind_Backtrace(trace, (&raw mut writing).cast()) };
    stack.is_whole = stack.depth < super::MAX_DEPTH;
}

/// Warms the platform's unwinder up: the first stack may make it allocate.
pub(in crate::heap) fn refresh() {
    capture(&mut Stack::new(), 0);
}

pub(in crate::heap) fn stack_end() -> usize {
    0
}
