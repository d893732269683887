//! Learning one target from the months of a plan: windows are rehearsed, parameters are searched for, and every family
//! enters the contest with one model. The month to judge on is not here.

use std::ops::ControlFlow;
use std::time::Instant;

use model::candidates::{FitParams, Progress, Rehearsal};
use model::training::TrainError;
use model::{Examples, Family, LabelledTrips, Month, Target, Trained, Work, train, train_rehearsed};
use serde::Serialize;

use crate::plan::{Window, windows};

/// How to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Learning {
    /// Spans of months to choose from.
    pub windows: Vec<u32>,
    /// What is fitted with, and what the search starts from.
    pub params: FitParams,
    /// Threads at most; 0 for as many as the machine runs at once.
    pub threads: usize,
}

/// What was learned for one target before anything was judged.
#[derive(Debug)]
pub struct Contest {
    /// Which target.
    pub target: Target,
    /// One model a family, the boosted one first.
    pub entrants: Vec<Trained>,
    /// How it came to them.
    pub course: LearningCourse,
}

/// What was tried, for the record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearningCourse {
    /// Every window that was rehearsed, on the last training month.
    pub windows: Vec<WindowTried>,
    /// The window that was taken, months; none where there was only one month.
    pub window: Option<u32>,
    /// Whether time ran out before everything was tried.
    pub cut: bool,
}

/// How one window did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowTried {
    /// Months it spans at most.
    pub months: u32,
    /// How many of them there were.
    pub files: usize,
    /// The figure that decides on the last training month, which it did not see: RMSE in minutes, or log loss.
    pub loss: f64,
    /// Trees that were best.
    pub rounds: Option<u32>,
}

/// Learns `target` from `files`, oldest first, until `until`; what is not done then is left out or cut short.
///
/// # Errors
/// [`TrainError`], if not even one model could be fitted.
pub fn learn(
    target: Target,
    files: &[LabelledTrips],
    how: &Learning,
    until: Instant,
) -> Result<Contest, TrainError> {
    let is_late = move || Instant::now() >= until;
    let mut control =
        |_: &Progress| if is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut work = Work { threads: how.threads, control: &mut control };
    let months: Vec<Month> = files.iter().filter_map(|file| file.month).collect();
    let windows = windows(&months, &how.windows);
    let mut course = LearningCourse { windows: Vec::new(), window: None, cut: false };
    let families = Family::of(target);
    if windows.is_empty() {
        let entrants: Result<Vec<Trained>, TrainError> =
            families.iter().map(|family| train(target, *family, &how.params, files, &mut work)).collect();
        let entrants = entrants?;
        course.cut = entrants.iter().any(|one| one.artifact.lineage.course.cut);
        return Ok(Contest { target, entrants, course });
    }
    let rehearse =
        |family: Family, window: Window, work: &mut Work<'_>| {
            let by_month = |files: &[LabelledTrips]| how.params.rules.examples(target, files).0;
            let last = files.len() - 1;
            let (learn, later): (Examples, Examples) =
                (by_month(&files[window.rehearse_from..last]), by_month(&files[last..]));
            Rehearsal::of(target, family, &learn, &later, &how.params, work)
                .map_err(|source| TrainError::Fit { target, family, source })
        };
    let mut best: Option<(Window, Rehearsal)> = None;
    for window in windows {
        if best.is_some() && is_late() {
            course.cut = true;
            break;
        }
        let rehearsal = rehearse(families[0], window, &mut work)?;
        course.windows.push(WindowTried {
            months: window.months,
            files: files.len() - 1 - window.rehearse_from,
            loss: rehearsal.loss,
            rounds: rehearsal.rounds,
        });
        tracing::info!(%target, months = window.months, loss = rehearsal.loss, "rehearsed");
        // Of two that do alike the wider one is steadier: it comes later.
        if !rehearsal.cut && best.as_ref().is_none_or(|(_, best)| rehearsal.loss <= best.loss || best.cut)
            || best.is_none()
        {
            best = Some((window, rehearsal));
        }
    }
    let mut entrants = Vec::new();
    if let Some((window, rehearsal)) = best {
        course.window = Some(window.months);
        entrants.push(train_rehearsed(&rehearsal, &files[window.fit_from..], &mut work)?);
        for family in &families[1..] {
            let rehearsal = rehearse(*family, window, &mut work)?;
            entrants.push(train_rehearsed(&rehearsal, &files[window.fit_from..], &mut work)?);
        }
    }
    course.cut |= entrants.iter().any(|one| one.artifact.lineage.course.cut);
    Ok(Contest { target, entrants, course })
}
