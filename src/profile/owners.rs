//! Whose memory is it, where no scope says so? The configured rules, else the crate and module of the innermost function that is the
//! program's own.
//!
//! Sites are looked at when they are new, off the hot path. What an address is worth is remembered, so that a new stack of known
//! addresses needs no symbols.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::ComponentRule;
use crate::heap::{self, CallSite, OTHER, UNATTRIBUTED};

use super::names::{crate_and_module, is_runtime};
use super::symbols::Symbols;

/// Most addresses that are remembered; beyond it everything is forgotten and learnt anew.
const MOST_ADDRESSES: usize = 32_768;
/// Least share of everything sampled that a crate and module must have to become a component by itself.
const LEAST_SHARE: f64 = 0.005;

/// Component of the exporter itself.
const OWN: &str = "memory-exporter";

/// What the functions at an address say.
#[derive(Debug, Clone, Default)]
struct Verdict {
    /// Name of the innermost rule that matches.
    rule: Option<Arc<str>>,
    /// Crate and module of the innermost function that is the program's own.
    module: Option<Arc<str>>,
}

/// Finds the components of call sites.
#[derive(Debug)]
pub(super) struct Owners {
    rules: Vec<ComponentRule>,
    /// Most names that are not from a rule.
    most_modules: usize,
    known: HashMap<u64, Verdict>,
    names: BTreeSet<Arc<str>>,
    modules: BTreeSet<Arc<str>>,
}

impl Owners {
    /// `max_components` are shown; crates and modules may take three quarters of them, the rest is left to scopes and rules.
    pub(super) fn new(rules: Vec<ComponentRule>, max_components: usize) -> Self {
        Self {
            rules,
            most_modules: max_components * 3 / 4,
            known: HashMap::new(),
            names: BTreeSet::new(),
            modules: BTreeSet::new(),
        }
    }

    /// Whether there are sites that nobody has looked at.
    pub(super) fn is_due() -> bool {
        heap::call_sites().any(CallSite::is_unresolved)
    }

    /// Says of every site without a scope whose it is. `symbols` is asked for addresses that are new.
    pub(super) fn attribute(&mut self, symbols: impl FnOnce(Vec<u64>) -> Symbols) {
        let sites: Vec<CallSite> = heap::call_sites()
            .filter(|site| !site.is_scoped())
            .collect();
        self.learn(&sites, symbols);
        let mut by_module: BTreeMap<Arc<str>, f64> = BTreeMap::new();
        let mut total = 0.0;
        let mut owners = Vec::with_capacity(sites.len());
        for site in sites {
            let totals = site.totals();
            let bytes = totals.allocated.bytes + totals.live().bytes;
            total += bytes;
            let verdict = self.owner(site);
            if let (None, Some(module)) = (&verdict.rule, &verdict.module) {
                *by_module.entry(Arc::clone(module)).or_default() += bytes;
            }
            owners.push((site, verdict));
        }
        self.admit(by_module, total);
        for (site, verdict) in owners {
            match (verdict.rule, verdict.module) {
                (Some(rule), _) => site.attribute(&rule),
                (None, Some(module)) if self.modules.contains(&module) => {
                    site.attribute_derived(&module);
                }
                (None, Some(_)) => site.attribute(OTHER),
                (None, None) => site.attribute(UNATTRIBUTED),
            }
        }
    }

    /// The line of code of each site: the address of its innermost frame that is the program's own.
    pub(super) fn places(
        &mut self,
        sites: &[CallSite],
        symbols: impl FnOnce(Vec<u64>) -> Symbols,
    ) -> Vec<u64> {
        self.learn(sites, symbols);
        let is_own = |frame: &&usize| {
            let verdict = self.known.get(&(**frame as u64));
            verdict.is_some_and(|verdict| verdict.module.is_some())
        };
        let place = |site: &CallSite| {
            let frames = site.frames();
            let own = frames.iter().find(is_own).or(frames.first());
            // What found no room in the table of call sites has no stack.
            own.map_or(0, |frame| *frame as u64)
        };
        sites.iter().map(place).collect()
    }

    fn learn(&mut self, sites: &[CallSite], symbols: impl FnOnce(Vec<u64>) -> Symbols) {
        if self.known.len() > MOST_ADDRESSES {
            self.known.clear();
        }
        let addresses = sites.iter().flat_map(|site| site.frames());
        let new: BTreeSet<u64> = addresses
            .map(|address| *address as u64)
            .filter(|address| !self.known.contains_key(address))
            .collect();
        if new.is_empty() {
            return;
        }
        let symbols = symbols(new.iter().copied().collect());
        for address in new {
            let verdict = self.verdict(symbols.functions(address).iter().map(|f| f.name.as_ref()));
            self.known.insert(address, verdict);
        }
    }

