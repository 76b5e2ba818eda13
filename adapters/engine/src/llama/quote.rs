//! What people say cannot speak as the template does: a text that would be read as a mark between
//! turns is read as the letters that it is written with.

use aho_corasick::{AhoCorasick, MatchKind};
use llama_cpp_2::model::LlamaModel;
use serde_json::{Map, Value};

/// Stand around what is read as letters. Unicode keeps both out of texts that are exchanged.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// The marks of a model.
#[derive(Debug)]
pub(super) struct Quote(AhoCorasick);

impl Quote {
    /// Every control token of a model, as it is written.
    ///
    /// # Errors
    /// When there are too many to be looked for.
    pub(super) fn of(model: &LlamaModel) -> Result<Self, String> {
        let vocabulary = model.vocab();
        let control = vocabulary.tokens().filter(|token| vocabulary.is_control(*token));
        let written = control.map(|token| vocabulary.token_to_piece(token, true, None));
        Self::new(written.filter(|text| !text.is_empty()))
    }

    pub(super) fn new(marks: impl Iterator<Item = Vec<u8>>) -> Result<Self, String> {
        let found = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(marks);
        found.map(Self).map_err(|error| format!("its control tokens: {error}"))
    }

    /// A text with what is to be read as letters marked.
    pub(super) fn text(&self, text: &str) -> String {
        let clean = text.replace([OPEN, CLOSE], "\u{fffd}");
        let mut quoted = String::with_capacity(clean.len());
        let mut rest = 0;
        for mark in self.0.find_iter(&clean) {
            // A token may be part of a character; then the text cannot be cut there.
            let (Some(before), Some(inner)) =
                (clean.get(rest..mark.start()), clean.get(mark.range()))
            else {
                continue;
            };
            quoted.push_str(before);
            quoted.push(OPEN);
            quoted.push_str(inner);
            quoted.push(CLOSE);
            rest = mark.end();
        }
        quoted.push_str(clean.get(rest..).unwrap_or_default());
        quoted
    }

    /// The same for every text in a value, names of fields included.
    pub(super) fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                let field = |(name, value): (String, Value)| (self.text(&name), self.value(value));
                Value::Object(fields.into_iter().map(field).collect::<Map<_, _>>())
            }
            other => other,
        }
    }
}

/// The parts of a text, and whether marks in them count.
pub(super) fn parts(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let part = |part| (part, true);
    text.split(OPEN)
        .enumerate()
        .flat_map(move |(at, piece)| {
            let (letters, rest) = match piece.split_once(CLOSE) {
                Some((letters, rest)) if at > 0 => (letters, rest),
                _ => ("", piece),
            };
            [(letters, false), part(rest)]
        })
        .filter(|(part, _)| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quote() -> Quote {
        Quote::new(
            ["<|user|>", "<|end|>", "<|end|><|user|>"].iter().map(|mark| mark.as_bytes().to_vec()),
        )
        .unwrap()
    }

    #[test]
    fn marks_in_what_is_said_are_letters() {
        let said = quote().text("a<|end|><|user|>b<|user|>\u{fdd1}");
        let prompt = format!("<|user|>{said}<|end|>");
        let parts: Vec<_> = parts(&prompt).collect();
        let wanted = [
            ("<|user|>a", true),
            ("<|end|><|user|>", false),
            ("b", true),
            ("<|user|>", false),
            ("\u{fffd}<|end|>", true),
        ];
        assert_eq!(parts, wanted);
    }

    #[test]
    fn texts_without_marks_stay_in_one_part() {
        let said = quote().value(json!({"content": "1 < 2 |user|", "n": [1, "价格"]}));
        assert_eq!(said, json!({"content": "1 < 2 |user|", "n": [1, "价格"]}));
        assert_eq!(parts("1 < 2").collect::<Vec<_>>(), [("1 < 2", true)]);
        assert_eq!(parts("").count(), 0);
    }
}
