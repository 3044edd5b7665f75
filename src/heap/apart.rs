//! Work apart: what takes much memory for a short time takes it from an arena of its own, whose pages go back to the kernel at the end, so that
//! neither the process stays larger for it nor the program's arenas are disturbed.

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

use tikv_jemalloc_sys as sys;

/// Runs `work` with this thread allocating from an arena apart. What `work` returns lives on there. Where jemalloc does not serve the process,
/// it makes no difference.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    let _apart = Apart::enter();
    work()
}

struct Apart {
    own: u32,
    apart: u32,
}

/// The arena; made when it is first needed, and used for all work apart.
fn arena() -> Option<u32> {
    static ARENA: OnceLock<Option<u32>> = OnceLock::new();
    *ARENA.get_or_init(|| exchange(c"arenas.create", None))
}

impl Apart {
    fn enter() -> Option<Self> {
        let apart = arena()?;
        let own = exchange(c"thread.arena", Some(apart))?;
        Some(Self { own, apart })
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // First the thread's cache, or its blocks would hold pages.
        command(c"thread.tcache.flush");
        exchange(c"thread.arena", Some(self.own));
        let name = format!("arena.{}.purge\0", self.apart);
        if let Ok(name) = CStr::from_bytes_with_nul(name.as_bytes()) {
            command(name);
        }
    }
}

/// Reads a number under a name, and writes one if there is one to write.
fn exchange(name: &CStr, mut new: Option<u32>) -> Option<u32> {
    let mut old = 0_u32;
    let mut size = size_of::<u32>();
    let (input, input_size) = match &mut new {
        Some(new) => (ptr::from_mut(new), size_of::<u32>()),
        None => (ptr::null_mut(), 0),
    };
    // SAFETY: both names that come here give and take an `unsigned`, as jemalloc's manual says; the pointers are valid for that size or
    // null with a size of 0.
    let code = unsafe {
        sys::mallctl(
            name.as_ptr(),
            (&raw mut old).cast(),
            &raw mut size,
            input.cast(),
            input_size,
        )
    };
    (code == 0).then_some(old)
}

/// Does what a name says that neither gives nor takes anything.
fn command(name: &CStr) {
    // SAFETY: such names want null pointers, as jemalloc's manual says.
    unsafe {
        sys::mallctl(
            name.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_apart_comes_from_another_arena_and_the_thread_returns_to_its_own() {
        let current = || exchange(c"thread.arena", None).unwrap();
        let before = current();
        let (inside, block) = apart(|| (current(), vec![1_u8; 1 << 20]));
        assert_ne!(inside, before);
        assert_eq!(current(), before);
        assert_eq!(apart(current), inside, "one arena for all");
        assert!(
            block.iter().all(|byte| *byte == 1),
            "what was returned lives on"
        );
    }
}
