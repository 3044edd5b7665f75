//! The leaking kinds.

use crate::kind::Kind;
use crate::plan::{At, MEGABYTE, MEGABYTE_PER_HOUR, MINUTE, Plan};
use crate::random::Random;
use crate::source::{Block, Segment};

/// Where a rate that doubles ends, in multiples of the nominal one: traffic is not endless.
const SATURATION: f64 = 8.0;

/// Adds a leak of so many megabytes per hour to a plan.
pub(crate) fn plan(plan: &mut Plan, kind: Kind, megabytes_per_hour: f64, random: &mut Random) {
    let onset = onset(kind, random);
    let rate = megabytes_per_hour * MEGABYTE_PER_HOUR;
    let sites = match kind {
        Kind::Steady => steady(plan, onset, rate, random),
        Kind::UnderChurn => under_churn(plan, onset, rate, random),
        Kind::UnboundedMap => unbounded_map(plan, onset, rate, random),
        Kind::ChannelBacklog => channel_backlog(plan, onset, rate, random),
        Kind::ArcCycle => arc_cycle(plan, onset, rate, random),
        Kind::ForgottenTask => forgotten_task(plan, onset, rate, random),
        Kind::GrowingVec => growing_vec(plan, onset, rate, random),
        Kind::ThreadLeak => thread_leak(plan, onset, rate, random),
        Kind::BehindPlateau => behind_plateau(plan, onset, rate, random),
        Kind::Exponential => exponential(plan, onset, rate, random),
        Kind::Bursty => bursty(plan, onset, rate, random),
        Kind::PartialLeak => partial_leak(plan, onset, rate, random),
        Kind::HugeBlocks => huge_blocks(plan, onset, rate, random),
        Kind::TwoLeaks => return two_leaks(plan, onset, megabytes_per_hour, random),
        _ => return,
    };
    plan.leak(&sites, onset, megabytes_per_hour);
}

/// When a leak begins: with the process in a third of the seeds, else at any time between 20 and 90 minutes.
fn onset(kind: Kind, random: &mut Random) -> f64 {
    let at_start = random.count(0, 2) == 0;
    let later = random.between(20.0, 90.0) * MINUTE;
    // A plateau must have been reached before anything can begin behind it.
    if at_start && kind != Kind::BehindPlateau {
        0.0
    } else {
        later
    }
}

/// Objects at one site that are never freed. In half of the seeds the site has healthy objects too, all the time.
fn steady(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let size = random.block_size();
    plan.scheduled(site, size, vec![Segment::kept(onset, plan.end, rate)]);
    if random.chance(0.5) {
        plan.steady(
            site,
            size,
            random.log_between(0.1, 60.0),
            rate * random.between(1.0, 10.0),
        );
    }
    vec![site]
}

/// A gigabyte a minute that lives for up to some seconds, of which a little stays.
fn under_churn(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let size = random.block_size();
    let churn = 1000.0 * MEGABYTE / MINUTE;
    plan.steady(site, size, random.log_between(0.005, 5.0), churn);
    plan.scheduled(site, size, vec![Segment::kept(onset, plan.end, rate)]);
    plan.resident.turnover += churn;
    vec![site]
}

/// Keys and values grow at the rate; the table doubles besides.
fn unbounded_map(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let (keys, values, table) = (plan.site(random), plan.site(random), plan.site(random));
    let key = random.log_between(16.0, 128.0);
    let value = key * random.log_between(1.5, 200.0);
    let entries = rate / (key + value);
    plan.scheduled(
        keys,
        key,
        vec![Segment::kept(onset, plan.end, entries * key)],
    );
    plan.scheduled(
        values,
        value,
        vec![Segment::kept(onset, plan.end, entries * value)],
    );
    let slot = f64::from(random.count(2, 6)) * 8.0 + 1.0;
    let mut blocks = Vec::new();
    let mut capacity = 16.0;
    let mut birth = onset;
    while birth < plan.end {
        // Tables of Rust's maps are filled to seven eighths; the old one lives until all entries have moved.
        let full = onset + capacity * 0.875 / entries;
        blocks.push(Block {
            birth,
            death: full + capacity * 30e-9,
            size: capacity * slot,
        });
        birth = full;
        capacity *= 2.0;
    }
    plan.blocks(table, blocks);
    vec![values, keys, table]
}

