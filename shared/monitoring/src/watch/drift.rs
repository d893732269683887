//! Judges what comes in: its deviation from past days beside the signatures of known faults, and beside ordinary days.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use super::cells::{BLOCKS, Shares, name_of, vendor_cell};
use super::deviation::{Covariance, Deviation, blocks, dot, score};
use super::faults::Fault;
use super::quality::ROWS_MIN;
use super::scores::{
    PAST_SCORES, PAST_SCORES_MIN, Standard, Threshold, accumulated, median_of, of_one_or_two,
};
use super::verdict::{Moved, Verdict};
use super::{Counted, Detector, Past, REFERENCE_DAYS, REFERENCE_DAYS_MIN, REFERENCE_SPAN_DAYS, Watch};
use crate::profile::Profile;

/// Days that a fault may have lasted before a sum finds it.
pub(super) const LAG_DAYS: i64 = 14;
/// What rings on so many of them is becoming usual.
const LASTING_DAYS: usize = 7;
/// Days before those, by whose scores a sum standardises.
const SETTLED_DAYS: usize = 90;
/// Days whose scores are kept.
pub(super) const DAYS_KEPT: usize = PAST_SCORES + LAG_DAYS as usize;
/// A fault whose score is greater, on a day on which all rows have it, shows at once in a fifth of the rows.
const LASTING_STRENGTH_MAX: f64 = 50.0;
/// Past days whose covariance is fitted, at most and at least.
pub(super) const COVARIANCE_DAYS: usize = 120;
const COVARIANCE_DAYS_MIN: usize = 40;
/// The last reference days, whose rows are spoiled to learn what a fault looks like.
const SIGNATURE_DAYS: usize = 14;
/// A fault is named if its signature explains this share of what lies beyond an ordinary day.
const EXPLAINED_MIN: f64 = 0.4;

/// Scores of a day before and after they are standardised.
#[derive(Debug, Clone, Default)]
pub(super) struct Drift {
    faults: BTreeMap<Fault, f64>,
    blocks: Vec<f64>,
    /// Scores without any bound, and the square of the whitened deviation, of which they are parts.
    unbounded: BTreeMap<Fault, f64>,
    total: f64,
    /// Scores of faults that a day hardly shows in a few of its rows, beside days that lie at least [`LAG_DAYS`] back.
    lasting: BTreeMap<Fault, f64>,
    /// Their cumulative sums over days.
    sums: BTreeMap<Fault, f64>,
    standard_faults: BTreeMap<Fault, f64>,
    standard_blocks: Vec<f64>,
}

