//! What a process writes to its log.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::eventually;

/// The lines so far.
#[derive(Clone, Default)]
pub struct Log {
    lines: Rc<RefCell<Vec<String>>>,
}

// === impl Log ===

impl Log {
    /// Collect what can be read here.
    pub(crate) fn of(source: impl AsyncRead + Unpin + 'static) -> Self {
        let log = Self::default();
        let lines = Rc::clone(&log.lines);
        tokio::task::spawn_local(async move {
            let mut source = BufReader::new(source).lines();
            while let Ok(Some(line)) = source.next_line().await {
                lines.borrow_mut().push(line);
            }
        });
        log
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow_mut().clone()
    }

    /// How many lines so far have all of these in them.
    pub fn count(&self, words: &[&str]) -> usize {
        self.lines().iter().filter(|line| has_all(line, words)).count()
    }

    /// The first line with all of these in it, as soon as it is there.
    pub async fn line(&self, words: &[&str]) -> String {
        let look = || self.lines().into_iter().find(|line| has_all(line, words));
        eventually(format_args!("a log line with {words:?}"), look).await
    }

    /// The same of the lines after the first `before` of them.
    pub async fn nth_line(&self, before: usize, words: &[&str]) -> String {
        let look = || self.lines().into_iter().filter(|line| has_all(line, words)).nth(before);
        eventually(format_args!("log line {} with {words:?}", before + 1), look).await
    }

    /// The first line with all of these, none of which has come so far.
    pub fn assert_none(&self, words: &[&str]) {
        assert_eq!(self.count(words), 0, "a log line with {words:?}");
    }
}

fn has_all(line: &str, words: &[&str]) -> bool {
    words.iter().all(|word| line.contains(word))
}
