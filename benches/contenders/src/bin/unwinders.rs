//! What a stack costs, by unwinder: ours, framehop, frame pointers, and libgcc's.
//!
//! Argument: how deep the stack is below `main`. Prints a line `NAME NANOSECONDS FRAMES` per unwinder, the median of many stacks taken
//! one after another from the same place, so that every cache is warm. Built with frame pointers, or there would be none to follow.

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::hint::black_box;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, Module, MustNotAllocateDuringUnwind, Unwinder};
use memory_exporter::heap::{self, MAX_DEPTH};
use workload::system::thread_cpu_time;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 31;
const STACKS: u32 = 4_000;

type Frames = [usize; MAX_DEPTH];

/// A name, and what takes a stack and says how deep it is.
type Contender<'a> = (&'a str, &'a mut dyn FnMut(&mut Frames) -> usize);

fn main() {
    let depth: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("argument: a depth");
    let end = heap::own_stack_end();
    let mut framehop = Framehop::new(end);
    let mut contenders: [Contender<'_>; 4] = [
        ("memory_exporter", &mut |frames| {
            heap::stack_here(frames, end)
        }),
        ("framehop", &mut |frames| framehop.stack(frames)),
        ("frame_pointers", &mut |frames| frame_pointers(frames, end)),
        ("libgcc", &mut libgcc),
    ];
    let mut results: [(Vec<f64>, usize); 4] = std::array::from_fn(|_| Default::default());
    for _ in 0..ROUNDS {
        for ((_, take), (times, frames)) in contenders.iter_mut().zip(&mut results) {
            descend(depth, &mut || {
                let mut buffer = [0; MAX_DEPTH];
                let start = thread_cpu_time();
                for _ in 0..STACKS {
                    *frames = black_box(take(black_box(&mut buffer)));
                }
                times.push((thread_cpu_time() - start).as_nanos() as f64 / f64::from(STACKS));
            });
        }
    }
    for ((name, _), (times, frames)) in contenders.iter().zip(&mut results) {
        times.sort_by(f64::total_cmp);
        println!("{name} {} {frames}", times[times.len() / 2]);
    }
}

/// Calls `work` so deep, through functions that save registers and have locals as real ones do.
#[inline(never)]
fn descend(depth: usize, work: &mut dyn FnMut()) -> usize {
    let locals = black_box([depth; 6]);
    if depth == 0 {
        work();
    } else {
        black_box(descend(depth - 1, work));
    }
    locals.iter().sum()
}

/// What jemalloc's profiler uses, and `std::backtrace`.
fn libgcc(frames: &mut Frames) -> usize {
    unsafe extern "C" {
        fn _Unwind_Backtrace(
            trace: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
            argument: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
    }
    struct Taken<'a>(&'a mut Frames, usize);
    extern "C" fn trace(context: *mut c_void, taken: *mut c_void) -> c_int {
        // SAFETY: the unwinder hands over its context and what it was given below.
        let (address, taken) = unsafe { (_Unwind_GetIP(context), &mut *taken.cast::<Taken>()) };
        match taken.0.get_mut(taken.1) {
            Some(place) => {
                *place = address;
                taken.1 += 1;
                0
            }
            None => 5,
        }
    }
    let mut taken = Taken(frames, 0);
    // SAFETY: `trace` has the shape that is wanted, and `taken` outlives the call.
    unsafe { _Unwind_Backtrace(trace, (&raw mut taken).cast()) };
    taken.1
}

/// Follows the chain of saved frame pointers.
#[inline(never)]
fn frame_pointers(frames: &mut Frames, end: usize) -> usize {
    let (mut fp, sp): (usize, usize);
    // SAFETY: reads two registers.
    unsafe {
        asm!("mov {}, rbp", "mov {}, rsp", out(reg) fp, out(reg) sp, options(nomem, nostack));
    }
    let mut floor = sp;
    let mut count = 0;
    while fp >= floor && fp + 16 <= end && fp.is_multiple_of(8) && count < frames.len() {
        // SAFETY: two aligned words of this thread's own stack.
        let (next, pc) = unsafe { (*(fp as *const usize), *((fp + 8) as *const usize)) };
        frames[count] = pc;
        count += 1;
        (floor, fp) = (fp + 16, next);
    }
    count
}

