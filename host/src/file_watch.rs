//! Files that are looked at again and again, where `[server] watch` asks for it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use crate::file_stamp::{Stamp, stamp};

/// The files that what is in service was made of, as they were when it was.
#[derive(Debug, Default)]
pub struct FileWatch {
    /// None: nobody asked for it.
    interval: Option<Duration>,
    in_use: Vec<(PathBuf, Stamp)>,
    /// At the last look.
    seen: Vec<Stamp>,
}

// === impl FileWatch ===

impl FileWatch {
    /// From now on look for changes of these, which were so when they were read.
    pub fn follow(&mut self, interval: Option<Duration>, files: Vec<(PathBuf, Stamp)>) {
        self.interval = interval;
        self.in_use = files;
        self.seen.clear();
    }

    /// Look for changes of these, too, which were refused: it may be up to any of them, or to one that was gone.
    pub fn follow_also(&mut self, mut files: Vec<(PathBuf, Stamp)>) {
        let mut known = std::mem::take(&mut self.in_use);
        known.retain(|(file, _)| !files.iter().any(|(other, _)| other == file));
        files.append(&mut known);
        self.follow(self.interval, files);
    }

    /// Ends when a file is another one than before, and was so at two looks: writing takes a while. Each change is told once.
    pub async fn changed(&mut self) {
        let Some(interval) = self.interval else { return std::future::pending().await };
        loop {
            sleep(interval).await;
            let now: Vec<Stamp> = self.in_use.iter().map(|(file, _)| stamp(file)).collect();
            let has_settled = now == self.seen;
            self.seen = now;
            if has_settled && self.in_use.iter().map(|(_, stamp)| stamp).ne(&self.seen) {
                for ((_, in_use), seen) in self.in_use.iter_mut().zip(&self.seen) {
                    in_use.clone_from(seen);
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_file_that_goes_on_changing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.wasm");
        fs::write(&file, "old").unwrap();
        let mut watch = FileWatch::default();
        watch.follow(Some(SECOND), vec![(file.clone(), stamp(&file))]);
        let began = Instant::now();
        let mut text = String::from("new");
        let writing = async {
            for _ in 0..3 {
                text.push('!');
                fs::write(&file, &text).unwrap();
                sleep(SECOND).await;
            }
        };
        tokio::join!(writing, watch.changed());
        assert!(began.elapsed() >= 3 * SECOND, "{:?}", began.elapsed());
        // Told once.
        assert!(tokio::time::timeout(60 * SECOND, watch.changed()).await.is_err());
        fs::remove_file(&file).unwrap();
        watch.changed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_between_reading_and_watching_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.wasm");
        let before = stamp(&file);
        fs::write(&file, "written meanwhile").unwrap();
        let mut watch = FileWatch::default();
        watch.follow(Some(SECOND), vec![(file, before)]);
        watch.changed().await;
    }
}