/// Messages that wait ever longer: each is freed in its turn, but they come faster than they go.
fn channel_backlog(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let produced = rate * random.log_between(1.5, 20.0);
    let slowness = produced / (produced - rate);
    let queued = 0.05;
    let mut segments = Vec::new();
    if onset > 0.0 {
        segments.push(Segment::for_each(0.0, onset, produced, queued));
    }
    segments.push(Segment {
        from: onset,
        to: plan.end,
        rate: produced,
        first_death: onset + queued,
        last_death: onset + queued + (plan.end - onset) * slowness,
    });
    plan.scheduled(site, random.block_size(), segments);
    vec![site]
}

/// Two or three blocks for each object. In half of the seeds as many or more objects are freed as they should be.
fn arc_cycle(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let mut sizes: Vec<f64> = (0..random.count(2, 3))
        .map(|_| random.log_between(64.0, 16_384.0))
        .collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let objects = rate / sizes.iter().sum::<f64>();
    let healthy = if random.chance(0.5) {
        objects * random.between(1.0, 5.0)
    } else {
        0.0
    };
    let life = random.log_between(0.1, 30.0);
    let mut sites = Vec::new();
    for size in sizes {
        let site = plan.site(random);
        plan.scheduled(
            site,
            size,
            vec![Segment::kept(onset, plan.end, objects * size)],
        );
        if healthy > 0.0 {
            plan.steady(site, size, life, healthy * size);
        }
        sites.push(site);
    }
    sites
}

/// A task and its buffer at two sites, where most tasks end after some seconds.
fn forgotten_task(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let (tasks, buffers) = (plan.site(random), plan.site(random));
    let task = random.log_between(1024.0, 4096.0);
    let buffer = random.log_between(16_384.0, 65_536.0);
    let forgotten = rate / (task + buffer);
    let healthy = forgotten * random.log_between(1.0, 50.0);
    let life = random.log_between(0.1, 10.0);
    for (site, size) in [(tasks, task), (buffers, buffer)] {
        plan.scheduled(
            site,
            size,
            vec![Segment::kept(onset, plan.end, forgotten * size)],
        );
        plan.steady(site, size, life, healthy * size);
    }
    vec![buffers, tasks]
}

/// One block that holds ever more, and is reallocated to double its size when it is full.
fn growing_vec(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let mut capacity = random.log_between(16_384.0, 1_048_576.0);
    let mut birth = onset;
    let mut blocks = Vec::new();
    while birth < plan.end {
        let full = onset + capacity / rate;
        // The content is copied at about 5 GB/s.
        blocks.push(Block {
            birth,
            death: full + capacity / 5e9,
            size: capacity,
        });
        birth = full;
        capacity *= 2.0;
    }
    plan.blocks(site, blocks);
    vec![site]
}

/// A few hundred KiB for each thread; in half of the seeds a smaller thread-local besides.
fn thread_leak(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let large = random.between(131_072.0, 524_288.0);
    let mut sizes = vec![large];
    if random.chance(0.5) {
        sizes.push(random.between(16_384.0, 65_536.0));
    }
    let every = sizes.iter().sum::<f64>() / rate;
    let mut births = Vec::new();
    let mut birth = onset + every * random.unit();
    while birth < plan.end {
        births.push(birth);
        birth += every * random.between(0.5, 1.5);
    }
    let mut sites = Vec::new();
    for size in sizes {
        let site = plan.site(random);
        plan.blocks(
            site,
            births
                .iter()
                .map(|&birth| Block {
                    birth,
                    death: f64::INFINITY,
                    size,
                })
                .collect(),
        );
        sites.push(site);
    }
    sites
}

