//! The four workloads. Each does a number of units and keeps what it needs from one round to the next.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::hint::black_box;

/// Entries of one tree.
const ENTRIES: u64 = 500;
/// Blocks that the ring holds at a time.
const RING: usize = 1024;
/// Records of the JSON document, which is about 16 KiB long.
const RECORDS: u64 = 64;

/// The workloads on one thread.
pub(crate) struct Tasks {
    random: Random,
    ring: Vec<Vec<u8>>,
    next: usize,
    document: String,
}

impl Tasks {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            ring: (0..RING).map(|_| Vec::new()).collect(),
            next: 0,
            document: document(),
        }
    }

    /// Does `units` of the workload of this name; `false` when there is none.
    pub(crate) fn run(&mut self, name: &str, units: u64) -> bool {
        match name {
            "tight" => tight(units),
            "btree" => btree(&mut self.random, units),
            "json" => json(&self.document, units),
            "mixed" => mixed(&mut self.random, &mut self.ring, &mut self.next, units),
            _ => return false,
        }
        true
    }
}

/// One unit: 64 bytes taken and given back. Nothing but the allocator is measured, so this is the worst case.
#[inline(never)]
fn tight(units: u64) {
    let layout = Layout::new::<[u64; 8]>();
    for _ in 0..units {
        // SAFETY: the layout is not of size zero, and the block is given back with the layout it was taken with.
        unsafe {
            let block = alloc(layout);
            if block.is_null() {
                handle_alloc_error(layout);
            }
            dealloc(black_box(block), layout);
        }
    }
}

/// One unit: a tree of 500 text keys and short byte strings, built and dropped.
#[inline(never)]
fn btree(random: &mut Random, units: u64) {
    for _ in 0..units {
        let mut tree: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for _ in 0..ENTRIES {
            let key = random.next();
            tree.insert(
                format!("key-{key:016x}"),
                vec![1; 16 + (key % 240) as usize],
            );
        }
        drop(black_box(tree));
    }
}

/// One unit: the document parsed and printed.
#[inline(never)]
fn json(document: &str, units: u64) {
    for _ in 0..units {
        let value: Result<serde_json::Value, _> = serde_json::from_str(black_box(document));
        drop(black_box(value.map(|value| value.to_string())));
    }
}

/// One unit: the oldest block of a ring of 1024 replaced by one of 16 B to 128 KiB, small ones as likely as large ones.
#[inline(never)]
fn mixed(random: &mut Random, ring: &mut [Vec<u8>], next: &mut usize, units: u64) {
    for _ in 0..units {
        let random = random.next();
        let power = 16_u64 << (random % 13);
        let size = power + (random >> 32) % power;
        let mut block = Vec::with_capacity(size as usize);
        block.push(1);
        ring[*next] = black_box(block);
        *next = (*next + 1) % ring.len();
    }
}

fn document() -> String {
    let records: Vec<String> = (0..RECORDS)
        .map(|id| {
            format!(
                r#"{{"id":{id},"name":"customer number {id}","tags":["a","bc","def","a somewhat longer tag"],
                "address":{{"street":"Main Street {id}","city":"Springfield","lines":[1,2,3.5,null,true]}},
                "balance":{}.25,"notes":"quoted \"text\" and a line\nbreak"}}"#,
                id * 17
            )
        })
        .collect();
    format!("[{}]", records.join(","))
}

/// A fast generator of good enough numbers (SplitMix64): the same in every contender.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
