//! No more components than may be shown.

use crate::heap;

/// Components that come before the named ones: `unattributed` and `other`.
const UNNAMED: usize = 2;

/// Merges what lies beyond `most` named components into the second, which is `other`. Components that were only derived from call
/// sites stand back behind those that the program or its configuration names; among equals the first named are kept.
pub(super) fn fold<T>(components: &mut Vec<T>, most: usize, merge: impl Fn(&mut T, &T)) {
    fold_by(components, most, heap::is_derived, merge);
}

fn fold_by<T>(
    components: &mut Vec<T>,
    most: usize,
    is_derived: impl Fn(usize) -> bool,
    merge: impl Fn(&mut T, &T),
) {
    let named = UNNAMED..components.len();
    let given = named.clone().filter(|at| !is_derived(*at)).count();
    let mut room = [given.min(most), most.saturating_sub(given)];
    let mut kept = UNNAMED;
    for at in named {
        let room = &mut room[usize::from(is_derived(at))];
        if *room > 0 {
            *room -= 1;
            components.swap(kept, at);
            kept += 1;
        } else if let [_, other, .., dropped] = &mut components[..=at] {
            merge(other, dropped);
        }
    }
    components.truncate(kept.max(UNNAMED));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(components: &[u64], derived: &[usize], most: usize) -> Vec<u64> {
        let mut components = components.to_vec();
        let is_derived = |at: usize| derived.contains(&at);
        fold_by(&mut components, most, is_derived, |other, dropped| {
            *other += dropped
        });
        components
    }

    #[test]
    fn what_is_derived_stands_back() {
        let all = [1, 10, 100, 1_000, 10_000];
        assert_eq!(folded(&all, &[], 5), all);
        assert_eq!(folded(&all, &[], 3), all);
        assert_eq!(folded(&all, &[], 2), [1, 10_010, 100, 1_000]);
        assert_eq!(folded(&all, &[2], 2), [1, 110, 1_000, 10_000]);
        assert_eq!(folded(&all, &[2, 3], 2), [1, 1_010, 100, 10_000]);
        assert_eq!(folded(&all, &[2, 3], 1), [1, 1_110, 10_000]);
        assert_eq!(folded(&all, &[2, 3, 4], 0), [1, 11_110]);
        assert_eq!(folded(&[1, 10], &[], 0), [1, 10]);
    }
}
