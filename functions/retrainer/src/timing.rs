//! Times the steps of a run, for its record.

use std::cell::RefCell;
use std::time::Instant;

use chrono::{DateTime, Utc};
use model::candidates::ValidationFit;
use model::{Target, Trained};
use registry::runs::StepTaken;

use crate::learn::{FitTask, Fits, IsBehind, NotFitted, ValidationTask};

/// Times a step from its creation on.
pub(crate) struct Stopwatch {
    began: f64,
    started: Instant,
}

impl Stopwatch {
    /// Starts a step of the run that began at `run`.
    pub(crate) fn start(run: DateTime<Utc>) -> Self {
        let began = (Utc::now() - run).to_std().unwrap_or_default().as_secs_f64();
        Self { began, started: Instant::now() }
    }

    /// Returns the step that ends now.
    pub(crate) fn stop(self, name: &str, target: Option<Target>) -> StepTaken {
        let seconds = rounded(self.started.elapsed().as_secs_f64());
        StepTaken { name: name.into(), target, began: rounded(self.began), seconds, retries: 0 }
    }
}

/// Milliseconds are enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// Times what other fits carry out.
pub(crate) struct TimedFits<F> {
    fits: F,
    run: DateTime<Utc>,
    steps: RefCell<Vec<StepTaken>>,
}

impl<F: Fits> TimedFits<F> {
    /// Times `fits` of the run that began at `run`.
    pub(crate) fn new(fits: F, run: DateTime<Utc>) -> Self {
        Self { fits, run, steps: RefCell::default() }
    }

    /// Returns the fits that were carried out.
    pub(crate) fn into_steps(self) -> Vec<StepTaken> {
        self.steps.into_inner()
    }

    fn timed<T>(&self, task: &FitTask, fit: impl FnOnce() -> T) -> T {
        let watch = Stopwatch::start(self.run);
        let done = fit();
        self.steps.borrow_mut().push(watch.stop(&task.name(), Some(task.target())));
        done
    }
}

impl<F: Fits> Fits for TimedFits<F> {
    fn validate(
        &self,
        task: &ValidationTask,
        is_behind: &mut IsBehind<'_>,
    ) -> Result<(ValidationFit, bool), NotFitted> {
        self.timed(&FitTask::Validate(task.clone()), || self.fits.validate(task, is_behind))
    }

    fn finish(&self, task: &FitTask, found: Option<&ValidationFit>) -> Result<Trained, NotFitted> {
        self.timed(task, || self.fits.finish(task, found))
    }

    fn is_late(&self) -> bool {
        self.fits.is_late()
    }

    fn prefetch(&self, tasks: Vec<FitTask>) {
        self.fits.prefetch(tasks);
    }
}
