//! Flame graphs of memory: one self-contained SVG that a browser opens from a file or from the exporter.
//!
//! The root stands on top and callees below (an "icicle"): a page opens at its top, so the total, the search box and the first
//! callers are in sight however deep the stacks of an asynchronous service are, and zooming moves nothing up or down. What a
//! static viewer or a browser without scripts shows is complete: frames, names, and figures as tool tips. The script
//! adds zooming, searching, the keyboard and the full width of the window.

mod document;
mod figures;
mod palette;
mod tree;

use self::document::Document;
use self::tree::Tree;
use super::folded::Folded;

/// The script inside each graph, as a policy hashes it.
const SCRIPT: &str = include_str!("flamegraph.js");
/// The style sheet inside each graph, as a policy hashes it.
const STYLE: &str = include_str!("flamegraph.css");

/// Media type of what [`svg`] returns.
pub const CONTENT_TYPE: &str = "image/svg+xml";

/// `Content-Security-Policy` to send with a graph: its own script and style, nothing else, nothing from anywhere.
pub const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'none'; ",
    "script-src 'sha256-QGM4ahOyRHpYvt7OsBB3NUFDS5XOYziJ9gwXWiWv5Vc='; ",
    "style-src 'sha256-ZOS1XS3LjoJSjRhLwfFkYVwU+rv/CMpt3x3IbcTwlos='"
);

/// What the values of the stacks count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Bytes, shown in KiB, MiB and so on.
    #[default]
    Bytes,
    /// Allocated blocks.
    Objects,
}

/// What a graph shows, and so what a value below 0 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// How much there is. Values below 0 are not drawn.
    #[default]
    Plain,
    /// What grew, in shades of red. Stacks that shrank are not drawn; their sum is told in words.
    Growth,
    /// All that changed: widths by the size of the change, red where growth prevails, blue where shrinkage does.
    Difference,
}

/// How a graph looks and what is written on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlamegraphOptions {
    /// Heading and title of the browser's tab.
    pub title: String,
    /// What, when and how measured: `live bytes, 12:30:05 UTC, sampled every 2 MiB`.
    pub subtitle: String,
    /// What the values count.
    pub unit: Unit,
    /// What is drawn.
    pub kind: Kind,
    /// What to say, line by line, when there is nothing to draw: why, and what to do.
    pub empty_text: String,
}

impl Default for FlamegraphOptions {
    fn default() -> Self {
        Self {
            title: "Memory by call path".to_owned(),
            subtitle: String::new(),
            unit: Unit::default(),
            kind: Kind::default(),
            empty_text: "no samples yet".to_owned(),
        }
    }
}

