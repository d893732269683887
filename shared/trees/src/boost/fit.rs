//! A fit, round by round: gradients, a tree, new scores.

use std::ops::ControlFlow;

use super::bins::Bins;
use super::grow::{Grown, Workshop};
use super::histogram::Cell;
use super::layout::{self, Layout};
use super::parallel::Threads;
use super::quantize::{self, Targets};
use super::split::Search;
use super::{BoostError, Boosted, Ended, Labelled, Monotone, Objective, Progress, Settings, objective};
use crate::ensemble::{Ensemble, Tree};

/// A fit under way.
pub(super) struct Fit<'a, C> {
    settings: &'a Settings,
    train: &'a Labelled<'a>,
    threads: &'a Threads,
    monotone: Vec<Option<Monotone>>,
    layout: Layout,
    workshop: Workshop<C>,
    base: f64,
    /// The label, weight and score so far of each row, in the layout's order.
    labels: Vec<f32>,
    weights: Option<Vec<f32>>,
    scores: Vec<f32>,
}

impl<'a, C: Cell> Fit<'a, C> {
    pub(super) fn new(settings: &'a Settings, train: &'a Labelled<'a>, threads: &'a Threads) -> Self {
        let n_rows = train.labels.len();
        let columns = (0..train.n_features).collect();
        let bins = threads.map(columns, |column| {
            let values = train.values[column..].iter().step_by(train.n_features).copied();
            match settings.categories.contains(&column) {
                true => Bins::categories(values),
                false => Bins::numeric(values, n_rows, settings.max_bins as usize),
            }
        });
        let layout = Layout::new(bins, train.values, threads);
        let workshop = Workshop::new(&layout, threads);
        let base = settings.objective.base(train.labels, train.weights);
        let of_feature = |column| settings.monotone.iter().find(|(of, _)| *of == column).map(|(_, way)| *way);
        let monotone = (0..train.n_features).map(of_feature).collect();
        Self {
            settings,
            train,
            threads,
            monotone,
            layout,
            workshop,
            base,
            labels: train.labels.to_vec(),
            weights: train.weights.map(<[f32]>::to_vec),
            scores: vec![base as f32; n_rows],
        }
    }

    pub(super) fn run(
        mut self,
        validate: Option<&Labelled<'_>>,
        control: &mut (dyn FnMut(&Progress) -> ControlFlow<()> + Send),
    ) -> Result<Boosted, BoostError> {
        let (objective, rounds) = (self.settings.objective, self.settings.rounds);
        let mut held_out = validate.map(|rows| HeldOut::new(rows, self.base));
        let (mut trees, mut ended) = (Vec::new(), Ended::Rounds);
        for round in 1..=rounds {
            let Some(tree) = self.round(round) else {
                ended = Ended::NothingToSplit;
                break;
            };
            let validation_loss = match &mut held_out {
                Some(held_out) => Some(held_out.add(&tree, objective)?),
                None => None,
            };
            trees.push(tree);
            if control(&Progress { round, rounds, validation_loss }).is_break() {
                ended = Ended::Control;
                break;
            }
            let waited = held_out.as_ref().map_or(0, HeldOut::rounds_since_best);
            if self.settings.patience.is_some_and(|patience| waited >= patience as usize) {
                ended = Ended::Patience;
                break;
            }
        }
        let validation_losses = held_out.map(|held_out| held_out.losses).unwrap_or_default();
        if self.settings.patience.is_some() && !validation_losses.is_empty() {
            trees.truncate(best_of(&validation_losses) + 1);
        }
        let ensemble = Ensemble::new(self.train.n_features, self.base, &trees)?;
        Ok(Boosted { ensemble, objective, ended, validation_losses })
    }

    /// Grows one tree and adds it to the scores; none if there is nothing left to split.
    fn round(&mut self, round: u32) -> Option<Tree> {
        let settings = self.settings;
        let steps = quantize::write_gradients(
            &mut self.layout,
            settings.objective,
            &Targets { labels: &self.labels, weights: self.weights.as_deref(), scores: &self.scores },
            self.threads,
        );
        let in_sample = |row: u32| sampled(settings.seed, round, u64::from(row), settings.row_fraction);
        let order = &mut self.workshop.order;
        order.clear();
        match settings.row_fraction < 1.0 {
            true => order.extend((0..self.layout.n_rows as u32).filter(|&row| in_sample(row))),
            false => order.extend(0..self.layout.n_rows as u32),
        }
        let allowed = self.allowed_features(round);
        let search =
            Search { settings, layout: &self.layout, steps, allowed: &allowed, monotone: &self.monotone };
        let mut grown = self.workshop.grow(&search, self.threads);
        if grown.nodes.is_empty() {
            return None;
        }
        if let Objective::Quantile(level) = settings.objective {
            self.take_quantiles(&mut grown, level);
        }
        let tree = grown.tree(settings.learning_rate);
        self.add_to_scores(&grown, &tree);
        if is_reordered_after(round) && self.workshop.order.len() == self.layout.n_rows {
            self.reorder();
        }
        Some(tree)
    }

