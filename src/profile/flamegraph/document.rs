//! The SVG text.
//!
//! Horizontal places are in percent, so that the script needs only to take away the view box for the graph to fill the window.

use std::fmt;

use super::figures::{Amount, Share};
use super::palette::Colour;
use super::tree::{Cell, Label, NARROWEST, Tree};
use super::{FlamegraphOptions, Kind, SCRIPT, STYLE};

/// Width without a script; with one it is the window's.
const WIDTH: u64 = 1200;
/// Height of what stands above the frames.
const HEADER: usize = 82;
/// Height of what stands below.
const FOOTER: usize = 32;
/// From row to row; a frame is one less.
const ROW: usize = 18;
/// Parts of the width in a place: percent with four decimals, enough to zoom into the narrowest frame.
const PARTS: u64 = 1_000_000;

/// One graph, to be written once.
pub(super) struct Document<'a> {
    options: &'a FlamegraphOptions,
    rows: Vec<Vec<Cell<'a>>>,
    total: u64,
    shrunk: u64,
}

impl<'a> Document<'a> {
    pub(super) fn new(tree: &Tree<'a>, options: &'a FlamegraphOptions) -> Self {
        let total = tree.total();
        Self {
            options,
            rows: if total > 0 { tree.rows() } else { Vec::new() },
            total,
            shrunk: tree.shrunk(),
        }
    }
}

impl fmt::Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = if self.total > 0 {
            self.rows.len()
        } else {
            self.empty_lines().count()
        };
        let height = HEADER + lines * ROW + FOOTER;
        let (title, subtitle) = (
            Escaped(&self.options.title),
            Escaped(&self.options.subtitle),
        );
        writeln!(
            f,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-size="12">
<title>{title}</title>
<desc>{subtitle}</desc>
<style><![CDATA[{STYLE}]]></style>
<rect class="page" width="100%" height="100%"/>"#
        )?;
        if self.total > 0 {
            self.frames(f)?;
            self.footer(f)?;
        } else {
            self.empty(f)?;
        }
        // Above the frames in the order of drawing: the script keeps it in sight while they scroll.
        writeln!(
            f,
            r#"<g class="header">
<rect class="page" width="100%" height="{bottom}"/>
<text class="heading" x="10" y="26">{title}</text>
<text class="quiet" x="10" y="46">{subtitle}</text>"#,
            bottom = HEADER - 6
        )?;
        if self.total > 0 {
            let reading = self.reading();
            writeln!(f, r#"<text class="status" x="10" y="67">{reading}</text>"#)?;
        }
        writeln!(f, "</g>")?;
        if self.total > 0 {
            writeln!(f, "<script><![CDATA[{SCRIPT}]]></script>")?;
        }
        writeln!(f, "</svg>")
    }
}

