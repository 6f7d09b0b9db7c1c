//! Waiting for a state instead of sleeping for a time.

use std::future::Future;
use std::time::Duration;

/// A state that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("still waiting for {what} after {} s", waited.as_secs_f32())]
pub struct StillWaiting {
    pub what: String,
    pub waited: Duration,
}

/// Asks until `probe` gives `Some`, at most for `timeout`; the first question is asked at once, and one more after the time is up.
///
/// Looks at the state, never at the events that led to it: a state that came and went between two questions was not waited for.
/// `what` names the state in the error.
pub async fn eventually<T, F, R>(what: &str, timeout: Duration, mut probe: F) -> Result<T, StillWaiting>
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + timeout;
    let mut pause = Duration::from_millis(5);
    loop {
        let last = tokio::time::Instant::now() >= deadline;
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if last {
            return Err(StillWaiting { what: what.to_owned(), waited: timeout });
        }
        tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + pause)).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn the_value_of_the_first_some_is_returned() {
        let asked = Cell::new(0);

        let found = eventually("the third question", Duration::from_secs(30), || async {
            asked.set(asked.get() + 1);
            (asked.get() == 3).then_some("here")
        })
        .await;

        assert_eq!(found.unwrap(), "here");
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    async fn what_never_comes_is_named_in_the_error() {
        let refused = eventually("snow in August", Duration::from_millis(20), || async { None::<()> }).await;

        assert!(refused.unwrap_err().to_string().contains("snow in August"));
    }
}
