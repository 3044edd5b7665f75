//! From an address to the rule that leaves its frame, and the cache of such rules.

use std::sync::atomic::{AtomicU64, Ordering};

use gimli::{CfaRule, EhFrame, Register, RegisterRule, UnwindContext, UnwindSection};

use super::super::Stack;
use super::modules;
use super::registers::Registers;

#[cfg(target_arch = "x86_64")]
mod machine {
    use gimli::{Register, X86_64};
    pub(super) const SP: Register = X86_64::RSP;
    pub(super) const FP: Register = X86_64::RBP;
    pub(super) const RETURN: Register = X86_64::RA;
    /// Nothing but an address in a return address.
    pub(super) const ADDRESS_BITS: usize = usize::MAX;
}
#[cfg(target_arch = "aarch64")]
mod machine {
    use gimli::{AArch64, Register};
    pub(super) const SP: Register = AArch64::SP;
    pub(super) const FP: Register = AArch64::X29;
    pub(super) const RETURN: Register = AArch64::X30;
    /// Above these bits a signed return address holds its signature.
    pub(super) const ADDRESS_BITS: usize = (1 << 48) - 1;
}

const WORD: i64 = 8;
/// Distance that means "not saved: as it is".
const UNSAVED: i16 = i16::MIN;

/// How to leave a frame. Distances are in words from the frame's canonical address, which the caller's stack pointer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Leave {
        /// Whether the canonical address counts from the frame pointer, not the stack pointer.
        from_fp: bool,
        distance: i32,
        return_at: i16,
        fp_at: i16,
    },
    /// The outermost frame of the thread.
    End,
    /// No table knows the address: follow the frame pointer if it points up the stack.
    FollowFp,
    /// The table says something that is not worth a rule (signal frames, for one): the stack ends here, cut off.
    Unsupported,
}

impl Rule {
    const KIND_SHIFT: u32 = 60;

    fn packed(self) -> u64 {
        match self {
            Self::Leave {
                from_fp,
                distance,
                return_at,
                fp_at,
            } => {
                let distance = u64::from(distance.cast_unsigned()) & ((1 << 24) - 1);
                let kind = 1 + u64::from(from_fp);
                kind << Self::KIND_SHIFT
                    | distance << 32
                    | u64::from(return_at.cast_unsigned()) << 16
                    | u64::from(fp_at.cast_unsigned())
            }
            Self::End => 3 << Self::KIND_SHIFT,
            Self::FollowFp => 4 << Self::KIND_SHIFT,
            Self::Unsupported => 5 << Self::KIND_SHIFT,
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "takes a word apart")]
    fn unpacked(packed: u64) -> Self {
        match packed >> Self::KIND_SHIFT {
            kind @ (1 | 2) => Self::Leave {
                from_fp: kind == 2,
                // 24 bits with their sign.
                distance: ((packed >> 32) as u32).cast_signed() << 8 >> 8,
                return_at: ((packed >> 16) as u16).cast_signed(),
                fp_at: (packed as u16).cast_signed(),
            },
            3 => Self::End,
            4 => Self::FollowFp,
            _ => Self::Unsupported,
        }
    }
}

/// Places of the cache.
const PLACES: usize = 4096;

/// A rule and the address that it is for. The two words are written one after the other by whoever comes, so a reader may see halves of two
/// entries: the first word is the address *xor* the rule, and halves that do not belong together give another address.
struct Place {
    check: AtomicU64,
    rule: AtomicU64,
}

static CACHE: [Place; PLACES] = [const {
    Place {
        check: AtomicU64::new(0),
        rule: AtomicU64::new(0),
    }
}; PLACES];

/// Empties the cache: what it knows was of an older list of objects.
pub(super) fn forget() {
    for place in &CACHE {
        place.check.store(0, Ordering::Relaxed);
        place.rule.store(0, Ordering::Relaxed);
    }
}

#[inline]
fn rule_of(address: usize) -> Rule {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    const SHIFT: u32 = u64::BITS - PLACES.trailing_zeros();
    #[allow(
        clippy::cast_possible_truncation,
        reason = "below PLACES after the shift"
    )]
    let place = &CACHE[((address as u64).wrapping_mul(GOLDEN) >> SHIFT) as usize];
    let rule = place.rule.load(Ordering::Relaxed);
    if place.check.load(Ordering::Relaxed) ^ rule == address as u64 {
        return Rule::unpacked(rule);
    }
    let rule = work_out(address);
    place.rule.store(rule.packed(), Ordering::Relaxed);
    place
        .check
        .store(address as u64 ^ rule.packed(), Ordering::Relaxed);
    rule
}

/// Room for evaluating a table, on the stack.
struct OnStack;

impl gimli::UnwindContextStorage<usize> for OnStack {
    type Rules = [(Register, RegisterRule<usize>); 24];
    type Stack = [gimli::UnwindTableRow<usize, Self>; 3];
}