impl Watch {
    /// Scores the drift of a day.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub(super) fn data(&self, of: &mut Past) -> Result<Verdict, String> {
        let Some(today) = of.counted.clone() else { return Err("there are no rows".into()) };
        let days = self.reference(of);
        if days.len() < REFERENCE_DAYS_MIN {
            return Err(format!(
                "there are {} past days of its class within {REFERENCE_SPAN_DAYS} days, {REFERENCE_DAYS_MIN} are needed",
                days.len()
            ));
        }
        let mut reference = Profile::default();
        days.iter().for_each(|day| reference.merge(&day.profile));
        let usual = Shares::from_profile(&reference);
        let deviation = Deviation::new(&today.shares, &usual);
        of.clipped = Some(Arc::new(deviation.clipped()));
        // A fault must not become what days vary by.
        let lasts = self.lasts(of);
        let usual_days = self.past.iter().rev().filter(|past| !past.rang || lasts);
        let before: Vec<&[f64]> = usual_days
            .filter_map(|past| past.clipped.as_deref().map(Vec::as_slice))
            .take(COVARIANCE_DAYS)
            .collect();
        if before.len() < COVARIANCE_DAYS_MIN {
            let n = before.len();
            return Err(format!("{n} past days can be compared, {COVARIANCE_DAYS_MIN} are needed"));
        }
        let covariance = Covariance::new(&before);
        let mut drift = self.scored(of, &days, &today.shares, &deviation, &covariance);
        self.standardise(&mut drift);
        let judged = self.judged_drift(of, &mut drift, &today.shares, &usual, &deviation);
        of.drift = Some(Arc::new(drift));
        judged
    }

    /// Returns whether so many of the last days rang that what rings is becoming usual.
    fn lasts(&self, of: &Past) -> bool {
        let recent = self.past.iter().rev().take_while(|past| of.day - past.day <= TimeDelta::days(LAG_DAYS));
        recent.filter(|past| past.rang).count() >= LASTING_DAYS
    }

    /// Returns the days that a day is compared with, the latest first. One that rang is not among them, lest its fault be taken for usual;
    /// but what lasts becomes usual.
    fn reference(&self, of: &Past) -> Vec<Arc<Counted>> {
        let alike: Vec<(bool, Arc<Counted>)> = self
            .alike(of, REFERENCE_SPAN_DAYS)
            .filter_map(|past| Some((past.rang, past.counted.clone()?)))
            .filter(|(_, day)| day.profile.accepted() >= ROWS_MIN)
            .collect();
        let lasts = self.lasts(of);
        let quiet = alike.iter().filter(|(rang, _)| !rang).count();
        let is_reference = |rang: bool| !rang || lasts || quiet < REFERENCE_DAYS_MIN;
        let days = alike.into_iter().filter(|(rang, _)| is_reference(*rang));
        days.map(|(_, day)| day).take(REFERENCE_DAYS).collect()
    }

    /// Scores a day beside the signatures of known faults, and by column.
    fn scored(
        &self,
        of: &Past,
        reference: &[Arc<Counted>],
        today: &Shares,
        deviation: &Deviation,
        covariance: &Covariance,
    ) -> Drift {
        let mut recent = Profile::default();
        reference.iter().take(SIGNATURE_DAYS).for_each(|day| recent.merge(&day.profile));
        let recently = Shares::from_profile(&recent);
        let lagged = self.lagged(of, today);
        let whitened = covariance.whitened(&deviation.u);
        let mut drift =
            Drift { blocks: blocks(&whitened), total: dot(&whitened, &whitened), ..Drift::default() };
        for fault in Fault::known(&recent) {
            let moved = moved(&fault.shares(&recent), &recently);
            let Some((weights, strength)) = covariance.filter(&moved, &deviation.scale) else { continue };
            drift.faults.insert(fault, score(&weights, &deviation.u));
            drift.unbounded.insert(fault, dot(&weights, &deviation.u));
            if strength < LASTING_STRENGTH_MAX
                && let Some(lagged) = &lagged
            {
                drift.lasting.insert(fault, score(&weights, &lagged.u));
            }
        }
        drift
    }

    fn standardise(&self, drift: &mut Drift) {
        let past: Vec<&Drift> =
            self.past.iter().rev().filter_map(|past| past.drift.as_deref()).take(PAST_SCORES).collect();
        for (fault, score) in &drift.faults {
            let scores: Vec<f64> = past.iter().filter_map(|past| past.faults.get(fault)).copied().collect();
            if let Some(standard) = Standard::new(&scores, 1.0) {
                drift.standard_faults.insert(*fault, standard.of(*score));
            }
        }
        for (block, score) in drift.blocks.iter().enumerate() {
            let scores: Vec<f64> = past.iter().filter_map(|past| past.blocks.get(block)).copied().collect();
            // The spread of the logarithm of a mean of squares of as many cells.
            let prior = (2.0 / BLOCKS[block % BLOCKS.len()].cells.len() as f64).sqrt();
            drift.standard_blocks.extend(Standard::new(&scores, prior).map(|standard| standard.of(*score)));
        }
        let before = past.first().map(|before| &before.sums);
        let settled = self.past.iter().rev().skip(LAG_DAYS as usize).filter_map(|past| past.drift.as_deref());
        let settled: Vec<&Drift> = settled.take(SETTLED_DAYS).collect();
        // A fault that the day would show at once adds nothing on it.
        drift.sums = before.cloned().unwrap_or_default();
        drift.sums.retain(|fault, _| drift.faults.contains_key(fault));
        for (fault, score) in &drift.lasting {
            let scores: Vec<f64> =
                settled.iter().filter_map(|past| past.lasting.get(fault)).copied().collect();
            let Some(standard) = Standard::new(&scores, 1.0) else { continue };
            let sum = drift.sums.entry(*fault).or_default();
            *sum = accumulated(*sum, standard.of(*score));
        }
    }

    /// Returns the deviation from days that lie at least [`LAG_DAYS`] back, which a fault that lasts has not reached.
    fn lagged(&self, of: &Past, today: &Shares) -> Option<Deviation> {
        let mut reference = Profile::default();
        let days = self
            .alike(of, REFERENCE_SPAN_DAYS + LAG_DAYS)
            .filter(|past| of.day - past.day > TimeDelta::days(LAG_DAYS))
            .filter_map(|past| past.counted.as_deref())
            .filter(|day| day.profile.accepted() >= ROWS_MIN)
            .take(REFERENCE_DAYS);
        let n = days.map(|day| reference.merge(&day.profile)).count();
        (n >= REFERENCE_DAYS_MIN).then(|| Deviation::new(today, &Shares::from_profile(&reference)))
    }

    /// Compares the scores of a day, and of it with the day before, with their thresholds.
    ///
    /// # Errors
    /// Why there is no verdict.
    fn judged_drift(
        &self,
        of: &mut Past,
        drift: &mut Drift,
        today: &Shares,
        usual: &Shares,
        deviation: &Deviation,
    ) -> Result<Verdict, String> {
        let scored = self.past.iter().filter(|past| past.drift.is_some()).count();
        let too_few = || format!("{scored} past days are scored, {PAST_SCORES_MIN} are needed");
        if drift.standard_blocks.len() < drift.blocks.len() {
            return Err(too_few());
        }
        let yesterday = self.yesterday(of.day).and_then(|past| past.drift.as_deref());
        let faults = drift.standard_faults.iter().map(|(fault, now)| {
            let before = yesterday.and_then(|drift| drift.standard_faults.get(fault)).copied();
            of_one_or_two(before, *now)
        });
        let fault = faults.max_by(f64::total_cmp).ok_or_else(too_few)?;
        let [column, value] = [0, BLOCKS.len()].map(|from| {
            let blocks = (from..from + BLOCKS.len()).map(|block| {
                let before = yesterday.and_then(|drift| drift.standard_blocks.get(block)).copied();
                (of_one_or_two(before, drift.standard_blocks[block]), block - from)
            });
            blocks.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
        });
        let sums = drift.sums.iter().map(|(fault, sum)| (*sum, Some(*fault)));
        let lasting = sums.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default();
        let scores = [
            (Detector::Fault, fault),
            (Detector::Column, column.0),
            (Detector::Value, value.0),
            (Detector::Lasting, lasting.0),
        ];
        let mut most: Option<(f64, Detector, f64, Threshold)> = None;
        for (detector, score) in scores {
            of.worst[detector as usize] = Some(score);
            let threshold = self.threshold(detector);
            let beyond = score / threshold.value;
            if most.is_none_or(|(most, ..)| beyond > most) {
                most = Some((beyond, detector, score, threshold));
            }
        }
        let Some((beyond, detector, score, threshold)) = most else { return Err(too_few()) };
        let rings = beyond > 1.0;
        if lasting.0 > self.threshold(Detector::Lasting).value {
            // The sums begin anew: they ring for as long as a shift goes on, and not for weeks after it.
            drift.sums.clear();
        }
        let named = match detector {
            Detector::Lasting => lasting.1,
            _ => self.explanation(drift, today, usual),
        };
        let column = BLOCKS[if detector == Detector::Value { value.1 } else { column.1 }].column;
        let cause = match (named, detector) {
            (Some(fault), Detector::Lasting) => {
                format!("{}, for days in a few of the rows", fault.description())
            }
            (Some(fault), _) => fault.description(),
            (None, _) => format!("unlike any known fault, most of all in {column}"),
        };
        Ok(Verdict {
            rings: Some(rings),
            cause: rings.then_some(cause),
            is_known: rings && named.is_some(),
            score: Some(score),
            threshold: Some(threshold),
            scores: drift
                .standard_faults
                .iter()
                .map(|(fault, score)| (fault.description(), *score))
                .collect(),
            moved: if rings { most_moved(today, usual, deviation) } else { Vec::new() },
            ..Verdict::default()
        })
    }

    /// Returns the vendor that has vanished; else the fault whose signature explains most of what lies beyond an ordinary day, if it explains
    /// enough of it.
    fn explanation(&self, drift: &Drift, today: &Shares, usual: &Shares) -> Option<Fault> {
        let has_vanished =
            |fault: &Fault| matches!(fault, Fault::VendorGone(vendor) if is_gone(*vendor, today, usual));
        if let Some(fault) = drift.unbounded.keys().find(|fault| has_vanished(fault)) {
            return Some(*fault);
        }
        let past = self.past.iter().rev().filter_map(|past| past.drift.as_deref()).take(PAST_SCORES);
        let usual = median_of(past.map(|past| past.total).collect());
        let (fault, score) = drift.unbounded.iter().max_by(|one, other| one.1.total_cmp(other.1))?;
        let explains = *score > 0.0 && score * score >= EXPLAINED_MIN * (drift.total - usual);
        explains.then_some(*fault)
    }
}