/// Draws the stacks. The same stacks, in whatever order, give the same text.
///
/// The size is bounded whatever the input: about 20,000 rectangles in 514 rows. Frames under 0.1 % of the total are drawn
/// together as one, and what lies deeper than 512 calls as one more.
pub fn svg(folded: &Folded, options: &FlamegraphOptions) -> String {
    let tree = Tree::new(folded, options.kind);
    Document::new(&tree, options).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::prelude::{BASE64_STANDARD, Engine};

    use super::*;

    fn folded(stacks: &[(&[&str], i64)]) -> Folded {
        let frames = |names: &[&str]| names.iter().map(|&name| Arc::from(name)).collect();
        stacks
            .iter()
            .map(|(names, value)| (frames(names), *value))
            .collect()
    }

    fn draw(folded: &Folded, kind: Kind) -> String {
        let options = FlamegraphOptions {
            kind,
            ..FlamegraphOptions::default()
        };
        let text = svg(folded, &options);
        check_xml(&text);
        text
    }

    /// The tool tip and the rectangle of each frame.
    fn frames(svg: &str) -> Vec<(&str, &str)> {
        let frames = svg.lines().collect::<Vec<_>>();
        frames
            .windows(2)
            .filter_map(|lines| {
                let name = lines[0].strip_prefix("<g><title>")?;
                Some((name, lines[1]))
            })
            .collect()
    }

    fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
        let rect = line.split_once("<rect").unwrap().1;
        let value = rect.split_once(&format!(" {name}=\"")).unwrap().1;
        value.split_once('"').unwrap().0
    }

    fn frame<'a>(svg: &'a str, name: &str) -> &'a str {
        let found = frames(svg).into_iter().find(|(title, _)| *title == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {:?}", frames(svg)))
            .1
    }

    /// Tags balance, attributes are quoted, references are known, and each character is one that XML allows.
    fn check_xml(text: &str) {
        let allowed = |c: char| matches!(c, '\n' | '\t' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        assert!(text.chars().all(allowed), "illegal character");
        let mut rest = text
            .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
            .unwrap();
        let mut open = Vec::new();
        while let Some((before, tag)) = rest.split_once('<') {
            check_characters(before);
            if let Some(data) = tag.strip_prefix("![CDATA[") {
                rest = data.split_once("]]>").unwrap().1;
                continue;
            }
            let (tag, after) = tag.split_once('>').unwrap();
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
                continue;
            }
            let element = tag.strip_suffix('/').unwrap_or(tag);
            let (name, attributes) = element.split_once(' ').unwrap_or((element, ""));
            assert!(!name.is_empty() && name.chars().all(char::is_alphabetic));
            assert_eq!(attributes.matches('"').count() % 2, 0);
            for (index, part) in attributes.split('"').enumerate() {
                if index % 2 == 0 {
                    assert!(part.is_empty() || part.ends_with('='), "{tag}");
                }
            }
            check_characters(attributes);
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(rest.trim(), "");
        assert!(open.is_empty(), "{open:?}");
    }

    fn check_characters(text: &str) {
        assert!(!text.contains('>'), "{text}");
        for reference in text.split('&').skip(1) {
            let (name, _) = reference.split_once(';').unwrap();
            assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "{name}");
        }
    }

    #[test]
    fn widths_are_shares_and_children_stand_below_their_parent_widest_first() {
        let svg = draw(
            &folded(&[
                (&["main", "small"], 1 << 20),
                (&["main", "large"], 2 << 20),
                (&["main"], 1 << 20),
            ]),
            Kind::Plain,
        );
        let places = |name| {
            let line = frame(&svg, name);
            (attribute(line, "x"), attribute(line, "width"))
        };
        assert_eq!(places("all"), ("0%", "100%"));
        assert_eq!(places("main"), ("0%", "100%"));
        assert_eq!(places("large"), ("0%", "50%"));
        assert_eq!(places("small"), ("50%", "25%"));
        assert!(frame(&svg, "all").starts_with("4.0 MiB</title>"));
        assert!(frame(&svg, "main").starts_with(
            "4.0 MiB · 100.0 % of all · 100.0 % of parent · 1.0 MiB right here</title>"
        ));
        assert!(
            frame(&svg, "small").starts_with("1.0 MiB · 25.0 % of all · 25.0 % of parent</title>")
        );
    }

    #[test]
    fn the_same_stacks_give_the_same_text() {
        let stacks: [(&[&str], i64); 4] = [
            (&["a", "x"], 7),
            (&["a", "y"], 7),
            (&["b", "x"], 7),
            (&["b", "y"], 9),
        ];
        let forward = draw(&folded(&stacks), Kind::Plain);
        let mut backward = folded(&stacks);
        backward.stacks.reverse();
        assert_eq!(forward, draw(&backward, Kind::Plain));
        let halves = backward
            .stacks
            .iter()
            .flat_map(|(frames, value)| [(frames.clone(), value - 1), (frames.clone(), 1)])
            .collect();
        assert_eq!(forward, draw(&Folded { stacks: halves }, Kind::Plain));
    }

    #[test]
    fn names_cannot_break_out() {
        let name = "<alloc::vec::Vec<T> as X>::\"f\"&'g'\u{0}\u{1b}\u{fffe}\n]]></title><script>";
        let options = FlamegraphOptions {
            title: name.to_owned(),
            subtitle: name.to_owned(),
            ..FlamegraphOptions::default()
        };
        let svg = svg(&folded(&[(&[name], 1 << 40), (&[""], 1 << 40)]), &options);
        check_xml(&svg);
        let escaped = "&lt;alloc::vec::Vec&lt;T&gt; as X&gt;::&quot;f&quot;&amp;&#39;g&#39;  \u{fffd} ]]&gt;&lt;/title&gt;&lt;script&gt;";
        assert!(attribute(frame(&svg, escaped), "class").starts_with("std"));
        frame(&svg, "(no name)");
        assert_eq!(svg.matches("<script>").count(), 1);
    }

    #[test]
    fn narrow_siblings_are_drawn_together() {
        let names: Vec<String> = (0..50).map(|index| format!("f{index}")).collect();
        let mut stacks: Vec<(Vec<Arc<str>>, i64)> = names
            .iter()
            .map(|name| (vec!["main".into(), name.as_str().into()], 10))
            .collect();
        stacks.push((vec!["main".into(), "large".into()], 99_500));
        let svg = draw(&stacks.into_iter().collect(), Kind::Plain);
        assert_eq!(frames(&svg).len(), 4);
        let rest = frame(&svg, "50 smaller");
        assert_eq!(
            (attribute(rest, "x"), attribute(rest, "width")),
            ("99.5%", "0.5%")
        );
        assert_eq!(attribute(rest, "class"), "rest");
    }

    #[test]
    fn deep_stacks_end_in_one_frame() {
        let frames_of = |depth: usize| {
            (0..depth)
                .map(|index| format!("f{index}").into())
                .collect::<Vec<Arc<str>>>()
        };
        let svg = draw(&[(frames_of(10_000), 5)].into_iter().collect(), Kind::Plain);
        assert_eq!(frames(&svg).len(), tree::MAX_DEPTH + 2);
        assert_eq!(
            attribute(frame(&svg, "deeper calls, not drawn"), "class"),
            "rest"
        );
        let svg = draw(
            &[(frames_of(tree::MAX_DEPTH), 5)].into_iter().collect(),
            Kind::Plain,
        );
        assert_eq!(frames(&svg).len(), tree::MAX_DEPTH + 1);
    }

    #[test]
    fn the_number_of_rectangles_is_bounded() {
        let stack = |column: usize| {
            (0..100)
                .map(|row| format!("c{column}r{row}").into())
                .collect::<Vec<Arc<str>>>()
        };
        let stacks = (0_u16..900).map(|column| (stack(column.into()), 10_000 + i64::from(column)));
        let svg = draw(&stacks.collect(), Kind::Plain);
        let drawn = frames(&svg).len();
        assert!(drawn > tree::MAX_FRAMES / 2, "{drawn}");
        assert!(drawn <= tree::MAX_FRAMES * 2, "{drawn}");
    }

    #[test]
    fn nothing_to_draw_is_said_in_words() {
        let options = FlamegraphOptions {
            empty_text: "no samples yet: nothing above 2 MiB\ntry again in a minute & see"
                .to_owned(),
            ..FlamegraphOptions::default()
        };
        for empty in [
            Folded::default(),
            folded(&[(&["a"], -5)]),
            Folded {
                stacks: vec![(Vec::new(), 0)],
            },
        ] {
            let svg = svg(&empty, &options);
            check_xml(&svg);
            assert!(svg.contains(">no samples yet: nothing above 2 MiB</text>"));
            assert!(svg.contains(">try again in a minute &amp; see</text>"));
            assert!(frames(&svg).is_empty());
        }
    }

    #[test]
    fn growth_leaves_out_what_shrank_and_says_so() {
        let svg = draw(
            &folded(&[
                (&["main", "grew"], 3 << 20),
                (&["main", "shrank"], -(1 << 20)),
            ]),
            Kind::Growth,
        );
        assert_eq!(frames(&svg).len(), 3);
        assert!(
            frame(&svg, "grew")
                .starts_with("+3.0 MiB · 100.0 % of all growth · 100.0 % of parent<")
        );
        assert!(svg.contains("Not drawn: call paths that shrank, by 1.0 MiB in all."));
    }

    #[test]
    fn a_difference_is_as_wide_as_the_change_and_coloured_by_its_direction() {
        let svg = draw(
            &folded(&[
                (&["main", "grew"], 3 << 20),
                (&["main", "shrank"], -(1 << 20)),
                (&["even", "a"], 2 << 20),
                (&["even", "b"], -(2 << 20)),
            ]),
            Kind::Difference,
        );
        let look = |name| {
            let line = frame(&svg, name);
            (attribute(line, "class"), attribute(line, "width"))
        };
        assert_eq!(look("grew"), ("up3", "37.5%"));
        assert_eq!(look("shrank"), ("down3", "12.5%"));
        assert_eq!(look("main"), ("up2", "50%"));
        assert_eq!(look("even"), ("even", "50%"));
        assert_eq!(look("all"), ("up1", "100%"));
        assert!(
            frame(&svg, "main").starts_with("+2.0 MiB · grew 3.0 MiB, shrank 1.0 MiB · 50.0 % of")
        );
        assert!(
            frame(&svg, "shrank")
                .starts_with("\u{2212}1.0 MiB · 12.5 % of all change · 25.0 % of parent<")
        );
    }

    #[test]
    fn values_at_the_edge_stay_inside() {
        let huge = folded(&[
            (&["a"], i64::MAX),
            (&["b"], i64::MAX),
            (&["c"], i64::MIN),
            (&["d"], i64::MIN),
        ]);
        for kind in [Kind::Plain, Kind::Growth, Kind::Difference] {
            let svg = draw(&huge, kind);
            for (_, line) in frames(&svg) {
                let percent = |name| attribute(line, name).trim_end_matches('%').parse::<f64>();
                assert!(percent("x").unwrap() + percent("width").unwrap() < 100.001);
            }
        }
    }

    #[test]
    fn labels_are_cut_to_the_frame() {
        let long = format!("shop::{}::the_end", "x".repeat(300));
        let svg = draw(
            &folded(&[(&["main", &long], 1), (&["main", "日本語::関数"], 1)]),
            Kind::Plain,
        );
        let label = frame(&svg, &long).split_once("y=\"13\">").unwrap().1;
        assert!(label.starts_with('…') && label.ends_with("::the_end</text></g>"));
        assert!(label.chars().count() < 110, "{label}");
        assert!(frame(&svg, "日本語::関数").contains(">日本語::関数<tspan"));
    }

    #[test]
    fn the_policy_has_the_hashes_of_what_is_inside() {
        for text in [SCRIPT, STYLE] {
            let hash = BASE64_STANDARD
                .encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
            assert!(
                CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{hash}'")),
                "now 'sha256-{hash}'"
            );
            assert!(!text.contains("]]>") && !text.contains('\r') && text.is_ascii());
            let svg = draw(&folded(&[(&["main"], 1)]), Kind::Plain);
            assert!(svg.contains(&format!("<![CDATA[{text}]]>")));
        }
    }
}