    fn verdict<'a>(&mut self, functions: impl Iterator<Item = &'a str> + Clone) -> Verdict {
        let rule = functions.clone().find_map(|function| {
            let matches = |rule: &&ComponentRule| is_match(&rule.pattern, function);
            Some(self.rules.iter().find(matches)?.name.clone())
        });
        let module = functions
            .filter(|function| !is_runtime(function))
            .find_map(crate_and_module)
            // What the exporter does on the program's threads, when the program asks it to.
            .map(|module| match module.split("::").next() {
                Some(env!("CARGO_CRATE_NAME")) => OWN.to_owned(),
                _ => module,
            });
        Verdict {
            rule: rule.map(|name| self.shared(name)),
            module: module.map(|name| self.shared(name)),
        }
    }

    fn shared(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.names.get(name.as_str()) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn owner(&self, site: CallSite) -> Verdict {
        let verdicts = || {
            let known = |frame: &usize| self.known.get(&(*frame as u64));
            site.frames().iter().filter_map(known)
        };
        Verdict {
            rule: verdicts().find_map(|verdict| verdict.rule.clone()),
            module: verdicts().find_map(|verdict| verdict.module.clone()),
        }
    }

    /// Lets the largest modules that are not components yet become some, while there is room.
    fn admit(&mut self, by_module: BTreeMap<Arc<str>, f64>, total: f64) {
        let mut new: Vec<_> = by_module
            .into_iter()
            .filter(|(module, bytes)| {
                !self.modules.contains(module) && *bytes >= total * LEAST_SHARE
            })
            .collect();
        new.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let derived = (0..heap::component_names().count()).filter(|at| heap::is_derived(*at));
        let room = self
            .most_modules
            .saturating_sub(self.modules.len().max(derived.count()));
        self.modules
            .extend(new.into_iter().take(room).map(|(module, _)| module));
    }
}

/// Whether a function's name starts with a pattern, or is one that the pattern's stars can make. A start ends where a part of a path ends.
fn is_match(pattern: &str, function: &str) -> bool {
    if !pattern.contains('*') {
        let rest = function.trim_start_matches('<').strip_prefix(pattern);
        return rest.is_some_and(|rest| {
            pattern.ends_with("::") || !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        });
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = function.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_starts_of_paths_and_stars_match_anything() {
        for (pattern, function, expected) in [
            ("shop::cart", "shop::cart", true),
            ("shop::cart", "shop::cart::add", true),
            ("shop::cart", "shop::cartel::add", false),
            (
                "shop::cart",
                "<shop::cart::Cart as core::clone::Clone>::clone",
                true,
            ),
            ("shop::", "shop::cart", true),
            ("cart", "shop::cart", false),
            ("*::cart::*", "shop::cart::add", true),
            ("*::cart::*", "shop::carts::add", false),
            ("shop::*::add", "shop::cart::add", true),
            ("shop::*::add", "shop::cart::add_all", false),
            ("*", "anything", true),
            ("a*a", "a", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
        ] {
            assert_eq!(
                is_match(pattern, function),
                expected,
                "{pattern} on {function}"
            );
        }
    }

    #[test]
    fn the_innermost_rule_wins_then_the_innermost_own_module() {
        let rules = vec![
            ComponentRule::new("db", "*::sqlx::*"),
            ComponentRule::new("cart", "shop::cart"),
        ];
        let mut owners = Owners::new(rules, 20);
        let mut verdict = |functions: &[&str]| {
            let verdict = owners.verdict(functions.iter().copied());
            (verdict.rule, verdict.module)
        };
        let some = |name: &str| Some(Arc::from(name));
        assert_eq!(
            verdict(&["alloc::vec::Vec<T,A>::push", "shop::cart::add"]),
            (some("cart"), some("shop::cart"))
        );
        assert_eq!(verdict(&["shop::main"]), (None, some("shop")));
        assert_eq!(verdict(&["tokio::runtime::task::raw::poll"]), (None, None));
    }

    #[test]
    fn small_modules_and_those_beyond_the_room_do_not_become_components() {
        let mut owners = Owners::new(Vec::new(), 4);
        let modules = |list: &[(&str, f64)]| {
            list.iter()
                .map(|(name, bytes)| (Arc::from(*name), *bytes))
                .collect()
        };
        owners.admit(
            modules(&[
                ("tiny", 1.0),
                ("a", 500.0),
                ("b", 300.0),
                ("c", 200.0),
                ("d", 100.0),
            ]),
            1_000.0,
        );
        let admitted: Vec<_> = owners.modules.iter().map(AsRef::as_ref).collect();
        assert_eq!(admitted, ["a", "b", "c"]);
        owners.admit(modules(&[("d", 9_000.0)]), 10_000.0);
        assert_eq!(owners.modules.len(), 3, "those that are in stay in");
    }
}
