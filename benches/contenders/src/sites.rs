//! The program of known sites, for profilers to be compared by.

use crate::known_sites;

/// Allocates everything, and frees what does not live on.
pub fn run() {
    known_sites::run();
}

/// Prints a line per site: its function, these numbers of it, and what is special about it.
pub fn print<const N: usize>(numbers: impl Fn(&str) -> [f64; N]) {
    for site in &known_sites::SITES {
        let numbers = numbers(site.function).map(|number| number.to_string());
        println!("{} {} {}", site.function, numbers.join(" "), site.what);
    }
}

/// Live and allocated bytes of a site, as they truly are.
pub fn truth(function: &str) -> [f64; 2] {
    let mut sites = known_sites::SITES.iter();
    let site = sites.find(|site| site.function == function);
    site.map_or([f64::NAN; 2], |site| {
        [site.live as f64, site.allocated as f64]
    })
}

/// The site that a frame names. We name functions by their paths; the peers those with debug information by their bare names, with the
/// file behind, and an `async fn` not at all. There is one.
pub fn site_of(frame: &str) -> Option<&str> {
    let name = match frame.split_once("known_sites::") {
        Some((_, path)) => path,
        None if !frame.contains("known_sites.rs") => return None,
        // An address comes first.
        None if frame.starts_with("0x") => frame.split_once(": ")?.1,
        None => frame,
    };
    if name.starts_with("{async_fn") {
        return Some("answer");
    }
    name.split(|letter: char| letter != '_' && !letter.is_alphanumeric())
        .next()
}
