//! What a seed decides, and the lines of a history.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

/// All times of a history are whole steps, except limits, which end between two: so no comparison of times is a close one.
pub const STEP: Duration = Duration::from_millis(100);

/// Chance, decided by a seed and shared by its clones.
#[derive(Debug, Clone)]
pub struct Chance {
    state: Arc<Mutex<State>>,
    began: Instant,
}

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    is_calm: bool,
    is_undisturbed: bool,
    /// Instants at which an invocation went on before it was calm, of all invocations together.
    instants: u64,
    /// The instant at which an environment ends, whatever is drawn.
    crash_at: Option<u64>,
    trace: u64,
    lines: Option<Vec<String>>,
    phases: u64,
}

impl Chance {
    /// Creates the chance of a seed. With `keeps_lines` it keeps what is noted.
    pub fn new(seed: u64, keeps_lines: bool) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let lines = keeps_lines.then(Vec::new);
        // FNV-1a's offset.
        let state = State {
            random,
            is_calm: false,
            is_undisturbed: false,
            instants: 0,
            crash_at: None,
            trace: 0xcbf2_9ce4_8422_2325,
            lines,
            phases: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), began: Instant::now() }
    }

    /// Creates the chance of a seed by which no fault happens, but that the environment ends that goes on at instant number `at` of all
    /// invocations together.
    pub fn crashing_at(seed: u64, at: u64) -> Self {
        let chance = Self::new(seed, true);
        let mut state = chance.state();
        (state.is_undisturbed, state.crash_at) = (true, Some(at));
        drop(state);
        chance
    }

    /// Counts an instant at which an invocation goes on, until it is calm, and returns whether its environment ends there instead.
    pub fn ends_here(&self) -> bool {
        let mut state = self.state();
        state.instants += u64::from(!state.is_calm);
        !state.is_calm && state.crash_at == Some(state.instants - 1)
    }

    /// Draws a whole number below `limit`.
    pub fn below(&self, limit: u64) -> u64 {
        self.state().random.random_range(0..limit)
    }

    /// Draws whether something of so many percent happens.
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Draws whether a fault of so many percent happens; none does once it is calm.
    pub fn fault(&self, percent: u64) -> bool {
        let happens = self.percent(percent);
        let state = self.state();
        happens && !state.is_calm && !state.is_undisturbed
    }

    /// Draws one of several.
    pub fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// Ends all faults.
    pub fn calm(&self) {
        self.state().is_calm = true;
        self.note(format_args!("it is calm"));
    }

    /// Returns whether no fault happens any more.
    pub fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// Waits for the time of a call: a few steps, sometimes many.
    pub async fn call(&self) {
        let steps = if self.fault(3) { 5 + self.below(100) } else { self.below(4) };
        sleep(STEP * steps as u32).await;
    }

    /// Lets faults happen for a while, and then ends them.
    pub async fn storm(&self, lasts: Duration) {
        sleep(lasts).await;
        self.calm();
    }

    /// Carries out a call. It may be on its way when its caller ends: then it is carried out nevertheless.
    pub async fn under_way<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        let chance = self.clone();
        let arriving = async move {
            chance.call().await;
            call.await
        };
        let done = if self.percent(50) {
            match tokio::spawn(arriving).await {
                Ok(done) => done,
                // The runtime has ended.
                Err(_) => std::future::pending().await,
            }
        } else {
            arriving.await
        };
        self.call().await;
        done
    }

    /// Waits for an instant between two steps that no other task has, and from which its steps go on: so nobody draws beside a task that waits for
    /// another thread.
    pub async fn apart(&self) {
        let step = STEP.as_millis() as u64;
        let phase = {
            let mut state = self.state();
            state.phases += 1;
            1 + state.phases % (step - 1)
        };
        let now = self.began.elapsed().as_millis() as u64 % step;
        sleep(Duration::from_millis((phase + step - now) % step)).await;
    }

    /// Waits up to `limit`.
    pub async fn wait(&self, limit: Duration) {
        let steps = (limit.as_millis() / STEP.as_millis()) as u64;
        sleep(STEP * self.below(steps + 1) as u32).await;
    }

    /// Adds something that happened to the history.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let at = self.began.elapsed();
        let mut state = self.state();
        let line = format!("{:9.1} s  {what}", at.as_secs_f64());
        for byte in line.bytes() {
            state.trace = (state.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(lines) = &mut state.lines {
            lines.push(line);
        }
    }

    /// Returns the hash of what was noted, the instants at which invocations went on, and the lines.
    pub fn end(&self) -> (u64, u64, Vec<String>) {
        let mut state = self.state();
        (state.trace, state.instants, state.lines.take().unwrap_or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
