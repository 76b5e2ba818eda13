//! Where an answer ends before its end: at a stop text, or at the limit of tokens.

use oag_serve::{EngineError, Finish, Limits};

/// Stop texts at most.
const STOPS_MAX: usize = 64;

/// Refuses limits that mean nothing.
pub(super) fn check(limits: &Limits) -> Result<(), EngineError> {
    if limits.tokens_max == Some(0) {
        return Err(EngineError::refused("tokens_max", "must be at least 1"));
    }
    if limits.stop.len() > STOPS_MAX || limits.stop.iter().any(String::is_empty) {
        let problem = format!("at most {STOPS_MAX} texts, none of them empty");
        return Err(EngineError::refused("stop", problem));
    }
    Ok(())
}

/// The part of an answer that is within its limits, and why it ends there. There are no tokens
/// here, so their limit is kept by an estimate that any tokeniser of our languages is close to: a
/// Chinese character is one, and so are four others.
pub(super) fn cut<'a>(text: &'a str, limits: &Limits) -> (&'a str, Finish) {
    let stop = limits.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
    let before_stop = stop.and_then(|at| text.get(..at)).unwrap_or(text);
    let Some(most) = limits.tokens_max else { return (before_stop, Finish::Stop) };
    // In quarters of a token.
    let most = u64::from(most) * 4;
    let mut spent = 0;
    for (at, c) in before_stop.char_indices() {
        spent += if c.is_ascii() { 1 } else { 4 };
        if spent > most {
            return (before_stop.get(..at).unwrap_or_default(), Finish::Length);
        }
    }
    (before_stop, Finish::Stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(tokens_max: Option<u32>, stop: &[&str]) -> Limits {
        Limits { tokens_max, stop: stop.iter().map(|stop| (*stop).to_owned()).collect() }
    }

    #[test]
    fn the_first_limit_ends_it() {
        let text = "abcdefgh订单服务";
        assert_eq!(cut(text, &limits(None, &[])), (text, Finish::Stop));
        assert_eq!(cut(text, &limits(Some(6), &[])), (text, Finish::Stop));
        assert_eq!(cut(text, &limits(Some(3), &[])), ("abcdefgh订", Finish::Length));
        assert_eq!(cut(text, &limits(Some(1), &[])), ("abcd", Finish::Length));
        assert_eq!(cut(text, &limits(None, &["服", "单"])), ("abcdefgh订", Finish::Stop));
        assert_eq!(cut(text, &limits(Some(2), &["服"])), ("abcdefgh", Finish::Length));
        assert_eq!(cut(text, &limits(Some(3), &["单"])), ("abcdefgh订", Finish::Stop));
    }

    #[test]
    fn limits_that_mean_nothing_are_refused() {
        assert!(check(&limits(Some(0), &[])).is_err());
        assert!(check(&limits(None, &[""])).is_err());
        assert!(check(&limits(Some(1), &["x"])).is_ok());
    }
}
