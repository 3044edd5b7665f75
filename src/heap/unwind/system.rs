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

/// Writes the stack of the calling thread to `stack`. The end of the stack is the platform's business.
#[inline(never)]
pub(in crate::heap) fn capture(stack: &mut Stack, _end: usize) {
    extern "C" fn trace(context: *mut c_void, stack: *mut c_void) -> c_int {
        // SAFETY: the unwinder hands over its context and the stack that it was given below, which nobody else uses meanwhile.
        let (address, stack) = unsafe { (_Unwind_GetIP(context), &mut *stack.cast::<Stack>()) };
        if address != 0 && stack.push(address) {
            GO_ON
        } else {
            STOP
        }
    }
    // SAFETY: `trace` has the shape that is wanted, and `stack` outlives the call.
    let reason = unsafe { _Unwind_Backtrace(trace, std::ptr::from_mut(stack).cast()) };
    stack.is_whole = reason != STOP && stack.depth < super::MAX_DEPTH;
}

/// Warms the platform's unwinder up: the first stack may make it allocate.
pub(in crate::heap) fn refresh() {
    capture(&mut Stack::new(), 0);
}

pub(in crate::heap) fn stack_end() -> usize {
    0
}
