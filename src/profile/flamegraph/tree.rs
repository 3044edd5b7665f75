//! The call tree behind a flame graph: stacks merged by their common beginnings, cut down to what can be seen, laid out in rows.
//!
//! Nothing here recurses: the depth of a stack is the program's choice, the exporter's thread has a small stack of its own.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Kind;
use crate::profile::Folded;

/// Rows below the root. What lies deeper is drawn as one frame.
pub(super) const MAX_DEPTH: usize = 512;
/// Frames that are drawn; of more, the widest. With one remainder below each, a graph has at most twice as many rectangles.
pub(super) const MAX_FRAMES: usize = 10_000;
/// A frame narrower than one part in this many (1.2 pixels of 1200) becomes part of the remainder.
pub(super) const NARROWEST: u64 = 1_000;

/// What a rectangle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Label<'a> {
    /// The root.
    All,
    /// A function.
    Frame(&'a str),
    /// What is below the deepest row.
    Deeper,
    /// This many siblings, each too narrow to be drawn.
    Smaller(usize),
}

/// One rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) label: Label<'a>,
    /// Where it begins, in units of weight from the left.
    pub(super) start: u64,
    /// Its width: the sum of the sizes of all stacks through it.
    pub(super) weight: u64,
    /// The same with signs.
    pub(super) net: i64,
    /// The part of the weight whose stacks end here.
    pub(super) own: u64,
    /// Weight of the frame above.
    pub(super) parent: u64,
}

/// Frames merged by position; the first is the root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    shrunk: u64,
}

#[derive(Debug)]
struct Node<'a> {
    label: Label<'a>,
    weight: u64,
    net: i64,
    own: u64,
    children: Vec<usize>,
}

impl<'a> Node<'a> {
    fn new(label: Label<'a>) -> Self {
        Self {
            label,
            weight: 0,
            net: 0,
            own: 0,
            children: Vec::new(),
        }
    }

    fn add(&mut self, weight: u64, value: i64) {
        self.weight = self.weight.saturating_add(weight);
        self.net = self.net.saturating_add(value);
    }
}

impl<'a> Tree<'a> {
    /// Merges the stacks. Only a difference has room for values below 0.
    pub(super) fn new(folded: &'a Folded, kind: Kind) -> Self {
        let mut tree = Self {
            nodes: vec![Node::new(Label::All)],
            shrunk: 0,
        };
        let mut ids = HashMap::new();
        for (frames, value) in &folded.stacks {
            let weight = value.unsigned_abs();
            if *value < 0 && kind != Kind::Difference {
                tree.shrunk = tree.shrunk.saturating_add(weight);
            } else if weight > 0 {
                let shown = frames
                    .iter()
                    .take(MAX_DEPTH)
                    .map(|frame| Label::Frame(frame));
                let deeper = (frames.len() > MAX_DEPTH).then_some(Label::Deeper);
                tree.insert(shown.chain(deeper), weight, *value, &mut ids);
            }
        }
        tree
    }

    fn insert(
        &mut self,
        stack: impl Iterator<Item = Label<'a>>,
        weight: u64,
        value: i64,
        ids: &mut HashMap<(usize, Label<'a>), usize>,
    ) {
        let mut at = 0;
        self.nodes[at].add(weight, value);
        for label in stack {
            let next = *ids.entry((at, label)).or_insert(self.nodes.len());
            if next == self.nodes.len() {
                self.nodes.push(Node::new(label));
                self.nodes[at].children.push(next);
            }
            at = next;
            self.nodes[at].add(weight, value);
        }
        self.nodes[at].own = self.nodes[at].own.saturating_add(weight);
    }

    /// Weight of all stacks; 0 when there is nothing to draw.
    pub(super) fn total(&self) -> u64 {
        self.nodes[0].weight
    }

    /// Sum of the values below 0 that this kind of graph does not draw.
    pub(super) fn shrunk(&self) -> u64 {
        self.shrunk
    }

    /// The rectangles, row by row from the root, each row from left to right.
    ///
    /// Siblings stand widest first, so the left edge is the way to what holds the most, and the remainder of the narrow ones last.
    pub(super) fn rows(&self) -> Vec<Vec<Cell<'a>>> {
        let smallest = self.smallest();
        let root = &self.nodes[0];
        let mut rows = Vec::new();
        let mut row = vec![(Cell::of(root, 0, root.weight), root.children.as_slice())];
        while !row.is_empty() {
            let mut next = Vec::new();
            for (cell, children) in &row {
                self.place(cell, children, smallest, &mut next);
            }
            rows.push(row.into_iter().map(|(cell, _)| cell).collect());
            row = next;
        }
        rows
    }

    fn place<'t>(
        &'t self,
        parent: &Cell<'a>,
        children: &[usize],
        smallest: u64,
        row: &mut Vec<(Cell<'a>, &'t [usize])>,
    ) {
        let nodes = children.iter().map(|&child| &self.nodes[child]);
        let (mut drawn, small): (Vec<_>, Vec<_>) = nodes.partition(|node| node.weight >= smallest);
        drawn.sort_unstable_by_key(|node| (Reverse(node.weight), node.label));
        let mut start = parent.start;
        for node in drawn {
            row.push((Cell::of(node, start, parent.weight), &node.children));
            start = start.saturating_add(node.weight);
        }
        let mut rest = Node::new(Label::Smaller(small.len()));
        for node in small {
            rest.add(node.weight, node.net);
        }
        if rest.weight >= smallest {
            row.push((Cell::of(&rest, start, parent.weight), &[]));
        }
    }

    fn smallest(&self) -> u64 {
        let smallest = self.total().div_ceil(NARROWEST).max(1);
        let weights = self.nodes.iter().map(|node| node.weight);
        let mut weights: Vec<u64> = weights.filter(|weight| *weight >= smallest).collect();
        if weights.len() <= MAX_FRAMES {
            return smallest;
        }
        // A frame is never wider than the one above it, so what is left over still hangs together.
        let (_, first_left_out, _) =
            weights.select_nth_unstable_by_key(MAX_FRAMES, |weight| Reverse(*weight));
        first_left_out.saturating_add(1)
    }
}

impl<'a> Cell<'a> {
    fn of(node: &Node<'a>, start: u64, parent: u64) -> Self {
        Self {
            label: node.label,
            start,
            weight: node.weight,
            net: node.net,
            own: node.own,
            parent,
        }
    }
}
