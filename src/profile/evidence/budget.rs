//! How much evidence is kept, and what goes when there is more.

use std::time::{Duration, SystemTime};

use super::piece::{Id, Kept, Metadata};

/// The most that is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes of all pieces together.
    pub(crate) max_bytes: u64,
    /// Number of pieces.
    pub(crate) max_pieces: usize,
    /// Age of a piece.
    pub(crate) max_age: Duration,
}

impl Budget {
    /// Whether so many bytes fit beside what is kept.
    pub(super) fn has_room(&self, kept: &[Kept], bytes: u64) -> bool {
        kept.len() < self.max_pieces && total(kept).saturating_add(bytes) <= self.max_bytes
    }

    /// Whether a piece is older than it may be.
    pub(super) fn is_old(&self, piece: &Kept, now: SystemTime) -> bool {
        let age = now.duration_since(piece.metadata.time);
        age.is_ok_and(|age| age > self.max_age)
    }
}

/// In which order pieces go: the oldest first, but after all others those with the highest usage of their session, of which a new
/// piece may be one. Of equally high ones the newest counts. Before all others go those without usage whose time is yet to come: the clock
/// was set back, and they would be the newest until it has caught up.
pub(super) fn eviction_order(kept: &[Kept], new: &Metadata) -> Vec<Id> {
    let is_highest = |piece: &Kept| {
        let own = &piece.metadata;
        let used = |metadata: &Metadata| metadata.usage.map(|usage| usage.used_bytes);
        let is_below_new = own.session_id == new.session_id && used(own) <= used(new);
        let is_below = |other: &Kept| {
            own.session_id == other.metadata.session_id
                && (used(own), piece.order()) < (used(&other.metadata), other.order())
        };
        own.usage.is_some() && !is_below_new && !kept.iter().any(is_below)
    };
    let is_past = |metadata: &Metadata| metadata.usage.is_some() || metadata.time <= new.time;
    let turn = |piece: &Kept| (is_past(&piece.metadata), is_highest(piece));
    let mut order: Vec<_> = kept
        .iter()
        .map(|piece| (turn(piece), piece.order(), &piece.id))
        .collect();
    order.sort_by_key(|(turn, order, _)| (*turn, *order));
    order.into_iter().map(|(_, _, id)| id.clone()).collect()
}

/// Bytes of all pieces together.
pub(super) fn total(kept: &[Kept]) -> u64 {
    let bytes = kept.iter().map(|piece| piece.bytes);
    bytes.fold(0, u64::saturating_add)
}
