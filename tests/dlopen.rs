//! A library that is loaded after sampling began, calls back into Rust, and is unloaded again: stacks go through it, and nothing that was
//! kept of it leads into memory that is gone.
#![cfg(all(target_os = "linux", feature = "production"))]
#![allow(unsafe_code, reason = "loads a library and calls it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use memory_exporter::heap::{self, CallSite, SamplingOptions};
use memory_exporter::profile::{Asker, Decoded, Profile, Profiler, SampleType, decode};
use memory_exporter::{Allocator, Config};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

/// Without a frame pointer, so that only the tables of the library lead through it.
const PLUGIN: &str = "
void through_plugin(void (*call)(void)) {
    volatile char held[200];
    held[0] = 1;
    call();
    held[1] = held[0];
}";

type Through = unsafe extern "C" fn(extern "C" fn());

struct Plugin {
    handle: *mut c_void,
    through: Through,
}

impl Plugin {
    fn load(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library was made from the text above: it runs nothing when it is loaded, and holds this one function.
        unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!handle.is_null(), "{path:?} cannot be loaded");
            let through = libc::dlsym(handle, c"through_plugin".as_ptr());
            assert!(!through.is_null());
            Self {
                handle,
                through: std::mem::transmute::<*mut c_void, Through>(through),
            }
        }
    }

    /// Allocates from a function that the library calls.
    #[inline(never)]
    fn allocate(&self) {
        extern "C" fn allocate() {
            drop(black_box(vec![1_u8; 100]));
        }
        // SAFETY: the library is loaded, and calls the function that it is given once.
        unsafe { (self.through)(allocate) };
    }

    /// Whether an address lies in the function of the library, which is shorter than that.
    fn holds(&self, address: usize) -> bool {
        let start = self.through as usize;
        (start..start + 256).contains(&address)
    }

    fn unload(self) {
        // SAFETY: the handle is that of a library that is loaded, and nobody calls it any more.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }
}

fn compiled(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("plugin.c"), folder.join("plugin.so"));
    std::fs::write(&source, PLUGIN).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", "-O1", "-fomit-frame-pointer", "-o"]);
    assert!(gcc.args([&library, &source]).status().unwrap().success());
    library
}

/// Whether a stack goes through the library into the function that called it, and on to the start of the thread.
fn goes_through(site: &CallSite, plugin: &Plugin) -> bool {
    let caller = Plugin::allocate as fn(&Plugin) as usize;
    let mut frames = site
        .frames()
        .iter()
        .skip_while(|frame| !plugin.holds(**frame));
    let is_caller = |frame: &usize| (caller..caller + 512).contains(frame);
    frames.next().is_some() && frames.next().is_some_and(is_caller) && site.is_whole()
}

#[test]
fn stacks_go_through_a_library_that_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let library = compiled(folder.path());
    for _ in 0..2 {
        heap::sample(SamplingOptions::every(1));
        let plugin = Plugin::load(&library);
        heap::refresh_modules();
        plugin.allocate();
        heap::sample(SamplingOptions::every(0));
        assert!(heap::call_sites().any(|site| goes_through(&site, &plugin)));
        let profile = pprof();
        plugin.unload();
        // Sites that were kept lead to addresses where nothing is any more.
        assert_eq!(pprof().samples.len(), profile.samples.len());
        heap::sample(SamplingOptions::every(1));
        drop(black_box(
            (0..1_000).map(|size| vec![1_u8; size]).collect::<Vec<_>>(),
        ));
        heap::sample(SamplingOptions::every(0));
        assert!(pprof().samples.len() >= profile.samples.len());
    }
}

/// A profile of now, with symbols.
fn pprof() -> Decoded {
    let profiler = Profiler::new(&Config::production(), "/proc".as_ref());
    let build = profiler.begin(Asker::Request).unwrap();
    decode(&build.pprof(&Profile::now(), SampleType::InuseSpace)).unwrap()
}
