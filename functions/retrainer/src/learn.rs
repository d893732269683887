//! Learns one target from the months of a plan: validates windows, searches for parameters, and fits one candidate per
//! family. The holdout month is not available here.

use std::ops::ControlFlow;
use std::time::Instant;

use model::candidates::{FitParams, Progress, ValidationFit};
use model::training::TrainError;
use model::{Examples, Family, LabelledTrips, Month, Target, Trained, Work, chain, train, train_validated};
use registry::runs::{LearningCurve, Trial, TrialOutcome, WindowTried};

use crate::plan::{Window, windows};
use crate::search::Search;

/// The search validates on fits of this many months: parameters that do well on them do well on a year.
const SEARCH_MONTHS: usize = 3;
/// Share of the time for validation and search. The final fit takes about as long as its validation fit.
const VALIDATION_SHARE: f64 = 0.6;
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

/// Learns `target` from `files`, oldest first, until `until`; work that is not done by then is left out or cut short.
///
/// # Errors
/// [`TrainError`], if not even one model could be fitted.
pub fn learn(
    target: Target,
    files: &[LabelledTrips],
    how: &Learning,
    until: Instant,
) -> Result<Comparison, TrainError> {
    let months: Vec<Month> = files.iter().filter_map(|file| file.month).collect();
    let windows = windows(&months, &how.windows);
    let by_month = files.iter().map(|file| how.params.rules.learned(target, std::slice::from_ref(file)).0);
    let now = Instant::now();
    let validate_until = now + until.saturating_duration_since(now).mul_f64(VALIDATION_SHARE);
    let learner = Learner { target, files, how, validate_until, until, by_month: by_month.collect() };
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
/// The first error, if no candidate can serve.
fn those_that_can_serve(
    trained: impl Iterator<Item = Result<Trained, TrainError>>,
) -> Result<Vec<Trained>, TrainError> {
    let (mut candidates, mut first) = (Vec::new(), None);
    for one in trained {
        match one {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => {
                tracing::warn!(error_message = chain(&error), "a candidate cannot serve");
                first.get_or_insert(error);
            }
        }
    }
    match first {
        Some(error) if candidates.is_empty() => Err(error),
        _ => Ok(candidates),
    }
}

struct Learner<'a> {
    target: Target,
    files: &'a [LabelledTrips],
    how: &'a Learning,
    /// End of validation and search; the best fit found by then is taken.
    validate_until: Instant,
    until: Instant,
    /// The examples of each file, by its index.
    by_month: Vec<Examples>,
}

