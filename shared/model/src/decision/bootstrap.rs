//! Measures how certain a difference is, by a paired bootstrap over blocks of days.
//!
//! Days are drawn with replacement, as many as there are, and both models are compared on the drawn days (Efron 1979;
//! blocks for dependent data: Künsch 1989). The bounds are quantiles of the resampled differences.

use crate::candidates::split_mix;
use crate::performance::Loss;

/// Resampled days, the same for every comparison on these days.
pub(crate) struct Resamples {
    /// `[n_resamples][n_days]`: how often each day was drawn.
    drawn: Vec<Vec<u16>>,
}

/// The share by which one model is better than the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Improvement {
    /// On all days.
    pub(super) estimate: f64,
    /// Lower bound.
    pub(super) lower: f64,
    /// Upper bound.
    pub(super) upper: f64,
}

/// Sums of losses of both models on the same rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairedLosses {
    pub(super) champion: f64,
    pub(super) challenger: f64,
}

impl Resamples {
    /// Draws `count` resamples of `n_days` days.
    pub(crate) fn new(n_days: usize, count: usize, seed: u64) -> Self {
        let resample = |number: usize| {
            let mut drawn = vec![0u16; n_days];
            for draw in 0..n_days {
                let mixed = split_mix(seed ^ split_mix(((number as u64) << 20) | draw as u64));
                // The high half, scaled to the number of days, is uniform to 1 in 2^32 / days.
                drawn[(((mixed >> 32) * n_days as u64) >> 32) as usize] += 1;
            }
            drawn
        };
        Self { drawn: (0..count).map(resample).collect() }
    }

    /// Computes the share by which the challenger's deciding metric is below the champion's, with its bounds; a share
    /// `tail` of the resamples lies beyond each.
    pub(super) fn improvement(&self, by_day: &[PairedLosses], loss: Loss, tail: f64) -> Improvement {
        let share = |(champion, challenger): (f64, f64)| {
            if champion > 0.0 { 1.0 - loss.figure(challenger / champion) } else { 0.0 }
        };
        let pairs: Vec<_> = by_day.iter().map(|day| (day.champion, day.challenger)).collect();
        let [estimate, lower, upper] = self.bounds(&pairs, tail, share);
        Improvement { estimate, lower, upper }
    }

    /// Computes the deciding metric of `by_day` (sum of losses, rows), with bounds like those of [`Self::improvement`].
    pub(crate) fn figure(&self, by_day: &[(f64, f64)], loss: Loss, tail: f64) -> [f64; 3] {
        self.bounds(by_day, tail, |(sum, rows)| loss.figure(sum / rows))
    }

    /// Applies `of` to the sums over all days, and bounds the result. Resamples without a row, as of a rare slice, say nothing and are
    /// left out.
    fn bounds(&self, by_day: &[(f64, f64)], tail: f64, of: impl Fn((f64, f64)) -> f64) -> [f64; 3] {
        let sum = |times: &dyn Fn(usize) -> f64| {
            by_day.iter().enumerate().fold((0.0, 0.0), |sums: (f64, f64), (day, pair)| {
                (sums.0 + times(day) * pair.0, sums.1 + times(day) * pair.1)
            })
        };
        let sums = self.drawn.iter().map(|drawn| sum(&|day| f64::from(drawn[day])));
        let mut resampled: Vec<f64> = sums.filter(|sums| *sums != (0.0, 0.0)).map(&of).collect();
        resampled.retain(|value| value.is_finite());
        resampled.sort_unstable_by(f64::total_cmp);
        let beyond = (resampled.len() as f64 * tail) as usize;
        let estimate = of(sum(&|_| 1.0));
        let at = |position: usize| resampled.get(position).copied().unwrap_or(estimate);
        [estimate, at(beyond), at(resampled.len().saturating_sub(beyond + 1))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(item: u64) -> f64 {
        (split_mix(item) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn every_resample_draws_as_many_days_as_there_are() {
        let resamples = Resamples::new(31, 500, 42);
        assert!(resamples.drawn.iter().all(|drawn| drawn.iter().sum::<u16>() == 31));
        let first: u32 = resamples.drawn.iter().map(|drawn| u32::from(drawn[0])).sum();
        assert!((400..600).contains(&first), "about once each: {first} of 500");
    }

    /// The bounds have their nominal coverage: of 400 months with a known improvement, about 5 % lie beyond each.
    #[test]
    fn bounds_hold_as_often_as_they_say() {
        let resamples = Resamples::new(30, 600, 7);
        let (mut below, mut above) = (0, 0);
        for month in 0..400u64 {
            // Days differ much from each other, and alike for both models: the pairing has to cancel that.
            let day = |day: u64| {
                let level = 10.0 + 30.0 * uniform(month * 1000 + day * 3);
                let gain: f64 =
                    (0..12).map(|part| uniform(month * 70_000 + day * 31 + part)).sum::<f64>() - 6.0;
                PairedLosses { champion: level, challenger: level * (0.98 + 0.02 * gain) }
            };
            let by_day: Vec<PairedLosses> = (0..30).map(day).collect();
            let found = resamples.improvement(&by_day, Loss::Log, 0.05);
            assert!(found.lower <= found.estimate && found.estimate <= found.upper);
            below += usize::from(found.upper < 0.02);
            above += usize::from(found.lower > 0.02);
        }
        // 20 each would be exact; a bootstrap of 30 blocks is a little too narrow.
        assert!((8..=45).contains(&below) && (8..=45).contains(&above), "{below} below, {above} above");
    }

    #[test]
    fn a_slice_of_few_days_is_surely_worse_if_it_is_worse_on_each() {
        // Of 30 days, one is missing from a third of the resamples.
        for days in 1..=3 {
            let day = |day| {
                if day < days {
                    PairedLosses { champion: 1.0, challenger: 1.44 }
                } else {
                    PairedLosses::default()
                }
            };
            let by_day: Vec<PairedLosses> = (0..30).map(day).collect();
            let found = Resamples::new(30, 2_000, 1).improvement(&by_day, Loss::Squared, 0.025);
            for share in [found.estimate, found.lower, found.upper] {
                assert!((share + 0.2).abs() < 1e-9, "{days} days: {found:?}");
            }
        }
    }

    #[test]
    fn nothing_to_compare_is_no_improvement() {
        let none = Resamples::new(0, 100, 1).improvement(&[], Loss::Squared, 0.05);
        assert_eq!((none.estimate, none.lower, none.upper), (0.0, 0.0, 0.0));
        let alike = [3.0, 4.0].map(|loss| PairedLosses { champion: loss, challenger: loss });
        let same = Resamples::new(2, 100, 1).improvement(&alike, Loss::Squared, 0.05);
        assert_eq!((same.estimate, same.lower, same.upper), (0.0, 0.0, 0.0));
    }
}
