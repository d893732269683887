//! Learns one target from the months of a plan: validates windows, searches for parameters, and fits one candidate per
//! family. The holdout month is not available here.
//!
//! [`learn`] decides which fits there are, and [`Fits`] carries them out: [`crate::fits::LocalFits`] in this process, one after the
//! other; [`crate::fits::RecordedFits`] only knows those that other invocations have done. A fit depends on its task and the months alone, so
//! both lead to the same models.

use model::candidates::{FitParams, ValidationFit};
use model::training::TrainError;
use model::{Family, Month, Target, Trained, chain};
use registry::runs::{LearningCurve, Trial, TrialOutcome, WindowTried};
use serde::{Deserialize, Serialize};

use crate::plan::{Window, windows};
use crate::room::Room;
use crate::search::Search;

/// The search validates on fits of this many months: parameters that do well on them do well on a year.
const SEARCH_MONTHS: usize = 3;
/// Relative gain in loss below which the search keeps its initial parameters, as chance explains it.
const SEARCH_GAIN_MIN: f64 = 0.002;

/// How to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Learning {
    /// Window lengths to choose from, months.
    pub windows: Vec<u32>,
    /// Parameters of every fit; the search starts from them.
    pub params: FitParams,
    /// Number of further sets of parameters of boosted trees to try.
    pub trials: usize,
    /// Rows to learn from at most; of more months' rows a share is drawn.
    pub rows_max: usize,
    /// The memory there is for months and models.
    pub room: Room,
    /// Maximum number of threads; 0 for as many as the machine runs at once.
    pub threads: usize,
}

/// The candidates for one target, before they are judged.
#[derive(Debug)]
pub struct Comparison {
    /// The target.
    pub target: Target,
    /// One model per family, the boosted one first.
    pub candidates: Vec<Trained>,
    /// How the candidates were chosen.
    pub curve: LearningCurve,
}

/// A validation fit that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationTask {
    /// The target.
    pub target: Target,
    /// The family.
    pub family: Family,
    /// Its months.
    pub window: Window,
    /// Its parameters; open ones are decided by the fit.
    pub params: FitParams,
}

/// A fit that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitTask {
    /// A validation fit.
    Validate(ValidationTask),
    /// The fit of all months of a window, with what its validation fit found.
    Finish(ValidationTask),
    /// The fit of all months, which are too few for a validation fit on later ones.
    Alone {
        /// The target.
        target: Target,
        /// The family.
        family: Family,
    },
}

impl FitTask {
    /// Returns the target.
    pub fn target(&self) -> Target {
        match self {
            Self::Validate(task) | Self::Finish(task) => task.target,
            Self::Alone { target, .. } => *target,
        }
    }

    /// Returns the first of the training months that it looks at, by its index.
    pub fn first_month(&self) -> usize {
        match self {
            Self::Validate(ValidationTask { window, .. }) => window.validation_fit_from,
            // Its intervals are calibrated on the months that the validation fit did not see.
            Self::Finish(ValidationTask { window, .. }) => window.fit_from.min(window.validation_fit_to),
            Self::Alone { .. } => 0,
        }
    }

    /// Names what is done, for the record.
    pub fn name(&self) -> String {
        match self {
            Self::Validate(ValidationTask { family, window, .. }) => {
                let family = family.name();
                let months = window.validation_fit_to - window.validation_fit_from;
                format!("validate {family} on {}", counted(months))
            }
            Self::Finish(ValidationTask { family, window, .. }) => {
                format!("fit {}, window of {}", family.name(), counted(window.months as usize))
            }
            Self::Alone { family, .. } => format!("fit {} to 1 month", family.name()),
        }
    }
}

fn counted(months: usize) -> String {
    if months == 1 { "1 month".into() } else { format!("{months} months") }
}

/// Why there is no fit.
#[derive(Debug)]
pub(crate) enum NotFitted {
    /// Nothing could be fitted.
    Failed(TrainError),
    /// It has yet to be done by another invocation.
    Missing,
}

impl From<TrainError> for NotFitted {
    fn from(error: TrainError) -> Self {
        Self::Failed(error)
    }
}

/// Says of the validation losses so far whether a fit falls behind others, and is to be pruned.
pub(crate) type IsBehind<'a> = dyn FnMut(&[f64]) -> bool + Send + 'a;

