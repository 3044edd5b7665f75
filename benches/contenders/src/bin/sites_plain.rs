//! The program of known sites with the system allocator, for a profiler from outside. Prints the truth: live bytes, allocated bytes.

use contenders::sites;

fn main() {
    sites::run();
    sites::print(sites::truth);
}
