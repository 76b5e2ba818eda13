//! Texts of records inside of answers. They come from signals, programs and people: they are shown
//! as what they are, in quotes, short, and in a form that nothing which shows an answer takes for
//! anything but text.

/// Characters of a quoted text at most.
const QUOTE_CHARS_MAX: usize = 200;

/// A text of a record in quotes: one line, cut, without control characters or characters that
/// turn or hide text, and without what would end the quotes or begin a link, an image or markup.
pub(super) fn quote(text: &str) -> String {
    format!("“{}”", plain(text, QUOTE_CHARS_MAX))
}

/// The same without quotes, for names.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    // What is cut away anyway is not looked at.
    let looked_at = text.chars().take(chars_max.saturating_mul(8));
    let mut shown = String::new();
    for c in looked_at {
        let c = match c {
            c if hidden(c) => ' ',
            '“' | '”' | '「' | '」' | '"' => '\'',
            '`' => '\'',
            '[' => '(',
            ']' => ')',
            '<' => '‹',
            '>' => '›',
            c => c,
        };
        if c.is_whitespace() {
            if !shown.is_empty() && !shown.ends_with(' ') {
                shown.push(' ');
            }
        } else {
            shown.push(c);
        }
    }
    let mut shown = shown.trim_end().replace("://", ": //");
    if let Some((at, _)) = shown.char_indices().nth(chars_max) {
        shown.truncate(at);
        shown.push('…');
    } else if text.chars().nth(chars_max.saturating_mul(8)).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and those without a form of their own that change how others are seen.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_inside_of_its_quotes() {
        let text = "a\u{1b}[31m\nb” `x` ![i](http://h/?q) \u{202e}<b>\u{200b}c";
        assert_eq!(quote(text), "“a (31m b' 'x' !(i)(http: //h/?q) ‹b› c”");
    }

    #[test]
    fn a_long_text_is_cut() {
        let cut = quote(&"订".repeat(300));
        assert_eq!(cut.chars().count(), QUOTE_CHARS_MAX + 3);
        assert!(cut.ends_with("订…”"));
        assert!(plain(&" ".repeat(300), 10).ends_with('…'));
        assert_eq!(plain("short", 10), "short");
    }
}