/// Carries out fits.
pub(crate) trait Fits {
    /// Returns a validation fit, and whether it was pruned.
    fn validate(
        &self,
        task: &ValidationTask,
        is_behind: &mut IsBehind<'_>,
    ) -> Result<(ValidationFit, bool), NotFitted>;

    /// Returns the model of [`FitTask::Finish`] or [`FitTask::Alone`]. `found` is the validation fit of the former.
    fn finish(&self, task: &FitTask, found: Option<&ValidationFit>) -> Result<Trained, NotFitted>;

    /// Returns whether the time for validation is over.
    fn is_late(&self) -> bool;

    /// Names fits that will be asked for whatever comes of those before them, so that they can be done at once.
    fn prefetch(&self, _tasks: Vec<FitTask>) {}
}

/// Learns `target` from months, oldest first.
///
/// # Errors
/// [`NotFitted`], if not even one model could be fitted.
pub(crate) fn learn(
    target: Target,
    months: &[Month],
    how: &Learning,
    fits: &dyn Fits,
) -> Result<Comparison, NotFitted> {
    let windows = windows(months, &how.windows);
    let learner = Learner { target, how, fits };
    let curve = LearningCurve {
        windows: Vec::new(),
        window: None,
        trials: Vec::new(),
        losses: Vec::new(),
        cut: false,
    };
    if windows.is_empty() { learner.learn_one_month(curve) } else { learner.learn(&windows, curve) }
}

/// Returns the candidates that can serve, and logs why others cannot.
///
/// # Errors
/// The first error, if no candidate can serve; [`NotFitted::Missing`] if one is missing.
fn those_that_can_serve(
    trained: impl Iterator<Item = Result<Trained, NotFitted>>,
) -> Result<Vec<Trained>, NotFitted> {
    let (mut candidates, mut first, mut is_missing) = (Vec::new(), None, false);
    for one in trained {
        match one {
            Ok(candidate) => candidates.push(candidate),
            // The others are asked for too.
            Err(NotFitted::Missing) => is_missing = true,
            Err(NotFitted::Failed(error)) => {
                tracing::warn!(error_message = chain(&error), "a candidate cannot serve");
                first.get_or_insert(error);
            }
        }
    }
    match first {
        _ if is_missing => Err(NotFitted::Missing),
        Some(error) if candidates.is_empty() => Err(error.into()),
        _ => Ok(candidates),
    }
}

struct Learner<'a> {
    target: Target,
    how: &'a Learning,
    fits: &'a dyn Fits,
}

