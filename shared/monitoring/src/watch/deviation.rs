//! How far a day lies from the days before it, in units of what chance and ordinary days explain.

use linfa_linalg::eigh::{EigSort, EighInto};
use ndarray::Array2;

use super::cells::{BLOCKS, Block, Shares};

/// Share that is added to every cell, at least, and rows that are: a row in a cell that was empty is no surprise.
const PRIOR: f64 = 2e-4;
const PRIOR_ROWS: f64 = 0.35;
/// Beyond this a deviation counts no more in the covariance, so that one odd day does not shape it.
const CLIP: f64 = 8.0;
/// Beyond this a deviation counts no more in a score, so that a few rows cannot make one.
const CLIP_OF_SCORE: f64 = 15.0;
/// Number of common factors of ordinary days.
const FACTORS: usize = 12;
/// Least variance of a cell beside the common factors.
const NOISE_MIN: f64 = 0.2;

/// The deviation of a day's shares p from those R of its reference, cell by cell: u = (p - R) / scale, where
/// scale = sqrt((R + max(2e-4, 0.35/n)) (1/n + 1/N)) for n rows of the day and N of the reference: one row moves no cell by more than 1.7.
#[derive(Debug, Clone)]
pub struct Deviation {
    /// u.
    pub u: Vec<f64>,
    /// The scale.
    pub scale: Vec<f64>,
}

impl Deviation {
    /// Computes the deviation of `day` from `reference`.
    pub fn new(day: &Shares, reference: &Shares) -> Self {
        let rows = day.rows.iter().zip(&reference.rows);
        let scale: Vec<f64> = rows
            .zip(&reference.of)
            .map(|((n, all), usual)| ((usual + PRIOR.max(PRIOR_ROWS / n)) * (1.0 / n + 1.0 / all)).sqrt())
            .collect();
        let shares = day.of.iter().zip(&reference.of);
        let u = shares.zip(&scale).map(|((here, usual), scale)| (here - usual) / scale).collect();
        Self { u, scale }
    }

    /// Returns u as the covariance counts it.
    pub fn clipped(&self) -> Vec<f64> {
        self.u.iter().map(|u| u.clamp(-CLIP, CLIP)).collect()
    }
}

/// The covariance of ordinary days: noise I + V' strengths V, with the rows of V orthonormal.
#[derive(Debug, Clone)]
pub struct Covariance {
    noise: f64,
    factors: Vec<(f64, Vec<f64>)>,
}

impl Covariance {
    /// Fits the covariance to clipped deviations of past days, by their principal components: those beyond the first
    /// [`FACTORS`] are noise of equal size (Tipping and Bishop, Probabilistic principal component analysis, 1999).
    pub fn new(past: &[&[f64]]) -> Self {
        let (rows, cells) = (past.len(), past.first().map_or(0, |first| first.len()));
        let mut gram = Array2::<f64>::zeros((rows, rows));
        for (one, first) in past.iter().enumerate() {
            for (other, second) in past.iter().enumerate().take(one + 1) {
                let product = dot(first, second);
                gram[[one, other]] = product;
                gram[[other, one]] = product;
            }
        }
        let means: Vec<f64> = gram.rows().into_iter().map(|row| row.sum() / rows as f64).collect();
        let mean = means.iter().sum::<f64>() / rows as f64;
        for ((one, other), value) in gram.indexed_iter_mut() {
            *value += mean - means[one] - means[other];
        }
        // A matrix of products of finite numbers has real eigenvalues; without them every cell is noise.
        let Ok((values, vectors)) = gram.eigh_into().map(EigSort::sort_eig_desc) else {
            return Self { noise: 1.0, factors: Vec::new() };
        };
        let rest: f64 = values.iter().skip(FACTORS).map(|value| value.max(0.0)).sum();
        let noise = rest / (rows * cells) as f64;
        let factor = |number: usize| {
            let value: f64 = values[number];
            let strength = value / rows as f64 - noise;
            (strength > 0.0).then(|| {
                let mut factor = vec![0.0; cells];
                for (row, past) in past.iter().enumerate() {
                    let weight = vectors[[row, number]] / value.sqrt();
                    factor.iter_mut().zip(*past).for_each(|(sum, u)| *sum += weight * u);
                }
                (strength, factor)
            })
        };
        let factors = (0..FACTORS.min(rows)).filter_map(factor).collect();
        Self { noise: noise.max(NOISE_MIN), factors }
    }

    /// Returns the inverse of the covariance times `vector`.
    fn inverse(&self, vector: &[f64]) -> Vec<f64> {
        self.transformed(vector, |variance| 1.0 / variance)
    }

    /// Returns the inverse square root of the covariance times `vector`: of an ordinary day, numbers of variance 1.
    pub fn whitened(&self, vector: &[f64]) -> Vec<f64> {
        self.transformed(vector, |variance| 1.0 / variance.sqrt())
    }

    fn transformed(&self, vector: &[f64], of_variance: impl Fn(f64) -> f64) -> Vec<f64> {
        let rest = of_variance(self.noise);
        let mut all: Vec<f64> = vector.iter().map(|value| rest * value).collect();
        for (strength, factor) in &self.factors {
            let weight = (of_variance(self.noise + strength) - rest) * dot(factor, vector);
            all.iter_mut().zip(factor).for_each(|(sum, value)| *sum += weight * value);
        }
        all
    }

    /// Returns the weights with which cells discriminate the direction `moved` (a difference of shares) best from ordinary days: the matched filter,
    /// of variance 1 on ordinary days; and its score on a day that moved so, but for chance. None if nothing moves.
    pub fn filter(&self, moved: &[f64], scale: &[f64]) -> Option<(Vec<f64>, f64)> {
        let most = moved.iter().fold(0.0f64, |most, moved| most.max(moved.abs()));
        let is_noise = |moved: f64| moved.abs() < 2e-3 * most;
        let direction: Vec<f64> = moved
            .iter()
            .zip(scale)
            .map(|(moved, scale)| if is_noise(*moved) { 0.0 } else { moved / scale })
            .collect();
        let weights = self.inverse(&direction);
        let variance = dot(&weights, &direction);
        let deviation = variance.sqrt();
        (variance > 0.0).then(|| (weights.iter().map(|weight| weight / deviation).collect(), deviation))
    }
}

/// Returns the score of a deviation under the weights of a filter.
pub fn score(weights: &[f64], u: &[f64]) -> f64 {
    weights.iter().zip(u).map(|(weight, u)| weight * u.clamp(-CLIP_OF_SCORE, CLIP_OF_SCORE)).sum()
}

/// Returns the logarithm of the mean square of whitened deviations in each block, and then that of the greatest square.
pub fn blocks(whitened: &[f64]) -> Vec<f64> {
    let cells = |block: &Block| whitened[block.cells.clone()].iter();
    let mean = |block: &Block| {
        let squares = cells(block).map(|value| value.clamp(-CLIP, CLIP).powi(2));
        (squares.sum::<f64>() / block.cells.len() as f64).max(1e-6).ln()
    };
    let most = |block: &Block| {
        let squares = cells(block).map(|value| value.clamp(-CLIP_OF_SCORE, CLIP_OF_SCORE).powi(2));
        squares.fold(1e-6, f64::max).ln()
    };
    BLOCKS.iter().map(mean).chain(BLOCKS.iter().map(most)).collect()
}

/// Returns the inner product of two vectors.
pub fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
