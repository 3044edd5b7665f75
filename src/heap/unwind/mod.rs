//! The stack of the calling thread, without allocating, locking or re-entering.
//!
//! A frame is left by a rule that says where the caller's frame begins and where its return address and frame pointer lie. Rules are
//! worked out from the unwind tables that the compiler wrote (`.eh_frame`) and kept in a cache that all threads share, so that a frame
//! which was seen before costs one look-up and two or three reads. That is nearly as quick as following frame pointers, and right in code that has none;
//! `benches/` compares both with libgcc's unwinder.
//!
//! | file | holds |
//! |---|---|
//! | `tables/` | the above, on Linux |
//! | `system.rs` | elsewhere: the unwinder of the platform |

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tables;
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "system.rs"]
mod tables;

use std::mem::MaybeUninit;

pub(super) use tables::{capture, refresh, stack_end};

/// Most frames of a stack; what lies further out is cut off, and the stack says so.
pub const MAX_DEPTH: usize = 128;

/// Return addresses of a stack, innermost first.
pub(super) struct Stack {
    frames: [MaybeUninit<usize>; MAX_DEPTH],
    /// So many of them are filled in.
    depth: usize,
    is_whole: bool,
}

impl Stack {
    pub(super) const fn new() -> Self {
        Self {
            frames: [const { MaybeUninit::uninit() }; MAX_DEPTH],
            depth: 0,
            is_whole: false,
        }
    }

    pub(super) fn frames(&self) -> &[usize] {
        let frames = &self.frames[..self.depth];
        // SAFETY: `push` has filled in so many, and integers in a `MaybeUninit` lie as they do by themselves.
        unsafe { &*(std::ptr::from_ref(frames) as *const [usize]) }
    }

    /// Whether the outermost frame of the thread was reached.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Adds a frame if there is room.
    #[inline]
    fn push(&mut self, address: usize) -> bool {
        match self.frames.get_mut(self.depth) {
            Some(place) => {
                place.write(address);
                self.depth += 1;
                true
            }
            None => false,
        }
    }
}

/// Writes the return addresses of the caller's stack to `frames`, innermost first, and says how many there are. For the benchmarks, which
/// compare it with other unwinders.
#[doc(hidden)]
#[inline(never)]
pub fn stack_here(frames: &mut [usize; MAX_DEPTH], stack_end: usize) -> usize {
    let mut stack = Stack::new();
    capture(&mut stack, stack_end);
    frames[..stack.depth].copy_from_slice(stack.frames());
    stack.depth
}

/// Where the calling thread's stack ends, for [`stack_here`].
#[doc(hidden)]
pub fn own_stack_end() -> usize {
    refresh();
    stack_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn here(stack: &mut Stack) {
        capture(stack, stack_end());
        std::hint::black_box(stack);
    }

    #[inline(never)]
    fn deep(levels: usize, stack: &mut Stack) -> usize {
        if levels == 0 {
            here(stack);
            return 0;
        }
        std::hint::black_box(deep(levels - 1, stack)) + 1
    }

    /// What libgcc's unwinder sees from the same place.
    fn expected() -> Vec<usize> {
        unsafe extern "C" {
            fn _Unwind_Backtrace(
                trace: extern "C" fn(*mut libc::c_void, *mut libc::c_void) -> libc::c_int,
                argument: *mut libc::c_void,
            ) -> libc::c_int;
            fn _Unwind_GetIP(context: *mut libc::c_void) -> usize;
        }
        extern "C" fn trace(context: *mut libc::c_void, frames: *mut libc::c_void) -> libc::c_int {
            // SAFETY: `_Unwind_Backtrace` hands over its context, and the vector that it was given below.
            let address = unsafe { _Unwind_GetIP(context) };
            if address != 0 {
                // SAFETY: as above.
                unsafe { (*frames.cast::<Vec<usize>>()).push(address) };
            }
            0
        }
        let mut frames: Vec<usize> = Vec::new();
        // SAFETY: `trace` matches what the function wants, and the vector outlives the call.
        unsafe { _Unwind_Backtrace(trace, (&raw mut frames).cast()) };
        frames
    }

    #[inline(never)]
    fn both() -> (Vec<usize>, Vec<usize>) {
        let mut stack = Stack::new();
        capture(&mut stack, stack_end());
        assert!(stack.is_whole() || stack.frames().len() == MAX_DEPTH);
        (stack.frames().to_vec(), expected())
    }

    #[test]
    fn the_stack_is_that_of_the_platforms_unwinder() {
        refresh();
        let compare = || {
            let (ours, theirs) = both();
            // The innermost frames are in different places of `both`; from its caller on the stacks are one.
            let (ours, theirs) = (&ours[1..], &theirs[theirs.len() - (ours.len() - 1)..]);
            assert!(ours.len() > 3, "{ours:x?}");
            assert_eq!(ours, theirs);
        };
        compare();
        (0..3).for_each(|_| compare());
        std::thread::spawn(compare).join().unwrap();
        let mut list = [2, 1];
        list.sort_by(|a, b| {
            compare();
            a.cmp(b)
        });
    }

    #[test]
    fn a_deep_stack_is_cut_off_and_says_so() {
        refresh();
        let mut stack = Stack::new();
        assert_eq!(deep(500, &mut stack), 500);
        assert_eq!(stack.frames().len(), MAX_DEPTH);
        assert!(!stack.is_whole());
    }

    #[test]
    fn an_unknown_stack_is_read_no_further_than_its_page() {
        refresh();
        let mut stack = Stack::new();
        capture(&mut stack, 0);
        assert!(!stack.frames().is_empty());
    }
}