/// Returns whether a vendor has less than a tenth of its usual share.
fn is_gone(vendor: u8, today: &Shares, usual: &Shares) -> bool {
    vendor_cell(vendor).is_some_and(|cell| today.of[cell] < 0.1 * usual.of[cell])
}

/// Returns what a fault moves; nothing in a block that it empties, since a block without rows has no shares.
fn moved(spoiled: &Shares, usual: &Shares) -> Vec<f64> {
    let mut all: Vec<f64> =
        spoiled.of.iter().zip(&usual.of).map(|(spoiled, usual)| spoiled - usual).collect();
    for block in BLOCKS.iter() {
        if spoiled.of[block.cells.clone()].iter().sum::<f64>() < 0.5 {
            all[block.cells.clone()].fill(0.0);
        }
    }
    all
}

fn most_moved(today: &Shares, usual: &Shares, deviation: &Deviation) -> Vec<Moved> {
    let mut cells: Vec<usize> = (0..deviation.u.len()).collect();
    cells.sort_unstable_by(|one, other| deviation.u[*other].abs().total_cmp(&deviation.u[*one].abs()));
    let moved = |cell: usize| Moved { what: name_of(cell), usual: usual.of[cell], share: today.of[cell] };
    cells.into_iter().take(5).map(moved).collect()
}
