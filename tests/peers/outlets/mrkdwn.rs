//! Slack's markup: `&`, `<` and `>` are its own, and stand in a text as entities, unless they are around a link.

use super::form::is_url;

/// The first place where a text is not what it is meant to be.
pub(super) fn problem(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        let from = &rest[at..];
        let Some(length) = entity(from).or_else(|| link(from)) else {
            let start: String = from.chars().take(30).collect();
            return Some(format!("{start:?} is neither an entity nor a link"));
        };
        rest = &from[length..];
    }
    None
}

/// The length of the entity that the text begins with. There are no others.
fn entity(text: &str) -> Option<usize> {
    let entity = ["&amp;", "&lt;", "&gt;"]
        .into_iter()
        .find(|entity| text.starts_with(entity));
    entity.map(str::len)
}

/// The length of the link that the text begins with: to an address, or to somebody. An address may have an `&` as it is.
fn link(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let inner = &inner[..inner.find('>')?];
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (inner, None),
    };
    let leads =
        is_url(target) || target.starts_with("mailto:") || target.starts_with(['@', '#', '!']);
    let is_whole = !target.contains(|c: char| c == '<' || c.is_whitespace());
    let is_labelled = label.is_none_or(|label| {
        !label.is_empty() && !label.contains(['<', '\n', '|']) && problem(label).is_none()
    });
    (leads && is_whole && is_labelled).then_some(inner.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_entities_and_links_is_right() {
        for text in [
            "",
            "a *bold* word, and `code`",
            "a &lt; b &amp;&amp; b &gt; a",
            "&amp;lt;",
            "<https://example.org/?a=b&c=d|Board>",
            "see <https://example.org> and <mailto:bob@example.org|Bob>, <@U024BE7LH>, <!here>",
            "<https://example.org|a &amp; b>\n<#C024BE7LR>",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_escaped_is_found() {
        for (text, start) in [
            ("a & b", "& b"),
            ("a < b", "< b"),
            ("a > b", "> b"),
            ("Vec<u8>", "<u8>"),
            ("&quot;", "&quot;"),
            ("&amp;< &gt;", "< &gt;"),
            ("<T as Into<U>>::into", "<T as Into<U>>::into"),
            ("<https://example.org|>", "<https://example.org|>"),
            ("<https://example.org|a & b>", "<https://example.org|a & b>"),
            ("<https://example.org/a b|c>", "<https://example.org/a b|c>"),
            ("<https://example.org|Board", "<https://example.org|Board"),
            ("<|Board>", "<|Board>"),
            ("<graph|Query>", "<graph|Query>"),
            ("&lt;&gt;>", ">"),
        ] {
            let expected = format!("{start:?} is neither an entity nor a link");
            assert_eq!(problem(text), Some(expected), "{text}");
        }
    }
}
