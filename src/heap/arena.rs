//! Memory for counters: bump allocation from pages of our own, so that the instrument never calls the allocator it watches.
//!
//! Nothing is ever given back; blocks of threads that ended are taken over by new ones, so the arena is bounded by the largest
//! number of threads that ever lived at once.

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

const CHUNK_BYTES: usize = 64 << 10;

/// The head of a chunk; the rest of its pages follows it.
struct Chunk {
    /// Bytes handed out, this head included. May run past [`CHUNK_BYTES`]: whoever got such an offset got nothing.
    used: AtomicUsize,
}

static CURRENT: AtomicPtr<Chunk> = AtomicPtr::new(ptr::null_mut());
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// Zeroed memory that lives as long as the process, or `None` when the kernel has no more.
///
/// # Panics
/// Never; a layout larger than a chunk or aligned above 64 answers `None`.
pub(super) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    let size = layout.size().checked_next_multiple_of(64)?;
    if size > CHUNK_BYTES - 64 || layout.align() > 64 {
        return None;
    }
    loop {
        let chunk = CURRENT.load(Ordering::Acquire);
        // SAFETY: a chunk that was published is mapped, initialised and never unmapped.
        if let Some(head) = unsafe { chunk.as_ref() } {
            let offset = head.used.fetch_add(size, Ordering::Relaxed);
            if offset <= CHUNK_BYTES - size {
                // SAFETY: offset + size lies within the chunk's pages, so neither the pointer nor its range leaves the mapping.
                return NonNull::new(unsafe { chunk.cast::<u8>().add(offset) });
            }
        }
        let fresh = map_chunk()?;
        if CURRENT
            .compare_exchange(chunk, fresh, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            NonNull::new(fresh.cast()).inspect(|pages| unmap(*pages, CHUNK_BYTES));
        }
    }
}

/// Bytes of address space taken from the kernel.
pub(super) fn reserved_bytes() -> usize {
    RESERVED.load(Ordering::Relaxed)
}

/// Zeroed pages of their own, or `None` when the kernel has no more. Memory is used only where it is written.
pub(super) fn map(size: usize) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory that exists.
    let pages = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return None;
    }
    RESERVED.fetch_add(size, Ordering::Relaxed);
    NonNull::new(pages.cast())
}

/// Gives pages back that [`map`] returned and nobody has seen.
pub(super) fn unmap(pages: NonNull<u8>, size: usize) {
    // SAFETY: the pages came from `map` with this size and, as the caller promises, are in no use.
    unsafe { libc::munmap(pages.as_ptr().cast(), size) };
    RESERVED.fetch_sub(size, Ordering::Relaxed);
}

fn map_chunk() -> Option<*mut Chunk> {
    let chunk = map(CHUNK_BYTES)?.cast::<Chunk>().as_ptr();
    // SAFETY: the pages are ours, writable, page-aligned and large enough for a `Chunk`.
    unsafe {
        chunk.write(Chunk {
            used: AtomicUsize::new(64),
        })
    };
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_aligned_and_apart() {
        let layout = Layout::from_size_align(1_000, 64).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    (0..200)
                        .map(|_| allocate(layout).unwrap().as_ptr() as usize)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut blocks: Vec<usize> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        blocks.sort_unstable();
        for pair in blocks.windows(2) {
            assert!(pair[1] - pair[0] >= 1_024, "blocks overlap");
        }
        for block in blocks {
            assert_eq!(block % 64, 0);
            // SAFETY: `allocate` returned this block for 1000 bytes, and nobody else holds it.
            let bytes = unsafe { std::slice::from_raw_parts(block as *const u8, 1_000) };
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        assert!(reserved_bytes() >= 800 * 1_000);
    }

    #[test]
    fn what_does_not_fit_a_chunk_is_refused() {
        assert!(allocate(Layout::from_size_align(CHUNK_BYTES, 64).unwrap()).is_none());
        assert!(allocate(Layout::from_size_align(64, 128).unwrap()).is_none());
    }
}
