//! Work shared among threads, or done in place where there is one. Nothing here may change what is computed.

use std::sync::Mutex;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Fewer rows than this are not worth another thread.
const ROWS_MIN: usize = 8192;

/// The threads of one fit.
#[derive(Debug)]
pub(super) struct Threads {
    pool: Option<ThreadPool>,
    count: usize,
}

impl Threads {
    /// As many of `count` threads (0 for as many as the machine runs at once) as so many rows are worth. Where threads
    /// cannot be had, one does it all.
    pub(super) fn new(count: usize, n_rows: usize) -> Self {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let count = count.min(n_rows / ROWS_MIN).max(1);
        let pool = (count > 1).then(|| ThreadPoolBuilder::new().num_threads(count).build().ok()).flatten();
        Self { count: pool.as_ref().map_or(1, |_| count), pool }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Runs `work` on one of them, where calls for the others cost least.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// The results of `work` on each of `items`, in order; any thread takes the next.
    pub(super) fn map<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        if self.count == 1 {
            return items.into_iter().map(work).collect();
        }
        items.into_par_iter().map(work).collect()
    }

    /// The results of `work` on each shard, in order. Each thread always takes the same one, whose data it has at hand;
    /// for less than enough rows this thread does them all.
    pub(super) fn each<S: Send, R: Send>(
        &self,
        shards: &mut [S],
        n_rows: usize,
        work: impl Fn(&mut S) -> R + Sync,
    ) -> Vec<R> {
        if self.count == 1 || n_rows < ROWS_MIN {
            return shards.iter_mut().map(work).collect();
        }
        let shards: Vec<Mutex<Option<&mut S>>> =
            shards.iter_mut().map(|shard| Mutex::new(Some(shard))).collect();
        let results = rayon::broadcast(|thread| {
            let shard = shards.get(thread.index())?.lock().ok()?.take()?;
            Some(work(shard))
        });
        results.into_iter().flatten().collect()
    }
}
