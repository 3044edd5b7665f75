//! Contender: jemalloc's own profiler, configured by `_RJEM_MALLOC_CONF`, which the driver sets.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    assert!(
        tikv_jemalloc_ctl::profiling::prof::read().is_ok_and(|on| on),
        "jemalloc does not profile: _RJEM_MALLOC_CONF must say prof:true"
    );
    workload::serve(|work| work());
}
