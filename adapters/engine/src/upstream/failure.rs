//! What went wrong at an upstream, and whether another try may help.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use oag_serve::EngineError;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::Dialect;

/// When to come again, where an upstream that is overloaded does not say.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// Most characters of an upstream's message that are passed on.
const MESSAGE_CHARS_MAX: usize = 500;

/// A try that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: EngineError,
    /// Whether the same request may go through a moment later.
    pub(super) again: bool,
    /// How long the upstream asks to wait.
    pub(super) after: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Failure {
    /// Nothing came back: the connection was not made, or broke.
    pub(super) fn connection(error: &reqwest::Error) -> Self {
        let error = EngineError::Unavailable(chain(error));
        Self { error, again: true, after: None }
    }

    /// Nothing came back in the time an upstream has. It may be at work on it: not again.
    pub(super) fn silent(millis: u64) -> Self {
        let text = format!("nothing came for {} s", Duration::from_millis(millis).as_secs_f64());
        Self { error: EngineError::Unavailable(text), again: false, after: None }
    }

    /// The time of the request is over.
    pub(super) const fn late() -> Self {
        Self { error: EngineError::Late, again: false, after: None }
    }
}

/// The body of an error, of OpenAI's kind and Zhipu's, whose code is a number as text.
#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: String,
    #[serde(default)]
    param: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Body {
    error: Told,
}

/// What an answer that is no success means.
pub(super) fn refused(
    dialect: Dialect,
    status: StatusCode,
    after: Option<Duration>,
    text: &str,
) -> Failure {
    let told = serde_json::from_str::<Body>(text).map(|body| body.error).unwrap_or_default();
    let code = match &told.code {
        Value::String(code) => code.clone(),
        Value::Number(code) => code.to_string(),
        _ => String::new(),
    };
    let message = if told.message.is_empty() { text.trim() } else { &told.message };
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let said = [status.as_str(), &code, &message].map(str::to_owned);
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    let said = said.join(": ");
    let again = |error| Failure { error, again: true, after };
    let never = |error| Failure { error, again: false, after: None };
    let by_number = dialect == Dialect::Zhipu && !code.is_empty();
    match zhipu(&code).filter(|_| by_number) {
        Some(Meaning::Account) => return never(EngineError::NotAccepted(said)),
        Some(Meaning::Filter) => return never(EngineError::Filtered(said)),
        Some(Meaning::Busy) => return again(overloaded(after)),
        None => {}
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS if code == "insufficient_quota" => {
            never(EngineError::NotAccepted(said))
        }
        StatusCode::TOO_MANY_REQUESTS => again(overloaded(after)),
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
            never(EngineError::NotAccepted(said))
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            again(EngineError::Unavailable(said))
        }
        _ if code == "content_filter" => never(EngineError::Filtered(said)),
        _ if status.is_client_error() => {
            let problem = match told.param {
                Some(param) => format!("{param}: {said}"),
                None => said,
            };
            never(EngineError::refused("request", problem))
        }
        // Something broke while the request was worked on; it may break on it each time.
        _ => never(EngineError::Unavailable(said)),
    }
}

fn overloaded(after: Option<Duration>) -> EngineError {
    EngineError::Overloaded { retry_after: after.unwrap_or(RETRY_AFTER_DEFAULT) }
}

enum Meaning {
    Account,
    Filter,
    Busy,
}

/// Zhipu's numbers (open.bigmodel.cn, "error codes"): 1000 to 1004 credentials, 1110 to 1121 the
/// account, 1301 the filter, 1302, 1303 and 1305 too much at once, 1304 and 1308 the quota.
fn zhipu(code: &str) -> Option<Meaning> {
    match code.parse::<u32>().ok()? {
        1000..=1004 | 1110..=1121 | 1304 | 1308 | 1309 => Some(Meaning::Account),
        1301 => Some(Meaning::Filter),
        1302 | 1303 | 1305 => Some(Meaning::Busy),
        _ => None,
    }
}

/// How long the upstream asks to wait, in seconds; dates are not read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// An error with its causes, without the address, which may hold a secret.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let what = if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "it took too long"
    } else {
        "the connection broke"
    };
    let mut text = what.to_owned();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, status: u16, text: &str) -> Failure {
        refused(dialect, StatusCode::from_u16(status).unwrap(), None, text)
    }

    #[test]
    fn an_error_says_who_can_do_something_about_it() {
        let quota = r#"{"error":{"message":"spent","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        let failure = of(Dialect::OpenAi, 429, quota);
        assert_eq!(
            failure.error,
            EngineError::NotAccepted("429: insufficient_quota: spent".to_owned())
        );
        assert!(!failure.again);
        let failure = of(Dialect::OpenAi, 429, "slow down");
        assert_eq!(failure.error, EngineError::Overloaded { retry_after: RETRY_AFTER_DEFAULT });
        assert!(failure.again);
        let failure = of(
            Dialect::OpenAi,
            400,
            r#"{"error":{"message":"too long","param":"messages","code":"context_length_exceeded"}}"#,
        );
        let problem = "messages: 400: context_length_exceeded: too long".to_owned();
        assert_eq!(failure.error, EngineError::refused("request", problem));
        assert!(of(Dialect::OpenAi, 503, "").again && !of(Dialect::OpenAi, 500, "").again);
    }

    #[test]
    fn zhipus_numbers_go_before_its_status() {
        let told = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"说明"}}}}"#);
        let of = |code: &str, status| of(Dialect::Zhipu, status, &told(code));
        assert!(matches!(of("1301", 400).error, EngineError::Filtered(_)));
        assert!(matches!(of("1113", 429).error, EngineError::NotAccepted(_)));
        assert!(!of("1113", 429).again);
        assert!(matches!(of("1302", 429).error, EngineError::Overloaded { .. }));
        assert!(matches!(of("1210", 400).error, EngineError::Refused { .. }));
        assert!(matches!(of("1234", 500).error, EngineError::Unavailable(_)));
    }
}
