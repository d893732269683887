//! Work shared among threads, or done in place where there is one. Nothing here may change what is computed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Fewer rows than this are not worth another thread.
const ROWS_MIN: usize = 8192;

/// How long a thread waits awake: longer than what is done by one thread between two turns.
const AWAKE: Duration = Duration::from_micros(300);

/// The threads of one fit.
#[derive(Debug)]
pub(super) struct Threads {
    pool: Option<ThreadPool>,
    count: usize,
    /// Whether each has a processor of its own, so that waiting awake takes it from nobody.
    has_own: bool,
    /// Counts what has been shared, so that threads that wait for more see it.
    turn: Arc<AtomicU64>,
}

impl Threads {
    /// As many of `count` threads (0 for as many as the machine runs at once) as so many rows are worth. Where threads
    /// cannot be had, one does it all.
    pub(super) fn new(count: usize, n_rows: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { processors } else { count };
        let count = count.min(n_rows / ROWS_MIN).max(1);
        let pool = (count > 1).then(|| ThreadPoolBuilder::new().num_threads(count).build().ok()).flatten();
        Self {
            count: pool.as_ref().map_or(1, |_| count),
            pool,
            has_own: count <= processors,
            turn: Arc::default(),
        }
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

    /// The results of both, at once where there is another thread.
    pub(super) fn both<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        if self.count == 1 {
            return (one(), other());
        }
        self.take_turn();
        let results = rayon::join(one, other);
        self.stay_awake();
        results
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
        self.take_turn();
        let results = rayon::broadcast(|thread| {
            let shard = shards.get(thread.index())?.lock().ok()?.take()?;
            Some(work(shard))
        });
        self.stay_awake();
        results.into_iter().flatten().collect()
    }

    /// Ends the waiting of [`Threads::stay_awake`].
    fn take_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the other threads wait for the next turn awake for a while.
    ///
    /// A tree is some sixty turns, and a thread that sleeps between them is late by what waking takes.
    fn stay_awake(&self) {
        if !self.has_own {
            return;
        }
        let now = self.turn.load(Ordering::Relaxed);
        for _ in 1..self.count {
            let turn = Arc::clone(&self.turn);
            rayon::spawn(move || {
                let until = Instant::now() + AWAKE;
                while turn.load(Ordering::Relaxed) == now && Instant::now() < until {
                    (0..32).for_each(|_| std::hint::spin_loop());
                }
            });
        }
    }
}
