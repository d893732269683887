//! Distances between two distributions, and the probability of one at least as large between samples of the same.
//!
//! Each equals its reference implementation, on the same rows, to 1e-6: Evidently's per-column methods and scipy. `golden.json` beside
//! this file has their values, made by `tools/drift_golden`.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::distribution::{Distribution, all_values};

/// Shares of 0 are replaced by this one in the population stability index, or by a millionth of the least share if that is smaller.
const SHARE_MIN: f64 = 1e-4;
/// The least standard deviation that a Wasserstein distance is divided by.
const SPREAD_MIN: f64 = 1e-3;
/// Products of two numbers of rows up to which the exact distribution of a Kolmogorov-Smirnov statistic is computed: half a second.
const EXACT_ROWS_MAX: f64 = 1e8;

/// How the values of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Quantities: near values are alike.
    Numeric,
    /// Codes: values are the same or not.
    Categorical,
}

/// Returns the first Wasserstein distance over the standard deviation of `reference`; none without rows on either side.
pub fn wasserstein_normed(reference: &Distribution, current: &Distribution) -> Option<f64> {
    let spread = reference.standard_deviation()?.max(SPREAD_MIN);
    let values = all_values(reference, current);
    let [mut one, mut other] = [Cumulative::new(reference)?, Cumulative::new(current)?];
    let distance = |pair: &[f64]| (one.up_to(pair[0]) - other.up_to(pair[0])).abs() * (pair[1] - pair[0]);
    Some(values.windows(2).map(distance).sum::<f64>() / spread)
}

/// Returns the Jensen-Shannon distance, with natural logarithms, from 0 to 0.83; none without rows on either side.
pub fn jensen_shannon(kind: Kind, reference: &Distribution, current: &Distribution) -> Option<f64> {
    let (p, q) = shares(kind, reference, current)?;
    let divergence = |from: &[f64], to: &[f64]| -> f64 {
        let term = |(from, to): (&f64, &f64)| match *from > 0.0 {
            true => from * libm::log(2.0 * from / (from + to)),
            false => 0.0,
        };
        from.iter().zip(to).map(term).sum()
    };
    Some(((divergence(&p, &q) + divergence(&q, &p)) / 2.0).max(0.0).sqrt())
}

/// Returns the population stability index; none without rows on either side.
pub fn population_stability_index(
    kind: Kind,
    reference: &Distribution,
    current: &Distribution,
) -> Option<f64> {
    let (mut p, mut q) = shares(kind, reference, current)?;
    for shares in [&mut p, &mut q] {
        let least = shares.iter().copied().filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
        let instead = if least <= SHARE_MIN { least / 1e6 } else { SHARE_MIN };
        shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = instead);
    }
    Some(p.iter().zip(&q).map(|(p, q)| (p - q) * libm::log(p / q)).sum())
}

/// Returns the Hellinger distance, from 0 to 1; none without rows on either side.
pub fn hellinger(kind: Kind, reference: &Distribution, current: &Distribution) -> Option<f64> {
    let shares_of = |bins: Vec<u64>| -> Vec<f64> {
        let total: u64 = bins.iter().sum();
        bins.into_iter().map(|rows| rows as f64 / total.max(1) as f64).collect()
    };
    let values = all_values(reference, current);
    // Exactly 0 for equal shares, which one minus the sum of the roots of products is not.
    let distance = |p: Vec<f64>, q: Vec<f64>| {
        let squares: f64 = p.iter().zip(&q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
        (squares / 2.0).sqrt()
    };
    Some(match kind {
        _ if reference.is_empty() || current.is_empty() => return None,
        Kind::Categorical => {
            let rows = |of: &Distribution| values.iter().map(|value| of.rows_of(*value)).collect();
            distance(shares_of(rows(reference)), shares_of(rows(current)))
        }
        // The bins are those of the distinct values, each counted once.
        Kind::Numeric => {
            let edges = sturges(&values, values.len() as f64);
            distance(shares_of(reference.binned(&edges)), shares_of(current.binned(&edges)))
        }
    })
}

/// A statistic, and the probability of one at least as far from what is expected if both samples are of one distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// The two-sided probability.
    pub p: f64,
}

/// Compares two samples by the greatest difference of their cumulative shares (Kolmogorov and Smirnov); none without rows on either
/// side. The probability is exact where the product of the numbers of rows is at most 10^8, and that of the limit beyond.
pub fn kolmogorov_smirnov(reference: &Distribution, current: &Distribution) -> Option<Test> {
    let [mut one, mut other] = [Cumulative::new(reference)?, Cumulative::new(current)?];
    let difference = |value: &f64| (one.up_to(*value) - other.up_to(*value)).abs();
    let statistic = all_values(reference, current).iter().map(difference).fold(0.0, f64::max);
    let (n, m) = (reference.total() as f64, current.total() as f64);
    let p = match n * m <= EXACT_ROWS_MAX {
        true => exact_p(statistic, n.min(m), n.max(m)),
        false => limit_p(statistic * (n * m / (n + m)).sqrt()),
    };
    Some(Test { statistic, p: p.clamp(0.0, 1.0) })
}