/// Reads the rule from the unwind tables: a binary search and a few instructions, about a microsecond. gimli promises that these of its
/// methods neither allocate nor lock.
#[cold]
#[inline(never)]
fn work_out(address: usize) -> Rule {
    let Some(module) = modules::current().and_then(|modules| modules.find(address)) else {
        return Rule::FollowFp;
    };
    let mut context: UnwindContext<usize, OnStack> = UnwindContext::new_in();
    let table = module.header.table();
    let row = table.and_then(|table| {
        let address = address as u64;
        let cie = EhFrame::cie_from_offset;
        let (frames, bases) = (&module.eh_frame, &module.bases);
        table
            .unwind_info_for_address(frames, bases, &mut context, address, cie)
            .ok()
    });
    let Some(row) = row else {
        return Rule::FollowFp;
    };
    let (from_fp, distance) = match *row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } if register == machine::SP => {
            (false, offset)
        }
        CfaRule::RegisterAndOffset { register, offset } if register == machine::FP => {
            (true, offset)
        }
        _ => return Rule::Unsupported,
    };
    let words = |offset: i64| (offset % WORD == 0).then_some(offset / WORD);
    let saved = |rule: Option<RegisterRule<usize>>| match rule {
        Some(RegisterRule::Offset(offset)) => {
            words(offset).and_then(|words| i16::try_from(words).ok())
        }
        None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => Some(UNSAVED),
        _ => None,
    };
    // So the C library marks the function that a thread begins in.
    if row.register(machine::RETURN) == Some(RegisterRule::Undefined) {
        return Rule::End;
    }
    let distance = words(distance)
        .and_then(|words| i32::try_from(words).ok())
        .filter(|words| words.abs() < 1 << 23);
    match (
        distance,
        saved(row.register(machine::RETURN)),
        saved(row.register(machine::FP)),
    ) {
        (Some(distance), Some(return_at), Some(fp_at)) => Rule::Leave {
            from_fp,
            distance,
            return_at,
            fp_at,
        },
        _ => Rule::Unsupported,
    }
}

/// Writes the stack of the calling thread to `stack`, the caller of this function first. `end` is where the thread's stack ends; with 0, or
/// on a stack that is not the thread's own (of a coroutine, or for signals), no more than the current page is read.
#[inline(never)]
pub(in crate::heap) fn capture(stack: &mut Stack, end: usize) {
    const PAGE: usize = 4096;
    /// A thread that is further than this from the end of its stack runs on another one.
    const LARGEST_STACK: usize = 1 << 32;
    let mut registers = Registers::here();
    let start = registers.sp;
    let page_end = (start | (PAGE - 1)) + 1;
    let end = if start < end && end - start < LARGEST_STACK {
        end
    } else {
        page_end
    };
    let read = |address: usize| {
        if address < start || address > end - size_of::<usize>() || !address.is_multiple_of(8) {
            return None;
        }
        // SAFETY: an aligned word between the stack pointer and the end of the stack that it points into, both of this thread, is
        // mapped for as long as this function runs. It may be written by nobody else, and any bits make an integer.
        Some(unsafe { (address as *const usize).read_volatile() })
    };
    let mut lookup = registers.pc;
    let mut is_first = true;
    loop {
        let rule = rule_of(lookup);
        let Some(next) = step(rule, registers, is_first, read) else {
            stack.is_whole = rule == Rule::End;
            return;
        };
        let Some(next) = next else {
            stack.is_whole = true;
            return;
        };
        // The caller's frame lies further up, or the same for a leaf that has none: no loop can come of it.
        if next.sp < registers.sp || (next.sp == registers.sp && !is_first) {
            return;
        }
        if !stack.push(next.pc) {
            return;
        }
        registers = next;
        // A return address lies behind its call, which may be the last instruction of the function.
        lookup = registers.pc - 1;
        is_first = false;
    }
}

/// The registers of the caller. `None`: unknown; `Some(None)`: there is no caller.
#[inline]
fn step(
    rule: Rule,
    registers: Registers,
    is_first: bool,
    read: impl Fn(usize) -> Option<usize>,
) -> Option<Option<Registers>> {
    let at = |base: usize, words: i16| base.wrapping_add_signed(isize::from(words) * 8);
    let (sp, pc, fp) = match rule {
        Rule::Leave {
            from_fp,
            distance,
            return_at,
            fp_at,
        } => {
            let base = if from_fp { registers.fp } else { registers.sp };
            let frame = base.wrapping_add_signed(distance as isize * 8);
            let pc = match return_at {
                UNSAVED if is_first => registers.lr,
                UNSAVED => return None,
                words => read(at(frame, words))?,
            };
            let fp = match fp_at {
                UNSAVED => registers.fp,
                words => read(at(frame, words))?,
            };
            (frame, pc, fp)
        }
        Rule::FollowFp if registers.fp > registers.sp => {
            let fp = read(registers.fp)?;
            let pc = read(registers.fp.wrapping_add(8))?;
            (registers.fp.wrapping_add(16), pc, fp)
        }
        Rule::End | Rule::FollowFp | Rule::Unsupported => return None,
    };
    match pc & machine::ADDRESS_BITS {
        0 => Some(None),
        pc => Some(Some(Registers { pc, sp, fp, lr: 0 })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_survives_packing() {
        let leave = |from_fp, distance, return_at, fp_at| Rule::Leave {
            from_fp,
            distance,
            return_at,
            fp_at,
        };
        for rule in [
            leave(false, 1, -1, UNSAVED),
            leave(true, 2, -1, -2),
            leave(false, (1 << 23) - 1, i16::MAX, i16::MIN),
            leave(true, -(1 << 23) + 1, 0, -7),
            Rule::End,
            Rule::FollowFp,
            Rule::Unsupported,
        ] {
            assert_eq!(Rule::unpacked(rule.packed()), rule);
        }
    }

    #[test]
    fn halves_of_two_places_are_no_rule() {
        let (a, b) = (Rule::End.packed(), Rule::FollowFp.packed());
        let check = 0x1000 ^ a;
        assert_ne!(check ^ b, 0x1000);
    }
}
