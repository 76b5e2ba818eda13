//! Reading answers. They are kept as they came, so that a newer server's members are not lost.

use oag_types::Timestamp;
use serde_json::Value;

/// Members of an answer, by JSON pointer; what is not there reads as empty.
pub(crate) trait Read {
    /// The member.
    fn at(&self, pointer: &str) -> &Value;

    /// The member as text for people: strings as they are, null as nothing.
    fn text(&self, pointer: &str) -> String;

    /// The string, or an empty one.
    fn str(&self, pointer: &str) -> &str;

    /// The items of a list, or none.
    fn list(&self, pointer: &str) -> &[Value];

    /// The moment.
    fn time(&self, pointer: &str) -> Option<Timestamp>;
}

static NULL: Value = Value::Null;

impl Read for Value {
    fn at(&self, pointer: &str) -> &Value {
        self.pointer(pointer).unwrap_or(&NULL)
    }

    fn text(&self, pointer: &str) -> String {
        plain(self.at(pointer))
    }

    fn str(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.str(pointer).parse().ok()
    }
}

/// A value as text for people.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < 1e15 => {
                format!("{whole:.0}")
            }
            _ => number.to_string(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let pair = |(name, value): (&String, &Value)| format!("{name}={}", plain(value));
            members.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A value as text for people who look at figures: fractions have six significant digits.
pub(crate) fn rounded(value: &Value) -> String {
    fn round(value: &Value) -> Value {
        match value {
            Value::Number(number) if number.is_f64() => {
                let text = number.as_f64().map(|number| format!("{number:.5e}"));
                let near = text.and_then(|text| text.parse::<f64>().ok());
                near.map_or_else(|| value.clone(), Value::from)
            }
            Value::Array(items) => items.iter().map(round).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), round(value))).collect()
            }
            other => other.clone(),
        }
    }
    plain(&round(value))
}

/// A name of the wire as words: `awaiting_approval` as `awaiting approval`.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Time since, such as `5s`, `3m`, `2h` or `4d`; `in 3m` for what is still to come.
pub(crate) fn age(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return String::new() };
    let millis = now.millis_since(at);
    if millis <= -1_000 { format!("in {}", span(-millis)) } else { span(millis.max(0)) }
}

/// A length of time, in its largest whole unit that says enough.
pub(crate) fn span(millis: i64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 if millis > 0 => format!("{millis}ms"),
        ..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Cut to a number of characters, with a mark where it was cut.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= chars_max {
        return line.to_owned();
    }
    let kept: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_six_digits_and_counts_all_of_theirs() {
        let numbers = serde_json::json!({"band": [0.30000000000000004, 1234567.891, -0.25],
            "count": 123_456_789_u64, "none": null, "unit": "requests/s", "whole": 180.0});
        let text = "band=0.3, 1234570, -0.25, count=123456789, none=, unit=requests/s, \
                    whole=180";
        assert_eq!(rounded(&numbers), text);
    }

    #[test]
    fn ages_are_short() {
        let now = Timestamp::from_millis(1_000_000_000);
        let at = |millis: i64| age(Some(now.plus_millis(-millis)), now);
        assert_eq!(at(0), "0s");
        assert_eq!(at(119_000), "119s");
        assert_eq!(at(120_000), "2m");
        assert_eq!(at(7_200_000), "2h");
        assert_eq!(at(200_000_000), "2d");
        assert_eq!(at(-180_000), "in 3m");
        assert_eq!(age(None, now), "");
    }

    #[test]
    fn texts_are_cut_by_characters() {
        assert_eq!(cut("订单服务过载了", 5), "订单服务…");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("one\ntwo", 10), "one");
    }
}
