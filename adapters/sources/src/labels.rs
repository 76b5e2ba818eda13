//! Reads the part in braces: labels with escapes, and names in quotes.

use oag_types::Labels;

/// A line that is read from left to right.
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(crate) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Takes a character when it is next.
    pub(crate) fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The next word up to a blank.
    pub(crate) fn word(&mut self) -> &'a str {
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A name of letters, digits, `_` and, where allowed, `:`; empty when there is none.
    pub(crate) fn name(&mut self, colons: bool) -> &'a str {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return "";
        }
        self.rest = rest;
        name
    }

    /// A text in quotes, with its escapes taken out.
    pub(crate) fn quoted(&mut self) -> Result<String, &'static str> {
        if !self.take('"') {
            return Err("a quoted text is expected");
        }
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, other @ ('"' | '\\'))) => text.push(other),
                    // Not an escape: both characters stay, as other readers do.
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err("a quoted text does not end")
    }

    /// The part in braces, when there is one: labels, and the metric's name when it is quoted.
    pub(crate) fn labels(&mut self) -> Result<(Option<String>, Labels), &'static str> {
        let (mut metric, mut labels) = (None, Labels::new());
        if !self.take('{') {
            return Ok((metric, labels));
        }
        loop {
            self.skip_blanks();
            if self.take('}') {
                return Ok((metric, labels));
            }
            let quoted = self.rest.starts_with('"');
            let name = if quoted { self.quoted()? } else { self.name(false).to_owned() };
            self.skip_blanks();
            if self.take('=') {
                self.skip_blanks();
                let value = self.quoted()?;
                if name.is_empty() {
                    return Err("a label has no name");
                }
                if labels.insert(name, value).is_some() {
                    return Err("a label is there twice");
                }
            } else if quoted && metric.is_none() && labels.is_empty() && !name.is_empty() {
                metric = Some(name);
            } else {
                return Err("a label has no value");
            }
            self.skip_blanks();
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err("labels are separated by commas and end with a brace");
            }
        }
    }
}
