//! Work shared among threads, or done in place where there is one. Nothing here may change what is computed: work is
//! parted by rows, and what is put together again is put together in an order that does not depend on the parting.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Less than this is not worth waking another thread for.
const ROWS_MIN: usize = 8192;

/// The threads of one fit.
#[derive(Debug)]
pub(super) struct Threads {
    pool: Option<ThreadPool>,
    count: usize,
}

impl Threads {
    /// `count` threads; 0 for as many as the machine runs at once. Where threads cannot be had, one does it all.
    pub(super) fn new(count: usize) -> Self {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let pool = (count > 1).then(|| ThreadPoolBuilder::new().num_threads(count).build().ok()).flatten();
        Self { count: pool.as_ref().map_or(1, |_| count), pool }
    }

    /// Runs `work` where calls for parallel work cost least.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// How many pieces `n_rows` rows are worth.
    pub(super) fn pieces(&self, n_rows: usize) -> usize {
        self.count.min(n_rows / ROWS_MIN).max(1)
    }

    /// Calls `work` with pieces of `items` and the position each starts at.
    pub(super) fn for_chunks<T: Send>(&self, items: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
        let pieces = self.pieces(items.len());
        if pieces == 1 {
            return work(0, items);
        }
        let size = items.len().div_ceil(pieces);
        items.par_chunks_mut(size).enumerate().for_each(|(piece, items)| work(piece * size, items));
    }

    /// The results of `work` on each of `items`, in order.
    pub(super) fn map<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        if self.count == 1 || items.len() <= 1 {
            return items.into_iter().map(work).collect();
        }
        items.into_par_iter().map(work).collect()
    }
}
