//! Histories by the thousand, on all cores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Counts, History, Kind, history};

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(30);

/// What was counted in many histories.
#[derive(Debug, Default)]
pub struct Summary {
    /// Histories of each kind, with the sums of what they counted.
    pub kinds: BTreeMap<Kind, (u64, Counts)>,
    /// The first history that broke a promise, by its seed.
    pub broken: Option<(u64, Kind, History)>,
    /// The seed after the last one.
    pub next: u64,
}

impl Summary {
    /// Returns a line for each kind.
    pub fn lines(&self) -> Vec<String> {
        let line = |(kind, (histories, counts)): (&Kind, &(u64, Counts))| {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            format!("{:12} {histories:9} histories: {}", <&str>::from(kind), counts.join(", "))
        };
        self.kinds.iter().map(line).collect()
    }

    fn add(&mut self, kind: Kind, counts: Counts) {
        let (histories, sums) = self.kinds.entry(kind).or_default();
        *histories += 1;
        for (name, count) in counts {
            *sums.entry(name).or_default() += count;
        }
    }
}

/// Runs the histories of the seeds from `from` to before `to`, or as many as are done in `time`, until one breaks a promise. All
/// are of one kind, if that is stated.
pub fn many(from: u64, to: u64, time: Option<Duration>, only: Option<Kind>) -> Summary {
    platform::telemetry::emit_nothing();
    let (next, is_over, began) = (AtomicU64::new(from), AtomicBool::new(false), Instant::now());
    let summary = Mutex::new(Summary::default());
    let reported = Mutex::new(Instant::now());
    let work = || {
        loop {
            if is_over.load(Ordering::Relaxed) || time.is_some_and(|time| began.elapsed() > time) {
                return;
            }
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return;
            }
            let kind = only.unwrap_or_else(|| Kind::of(seed));
            let ended = history(kind, seed, false);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            match ended.ended {
                Ok(counts) => summary.add(kind, counts),
                Err(_) => {
                    is_over.store(true, Ordering::Relaxed);
                    // Once more, with its lines.
                    summary.broken.get_or_insert_with(|| (seed, kind, history(kind, seed, true)));
                }
            }
            drop(summary);
            let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.elapsed() > PROGRESS {
                *reported = Instant::now();
                eprintln!("{} histories in {:.0} s", seed - from + 1, began.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.next = next.into_inner().min(to);
    summary
}
