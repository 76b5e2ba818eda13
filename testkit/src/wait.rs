//! Waiting for something to become true.

use std::time::Duration;

use anyhow::bail;

const POLL: Duration = Duration::from_millis(20);

/// Calls `probe` until it returns a value, and returns that. `what` names it in the failure.
///
/// # Errors
/// When `timeout` passes without a value.
pub async fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let polling = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(timeout, polling).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("still not after {timeout:?}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_value() {
        let mut calls = 0;
        let value = wait_until("the third call", Duration::from_secs(10), async || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn says_what_did_not_come() {
        let none = wait_until("rain", Duration::from_millis(50), async || None::<()>).await;
        assert_eq!(none.unwrap_err().to_string(), "still not after 50ms: rain");
    }
}
