//! Computes how far chance alone moves a figure of a month that is a random sample of trips.
//!
//! Every function returns an allowance in the unit of the figure: the figure of a sample exceeds that of all trips by
//! more than this about once in a thousand times.

use std::f64::consts::{PI, SQRT_2};

/// Number of standard errors in an allowance.
const ERRORS: f64 = 3.0;

/// Returns the allowance of a share (binomial) that is `share` of all trips, measured on `rows`.
pub(super) fn of_share(share: f64, rows: f64) -> f64 {
    ERRORS * (share * (1.0 - share) / rows.max(1.0)).sqrt()
}

/// Returns the allowance of a Pearson correlation that is `correlation` over all trips, measured on `points`.
pub(super) fn of_correlation(correlation: f64, points: f64) -> f64 {
    ERRORS * (1.0 - correlation * correlation) / (points - 1.0).max(1.0).sqrt()
}

/// Returns the allowance of a figure with this standard error.
pub(super) fn of_error(error: f64) -> f64 {
    ERRORS * error
}

/// Returns the allowance of the total variation between two lists of shares that is `bound` over all trips, measured on
/// these rows. Every share is assumed to have moved by the same fraction of itself; its measured difference is a folded
/// normal variable, whose mean is above the true difference, a little for many rows and a lot for few.
pub(super) fn of_total_variation(bound: f64, one: (&[f64], f64), other: (&[f64], f64)) -> f64 {
    let ((one, n), (other, m)) = (one, other);
    let (n, m) = (n.max(1.0), m.max(1.0));
    let moments = |(here, there): (&f64, &f64)| {
        let share = (here * n + there * m) / (n + m);
        let (moved, variance) = (2.0 * bound * share, share * (1.0 - share) * (1.0 / n + 1.0 / m));
        if variance <= 0.0 {
            return (moved, 0.0);
        }
        let z = moved / variance.sqrt();
        let mean = (2.0 / PI * variance).sqrt() * (-z * z / 2.0).exp() + moved * libm::erf(z / SQRT_2);
        (mean, (moved * moved + variance - mean * mean).max(0.0))
    };
    let (mean, variance) = one
        .iter()
        .zip(other)
        .map(moments)
        .fold((0.0, 0.0), |(mean, variance), cell| (mean + cell.0 / 2.0, variance + cell.1 / 4.0));
    (mean - bound).max(0.0) + ERRORS * variance.sqrt()
}

/// Returns the allowance of the share of trips in unseen categories, where `singles` of the `seen` rows are the only
/// ones of theirs: Good and Turing's estimate, and the allowance of a share `bound` on top of it.
pub(super) fn of_unseen(bound: f64, singles: f64, seen: f64, rows: f64) -> f64 {
    let unseen = singles / seen.max(1.0);
    unseen + of_share((bound + unseen).min(0.5), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a reproducible sequence of random numbers in 0 to 1 (splitmix64).
    fn draws(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// Draws `rows` trips over zones with these weights, and returns the shares of the zones.
    fn sample(weights: &[f64], rows: usize, draw: &mut impl FnMut() -> f64) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let mut shares = vec![0.0; weights.len()];
        for _ in 0..rows {
            let mut left = draw() * total;
            let zone = weights.iter().position(|weight| {
                left -= weight;
                left <= 0.0
            });
            shares[zone.unwrap_or(weights.len() - 1)] += 1.0 / rows as f64;
        }
        shares
    }

    /// Draws samples over 260 zones. Two samples of the same distribution stay within the bound and its allowance,
    /// whatever their size. For whole months the allowance is so small that a distance a little above the bound is
    /// detected.
    #[test]
    fn samples_of_the_same_zones_stay_within_their_allowance() {
        let weights: Vec<f64> = (0..260).map(|zone| 1.0 / (10.0 + f64::from(zone))).collect();
        // Every other zone has 36 % more or fewer trips: a distance of 0.18.
        let elsewhere: Vec<f64> =
            (0..).zip(&weights).map(|(zone, of)| of * if zone % 2 == 0 { 1.36 } else { 0.64 }).collect();
        let mut draw = draws(1);
        let moved =
            |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
        for (n, m) in [(1000, 1000), (3000, 10_000), (10_000, 10_000), (60_000, 60_000)] {
            for _ in 0..10 {
                let (one, other) = (sample(&weights, n, &mut draw), sample(&weights, m, &mut draw));
                let allowed = of_total_variation(0.15, (&one, n as f64), (&other, m as f64));
                assert!(
                    moved(&one, &other) <= 0.15 + allowed,
                    "{n}, {m}: {} of {allowed}",
                    moved(&one, &other)
                );
                let far = sample(&elsewhere, n, &mut draw);
                assert!(
                    n < 60_000 || moved(&far, &other) > 0.15 + allowed,
                    "{}: {allowed}",
                    moved(&far, &other)
                );
            }
        }
    }

    #[test]
    fn more_rows_leave_less_to_chance() {
        assert!((of_share(0.05, 10_000.0) - 3.0 * (0.05 * 0.95 / 10_000f64).sqrt()).abs() < 1e-12);
        assert!(of_share(0.05, 1e4) < of_share(0.05, 1e3) && of_correlation(0.6, 1e4) < 0.02);
        assert!(of_unseen(0.01, 5.0, 1000.0, 1000.0) > of_unseen(0.01, 0.0, 1000.0, 1000.0));
    }
}