impl Document<'_> {
    fn frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.options.kind {
            Kind::Plain => "plain",
            Kind::Growth => "growth",
            Kind::Difference => "difference",
        };
        writeln!(f, r#"<g class="frames {kind}">"#)?;
        for (index, row) in self.rows.iter().enumerate() {
            let y = HEADER + index * ROW;
            writeln!(f, r#"<g class="row" transform="translate(0 {y})">"#)?;
            row.iter().try_for_each(|cell| self.frame(cell, f))?;
            writeln!(f, "</g>")?;
        }
        writeln!(f, "</g>")
    }

    fn frame(&self, cell: &Cell<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = parts(cell.start, self.total);
        let right = parts(cell.start.saturating_add(cell.weight), self.total);
        let width = right.saturating_sub(left);
        let name = cell.label.to_string();
        let amount = self.amount(cell);
        writeln!(f, "<g><title>{}", Escaped(&name))?;
        write!(f, "{amount}")?;
        self.shares(cell, f)?;
        let (x, class) = (Percent(left), Class(cell, self.options.kind));
        write!(
            f,
            r#"</title><rect class="{class}" x="{x}" width="{}" height="{}"/>"#,
            Percent(width),
            ROW - 1
        )?;
        let room = columns(&name, width);
        if let Some(label) = clipped(&name, room) {
            write!(f, r#"<text x="{x}" dx="4" y="13">{}"#, Escaped(&label))?;
            if name.chars().count() + 1 + amount.len() <= room {
                write!(f, r#"<tspan dx="7">{amount}</tspan>"#)?;
            }
            write!(f, "</text>")?;
        }
        writeln!(f, "</g>")
    }

    fn amount(&self, cell: &Cell<'_>) -> String {
        let amount = Amount(cell.weight, self.options.unit);
        match self.options.kind {
            Kind::Plain => amount.to_string(),
            Kind::Growth => format!("+{amount}"),
            Kind::Difference => {
                let net = Amount(cell.net.unsigned_abs(), self.options.unit);
                match cell.net {
                    0 => net.to_string(),
                    1.. => format!("+{net}"),
                    _ => format!("\u{2212}{net}"),
                }
            }
        }
    }

    /// What follows the amount on the second line of a tool tip.
    fn shares(&self, cell: &Cell<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |value| Amount(value, self.options.unit);
        let net = cell.net.unsigned_abs();
        if self.options.kind == Kind::Difference && net < cell.weight {
            let less = cell.weight.saturating_sub(net) / 2;
            let more = cell.weight.saturating_sub(less);
            let (grew, shrank) = if cell.net < 0 {
                (less, more)
            } else {
                (more, less)
            };
            write!(f, " · grew {}, shrank {}", amount(grew), amount(shrank))?;
        }
        if cell.label != Label::All {
            let whole = match self.options.kind {
                Kind::Plain => "all",
                Kind::Growth => "all growth",
                Kind::Difference => "all change",
            };
            let of_all = Share(cell.weight, self.total);
            let of_parent = Share(cell.weight, cell.parent);
            write!(f, " · {of_all} of {whole} · {of_parent} of parent")?;
        }
        if cell.own > 0 && cell.own < cell.weight {
            write!(f, " · {} right here", amount(cell.own))?;
        }
        Ok(())
    }

    fn reading(&self) -> String {
        let shrunk = Amount(self.shrunk, self.options.unit);
        match self.options.kind {
            Kind::Plain => {
                "Callers above, callees below; the wider a frame, the more memory is behind it."
                    .to_owned()
            }
            Kind::Growth if self.shrunk > 0 => {
                format!(
                    "Only what grew; the wider a frame, the more. Not drawn: call paths that shrank, by {shrunk} in all."
                )
            }
            Kind::Growth => "What grew; the wider a frame, the more. Nothing shrank.".to_owned(),
            Kind::Difference => {
                "The wider a frame, the more changed; red grew, blue shrank.".to_owned()
            }
        }
    }

    fn footer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let y = HEADER + self.rows.len() * ROW + 18;
        let narrowest = Share(1, NARROWEST);
        writeln!(
            f,
            r#"<text class="quiet" x="10" y="{y}">Siblings under {narrowest} are drawn together, in grey.</text>"#
        )
    }

    fn empty(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.empty_lines().enumerate() {
            let y = HEADER + 13 + index * ROW;
            writeln!(
                f,
                r#"<text class="empty" x="10" y="{y}">{}</text>"#,
                Escaped(line)
            )?;
        }
        Ok(())
    }

    fn empty_lines(&self) -> impl Iterator<Item = &str> {
        self.options.empty_text.lines()
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Frame("") => f.write_str("(no name)"),
            Self::Frame(name) => f.write_str(name),
            Self::Deeper => f.write_str("deeper calls, not drawn"),
            Self::Smaller(1) => f.write_str("1 smaller"),
            Self::Smaller(count) => write!(f, "{count} smaller"),
        }
    }
}

/// The class that has a cell's colour.
struct Class<'a>(&'a Cell<'a>, Kind);

impl fmt::Display for Class<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cell, kind) = self;
        match cell.label {
            Label::Smaller(_) | Label::Deeper => f.write_str("rest"),
            _ if *kind == Kind::Difference => {
                let net = cell.net.unsigned_abs();
                let strength =
                    1 + u128::from(net).saturating_mul(2) / u128::from(cell.weight.max(1));
                match cell.net {
                    0 => f.write_str("even"),
                    1.. => write!(f, "up{strength}"),
                    _ => write!(f, "down{strength}"),
                }
            }
            Label::All => f.write_str("all"),
            Label::Frame(name) => Colour::of(name).fmt(f),
        }
    }
}

/// Parts of the width as percent, `12.34%`.
struct Percent(u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text}%")
    }
}

fn parts(weight: u64, total: u64) -> u64 {
    let parts = u128::from(weight) * u128::from(PARTS) / u128::from(total.max(1));
    u64::try_from(parts).unwrap_or(PARTS).min(PARTS)
}

/// Characters of a name that have room in a frame at [`WIDTH`]; one of the 12 pixel type is 7.2 wide, an ideogram twice that.
fn columns(name: &str, parts: u64) -> usize {
    let pixels = (parts * WIDTH / PARTS).saturating_sub(8);
    let columns = pixels * 5 / if name.is_ascii() { 36 } else { 72 };
    usize::try_from(columns).unwrap_or(usize::MAX)
}

/// What of a name fits: its end, where a path is most specific. The script, which knows the window, does better.
fn clipped(name: &str, columns: usize) -> Option<String> {
    let length = name.chars().count();
    if columns < 4 {
        return None;
    }
    if length <= columns {
        return Some(name.to_owned());
    }
    let end = name.chars().skip(length - (columns - 1));
    Some(std::iter::once('…').chain(end).collect())
}

/// Text as XML carries it: markup is escaped, control characters become spaces, and what XML forbids a replacement character.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let special = |c: char| {
            matches!(c, '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}') || c.is_control()
        };
        while let Some((before, c, after)) = rest.find(special).and_then(|at| {
            let (before, from) = rest.split_at(at);
            let c = from.chars().next()?;
            Some((before, c, &from[c.len_utf8()..]))
        }) {
            f.write_str(before)?;
            f.write_str(match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
                _ => " ",
            })?;
            rest = after;
        }
        f.write_str(rest)
    }
}