/// 50 MB are loaded at the start; later the same site leaks.
fn behind_plateau(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let loaded = random.between(0.5, 3.0) * MINUTE;
    let segments = vec![
        Segment::kept(0.0, loaded, 50.0 * MEGABYTE / loaded),
        Segment::kept(onset, plan.end, rate),
    ];
    plan.scheduled(site, random.block_size(), segments);
    vec![site]
}

/// A rate that doubles every 20 to 40 minutes, is the nominal one an hour after the onset, and ends at a multiple of it.
fn exponential(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let doubling = random.between(20.0, 40.0) * MINUTE;
    let mut segments = Vec::new();
    let mut from = onset;
    while from < plan.end {
        let to = from + MINUTE;
        let doublings = (from - onset - 60.0 * MINUTE) / doubling;
        segments.push(Segment::kept(
            from,
            to,
            rate * doublings.exp2().min(SATURATION),
        ));
        from = to;
    }
    plan.scheduled(site, random.block_size(), segments);
    vec![site]
}

/// Bursts of less than a minute, 8 to 15 minutes apart; 10 to 20 MB each at 78 MB/h, otherwise in proportion.
fn bursty(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let mean = rate * 11.5 * MINUTE;
    let mut segments = Vec::new();
    let mut from = onset + random.between(0.0, 8.0) * MINUTE;
    while from < plan.end {
        let length = random.between(10.0, 60.0);
        let bytes = mean * random.between(0.67, 1.33);
        segments.push(Segment::kept(from, from + length, bytes / length));
        from += random.between(8.0, 15.0) * MINUTE;
    }
    plan.scheduled(site, random.block_size(), segments);
    vec![site]
}

/// Sessions of some minutes, of which 10 to 30 % stay for ever from the onset on.
fn partial_leak(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let size = random.block_size();
    let share = random.between(0.1, 0.3);
    let life = random.between(2.0, 5.0) * MINUTE;
    let arriving = rate / share;
    let segments = vec![
        Segment::kept(0.0, onset, arriving),
        Segment::kept(onset, plan.end, arriving * (1.0 - share)),
    ];
    plan.exponential(site, size, life, segments);
    plan.scheduled(site, size, vec![Segment::kept(onset, plan.end, rate)]);
    vec![site]
}

/// Blocks of 8 to 16 MiB, now and then.
fn huge_blocks(plan: &mut Plan, onset: f64, rate: f64, random: &mut Random) -> Vec<At> {
    let site = plan.site(random);
    let mut blocks = Vec::new();
    let mut birth = onset;
    loop {
        let size = random.between(8.0, 16.0) * 1_048_576.0;
        birth += size / rate * random.between(0.5, 1.5);
        if birth > plan.end {
            break;
        }
        blocks.push(Block {
            birth,
            death: f64::INFINITY,
            size,
        });
    }
    plan.blocks(site, blocks);
    vec![site]
}

/// Two leaks of two components; the second is the slower one, and begins whenever it likes.
fn two_leaks(plan: &mut Plan, first: f64, megabytes_per_hour: f64, random: &mut Random) {
    let second = onset(Kind::TwoLeaks, random);
    let slower = megabytes_per_hour * random.between(0.3, 0.9);
    let component = random.index(8);
    for (offset, onset, megabytes_per_hour) in [(0, first, megabytes_per_hour), (1, second, slower)]
    {
        let site = plan.site_of(component + offset);
        let segment = Segment::kept(onset, plan.end, megabytes_per_hour * MEGABYTE_PER_HOUR);
        plan.scheduled(site, random.block_size(), vec![segment]);
        plan.leak(&[site], onset, megabytes_per_hour);
    }
}