impl Learner<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.validate_until
    }

    /// Fits every family to a single month, which has no later month to validate on, only its own days.
    fn learn_one_month(&self, mut curve: LearningCurve) -> Result<Comparison, TrainError> {
        let mut control = before(self.until);
        let mut work = Work { threads: self.how.threads, control: &mut control };
        let fit = |family: &Family| train(self.target, *family, &self.how.params, self.files, &mut work);
        let candidates = those_that_can_serve(Family::for_target(self.target).iter().map(fit))?;
        curve.cut = candidates.iter().any(|one| one.artifact.lineage.course.cut);
        Ok(Comparison { target: self.target, candidates, curve })
    }

    fn learn(&self, windows: &[Window], mut curve: LearningCurve) -> Result<Comparison, TrainError> {
        let families = Family::for_target(self.target);
        let (window, mut validation_fit) = self.choose_window(windows, families[0], &mut curve)?;
        curve.window = Some(window.months);
        if let Some(better) = self.search(window, &validation_fit, &mut curve)? {
            validation_fit = better;
        }
        curve.losses.clone_from(&validation_fit.losses);
        let mut fits = vec![validation_fit];
        for family in &families[1..] {
            fits.push(self.validate(*family, window, &self.how.params, &mut self.in_time())?);
        }
        let mut control = before(self.until);
        let mut work = Work { threads: self.how.threads, control: &mut control };
        let fit = |one: &ValidationFit| train_validated(one, &self.files[window.fit_from..], &mut work);
        let candidates = those_that_can_serve(fits.iter().map(fit))?;
        curve.cut |= candidates.iter().any(|one| one.artifact.lineage.course.cut);
        Ok(Comparison { target: self.target, candidates, curve })
    }

    /// Validates every window on the last months, as long as time allows, and returns the best with its validation fit.
    fn choose_window(
        &self,
        windows: &[Window],
        family: Family,
        curve: &mut LearningCurve,
    ) -> Result<(Window, ValidationFit), TrainError> {
        let validate =
            |window: &Window| self.validate(family, *window, &self.how.params, &mut self.in_time());
        let mut best = (windows[0], validate(&windows[0])?);
        enter_window(curve, best.0, &best.1);
        for window in &windows[1..] {
            if self.is_late() {
                curve.cut = true;
                break;
            }
            let validation_fit = validate(window)?;
            enter_window(curve, *window, &validation_fit);
            // Of two windows that do equally well the wider one is steadier. A fit that was cut short is no evidence.
            if !validation_fit.cut && validation_fit.loss <= best.1.loss {
                best = (*window, validation_fit);
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
    ) -> Result<Option<ValidationFit>, TrainError> {
        let family = validation_fit.family;
        if self.how.trials == 0 || self.is_late() {
            return Ok(None);
        }
        let from = window.validation_fit_from.max(window.validation_fit_to.saturating_sub(SEARCH_MONTHS));
        let is_whole = from == window.validation_fit_from;
        let near = Window { validation_fit_from: from, ..window };
        let first = match is_whole {
            true => validation_fit.clone(),
            false => self.validate(family, near, &self.how.params, &mut self.in_time())?,
        };
        let (start, mut best) = (first.loss, first.clone());
        let mut search = Search::new(self.how.params.seed, trial_of(&first, false));
        for _ in 0..self.how.trials {
            if self.is_late() {
                curve.cut = true;
                break;
            }
            let boosted = search.ask();
            let params = FitParams { boosted, ..self.how.params.clone() };
            let (mut losses, mut behind) = (Vec::new(), false);
            let mut control = |progress: &Progress| {
                losses.extend(progress.validation_loss);
                behind = search.is_behind(params.boosted.rate(), &losses);
                if behind || self.is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let tried = self.validate(family, near, &params, &mut control)?;
            search.tell(trial_of(&tried, behind));
            if !tried.cut && tried.loss < best.loss {
                best = tried;
            }
        }
        curve.trials = search.into_trials();
        if best.loss > (1.0 - SEARCH_GAIN_MIN) * start {
            return Ok(None);
        }
        let best = match is_whole {
            true => best,
            false => self.validate(family, window, &best.params, &mut self.in_time())?,
        };
        Ok((!best.cut && best.loss < validation_fit.loss).then_some(best))
    }

    fn validate(
        &self,
        family: Family,
        window: Window,
        params: &FitParams,
        control: &mut (dyn FnMut(&Progress) -> ControlFlow<()> + Send),
    ) -> Result<ValidationFit, TrainError> {
        let together = |months: &[Examples]| {
            let mut together = Examples::default();
            months.iter().for_each(|month| together.append(month));
            together
        };
        let learn = together(&self.by_month[window.validation_fit_from..window.validation_fit_to]);
        let later = together(&self.by_month[window.validation_fit_to..]);
        let mut work = Work { threads: self.how.threads, control };
        ValidationFit::validate(self.target, family, &learn, &later, params, &mut work)
            .map_err(|source| TrainError::Fit { target: self.target, family, source })
    }

    fn in_time(&self) -> impl FnMut(&Progress) -> ControlFlow<()> + Send + use<> {
        before(self.validate_until)
    }
}

/// Returns a control that stops a fit at `until`.
fn before(until: Instant) -> impl FnMut(&Progress) -> ControlFlow<()> + Send + use<> {
    move |_| if Instant::now() >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
