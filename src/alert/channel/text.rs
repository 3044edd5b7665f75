//! Texts that fit where they are put.

/// Stands where something was cut off.
pub(super) const ELLIPSIS: char = '…';

/// A text of at most so many characters. What controls a terminal and not a line is a space.
pub(super) fn fitted(text: &str, most: usize) -> String {
    let calm = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    if text.chars().count() <= most {
        return text.chars().map(calm).collect();
    }
    let kept = text.chars().map(calm).take(most.saturating_sub(1));
    kept.chain([ELLIPSIS]).collect()
}

/// The same on one line, on which white space is one space.
pub(super) fn line(text: &str, most: usize) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    fitted(&words.join(" "), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(fitted("äöü", 3), "äöü");
        assert_eq!(fitted("äöüß", 3), "äö…");
        assert_eq!(fitted("", 3), "");
        assert_eq!(fitted("a\u{1b}[31m\nb", 20), "a [31m\nb");
    }

    #[test]
    fn a_line_has_no_breaks() {
        assert_eq!(line("{\r\n  \"a\":\t1\n}\0", 20), "{ \"a\": 1 }");
        assert_eq!(line("a\nb\nc", 4), "a b…");
    }
}