impl Learner<'_> {
    /// Fits every family to a single month, which has no later month to validate on, only its own days.
    fn learn_one_month(&self, mut curve: LearningCurve) -> Result<Comparison, NotFitted> {
        let task = |family: &Family| FitTask::Alone { target: self.target, family: *family };
        let families = Family::for_target(self.target).iter();
        let candidates = those_that_can_serve(families.map(|family| self.fits.finish(&task(family), None)))?;
        curve.cut = candidates.iter().any(|one| one.artifact.lineage.course.cut);
        Ok(Comparison { target: self.target, candidates, curve })
    }

    fn learn(&self, windows: &[Window], mut curve: LearningCurve) -> Result<Comparison, NotFitted> {
        let families = Family::for_target(self.target);
        let (mut task, mut found) = self.choose_window(windows, families[0], &mut curve)?;
        curve.window = Some(task.window.months);
        let others: Vec<ValidationTask> = families[1..]
            .iter()
            .map(|family| self.task(*family, task.window, self.how.params.clone()))
            .collect();
        self.fits.prefetch(others.iter().cloned().map(FitTask::Validate).collect());
        if let Some((better, fit)) = self.search(task.window, &found, &mut curve)? {
            (task, found) = (better, fit);
        }
        curve.losses.clone_from(&found.losses);
        // All are validated before the first is finished, and one that fails takes no other with it.
        let mut fits = vec![Ok((task, found))];
        for other in others {
            fits.push(self.validate(&other).map(|found| (other, found)));
        }
        let finish = |fit: Result<(ValidationTask, ValidationFit), NotFitted>| {
            let (task, found) = fit?;
            self.fits.finish(&FitTask::Finish(task), Some(&found))
        };
        let candidates = those_that_can_serve(fits.into_iter().map(finish))?;
        curve.cut |= candidates.iter().any(|one| one.artifact.lineage.course.cut);
        Ok(Comparison { target: self.target, candidates, curve })
    }

    /// Validates every window on the last months, as long as time allows, and returns the best with its validation fit.
    fn choose_window(
        &self,
        windows: &[Window],
        family: Family,
        curve: &mut LearningCurve,
    ) -> Result<(ValidationTask, ValidationFit), NotFitted> {
        let mut task = windows
            .iter()
            .map(|window| self.task(family, *window, self.how.params.clone()))
            .collect::<Vec<_>>();
        self.fits.prefetch(task.iter().cloned().map(FitTask::Validate).collect());
        let first = task.remove(0);
        let found = self.validate(&first)?;
        enter_window(curve, first.window, &found);
        let mut best = (first, found);
        for task in task {
            if self.fits.is_late() {
                curve.cut = true;
                break;
            }
            let found = self.validate(&task)?;
            enter_window(curve, task.window, &found);
            // Of two windows that do equally well the wider one is steadier. A fit that was cut short is no evidence.
            if !found.cut && found.loss <= best.1.loss {
                best = (task, found);
            }
        }
        Ok(best)
    }

    /// Tries other parameters on the last months of the window. Returns the validation fit of the best ones on the
    /// whole window, or none if they are no better.
    fn search(
        &self,
        window: Window,
        validation_fit: &ValidationFit,
        curve: &mut LearningCurve,
    ) -> Result<Option<(ValidationTask, ValidationFit)>, NotFitted> {
        let family = validation_fit.family;
        if self.how.trials == 0 || self.fits.is_late() {
            return Ok(None);
        }
        let from = window.validation_fit_from.max(window.validation_fit_to.saturating_sub(SEARCH_MONTHS));
        let is_whole = from == window.validation_fit_from;
        let near = Window { validation_fit_from: from, ..window };
        let task = self.task(family, near, self.how.params.clone());
        let first = match is_whole {
            true => validation_fit.clone(),
            false => self.validate(&task)?,
        };
        let with = |boosted| {
            let params = FitParams { boosted, ..self.how.params.clone() };
            self.task(family, near, params)
        };
        let (start, mut best) = (first.loss, (task, first.clone()));
        let mut search = Search::new(self.how.params.seed, trial_of(&first, false));
        let independent = search.independent().into_iter().take(self.how.trials);
        self.fits.prefetch(independent.map(|boosted| FitTask::Validate(with(boosted))).collect());
        for _ in 0..self.how.trials {
            if self.fits.is_late() {
                curve.cut = true;
                break;
            }
            let task = with(search.ask());
            let rate = task.params.boosted.rate();
            let (tried, behind) =
                self.fits.validate(&task, &mut |losses: &[f64]| search.is_behind(rate, losses))?;
            search.tell(trial_of(&tried, behind));
            if !tried.cut && tried.loss < best.1.loss {
                best = (task, tried);
            }
        }
        curve.trials = search.into_trials();
        if best.1.loss > (1.0 - SEARCH_GAIN_MIN) * start {
            return Ok(None);
        }
        if !is_whole {
            let task = self.task(family, window, best.1.params.clone());
            let found = self.validate(&task)?;
            best = (task, found);
        }
        Ok((!best.1.cut && best.1.loss < validation_fit.loss).then_some(best))
    }

    fn task(&self, family: Family, window: Window, params: FitParams) -> ValidationTask {
        ValidationTask { target: self.target, family, window, params }
    }

    fn validate(&self, task: &ValidationTask) -> Result<ValidationFit, NotFitted> {
        self.fits.validate(task, &mut |_: &[f64]| false).map(|(found, _)| found)
    }
}

/// Records a validated window in the curve.
fn enter_window(curve: &mut LearningCurve, window: Window, validation_fit: &ValidationFit) {
    let (months, loss, rounds) = (window.months, validation_fit.loss, validation_fit.rounds);
    tracing::info!(target = %validation_fit.target, months, loss, "validated");
    let files = window.validation_fit_to - window.validation_fit_from;
    curve.windows.push(WindowTried { months, files, loss, rounds });
    curve.cut |= validation_fit.cut;
}

fn trial_of(validation_fit: &ValidationFit, pruned: bool) -> Trial {
    let outcome = match (pruned, validation_fit.cut) {
        (true, _) => TrialOutcome::Pruned,
        (false, true) => TrialOutcome::Cut,
        (false, false) => TrialOutcome::Complete(validation_fit.loss),
    };
    Trial { params: validation_fit.params.boosted.clone(), outcome, losses: validation_fit.losses.clone() }
}