/// Adds up how likely the two cumulative shares of samples of one distribution, drawn row by row, first differ by `statistic` at each
/// number of rows of the two (after Hodges 1958, "The Significance Probability of the Smirnov Two-Sample Test"); `n <= m`.
fn exact_p(statistic: f64, n: f64, m: f64) -> f64 {
    // Half a step below, for rounding: differences are multiples of 1 / (n m).
    let least = ((statistic * n * m - 1e-7).floor() + 0.5) / (n * m);
    let mut far = 0.0;
    // How likely the draws pass a number of rows of one sample (the step) and of the other (the position) and were never far.
    let mut near = vec![0.0; m as usize + 1];
    for step in 0..=n as usize {
        let taken = step as f64;
        for at in 0..near.len() {
            let other = at as f64;
            let left = n + m - taken - other + 1.0;
            let from_one = if step > 0 { near[at] * (n - taken + 1.0) / left } else { 0.0 };
            let from_other = if at > 0 { near[at - 1] * (m - other + 1.0) / left } else { 0.0 };
            let passes = if step + at == 0 { 1.0 } else { from_one + from_other };
            let is_far = (taken / n - other / m).abs() > least;
            far += if is_far { passes } else { 0.0 };
            near[at] = if is_far { 0.0 } else { passes };
        }
    }
    far
}

/// Kolmogorov's limit of the probability of a scaled statistic of at least `z`.
fn limit_p(z: f64) -> f64 {
    // Below, the series does not settle within its terms, and the probability is 1 to 1e-9.
    if z < 0.2 {
        return 1.0;
    }
    let term = |k: i32| f64::from(1 - 2 * ((k + 1) % 2)) * libm::exp(-2.0 * f64::from(k * k) * z * z);
    2.0 * (1..=100).map(term).sum::<f64>()
}

/// Compares counts with those expected from the shares of `reference` (Pearson's chi-square); none without rows on either side. A value
/// that the reference lacks makes the statistic infinite.
pub fn chi_square(reference: &Distribution, current: &Distribution) -> Option<Test> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let values = all_values(reference, current);
    let scale = current.total() as f64 / reference.total() as f64;
    let term = |value: &f64| {
        let expected = reference.rows_of(*value) as f64 * scale;
        (current.rows_of(*value) as f64 - expected).powi(2) / expected
    };
    let statistic: f64 = values.iter().map(term).sum();
    // One value that both share leaves nothing to compare.
    let law = ChiSquared::new((values.len() - 1) as f64).ok();
    Some(Test {
        statistic,
        p: law.map_or(1.0, |law| if statistic.is_finite() { law.sf(statistic) } else { 0.0 }),
    })
}

/// Compares the shares of the smallest value of two samples of at most two values; none without rows on either side.
pub fn proportions(reference: &Distribution, current: &Distribution) -> Option<Test> {
    let values = all_values(reference, current);
    let (n, m) = (reference.total() as f64, current.total() as f64);
    let (Some(first), false) = (values.first(), reference.is_empty() || current.is_empty()) else {
        return None;
    };
    if values.len() == 1 {
        return Some(Test { statistic: 0.0, p: 1.0 });
    }
    let share = |of: &Distribution| 1.0 - of.rows_of(*first) as f64 / of.total() as f64;
    let (p, q) = (share(reference), share(current));
    let both = (p * n + q * m) / (n + m);
    let statistic = (p - q) / (both * (1.0 - both) * (1.0 / n + 1.0 / m)).sqrt();
    Some(Test { statistic, p: 2.0 * Normal::standard().sf(statistic.abs()) })
}

/// Returns the shares of both in common bins: those of numbers with more than 20 distinct values by Sturges' rule, else every value.
fn shares(kind: Kind, reference: &Distribution, current: &Distribution) -> Option<(Vec<f64>, Vec<f64>)> {
    const DISTINCT_MAX: usize = 20;
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let values = all_values(reference, current);
    let bins = |of: &Distribution| -> Vec<u64> {
        match kind == Kind::Numeric && reference.values().len() > DISTINCT_MAX {
            true => of.binned(&sturges(&values, (reference.total() + current.total()) as f64)),
            false => values.iter().map(|value| of.rows_of(*value)).collect(),
        }
    };
    let shares = |of: &Distribution| bins(of).iter().map(|rows| *rows as f64 / of.total() as f64).collect();
    Some((shares(reference), shares(current)))
}

/// Returns the edges of equal bins over ascending `values`, log2(n) + 1 of them for `n` rows (Sturges 1926), as numpy rounds them.
fn sturges(values: &[f64], n: f64) -> Vec<f64> {
    let (first, last) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    if first == last {
        return vec![first - 0.5, last + 0.5];
    }
    let width = (last - first) / (libm::log2(n) + 1.0);
    let bins = ((last - first) / width).ceil().max(1.0);
    let step = (last - first) / bins;
    let mut edges: Vec<f64> = (0..=bins as usize).map(|at| at as f64 * step + first).collect();
    if let Some(end) = edges.last_mut() {
        *end = last;
    }
    edges
}

/// The share of rows up to ascending values.
struct Cumulative<'a> {
    of: &'a Distribution,
    at: usize,
    rows: u64,
    total: f64,
}

impl<'a> Cumulative<'a> {
    fn new(of: &'a Distribution) -> Option<Self> {
        (!of.is_empty()).then(|| Self { of, at: 0, rows: 0, total: of.total() as f64 })
    }

    fn up_to(&mut self, value: f64) -> f64 {
        while let Some((_, rows)) = self.of.at(self.at).filter(|(own, _)| *own <= value) {
            self.rows += rows;
            self.at += 1;
        }
        self.rows as f64 / self.total
    }
}