/// framehop as one would use it in an allocator: it may not allocate while it unwinds.
struct Framehop {
    unwinder: UnwinderX86_64<&'static [u8], MustNotAllocateDuringUnwind>,
    cache: CacheX86_64<MustNotAllocateDuringUnwind>,
    end: usize,
}

impl Framehop {
    fn new(end: usize) -> Self {
        let mut unwinder = UnwinderX86_64::new();
        modules(|module| unwinder.add_module(module));
        Self {
            unwinder,
            cache: CacheX86_64::new_in(),
            end,
        }
    }

    #[inline(never)]
    fn stack(&mut self, frames: &mut Frames) -> usize {
        let (pc, sp, fp): (u64, u64, u64);
        // SAFETY: reads three registers.
        unsafe {
            asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) pc, out(reg) sp, out(reg) fp, options(nomem, nostack));
        }
        let end = self.end as u64;
        let mut read = |address: u64| {
            if address < sp || address > end - 8 || !address.is_multiple_of(8) {
                return Err(());
            }
            // SAFETY: an aligned word of this thread's own stack.
            Ok(unsafe { *(address as *const u64) })
        };
        let registers = UnwindRegsX86_64::new(pc, sp, fp);
        let mut walk = self
            .unwinder
            .iter_frames(pc, registers, &mut self.cache, &mut read);
        let mut count = 0;
        while let Ok(Some(frame)) = walk.next()
            && count < frames.len()
        {
            frames[count] = frame.address() as usize;
            count += 1;
        }
        count
    }
}

/// The objects of this process with their unwind tables.
fn modules(mut found: impl FnMut(Module<&'static [u8]>)) {
    type Callback<'a> = &'a mut dyn FnMut(Module<&'static [u8]>);
    unsafe extern "C" fn note(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader hands over a valid description, and the callback below.
        let (info, found) = unsafe { (&*info, &mut *found.cast::<Callback>()) };
        // SAFETY: the description says so.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let of = |kind| headers.iter().filter(move |header| header.p_type == kind);
        let Some(tables) = of(libc::PT_GNU_EH_FRAME).next() else {
            return 0;
        };
        let loaded = || of(libc::PT_LOAD);
        let base = info.dlpi_addr;
        let end = loaded().map(|header| header.p_vaddr + header.p_memsz).max();
        // SAFETY: the header of the tables is loaded, and says behind its first four bytes how far away `.eh_frame` is.
        let distance = unsafe { *((base + tables.p_vaddr + 4) as *const i32) };
        let frames = (tables.p_vaddr + 4).wrapping_add_signed(distance.into());
        let holder = loaded()
            .find(|header| (header.p_vaddr..header.p_vaddr + header.p_memsz).contains(&frames));
        let Some((holder, end)) = holder.zip(end) else {
            return 0;
        };
        // SAFETY: both ranges lie in loaded segments.
        let bytes = |from: u64, to: u64| unsafe {
            std::slice::from_raw_parts((base + from) as *const u8, (to - from) as usize)
        };
        let header_end = tables.p_vaddr + tables.p_memsz;
        let frames_end = holder.p_vaddr + holder.p_memsz;
        found(Module::new(
            String::new(),
            base..base + end,
            base,
            ExplicitModuleSectionInfo {
                eh_frame_hdr_svma: Some(tables.p_vaddr..header_end),
                eh_frame_hdr: Some(bytes(tables.p_vaddr, header_end)),
                eh_frame_svma: Some(frames..frames_end),
                eh_frame: Some(bytes(frames, frames_end)),
                ..Default::default()
            },
        ));
        0
    }
    let mut callback: Callback = &mut found;
    // SAFETY: the callback has the right shape and outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut callback).cast()) };
}
