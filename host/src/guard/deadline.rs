//! A deadline that is set often and seldom reached.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Moving the deadline to later costs a clock read and leaves the timer alone: that goes off when it was
/// first meant to, and only then is set to what has become of the deadline.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub fn set(&mut self, after: Duration) {
        // Past the end of the clock is never.
        self.set_at(Instant::now().checked_add(after));
    }

    /// None: never.
    pub fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
        if let (Some(at), Some(timer)) = (self.at, &mut self.timer)
            && timer.deadline() > at
        {
            timer.as_mut().reset(at);
        }
    }

    /// Ready once the deadline has passed; never where there is none.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_deadline_set_counts() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Duration::from_secs(10));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
        for (after_s, expected_s) in [(4, 4), (20, 24), (5, 29), (7, 36)] {
            deadline.set(Duration::from_secs(after_s));
            poll_fn(|cx| deadline.poll(cx)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(expected_s));
        }
        deadline.set(Duration::MAX);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending());
    }
}
