//! The registers that unwinding starts from, and where a thread's stack ends.

use std::arch::asm;

/// Registers of a frame, as far as they matter for leaving it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    /// Where the frame is executing.
    pub(super) pc: usize,
    pub(super) sp: usize,
    /// Frame pointer: `rbp`, `x29`.
    pub(super) fp: usize,
    /// Link register; on x86-64 the return address lies on the stack, and this is 0.
    pub(super) lr: usize,
}

impl Registers {
    /// The registers at this place of the function that this is inlined into.
    #[inline(always)]
    pub(super) fn here() -> Self {
        let (pc, sp, fp): (usize, usize, usize);
        #[cfg(target_arch = "x86_64")]
        let lr = 0;
        #[cfg(target_arch = "aarch64")]
        let lr: usize;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads three registers and touches neither memory nor flags.
        unsafe {
            asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: reads four registers and touches neither memory nor flags.
        unsafe {
            asm!(
                "adr {pc}, .",
                "mov {sp}, sp",
                "mov {fp}, x29",
                "mov {lr}, x30",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                lr = out(reg) lr,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp, lr }
    }
}

/// The end of the calling thread's stack, or 0 when it cannot be known. Costs a system call or two; ask once per thread.
///
/// It calls the C library, whose own `malloc` may serve it: never ours, which only serves Rust.
pub(in crate::heap) fn stack_end() -> usize {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are initialised by the first call, read only if it succeeded, and destroyed once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return 0;
        }
        let (mut start, mut size) = (std::ptr::null_mut(), 0);
        let got = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if got == 0 {
            (start as usize).saturating_add(size)
        } else {
            0
        }
    }
}