    fn allowed_features(&self, round: u32) -> Vec<bool> {
        let settings = self.settings;
        let n_features = self.layout.features.len();
        let n_allowed = ((n_features as f64 * settings.feature_fraction).round() as usize).max(1);
        let mut drawn: Vec<usize> = (0..n_features).collect();
        // Another stream than that of the rows.
        drawn.sort_by_key(|&feature| draw(settings.seed ^ 0x5EED_FEA7, round, feature as u64));
        let mut allowed = vec![false; n_features];
        drawn.iter().take(n_allowed).for_each(|&feature| allowed[feature] = true);
        allowed
    }

    /// Gives each leaf the quantile of what its rows still lack: the gradient of the pinball loss says only in which
    /// direction to go.
    fn take_quantiles(&self, grown: &mut Grown, level: f64) {
        for leaf in &mut grown.leaves {
            let lacking = self.workshop.order[leaf.rows()].iter().map(|&row| {
                let row = row as usize;
                let weight = self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[row]));
                (self.labels[row] - self.scores[row], weight)
            });
            leaf.value = objective::weighted_quantile(&mut lacking.collect::<Vec<_>>(), level);
        }
    }

    /// Lays rows that fell into one leaf side by side. Later trees ask much the same at their tops, so what they read
    /// for a leaf then lies together: training takes two thirds of the time.
    fn reorder(&mut self) {
        let order = &self.workshop.order;
        self.layout.reorder(order, self.threads);
        layout::reorder(&mut self.labels, order);
        layout::reorder(&mut self.scores, order);
        if let Some(weights) = &mut self.weights {
            layout::reorder(weights, order);
        }
    }

    /// Adds the tree's leaves to the scores of their rows. Rows are taken in runs that fit the cache; in a leaf they
    /// are ascending, so a run's part of it is found by bisection.
    fn add_to_scores(&mut self, grown: &Grown, tree: &Tree) {
        const RUN: usize = 1 << 15;
        let order = &self.workshop.order;
        self.threads.for_chunks(&mut self.scores, |from, scores| {
            for (run, scores) in scores.chunks_mut(RUN).enumerate() {
                let start = from + run * RUN;
                for (leaf, value) in grown.leaves.iter().zip(&tree.leaves) {
                    let rows = &order[leaf.rows()];
                    let first = rows.partition_point(|&row| (row as usize) < start);
                    let last = rows.partition_point(|&row| (row as usize) < start + scores.len());
                    rows[first..last].iter().for_each(|&row| scores[row as usize - start] += *value as f32);
                }
            }
        });
        if self.workshop.order.len() < self.layout.n_rows {
            self.add_to_rows_left_out(tree);
        }
    }

    fn add_to_rows_left_out(&mut self, tree: &Tree) {
        let Ok(alone) = Ensemble::new(self.train.n_features, 0.0, std::slice::from_ref(tree)) else { return };
        let mut is_in = vec![false; self.layout.n_rows];
        self.workshop.order.iter().for_each(|&row| is_in[row as usize] = true);
        let width = self.train.n_features;
        for (row, score) in self.scores.iter_mut().enumerate().filter(|(row, _)| !is_in[*row]) {
            *score += alone.predict_row(&self.train.values[row * width..][..width]) as f32;
        }
    }
}

/// Early trees differ most from each other. Measured on a million rows, 100 rounds: 4.5 s without reordering, 4.3 s after
/// round 1 alone, 2.9 s after these.
fn is_reordered_after(round: u32) -> bool {
    matches!(round, 1 | 5 | 20) || round.is_multiple_of(50)
}

/// The rows that say when to stop.
struct HeldOut<'a> {
    rows: &'a Labelled<'a>,
    scores: Vec<f64>,
    losses: Vec<f64>,
}

impl<'a> HeldOut<'a> {
    fn new(rows: &'a Labelled<'a>, base: f64) -> Self {
        Self { rows, scores: vec![base; rows.labels.len()], losses: Vec::new() }
    }

    fn add(&mut self, tree: &Tree, objective: Objective) -> Result<f64, BoostError> {
        let alone = Ensemble::new(self.rows.n_features, 0.0, std::slice::from_ref(tree))?;
        let rows = self.rows.values.chunks_exact(self.rows.n_features);
        self.scores.iter_mut().zip(rows).for_each(|(score, row)| *score += alone.predict_row(row));
        let loss = objective.loss(&self.scores, self.rows.labels, self.rows.weights);
        self.losses.push(loss);
        Ok(loss)
    }

    fn rounds_since_best(&self) -> usize {
        self.losses.len() - 1 - best_of(&self.losses)
    }
}

/// Position of the smallest loss, the first of equals.
fn best_of(losses: &[f64]) -> usize {
    (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0)
}

/// Whether a row is drawn in a round, in a share of the cases.
fn sampled(seed: u64, round: u32, row: u64, share: f64) -> bool {
    share >= 1.0 || (draw(seed, round, row) >> 11) as f64 * (1.0 / (1u64 << 53) as f64) < share
}

/// SplitMix64 (Steele, Lea, Flood 2014) of seed, round and item: a well mixed number, the same on every machine.
pub(super) fn draw(seed: u64, round: u32, item: u64) -> u64 {
    let mixed = split_mix(seed ^ split_mix(u64::from(round)));
    split_mix(mixed ^ item)
}

/// One step of SplitMix64.
fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
