//! Distribution of work among threads, or on the calling thread if it is the only one. The number of threads must not
//! change any result.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Smallest number of rows that is worth another thread.
const ROWS_MIN: usize = 8192;

/// How long a thread spins while it waits: longer than the serial work between two parallel turns.
const AWAKE: Duration = Duration::from_micros(300);

/// The threads of one fit.
#[derive(Debug)]
pub(super) struct Threads {
    pool: Option<ThreadPool>,
    count: usize,
    /// Whether each thread has a processor of its own, so that spinning slows no other thread down.
    has_own: bool,
    /// Number of parallel turns so far; spinning threads watch it to see the next one begin.
    turn: Arc<AtomicU64>,
}

impl Threads {
    /// Starts at most `count` threads (0 for the number of processors), and at most one for each [`ROWS_MIN`] rows.
    /// If threads cannot be started, the calling thread does all the work.
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

    /// Returns the number of threads.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Runs `work` on a thread of the pool, from which handing work to the others costs least.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Runs both closures, at the same time if there is another thread, and returns their results.
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

    /// Runs `work` on each of `items`, on whichever thread is free, and returns the results in order.
    pub(super) fn map<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
        if self.count == 1 {
            return items.into_iter().map(work).collect();
        }
        items.into_par_iter().map(work).collect()
    }

    /// Runs `work` on each shard and returns the results in order. Each thread always takes the same shard, whose
    /// data is in its cache; for fewer than [`ROWS_MIN`] rows the calling thread runs all of them.
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

    /// Ends the spinning that [`Threads::stay_awake`] started.
    fn take_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes the other threads spin for a while, waiting for the next turn.
    ///
    /// A tree takes some sixty turns, and a thread that sleeps between them loses the time to wake up at each.
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
